/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RSS as lib/wire/hb_steering.h derives it, set through ethdev and read back. Where a device can't
 * do it, or doesn't have afterwards what it was told, its requests are steered in software: they
 * are handed over between the workers.
 */
#include "hb_steering.h"
#include "port_internal.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <stdio.h>

/* The largest RETA that a driver of DPDK 22.11 has (ice). */
#define RETA_MAX 2048
#define RETA_GROUP RTE_ETH_RETA_GROUP_SIZE

/* What the hash must be over. IPv6 is spread by it too where the device can: by some bits of the
 * source, not by lane, so that not all of it is taken in by the same worker. */
#define HASH_NEEDED RTE_ETH_RSS_NONFRAG_IPV4_UDP
#define HASH_WANTED (HASH_NEEDED | RTE_ETH_RSS_NONFRAG_IPV6_UDP)

static void in_software(struct hb_port *port, const char *fmt, ...) HB_PRINTF(2, 3);

static void
in_software(struct hb_port *port, const char *fmt, ...)
{
	va_list ap;

	port->steering = HB_STEERING_SOFTWARE;
	va_start(ap, fmt);
	vsnprintf(port->why, sizeof(port->why), fmt, ap);
	va_end(ap);
}

static bool
reta_fits(unsigned entries)
{
	return entries >= HB_RSS_RETA_MIN && entries <= RETA_MAX && entries % HB_RSS_RETA_MIN == 0;
}

/* ---- before the device is configured ------------------------------------------------- */

bool
hb_steering_ask(struct hb_port *port, const struct rte_eth_dev_info *info,
	const struct hb_profile *profile, unsigned workers, struct rte_eth_conf *conf)
{
	unsigned key_bytes =
		info->hash_key_size != 0 ? info->hash_key_size : profile->rss_key_bytes;

	if (workers == 1) {
		port->steering = HB_STEERING_NONE;
		snprintf(port->why, sizeof(port->why), "one worker");
	} else if (profile->steering != HB_STEER_RSS) {
		in_software(port, "so says the profile %s", profile->name);
	} else if (port->rx_queues < workers) {
		in_software(port, "%u receive queues for %u workers", port->rx_queues, workers);
	} else if ((info->flow_type_rss_offloads & HASH_NEEDED) == 0) {
		in_software(port, "the device offers no RSS over IPv4 and UDP ports");
	} else if (!reta_fits(info->reta_size)) {
		in_software(port, "the device's RETA has %u entries, a multiple of %d is needed",
			info->reta_size, HB_RSS_RETA_MIN);
	} else if (key_bytes < HB_RSS_KEY_MIN || key_bytes > HB_RSS_KEY_MAX) {
		in_software(port, "the device's RSS key has %u bytes, %d to %d are needed",
			key_bytes, HB_RSS_KEY_MIN, HB_RSS_KEY_MAX);
	} else {
		port->steering = HB_STEERING_RSS;
		port->reta_entries = info->reta_size;
		port->key_bytes = (uint8_t)key_bytes;
		hb_rss_key(port->key, key_bytes);
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
			.rss_key = port->key,
			.rss_key_len = port->key_bytes,
			.rss_hf = info->flow_type_rss_offloads & HASH_WANTED,
		};
		return true;
	}
	return false;
}

void
hb_steering_refused(struct hb_port *port, int err, struct rte_eth_conf *conf)
{
	in_software(port, "the device refuses RSS with such a key (%s)", strerror(-err));
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){0};
}

/* ---- once it has started ------------------------------------------------------------- */

static void
fill_reta(struct rte_eth_rss_reta_entry64 *reta, unsigned entries, unsigned workers)
{
	for (unsigned i = 0; i < entries; i++) {
		reta[i / RETA_GROUP].mask = UINT64_MAX;
		reta[i / RETA_GROUP].reta[i % RETA_GROUP] =
			(uint16_t)hb_owner(hb_rss_lane(i), workers);
	}
}

/* Whether the device has the key, and hashes what we need. Drivers hand out as many bytes as the
 * key has, whatever room there is. */
static bool
key_is_set(struct hb_port *port)
{
	uint8_t key[HB_RSS_KEY_MAX] = {0};
	struct rte_eth_rss_conf has = {.rss_key = key, .rss_key_len = port->key_bytes};
	int err = rte_eth_dev_rss_hash_conf_get(port->id, &has);

	if (err != 0)
		in_software(port, "the RSS key can't be read back (%s)", strerror(-err));
	else if (memcmp(key, port->key, port->key_bytes) != 0)
		in_software(port, "the device has another RSS key than it was told");
	else if ((has.rss_hf & HASH_NEEDED) == 0)
		in_software(
			port, "the device doesn't hash IPv4 with UDP ports, though it was told");
	else
		return true;
	return false;
}

static bool
reta_is_set(struct hb_port *port, unsigned workers)
{
	unsigned entries = port->reta_entries;
	struct rte_eth_rss_reta_entry64 told[RETA_MAX / RETA_GROUP] = {0},
							has[RETA_MAX / RETA_GROUP];
	int err;

	fill_reta(told, entries, workers);
	/* Room that no entry of ours could be taken for. */
	memset(has, 0xFF, sizeof(has));
	if ((err = rte_eth_dev_rss_reta_update(port->id, told, (uint16_t)entries)) != 0) {
		in_software(port, "the device refuses the RETA (%s)", strerror(-err));
		return false;
	}
	if ((err = rte_eth_dev_rss_reta_query(port->id, has, (uint16_t)entries)) != 0) {
		in_software(port, "the RETA can't be read back (%s)", strerror(-err));
		return false;
	}
	for (unsigned i = 0; i < entries; i++) {
		unsigned wanted = told[i / RETA_GROUP].reta[i % RETA_GROUP],
			 found = has[i / RETA_GROUP].reta[i % RETA_GROUP];

		if (wanted == found)
			continue;
		in_software(port, "entry %u of the device's RETA names queue %u, not %u as told", i,
			found, wanted);
		return false;
	}
	return true;
}

void
hb_steering_set(struct hb_port *port, unsigned workers)
{
	struct rte_eth_dev_info info;
	int err;

	if (port->steering != HB_STEERING_RSS)
		return;
	/* Some drivers know the size of their RETA only now; mlx5 then tells the number of queues,
	 * and takes what it told before. */
	if ((err = rte_eth_dev_info_get(port->id, &info)) != 0) {
		in_software(port, "the device gives no information (%s)", strerror(-err));
		return;
	}
	if (reta_fits(info.reta_size))
		port->reta_entries = info.reta_size;
	if (reta_is_set(port, workers) && key_is_set(port))
		snprintf(port->why, sizeof(port->why),
			"key of %u bytes and %u RETA entries set and read back", port->key_bytes,
			port->reta_entries);
}

const char *
hb_steering_name(enum hb_steering s)
{
	switch (s) {
	case HB_STEERING_RSS:
		return "rss";
	case HB_STEERING_SOFTWARE:
		return "software";
	default:
		return "none";
	}
}
