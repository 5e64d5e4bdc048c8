/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payloads and keyed hashes against the contract: its test vectors, and a second SipHash written
 * from the paper (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012).
 */
#include "hb_wire.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a SipHash of our own ------------------------------------------------------------ */

struct sip {
	uint64_t v[4];
};

static uint64_t
rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static uint64_t
little(const uint8_t *p, size_t n)
{
	uint64_t x = 0;

	for (size_t i = 0; i < n; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static void
put_little(uint8_t *p, uint64_t x)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static void
sip_rounds(struct sip *s, unsigned n)
{
	uint64_t *v = s->v;

	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static uint64_t
sip_word(const struct sip *s)
{
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* out: 8 bytes, or 16 where `wide`. */
static void
sip_hash(uint8_t *out, const uint8_t *bytes, size_t n, const uint8_t key[16], bool wide)
{
	uint64_t k0 = little(key, 8), k1 = little(key + 8, 8);
	struct sip s = {{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573}};

	if (wide)
		s.v[1] ^= 0xee;
	for (size_t at = 0; at <= n; at += 8) {
		uint64_t m = n - at >= 8 ? little(bytes + at, 8)
					 : little(bytes + at, n - at) | (uint64_t)n << 56;

		s.v[3] ^= m;
		sip_rounds(&s, 2);
		s.v[0] ^= m;
	}
	s.v[2] ^= wide ? 0xee : 0xff;
	sip_rounds(&s, 4);
	put_little(out, sip_word(&s));
	if (!wide)
		return;
	s.v[1] ^= 0xdd;
	sip_rounds(&s, 4);
	put_little(out + 8, sip_word(&s));
}

/* ---- what the tests share ------------------------------------------------------------ */

#define VECTOR_USER 0x0123456789abcdefu
#define VECTOR_PACKET 0xfeedface12345678u

static const uint8_t epoch_key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t issuer_key[16] = {
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* The keys of the contract's vectors, and a second epoch 200. */
static struct hb_keyring ring;

static int
begin(void **state)
{
	(void)state;
	memcpy(ring.epoch_key[0], epoch_key, 16);
	memset(ring.epoch_key[200], 0xC8, 16);
	/* Not held, but not empty: only epoch_held says what is held. */
	memset(ring.epoch_key[7], 0x07, 16);
	memcpy(ring.issuer, issuer_key, 16);
	ring.epoch_held[0] = ring.epoch_held[200] = true;
	ring.issuer_held = true;
	return hb_wire_init();
}

static unsigned
from_hex(uint8_t *out, const char *hex)
{
	unsigned n = 0, v;

	for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
		out[n++] = (uint8_t)v;
	return n;
}

static void
put_big(uint8_t *p, uint64_t v, unsigned n)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static const unsigned op_bytes[] = {0, 24, 32, 32, 40};

/* A random valid request. */
static struct hb_request
some_request(unsigned op, uint64_t *random)
{
	struct hb_request r = {.op = (uint8_t)op, .seq = 1, .user = 1};

	r.epoch = hb_splitmix64(random) & 1 ? 200 : 0;
	r.seq |= (uint32_t)hb_splitmix64(random);
	r.user |= hb_splitmix64(random);
	if (op <= HB_OP_ANSWER)
		r.campaign = (uint16_t)hb_splitmix64(random);
	if (op != HB_OP_SHAKE)
		r.arg = hb_splitmix64(random) | 1;
	if (op == HB_OP_PACK)
		r.terms = hb_splitmix64(random);
	return r;
}

/* Its bytes, written and signed without the library. */
static unsigned
spell(const struct hb_request *r, uint8_t *p)
{
	unsigned n = op_bytes[r->op];
	uint8_t user[8], key[16];

	p[0] = (uint8_t)(0x10 + r->op);
	p[1] = r->epoch;
	put_big(p + 2, r->campaign, 2);
	put_big(p + 4, r->seq, 4);
	put_big(p + 8, r->user, 8);
	if (n >= 32)
		put_big(p + 16, r->arg, 8);
	if (n >= 40)
		put_big(p + 24, r->terms, 8);
	put_big(user, r->user, 8);
	if (r->op == HB_OP_PACK)
		memcpy(key, issuer_key, 16);
	else
		sip_hash(key, user, 8, ring.epoch_key[r->epoch], true);
	sip_hash(p + n - 8, p, n - 8, key, false);
	return n;
}

/* ---- the contract's vectors ---------------------------------------------------------- */

static const struct {
	const char *name;
	const char *hex;
	struct hb_request r;
} vectors[] = {
	{"SHAKE", "11000007000000010123456789abcdefa8c05eeaecdb7bd7",
		{.op = HB_OP_SHAKE, .campaign = 7, .seq = 1, .user = VECTOR_USER}},
	{"ANSWER", "12000007000000020123456789abcdef012d4dc82fb21015d88e36b98be030dc",
		{.op = HB_OP_ANSWER,
			.campaign = 7,
			.seq = 2,
			.user = VECTOR_USER,
			.arg = 0x012d4dc82fb21015}},
	{"GRAB", "13000000000000030123456789abcdeffeedface12345678323d26e798e8d782",
		{.op = HB_OP_GRAB, .seq = 3, .user = VECTOR_USER, .arg = VECTOR_PACKET}},
	{"PACK", "14000000000000040123456789abcdeffeedface1234567800002710000a02185767ff95b4de41fe",
		{.op = HB_OP_PACK,
			.seq = 4,
			.user = VECTOR_USER,
			.arg = VECTOR_PACKET,
			.terms = 10000ull << 32 | 10 << 16 | 2 << 8 | 24}},
};

static void
vector_user_key(void **state)
{
	uint8_t want[16], key[16];

	(void)state;
	from_hex(want, "5e3f6f453c565a76ec0f6c67b8ef0a39");
	hb_user_key(key, epoch_key, VECTOR_USER);
	assert_memory_equal(key, want, 16);
}

static void
vector_shards(void **state)
{
	uint64_t random = 5;

	(void)state;
	assert_int_equal(hb_shard(VECTOR_USER), 201);
	assert_int_equal(hb_shard(1), 2531);
	assert_int_equal(hb_shard(2), 966);
	assert_int_equal(hb_shard(12345), 2578);
	for (unsigned i = 0; i < 100000; i++) {
		uint16_t shard = hb_shard(hb_splitmix64(&random));

		assert_true(shard < HB_SHARDS);
		assert_true(hb_lane(shard) < HB_LANES);
		assert_int_equal(hb_slice(shard) * 128 + hb_lane(shard), shard);
	}
}

static void
vector_digest(void **state)
{
	(void)state;
	assert_int_equal(hb_answer_digest(7, "我"), 0x012d4dc82fb21015);
	assert_int_equal(hb_answer_digest(7, " \t我\r\n "), 0x012d4dc82fb21015);
}

static void
vector_requests_are_encoded(void **state)
{
	uint8_t want[HB_REQUEST_BYTES_MAX], key[16];

	(void)state;
	hb_user_key(key, epoch_key, VECTOR_USER);
	for (unsigned i = 0; i < HB_COUNT_OF(vectors); i++) {
		const struct hb_request *r = &vectors[i].r;
		unsigned n = from_hex(want, vectors[i].hex);
		uint8_t got[HB_REQUEST_BYTES_MAX];

		memset(got, 0xEE, sizeof(got));
		assert_int_equal(hb_wire_encode(r, r->op == HB_OP_PACK ? issuer_key : key, got), n);
		assert_memory_equal(got, want, n);
		for (unsigned at = n; at < sizeof(got); at++)
			assert_int_equal(got[at], 0xEE);
	}
}

static void
vector_requests_verify(void **state)
{
	struct hb_request r[HB_COUNT_OF(vectors)];
	uint8_t payload[HB_COUNT_OF(vectors)][HB_REQUEST_BYTES_MAX];

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(vectors); i++) {
		const struct hb_request *want = &vectors[i].r;
		unsigned n = from_hex(payload[i], vectors[i].hex);

		memset(&r[i], 0xA5, sizeof(r[i]));
		assert_int_equal(hb_wire_decode(&r[i], payload[i], n), HB_DROP_NONE);
		assert_int_equal(r[i].op, want->op);
		assert_int_equal(r[i].epoch, 0);
		assert_int_equal(r[i].campaign, want->campaign);
		assert_int_equal(r[i].seq, want->seq);
		assert_int_equal(r[i].user, want->user);
		assert_int_equal(r[i].arg, want->arg);
		assert_int_equal(r[i].terms, want->terms);
		assert_int_equal(r[i].shard, hb_shard(i < 2 ? VECTOR_USER : VECTOR_PACKET));
		assert_ptr_equal(r[i].payload, payload[i]);
	}
	hb_wire_verify(&ring, r, HB_COUNT_OF(vectors));
	for (unsigned i = 0; i < HB_COUNT_OF(vectors); i++) {
		uint8_t key[16];

		from_hex(key, "5e3f6f453c565a76ec0f6c67b8ef0a39");
		assert_int_equal(r[i].drop, HB_DROP_NONE);
		assert_memory_equal(r[i].key, r[i].op == HB_OP_PACK ? issuer_key : key, 16);
	}
}

static void
vector_win_is_sealed(void **state)
{
	uint8_t payload[HB_REQUEST_BYTES_MAX], want[HB_REPLY_BYTES];
	struct hb_request r;
	unsigned n = from_hex(payload, vectors[0].hex);

	(void)state;
	from_hex(want, "1101000700000001000000000000002a000003783c3e87ad");
	assert_int_equal(hb_wire_decode(&r, payload, n), HB_DROP_NONE);
	hb_wire_verify(&ring, &r, 1);
	assert_int_equal(r.drop, HB_DROP_NONE);
	hb_wire_reply(&r, &(struct hb_reply){.status = HB_WIN, .id = 42, .value = 888});
	assert_memory_equal(payload, want, HB_REPLY_BYTES);
}

/* ---- hashes -------------------------------------------------------------------------- */

static void
tags_and_keys_are_siphash(void **state)
{
	uint64_t random = 11;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t bytes[64], key[16], user[8], want[16], got[16];
		uint64_t number = hb_splitmix64(&random);
		size_t n = i % 65;

		for (unsigned at = 0; at < sizeof(bytes); at++)
			bytes[at] = (uint8_t)hb_splitmix64(&random);
		memcpy(key, bytes + 48, 16);
		sip_hash(want, bytes, n, key, false);
		hb_tag(got, bytes, n, key);
		assert_memory_equal(got, want, 8);
		put_big(user, number, 8);
		sip_hash(want, user, 8, key, true);
		hb_user_key(got, key, number);
		assert_memory_equal(got, want, 16);
	}
}

static uint64_t
digest_by_hand(uint16_t campaign, const char *bytes)
{
	uint8_t key[16] = {(uint8_t)(campaign >> 8), (uint8_t)campaign}, out[8];

	sip_hash(out, (const uint8_t *)bytes, strlen(bytes), key, false);
	return hb_be64(out);
}

static void
digest_takes_off_outer_blanks_alone(void **state)
{
	static const struct {
		const char *answer;
		const char *bare;
	} cases[] = {
		{"open sesame", "open sesame"},
		{"  open  sesame ", "open  sesame"},
		{"\topen\nsesame\r\n", "open\nsesame"},
		{"", ""},
		{" ", ""},
		{" \t \n ", ""},
		/* UTF-8 whose last or first byte is a blank in some 8-bit character sets. */
		{"voil\xC3\xA0", "voil\xC3\xA0"},
		{"\xD0\x85", "\xD0\x85"},
		{" \xE5\xA0\xA0 ", "\xE5\xA0\xA0"},
		{"a", "a"},
		{"12345678", "12345678"},
		{" 123456789 ", "123456789"},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		for (unsigned c = 0; c < 65536; c += 257)
			assert_int_equal(hb_answer_digest((uint16_t)c, cases[i].answer),
				digest_by_hand((uint16_t)c, cases[i].bare));
	}
	assert_int_not_equal(hb_answer_digest(0x0100, "x"), hb_answer_digest(0x0001, "x"));
}

/* Keyed by seed and label, over the index: nobody who learns one learns another. */
static void
derived_secrets_are_siphash_and_all_different(void **state)
{
	static const char *const labels[] = {"", "a", "b", "users", "draw", "fund", "eightlet"};
	uint64_t seen[HB_COUNT_OF(labels) * 2 * 3];
	unsigned n = 0;

	(void)state;
	for (unsigned l = 0; l < HB_COUNT_OF(labels); l++) {
		for (unsigned which = 0; which < 6; which++) {
			uint64_t seed = which % 2 ? 0x0102030405060708 : 0x0807060504030201;
			uint64_t index = which / 2 == 2 ? 1ull << 56 : which / 2;
			uint8_t key[16] = {0}, bytes[8], out[8];

			put_big(key, seed, 8);
			memcpy(key + 8, labels[l], strlen(labels[l]));
			put_big(bytes, index, 8);
			sip_hash(out, bytes, 8, key, false);
			seen[n] = hb_derive(seed, labels[l], index);
			assert_int_equal(seen[n], hb_be64(out));
			for (unsigned i = 0; i < n; i++)
				assert_int_not_equal(seen[i], seen[n]);
			n++;
		}
	}
}

/* ---- decoding ------------------------------------------------------------------------ */

/* Decodes n bytes that stand in a block of their own size, so that reading beyond them is seen. */
static enum hb_drop
decode_alone(struct hb_request *r, const uint8_t *bytes, unsigned n)
{
	uint8_t *block = malloc(n);

	assert_true(block != NULL || n == 0);
	if (n > 0)
		memcpy(block, bytes, n);
	enum hb_drop drop = hb_wire_decode(r, block, n);
	free(block);
	return drop;
}

static void
only_the_exact_length_decodes(void **state)
{
	uint64_t random = 21;
	struct hb_request r;
	uint8_t bytes[64];

	(void)state;
	for (unsigned op = 1; op <= 4; op++) {
		struct hb_request some = some_request(op, &random);

		memset(bytes, 0x11, sizeof(bytes));
		spell(&some, bytes);
		for (unsigned n = 0; n <= 64; n++)
			assert_int_equal(decode_alone(&r, bytes, n),
				n == op_bytes[op] ? HB_DROP_NONE : HB_DROP_LENGTH);
		assert_int_equal(hb_wire_decode(&r, bytes, op_bytes[op] + 65536), HB_DROP_LENGTH);
		assert_int_equal(hb_wire_decode(&r, bytes, UINT32_MAX), HB_DROP_LENGTH);
	}
}

static void
only_version_1_and_its_ops_decode(void **state)
{
	uint64_t random = 22;
	struct hb_request r;

	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		for (unsigned n = 0; n <= 64; n++) {
			unsigned op = first & 15;
			struct hb_request some =
				some_request(op >= 1 && op <= 4 ? op : HB_OP_PACK, &random);
			uint8_t bytes[64] = {0};
			enum hb_drop want = HB_DROP_NONE;

			spell(&some, bytes);
			bytes[0] = (uint8_t)first;
			if (n == 0)
				want = HB_DROP_LENGTH;
			else if (first >> 4 != 1)
				want = HB_DROP_VERSION;
			else if (op < 1 || op > 4)
				want = HB_DROP_OP;
			else if (n != op_bytes[op])
				want = HB_DROP_LENGTH;
			assert_int_equal(decode_alone(&r, bytes, n), want);
		}
	}
}

static void
zeros_are_refused_in_the_order_of_the_reasons(void **state)
{
	uint64_t random = 23;

	(void)state;
	for (unsigned op = 1; op <= 4; op++) {
		/* bit 0: seq 0, 1: user 0, 2: campaign other than 0, 3: argument 0 */
		for (unsigned which = 0; which < 16; which++) {
			struct hb_request some = some_request(op, &random), r;
			bool of_packet = op >= HB_OP_GRAB;
			uint8_t bytes[64] = {0};
			enum hb_drop want = HB_DROP_NONE;

			if (which & 1)
				some.seq = 0;
			if (which & 2)
				some.user = 0;
			some.campaign = which & 4 ? (uint16_t)(op % 2 ? 0x0100 : 1) : 0;
			if (which & 8)
				some.arg = 0;
			if (which & 1)
				want = HB_DROP_SEQ;
			else if (which & 2)
				want = HB_DROP_USER;
			else if (of_packet && which & 4)
				want = HB_DROP_CAMPAIGN;
			else if (of_packet && which & 8)
				want = HB_DROP_PACKET;
			assert_int_equal(decode_alone(&r, bytes, spell(&some, bytes)), want);
		}
	}
}

/* A word is 0 only when all its bytes are. */
static void
one_bit_is_enough_to_be_nonzero(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		struct hb_request r, some = {.op = HB_OP_GRAB,
					     .seq = 1u << bit % 32,
					     .user = 1ull << bit,
					     .arg = 1ull << (63 - bit)};
		uint8_t bytes[64];

		assert_int_equal(decode_alone(&r, bytes, spell(&some, bytes)), HB_DROP_NONE);
		some = (struct hb_request){.op = HB_OP_PACK,
			.seq = 1,
			.user = 1,
			.arg = 1,
			.campaign = (uint16_t)(1u << bit % 16)};
		assert_int_equal(decode_alone(&r, bytes, spell(&some, bytes)), HB_DROP_CAMPAIGN);
	}
}

static void
every_field_comes_back(void **state)
{
	uint64_t random = 24;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct hb_request want = some_request(1 + i % 4, &random), r;
		uint8_t key[16], spelt[HB_REQUEST_BYTES_MAX], got[HB_REQUEST_BYTES_MAX];
		unsigned n = spell(&want, spelt);

		hb_user_key(key, ring.epoch_key[want.epoch], want.user);
		assert_int_equal(
			hb_wire_encode(&want, want.op == HB_OP_PACK ? issuer_key : key, got), n);
		assert_memory_equal(got, spelt, n);
		memset(&r, 0xA5, sizeof(r));
		assert_int_equal(hb_wire_decode(&r, got, n), HB_DROP_NONE);
		assert_ptr_equal(r.payload, got);
		assert_int_equal(r.op, want.op);
		assert_int_equal(r.epoch, want.epoch);
		assert_int_equal(r.campaign, want.campaign);
		assert_int_equal(r.seq, want.seq);
		assert_int_equal(r.user, want.user);
		assert_int_equal(r.arg, want.arg);
		assert_int_equal(r.terms, want.terms);
		assert_int_equal(r.drop, HB_DROP_NONE);
		assert_int_equal(r.shard, hb_shard(want.op >= HB_OP_GRAB ? want.arg : want.user));
		assert_memory_equal(got, spelt, n);
	}
}

/* ---- verifying ----------------------------------------------------------------------- */

static void
bursts_of_every_size_are_judged_one_by_one(void **state)
{
	uint64_t random = 31;

	(void)state;
	for (unsigned round = 0; round < 20 * HB_BURST; round++) {
		struct hb_request r[HB_BURST + 1];
		uint8_t payload[HB_BURST][HB_REQUEST_BYTES_MAX], want[HB_BURST];
		unsigned n = 1 + round % HB_BURST;

		for (unsigned i = 0; i < n; i++) {
			uint64_t draw = hb_splitmix64(&random);
			struct hb_request some = some_request(1 + draw % 4, &random);

			want[i] = HB_DROP_NONE;
			if ((draw >> 8) % 5 == 0) {
				some.epoch = 7;
				/* The issuer key belongs to no epoch. */
				if (some.op != HB_OP_PACK)
					want[i] = HB_DROP_EPOCH;
			}
			unsigned bytes = spell(&some, payload[i]);
			if ((draw >> 16) % 5 == 0) {
				payload[i][bytes - 1 - (draw >> 24) % 8] ^=
					(uint8_t)(1u << (draw >> 32) % 8);
				if (want[i] == HB_DROP_NONE)
					want[i] = HB_DROP_TAG;
			}
			assert_int_equal(hb_wire_decode(&r[i], payload[i], bytes), HB_DROP_NONE);
			memset(r[i].key, 0xA5, 16);
			r[i].drop = 99;
		}
		memset(&r[n], 0x5A, sizeof(r[n]));
		hb_wire_verify(&ring, r, n);
		for (unsigned i = 0; i < n; i++) {
			uint8_t key[16], user[8];

			assert_int_equal(r[i].drop, want[i]);
			put_big(user, r[i].user, 8);
			sip_hash(key, user, 8, ring.epoch_key[r[i].epoch], true);
			if (want[i] == HB_DROP_NONE)
				assert_memory_equal(
					r[i].key, r[i].op == HB_OP_PACK ? issuer_key : key, 16);
		}
		for (unsigned at = 0; at < sizeof(r[n]); at++)
			assert_int_equal(((uint8_t *)&r[n])[at], 0x5A);
	}
}

static void
nothing_is_touched_by_an_empty_burst(void **state)
{
	struct hb_request r;

	(void)state;
	memset(&r, 0x5A, sizeof(r));
	hb_wire_verify(&ring, &r, 0);
	assert_int_equal(r.drop, 0x5A);
}

static void
every_flipped_bit_is_refused(void **state)
{
	uint64_t random = 32;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		struct hb_request some = some_request(1 + round % 4, &random);
		uint8_t good[HB_REQUEST_BYTES_MAX], payload[HB_REQUEST_BYTES_MAX];
		unsigned n = spell(&some, good);

		for (unsigned bit = 0; bit < n * 8; bit++) {
			struct hb_request r;

			/* As an attacker sends it. */
			memcpy(payload, good, n);
			payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (hb_wire_decode(&r, payload, n) == HB_DROP_NONE) {
				hb_wire_verify(&ring, &r, 1);
				bool unheld = r.op != HB_OP_PACK && !ring.epoch_held[r.epoch];
				assert_int_equal(r.drop, unheld ? HB_DROP_EPOCH : HB_DROP_TAG);
			}
			/* Changed under a request that had been decoded: the tag covers all bytes.
			 */
			memcpy(payload, good, n);
			assert_int_equal(hb_wire_decode(&r, payload, n), HB_DROP_NONE);
			payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
			hb_wire_verify(&ring, &r, 1);
			assert_int_equal(r.drop, HB_DROP_TAG);
			payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
			hb_wire_verify(&ring, &r, 1);
			assert_int_equal(r.drop, HB_DROP_NONE);
		}
	}
}

static enum hb_drop
verify_signed_with(
	const struct hb_keyring *keys, const struct hb_request *some, const uint8_t key[16])
{
	uint8_t payload[HB_REQUEST_BYTES_MAX];
	struct hb_request r;

	assert_int_equal(
		hb_wire_decode(&r, payload, hb_wire_encode(some, key, payload)), HB_DROP_NONE);
	hb_wire_verify(keys, &r, 1);
	return r.drop;
}

static void
a_key_opens_only_its_own_door(void **state)
{
	uint64_t random = 33;
	struct hb_keyring no_issuer = ring;
	static const uint8_t zero[16];

	(void)state;
	no_issuer.issuer_held = false;
	for (unsigned round = 0; round < 400; round++) {
		struct hb_request some = some_request(1 + round % 4, &random);
		uint8_t own[16], other_user[16], other_epoch[16];

		hb_user_key(own, ring.epoch_key[some.epoch], some.user);
		hb_user_key(other_user, ring.epoch_key[some.epoch], some.user ^ 1);
		hb_user_key(other_epoch, ring.epoch_key[some.epoch ^ 200], some.user);
		bool pack = some.op == HB_OP_PACK;
		assert_int_equal(
			verify_signed_with(&ring, &some, pack ? issuer_key : own), HB_DROP_NONE);
		assert_int_equal(
			verify_signed_with(&ring, &some, pack ? own : issuer_key), HB_DROP_TAG);
		assert_int_equal(verify_signed_with(&ring, &some, other_user), HB_DROP_TAG);
		assert_int_equal(verify_signed_with(&ring, &some, other_epoch), HB_DROP_TAG);
		assert_int_equal(
			verify_signed_with(&ring, &some, ring.epoch_key[some.epoch]), HB_DROP_TAG);
		assert_int_equal(verify_signed_with(&ring, &some, zero), HB_DROP_TAG);
		/* Without an issuer key no PACK verifies, and the rest goes on as before. */
		enum hb_drop drop = verify_signed_with(&no_issuer, &some, pack ? issuer_key : own);
		if (pack)
			assert_int_not_equal(drop, HB_DROP_NONE);
		else
			assert_int_equal(drop, HB_DROP_NONE);
	}
}

static void
each_of_256_epochs_is_held_on_its_own(void **state)
{
	static struct hb_keyring one;

	(void)state;
	for (unsigned e = 0; e < 256; e++)
		memset(one.epoch_key[e], (int)e, 16);
	for (unsigned held = 0; held < 256; held += 5) {
		one.epoch_held[held] = true;
		for (unsigned e = 0; e < 256; e++) {
			struct hb_request some = {
				.op = HB_OP_SHAKE, .seq = 1, .user = 9, .epoch = (uint8_t)e};
			uint8_t key[16];

			hb_user_key(key, one.epoch_key[e], 9);
			assert_int_equal(verify_signed_with(&one, &some, key),
				e == held ? HB_DROP_NONE : HB_DROP_EPOCH);
		}
		one.epoch_held[held] = false;
	}
}

/* ---- replies ------------------------------------------------------------------------- */

static bool
says_wait(unsigned status)
{
	return status == HB_MISS || status == HB_THROTTLED || status == HB_EARLY ||
	       status == HB_BUSY;
}

static void
replies_are_24_bytes_and_zero_where_they_say_nothing(void **state)
{
	uint64_t random = 41;

	(void)state;
	for (unsigned round = 0; round < 4 * 200; round++) {
		for (unsigned status = HB_WIN; status < HB_STATUSES; status++) {
			bool gives = status == HB_WIN || status == HB_BUNDLE || status == HB_PACKED;
			struct hb_request some = some_request(1 + round % 4, &random), r;
			uint8_t before[HB_REQUEST_BYTES_MAX], want[HB_REPLY_BYTES], seal[8];
			unsigned n = spell(&some, before);
			uint8_t *block = malloc(n); /* of the request's size to the byte */
			struct hb_reply reply = {.status = (uint8_t)status, .ticket = ~0ull};

			memcpy(block, before, n);
			assert_int_equal(hb_wire_decode(&r, block, n), HB_DROP_NONE);
			hb_wire_verify(&ring, &r, 1);
			assert_int_equal(r.drop, HB_DROP_NONE);
			assert_int_equal(hb_status_gives(status), gives);
			if (gives)
				reply.id = hb_splitmix64(&random);
			if (gives || says_wait(status))
				reply.value = (uint32_t)hb_splitmix64(&random);

			memcpy(want, before, 8);
			want[1] = (uint8_t)status;
			put_big(want + 8, reply.id, 8);
			put_big(want + 16, reply.value, 4);
			sip_hash(seal, want, 20, r.key, false);
			if (gives)
				memcpy(want + 20, seal, 4);
			else
				put_big(want + 20, 0, 4);
			hb_wire_reply(&r, &reply);
			assert_memory_equal(block, want, HB_REPLY_BYTES);
			assert_memory_equal(block + HB_REPLY_BYTES, before + HB_REPLY_BYTES,
				n - HB_REPLY_BYTES);
			free(block);
		}
	}
}

/* Neither a reply nor a sealed win can be sent back as a request (what the reply's id is, the
 * request's user is). */
static void
a_reply_is_no_request(void **state)
{
	uint64_t random = 42;

	(void)state;
	for (unsigned status = HB_WIN; status < HB_STATUSES; status++) {
		struct hb_request some = some_request(HB_OP_SHAKE, &random), r;
		uint8_t payload[HB_REQUEST_BYTES_MAX];

		assert_int_equal(hb_wire_decode(&r, payload, spell(&some, payload)), HB_DROP_NONE);
		hb_wire_verify(&ring, &r, 1);
		hb_wire_reply(&r, &(struct hb_reply){.status = (uint8_t)status, .id = some.user});
		enum hb_drop drop = hb_wire_decode(&r, payload, HB_REPLY_BYTES);
		if (drop == HB_DROP_NONE) {
			struct hb_keyring all = ring;

			all.epoch_held[status] = true;
			memcpy(all.epoch_key[status], ring.epoch_key[some.epoch], 16);
			hb_wire_verify(&all, &r, 1);
			assert_int_equal(r.drop, HB_DROP_TAG);
		}
	}
}

/* ---- names --------------------------------------------------------------------------- */

static void
names_are_the_contracts(void **state)
{
	static const char *const status[] = {"?", "WIN", "MISS", "THROTTLED", "QUOTA", "EMPTY",
		"EARLY", "CLOSED", "WRONG", "UNKNOWN", "EXPIRED", "STALE", "BUSY", "DENIED",
		"BUNDLE", "PACKED", "CONFLICT", "MOVED"};
	static const char *const op[] = {"?", "SHAKE", "ANSWER", "GRAB", "PACK"};

	(void)state;
	assert_int_equal(HB_STATUSES, HB_COUNT_OF(status));
	for (unsigned i = 0; i < 300; i++) {
		assert_string_equal(hb_status_name(i), i < HB_COUNT_OF(status) ? status[i] : "?");
		assert_string_equal(hb_op_name(i), i < HB_COUNT_OF(op) ? op[i] : "?");
		assert_int_equal(hb_request_bytes(i), i < 5 ? op_bytes[i] : 0);
	}
	assert_string_equal(hb_status_name(UINT32_MAX), "?");
	assert_string_equal(hb_op_name(UINT32_MAX), "?");
	assert_string_equal(hb_drop_name(UINT32_MAX), "?");
	assert_string_equal(hb_drop_name(HB_DROPS), "?");
	for (unsigned a = 0; a < HB_DROPS; a++) {
		assert_true(strlen(hb_drop_name(a)) > 1);
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(hb_drop_name(a), hb_drop_name(b));
	}
	assert_string_equal(hb_drop_name(HB_DROP_IP_CHECKSUM), "ip_checksum");
	assert_string_equal(hb_drop_name(HB_DROP_TX), "tx");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector_user_key),
		cmocka_unit_test(vector_shards),
		cmocka_unit_test(vector_digest),
		cmocka_unit_test(vector_requests_are_encoded),
		cmocka_unit_test(vector_requests_verify),
		cmocka_unit_test(vector_win_is_sealed),
		cmocka_unit_test(tags_and_keys_are_siphash),
		cmocka_unit_test(digest_takes_off_outer_blanks_alone),
		cmocka_unit_test(derived_secrets_are_siphash_and_all_different),
		cmocka_unit_test(only_the_exact_length_decodes),
		cmocka_unit_test(only_version_1_and_its_ops_decode),
		cmocka_unit_test(zeros_are_refused_in_the_order_of_the_reasons),
		cmocka_unit_test(one_bit_is_enough_to_be_nonzero),
		cmocka_unit_test(every_field_comes_back),
		cmocka_unit_test(bursts_of_every_size_are_judged_one_by_one),
		cmocka_unit_test(nothing_is_touched_by_an_empty_burst),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(a_key_opens_only_its_own_door),
		cmocka_unit_test(each_of_256_epochs_is_held_on_its_own),
		cmocka_unit_test(replies_are_24_bytes_and_zero_where_they_say_nothing),
		cmocka_unit_test(a_reply_is_no_request),
		cmocka_unit_test(names_are_the_contracts),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
