/* SPDX-License-Identifier: BSD-3-Clause */
/* What every fuzz target defines. */
#ifndef HB_FUZZ_H
#define HB_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Takes any bytes; aborts when something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
