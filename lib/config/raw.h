/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw: the configuration file as libcyaml fills it in, before anything is checked for sense.
 *
 * A pointer is NULL, and an enum 0, where the file doesn't have the key. Numbers are as wide as
 * they get, so that a wrong one is refused with its range and not with libcyaml's.
 *
 * Internal to lib/config.
 */
#ifndef HB_CONFIG_RAW_H
#define HB_CONFIG_RAW_H

#include "doc.h"

struct hb_raw_tier {
	uint64_t count;
	uint64_t amount;
};

struct hb_raw_envelopes {
	uint64_t *count;
	uint64_t *total;
	int split; /* enum hb_split */
	bool *leased;
	struct hb_raw_tier *tiers;
	unsigned tiers_count;
};

struct hb_raw_bundle {
	uint64_t *shares;
	int split; /* enum hb_split */
	uint64_t *hours;
};

struct hb_raw_packets {
	uint64_t *open;
	uint64_t *shares;
	uint64_t *keep;
};

struct hb_raw_campaign {
	uint64_t *id;
	char *name;
	char *opens;
	char *closes;
	struct hb_raw_envelopes envelopes;
	struct hb_raw_bundle bundle;
	double *odds;
	uint64_t *release_per_second;
	uint64_t *wins_per_user;
	uint64_t *least_interval;
	uint64_t *wait;
	char *password;
	bool *paused;
};

struct hb_raw_listen {
	char *ipv4;
	char *ipv6;
	uint64_t *base_port;
};

struct hb_raw_port {
	char *profile;
	char *device;
	char *ipv4;
	char *ipv6;
};

struct hb_raw_control {
	char *socket;
	char *group;
	char **change;
	unsigned change_count;
};

struct hb_raw_log {
	int level; /* 1 + the level */
	char *file;
};

struct hb_raw_overload {
	bool *shed;
	uint64_t *wait;
};

struct hb_raw_config {
	uint64_t *host;
	struct hb_raw_listen listen;
	struct hb_raw_port *ports;
	unsigned ports_count;
	uint64_t *workers;
	uint64_t users;
	struct hb_raw_packets packets;
	char *journal;
	char *keys;
	int clock; /* enum hb_clock */
	uint64_t *seed;
	uint64_t *deny;
	unsigned deny_count;
	uint64_t *slices;
	unsigned slices_count;
	struct hb_raw_campaign *campaigns;
	unsigned campaigns_count;
	uint64_t *campaign_room;
	struct hb_raw_control control;
	char *metrics;
	struct hb_raw_log log;
	struct hb_raw_overload overload;
	int idle; /* enum hb_raw_idle */
};

enum hb_raw_idle {
	HB_RAW_IDLE_POLL = 1,
	HB_RAW_IDLE_SLEEP = 2,
};

/* The whole file; one campaign alone; and those keys of a campaign, and of the file's top level,
 * that can be set while the program runs, each of them optional. */
extern const struct hb_schema hb_config_schema;
extern const struct hb_schema hb_campaign_schema;
extern const struct hb_schema hb_campaign_edit_schema;
extern const struct hb_schema hb_config_edit_schema;

/* "error", "warning", "info", "debug". */
const char *hb_level_name(unsigned level);

#endif
