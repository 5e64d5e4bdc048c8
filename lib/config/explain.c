/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcyaml says "Load: Unexpected key: oods", and that it was in a mapping in sequence entry 2 of
 * the field campaigns. With the tree and the schema at hand that becomes `a.yaml:14:
 * campaigns[1].oods: is not a key here; did you mean odds?`.
 */
#include "doc.h"

#include <errno.h>
#include <stdio.h>

#define KEY_MAX 32

/* A place in the tree, and what the schema says of it. */
struct place {
	const struct hb_node *node;
	const cyaml_schema_value_t *schema;
};

static int
fail(const struct hb_doc *d, struct hb_spot at, struct hb_error *e, const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	int rc = hb_lines_vfail(&d->lines, at, e, EINVAL, what, ap);
	va_end(ap);
	return rc;
}

/* Follows the steps from the outermost in, all but the innermost `leave`. */
static struct place
find(const struct hb_doc *d, const struct hb_refusal *why, unsigned leave)
{
	struct place p = {d->lines.root, d->schema->top};

	for (unsigned i = why->steps; i > leave; i--) {
		const struct hb_step *s = &why->step[i - 1];
		const struct hb_node *n = NULL;
		const cyaml_schema_value_t *schema = NULL;

		if (s->field[0] != '\0' && p.schema->type == CYAML_MAPPING) {
			n = hb_node_child(p.node, s->field);
			schema = hb_schema_child(p.schema, s->field);
		} else if (s->field[0] == '\0' && p.schema->type == CYAML_SEQUENCE) {
			for (n = p.node->first; n != NULL && n->index + 1 < s->entry;)
				n = n->next;
			schema = p.schema->sequence.entry;
		}
		if (n == NULL || schema == NULL)
			break;
		p = (struct place){n, schema};
	}
	return p;
}

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* How many letters must be put in, taken out, exchanged or swapped with their neighbour. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[KEY_MAX + 1][KEY_MAX + 1];
	size_t la = strnlen(a, KEY_MAX), lb = strnlen(b, KEY_MAX);

	for (size_t i = 0; i <= la; i++) {
		for (size_t j = 0; j <= lb; j++) {
			if (i == 0 || j == 0) {
				row[i][j] = (unsigned)(i + j);
				continue;
			}
			row[i][j] = min3(row[i - 1][j] + 1, row[i][j - 1] + 1,
				row[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				row[i - 2][j - 2] + 1 < row[i][j])
				row[i][j] = row[i - 2][j - 2] + 1;
		}
	}
	return row[la][lb];
}

/* "a, b, c": the known keys, as many as fit. */
static void
list_keys(const cyaml_schema_value_t *mapping, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "known here: ");

	for (const cyaml_schema_field_t *f = mapping->mapping.fields; f->key != NULL; f++) {
		if (used + strlen(f->key) + 6 > size) {
			snprintf(out + used, size - used, "...");
			return;
		}
		used += (size_t)snprintf(
			out + used, size - used, "%s%s", f->key, f[1].key != NULL ? ", " : "");
	}
}

static int
unknown_key(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	const cyaml_schema_field_t *best = NULL;
	unsigned least = 4;
	char right[200];

	for (const struct hb_node *n = p.node->first; n != NULL; n = n->next) {
		if (n->key == NULL || hb_schema_child(p.schema, n->key) != NULL)
			continue;
		for (const cyaml_schema_field_t *f = p.schema->mapping.fields; f->key; f++) {
			unsigned far = distance(n->key, f->key);

			/* At least half of the letters are right. */
			if (far < least && 2 * far <= strlen(f->key)) {
				least = far;
				best = f;
			}
		}
		if (best != NULL)
			snprintf(right, sizeof(right), "did you mean %s?", best->key);
		else
			list_keys(p.schema, right, sizeof(right));
		return fail(d, (struct hb_spot){.node = n, .right = right}, e, "is not a key here");
	}
	return fail(d, (struct hb_spot){.node = p.node}, e, "has a key that is not known");
}

static int
missing_key(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	for (const cyaml_schema_field_t *f = p.schema->mapping.fields; f->key != NULL; f++) {
		if ((f->value.flags & CYAML_FLAG_OPTIONAL) == 0 &&
			hb_node_child(p.node, f->key) == NULL)
			return fail(d, (struct hb_spot){.node = p.node, .child = f->key}, e,
				"is missing");
	}
	return fail(d, (struct hb_spot){.node = p.node}, e, "lacks a key");
}

/* libcyaml stops at the second of two fields of one name. */
static int
twice(const struct hb_doc *d, struct place p, const char *key, struct hb_error *e)
{
	const struct hb_node *first = hb_node_child(p.node, key), *n = first;

	while (n != NULL && (n == first || strcmp(n->key, key) != 0))
		n = n->next;
	if (n == NULL)
		return fail(d, (struct hb_spot){.node = p.node}, e, "is not what belongs here");
	return fail(d, (struct hb_spot){.node = n, .right = "keep one of the two"}, e,
		"is given twice, first on line %u", first->line);
}

static int
not_in_enum(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	char right[160];
	size_t used = (size_t)snprintf(right, sizeof(right), "write one of: ");

	for (uint32_t i = 0; i < p.schema->enumeration.count && used < sizeof(right); i++)
		used += (size_t)snprintf(right + used, sizeof(right) - used, "%s%s",
			i > 0 ? ", " : "", p.schema->enumeration.strings[i].str);
	return fail(d, (struct hb_spot){.node = p.node, .right = right}, e, "%s is not known here",
		hb_quote(&d->lines, p.node->text).s);
}

static int
bad_value(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	static const char *const is[] = {
		[HB_NODE_SCALAR] = "a single value",
		[HB_NODE_LIST] = "a list",
		[HB_NODE_MAPPING] = "a mapping of keys",
	};
	enum hb_node_kind want = HB_NODE_SCALAR;

	if (p.schema->type == CYAML_SEQUENCE)
		want = HB_NODE_LIST;
	else if (p.schema->type == CYAML_MAPPING)
		want = HB_NODE_MAPPING;
	if (p.node->kind != want)
		return fail(d, (struct hb_spot){.node = p.node}, e, "is %s where %s belongs",
			is[p.node->kind], is[want]);
	if (p.schema->type == CYAML_ENUM)
		return not_in_enum(d, p, e);
	return fail(d, (struct hb_spot){.node = p.node}, e, "%s is out of range",
		p.node->text != NULL ? hb_quote(&d->lines, p.node->text).s : "its value");
}

static int
bad_length(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	size_t len = p.node->text != NULL ? strlen(p.node->text) : 0;

	if (len == 0)
		return fail(d, (struct hb_spot){.node = p.node}, e, "is empty");
	return fail(d, (struct hb_spot){.node = p.node}, e, "has %zu bytes, where %u to %u belong",
		len, p.schema->string.min, p.schema->string.max);
}

static int
bad_count(const struct hb_doc *d, struct place p, struct hb_error *e)
{
	return fail(d, (struct hb_spot){.node = p.node}, e, "has %u entries, where %u to %u belong",
		p.node->children, p.schema->sequence.min, p.schema->sequence.max);
}

int
hb_explain(
	const struct hb_doc *d, cyaml_err_t err, const struct hb_refusal *why, struct hb_error *e)
{
	switch (err) {
	case CYAML_ERR_INVALID_KEY:
		return unknown_key(d, find(d, why, 0), e);
	case CYAML_ERR_INVALID_VALUE:
		return bad_value(d, find(d, why, 0), e);
	case CYAML_ERR_STRING_LENGTH_MIN:
	case CYAML_ERR_STRING_LENGTH_MAX:
		return bad_length(d, find(d, why, 0), e);
	/* At the end of a mapping or list its last field or entry is still named as the innermost.
	 */
	case CYAML_ERR_MAPPING_FIELD_MISSING:
		return missing_key(d, find(d, why, 1), e);
	case CYAML_ERR_SEQUENCE_ENTRIES_MIN:
	case CYAML_ERR_SEQUENCE_ENTRIES_MAX:
		return bad_count(d, find(d, why, 1), e);
	case CYAML_ERR_UNEXPECTED_EVENT:
		return twice(d, find(d, why, 1), why->step[0].field, e);
	/* libyaml has read the text before without a word, so that it can only lack memory. */
	case CYAML_ERR_LIBYAML_PARSER:
	case CYAML_ERR_LIBYAML_PARSER_INIT:
	case CYAML_ERR_OOM:
		return hb_lines_fail(&d->lines, (struct hb_spot){.right = "free some memory"}, e,
			ENOMEM, "does not fit into memory");
	default:
		/* A secret must not slip out with libcyaml's own words. */
		return fail(d, (struct hb_spot){.node = find(d, why, 0).node}, e, "%s",
			d->schema->secret || why->problem[0] == '\0' ? cyaml_strerror(err)
								     : why->problem);
	}
}
