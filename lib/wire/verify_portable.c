/* SPDX-License-Identifier: BSD-3-Clause */
/* The tag check in 64-bit integers: two messages at a time, as many as the registers hold. */
#include <stdint.h>

typedef uint64_t word;

#define LANES 1
#define WORDS 2
#define VERIFY verify_portable
#include "verify_lanes.h"
