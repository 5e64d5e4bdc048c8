/* SPDX-License-Identifier: BSD-3-Clause */
/* What hongbao-settle shows of itself: a line on a terminal, and metrics. */
#include "hb_exposition.h"
#include "hb_service.h"
#include "settler.h"
#include "text.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

static uint64_t
backlog(const struct settle_figures *f)
{
	uint64_t next = SEE(f->next_record), known = SEE(f->known);

	return known > next ? known - next : 0;
}

/* ---- the line ------------------------------------------------------------------------ */

static void
print_line(const struct settler *s)
{
	uint64_t waiting = backlog(&s->figures), rate = s->figures.per_second;
	char n[3][32], left[48] = "";

	if (waiting > 0 && rate > 0)
		snprintf(left, sizeof(left), ", empty in %llu:%02llu:%02llu",
			(unsigned long long)(waiting / rate / 3600),
			(unsigned long long)(waiting / rate / 60 % 60),
			(unsigned long long)(waiting / rate % 60));
	fprintf(stderr, "\r\033[Khongbao-settle: %s settled, %s/s, backlog %s%s%s",
		hb_thousands(s->figures.settled, n[0]), hb_thousands(rate, n[1]),
		hb_thousands(waiting, n[2]), left, s->figures.up ? "" : ", database away");
}

void
show_progress(struct settler *s, uint64_t now)
{
	struct settle_figures *f = &s->figures;

	if (s->shown_ns == 0) {
		s->terminal = isatty(STDERR_FILENO) != 0;
		s->shown_ns = now;
	}
	if (now - s->shown_ns < SECOND_NS)
		return;
	uint64_t rate = (f->settled - s->shown_settled) * SECOND_NS / (now - s->shown_ns);

	/* Over some five seconds. */
	SET(f->per_second, f->per_second == 0 ? rate : (4 * f->per_second + rate) / 5);
	s->shown_settled = f->settled;
	s->shown_ns = now;
	if (s->terminal)
		print_line(s);
}

void
show_end(struct settler *s)
{
	if (s->terminal)
		fprintf(stderr, "\r\033[K");
	s->terminal = false;
}

/* ---- metrics ------------------------------------------------------------------------- */

struct metric {
	const char *name; /* without `_total` */
	const char *type;
	const char *help;
	void (*write)(struct hb_text *, const struct settler *, const struct metric *);
	size_t at; /* in settle_figures */
	unsigned decimals;
};

static bool
is_counter(const struct metric *m)
{
	return m->type[0] == 'c';
}

static void
sample(struct hb_text *t, const struct metric *m, const char *labels, uint64_t n)
{
	hb_text_add(t, m->name);
	hb_text_add(t, is_counter(m) ? "_total" : "");
	hb_text_add(t, labels);
	hb_text_add(t, " ");
	if (m->decimals > 0)
		hb_text_fixed(t, n, m->decimals);
	else
		hb_text_u64(t, n);
	hb_text_add(t, "\n");
}

static void
write_figure(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	const uint64_t *of = (const uint64_t *)((const char *)&s->figures + m->at);

	sample(t, m, "", SEE(*of));
}

static void
write_up(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	sample(t, m, "", SEE(s->figures.up));
}

static void
write_backlog(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	sample(t, m, "", backlog(&s->figures));
}

static void
write_errors(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	static const char *const kind[] = {
		[HB_DB_AWAY] = "{kind=\"away\"}",
		[HB_DB_DENIED] = "{kind=\"denied\"}",
		[HB_DB_FULL] = "{kind=\"full\"}",
		[HB_DB_READ_ONLY] = "{kind=\"read_only\"}",
		[HB_DB_REFUSED] = "{kind=\"refused\"}",
		[HB_DB_AGAIN] = "{kind=\"again\"}",
		[HB_DB_SCHEMA] = "{kind=\"schema\"}",
		[HB_DB_OTHER] = "{kind=\"other\"}",
	};

	for (unsigned i = 0; i < HB_COUNT_OF(kind); i++) {
		if (kind[i] != NULL)
			sample(t, m, kind[i], SEE(s->figures.errors[i]));
	}
}

static void
write_moved(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	sample(t, m, "", SEE(s->archiver.moved));
}

static void
write_failed(struct hb_text *t, const struct settler *s, const struct metric *m)
{
	sample(t, m, "", SEE(s->archiver.failed));
}

#define FIGURE(field) .write = write_figure, .at = offsetof(struct settle_figures, field)

static const struct metric metrics[] = {
	{"hongbao_settle_database_up", "gauge",
		"1 while the database answers and this journal is settled by this process",
		.write = write_up},
	{"hongbao_settle_position_records", "gauge", "Records of the journal that are settled",
		FIGURE(next_record)},
	{"hongbao_settle_journal_records", "gauge", "Records that the journal has", FIGURE(known)},
	{"hongbao_settle_backlog_records", "gauge", "Records that aren't settled yet",
		.write = write_backlog},
	{"hongbao_settle_rate_limit", "gauge", "Records a second at most; 0 is no limit",
		FIGURE(rate_limit)},
	{"hongbao_settle_records", "counter", "Records that this process settled", FIGURE(settled)},
	{"hongbao_settle_fen", "counter", "Money to be paid out in those: wins, shares and refunds",
		FIGURE(settled_fen)},
	{"hongbao_settle_transactions", "counter", "Transactions committed", FIGURE(transactions)},
	{"hongbao_settle_transaction_seconds", "counter", "Time that those took",
		FIGURE(transaction_ns), .decimals = 9},
	{"hongbao_settle_committed_timestamp_seconds", "gauge",
		"When the last was committed, since 1970; 0: none yet", FIGURE(committed_us),
		.decimals = 6},
	{"hongbao_settle_refused_records", "gauge",
		"Records of this journal that the database refused, set aside in hongbao.refused",
		FIGURE(refused)},
	{"hongbao_settle_errors", "counter", "Errors of the database, by kind",
		.write = write_errors},
	{"hongbao_settle_connections", "counter", "Times that it connected", FIGURE(connects)},
	{"hongbao_settle_archived_segments", "counter", "Segments moved into the archive",
		.write = write_moved},
	{"hongbao_settle_archive_errors", "counter", "Segments that could not be moved, tries",
		.write = write_failed},
};

static void
write_meta(struct hb_text *t, const struct metric *m, bool open)
{
	const char *suffix = !open && is_counter(m) ? "_total" : "";
	const char *piece[] = {"# HELP ", m->name, suffix, " ", m->help, "\n# TYPE ", m->name,
		suffix, " ", m->type, "\n"};

	for (unsigned i = 0; i < HB_COUNT_OF(piece); i++)
		hb_text_add(t, piece[i]);
}

static int
make_metrics(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	enum hb_metrics_format format = hb_metrics_wanted(ask->accept);
	struct hb_text t = {0};
	size_t bytes;

	for (unsigned i = 0; i < HB_COUNT_OF(metrics); i++) {
		write_meta(&t, &metrics[i], format == HB_METRICS_OPEN);
		metrics[i].write(&t, context, &metrics[i]);
	}
	if (format == HB_METRICS_OPEN)
		hb_text_add(&t, "# EOF\n");
	char *text = hb_text_end(&t, &bytes);

	if (text == NULL)
		return -ENOMEM;
	ask->type = hb_metrics_content_type(format);
	int err = evbuffer_add(out, text, bytes);
	free(text);
	return err == 0 ? 0 : -ENOMEM;
}

int
show_begin(struct settler *s, struct hb_error *e)
{
	struct hb_service_terms terms = {.http = s->config.metrics};
	int err;

	if (strcmp(s->config.metrics, "off") == 0)
		return 0;
	if ((err = hb_service_start(&s->service, &terms, e)) != 0)
		return err;
	if (hb_service_page(s->service, "/metrics", hb_metrics_content_type(HB_METRICS_OPEN),
		    make_metrics, s) != 0)
		return hb_fail(e, ENOMEM, "no memory for the metrics");
	return hb_service_launch(s->service, NULL, e);
}
