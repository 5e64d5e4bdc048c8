/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file, the key file and the profiles: what a good one gives, and for a bad one
 * the very line, key and words. A bad file is the good one with one place changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf(), nftw() */
#endif
#include "hb_snapshot.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char good[] =
	"host: 3\n"								/* 1 */
	"listen: { ipv4: 10.0.0.1, ipv6: 2001:db8::1, base_port: 12288 }\n"	/* 2 */
	"ports:\n"								/* 3 */
	"  - profile: pcap\n"							/* 4 */
	"    device: \"net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap\"\n"		/* 5 */
	"  - { profile: null, device: net_null0 }\n"				/* 6 */
	"workers: 4\n"								/* 7 */
	"users: 1099511627776\n"						/* 8 */
	"journal: journal\n"							/* 9 */
	"keys: ./keys.yaml\n"							/* 10 */
	"clock: packet\n"							/* 11 */
	"seed: 18446744073709551615\n"						/* 12 */
	"deny: [77, 78]\n"							/* 13 */
	"slices:\n"								/* 14 */
	"  - 0\n"								/* 15 */
	"  - 31\n"								/* 16 */
	"campaigns:\n"								/* 17 */
	"  - id: 7\n"								/* 18 */
	"    name: 春晚 gala\n"							/* 19 */
	"    opens: \"2015-02-18T22:30:00+08:00\"\n"				/* 20 */
	"    closes: 1424273400000\n"						/* 21 */
	"    envelopes: { count: 120000, total: 60000000, split: equal }\n"	/* 22 */
	"    odds: 1.7e-2\n"							/* 23 */
	"    release_per_second: 45000\n"					/* 24 */
	"    wins_per_user: 8191\n"						/* 25 */
	"    least_interval: 500\n"						/* 26 */
	"    wait: 2000\n"							/* 27 */
	"    password: \"open sesame\"\n"					/* 28 */
	"    paused: true\n"							/* 29 */
	"  - id: 8\n"								/* 30 */
	"    opens: 1000\n"							/* 31 */
	"    closes: 2000\n"							/* 32 */
	"    envelopes:\n"							/* 33 */
	"      count: 4\n"							/* 34 */
	"      total: 1700\n"							/* 35 */
	"      split: tiers\n"							/* 36 */
	"      tiers: [{ count: 3, amount: 500 }, { count: 1, amount: 200 }]\n" /* 37 */
	"control:\n"								/* 38 */
	"  socket: run/c.sock\n"						/* 39 */
	"  group: hongbao\n"							/* 40 */
	"  change: [alice, '@ops']\n"						/* 41 */
	"metrics: '[::1]:0'\n"							/* 42 */
	"log: { level: warning, file: log.txt }\n"				/* 43 */
	"overload: { shed: false, wait: 250 }\n"				/* 44 */
	"idle: sleep\n"								/* 45 */
	"campaign_room: 65535\n";						/* 46 */

static const char small[] = "listen: { ipv4: 10.0.0.1 }\n"
			    "ports: [{ profile: \"null\", device: net_null0 }]\n"
			    "users: 1\n"
			    "journal: /var/lib/j\n"
			    "keys: keys.yaml\n"
			    "campaigns:\n"
			    "  - { id: 1, opens: 0, closes: 1,\n"
			    "      envelopes: { count: 2, total: 9 } }\n";

#define KEY_0 "00010203040506070809101112131415"
#define KEY_255 "abcdefABCDEF00112233445566778899"
#define KEY_ISSUER "1e1112131415161718192021222324e5"

static const char keys[] = "epochs: { 0: " KEY_0 ", 255: " KEY_255 " }\n"
			   "issuer: " KEY_ISSUER "\n";

/* ---- a directory to try things in --------------------------------------------------- */

static char dir[64] = "/tmp/hb-config-XXXXXX";
static char file[PATH_MAX]; /* the file that is tried */

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
put_bytes(const char *name, const char *bytes, size_t n, mode_t mode)
{
	FILE *f;

	unlink(in_dir(name)); /* the last one may be read-only */
	f = fopen(in_dir(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(in_dir(name), mode), 0);
}

static void
put(const char *name, const char *text, mode_t mode)
{
	put_bytes(name, text, strlen(text), mode);
}

static int
begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
		return -1;
	snprintf(file, sizeof(file), "%s/a.yaml", dir);
	put("keys.yaml", keys, 0600);
	put("in.pcap", "", 0644);
	return mkdir(in_dir("sub"), 0755);
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

/* The text with the first `from` turned into `to`, to be freed. */
static char *
changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out;

	if (at == NULL)
		fail_msg("the good file has no \"%s\"", from);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return out;
}

/* Every error is "FILE:LINE: PATH: WHAT; RIGHT", one line. */
static void
check_shape(const char *text, const char *name)
{
	const char *p = text + strlen(name), *more;

	if (strncmp(text, name, strlen(name)) != 0 || p[0] != ':' || !isdigit(p[1]))
		fail_msg("no file and line: %s", text);
	p += 1 + strspn(p + 1, "0123456789");
	more = strncmp(p, ": ", 2) == 0 ? strstr(p + 2, ": ") : NULL;
	if (more == NULL || more == p + 2 || more[2] == '\0')
		fail_msg("no key path: %s", text);
	if (strstr(more, "; ") == NULL)
		fail_msg("no remedy: %s", text);
	for (p = text; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			fail_msg("not one line: %s", text);
	}
}

static void
check_error(const char *text, const char *name, unsigned line, const char *path, const char *what)
{
	char prefix[PATH_MAX + 200];

	check_shape(text, name);
	snprintf(prefix, sizeof(prefix), "%s:%u: %s: ", name, line, path);
	if (strncmp(text, prefix, strlen(prefix)) != 0 ||
		strstr(text + strlen(prefix), what) == NULL)
		fail_msg("want %s...%s...\n got %s", prefix, what, text);
}

static void
expect_error(unsigned line, const char *path, const char *what)
{
	struct hb_config *c = NULL;
	struct hb_error e = {"nothing was said"};

	if (hb_config_load(&c, file, &e) >= 0) {
		hb_config_free(c);
		fail_msg("was taken, where %s is wrong: %s", path, what);
	}
	assert_null(c);
	check_error(e.text, file, line, path, what);
}

static struct hb_config *
load(const char *name)
{
	struct hb_config *c = NULL;
	struct hb_error e = {""};

	if (hb_config_load(&c, name, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

/* ---- good files --------------------------------------------------------------------- */

static void
check_first_campaign(const struct hb_campaign_config *c)
{
	assert_int_equal(c->id, 7);
	assert_string_equal(c->name, "春晚 gala");
	assert_int_equal(c->opens_us, 1424269800ull * 1000000);
	assert_int_equal(c->closes_us, 1424273400ull * 1000000);
	assert_int_equal(c->terms.count, 120000);
	assert_int_equal(c->terms.total, 60000000);
	assert_int_equal(c->terms.split, HB_SPLIT_EQUAL);
	assert_int_equal(c->terms.tiers, 0);
	assert_int_equal(c->terms.seed, 0);
	assert_true(c->odds == 0.017);
	assert_int_equal(c->release_per_second, 45000);
	assert_int_equal(c->wins_per_user, 8191);
	assert_int_equal(c->least_interval_ms, 500);
	assert_int_equal(c->wait_ms, 2000);
	assert_string_equal(c->password, "open sesame");
	assert_true(c->paused);
}

static void
check_second_campaign(const struct hb_campaign_config *c)
{
	assert_int_equal(c->id, 8);
	assert_int_equal(c->opens_us, 1000000);
	assert_int_equal(c->terms.split, HB_SPLIT_TIERS);
	assert_int_equal(c->terms.tiers, 2);
	assert_int_equal(c->terms.count, 4);
	assert_int_equal(c->terms.total, 1700);
	assert_int_equal(c->terms.tier[0].count, 3);
	assert_int_equal(c->terms.tier[0].amount, 500);
	assert_int_equal(c->terms.tier[1].count, 1);
	assert_int_equal(c->terms.tier[1].amount, 200);
}

static void
check_operation(const struct hb_config *c)
{
	assert_string_equal(c->control.socket, in_dir("run/c.sock"));
	assert_string_equal(c->control.group, "hongbao");
	assert_int_equal(c->control.changes, 2);
	assert_string_equal(c->control.change[0], "alice");
	assert_string_equal(c->control.change[1], "@ops");
	assert_string_equal(c->metrics, "[::1]:0");
	assert_true(c->metrics_given);
	assert_int_equal(c->log_level, 1);
	assert_string_equal(c->log_file, in_dir("log.txt"));
	assert_false(c->shed);
	assert_int_equal(c->busy_wait_ms, 250);
	assert_true(c->idle_sleep);
	assert_int_equal(c->campaign_room, 65535);
	assert_int_equal(c->slots, 65535);
	assert_int_equal(c->campaign[0].slot, 0);
	assert_int_equal(c->campaign[1].slot, 1);
}

static void
everything_given(void **state)
{
	static const uint8_t ipv4[4] = {10, 0, 0, 1};
	static const uint8_t ipv6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	char device[600];

	(void)state;
	put("a.yaml", good, 0644);
	struct hb_config *c = load(file);
	assert_string_equal(c->path, file);
	assert_int_equal(c->host, 3);
	assert_true(c->listen.has_ipv4 && c->listen.has_ipv6);
	assert_memory_equal(c->listen.ipv4, ipv4, 4);
	assert_memory_equal(c->listen.ipv6, ipv6, 16);
	assert_int_equal(c->listen.base_port, 12288);
	assert_int_equal(c->ports, 2);
	assert_string_equal(c->port[0].profile, "pcap");
	snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s/in.pcap,tx_pcap=%s/out.pcap", dir,
		dir);
	assert_string_equal(c->port[0].device, device);
	assert_string_equal(c->port[1].device, "net_null0");
	assert_int_equal(c->workers, 4);
	assert_int_equal(c->users, 1ull << 40);
	assert_string_equal(c->journal, in_dir("journal"));
	assert_string_equal(c->keys_path, in_dir("keys.yaml"));
	assert_int_equal(c->clock, HB_CLOCK_PACKET);
	assert_int_equal(c->seed, UINT64_MAX);
	assert_int_equal(c->slices, 1u << 31 | 1u);
	assert_int_equal(c->denied, 2);
	assert_int_equal(c->deny[0], 77);
	assert_int_equal(c->deny[1], 78);
	assert_true(c->keys.epoch_held[0] && c->keys.epoch_held[255] && c->keys.issuer_held);
	assert_int_equal(c->campaigns, 2);
	check_first_campaign(&c->campaign[0]);
	check_second_campaign(&c->campaign[1]);
	check_operation(c);
	hb_config_free(c);
	assert_int_equal(access(in_dir("out.pcap"), F_OK), -1);
	assert_int_equal(access(in_dir("journal"), F_OK), -1);
}

static void
defaults(void **state)
{
	(void)state;
	put("a.yaml", small, 0644);
	struct hb_config *c = load(file);
	const struct hb_campaign_config *first = &c->campaign[0];
	assert_int_equal(c->host, 1);
	assert_int_equal(c->listen.base_port, 8192);
	assert_false(c->listen.has_ipv6);
	assert_int_equal(c->workers, 1);
	assert_string_equal(c->journal, "/var/lib/j");
	assert_int_equal(c->clock, HB_CLOCK_WALL);
	assert_int_equal(c->seed, 0);
	assert_int_equal(c->slices, UINT32_MAX);
	assert_int_equal(c->denied, 0);
	assert_null(c->deny);
	assert_string_equal(first->name, "");
	assert_int_equal(first->terms.split, HB_SPLIT_LUCKY);
	assert_true(first->odds == 1.0);
	assert_int_equal(first->release_per_second, 0);
	assert_int_equal(first->wins_per_user, 1);
	assert_int_equal(first->least_interval_ms, 0);
	assert_int_equal(first->wait_ms, 1000);
	assert_string_equal(first->password, "");
	assert_false(first->paused);
	assert_string_equal(c->control.socket, "/var/lib/j/control.sock");
	assert_string_equal(c->control.group, "");
	assert_int_equal(c->control.changes, 0);
	assert_string_equal(c->metrics, "127.0.0.1:9180");
	assert_false(c->metrics_given);
	assert_int_equal(c->log_level, 2);
	assert_string_equal(c->log_file, "");
	assert_true(c->shed);
	assert_int_equal(c->busy_wait_ms, 1000);
	assert_false(c->idle_sleep);
	assert_int_equal(c->campaign_room, 16);
	assert_int_equal(c->slots, 17);
	assert_int_equal(c->packets, 100000);
	assert_int_equal(c->packet_shares, 1000000);
	assert_int_equal(c->packet_keep_s, 86400);
	assert_int_equal(first->bundle.shares, 0);
	hb_config_free(c);
}

static void
packets_and_bundles(void **state)
{
	static const struct {
		const char *packets, *bundle;
		unsigned line;
		const char *path, *what; /* NULL: it is good */
	} tried[] = {
		{"{ open: 0 }", NULL, 0, NULL, NULL},
		{"{ open: 7, shares: 70, keep: 0 }", "{ shares: 70 }", 0, NULL, NULL},
		{"{ keep: 2592000 }", "{ shares: 65535, split: equal, hours: 255 }", 0, NULL, NULL},
		{"{ open: 1073741825 }", NULL, 9, "packets.open", "is outside 0 to 1073741824"},
		{"{ keep: 2592001 }", NULL, 9, "packets.keep", "is outside 0 to 2592000"},
		{"{ opened: 1 }", NULL, 9, "packets.opened", ""},
		{"{ open: 0 }", "{ shares: 2 }", 8, "campaigns[0].bundle.shares", "no room"},
		{"{ shares: 9 }", "{ shares: 10 }", 8, "campaigns[0].bundle.shares", "no room"},
		{"{ open: 1 }", "{ shares: 0 }", 8, "campaigns[0].bundle.shares", "is outside 1"},
		{"{ open: 1 }", "{ shares: 65536 }", 8, "campaigns[0].bundle.shares", "is outside"},
		{"{ open: 1 }", "{ shares: 2, hours: 0 }", 8, "campaigns[0].bundle.hours",
			"is outside"},
		{"{ open: 1 }", "{ shares: 2, split: tiers }", 8, "campaigns[0].bundle.split", ""},
		{"{ open: 1 }", "{ hours: 1 }", 8, "campaigns[0].bundle.shares", ""},
	};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(tried); i++) {
		char *text = NULL, *all = NULL, *bundle = NULL;

		assert_true(
			asprintf(&bundle, "total: 9 }%s%s }", tried[i].bundle ? ", bundle: " : "",
				tried[i].bundle ? tried[i].bundle : "") > 0);
		text = changed(small, "total: 9 } }", bundle);
		assert_true(asprintf(&all, "%spackets: %s\n", text, tried[i].packets) > 0);
		put("a.yaml", all, 0644);
		if (tried[i].path == NULL)
			hb_config_free(load(file));
		else
			expect_error(tried[i].line, tried[i].path, tried[i].what);
		free(all);
		free(text);
		free(bundle);
	}
}

/* Changes to a good file that leave it good. */
static void
still_good(void **state)
{
	static const char *const change[][2] = {
		{"odds: 1.7e-2", "odds: 0"},
		{"odds: 1.7e-2", "odds: 1"},
		{"odds: 1.7e-2", "odds: .5"},
		{"odds: 1.7e-2", "odds: 1E-3"},
		{"base_port: 12288", "base_port: 61440"},
		{"base_port: 12288", "base_port: 4096"},
		{"total: 60000000", "total: 120000"},
		{"total: 60000000", "total: 515396075400000"},
		{"deny: [77, 78]", "deny: []"},
		{"      count: 4\n      total: 1700\n      split: tiers\n", ""},
		{"workers: 4", "workers: 64"},
		{"password: \"open sesame\"", "password: \"\""},
		{"out.pcap", "sub/out.pcap"},
		{"closes: 1424273400000", "closes: 2015-02-18T14:30:00.000001Z"},
		{"ipv4: 10.0.0.1, ", ""},
		{"users: 1099511627776", "users: \"5\""},
		{"host: 3", "--- # the one document\nhost: 3"},
		{"'[::1]:0'", "off"},
		{"'[::1]:0'", "0.0.0.0:65535"},
		{"level: warning, ", ""},
		{"level: warning, file: log.txt", ""},
		{"change: [alice, '@ops']", "change: []"},
		{"campaign_room: 65535", "campaign_room: 0"},
	};

	(void)state;
	for (size_t i = 0; i < HB_COUNT_OF(change); i++) {
		char *text = changed(good, change[i][0], change[i][1]);

		put("a.yaml", text, 0644);
		hb_config_free(load(file));
		free(text);
	}
}

static void
relative_to_the_file(void **state)
{
	char before[PATH_MAX];

	(void)state;
	put("a.yaml", good, 0644);
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(in_dir("sub")), 0);
	struct hb_config *c = load("../a.yaml");
	assert_int_equal(chdir(before), 0);
	assert_string_equal(c->path, file);
	assert_string_equal(c->journal, in_dir("journal"));
	hb_config_free(c);
}

/* ---- bad files ---------------------------------------------------------------------- */

struct bad {
	const char *from, *to; /* a change to the good file */
	unsigned line;
	const char *path, *what;
};

static void
expect_all(const struct bad *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *text = changed(good, b[i].from, b[i].to);

		put("a.yaml", text, 0644);
		free(text);
		expect_error(b[i].line, b[i].path, b[i].what);
	}
}

static void
not_of_the_schema(void **state)
{
	static const struct bad bad[] = {
		{"odds:", "oods:", 23, "campaigns[0].oods",
			"is not a key here; did you mean odds?"},
		{"odds:", "Odds:", 23, "campaigns[0].Odds", "did you mean odds?"},
		{"workers:", "wrokers:", 7, "wrokers", "did you mean workers?"},
		{"split: tiers", "xyzzy: 1", 36, "campaigns[1].envelopes.xyzzy",
			"is not a key here; known here: count, total, split, tiers"},
		{"amount: 200", "amuont: 200", 37, "campaigns[1].envelopes.tiers[1].amuont",
			"did you mean amount?"},
		{"users: 1099511627776\n", "", 1, "users", "is missing; write how many rows"},
		{"    closes: 2000\n", "", 30, "campaigns[1].closes", "is missing; write a time"},
		{"- id: 8", "- name: x", 30, "campaigns[1].id", "is missing"},
		{", amount: 500", "", 37, "campaigns[1].envelopes.tiers[0].amount", "is missing"},
		{"workers: 4", "workers: 4\nworkers: 5", 8, "workers",
			"is given twice, first on line 7; keep one"},
		{"paused: true", "odds: 1", 29, "campaigns[0].odds", "first on line 23"},
		{"workers: 4", "workers: [4]", 7, "workers",
			"is a list where a single value belongs"},
		{"deny: [77, 78]", "deny: 77", 13, "deny",
			"is a single value where a list belongs"},
		{"deny: [77, 78]", "deny: [77, {}]", 13, "deny[1]", "is a mapping of keys where"},
		{"- id: 8", "- 5\n  - id: 8", 30, "campaigns[1]",
			"where a mapping of keys belongs"},
		{"split: equal", "split: Equal", 22, "campaigns[0].envelopes.split",
			"Equal is not known here; write one of: equal, lucky, tiers"},
		{"clock: packet", "clock: sun", 11, "clock",
			"sun is not known here; write one of: wall"},
		{"paused: true", "paused: maybe", 29, "campaigns[0].paused",
			"maybe is neither true nor false"},
		{"journal: journal", "journal: \"\"", 9, "journal",
			"is empty; write the directory"},
		{"journal: journal", "journal:", 9, "journal", "has no value; write the directory"},
		{"password: \"open sesame\"", "password: ~", 28, "campaigns[0].password",
			"~ has no value"},
		{"deny: [77, 78]", "slices: []\ndeny: [77, 78]", 13, "slices",
			"has 0 entries, where 1 to 32 belong"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
}

static void
numbers(void **state)
{
	static const struct bad bad[] = {
		{"workers: 4", "workers: -4", 7, "workers", "-4 is negative"},
		{"workers: 4", "workers: 4x", 7, "workers", "4x is not a whole number"},
		{"workers: 4", "workers: 0x4", 7, "workers", "0x4 is not a whole number"},
		{"workers: 4", "workers: 1e1", 7, "workers", "1e1 is not a whole number"},
		{"workers: 4", "workers: 1_0", 7, "workers", "1_0 is not a whole number"},
		{"workers: 4", "workers: 010", 7, "workers", "010 has a leading zero"},
		{"workers: 4", "workers: \" 4\"", 7, "workers", "\" 4\" is not a whole number"},
		{"workers: 4", "workers: 0", 7, "workers", "0 is outside 1 to 64"},
		{"workers: 4", "workers: 65", 7, "workers",
			"65 is outside 1 to 64; write how many"},
		{"host: 3", "host: 4294967296", 1, "host", "4294967296 is outside 0 to 4294967295"},
		{"users: 1099511627776", "users: 0", 8, "users", "0 is outside 1 to 1099511627776"},
		{"users: 1099511627776", "users: 1099511627777", 8, "users", "is outside 1 to"},
		{"seed: 18446744073709551615", "seed: 18446744073709551616", 12, "seed",
			"18446744073709551616 is too large a number"},
		{"base_port: 12288", "base_port: 0", 2, "listen.base_port",
			"0 is outside 4096 to 61440"},
		{"base_port: 12288", "base_port: 65536", 2, "listen.base_port", "outside 4096"},
		{"base_port: 12288", "base_port: 8193", 2, "listen.base_port",
			"8193 is not a multiple of 4096"},
		{"total: 1700", "total: 1700.5", 35, "campaigns[1].envelopes.total",
			"1700.5 has a fraction; write whole fen"},
		{"amount: 200", "amount: 2.0", 37, "campaigns[1].envelopes.tiers[1].amount",
			"2.0 has a fraction; write whole fen"},
		{"amount: 200", "amount: 4294967296", 37, "campaigns[1].envelopes.tiers[1].amount",
			"4294967296 is outside 1 to 4294967295"},
		{"amount: 200", "amount: 0", 37, "campaigns[1].envelopes.tiers[1].amount",
			"0 is outside 1 to"},
		{"1.7e-2", "1.7", 23, "campaigns[0].odds",
			"1.7 is outside 0 to 1; write the probability that a draw wins, e.g. "
			"0.017"},
		{"1.7e-2", "-0.1", 23, "campaigns[0].odds", "-0.1 is outside 0 to 1"},
		{"1.7e-2", "nan", 23, "campaigns[0].odds", "nan is not a number"},
		{"1.7e-2", ".nan", 23, "campaigns[0].odds", ".nan is not a number"},
		{"1.7e-2", "0.1%", 23, "campaigns[0].odds", "0.1% is not a number"},
		{"1.7e-2", "0,1", 23, "campaigns[0].odds", "0,1 is not a number"},
		{"1.7e-2", "1e", 23, "campaigns[0].odds", "1e is not a number"},
		{"1.7e-2", "1e999", 23, "campaigns[0].odds", "1e999 is out of range"},
		{"1.7e-2", "1e-999", 23, "campaigns[0].odds", "1e-999 is out of range"},
		{"id: 7", "id: 0", 18, "campaigns[0].id", "0 is outside 1 to 65535"},
		{"id: 7", "id: 65536", 18, "campaigns[0].id", "65536 is outside 1 to 65535"},
		{"wins_per_user: 8191", "wins_per_user: 8192", 25, "campaigns[0].wins_per_user",
			"8192 is outside 1 to 8191"},
		{"wins_per_user: 8191", "wins_per_user: 0", 25, "campaigns[0].wins_per_user",
			"0 is outside 1 to 8191"},
		{"wait: 2000", "wait: 4294967296", 27, "campaigns[0].wait", "is outside 0 to"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
}

static void
no_sense(void **state)
{
	static const struct bad bad[] = {
		{"id: 8", "id: 7", 30, "campaigns[1].id", "7 is also the id on line 18"},
		{"closes: 2000", "closes: 1000", 32, "campaigns[1].closes",
			"1000 is not after opens, 1000"},
		{"22:30:00+08:00", "22:30:00", 20, "campaigns[0].opens",
			"2015-02-18T22:30:00 is not a time with a zone; write a time with its "
			"zone"},
		{"closes: 2000", "closes: tomorrow", 32, "campaigns[1].closes",
			"tomorrow is not a time"},
		{"02-18", "02-30", 20, "campaigns[0].opens", "is not a time"},
		{"count: 120000", "count: 0", 22, "campaigns[0].envelopes.count",
			"0 is outside 1 to"},
		{"total: 60000000", "total: 119999", 22, "campaigns[0].envelopes.total",
			"119999 fen is below 1 fen for each of 120000 envelopes"},
		{"total: 60000000", "total: 515396075400001", 22, "campaigns[0].envelopes.total",
			"is too much for 120000 envelopes of at most 4294967295 fen"},
		{"count: 120000, ", "", 22, "campaigns[0].envelopes.count", "is missing"},
		{", total: 60000000", "", 22, "campaigns[0].envelopes.total", "is missing"},
		{"split: equal", "split: tiers", 22, "campaigns[0].envelopes.tiers",
			"is missing, where split is tiers"},
		{"split: equal", "leased: true", 22, "campaigns[0].envelopes.count",
			"is given beside leased; write envelopes: { leased: true } alone"},
		{"split: tiers", "split: lucky", 36, "campaigns[1].envelopes.split",
			"lucky is given beside tiers"},
		{"count: 4", "count: 5", 34, "campaigns[1].envelopes.count",
			"5 is not the sum of the tiers; write 4 or leave it out"},
		{"total: 1700", "total: 1", 35, "campaigns[1].envelopes.total",
			"1 is not the sum of the tiers; write 1700 or"},
		{"count: 3, ", "count: 4294967295, ", 37, "campaigns[1].envelopes.tiers",
			"have 4294967296 envelopes in all"},
		{"\"open sesame\"", "\"   \"", 28, "campaigns[0].password", "is all blanks"},
		{"- 31", "- 32", 16, "slices[1]", "32 is outside 0 to 31"},
		{"- 31", "- 0", 16, "slices[1]", "0 is given twice, first on line 15"},
		{"77, 78", "77, 0", 13, "deny[1]", "0 is no user"},
		{"ipv4: 10.0.0.1, ipv6: 2001:db8::1, ", "", 2, "listen",
			"has neither ipv4 nor ipv6, nor has ports[0] one of its own; write an "
			"address"},
		{"10.0.0.1", "10.0.0", 2, "listen.ipv4", "10.0.0 is not an IPv4 address"},
		{"10.0.0.1", "2001:db8::1", 2, "listen.ipv4", "is not an IPv4 address"},
		{"10.0.0.1", "0.0.0.0", 2, "listen.ipv4", "0.0.0.0 is not an address of a host"},
		{"10.0.0.1", "224.0.0.1", 2, "listen.ipv4", "224.0.0.1 is a multicast"},
		{"10.0.0.1", "255.255.255.255", 2, "listen.ipv4", "or broadcast address"},
		{"2001:db8::1", "10.0.0.2", 2, "listen.ipv6", "10.0.0.2 is not an IPv6 address"},
		{"2001:db8::1", "ff02::1", 2, "listen.ipv6", "ff02::1 is a multicast address"},
		{"2001:db8::1", "\"::\"", 2, "listen.ipv6", ":: is not an address of a host"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
}

static void
operation(void **state)
{
	static const struct bad bad[] = {
		{"run/c.sock",
			"ruuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
			"uuu"
			"uuuuuuuuuuun/c.sock",
			39, "control.socket", "with its directory; write a path of at most 107"},
		{"run/c.sock", "keys.yaml", 39, "control.socket",
			"/keys.yaml is there and is no socket; name a path that nothing else has"},
		{"group: hongbao", "group: \"a b\"", 40, "control.group",
			"\"a b\" is not a name; write a group of this host"},
		{"group: hongbao", "group: \"@ops\"", 40, "control.group", "@ops is not a name"},
		{"group: hongbao", "group: \"\"", 40, "control.group", "is empty"},
		{"'@ops'", "\"@\"", 41, "control.change[1]", "@ is not a name; write a list"},
		{"alice", "a:b", 41, "control.change[0]", "a:b is not a name"},
		{"alice", "-r", 41, "control.change[0]", "-r is not a name"},
		{"alice", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", 41, "control.change",
			"has 17 entries, where 0 to 16 belong; write a list"},
		{"change:", "chance:", 41, "control.chance", "did you mean change?"},
		{"[::1]:0", "[::1]", 42, "metrics", "[::1] is not an address with its port; write"},
		{"[::1]:0", "::1:80", 42, "metrics", "::1:80 is not an address with its port"},
		{"[::1]:0", "[127.0.0.1]:80", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", "127.0.0.1:65536", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", "127.0.0.1:", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", ":80", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", "[::1:80", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", "[:80", 42, "metrics", "is not an address with its port"},
		{"[::1]:0", "localhost:80", 42, "metrics", "is not an address with its port"},
		{"level: warning", "level: warn", 43, "log.level",
			"warn is not known here; write one of: error, warning, info, debug"},
		{"log.txt", "sub", 43, "log.file", "/sub is a directory; write the file that log"},
		{"shed: false", "shed: no", 44, "overload.shed", "no is neither true nor false"},
		{"wait: 250", "wait: 4294967296", 44, "overload.wait",
			"is outside 0 to 4294967295"},
		{"idle: sleep", "idle: nap", 45, "idle", "write one of: poll, sleep"},
		{"campaign_room: 65535", "campaign_room: 65536", 46, "campaign_room",
			"65536 is outside 0 to 65535; write how many campaigns"},
		{"\"open sesame\"", "\"***\"", 28, "campaigns[0].password",
			"is ***, which is shown where there is a secret one; write the password"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
}

static void
ports_and_files(void **state)
{
	static const struct bad bad[] = {
		{"rx_pcap=in", "rx_pcap=no", 5, "ports[0].device", "/no.pcap is not there"},
		{"rx_pcap=in.pcap", "rx_pcap=sub", 5, "ports[0].device", "/sub is a directory"},
		{"rx_pcap=in.pcap", "rx_pcap=/dev/null", 5, "ports[0].device",
			"rx_pcap=/dev/null is not a regular file"},
		{"rx_pcap=in.pcap", "rx_pcap=", 5, "ports[0].device", "names no file"},
		{"out.pcap", "no/out.pcap", 5, "ports[0].device", "is in no directory that exists"},
		{"out.pcap", "sub", 5, "ports[0].device", "/sub is a directory"},
		{"out.pcap", "sub/../in.pcap", 5, "ports[0].device", "would overwrite the input"},
		{"device: net_null0", "device: net_pcap0", 6, "ports[1].device",
			"net_pcap0 is also the device of ports[0]"},
		{"profile: pcap", "profile: pcop", 4, "ports[0].profile",
			"there is no profile pcop; known: af_packet, af_xdp, ena, i40e, ice, igb, "
			"ixgbe, "
			"memif, mlx5, "},
		{"profile: pcap", "profile: ../pcap", 4, "ports[0].profile",
			"is no name of a profile"},
		{"profile: pcap", "profile: a/pcap", 4, "ports[0].profile",
			"is no name of a profile"},
		{"profile: pcap", "profile: ..", 4, "ports[0].profile", "is no name of a profile"},
		{"keys: ./keys.yaml", "keys: none.yaml", 10, "keys",
			"/none.yaml:1: (whole file): cannot be read: No such file"},
		{"journal: journal", "journal: in.pcap", 9, "journal",
			"/in.pcap is not a directory"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
	assert_int_equal(access(in_dir("sub/out.pcap"), F_OK), -1);
}

/* Each kind of address falls back on listen's; one kind at least every port must have. */
static void
a_port_may_have_its_own_addresses(void **state)
{
	static const uint8_t ours[4] = {10, 0, 0, 1}, own[4] = {10, 0, 1, 1};
	static const uint8_t own6[16] = {0xfd, [15] = 1};
	static const char text[] = "listen: { %s }\n"
				   "ports:\n"
				   "  - { profile: \"null\", device: net_null0%s }\n"
				   "  - { profile: \"null\", device: net_null1%s }\n"
				   "users: 1\njournal: /var/lib/j\nkeys: keys.yaml\n%s";
	static const char rest[] =
		"campaigns: [{ id: 1, opens: 0, closes: 1, envelopes: { count: 1, total: 1, "
		"split: equal } }]\n";
	char all[1024];

	(void)state;
	snprintf(all, sizeof(all), text, "ipv4: 10.0.0.1, base_port: 4096", "",
		", ipv4: 10.0.1.1, ipv6: \"fd00::1\"", rest);
	put("a.yaml", all, 0644);
	struct hb_config *c = load(file);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(c->port[i].listen.base_port, 4096);
	assert_memory_equal(c->port[0].listen.ipv4, ours, 4);
	assert_false(c->port[0].listen.has_ipv6);
	assert_memory_equal(c->port[1].listen.ipv4, own, 4);
	assert_memory_equal(c->port[1].listen.ipv6, own6, 16);
	struct hb_snapshot *s = hb_snapshot_make(c);
	assert_memory_equal(&s->listen[1], &c->port[1].listen, sizeof(s->listen[1]));
	hb_snapshot_free(s);
	hb_config_free(c);

	snprintf(all, sizeof(all), text, "base_port: 4096", ", ipv6: \"fd00::1\"", "", rest);
	put("a.yaml", all, 0644);
	expect_error(1, "listen", "has neither ipv4 nor ipv6");
	snprintf(all, sizeof(all), text, "ipv4: 10.0.0.1", "", ", ipv4: 224.0.0.1", rest);
	put("a.yaml", all, 0644);
	expect_error(4, "ports[1].ipv4", "multicast");
	snprintf(all, sizeof(all), text, "ipv4: 10.0.0.1", ", ipv6: \"ff02::1\"", "", rest);
	put("a.yaml", all, 0644);
	expect_error(3, "ports[0].ipv6", "multicast");
}

static void
no_yaml(void **state)
{
	static const struct bad bad[] = {
		{"workers: 4", "workers: *x", 7, "workers", "has an alias, which is not taken"},
		{"host: 3", "? [a]\n: b", 1, "(whole file)", "where a key belongs"},
		{"open sesame\"", "open sesame", 47, "campaigns[0].password",
			"unexpected end of stream while scanning a quoted scalar from line 28 on"},
		{"split: equal }", "split: equal", 23, "campaigns[0].envelopes",
			"is not YAML: did not find expected ',' or '}' while parsing a flow "
			"mapping "
			"from line 22 on"},
		{"users: 1", "\tusers: 1", 8, "workers",
			"is not YAML: found a tab character that violates"},
		{"deny: [77", "deny: [[[[[[[[[[[[[[[[[[77", 13,
			"deny[0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
			"is nested deeper than 16 levels"},
		{"campaigns:", "---\ncampaigns:", 17, "(whole file)", "has a second document"},
		{"gala", "\xff gala", 19, "(whole file)", "holds bytes that are no text: invalid"},
		{"gala", "\x01 gala", 19, "(whole file)", "holds bytes that are no text: control"},
		{"春晚 gala", "\"a\\nb\"", 19, "campaigns[0].name",
			"holds a line break or another control character (0x0a)"},
		{"\"open sesame\"", "\"a\\0b\"", 28, "campaigns[0].password", "(0x00)"},
	};

	(void)state;
	expect_all(bad, HB_COUNT_OF(bad));
}

static void
lengths(void **state)
{
	char text[1200], from[64];
	struct bad bad = {.from = from, .to = text};

	(void)state;
	memset(text, 'x', sizeof(text));
	text[256] = '\0';
	snprintf(from, sizeof(from), "\"open sesame\"");
	bad.line = 28, bad.path = "campaigns[0].password";
	bad.what = "has 256 bytes, where 0 to 255 belong";
	expect_all(&bad, 1);
	text[64] = '\0';
	snprintf(from, sizeof(from), "春晚 gala");
	bad.line = 19, bad.path = "campaigns[0].name", bad.what = "has 64 bytes, where 0 to 63";
	expect_all(&bad, 1);
	memset(text, 'x', sizeof(text));
	text[1015] = '\0';
	snprintf(from, sizeof(from), "out.pcap");
	bad.line = 5, bad.path = "ports[0].device", bad.what = "has 1049 bytes, where 1 to 1023";
	expect_all(&bad, 1);
	text[970] = '\0';
	bad.what = "has more than 1023 bytes once its files have their full paths";
	expect_all(&bad, 1);
}

static void
too_many_ports(void **state)
{
	struct bad bad = {.from = "  - { profile: null, device: net_null0 }\n",
		.line = 3,
		.path = "ports",
		.what = "has 9 entries, where 1 to 8 belong"};
	char ports[1024] = "";

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		size_t used = strlen(ports);

		snprintf(ports + used, sizeof(ports) - used,
			"  - { profile: ring, device: net_ring%u }\n", i);
	}
	bad.to = ports;
	expect_all(&bad, 1);
}

/* ---- files that are none ------------------------------------------------------------ */

static void
no_file(void **state)
{
	char *big = calloc(1, (16u << 20) + 1);
	struct hb_config *c = NULL;
	struct hb_error e;

	(void)state;
	assert_non_null(big);
	memset(big, ' ', 16u << 20);
	put("a.yaml", "", 0644);
	expect_error(1, "(whole file)", "is empty; write keys");
	put("a.yaml", "# nothing\n", 0644);
	expect_error(1, "(whole file)", "is empty; write keys");
	put("a.yaml", "just words", 0644);
	expect_error(1, "(whole file)", "is a single value where a mapping of keys belongs");
	put("a.yaml", "- host", 0644);
	expect_error(1, "(whole file)", "is a list where a mapping of keys belongs");
	put("a.yaml", "---\n", 0644);
	expect_error(2, "(whole file)", "has no value");
	put("a.yaml", "{}\n", 0644);
	expect_error(1, "listen", "is missing");
	put("a.yaml", big, 0644);
	expect_error(1, "(whole file)", "is empty");
	big[16u << 20] = ' ';
	put_bytes("a.yaml", big, (16u << 20) + 1, 0644);
	expect_error(1, "(whole file)", "has 16777217 bytes, over the limit of 16 MiB");
	free(big);
	assert_int_equal(unlink(file), 0);
	expect_error(1, "(whole file)", "cannot be read: No such file or directory; name a file");
	assert_int_equal(hb_config_load(&c, dir, &e), -EISDIR);
	check_error(e.text, dir, 1, "(whole file)", "cannot be read: Is a directory");
	assert_int_equal(hb_config_load(&c, "/dev/null", &e), -EINVAL);
	check_error(e.text, "/dev/null", 1, "(whole file)", "name a regular file");
	assert_int_equal(hb_config_load(&c, "/dev/null", NULL), -EINVAL);
	assert_null(c);
}

static void
file_out_of_reach(void **state)
{
	uid_t me = geteuid();

	(void)state;
	put("a.yaml", good, 0000);
	if (me == 0)
		assert_int_equal(seteuid(65534), 0);
	expect_error(1, "(whole file)", "cannot be read: Permission denied; let the user");
	if (me == 0)
		assert_int_equal(seteuid(0), 0);
}

/* Under another user than root: an input that may not be read, an output that may not be written.
 */
static void
device_out_of_reach(void **state)
{
	static const char text[] = "listen: { ipv4: 10.0.0.1 }\n"
				   "ports: [{ profile: files, device: \"p,%s=%s\" }]\n"
				   "users: 1\njournal: j\nkeys: nobody.yaml\n"
				   "campaigns: [{ id: 1, opens: 0, closes: 1,\n"
				   "  envelopes: { count: 2, total: 9 } }]\n";
	uid_t me = geteuid();
	char file_text[1024];

	(void)state;
	if (me != 0)
		skip();
	/* The source tree may lie where nobody else can look: a profile that all can read. */
	setenv("HONGBAO_PROFILES", dir, 1);
	put("files.yaml",
		"description: d\nvdev: true\nrx_descriptors: 64\ntx_descriptors: 64\n"
		"mbuf_bytes: 2048\nsteering: software\noffloads: { rx: [], tx: [] }\neal: []\n"
		"file_arguments: [rx_pcap]\noutput_arguments: [tx_pcap]\n",
		0644);
	put("nobody.yaml", keys, 0600);
	put("locked.pcap", "", 0600);
	assert_int_equal(chown(in_dir("nobody.yaml"), 65534, (gid_t)-1), 0);
	snprintf(file_text, sizeof(file_text), text, "rx_pcap", "locked.pcap");
	put("a.yaml", file_text, 0644);
	assert_int_equal(seteuid(65534), 0);
	expect_error(2, "ports[0].device", "/locked.pcap cannot be read");
	assert_int_equal(seteuid(0), 0);
	snprintf(file_text, sizeof(file_text), text, "tx_pcap", "sub/new.pcap");
	put("a.yaml", file_text, 0644);
	assert_int_equal(seteuid(65534), 0);
	expect_error(2, "ports[0].device", "/sub/new.pcap cannot be written");
	assert_int_equal(seteuid(0), 0);
}

/* A test that fails as somebody else leaves no trace for those after it. */
static int
become_root_again(void **state)
{
	(void)state;
	unsetenv("HONGBAO_PROFILES");
	unlink(in_dir("files.yaml"));
	return getuid() == 0 ? seteuid(0) : 0;
}

/* A file name that is hostile to an error line. */
static void
strange_name(void **state)
{
	char name[PATH_MAX], deep[300];
	struct hb_config *c = NULL;
	struct hb_error e;

	(void)state;
	snprintf(name, sizeof(name), "%s/a\nb.yaml", dir);
	assert_int_equal(hb_config_load(&c, name, &e), -ENOENT);
	assert_null(strchr(e.text, '\n'));
	assert_non_null(strstr(e.text, "/a?b.yaml:1: (whole file): cannot be read"));
	memset(deep, 'd', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	snprintf(name, sizeof(name), "%s/%s", dir, deep);
	assert_int_equal(hb_config_load(&c, name, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "ddd:1: (whole file): cannot be read: File name too long"));
}

/* A thousand million values by aliases of aliases: refused at the first of them. */
static void
bomb(void **state)
{
	(void)state;
	put("a.yaml",
		"a: &a [x, x, x, x, x, x, x, x, x, x]\n"
		"b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
		"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n",
		0644);
	expect_error(2, "b", "has an alias, which is not taken; write the value out");
}

static void
many_barred_users(void **state)
{
	enum {
		USERS = 20000
	};
	char *list = malloc(USERS * 8 + 16), *p = list, *text;

	(void)state;
	assert_non_null(list);
	p += sprintf(p, "deny: [");
	for (unsigned i = 1; i <= USERS; i++)
		p += sprintf(p, "%u%s", i, i < USERS ? "," : "]");
	text = changed(good, "deny: [77, 78]", list);
	put("a.yaml", text, 0644);
	struct hb_config *c = load(file);
	assert_int_equal(c->denied, USERS);
	assert_int_equal(c->deny[USERS - 1], USERS);
	hb_config_free(c);
	free(text);
	free(list);
}

/* ---- key files ---------------------------------------------------------------------- */

static void
keys_are_read(void **state)
{
	static const uint8_t first[HB_KEY_BYTES] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
		0x08, 0x09, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15};
	static const uint8_t last[HB_KEY_BYTES] = {0xab, 0xcd, 0xef, 0xab, 0xcd, 0xef, 0x00, 0x11,
		0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99};
	struct hb_keyring k;
	struct hb_error e;
	unsigned held = 0;

	(void)state;
	put("k.yaml", keys, 0400);
	assert_int_equal(hb_keys_load(&k, in_dir("k.yaml"), &e), 0);
	for (unsigned i = 0; i < 256; i++)
		held += k.epoch_held[i];
	assert_int_equal(held, 2);
	assert_memory_equal(k.epoch_key[0], first, HB_KEY_BYTES);
	assert_memory_equal(k.epoch_key[255], last, HB_KEY_BYTES);
	assert_true(k.issuer_held);
	assert_int_equal(k.issuer[15], 0xe5);
	put("k.yaml", "epochs: { 7: " KEY_0 " }\n", 0600);
	assert_int_equal(hb_keys_load(&k, in_dir("k.yaml"), &e), 0);
	assert_true(k.epoch_held[7] && !k.epoch_held[0] && !k.issuer_held);
}

/* No six digits of a key in a row. */
static void
check_nothing_shown(const char *text)
{
	static const char *const key[] = {KEY_0, KEY_255, KEY_ISSUER};
	char piece[7] = "";

	for (unsigned k = 0; k < HB_COUNT_OF(key); k++) {
		for (unsigned i = 0; i + 6 <= 32; i++) {
			memcpy(piece, key[k] + i, 6);
			if (strstr(text, piece) != NULL)
				fail_msg("shows a key: %s", text);
		}
	}
}

static void
keys_modes(void **state)
{
	static const mode_t open_to_others[] = {0640, 0604, 0644, 0620, 0601, 0660, 0777};
	struct hb_keyring k;
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(open_to_others); i++) {
		char right[PATH_MAX];

		snprintf(right, sizeof(right),
			"%04o, which lets others at its keys; run: chmod 600 %s",
			(unsigned)open_to_others[i], in_dir("k.yaml"));
		put("k.yaml", keys, open_to_others[i]);
		assert_int_equal(hb_keys_load(&k, in_dir("k.yaml"), &e), -EPERM);
		check_error(e.text, in_dir("k.yaml"), 1, "(whole file)", right);
	}
	put("k.yaml", keys, 0644);
	put("a.yaml", small, 0644);
	assert_int_equal(chmod(in_dir("keys.yaml"), 0644), 0);
	expect_error(5, "keys", "/keys.yaml:1: (whole file): has mode 0644");
	assert_int_equal(chmod(in_dir("keys.yaml"), 0600), 0);
}

static void
keys_that_are_wrong(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *path, *what;
	} bad[] = {
		{"issuer: " KEY_ISSUER "\n", 1, "epochs", "is missing; write one or two keys"},
		{"epochs: {}\n", 1, "epochs", "has 0 keys, where 1 or 2 belong"},
		{"epochs: { 1: " KEY_0 ", 2: " KEY_0 ", 3: " KEY_0 " }\n", 1, "epochs",
			"has 3 keys, where 1 or 2 belong"},
		{"epochs:\n  0: " KEY_0 "\n  0: " KEY_255 "\n", 3, "epochs.0",
			"is given twice, first on line 2"},
		{"epochs: { 256: " KEY_0 " }\n", 1, "epochs.256", "is not a key here"},
		{"epochs: { 00: " KEY_0 " }\n", 1, "epochs.00", "is not a key here"},
		{"epochs:\n  0: " KEY_0 "0\n", 2, "epochs.0", "has 33 hex digits, not 32"},
		{"epochs:\n  0: abcdefABCDEF\n", 2, "epochs.0", "has 12 hex digits, not 32"},
		{"epochs:\n  0: abcdefABCDEFg\n", 2, "epochs.0",
			"has something else than hex digits, as its character 13"},
		{"epochs: { 0: [" KEY_0 "] }\n", 1, "epochs.0", "is a list where a single value"},
		{"epochs: " KEY_0 "\n", 1, "epochs", "is a single value where a mapping"},
		{"epochs: { " KEY_0 ": 0 }\n", 1, "epochs.(not shown)", "is not a key here"},
		{"epochs: { 0: " KEY_0 " }\n" KEY_ISSUER ": issuer\n", 2, "(not shown)",
			"is not a key here; known here: epochs, issuer"},
		{"epochs: { 0: " KEY_0 " }\nissuer: \"" KEY_ISSUER " \"\n", 2, "issuer",
			"has something else than hex digits, as its character 33"},
		{"epochs: { 0: " KEY_0 " }\nissuer:\n", 2, "issuer", "has no value"},
		{"epochs: { 0: " KEY_0 " \n", 2, "epochs", "is not YAML"},
		{"epochs: { 0: ~ }\n", 1, "epochs.0", "(not shown) has no value"},
		{"", 1, "(whole file)", "is empty"},
	};
	struct hb_keyring k;
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		put("k.yaml", bad[i].text, 0600);
		assert_int_equal(hb_keys_load(&k, in_dir("k.yaml"), &e), -EINVAL);
		check_error(e.text, in_dir("k.yaml"), bad[i].line, bad[i].path, bad[i].what);
		check_nothing_shown(e.text);
	}
	assert_int_equal(hb_keys_load(&k, in_dir("none"), &e), -ENOENT);
	check_error(e.text, in_dir("none"), 1, "(whole file)", "No such file");
}

/* ---- profiles ----------------------------------------------------------------------- */

/* Where the source tree's profiles are: the build says so to every test. */
static const char *shipped_dir;

/* What a shipped profile says, one line each. */
struct shipped {
	const char *name;
	unsigned inputs, outputs, key_bytes, reta; /* the smallest RETA */
	enum hb_steering_wish steering;
	enum hb_kernel_driver kernel;
	unsigned rx, tx, needs;
};

#define SUMS (HB_OFFLOAD_IPV4_CKSUM | HB_OFFLOAD_UDP_CKSUM)
#define FREE HB_OFFLOAD_MBUF_FAST_FREE
#define SOFT HB_STEER_SOFTWARE, HB_KERNEL_NOT_PCI
#define RSS HB_STEER_RSS

/* clang-format off */
static const struct shipped shipped[] = {
	{"af_packet", 0, 0, 0, 0, SOFT, 0, 0, HB_NEED_NET_RAW},
	{"af_xdp", 1, 0, 0, 0, SOFT, 0, 0, HB_NEED_NET_RAW | HB_NEED_NET_ADMIN},
	{"ena", 0, 0, 40, 128, RSS, HB_KERNEL_VFIO_PCI, SUMS | HB_OFFLOAD_RSS_HASH, FREE, 0},
	{"i40e", 0, 0, 52, 512, RSS, HB_KERNEL_VFIO_PCI, SUMS, FREE, 0},
	{"ice", 0, 0, 52, 512, RSS, HB_KERNEL_VFIO_PCI, SUMS, FREE, 0},
	{"igb", 0, 0, 40, 128, RSS, HB_KERNEL_VFIO_PCI, SUMS, 0, 0},
	{"ixgbe", 0, 0, 40, 128, RSS, HB_KERNEL_VFIO_PCI, SUMS, 0, 0},
	{"memif", 0, 0, 0, 0, SOFT, 0, 0, 0},
	{"mlx5", 0, 0, 40, 512, RSS, HB_KERNEL_OWN, SUMS, FREE, 0},
	{"null", 0, 0, 0, 128, SOFT, 0, 0, 0},
	{"pcap", 1, 1, 0, 0, SOFT, 0, 0, 0},
	{"pcap_loop", 1, 1, 0, 0, SOFT, 0, 0, 0},
	{"ring", 0, 0, 0, 0, SOFT, 0, 0, 0},
	{"tap", 0, 0, 0, 0, SOFT, 0, 0, HB_NEED_TUN | HB_NEED_NET_ADMIN},
	{"vhost", 0, 1, 0, 0, SOFT, HB_OFFLOAD_UDP_CKSUM, 0, 0},
	{"virtio", 0, 0, 40, 128, RSS, HB_KERNEL_UIO_PCI_GENERIC, HB_OFFLOAD_UDP_CKSUM, 0, 0},
	{"virtio_user", 1, 0, 0, 0, SOFT, HB_OFFLOAD_UDP_CKSUM, 0, 0},
	{"vmxnet3", 0, 0, 0, 64, HB_STEER_SOFTWARE, HB_KERNEL_UIO_PCI_GENERIC, HB_OFFLOAD_UDP_CKSUM, 0, 0},
};
/* clang-format on */

static void
check_shipped(const struct shipped *want)
{
	struct hb_profile p;
	struct hb_error e = {""};

	if (hb_profile_load(&p, want->name, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(p.name, want->name);
	assert_true(strlen(p.description) > 10);
	assert_int_equal(p.vdev, want->kernel == HB_KERNEL_NOT_PCI);
	assert_int_equal(p.kernel_driver, want->kernel);
	assert_int_equal(p.steering, want->steering);
	assert_int_equal(p.rss_key_bytes, want->key_bytes);
	assert_int_equal(p.rss_retas > 0 ? p.rss_reta_entries[0] : 0, want->reta);
	assert_int_equal(p.rx_offloads, want->rx);
	assert_int_equal(p.tx_offloads, want->tx);
	assert_int_equal(p.needs, want->needs);
	assert_int_equal(p.file_arguments, want->inputs);
	assert_int_equal(p.output_arguments, want->outputs);
	/* A capture that is held in memory has small buffers. */
	assert_int_equal(p.mbuf_bytes, strcmp(want->name, "pcap_loop") == 0 ? 128 : 2048);
	assert_true(p.knowns > 0);
	for (unsigned i = 0; i < p.knowns; i++) {
		assert_true(strlen(p.known[i].what) > 20);
		assert_true(strlen(p.known[i].since) > 5);
		assert_true(strlen(p.known[i].source) > 10);
		assert_null(strchr(p.known[i].what, '\n'));
	}
}

static void
shipped_profiles(void **state)
{
	struct hb_profile p;
	struct hb_error e = {""};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(shipped); i++)
		check_shipped(&shipped[i]);
	assert_int_equal(hb_profile_load(&p, "pcap", &e), 0);
	assert_int_equal(p.rx_descriptors, 512);
	assert_int_equal(p.tx_descriptors, 512);
	assert_string_equal(p.file_argument[0], "rx_pcap");
	assert_string_equal(p.output_argument[0], "tx_pcap");
	assert_int_equal(hb_profile_load(&p, "memif", &e), 0);
	assert_int_equal(p.eal_args, 1);
	assert_string_equal(p.eal[0], "--single-file-segments");
	assert_int_equal(hb_profile_load(&p, "ixgbe", &e), 0);
	assert_int_equal(p.rss_retas, 2);
	assert_int_equal(p.rss_reta_entries[1], 512);
}

/* Whether a field of a profile has a comment above it, or a field just above that has one. */
static void
check_commented(const char *path)
{
	char line[400];
	unsigned number = 0;
	bool explained = false;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		number++;
		if (line[0] == '#')
			explained = true;
		else if (line[0] == '\n')
			explained = false;
		else if (line[0] != ' ' && strncmp(line, "description:", 12) != 0 && !explained)
			fail_msg("%s:%u: has no comment", path, number);
	}
	fclose(f);
}

/* The directory holds these profiles and no others, each field with its comment. */
static void
profiles_are_commented(void **state)
{
	char path[PATH_MAX];
	unsigned files = 0;
	DIR *d;

	(void)state;
	if (shipped_dir == NULL)
		fail_msg("HONGBAO_PROFILES isn't set to the tree's drivers-config");
	d = opendir(shipped_dir);
	assert_non_null(d);
	for (struct dirent *entry; (entry = readdir(d)) != NULL;)
		files += strlen(entry->d_name) > 5 &&
			 strcmp(entry->d_name + strlen(entry->d_name) - 5, ".yaml") == 0;
	closedir(d);
	assert_int_equal(files, HB_COUNT_OF(shipped));
	for (unsigned i = 0; i < HB_COUNT_OF(shipped); i++) {
		snprintf(path, sizeof(path), "%s/%s.yaml", shipped_dir, shipped[i].name);
		check_commented(path);
	}
}

#define PROFILE                                                                                    \
	"description: mine\nvdev: false\nrx_descriptors: 64\ntx_descriptors: 128\n"                \
	"mbuf_bytes: 4096\nsteering: rss\nrss: { key_bytes: 40, reta_entries: [64, 128] }\n"       \
	"offloads:\n  rx: [udp_cksum, ipv4_cksum]\n  tx: [mbuf_fast_free]\n"                       \
	"kernel_driver: vfio-pci\nneeds: [net_raw]\n"                                              \
	"eal: [-a, -b]\nfile_arguments: [in]\n"                                                    \
	"known:\n  - what: nothing\n    since: ever\n    source: me\n"

static void
check_own_profile(const struct hb_profile *p)
{
	assert_int_equal(p->tx_descriptors, 128);
	assert_int_equal(p->mbuf_bytes, 4096);
	assert_int_equal(p->steering, HB_STEER_RSS);
	assert_int_equal(p->rss_key_bytes, 40);
	assert_int_equal(p->rss_retas, 2);
	assert_int_equal(p->rss_reta_entries[0], 64);
	assert_int_equal(p->rx_offloads, HB_OFFLOAD_IPV4_CKSUM | HB_OFFLOAD_UDP_CKSUM);
	assert_int_equal(p->tx_offloads, HB_OFFLOAD_MBUF_FAST_FREE);
	assert_int_equal(p->kernel_driver, HB_KERNEL_VFIO_PCI);
	assert_string_equal(hb_kernel_driver_name(p->kernel_driver), "vfio-pci");
	assert_int_equal(p->needs, HB_NEED_NET_RAW);
	assert_int_equal(p->eal_args, 2);
	assert_string_equal(p->eal[1], "-b");
	assert_int_equal(p->output_arguments, 0);
	assert_int_equal(p->knowns, 1);
	assert_string_equal(p->known[0].what, "nothing");
	assert_string_equal(p->known[0].since, "ever");
	assert_string_equal(p->known[0].source, "me");
}

/* clang-format off */
static const struct bad bad_profiles[] = {
	{"rx_descriptors: 64", "rx_descriptors: 31", 3, "rx_descriptors", "31 is outside 32 to 32768"},
	{"mbuf_bytes: 4096", "mbuf_bytes: 65281", 5, "mbuf_bytes", "outside 128 to 65280"},
	{"vdev: false", "vdev: 0", 2, "vdev", "0 is neither true nor false"},
	{"steering: rss\n", "", 1, "steering", "is missing; write rss where"},
	{"steering: rss\n", "steering: rsss\n", 6, "steering", "rsss is not known here; write one of: software, rss"},
	{"steering: rss\n", "rss_key: true\nsteering: rss\n", 6, "rss_key", "is not a key here"},
	{"rss: {", "rss: 40 #", 7, "rss", "is a single value where a mapping of keys belongs"},
	{"rss: { key_bytes: 40, reta_entries: [64, 128] }\n", "", 1, "rss", "is missing, though steering is rss; write what the driver takes"},
	{"key_bytes: 40", "key_bytes: 39", 6, "steering", "rss takes a key of 40 bytes or more and a RETA of 128"},
	{"key_bytes: 40", "key_bytes: 257", 7, "rss.key_bytes", "257 is outside 0 to 256; write the bytes of the RSS key"},
	{"key_bytes: 40, ", "", 7, "rss.key_bytes", "is missing; write the bytes of the RSS key"},
	{"[64, 128]", "[64, 127]", 6, "steering", "a RETA of 128 entries or more; write steering: software"},
	{"[64, 128]", "[64, 65536]", 7, "rss.reta_entries", "65536 is outside 0 to 65535"},
	{"[64, 128]", "[1, 2, 3, 4, 128]", 7, "rss.reta_entries", "has 5 entries, where 1 to 4"},
	{"[64, 128]", "[64, 12x]", 7, "rss.reta_entries[1]", "12x is not a whole number"},
	{"key_bytes: 40", "keybytes: 40", 7, "rss.keybytes", "did you mean key_bytes?"},
	{"  rx: [udp_cksum", "  rx: [udp_sum", 9, "offloads.rx[0]", "write one of: ipv4_cksum, udp_cksum, rss_hash"},
	{"tx: [mbuf_fast_free]", "tx: [rss_hash]", 10, "offloads.tx[0]", "write one of: ipv4_cksum, udp_cksum, mbuf_fast_free"},
	{"  tx: [mbuf_fast_free]\n", "", 8, "offloads.tx", "is missing; write a list of ipv4_cksum, udp_cksum, mbuf_fast_free"},
	{"  rx: [udp_cksum, ipv4_cksum]", "  rx: udp_cksum", 9, "offloads.rx", "is a single value where a list belongs"},
	{"kernel_driver: vfio-pci", "kernel_driver: vfio", 11, "kernel_driver", "write one of: none, vfio-pci, uio_pci_generic"},
	{"kernel_driver: vfio-pci\n", "", 1, "kernel_driver", "is missing, though vdev is false; write vfio-pci"},
	{"vdev: false", "vdev: true", 11, "kernel_driver", "is for a PCI device, but vdev is true; leave it out"},
	{"needs: [net_raw]", "needs: [net]", 12, "needs[0]", "write one of: tun, net_admin, net_raw"},
	{"eal: [-a", "eal: [1, 2, 3, 4, 5, 6, 7, 8", 13, "eal", "has 9 entries, where 0 to 8"},
	{"    source: me\n", "", 16, "known[0].source", "is missing; write where it is said"},
	{"since: ever", "since: \"\"", 17, "known[0].since", "is empty"},
	{"    since: ever", "    sense: ever", 17, "known[0].sense", "did you mean since?"},
	{"vdev:", "vdve:", 2, "vdve", "did you mean vdev?"},
};
/* clang-format on */

static void
own_profiles(void **state)
{
	struct hb_profile p;
	struct hb_error e = {""};

	(void)state;
	setenv("HONGBAO_PROFILES", dir, 1);
	put("mine.yaml", PROFILE, 0644);
	if (hb_profile_load(&p, "mine", &e) != 0)
		fail_msg("%s", e.text);
	check_own_profile(&p);
	for (unsigned i = 0; i < HB_COUNT_OF(bad_profiles); i++) {
		const struct bad *bad = &bad_profiles[i];
		char *text = changed(PROFILE, bad->from, bad->to);

		put("mine.yaml", text, 0644);
		free(text);
		if (hb_profile_load(&p, "mine", &e) != -EINVAL)
			fail_msg("was taken: %s", bad->to);
		check_error(e.text, in_dir("mine.yaml"), bad->line, bad->path, bad->what);
	}
	assert_int_equal(hb_profile_load(&p, "pcap", &e), 0);
	assert_int_equal(hb_profile_load(&p, "nothere", &e), -ENOENT);
	assert_non_null(strstr(e.text, "there is no profile nothere; known: "));
	assert_non_null(strstr(e.text, " mine,"));
	assert_non_null(strstr(e.text, " virtio_user"));
	assert_int_equal(hb_profile_load(&p, "sub/mine", &e), -EINVAL);
	assert_non_null(strstr(e.text, "sub/mine is no name of a profile; write one without"));
	assert_int_equal(hb_profile_load(&p, "", &e), -EINVAL);
	unsetenv("HONGBAO_PROFILES");
	assert_int_equal(unlink(in_dir("mine.yaml")), 0);
}

/* ---- whatever the file holds -------------------------------------------------------- */

/* Taken, or refused with a line as every other. Returns whether it was taken. */
static bool
either_way(const char *bytes, size_t n)
{
	struct hb_config *c = NULL;
	struct hb_error e = {""};

	put_bytes("a.yaml", bytes, n, 0644);
	int rc = hb_config_load(&c, file, &e);
	assert_true(rc <= 0);
	if (rc != 0)
		check_shape(e.text, file);
	hb_config_free(c);
	return rc == 0;
}

static void
every_truncation(void **state)
{
	unsigned taken = 0;

	(void)state;
	for (size_t n = 0; n < sizeof(good); n++)
		taken += either_way(good, n);
	/* The whole, without its last newline, with one campaign, and that without its later keys.
	 */
	assert_in_range(taken, 3, 200);
}

static void
mutations(void **state)
{
	static const char special[] = "\0\t\n \"'#%&*,-.:?[]{}|>~!@0123456789e\x80\xff";
	uint64_t random = 20150218;
	char text[sizeof(good)];
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		memcpy(text, good, sizeof(good));
		uint64_t r = hb_splitmix64(&random);
		size_t at = r % (sizeof(good) - 1);

		text[at] = (r & 1ull << 40) != 0 ? special[(r >> 48) % (sizeof(special) - 1)]
						 : (char)(r >> 56);
		taken += either_way(text, sizeof(good) - 1);
	}
	assert_in_range(taken, 100, 5000);
}

static void
mutated_keys(void **state)
{
	uint64_t random = 7;
	char text[sizeof(keys)];
	struct hb_keyring k;
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		memcpy(text, keys, sizeof(keys));
		uint64_t r = hb_splitmix64(&random);

		text[r % (sizeof(keys) - 1)] = (char)(r >> 56);
		put_bytes("k.yaml", text, sizeof(keys) - 1 - ((r >> 32) % 3), 0600);
		if (hb_keys_load(&k, in_dir("k.yaml"), &e) == 0)
			continue;
		check_shape(e.text, in_dir("k.yaml"));
		check_nothing_shown(e.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_given),
		cmocka_unit_test(defaults),
		cmocka_unit_test(packets_and_bundles),
		cmocka_unit_test(still_good),
		cmocka_unit_test(relative_to_the_file),
		cmocka_unit_test(not_of_the_schema),
		cmocka_unit_test(numbers),
		cmocka_unit_test(no_sense),
		cmocka_unit_test(operation),
		cmocka_unit_test(ports_and_files),
		cmocka_unit_test(a_port_may_have_its_own_addresses),
		cmocka_unit_test(no_yaml),
		cmocka_unit_test(lengths),
		cmocka_unit_test(too_many_ports),
		cmocka_unit_test(no_file),
		cmocka_unit_test(file_out_of_reach),
		cmocka_unit_test_teardown(device_out_of_reach, become_root_again),
		cmocka_unit_test(strange_name),
		cmocka_unit_test(bomb),
		cmocka_unit_test(many_barred_users),
		cmocka_unit_test(keys_are_read),
		cmocka_unit_test(keys_modes),
		cmocka_unit_test(keys_that_are_wrong),
		cmocka_unit_test(shipped_profiles),
		cmocka_unit_test(profiles_are_commented),
		cmocka_unit_test(own_profiles),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(mutations),
		cmocka_unit_test(mutated_keys),
	};

	shipped_dir = getenv("HONGBAO_PROFILES");
	if (shipped_dir != NULL)
		shipped_dir = strdup(shipped_dir);
	unsetenv("HONGBAO_PROFILES");
	return cmocka_run_group_tests_name("config", tests, begin, end);
}
