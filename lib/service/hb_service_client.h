/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other end of the control socket (hb_service.h), for programs that have no service of their
 * own: no libevent, no state; any thread.
 */
#ifndef HB_SERVICE_CLIENT_H
#define HB_SERVICE_CLIENT_H

#include "hb_base.h"

/* Connects to the socket at a path of any length. Returns a blocking descriptor (close-on-exec) or
 * -errno with the line in e: -ENOENT (no such socket), -ECONNREFUSED (its process is dead), -EACCES
 * (no right to), -ENOTSOCK, -ETIMEDOUT (the daemon took nobody in for 5 s). */
int hb_service_connect(const char *path, struct hb_error *e);

#endif
