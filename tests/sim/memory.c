/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_mem of hb_base.h for a program that starts thousands of servers a second: from the heap where
 * regions are small, so that a sanitizer sees their ends, and never populated, since mapping and
 * faulting in 256 KiB takes longer than a whole run. Linked instead of lib/base/mem.c.
 */
#include "hb_base.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SMALL (64u << 10)

void
hb_mem_use_hugepages(bool on)
{
	(void)on;
}

uint64_t
hb_hugepages_free(void)
{
	return 0;
}

uint64_t
hb_mem_available(void)
{
	return UINT64_MAX;
}

int
hb_mem_alloc(struct hb_mem *m, size_t bytes, const char *what, struct hb_error *e)
{
	size_t rounded = (bytes + HB_CACHE_LINE) / HB_CACHE_LINE * HB_CACHE_LINE;
	void *p;

	if (rounded <= SMALL) {
		p = aligned_alloc(HB_CACHE_LINE, rounded);
		if (p != NULL)
			memset(p, 0, rounded);
	} else {
		p = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p = p == MAP_FAILED ? NULL : p;
	}
	*m = (struct hb_mem){.addr = p, .bytes = rounded};
	return p != NULL ? 0 : hb_fail(e, ENOMEM, "%s: no memory", what);
}

void
hb_mem_free(struct hb_mem *m)
{
	if (m->addr != NULL && m->bytes > SMALL)
		munmap(m->addr, m->bytes);
	else
		free(m->addr);
	*m = (struct hb_mem){0};
}
