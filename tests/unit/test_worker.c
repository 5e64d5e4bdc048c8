/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's loop on a net_ring device, the test being NIC, clients and control core: what it
 * does when more comes than it can decide, and when nothing comes; and that it does the same
 * whether frames go through it abreast or one by one. */
#include "octets.h"
#include "ringed.h"

#include <math.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DESCRIPTORS 1024
#define PATIENCE_NS (60 * 1000000000ull)

static const struct ringed_terms terms = {
	.users = 100000, .envelopes = 50000, .odds = 0, .descriptors = DESCRIPTORS};

static struct ringed *
made(const struct ringed_terms *t)
{
	struct hb_error e = {0};
	struct ringed *r;

	hb_mem_use_hugepages(false);
	r = ringed_make(t, &e);
	if (r == NULL)
		fail_msg("%s", e.text);
	r->worker.service_ns = calloc(1, sizeof(*r->worker.service_ns));
	assert_non_null(r->worker.service_ns);
	return r;
}

static void
unmade(struct ringed *r)
{
	free(r->worker.service_ns);
	ringed_free(r);
}

static struct hb_request
request(enum hb_op op, uint64_t user, uint32_t seq)
{
	struct hb_request q = {.op = (uint8_t)op, .user = user, .seq = seq};

	if (op <= HB_OP_ANSWER)
		q.campaign = op == HB_OP_SHAKE ? RINGED_SHAKEN : RINGED_ANSWERED;
	else
		q.arg = user;
	return q;
}

/* What came back. */
struct heard {
	unsigned replies, shed;
	uint32_t least, most; /* wait of those shed, ms */
	unsigned forged;      /* replies to those */
	uint64_t user;	      /* of the last that won, with its seq */
	uint32_t seq;
};

static struct heard
hear(struct ringed *r)
{
	struct heard h = {.least = UINT32_MAX};
	struct rte_mbuf *m;

	while (ringed_take(r, &m, 1) == 1) {
		const uint8_t *reply = ringed_reply(m);
		struct ringed_note note = ringed_note_of(m);
		uint32_t wait = hb_be32(reply + 16);

		h.replies++;
		h.forged += note.again;
		if (reply[1] == HB_WIN) {
			h.user = note.user;
			h.seq = note.seq;
		}
		if (reply[1] == HB_BUSY && wait >= r->snapshot->busy_wait_ms) {
			h.shed++;
			h.least = wait < h.least ? wait : h.least;
			h.most = wait > h.most ? wait : h.most;
		}
		rte_pktmbuf_free(m);
	}
	ringed_settle(r);
	return h;
}

/* Turns with the queue full of new SHAKEs, of which every forged-th is forged (0: none), until so
 * many windows saw overload. */
static struct heard
overload(struct ringed *r, unsigned forged, uint64_t windows)
{
	uint64_t until = hb_read(&r->worker.stats.overloaded) + windows;
	static uint64_t user;
	struct heard sum = {.least = UINT32_MAX};

	while (hb_read(&r->worker.stats.overloaded) < until) {
		while (!ringed_full(r)) {
			struct hb_request q = request(HB_OP_SHAKE, ++user, 1);
			bool bad = forged != 0 && user % forged == 0;

			assert_true(ringed_send(r, &q, bad,
				(struct ringed_note){.user = q.user, .seq = q.seq, .again = bad}));
		}
		hb_worker_turn(&r->worker);
		struct heard h = hear(r);

		sum.replies += h.replies;
		sum.shed += h.shed;
		sum.forged += h.forged;
		sum.least = h.least < sum.least ? h.least : sum.least;
		sum.most = h.most > sum.most ? h.most : sum.most;
	}
	return sum;
}

static void
empty_queue(struct ringed *r)
{
	while (hb_worker_turn(&r->worker) != 0)
		hear(r);
}

/* ---- overload ------------------------------------------------------------------------ */

static void
a_full_queue_is_shed_with_spread_waits(void **state)
{
	struct ringed *r = made(&terms);
	const struct hb_worker_stats *s = &r->worker.stats;

	(void)state;
	hb_worker_begin(&r->worker);
	assert_int_equal(hb_read(&s->admission), 1000);
	struct heard h = overload(r, 0, 30);

	assert_true(h.shed > h.replies / 100);
	assert_true(h.shed <= h.replies / (HB_ADMISSION_SHARE + 1) + HB_BURST);
	assert_int_equal(hb_read(&s->shed[HB_OP_SHAKE]), h.shed);
	assert_int_equal(hb_read(&s->replies[HB_BUSY]), h.shed);
	assert_in_range(hb_read(&s->admission), 870, 880);
	assert_in_range(h.least, 1000, 1050);
	assert_in_range(h.most, 1950, 1999);
	/* Over: everybody is let in again. */
	empty_queue(r);
	while (hb_read(&s->admission) < 1000)
		hb_worker_turn(&r->worker);
	hb_worker_end(&r->worker);
	unmade(r);
}

static void
the_forged_get_no_busy(void **state)
{
	struct ringed *r = made(&terms);
	const struct hb_worker_stats *s = &r->worker.stats;

	(void)state;
	hb_worker_begin(&r->worker);
	struct heard h = overload(r, 2, 30);

	empty_queue(r);
	assert_true(h.shed > 0);
	assert_int_equal(h.forged, 0);
	/* Every frame is either answered or dropped. */
	assert_int_equal(
		hb_read(&s->received), hb_read(&s->sent) + hb_read(&s->dropped[HB_DROP_TAG]));
	assert_in_range(hb_read(&s->dropped[HB_DROP_TAG]), hb_read(&s->received) / 2 - 1,
		hb_read(&s->received) / 2 + 1);
	hb_worker_end(&r->worker);
	unmade(r);
}

static void
not_shed_where_it_is_off_or_time_is_the_captures(void **state)
{
	struct ringed *r = made(&terms);

	(void)state;
	r->snapshot->shed = false;
	hb_worker_begin(&r->worker);
	assert_int_equal(overload(r, 0, 10).shed, 0);
	assert_int_equal(hb_read(&r->worker.stats.admission), 1000);
	/* It is seen as soon as a new snapshot says so, both ways. */
	r->snapshot->shed = true;
	r->snapshot->version++;
	assert_true(overload(r, 0, 10).shed > 0);
	r->snapshot->shed = false;
	r->snapshot->version++;
	assert_int_equal(overload(r, 0, 10).shed, 0);
	hb_worker_end(&r->worker);
	r->ports.port[0].capture = true;
	r->snapshot->shed = true;
	r->snapshot->version++;
	hb_worker_begin(&r->worker);
	assert_false(r->worker.sheds);
	hb_worker_end(&r->worker);
	r->ports.port[0].capture = false;
	r->worker.clock = HB_CLOCK_PACKET;
	hb_worker_begin(&r->worker);
	assert_false(r->worker.sheds);
	hb_worker_end(&r->worker);
	unmade(r);
}

static void
a_told_win_is_told_again_in_overload(void **state)
{
	struct ringed_terms t = terms;
	struct ringed *r;
	unsigned told = 0;

	(void)state;
	t.odds = 1;
	r = made(&t);
	hb_worker_begin(&r->worker);
	for (uint64_t user = 1; user <= 1000; user++) {
		struct hb_request q = request(HB_OP_SHAKE, user << 40, 1);

		assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
		hb_worker_turn(&r->worker);
		hear(r);
	}
	empty_queue(r);
	/* As if only PACKs were let in: repeats are, others aren't. */
	struct hb_admission *a = &r->worker.engine.admission;

	for (uint64_t user = 1; user <= 1000; user += HB_BURST / 2) {
		for (unsigned i = 0; i < HB_BURST; i++) {
			uint64_t who = user + i / 2;
			struct hb_request q = request(HB_OP_SHAKE, who << 40, 1 + i % 2 * 1000);

			bool again = who <= 1000 && i % 2 == 0;

			if (who > 1000)
				q = request(HB_OP_SHAKE, who, 1);
			/* Some are let in and found forged: what is behind comes in their place. */
			if (i % 8 == 7)
				q = request(HB_OP_PACK, who, 1);
			assert_true(ringed_send(
				r, &q, i % 8 == 7, (struct ringed_note){.again = again}));
		}
		a->unbounded = true;
		a->level = HB_ADMISSION_USER_LEVELS;
		hb_worker_turn(&r->worker);
		struct rte_mbuf *m;

		while (ringed_take(r, &m, 1) == 1) {
			unsigned status = ringed_reply(m)[1];

			if (ringed_note_of(m).again) {
				assert_int_equal(status, HB_WIN);
				told++;
			}
			rte_pktmbuf_free(m);
		}
		ringed_settle(r);
	}
	assert_int_equal(told, 1000);
	assert_true(hb_read(&r->worker.stats.shed[HB_OP_SHAKE]) > 700);
	empty_queue(r);
	hb_worker_end(&r->worker);
	unmade(r);
}

static void
a_burst_that_is_not_whole_is_not_shed(void **state)
{
	struct ringed *r = made(&terms);

	(void)state;
	hb_worker_begin(&r->worker);
	r->worker.engine.admission.unbounded = true;
	r->worker.engine.admission.level = 0;
	for (unsigned i = 1; i < HB_BURST; i++) {
		struct hb_request q = request(HB_OP_SHAKE, i, 1);

		assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
	}
	hb_worker_turn(&r->worker);
	assert_int_equal(hear(r).shed, 0);
	hb_worker_end(&r->worker);
	unmade(r);
}

/* The budget of BUSYs is earned by those that are let in alone. */
static void
who_is_refused_earns_no_credit(void **state)
{
	struct ringed *r = made(&terms);
	struct hb_admission *a = &r->worker.engine.admission;

	(void)state;
	hb_worker_begin(&r->worker);
	r->worker.sheds = false;
	a->unbounded = true;
	a->level = 0;
	a->credit = 0;
	for (unsigned i = 0; i < HB_BURST; i++) {
		struct hb_request q = request(HB_OP_SHAKE, 1 + i, 1);

		assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
	}
	hb_worker_turn(&r->worker);
	assert_int_equal(hear(r).shed, HB_BURST);
	assert_int_equal(a->credit, 0);
	hb_worker_end(&r->worker);
	unmade(r);
}

/* Where another worker receives it: it must know whose wins are told, though they aren't its own.
 */
static void
wins_of_other_workers_are_known(void **state)
{
	struct hb_worker *w[3];

	(void)state;
	hb_mem_use_hugepages(false);
	for (unsigned i = 0; i < 3; i++) {
		w[i] = aligned_alloc(HB_CACHE_LINE, sizeof(*w[i]));
		assert_non_null(w[i]);
		memset(w[i], 0, sizeof(*w[i]));
		assert_int_equal(hb_admission_make(&w[i]->engine.admission, 1, 100, NULL), 0);
	}
	assert_int_equal(hb_workers_connect(w, 3, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t user = 1;

		while (w[0]->owner[hb_lane(hb_shard(user))] != i)
			user++;
		struct hb_request r = request(HB_OP_SHAKE, user, 1);

		r.shard = hb_shard(user);
		for (unsigned k = 0; k < 3; k++)
			assert_false(hb_admission_repeats(&w[k]->engine.admission, &r));
		hb_admission_told(&w[i]->engine.admission, user, r.campaign, 1);
		for (unsigned k = 0; k < 3; k++)
			assert_true(hb_admission_repeats(&w[k]->engine.admission, &r));
	}
	hb_workers_disconnect(w, 3);
	for (unsigned i = 0; i < 3; i++) {
		hb_admission_free(&w[i]->engine.admission);
		free(w[i]);
	}
}

/* ---- what it tells ------------------------------------------------------------------- */

static void
tells_version_and_service_time(void **state)
{
	struct ringed *r = made(&terms);
	const struct hb_worker_stats *s = &r->worker.stats;

	(void)state;
	r->snapshot->version = 5;
	hb_worker_begin(&r->worker);
	assert_int_equal(hb_read(&s->version), 5);
	r->snapshot->version = 6;
	hb_worker_turn(&r->worker);
	assert_int_equal(hb_read(&s->version), 6);
	assert_int_equal(r->worker.service_ns->values, 0);
	uint64_t start = hb_mono_ns();

	r->worker.turned_tsc = rte_rdtsc();
	for (unsigned turn = 0; turn < 100; turn++) {
		struct hb_request q = request(HB_OP_SHAKE, 1, turn + 1);

		assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
		hb_worker_turn(&r->worker);
	}
	/* The turns were one after the other, so that together they took that time. */
	assert_int_equal(r->worker.service_ns->values, 100);
	double took = (double)(hb_mono_ns() - start), seen = (double)r->worker.service_ns->sum;

	assert_true(seen > 0.8 * took - 20000 && seen < 1.2 * took + 20000);
	hear(r);
	hb_worker_end(&r->worker);
	unmade(r);
}

/* ---- idle ---------------------------------------------------------------------------- */

static void *
run(void *worker)
{
	hb_worker_run(worker);
	return NULL;
}

static uint64_t
cpu_ns(pthread_t thread)
{
	clockid_t clock;
	struct timespec t;

	assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Waits until a counter has come so far. */
static void
await(const uint64_t *counter, uint64_t value)
{
	uint64_t until = hb_mono_ns() + PATIENCE_NS;

	while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < value) {
		assert_true(hb_mono_ns() < until);
		usleep(100);
	}
}

static void
an_idle_worker_sleeps_if_it_may(void **state)
{
	struct ringed *r = made(&terms);
	const struct hb_worker_stats *s = &r->worker.stats;
	pthread_t thread;

	(void)state;
	r->snapshot->idle_sleep = true;
	assert_int_equal(pthread_create(&thread, NULL, run, &r->worker), 0);
	await(&s->sleeps, 10);
	uint64_t cpu = cpu_ns(thread), sleeps = hb_read(&s->sleeps), polls = hb_read(&s->polls);

	await(&s->sleeps, sleeps + 300);
	/* Each sleep lasts 50 us at least, so that the worker has no more than 0.4 of its core,
	 * whatever else the machine does. (A worker that polls has all of it.) */
	sleeps = hb_read(&s->sleeps) - sleeps;
	cpu = cpu_ns(thread) - cpu;
	assert_true(cpu / sleeps < 33000);
	assert_true(hb_read(&s->polls) - polls < 2 * sleeps);
	/* Requests are answered; after each the worker polls for a while. */
	for (uint64_t i = 1; i <= 100; i++) {
		struct hb_request q = request(HB_OP_SHAKE, i, 1);

		assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
		await(&s->sent, i);
	}
	assert_int_equal(hear(r).replies, 100);
	polls = hb_read(&s->polls);
	await(&s->sleeps, hb_read(&s->sleeps) + 10);
	__atomic_store_n(&r->worker.phase, HB_PHASE_LEAVE, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	unmade(r);
}

static void
a_worker_that_polls_does_not_sleep(void **state)
{
	struct ringed *r = made(&terms);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, run, &r->worker), 0);
	await(&r->worker.stats.polls, 50000);
	assert_int_equal(hb_read(&r->worker.stats.sleeps), 0);
	__atomic_store_n(&r->worker.phase, HB_PHASE_LEAVE, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	unmade(r);
}

static void
one_that_holds_replies_back_does_not_sleep(void **state)
{
	struct ringed_terms t = terms;

	(void)state;
	t.odds = 1;
	struct ringed *r = made(&t);
	struct hb_request q = request(HB_OP_SHAKE, 1, 1);

	r->snapshot->idle_sleep = true;
	hb_worker_begin(&r->worker);
	assert_true(ringed_send(r, &q, false, (struct ringed_note){0}));
	for (unsigned i = 0; i < 20000; i++)
		hb_worker_turn(&r->worker);
	assert_int_equal(hb_read(&r->worker.stats.sleeps), 0);
	/* Told, it may. */
	ringed_settle(r);
	for (unsigned i = 0; i < 5000; i++)
		hb_worker_turn(&r->worker);
	assert_int_equal(hear(r).replies, 1);
	assert_true(hb_read(&r->worker.stats.sleeps) > 0);
	hb_worker_end(&r->worker);
	unmade(r);
}

/* Each turn takes up what it was told, and shows a new snapshot only after all that was told before
 * it, however much that is. */
static void
what_is_told_comes_before_what_is_published(void **state)
{
	struct ringed *r = made(&terms);
	struct hb_worker *w = &r->worker;
	struct hb_link *links[] = {&w->link};
	struct hb_look look = {.user = 1, .rows = 0};
	uint64_t user = 0;

	(void)state;
	hb_worker_begin(w);
	assert_int_equal(hb_links_deny(links, 1, 1, true), 0);
	assert_int_equal(hb_link_look(&w->link, &look), 0);
	hb_worker_turn(w);
	assert_true(look.done && look.denied);
	while (hb_links_deny(links, 1, ++user, true) == 0)
		continue;
	assert_true(user > HB_ORDERS / 2);
	hb_worker_turn(w);
	assert_true(w->engine.denied_count < user - 1);
	uint64_t before = hb_mono_ns();
	r->snapshot->version = 5;
	hb_worker_turn(w);
	assert_int_equal(hb_read(&w->stats.version), 5);
	assert_in_range(hb_read(&w->stats.version_ns), before, hb_mono_ns());
	assert_int_equal(w->engine.denied_count, user - 1);
	hb_worker_end(w);
	unmade(r);
}

/* ---- eight abreast or one by one ------------------------------------------------------ */

#define OPENS_US 1000000000ull
#define CLOSES_US 1000001000ull

static const struct hb_listen both_versions = {.ipv4 = {10, 0, 0, 1},
	.ipv6 = {0xFD, [15] = 1},
	.has_ipv4 = true,
	.has_ipv6 = true,
	.base_port = 8192};

/* What a worker did with all that it was sent. */
struct told {
	uint8_t *bytes; /* all that it sent or gave to the control core, one behind the other */
	size_t used, room;
	unsigned frames;
	struct hb_worker_stats stats;
};

static void
note_frame(struct told *t, struct rte_mbuf *m, uint8_t to)
{
	size_t need = t->used + 3 + m->data_len;

	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, m->data_len);
	if (need > t->room) {
		t->room = 2 * need;
		t->bytes = realloc(t->bytes, t->room);
		assert_non_null(t->bytes);
	}
	t->bytes[t->used] = to;
	put16(t->bytes + t->used + 1, m->data_len);
	memcpy(t->bytes + t->used + 3, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
	t->used = need;
	t->frames++;
	rte_pktmbuf_free(m);
}

/* That a request was early or late by its own time. */
static void
check_time(struct rte_mbuf *m)
{
	const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);
	double at = ringed_note_of(m).at;

	if (get16(f + 12) != 0x0800 || f[42] >> 4 != HB_WIRE_VERSION)
		return;
	if (ringed_reply(m)[1] == HB_EARLY)
		assert_true(at < OPENS_US);
	if (ringed_reply(m)[1] == HB_CLOSED)
		assert_true(at >= CLOSES_US);
}

static void
note_all(struct ringed *r, struct told *t)
{
	struct rte_mbuf *m;

	while (ringed_take(r, &m, 1) == 1) {
		/* What the NIC said of the request isn't said of the reply. */
		assert_int_equal(m->ol_flags, 0);
		if (r->worker.clock == HB_CLOCK_PACKET)
			check_time(m);
		note_frame(t, m, 1);
	}
	while (rte_ring_sc_dequeue(r->worker.to_control, (void **)&m) == 0)
		note_frame(t, m, 2);
	ringed_settle(r);
}

/* Puts 4 bytes of options into a plain frame. */
static uint32_t
add_option(uint8_t *f, uint32_t bytes)
{
	memmove(f + 38, f + 34, bytes - 34);
	memset(f + 34, 1, 4);
	f[14] = 0x46;
	put16(f + 16, bytes - 14 + 4);
	put16(f + 24, 0);
	put16(f + 24, ~sum16(0, f + 14, 24) & 0xFFFF);
	return bytes + 4;
}

/* A request of any kind, right or forged, or nearly one, or none at all. */
static uint32_t
draw_stranger(const struct ringed *r, uint8_t *f, bool odd, uint64_t *random)
{
	uint64_t v = hb_splitmix64(random), how = odd ? (v >> 32) % 20 : 0;
	struct hb_request q = request(how == 1	     ? (enum hb_op)(1 + (v >> 40) % 4)
				      : how % 2 == 1 ? HB_OP_ANSWER
						     : HB_OP_SHAKE,
		1 + v % 300, 1 + (uint32_t)(v >> 10) % 5);
	struct hb_flow flow = {.src_mac = {2, 0, 0, 0, 0, 2},
		.dst_mac = {2, 0, 0, 0, 0, 1},
		.src_port = (uint16_t)(4000 + q.user),
		.dst_port = (uint16_t)(8192 + hb_shard(q.op >= HB_OP_GRAB ? q.arg : q.user)),
		.vlan = how == 2 ? 5 : 0,
		.ipv6 = how == 4 || how == 5};
	uint8_t payload[HB_REQUEST_BYTES_MAX], key[HB_KEY_BYTES];

	memcpy(flow.src_ip, flow.ipv6 ? (uint8_t[16]){0xFD, [15] = 2} : (uint8_t[16]){10, 0, 0, 2},
		16);
	memcpy(flow.dst_ip, flow.ipv6 ? both_versions.ipv6 : (uint8_t[16]){10, 0, 0, 1}, 16);
	q.epoch = (uint8_t)(how == 6 ? 9 : v >> 50 & 1);
	if (q.op == HB_OP_ANSWER)
		q.arg = hb_answer_digest(q.campaign, v >> 51 & 1 ? RINGED_PASSWORD : "blue");
	hb_user_key(key, r->config.keys.epoch_key[q.epoch], q.user);
	unsigned n = hb_wire_encode(&q, q.op == HB_OP_PACK ? r->config.keys.issuer : key, payload);

	/* A tag that is off. */
	payload[n - 1 - (v >> 52) % 8] ^= (uint8_t)(how == 7 || how == 8);
	uint32_t bytes = hb_frame_build(&flow, payload, n, f);
	if (how == 9 || how == 10)
		bytes = add_option(f, bytes);
	else if (how == 11)
		put16(f + 40, 0);
	else if (how == 12)
		f[0] |= 1;
	else if (how == 13)
		memcpy(f + 12,
			"\x08\x06\0\1\x08\0\6\4\0\1\2\0\0\0\0\2\x0A\0\0\2\0\0\0\0\0\0\x0A\0\0\1",
			30);
	else if (how == 14 || how == 15)
		f[(v >> 55) % bytes] ^= (uint8_t)(1u << (v >> 47) % 8);
	else if (how == 16)
		bytes -= 1 + (uint32_t)(v >> 55) % 8;
	else if (how == 17)
		/* Padding. */
		memset(f + bytes, 0, 4), bytes += 4;
	return bytes;
}

static struct rte_mbuf *
stranger(struct ringed *r, bool odd, uint64_t *random)
{
	static const uint64_t seen_by_nic[] = {0, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
		RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_NONE,
		RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD,
		RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD};
	static const uint64_t time[8] = {OPENS_US - 1, OPENS_US, CLOSES_US - 1, CLOSES_US,
		OPENS_US + 9, OPENS_US + 9, OPENS_US + 9, OPENS_US + 9};
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->ports.pool), *tail;
	uint64_t v = hb_splitmix64(random);

	assert_non_null(m);
	m->data_len = (uint16_t)draw_stranger(r, rte_pktmbuf_mtod(m, uint8_t *), odd, random);
	m->pkt_len = m->data_len;
	m->ol_flags = seen_by_nic[v % 64 < HB_COUNT_OF(seen_by_nic) ? v % 64 : v >> 6 & 1 ? 4 : 0];
	if (v >> 7 & 1)
		m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	if (r->worker.clock == HB_CLOCK_PACKET) {
		*RTE_MBUF_DYNFIELD(m, r->ports.timestamp_offset, rte_mbuf_timestamp_t *) =
			time[v >> 16 & 7];
		*(struct ringed_note *)rte_mbuf_to_priv(m) =
			(struct ringed_note){.at = (double)time[v >> 16 & 7]};
	}
	/* In two pieces, with a shake's bytes in the first. */
	if (odd && (v >> 8) % 16 == 0) {
		tail = rte_pktmbuf_alloc(r->ports.pool);
		assert_non_null(tail);
		tail->data_len = 1;
		tail->pkt_len = 1;
		assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	}
	return m;
}

/* Bursts that are all shakes, or have something odd here and there, or are of everything; of every
 * length; with the overload control's level at each height. */
static void
send_strangers(struct ringed *r, unsigned burst, uint64_t *random)
{
	struct hb_admission *a = &r->worker.engine.admission;
	unsigned n = burst % 3 == 0 ? 1 + (unsigned)(hb_splitmix64(random) % HB_BURST) : HB_BURST;
	unsigned rare = burst % 4 == 0 ? 1 : burst % 4 == 1 ? 8 : 64;

	for (unsigned i = 0; i < n; i++) {
		bool odd = burst % 4 != 3 && hb_splitmix64(random) % rare == 0;

		assert_int_equal(rte_ring_sp_enqueue(r->in, stranger(r, odd, random)), 0);
	}
	a->unbounded = true;
	a->level = burst % 5 == 4 ? (uint32_t)(hb_splitmix64(random) % HB_ADMISSION_ALL)
				  : HB_ADMISSION_ALL;
}

/* What is different from the usual. */
enum setting {
	USUAL,
	SECOND_PORT, /* ours stands between two others: replies are written one by one */
	HANDED_OVER, /* half the requests go through the ring between workers */
	CAPTURE_TIME /* each request has a time of its own, near the opening and the end */
};

/* Both ends of the ring to another worker are ours: what we hand over we take in. */
static struct rte_ring *
short_circuit(struct hb_worker *w)
{
	struct rte_ring *ring = hb_ring_make("handover", sizeof(void *), 1024);

	assert_non_null(ring);
	w->workers = 2;
	w->to[1] = w->from[1] = ring;
	for (unsigned lane = HB_LANES / 2; lane < HB_LANES; lane++)
		w->owner[lane] = 1;
	return ring;
}

static void
take_time_from_frames(struct ringed *r)
{
	assert_int_equal(rte_mbuf_dyn_rx_timestamp_register(&r->ports.timestamp_offset, NULL), 0);
	r->worker.clock = HB_CLOCK_PACKET;
	r->campaign[0].opens_us = OPENS_US;
	r->campaign[0].closes_us = CLOSES_US;
	hb_snapshot_free(r->snapshot);
	r->snapshot = hb_snapshot_make(&r->config);
	assert_non_null(r->snapshot);
	r->snapshot->version = 1;
}

/* Has a worker of its own answer the same strangers, with an instruction set. */
static struct told
answer_strangers(const char *isa, enum setting setting)
{
	struct ringed_terms t = {
		.users = 250, .envelopes = 150, .odds = 0.2, .descriptors = DESCRIPTORS};
	struct ringed *r = made(&t);
	struct hb_worker *w = &r->worker;
	struct rte_ring *ring = NULL;
	struct told told = {0};
	uint64_t random = 23;

	assert_int_equal(hb_wire_verify_with(isa), 0);
	memcpy(r->ports.port[0].mac, "\2\0\0\0\0\1", 6);
	if (setting == SECOND_PORT) {
		r->ports.port[1] = r->ports.port[0];
		r->ports.port[0] = (struct hb_port){.id = 98, .mac = {4}};
		r->ports.port[2] = (struct hb_port){.id = 99, .mac = {6}};
		r->ports.count = 3;
	} else if (setting == HANDED_OVER) {
		ring = short_circuit(w);
	} else if (setting == CAPTURE_TIME) {
		take_time_from_frames(r);
	}
	r->snapshot->listen[r->ports.count / 2] = both_versions;
	r->snapshot->keys.epoch_held[1] = true;
	memset(r->snapshot->keys.epoch_key[1], 0x77, HB_KEY_BYTES);
	memset(r->config.keys.epoch_key[1], 0x77, HB_KEY_BYTES);
	hb_worker_begin(w);
	/* Time doesn't come into it. */
	w->sheds = false;
	for (unsigned burst = 0; burst < 600; burst++) {
		send_strangers(r, burst, &random);
		hb_worker_turn(w);
		note_all(r, &told);
	}
	w->engine.admission.level = HB_ADMISSION_ALL;
	while (hb_worker_turn(w) != 0)
		note_all(r, &told);
	note_all(r, &told);
	told.stats = w->stats;
	hb_worker_end(w);
	r->ports.port[0] = r->ports.port[r->ports.count / 2];
	r->ports.count = 1;
	w->workers = 1;
	free(ring);
	unmade(r);
	assert_int_equal(hb_wire_verify_with(NULL), 0);
	return told;
}

static void
assert_same_told(const struct told *a, const struct told *b)
{
	const struct hb_worker_stats *s = &a->stats, *t = &b->stats;

	assert_memory_equal(s->replies, t->replies, sizeof(s->replies));
	assert_memory_equal(s->dropped, t->dropped, sizeof(s->dropped));
	assert_memory_equal(s->shed, t->shed, sizeof(s->shed));
	assert_int_equal(s->received, t->received);
	assert_int_equal(s->wins, t->wins);
	assert_int_equal(s->fen, t->fen);
	assert_int_equal(s->to_control, t->to_control);
	assert_int_equal(s->handed_over, t->handed_over);
	assert_int_equal(s->taken_in, t->taken_in);
	assert_int_equal(s->sent, t->sent);
	assert_int_equal(a->frames, b->frames);
	assert_int_equal(a->used, b->used);
	assert_memory_equal(a->bytes, b->bytes, a->used);
}

/* Every frame has the same fate, in the same order, with the same bytes. */
static void
abreast_or_one_by_one_the_same_comes_out(void **state)
{
	static const enum hb_drop met[] = {
		HB_DROP_JUMBO, HB_DROP_IP_LENGTH, HB_DROP_UDP_CHECKSUM, HB_DROP_EPOCH, HB_DROP_TAG};

	(void)state;
	if (!hb_wire_abreast()) {
		print_message(
			"# this processor has no avx512: nothing goes abreast, and nothing of "
			"it is tested\n");
		skip();
	}
	for (enum setting setting = USUAL; setting <= CAPTURE_TIME; setting++) {
		struct told many = answer_strangers("avx512", setting);
		struct told one = answer_strangers("portable", setting);

		assert_same_told(&many, &one);
		for (unsigned i = 0; i < HB_COUNT_OF(met); i++)
			assert_true(many.stats.dropped[met[i]] != 0);
		assert_true(many.stats.to_control != 0);
		assert_true(many.stats.wins > 100);
		assert_true(many.stats.shed[HB_OP_SHAKE] > 100);
		assert_true(many.stats.replies[HB_STALE] > 100);
		assert_true((many.stats.replies[HB_EARLY] > 20) == (setting == CAPTURE_TIME));
		assert_true((many.stats.taken_in > 1000) == (setting == HANDED_OVER));
		assert_true(many.stats.sent > many.stats.received / 2);
		free(many.bytes);
		free(one.bytes);
	}
}

static int
begin(void **state)
{
	(void)state;
	return ringed_begin("test_worker");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_queue_is_shed_with_spread_waits),
		cmocka_unit_test(the_forged_get_no_busy),
		cmocka_unit_test(not_shed_where_it_is_off_or_time_is_the_captures),
		cmocka_unit_test(a_told_win_is_told_again_in_overload),
		cmocka_unit_test(a_burst_that_is_not_whole_is_not_shed),
		cmocka_unit_test(who_is_refused_earns_no_credit),
		cmocka_unit_test(wins_of_other_workers_are_known),
		cmocka_unit_test(abreast_or_one_by_one_the_same_comes_out),
		cmocka_unit_test(tells_version_and_service_time),
		cmocka_unit_test(what_is_told_comes_before_what_is_published),
		cmocka_unit_test(an_idle_worker_sleeps_if_it_may),
		cmocka_unit_test(a_worker_that_polls_does_not_sleep),
		cmocka_unit_test(one_that_holds_replies_back_does_not_sleep),
	};

	return cmocka_run_group_tests_name("worker", tests, begin, NULL);
}
