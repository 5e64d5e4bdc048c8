/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text: a text that grows, put together from pieces. printf() for each of 20,000 lines would take
 * several milliseconds of every scrape.
 *
 * Owner: whoever has it on the stack. When there is no memory the text stays as it is, and `failed`
 * says so.
 */
#ifndef HB_VIEWS_TEXT_H
#define HB_VIEWS_TEXT_H

#include "hb_base.h"

struct hb_text {
	char *of;
	size_t bytes, room;
	bool failed;
};

/* Makes room for n bytes more than fit. Returns whether there is. */
bool hb_text_grow(struct hb_text *t, size_t n);

static inline void
hb_text_bytes(struct hb_text *t, const char *bytes, size_t n)
{
	if (HB_UNLIKELY(t->room - t->bytes < n) && !hb_text_grow(t, n))
		return;
	memcpy(t->of + t->bytes, bytes, n);
	t->bytes += n;
}

void hb_text_u64(struct hb_text *t, uint64_t n);

/* n / 10^decimals, as "12.034". decimals: 1 to 9. */
void hb_text_fixed(struct hb_text *t, uint64_t n, unsigned decimals);

/* A label's value: backslash, quote and line end escaped. */
void hb_text_escaped(struct hb_text *t, const char *s);

static inline void
hb_text_add(struct hb_text *t, const char *s)
{
	hb_text_bytes(t, s, strlen(s));
}

/* The text with its NUL, to be freed with free(), and its length; NULL when there was no memory. */
char *hb_text_end(struct hb_text *t, size_t *bytes);

#endif
