/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions from the link against a second reader and writer of ARP, neighbour discovery and ping,
 * written byte by byte from the standards: it says for any frame what the answer has to be.
 */
#include "hb_host.h"
#include "octets.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FRAME_MAX 2048

static const uint8_t our_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x01};
static const uint8_t their_mac[6] = {0x02, 0x55, 0x66, 0x77, 0x88, 0x99};
static const uint8_t their_ipv4[4] = {10, 1, 9, 8};
static const uint8_t their_ipv6[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7};

static const struct hb_listen ours = {
	.ipv4 = {10, 1, 2, 3},
	.ipv6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x77, 0xA1, 0xB2, 0xC3},
	.has_ipv4 = true,
	.has_ipv6 = true,
	.base_port = 8192,
};

/* ---- bytes --------------------------------------------------------------------------- */

/* RFC 8200, 8.1: addresses, length, next header. */
static unsigned
sum_icmpv6(const uint8_t *ip, const uint8_t *icmp, unsigned n)
{
	uint8_t tail[8] = {0, 0, (uint8_t)(n >> 8), (uint8_t)n, 0, 0, 0, 58};

	return sum16(sum16(sum16(0, ip + 8, 32), tail, 8), icmp, n);
}

/* ---- questions ------------------------------------------------------------------------- */

enum kind {
	ARP,
	ARP_PROBE,
	NEIGHBOUR,
	NEIGHBOUR_UNICAST,
	NEIGHBOUR_BARE, /* no option */
	NEIGHBOUR_PROBE,
	PING_IPV4,
	PING_IPV4_OPTIONS,
	PING_IPV6,
	PING_IPV6_EXTENSIONS,
	KINDS,
};

/* A frame, and where its parts are. */
struct drawn {
	uint8_t f[FRAME_MAX];
	unsigned len, l3, l4, end; /* end: without Ethernet's padding */
	bool ipv4, ipv6;
};

static void
mend(struct drawn *d)
{
	uint8_t *ip = d->f + d->l3, *icmp = d->f + d->l4;

	if (d->ipv4) {
		put16(ip + 10, 0);
		put16(ip + 10, 0xFFFF ^ sum16(0, ip, d->l4 - d->l3));
		put16(icmp + 2, 0);
		put16(icmp + 2, 0xFFFF ^ sum16(0, icmp, d->end - d->l4));
	} else if (d->ipv6) {
		put16(icmp + 2, 0);
		put16(icmp + 2, 0xFFFF ^ sum_icmpv6(ip, icmp, d->end - d->l4));
	}
}

static unsigned
draw_arp(enum kind kind, uint8_t *p)
{
	memcpy(p, "\0\1\x08\0\6\4\0\1", 8);
	memcpy(p + 8, their_mac, 6);
	memcpy(p + 14, kind == ARP ? their_ipv4 : (const uint8_t[4]){0}, 4);
	memset(p + 18, kind == ARP ? 0xFF : 0, 6); /* some ask so; it means nothing */
	memcpy(p + 24, ours.ipv4, 4);
	return 28;
}

static unsigned
draw_neighbour(enum kind kind, uint8_t *icmp)
{
	memcpy(icmp, "\x87\0\0\0\0\0\0\0", 8);
	memcpy(icmp + 8, ours.ipv6, 16);
	if (kind == NEIGHBOUR_BARE)
		return 24;
	if (kind == NEIGHBOUR_PROBE) { /* a nonce (RFC 3971) */
		memcpy(icmp + 24, "\x0e\1abcdef", 8);
		return 32;
	}
	memcpy(icmp + 24, "\x0e\2abcdefghijklmn", 16);
	memcpy(icmp + 40, "\1\1", 2);
	memcpy(icmp + 42, their_mac, 6);
	icmp[47] = 0x9A; /* not the one in the frame's header */
	return 48;
}

static unsigned
draw_ping(uint8_t type, unsigned data, uint8_t *icmp)
{
	memset(icmp, 0, 8);
	icmp[0] = type;
	put16(icmp + 4, 0xCAFE);
	put16(icmp + 6, 0x1234);
	for (unsigned i = 0; i < data; i++)
		icmp[8 + i] = (uint8_t)(i * 7 + 3);
	return 8 + data;
}

static unsigned
draw_ipv4(enum kind kind, unsigned data, struct drawn *d)
{
	unsigned options = kind == PING_IPV4_OPTIONS ? 12 : 0;
	uint8_t *ip = d->f + d->l3;

	d->ipv4 = true;
	d->l4 = d->l3 + 20 + options;
	memset(ip, 1, 20 + options);
	ip[0] = (uint8_t)(0x45 + options / 4);
	ip[1] = 0xB8;
	put16(ip + 2, 20 + options + 8 + data);
	put16(ip + 4, 0xBEEF);
	put16(ip + 6, 0x4000);
	ip[8] = 57;
	memcpy(ip + 12, their_ipv4, 4);
	memcpy(ip + 16, ours.ipv4, 4);
	return 20 + options + draw_ping(8, data, d->f + d->l4);
}

static unsigned
draw_ipv6(enum kind kind, unsigned data, struct drawn *d)
{
	static const uint8_t chain[32] = {43, 0, 1, 4, [8] = 60, 0, 0, 0, [16] = 58, 1, 1, 12};
	unsigned headers = kind == PING_IPV6_EXTENSIONS ? sizeof(chain) : 0, bytes;
	uint8_t *ip = d->f + d->l3, *icmp = ip + 40 + headers;
	bool ping = kind >= PING_IPV6;

	d->ipv6 = true;
	d->l4 = d->l3 + 40 + headers;
	bytes = ping ? draw_ping(128, data, icmp) : draw_neighbour(kind, icmp);
	memcpy(ip, "\x6b\x15\x20\x01", 4);
	put16(ip + 4, headers + bytes);
	ip[6] = headers != 0 ? 0 : 58;
	ip[7] = ping ? 61 : 255;
	memcpy(ip + 8, kind == NEIGHBOUR_PROBE ? (const uint8_t[16]){0} : their_ipv6, 16);
	memcpy(ip + 24, ours.ipv6, 16);
	memcpy(ip + 40, chain, headers);
	if (!ping && kind != NEIGHBOUR_UNICAST)
		memcpy(ip + 24, "\xFF\2\0\0\0\0\0\0\0\0\0\1\xFF\xA1\xB2\xC3", 16);
	return 40 + headers + bytes;
}

static void
draw(enum kind kind, unsigned tags, unsigned data, unsigned padding, struct drawn *d)
{
	static const uint8_t tag[8] = {0x88, 0xA8, 0x60, 0x64, 0x81, 0x00, 0x00, 0x65};
	bool unicast = kind >= PING_IPV4 || kind == NEIGHBOUR_UNICAST;

	memset(d, 0, sizeof(*d));
	memcpy(d->f, unicast ? our_mac : (const uint8_t *)"\x33\x33\xFF\xA1\xB2\xC3", 6);
	if (kind <= ARP_PROBE)
		memset(d->f, 0xFF, 6);
	memcpy(d->f + 6, their_mac, 6);
	memcpy(d->f + 12, tags == 2 ? tag : tag + 4, tags * 4);
	d->l3 = 14 + tags * 4;
	d->l4 = d->l3;
	if (kind <= ARP_PROBE) {
		put16(d->f + d->l3 - 2, 0x0806);
		d->end = d->l3 + draw_arp(kind, d->f + d->l3);
	} else if (kind == PING_IPV4 || kind == PING_IPV4_OPTIONS) {
		put16(d->f + d->l3 - 2, 0x0800);
		d->end = d->l3 + draw_ipv4(kind, data, d);
	} else {
		put16(d->f + d->l3 - 2, 0x86DD);
		d->end = d->l3 + draw_ipv6(kind, data, d);
	}
	mend(d);
	memset(d->f + d->end, 0x77, padding);
	d->len = d->end + padding;
}

/* ---- the second reader and writer -------------------------------------------------------- */

static bool
all_zero(const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

static bool
mac_reachable(const uint8_t *m)
{
	return m[0] % 2 == 0 && !all_zero(m, 6) && memcmp(m, our_mac, 6) != 0;
}

static unsigned
want_arp(const struct hb_listen *l, const uint8_t *f, unsigned len, unsigned at, uint8_t *out)
{
	const uint8_t *p = f + at;

	if (len < at + 28 || memcmp(p, "\0\1\x08\0\6\4\0\1", 8) != 0)
		return 0;
	if (f[0] % 2 == 1 && memcmp(f, "\xFF\xFF\xFF\xFF\xFF\xFF", 6) != 0)
		return 0;
	if (!l->has_ipv4 || memcmp(p + 24, l->ipv4, 4) != 0 || memcmp(p + 14, l->ipv4, 4) == 0)
		return 0;
	if (!all_zero(p + 14, 4) && (p[14] == 0 || p[14] == 127 || p[14] > 223))
		return 0;
	if (!mac_reachable(p + 8))
		return 0;
	memcpy(out, p + 8, 6);
	memcpy(out + at, "\0\1\x08\0\6\4\0\2", 8);
	memcpy(out + at + 8, our_mac, 6);
	memcpy(out + at + 14, l->ipv4, 4);
	memcpy(out + at + 18, p + 8, 10);
	return at + 28;
}

static unsigned
want_ping4(const struct hb_listen *l, const uint8_t *f, unsigned len, unsigned at, uint8_t *out)
{
	const uint8_t *ip = f + at;

	if (len < at + 20 || ip[0] < 0x45 || ip[0] > 0x4F || f[0] % 2 == 1)
		return 0;
	unsigned header = ip[0] % 16 * 4, total = get16(ip + 2);
	if (total < header + 8 || total > len - at || sum16(0, ip, header) != 0xFFFF)
		return 0;
	const uint8_t *icmp = ip + header;
	if (get16(ip + 6) % 0x4000 != 0 || ip[9] != 1 || get16(icmp) != 0x0800)
		return 0;
	if (!l->has_ipv4 || memcmp(ip + 16, l->ipv4, 4) != 0 || memcmp(ip + 12, l->ipv4, 4) == 0)
		return 0;
	if (ip[12] == 0 || ip[12] == 127 || ip[12] > 223)
		return 0;
	if (sum16(0, icmp, total - header) != 0xFFFF)
		return 0;
	uint8_t *to = out + at;
	unsigned n = total - header;
	memcpy(to, "\x45\0\0\0\0\0\x40\0\x40\1\0\0", 12);
	put16(to + 2, 20 + n);
	memcpy(to + 12, l->ipv4, 4);
	memcpy(to + 16, ip + 12, 4);
	put16(to + 10, 0xFFFF ^ sum16(0, to, 20));
	memcpy(to + 20, icmp, n);
	memset(to + 20, 0, 4);
	put16(to + 22, 0xFFFF ^ sum16(0, to + 20, n));
	return at + 20 + n;
}

static unsigned
write_icmpv6(uint8_t *ip, const uint8_t *from, const uint8_t *to, uint8_t hops, unsigned n)
{
	memcpy(ip, "\x60\0\0\0\0\0\x3A", 7);
	put16(ip + 4, n);
	ip[7] = hops;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
	put16(ip + 42, 0);
	put16(ip + 42, 0xFFFF ^ sum_icmpv6(ip, ip + 40, n));
	return 40 + n;
}

static unsigned
write_advertisement(uint8_t *ip, const struct hb_listen *l, const uint8_t *to, uint8_t flags)
{
	memcpy(ip + 40, "\x88\0\0\0\0\0\0\0", 8);
	ip[44] = flags;
	memcpy(ip + 48, l->ipv6, 16);
	memcpy(ip + 64, "\2\1", 2);
	memcpy(ip + 66, our_mac, 6);
	return write_icmpv6(ip, l->ipv6, to, 255, 32);
}

static unsigned
want_neighbour(const struct hb_listen *l, const uint8_t *f, const uint8_t *ip, const uint8_t *icmp,
	unsigned n, uint8_t *out)
{
	const uint8_t *mac = NULL;
	uint8_t group[6] = {0x33, 0x33, 0xFF, l->ipv6[13], l->ipv6[14], l->ipv6[15]};
	bool probe = all_zero(ip + 8, 16);

	if (n < 24 || ip[7] != 255 || memcmp(icmp + 8, l->ipv6, 16) != 0)
		return 0;
	if (f[0] % 2 == 1 && memcmp(f, group, 6) != 0)
		return 0;
	if (probe && ip[24] != 0xFF)
		return 0;
	for (unsigned at = 24; at < n; at += icmp[at + 1] * 8u) {
		if (at + 8 > n || icmp[at + 1] == 0 || at + icmp[at + 1] * 8u > n)
			return 0;
		if (icmp[at] == 1 && icmp[at + 1] != 1)
			return 0;
		if (icmp[at] == 1 && mac == NULL)
			mac = icmp + at + 2;
	}
	uint8_t *to = out + (ip - f);
	if (probe) {
		memcpy(out, "\x33\x33\0\0\0\1", 6);
		if (mac != NULL)
			return 0;
		return (unsigned)(ip - f) +
		       write_advertisement(
			       to, l, (const uint8_t *)"\xFF\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 0x20);
	}
	mac = mac != NULL ? mac : f + 6;
	if (!mac_reachable(mac))
		return 0;
	memcpy(out, mac, 6);
	return (unsigned)(ip - f) + write_advertisement(to, l, ip + 8, 0x60);
}

static unsigned
want_ipv6(const struct hb_listen *l, const uint8_t *f, unsigned len, unsigned at, uint8_t *out)
{
	const uint8_t *ip = f + at, *icmp = ip + 40;

	if (len < at + 40 || ip[0] / 16 != 6 || get16(ip + 4) > len - at - 40 || !l->has_ipv6)
		return 0;
	unsigned next = ip[6], n = get16(ip + 4);
	for (unsigned taken = 0; next != 58; taken++) {
		if (taken == 8 || (next != 0 && next != 43 && next != 60) || n < 8)
			return 0;
		unsigned bytes = (icmp[1] + 1u) * 8;
		if (bytes > n || (next == 43 && icmp[3] != 0))
			return 0;
		next = icmp[0];
		icmp += bytes;
		n -= bytes;
	}
	uint8_t group[16] = {0xFF, 2, [11] = 1, 0xFF, l->ipv6[13], l->ipv6[14], l->ipv6[15]};
	bool mine = memcmp(ip + 24, l->ipv6, 16) == 0, probe = all_zero(ip + 8, 16);
	if (n < 8 || sum_icmpv6(ip, icmp, n) != 0xFFFF || icmp[1] != 0)
		return 0;
	if (ip[8] == 0xFF || memcmp(ip + 8, l->ipv6, 16) == 0)
		return 0;
	if (all_zero(ip + 8, 15) && ip[23] == 1)
		return 0;
	if (icmp[0] == 135 && (mine || memcmp(ip + 24, group, 16) == 0))
		return want_neighbour(l, f, ip, icmp, n, out);
	if (icmp[0] != 128 || !mine || probe || f[0] % 2 == 1)
		return 0;
	memcpy(out + at + 40, icmp, n);
	out[at + 40] = 129;
	return at + write_icmpv6(out + at, l->ipv6, ip + 8, 64, n);
}

/* The answer that a frame must get, in `out`. Returns its length, 0 for none. */
static unsigned
want_answer(const struct hb_listen *l, const uint8_t *f, unsigned len, unsigned room, uint8_t *out)
{
	unsigned at = 14, n = 0;

	if (len < 14 || len > 1522 || !mac_reachable(f + 6))
		return 0;
	if (f[0] % 2 == 0 && memcmp(f, our_mac, 6) != 0)
		return 0;
	for (; get16(f + at - 2) == 0x8100 || get16(f + at - 2) == 0x88A8; at += 4) {
		if (at == 22 || len < at + 4)
			return 0;
	}
	memcpy(out, f, at);
	memcpy(out, f + 6, 6);
	memcpy(out + 6, our_mac, 6);
	if (get16(f + at - 2) == 0x0806)
		n = want_arp(l, f, len, at, out);
	else if (get16(f + at - 2) == 0x0800)
		n = want_ping4(l, f, len, at, out);
	else if (get16(f + at - 2) == 0x86DD)
		n = want_ipv6(l, f, len, at, out);
	if (n > room)
		return 0;
	if (n != 0 && n < 60 && room >= 60) {
		memset(out + n, 0, 60 - n);
		n = 60;
	}
	return n;
}

/* ---- asking --------------------------------------------------------------------------- */

static uint8_t last_answer[FRAME_MAX];

/* Asks, in blocks that end where the frame or its room ends, and holds the outcome against the
 * second reader's. Returns the answer's length; the answer is last_answer. */
static unsigned
ask_with(const struct hb_listen *l, const uint8_t *f, unsigned len, unsigned room, bool *wants)
{
	uint8_t *exact = malloc(len > 0 ? len : 1), *block = malloc(room > 0 ? room : 1);
	uint8_t want[FRAME_MAX];
	struct hb_request r;

	memcpy(exact, f, len);
	memset(block, 0xDD, room);
	memcpy(block, f, len);
	unsigned n = want_answer(l, f, len, room, want);
	*wants = hb_host_wants(l, exact, len);
	assert_memory_equal(exact, f, len);
	assert_int_equal(hb_host_answer(l, our_mac, block, len, room), n);
	enum hb_drop drop = hb_frame_parse(l, exact, len, 0, &r);
	if (n != 0) {
		assert_true(*wants);
		assert_memory_equal(block, want, n);
		memcpy(last_answer, block, n);
	} else {
		assert_memory_equal(block, f, len);
	}
	if (*wants)
		assert_int_not_equal(drop, HB_DROP_NONE);
	if (n != 0)
		assert_true(drop == HB_DROP_NOT_IP || drop == HB_DROP_NOT_UDP ||
			    drop == HB_DROP_NOT_OURS);
	free(exact);
	free(block);
	return n;
}

static unsigned
ask(const struct drawn *d, bool *wants)
{
	return ask_with(&ours, d->f, d->len, d->len + 64, wants);
}

/* ---- answers --------------------------------------------------------------------------- */

static void
every_question_is_answered(void **state)
{
	bool wants;

	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		for (unsigned i = 0; i < 3 * 5; i++) {
			struct drawn d;

			draw(kind, i % 3, 11 * i, i / 3 * 6, &d);
			unsigned n = ask(&d, &wants);
			assert_true(n >= 60);
			/* All that doesn't grow needs no room but its own. */
			n = ask_with(&ours, d.f, d.len, d.len, &wants);
			bool grows = kind == NEIGHBOUR_BARE && d.len - d.end < 8;
			assert_true(grows ? n == 0 : n != 0);
			assert_true(n <= d.len || n == 60);
		}
	}
}

/* Frames and answers as they stand in a capture, with their sums. */
static void
answers_as_on_the_wire(void **state)
{
	static const uint8_t ping[] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x01, 0x02, 0x55, 0x66, 0x77,
		0x88, 0x99, 0x08, 0x00, 0x45, 0x00, 0x00, 0x1e, 0x00, 0x01, 0x00, 0x00, 0x40, 0x01,
		0x5b, 0xd2, 0x0a, 0x01, 0x09, 0x08, 0x0a, 0x01, 0x02, 0x03, 0x08, 0x00, 0x96, 0xfd,
		0x00, 0x01, 0x00, 0x01, 'a', 0x00};
	static const uint8_t pong[] = {0x02, 0x55, 0x66, 0x77, 0x88, 0x99, 0x02, 0x11, 0x22, 0x33,
		0x44, 0x01, 0x08, 0x00, 0x45, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01,
		0x1b, 0xd3, 0x0a, 0x01, 0x02, 0x03, 0x0a, 0x01, 0x09, 0x08, 0x00, 0x00, 0x9e, 0xfd,
		0x00, 0x01, 0x00, 0x01, 'a', 0x00};
	struct drawn d;
	bool wants;

	(void)state;
	memset(&d, 0, sizeof(d));
	memcpy(d.f, ping, sizeof(ping));
	d.len = sizeof(ping);
	assert_int_equal(ask(&d, &wants), 60);
	assert_memory_equal(last_answer, pong, sizeof(pong));

	draw(ARP_PROBE, 0, 0, 0, &d);
	assert_int_equal(ask(&d, &wants), 60);
	static const uint8_t held[] = {0x02, 0x55, 0x66, 0x77, 0x88, 0x99, 0x02, 0x11, 0x22, 0x33,
		0x44, 0x01, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2, 0x02, 0x11, 0x22, 0x33, 0x44, 0x01,
		10, 1, 2, 3, 0x02, 0x55, 0x66, 0x77, 0x88, 0x99, 0, 0, 0, 0};
	assert_memory_equal(last_answer, held, sizeof(held));

	draw(NEIGHBOUR, 1, 0, 0, &d);
	assert_int_equal(ask(&d, &wants), 90);
	assert_int_equal(last_answer[5], 0x9A); /* the option's MAC address, not the frame's */
	assert_int_equal(last_answer[18 + 44], 0x60);
	draw(NEIGHBOUR_BARE, 0, 0, 0, &d);
	assert_int_equal(ask(&d, &wants), 86);
	assert_memory_equal(last_answer, their_mac, 6);
	draw(NEIGHBOUR_PROBE, 2, 0, 0, &d);
	assert_int_equal(ask(&d, &wants), 94);
	assert_memory_equal(last_answer, "\x33\x33\0\0\0\1", 6);
	assert_memory_equal(last_answer + 12, d.f + 12, 10);
	assert_int_equal(last_answer[22 + 44], 0x20);
}

/* Any number of bytes of data, up to what a frame holds. */
static void
pings_of_any_size(void **state)
{
	(void)state;
	for (unsigned kind = PING_IPV4; kind < KINDS; kind++) {
		for (unsigned data = 0; data <= 1472; data++) {
			unsigned ip_bytes = kind < PING_IPV6 ? 20 : 40;
			struct drawn d;
			bool wants;

			draw(kind, data % 3, data, data % 5, &d);
			unsigned n = ask(&d, &wants), whole = d.l3 + ip_bytes + 8 + data;
			/* A jumbo gets none. */
			assert_int_equal(n, d.len > 1522 ? 0 : whole < 60 ? 60 : whole);
			if (n == 0)
				continue;
			assert_memory_equal(
				last_answer + d.l3 + ip_bytes + 4, d.f + d.l4 + 4, 4 + data);
		}
	}
}

static void
room_is_kept_to(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct drawn d;
		bool wants;

		draw(kind, 0, 0, 0, &d);
		for (unsigned room = d.len; room < d.len + 64; room++) {
			unsigned n = ask_with(&ours, d.f, d.len, room, &wants);

			assert_true(n <= room);
			assert_true(wants);
			if (kind == ARP)
				assert_int_equal(n, room < 60 ? 42 : 60);
			if (kind == NEIGHBOUR_BARE)
				assert_int_equal(n, room < 86 ? 0 : 86);
		}
	}
}

/* ---- no answer ------------------------------------------------------------------------- */

#define KIND(k) (1u << (k))
#define OF_ARP (KIND(ARP) | KIND(ARP_PROBE))
#define OF_NEIGHBOUR                                                                               \
	(KIND(NEIGHBOUR) | KIND(NEIGHBOUR_UNICAST) | KIND(NEIGHBOUR_BARE) | KIND(NEIGHBOUR_PROBE))
#define OF_PING4 (KIND(PING_IPV4) | KIND(PING_IPV4_OPTIONS))
#define OF_PING6 (KIND(PING_IPV6) | KIND(PING_IPV6_EXTENSIONS))
#define OF_IPV6 (OF_NEIGHBOUR | OF_PING6)
#define OF_ALL (OF_ARP | OF_IPV6 | OF_PING4)

enum base {
	L2,
	L3,
	L4,
};

/* Bytes that are put into a good frame, whose sums are then made right again. */
struct change {
	const char *what;
	unsigned kinds;
	enum base base;
	unsigned at, bytes;
	const char *value;
	bool wants, answered;
};

static const struct change changes[] = {
	/* Ethernet */
	{"another host's frame", OF_ALL, L2, 0, 6, "\2\x11\x22\x33\x44\2", true, false},
	{"from a group", OF_ALL, L2, 6, 1, "\3", false, false},
	{"from ourselves", OF_ALL, L2, 6, 6, "\2\x11\x22\x33\x44\1", true, false},
	{"from nobody", OF_ALL, L2, 6, 6, "\0\0\0\0\0\0", true, false},
	{"from almost ourselves", OF_ALL, L2, 6, 6, "\2\x11\x22\x33\x44\2", true, true},
	{"from almost nobody", OF_ALL, L2, 6, 6, "\0\0\0\0\0\1", true, true},
	{"to another group", OF_ALL, L2, 0, 6, "\x33\x33\0\0\0\1", false, false},
	{"to one more group", OF_ALL, L2, 0, 6, "\x33\x33\xFF\xA1\xB2\xC4", false, false},
	{"broadcast", OF_IPV6 | OF_PING4, L2, 0, 6, "\xFF\xFF\xFF\xFF\xFF\xFF", false, false},
	{"to our group", OF_ARP | OF_PING4 | OF_PING6, L2, 0, 6, "\x33\x33\xFF\xA1\xB2\xC3", false,
		false},
	{"to us", OF_ALL, L2, 0, 6, "\2\x11\x22\x33\x44\1", true, true},
	{"to our group", OF_NEIGHBOUR, L2, 0, 6, "\x33\x33\xFF\xA1\xB2\xC3", true, true},
	/* ARP */
	{"hardware type", OF_ARP, L3, 0, 2, "\0\6", false, false},
	{"protocol type", OF_ARP, L3, 2, 2, "\x86\xDD", false, false},
	{"hardware size", OF_ARP, L3, 4, 1, "\x08", false, false},
	{"protocol size", OF_ARP, L3, 5, 1, "\x10", false, false},
	{"a reply", OF_ARP, L3, 6, 2, "\0\2", false, false},
	{"operation 257", OF_ARP, L3, 6, 2, "\1\1", false, false},
	{"sender is a group", OF_ARP, L3, 8, 1, "\1", true, false},
	{"sender is nobody", OF_ARP, L3, 8, 6, "\0\0\0\0\0\0", true, false},
	{"sender's MAC is ours", OF_ARP, L3, 8, 6, "\2\x11\x22\x33\x44\1", true, false},
	{"sender behind another MAC", OF_ARP, L3, 8, 6, "\0\0\x5E\0\1\7", true, true},
	{"sender has our address", OF_ARP, L3, 14, 4, "\x0A\1\2\3", false, false},
	{"sender is next to us", OF_ARP, L3, 14, 4, "\x0A\1\2\2", true, true},
	{"sender in 0/8", OF_ARP, L3, 14, 4, "\0\0\0\1", false, false},
	{"sender is loopback", OF_ARP, L3, 14, 4, "\x7F\0\0\1", false, false},
	{"sender is multicast", OF_ARP, L3, 14, 4, "\xE0\0\0\1", false, false},
	{"sender is broadcast", OF_ARP, L3, 14, 4, "\xFF\xFF\xFF\xFF", false, false},
	{"target is another", OF_ARP, L3, 27, 1, "\4", false, false},
	{"target MAC is set", OF_ARP, L3, 18, 6, "abcdef", true, true},
	/* IPv4 */
	{"IP version", OF_PING4, L3, 0, 1, "\x55", false, false},
	{"IP header short", OF_PING4, L3, 0, 1, "\x44", false, false},
	{"IP total short", OF_PING4, L3, 2, 2, "\0\x13", false, false},
	{"IP total long", OF_PING4, L3, 2, 2, "\1\0", false, false},
	{"no whole ICMP header", KIND(PING_IPV4), L3, 2, 2, "\0\x1B", false, false},
	{"fragment, first", OF_PING4, L3, 6, 2, "\x20\0", false, false},
	{"fragment, later", OF_PING4, L3, 6, 2, "\0\1", false, false},
	{"UDP", OF_PING4, L3, 9, 1, "\x11", false, false},
	{"to another", OF_PING4, L3, 16, 4, "\x0A\1\2\4", false, false},
	{"to all", OF_PING4, L3, 16, 4, "\xFF\xFF\xFF\xFF", false, false},
	{"to a group", OF_PING4, L3, 16, 4, "\xE0\0\0\1", false, false},
	{"from us", OF_PING4, L3, 12, 4, "\x0A\1\2\3", false, false},
	{"from next to us", OF_PING4, L3, 12, 4, "\x0A\1\2\2", true, true},
	{"from 0", OF_PING4, L3, 12, 4, "\0\0\0\0", false, false},
	{"from loopback", OF_PING4, L3, 12, 4, "\x7F\0\0\1", false, false},
	{"from a group", OF_PING4, L3, 12, 4, "\xE0\0\0\1", false, false},
	{"TTL 1", OF_PING4, L3, 8, 1, "\1", true, true},
	{"a reply", OF_PING4, L4, 0, 1, "\0", false, false},
	{"type IPv6's", OF_PING4, L4, 0, 1, "\x80", false, false},
	{"a code", OF_PING4, L4, 1, 1, "\1", false, false},
	/* IPv6 */
	{"IP version", OF_IPV6, L3, 0, 1, "\x40", false, false},
	{"IP length long", OF_IPV6, L3, 4, 2, "\1\0", false, false},
	{"IP length 0", OF_IPV6, L3, 4, 2, "\0\0", false, false},
	{"no whole ICMP header", KIND(PING_IPV6), L3, 4, 2, "\0\7", false, false},
	{"no whole target", OF_NEIGHBOUR, L3, 4, 2, "\0\x17", false, false},
	{"UDP", OF_IPV6, L3, 6, 1, "\x11", false, false},
	{"fragment", OF_IPV6, L3, 6, 1, "\x2C", false, false},
	{"ICMP of IPv4", OF_IPV6, L3, 6, 1, "\1", false, false},
	{"hop limit 254", OF_NEIGHBOUR, L3, 7, 1, "\xFE", false, false},
	{"hop limit 1", OF_PING6, L3, 7, 1, "\1", true, true},
	{"from a group", OF_IPV6, L3, 8, 1, "\xFF", false, false},
	{"from loopback", OF_IPV6, L3, 8, 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", false, false},
	{"from us", OF_IPV6, L3, 8, 16, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\x77\xA1\xB2\xC3", false,
		false},
	{"from next to us", OF_IPV6, L3, 8, 16, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\x77\xA1\xB2\xC2",
		true, true},
	{"from nobody", OF_PING6 | KIND(NEIGHBOUR_UNICAST), L3, 8, 16,
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", false, false},
	{"from nobody, with its MAC", KIND(NEIGHBOUR), L3, 8, 16,
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", true, false},
	{"to another", OF_IPV6, L3, 24, 16, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\x76\xA1\xB2\xC3", false,
		false},
	{"to all nodes", OF_IPV6, L3, 24, 16, "\xFF\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", false, false},
	{"to another's group", OF_IPV6, L3, 24, 16, "\xFF\2\0\0\0\0\0\0\0\0\0\1\xFF\xA1\xB2\xC2",
		false, false},
	{"to our group", OF_PING6, L3, 24, 16, "\xFF\2\0\0\0\0\0\0\0\0\0\1\xFF\xA1\xB2\xC3", false,
		false},
	{"a code", OF_IPV6, L4, 1, 1, "\1", false, false},
	{"an advertisement", OF_NEIGHBOUR, L4, 0, 1, "\x88", false, false},
	{"an echo reply", OF_PING6, L4, 0, 1, "\x81", false, false},
	{"type IPv4's", OF_PING6, L4, 0, 1, "\x08", false, false},
	{"target is another", OF_NEIGHBOUR, L4, 23, 1, "\xC4", false, false},
	{"target starts otherwise", OF_NEIGHBOUR, L4, 8, 1, "\xFE", false, false},
	{"target is a group", OF_NEIGHBOUR, L4, 8, 1, "\xFF", false, false},
	{"reserved bits", OF_NEIGHBOUR, L4, 4, 4, "abcd", true, true},
	/* options */
	{"no length", KIND(NEIGHBOUR), L4, 25, 1, "\0", true, false},
	{"no length", KIND(NEIGHBOUR_PROBE), L4, 25, 1, "\0", true, false},
	{"no length, second", KIND(NEIGHBOUR), L4, 41, 1, "\0", true, false},
	{"beyond the packet", KIND(NEIGHBOUR), L4, 25, 1, "\4", true, false},
	{"beyond the packet, second", KIND(NEIGHBOUR), L4, 41, 1, "\2", true, false},
	{"beyond by far", KIND(NEIGHBOUR), L4, 25, 1, "\xFF", true, false},
	{"up to the end", KIND(NEIGHBOUR), L4, 25, 1, "\3", true, true},
	{"MAC in two units", KIND(NEIGHBOUR), L4, 24, 8, "\1\2\2\0\0\0\0\7", true, false},
	{"the first MAC counts", KIND(NEIGHBOUR), L4, 24, 10, "\1\1\2\0\0\0\0\7\x0e\1", true, true},
	{"MAC is a group", KIND(NEIGHBOUR), L4, 42, 1, "\3", true, false},
	{"MAC is nobody's", KIND(NEIGHBOUR), L4, 42, 6, "\0\0\0\0\0\0", true, false},
	{"MAC is ours", KIND(NEIGHBOUR), L4, 42, 6, "\2\x11\x22\x33\x44\1", true, false},
	{"a probe with a MAC", KIND(NEIGHBOUR_PROBE), L4, 24, 1, "\1", true, false},
	{"a probe with a target MAC", KIND(NEIGHBOUR_PROBE), L4, 24, 1, "\2", true, true},
	/* extension headers */
	{"segments left", KIND(PING_IPV6_EXTENSIONS), L3, 51, 1, "\1", false, false},
	{"header beyond", KIND(PING_IPV6_EXTENSIONS), L3, 57, 1, "\x40", false, false},
	{"another header", KIND(PING_IPV6_EXTENSIONS), L3, 48, 1, "\x33", false, false},
	{"no next header", KIND(PING_IPV6_EXTENSIONS), L3, 56, 1, "\x3B", false, false},
	{"a fragment header", KIND(PING_IPV6_EXTENSIONS), L3, 48, 1, "\x2C", false, false},
};

static void
what_deserves_no_answer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(changes) * KINDS * 3; i++) {
		const struct change *c = &changes[i / 3 / KINDS];
		unsigned kind = i / 3 % KINDS;
		struct drawn d;
		bool wants;

		if (!(c->kinds & KIND(kind)))
			continue;
		draw(kind, i % 3, 9, 4, &d);
		unsigned base = c->base == L2 ? 0 : c->base == L3 ? d.l3 : d.l4;
		memcpy(d.f + base + c->at, c->value, c->bytes);
		mend(&d);
		bool answered = ask(&d, &wants) != 0;
		if (answered != c->answered || wants != c->wants)
			fail_msg("%s, kind %u, %u tags: %s and %s", c->what, kind, i % 3,
				answered ? "answered" : "not answered",
				wants ? "wanted" : "not wanted");
	}
	/* One MAC option behind another: the first. */
	struct drawn d;
	bool wants;
	draw(NEIGHBOUR, 0, 0, 0, &d);
	memcpy(d.f + d.l4 + 24, "\1\1\2\0\0\0\0\7\x0e\1", 10);
	mend(&d);
	assert_true(ask(&d, &wants) != 0);
	assert_memory_equal(last_answer, "\2\0\0\0\0\7", 6);
}

/* Only the lengths that a NIC or a stranger could get wrong, sums right. */
static void
ping_headers_are_whole(void **state)
{
	(void)state;
	for (unsigned kind = PING_IPV4; kind < KINDS; kind++) {
		for (unsigned n = 0; n <= 12; n++) {
			struct drawn d;
			bool wants;

			draw(kind, 0, 4, 40, &d);
			d.end = d.l4 + n;
			put16(d.f + d.l3 + (d.ipv4 ? 2 : 4), d.end - d.l3 - (d.ipv4 ? 0 : 40));
			uint8_t sum[2];
			memcpy(sum, d.f + d.end, 2);
			mend(&d);
			if (n < 4) /* the sum's place is no part of it */
				memcpy(d.f + d.end, sum, 2);
			assert_int_equal(ask(&d, &wants) != 0, n >= 8);
			assert_int_equal(wants, n >= 8);
		}
	}
}

static void
solicitations_are_whole(void **state)
{
	(void)state;
	for (unsigned kind = NEIGHBOUR; kind <= NEIGHBOUR_PROBE; kind++) {
		struct drawn whole;

		draw(kind, 1, 0, 0, &whole);
		for (unsigned n = 4; n <= whole.end - whole.l4; n++) {
			struct drawn d = whole;
			bool wants;

			d.end = d.len = d.l4 + n;
			put16(d.f + d.l3 + 4, n);
			mend(&d);
			bool at_an_end = n == 24 || n == 48 ||
					 (n == 40 && kind != NEIGHBOUR_PROBE) ||
					 (n == 32 && kind == NEIGHBOUR_PROBE);
			assert_int_equal(ask(&d, &wants) != 0, at_an_end);
			assert_int_equal(wants, n >= 24);
			/* With no room behind it, for a sanitizer to see a byte too far. */
			ask_with(&ours, d.f, d.len, d.len, &wants);
		}
	}
}

static void
every_truncation_is_refused_within_bounds(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KINDS * 3; i++) {
		struct drawn d;
		bool wants;

		draw(i / 3, i % 3, 5, 6, &d);
		for (unsigned n = 0; n <= d.len; n++) {
			assert_int_equal(ask_with(&ours, d.f, n, n + 64, &wants) != 0, n >= d.end);
			assert_int_equal(wants, n >= d.end);
		}
	}
}

static void
every_flipped_bit_under_a_sum_is_refused(void **state)
{
	(void)state;
	for (unsigned kind = NEIGHBOUR; kind < KINDS; kind++) {
		struct drawn d;
		bool wants;

		draw(kind, 1, 13, 3, &d);
		for (unsigned bit = d.l3 * 8; bit < d.end * 8; bit++) {
			unsigned at = bit / 8;

			/* IPv6 sums only its addresses, and no other header. */
			if (d.ipv6 && (at < d.l3 + 8 || (at >= d.l3 + 40 && at < d.l4)))
				continue;
			d.f[at] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(ask(&d, &wants), 0);
			d.f[at] ^= (uint8_t)(1u << bit % 8);
		}
		assert_true(ask(&d, &wants) != 0);
	}
}

static void
three_tags_and_other_types_are_not_ours(void **state)
{
	static const uint16_t types[] = {0x0805, 0x0807, 0x88CC, 0x8847, 0x9100, 0x0026};

	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct drawn d;
		bool wants;

		for (unsigned i = 0; i < HB_COUNT_OF(types); i++) {
			draw(kind, i % 3, 0, 20, &d);
			put16(d.f + d.l3 - 2, types[i]);
			assert_int_equal(ask(&d, &wants), 0);
			assert_false(wants);
		}
		draw(kind, 2, 0, 20, &d);
		memmove(d.f + 16, d.f + 12, d.len - 12);
		d.len += 4;
		assert_int_equal(ask(&d, &wants), 0);
		assert_false(wants);
	}
}

/* Eight extension headers are the most that a request has, and so a ping. */
static void
extension_headers_end(void **state)
{
	(void)state;
	for (unsigned headers = 0; headers <= 10; headers++) {
		struct drawn d;
		bool wants;

		draw(PING_IPV6, 0, 3, 0, &d);
		memmove(d.f + d.l4 + 8 * headers, d.f + d.l4, 11);
		for (unsigned i = 0; i < headers; i++) {
			memcpy(d.f + d.l4 + 8 * i, "\x3C\0\1\4\0\0\0\0", 8);
			d.f[d.l4 + 8 * i] = i + 1 < headers ? 60 : 58;
		}
		d.f[d.l3 + 6] = headers > 0 ? 60 : 58;
		put16(d.f + d.l3 + 4, 8 * headers + 11);
		d.len = d.end = d.len + 8 * headers;
		assert_int_equal(ask(&d, &wants), headers <= 8 ? 14 + 40 + 11 : 0);
		assert_int_equal(wants, headers <= 8);
	}
}

/* Without an address of a kind nothing is asked of us, even if the bytes would fit. */
static void
an_address_that_we_have_not(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct hb_listen l = ours;
		struct drawn d;
		bool wants, of_ipv4 = kind <= ARP_PROBE || (KIND(kind) & OF_PING4) != 0;

		draw(kind, 0, 0, 0, &d);
		l.has_ipv4 = of_ipv4;
		l.has_ipv6 = !of_ipv4;
		assert_true(ask_with(&l, d.f, d.len, 128, &wants) != 0);
		l.has_ipv4 = !of_ipv4;
		l.has_ipv6 = of_ipv4;
		assert_int_equal(ask_with(&l, d.f, d.len, 128, &wants), 0);
		assert_false(wants);
	}
}

static void
requests_are_left_alone(void **state)
{
	static const uint8_t key[HB_KEY_BYTES];

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct hb_request r = {
			.op = (uint8_t)(1 + i / 2 % 4), .seq = 1, .user = 5, .arg = 9};
		struct hb_flow flow = {.src_port = 4000,
			.dst_port = 9000,
			.ipv6 = i % 2,
			.vlan = (uint16_t)(i / 8)};
		uint8_t payload[HB_REQUEST_BYTES_MAX], f[HB_FRAME_BYTES_MAX], same[sizeof(f)];

		memcpy(flow.src_mac, their_mac, 6);
		memcpy(flow.dst_mac, our_mac, 6);
		memcpy(flow.src_ip, i % 2 ? their_ipv6 : their_ipv4, i % 2 ? 16 : 4);
		memcpy(flow.dst_ip, i % 2 ? ours.ipv6 : ours.ipv4, i % 2 ? 16 : 4);
		unsigned n = hb_frame_build(&flow, payload, hb_wire_encode(&r, key, payload), f);
		assert_int_equal(hb_frame_parse(&ours, f, n, 0, &r), HB_DROP_NONE);
		memcpy(same, f, n);
		assert_false(hb_host_wants(&ours, f, n));
		assert_int_equal(hb_host_answer(&ours, our_mac, f, n, sizeof(f)), 0);
		assert_memory_equal(f, same, n);
	}
}

/* An answer must not be a question: two hosts would go on for ever. */
static void
answers_are_no_questions(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct hb_listen theirs = ours;
		struct drawn d;
		bool wants;

		draw(kind, 0, 30, 0, &d);
		unsigned n = ask(&d, &wants);
		memcpy(theirs.ipv4, their_ipv4, 4);
		memcpy(theirs.ipv6, their_ipv6, 16);
		assert_true(n != 0);
		assert_false(hb_host_wants(&theirs, last_answer, n));
		assert_false(hb_host_wants(&ours, last_answer, n));
	}
}

#define MUTATIONS 1000000

/* Changes that find their way past the sums, each held against the second reader. */
static void
a_million_mutations_agree_with_the_second_reader(void **state)
{
	static const uint8_t likely[] = {0, 1, 2, 4, 6, 8, 20, 24, 28, 43, 44, 58, 60, 127, 128,
		129, 135, 136, 0x33, 0x45, 0x60, 0x81, 0x86, 254, 255};
	unsigned answered[KINDS] = {0}, refused[KINDS] = {0};
	struct drawn good[KINDS * 3];
	uint64_t random = 20;

	(void)state;
	for (unsigned i = 0; i < KINDS * 3; i++)
		draw(i / 3, i % 3, i, i % 2 * 8, &good[i]);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		unsigned which = (unsigned)(hb_splitmix64(&random) % HB_COUNT_OF(good));
		struct drawn d = good[which];
		bool wants;

		for (unsigned n = 1 + i % 3; n > 0; n--) {
			uint64_t dice = hb_splitmix64(&random);
			unsigned at = (unsigned)(dice >> 32) % d.len;

			if (dice % 4 == 0)
				d.f[at] = (uint8_t)(dice >> 8);
			else if (dice % 4 == 1)
				d.f[at] ^= (uint8_t)(1u << (dice >> 8) % 8);
			else if (dice % 4 == 2)
				d.f[at] = likely[(dice >> 8) % sizeof(likely)];
			else
				d.f[at] = d.f[(dice >> 8) % d.len];
		}
		if (i % 4 != 0)
			mend(&d);
		if (i % 16 == 0)
			d.len = (unsigned)(hb_splitmix64(&random) % (d.len + 1));
		if (ask(&d, &wants) != 0)
			answered[which / 3]++;
		else
			refused[which / 3]++;
	}
	for (unsigned kind = 0; kind < KINDS; kind++) {
		assert_true(answered[kind] > MUTATIONS / KINDS / 20);
		assert_true(refused[kind] > MUTATIONS / KINDS / 20);
	}
}

/* ---- announcements ----------------------------------------------------------------------- */

static unsigned
announce(const struct hb_listen *l, enum hb_announcement which, uint8_t *out)
{
	uint8_t *block = malloc(HB_ANNOUNCE_BYTES_MAX);

	memset(block, 0xDD, HB_ANNOUNCE_BYTES_MAX);
	unsigned n = hb_host_announce(l, our_mac, which, block, HB_ANNOUNCE_BYTES_MAX);
	assert_true(n <= HB_ANNOUNCE_BYTES_MAX);
	for (unsigned i = n; i < HB_ANNOUNCE_BYTES_MAX; i++)
		assert_int_equal(block[i], 0xDD);
	memcpy(out, block, n);
	free(block);
	return n;
}

static void
announcements_as_on_the_wire(void **state)
{
	static const uint8_t head[14] = "\xFF\xFF\xFF\xFF\xFF\xFF\2\x11\x22\x33\x44\1\x08\6";
	static const uint8_t arp[28] =
		"\0\1\x08\0\6\4\0\1\2\x11\x22\x33\x44\1\x0A\1\2\3\0\0\0\0\0\0\x0A\1\2\3";
	static const uint8_t all_nodes[16] = "\xFF\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1";
	uint8_t f[HB_ANNOUNCE_BYTES_MAX], want[HB_ANNOUNCE_BYTES_MAX];

	(void)state;
	assert_int_equal(announce(&ours, HB_ANNOUNCE_ARP, f), 60);
	assert_memory_equal(f, head, 14);
	assert_memory_equal(f + 14, arp, 28);
	assert_true(all_zero(f + 42, 18));

	assert_int_equal(announce(&ours, HB_ANNOUNCE_NEIGHBOUR, f), 86);
	memcpy(want, "\x33\x33\0\0\0\1\2\x11\x22\x33\x44\1\x86\xDD", 14);
	assert_int_equal(write_advertisement(want + 14, &ours, all_nodes, 0x20), 72);
	assert_memory_equal(f, want, 86);
}

static void
the_listener_report(void **state)
{
	static const uint8_t record[28] = "\x8F\0\0\0\0\0\0\1\4\0\0\0"
					  "\xFF\2\0\0\0\0\0\0\0\0\0\1\xFF\xA1\xB2\xC3";
	static const struct {
		uint8_t first, second;
		bool link_local;
	} cases[] = {{0x20, 0x01, false}, {0xFE, 0x80, true}, {0xFE, 0xBF, true},
		{0xFE, 0xC0, false}, {0xFE, 0x7F, false}, {0xFD, 0x80, false}};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		uint8_t f[HB_ANNOUNCE_BYTES_MAX], icmp[28];
		struct hb_listen l = ours;

		l.ipv6[0] = cases[i].first;
		l.ipv6[1] = cases[i].second;
		assert_int_equal(announce(&l, HB_ANNOUNCE_GROUP, f), 90);
		assert_memory_equal(f, "\x33\x33\0\0\0\x16\2\x11\x22\x33\x44\1\x86\xDD", 14);
		assert_memory_equal(f + 14, "\x60\0\0\0\0\x24\0\1", 8);
		if (cases[i].link_local)
			assert_memory_equal(f + 22, l.ipv6, 16);
		else
			assert_true(all_zero(f + 22, 16));
		assert_memory_equal(f + 38, "\xFF\2\0\0\0\0\0\0\0\0\0\0\0\0\0\x16", 16);
		assert_memory_equal(f + 54, "\x3A\0\5\2\0\0\1\0", 8);
		assert_int_equal(sum_icmpv6(f + 14, f + 62, 28), 0xFFFF);
		memcpy(icmp, f + 62, 28);
		put16(icmp + 2, 0);
		assert_memory_equal(icmp, record, 28);
	}
}

static void
announcements_of_what_we_have(void **state)
{
	struct hb_listen l = ours;
	uint8_t f[HB_ANNOUNCE_BYTES_MAX];

	(void)state;
	l.has_ipv4 = false;
	assert_int_equal(announce(&l, HB_ANNOUNCE_ARP, f), 0);
	assert_true(announce(&l, HB_ANNOUNCE_GROUP, f) != 0);
	assert_true(announce(&l, HB_ANNOUNCE_NEIGHBOUR, f) != 0);
	l.has_ipv4 = true;
	l.has_ipv6 = false;
	assert_true(announce(&l, HB_ANNOUNCE_ARP, f) != 0);
	assert_int_equal(announce(&l, HB_ANNOUNCE_GROUP, f), 0);
	assert_int_equal(announce(&l, HB_ANNOUNCE_NEIGHBOUR, f), 0);
	for (unsigned which = 0; which < HB_ANNOUNCEMENTS; which++) {
		uint8_t *block = malloc(HB_ANNOUNCE_BYTES_MAX - 1);

		memset(block, 0xDD, HB_ANNOUNCE_BYTES_MAX - 1);
		assert_int_equal(
			hb_host_announce(&ours, our_mac, which, block, HB_ANNOUNCE_BYTES_MAX - 1),
			0);
		for (unsigned i = 0; i < HB_ANNOUNCE_BYTES_MAX - 1; i++)
			assert_int_equal(block[i], 0xDD);
		free(block);
		/* Nobody else's question, least of all our own. */
		unsigned n = announce(&ours, which, f);
		assert_false(hb_host_wants(&ours, f, n));
	}
}

static void
the_group_mac_is_the_solicitations(void **state)
{
	uint8_t mac[6];

	(void)state;
	hb_host_group_mac(&ours, mac);
	assert_memory_equal(mac, "\x33\x33\xFF\xA1\xB2\xC3", 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_question_is_answered),
		cmocka_unit_test(answers_as_on_the_wire),
		cmocka_unit_test(pings_of_any_size),
		cmocka_unit_test(room_is_kept_to),
		cmocka_unit_test(what_deserves_no_answer),
		cmocka_unit_test(ping_headers_are_whole),
		cmocka_unit_test(solicitations_are_whole),
		cmocka_unit_test(every_truncation_is_refused_within_bounds),
		cmocka_unit_test(every_flipped_bit_under_a_sum_is_refused),
		cmocka_unit_test(three_tags_and_other_types_are_not_ours),
		cmocka_unit_test(extension_headers_end),
		cmocka_unit_test(an_address_that_we_have_not),
		cmocka_unit_test(requests_are_left_alone),
		cmocka_unit_test(answers_are_no_questions),
		cmocka_unit_test(a_million_mutations_agree_with_the_second_reader),
		cmocka_unit_test(announcements_as_on_the_wire),
		cmocka_unit_test(the_listener_report),
		cmocka_unit_test(announcements_of_what_we_have),
		cmocka_unit_test(the_group_mac_is_the_solicitations),
	};

	if (hb_wire_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
