/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the HTTP listener share: http.c has connections, requests and pages, stream.c
 * the pages without an end. The service thread's. */
#ifndef HB_HTTP_INTERNAL_H
#define HB_HTTP_INTERNAL_H

#include "service_internal.h"

#include <netinet/in.h>

struct page {
	char path[64];
	char content_type[96];
	hb_page *make; /* of a stream: what a reader gets first */
	void *context;
	struct hb_stream *stream; /* NULL: it has an end */
	TAILQ_ENTRY(page) link;
};

struct hb_stream {
	struct hb_http *http;
	struct evbuffer *piece; /* on its way to a reader; empty between */
	unsigned readers;
};

struct hb_http {
	struct hb_service *service;
	struct evhttp *http;
	struct evconnlistener *listener;
	struct event *tick; /* looks after the clients, and listens again */
	struct sockaddr_storage bound;
	char host[64]; /* this machine's name */
	bool closing;
	TAILQ_HEAD(, http_client) clients;
	TAILQ_HEAD(, page) pages;
};

struct http_client {
	struct hb_http *http;
	struct bufferevent *bev;
	struct evhttp_connection *connection; /* evhttp's; NULL: it has not asked yet */
	struct evbuffer_cb_entry *on_bytes;
	uint64_t deadline_ns; /* for what is under way */
	bool asking;	      /* a request has begun to come */
	bool cut;	      /* we ended it; evhttp will see that */
	size_t own_bytes;     /* of a page's text that nobody else is sent, until it is taken */
	/* A reader of a stream: */
	struct hb_stream *stream;
	struct evhttp_request *request;
	uint64_t behind_ns; /* since when something waits for it; 0: nothing does */
	TAILQ_ENTRY(http_client) link;
};

/* Ends a client for what it did or failed to do. evhttp sees the end and frees what it has. */
void http_cut(struct http_client *c);

void http_put_headers(struct evhttp_request *req, const char *content_type);

/* Begins a stream to the client that asks for it; `first` is sent at once. Returns 0, or -EBUSY
 * where there are too many readers. */
int http_stream_begin(struct http_client *c, struct hb_stream *st, struct evhttp_request *req,
	const char *content_type, struct evbuffer *first);

/* Looks whether a reader takes what it is sent; called at each tick. */
void http_stream_watch(struct http_client *c, uint64_t now_ns);

/* The connection is over, or goes with the listener: what is still to be said is said, as far as
 * the kernel takes it at once. */
void http_stream_leave(struct http_client *c);

#endif
