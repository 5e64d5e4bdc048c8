/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tag check of a burst, by each instruction set that this processor has, against libsodium one
 * request at a time.
 */
#include "hb_wire.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const names[] = {"avx512", "avx2", "portable"};

static struct hb_keyring keys;
static uint8_t frame[HB_BURST][HB_REQUEST_BYTES_MAX];

static void
make_keys(void)
{
	uint64_t random = 99;

	memset(&keys, 0, sizeof(keys));
	for (unsigned epoch = 0; epoch < 256; epoch++) {
		for (unsigned i = 0; i < HB_KEY_BYTES; i++)
			keys.epoch_key[epoch][i] = (uint8_t)hb_splitmix64(&random);
		/* 3 and 251 are held, and at first nothing else is. */
		keys.epoch_held[epoch] = epoch == 3 || epoch == 251;
	}
	for (unsigned i = 0; i < HB_KEY_BYTES; i++)
		keys.issuer[i] = (uint8_t)hb_splitmix64(&random);
	keys.issuer_held = true;
}

/* What libsodium makes of a request. */
static enum hb_drop
judge(const struct hb_request *r, uint8_t key[HB_KEY_BYTES])
{
	unsigned bytes = hb_request_bytes(r->op) - HB_TAG_BYTES;
	uint8_t tag[HB_TAG_BYTES];

	if (r->op == HB_OP_PACK) {
		if (!keys.issuer_held)
			return HB_DROP_TAG;
		memcpy(key, keys.issuer, HB_KEY_BYTES);
	} else {
		if (!keys.epoch_held[r->epoch])
			return HB_DROP_EPOCH;
		crypto_shorthash_siphashx24(key, r->payload + 8, 8, keys.epoch_key[r->epoch]);
	}
	crypto_shorthash_siphash24(tag, r->payload, bytes, key);
	return memcmp(tag, r->payload + bytes, HB_TAG_BYTES) == 0 ? HB_DROP_NONE : HB_DROP_TAG;
}

/* A request with everything drawn: of one op or any; its tag right, or off by one bit, or random.
 */
static void
draw(struct hb_request *r, uint8_t *p, unsigned op, uint64_t *random)
{
	uint64_t a = hb_splitmix64(random);
	struct hb_request q = {
		.op = (uint8_t)(op != 0 ? op : 1 + a % 4),
		.epoch = (uint8_t)(a >> 8 & 1	? 3
				   : a >> 9 & 7 ? 251
						: a >> 12),
		.campaign = (uint16_t)(a >> 20),
		.seq = (uint32_t)(a >> 32) | 1,
		.user = hb_splitmix64(random) | 1,
		.arg = hb_splitmix64(random) | 1,
		.terms = hb_splitmix64(random),
	};
	uint8_t key[HB_KEY_BYTES];

	if (q.op >= HB_OP_GRAB)
		q.campaign = 0;
	if (q.op == HB_OP_PACK)
		memcpy(key, keys.issuer, sizeof(key));
	else
		hb_user_key(key, keys.epoch_key[q.epoch], q.user);
	unsigned bytes = hb_wire_encode(&q, key, p);
	uint64_t how = hb_splitmix64(random);
	if (how % 4 == 1) {
		p[bytes - 1 - (how >> 8) % HB_TAG_BYTES] ^= (uint8_t)(1u << (how >> 16) % 8);
	} else if (how % 4 == 2) {
		/* Any bit under the tag, but of what the decoder refuses. */
		unsigned at = 2 + (unsigned)(how >> 8) % (bytes - HB_TAG_BYTES - 2);
		p[at] ^= (uint8_t)(1u << (how >> 16) % 8);
	}
	memset(r, 0xA5, sizeof(*r));
	if (hb_wire_decode(r, p, bytes) != HB_DROP_NONE) {
		hb_wire_encode(&q, key, p);
		assert_int_equal(hb_wire_decode(r, p, bytes), HB_DROP_NONE);
	}
}

static unsigned
check_burst(unsigned n, unsigned op, uint64_t *random)
{
	struct hb_request r[HB_BURST];
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++)
		draw(&r[i], frame[i], op, random);
	hb_wire_verify(&keys, r, n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t key[HB_KEY_BYTES];
		enum hb_drop drop = judge(&r[i], key);

		assert_int_equal(r[i].drop, drop);
		if (drop != HB_DROP_EPOCH && keys.issuer_held)
			assert_memory_equal(r[i].key, key, sizeof(key));
		good += drop == HB_DROP_NONE;
	}
	return good;
}

/* Bursts of every length, of one op and of all. */
static void
each_agrees_with_libsodium(void **state)
{
	(void)state;
	for (unsigned v = 0; v < HB_COUNT_OF(names); v++) {
		uint64_t random = 7, checked = 0, good = 0;

		make_keys();
		if (hb_wire_verify_with(names[v]) == -ENOTSUP) {
			print_message("# this processor has no %s\n", names[v]);
			continue;
		}
		assert_string_equal(hb_wire_verified_with(), names[v]);
		for (unsigned round = 0; checked < 1200000; round++) {
			for (unsigned n = 0; n <= HB_BURST; n++) {
				good += check_burst(n, round % 5, &random);
				checked += n;
			}
			keys.issuer_held = round % 8 != 7;
			keys.epoch_held[100] = round % 4 == 3;
		}
		assert_in_range(good, checked / 4, checked / 4 * 3);
	}
	assert_int_equal(hb_wire_verify_with(NULL), 0);
}

/* What is signed is what libsodium makes of it, and nothing else changes. */
static void
sign_burst(unsigned n, unsigned op, uint64_t *random)
{
	struct hb_request r[HB_BURST], was[HB_BURST];
	uint8_t before[HB_BURST][HB_REQUEST_BYTES_MAX];

	for (unsigned i = 0; i < n; i++) {
		draw(&r[i], frame[i], op, random);
		was[i] = r[i];
		memcpy(before[i], frame[i], sizeof(before[i]));
		/* The tag's place is filled; what is there must not matter. */
		memset(r[i].payload + hb_request_bytes(r[i].op) - HB_TAG_BYTES, (int)*random,
			HB_TAG_BYTES);
	}
	hb_wire_sign(&keys, r, n);
	for (unsigned i = 0; i < n; i++) {
		unsigned bytes = hb_request_bytes(r[i].op) - HB_TAG_BYTES;
		uint8_t key[HB_KEY_BYTES], tag[HB_TAG_BYTES];
		enum hb_drop drop = judge(&was[i], key);
		bool held = r[i].op == HB_OP_PACK ? keys.issuer_held : drop != HB_DROP_EPOCH;

		assert_memory_equal(frame[i], before[i], bytes);
		if (!held) {
			assert_int_equal(r[i].drop, drop);
			continue;
		}
		crypto_shorthash_siphash24(tag, frame[i], bytes, key);
		assert_int_equal(r[i].drop, HB_DROP_NONE);
		assert_memory_equal(frame[i] + bytes, tag, HB_TAG_BYTES);
		assert_memory_equal(r[i].key, key, sizeof(key));
	}
}

static void
each_signs_like_libsodium(void **state)
{
	(void)state;
	for (unsigned v = 0; v < HB_COUNT_OF(names); v++) {
		uint64_t random = 11;

		make_keys();
		if (hb_wire_verify_with(names[v]) == -ENOTSUP)
			continue;
		for (unsigned round = 0; round < 60; round++) {
			for (unsigned n = 0; n <= HB_BURST; n++)
				sign_burst(n, round % 5, &random);
			keys.issuer_held = round % 8 != 7;
		}
	}
	assert_int_equal(hb_wire_verify_with(NULL), 0);
}

static void
the_widest_is_chosen(void **state)
{
	(void)state;
	for (unsigned v = 0; v < HB_COUNT_OF(names); v++) {
		if (hb_wire_verify_with(names[v]) != 0)
			continue;
		assert_int_equal(hb_wire_verify_with(NULL), 0);
		assert_string_equal(hb_wire_verified_with(), names[v]);
		break;
	}
	assert_int_equal(hb_wire_verify_with("sse9"), -EINVAL);
	assert_int_equal(hb_wire_verify_with("portable"), 0);
	assert_int_equal(hb_wire_verify_with(NULL), 0);
}

static int
init(void **state)
{
	(void)state;
	return hb_wire_init();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_agrees_with_libsodium),
		cmocka_unit_test(each_signs_like_libsodium),
		cmocka_unit_test(the_widest_is_chosen),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
