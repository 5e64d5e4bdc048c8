/* SPDX-License-Identifier: BSD-3-Clause */
/* hb_calls, with two real threads: each call is run once for each time that it asks for, in order,
 * and finished once. */
#include "hb_calls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CALLS 200000u

struct note {
	struct hb_call call;
	struct world *world;
	uint32_t number;
	uint32_t turns; /* that it takes. control core's */
	uint32_t runs;	/* so far */
	bool used;
};

struct world {
	struct hb_calls *calls;
	struct note note[HB_CALLS_MAX];
	uint64_t ran;	   /* control core's, and read when that is gone */
	uint32_t next_run; /* number that is run for the first time next */
	unsigned out_of_order;
	uint32_t finished; /* caller's */
	bool stop;	   /* caller: wo; control core: ro */
};

static void
run_note(struct hb_call *call)
{
	struct note *n = (struct note *)call;

	if (n->runs == 0)
		n->world->out_of_order += n->number != n->world->next_run++;
	n->runs++;
	n->world->ran++;
	call->again = n->runs < n->turns;
}

static void
finish_note(struct hb_call *call)
{
	struct note *n = (struct note *)call;

	assert_int_equal(n->runs, n->turns);
	assert_true(n->used);
	n->used = false;
	n->world->finished++;
}

static void *
control_core(void *arg)
{
	struct world *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		if (hb_calls_run(w->calls) == 0)
			sched_yield();
	}
	return NULL;
}

static struct world *
make_world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(hb_calls_make(&w->calls, NULL), 0);
	return w;
}

static void
free_world(struct world *w)
{
	hb_calls_free(w->calls);
	free(w);
}

static struct note *
prepare(struct world *w, uint32_t number, uint32_t turns)
{
	for (unsigned i = 0; i < HB_CALLS_MAX; i++) {
		struct note *n = &w->note[i];

		if (n->used)
			continue;
		*n = (struct note){.call = {.run = run_note, .done = finish_note},
			.world = w,
			.number = number,
			.turns = turns,
			.used = true};
		return n;
	}
	return NULL;
}

static bool
readable(const struct world *w, int wait_ms)
{
	struct pollfd p = {.fd = hb_calls_fd(w->calls), .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

static void
calls_are_run_and_finished_once(void **state)
{
	struct world *w = make_world();
	uint64_t random = 1, turns = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, control_core, w), 0);
	for (uint32_t number = 0; number < CALLS;) {
		uint32_t t = hb_splitmix64(&random) % 4 == 0 ? 1 + (uint32_t)(random >> 60) : 1;
		struct note *n = prepare(w, number, t);

		if (n == NULL) {
			/* Nothing that is done is ever left unsaid. */
			assert_true(readable(w, 60000));
			hb_calls_finish(w->calls);
			continue;
		}
		assert_int_equal(hb_calls_post(w->calls, &n->call), 0);
		turns += t;
		number++;
		if (hb_splitmix64(&random) % 64 == 0)
			hb_calls_finish(w->calls);
	}
	while (w->finished < CALLS) {
		assert_true(readable(w, 60000));
		hb_calls_finish(w->calls);
	}
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(w->out_of_order, 0);
	assert_int_equal(w->ran, turns);
	free_world(w);
}

static void
no_more_than_fit_are_under_way(void **state)
{
	struct world *w = make_world();
	struct note extra = {.call = {.run = run_note, .done = finish_note}, .world = w};

	(void)state;
	extra.used = true;
	extra.turns = 1;
	extra.number = HB_CALLS_MAX;
	assert_int_equal(hb_calls_run(w->calls), 0);
	for (uint32_t i = 0; i < HB_CALLS_MAX; i++)
		assert_int_equal(hb_calls_post(w->calls, &prepare(w, i, 2)->call), 0);
	assert_int_equal(hb_calls_post(w->calls, &extra.call), -EBUSY);
	/* All of them are to be run again; then all are done, and still under way until finished.
	 */
	assert_int_equal(hb_calls_run(w->calls), HB_CALLS_MAX);
	assert_false(readable(w, 0));
	assert_int_equal(hb_calls_finish(w->calls), 0);
	assert_int_equal(hb_calls_run(w->calls), HB_CALLS_MAX);
	assert_int_equal(hb_calls_run(w->calls), 0);
	assert_int_equal(hb_calls_post(w->calls, &extra.call), -EBUSY);
	assert_true(readable(w, 0));
	assert_int_equal(hb_calls_finish(w->calls), HB_CALLS_MAX);
	assert_false(readable(w, 0));
	assert_int_equal(hb_calls_post(w->calls, &extra.call), 0);
	assert_int_equal(hb_calls_run(w->calls), 1);
	assert_int_equal(hb_calls_finish(w->calls), 1);
	assert_int_equal(w->out_of_order, 0);
	free_world(w);
	hb_calls_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_than_fit_are_under_way),
		cmocka_unit_test(calls_are_run_and_finished_once),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
