/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include "ctl.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <wchar.h>

#define OUT 48

/* ---- text of others ------------------------------------------------------------------- */

/* The character at p: how many bytes it has; 0: not UTF-8. */
static size_t
decode(const unsigned char *p, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

	if (n == 0 || p[0] > 0xF4)
		return 0;
	*c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3F);
	}
	return *c < least[n] || *c > 0x10FFFF || (*c >= 0xD800 && *c < 0xE000) ? 0 : n;
}

/* What a terminal would act upon, or what makes a line read otherwise than it is. */
static bool
is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0x200E || c == 0x200F ||
	       (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF ||
	       (c >= 0xE0000 && c < 0xE0080);
}

void
text_put(FILE *f, const char *text, bool lines)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p != '\0') {
		uint32_t c = 0;
		size_t n = decode(p, &c);

		if (n == 0)
			fprintf(f, "\\x%02x", *p);
		else if (is_harmful(c) && !(lines && (c == '\n' || c == '\t')))
			fprintf(f, c < 0x80 ? "\\x%02x" : "\\u{%04x}", c);
		else
			fwrite(p, 1, n, f);
		p += n == 0 ? 1 : n;
	}
}

char *
text_harmless(const char *text)
{
	char *out = NULL;
	size_t bytes;
	FILE *f = ctl_must(open_memstream(&out, &bytes));

	text_put(f, text, false);
	fclose(f);
	return ctl_must(out);
}

size_t
text_fit(const char *text, int columns, int *width)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c = 0;

	*width = 0;
	while (*p != '\0') {
		size_t n = decode(p, &c);
		int w = n == 0 ? 1 : wcwidth((wchar_t)c);

		w = w < 0 ? 1 : w;
		if (*width + w > columns)
			break;
		*width += w;
		p += n == 0 ? 1 : n;
	}
	return (size_t)(p - (const unsigned char *)text);
}

int
text_width(const char *text)
{
	int width;

	text_fit(text, INT32_MAX, &width);
	return width;
}

const char *
text_paint(enum paint p)
{
	static const char *const of[] = {
		[PAINT_NONE] = "",
		[PAINT_GOOD] = "\033[32m",
		[PAINT_WARN] = "\033[33m",
		[PAINT_BAD] = "\033[1;31m",
		[PAINT_TITLE] = "\033[1m",
		[PAINT_FAINT] = "\033[2m",
	};

	return of[p];
}

/* ---- numbers -------------------------------------------------------------------------- */

char *
text_count(double n, char *out)
{
	double size = fabs(n);
	char digits[32];

	if (!isfinite(n) || size >= 1e18)
		snprintf(out, OUT, "%.4g", n);
	else if (size >= 1000 || size == floor(size))
		snprintf(out, OUT, "%s%s", n < 0 ? "-" : "",
			hb_thousands((uint64_t)(size + 0.5), digits));
	else
		snprintf(out, OUT, size >= 100 ? "%.0f" : size >= 1 ? "%.1f" : "%.3g", n);
	return out;
}

char *
text_yuan(double fen, char *out)
{
	double size = fabs(fen);
	uint64_t whole = size >= 1e18 ? UINT64_MAX : (uint64_t)(size + 0.5);
	char digits[32];

	snprintf(out, OUT, "%s%s.%02u", fen < 0 ? "-" : "", hb_thousands(whole / 100, digits),
		(unsigned)(whole % 100));
	return out;
}

char *
text_duration(double ns, char *out)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
	double s = ns / 1e9;
	char digits[OUT];

	if (ns == 0) {
		snprintf(out, OUT, "0");
	} else if (!(s < 1e12)) {
		snprintf(out, OUT, "for ever");
	} else if (s >= 86400) {
		snprintf(out, OUT, "%sd %02uh", text_count(floor(s / 86400), digits),
			(unsigned)fmod(s / 3600, 24));
	} else if (s >= 3600) {
		snprintf(out, OUT, "%uh %02um", (unsigned)(s / 3600), (unsigned)fmod(s / 60, 60));
	} else if (s >= 60) {
		snprintf(out, OUT, "%um %02us", (unsigned)(s / 60), (unsigned)fmod(s, 60));
	} else {
		unsigned i = 0;

		while (i + 1 < HB_COUNT_OF(units) && ns < units[i].ns)
			i++;
		snprintf(out, OUT, "%.3g %s", ns / units[i].ns, units[i].unit);
	}
	return out;
}

char *
text_time(double us, bool clock, char *out)
{
	bool known = us > 0 && us < 253402300800e6; /* the year 10000 */
	time_t s = known ? (time_t)(us / 1e6) : 0;
	struct tm at;

	if (!known || localtime_r(&s, &at) == NULL) {
		snprintf(out, OUT, "%s", us > 0 ? "never" : "-");
		return out;
	}
	strftime(out, OUT, clock ? "%H:%M:%S" : "%Y-%m-%dT%H:%M:%S%z", &at);
	size_t n = strlen(out);
	if (!clock) {
		/* "+0800" to "+08:00" */
		memmove(out + n - 1, out + n - 2, 3);
		out[n - 2] = ':';
	}
	return out;
}

/* ---- what keys say -------------------------------------------------------------------- */

enum unit {
	UNIT_NONE,
	UNIT_ID,
	UNIT_FEN,
	UNIT_FEN_RATE,
	UNIT_RATE,
	UNIT_TIME,
	UNIT_NS,
	UNIT_MS,
	UNIT_S,
	UNIT_PERCENT,
	UNIT_BYTES,
};

static const struct {
	const char *suffix;
	enum unit unit;
	const char *head; /* in the head of a column */
} units[] = {
	{"_fen_per_second", UNIT_FEN_RATE, " yuan/s"},
	{"_per_second", UNIT_RATE, " /s"},
	{"_fen", UNIT_FEN, " yuan"},
	{"_us", UNIT_TIME, ""},
	{"_ns", UNIT_NS, ""},
	{"_ms", UNIT_MS, ""},
	{"_s", UNIT_S, ""},
	{"_percent", UNIT_PERCENT, ""},
	{"_bytes", UNIT_BYTES, ""},
};

/* Numbers that name something: they get no commas. */
static const char *const ids[] = {"campaign", "envelope", "epoch", "host", "id", "lane", "packet",
	"pid", "port", "seq", "shard", "slice", "to_worker", "user", "version", "worker"};

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && strcmp(text + n - m, end) == 0;
}

static enum unit
unit_of(const char *key, unsigned *place)
{
	for (*place = 0; *place < HB_COUNT_OF(units); (*place)++) {
		if (ends_with(key, units[*place].suffix))
			return units[*place].unit;
	}
	for (unsigned i = 0; i < HB_COUNT_OF(ids); i++) {
		if (strcmp(key, ids[i]) == 0)
			return UNIT_ID;
	}
	return ends_with(key, "_version") ? UNIT_ID : UNIT_NONE;
}

char *
text_title(const char *key, enum place place)
{
	char *safe = text_harmless(key), *out;
	unsigned at;
	const char *head = "";

	unit_of(safe, &at);
	if (at < HB_COUNT_OF(units)) {
		safe[strlen(safe) - strlen(units[at].suffix)] = '\0';
		head = place == IN_COLUMN ? units[at].head : "";
	}
	for (char *p = safe; *p != '\0'; p++) {
		/* Of "p99_9" it is the point of a percentile. */
		if (*p == '_')
			*p = p > safe && p[1] == '9' && p[-1] == '9' ? '.' : ' ';
	}
	if (asprintf(&out, "%s%s", safe, head) < 0)
		out = NULL;
	free(safe);
	return ctl_must(out);
}

/* ---- colours -------------------------------------------------------------------------- */

static bool
is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strcmp(word, *list) == 0)
			return true;
	}
	return false;
}

static enum paint
paint_word(const char *key, const char *word)
{
	static const char *const keys[] = {"state", "disk", "link", "outcome", "books", NULL};
	static const char *const good[] = {
		"running", "serving", "open", "good", "up", "WIN", "balanced", NULL};
	static const char *const bad[] = {"failed", "full", "down", "NOT balanced", NULL};
	static const char *const plain[] = {"closed", "early", "unknown", "NONE", "MISS", NULL};

	if (strcmp(key, "error") == 0 && word[0] != '\0')
		return PAINT_BAD;
	if (strcmp(key, "warnings") == 0)
		return PAINT_WARN;
	if (!is_one_of(key, keys) || is_one_of(word, plain))
		return PAINT_NONE;
	return is_one_of(word, good) ? PAINT_GOOD : is_one_of(word, bad) ? PAINT_BAD : PAINT_WARN;
}

static enum paint
paint_bool(const char *key, bool yes)
{
	static const char *const wanted[] = {"seen_by_all", "balanced", "durable", NULL};
	static const char *const unwanted[] = {"barred", "draining", "overloaded", "paused", NULL};

	if (is_one_of(key, wanted))
		return yes ? PAINT_GOOD : PAINT_BAD;
	return yes && is_one_of(key, unwanted) ? PAINT_WARN : PAINT_NONE;
}

static enum paint
paint_number(const char *key, double n)
{
	static const char *const unwanted[] = {"links_down", "lost", "overloaded", "shed",
		"shed_per_second", "faults", "refused", NULL};

	if (strcmp(key, "load_percent") == 0 || strcmp(key, "busiest_percent") == 0)
		return n >= 95 ? PAINT_BAD : n >= 80 ? PAINT_WARN : PAINT_NONE;
	if (strcmp(key, "admission_percent") == 0)
		return n < 100 ? PAINT_WARN : PAINT_NONE;
	return n > 0 && is_one_of(key, unwanted) ? PAINT_WARN : PAINT_NONE;
}

/* ---- cells ---------------------------------------------------------------------------- */

static char *
bytes_text(double n, char *out)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned i = 0;

	while (n >= 1024 && i + 1 < HB_COUNT_OF(unit)) {
		n /= 1024;
		i++;
	}
	snprintf(out, OUT, i == 0 ? "%.0f %s" : "%.1f %s", n, unit[i]);
	return out;
}

/* A share or the like: what it was written as. */
static char *
real_text(double n, char *out)
{
	if (fabs(n) >= 1000)
		return text_count(n, out);
	snprintf(out, OUT, fabs(n) < 1 ? "%.6g" : "%.4g", n);
	return out;
}

static char *
plain_number(const json_t *v, enum unit unit, char *out)
{
	char digits[32];

	if (json_is_real(v))
		return real_text(json_real_value(v), out);
	json_int_t n = json_integer_value(v);
	if (unit == UNIT_ID)
		snprintf(out, OUT, "%lld", (long long)n);
	else
		snprintf(out, OUT, "%s%s", n < 0 ? "-" : "",
			hb_thousands(n < 0 ? -(uint64_t)n : (uint64_t)n, digits));
	return out;
}

static void
number_text(const char *key, const json_t *v, enum place place, char *out, size_t bytes)
{
	double n = json_number_value(v);
	unsigned at;
	enum unit unit = unit_of(key, &at);
	char number[OUT];
	const char *behind = "";

	switch (unit) {
	case UNIT_FEN:
	case UNIT_FEN_RATE:
		text_yuan(n, number);
		break;
	case UNIT_RATE:
		text_count(n, number);
		break;
	case UNIT_TIME:
		text_time(n, false, number);
		break;
	case UNIT_NS:
		text_duration(n, number);
		break;
	case UNIT_MS:
		text_duration(n * 1e6, number);
		break;
	case UNIT_S:
		text_duration(n * 1e9, number);
		break;
	case UNIT_PERCENT:
		snprintf(number, sizeof(number), "%.1f%%", n);
		break;
	case UNIT_BYTES:
		bytes_text(n, number);
		break;
	case UNIT_NONE:
	case UNIT_ID:
		plain_number(v, unit, number);
		break;
	}
	if (at < HB_COUNT_OF(units) && place == IN_LINE)
		behind = units[at].head;
	snprintf(out, bytes, "%s%s", number, behind);
}

void
cell_make(struct cell *c, const char *key, const json_t *value, enum place place)
{
	char text[2 * OUT] = "-";

	*c = (struct cell){.paint = PAINT_NONE};
	if (value == NULL)
		return;
	if (json_is_string(value)) {
		c->text = text_harmless(json_string_value(value));
		c->paint = paint_word(key, json_string_value(value));
	} else if (json_is_boolean(value)) {
		snprintf(text, sizeof(text), "%s", json_is_true(value) ? "yes" : "no");
		c->paint = paint_bool(key, json_is_true(value));
	} else if (json_is_number(value)) {
		number_text(key, value, place, text, sizeof(text));
		c->paint = paint_number(key, json_number_value(value));
		c->right = true;
	}
	if (c->text == NULL)
		c->text = ctl_must(strdup(text));
	c->width = text_width(c->text);
}

void
cell_free(struct cell *c)
{
	free(c->text);
	*c = (struct cell){0};
}
