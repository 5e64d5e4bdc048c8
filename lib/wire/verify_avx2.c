/* SPDX-License-Identifier: BSD-3-Clause */
/* The tag check with AVX2, built for it whatever the rest is built for. */
#include <stdint.h>

typedef uint64_t word __attribute__((vector_size(32)));

#define LANES 4
#define WORDS 2
#define VERIFY verify_avx2
#include "verify_lanes.h"
