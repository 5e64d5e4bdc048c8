/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Eight frames abreast against one by one: the parser, the tag check and the replies, and the marks
 * in a bucket of users, which have a form for AVX-512 too. Where the processor has no AVX-512
 * nothing goes abreast, and these tests say so and are skipped.
 *
 * Frames stand right behind or right before a page that can't be touched, so that whatever reads or
 * writes beyond one doesn't go unseen.
 */
#include "hb_users.h"
#include "hb_wire.h"
#include "octets.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL_CHECKED (HB_FRAME_IP_CHECKED | HB_FRAME_UDP_CHECKED)

/* Of the longest request in a plain frame. */
#define LONGEST (14 + 20 + 8 + HB_REQUEST_BYTES_MAX)

/* Offsets in a plain frame. */
enum {
	AT_TYPE = 12,
	AT_IP = 14,
	AT_IP_ID = 18,
	AT_IP_SUM = 24,
	AT_SOURCE = 26,
	AT_TARGET = 30,
	AT_UDP = 34,
	AT_PORT = 36,
	AT_UDP_BYTES = 38,
	AT_UDP_SUM = 40,
	AT_PAYLOAD = 42,
	AT_SEQ = 46,
	AT_USER = 50,
	AT_TAG = 58,
	AT_LAST = 64, /* the last two bytes of a shake or a reply */
};

static struct hb_keyring keys;

static bool
chance(uint64_t *random, unsigned of)
{
	return hb_splitmix64(random) % of == 0;
}

static void
fill(void *p, size_t n, uint64_t *random)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)hb_splitmix64(random);
}

/* One of the ends of the range, one beside them, or any. */
static uint64_t
edgy(uint64_t *random, uint64_t least, uint64_t most)
{
	uint64_t v = hb_splitmix64(random);

	if (v % 4 == 0)
		return v & 16 ? least : most;
	if (v % 4 == 1 && most > least)
		return v & 16 ? least + 1 : most - 1;
	return most - least == UINT64_MAX ? v : least + hb_splitmix64(random) % (most - least + 1);
}

/* False, loudly, where nothing goes abreast. */
static bool
abreast_here(void)
{
	if (hb_wire_abreast())
		return true;
	print_message("# this processor has no avx512: nothing goes abreast, and nothing of it is "
		      "tested\n");
	return false;
}

/* That these tests aren't skipped where something is to be tested. */
static void
whoever_has_the_widest_goes_abreast(void **state)
{
	static const char *const others[] = {"avx2", "portable"};

	(void)state;
	assert_int_equal(hb_wire_abreast(), strcmp(hb_wire_verified_with(), "avx512") == 0);
	for (unsigned i = 0; i < HB_COUNT_OF(others); i++) {
		if (hb_wire_verify_with(others[i]) == 0)
			assert_false(hb_wire_abreast());
	}
	assert_int_equal(hb_wire_verify_with(NULL), 0);
	assert_int_equal(hb_wire_abreast(), strcmp(hb_wire_verified_with(), "avx512") == 0);
}

/* ---- frames -------------------------------------------------------------------------- */

/* Room for frames, each alone on a page between two that can't be touched. */
static struct {
	uint8_t *page[HB_BURST];
	size_t bytes; /* of a page */
} room;

static int
make_room(void **state)
{
	(void)state;
	room.bytes = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, (2 * HB_BURST + 1) * room.bytes, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	for (unsigned i = 0; i < HB_BURST; i++) {
		room.page[i] = p + (2 * i + 1) * room.bytes;
		if (mprotect(room.page[i], room.bytes, PROT_READ | PROT_WRITE) != 0)
			return -1;
	}
	return hb_wire_init();
}

/* Where a frame of n bytes stands: at the end of its page, or at its start. */
static uint8_t *
place(unsigned i, size_t n, bool at_end)
{
	return room.page[i] + (at_end ? room.bytes - n : 0);
}

/* What UDP's checksum field is to be, that field taken for 0; of n bytes of UDP. */
static unsigned
udp_sum(const uint8_t *f, unsigned n)
{
	unsigned sum = sum16(17 + n, f + AT_SOURCE, 8);

	sum = sum16(sum, f + AT_UDP, AT_UDP_SUM - AT_UDP);
	return ~sum16(sum, f + AT_PAYLOAD, n - 8) & 0xFFFF;
}

/* Writes both checksums as a sender does, or none for UDP. */
static void
put_sums(uint8_t *f, unsigned n, bool udp)
{
	unsigned sum = udp_sum(f, n);

	put16(f + AT_IP_SUM, 0);
	put16(f + AT_IP_SUM, ~sum16(0, f + AT_IP, 20) & 0xFFFF);
	put16(f + AT_UDP_SUM, !udp ? 0 : sum == 0 ? 0xFFFF : sum);
}

/* Has the checksums of a shake come out as 0: one of two bytes each is chosen for it. */
static void
steer_sums(uint8_t *f)
{
	put16(f + AT_LAST, 0);
	put16(f + AT_LAST, udp_sum(f, 32));
	put16(f + AT_IP_SUM, 0);
	put16(f + AT_IP_ID, 0);
	put16(f + AT_IP_ID, ~sum16(0, f + AT_IP, 20) & 0xFFFF);
}

/* A plain frame of a request with everything drawn that may differ. Its tag is random. */
static void
draw_frame(uint8_t *f, unsigned op, const struct hb_listen *l, uint64_t *random)
{
	unsigned udp_bytes = 8 + hb_request_bytes(op);
	uint64_t user = edgy(random, 1, UINT64_MAX);

	fill(f, AT_PAYLOAD + hb_request_bytes(op), random);
	f[6] &= 0xFE;
	put16(f + AT_TYPE, 0x0800);
	f[AT_IP] = 0x45;
	put16(f + AT_IP + 2, 20 + udp_bytes);
	put16(f + AT_IP + 6, get16(f + AT_IP + 6) & 0xC000);
	f[AT_IP + 9] = 17;
	do
		f[AT_SOURCE] = (uint8_t)edgy(random, 1, 223);
	while (f[AT_SOURCE] == 127);
	memcpy(f + AT_TARGET, l->ipv4, 4);
	put16(f + AT_UDP, (unsigned)edgy(random, 1, 0xFFFF));
	put16(f + AT_PORT, l->base_port + (unsigned)edgy(random, 0, HB_SHARDS - 1));
	put16(f + AT_UDP_BYTES, udp_bytes);
	f[AT_PAYLOAD] = (uint8_t)(HB_WIRE_VERSION << 4 | op);
	uint32_t seq = htobe32((uint32_t)edgy(random, 1, UINT32_MAX));
	memcpy(f + AT_SEQ, &seq, sizeof(seq));
	user = htobe64(chance(random, 4) ? 1ull << hb_splitmix64(random) % 64 : user);
	memcpy(f + AT_USER, &user, sizeof(user));
	if (op >= HB_OP_GRAB)
		put16(f + AT_PAYLOAD + 2, 0);
	if (op == HB_OP_SHAKE && chance(random, 8))
		steer_sums(f);
	put_sums(f, udp_bytes, !chance(random, 4));
}

/* ---- the parser ----------------------------------------------------------------------- */

static struct hb_listen
draw_listen(uint64_t *random)
{
	static const uint16_t base[] = {0, 4096, 8192, 0xF000};
	struct hb_listen l = {.has_ipv4 = true, .base_port = base[hb_splitmix64(random) % 4]};

	fill(l.ipv4, sizeof(l.ipv4), random);
	return l;
}

/* One field at a value that is just right or just wrong. */
static void
set_edge(uint8_t *f, const struct hb_listen *l, uint64_t *random)
{
	static const uint8_t source[] = {0, 1, 126, 127, 128, 223, 224, 239, 240, 255};
	static const uint16_t type[] = {0x0800, 0x0008, 0x8100, 0x88A8, 0x86DD, 0x0806};
	static const uint16_t fragment[] = {0x2000, 0x0001, 0x1FFF, 0x0100, 0x4000, 0x8000, 0xE000};
	uint64_t v = hb_splitmix64(random);

	switch (hb_splitmix64(random) % 17) {
	case 0:
		f[AT_SOURCE] = source[v % HB_COUNT_OF(source)];
		break;
	case 1:
		f[6] ^= 1;
		break;
	case 2:
		put16(f + AT_UDP, v % 2 == 0 ? 0 : (v & 0x10 ? 0x0100 : 0x0001));
		break;
	case 3:
		put16(f + AT_PORT, l->base_port - 1u + (unsigned)(v % 2) * (HB_SHARDS + 1));
		break;
	case 4:
		put16(f + AT_PORT, l->base_port + (unsigned)(v % 2) * (HB_SHARDS - 1));
		break;
	case 5:
		memset(f + AT_SEQ, 0, 4);
		break;
	case 6:
		memset(f + AT_USER, 0, 8);
		break;
	case 7:
		f[AT_PAYLOAD] = (uint8_t)(v & 0x10 ? 0x10 | v % 16 : (v % 16) << 4 | HB_OP_SHAKE);
		break;
	case 8:
		put16(f + AT_IP + 2, 51 + (unsigned)(v % 3));
		break;
	case 9:
		put16(f + AT_UDP_BYTES, 31 + (unsigned)(v % 3));
		break;
	case 10:
		f[AT_IP] = (uint8_t)(v & 0x10 ? 0x40 | v % 16 : (v % 16) << 4 | 5);
		break;
	case 11:
		put16(f + AT_TYPE, type[v % HB_COUNT_OF(type)]);
		break;
	case 12:
		put16(f + AT_IP + 6, fragment[v % HB_COUNT_OF(fragment)]);
		break;
	case 13:
		f[AT_IP + 9] = (uint8_t)(v % 2 == 0 ? v >> 8 : 16 + (v >> 8) % 3);
		break;
	case 14:
		f[AT_TARGET + v % 4] ^= (uint8_t)(1u << (v >> 8) % 8);
		break;
	case 15:
		put16(f + AT_UDP_SUM, v % 2 == 0 ? 0xFFFF : 0);
		break;
	default:
		put16(f + AT_IP_SUM, v % 2 == 0 ? 0xFFFF : 0);
		break;
	}
}

/* Something is different with a frame, which may still be in order. */
static void
spoil(uint8_t *f, const struct hb_listen *l, uint64_t *random)
{
	switch (hb_splitmix64(random) % 4) {
	case 0:
		for (uint64_t n = 1 + hb_splitmix64(random) % 3; n > 0; n--) {
			uint64_t bit = hb_splitmix64(random) % (8 * HB_SHAKE_FRAME_BYTES);

			f[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		break;
	case 1:
		f[hb_splitmix64(random) % HB_SHAKE_FRAME_BYTES] = (uint8_t)hb_splitmix64(random);
		break;
	default:
		set_edge(f, l, random);
		break;
	}
	/* With the sums right again all the rest of the parser is reached. */
	if (!chance(random, 4))
		put_sums(f, 32, get16(f + AT_UDP_SUM) != 0);
}

static void
assert_same_request(const struct hb_request *a, const struct hb_request *b)
{
	assert_int_equal(a->user, b->user);
	assert_int_equal(a->arg, b->arg);
	assert_int_equal(a->terms, b->terms);
	assert_ptr_equal(a->payload, b->payload);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->campaign, b->campaign);
	assert_int_equal(a->shard, b->shard);
	assert_int_equal(a->op, b->op);
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->drop, b->drop);
	assert_int_equal(a->l2_bytes, b->l2_bytes);
	assert_int_equal(a->l3_bytes, b->l3_bytes);
	assert_int_equal(a->ipv6, b->ipv6);
}

static void
assert_words(const struct hb_words *w, unsigned at, uint8_t *const *frame)
{
	for (unsigned i = 0; i < HB_BURST; i++) {
		uint64_t word[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

		if (i - at < HB_ABREAST)
			memcpy(word, frame[i - at] + AT_PAYLOAD, sizeof(word));
		assert_int_equal(w->first[i], word[0]);
		assert_int_equal(w->user[i], word[1]);
		assert_int_equal(w->tag[i], word[2]);
	}
}

/* Parses eight frames both ways. Returns whether they were taken. */
static bool
parse_both(const struct hb_listen *l, uint8_t *const *frame, unsigned checked, uint64_t *random)
{
	struct hb_request one[HB_ABREAST], many[HB_ABREAST + 1];
	unsigned at = (unsigned)(hb_splitmix64(random) % (HB_BURST / HB_ABREAST)) * HB_ABREAST;
	struct hb_words words;
	bool good = true;

	memset(&words, 0xFF, sizeof(words));
	memset(one, 0xA5, sizeof(one));
	memset(many, 0x5A, sizeof(many));
	for (unsigned i = 0; i < HB_ABREAST; i++)
		good &= hb_frame_parse(l, frame[i], HB_SHAKE_FRAME_BYTES, checked, &one[i]) ==
			HB_DROP_NONE;
	/* Neither less nor more: what is refused costs time. */
	assert_int_equal(hb_frame_parse_abreast(l, frame, checked, many, &words, at), good);
	if (!good)
		return false;
	for (unsigned i = 0; i < HB_ABREAST; i++)
		assert_same_request(&many[i], &one[i]);
	assert_words(&words, at, frame);
	for (unsigned i = 0; i < sizeof(*many); i++)
		assert_int_equal(((uint8_t *)&many[HB_ABREAST])[i], 0x5A);
	return true;
}

static void
takes_what_all_eight_would_be_taken_for(void **state)
{
	uint8_t before[HB_ABREAST][HB_SHAKE_FRAME_BYTES], *frame[HB_ABREAST];
	unsigned taken = 0, taken_spoilt = 0;
	const unsigned rounds = 120000;
	uint64_t random = 1;

	(void)state;
	if (!abreast_here())
		skip();
	for (unsigned round = 0; round < rounds; round++) {
		struct hb_listen l = draw_listen(&random);
		unsigned checked = (unsigned)hb_splitmix64(&random) & ALL_CHECKED;
		unsigned which = (unsigned)(hb_splitmix64(&random) % HB_ABREAST);

		for (unsigned i = 0; i < HB_ABREAST; i++) {
			frame[i] = place(i, HB_SHAKE_FRAME_BYTES, round % 2);
			draw_frame(frame[i], HB_OP_SHAKE, &l, &random);
			memcpy(before[i], frame[i], sizeof(before[i]));
		}
		bool good = parse_both(&l, frame, checked, &random);

		assert_true(good);
		taken += good;
		/* The same with one that isn't so, again and again. */
		for (unsigned i = 0; i < 4; i++) {
			spoil(frame[which], &l, &random);
			taken_spoilt += parse_both(&l, frame, checked, &random);
			memcpy(frame[which], before[which], sizeof(before[which]));
		}
		for (unsigned i = 0; i < HB_ABREAST; i++)
			assert_memory_equal(frame[i], before[i], sizeof(before[i]));
	}
	assert_int_equal(taken, rounds);
	assert_in_range(taken_spoilt, rounds / 2, 3 * rounds);
}

/* Each bit of each of the eight for itself. */
static void
each_bit_counts_as_one_by_one(void **state)
{
	struct hb_listen l = {.ipv4 = {10, 0, 0, 1}, .has_ipv4 = true, .base_port = 8192};
	uint64_t random = 2;
	uint8_t *frame[HB_ABREAST];

	(void)state;
	if (!abreast_here())
		skip();
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < HB_ABREAST; i++) {
			frame[i] = place(i, HB_SHAKE_FRAME_BYTES, round % 2);
			draw_frame(frame[i], HB_OP_SHAKE, &l, &random);
		}
		for (unsigned bit = 0; bit < 8 * 8 * HB_SHAKE_FRAME_BYTES; bit++) {
			uint8_t *at = frame[bit % 8] + bit / 64;

			*at ^= (uint8_t)(1u << bit / 8 % 8);
			for (unsigned checked = 0; checked <= ALL_CHECKED; checked++)
				parse_both(&l, frame, checked, &random);
			*at ^= (uint8_t)(1u << bit / 8 % 8);
		}
	}
}

/* Where there is no IPv4 for us, nothing is taken; nor where the range of ports begins elsewhere
 * than it may. */
static void
takes_nothing_where_nothing_is_ours(void **state)
{
	struct hb_listen l = {.ipv4 = {10, 0, 0, 1}, .base_port = 8192};
	uint64_t random = 3;
	uint8_t *frame[HB_ABREAST];

	(void)state;
	if (!abreast_here())
		skip();
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		frame[i] = place(i, HB_SHAKE_FRAME_BYTES, true);
		draw_frame(frame[i], HB_OP_SHAKE, &l, &random);
		/* Ours in both ranges. */
		put16(frame[i] + AT_PORT, 9000);
		put_sums(frame[i], 32, true);
	}
	assert_false(parse_both(&l, frame, 0, &random));
	l.has_ipv4 = true;
	assert_true(parse_both(&l, frame, 0, &random));
	l.base_port = 8192 + 128;
	struct hb_request r[HB_ABREAST];
	struct hb_words words;

	assert_false(hb_frame_parse_abreast(&l, frame, 0, r, &words, 0));
}

/* ---- the tag check -------------------------------------------------------------------- */

static void
make_keys(uint64_t *random)
{
	fill(keys.epoch_key, sizeof(keys.epoch_key), random);
	for (unsigned epoch = 0; epoch < 256; epoch++)
		keys.epoch_held[epoch] = epoch < 192;
}

/* What libsodium makes of a shake: its user's key, and the tag. */
static void
tag_of(const uint8_t *payload, uint8_t key[HB_KEY_BYTES], uint8_t tag[HB_TAG_BYTES])
{
	crypto_shorthash_siphashx24(key, payload + 8, 8, keys.epoch_key[payload[1]]);
	crypto_shorthash_siphash24(tag, payload, 16, key);
}

/* Draws a shake's epoch, by how they are mixed, and gives it its tag, or one that is off by a bit
 * where it is forged. */
static void
draw_tag(uint8_t *f, unsigned mixed, bool forged, uint64_t *random)
{
	uint8_t key[HB_KEY_BYTES];
	uint64_t v = hb_splitmix64(random);

	f[AT_PAYLOAD + 1] = 3;
	/* Others differ by one bit. */
	if (mixed == 1 || (mixed == 2 && v % 64 == 0))
		f[AT_PAYLOAD + 1] ^= (uint8_t)((v >> 8 & 1) << (v >> 9) % 8);
	/* One that may not be held. */
	if (mixed == 3 && v % 64 == 0)
		f[AT_PAYLOAD + 1] = (uint8_t)(v >> 8);
	tag_of(f + AT_PAYLOAD, key, f + AT_TAG);
	f[AT_TAG + (v >> 16) % HB_TAG_BYTES] ^= (uint8_t)(forged << (v >> 24) % 8);
	put_sums(f, 32, true);
}

/* Draws n shakes, those of the mask forged, and parses them abreast. What stands in the words
 * behind them must not matter. */
static void
draw_burst(struct hb_request *r, struct hb_words *words, unsigned n, unsigned mixed,
	uint64_t forged, uint64_t *random)
{
	static const struct hb_listen l = {
		.ipv4 = {10, 0, 0, 1}, .has_ipv4 = true, .base_port = 8192};
	uint8_t *frame[HB_BURST];

	memset(r, 0x5A, HB_BURST * sizeof(*r));
	fill(words, sizeof(*words), random);
	for (unsigned i = 0; i < n; i++) {
		frame[i] = place(i, HB_SHAKE_FRAME_BYTES, true);
		draw_frame(frame[i], HB_OP_SHAKE, &l, random);
		draw_tag(frame[i], mixed, forged >> i & 1, random);
	}
	for (unsigned i = 0; i < n; i += HB_ABREAST)
		assert_true(hb_frame_parse_abreast(&l, frame + i, 0, r + i, words, i));
}

static void
check_burst(unsigned n, unsigned mixed, uint64_t forged, uint64_t *random)
{
	struct hb_request r[HB_BURST], one[HB_BURST];
	struct hb_words words;
	uint64_t bad = 0;

	draw_burst(r, &words, n, mixed, forged, random);
	memcpy(one, r, sizeof(one));
	hb_wire_verify(&keys, one, n);
	uint64_t got = hb_wire_verify_abreast(&keys, &words, r, n);

	for (unsigned i = 0; i < n; i++) {
		uint8_t key[HB_KEY_BYTES], tag[HB_TAG_BYTES];
		bool held = keys.epoch_held[r[i].epoch];

		tag_of(r[i].payload, key, tag);
		enum hb_drop drop = !held ? HB_DROP_EPOCH : HB_DROP_NONE;
		if (held && memcmp(tag, r[i].payload + 16, sizeof(tag)) != 0)
			drop = HB_DROP_TAG;
		assert_int_equal(r[i].drop, drop);
		assert_int_equal(one[i].drop, drop);
		bad |= (uint64_t)(drop != HB_DROP_NONE) << i;
		if (held)
			assert_memory_equal(r[i].key, key, sizeof(key));
		/* Nothing else of it changes. */
		memcpy(one[i].key, r[i].key, sizeof(key));
		assert_memory_equal(&r[i], &one[i], sizeof(r[i]));
	}
	assert_int_equal(got, bad);
	if (mixed != 3)
		assert_int_equal(bad, n == HB_BURST ? forged : forged & ((1ull << n) - 1));
	/* Nor anything behind them. */
	assert_memory_equal(&r[n], &one[n], (HB_BURST - n) * sizeof(*r));
}

static void
tags_are_checked_as_one_by_one(void **state)
{
	uint64_t random = 5;

	(void)state;
	if (!abreast_here())
		skip();
	make_keys(&random);
	for (unsigned n = 0; n <= HB_BURST; n += HB_ABREAST) {
		for (unsigned mixed = 0; mixed < 4; mixed++) {
			check_burst(n, mixed, 0, &random);
			check_burst(n, mixed, UINT64_MAX, &random);
			/* Each place for itself. */
			for (unsigned i = 0; i < n; i++)
				check_burst(n, mixed, 1ull << i, &random);
			for (unsigned i = 0; i < 50; i++)
				check_burst(n, mixed, hb_splitmix64(&random), &random);
		}
	}
}

/* ---- replies -------------------------------------------------------------------------- */

/* Has the UDP checksum of a reply without seal come out as 0, by what it says to wait. */
static void
steer_value(struct hb_reply *reply, const uint8_t *request, const uint8_t mac[6])
{
	uint8_t f[LONGEST];
	struct hb_request r = {.payload = f + AT_PAYLOAD, .l2_bytes = 14, .l3_bytes = 20};
	uint32_t skip;

	reply->value &= 0xFFFF0000;
	memcpy(f, request, sizeof(f));
	hb_frame_reply(&r, reply, f, mac, &skip);
	reply->value |= udp_sum(f, 32);
}

static struct hb_reply
draw_reply(unsigned status, const uint8_t *request, const uint8_t mac[6], uint64_t *random)
{
	struct hb_reply reply = {
		.status = (uint8_t)status,
		.id = chance(random, 4) ? 0 : hb_splitmix64(random),
		.value = chance(random, 4) ? 0 : (uint32_t)hb_splitmix64(random),
		.ticket = hb_splitmix64(random),
	};

	if (!hb_status_gives(status) && chance(random, 4))
		steer_value(&reply, request, mac);
	return reply;
}

/* Eight requests of the mask's ops and eight replies, written both ways. Returns how many had a
 * checksum that came out as 0. */
static unsigned
reply_both(const uint8_t *op, const uint8_t *status, bool at_end, uint64_t *random)
{
	static const struct hb_listen l = {
		.ipv4 = {10, 0, 0, 1}, .has_ipv4 = true, .base_port = 8192};
	uint8_t want[HB_ABREAST][LONGEST], mac[6];
	struct hb_request r[HB_ABREAST];
	struct hb_reply reply[HB_ABREAST];
	unsigned zero = 0;

	fill(mac, sizeof(mac), random);
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		unsigned bytes = AT_PAYLOAD + hb_request_bytes(op[i]);
		uint8_t *f = place(i, bytes, at_end);
		struct hb_request same;
		uint32_t skip;

		memset(want[i], 0, sizeof(want[i]));
		draw_frame(f, op[i], &l, random);
		assert_int_equal(hb_frame_parse(&l, f, bytes, 0, &r[i]), HB_DROP_NONE);
		assert_true(hb_request_plain(&r[i]));
		fill(r[i].key, sizeof(r[i].key), random);
		memcpy(want[i], f, bytes);
		reply[i] = draw_reply(status[i], want[i], mac, random);
		same = r[i];
		same.payload = want[i] + AT_PAYLOAD;
		assert_int_equal(hb_frame_reply(&same, &reply[i], want[i], mac, &skip),
			HB_SHAKE_FRAME_BYTES);
		assert_int_equal(skip, 0);
	}
	hb_frame_reply_abreast(r, reply, mac);
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		unsigned bytes = AT_PAYLOAD + hb_request_bytes(op[i]);
		const uint8_t *f = place(i, bytes, at_end);

		assert_memory_equal(f, want[i], bytes);
		/* And right for who knows neither. */
		assert_int_equal(sum16(0, f + AT_IP, 20), 0xFFFF);
		assert_int_not_equal(get16(f + AT_UDP_SUM), 0);
		zero += udp_sum(f, 32) == 0;
		if (udp_sum(f, 32) != 0)
			assert_int_equal(get16(f + AT_UDP_SUM), udp_sum(f, 32));
	}
	return zero;
}

static void
replies_are_the_same_bytes(void **state)
{
	uint64_t random = 9;
	unsigned zeros = 0;

	(void)state;
	if (!abreast_here())
		skip();
	for (unsigned round = 0; round < 60000; round++) {
		uint8_t op[HB_ABREAST], status[HB_ABREAST];

		for (unsigned i = 0; i < HB_ABREAST; i++) {
			op[i] = (uint8_t)(round % 2 == 0 ? (unsigned)HB_OP_SHAKE
							 : 1 + hb_splitmix64(&random) % 4);
			/* Most bursts are of misses; each status comes in each place. */
			status[i] = (uint8_t)(round % 4 == 3 ? (unsigned)HB_MISS
							     : 1 + hb_splitmix64(&random) %
									       (HB_STATUSES - 1));
		}
		zeros += reply_both(op, status, round & 8, &random);
	}
	/* 0 would say that there is no checksum: that was really met. */
	assert_true(zeros > 10000);
}

/* ---- a bucket of users ----------------------------------------------------------------- */

static unsigned
mark_by_hand(const struct hb_user *bucket, uint64_t user)
{
	unsigned found = 0;

	for (unsigned i = 0; i < HB_USERS_BUCKET; i++) {
		if (bucket[i].user == user || bucket[i].user == 0)
			found |= 1u << i;
	}
	return found;
}

/* Of whichever form this was built with. */
static void
buckets_are_marked_as_by_hand(void **state)
{
	struct hb_user bucket[HB_USERS_BUCKET] HB_ALIGNED;
	uint64_t random = 13;
	unsigned seen = 0;

	(void)state;
#ifndef __AVX512F__
	print_message("# built without avx512: buckets are marked by the plain form alone\n");
#endif
	for (unsigned round = 0; round < 2000000; round++) {
		uint64_t user = edgy(&random, 1, UINT64_MAX), how = hb_splitmix64(&random);

		for (unsigned i = 0; i < HB_USERS_BUCKET; i++) {
			uint64_t word[2] = {user, user};

			_Static_assert(sizeof(word) == sizeof(bucket[i]), "a row is two words");
			/* What isn't the user's name doesn't count, whatever stands there. */
			if (how >> (8 * i) & 1)
				word[1] = how >> (8 * i) & 2 ? 0 : hb_splitmix64(&random);
			memcpy(&bucket[i], word, sizeof(word));
			bucket[i].user = user;
			if (how >> (8 * i) & 4)
				bucket[i].user = how >> (8 * i) & 8 ? 0 : hb_splitmix64(&random);
			else if (how >> (8 * i) & 16)
				bucket[i].user ^= 1ull << (how >> 32) % 64;
		}
		unsigned found = hb_users_mark(bucket, user);

		assert_int_equal(found, mark_by_hand(bucket, user));
		seen |= 1u << found;
	}
	assert_int_equal(seen, 0xFFFF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_has_the_widest_goes_abreast),
		cmocka_unit_test(takes_what_all_eight_would_be_taken_for),
		cmocka_unit_test(each_bit_counts_as_one_by_one),
		cmocka_unit_test(takes_nothing_where_nothing_is_ours),
		cmocka_unit_test(tags_are_checked_as_one_by_one),
		cmocka_unit_test(replies_are_the_same_bytes),
		cmocka_unit_test(buckets_are_marked_as_by_hand),
	};

	return cmocka_run_group_tests_name("abreast", tests, make_room, NULL);
}
