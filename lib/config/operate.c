/* SPDX-License-Identifier: BSD-3-Clause */
/* What the operators use and see: the control socket, metrics, the log, overload, idling. */
#include "sense.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SOCKET_NAME "control.sock"
#define METRICS_DEFAULT "127.0.0.1:9180"

/* ---- the control socket ------------------------------------------------------------- */

/* A user's or a group's name, or a number: what no command line or list would take apart. */
static void
take_name(struct hb_reading *r, struct hb_spot at, const char *name, const char *text,
	char to[HB_NAME_BYTES])
{
	if (name[0] == '\0' || name[0] == '-' || strpbrk(name, " \t:,/@") != NULL)
		hb_wrong(r, at, "%s is not a name", hb_quote(&r->doc.lines, text).s);
	snprintf(to, HB_NAME_BYTES, "%s", text);
}

static void
take_changers(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_control *raw)
{
	const struct hb_node *entry = hb_node_child(n, "change");
	struct hb_control_config *c = &r->c->control;

	entry = entry != NULL ? entry->first : NULL;
	for (unsigned i = 0; i < raw->change_count && r->err == 0; i++, entry = entry->next) {
		const char *who = raw->change[i];

		take_name(r, (struct hb_spot){.node = entry}, who + (who[0] == '@'), who,
			c->change[i]);
	}
	c->changes = raw->change_count;
}

/* The path that a socket is bound to has less room than a path. */
static void
take_socket(struct hb_reading *r, const struct hb_node *n, const char *path)
{
	const struct sockaddr_un *un = NULL;
	char *to = r->c->control.socket;
	struct stat st;

	hb_take_path(r, n, "socket", path, to);
	if (r->err == 0 && strlen(to) >= sizeof(un->sun_path))
		hb_wrong(r, (struct hb_spot){.node = n, .child = "socket"},
			"%s has %zu bytes with its directory", hb_quote(&r->doc.lines, to).s,
			strlen(to));
	if (r->err == 0 && lstat(to, &st) == 0 && !S_ISSOCK(st.st_mode))
		hb_wrong(r,
			(struct hb_spot){.node = n,
				.child = "socket",
				.right = "name a path that nothing else has"},
			"%s is there and is no socket", hb_quote(&r->doc.lines, to).s);
}

bool
hb_socket_is_default(const struct hb_config *c)
{
	char path[PATH_MAX];

	return hb_path_in(path, sizeof(path), c->journal, SOCKET_NAME) == 0 &&
	       strcmp(path, c->control.socket) == 0;
}

void
hb_take_control(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "control");
	const struct hb_raw_control *raw = &r->raw->control;
	struct hb_control_config *c = &r->c->control;

	if (raw->group != NULL)
		take_name(r, (struct hb_spot){.node = n, .child = "group"}, raw->group, raw->group,
			c->group);
	take_changers(r, n, raw);
	if (raw->socket != NULL)
		take_socket(r, n, raw->socket);
	else if (hb_path_in(c->socket, sizeof(c->socket), r->c->journal, SOCKET_NAME) != 0)
		hb_wrong(r, (struct hb_spot){.node = r->doc.lines.root, .child = "journal"},
			"has no room for a file of its own in a path of %d bytes", PATH_MAX - 1);
}

/* ---- metrics ------------------------------------------------------------------------ */

/* "127.0.0.1:9180" or "[::1]:9180". */
static bool
is_endpoint(const char *text)
{
	char address[HB_NAME_BYTES];
	const char *colon = strrchr(text, ':');
	bool ipv6 = text[0] == '[';
	uint8_t bytes[16];
	uint64_t port;

	if (colon == NULL || (ipv6 && (colon == text + 1 || colon[-1] != ']')))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(colon - text) - 2 * ipv6, text + ipv6);
	return inet_pton(ipv6 ? AF_INET6 : AF_INET, address, bytes) == 1 &&
	       hb_parse_u64(colon + 1, 0, UINT16_MAX, &port) == 0;
}

void
hb_take_metrics(struct hb_reading *r)
{
	const char *text = r->raw->metrics != NULL ? r->raw->metrics : METRICS_DEFAULT;
	struct hb_config *c = r->c;

	c->metrics_given = r->raw->metrics != NULL;
	if (strcmp(text, "off") == 0)
		return;
	if (!is_endpoint(text))
		hb_wrong(r, (struct hb_spot){.node = r->doc.lines.root, .child = "metrics"},
			"%s is not an address with its port", hb_quote(&r->doc.lines, text).s);
	snprintf(c->metrics, sizeof(c->metrics), "%s", text);
}

/* ---- the rest ----------------------------------------------------------------------- */

void
hb_take_log_level(struct hb_reading *r)
{
	if (r->raw->log.level != 0)
		r->c->log_level = (unsigned)r->raw->log.level - 1;
}

void
hb_take_log_file(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "log");
	struct stat st;

	if (r->raw->log.file == NULL)
		return;
	hb_take_path(r, n, "file", r->raw->log.file, r->c->log_file);
	if (r->err == 0 && stat(r->c->log_file, &st) == 0 && S_ISDIR(st.st_mode))
		hb_wrong(r, (struct hb_spot){.node = n, .child = "file"}, "%s is a directory",
			hb_quote(&r->doc.lines, r->c->log_file).s);
}

void
hb_take_overload(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "overload");
	const struct hb_raw_overload *raw = &r->raw->overload;

	if (raw->shed != NULL)
		r->c->shed = *raw->shed;
	r->c->busy_wait_ms =
		(uint32_t)hb_take(r, n, "wait", raw->wait, r->c->busy_wait_ms, 0, UINT32_MAX);
}

void
hb_take_idle(struct hb_reading *r)
{
	if (r->raw->idle != 0)
		r->c->idle_sleep = r->raw->idle == HB_RAW_IDLE_SLEEP;
}
