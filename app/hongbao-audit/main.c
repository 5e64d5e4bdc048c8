/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-audit: proves the books from a journal alone. */
#include "books.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

static const char usage[] =
	"usage: hongbao-audit [--json] JOURNAL\n"
	"\n"
	"Reads a journal's directory and says for each campaign what it was "
	"funded with (top-ups too), what was given\n"
	"and what is left, and whether that balances: no envelope twice, each "
	"of the amount that the\n"
	"campaign's terms make, nobody above the highest quota that it had, no record missing. And "
	"of "
	"the group packets what was\n"
	"funded, taken, refunded and is left, and whether that balances for each: funded first, "
	"nobody twice, no share\n"
	"out of bounds, what was left given back once and in time. It changes nothing, and may "
	"read "
	"the journal of a\n"
	"running hongbaod.\n"
	"\n"
	"      --json      the same as JSON\n"
	"      --help      this text\n"
	"      --version   the version\n"
	"\n"
	"exit codes: 0 the books balance; 1 they don't, or the journal is "
	"damaged; 2 wrong command line;\n"
	"            3 no journal there\n";

static void
say_fault(const char *line)
{
	fprintf(stderr, "hongbao-audit: %s\n", line);
}

/* "12,345.67 yuan" */
static const char *
yuan(uint64_t fen, char *out, size_t bytes)
{
	char number[32];

	snprintf(
		out, bytes, "%s.%02u yuan", hb_thousands(fen / 100, number), (unsigned)(fen % 100));
	return out;
}

/* What of the funding came later. */
static void
print_top_ups(const struct book *b)
{
	uint64_t envelopes = 0, fen = 0;
	char n[32], y[48];

	for (unsigned i = 0; i < b->top_ups; i++) {
		envelopes += b->top_up[i].envelopes;
		fen += b->top_up[i].fen;
	}
	if (b->top_ups > 0)
		printf(" (of which %s, %s by %u top-up%s)", hb_thousands(envelopes, n),
			yuan(fen, y, sizeof(y)), b->top_ups, b->top_ups == 1 ? "" : "s");
}

static void
print_campaign(unsigned id, const struct book *b)
{
	char n[4][32], y[4][48];
	uint64_t left = b->funded > b->wins ? b->funded - b->wins : 0;
	uint64_t left_fen = b->total_fen > b->fen ? b->total_fen - b->fen : 0;

	printf("campaign %u: funded %s envelopes, %s", id, hb_thousands(b->funded, n[0]),
		yuan(b->total_fen, y[0], sizeof(y[0])));
	print_top_ups(b);
	printf("; given %s, %s", hb_thousands(b->wins, n[1]), yuan(b->fen, y[1], sizeof(y[1])));
	if (b->bundles > 0)
		printf(" (of which %s, %s as bundles, of whose money %s came back)",
			hb_thousands(b->bundles, n[2]), yuan(b->bundles_fen, y[2], sizeof(y[2])),
			yuan(b->refunded_fen, y[3], sizeof(y[3])));
	printf("; left %s, %s; users %s", hb_thousands(left, n[2]),
		yuan(left_fen, y[2], sizeof(y[2])), hb_thousands(b->users, n[3]));
	if (b->users > 0)
		printf("; largest user %llu: %llu win%s, %s", (unsigned long long)b->largest_user,
			(unsigned long long)b->largest_wins, b->largest_wins == 1 ? "" : "s",
			yuan(b->largest_fen, y[3], sizeof(y[3])));
	printf("; %s\n", b->faults == 0 ? "balanced" : "NOT balanced");
}

/* Each top-up, in the journal's order; they are in `funded` too. */
static json_t *
top_ups_json(const struct book *b)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < b->top_ups; i++)
		json_array_append_new(all, json_pack("{s:I, s:I, s:I}", "envelopes",
						   (json_int_t)b->top_up[i].envelopes, "fen",
						   (json_int_t)b->top_up[i].fen, "time_us",
						   (json_int_t)b->top_up[i].time_us));
	return all;
}

static json_t *
campaign_json(unsigned id, const struct book *b)
{
	return json_pack("{s:i, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I, s:b}",
		"campaign", id, "funded", (json_int_t)b->funded, "funded_fen",
		(json_int_t)b->total_fen, "top_ups", top_ups_json(b), "given", (json_int_t)b->wins,
		"given_fen", (json_int_t)b->fen, "users", (json_int_t)b->users, "largest_user",
		(json_int_t)b->largest_user, "largest_user_wins", (json_int_t)b->largest_wins,
		"largest_user_fen", (json_int_t)b->largest_fen, "first_us", (json_int_t)b->first_us,
		"last_us", (json_int_t)b->last_us, "bundles", (json_int_t)b->bundles, "bundles_fen",
		(json_int_t)b->bundles_fen, "refunded_fen", (json_int_t)b->refunded_fen, "faults",
		(json_int_t)b->faults, "balanced", b->faults == 0);
}

static json_t *
packets_json(const struct packet_books *b)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
		"packets", (json_int_t)b->packets, "fen", (json_int_t)b->fen, "bundles",
		(json_int_t)b->bundles, "bundles_fen", (json_int_t)b->bundles_fen, "taken",
		(json_int_t)b->taken, "taken_fen", (json_int_t)b->taken_fen, "refunded",
		(json_int_t)b->refunded, "refunded_fen", (json_int_t)b->refunded_fen, "open",
		(json_int_t)b->open, "left_fen", (json_int_t)b->left_fen, "used_again",
		(json_int_t)b->used_again, "faults", (json_int_t)b->faults, "balanced",
		b->faults == 0);
}

static void
print_packets(const struct packet_books *b)
{
	char n[6][32], y[5][48];

	if (b->packets == 0 && b->faults == 0)
		return;
	printf("packets: funded %s, %s", hb_thousands(b->packets, n[0]),
		yuan(b->fen, y[0], sizeof(y[0])));
	if (b->bundles > 0)
		printf(" (of which %s, %s are bundles)", hb_thousands(b->bundles, n[1]),
			yuan(b->bundles_fen, y[1], sizeof(y[1])));
	printf("; taken %s shares, %s; refunded %s, %s; left in %s, %s",
		hb_thousands(b->taken, n[2]), yuan(b->taken_fen, y[2], sizeof(y[2])),
		hb_thousands(b->refunded, n[3]), yuan(b->refunded_fen, y[3], sizeof(y[3])),
		hb_thousands(b->open, n[4]), yuan(b->left_fen, y[4], sizeof(y[4])));
	if (b->used_again > 0)
		printf("; %s with the id of an earlier one, which was done",
			hb_thousands(b->used_again, n[5]));
	printf("; %s\n", b->faults == 0 ? "balanced" : "NOT balanced");
}

static void
print_json(const struct books *b, const struct hb_journal_reader *r)
{
	json_t *campaigns = json_array();

	for (unsigned c = 0; c < HB_COUNT_OF(b->of); c++) {
		if (b->of[c] != NULL)
			json_array_append_new(campaigns, campaign_json(c, b->of[c]));
	}
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "segments",
		(json_int_t)r->last, "records", (json_int_t)b->records, "torn_bytes",
		(json_int_t)r->torn, "faults", (json_int_t)b->faults, "balanced", b->faults == 0,
		"campaigns", campaigns, "packets", packets_json(&b->packets));
	json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

static void
print_text(const struct books *b, const struct hb_journal_reader *r)
{
	char n[2][32];

	for (unsigned c = 0; c < HB_COUNT_OF(b->of); c++) {
		if (b->of[c] != NULL)
			print_campaign(c, b->of[c]);
	}
	print_packets(&b->packets);
	if (r->torn != 0)
		printf("torn tail: the last %llu bytes of segment %u hold a batch that was never "
		       "finished; nobody was told of it\n",
			(unsigned long long)r->torn, r->last);
	printf("books: %s (%s records in %s segment%s)\n",
		b->faults == 0 ? "balanced" : "NOT balanced", hb_thousands(b->records, n[0]),
		hb_thousands(r->last, n[1]), r->last == 1 ? "" : "s");
}

static int
read_journal(struct books *b, struct hb_journal_reader *r, const char *path, struct hb_error *e)
{
	const struct hb_record *record;
	struct hb_progress progress;
	int n, err = hb_journal_read_begin(r, path, e);

	if (err != 0)
		return err;
	hb_journal_read_ahead(r);
	hb_progress_begin(&progress, "reading", "bytes", r->total_bytes);
	while ((n = hb_journal_read(r, &record, e)) > 0) {
		for (int i = 0; i < n && err == 0; i++)
			err = books_enter(b, &record[i]);
		if (err != 0) {
			n = hb_fail(e, -err,
				"no memory for the books of %s; run it on a larger machine", path);
			break;
		}
		hb_progress_update(&progress, r->read_bytes);
	}
	hb_progress_end(&progress);
	return n;
}

static int
audit(const char *path, bool json)
{
	static struct books b = {.say = say_fault};
	struct hb_journal_reader r;
	struct hb_error e;
	int err = read_journal(&b, &r, path, &e);

	if (err == 0) {
		books_close(&b);
		if (json)
			print_json(&b, &r);
		else
			print_text(&b, &r);
	} else {
		say_fault(e.text);
	}
	hb_journal_read_end(&r);
	int faulty = b.faults != 0;
	books_free(&b);
	if (err == -ENOENT || err == -ENOTDIR || err == -EACCES)
		return HB_EXIT_CONFIG;
	return err != 0 || faulty ? HB_EXIT_FAILED : HB_EXIT_OK;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return HB_EXIT_OK;
		case 'v':
			puts("hongbao-audit " HB_VERSION);
			return HB_EXIT_OK;
		default:
			fprintf(stderr,
				"hongbao-audit: no such option: %s; try: hongbao-audit --help\n",
				argv[optind - 1]);
			return HB_EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		fprintf(stderr,
			"hongbao-audit: name one journal's directory; try: hongbao-audit --help\n");
		return HB_EXIT_USAGE;
	}
	return audit(argv[optind], json);
}
