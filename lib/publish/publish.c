/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_publish.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Snapshots kept for reuse: as many as are replaced in one grace period when thousands come in a
 * second (liburcu's thread gathers for 10 ms). */
#define SPARES_MAX 256

#ifdef __SANITIZE_THREAD__
char hb_grace_period;
#endif

/* A snapshot that was replaced, on its way through a grace period or waiting to be used again. */
struct retired {
	struct rcu_head head;
	struct hb_spares *spares;
	struct hb_snapshot *snapshot;
	struct retired *next;
};

/* The publisher takes, liburcu's thread gives: both hold the lock. */
struct hb_spares {
	pthread_mutex_t lock;
	struct retired *first;
	unsigned count;
};

/* ---- spares -------------------------------------------------------------------------- */

static struct retired *
take_spare(struct hb_spares *s)
{
	pthread_mutex_lock(&s->lock);
	struct retired *r = s->first;

	if (r != NULL) {
		s->first = r->next;
		s->count--;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void
free_retired(struct retired *r)
{
	hb_snapshot_free(r->snapshot);
	free(r);
}

/* After the grace period, on liburcu's thread. */
static void
give_spare(struct rcu_head *head)
{
	HB_TSAN(__tsan_acquire);
	struct retired *r = caa_container_of(head, struct retired, head);
	struct hb_spares *s = r->spares;

	pthread_mutex_lock(&s->lock);
	bool room = s->count < SPARES_MAX;

	if (room) {
		r->next = s->first;
		s->first = r;
		s->count++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!room)
		free_retired(r);
}

/* ---- publishing ---------------------------------------------------------------------- */

int
hb_publish_begin(struct hb_publication *p, struct hb_snapshot *first)
{
	*p = (struct hb_publication){.spares = calloc(1, sizeof(*p->spares))};
	if (p->spares == NULL || first == NULL) {
		hb_snapshot_free(first);
		free(p->spares);
		p->spares = NULL;
		return -ENOMEM;
	}
	pthread_mutex_init(&p->spares->lock, NULL);
	first->version = ++p->version;
	p->now = first;
	return 0;
}

struct hb_snapshot *
hb_publish_make(struct hb_publication *p, const struct hb_config *c)
{
	struct retired *r = take_spare(p->spares);
	struct hb_snapshot *old = NULL;

	if (r != NULL)
		old = r->snapshot;
	free(r);
	return hb_snapshot_remake(old, c);
}

void
hb_publish(struct hb_publication *p, struct hb_snapshot *next)
{
	struct hb_snapshot *old = p->now;
	struct retired *r = malloc(sizeof(*r));

	next->version = ++p->version;
	__atomic_store_n(&p->now, next, __ATOMIC_RELEASE);
	if (r == NULL) {
		/* Without memory for a note of it: then it is waited for. */
		synchronize_rcu();
		HB_TSAN(__tsan_acquire);
		hb_snapshot_free(old);
		return;
	}
	*r = (struct retired){.spares = p->spares, .snapshot = old};
	HB_TSAN(__tsan_release);
	/* Only a registered thread may call call_rcu(). */
	rcu_register_thread();
	call_rcu(&r->head, give_spare);
	rcu_unregister_thread();
}

void
hb_publish_end(struct hb_publication *p)
{
	struct retired *r;

	if (p->spares == NULL)
		return;
	rcu_barrier();
	while ((r = take_spare(p->spares)) != NULL)
		free_retired(r);
	pthread_mutex_destroy(&p->spares->lock);
	free(p->spares);
	hb_snapshot_free(p->now);
	*p = (struct hb_publication){0};
}
