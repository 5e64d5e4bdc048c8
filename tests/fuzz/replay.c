/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target without a fuzzer, so that it is also a test: `replay FILE...` runs it on files,
 * e.g. a crash that was found; `replay` alone on good frames and MUTATIONS mutations of each.
 */
#include "fuzz.h"

#include "hb_wire.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef MUTATIONS
#define MUTATIONS 200000
#endif

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

static void
mutate(uint8_t *data, size_t *size, uint64_t *random)
{
	for (uint64_t n = hb_splitmix64(random) % 4; n > 0; n--)
		data[hb_splitmix64(random) % *size] = (uint8_t)hb_splitmix64(random);
	/* Mostly with the switches on that let it past the sums, so that the rest is reached. */
	data[0] = (uint8_t)(hb_splitmix64(random) % 4 == 0 ? hb_splitmix64(random) : 3);
	if (hb_splitmix64(random) % 8 == 0)
		*size = 1 + hb_splitmix64(random) % *size;
}

int
main(int argc, char **argv)
{
	uint8_t good[HB_FUZZ_GOOD_BYTES_MAX], data[sizeof(good)];
	uint64_t random = 1;
	size_t bytes;
	int failed = 0;

	if (hb_wire_init() != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i]);
	for (unsigned which = 0; argc == 1 && (bytes = hb_fuzz_good(which, good)) != 0; which++) {
		for (unsigned i = 0; i < MUTATIONS; i++) {
			size_t size = bytes;

			memcpy(data, good, bytes);
			mutate(data, &size, &random);
			LLVMFuzzerTestOneInput(data, size);
		}
	}
	return failed;
}
