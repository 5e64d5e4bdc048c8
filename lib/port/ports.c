/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_host.h"
#include "port_internal.h"

#include <errno.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>
#include <stdio.h>

#define MBUF_CACHE 256

/* ---- frames' memory ------------------------------------------------------------------ */

unsigned
hb_mbufs_needed(const struct hb_config *c, const struct hb_profile *profiles)
{
	unsigned per_worker = HB_PARK_SLOTS + (c->workers - 1) * hb_handover_slots(c->workers) +
			      2 * HB_HOST_FRAMES + 4 * HB_BURST + 2 * MBUF_CACHE;
	unsigned held = 0;

	for (unsigned i = 0; i < c->ports; i++)
		per_worker += profiles[i].rx_descriptors + profiles[i].tx_descriptors;
	for (unsigned i = 0; i < c->ports; i++)
		held += c->port[i].frames_held;
	return c->workers * per_worker + 2 * MBUF_CACHE + held;
}

uint16_t
hb_mbuf_room(const struct hb_config *c, const struct hb_profile *profiles)
{
	uint16_t most = 0;

	for (unsigned i = 0; i < c->ports; i++) {
		if (profiles[i].mbuf_bytes > most)
			most = profiles[i].mbuf_bytes;
	}
	return (uint16_t)(most + RTE_PKTMBUF_HEADROOM);
}

static int
make_pool(struct hb_ports *p, const struct hb_config *c, const struct hb_profile *profiles,
	struct hb_error *e)
{
	unsigned count = hb_mbufs_needed(c, profiles);
	/* A frame has something to take along only where there is another worker to go to. */
	unsigned private =
		c->workers > 1 ? RTE_ALIGN(sizeof(struct passage), RTE_MBUF_PRIV_ALIGN) : 0;

	p->pool = rte_pktmbuf_pool_create("frames", count, MBUF_CACHE, (uint16_t) private,
		hb_mbuf_room(c, profiles), SOCKET_ID_ANY);
	if (p->pool != NULL)
		return 0;
	return hb_fail(e, ENOMEM,
		"no memory for %u frames of %u bytes (%s); reserve more hugepages, or run with "
		"-- --no-huge -m MEGABYTES",
		count, hb_mbuf_room(c, profiles), rte_strerror(rte_errno));
}

/* ---- devices ------------------------------------------------------------------------- */

int
hb_device_attach(const char *device, const char *profile, uint16_t *id, struct hb_error *e)
{
	struct rte_dev_iterator it;
	uint16_t each, found = RTE_MAX_ETHPORTS;
	int err = rte_dev_probe(device);

	if (err != 0 && err != -EEXIST)
		return hb_fail(e, -err,
			"device %s (profile %s): no driver of that name, or it refused it (%s), "
			"then its "
			"own line stands above; write a device as in drivers-config/%s.yaml",
			device, profile, strerror(-err), profile);
	RTE_ETH_FOREACH_MATCHING_DEV(each, device, &it)
	{
		if (found == RTE_MAX_ETHPORTS)
			found = each;
	}
	if (found == RTE_MAX_ETHPORTS)
		return hb_fail(e, ENODEV,
			"device %s (profile %s): no port came of it; is it an ethdev driver's "
			"name?",
			device, profile);
	*id = found;
	return 0;
}

static void
describe(struct hb_port *port, const struct rte_eth_dev_info *info, const char *device)
{
	struct rte_ether_addr mac = {0};

	snprintf(port->name, sizeof(port->name), "%.*s", (int)strcspn(device, ","), device);
	snprintf(port->driver, sizeof(port->driver), "%s", info->driver_name);
	/* Only net_pcap puts the capture's time into its frames, in microseconds since 1970. */
	port->capture = strcmp(info->driver_name, "net_pcap") == 0 &&
			hb_device_argument(device, "iface", 0, NULL, 0) == 0;
	if (rte_eth_macaddr_get(port->id, &mac) == 0)
		memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	/* What net_tap tells is the address of the kernel's end. Ours is another, or the kernel
	 * would take what we send for its own come back. */
	if (strcmp(info->driver_name, "net_tap") == 0)
		port->mac[5] ^= 1;
}

static int
set_up_queues(const struct hb_ports *p, struct hb_port *port, const struct hb_profile *profile,
	struct hb_error *e)
{
	uint16_t rx = profile->rx_descriptors, tx = profile->tx_descriptors;
	int socket = rte_eth_dev_socket_id(port->id);
	int err = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);

	port->rx_descriptors = rx;
	for (uint16_t q = 0; err == 0 && q < port->rx_queues; q++)
		err = rte_eth_rx_queue_setup(port->id, q, rx, (unsigned)socket, NULL, p->pool);
	for (uint16_t q = 0; err == 0 && q < port->tx_queues; q++)
		err = rte_eth_tx_queue_setup(port->id, q, tx, (unsigned)socket, NULL);
	if (err != 0)
		return hb_fail(e, -err,
			"device %s: cannot set up %u queues of %u and %u descriptors: %s; other "
			"sizes go "
			"into drivers-config/%s.yaml",
			port->name, port->rx_queues, rx, tx, strerror(-err), profile->name);
	return 0;
}

/* The profile's offloads, as far as the device has them. */
static void
ask_offloads(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info,
	const struct hb_profile *profile)
{
	static const struct {
		unsigned ours;
		uint64_t rx, tx;
	} map[] = {
		{HB_OFFLOAD_IPV4_CKSUM, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, 0},
		{HB_OFFLOAD_UDP_CKSUM, RTE_ETH_RX_OFFLOAD_UDP_CKSUM, 0},
		{HB_OFFLOAD_RSS_HASH, RTE_ETH_RX_OFFLOAD_RSS_HASH, 0},
		{HB_OFFLOAD_MBUF_FAST_FREE, 0, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE},
	};

	for (unsigned i = 0; i < HB_COUNT_OF(map); i++) {
		if (profile->rx_offloads & map[i].ours)
			conf->rxmode.offloads |= info->rx_offload_capa & map[i].rx;
		if (profile->tx_offloads & map[i].ours)
			conf->txmode.offloads |= info->tx_offload_capa & map[i].tx;
	}
}

/* A queue for each worker, as far as the device has them, and RSS if it can. */
static int
configure(struct hb_port *port, const struct rte_eth_dev_info *info,
	const struct hb_profile *profile, unsigned workers, struct hb_error *e)
{
	struct rte_eth_conf conf = {0};

	if (info->max_rx_queues == 0 || info->max_tx_queues == 0)
		return hb_fail(e, EINVAL,
			"device %s: has %u receive and %u send queues; at least one of each is "
			"needed",
			port->name, info->max_rx_queues, info->max_tx_queues);
	port->rx_queues = (uint16_t)RTE_MIN(workers, info->max_rx_queues);
	port->tx_queues = (uint16_t)RTE_MIN(workers, info->max_tx_queues);
	ask_offloads(&conf, info, profile);
	bool asked = hb_steering_ask(port, info, profile, workers, &conf);
	int err = rte_eth_dev_configure(port->id, port->rx_queues, port->tx_queues, &conf);

	if (err != 0 && asked) {
		hb_steering_refused(port, err, &conf);
		err = rte_eth_dev_configure(port->id, port->rx_queues, port->tx_queues, &conf);
	}
	if (err != 0)
		return hb_fail(e, -err,
			"device %s: cannot be configured with %u receive and %u send queues: %s; "
			"set fewer workers, or give the device more queues",
			port->name, port->rx_queues, port->tx_queues, strerror(-err));
	return 0;
}

/* Lets in the group that neighbour solicitations go to; in the last resort everything, since the
 * parser drops what isn't ours. */
static void
join_group(struct hb_port *port, const struct hb_listen *l)
{
	struct rte_ether_addr group;

	if (!l->has_ipv6 || port->capture)
		return;
	hb_host_group_mac(l, group.addr_bytes);
	if (rte_eth_dev_set_mc_addr_list(port->id, &group, 1) == 0 ||
		rte_eth_allmulticast_enable(port->id) == 0)
		return;
	if (rte_eth_promiscuous_enable(port->id) == 0)
		snprintf(port->note, sizeof(port->note),
			"takes no multicast addresses, so it is promiscuous");
	else
		snprintf(port->note, sizeof(port->note),
			"lets no multicast in, so neighbours can't find the IPv6 address: tell "
			"them by ip -6 neigh add");
}

static int
open_port(struct hb_ports *p, struct hb_port *port, const struct hb_config *c,
	const struct hb_port_config *pc, const struct hb_profile *profile, struct hb_error *e)
{
	struct rte_eth_dev_info info;
	int err;

	if ((err = rte_eth_dev_info_get(port->id, &info)) != 0)
		return hb_fail(
			e, -err, "device %s: gives no information: %s", pc->device, strerror(-err));
	describe(port, &info, pc->device);
	if (c->clock == HB_CLOCK_PACKET && !port->capture)
		return hb_fail(e, EINVAL,
			"clock: packet, but device %s (%s) plays no capture; write clock: wall",
			port->name, port->driver);
	if ((err = configure(port, &info, profile, c->workers, e)) != 0 ||
		(err = set_up_queues(p, port, profile, e)) != 0)
		return err;
	if ((err = rte_eth_dev_start(port->id)) != 0)
		return hb_fail(
			e, -err, "device %s: cannot be started: %s", port->name, strerror(-err));
	port->started = true;
	hb_steering_set(port, c->workers);
	join_group(port, &pc->listen);
	return 0;
}

int
hb_ports_open(struct hb_ports *p, const struct hb_config *c, const struct hb_profile *profiles,
	struct hb_error *e)
{
	int err;

	*p = (struct hb_ports){.timestamp_offset = -1};
	if ((err = make_pool(p, c, profiles, e)) != 0)
		return err;
	for (unsigned i = 0; i < c->ports; i++) {
		p->listen[i] = c->port[i].listen;
		if ((err = hb_device_attach(
			     c->port[i].device, c->port[i].profile, &p->port[i].id, e)) == 0) {
			p->count++;
			err = open_port(p, &p->port[i], c, &c->port[i], &profiles[i], e);
		}
		if (err != 0) {
			hb_ports_close(p);
			return err;
		}
	}
	if (c->clock == HB_CLOCK_PACKET)
		p->timestamp_offset =
			rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
	if (c->clock == HB_CLOCK_PACKET && p->timestamp_offset < 0) {
		hb_ports_close(p);
		return hb_fail(e, ENOTSUP,
			"clock: packet, but this DPDK's net_pcap gives no times; write clock: "
			"wall");
	}
	return 0;
}

struct hb_port_lost
hb_port_lost(const struct hb_port *p)
{
	struct rte_eth_stats stats;

	if (!p->started || rte_eth_stats_get(p->id, &stats) != 0)
		return (struct hb_port_lost){0};
	return (struct hb_port_lost){
		.missed = stats.imissed, .no_buffer = stats.rx_nombuf, .errors = stats.ierrors};
}

uint64_t
hb_ports_lost(const struct hb_ports *p)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < p->count; i++) {
		struct hb_port_lost of = hb_port_lost(&p->port[i]);

		lost += of.missed + of.no_buffer + of.errors;
	}
	return lost;
}

void
hb_ports_close(struct hb_ports *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		if (p->port[i].started)
			rte_eth_dev_stop(p->port[i].id);
		rte_eth_dev_close(p->port[i].id);
	}
	p->count = 0;
	rte_mempool_free(p->pool);
	p->pool = NULL;
}
