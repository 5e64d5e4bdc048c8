/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_internal.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

unsigned
hb_device_argument(const char *device, const char *key, unsigned which, char *value, size_t bytes)
{
	size_t len = strlen(key);
	unsigned found = 0;

	for (const char *p = strchr(device, ','); p != NULL; p = strchr(p, ',')) {
		p++;
		if (strncmp(p, key, len) != 0 || p[len] != '=')
			continue;
		if (found++ == which)
			snprintf(value, bytes, "%.*s", (int)strcspn(p + len + 1, ","), p + len + 1);
	}
	return found;
}

static unsigned
count_frames(pcap_t *p)
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	unsigned n = 0;

	while (pcap_next_ex(p, &header, &bytes) == 1)
		n++;
	return n;
}

/* A file that can be played. Where the device holds all of its frames, *held grows by them. */
static int
check_capture(const struct hb_config *c, unsigned port, const char *path, unsigned *held,
	struct hb_error *e)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(path, why);
	int link;

	if (p == NULL)
		return hb_fail(e, EINVAL,
			"%s: ports[%u].device: rx_pcap=%s is no capture that can be read (%s); "
			"name a "
			"pcap file",
			c->path, port, path, why);
	link = pcap_datalink(p);
	if (held != NULL)
		*held += count_frames(p);
	pcap_close(p);
	if (link == DLT_EN10MB)
		return 0;
	return hb_fail(e, EINVAL,
		"%s: ports[%u].device: rx_pcap=%s holds frames of link type %d; name a capture of "
		"Ethernet frames (type %d)",
		c->path, port, path, link, DLT_EN10MB);
}

static int
check_queues(const struct hb_config *c, unsigned port, const char *key, unsigned count,
	struct hb_error *e)
{
	if (count <= c->workers)
		return 0;
	return hb_fail(e, EINVAL,
		"%s: ports[%u].device: %u %s for workers: %u, so some would stay unread; name one "
		"for each worker at the most, or write workers: %u",
		c->path, port, count, key, c->workers, count);
}

/* Whether net_pcap plays its captures round and round, out of its own memory. */
static bool
plays_for_ever(const char *device)
{
	char value[24] = "";

	hb_device_argument(device, "infinite_rx", 0, value, sizeof(value));
	/* As the driver reads it. */
	return atoi(value) > 0;
}

int
hb_captures_check(struct hb_config *c, struct hb_error *e)
{
	char path[PATH_MAX];
	int err = 0;

	for (unsigned i = 0; err == 0 && i < c->ports; i++) {
		const char *device = c->port[i].device;

		if (strncmp(device, "net_pcap", 8) != 0)
			continue;
		err = check_queues(c, i, "tx_pcap",
			hb_device_argument(device, "tx_pcap", 0, path, sizeof(path)), e);
		unsigned in = hb_device_argument(device, "rx_pcap", 0, path, sizeof(path));
		if (err == 0)
			err = check_queues(c, i, "rx_pcap", in, e);
		unsigned *held = plays_for_ever(device) ? &c->port[i].frames_held : NULL;
		if (err == 0 && held != NULL && c->clock == HB_CLOCK_PACKET)
			err = hb_fail(e, EINVAL,
				"%s: ports[%u].device: infinite_rx=1 gives frames without their "
				"times, which clock: packet goes by; write clock: wall",
				c->path, i);
		for (unsigned k = 0; err == 0 && k < in; k++) {
			hb_device_argument(device, "rx_pcap", k, path, sizeof(path));
			err = check_capture(c, i, path, held, e);
		}
	}
	return err;
}
