/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * books: what a journal says, added up and held against what must be true. It knows the records and
 * the funding terms, nothing of the engine that wrote them. One thread.
 */
#ifndef HONGBAO_AUDIT_BOOKS_H
#define HONGBAO_AUDIT_BOOKS_H

#include "packets.h"

/* What a campaign was topped up with. */
struct topping {
	uint32_t envelopes;
	uint64_t fen;
	uint64_t time_us; /* since 1970 */
};

/* A block of a budget that many hosts share. */
struct block {
	uint32_t number;
	uint32_t first;	   /* number of its first envelope in the whole campaign */
	uint32_t count;	   /* envelopes */
	uint32_t returned; /* of them */
	uint64_t at;	   /* place of its first in amount[] and given[] */
	bool tiered;	   /* its split is tiers */
};

/* One campaign, as the journal has it. */
struct book {
	struct topping *top_up; /* in the journal's order */
	unsigned top_ups;
	uint64_t funded;     /* envelopes, by all fundings; 0: never funded */
	uint64_t total_fen;  /* in them */
	uint32_t quota;	     /* the most that one user was ever allowed to win */
	uint32_t *amount;    /* of each envelope, made again from the terms */
	uint8_t *given;	     /* a bit for each envelope: given, or given back */
	struct block *block; /* of a shared budget, in the journal's order */
	unsigned blocks;     /* 0: the budget is its own */
	unsigned last_block; /* where the last win's envelope was */
	uint64_t returned;   /* envelopes that went back to the shared budget */
	uint64_t returned_fen;
	uint64_t rows; /* users who came from other hosts */
	uint64_t wins;
	uint64_t fen;
	uint64_t bundles; /* wins that were made packets */
	uint64_t bundles_fen;
	uint64_t refunded_fen; /* what nobody took of those in time, back to whoever funded it */
	uint64_t faults;
	uint64_t first_us; /* the earliest request that won, since 1970; 0: none did */
	uint64_t last_us;  /* and the latest */
	/* known after books_close() */
	uint64_t users;
	uint64_t largest_user; /* who got the most fen */
	uint64_t largest_wins;
	uint64_t largest_fen;
};

/* A win, for adding up by user; or how many a user had who came from another host. */
struct win {
	uint64_t user;
	uint64_t record;
	uint32_t amount;
	uint16_t campaign;
	uint16_t elsewhere; /* wins so far; 0: it is a win */
};

struct books {
	struct book *of[65536]; /* by campaign; NULL: nothing said of it */
	struct hb_fund fund;	/* the funding that is being read */
	struct hb_record back;	/* the RETURN whose tiers are being read: what they lack of it */
	struct packet_books packets;
	struct hb_record bundle; /* the WIN whose packet must be the next record; type 0: none */
	struct win *win;
	uint64_t wins;
	uint64_t wins_room;
	uint64_t records;
	uint64_t faults;
	/* Called with a line for each of the first faults. */
	void (*say)(const char *line);
};

/* Enters the next record. Returns 0 or -ENOMEM. Whatever is wrong with it is counted and said. */
int books_enter(struct books *b, const struct hb_record *r);

/* Adds up by user and checks what can be checked only at the end. */
void books_close(struct books *b);

void books_free(struct books *b);

#endif
