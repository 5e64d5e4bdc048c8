/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pending: records that were read from the journal and aren't in the database yet, in their order,
 * with the batches that they came in. All memory is there from the start. One thread.
 */
#ifndef HONGBAO_SETTLE_PENDING_H
#define HONGBAO_SETTLE_PENDING_H

#include "hb_follow.h"
#include "hb_settle_config.h"

/* The most that one batch of the journal has, rounded up. */
#define PENDING_BATCH (HB_BATCH_BYTES / sizeof(struct hb_record))
#define PENDING_ROOM (HB_SETTLE_BATCH_MAX + PENDING_BATCH)

struct pending {
	struct hb_record *record;
	struct hb_batch_place *place; /* of each batch of which something is pending */
	uint64_t first;		      /* number of the first record */
	unsigned count;
	unsigned places;
	unsigned head; /* records before the first one: gone already */
};

int pending_make(struct pending *p, struct hb_error *e);
void pending_free(struct pending *p);

/* Forgets all; the next record to come is number `first`. */
void pending_reset(struct pending *p, uint64_t first);

/* Whether another batch fits. */
bool pending_room(const struct pending *p);

/* Takes a batch in. Of its records those before the next one that is awaited are left out. */
void pending_add(struct pending *p, const struct hb_record *records, unsigned n,
	const struct hb_batch_place *place);

/* The records, from the first on. */
const struct hb_record *pending_records(const struct pending *p);

/* The batch that holds the n-th of them, n from 1. */
const struct hb_batch_place *pending_place(const struct pending *p, unsigned n);

/* The first n are in the database. */
void pending_done(struct pending *p, unsigned n);

#endif
