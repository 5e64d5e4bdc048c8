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
#define MBUF_MIN 256
#define MBUF_MAX 65280 /* with the headroom it still has to fit 16 bits */

struct raw_profile {
	char *description;
	bool vdev;
	uint64_t rx_descriptors;
	uint64_t tx_descriptors;
	uint64_t mbuf_bytes;
	bool rss_key;
	char **eal;
	unsigned eal_count;
	char **file_arguments;
	unsigned file_arguments_count;
	char **output_arguments;
	unsigned output_arguments_count;
};

static const cyaml_schema_value_t text = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, HB_NAME_BYTES - 1),
};

#define REQUIRED CYAML_FLAG_DEFAULT
#define OPTIONAL_LIST (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR(
		"description", REQUIRED, struct raw_profile, description, 1, TEXT_MAX),
	CYAML_FIELD_BOOL("vdev", REQUIRED, struct raw_profile, vdev),
	CYAML_FIELD_UINT("rx_descriptors", REQUIRED, struct raw_profile, rx_descriptors),
	CYAML_FIELD_UINT("tx_descriptors", REQUIRED, struct raw_profile, tx_descriptors),
	CYAML_FIELD_UINT("mbuf_bytes", REQUIRED, struct raw_profile, mbuf_bytes),
	CYAML_FIELD_BOOL("rss_key", REQUIRED, struct raw_profile, rss_key),
	CYAML_FIELD_SEQUENCE(
		"eal", OPTIONAL_LIST, struct raw_profile, eal, &text, 0, HB_PROFILE_ARGS),
	CYAML_FIELD_SEQUENCE("file_arguments", OPTIONAL_LIST, struct raw_profile, file_arguments,
		&text, 0, HB_PROFILE_ARGS),
	CYAML_FIELD_SEQUENCE("output_arguments", OPTIONAL_LIST, struct raw_profile,
		output_arguments, &text, 0, HB_PROFILE_ARGS),
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
	{"mbuf_bytes", "write the bytes of a receive buffer, 256 to 65280"},
	{"rss_key", "write true where the driver takes an RSS key and a RETA, else false"},
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

static int
take_profile(struct hb_profile *p, const struct hb_doc *d, struct hb_error *e)
{
	const struct raw_profile *raw = d->raw;
	int rc = 0;

	snprintf(p->description, sizeof(p->description), "%s", raw->description);
	p->vdev = raw->vdev;
	p->rss_key = raw->rss_key;
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
	return rc;
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
