/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbaod: the processor. Reads the command line, then starts, runs and ends a daemon. */
#include "daemon.h"

#include "hb_log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct daemon_signals signals;

static const char usage[] =
	"usage: hongbaod -c FILE [--check] [--report FILE.json] [--exit-when-idle MS]\n"
	"                [--exit-after N] [-- EAL arguments]\n"
	"\n"
	"Answers shakes from the ports of its configuration and writes every win into its "
	"journal.\n"
	"\n"
	"  -c, --config FILE         the configuration (YAML)\n"
	"      --check               say whether the configuration is good and what the host "
	"lacks,\n"
	"                            start nothing; warnings leave the exit code 0\n"
	"      --report FILE.json    write the run's figures there at the end\n"
	"      --exit-when-idle MS   end when no request has come for so long (a replayed "
	"capture)\n"
	"      --exit-after N        end when so many frames have come, or a few more\n"
	"      --help                this text\n"
	"      --version             the version\n"
	"\n"
	"SIGINT and SIGTERM drain it and end it: nothing more is given, what was taken in is "
	"answered,\n"
	"what was won is in the journal; a second one ends it without waiting. SIGHUP reads the\n"
	"configuration again, SIGUSR1 opens a log file anew. hongbaoctl tunes it while it runs.\n"
	"\n"
	"exit codes: 0 good; 1 the books are off or the disk failed; 2 wrong command line;\n"
	"            3 a file is missing or wrong; 4 the host lacks something\n";

static void
on_signal(int number)
{
	if (number == SIGHUP)
		signals.reload++;
	else if (number == SIGUSR1)
		signals.reopen++;
	else
		signals.stop++;
}

static int
usage_error(const char *text, const char *value)
{
	fprintf(stderr, "hongbaod: %s%s; try: hongbaod --help\n", text, value);
	return HB_EXIT_USAGE;
}

/* Returns -1 to go on, or an exit code. */
static int
read_options(int argc, char **argv, struct daemon_options *o)
{
	enum {
		CHECK = 256,
		REPORT,
		IDLE,
		AFTER,
		HELP,
		VERSION
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, CHECK},
		{"report", required_argument, NULL, REPORT},
		{"exit-when-idle", required_argument, NULL, IDLE},
		{"exit-after", required_argument, NULL, AFTER},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:c:", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case CHECK:
			o->check = true;
			break;
		case REPORT:
			o->report = optarg;
			break;
		case IDLE:
			if (hb_parse_u64(optarg, 1, 86400000, &o->idle_ms) != 0)
				return usage_error(
					"--exit-when-idle takes 1 to 86400000 ms, not ", optarg);
			break;
		case AFTER:
			if (hb_parse_u64(optarg, 1, INT64_MAX, &o->frames) != 0)
				return usage_error(
					"--exit-after takes a number of frames from 1 on, not ",
					optarg);
			break;
		case HELP:
			fputs(usage, stdout);
			return HB_EXIT_OK;
		case VERSION:
			puts("hongbaod " HB_VERSION);
			return HB_EXIT_OK;
		case ':':
			return usage_error("a value is missing behind ", argv[optind - 1]);
		default:
			return usage_error("no such option: ", argv[optind - 1]);
		}
	}
	if (optind > 0 && optind < argc && strcmp(argv[optind - 1], "--") != 0)
		return usage_error("what is this for: ", argv[optind]);
	o->eal_count = argc - optind;
	o->eal = argv + optind;
	return o->config == NULL ? usage_error("-c FILE is missing", "") : -1;
}

/* What kind of failure an errno at the start is. */
static int
exit_code(int err)
{
	switch (-err) {
	case ENOMEM:
	case ENODEV:
	case EBUSY:
	case EADDRINUSE:
	case EADDRNOTAVAIL:
	case EIO:
	case ENOSPC:
		return HB_EXIT_HOST;
	default:
		return HB_EXIT_CONFIG;
	}
}

/* What ends it or has it read its file again, and what must not end it: a reader of ours that goes
 * away, and a limit on the size of files. Both show as errors where they are met. */
static void
set_signals(void)
{
	struct sigaction stopping = {.sa_handler = on_signal}, ignored = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &stopping, NULL);
	sigaction(SIGTERM, &stopping, NULL);
	sigaction(SIGHUP, &stopping, NULL);
	sigaction(SIGUSR1, &stopping, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
	sigaction(SIGXFSZ, &ignored, NULL);
}

static int
run(struct daemon *d)
{
	struct hb_error e = {{0}}, fault = {{0}};
	int err;

	if ((err = daemon_check(d, &e)) != 0)
		goto failed;
	if (d->options.check) {
		printf("%s: good: %u campaign%s, %u worker%s\n", d->config->path,
			d->config->campaigns, d->config->campaigns == 1 ? "" : "s",
			d->config->workers, d->config->workers == 1 ? "" : "s");
		return HB_EXIT_OK;
	}
	manager_begin(&d->manager);
	if ((err = daemon_start(d, &e)) != 0)
		goto failed;
	bool faulty = daemon_run(d, &signals, &fault) != 0;
	if (daemon_close(d, faulty ? &e : &fault) != 0)
		faulty = true;
	err = daemon_report(d, faulty ? fault.text : NULL, &e);
	if (err != 0)
		hb_log(HB_LOG_ERROR, "%s", e.text);
	if (faulty)
		hb_log(HB_LOG_ERROR, "%s", fault.text);
	return err != 0 || faulty ? HB_EXIT_FAILED : HB_EXIT_OK;
failed:
	hb_log(HB_LOG_ERROR, "%s", e.text);
	return exit_code(err);
}

int
main(int argc, char **argv)
{
	static struct daemon d = {
		.directory = {.directory = -1, .lock = -1},
		.reader = {.own = {.directory = -1, .lock = -1}},
		.manager = {.notify = {.fd = -1}},
	};
	int code = read_options(argc, argv, &d.options);

	if (code >= 0)
		return code;
	set_signals();
	hb_log_begin("hongbaod");
	code = run(&d);
	daemon_free(&d);
	manager_end(&d.manager);
	hb_log_end();
	return code;
}
