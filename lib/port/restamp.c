/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_internal.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <unistd.h>

/* The files that are being worked on. */
struct captures {
	pcap_t *requests;
	pcap_t *replies;
	pcap_t *form; /* of the file that is written */
	pcap_dumper_t *out;
};

/* Offset of the Ethernet type behind VLAN tags, or 0 in a short frame. */
static uint32_t
type_at(const uint8_t *f, uint32_t len)
{
	uint32_t at = 12;

	while (len >= at + 2 && (hb_be16(f + at) == 0x8100 || hb_be16(f + at) == 0x88A8))
		at += 4;
	return len >= at + 2 ? at : 0;
}

/* Whether a request's frame could be the one that a reply answers. Replies stand in the order of
 * their requests, and between two that are alike either's time would do. */
static bool
answers(const uint8_t *reply, uint32_t reply_len, const uint8_t *request, uint32_t request_len)
{
	uint32_t type = type_at(reply, reply_len), l3 = type + 2;
	bool ipv6;

	if (type == 0 || type != type_at(request, request_len) ||
		memcmp(reply + type, request + type, 2) != 0)
		return false;
	ipv6 = hb_be16(reply + type) == 0x86DD;
	uint32_t bytes = ipv6 ? 16 : 4, source = l3 + (ipv6 ? 8 : 12), headers = ipv6 ? 40 : 20;
	uint32_t payload = l3 + headers + 8;
	if (reply_len < payload + HB_REPLY_BYTES || request_len < payload + HB_REPLY_BYTES)
		return false;
	/* The request may have IP options: its ports and payload then stand further back. */
	uint32_t udp = ipv6 ? l3 + headers : l3 + (request[l3] & 15u) * 4;
	if (memcmp(reply + source, request + source + bytes, bytes) != 0 ||
		memcmp(reply + source + bytes, request + source, bytes) != 0)
		return false;
	if (ipv6 && request[l3 + 6] != 17)
		return true;
	if (request_len < udp + 8 + HB_REPLY_BYTES)
		return false;
	return memcmp(reply + l3 + headers, request + udp + 2, 2) == 0 &&
	       memcmp(reply + l3 + headers + 2, request + udp, 2) == 0 &&
	       reply[payload] == request[udp + 8] &&
	       memcmp(reply + payload + 2, request + udp + 10, 6) == 0;
}

/* Walks both captures side by side, and counts the replies. */
static int
copy_with_times(struct captures *c, uint64_t *replies)
{
	struct pcap_pkthdr *reply, *request;
	const uint8_t *reply_frame, *request_frame;
	int rc;

	while ((rc = pcap_next_ex(c->replies, &reply, &reply_frame)) == 1) {
		do {
			if (pcap_next_ex(c->requests, &request, &request_frame) != 1)
				return -EILSEQ;
		} while (!answers(reply_frame, reply->caplen, request_frame, request->caplen));
		reply->ts = request->ts;
		pcap_dump((u_char *)c->out, reply, reply_frame);
		(*replies)++;
	}
	if (rc != PCAP_ERROR_BREAK || pcap_dump_flush(c->out) != 0)
		return -EIO;
	return 0;
}

static int
open_captures(
	struct captures *c, const char *requests, const char *replies, const char *out, char *why)
{
	c->requests =
		pcap_open_offline_with_tstamp_precision(requests, PCAP_TSTAMP_PRECISION_NANO, why);
	if (c->requests == NULL)
		return -EIO;
	c->replies =
		pcap_open_offline_with_tstamp_precision(replies, PCAP_TSTAMP_PRECISION_NANO, why);
	if (c->replies == NULL)
		return -EIO;
	c->form = pcap_open_dead_with_tstamp_precision(
		DLT_EN10MB, pcap_snapshot(c->replies), PCAP_TSTAMP_PRECISION_NANO);
	c->out = pcap_dump_open(c->form, out);
	if (c->out == NULL) {
		snprintf(why, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(c->form));
		return -EIO;
	}
	return 0;
}

static void
close_captures(struct captures *c)
{
	if (c->out != NULL)
		pcap_dump_close(c->out);
	if (c->form != NULL)
		pcap_close(c->form);
	if (c->replies != NULL)
		pcap_close(c->replies);
	if (c->requests != NULL)
		pcap_close(c->requests);
}

static int
restamp_file(const char *requests, const char *replies, uint64_t *count, struct hb_error *e)
{
	char out[PATH_MAX + 8], why[PCAP_ERRBUF_SIZE] = "a write failed";
	struct captures c = {0};
	int err;

	snprintf(out, sizeof(out), "%s.tmp", replies);
	err = open_captures(&c, requests, replies, out, why);
	if (err == 0 && (err = copy_with_times(&c, count)) == -EILSEQ)
		snprintf(why, sizeof(why), "a reply answers no request of the capture");
	close_captures(&c);
	if (err == 0 && rename(out, replies) != 0) {
		err = -errno;
		snprintf(why, sizeof(why), "%s", strerror(errno));
	}
	if (err == 0)
		return 0;
	unlink(out);
	return hb_fail(e, -err,
		"%s: cannot put the capture's times in: %s; the replies are right, "
		"their times are the wall clock's",
		replies, why);
}

int
hb_ports_restamp(const struct hb_config *c, uint64_t sent, struct hb_error *e)
{
	char requests[PATH_MAX], replies[PATH_MAX];
	unsigned files = 0;
	uint64_t count = 0;
	int err = 0;

	/* With more workers, and so more captures, the order isn't fixed anyway. */
	if (c->clock != HB_CLOCK_PACKET || c->workers != 1)
		return 0;
	for (unsigned i = 0; err == 0 && i < c->ports; i++) {
		const char *device = c->port[i].device;

		if (hb_device_argument(device, "rx_pcap", 0, requests, sizeof(requests)) == 1 &&
			hb_device_argument(device, "tx_pcap", 0, replies, sizeof(replies)) == 1) {
			err = restamp_file(requests, replies, &count, e);
			files++;
		}
	}
	/* net_pcap says nothing when a write fails. */
	if (err == 0 && files == c->ports && count != sent)
		return hb_fail(e, EIO,
			"%s: holds %llu of %llu replies; is the disk full?  df -h %s", replies,
			(unsigned long long)count, (unsigned long long)sent, replies);
	return err;
}
