/* SPDX-License-Identifier: BSD-3-Clause */
#include "fields.h"
#include "sense.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CONFIG(key, member, kind, live)                                                            \
	{                                                                                          \
		key, offsetof(struct hb_config, member), kind, live                                \
	}
#define CAMPAIGN(key, member, kind)                                                                \
	{                                                                                          \
		key, offsetof(struct hb_campaign_config, member), kind, true                       \
	}

/* `keys` is live, since a file that is applied may name another; it can't be set on its own. */
const struct hb_field hb_config_fields[] = {
	CONFIG("host", host, HB_FIELD_U32, false),
	CONFIG("workers", workers, HB_FIELD_U32, false),
	CONFIG("users", users, HB_FIELD_U64, false),
	CONFIG("packets.open", packets, HB_FIELD_U64, false),
	CONFIG("packets.shares", packet_shares, HB_FIELD_U64, false),
	CONFIG("packets.keep", packet_keep_s, HB_FIELD_U32, false),
	CONFIG("journal", journal, HB_FIELD_TEXT, false),
	CONFIG("keys", keys_path, HB_FIELD_TEXT, true),
	CONFIG("clock", clock, HB_FIELD_CLOCK, false),
	CONFIG("seed", seed, HB_FIELD_U64, false),
	CONFIG("control.socket", control.socket, HB_FIELD_TEXT, false),
	CONFIG("control.group", control.group, HB_FIELD_TEXT, false),
	CONFIG("metrics", metrics, HB_FIELD_METRICS, false),
	CONFIG("log.level", log_level, HB_FIELD_LEVEL, true),
	CONFIG("log.file", log_file, HB_FIELD_TEXT, false),
	CONFIG("overload.shed", shed, HB_FIELD_BOOL, true),
	CONFIG("overload.wait", busy_wait_ms, HB_FIELD_U32, true),
	CONFIG("idle", idle_sleep, HB_FIELD_IDLE, true),
	CONFIG("campaign_room", campaign_room, HB_FIELD_U32, false),
	{NULL, 0, 0, false},
};

const struct hb_field hb_campaign_fields[] = {
	CAMPAIGN("name", name, HB_FIELD_TEXT),
	CAMPAIGN("opens", opens_us, HB_FIELD_TIME),
	CAMPAIGN("closes", closes_us, HB_FIELD_TIME),
	CAMPAIGN("odds", odds, HB_FIELD_ODDS),
	CAMPAIGN("release_per_second", release_per_second, HB_FIELD_U32),
	CAMPAIGN("wins_per_user", wins_per_user, HB_FIELD_U32),
	CAMPAIGN("least_interval", least_interval_ms, HB_FIELD_U32),
	CAMPAIGN("wait", wait_ms, HB_FIELD_U32),
	CAMPAIGN("password", password, HB_FIELD_SECRET),
	CAMPAIGN("paused", paused, HB_FIELD_BOOL),
	{NULL, 0, 0, false},
};

/* ---- values ------------------------------------------------------------------------- */

size_t
hb_text_add(char *out, size_t size, size_t used, const char *fmt, ...)
{
	va_list ap;

	if (used >= size)
		return used;
	va_start(ap, fmt);
	int n = vsnprintf(out + used, size - used, fmt, ap);
	va_end(ap);
	return used + (size_t)n;
}

/* The zone that is furthest west, where the year 9999 lasts longest: hb_time_parse() knows no
 * other after it. */
#define WEST_S (14 * 3600 + 59 * 60)
#define YEAR_10000_S 253402300800ull

void
hb_time_text(uint64_t us, char *out, size_t size)
{
	const char *zone = us / 1000000 < YEAR_10000_S ? "Z" : "-14:59";
	time_t t = (time_t)(us / 1000000) - (zone[0] == 'Z' ? 0 : WEST_S);
	char date[40], fraction[16] = "";
	struct tm tm;

	if (t >= (time_t)YEAR_10000_S) {
		snprintf(out, size, "%llu", (unsigned long long)(us / 1000));
		return;
	}
	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	if (us % 1000000 != 0)
		snprintf(fraction, sizeof(fraction), ".%06u", (unsigned)(us % 1000000));
	for (size_t n = strlen(fraction); n > 0 && fraction[n - 1] == '0'; n--)
		fraction[n - 1] = '\0';
	snprintf(out, size, "%s%s%s", date, fraction, zone);
}

/* With as many digits as it takes to read the same number back. */
static void
odds_text(double odds, char *out, size_t size)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, size, "%.*g", digits, odds);
		if (strtod(out, NULL) == odds)
			return;
	}
}

void
hb_field_text(const struct hb_field *f, const void *of, char out[HB_FIELD_BYTES])
{
	const void *at = (const char *)of + f->at;

	switch ((enum hb_field_kind)f->kind) {
	case HB_FIELD_U32:
		snprintf(out, HB_FIELD_BYTES, "%u", *(const uint32_t *)at);
		break;
	case HB_FIELD_U64:
		snprintf(out, HB_FIELD_BYTES, "%llu", (unsigned long long)*(const uint64_t *)at);
		break;
	case HB_FIELD_BOOL:
		snprintf(out, HB_FIELD_BYTES, "%s", *(const bool *)at ? "true" : "false");
		break;
	case HB_FIELD_TIME:
		hb_time_text(*(const uint64_t *)at, out, HB_FIELD_BYTES);
		break;
	case HB_FIELD_ODDS:
		odds_text(*(const double *)at, out, HB_FIELD_BYTES);
		break;
	case HB_FIELD_TEXT:
	case HB_FIELD_SECRET:
		snprintf(out, HB_FIELD_BYTES, "%s", (const char *)at);
		break;
	case HB_FIELD_CLOCK:
		snprintf(out, HB_FIELD_BYTES, "%s",
			*(const enum hb_clock *)at == HB_CLOCK_PACKET ? "packet" : "wall");
		break;
	case HB_FIELD_LEVEL:
		snprintf(out, HB_FIELD_BYTES, "%s", hb_level_name(*(const unsigned *)at));
		break;
	case HB_FIELD_IDLE:
		snprintf(out, HB_FIELD_BYTES, "%s", *(const bool *)at ? "sleep" : "poll");
		break;
	case HB_FIELD_METRICS:
		snprintf(out, HB_FIELD_BYTES, "%s",
			*(const char *)at != '\0' ? (const char *)at : "off");
		break;
	}
}

bool
hb_field_same(const struct hb_field *f, const void *a, const void *b)
{
	static const size_t size[] = {
		[HB_FIELD_U32] = sizeof(uint32_t),
		[HB_FIELD_U64] = sizeof(uint64_t),
		[HB_FIELD_BOOL] = sizeof(bool),
		[HB_FIELD_TIME] = sizeof(uint64_t),
		[HB_FIELD_ODDS] = sizeof(double),
		[HB_FIELD_CLOCK] = sizeof(enum hb_clock),
		[HB_FIELD_LEVEL] = sizeof(unsigned),
		[HB_FIELD_IDLE] = sizeof(bool),
		[HB_FIELD_METRICS] = 0, /* and the other texts */
	};

	a = (const char *)a + f->at;
	b = (const char *)b + f->at;
	return size[f->kind] != 0 ? memcmp(a, b, size[f->kind]) == 0 : strcmp(a, b) == 0;
}

bool
hb_field_quoted(const struct hb_field *f)
{
	return f->kind == HB_FIELD_TEXT || f->kind == HB_FIELD_SECRET || f->kind == HB_FIELD_TIME ||
	       f->kind == HB_FIELD_METRICS;
}

/* ---- lists and mappings ------------------------------------------------------------- */

void
hb_listen_text(const struct hb_listen *l, char *out, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	size_t used = 0;

	if (l->has_ipv4)
		used = hb_text_add(out, size, used, "%s, ",
			inet_ntop(AF_INET, l->ipv4, address, sizeof(address)));
	if (l->has_ipv6)
		used = hb_text_add(out, size, used, "%s, ",
			inet_ntop(AF_INET6, l->ipv6, address, sizeof(address)));
	hb_text_add(out, size, used, "base_port %u", l->base_port);
}

void
hb_slices_text(uint32_t slices, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	if (slices == UINT32_MAX)
		hb_text_add(out, size, 0, "all");
	for (unsigned i = 0; i < 32 && slices != UINT32_MAX; i++) {
		unsigned first = i;

		if ((slices >> i & 1) == 0)
			continue;
		while (i < 31 && (slices >> (i + 1) & 1) != 0)
			i++;
		used = hb_text_add(out, size, used, "%s%u", used > 0 ? ", " : "", first);
		if (i > first)
			used = hb_text_add(out, size, used, "-%u", i);
	}
}

void
hb_terms_text(const struct hb_terms *t, char *out, size_t size)
{
	char count[32], yuan[32];

	if (t->count == 0) {
		snprintf(out, size, "blocks of a shared budget");
		return;
	}
	size_t used = hb_text_add(out, size, 0, "%s envelopes of %s.%02u yuan, %s",
		hb_thousands(t->count, count), hb_thousands(t->total / 100, yuan),
		(unsigned)(t->total % 100), hb_split_name(t->split));

	for (unsigned i = 0; i < t->tiers; i++)
		used = hb_text_add(out, size, used, "%s%u of %u fen", i == 0 ? ": " : ", ",
			t->tier[i].count, t->tier[i].amount);
}

void
hb_bundle_text(const struct hb_bundle *b, char *out, size_t size)
{
	if (b->shares == 0)
		snprintf(out, size, "no bundles");
	else
		snprintf(out, size, "bundles of %u shares, %s, %u hours", b->shares,
			hb_split_name(b->split), b->hours);
}

bool
hb_terms_same(const struct hb_terms *a, const struct hb_terms *b)
{
	return a->total == b->total && a->count == b->count && a->split == b->split &&
	       a->tiers == b->tiers && memcmp(a->tier, b->tier, a->tiers * sizeof(a->tier[0])) == 0;
}
