/* SPDX-License-Identifier: BSD-3-Clause */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

#define DEPTH_MAX 16
#define CHUNK_BYTES 65536

struct hb_chunk {
	struct hb_chunk *next;
	size_t used, size;
	max_align_t bytes[];
};

/* An open list or mapping. */
struct level {
	struct hb_node *node;
	struct hb_node *last; /* child */
	const char *key;      /* read, its value not yet */
	uint32_t key_line;
};

struct walk {
	struct hb_lines *l;
	struct hb_error *e;
	const char *text;
	size_t len;
	yaml_parser_t parser;
	struct level level[DEPTH_MAX];
	unsigned depth;
};

/* Memory that lives as long as the tree. NULL when there is none. */
static void *
keep(struct hb_lines *l, size_t bytes)
{
	struct hb_chunk *c = l->chunks;

	bytes = (bytes + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (c == NULL || c->size - c->used < bytes) {
		size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

		c = malloc(sizeof(*c) + size);
		if (c == NULL)
			return NULL;
		*c = (struct hb_chunk){.next = l->chunks, .size = size};
		l->chunks = c;
	}
	c->used += bytes;
	return (char *)c->bytes + c->used - bytes;
}

/* The place that the walk has come to, at a line of the text. */
static struct hb_spot
here(const struct walk *w, size_t line)
{
	struct hb_spot at = {.line = (uint32_t)line};

	if (w->depth > 0) {
		at.node = w->level[w->depth - 1].node;
		at.child = w->level[w->depth - 1].key;
	}
	return at;
}

static int
no_memory(const struct walk *w)
{
	return hb_lines_fail(w->l, (struct hb_spot){.right = "free some memory"}, w->e, ENOMEM,
		"does not fit into memory");
}

/* The parser gave up. */
static int
not_yaml(const struct walk *w)
{
	const yaml_parser_t *p = &w->parser;
	struct hb_spot at = {0};

	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(w);
	if (p->error == YAML_READER_ERROR) {
		/* The reader runs ahead of the parser and knows the byte only. */
		at.line = 1;
		for (size_t i = 0; i < p->problem_offset && i < w->len; i++)
			at.line += w->text[i] == '\n';
		at.right = "save the file as UTF-8 text";
		return hb_lines_fail(
			w->l, at, w->e, EINVAL, "holds bytes that are no text: %s", p->problem);
	}
	at = here(w, p->problem_mark.line + 1);
	at.right = "look for a missing quote, bracket, comma, colon or blank here or just above";
	if (p->context == NULL)
		return hb_lines_fail(w->l, at, w->e, EINVAL, "is not YAML: %s", p->problem);
	return hb_lines_fail(w->l, at, w->e, EINVAL, "is not YAML: %s %s from line %zu on",
		p->problem, p->context, p->context_mark.line + 1);
}

/* Copies a scalar's text. */
static int
take_text(struct walk *w, const yaml_event_t *ev, const char **out)
{
	size_t len = ev->data.scalar.length;
	const unsigned char *from = ev->data.scalar.value;
	char *text;

	for (size_t i = 0; i < len; i++) {
		if (from[i] < 0x20 || from[i] == 0x7f) {
			struct hb_spot at = here(w, ev->start_mark.line + 1);

			at.right = "write it on one line, without tabs and escapes";
			return hb_lines_fail(w->l, at, w->e, EINVAL,
				"holds a line break or another control character (0x%02x)",
				from[i]);
		}
	}
	text = keep(w->l, len + 1);
	if (text == NULL)
		return no_memory(w);
	memcpy(text, from, len);
	text[len] = '\0';
	*out = text;
	return 0;
}

/* Adds a node for an event's value, without its text, where the walk stands. */
static int
add_node(struct walk *w, const yaml_event_t *ev, enum hb_node_kind kind, struct hb_node **out)
{
	struct level *up = w->depth > 0 ? &w->level[w->depth - 1] : NULL;
	struct hb_node *n = keep(w->l, sizeof(*n));

	if (n == NULL)
		return no_memory(w);
	*n = (struct hb_node){.line = (uint32_t)ev->start_mark.line + 1, .kind = kind};
	if (up == NULL) {
		w->l->root = n;
	} else {
		n->parent = up->node;
		n->index = up->node->children++;
		*(up->last != NULL ? &up->last->next : &up->node->first) = n;
		up->last = n;
		if (up->key != NULL) {
			n->key = up->key;
			n->line = up->key_line;
			up->key = NULL;
		}
	}
	*out = n;
	return 0;
}

static bool
wants_key(const struct walk *w)
{
	const struct level *up = w->depth > 0 ? &w->level[w->depth - 1] : NULL;

	return up != NULL && up->node->kind == HB_NODE_MAPPING && up->key == NULL;
}

static int
take_scalar(struct walk *w, const yaml_event_t *ev)
{
	struct hb_node *n = NULL;
	const char *text = NULL;
	int rc = take_text(w, ev, &text);

	if (rc != 0)
		return rc;
	if (wants_key(w)) {
		w->level[w->depth - 1].key = text;
		w->level[w->depth - 1].key_line = (uint32_t)ev->start_mark.line + 1;
		return 0;
	}
	rc = add_node(w, ev, HB_NODE_SCALAR, &n);
	if (rc != 0)
		return rc;
	n->text = text;
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static int
open_level(struct walk *w, const yaml_event_t *ev, enum hb_node_kind kind)
{
	struct hb_spot at = here(w, ev->start_mark.line + 1);
	struct hb_node *n = NULL;
	int rc;

	if (wants_key(w)) {
		at.right = "write each key as plain text";
		return hb_lines_fail(
			w->l, at, w->e, EINVAL, "has a list or a mapping where a key belongs");
	}
	if (w->depth == DEPTH_MAX) {
		at.right = "nothing in this file needs that";
		return hb_lines_fail(
			w->l, at, w->e, EINVAL, "is nested deeper than %d levels", DEPTH_MAX);
	}
	rc = add_node(w, ev, kind, &n);
	if (rc == 0)
		w->level[w->depth++] = (struct level){.node = n};
	return rc;
}

static int
take_event(struct walk *w, const yaml_event_t *ev)
{
	struct hb_spot at = here(w, ev->start_mark.line + 1);

	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (w->l->root == NULL)
			return 0;
		at.right = "keep one document a file";
		return hb_lines_fail(w->l, at, w->e, EINVAL, "has a second document");
	case YAML_ALIAS_EVENT:
		/* Nested aliases grow without bound, and nothing here is worth that. */
		at.right = "write the value out";
		return hb_lines_fail(w->l, at, w->e, EINVAL, "has an alias, which is not taken");
	case YAML_SCALAR_EVENT:
		return take_scalar(w, ev);
	case YAML_SEQUENCE_START_EVENT:
		return open_level(w, ev, HB_NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return open_level(w, ev, HB_NODE_MAPPING);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		w->depth--;
		return 0;
	default:
		return 0;
	}
}

int
hb_lines_read(struct hb_lines *l, const char *text, size_t len, struct hb_error *e)
{
	struct walk w = {.l = l, .e = e, .text = text, .len = len};
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_event_t ev;
	int rc = 0;

	if (!yaml_parser_initialize(&w.parser))
		return no_memory(&w);
	yaml_parser_set_input_string(&w.parser, (const unsigned char *)text, len);
	while (rc == 0 && type != YAML_STREAM_END_EVENT) {
		if (!yaml_parser_parse(&w.parser, &ev)) {
			rc = not_yaml(&w);
			break;
		}
		type = ev.type;
		rc = take_event(&w, &ev);
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&w.parser);
	if (rc == 0 && l->root == NULL)
		rc = hb_lines_fail(l, (struct hb_spot){0}, e, EINVAL, "is empty");
	return rc;
}

void
hb_lines_free(struct hb_lines *l)
{
	while (l->chunks != NULL) {
		struct hb_chunk *c = l->chunks;

		l->chunks = c->next;
		free(c);
	}
	l->root = NULL;
}

const struct hb_node *
hb_node_child(const struct hb_node *n, const char *key)
{
	for (n = n != NULL ? n->first : NULL; n != NULL; n = n->next) {
		if (n->key != NULL && strcmp(n->key, key) == 0)
			break;
	}
	return n;
}
