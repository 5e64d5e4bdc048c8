/* SPDX-License-Identifier: BSD-3-Clause */
/* The addresses that requests are sent to: of the whole host, and of a port that has its own. */
#include "sense.h"

#include <arpa/inet.h>

#define BASE_PORT_MAX 61440

static void
take_ipv4(struct hb_reading *r, const struct hb_node *n, const char *text, struct hb_listen *l)
{
	struct hb_spot at = {.node = n, .child = "ipv4"};
	struct hb_quoted shown = hb_quote(&r->doc.lines, text);

	if (inet_pton(AF_INET, text, l->ipv4) != 1)
		hb_wrong(r, at, "%s is not an IPv4 address", shown.s);
	else if (l->ipv4[0] == 0)
		hb_wrong(r, at, "%s is not an address of a host", shown.s);
	else if (l->ipv4[0] >= 224)
		hb_wrong(r, at, "%s is a multicast, reserved or broadcast address", shown.s);
	l->has_ipv4 = true;
}

static void
take_ipv6(struct hb_reading *r, const struct hb_node *n, const char *text, struct hb_listen *l)
{
	static const uint8_t none[16];
	struct hb_spot at = {.node = n, .child = "ipv6"};
	struct hb_quoted shown = hb_quote(&r->doc.lines, text);

	if (inet_pton(AF_INET6, text, l->ipv6) != 1)
		hb_wrong(r, at, "%s is not an IPv6 address", shown.s);
	else if (memcmp(l->ipv6, none, sizeof(none)) == 0)
		hb_wrong(r, at, "%s is not an address of a host", shown.s);
	else if (l->ipv6[0] == 0xff)
		hb_wrong(r, at, "%s is a multicast address", shown.s);
	l->has_ipv6 = true;
}

void
hb_take_listen(struct hb_reading *r)
{
	const struct hb_node *n = hb_node_child(r->doc.lines.root, "listen");
	const struct hb_raw_listen *raw = &r->raw->listen;
	struct hb_listen *l = &r->c->listen;
	uint64_t port = hb_take(r, n, "base_port", raw->base_port, 8192, HB_SHARDS, BASE_PORT_MAX);

	if (port % HB_SHARDS != 0)
		hb_wrong(r, (struct hb_spot){.node = n, .child = "base_port"},
			"%llu is not a multiple of %d", (unsigned long long)port, HB_SHARDS);
	l->base_port = (uint16_t)port;
	if (raw->ipv4 != NULL)
		take_ipv4(r, n, raw->ipv4, l);
	if (raw->ipv6 != NULL)
		take_ipv6(r, n, raw->ipv6, l);
}

void
hb_take_port_listen(struct hb_reading *r, const struct hb_node *n, const struct hb_raw_port *raw,
	struct hb_listen *l)
{
	*l = r->c->listen;
	if (raw->ipv4 != NULL)
		take_ipv4(r, n, raw->ipv4, l);
	if (raw->ipv6 != NULL)
		take_ipv6(r, n, raw->ipv6, l);
	if (!l->has_ipv4 && !l->has_ipv6)
		hb_wrong(r, (struct hb_spot){.node = hb_node_child(r->doc.lines.root, "listen")},
			"has neither ipv4 nor ipv6, nor has ports[%u] one of its own",
			(unsigned)(raw - r->raw->ports));
}
