/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources: sd_notify(3) for the variables and for NOTIFY_SOCKET, whose "@" stands for the 0 that an
 * abstract name begins with; sd_watchdog_enabled(3) for WATCHDOG_USEC and WATCHDOG_PID; both of
 * systemd 252. MONOTONIC_USEC beside RELOADING=1 is asked for from 253 on, by Type=notify-reload.
 */
#include "hb_notify.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How long the manager may keep us waiting for what it must not miss. */
#define PATIENCE_US 100000

#define MESSAGE_BYTES 1024

static int
read_address(struct hb_notify *n, const char *name, struct hb_error *e)
{
	size_t bytes = strlen(name);

	n->to.sun_family = AF_UNIX;
	if (name[0] != '/' && name[0] != '@')
		return hb_fail(e, EAFNOSUPPORT,
			"NOTIFY_SOCKET=%s: is neither a path nor an abstract name; the service "
			"manager will not learn that this service is ready",
			name);
	if (bytes < 2 || bytes >= sizeof(n->to.sun_path))
		return hb_fail(e, EINVAL,
			"NOTIFY_SOCKET=%s: has %zu bytes, not 2 to %zu; the service manager will "
			"not learn that this service is ready",
			name, bytes, sizeof(n->to.sun_path) - 1);
	memcpy(n->to.sun_path, name, bytes);
	if (name[0] == '@')
		n->to.sun_path[0] = '\0';
	n->to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	return 0;
}

/* How often the manager wants a sign of life: of this process, not of one that it comes from. */
static uint64_t
read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us, whose;

	if (usec == NULL || hb_parse_u64(usec, 1, UINT64_MAX - 1, &us) != 0)
		return 0;
	if (pid != NULL &&
		(hb_parse_u64(pid, 1, INT32_MAX, &whose) != 0 || whose != (uint64_t)getpid()))
		return 0;
	return us;
}

int
hb_notify_open(struct hb_notify *n, struct hb_error *e)
{
	const struct timeval patience = {.tv_usec = PATIENCE_US};
	const char *name = getenv("NOTIFY_SOCKET");
	int err;

	*n = (struct hb_notify){.fd = -1};
	if (name == NULL || name[0] == '\0')
		return 0;
	if ((err = read_address(n, name, e)) != 0)
		return err;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return hb_fail(
			e, errno, "NOTIFY_SOCKET=%s: no socket for it: %s", name, strerror(errno));
	setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	n->watchdog_us = read_watchdog();
	return 0;
}

void
hb_notify_close(struct hb_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static int
send_message(struct hb_notify *n, int flags, const char *text)
{
	ssize_t done;

	if (n->fd < 0)
		return 0;
	do
		done = sendto(n->fd, text, strlen(text), flags | MSG_NOSIGNAL,
			(const struct sockaddr *)&n->to, n->to_bytes);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : 0;
}

/* Sends a state, if any, and a status, in which a newline would begin another variable. */
static int
send_state(struct hb_notify *n, int flags, const char *state, const char *status)
{
	char text[MESSAGE_BYTES];
	int at = snprintf(text, sizeof(text), "%sSTATUS=", state);

	snprintf(text + at, sizeof(text) - (size_t)at, "%s", status);
	for (char *p = text + at; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	}
	return send_message(n, flags, text);
}

int
hb_notify_ready(struct hb_notify *n, const char *status)
{
	return send_state(n, 0, "READY=1\n", status);
}

int
hb_notify_reloading(struct hb_notify *n, const char *status)
{
	char state[64];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		(unsigned long long)(hb_mono_ns() / 1000));
	return send_state(n, 0, state, status);
}

int
hb_notify_stopping(struct hb_notify *n, const char *status)
{
	return send_state(n, 0, "STOPPING=1\n", status);
}

int
hb_notify_status(struct hb_notify *n, const char *status)
{
	return send_state(n, MSG_DONTWAIT, "", status);
}

int
hb_notify_alive(struct hb_notify *n)
{
	return send_message(n, MSG_DONTWAIT, "WATCHDOG=1");
}
