/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports of a configuration. A device is handed to DPDK as it stands, but for the arguments that
 * the profile says are files: those become absolute, and are looked at now, since DPDK would only
 * say later, and in fewer words, that it cannot make the device. Nothing is created or truncated
 * here.
 */
#include "sense.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device on its way to its hb_port_config. */
struct device {
	struct hb_reading *r;
	struct hb_spot at;
	const struct hb_profile *profile;
	char *out;
	size_t used;
	struct stat input[HB_PROFILE_ARGS]; /* files that must not be written to */
	unsigned inputs;
};

static bool
in_list(const char list[][HB_NAME_BYTES], unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(list[i], name) == 0)
			return true;
	}
	return false;
}

static void
add_text(struct device *d, const char *text)
{
	size_t len = strlen(text);

	if (d->used + len >= HB_DEVICE_BYTES) {
		hb_wrong(d->r, d->at, "has more than %d bytes once its files have their full paths",
			HB_DEVICE_BYTES - 1);
		return;
	}
	memcpy(d->out + d->used, text, len + 1);
	d->used += len;
}

static void
bad_file(struct device *d, const char *name, const char *path, const char *why, const char *right)
{
	struct hb_spot at = d->at;

	at.right = right;
	hb_wrong(d->r, at, "%s=%s %s", name, hb_quote(&d->r->doc.lines, path).s, why);
}

static void
check_input(struct device *d, const char *name, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		bad_file(d, name, path, errno == EACCES ? "is out of reach" : "is not there",
			"name a file that is there");
	else if (S_ISDIR(st.st_mode))
		bad_file(d, name, path, "is a directory", "name a file");
	else if (strcmp(name, "rx_pcap") == 0 && !S_ISREG(st.st_mode))
		bad_file(d, name, path, "is not a regular file", "name a capture");
	else if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0)
		bad_file(d, name, path, "cannot be read",
			"let the user that runs this read the file");
	else if (d->inputs < HB_PROFILE_ARGS)
		d->input[d->inputs++] = st;
}

static void
check_output(struct device *d, const char *name, const char *path)
{
	char up[PATH_MAX];
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			bad_file(d, name, path, "is a directory", "name a file");
		for (unsigned i = 0; i < d->inputs; i++) {
			if (d->input[i].st_dev == st.st_dev && d->input[i].st_ino == st.st_ino)
				bad_file(d, name, path, "would overwrite the input",
					"name another file");
		}
		if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
			return;
	}
	snprintf(up, sizeof(up), "%s", path);
	if (stat(dirname(up), &st) != 0 || !S_ISDIR(st.st_mode))
		bad_file(d, name, path, "is in no directory that exists", "make the directory");
	else if (faccessat(AT_FDCWD, up, W_OK | X_OK, AT_EACCESS) != 0)
		bad_file(d, name, path, "cannot be written",
			"let the user that runs this write to its directory");
}

/* One argument, "name=value" or without a value. */
static void
add_argument(struct device *d, char *argument)
{
	const struct hb_profile *p = d->profile;
	char *value = strchr(argument, '=');
	char path[PATH_MAX];
	bool input, output;

	if (value == NULL) {
		add_text(d, argument);
		return;
	}
	*value++ = '\0';
	input = in_list(p->file_argument, p->file_arguments, argument);
	output = in_list(p->output_argument, p->output_arguments, argument);
	add_text(d, argument);
	add_text(d, "=");
	if (!input && !output) {
		add_text(d, value);
		return;
	}
	if (value[0] == '\0')
		bad_file(d, argument, value, "names no file", "name one");
	else if (hb_path_in(path, sizeof(path), d->r->dir, value) != 0)
		bad_file(d, argument, value, "is too long a path", "put it somewhere else");
	else if (strchr(path, ',') != NULL)
		bad_file(d, argument, path, "has a comma, which DPDK takes for the end",
			"put it somewhere else");
	else if (input)
		check_input(d, argument, path);
	else
		check_output(d, argument, path);
	if (d->r->err == 0)
		add_text(d, path);
}

static void
take_device(struct device *d, const char *text)
{
	char copy[HB_DEVICE_BYTES], *rest = copy, *part;

	snprintf(copy, sizeof(copy), "%s", text);
	while (d->r->err == 0 && (part = strsep(&rest, ",")) != NULL) {
		if (part != copy)
			add_text(d, ",");
		add_argument(d, part);
	}
}

/* DPDK knows a device by what stands before the first comma. */
static bool
same_device(const char *a, const char *b)
{
	size_t n = strcspn(a, ",");

	return n == strcspn(b, ",") && memcmp(a, b, n) == 0;
}

static void
take_port(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_port *raw,
	struct hb_port_config *port)
{
	struct hb_profile profile;
	struct hb_error inner;
	struct device d = {
		.r = r,
		.at = {.node = n, .child = "device"},
		.profile = &profile,
		.out = port->device,
	};
	int rc = hb_profile_load(&profile, raw->profile, &inner);

	if (rc != 0) {
		hb_wrong_because(r, (struct hb_spot){.node = n, .child = "profile"}, -rc, &inner);
		return;
	}
	snprintf(port->profile, sizeof(port->profile), "%s", raw->profile);
	take_device(&d, raw->device);
	hb_take_port_listen(r, n, raw, &port->listen);
	for (const struct hb_port_config *p = r->c->port; p < port; p++) {
		if (same_device(p->device, port->device))
			hb_wrong(r, d.at, "%.*s is also the device of ports[%u]",
				(int)strcspn(p->device, ","), p->device,
				(unsigned)(p - r->c->port));
	}
}

void
hb_take_ports(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "ports")->first;

	for (unsigned i = 0; i < r->raw->ports_count && r->err == 0; i++, n = n->next)
		take_port(r, n, &r->raw->ports[i], &r->c->port[i]);
	r->c->ports = r->raw->ports_count;
}
