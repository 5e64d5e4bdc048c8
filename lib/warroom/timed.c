/* SPDX-License-Identifier: BSD-3-Clause */
#include "warroom_internal.h"

#include <errno.h>
#include <stdlib.h>

static const double percents[] = {50, 99, 100};

int
timed_make(struct timed *t)
{
	bool made = (t->minute = calloc(1, sizeof(*t->minute))) != NULL;

	for (unsigned i = 0; i < HB_COUNT_OF(t->past); i++)
		made = (t->past[i] = calloc(1, sizeof(*t->past[i]))) != NULL && made;
	return made ? 0 : -ENOMEM;
}

void
timed_free(struct timed *t)
{
	for (unsigned i = 0; i < HB_COUNT_OF(t->past); i++)
		free(t->past[i]);
	free(t->minute);
}

struct hb_histogram *
timed_next(struct timed *t)
{
	struct hb_histogram *h = t->past[t->taken++ % HB_COUNT_OF(t->past)];

	memset(h, 0, sizeof(*h));
	return h;
}

static const struct hb_histogram *
before(const struct timed *t, unsigned copies)
{
	return t->past[(t->taken - 1 - copies) % HB_COUNT_OF(t->past)];
}

static struct timed_figures
figures(const struct hb_histogram *from, const struct hb_histogram *to)
{
	uint64_t value[HB_COUNT_OF(percents)];
	uint64_t count = hb_histogram_between(from, to, percents, value, HB_COUNT_OF(percents));

	return (struct timed_figures){
		.count = count, .p50 = value[0], .p99 = value[1], .max = value[2]};
}

struct timed_figures
timed_recent(const struct timed *t, unsigned seconds)
{
	unsigned back = t->taken < HB_COUNT_OF(t->past) ? t->taken : HB_COUNT_OF(t->past);

	if (back < 2)
		return (struct timed_figures){0};
	return figures(before(t, seconds < back ? seconds : back - 1), before(t, 0));
}

struct timed_figures
timed_minute(const struct timed *t)
{
	return t->taken == 0 ? (struct timed_figures){0} : figures(t->minute, before(t, 0));
}

void
timed_begin_minute(struct timed *t)
{
	if (t->taken > 0)
		*t->minute = *before(t, 0);
}
