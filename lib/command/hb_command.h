/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_command: the table of all commands of the control socket. hongbaod checks requests against it,
 * hongbaoctl reads its command line by it; the help, the manual page and the completion are made
 * of it. What is new goes into table.c first.
 *
 * On the wire a command's arguments are an object by their names: HB_ARG_NUMBER an integer or a
 * decimal string (up to 2^64 - 1), HB_ARG_TEXT and HB_ARG_FILE a string, HB_ARG_KEYS an object of
 * strings; one that may be many is an array.
 *
 * No state, nothing is written: any thread.
 */
#ifndef HB_COMMAND_H
#define HB_COMMAND_H

#include "hb_base.h"

#include <jansson.h>

/* A request's longest line, without its newline, and so the longest file that can be sent. */
#define HB_COMMAND_LINE_MAX (1u << 20)

#define HB_COMMAND_ARGS_MAX 3
#define HB_COMMAND_MANY_MAX 65536
#define HB_COMMAND_KEYS_MAX 64

enum hb_right {
	HB_RIGHT_READ,
	HB_RIGHT_CHANGE,
};

enum hb_arg_kind {
	HB_ARG_NUMBER, /* within [min, max] */
	HB_ARG_TEXT,   /* one of `words`, where there are any */
	HB_ARG_FILE,   /* a file's text: hongbaoctl reads it, "-" is its standard input */
	HB_ARG_KEYS,   /* KEY=VALUE, any number of them */
	HB_ARG_PATH,   /* where hongbaoctl writes what is answered; it isn't sent */
	HB_ARG_REST,   /* a text: all words that are left, with a blank between them */
};

enum hb_key_use {
	HB_KEY_OPTIONAL,
	HB_KEY_REQUIRED,
	HB_KEY_WHOLE, /* not a campaign's: of the whole configuration */
};

/* A key that HB_ARG_KEYS takes. */
struct hb_key {
	const char *name;
	const char *value; /* what stands behind the "=", as in a manual: "N" */
	enum hb_key_use use;
	const char *help;
};

/* Some commands have two forms ("config apply FILE", "config apply KEY=VALUE..."), which exclude
 * each other. */
enum hb_form {
	HB_FORM_ANY, /* an argument of either */
	HB_FORM_FILE,
	HB_FORM_KEYS,
};

struct hb_arg {
	const char *name;  /* on the wire; NULL: there is no such argument */
	const char *shown; /* in a usage line: "ID" */
	const char *lead;  /* a word that must stand before it on the command line, or NULL */
	enum hb_arg_kind kind;
	enum hb_form form;
	bool required; /* in its form */
	bool many;     /* the last; one or more words, an array on the wire */
	uint64_t min, max;
	const char *const *words; /* ends with NULL */
	/* Those that the help and the completion name; ends with a NULL name. */
	const struct hb_key *keys;
	bool only_keys; /* there are no others; else hongbaod knows which there are */
	const char *help;
};

struct hb_command {
	const char *name;    /* one word or two: "campaign show" */
	const char *alias;   /* another name, or NULL */
	enum hb_right right; /* see hb_command_right() */
	bool bare_reads;     /* without arguments HB_RIGHT_READ is enough */
	bool streams;	     /* many answers, until the client goes */
	bool local;	     /* hongbaoctl does it by itself; hongbaod answers it too */
	bool asks;	     /* hongbaoctl asks a person before it does it */
	struct hb_arg arg[HB_COMMAND_ARGS_MAX];
	const char *summary; /* half a line, without a full stop */
	const char *help;    /* sentences: what it does, what it changes */
	const char *example; /* a command line behind "hongbaoctl " */
};

extern const struct hb_command hb_commands[];
extern const unsigned hb_commands_count;

/* By name or alias: exactly that, or NULL. */
const struct hb_command *hb_command_find(const char *name);

/* By the first words of a command line: the longest name that fits, two words before one. *used
 * becomes how many words it took. NULL: none. */
const struct hb_command *hb_command_find_words(int argc, char *const *argv, int *used);

/* Its number in hb_commands. */
static inline unsigned
hb_command_index(const struct hb_command *c)
{
	return (unsigned)(c - hb_commands);
}

/* The right that a request needs; args may be NULL. */
static inline enum hb_right
hb_command_right(const struct hb_command *c, const json_t *args)
{
	return c->bare_reads && json_object_size(args) == 0 ? HB_RIGHT_READ : c->right;
}

/* Checks a request's arguments: an object (NULL: an empty one) with nothing unknown, all that is
 * required, and each of its kind. Returns 0 or -EINVAL with the line in e. */
int hb_command_check(const struct hb_command *c, json_t *args, struct hb_error *e);

/* Makes the arguments of the words behind the command's name; reads the file that they name. The
 * result is the caller's and passes hb_command_check(). NULL with the line in e on an error: *err,
 * which may be NULL, becomes -EINVAL (the words), -ENOENT, -EFBIG and the like (the file). */
json_t *hb_command_args(
	const struct hb_command *c, int argc, char *const *argv, struct hb_error *e, int *err);

/* ---- arguments that were checked ----------------------------------------------------- */

/* Returns whether there is one of that name. */
bool hb_command_number(const json_t *args, const char *name, uint64_t *out);
/* A number, however it is written. */
bool hb_command_number_of(const json_t *value, uint64_t *out);
/* NULL when there is none. Lives as long as args. */
const char *hb_command_text(const json_t *args, const char *name);

/* ---- help ---------------------------------------------------------------------------- */

/* The command lines of a form, "config apply [campaign ID] KEY=VALUE...", into out. Returns out.
 * HB_FORM_ANY where the command has one form only. */
const char *hb_command_usage(
	const struct hb_command *c, enum hb_form form, char *out, size_t bytes);

/* Whether it has two forms: HB_FORM_FILE and HB_FORM_KEYS. */
bool hb_command_has_forms(const struct hb_command *c);

/* Text of some lines for a person, to be freed: of one command, or, when c is NULL, the list of
 * all. NULL when there is no memory. */
char *hb_command_help(const struct hb_command *c);

#endif
