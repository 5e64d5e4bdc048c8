/* SPDX-License-Identifier: BSD-3-Clause */
#include "doc.h"

#include <stdio.h>
#include <stdlib.h>

/* libcyaml tells what is wrong in its log only: a line with the problem, then a "backtrace" of
 * where, from the inside out. */
static void
capture(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct hb_refusal *why = ctx;
	struct hb_step s = {0};
	char line[sizeof(why->problem)];

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "  in mapping field '%63[^']", s.field) == 1 ||
		sscanf(line, "  in sequence entry '%u'", &s.entry) == 1) {
		if (why->steps < HB_COUNT_OF(why->step))
			why->step[why->steps++] = s;
	} else if (why->problem[0] == '\0') {
		memcpy(why->problem, line, sizeof(line));
	}
}

static cyaml_config_t
cyaml_with(struct hb_refusal *why)
{
	return (cyaml_config_t){
		.log_fn = why != NULL ? capture : NULL,
		.log_ctx = why,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

static struct hb_doc
fresh(const char *name, const struct hb_schema *s)
{
	return (struct hb_doc){
		.schema = s,
		.lines = {.file = name,
			.hints = s->hints,
			.secret = s->secret,
			.lineless = s->lineless},
	};
}

static int
read_text(struct hb_doc *d, const char *text, size_t len, struct hb_error *e)
{
	struct hb_refusal why = {0};
	cyaml_config_t cyaml = cyaml_with(&why);
	int rc = hb_lines_read(&d->lines, text, len, e);

	if (rc == 0)
		rc = hb_strict_check(d, e);
	if (rc != 0)
		return rc;
	cyaml_err_t err =
		cyaml_load_data((const uint8_t *)text, len, &cyaml, d->schema->top, &d->raw, NULL);
	return err == CYAML_OK ? 0 : hb_explain(d, err, &why, e);
}

int
hb_doc_parse(struct hb_doc *d, const char *name, const char *text, size_t len,
	const struct hb_schema *s, struct hb_error *e)
{
	*d = fresh(name, s);
	int rc = hb_file_check_size(&d->lines, len, e);
	if (rc == 0)
		rc = read_text(d, text, len, e);
	if (rc != 0)
		hb_doc_free(d);
	return rc;
}

int
hb_doc_read(struct hb_doc *d, const char *path, const struct hb_schema *s, struct hb_error *e)
{
	char *text;
	size_t len;
	int rc;

	*d = fresh(path, s);
	rc = hb_file_read(&d->lines, s->secret ? 077 : 0, &text, &len, e);
	if (rc != 0)
		return rc;
	rc = read_text(d, text, len, e);
	free(text);
	if (rc != 0)
		hb_doc_free(d);
	return rc;
}

void
hb_doc_free(struct hb_doc *d)
{
	cyaml_config_t cyaml = cyaml_with(NULL);

	cyaml_free(&cyaml, d->schema->top, d->raw, 0);
	d->raw = NULL;
	hb_lines_free(&d->lines);
}
