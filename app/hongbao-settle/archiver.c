/* SPDX-License-Identifier: BSD-3-Clause */
#include "archiver.h"

#include "hb_archive.h"
#include "hb_log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* After a move that failed. */
#define AGAIN_S 30

/* Moves the next segment, if there is one below. Returns 1, 0 or -errno. */
static int
move_next(struct archiver *a, uint32_t below)
{
	struct hb_error e;
	uint32_t first;
	int err = hb_archive_first(a->journal, &first, &e);

	if (err == 0 && (first == 0 || first >= below))
		return 0;
	if (err == 0)
		err = hb_archive_move(a->journal, first, NULL, &e);
	if (err == 0) {
		__atomic_store_n(&a->moved, a->moved + 1, __ATOMIC_RELAXED);
		return 1;
	}
	__atomic_store_n(&a->failed, a->failed + 1, __ATOMIC_RELAXED);
	hb_log_limited(HB_LOG_ERROR, 2, "%s", e.text);
	return err;
}

/* Waits until there is more to do, it is to end, or it is time to try again. Under the lock. */
static void
await(struct archiver *a, bool failed)
{
	struct timespec until;

	if (!failed) {
		pthread_cond_wait(&a->changed, &a->lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AGAIN_S;
	while (!a->ending && pthread_cond_timedwait(&a->changed, &a->lock, &until) != ETIMEDOUT)
		;
}

static void *
run(void *context)
{
	struct archiver *a = context;
	uint32_t done = 0;
	int rc = 0;

	pthread_setname_np(pthread_self(), "archiver");
	pthread_mutex_lock(&a->lock);
	while (!a->ending) {
		uint32_t below = a->below;

		if (rc < 0 || below == done) {
			await(a, rc < 0);
			rc = 0;
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		if ((rc = move_next(a, below)) == 0)
			done = below;
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int
archiver_begin(struct archiver *a, const char *journal, const char *archive, struct hb_error *e)
{
	int err = hb_archive_prepare(journal, archive, e);

	if (err != 0)
		return err;
	snprintf(a->journal, sizeof(a->journal), "%s", journal);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	err = pthread_create(&a->thread, NULL, run, a);
	if (err != 0)
		return hb_fail(e, err, "no thread for the archive: %s", strerror(err));
	a->running = true;
	return 0;
}

void
archiver_tell(struct archiver *a, uint32_t below)
{
	if (!a->running)
		return;
	pthread_mutex_lock(&a->lock);
	if (below > a->below) {
		a->below = below;
		pthread_cond_signal(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
}

bool
archiver_end(struct archiver *a, bool all)
{
	int rc = 0;

	if (!a->running)
		return true;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	a->running = false;
	while (all && (rc = move_next(a, a->below)) > 0)
		;
	return rc == 0;
}
