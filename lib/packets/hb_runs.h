/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_runs: where the shares of packets stand: runs of places side by side, one run a packet, of
 * any length from 1 to 65,535.
 *
 * Free runs are kept in lists by size, found by the first bit set in a map of the lists (after
 * TLSF: Masmano, Ripoll, Crespo, Real, ECRTS 2004), and joined with free neighbours at once. What
 * must be known of a free run stands in its own first and last place, so that a place costs 16
 * bytes and one bit. Taking and giving back a run are O(1).
 *
 * Owner: the hb_packets that it is part of. No call allocates or blocks.
 */
#ifndef HB_RUNS_H
#define HB_RUNS_H

#include "hb_base.h"

/* A share that was taken. `first` belongs not to it, but to the bucket of its number among the
 * packet's users, and may be left from another packet: nobody has to clear places beforehand. */
struct hb_share {
	uint64_t user;
	uint32_t fen;
	uint16_t first; /* number of the bucket's first share */
	uint16_t next;	/* number of the next share of the same bucket; 0: none */
};
_Static_assert(sizeof(struct hb_share) == 16, "a share is 16 bytes");

#define HB_RUNS_LISTS 192

struct hb_runs {
	struct hb_share *share;
	uint64_t *edge;		      /* a bit a place: it is the first or the last of a free run */
	uint32_t places;	      /* all there are */
	uint32_t free;		      /* of them in no run that is taken */
	uint32_t list[HB_RUNS_LISTS]; /* 1 + the first place of the first free run; 0: none */
	uint64_t map[HB_RUNS_LISTS / 64]; /* a bit a list: it isn't empty */
	struct hb_mem share_mem, edge_mem;
};

/* Returns 0 or -ENOMEM with e. */
int hb_runs_make(struct hb_runs *p, uint32_t places, struct hb_error *e);
void hb_runs_free(struct hb_runs *p);

/* Whether a run of so many is there; its list, or HB_RUNS_LISTS for none. */
unsigned hb_runs_list_for(const struct hb_runs *p, uint32_t n);

/* Takes a run of n >= 1 places. Returns its first, or UINT32_MAX when there is none. */
uint32_t hb_runs_take(struct hb_runs *p, uint32_t n);

/* Gives back a run of n that was taken as such. */
void hb_runs_give_back(struct hb_runs *p, uint32_t first, uint32_t n);

/* Whether everything that is said of free runs is true; for tests. */
bool hb_runs_sound(const struct hb_runs *p);

#endif
