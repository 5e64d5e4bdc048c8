/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding commands, and checking what a request gives them. */
#include "hb_command.h"

#include <stdio.h>
#include <errno.h>
#include <stdlib.h>

/* ---- names ---------------------------------------------------------------------------- */

static bool
is_named(const struct hb_command *c, const char *name)
{
	return strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0);
}

const struct hb_command *
hb_command_find(const char *name)
{
	for (unsigned i = 0; i < hb_commands_count; i++) {
		if (is_named(&hb_commands[i], name))
			return &hb_commands[i];
	}
	return NULL;
}

const struct hb_command *
hb_command_find_words(int argc, char *const *argv, int *used)
{
	char two[64];

	for (*used = argc < 2 ? argc : 2; *used > 0; (*used)--) {
		const struct hb_command *c;
		int n = snprintf(two, sizeof(two), "%s%s%s", argv[0], *used == 2 ? " " : "",
			*used == 2 ? argv[1] : "");

		if (n < (int)sizeof(two) && (c = hb_command_find(two)) != NULL)
			return c;
	}
	return NULL;
}

/* ---- values --------------------------------------------------------------------------- */

bool
hb_command_number_of(const json_t *value, uint64_t *out)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*out = (uint64_t)json_integer_value(value);
		return true;
	}
	/* jansson holds no integer above 2^63 - 1. */
	return json_is_string(value) &&
	       hb_parse_u64(json_string_value(value), 0, UINT64_MAX, out) == 0;
}

bool
hb_command_number(const json_t *args, const char *name, uint64_t *out)
{
	return hb_command_number_of(json_object_get(args, name), out);
}

const char *
hb_command_text(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

/* A value as it may stand in an error's line; cut where it is long. */
static const char *
shown(const json_t *value, char *out, size_t bytes)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	snprintf(out, bytes, "%.60s%s", text == NULL ? "?" : text,
		text != NULL && strlen(text) > 60 ? "..." : "");
	free(text);
	return out;
}

/* ---- arguments ------------------------------------------------------------------------ */

static int
check_number(
	const struct hb_command *c, const struct hb_arg *a, const json_t *v, struct hb_error *e)
{
	char text[80];
	uint64_t n;

	if (hb_command_number_of(v, &n) && n >= a->min && n <= a->max)
		return 0;
	return hb_fail(e, EINVAL, "%s: %s %s is no whole number from %llu to %llu; give one",
		c->name, a->shown, shown(v, text, sizeof(text)), (unsigned long long)a->min,
		(unsigned long long)a->max);
}

static int
check_text(const struct hb_command *c, const struct hb_arg *a, const json_t *v, struct hb_error *e)
{
	char text[80];

	if (!json_is_string(v))
		return hb_fail(e, EINVAL, "%s: %s %s is no text; give a JSON string", c->name,
			a->shown, shown(v, text, sizeof(text)));
	for (unsigned i = 0; a->words != NULL; i++) {
		if (a->words[i] == NULL)
			return hb_fail(e, EINVAL, "%s: %s %s is not known; give %s", c->name,
				a->shown, shown(v, text, sizeof(text)), a->help);
		if (strcmp(a->words[i], json_string_value(v)) == 0)
			break;
	}
	return 0;
}

static const struct hb_key *
find_key(const struct hb_arg *a, const char *name)
{
	for (const struct hb_key *k = a->keys; k != NULL && k->name != NULL; k++) {
		if (strcmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

static int
check_keys(const struct hb_command *c, const struct hb_arg *a, json_t *v, struct hb_error *e)
{
	const char *name;
	char text[80];
	json_t *value;

	if (!json_is_object(v) || json_object_size(v) == 0 ||
		json_object_size(v) > HB_COMMAND_KEYS_MAX)
		return hb_fail(e, EINVAL, "%s: %s: give 1 to %u keys with their values", c->name,
			a->shown, HB_COMMAND_KEYS_MAX);
	json_object_foreach(v, name, value)
	{
		if (!json_is_string(value))
			return hb_fail(e, EINVAL, "%s: %.60s: %s is no text; give a JSON string",
				c->name, name, shown(value, text, sizeof(text)));
		if (a->only_keys && find_key(a, name) == NULL)
			return hb_fail(e, EINVAL, "%s: there is no key %.60s; see: help %s",
				c->name, name, c->name);
	}
	for (const struct hb_key *k = a->keys; k != NULL && k->name != NULL; k++) {
		if (k->use == HB_KEY_REQUIRED && json_object_get(v, k->name) == NULL)
			return hb_fail(e, EINVAL, "%s: %s= is missing (%s); give it", c->name,
				k->name, k->help);
	}
	return 0;
}

static int
check_one(const struct hb_command *c, const struct hb_arg *a, json_t *v, struct hb_error *e)
{
	switch (a->kind) {
	case HB_ARG_NUMBER:
		return check_number(c, a, v, e);
	case HB_ARG_KEYS:
		return check_keys(c, a, v, e);
	case HB_ARG_TEXT:
	case HB_ARG_FILE:
	case HB_ARG_PATH:
	case HB_ARG_REST:
		break;
	}
	return check_text(c, a, v, e);
}

static int
check_arg(const struct hb_command *c, const struct hb_arg *a, json_t *v, struct hb_error *e)
{
	json_t *one;
	size_t i;
	int err;

	if (!a->many)
		return check_one(c, a, v, e);
	if (!json_is_array(v) || json_array_size(v) == 0 ||
		json_array_size(v) > HB_COMMAND_MANY_MAX)
		return hb_fail(e, EINVAL, "%s: %s: give 1 to %u of them, as an array", c->name,
			a->shown, HB_COMMAND_MANY_MAX);
	json_array_foreach(v, i, one)
	{
		if ((err = check_one(c, a, one, e)) != 0)
			return err;
	}
	return 0;
}

static const struct hb_arg *
find_arg(const struct hb_command *c, const char *name)
{
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		if (strcmp(c->arg[i].name, name) == 0)
			return &c->arg[i];
	}
	return NULL;
}

/* Which form it is, by what is there. */
static int
find_form(const struct hb_command *c, json_t *args, enum hb_form *form, struct hb_error *e)
{
	const char *name;
	json_t *value;

	*form = HB_FORM_ANY;
	json_object_foreach(args, name, value)
	{
		const struct hb_arg *a = find_arg(c, name);

		if (a == NULL)
			return hb_fail(e, EINVAL, "%s: there is no argument '%.60s'; see: help %s",
				c->name, name, c->name);
		if (a->form == HB_FORM_ANY || a->form == *form)
			continue;
		if (*form != HB_FORM_ANY)
			return hb_fail(e, EINVAL, "%s: give a file or keys, not both; see: help %s",
				c->name, c->name);
		*form = a->form;
	}
	return 0;
}

int
hb_command_check(const struct hb_command *c, json_t *args, struct hb_error *e)
{
	enum hb_form form;
	int err;

	if (args != NULL && !json_is_object(args))
		return hb_fail(e, EINVAL, "%s: args is no object; give one, like {\"campaign\":7}",
			c->name);
	if ((err = find_form(c, args, &form, e)) != 0)
		return err;
	if (form == HB_FORM_ANY && hb_command_has_forms(c))
		return hb_fail(
			e, EINVAL, "%s: give a file or keys; see: help %s", c->name, c->name);
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		const struct hb_arg *a = &c->arg[i];
		json_t *v = json_object_get(args, a->name);

		if (a->form != HB_FORM_ANY && a->form != form)
			continue;
		if (v != NULL && (err = check_arg(c, a, v, e)) != 0)
			return err;
		if (v == NULL && a->required)
			return hb_fail(e, EINVAL, "%s: %s is missing (%s); see: help %s", c->name,
				a->shown, a->help, c->name);
	}
	return 0;
}
