/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim: hongbao's engine, pools, users, journal, control core and recovery, the very code that runs
 * in hongbaod, in a world where a seed decides everything: whose turn it is, how long things take,
 * what the network loses, what the disk refuses and when the power fails. One thread, no EAL.
 *
 * chance   the seed's numbers
 * disk     a disk that keeps what was flushed, and is free to lose the rest
 * network  clients that ask until they are answered, and the datagrams between
 * server   a process from start to end: what hongbaod does around the library
 * oracle   the contract, slow and obvious: whether what was told may be told
 * packets  group packets, on both sides: their clients, and what the contract says of them
 * world    the scheduler
 * change   what an operator does meanwhile: tops up, adds, bars, looks, drains
 * lease    the database of a budget that many hosts share, and whoever brings blocks and terms
 */
#ifndef HB_SIM_H
#define HB_SIM_H

#include "hb_recovery.h"

#define SIM_CAMPAIGNS 3
#define SIM_USERS 64
#define SIM_PAIRS (SIM_CAMPAIGNS * SIM_USERS)
#define SIM_ENVELOPES 200 /* of a campaign's first funding, at the most */
#define SIM_NUMBERS 400	  /* of all its fundings */
#define SIM_FUNDINGS 48	  /* of a campaign */
#define SIM_TOP_UPS 8	  /* of them, where its budget is its own */
#define SIM_WORKERS 8
#define SIM_PARK 512   /* places of a worker's FIFO, at the most */
#define SIM_PACKETS 16 /* that users fund; bundles come on top */
#define SIM_SHARES 8
#define SIM_PARCELS 4096 /* packets that there ever were in a run, lost ones too */

struct world;

/* Prints what was violated and how to see it again, and exits. */
void sim_fail(const struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
/* A line of what happens, with -v. */
#define SIM_SAY(w, ...)                                                                            \
	do {                                                                                       \
		if ((w)->verbose)                                                                  \
			sim_say(w, __VA_ARGS__);                                                   \
	} while (0)
void sim_say(const struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- chance -------------------------------------------------------------------------- */

struct chance {
	uint64_t state;
};

/* 0 to n - 1. */
static inline uint64_t
below(struct chance *c, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)hb_splitmix64(&c->state) * n) >> 64);
}

static inline uint64_t
between(struct chance *c, uint64_t low, uint64_t high)
{
	return low + below(c, high - low + 1);
}

/* Once in n times; 0: never. */
static inline bool
once_in(struct chance *c, unsigned n)
{
	return n != 0 && below(c, n) == 0;
}

/* ---- disk ---------------------------------------------------------------------------- */

#define SIM_SECTOR 512
#define SIM_FILES 256
#define SIM_FILE_BYTES (160u << 10)
#define SIM_FILE_SECTORS (SIM_FILE_BYTES / SIM_SECTOR)

enum sector {
	SECTOR_CLEAN,
	SECTOR_WRITTEN, /* a flush would make it stable; an outage does as it likes */
	SECTOR_LOST,	/* a flush failed: the program still sees it, nobody will ever write it */
};

struct sim_file {
	char name[16];
	uint32_t number;   /* that the name says */
	bool there;	   /* the program sees the name */
	bool there_stable; /* an outage leaves the name */
	uint64_t bytes;
	unsigned unclean;
	uint8_t sector[SIM_FILE_SECTORS];
	uint8_t *now;	 /* as the program sees it */
	uint8_t *stable; /* as an outage would leave it */
};

struct sim_disk {
	struct hb_disk disk;
	struct world *world;
	struct sim_file file[SIM_FILES];
	unsigned files;
	bool reserves; /* the file system: what was created can be written */
	bool full;
	bool dead;	  /* the process is gone: no call does anything more */
	bool broken;	  /* a writing call failed: nothing must be written again */
	bool unreadable;  /* a reading call failed */
	unsigned dies_in; /* calls until the process dies in the middle of one; 0: never */
	unsigned fails_in;
};

void sim_disk_begin(struct sim_disk *d, struct world *w);
/* The process is gone: what it wrote stays, if the power doesn't fail as well. */
void sim_disk_restart(struct sim_disk *d, bool power_failed);
/* A segment's bytes, as the program sees them or as an outage would leave them; NULL: not there. */
const uint8_t *sim_disk_look(
	const struct sim_disk *d, uint32_t segment, bool stable, uint64_t *bytes);

/* ---- network ------------------------------------------------------------------------- */

#define SIM_UNDERWAY 384

/* A request, or what it was for its reply. */
struct ask {
	uint64_t due_us;
	uint32_t seq;
	uint16_t pair; /* campaign * SIM_USERS + user */
	uint8_t op;
	bool right;	/* knows the password */
	uint32_t rests; /* of a reply: gifts that must be durable before it is told; of a packet's
			   WIN: the share */
	/* Of GRAB and PACK, where pair is the user alone. */
	uint64_t id;
	uint8_t plain;	 /* PACK: which of the world's packets */
	uint8_t variant; /* PACK: 0: its own terms */
	uint16_t entry;	 /* of a reply: the parcel that it is about */
	bool refund;	 /* of a reply: it rests on the refund too */
};

struct letter {
	struct ask ask;
	struct hb_reply reply;
};

/* One user in one campaign, as a client. */
struct client {
	uint64_t next_us;
	uint32_t seq;
};

struct network {
	struct client client[SIM_PAIRS];
	struct ask ask[SIM_UNDERWAY];
	struct letter letter[SIM_UNDERWAY];
	unsigned asks, letters;
	unsigned lose, twice, op_wrong; /* once in so many */
	uint64_t delay_us;		/* at the most */
	uint64_t think_us;
};

void network_begin(struct world *w);
/* Makes it perfect. */
void network_calm(struct world *w);
/* Lets some clients ask, or all. */
void network_ask(struct world *w, bool all);
/* Brings replies to their clients. */
void network_deliver(struct world *w);
/* Takes up to `most` requests out that have come to a worker. */
unsigned network_take(struct world *w, unsigned worker, struct ask *out, unsigned most);
/* Sends a request on its way, if the network likes. */
void network_post(struct world *w, struct ask a);
void network_reply(struct world *w, const struct ask *a, const struct hb_reply *reply);

/* ---- server -------------------------------------------------------------------------- */

struct server {
	struct hb_engine engine[SIM_WORKERS];
	struct hb_engine *engines[SIM_WORKERS];
	struct hb_link link[SIM_WORKERS];
	struct hb_link *links[SIM_WORKERS];
	struct hb_worker_stats stats[SIM_WORKERS];
	struct hb_envelopes envelopes[SIM_CAMPAIGNS];
	uint8_t drained[SIM_CAMPAIGNS];
	struct hb_control control;
	struct hb_journal journal;
	struct hb_journal_reader reader;
	struct hb_recovery recovery;
	struct letter *parked; /* frames of the FIFOs */
	uint16_t free_parked[SIM_WORKERS * SIM_PARK];
	unsigned free_parked_count;
	unsigned workers;
	unsigned made;	/* engines */
	uint64_t users; /* rows of a worker */
	bool running;
	bool begun; /* the journal is open for writing */
	bool found; /* there was one */
};

/* Starts a process; false: it could not start, as it says in e. */
bool server_start(struct world *w, struct hb_error *e);
/* Frees what the process had. */
void server_gone(struct world *w);
/* Lets the workers finish and closes the journal, as a process that is asked to stop. */
void server_stop(struct world *w);
/* A worker's turn. */
unsigned server_serve(struct world *w, unsigned worker, unsigned most);
unsigned server_release(struct world *w, unsigned worker);
unsigned server_obey(struct world *w, unsigned worker);
void server_expire(struct world *w, unsigned worker);
void server_control(struct world *w);
void server_publish(struct world *w);
/* What the workers do while the control core waits for its disk. */
void server_meanwhile(struct world *w);

/* ---- oracle -------------------------------------------------------------------------- */

/* What the contract knows of an envelope. */
struct gift {
	uint32_t amount; /* 0: not known yet */
	uint32_t seq;
	uint16_t pair;
	uint16_t parcel; /* of a bundle; 0: it is none */
	bool given;
	bool returned; /* it went back to a shared budget, as the journal says */
	bool durable;  /* its record is on stable storage */
	bool told;
	bool seen; /* in the journal, when that was last read */
};

/* What it knows of a user in a campaign. */
struct asker {
	uint64_t final_us;    /* when last answered finally */
	uint32_t final_seq;   /* the last finally answered that the server must know, */
	uint8_t final_status; /* 0: none */
	uint8_t wins;
	uint32_t epoch;		/* in which that was */
	uint32_t us_epoch;	/* in which final_us was */
	uint32_t row_epoch;	/* in which it may have taken a row */
	uint32_t highest_final; /* ever */
	uint32_t rests;		/* gifts that final_status rests on: the user's, or for EMPTY all */
};

/* One funding of a campaign: the first, or a top-up. */
struct part {
	uint32_t first;	 /* number of its first envelope */
	uint32_t block;	 /* of a shared budget; 0: it is none */
	uint32_t issued; /* number of the first on the wire */
	uint32_t count;
	uint64_t total;
	uint64_t fen;	/* of the envelopes whose amount is known */
	uint32_t known; /* how many these are */
	bool valid;	/* its envelopes are there; else it is being written, or who knows */
	bool durable;	/* must never be lost again */
};

/* A share of a packet. */
struct parcel_share {
	uint32_t fen;
	uint8_t user;
	bool durable, told, seen;
};

/* What the contract knows of a packet. Where an id is used again, that is another one. */
struct parcel {
	uint64_t id, user;
	uint64_t packed_us;
	uint64_t done_us;
	uint32_t total, left;
	uint16_t shares, campaign;
	uint8_t split, hours;
	uint8_t taken;
	bool there; /* it wasn't lost */
	bool durable, told, seen;
	bool refunded, refund_durable, refund_seen;
	struct parcel_share share[SIM_SHARES];
};

/* A way through the journal, batch by batch, by the page that describes its bytes. */
struct walk {
	bool stable;	  /* what an outage would leave, not what the program sees */
	uint32_t segment; /* 0: not begun */
	uint64_t at;
	uint64_t batch; /* the next one's number */
	uint64_t journal;
};

struct oracle {
	struct gift gift[SIM_CAMPAIGNS][SIM_NUMBERS + 1];
	struct asker asker[SIM_PAIRS];
	uint8_t funded[SIM_CAMPAIGNS];	/* FUND records seen */
	uint8_t returns[SIM_CAMPAIGNS]; /* RETURN records seen */
	struct part part[SIM_CAMPAIGNS][SIM_FUNDINGS];
	uint8_t parts[SIM_CAMPAIGNS];
	uint32_t count[SIM_CAMPAIGNS]; /* envelopes that are there, given or not */
	uint32_t left[SIM_CAMPAIGNS];  /* envelopes that nobody has */
	uint32_t epoch;		       /* starts so far */
	uint64_t rows[SIM_WORKERS];    /* users who can have a row, at the most */
	struct walk stable;	       /* how far the stable journal was read */
	unsigned parcels;	       /* from 1 on */
	struct parcel parcel[SIM_PARCELS];
};

void oracle_begin(struct world *w);
/* A worker decided. */
void oracle_judge(struct world *w, unsigned worker, struct ask *a, const struct hb_reply *r);
/* A reply leaves the server. */
void oracle_tell(struct world *w, const struct ask *a, const struct hb_reply *r);
/* The disk said that more is stable. */
void oracle_stable(struct world *w);
/* A process is gone, and this is what the next one will find. */
void oracle_gone(struct world *w);
/* The next one has started. */
void oracle_started(struct world *w);
/* Every envelope is in one place. */
void oracle_check(struct world *w);
/* A funding is about to be asked for; what came of it: 0, -errno, or unsure. */
void oracle_funding(struct world *w, unsigned c, const struct hb_terms *t);
void oracle_funded(struct world *w, unsigned c, int err, bool unsure);
/* The same of a block. */
void oracle_leasing(
	struct world *w, unsigned c, const struct hb_lease *l, const struct hb_terms *t);
/* Whether a block is there, as far as anybody knows. */
bool oracle_has_block(const struct world *w, unsigned c, uint32_t block);
/* A campaign that the next start funds, if it isn't yet. */
void oracle_configured(struct world *w, unsigned c);
/* What a worker said of a user. */
void oracle_looked(struct world *w, unsigned pair, const struct hb_look *look);
/* Whether a user is barred on all workers, or on none; else it is being told to them. */
bool oracle_barred(const struct world *w, unsigned pair);
bool oracle_free(const struct world *w, unsigned pair);

/* ---- packets ------------------------------------------------------------------------- */

void packets_begin(struct world *w);
/* Some users pack or grab. */
void packets_ask(struct world *w);
struct hb_request packets_request(const struct world *w, const struct ask *a);
void packets_judge(struct world *w, unsigned worker, struct ask *a, const struct hb_reply *r);
void packets_tell(struct world *w, const struct ask *a, const struct hb_reply *r);
/* A win became a packet: its parcel. */
uint16_t packets_bundle(struct world *w, unsigned pair, const struct hb_reply *r);
/* A worker looked what is over. */
void packets_expired(struct world *w, unsigned worker);
/* The journal is read from its beginning; a record of it, the first of its batch or not. */
void packets_read_begin(struct world *w);
void packets_read(struct world *w, const struct hb_record *r, bool first, bool stable);
void packets_gone(struct world *w);
/* Everybody grabs what is left. Returns whether nothing is. */
bool packets_calm(struct world *w);

/* ---- change -------------------------------------------------------------------------- */

/* The operator does something. */
void change_something(struct world *w);
/* Often the disk is full just then, or fails. */
void change_worry(struct world *w);
/* Whether nobody knows what came of something that was asked of the journal. */
bool change_in_the_dark(struct world *w, int err, bool failed_before);

/* ---- lease --------------------------------------------------------------------------- */

/* Makes a campaign's budget, which comes in blocks. */
void lease_make(struct world *w, unsigned c);
/* Somebody brings a block, has some given back, renews the term, or says that nothing is left. */
void lease_something(struct world *w, unsigned c);
/* A turn of what is on its way back. */
void lease_step(struct world *w);
/* The process is gone. */
void lease_gone(struct world *w);
/* The journal says durably that envelopes go back: the nth such record of a campaign, with its
 * tiers behind it. */
void lease_returned(struct world *w, unsigned c, unsigned nth, const struct hb_record *r);
/* Envelopes that are in the database, or on their way here. */
uint32_t lease_left(const struct world *w, unsigned c);
/* Nothing goes wrong any more: all of it comes here. */
void lease_calm(struct world *w);
/* The simulated clock of terms. */
uint64_t lease_clock(void);

enum sim_block_state {
	SIM_BLOCK_FREE,
	SIM_BLOCK_LEASED, /* nobody knows whether it got there */
	SIM_BLOCK_THERE,
};

struct sim_block {
	struct hb_lease lease;
	struct hb_terms terms;
	uint8_t state; /* enum sim_block_state */
};

/* The database. */
struct bank {
	struct sim_block block[SIM_FUNDINGS];
	unsigned blocks;
	uint32_t next_number;
	uint32_t budget; /* envelopes */
	uint32_t issued; /* envelopes of all blocks */
	uint64_t fen;
	unsigned booked; /* RETURN records */
};

/* ---- world --------------------------------------------------------------------------- */

/* How often things happen: once in so many steps, 0 for never. */
struct rates {
	unsigned power, kill, dies, stop, full, heal, fail, publish, leap, change, lease;
	unsigned dies_in_start;
	unsigned meanwhile;
};

struct totals {
	uint64_t steps, starts, outages, kills, stops, told, torn, asked, full, failed;
	uint64_t topped, added, refused, unsure;
	uint64_t leased, again, returned;
	uint64_t packed, bundled, shares, refunds;
};

/* A packet that a user may fund. */
struct sim_packet {
	uint64_t id;
	uint32_t total;
	uint16_t shares;
	uint8_t user;
	uint8_t split, hours;
};

struct world {
	struct chance chance;
	uint64_t seed;
	uint64_t now_us;
	uint64_t first_us;
	unsigned steps;
	bool verbose;
	bool calm; /* nothing goes wrong any more */
	struct rates rates;
	unsigned weight[7]; /* how often each kind of step is taken */
	unsigned users;
	uint64_t user[SIM_USERS];
	unsigned workers_max;
	uint64_t server_users;
	uint64_t server_packets; /* that a worker can remember */
	uint64_t keep_us;
	struct sim_packet packet[SIM_PACKETS];
	unsigned packets;
	uint64_t segment_bytes;
	uint64_t server_seed;
	struct hb_config config;
	/* All that there can be; config has the first ones, the others can be added. */
	struct hb_campaign_config campaign[SIM_CAMPAIGNS];
	unsigned envelopes; /* of all fundings so far */
	unsigned envelopes_max;
	bool adding; /* the next campaign's funding was asked for, and who knows */
	bool draining;
	bool barred[SIM_USERS];
	bool telling[SIM_USERS]; /* the workers may not all know it yet, until the mark is reached
				  */
	struct hb_mark told[SIM_USERS];
	struct hb_look look; /* under way, if `looking` */
	uint16_t look_pair;
	bool looking;
	bool look_denied, look_free; /* what it must not say of the bar */
	struct bank bank[SIM_CAMPAIGNS];
	struct hb_returning returning; /* what is on its way back of campaign `returning_of` */
	unsigned returning_of;
	bool returns;
	uint64_t term_us; /* until when leased envelopes may be given */
	struct hb_snapshot *snapshot;
	struct server server;
	struct sim_disk disk;
	struct network network;
	struct oracle oracle;
	struct totals *totals;
};

static inline unsigned
campaign_of(unsigned pair)
{
	return pair / SIM_USERS;
}

static inline uint64_t
user_of(const struct world *w, unsigned pair)
{
	return w->user[pair % SIM_USERS];
}

static inline bool
is_answered(const struct hb_campaign_config *c)
{
	return c->password[0] != '\0';
}

/* The worker that owns a user now. */
static inline unsigned
owner_of(const struct world *w, unsigned pair)
{
	return hb_owner(hb_lane(hb_shard(user_of(w, pair))), w->server.workers);
}

/* The worker that owns what a request is about. */
static inline unsigned
owner_of_ask(const struct world *w, const struct ask *a)
{
	if (a->op < HB_OP_GRAB)
		return owner_of(w, a->pair);
	return hb_owner(hb_lane(hb_shard(a->id)), w->server.workers);
}

/* Terms of at most so many envelopes. */
void make_terms(struct world *w, struct hb_terms *t, uint32_t most);

/* Runs a seed. */
void world_run(struct world *w, uint64_t seed, unsigned steps, bool verbose, struct totals *t);

#endif
