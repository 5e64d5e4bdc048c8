/* SPDX-License-Identifier: BSD-3-Clause */
#include "delay.h"

#include <errno.h>
#include <stdlib.h>

/* Room for chance: a ring never holds exactly its part. */
#define SLOTS_MIN 256

int
hb_delay_open(struct hb_delay_line *l, uint64_t waiting, uint64_t least_us, uint64_t step_us)
{
	uint64_t slots = SLOTS_MIN;

	while (slots < SLOTS_MIN / 2 + waiting / HB_DELAYS * 5 / 4)
		slots *= 2;
	*l = (struct hb_delay_line){.mask = slots - 1, .least_us = least_us, .step_us = step_us};
	for (unsigned i = 0; i < HB_DELAYS; i++)
		l->due_us[i] = HB_NEVER;
	l->slot = calloc(slots * HB_DELAYS, sizeof(*l->slot));
	return l->slot == NULL ? -ENOMEM : 0;
}

void
hb_delay_close(struct hb_delay_line *l)
{
	free(l->slot);
	l->slot = NULL;
}

static struct hb_session *
slot(const struct hb_delay_line *l, unsigned ring, uint64_t at)
{
	return &l->slot[ring * (l->mask + 1) + (at & l->mask)];
}

bool
hb_delay_push(struct hb_delay_line *l, const struct hb_session *s, uint64_t now_us, uint32_t random)
{
	unsigned ring = random % HB_DELAYS;

	if (l->tail[ring] - l->head[ring] > l->mask)
		return false;
	struct hb_session *to = slot(l, ring, l->tail[ring]);
	*to = *s;
	to->due_us = now_us + l->least_us + ring * l->step_us;
	if (l->tail[ring]++ == l->head[ring]) {
		l->due_us[ring] = to->due_us;
		if (to->due_us < hb_delay_due(l))
			l->first = ring;
	}
	return true;
}

struct hb_session
hb_delay_pop(struct hb_delay_line *l)
{
	unsigned ring = l->first;
	struct hb_session s = *slot(l, ring, l->head[ring]++);

	l->due_us[ring] =
		l->head[ring] == l->tail[ring] ? HB_NEVER : slot(l, ring, l->head[ring])->due_us;
	for (unsigned i = 0; i < HB_DELAYS; i++)
		if (l->due_us[i] < l->due_us[l->first])
			l->first = i;
	return s;
}
