/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hongbao-settle is made of and needs no database: its pace, its back-off, the records on
 * their way and the batches that they came in, conninfos, its file.
 */
#include "hb_db.h"
#include "hb_migrate.h"
#include "hb_pace.h"
#include "hb_settle_config.h"
#include "pending.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull
#define SECOND (1000 * MS)

/* ---- pace ------------------------------------------------------------------------------ */

/* Takes whatever may go, each `every` ns, for `seconds`. Returns how many went. */
static uint64_t
take_for(struct hb_pace *p, uint64_t *now, uint64_t seconds, uint64_t every)
{
	uint64_t until = *now + seconds * SECOND, went = 0;

	for (; *now < until; *now += every) {
		uint64_t may = hb_pace_may(p, *now);

		hb_pace_take(p, may);
		went += may;
	}
	return went;
}

static void
so_many_a_second_and_no_more(void **state)
{
	static const uint64_t rates[] = {1, 7, 45000, 999983, 100000000};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(rates); i++) {
		uint64_t now = 123456789, rate = rates[i];
		struct hb_pace p;

		hb_pace_set(&p, rate, now);
		uint64_t went = take_for(&p, &now, 500, 3 * MS + 7);
		assert_in_range(went, 500 * rate - rate / 100 - 1, 500 * rate);
		/* A long pause isn't made up for by more than what may be gathered. */
		now += 3600 * SECOND;
		went = hb_pace_may(&p, now);
		assert_true(went <= rate / 2 + 2);
		assert_true(went >= rate / 2);
	}
}

static void
a_pace_can_be_changed_and_waited_for(void **state)
{
	struct hb_pace p;
	uint64_t now = SECOND;

	(void)state;
	hb_pace_set(&p, 0, now);
	assert_true(hb_pace_may(&p, now) == UINT64_MAX);
	assert_int_equal(hb_pace_wait_ns(&p, 1000, now), 0);
	hb_pace_set(&p, 1000, now);
	assert_int_equal(hb_pace_may(&p, now), 0);
	assert_in_range(hb_pace_wait_ns(&p, 100, now), 100 * MS, 100 * MS + 10);
	now += hb_pace_wait_ns(&p, 100, now);
	assert_int_equal(hb_pace_may(&p, now), 100);
	/* A transaction that took long is made up for. */
	hb_pace_take(&p, 100);
	now += 300 * MS;
	assert_in_range(hb_pace_may(&p, now), 299, 300);
	hb_pace_set(&p, 10, now);
	assert_int_equal(hb_pace_may(&p, now + SECOND / 2), 5);
}

/* ---- back-off -------------------------------------------------------------------------- */

static void
back_off_grows_with_jitter(void **state)
{
	struct hb_backoff b = {.first_ms = 100, .most_ms = 5000, .random = 7};
	unsigned most = 100, different = 0, last = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		unsigned ms = hb_backoff_next(&b);

		assert_in_range(ms, most / 2, most);
		different += ms != last;
		last = ms;
		most = 2 * most > 5000 ? 5000 : 2 * most;
	}
	assert_true(different > 45);
	hb_backoff_reset(&b);
	assert_in_range(hb_backoff_next(&b), 50, 100);
}

static void
a_pause_ends_when_it_is_told_to(void **state)
{
	uint64_t one = 1, start = hb_mono_ns();
	struct hb_db db;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	hb_db_begin(&db, "host=/nowhere", "test", fd);
	assert_int_equal(hb_db_pause(&db, 20), 0);
	assert_true(hb_mono_ns() - start >= 20 * MS);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	start = hb_mono_ns();
	assert_int_equal(hb_db_pause(&db, 20000), -EINTR);
	assert_true(hb_mono_ns() - start < 5 * SECOND);
	close(fd);
}

/* ---- pending --------------------------------------------------------------------------- */

static struct hb_record
record_of(uint64_t i)
{
	return (struct hb_record){.type = HB_RECORD_WIN, .user = i * 31 + 1};
}

/* Batch number b, of which the first record is `first` and that has n. */
static void
add(struct pending *p, uint64_t b, uint64_t first, unsigned n)
{
	static struct hb_record r[PENDING_BATCH];

	for (unsigned i = 0; i < n; i++)
		r[i] = record_of(first + i);
	pending_add(p, r, n,
		&(struct hb_batch_place){
			.number = b, .record = first, .segment = 1, .at = b * 512});
}

static void
what_is_pending_keeps_order_and_places(void **state)
{
	uint64_t first[20000], read = 0, batch = 0, done = 0;
	unsigned random = 5;
	struct pending p;
	struct hb_error e;

	(void)state;
	assert_int_equal(pending_make(&p, &e), 0);
	pending_reset(&p, 0);
	while (done < 3000000) {
		random = random * 1103515245 + 12345;
		while (pending_room(&p) && batch < HB_COUNT_OF(first)) {
			unsigned n = 1 + random / 65536 % 500;

			first[batch] = read;
			add(&p, batch, read, n);
			read += n;
			batch++;
		}
		unsigned n = 1 + random / 7 % p.count;

		assert_int_equal(p.first, done);
		for (unsigned i = 0; i < n; i += 1 + n / 50) {
			struct hb_record want = record_of(done + i);
			const struct hb_batch_place *place = pending_place(&p, i + 1);

			assert_memory_equal(&pending_records(&p)[i], &want, sizeof(want));
			assert_true(place->record <= done + i);
			assert_int_equal(place->record, first[place->number]);
			if (place->number + 1 < batch)
				assert_true(first[place->number + 1] > done + i);
		}
		pending_done(&p, n);
		done += n;
		if (p.count == 0)
			break;
	}
	assert_int_equal(p.first, done);
	pending_free(&p);
}

/* A batch of which a part is in the database already is taken from where that ends. */
static void
a_batch_can_be_begun_in_its_middle(void **state)
{
	struct pending p;
	struct hb_error e;

	(void)state;
	assert_int_equal(pending_make(&p, &e), 0);
	pending_reset(&p, 105);
	add(&p, 4, 90, 10); /* all of it is known */
	assert_int_equal(p.count, 0);
	add(&p, 5, 100, 10);
	assert_int_equal(p.count, 5);
	struct hb_record want = record_of(105);
	assert_memory_equal(pending_records(&p), &want, sizeof(want));
	assert_int_equal(pending_place(&p, 1)->number, 5);
	assert_int_equal(pending_place(&p, 5)->number, 5);
	add(&p, 6, 110, 1);
	assert_int_equal(pending_place(&p, 6)->number, 6);
	pending_free(&p);
}

/* ---- words ----------------------------------------------------------------------------- */

static void
a_password_on_the_command_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"host=x password=secret", "postgresql://u:secret@host/db", "password='x y'"};
	struct hb_error e;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		assert_int_equal(hb_db_check_conninfo(bad[i], true, &e), -EINVAL);
		assert_null(strstr(e.text, "secret"));
		assert_int_equal(hb_db_check_conninfo(bad[i], false, &e), 0);
	}
	assert_int_equal(hb_db_check_conninfo("host=x dbname=y", true, &e), 0);
	assert_int_equal(hb_db_check_conninfo("hots=x", true, &e), -EINVAL);
	assert_null(strchr(e.text, '\n'));
}

static void
migrations_are_numbered_without_a_gap(void **state)
{
	(void)state;
	assert_true(hb_migrations_count >= 1);
	for (unsigned i = 0; i < hb_migrations_count; i++) {
		char number[16];

		assert_int_equal(hb_migrations[i].number, i + 1);
		snprintf(number, sizeof(number), "%04u_", i + 1);
		assert_memory_equal(hb_migrations[i].name, number, 5);
		assert_true(strlen(hb_migrations[i].sql) > 100);
	}
}

/* ---- the file -------------------------------------------------------------------------- */

static int
load(const char *text, struct hb_settle_config *c, struct hb_error *e)
{
	char path[] = "/tmp/hb-settle-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	int err = hb_settle_config_load(c, path, e);
	unlink(path);
	return err;
}

static void
the_file_is_read_or_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"rate: fast", "rate"},
		{"rate: 1000000001", "rate"},
		{"rate: -1", "rate"},
		{"batch: 0", "batch"},
		{"batch: 65537", "batch"},
		{"speed: 5", "speed"},
		{"journal: [a]", "journal"},
		{"- a", ""},
	};
	static struct hb_settle_config c;
	struct hb_error e;

	(void)state;
	assert_int_equal(load("journal: j\narchive: /a\ndatabase: host=x\nrate: 0\nbatch: 7\n"
			      "set_aside: 0\nmetrics: 127.0.0.1:9181\n",
				 &c, &e),
		0);
	assert_string_equal(c.journal, "/tmp/j");
	assert_string_equal(c.archive, "/a");
	assert_string_equal(c.database, "host=x");
	assert_string_equal(c.metrics, "127.0.0.1:9181");
	assert_int_equal(c.rate, 0);
	assert_int_equal(c.batch, 7);
	assert_int_equal(c.set_aside, 0);
	assert_int_equal(load("journal: j\n", &c, &e), 0);
	assert_int_equal(c.rate, 45000);
	assert_string_equal(c.metrics, "off");
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		assert_true(load(bad[i].text, &c, &e) < 0);
		if (strstr(e.text, bad[i].says) == NULL)
			fail_msg("no \"%s\" in: %s", bad[i].says, e.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_a_second_and_no_more),
		cmocka_unit_test(a_pace_can_be_changed_and_waited_for),
		cmocka_unit_test(back_off_grows_with_jitter),
		cmocka_unit_test(a_pause_ends_when_it_is_told_to),
		cmocka_unit_test(what_is_pending_keeps_order_and_places),
		cmocka_unit_test(a_batch_can_be_begun_in_its_middle),
		cmocka_unit_test(a_password_on_the_command_line_is_refused),
		cmocka_unit_test(migrations_are_numbered_without_a_gap),
		cmocka_unit_test(the_file_is_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
