/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sense: a configuration that fits its schema, on its way to an hb_config.
 *
 * The first thing found wrong sticks in `err` and in e; whatever is found later is not looked at,
 * so that the functions below can be called one after the other without a check between them.
 *
 * Internal to lib/config.
 */
#ifndef HB_CONFIG_SENSE_H
#define HB_CONFIG_SENSE_H

#include "hb_config.h"
#include "raw.h"

struct hb_reading {
	struct hb_doc doc;
	const struct hb_raw_config *raw; /* of doc */
	struct hb_config *c;
	struct hb_error *e;
	int err;	    /* 0 or -errno */
	char dir[PATH_MAX]; /* of the file, absolute */
};

/* Notes that something makes no sense, unless something else did before. */
void hb_wrong(struct hb_reading *r, struct hb_spot at, const char *what, ...) HB_PRINTF(3, 4);

/* The same where another file's error line says it all. */
void hb_wrong_because(
	struct hb_reading *r, struct hb_spot at, int err, const struct hb_error *inner);

/* calloc() that notes when there is nothing left. */
void *hb_take_memory(struct hb_reading *r, size_t n, size_t size);

/* The number of the key under n, or `otherwise` where raw is NULL, if it is in [min, max]. */
uint64_t hb_take(struct hb_reading *r, const struct hb_node *n, const char *key,
	const uint64_t *raw, uint64_t otherwise, uint64_t min, uint64_t max);

/* What a campaign has where the file doesn't say. */
extern const struct hb_campaign_config hb_campaign_defaults;

/* What config show writes in the place of a password. */
#define HB_PASSWORD_HIDDEN "***"

/* Each of the following takes what is given and leaves the rest as it is, so that it serves for a
 * whole file, where the rest are the defaults, as for a single key of a configuration. */

/* Fills *c from the mapping n. */
void hb_take_campaign(struct hb_reading *r, const struct hb_node *n,
	const struct hb_raw_campaign *raw, struct hb_campaign_config *c);

void hb_take_slices(struct hb_reading *r);
void hb_take_deny(struct hb_reading *r);
void hb_take_log_level(struct hb_reading *r);
void hb_take_overload(struct hb_reading *r);
void hb_take_idle(struct hb_reading *r);

/* Those of the whole file. */
void hb_take_control(struct hb_reading *r);
void hb_take_metrics(struct hb_reading *r);
void hb_take_log_file(struct hb_reading *r);

/* Whether the control socket is where it is when the file doesn't say. */
bool hb_socket_is_default(const struct hb_config *c);

/* Fills c->campaign. */
void hb_take_campaigns(struct hb_reading *r);

/* Fills c->listen. */
void hb_take_listen(struct hb_reading *r);

/* Fills a port's addresses: its own, else those of c->listen. One kind at least there must be. */
void hb_take_port_listen(struct hb_reading *r, const struct hb_node *n,
	const struct hb_raw_port *raw, struct hb_listen *l);

/* Fills c->port. */
void hb_take_ports(struct hb_reading *r);

/* ---- paths -------------------------------------------------------------------------- */

/* Takes a path of the file's top level or of a mapping in it. */
void hb_take_path(struct hb_reading *r, const struct hb_node *n, const char *key, const char *path,
	char to[PATH_MAX]);

/* The absolute path of a path that is relative to a directory. Returns 0 or -ENAMETOOLONG. */
int hb_path_in(char *out, size_t size, const char *dir, const char *path);

/* The absolute directory that a file is in, which must be there, and the file's own absolute path.
 * Links are followed for the directory, not for the file. Returns 0 or -errno. */
int hb_path_of(char dir[PATH_MAX], char file[PATH_MAX], const char *path);

#endif
