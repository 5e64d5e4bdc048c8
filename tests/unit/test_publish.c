/* SPDX-License-Identifier: BSD-3-Clause */
/* hb_publish, with real threads: what a worker sees is whole, never older than what it saw before,
 * and never given back to the publisher while it may be looked at. */
#include "hb_publish.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define READERS 2
#define VERSIONS 20000

struct reader {
	pthread_t thread;
	struct hb_publication *p;
	const bool *stop;
	uint64_t bursts;
	uint64_t versions; /* different ones that it saw */
	uint64_t wrong;	   /* snapshots that were not of one version */
	uint64_t seen;	   /* the last one. reader: wo; others: ro */
};

/* Every part of a snapshot tells its version. */
static struct hb_config
config_of(uint32_t number)
{
	static struct hb_campaign_config campaign[3];
	struct hb_config c = {.campaign = campaign, .campaigns = 3, .slices = UINT32_MAX};

	for (unsigned i = 0; i < 3; i++) {
		campaign[i] = (struct hb_campaign_config){.id = (uint16_t)(i + 1),
			.slot = i,
			.odds = 1,
			.wins_per_user = 1,
			.wait_ms = number,
			.least_interval_ms = number};
	}
	return c;
}

static void
read_burst(struct reader *r)
{
	const struct hb_snapshot *s = hb_published(&r->p->now);

	for (unsigned i = 0; i < 100; i++) {
		const struct hb_campaign *c = hb_snapshot_campaign(s, (uint16_t)(1 + i % 3));

		r->wrong +=
			c == NULL || c->wait_ms != s->version || c->least_interval_ms != s->version;
	}
	r->wrong += s->version < r->seen;
	r->versions += s->version != r->seen;
	__atomic_store_n(&r->seen, s->version, __ATOMIC_RELAXED);
	r->bursts++;
}

static void *
reader_main(void *arg)
{
	struct reader *r = arg;

	rcu_register_thread();
	while (!__atomic_load_n(r->stop, __ATOMIC_ACQUIRE)) {
		read_burst(r);
		hb_quiescent();
	}
	rcu_unregister_thread();
	return NULL;
}

/* Publishes versions 2 to n as fast as it can. */
static void
publish_many(struct hb_publication *p, uint32_t n)
{
	for (uint32_t v = 2; v <= n; v++) {
		struct hb_config c = config_of(v);
		struct hb_snapshot *next = hb_publish_make(p, &c);

		assert_non_null(next);
		hb_publish(p, next);
	}
}

static void
begin(struct hb_publication *p)
{
	struct hb_config c = config_of(1);

	assert_int_equal(hb_publish_begin(p, hb_snapshot_make(&c)), 0);
	assert_int_equal(p->now->version, 1);
}

static void
readers_see_whole_snapshots(void **state)
{
	struct hb_publication p;
	struct reader reader[READERS] = {0};
	bool stop = false;

	(void)state;
	begin(&p);
	for (unsigned i = 0; i < READERS; i++) {
		reader[i].p = &p;
		reader[i].stop = &stop;
		assert_int_equal(
			pthread_create(&reader[i].thread, NULL, reader_main, &reader[i]), 0);
	}
	publish_many(&p, VERSIONS);
	/* Each comes to see the last one. */
	for (unsigned i = 0; i < READERS; i++) {
		while (__atomic_load_n(&reader[i].seen, __ATOMIC_RELAXED) != VERSIONS)
			sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(reader[i].thread, NULL);
		assert_int_equal(reader[i].wrong, 0);
		assert_true(reader[i].versions > 1);
	}
	hb_publish_end(&p);
	assert_null(p.now);
}

static void
no_memory_at_the_beginning(void **state)
{
	struct hb_publication p;

	(void)state;
	assert_int_equal(hb_publish_begin(&p, NULL), -ENOMEM);
	hb_publish_end(&p);
}

/* With nobody to wait for, what is replaced comes back to be used again. */
static void
memory_stays_flat(void **state)
{
	struct hb_publication p;

	(void)state;
	begin(&p);
	publish_many(&p, 2000);
	rcu_barrier();
	struct mallinfo2 before = mallinfo2();
	for (uint32_t v = 2001; v <= 4000; v++) {
		struct hb_config c = config_of(v);

		hb_publish(&p, hb_publish_make(&p, &c));
	}
	rcu_barrier();
	struct mallinfo2 after = mallinfo2();
	/* At most as many spares as are kept, of some 140 KiB. */
	assert_true(
		after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 256 * 150 * 1024);
	hb_publish_end(&p);
}

static void
larger_configurations_get_larger_memory(void **state)
{
	struct hb_publication p;
	struct hb_config c = config_of(2);
	struct hb_campaign_config *many = calloc(1000, sizeof(*many));

	(void)state;
	begin(&p);
	for (unsigned i = 0; i < 1000; i++)
		many[i] = (struct hb_campaign_config){.id = (uint16_t)(i + 1), .wins_per_user = 1};
	for (unsigned round = 0; round < 600; round++) {
		struct hb_config large = c;

		large.campaign = many;
		large.campaigns = 1 + round;
		hb_publish(&p, hb_publish_make(&p, &large));
		assert_int_equal(p.now->campaigns, 1 + round);
		assert_non_null(hb_snapshot_campaign(p.now, (uint16_t)(1 + round)));
		/* Nothing of a larger one before it shows. */
		assert_null(hb_snapshot_campaign(p.now, (uint16_t)(2 + round)));
		hb_publish(&p, hb_publish_make(&p, &c));
		assert_null(hb_snapshot_campaign(p.now, 4));
	}
	hb_publish_end(&p);
	free(many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_whole_snapshots),
		cmocka_unit_test(no_memory_at_the_beginning),
		cmocka_unit_test(memory_stays_flat),
		cmocka_unit_test(larger_configurations_get_larger_memory),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
