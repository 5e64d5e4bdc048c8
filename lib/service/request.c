/* SPDX-License-Identifier: BSD-3-Clause */
/* A line of a stranger's into a request, or into the reason why it is none. */
#include "service_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const codes[] = {
	[HB_REFUSAL_USAGE] = "usage",
	[HB_REFUSAL_UNKNOWN] = "unknown",
	[HB_REFUSAL_DENIED] = "denied",
	[HB_REFUSAL_REFUSED] = "refused",
	[HB_REFUSAL_BUSY] = "busy",
	[HB_REFUSAL_FAILED] = "failed",
	[HB_REFUSAL_TOO_LONG] = "too_long",
	[HB_REFUSAL_TIMEOUT] = "timeout",
};

/* Bytes of the UTF-8 sequence at p, 0: it is none. */
static size_t
utf8_bytes(const uint8_t *p, size_t room)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	uint32_t c;

	if (n <= 1)
		return n;
	if (p[0] > 0xF4 || n > room)
		return 0;
	c = p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3F);
	}
	return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

/* A string of JSON from any bytes: a line of error may quote what a client sent, and may be cut in
 * the middle of a character. */
static json_t *
any_string(const char *text)
{
	struct hb_error clean;
	size_t bytes = strnlen(text, sizeof(clean.text)), o = 0;

	for (size_t i = 0; i < bytes;) {
		size_t n = utf8_bytes((const uint8_t *)text + i, bytes - i);

		if (n == 0)
			clean.text[o++] = '?';
		else
			memcpy(clean.text + o, text + i, n);
		o += n;
		i += n == 0 ? 1 : n;
	}
	return json_stringn(clean.text, o);
}

json_t *
hb_refusal_json(enum hb_refusal code, const char *text, const char *remedy)
{
	json_t *o = json_pack("{s:s,s:o}", "code", codes[code], "text", any_string(text));

	if (remedy != NULL)
		json_object_set_new(o, "try", any_string(remedy));
	return json_pack("{s:o}", "error", o);
}

static bool HB_PRINTF(4, 5) refuse(
	struct hb_refused *no, enum hb_refusal code, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	no->code = code;
	no->remedy = remedy;
	va_start(ap, fmt);
	vsnprintf(no->why.text, sizeof(no->why.text), fmt, ap);
	va_end(ap);
	return false;
}

/* Whether objects and lists lie in each other deeper than they may; before they are read, since the
 * parser's own limit is 2,048 calls deep. */
static bool
too_deep(const char *line, size_t bytes)
{
	bool text = false;
	unsigned depth = 0;

	for (size_t i = 0; i < bytes; i++) {
		char c = line[i];

		if (text && c == '\\')
			i++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == '{' || c == '[') && ++depth > HB_JSON_DEPTH_MAX)
			return true;
		else if (!text && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return false;
}

static json_t *
parse(const char *line, size_t bytes, struct hb_refused *no)
{
	static const char form[] = "send one object a line, such as "
				   "{\"hongbao\":1,\"command\":\"ping\"}";
	json_error_t why;

	if (too_deep(line, bytes)) {
		refuse(no, HB_REFUSAL_USAGE, form,
			"the line has objects in each other deeper than %u", HB_JSON_DEPTH_MAX);
		return NULL;
	}
	json_t *o = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);
	if (o == NULL)
		refuse(no, HB_REFUSAL_USAGE, form, "the line is not JSON at byte %d: %s",
			why.position, why.text);
	else if (!json_is_object(o)) {
		refuse(no, HB_REFUSAL_USAGE, form, "the line is a list, not an object");
		json_decref(o);
		o = NULL;
	}
	return o;
}

static bool
take_id(struct hb_request_line *r, json_t *id, struct hb_refused *no)
{
	if (id == NULL || json_is_null(id))
		return true;
	if (json_is_integer(id) ||
		(json_is_string(id) && json_string_length(id) <= HB_ID_BYTES_MAX)) {
		r->id = json_incref(id);
		return true;
	}
	return refuse(no, HB_REFUSAL_USAGE, "leave it out, or count requests with it",
		"id: neither a whole number nor a string of at most %u bytes", HB_ID_BYTES_MAX);
}

static bool
check_keys(json_t *o, struct hb_refused *no)
{
	const char *key;
	json_t *value;

	json_object_foreach(o, key, value)
	{
		if (strcmp(key, "hongbao") != 0 && strcmp(key, "id") != 0 &&
			strcmp(key, "command") != 0 && strcmp(key, "args") != 0)
			return refuse(no, HB_REFUSAL_USAGE,
				"a request has hongbao, id, command and args",
				"unknown key '%.64s'", key);
	}
	return true;
}

static bool
check_version(const json_t *v, struct hb_refused *no)
{
	if (!json_is_integer(v))
		return refuse(no, HB_REFUSAL_USAGE, "add \"hongbao\":1",
			"hongbao: the protocol's version is missing");
	if (json_integer_value(v) != HB_SERVICE_VERSION)
		return refuse(no, HB_REFUSAL_UNKNOWN,
			"use the hongbaoctl that came with this hongbaod, or speak version 1",
			"hongbao: version %lld is not spoken here",
			(long long)json_integer_value(v));
	return true;
}

static bool
take_command(struct hb_request_line *r, const json_t *name, struct hb_refused *no)
{
	if (!json_is_string(name))
		return refuse(no, HB_REFUSAL_USAGE, "name one; \"help\" lists them", "command: %s",
			name == NULL ? "missing" : "not a string");
	r->command = hb_command_find(json_string_value(name));
	if (r->command == NULL)
		return refuse(no, HB_REFUSAL_UNKNOWN, "\"help\" lists them",
			"command '%.64s': there is none of that name", json_string_value(name));
	return true;
}

static bool
take_args(struct hb_request_line *r, json_t *args, struct hb_refused *no)
{
	struct hb_error e;

	if (args != NULL && !json_is_object(args))
		return refuse(no, HB_REFUSAL_USAGE, "send \"args\":{\"name\":value}",
			"args: not an object");
	r->args = args == NULL ? json_object() : json_incref(args);
	if (r->args == NULL)
		return refuse(no, HB_REFUSAL_BUSY, "ask again", "no memory for the request");
	if (hb_command_check(r->command, r->args, &e) != 0)
		return refuse(no, HB_REFUSAL_USAGE, NULL, "%s", e.text);
	return true;
}

bool
hb_request_line_read(
	struct hb_request_line *r, const char *line, size_t bytes, struct hb_refused *no)
{
	*r = (struct hb_request_line){0};
	json_t *o = parse(line, bytes, no);
	if (o == NULL)
		return false;
	bool good = take_id(r, json_object_get(o, "id"), no) && check_keys(o, no) &&
		    check_version(json_object_get(o, "hongbao"), no) &&
		    take_command(r, json_object_get(o, "command"), no) &&
		    take_args(r, json_object_get(o, "args"), no);
	json_decref(o);
	return good;
}

void
hb_request_line_free(struct hb_request_line *r)
{
	json_decref(r->id);
	json_decref(r->args);
	*r = (struct hb_request_line){0};
}
