/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_notify: tells the service manager how the service is: ready, reloading, stopping, a line of
 * status, alive. It is the protocol of sd_notify(3), datagrams of "NAME=value" lines to the socket
 * that NOTIFY_SOCKET names, and of sd_watchdog_enabled(3), without their library. Without a manager
 * every call does nothing.
 *
 * An hb_notify belongs to one thread. Nothing waits for the manager but what it must not miss
 * (ready, reloading, stopping), and that for 100 ms at most.
 */
#ifndef HB_NOTIFY_H
#define HB_NOTIFY_H

#include "hb_base.h"

#include <sys/socket.h>
#include <sys/un.h>

struct hb_notify {
	int fd;		      /* -1: no manager */
	uint64_t watchdog_us; /* it wants to hear hb_notify_alive() at least so often; 0: never */
	struct sockaddr_un to;
	socklen_t to_bytes;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Returns 0, also where there is no manager,
 * or -errno with e where one is named that cannot be spoken to; n can be used in any case. */
int hb_notify_open(struct hb_notify *n, struct hb_error *e);
void hb_notify_close(struct hb_notify *n);

/* All return 0, or -errno: -EAGAIN when the manager is behind. status: one line for people, as
 * `systemctl status` shows it; what isn't printable in it becomes a blank. */
int hb_notify_ready(struct hb_notify *n, const char *status);
/* To be followed by hb_notify_ready(). */
int hb_notify_reloading(struct hb_notify *n, const char *status);
int hb_notify_stopping(struct hb_notify *n, const char *status);
int hb_notify_status(struct hb_notify *n, const char *status);
int hb_notify_alive(struct hb_notify *n);

#endif
