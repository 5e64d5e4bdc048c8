/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fields: the single-valued keys of a configuration as a table: where each is kept, how it is
 * written, and whether it may change while the program runs. What compares, changes and writes
 * configurations goes by it, so that a key is listed once. (How keys are read is the schema's.)
 *
 * Internal to lib/config. No state.
 */
#ifndef HB_CONFIG_FIELDS_H
#define HB_CONFIG_FIELDS_H

#include "hb_config.h"

enum hb_field_kind {
	HB_FIELD_U32,
	HB_FIELD_U64,
	HB_FIELD_BOOL,
	HB_FIELD_TIME,
	HB_FIELD_ODDS,
	HB_FIELD_TEXT,
	HB_FIELD_SECRET, /* a text that only a file shows */
	HB_FIELD_CLOCK,
	HB_FIELD_LEVEL,
	HB_FIELD_IDLE,
	HB_FIELD_METRICS,
};

struct hb_field {
	const char *key; /* "log.level": level in the mapping log */
	size_t at;	 /* offset in hb_config or hb_campaign_config */
	uint8_t kind;	 /* enum hb_field_kind */
	bool live;	 /* may change while the program runs */
};

/* Each ends with the key NULL. Keys of one mapping stand together. */
extern const struct hb_field hb_config_fields[];   /* of struct hb_config */
extern const struct hb_field hb_campaign_fields[]; /* of struct hb_campaign_config */

/* Room for any field's text. */
#define HB_FIELD_BYTES PATH_MAX

/* A field of *of as the file writes it (a secret too), without quotes. */
void hb_field_text(const struct hb_field *f, const void *of, char out[HB_FIELD_BYTES]);

bool hb_field_same(const struct hb_field *f, const void *a, const void *b);

/* Whether a file has it between quotes. */
bool hb_field_quoted(const struct hb_field *f);

/* "2015-02-18T14:30:00Z", with a fraction where there is one: what hb_time_parse() reads back as
 * the same. */
void hb_time_text(uint64_t us, char *out, size_t size);

/* ---- lists and mappings ------------------------------------------------------------- */

/* "10.0.0.1, 2001:db8::1, base_port 8192" */
void hb_listen_text(const struct hb_listen *l, char *out, size_t size);

/* "0-2, 5", "all" */
void hb_slices_text(uint32_t slices, char *out, size_t size);

/* "120,000 envelopes of 600,000.00 yuan, lucky", "blocks of a shared budget" */
void hb_terms_text(const struct hb_terms *t, char *out, size_t size);

/* "bundles of 5 shares, lucky, 24 hours", "no bundles" */
void hb_bundle_text(const struct hb_bundle *b, char *out, size_t size);

/* Whether two fundings give the same amounts, under the same seed. */
bool hb_terms_same(const struct hb_terms *a, const struct hb_terms *b);

/* Adds to a text that is `used` long, as far as there is room; returns how long it is then. */
size_t hb_text_add(char *out, size_t size, size_t used, const char *fmt, ...) HB_PRINTF(4, 5);

#endif
