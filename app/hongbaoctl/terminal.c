/* SPDX-License-Identifier: BSD-3-Clause */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, cleared, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE "\033[0m\033[?25h\033[?1049l"

static struct termios before;
static volatile sig_atomic_t open_now, resized, ended, stopped;
static sigset_t held; /* the mask while it waits */

/* ---- signals -------------------------------------------------------------------------- */

static void
on_signal(int number)
{
	if (number == SIGWINCH || number == SIGCONT)
		resized = 1;
	else if (number == SIGTSTP)
		stopped = 1;
	else
		ended = 1;
}

/* A crash must not leave somebody's terminal without an echo. */
static void
on_crash(int number)
{
	terminal_close();
	raise(number);
}

static void
take_signals(void)
{
	static const int watched[] = {SIGWINCH, SIGCONT, SIGTSTP, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	struct sigaction act = {.sa_handler = on_signal};
	sigset_t block;

	sigemptyset(&block);
	for (unsigned i = 0; i < HB_COUNT_OF(watched); i++) {
		sigaction(watched[i], &act, NULL);
		sigaddset(&block, watched[i]);
	}
	sigprocmask(SIG_BLOCK, &block, &held);
	for (unsigned i = 0; i < HB_COUNT_OF(watched); i++)
		sigdelset(&held, watched[i]);
	act = (struct sigaction){.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
	for (unsigned i = 0; i < HB_COUNT_OF(crashes); i++)
		sigaction(crashes[i], &act, NULL);
}

/* ---- the screen ----------------------------------------------------------------------- */

void
terminal_write(const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(STDOUT_FILENO, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* Nobody looks any more. */
			ended = 1;
			return;
		}
		text += n;
		bytes -= (size_t)n;
	}
}

static int
enter(struct hb_error *e)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return hb_fail(e, errno, "cannot set the terminal: %s", strerror(errno));
	raw = before;
	/* Signals from keys stay: Ctrl-C and Ctrl-Z do what they do. */
	raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	open_now = 1;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0) {
		open_now = 0;
		return hb_fail(e, errno, "cannot set the terminal: %s", strerror(errno));
	}
	terminal_write(ENTER, sizeof(ENTER) - 1);
	return 0;
}

int
terminal_open(struct hb_error *e)
{
	take_signals();
	atexit(terminal_close);
	return enter(e);
}

/* Signal handlers call this. */
void
terminal_close(void)
{
	if (!open_now)
		return;
	open_now = 0;
	/* Where the terminal is gone both fail, and nothing is to be done. */
	ssize_t n = write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1);
	(void)n;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

/* Ctrl-Z: the shell gets its terminal, and we ours when it lets us go on. */
static void
stop(void)
{
	stopped = 0;
	terminal_close();
	raise(SIGSTOP);
	enter(NULL);
	resized = 1;
}

unsigned
terminal_wait(int fd, int ms, char *key)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	unsigned events = 0;
	int n = ppoll(p, 2, &wait, &held);

	if (stopped)
		stop();
	if (n > 0 && p[0].revents != 0) {
		events |= EVENT_KEY;
		/* The end of the input is the end of the terminal. */
		if (read(STDIN_FILENO, key, 1) != 1)
			ended = 1;
	}
	if (n > 0 && p[1].revents != 0)
		events |= EVENT_LINK;
	if (resized)
		events |= EVENT_RESIZE;
	if (ended)
		events |= EVENT_END;
	resized = 0;
	return events;
}
