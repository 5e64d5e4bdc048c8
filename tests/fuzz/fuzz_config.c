/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration file from anybody, or a key with its value: taken or refused with a line. What is
 * taken is written as a file, read again, and must be the same. An input begins with a byte: 1 is
 * followed by "CAMPAIGN KEY\nVALUE" to be set; another below 32 by a file; else it is a file
 * itself.
 */
#include "fuzz.h"

#include "hb_change.h"
#include "hb_snapshot.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] =
	"host: 3\n"
	"listen: { ipv4: 10.0.0.1, base_port: 8192 }\n"
	"ports: [{ profile: \"null\", device: net_null0, ipv6: 2001:db8::1 }]\n"
	"workers: 4\n"
	"users: 1000\n"
	"journal: journal\n"
	"keys: keys.yaml\n"
	"seed: 1\n"
	"deny: [77, 78]\n"
	"slices: [0, 31]\n"
	"control: { socket: c.sock, group: ops, change: [alice, \"@ops\"] }\n"
	"metrics: \"[::1]:9180\"\n"
	"log: { level: debug, file: log.txt }\n"
	"overload: { shed: false, wait: 77 }\n"
	"idle: sleep\n"
	"campaign_room: 2\n"
	"campaigns:\n"
	"  - id: 7\n"
	"    name: \"say \\\"春晚\\\" \\u2028\"\n"
	"    opens: \"2015-02-18T22:30:00+08:00\"\n"
	"    closes: 1424273400000\n"
	"    envelopes: { count: 120000, total: 60000000, split: equal }\n"
	"    odds: 1.7e-2\n"
	"    password: 'it''s'\n"
	"  - id: 8\n"
	"    opens: 1000\n"
	"    closes: 2000\n"
	"    envelopes: { tiers: [{ count: 3, amount: 500 }, { count: 1, amount: 200 }] }\n";

static char dir[] = "/tmp/hb-fuzz-XXXXXX";
static char file[64], key_file[64];

static void
clean_up(void)
{
	unlink(key_file);
	rmdir(dir);
}

/* A directory with the key file that the configurations name. */
static void
prepare(void)
{
	static bool prepared;

	if (prepared)
		return;
	prepared = true;
	must(mkdtemp(dir) != NULL && hb_wire_init() == 0);
	snprintf(file, sizeof(file), "%s/a.yaml", dir);
	snprintf(key_file, sizeof(key_file), "%s/keys.yaml", dir);
	FILE *f = fopen(key_file, "w");
	must(f != NULL && fputs("epochs: { 0: 00010203040506070809101112131415 }\n", f) > 0);
	must(fclose(f) == 0 && chmod(key_file, 0600) == 0);
	must(atexit(clean_up) == 0);
}

/* Refused in one line. */
static void
check_line(const struct hb_error *e)
{
	must(e->text[0] != '\0' && strstr(e->text, ": ") != NULL);
	for (const char *p = e->text; *p != '\0'; p++)
		must((unsigned char)*p >= 0x20);
}

static void
check_same(const struct hb_config *c)
{
	char *text = hb_config_text(c, true);
	struct hb_changes changes = {0};
	struct hb_config *read = NULL;
	struct hb_error e = {""};

	must(text != NULL);
	must(hb_config_parse(&read, text, strlen(text), file, &e) == 0);
	must(hb_config_compare(c, read, &changes, &e) == 0 && changes.count == 0);
	hb_changes_free(&changes);
	hb_config_free(read);
	free(text);
}

static void
check_taken(struct hb_config *c)
{
	struct hb_config *copy = hb_config_copy(c);
	struct hb_snapshot *s = hb_snapshot_make(c);

	must(copy != NULL && s != NULL && s->campaigns == c->campaigns);
	check_same(copy);
	hb_snapshot_free(s);
	hb_config_free(copy);
	hb_config_free(c);
}

static void
try_file(const char *text, size_t n)
{
	struct hb_config *c = NULL;
	struct hb_error e = {""};

	if (hb_config_parse(&c, text, n, file, &e) == 0)
		check_taken(c);
	else
		check_line(&e);
}

static void
try_key(const char *line)
{
	struct hb_config *c = NULL;
	struct hb_error e = {""};
	char *copy = strdup(line), *rest = copy;

	must(copy != NULL);
	must(hb_config_parse(&c, good, sizeof(good) - 1, file, &e) == 0);
	unsigned campaign = (unsigned)strtoul(rest, &rest, 10);
	const char *key = strsep(&rest, "\n"), *value = rest;

	key += key[0] == ' ';
	if (hb_config_set(c, (uint16_t)campaign, key, value, &e) == 0)
		check_taken(c);
	else {
		check_line(&e);
		hb_config_free(c);
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	prepare();
	if (size == 0)
		return 0;
	/* The block's end is the text's end, for the sanitizer to see. */
	size_t skip = data[0] < 32, n = size - skip;
	char *text = malloc(n + (data[0] == 1));

	memcpy(text, data + skip, n);
	if (data[0] == 1) {
		text[n] = '\0';
		try_key(text);
	} else {
		try_file(text, n);
	}
	free(text);
	return 0;
}

size_t
hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX])
{
	if (which > 0)
		return 0;
	out[0] = 0;
	memcpy(out + 1, good, sizeof(good) - 1);
	return sizeof(good);
}
