/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_config: the configuration file, the key file and the driver profiles, read and checked.
 *
 * A file is read whole by libcyaml against a schema, then checked for sense. Every error is one
 * line: file, line, key, the value and what would be right. What this returns is plain data,
 * complete and valid; the engine never sees it, but the snapshot made of it (hb_snapshot.h).
 *
 * Called at start and by the service thread, never by a worker. The caller owns what it gets.
 */
#ifndef HB_CONFIG_H
#define HB_CONFIG_H

#include "hb_pool.h"
#include "hb_steering.h"
#include "hb_wire.h"

#include <limits.h>

#define HB_PORTS_MAX 8
#define HB_WORKERS_MAX 64
#define HB_CAMPAIGNS_MAX 65535
#define HB_NAME_BYTES 64
#define HB_DEVICE_BYTES 1024
#define HB_CHANGERS_MAX 16

/* A week: the time of a user's last request is kept modulo 49 days. */
#define HB_LEAST_INTERVAL_MAX_MS (7u * 86400000)

/* What `campaign_room` is where the file doesn't say. */
#define HB_CAMPAIGN_ROOM 16

enum hb_clock {
	HB_CLOCK_WALL,
	HB_CLOCK_PACKET, /* time from the capture; replies leave in the order of their requests */
};

/* The group packet that is made of each win of a campaign. */
struct hb_bundle {
	uint16_t shares; /* 0: none is made */
	uint8_t split;	 /* HB_SPLIT_EQUAL or HB_SPLIT_LUCKY */
	uint8_t hours;	 /* to live, from 1 up */
};

/* What `packets` is where the file doesn't say. */
#define HB_PACKETS_OPEN 100000
#define HB_PACKETS_SHARES 1000000
#define HB_PACKETS_KEEP_S 86400
#define HB_PACKETS_OPEN_MAX (1u << 30)

struct hb_campaign_config {
	uint16_t id;   /* 1 to 65535 */
	uint32_t slot; /* index of the state that the cores keep of it: its place in the file, and
			  for as long as the program runs the same (hb_config_compare()) */
	char name[HB_NAME_BYTES];
	uint64_t opens_us; /* since 1970 */
	uint64_t closes_us;
	struct hb_terms terms; /* seed 0: to be drawn at the first start */
	bool leased; /* envelopes come in blocks of a budget that many hosts share; the terms are
			all 0 */
	struct hb_bundle bundle;     /* the same for as long as the program runs */
	double odds;		     /* 0 to 1 */
	uint32_t release_per_second; /* 0: no limit */
	uint32_t wins_per_user;	     /* 1 to 8191 */
	uint32_t least_interval_ms;
	uint32_t wait_ms;
	char password[256]; /* "": shaken, else answered */
	bool paused;
};

struct hb_port_config {
	char profile[HB_NAME_BYTES];
	char device[HB_DEVICE_BYTES]; /* file arguments resolved to absolute paths */
	struct hb_listen listen;      /* of each kind its own address, else that of the whole */
	unsigned frames_held; /* by a capture that is played round and round, in buffers of their
				 own; hb_captures_check() counts them */
};

/* The control socket. */
struct hb_control_config {
	char socket[PATH_MAX];	   /* absolute */
	char group[HB_NAME_BYTES]; /* that owns it, a name or a number; "": the process's own */
	char change[HB_CHANGERS_MAX][HB_NAME_BYTES]; /* who may change: users, "@" and a group */
	unsigned changes;
};

struct hb_config {
	char path[PATH_MAX]; /* of the file, absolute */
	uint32_t host;
	struct hb_listen listen;
	struct hb_port_config port[HB_PORTS_MAX];
	unsigned ports;
	unsigned workers;
	uint64_t users;
	uint64_t packets;	/* group packets that can be remembered at a time */
	uint64_t packet_shares; /* of all of them */
	uint32_t packet_keep_s; /* for how long one that is done is remembered */
	char journal[PATH_MAX]; /* absolute */
	char keys_path[PATH_MAX];
	struct hb_keyring keys;
	enum hb_clock clock;
	uint64_t seed;	 /* 0: from the system's random source */
	uint32_t slices; /* bit i: this host owns slice i; all by default */
	uint64_t *deny;	 /* users who are barred */
	unsigned denied;
	struct hb_campaign_config *campaign; /* in the file's order */
	unsigned campaigns;
	unsigned campaign_room; /* campaigns that can be added while it runs */
	unsigned slots; /* campaigns that there is state for: those at the start, and room */
	struct hb_control_config control;
	char metrics[HB_NAME_BYTES]; /* "ADDRESS:PORT", "[ADDRESS]:PORT"; "": nowhere */
	bool metrics_given;	     /* else the default, which may do without its port */
	unsigned log_level;	     /* 0 error, 1 warning, 2 info, 3 debug */
	char log_file[PATH_MAX];     /* absolute; "": standard error */
	bool shed;		     /* answer BUSY rather than drop when there is too much */
	uint32_t busy_wait_ms;	     /* that a shed request's BUSY tells at least */
	bool idle_sleep;	     /* an idle worker sleeps; else it polls */
};

/* Reads, resolves and checks the file, its key file and the profiles that it names. On success *out
 * is the caller's, to be given to hb_config_free(). Returns 0 or -errno with the line in e. */
int hb_config_load(struct hb_config **out, const char *path, struct hb_error *e);

/* The same from memory: `bytes` bytes of text, which need not be text at all. path: the file that
 * it is, or is to be: relative paths in it are resolved against its directory, and error lines name
 * it. It need not exist, its directory must. */
int hb_config_parse(struct hb_config **out, const char *text, size_t bytes, const char *path,
	struct hb_error *e);

/* A copy that shares nothing, to be given to hb_config_free(). NULL when there is no memory. */
struct hb_config *hb_config_copy(const struct hb_config *c);
void hb_config_free(struct hb_config *c);

/* Reads a key file (epochs, issuer): mode 0600 or stricter, or it is refused with -EPERM. */
int hb_keys_load(struct hb_keyring *k, const char *path, struct hb_error *e);

/* ---- driver profiles ---------------------------------------------------------------- */

#define HB_PROFILE_ARGS 8
#define HB_PROFILE_RETAS 4
#define HB_PROFILE_KNOWN 8

/* How a request gets to the worker that owns its lane. */
enum hb_steering_wish {
	HB_STEER_SOFTWARE, /* workers hand over to each other */
	HB_STEER_RSS,	   /* by the NIC, where the device has what it takes */
};

/* What a PCI device is to be bound to. */
enum hb_kernel_driver {
	HB_KERNEL_NOT_PCI, /* a virtual device */
	HB_KERNEL_OWN,	   /* the kernel's own driver: it stays with it ("none") */
	HB_KERNEL_VFIO_PCI,
	HB_KERNEL_UIO_PCI_GENERIC,
};

/* Offloads to ask for; bits, since ethdev's own are not known here. */
enum hb_offload {
	HB_OFFLOAD_IPV4_CKSUM = 1 << 0,
	HB_OFFLOAD_UDP_CKSUM = 1 << 1,
	HB_OFFLOAD_RSS_HASH = 1 << 2,	    /* receiving only */
	HB_OFFLOAD_MBUF_FAST_FREE = 1 << 3, /* sending only */
};

/* What a virtual device needs of the host; bits. */
enum hb_need {
	HB_NEED_TUN = 1 << 0, /* /dev/net/tun */
	HB_NEED_NET_ADMIN = 1 << 1,
	HB_NEED_NET_RAW = 1 << 2,
};

/* Something that is known not to work. */
struct hb_known {
	char what[256];
	char since[HB_NAME_BYTES]; /* which version */
	char source[160];
};

/* drivers-config/NAME.yaml: what is particular to a driver. */
struct hb_profile {
	char name[HB_NAME_BYTES];
	char description[256];
	bool vdev;		 /* a virtual device (--vdev); else a PCI address (-a) */
	uint16_t rx_descriptors; /* per queue */
	uint16_t tx_descriptors;
	uint16_t mbuf_bytes; /* data room of a receive buffer, headroom not included */
	enum hb_steering_wish steering;
	unsigned rss_key_bytes;			     /* 0: takes no key */
	unsigned rss_reta_entries[HB_PROFILE_RETAS]; /* by model */
	unsigned rss_retas;
	unsigned rx_offloads; /* enum hb_offload */
	unsigned tx_offloads;
	enum hb_kernel_driver kernel_driver;
	unsigned needs;				  /* enum hb_need */
	char eal[HB_PROFILE_ARGS][HB_NAME_BYTES]; /* more EAL arguments */
	unsigned eal_args;
	char file_argument[HB_PROFILE_ARGS]
			  [HB_NAME_BYTES]; /* device arguments that are input files */
	unsigned file_arguments;
	char output_argument[HB_PROFILE_ARGS]
			    [HB_NAME_BYTES]; /* device arguments that are output files */
	unsigned output_arguments;
	struct hb_known known[HB_PROFILE_KNOWN];
	unsigned knowns;
};

/* The name of what a PCI device is to be bound to, as in a profile. */
const char *hb_kernel_driver_name(enum hb_kernel_driver driver);

/* Finds and reads a profile by name: in $HONGBAO_PROFILES, else where the program was installed,
 * else in the source tree that it was built from. Returns 0 or -errno with the line in e. */
int hb_profile_load(struct hb_profile *p, const char *name, struct hb_error *e);

#endif
