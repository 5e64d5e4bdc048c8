/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_base: the few things that every part of hongbao needs and that know nothing of
 * envelopes: a line of error for a person, hugepage memory, time, progress on a terminal.
 *
 * Nothing here is called on the data path, except hb_mix64() and the two byte-order readers.
 * No state of its own; every call may come from any thread, each hb_progress from one.
 */
#ifndef HB_BASE_H
#define HB_BASE_H

#include <endian.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HB_CACHE_LINE 64
#define HB_ALIGNED __attribute__((aligned(HB_CACHE_LINE)))
#define HB_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HB_LIKELY(x) __builtin_expect(!!(x), 1)
#define HB_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HB_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* For functions that only fetch into the cache: GCC takes one of those for a function without
 * effect and drops its calls, unless it has been inlined before that (seen with GCC 12). */
#define HB_FETCH static inline __attribute__((always_inline)) void

/* ---- errors ------------------------------------------------------------------------- */

/* Exit codes of every program of hongbao. */
enum hb_exit {
	HB_EXIT_OK = 0,
	HB_EXIT_FAILED = 1, /* the work was done and its result is bad (books off, disk failed) */
	HB_EXIT_USAGE = 2,  /* the command line is wrong */
	HB_EXIT_CONFIG = 3, /* a file that was named is missing, unreadable or wrong */
	HB_EXIT_HOST = 4,   /* the host lacks something: memory, hugepages, a device, permission */
};

/* One line for a person: what, where, the value, the remedy. Filled by the function that fails. */
struct hb_error {
	char text[768];
};

/* Writes the line (printf-like) and returns -err, so that a failing function ends with
 * `return hb_fail(e, EINVAL, "...")`. e may be NULL. err: a positive errno. */
int hb_fail(struct hb_error *e, int err, const char *fmt, ...) HB_PRINTF(3, 4);

/* ---- memory ------------------------------------------------------------------------- */

/* Page backing that hb_mem_alloc() got. */
enum hb_pages {
	HB_PAGES_4K,
	HB_PAGES_THP, /* ordinary pages, transparent hugepages asked for */
	HB_PAGES_2M,
	HB_PAGES_1G,
};

/* A region that is mapped once at start and never grows. All zero when fresh. */
struct hb_mem {
	void *addr;
	size_t bytes; /* as mapped: rounded up to the page size */
	enum hb_pages pages;
};

/* Whether hb_mem_alloc() may take reserved hugepages (default true). Call before the first
 * allocation, e.g. with false under --no-huge. */
void hb_mem_use_hugepages(bool on);

/* Maps at least `bytes` bytes of zeroed memory, cache-line aligned: 1 GiB pages where that many
 * are free, else 2 MiB pages, else ordinary ones with transparent hugepages. The memory is
 * populated, so that a shortage shows here and not as a signal later.
 * Errors: -ENOMEM, with the sizes and the remedy in e; `what` names the thing for the line. */
int hb_mem_alloc(struct hb_mem *m, size_t bytes, const char *what, struct hb_error *e);

/* Unmaps; a zeroed struct is allowed. */
void hb_mem_free(struct hb_mem *m);

/* Bytes of reserved hugepages that are free, of any size. */
uint64_t hb_hugepages_free(void);

/* Bytes that the host could still give: free hugepages (when in use) and available memory. */
uint64_t hb_mem_available(void);

/* ---- time --------------------------------------------------------------------------- */

/* Microseconds since 1970, wall clock. */
uint64_t hb_wall_us(void);

/* Nanoseconds of the monotonic clock. */
uint64_t hb_mono_ns(void);
/* The same of one that goes on while the host sleeps (CLOCK_BOOTTIME). */
uint64_t hb_boot_ns(void);

/* Reads ISO 8601 with a zone ("2015-02-18T22:30:00+08:00", "...Z", fractions of a second allowed)
 * or a number of milliseconds since 1970, into microseconds since 1970. Returns 0 or -EINVAL. */
int hb_time_parse(const char *text, uint64_t *us);

/* ---- threads ------------------------------------------------------------------------- */

/* Asks the scheduler to run the calling thread soon whenever it wakes: for one that others wait
 * for, that mostly sleeps, and that may share its CPU with one that never does. Needs no right;
 * before Linux 6.12 nothing changes. */
void hb_thread_prompt(void);

/* ---- numbers ------------------------------------------------------------------------ */

static inline uint64_t
hb_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline uint64_t
hb_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void
hb_put_le64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t
hb_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint16_t
hb_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

/* Folds the 128-bit product of two words: the mixer of wyhash (Wang Yi, public domain, 2019).
 * With a secret word in each factor it is a keyed hash, though not a cryptographic one. */
static inline uint64_t
hb_mix64(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): one step of a seeded generator. */
static inline uint64_t
hb_splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return z ^ (z >> 31);
}

/* "12,345,678", into buf (at least 27 bytes). Returns buf. */
char *hb_thousands(uint64_t n, char *buf);

/* Reads a whole decimal number in [min, max]. Returns 0 or -EINVAL or -ERANGE. */
int hb_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* ---- progress ----------------------------------------------------------------------- */

/* A line on stderr with rate and time left, for work that lasts over 2 s, on a terminal only. */
struct hb_progress {
	const char *what;
	const char *unit;
	uint64_t total; /* 0: unknown */
	uint64_t start_ns;
	uint64_t shown_ns;
	bool terminal;
	bool shown;
};

void hb_progress_begin(struct hb_progress *p, const char *what, const char *unit, uint64_t total);
void hb_progress_update(struct hb_progress *p, uint64_t done);
/* Wipes the line, if there is one. */
void hb_progress_end(struct hb_progress *p);

#endif
