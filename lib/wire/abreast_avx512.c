/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Eight frames abreast, with AVX-512, built for it whatever the rest is built for.
 *
 * A shake in a plain frame has 66 bytes, and behind the first two of them everything falls into
 * words of 64 bits:
 *
 *     2  the target's MAC from byte 2 on, 4 bytes of the source's
 *    10  the rest of that, EtherType; version, TOS and total length of IP
 *    18  identification, fragment, TTL, protocol, checksum
 *    26  source and target address
 *    34  ports, length and checksum of UDP
 *    42  version and op, epoch, campaign, seq
 *    50  user
 *    58  tag
 *
 * Eight frames of eight words are turned so that a register holds one word of all eight: then each
 * step of the parser is one instruction for all of them, and so is each step of the reply.
 */
#include "abreast.h"
#include "bytes.h"

#include <immintrin.h>
#include <stddef.h>

enum {
	WORD_MACS,
	WORD_TYPE,
	WORD_IP,
	WORD_ADDRESSES,
	WORD_UDP,
	WORD_FIRST,
	WORD_USER,
	WORD_TAG
};

enum {
	FIRST_WORD_AT = 2,
	PAYLOAD_AT = 42,
	IPV4_UDP_BYTES = 20 + 8 + 24, /* of IP: a shake has as many as a reply */
	UDP_AND_PAYLOAD_BYTES = 8 + 24,
	PROTO_UDP = 17,
	REPLY_TTL = 64,
};

/* Byte `at` of a frame in the word that holds it, which begins at a multiple of 8 behind 2. */
#define BYTE(at, v) ((uint64_t)(v) << 8 * (((at)-FIRST_WORD_AT) % 8))

static inline __m512i
all(uint64_t v)
{
	return _mm512_set1_epi64((long long)v);
}

/* Rows to columns. */
static inline __attribute__((always_inline)) void
turn(__m512i v[8])
{
	__m512i a[8], b[8];

	for (unsigned i = 0; i < 8; i += 2) {
		a[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
	}
	for (unsigned i = 0; i < 8; i += 4) {
		for (unsigned j = 0; j < 2; j++) {
			b[i + j] = _mm512_shuffle_i64x2(a[i + j], a[i + j + 2], 0x88);
			b[i + j + 2] = _mm512_shuffle_i64x2(a[i + j], a[i + j + 2], 0xDD);
		}
	}
	for (unsigned j = 0; j < 4; j++) {
		v[j] = _mm512_shuffle_i64x2(b[j], b[j + 4], 0x88);
		v[j + 4] = _mm512_shuffle_i64x2(b[j], b[j + 4], 0xDD);
	}
}

/* ---- checksums ----------------------------------------------------------------------- */

/* Adds the two halves of a word to the sums. */
static inline __m512i
add_word(__m512i sum, __m512i word)
{
	sum = _mm512_add_epi64(sum, _mm512_srli_epi64(word, 32));
	return _mm512_add_epi64(sum, _mm512_and_si512(word, all(UINT32_MAX)));
}

/* Folds sums of up to 16 halves, and so below 2^36, to 16 bits: the first step leaves less than
 * 2^20 + 2^16, the second at the most 0x1000F. 0 only where nothing but zeros was added. */
static inline __m512i
fold(__m512i sum)
{
	const __m512i low = all(0xFFFF);

	sum = _mm512_add_epi64(_mm512_and_si512(sum, low), _mm512_srli_epi64(sum, 16));
	sum = _mm512_add_epi64(_mm512_and_si512(sum, low), _mm512_srli_epi64(sum, 16));
	return _mm512_add_epi64(_mm512_and_si512(sum, low), _mm512_srli_epi64(sum, 16));
}

/* The bytes of each word turned round: from the wire to the host and back. */
static inline __m512i
swap_bytes(__m512i v)
{
	const __m512i order = _mm512_broadcast_i32x4(
		_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));

	return _mm512_shuffle_epi8(v, order);
}

/* ---- requests ------------------------------------------------------------------------ */

/* Which of the frames differ from a plain shake to us where they may not. */
static inline __mmask8
not_plain(const struct hb_listen *l, const __m512i w[8])
{
	const __m512i source = _mm512_and_si512(w[WORD_ADDRESSES], all(0xFF));
	__m512i off;
	__mmask8 bad;

	/* No group for a source; IPv4 without options; the length; not a fragment; UDP. */
	off = _mm512_and_si512(w[WORD_MACS], all(BYTE(6, 1)));
	off = _mm512_or_si512(off, _mm512_and_si512(_mm512_xor_si512(w[WORD_TYPE],
							    all(BYTE(12, 0x08) | BYTE(14, 0x45) |
								    BYTE(17, IPV4_UDP_BYTES))),
					   all(BYTE(12, 0xFF) | BYTE(13, 0xFF) | BYTE(14, 0xFF) |
						   BYTE(16, 0xFF) | BYTE(17, 0xFF))));
	off = _mm512_or_si512(
		off, _mm512_and_si512(_mm512_xor_si512(w[WORD_IP], all(BYTE(23, PROTO_UDP))),
			     all(BYTE(20, 0x3F) | BYTE(21, 0xFF) | BYTE(23, 0xFF))));
	/* To our address, to a port of the range; the length again; a shake of version 1. */
	off = _mm512_or_si512(off, _mm512_srli_epi64(_mm512_xor_si512(w[WORD_ADDRESSES],
							     all((uint64_t)load32(l->ipv4) << 32)),
					   32));
	off = _mm512_or_si512(off,
		_mm512_and_si512(
			_mm512_xor_si512(w[WORD_UDP],
				all(BYTE(36, l->base_port >> 8) | BYTE(39, UDP_AND_PAYLOAD_BYTES))),
			all(BYTE(36, 0xF0) | BYTE(38, 0xFF) | BYTE(39, 0xFF))));
	off = _mm512_or_si512(
		off, _mm512_and_si512(_mm512_xor_si512(w[WORD_FIRST],
					      all(BYTE(42, HB_WIRE_VERSION << 4 | HB_OP_SHAKE))),
			     all(BYTE(42, 0xFF))));
	bad = _mm512_test_epi64_mask(off, off);
	/* A source that can be sent to; neither port, seq nor user 0. */
	bad |= _mm512_cmp_epu64_mask(source, all(224), _MM_CMPINT_NLT);
	bad |= _mm512_testn_epi64_mask(source, source);
	bad |= _mm512_cmp_epi64_mask(source, all(127), _MM_CMPINT_EQ);
	bad |= _mm512_testn_epi64_mask(w[WORD_UDP], all(BYTE(34, 0xFF) | BYTE(35, 0xFF)));
	bad |= _mm512_testn_epi64_mask(w[WORD_FIRST], all(0xFFFFFFFFull << 32));
	return bad | _mm512_testn_epi64_mask(w[WORD_USER], w[WORD_USER]);
}

/* Which of the frames have a wrong checksum, where the NIC hasn't looked. */
static inline __mmask8
not_summed(unsigned checked, const __m512i w[8])
{
	const __m512i whole = all(0xFFFF);
	__m512i addresses = add_word(_mm512_setzero_si512(), w[WORD_ADDRESSES]);
	__m512i ip = add_word(
		_mm512_add_epi64(addresses, _mm512_srli_epi64(w[WORD_TYPE], 32)), w[WORD_IP]);
	__m512i udp = _mm512_add_epi64(
		addresses, all(htobe16(PROTO_UDP) + (uint64_t)htobe16(UDP_AND_PAYLOAD_BYTES)));
	__mmask8 bad = 0;

	for (unsigned i = WORD_UDP; i <= WORD_TAG; i++)
		udp = add_word(udp, w[i]);
	if (!(checked & HB_FRAME_IP_CHECKED))
		bad |= _mm512_cmp_epi64_mask(fold(ip), whole, _MM_CMPINT_NE);
	/* None at all may be sent over IPv4. */
	if (!(checked & HB_FRAME_UDP_CHECKED))
		bad |= _mm512_cmp_epi64_mask(fold(udp), whole, _MM_CMPINT_NE) &
		       _mm512_test_epi64_mask(w[WORD_UDP], all(0xFFFFull << 48));
	return bad;
}

/* Where a request's fields stand, so that its words can be written whole. */
#define FIELD(name, at)                                                                            \
	_Static_assert(offsetof(struct hb_request, name) == (at), "a word of its own")
FIELD(user, 0);
FIELD(arg, 8);
FIELD(terms, 16);
FIELD(now_us, 24);
FIELD(payload, 32);
FIELD(frame, 40);
FIELD(key, 48);
FIELD(seq, 64);
FIELD(campaign, 68);
FIELD(shard, 70);
FIELD(op, 72);
FIELD(epoch, 73);
FIELD(drop, 74);
FIELD(l2_bytes, 75);
FIELD(l3_bytes, 76);
FIELD(ipv6, 77);
_Static_assert(sizeof(struct hb_request) == 80, "nothing stands behind them");

/* Writes the eight requests. */
static inline void
put_requests(struct hb_request *r, uint8_t *const *frame, const __m512i w[8])
{
	/* seq and campaign from the wire into the places that they have in a request. */
	const __m512i order = _mm512_broadcast_i32x4(
		_mm_set_epi8(-1, -1, 10, 11, 12, 13, 14, 15, -1, -1, 2, 3, 4, 5, 6, 7));
	const uint64_t same = HB_OP_SHAKE | 14ull << 24 | 20ull << 32;
	__m512i user = swap_bytes(w[WORD_USER]), words, rest, row[8];

	words = _mm512_mullo_epi64(user, all(0x9E3779B97F4A7C15ULL));
	words = _mm512_slli_epi64(_mm512_srli_epi64(words, 52), 48);
	words = _mm512_or_si512(words, _mm512_shuffle_epi8(w[WORD_FIRST], order));
	rest = _mm512_or_si512(_mm512_and_si512(w[WORD_FIRST], all(0xFF00)), all(same));
	row[0] = user;
	row[1] = row[2] = row[3] = row[5] = row[6] = row[7] = _mm512_setzero_si512();
	row[4] = _mm512_add_epi64(_mm512_loadu_si512(frame), all(PAYLOAD_AT));
	turn(row);
	for (unsigned i = 0; i < HB_ABREAST; i++)
		_mm512_storeu_si512(&r[i], row[i]);
	put_pairs(&r->seq, words, rest);
}

bool
parse_abreast_avx512(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at)
{
	__m512i word[8];

	for (unsigned i = 0; i < HB_ABREAST; i++)
		word[i] = _mm512_loadu_si512(frame[i] + FIRST_WORD_AT);
	turn(word);
	if (HB_UNLIKELY(!l->has_ipv4 || (l->base_port & (HB_SHARDS - 1)) != 0 ||
			(not_plain(l, word) | not_summed(checked, word)) != 0))
		return false;
	put_requests(r, frame, word);
	_mm512_storeu_si512(&w->first[at], word[WORD_FIRST]);
	_mm512_storeu_si512(&w->user[at], word[WORD_USER]);
	_mm512_storeu_si512(&w->tag[at], word[WORD_TAG]);
	return true;
}

/* ---- replies ------------------------------------------------------------------------- */

/* What stands in the replies behind the headers, in the order of the wire. */
static inline void
put_payloads(const struct hb_reply *reply, const uint32_t *seal, __m512i w[8])
{
	uint64_t status[HB_ABREAST] HB_ALIGNED, id[HB_ABREAST] HB_ALIGNED,
		last[HB_ABREAST] HB_ALIGNED;

	for (unsigned i = 0; i < HB_ABREAST; i++) {
		status[i] = (uint64_t)reply[i].status << 8;
		id[i] = reply[i].id;
		last[i] = (uint64_t)reply[i].value << 32 | seal[i];
	}
	w[WORD_FIRST] = _mm512_or_si512(
		_mm512_andnot_si512(all(0xFF00), w[WORD_FIRST]), _mm512_load_si512(status));
	w[WORD_USER] = swap_bytes(_mm512_load_si512(id));
	w[WORD_TAG] = swap_bytes(_mm512_load_si512(last));
}

/* The headers but for the MAC addresses, with their checksums. */
static inline void
put_headers(__m512i w[8])
{
	const uint64_t ip_type = BYTE(14, 0x45) | BYTE(17, IPV4_UDP_BYTES);
	const uint64_t ip_rest = BYTE(20, 0x40) | BYTE(22, REPLY_TTL) | BYTE(23, PROTO_UDP);
	__m512i addresses = add_word(_mm512_setzero_si512(), w[WORD_ADDRESSES]);
	__m512i ip = fold(_mm512_add_epi64(
		addresses, all((ip_type >> 32) + (uint32_t)ip_rest + (ip_rest >> 32))));
	__m512i ports = _mm512_and_si512(w[WORD_UDP], all(UINT32_MAX));
	__m512i udp = _mm512_add_epi64(
		addresses, all(htobe16(PROTO_UDP) + 2 * (uint64_t)htobe16(UDP_AND_PAYLOAD_BYTES)));

	udp = _mm512_add_epi64(udp, ports);
	for (unsigned i = WORD_FIRST; i <= WORD_TAG; i++)
		udp = add_word(udp, w[i]);
	udp = _mm512_xor_si512(fold(udp), all(0xFFFF));
	/* 0 would say that there is none. */
	udp = _mm512_mask_mov_epi64(udp, _mm512_testn_epi64_mask(udp, udp), all(0xFFFF));
	w[WORD_TYPE] =
		_mm512_or_si512(_mm512_and_si512(w[WORD_TYPE], all(UINT32_MAX)), all(ip_type));
	w[WORD_IP] = _mm512_or_si512(
		_mm512_slli_epi64(_mm512_xor_si512(ip, all(0xFFFF)), 48), all(ip_rest));
	w[WORD_ADDRESSES] = _mm512_rol_epi64(w[WORD_ADDRESSES], 32);
	ports = _mm512_or_si512(_mm512_slli_epi64(_mm512_and_si512(ports, all(0xFFFF)), 16),
		_mm512_srli_epi64(ports, 16));
	w[WORD_UDP] = _mm512_or_si512(_mm512_or_si512(ports, _mm512_slli_epi64(udp, 48)),
		all(BYTE(39, UDP_AND_PAYLOAD_BYTES)));
}

void
reply_abreast_avx512(const struct hb_request *r, const struct hb_reply *reply, const uint32_t *seal,
	const uint8_t port_mac[6])
{
	/* The MAC addresses change places; EtherType and the first byte of IP stay, and its TOS
	 * becomes 0. */
	const __m128i order = _mm_set_epi8(-1, 14, 13, 12, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6);
	__m512i word[8];
	__m128i macs[HB_ABREAST];

	for (unsigned i = 0; i < HB_ABREAST; i++) {
		word[i] = _mm512_loadu_si512(r[i].payload - PAYLOAD_AT + FIRST_WORD_AT);
		macs[i] = _mm_loadu_si128((const __m128i *)(r[i].payload - PAYLOAD_AT));
	}
	turn(word);
	put_payloads(reply, seal, word);
	put_headers(word);
	turn(word);
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		uint8_t *frame = r[i].payload - PAYLOAD_AT;

		_mm512_storeu_si512(frame + FIRST_WORD_AT, word[i]);
		_mm_storeu_si128((__m128i *)frame, _mm_shuffle_epi8(macs[i], order));
		/* A group address can't be a source. */
		if (HB_UNLIKELY(_mm_cvtsi128_si32(macs[i]) & 1))
			memcpy(frame + 6, port_mac, 6);
	}
}
