/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * doc: a YAML file read against a libcyaml schema, with a line for every error.
 *
 * What a doc goes through, each step with its own file:
 *   file.c     bytes, of a regular file of a sane size
 *   lines.c    the tree of its values with their lines
 *   strict.c   numbers and truth values that libcyaml would misread without a word
 *   doc.c      libcyaml: the schema, and the raw structs that it fills
 *   explain.c  libcyaml's refusal, turned into an error line
 *
 * Internal to lib/config. A doc belongs to who read it.
 */
#ifndef HB_CONFIG_DOC_H
#define HB_CONFIG_DOC_H

#include "lines.h"

#include <cyaml/cyaml.h>

/* A kind of file. */
struct hb_schema {
	const cyaml_schema_value_t *top;
	const struct hb_hint *hints;
	bool secret; /* holds keys: must be its owner's alone, and no value is shown in an error */
	bool lineless; /* no file, but values that somebody gave one by one */
};

struct hb_doc {
	const struct hb_schema *schema;
	struct hb_lines lines;
	void *raw; /* what the schema describes */
};

/* Reads a file. Returns 0 or -errno with the line in e. On success to be freed with hb_doc_free().
 */
int hb_doc_read(struct hb_doc *d, const char *path, const struct hb_schema *s, struct hb_error *e);
/* Reads a text that is in memory. name: how errors name it; the caller's, as long as the doc. */
int hb_doc_parse(struct hb_doc *d, const char *name, const char *text, size_t len,
	const struct hb_schema *s, struct hb_error *e);
void hb_doc_free(struct hb_doc *d);

/* Reads a whole file into *text, to be freed, with a NUL after its *len bytes. l is for errors
 * only. Its mode may have none of the bits of `forbidden`. */
int hb_file_read(
	const struct hb_lines *l, unsigned forbidden, char **text, size_t *len, struct hb_error *e);

/* Whether a file, or what is to be one, isn't too large. */
int hb_file_check_size(const struct hb_lines *l, uint64_t bytes, struct hb_error *e);

/* Checks the scalars of a tree for what libcyaml lets pass. */
int hb_strict_check(const struct hb_doc *d, struct hb_error *e);

/* What libcyaml said when it refused: where, from the inside out, and what. */
struct hb_refusal {
	struct hb_step {
		char field[64]; /* "": an entry of a list */
		uint32_t entry; /* from 1 */
	} step[16];
	unsigned steps;
	char problem[160];
};

/* Turns a refusal into an error line. Returns -errno. */
int hb_explain(
	const struct hb_doc *d, cyaml_err_t err, const struct hb_refusal *why, struct hb_error *e);

/* The schema of a mapping's key, NULL when it has no such key. */
const cyaml_schema_value_t *hb_schema_child(const cyaml_schema_value_t *mapping, const char *key);

#endif
