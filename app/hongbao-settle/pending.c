/* SPDX-License-Identifier: BSD-3-Clause */
#include "pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int
pending_make(struct pending *p, struct hb_error *e)
{
	*p = (struct pending){
		.record = malloc(PENDING_ROOM * sizeof(*p->record)),
		.place = malloc(PENDING_ROOM * sizeof(*p->place)),
	};
	if (p->record == NULL || p->place == NULL)
		return hb_fail(
			e, ENOMEM, "no memory for %zu records on their way", (size_t)PENDING_ROOM);
	/* All its pages are there from now on: what it takes doesn't grow with the backlog. */
	memset(p->record, 0, PENDING_ROOM * sizeof(*p->record));
	memset(p->place, 0, PENDING_ROOM * sizeof(*p->place));
	return 0;
}

void
pending_free(struct pending *p)
{
	free(p->record);
	free(p->place);
	*p = (struct pending){0};
}

void
pending_reset(struct pending *p, uint64_t first)
{
	p->first = first;
	p->count = p->places = p->head = 0;
}

bool
pending_room(const struct pending *p)
{
	return p->count + PENDING_BATCH <= PENDING_ROOM;
}

/* Brings what is left to the front. */
static void
tidy(struct pending *p)
{
	unsigned gone = 0;

	memmove(p->record, p->record + p->head, p->count * sizeof(*p->record));
	p->head = 0;
	while (gone + 1 < p->places && p->place[gone + 1].record <= p->first)
		gone++;
	p->places = p->count == 0 ? 0 : p->places - gone;
	memmove(p->place, p->place + gone, p->places * sizeof(*p->place));
}

void
pending_add(struct pending *p, const struct hb_record *records, unsigned n,
	const struct hb_batch_place *place)
{
	uint64_t awaited = p->first + p->count;
	unsigned known = awaited > place->record ? (unsigned)(awaited - place->record) : 0;

	assert(place->record <= awaited);
	if (known >= n)
		return;
	if (p->head + p->count + n - known > PENDING_ROOM || p->places == PENDING_ROOM)
		tidy(p);
	memcpy(p->record + p->head + p->count, records + known, (n - known) * sizeof(*records));
	p->count += n - known;
	p->place[p->places++] = *place;
}

const struct hb_record *
pending_records(const struct pending *p)
{
	return p->record + p->head;
}

const struct hb_batch_place *
pending_place(const struct pending *p, unsigned n)
{
	uint64_t record = p->first + n - 1;
	unsigned low = 0, high = p->places;

	/* The last that begins at or before it. */
	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;

		if (p->place[mid].record <= record)
			low = mid;
		else
			high = mid;
	}
	return &p->place[low];
}

void
pending_done(struct pending *p, unsigned n)
{
	p->first += n;
	p->count -= n;
	p->head += n;
	if (p->count == 0)
		p->head = p->places = 0;
}
