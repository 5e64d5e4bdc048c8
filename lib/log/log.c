/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MINUTE_NS (60 * 1000000000ull)

/* How long a reader of stderr may keep one line waiting, the first time that it isn't ready. */
#define PATIENCE_MS 20

/* Time, level and the program's name, before a line. */
#define PREFIX_BYTES 128

/* The lock guards all of it but the level and the clocks. */
static struct {
	pthread_mutex_t lock;
	enum hb_log_level level; /* atomic */
	const char *program;
	bool journal;	     /* stderr is systemd's journal */
	uint64_t unread;     /* lines that stderr did not take */
	char path[PATH_MAX]; /* "": no file is wanted */
	int fd;		     /* of the file; -1: none */
	int failed;	     /* what was said last of the file: an errno, 0: nothing */
	bool torn;	     /* the file's last line is half there */
	struct hb_log_site *sites;
	uint64_t (*mono_ns)(void);
	uint64_t (*wall_us)(void);
} the_log = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.level = HB_LOG_INFO,
	.program = "",
	.fd = -1,
	.mono_ns = hb_mono_ns,
	.wall_us = hb_wall_us,
};

/* ---- levels -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int priority; /* syslog(3)'s, as the journal reads it: sd-daemon(3) */
} levels[HB_LOG_LEVELS] = {
	[HB_LOG_ERROR] = {"error", 3},
	[HB_LOG_WARNING] = {"warning", 4},
	[HB_LOG_INFO] = {"info", 6},
	[HB_LOG_DEBUG] = {"debug", 7},
};

const char *
hb_log_level_name(enum hb_log_level level)
{
	return level < HB_LOG_LEVELS ? levels[level].name : "?";
}

int
hb_log_level_parse(const char *name, enum hb_log_level *level)
{
	for (enum hb_log_level i = 0; i < HB_LOG_LEVELS; i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*level = i;
			return 0;
		}
	}
	return -EINVAL;
}

void
hb_log_set_level(enum hb_log_level level)
{
	__atomic_store_n(&the_log.level, level, __ATOMIC_RELAXED);
}

enum hb_log_level
hb_log_level(void)
{
	return __atomic_load_n(&the_log.level, __ATOMIC_RELAXED);
}

/* ---- the text of a line -------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p that may be written as it is; 0: the byte is to be escaped. */
static unsigned
printable(const unsigned char *p)
{
	unsigned n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

	if (n <= 1)
		return p[0] >= 0x20 && p[0] < 0x7F;
	/* Overlong forms, surrogates, beyond Unicode, and the C1 controls, which a terminal obeys.
	 */
	if (p[0] > 0xF4 || (p[0] == 0xC2 && p[1] < 0xA0) || (p[0] == 0xE0 && p[1] < 0xA0) ||
		(p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
		(p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	return n;
}

/* Copies a text and escapes what isn't printable; a text that is too long ends in "...". Returns
 * the bytes written, less than `bytes`. */
static size_t
escape(char *out, size_t bytes, const char *text)
{
	size_t at = 0, mark = 0; /* where "..." still fits */

	for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
		unsigned n = printable(p);
		char form[8];

		if (n > 0)
			snprintf(form, sizeof(form), "%.*s", (int)n, (const char *)p);
		else if (*p == '\n' || *p == '\t' || *p == '\r')
			snprintf(form, sizeof(form), "\\%c",
				*p == '\n'   ? 'n'
				: *p == '\t' ? 't'
					     : 'r');
		else
			snprintf(form, sizeof(form), "\\x%02x", *p);
		if (at + strlen(form) >= bytes) {
			at = mark + (size_t)snprintf(out + mark, bytes - mark, "...");
			break;
		}
		memcpy(out + at, form, strlen(form));
		at += strlen(form);
		if (at + 3 < bytes)
			mark = at;
		p += n > 0 ? n : 1;
	}
	out[at] = '\0';
	return at;
}

static void
format(char out[HB_LOG_LINE], const char *fmt, va_list ap)
{
	/* One more, so that escape() sees that it was cut. */
	char text[HB_LOG_LINE + 1];

	vsnprintf(text, sizeof(text), fmt, ap);
	escape(out, HB_LOG_LINE, text);
}

/* "2026-01-31T23:59:59.123+08:00", local time. */
static void
stamp(char out[40])
{
	uint64_t us = __atomic_load_n(&the_log.wall_us, __ATOMIC_RELAXED)();
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char date[24];

	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	long minutes = labs(tm.tm_gmtoff) / 60;
	snprintf(out, 40, "%s.%03u%c%02ld:%02ld", date, (unsigned)(us / 1000 % 1000),
		tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60 % 100, minutes % 60);
}

/* ---- stderr -------------------------------------------------------------------------- */

/* Whether stderr takes a line without making us wait. A pipe that is ready has room for PIPE_BUF
 * bytes, which is more than a line. */
static bool
stderr_is_ready(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, the_log.unread == 0 ? PATIENCE_MS : 0) == 1 &&
	       (p.revents & POLLOUT) != 0;
}

static void
write_stderr(enum hb_log_level level, const char *text)
{
	char line[HB_LOG_LINE + PREFIX_BYTES];
	int n;

	if (the_log.journal)
		n = snprintf(line, sizeof(line), "<%d>%s\n", levels[level].priority, text);
	else
		n = snprintf(line, sizeof(line), "%.64s%s%s\n", the_log.program,
			the_log.program[0] == '\0' ? "" : ": ", text);
	if (!stderr_is_ready() || write(STDERR_FILENO, line, (size_t)n) != n)
		the_log.unread++;
}

static void
to_stderr(enum hb_log_level level, const char *text)
{
	uint64_t unread = the_log.unread;
	char lost[96];

	if (unread != 0 && stderr_is_ready()) {
		the_log.unread = 0;
		snprintf(lost, sizeof(lost), "log: %llu lines were lost: stderr did not take them",
			(unsigned long long)unread);
		write_stderr(HB_LOG_WARNING, lost);
	}
	write_stderr(level, text);
}

/* ---- the file ------------------------------------------------------------------------ */

static int
open_file(void)
{
	/* A FIFO without a reader, or a terminal, makes nobody wait either. */
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (the_log.fd >= 0)
		close(the_log.fd);
	the_log.torn = false;
	the_log.fd = open(the_log.path, flags, 0640);
	return the_log.fd >= 0 ? 0 : -errno;
}

static int
write_file(enum hb_log_level level, const char *text)
{
	char line[HB_LOG_LINE + PREFIX_BYTES], when[40];
	ssize_t done;

	stamp(when);
	int n = snprintf(line, sizeof(line), "%s%s %s %s\n", the_log.torn ? "\n" : "", when,
		levels[level].name, text);
	do
		done = write(the_log.fd, line, (size_t)n);
	while (done < 0 && errno == EINTR);
	if (done == n) {
		the_log.torn = false;
		return 0;
	}
	if (done < 0)
		return -errno;
	the_log.torn |= done > 0;
	return -ENOSPC;
}

/* Tells once, where people look next, that the file takes nothing. */
static void
say_file_failed(int err)
{
	char raw[PATH_MAX + 160], text[HB_LOG_LINE];

	if (the_log.failed == err)
		return;
	the_log.failed = err;
	snprintf(raw, sizeof(raw),
		"log file %s: cannot write it: %s; its lines are here until it can be written; "
		"make room, or rights, and send SIGUSR1",
		the_log.path, strerror(err));
	escape(text, sizeof(text), raw);
	to_stderr(HB_LOG_WARNING, text);
}

static void
put(enum hb_log_level level, const char *text)
{
	int err = the_log.fd >= 0 ? write_file(level, text) : -EBADF;

	if (err == 0) {
		the_log.failed = 0;
		return;
	}
	if (the_log.fd >= 0)
		say_file_failed(-err);
	to_stderr(level, text);
}

int
hb_log_file(const char *path, struct hb_error *e)
{
	bool wanted = path != NULL && path[0] != '\0';
	int err = 0;

	if (wanted && strlen(path) >= sizeof(the_log.path))
		return hb_fail(e, ENAMETOOLONG, "log file %.80s...: the path is too long", path);
	pthread_mutex_lock(&the_log.lock);
	snprintf(the_log.path, sizeof(the_log.path), "%s", wanted ? path : "");
	the_log.failed = 0;
	if (wanted) {
		err = open_file();
		the_log.failed = -err; /* the caller says it */
	} else if (the_log.fd >= 0) {
		close(the_log.fd);
		the_log.fd = -1;
	}
	pthread_mutex_unlock(&the_log.lock);
	if (err != 0)
		return hb_fail(e, -err,
			"log file %s: cannot open it: %s; name one in a directory that this user "
			"may write",
			path, strerror(-err));
	return 0;
}

void
hb_log_reopen(void)
{
	pthread_mutex_lock(&the_log.lock);
	if (the_log.path[0] != '\0') {
		int err = open_file();

		if (err != 0)
			say_file_failed(-err);
	}
	pthread_mutex_unlock(&the_log.lock);
}

/* ---- lines --------------------------------------------------------------------------- */

void
hb_log(enum hb_log_level level, const char *fmt, ...)
{
	char text[HB_LOG_LINE];
	va_list ap;

	if (level > hb_log_level())
		return;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&the_log.lock);
	put(level, text);
	pthread_mutex_unlock(&the_log.lock);
}

/* ---- limits -------------------------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	return __atomic_load_n(&the_log.mono_ns, __ATOMIC_RELAXED)();
}

/* Ends a site's minute. */
static void
settle(struct hb_log_site *s)
{
	char text[HB_LOG_LINE];

	if (s->held != 0) {
		snprintf(text, sizeof(text), "... and %llu more like it: %s",
			(unsigned long long)s->held, s->like);
		put(s->level, text);
	}
	s->held = 0;
	s->said = 0;
	s->begun_ns = 0;
}

/* Whether a site's line is to be written; else it is counted, and the site will be settled. */
static bool
admit(struct hb_log_site *s, enum hb_log_level level, unsigned per_minute, const char *text)
{
	uint64_t now = now_ns();

	if (s->begun_ns != 0 && now - s->begun_ns >= MINUTE_NS)
		settle(s);
	if (s->begun_ns == 0) {
		s->begun_ns = now;
		s->level = level;
		/* It was escaped already, which cuts it again at a whole character. */
		escape(s->like, sizeof(s->like), text);
	}
	if (s->said < per_minute) {
		s->said++;
		return true;
	}
	s->held++;
	if (!s->listed) {
		s->next = the_log.sites;
		the_log.sites = s;
		s->listed = true;
	}
	return false;
}

void
hb_log_at(struct hb_log_site *site, enum hb_log_level level, unsigned per_minute, const char *fmt,
	...)
{
	char text[HB_LOG_LINE];
	va_list ap;

	if (level > hb_log_level())
		return;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&the_log.lock);
	if (admit(site, level, per_minute, text))
		put(level, text);
	pthread_mutex_unlock(&the_log.lock);
}

static void
settle_all(bool even_unfinished)
{
	pthread_mutex_lock(&the_log.lock);
	/* Not before: another thread's minute would begin after it. */
	uint64_t now = now_ns();

	for (struct hb_log_site *s = the_log.sites; s != NULL; s = s->next) {
		if (s->held != 0 && (even_unfinished || now - s->begun_ns >= MINUTE_NS))
			settle(s);
	}
	pthread_mutex_unlock(&the_log.lock);
}

void
hb_log_settle(void)
{
	settle_all(false);
}

/* ---- beginning and end --------------------------------------------------------------- */

/* Whether stderr leads to the journal: systemd says in JOURNAL_STREAM which device and inode it
 * gave (systemd.exec(5)); a redirection since then shows as another. */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	int used = 0;

	return stream != NULL && sscanf(stream, "%llu:%llu%n", &device, &inode, &used) == 2 &&
	       stream[used] == '\0' && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

void
hb_log_begin(const char *program)
{
	/* Here, so that no line waits for the time zone's file. */
	tzset();
	pthread_mutex_lock(&the_log.lock);
	the_log.program = program;
	the_log.journal = stderr_is_journal();
	the_log.unread = 0;
	pthread_mutex_unlock(&the_log.lock);
	hb_log_set_level(HB_LOG_INFO);
}

void
hb_log_end(void)
{
	settle_all(true);
	hb_log_file(NULL, NULL);
}

void
hb_log_set_clock(uint64_t (*mono_ns)(void), uint64_t (*wall_us)(void))
{
	__atomic_store_n(
		&the_log.mono_ns, mono_ns == NULL ? hb_mono_ns : mono_ns, __ATOMIC_RELAXED);
	__atomic_store_n(
		&the_log.wall_us, wall_us == NULL ? hb_wall_us : wall_us, __ATOMIC_RELAXED);
}
