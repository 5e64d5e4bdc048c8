/* SPDX-License-Identifier: BSD-3-Clause */
/* What verify.c and its instruction sets tell each other. A tag is checked and made by the same
 * code. */
#ifndef HB_VERIFY_H
#define HB_VERIFY_H

#include "hb_wire.h"

/* Requests of one class have as many bytes under the tag, and the same kind of key. */
enum verify_class {
	VERIFY_SHAKE, /* 16 bytes, the user's key */
	VERIFY_LONG,  /* ANSWER and GRAB: 24 bytes, the user's key */
	VERIFY_PACK,  /* 32 bytes, the issuer's key */
	VERIFY_CLASSES
};

/* The most 64-bit words under a tag. */
#define VERIFY_WORDS_MAX 4

/* What is to be done about a tag. */
enum verify_work {
	VERIFY_CHECK, /* compare it with the one that stands there: sets drop */
	VERIFY_SIGN,  /* write it there */
};

/* Checks or writes the tags of n requests of one class whose keys are held; sets each one's key and
 * drop. */
typedef void verify_function(const struct hb_keyring *keys, struct hb_request *const *r, unsigned n,
	enum verify_class c, enum verify_work work);

verify_function verify_portable;
#ifdef __x86_64__
verify_function verify_avx2, verify_avx512;
#endif

#endif
