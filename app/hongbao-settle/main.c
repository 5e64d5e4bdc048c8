/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-settle: what a journal says of money, once each, into PostgreSQL. */
#include "hb_log.h"
#include "settler.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct settle_signals signals = {.wake_fd = -1};

/* What it wakes is every wait of the main thread. */
static void
on_signal(int number)
{
	uint64_t one = 1;

	if (number == SIGHUP) {
		signals.reload++;
		return;
	}
	signals.stop++;
	if (write(signals.wake_fd, &one, sizeof(one)) < 0)
		signals.stop++;
}

static void
set_signals(void)
{
	struct sigaction mine = {.sa_handler = on_signal}, ignored = {.sa_handler = SIG_IGN};

	signals.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigaction(SIGINT, &mine, NULL);
	sigaction(SIGTERM, &mine, NULL);
	sigaction(SIGHUP, &mine, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
	sigaction(SIGXFSZ, &ignored, NULL);
}

static enum hb_exit
run(struct settler *s)
{
	enum hb_exit code = settler_begin(s);

	if (code == HB_EXIT_OK)
		code = s->options.migrate	  ? settler_migrate(s)
		       : fleet_asked(&s->options) ? fleet_run(s)
						  : settler_run(s);
	if (code != HB_EXIT_OK)
		hb_log(HB_LOG_ERROR, "%s", s->fault.text);
	return code;
}

int
main(int argc, char **argv)
{
	static struct settler s;
	enum hb_exit code = settle_options_read(&s.options, argc, argv);

	if (code != HB_EXIT_OK)
		return code;
	if (s.options.help || s.options.version) {
		if (s.options.help)
			settle_options_help();
		else
			puts("hongbao-settle " HB_VERSION);
		return HB_EXIT_OK;
	}
	set_signals();
	s.signals = &signals;
	hb_log_begin("hongbao-settle");
	code = run(&s);
	settler_end(&s);
	hb_log_end();
	return code;
}
