/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcyaml reads numbers with strtoull(..., 0): "12x" becomes 12, "1.5" 1, "010" 8, and "-1" a very
 * large number. It takes whatever is no known word for false as true, and an empty text for any
 * text. In a file about money that will not do, so each scalar is looked at before libcyaml sees
 * it.
 */
#include "doc.h"

#include <errno.h>

static const char *
skip_digits(const char *s)
{
	return s + strspn(s, "0123456789");
}

/* Why the text is no whole number that fits into 64 bits, NULL when it is one. */
static const char *
not_whole(const char *s)
{
	bool negative = s[0] == '-';
	const char *digits = s + negative, *end = skip_digits(digits);
	uint64_t v;

	if (end == digits)
		return "is not a whole number";
	if (*end == '.' && *skip_digits(end + 1) == '\0')
		return "has a fraction";
	if (*end != '\0')
		return "is not a whole number";
	if (negative)
		return "is negative";
	if (digits[0] == '0' && digits[1] != '\0')
		return "has a leading zero";
	return hb_parse_u64(s, 0, UINT64_MAX, &v) == 0 ? NULL : "is too large a number";
}

/* Why the text is no decimal number, NULL when it is one. */
static const char *
not_decimal(const char *s)
{
	const char *whole = s + (s[0] == '-' || s[0] == '+');
	const char *end = skip_digits(whole);
	size_t digits = (size_t)(end - whole);

	if (*end == '.') {
		const char *fraction = end + 1;

		end = skip_digits(fraction);
		digits += (size_t)(end - fraction);
	}
	if (digits > 0 && (*end == 'e' || *end == 'E')) {
		const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');

		end = skip_digits(exponent);
		if (end == exponent)
			return "is not a number";
	}
	return digits > 0 && *end == '\0' ? NULL : "is not a number";
}

static const char *
not_scalar(const struct hb_node *n, const cyaml_schema_value_t *s)
{
	const char *t = n->text;

	/* A null of YAML's. The word null is none here, since a profile has that name. */
	if (n->plain && (t[0] == '\0' || strcmp(t, "~") == 0))
		return "has no value";
	switch (s->type) {
	case CYAML_UINT:
		return not_whole(t);
	case CYAML_FLOAT:
		return not_decimal(t);
	case CYAML_BOOL:
		if (strcmp(t, "true") != 0 && strcmp(t, "false") != 0)
			return "is neither true nor false";
		return NULL;
	default:
		return NULL;
	}
}

const cyaml_schema_value_t *
hb_schema_child(const cyaml_schema_value_t *mapping, const char *key)
{
	for (const cyaml_schema_field_t *f = mapping->mapping.fields; f->key != NULL; f++) {
		if (strcmp(f->key, key) == 0)
			return &f->value;
	}
	return NULL;
}

/* No deeper than the schema is. What has another shape than the schema's is left to libcyaml. */
static int
check(const struct hb_doc *d, const struct hb_node *n, const cyaml_schema_value_t *s,
	struct hb_error *e)
{
	const cyaml_schema_value_t *child;
	const char *why;
	int rc = 0;

	if (n->kind == HB_NODE_SCALAR) {
		why = not_scalar(n, s);
		if (why == NULL)
			return 0;
		return hb_lines_fail(&d->lines, (struct hb_spot){.node = n}, e, EINVAL, "%s%s%s",
			n->text[0] != '\0' ? hb_quote(&d->lines, n->text).s : "",
			n->text[0] != '\0' ? " " : "", why);
	}
	for (const struct hb_node *c = n->first; c != NULL && rc == 0; c = c->next) {
		if (n->kind == HB_NODE_MAPPING && s->type == CYAML_MAPPING)
			child = hb_schema_child(s, c->key);
		else if (n->kind == HB_NODE_LIST && s->type == CYAML_SEQUENCE)
			child = s->sequence.entry;
		else
			child = NULL;
		if (child != NULL)
			rc = check(d, c, child, e);
	}
	return rc;
}

int
hb_strict_check(const struct hb_doc *d, struct hb_error *e)
{
	return check(d, d->lines.root, d->schema->top, e);
}
