/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tags of a burst, side by side: SipHash-2-4 (Aumasson and Bernstein, 2012) over WORDS vectors
 * of LANES messages each, so that the rounds of one vector fill the waits of the other.
 *
 * Not a header in the usual sense: verify_avx512.c, verify_avx2.c and verify_portable.c each define
 *     word     an unsigned 64-bit integer, or a vector of LANES of them (GCC's vector extensions)
 *     LANES    how many
 *     WORDS    vectors that are worked on at the same time
 *     VERIFY   the name of the function that comes of it
 * and include this. Plain C: the compiler turns it into each instruction set.
 */
#include "verify.h"

#define GROUP (LANES * WORDS)

/* One state of each message. */
struct state {
	word v0[WORDS], v1[WORDS], v2[WORDS], v3[WORDS];
};

#define EACH for (unsigned w = 0; w < WORDS; w++)
#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline __attribute__((always_inline)) void
rounds(struct state *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		EACH s->v0[w] += s->v1[w];
		EACH s->v2[w] += s->v3[w];
		EACH s->v1[w] = ROTATE(s->v1[w], 13);
		EACH s->v3[w] = ROTATE(s->v3[w], 16);
		EACH s->v1[w] ^= s->v0[w];
		EACH s->v3[w] ^= s->v2[w];
		EACH s->v0[w] = ROTATE(s->v0[w], 32);
		EACH s->v2[w] += s->v1[w];
		EACH s->v0[w] += s->v3[w];
		EACH s->v1[w] = ROTATE(s->v1[w], 17);
		EACH s->v3[w] = ROTATE(s->v3[w], 21);
		EACH s->v1[w] ^= s->v2[w];
		EACH s->v3[w] ^= s->v0[w];
		EACH s->v2[w] = ROTATE(s->v2[w], 32);
	}
}

static inline __attribute__((always_inline)) void
begin(struct state *s, const word *k0, const word *k1)
{
	EACH
	{
		s->v0[w] = k0[w] ^ 0x736F6D6570736575ULL;
		s->v1[w] = k1[w] ^ 0x646F72616E646F6DULL;
		s->v2[w] = k0[w] ^ 0x6C7967656E657261ULL;
		s->v3[w] = k1[w] ^ 0x7465646279746573ULL;
	}
}

static inline __attribute__((always_inline)) void
absorb(struct state *s, const word *m)
{
	EACH s->v3[w] ^= m[w];
	rounds(s, 2);
	EACH s->v0[w] ^= m[w];
}

/* The last word: no bytes are left over, so only the length. */
static inline __attribute__((always_inline)) void
absorb_length(struct state *s, unsigned bytes)
{
	word m[WORDS];

	EACH m[w] = (word){0} + ((uint64_t)bytes << 56);
	absorb(s, m);
}

static inline __attribute__((always_inline)) void
squeeze(const struct state *s, word *out)
{
	EACH out[w] = s->v0[w] ^ s->v1[w] ^ s->v2[w] ^ s->v3[w];
}

/* Users' keys: SipHash-2-4-128 of 8 bytes under the epochs' keys. The constants 0xEE and 0xDD tell
 * the 128-bit variant from the other (reference implementation, siphash.c). */
static inline __attribute__((always_inline)) void
derive(word *k0, word *k1, const word *user)
{
	struct state s;

	begin(&s, k0, k1);
	EACH s.v1[w] ^= 0xEE;
	absorb(&s, user);
	absorb_length(&s, 8);
	EACH s.v2[w] ^= 0xEE;
	rounds(&s, 4);
	squeeze(&s, k0);
	EACH s.v1[w] ^= 0xDD;
	rounds(&s, 4);
	squeeze(&s, k1);
}

/* Tags of messages of so many words of 64 bits. */
static inline __attribute__((always_inline)) void
tags(word *tag, const word *k0, const word *k1, word m[][WORDS], unsigned words)
{
	struct state s;

	begin(&s, k0, k1);
	for (unsigned i = 0; i < words; i++)
		absorb(&s, m[i]);
	absorb_length(&s, words * 8);
	EACH s.v2[w] ^= 0xFF;
	rounds(&s, 4);
	squeeze(&s, tag);
}

/* What becomes of a request whose tag is known. */
static inline __attribute__((always_inline)) void
finish(struct hb_request *r, uint64_t tag, unsigned words, enum verify_work work)
{
	uint8_t *at = r->payload + 8 * words;

	if (work == VERIFY_SIGN)
		hb_put_le64(at, tag);
	/* One comparison of 64 bits takes as long wherever the first difference is. */
	r->drop = work == VERIFY_SIGN || tag == hb_le64(at) ? HB_DROP_NONE : HB_DROP_TAG;
}

/* GROUP requests of one length at a time; behind the last one it stands again, to no effect. */
static inline __attribute__((always_inline)) void
verify_group(const struct hb_keyring *keys, struct hb_request *const *r, unsigned n, unsigned words,
	bool derived, enum verify_work work)
{
	uint64_t m[VERIFY_WORDS_MAX][GROUP] HB_ALIGNED, k[2][GROUP] HB_ALIGNED;
	word mv[VERIFY_WORDS_MAX][WORDS], k0[WORDS], k1[WORDS], tag[WORDS];
	uint64_t got[GROUP] HB_ALIGNED;

	for (unsigned i = 0; i < GROUP; i++) {
		const struct hb_request *q = r[i < n ? i : n - 1];
		const uint8_t *key = derived ? keys->epoch_key[q->epoch] : keys->issuer;

		for (unsigned j = 0; j < words; j++)
			m[j][i] = hb_le64(q->payload + 8 * j);
		k[0][i] = hb_le64(key);
		k[1][i] = hb_le64(key + 8);
	}
	memcpy(k0, k[0], sizeof(k0));
	memcpy(k1, k[1], sizeof(k1));
	for (unsigned j = 0; j < words; j++)
		memcpy(mv[j], m[j], sizeof(mv[j]));
	if (derived)
		derive(k0, k1, mv[1]);
	tags(tag, k0, k1, mv, words);
	memcpy(k[0], k0, sizeof(k0));
	memcpy(k[1], k1, sizeof(k1));
	memcpy(got, tag, sizeof(got));
	for (unsigned i = 0; i < n; i++) {
		hb_put_le64(r[i]->key, k[0][i]);
		hb_put_le64(r[i]->key + 8, k[1][i]);
		finish(r[i], got[i], words, work);
	}
}

void
VERIFY(const struct hb_keyring *keys, struct hb_request *const *r, unsigned n, enum verify_class c,
	enum verify_work work)
{
	for (unsigned i = 0; i < n; i += GROUP) {
		unsigned count = n - i < GROUP ? n - i : GROUP;

		/* Lengths are constants here, so that each class comes out unrolled. */
		if (c == VERIFY_SHAKE)
			verify_group(keys, r + i, count, 2, true, work);
		else if (c == VERIFY_LONG)
			verify_group(keys, r + i, count, 3, true, work);
		else
			verify_group(keys, r + i, count, 4, false, work);
	}
}
