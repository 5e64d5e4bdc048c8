/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering: the key and the RETA against DPDK's software Toeplitz and against one written bit by
 * bit from its definition; and what the port makes of drivers that can, can't, or say so and don't.
 * The driver is here, in place of ethdev's four calls.
 */
#include "hb_steering.h"
#include "port_internal.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_thash.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- the hash -------------------------------------------------------------------------- */

/* For each bit that is set in the input, the 32 bits of the key that begin there. */
static uint32_t
toeplitz(const uint8_t *key, const uint8_t *input, unsigned bytes)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < bytes * 8; i++) {
		if (!(input[i / 8] >> (7 - i % 8) & 1))
			continue;
		for (unsigned k = 0; k < 32; k++) {
			unsigned bit = i + k;

			hash ^= (uint32_t)(key[bit / 8] >> (7 - bit % 8) & 1) << (31 - k);
		}
	}
	return hash;
}

static void
the_hash_is_the_lane_whatever_the_rest(void **state)
{
	static const unsigned sizes[] = {HB_RSS_KEY_MIN, 40, 52, HB_RSS_KEY_MAX};
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 400000; i++) {
		uint64_t a = hb_splitmix64(&random), b = hb_splitmix64(&random);
		uint8_t key[HB_RSS_KEY_MAX + 4] = {0}, input[12];
		uint16_t port = (uint16_t)b;

		hb_rss_key(key, sizes[i % HB_COUNT_OF(sizes)]);
		memcpy(input, &a, 8);
		input[8] = (uint8_t)(b >> 16);
		input[9] = (uint8_t)(b >> 24);
		input[10] = (uint8_t)(port >> 8);
		input[11] = (uint8_t)port;
		uint32_t hash = toeplitz(key, input, sizeof(input));
		assert_int_equal(hash, hb_rss_hash(port));
		assert_true(hash < HB_RSS_RETA_MIN);
		assert_int_equal(hb_rss_lane(hash), port % HB_LANES);

		/* rte_softrss() takes words in host order. */
		uint32_t words[3];
		for (unsigned k = 0; k < 3; k++)
			words[k] = hb_be32(input + 4 * k);
		assert_int_equal(rte_softrss(words, 3, key), hash);
	}
}

/* ---- a driver --------------------------------------------------------------------------- */

static struct driver {
	struct rte_eth_dev_info info;
	struct rte_eth_rss_reta_entry64 reta[32];
	uint8_t key[HB_RSS_KEY_MAX];
	uint64_t hf;
	int info_error, update_error, query_error, key_error;
	int other_entry; /* that the device has another queue in; -1: none */
	bool other_key;
	bool told;	    /* its RETA */
	unsigned reta_size; /* that it must be told */
} driver;

int
rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *info)
{
	(void)id;
	*info = driver.info;
	return driver.info_error;
}

int
rte_eth_dev_rss_reta_update(uint16_t id, struct rte_eth_rss_reta_entry64 *reta, uint16_t entries)
{
	(void)id;
	assert_int_equal(entries, driver.reta_size);
	for (unsigned i = 0; i < entries; i++) {
		assert_true(reta[i / 64].mask >> i % 64 & 1);
		driver.reta[i / 64].reta[i % 64] = reta[i / 64].reta[i % 64];
	}
	driver.told = driver.update_error == 0;
	return driver.update_error;
}

int
rte_eth_dev_rss_reta_query(uint16_t id, struct rte_eth_rss_reta_entry64 *reta, uint16_t entries)
{
	(void)id;
	assert_int_equal(entries, driver.reta_size);
	for (unsigned i = 0; i < entries; i++) {
		unsigned queue = driver.reta[i / 64].reta[i % 64];

		if (reta[i / 64].mask >> i % 64 & 1)
			reta[i / 64].reta[i % 64] =
				(uint16_t)(queue + ((int)i == driver.other_entry));
	}
	return driver.query_error;
}

int
rte_eth_dev_rss_hash_conf_get(uint16_t id, struct rte_eth_rss_conf *conf)
{
	(void)id;
	if (driver.key_error != 0)
		return driver.key_error;
	memcpy(conf->rss_key, driver.key, conf->rss_key_len);
	conf->rss_key[15] ^= driver.other_key;
	conf->rss_hf = driver.hf;
	return 0;
}

static const struct hb_profile can = {
	.name = "can", .steering = HB_STEER_RSS, .rss_key_bytes = HB_RSS_KEY_BYTES};

/* A device as most are. */
static void
make_driver(unsigned reta, unsigned key)
{
	driver = (struct driver){
		.info = {.reta_size = (uint16_t)reta,
			.hash_key_size = (uint8_t)key,
			.flow_type_rss_offloads = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP},
		.reta_size = reta,
		.other_entry = -1,
	};
}

/* What hb_ports_open() does with a port; returns how it is steered. */
static enum hb_steering
open_port(struct hb_port *port, const struct hb_profile *profile, unsigned workers)
{
	struct rte_eth_conf conf = {0};

	*port = (struct hb_port){.rx_queues = (uint16_t)workers};
	if (hb_steering_ask(port, &driver.info, profile, workers, &conf)) {
		const struct rte_eth_rss_conf *rss = &conf.rx_adv_conf.rss_conf;

		assert_int_equal(conf.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
		assert_int_equal(rss->rss_hf & ~driver.info.flow_type_rss_offloads, 0);
		memcpy(driver.key, rss->rss_key, rss->rss_key_len);
		driver.hf |= rss->rss_hf;
	} else {
		assert_int_equal(conf.rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);
	}
	hb_steering_set(port, workers);
	assert_true(port->why[0] != '\0');
	return port->steering;
}

/* ---- what the port makes of it ---------------------------------------------------------- */

static void
every_lane_comes_to_its_owner(void **state)
{
	static const unsigned retas[] = {128, 256, 512, 2048}, keys[] = {0, 16, 40, 52, 128};
	struct hb_port port;

	(void)state;
	for (unsigned workers = 2; workers <= HB_WORKERS_MAX; workers++) {
		unsigned reta = retas[workers % HB_COUNT_OF(retas)];
		unsigned key = keys[workers % HB_COUNT_OF(keys)];
		uint8_t expected[HB_RSS_KEY_MAX] = {0};

		make_driver(reta, key);
		assert_int_equal(open_port(&port, &can, workers), HB_STEERING_RSS);
		expected[15] = 0x80;
		assert_memory_equal(driver.key, expected, sizeof(expected));
		for (unsigned lane = 0; lane < HB_LANES; lane++) {
			unsigned entry = hb_rss_hash((uint16_t)(8192 + lane)) % reta;

			assert_int_equal(
				driver.reta[entry / 64].reta[entry % 64], hb_owner(lane, workers));
		}
		for (unsigned i = 0; i < reta; i++)
			assert_true(driver.reta[i / 64].reta[i % 64] < workers);
	}
}

static void
one_worker_needs_no_steering(void **state)
{
	struct hb_port port;

	(void)state;
	make_driver(128, 40);
	assert_int_equal(open_port(&port, &can, 1), HB_STEERING_NONE);
	assert_false(driver.told);
}

/* Opens a port of the driver as it stands now: it must be steered in software, for this reason. */
static void
assert_software(const struct hb_profile *profile, bool told, const char *why)
{
	struct hb_port port;

	assert_int_equal(open_port(&port, profile, 4), HB_STEERING_SOFTWARE);
	assert_int_equal(driver.told, told);
	if (strstr(port.why, why) == NULL)
		fail_msg("\"%s\" says nothing of \"%s\"", port.why, why);
}

static void
what_cannot_be_asked_for_is_not(void **state)
{
	static const struct hb_profile cannot = {.name = "cannot"};
	static const unsigned bad_retas[] = {0, 1, 64, 127, 129, 192, 4096};
	struct hb_port port = {.rx_queues = 3};
	struct rte_eth_conf conf = {0};

	(void)state;
	make_driver(128, 40);
	assert_software(&cannot, false, "profile cannot");
	for (unsigned i = 0; i < HB_COUNT_OF(bad_retas); i++) {
		char entries[16];

		make_driver(bad_retas[i], 40);
		snprintf(entries, sizeof(entries), " %u entries", bad_retas[i]);
		assert_software(&can, false, entries);
	}
	make_driver(128, 15);
	assert_software(&can, false, "15 bytes");
	make_driver(128, 129);
	assert_software(&can, false, "129 bytes");
	make_driver(128, 40);
	driver.info.flow_type_rss_offloads &= ~RTE_ETH_RSS_NONFRAG_IPV4_UDP;
	assert_software(&can, false, "UDP");

	make_driver(128, 40);
	assert_false(hb_steering_ask(&port, &driver.info, &can, 4, &conf));
	assert_string_equal(port.why, "3 receive queues for 4 workers");
}

static void
what_was_not_done_is_found(void **state)
{
	(void)state;
	make_driver(128, 40);
	driver.update_error = -ENOTSUP;
	assert_software(&can, false, "refuses the RETA");
	make_driver(128, 40);
	driver.query_error = -ENOTSUP;
	assert_software(&can, true, "can't be read back");
	for (int entry = 0; entry < 512; entry += 73) {
		make_driver(512, 52);
		driver.other_entry = entry;
		assert_software(&can, true, "names queue");
	}
	make_driver(128, 40);
	driver.key_error = -EINVAL;
	assert_software(&can, true, "key can't be read back");
	make_driver(128, 40);
	driver.other_key = true;
	assert_software(&can, true, "another RSS key");
	make_driver(128, 40);
	driver.info_error = -EIO;
	assert_software(&can, false, "no information");
}

/* Drivers tell another size once they are configured: a new one counts, and one that can't be a
 * RETA for lanes (mlx5 tells the number of queues) doesn't. */
static void
the_size_may_change_at_the_start(void **state)
{
	static const struct {
		unsigned before, after, told;
	} sizes[] = {{512, 128, 128}, {128, 512, 512}, {512, 4, 512}, {512, 3, 512}, {256, 0, 256}};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(sizes); i++) {
		struct rte_eth_conf conf = {0};
		struct hb_port port = {.rx_queues = 4};

		make_driver(sizes[i].before, 40);
		assert_true(hb_steering_ask(&port, &driver.info, &can, 4, &conf));
		memcpy(driver.key, port.key, port.key_bytes);
		driver.hf = conf.rx_adv_conf.rss_conf.rss_hf;
		driver.info.reta_size = (uint16_t)sizes[i].after;
		driver.reta_size = sizes[i].told;
		hb_steering_set(&port, 4);
		assert_int_equal(port.steering, HB_STEERING_RSS);
		assert_true(driver.told);
	}
}

/* A driver may mask what it was asked to hash, and say so only when asked. */
static void
a_hash_over_less_is_found(void **state)
{
	struct rte_eth_conf conf = {0};
	struct hb_port port = {.rx_queues = 2};

	(void)state;
	make_driver(128, 40);
	assert_true(hb_steering_ask(&port, &driver.info, &can, 2, &conf));
	memcpy(driver.key, port.key, port.key_bytes);
	driver.hf = RTE_ETH_RSS_IPV4;
	hb_steering_set(&port, 2);
	assert_int_equal(port.steering, HB_STEERING_SOFTWARE);
}

static void
a_refusal_takes_the_wish_back(void **state)
{
	struct rte_eth_conf conf = {0};
	struct hb_port port = {.rx_queues = 2};

	(void)state;
	make_driver(128, 40);
	assert_true(hb_steering_ask(&port, &driver.info, &can, 2, &conf));
	hb_steering_refused(&port, -EINVAL, &conf);
	assert_int_equal(conf.rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);
	assert_null(conf.rx_adv_conf.rss_conf.rss_key);
	hb_steering_set(&port, 2);
	assert_int_equal(port.steering, HB_STEERING_SOFTWARE);
	assert_false(driver.told);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_the_lane_whatever_the_rest),
		cmocka_unit_test(every_lane_comes_to_its_owner),
		cmocka_unit_test(one_worker_needs_no_steering),
		cmocka_unit_test(what_cannot_be_asked_for_is_not),
		cmocka_unit_test(what_was_not_done_is_found),
		cmocka_unit_test(a_hash_over_less_is_found),
		cmocka_unit_test(the_size_may_change_at_the_start),
		cmocka_unit_test(a_refusal_takes_the_wish_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
