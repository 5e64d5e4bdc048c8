/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_replay: plays requests at a live server and judges what comes back.
 *
 * A source gives the requests of a scenario or a capture, in order, as frames. A pace says when
 * each is due. A match remembers what was sent until it is answered or lost, holds each reply
 * against the contract, and says what a client would repeat. hb_replay_run() is the loop that puts
 * them together on a device; the rest knows no NIC and no clock: times are passed in, in
 * nanoseconds since the replay's start.
 *
 * All of it belongs to one thread. Everything is allocated by the functions named open; nothing is
 * while frames are sent.
 */
#ifndef HB_REPLAY_H
#define HB_REPLAY_H

#include "hb_histogram.h"
#include "hb_scenario.h"
#include "hb_wire.h"

/* ---- requests on their way ----------------------------------------------------------- */

/* The longest frame that is sent. */
#define HB_SHOT_BYTES_MAX 1522

enum hb_shot_flag {
	HB_SHOT_REQUEST =
		1, /* a request; else a frame that deserves no reply, and isn't remembered */
	HB_SHOT_FORGED = 2,  /* its tag is not right: no reply may come */
	HB_SHOT_REPEATS = 4, /* the same request may be sent more than once */
};

/* A frame to be sent, and what there is to know about it. */
struct hb_shot {
	uint64_t at_us; /* when, in the event or the capture, since 1970 */
	uint64_t key;	/* what its reply is found by; never 0 */
	uint64_t user;
	uint32_t packet; /* GRAB and PACK: hb_packet_mark() of the packet; else 0 */
	uint16_t port;	 /* where it goes to */
	uint16_t bytes;
	uint8_t epoch;
	uint8_t flags; /* of enum hb_shot_flag */
	uint8_t route; /* which of the source's */
};

/* What replies must come back by. */
struct hb_route {
	uint8_t l2[22]; /* Ethernet header with VLAN tags, as sent */
	uint8_t l2_bytes;
	bool ipv6;
	uint8_t server[16]; /* IPv4 in the first 4 bytes */
};

#define HB_ROUTES_MAX 16

struct hb_routes {
	struct hb_route route[HB_ROUTES_MAX];
	unsigned count;
};

/* A packet's short name. */
static inline uint32_t
hb_packet_mark(uint64_t packet)
{
	return (uint32_t)(hb_mix64(packet ^ 0x8EBC6AF09C88C6E3ULL, 0x589965CC75374CC3ULL) >> 32);
}

/* The key of a request: of its client's address and port, and of the first 8 bytes of its payload
 * or its reply's, but for the byte in which these two differ. */
uint64_t hb_shot_key(
	const uint8_t *client_ip, bool ipv6, uint16_t client_port, const uint8_t payload[8]);

/* ---- sources ------------------------------------------------------------------------- */

struct hb_source;

/* What a source is to give. */
struct hb_source_options {
	const struct hb_scenario_wire *wire; /* its keys: all that the key file holds */
	uint64_t requests;		     /* a capture: at most so many frames, 0: all */
	bool set_dst_mac, set_src_mac;	     /* a capture: write the wire's into each frame */
};

/* The requests of a scenario, made as they are asked for. Returns 0 or -errno with e, like
 * hb_scenario_open(). */
int hb_source_scenario(struct hb_source **out, const char *name,
	const struct hb_scenario_options *stream, const struct hb_source_options *o,
	struct hb_error *e);

/* The frames of a capture, read as they are asked for. Returns 0 or -errno with e. */
int hb_source_capture(struct hb_source **out, const char *path, const struct hb_source_options *o,
	struct hb_error *e);

/* Replaces a source, not yet read from, by one that has all its frames in memory. *stop: gives up
 * with -EINTR when it becomes true. Returns 0 or -errno with e; *s is the caller's in any case. */
int hb_source_preload(struct hb_source **s, const volatile bool *stop, struct hb_error *e);

/* The next shots, at most n <= HB_BURST: writes frame[i], with room for HB_SHOT_BYTES_MAX, and
 * shot[i]. Returns how many; 0: that was all, or reading failed. */
unsigned hb_source_next(
	struct hb_source *s, struct hb_shot *shot, uint8_t *const *frame, unsigned n);

/* A user has won a packet to share: of a scenario that is made as it goes, the next requests are
 * the winner's grab and those of four friends. Returns false where it isn't, or where too many
 * wait. */
bool hb_source_won(struct hb_source *s, uint64_t user, uint64_t packet);

/* What stopped the source before its end, or NULL. */
const char *hb_source_error(const struct hb_source *s);

/* The routes that have been used so far; the struct stays where it is. */
const struct hb_routes *hb_source_routes(const struct hb_source *s);

/* How many frames there will be; 0 where that isn't known. */
uint64_t hb_source_total(const struct hb_source *s);

void hb_source_close(struct hb_source *s);

/* ---- the pace ------------------------------------------------------------------------ */

enum hb_pace_kind {
	HB_PACE_CAPTURE, /* by the frames' own times */
	HB_PACE_RATE,	 /* so many a second */
	HB_PACE_FLAT_OUT,
};

/* When each frame is due: reckoned from the start alone, so that nothing adds up. */
struct hb_pace {
	enum hb_pace_kind kind;
	double speed;	   /* CAPTURE: how many times as fast */
	uint64_t rate;	   /* RATE */
	uint64_t first_us; /* CAPTURE: the first frame's time */
	uint64_t ns, part; /* RATE: the next frame's time, and the part of a ns as part / rate */
	bool begun;
};

/* When the next frame is due; to be asked once for each, in order. */
uint64_t hb_pace_next(struct hb_pace *p, uint64_t at_us);

/* ---- the match ----------------------------------------------------------------------- */

/* How a reply breaks the contract. */
enum hb_violation {
	HB_VIOLATION_FRAME,    /* lengths or headers that cannot be */
	HB_VIOLATION_CHECKSUM, /* of IP or UDP: bad, or missing on IPv6 */
	HB_VIOLATION_ADDRESS,  /* it comes from another address or port than the request went to */
	HB_VIOLATION_PROTOCOL, /* no such version, op or status */
	HB_VIOLATION_STATUS,   /* a status that its op can't have */
	HB_VIOLATION_NONZERO,  /* id, value or seal where the status has none */
	HB_VIOLATION_SEAL,     /* wrong */
	HB_VIOLATION_PACKET,   /* the id isn't the packet that was asked for */
	HB_VIOLATION_UNASKED,  /* it answers nothing that was asked, or is one too many */
	HB_VIOLATION_FORGED,   /* it answers a request whose tag isn't right */
	HB_VIOLATION_DIFFERS,  /* a seq was answered finally in two ways */
	HB_VIOLATION_GIVEN_TWICE, /* an envelope that another request has won already */
	HB_VIOLATIONS
};

/* A short name for reports ("seal"). */
const char *hb_violation_name(unsigned violation);

struct hb_match_options {
	const struct hb_keyring *keys;
	const struct hb_routes *routes;
	uint64_t requests;   /* that can be remembered at a time */
	uint64_t wins;	     /* envelopes of which it is remembered who won them */
	uint64_t timeout_ns; /* after this a try counts as lost */
	uint64_t warm_up_ns; /* requests due before this don't count for latency and loss */
	unsigned retries;    /* how often a client repeats a request */
	uint16_t base_port;
	struct hb_source *source; /* told of each bundle that is won, once; NULL: nobody is */
};

struct hb_match_counts {
	uint64_t requests;	       /* that a reply is due to: tries not counted */
	uint64_t forged;	       /* that none is due to */
	uint64_t retries;	       /* tries beyond the first, by us as a client */
	uint64_t replies[HB_STATUSES]; /* by status */
	uint64_t answered;	       /* requests that came to their end by a reply, */
	uint64_t told_to_wait;	       /* and those of them whose wait outlasted the run */
	uint64_t lost;		       /* that didn't */
	uint64_t measured;	       /* requests after the warm-up, */
	uint64_t measured_lost;	       /* and those of them that were lost */
	uint64_t late;		       /* replies to requests that had been given up */
	uint64_t again;		       /* further replies to a request that was sent again */
	uint64_t repeated;	       /* final answers that were the same as one before */
	uint64_t drawn_anew;	       /* and others, of users whom a full server may forget */
	uint64_t wins;		       /* envelopes, each counted once */
	uint64_t passed_on;	       /* bundles that winners pass on */
	uint64_t wins_unchecked;       /* wins beyond what can be remembered */
	uint64_t fen;		       /* in these wins */
	uint64_t pressed;	       /* answered requests forgotten early, for want of room */
	uint64_t forgotten; /* for want of room, requests to which replies may still come: from the
			       first on, a reply to nothing that is known counts as late */
	uint64_t other_frames; /* that are no replies: ARP and the like */
	uint64_t violations[HB_VIOLATIONS];
};

struct hb_match;

int hb_match_open(struct hb_match **out, const struct hb_match_options *o, struct hb_error *e);
void hb_match_close(struct hb_match *m);

/* Whether so many more can be remembered. */
bool hb_match_room(const struct hb_match *m, unsigned n);

/* Fetches into the cache where a shot will be remembered. */
void hb_match_prefetch(const struct hb_match *m, uint64_t key);

/* A shot is being sent, that was due at `due_ns`. The frame is kept where it may have to be sent
 * again, by send queue `queue`. There must be room. */
void hb_match_sent(struct hb_match *m, const struct hb_shot *shot, const uint8_t *frame,
	unsigned queue, uint64_t due_ns);

/* A reply that is being looked at. */
struct hb_heard {
	struct hb_answer answer;
	const uint8_t *frame;
	uint64_t key;
};

/* Parses a received frame. False: it is none, or one beyond use, which is counted. `checked`: as
 * for hb_frame_parse(). */
bool hb_match_read(struct hb_match *m, const uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_heard *h);

/* Judges a reply that came at `now_ns`. */
void hb_match_hear(struct hb_match *m, const struct hb_heard *h, uint64_t now_ns);

/* Finds out what has been lost and forgets what may be forgotten, a little at each call: to be
 * called all the time. Answered requests due before `settled_ns` are not repeated by the source any
 * more. */
void hb_match_sweep(struct hb_match *m, uint64_t now_ns, uint64_t settled_ns);

/* Whether anything may have to be sent again at all. */
bool hb_match_repeats(const struct hb_match *m);

/* What a client sends again now: the frame's bytes, or 0. Its send queue goes to *queue. */
uint32_t hb_match_again(
	struct hb_match *m, uint64_t now_ns, const uint8_t **frame, unsigned *queue);

/* Requests that wait for a reply, or for their time to be sent again. */
uint64_t hb_match_waiting(const struct hb_match *m);

/* Nothing more will be heard: counts what still waits as lost, but what was told to ask again later
 * as answered. */
void hb_match_give_up(struct hb_match *m);

const struct hb_match_counts *hb_match_counts(const struct hb_match *m);

/* Nanoseconds from when a request was due to its reply, by status. Where a request was sent again
 * because no reply came, from when it was due first; because the server said to ask again, from
 * when that was due. */
const struct hb_histogram *hb_match_latency(const struct hb_match *m, unsigned status);

/* The first violation, for people; "" where there was none. */
const char *hb_match_first(const struct hb_match *m);

/* How many violations there were in all. */
uint64_t hb_match_violations(const struct hb_match *m);

/* ---- the loop ------------------------------------------------------------------------ */

struct rte_mempool;

#define HB_REPLAY_QUEUES_MAX 64

/* A device that is being played at. */
struct hb_target {
	uint16_t id; /* ethdev's */
	uint16_t queues;
	struct rte_mempool *pool;
	char name[64], driver[64];
	bool eal, started;
	bool misasked; /* opening failed for what was asked for, not for what the host has */
};

struct hb_target_options {
	const char *device; /* as for --vdev, or a PCI address */
	unsigned queues;
	unsigned descriptors; /* 0: what the profile says */
	const char *profile;  /* NULL: by the device's name */
	const uint8_t *mac;   /* that a device without an address of its own takes */
};

/* Starts EAL, and opens the device with that many queues. Returns 0 or -errno with e. */
int hb_target_open(struct hb_target *t, const struct hb_target_options *o, int eal_count,
	char **eal, struct hb_error *e);

/* Waits for the link, for so long. Returns 0, -ENOLINK with e, or -EINTR when *stop became true. */
int hb_target_wait(
	struct hb_target *t, uint64_t wait_ms, const volatile bool *stop, struct hb_error *e);

void hb_target_close(struct hb_target *t);

struct hb_replay_options {
	struct hb_pace pace;
	uint64_t window;   /* FLAT_OUT: at most so many unanswered; 0: any number */
	uint64_t stop_ns;  /* send nothing that is due later; 0: no end but the source's */
	uint64_t drain_ns; /* how long to wait for replies after the last was sent */
};

struct hb_replay_counts {
	uint64_t sent;	      /* frames that the device took, tries included */
	uint64_t first_ns;    /* the turn in which the source's first was sent, */
	uint64_t last_ns;     /* and its last */
	uint64_t last_due_ns; /* when that was due */
	uint64_t device_full; /* times that it took fewer than it was given */
	uint64_t held;	      /* turns in which nothing was sent for want of room to remember it */
	uint64_t received;
	bool interrupted;
};

struct hb_replay {
	struct hb_replay_options options;
	struct hb_target *target;
	struct hb_source *source;
	struct hb_match *match;
	struct hb_replay_counts counts;
	struct hb_histogram behind; /* ns from when each frame was due to when it was handed over */
};

/* Plays until the source or the time is over, or *stop becomes true, then waits for the replies.
 * Returns 0, or -errno with e when the device went away or the source failed. The counts hold in
 * any case. */
int hb_replay_run(struct hb_replay *r, const volatile bool *stop, struct hb_error *e);

#endif
