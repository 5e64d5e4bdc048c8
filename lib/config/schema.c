/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file: its keys, and for each what would be right. */
#include "hb_config.h"
#include "raw.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define REQUIRED CYAML_FLAG_DEFAULT
#define LIST(optional) ((optional) | CYAML_FLAG_POINTER)
#define TEXT_MAX 4095 /* of paths and the like, which are measured where they are used */

static const cyaml_strval_t split_names[] = {
	{"equal", HB_SPLIT_EQUAL},
	{"lucky", HB_SPLIT_LUCKY},
	{"tiers", HB_SPLIT_TIERS},
};

static const cyaml_strval_t clock_names[] = {
	{"wall", HB_CLOCK_WALL},
	{"packet", HB_CLOCK_PACKET},
};

/* Each 1 more than its level, so that 0 is none. */
static const cyaml_strval_t level_names[] = {
	{"error", 1},
	{"warning", 2},
	{"info", 3},
	{"debug", 4},
};

static const cyaml_strval_t idle_names[] = {
	{"poll", HB_RAW_IDLE_POLL},
	{"sleep", HB_RAW_IDLE_SLEEP},
};

/* Of a packet: tiers are for campaigns. */
static const cyaml_strval_t packet_split_names[] = {
	{"equal", HB_SPLIT_EQUAL},
	{"lucky", HB_SPLIT_LUCKY},
};

static const cyaml_schema_field_t bundle_fields[] = {
	CYAML_FIELD_UINT_PTR("shares", REQUIRED, struct hb_raw_bundle, shares),
	CYAML_FIELD_ENUM("split", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_bundle, split,
		packet_split_names, HB_COUNT_OF(packet_split_names)),
	CYAML_FIELD_UINT_PTR("hours", OPTIONAL, struct hb_raw_bundle, hours),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t packets_fields[] = {
	CYAML_FIELD_UINT_PTR("open", OPTIONAL, struct hb_raw_packets, open),
	CYAML_FIELD_UINT_PTR("shares", OPTIONAL, struct hb_raw_packets, shares),
	CYAML_FIELD_UINT_PTR("keep", OPTIONAL, struct hb_raw_packets, keep),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tier_fields[] = {
	CYAML_FIELD_UINT("count", REQUIRED, struct hb_raw_tier, count),
	CYAML_FIELD_UINT("amount", REQUIRED, struct hb_raw_tier, amount),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t tier = {
	CYAML_VALUE_MAPPING(REQUIRED, struct hb_raw_tier, tier_fields),
};

static const cyaml_schema_field_t envelopes_fields[] = {
	CYAML_FIELD_UINT_PTR("count", OPTIONAL, struct hb_raw_envelopes, count),
	CYAML_FIELD_UINT_PTR("total", OPTIONAL, struct hb_raw_envelopes, total),
	CYAML_FIELD_ENUM("split", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_envelopes, split,
		split_names, HB_COUNT_OF(split_names)),
	CYAML_FIELD_SEQUENCE(
		"tiers", LIST(OPTIONAL), struct hb_raw_envelopes, tiers, &tier, 1, HB_TIERS_MAX),
	CYAML_FIELD_BOOL_PTR("leased", OPTIONAL, struct hb_raw_envelopes, leased),
	CYAML_FIELD_END,
};

#define SIZE_OF(type, member) sizeof(((type *)NULL)->member)

/* What can be set while the program runs. */
#define CAMPAIGN_LIVE_FIELDS(window)                                                               \
	CYAML_FIELD_STRING_PTR("name", OPTIONAL, struct hb_raw_campaign, name, 0,                  \
		SIZE_OF(struct hb_campaign_config, name) - 1),                                     \
		CYAML_FIELD_STRING_PTR(                                                            \
			"opens", window, struct hb_raw_campaign, opens, 1, TEXT_MAX),              \
		CYAML_FIELD_STRING_PTR(                                                            \
			"closes", window, struct hb_raw_campaign, closes, 1, TEXT_MAX),            \
		CYAML_FIELD_FLOAT_PTR(                                                             \
			"odds", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_campaign, odds),       \
		CYAML_FIELD_UINT_PTR("release_per_second", OPTIONAL, struct hb_raw_campaign,       \
			release_per_second),                                                       \
		CYAML_FIELD_UINT_PTR(                                                              \
			"wins_per_user", OPTIONAL, struct hb_raw_campaign, wins_per_user),         \
		CYAML_FIELD_UINT_PTR(                                                              \
			"least_interval", OPTIONAL, struct hb_raw_campaign, least_interval),       \
		CYAML_FIELD_UINT_PTR("wait", OPTIONAL, struct hb_raw_campaign, wait),              \
		CYAML_FIELD_STRING_PTR("password", OPTIONAL, struct hb_raw_campaign, password, 0,  \
			SIZE_OF(struct hb_campaign_config, password) - 1),                         \
		CYAML_FIELD_BOOL_PTR("paused", OPTIONAL, struct hb_raw_campaign, paused)

static const cyaml_schema_field_t campaign_fields[] = {
	CYAML_FIELD_UINT_PTR("id", REQUIRED, struct hb_raw_campaign, id),
	CAMPAIGN_LIVE_FIELDS(REQUIRED),
	CYAML_FIELD_MAPPING(
		"envelopes", REQUIRED, struct hb_raw_campaign, envelopes, envelopes_fields),
	CYAML_FIELD_MAPPING("bundle", OPTIONAL, struct hb_raw_campaign, bundle, bundle_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t campaign_edit_fields[] = {
	CAMPAIGN_LIVE_FIELDS(OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t campaign = {
	CYAML_VALUE_MAPPING(REQUIRED, struct hb_raw_campaign, campaign_fields),
};

static const cyaml_schema_field_t listen_fields[] = {
	CYAML_FIELD_STRING_PTR("ipv4", OPTIONAL, struct hb_raw_listen, ipv4, 1, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("ipv6", OPTIONAL, struct hb_raw_listen, ipv6, 1, TEXT_MAX),
	CYAML_FIELD_UINT_PTR("base_port", OPTIONAL, struct hb_raw_listen, base_port),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"profile", REQUIRED, struct hb_raw_port, profile, 1, HB_NAME_BYTES - 1),
	CYAML_FIELD_STRING_PTR(
		"device", REQUIRED, struct hb_raw_port, device, 1, HB_DEVICE_BYTES - 1),
	CYAML_FIELD_STRING_PTR("ipv4", OPTIONAL, struct hb_raw_port, ipv4, 1, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("ipv6", OPTIONAL, struct hb_raw_port, ipv6, 1, TEXT_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t port = {
	CYAML_VALUE_MAPPING(REQUIRED, struct hb_raw_port, port_fields),
};

static const cyaml_schema_value_t number = {
	CYAML_VALUE_UINT(REQUIRED, uint64_t),
};

static const cyaml_schema_value_t name = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, HB_NAME_BYTES - 1),
};

static const cyaml_schema_field_t control_fields[] = {
	CYAML_FIELD_STRING_PTR("socket", OPTIONAL, struct hb_raw_control, socket, 1, TEXT_MAX),
	CYAML_FIELD_STRING_PTR(
		"group", OPTIONAL, struct hb_raw_control, group, 1, HB_NAME_BYTES - 1),
	CYAML_FIELD_SEQUENCE(
		"change", LIST(OPTIONAL), struct hb_raw_control, change, &name, 0, HB_CHANGERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
	CYAML_FIELD_ENUM("level", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_log, level,
		level_names, HB_COUNT_OF(level_names)),
	CYAML_FIELD_STRING_PTR("file", OPTIONAL, struct hb_raw_log, file, 1, TEXT_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t overload_fields[] = {
	CYAML_FIELD_BOOL_PTR("shed", OPTIONAL, struct hb_raw_overload, shed),
	CYAML_FIELD_UINT_PTR("wait", OPTIONAL, struct hb_raw_overload, wait),
	CYAML_FIELD_END,
};

/* What can be set while the program runs; log.file is refused before the schema is asked. */
#define CONFIG_LIVE_FIELDS                                                                         \
	CYAML_FIELD_SEQUENCE(                                                                      \
		"deny", LIST(OPTIONAL), struct hb_raw_config, deny, &number, 0, CYAML_UNLIMITED),  \
		CYAML_FIELD_SEQUENCE("slices", LIST(OPTIONAL), struct hb_raw_config, slices,       \
			&number, 1, HB_SHARDS / HB_LANES),                                         \
		CYAML_FIELD_MAPPING("log", OPTIONAL, struct hb_raw_config, log, log_fields),       \
		CYAML_FIELD_MAPPING(                                                               \
			"overload", OPTIONAL, struct hb_raw_config, overload, overload_fields),    \
		CYAML_FIELD_ENUM("idle", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_config, idle, \
			idle_names, HB_COUNT_OF(idle_names))

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_UINT_PTR("host", OPTIONAL, struct hb_raw_config, host),
	CYAML_FIELD_MAPPING("listen", REQUIRED, struct hb_raw_config, listen, listen_fields),
	CYAML_FIELD_SEQUENCE(
		"ports", LIST(REQUIRED), struct hb_raw_config, ports, &port, 1, HB_PORTS_MAX),
	CYAML_FIELD_UINT_PTR("workers", OPTIONAL, struct hb_raw_config, workers),
	CYAML_FIELD_UINT("users", REQUIRED, struct hb_raw_config, users),
	CYAML_FIELD_MAPPING("packets", OPTIONAL, struct hb_raw_config, packets, packets_fields),
	CYAML_FIELD_STRING_PTR("journal", REQUIRED, struct hb_raw_config, journal, 1, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("keys", REQUIRED, struct hb_raw_config, keys, 1, TEXT_MAX),
	CYAML_FIELD_ENUM("clock", OPTIONAL | CYAML_FLAG_STRICT, struct hb_raw_config, clock,
		clock_names, HB_COUNT_OF(clock_names)),
	CYAML_FIELD_UINT_PTR("seed", OPTIONAL, struct hb_raw_config, seed),
	CONFIG_LIVE_FIELDS,
	CYAML_FIELD_MAPPING("control", OPTIONAL, struct hb_raw_config, control, control_fields),
	CYAML_FIELD_STRING_PTR("metrics", OPTIONAL, struct hb_raw_config, metrics, 1,
		SIZE_OF(struct hb_config, metrics) - 1),
	CYAML_FIELD_UINT_PTR("campaign_room", OPTIONAL, struct hb_raw_config, campaign_room),
	CYAML_FIELD_SEQUENCE("campaigns", LIST(REQUIRED), struct hb_raw_config, campaigns,
		&campaign, 1, HB_CAMPAIGNS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct hb_raw_config, config_fields),
};

static const cyaml_schema_field_t config_edit_fields[] = {
	CONFIG_LIVE_FIELDS,
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_edit = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct hb_raw_config, config_edit_fields),
};

static const cyaml_schema_value_t one_campaign = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct hb_raw_campaign, campaign_fields),
};

static const cyaml_schema_value_t campaign_edit = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct hb_raw_campaign, campaign_edit_fields),
};

/* clang-format off */
static const struct hb_hint hints[] = {
	{"host", "write this host's number, e.g. 1"},
	{"listen", "write an address, e.g. { ipv4: 10.0.0.1, base_port: 8192 }"},
	{"ipv4", "write the address that clients send to, e.g. 10.0.0.1"},
	{"ipv6", "write the address that clients send to, e.g. 2001:db8::1"},
	{"base_port", "write a multiple of 4096 from 4096 to 61440, e.g. 8192"},
	{"ports", "write 1 to 8 ports, each as { profile: pcap, device: \"net_pcap0,...\" }"},
	{"profile", "write the name of a file of drivers-config without its .yaml, e.g. pcap"},
	{"device", "write the device as DPDK names it, e.g. 0000:03:00.0 or net_pcap0,rx_pcap=in.pcap"},
	{"workers", "write how many worker cores there are, 1 to 64"},
	{"users", "write how many rows the user table has, e.g. 1000000"},
	{"packets", "write e.g. { open: 100000, shares: 1000000, keep: 86400 }"},
	{"open", "write how many group packets can be remembered at a time, 0 for none"},
	{"shares", "write a whole number, 1 to 65535 for a bundle"},
	{"keep", "write for how many seconds a packet that is done is remembered, at most 2592000"},
	{"bundle", "write e.g. { shares: 5, split: lucky, hours: 24 }"},
	{"hours", "write how many hours a bundle lives, 1 to 255"},
	{"journal", "write the directory of the journal, e.g. journal"},
	{"keys", "write the file that holds the keys, e.g. keys.yaml"},
	{"clock", "write wall or packet"},
	{"seed", "write a whole number, 0 for one from the system"},
	{"deny", "write a list of users from 1 up, e.g. [77, 78]"},
	{"slices", "write numbers from 0 to 31, each once, e.g. [0, 1, 2]"},
	{"control", "write e.g. { socket: /run/hongbao.sock, group: hongbao, change: [\"@ops\"] }"},
	{"socket", "write a path of at most 107 bytes, e.g. /run/hongbao/control.sock"},
	{"group", "write a group of this host by its name or number, e.g. hongbao"},
	{"change", "write a list of at most 16 users, and of groups with an @, e.g. [alice, \"@ops\"]"},
	{"metrics", "write an address with its port, e.g. \"127.0.0.1:9180\" or \"[::1]:9180\", or off"},
	{"log", "write e.g. { level: info, file: hongbaod.log }"},
	{"level", "write error, warning, info or debug"},
	{"file", "write the file that log lines go to, e.g. hongbaod.log"},
	{"overload", "write e.g. { shed: true, wait: 1000 }"},
	{"shed", "write true or false"},
	{"idle", "write poll or sleep"},
	{"campaign_room", "write how many campaigns can be added while it runs, 0 to 65535"},
	{"campaigns", "write at least one campaign with its id, opens, closes and envelopes"},
	{"id", "write a number from 1 to 65535 that no other campaign has"},
	{"name", "write a name of at most 63 bytes"},
	{"opens", "write a time with its zone, e.g. \"2015-02-18T22:30:00+08:00\", or ms since 1970"},
	{"closes", "write a time with its zone, e.g. \"2015-02-18T23:30:00+08:00\", or ms since 1970"},
	{"envelopes", "write e.g. { count: 120000, total: 60000000, split: lucky }"},
	{"count", "write how many envelopes, 1 to 4294967295"},
	{"total", "write whole fen (1 yuan is 100), from 1 to 4294967295 for each envelope on average"},
	{"split", "write equal, lucky or tiers"},
	{"tiers", "write e.g. [{ count: 1000, amount: 5000 }], at most 32 of them"},
	{"leased", "write true where many hosts share one budget, which is in a database"},
	{"amount", "write whole fen (1 yuan is 100), 1 to 4294967295"},
	{"odds", "write the probability that a draw wins, e.g. 0.017"},
	{"release_per_second", "write how many envelopes a second, 0 for no limit"},
	{"wins_per_user", "write how often a user may win, 1 to 8191"},
	{"least_interval", "write whole milliseconds, at most 604800000 (a week), 0 for none"},
	{"wait", "write whole milliseconds, e.g. 1000"},
	{"password", "write at most 255 bytes that are not all blanks, \"\" for a campaign that is shaken"},
	{"paused", "write true or false"},
	{"", "write keys with their values, e.g. users: 1000000"},
};
/* clang-format on */

const struct hb_schema hb_config_schema = {.top = &config, .hints = hints};
const struct hb_schema hb_campaign_schema = {
	.top = &one_campaign, .hints = hints, .lineless = true};
const struct hb_schema hb_campaign_edit_schema = {
	.top = &campaign_edit, .hints = hints, .lineless = true};
const struct hb_schema hb_config_edit_schema = {
	.top = &config_edit, .hints = hints, .lineless = true};

const char *
hb_level_name(unsigned level)
{
	return level < HB_COUNT_OF(level_names) ? level_names[level].str : "";
}
