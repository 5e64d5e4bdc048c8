/* SPDX-License-Identifier: BSD-3-Clause */
/* What every fuzz target defines. */
#ifndef HB_FUZZ_H
#define HB_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Takes any bytes; aborts when something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HB_FUZZ_GOOD_BYTES_MAX 256

/* Writes one of the inputs that are all right, for replay.c to begin with: a byte of switches and a
 * frame. Returns its size, 0 where there are not so many. */
size_t hb_fuzz_good(unsigned which, uint8_t out[HB_FUZZ_GOOD_BYTES_MAX]);

#endif
