/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `hongbaoctl report`: the night as one HTML file, or as JSON. The page needs nothing else: its
 * curves are SVG, it has no script, and its own policy forbids it to ask for anything.
 */
#include "chart.h"
#include "table.h"
#include "talk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* With more rows than these the minutes tell more than the seconds. */
#define SECONDS_ENOUGH 3600.0

static const char style[] =
	":root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--faint:#5c5c5c;--line:#d5d5d5;"
	"--red:#b00020}"
	"@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#141414;--faint:#a8a8a8;"
	"--line:#3a3a3a;--red:#ff6b6b}}"
	"body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
	"max-width:64rem;margin:2rem auto;padding:0 1rem}"
	"h1{margin:0}h2{margin:2.5rem 0 .5rem;border-bottom:2px solid var(--red)}"
	"h3{margin:1rem 0 0;font-size:1rem}"
	".peak{font-size:3rem;font-weight:700;line-height:1.1;margin:1rem 0 0}"
	".faint,figcaption{color:var(--faint)}"
	"div.table{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:"
	"tabular-nums}"
	"td,th{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top;"
	"border-bottom:1px solid var(--line)}td.n,th.n{text-align:right}"
	"figure{margin:0}figcaption span{margin-right:1.5rem}"
	"svg{width:100%;height:auto}svg.key{width:30px;height:8px}"
	"svg text{font-size:12px;fill:var(--faint)}"
	"svg .y,svg .last{text-anchor:end}svg .x{text-anchor:middle}"
	"svg path{fill:none;stroke-width:1.6}"
	"svg .grid{stroke:var(--line);stroke-width:1}svg .mark{stroke:var(--red);"
	"stroke-width:1;stroke-dasharray:2 3}"
	".c0{stroke:#c8102e}.c1{stroke:#1f77b4;stroke-dasharray:6 3}.c2{stroke:#2e8b57;"
	"stroke-dasharray:2 2}.c3{stroke:#b8860b;stroke-dasharray:9 3 2 3}"
	".c4{stroke:#8a4fbf}.c5{stroke:#008b8b;stroke-dasharray:6 3}"
	".c6{stroke:#d2691e;stroke-dasharray:2 2}.c7{stroke:#708090;stroke-dasharray:9 3 2 3}";

/* ---- pieces -------------------------------------------------------------------------- */

static double
number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static void
put_row(FILE *f, const struct table *t, size_t row)
{
	const char *tag = row == 0 ? "th" : "td";

	fputs("<tr>", f);
	for (size_t k = 0; k < t->columns; k++) {
		const struct cell *c = table_at(t, row, k);

		fprintf(f, "<%s%s%s>", tag, row == 0 ? " scope=\"col\"" : "",
			c->right ? " class=\"n\"" : "");
		html_put(f, c->text);
		fprintf(f, "</%s>", tag);
	}
	fputs("</tr>\n", f);
}

static void
put_table(FILE *f, const json_t *array, const char *otherwise)
{
	struct table t;

	if (json_array_size(array) == 0) {
		fprintf(f, "<p>%s</p>\n", otherwise);
		return;
	}
	table_make(&t, array);
	fputs("<div class=\"table\"><table>\n", f);
	for (size_t i = 0; i < t.rows; i++)
		put_row(f, &t, i);
	fputs("</table></div>\n", f);
	table_free(&t);
}

static void
put_heading(FILE *f, const char *text)
{
	fprintf(f, "<h2>%s</h2>\n", text);
}

/* An object of single values as a table of one row. */
static void
put_object(FILE *f, const json_t *o)
{
	json_t *rows = json_array();

	json_array_append(rows, (json_t *)o);
	put_table(f, rows, "");
	json_decref(rows);
}

/* ---- the head ------------------------------------------------------------------------ */

static void
put_head(FILE *f, const json_t *now)
{
	char from[48], to[48];

	fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'\">\n<title>hongbao: a night's report</title>\n"
		"<style>%s</style>\n</head>\n<body>\n",
		style);
	fprintf(f, "<h1>hongbao: the night of host %.0f</h1>\n", number(now, "host"));
	fprintf(f, "<p>From %s to %s; ", text_time(number(now, "started_us"), false, from),
		text_time(number(now, "time_us"), false, to));
	html_put(f, json_string_value(json_object_get(now, "state")));
	fputs(" when this was written. hongbaod ", f);
	html_put(f, json_string_value(json_object_get(now, "version")));
	fputs(".</p>\n", f);
}

static void
put_peak(FILE *f, const json_t *now)
{
	const json_t *peak = json_object_get(now, "peak");
	char n[48], when[48];

	if (peak == NULL) {
		fputs("<p>Nothing was answered.</p>\n", f);
		return;
	}
	fprintf(f, "<p class=\"peak\">%s shakes in a minute</p>\n<p>the minute that ended at %s; ",
		text_count(number(peak, "shakes_per_minute"), n),
		text_time(number(peak, "minute_us"), false, when));
	fprintf(f, "the busiest second had %s, at %s. ",
		text_count(number(peak, "shakes_per_second"), n),
		text_time(number(peak, "second_us"), false, when));
	fputs("<span class=\"faint\">A shake is a request that was answered.</span></p>\n", f);
}

/* ---- books --------------------------------------------------------------------------- */

static json_t *
book_of(const json_t *campaign)
{
	static const char *const same[] = {"id", "name", "state", "funded", "given", "left",
		"funded_fen", "given_fen", "left_fen"};
	json_t *o = json_object();
	double waits =
		number(campaign, "funded") - number(campaign, "given") - number(campaign, "left");

	for (unsigned i = 0; i < HB_COUNT_OF(same); i++) {
		json_object_set(o, same[i], json_object_get(campaign, same[i]));
		if (strcmp(same[i], "given") == 0)
			json_object_set_new(o, "not_on_disk_yet",
				json_integer((json_int_t)(waits > 0 ? waits : 0)));
	}
	return o;
}

static void
put_books(FILE *f, const json_t *now)
{
	json_t *books = json_array(), *one;
	double more = number(now, "campaigns_not_shown");
	size_t i;

	json_array_foreach(json_object_get(now, "campaigns"), i, one)
		json_array_append_new(books, book_of(one));
	put_heading(f, "Books");
	put_table(f, books, "There is no campaign.");
	if (more > 0)
		fprintf(f, "<p>%.0f more campaigns are not listed: hongbaoctl campaign list.</p>\n",
			more);
	json_decref(books);
	fputs("<h3>All campaigns</h3>\n", f);
	put_object(f, json_object_get(now, "money"));
	if (json_object_get(now, "packets") != NULL) {
		fputs("<h3>Group packets</h3>\n", f);
		put_object(f, json_object_get(now, "packets"));
	}
	fputs("<p class=\"faint\">Of this and earlier runs, as hongbaod has them. What proves them "
	      "is the journal: hongbao-audit JOURNAL.</p>\n",
		f);
}

/* ---- curves -------------------------------------------------------------------------- */

/* What a chart has of the history's columns. */
struct drawn {
	const char *title, *unit;
	struct {
		const char *key, *name;
	} of[3];
	double scale;
	bool least;
};

static const struct drawn drawn[] = {
	{"Shakes a second", "",
		{{"shakes_per_second", "shakes"},
			{"busiest_shakes_per_second", "the busiest second"}},
		1, false},
	{"Wins a second", "", {{"wins_per_second", "wins"}}, 1, false},
	{"Money given a second", " yuan", {{"given_fen_per_second", "money"}}, 0.01, false},
	{"Load of the workers", "%", {{"load_percent", "mean"}, {"busiest_percent", "the busiest"}},
		1, false},
	{"Admission", "%", {{"admission_percent", "let in"}}, 1, true},
	{"Win to durable", " ms", {{"durable_p50_ms", "half"}, {"durable_p99_ms", "99 of 100"}}, 1,
		false},
	{"Service time", " us", {{"service_p50_ns", "half"}, {"service_p99_ns", "99 of 100"}}, 1e-3,
		false},
	{"Wins that wait", "", {{"undurable", "for the disk"}, {"unsettled", "for settlement"}}, 1,
		false},
	{"Not answered, and shed, a second", "",
		{{"dropped_per_second", "dropped"}, {"shed_per_second", "shed"},
			{"handed_over_per_second", "handed over"}},
		1, false},
};

static void
begin_chart(struct chart *c, const json_t *history, const json_t *marks)
{
	*c = (struct chart){
		.first_us = number(history, "first_us"),
		.step_us = number(history, "step_s") * 1e6,
		.rows = (size_t)number(history, "rows"),
		.marks = marks,
	};
}

static void
put_campaigns_left(FILE *f, const json_t *history, const json_t *marks)
{
	struct chart c;
	char name[CHART_CURVES_MAX][96];
	json_t *one;
	size_t i;

	begin_chart(&c, history, marks);
	c.title = "Envelopes left";
	c.unit = "";
	json_array_foreach(json_object_get(history, "campaigns"), i, one)
	{
		if (c.curves == CHART_CURVES_MAX)
			break;
		snprintf(name[c.curves], sizeof(name[0]), "campaign %.0f %s", number(one, "id"),
			json_string_value(json_object_get(one, "name")));
		c.curve[c.curves] = (struct curve){.name = name[c.curves],
			.values = json_object_get(one, "left"),
			.scale = 1,
			.least = true};
		c.curves++;
	}
	chart_write(f, &c);
}

static void
put_charts(FILE *f, const json_t *report)
{
	const json_t *marks = json_object_get(report, "changes");
	double up = number(json_object_get(report, "now"), "uptime_s");
	const json_t *history =
		json_object_get(report, up <= SECONDS_ENOUGH ? "seconds" : "minutes");
	struct chart c;

	put_heading(f, up <= SECONDS_ENOUGH ? "Curves, by the second" : "Curves, by the minute");
	fputs("<p class=\"faint\">Upright lines are operators' changes, numbered as below.</p>\n",
		f);
	for (unsigned i = 0; i < HB_COUNT_OF(drawn); i++) {
		begin_chart(&c, history, marks);
		c.title = drawn[i].title;
		c.unit = drawn[i].unit;
		for (unsigned k = 0; k < HB_COUNT_OF(drawn[i].of); k++) {
			if (drawn[i].of[k].key != NULL)
				c.curve[c.curves++] = (struct curve){.name = drawn[i].of[k].name,
					.values = json_object_get(history, drawn[i].of[k].key),
					.scale = drawn[i].scale,
					.least = drawn[i].least};
		}
		chart_write(f, &c);
		if (i == 0)
			put_campaigns_left(f, history, marks);
	}
}

/* ---- what happened ------------------------------------------------------------------- */

static void
put_incidents(FILE *f, const json_t *report)
{
	const json_t *now = json_object_get(report, "now");
	double ever = number(now, "incidents");
	const json_t *list = json_object_get(report, "incidents");

	put_heading(f, "Incidents");
	put_table(f, list, "Nothing was wrong, and is over.");
	if (ever > (double)json_array_size(list))
		fprintf(f, "<p>There were %.0f; these are the last ones.</p>\n", ever);
	fputs("<h3>Not over yet</h3>\n", f);
	put_table(f, json_object_get(now, "alerts"), "Nothing is wrong.");
}

static void
put_changes(FILE *f, const json_t *changes)
{
	json_t *numbered = json_array(), *one;
	size_t i;

	json_array_foreach(changes, i, one)
	{
		json_t *row = json_pack("{s:i}", "number", (int)i + 1);

		json_object_update(row, one);
		json_array_append_new(numbered, row);
	}
	put_heading(f, "Operators' changes");
	put_table(f, numbered, "Nobody changed anything.");
	json_decref(numbered);
}

static void
put_counts(FILE *f, const json_t *now)
{
	put_heading(f, "Totals of this run");
	put_object(f, json_object_get(now, "totals"));
	fputs("<h3>Replies</h3>\n", f);
	put_table(f, json_object_get(now, "replies"), "None.");
	fputs("<h3>Dropped</h3>\n", f);
	put_table(f, json_object_get(now, "drops"), "Nothing.");
	fputs("<h3>Shed under load</h3>\n", f);
	put_table(f, json_object_get(now, "shed"), "Nothing.");
}

static void
put_page(FILE *f, const json_t *report)
{
	const json_t *now = json_object_get(report, "now");

	put_head(f, now);
	put_peak(f, now);
	put_counts(f, now);
	put_books(f, now);
	put_charts(f, report);
	put_incidents(f, report);
	put_changes(f, json_object_get(report, "changes"));
	fputs("</body>\n</html>\n", f);
}

/* ---- the file ------------------------------------------------------------------------ */

static void
put_report(const struct ctl *c, FILE *f, const json_t *report)
{
	if (c->json) {
		json_dumpf(report, f, JSON_COMPACT);
		fputc('\n', f);
	} else {
		put_page(f, report);
	}
}

/* Writes and closes it. Returns 0 or an errno. */
static int
fill_file(const struct ctl *c, FILE *f, const json_t *report)
{
	int err;

	if (f == NULL)
		return errno;
	put_report(c, f, report);
	err = ferror(f) ? EIO : 0;
	if (fclose(f) != 0)
		err = errno;
	return err;
}

/* Beside a file first, so that whoever looks at it sees a whole one; but a device or a pipe stays
 * what it is. */
static int
write_file(const struct ctl *c, const char *path, const json_t *report)
{
	struct stat st;
	char *beside;
	int err;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return fill_file(c, fopen(path, "we"), report);
	if (asprintf(&beside, "%s.%d", path, (int)getpid()) < 0)
		beside = NULL;
	ctl_must(beside);
	err = fill_file(c, fopen(beside, "wxe"), report);
	if (err == 0 && rename(beside, path) != 0)
		err = errno;
	if (err != 0 && err != EEXIST)
		unlink(beside);
	free(beside);
	return err;
}

enum ctl_exit
talk_report(const struct ctl *c, const json_t *args, const json_t *result)
{
	const char *path = hb_command_text(args, "file");
	int err;

	if (path == NULL || strcmp(path, "-") == 0) {
		if (c->json)
			talk_json(c, result);
		else
			put_page(stdout, result);
		return CTL_GOOD;
	}
	if ((err = write_file(c, path, result)) == 0)
		return CTL_GOOD;
	return ctl_complain(c, CTL_USAGE, "usage", "hongbaoctl report /tmp/night.html",
		"%s: cannot write it: %s", path, strerror(err));
}
