/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-trace: writes the requests of an event into a pcap. */
#include "hb_config.h"
#include "options.h"
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* Bursts between looks at the clock for the progress line. */
#define PROGRESS_EVERY 512

static volatile sig_atomic_t interrupted;

/* What was written, for the line at the end. */
struct tally {
	uint64_t requests, retries, forged, users;
	uint64_t first_us, last_us;
	uint64_t minute, in_minute;    /* the minute since 1970 that is being counted */
	uint64_t peak_minute, in_peak; /* the best so far */
};

static void
on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* Interrupts end the loop, so that the temporary file is removed; a broken pipe and a file that
 * gets too large are errors of a write like others. */
static void
catch_signals(void)
{
	struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL);
}

static enum hb_exit
complain(const struct hb_error *e, enum hb_exit code)
{
	fprintf(stderr, TRACE_NAME ": %s\n", e->text);
	return code;
}

static void
count(struct tally *t, const struct hb_scenario_item *item)
{
	uint64_t now_us = item->request.now_us, minute = now_us / 60000000;

	if (t->requests++ == 0)
		t->first_us = now_us;
	t->last_us = now_us;
	t->retries += (item->flags & HB_SCENARIO_RETRY) != 0;
	t->forged += (item->flags & HB_SCENARIO_FORGED) != 0;
	if (minute != t->minute) {
		t->minute = minute;
		t->in_minute = 0;
	}
	if (++t->in_minute > t->in_peak) {
		t->in_peak = t->in_minute;
		t->peak_minute = minute;
	}
}

/* A time as the audience's clocks had it, at UTC+8. */
static const char *
local_time(uint64_t us, const char *format, char *buf, size_t size)
{
	time_t t = (time_t)(us / 1000000 + 8 * 3600);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, size, format, &tm);
	return buf;
}

/* "1/11,000" or "2.5 times": how much of the real event this is. */
static const char *
scale(const char *name, uint64_t requests, char *buf, size_t size)
{
	const struct hb_scenario_info *info = hb_scenario_find(name);
	char part[32];

	double factor = info == NULL ? 1 : (double)requests / (double)info->requests;
	if (factor < 1)
		snprintf(buf, size, "1/%s of", hb_thousands((uint64_t)(1 / factor + 0.5), part));
	else
		snprintf(buf, size, "%.3g times", factor);
	return buf;
}

static void
summarise(FILE *to, const struct trace_options *o, const struct tally *t)
{
	char requests[32], retries[32], forged[32], users[32], from[32], until[32], peak[32],
		factor[48];

	fprintf(to,
		"%s: %s requests (%s repeated, %s forged) of %s users, %s to %s, peak minute %s "
		"with "
		"%.2f%%, %s the real event\n",
		o->output, hb_thousands(t->requests, requests), hb_thousands(t->retries, retries),
		hb_thousands(t->forged, forged), hb_thousands(t->users, users),
		local_time(t->first_us, "%Y-%m-%dT%H:%M:%S+08:00", from, sizeof(from)),
		local_time(t->last_us, "%Y-%m-%dT%H:%M:%S+08:00", until, sizeof(until)),
		local_time(t->peak_minute * 60000000, "%H:%M", peak, sizeof(peak)),
		100.0 * (double)t->in_peak / (double)t->requests,
		scale(o->scenario, t->requests, factor, sizeof(factor)));
}

/* The key of the epoch that is asked for, or of the first one that there is. */
static int
load_key(struct trace_options *o, struct hb_error *e)
{
	int rc = hb_keys_load(&o->choice.wire.keys, o->choice.keys, e);

	return rc != 0 ? rc : hb_scenario_choose_epoch(&o->choice, e);
}

/* Writes the next requests; *n says how many there were. Returns 0 or -errno with the line in e. */
static int
write_burst(struct hb_scenario *s, struct trace_output *out, const struct trace_options *o,
	const struct hb_scenario_moulds *moulds, struct tally *tally, unsigned *n,
	struct hb_error *e)
{
	struct hb_scenario_item item[HB_BURST];
	uint8_t bytes[HB_BURST][HB_FRAME_BYTES_MAX], *frame[HB_BURST];
	uint32_t length[HB_BURST];
	int rc = 0;

	for (*n = 0; *n < HB_BURST && hb_scenario_next(s, &item[*n]); (*n)++)
		frame[*n] = bytes[*n];
	if (*n == 0)
		return 0;
	hb_scenario_frames(&o->choice.wire, moulds, item, *n, frame, length);
	for (unsigned i = 0; rc == 0 && i < *n; i++) {
		rc = trace_output_write(out, item[i].request.now_us, frame[i], length[i], e);
		count(tally, &item[i]);
	}
	return rc;
}

/* Writes the whole stream. Returns 0 or -errno with the line in e. */
static int
write_stream(struct hb_scenario *s, struct trace_output *out, const struct trace_options *o,
	struct tally *tally, struct hb_error *e)
{
	struct hb_scenario_moulds moulds;
	struct hb_progress progress;
	unsigned n = 1;
	int rc = 0;

	hb_scenario_moulds(&moulds, &o->choice.wire);
	hb_progress_begin(&progress, o->output, "requests", o->choice.stream.requests);
	for (unsigned burst = 1; rc == 0 && !interrupted && n != 0; burst++) {
		rc = write_burst(s, out, o, &moulds, tally, &n, e);
		if (burst % PROGRESS_EVERY == 0)
			hb_progress_update(&progress, tally->requests);
	}
	hb_progress_end(&progress);
	tally->users = hb_scenario_users(s);
	if (interrupted)
		return hb_fail(e, EINTR, "%s: interrupted; nothing was kept", o->output);
	return rc;
}

static enum hb_exit
write_trace(const struct trace_options *o, struct hb_scenario *s)
{
	struct trace_output out;
	struct tally tally = {0};
	struct hb_error e;
	enum hb_exit code = HB_EXIT_CONFIG;
	int rc = trace_output_open(&out, o->output, &e);

	if (rc == 0) {
		code = HB_EXIT_FAILED;
		rc = write_stream(s, &out, o, &tally, &e);
	}
	if (rc == 0)
		rc = trace_output_commit(&out, &e);
	trace_output_discard(&out);
	if (rc != 0)
		return complain(&e, code);
	summarise(strcmp(o->output, "-") == 0 ? stderr : stdout, o, &tally);
	return HB_EXIT_OK;
}

int
main(int argc, char **argv)
{
	static struct trace_options o;
	struct hb_scenario *s;
	struct hb_error e;
	enum hb_exit code = trace_options_read(&o, argc, argv);

	if (code != HB_EXIT_OK)
		return code;
	if (o.help || o.version || o.list) {
		trace_options_inform(&o);
		return HB_EXIT_OK;
	}
	catch_signals();
	if (hb_wire_init() != 0) {
		hb_fail(&e, EIO, "libsodium cannot start; install it anew");
		return complain(&e, HB_EXIT_HOST);
	}
	if (load_key(&o, &e) != 0)
		return complain(&e, HB_EXIT_CONFIG);
	int rc = hb_scenario_open(&s, o.scenario, &o.choice.stream, &e);
	if (rc != 0)
		return complain(&e, rc == -ENOMEM ? HB_EXIT_HOST : HB_EXIT_USAGE);
	code = write_trace(&o, s);
	hb_scenario_close(s);
	return code;
}
