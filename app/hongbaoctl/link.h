/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection to the control socket: requests out, answers in, never longer than until a deadline
 * (hb_mono_ns()). */
#ifndef HONGBAOCTL_LINK_H
#define HONGBAOCTL_LINK_H

#include "hb_base.h"

#include <jansson.h>

struct link {
	int fd; /* -1: none */
	char *in;
	size_t used, room, scanned;
};

/* An answer, still as JSON. */
struct answer {
	json_t *all;
	json_int_t id; /* 0: none */
	bool ok, more;
	json_t *result;			  /* of `all`, when ok */
	const char *code, *text, *remedy; /* of `all`, when not; remedy may be NULL */
};

/* Connects. Returns 0 or -errno with the line in e: -ENOENT, -ECONNREFUSED, -ETIMEDOUT (nobody
 * there), -EACCES (not allowed), ... */
int link_open(struct link *l, const char *path, uint64_t deadline, struct hb_error *e);
void link_close(struct link *l);

/* Sends a request; id from 1. args may be NULL. Returns 0 or -errno with e: -EMSGSIZE: longer than
 * a request may be. */
int link_ask(struct link *l, json_int_t id, const char *command, json_t *args, uint64_t deadline,
	struct hb_error *e);

/* Takes an answer from what has come, without waiting. Returns 1, 0 (none yet), -ECONNRESET (the
 * other side went), -EPROTO (it says something else) with e. */
int link_take(struct link *l, struct answer *a, struct hb_error *e);

/* Waits for an answer. Returns 0, or as link_take(), or -ETIMEDOUT. */
int link_await(struct link *l, struct answer *a, uint64_t deadline, struct hb_error *e);

void answer_free(struct answer *a);

#endif
