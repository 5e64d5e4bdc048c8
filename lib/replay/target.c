/* SPDX-License-Identifier: BSD-3-Clause */
/* The device: EAL, queues, frames' memory, the link. */
#include "hb_replay.h"

#include "hb_port.h"

#include <ctype.h>
#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <unistd.h>

#define MBUF_CACHE 256
#define LINK_LOOK_US 10000

/* What a NIC gets of which no profile is known. */
static const struct hb_profile plain = {
	.name = "none",
	.rx_descriptors = 1024,
	.tx_descriptors = 1024,
	.mbuf_bytes = 2048,
};

/* A virtual device's profile has its driver's name: "net_virtio_user0,..." has virtio_user.yaml. */
static int
find_profile(struct hb_profile *p, const struct hb_target_options *o, struct hb_error *e)
{
	char name[HB_NAME_BYTES];
	size_t n;

	if (o->profile != NULL)
		return hb_profile_load(p, o->profile, e);
	*p = plain;
	if (strncmp(o->device, "net_", 4) != 0)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(o->device, ",") - 4, o->device + 4);
	for (n = strlen(name); n > 0 && isdigit((unsigned char)name[n - 1]); n--)
		name[n - 1] = '\0';
	return hb_profile_load(p, name, e);
}

/* What the command line says of descriptors, by itself or with the device; 0: nothing. */
static unsigned
descriptors_wished(const struct hb_target_options *o)
{
	static const char key[] = ",queue_size=";
	const char *size = strstr(o->device, key);
	unsigned n = 0;

	if (o->descriptors != 0)
		return o->descriptors;
	if (size != NULL && sscanf(size + strlen(key), "%u", &n) == 1 && n <= UINT16_MAX)
		return n;
	return 0;
}

static unsigned
frames_needed(const struct hb_target_options *o, const struct hb_profile *p)
{
	/* Those that wait in our hands beside those in the device's: to be sent, and received. */
	return o->queues * (unsigned)(p->rx_descriptors + p->tx_descriptors + 4 * HB_BURST) +
	       2 * HB_BURST + 4 * MBUF_CACHE;
}

static uint16_t
frame_room(const struct hb_profile *p)
{
	return (uint16_t)(RTE_MAX(p->mbuf_bytes, HB_SHOT_BYTES_MAX) + RTE_PKTMBUF_HEADROOM);
}

static int
start_eal(const struct hb_target_options *o, const struct hb_profile *p, int eal_count, char **eal,
	struct hb_error *e)
{
	struct hb_eal_wish wish = {
		.program = "hongbao-replay",
		.frames = frames_needed(o, p),
		.frame_room = frame_room(p),
		.profile = p,
		.profiles = 1,
	};
	char why[256];
	bool no_huge;
	int err = hb_eal_start(&wish, eal_count, eal, &no_huge, why, sizeof(why), e);

	if (err == 0 && no_huge)
		fprintf(stderr, "hongbao-replay: without hugepages, so slower: %s\n", why);
	return err;
}

static int
set_up_queues(struct hb_target *t, const struct hb_profile *p, struct hb_error *e)
{
	uint16_t rx = p->rx_descriptors, tx = p->tx_descriptors;
	unsigned socket = (unsigned)rte_eth_dev_socket_id(t->id);
	int err = rte_eth_dev_adjust_nb_rx_tx_desc(t->id, &rx, &tx);

	for (uint16_t q = 0; err == 0 && q < t->queues; q++) {
		err = rte_eth_rx_queue_setup(t->id, q, rx, socket, NULL, t->pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(t->id, q, tx, socket, NULL);
	}
	if (err == 0)
		err = rte_eth_dev_start(t->id);
	if (err == 0) {
		t->started = true;
		return 0;
	}
	return hb_fail(e, -err,
		"device %s: cannot start with %u queues of %u and %u descriptors: %s; give other "
		"--queues, or other --descriptors",
		t->name, t->queues, rx, tx, strerror(-err));
}

static int
configure(struct hb_target *t, const struct hb_target_options *o, struct hb_error *e)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = {0};
	int err = rte_eth_dev_info_get(t->id, &info);

	snprintf(t->name, sizeof(t->name), "%.*s", (int)strcspn(o->device, ","), o->device);
	if (err != 0)
		return hb_fail(
			e, -err, "device %s: gives no information: %s", t->name, strerror(-err));
	snprintf(t->driver, sizeof(t->driver), "%s", info.driver_name);
	t->misasked = o->queues > info.max_rx_queues || o->queues > info.max_tx_queues;
	if (t->misasked)
		return hb_fail(e, EINVAL,
			"--queues: device %s has %u receive and %u send queues, not %u; give the "
			"device more (queues=%u), or fewer --queues",
			t->name, info.max_rx_queues, info.max_tx_queues, o->queues, o->queues);
	t->queues = (uint16_t)o->queues;
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	err = rte_eth_dev_configure(t->id, t->queues, t->queues, &conf);
	if (err != 0)
		return hb_fail(e, -err, "device %s: cannot be configured with %u queues: %s",
			t->name, t->queues, strerror(-err));
	return 0;
}

/* net_virtio_user has no address by itself, and says so at length. */
static void
complete(char device[HB_DEVICE_BYTES], const struct hb_target_options *o)
{
	const uint8_t *m = o->mac;

	snprintf(device, HB_DEVICE_BYTES, "%s", o->device);
	if (strncmp(device, "net_virtio_user", 15) != 0 || strstr(device, ",mac=") != NULL)
		return;
	snprintf(device, HB_DEVICE_BYTES, "%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", o->device, m[0],
		m[1], m[2], m[3], m[4], m[5]);
}

static int
open_device(struct hb_target *t, const struct hb_target_options *o, const struct hb_profile *p,
	struct hb_error *e)
{
	unsigned frames = frames_needed(o, p);
	char device[HB_DEVICE_BYTES];
	int err;

	complete(device, o);
	err = hb_device_attach(device, p->name, &t->id, e);
	if (err != 0 || (err = configure(t, o, e)) != 0)
		return err;
	t->pool = rte_pktmbuf_pool_create(
		"replay", frames, MBUF_CACHE, 0, frame_room(p), SOCKET_ID_ANY);
	if (t->pool == NULL)
		return hb_fail(e, ENOMEM,
			"no memory for %u frames of %u bytes (%s); reserve more hugepages, or run "
			"with -- --no-huge -m MEGABYTES",
			frames, frame_room(p), rte_strerror(rte_errno));
	return set_up_queues(t, p, e);
}

int
hb_target_open(struct hb_target *t, const struct hb_target_options *o, int eal_count, char **eal,
	struct hb_error *e)
{
	struct hb_profile p;
	int err = find_profile(&p, o, e);

	*t = (struct hb_target){.misasked = err != 0};
	if (err != 0)
		return err;
	unsigned descriptors = descriptors_wished(o);
	if (descriptors != 0)
		p.rx_descriptors = p.tx_descriptors = (uint16_t)descriptors;
	if ((err = start_eal(o, &p, eal_count, eal, e)) != 0)
		return err;
	t->eal = true;
	return open_device(t, o, &p, e);
}

int
hb_target_wait(struct hb_target *t, uint64_t wait_ms, const volatile bool *stop, struct hb_error *e)
{
	uint64_t end = hb_mono_ns() + wait_ms * 1000000;

	while (!*stop) {
		struct rte_eth_link link = {0};

		if (rte_eth_link_get_nowait(t->id, &link) == 0 &&
			link.link_status == RTE_ETH_LINK_UP)
			return 0;
		if (hb_mono_ns() >= end)
			return hb_fail(e, ENOLINK,
				"device %s: no link after %llu ms; is the other side running? "
				"Start it first, or give a longer --link-wait",
				t->name, (unsigned long long)wait_ms);
		usleep(LINK_LOOK_US);
	}
	return hb_fail(e, EINTR, "interrupted before the first request was sent");
}

void
hb_target_close(struct hb_target *t)
{
	if (t->started && rte_eth_dev_stop(t->id) == 0)
		rte_eth_dev_close(t->id);
	t->started = false;
	rte_mempool_free(t->pool);
	t->pool = NULL;
	if (t->eal)
		hb_eal_stop();
	t->eal = false;
}
