/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_preflight.h"

#include "port_internal.h"

#include <ctype.h>
#include <glob.h>
#include <libgen.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define PAGE_2M (2 * MIB)
#define PAGE_1G (1024 * MIB)
#define WORD 128 /* a driver's name, a PCI address, a number */
#define FILES_BESIDE_PAGES 256
#define LIST_BYTES 1024 /* of CPUs: every second of 256 */

/* A check in progress. */
struct look {
	struct hb_preflight *p;
	const char *root;
	const struct hb_config *c;
	const struct hb_profile *profiles;
	bool no_huge;	   /* asked for */
	bool own_cpus;	   /* the user says which CPUs */
	uint64_t frames;   /* bytes that EAL needs */
	uint64_t all;	   /* with the users' rows and the packets */
	int node;	   /* of the first NIC; -1: unknown */
	char nic[WORD];	   /* the first NIC */
	bool physical;	   /* a NIC takes physical addresses, which ordinary pages have not */
	bool vfio;	   /* a NIC goes through vfio-pci */
	cpu_set_t workers; /* their CPUs */
};

/* ---- findings ------------------------------------------------------------------------ */

static void find(struct look *l, enum hb_severity severity, const char *fmt, ...) HB_PRINTF(3, 4);
static void mend(struct look *l, const char *fmt, ...) HB_PRINTF(2, 3);

static void
find(struct look *l, enum hb_severity severity, const char *fmt, ...)
{
	struct hb_preflight *p = l->p;
	va_list ap;

	p->errors += severity == HB_ERROR;
	if (p->count == HB_FINDINGS_MAX)
		p->count--; /* the last is overwritten: the mending that follows is its own */
	p->finding[p->count].severity = severity;
	va_start(ap, fmt);
	vsnprintf(p->finding[p->count].text, sizeof(p->finding[0].text), fmt, ap);
	va_end(ap);
	p->count++;
}

/* The command for the finding before. */
static void
mend(struct look *l, const char *fmt, ...)
{
	struct hb_finding *f = &l->p->finding[l->p->count - 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->command, sizeof(f->command), fmt, ap);
	va_end(ap);
}

/* ---- reading /sys and /proc ---------------------------------------------------------- */

static void place(const struct look *l, char path[PATH_MAX], const char *fmt, ...) HB_PRINTF(3, 4);

static void
place(const struct look *l, char path[PATH_MAX], const char *fmt, ...)
{
	size_t n = (size_t)snprintf(path, PATH_MAX, "%s", l->root);
	va_list ap;

	va_start(ap, fmt);
	if (n < PATH_MAX)
		vsnprintf(path + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
}

/* The first line of a file that begins with `key`, from behind it, without blanks at either end; ""
 * where there is none. */
static void
read_line(const char *path, const char *key, char *out, size_t bytes)
{
	char line[LIST_BYTES + 64];
	FILE *f = fopen(path, "r");

	out[0] = '\0';
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *from = line + strlen(key), *end = line + strlen(line);

		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		from += strspn(from, " \t");
		while (end > from && isspace((unsigned char)end[-1]))
			*--end = '\0';
		snprintf(out, bytes, "%s", from);
		break;
	}
	if (f != NULL)
		fclose(f);
}

static uint64_t
read_u64(const char *path)
{
	char text[WORD];

	read_line(path, "", text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* The last part of where a link leads; "" where there is none. */
static void
read_link(const char *path, char *out, size_t bytes)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	target[n < 0 ? 0 : n] = '\0';
	snprintf(out, bytes, "%s", n > 0 ? basename(target) : "");
}

/* "0-3,8" into a set. */
static void
read_cpus(const char *text, cpu_set_t *set)
{
	CPU_ZERO(set);
	while (isdigit((unsigned char)*text)) {
		char *end;
		unsigned long from = strtoul(text, &end, 10), to = from;

		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		for (unsigned long cpu = from; cpu <= to && cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, set);
		text = *end == ',' ? end + 1 : end;
	}
}

/* The workers' CPUs that are not in a set, as "1,2"; "" where all are. */
static void
workers_outside(const struct look *l, const cpu_set_t *set, char out[LIST_BYTES])
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && at + 8 < LIST_BYTES; cpu++) {
		if (CPU_ISSET(cpu, &l->workers) && !CPU_ISSET(cpu, set))
			at += (size_t)snprintf(
				out + at, LIST_BYTES - at, "%s%u", at == 0 ? "" : ",", cpu);
	}
}

/* ---- hugepages ----------------------------------------------------------------------- */

/* Where pages of a size are counted: of a node, or of the host where node is -1. */
static void
pages_place(const struct look *l, char path[PATH_MAX], int node, uint64_t page, const char *count)
{
	unsigned long long kib = page / 1024;

	if (node >= 0)
		place(l, path, "/sys/devices/system/node/node%d/hugepages/hugepages-%llukB/%s",
			node, kib, count);
	else
		place(l, path, "/sys/kernel/mm/hugepages/hugepages-%llukB/%s", kib, count);
}

static uint64_t
free_bytes(const struct look *l, int node)
{
	char small[PATH_MAX], large[PATH_MAX];

	pages_place(l, small, node, PAGE_2M, "free_hugepages");
	pages_place(l, large, node, PAGE_1G, "free_hugepages");
	return read_u64(small) * PAGE_2M + read_u64(large) * PAGE_1G;
}

/* The command that makes so many bytes more. */
static void
mend_pages(struct look *l, int node, uint64_t missing)
{
	uint64_t page = PAGE_2M;
	char path[PATH_MAX];

	pages_place(l, path, node, page, "nr_hugepages");
	if (access(path, F_OK) != 0) {
		page = PAGE_1G;
		pages_place(l, path, node, page, "nr_hugepages");
	}
	mend(l, "echo %llu > %s",
		(unsigned long long)(read_u64(path) + (missing + page - 1) / page),
		path + strlen(l->root));
}

static void
check_hugepages(struct look *l)
{
	uint64_t free = free_bytes(l, -1), there;
	enum hb_severity severity = l->physical && free < l->frames ? HB_ERROR : HB_WARNING;

	if (l->no_huge)
		return;
	there = l->node < 0 ? free : free_bytes(l, l->node);
	if (free < l->all) {
		find(l, severity, "hugepages: %llu MiB are free, %llu MiB are needed",
			(unsigned long long)(free / MIB), (unsigned long long)(l->all / MIB));
		mend_pages(l, l->node, l->all - free);
	} else if (there < l->frames) {
		find(l, HB_WARNING,
			"hugepages: %llu MiB are free on node %d, where %s is, %llu MiB are needed "
			"there",
			(unsigned long long)(there / MIB), l->node, l->nic,
			(unsigned long long)(l->frames / MIB));
		mend_pages(l, l->node, l->frames - there);
	}
}

/* EAL makes its pages in memory, so root needs no mount; others are let in by its rights. */
static void
check_mount(struct look *l)
{
	char path[PATH_MAX];

	place(l, path, "/dev/hugepages");
	if (geteuid() == 0 || l->no_huge || access(path, W_OK) == 0)
		return;
	find(l, HB_WARNING, "hugepages: this user may not write /dev/hugepages");
	if (access(path, F_OK) != 0)
		mend(l,
			"mkdir -p /dev/hugepages && mount -t hugetlbfs -o uid=%u hugetlbfs "
			"/dev/hugepages",
			(unsigned)geteuid());
	else
		mend(l, "chown %u /dev/hugepages", (unsigned)geteuid());
}

/* ---- a PCI device -------------------------------------------------------------------- */

struct pci {
	char address[WORD]; /* 0000:03:00.0 */
	char driver[WORD];  /* "": none */
	const struct hb_profile *profile;
};

/* "03:00.0,arg=1" into "0000:03:00.0"; false where it is no address. */
static bool
take_address(const char *device, char out[WORD])
{
	unsigned domain, bus, slot, function = 0;
	int used = 0;

	if (sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &used) != 4) {
		domain = 0;
		if (sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &used) != 3)
			return false;
	}
	if ((size_t)used != strcspn(device, ",") || function > 7)
		return false;
	snprintf(out, WORD, "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return true;
}

static bool
is_userspace(const char *driver)
{
	return strcmp(driver, "vfio-pci") == 0 || strcmp(driver, "uio_pci_generic") == 0 ||
	       strcmp(driver, "igb_uio") == 0;
}

/* Whether a line of a routing table, the columns before `mask` and between it and `name` read over
 * by fmt, is a default route of an interface. */
static bool
names_default(const char *path, const char *fmt, bool name_first, const char *interface)
{
	char line[512], name[WORD];
	unsigned long mask;
	bool found = false;
	FILE *f = fopen(path, "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		int n = name_first ? sscanf(line, fmt, name, &mask)
				   : sscanf(line, fmt, &mask, name);

		found |= n == 2 && mask == 0 && strcmp(name, interface) == 0;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static bool
has_default_route(const struct look *l, const char *interface)
{
	char v4[PATH_MAX], v6[PATH_MAX];

	place(l, v4, "/proc/net/route");
	place(l, v6, "/proc/net/ipv6_route");
	return names_default(v4, "%127s %*s %*s %*s %*s %*s %*s %lx", true, interface) ||
	       names_default(v6, "%*s %lx %*s %*s %*s %*s %*s %*s %*s %127s", false, interface);
}

/* The interface of a device that a default route leaves by, "" where there is none. */
static void
default_interface(const struct look *l, const char *address, char out[WORD])
{
	static const char *const patterns[] = {"net", "virtio*/net"};
	char path[PATH_MAX];
	glob_t g;

	out[0] = '\0';
	for (unsigned i = 0; i < HB_COUNT_OF(patterns); i++) {
		place(l, path, "/sys/bus/pci/devices/%s/%s/*", address, patterns[i]);
		if (glob(path, 0, NULL, &g) != 0)
			continue;
		for (size_t k = 0; k < g.gl_pathc; k++) {
			if (has_default_route(l, basename(g.gl_pathv[k])))
				snprintf(out, WORD, "%s", basename(g.gl_pathv[k]));
		}
		globfree(&g);
	}
}

static void
mend_binding(struct look *l, const char *address, const char *driver)
{
	char path[PATH_MAX];

	place(l, path, "/sys/bus/pci/drivers/%s", driver);
	if (access(path, F_OK) == 0)
		mend(l, "dpdk-devbind.py -b %s %s", driver, address);
	else
		mend(l, "modprobe %s && dpdk-devbind.py -b %s %s", driver, driver, address);
}

/* For a profile that takes the device away from the kernel. */
static void
check_taken(struct look *l, const struct pci *d)
{
	const char *want = hb_kernel_driver_name(d->profile->kernel_driver);
	char interface[WORD];

	default_interface(l, d->address, interface);
	if (is_userspace(d->driver)) {
		if (d->profile->kernel_driver != HB_KERNEL_VFIO_PCI || strcmp(d->driver, want) == 0)
			return;
		find(l, HB_WARNING, "device %s: is bound to %s, without an IOMMU; better is %s",
			d->address, d->driver, want);
		mend_binding(l, d->address, want);
	} else if (interface[0] != '\0') {
		find(l, HB_ERROR,
			"device %s: its interface %s has the default route: bound to %s it would "
			"cut this host off; name another NIC",
			d->address, interface, want);
		mend(l, "dpdk-devbind.py --status-dev net");
	} else {
		find(l, d->driver[0] == '\0' ? HB_WARNING : HB_ERROR,
			"device %s: is bound to %s, profile %s needs %s", d->address,
			d->driver[0] == '\0' ? "no driver" : d->driver, d->profile->name, want);
		mend_binding(l, d->address, want);
	}
}

/* For a profile that shares the device with the kernel. */
static void
check_shared(struct look *l, const struct pci *d)
{
	if (d->driver[0] != '\0' && !is_userspace(d->driver))
		return;
	find(l, HB_ERROR, "device %s: is bound to %s, profile %s needs the kernel's own",
		d->address, d->driver[0] == '\0' ? "no driver" : d->driver, d->profile->name);
	if (d->driver[0] == '\0')
		mend(l, "echo %s > /sys/bus/pci/drivers_probe", d->address);
	else
		mend(l,
			"dpdk-devbind.py -u %s && echo > /sys/bus/pci/devices/%s/driver_override "
			"&& echo %s > /sys/bus/pci/drivers_probe",
			d->address, d->address, d->address);
}

/* One of the others of an IOMMU group: a bridge is none, and an unbound one does no harm. */
static void
check_companion(struct look *l, const struct pci *d, const char *group, const char *other)
{
	char path[PATH_MAX], class[WORD], driver[WORD], interface[WORD];

	place(l, path, "/sys/bus/pci/devices/%s/class", other);
	read_line(path, "", class, sizeof(class));
	place(l, path, "/sys/bus/pci/devices/%s/driver", other);
	read_link(path, driver, sizeof(driver));
	if (strcmp(other, d->address) == 0 || strncmp(class, "0x0604", 6) == 0 ||
		driver[0] == '\0' || strcmp(driver, "vfio-pci") == 0 ||
		strcmp(driver, "pci-stub") == 0)
		return;
	find(l, HB_ERROR,
		"device %s: IOMMU group %s has %s too, bound to %s: vfio-pci wants all of it",
		d->address, group, other, driver);
	default_interface(l, other, interface);
	if (strncmp(class, "0x02", 4) == 0 && interface[0] == '\0')
		mend_binding(l, other, "vfio-pci");
	else
		mend(l, "ls -l /sys/kernel/iommu_groups/%s/devices", group);
}

static void
check_iommu(struct look *l, const struct pci *d)
{
	const char *driver = is_userspace(d->driver)
				     ? d->driver
				     : hb_kernel_driver_name(d->profile->kernel_driver);
	char path[PATH_MAX], group[WORD], mode[WORD];
	glob_t g;

	if (strcmp(driver, "vfio-pci") != 0) {
		l->physical |= d->profile->kernel_driver != HB_KERNEL_OWN;
		return;
	}
	l->vfio = true;
	place(l, path, "/sys/bus/pci/devices/%s/iommu_group", d->address);
	read_link(path, group, sizeof(group));
	place(l, path, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	read_line(path, "", mode, sizeof(mode));
	if (group[0] == '\0' && strcmp(mode, "Y") == 0) {
		l->physical = true;
		return;
	}
	if (group[0] == '\0') {
		find(l, HB_ERROR,
			"device %s: has no IOMMU: boot with intel_iommu=on or amd_iommu=on, or, "
			"where it may write all memory, go without",
			d->address);
		mend(l, "modprobe vfio && echo 1 > "
			"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
		return;
	}
	place(l, path, "/sys/kernel/iommu_groups/%s/name", group);
	read_line(path, "", mode, sizeof(mode));
	l->physical |= strcmp(mode, "vfio-noiommu") == 0;
	place(l, path, "/sys/kernel/iommu_groups/%s/devices/*", group);
	if (glob(path, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		check_companion(l, d, group, basename(g.gl_pathv[i]));
	globfree(&g);
}

static void
check_numa(struct look *l, const struct pci *d)
{
	char path[PATH_MAX], text[LIST_BYTES], outside[LIST_BYTES];
	cpu_set_t set;
	int node;

	place(l, path, "/sys/bus/pci/devices/%s/numa_node", d->address);
	read_line(path, "", text, sizeof(text));
	node = text[0] == '\0' ? -1 : atoi(text);
	place(l, path, "/sys/devices/system/node/node%d/cpulist", node);
	if (node < 0 || access(path, F_OK) != 0)
		return;
	if (l->node < 0) {
		l->node = node;
		snprintf(l->nic, sizeof(l->nic), "%s", d->address);
	}
	read_line(path, "", text, sizeof(text));
	read_cpus(text, &set);
	workers_outside(l, &set, outside);
	if (l->own_cpus || outside[0] == '\0')
		return;
	find(l, HB_WARNING, "device %s: is on NUMA node %d, CPU %s of the workers elsewhere",
		d->address, node, outside);
	mend(l, "taskset -c %s hongbaod -c FILE", text);
}

static void
check_pci(struct look *l, const char *device, const struct hb_profile *profile)
{
	struct pci d = {.profile = profile};
	char path[PATH_MAX], class[WORD];

	if (!take_address(device, d.address)) {
		find(l, HB_ERROR, "device %s: is no PCI address, profile %s needs one", device,
			profile->name);
		mend(l, "dpdk-devbind.py --status-dev net");
		return;
	}
	place(l, path, "/sys/bus/pci/devices/%s", d.address);
	if (access(path, F_OK) != 0) {
		find(l, HB_ERROR, "device %s: is not there", d.address);
		mend(l, "dpdk-devbind.py --status-dev net");
		return;
	}
	place(l, path, "/sys/bus/pci/devices/%s/class", d.address);
	read_line(path, "", class, sizeof(class));
	/* It may be what the host's disks hang on: never say how to bind it. */
	if (strncmp(class, "0x02", 4) != 0) {
		find(l, HB_ERROR, "device %s: is no NIC, its class is %s", d.address, class);
		mend(l, "dpdk-devbind.py --status-dev net");
		return;
	}
	place(l, path, "/sys/bus/pci/devices/%s/driver", d.address);
	read_link(path, d.driver, sizeof(d.driver));
	if (profile->kernel_driver == HB_KERNEL_OWN)
		check_shared(l, &d);
	else
		check_taken(l, &d);
	check_iommu(l, &d);
	check_numa(l, &d);
}

/* ---- CPUs ---------------------------------------------------------------------------- */

/* The CPUs that the workers will have: see hb_eal_start(). */
static void
take_cpus(struct look *l)
{
	char path[PATH_MAX], text[LIST_BYTES];
	unsigned cpus[CPU_SETSIZE], count = 0;
	cpu_set_t allowed;

	place(l, path, "/proc/self/status");
	read_line(path, "Cpus_allowed_list:", text, sizeof(text));
	read_cpus(text, &allowed);
	CPU_ZERO(&l->workers);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed))
			cpus[count++] = cpu;
	}
	for (unsigned i = 1; count > 0 && i <= l->c->workers; i++)
		CPU_SET(cpus[i % count], &l->workers);
}

static void
check_isolation(struct look *l)
{
	char path[PATH_MAX], isolated[LIST_BYTES], ticks[LIST_BYTES], outside[LIST_BYTES];
	cpu_set_t set;

	place(l, path, "/sys/devices/system/cpu/isolated");
	read_line(path, "", isolated, sizeof(isolated));
	read_cpus(isolated, &set);
	workers_outside(l, &set, outside);
	if (outside[0] != '\0') {
		find(l, HB_WARNING,
			"CPU %s of the workers is not isolated: other work runs there too",
			outside);
		if (isolated[0] != '\0')
			mend(l, "taskset -c %s hongbaod -c FILE", isolated);
		else
			mend(l, "sh drivers-config/prepare-host.sh --isolate %s --apply && reboot",
				outside);
		return;
	}
	place(l, path, "/sys/devices/system/cpu/nohz_full");
	read_line(path, "", ticks, sizeof(ticks));
	read_cpus(ticks, &set);
	workers_outside(l, &set, outside);
	if (outside[0] == '\0')
		return;
	find(l, HB_WARNING, "CPU %s of the workers is isolated, but its timer ticks (nohz_full)",
		outside);
	mend(l, "sh drivers-config/prepare-host.sh --isolate %s --apply && reboot", isolated);
}

static void
check_governor(struct look *l)
{
	char path[PATH_MAX], text[WORD], first[WORD] = "", outside[LIST_BYTES];
	cpu_set_t fast;

	CPU_ZERO(&fast);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &l->workers))
			continue;
		place(l, path, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		read_line(path, "", text, sizeof(text));
		if (text[0] == '\0' || strcmp(text, "performance") == 0)
			CPU_SET(cpu, &fast);
		else if (first[0] == '\0')
			snprintf(first, sizeof(first), "%s", text);
	}
	workers_outside(l, &fast, outside);
	if (outside[0] == '\0')
		return;
	find(l, HB_WARNING, "CPU %s of the workers has the governor %s", outside, first);
	mend(l, "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
}

/* ---- limits and rights --------------------------------------------------------------- */

/* A soft limit of this process, UINT64_MAX where there is none. */
static uint64_t
limit(const struct look *l, const char *name)
{
	char path[PATH_MAX], text[WORD];

	place(l, path, "/proc/self/limits");
	read_line(path, name, text, sizeof(text));
	return isdigit((unsigned char)text[0]) ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static void
check_limits(struct look *l)
{
	uint64_t lock = limit(l, "Max locked memory"), files = limit(l, "Max open files");
	uint64_t pages = l->frames / PAGE_2M + FILES_BESIDE_PAGES;
	const struct passwd *user = getpwuid(geteuid());

	if (geteuid() != 0 && l->vfio && lock < l->frames) {
		find(l, HB_WARNING, "limits: this user may lock %llu MiB, %llu MiB are needed",
			(unsigned long long)(lock / MIB), (unsigned long long)(l->frames / MIB));
		mend(l, "sh drivers-config/prepare-host.sh --limits %s --apply",
			user == NULL ? "USER" : user->pw_name);
	}
	if (files >= pages)
		return;
	find(l, HB_WARNING, "limits: %llu files may be open, %llu are needed",
		(unsigned long long)files, (unsigned long long)pages);
	mend(l, "ulimit -n %llu", (unsigned long long)pages);
}

static void
check_capability(struct look *l, const char *device, unsigned bit, const char *name)
{
	char path[PATH_MAX], text[WORD], lower[WORD];
	unsigned i = 0;

	place(l, path, "/proc/self/status");
	read_line(path, "CapEff:", text, sizeof(text));
	if ((strtoull(text, NULL, 16) >> bit & 1) != 0)
		return;
	for (; name[i] != '\0'; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	lower[i] = '\0';
	find(l, HB_ERROR, "device %s: needs %s, which this user has not", device, name);
	mend(l, "setcap %s+ep \"$(command -v hongbaod)\"", lower);
}

/* What the profile of a virtual device says that it needs. */
static void
check_vdev(struct look *l, const char *device, unsigned needs)
{
	char path[PATH_MAX], name[HB_DEVICE_BYTES];

	snprintf(name, WORD, "%.*s", (int)strcspn(device, ","), device);
	place(l, path, "/dev/net/tun");
	if ((needs & HB_NEED_TUN) != 0 && access(path, F_OK) != 0) {
		find(l, HB_ERROR, "device %s: there is no /dev/net/tun", name);
		mend(l, "modprobe tun");
	} else if ((needs & HB_NEED_TUN) != 0 && access(path, R_OK | W_OK) != 0) {
		find(l, HB_ERROR, "device %s: this user may not use /dev/net/tun", name);
		mend(l, "chmod 666 /dev/net/tun");
	}
	if ((needs & HB_NEED_NET_ADMIN) != 0)
		check_capability(l, name, CAP_NET_ADMIN, "CAP_NET_ADMIN");
	if ((needs & HB_NEED_NET_RAW) != 0)
		check_capability(l, name, CAP_NET_RAW, "CAP_NET_RAW");
}

/* ---- all of it ----------------------------------------------------------------------- */

void
hb_preflight(struct hb_preflight *p, const char *root, const struct hb_config *c,
	const struct hb_profile *profiles, int eal_count, char **eal)
{
	struct look l = {
		.p = p,
		.root = root,
		.c = c,
		.profiles = profiles,
		.no_huge = hb_eal_given(eal_count, eal, "--no-huge"),
		.own_cpus = hb_eal_given(eal_count, eal, "-l") ||
			    hb_eal_given(eal_count, eal, "--lcores") ||
			    hb_eal_given(eal_count, eal, "-c"),
		.frames = hb_eal_bytes(
			hb_mbufs_needed(c, profiles), hb_mbuf_room(c, profiles), false),
		.node = -1,
	};
	bool nic = false;

	*p = (struct hb_preflight){0};
	l.all = l.frames + hb_users_bytes(c->users) +
		hb_packets_bytes(c->packets, c->packet_shares);
	take_cpus(&l);
	for (unsigned i = 0; i < c->ports; i++) {
		if (profiles[i].vdev)
			check_vdev(&l, c->port[i].device, profiles[i].needs);
		else
			check_pci(&l, c->port[i].device, &profiles[i]);
		nic |= !profiles[i].vdev;
	}
	if (!nic)
		return;
	check_hugepages(&l);
	check_mount(&l);
	if (!l.own_cpus) {
		check_isolation(&l);
		check_governor(&l);
	}
	check_limits(&l);
}
