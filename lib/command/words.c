/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments from the words of a command line. */
#include "hb_command.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What is left of the command line while it is read. */
struct words {
	const struct hb_command *command;
	int argc;
	char *const *argv;
	struct hb_error *e;
	int err; /* 0 or -errno */
};

/* ---- files ---------------------------------------------------------------------------- */

static json_t *
no_memory(struct words *w)
{
	w->err = hb_fail(w->e, ENOMEM, "%s: no memory for the arguments", w->command->name);
	return NULL;
}

/* What was read must be what JSON and YAML can hold. */
static json_t *
text_of(struct words *w, const char *path, const char *text, size_t bytes)
{
	json_t *v;

	if (bytes > HB_COMMAND_LINE_MAX)
		w->err = hb_fail(w->e, EFBIG, "%s: longer than the %u bytes that can be sent; %s",
			path, HB_COMMAND_LINE_MAX, "shorten it, or use: config reload");
	else if (memchr(text, '\0', bytes) != NULL)
		w->err = hb_fail(w->e, EILSEQ, "%s: holds a zero byte, so it is no text", path);
	else if ((v = json_stringn(text, bytes)) == NULL)
		w->err = hb_fail(w->e, EILSEQ, "%s: is not UTF-8; save it as such", path);
	else
		return v;
	return NULL;
}

static json_t *
read_file(struct words *w, const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	const char *name = standard ? "standard input" : path;
	FILE *f = standard ? stdin : fopen(path, "re");
	size_t room = (size_t)HB_COMMAND_LINE_MAX + 1, n;
	char *text = malloc(room);
	json_t *v = NULL;

	if (f == NULL) {
		w->err = hb_fail(w->e, errno, "%s: cannot open it: %s; name a file that is there",
			path, strerror(errno));
	} else if (text == NULL) {
		no_memory(w);
	} else {
		n = fread(text, 1, room, f);
		if (ferror(f))
			w->err = hb_fail(
				w->e, errno, "%s: cannot read it: %s", name, strerror(errno));
		else
			v = text_of(w, name, text, n);
	}
	if (f != NULL && !standard)
		fclose(f);
	free(text);
	return v;
}

/* ---- single words --------------------------------------------------------------------- */

static json_t *
number_of(struct words *w, const struct hb_arg *a, const char *word)
{
	uint64_t n;
	int err = hb_parse_u64(word, a->min, a->max, &n);

	if (err == 0)
		return n <= INT64_MAX ? json_integer((json_int_t)n) : json_string(word);
	w->err = hb_fail(w->e, EINVAL,
		"%s: %s '%.60s' is no whole number from %llu to %llu; give one", w->command->name,
		a->shown, word, (unsigned long long)a->min, (unsigned long long)a->max);
	return NULL;
}

/* "odds=0.01". A file's path is none, as long as something else than a key's name stands before its
 * "=". */
static bool
is_key_value(const char *word)
{
	const char *p = word;

	while (isalnum((unsigned char)*p) || *p == '_' || *p == '.' || *p == '-')
		p++;
	return p != word && *p == '=';
}

static json_t *
keys_of(struct words *w, const struct hb_arg *a)
{
	json_t *keys = json_object();

	for (; w->argc > 0; w->argc--, w->argv++) {
		const char *word = w->argv[0], *value = strchr(word, '=');
		char name[64];

		if (!is_key_value(word) || value - word >= (ptrdiff_t)sizeof(name)) {
			w->err = hb_fail(w->e, EINVAL,
				"%s: '%.60s' is not of the form %s; see: help %s", w->command->name,
				word, a->shown, w->command->name);
			break;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(value - word), word);
		if (json_object_get(keys, name) != NULL) {
			w->err = hb_fail(w->e, EINVAL, "%s: %s= stands there twice; leave one out",
				w->command->name, name);
			break;
		}
		if (json_object_set_new(keys, name, json_string(value + 1)) != 0) {
			w->err = hb_fail(w->e, EILSEQ, "%s: %s: the value is not UTF-8",
				w->command->name, name);
			break;
		}
	}
	if (w->err == 0)
		return keys;
	json_decref(keys);
	return NULL;
}

/* All that is left, as it was written. */
static json_t *
rest_of(struct words *w)
{
	char text[256];
	size_t n = 0;

	for (; w->argc > 0 && n < sizeof(text); w->argc--, w->argv++)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "%s%s", n == 0 ? "" : " ", w->argv[0]);
	return json_string(text);
}

static json_t *
word_of(struct words *w, const struct hb_arg *a)
{
	const char *word = w->argv[0];
	json_t *v;

	switch (a->kind) {
	case HB_ARG_NUMBER:
		v = number_of(w, a, word);
		break;
	case HB_ARG_FILE:
		v = read_file(w, word);
		break;
	case HB_ARG_KEYS:
		return keys_of(w, a);
	case HB_ARG_REST:
		v = rest_of(w);
		break;
	case HB_ARG_TEXT:
	case HB_ARG_PATH:
	default:
		v = json_string(word);
		break;
	}
	if (v == NULL && w->err == 0)
		w->err = hb_fail(w->e, EILSEQ, "%s: '%.60s' is not UTF-8", w->command->name, word);
	if (w->argc > 0) {
		w->argc--;
		w->argv++;
	}
	return v;
}

static json_t *
words_of(struct words *w, const struct hb_arg *a)
{
	json_t *all;

	if (!a->many)
		return word_of(w, a);
	all = json_array();
	while (w->argc > 0 && w->err == 0) {
		json_t *one = word_of(w, a);

		if (one != NULL)
			json_array_append_new(all, one);
	}
	if (w->err == 0)
		return all;
	json_decref(all);
	return NULL;
}

/* ---- the whole ------------------------------------------------------------------------ */

/* Of a command with two forms, which one the words are. */
static enum hb_form
form_of(const struct words *w)
{
	const struct hb_command *c = w->command;

	if (!hb_command_has_forms(c) || w->argc == 0)
		return HB_FORM_ANY;
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		if (c->arg[i].lead != NULL && w->argc > 1 &&
			strcmp(w->argv[0], c->arg[i].lead) == 0)
			return HB_FORM_KEYS;
	}
	return is_key_value(w->argv[0]) ? HB_FORM_KEYS : HB_FORM_FILE;
}

/* Whether the next word is for this argument. */
static bool
takes(struct words *w, const struct hb_arg *a, enum hb_form form)
{
	if (w->argc == 0 || (a->form != HB_FORM_ANY && a->form != form))
		return false;
	if (a->lead == NULL)
		return true;
	if (w->argc < 2 || strcmp(w->argv[0], a->lead) != 0)
		return false;
	w->argc--;
	w->argv++;
	return true;
}

static void
take_all(struct words *w, json_t *args)
{
	const struct hb_command *c = w->command;
	enum hb_form form = form_of(w);

	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		const struct hb_arg *a = &c->arg[i];
		json_t *v;

		if (!takes(w, a, form))
			continue;
		if ((v = words_of(w, a)) == NULL)
			return;
		if (json_object_set_new(args, a->name, v) != 0) {
			no_memory(w);
			return;
		}
	}
	if (w->argc > 0)
		w->err = hb_fail(w->e, EINVAL, "%s: '%.60s' is one argument too many; see: help %s",
			c->name, w->argv[0], c->name);
}

json_t *
hb_command_args(
	const struct hb_command *c, int argc, char *const *argv, struct hb_error *e, int *err)
{
	struct words w = {.command = c, .argc = argc, .argv = argv, .e = e};
	json_t *args = json_object();

	if (args == NULL)
		no_memory(&w);
	else
		take_all(&w, args);
	if (w.err == 0)
		w.err = hb_command_check(c, args, e);
	if (err != NULL)
		*err = w.err;
	if (w.err == 0)
		return args;
	json_decref(args);
	return NULL;
}
