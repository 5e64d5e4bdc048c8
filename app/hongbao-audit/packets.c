/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <errno.h>
#include <stdlib.h>

#define HOUR_US 3600000000ull

static void
wrong(struct packet_books *b, const struct hb_record *r, const char *what)
{
	b->faults++;
	b->wrong(b->context, r, what);
}

/* ---- open packets -------------------------------------------------------------------- */

static uint64_t
place_of(const struct packet_books *b, uint64_t id)
{
	uint64_t i = hb_mix64(id, 0x9E3779B97F4A7C15ULL) & (b->room - 1);

	while (b->of[i].id != 0 && b->of[i].id != id)
		i = (i + 1) & (b->room - 1);
	return i;
}

static struct open_packet *
find(const struct packet_books *b, uint64_t id)
{
	struct open_packet *p = b->room == 0 ? NULL : &b->of[place_of(b, id)];

	return p == NULL || p->id == 0 ? NULL : p;
}

static int
grow(struct packet_books *b)
{
	struct packet_books larger = *b;

	larger.room = b->room == 0 ? 1024 : 2 * b->room;
	larger.of = calloc(larger.room, sizeof(*larger.of));
	if (larger.of == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < b->room; i++) {
		if (b->of[i].id != 0)
			larger.of[place_of(&larger, b->of[i].id)] = b->of[i];
	}
	free(b->of);
	b->of = larger.of;
	b->room = larger.room;
	return 0;
}

/* Takes an entry out; those behind it that would no longer be found come forward. */
static void
take_out(struct packet_books *b, struct open_packet *p)
{
	uint64_t hole = (uint64_t)(p - b->of), mask = b->room - 1;

	free(p->holder);
	for (uint64_t i = (hole + 1) & mask; b->of[i].id != 0; i = (i + 1) & mask) {
		uint64_t home = hb_mix64(b->of[i].id, 0x9E3779B97F4A7C15ULL) & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		b->of[hole] = b->of[i];
		hole = i;
	}
	b->of[hole] = (struct open_packet){0};
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool
any_twice(uint64_t *of, uint64_t n)
{
	if (n > 0)
		qsort(of, n, sizeof(*of), by_number);
	for (uint64_t i = 1; i < n; i++) {
		if (of[i] == of[i - 1])
			return true;
	}
	return false;
}

/* The packet is done. */
static int
close_packet(struct packet_books *b, struct open_packet *p, const struct hb_record *r)
{
	if (any_twice(p->holder, p->taken))
		wrong(b, r, "gave a user two shares");
	if (b->done_count == b->done_room) {
		uint64_t room = b->done_room == 0 ? 4096 : 2 * b->done_room;
		uint64_t *more = realloc(b->done, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		b->done = more;
		b->done_room = room;
	}
	b->done[b->done_count++] = p->id;
	b->open--;
	take_out(b, p);
	return 0;
}

/* ---- records ------------------------------------------------------------------------- */

static int
enter_pack(struct packet_books *b, const struct hb_record *r)
{
	uint32_t shares = r->aux >> 8;

	b->packets++;
	b->fen += r->amount;
	b->bundles += r->campaign != 0;
	b->bundles_fen += r->campaign != 0 ? r->amount : 0;
	if (r->id == 0 || r->user == 0 || shares == 0 || shares > UINT16_MAX ||
		r->amount < shares || (r->op != HB_SPLIT_EQUAL && r->op != HB_SPLIT_LUCKY)) {
		wrong(b, r, "is funded on terms that make no sense");
		return 0;
	}
	if (find(b, r->id) != NULL) {
		wrong(b, r, "is funded a second time");
		return 0;
	}
	if (2 * b->open >= b->room && grow(b) != 0)
		return -ENOMEM;
	struct open_packet *p = &b->of[place_of(b, r->id)];
	*p = (struct open_packet){
		.id = r->id,
		.user = r->user,
		.over_us = r->time_us + (r->aux & 255) * HOUR_US,
		.holder = malloc(shares * sizeof(*p->holder)),
		.left = r->amount,
		.shares = (uint16_t)shares,
		.campaign = r->campaign,
		.split = r->op,
	};
	b->open++;
	b->left_fen += r->amount;
	return p->holder == NULL ? -ENOMEM : 0;
}

/* What is wrong with a share, or NULL. */
static const char *
share_fault(const struct open_packet *p, const struct hb_record *r)
{
	uint32_t open = (uint32_t)(p->shares - p->taken);

	if (r->user == 0 || r->seq == 0)
		return "gives a share to nobody";
	if (r->campaign != p->campaign)
		return "gives a share in another campaign's name";
	if (r->aux != p->taken + 1u)
		return "gives its shares out of order";
	if (r->time_us >= p->over_us)
		return "gives a share after its time";
	if (r->amount == 0 || r->amount > p->left || p->left - r->amount < open - 1)
		return "gives a share that leaves the others too little";
	if (open == 1 && r->amount != p->left)
		return "gives a last share that isn't all that is left";
	if (p->split == HB_SPLIT_EQUAL && r->amount != (p->left + (uint64_t)open - 1) / open)
		return "gives a share that isn't equal";
	if (p->split == HB_SPLIT_LUCKY && open > 1 && (uint64_t)r->amount * open > 2ull * p->left)
		return "gives a share of over twice the mean";
	return NULL;
}

static int
enter_grab(struct packet_books *b, const struct hb_record *r)
{
	struct open_packet *p = find(b, r->id);
	const char *fault = p == NULL ? "gives a share that it doesn't have" : share_fault(p, r);

	b->taken++;
	b->taken_fen += r->amount;
	if (fault != NULL)
		wrong(b, r, fault);
	if (p == NULL)
		return 0;
	uint32_t fen = r->amount < p->left ? r->amount : p->left;
	p->holder[p->taken++] = r->user;
	p->left -= fen;
	b->left_fen -= fen;
	return p->taken == p->shares ? close_packet(b, p, r) : 0;
}

static int
enter_refund(struct packet_books *b, const struct hb_record *r)
{
	struct open_packet *p = find(b, r->id);

	b->refunded++;
	b->refunded_fen += r->amount;
	if (p == NULL) {
		wrong(b, r, "gives back what isn't left in it");
		return 0;
	}
	if (r->amount != p->left || r->aux != (uint32_t)(p->shares - p->taken))
		wrong(b, r, "gives back what isn't left in it");
	if (r->user != p->user || r->campaign != p->campaign)
		wrong(b, r, "gives back to somebody else");
	if (r->time_us < p->over_us)
		wrong(b, r, "gives back before its time");
	b->left_fen -= p->left;
	return close_packet(b, p, r);
}

int
packet_books_enter(struct packet_books *b, const struct hb_record *r)
{
	switch (r->type) {
	case HB_RECORD_PACK:
		return enter_pack(b, r);
	case HB_RECORD_GRAB:
		return enter_grab(b, r);
	default:
		return enter_refund(b, r);
	}
}

/* ---- at the end ---------------------------------------------------------------------- */

void
packet_books_close(struct packet_books *b)
{
	uint64_t left = 0, open = 0;

	for (uint64_t i = 0; i < b->room; i++) {
		struct open_packet *p = &b->of[i];
		struct hb_record none = {.id = p->id};

		if (p->id == 0)
			continue;
		if (any_twice(p->holder, p->taken))
			wrong(b, &none, "gave a user two shares");
		left += p->left;
		open++;
	}
	if (open != b->open || left != b->left_fen ||
		b->fen != b->taken_fen + b->left_fen + b->refunded_fen)
		wrong(b, &(struct hb_record){0}, "doesn't hold what is left in all of them");
	if (b->done_count > 0)
		qsort(b->done, b->done_count, sizeof(*b->done), by_number);
	for (uint64_t i = 0; i < b->done_count; i++)
		b->used_again +=
			(i > 0 && b->done[i] == b->done[i - 1]) || find(b, b->done[i]) != NULL;
}

void
packet_books_free(struct packet_books *b)
{
	for (uint64_t i = 0; i < b->room; i++)
		free(b->of[i].holder);
	free(b->of);
	free(b->done);
	*b = (struct packet_books){0};
}
