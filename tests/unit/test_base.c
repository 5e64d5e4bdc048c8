/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every part stands on: the line of error, memory, time, numbers and progress.
 */
#include "hb_base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- errors ------------------------------------------------------------------------- */

static void
fail_writes_the_line_and_returns_minus_errno(void **state)
{
	struct hb_error e;

	(void)state;
	assert_int_equal(hb_fail(&e, EBUSY, "%s has %u", "7", 8u), -EBUSY);
	assert_string_equal(e.text, "7 has 8");
	assert_int_equal(hb_fail(NULL, ENOENT, "nobody reads this %d", 1), -ENOENT);
}

static void
fail_cuts_a_line_that_is_too_long(void **state)
{
	struct {
		struct hb_error e;
		char guard[16];
	} box;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(&box, 0x5A, sizeof(box));
	assert_int_equal(hb_fail(&box.e, EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(box.e.text), sizeof(box.e.text) - 1);
	for (unsigned i = 0; i < sizeof(box.guard); i++)
		assert_int_equal(box.guard[i], 0x5A);
}

/* ---- memory ------------------------------------------------------------------------- */

static void
memory_is_zero_aligned_and_as_large_as_asked(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 1 << 20, (2 << 20) + 1, 5 << 20};
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(sizes); i++) {
		struct hb_mem m;

		assert_int_equal(hb_mem_alloc(&m, sizes[i], "test", &e), 0);
		assert_non_null(m.addr);
		assert_true(m.bytes >= sizes[i] && m.bytes > 0);
		assert_int_equal((uintptr_t)m.addr % HB_CACHE_LINE, 0);
		for (size_t at = 0; at < m.bytes; at += 512) {
			assert_int_equal(((uint8_t *)m.addr)[at], 0);
			((uint8_t *)m.addr)[at] = 1;
		}
		((uint8_t *)m.addr)[m.bytes - 1] = 1;
		hb_mem_free(&m);
		assert_null(m.addr);
		assert_int_equal(m.bytes, 0);
		hb_mem_free(&m);
	}
}

static void
memory_that_the_host_lacks_is_refused_by_name(void **state)
{
	static const size_t sizes[] = {(size_t)1 << 46, SIZE_MAX / 2, SIZE_MAX - 4096, SIZE_MAX};
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(sizes); i++) {
		struct hb_mem m = {.addr = &e, .bytes = 7};

		assert_int_equal(hb_mem_alloc(&m, sizes[i], "the barrel", &e), -ENOMEM);
		assert_non_null(strstr(e.text, "the barrel"));
		assert_null(m.addr);
		assert_int_equal(hb_mem_alloc(&m, sizes[i], "the barrel", NULL), -ENOMEM);
		hb_mem_free(&m);
	}
}

static void
memory_without_hugepages_is_ordinary(void **state)
{
	struct hb_mem m;
	struct hb_error e;

	(void)state;
	hb_mem_use_hugepages(false);
	assert_int_equal(hb_mem_alloc(&m, 3 << 20, "test", &e), 0);
	assert_true(m.pages == HB_PAGES_4K || m.pages == HB_PAGES_THP);
	hb_mem_free(&m);
	assert_true(hb_mem_available() > 0);
	hb_mem_use_hugepages(true);
}

/* ---- time --------------------------------------------------------------------------- */

static void
time_is_read_with_its_zone(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {
		{"0", 0},
		{"1424269800000", 1424269800000000},
		{"18446744073709551", 18446744073709551000u},
		{"2015-02-18T22:30:00+08:00", 1424269800000000},
		{"2015-02-18T22:30:00+0800", 1424269800000000},
		{"2015-02-18T22:30:00+08", 1424269800000000},
		{"2015-02-18T14:30:00Z", 1424269800000000},
		{"2015-02-18t14:30:00z", 1424269800000000},
		{"2015-02-18 14:30:00Z", 1424269800000000},
		{"2015-02-18T09:00:00-05:30", 1424269800000000},
		{"2015-02-18T14:30:00.5Z", 1424269800500000},
		{"2015-02-18T14:30:00.000001Z", 1424269800000001},
		{"2015-02-18T14:30:00.1234569Z", 1424269800123456},
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T08:00:00+08:00", 0},
		{"2000-02-29T00:00:00Z", 951782400000000},
		{"2016-12-31T23:59:59Z", 1483228799000000},
		{"9999-12-31T23:59:59Z", 253402300799000000},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(good); i++) {
		uint64_t us = 1;

		assert_int_equal(hb_time_parse(good[i].text, &us), 0);
		assert_int_equal(us, good[i].us);
	}
}

static void
time_that_cannot_be_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"-1",
		"+1",
		"1 ",
		"1.5",
		"18446744073709552",
		"99999999999999999999",
		"2015-02-18",
		"2015-02-18T22:30",
		"2015-02-18T22:30:00",
		"2015-02-18T22:30:00+",
		"2015-02-18T22:30:00+8",
		"2015-02-18T22:30:00+08:",
		"2015-02-18T22:30:00+08:0",
		"2015-02-18T22:30:00+08:00x",
		"2015-02-18T22:30:00+15:00",
		"2015-02-18T22:30:00+08:60",
		"2015-02-18T22:30:00.Z",
		"2015-02-18T22:30:00. 5Z",
		"2015-02-18X22:30:00Z",
		"2015-02-29T00:00:00Z",
		"1900-02-28T00:00:00Z",
		"2015-02-31T00:00:00Z",
		"2015-04-31T00:00:00Z",
		"2015-13-01T00:00:00Z",
		"2015-00-01T00:00:00Z",
		"2015-01-00T00:00:00Z",
		"2015-01-32T00:00:00Z",
		"2015-01-01T24:00:00Z",
		"2015-01-01T00:60:00Z",
		"2015-01-01T00:00:60Z",
		"1970-01-01T00:00:00+08:00",
		"1969-12-31T23:59:59Z",
		"15-02-18T14:30:00Z",
		"2015-2-18T14:30:00Z",
		"2015-02-18T14:30:00ZZ",
		" 2015-02-18T14:30:00Z",
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		uint64_t us;

		if (hb_time_parse(bad[i], &us) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	}
}

static void
clocks_go_forward(void **state)
{
	uint64_t mono = hb_mono_ns(), wall = hb_wall_us();

	(void)state;
	usleep(2000);
	assert_in_range(hb_mono_ns() - mono, 2000000, 10000000000);
	assert_true(wall > 1600000000000000);
	assert_true(hb_wall_us() > wall);
}

/* ---- numbers ------------------------------------------------------------------------ */

static void
readers_take_network_order_at_any_alignment(void **state)
{
	static const uint8_t bytes[] = {0xEE, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10};

	(void)state;
	assert_int_equal(hb_be64(bytes + 1), 0xFEDCBA9876543210);
	assert_int_equal(hb_be32(bytes + 1), 0xFEDCBA98);
	assert_int_equal(hb_be16(bytes + 1), 0xFEDC);
	assert_int_equal(hb_be32(bytes + 5), 0x76543210);
}

static void
mix_folds_the_whole_product(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t a = hb_splitmix64(&random), b = hb_splitmix64(&random);
		uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
		uint64_t cross = (al * bl >> 32) + (uint32_t)(ah * bl) + (uint32_t)(al * bh);
		uint64_t high = ah * bh + (ah * bl >> 32) + (al * bh >> 32) + (cross >> 32);

		assert_int_equal(hb_mix64(a, b), (a * b) ^ high);
	}
	assert_int_equal(hb_mix64(0, 5), 0);
	assert_int_equal(hb_mix64(UINT64_MAX, UINT64_MAX), 1 ^ (UINT64_MAX - 1));
}

/* The generator's published first numbers: amounts that were split once depend on them for ever. */
static void
generator_gives_the_published_numbers(void **state)
{
	static const uint64_t want[] = {6457827717110365317u, 3203168211198807973u,
		9817491932198370423u, 4593380528125082431u, 16408922859458223821u};
	uint64_t random = 1234567;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(want); i++)
		assert_int_equal(hb_splitmix64(&random), want[i]);
}

static void
thousands_are_set_apart(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} want[] = {{0, "0"}, {9, "9"}, {999, "999"}, {1000, "1,000"}, {12345, "12,345"},
		{999999, "999,999"}, {1000000, "1,000,000"}, {12345678, "12,345,678"},
		{UINT64_MAX, "18,446,744,073,709,551,615"}};
	char *buf = malloc(27);

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(want); i++)
		assert_string_equal(hb_thousands(want[i].n, buf), want[i].text);
	free(buf);
}

static void
whole_numbers_are_read_within_bounds(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int rc;
	} cases[] = {
		{"0", 0, 0, 0},
		{"5", 5, 5, 0},
		{"007", 7, 7, 0},
		{"18446744073709551615", 0, UINT64_MAX, 0},
		{"18446744073709551616", 0, UINT64_MAX, -ERANGE},
		{"99999999999999999999999", 0, UINT64_MAX, -ERANGE},
		{"4", 5, 6, -ERANGE},
		{"7", 5, 6, -ERANGE},
		{"", 0, 9, -EINVAL},
		{" 1", 0, 9, -EINVAL},
		{"1 ", 0, 9, -EINVAL},
		{"-1", 0, UINT64_MAX, -EINVAL},
		{"+1", 0, 9, -EINVAL},
		{"0x1", 0, 9, -EINVAL},
		{"1e3", 0, 9999, -EINVAL},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		uint64_t out = 77;

		assert_int_equal(
			hb_parse_u64(cases[i].text, cases[i].min, cases[i].max, &out), cases[i].rc);
		if (cases[i].rc == 0)
			assert_int_equal(out, strtoull(cases[i].text, NULL, 10));
		else
			assert_int_equal(out, 77);
	}
}

/* ---- progress ----------------------------------------------------------------------- */

/* What `draw` leaves on stderr, in buf. */
static void
capture_stderr(void (*draw)(void), char *buf, size_t size)
{
	int file = memfd_create("stderr", 0), saved = dup(STDERR_FILENO);

	assert_true(file >= 0 && saved >= 0);
	fflush(stderr);
	dup2(file, STDERR_FILENO);
	draw();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = pread(file, buf, size - 1, 0);
	close(file);
	assert_true(n >= 0);
	buf[n] = '\0';
}

static void
draw_off_a_terminal(void)
{
	struct hb_progress p;

	hb_progress_begin(&p, "reading", "records", 100);
	p.start_ns -= 10000000000;
	hb_progress_update(&p, 50);
	hb_progress_end(&p);
}

static void
draw_early(void)
{
	struct hb_progress p;

	hb_progress_begin(&p, "reading", "records", 100);
	p.terminal = true;
	hb_progress_update(&p, 50);
	hb_progress_end(&p);
}

static void
draw_late(void)
{
	struct hb_progress p;

	hb_progress_begin(&p, "reading", "records", 4000);
	p.terminal = true;
	p.start_ns -= 10000000000;
	hb_progress_update(&p, 1000);
	hb_progress_update(&p, 2000);
	hb_progress_end(&p);
}

static void
progress_shows_on_a_terminal_and_late_only(void **state)
{
	char text[512];

	(void)state;
	capture_stderr(draw_off_a_terminal, text, sizeof(text));
	assert_string_equal(text, "");
	capture_stderr(draw_early, text, sizeof(text));
	assert_string_equal(text, "");
	capture_stderr(draw_late, text, sizeof(text));
	assert_non_null(strstr(text, "reading: 1,000 records"));
	assert_non_null(strstr(text, "25%, 30 s left"));
	/* Five times a second at the most, and wiped at the end. */
	assert_null(strstr(text, "2,000"));
	assert_string_equal(text + strlen(text) - 4, "\r\033[K");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_writes_the_line_and_returns_minus_errno),
		cmocka_unit_test(fail_cuts_a_line_that_is_too_long),
		cmocka_unit_test(memory_is_zero_aligned_and_as_large_as_asked),
		cmocka_unit_test(memory_that_the_host_lacks_is_refused_by_name),
		cmocka_unit_test(memory_without_hugepages_is_ordinary),
		cmocka_unit_test(time_is_read_with_its_zone),
		cmocka_unit_test(time_that_cannot_be_is_refused),
		cmocka_unit_test(clocks_go_forward),
		cmocka_unit_test(readers_take_network_order_at_any_alignment),
		cmocka_unit_test(mix_folds_the_whole_product),
		cmocka_unit_test(generator_gives_the_published_numbers),
		cmocka_unit_test(thousands_are_set_apart),
		cmocka_unit_test(whole_numbers_are_read_within_bounds),
		cmocka_unit_test(progress_shows_on_a_terminal_and_late_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
