/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables and pools are never touched by a NIC, so they need no memory of DPDK's: plain
 * mappings let the engine run in a simulator, a fuzzer and a benchmark without EAL.
 */
#include "hb_base.h"

#include <errno.h>
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>

#define MIB (1024ull * 1024)
#define GIB (1024ull * MIB)

static bool use_hugepages = true;

void
hb_mem_use_hugepages(bool on)
{
	use_hugepages = on;
}

/* Reads the first number of a file, or of its line that starts with `key`; 0 when absent. */
static uint64_t
read_number(const char *path, const char *key)
{
	char line[256];
	unsigned long long v = 0;
	size_t skip = key == NULL ? 0 : strlen(key);
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if ((skip == 0 || strncmp(line, key, skip) == 0) &&
			sscanf(line + skip, "%llu", &v) == 1)
			break;
	}
	fclose(f);
	return v;
}

static uint64_t
free_hugepages(uint64_t page_kib)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages",
		(unsigned long long)page_kib);
	return read_number(path, NULL);
}

uint64_t
hb_hugepages_free(void)
{
	return free_hugepages(GIB / 1024) * GIB + free_hugepages(2 * MIB / 1024) * 2 * MIB;
}

uint64_t
hb_mem_available(void)
{
	return read_number("/proc/meminfo", "MemAvailable:") * 1024 +
	       (use_hugepages ? hb_hugepages_free() : 0);
}

/* Tries one kind of page; on success fills m. */
static bool
map_pages(struct hb_mem *m, size_t bytes, size_t page, int flags, enum hb_pages pages)
{
	size_t rounded = (bytes + page - 1) / page * page;
	void *p = mmap(NULL, rounded, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);

	if (p == MAP_FAILED)
		return false;
	*m = (struct hb_mem){.addr = p, .bytes = rounded, .pages = pages};
	return true;
}

static bool
map_huge(struct hb_mem *m, size_t bytes)
{
	/* A 1 GiB page is worth it only where most of it is used. */
	if (bytes >= GIB / 2 && free_hugepages(GIB / 1024) * GIB >= bytes &&
		map_pages(m, bytes, GIB, MAP_HUGETLB | MAP_HUGE_1GB, HB_PAGES_1G))
		return true;
	return bytes >= MIB && free_hugepages(2 * MIB / 1024) * 2 * MIB >= bytes &&
	       map_pages(m, bytes, 2 * MIB, MAP_HUGETLB | MAP_HUGE_2MB, HB_PAGES_2M);
}

/* Ordinary pages: advised before they are populated, so that the kernel can use huge ones. */
static bool
map_ordinary(struct hb_mem *m, size_t bytes)
{
	size_t page = bytes >= 2 * MIB ? 2 * MIB : 4096;
	size_t rounded = (bytes + page - 1) / page * page;
	uint8_t *p =
		mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	bool thp = page > 4096 && madvise(p, rounded, MADV_HUGEPAGE) == 0;
	if (madvise(p, rounded, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
		munmap(p, rounded);
		return false;
	}
	*m = (struct hb_mem){
		.addr = p, .bytes = rounded, .pages = thp ? HB_PAGES_THP : HB_PAGES_4K};
	return true;
}

int
hb_mem_alloc(struct hb_mem *m, size_t bytes, const char *what, struct hb_error *e)
{
	*m = (struct hb_mem){0};
	if (bytes == 0)
		bytes = 1;
	if (use_hugepages && map_huge(m, bytes))
		return 0;
	uint64_t available = read_number("/proc/meminfo", "MemAvailable:") * 1024;
	/* Populating more than there is would wake the OOM killer instead of failing. */
	if (bytes <= available && map_ordinary(m, bytes))
		return 0;
	return hb_fail(e, ENOMEM,
		"%s: needs %llu MiB, the host has %llu MiB available; give it more memory, or ask "
		"for less",
		what, (unsigned long long)((bytes + MIB - 1) / MIB),
		(unsigned long long)(available / MIB));
}

void
hb_mem_free(struct hb_mem *m)
{
	if (m->addr != NULL)
		munmap(m->addr, m->bytes);
	*m = (struct hb_mem){0};
}
