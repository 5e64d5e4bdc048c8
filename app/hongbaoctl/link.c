/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include "hb_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The longest answer that is taken: a list of all campaigns and barred users has room in it. */
#define ANSWER_MAX (64u << 20)
#define PIECE (64u << 10)

/* ---- the address ---------------------------------------------------------------------- */

/* A socket's address holds 107 bytes; a longer path goes by its directory, which *directory holds
 * open meanwhile (-1: it needn't). */
static int
make_address(const char *path, struct sockaddr_un *a, int *directory, struct hb_error *e)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];
	int n;

	*directory = -1;
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) < sizeof(a->sun_path)) {
		memcpy(a->sun_path, path, strlen(path));
		return 0;
	}
	n = snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
		slash == NULL ? "." : path);
	if (n >= (int)sizeof(parent))
		return hb_fail(e, ENAMETOOLONG, "%.60s...: no path is that long", path);
	*directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*directory < 0)
		return hb_fail(e, errno, "%s: cannot open it: %s; is hongbaod running?", parent,
			strerror(errno));
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", *directory,
		slash == NULL ? path : slash + 1);
	if (n < (int)sizeof(a->sun_path))
		return 0;
	close(*directory);
	*directory = -1;
	return hb_fail(e, ENAMETOOLONG,
		"%s: the name in its directory is too long for a socket; "
		"name another with -s",
		path);
}

/* ---- connecting ----------------------------------------------------------------------- */

static int
left_ms(uint64_t deadline)
{
	uint64_t now = hb_mono_ns();

	/* Rounded up, so that a wait doesn't end before its time and turn into a busy loop. */
	return now >= deadline ? 0 : (int)((deadline - now) / 1000000 + 1);
}

static int
cannot_connect(const char *path, int err, struct hb_error *e)
{
	if (err == EAGAIN || err == EINPROGRESS)
		err = ETIMEDOUT;
	if (err == EACCES || err == EPERM)
		return hb_fail(
			e, err, "%s: you may not connect; be in the socket's group, or root", path);
	if (err == ECONNREFUSED)
		return hb_fail(e, err, "%s: nobody listens there; is hongbaod running?", path);
	return hb_fail(e, err,
		"%s: cannot connect: %s; is hongbaod running, and is that its socket?", path,
		strerror(err));
}

int
link_open(struct link *l, const char *path, uint64_t deadline, struct hb_error *e)
{
	struct sockaddr_un a;
	int ms = left_ms(deadline), directory;
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 + 1};
	int err = make_address(path, &a, &directory, e);

	*l = (struct link){.fd = -1};
	if (err != 0)
		return err;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Connecting waits while as many wait already as the daemon lets. */
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
		connect(l->fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
		fcntl(l->fd, F_SETFL, O_NONBLOCK) != 0)
		err = cannot_connect(path, errno, e);
	if (directory >= 0)
		close(directory);
	if (err != 0)
		link_close(l);
	return err;
}

void
link_close(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->in);
	*l = (struct link){.fd = -1};
}

/* ---- out ------------------------------------------------------------------------------ */

/* Returns whether it can go on before the deadline. */
static bool
await(const struct link *l, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = l->fd, .events = events};
	int n;

	while ((n = poll(&p, 1, left_ms(deadline))) < 0 && errno == EINTR)
		;
	return n > 0;
}

static int
send_all(struct link *l, const char *text, size_t bytes, uint64_t deadline, struct hb_error *e)
{
	while (bytes > 0) {
		ssize_t n = send(l->fd, text, bytes, MSG_NOSIGNAL);

		if (n >= 0) {
			text += n;
			bytes -= (size_t)n;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			/* Why may have been told before. */
			return 0;
		} else if (errno != EAGAIN && errno != EINTR) {
			return hb_fail(e, errno, "cannot send the request: %s", strerror(errno));
		} else if (!await(l, POLLOUT, deadline)) {
			return hb_fail(
				e, ETIMEDOUT, "the daemon doesn't take the request; is it well?");
		}
	}
	return 0;
}

int
link_ask(struct link *l, json_int_t id, const char *command, json_t *args, uint64_t deadline,
	struct hb_error *e)
{
	json_t *o = json_pack("{s:i, s:I, s:s}", "hongbao", 1, "id", id, "command", command);
	char *text = NULL;
	int err;

	if (args != NULL && json_object_size(args) > 0)
		json_object_set(o, "args", args);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return hb_fail(e, ENOMEM, "no memory for the request");
	size_t n = strlen(text);
	if (n > HB_COMMAND_LINE_MAX) {
		err = hb_fail(e, EMSGSIZE,
			"the request has %zu bytes, more than the %u that can be sent; shorten the "
			"file, or use: config reload",
			n, HB_COMMAND_LINE_MAX);
	} else {
		text[n] = '\n';
		err = send_all(l, text, n + 1, deadline, e);
	}
	free(text);
	return err;
}

/* ---- in ------------------------------------------------------------------------------- */

static int
not_hongbaod(struct hb_error *e, const char *what)
{
	return hb_fail(
		e, EPROTO, "what answers there is no hongbaod that this program knows: %s", what);
}

/* Takes the line apart; it has no newline any more. */
static int
read_answer(struct answer *a, const char *line, size_t bytes, struct hb_error *e)
{
	json_t *error, *version;

	*a = (struct answer){.all = json_loadb(line, bytes, 0, NULL)};
	version = json_object_get(a->all, "hongbao");
	if (!json_is_integer(version))
		return not_hongbaod(e, "its answer is no object with \"hongbao\" in it");
	if (json_integer_value(version) != 1)
		return not_hongbaod(e, "it speaks another version of the protocol");
	a->id = json_integer_value(json_object_get(a->all, "id"));
	a->ok = json_is_true(json_object_get(a->all, "ok"));
	a->more = json_is_true(json_object_get(a->all, "more"));
	a->result = json_object_get(a->all, "result");
	if (a->ok)
		return a->result != NULL ? 0 : not_hongbaod(e, "its answer has no result");
	error = json_object_get(a->all, "error");
	a->code = json_string_value(json_object_get(error, "code"));
	a->text = json_string_value(json_object_get(error, "text"));
	a->remedy = json_string_value(json_object_get(error, "try"));
	if (a->code == NULL || a->text == NULL)
		return not_hongbaod(e, "its error has no code or no text");
	return 0;
}

/* Reads what has come. Returns 1, 0 (nothing), or -errno. */
static int
fill(struct link *l, struct hb_error *e)
{
	if (l->room - l->used < PIECE) {
		if (l->used > ANSWER_MAX)
			return not_hongbaod(e, "its answer doesn't end");
		size_t room = l->room == 0 ? 2 * PIECE : 2 * l->room;
		char *in = realloc(l->in, room);
		if (in == NULL)
			return hb_fail(e, ENOMEM, "no memory for the answer");
		l->in = in;
		l->room = room;
	}
	ssize_t n = recv(l->fd, l->in + l->used, l->room - l->used, 0);
	if (n > 0) {
		l->used += (size_t)n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return hb_fail(e, ECONNRESET, "the daemon closed the connection %s; did it end?",
		l->used > 0 ? "in the middle of its answer" : "without an answer");
}

int
link_take(struct link *l, struct answer *a, struct hb_error *e)
{
	for (;;) {
		char *end = l->used == l->scanned
				    ? NULL
				    : memchr(l->in + l->scanned, '\n', l->used - l->scanned);
		if (end != NULL) {
			size_t line = (size_t)(end - l->in);
			int err = read_answer(a, l->in, line, e);

			l->used -= line + 1;
			l->scanned = 0;
			memmove(l->in, end + 1, l->used);
			if (err != 0)
				answer_free(a);
			return err != 0 ? err : 1;
		}
		l->scanned = l->used;
		int n = fill(l, e);
		if (n <= 0)
			return n;
	}
}

int
link_await(struct link *l, struct answer *a, uint64_t deadline, struct hb_error *e)
{
	for (;;) {
		int n = link_take(l, a, e);

		if (n != 0)
			return n > 0 ? 0 : n;
		if (!await(l, POLLIN, deadline))
			return hb_fail(e, ETIMEDOUT,
				"the daemon took the request and doesn't answer in time; wait "
				"longer with --timeout");
	}
}

void
answer_free(struct answer *a)
{
	json_decref(a->all);
	*a = (struct answer){0};
}
