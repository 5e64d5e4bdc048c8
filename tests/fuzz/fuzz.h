/* SPDX-License-Identifier: BSD-3-Clause */
/* What every fuzz target defines, and what they share. */
#ifndef HB_FUZZ_H
#define HB_FUZZ_H

#include "hb_base.h"

#include <stdlib.h>

/* Takes any bytes; aborts when something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HB_FUZZ_GOOD_BYTES_MAX 2048

/* Writes one of the inputs that are all right, for replay.c to begin with: a byte of switches and a
 * frame, or a file. Returns its size, 0 where there are not so many. */
size_t hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX]);

static inline void
must(bool good)
{
	if (!good)
		abort();
}

#endif
