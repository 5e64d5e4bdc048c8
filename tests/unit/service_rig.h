/* SPDX-License-Identifier: BSD-3-Clause */
/* A service with a thread of its own in a directory of its own, and clients that never wait for
 * ever. */
#ifndef HB_SERVICE_RIG_H
#define HB_SERVICE_RIG_H

#include "hb_service.h"
#include "hb_service_client.h"
#include "hb_stats.h"

#include <stdio.h>

/* How long a test waits for what must come. */
#define PATIENCE_MS 20000

struct rig {
	struct hb_service *service;
	struct hb_error e;
	struct hb_service_terms terms;
	char directory[64];
	char path[160];
	/* service thread */
	struct hb_ask *kept[64];
	unsigned kept_count;
	/* asks that were begun, or found gone by "journal": service thread: wo; tests: ro */
	uint64_t begun, gone;
	bool keep_at_stop; /* the program doesn't end what it kept when the service stops */
};

/* What the rig's program does by command:
 *   ping            {"pong":true} at once
 *   user U          {"user":"U"} at once
 *   status          is kept, until "latency" answers all kept with {"late":true}
 *   steering        the same with three answers: two "more" at once, the last late
 *   journal         {"gone":N}: how many of those kept have lost their client; they are ended
 *   pool [ID]       a text of 1,000 times ID bytes
 *   watch           a text of 64 KiB every ms for ever
 *   log level L     refused with L, bytes that are no UTF-8 and a remedy
 *   campaign pause  {"paused":ID}; needs the right to change
 */

/* Sets the terms, for the test to change. */
void rig_prepare(struct rig *r);
/* Starts and launches; fails the test if it cannot. */
void rig_start(struct rig *r);
/* Waits until nobody is connected and nothing held, stops, and looks whether all is gone. */
void rig_stop(struct rig *r);
void rig_remove(struct rig *r);

/* Waits until a counter is at least, or exactly, that. */
void wait_at_least(const uint64_t *counter, uint64_t n);
void wait_exactly(const uint64_t *counter, uint64_t n);

/* ---- clients -------------------------------------------------------------------------- */

int dial(struct rig *r);
/* Writes all, with the service reading; returns how much it took before it closed. */
size_t put(int fd, const void *bytes, size_t n);
void say(int fd, const char *line); /* and a newline */
/* An answer; NULL: the connection was closed. */
json_t *hear(int fd);
/* Both; fails the test when there is no answer. */
json_t *ask(int fd, const char *line);
/* Whether an answer is an error of that code, and then what its text has in it. Frees it. */
void must_refuse(json_t *answer, const char *code, const char *text);
/* Whether it is a result. Returns it, borrowed from `answer`. */
json_t *must_answer(json_t *answer);
void must_close(int fd); /* the service ends the connection; closes our end */

/* The bytes of the process's heap in use. */
size_t heap_bytes(void);
void wait_heap_below(size_t bytes);

/* ---- the thread ----------------------------------------------------------------------- */

/* The service thread's number, and how long it has worked. */
int thread_number(void);
unsigned thread_cpu_ms(void);

#endif
