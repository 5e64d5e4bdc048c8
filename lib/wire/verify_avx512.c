/* SPDX-License-Identifier: BSD-3-Clause */
/* The tag check with AVX-512, built for it whatever the rest is built for. */
#include <stdint.h>

typedef uint64_t word __attribute__((vector_size(64)));

#define LANES 8
#define WORDS 2
#define VERIFY verify_avx512
#include "verify_lanes.h"
