/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbaoctl top: the daemon as a live full screen. */
#ifndef HONGBAOCTL_TOP_H
#define HONGBAOCTL_TOP_H

#include "ctl.h"

/* Until q or Ctrl-C, whatever becomes of the daemon. */
enum ctl_exit top(const struct ctl *c);

#endif
