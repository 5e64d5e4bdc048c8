/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lines: a YAML text as a tree that knows the line of everything in it, and error lines made of it.
 *
 * libcyaml forgets where a value stood as soon as it has read it. So a file is walked once more
 * with libyaml's events; what stays is small: a node for each value, with its key, text and line.
 * The same walk refuses what no file of hongbao needs and what would only cause trouble later:
 * aliases, a second document, deep nesting, keys that are no text, control characters.
 *
 * Internal to lib/config. A tree belongs to who read it and is constant once read.
 */
#ifndef HB_CONFIG_LINES_H
#define HB_CONFIG_LINES_H

#include "hb_base.h"

enum hb_node_kind {
	HB_NODE_SCALAR,
	HB_NODE_LIST,
	HB_NODE_MAPPING,
};

struct hb_node {
	struct hb_node *parent;
	struct hb_node *first; /* of its children */
	struct hb_node *next;  /* of its parent's children */
	const char *key;       /* where the parent is a mapping, else NULL */
	const char *text;      /* of a scalar, else NULL */
	uint32_t index;	       /* among its parent's children */
	uint32_t children;
	uint32_t line; /* of the key, or of the value where there is no key; from 1 */
	uint8_t kind;  /* enum hb_node_kind */
	bool plain;    /* a scalar without quotes */
};

/* What would be right for a key: the second half of an error line about it. A table of them ends
 * with the key "", which stands for the file as a whole. */
struct hb_hint {
	const char *key;
	const char *right;
};

struct hb_lines {
	const char *file; /* as named in errors; the caller's */
	const struct hb_hint *hints;
	bool secret;   /* values are keys: never quoted in an error */
	bool lineless; /* no file: errors name what the values are for, if anything, and no line */
	struct hb_node *root;
	struct hb_chunk *chunks; /* memory of the nodes and their texts */
};

/* Builds the tree of a text. file, hints and secret are to be set, the rest zero. Returns 0 or
 * -errno with the line in e; to be freed in both cases. */
int hb_lines_read(struct hb_lines *l, const char *text, size_t len, struct hb_error *e);
void hb_lines_free(struct hb_lines *l);

/* The first child with that key, NULL when there is none. n may be NULL. */
const struct hb_node *hb_node_child(const struct hb_node *n, const char *key);

/* What an error is about: a node, or the child of that key under it, be it there or not. */
struct hb_spot {
	const struct hb_node *node; /* NULL: the file as a whole */
	const char *child;	    /* NULL: the node itself */
	uint32_t line;		    /* 0: the node's own */
	const char *right;	    /* NULL: from the hints; "": `what` has it already */
};

/* Writes "FILE:LINE: key.path: WHAT; RIGHT" as one line and returns -err. */
int hb_lines_fail(const struct hb_lines *l, struct hb_spot at, struct hb_error *e, int err,
	const char *what, ...) HB_PRINTF(5, 6);
int hb_lines_vfail(const struct hb_lines *l, struct hb_spot at, struct hb_error *e, int err,
	const char *what, va_list ap) HB_PRINTF(5, 0);

/* A text of any length in `out`, its middle left out where it is too long. */
void hb_shorten(char *out, size_t size, const char *text);

struct hb_quoted {
	char s[128];
};

/* A value as an error shows it: in quotes where it has blanks, its middle left out where it is
 * long, all of it where it is secret. */
struct hb_quoted hb_quote(const struct hb_lines *l, const char *text);

#endif
