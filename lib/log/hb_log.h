/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_log: what a program that runs for long tells its operator, a line at a time.
 *
 * Lines go to stderr with the program's name before them ("hongbaod: text"); where stderr is the
 * journal of systemd, with a priority instead ("<4>text"); or to a file, with time and level. A
 * file that takes nothing (gone, no right, disk full) is said once and its lines go to stderr until
 * it does. Whatever cannot take a line at once loses it, and how many were lost is said afterwards:
 * nothing here waits for a reader or a disk, or ends the program. For that the program ignores
 * SIGPIPE and SIGXFSZ.
 *
 * Control characters in a line are written as \n, \t, \xNN, so that what strangers send is one line
 * and moves no cursor; so are bytes that are no UTF-8. A line is cut at HB_LOG_LINE bytes.
 *
 * The state is the library's own, one for the process, behind a lock. Any thread may call anything
 * but a worker, which has no time for it, and a signal handler.
 */
#ifndef HB_LOG_H
#define HB_LOG_H

#include "hb_base.h"

#define HB_LOG_LINE 2048

enum hb_log_level {
	HB_LOG_ERROR,	/* something is lost or refused until somebody acts */
	HB_LOG_WARNING, /* it goes on, but worse than it should */
	HB_LOG_INFO,	/* what an operator wants to see of a good day */
	HB_LOG_DEBUG,
	HB_LOG_LEVELS,
};

/* "error", "warning", "info", "debug" */
const char *hb_log_level_name(enum hb_log_level level);

/* The level of a name. Returns 0 or -EINVAL. */
int hb_log_level_parse(const char *name, enum hb_log_level *level);

/* Names the program (the text is kept, not copied) and looks at what stderr is. The level is info
 * then. Before this call lines go to stderr without a name. */
void hb_log_begin(const char *program);

/* Says what limits held back, and closes the file; lines go to stderr again. */
void hb_log_end(void);

/* Lines of this level and those before it are written, from now on. */
void hb_log_set_level(enum hb_log_level level);
enum hb_log_level hb_log_level(void);

/* Sends lines to a file from now on: appended to, made with mode 0640. NULL or "": to stderr.
 * Returns 0, or -errno with e when it cannot be opened; then lines go to stderr, and
 * hb_log_reopen() tries this path again. */
int hb_log_file(const char *path, struct hb_error *e);

/* Opens the file anew by its name, after it was rotated away. Says so itself when it can't. */
void hb_log_reopen(void);

/* Writes a line; the text has no newline. */
void hb_log(enum hb_log_level level, const char *fmt, ...) HB_PRINTF(2, 3);

/* ---- limits -------------------------------------------------------------------------- */

/* What one place in the code has said lately. Guarded by the log's lock. */
struct hb_log_site {
	struct hb_log_site *next; /* of those that ever held a line back */
	uint64_t begun_ns;	  /* the minute; 0: none yet */
	uint64_t held;		  /* lines, in this minute */
	unsigned said;
	bool listed;
	enum hb_log_level level;
	char like[80]; /* how the first line of this minute begins */
};

void hb_log_at(struct hb_log_site *site, enum hb_log_level level, unsigned per_minute,
	const char *fmt, ...) HB_PRINTF(4, 5);

/* Like hb_log(), but of one place at most so many lines a minute, counted from its first. When the
 * minute is over, one line says how many more there were: at the next line of that place, at
 * hb_log_settle() or at the end. */
#define hb_log_limited(level, per_minute, ...)                                                     \
	do {                                                                                       \
		static struct hb_log_site hb_log_site_;                                            \
		hb_log_at(&hb_log_site_, level, per_minute, __VA_ARGS__);                          \
	} while (0)

/* Says what limits held back in minutes that are over. To be called every second or so. */
void hb_log_settle(void);

/* ---- for tests ----------------------------------------------------------------------- */

/* Takes the time from elsewhere: nanoseconds of a monotonic clock, microseconds since 1970. NULL:
 * the real one. */
void hb_log_set_clock(uint64_t (*mono_ns)(void), uint64_t (*wall_us)(void));

#endif
