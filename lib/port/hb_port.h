/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_port: the NIC. EAL, the devices with their queues and their steering, and the workers' loop:
 * the only library that knows ethdev and mbufs.
 *
 * Owners: devices are opened, watched and closed by the control core; opened and closed while no
 * worker runs. An hb_worker belongs to its worker from hb_worker_run() on; what others may touch
 * says so. A worker has a receive and a send queue of its own on every device that has so many,
 * with its own index as the queue's number.
 */
#ifndef HB_PORT_H
#define HB_PORT_H

#include "hb_config.h"
#include "hb_engine.h"
#include "hb_histogram.h"
#include "hb_snapshot.h"
#include "hb_stats.h"
#include "hb_steering.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

/* ---- EAL ----------------------------------------------------------------------------- */

/* What a program needs of EAL. */
struct hb_eal_wish {
	const char *program;
	unsigned workers;		  /* lcores beside the main one */
	uint64_t frames;		  /* that it holds at the same time */
	uint16_t frame_room;		  /* data room of each, headroom included */
	uint64_t other_bytes;		  /* of hugepages that it takes beside EAL */
	const struct hb_profile *profile; /* of its devices */
	unsigned profiles;
};

/* What a configuration needs of it. */
struct hb_eal_wish hb_eal_wish(
	const char *program, const struct hb_config *c, const struct hb_profile *profiles);

/* Starts EAL with an lcore for each worker, on CPUs of their own as far as this process has them.
 * `extra` are the user's EAL arguments, which win. Hugepages are used where the host has enough of
 * them free; *no_huge says whether it was done without, and why is said in `why`. Returns 0 or
 * -errno with e. */
int hb_eal_start(const struct hb_eal_wish *w, int extra_count, char **extra, bool *no_huge,
	char *why, size_t why_bytes, struct hb_error *e);
void hb_eal_stop(void);

/* ---- devices ------------------------------------------------------------------------- */

/* How requests come to the worker that owns them. */
enum hb_steering {
	HB_STEERING_NONE,     /* one worker owns everything */
	HB_STEERING_RSS,      /* the device's RSS brings IPv4 requests, the rest is handed over */
	HB_STEERING_SOFTWARE, /* the workers hand over what isn't theirs */
};

/* "none", "rss", "software" */
const char *hb_steering_name(enum hb_steering s);

/* Written by hb_ports_open(); then read-only for everybody, but for what is the control core's. */
struct hb_port {
	uint16_t id;		 /* ethdev's */
	uint16_t rx_queues;	 /* workers 0 to rx_queues - 1 have one */
	uint16_t tx_queues;	 /* the others give their replies to worker (index mod tx_queues) */
	uint16_t rx_descriptors; /* of each receive queue */
	uint8_t mac[6];
	bool capture; /* frames come from a file, with the time at which they were captured */
	bool started;
	enum hb_steering steering;
	char why[160];	/* so; for people */
	char note[128]; /* what else isn't as it should be, for people, or "" */
	uint8_t key[HB_RSS_KEY_MAX];
	uint8_t key_bytes;
	uint16_t reta_entries;
	char name[HB_NAME_BYTES];
	char driver[HB_NAME_BYTES];
	bool seen;	/* the link was looked at. control core: rw; others: ro */
	bool up;	/* as it was then. control core: rw; others: ro */
	unsigned looks; /* at it since it came up. control core: rw */
};

struct hb_ports {
	struct hb_port port[HB_PORTS_MAX];
	struct hb_listen listen[HB_PORTS_MAX]; /* by port */
	unsigned count;
	struct rte_mempool *pool;
	int timestamp_offset;	       /* of the capture's time in an mbuf; -1: none has it */
	uint64_t looked_ns HB_ALIGNED; /* at the links. control core: rw */
	unsigned next_look;	       /* the port that is looked at next. control core: rw */
	/* Of what workers passed on of ARP, neighbour discovery and ping: answers given back to
	 * them, frames that deserve none, and answers for which a worker had no room. control core:
	 * wo; others: ro */
	uint64_t host_answered;
	uint64_t host_ignored;
	uint64_t host_crowded;
};

/* Finds a device's port, probing for it first: virtual devices come into being here. `profile` is
 * for the error line. Returns 0 or -errno with e. */
int hb_device_attach(const char *device, const char *profile, uint16_t *id, struct hb_error *e);

/* Looks at the captures that net_pcap devices are to play, before the driver, which would empty the
 * files for replies first and say little: each is a pcap of Ethernet frames, and none is without a
 * worker to read it. Returns 0 or -errno with e. */
int hb_captures_check(struct hb_config *c, struct hb_error *e);

/* Opens and starts every device of the configuration, with a queue for each worker as far as it has
 * them, and RSS steering the requests where it can. Returns 0 or -errno with e. */
int hb_ports_open(struct hb_ports *p, const struct hb_config *c, const struct hb_profile *profiles,
	struct hb_error *e);
/* Frames that a device lost before a worker saw them, by why. */
struct hb_port_lost {
	uint64_t missed;    /* no descriptor was free */
	uint64_t no_buffer; /* no buffer was */
	uint64_t errors;    /* damaged, or too long for the device */
};
/* Asks the driver; 0 where it doesn't tell. Any thread, one at a time, while the port is open. */
struct hb_port_lost hb_port_lost(const struct hb_port *p);
/* All of them, over all devices. */
uint64_t hb_ports_lost(const struct hb_ports *p);
/* Stops and closes them: what drivers buffer is written out. */
void hb_ports_close(struct hb_ports *p);

/* net_pcap stamps what it writes with the wall clock. Gives each reply of a capture the time of the
 * request that it answers instead, so that two runs give the same file. For a device with one
 * capture in and one out; anything else is left as it is. Call after hb_ports_close(). sent:
 * replies that must be there. Returns 0 or -errno with e. */
int hb_ports_restamp(const struct hb_config *c, uint64_t sent, struct hb_error *e);

/* ---- workers ------------------------------------------------------------------------- */

/* Frames in a ring between a worker and the control core; a power of two. */
#define HB_HOST_FRAMES 256

enum hb_phase {
	HB_PHASE_RUN,
	HB_PHASE_FINISH, /* take nothing more from the NIC, but what others hand over */
	HB_PHASE_LEAVE,	 /* leave the loop; what is still parked is given up */
};

struct hb_worker {
	struct hb_engine engine;
	struct hb_worker_stats stats; /* worker: wo; all others: ro */
	struct hb_link link;	      /* see there */
	unsigned index;
	unsigned workers;
	unsigned turn;
	bool taking;	     /* from the NIC: not at the end any more */
	bool passes_replies; /* of a capture, to a worker that has a send queue */
	bool sheds;	     /* frames come from clients, who don't wait for us */
	bool may_shed;	     /* as the snapshot has it */
	bool may_sleep;	     /* the same */
	bool full;	     /* in this turn a queue gave a whole burst */
	unsigned taken;	     /* frames that this turn took in */
	unsigned idle_turns; /* turns without work in a row */
	uint64_t turned_tsc; /* when the last turn ended */
	uint64_t request_us; /* time of the last request that was decided */
	uint64_t ns_scale;   /* nanoseconds a TSC cycle, times 2^32 */
	/* Nanoseconds that each turn took which took frames in, from before the receive until they
	 * were sent or parked. NULL: nobody wants to know. worker: wo; others: ro */
	struct hb_histogram *service_ns;
	enum hb_clock clock;
	const struct hb_ports *ports;
	struct hb_snapshot *const *snapshot;   /* whoever publishes: wo; worker: ro, by RCU */
	struct rte_ring *to[HB_WORKERS_MAX];   /* hand-over; worker: producer */
	struct rte_ring *from[HB_WORKERS_MAX]; /* hand-over; worker: consumer */
	struct rte_ring
		*to_control; /* frames for the host; worker: producer, control core: consumer */
	struct rte_ring *from_control; /* its frames; control core: producer, worker: consumer */
	uint8_t owner[HB_LANES];       /* the worker that owns a lane */
	uint64_t handed_to[HB_WORKERS_MAX]; /* requests, by worker. worker: wo; others: ro */
	struct {
		struct rte_mbuf *frame[2 * HB_BURST];
		unsigned count;
	} out[HB_PORTS_MAX];	 /* replies on their way to the NIC */
	bool waiting HB_ALIGNED; /* doesn't take what a device may have. worker: wo; others: ro */
	enum hb_phase phase HB_ALIGNED; /* control core: wo; worker: ro */
};

/* Makes the rings between workers, whose engines are made, and between each of them and the control
 * core, and lets each know of the wins that the others tell. Returns 0 or -ENOMEM with e. */
int hb_workers_connect(struct hb_worker **w, unsigned workers, struct hb_error *e);

/* The loop in pieces, for tests and benchmarks: what comes before the first turn, one turn (returns
 * how many frames and parked replies it had), and what comes after the last. By one thread, whose
 * timers a begin makes exact. A turn's time counts from turned_tsc. */
void hb_worker_begin(struct hb_worker *w);
unsigned hb_worker_turn(struct hb_worker *w);
void hb_worker_end(struct hb_worker *w);

/* The loop, until the phase says to leave. For rte_eal_remote_launch(); arg: an hb_worker. Returns
 * 0. */
int hb_worker_run(void *arg);

/* Frees what hb_workers_connect() made; no worker runs. */
void hb_workers_disconnect(struct hb_worker **w, unsigned workers);

/* Requests and replies that were handed over and not taken in yet, over all workers. Any thread;
 * approximate while workers run. */
unsigned hb_workers_underway(struct hb_worker *const *w, unsigned workers);

/* Lets go of what was handed over and never taken in, and counts it as dropped: when a disk that
 * failed kept it from being decided. By the control core, once no worker runs. */
void hb_workers_abandon(struct hb_worker *const *w, unsigned workers);

/* ---- being a host -------------------------------------------------------------------- */

/* Answers what the workers passed on of ARP, neighbour discovery and ping, a few frames a call. By
 * the control core, in its loop. Returns how many frames there were. */
unsigned hb_host_serve(struct hb_ports *p, struct hb_worker *const *w, unsigned workers);

/* Looks at the links once a second. When one has changed, writes a line about it and returns true;
 * when one has come up, also tells its neighbours where we are. By the control core. */
bool hb_host_watch(struct hb_ports *p, struct hb_worker *const *w, char *line, size_t bytes);

#endif
