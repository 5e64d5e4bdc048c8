/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_preflight: what the host lacks for a configuration, said before anything is started, each with
 * the command that mends it.
 *
 * It only reads /sys, /proc and /dev. drivers-config/prepare-host.sh does the same checks in the
 * same order with the same words; tests/system/test_prepare_host.py holds them together. Virtual
 * devices need nothing but what their profile says they need, so a laptop hears nothing.
 *
 * Called at start, on the control core, before EAL. No state of its own.
 */
#ifndef HB_PREFLIGHT_H
#define HB_PREFLIGHT_H

#include "hb_config.h"

#define HB_FINDINGS_MAX 64

enum hb_severity {
	HB_WARNING, /* slower, or less safe, or perhaps not at all */
	HB_ERROR,   /* a start would certainly fail */
};

struct hb_finding {
	enum hb_severity severity;
	char text[384];
	char command[1200]; /* what mends it */
};

struct hb_preflight {
	struct hb_finding finding[HB_FINDINGS_MAX]; /* what is beyond is left out */
	unsigned count;
	unsigned errors;
};

/* Fills p with what is wrong. root: what stands before /sys, /proc and /dev; "" but in tests. eal:
 * the user's own EAL arguments, with which some checks have no sense. */
void hb_preflight(struct hb_preflight *p, const char *root, const struct hb_config *c,
	const struct hb_profile *profiles, int eal_count, char **eal);

#endif
