/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame from a stranger: parsed, and where it is a request turned into its reply; one of a
 * shake's length also eight abreast, where the processor can. libFuzzer's entry point
 * (-Dfuzzers=true, with clang); replay.c runs the same on files or on frames that it makes up.
 */
#include "fuzz.h"
#include "listen.h"

#include "hb_wire.h"

#include <stdlib.h>

/* Eight of a frame go abreast exactly where one is taken, and come to the same reply. */
static void
go_abreast(
	const uint8_t *data, unsigned checked, const struct hb_reply *reply, const uint8_t mac[6])
{
	struct hb_request one, many[HB_ABREAST];
	struct hb_reply replies[HB_ABREAST];
	uint8_t *frame[HB_ABREAST], want[HB_SHAKE_FRAME_BYTES];
	struct hb_words words;
	uint32_t skip;

	memcpy(want, data, sizeof(want));
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		frame[i] = malloc(HB_SHAKE_FRAME_BYTES);
		memcpy(frame[i], data, HB_SHAKE_FRAME_BYTES);
		replies[i] = *reply;
	}
	bool good = hb_frame_parse(&listen, want, sizeof(want), checked, &one) == HB_DROP_NONE;
	must(hb_frame_parse_abreast(&listen, frame, checked, many, &words, 0) == good);
	if (good) {
		memset(one.key, 0, sizeof(one.key));
		must(hb_frame_reply(&one, reply, want, mac, &skip) == sizeof(want) && skip == 0);
		hb_frame_reply_abreast(many, replies, mac);
	}
	for (unsigned i = 0; i < HB_ABREAST; i++) {
		must(!good ||
			(many[i].user == one.user && many[i].seq == one.seq &&
				many[i].campaign == one.campaign && many[i].shard == one.shard &&
				many[i].op == one.op && many[i].epoch == one.epoch));
		must(memcmp(frame[i], want, sizeof(want)) == 0);
		free(frame[i]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	const struct hb_reply win = {.status = HB_WIN, .id = 42, .value = 888};
	struct hb_request r;
	uint32_t skip;

	if (size < 1 || size > 4096)
		return 0;
	if (size == 1 + HB_SHAKE_FRAME_BYTES && hb_wire_abreast())
		go_abreast(data + 1, data[0] & 3, &win, mac);
	/* The first byte says what a NIC would have checked; most inputs have no right checksum.
	 * The frame's end is the block's end, for the sanitizer to see. */
	uint8_t *frame = malloc(size);
	memcpy(frame, data + 1, size - 1);
	if (hb_frame_parse(&listen, frame, (uint32_t)size - 1, data[0] & 3, &r) == HB_DROP_NONE) {
		must(r.seq != 0 && r.user != 0 && r.l2_bytes + r.l3_bytes + 8u < size);
		uint32_t bytes = hb_frame_reply(&r, &win, frame, mac, &skip);
		must(skip + bytes <= size - 1);
		must(bytes == r.l2_bytes + (r.ipv6 ? 40u : 20u) + 8 + HB_REPLY_BYTES);
		/* A reply is never a request that verifies: its fields stand elsewhere. */
		must((frame[skip + 6] & 1) == 0);
	}
	free(frame);
	return 0;
}

size_t
hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX])
{
	static const uint8_t key[HB_KEY_BYTES];
	unsigned op = 1 + which % 4;
	bool ipv6 = which >= 4;
	struct hb_request r = {.op = (uint8_t)op,
		.campaign = op >= HB_OP_GRAB ? 0 : 7,
		.seq = 1,
		.user = 5,
		.arg = 9,
		.terms = 1ull << 32 | 1 << 16};
	struct hb_flow f = {.src_mac = {2},
		.dst_mac = {4},
		.src_port = 4000,
		.dst_port = 9000,
		.ipv6 = ipv6,
		.vlan = ipv6 ? 5 : 0};
	uint8_t payload[HB_REQUEST_BYTES_MAX];

	if (which >= 8)
		return 0;
	memcpy(f.src_ip, ipv6 ? (uint8_t[16]){0xFD, [15] = 2} : (uint8_t[16]){10, 0, 0, 2}, 16);
	memcpy(f.dst_ip, ipv6 ? (uint8_t[16]){0xFD, [15] = 1} : (uint8_t[16]){10, 0, 0, 1}, 16);
	out[0] = 0;
	return 1 + hb_frame_build(&f, payload, hb_wire_encode(&r, key, payload), out + 1);
}
