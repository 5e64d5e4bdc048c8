/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_steering: how a NIC's ordinary RSS brings each request to the core that owns it.
 *
 * The Toeplitz hash of an IPv4/UDP frame runs over source address, destination address, source port
 * and destination port, and takes in, for each bit i that is set there, the 32 bits of the key from
 * bit i on (Microsoft, "RSS hashing types"; DPDK's rte_softrss()). With a key that is all zero but
 * for bit 120, only the input bits 89 to 120 count, and the input ends with bit 95: so the hash is
 * the low 7 bits of the destination port in reversed order, whatever the rest is. They are the
 * request's lane, since the base port is a multiple of 4096.
 *
 * Plain computation, any thread: the ports set it, the replayer and the tests compute with it.
 */
#ifndef HB_STEERING_H
#define HB_STEERING_H

#include "hb_wire.h"

/* A RETA shorter than this can't tell the lanes apart. */
#define HB_RSS_RETA_MIN HB_LANES

/* A key shorter than this has no bit 120; what the hash of 12 bytes takes is 16. */
#define HB_RSS_KEY_MIN 16

/* What most NICs take, and the most that any driver of DPDK has room for, generously. */
#define HB_RSS_KEY_BYTES 40
#define HB_RSS_KEY_MAX 128

/* The key, of as many bytes as the NIC takes. */
static inline void
hb_rss_key(uint8_t *key, unsigned bytes)
{
	memset(key, 0, bytes);
	key[120 / 8] = 0x80 >> 120 % 8;
}

/* The hash of an IPv4/UDP frame to this destination port, under that key. */
static inline uint32_t
hb_rss_hash(uint16_t port)
{
	uint32_t lane = port % HB_LANES, hash = 0;

	for (unsigned bit = 0; bit < 7; bit++)
		hash |= (lane >> bit & 1) << (6 - bit);
	return hash;
}

/* The lane whose requests come by an entry of the RETA: reversing 7 bits twice is nothing. Entries
 * from 128 up are never hit by IPv4. */
static inline unsigned
hb_rss_lane(unsigned entry)
{
	return hb_rss_hash((uint16_t)entry);
}

#endif
