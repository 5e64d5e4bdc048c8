/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of UNIX sockets, by either end. */
#ifndef HB_SERVICE_ADDRESS_H
#define HB_SERVICE_ADDRESS_H

#include "hb_base.h"

#include <sys/socket.h>
#include <sys/un.h>

/* A place in the file system: a directory that is held open, and a name in it, so that every step
 * works on the same one whatever is renamed meanwhile. */
struct hb_place {
	int directory; /* O_PATH; -1: none */
	char name[256];
	const char *path; /* as given */
};

/* Returns 0 or -errno with e. */
int hb_place_open(struct hb_place *p, const char *path, struct hb_error *e);
void hb_place_close(struct hb_place *p);

/* The address of the socket there: its path, or where that is too long one through /proc/self/fd.
 * Returns 0, or -ENAMETOOLONG when the name alone doesn't fit. */
int hb_place_address(const struct hb_place *p, struct sockaddr_un *a, struct hb_error *e);

#endif
