/* SPDX-License-Identifier: BSD-3-Clause */
/* The manual page, as man(7). */
#ifndef HONGBAOCTL_PRINT_H
#define HONGBAOCTL_PRINT_H

#include <stdio.h>

void print_man(FILE *f);

#endif
