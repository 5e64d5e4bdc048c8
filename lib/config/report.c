/* SPDX-License-Identifier: BSD-3-Clause */
/* The error lines of lines.h. */
#include "lines.h"

#include <stdio.h>

#define WHOLE_FILE "(whole file)"
#define PATH_NODES 20
#define FILE_SHOWN 200
#define HIDDEN "(not shown)"
#define SECRET_KEY_SHOWN 8

/* The longest length up to n that cuts no UTF-8 character of s in two. */
static size_t
whole_characters(const char *s, size_t n)
{
	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void
hb_shorten(char *out, size_t size, const char *text)
{
	size_t len = strlen(text), head, tail;

	if (len < size) {
		memcpy(out, text, len + 1);
		return;
	}
	head = whole_characters(text, (size - 4) / 2);
	tail = len - (size - 4) / 2;
	while (((unsigned char)text[tail] & 0xc0) == 0x80)
		tail++;
	snprintf(out, size, "%.*s...%s", (int)head, text, text + tail);
}

struct hb_quoted
hb_quote(const struct hb_lines *l, const char *text)
{
	struct hb_quoted q;
	char s[sizeof(q.s) - 2];

	if (l->secret) {
		snprintf(q.s, sizeof(q.s), HIDDEN);
		return q;
	}
	hb_shorten(s, sizeof(s), text);
	if (s[0] == '\0' || strpbrk(s, " \t") != NULL)
		snprintf(q.s, sizeof(q.s), "\"%s\"", s);
	else
		snprintf(q.s, sizeof(q.s), "%s", s);
	return q;
}

/* A key of a path. In a file of secrets a long one may be a secret that slipped. */
static void
show_key(const struct hb_lines *l, char *out, size_t size, const char *key)
{
	if (l->secret && strlen(key) > SECRET_KEY_SHOWN)
		key = HIDDEN;
	hb_shorten(out, size, key);
}

/* "campaigns[1].odds" */
static void
show_path(const struct hb_lines *l, const struct hb_spot *at, char *out, size_t size)
{
	const struct hb_node *up[PATH_NODES];
	size_t n = 0, used = 0;
	char key[48];

	for (const struct hb_node *p = at->node; p != NULL && p->parent && n < PATH_NODES;
		p = p->parent)
		up[n++] = p;
	out[0] = '\0';
	while (n > 0 && used < size) {
		const struct hb_node *p = up[--n];

		if (p->key == NULL) {
			used += (size_t)snprintf(out + used, size - used, "[%u]", p->index);
			continue;
		}
		show_key(l, key, sizeof(key), p->key);
		used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", key);
	}
	if (at->child != NULL && used < size) {
		show_key(l, key, sizeof(key), at->child);
		used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", key);
	}
	if (used == 0)
		snprintf(out, size, WHOLE_FILE);
}

/* The hint of a key, NULL when it has none. */
static const char *
hint_of(const struct hb_lines *l, const char *key)
{
	for (const struct hb_hint *h = l->hints; key != NULL && h->key[0] != '\0'; h++) {
		if (strcmp(h->key, key) == 0)
			return h->right;
	}
	return NULL;
}

/* The nearest hint: of the key itself, or of what it is in. */
static const char *
right_for(const struct hb_lines *l, const struct hb_spot *at)
{
	const struct hb_hint *h = l->hints;
	const char *right = at->right != NULL ? at->right : hint_of(l, at->child);

	for (const struct hb_node *n = at->node; n != NULL && right == NULL; n = n->parent)
		right = hint_of(l, n->key);
	if (right != NULL)
		return right;
	while (h->key[0] != '\0')
		h++;
	return h->right;
}

static uint32_t
line_of(const struct hb_spot *at)
{
	const struct hb_node *child;

	if (at->line != 0)
		return at->line;
	if (at->node == NULL)
		return 1;
	child = at->child != NULL ? hb_node_child(at->node, at->child) : NULL;
	return child != NULL ? child->line : at->node->line;
}

int
hb_lines_vfail(const struct hb_lines *l, struct hb_spot at, struct hb_error *e, int err,
	const char *what, va_list ap)
{
	const char *right = right_for(l, &at);
	char file[FILE_SHOWN], where[FILE_SHOWN + 16], path[256], text[sizeof(e->text)];

	if (e == NULL)
		return -err;
	vsnprintf(text, sizeof(text), what, ap);
	hb_shorten(file, sizeof(file), l->file);
	show_path(l, &at, path, sizeof(path));
	if (l->lineless)
		snprintf(where, sizeof(where), "%s%s", file, file[0] != '\0' ? ": " : "");
	else
		snprintf(where, sizeof(where), "%s:%u: ", file, line_of(&at));
	hb_fail(e, err, "%s%s: %s%s%s", where, path, text, right[0] != '\0' ? "; " : "", right);
	/* One line, whatever the names of files and keys hold. */
	for (char *c = e->text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return -err;
}

int
hb_lines_fail(const struct hb_lines *l, struct hb_spot at, struct hb_error *e, int err,
	const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	int rc = hb_lines_vfail(l, at, e, err, what, ap);
	va_end(ap);
	return rc;
}
