/* SPDX-License-Identifier: BSD-3-Clause */
/* Eight frames abreast: what doesn't depend on the instruction set. */
#include "abreast.h"
#include "payload.h"

#include <stdlib.h>

#ifdef __x86_64__

bool
hb_frame_parse_abreast(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at)
{
	return parse_abreast_avx512(l, frame, checked, r, w, at);
}

/* Whether the keys of all epochs of n requests are held. */
static inline bool
all_held(const struct hb_keyring *keys, const struct hb_request *r, unsigned n)
{
	bool held = true;

	for (unsigned i = 0; i < n; i++)
		held &= keys->epoch_held[r[i].epoch];
	return held;
}

/* The same one by one, where a key isn't held. */
static __attribute__((noinline)) uint64_t
verify_each(const struct hb_keyring *keys, struct hb_request *r, unsigned n)
{
	uint64_t forged = 0;

	hb_wire_verify(keys, r, n);
	for (unsigned i = 0; i < n; i++)
		forged |= (uint64_t)(r[i].drop != HB_DROP_NONE) << i;
	return forged;
}

uint64_t
hb_wire_verify_abreast(
	const struct hb_keyring *keys, const struct hb_words *w, struct hb_request *r, unsigned n)
{
	uint64_t forged;

	if (HB_UNLIKELY(!all_held(keys, r, n)))
		return verify_each(keys, r, n);
	forged = verify_abreast_avx512(keys, w, r, n);
	for (uint64_t left = forged; HB_UNLIKELY(left != 0); left &= left - 1)
		r[__builtin_ctzll(left)].drop = HB_DROP_TAG;
	return forged;
}

void
hb_frame_reply_abreast(
	const struct hb_request *r, const struct hb_reply *reply, const uint8_t port_mac[6])
{
	uint32_t seal[HB_ABREAST] = {0};

	for (unsigned i = 0; i < HB_ABREAST; i++) {
		if (HB_LIKELY(!hb_status_gives(reply[i].status)))
			continue;
		payload_reply(&r[i], &reply[i]);
		seal[i] = hb_be32(r[i].payload + AT_SEAL);
	}
	reply_abreast_avx512(r, reply, seal, port_mac);
}

#else

bool
hb_frame_parse_abreast(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at)
{
	(void)l, (void)frame, (void)checked, (void)r, (void)w, (void)at;
	return false;
}

uint64_t
hb_wire_verify_abreast(
	const struct hb_keyring *keys, const struct hb_words *w, struct hb_request *r, unsigned n)
{
	(void)keys, (void)w, (void)r, (void)n;
	abort();
}

void
hb_frame_reply_abreast(
	const struct hb_request *r, const struct hb_reply *reply, const uint8_t port_mac[6])
{
	(void)r, (void)reply, (void)port_mac;
	abort();
}

#endif
