/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame from a stranger that is no request: whether a worker would pass it on, and its answer.
 * libFuzzer's entry point (-Dfuzzers=true, with clang); replay.c runs the same on files or on
 * frames that it makes up.
 */
#include "fuzz.h"
#include "listen.h"
#include "octets.h"

#include "hb_host.h"

#include <stdlib.h>

/* The first byte of an input. */
#define MEND_SUMS 1
#define MORE_ROOM 2

#define ROOM 64

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

static void
put_sum(uint8_t *p, unsigned s)
{
	p[0] = (uint8_t)(~s >> 8);
	p[1] = (uint8_t)~s;
}

/* Makes the sums right where they stand if the frame is a ping or a solicitation of which the
 * lengths are right. */
static void
mend(uint8_t *frame, size_t size)
{
	size_t at = 14, n;

	while (at <= 18 && at + 4 <= size && frame[at - 2] == 0x81)
		at += 4;
	uint8_t *ip = frame + at;
	if (size < at + 48)
		return;
	if (ip[0] >> 4 == 4) {
		size_t header = (size_t)(ip[0] & 15) * 4;

		n = hb_be16(ip + 2);
		if (header < 20 || n < header + 8 || at + n > size)
			return;
		memset(ip + 10, 0, 2);
		put_sum(ip + 10, sum16(0, ip, header));
		memset(ip + header + 2, 0, 2);
		put_sum(ip + header + 2, sum16(0, ip + header, n - header));
		return;
	}
	n = hb_be16(ip + 4);
	if (n < 8 || at + 40 + n > size)
		return;
	memset(ip + 42, 0, 2);
	put_sum(ip + 42, sum16(sum16((uint32_t)n + 58, ip + 8, 32), ip + 40, n));
}

static void
look_at_answer(const uint8_t *answer, uint32_t bytes, uint32_t len, uint32_t room)
{
	must(bytes <= room && (bytes <= len + 8 || bytes == 60));
	must(memcmp(answer + 6, our_mac, 6) == 0 && memcmp(answer, our_mac, 6) != 0);
	must((answer[0] & 1) == 0 || memcmp(answer, all_nodes_mac, 6) == 0);
	/* An answer is never a question: it would go on for ever. */
	must(!hb_host_wants(&listen, answer, bytes));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_request r;

	if (size < 1 || size > 4096)
		return 0;
	/* The frame's end, and its room's, is the block's end, for the sanitizer to see. */
	uint32_t len = (uint32_t)size - 1, room = len + (data[0] & MORE_ROOM ? ROOM : 0);
	uint8_t *asked = malloc(size), *frame = malloc(room + 1);
	memcpy(asked + 1, data + 1, len);
	if (data[0] & MEND_SUMS)
		mend(asked + 1, len);
	memcpy(frame + 1, asked + 1, len);

	bool wants = hb_host_wants(&listen, asked + 1, len);
	uint32_t bytes = hb_host_answer(&listen, our_mac, frame + 1, len, room);
	if (bytes != 0)
		look_at_answer(frame + 1, bytes, len, room);
	else
		must(memcmp(frame + 1, asked + 1, len) == 0);
	must(wants || bytes == 0);
	must(!wants || hb_frame_parse(&listen, asked + 1, len, 0, &r) != HB_DROP_NONE);
	free(asked);
	free(frame);
	return 0;
}

static const uint8_t arp[] = {
	0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};
static const uint8_t ping_ipv4[] = {0x46, 0, 0, 36, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0,
	1, 1, 1, 1, 1, 8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};
static const uint8_t ping_ipv6[] = {0x60, 0, 0, 0, 0, 12, 58, 64, 0xFD, [23] = 2, 0xFD, [39] = 1,
	128, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};
static const uint8_t solicitation[] = {0x60, 0, 0, 0, 0, 32, 58, 255, 0xFD, [23] = 2, 0xFF,
	2, [35] = 1, 0xFF, 0, 0, 1, 135, [48] = 0xFD, [63] = 1, 1, 1, 2, 0, 0, 0, 0, 9};
static const uint8_t probe[] = {0x60, 0, 0, 0, 0, 24, 58, 255, [24] = 0xFF, 2, [35] = 1, 0xFF, 0, 0,
	1, 135, [48] = 0xFD, [63] = 1};

static const struct {
	const uint8_t *packet;
	size_t bytes;
	uint8_t type[2], to[6];
} good[] = {
	{arp, sizeof(arp), {0x08, 0x06}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}},
	{ping_ipv4, sizeof(ping_ipv4), {0x08, 0x00}, {2, 0, 0, 0, 0, 1}},
	{ping_ipv6, sizeof(ping_ipv6), {0x86, 0xDD}, {2, 0, 0, 0, 0, 1}},
	{solicitation, sizeof(solicitation), {0x86, 0xDD}, {0x33, 0x33, 0xFF, 0, 0, 1}},
	{probe, sizeof(probe), {0x86, 0xDD}, {0x33, 0x33, 0xFF, 0, 0, 1}},
};

/* Each with no, one and two tags. */
size_t
hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX])
{
	static const uint8_t their_mac[6] = {2, 0, 0, 0, 0, 9};
	static const uint8_t tags[8] = {0x81, 0, 0, 5, 0x81, 0, 0, 6};
	size_t tag_bytes = which % 3 * 4;

	if (which / 3 >= HB_COUNT_OF(good))
		return 0;
	uint8_t *frame = out + 1, *type = frame + 12 + tag_bytes;
	out[0] = MEND_SUMS | MORE_ROOM;
	memset(frame, 0, HB_FUZZ_GOOD_BYTES_MAX - 1);
	memcpy(frame, good[which / 3].to, 6);
	memcpy(frame + 6, their_mac, 6);
	memcpy(frame + 12, tags, tag_bytes);
	memcpy(type, good[which / 3].type, 2);
	memcpy(type + 2, good[which / 3].packet, good[which / 3].bytes);
	size_t bytes = 14 + tag_bytes + good[which / 3].bytes;
	bytes = bytes < 62 ? 62 : bytes; /* padded, as from a NIC, and as mend() wants it */
	/* It is a question: else all that is made from it would be noise. */
	must(hb_host_wants(&listen, frame, (uint32_t)bytes));
	return 1 + bytes;
}
