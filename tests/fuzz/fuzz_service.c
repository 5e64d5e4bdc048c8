/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a stranger sends to the control socket: each line gets one answer, and each answer is a line
 * of JSON. libFuzzer's entry point (-Dfuzzers=true, with clang); replay.c runs the same on files or
 * on lines that it makes up.
 */
#include "fuzz.h"

#include "feed.h"
#include "hb_command.h"

#include <event2/buffer.h>
#include <event2/event.h>

/* Short, so that lines are too long now and then. */
#define LINE_BYTES 120

static struct hb_service *service;

static void
answer(struct hb_ask *ask, void *context)
{
	(void)context;
	hb_ask_answer(ask, json_pack("{s:O}", "args", hb_ask_args(ask)));
}

static void
refuse(struct hb_ask *ask, void *context)
{
	char *text = json_dumps(hb_ask_args(ask), JSON_ENCODE_ANY);

	(void)context;
	/* Cut anywhere. */
	hb_ask_refuse(ask, HB_REFUSAL_REFUSED, text + strlen(text) / 3, "%.*s",
		(int)(strlen(text) / 2), text);
	free(text);
}

static void
on_later(int fd, short what, void *ask)
{
	(void)fd;
	(void)what;
	hb_ask_more(ask, json_pack("{s:i}", "n", 2));
	hb_ask_answer(ask, json_object());
}

static void
answer_later(struct hb_ask *ask, void *context)
{
	struct timeval now = {0};

	(void)context;
	must(!hb_ask_gone(ask) && !hb_ask_peer(ask)->may_change);
	hb_ask_more(ask, json_pack("{s:i}", "n", 1));
	event_base_once(hb_service_base(service), -1, EV_TIMEOUT, on_later, ask, &now);
}

static void
change(struct hb_ask *ask, void *context)
{
	(void)ask;
	(void)context;
	abort(); /* it may only read */
}

static const struct hb_service_command commands[] = {
	{"ping", answer},
	{"pool", answer},
	{"user", refuse},
	{"log level", refuse},
	{"status", answer_later},
	{"watch", answer_later},
	{"campaign pause", change},
	{"deny add", change},
	{"config apply", change},
};

/* How many answers these bytes deserve. */
static unsigned
due(const uint8_t *bytes, size_t n)
{
	unsigned answers = 0;

	while (n > 0) {
		const uint8_t *end = memchr(bytes, '\n', n);
		size_t line = end == NULL ? n : (size_t)(end - bytes);

		answers++;
		/* Too long, or not ended: the connection is closed. */
		if (line > LINE_BYTES || end == NULL)
			break;
		bytes += line + 1;
		n -= line + 1;
	}
	return answers;
}

/* Looks at an answer. Returns whether it is the last one to its request. */
static bool
look_at_answer(const char *line, size_t bytes)
{
	json_t *o = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
	json_t *error = json_object_get(o, "error"), *ok = json_object_get(o, "ok");
	bool last = json_object_get(o, "more") == NULL;

	must(json_integer_value(json_object_get(o, "hongbao")) == 1);
	must(json_is_boolean(ok) && json_is_true(ok) == (error == NULL));
	must((json_object_get(o, "result") != NULL) == (error == NULL));
	if (error != NULL) {
		must(json_string_length(json_object_get(error, "code")) > 0);
		must(json_is_string(json_object_get(error, "text")));
	}
	json_decref(o);
	return last;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hb_service_terms terms = {.commands = commands,
		.commands_count = HB_COUNT_OF(commands),
		.limits.line_bytes = LINE_BYTES};
	size_t bytes;
	unsigned answers = 0;
	char *line;

	if (service == NULL)
		must(hb_service_make(&service, &terms, NULL) == 0);
	if (size < 1 || size > 4096)
		return 0;
	/* The first byte says in what pieces it comes, mostly in one. */
	size_t piece = data[0] % 4 == 3 ? size : 1u + data[0] / 4;
	struct evbuffer *out = evbuffer_new();
	must(hb_conn_feed(service, data + 1, size - 1, piece, out) == 0);
	while ((line = evbuffer_readln(out, &bytes, EVBUFFER_EOL_LF)) != NULL) {
		answers += look_at_answer(line, bytes);
		free(line);
	}
	must(evbuffer_get_length(out) == 0);
	must(answers == due(data + 1, size - 1));
	evbuffer_free(out);
	return 0;
}

static const char *const good[] = {
	"{\"hongbao\":1,\"command\":\"ping\"}\n",
	"{\"hongbao\":1,\"id\":\"a\\u00e9\",\"command\":\"user\",\"args\":{\"user\":"
	"\"12345678901\"}}\n"
	"{\"hongbao\":1,\"id\":2,\"command\":\"pool\",\"args\":{\"campaign\":7}}\n{}",
	"{\"hongbao\":1,\"id\":-1,\"command\":\"status\",\"args\":{}}\n\n[[[[]]]]\n"
	"{\"command\":\"log level\",\"args\":{\"level\":\"debug\"},\"hongbao\":1,\"id\":null}\r\n",
	"{\"hongbao\":1,\"command\":\"deny add\",\"args\":{\"users\":[1,\"2\",3]}}\n"
	"{\"hongbao\":1,\"command\":\"config "
	"apply\",\"args\":{\"campaign\":7,\"keys\":{\"odds\":\"0.5\"}}}\n",
};

size_t
hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX])
{
	if (which >= HB_COUNT_OF(good))
		return 0;
	size_t bytes = strlen(good[which]);
	must(bytes < HB_FUZZ_GOOD_BYTES_MAX);
	out[0] = 3;
	memcpy(out + 1, good[which], bytes);
	return 1 + bytes;
}
