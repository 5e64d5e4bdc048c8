/* SPDX-License-Identifier: BSD-3-Clause */
#include "source.h"

#include <errno.h>
#include <stdlib.h>

unsigned
hb_source_next(struct hb_source *s, struct hb_shot *shot, uint8_t *const *frame, unsigned n)
{
	return s->next(s, shot, frame, n);
}

const char *
hb_source_error(const struct hb_source *s)
{
	return s->error.text[0] == '\0' ? NULL : s->error.text;
}

const struct hb_routes *
hb_source_routes(const struct hb_source *s)
{
	return &s->routes;
}

uint64_t
hb_source_total(const struct hb_source *s)
{
	return s->total;
}

void
hb_source_close(struct hb_source *s)
{
	if (s != NULL)
		s->close(s);
}

int
source_route(struct hb_routes *r, const uint8_t *frame, uint32_t l2_bytes, bool ipv6)
{
	const uint8_t *server = frame + l2_bytes + (ipv6 ? 24 : 16);
	unsigned bytes = ipv6 ? 16 : 4, i;

	for (i = 0; i < r->count; i++) {
		const struct hb_route *one = &r->route[i];

		if (one->l2_bytes == l2_bytes && one->ipv6 == ipv6 &&
			memcmp(one->l2, frame, l2_bytes) == 0 &&
			memcmp(one->server, server, bytes) == 0)
			return (int)i;
	}
	if (i == HB_ROUTES_MAX)
		return -1;
	r->route[i] = (struct hb_route){.l2_bytes = (uint8_t)l2_bytes, .ipv6 = ipv6};
	memcpy(r->route[i].l2, frame, l2_bytes);
	memcpy(r->route[i].server, server, bytes);
	r->count++;
	return (int)i;
}

/* ---- a scenario ---------------------------------------------------------------------- */

/* Bundles that can wait to be passed on, and those who grab each: the winner, and friends. */
#define BUNDLES 4096
#define GRABBERS 5

struct bundle {
	uint64_t packet, winner;
	unsigned grabbed;
};

struct scenario {
	struct hb_source source;
	struct hb_scenario *stream;
	struct hb_scenario_moulds moulds;
	const struct hb_scenario_wire *wire;
	/* Bundles that were won and are passed on. */
	struct bundle bundle[BUNDLES];
	uint64_t first, last; /* bundle i stands at i % BUNDLES */
	uint32_t grabs;	      /* made so far; also the last one's seq, so that no two are alike */
	uint64_t users, now_us;
	uint8_t epoch;
};

static unsigned scenario_next(
	struct hb_source *source, struct hb_shot *shot, uint8_t *const *frame, unsigned n);

static void
describe(struct hb_shot *shot, const struct hb_scenario_item *item, const uint8_t *frame,
	uint32_t bytes, uint16_t base_port)
{
	const struct hb_request *r = &item->request;
	unsigned flags = HB_SHOT_REQUEST;

	if (item->flags & HB_SCENARIO_FORGED)
		flags |= HB_SHOT_FORGED;
	if (item->flags & (HB_SCENARIO_RETRY | HB_SCENARIO_REPEATED))
		flags |= HB_SHOT_REPEATS;
	*shot = (struct hb_shot){
		.at_us = r->now_us,
		.key = hb_shot_key(
			frame + 26, false, hb_be16(frame + 34), frame + HB_MOULD_PAYLOAD_AT),
		.user = r->user,
		.packet = r->op >= HB_OP_GRAB ? hb_packet_mark(r->arg) : 0,
		.port = (uint16_t)(base_port + r->shard),
		.bytes = (uint16_t)bytes,
		.epoch = r->epoch,
		.flags = (uint8_t)flags,
	};
}

/* The next who grabs of a bundle: first the winner, then friends, who are any users. */
static void
pass_on(struct scenario *s, struct hb_scenario_item *item)
{
	struct bundle *b = &s->bundle[s->first % BUNDLES];
	uint64_t who =
		hb_mix64(b->packet ^ 0xA0761D6478BD642FULL, b->grabbed + 0x8EBC6AF09C88C6E3ULL);

	*item = (struct hb_scenario_item){
		.request = {
			.op = HB_OP_GRAB,
			.user = b->grabbed == 0 ? b->winner : 1 + who % s->users,
			.arg = b->packet,
			.seq = ++s->grabs,
			.shard = hb_shard(b->packet),
			.epoch = s->epoch,
			.now_us = s->now_us,
		}};
	if (++b->grabbed == GRABBERS)
		s->first++;
}

bool
hb_source_won(struct hb_source *source, uint64_t user, uint64_t packet)
{
	struct scenario *s = (struct scenario *)source;

	if (source->next != scenario_next || s->last - s->first == BUNDLES)
		return false;
	s->bundle[s->last++ % BUNDLES] = (struct bundle){.packet = packet, .winner = user};
	source->total += GRABBERS;
	return true;
}

static unsigned
scenario_next(struct hb_source *source, struct hb_shot *shot, uint8_t *const *frame, unsigned n)
{
	struct scenario *s = (struct scenario *)source;
	struct hb_scenario_item item[HB_BURST];
	uint32_t bytes[HB_BURST];
	unsigned count = 0;

	while (count < n && s->first != s->last)
		pass_on(s, &item[count++]);
	while (count < n && hb_scenario_next(s->stream, &item[count]))
		s->now_us = item[count++].request.now_us;
	if (count == 0)
		return 0;
	hb_scenario_frames(s->wire, &s->moulds, item, count, frame, bytes);
	for (unsigned i = 0; i < count; i++)
		describe(&shot[i], &item[i], frame[i], bytes[i], s->wire->base_port);
	return count;
}

static void
scenario_close(struct hb_source *source)
{
	struct scenario *s = (struct scenario *)source;

	hb_scenario_close(s->stream);
	free(s);
}

int
hb_source_scenario(struct hb_source **out, const char *name,
	const struct hb_scenario_options *stream, const struct hb_source_options *o,
	struct hb_error *e)
{
	struct scenario *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return hb_fail(e, ENOMEM, "no memory for a scenario");
	if ((err = hb_scenario_open(&s->stream, name, stream, e)) != 0) {
		free(s);
		return err;
	}
	s->wire = o->wire;
	hb_scenario_moulds(&s->moulds, s->wire);
	s->source.next = scenario_next;
	s->source.close = scenario_close;
	s->source.total = stream->requests;
	s->users = stream->users;
	s->epoch = stream->epoch;
	/* The longest is a PACK. */
	s->source.total_bytes = stream->requests * s->moulds.mould[HB_OP_PACK].bytes;
	source_route(&s->source.routes, s->moulds.mould[HB_OP_SHAKE].header, 14, false);
	*out = &s->source;
	return 0;
}

/* ---- in memory ----------------------------------------------------------------------- */

/* Shots with their frames behind them, each at a multiple of 8. */
struct memory {
	struct hb_source source;
	struct hb_mem mem;
	const uint8_t *at, *end;
	uint64_t room; /* bytes */
};

static size_t
record_bytes(const struct hb_shot *shot)
{
	return sizeof(*shot) + (shot->bytes + 7u) / 8 * 8;
}

static unsigned
memory_next(struct hb_source *source, struct hb_shot *shot, uint8_t *const *frame, unsigned n)
{
	struct memory *s = (struct memory *)source;
	unsigned count = 0;

	for (; count < n && s->at < s->end; count++) {
		memcpy(&shot[count], s->at, sizeof(*shot));
		memcpy(frame[count], s->at + sizeof(*shot), shot[count].bytes);
		s->at += record_bytes(&shot[count]);
		__builtin_prefetch(s->at + 512);
	}
	return count;
}

static void
memory_close(struct hb_source *source)
{
	struct memory *s = (struct memory *)source;

	hb_mem_free(&s->mem);
	free(s);
}

/* Takes in a frame. False: there is no room for it. */
static bool
store(struct memory *to, const struct hb_shot *shot, const uint8_t *frame)
{
	uint8_t *at = (uint8_t *)to->mem.addr + (to->end - to->at);

	if (record_bytes(shot) > to->room - (uint64_t)(to->end - to->at))
		return false;
	memcpy(at, shot, sizeof(*shot));
	memcpy(at + sizeof(*shot), frame, shot->bytes);
	to->end += record_bytes(shot);
	to->source.total++;
	return true;
}

/* Reads a source as far as it was measured: a capture may be growing. */
static int
load(struct memory *to, struct hb_source *from, const volatile bool *stop, struct hb_error *e)
{
	static uint8_t bytes[HB_BURST][HB_SHOT_BYTES_MAX];
	uint8_t *frame[HB_BURST];
	struct hb_shot shot[HB_BURST];
	struct hb_progress progress;
	bool more = true;

	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	to->at = to->end = to->mem.addr;
	hb_progress_begin(&progress, "preload", "requests", from->total);
	while (!*stop && more) {
		uint64_t left = from->total - to->source.total;
		unsigned n = hb_source_next(
			from, shot, frame, left < HB_BURST ? (unsigned)left : HB_BURST);

		more = n != 0;
		for (unsigned i = 0; i < n && more; i++)
			more = store(to, &shot[i], frame[i]);
		hb_progress_update(&progress, to->source.total);
	}
	hb_progress_end(&progress);
	if (*stop)
		return hb_fail(e, EINTR, "interrupted before the first request was sent");
	const char *why = hb_source_error(from);
	return why == NULL ? 0 : hb_fail(e, EIO, "%s", why);
}

int
hb_source_preload(struct hb_source **s, const volatile bool *stop, struct hb_error *e)
{
	struct hb_source *from = *s;
	int err = from->measure != NULL ? from->measure(from, e) : 0;

	if (err != 0)
		return err;
	struct memory *to = calloc(1, sizeof(*to));
	if (to == NULL)
		return hb_fail(e, ENOMEM, "no memory for frames");
	to->room = from->total_bytes + from->total * (sizeof(struct hb_shot) + 7);
	to->source.next = memory_next;
	to->source.close = memory_close;
	err = hb_mem_alloc(&to->mem, to->room, "frames in memory (--preload)", e);
	if (err == 0)
		err = load(to, from, stop, e);
	if (err != 0) {
		memory_close(&to->source);
		return err;
	}
	to->source.routes = from->routes;
	hb_source_close(from);
	*s = &to->source;
	return 0;
}
