/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target without a fuzzer, so that it is also a test: `replay FILE...` runs it on files,
 * e.g. a crash that was found; `replay` alone on good frames and 200,000 mutations of each.
 */
#include "fuzz.h"

#include "hb_wire.h"

#include <stdio.h>
#include <stdlib.h>

#define MUTATIONS 200000

static int
replay_file(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");

	if (f == NULL) {
		fprintf(stderr, "replay: %s cannot be read; name a file\n", path);
		return 1;
	}
	size_t n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

static size_t
good_input(unsigned op, bool ipv6, uint8_t *out)
{
	static const uint8_t key[HB_KEY_BYTES];
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

	memcpy(f.src_ip, ipv6 ? (uint8_t[16]){0xFD, [15] = 2} : (uint8_t[16]){10, 0, 0, 2}, 16);
	memcpy(f.dst_ip, ipv6 ? (uint8_t[16]){0xFD, [15] = 1} : (uint8_t[16]){10, 0, 0, 1}, 16);
	out[0] = 0;
	return 1 + hb_frame_build(&f, payload, hb_wire_encode(&r, key, payload), out + 1);
}

static void
mutate(uint8_t *data, size_t *size, uint64_t *random)
{
	for (uint64_t n = hb_splitmix64(random) % 4; n > 0; n--)
		data[hb_splitmix64(random) % *size] = (uint8_t)hb_splitmix64(random);
	/* Mostly as if the NIC had checked the sums, so that the rest is reached. */
	data[0] = (uint8_t)(hb_splitmix64(random) % 4 == 0 ? hb_splitmix64(random) : 3);
	if (hb_splitmix64(random) % 8 == 0)
		*size = 1 + hb_splitmix64(random) % *size;
}

int
main(int argc, char **argv)
{
	uint8_t good[1 + HB_FRAME_BYTES_MAX], data[sizeof(good)];
	uint64_t random = 1;
	int failed = 0;

	if (hb_wire_init() != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i]);
	for (unsigned kind = 0; argc == 1 && kind < 8; kind++) {
		size_t bytes = good_input(1 + kind % 4, kind >= 4, good);

		for (unsigned i = 0; i < MUTATIONS; i++) {
			size_t size = bytes;

			memcpy(data, good, bytes);
			mutate(data, &size, &random);
			LLVMFuzzerTestOneInput(data, size);
		}
	}
	return failed;
}
