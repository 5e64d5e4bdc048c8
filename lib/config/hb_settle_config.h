/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_settle_config: the file of hongbao-settle, by the same reader as hongbaod's: unknown keys and
 * values that cannot be are refused with the file's name and line. No state.
 */
#ifndef HB_SETTLE_CONFIG_H
#define HB_SETTLE_CONFIG_H

#include "hb_base.h"

#include <limits.h>

#define HB_SETTLE_RATE 45000u	 /* records a second */
#define HB_SETTLE_BATCH 50000u	 /* records a transaction, at most */
#define HB_SETTLE_SET_ASIDE 100u /* refused records before it stops */
#define HB_SETTLE_RATE_MAX 100000000u
#define HB_SETTLE_BATCH_MAX 65536u

struct hb_settle_config {
	char path[PATH_MAX];	/* the file's own; "": none was read */
	char journal[PATH_MAX]; /* a directory */
	char archive[PATH_MAX]; /* "": segments stay where they are */
	char database[1024];	/* a conninfo */
	char metrics[64];	/* an address, or "off" */
	uint64_t rate;		/* records a second, at most; 0: no limit */
	uint64_t batch;
	uint64_t set_aside; /* records that the database refuses and that are set aside; 0: stop at
			       the first */
};

/* What there is without a file. */
void hb_settle_config_defaults(struct hb_settle_config *c);

/* Reads a file over the defaults; paths in it are relative to it. Returns 0 or -errno with e. */
int hb_settle_config_load(struct hb_settle_config *c, const char *path, struct hb_error *e);

#endif
