/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-audit: proves the books from a journal alone. */
#include "books.h"
#include "database.h"
#include "hb_follow.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

static const char usage[] =
	"usage: hongbao-audit [--json] [--database CONNINFO] JOURNAL\n"
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
	"      --database CONNINFO   hold the journal against what hongbao-settle brought there, "
	"too:\n"
	"                  each record that is missing, surplus or different is said; records "
	"that\n"
	"                  aren't settled yet are counted, and are no difference\n"
	"      --json      the same as JSON\n"
	"      --help      this text\n"
	"      --version   the version\n"
	"\n"
	"exit codes: 0 the books balance; 1 they don't, the database differs, or the journal is "
	"damaged; 2 wrong\n"
	"            command line; 3 no journal there, or the database's schema or password is "
	"wrong; 4 the database\n"
	"            cannot be reached\n";

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
	uint64_t gone = b->wins + b->returned, gone_fen = b->fen + b->returned_fen;
	uint64_t left = b->funded > gone ? b->funded - gone : 0;
	uint64_t left_fen = b->total_fen > gone_fen ? b->total_fen - gone_fen : 0;

	printf("campaign %u: funded %s envelopes, %s", id, hb_thousands(b->funded, n[0]),
		yuan(b->total_fen, y[0], sizeof(y[0])));
	print_top_ups(b);
	printf("; given %s, %s", hb_thousands(b->wins, n[1]), yuan(b->fen, y[1], sizeof(y[1])));
	if (b->bundles > 0)
		printf(" (of which %s, %s as bundles, of whose money %s came back)",
			hb_thousands(b->bundles, n[2]), yuan(b->bundles_fen, y[2], sizeof(y[2])),
			yuan(b->refunded_fen, y[3], sizeof(y[3])));
	if (b->blocks > 0)
		printf("; %u blocks of a shared budget, of which %s, %s went back", b->blocks,
			hb_thousands(b->returned, n[2]), yuan(b->returned_fen, y[2], sizeof(y[2])));
	if (b->rows > 0)
		printf("; %s users came from other hosts", hb_thousands(b->rows, n[2]));
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
			 "s:I, s:i, s:I, s:I, s:I, s:I, s:b}",
		"campaign", id, "funded", (json_int_t)b->funded, "funded_fen",
		(json_int_t)b->total_fen, "top_ups", top_ups_json(b), "given", (json_int_t)b->wins,
		"given_fen", (json_int_t)b->fen, "users", (json_int_t)b->users, "largest_user",
		(json_int_t)b->largest_user, "largest_user_wins", (json_int_t)b->largest_wins,
		"largest_user_fen", (json_int_t)b->largest_fen, "first_us", (json_int_t)b->first_us,
		"last_us", (json_int_t)b->last_us, "bundles", (json_int_t)b->bundles, "bundles_fen",
		(json_int_t)b->bundles_fen, "refunded_fen", (json_int_t)b->refunded_fen, "blocks",
		(int)b->blocks, "returned", (json_int_t)b->returned, "returned_fen",
		(json_int_t)b->returned_fen, "rows", (json_int_t)b->rows, "faults",
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

static json_t *
database_json(const struct database_books *d)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "settled",
		(json_int_t)d->settled, "compared", (json_int_t)d->compared, "missing",
		(json_int_t)d->missed, "extra", (json_int_t)d->surplus, "different",
		(json_int_t)d->different, "set_aside", (json_int_t)d->set_aside,
		"packets_miscounted", (json_int_t)d->miscounted, "journal_fen",
		(json_int_t)d->journal_fen, "database_fen", (json_int_t)d->database_fen,
		"unsettled", (json_int_t)d->unsettled, "unsettled_fen",
		(json_int_t)d->unsettled_fen, "equal", d->faults == 0);
}

static void
print_database(const struct database_books *d)
{
	char n[6][32], y[3][48];

	printf("database: %s records settled, %s to be paid out, in the database %s",
		hb_thousands(d->settled, n[0]), yuan(d->journal_fen, y[0], sizeof(y[0])),
		yuan(d->database_fen, y[1], sizeof(y[1])));
	if (d->faults != 0)
		printf("; missing %s, surplus %s, different %s, set aside %s",
			hb_thousands(d->missed, n[1]), hb_thousands(d->surplus, n[2]),
			hb_thousands(d->different, n[3]), hb_thousands(d->set_aside, n[4]));
	if (d->unsettled != 0)
		printf("; not settled yet: %s records, %s", hb_thousands(d->unsettled, n[5]),
			yuan(d->unsettled_fen, y[2], sizeof(y[2])));
	printf("; %s\n", d->faults == 0 ? "equal to the journal" : "NOT equal to the journal");
}

static void
print_json(const struct books *b, const struct database_books *d, const struct hb_journal_reader *r)
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
	if (d != NULL)
		json_object_set_new(o, "database", database_json(d));
	json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

static void
print_text(const struct books *b, const struct database_books *d, const struct hb_journal_reader *r)
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
	if (d != NULL)
		print_database(d);
	printf("books: %s (%s records in %s segment%s)\n",
		b->faults == 0 ? "balanced" : "NOT balanced", hb_thousands(b->records, n[0]),
		hb_thousands(r->last, n[1]), r->last == 1 ? "" : "s");
}

/* Enters a batch of records, of which the first has number `first`. */
static int
enter_batch(struct books *b, struct database_books *d, uint64_t first, const struct hb_record *r,
	int n, const char *path, struct hb_error *e)
{
	int err = 0;

	for (int i = 0; i < n && err == 0; i++) {
		if (books_enter(b, &r[i]) != 0)
			return hb_fail(e, ENOMEM,
				"no memory for the books of %s; run it on a larger machine", path);
		if (d != NULL)
			err = database_enter(d, first + (uint64_t)i, &r[i], e);
	}
	return err;
}

static int
read_journal(struct books *b, struct database_books *d, struct hb_journal_reader *r,
	const char *path, struct hb_error *e)
{
	const struct hb_record *record;
	struct hb_progress progress;
	int n, err = hb_journal_read_begin(r, path, e);

	if (err != 0)
		return err;
	hb_journal_read_ahead(r);
	hb_progress_begin(&progress, "reading", "bytes", r->total_bytes);
	while (err == 0 && (n = hb_journal_read(r, &record, e)) != 0) {
		err = n < 0 ? n : enter_batch(b, d, r->record - (uint64_t)n, record, n, path, e);
		hb_progress_update(&progress, r->read_bytes);
	}
	hb_progress_end(&progress);
	if (err == 0 && d != NULL)
		err = database_close(d, e);
	return err;
}

/* Looks at the database before the journal is read. */
static int
begin_database(struct database_books *d, const char *conninfo, const char *path, struct hb_error *e)
{
	static struct hb_follower f;
	int err = hb_follow_begin(&f, path, e);
	uint64_t id = f.id;

	if (f.disk != NULL)
		hb_follow_end(&f);
	return err != 0 ? err : database_begin(d, conninfo, id, e);
}

static int
exit_code(int err, bool faulty, bool of_database)
{
	switch (err) {
	case 0:
		return faulty ? HB_EXIT_FAILED : HB_EXIT_OK;
	case -ENOENT:
	case -ENOTDIR:
	case -EACCES:
	case -EPROTO:
		return HB_EXIT_CONFIG;
	case -EAGAIN:
		return of_database ? HB_EXIT_HOST : HB_EXIT_FAILED;
	default:
		return HB_EXIT_FAILED;
	}
}

static int
audit(const char *path, const char *conninfo, bool json)
{
	static struct books b = {.say = say_fault};
	static struct database_books of_database = {.say = say_fault};
	struct database_books *d = conninfo == NULL ? NULL : &of_database;
	static struct hb_journal_reader r;
	struct hb_error e;
	int err = d == NULL ? 0 : begin_database(d, conninfo, path, &e);

	if (err == 0)
		err = read_journal(&b, d, &r, path, &e);
	if (err == 0) {
		books_close(&b);
		if (json)
			print_json(&b, d, &r);
		else
			print_text(&b, d, &r);
	} else {
		say_fault(e.text);
	}
	hb_journal_read_end(&r);
	bool faulty = b.faults != 0 || of_database.faults != 0;
	books_free(&b);
	database_free(&of_database);
	return exit_code(err, faulty, d != NULL);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"database", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	const char *conninfo = NULL;
	bool json = false;
	struct hb_error e;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			conninfo = optarg;
			break;
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
	if (conninfo != NULL && hb_db_check_conninfo(conninfo, true, &e) != 0) {
		fprintf(stderr, "hongbao-audit: %s\n", e.text);
		return HB_EXIT_USAGE;
	}
	return audit(argv[optind], conninfo, json);
}
