/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fleet: several hosts as one: asks its peers once a second, adds them up, keeps the history of the
 * sums, raises an alert for a peer that is away, and serves the war room's routes. The service
 * thread's, from fleet_begin() (before the launch) to fleet_end() (after the stop).
 */
#ifndef FLEET_H
#define FLEET_H

#include "peer.h"

/* One for each slice. */
#define FLEET_PEERS 32

struct hb_service;
struct fleet;

/* Takes the peers over. Returns 0 or -errno with e. */
int fleet_begin(struct fleet **out, struct peer *peer, unsigned peers, struct hb_service *s,
	struct hb_error *e);

/* The service stops: open pages are told. */
void fleet_stopping(struct fleet *f);

/* Ends what goes on, once the service's thread has ended. */
void fleet_end(struct fleet *f);

/* Frees it, once the service is freed. NULL is allowed. */
void fleet_free(struct fleet *f);

#endif
