/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HB_FUZZ_LISTEN_H
#define HB_FUZZ_LISTEN_H

#include "hb_wire.h"

/* The host that frames are for. */
static const struct hb_listen listen = {
	.ipv4 = {10, 0, 0, 1},
	.ipv6 = {0xFD, [15] = 1},
	.has_ipv4 = true,
	.has_ipv6 = true,
	.base_port = 8192,
};

#endif
