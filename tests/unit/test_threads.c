/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration, rings and statistics with a thread for each part, as hongbaod has them: workers
 * that decide and tell, a control core on a disk of memory, and the service thread that changes
 * everything at once. Meant for ThreadSanitizer (tests/run.sh builds it so); the invariants are
 * checked in any build: no envelope twice, nothing told before it is durable, balanced books.
 */
#include "hb_calls.h"
#include "hb_publish.h"
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKERS 2
#define BURST 16
#define ENVELOPES 3000u
#define TOP_UP 500u
#define TOP_UPS 6

struct worker {
	pthread_t thread;
	struct show *show;
	unsigned index;
	uint64_t next_user;
	uint64_t next_packet;
	uint8_t *winner_of; /* by envelope: of both workers, each its own array */
	uint64_t told;	    /* wins. worker: wo; others: ro */
	uint64_t version;   /* of the snapshot seen last. worker: wo; others: ro */
	uint64_t statuses[HB_STATUSES];
	uint64_t wrong;
	uint64_t refunds;
};

struct show {
	struct rig *rig;
	struct hb_publication published;
	struct hb_calls *calls;
	struct worker worker[WORKERS];
	pthread_t control;
	bool over;	   /* workers are to end. service: wo; others: ro */
	bool workers_over; /* the control core is to end */
};

/* ---- a worker ------------------------------------------------------------------------ */

static uint64_t
next_user(struct worker *w)
{
	do
		w->next_user++;
	while (rig_owner(w->show->rig, w->next_user) != w->index);
	return w->next_user;
}

static void
tell_durable(struct worker *w)
{
	struct hb_engine *e = &w->show->rig->engine[w->index];
	void *frame[BURST];
	unsigned n = hb_park_pop(
		&e->park, __atomic_load_n(&e->link->durable, __ATOMIC_ACQUIRE), frame, BURST);

	for (unsigned i = 0; i < n; i++) {
		uint32_t number = (uint32_t)(uintptr_t)frame[i];

		/* 0: an answer that rests on others' records. */
		if (number == 0)
			continue;
		w->wrong += w->winner_of[number] != 0;
		w->winner_of[number]++;
		hb_count(&w->told, 1);
	}
	__atomic_store_n(&e->link->parked, hb_park_used(&e->park), __ATOMIC_RELAXED);
}

static void
decide_burst(struct worker *w)
{
	struct rig *r = w->show->rig;
	struct hb_engine *e = &r->engine[w->index];
	const struct hb_snapshot *s = hb_published(&w->show->published.now);
	struct hb_request q[BURST];
	struct hb_reply reply[BURST];

	for (unsigned i = 0; i < BURST; i++)
		q[i] = rig_shake(r, 7, next_user(w), 1);
	hb_engine_expect(e, s, q, BURST);
	hb_engine_decide(e, s, q, reply, BURST);
	for (unsigned i = 0; i < BURST; i++) {
		uint32_t number = reply[i].status == HB_WIN ? hb_envelope_number(reply[i].id) : 0;

		w->statuses[reply[i].status]++;
		w->wrong += reply[i].status == HB_WIN && reply[i].ticket == 0;
		if (reply[i].ticket != 0)
			hb_park_push(&e->park, (void *)(uintptr_t)number, reply[i].ticket);
	}
	__atomic_store_n(&w->version, s->version, __ATOMIC_RELAXED);
}

/* Funds a packet, has two of its three shares grabbed, and ends those that are over. Each second
 * one is over at once. */
static void
decide_packets(struct worker *w)
{
	struct rig *r = w->show->rig;
	struct hb_engine *e = &r->engine[w->index];
	struct hb_request q[3];
	struct hb_reply reply[HB_COUNT_OF(q)];

	do
		w->next_packet++;
	while (rig_owner(r, w->next_packet) != w->index);
	for (unsigned i = 0; i < HB_COUNT_OF(q); i++)
		q[i] = (struct hb_request){.op = i == 0 ? HB_OP_PACK : HB_OP_GRAB,
			.user = 1 + i,
			.seq = 1,
			.arg = w->next_packet,
			.terms = 100ull << 32 | 3 << 16 | HB_SPLIT_LUCKY << 8 | w->next_packet % 2,
			.shard = hb_shard(w->next_packet),
			.now_us = RIG_NOW};
	hb_engine_decide(e, hb_published(&w->show->published.now), q, reply, HB_COUNT_OF(q));
	for (unsigned i = 0; i < HB_COUNT_OF(q); i++) {
		w->statuses[reply[i].status]++;
		if (reply[i].ticket != 0)
			hb_park_push(&e->park, NULL, reply[i].ticket);
	}
	w->refunds += hb_engine_expire(e, RIG_NOW + 7200 * 1000000ull * (w->next_packet % 8 == 0));
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;
	struct hb_engine *e = &w->show->rig->engine[w->index];

	rcu_register_thread();
	while (!__atomic_load_n(&w->show->over, __ATOMIC_ACQUIRE)) {
		tell_durable(w);
		if (hb_park_room(&e->park) >= 2 * BURST) {
			decide_burst(w);
			decide_packets(w);
		}
		hb_engine_obey(e);
		hb_quiescent();
	}
	/* What was decided is told, and orders are carried out. */
	while (hb_park_used(&e->park) > 0 ||
		!__atomic_load_n(&w->show->workers_over, __ATOMIC_ACQUIRE)) {
		tell_durable(w);
		hb_engine_obey(e);
		hb_quiescent();
		sched_yield();
	}
	rcu_unregister_thread();
	return NULL;
}

/* ---- the control core ---------------------------------------------------------------- */

static void *
control_main(void *arg)
{
	struct show *show = arg;
	struct hb_control *c = &show->rig->control;
	unsigned rests = 0;

	while (rests < 100) {
		unsigned work = hb_control_step(c, hb_mono_ns());

		work += hb_calls_run(show->calls);
		if (!__atomic_load_n(&show->over, __ATOMIC_ACQUIRE))
			continue;
		hb_control_close(c);
		rests = work == 0 && hb_control_closed(c) ? rests + 1 : 0;
		sched_yield();
	}
	__atomic_store_n(&show->workers_over, true, __ATOMIC_RELEASE);
	/* The workers' last wishes. */
	for (unsigned i = 0; i < 1000; i++)
		hb_control_step(c, hb_mono_ns());
	return NULL;
}

/* ---- the service thread -------------------------------------------------------------- */

/* One thing that the control core is asked to do. */
struct task {
	struct hb_call call;
	struct show *show;
	void (*act)(struct task *t);
	struct hb_envelopes *envelopes;
	struct hb_terms terms;
	int err;
	bool done;
};

static void
task_run(struct hb_call *call)
{
	struct task *t = (struct task *)call;

	t->act(t);
}

static void
task_done(struct hb_call *call)
{
	((struct task *)call)->done = true;
}

/* Has it done and waits for that, as a thread with nothing else to do may. */
static int
ask_control(struct task *t, void (*act)(struct task *))
{
	t->act = act;
	t->done = false;
	t->call = (struct hb_call){.run = task_run, .done = task_done};
	assert_int_equal(hb_calls_post(t->show->calls, &t->call), 0);
	while (!t->done) {
		hb_calls_finish(t->show->calls);
		sched_yield();
	}
	return t->err;
}

static void
act_top_up(struct task *t)
{
	t->err = hb_control_top_up(
		&t->show->rig->control, 0, &t->terms, RIG_NOW, t->envelopes, NULL);
}

static void
top_up(struct show *show, unsigned which)
{
	struct task t = {.show = show,
		.envelopes = &(struct hb_envelopes){0},
		.terms = {.count = TOP_UP,
			.total = 10 * TOP_UP,
			.split = HB_SPLIT_LUCKY,
			.seed = which + 2}};

	assert_int_equal(hb_envelopes_make(t.envelopes, &t.terms, "top-up", NULL), 0);
	assert_int_equal(ask_control(&t, act_top_up), 0);
}

static void
bar(struct show *show, uint64_t user, bool denied)
{
	while (hb_links_deny(show->rig->links, WORKERS, user, denied) != 0)
		sched_yield();
}

static void
bar_and_look(struct show *show, uint64_t user)
{
	struct hb_look look = {.user = user, .rows = 1, .row = {{.campaign = 7}}};
	struct hb_packet_look packet = {.id = user};
	struct hb_link *const *links = show->rig->links;
	struct hb_mark mark;

	bar(show, user, true);
	hb_links_mark(links, WORKERS, &mark);
	while (!hb_links_reached(links, WORKERS, &mark))
		sched_yield();
	while (hb_link_look(links[rig_owner(show->rig, user)], &look) != 0)
		sched_yield();
	while (!__atomic_load_n(&look.done, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_true(look.denied);
	bar(show, user, false);
	while (hb_link_look_at_packet(links[rig_owner(show->rig, user)], &packet) != 0)
		sched_yield();
	while (!__atomic_load_n(&packet.done, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_true(packet.packet.id == 0 || packet.packet.total == 100);
}

/* What views and metrics read all the time. */
static uint64_t
read_everything(const struct show *show)
{
	const struct rig *r = show->rig;
	uint64_t sum = hb_read(&r->control.records) + hb_read(&r->control.batches) +
		       hb_read(&r->control.ledger[0].journalled) +
		       hb_read(&r->control.ledger[0].journalled_fen) +
		       hb_read(&r->control.packets.taken) + hb_read(&r->control.packets.refunded);

	for (unsigned w = 0; w < WORKERS; w++) {
		sum += hb_read(&r->stats[w].wins) + hb_read(&r->stats[w].replies[HB_MISS]) +
		       hb_read(&r->link[w].books[0].given) + hb_read(&r->link[w].books[0].stock) +
		       hb_read(&r->link[w].parked) + hb_read(&r->link[w].durable) +
		       hb_read(&r->engine[w].users.used) + hb_read(&r->engine[w].users.winners) +
		       hb_read(&r->link[w].packets.open) + hb_read(&r->link[w].packets.left_fen) +
		       hb_read(&r->engine[w].packets.refused);
	}
	return sum;
}

static void
publish(struct show *show, bool paused)
{
	struct rig *r = show->rig;

	r->campaign[0].paused = paused;
	struct hb_snapshot *s = hb_publish_make(&show->published, &r->config);
	assert_non_null(s);
	hb_publish(&show->published, s);
}

static void
await_seen(const struct show *show)
{
	for (unsigned w = 0; w < WORKERS; w++) {
		while (hb_read(&show->worker[w].version) < show->published.version)
			sched_yield();
	}
}

static uint64_t
told(const struct show *show)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < WORKERS; w++)
		n += hb_read(&show->worker[w].told);
	return n;
}

/* Changes everything over and over until all is given, topped up included. */
static void
run_service(struct show *show)
{
	unsigned topped_up = 0;
	uint64_t all = ENVELOPES;

	for (unsigned round = 0; told(show) < ENVELOPES + TOP_UPS * TOP_UP; round++) {
		publish(show, round % 4 == 1);
		if (round % 8 == 0)
			await_seen(show);
		read_everything(show);
		if (round % 16 == 3)
			bar_and_look(show, 1 + round);
		if (topped_up < TOP_UPS && told(show) > all / 2) {
			top_up(show, topped_up++);
			all += TOP_UP;
		}
	}
	assert_int_equal(topped_up, TOP_UPS);
}

/* ---- the test ------------------------------------------------------------------------ */

static void
start(struct show *show, struct rig *r)
{
	rig_prepare(r);
	r->config.workers = WORKERS;
	r->config.users = 4000000;
	r->config.packets = 200;
	r->config.packet_shares = 600;
	r->config.packet_keep_s = 1;
	r->campaign[0].odds = 0.5;
	r->campaign[0].terms.count = ENVELOPES;
	r->campaign[0].terms.total = 10 * ENVELOPES;
	rig_start(r);
	*show = (struct show){.rig = r};
	assert_int_equal(hb_publish_begin(&show->published, hb_snapshot_make(&r->config)), 0);
	assert_int_equal(hb_calls_make(&show->calls, NULL), 0);
	for (unsigned w = 0; w < WORKERS; w++) {
		show->worker[w] = (struct worker){.show = show, .index = w};
		show->worker[w].winner_of = calloc(ENVELOPES + TOP_UPS * TOP_UP + 1, 1);
		assert_non_null(show->worker[w].winner_of);
	}
	assert_int_equal(pthread_create(&show->control, NULL, control_main, show), 0);
	for (unsigned w = 0; w < WORKERS; w++)
		assert_int_equal(pthread_create(&show->worker[w].thread, NULL, worker_main,
					 &show->worker[w]),
			0);
}

static void
stop(struct show *show)
{
	__atomic_store_n(&show->over, true, __ATOMIC_RELEASE);
	for (unsigned w = 0; w < WORKERS; w++)
		pthread_join(show->worker[w].thread, NULL);
	pthread_join(show->control, NULL);
	hb_publish_end(&show->published);
	hb_calls_free(show->calls);
}

static void
everything_at_once(void **state)
{
	static struct show show;
	struct rig *r = *state;
	struct hb_error e = {{0}};

	start(&show, r);
	run_service(&show);
	stop(&show);
	for (uint32_t n = 1; n <= ENVELOPES + TOP_UPS * TOP_UP; n++)
		assert_int_equal(show.worker[0].winner_of[n] + show.worker[1].winner_of[n], 1);
	for (unsigned w = 0; w < WORKERS; w++) {
		assert_int_equal(show.worker[w].wrong, 0);
		assert_true(show.worker[w].statuses[HB_BUSY] > 0);
		assert_true(show.worker[w].statuses[HB_MISS] > 0);
		assert_true(show.worker[w].statuses[HB_PACKED] > 0);
		assert_true(show.worker[w].statuses[HB_EXPIRED] > 0);
		assert_true(show.worker[w].refunds > 0);
		free(show.worker[w].winner_of);
	}
	if (!hb_control_balanced(&r->control, &e))
		fail_msg("%s", e.text);
	rig_stop(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_at_once, rig_make, rig_free),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
