/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_engine: decides. Takes verified requests, a clock and a snapshot of the configuration; gives
 * replies, and a record of each win to the control core. It knows no NIC and no disk, so that the
 * workers, the simulator, the fuzzer and the benchmark run the very same code.
 *
 * Owners: an hb_engine belongs to one worker, which alone calls hb_engine_decide() and what follows
 * it. What it shares with the control core is an hb_link, where every field says who reads and who
 * writes.
 */
#ifndef HB_ENGINE_H
#define HB_ENGINE_H

#include "hb_admission.h"
#include "hb_journal.h"
#include "hb_packets.h"
#include "hb_snapshot.h"
#include "hb_stats.h"
#include "hb_users.h"
#include "hb_wire.h"

/* ---- what a worker and the control core share ---------------------------------------- */

struct rte_ring;

/* What is asked of a worker. */
enum hb_order_type {
	/* by the control core */
	HB_ORDER_STOCK = 1, /* here is a range of envelopes for your stock */
	HB_ORDER_GIVE_UP,   /* give up to range.count envelopes back */
	HB_ORDER_BIND,	    /* the campaign's first envelopes are in `envelopes` */
	HB_ORDER_TRANCHE,   /* `tranches` holds range.count tranches by now */
	HB_ORDER_ROW, /* the win of number range.first in `moved` is of a user of yours, in the
			 campaign of id range.count */
	/* by the service thread */
	HB_ORDER_DENY,	 /* bar the user */
	HB_ORDER_UNDENY, /* bar the user no more */
	HB_ORDER_LOOK,	 /* fill in `look` */
	HB_ORDER_PACKET, /* fill in `packet` */
};

struct hb_order {
	uint32_t type;
	uint32_t slot;
	struct hb_range range;
	union {
		uint64_t user;
		const struct hb_envelopes *envelopes;
		const struct hb_tranches *tranches;
		struct hb_moved *moved;
		struct hb_look *look;
		struct hb_packet_look *packet;
	};
};

/* Campaigns that one look at a user can be at. */
#define HB_LOOK_ROWS 64

/* What a worker knows of one of its users in a campaign. asker: campaign and slot; worker: the
 * rest.
 */
struct hb_look_row {
	uint16_t campaign;
	uint16_t wins;
	uint32_t slot;
	uint32_t seq;	   /* the last that was answered finally */
	uint32_t asked_ms; /* when, mod 2^32, where the campaign has a least interval or the user
			      has won; else 0 */
	uint32_t number;   /* envelope of the last win, 0: none */
	uint32_t amount;   /* fen in it */
	uint64_t id;	   /* and what the user was told of it */
	uint8_t outcome;   /* enum hb_outcome of seq */
	bool known;	   /* the user has a row: else all of the above is 0 */
	bool durable;	   /* the last win is on stable storage */
};

/* A look at a user. The asker's until the order is sent and again once `done` is seen; in between
 * the worker's. */
struct hb_look {
	uint64_t user;
	unsigned rows;
	struct hb_look_row row[HB_LOOK_ROWS];
	bool denied; /* the user is barred */
	bool done;   /* worker: set with release as the last; asker: to be read with acquire */
};

/* Shares of a packet that a look at it shows at the most. */
#define HB_LOOK_SHARES 100

/* A look at a packet; whose it is as with an hb_look. */
struct hb_packet_look {
	uint64_t id;		 /* asker; all else: worker */
	struct hb_packet packet; /* as it is; id 0: there is none */
	unsigned shares;	 /* of those taken, in `share`: the first ones */
	struct {
		uint64_t user;
		uint32_t fen;
	} share[HB_LOOK_SHARES];
	bool durable; /* every record about it is on stable storage */
	bool done;
};

/* What a link's drained[] says of a campaign. */
enum hb_drained {
	HB_DRAINED_NOT,	   /* a core without envelopes doesn't know whether there are any */
	HB_DRAINED_ALL,	   /* every envelope is given and journalled */
	HB_DRAINED_COMING, /* there are more on their way, also for a core that had them all */
};

/* A worker's answer to each STOCK and GIVE_UP: the envelopes that it gives up or could not take, or
 * a range of none. */
struct hb_offer {
	uint32_t slot;
	struct hb_range range;
};

/* A worker's books of one campaign. worker: wo; control core: ro. */
struct hb_book {
	uint64_t given; /* envelopes taken out of the stock for a winner */
	uint64_t given_fen;
	uint64_t stock; /* envelopes in the stock, its fen are the ones between */
	uint64_t dry;	/* times that a win found the stock empty while others had some */
};

/* A worker's books of its group packets, of this run. worker: wo; control core: ro. */
struct hb_packet_book {
	uint64_t packed; /* packets funded, bundles among them */
	uint64_t packed_fen;
	uint64_t bundled; /* of them made of a win */
	uint64_t bundled_fen;
	uint64_t taken; /* shares */
	uint64_t taken_fen;
	uint64_t refunded; /* packets whose time was over with something left */
	uint64_t refunded_fen;
	/* As they stand. */
	uint64_t remembered; /* packets, open or done */
	uint64_t open;
	uint64_t left_fen; /* in the open ones */
	uint64_t places;   /* of shares, that no packet has */
};

/* For how long envelopes of campaigns whose budget many hosts share may be given: the same for all
 * of them. A worker looks at the clock itself, since whoever tells it may be late. */
struct hb_term {
	/* Whoever changes the configuration: wo; workers: ro. In now_ns()'s time; 0: not at all */
	uint64_t until_ns;
	/* A clock that goes on while the host sleeps. Set before the workers start. */
	uint64_t (*now_ns)(void);
};

/* The link between one worker and the control core, and the service thread, which tells it of users
 * without the control core, since that waits for the disk. The rings have one producer and one
 * consumer. */
struct hb_link {
	struct rte_ring *records; /* struct hb_record; worker: producer, control core: consumer */
	struct rte_ring *orders;  /* struct hb_order; control core: producer, worker: consumer */
	struct rte_ring *offers;  /* struct hb_offer; worker: producer, control core: consumer */
	struct rte_ring *told;	  /* struct hb_order; service thread: producer, worker: consumer */
	struct hb_book *books;	  /* by slot */
	/* By slot: enum hb_drained. The same array for all workers. control core: wo; workers: ro
	 */
	const uint8_t *drained;
	const struct hb_term *term; /* NULL: no campaign is of that kind */
	/* How many of the worker's records are on stable storage. control core: wo; worker: ro */
	uint64_t durable HB_ALIGNED;
	/* Whether wins may be given: false while the disk can't take them. control core: wo;
	 * worker: ro */
	bool giving;
	/* Replies that are parked now. worker: wo; control core: ro */
	uint64_t parked HB_ALIGNED;
	/* Orders of the service thread's that are carried out. worker: wo, with release; service
	 * thread: ro */
	uint64_t heard;
	/* And those that were sent; the service thread's alone. */
	uint64_t sent HB_ALIGNED;
	struct hb_packet_book packets HB_ALIGNED; /* see there */
};

/* Users that can be barred at the same time. */
#define HB_DENIED_MAX 32768

/* Orders that fit each of a link's rings, and offers that fit theirs. */
#define HB_ORDERS 1024

/* Records that a worker can be ahead of the journal; a power of two. */
#define HB_RECORDS_AHEAD 16384

/* A ring of one producer and one consumer in plain memory, which needs no EAL; count: a power of
 * two. To be freed with free(). NULL when there is no memory. */
struct rte_ring *hb_ring_make(const char *name, unsigned element_bytes, unsigned count);

/* Makes a link's rings and books for so many campaigns. Returns 0 or -ENOMEM. */
int hb_link_make(struct hb_link *l, unsigned campaigns, const uint8_t *drained, struct hb_error *e);
void hb_link_free(struct hb_link *l);

/* What the service thread tells workers; for that thread alone. */

/* Bars a user, or no more, on all workers; either may be said twice. Whoever keeps the list sees to
 * it that no more than HB_DENIED_MAX are barred. Returns 0, or -EAGAIN where a ring has no room;
 * then no worker was told. */
int hb_links_deny(struct hb_link *const *links, unsigned workers, uint64_t user, bool denied);

/* Has the worker that owns look->user fill in the look, of which the asker has set user, rows and
 * each row's campaign and slot. Returns 0, after which look->done says when; or -EAGAIN. */
int hb_link_look(struct hb_link *l, struct hb_look *look);

/* The same of a look at a packet, of which the asker has set id, by the worker that owns it. */
int hb_link_look_at_packet(struct hb_link *l, struct hb_packet_look *look);

/* Whether the workers have carried out everything that they had been told when the mark was made.
 */
struct hb_mark {
	uint64_t sent[HB_WORKERS_MAX];
};
void hb_links_mark(struct hb_link *const *links, unsigned workers, struct hb_mark *m);
bool hb_links_reached(struct hb_link *const *links, unsigned workers, const struct hb_mark *m);

/* ---- parked replies ------------------------------------------------------------------ */

/* A FIFO of frames that wait for their record. A ticket is the number of records that the worker
 * had made when the frame may go: tickets never fall along the FIFO. */
struct hb_park {
	struct {
		uint64_t ticket;
		void *frame;
	} * slot;
	uint32_t mask;
	uint32_t head; /* next to leave */
	uint32_t tail; /* next to come */
};

#define HB_PARK_SLOTS HB_RECORDS_AHEAD

static inline uint32_t
hb_park_used(const struct hb_park *p)
{
	return p->tail - p->head;
}

static inline uint32_t
hb_park_room(const struct hb_park *p)
{
	return p->mask + 1 - hb_park_used(p);
}

/* There must be room: the engine promised it before it decided. */
static inline void
hb_park_push(struct hb_park *p, void *frame, uint64_t ticket)
{
	p->slot[p->tail & p->mask].ticket = ticket;
	p->slot[p->tail & p->mask].frame = frame;
	p->tail++;
}

/* Takes out up to n frames whose ticket is durable. Returns how many. */
static inline unsigned
hb_park_pop(struct hb_park *p, uint64_t durable, void **frames, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && p->head != p->tail; i++, p->head++) {
		if (p->slot[p->head & p->mask].ticket > durable)
			break;
		frames[i] = p->slot[p->head & p->mask].frame;
	}
	return i;
}

/* ---- the engine ---------------------------------------------------------------------- */

/* What a core keeps of a campaign. */
struct hb_engine_campaign {
	struct hb_stock stock;
	/* Of the first funding, and of the top-ups that this core was told of; touched only where
	 * they are ours. */
	struct hb_envelope *envelopes;
	const struct hb_tranches *tranches;
	struct hb_moved *moved; /* NULL: nobody came from another host */
	uint32_t first;		/* how many are in `envelopes` */
	uint16_t topped;	/* how many tranches there are */
	bool whole;	      /* what isn't in the stock is given: no other core or depot has any */
	bool was_whole;	      /* an EMPTY may have been told on the strength of that */
	uint64_t last_ticket; /* of the last envelope that this core gave: what EMPTY rests on */
	uint64_t tokens;      /* release: envelopes * 10^6 * workers that may be given now */
	uint64_t tokens_us;   /* when tokens was last brought up to date; 0: never */
} HB_ALIGNED;

/* The worker alone touches any of it. */
struct hb_engine {
	struct hb_users users;
	struct hb_packets packets;
	struct hb_admission admission;
	struct hb_park park;
	struct hb_engine_campaign *campaign; /* by slot */
	struct hb_link *link;
	struct hb_worker_stats *stats;
	uint64_t *denied; /* a small set: open addressing, 0 for free */
	uint64_t issued;  /* records made so far: the last ticket */
	uint64_t durable; /* the link's, as it was when this burst began */
	uint64_t draw_key[4];
	uint64_t bundle_key; /* what ids of bundles are made with */
	uint32_t denied_mask;
	uint32_t denied_count;
	uint32_t records_room; /* of the ring, at least: refreshed when it runs out */
	uint32_t promised;     /* places of the FIFO that this burst's replies will take */
	uint32_t dry_slot; /* 1 + slot that a win found dry last, while others had some; 0: none */
	unsigned workers;
	unsigned new_records;
	bool expected;			       /* packets of this burst were fetched */
	bool giving;			       /* the link's, as it was when this burst began */
	struct hb_record record[2 * HB_BURST]; /* of this burst, on their way to the ring: two for
						  a bundle */
	struct hb_mem campaign_mem, park_mem;
};

struct hb_engine_terms {
	unsigned campaigns; /* slots: those in use and room for more */
	unsigned workers;
	uint64_t users;		 /* rows for this worker */
	uint64_t envelopes;	 /* of all campaigns: how large the set of told wins is made */
	uint64_t packets;	 /* that this worker can remember at a time; 0: none ever */
	uint64_t packet_shares;	 /* of all of those */
	uint64_t packet_keep_us; /* for how long one that is done is remembered */
	uint64_t
		seed; /* secret: keys of the user table and of the draw; the same for all workers */
};

/* Makes a worker's engine; envelopes come as orders on the link. Returns 0 or -errno with e. */
int hb_engine_make(struct hb_engine *e, const struct hb_engine_terms *t, struct hb_link *l,
	struct hb_worker_stats *stats, struct hb_error *err);
void hb_engine_free(struct hb_engine *e);

/* Draws from this seed from now on: the journal's, where it has one. Before the worker starts. */
void hb_engine_seed(struct hb_engine *e, uint64_t seed);

/* Tells the engine where a campaign's envelopes are, and those of its first n tranches. By the
 * worker, or before it starts. */
void hb_engine_bind(struct hb_engine *e, unsigned slot, const struct hb_envelopes *v);
void hb_engine_tranches(
	struct hb_engine *e, unsigned slot, const struct hb_tranches *t, unsigned n);

/* Puts a win on another host into its user's row, or what is newer of both; its number is
 * HB_MOVED_FIRST and up. Every worker's campaign gets to know `m`. By the worker, or before it
 * starts. Returns 0, or -ENOSPC when the user table cannot hold the winners. */
int hb_engine_row(
	struct hb_engine *e, unsigned slot, uint16_t campaign, struct hb_moved *m, uint32_t number);

/* Puts envelopes into the stock. By the worker, or before it starts. Returns 0 or -ENOSPC. */
int hb_engine_stock(struct hb_engine *e, unsigned slot, struct hb_range range);

/* Says that all of the campaign's envelopes that are not given are in the stock, so that an empty
 * stock is an empty campaign. Before the worker starts. */
void hb_engine_whole(struct hb_engine *e, unsigned slot);

/* A win of an earlier run, as far as its winner's row goes. */
struct hb_recall {
	uint64_t user;
	uint32_t seq;
	uint32_t number; /* the envelope's */
	uint16_t campaign;
	uint16_t part;	/* whoever puts wins in order writes here what it likes */
	uint8_t bundle; /* whether it was made a packet */
	uint8_t unused[3];
};

/* Puts a win of an earlier run back into the user's row. Before the worker starts, by one thread at
 * a time; a user's wins in the order in which they were journalled. Returns 0, or -ENOSPC when the
 * user table cannot hold the winners. */
int hb_engine_recall(struct hb_engine *e, const struct hb_recall *win);

/* Fetches what hb_engine_recall() will touch. */
void hb_engine_recall_soon(const struct hb_engine *e, const struct hb_recall *win);

/* Puts a PACK, GRAB or REFUND of an earlier run back into the packet that it is about, which is one
 * of this worker's. Before the worker starts; a packet's records in the journal's order. Returns 0;
 * -ENOSPC when there is no room for the packet; or -EILSEQ with *wrong where the record contradicts
 * those before it. Packets that are done are forgotten as their time goes by in the records. */
int hb_engine_recall_packet(struct hb_engine *e, const struct hb_record *r, const char **wrong);

/* Bars a user, up to HB_DENIED_MAX, and no more. Either may be done twice. By the worker, or before
 * it starts. */
void hb_engine_deny(struct hb_engine *e, uint64_t user);
void hb_engine_undeny(struct hb_engine *e, uint64_t user);

/* Fills in a look at one of its users, all but `done`. By the worker. */
void hb_engine_look(const struct hb_engine *e, struct hb_look *look);

/* Whether the campaign that a win found dry last still waits for envelopes that others have.
 * Whoever would rather wait than answer BUSY asks this and hb_engine_ready() before taking a burst
 * in. */
bool hb_engine_dry(struct hb_engine *e);

/* Whether a whole burst of wins finds room in the settlement ring and the FIFO. */
bool hb_engine_ready(struct hb_engine *e);

/* Fetches what the decisions on n requests will touch. The sooner before them the better, since a
 * row in memory is hundreds of cycles away; and all of them at once, since a fetch holds up what
 * comes behind it until its page is found: a short loop has many under way. */
void hb_engine_expect(const struct hb_engine *e, const struct hb_snapshot *s,
	const struct hb_request *r, unsigned n);

/* Decides n <= HB_BURST verified requests, in order, each at its now_us, into out. Their records
 * are in the link's ring when it returns. For each reply with a ticket the caller parks one frame
 * before the next call: the room for it is promised. */
void hb_engine_decide(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out, unsigned n);

/* Gives back what is left in packets whose time is over at now_us, and forgets those that have been
 * done for long enough: a bounded number a call, to be called often. Returns how many were given
 * back. Between bursts. */
unsigned hb_engine_expire(struct hb_engine *e, uint64_t now_us);

/* Carries out some of what the control core ordered and the service thread told; returns how many
 * orders: 0 when all of them are. Between bursts. */
unsigned hb_engine_obey(struct hb_engine *e);

#endif
