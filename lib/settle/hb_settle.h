/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_settle: a journal's records in PostgreSQL, each exactly once. A batch of them goes over by
 * binary COPY into a staging table and from there into the tables of migration 0001, in one
 * transaction that first moves the journal's position from where this settler believes it to be: if
 * it is elsewhere, nothing happens. So whichever side dies at whatever moment, the position says
 * what is there, and nobody but the database needs to remember anything.
 *
 * Owner: one thread. All calls wait for the database, as hb_db.h says.
 */
#ifndef HB_SETTLE_H
#define HB_SETTLE_H

#include "hb_db.h"
#include "hb_follow.h"

struct hb_settle {
	struct hb_db *db;
	uint64_t journal;
	uint32_t host;
	/* As the database has it. */
	uint64_t next_record;	     /* the first that isn't there */
	struct hb_batch_place place; /* of the batch with the one before; number 0: none yet */
	uint64_t refused;	     /* records that were set aside, of this journal */
};

/* Sees to it that the schema is right, that no other settles this journal, and where it stands;
 * makes its row when it is new. To be called anew after each hb_db_connect(). adopt: take a new
 * journal of a host that another journal is known of. Returns 0, or -errno with e: -EBUSY (another
 * settles it), -EEXIST (another journal of this host), -ESTALE (known as another host's), and what
 * hb_db.h and hb_migrate.h say. */
int hb_settle_begin(struct hb_settle *s, struct hb_db *db, uint64_t journal, uint32_t host,
	bool adopt, struct hb_error *e);

/* Brings records over, of which the first is number s->next_record, and moves the position behind
 * them; place: of the batch that holds the last; known: records that the journal has by now.
 * Returns 0, or -errno with e, as in hb_db.h; after -EINVAL with db->fault HB_DB_REFUSED it is one
 * of these records, and nothing of them was brought over. -EPROTO: a record of a type that isn't
 * known. -ESTALE: the position isn't where it was; begin anew. */
int hb_settle_put(struct hb_settle *s, const struct hb_record *records, unsigned n,
	const struct hb_batch_place *place, uint64_t known, struct hb_error *e);

/* Sets record s->next_record aside, which the database refused, with the reason. */
int hb_settle_set_aside(struct hb_settle *s, const struct hb_record *record,
	const struct hb_batch_place *place, uint64_t known, const char *reason, struct hb_error *e);

/* Tells the database what the journal has by now, though nothing is to be brought over: so that
 * somebody who looks there sees that it is settled still. */
int hb_settle_tell(struct hb_settle *s, uint64_t known, struct hb_error *e);

/* Whether a record becomes a row at all: the seed of the draws doesn't. */
static inline bool
hb_settle_has_row(const struct hb_record *r)
{
	return r->type != HB_RECORD_SEED;
}

/* What the database has of a record's fields, in the order of hongbao.records. */
#define HB_SETTLE_FIELDS 10

#endif
