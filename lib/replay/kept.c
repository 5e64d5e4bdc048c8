/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that a client may have to repeat, in lists by the millisecond in which each is due. */
#include "match.h"

#include <errno.h>

#define MS 1000000ull

int
keeper_open(struct keeper *k, uint64_t frames, struct hb_error *e)
{
	if (frames >= KEPT_NONE)
		return hb_fail(e, EINVAL,
			"%llu requests at a time are too many to repeat; give a lower "
			"--outstanding",
			(unsigned long long)frames);
	int err = hb_mem_alloc(&k->mem, frames * sizeof(*k->kept), "frames to repeat", e);

	if (err != 0)
		return err;
	k->kept = k->mem.addr;
	for (uint32_t i = 0; i < frames; i++)
		k->kept[i].next = i + 1 < frames ? i + 1 : KEPT_NONE;
	memset(k->slot, 0xFF, sizeof(k->slot));
	k->free = 0;
	k->next = KEPT_NONE;
	return 0;
}

void
keeper_close(struct keeper *k)
{
	hb_mem_free(&k->mem);
}

static void
enlist(struct keeper *k, uint32_t which)
{
	struct kept *f = &k->kept[which];
	uint64_t ms = f->due_ns / MS + 1; /* it is due when that begins */

	/* What is due already goes where the wheel comes by next. */
	f->slot = (uint16_t)((ms > k->at_ms ? ms : k->at_ms + 1) % WHEEL_SLOTS);
	uint32_t *head = &k->slot[f->slot];
	f->next = *head;
	f->previous = KEPT_NONE;
	if (*head != KEPT_NONE)
		k->kept[*head].previous = which;
	*head = which;
}

static void
unlist(struct keeper *k, uint32_t which)
{
	struct kept *f = &k->kept[which];

	if (f->slot == KEPT_UNLISTED)
		return;
	if (k->next == which)
		k->next = f->next;
	if (f->next != KEPT_NONE)
		k->kept[f->next].previous = f->previous;
	if (f->previous != KEPT_NONE)
		k->kept[f->previous].next = f->next;
	else
		k->slot[f->slot] = f->next;
	f->slot = KEPT_UNLISTED;
}

uint32_t
keeper_add(struct keeper *k, uint64_t key, const uint8_t *frame, unsigned bytes, unsigned queue,
	uint32_t packet, uint64_t due_ns)
{
	uint32_t which = k->free;

	if (which == KEPT_NONE || bytes > KEPT_FRAME_BYTES)
		return KEPT_NONE;
	struct kept *f = &k->kept[which];
	k->free = f->next;
	f->key = key;
	f->due_ns = due_ns;
	f->packet = packet;
	f->bytes = (uint16_t)bytes;
	f->queue = (uint8_t)queue;
	f->tries = 1;
	memcpy(f->frame, frame, bytes);
	enlist(k, which);
	return which;
}

void
keeper_move(struct keeper *k, uint32_t which, uint64_t due_ns)
{
	unlist(k, which);
	k->kept[which].due_ns = due_ns;
	enlist(k, which);
}

void
keeper_drop(struct keeper *k, uint32_t which)
{
	unlist(k, which);
	k->kept[which].next = k->free;
	k->free = which;
}

uint32_t
keeper_due(struct keeper *k, uint64_t now_ns)
{
	for (;;) {
		while (k->next != KEPT_NONE) {
			uint32_t which = k->next;

			k->next = k->kept[which].next;
			/* Others of this slot are due a whole turn of the wheel later, or more. */
			if (k->kept[which].due_ns <= now_ns) {
				unlist(k, which);
				return which;
			}
		}
		if (k->at_ms >= now_ns / MS)
			return KEPT_NONE;
		k->next = k->slot[++k->at_ms % WHEEL_SLOTS];
	}
}
