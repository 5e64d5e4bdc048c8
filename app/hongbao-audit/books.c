/* SPDX-License-Identifier: BSD-3-Clause */
#include "books.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Faults that are said in full; the others are counted. */
#define FAULTS_SAID 20

static void fault(struct books *b, struct book *book, const char *fmt, ...) HB_PRINTF(3, 4);

static void
fault(struct books *b, struct book *book, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (book != NULL)
		book->faults++;
	if (++b->faults > FAULTS_SAID || b->say == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	b->say(line);
}

static struct book *
book_of(struct books *b, uint16_t campaign)
{
	if (b->of[campaign] == NULL)
		b->of[campaign] = calloc(1, sizeof(struct book));
	return b->of[campaign];
}

/* Makes the amounts of a funding again, behind those of the ones before it. */
static int
make_amounts(struct book *book, const struct hb_terms *t)
{
	uint64_t count = book->funded + t->count, had = (book->funded + 7) / 8;
	uint32_t *amount = realloc(book->amount, count * sizeof(*amount));
	uint8_t *given = realloc(book->given, count / 8 + 1);
	struct hb_splitter s;

	book->amount = amount != NULL ? amount : book->amount;
	book->given = given != NULL ? given : book->given;
	if (amount == NULL || given == NULL)
		return -ENOMEM;
	memset(given + had, 0, count / 8 + 1 - had);
	hb_splitter_begin(&s, t);
	for (uint64_t i = book->funded; i < count; i++)
		amount[i] = hb_splitter_next(&s);
	return 0;
}

static int
note_top_up(struct book *book, const struct hb_fund *f)
{
	struct topping *more = realloc(book->top_up, (book->top_ups + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	book->top_up = more;
	more[book->top_ups++] = (struct topping){
		.envelopes = f->terms.count, .fen = f->terms.total, .time_us = f->time_us};
	return 0;
}

/* Numbers that another block has are none of a new one's. */
static bool
apart(const struct book *book, const struct hb_lease *lease, uint32_t count)
{
	for (unsigned i = 0; i < book->blocks; i++) {
		const struct block *k = &book->block[i];

		if (k->number == lease->block || (lease->first < (uint64_t)k->first + k->count &&
							 k->first < (uint64_t)lease->first + count))
			return false;
	}
	return true;
}

static int
note_block(struct book *book, const struct hb_fund *f)
{
	struct block *more = realloc(book->block, (book->blocks + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	book->block = more;
	more[book->blocks++] = (struct block){
		.number = f->lease.block,
		.first = f->lease.first,
		.count = f->terms.count,
		.at = book->funded,
		.tiered = f->terms.split == HB_SPLIT_TIERS,
	};
	return 0;
}

static int
note_funding(struct book *book, const struct hb_fund *f)
{
	if (f->lease.block != 0)
		return note_block(book, f);
	return book->funded == 0 ? 0 : note_top_up(book, f);
}

static void
note_quota(struct book *book, uint32_t wins_per_user)
{
	if (wins_per_user > book->quota)
		book->quota = wins_per_user;
}

/* A funding is complete: a campaign's first, or a top-up. */
static int
close_funding(struct books *b)
{
	struct book *book = book_of(b, b->fund.campaign);
	const struct hb_terms *t = &b->fund.terms;

	if (book == NULL)
		return -ENOMEM;
	if (t->count > HB_COUNT_MAX - book->funded || t->total > HB_TOTAL_MAX - book->total_fen) {
		fault(b, book, "record %llu: campaign %u is topped up beyond what can be counted",
			(unsigned long long)b->records, b->fund.campaign);
		return 0;
	}
	if ((b->fund.lease.block != 0) != (book->blocks > 0) && book->funded != 0)
		fault(b, book,
			"record %llu: campaign %u has a budget of its own and blocks of another",
			(unsigned long long)b->records, b->fund.campaign);
	if (b->fund.lease.block != 0 && !apart(book, &b->fund.lease, t->count))
		fault(b, book,
			"record %llu: block %u of campaign %u, or a number of it, was there before",
			(unsigned long long)b->records, b->fund.lease.block, b->fund.campaign);
	if (make_amounts(book, t) != 0 || note_funding(book, &b->fund) != 0)
		return -ENOMEM;
	book->funded += t->count;
	book->total_fen += t->total;
	note_quota(book, b->fund.wins_per_user);
	return 0;
}

static int
enter_fund(struct books *b, const struct hb_record *r)
{
	int rc = hb_fund_decode(&b->fund, r);

	if (rc < 0) {
		fault(b, NULL, "record %llu: the funding of campaign %u makes no sense",
			(unsigned long long)b->records, r->campaign);
		b->fund = (struct hb_fund){0};
		return 0;
	}
	return rc == 0 ? 0 : close_funding(b);
}

static int
keep_win(struct books *b, const struct hb_record *r, uint32_t elsewhere)
{
	if (b->wins == b->wins_room) {
		uint64_t room = b->wins_room == 0 ? 4096 : b->wins_room * 2;
		struct win *more = realloc(b->win, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		b->win = more;
		b->wins_room = room;
	}
	b->win[b->wins++] = (struct win){.user = r->user,
		.record = b->records,
		.amount = elsewhere == 0 ? r->amount : 0,
		.campaign = r->campaign,
		.elsewhere = (uint16_t)elsewhere};
	return 0;
}

/* The place of an envelope in amount[] and given[], by its number in the whole campaign. Returns
 * whether there is one. */
static bool
find_envelope(struct book *book, uint32_t number, uint64_t *at)
{
	if (book->blocks == 0) {
		*at = number - 1ull;
		return number != 0 && number <= book->funded;
	}
	for (unsigned i = 0; i < book->blocks; i++) {
		unsigned k = (book->last_block + i) % book->blocks;
		const struct block *block = &book->block[k];

		if (number - block->first >= block->count)
			continue;
		book->last_block = k;
		*at = block->at + (number - block->first);
		return true;
	}
	return false;
}

/* Marks an envelope, and says whether it was marked before. */
static bool
mark(struct book *book, uint64_t at)
{
	uint8_t bit = (uint8_t)(1u << (at % 8)), *given = &book->given[at / 8];
	bool before = (*given & bit) != 0;

	*given |= bit;
	return before;
}

static int
enter_win(struct books *b, const struct hb_record *r)
{
	struct book *book = book_of(b, r->campaign);
	uint32_t number = hb_envelope_number(r->id);
	unsigned long long record = b->records;
	uint64_t at;

	if (book == NULL)
		return -ENOMEM;
	book->wins++;
	book->fen += r->amount;
	if (book->first_us == 0 || r->time_us < book->first_us)
		book->first_us = r->time_us;
	if (r->time_us > book->last_us)
		book->last_us = r->time_us;
	if (book->funded == 0) {
		fault(b, book, "record %llu: a win in campaign %u, which was never funded", record,
			r->campaign);
		return keep_win(b, r, 0);
	}
	if (!find_envelope(book, number, &at) || r->id != hb_envelope_id(r->campaign, number)) {
		fault(b, book, "record %llu: campaign %u has no envelope %llu", record, r->campaign,
			(unsigned long long)r->id);
		return keep_win(b, r, 0);
	}
	if (mark(book, at))
		fault(b, book, "record %llu: envelope %llu of campaign %u is given a second time",
			record, (unsigned long long)r->id, r->campaign);
	if (r->amount != book->amount[at])
		fault(b, book, "record %llu: envelope %llu holds %u fen, and %u were given", record,
			(unsigned long long)r->id, book->amount[at], r->amount);
	if (r->user == 0 || r->seq == 0)
		fault(b, book, "record %llu: a win of user %llu with seq %u", record,
			(unsigned long long)r->user, r->seq);
	return keep_win(b, r, 0);
}

static int
enter_quota(struct books *b, const struct hb_record *r)
{
	struct book *book = book_of(b, r->campaign);

	if (book == NULL)
		return -ENOMEM;
	if (book->funded == 0)
		fault(b, book, "record %llu: a quota for campaign %u, which was never funded",
			(unsigned long long)b->records, r->campaign);
	note_quota(book, r->aux);
	return 0;
}

/* ---- a shared budget ----------------------------------------------------------------- */

static struct block *
find_block(struct book *book, const struct hb_record *back)
{
	for (unsigned i = 0; i < book->blocks; i++) {
		struct block *k = &book->block[i];

		if (k->number == back->id)
			return (uint64_t)back->aux + back->seq <= k->count ? k : NULL;
	}
	return NULL;
}

static int
enter_return(struct books *b, const struct hb_record *r)
{
	struct book *book = book_of(b, r->campaign);
	unsigned long long record = b->records;
	uint64_t fen = 0, twice = 0;

	if (book == NULL)
		return -ENOMEM;
	struct block *k = find_block(book, r);
	if (k == NULL) {
		fault(b, book, "record %llu: campaign %u gives back of a block that it hasn't got",
			record, r->campaign);
		return 0;
	}
	for (uint32_t i = 0; i < r->seq; i++) {
		twice += mark(book, k->at + r->aux + i);
		fen += book->amount[k->at + r->aux + i];
	}
	if (twice != 0)
		fault(b, book,
			"record %llu: %llu envelopes of block %u are given back that were gone",
			record, (unsigned long long)twice, k->number);
	if (fen != r->user || (r->amount != 0) != k->tiered)
		fault(b, book,
			"record %llu: %u envelopes of block %u hold %llu fen, and %llu go back",
			record, r->seq, k->number, (unsigned long long)fen,
			(unsigned long long)r->user);
	k->returned += r->seq;
	book->returned += r->seq;
	book->returned_fen += fen;
	if (r->amount != 0)
		b->back = *r;
	return 0;
}

/* A tier of what goes back: together they are all of it. */
static int
enter_back_tier(struct books *b, const struct hb_record *r)
{
	struct hb_record *back = &b->back;
	bool fits = r->campaign == back->campaign && r->seq <= back->seq;

	back->seq -= fits ? r->seq : 0;
	back->user -= (uint64_t)r->seq * r->amount;
	if (--back->amount > 0 && fits)
		return 0;
	if (!fits || back->seq != 0 || back->user != 0)
		fault(b, book_of(b, back->campaign),
			"record %llu: the tiers of what goes back of campaign %u are not all of it",
			(unsigned long long)b->records, back->campaign);
	*back = (struct hb_record){0};
	return 0;
}

static int
enter_row(struct books *b, const struct hb_record *r)
{
	struct book *book = book_of(b, r->campaign);

	if (book == NULL)
		return -ENOMEM;
	book->rows++;
	if (r->user != 0 && r->seq != 0 && r->aux != 0 && r->aux <= UINT16_MAX)
		return keep_win(b, r, r->aux);
	fault(b, book, "record %llu: user %llu comes from another host without a win",
		(unsigned long long)b->records, (unsigned long long)r->user);
	return 0;
}

/* ---- packets ------------------------------------------------------------------------- */

static void
packet_fault(void *context, const struct hb_record *r, const char *what)
{
	struct books *b = context;

	fault(b, r->campaign != 0 ? book_of(b, r->campaign) : NULL, "record %llu: packet %llu %s",
		(unsigned long long)b->records, (unsigned long long)r->id, what);
}

/* A win that was made a packet and the packet stand side by side, and hold the same money. */
static void
check_bundle(struct books *b, const struct hb_record *r)
{
	const struct hb_record *win = &b->bundle;
	bool pack = r->type == HB_RECORD_PACK && r->campaign != 0;
	bool same = r->user == win->user && r->seq == win->seq && r->campaign == win->campaign &&
		    r->amount == win->amount;

	if (win->type == 0 && pack)
		fault(b, book_of(b, r->campaign),
			"record %llu: packet %llu is made of a win that isn't there",
			(unsigned long long)b->records, (unsigned long long)r->id);
	else if (win->type != 0 && !(pack && same))
		fault(b, book_of(b, win->campaign),
			"record %llu: envelope %llu of campaign %u was made a packet, which isn't "
			"behind it",
			(unsigned long long)b->records - 1, (unsigned long long)win->id,
			win->campaign);
	b->bundle = (struct hb_record){0};
	if (r->type == HB_RECORD_WIN && r->aux == HB_WIN_BUNDLE)
		b->bundle = *r;
}

static int
enter_packet(struct books *b, const struct hb_record *r)
{
	struct book *book = r->campaign != 0 ? book_of(b, r->campaign) : NULL;

	if (r->campaign != 0 && book == NULL)
		return -ENOMEM;
	if (book != NULL && r->type == HB_RECORD_PACK) {
		book->bundles++;
		book->bundles_fen += r->amount;
	}
	if (book != NULL && r->type == HB_RECORD_REFUND)
		book->refunded_fen += r->amount;
	b->packets.wrong = packet_fault;
	b->packets.context = b;
	return packet_books_enter(&b->packets, r);
}

int
books_enter(struct books *b, const struct hb_record *r)
{
	int err = 0;

	check_bundle(b, r);

	if (hb_fund_breaks(&b->fund, r)) {
		fault(b, NULL, "record %llu: the funding of campaign %u breaks off",
			(unsigned long long)b->records, b->fund.campaign);
		b->fund = (struct hb_fund){0};
	}
	switch (r->type) {
	case HB_RECORD_LEASE:
	case HB_RECORD_FUND:
	case HB_RECORD_TIER:
		err = r->type == HB_RECORD_TIER && b->back.type != 0 ? enter_back_tier(b, r)
								     : enter_fund(b, r);
		break;
	case HB_RECORD_RETURN:
		err = enter_return(b, r);
		break;
	case HB_RECORD_ROW:
		err = enter_row(b, r);
		break;
	case HB_RECORD_WIN:
		err = enter_win(b, r);
		break;
	case HB_RECORD_SEED: /* says nothing of money */
		break;
	case HB_RECORD_QUOTA:
		err = enter_quota(b, r);
		break;
	case HB_RECORD_PACK:
	case HB_RECORD_GRAB:
	case HB_RECORD_REFUND:
		err = enter_packet(b, r);
		break;
	default:
		fault(b, NULL, "record %llu: of type %u, which this program doesn't know",
			(unsigned long long)b->records, r->type);
	}
	b->records++;
	return err;
}

/* ---- at the end ---------------------------------------------------------------------- */

static int
by_campaign_and_user(const void *a, const void *b)
{
	const struct win *x = a, *y = b;

	if (x->campaign != y->campaign)
		return x->campaign < y->campaign ? -1 : 1;
	if (x->user != y->user)
		return x->user < y->user ? -1 : 1;
	return x->record < y->record ? -1 : x->record > y->record;
}

static bool
same_user(const struct win *a, const struct win *b)
{
	return a->campaign == b->campaign && a->user == b->user;
}

/* How often a user won by the time of the last one, elsewhere too: what came later counts on. */
static uint64_t
wins_everywhere(const struct win *first, uint64_t n)
{
	uint64_t wins = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (first[i].elsewhere == 0)
			wins++;
		else if (first[i].elsewhere > wins)
			wins = first[i].elsewhere;
	}
	return wins;
}

static void
close_user(struct books *b, const struct win *first, uint64_t n, uint64_t fen)
{
	struct book *book = b->of[first->campaign];
	uint64_t wins = wins_everywhere(first, n);

	/* One who only came from elsewhere won nothing here. */
	if (n == 1 && first->elsewhere != 0)
		return;
	book->users++;
	if (fen > book->largest_fen) {
		book->largest_user = first->user;
		book->largest_wins = wins;
		book->largest_fen = fen;
	}
	if (book->funded != 0 && wins > book->quota)
		fault(b, book, "campaign %u: user %llu won %llu times, %u are allowed",
			first->campaign, (unsigned long long)first->user, (unsigned long long)wins,
			book->quota);
}

void
books_close(struct books *b)
{
	uint64_t next;

	if (b->back.type != 0)
		fault(b, NULL, "what goes back of campaign %u breaks off", b->back.campaign);
	if (hb_fund_begun(&b->fund))
		fault(b, NULL, "the funding of campaign %u breaks off", b->fund.campaign);
	check_bundle(b, &(struct hb_record){0});
	if (b->packets.wrong != NULL)
		packet_books_close(&b->packets);
	if (b->wins > 0)
		qsort(b->win, b->wins, sizeof(*b->win), by_campaign_and_user);
	for (uint64_t i = 0; i < b->wins; i = next) {
		uint64_t fen = 0;

		for (next = i; next < b->wins && same_user(&b->win[i], &b->win[next]); next++)
			fen += b->win[next].amount;
		close_user(b, &b->win[i], next - i, fen);
	}
	for (unsigned c = 0; c < HB_COUNT_OF(b->of); c++) {
		struct book *book = b->of[c];

		if (book != NULL && book->funded != 0 &&
			(book->wins + book->returned > book->funded ||
				book->fen + book->returned_fen > book->total_fen))
			fault(b, book, "campaign %u: more was given than it was funded with", c);
	}
}

void
books_free(struct books *b)
{
	for (unsigned c = 0; c < HB_COUNT_OF(b->of); c++) {
		if (b->of[c] == NULL)
			continue;
		free(b->of[c]->amount);
		free(b->of[c]->given);
		free(b->of[c]->top_up);
		free(b->of[c]->block);
		free(b->of[c]);
	}
	free(b->win);
	packet_books_free(&b->packets);
}
