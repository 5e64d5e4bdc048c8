/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_runs.h"

/* Up to here each size has a list of its own, beyond it four lists share a power of two. */
#define EXACT 64u
#define EXACT_BITS 6
#define PARTS_BITS 2

/* What stands in a free run's first place, and `size_again` in its last. */
struct run {
	uint32_t size;
	uint32_t before; /* in its list: 1 + first place; 0: none */
	uint32_t behind;
	uint32_t size_again;
};
_Static_assert(sizeof(struct run) == sizeof(struct hb_share), "a free run fits into one place");

static inline struct run *
run_at(const struct hb_runs *p, uint32_t place)
{
	return (struct run *)&p->share[place];
}

static inline bool
is_edge(const struct hb_runs *p, uint32_t place)
{
	return p->edge[place / 64] >> place % 64 & 1;
}

static inline void
flip_edge(struct hb_runs *p, uint32_t place)
{
	p->edge[place / 64] ^= 1ull << place % 64;
}

/* The list of runs of that size. */
static inline unsigned
list_of(uint32_t size)
{
	if (size < EXACT)
		return size;
	unsigned log = 31 - (unsigned)__builtin_clz(size);

	return EXACT + ((log - EXACT_BITS) << PARTS_BITS) +
	       (size >> (log - PARTS_BITS) & ((1u << PARTS_BITS) - 1));
}

/* The first list from this one on that isn't empty, or HB_RUNS_LISTS. */
static unsigned
list_from(const struct hb_runs *p, unsigned list)
{
	for (unsigned w = list / 64; w < HB_COUNT_OF(p->map); w++) {
		uint64_t map = p->map[w] & (w == list / 64 ? UINT64_MAX << list % 64 : UINT64_MAX);

		if (map != 0)
			return w * 64 + (unsigned)__builtin_ctzll(map);
	}
	return HB_RUNS_LISTS;
}

static void
put_run(struct hb_runs *p, uint32_t first, uint32_t size)
{
	unsigned list = list_of(size);
	uint32_t behind = p->list[list];
	struct run *r = run_at(p, first);

	*r = (struct run){.size = size, .behind = behind};
	run_at(p, first + size - 1)->size_again = size;
	if (behind != 0)
		run_at(p, behind - 1)->before = first + 1;
	p->list[list] = first + 1;
	p->map[list / 64] |= 1ull << list % 64;
	flip_edge(p, first);
	if (size > 1)
		flip_edge(p, first + size - 1);
}

static void
take_run(struct hb_runs *p, uint32_t first)
{
	const struct run *r = run_at(p, first);
	unsigned list = list_of(r->size);

	if (r->before != 0)
		run_at(p, r->before - 1)->behind = r->behind;
	else
		p->list[list] = r->behind;
	if (r->behind != 0)
		run_at(p, r->behind - 1)->before = r->before;
	if (p->list[list] == 0)
		p->map[list / 64] &= ~(1ull << list % 64);
	flip_edge(p, first);
	if (r->size > 1)
		flip_edge(p, first + r->size - 1);
}

int
hb_runs_make(struct hb_runs *p, uint32_t places, struct hb_error *e)
{
	int err;

	*p = (struct hb_runs){.places = places, .free = places};
	err = hb_mem_alloc(&p->share_mem, places * sizeof(struct hb_share), "shares of packets", e);
	if (err == 0)
		err = hb_mem_alloc(&p->edge_mem, (places / 64 + 1) * sizeof(uint64_t),
			"a map of the shares of packets", e);
	if (err != 0) {
		hb_runs_free(p);
		return err;
	}
	p->share = p->share_mem.addr;
	p->edge = p->edge_mem.addr;
	if (places > 0)
		put_run(p, 0, places);
	return 0;
}

void
hb_runs_free(struct hb_runs *p)
{
	hb_mem_free(&p->share_mem);
	hb_mem_free(&p->edge_mem);
	*p = (struct hb_runs){0};
}

unsigned
hb_runs_list_for(const struct hb_runs *p, uint32_t n)
{
	unsigned list = list_of(n);

	/* Where sizes share a list, only its first run is looked at: the next list has only runs
	 * that are large enough. */
	if (n >= EXACT && p->list[list] != 0 && run_at(p, p->list[list] - 1)->size >= n)
		return list;
	return list_from(p, n >= EXACT ? list + 1 : list);
}

uint32_t
hb_runs_take(struct hb_runs *p, uint32_t n)
{
	unsigned list = hb_runs_list_for(p, n);

	if (list == HB_RUNS_LISTS)
		return UINT32_MAX;
	uint32_t first = p->list[list] - 1, size = run_at(p, first)->size;

	take_run(p, first);
	if (size > n)
		put_run(p, first + n, size - n);
	p->free -= n;
	return first;
}

void
hb_runs_give_back(struct hb_runs *p, uint32_t first, uint32_t n)
{
	p->free += n;
	if (first > 0 && is_edge(p, first - 1)) {
		uint32_t size = run_at(p, first - 1)->size_again;

		take_run(p, first - size);
		first -= size;
		n += size;
	}
	if (first + n < p->places && is_edge(p, first + n)) {
		uint32_t size = run_at(p, first + n)->size;

		take_run(p, first + n);
		n += size;
	}
	put_run(p, first, n);
}

bool
hb_runs_sound(const struct hb_runs *p)
{
	uint64_t free = 0, edges = 0, said = 0;

	for (unsigned list = 0; list < HB_RUNS_LISTS; list++) {
		uint32_t before = 0;

		if ((p->list[list] != 0) != (p->map[list / 64] >> list % 64 & 1))
			return false;
		for (uint32_t at = p->list[list]; at != 0; at = run_at(p, at - 1)->behind) {
			const struct run *r = run_at(p, at - 1);

			if (r->size == 0 || r->before != before || list_of(r->size) != list ||
				r->size > p->places - (at - 1) || !is_edge(p, at - 1) ||
				!is_edge(p, at - 1 + r->size - 1) ||
				run_at(p, at - 1 + r->size - 1)->size_again != r->size)
				return false;
			/* Its neighbours are taken, or it would be joined with them. */
			if ((at > 1 && is_edge(p, at - 2)) ||
				(at - 1 + r->size < p->places && is_edge(p, at - 1 + r->size)))
				return false;
			free += r->size;
			edges += r->size > 1 ? 2 : 1;
			before = at;
		}
	}
	for (uint32_t w = 0; w <= p->places / 64; w++)
		said += (unsigned)__builtin_popcountll(p->edge[w]);
	return free == p->free && said == edges;
}
