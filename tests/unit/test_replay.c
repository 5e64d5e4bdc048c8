/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The replayer's match: requests of this file's own, and replies made up for them, right and wrong
 * in each way that there is. Also its pace and its sources.
 */
#include "hb_replay.h"
#include "source.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull
#define TIMEOUT (100 * MS)
#define BASE 8192

static struct hb_keyring keys;
static struct hb_routes routes;
static struct hb_match *m;

static const uint8_t server_mac[6] = {2, 0, 0, 0, 0, 1}, client_mac[6] = {2, 0, 0, 0, 0, 2};

/* ---- requests and replies made up ---------------------------------------------------- */

/* A request on its way, and the frame that it is. */
struct asked {
	struct hb_shot shot;
	struct hb_flow flow;
	struct hb_request r;
	uint8_t frame[HB_FRAME_BYTES_MAX];
};

static void
make_request(struct asked *a, unsigned op, uint64_t user, uint32_t seq, unsigned flags)
{
	uint8_t key[HB_KEY_BYTES], payload[HB_REQUEST_BYTES_MAX];

	memset(a, 0, sizeof(*a));
	a->r = (struct hb_request){.op = (uint8_t)op, .epoch = 0, .user = user, .seq = seq};
	a->r.campaign = op >= HB_OP_GRAB ? 0 : 7;
	a->r.arg = op == HB_OP_SHAKE ? 0 : 0xFEED0000 + user;
	a->r.shard = hb_shard(op >= HB_OP_GRAB ? a->r.arg : user);
	if (op == HB_OP_PACK)
		memcpy(key, keys.issuer, sizeof(key));
	else
		hb_user_key(key, keys.epoch_key[0], user);
	memcpy(a->flow.src_mac, client_mac, 6);
	memcpy(a->flow.dst_mac, server_mac, 6);
	memcpy(a->flow.src_ip, (uint8_t[]){10, 64, (uint8_t)(user >> 8), (uint8_t)user}, 4);
	memcpy(a->flow.dst_ip, (uint8_t[]){10, 0, 0, 1}, 4);
	a->flow.src_port = 2000;
	a->flow.dst_port = (uint16_t)(BASE + a->r.shard);
	unsigned n = hb_wire_encode(&a->r, key, payload);
	a->shot = (struct hb_shot){
		.key = hb_shot_key(a->flow.src_ip, false, a->flow.src_port, payload),
		.user = user,
		.packet = op >= HB_OP_GRAB ? hb_packet_mark(a->r.arg) : 0,
		.port = a->flow.dst_port,
		.bytes = (uint16_t)hb_frame_build(&a->flow, payload, n, a->frame),
		.flags = (uint8_t)(HB_SHOT_REQUEST | flags),
	};
}

static struct asked
ask_as(unsigned op, uint64_t user, uint32_t seq, unsigned flags, uint64_t due_ns)
{
	struct asked a;

	make_request(&a, op, user, seq, flags);
	hb_match_sent(m, &a.shot, a.frame, 0, due_ns);
	return a;
}

static struct asked
ask(uint64_t user)
{
	return ask_as(HB_OP_SHAKE, user, 1, 0, 0);
}

/* What a reply says, before anything is spoilt. */
struct said {
	uint8_t payload[HB_REPLY_BYTES];
	struct hb_flow flow; /* the way back */
	uint8_t frame[HB_FRAME_BYTES_MAX];
	uint32_t bytes;
};

static void
seal(const struct asked *a, struct said *s)
{
	uint8_t key[HB_KEY_BYTES], tag[HB_TAG_BYTES];

	if (a->r.op == HB_OP_PACK)
		memcpy(key, keys.issuer, sizeof(key));
	else
		hb_user_key(key, keys.epoch_key[0], a->r.user);
	hb_tag(tag, s->payload, 20, key);
	memcpy(s->payload + 20, tag, 4);
}

static struct said
say(const struct asked *a, unsigned status, uint64_t id, uint32_t value)
{
	struct said s = {.flow = a->flow};
	uint64_t wire_id = htobe64(id);
	uint32_t wire_value = htobe32(value);

	memcpy(s.payload, a->frame + 42, 8);
	s.payload[1] = (uint8_t)status;
	memcpy(s.payload + 8, &wire_id, 8);
	memcpy(s.payload + 16, &wire_value, 4);
	if (hb_status_gives(status))
		seal(a, &s);
	memcpy(s.flow.src_mac, a->flow.dst_mac, 6);
	memcpy(s.flow.dst_mac, a->flow.src_mac, 6);
	memcpy(s.flow.src_ip, a->flow.dst_ip, 16);
	memcpy(s.flow.dst_ip, a->flow.src_ip, 16);
	s.flow.src_port = a->flow.dst_port;
	s.flow.dst_port = a->flow.src_port;
	return s;
}

static void
hear_frame(const uint8_t *frame, uint32_t bytes, uint64_t now_ns)
{
	struct hb_heard h;

	if (hb_match_read(m, frame, bytes, 0, &h))
		hb_match_hear(m, &h, now_ns);
}

static void
hear_at(struct said *s, uint64_t now_ns)
{
	s->bytes = hb_frame_build(&s->flow, s->payload, HB_REPLY_BYTES, s->frame);
	hear_frame(s->frame, s->bytes, now_ns);
}

static void
hear(struct said s)
{
	hear_at(&s, MS);
}

static const struct hb_match_counts *
counts(void)
{
	return hb_match_counts(m);
}

/* Exactly one violation, of this kind, and it is told in words. */
static void
assert_broken(enum hb_violation v)
{
	for (unsigned i = 0; i < HB_VIOLATIONS; i++)
		assert_int_equal(counts()->violations[i], i == v);
	assert_true(strlen(hb_match_first(m)) > 20);
	assert_string_not_equal(hb_violation_name(v), "?");
}

static void
assert_kept(void)
{
	if (hb_match_violations(m) != 0)
		fail_msg("%s", hb_match_first(m));
}

/* ---- set-up -------------------------------------------------------------------------- */

static void
open_match_warm(unsigned retries, uint64_t requests, uint64_t warm_up_ns)
{
	struct hb_match_options o = {
		.keys = &keys,
		.routes = &routes,
		.requests = requests,
		.wins = 100,
		.timeout_ns = TIMEOUT,
		.warm_up_ns = warm_up_ns,
		.retries = retries,
		.base_port = BASE,
	};
	struct hb_error e;

	hb_match_close(m);
	m = NULL;
	assert_int_equal(hb_match_open(&m, &o, &e), 0);
}

static void
open_match(unsigned retries, uint64_t requests)
{
	open_match_warm(retries, requests, 0);
}

static int
set_up(void **state)
{
	struct asked a;

	(void)state;
	memset(&keys, 0, sizeof(keys));
	memset(keys.epoch_key[0], 7, HB_KEY_BYTES);
	memset(keys.issuer, 9, HB_KEY_BYTES);
	keys.epoch_held[0] = keys.issuer_held = true;
	make_request(&a, HB_OP_SHAKE, 1, 1, 0);
	routes.count = 1;
	routes.route[0] = (struct hb_route){.l2_bytes = 14};
	memcpy(routes.route[0].l2, a.frame, 14);
	memcpy(routes.route[0].server, a.flow.dst_ip, 4);
	open_match(0, 1000);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hb_match_close(m);
	m = NULL;
	return 0;
}

/* Lets time pass without a reply. */
static void
pass(uint64_t from_ns, uint64_t to_ns)
{
	for (uint64_t t = from_ns; t <= to_ns; t += MS)
		hb_match_sweep(m, t, 0);
}

/* Lets time pass for clients that repeat; how often they did. */
static unsigned
pass_repeating(uint64_t from_ns, uint64_t to_ns)
{
	const uint8_t *frame;
	unsigned queue, tries = 0;

	for (uint64_t t = from_ns; t <= to_ns; t += MS) {
		while (hb_match_again(m, t, &frame, &queue) != 0)
			tries++;
		hb_match_sweep(m, t, UINT64_MAX);
	}
	return tries;
}

/* ---- what is right ------------------------------------------------------------------- */

static void
each_status_that_an_op_can_have(void **state)
{
	static const struct {
		unsigned op;
		uint32_t statuses; /* bits */
	} can[] = {
		{HB_OP_SHAKE, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 |
				      1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17},
		{HB_OP_ANSWER, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 |
				       1 << 8 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 |
				       1 << 17},
		{HB_OP_GRAB, 1 << 1 | 1 << 5 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 17},
		{HB_OP_PACK, 1 << 12 | 1 << 15 | 1 << 16 | 1 << 17},
	};
	uint64_t user = 1;

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(can); i++) {
		for (unsigned status = 1; status < HB_STATUSES; status++) {
			uint64_t before = counts()->violations[HB_VIOLATION_STATUS];
			struct asked a = ask_as(can[i].op, ++user, 1, 0, 0);
			bool gives = hb_status_gives(status);
			uint64_t id = !gives ? 0 : can[i].op >= HB_OP_GRAB ? a.r.arg : user;

			hear(say(&a, status, id, gives ? 100 : 0));
			assert_int_equal(counts()->violations[HB_VIOLATION_STATUS] - before,
				!(can[i].statuses >> status & 1));
			assert_int_equal(hb_match_waiting(m), 0);
		}
	}
	assert_int_equal(hb_match_violations(m), counts()->violations[HB_VIOLATION_STATUS]);
}

static void
latency_is_from_when_it_was_due(void **state)
{
	struct asked a = ask_as(HB_OP_SHAKE, 5, 1, 0, 3000);
	struct said s = say(&a, HB_MISS, 0, 1000);

	(void)state;
	hear_at(&s, 4500);
	assert_int_equal(hb_match_latency(m, HB_MISS)->max, 1500);
	assert_int_equal(hb_match_latency(m, HB_MISS)->values, 1);
	assert_int_equal(counts()->answered, 1);
	assert_int_equal(counts()->replies[HB_MISS], 1);
	assert_kept();
}

/* Many at a time, answered in another order: each reply finds its own, whatever moves in the table.
 */
static void
many_find_their_own(void **state)
{
	enum {
		N = 600
	};
	static struct asked a[N];
	uint64_t random = 3;
	unsigned order[N];

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N; i++) {
			a[i] = ask_as(HB_OP_SHAKE, 1 + hb_splitmix64(&random) % 60000, i + 1, 0,
				i * 1000);
			order[i] = i;
		}
		for (unsigned i = N - 1; i > 0; i--) {
			unsigned k = (unsigned)(hb_splitmix64(&random) % (i + 1)), t = order[i];
			order[i] = order[k];
			order[k] = t;
		}
		for (unsigned i = 0; i < N; i++) {
			struct said s = say(&a[order[i]], HB_EMPTY, 0, 0);
			hear_at(&s, order[i] * 1000 + 777);
		}
		assert_int_equal(hb_match_waiting(m), 0);
	}
	assert_kept();
	assert_int_equal(counts()->answered, 20 * N);
	/* All of them took 777 ns: no reply was taken for another's. */
	assert_int_equal(hb_histogram_percentile(hb_match_latency(m, HB_EMPTY), 0), 777);
	assert_int_equal(hb_match_latency(m, HB_EMPTY)->max, 777);
}

static void
what_is_not_answered_is_lost(void **state)
{
	struct asked a = ask(1), b = ask(2);
	struct said s = say(&b, HB_MISS, 0, 0);

	(void)state;
	hear_at(&s, TIMEOUT - 1);
	pass(0, TIMEOUT);
	assert_int_equal(counts()->lost, 0);
	pass(TIMEOUT, 2 * TIMEOUT - 10 * MS);
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(hb_match_waiting(m), 0);
	s = say(&a, HB_MISS, 0, 0);
	hear_at(&s, 2 * TIMEOUT - 10 * MS);
	assert_int_equal(counts()->late, 1);
	assert_int_equal(hb_match_latency(m, HB_MISS)->values, 1);
	assert_kept();
}

/* The sweep may be behind. */
static void
a_late_reply_is_lost_though_nobody_swept(void **state)
{
	struct asked a = ask(1);
	struct said s = say(&a, HB_MISS, 0, 0);

	(void)state;
	hear_at(&s, TIMEOUT + 1);
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(counts()->late, 1);
	assert_int_equal(hb_match_latency(m, HB_MISS)->values, 0);
}

/* The contract sets a reply no limit of time. */
static void
a_late_reply_is_late_however_late(void **state)
{
	struct asked a = ask(1);
	struct said s = say(&a, HB_MISS, 0, 5);

	(void)state;
	pass(0, 24 * TIMEOUT / 10);
	hear_at(&s, 24 * TIMEOUT / 10);
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(counts()->late, 1);
	assert_kept();
	/* It was sent once: a second reply is one too many. */
	hear_at(&s, 24 * TIMEOUT / 10);
	assert_broken(HB_VIOLATION_UNASKED);
}

/* Time is reckoned from the last try. */
static void
a_late_reply_to_a_further_try(void **state)
{
	(void)state;
	open_match(1, 1000);
	struct asked a = ask(5);
	assert_int_equal(pass_repeating(0, 240 * MS), 1);
	assert_int_equal(counts()->lost, 1);
	struct said s = say(&a, HB_MISS, 0, 5);
	hear_at(&s, 241 * MS);
	assert_int_equal(counts()->late, 1);
	hear_at(&s, 900 * MS);
	assert_int_equal(counts()->late + counts()->again, 2);
	assert_kept();
}

static void
a_slow_reply_to_each_try(void **state)
{
	(void)state;
	open_match(1, 1000);
	struct asked a = ask(5);
	assert_int_equal(pass_repeating(0, 149 * MS), 1);
	struct said s = say(&a, HB_MISS, 0, 5);
	hear_at(&s, 150 * MS);
	pass_repeating(150 * MS, 185 * MS);
	hear_at(&s, 185 * MS);
	pass_repeating(185 * MS, 10 * TIMEOUT);
	hear_at(&s, 10 * TIMEOUT);
	assert_int_equal(counts()->answered, 1);
	assert_int_equal(counts()->again, 2);
	assert_kept();
}

/* Where a row had to go, nobody can say any more that its reply wasn't asked for. */
static void
a_late_reply_to_what_was_forgotten(void **state)
{
	uint64_t user = 0;

	(void)state;
	struct asked a = ask(++user);
	while (hb_match_room(m, 1))
		ask(++user);
	pass(0, 5 * TIMEOUT);
	for (unsigned i = 0; hb_match_room(m, 1) && i < 2000; i++)
		ask_as(HB_OP_SHAKE, ++user, 1, 0, 5 * TIMEOUT);
	for (unsigned i = 0; i < 100; i++) {
		hb_match_sweep(m, 5 * TIMEOUT, 0);
		while (hb_match_room(m, 1))
			ask_as(HB_OP_SHAKE, ++user, 1, 0, 5 * TIMEOUT);
	}
	struct said s = say(&a, HB_MISS, 0, 0);
	hear_at(&s, 5 * TIMEOUT);
	assert_int_equal(counts()->late, 1);
	assert_kept();
}

/* What a late reply says is judged like any other, swept or not. */
static void
late_replies_are_judged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		open_match(0, 1000);
		struct asked a = ask(5), b = ask(6);
		struct said s = say(&a, HB_WIN, 42, 5), t = say(&b, HB_WIN, 42, 5);
		if (i % 2)
			pass(0, 140 * MS);
		if (i / 2 == 1)
			s.payload[20] ^= 1;
		if (i / 2 == 2)
			s.flow.src_ip[3] ^= 1;
		hear_at(&s, 145 * MS);
		if (i / 2 == 0)
			hear_at(&t, 145 * MS);
		assert_broken(i / 2 == 0   ? HB_VIOLATION_GIVEN_TWICE
			      : i / 2 == 1 ? HB_VIOLATION_SEAL
					   : HB_VIOLATION_ADDRESS);
		assert_int_equal(counts()->late, i / 2 == 0 ? 2 : 1);
	}
}

/* A late answer, and another to a further try. */
static void
late_replies_are_held_against_each_other(void **state)
{
	(void)state;
	open_match(1, 1000);
	struct asked a = ask(5);
	pass_repeating(0, 3 * TIMEOUT);
	struct said s = say(&a, HB_WIN, 42, 5);
	hear_at(&s, 3 * TIMEOUT);
	hear_at(&s, 3 * TIMEOUT);
	assert_int_equal(counts()->repeated, 1);
	assert_kept();
	s = say(&a, HB_MISS, 0, 5);
	hear_at(&s, 3 * TIMEOUT);
	assert_broken(HB_VIOLATION_DIFFERS);
}

static void
further_replies_are_judged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		open_match(1, 1000);
		struct asked a = ask_as(i == 2 ? HB_OP_GRAB : HB_OP_SHAKE, 5, 1, 0, 0);
		pass_repeating(0, 149 * MS);
		struct said s = say(&a, i == 2 ? HB_UNKNOWN : HB_WIN, i == 2 ? 0 : 42, 0);
		hear_at(&s, 150 * MS);
		assert_kept();
		if (i == 2)
			s = say(&a, HB_WIN, a.r.arg + 1, 5);
		else if (i == 1)
			s.payload[20] ^= 1;
		else
			s.flow.src_port ^= 1;
		hear_at(&s, 160 * MS);
		assert_true(counts()->violations[i == 0	  ? HB_VIOLATION_ADDRESS
						 : i == 1 ? HB_VIOLATION_SEAL
							  : HB_VIOLATION_PACKET] == 1);
	}
}

static void
giving_up_loses_the_rest(void **state)
{
	(void)state;
	ask(1);
	ask(2);
	hb_match_give_up(m);
	assert_int_equal(counts()->lost, 2);
	assert_int_equal(counts()->measured_lost, 2);
	assert_int_equal(hb_match_waiting(m), 0);
}

static void
the_table_is_bounded_and_comes_free(void **state)
{
	uint64_t user = 0;

	(void)state;
	while (hb_match_room(m, 1))
		ask(++user);
	assert_in_range(user, 1000, 4000);
	pass(0, 5 * TIMEOUT);
	assert_int_equal(counts()->lost, user);
	/* What is lost stays known while there is room for others, */
	uint64_t forgotten = counts()->forgotten, first = user;
	assert_in_range(forgotten, first / 5, first / 3);
	assert_true(hb_match_room(m, (unsigned)forgotten));
	/* and then gives way, however short ago it was lost. */
	for (uint64_t i = 0; i < 700; i++) {
		for (unsigned turn = 0; turn < 8; turn++)
			hb_match_sweep(m, 5 * TIMEOUT, 0);
		assert_true(hb_match_room(m, 1));
		ask_as(HB_OP_SHAKE, ++user, 1, 0, 5 * TIMEOUT);
	}
	assert_int_equal(counts()->lost, first);
	assert_true(counts()->forgotten > forgotten);
	assert_int_equal(counts()->pressed, 0);
}

/* Answers that are remembered for repeats give way where room is wanted. */
static void
answers_give_way_to_requests(void **state)
{
	(void)state;
	for (uint64_t user = 1; hb_match_room(m, 1); user++) {
		struct asked a = ask_as(HB_OP_SHAKE, user, 1, HB_SHOT_REPEATS, 0);
		hear(say(&a, HB_MISS, 0, 0));
	}
	pass(MS, 20 * MS);
	assert_true(hb_match_room(m, HB_BURST));
	assert_true(counts()->pressed > 0);
	assert_int_equal(counts()->lost, 0);
}

static void
a_repeat_gets_the_same(void **state)
{
	struct asked first = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 0);

	(void)state;
	hear(say(&first, HB_WIN, 77, 500));
	struct asked second = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 5 * MS);
	struct said s = say(&second, HB_WIN, 77, 500);
	hear_at(&s, 5 * MS + 1000);
	assert_kept();
	assert_int_equal(counts()->repeated, 1);
	assert_int_equal(counts()->wins, 1);
	assert_int_equal(counts()->fen, 500);
	assert_int_equal(counts()->answered, 2);
}

/* Replies to the first request and to its repeat, both still to come: the later one is meant. */
static void
a_repeat_before_any_reply(void **state)
{
	struct asked first = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 0);
	struct asked second = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 5 * MS);
	struct said s = say(&second, HB_MISS, 0, 10);

	(void)state;
	hear_at(&s, 5 * MS + 1000);
	assert_int_equal(hb_match_latency(m, HB_MISS)->max, 1000);
	s = say(&first, HB_MISS, 0, 10);
	hear_at(&s, 6 * MS);
	assert_kept();
	assert_int_equal(counts()->answered, 2);
	assert_int_equal(counts()->repeated, 1);
}

static void
busy_and_then_an_answer_is_no_difference(void **state)
{
	struct asked first = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 0);

	(void)state;
	hear(say(&first, HB_BUSY, 0, 20));
	struct asked second = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 5 * MS);
	hear(say(&second, HB_WIN, 77, 500));
	assert_kept();
	assert_int_equal(counts()->repeated, 0);
}

static void
frames_that_are_no_replies_are_nobodys_fault(void **state)
{
	uint8_t arp[60] = {[12] = 0x08, [13] = 0x06};
	struct asked a = ask(1);
	struct said s = say(&a, HB_MISS, 0, 0);

	(void)state;
	hear_frame(arp, sizeof(arp), 0);
	s.flow.src_port = 53;
	hear_at(&s, 0);
	assert_kept();
	assert_int_equal(counts()->other_frames, 2);
	assert_int_equal(counts()->answered, 0);
}

static void
warm_up_counts_for_nothing(void **state)
{
	struct hb_match_options o = {.keys = &keys,
		.routes = &routes,
		.requests = 100,
		.wins = 100,
		.timeout_ns = TIMEOUT,
		.warm_up_ns = 10 * MS,
		.base_port = BASE};
	struct hb_error e;

	(void)state;
	hb_match_close(m);
	assert_int_equal(hb_match_open(&m, &o, &e), 0);
	struct asked a = ask_as(HB_OP_SHAKE, 1, 1, 0, 9 * MS);
	ask_as(HB_OP_SHAKE, 2, 1, 0, 9 * MS);
	struct asked b = ask_as(HB_OP_SHAKE, 3, 1, 0, 10 * MS);
	hear(say(&a, HB_MISS, 0, 0));
	hear(say(&b, HB_MISS, 0, 0));
	hb_match_give_up(m);
	assert_int_equal(counts()->measured, 1);
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(counts()->measured_lost, 0);
	assert_int_equal(hb_match_latency(m, HB_MISS)->values, 1);
}

/* A request sent again after the warm-up was still due in it. */
static void
what_is_measured_is_settled_when_it_is_sent(void **state)
{
	(void)state;
	open_match_warm(1, 1000, 50 * MS);
	struct asked a = ask(5);
	ask_as(HB_OP_SHAKE, 6, 1, 0, 60 * MS);
	struct said s = say(&a, HB_THROTTLED, 0, 80);
	hear_at(&s, MS);
	pass_repeating(2 * MS, 500 * MS);
	assert_int_equal(counts()->lost, 2);
	assert_int_equal(counts()->measured, 1);
	assert_int_equal(counts()->measured_lost, 1);
}

static void
who_was_told_to_wait_is_not_lost(void **state)
{
	(void)state;
	open_match(1, 1000);
	struct asked a = ask(5), b = ask(6);
	struct said s = say(&a, HB_EARLY, 0, 3600000);
	hear_at(&s, MS);
	/* Longer than a row can say. */
	s = say(&b, HB_EARLY, 0, UINT32_MAX);
	hear_at(&s, MS);
	ask_as(HB_OP_SHAKE, 7, 1, 0, 200 * MS);
	assert_int_equal(pass_repeating(2 * MS, 250 * MS), 0);
	hb_match_give_up(m);
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(counts()->answered, 2);
	assert_int_equal(counts()->told_to_wait, 2);
	assert_int_equal(counts()->measured_lost, 1);
	assert_int_equal(hb_match_waiting(m), 0);
}

/* Two users behind one address and port, by their servers' ports or by their seals. */
static void
users_who_share_a_socket(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct asked a, b;
		uint64_t other = 6;

		/* In the same shard: the port doesn't tell them apart. */
		while (i >= 2 && hb_shard(other) != hb_shard(5))
			other++;
		open_match(0, 1000);
		make_request(&a, HB_OP_SHAKE, 5, 1, HB_SHOT_REPEATS);
		make_request(&b, HB_OP_SHAKE, other, 1, HB_SHOT_REPEATS);
		memcpy(b.flow.src_ip, a.flow.src_ip, sizeof(b.flow.src_ip));
		b.shot.key = a.shot.key;
		hb_match_sent(m, &a.shot, a.frame, 0, 0);
		hb_match_sent(m, &b.shot, b.frame, 0, 1000);
		hear(say(i % 2 ? &b : &a, i == 3 ? HB_MISS : HB_WIN, i == 3 ? 0 : 42, 5));
		hear(say(i % 2 ? &a : &b, HB_WIN, 43, 5));
		assert_kept();
		assert_int_equal(counts()->answered, 2);
		assert_int_equal(counts()->wins, i == 3 ? 1 : 2);
		/* A seal that fits neither. */
		hb_match_sent(m, &a.shot, a.frame, 0, 2000);
		hb_match_sent(m, &b.shot, b.frame, 0, 3000);
		struct said s = say(&a, HB_WIN, 42, 5);
		s.payload[20] ^= 1;
		hear(s);
		assert_int_equal(counts()->violations[HB_VIOLATION_SEAL], 1);
	}
}

/* A reply that gives nothing may have been taken for the other's. */
static void
users_who_share_a_socket_change_places(void **state)
{
	struct asked a, b;
	uint64_t other = 6;

	(void)state;
	while (hb_shard(other) != hb_shard(5))
		other++;
	for (unsigned i = 0; i < 2; i++) {
		open_match(0, 1000);
		make_request(&a, HB_OP_SHAKE, 5, 1, HB_SHOT_REPEATS);
		make_request(&b, HB_OP_SHAKE, other, 1, HB_SHOT_REPEATS);
		memcpy(b.flow.src_ip, a.flow.src_ip, sizeof(b.flow.src_ip));
		b.shot.key = a.shot.key;
		hb_match_sent(m, &a.shot, a.frame, 0, 0);
		hb_match_sent(m, &b.shot, b.frame, 0, 1000);
		hear(say(i ? &a : &b, HB_MISS, 0, 5));
		hear(say(i ? &b : &a, HB_WIN, 43, 5));
		assert_kept();
		assert_int_equal(counts()->answered, 2);
	}
}

/* A full server forgets who never won. */
static void
a_new_draw_is_no_difference(void **state)
{
	static const struct {
		unsigned before, now;
	} allowed[] = {{HB_MISS, HB_WIN}, {HB_MISS, HB_EMPTY}, {HB_MISS, HB_QUOTA}};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(allowed); i++) {
		open_match(0, 1000);
		struct asked a = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 0);
		hear(say(&a, allowed[i].before, 0, 0));
		a = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 5 * MS);
		hear(say(&a, allowed[i].now, hb_status_gives(allowed[i].now) ? 42 : 0, 0));
		assert_kept();
		assert_int_equal(counts()->drawn_anew, 1);
		assert_int_equal(counts()->repeated, 0);
	}
}

/* Fragments of others, and frames too long, that happen to come by. */
static void
what_others_send_is_nobodys_fault(void **state)
{
	static uint8_t jumbo[4000];
	struct asked a = ask(1);
	struct said s = say(&a, HB_MISS, 0, 0);

	(void)state;
	/* The server's own first. */
	for (unsigned i = 0; i < 3; i++) {
		s.flow.src_ip[3] = i == 1 ? 77 : 1;
		s.bytes = hb_frame_build(&s.flow, s.payload, HB_REPLY_BYTES, s.frame);
		memcpy(jumbo, s.frame, s.bytes);
		jumbo[14 + 9] = i == 2 ? 6 : 17;
		hear_frame(jumbo, sizeof(jumbo), 0);
		assert_int_equal(counts()->violations[HB_VIOLATION_FRAME], 1);
	}
	assert_int_equal(counts()->other_frames, 2);
	hear_frame(jumbo, 9, 0);
	assert_int_equal(counts()->other_frames, 3);
	assert_broken(HB_VIOLATION_FRAME);
}

/* ---- what breaks the contract -------------------------------------------------------- */

static void
a_wrong_seal(void **state)
{
	struct asked a = ask(3);
	struct said s = say(&a, HB_WIN, 5, 100);

	(void)state;
	s.payload[23] ^= 1;
	hear(s);
	assert_broken(HB_VIOLATION_SEAL);
	assert_int_equal(hb_match_waiting(m), 0);
}

static void
a_seal_under_another_key(void **state)
{
	struct asked a = ask(3), other;
	struct said s = say(&a, HB_WIN, 5, 100);

	(void)state;
	make_request(&other, HB_OP_SHAKE, 4, 1, 0);
	seal(&other, &s);
	hear(s);
	assert_broken(HB_VIOLATION_SEAL);
}

static void
nothing_asked(void **state)
{
	struct asked a;

	(void)state;
	make_request(&a, HB_OP_SHAKE, 3, 1, 0);
	hear(say(&a, HB_MISS, 0, 0));
	assert_broken(HB_VIOLATION_UNASKED);
}

static void
one_reply_too_many(void **state)
{
	struct asked a = ask(3), b;

	(void)state;
	hear(say(&a, HB_MISS, 0, 0));
	hear(say(&a, HB_MISS, 0, 0));
	assert_broken(HB_VIOLATION_UNASKED);
	open_match(0, 1000);
	b = ask_as(HB_OP_SHAKE, 3, 1, HB_SHOT_REPEATS, 0);
	hear(say(&b, HB_MISS, 0, 0));
	hear(say(&b, HB_MISS, 0, 0));
	assert_broken(HB_VIOLATION_UNASKED);
}

static void
another_seq_campaign_or_op(void **state)
{
	static const struct {
		unsigned at;
		uint8_t change;
	} spoilt[] = {{7, 3}, {3, 1}, {0, 3}};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(spoilt); i++) {
		open_match(0, 1000);
		struct asked a = ask(3);
		struct said s = say(&a, HB_BUSY, 0, 5);
		s.payload[spoilt[i].at] ^= spoilt[i].change;
		hear(s);
		assert_broken(HB_VIOLATION_UNASKED);
		assert_int_equal(hb_match_waiting(m), 1);
	}
}

static void
a_forged_request_is_answered(void **state)
{
	struct asked a = ask_as(HB_OP_SHAKE, 3, 1, HB_SHOT_FORGED, 0);

	(void)state;
	assert_int_equal(hb_match_waiting(m), 0);
	assert_int_equal(counts()->requests, 0);
	hear(say(&a, HB_MISS, 0, 0));
	assert_broken(HB_VIOLATION_FORGED);
}

static void
values_where_zero_belongs(void **state)
{
	static const struct {
		unsigned status, at;
	} spoilt[] = {{HB_MISS, 15}, {HB_MISS, 23}, {HB_EMPTY, 8}, {HB_EMPTY, 19}, {HB_QUOTA, 16},
		{HB_STALE, 20}, {HB_CLOSED, 17}, {HB_BUSY, 12}, {HB_MOVED, 18}};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(spoilt); i++) {
		open_match(0, 1000);
		struct asked a = ask(3);
		struct said s = say(&a, spoilt[i].status, 0, 0);
		s.payload[spoilt[i].at] = 1;
		hear(s);
		assert_broken(HB_VIOLATION_NONZERO);
	}
}

static void
no_such_status_or_version(void **state)
{
	(void)state;
	struct asked a = ask(3);
	hear(say(&a, 0, 0, 0));
	assert_broken(HB_VIOLATION_PROTOCOL);
	open_match(0, 1000);
	a = ask(3);
	hear(say(&a, HB_STATUSES, 0, 0));
	assert_broken(HB_VIOLATION_PROTOCOL);
	open_match(0, 1000);
	a = ask(3);
	struct said s = say(&a, HB_MISS, 0, 0);
	s.payload[0] = 0x21;
	hear(s);
	assert_broken(HB_VIOLATION_PROTOCOL);
}

static void
bad_checksums(void **state)
{
	static const unsigned at[] = {24, 40, 43, 50};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(at); i++) {
		open_match(0, 1000);
		struct asked a = ask(3);
		struct said s = say(&a, HB_MISS, 0, 0);
		s.bytes = hb_frame_build(&s.flow, s.payload, HB_REPLY_BYTES, s.frame);
		s.frame[at[i]] ^= 0x10;
		hear_frame(s.frame, s.bytes, 0);
		assert_broken(HB_VIOLATION_CHECKSUM);
	}
}

static void
wrong_lengths(void **state)
{
	struct asked a = ask(3);
	struct said s = say(&a, HB_MISS, 0, 0);

	(void)state;
	s.bytes = hb_frame_build(&s.flow, s.payload, HB_REPLY_BYTES - 1, s.frame);
	hear_frame(s.frame, s.bytes, 0);
	assert_broken(HB_VIOLATION_FRAME);
	open_match(0, 1000);
	s.bytes = hb_frame_build(&s.flow, s.payload, HB_REPLY_BYTES, s.frame);
	hear_frame(s.frame, s.bytes - 1, 0);
	assert_broken(HB_VIOLATION_FRAME);
}

static void
wrong_addresses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_match(0, 1000);
		struct asked a = ask(3);
		struct said s = say(&a, HB_MISS, 0, 0);
		if (i == 0)
			s.flow.src_ip[3] = 9;
		else if (i == 1)
			s.flow.src_port ^= 1;
		else if (i == 2)
			s.flow.dst_mac[5] = 9;
		else
			s.flow.vlan = 3;
		hear(s);
		assert_broken(HB_VIOLATION_ADDRESS);
	}
}

static void
another_packet(void **state)
{
	struct asked a = ask_as(HB_OP_GRAB, 3, 1, 0, 0);

	(void)state;
	hear(say(&a, HB_WIN, a.r.arg + 1, 100));
	assert_broken(HB_VIOLATION_PACKET);
	open_match(0, 1000);
	a = ask_as(HB_OP_PACK, 3, 1, 0, 0);
	hear(say(&a, HB_PACKED, a.r.arg + 1, 100));
	assert_broken(HB_VIOLATION_PACKET);
}

static void
two_answers_to_one_seq(void **state)
{
	static const struct {
		unsigned status;
		uint64_t id;
		uint32_t value;
	} then[] = {{HB_MISS, 0, 0}, {HB_WIN, 77, 501}, {HB_EMPTY, 0, 0}};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(then); i++) {
		open_match(0, 1000);
		struct asked a = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 0);
		hear(say(&a, HB_WIN, 77, 500));
		a = ask_as(HB_OP_SHAKE, 9, 4, HB_SHOT_REPEATS, 5 * MS);
		hear(say(&a, then[i].status, then[i].id, then[i].value));
		assert_broken(HB_VIOLATION_DIFFERS);
	}
}

/* Who heard QUOTA has won, and is not forgotten; what is EMPTY stays so; a GRAB draws nothing. */
static void
answers_that_no_new_draw_explains(void **state)
{
	static const struct {
		unsigned op, before, now;
	} wrong[] = {{HB_OP_SHAKE, HB_QUOTA, HB_MISS}, {HB_OP_SHAKE, HB_QUOTA, HB_WIN},
		{HB_OP_SHAKE, HB_EMPTY, HB_WIN}, {HB_OP_GRAB, HB_EMPTY, HB_WIN},
		{HB_OP_SHAKE, HB_BUNDLE, HB_MISS}};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(wrong); i++) {
		open_match(0, 1000);
		struct asked a = ask_as(wrong[i].op, 9, 4, HB_SHOT_REPEATS, 0);
		hear(say(&a, wrong[i].before, wrong[i].before == HB_BUNDLE ? 42 : 0, 0));
		a = ask_as(wrong[i].op, 9, 4, HB_SHOT_REPEATS, 5 * MS);
		hear(say(&a, wrong[i].now, wrong[i].now == HB_WIN ? a.r.arg : 0, 0));
		assert_broken(HB_VIOLATION_DIFFERS);
	}
}

static void
an_envelope_given_twice(void **state)
{
	struct asked a = ask(3), b = ask(4);

	(void)state;
	hear(say(&a, HB_WIN, 77, 500));
	hear(say(&b, HB_WIN, 77, 500));
	assert_broken(HB_VIOLATION_GIVEN_TWICE);
	assert_int_equal(counts()->wins, 1);
}

static void
different_envelopes_are_no_violation(void **state)
{
	(void)state;
	for (uint64_t user = 1; user <= 100; user++) {
		struct asked a = ask(user);
		hear(say(&a, HB_WIN, 30064771000 + user, 500));
	}
	assert_kept();
	assert_int_equal(counts()->wins, 100);
	struct asked a = ask(101);
	hear(say(&a, HB_WIN, 5, 500));
	assert_int_equal(counts()->wins_unchecked, 1);
}

/* ---- a client's own repeats ---------------------------------------------------------- */

/* What is to be sent again at a time, if anything, must be the same frame. */
static bool
again(const struct asked *a, uint64_t now_ns)
{
	const uint8_t *frame;
	unsigned queue;
	uint32_t bytes = hb_match_again(m, now_ns, &frame, &queue);

	if (bytes == 0)
		return false;
	assert_int_equal(bytes, a->shot.bytes);
	assert_memory_equal(frame, a->frame, bytes);
	assert_int_equal(queue, 0);
	return true;
}

static void
a_client_repeats_what_is_not_answered(void **state)
{
	(void)state;
	open_match(2, 1000);
	struct asked a = ask_as(HB_OP_SHAKE, 3, 1, 0, 5 * MS);
	assert_false(again(&a, TIMEOUT));
	assert_true(again(&a, TIMEOUT + 7 * MS));
	assert_false(again(&a, 2 * TIMEOUT));
	assert_true(again(&a, 2 * TIMEOUT + 9 * MS));
	struct said s = say(&a, HB_MISS, 0, 0);
	hear_at(&s, 2 * TIMEOUT + 10 * MS);
	/* From when it was due at first. */
	assert_int_equal(hb_match_latency(m, HB_MISS)->max, 2 * TIMEOUT + 5 * MS);
	assert_int_equal(counts()->retries, 2);
	assert_int_equal(counts()->requests, 1);
	assert_int_equal(counts()->lost, 0);
	/* The other tries may be answered too. */
	hear_at(&s, 2 * TIMEOUT + 11 * MS);
	assert_int_equal(counts()->again, 1);
	assert_false(again(&a, 9 * TIMEOUT));
	assert_kept();
}

static void
a_client_gives_up_in_the_end(void **state)
{
	(void)state;
	open_match(1, 1000);
	struct asked a = ask(3);
	assert_true(again(&a, TIMEOUT + 2 * MS));
	assert_false(again(&a, 3 * TIMEOUT));
	assert_int_equal(counts()->lost, 1);
	assert_int_equal(hb_match_waiting(m), 0);
}

static void
a_client_waits_as_it_is_told(void **state)
{
	(void)state;
	open_match(3, 1000);
	struct asked a = ask(3);
	struct said s = say(&a, HB_BUSY, 0, 250);
	hear_at(&s, 10 * MS);
	assert_int_equal(hb_match_waiting(m), 1);
	assert_false(again(&a, 259 * MS));
	assert_true(again(&a, 262 * MS));
	s = say(&a, HB_WIN, 5, 100);
	hear_at(&s, 263 * MS);
	assert_int_equal(hb_match_latency(m, HB_WIN)->max, 3 * MS);
	assert_int_equal(counts()->answered, 1);
	assert_int_equal(counts()->replies[HB_BUSY], 1);
	assert_kept();
}

/* A wait longer than the wheel, and one of nothing. */
static void
waits_of_any_length(void **state)
{
	(void)state;
	open_match(2, 1000);
	struct asked a = ask(3);
	struct said s = say(&a, HB_EARLY, 0, 20000);
	hear_at(&s, 10 * MS);
	assert_false(again(&a, 9000 * MS));
	assert_false(again(&a, 20009 * MS));
	assert_true(again(&a, 20012 * MS));
	s = say(&a, HB_THROTTLED, 0, 0);
	hear_at(&s, 20013 * MS);
	assert_true(again(&a, 20015 * MS));
	s = say(&a, HB_BUSY, 0, 0);
	hear_at(&s, 20016 * MS);
	assert_int_equal(counts()->answered, 1);
	assert_int_equal(counts()->retries, 2);
	assert_kept();
}

/* Latency after a wait of more than a row has room for is not reckoned from what was left over. */
static void
waits_beyond_all_measure(void **state)
{
	const uint64_t wait_ms = 281474977; /* 2^48 ns, and a little */

	(void)state;
	open_match(2, 1000);
	struct asked a = ask(5);
	struct said s = say(&a, HB_EARLY, 0, (uint32_t)wait_ms);
	hear_at(&s, 20 * MS);
	assert_false(again(&a, wait_ms * MS));
	assert_true(again(&a, (wait_ms + 22) * MS));
	s = say(&a, HB_MISS, 0, 0);
	hear_at(&s, (wait_ms + 23) * MS);
	assert_true(hb_match_latency(m, HB_MISS)->max < 1000 * MS);
	assert_int_equal(counts()->answered, 1);
	assert_kept();
}

static void
final_answers_are_not_repeated(void **state)
{
	static const uint8_t ends[] = {HB_MISS, HB_QUOTA, HB_EMPTY, HB_CLOSED, HB_STALE};

	(void)state;
	open_match(3, 1000);
	for (size_t i = 0; i < HB_COUNT_OF(ends); i++) {
		struct asked a = ask(3 + i);
		hear(say(&a, ends[i], 0, 0));
		assert_false(again(&a, 10 * TIMEOUT));
	}
	assert_int_equal(counts()->answered, HB_COUNT_OF(ends));
	assert_kept();
}

/* Thousands at a time, each on its own way through the wheel. */
static void
many_clients_repeat(void **state)
{
	enum {
		N = 3000
	};
	static struct asked a[N];
	const uint8_t *frame;
	unsigned queue, sent = 0;

	(void)state;
	open_match(1, N);
	for (unsigned i = 0; i < N; i++) {
		a[i] = ask_as(HB_OP_SHAKE, 1 + i, 1, 0, i * 10000);
		if (i % 3 == 0)
			hear(say(&a[i], HB_BUSY, 0, i % 700));
	}
	for (uint64_t t = 0; t < 1200; t++) {
		while (hb_match_again(m, t * MS, &frame, &queue) != 0)
			sent++;
		for (unsigned i = 1; t == 150 && i < N; i += 3)
			hear(say(&a[i], HB_MISS, 0, 0));
		for (unsigned i = 0; t == 790 && i < N; i += 3)
			hear(say(&a[i], HB_MISS, 0, 0));
	}
	assert_int_equal(sent, N);
	assert_int_equal(hb_match_waiting(m), 0);
	assert_int_equal(counts()->answered + counts()->lost, N);
	assert_in_range(counts()->lost, N / 3, N);
}

/* ---- the pace ------------------------------------------------------------------------ */

static void
a_rate_never_drifts(void **state)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 999983, 5000000, 13900001};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(rates); i++) {
		struct hb_pace p = {.kind = HB_PACE_RATE, .rate = rates[i]};
		for (uint64_t n = 0; n < 3000000; n++) {
			unsigned __int128 right = (unsigned __int128)n * 1000000000 / rates[i];
			assert_true(hb_pace_next(&p, 0) == (uint64_t)right);
		}
	}
}

static void
a_capture_keeps_its_times(void **state)
{
	struct hb_pace p = {.kind = HB_PACE_CAPTURE, .speed = 4};
	uint64_t start = 1424268000000000;

	(void)state;
	assert_int_equal(hb_pace_next(&p, start), 0);
	assert_int_equal(hb_pace_next(&p, start + 10), 2500);
	/* Backwards: at once. */
	assert_int_equal(hb_pace_next(&p, start + 4), 2500);
	assert_true(hb_pace_next(&p, start + 17280000000) == 4320000000000);
}

/* So slow that no number says when the next is due. */
static void
a_capture_at_next_to_no_speed(void **state)
{
	struct hb_pace p = {.kind = HB_PACE_CAPTURE, .speed = 1e-300};

	(void)state;
	assert_int_equal(hb_pace_next(&p, 5), 0);
	assert_true(hb_pace_next(&p, 6) > 1ull << 60);
	assert_true(hb_pace_next(&p, 6) <= 1ull << 63);
}

/* ---- sources ------------------------------------------------------------------------- */

/* Everything that a source gives, as one hash; *n says how many frames. */
static uint64_t
read_all(struct hb_source *s, uint64_t *n, uint64_t flags[3])
{
	static uint8_t bytes[HB_BURST][HB_SHOT_BYTES_MAX];
	uint8_t *frame[HB_BURST];
	struct hb_shot shot[HB_BURST];
	uint64_t hash = 1;
	unsigned count;

	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	for (*n = 0; (count = hb_source_next(s, shot, frame, HB_BURST)) != 0; *n += count) {
		for (unsigned i = 0; i < count; i++) {
			hash = hb_mix64(hash ^ shot[i].key, shot[i].at_us ^ shot[i].port);
			hash = hb_mix64(hash ^ shot[i].user, 99 ^ shot[i].epoch);
			for (unsigned k = 0; k < shot[i].bytes; k++)
				hash = hb_mix64(hash ^ bytes[i][k], 0x9E3779B97F4A7C15ULL);
			flags[0] += (shot[i].flags & HB_SHOT_REQUEST) != 0;
			flags[1] += (shot[i].flags & HB_SHOT_FORGED) != 0;
			flags[2] += (shot[i].flags & HB_SHOT_REPEATS) != 0;
		}
	}
	assert_null(hb_source_error(s));
	return hash;
}

static void
write_capture(struct hb_source *s, const char *path)
{
	static uint8_t bytes[HB_BURST][HB_SHOT_BYTES_MAX];
	uint8_t *frame[HB_BURST];
	struct hb_shot shot[HB_BURST];
	pcap_t *form = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *out = pcap_dump_open(form, path);
	unsigned count;

	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	while ((count = hb_source_next(s, shot, frame, HB_BURST)) != 0) {
		for (unsigned i = 0; i < count; i++) {
			struct pcap_pkthdr h = {.caplen = shot[i].bytes, .len = shot[i].bytes};
			h.ts.tv_sec = (time_t)(shot[i].at_us / 1000000);
			h.ts.tv_usec = (suseconds_t)(shot[i].at_us % 1000000);
			pcap_dump((u_char *)out, &h, bytes[i]);
		}
	}
	pcap_dump_close(out);
	pcap_close(form);
}

/* A scenario as it is made, from memory, and from its capture: the same frames, keys and users. */
static void
sources_agree(void **state)
{
	static struct hb_scenario_wire wire;
	struct hb_source_options o = {.wire = &wire};
	struct hb_scenario_options stream;
	const volatile bool stop = false;
	char path[] = "/tmp/hongbao-replay-XXXXXX";
	uint64_t made[3] = {0}, kept[3] = {0}, read[3] = {0}, n[3];
	struct hb_source *s;
	struct hb_error e;

	(void)state;
	wire = (struct hb_scenario_wire){
		.keys = keys, .base_port = BASE, .server_ip = {10, 0, 0, 1}};
	memcpy(wire.src_mac, client_mac, 6);
	memcpy(wire.dst_mac, server_mac, 6);
	hb_scenario_defaults(&stream);
	stream.requests = 20001;
	stream.users = 4000;
	stream.forged = 0.1;
	assert_int_equal(hb_source_scenario(&s, "password-2015", &stream, &o, &e), 0);
	uint64_t hash = read_all(s, &n[0], made);
	hb_source_close(s);

	assert_int_equal(hb_source_scenario(&s, "password-2015", &stream, &o, &e), 0);
	assert_int_equal(hb_source_preload(&s, &stop, &e), 0);
	assert_int_equal(hb_source_total(s), 20001);
	assert_int_equal(hb_source_routes(s)->count, 1);
	assert_true(read_all(s, &n[1], kept) == hash);
	hb_source_close(s);

	close(mkstemp(path));
	assert_int_equal(hb_source_scenario(&s, "password-2015", &stream, &o, &e), 0);
	write_capture(s, path);
	hb_source_close(s);
	assert_int_equal(hb_source_capture(&s, path, &o, &e), 0);
	assert_true(read_all(s, &n[2], read) == hash);
	hb_source_close(s);
	unlink(path);

	assert_true(n[0] == 20001 && n[1] == n[0] && n[2] == n[0]);
	assert_memory_equal(made, kept, sizeof(made));
	assert_int_equal(made[0], 20001);
	assert_int_equal(made[1], 2000);
	assert_int_equal(made[2], 2000);
	/* In a capture it can't be known which come again. */
	assert_true(read[0] == made[0] && read[1] == made[1] && read[2] == 20001);
}

/* ---- captures that are wrong ------------------------------------------------------------ */

static FILE *
begin_capture(char *path)
{
	const uint32_t header[] = {0xA1B2C3D4, 4 << 16 | 2, 0, 0, 65535, DLT_EN10MB};
	FILE *f = fdopen(mkstemp(path), "wb");

	assert_int_equal(fwrite(header, sizeof(header), 1, f), 1);
	return f;
}

static void
put_record(FILE *f, const void *bytes, uint32_t captured, uint32_t length)
{
	const uint32_t header[] = {1424268000, 0, captured, length};

	assert_int_equal(fwrite(header, sizeof(header), 1, f), 1);
	assert_int_equal(fwrite(bytes, captured, 1, f), 1);
}

/* Reads up to a burst; how many. */
static unsigned
read_some(struct hb_source *s)
{
	static uint8_t bytes[HB_BURST][HB_SHOT_BYTES_MAX];
	struct hb_shot shot[HB_BURST];
	uint8_t *frame[HB_BURST];

	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	return hb_source_next(s, shot, frame, HB_BURST);
}

static void
records_that_lie_about_their_length(void **state)
{
	static const uint32_t lies[][2] = {{60000, 60}, {60, 61}, {1523, 1523}, {62, 60}};
	static const uint8_t bytes[60000];
	static struct hb_scenario_wire wire;
	struct hb_source_options o = {.wire = &wire};
	struct hb_source *s;
	struct hb_error e;

	(void)state;
	wire = (struct hb_scenario_wire){.keys = keys, .base_port = BASE};
	for (size_t i = 0; i < HB_COUNT_OF(lies); i++) {
		char path[] = "/tmp/hongbao-replay-XXXXXX";
		FILE *f = begin_capture(path);

		put_record(f, bytes, 60, 60);
		put_record(f, bytes, lies[i][0], lies[i][1]);
		put_record(f, bytes, 60, 60);
		fclose(f);
		assert_int_equal(hb_source_capture(&s, path, &o, &e), 0);
		assert_int_equal(read_some(s), 1);
		assert_non_null(hb_source_error(s));
		assert_int_equal(read_some(s), 0);
		hb_source_close(s);
		unlink(path);
	}
}

/* More servers than there are routes: nothing is played beyond the first that is too many. */
static void
a_capture_ends_with_its_error(void **state)
{
	char path[] = "/tmp/hongbao-replay-XXXXXX";
	static struct hb_scenario_wire wire;
	struct hb_source_options o = {.wire = &wire};
	FILE *f = begin_capture(path);
	struct hb_source *s;
	struct hb_error e;
	struct asked a;

	(void)state;
	wire = (struct hb_scenario_wire){.keys = keys, .base_port = BASE};
	for (unsigned i = 0; i < HB_ROUTES_MAX + 9; i++) {
		make_request(&a, HB_OP_SHAKE, 5, 1, 0);
		a.flow.dst_ip[3] = (uint8_t)(i <= HB_ROUTES_MAX ? i + 1 : 1);
		uint8_t frame[HB_FRAME_BYTES_MAX];
		uint32_t n = hb_frame_build(&a.flow, a.frame + 42, 24, frame);
		put_record(f, frame, n, n);
	}
	fclose(f);
	assert_int_equal(hb_source_capture(&s, path, &o, &e), 0);
	assert_int_equal(read_some(s), HB_ROUTES_MAX);
	assert_non_null(strstr(hb_source_error(s), "more than 16 different servers"));
	assert_int_equal(read_some(s), 0);
	hb_source_close(s);
	unlink(path);
}

/* A source that has more to give than it said when it was measured, like a capture that grows. */
struct growing {
	struct hb_source source;
	unsigned given;
};

static unsigned
growing_next(struct hb_source *s, struct hb_shot *shot, uint8_t *const *frame, unsigned n)
{
	struct growing *g = (struct growing *)s;

	for (unsigned i = 0; i < n; i++, g->given++) {
		shot[i] = (struct hb_shot){.at_us = g->given, .bytes = 1500};
		memset(frame[i], 7, 1500);
	}
	return g->given > 100000 ? 0 : n;
}

static void
growing_close(struct hb_source *s)
{
	(void)s;
}

static void
a_preloaded_source_has_grown(void **state)
{
	/* Also one whose frames have become longer. */
	static const struct {
		uint64_t total, bytes, kept;
	} measured[] = {{70, 70 * 1500, 70}, {70, 35 * 1500, 35}};
	const volatile bool stop = false;
	struct hb_error e;

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(measured); i++) {
		struct growing g = {.source = {.next = growing_next,
					    .close = growing_close,
					    .total = measured[i].total,
					    .total_bytes = measured[i].bytes}};
		struct hb_source *s = &g.source;
		uint64_t n, flags[3] = {0};

		assert_int_equal(hb_source_preload(&s, &stop, &e), 0);
		assert_in_range(hb_source_total(s), measured[i].kept, measured[i].kept + 1);
		read_all(s, &n, flags);
		assert_int_equal(n, hb_source_total(s));
		hb_source_close(s);
	}
}

static int
init(void **state)
{
	(void)state;
	return hb_wire_init();
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_status_that_an_op_can_have),
		T(latency_is_from_when_it_was_due),
		T(many_find_their_own),
		T(what_is_not_answered_is_lost),
		T(a_late_reply_is_lost_though_nobody_swept),
		T(a_late_reply_is_late_however_late),
		T(a_late_reply_to_a_further_try),
		T(a_slow_reply_to_each_try),
		T(a_late_reply_to_what_was_forgotten),
		T(late_replies_are_judged),
		T(late_replies_are_held_against_each_other),
		T(further_replies_are_judged),
		T(giving_up_loses_the_rest),
		T(the_table_is_bounded_and_comes_free),
		T(answers_give_way_to_requests),
		T(a_repeat_gets_the_same),
		T(a_repeat_before_any_reply),
		T(busy_and_then_an_answer_is_no_difference),
		T(frames_that_are_no_replies_are_nobodys_fault),
		T(warm_up_counts_for_nothing),
		T(what_is_measured_is_settled_when_it_is_sent),
		T(who_was_told_to_wait_is_not_lost),
		T(users_who_share_a_socket),
		T(users_who_share_a_socket_change_places),
		T(a_new_draw_is_no_difference),
		T(what_others_send_is_nobodys_fault),
		T(a_wrong_seal),
		T(a_seal_under_another_key),
		T(nothing_asked),
		T(one_reply_too_many),
		T(another_seq_campaign_or_op),
		T(a_forged_request_is_answered),
		T(values_where_zero_belongs),
		T(no_such_status_or_version),
		T(bad_checksums),
		T(wrong_lengths),
		T(wrong_addresses),
		T(another_packet),
		T(two_answers_to_one_seq),
		T(answers_that_no_new_draw_explains),
		T(an_envelope_given_twice),
		T(different_envelopes_are_no_violation),
		T(a_client_repeats_what_is_not_answered),
		T(a_client_gives_up_in_the_end),
		T(a_client_waits_as_it_is_told),
		T(waits_of_any_length),
		T(waits_beyond_all_measure),
		T(final_answers_are_not_repeated),
		T(many_clients_repeat),
		T(a_rate_never_drifts),
		T(a_capture_keeps_its_times),
		T(a_capture_at_next_to_no_speed),
		T(sources_agree),
		T(records_that_lie_about_their_length),
		T(a_capture_ends_with_its_error),
		T(a_preloaded_source_has_grown),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
