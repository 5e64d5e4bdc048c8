/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/port tell each other. */
#ifndef HB_PORT_INTERNAL_H
#define HB_PORT_INTERNAL_H

#include "hb_port.h"

/* Frames that a hand-over ring holds: fewer where there are many rings. A power of two. */
static inline unsigned
hb_handover_slots(unsigned workers)
{
	return workers <= 4 ? 2048 : workers <= 16 ? 512 : 256;
}

/* Frames that all the rings, queues and FIFOs can hold at the same time, and some to go on with. */
unsigned hb_mbufs_needed(const struct hb_config *c, const struct hb_profile *profiles);

/* Data room of a frame, headroom included. */
uint16_t hb_mbuf_room(const struct hb_config *c, const struct hb_profile *profiles);

/* Copies the value of the which-th argument `key` (from 0) of a device string, if there is one.
 * Returns how many there are. */
unsigned hb_device_argument(
	const char *device, const char *key, unsigned which, char *value, size_t bytes);

#endif
