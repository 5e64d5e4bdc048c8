/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration beside the one in force: what differs and whether it may, keys set one by one,
 * and the whole written back as a file that says the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf(), nftw() */
#endif
#include "hb_change.h"
#include "hb_snapshot.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASED(id) "  - { id: " id ", opens: 0, closes: 9000, envelopes: { leased: true } }\n"

static const char good[] =
	"host: 3\n"
	"listen: { ipv4: 10.0.0.1, ipv6: 2001:db8::1, base_port: 12288 }\n"
	"ports:\n"
	"  - { profile: \"null\", device: net_null0, ipv4: 10.0.0.9 }\n"
	"  - { profile: \"null\", device: net_null1 }\n"
	"workers: 4\n"
	"users: 1000000\n"
	"packets: { open: 50, shares: 500, keep: 60 }\n"
	"journal: journal\n"
	"keys: keys.yaml\n"
	"clock: wall\n"
	"seed: 18446744073709551615\n"
	"deny: [77, 78]\n"
	"slices: [0, 1, 2, 5, 31]\n"
	"control: { socket: c.sock, group: ops, change: [alice, \"@night-shift\"] }\n"
	"metrics: \"[::1]:9180\"\n"
	"log: { level: debug, file: log.txt }\n"
	"overload: { shed: false, wait: 77 }\n"
	"idle: sleep\n"
	"campaign_room: 2\n"
	"campaigns:\n"
	"  - id: 7\n"
	"    name: \"say \\\"春晚\\\" # it's: \\\\ {gala}\"\n"
	"    opens: \"2015-02-18T22:30:00+08:00\"\n"
	"    closes: \"2015-02-18T22:30:00.000125Z\"\n"
	"    envelopes: { count: 120000, total: 60000000, split: equal }\n"
	"    bundle: { shares: 5, split: equal, hours: 3 }\n"
	"    odds: 0.1234567890123456789\n"
	"    release_per_second: 45000\n"
	"    wins_per_user: 8191\n"
	"    least_interval: 500\n"
	"    wait: 2000\n"
	"    password: \" \\x85\\u2028\\uFEFF'\\\"\\\\~ 我: #\\U0001F9E7 \"\n"
	"    paused: true\n"
	"  - id: 8\n"
	"    opens: 1000\n"
	"    closes: \"9999-12-31T23:59:59.999999-14:59\"\n"
	"    envelopes: { tiers: [{ count: 3, amount: 500 }, { count: 1, amount: 200 }] }\n"
	"    odds: 0\n";

#define KEY_0 "00010203040506070809101112131415"
#define KEY_1 "abcdefABCDEF00112233445566778899"
#define KEY_2 "1e1112131415161718192021222324e5"

/* ---- a directory to try things in --------------------------------------------------- */

static char dir[64] = "/tmp/hb-change-XXXXXX";
static char file[PATH_MAX];

static const char *
in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void
put(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static char *
get(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (f == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(getdelim(&text, &room, '\0', f) > 0);
	fclose(f);
	return text;
}

static int
begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0 || hb_wire_init() != 0)
		return -1;
	snprintf(file, sizeof(file), "%s/a.yaml", dir);
	put(in_dir("keys.yaml"), "epochs: { 0: " KEY_0 ", 1: " KEY_1 " }\n", 0600);
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
end(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- helpers ------------------------------------------------------------------------ */

static struct hb_config *
parse(const char *text)
{
	struct hb_config *c = NULL;
	struct hb_error e = {""};

	if (hb_config_parse(&c, text, strlen(text), file, &e) != 0)
		fail_msg("%s\n%s", e.text, text);
	return c;
}

/* The good file with the first `from` turned into `to`. */
static struct hb_config *
parse_changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text;

	if (at == NULL)
		fail_msg("the good file has no \"%s\"", from);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) > 0);
	struct hb_config *c = parse(text);
	free(text);
	return c;
}

static void
must_set(struct hb_config *c, uint16_t campaign, const char *key, const char *value)
{
	struct hb_error e = {""};

	if (hb_config_set(c, campaign, key, value, &e) != 0)
		fail_msg("%s: %s", key, e.text);
}

/* One line: what, why; the remedy. */
static void
check_line(const struct hb_error *e, const char *with)
{
	if (strstr(e->text, with) == NULL)
		fail_msg("want ...%s...\n got %s", with, e->text);
	if (strchr(e->text, '\n') != NULL || strstr(e->text, ": ") == NULL ||
		strstr(e->text, "; ") == NULL)
		fail_msg("no line for people: %s", e->text);
}

static void
expect_no_difference(const struct hb_config *now, struct hb_config *next)
{
	struct hb_changes changes = {0};
	struct hb_error e = {""};

	if (hb_config_compare(now, next, &changes, &e) != 0)
		fail_msg("%s", e.text);
	if (changes.count != 0)
		fail_msg("%s: %s, then %s", changes.of[0].key, changes.of[0].before,
			changes.of[0].after);
	hb_changes_free(&changes);
}

/* Exactly one difference. */
static void
expect_change(const struct hb_config *now, struct hb_config *next, const char *key,
	const char *before, const char *after)
{
	struct hb_changes changes = {0};
	struct hb_error e = {""};

	if (hb_config_compare(now, next, &changes, &e) != 0)
		fail_msg("%s: %s", key, e.text);
	if (changes.count != 1)
		fail_msg("%s: %u changes, the first is %s", key, changes.count,
			changes.count > 0 ? changes.of[0].key : "none");
	assert_string_equal(changes.of[0].key, key);
	assert_string_equal(changes.of[0].before, before);
	assert_string_equal(changes.of[0].after, after);
	hb_changes_free(&changes);
}

static void
expect_refusal(const struct hb_config *now, struct hb_config *next, int err, const char *with)
{
	struct hb_changes changes = {0};
	struct hb_error e = {"nothing was said"};
	int rc = hb_config_compare(now, next, &changes, &e);

	if (rc != err)
		fail_msg("%d where %d is right, for %s: %s", rc, err, with, e.text);
	check_line(&e, with);
	hb_changes_free(&changes);
}

/* ---- comparing ---------------------------------------------------------------------- */

/* Every key that may change: in a file, and what is told of it. */
static void
live_keys_in_a_file(void **state)
{
	static const char *const live[][5] = {
		{"77, 78]", "78, 79, 78]", "deny", "2 barred", "-77 +79"},
		{"deny: [77, 78]\n", "", "deny", "2 barred", "-77 -78"},
		{"0, 1, 2, 5, 31]", "31, 0]", "slices", "0-2, 5, 31", "0, 31"},
		{"slices: [0, 1, 2, 5, 31]\n", "", "slices", "0-2, 5, 31", "all"},
		{"level: debug", "level: error", "log.level", "debug", "error"},
		{"shed: false, ", "", "overload.shed", "false", "true"},
		{"wait: 77", "wait: 0", "overload.wait", "77", "0"},
		{"idle: sleep\n", "", "idle", "sleep", "poll"},
		{"odds: 0\n", "odds: 1.7e-2\n", "campaign 8 odds", "0", "0.017"},
		{"say \\\"春晚\\\"", "hear", "campaign 7 name", "say \"春晚\" # it's: \\ {gala}",
			"hear # it's: \\ {gala}"},
		{"22:30:00+08:00", "22:30:00.5+08:00", "campaign 7 opens", "2015-02-18T14:30:00Z",
			"2015-02-18T14:30:00.5Z"},
		{"00.000125Z", "01Z", "campaign 7 closes", "2015-02-18T22:30:00.000125Z",
			"2015-02-18T22:30:01Z"},
		{"    release_per_second: 45000\n", "", "campaign 7 release_per_second", "45000",
			"0"},
		{"8191", "1", "campaign 7 wins_per_user", "8191", "1"},
		{"500\n", "0\n", "campaign 7 least_interval", "500", "0"},
		{"wait: 2000", "wait: 1", "campaign 7 wait", "2000", "1"},
		{"我", "你", "campaign 7 password", "a secret", "another"},
		{"paused: true", "paused: false", "campaign 7 paused", "true", "false"},
	};
	struct hb_config *now = parse(good);

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(live); i++) {
		struct hb_config *next = parse_changed(live[i][0], live[i][1]);

		expect_change(now, next, live[i][2], live[i][3], live[i][4]);
		hb_config_free(next);
	}
	struct hb_config *same = parse_changed("77, 78", "78, 77, 77");
	expect_no_difference(now, same);
	hb_config_free(same);
	hb_config_free(now);
}

static void
fixed_keys_in_a_file(void **state)
{
	static const char *const fixed[][3] = {
		{"host: 3", "host: 4",
			"host: cannot change while hongbaod runs, from 3 to 4; rest"},
		{"ipv4: 10.0.0.1,", "ipv4: 10.0.0.2,", "listen: cannot change"},
		{"12288", "8192", "base_port 12288 to 10.0.0.1, 2001:db8::1, base_port 8192"},
		{"ipv4: 10.0.0.9", "ipv4: 10.0.0.8", "ports[0]: cannot change"},
		{"device: net_null1", "device: net_null2", "from net_null1 to net_null2"},
		{"{ profile: \"null\", device: net_null1 }", "{ profile: ring, device: net_null1 }",
			"ports[1]: cannot change while hongbaod runs, from null to ring"},
		{"  - { profile: \"null\", device: net_null1 }\n", "", "ports: cannot change"},
		{"workers: 4", "workers: 5", "workers: cannot change while hongbaod runs, from 4"},
		{"users: 1000000", "users: 1", "users: cannot change"},
		{"open: 50", "open: 51",
			"packets.open: cannot change while hongbaod runs, from 50"},
		{"shares: 500,", "", "packets.shares: cannot change"},
		{"keep: 60", "keep: 61", "packets.keep: cannot change"},
		{"    bundle: { shares: 5, split: equal, hours: 3 }\n", "",
			"campaign 7 bundle: cannot change while hongbaod runs, from bundles of 5 "
			"shares, "
			"equal, 3 hours to no bundles"},
		{"shares: 5, split", "shares: 6, split", "campaign 7 bundle: cannot change"},
		{"journal: journal", "journal: other", "journal: cannot change"},
		{"clock: wall", "clock: packet", "clock: cannot change"},
		{"seed: 18446744073709551615\n", "", "from 18446744073709551615 to 0"},
		{"c.sock", "d.sock", "control.socket: cannot change"},
		{"group: ops, ", "",
			"control.group: cannot change while hongbaod runs, from ops "
			"to nothing"},
		{"alice, ", "", "control.change: cannot change"},
		{"[::1]:9180", "off",
			"metrics: cannot change while hongbaod runs, from [::1]:9180 "
			"to off"},
		{"log.txt", "log2.txt", "log.file: cannot change"},
		{"campaign_room: 2", "campaign_room: 3", "campaign_room: cannot change"},
		{"count: 120000", "count: 120001",
			"campaign 7 envelopes: 120,000 envelopes of "
			"600,000.00 yuan, equal cannot become"},
		{"total: 60000000", "total: 60000001", "hongbaoctl top-up 7 count=N total=FEN"},
		{"split: equal", "split: lucky", "campaign 7 envelopes"},
		{"count: 120000, total: 60000000, split: equal", "leased: true",
			"equal cannot become blocks of a shared budget"},
		{"campaigns:\n", "campaigns:\n" LEASED("9"),
			"campaign 9: envelopes are leased, and such a campaign cannot be added"},
		{"count: 3, amount: 500", "count: 5, amount: 300", "campaign 8 envelopes"},
		{"    odds: 0\n", "    odds: 0\n    password: x\n", "campaign 8 is shaken and"},
		{"password: \"", "password: \"\" #",
			"campaign 7 is answered and cannot become "
			"shaken"},
		{"id: 8", "id: 9",
			"campaign 8: is missing, but cannot be taken away while "
			"hongbaod runs; close it instead: hongbaoctl campaign close 8"},
	};
	struct hb_config *now = parse(good);

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(fixed); i++) {
		struct hb_config *next = parse_changed(fixed[i][0], fixed[i][1]);

		expect_refusal(now, next, -EPERM, fixed[i][2]);
		hb_config_free(next);
	}
	hb_config_free(now);
}

/* Everything at once, and nothing that is secret. */
static void
many_changes(void **state)
{
	struct hb_config *now = parse(good), *next = hb_config_copy(now);
	static const char *const keys[] = {"closes", "opens", "password"};
	static const char *const values[] = {
		"2031-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "sesame"};
	struct hb_changes changes = {0};
	struct hb_error e;
	char list[5000], *p = list;

	(void)state;
	assert_int_equal(hb_config_set_keys(next, 7, keys, values, 3, &e), 0);
	p += sprintf(p, "1");
	for (unsigned i = 2; i < 1000; i++)
		p += sprintf(p, ",%u", i);
	must_set(next, 0, "deny", list);
	must_set(next, 0, "slices", "0-1" + 2); /* 1 */
	assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
	assert_int_equal(changes.count, 5);
	assert_string_equal(changes.of[0].key, "slices");
	assert_string_equal(changes.of[1].key, "deny");
	/* 997 come, since two were there: as many as there is room for, and a count of the rest. */
	assert_non_null(strstr(changes.of[1].after, "+1 +2 +3 "));
	assert_non_null(strstr(changes.of[1].after, " more"));
	unsigned more = (unsigned)atoi(strstr(changes.of[1].after, " and ") + 5), told = 0;
	for (p = changes.of[1].after; *p != '\0'; p++)
		told += *p == '+';
	assert_int_equal(told + more, 997);
	for (unsigned i = 0; i < changes.count; i++) {
		assert_null(strstr(changes.of[i].before, "我"));
		assert_null(strstr(changes.of[i].after, "sesame"));
	}
	hb_changes_free(&changes);
	assert_null(changes.of);
	hb_config_free(next);
	hb_config_free(now);
}

static void
long_texts_are_shortened(void **state)
{
	struct hb_changes changes = {0};
	char text[1000];

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "我", 4);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(hb_changes_add(&changes, text, text + i * 3, ""), 0);
	assert_int_equal(changes.count, 100);
	assert_in_range(strlen(changes.of[99].key), 80, sizeof(changes.of[0].key) - 1);
	assert_in_range(strlen(changes.of[99].before), 140, sizeof(changes.of[0].before) - 1);
	assert_non_null(strstr(changes.of[99].key, "我...我"));
	hb_changes_free(&changes);
}

/* ---- slots -------------------------------------------------------------------------- */

static const struct hb_campaign_config *
campaign_of(const struct hb_config *c, uint16_t id)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id == id)
			return &c->campaign[i];
	}
	fail_msg("there is no campaign %u", id);
	return NULL;
}

#define CAMPAIGN(id)                                                                               \
	"  - { id: " id ", opens: 0, closes: 9000, envelopes: { count: 2, total: 9 } }\n"

/* Campaigns that come in another order keep their slots; new ones get the free ones, and no more
 * than there are, however often it is changed. */
static void
slots_stay(void **state)
{
	struct hb_config *now = parse(good), *next;
	struct hb_changes changes = {0};
	struct hb_error e;

	(void)state;
	assert_int_equal(now->slots, 4);
	now->campaign[0].terms.seed = 4711;
	next = parse_changed("campaigns:\n", "campaigns:\n" CAMPAIGN("9"));
	assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
	assert_int_equal(changes.count, 1);
	assert_string_equal(changes.of[0].key, "campaign 9");
	assert_string_equal(changes.of[0].before, "");
	assert_string_equal(changes.of[0].after,
		"added: 2 envelopes of 0.09 yuan, lucky, 1970-01-01T00:00:00Z to "
		"1970-01-01T00:00:09Z");
	assert_int_equal(next->campaign[0].id, 9);
	assert_int_equal(campaign_of(next, 7)->slot, 0);
	assert_int_equal(campaign_of(next, 8)->slot, 1);
	assert_int_equal(campaign_of(next, 9)->slot, 2);
	assert_int_equal(next->slots, 4);
	assert_int_equal(campaign_of(next, 7)->terms.seed, 4711);
	hb_changes_free(&changes);
	hb_config_free(now);

	now = next;
	next = parse_changed("campaigns:\n", "campaigns:\n" CAMPAIGN("10") CAMPAIGN("9"));
	assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
	assert_int_equal(campaign_of(next, 7)->slot, 0);
	assert_int_equal(campaign_of(next, 9)->slot, 2);
	assert_int_equal(campaign_of(next, 10)->slot, 3);
	hb_changes_free(&changes);
	hb_config_free(now);

	/* The snapshot finds the state by the slot, whatever the order. */
	struct hb_snapshot *s = hb_snapshot_make(next);
	assert_int_equal(hb_snapshot_campaign(s, 10)->slot, 3);
	assert_int_equal(hb_snapshot_campaign(s, 8)->slot, 1);
	hb_snapshot_free(s);

	now = next;
	next = parse_changed(
		"campaigns:\n", "campaigns:\n" CAMPAIGN("11") CAMPAIGN("10") CAMPAIGN("9"));
	expect_refusal(now, next, -ENOSPC,
		"campaign 11: all 4 slots have their campaign (campaign_room was 2 at the start); "
		"restart");
	/* A gap, as a campaign leaves that could not be funded after all: it is filled. */
	assert_int_equal(now->campaign[1].id, 9);
	now->campaign[1] = now->campaign[--now->campaigns];
	assert_int_equal(hb_config_set(next, 11, "wait", "1", &e), 0);
	next->campaign[2] = next->campaign[--next->campaigns];
	assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
	assert_int_equal(campaign_of(next, 11)->slot, 2);
	assert_int_equal(campaign_of(next, 10)->slot, 3);
	hb_changes_free(&changes);
	hb_config_free(next);
	hb_config_free(now);
}

static void
add_campaigns(void **state)
{
	static const char *const keys[] = {
		"id", "opens", "closes", "count", "total", "split", "odds", "name"};
	const char *values[] = {"9", "now", "+10m", "1000", "5000", "equal", "0.5", "{a: *b}"};
	static const char *const tier_keys[] = {"id", "opens", "closes", "tiers"};
	static const char *const tier_values[] = {
		"10", "2030-01-01T00:00:00Z", "+100d", "[{ count: 2, amount: 3 }]"};
	struct hb_config *c = parse(good), *next = hb_config_copy(c);
	struct hb_error e = {""};

	(void)state;
	uint64_t before = hb_wall_us();
	assert_int_equal(hb_config_add(next, keys, values, 8, &e), 0);
	const struct hb_campaign_config *added = &next->campaign[2];
	assert_int_equal(next->campaigns, 3);
	assert_int_equal(added->id, 9);
	assert_int_equal(added->slot, 2);
	assert_in_range(added->opens_us, before, before + 60000000);
	assert_in_range(added->closes_us - added->opens_us, 600000000, 660000000);
	assert_int_equal(added->terms.count, 1000);
	assert_int_equal(added->terms.split, HB_SPLIT_EQUAL);
	assert_true(added->odds == 0.5);
	assert_int_equal(added->wins_per_user, 1);
	assert_int_equal(added->wait_ms, 1000);
	assert_string_equal(added->name, "{a: *b}");
	assert_int_equal(hb_config_add(next, keys, values, 8, &e), -EEXIST);
	check_line(&e, "campaign 9: is there already; choose");
	assert_int_equal(hb_config_add(next, tier_keys, tier_values, 4, &e), -EINVAL);
	check_line(&e, "new campaign: closes: +100d is not after opens, 2030");
	static const char *const tier_good[] = {
		"10", "2030-01-01T00:00:00Z", "1999999999999", "[{ count: 2, amount: 3 }]"};
	if (hb_config_add(next, tier_keys, tier_good, 4, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(next->campaign[3].slot, 3);
	assert_int_equal(next->campaign[3].terms.total, 6);
	assert_int_equal(next->campaign[3].terms.tiers, 1);
	values[0] = "11";
	assert_int_equal(hb_config_add(next, keys, values, 8, &e), -ENOSPC);
	check_line(&e, "all 4 slots");
	assert_int_equal(next->campaigns, 4);
	/* An earlier one can be gone back to: the new ones stay. */
	struct hb_config *undo = hb_config_copy(c);
	assert_int_equal(hb_config_keep_campaigns(undo, next, &e), 0);
	expect_no_difference(next, undo);
	assert_int_equal(undo->campaigns, 4);
	hb_config_free(undo);
	hb_config_free(next);
	hb_config_free(c);
}

static void
campaigns_that_cannot_be_added(void **state)
{
	static const struct {
		const char *key, *value, *with;
	} bad[] = {
		{"id", NULL, "new campaign: id: is missing; write a number from 1 to 65535"},
		{"id", "0", "new campaign: id: 0 is outside 1 to 65535; write"},
		{"opens", NULL, "new campaign: opens: is missing; write a time"},
		{"count", NULL, "new campaign: envelopes.count: is missing; write how many"},
		{"total", "3",
			"new campaign: envelopes.total: total 3 fen is below 1 fen for each of 4"},
		{"split", "tiers", "new campaign: envelopes.tiers: is missing, where"},
		{"split", "Equal", "Equal is not known here; write one of: equal, lucky, tiers"},
		{"colour", "red", "new campaign: colour: is not a key here; known here: id"},
		{"oods", "1", "new campaign: oods: is not a key here; did you mean odds?"},
		{"tiers", "[{ count: 1 }]", "envelopes.tiers[0].amount: is missing"},
		{"tiers", "[{ count: 1,", "new campaign: tiers: is not a list; write"},
		{"envelopes", "x", "new campaign: envelopes: is"},
	};
	struct hb_config *c = parse(good);
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		const char *keys[6] = {"id", "opens", "closes", "count", "total"};
		const char *values[6] = {"9", "0", "1", "4", "5"};
		unsigned n = 5, k = 0;

		while (k < n && strcmp(keys[k], bad[i].key) != 0)
			k++;
		keys[k] = bad[i].key;
		values[k] = bad[i].value;
		n += k == n;
		if (bad[i].value == NULL) {
			keys[k] = keys[n - 1];
			values[k] = values[n - 1];
			n--;
		}
		if (hb_config_add(c, keys, values, n, &e) != -EINVAL)
			fail_msg("was taken: %s", bad[i].with);
		check_line(&e, bad[i].with);
		assert_int_equal(c->campaigns, 2);
	}
	hb_config_free(c);
}

/* ---- single keys -------------------------------------------------------------------- */

static void
live_keys_one_by_one(void **state)
{
	static const struct {
		uint16_t campaign;
		const char *key, *value, *told, *before, *after;
	} live[] = {
		{0, "deny", "[77, 79]", "deny", "2 barred", "-78 +79"},
		{0, "deny", "77", "deny", "2 barred", "-78"},
		{0, "deny", "18446744073709551615, 77,78", "deny", "2 barred",
			"+18446744073709551615"},
		{0, "deny", "", "deny", "2 barred", "-77 -78"},
		{0, "slices", "[3]", "slices", "0-2, 5, 31", "3"},
		{0, "log.level", "warning", "log.level", "debug", "warning"},
		{0, "overload.shed", "true", "overload.shed", "false", "true"},
		{0, "overload.wait", "4294967295", "overload.wait", "77", "4294967295"},
		{0, "idle", "poll", "idle", "sleep", "poll"},
		{8, "name", "# no: \"comment\\", "campaign 8 name", "", "# no: \"comment\\"},
		{7, "name", "", "campaign 7 name", "say \"春晚\" # it's: \\ {gala}", ""},
		{7, "opens", "0", "campaign 7 opens", "2015-02-18T14:30:00Z",
			"1970-01-01T00:00:00Z"},
		{7, "closes", "1500000000001", "campaign 7 closes", "2015-02-18T22:30:00.000125Z",
			"2017-07-14T02:40:00.001Z"},
		{8, "odds", "1e-3", "campaign 8 odds", "0", "0.001"},
		{7, "release_per_second", "0", "campaign 7 release_per_second", "45000", "0"},
		{7, "wins_per_user", "2", "campaign 7 wins_per_user", "8191", "2"},
		{7, "least_interval", "604800000", "campaign 7 least_interval", "500", "604800000"},
		{7, "wait", "0", "campaign 7 wait", "2000", "0"},
		{7, "password", "*x \xe2\x80\xa8 & [", "campaign 7 password", "a secret",
			"another"},
		{7, "paused", "false", "campaign 7 paused", "true", "false"},
	};
	struct hb_config *now = parse(good);

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(live); i++) {
		struct hb_config *next = hb_config_copy(now);

		must_set(next, live[i].campaign, live[i].key, live[i].value);
		expect_change(now, next, live[i].told, live[i].before, live[i].after);
		if (strcmp(live[i].key, "password") == 0)
			assert_string_equal(next->campaign[0].password, live[i].value);
		hb_config_free(next);
	}
	hb_config_free(now);
}

static void
keys_that_cannot_be_set(void **state)
{
	static const struct {
		uint16_t campaign;
		int err;
		const char *key, *value, *with;
	} bad[] = {
		{0, -EPERM, "host", "3", "host: cannot change while hongbaod runs; change it in"},
		{0, -EPERM, "listen", "x", "listen: cannot change"},
		{0, -EPERM, "listen.ipv4", "10.0.0.2", "listen.ipv4: cannot change"},
		{0, -EPERM, "ports", "[]", "ports: cannot change"},
		{0, -EPERM, "workers", "5", "workers: cannot change"},
		{0, -EPERM, "users", "5", "users: cannot change"},
		{0, -EPERM, "packets", "x", "packets: cannot change"},
		{0, -EPERM, "packets.open", "5", "packets.open: cannot change"},
		{7, -EPERM, "bundle", "x", "bundle: cannot change"},
		{7, -EPERM, "bundle.shares", "5", "bundle.shares: cannot change"},
		{0, -EPERM, "journal", "x", "journal: cannot change"},
		{0, -EPERM, "keys", "x",
			"keys: cannot change while hongbaod runs; use: hongbaoctl"},
		{0, -EPERM, "clock", "packet", "clock: cannot change"},
		{0, -EPERM, "seed", "5", "seed: cannot change"},
		{0, -EPERM, "control.socket", "x", "control.socket: cannot change"},
		{0, -EPERM, "control.group", "x", "control.group: cannot change"},
		{0, -EPERM, "control.change", "[x]", "control.change: cannot change"},
		{0, -EPERM, "metrics", "off", "metrics: cannot change"},
		{0, -EPERM, "log.file", "x", "log.file: cannot change"},
		{0, -EPERM, "campaign_room", "5", "campaign_room: cannot change"},
		{0, -EPERM, "campaigns", "[]", "campaigns: cannot change"},
		{7, -EPERM, "id", "9", "campaign 7: id: cannot change"},
		{7, -EPERM, "count", "9", "count: cannot change while hongbaod runs; to add money"},
		{7, -EPERM, "envelopes", "x", "hongbaoctl top-up"},
		{7, -EPERM, "envelopes.total", "9", "hongbaoctl top-up"},
		{7, -EPERM, "tiers", "[]", "hongbaoctl top-up"},
		{9, -ENOENT, "odds", "1", "campaign 9: there is none; see"},
		{7, -EINVAL, "odds", "1.7",
			"campaign 7: odds: 1.7 is outside 0 to 1; write the prob"},
		{7, -EINVAL, "odds", "half", "campaign 7: odds: half is not a number; write"},
		{7, -EINVAL, "odds", "", "campaign 7: odds: is not a number; write"},
		{7, -EINVAL, "oods", "1",
			"campaign 7: oods: is not a key here; did you mean odds?"},
		{7, -EINVAL, "a\nb: c", "1", "campaign 7"},
		{7, -EINVAL, "log.level", "info", "campaign 7: log: is not a key here"},
		{7, -EINVAL, "closes", "0",
			"campaign 7: closes: 0 is not after opens, 2015-02-18T14"},
		{7, -EINVAL, "opens", "+1d",
			"campaign 7: closes: 2015-02-18T22:30:00.000125Z is not"},
		{7, -EINVAL, "closes", "tomorrow",
			"closes: tomorrow is not a time with a zone; write "
			"a time with its zone, e.g. "},
		{7, -EINVAL, "closes", "+10", "+10 is not a time"},
		{7, -EINVAL, "closes", "+10y", "+10y is not a time"},
		{7, -EINVAL, "closes", "+99999d", "+99999d is not a time"},
		{7, -EINVAL, "closes", "+m", "+m is not a time"},
		{7, -EINVAL, "wins_per_user", "8192", "8192 is outside 1 to 8191"},
		{7, -EINVAL, "least_interval", "-1", "-1 is negative"},
		{7, -EINVAL, "paused", "yes", "yes is neither true nor false"},
		{7, -EINVAL, "password", "   ", "password: is all blanks"},
		{7, -EINVAL, "password", "***", "password: is ***, which is shown"},
		{7, -EINVAL, "name", "a\nb",
			"name: holds a line break or another control character"},
		{7, -EINVAL, "name", "\xff", "is not UTF-8 text"},
		{7, -EINVAL, "name", "\xed\xa0\x80", "is not UTF-8 text"},
		{7, -EINVAL, "name", "\xc0\x80", "is not UTF-8 text"},
		{7, -EINVAL, "name", NULL, "campaign 7: name: has no value; write KEY=VALUE"},
		{0, -EINVAL, "log.level", "loud",
			"log.level: loud is not known here; write one of: error, warning, info"},
		{0, -EINVAL, "log.levl", "info",
			"log.levl: is not a key here; did you mean level?"},
		{0, -EINVAL, "log", "info", "log: is a single value where a mapping of keys"},
		{0, -EINVAL, "idle", "", "idle: "},
		{0, -EINVAL, "overload.wait", "1.5", "overload.wait: 1.5 has a fraction; write"},
		{0, -EINVAL, "deny", "[0]", "deny[0]: 0 is no user; write a list"},
		{0, -EINVAL, "deny", "[1", "deny: is not a list; write"},
		{0, -EINVAL, "deny", "[1], odds: 1", "deny: is not a list; write"},
		{0, -EINVAL, "deny", "[&a 1, *a]", "deny: is not a list"},
		{0, -EINVAL, "deny", "[[[[[[1]]]]]]", "deny: is not a list"},
		{0, -EINVAL, "deny", "[1]\n---\n[2]", "deny: is not a list"},
		{0, -EINVAL, "deny", "alice", "deny[0]: alice is not a whole number"},
		{0, -EINVAL, "slices", "[1, 1]", "slices[1]: 1 is given twice; write numbers"},
		{0, -EINVAL, "slices", "32", "slices[0]: 32 is outside 0 to 31"},
		{0, -EINVAL, "slices", "", "slices: has 0 entries, where 1 to 32 belong"},
	};
	struct hb_config *now = parse(good), *next = hb_config_copy(now);
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		memset(&e, 0, sizeof(e));
		int rc = hb_config_set(next, bad[i].campaign, bad[i].key, bad[i].value, &e);

		if (rc != bad[i].err)
			fail_msg("%s=%s: %d, %s", bad[i].key, bad[i].value, rc, e.text);
		check_line(&e, bad[i].with);
		/* Nothing of it stays. */
		expect_no_difference(now, next);
	}
	hb_config_free(next);
	next = parse_changed("clock: wall", "clock: packet");
	assert_int_equal(hb_config_set(next, 7, "closes", "now", &e), -EINVAL);
	check_line(&e, "now is relative to the host's time, but clock is packet; write the time");
	hb_config_free(next);
	hb_config_free(now);
}

/* ---- keys --------------------------------------------------------------------------- */

static void
epochs_come_and_go(void **state)
{
	struct hb_config *now = parse(good), *next = hb_config_copy(now);
	struct hb_error e;

	(void)state;
	assert_int_equal(hb_config_key_add(next, 1, &e), -EEXIST);
	check_line(&e, "key epoch 1: is held already");
	assert_int_equal(hb_config_key_add(next, 2, &e), -ENOSPC);
	check_line(&e, "key epoch 2: 2 keys are held, which are the most; retire one first");
	assert_int_equal(hb_config_key_add(next, 256, &e), -EINVAL);
	assert_int_equal(hb_config_key_retire(next, 2, &e), -ENOENT);
	check_line(&e, "key epoch 2: is not held");
	assert_int_equal(hb_config_key_retire(next, 256, &e), -ENOENT);
	assert_int_equal(hb_config_key_retire(next, 0, &e), 0);
	assert_false(next->keys.epoch_held[0]);
	assert_int_equal(next->keys.epoch_key[0][1], 0);
	expect_change(now, next, "key epoch 0", "held", "");
	assert_int_equal(hb_config_key_retire(next, 1, &e), -EPERM);
	check_line(&e, "key epoch 1: is the only key");
	assert_int_equal(hb_config_key_add(next, 2, &e), -ENOENT);
	check_line(&e, "/keys.yaml has no such key; write it under epochs");
	put(in_dir("keys.yaml"), "epochs: { 2: " KEY_2 ", 1: " KEY_0 " }\n", 0600);
	assert_int_equal(hb_config_key_add(next, 2, &e), 0);
	assert_true(next->keys.epoch_held[2] && next->keys.epoch_key[2][15] == 0xe5);
	/* The other one stays as it was, whatever the file says of it by now. */
	assert_int_equal(next->keys.epoch_key[1][0], 0xab);
	hb_config_free(next);
	/* A reload takes the file's. */
	next = parse(good);
	struct hb_changes changes = {0};
	assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
	assert_int_equal(changes.count, 3);
	assert_string_equal(changes.of[0].key, "key epoch 0");
	assert_string_equal(changes.of[1].key, "key epoch 1");
	assert_string_equal(changes.of[1].after, "another");
	assert_string_equal(changes.of[2].key, "key epoch 2");
	assert_string_equal(changes.of[2].before, "");
	hb_changes_free(&changes);
	put(in_dir("keys.yaml"), "epochs: { 0: " KEY_0 " }\n", 0644);
	assert_int_equal(hb_config_key_retire(next, 1, &e), 0);
	assert_int_equal(hb_config_key_add(next, 0, &e), -EPERM);
	check_line(&e, "has mode 0644");
	put(in_dir("keys.yaml"), "epochs: { 0: " KEY_0 ", 1: " KEY_1 " }\n", 0600);
	hb_config_free(next);
	hb_config_free(now);
}

/* ---- as a file ---------------------------------------------------------------------- */

/* Writes it, reads it: both ways there is no difference, and written again it is the same text. */
static void
round_trip(struct hb_config *c)
{
	char *text = hb_config_text(c, true), *again;

	assert_non_null(text);
	struct hb_config *read = parse(text);
	assert_int_equal(read->metrics_given, c->metrics_given);
	again = hb_config_text(read, true);
	assert_string_equal(text, again);
	struct hb_config *copy = hb_config_copy(c);
	expect_no_difference(c, read);
	expect_no_difference(read, copy);
	hb_config_free(copy);
	hb_config_free(read);
	free(again);
	free(text);
}

static void
files_say_the_same(void **state)
{
	static const char *const change[][2] = {
		{"host: 3", "host: 0"},
		{"control: { socket: c.sock, group: ops, change: [alice, \"@night-shift\"] }\n",
			""},
		{"socket: c.sock, group: ops, ", ""},
		{"[::1]:9180", "off"},
		{"metrics: \"[::1]:9180\"\n", ""},
		{", file: log.txt", ""},
		{"slices: [0, 1, 2, 5, 31]\n", ""},
		{"deny: [77, 78]\n", ""},
		{"password: \"", "password: \"\" #"},
		{"ipv4: 10.0.0.1, ", ""},
		{"journal: journal", "journal: \"a b: # '\\\"c\""},
		{"\"9999-12-31T23:59:59.999999-14:59\"", "18446744073709551"},
		{"\"9999-12-31T23:59:59.999999-14:59\"", "253402300800000"},
		{"0.1234567890123456789", "1e-300"},
		{"0.1234567890123456789", "-0"},
		{"campaign_room: 2", "campaign_room: 65535"},
	};

	(void)state;
	struct hb_config *c = parse(good);
	assert_int_equal(strlen(c->campaign[0].password), 25);
	round_trip(c);
	hb_config_free(c);
	for (unsigned i = 0; i < HB_COUNT_OF(change); i++) {
		/* listen's only address, where it is the other one, must stay */
		c = strncmp(change[i][0], "ipv4", 4) == 0
			    ? parse_changed("ipv4: 10.0.0.1, ", "")
			    : parse_changed(change[i][0], change[i][1]);
		round_trip(c);
		hb_config_free(c);
	}
}

/* Random keys with random values of random characters, thousands of them one after the other. */
/* One of a shared budget says no more than that. */
static void
leased_campaigns_stay_leased(void **state)
{
	struct hb_config *now = parse_changed("campaigns:\n", "campaigns:\n" LEASED("9")), *next;

	(void)state;
	assert_true(campaign_of(now, 9)->leased);
	assert_false(campaign_of(now, 7)->leased);
	assert_int_equal(campaign_of(now, 9)->terms.count, 0);
	round_trip(now);
	next = parse_changed("campaigns:\n", "campaigns:\n" LEASED("9"));
	expect_no_difference(now, next);
	hb_config_free(next);
	next = parse_changed("campaigns:\n", "campaigns:\n" CAMPAIGN("9"));
	expect_refusal(now, next, -EPERM, "blocks of a shared budget cannot become 2 envelopes");
	hb_config_free(next);
	hb_config_free(now);
}

static void
random_edits(void **state)
{
	static const char *const piece[] = {"a", " ", "\"", "'", "\\", "#", ": ", "- ", "{", "}",
		"[", "]", ",", "&a", "*a", "!", "|", ">", "%", "@", "`", "~", "null", "true",
		"\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "我", "\xf0\x9f\xa7\xa7", "=", "\\n",
		"0", "1.5", "\xc2\x81", "---", "?"};
	static const char *const text_key[] = {"name", "password"};
	static const char *const number_key[] = {"release_per_second", "wins_per_user",
		"least_interval", "wait", "closes", "opens", "odds"};
	struct hb_config *c = parse(good);
	uint64_t random = 2015;
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		uint64_t r = hb_splitmix64(&random);
		const char *key;
		char value[256] = "";
		struct hb_error e;

		if ((r & 1) != 0) {
			key = text_key[r / 2 % HB_COUNT_OF(text_key)];
			for (uint64_t n = r / 8 % 12; n > 0; n--)
				strcat(value, piece[hb_splitmix64(&random) % HB_COUNT_OF(piece)]);
		} else {
			key = number_key[r / 2 % HB_COUNT_OF(number_key)];
			if (strcmp(key, "odds") == 0)
				snprintf(value, sizeof(value), "%.*g", (int)(r / 16 % 18),
					(double)hb_splitmix64(&random) / 18446744073709551615.0);
			else
				snprintf(value, sizeof(value), "%llu",
					(unsigned long long)(hb_splitmix64(&random) >>
							     (r / 16 % 64)));
		}
		taken += hb_config_set(c, (uint16_t)(7 + r / 1024 % 2), key, value, &e) == 0;
		if (i % 16 == 0)
			round_trip(c);
	}
	assert_in_range(taken, 1000, 3999);
	hb_config_free(c);
}

static void
passwords_are_hidden(void **state)
{
	struct hb_config *c = parse(good), *never = NULL;
	char *text = hb_config_text(c, false);
	struct hb_error e;

	(void)state;
	assert_null(strstr(text, "我"));
	assert_non_null(strstr(text, "password: \"***\""));
	/* The campaign that is shaken has none to hide. */
	assert_non_null(strstr(text, "password: \"\""));
	assert_null(strstr(text, KEY_0));
	/* And such a file doesn't make it the password. */
	assert_int_equal(hb_config_parse(&never, text, strlen(text), file, &e), -EINVAL);
	check_line(&e, "campaigns[0].password: is ***, which is shown");
	free(text);
	hb_config_free(c);
}

/* ---- saving ------------------------------------------------------------------------- */

static void
expect_saved(const struct hb_config *c, const char *name)
{
	char *text = hb_config_text(c, true), *saved = get(name);

	assert_string_equal(text, saved);
	free(text);
	free(saved);
}

static unsigned
files_in_dir(void)
{
	char command[128];
	unsigned n = 0;

	snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

static void
saving(void **state)
{
	struct hb_config *c;
	struct hb_error e = {""};
	struct stat st;

	(void)state;
	put(file, good, 0640);
	if (geteuid() == 0)
		assert_int_equal(chown(file, 12345, 54321), 0);
	assert_int_equal(hb_config_load(&c, file, &e), 0);
	must_set(c, 7, "odds", "0.5");
	assert_int_equal(hb_config_save(c, &e), 0);
	expect_saved(c, file);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(stat(in_dir(i == 0 ? "a.yaml" : "a.yaml.before"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		if (geteuid() == 0)
			assert_true(st.st_uid == 12345 && st.st_gid == 54321);
	}
	char *before = get(in_dir("a.yaml.before"));
	assert_string_equal(before, good);
	free(before);
	/* Twice: the one before is the first that was saved. */
	before = get(file);
	must_set(c, 7, "odds", "0.25");
	assert_int_equal(hb_config_save(c, &e), 0);
	expect_saved(c, file);
	char *now_before = get(in_dir("a.yaml.before"));
	assert_string_equal(before, now_before);
	free(before);
	free(now_before);
	assert_int_equal(files_in_dir(), 3); /* and keys.yaml */
	/* Without a file it is its owner's alone; nothing was before. */
	assert_int_equal(unlink(file), 0);
	assert_int_equal(unlink(in_dir("a.yaml.before")), 0);
	assert_int_equal(hb_config_save(c, &e), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(files_in_dir(), 2);
	/* A link stays one. */
	assert_int_equal(rename(file, in_dir("real.yaml")), 0);
	assert_int_equal(symlink("real.yaml", file), 0);
	must_set(c, 7, "odds", "0.125");
	assert_int_equal(hb_config_save(c, &e), 0);
	assert_int_equal(lstat(file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	expect_saved(c, in_dir("real.yaml"));
	assert_int_equal(access(in_dir("real.yaml.before"), F_OK), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(unlink(in_dir("real.yaml")), 0);
	assert_int_equal(unlink(in_dir("real.yaml.before")), 0);
	hb_config_free(c);
}

/* A disk that is full halfway, and a directory that can't be written to: the old file stays, whole,
 * and nothing is left behind. */
static void
saving_fails(void **state)
{
	struct hb_config *c = parse(good);
	struct rlimit unlimited, limit;
	struct hb_error e = {""};
	char big[20000];

	(void)state;
	memset(big, '#', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	put(file, big, 0644);
	must_set(c, 7, "odds", "0.5");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	for (rlim_t room = 1; room < 19000; room += 3333) {
		limit = (struct rlimit){.rlim_cur = room, .rlim_max = unlimited.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		int rc = hb_config_save(c, &e);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
		assert_int_equal(rc, -EFBIG);
		check_line(&e, "cannot be written: File too large; the file is as it was; make");
		char *there = get(file);
		assert_string_equal(there, big);
		free(there);
		assert_int_equal(files_in_dir(), 2);
	}
	/* Room for the small one that was before, but not for this one. */
	put(file, "# small\n", 0644);
	limit = (struct rlimit){.rlim_cur = 100, .rlim_max = unlimited.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	int rc = hb_config_save(c, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	assert_int_equal(rc, -EFBIG);
	char *there = get(file);
	assert_string_equal(there, "# small\n");
	free(there);
	assert_int_equal(files_in_dir(), 3);
	if (geteuid() == 0) {
		assert_int_equal(seteuid(65534), 0);
		rc = hb_config_save(c, &e);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(rc, -EACCES);
		check_line(&e, "Permission denied; the file is as it was; let the user");
	}
	snprintf(c->path, sizeof(c->path), "%s/none/a.yaml", dir);
	assert_int_equal(hb_config_save(c, &e), -ENOENT);
	assert_int_equal(files_in_dir(), 3);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(unlink(in_dir("a.yaml.before")), 0);
	hb_config_free(c);
}

/* ---- snapshots, and speed ----------------------------------------------------------- */

static void
snapshots_have_it(void **state)
{
	struct hb_config *c = parse(good);
	struct hb_snapshot *s = hb_snapshot_make(c);

	(void)state;
	assert_false(s->shed);
	assert_true(s->idle_sleep);
	assert_int_equal(s->busy_wait_ms, 77);
	assert_false(s->draining);
	assert_int_equal(s->version, 0);
	must_set(c, 0, "overload.shed", "true");
	must_set(c, 0, "idle", "poll");
	s = hb_snapshot_remake(s, c);
	assert_true(s->shed && !s->idle_sleep);
	hb_snapshot_free(s);
	hb_config_free(c);
}

/* A change with few campaigns takes tens of microseconds, so that thousands a second are nothing:
 * here at least 2,000 in a second of this thread's time, with much to spare. */
static void
changes_are_fast(void **state)
{
	struct hb_config *now = parse(good);
	struct hb_snapshot *s = NULL;
	clock_t begun = clock();
	char odds[32];

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct hb_config *next = hb_config_copy(now);
		struct hb_changes changes = {0};
		struct hb_error e;

		snprintf(odds, sizeof(odds), "0.%u", i + 1);
		must_set(next, 7, "odds", odds);
		assert_int_equal(hb_config_compare(now, next, &changes, &e), 0);
		s = hb_snapshot_remake(s, next);
		hb_changes_free(&changes);
		hb_config_free(now);
		now = next;
	}
	double seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
	print_message("# %.0f us a change\n", seconds / 2000 * 1e6);
	assert_true(seconds < 1);
	hb_snapshot_free(s);
	hb_config_free(now);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_keys_in_a_file),
		cmocka_unit_test(fixed_keys_in_a_file),
		cmocka_unit_test(many_changes),
		cmocka_unit_test(long_texts_are_shortened),
		cmocka_unit_test(slots_stay),
		cmocka_unit_test(add_campaigns),
		cmocka_unit_test(campaigns_that_cannot_be_added),
		cmocka_unit_test(live_keys_one_by_one),
		cmocka_unit_test(keys_that_cannot_be_set),
		cmocka_unit_test(epochs_come_and_go),
		cmocka_unit_test(files_say_the_same),
		cmocka_unit_test(leased_campaigns_stay_leased),
		cmocka_unit_test(random_edits),
		cmocka_unit_test(passwords_are_hidden),
		cmocka_unit_test(saving),
		cmocka_unit_test(saving_fails),
		cmocka_unit_test(snapshots_have_it),
		cmocka_unit_test(changes_are_fast),
	};

	return cmocka_run_group_tests_name("change", tests, begin, end);
}
