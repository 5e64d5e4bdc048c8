/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What udp_server and udp_client agree on.
 */
#ifndef HB_BENCH_UDP_H
#define HB_BENCH_UDP_H

#include "hb_wire.h"

#define UDP_CAMPAIGN 7
#define UDP_BATCH_MAX 1024
#define UDP_SOCKETS_MAX 64
#define UDP_BUFFER_BYTES (64 << 20)

/* The epoch key 0 of both. */
static inline void
udp_key(uint8_t key[HB_KEY_BYTES])
{
	for (unsigned i = 0; i < HB_KEY_BYTES; i++)
		key[i] = (uint8_t)i;
}

#endif
