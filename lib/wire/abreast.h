/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wire.c and the instruction sets of eight frames abreast tell each other. So far there is one
 * that makes it worth while.
 */
#ifndef HB_ABREAST_H
#define HB_ABREAST_H

#include "hb_wire.h"

#ifdef __x86_64__
bool parse_abreast_avx512(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at);
uint64_t verify_abreast_avx512(
	const struct hb_keyring *keys, const struct hb_words *w, struct hb_request *r, unsigned n);
void reply_abreast_avx512(const struct hb_request *r, const struct hb_reply *reply,
	const uint32_t *seal, const uint8_t port_mac[6]);
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#include <immintrin.h>

/* Writes two words to the same place of eight requests, `at` in the first; a holds the first words
 * of all of them and b the second ones. */
static inline void
put_pairs(void *at, __m512i a, __m512i b)
{
	const __m512i half[2] = {_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)};
	uint8_t *p = at;

	for (unsigned odd = 0; odd < 2; odd++, p += sizeof(struct hb_request)) {
		const size_t two = 2 * sizeof(struct hb_request);

		_mm_storeu_si128((__m128i *)p, _mm512_castsi512_si128(half[odd]));
		_mm_storeu_si128((__m128i *)(p + two), _mm512_extracti64x2_epi64(half[odd], 1));
		_mm_storeu_si128((__m128i *)(p + 2 * two), _mm512_extracti64x2_epi64(half[odd], 2));
		_mm_storeu_si128((__m128i *)(p + 3 * two), _mm512_extracti64x2_epi64(half[odd], 3));
	}
}

#endif

#endif
