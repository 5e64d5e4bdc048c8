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

/* ---- messages to lanes and back ------------------------------------------------------ */

/* Two words of 64 bits that stand side by side in each of LANES messages, lane by lane, and back.
 * By shuffles: lane by lane through memory, the wide load would wait for all the narrow stores. */
#if LANES == 1
static inline __attribute__((always_inline)) void
load_pairs(word *a, word *b, const uint8_t *const *p)
{
	*a = hb_le64(p[0]);
	*b = hb_le64(p[0] + 8);
}

static inline __attribute__((always_inline)) void
store_pairs(uint8_t *const *p, word a, word b)
{
	hb_put_le64(p[0], a);
	hb_put_le64(p[0] + 8, b);
}
#else
typedef uint64_t pair __attribute__((vector_size(16)));
typedef uint64_t quad __attribute__((vector_size(32)));

static inline __attribute__((always_inline)) quad
join_pairs(const uint8_t *low, const uint8_t *high)
{
	pair a, b;

	memcpy(&a, low, sizeof(a));
	memcpy(&b, high, sizeof(b));
	return __builtin_shufflevector(a, b, 0, 1, 2, 3);
}

static inline __attribute__((always_inline)) void
load_pairs(word *a, word *b, const uint8_t *const *p)
{
	quad even = join_pairs(p[0], p[2]), odd = join_pairs(p[1], p[3]);
#if LANES == 4
	*a = __builtin_shufflevector(even, odd, 0, 4, 2, 6);
	*b = __builtin_shufflevector(even, odd, 1, 5, 3, 7);
#else
	quad even2 = join_pairs(p[4], p[6]), odd2 = join_pairs(p[5], p[7]);
	word all_even = __builtin_shufflevector(even, even2, 0, 1, 2, 3, 4, 5, 6, 7);
	word all_odd = __builtin_shufflevector(odd, odd2, 0, 1, 2, 3, 4, 5, 6, 7);

	*a = __builtin_shufflevector(all_even, all_odd, 0, 8, 2, 10, 4, 12, 6, 14);
	*b = __builtin_shufflevector(all_even, all_odd, 1, 9, 3, 11, 5, 13, 7, 15);
#endif
}

static inline __attribute__((always_inline)) void
store_pairs(uint8_t *const *p, word a, word b)
{
	uint64_t even[LANES] HB_ALIGNED, odd[LANES] HB_ALIGNED;
#if LANES == 4
	word e = __builtin_shufflevector(a, b, 0, 4, 2, 6);
	word o = __builtin_shufflevector(a, b, 1, 5, 3, 7);
#else
	word e = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
	word o = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
#endif
	memcpy(even, &e, sizeof(e));
	memcpy(odd, &o, sizeof(o));
	for (unsigned i = 0; i < LANES; i += 2) {
		memcpy(p[i], &even[i], 16);
		memcpy(p[i + 1], &odd[i], 16);
	}
}
#endif

/* The keys that GROUP requests begin with. Nearly always all of one epoch. */
static inline __attribute__((always_inline)) void
load_keys(word *k0, word *k1, const struct hb_keyring *keys, struct hb_request *const *q,
	bool derived)
{
	const uint8_t *key[GROUP];
	unsigned differ = 0;

	for (unsigned i = 0; i < GROUP; i++) {
		key[i] = derived ? keys->epoch_key[q[i]->epoch] : keys->issuer;
		differ |= key[i] != key[0];
	}
	EACH
	{
		if (LANES == 1 || HB_UNLIKELY(differ)) {
			load_pairs(&k0[w], &k1[w], key + w * LANES);
			continue;
		}
		k0[w] = (word){0} + hb_le64(key[0]);
		k1[w] = (word){0} + hb_le64(key[0] + 8);
	}
}

/* ---- a group ------------------------------------------------------------------------- */

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
	word m[VERIFY_WORDS_MAX + 1][WORDS], k0[WORDS], k1[WORDS], tag[WORDS];
	struct hb_request *q[GROUP];
	uint64_t got[GROUP] HB_ALIGNED;
	uint8_t *at[GROUP];

	for (unsigned i = 0; i < GROUP; i++)
		q[i] = r[i < n ? i : n - 1];
	load_keys(k0, k1, keys, q, derived);
	/* Two words at a time; of an odd number the last comes with the tag behind it. */
	for (unsigned j = 0; j < words; j += 2) {
		for (unsigned i = 0; i < GROUP; i++)
			at[i] = q[i]->payload + 8 * j;
		EACH load_pairs(&m[j][w], &m[j + 1][w], (const uint8_t *const *)at + w * LANES);
	}
	if (derived)
		derive(k0, k1, m[1]);
	for (unsigned i = 0; i < GROUP; i++)
		at[i] = q[i]->key;
	EACH store_pairs(at + w * LANES, k0[w], k1[w]);
	tags(tag, k0, k1, m, words);
	memcpy(got, tag, sizeof(got));
	for (unsigned i = 0; i < n; i++)
		finish(q[i], got[i], words, work);
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
