/* SPDX-License-Identifier: BSD-3-Clause */
#include "warroom_internal.h"

#include <stdio.h>

/* Cut between characters, not within one. */
static void
copy_text(char *out, size_t bytes, const char *text)
{
	size_t n = text == NULL ? 0 : strnlen(text, bytes);

	if (n == bytes) {
		n--;
		while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
			n--;
	}
	if (n > 0)
		memcpy(out, text, n);
	out[n] = '\0';
}

/* "odds: 0.02 -> 0.01; paused: false -> true" */
static void
copy_changes(char *out, size_t bytes, const json_t *changes)
{
	char text[1024];
	size_t n = 0, i;
	json_t *one;

	text[0] = '\0';
	json_array_foreach(changes, i, one)
	{
		const char *key = json_string_value(json_object_get(one, "key"));
		const char *from = json_string_value(json_object_get(one, "before"));
		const char *to = json_string_value(json_object_get(one, "after"));

		if (key == NULL || from == NULL || to == NULL || n >= sizeof(text))
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s: %s%s%s", n > 0 ? "; " : "",
			key, from, from[0] != '\0' ? " -> " : "", to);
	}
	copy_text(out, bytes, text);
}

void
marks_add(struct marks *m, const json_t *line)
{
	const json_t *time = json_object_get(line, "time_us");
	struct mark *of;

	if (!json_is_integer(time))
		return;
	of = &m->of[m->count++ % MARKS_MAX];
	*of = (struct mark){.time_us = (uint64_t)json_integer_value(time),
		.version = (uint64_t)json_integer_value(json_object_get(line, "version"))};
	copy_text(of->who, sizeof(of->who), json_string_value(json_object_get(line, "who")));
	copy_text(of->command, sizeof(of->command),
		json_string_value(json_object_get(line, "command")));
	copy_changes(of->what, sizeof(of->what), json_object_get(line, "changes"));
}

json_t *
marks_json(const struct marks *m, unsigned last)
{
	uint64_t there = m->count < MARKS_MAX ? m->count : MARKS_MAX;
	uint64_t shown = there < last ? there : last;
	json_t *list = json_array();

	for (uint64_t i = m->count - shown; i < m->count; i++) {
		const struct mark *of = &m->of[i % MARKS_MAX];
		json_t *o = json_object();

		hb_put(o, "time_us", of->time_us);
		hb_put_text(o, "who", of->who);
		hb_put_text(o, "command", of->command);
		hb_put_text(o, "what", of->what);
		hb_put(o, "version", of->version);
		json_array_append_new(list, o);
	}
	return list;
}
