/* SPDX-License-Identifier: BSD-3-Clause */
/* What match.c, judge.c and kept.c tell each other. */
#ifndef HB_MATCH_H
#define HB_MATCH_H

#include "hb_replay.h"

enum wait_state {
	WAIT_REPLY,    /* sent */
	WAIT_AGAIN,    /* the server said when to ask again */
	WAIT_ANSWERED, /* remembered for the sake of repeats, or of replies to further tries */
	WAIT_LOST,     /* given up; a reply that still comes is late */
	WAIT_FORGED,   /* no reply may come */
};

enum wait_flag {
	WAIT_REPEATS = 1,  /* there may be more of the same key */
	WAIT_TRIED = 2,	   /* sent more than once: replies may be as many */
	WAIT_KEPT = 4,	   /* while it is open: `mark` is where its frame is kept */
	WAIT_MEASURED = 8, /* due after the warm-up, whenever it is sent again */
};

/* A request that was sent. Two a cache line. */
struct wait {
	uint64_t key; /* 0: free */
	uint64_t user;
	/* Once it is lost, or answered and was tried more than once: when that was. */
	uint64_t due_ns : 48;
	uint64_t port : 16;
	/* While it is open and may be repeated: where its frame is kept. Else the packet's mark,
	 * until a final answer's takes its place. */
	uint32_t mark;
	uint8_t epoch;
	uint8_t status; /* of the answer */
	uint8_t state : 4;
	uint8_t flags : 4;
	uint8_t route;
};
_Static_assert(sizeof(struct wait) == 32, "two waits a cache line");

/* 78 hours. */
#define DUE_MAX ((1ull << 48) - 1)

/* A frame that may have to be sent again. */
#define KEPT_NONE UINT32_MAX
#define KEPT_FRAME_BYTES 152
#define KEPT_UNLISTED UINT16_MAX

struct kept {
	uint64_t key;	 /* of its wait */
	uint64_t due_ns; /* when to look at it again */
	uint32_t next, previous;
	uint32_t packet; /* mark */
	uint16_t bytes;
	uint8_t queue;
	uint8_t tries; /* so far */
	uint16_t slot; /* of the wheel; KEPT_UNLISTED: in none */
	uint8_t frame[KEPT_FRAME_BYTES];
};

/* Kept frames, and a wheel that says when each is due. */
#define WHEEL_SLOTS 8192 /* of a millisecond */

struct keeper {
	struct hb_mem mem;
	struct kept *kept; /* NULL: nothing is repeated */
	uint32_t free;
	uint32_t slot[WHEEL_SLOTS];
	uint64_t at_ms; /* the slot that is being worked off */
	uint32_t next;	/* in it */
};

struct win {
	uint64_t envelope; /* and its campaign; 0: free */
	uint64_t winner;   /* user and seq */
};

struct hb_match {
	struct hb_match_options options;
	struct wait *wait;
	uint64_t mask;	   /* of the table */
	uint64_t used;	   /* waits in it */
	uint64_t room;	   /* for so many */
	uint64_t waiting;  /* in WAIT_REPLY or WAIT_AGAIN */
	uint64_t cursor;   /* of the sweep */
	uint64_t swept_ns; /* when it was there */
	struct win *win;
	uint64_t win_mask;
	struct keeper keeper;
	struct hb_match_counts counts;
	struct hb_error first;
	struct hb_mem mem, win_mem, latency_mem;
	struct hb_histogram *latency; /* by status */
};

/* ---- kept.c -------------------------------------------------------------------------- */

int keeper_open(struct keeper *k, uint64_t frames, struct hb_error *e);
void keeper_close(struct keeper *k);

/* Keeps a frame until `due_ns`. Returns its number, or KEPT_NONE if there is no place or it is too
 * long. */
uint32_t keeper_add(struct keeper *k, uint64_t key, const uint8_t *frame, unsigned bytes,
	unsigned queue, uint32_t packet, uint64_t due_ns);

/* Sets when a kept frame is looked at again. */
void keeper_move(struct keeper *k, uint32_t which, uint64_t due_ns);
void keeper_drop(struct keeper *k, uint32_t which);

/* Takes out one that is due, or KEPT_NONE. */
uint32_t keeper_due(struct keeper *k, uint64_t now_ns);

/* ---- judge.c ------------------------------------------------------------------------- */

/* Notes a violation; the first one also in words. */
void accuse(struct hb_match *m, enum hb_violation v, const struct hb_heard *h, const char *fmt, ...)
	HB_PRINTF(4, 5);

/* What can be said of a reply without its request. False: it is none that can be matched. */
bool judge_alone(struct hb_match *m, const struct hb_heard *h);

/* What its request tells: addresses and seal. */
void judge_match(struct hb_match *m, const struct hb_heard *h, const struct wait *w);

/* Whether a reply that gives bears the seal for a row's user. */
bool seal_fits(const struct hb_match *m, const struct hb_heard *h, const struct wait *w);

/* Whether it names the packet that was asked for, of which `packet` is the mark. */
void judge_packet(struct hb_match *m, const struct hb_heard *h, uint32_t packet);

/* A win: whether somebody else has the envelope. */
void judge_win(struct hb_match *m, const struct hb_heard *h, const struct wait *w);

/* Whether a status ends a request for good. */
bool is_final(unsigned status);

static inline unsigned
heard_op(const struct hb_heard *h)
{
	return h->answer.payload[0] & 15;
}

static inline unsigned
heard_status(const struct hb_heard *h)
{
	return h->answer.payload[1];
}

#endif
