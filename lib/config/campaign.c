/* SPDX-License-Identifier: BSD-3-Clause */
/* The campaigns of a configuration: what makes sense for one, and that no two have one id. */
#include "fields.h"
#include "sense.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Ten years. */
#define RELATIVE_MAX_S (3650u * 86400)

/* What a key of a mapping says, as an error shows it. */
static struct hb_quoted
quote(const struct hb_reading *r, const struct hb_node *n, const char *key)
{
	const struct hb_node *child = hb_node_child(n, key);

	return hb_quote(&r->doc.lines, child != NULL && child->text != NULL ? child->text : "");
}

/* "now", "+10m", "-30s": a time from now on, where values are given one by one. */
static int
relative_time(const char *text, uint64_t *us)
{
	static const char units[] = "smhd";
	static const unsigned seconds[] = {1, 60, 3600, 86400};
	size_t digits = strspn(text + 1, "0123456789");
	const char *unit = strchr(units, text[1 + digits]);
	char number[12] = "0";
	uint64_t n;

	if (strcmp(text, "now") == 0) {
		*us = hb_wall_us();
		return 0;
	}
	if ((text[0] != '+' && text[0] != '-') || digits == 0 || digits >= sizeof(number) ||
		text[1 + digits] == '\0' || unit == NULL || text[2 + digits] != '\0')
		return -EINVAL;
	memcpy(number, text + 1, digits);
	number[digits] = '\0';
	n = strtoull(number, NULL, 10) * seconds[unit - units];
	if (n > RELATIVE_MAX_S)
		return -ERANGE;
	*us = text[0] == '+' ? hb_wall_us() + n * 1000000 : hb_wall_us() - n * 1000000;
	return 0;
}

/* Packets' time is another: what is relative to now means nothing there. */
static bool
take_relative_time(struct hb_reading *r, struct hb_spot at, const char *text, uint64_t *us)
{
	if (!r->doc.lines.lineless || relative_time(text, us) != 0)
		return false;
	at.right = "write the time itself, e.g. \"2015-02-18T22:30:00+08:00\"";
	if (r->c->clock == HB_CLOCK_PACKET)
		hb_wrong(r, at, "%s is relative to the host's time, but clock is packet", text);
	return true;
}

static void
take_time(struct hb_reading *r, const struct hb_node *n, const char *key, const char *text,
	uint64_t *us)
{
	struct hb_spot at = {.node = n, .child = key};

	if (text == NULL || take_relative_time(r, at, text, us) || hb_time_parse(text, us) == 0)
		return;
	if (r->doc.lines.lineless)
		at.right =
			"write a time with its zone, e.g. \"2015-02-18T22:30:00+08:00\", ms since "
			"1970, now, or a time from now, e.g. +10m or -30s (s, m, h, d)";
	hb_wrong(r, at, "%s is not a time with a zone", quote(r, n, key).s);
}

/* A time as the file has it, or as it was before. */
static struct hb_quoted
quote_time(const struct hb_reading *r, const struct hb_node *n, const char *key, uint64_t us)
{
	struct hb_quoted q;

	if (hb_node_child(n, key) != NULL)
		return quote(r, n, key);
	hb_time_text(us, q.s, sizeof(q.s));
	return q;
}

/* ---- envelopes ---------------------------------------------------------------------- */

/* A count or total beside tiers, which must be what the tiers sum to. */
static void
check_sum(struct hb_reading *r, const struct hb_node *n, const char *key, const uint64_t *given,
	uint64_t sum)
{
	char right[80];

	if (given == NULL || *given == sum)
		return;
	snprintf(right, sizeof(right), "write %llu or leave it out", (unsigned long long)sum);
	hb_wrong(r, (struct hb_spot){.node = n, .child = key, .right = right},
		"%s is not the sum of the tiers", quote(r, n, key).s);
}

static void
take_tiers(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_envelopes *raw,
	struct hb_terms *t)
{
	const struct hb_node *list = hb_node_child(n, "tiers"), *entry = list->first;
	uint64_t count = 0;

	if (raw->split != 0 && raw->split != HB_SPLIT_TIERS)
		hb_wrong(r,
			(struct hb_spot){.node = n,
				.child = "split",
				.right = "write split: tiers, or take the tiers out"},
			"%s is given beside tiers", quote(r, n, "split").s);
	for (unsigned i = 0; i < raw->tiers_count; i++, entry = entry->next) {
		struct hb_tier *tier = &t->tier[i];

		tier->count = (uint32_t)hb_take(
			r, entry, "count", &raw->tiers[i].count, 0, 1, UINT32_MAX);
		tier->amount = (uint32_t)hb_take(
			r, entry, "amount", &raw->tiers[i].amount, 0, 1, UINT32_MAX);
		count += tier->count;
		t->total += (uint64_t)tier->count * tier->amount;
	}
	if (count > UINT32_MAX)
		hb_wrong(r, (struct hb_spot){.node = list, .right = "4294967295 are the most"},
			"have %llu envelopes in all", (unsigned long long)count);
	t->split = HB_SPLIT_TIERS;
	t->tiers = (uint8_t)raw->tiers_count;
	t->count = (uint32_t)count;
	check_sum(r, n, "count", raw->count, count);
	check_sum(r, n, "total", raw->total, t->total);
}

static void
take_count_and_total(struct hb_reading *r, const struct hb_node *n,
	const struct hb_raw_envelopes *raw, struct hb_terms *t)
{
	if (raw->split == HB_SPLIT_TIERS)
		hb_wrong(r, (struct hb_spot){.node = n, .child = "tiers"},
			"is missing, where split is tiers");
	else if (raw->count == NULL)
		hb_wrong(r, (struct hb_spot){.node = n, .child = "count"}, "is missing");
	else if (raw->total == NULL)
		hb_wrong(r, (struct hb_spot){.node = n, .child = "total"}, "is missing");
	t->split = raw->split != 0 ? (uint8_t)raw->split : HB_SPLIT_LUCKY;
	t->count = (uint32_t)hb_take(r, n, "count", raw->count, 1, 1, UINT32_MAX);
	t->total = hb_take(r, n, "total", raw->total, 1, 0, UINT64_MAX);
}

/* Where the budget is in a database nothing else is said of it here. */
static void
check_leased(struct hb_reading *r, const struct hb_node *n)
{
	for (const struct hb_node *child = n->first; child != NULL; child = child->next) {
		if (strcmp(child->key, "leased") == 0)
			continue;
		hb_wrong(r,
			(struct hb_spot){.node = n,
				.child = child->key,
				.right = "write envelopes: { leased: true } alone"},
			"is given beside leased");
		return;
	}
}

static void
take_terms(struct hb_reading *r, const struct hb_node *campaign, const struct hb_raw_envelopes *raw,
	struct hb_campaign_config *c)
{
	struct hb_terms *t = &c->terms;
	const struct hb_node *n = hb_node_child(campaign, "envelopes");
	struct hb_error inner;

	if (n == NULL)
		return;
	c->leased = raw->leased != NULL && *raw->leased;
	if (c->leased) {
		check_leased(r, n);
		return;
	}
	if (raw->tiers_count > 0)
		take_tiers(r, n, raw, t);
	else
		take_count_and_total(r, n, raw, t);
	if (r->err != 0)
		return;
	/* The pool has the last word on what it can make. Here only the sum may still be wrong. */
	int rc = hb_terms_check(t, &inner);
	if (rc != 0)
		hb_wrong_because(r,
			(struct hb_spot){.node = n, .child = t->tiers > 0 ? "tiers" : "total"}, -rc,
			&inner);
}

/* ---- bundles ------------------------------------------------------------------------ */

#define BUNDLE_HOURS 24

static void
take_bundle(struct hb_reading *r, const struct hb_node *campaign, const struct hb_raw_bundle *raw,
	struct hb_bundle *b)
{
	const struct hb_node *n = hb_node_child(campaign, "bundle");

	if (n == NULL)
		return;
	b->shares = (uint16_t)hb_take(r, n, "shares", raw->shares, 0, 1, UINT16_MAX);
	b->split = raw->split != 0 ? (uint8_t)raw->split : HB_SPLIT_LUCKY;
	b->hours = (uint8_t)hb_take(r, n, "hours", raw->hours, BUNDLE_HOURS, 1, UINT8_MAX);
	if (r->c->packets == 0 || r->c->packet_shares < b->shares)
		hb_wrong(r,
			(struct hb_spot){.node = n,
				.child = "shares",
				.right = "write larger packets: { open: N, shares: N }"},
			"%u: there is no room for such a packet", b->shares);
}

/* ---- one campaign ------------------------------------------------------------------- */

const struct hb_campaign_config hb_campaign_defaults = {
	.odds = 1,
	.wins_per_user = 1,
	.wait_ms = 1000,
};

static void
take_odds(struct hb_reading *r, const struct hb_node *n, const double *raw, double *odds)
{
	if (raw != NULL)
		*odds = *raw;
	if (!(*odds >= 0.0 && *odds <= 1.0))
		hb_wrong(r, (struct hb_spot){.node = n, .child = "odds"}, "%s is outside 0 to 1",
			quote(r, n, "odds").s);
}

/* The schema has seen to it that the text fits. */
static void
take_text(char *to, size_t size, const char *text)
{
	if (text != NULL)
		snprintf(to, size, "%s", text);
}

static void
take_window(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_campaign *raw,
	struct hb_campaign_config *c)
{
	take_time(r, n, "opens", raw->opens, &c->opens_us);
	take_time(r, n, "closes", raw->closes, &c->closes_us);
	if (c->closes_us <= c->opens_us)
		hb_wrong(r, (struct hb_spot){.node = n, .child = "closes"},
			"%s is not after opens, %s", quote_time(r, n, "closes", c->closes_us).s,
			quote_time(r, n, "opens", c->opens_us).s);
}

static void
take_password(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_campaign *raw,
	struct hb_campaign_config *c)
{
	take_text(c->password, sizeof(c->password), raw->password);
	/* Blanks around an answer don't count, so that one would be won with an empty answer. */
	if (c->password[0] != '\0' && c->password[strspn(c->password, " ")] == '\0')
		hb_wrong(r, (struct hb_spot){.node = n, .child = "password"}, "is all blanks");
	/* From a file that was shown and is now applied: it would be lost. */
	if (strcmp(c->password, HB_PASSWORD_HIDDEN) == 0)
		hb_wrong(r,
			(struct hb_spot){.node = n,
				.child = "password",
				.right = "write the password, or another one"},
			"is " HB_PASSWORD_HIDDEN ", which is shown where there is a secret one");
}

void
hb_take_campaign(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_campaign *raw,
	struct hb_campaign_config *c)
{
	c->id = (uint16_t)hb_take(r, n, "id", raw->id, c->id, 1, HB_CAMPAIGNS_MAX);
	take_text(c->name, sizeof(c->name), raw->name);
	take_window(r, n, raw, c);
	take_terms(r, n, &raw->envelopes, c);
	take_bundle(r, n, &raw->bundle, &c->bundle);
	take_odds(r, n, raw->odds, &c->odds);
	c->release_per_second = (uint32_t)hb_take(r, n, "release_per_second",
		raw->release_per_second, c->release_per_second, 0, UINT32_MAX);
	c->wins_per_user = (uint32_t)hb_take(
		r, n, "wins_per_user", raw->wins_per_user, c->wins_per_user, 1, 8191);
	c->least_interval_ms = (uint32_t)hb_take(r, n, "least_interval", raw->least_interval,
		c->least_interval_ms, 0, HB_LEAST_INTERVAL_MAX_MS);
	c->wait_ms = (uint32_t)hb_take(r, n, "wait", raw->wait, c->wait_ms, 0, UINT32_MAX);
	take_password(r, n, raw, c);
	if (raw->paused != NULL)
		c->paused = *raw->paused;
}

void
hb_take_campaigns(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "campaigns");
	unsigned count = r->raw->campaigns_count;
	uint32_t *line_of = hb_take_memory(r, HB_CAMPAIGNS_MAX + 1, sizeof(*line_of));

	r->c->campaign = hb_take_memory(r, count, sizeof(*r->c->campaign));
	n = n->first;
	for (unsigned i = 0; i < count && r->err == 0; i++, n = n->next) {
		struct hb_campaign_config *c = &r->c->campaign[i];

		*c = hb_campaign_defaults;
		c->slot = i;
		hb_take_campaign(r, n, &r->raw->campaigns[i], c);
		if (line_of[c->id] != 0)
			hb_wrong(r, (struct hb_spot){.node = n, .child = "id"},
				"%u is also the id on line %u", c->id, line_of[c->id]);
		line_of[c->id] = hb_node_child(n, "id")->line;
	}
	r->c->campaigns = count;
	free(line_of);
}
