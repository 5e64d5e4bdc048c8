/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tags of a burst, checked or made: sorts it by length, and has each length worked on side by
 * side by the widest instruction set that the processor has. With the widest of all whole frames go
 * abreast.
 */
#include "verify.h"

#include <errno.h>

static verify_function *verify = verify_portable;
static const char *verify_name = "portable";
static bool abreast;

struct choice {
	const char *name;
	verify_function *function;
	bool here;
};

#ifdef __x86_64__
#define CHOICES 3
#else
#define CHOICES 1
#endif

/* The widest first. */
static void
list_choices(struct choice *c)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	*c++ = (struct choice){"avx512", verify_avx512,
		__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
			__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")};
	*c++ = (struct choice){"avx2", verify_avx2, __builtin_cpu_supports("avx2")};
#endif
	*c = (struct choice){"portable", verify_portable, true};
}

int
hb_wire_verify_with(const char *name)
{
	struct choice choice[CHOICES];

	list_choices(choice);
	for (unsigned i = 0; i < CHOICES; i++) {
		if (name != NULL && strcmp(choice[i].name, name) != 0)
			continue;
		if (!choice[i].here) {
			if (name != NULL)
				return -ENOTSUP;
			continue;
		}
		verify = choice[i].function;
		verify_name = choice[i].name;
		abreast = strcmp(verify_name, "avx512") == 0;
		return 0;
	}
	return -EINVAL;
}

bool
hb_wire_abreast(void)
{
	return abreast;
}

const char *
hb_wire_verified_with(void)
{
	return verify_name;
}

/* The class of a request whose key is held; else the reason is noted and it has none. */
static inline unsigned
class_of(const struct hb_keyring *keys, struct hb_request *r)
{
	if (HB_UNLIKELY(r->op == HB_OP_PACK)) {
		/* The issuer's key belongs to no epoch. */
		r->drop = HB_DROP_TAG;
		return keys->issuer_held ? VERIFY_PACK : VERIFY_CLASSES;
	}
	r->drop = HB_DROP_EPOCH;
	if (HB_UNLIKELY(!keys->epoch_held[r->epoch]))
		return VERIFY_CLASSES;
	return r->op == HB_OP_SHAKE ? VERIFY_SHAKE : VERIFY_LONG;
}

static inline void
work_on(const struct hb_keyring *keys, struct hb_request *r, unsigned n, enum verify_work work)
{
	struct hb_request *list[VERIFY_CLASSES + 1][HB_BURST];
	unsigned count[VERIFY_CLASSES + 1] = {0};

	for (unsigned i = 0; i < n; i++) {
		unsigned c = class_of(keys, &r[i]);

		list[c][count[c]++] = &r[i];
	}
	for (unsigned c = 0; c < VERIFY_CLASSES; c++) {
		if (count[c] != 0)
			verify(keys, list[c], count[c], (enum verify_class)c, work);
	}
}

void
hb_wire_verify(const struct hb_keyring *keys, struct hb_request *r, unsigned n)
{
	work_on(keys, r, n, VERIFY_CHECK);
}

void
hb_wire_sign(const struct hb_keyring *keys, struct hb_request *r, unsigned n)
{
	work_on(keys, r, n, VERIFY_SIGN);
}
