/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packets: what a journal says of group packets, held against what must be true of each: total =
 * taken + left + refunded, funded before anything is taken, no user twice, no share too small or
 * too large, given back once and not before its time. One thread.
 *
 * Memory: what is open, with 8 bytes for each of its shares; of what is done 8 bytes a packet.
 */
#ifndef HONGBAO_AUDIT_PACKETS_H
#define HONGBAO_AUDIT_PACKETS_H

#include "hb_journal.h"

/* A packet that is open. */
struct open_packet {
	uint64_t id; /* 0: a free entry */
	uint64_t user;
	uint64_t over_us;
	uint64_t *holder; /* of each share that is taken */
	uint32_t left;
	uint16_t shares;
	uint16_t taken;
	uint16_t campaign;
	uint8_t split;
};

struct packet_books {
	struct open_packet *of; /* open addressing */
	uint64_t room;
	uint64_t *done; /* ids */
	uint64_t done_count, done_room;
	uint64_t packets, fen;
	uint64_t bundles, bundles_fen; /* of them, made of a win */
	uint64_t taken, taken_fen;
	uint64_t refunded, refunded_fen;
	uint64_t open, left_fen;
	uint64_t faults;
	/* known after packet_books_close() */
	uint64_t used_again; /* packets whose id was an earlier one's, which was done */
	/* What is wrong with the record, told with its packet; counted in `faults` too. */
	void (*wrong)(void *context, const struct hb_record *r, const char *what);
	void *context;
};

/* Enters a PACK, GRAB or REFUND. Returns 0 or -ENOMEM. */
int packet_books_enter(struct packet_books *b, const struct hb_record *r);

/* Checks what can be checked only at the end. */
void packet_books_close(struct packet_books *b);

void packet_books_free(struct packet_books *b);

#endif
