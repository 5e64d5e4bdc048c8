/* SPDX-License-Identifier: BSD-3-Clause */
#include "recall.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* A part's rows: 2 MiB, beside 512 KiB of details. */
#define PART_BUCKETS 32768
/* More would make the sorting slow: each part is written to on a page of its own. */
#define PARTS_MAX 1024
/* Wins of a part that wait, at most. */
#define PART_WINS 8192
/* From one pile to the next: three cache lines more, or all piles would compete for a few sets of
 * the cache. */
#define PILE_STRIDE (PART_WINS + 8)
/* Jobs that can wait for the thread. */
#define JOBS 32

/* How many wins ahead of the one that is applied its row is fetched: in a part, and in the
 * journal's order, where each is far from the one before. */
#define AHEAD_IN_PART 12
#define AHEAD_IN_ORDER 32

/* Wins that wait to be applied: of one part, or in the journal's order. */
struct pile {
	struct hb_recall *win; /* PART_WINS of them */
	unsigned n;
	unsigned full; /* handed over when there are so many */
	unsigned ahead;
};

/* An engine's table, as the caller's thread needs it to sort: its users change meanwhile. */
struct table {
	struct hb_users users; /* a copy, for its key */
	unsigned first_part;
	unsigned parts;
};

struct recall {
	struct hb_engine *const *engines;
	unsigned workers;
	unsigned parts;
	struct table *table;	/* by worker */
	uint16_t *worker_of;	/* by part */
	struct pile *pile;	/* by part, and behind them the one in the journal's order */
	struct hb_recall *wins; /* where all piles and jobs are */
	bool threaded;
	pthread_t thread;
	/* On cache lines of their own: for each win both threads read what stands above. */
	uint64_t room HB_ALIGNED;    /* caller: wins that can be sorted before tables are
					looked at */
	bool in_order;		     /* caller: the tables may be too small for what comes */
	uint64_t applied HB_ALIGNED; /* whoever applies */
	pthread_mutex_t lock;	     /* of what follows */
	pthread_cond_t changed;
	struct pile job[JOBS]; /* number i stands in place i % JOBS; one done is a free pile */
	uint64_t handed;       /* by the caller */
	uint64_t done;	       /* by the thread */
	bool last;	       /* no more will come */
	int err;	       /* -ENOSPC once a win found no row */
};

/* ---- applying -------------------------------------------------------------------------- */

static inline struct hb_engine *
engine_of(const struct recall *c, const struct hb_recall *win)
{
	return c->engines[c->worker_of[win->part]];
}

static int
apply(struct recall *c, const struct pile *p)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < p->n; i++) {
		const struct hb_recall *win = &p->win[i], *soon = win + p->ahead;

		if (i + p->ahead < p->n)
			hb_engine_recall_soon(engine_of(c, soon), soon);
		if ((err = hb_engine_recall(engine_of(c, win), win)) != 0)
			break;
	}
	c->applied += i;
	return err;
}

/* Waits for the next job; NULL when there will be none. */
static const struct pile *
next_job(struct recall *c)
{
	const struct pile *p = NULL;

	pthread_mutex_lock(&c->lock);
	while (c->done == c->handed && !c->last)
		pthread_cond_wait(&c->changed, &c->lock);
	if (c->done != c->handed)
		p = &c->job[c->done % JOBS];
	pthread_mutex_unlock(&c->lock);
	return p;
}

static void *
apply_jobs(void *arg)
{
	struct recall *c = arg;
	const struct pile *p;
	int err = 0;

	while ((p = next_job(c)) != NULL) {
		if (err == 0)
			err = apply(c, p);
		pthread_mutex_lock(&c->lock);
		c->done++;
		c->err = err;
		pthread_cond_signal(&c->changed);
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

/* ---- handing over ---------------------------------------------------------------------- */

/* Waits until no more than so many jobs are undone. */
static int
wait_for_jobs(struct recall *c, unsigned undone)
{
	int err;

	pthread_mutex_lock(&c->lock);
	while (c->handed - c->done > undone)
		pthread_cond_wait(&c->changed, &c->lock);
	err = c->err;
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* Has a pile applied, and leaves an empty one in its place. */
static int
hand_over(struct recall *c, struct pile *p)
{
	int err;

	if (!c->threaded) {
		if (c->err == 0)
			c->err = apply(c, p);
		err = c->err;
	} else if ((err = wait_for_jobs(c, JOBS - 1)) == 0) {
		struct pile *job = &c->job[c->handed % JOBS];
		struct hb_recall *empty = job->win;

		*job = *p;
		p->win = empty;
		pthread_mutex_lock(&c->lock);
		c->handed++;
		pthread_cond_signal(&c->changed);
		pthread_mutex_unlock(&c->lock);
	}
	p->n = 0;
	p->full = PART_WINS;
	return err;
}

/* Has everything applied, and waits for it. */
static int
hand_all_over(struct recall *c)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i <= c->parts; i++) {
		if (c->pile[i].n > 0)
			err = hand_over(c, &c->pile[i]);
		/* Not all full at the same time, or the thread would have nothing to do before. */
		c->pile[i].full = i < c->parts ? PART_WINS * (i + 1) / c->parts : PART_WINS;
	}
	return wait_for_jobs(c, 0);
}

/* Looks how many wins each table has rows for, even if all are of users that it doesn't have. */
static int
look_at_tables(struct recall *c)
{
	int err = hand_all_over(c);

	c->room = UINT64_MAX;
	for (unsigned w = 0; w < c->workers; w++) {
		const struct hb_users *u = &c->engines[w]->users;
		uint64_t room = u->used < u->limit ? u->limit - u->used : 0;

		c->room = room < c->room ? room : c->room;
	}
	c->in_order = c->room < PART_WINS;
	if (c->in_order)
		c->room = PART_WINS;
	return err;
}

int
recall_pause(struct recall *c)
{
	return look_at_tables(c);
}

int
recall_push(struct recall *c, const struct hb_record *win, uint32_t number)
{
	const struct table *t = &c->table[hb_owner(hb_lane(hb_shard(win->user)), c->workers)];
	uint64_t hash = hb_users_hash(&t->users, win->campaign, win->user);
	unsigned part = t->first_part + (unsigned)(((unsigned __int128)hash * t->parts) >> 64);
	struct pile *p;
	int err;

	if (c->room == 0 && (err = look_at_tables(c)) != 0)
		return err;
	c->room--;
	p = &c->pile[c->in_order ? c->parts : part];
	p->win[p->n++] = (struct hb_recall){
		.user = win->user,
		.seq = win->seq,
		.number = number,
		.campaign = win->campaign,
		.part = (uint16_t)part,
		.bundle = win->aux == HB_WIN_BUNDLE,
	};
	/* The line after next, by the time that this part comes again. */
	__builtin_prefetch(&p->win[p->n + 4], 1);
	return p->n < p->full ? 0 : hand_over(c, p);
}

static void
join(struct recall *c)
{
	if (!c->threaded)
		return;
	pthread_mutex_lock(&c->lock);
	c->last = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->threaded = false;
}

int
recall_finish(struct recall *c, uint64_t *applied)
{
	int err = hand_all_over(c);

	join(c);
	*applied = c->applied;
	return err;
}

/* ---- making ---------------------------------------------------------------------------- */

static void
divide_tables(struct recall *c)
{
	for (unsigned w = 0; w < c->workers; w++) {
		struct table *t = &c->table[w];
		uint64_t parts = c->engines[w]->users.buckets / PART_BUCKETS,
			 most = PARTS_MAX / c->workers;

		t->users = c->engines[w]->users;
		t->first_part = c->parts;
		t->parts = (unsigned)(parts == 0 ? 1 : parts < most ? parts : most);
		c->parts += t->parts;
	}
}

static bool
make_piles(struct recall *c, bool threaded)
{
	size_t jobs = threaded ? JOBS : 0;

	c->worker_of = calloc(c->parts, sizeof(*c->worker_of));
	c->pile = calloc(c->parts + 1, sizeof(*c->pile));
	c->wins = malloc((c->parts + 1 + jobs) * PILE_STRIDE * sizeof(*c->wins));
	if (c->worker_of == NULL || c->pile == NULL || c->wins == NULL)
		return false;
	for (unsigned w = 0; w < c->workers; w++) {
		for (unsigned i = 0; i < c->table[w].parts; i++)
			c->worker_of[c->table[w].first_part + i] = (uint16_t)w;
	}
	for (unsigned i = 0; i <= c->parts; i++) {
		c->pile[i].win = &c->wins[(size_t)i * PILE_STRIDE];
		c->pile[i].ahead = i < c->parts ? AHEAD_IN_PART : AHEAD_IN_ORDER;
	}
	for (unsigned i = 0; i < jobs; i++)
		c->job[i].win = &c->wins[(c->parts + 1 + i) * (size_t)PILE_STRIDE];
	return true;
}

struct recall *
recall_make(struct hb_engine *const *engines, unsigned workers, bool threaded)
{
	struct recall *c = aligned_alloc(HB_CACHE_LINE, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct recall){.engines = engines, .workers = workers};
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->table = calloc(workers, sizeof(*c->table));
	if (c->table != NULL)
		divide_tables(c);
	if (c->table == NULL || !make_piles(c, threaded)) {
		recall_free(c);
		return NULL;
	}
	look_at_tables(c);
	c->threaded = threaded && pthread_create(&c->thread, NULL, apply_jobs, c) == 0;
	return c;
}

void
recall_free(struct recall *c)
{
	if (c == NULL)
		return;
	join(c);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c->table);
	free(c->worker_of);
	free(c->pile);
	free(c->wins);
	free(c);
}
