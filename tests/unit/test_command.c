/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of commands: what it promises of itself, the check of requests, command lines.
 */
#include "hb_command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 8

/* Splits a line at its blanks, in place. */
static int
split(char *line, char **word)
{
	int n = 0;

	for (char *at = strtok(line, " "); at != NULL; at = strtok(NULL, " ")) {
		assert_true(n < WORDS_MAX * 2);
		word[n++] = at;
	}
	return n;
}

/* The arguments of a command line as JSON, or the error's line. */
static const char *
args_of(const char *text, int *err)
{
	static char out[1024];
	char line[512], *word[WORDS_MAX * 2];
	struct hb_error e;
	int used;

	snprintf(line, sizeof(line), "%s", text);
	int n = split(line, word);
	const struct hb_command *c = hb_command_find_words(n, word, &used);
	assert_non_null(c);
	json_t *args = hb_command_args(c, n - used, word + used, &e, err);
	char *json = args == NULL ? NULL : json_dumps(args, JSON_COMPACT);
	snprintf(out, sizeof(out), "%s", json == NULL ? e.text : json);
	free(json);
	json_decref(args);
	return out;
}

static void
expect_args(const char *line, const char *json)
{
	int err;
	const char *got = args_of(line, &err);

	if (err != 0 || strcmp(got, json) != 0)
		fail_msg("%s: %d %s, not %s", line, err, got, json);
}

static void
expect_error(const char *line, int wanted, const char *part)
{
	int err;
	const char *got = args_of(line, &err);

	if (err != wanted || strstr(got, part) == NULL)
		fail_msg("%s: %d %s, not %d with '%s'", line, err, got, wanted, part);
}

/* What the check says to args as JSON; "" when they are good. */
static const char *
checked(const char *command, const char *json)
{
	static struct hb_error e;
	json_t *args = json_loads(json, JSON_DECODE_ANY, NULL);
	const struct hb_command *c = hb_command_find(command);

	assert_non_null(args);
	assert_non_null(c);
	e.text[0] = '\0';
	int err = hb_command_check(c, args, &e);
	assert_int_equal(err, e.text[0] == '\0' ? 0 : -EINVAL);
	json_decref(args);
	return e.text;
}

/* ---- the table ------------------------------------------------------------------------ */

static void
check_arg_entry(const struct hb_command *c, unsigned i)
{
	const struct hb_arg *a = &c->arg[i];
	bool last = i + 1 == HB_COMMAND_ARGS_MAX || a[1].name == NULL;

	assert_non_null(a->shown);
	assert_non_null(a->help);
	if (a->kind == HB_ARG_NUMBER)
		assert_true(a->max > a->min);
	if (a->many || a->kind == HB_ARG_KEYS || a->kind == HB_ARG_REST)
		assert_true(last);
	if (a->only_keys)
		assert_non_null(a->keys);
	/* A command line can only say what is required first. */
	if (a->required && i > 0 && a[-1].form == a->form && a[-1].lead == NULL)
		assert_true(a[-1].required);
}

static void
every_command_is_whole(void **state)
{
	(void)state;
	assert_true(hb_commands_count > 30);
	for (unsigned i = 0; i < hb_commands_count; i++) {
		const struct hb_command *c = &hb_commands[i];

		assert_true(strlen(c->summary) > 8 && strlen(c->summary) < 60);
		assert_true(c->summary[strlen(c->summary) - 1] != '.');
		assert_int_equal(c->help[strlen(c->help) - 1], '.');
		assert_ptr_equal(hb_command_find(c->name), c);
		assert_int_equal(hb_command_index(c), i);
		if (c->alias != NULL)
			assert_ptr_equal(hb_command_find(c->alias), c);
		for (unsigned a = 0; a < HB_COMMAND_ARGS_MAX && c->arg[a].name != NULL; a++)
			check_arg_entry(c, a);
		char *help = hb_command_help(c);
		assert_non_null(strstr(help, c->example));
		free(help);
	}
}

/* The examples are command lines that work, but for files that aren't here. */
static void
every_example_is_right(void **state)
{
	(void)state;
	for (unsigned i = 0; i < hb_commands_count; i++) {
		const char *line = hb_commands[i].example;
		int err;

		if (line[0] == '-')
			line = strchr(line, ' ') + 1;
		char text[256];
		snprintf(text, sizeof(text), "%s", line);
		text[strcspn(text, ">")] = '\0';
		assert_true(strncmp(text, hb_commands[i].name, strlen(hb_commands[i].name)) == 0);
		const char *got = args_of(text, &err);
		if (err != 0 && err != -ENOENT)
			fail_msg("%s: %s", text, got);
	}
}

static void
names_are_found_as_written(void **state)
{
	char *show[] = {"campaign", "show", "7"}, *status[] = {"status", "x"};
	char *alone[] = {"campaign"}, *half[] = {"camp", "show"}, *none[] = {"", ""};
	int used;

	(void)state;
	assert_ptr_equal(hb_command_find_words(3, show, &used), hb_command_find("campaign show"));
	assert_int_equal(used, 2);
	assert_ptr_equal(hb_command_find_words(2, status, &used), hb_command_find("status"));
	assert_int_equal(used, 1);
	assert_null(hb_command_find_words(1, alone, &used));
	assert_null(hb_command_find_words(2, half, &used));
	assert_null(hb_command_find_words(2, none, &used));
	assert_null(hb_command_find_words(0, none, &used));
	assert_null(hb_command_find("campaign  show"));
	assert_ptr_equal(hb_command_find("top-up"), hb_command_find("campaign top-up"));
}

static void
rights_are_the_commands(void **state)
{
	static const char *const reads[] = {"status", "stats", "campaign list", "campaign show",
		"pool", "latency", "journal", "steering", "report", "config show", "config check",
		"config diff", "config versions", "deny list", "user", "packet list", "packet show",
		"key list", "lease list", "watch", "ping", "help"};
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(reads); i++)
		assert_int_equal(hb_command_find(reads[i])->right, HB_RIGHT_READ);
	for (unsigned i = 0; i < hb_commands_count; i++)
		n += hb_commands[i].right == HB_RIGHT_READ;
	assert_int_equal(n, HB_COUNT_OF(reads));
	json_t *level = json_pack("{s:s}", "level", "info");
	const struct hb_command *log = hb_command_find("log level");
	assert_int_equal(hb_command_right(log, NULL), HB_RIGHT_READ);
	assert_int_equal(hb_command_right(log, level), HB_RIGHT_CHANGE);
	assert_int_equal(hb_command_right(hb_command_find("config undo"), NULL), HB_RIGHT_CHANGE);
	json_decref(level);
}

/* ---- requests ------------------------------------------------------------------------- */

static void
good_requests_pass(void **state)
{
	(void)state;
	assert_string_equal(checked("status", "{}"), "");
	assert_string_equal(checked("campaign show", "{\"campaign\":7}"), "");
	assert_string_equal(checked("campaign show", "{\"campaign\":\"65535\"}"), "");
	assert_string_equal(checked("user", "{\"user\":\"18446744073709551615\"}"), "");
	assert_string_equal(checked("deny add", "{\"users\":[1,\"2\"]}"), "");
	assert_string_equal(checked("config diff", "{\"text\":\"host: 1\"}"), "");
	assert_string_equal(checked("config diff", "{\"keys\":{\"idle\":\"sleep\"}}"), "");
	assert_string_equal(
		checked("config apply", "{\"campaign\":7,\"keys\":{\"odds\":\"0.1\"}}"), "");
	assert_string_equal(checked("log level", "{\"level\":\"debug\"}"), "");
	assert_string_equal(
		checked("top-up", "{\"campaign\":7,\"keys\":{\"count\":\"1\",\"total\":\"9\"}}"),
		"");
	assert_int_equal(hb_command_check(hb_command_find("status"), NULL, NULL), 0);
}

static void
bad_requests_are_refused_with_the_reason(void **state)
{
	static const char *const bad[][3] = {
		{"status", "[]", "no object"},
		{"status", "7", "no object"},
		{"status", "{\"x\":1}", "no argument 'x'"},
		{"campaign show", "{}", "ID is missing"},
		{"campaign show", "{\"campaign\":0}", "1 to 65535"},
		{"campaign show", "{\"campaign\":65536}", "1 to 65535"},
		{"campaign show", "{\"campaign\":-1}", "1 to 65535"},
		{"campaign show", "{\"campaign\":1.5}", "1 to 65535"},
		{"campaign show", "{\"campaign\":null}", "1 to 65535"},
		{"campaign show", "{\"campaign\":[7]}", "1 to 65535"},
		{"campaign show", "{\"campaign\":\" 7\"}", "1 to 65535"},
		{"user", "{\"user\":\"18446744073709551616\"}", "no whole number"},
		{"deny add", "{\"users\":7}", "as an array"},
		{"deny add", "{\"users\":[]}", "as an array"},
		{"deny add", "{\"users\":[7,\"x\"]}", "no whole number"},
		{"config apply", "{}", "a file or keys"},
		{"config apply", "{\"campaign\":7}", "KEY=VALUE is missing"},
		{"config apply", "{\"text\":\"\",\"keys\":{\"a\":\"b\"}}", "not both"},
		{"config apply", "{\"campaign\":7,\"text\":\"\"}", "not both"},
		{"config apply", "{\"keys\":{}}", "1 to 64 keys"},
		{"config apply", "{\"keys\":{\"odds\":0.5}}", "no text"},
		{"config apply", "{\"text\":7}", "no text"},
		{"log level", "{\"level\":\"loud\"}", "is not known"},
		{"top-up", "{\"campaign\":7,\"keys\":{\"count\":\"1\"}}", "total= is missing"},
		{"top-up",
			"{\"campaign\":7,\"keys\":{\"count\":\"1\",\"total\":\"9\",\"odds\":\"1\"}"
			"}",
			"no key odds"},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		const char *said = checked(bad[i][0], bad[i][1]);

		if (strstr(said, bad[i][2]) == NULL)
			fail_msg("%s %s: '%s'", bad[i][0], bad[i][1], said);
		assert_null(strchr(said, '\n'));
	}
}

/* Whatever was sent, the line stays a line of a decent length. */
static void
errors_quote_no_more_than_a_little(void **state)
{
	char json[4096];
	int n = snprintf(json, sizeof(json), "{\"campaign\":\"");

	(void)state;
	memset(json + n, 'x', 3000);
	snprintf(json + n + 3000, sizeof(json) - 3000 - (size_t)n, "\"}");
	assert_true(strlen(checked("campaign show", json)) < 200);
	assert_non_null(
		strstr(checked("campaign show", "{\"campaign\":\"\\n\\u001b[2J\"}"), "\\n"));
}

static void
numbers_are_read_however_they_are_written(void **state)
{
	json_t *args = json_loads(
		"{\"a\":7,\"b\":\"18446744073709551615\",\"c\":\"x\",\"d\":-1}", 0, NULL);
	uint64_t n = 0;

	(void)state;
	assert_true(hb_command_number(args, "a", &n) && n == 7);
	assert_true(hb_command_number(args, "b", &n) && n == UINT64_MAX);
	assert_false(hb_command_number(args, "c", &n));
	assert_false(hb_command_number(args, "d", &n));
	assert_false(hb_command_number(args, "none", &n));
	assert_string_equal(hb_command_text(args, "c"), "x");
	assert_null(hb_command_text(args, "a"));
	json_decref(args);
}

/* ---- command lines -------------------------------------------------------------------- */

static void
words_become_arguments(void **state)
{
	(void)state;
	expect_args("status", "{}");
	expect_args("stats 1", "{\"worker\":1}");
	expect_args("campaign show 7", "{\"campaign\":7}");
	expect_args("top-up 7 count=5 total=50",
		"{\"campaign\":7,\"keys\":{\"count\":\"5\",\"total\":\"50\"}}");
	expect_args("config diff campaign 7 odds=0.01 password=a=b",
		"{\"campaign\":7,\"keys\":{\"odds\":\"0.01\",\"password\":\"a=b\"}}");
	expect_args("config apply idle=sleep", "{\"keys\":{\"idle\":\"sleep\"}}");
	expect_args("config apply campaign 7 password=",
		"{\"campaign\":7,\"keys\":{\"password\":\"\"}}");
	expect_args("deny add 1 18446744073709551615", "{\"users\":[1,\"18446744073709551615\"]}");
	expect_args("user 9223372036854775807", "{\"user\":9223372036854775807}");
	expect_args("help campaign show", "{\"command\":\"campaign show\"}");
	expect_args("help", "{}");
	expect_args("log level debug", "{\"level\":\"debug\"}");
}

static void
wrong_words_are_refused(void **state)
{
	(void)state;
	expect_error("status now", -EINVAL, "'now' is one argument too many");
	expect_error("campaign show", -EINVAL, "ID is missing");
	expect_error("campaign show x", -EINVAL, "'x' is no whole number from 1 to 65535");
	expect_error("campaign show -1", -EINVAL, "no whole number");
	expect_error("campaign add 7", -EINVAL, "not of the form KEY=VALUE");
	expect_error("campaign add id=7 id=8", -EINVAL, "stands there twice");
	expect_error("campaign add id=7", -EINVAL, "opens= is missing");
	expect_error("config apply", -EINVAL, "a file or keys");
	expect_error("config apply campaign 7", -EINVAL, "KEY=VALUE is missing");
	expect_error("config apply odds=1 new.yaml", -EINVAL, "not of the form");
	expect_error("config apply campaign seven odds=1", -EINVAL, "'seven' is no whole number");
	expect_error("config diff /no/such/file", -ENOENT, "/no/such/file: cannot open it");
	expect_error("config diff /", -EISDIR, "cannot read it");
	expect_error("config apply ./odds=1", -ENOENT, "cannot open it");
	expect_error("deny add", -EINVAL, "USER is missing");
	expect_error("deny add 7 x 8", -EINVAL, "'x' is no whole number");
	expect_error("deny add \xff", -EINVAL, "no whole number");
	expect_error("config apply name=\xff", -EILSEQ, "not UTF-8");
	expect_error("log level loud", -EINVAL, "is not known");
}

static int
of_file(const void *bytes, size_t n, json_t **args, struct hb_error *e)
{
	char path[] = "/tmp/hongbao-test-XXXXXX", *word[] = {path};
	int fd = mkstemp(path), err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
	*args = hb_command_args(hb_command_find("config check"), 1, word, e, &err);
	unlink(path);
	return err;
}

static void
files_are_sent_as_text(void **state)
{
	size_t n = HB_COMMAND_LINE_MAX;
	char *large = malloc(n + 1);
	struct hb_error e;
	json_t *args;

	(void)state;
	assert_int_equal(of_file("host: 1\n", 8, &args, &e), 0);
	assert_string_equal(hb_command_text(args, "text"), "host: 1\n");
	json_decref(args);
	assert_int_equal(of_file("", 0, &args, &e), 0);
	json_decref(args);
	assert_int_equal(of_file("a\0b", 3, &args, &e), -EILSEQ);
	assert_null(args);
	assert_int_equal(of_file("\xc3(", 2, &args, &e), -EILSEQ);
	memset(large, 'x', n + 1);
	assert_int_equal(of_file(large, n, &args, &e), 0);
	json_decref(args);
	assert_int_equal(of_file(large, n + 1, &args, &e), -EFBIG);
	assert_non_null(strstr(e.text, "longer than"));
	free(large);
}

/* ---- help ----------------------------------------------------------------------------- */

static void
usage_and_help_say_it(void **state)
{
	char line[160], tiny[8];
	char *help = hb_command_help(NULL);

	(void)state;
	assert_string_equal(
		hb_command_usage(hb_command_find("campaign show"), HB_FORM_ANY, line, sizeof(line)),
		"campaign show ID");
	assert_string_equal(
		hb_command_usage(hb_command_find("config apply"), HB_FORM_FILE, line, sizeof(line)),
		"config apply FILE");
	assert_string_equal(
		hb_command_usage(hb_command_find("config apply"), HB_FORM_KEYS, line, sizeof(line)),
		"config apply [campaign ID] KEY=VALUE...");
	assert_string_equal(
		hb_command_usage(hb_command_find("deny add"), HB_FORM_ANY, line, sizeof(line)),
		"deny add USER...");
	assert_string_equal(
		hb_command_usage(hb_command_find("pool"), HB_FORM_ANY, tiny, sizeof(tiny)),
		"pool [I");
	for (unsigned i = 0; i < hb_commands_count; i++)
		assert_non_null(strstr(help, hb_commands[i].summary));
	free(help);
	help = hb_command_help(hb_command_find("config apply"));
	assert_non_null(strstr(help, "usage: hongbaoctl config apply FILE\n"));
	assert_non_null(strstr(help, "odds=SHARE"));
	for (char *at = help; *at != '\0'; at += strcspn(at, "\n") + 1)
		assert_true(strcspn(at, "\n") <= 110);
	free(help);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_whole),
		cmocka_unit_test(every_example_is_right),
		cmocka_unit_test(names_are_found_as_written),
		cmocka_unit_test(rights_are_the_commands),
		cmocka_unit_test(good_requests_pass),
		cmocka_unit_test(bad_requests_are_refused_with_the_reason),
		cmocka_unit_test(errors_quote_no_more_than_a_little),
		cmocka_unit_test(numbers_are_read_however_they_are_written),
		cmocka_unit_test(words_become_arguments),
		cmocka_unit_test(wrong_words_are_refused),
		cmocka_unit_test(files_are_sent_as_text),
		cmocka_unit_test(usage_and_help_say_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
