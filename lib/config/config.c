/* SPDX-License-Identifier: BSD-3-Clause */
/* From what the file says to an hb_config: the file's top level, and the order of the checks. */
#include "sense.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SLICES (HB_SHARDS / HB_LANES)
#define USERS_MAX (1ull << 40)

/* ---- what sticks -------------------------------------------------------------------- */

void
hb_wrong(struct hb_reading *r, struct hb_spot at, const char *what, ...)
{
	va_list ap;

	if (r->err != 0)
		return;
	va_start(ap, what);
	r->err = hb_lines_vfail(&r->doc.lines, at, r->e, EINVAL, what, ap);
	va_end(ap);
}

void
hb_wrong_because(struct hb_reading *r, struct hb_spot at, int err, const struct hb_error *inner)
{
	at.right = "";
	if (r->err == 0)
		r->err = hb_lines_fail(&r->doc.lines, at, r->e, err, "%s", inner->text);
}

void *
hb_take_memory(struct hb_reading *r, size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL && r->err == 0)
		r->err = hb_lines_fail(&r->doc.lines, (struct hb_spot){.right = "free some memory"},
			r->e, ENOMEM, "does not fit into memory");
	return p;
}

uint64_t
hb_take(struct hb_reading *r, const struct hb_node *n, const char *key, const uint64_t *raw,
	uint64_t otherwise, uint64_t min, uint64_t max)
{
	struct hb_spot at = {.node = n, .child = key};

	if (raw == NULL)
		return otherwise;
	if (*raw < min || *raw > max)
		hb_wrong(r, at, "%llu is outside %llu to %llu", (unsigned long long)*raw,
			(unsigned long long)min, (unsigned long long)max);
	return *raw;
}

/* ---- the top level ------------------------------------------------------------------ */

static void
take_scalars(struct hb_reading *r)
{
	const struct hb_raw_config *raw = r->raw;
	const struct hb_node *root = r->doc.lines.root;
	struct hb_config *c = r->c;

	c->host = (uint32_t)hb_take(r, root, "host", raw->host, 1, 0, UINT32_MAX);
	c->workers = (unsigned)hb_take(r, root, "workers", raw->workers, 1, 1, HB_WORKERS_MAX);
	c->users = hb_take(r, root, "users", &raw->users, 0, 1, USERS_MAX);
	c->seed = hb_take(r, root, "seed", raw->seed, 0, 0, UINT64_MAX);
	c->clock = (enum hb_clock)raw->clock;
}

void
hb_take_path(struct hb_reading *r, const struct hb_node *n, const char *key, const char *path,
	char to[PATH_MAX])
{
	if (hb_path_in(to, PATH_MAX, r->dir, path) != 0)
		hb_wrong(r, (struct hb_spot){.node = n, .child = key},
			"is a path of more than %d bytes", PATH_MAX - 1);
}

static void
take_files(struct hb_reading *r)
{
	const struct hb_node *root = r->doc.lines.root;
	struct hb_config *c = r->c;
	struct hb_error inner;
	struct stat st;

	hb_take_path(r, root, "journal", r->raw->journal, c->journal);
	hb_take_path(r, root, "keys", r->raw->keys, c->keys_path);
	if (r->err != 0)
		return;
	if (stat(c->journal, &st) == 0 && !S_ISDIR(st.st_mode))
		hb_wrong(r, (struct hb_spot){.node = root, .child = "journal"},
			"%s is not a directory", hb_quote(&r->doc.lines, c->journal).s);
	int rc = hb_keys_load(&c->keys, c->keys_path, &inner);
	if (rc != 0)
		hb_wrong_because(r, (struct hb_spot){.node = root, .child = "keys"}, -rc, &inner);
}

void
hb_take_slices(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "slices");
	uint32_t line_of[SLICES] = {0};

	if (n == NULL)
		return;
	r->c->slices = 0;
	n = n->first;
	for (unsigned i = 0; i < r->raw->slices_count && r->err == 0; i++, n = n->next) {
		uint64_t slice = r->raw->slices[i];

		if (slice >= SLICES) {
			hb_wrong(r, (struct hb_spot){.node = n}, "%llu is outside 0 to %d",
				(unsigned long long)slice, SLICES - 1);
			return;
		}
		if (line_of[slice] != 0 && r->doc.lines.lineless)
			hb_wrong(r, (struct hb_spot){.node = n}, "%llu is given twice",
				(unsigned long long)slice);
		else if (line_of[slice] != 0)
			hb_wrong(r, (struct hb_spot){.node = n},
				"%llu is given twice, first on line %u", (unsigned long long)slice,
				line_of[slice]);
		line_of[slice] = n->line;
		r->c->slices |= 1u << slice;
	}
}

void
hb_take_deny(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "deny");

	if (n == NULL)
		return;
	r->c->deny = NULL;
	r->c->denied = 0;
	if (r->raw->deny_count == 0)
		return;
	r->c->deny = hb_take_memory(r, r->raw->deny_count, sizeof(*r->c->deny));
	n = n->first;
	for (unsigned i = 0; i < r->raw->deny_count && r->err == 0; i++, n = n->next) {
		if (r->raw->deny[i] == 0)
			hb_wrong(r, (struct hb_spot){.node = n}, "0 is no user");
		r->c->deny[i] = r->raw->deny[i];
	}
	r->c->denied = r->raw->deny_count;
}

/* A wheel's round and a clock that is off have room in 64 bits of microseconds. */
#define KEEP_S_MAX (30u * 86400)

static void
take_packets(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "packets");
	const struct hb_raw_packets *raw = &r->raw->packets;
	struct hb_config *c = r->c;

	c->packets = hb_take(r, n, "open", raw->open, HB_PACKETS_OPEN, 0, HB_PACKETS_OPEN_MAX);
	c->packet_shares =
		hb_take(r, n, "shares", raw->shares, HB_PACKETS_SHARES, 0, HB_PACKETS_OPEN_MAX);
	c->packet_keep_s =
		(uint32_t)hb_take(r, n, "keep", raw->keep, HB_PACKETS_KEEP_S, 0, KEEP_S_MAX);
}

/* State is made at the start for every campaign that there can be. */
static void
take_room(struct hb_reading *r)
{
	struct hb_config *c = r->c;

	c->campaign_room = (unsigned)hb_take(r, r->doc.lines.root, "campaign_room",
		r->raw->campaign_room, HB_CAMPAIGN_ROOM, 0, HB_CAMPAIGNS_MAX);
	c->slots = c->campaigns + c->campaign_room;
	if (c->slots > HB_CAMPAIGNS_MAX)
		c->slots = HB_CAMPAIGNS_MAX;
}

static void
take_defaults(struct hb_reading *r)
{
	r->c->slices = UINT32_MAX;
	r->c->log_level = 2;
	r->c->shed = true;
	r->c->busy_wait_ms = 1000;
}

static void
take_place(struct hb_reading *r)
{
	int rc = hb_path_of(r->dir, r->c->path, r->doc.lines.file);

	if (rc != 0)
		hb_wrong(r, (struct hb_spot){.right = "move it to where its path can be found"},
			"has no absolute path: %s", strerror(-rc));
}

/* Never NULL but for lack of memory. */
static void *
array_copy(const void *of, unsigned n, size_t size)
{
	void *copy = malloc((n + 1) * size);

	if (copy != NULL && n > 0)
		memcpy(copy, of, n * size);
	return copy;
}

/* ---- the whole ---------------------------------------------------------------------- */

/* What was read, on its way to *out. The doc is freed. */
static int
make_sense(struct hb_reading *r, struct hb_config **out)
{
	static void (*const step[])(struct hb_reading *) = {
		take_defaults,
		take_place,
		take_scalars,
		take_packets,
		hb_take_listen,
		hb_take_slices,
		hb_take_deny,
		hb_take_log_level,
		hb_take_overload,
		hb_take_idle,
		hb_take_campaigns,
		take_room,
		take_files,
		hb_take_control,
		hb_take_metrics,
		hb_take_log_file,
		hb_take_ports,
	};

	r->raw = r->doc.raw;
	r->c = hb_take_memory(r, 1, sizeof(*r->c));
	for (unsigned i = 0; i < HB_COUNT_OF(step) && r->err == 0; i++)
		step[i](r);
	hb_doc_free(&r->doc);
	if (r->err != 0)
		hb_config_free(r->c);
	else
		*out = r->c;
	return r->err;
}

int
hb_config_load(struct hb_config **out, const char *path, struct hb_error *e)
{
	struct hb_reading r = {.e = e};
	int rc = hb_doc_read(&r.doc, path, &hb_config_schema, e);

	return rc != 0 ? rc : make_sense(&r, out);
}

int
hb_config_parse(struct hb_config **out, const char *text, size_t bytes, const char *path,
	struct hb_error *e)
{
	struct hb_reading r = {.e = e};
	int rc = hb_doc_parse(&r.doc, path, text, bytes, &hb_config_schema, e);

	return rc != 0 ? rc : make_sense(&r, out);
}

struct hb_config *
hb_config_copy(const struct hb_config *c)
{
	struct hb_config *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *c;
	copy->deny = array_copy(c->deny, c->denied, sizeof(*c->deny));
	copy->campaign = array_copy(c->campaign, c->campaigns, sizeof(*c->campaign));
	if (copy->deny != NULL && copy->campaign != NULL)
		return copy;
	hb_config_free(copy);
	return NULL;
}

void
hb_config_free(struct hb_config *c)
{
	if (c == NULL)
		return;
	explicit_bzero(&c->keys, sizeof(c->keys));
	free(c->deny);
	free(c->campaign);
	free(c);
}
