/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the service manager is told, by a socket that stands for it, and its watchdog's time.
 */
#include "hb_notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
	struct hb_notify notify;
	struct hb_error e;
	char directory[64];
	char name[108]; /* as in NOTIFY_SOCKET */
	int fd;		/* the manager's */
	char got[2048];
};

/* A manager that listens at b->name. */
static void
listen_there(struct bed *b)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t bytes = strlen(b->name);

	memcpy(at.sun_path, b->name, bytes);
	if (b->name[0] == '@')
		at.sun_path[0] = '\0';
	b->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(b->fd, (struct sockaddr *)&at,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)),
		0);
	setenv("NOTIFY_SOCKET", b->name, 1);
}

static int
set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	snprintf(b->directory, sizeof(b->directory), "/tmp/hongbao-notify-XXXXXX");
	if (mkdtemp(b->directory) == NULL)
		return -1;
	snprintf(b->name, sizeof(b->name), "%s/socket", b->directory);
	b->fd = b->notify.fd = -1;
	*state = b;
	return 0;
}

static int
tear_down(void **state)
{
	struct bed *b = *state;

	hb_notify_close(&b->notify);
	if (b->fd >= 0)
		close(b->fd);
	unlink(b->name);
	rmdir(b->directory);
	free(b);
	return 0;
}

/* The next datagram; "" when there is none. */
static const char *
heard(struct bed *b)
{
	ssize_t n = recv(b->fd, b->got, sizeof(b->got) - 1, 0);

	b->got[n < 0 ? 0 : n] = '\0';
	return b->got;
}

static void
each_state_is_a_datagram(void **state)
{
	struct bed *b = *state;
	unsigned long long before = hb_mono_ns() / 1000, said;
	char rest[64];

	listen_there(b);
	assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
	assert_int_equal(hb_notify_status(&b->notify, "reading"), 0);
	assert_string_equal(heard(b), "STATUS=reading");
	assert_int_equal(hb_notify_ready(&b->notify, "serving"), 0);
	assert_string_equal(heard(b), "READY=1\nSTATUS=serving");
	assert_int_equal(hb_notify_alive(&b->notify), 0);
	assert_string_equal(heard(b), "WATCHDOG=1");
	assert_int_equal(hb_notify_reloading(&b->notify, "again"), 0);
	assert_int_equal(
		sscanf(heard(b), "RELOADING=1\nMONOTONIC_USEC=%llu\n%63[^\n]", &said, rest), 2);
	assert_in_range(said, before, hb_mono_ns() / 1000);
	assert_string_equal(rest, "STATUS=again");
	assert_int_equal(hb_notify_stopping(&b->notify, "over"), 0);
	assert_string_equal(heard(b), "STOPPING=1\nSTATUS=over");
	assert_string_equal(heard(b), "");
}

static void
an_abstract_name_is_found(void **state)
{
	struct bed *b = *state;

	snprintf(b->name, sizeof(b->name), "@hongbao-notify-%d", (int)getpid());
	listen_there(b);
	assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
	assert_int_equal(hb_notify_alive(&b->notify), 0);
	assert_string_equal(heard(b), "WATCHDOG=1");
}

static void
a_status_smuggles_nothing_in(void **state)
{
	struct bed *b = *state;
	char text[3000];

	listen_there(b);
	assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
	assert_int_equal(hb_notify_status(&b->notify, "a\nMAINPID=1\r\033b"), 0);
	assert_string_equal(heard(b), "STATUS=a MAINPID=1  b");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(hb_notify_ready(&b->notify, text), 0);
	assert_memory_equal(heard(b), "READY=1\nSTATUS=xxx", 18);
	assert_in_range(strlen(b->got), 512, 1024);
}

static void
without_a_manager_nothing_is_done(void **state)
{
	struct bed *b = *state;

	setenv("WATCHDOG_USEC", "1000", 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
		assert_int_equal(b->notify.fd, -1);
		assert_int_equal(b->notify.watchdog_us, 0);
		assert_int_equal(hb_notify_ready(&b->notify, ""), 0);
		assert_int_equal(hb_notify_alive(&b->notify), 0);
		hb_notify_close(&b->notify);
		setenv("NOTIFY_SOCKET", "", 1);
	}
}

static void
a_name_that_cannot_be_is_refused(void **state)
{
	struct bed *b = *state;
	static const char *const bad[] = {"vsock:2:1234", "relative/socket", "/", "@", NULL};
	char too_long[200];

	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[0] = '/';
	too_long[sizeof(too_long) - 1] = '\0';
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		const char *name = bad[i] == NULL ? too_long : bad[i];

		setenv("NOTIFY_SOCKET", name, 1);
		assert_true(hb_notify_open(&b->notify, &b->e) < 0);
		assert_non_null(strstr(b->e.text, name));
		assert_int_equal(hb_notify_ready(&b->notify, ""), 0);
	}
}

/* The longest name that the kernel takes has no room for a 0 behind it. */
static void
the_longest_name_is_taken(void **state)
{
	struct bed *b = *state;

	memset(b->name, 'x', sizeof(b->name) - 1);
	snprintf(b->name, sizeof(b->name), "@%d", (int)getpid());
	b->name[strlen(b->name)] = 'x';
	b->name[107] = '\0';
	assert_int_equal(strlen(b->name), 107);
	listen_there(b);
	assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
	assert_int_equal(hb_notify_alive(&b->notify), 0);
	assert_string_equal(heard(b), "WATCHDOG=1");
}

static void
a_manager_that_is_gone_or_behind_keeps_nobody(void **state)
{
	struct bed *b = *state;
	unsigned sent = 0;
	int err;

	listen_there(b);
	assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
	while ((err = hb_notify_alive(&b->notify)) == 0 && sent < 100000)
		sent++;
	assert_int_equal(err, -EAGAIN);
	uint64_t begun = hb_mono_ns();
	assert_int_equal(hb_notify_status(&b->notify, "x"), -EAGAIN);
	assert_int_equal(hb_notify_stopping(&b->notify, "x"), -EAGAIN);
	assert_in_range(hb_mono_ns() - begun, 50000000, 5000000000);
	for (unsigned i = 0; i < sent; i++)
		assert_string_equal(heard(b), "WATCHDOG=1");
	assert_int_equal(hb_notify_alive(&b->notify), 0);
	close(b->fd);
	b->fd = -1;
	assert_int_equal(hb_notify_alive(&b->notify), -ECONNREFUSED);
	unlink(b->name);
	assert_int_equal(hb_notify_ready(&b->notify, "x"), -ENOENT);
}

static void
the_watchdogs_time_is_read(void **state)
{
	struct bed *b = *state;
	char own[32];
	const struct {
		const char *usec, *pid;
		uint64_t want;
	} cases[] = {
		{"30000000", NULL, 30000000},
		{"30000000", own, 30000000},
		{"1", own, 1},
		{"30000000", "1", 0},
		{"30000000", "", 0},
		{"30000000", "x", 0},
		{"0", NULL, 0},
		{"", NULL, 0},
		{"-1", NULL, 0},
		{"30s", NULL, 0},
		{"18446744073709551615", NULL, 0},
		{NULL, own, 0},
	};

	snprintf(own, sizeof(own), "%d", (int)getpid());
	listen_there(b);
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].usec != NULL)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid != NULL)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		assert_int_equal(hb_notify_open(&b->notify, &b->e), 0);
		assert_int_equal(b->notify.watchdog_us, cases[i].want);
		hb_notify_close(&b->notify);
	}
}

int
main(void)
{
#define WITH_A_BED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_A_BED(each_state_is_a_datagram),
		WITH_A_BED(an_abstract_name_is_found),
		WITH_A_BED(a_status_smuggles_nothing_in),
		WITH_A_BED(without_a_manager_nothing_is_done),
		WITH_A_BED(a_name_that_cannot_be_is_refused),
		WITH_A_BED(the_longest_name_is_taken),
		WITH_A_BED(a_manager_that_is_gone_or_behind_keeps_nobody),
		WITH_A_BED(the_watchdogs_time_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
