/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration as a file. What a file says by leaving it out is left out. */
#include "emit.h"
#include "fields.h"
#include "hb_change.h"
#include "sense.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ---- fields ------------------------------------------------------------------------- */

/* Whether the file says it at all. */
static bool
is_said(const struct hb_config *c, const struct hb_field *f, const char *text)
{
	if (text[0] == '\0')
		return false;
	if (strcmp(f->key, "metrics") == 0)
		return c->metrics_given;
	if (strcmp(f->key, "control.socket") == 0)
		return !hb_socket_is_default(c);
	return true;
}

static void
emit_value(struct hb_emit *m, const struct hb_field *f, const char *text)
{
	if (hb_field_quoted(f))
		hb_emit_quoted(m, text);
	else
		hb_emit_plain(m, text);
}

/* control.change, which is a list, behind the rest of its mapping. */
static void
emit_changers(struct hb_emit *m, const struct hb_control_config *c)
{
	hb_emit_plain(m, "change");
	hb_emit_list(m, true);
	for (unsigned i = 0; i < c->changes; i++)
		hb_emit_quoted(m, c->change[i]);
	hb_emit_list_end(m);
}

static void
open_mapping(struct hb_emit *m, const char *name, bool *open)
{
	if (*open)
		return;
	hb_emit_plain(m, name);
	hb_emit_mapping(m, true);
	*open = true;
}

/* The fields of one mapping from *f on, which is moved behind them. No mapping without any. */
static void
emit_mapping(struct hb_emit *m, const struct hb_config *c, const struct hb_field **f)
{
	const char *first = (*f)->key;
	size_t prefix = strcspn(first, ".") + 1;
	char text[HB_FIELD_BYTES], name[32];
	bool open = false, control = strncmp(first, "control.", prefix) == 0;

	snprintf(name, sizeof(name), "%.*s", (int)(prefix - 1), first);
	for (; (*f)->key != NULL && strncmp((*f)->key, first, prefix) == 0; ++*f) {
		hb_field_text(*f, c, text);
		if (!is_said(c, *f, text))
			continue;
		open_mapping(m, name, &open);
		hb_emit_plain(m, (*f)->key + prefix);
		emit_value(m, *f, text);
	}
	if (control && c->control.changes > 0) {
		open_mapping(m, name, &open);
		emit_changers(m, &c->control);
	}
	if (open)
		hb_emit_mapping_end(m);
}

static void
emit_fields(struct hb_emit *m, const struct hb_config *c)
{
	char text[HB_FIELD_BYTES];

	for (const struct hb_field *f = hb_config_fields; f->key != NULL;) {
		if (strchr(f->key, '.') != NULL) {
			emit_mapping(m, c, &f);
			continue;
		}
		hb_field_text(f, c, text);
		if (is_said(c, f, text)) {
			hb_emit_plain(m, f->key);
			emit_value(m, f, text);
		}
		f++;
	}
}

/* ---- lists and mappings ------------------------------------------------------------- */

static void
emit_addresses(struct hb_emit *m, const struct hb_listen *l)
{
	char address[INET6_ADDRSTRLEN];

	if (l->has_ipv4) {
		hb_emit_plain(m, "ipv4");
		hb_emit_quoted(m, inet_ntop(AF_INET, l->ipv4, address, sizeof(address)));
	}
	if (l->has_ipv6) {
		hb_emit_plain(m, "ipv6");
		hb_emit_quoted(m, inet_ntop(AF_INET6, l->ipv6, address, sizeof(address)));
	}
}

static void
emit_listen(struct hb_emit *m, const struct hb_listen *l)
{
	hb_emit_plain(m, "listen");
	hb_emit_mapping(m, true);
	emit_addresses(m, l);
	hb_emit_plain(m, "base_port");
	hb_emit_number(m, l->base_port);
	hb_emit_mapping_end(m);
}

static void
emit_ports(struct hb_emit *m, const struct hb_config *c)
{
	hb_emit_plain(m, "ports");
	hb_emit_list(m, false);
	for (unsigned i = 0; i < c->ports; i++) {
		hb_emit_mapping(m, false);
		hb_emit_plain(m, "profile");
		hb_emit_quoted(m, c->port[i].profile);
		hb_emit_plain(m, "device");
		hb_emit_quoted(m, c->port[i].device);
		emit_addresses(m, &c->port[i].listen);
		hb_emit_mapping_end(m);
	}
	hb_emit_list_end(m);
}

static void
emit_deny(struct hb_emit *m, const struct hb_config *c)
{
	if (c->denied == 0)
		return;
	hb_emit_plain(m, "deny");
	hb_emit_list(m, true);
	for (unsigned i = 0; i < c->denied; i++)
		hb_emit_number(m, c->deny[i]);
	hb_emit_list_end(m);
}

static void
emit_slices(struct hb_emit *m, const struct hb_config *c)
{
	if (c->slices == UINT32_MAX)
		return;
	hb_emit_plain(m, "slices");
	hb_emit_list(m, true);
	for (unsigned i = 0; i < HB_SHARDS / HB_LANES; i++) {
		if ((c->slices >> i & 1) != 0)
			hb_emit_number(m, i);
	}
	hb_emit_list_end(m);
}

/* ---- campaigns ---------------------------------------------------------------------- */

static void
emit_pair(struct hb_emit *m, const char *key, uint64_t n)
{
	hb_emit_plain(m, key);
	hb_emit_number(m, n);
}

static void
emit_terms(struct hb_emit *m, const struct hb_campaign_config *c)
{
	const struct hb_terms *t = &c->terms;

	hb_emit_plain(m, "envelopes");
	hb_emit_mapping(m, true);
	if (c->leased) {
		hb_emit_plain(m, "leased");
		hb_emit_plain(m, "true");
		hb_emit_mapping_end(m);
		return;
	}
	emit_pair(m, "count", t->count);
	emit_pair(m, "total", t->total);
	hb_emit_plain(m, "split");
	hb_emit_plain(m, hb_split_name(t->split));
	if (t->tiers > 0) {
		hb_emit_plain(m, "tiers");
		hb_emit_list(m, true);
		for (unsigned i = 0; i < t->tiers; i++) {
			hb_emit_mapping(m, true);
			emit_pair(m, "count", t->tier[i].count);
			emit_pair(m, "amount", t->tier[i].amount);
			hb_emit_mapping_end(m);
		}
		hb_emit_list_end(m);
	}
	hb_emit_mapping_end(m);
}

static void
emit_bundle(struct hb_emit *m, const struct hb_bundle *b)
{
	if (b->shares == 0)
		return;
	hb_emit_plain(m, "bundle");
	hb_emit_mapping(m, true);
	emit_pair(m, "shares", b->shares);
	hb_emit_plain(m, "split");
	hb_emit_plain(m, hb_split_name(b->split));
	emit_pair(m, "hours", b->hours);
	hb_emit_mapping_end(m);
}

static void
emit_campaign(struct hb_emit *m, const struct hb_campaign_config *c, bool secrets)
{
	char text[HB_FIELD_BYTES];

	hb_emit_mapping(m, false);
	emit_pair(m, "id", c->id);
	emit_terms(m, c);
	emit_bundle(m, &c->bundle);
	for (const struct hb_field *f = hb_campaign_fields; f->key != NULL; f++) {
		hb_field_text(f, c, text);
		hb_emit_plain(m, f->key);
		if (f->kind == HB_FIELD_SECRET && !secrets && text[0] != '\0')
			hb_emit_quoted(m, HB_PASSWORD_HIDDEN);
		else
			emit_value(m, f, text);
	}
	hb_emit_mapping_end(m);
}

char *
hb_config_text(const struct hb_config *c, bool secrets)
{
	struct hb_emit m;

	hb_emit_begin(&m);
	hb_emit_mapping(&m, false);
	emit_listen(&m, &c->listen);
	emit_ports(&m, c);
	emit_fields(&m, c);
	emit_deny(&m, c);
	emit_slices(&m, c);
	hb_emit_plain(&m, "campaigns");
	hb_emit_list(&m, false);
	for (unsigned i = 0; i < c->campaigns; i++)
		emit_campaign(&m, &c->campaign[i], secrets);
	hb_emit_list_end(&m);
	hb_emit_mapping_end(&m);
	return hb_emit_finish(&m);
}
