/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer: a hongbaod that is followed over HTTP: its present state, asked for once a second on one
 * connection, and its history, asked for when it is first heard. The service thread's; nothing here
 * waits.
 */
#ifndef PEER_H
#define PEER_H

#include "hb_base.h"

#include <jansson.h>

/* Figures of a peer that has not been heard for longer are left out. */
#define PEER_OLD_NS 3000000000ull

struct event_base;
struct evdns_base;
struct evhttp_connection;
struct evhttp_request;

struct peer {
	char name[300]; /* HOST:PORT, as it was given */
	char host[256];
	uint16_t port;
	struct evhttp_connection *connection;
	struct evhttp_request *asked; /* under way */
	json_t *now;		      /* the last one; NULL: never heard */
	uint64_t asked_ns;	      /* when the last one was asked for */
	uint64_t heard_ns;	      /* when one was asked for that had news */
	uint64_t id;		      /* of the last one: its second */
	json_t *history[2];	      /* of 1 s and 60 s, until they are taken */
	unsigned histories;	      /* that were answered, well or not */
	uint64_t started_us;	      /* of its run */
	uint64_t restarted_us;	      /* when it was started again while it was followed; 0: not */
	char why[160];		      /* it was not heard the last time; "": it was */
};

/* Reads "HOST:PORT" or "[IPV6]:PORT". Returns 0 or -EINVAL with e. */
int peer_parse(struct peer *p, const char *text, size_t bytes, struct hb_error *e);

/* Returns 0 or -ENOMEM with e. */
int peer_begin(struct peer *p, struct event_base *base, struct evdns_base *dns, struct hb_error *e);
void peer_end(struct peer *p);

/* Asks it for its present state, and for its history while that isn't there, unless a request is
 * under way. */
void peer_ask(struct peer *p);

/* Lets go of its history, which is asked for again unless `histories` says that it is there. */
void peer_forget_past(struct peer *p);

/* Whether its figures are of now. */
bool peer_is_heard(const struct peer *p, uint64_t now_ns);

/* Its number of the configuration; 0 while it isn't known. */
json_int_t peer_number(const struct peer *p);

#endif
