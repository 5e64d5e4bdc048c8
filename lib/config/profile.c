/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driver profiles. Where they are installed and where the source tree has them comes from the
 * build, as HB_PROFILE_DIR_INSTALLED and HB_PROFILE_DIR_SOURCE.
 */
#include "sense.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SUFFIX ".yaml"
#define PLACES 3
#define TEXT_MAX 255
#define DESCRIPTORS_MIN 32
#define DESCRIPTORS_MAX 32768
#define MBUF_MIN 128
#define MBUF_MAX 65280 /* with the headroom it still has to fit 16 bits */
#define KEY_MAX 256
#define RETA_MAX 65535
#define NAMES_MAX 8

struct raw_rss {
	uint64_t key_bytes;
	uint64_t *reta_entries;
	unsigned reta_entries_count;
};

/* A list of names, each with its bit. */
struct raw_bits {
	int *bit;
	unsigned count;
};

struct raw_offloads {
	struct raw_bits rx;
	struct raw_bits tx;
};

struct raw_known {
	char *what;
	char *since;
	char *source;
};

struct raw_profile {
	char *description;
	bool vdev;
	uint64_t rx_descriptors;
	uint64_t tx_descriptors;
	uint64_t mbuf_bytes;
	int steering; /* enum hb_steering_wish */
	struct raw_rss *rss;
	struct raw_offloads offloads;
	int kernel_driver; /* enum hb_kernel_driver; HB_KERNEL_NOT_PCI where it isn't stated */
	struct raw_bits needs;
	char **eal;
	unsigned eal_count;
	char **file_arguments;
	unsigned file_arguments_count;
	char **output_arguments;
	unsigned output_arguments_count;
	struct raw_known *known;
	unsigned known_count;
};

static const cyaml_schema_value_t text = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, HB_NAME_BYTES - 1),
};

#define REQUIRED CYAML_FLAG_DEFAULT
#define OPTIONAL_LIST (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)

static const cyaml_schema_value_t number = {
	CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint64_t),
};

static const cyaml_strval_t steering_names[] = {
	{"software", HB_STEER_SOFTWARE},
	{"rss", HB_STEER_RSS},
};

static const cyaml_strval_t kernel_driver_names[] = {
	{"none", HB_KERNEL_OWN},
	{"vfio-pci", HB_KERNEL_VFIO_PCI},
	{"uio_pci_generic", HB_KERNEL_UIO_PCI_GENERIC},
};

static const cyaml_strval_t rx_names[] = {
	{"ipv4_cksum", HB_OFFLOAD_IPV4_CKSUM},
	{"udp_cksum", HB_OFFLOAD_UDP_CKSUM},
	{"rss_hash", HB_OFFLOAD_RSS_HASH},
};

static const cyaml_strval_t tx_names[] = {
	{"ipv4_cksum", HB_OFFLOAD_IPV4_CKSUM},
	{"udp_cksum", HB_OFFLOAD_UDP_CKSUM},
	{"mbuf_fast_free", HB_OFFLOAD_MBUF_FAST_FREE},
};

static const cyaml_strval_t need_names[] = {
	{"tun", HB_NEED_TUN},
	{"net_admin", HB_NEED_NET_ADMIN},
	{"net_raw", HB_NEED_NET_RAW},
};

#define ONE_OF(names)                                                                              \
	{                                                                                          \
		CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, int, names, HB_COUNT_OF(names))                \
	}

static const cyaml_schema_value_t rx_name = ONE_OF(rx_names);
static const cyaml_schema_value_t tx_name = ONE_OF(tx_names);
static const cyaml_schema_value_t need_name = ONE_OF(need_names);

static const cyaml_schema_field_t rss_fields[] = {
	CYAML_FIELD_UINT("key_bytes", REQUIRED, struct raw_rss, key_bytes),
	CYAML_FIELD_SEQUENCE("reta_entries", CYAML_FLAG_POINTER, struct raw_rss, reta_entries,
		&number, 1, HB_PROFILE_RETAS),
	CYAML_FIELD_END,
};

#define BITS(name, flags, type, member, entry)                                                     \
	CYAML_FIELD_SEQUENCE_COUNT(name, flags, type, member.bit, member.count, entry, 0, NAMES_MAX)

static const cyaml_schema_field_t offloads_fields[] = {
	BITS("rx", CYAML_FLAG_POINTER, struct raw_offloads, rx, &rx_name),
	BITS("tx", CYAML_FLAG_POINTER, struct raw_offloads, tx, &tx_name),
	CYAML_FIELD_END,
};

#define TEXT(name, member, max)                                                                    \
	CYAML_FIELD_STRING_PTR(name, REQUIRED, struct raw_known, member, 1, (max)-1)

static const cyaml_schema_field_t known_fields[] = {
	TEXT("what", what, sizeof(((struct hb_known *)NULL)->what)),
	TEXT("since", since, sizeof(((struct hb_known *)NULL)->since)),
	TEXT("source", source, sizeof(((struct hb_known *)NULL)->source)),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t known_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_known, known_fields),
};

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR(
		"description", REQUIRED, struct raw_profile, description, 1, TEXT_MAX),
	CYAML_FIELD_BOOL("vdev", REQUIRED, struct raw_profile, vdev),
	CYAML_FIELD_UINT("rx_descriptors", REQUIRED, struct raw_profile, rx_descriptors),
	CYAML_FIELD_UINT("tx_descriptors", REQUIRED, struct raw_profile, tx_descriptors),
	CYAML_FIELD_UINT("mbuf_bytes", REQUIRED, struct raw_profile, mbuf_bytes),
	CYAML_FIELD_ENUM("steering", CYAML_FLAG_STRICT, struct raw_profile, steering,
		steering_names, HB_COUNT_OF(steering_names)),
	CYAML_FIELD_MAPPING_PTR("rss", OPTIONAL_LIST, struct raw_profile, rss, rss_fields),
	CYAML_FIELD_MAPPING("offloads", REQUIRED, struct raw_profile, offloads, offloads_fields),
	CYAML_FIELD_ENUM("kernel_driver", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
		struct raw_profile, kernel_driver, kernel_driver_names,
		HB_COUNT_OF(kernel_driver_names)),
	BITS("needs", OPTIONAL_LIST, struct raw_profile, needs, &need_name),
	CYAML_FIELD_SEQUENCE(
		"eal", OPTIONAL_LIST, struct raw_profile, eal, &text, 0, HB_PROFILE_ARGS),
	CYAML_FIELD_SEQUENCE("file_arguments", OPTIONAL_LIST, struct raw_profile, file_arguments,
		&text, 0, HB_PROFILE_ARGS),
	CYAML_FIELD_SEQUENCE("output_arguments", OPTIONAL_LIST, struct raw_profile,
		output_arguments, &text, 0, HB_PROFILE_ARGS),
	CYAML_FIELD_SEQUENCE("known", OPTIONAL_LIST, struct raw_profile, known, &known_entry, 0,
		HB_PROFILE_KNOWN),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t top = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_profile, fields),
};

static const struct hb_hint hints[] = {
	{"description", "write a line on what the driver is for"},
	{"vdev", "write true for a virtual device, false for one with a PCI address"},
	{"rx_descriptors", "write how many a queue has, 32 to 32768"},
	{"tx_descriptors", "write how many a queue has, 32 to 32768"},
	{"mbuf_bytes", "write the bytes of a receive buffer, 128 to 65280"},
	{"steering", "write rss where the driver takes an RSS key and a RETA, else software"},
	{"rss", "write what the driver takes, e.g. { key_bytes: 40, reta_entries: [128] }"},
	{"key_bytes", "write the bytes of the RSS key that the driver takes, at most 256"},
	{"reta_entries", "write the sizes of the RETA, at most 4, e.g. [128, 512]"},
	{"offloads", "write what to ask for, e.g. { rx: [ipv4_cksum, udp_cksum], tx: [] }"},
	{"rx", "write a list of ipv4_cksum, udp_cksum, rss_hash, or []"},
	{"tx", "write a list of ipv4_cksum, udp_cksum, mbuf_fast_free, or []"},
	{"kernel_driver", "write vfio-pci, uio_pci_generic, or none for the kernel's own driver"},
	{"needs", "write a list of tun, net_admin, net_raw"},
	{"known", "write a list of { what, since, source }, at most 8"},
	{"what", "write what doesn't work, at most 255 bytes"},
	{"since", "write since which version, e.g. \"seen with DPDK 22.11\""},
	{"source", "write where it is said, at most 159 bytes"},
	{"eal", "write a list of EAL arguments, at most 8"},
	{"file_arguments", "write a list of the device arguments that are input files, at most 8"},
	{"output_arguments",
		"write a list of the device arguments that are output files, at most 8"},
	{"", "write keys with their values as the other profiles have them"},
};

static const struct hb_schema schema = {.top = &top, .hints = hints};

/* ---- where profiles are ------------------------------------------------------------- */

/* The place of a number, NULL where there is none. */
static const char *
place(unsigned i)
{
	const char *const places[PLACES] = {
		getenv("HONGBAO_PROFILES"),
		HB_PROFILE_DIR_INSTALLED,
		HB_PROFILE_DIR_SOURCE,
	};

	return places[i] != NULL && places[i][0] != '\0' ? places[i] : NULL;
}

static int
is_profile(const struct dirent *d)
{
	size_t len = strlen(d->d_name), suffix = sizeof(SUFFIX) - 1;

	return d->d_name[0] != '.' && len > suffix && len < HB_NAME_BYTES + suffix &&
	       strcmp(d->d_name + len - suffix, SUFFIX) == 0;
}

/* Adds a name to "a, b, c" unless it is there, or there is no room. */
static void
add_name(char *list, size_t size, const char *name)
{
	char both[NAME_MAX + 4], all[600];

	snprintf(both, sizeof(both), ", %s,", name);
	snprintf(all, sizeof(all), ", %s,", list);
	if (strstr(all, both) != NULL || strlen(list) + strlen(name) + 3 > size)
		return;
	if (list[0] != '\0')
		strcat(list, ", ");
	strcat(list, name);
}

/* The names of all the profiles there are. */
static void
list_known(char *list, size_t size)
{
	list[0] = '\0';
	for (unsigned i = 0; i < PLACES; i++) {
		struct dirent **found;
		int n = place(i) != NULL ? scandir(place(i), &found, is_profile, alphasort) : -1;

		for (int j = 0; j < n; j++) {
			found[j]->d_name[strlen(found[j]->d_name) - strlen(SUFFIX)] = '\0';
			add_name(list, size, found[j]->d_name);
			free(found[j]);
		}
		if (n >= 0)
			free(found);
	}
}

static int
find(const char *name, char path[PATH_MAX], struct hb_error *e)
{
	const struct hb_lines shown = {.file = ""};
	char file[HB_NAME_BYTES + sizeof(SUFFIX)], known[400];

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') || strstr(name, "..") ||
		strlen(name) >= HB_NAME_BYTES)
		return hb_fail(e, EINVAL,
			"%s is no name of a profile; write one without slashes and leading dots, "
			"e.g. pcap",
			hb_quote(&shown, name).s);
	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	for (unsigned i = 0; i < PLACES; i++) {
		if (place(i) != NULL && hb_path_in(path, PATH_MAX, place(i), file) == 0 &&
			access(path, F_OK) == 0)
			return 0;
	}
	list_known(known, sizeof(known));
	return hb_fail(e, ENOENT, "there is no profile %s; known: %s", hb_quote(&shown, name).s,
		known[0] != '\0' ? known : "none, set HONGBAO_PROFILES to where they are");
}

/* ---- one profile -------------------------------------------------------------------- */

static uint16_t
take_number(const struct hb_doc *d, const char *key, uint64_t n, uint64_t min, uint64_t max,
	struct hb_error *e, int *rc)
{
	struct hb_spot at = {.node = d->lines.root, .child = key};

	if (*rc == 0 && (n < min || n > max))
		*rc = hb_lines_fail(&d->lines, at, e, EINVAL, "%llu is outside %llu to %llu",
			(unsigned long long)n, (unsigned long long)min, (unsigned long long)max);
	return (uint16_t)n;
}

/* The schema has seen to it that all fits. */
static unsigned
take_list(char to[HB_PROFILE_ARGS][HB_NAME_BYTES], char *const *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		snprintf(to[i], HB_NAME_BYTES, "%s", from[i]);
	return n;
}

static unsigned
take_bits(const struct raw_bits *from)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < from->count; i++)
		bits |= (unsigned)from->bit[i];
	return bits;
}

static int
wrong(const struct hb_doc *d, const char *key, struct hb_error *e, const char *what,
	const char *right)
{
	struct hb_spot at = {.node = d->lines.root, .child = key, .right = right};

	return hb_lines_fail(&d->lines, at, e, EINVAL, "%s", what);
}

/* What the driver takes of RSS, and whether that is enough where it is to steer. */
static int
take_rss(struct hb_profile *p, const struct hb_doc *d, struct hb_error *e)
{
	const struct hb_node *node = hb_node_child(d->lines.root, "rss");
	const struct raw_rss *raw = ((const struct raw_profile *)d->raw)->rss;
	unsigned most = 0;

	if (raw == NULL && p->steering == HB_STEER_RSS)
		return wrong(d, "rss", e, "is missing, though steering is rss", NULL);
	if (raw == NULL)
		return 0;
	if (raw->key_bytes > KEY_MAX)
		return hb_lines_fail(&d->lines,
			(struct hb_spot){.node = node, .child = "key_bytes"}, e, EINVAL,
			"%llu is outside 0 to %d", (unsigned long long)raw->key_bytes, KEY_MAX);
	p->rss_key_bytes = (unsigned)raw->key_bytes;
	for (unsigned i = 0; i < raw->reta_entries_count; i++) {
		if (raw->reta_entries[i] > RETA_MAX)
			return hb_lines_fail(&d->lines,
				(struct hb_spot){.node = node, .child = "reta_entries"}, e, EINVAL,
				"%llu is outside 0 to %d", (unsigned long long)raw->reta_entries[i],
				RETA_MAX);
		p->rss_reta_entries[p->rss_retas++] = (unsigned)raw->reta_entries[i];
		if (raw->reta_entries[i] > most)
			most = (unsigned)raw->reta_entries[i];
	}
	if (p->steering == HB_STEER_RSS &&
		(p->rss_key_bytes < HB_RSS_KEY_BYTES || most < HB_RSS_RETA_MIN))
		return wrong(d, "steering", e,
			"rss takes a key of 40 bytes or more and a RETA of 128 entries or more",
			"write steering: software");
	return 0;
}

/* A device of PCI is bound to something, a virtual one isn't. */
static int
take_kernel_driver(struct hb_profile *p, const struct hb_doc *d, struct hb_error *e)
{
	const struct raw_profile *raw = d->raw;

	p->kernel_driver = (enum hb_kernel_driver)raw->kernel_driver;
	if (!p->vdev && p->kernel_driver == HB_KERNEL_NOT_PCI)
		return wrong(d, "kernel_driver", e, "is missing, though vdev is false", NULL);
	if (p->vdev && p->kernel_driver != HB_KERNEL_NOT_PCI)
		return wrong(d, "kernel_driver", e, "is for a PCI device, but vdev is true",
			"leave it out");
	return 0;
}

static void
take_known(struct hb_profile *p, const struct raw_profile *raw)
{
	for (unsigned i = 0; i < raw->known_count; i++) {
		struct hb_known *k = &p->known[p->knowns++];

		snprintf(k->what, sizeof(k->what), "%s", raw->known[i].what);
		snprintf(k->since, sizeof(k->since), "%s", raw->known[i].since);
		snprintf(k->source, sizeof(k->source), "%s", raw->known[i].source);
	}
}

static int
take_profile(struct hb_profile *p, const struct hb_doc *d, struct hb_error *e)
{
	const struct raw_profile *raw = d->raw;
	int rc = 0;

	snprintf(p->description, sizeof(p->description), "%s", raw->description);
	p->vdev = raw->vdev;
	p->steering = (enum hb_steering_wish)raw->steering;
	p->rx_offloads = take_bits(&raw->offloads.rx);
	p->tx_offloads = take_bits(&raw->offloads.tx);
	p->needs = take_bits(&raw->needs);
	take_known(p, raw);
	p->rx_descriptors = take_number(
		d, "rx_descriptors", raw->rx_descriptors, DESCRIPTORS_MIN, DESCRIPTORS_MAX, e, &rc);
	p->tx_descriptors = take_number(
		d, "tx_descriptors", raw->tx_descriptors, DESCRIPTORS_MIN, DESCRIPTORS_MAX, e, &rc);
	p->mbuf_bytes = take_number(d, "mbuf_bytes", raw->mbuf_bytes, MBUF_MIN, MBUF_MAX, e, &rc);
	p->eal_args = take_list(p->eal, raw->eal, raw->eal_count);
	p->file_arguments =
		take_list(p->file_argument, raw->file_arguments, raw->file_arguments_count);
	p->output_arguments =
		take_list(p->output_argument, raw->output_arguments, raw->output_arguments_count);
	if (rc == 0)
		rc = take_rss(p, d, e);
	if (rc == 0)
		rc = take_kernel_driver(p, d, e);
	return rc;
}

const char *
hb_kernel_driver_name(enum hb_kernel_driver driver)
{
	for (unsigned i = 0; i < HB_COUNT_OF(kernel_driver_names); i++) {
		if (kernel_driver_names[i].val == (int64_t)driver)
			return kernel_driver_names[i].str;
	}
	return "";
}

int
hb_profile_load(struct hb_profile *p, const char *name, struct hb_error *e)
{
	char path[PATH_MAX];
	struct hb_doc d;
	int rc = find(name, path, e);

	if (rc == 0)
		rc = hb_doc_read(&d, path, &schema, e);
	if (rc != 0)
		return rc;
	*p = (struct hb_profile){0};
	snprintf(p->name, sizeof(p->name), "%s", name);
	rc = take_profile(p, &d, e);
	hb_doc_free(&d);
	return rc;
}
