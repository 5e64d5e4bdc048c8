/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pages: the war room's routes (hb_warroom.h), of whatever source: one host's, or several hosts' as
 * one. What is sent is made at most once a second, when the first one asks, and shared by all who
 * ask. The service thread's.
 */
#ifndef HB_WARROOM_PAGES_H
#define HB_WARROOM_PAGES_H

#include "hb_service.h"
#include "text.h"

/* Of texts that clients have not taken yet, all pages together. */
#define HB_PAGES_HELD_MAX (32u << 20)

struct hb_pages_terms {
	json_t *(*now)(void *context); /* the object of /api/now; NULL: no memory */
	/* Adds the object of /api/history; step_s: 1 or 60. */
	void (*history)(void *context, unsigned step_s, struct hb_text *out);
	void *context;
};

/* All zero before hb_pages_serve(). */
struct hb_warroom_pages {
	struct hb_pages_terms of;
	struct hb_service *service; /* NULL: nothing is served */
	struct hb_stream *live;
	uint64_t id; /* this second's */
	struct hb_page_made {
		struct hb_shared *text;
		uint64_t id;
	} now, event, seconds, minutes;
	size_t held; /* bytes of what was made and isn't taken yet */
};

/* Puts them into a service, before the launch. Returns 0 or -errno with e. */
int hb_pages_serve(struct hb_warroom_pages *p, const struct hb_pages_terms *of,
	struct hb_service *s, struct hb_error *e);

/* A second has gone by: tells all open pages. */
void hb_pages_second(struct hb_warroom_pages *p, uint64_t id);

/* The service stops: open pages are told. */
void hb_pages_stopping(struct hb_warroom_pages *p);

/* Lets go of what was made, once the service is freed. */
void hb_pages_drop(struct hb_warroom_pages *p);

/* What `pages` of the present state has. */
void hb_pages_put(const struct hb_warroom_pages *p, json_t *o);

/* assets: the page's files, as they are in the program; made when it is built. */
struct warroom_asset {
	const char *path, *content_type;
	const char *of, *end;
};
extern const struct warroom_asset warroom_assets[];
extern const unsigned warroom_assets_count;

#endif
