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

/* Opens the book of a campaign whose funding is complete: makes its amounts again. */
static int
open_book(struct books *b)
{
	struct book *book = book_of(b, b->fund.campaign);
	struct hb_splitter s;

	if (book == NULL)
		return -ENOMEM;
	if (book->funded) {
		fault(b, book, "record %llu: campaign %u is funded a second time",
			(unsigned long long)b->records, b->fund.campaign);
		return 0;
	}
	book->fund = b->fund;
	book->funded = true;
	book->amount = malloc((size_t)b->fund.terms.count * sizeof(*book->amount));
	book->given = calloc(b->fund.terms.count / 8 + 1, 1);
	if (book->amount == NULL || book->given == NULL)
		return -ENOMEM;
	hb_splitter_begin(&s, &book->fund.terms);
	for (uint32_t i = 0; i < book->fund.terms.count; i++)
		book->amount[i] = hb_splitter_next(&s);
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
	return rc == 0 ? 0 : open_book(b);
}

static int
keep_win(struct books *b, const struct hb_record *r)
{
	if (b->wins == b->wins_room) {
		uint64_t room = b->wins_room == 0 ? 4096 : b->wins_room * 2;
		struct win *more = realloc(b->win, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		b->win = more;
		b->wins_room = room;
	}
	b->win[b->wins++] =
		(struct win){.user = r->user, .amount = r->amount, .campaign = r->campaign};
	return 0;
}

static int
enter_win(struct books *b, const struct hb_record *r)
{
	struct book *book = book_of(b, r->campaign);
	uint32_t number = hb_envelope_number(r->id);
	unsigned long long record = b->records;

	if (book == NULL)
		return -ENOMEM;
	book->wins++;
	book->fen += r->amount;
	if (book->first_us == 0 || r->time_us < book->first_us)
		book->first_us = r->time_us;
	if (r->time_us > book->last_us)
		book->last_us = r->time_us;
	if (!book->funded) {
		fault(b, book, "record %llu: a win in campaign %u, which was never funded", record,
			r->campaign);
		return keep_win(b, r);
	}
	if (number == 0 || number > book->fund.terms.count ||
		r->id != hb_envelope_id(r->campaign, number)) {
		fault(b, book, "record %llu: campaign %u has no envelope %llu", record, r->campaign,
			(unsigned long long)r->id);
		return keep_win(b, r);
	}
	uint8_t bit = (uint8_t)(1u << ((number - 1) % 8)), *given = &book->given[(number - 1) / 8];
	if (*given & bit)
		fault(b, book, "record %llu: envelope %llu of campaign %u is given a second time",
			record, (unsigned long long)r->id, r->campaign);
	*given |= bit;
	if (r->amount != book->amount[number - 1])
		fault(b, book, "record %llu: envelope %llu holds %u fen, and %u were given", record,
			(unsigned long long)r->id, book->amount[number - 1], r->amount);
	if (r->user == 0 || r->seq == 0)
		fault(b, book, "record %llu: a win of user %llu with seq %u", record,
			(unsigned long long)r->user, r->seq);
	return keep_win(b, r);
}

int
books_enter(struct books *b, const struct hb_record *r)
{
	int err = 0;

	if (b->fund.tiers_to_come > 0 && r->type != HB_RECORD_TIER) {
		fault(b, NULL, "record %llu: the funding of campaign %u breaks off",
			(unsigned long long)b->records, b->fund.campaign);
		b->fund = (struct hb_fund){0};
	}
	switch (r->type) {
	case HB_RECORD_FUND:
	case HB_RECORD_TIER:
		err = enter_fund(b, r);
		break;
	case HB_RECORD_WIN:
		err = enter_win(b, r);
		break;
	case HB_RECORD_SEED: /* says nothing of money */
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
	return x->user < y->user ? -1 : x->user > y->user;
}

static void
close_user(struct books *b, const struct win *first, uint64_t wins, uint64_t fen)
{
	struct book *book = b->of[first->campaign];

	book->users++;
	if (fen > book->largest_fen) {
		book->largest_user = first->user;
		book->largest_wins = wins;
		book->largest_fen = fen;
	}
	if (book->funded && wins > book->fund.wins_per_user)
		fault(b, book, "campaign %u: user %llu won %llu times, %u are allowed",
			first->campaign, (unsigned long long)first->user, (unsigned long long)wins,
			book->fund.wins_per_user);
}

void
books_close(struct books *b)
{
	uint64_t next;

	if (b->fund.tiers_to_come > 0)
		fault(b, NULL, "the funding of campaign %u breaks off", b->fund.campaign);
	if (b->wins > 0)
		qsort(b->win, b->wins, sizeof(*b->win), by_campaign_and_user);
	for (uint64_t i = 0; i < b->wins; i = next) {
		uint64_t fen = 0;

		for (next = i;
			next < b->wins && by_campaign_and_user(&b->win[i], &b->win[next]) == 0;
			next++)
			fen += b->win[next].amount;
		close_user(b, &b->win[i], next - i, fen);
	}
	for (unsigned c = 0; c < HB_COUNT_OF(b->of); c++) {
		struct book *book = b->of[c];

		if (book != NULL && book->funded &&
			(book->wins > book->fund.terms.count || book->fen > book->fund.terms.total))
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
		free(b->of[c]);
	}
	free(b->win);
}
