/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wire.c and the instruction sets of eight frames abreast tell each other. So far there is one
 * that makes it worth while.
 */
#ifndef HB_ABREAST_H
#define HB_ABREAST_H

#include "hb_wire.h"

#ifdef __x86_64__
bool parse_abreast_avx512(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at);
uint64_t verify_abreast_avx512(
	const struct hb_keyring *keys, const struct hb_words *w, struct hb_request *r, unsigned n);
void reply_abreast_avx512(const struct hb_request *r, const struct hb_reply *reply,
	const uint32_t *seal, const uint8_t port_mac[6]);
#endif

#endif
