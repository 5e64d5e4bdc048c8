/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * octets: reading, writing and summing bytes of frames as the RFCs say, apart from the code under
 * test. For tests and fuzzers.
 */
#ifndef HB_TEST_OCTETS_H
#define HB_TEST_OCTETS_H

#include <stddef.h>
#include <stdint.h>

static inline unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071: the one's complement sum of n bytes in words of two, carries around as it goes;
 * complemented by who writes it. */
static inline unsigned
sum16(unsigned sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 == 0 ? (unsigned)p[i] << 8 : p[i];
		sum = (sum & 0xFFFF) + (sum >> 16);
	}
	return sum;
}

#endif
