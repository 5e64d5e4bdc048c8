/* SPDX-License-Identifier: BSD-3-Clause */
/* A capture as a source: frames as they are, and what can be found out about each. */
#include "source.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FRAME_HEADER_BYTES 16

struct capture {
	struct hb_source source;
	struct hb_source_options options;
	const char *path;
	pcap_t *pcap;
	uint64_t left; /* frames still to be given */
};

/* The Ethernet header's bytes with its VLAN tags, and the type behind; 0 in a runt. */
static uint32_t
l2_bytes(const uint8_t *frame, uint32_t len, uint16_t *type)
{
	uint32_t at = 12;

	while (len >= at + 2 && (hb_be16(frame + at) == 0x8100 || hb_be16(frame + at) == 0x88A8))
		at += 4;
	if (len < at + 2 || at > 20)
		return 0;
	*type = hb_be16(frame + at);
	return at + 2;
}

/* What a server at the frame's own destination would make of it. False: no request. */
static bool
parse(const struct capture *c, uint8_t *frame, uint32_t len, uint32_t *l2, struct hb_request *r)
{
	struct hb_listen there = {.base_port = c->options.wire->base_port};
	uint16_t type = 0;

	*l2 = l2_bytes(frame, len, &type);
	if (*l2 == 0)
		return false;
	if (type == 0x0800 && len >= *l2 + 20) {
		there.has_ipv4 = true;
		memcpy(there.ipv4, frame + *l2 + 16, sizeof(there.ipv4));
	} else if (type == 0x86DD && len >= *l2 + 40) {
		there.has_ipv6 = true;
		memcpy(there.ipv6, frame + *l2 + 24, sizeof(there.ipv6));
	}
	return hb_frame_parse(&there, frame, len, 0, r) == HB_DROP_NONE;
}

/* Notes of a request all but whether its tag is right. */
static int
describe(struct capture *c, struct hb_shot *shot, const uint8_t *frame, uint32_t l2,
	const struct hb_request *r)
{
	const uint8_t *ip = frame + l2, *udp = r->payload - 8;
	int route = source_route(&c->source.routes, frame, l2, r->ipv6);

	if (route < 0)
		return hb_fail(&c->source.error, E2BIG,
			"%s: its requests go to more than %d different servers, MAC addresses or "
			"VLANs; split it (editcap, tcpdump -r)",
			c->path, HB_ROUTES_MAX);
	shot->key = hb_shot_key(ip + (r->ipv6 ? 8 : 12), r->ipv6, hb_be16(udp), r->payload);
	shot->user = r->user;
	shot->packet = r->op >= HB_OP_GRAB ? hb_packet_mark(r->arg) : 0;
	shot->port = hb_be16(udp + 2);
	shot->epoch = r->epoch;
	shot->route = (uint8_t)route;
	/* Whether it comes again can't be known. */
	shot->flags = HB_SHOT_REQUEST | HB_SHOT_REPEATS;
	return 0;
}

/* Reads a frame. False at the end, or with an error noted. */
static bool
read_frame(struct capture *c, struct hb_shot *shot, uint8_t *frame)
{
	const struct hb_source_options *o = &c->options;
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	int rc = c->left == 0 ? PCAP_ERROR_BREAK : pcap_next_ex(c->pcap, &header, &bytes);

	if (rc != 1) {
		if (rc != PCAP_ERROR_BREAK)
			hb_fail(&c->source.error, EIO, "%s: cannot be read on: %s", c->path,
				pcap_geterr(c->pcap));
		return false;
	}
	if (header->caplen != header->len || header->caplen > HB_SHOT_BYTES_MAX) {
		hb_fail(&c->source.error, EINVAL,
			"%s: a frame of %u bytes, of which %u were captured; capture whole frames "
			"of at most %d bytes (tcpdump -s 0)",
			c->path, header->len, header->caplen, HB_SHOT_BYTES_MAX);
		return false;
	}
	c->left--;
	memcpy(frame, bytes, header->caplen);
	*shot = (struct hb_shot){
		.at_us = (uint64_t)header->ts.tv_sec * 1000000 + (uint64_t)header->ts.tv_usec,
		.bytes = (uint16_t)header->caplen,
	};
	if (o->set_dst_mac && shot->bytes >= 12)
		memcpy(frame, o->wire->dst_mac, 6);
	if (o->set_src_mac && shot->bytes >= 12)
		memcpy(frame + 6, o->wire->src_mac, 6);
	return true;
}

/* Frames that aren't requests keep port 0, and so all go by one queue. Nothing is read on after an
 * error. */
static unsigned
capture_next(struct hb_source *source, struct hb_shot *shot, uint8_t *const *frame, unsigned n)
{
	struct capture *c = (struct capture *)source;
	struct hb_request r[HB_BURST];
	unsigned of[HB_BURST], requests = 0, count = 0;

	if (hb_source_error(source) != NULL)
		return 0;
	for (; count < n && read_frame(c, &shot[count], frame[count]); count++) {
		uint32_t l2;

		if (!parse(c, frame[count], shot[count].bytes, &l2, &r[requests]))
			continue;
		if (describe(c, &shot[count], frame[count], l2, &r[requests]) != 0)
			break;
		of[requests++] = count;
	}
	hb_wire_verify(&c->options.wire->keys, r, requests);
	for (unsigned i = 0; i < requests; i++) {
		if (r[i].drop != HB_DROP_NONE)
			shot[of[i]].flags |= HB_SHOT_FORGED;
	}
	return count;
}

static void
capture_close(struct hb_source *source)
{
	struct capture *c = (struct capture *)source;

	if (c->pcap != NULL)
		pcap_close(c->pcap);
	free(c);
}

/* The most that a file can hold: a pipe's size isn't known. */
static int
estimate(struct capture *c, struct hb_error *e)
{
	struct stat st;
	int err = stat(c->path, &st) == 0 ? 0 : errno;

	if (err == 0 && !S_ISREG(st.st_mode))
		err = EINVAL;
	if (err != 0)
		return hb_fail(e, err, "%s: no capture that can be read: %s; name a pcap file",
			c->path, err == EINVAL ? "it is no ordinary file" : strerror(err));
	c->source.total_bytes = (uint64_t)st.st_size;
	c->source.total = c->source.total_bytes / (FRAME_HEADER_BYTES + 14);
	c->left = c->options.requests == 0 ? UINT64_MAX : c->options.requests;
	if (c->source.total > c->left)
		c->source.total = c->left;
	return 0;
}

static int
open_file(const struct capture *c, pcap_t **pcap, struct hb_error *e)
{
	char why[PCAP_ERRBUF_SIZE];

	*pcap = pcap_open_offline(c->path, why);
	if (*pcap == NULL)
		return hb_fail(e, EINVAL, "%s: no capture that can be read: %s; name a pcap file",
			c->path, why);
	int link = pcap_datalink(*pcap);
	if (link != DLT_EN10MB)
		return hb_fail(e, EINVAL,
			"%s: holds frames of link type %d; name a capture of Ethernet frames (type "
			"%d)",
			c->path, link, DLT_EN10MB);
	return 0;
}

/* Counts by reading it once more. */
static int
capture_measure(struct hb_source *source, struct hb_error *e)
{
	struct capture *c = (struct capture *)source;
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	pcap_t *pcap = NULL;
	int err = open_file(c, &pcap, e);

	source->total = source->total_bytes = 0;
	while (err == 0 && source->total < c->left && pcap_next_ex(pcap, &header, &bytes) == 1) {
		source->total++;
		source->total_bytes += header->caplen;
	}
	if (pcap != NULL)
		pcap_close(pcap);
	return err;
}

int
hb_source_capture(struct hb_source **out, const char *path, const struct hb_source_options *o,
	struct hb_error *e)
{
	struct capture *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL)
		return hb_fail(e, ENOMEM, "no memory for a capture");
	c->options = *o;
	c->path = path;
	c->source.next = capture_next;
	c->source.close = capture_close;
	c->source.measure = capture_measure;
	if ((err = estimate(c, e)) != 0 || (err = open_file(c, &c->pcap, e)) != 0) {
		capture_close(&c->source);
		return err;
	}
	*out = &c->source;
	return 0;
}
