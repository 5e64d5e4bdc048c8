/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_packets: what a core remembers of its group packets: terms, who took which share, what is
 * left, and when its time is over.
 *
 * Fixed memory, taken at the start: a packet is a row of one cache line, found by a keyed hash
 * whose chains run through the rows themselves, and as many places of 16 bytes as it has shares,
 * side by side, in the order in which they are taken, with a hash of their users inside. All places
 * of a packet are set aside when it is added, so that a share that is open can always be taken.
 *
 * A packet is open until its last share is taken or what is left of it is closed out (refunded);
 * then it is done, and is forgotten when it has been done for as long as the terms say. Until then
 * it answers repeats. Both times stand in a wheel of seconds (hashed timing wheel: Varghese and
 * Lauck, SOSP 1987, scheme 6), which is turned in steps as small as the caller likes.
 *
 * The next share's fen come from the terms, the packet's id and how many shares are taken, under a
 * secret key: whoever replays the same requests gets the same shares.
 *
 * Owner: one core, which alone calls everything but make and free. No call allocates or blocks. The
 * counters may be read by anybody at any time (hb_read()).
 */
#ifndef HB_PACKETS_H
#define HB_PACKETS_H

#include "hb_pool.h"
#include "hb_runs.h"
#include "hb_stats.h"

/* The sender, the amount and how it is split. */
struct hb_packet_terms {
	uint64_t user;	/* the sender; of a bundle its winner */
	uint32_t total; /* fen */
	uint16_t shares;
	uint16_t campaign; /* of a bundle; else 0 */
	uint8_t split;	   /* HB_SPLIT_EQUAL or HB_SPLIT_LUCKY */
	uint8_t hours;	   /* to live; 0: its time is over at once */
};

/* One packet. The caller reads; `ticket` and `lapsed` are the caller's to write, the rest is
 * changed by the calls below. */
struct hb_packet {
	uint64_t id; /* 0: a free row */
	uint64_t user;
	uint64_t due_us; /* open: when its time is over; done: when it is forgotten */
	uint32_t total;
	uint32_t left; /* fen that nobody took: once closed, what was refunded */
	uint16_t shares;
	uint16_t taken;
	uint16_t campaign;
	uint8_t hours;
	uint8_t split : 2;
	uint8_t done : 1;
	uint8_t lapsed : 1; /* somebody was told that its time is over */
	uint32_t ticket;    /* low bits of the ticket of the last record about it */
	uint32_t place;	    /* of its shares: number of the first one */
	uint32_t first;	    /* 1 + the row that begins the chain of this row's bucket; 0: none */
	uint32_t next;	    /* in its chain: 1 + the row; 0: the last */
	uint32_t earlier;   /* in its second's list: 1 + the row, times 2; or, for the first one,
			       the slot of the wheel, times 2, plus 1 */
	uint32_t later;	    /* 1 + the row; 0: the last. In a free row: the next free one */
};
_Static_assert(sizeof(struct hb_packet) == HB_CACHE_LINE, "a packet is a cache line");

/* The most that each may be: numbers of rows and places have 32 bits. */
#define HB_PACKETS_MAX (1u << 30)
#define HB_PACKET_PLACES_MAX (1u << 31)

/* The owner core alone touches any of this, but for the counters: owner: wo; all others: ro. */
struct hb_packets {
	struct hb_packet *row;
	uint32_t rows;
	uint32_t fresh;	    /* rows from here on were never used */
	uint32_t free;	    /* 1 + the first free row among the others; 0: none */
	uint32_t *slot;	    /* of the wheel: 1 + the first row due in that second; 0: none */
	uint32_t slot_mask; /* seconds of a round - 1 */
	uint32_t walk;	    /* 1 + the row of `second` to be looked at next; 0: all were */
	uint64_t second;    /* since 1970, that is walked */
	uint64_t keep_us;   /* for how long a packet that is done is remembered */
	uint64_t key[4];    /* of the two hashes */
	uint64_t lucky[2];  /* what shares are drawn from */
	struct hb_runs runs;
	struct hb_mem row_mem, slot_mem;
	uint64_t used;	      /* rows in use */
	uint64_t open;	      /* of them not done */
	uint64_t left_fen;    /* in the open ones */
	uint64_t left_shares; /* to be taken from the open ones */
	uint64_t forgotten;
	uint64_t refused; /* packets for which there was no room, as the caller counts them */
};

struct hb_packets_terms {
	uint64_t packets; /* that can be remembered at a time; 0: none ever */
	uint64_t shares;  /* of all of them */
	uint64_t keep_us;
	uint64_t key[4]; /* secret, against chosen collisions */
};

/* Bytes that so many take: 64 a packet and 16 a share; and for the wheel and a bit a place, less
 * than a hundredth more. */
uint64_t hb_packets_bytes(uint64_t packets, uint64_t shares);

/* Returns 0 or -ENOMEM with e. */
int hb_packets_make(struct hb_packets *p, const struct hb_packets_terms *t, struct hb_error *e);
void hb_packets_free(struct hb_packets *p);

/* What shares are drawn from, from now on: the same secret for all workers. */
void hb_packets_seed(struct hb_packets *p, const uint64_t lucky[2]);

/* Whether the terms make sense: a share at least, a fen a share at least, a split that there is. */
bool hb_packet_terms_good(const struct hb_packet_terms *t);

/* ---- look-ups ------------------------------------------------------------------------ */

/* A packet, or NULL. One that is due to be forgotten at now_us is forgotten first, whether the
 * wheel has come by or not. */
struct hb_packet *hb_packets_find(struct hb_packets *p, uint64_t id, uint64_t now_us);

/* The same for whoever only looks. */
const struct hb_packet *hb_packets_look(const struct hb_packets *p, uint64_t id);

/* A user's share, or NULL. Share number i, from 1, is the one that was taken as the i-th. */
const struct hb_share *hb_packet_share_of(
	const struct hb_packets *p, const struct hb_packet *k, uint64_t user);

static inline const struct hb_share *
hb_packet_share(const struct hb_packets *p, const struct hb_packet *k, unsigned number)
{
	return &p->runs.share[k->place + number - 1];
}

/* Fetch what a look-up of n packets will touch, one stage after the other: each needs what the one
 * before it fetched. Stages 0, 1 and 2; the last one is about the user's share. There are rows. */
#define HB_PACKETS_STAGES 3
void hb_packets_expect(const struct hb_packets *p, unsigned stage, const uint64_t *id,
	const uint64_t *user, unsigned n);

/* ---- changes ------------------------------------------------------------------------- */

/* Whether a packet of so many shares finds room. */
bool hb_packets_room(const struct hb_packets *p, unsigned shares);

/* Adds a packet that isn't there; good terms, id not 0. Returns NULL when there is no room for it.
 */
struct hb_packet *hb_packets_add(
	struct hb_packets *p, uint64_t id, const struct hb_packet_terms *t, uint64_t now_us);

/* The fen of the next share of an open packet. */
uint32_t hb_packet_next_fen(const struct hb_packets *p, const struct hb_packet *k);

/* Gives the next share to a user who has none. The last one makes the packet done. */
void hb_packet_take(
	struct hb_packets *p, struct hb_packet *k, uint64_t user, uint32_t fen, uint64_t now_us);

/* Closes an open packet: what is left in it goes back. */
void hb_packet_close(struct hb_packets *p, struct hb_packet *k, uint64_t now_us);

/* Forgets a packet that is done. */
void hb_packet_forget(struct hb_packets *p, struct hb_packet *k);

/* ---- time ---------------------------------------------------------------------------- */

/* Turns the wheel up to now_us, by *steps steps at the most, which it counts down: a step is a
 * second gone by or a packet looked at. Packets that are due to be forgotten are. Returns the next
 * open one whose time is over, which the caller closes or postpones (else it comes again), or NULL.
 * A packet comes at most a second late. */
struct hb_packet *hb_packets_due(struct hb_packets *p, uint64_t now_us, unsigned *steps);

/* Has one that is due come again a second after now_us, however far behind the wheel is. */
void hb_packet_postpone(struct hb_packets *p, struct hb_packet *k, uint64_t now_us);

#endif
