/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words in a frame's bytes, and the Internet checksum over them (RFC 1071): a one's complement sum
 * of words of 16 bits. It may be taken over wider words and in host order, and folded at the end
 * (2A, 2B); here it is kept in 64 bits with the carry brought round.
 *
 * Computation only, for lib/wire alone; any thread.
 */
#ifndef HB_BYTES_H
#define HB_BYTES_H

#include "hb_base.h"

static inline uint64_t
load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t
load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
store16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- the checksum -------------------------------------------------------------------- */

static inline uint64_t
sum_add(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

/* Adds n bytes in host order. */
static inline uint64_t
sum_bytes(uint64_t sum, const uint8_t *p, uint32_t n)
{
	uint64_t last = 0;

	for (; n >= 8; n -= 8, p += 8)
		sum = sum_add(sum, load64(p));
	if (n >= 4) {
		sum = sum_add(sum, load32(p));
		n -= 4;
		p += 4;
	}
	if (n == 0)
		return sum;
	memcpy(&last, p, n);
	return sum_add(sum, last);
}

/* Folds to 16 bits, in the byte order in which it was read: a half added to the other carries into
 * the upper one of the two. */
static inline uint16_t
sum_fold(uint64_t sum)
{
	sum += sum << 32 | sum >> 32;
	uint32_t half = (uint32_t)(sum >> 32);

	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

/* The sum of the pseudo-header's words but for the addresses (RFC 768, RFC 8200 8.1). */
static inline uint64_t
sum_pseudo(uint8_t proto, uint16_t n)
{
	return htobe16(n) + (uint64_t)htobe16(proto);
}

/* The sum of what IP carries, with its pseudo-header. `addresses` is both IP addresses. */
static inline uint64_t
transport_sum(uint8_t proto, const uint8_t *addresses, uint32_t address_bytes, const uint8_t *bytes,
	uint16_t n)
{
	uint64_t sum = sum_bytes(sum_pseudo(proto, n), addresses, address_bytes);

	return sum_bytes(sum, bytes, n);
}

#endif
