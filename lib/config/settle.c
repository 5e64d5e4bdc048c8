/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of hongbao-settle. */
#include "hb_settle_config.h"
#include "sense.h"

#include <errno.h>
#include <stdio.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT_MAX 4095

struct raw_settle {
	char *journal, *archive, *database, *metrics;
	uint64_t *rate, *batch, *set_aside;
};

#define TEXT(key, field, max)                                                                      \
	CYAML_FIELD_STRING_PTR(key, OPTIONAL, struct raw_settle, field, 1, max)
#define NUMBER(key, field) CYAML_FIELD_UINT_PTR(key, OPTIONAL, struct raw_settle, field)

static const cyaml_schema_field_t fields[] = {
	TEXT("journal", journal, TEXT_MAX),
	TEXT("archive", archive, TEXT_MAX),
	TEXT("database", database, sizeof(((struct hb_settle_config *)NULL)->database) - 1),
	TEXT("metrics", metrics, sizeof(((struct hb_settle_config *)NULL)->metrics) - 1),
	NUMBER("rate", rate),
	NUMBER("batch", batch),
	NUMBER("set_aside", set_aside),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t top = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_settle, fields),
};

static const struct hb_hint hints[] = {
	{"journal", "write the directory that hongbaod's journal: names"},
	{"archive", "write the directory that settled segments are moved to"},
	{"database", "write a conninfo, e.g. \"host=db.example dbname=hongbao user=settle\""},
	{"metrics", "write an address with its port, e.g. \"127.0.0.1:9181\", or off"},
	{"rate", "write how many records a second go over at most; 0 is no limit"},
	{"batch", "write how many records one transaction takes at most"},
	{"set_aside", "write how many refused records are set aside before it stops"},
	{"", "write journal and database, and what else there is to say: archive, metrics, rate, "
	     "batch, set_aside"},
};

static const struct hb_schema schema = {.top = &top, .hints = hints};

void
hb_settle_config_defaults(struct hb_settle_config *c)
{
	*c = (struct hb_settle_config){
		.metrics = "off",
		.rate = HB_SETTLE_RATE,
		.batch = HB_SETTLE_BATCH,
		.set_aside = HB_SETTLE_SET_ASIDE,
	};
}

static void
take_text(char *to, size_t size, const char *text)
{
	if (text != NULL)
		snprintf(to, size, "%s", text);
}

static void
take(struct hb_reading *r, struct hb_settle_config *c, const struct raw_settle *raw)
{
	const struct hb_node *root = r->doc.lines.root;

	if (raw->journal != NULL)
		hb_take_path(r, root, "journal", raw->journal, c->journal);
	if (raw->archive != NULL)
		hb_take_path(r, root, "archive", raw->archive, c->archive);
	take_text(c->database, sizeof(c->database), raw->database);
	take_text(c->metrics, sizeof(c->metrics), raw->metrics);
	c->rate = hb_take(r, root, "rate", raw->rate, c->rate, 0, HB_SETTLE_RATE_MAX);
	c->batch = hb_take(r, root, "batch", raw->batch, c->batch, 1, HB_SETTLE_BATCH_MAX);
	c->set_aside = hb_take(r, root, "set_aside", raw->set_aside, c->set_aside, 0, UINT32_MAX);
}

int
hb_settle_config_load(struct hb_settle_config *c, const char *path, struct hb_error *e)
{
	struct hb_reading r = {.e = e};
	int rc;

	hb_settle_config_defaults(c);
	if ((rc = hb_doc_read(&r.doc, path, &schema, e)) != 0)
		return rc;
	if ((rc = hb_path_of(r.dir, c->path, path)) != 0)
		rc = hb_fail(e, -rc, "%s: its directory cannot be found: %s", path, strerror(-rc));
	else
		take(&r, c, r.doc.raw);
	hb_doc_free(&r.doc);
	return rc != 0 ? rc : r.err;
}
