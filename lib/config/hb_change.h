/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_change: a configuration beside the one in force: what differs, whether the difference can be
 * made while the program runs, single keys set as in the file, and the whole written back as a
 * file.
 *
 * No state; each call belongs to whoever owns the configurations that it is given (in hongbaod the
 * service thread). Only hb_config_save() and hb_config_key_add() touch a file. Nothing here is for
 * a worker.
 */
#ifndef HB_CHANGE_H
#define HB_CHANGE_H

#include "hb_config.h"

/* ---- what differs ------------------------------------------------------------------- */

/* One difference, for people: "campaign 7 odds", "0.02", "0.01". What comes or goes has an empty
 * text on its other side. A secret's value is in none of them. */
struct hb_change {
	char key[96];
	char before[160];
	char after[160];
};

/* All zero when fresh. */
struct hb_changes {
	struct hb_change *of;
	unsigned count, room;
};

/* Adds one, texts shortened where they are too long. Returns 0 or -ENOMEM. */
int hb_changes_add(struct hb_changes *c, const char *key, const char *before, const char *after);
void hb_changes_free(struct hb_changes *c);

/* Adds every difference between the configuration in force and the next one to `out`. What `next`
 * has of the program's run is set as `now` has it: the slots of campaigns (an id that `now` has
 * keeps its slot, a new one gets the lowest that is free), how many slots there are, the seeds of
 * fundings, frames held.
 *
 * Returns 0, or with the line in e: -EPERM where something differs that can't change while the
 * program runs, -ENOSPC where there are more new campaigns than room for them, -ENOMEM. `out` may
 * hold some changes then; the caller frees it in any case. */
int hb_config_compare(const struct hb_config *now, struct hb_config *next, struct hb_changes *out,
	struct hb_error *e);

/* Appends those campaigns of `now` that `c` lacks, so that an earlier configuration can be gone
 * back to although campaigns have come since. Returns 0 or -ENOMEM. */
int hb_config_keep_campaigns(struct hb_config *c, const struct hb_config *now, struct hb_error *e);

/* ---- single keys -------------------------------------------------------------------- */

/* Sets keys of a campaign, or of the top level where campaign is 0 ("deny", "slices", "log.level",
 * "overload.shed", "overload.wait", "idle"), from texts as the file has them; lists with or without
 * their brackets ("77, 78"). opens and closes may also be "now" or a time from now on ("+10m",
 * "-30s"; s, m, h, d), not under clock: packet. Checked as the file is, all together at the end, so
 * that opens and closes can move past each other.
 *
 * Returns 0, or with the line in e and c unchanged: -EINVAL, -ENOENT where there is no such
 * campaign, -EPERM for a key that can't change while the program runs, -ENOMEM. */
int hb_config_set_keys(struct hb_config *c, uint16_t campaign, const char *const *keys,
	const char *const *values, unsigned n, struct hb_error *e);

/* The same for one key. */
int hb_config_set(struct hb_config *c, uint16_t campaign, const char *key, const char *value,
	struct hb_error *e);

/* Adds a campaign at the end, from its keys as in the file; those of envelopes without it: id,
 * opens, closes, count, total, split, tiers, and any of the others. It gets the lowest slot that is
 * free. Returns 0, or with the line in e and c unchanged: -EINVAL, -EEXIST where the id is taken,
 * -ENOSPC where no slot is free, -ENOMEM. */
int hb_config_add(struct hb_config *c, const char *const *keys, const char *const *values,
	unsigned n, struct hb_error *e);

/* ---- keys --------------------------------------------------------------------------- */

/* Reads the key file (c->keys_path) again and takes that epoch's key from it (0 to 255). Returns 0,
 * or with the line in e: -EEXIST where it is held, -ENOSPC where two are, -ENOENT where the file
 * lacks it, or what hb_keys_load() returns. */
int hb_config_key_add(struct hb_config *c, unsigned epoch, struct hb_error *e);

/* Forgets an epoch's key. Returns 0, or with the line in e: -ENOENT where it isn't held, -EPERM for
 * the last one. The key file stays as it is: a restart or a reload takes what it says. */
int hb_config_key_retire(struct hb_config *c, unsigned epoch, struct hb_error *e);

/* ---- as a file ---------------------------------------------------------------------- */

/* The configuration as a file that hb_config_load() reads as the same, but for the seeds of
 * fundings, which no file has; paths as they were resolved, comments gone. Without secrets each
 * password is "***", which no file may have. To be freed; NULL when there is no memory. */
char *hb_config_text(const struct hb_config *c, bool secrets);

/* Writes it to c->path, with secrets: at any moment that is a whole file, the one before or this
 * one, and this one survives a power cut once 0 is returned. Mode and owner stay; where there was
 * no file it is its owner's alone. The one before becomes c->path with ".before". Returns 0 or
 * -errno with the line in e, and then c->path is as it was. */
int hb_config_save(const struct hb_config *c, struct hb_error *e);

#endif
