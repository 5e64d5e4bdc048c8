/* SPDX-License-Identifier: BSD-3-Clause */
#include "views_internal.h"

void
hb_put(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new_nocheck(o, key, json_integer((json_int_t)n));
}

void
hb_put_real(json_t *o, const char *key, double x)
{
	json_object_set_new_nocheck(o, key, json_real(x));
}

void
hb_put_text(json_t *o, const char *key, const char *text)
{
	json_t *s = json_string(text);

	json_object_set_new_nocheck(o, key, s == NULL ? json_string_nocheck("?") : s);
}

void
hb_put_bool(json_t *o, const char *key, bool b)
{
	json_object_set_new_nocheck(o, key, json_boolean(b));
}
