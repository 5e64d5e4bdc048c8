/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_service: the service thread. It answers the control socket (a UNIX stream socket, one JSON
 * object a line in and out) and the HTTP listener, and runs the program's own timers and files.
 *
 * The thread owns all state here. hb_service_start(), _page(), _launch(), _stop() and _free() are
 * called by one other thread, the one that started it, in this order; everything else by the
 * service thread alone: handlers, pages, and what the program hangs on hb_service_base(). Nothing
 * is shared between the two but the stop (an eventfd) and the counters. The thread never waits for
 * a client, and a handler must not block it either. Nothing here prints.
 *
 * A request: {"hongbao":1,"id":X,"command":"campaign show","args":{...}}; id (a string or a whole
 * number) and args may be left out. An answer: {"hongbao":1,"id":X,"ok":true,"result":{...}} or
 * {"hongbao":1,"id":X,"ok":false,"error":{"code":"...","text":"...","try":"..."}}. One of many has
 * "more":true, the last has not. A connection's requests are answered in their order, one after the
 * other. Commands, their rights and arguments are those of lib/command.
 */
#ifndef HB_SERVICE_H
#define HB_SERVICE_H

#include "hb_base.h"

#include <jansson.h>
#include <sched.h>

struct event_base;
struct evbuffer;

#define HB_SERVICE_VERSION 1

/* ---- requests ----------------------------------------------------------------------- */

/* Who asks, as the kernel says. */
struct hb_peer {
	uint32_t uid, gid;
	int pid;
	bool may_change;
	char name[64]; /* from /etc/passwd, else "uid N" */
};

/* A request under way. */
struct hb_ask;

/* Answers a request, now or later: each ask must be ended once, by hb_ask_answer() or
 * hb_ask_refuse(), from the service thread. The right was checked, and the arguments by
 * hb_command_check(). */
typedef void hb_handler(struct hb_ask *ask, void *context);

struct hb_service_command {
	const char *name; /* as in lib/command */
	hb_handler *handle;
};

/* error.code on the wire. */
enum hb_refusal {
	HB_REFUSAL_USAGE,    /* "usage": not a request, or arguments that cannot be */
	HB_REFUSAL_UNKNOWN,  /* "unknown": no such command, version, campaign, user... */
	HB_REFUSAL_DENIED,   /* "denied": this peer has no right to */
	HB_REFUSAL_REFUSED,  /* "refused": cannot be done as things are; nothing was changed */
	HB_REFUSAL_BUSY,     /* "busy": not now; ask again */
	HB_REFUSAL_FAILED,   /* "failed": it was tried, and failed */
	HB_REFUSAL_TOO_LONG, /* "too_long": the line; the connection is closed */
	HB_REFUSAL_TIMEOUT,  /* "timeout": the connection is closed */
};

/* An object, empty when the request had none. Lives as long as the ask. */
const json_t *hb_ask_args(const struct hb_ask *ask);
const struct hb_peer *hb_ask_peer(const struct hb_ask *ask);

/* Ends the ask with a result, which it takes over (NULL, as from an allocation that failed: the
 * client is told so). */
void hb_ask_answer(struct hb_ask *ask, json_t *result);

/* One of many results; takes it over. The ask goes on. */
void hb_ask_more(struct hb_ask *ask, json_t *result);

/* Ends the ask with an error: a line for a person (printf-like), and what to try, which may be
 * NULL. Neither need be valid UTF-8. */
void hb_ask_refuse(struct hb_ask *ask, enum hb_refusal code, const char *remedy, const char *fmt,
	...) HB_PRINTF(4, 5);

/* Whether nobody reads the answer any more: the client went, or the service stops. The ask must be
 * ended all the same; nothing is sent. A system call. */
bool hb_ask_gone(const struct hb_ask *ask);

/* ---- HTTP --------------------------------------------------------------------------- */

/* A request for a page, and what its maker says of the page. */
struct hb_page_ask {
	const char *accept; /* the request's header of that name, or NULL */
	const char *query;  /* what stands behind the path's "?", or NULL; any bytes */
	const char *type;   /* the page's content type; may be changed to another text that stays */
	const char *why;    /* of an error, for a person: a text that stays */
	bool shared;	    /* out: what is written is a text that others are sent too */
};

/* Writes a page into `out`. Returns 0, or -errno: the client is told 400 for -EINVAL, 503 for
 * -EBUSY, both with `why`, and 500 for others. */
typedef int hb_page(struct evbuffer *out, struct hb_page_ask *ask, void *context);

/* ---- texts that many are sent -------------------------------------------------------- */

/* Bytes of which there is one copy, however many clients are being sent them. The service thread's.
 */
struct hb_shared;

/* Takes a text over that malloc() gave (NULL is allowed). *held, which may be NULL, counts its
 * bytes from now until the last client has them, and must stay until hb_service_free() returns.
 * NULL: no memory. */
struct hb_shared *hb_shared_make(char *text, size_t bytes, size_t *held);

/* Adds it to what is written. Returns 0 or -ENOMEM. */
int hb_shared_add(struct evbuffer *out, struct hb_shared *text);

/* Gives up the maker's own hold; NULL is allowed. */
void hb_shared_drop(struct hb_shared *text);

/* ---- streams ------------------------------------------------------------------------- */

/* A page without an end. Its readers are closed when they don't take what they are sent. */
struct hb_stream;

/* Sends a text to all who read it now. No stream and no text are allowed, and nothing. Also from
 * the `stopping` hook: then it is the last that readers get. */
void hb_stream_send(struct hb_stream *stream, struct hb_shared *text);

unsigned hb_stream_readers(const struct hb_stream *stream);

/* ---- the service -------------------------------------------------------------------- */

/* 0 is the default in brackets. */
struct hb_service_limits {
	unsigned clients;    /* of the socket at once [4096]; one more is told "busy" */
	unsigned line_bytes; /* of a request without its newline [1 MiB] */
	/* Answers that wait for a client to read them [4 MiB]. With more than that waiting, the
	 * next answer closes the connection. */
	unsigned output_bytes;
	/* Of all clients together: lines read, answers that wait, and 16 times the lines under way
	 * (about what they take as JSON) [64 MiB]. Over that, a client that adds to it and itself
	 * holds more than 64 KiB is closed; it is told "busy" where it isn't its answers. */
	size_t held_bytes;
	unsigned line_ms;      /* until a line that was begun is whole [10 s] */
	unsigned idle_ms;      /* between requests [10 min] */
	unsigned stalled_ms;   /* that a client may take none of the answer that waits [30 s] */
	unsigned stop_ms;      /* that a client has to read the last answer before a close [1 s] */
	unsigned http_clients; /* at once [1024]; more wait in the kernel */
	unsigned http_streams; /* readers of streams among them [512]; one more is told 503 */
	unsigned http_ms;      /* until a request's headers are whole [5 s] */
	/* Of pages that wait for HTTP clients to take them, but for shared texts [64 MiB]; over
	 * that a request is answered 503. */
	size_t http_bytes;
	/* That wait for a reader of a stream [256 KiB], beside 128 KiB in the kernel: with more it
	 * is closed, and so it is when it is behind for stalled_ms. */
	unsigned stream_bytes;
};

/* Who came, asked and went: written by the service thread with hb_count(), read by anybody. */
struct hb_service_stats {
	uint64_t clients;	/* connected now */
	uint64_t accepted;	/* ever */
	uint64_t turned_away;	/* over the limit of clients */
	uint64_t out_of_files;	/* times that the process had no file left for one */
	uint64_t requests;	/* lines */
	uint64_t refusals;	/* answers that are errors */
	uint64_t closed;	/* connections that were closed for what they did or failed to do */
	uint64_t held_bytes;	/* see hb_service_limits */
	uint64_t http_clients;	/* connected now */
	uint64_t http_requests; /* pages and errors */
	uint64_t http_streams;	/* readers now */
	uint64_t http_lazy;	/* readers that were closed since they didn't read */
};

struct hb_service_terms {
	const char *socket; /* its path; longer than a socket's address holds (107 bytes) is allowed
			     * as long as the name in its directory isn't; NULL: there is none */
	const char *group;  /* that owns it, name or number; NULL or "": the process's own */
	/* Users, and groups as "@NAME", names or numbers, who may change, beside root and the
	 * process's own user. */
	const char (*change)[64];
	unsigned changes;
	/* Where HTTP listens: "127.0.0.1:9180", "[::1]:9180"; NULL, "" or "off": nowhere. Port 0:
	 * one that is free. */
	const char *http;
	/* Not NULL: an address that cannot be had is no error of hb_service_start(); its line comes
	 * here (else ""). */
	struct hb_error *http_why;
	const struct hb_service_command *commands; /* kept by the caller */
	unsigned commands_count;
	void *context; /* of the handlers */
	/* Called on the service thread when it is told to stop, before the asks under way are
	 * refused; may be NULL. */
	void (*stopping)(void *context);
	struct hb_service_limits limits;
};

struct hb_service;

/* Makes the sockets, so that what is wrong shows at start. A socket left by a dead process is
 * replaced. Raises the process's soft limit of open files, as far as the hard one allows, to what
 * so many clients need. Errors: -EADDRINUSE (the path or the HTTP address has a live owner),
 * -ENOTSOCK (the path is something else; it is left alone), -ENOENT (directory, group or user), the
 * kernel's others; with the line and the remedy in e. Clients can connect from now on, and wait. */
int hb_service_start(struct hb_service **out, const struct hb_service_terms *t, struct hb_error *e);

/* Serves a page at a path ("/metrics"), for GET and HEAD. Before the launch. Returns 0 or -EEXIST
 * or -ENOMEM; 0 also where HTTP listens nowhere. */
int hb_service_page(struct hb_service *s, const char *path, const char *content_type, hb_page *make,
	void *context);

/* Serves a stream at a path, for GET; `begin` writes what a reader gets first. Otherwise as a page.
 * *out, NULL where HTTP listens nowhere, lives as long as the service. */
int hb_service_stream(struct hb_service *s, const char *path, const char *content_type,
	hb_page *begin, void *context, struct hb_stream **out);

/* Starts the thread, "hb-service", on these CPUs (NULL: the caller's), with every signal blocked.
 */
int hb_service_launch(struct hb_service *s, const cpu_set_t *cpus, struct hb_error *e);

/* Ends the thread and waits for that: asks under way are refused as "busy", clients get stop_ms to
 * read, the socket is unlinked if it is still ours. The event base stays, for the program to free
 * its own events; asks may be ended still, to no effect. Returns after stop_ms or little more,
 * provided that no handler blocks. */
void hb_service_stop(struct hb_service *s);

/* Stops it if need be, and frees it all, asks too. NULL is allowed. */
void hb_service_free(struct hb_service *s);

/* For the program's own timers and files: before the launch and on the service thread, and again
 * after the stop. libevent's locks are off: no other thread may touch it meanwhile. */
struct event_base *hb_service_base(struct hb_service *s);

/* The counters; any thread, with hb_read(). */
const struct hb_service_stats *hb_service_stats(const struct hb_service *s);

/* The limits, with every default in its place; any thread. */
const struct hb_service_limits *hb_service_limits(const struct hb_service *s);

/* The port on which HTTP listens; 0: it doesn't. */
unsigned hb_service_http_port(const struct hb_service *s);

#endif
