/* SPDX-License-Identifier: BSD-3-Clause */
/* The tag check with AVX-512, built for it whatever the rest is built for. */
#include <stdint.h>

typedef uint64_t word __attribute__((vector_size(64)));

#define LANES 8
#define WORDS 2
#define VERIFY verify_avx512
#include "verify_lanes.h"

#include "abreast.h"

/* The keys of a group's epochs, which are nearly always one. */
static inline void
load_keys(const struct hb_keyring *keys, const uint64_t *first, word *k0, word *k1)
{
	const uint8_t *key = keys->epoch_key[first[0] >> 8 & 0xFF];
	__mmask8 other = 0;

	for (unsigned w = 0; w < WORDS; w++) {
		k0[w] = (word){0} + hb_le64(key);
		k1[w] = (word){0} + hb_le64(key + 8);
		other |= _mm512_test_epi64_mask(
			_mm512_xor_si512(_mm512_load_si512(first + w * LANES),
				_mm512_set1_epi64((long long)first[0])),
			_mm512_set1_epi64(0xFF00));
	}
	for (unsigned i = 0; HB_UNLIKELY(other != 0) && i < GROUP; i++) {
		key = keys->epoch_key[first[i] >> 8 & 0xFF];
		k0[i / LANES][i % LANES] = hb_le64(key);
		k1[i / LANES][i % LANES] = hb_le64(key + 8);
	}
}

/* Shakes that were parsed abreast: their words stand ready, and nothing has to be gathered. */
uint64_t
verify_abreast_avx512(const struct hb_keyring *keys, const struct hb_words *words,
	struct hb_request *r, unsigned n)
{
	uint64_t forged = 0;

	for (unsigned i = 0; i < n; i += GROUP) {
		word m[VERIFY_WORDS_MAX][WORDS], k0[WORDS], k1[WORDS], tag[WORDS];

		memcpy(m[0], &words->first[i], sizeof(m[0]));
		memcpy(m[1], &words->user[i], sizeof(m[1]));
		load_keys(keys, &words->first[i], k0, k1);
		derive(k0, k1, m[1]);
		tags(tag, k0, k1, m, 2);
		for (unsigned w = 0; w < WORDS; w++) {
			unsigned at = i + w * LANES;

			forged |= (uint64_t)_mm512_cmp_epi64_mask((__m512i)tag[w],
					  _mm512_load_si512(&words->tag[at]), _MM_CMPINT_NE)
				  << at;
			if (at < n)
				put_pairs(r[at].key, (__m512i)k0[w], (__m512i)k1[w]);
		}
	}
	return n < 64 ? forged & ((1ull << n) - 1) : forged;
}
