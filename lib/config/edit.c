/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Single keys. What is given is written as a small file of those keys alone and read with the
 * schema, the checks and the words that the whole file has: nothing is checked twice in two ways.
 */
#include "emit.h"
#include "fields.h"
#include "hb_change.h"
#include "sense.h"
#include "slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_BYTES 32

struct edit {
	const char *what; /* that the keys are of: "campaign 7", "" for the top level */
	const struct hb_schema *schema;
	const char *const *keys;
	const char *const *values;
	unsigned n;
	struct hb_error *e;
};

static int
wrong(const struct edit *t, int err, const char *key, const char *text, const char *right)
{
	char shown[64];

	hb_shorten(shown, sizeof(shown), key);
	for (char *c = shown; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return hb_fail(t->e, err, "%s%s%s: %s; %s", t->what, t->what[0] != '\0' ? ": " : "", shown,
		text, right);
}

/* ---- a small file ------------------------------------------------------------------- */

/* "log.level" is level in the mapping log; a new campaign's count is in its envelopes. */
static const char *
split_key(const char *key, char group[GROUP_BYTES])
{
	static const char *const envelopes[] = {"count", "total", "split", "tiers"};
	const char *dot = strchr(key, '.');

	group[0] = '\0';
	if (dot != NULL && dot - key < GROUP_BYTES) {
		snprintf(group, GROUP_BYTES, "%.*s", (int)(dot - key), key);
		return dot + 1;
	}
	for (unsigned i = 0; i < HB_COUNT_OF(envelopes); i++) {
		if (strcmp(key, envelopes[i]) == 0)
			snprintf(group, GROUP_BYTES, "envelopes");
	}
	return key;
}

static bool
is_list(const struct edit *t, const char *group, const char *name)
{
	const cyaml_schema_value_t *s = t->schema->top;

	if (group[0] != '\0')
		s = hb_schema_child(s, group);
	s = s != NULL && s->type == CYAML_MAPPING ? hb_schema_child(s, name) : NULL;
	return s != NULL && s->type == CYAML_SEQUENCE;
}

static int
emit_list(const struct edit *t, struct hb_emit *m, const char *key, const char *value)
{
	char *wrapped = NULL;
	int rc;

	if (value[strspn(value, " ")] == '[')
		wrapped = strdup(value);
	else if (asprintf(&wrapped, "[%s]", value) < 0)
		wrapped = NULL;
	if (wrapped == NULL)
		return hb_fail(t->e, ENOMEM, "no memory for a list");
	rc = hb_emit_yaml(m, wrapped);
	free(wrapped);
	if (rc == 0)
		return 0;
	return wrong(t, EINVAL, key, "is not a list", "write it as in the file, e.g. [77, 78]");
}

static int
emit_key(const struct edit *t, struct hb_emit *m, unsigned i, const char *group, const char *name)
{
	const char *value = t->values[i];

	if (value == NULL)
		return wrong(t, EINVAL, t->keys[i], "has no value", "write KEY=VALUE");
	if (!hb_is_utf8(t->keys[i]) || !hb_is_utf8(value))
		return wrong(t, EINVAL, "a key or its value", "is not UTF-8 text",
			"write it as UTF-8 text");
	hb_emit_quoted(m, name);
	if (is_list(t, group, name))
		return emit_list(t, m, t->keys[i], value);
	hb_emit_quoted(m, value);
	return 0;
}

/* All keys of the group that key `first` is the first of. */
static int
emit_group(const struct edit *t, struct hb_emit *m, unsigned first, const char *group)
{
	char other[GROUP_BYTES];
	int rc = 0;

	for (unsigned i = 0; i < first; i++) {
		split_key(t->keys[i], other);
		if (strcmp(group, other) == 0)
			return 0;
	}
	hb_emit_quoted(m, group);
	hb_emit_mapping(m, false);
	for (unsigned i = first; i < t->n && rc == 0; i++) {
		const char *name = split_key(t->keys[i], other);

		if (strcmp(group, other) == 0)
			rc = emit_key(t, m, i, group, name);
	}
	hb_emit_mapping_end(m);
	return rc;
}

/* The keys as a file, to be freed. */
static int
make_text(const struct edit *t, char **text)
{
	char group[GROUP_BYTES];
	struct hb_emit m;
	int rc = 0;

	hb_emit_begin(&m);
	hb_emit_mapping(&m, false);
	for (unsigned i = 0; i < t->n && rc == 0; i++) {
		const char *name = split_key(t->keys[i], group);

		rc = group[0] == '\0' ? emit_key(t, &m, i, group, name)
				      : emit_group(t, &m, i, group);
	}
	hb_emit_mapping_end(&m);
	*text = hb_emit_finish(&m);
	if (rc == 0 && *text == NULL)
		rc = hb_fail(t->e, ENOMEM, "no memory for the keys of a change");
	if (rc != 0) {
		free(*text);
		*text = NULL;
	}
	return rc;
}

/* Reads the keys into r->doc, to be freed when 0 is returned. */
static int
read_keys(const struct edit *t, struct hb_reading *r)
{
	char *text;
	int rc = make_text(t, &text);

	if (rc != 0)
		return rc;
	rc = hb_doc_parse(&r->doc, t->what, text, strlen(text), t->schema, t->e);
	free(text);
	if (rc == 0)
		r->raw = r->doc.raw;
	return rc;
}

/* ---- the top level ------------------------------------------------------------------ */

/* What can only change with the file, and how. NULL: nothing of that kind. */
static const char *
fixed_remedy(const char *key)
{
	static const char restart[] = "change it in the file and restart hongbaod";
	static const struct {
		const char *group, *remedy;
	} fixed[] = {
		{"listen", restart},
		{"ports", restart},
		{"control", restart},
		{"packets", restart},
		{"campaigns", "use: hongbaoctl campaign add, or name a campaign"},
		{"keys", "use: hongbaoctl key add EPOCH, or hongbaoctl config reload"},
	};
	char group[GROUP_BYTES];

	split_key(key, group);
	for (unsigned i = 0; i < HB_COUNT_OF(fixed); i++) {
		if (strcmp(key, fixed[i].group) == 0 || strcmp(group, fixed[i].group) == 0)
			return fixed[i].remedy;
	}
	for (const struct hb_field *f = hb_config_fields; f->key != NULL; f++) {
		if (strcmp(f->key, key) == 0 && !f->live)
			return restart;
	}
	return NULL;
}

static int
set_top(struct hb_config *c, const struct edit *t)
{
	struct hb_config next = *c;
	struct hb_reading r = {.c = &next, .e = t->e};
	int rc = 0;

	for (unsigned i = 0; i < t->n; i++) {
		const char *remedy = fixed_remedy(t->keys[i]);

		if (remedy != NULL)
			return wrong(
				t, EPERM, t->keys[i], "cannot change while hongbaod runs", remedy);
	}
	rc = read_keys(t, &r);
	if (rc != 0)
		return rc;
	hb_take_slices(&r);
	hb_take_deny(&r);
	hb_take_log_level(&r);
	hb_take_overload(&r);
	hb_take_idle(&r);
	hb_doc_free(&r.doc);
	if (next.deny != c->deny)
		free(r.err == 0 ? c->deny : next.deny);
	if (r.err == 0)
		*c = next;
	explicit_bzero(&next.keys, sizeof(next.keys));
	return r.err;
}

/* ---- a campaign --------------------------------------------------------------------- */

static struct hb_campaign_config *
find_campaign(const struct hb_config *c, uint16_t id)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id == id)
			return &c->campaign[i];
	}
	return NULL;
}

static int
set_campaign(struct hb_config *c, uint16_t id, const struct edit *t)
{
	struct hb_campaign_config *campaign = find_campaign(c, id), next;
	struct hb_reading r = {.c = c, .e = t->e};
	char group[GROUP_BYTES];
	int rc;

	if (campaign == NULL)
		return hb_fail(t->e, ENOENT,
			"campaign %u: there is none; see which there are: hongbaoctl campaign list",
			id);
	for (unsigned i = 0; i < t->n; i++) {
		split_key(t->keys[i], group);
		if (strcmp(t->keys[i], "id") == 0)
			return wrong(t, EPERM, t->keys[i], "cannot change",
				"use: hongbaoctl campaign add");
		if (strcmp(group, "envelopes") == 0 || strcmp(t->keys[i], "envelopes") == 0)
			return wrong(t, EPERM, t->keys[i], "cannot change while hongbaod runs",
				"to add money use: hongbaoctl top-up");
		if (strcmp(group, "bundle") == 0 || strcmp(t->keys[i], "bundle") == 0)
			return wrong(t, EPERM, t->keys[i], "cannot change while hongbaod runs",
				"use: hongbaoctl campaign add");
	}
	rc = read_keys(t, &r);
	if (rc != 0)
		return rc;
	next = *campaign;
	hb_take_campaign(&r, r.doc.lines.root, r.doc.raw, &next);
	hb_doc_free(&r.doc);
	if (r.err == 0)
		*campaign = next;
	return r.err;
}

int
hb_config_set_keys(struct hb_config *c, uint16_t campaign, const char *const *keys,
	const char *const *values, unsigned n, struct hb_error *e)
{
	struct edit t = {.what = "",
		.schema = &hb_config_edit_schema,
		.keys = keys,
		.values = values,
		.n = n,
		.e = e};
	char what[32];

	if (campaign == 0)
		return set_top(c, &t);
	snprintf(what, sizeof(what), "campaign %u", campaign);
	t.what = what;
	t.schema = &hb_campaign_edit_schema;
	return set_campaign(c, campaign, &t);
}

int
hb_config_set(struct hb_config *c, uint16_t campaign, const char *key, const char *value,
	struct hb_error *e)
{
	return hb_config_set_keys(c, campaign, &key, &value, 1, e);
}

/* ---- a new campaign ----------------------------------------------------------------- */

/* Puts a campaign behind the others, in the lowest slot that is free. */
static int
append(struct hb_config *c, struct hb_campaign_config *campaign, struct hb_error *e)
{
	bool used[HB_CAMPAIGNS_MAX + 1] = {0};
	struct hb_campaign_config *all;

	if (find_campaign(c, campaign->id) != NULL)
		return hb_fail(e, EEXIST,
			"campaign %u: is there already; choose an id that no campaign has",
			campaign->id);
	for (unsigned i = 0; i < c->campaigns; i++)
		used[c->campaign[i].slot & 0xffff] = true;
	for (campaign->slot = 0; used[campaign->slot]; campaign->slot++)
		;
	if (campaign->slot >= c->slots)
		return hb_slots_none(c, campaign->id, e);
	all = realloc(c->campaign, (c->campaigns + 1) * sizeof(*all));
	if (all == NULL)
		return hb_fail(e, ENOMEM, "no memory for one more campaign");
	c->campaign = all;
	all[c->campaigns++] = *campaign;
	return 0;
}

int
hb_config_add(struct hb_config *c, const char *const *keys, const char *const *values, unsigned n,
	struct hb_error *e)
{
	const struct edit t = {.what = "new campaign",
		.schema = &hb_campaign_schema,
		.keys = keys,
		.values = values,
		.n = n,
		.e = e};
	struct hb_campaign_config campaign = hb_campaign_defaults;
	struct hb_reading r = {.c = c, .e = e};
	int rc = read_keys(&t, &r);

	if (rc != 0)
		return rc;
	hb_take_campaign(&r, r.doc.lines.root, r.doc.raw, &campaign);
	hb_doc_free(&r.doc);
	return r.err != 0 ? r.err : append(c, &campaign, e);
}
