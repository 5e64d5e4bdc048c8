/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_internal.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARGS_MAX 128
#define MIB (1024ull * 1024)
#define PAGE_BYTES 4096u

/* An argument vector that owns its strings. */
struct args {
	char *v[ARGS_MAX + 1];
	int n;
};

static void add(struct args *a, const char *fmt, ...) HB_PRINTF(2, 3);

static void
add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->n == ARGS_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&a->v[a->n], fmt, ap) >= 0)
		a->n++;
	va_end(ap);
	a->v[a->n] = NULL;
}

bool
hb_eal_given(int n, char **v, const char *option)
{
	size_t len = strlen(option);

	for (int i = 0; i < n; i++) {
		if (strncmp(v[i], option, len) == 0 &&
			(v[i][len] == '\0' || v[i][len] == '=' || option[1] != '-'))
			return true;
	}
	return false;
}

/* Main lcore 0 and a worker lcore each, on the CPUs that this process may use: in a round where
 * there are fewer CPUs than lcores, workers first. */
static void
add_lcores(struct args *a, unsigned workers)
{
	char list[16 * (HB_WORKERS_MAX + 1)];
	int cpus[CPU_SETSIZE], count = 0;
	size_t at = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &set))
			cpus[count++] = i;
	}
	if (count == 0)
		cpus[count++] = 0;
	for (unsigned i = 0; i <= workers; i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%u@%d", i == 0 ? "" : ",",
			i, cpus[i % (unsigned)count]);
	add(a, "--lcores=%s", list);
	add(a, "--main-lcore=0");
}

uint64_t
hb_eal_bytes(uint64_t frames, uint16_t room, bool no_huge)
{
	uint64_t each = room + 512u;

	/* Without hugepages a mempool has no object across a page's border: it may not be in one
	 * piece for a device. */
	if (no_huge)
		each = each > PAGE_BYTES ? (each + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES
					 : PAGE_BYTES / (PAGE_BYTES / each);
	return frames * each + 64 * MIB;
}

struct hb_eal_wish
hb_eal_wish(const char *program, const struct hb_config *c, const struct hb_profile *profiles)
{
	return (struct hb_eal_wish){
		.program = program,
		.workers = c->workers,
		.frames = hb_mbufs_needed(c, profiles),
		.frame_room = hb_mbuf_room(c, profiles),
		.other_bytes =
			hb_users_bytes(c->users) + hb_packets_bytes(c->packets, c->packet_shares),
		.profile = profiles,
		.profiles = c->ports,
	};
}

/* Whether EAL can have hugepages here; if not, says why and what would change it. */
static bool
hugepages_suffice(const struct hb_eal_wish *w, char *why, size_t why_bytes)
{
	uint64_t bytes = hb_eal_bytes(w->frames, w->frame_room, false);
	uint64_t all = bytes + w->other_bytes, free = hb_hugepages_free();

	if (geteuid() != 0 && access("/dev/hugepages", W_OK) != 0) {
		snprintf(why, why_bytes, "this user may not write /dev/hugepages");
		return false;
	}
	if (free >= bytes)
		return true;
	snprintf(why, why_bytes,
		"%llu MiB of hugepages are free and %llu are needed; as root: echo %llu > "
		"/proc/sys/vm/nr_hugepages",
		(unsigned long long)(free / MIB), (unsigned long long)(bytes / MIB),
		(unsigned long long)(all / (2 * MIB) + 1));
	return false;
}

/* What the user's own arguments don't say. */
static void
add_memory(struct args *a, uint64_t bytes, bool no_huge, int given_count, char **given)
{
	if (hb_eal_given(given_count, given, "-m"))
		return;
	if (!no_huge) {
		add(a, "--in-memory");
		return;
	}
	if (!hb_eal_given(given_count, given, "--no-huge"))
		add(a, "--no-huge");
	if (!hb_eal_given(given_count, given, "--no-shconf"))
		add(a, "--no-shconf");
	add(a, "-m");
	add(a, "%llu", (unsigned long long)(bytes / MIB));
}

static void
free_args(struct args *a)
{
	for (int i = 0; i < a->n; i++)
		free(a->v[i]);
}

static bool
needs_pci(const struct hb_eal_wish *w)
{
	for (unsigned i = 0; i < w->profiles; i++) {
		if (!w->profile[i].vdev)
			return true;
	}
	return false;
}

/* EAL's whole command line. */
static void
make_args(struct args *a, const struct hb_eal_wish *w, int extra_count, char **extra, bool no_huge)
{
	add(a, "%s", w->program);
	add(a, "--log-level=lib.eal:error");
	add(a, "--log-level=lib.telemetry:error");
	add(a, "--file-prefix=hongbao%d", (int)getpid());
	if (!hb_eal_given(extra_count, extra, "-l") &&
		!hb_eal_given(extra_count, extra, "--lcores") &&
		!hb_eal_given(extra_count, extra, "-c"))
		add_lcores(a, w->workers);
	add_memory(a, hb_eal_bytes(w->frames, w->frame_room, no_huge), no_huge, extra_count, extra);
	if (!needs_pci(w))
		add(a, "--no-pci");
	for (unsigned i = 0; i < w->profiles; i++) {
		for (unsigned k = 0; k < w->profile[i].eal_args; k++)
			add(a, "%s", w->profile[i].eal[k]);
	}
	for (int i = 0; i < extra_count; i++)
		add(a, "%s", extra[i]);
}

int
hb_eal_start(const struct hb_eal_wish *w, int extra_count, char **extra, bool *no_huge, char *why,
	size_t why_bytes, struct hb_error *e)
{
	struct args a = {.n = 0};

	why[0] = '\0';
	*no_huge = hb_eal_given(extra_count, extra, "--no-huge");
	if (*no_huge)
		snprintf(why, why_bytes, "asked for on the command line");
	else
		*no_huge = !hugepages_suffice(w, why, why_bytes);
	make_args(&a, w, extra_count, extra, *no_huge);
	hb_mem_use_hugepages(!*no_huge);

	/* EAL reorders its vector, so it gets a copy of the pointers. */
	char *v[ARGS_MAX + 1];
	memcpy(v, a.v, sizeof(v));
	int rc = rte_eal_init(a.n, v);
	free_args(&a);
	if (rc < 0)
		return hb_fail(e, rte_errno == 0 ? EIO : rte_errno,
			"EAL did not start: %s; its own lines above say more, and arguments behind "
			"-- "
			"go to it",
			rte_strerror(rte_errno));
	/* From here on its errors are ours to tell. */
	rte_log_set_level_pattern("lib.eal", RTE_LOG_CRIT);
	if (rte_lcore_count() < w->workers + 1)
		return hb_fail(e, EINVAL,
			"workers: %u, but EAL has %u lcores for them beside the main one; give it "
			"%u "
			"with -- --lcores, or set fewer workers",
			w->workers, rte_lcore_count() - 1, w->workers + 1);
	return 0;
}

void
hb_eal_stop(void)
{
	rte_eal_cleanup();
}
