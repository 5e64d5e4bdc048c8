/* SPDX-License-Identifier: BSD-3-Clause */
/* What the service's files share. All of it is the service thread's once it runs. */
#ifndef HB_SERVICE_INTERNAL_H
#define HB_SERVICE_INTERNAL_H

#include "address.h"
#include "feed.h"
#include "hb_command.h"
#include "hb_service.h"
#include "hb_stats.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

/* libevent's and the C library's timers take this. */
static inline struct timeval
hb_ms(unsigned ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

/* ---- rights: peer.c ----------------------------------------------------------------- */

#define HB_PEER_NAMES 16

struct hb_rights {
	uint32_t *users; /* who may change */
	unsigned users_count;
	uint32_t *groups;
	unsigned groups_count;
	/* The names looked up last, by uid modulo. */
	struct hb_peer_name {
		bool known;
		uint32_t uid;
		char name[64];
	} names[HB_PEER_NAMES];
};

/* Resolves names by whatever the host has for that, so before the thread runs. */
int hb_rights_make(struct hb_rights *r, const char (*change)[64], unsigned n, struct hb_error *e);
void hb_rights_free(struct hb_rights *r);

/* Who is at the other end of a connected socket. Returns 0 or -errno. */
int hb_rights_look(struct hb_rights *r, int fd, struct hb_peer *peer);

/* A group's number by its name or number. Returns 0 or -ENOENT with e. */
int hb_group_find(const char *name, const char *where, uint32_t *gid, struct hb_error *e);

/* ---- the listening socket: claim.c -------------------------------------------------- */

struct hb_claim {
	struct hb_place place;
	int fd;
	dev_t device; /* of the socket in the file system: ours */
	ino_t inode;
};

/* Binds and listens. Returns 0 or -errno with e. */
int hb_claim_make(
	struct hb_claim *c, const char *path, const char *group, int backlog, struct hb_error *e);

/* Closes; unlinks what is ours. */
void hb_claim_free(struct hb_claim *c);

/* ---- requests: request.c ------------------------------------------------------------ */

/* Deeper than any argument, and far from what would cost stack. */
#define HB_JSON_DEPTH_MAX 16
#define HB_ID_BYTES_MAX 128

struct hb_refused {
	enum hb_refusal code;
	struct hb_error why;
	const char *remedy; /* or NULL */
};

struct hb_request_line {
	json_t *id; /* or NULL */
	const struct hb_command *command;
	json_t *args;
};

/* Reads a line without its newline. Returns true, or false with `no`, and r->id where it could be
 * read. r is to be freed either way. */
bool hb_request_line_read(
	struct hb_request_line *r, const char *line, size_t bytes, struct hb_refused *no);
void hb_request_line_free(struct hb_request_line *r);

/* An error as an answer. `text` and `remedy` may be any bytes. */
json_t *hb_refusal_json(enum hb_refusal code, const char *text, const char *remedy);

/* ---- connections: conn.c, ask.c ----------------------------------------------------- */

/* Reading stops while a request is under way and so much waits behind it. */
#define HB_BEHIND_BYTES (64u << 10)
/* Requests are taken on only while less than this waits to be sent. */
#define HB_OUTPUT_EASY (256u << 10)
/* What a connection may hold when all together hold too much. */
#define HB_HELD_FAIR (64u << 10)
/* How much memory a line takes as JSON, about. */
#define HB_JSON_GROWTH 16
/* So that one client that sends a lot doesn't keep others waiting. */
#define HB_LINES_A_TURN 16

/* What the connection's timer waits for. */
enum hb_conn_wait {
	HB_WAIT_NONE,
	HB_WAIT_LINE,	 /* the rest of a line */
	HB_WAIT_REQUEST, /* another request */
	HB_WAIT_END,	 /* that the last answer is taken */
};

struct hb_conn {
	TAILQ_ENTRY(hb_conn) link;
	struct hb_service *service;
	struct bufferevent *bev; /* NULL: the connection is from memory, or closed */
	struct evbuffer *in, *out;
	struct event *timer;
	struct event *turn; /* made active to go on with what was read */
	struct hb_ask *ask; /* under way */
	struct hb_peer peer;
	enum hb_conn_wait wait;
	size_t scanned; /* bytes of `in` without a newline */
	size_t held;	/* counted in the service's held_bytes */
	unsigned refs;	/* being open, the ask, the function that works on it */
	bool running;	/* hb_conn_run() is on the stack */
	bool fresh;	/* a line was taken since the timer was set */
	bool no_more;	/* the client sends nothing more */
	bool ending;	/* nothing more is read */
	bool closed;
};

struct hb_ask {
	TAILQ_ENTRY(hb_ask) link;
	struct hb_service *service;
	struct hb_conn *conn; /* NULL: was ended by the stop */
	struct hb_peer peer;
	struct hb_request_line request;
	size_t line_bytes;
};

/* Takes a client in; `fd` becomes its own, also on failure. */
void hb_conn_accept(struct hb_service *s, int fd);

/* Goes on with what was read, at most a turn's lines. May free c unless the caller holds it. */
void hb_conn_run(struct hb_conn *c);
void hb_conn_go_on(struct hb_conn *c); /* soon */

/* Queues an answer (takes it over). */
void hb_conn_send(struct hb_conn *c, json_t *id, json_t *answer, bool more);
void hb_conn_refuse(struct hb_conn *c, json_t *id, const struct hb_refused *no);

/* Closes once what waits has been taken, or at once. */
void hb_conn_end(struct hb_conn *c);
void hb_conn_close(struct hb_conn *c);
void hb_conn_hold(struct hb_conn *c);
void hb_conn_release(struct hb_conn *c);

/* Starts an ask; takes r's content over. */
void hb_ask_begin(struct hb_conn *c, struct hb_request_line *r, size_t line_bytes);
void hb_ask_abandon(struct hb_ask *a); /* by the stop: refused; the program ends it later */
void hb_ask_free(struct hb_ask *a);

/* ---- HTTP: http.c, stream.c --------------------------------------------------------- */

struct hb_http;

int hb_http_make(
	struct hb_http **out, struct hb_service *s, const char *address, struct hb_error *e);
void hb_http_close(struct hb_http *h); /* clients and listener */
void hb_http_free(struct hb_http *h);  /* after that; NULL is allowed */
unsigned hb_http_port(const struct hb_http *h);
int hb_http_page(struct hb_http *h, const char *path, const char *content_type, hb_page *make,
	void *context);
int hb_http_stream(struct hb_http *h, const char *path, const char *content_type, hb_page *begin,
	void *context, struct hb_stream **out);

/* ---- the service: service.c, accept.c ----------------------------------------------- */

struct hb_service {
	struct event_base *base;
	struct hb_claim claim;
	struct event *accept_event;
	struct event *accept_later; /* after the process ran out of files */
	struct event *stop_event;
	struct hb_http *http; /* or NULL */
	struct hb_rights rights;
	struct hb_service_limits limits;
	struct hb_service_stats stats;
	struct hb_served {
		const struct hb_command *command;
		hb_handler *handle;
	} * served;
	unsigned served_count;
	void *context;
	void (*stopping_hook)(void *context);
	TAILQ_HEAD(, hb_conn) conns;
	TAILQ_HEAD(, hb_ask) asks;
	bool stopping;
	/* The starting thread's. */
	pthread_t thread;
	bool launched;
	int stop_fd; /* eventfd: written by the starting thread, read by the service thread */
};

int hb_accept_make(struct hb_service *s, struct hb_error *e);
void hb_accept_close(struct hb_service *s);

/* When the service is to stop and nobody is left. */
void hb_service_left(struct hb_service *s);

#endif
