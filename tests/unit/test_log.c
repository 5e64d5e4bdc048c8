/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log: what a line looks like in each place that it can go to, what limits hold back, and that
 * a file or a reader that takes nothing costs lines and no more. Each test has files and a clock of
 * its own; stderr is a file in memory, or a pipe.
 */
#include "hb_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static uint64_t mono = 1, wall;

static uint64_t
test_mono(void)
{
	return mono;
}

static uint64_t
test_wall(void)
{
	return wall;
}

struct bed {
	char directory[64];
	char path[96];
	int saved;  /* the real stderr */
	int memory; /* stderr now */
	char text[1 << 16];
};

/* What was written to an open file so far. */
static const char *
contents(struct bed *b, int fd)
{
	ssize_t n = pread(fd, b->text, sizeof(b->text) - 1, 0);

	b->text[n < 0 ? 0 : n] = '\0';
	return b->text;
}

static const char *
on_stderr(struct bed *b)
{
	return contents(b, b->memory);
}

static const char *
in_file(struct bed *b, const char *path)
{
	int fd = open(path, O_RDONLY);

	contents(b, fd);
	close(fd);
	return b->text;
}

static int
set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	snprintf(b->directory, sizeof(b->directory), "/tmp/hongbao-log-XXXXXX");
	if (mkdtemp(b->directory) == NULL)
		return -1;
	snprintf(b->path, sizeof(b->path), "%s/log", b->directory);
	b->saved = dup(STDERR_FILENO);
	b->memory = memfd_create("stderr", 0);
	dup2(b->memory, STDERR_FILENO);
	mono = 1000 * SECOND;
	wall = 1424269800123456;
	unsetenv("JOURNAL_STREAM");
	hb_log_set_clock(test_mono, test_wall);
	hb_log_begin("test");
	*state = b;
	return 0;
}

static int
tear_down(void **state)
{
	struct bed *b = *state;
	char command[128];

	hb_log_end();
	dup2(b->saved, STDERR_FILENO);
	close(b->saved);
	close(b->memory);
	snprintf(command, sizeof(command), "rm -r '%s'", b->directory);
	int rc = system(command);
	free(b);
	return rc;
}

/* ---- stderr -------------------------------------------------------------------------- */

static void
a_line_has_the_programs_name(void **state)
{
	hb_log(HB_LOG_INFO, "%s is %d", "seven", 7);
	hb_log(HB_LOG_ERROR, "bad");
	assert_string_equal(on_stderr(*state), "test: seven is 7\ntest: bad\n");
}

static void
levels_can_be_changed_and_hide_what_is_below(void **state)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	enum hb_log_level level = HB_LOG_DEBUG;
	char want[512] = "";

	assert_int_equal(hb_log_level(), HB_LOG_INFO);
	for (unsigned set = 0; set < HB_LOG_LEVELS; set++) {
		assert_int_equal(hb_log_level_parse(names[set], &level), 0);
		assert_int_equal(level, set);
		assert_string_equal(hb_log_level_name(level), names[set]);
		hb_log_set_level(level);
		assert_int_equal(hb_log_level(), set);
		for (unsigned i = 0; i < HB_LOG_LEVELS; i++) {
			hb_log(i, "%u under %u", i, set);
			hb_log_limited(i, 100, "%u below %u", i, set);
			if (i <= set)
				snprintf(want + strlen(want), sizeof(want) - strlen(want),
					"test: %u under %u\ntest: %u below %u\n", i, set, i, set);
		}
	}
	assert_string_equal(on_stderr(*state), want);
	assert_int_equal(hb_log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(hb_log_level_parse("", &level), -EINVAL);
	assert_int_equal(level, HB_LOG_DEBUG);
}

static void
what_strangers_send_is_one_line(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"a\nb\r\tc", "a\\nb\\r\\tc"},
		{"\033[2J\007\177", "\\x1b[2J\\x07\\x7f"},
		{"back\\slash \"quote\" 100%", "back\\slash \"quote\" 100%"},
		{"\xE7\xBA\xA2\xE5\x8C\x85 \xC3\xA9 \xF0\x9F\xA7\xA7",
			"\xE7\xBA\xA2\xE5\x8C\x85 \xC3\xA9 \xF0\x9F\xA7\xA7"},
		{"\xC2\x9B"
		 "2J",
			"\\xc2\\x9b2J"},		   /* CSI of C1 */
		{"\xC0\x8A \xE0\x80\x8A \xF0\x80\x80\x8A", /* overlong newlines */
			"\\xc0\\x8a \\xe0\\x80\\x8a \\xf0\\x80\\x80\\x8a"},
		{"\xED\xA0\x80 \xF4\x90\x80\x80", "\\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80"},
		{"\xFF\x80 \xE7\xBA", "\\xff\\x80 \\xe7\\xba"},
		{"", ""},
	};
	char want[1024] = "";

	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		hb_log(HB_LOG_INFO, "%s", cases[i].text);
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "test: %s\n",
			cases[i].want);
	}
	assert_string_equal(on_stderr(*state), want);
}

static void
a_line_that_is_too_long_is_cut_between_characters(void **state)
{
	struct bed *b = *state;
	char text[3 * HB_LOG_LINE];

	for (unsigned shift = 0; shift < 4; shift++) {
		size_t at = 0;

		for (; at < shift; at++)
			text[at] = 'x';
		for (; at + 3 < sizeof(text); at += 3)
			memcpy(text + at, "\xE7\xBA\xA2", 4);
		assert_int_equal(ftruncate(b->memory, 0), 0);
		lseek(b->memory, 0, SEEK_SET);
		hb_log(HB_LOG_INFO, "%s", text);
		const char *said = on_stderr(b);
		size_t n = strlen(said);

		assert_in_range(n, HB_LOG_LINE - 3, HB_LOG_LINE + 8);
		assert_string_equal(said + n - 4, "...\n");
		assert_memory_equal(said + n - 7, "\xE7\xBA\xA2", 3);
		assert_null(strstr(said, "\\x"));
	}
}

/* The journal reads "<priority>" and has the program's name already. */
static void
the_journal_gets_priorities(void **state)
{
	struct bed *b = *state;
	char stream[64];
	struct stat st;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	hb_log_begin("test");
	hb_log_set_level(HB_LOG_DEBUG);
	hb_log(HB_LOG_ERROR, "e");
	hb_log(HB_LOG_WARNING, "w");
	hb_log(HB_LOG_INFO, "i\n<0>forged");
	hb_log(HB_LOG_DEBUG, "d");
	assert_string_equal(on_stderr(b), "<3>e\n<4>w\n<6>i\\n<0>forged\n<7>d\n");
}

/* The variable stays when somebody redirects stderr. */
static void
what_is_not_the_journal_gets_the_name(void **state)
{
	static const char *const streams[] = {"1:1", "", "x", "1", "1:", ":1", "%s x"};
	struct bed *b = *state;
	char own[64], want[256] = "";
	struct stat st;

	fstat(STDERR_FILENO, &st);
	for (unsigned i = 0; i < HB_COUNT_OF(streams); i++) {
		snprintf(own, sizeof(own), "%llu:%llux", (unsigned long long)st.st_dev,
			(unsigned long long)st.st_ino);
		setenv("JOURNAL_STREAM", streams[i][0] == '%' ? own : streams[i], 1);
		hb_log_begin("test");
		hb_log(HB_LOG_INFO, "%u", i);
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "test: %u\n", i);
	}
	assert_string_equal(on_stderr(b), want);
}

/* ---- limits -------------------------------------------------------------------------- */

static void
flood(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		hb_log_limited(HB_LOG_WARNING, 3, "flood %u of %u", i, n);
}

static void
a_place_says_so_many_lines_a_minute(void **state)
{
	struct bed *b = *state;

	flood(2);
	mono += 59 * SECOND;
	flood(125);
	hb_log(HB_LOG_INFO, "another place");
	hb_log_settle();
	assert_string_equal(on_stderr(b),
		"test: flood 0 of 2\ntest: flood 1 of 2\ntest: flood 0 of 125\n"
		"test: another place\n");
	/* The minute is over: at the next line of the place. */
	assert_int_equal(ftruncate(b->memory, 0), 0);
	lseek(b->memory, 0, SEEK_SET);
	mono += SECOND;
	flood(4);
	assert_string_equal(on_stderr(b),
		"test: ... and 124 more like it: flood 0 of 2\n"
		"test: flood 0 of 4\ntest: flood 1 of 4\ntest: flood 2 of 4\n");
	/* And where there is none, when it is looked after. */
	assert_int_equal(ftruncate(b->memory, 0), 0);
	lseek(b->memory, 0, SEEK_SET);
	mono += 60 * SECOND - 1;
	hb_log_settle();
	assert_string_equal(on_stderr(b), "");
	mono++;
	hb_log_settle();
	hb_log_settle();
	assert_string_equal(on_stderr(b), "test: ... and 1 more like it: flood 0 of 4\n");
	/* A minute without too many leaves nothing to say. */
	flood(3);
	mono += 120 * SECOND;
	hb_log_settle();
	flood(1);
	assert_null(strstr(on_stderr(b), "0 more"));
	assert_non_null(strstr(on_stderr(b), "flood 2 of 3\ntest: flood 0 of 1\n"));
	mono += 60 * SECOND;
}

static void
the_end_says_what_was_held_back(void **state)
{
	flood(5);
	hb_log_end();
	assert_non_null(strstr(on_stderr(*state), "test: ... and 2 more like it: flood 0 of 5\n"));
}

static void
places_are_counted_apart(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		hb_log_limited(HB_LOG_INFO, 1, "one %u", i);
		hb_log_limited(HB_LOG_INFO, 1, "two %u", i);
	}
	mono += 60 * SECOND;
	hb_log_settle();
	const char *said = on_stderr(*state);

	assert_non_null(strstr(said, "... and 2 more like it: one 0\n"));
	assert_non_null(strstr(said, "... and 2 more like it: two 0\n"));
}

static void
what_is_hidden_is_not_counted(void **state)
{
	for (unsigned i = 0; i < 9; i++)
		hb_log_limited(HB_LOG_DEBUG, 1, "hidden");
	mono += 60 * SECOND;
	hb_log_settle();
	assert_string_equal(on_stderr(*state), "");
}

/* ---- the file ------------------------------------------------------------------------ */

static void
a_file_has_time_and_level(void **state)
{
	struct bed *b = *state;
	struct hb_error e;
	struct stat st;

	setenv("TZ", "<+0530>-5:30", 1);
	hb_log_begin("test");
	mode_t mask = umask(022);
	assert_int_equal(hb_log_file(b->path, &e), 0);
	umask(mask);
	hb_log(HB_LOG_INFO, "one");
	setenv("TZ", "<-03>3", 1);
	tzset();
	wall += 1000;
	hb_log(HB_LOG_ERROR, "two\n");
	assert_string_equal(in_file(b, b->path), "2015-02-18T20:00:00.123+05:30 info one\n"
						 "2015-02-18T11:30:00.124-03:00 error two\\n\n");
	assert_string_equal(on_stderr(b), "");
	assert_int_equal(stat(b->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* It is added to, by the next run too. */
	hb_log_end();
	hb_log(HB_LOG_INFO, "between");
	assert_int_equal(hb_log_file(b->path, &e), 0);
	hb_log(HB_LOG_WARNING, "three");
	assert_non_null(strstr(
		in_file(b, b->path), "two\\n\n2015-02-18T11:30:00.124-03:00 warning three\n"));
	assert_string_equal(on_stderr(b), "test: between\n");
	unsetenv("TZ");
	tzset();
}

static void
a_rotated_file_is_left_when_it_is_opened_anew(void **state)
{
	struct bed *b = *state;
	char old[128];

	snprintf(old, sizeof(old), "%s.1", b->path);
	assert_int_equal(hb_log_file(b->path, NULL), 0);
	hb_log(HB_LOG_INFO, "before");
	assert_int_equal(rename(b->path, old), 0);
	hb_log(HB_LOG_INFO, "still the old one");
	hb_log_reopen();
	hb_log(HB_LOG_INFO, "after");
	assert_non_null(strstr(in_file(b, old), "info before\n"));
	assert_non_null(strstr(in_file(b, old), "info still the old one\n"));
	assert_null(strstr(in_file(b, old), "after"));
	assert_non_null(strstr(in_file(b, b->path), "info after\n"));
	assert_null(strstr(in_file(b, b->path), "before"));
	assert_string_equal(on_stderr(b), "");
}

static void
a_file_that_cannot_be_opened_is_the_callers_to_say(void **state)
{
	struct bed *b = *state;
	struct hb_error e;
	char path[128], long_path[5000];

	snprintf(path, sizeof(path), "%s/none/log", b->directory);
	assert_int_equal(hb_log_file(path, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
	hb_log(HB_LOG_INFO, "one");
	hb_log(HB_LOG_INFO, "two");
	assert_string_equal(on_stderr(b), "test: one\ntest: two\n");
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(hb_log_file(long_path, &e), -ENAMETOOLONG);
	/* What stands in its way is gone: the path is known still. */
	snprintf(path, sizeof(path), "%s/none", b->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	hb_log_reopen();
	hb_log(HB_LOG_INFO, "three");
	assert_string_equal(on_stderr(b), "test: one\ntest: two\n");
	snprintf(path, sizeof(path), "%s/none/log", b->directory);
	assert_non_null(strstr(in_file(b, path), "info three\n"));
}

static void
a_file_that_cannot_be_opened_anew_is_said_once(void **state)
{
	struct bed *b = *state;
	char path[128], away[128];

	snprintf(path, sizeof(path), "%s/d/log", b->directory);
	snprintf(away, sizeof(away), "%s/e", b->directory);
	*strrchr(path, '/') = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	path[strlen(path)] = '/';
	assert_int_equal(hb_log_file(path, NULL), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rename(path, away), 0);
	hb_log_reopen();
	hb_log(HB_LOG_INFO, "one");
	hb_log_reopen();
	hb_log(HB_LOG_INFO, "two");
	const char *said = on_stderr(b), *first = strstr(said, "cannot write it: No such file");

	assert_non_null(first);
	assert_null(strstr(first + 1, "cannot write it"));
	assert_non_null(strstr(first, "\ntest: one\ntest: two\n"));
	assert_int_equal(rename(away, path), 0);
	hb_log_reopen();
	hb_log(HB_LOG_INFO, "three");
	assert_null(strstr(on_stderr(b), "three"));
}

static void
a_full_disk_is_said_once_and_its_lines_go_to_stderr(void **state)
{
	struct bed *b = *state;
	struct hb_error e;

	assert_int_equal(hb_log_file("/dev/full", &e), 0);
	hb_log(HB_LOG_INFO, "one");
	hb_log(HB_LOG_INFO, "two");
	const char *said = on_stderr(b);

	assert_int_equal(strncmp(said, "test: log file /dev/full: cannot write it: ", 43), 0);
	assert_null(strstr(said + 10, "log file"));
	assert_non_null(strstr(said, "\ntest: one\ntest: two\n"));
}

/* A limit on the size of files cuts a line in two, as a disk that gets full does: what comes later
 * begins on a line of its own. */
static void
a_half_written_line_spoils_no_other(void **state)
{
	struct bed *b = *state;
	struct rlimit before, limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(hb_log_file(b->path, NULL), 0);
	hb_log(HB_LOG_INFO, "whole");
	size_t size = strlen(in_file(b, b->path));

	getrlimit(RLIMIT_FSIZE, &before);
	limit = (struct rlimit){.rlim_cur = size + 10, .rlim_max = before.rlim_max};
	/* So that stderr is none of the files that are limited. */
	int ends[2], here = dup(STDERR_FILENO);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	setrlimit(RLIMIT_FSIZE, &limit);
	hb_log(HB_LOG_INFO, "half");
	hb_log(HB_LOG_INFO, "none");
	setrlimit(RLIMIT_FSIZE, &before);
	hb_log(HB_LOG_INFO, "whole again");
	dup2(here, STDERR_FILENO);
	assert_string_equal(in_file(b, b->path) + size,
		"2015-02-18\n2015-02-18T14:30:00.123+00:00 info whole again\n");
	ssize_t n = read(ends[0], b->text, sizeof(b->text) - 1);
	b->text[n] = '\0';
	assert_non_null(strstr(b->text, "No space left"));
	assert_non_null(strstr(b->text, "\ntest: half\n"));
	assert_non_null(strstr(b->text, "test: none\n"));
	assert_null(strstr(b->text, "again"));
	close(here);
	close(ends[0]);
	close(ends[1]);
}

/* A FIFO without a reader, as a log file. */
static void
nobody_waits_for_a_reader_of_the_file(void **state)
{
	struct bed *b = *state;

	assert_int_equal(mkfifo(b->path, 0600), 0);
	assert_int_equal(hb_log_file(b->path, NULL), -ENXIO);
	hb_log(HB_LOG_INFO, "here");
	assert_string_equal(on_stderr(b), "test: here\n");
}

/* ---- readers and threads ------------------------------------------------------------- */

/* A pipe that is full: lines are lost and counted, and the next that goes says so. */
static void
nobody_waits_for_a_reader_of_stderr(void **state)
{
	struct bed *b = *state;
	int ends[2], here = dup(STDERR_FILENO);
	char line[1024];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	uint64_t begun = hb_mono_ns();
	for (unsigned i = 0; i < 1000; i++)
		hb_log(HB_LOG_INFO, "%s", line);
	uint64_t took = hb_mono_ns() - begun;
	size_t got = 0;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	for (ssize_t n; (n = read(ends[0], b->text, sizeof(b->text))) > 0; got += (size_t)n)
		;
	hb_log(HB_LOG_INFO, "there again");
	ssize_t n = read(ends[0], b->text, sizeof(b->text) - 1);
	dup2(here, STDERR_FILENO);
	assert_true(n > 0);
	b->text[n] = '\0';
	snprintf(line, sizeof(line),
		"test: log: %zu lines were lost: stderr did not take them\ntest: there again\n",
		1000 - got / (6 + 1023 + 1));
	assert_string_equal(b->text, line);
	assert_true(got > 0 && got < 1000 * 1000);
	assert_in_range(took, 0, 5 * SECOND);
	close(here);
	close(ends[0]);
	close(ends[1]);
}

static void
a_reader_that_is_gone_ends_nothing(void **state)
{
	int ends[2], here = dup(STDERR_FILENO);

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[0]);
	hb_log(HB_LOG_INFO, "to nobody");
	close(STDERR_FILENO);
	hb_log(HB_LOG_INFO, "to nothing");
	dup2(here, STDERR_FILENO);
	hb_log(HB_LOG_INFO, "here");
	assert_string_equal(on_stderr(*state),
		"test: log: 2 lines were lost: stderr did not take them\ntest: here\n");
	close(here);
	close(ends[1]);
}

#define THREADS 4
#define LINES 500

static void *
talk(void *arg)
{
	unsigned who = *(unsigned *)arg;

	for (unsigned i = 0; i < LINES; i++) {
		hb_log(HB_LOG_INFO, "<%u says %u>", who, i);
		hb_log_limited(HB_LOG_INFO, 7, "<limited>");
		hb_log_set_level(i % 2 == 0 ? HB_LOG_DEBUG : HB_LOG_INFO);
		hb_log_settle();
		if (i % 50 == 0)
			hb_log_reopen();
	}
	return NULL;
}

static void
threads_do_not_mix_their_lines(void **state)
{
	struct bed *b = *state;
	unsigned who[THREADS], next[THREADS] = {0}, limited = 0, number, i;
	pthread_t thread[THREADS];
	char line[256];

	assert_int_equal(hb_log_file(b->path, NULL), 0);
	for (i = 0; i < THREADS; i++) {
		who[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, talk, &who[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	FILE *f = fopen(b->path, "r");

	while (fgets(line, sizeof(line), f) != NULL) {
		char end;

		if (strstr(line, " info <limited>\n") != NULL) {
			limited++;
			continue;
		}
		assert_int_equal(sscanf(line, "2015-02-18T14:30:00.123+00:00 info <%u says %u%c",
					 &i, &number, &end),
			3);
		assert_int_equal(end, '>');
		assert_in_range(i, 0, THREADS - 1);
		assert_int_equal(number, next[i]);
		next[i]++;
	}
	fclose(f);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES);
	assert_int_equal(limited, 7);
}

int
main(void)
{
#define WITH_A_BED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_A_BED(a_line_has_the_programs_name),
		WITH_A_BED(levels_can_be_changed_and_hide_what_is_below),
		WITH_A_BED(what_strangers_send_is_one_line),
		WITH_A_BED(a_line_that_is_too_long_is_cut_between_characters),
		WITH_A_BED(the_journal_gets_priorities),
		WITH_A_BED(what_is_not_the_journal_gets_the_name),
		WITH_A_BED(a_place_says_so_many_lines_a_minute),
		WITH_A_BED(the_end_says_what_was_held_back),
		WITH_A_BED(places_are_counted_apart),
		WITH_A_BED(what_is_hidden_is_not_counted),
		WITH_A_BED(a_file_has_time_and_level),
		WITH_A_BED(a_rotated_file_is_left_when_it_is_opened_anew),
		WITH_A_BED(a_file_that_cannot_be_opened_is_the_callers_to_say),
		WITH_A_BED(a_file_that_cannot_be_opened_anew_is_said_once),
		WITH_A_BED(a_full_disk_is_said_once_and_its_lines_go_to_stderr),
		WITH_A_BED(a_half_written_line_spoils_no_other),
		WITH_A_BED(nobody_waits_for_a_reader_of_the_file),
		WITH_A_BED(nobody_waits_for_a_reader_of_stderr),
		WITH_A_BED(a_reader_that_is_gone_ends_nothing),
		WITH_A_BED(threads_do_not_mix_their_lines),
	};

	setenv("TZ", "UTC0", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
