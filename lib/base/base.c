/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_base.h"

#include <ctype.h>
#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int
hb_fail(struct hb_error *e, int err, const char *fmt, ...)
{
	va_list ap;

	if (e != NULL) {
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
	}
	return -err;
}

/* ---- time --------------------------------------------------------------------------- */

uint64_t
hb_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t
hb_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
hb_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/* Reads exactly n digits at *p into *v and moves on. */
static bool
take_digits(const char **p, int n, int *v)
{
	*v = 0;
	for (int i = 0; i < n; i++, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		*v = *v * 10 + (**p - '0');
	}
	return true;
}

static bool
take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* "Z", "+08:00", "+0800", "+08" into seconds east of Greenwich. */
static bool
take_zone(const char **p, int *seconds)
{
	int hours, minutes = 0, sign = **p == '-' ? -1 : 1;

	*seconds = 0;
	if (take_char(p, 'Z') || take_char(p, 'z'))
		return true;
	if (!take_char(p, '+') && !take_char(p, '-'))
		return false;
	if (!take_digits(p, 2, &hours))
		return false;
	if (**p != '\0') {
		take_char(p, ':');
		if (!take_digits(p, 2, &minutes))
			return false;
	}
	*seconds = sign * (hours * 3600 + minutes * 60);
	return hours <= 14 && minutes <= 59;
}

static int
parse_iso8601(const char *p, uint64_t *us)
{
	int year, month, day, hour, minute, second, zone, micros = 0, scale = 100000;
	struct tm tm = {0};

	if (!take_digits(&p, 4, &year) || !take_char(&p, '-') || !take_digits(&p, 2, &month) ||
		!take_char(&p, '-') || !take_digits(&p, 2, &day))
		return -EINVAL;
	if (!take_char(&p, 'T') && !take_char(&p, 't') && !take_char(&p, ' '))
		return -EINVAL;
	if (!take_digits(&p, 2, &hour) || !take_char(&p, ':') || !take_digits(&p, 2, &minute) ||
		!take_char(&p, ':') || !take_digits(&p, 2, &second))
		return -EINVAL;
	if (take_char(&p, '.')) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		for (; isdigit((unsigned char)*p); p++, scale /= 10)
			micros += (*p - '0') * scale;
	}
	if (!take_zone(&p, &zone) || *p != '\0')
		return -EINVAL;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
		minute > 59 || second > 59)
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	time_t t = timegm(&tm);
	/* timegm() carries 31 February over into March; such a day is an error. */
	if (tm.tm_mday != day || t - zone < 0)
		return -EINVAL;
	*us = (uint64_t)(t - zone) * 1000000 + (uint64_t)micros;
	return 0;
}

int
hb_time_parse(const char *text, uint64_t *us)
{
	uint64_t ms;

	if (hb_parse_u64(text, 0, UINT64_MAX / 1000, &ms) == 0) {
		*us = ms * 1000;
		return 0;
	}
	return parse_iso8601(text, us);
}

/* ---- threads ------------------------------------------------------------------------- */

/* Of EEVDF, the scheduler of fair shares since Linux 6.6: who asks for shorter slices comes first
 * when it wakes, without getting more in all. The least that it takes. */
#define SLICE_NS 100000

void
hb_thread_prompt(void)
{
	struct sched_attr a = {.size = sizeof(a)};

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 || a.sched_policy != SCHED_NORMAL)
		return;
	a.sched_runtime = SLICE_NS;
	/* Where it can't be had, the thread waits for its turn as any other. */
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

/* ---- numbers ------------------------------------------------------------------------ */

char *
hb_thousands(uint64_t n, char *buf)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *o = buf;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*o++ = ',';
		*o++ = digits[i];
	}
	*o = '\0';
	return buf;
}

int
hb_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

/* ---- progress ----------------------------------------------------------------------- */

#define PROGRESS_QUIET_NS (2 * 1000000000ull)
#define PROGRESS_EVERY_NS (200 * 1000000ull)

void
hb_progress_begin(struct hb_progress *p, const char *what, const char *unit, uint64_t total)
{
	*p = (struct hb_progress){
		.what = what,
		.unit = unit,
		.total = total,
		.start_ns = hb_mono_ns(),
		.terminal = isatty(STDERR_FILENO) == 1,
	};
}

void
hb_progress_update(struct hb_progress *p, uint64_t done)
{
	uint64_t now = hb_mono_ns();
	char a[32], b[32];

	if (!p->terminal || now - p->start_ns < PROGRESS_QUIET_NS ||
		now - p->shown_ns < PROGRESS_EVERY_NS)
		return;
	p->shown_ns = now;
	p->shown = true;
	double rate = (double)done / ((double)(now - p->start_ns) / 1e9);
	fprintf(stderr, "\r\033[K%s: %s %s, %s a second", p->what, hb_thousands(done, a), p->unit,
		hb_thousands((uint64_t)rate, b));
	if (p->total > done && rate > 0)
		fprintf(stderr, ", %.0f%%, %.0f s left", 100.0 * (double)done / (double)p->total,
			(double)(p->total - done) / rate);
	fflush(stderr);
}

void
hb_progress_end(struct hb_progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\033[K");
}
