/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the control core share. */
#ifndef HB_CONTROL_INTERNAL_H
#define HB_CONTROL_INTERNAL_H

#include "hb_control.h"

/* Writes the records that wait, and `more` behind them in the journal's room, as one batch, and
 * tells the workers. Returns 0 or -errno: with -ENOSPC those that wait still do, and the others are
 * dropped. */
int control_commit(struct hb_control *c, unsigned more);

/* Room for so many records behind those that wait; NULL: the disk doesn't take what waits. */
struct hb_record *control_room(struct hb_control *c, unsigned n);

/* Writes n records that stand there, durably. what: for an error's line. */
int control_enter(struct hb_control *c, unsigned n, const char *what, struct hb_error *e);

/* Whether the journal takes anything now. */
int control_check_disk(const struct hb_control *c, const char *what, struct hb_error *e);

/* Says why nothing more can be written. */
int control_say_disk(const struct hb_control *c, const char *what, int err, struct hb_error *e);

/* Room for so many users from other hosts. */
int control_reserve_rows(struct hb_ledger *l, unsigned n, struct hb_error *e);

/* Whether a ROW makes sense. */
bool control_row_fits(const struct hb_record *r);

/* Adds a ROW that is on stable storage, for which there is room; returns its number. */
uint32_t control_add_row(struct hb_moved *m, const struct hb_record *r);

/* Whether a slot has its campaign. */
static inline bool
control_has_campaign(const struct hb_control *c, unsigned slot)
{
	return c->ledger[slot].funded != 0 || c->ledger[slot].leased;
}

/* Enters a win's or a packet's record that is on stable storage into the ledgers. A win's campaign
 * is one of ours. */
void control_enter_record(struct hb_control *c, const struct hb_record *r);

/* Room in the depot for so many ranges more than those that workers may send back. */
int control_depot_reserve(struct hb_ledger *l, unsigned more);

/* Whether so many orders fit the worker's ring, one of which is answered. */
bool control_order_room(const struct hb_control *c, unsigned worker, unsigned orders);

/* Sends an order. There must be room. */
void control_order(struct hb_control *c, unsigned worker, const struct hb_order *o);

/* Sends envelopes to the workers in equal shares. There must be room, in the depot too. */
void control_deal_out(struct hb_control *c, unsigned slot, struct hb_range range);

/* Moves envelopes to whoever needs them; says which campaigns are drained. */
void control_level(struct hb_control *c);

#endif
