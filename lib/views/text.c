/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include <stdlib.h>

#define ROOM_FIRST (64u << 10)

bool
hb_text_grow(struct hb_text *t, size_t n)
{
	size_t room = t->room == 0 ? ROOM_FIRST : t->room;

	while (room - t->bytes < n)
		room *= 2;
	char *of = realloc(t->of, room);
	if (of == NULL) {
		t->failed = true;
		return false;
	}
	t->of = of;
	t->room = room;
	return true;
}

void
hb_text_u64(struct hb_text *t, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	hb_text_bytes(t, digits + at, sizeof(digits) - at);
}

void
hb_text_fixed(struct hb_text *t, uint64_t n, unsigned decimals)
{
	char fraction[1 + 9] = ".";
	uint64_t whole = n;

	for (unsigned i = decimals; i > 0; i--, whole /= 10)
		fraction[i] = (char)('0' + whole % 10);
	hb_text_u64(t, whole);
	hb_text_bytes(t, fraction, 1 + decimals);
}

void
hb_text_escaped(struct hb_text *t, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n')
			hb_text_add(t, "\\n");
		else if (*s == '\\' || *s == '"')
			hb_text_bytes(t, (char[]){'\\', *s}, 2);
		else
			hb_text_bytes(t, s, 1);
	}
}

char *
hb_text_end(struct hb_text *t, size_t *bytes)
{
	if (bytes != NULL)
		*bytes = t->bytes;
	hb_text_bytes(t, "", 1);
	if (!t->failed)
		return t->of;
	free(t->of);
	return NULL;
}
