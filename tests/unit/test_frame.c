/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames against a second reader and writer of Ethernet, IP and UDP, written byte by byte from the
 * standards: what it takes the library must take, with the same fields, and nothing else.
 */
#include "hb_wire.h"
#include "octets.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAME_MAX 2048
#define BASE_PORT 8192

static const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
static const uint8_t their_mac[6] = {0x02, 0, 0, 0, 0, 0x99};

static const struct hb_listen ours = {
	.ipv4 = {10, 1, 2, 3},
	.ipv6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53},
	.has_ipv4 = true,
	.has_ipv6 = true,
	.base_port = BASE_PORT,
};

/* ---- bytes --------------------------------------------------------------------------- */

static unsigned
sum_udp(const uint8_t *source, const uint8_t *destination, unsigned address_bytes,
	const uint8_t *udp, unsigned bytes)
{
	unsigned sum = sum16(0, source, address_bytes);

	sum = sum16(sum, destination, address_bytes);
	sum += 17 + bytes;
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum16(sum, udp, bytes);
}

/* ---- a frame to be written ------------------------------------------------------------ */

enum udp_sum_kind {
	SUM_RIGHT,
	SUM_ABSENT,
	SUM_WRONG,
};

/* All that a frame can be, good by default. */
struct sketch {
	const uint8_t *destination_mac, *source_mac;
	uint8_t source[16], destination[16];
	unsigned tags, tag_type[3], tag[3];
	int type; /* below 0: as the IP version says */
	bool ipv6;
	unsigned option_bytes; /* IPv4; a multiple of 4 */
	unsigned extensions;   /* IPv6: of chain[] */
	uint8_t chain[12];     /* their types */
	unsigned words[12];    /* their lengths beyond 8, in units of 8 */
	uint8_t segments_left;
	uint8_t protocol;
	uint8_t version;
	int header_words, ip_length_off, udp_length_off; /* 0: right */
	unsigned fragment;				 /* the IPv4 field */
	bool ip_sum_wrong;
	enum udp_sum_kind udp_sum;
	unsigned source_port, destination_port;
	uint8_t payload[64];
	unsigned payload_bytes;
	unsigned padding;
};

static void
sketch_payload(struct sketch *s, unsigned op, uint64_t *random)
{
	static const uint8_t key[16];
	struct hb_request r = {.op = (uint8_t)op, .epoch = 3, .seq = 1, .user = 1};

	r.seq |= (uint32_t)hb_splitmix64(random);
	r.user |= hb_splitmix64(random);
	if (op <= HB_OP_ANSWER)
		r.campaign = 7;
	r.arg = hb_splitmix64(random) | 1;
	r.terms = hb_splitmix64(random);
	s->payload_bytes = hb_wire_encode(&r, key, s->payload);
}

static struct sketch
sketch_good(bool ipv6, unsigned op, uint64_t *random)
{
	struct sketch s = {
		.destination_mac = our_mac,
		.source_mac = their_mac,
		.tag_type = {0x8100, 0x8100, 0x8100},
		.tag = {0x6064, 0x0065, 0x0066},
		.type = -1,
		.ipv6 = ipv6,
		.protocol = 17,
		.version = ipv6 ? 6 : 4,
		.source_port = 40000 + (unsigned)(hb_splitmix64(random) % 20000),
		.destination_port = BASE_PORT + (unsigned)(hb_splitmix64(random) % 4096),
		.fragment = 0x4000,
	};

	if (ipv6) {
		memcpy(s.destination, ours.ipv6, 16);
		memcpy(s.source, "\x20\x01\x0d\xb8\0\0\0\x07\0\0\0\0\0\0\x12\x34", 16);
	} else {
		memcpy(s.destination, ours.ipv4, 4);
		memcpy(s.source, "\xC6\x33\x64\x09", 4);
	}
	sketch_payload(&s, op, random);
	return s;
}

/* An extension header's 8 + 8 * words bytes, filled with PadN. */
static unsigned
draw_extension(uint8_t *p, const struct sketch *s, unsigned i, uint8_t next)
{
	unsigned bytes = 8 + 8 * s->words[i];

	memset(p, 0, bytes);
	p[0] = next;
	p[1] = (uint8_t)s->words[i];
	if (s->chain[i] == 43) {
		p[2] = 0;
		p[3] = s->segments_left;
	} else if (s->chain[i] == 44) {
		p[1] = 0;
	} else {
		p[2] = 1;
		p[3] = (uint8_t)(bytes - 4);
	}
	return bytes;
}

/* Draws the frame; returns its length. Offsets of the IP and UDP headers go to *l3 and *l4. */
static unsigned
draw(const struct sketch *s, uint8_t *f, unsigned *l3, unsigned *l4)
{
	unsigned at = 12, address_bytes = s->ipv6 ? 16 : 4, udp_bytes = 8 + s->payload_bytes;

	memcpy(f, s->destination_mac, 6);
	memcpy(f + 6, s->source_mac, 6);
	for (unsigned i = 0; i < s->tags; i++, at += 4) {
		put16(f + at, s->tag_type[i]);
		put16(f + at + 2, s->tag[i]);
	}
	put16(f + at, s->type >= 0 ? (unsigned)s->type : s->ipv6 ? 0x86DD : 0x0800);
	*l3 = at += 2;

	uint8_t *ip = f + at;
	if (s->ipv6) {
		unsigned extension_bytes = 0;

		memset(ip, 0, 8);
		ip[0] = (uint8_t)(s->version << 4 | 3);
		ip[1] = 0x51;
		ip[7] = 60;
		memcpy(ip + 8, s->source, 16);
		memcpy(ip + 24, s->destination, 16);
		ip[6] = s->extensions > 0 ? s->chain[0] : s->protocol;
		for (unsigned i = 0; i < s->extensions; i++)
			extension_bytes += draw_extension(ip + 40 + extension_bytes, s, i,
				i + 1 < s->extensions ? s->chain[i + 1] : s->protocol);
		put16(ip + 4, extension_bytes + udp_bytes + (unsigned)s->ip_length_off);
		at += 40 + extension_bytes;
	} else {
		unsigned header = 20 + s->option_bytes;

		memset(ip, 1, header); /* options: all NOP */
		ip[0] = (uint8_t)(s->version << 4 | (header / 4 + (unsigned)s->header_words));
		ip[1] = 0xB8;
		put16(ip + 2, header + udp_bytes + (unsigned)s->ip_length_off);
		put16(ip + 4, 0xBEEF);
		put16(ip + 6, s->fragment);
		ip[8] = 57;
		ip[9] = s->protocol;
		put16(ip + 10, 0);
		memcpy(ip + 12, s->source, 4);
		memcpy(ip + 16, s->destination, 4);
		put16(ip + 10, 0xFFFF ^ sum16(0, ip, header) ^ (s->ip_sum_wrong ? 0x0100 : 0));
		at += header;
	}
	*l4 = at;
	uint8_t *udp = f + at;
	put16(udp, s->source_port);
	put16(udp + 2, s->destination_port);
	put16(udp + 4, udp_bytes + (unsigned)s->udp_length_off);
	put16(udp + 6, 0);
	memcpy(udp + 8, s->payload, s->payload_bytes);
	if (s->udp_sum != SUM_ABSENT) {
		unsigned sum =
			0xFFFF ^ sum_udp(s->source, s->destination, address_bytes, udp, udp_bytes);

		if (s->udp_sum == SUM_WRONG)
			sum ^= 0x0004;
		put16(udp + 6, sum == 0 ? 0xFFFF : sum);
	}
	at += udp_bytes;
	memset(f + at, 0x77, s->padding);
	return at + s->padding;
}

/* ---- the second reader ----------------------------------------------------------------- */

struct reading {
	unsigned l3, l4, payload, payload_bytes;
	bool ipv6;
};

static bool
read_payload(const uint8_t *p, unsigned n)
{
	static const uint8_t zero[8];

	if (n < 24 || p[0] < 0x11 || p[0] > 0x14)
		return false;
	unsigned op = p[0] - 0x10u;
	if (n != 24 + (op > 1) * 8u + (op > 3) * 8u)
		return false;
	if (memcmp(p + 4, zero, 4) == 0 || memcmp(p + 8, zero, 8) == 0)
		return false;
	return op < 3 || (p[2] == 0 && p[3] == 0 && memcmp(p + 16, zero, 8) != 0);
}

/* Moves *at from the end of the IPv6 header to UDP; false when it doesn't lead there. */
static bool
read_extensions(const uint8_t *f, unsigned next, unsigned *at, unsigned end)
{
	for (unsigned taken = 0; next != 17; taken++) {
		if (taken == 8 || (next != 0 && next != 43 && next != 60))
			return false;
		if (*at + 8 > end)
			return false;
		unsigned bytes = (f[*at + 1] + 1u) * 8;
		if (*at + bytes > end || (next == 43 && f[*at + 3] != 0))
			return false;
		next = f[*at];
		*at += bytes;
	}
	return true;
}

/* Whether a frame is a request to us, and where its parts are. */
static bool
read_frame(const struct hb_listen *l, const uint8_t *f, unsigned len, struct reading *r)
{
	static const uint8_t zero[15];
	unsigned at = 12, end, sum;

	if (len < 14 || len > 1522 || f[6] % 2 == 1)
		return false;
	for (unsigned tags = 0; get16(f + at) == 0x8100 || get16(f + at) == 0x88A8; tags++) {
		if (tags == 2 || at + 6 > len)
			return false;
		at += 4;
	}
	unsigned type = get16(f + at);
	*r = (struct reading){.l3 = at += 2, .ipv6 = type == 0x86DD};
	const uint8_t *ip = f + at;
	if (type == 0x0800) {
		if (at + 20 > len || ip[0] < 0x45 || ip[0] > 0x4F)
			return false;
		unsigned header = ip[0] % 16 * 4, total = get16(ip + 2);
		if (total < header || at + total > len || sum16(0, ip, header) != 0xFFFF)
			return false;
		if (get16(ip + 6) % 0x4000 != 0 || ip[9] != 17)
			return false;
		if (!l->has_ipv4 || memcmp(ip + 16, l->ipv4, 4) != 0)
			return false;
		if (ip[12] == 0 || ip[12] == 127 || ip[12] >= 224)
			return false;
		end = at + total;
		at += header;
	} else if (type == 0x86DD) {
		if (at + 40 > len || ip[0] / 16 != 6 || at + 40 + get16(ip + 4) > len)
			return false;
		if (!l->has_ipv6 || memcmp(ip + 24, l->ipv6, 16) != 0)
			return false;
		if (ip[8] == 255 || (memcmp(ip + 8, zero, 15) == 0 && ip[23] < 2))
			return false;
		end = at + 40 + get16(ip + 4);
		at += 40;
		if (!read_extensions(f, ip[6], &at, end))
			return false;
		/* Longer headers than a reply could tell of. */
		if (at - r->l3 > 255)
			return false;
	} else {
		return false;
	}
	r->l4 = at;
	const uint8_t *udp = f + at;
	if (at + 8 > end || get16(udp + 4) != end - at || get16(udp) == 0)
		return false;
	if (get16(udp + 2) < l->base_port || get16(udp + 2) > l->base_port + 4095u)
		return false;
	if (r->ipv6)
		sum = sum_udp(ip + 8, ip + 24, 16, udp, end - at);
	else
		sum = sum_udp(ip + 12, ip + 16, 4, udp, end - at);
	if (get16(udp + 6) == 0 ? r->ipv6 : sum != 0xFFFF)
		return false;
	r->payload = at + 8;
	r->payload_bytes = end - r->payload;
	return read_payload(f + r->payload, r->payload_bytes);
}

/* Parses, and holds the outcome against the second reader's. */
static enum hb_drop
parse_checked(const struct hb_listen *l, uint8_t *f, unsigned len, struct hb_request *r)
{
	struct reading want;
	bool good = read_frame(l, f, len, &want);
	enum hb_drop drop = hb_frame_parse(l, f, len, 0, r);

	if (good != (drop == HB_DROP_NONE))
		fail_msg("length %u: %s, but the second reader %s it", len, hb_drop_name(drop),
			good ? "takes" : "refuses");
	assert_true(drop < HB_DROPS);
	if (!good)
		return drop;
	const uint8_t *p = f + want.payload;
	assert_ptr_equal(r->payload, p);
	assert_int_equal(r->l2_bytes, want.l3);
	assert_int_equal(r->l3_bytes, want.l4 - want.l3);
	assert_int_equal(r->ipv6, want.ipv6);
	assert_int_equal(r->op, p[0] - 0x10);
	assert_int_equal(r->epoch, p[1]);
	assert_int_equal(r->campaign, get16(p + 2));
	assert_int_equal(r->seq, (uint64_t)get16(p + 4) << 16 | get16(p + 6));
	assert_int_equal(r->user >> 32, (uint64_t)get16(p + 8) << 16 | get16(p + 10));
	assert_int_equal((uint32_t)r->user, get16(p + 12) << 16 | get16(p + 14));
	return drop;
}

/* ---- the reply -------------------------------------------------------------------------- */

static const uint8_t port_mac[6] = {0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE};

/* Answers the frame that the sketch was drawn into, and looks at every byte of the reply. */
static unsigned
reply_checked(const struct sketch *s, const struct hb_request *r, const struct hb_reply *reply,
	uint8_t *f, unsigned len)
{
	uint8_t asked[FRAME_MAX], payload[HB_REPLY_BYTES];
	unsigned at = 12, address_bytes = s->ipv6 ? 16 : 4;
	uint32_t skip = UINT32_MAX;

	memcpy(asked, f, len);
	uint32_t n = hb_frame_reply(r, reply, f, port_mac, &skip);
	assert_true(n <= len);
	assert_true(skip <= len - n);
	const uint8_t *a = f + skip;

	assert_memory_equal(a, s->source_mac, 6);
	assert_memory_equal(a + 6, s->destination_mac[0] & 1 ? port_mac : s->destination_mac, 6);
	for (unsigned i = 0; i < s->tags; i++, at += 4) {
		assert_int_equal(get16(a + at), s->tag_type[i]);
		assert_int_equal(get16(a + at + 2), s->tag[i]);
	}
	assert_int_equal(get16(a + at), s->ipv6 ? 0x86DD : 0x0800);
	at += 2;
	const uint8_t *ip = a + at;
	if (s->ipv6) {
		assert_int_equal(ip[0] >> 4, 6);
		assert_int_equal(get16(ip + 4), 32);
		assert_int_equal(ip[6], 17);
		assert_true(ip[7] >= 32);
		assert_memory_equal(ip + 8, s->destination, 16);
		assert_memory_equal(ip + 24, s->source, 16);
		at += 40;
	} else {
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(get16(ip + 2), 20 + 32);
		assert_int_equal(get16(ip + 6) & 0x3FFF, 0);
		assert_true(ip[8] >= 32);
		assert_int_equal(ip[9], 17);
		assert_int_equal(sum16(0, ip, 20), 0xFFFF);
		assert_memory_equal(ip + 12, s->destination, 4);
		assert_memory_equal(ip + 16, s->source, 4);
		at += 20;
	}
	const uint8_t *udp = a + at;
	assert_int_equal(get16(udp), s->destination_port);
	assert_int_equal(get16(udp + 2), s->source_port);
	assert_int_equal(get16(udp + 4), 32);
	assert_int_not_equal(get16(udp + 6), 0);
	assert_int_equal(sum_udp(s->destination, s->source, address_bytes, udp, 32), 0xFFFF);
	assert_int_equal(n, at + 32);

	memcpy(payload, s->payload, HB_REPLY_BYTES);
	struct hb_request alone = *r;
	alone.payload = payload;
	hb_wire_reply(&alone, reply);
	assert_memory_equal(udp + 8, payload, HB_REPLY_BYTES);
	/* What falls away behind it is not written to. */
	assert_memory_equal(a + n, asked + skip + n, len - skip - n);
	return get16(udp + 6);
}

/* Draws into a block of exactly the frame's size, parses it and answers it. */
static void
round_trip(const struct sketch *s, const struct hb_reply *reply)
{
	uint8_t drawn[FRAME_MAX];
	unsigned l3, l4, len = draw(s, drawn, &l3, &l4);
	uint8_t *f = malloc(len);
	struct hb_request r;

	assert_non_null(f);
	memcpy(f, drawn, len);
	memset(&r, 0xA5, sizeof(r));
	if (parse_checked(&ours, f, len, &r) != HB_DROP_NONE)
		fail_msg("a good frame: %s", hb_drop_name(hb_frame_parse(&ours, f, len, 0, &r)));
	assert_int_equal(r.l2_bytes, l3);
	assert_int_equal(r.l3_bytes, l4 - l3);
	assert_memory_equal(f, drawn, len);
	reply_checked(s, &r, reply, f, len);
	free(f);
}

static const struct hb_reply some_replies[] = {
	{.status = HB_MISS, .value = 1500},
	{.status = HB_WIN, .id = 0x700000001, .value = 888},
	{.status = HB_MOVED},
};

static void
requests_come_in_and_replies_go_out(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 6 * 4 * 100; i++) {
		struct sketch s = sketch_good(i % 2, 1 + i / 2 % 4, &random);

		s.tags = i / 8 % 3;
		s.tag_type[0] = s.tags == 2 && i % 5 < 3 ? 0x88A8 : 0x8100;
		s.padding = i % 7 == 0 ? i % 64 : 0;
		if (!s.ipv6 && i % 3 == 0)
			s.udp_sum = SUM_ABSENT;
		round_trip(&s, &some_replies[i % 3]);
	}
}

static void
ipv4_options_of_every_length(void **state)
{
	uint64_t random = 2;

	(void)state;
	for (unsigned bytes = 0; bytes <= 40; bytes += 4) {
		for (unsigned i = 0; i < 3 * 4 * 3; i++) {
			struct sketch s = sketch_good(false, 1 + i % 4, &random);

			s.option_bytes = bytes;
			s.tags = i / 4 % 3;
			s.padding = i % 2 * 9;
			round_trip(&s, &some_replies[i / 12]);
		}
	}
}

static void
ipv6_extension_headers(void **state)
{
	static const uint8_t kinds[] = {0, 60, 43};
	uint64_t random = 3;

	(void)state;
	for (unsigned count = 1; count <= 8; count++) {
		for (unsigned i = 0; i < 3 * 9; i++) {
			struct sketch s = sketch_good(true, 1 + i % 4, &random);

			s.extensions = count;
			for (unsigned at = 0; at < count; at++) {
				s.chain[at] = kinds[(i + at) % 3];
				s.words[at] = (i + at) % 5 == 0 ? 2 : 0;
			}
			s.tags = i % 3;
			s.padding = i % 4;
			round_trip(&s, &some_replies[i / 9]);
		}
	}
	/* One header that fills what a reply can tell of: 40 + 8 * 26 = 248 bytes. */
	for (unsigned words = 0; words <= 25; words++) {
		struct sketch s = sketch_good(true, HB_OP_PACK, &random);

		s.extensions = 1;
		s.chain[0] = 60;
		s.words[0] = words;
		round_trip(&s, &some_replies[words % 3]);
	}
}

static void
headers_too_long_to_answer_are_no_request(void **state)
{
	uint64_t random = 4;

	(void)state;
	for (unsigned words = 26; words <= 200; words++) {
		struct sketch s = sketch_good(true, HB_OP_SHAKE, &random);
		uint8_t f[FRAME_MAX];
		struct hb_request r;
		unsigned l3, l4;

		s.extensions = 1;
		s.chain[0] = 0;
		s.words[0] = words;
		unsigned len = draw(&s, f, &l3, &l4);
		assert_int_not_equal(parse_checked(&ours, f, len, &r), HB_DROP_NONE);
	}
}

static void
a_group_address_never_becomes_a_source(void **state)
{
	static const uint8_t groups[][6] = {{255, 255, 255, 255, 255, 255},
		{0x01, 0x00, 0x5E, 1, 2, 3}, {0x33, 0x33, 0, 0, 0, 0x53}};
	uint64_t random = 5;

	(void)state;
	for (unsigned i = 0; i < 3 * 2 * 3; i++) {
		struct sketch s = sketch_good(i % 2, HB_OP_SHAKE, &random);

		s.destination_mac = groups[i / 6];
		s.tags = i % 3;
		round_trip(&s, &some_replies[i % 3]);
	}
}

/* Ports at both ends of the range, wherever it begins. */
static void
the_range_is_4096_ports(void **state)
{
	static const unsigned bases[] = {0, 4096, 8192, 61440};
	uint64_t random = 6;

	(void)state;
	for (unsigned b = 0; b < HB_COUNT_OF(bases); b++) {
		struct hb_listen l = ours;

		l.base_port = (uint16_t)bases[b];
		for (unsigned port = 0; port < 65536;
			port += port % 4096 < 3 || port % 4096 > 4092 ? 1 : 97) {
			struct sketch s = sketch_good(port % 2, HB_OP_SHAKE, &random);
			uint8_t f[FRAME_MAX];
			struct hb_request r;
			unsigned l3, l4;

			s.destination_port = port;
			unsigned len = draw(&s, f, &l3, &l4);
			assert_int_equal(parse_checked(&l, f, len, &r),
				port / 4096 == bases[b] / 4096 ? HB_DROP_NONE : HB_DROP_PORT);
		}
	}
}

/* 1500 bytes behind the Ethernet header and two VLAN tags are taken, padding as it is; no more. */
static void
a_jumbo_is_refused_as_one(void **state)
{
	uint64_t random = 61;

	(void)state;
	for (unsigned len = 1500; len < 1600; len++) {
		struct sketch s = sketch_good(len % 2, HB_OP_SHAKE, &random);
		uint8_t f[FRAME_MAX];
		struct hb_request r;
		unsigned l3, l4, bare = draw(&s, f, &l3, &l4);

		s.padding = len - bare;
		assert_int_equal(draw(&s, f, &l3, &l4), len);
		assert_int_equal(parse_checked(&ours, f, len, &r),
			len <= 1522 ? HB_DROP_NONE : HB_DROP_JUMBO);
	}
}

/* ---- checksums --------------------------------------------------------------------------- */

/* Over 65536 values of 16 bits the sum is 0 once at least: it must be sent as 0xFFFF. */
static void
a_sum_of_zero_is_sent_as_ffff(void **state)
{
	uint64_t random = 7;

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct sketch s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		unsigned zero = 0, l3, l4;
		uint8_t f[FRAME_MAX];

		for (unsigned v = 0; v < 65536; v++) {
			struct hb_reply reply = {.status = HB_MISS, .value = v};
			unsigned len = draw(&s, f, &l3, &l4);
			struct hb_request r;

			assert_int_equal(hb_frame_parse(&ours, f, len, 0, &r), HB_DROP_NONE);
			zero += reply_checked(&s, &r, &reply, f, len) == 0xFFFF;
		}
		assert_true(zero >= 1);
	}
}

static void
a_request_whose_sum_is_ffff_is_taken(void **state)
{
	uint64_t random = 8;

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct sketch s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		unsigned found = 0, l3, l4;
		uint8_t f[FRAME_MAX];
		struct hb_request r;

		for (unsigned v = 0; v < 65536; v++) {
			put16(s.payload + 22, v);
			unsigned len = draw(&s, f, &l3, &l4);
			if (get16(f + l4 + 6) != 0xFFFF)
				continue;
			found++;
			assert_int_equal(parse_checked(&ours, f, len, &r), HB_DROP_NONE);
			/* Another payload under a sum of 0xFFFF is a bad sum, not an absent one. */
			f[len - 1] ^= 1;
			assert_int_equal(parse_checked(&ours, f, len, &r), HB_DROP_UDP_CHECKSUM);
			f[len - 1] ^= 1;
			put16(f + l4 + 6, 0);
			assert_int_equal(parse_checked(&ours, f, len, &r),
				ipv6 ? HB_DROP_UDP_CHECKSUM : HB_DROP_NONE);
		}
		assert_true(found >= 1);
	}
}

/* Every bit under a checksum, and the checksum itself. */
static void
every_flipped_bit_under_a_sum_is_refused(void **state)
{
	uint64_t random = 9;

	(void)state;
	for (unsigned i = 0; i < 2 * 4 * 2; i++) {
		struct sketch s = sketch_good(i % 2, 1 + i / 2 % 4, &random);
		uint8_t f[FRAME_MAX];
		unsigned l3, l4;

		s.option_bytes = i / 8 * 12;
		unsigned len = draw(&s, f, &l3, &l4);
		for (unsigned bit = (s.ipv6 ? l3 + 8 : l3) * 8; bit < len * 8; bit++) {
			struct hb_request r;

			if (s.ipv6 && bit / 8 >= l4 && bit / 8 < l4 + 2)
				continue; /* the source port is checked below */
			f[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(parse_checked(&ours, f, len, &r), HB_DROP_NONE);
			f[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (unsigned bit = l4 * 8; bit < l4 * 8 + 16; bit++) {
			struct hb_request r;

			f[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(parse_checked(&ours, f, len, &r), HB_DROP_UDP_CHECKSUM);
			f[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

/* What the NIC says that it has checked isn't looked at again, and nothing else is let through. */
static void
what_the_nic_has_checked_is_believed(void **state)
{
	uint64_t random = 10;
	const unsigned both = HB_FRAME_IP_CHECKED | HB_FRAME_UDP_CHECKED;

	(void)state;
	for (unsigned bad = 0; bad < 4; bad++) {
		for (unsigned checked = 0; checked < 4; checked++) {
			struct sketch s = sketch_good(false, HB_OP_GRAB, &random);
			enum hb_drop want = HB_DROP_NONE;
			uint8_t f[FRAME_MAX];
			struct hb_request r;
			unsigned l3, l4, flags = 0;

			if (checked & 1)
				flags |= HB_FRAME_IP_CHECKED;
			if (checked & 2)
				flags |= HB_FRAME_UDP_CHECKED;
			s.ip_sum_wrong = bad & 1;
			s.udp_sum = bad & 2 ? SUM_WRONG : SUM_RIGHT;
			if ((bad & 1) && !(checked & 1))
				want = HB_DROP_IP_CHECKSUM;
			else if ((bad & 2) && !(checked & 2))
				want = HB_DROP_UDP_CHECKSUM;
			unsigned len = draw(&s, f, &l3, &l4);
			assert_int_equal(hb_frame_parse(&ours, f, len, flags, &r), want);
		}
	}
	struct sketch s = sketch_good(true, HB_OP_GRAB, &random);
	uint8_t f[FRAME_MAX];
	struct hb_request r;
	unsigned l3, l4;

	s.udp_sum = SUM_ABSENT;
	assert_int_equal(
		hb_frame_parse(&ours, f, draw(&s, f, &l3, &l4), both, &r), HB_DROP_UDP_CHECKSUM);
	s.udp_sum = SUM_RIGHT;
	s.payload[7] = s.payload[6] = s.payload[5] = s.payload[4] = 0;
	assert_int_equal(hb_frame_parse(&ours, f, draw(&s, f, &l3, &l4), both, &r), HB_DROP_SEQ);
}

/* ---- reasons ------------------------------------------------------------------------------ */

static enum hb_drop
reason(const struct sketch *s)
{
	uint8_t drawn[FRAME_MAX];
	unsigned l3, l4, len = draw(s, drawn, &l3, &l4);
	uint8_t *f = malloc(len);
	struct hb_request r;

	memcpy(f, drawn, len);
	enum hb_drop drop = parse_checked(&ours, f, len, &r);
	free(f);
	return drop;
}

static void
ethernet_reasons(void **state)
{
	static const int types[] = {0x0806, 0x88CC, 0x0000, 0x05DC, 0xFFFF, 0x0801, 0x86DC, 0x9100};
	static const uint8_t group[6] = {0x03, 0, 0, 0, 0, 1};
	uint64_t random = 11;
	struct sketch s;

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		for (unsigned i = 0; i < HB_COUNT_OF(types); i++) {
			s = sketch_good(ipv6, HB_OP_SHAKE, &random);
			s.type = types[i];
			s.tags = i % 3;
			assert_int_equal(reason(&s), HB_DROP_NOT_IP);
		}
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		s.tags = 3;
		assert_int_equal(reason(&s), HB_DROP_NOT_IP);
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		s.source_mac = group;
		assert_int_equal(reason(&s), HB_DROP_SOURCE);
		/* The other version's Ethernet type. */
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		s.type = ipv6 ? 0x0800 : 0x86DD;
		assert_int_equal(reason(&s), HB_DROP_IP_HEADER);
	}
}

static void
ip_header_reasons(void **state)
{
	uint64_t random = 12;
	struct sketch s;

	(void)state;
	for (unsigned version = 0; version < 16; version++) {
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
			s = sketch_good(ipv6, HB_OP_SHAKE, &random);
			s.version = (uint8_t)version;
			assert_int_equal(reason(&s),
				version == (ipv6 ? 6 : 4) ? HB_DROP_NONE : HB_DROP_IP_HEADER);
		}
	}
	for (int less = 1; less <= 5; less++) {
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.header_words = -less;
		assert_int_equal(reason(&s), HB_DROP_IP_HEADER);
	}
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		for (int off = -52; off <= 60; off++) {
			enum hb_drop want = HB_DROP_UDP_LENGTH;

			s = sketch_good(ipv6, HB_OP_ANSWER, &random);
			s.ip_length_off = off;
			s.padding = 40;
			if (off == 0)
				want = HB_DROP_NONE;
			else if (off > 40 || (!ipv6 && off < -40))
				want = HB_DROP_IP_LENGTH;
			else if (ipv6 && off < -40)
				want = HB_DROP_IP_LENGTH; /* below 0: far above what is there */
			assert_int_equal(reason(&s), want);
		}
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		s.ip_length_off = 1;
		assert_int_equal(reason(&s), HB_DROP_IP_LENGTH);
	}
	for (unsigned bytes = 0; bytes <= 40; bytes += 4) {
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.option_bytes = bytes;
		s.ip_sum_wrong = true;
		assert_int_equal(reason(&s), HB_DROP_IP_CHECKSUM);
	}
}

static void
fragment_reasons(void **state)
{
	uint64_t random = 13;
	struct sketch s;

	(void)state;
	for (unsigned field = 0; field < 65536; field += field < 16 ? 1 : 0x1FF) {
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.fragment = field;
		assert_int_equal(reason(&s), field & 0x3FFF ? HB_DROP_FRAGMENT : HB_DROP_NONE);
	}
	for (unsigned bit = 0; bit < 14; bit++) {
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.fragment = 1u << bit;
		assert_int_equal(reason(&s), HB_DROP_FRAGMENT);
	}
	/* On IPv6 a fragment header is enough, even one of a whole datagram, wherever it stands. */
	for (unsigned before = 0; before < 8; before++) {
		s = sketch_good(true, HB_OP_SHAKE, &random);
		s.extensions = before + 1;
		memset(s.chain, 60, before);
		s.chain[before] = 44;
		assert_int_equal(reason(&s), HB_DROP_FRAGMENT);
	}
}

static void
address_reasons(void **state)
{
	static const uint8_t bad6[][16] = {
		{0}, {[15] = 1}, {0xFF, 0x02, [15] = 1}, {0xFF}, {0xFF, 0x0E, [13] = 1}};
	static const uint8_t good6[][16] = {{[15] = 2}, {[14] = 1}, {1}, {0xFE, 0x80, [15] = 1},
		{[8] = 1, [15] = 1}, {0xFE, 0xFF}};
	uint64_t random = 14;
	struct sketch s;

	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		bool bad = first == 0 || first == 127 || first >= 224;

		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.source[0] = (uint8_t)first;
		assert_int_equal(reason(&s), bad ? HB_DROP_SOURCE : HB_DROP_NONE);
	}
	s = sketch_good(false, HB_OP_SHAKE, &random);
	memset(s.source, 255, 4);
	assert_int_equal(reason(&s), HB_DROP_SOURCE);
	for (unsigned i = 0; i < HB_COUNT_OF(bad6); i++) {
		s = sketch_good(true, HB_OP_SHAKE, &random);
		memcpy(s.source, bad6[i], 16);
		assert_int_equal(reason(&s), HB_DROP_SOURCE);
	}
	for (unsigned i = 0; i < HB_COUNT_OF(good6); i++) {
		s = sketch_good(true, HB_OP_SHAKE, &random);
		memcpy(s.source, good6[i], 16);
		assert_int_equal(reason(&s), HB_DROP_NONE);
	}
	for (unsigned bit = 0; bit < 128; bit++) {
		s = sketch_good(true, HB_OP_SHAKE, &random);
		s.destination[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(reason(&s), HB_DROP_NOT_OURS);
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.destination[bit / 8 % 4] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(reason(&s), HB_DROP_NOT_OURS);
	}
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct hb_listen l = ours;
		uint8_t f[FRAME_MAX];
		struct hb_request r;
		unsigned l3, l4;

		l.has_ipv4 = ipv6;
		l.has_ipv6 = !ipv6;
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		assert_int_equal(parse_checked(&l, f, draw(&s, f, &l3, &l4), &r), HB_DROP_NOT_OURS);
		s = sketch_good(ipv6, HB_OP_SHAKE, &random);
		s.source_port = 0;
		assert_int_equal(reason(&s), HB_DROP_SOURCE);
	}
}

static void
transport_reasons(void **state)
{
	uint64_t random = 15;
	struct sketch s;

	(void)state;
	for (unsigned protocol = 0; protocol < 256; protocol++) {
		s = sketch_good(false, HB_OP_SHAKE, &random);
		s.protocol = (uint8_t)protocol;
		assert_int_equal(reason(&s), protocol == 17 ? HB_DROP_NONE : HB_DROP_NOT_UDP);
		if (protocol == 0 || protocol == 43 || protocol == 60)
			continue; /* an extension header out of UDP's bytes */
		s = sketch_good(true, HB_OP_SHAKE, &random);
		s.protocol = (uint8_t)protocol;
		assert_int_equal(reason(&s), protocol == 17   ? HB_DROP_NONE
					     : protocol == 44 ? HB_DROP_FRAGMENT
							      : HB_DROP_NOT_UDP);
	}
	s = sketch_good(true, HB_OP_SHAKE, &random);
	s.extensions = 9;
	memset(s.chain, 60, sizeof(s.chain));
	assert_int_equal(reason(&s), HB_DROP_NOT_UDP);
	for (unsigned left = 1; left < 256; left += 50) {
		s = sketch_good(true, HB_OP_SHAKE, &random);
		s.extensions = 2;
		s.chain[0] = 0;
		s.chain[1] = 43;
		s.segments_left = (uint8_t)left;
		assert_int_equal(reason(&s), HB_DROP_NOT_OURS);
	}
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		for (int off = -40; off <= 40; off++) {
			s = sketch_good(ipv6, HB_OP_GRAB, &random);
			s.udp_length_off = off;
			s.padding = 40;
			assert_int_equal(reason(&s), off == 0 ? HB_DROP_NONE : HB_DROP_UDP_LENGTH);
		}
		s = sketch_good(ipv6, HB_OP_GRAB, &random);
		s.udp_sum = SUM_WRONG;
		assert_int_equal(reason(&s), HB_DROP_UDP_CHECKSUM);
		s.udp_sum = SUM_ABSENT;
		assert_int_equal(reason(&s), ipv6 ? HB_DROP_UDP_CHECKSUM : HB_DROP_NONE);
	}
}

static void
payload_reasons(void **state)
{
	static const struct {
		unsigned op, at, bytes, value;
		enum hb_drop want;
	} cases[] = {
		{HB_OP_SHAKE, 0, 1, 0x21, HB_DROP_VERSION},
		{HB_OP_SHAKE, 0, 1, 0x01, HB_DROP_VERSION},
		{HB_OP_SHAKE, 0, 1, 0x10, HB_DROP_OP},
		{HB_OP_SHAKE, 0, 1, 0x15, HB_DROP_OP},
		{HB_OP_SHAKE, 0, 1, 0x12, HB_DROP_LENGTH},
		{HB_OP_PACK, 0, 1, 0x13, HB_DROP_LENGTH},
		{HB_OP_SHAKE, 4, 4, 0, HB_DROP_SEQ},
		{HB_OP_GRAB, 8, 8, 0, HB_DROP_USER},
		{HB_OP_GRAB, 3, 1, 1, HB_DROP_CAMPAIGN},
		{HB_OP_PACK, 2, 1, 1, HB_DROP_CAMPAIGN},
		{HB_OP_GRAB, 16, 8, 0, HB_DROP_PACKET},
		{HB_OP_PACK, 16, 8, 0, HB_DROP_PACKET},
		{HB_OP_SHAKE, 2, 2, 0, HB_DROP_NONE},
		{HB_OP_ANSWER, 16, 8, 0, HB_DROP_NONE},
	};
	uint64_t random = 16;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases) * 2; i++) {
		unsigned c = i / 2;
		struct sketch s = sketch_good(i % 2, cases[c].op, &random);

		memset(s.payload + cases[c].at, (int)cases[c].value, cases[c].bytes);
		assert_int_equal(reason(&s), cases[c].want);
	}
	for (unsigned n = 0; n <= 64; n++) {
		struct sketch s = sketch_good(n % 2, HB_OP_ANSWER, &random);

		s.payload_bytes = n;
		assert_int_equal(reason(&s), n == 32 ? HB_DROP_NONE : HB_DROP_LENGTH);
	}
}

/* With two things wrong the reason is that of the outer one. */
static void
the_first_reason_counts(void **state)
{
	static const enum hb_drop order[] = {HB_DROP_IP_HEADER, HB_DROP_IP_CHECKSUM,
		HB_DROP_FRAGMENT, HB_DROP_NOT_OURS, HB_DROP_SOURCE, HB_DROP_NOT_UDP,
		HB_DROP_UDP_LENGTH, HB_DROP_PORT, HB_DROP_UDP_CHECKSUM, HB_DROP_VERSION};
	uint64_t random = 17;

	(void)state;
	for (unsigned set = 1; set < 1u << HB_COUNT_OF(order); set++) {
		struct sketch s = sketch_good(false, HB_OP_SHAKE, &random);

		if (set & 1)
			s.version = 5;
		if (set & 2)
			s.ip_sum_wrong = true;
		if (set & 4)
			s.fragment = 0x2000;
		if (set & 8)
			s.destination[3]++;
		if (set & 16)
			s.source[0] = 240;
		if (set & 32)
			s.protocol = 6;
		if (set & 64)
			s.udp_length_off = 1;
		if (set & 128)
			s.destination_port = 80;
		if (set & 256)
			s.udp_sum = SUM_WRONG;
		if (set & 512)
			s.payload[0] = 0;
		assert_int_equal(reason(&s), order[__builtin_ctz(set)]);
	}
}

/* ---- reading no further than the frame ------------------------------------------------------ */

/* Bytes that end where their memory ends: reading one more is a fault. */
struct edge {
	uint8_t *page;
	size_t bytes;
};

static void
edge_make(struct edge *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	e->bytes = page;
	e->page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(e->page, MAP_FAILED);
	assert_int_equal(mprotect(e->page + page, page, PROT_NONE), 0);
}

static uint8_t *
edge_put(const struct edge *e, const uint8_t *bytes, unsigned n)
{
	uint8_t *at = e->page + e->bytes - n;

	memcpy(at, bytes, n);
	return at;
}

static void
edge_free(struct edge *e)
{
	munmap(e->page, 2 * e->bytes);
}

#define GOOD_FRAMES 64

/* A good frame of each kind. */
static struct sketch
good_frame(unsigned i, uint64_t *random)
{
	struct sketch s = sketch_good(i % 2, 1 + i / 2 % 4, random);

	s.tags = i / 8 % 3;
	s.padding = i % 3 * 7;
	if (!s.ipv6) {
		s.option_bytes = i / 8 * 8 % 44;
		s.udp_sum = i % 5 == 0 ? SUM_ABSENT : SUM_RIGHT;
		return s;
	}
	s.extensions = i / 8 % 5;
	for (unsigned at = 0; at < s.extensions; at++) {
		s.chain[at] = (uint8_t)(at == 0 ? 0 : at == 1 ? 43 : 60);
		s.words[at] = (i + at) % 3;
	}
	return s;
}

static void
every_truncation_is_refused_within_bounds(void **state)
{
	uint64_t random = 18;
	struct edge edge;

	(void)state;
	edge_make(&edge);
	for (unsigned i = 0; i < GOOD_FRAMES; i++) {
		struct sketch s = good_frame(i, &random);
		uint8_t f[FRAME_MAX];
		unsigned l3, l4, len = draw(&s, f, &l3, &l4);

		for (unsigned n = 0; n <= len; n++) {
			uint8_t *block = malloc(n), *at = edge_put(&edge, f, n);
			struct hb_request r;

			if (n > 0)
				memcpy(block, f, n);
			enum hb_drop drop = parse_checked(&ours, block, n, &r);
			free(block);
			assert_int_equal(hb_frame_parse(&ours, at, n, 0, &r), drop);
			if (n + s.padding >= len)
				assert_int_equal(drop, HB_DROP_NONE);
			else
				assert_int_equal(drop, n < l3 + (s.ipv6 ? 40 : 20)
							       ? HB_DROP_TRUNCATED
							       : HB_DROP_IP_LENGTH);
		}
	}
	edge_free(&edge);
}

/* Truncated with the lengths in the IP and UDP headers telling the truth: a full parse of less. */
static void
every_shorter_frame_that_is_honest_is_refused_within_bounds(void **state)
{
	uint64_t random = 19;

	(void)state;
	for (unsigned i = 0; i < GOOD_FRAMES; i++) {
		struct sketch s = good_frame(i, &random);
		uint8_t f[FRAME_MAX];

		s.padding = 0;
		unsigned l3, l4, len = draw(&s, f, &l3, &l4);
		for (unsigned n = l3 + (s.ipv6 ? 40 : 20 + s.option_bytes); n < len; n++) {
			uint8_t *block = malloc(n);
			struct hb_request r;

			memcpy(block, f, n);
			if (s.ipv6) {
				put16(block + l3 + 4, n - l3 - 40);
			} else {
				put16(block + l3 + 2, n - l3);
				put16(block + l3 + 10, 0);
				put16(block + l3 + 10,
					0xFFFF ^ sum16(0, block + l3, 20 + s.option_bytes));
			}
			if (n >= l4 + 6)
				put16(block + l4 + 4, n - l4);
			if (n >= l4 + 8) {
				put16(block + l4 + 6, 0);
				put16(block + l4 + 6,
					0xFFFF ^ sum_udp(s.source, s.destination, s.ipv6 ? 16 : 4,
							 block + l4, n - l4));
			}
			enum hb_drop drop = parse_checked(&ours, block, n, &r);
			free(block);
			if (n >= l4)
				assert_int_equal(
					drop, n < l4 + 8 ? HB_DROP_UDP_LENGTH : HB_DROP_LENGTH);
			else
				assert_int_equal(drop, HB_DROP_IP_LENGTH);
		}
	}
}

#define MUTATIONS 2000000
#define BLOCKS 1024

/* Puts the checksums right again, so that a change gets past them. */
static void
mend_sums(uint8_t *f, unsigned len, unsigned l3, unsigned l4, bool ipv6)
{
	if (l4 > len)
		return;
	if (!ipv6) {
		put16(f + l3 + 10, 0);
		put16(f + l3 + 10, 0xFFFF ^ sum16(0, f + l3, l4 - l3));
	}
	if (l4 + 8 > len)
		return;
	unsigned n = get16(f + l4 + 4);
	if (n < 8 || l4 + n > len)
		return;
	put16(f + l4 + 6, 0);
	unsigned sum = 0xFFFF ^ (ipv6 ? sum_udp(f + l3 + 8, f + l3 + 24, 16, f + l4, n)
				      : sum_udp(f + l3 + 12, f + l3 + 16, 4, f + l4, n));
	put16(f + l4 + 6, sum == 0 ? 0xFFFF : sum);
}

static unsigned
mutate(uint8_t *f, unsigned len, uint64_t *random)
{
	static const uint8_t likely[] = {
		0, 1, 4, 5, 6, 8, 17, 20, 24, 32, 43, 44, 60, 127, 0x45, 0x60, 0x81, 0x86, 255};
	uint64_t draw = hb_splitmix64(random);
	unsigned at = (unsigned)(draw >> 32) % len;

	switch (draw % 9) {
	case 0:
		f[at] = (uint8_t)(draw >> 8);
		break;
	case 1:
		f[at] ^= (uint8_t)(1u << (draw >> 8) % 8);
		break;
	case 2:
		f[at] = likely[(draw >> 8) % sizeof(likely)];
		break;
	case 3: /* a word a little off */
		if (at + 2 <= len)
			put16(f + at, get16(f + at) + (unsigned)(draw >> 8) % 33 - 16);
		break;
	case 4: /* shorter */
		len = draw & 0x800 ? at : len - (unsigned)(draw >> 16) % 12;
		break;
	case 5: /* longer */
		for (unsigned n = (unsigned)(draw >> 8) % 12; n > 0; n--)
			f[len++] = (uint8_t)(draw >> n);
		break;
	case 6: /* what stands in one place also stands in another */
		f[at] = f[(draw >> 8) % len];
		break;
	case 7: /* a run of zeros */
		for (unsigned n = 2u << (draw >> 8) % 3; n > 0 && at < len; n--)
			f[at++] = 0;
		break;
	default:
		for (unsigned n = (unsigned)(draw >> 8) % 5; n > 0 && at < len; n--)
			f[at++] = (uint8_t)(draw >> (16 + n));
		break;
	}
	return len;
}

static void
two_million_mutations_agree_with_the_second_reader(void **state)
{
	static uint8_t *block[BLOCKS]; /* one of each size, so that each frame ends where it ends */
	struct sketch good[GOOD_FRAMES];
	uint64_t random = 20;
	unsigned taken = 0, refused[HB_DROPS] = {0};

	(void)state;
	for (unsigned i = 0; i < GOOD_FRAMES; i++)
		good[i] = good_frame(i, &random);
	for (unsigned n = 0; n < BLOCKS; n++)
		assert_true((block[n] = malloc(n)) != NULL || n == 0);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		const struct sketch *s = &good[i % GOOD_FRAMES];
		uint8_t f[FRAME_MAX];
		unsigned l3, l4, len = draw(s, f, &l3, &l4);
		struct hb_request r;
		uint32_t skip;

		for (unsigned n = 1 + i / GOOD_FRAMES % 3; n > 0 && len > 14; n--)
			len = mutate(f, len, &random);
		if (i / GOOD_FRAMES % 4 != 0)
			mend_sums(f, len, l3, l4, s->ipv6);
		assert_true(len < BLOCKS);
		memcpy(block[len], f, len);
		enum hb_drop drop = parse_checked(&ours, block[len], len, &r);
		refused[drop]++;
		if (drop != HB_DROP_NONE)
			continue;
		taken++;
		memset(r.key, 0, sizeof(r.key));
		uint32_t n = hb_frame_reply(&r, &some_replies[1], block[len], port_mac, &skip);
		assert_true(skip + n <= len);
		assert_true(n >= 14 + 20 + 8 + HB_REPLY_BYTES);
	}
	for (unsigned n = 0; n < BLOCKS; n++)
		free(block[n]);
	/* The mutations must have got everywhere. */
	assert_in_range(taken, MUTATIONS / 20, MUTATIONS / 4 * 3);
	for (unsigned drop = HB_DROP_NONE; drop <= HB_DROP_PACKET; drop++) {
		/* A frame gets longer by some bytes only: a_jumbo_is_refused_as_one has it. */
		if (refused[drop] < 20 && drop != HB_DROP_JUMBO)
			fail_msg("%s: only %u times", hb_drop_name(drop), refused[drop]);
	}
}

/* ---- building ---------------------------------------------------------------------------------
 */

static void
built_frames_are_requests(void **state)
{
	uint64_t random = 30;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct sketch s = sketch_good(i % 2, 1 + i / 2 % 4, &random);
		struct hb_flow flow = {.src_port = (uint16_t)s.source_port,
			.dst_port = (uint16_t)s.destination_port,
			.vlan = (uint16_t)(i % 3 == 0 ? 1 + i % 4094 : 0),
			.ipv6 = s.ipv6};
		uint8_t box[HB_FRAME_BYTES_MAX + 8];
		struct hb_request r;

		memcpy(flow.src_mac, their_mac, 6);
		memcpy(flow.dst_mac, our_mac, 6);
		memcpy(flow.src_ip, s.source, 16);
		memcpy(flow.dst_ip, s.destination, 16);
		memset(box, 0xEE, sizeof(box));
		unsigned len = hb_frame_build(&flow, s.payload, s.payload_bytes, box);
		unsigned l2 = flow.vlan != 0 ? 18 : 14, l3 = s.ipv6 ? 40 : 20;
		assert_int_equal(len, l2 + l3 + 8 + s.payload_bytes);
		for (unsigned at = len; at < sizeof(box); at++)
			assert_int_equal(box[at], 0xEE);
		uint8_t *f = malloc(len);
		memcpy(f, box, len);
		assert_int_equal(parse_checked(&ours, f, len, &r), HB_DROP_NONE);
		assert_int_not_equal(get16(f + l2 + l3 + 6), 0);
		assert_memory_equal(f, our_mac, 6);
		assert_memory_equal(f + 6, their_mac, 6);
		if (flow.vlan != 0) {
			assert_int_equal(get16(f + 12), 0x8100);
			assert_int_equal(get16(f + 14), flow.vlan);
		}
		assert_int_equal(get16(f + l2 + l3), flow.src_port);
		assert_int_equal(get16(f + l2 + l3 + 2), flow.dst_port);
		assert_memory_equal(f + l2 + (s.ipv6 ? 8 : 12), s.source, s.ipv6 ? 16 : 4);
		assert_memory_equal(f + len - s.payload_bytes, s.payload, s.payload_bytes);

		s.tags = flow.vlan != 0;
		s.tag[0] = flow.vlan;
		reply_checked(&s, &r, &some_replies[i % 3], f, len);
		free(f);
	}
}

/* Any number of bytes, also odd: the sum pads them with a zero that is not sent. */
static void
built_frames_of_any_payload_sum_up(void **state)
{
	uint64_t random = 31;

	(void)state;
	for (unsigned n = 0; n <= HB_REQUEST_BYTES_MAX; n++) {
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
			struct sketch s = sketch_good(ipv6, HB_OP_PACK, &random);
			struct hb_flow flow = {.src_port = 1, .dst_port = 2, .ipv6 = ipv6};
			uint8_t f[HB_FRAME_BYTES_MAX];

			memcpy(flow.src_ip, s.source, 16);
			memcpy(flow.dst_ip, s.destination, 16);
			unsigned len = hb_frame_build(&flow, s.payload, n, f);
			unsigned at = 14 + (ipv6 ? 40 : 20);
			assert_int_equal(len, at + 8 + n);
			assert_int_equal(get16(f + at + 4), 8 + n);
			assert_int_equal(
				sum_udp(s.source, s.destination, ipv6 ? 16 : 4, f + at, 8 + n),
				0xFFFF);
			if (!ipv6)
				assert_int_equal(sum16(0, f + 14, 20), 0xFFFF);
		}
	}
}

/* A frame from a mould is hb_frame_build()'s, byte for byte, whatever carries the sums have. */
static void
moulds_make_the_same_frames(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct hb_flow flow = {.src_port = (uint16_t)hb_splitmix64(&random),
			.dst_port = (uint16_t)hb_splitmix64(&random)};
		uint8_t payload[HB_REQUEST_BYTES_MAX], want[HB_FRAME_BYTES_MAX];
		uint8_t got[HB_FRAME_BYTES_MAX];
		/* Half of them full of ones, where the carries are. */
		uint64_t fill = i % 2 == 0 ? UINT64_MAX : 0;
		unsigned n = 8 + 8 * (unsigned)(hb_splitmix64(&random) % 5);
		struct hb_mould mould;

		for (unsigned k = 0; k < n; k += 8) {
			uint64_t word = hb_splitmix64(&random) | fill;

			memcpy(payload + k, &word, 8);
		}
		for (unsigned k = 0; k < 4; k++) {
			flow.src_ip[k] = (uint8_t)(hb_splitmix64(&random) | fill);
			flow.dst_ip[k] = (uint8_t)(hb_splitmix64(&random) | (fill & 0xEF));
		}
		hb_mould_make(&mould, &flow, n);
		unsigned len = hb_frame_build(&flow, payload, n, want);
		assert_int_equal(mould.bytes, len);
		memcpy(got + HB_MOULD_PAYLOAD_AT, payload, n);
		hb_mould_cast(&mould, flow.src_ip, flow.src_port, flow.dst_port, got);
		assert_memory_equal(got, want, len);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_in_and_replies_go_out),
		cmocka_unit_test(ipv4_options_of_every_length),
		cmocka_unit_test(ipv6_extension_headers),
		cmocka_unit_test(headers_too_long_to_answer_are_no_request),
		cmocka_unit_test(a_group_address_never_becomes_a_source),
		cmocka_unit_test(the_range_is_4096_ports),
		cmocka_unit_test(a_jumbo_is_refused_as_one),
		cmocka_unit_test(a_sum_of_zero_is_sent_as_ffff),
		cmocka_unit_test(a_request_whose_sum_is_ffff_is_taken),
		cmocka_unit_test(every_flipped_bit_under_a_sum_is_refused),
		cmocka_unit_test(what_the_nic_has_checked_is_believed),
		cmocka_unit_test(ethernet_reasons),
		cmocka_unit_test(ip_header_reasons),
		cmocka_unit_test(fragment_reasons),
		cmocka_unit_test(address_reasons),
		cmocka_unit_test(transport_reasons),
		cmocka_unit_test(payload_reasons),
		cmocka_unit_test(the_first_reason_counts),
		cmocka_unit_test(every_truncation_is_refused_within_bounds),
		cmocka_unit_test(every_shorter_frame_that_is_honest_is_refused_within_bounds),
		cmocka_unit_test(two_million_mutations_agree_with_the_second_reader),
		cmocka_unit_test(built_frames_are_requests),
		cmocka_unit_test(built_frames_of_any_payload_sum_up),
		cmocka_unit_test(moulds_make_the_same_frames),
	};

	if (hb_wire_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
