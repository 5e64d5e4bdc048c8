/* SPDX-License-Identifier: BSD-3-Clause */
/* The streams of lib/scenario: their shape against the real events, and what a client may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hb_scenario.h"

#include <errno.h>

#define GALA_START_US (1424260800ull * 1000000)
#define PEAK_MINUTE (2 * 60 + 34) /* 22:34, counted from 20:00 */
#define STREAM_SUM 0xb0e9b823e46e7075ull
#define SECONDS_MAX 20000

static struct hb_scenario_options
options(uint64_t requests, uint64_t users, uint64_t seed)
{
	struct hb_scenario_options o;

	hb_scenario_defaults(&o);
	o.requests = requests;
	o.users = users;
	o.seed = seed;
	return o;
}

static struct hb_scenario *
open_stream(const char *name, const struct hb_scenario_options *o)
{
	struct hb_scenario *s = NULL;
	struct hb_error e = {""};

	if (hb_scenario_open(&s, name, o, &e) != 0)
		fail_msg("%s: %s", name, e.text);
	return s;
}

/* ---- a stream, followed from its start to its end ------------------------------------ */

/* What the test knows of a user. */
struct person {
	struct hb_scenario_item last; /* his own last request */
	bool repeated;
	bool right;
};

struct survey {
	uint64_t requests, retries, forged, right, people, right_people;
	uint64_t quick; /* fresh requests within a second of the same user's last one */
	uint64_t fresh;
	uint64_t second[SECONDS_MAX];
	uint64_t start_us, last_us;
	struct person *person; /* by user */
};

static void
check_retry(struct person *p, const struct hb_scenario_item *item)
{
	const struct hb_request *now = &item->request, *was = &p->last.request;

	assert_true(was->seq > 0);
	assert_false(p->repeated);
	assert_true(p->last.flags & HB_SCENARIO_REPEATED);
	assert_int_equal(now->seq, was->seq);
	assert_int_equal(now->op, was->op);
	assert_int_equal(now->epoch, was->epoch);
	assert_int_equal(now->campaign, was->campaign);
	assert_true(now->arg == was->arg);
	assert_in_range(now->now_us - was->now_us, 1000000, 2000000);
	p->repeated = true;
}

static void
check_fresh(struct survey *v, struct person *p, const struct hb_scenario_item *item)
{
	assert_int_equal(item->request.seq, p->last.request.seq + 1);
	assert_int_equal(p->repeated, (p->last.flags & HB_SCENARIO_REPEATED) != 0);
	v->fresh++;
	v->people += p->last.request.seq == 0;
	v->quick +=
		p->last.request.seq > 0 && item->request.now_us - p->last.request.now_us < 1000000;
	p->last = *item;
	p->repeated = false;
}

static void
look_at(struct survey *v, const struct hb_scenario_options *o, const struct hb_scenario_item *item)
{
	const struct hb_request *r = &item->request;

	assert_in_range(r->user, 1, o->users);
	assert_true(r->seq > 0);
	assert_int_equal(r->campaign, o->campaign);
	assert_int_equal(r->epoch, o->epoch);
	assert_int_equal(r->shard, hb_shard(r->user));
	assert_true(r->now_us >= v->last_us);
	v->last_us = r->now_us;
	uint64_t second = (r->now_us - v->start_us) / 1000000;
	assert_true(second < SECONDS_MAX);
	v->second[second]++;
	v->requests++;
	if (item->flags & HB_SCENARIO_FORGED) {
		v->forged++;
		return;
	}
	struct person *p = &v->person[r->user];
	if (item->flags & HB_SCENARIO_RETRY) {
		v->retries++;
		check_retry(p, item);
	} else {
		check_fresh(v, p, item);
	}
	if (item->flags & HB_SCENARIO_RIGHT) {
		v->right++;
		v->right_people += !p->right;
		p->right = true;
	}
}

static uint64_t
start_of(const char *name)
{
	size_t n;
	const struct hb_scenario_info *info = hb_scenario_list(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(info[i].name, name) == 0)
			return info[i].start_us;
	fail_msg("%s is not listed", name);
	return 0;
}

/* Follows a whole stream and checks every item on the way. */
static struct survey *
survey(const char *name, const struct hb_scenario_options *o)
{
	struct survey *v = test_calloc(1, sizeof(*v));
	struct hb_scenario *s = open_stream(name, o);
	struct hb_scenario_item item;

	v->person = test_calloc(o->users + 1, sizeof(*v->person));
	v->last_us = v->start_us = o->start_us != 0 ? o->start_us : start_of(name);
	while (hb_scenario_next(s, &item))
		look_at(v, o, &item);
	assert_false(hb_scenario_next(s, &item));
	assert_int_equal(v->requests, o->requests);
	assert_int_equal(v->people, hb_scenario_users(s));
	hb_scenario_close(s);
	return v;
}

static void
end_survey(struct survey *v)
{
	test_free(v->person);
	test_free(v);
}

static uint64_t
in_seconds(const struct survey *v, unsigned from, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = from; i < from + n; i++)
		sum += v->second[i];
	return sum;
}

static double
of_all(const struct survey *v, uint64_t n)
{
	return (double)n / (double)v->requests;
}

static void
assert_about(double is, double wanted, double tolerance)
{
	if (is < wanted * (1 - tolerance) || is > wanted * (1 + tolerance))
		fail_msg("%g is not within %g%% of %g", is, tolerance * 100, wanted);
}

/* ---- gala-2015 ----------------------------------------------------------------------- */

static unsigned
busiest_second(const struct survey *v)
{
	unsigned best = 0;

	for (unsigned i = 1; i < SECONDS_MAX; i++)
		if (v->second[i] > v->second[best])
			best = i;
	return best;
}

static void
gala_has_the_shape_of_the_night(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(2000000, 200000, 1);
	struct survey *v = survey("gala-2015", &o);
	uint64_t peak = in_seconds(v, PEAK_MINUTE * 60, 60);

	assert_true(v->start_us == GALA_START_US);
	assert_about(of_all(v, peak), 810e6 / 11.0e9, 0.02);
	for (unsigned minute = 0; minute < 288; minute++)
		if (minute != PEAK_MINUTE)
			assert_true(in_seconds(v, minute * 60, 60) < peak);
	unsigned best = busiest_second(v);
	assert_int_equal(best / 60, PEAK_MINUTE);
	assert_about(of_all(v, v->second[best]), 14e6 / 11.0e9, 0.03);
	/* To 00:48 and the last repeats, with something to do in each minute. */
	assert_in_range(v->last_us - v->start_us, 17279000000, 17282000000);
	for (unsigned minute = 0; minute < 288; minute++)
		assert_true(in_seconds(v, minute * 60, 60) > 0);
	end_survey(v);
}

static void
gala_waves_rise_at_once_and_decay_over_a_minute(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(2000000, 200000, 2);
	struct survey *v = survey("gala-2015", &o);
	unsigned call = PEAK_MINUTE * 60, end = call + 60;
	uint64_t before = in_seconds(v, call - 12, 10) / 10;

	assert_true(v->second[call + 1] > 10 * before);
	assert_true(in_seconds(v, end + 10, 5) < in_seconds(v, end - 5, 5) * 3 / 4);
	assert_true(in_seconds(v, end + 60, 5) < in_seconds(v, end - 5, 5) / 7);
	/* The wave at 22:30 has come and gone before. */
	assert_true(v->second[150 * 60 + 5] > 10 * v->second[150 * 60 - 10]);
	end_survey(v);
}

static void
gala_users_shake_several_times_a_second(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(1000000, 50000, 3);
	struct survey *v = survey("gala-2015", &o);

	/* Runs of 4 on average: about three in four shakes follow at once on another. */
	assert_about((double)v->quick / (double)v->fresh, 0.71, 0.1);
	assert_int_equal(v->people, o.users);
	end_survey(v);
}

/* ---- password-2015 ------------------------------------------------------------------- */

static void
password_has_the_shape_of_the_event(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(999000, 299800, 1);

	o.start_us = 1600000000ull * 1000000;
	struct survey *v = survey("password-2015", &o);
	assert_int_equal(v->people, o.users);
	assert_about(of_all(v, v->right), 0.15, 0.02);
	/* "Close to 15 million people had it right", of 29.98 million. */
	assert_about((double)v->right_people / (double)o.users, 0.5, 0.15);
	/* Nine in ten come within the 156 seconds, and the tail falls. */
	assert_about(of_all(v, in_seconds(v, 0, 158)), 0.91, 0.04);
	assert_true(in_seconds(v, 160, 20) > 2 * in_seconds(v, 200, 20));
	end_survey(v);
}

static void
password_answers_are_digests(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(20000, 6000, 4);
	struct hb_scenario_item item;
	uint64_t right = 0, wrong = 0;

	o.password = "福"; /* also one of the wrong words */
	o.campaign = 9;
	o.right = 0.3;
	struct hb_scenario *s = open_stream("password-2015", &o);
	uint64_t digest = hb_answer_digest(9, "福");
	while (hb_scenario_next(s, &item)) {
		bool is_right = (item.flags & HB_SCENARIO_RIGHT) != 0;
		assert_int_equal(item.request.op, HB_OP_ANSWER);
		assert_int_equal(item.request.arg == digest, is_right);
		*(is_right ? &right : &wrong) += 1;
	}
	hb_scenario_close(s);
	assert_about((double)right / (double)(right + wrong), 0.3, 0.1);
}

static void
password_share_holds_with_few_users(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(200000, 300, 4);
	struct survey *v = survey("password-2015", &o);

	assert_about(of_all(v, v->right), 0.15, 0.05);
	end_survey(v);
}

/* ---- both ---------------------------------------------------------------------------- */

static void
a_stream_is_repeatable_and_depends_on_its_seed(void **state)
{
	(void)state;
	static const char *const name[] = {"gala-2015", "password-2015", "groups", "sponsors"};

	for (size_t i = 0; i < HB_COUNT_OF(name); i++) {
		struct hb_scenario_options o = options(50000, 5000, 11), other = o;
		other.seed = 12;
		struct hb_scenario *a = open_stream(name[i], &o), *b = open_stream(name[i], &o);
		struct hb_scenario *c = open_stream(name[i], &other);
		struct hb_scenario_item x, y, z;
		uint64_t same = 0;
		while (hb_scenario_next(a, &x)) {
			assert_true(hb_scenario_next(b, &y));
			assert_true(hb_scenario_next(c, &z));
			assert_memory_equal(&x.request, &y.request, sizeof(x.request));
			assert_int_equal(x.flags, y.flags);
			same += x.request.user == z.request.user;
		}
		assert_false(hb_scenario_next(b, &y));
		assert_true(same < o.requests / 50);
		hb_scenario_close(a);
		hb_scenario_close(b);
		hb_scenario_close(c);
	}
}

/* ---- groups -------------------------------------------------------------------------- */

#define GROUPS_REQUESTS 300000
#define GROUPS_USERS 30000

/* What the test knows of a packet, found by its id. */
struct group {
	uint64_t id, terms, packed_us, grabs;
};

static struct group *
group_of(struct group *of, uint64_t id)
{
	uint64_t i = id * 0x9E3779B97F4A7C15ULL >> 46;

	while (of[i].id != 0 && of[i].id != id)
		i = (i + 1) % (1 << 18);
	of[i].id = id;
	return &of[i];
}

static void
groups_are_funded_then_grabbed_by_people(void **state)
{
	struct hb_scenario_options o = options(GROUPS_REQUESTS, GROUPS_USERS, 3);
	struct group *of = calloc(1 << 18, sizeof(*of)), *hottest = of;
	uint32_t *seq = calloc(GROUPS_USERS + 1, sizeof(*seq));
	uint64_t packs = 0, grabs = 0, retries = 0, forged = 0, all = 0, last = 0, shares = 0;
	struct hb_scenario_item item;

	(void)state;
	o.forged = 0.02;
	struct hb_scenario *s = open_stream("groups", &o);
	for (; hb_scenario_next(s, &item); all++) {
		const struct hb_request *r = &item.request;
		struct group *k = group_of(of, r->arg);

		assert_true(r->now_us >= last);
		last = r->now_us;
		assert_in_range(r->user, 1, GROUPS_USERS);
		assert_int_equal(r->campaign, 0);
		assert_int_equal(r->shard, hb_shard(r->arg));
		assert_true(r->seq > 0 && r->arg != 0);
		retries += (item.flags & HB_SCENARIO_RETRY) != 0;
		forged += (item.flags & HB_SCENARIO_FORGED) != 0;
		if (item.flags & (HB_SCENARIO_RETRY | HB_SCENARIO_FORGED))
			continue;
		assert_int_equal(r->seq, ++seq[r->user]);
		if (r->op == HB_OP_PACK) {
			assert_int_equal(k->terms, 0);
			*k = (struct group){r->arg, r->terms, r->now_us, 0};
			assert_in_range(r->terms >> 16 & 0xffff, 1, 100);
			assert_true(r->terms >> 32 >= (r->terms >> 16 & 0xffff));
			shares += r->terms >> 16 & 0xffff;
			packs++;
			continue;
		}
		assert_int_equal(r->op, HB_OP_GRAB);
		assert_int_not_equal(k->terms, 0);
		hottest = ++k->grabs > hottest->grabs ? k : hottest;
		grabs++;
	}
	assert_int_equal(all, GROUPS_REQUESTS);
	assert_int_equal(retries, GROUPS_REQUESTS / 20);
	assert_int_equal(forged, GROUPS_REQUESTS / 50);
	assert_true(hb_scenario_users(s) > GROUPS_USERS / 2);
	assert_about((double)grabs / (double)packs, 10, 0.15);
	assert_about((double)shares / (double)packs, 10, 0.15);
	assert_true(hottest->grabs > 3000);
	hb_scenario_close(s);
	free(of);
	free(seq);
}

/* A change here changes every trace that anybody has described by its arguments. */
static void
a_stream_stays_the_same_from_version_to_version(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(100000, 20000, 1);
	struct hb_scenario *s = open_stream("gala-2015", &o);
	struct hb_scenario_item item;
	uint64_t sum = 0;

	while (hb_scenario_next(s, &item))
		sum = hb_mix64(sum ^ item.request.user ^ 0xA0761D6478BD642FULL,
			item.request.now_us ^ (uint64_t)item.request.seq << 52 ^
				(item.flags & ~(unsigned)HB_SCENARIO_REPEATED));
	hb_scenario_close(s);
	assert_int_equal(sum, STREAM_SUM);
}

static void
shares_are_what_was_asked_for(void **state)
{
	(void)state;
	static const struct {
		double retries, forged;
	} shares[] = {{0, 0}, {0.05, 0}, {0.2, 0.3}, {0.5, 0}, {0, 1}, {0.04, 0.9}};

	for (size_t i = 0; i < HB_COUNT_OF(shares); i++) {
		struct hb_scenario_options o = options(100000, 2000, i);
		o.retries = shares[i].retries;
		o.forged = shares[i].forged;
		struct survey *v = survey("gala-2015", &o);
		assert_about((double)v->retries, o.retries * 100000, 0.001);
		assert_about((double)v->forged, o.forged * 100000, 0.001);
		end_survey(v);
	}
}

static void
every_user_comes_if_requests_allow_it(void **state)
{
	(void)state;
	static const struct {
		uint64_t requests, users, come;
	} cases[] = {
		{20000, 10000, 10000},
		{10527, 10000, 10000}, /* 10,000 fresh ones */
		{4000, 10000, 3800},   /* a new user with each fresh one */
		{300000, 4097, 4097},
		{1000, 3, 3},
		{500, 1, 1},
		{1, 1, 1},
	};

	for (size_t i = 0; i < HB_COUNT_OF(cases); i++) {
		struct hb_scenario_options o = options(cases[i].requests, cases[i].users, i);
		struct hb_scenario_item item;
		struct survey *v = survey("password-2015", &o);
		assert_int_equal(v->people, cases[i].come);
		end_survey(v);
		/* One user who waits for many answers takes longer; nothing else changes. */
		struct hb_scenario *s = open_stream("gala-2015", &o);
		while (hb_scenario_next(s, &item))
			;
		assert_int_equal(hb_scenario_users(s), cases[i].come);
		hb_scenario_close(s);
	}
}

static void
newcomers_come_all_night(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(400000, 20000, 5);
	struct hb_scenario *s = open_stream("gala-2015", &o);
	struct hb_scenario_item item;

	for (uint64_t i = 0; i < o.requests / 2; i++)
		assert_true(hb_scenario_next(s, &item));
	assert_about((double)hb_scenario_users(s), 10000, 0.1);
	hb_scenario_close(s);
}

static void
bad_options_are_refused(void **state)
{
	(void)state;
	struct hb_scenario_options good = options(100, 10, 1), bad[10];
	struct hb_scenario *s;
	struct hb_error e;

	for (size_t i = 0; i < HB_COUNT_OF(bad); i++)
		bad[i] = good;
	bad[0].requests = 0;
	bad[1].users = 0;
	bad[2].users = HB_SCENARIO_USERS_MAX + 1ull;
	bad[3].campaign = 0;
	bad[4].retries = 0.51;
	bad[5].forged = 0.95;
	bad[6].right = -0.1;
	bad[7].password = " \t";
	bad[8].retries = -0.1;
	bad[9].right = 0.0 / 0.0;
	for (size_t i = 0; i < HB_COUNT_OF(bad); i++) {
		e.text[0] = '\0';
		assert_int_equal(hb_scenario_open(&s, "gala-2015", &bad[i], &e), -EINVAL);
		assert_true(strlen(e.text) > 10);
	}
	assert_int_equal(hb_scenario_open(&s, "gala-2016", &good, &e), -ENOENT);
	assert_non_null(strstr(e.text, "gala-2015, password-2015"));
}

/* ---- frames -------------------------------------------------------------------------- */

static struct hb_scenario_wire
wire(void)
{
	struct hb_scenario_wire w = {
		.src_mac = {2, 0, 0, 0, 0, 2},
		.dst_mac = {2, 0, 0, 0, 0, 1},
		.server_ip = {10, 64, 0, 77}, /* the address that user 77 would have */
		.base_port = 8192,
	};

	for (unsigned i = 0; i < HB_KEY_BYTES; i++)
		w.keys.epoch_key[3][i] = (uint8_t)(i * 3);
	w.keys.epoch_held[3] = true;
	return w;
}

/* A frame is what its item says, and byte for byte what the general builder makes of it. */
static void
check_frame(const struct hb_scenario_wire *w, const struct hb_listen *listen,
	const struct hb_scenario_item *item, uint8_t *frame, uint32_t bytes)
{
	struct hb_flow flow = {.dst_port = (uint16_t)(8192 + hb_shard(item->request.user))};
	uint8_t built[HB_FRAME_BYTES_MAX];
	struct hb_request r = {0};

	assert_int_equal(hb_frame_parse(listen, frame, bytes, 0, &r), HB_DROP_NONE);
	assert_true(r.user == item->request.user && r.arg == item->request.arg);
	assert_int_equal(r.seq, item->request.seq);
	assert_int_equal(r.campaign, item->request.campaign);
	assert_int_equal(hb_be16(frame + 14 + 20 + 2), flow.dst_port);
	assert_memory_equal(frame, w->dst_mac, 6);
	hb_wire_verify(&w->keys, &r, 1);
	bool forged = (item->flags & HB_SCENARIO_FORGED) != 0;
	assert_int_equal(r.drop, forged ? HB_DROP_TAG : HB_DROP_NONE);
	memcpy(flow.src_mac, w->src_mac, 6);
	memcpy(flow.dst_mac, w->dst_mac, 6);
	memcpy(flow.dst_ip, w->server_ip, 4);
	hb_scenario_source(r.user, w->server_ip, flow.src_ip, &flow.src_port);
	assert_int_equal(hb_frame_build(&flow, r.payload, bytes - 42, built), bytes);
	assert_memory_equal(frame, built, bytes);
}

static void
frames_parse_and_verify(void **state)
{
	(void)state;
	struct hb_scenario_options o = options(20000, 5000, 6);
	struct hb_scenario_wire w = wire();
	struct hb_listen listen = {.has_ipv4 = true, .base_port = w.base_port};
	struct hb_scenario_moulds moulds;
	struct hb_scenario_item item[HB_BURST];
	uint8_t bytes[HB_BURST][HB_FRAME_BYTES_MAX], *frame[HB_BURST];
	uint32_t length[HB_BURST];
	unsigned n = 0, most = 1;

	o.epoch = 3;
	o.forged = 0.1;
	memcpy(listen.ipv4, w.server_ip, sizeof(listen.ipv4));
	hb_scenario_moulds(&moulds, &w);
	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	struct hb_scenario *s = open_stream("password-2015", &o);
	do {
		/* Bursts of every length. */
		most = most % HB_BURST + 1;
		for (n = 0; n < most && hb_scenario_next(s, &item[n]); n++)
			;
		hb_scenario_frames(&w, &moulds, item, n, frame, length);
		for (unsigned i = 0; i < n; i++)
			check_frame(&w, &listen, &item[i], frame[i], length[i]);
	} while (n > 0);
	hb_scenario_close(s);
}

static void
users_have_addresses_of_their_own(void **state)
{
	(void)state;
	struct hb_scenario_wire w = wire();
	uint8_t ip[4], other[4];
	uint16_t port, other_port;

	hb_scenario_source(77, w.server_ip, ip, &port);
	assert_memory_not_equal(ip, w.server_ip, 4);
	assert_int_equal(ip[0], 10);
	for (uint64_t user = 1; user < 100000; user += 7) {
		hb_scenario_source(user, w.server_ip, ip, &port);
		assert_int_equal(ip[0], 10);
		assert_in_range(ip[1], 64, user == 77 ? 191 : 127);
		assert_true(port >= 1024);
		/* The next user of the same address. */
		hb_scenario_source(user + (1 << 22), w.server_ip, other, &other_port);
		assert_memory_equal(ip, other, 4);
		assert_int_not_equal(port, other_port);
		hb_scenario_source(user + 1, w.server_ip, other, &other_port);
		assert_memory_not_equal(ip, other, 4);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gala_has_the_shape_of_the_night),
		cmocka_unit_test(gala_waves_rise_at_once_and_decay_over_a_minute),
		cmocka_unit_test(gala_users_shake_several_times_a_second),
		cmocka_unit_test(password_has_the_shape_of_the_event),
		cmocka_unit_test(password_answers_are_digests),
		cmocka_unit_test(password_share_holds_with_few_users),
		cmocka_unit_test(a_stream_is_repeatable_and_depends_on_its_seed),
		cmocka_unit_test(groups_are_funded_then_grabbed_by_people),
		cmocka_unit_test(a_stream_stays_the_same_from_version_to_version),
		cmocka_unit_test(shares_are_what_was_asked_for),
		cmocka_unit_test(every_user_comes_if_requests_allow_it),
		cmocka_unit_test(newcomers_come_all_night),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(frames_parse_and_verify),
		cmocka_unit_test(users_have_addresses_of_their_own),
	};

	if (hb_wire_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
