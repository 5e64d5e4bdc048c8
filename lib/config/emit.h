/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * emit: YAML written by libyaml, into memory. Calls can be made one after the other without a check
 * between them: once one has failed, the others do nothing.
 *
 * Internal to lib/config. An hb_emit belongs to one thread.
 */
#ifndef HB_CONFIG_EMIT_H
#define HB_CONFIG_EMIT_H

#include "hb_base.h"

#include <yaml.h>

struct hb_emit {
	yaml_emitter_t emitter;
	char *text;
	size_t used, room;
	bool failed;
};

/* Begins a document. To be ended with hb_emit_finish(). */
void hb_emit_begin(struct hb_emit *m);

/* The text, with a NUL at its end, to be freed; NULL when something failed: no memory, or a text
 * that is not UTF-8. */
char *hb_emit_finish(struct hb_emit *m);

/* Open a mapping or a list; flow: on one line, in brackets. */
void hb_emit_mapping(struct hb_emit *m, bool flow);
void hb_emit_list(struct hb_emit *m, bool flow);
void hb_emit_mapping_end(struct hb_emit *m);
void hb_emit_list_end(struct hb_emit *m);

/* A value, or a key: as it is, or between double quotes and then any text. */
void hb_emit_plain(struct hb_emit *m, const char *text);
void hb_emit_number(struct hb_emit *m, uint64_t n);
void hb_emit_quoted(struct hb_emit *m, const char *text);

/* A value that is YAML itself, e.g. "[77, 78]". Returns 0 or -EINVAL when it isn't YAML, is several
 * documents, or is nested more than a few levels deep. */
int hb_emit_yaml(struct hb_emit *m, const char *yaml);

bool hb_is_utf8(const char *text);

#endif
