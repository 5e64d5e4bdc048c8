/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket without a socket: what a fuzzer calls. One thread. */
#ifndef HB_SERVICE_FEED_H
#define HB_SERVICE_FEED_H

#include "hb_service.h"

/* A service without sockets and thread; hb_service_free() frees it. */
int hb_service_make(struct hb_service **out, const struct hb_service_terms *t, struct hb_error *e);

/* Plays a client that may only read: it sends these bytes, in pieces of `piece` bytes, ends its
 * side, and reads the answers, which go to `out`. Returns when the connection is closed, 0 or
 * -ENOMEM. */
int hb_conn_feed(
	struct hb_service *s, const void *bytes, size_t n, size_t piece, struct evbuffer *out);

#endif
