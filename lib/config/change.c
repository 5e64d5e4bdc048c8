/* SPDX-License-Identifier: BSD-3-Clause */
/* What differs between two configurations, and whether it may. */
#include "hb_change.h"
#include "fields.h"
#include "lines.h"
#include "slots.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

struct comparison {
	const struct hb_config *now;
	struct hb_config *next;
	struct hb_changes *out;
	struct hb_error *e;
	int err; /* 0 or -errno: the first thing that was wrong */
};

/* ---- the list ----------------------------------------------------------------------- */

int
hb_changes_add(struct hb_changes *c, const char *key, const char *before, const char *after)
{
	if (c->count == c->room) {
		unsigned room = c->room > 0 ? 2 * c->room : 8;
		struct hb_change *of = realloc(c->of, room * sizeof(*of));

		if (of == NULL)
			return -ENOMEM;
		c->of = of;
		c->room = room;
	}
	struct hb_change *to = &c->of[c->count++];

	hb_shorten(to->key, sizeof(to->key), key);
	hb_shorten(to->before, sizeof(to->before), before);
	hb_shorten(to->after, sizeof(to->after), after);
	return 0;
}

void
hb_changes_free(struct hb_changes *c)
{
	free(c->of);
	*c = (struct hb_changes){0};
}

static void
note(struct comparison *c, const char *key, const char *before, const char *after)
{
	if (c->err == 0 && hb_changes_add(c->out, key, before, after) != 0)
		c->err = hb_fail(c->e, ENOMEM, "no memory for the list of changes");
}

static void
refuse(struct comparison *c, const char *key, const char *before, const char *after)
{
	char from[128], to[128];

	if (c->err != 0)
		return;
	hb_shorten(from, sizeof(from), before[0] != '\0' ? before : "nothing");
	hb_shorten(to, sizeof(to), after[0] != '\0' ? after : "nothing");
	c->err = hb_fail(c->e, EPERM,
		"%s: cannot change while hongbaod runs, from %s to %s; restart it with that in its "
		"file",
		key, from, to);
}

/* ---- the top level ------------------------------------------------------------------ */

static void
compare_fields(struct comparison *c)
{
	char before[HB_FIELD_BYTES], after[HB_FIELD_BYTES];

	for (const struct hb_field *f = hb_config_fields; f->key != NULL; f++) {
		if (hb_field_same(f, c->now, c->next))
			continue;
		hb_field_text(f, c->now, before);
		hb_field_text(f, c->next, after);
		(f->live ? note : refuse)(c, f->key, before, after);
	}
}

static bool
same_listen(const struct hb_listen *a, const struct hb_listen *b)
{
	return a->has_ipv4 == b->has_ipv4 && a->has_ipv6 == b->has_ipv6 &&
	       a->base_port == b->base_port &&
	       (!a->has_ipv4 || memcmp(a->ipv4, b->ipv4, sizeof(a->ipv4)) == 0) &&
	       (!a->has_ipv6 || memcmp(a->ipv6, b->ipv6, sizeof(a->ipv6)) == 0);
}

static void
compare_listen(
	struct comparison *c, const char *key, const struct hb_listen *a, const struct hb_listen *b)
{
	char before[128], after[128];

	if (same_listen(a, b))
		return;
	hb_listen_text(a, before, sizeof(before));
	hb_listen_text(b, after, sizeof(after));
	refuse(c, key, before, after);
}

static void
compare_ports(struct comparison *c)
{
	char key[32], before[16], after[16];

	if (c->now->ports != c->next->ports) {
		snprintf(before, sizeof(before), "%u", c->now->ports);
		snprintf(after, sizeof(after), "%u", c->next->ports);
		refuse(c, "ports", before, after);
		return;
	}
	for (unsigned i = 0; i < c->now->ports; i++) {
		const struct hb_port_config *a = &c->now->port[i];
		struct hb_port_config *b = &c->next->port[i];

		snprintf(key, sizeof(key), "ports[%u]", i);
		if (strcmp(a->profile, b->profile) != 0)
			refuse(c, key, a->profile, b->profile);
		if (strcmp(a->device, b->device) != 0)
			refuse(c, key, a->device, b->device);
		compare_listen(c, key, &a->listen, &b->listen);
		b->frames_held = a->frames_held;
	}
}

static void
changers_text(const struct hb_control_config *c, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < c->changes; i++)
		used = hb_text_add(out, size, used, "%s%s", used > 0 ? ", " : "", c->change[i]);
}

static void
compare_changers(struct comparison *c)
{
	char before[HB_CHANGERS_MAX * (HB_NAME_BYTES + 2)], after[sizeof(before)];

	changers_text(&c->now->control, before, sizeof(before));
	changers_text(&c->next->control, after, sizeof(after));
	if (strcmp(before, after) != 0)
		refuse(c, "control.change", before, after);
}

static void
compare_slices(struct comparison *c)
{
	char before[160], after[160];

	if (c->now->slices == c->next->slices)
		return;
	hb_slices_text(c->now->slices, before, sizeof(before));
	hb_slices_text(c->next->slices, after, sizeof(after));
	note(c, "slices", before, after);
}

/* ---- barred users ------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The users in order, each once: how many is in *n. NULL when there is no memory. */
static uint64_t *
sorted(const uint64_t *users, unsigned count, unsigned *n)
{
	uint64_t *s = malloc((count + 1) * sizeof(*s));

	*n = 0;
	if (s == NULL || count == 0)
		return s;
	memcpy(s, users, count * sizeof(*s));
	qsort(s, count, sizeof(*s), by_number);
	for (unsigned i = 0; i < count; i++) {
		if (*n == 0 || s[*n - 1] != s[i])
			s[(*n)++] = s[i];
	}
	return s;
}

/* "+77 -78", and how many more. */
static void
list_bars(const uint64_t *a, unsigned na, const uint64_t *b, unsigned nb, char *out, size_t size)
{
	unsigned i = 0, k = 0, more = 0;
	size_t used = 0, room = size - 24;

	out[0] = '\0';
	while (i < na || k < nb) {
		bool goes = k == nb || (i < na && a[i] < b[k]);

		if (!goes && i < na && a[i] == b[k]) {
			i++;
			k++;
			continue;
		}
		uint64_t user = goes ? a[i++] : b[k++];

		if (used + 24 < room)
			used = hb_text_add(out, size, used, "%s%c%llu", used > 0 ? " " : "",
				goes ? '-' : '+', (unsigned long long)user);
		else
			more++;
	}
	if (more > 0)
		hb_text_add(out, size, used, " and %u more", more);
}

static void
compare_deny(struct comparison *c)
{
	const struct hb_config *now = c->now, *next = c->next;
	char before[32], after[sizeof(((struct hb_change *)NULL)->after)];
	unsigned na, nb;

	if (now->denied == next->denied &&
		(now->denied == 0 ||
			memcmp(now->deny, next->deny, now->denied * sizeof(*now->deny)) == 0))
		return;
	uint64_t *a = sorted(now->deny, now->denied, &na);
	uint64_t *b = sorted(next->deny, next->denied, &nb);

	if (a == NULL || b == NULL) {
		c->err = hb_fail(c->e, ENOMEM, "no memory to compare the barred users");
	} else if (na != nb || memcmp(a, b, na * sizeof(*a)) != 0) {
		snprintf(before, sizeof(before), "%u barred", na);
		list_bars(a, na, b, nb, after, sizeof(after));
		note(c, "deny", before, after);
	}
	free(a);
	free(b);
}

/* ---- keys --------------------------------------------------------------------------- */

static void
compare_key(struct comparison *c, const char *key, bool had, bool has, const uint8_t *before,
	const uint8_t *after)
{
	if (had && has && sodium_memcmp(before, after, HB_KEY_BYTES) != 0)
		note(c, key, "held", "another");
	else if (had != has)
		note(c, key, had ? "held" : "", has ? "held" : "");
}

static void
compare_keys(struct comparison *c)
{
	const struct hb_keyring *a = &c->now->keys, *b = &c->next->keys;
	char key[32];

	for (unsigned i = 0; i < HB_COUNT_OF(a->epoch_held); i++) {
		if (!a->epoch_held[i] && !b->epoch_held[i])
			continue;
		snprintf(key, sizeof(key), "key epoch %u", i);
		compare_key(c, key, a->epoch_held[i], b->epoch_held[i], a->epoch_key[i],
			b->epoch_key[i]);
	}
	compare_key(c, "key issuer", a->issuer_held, b->issuer_held, a->issuer, b->issuer);
}

/* ---- campaigns ---------------------------------------------------------------------- */

static void
compare_terms(
	struct comparison *c, const struct hb_campaign_config *a, struct hb_campaign_config *b)
{
	char before[128], after[128];

	if (hb_terms_same(&a->terms, &b->terms)) {
		b->terms.seed = a->terms.seed;
		return;
	}
	hb_terms_text(&a->terms, before, sizeof(before));
	hb_terms_text(&b->terms, after, sizeof(after));
	if (c->err == 0)
		c->err = hb_fail(c->e, EPERM,
			"campaign %u envelopes: %s cannot become %s; to add money use: hongbaoctl "
			"top-up %u count=N total=FEN",
			a->id, before, after, a->id);
}

/* What a win becomes stays the same: those who won told others. */
static void
compare_bundle(struct comparison *c, const char *key, const struct hb_campaign_config *a,
	const struct hb_campaign_config *b)
{
	char before[64], after[64];

	if (memcmp(&a->bundle, &b->bundle, sizeof(a->bundle)) == 0)
		return;
	hb_bundle_text(&a->bundle, before, sizeof(before));
	hb_bundle_text(&b->bundle, after, sizeof(after));
	refuse(c, key, before, after);
}

static void
compare_password(struct comparison *c, const char *key, const struct hb_campaign_config *a,
	const struct hb_campaign_config *b)
{
	static const char *const is[] = {"shaken", "answered"};
	bool was = a->password[0] != '\0', will = b->password[0] != '\0';

	if (was == will)
		note(c, key, "a secret", "another");
	else if (c->err == 0)
		c->err = hb_fail(c->e, EPERM,
			"%s: campaign %u is %s and cannot become %s while hongbaod runs; close it "
			"and add another campaign",
			key, a->id, is[was], is[will]);
}

static void
compare_campaign(
	struct comparison *c, const struct hb_campaign_config *a, struct hb_campaign_config *b)
{
	char key[64], before[HB_FIELD_BYTES], after[HB_FIELD_BYTES];

	compare_terms(c, a, b);
	snprintf(key, sizeof(key), "campaign %u bundle", a->id);
	compare_bundle(c, key, a, b);
	for (const struct hb_field *f = hb_campaign_fields; f->key != NULL; f++) {
		if (hb_field_same(f, a, b))
			continue;
		snprintf(key, sizeof(key), "campaign %u %s", a->id, f->key);
		if (f->kind == HB_FIELD_SECRET) {
			compare_password(c, key, a, b);
			continue;
		}
		hb_field_text(f, a, before);
		hb_field_text(f, b, after);
		note(c, key, before, after);
	}
}

static void
note_new(struct comparison *c, const struct hb_campaign_config *b)
{
	char key[32], terms[80], opens[40], closes[40], after[200];

	snprintf(key, sizeof(key), "campaign %u", b->id);
	hb_terms_text(&b->terms, terms, sizeof(terms));
	hb_time_text(b->opens_us, opens, sizeof(opens));
	hb_time_text(b->closes_us, closes, sizeof(closes));
	snprintf(after, sizeof(after), "added: %s, %s to %s", terms, opens, closes);
	note(c, key, "", after);
}

/* What it takes is made at the start. */
static void
refuse_new(struct comparison *c, const struct hb_campaign_config *b)
{
	if (c->err == 0)
		c->err = hb_fail(c->e, EPERM,
			"campaign %u: envelopes are leased, and such a campaign cannot be added "
			"while hongbaod runs; restart it with that in its file",
			b->id);
}

static void
compare_campaigns(struct comparison *c)
{
	struct hb_places *places = hb_places_make(c->now);

	if (places == NULL) {
		c->err = hb_fail(c->e, ENOMEM, "no memory to compare the campaigns");
		return;
	}
	int rc = hb_slots_assign(c->now, c->next, places, c->e);

	if (rc != 0)
		c->err = rc;
	for (unsigned i = 0; i < c->next->campaigns && c->err == 0; i++) {
		struct hb_campaign_config *b = &c->next->campaign[i];
		const struct hb_campaign_config *a = hb_places_find(places, c->now, b->id);

		if (a != NULL)
			compare_campaign(c, a, b);
		else if (b->leased)
			refuse_new(c, b);
		else
			note_new(c, b);
	}
	free(places);
}

int
hb_config_compare(const struct hb_config *now, struct hb_config *next, struct hb_changes *out,
	struct hb_error *e)
{
	struct comparison c = {.now = now, .next = next, .out = out, .e = e};

	compare_fields(&c);
	compare_listen(&c, "listen", &now->listen, &next->listen);
	compare_ports(&c);
	compare_changers(&c);
	compare_slices(&c);
	if (c.err == 0)
		compare_deny(&c);
	compare_keys(&c);
	if (c.err == 0)
		compare_campaigns(&c);
	return c.err;
}
