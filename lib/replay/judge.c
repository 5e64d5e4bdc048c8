/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract, as far as a reply can be held against it. */
#include "match.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char *const violation_names[HB_VIOLATIONS] = {
	[HB_VIOLATION_FRAME] = "frame",
	[HB_VIOLATION_CHECKSUM] = "checksum",
	[HB_VIOLATION_ADDRESS] = "address",
	[HB_VIOLATION_PROTOCOL] = "protocol",
	[HB_VIOLATION_STATUS] = "status",
	[HB_VIOLATION_NONZERO] = "nonzero",
	[HB_VIOLATION_SEAL] = "seal",
	[HB_VIOLATION_PACKET] = "packet",
	[HB_VIOLATION_UNASKED] = "unasked",
	[HB_VIOLATION_FORGED] = "forged",
	[HB_VIOLATION_DIFFERS] = "differs",
	[HB_VIOLATION_GIVEN_TWICE] = "given_twice",
};

const char *
hb_violation_name(unsigned violation)
{
	return violation < HB_VIOLATIONS ? violation_names[violation] : "?";
}

/* Offsets of a reply's fields. */
enum {
	AT_CAMPAIGN = 2,
	AT_SEQ = 4,
	AT_ID = 8,
	AT_VALUE = 16,
	AT_SEAL = 20,
};

#define SHAKE (1 << HB_OP_SHAKE)
#define ANSWER (1 << HB_OP_ANSWER)
#define GRAB (1 << HB_OP_GRAB)
#define PACK (1 << HB_OP_PACK)
#define ALL (SHAKE | ANSWER | GRAB | PACK)

/* What the contract's table of statuses says. */
static const struct {
	uint8_t ops;
	bool final;
	bool waits; /* its value is how long to wait */
} contract[HB_STATUSES] = {
	[HB_WIN] = {SHAKE | ANSWER | GRAB, true, false},
	[HB_MISS] = {SHAKE | ANSWER, true, true},
	[HB_THROTTLED] = {SHAKE | ANSWER, false, true},
	[HB_QUOTA] = {SHAKE | ANSWER, true, false},
	[HB_EMPTY] = {SHAKE | ANSWER | GRAB, true, false},
	[HB_EARLY] = {SHAKE | ANSWER, false, true},
	[HB_CLOSED] = {SHAKE | ANSWER, false, false},
	[HB_WRONG] = {ANSWER, true, false},
	[HB_UNKNOWN] = {SHAKE | ANSWER | GRAB, false, false},
	[HB_EXPIRED] = {GRAB, false, false},
	[HB_STALE] = {SHAKE | ANSWER, false, false},
	[HB_BUSY] = {ALL, false, true},
	[HB_DENIED] = {SHAKE | ANSWER | GRAB, false, false},
	[HB_BUNDLE] = {SHAKE | ANSWER, true, false},
	[HB_PACKED] = {PACK, true, false},
	[HB_CONFLICT] = {PACK, false, false},
	[HB_MOVED] = {ALL, false, false},
};

bool
is_final(unsigned status)
{
	return contract[status].final;
}

void
accuse(struct hb_match *m, enum hb_violation v, const struct hb_heard *h, const char *fmt, ...)
{
	char from[INET6_ADDRSTRLEN] = "?", to[INET6_ADDRSTRLEN] = "?", what[256];
	const struct hb_answer *a = &h->answer;
	va_list ap;

	m->counts.violations[v]++;
	if (m->first.text[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (a->payload == NULL) {
		hb_fail(&m->first, 0, "a frame %s", what);
		return;
	}
	inet_ntop(a->ipv6 ? AF_INET6 : AF_INET, a->source, from, sizeof(from));
	inet_ntop(a->ipv6 ? AF_INET6 : AF_INET, a->target, to, sizeof(to));
	hb_fail(&m->first, 0,
		"a reply from %s port %u to %s port %u, op %u status %u (%s) campaign "
		"%u seq %u, %s",
		from, a->source_port, to, a->target_port, heard_op(h), heard_status(h),
		hb_status_name(heard_status(h)), hb_be16(a->payload + AT_CAMPAIGN),
		hb_be32(a->payload + AT_SEQ), what);
}

bool
judge_alone(struct hb_match *m, const struct hb_heard *h)
{
	const uint8_t *p = h->answer.payload;
	unsigned op = heard_op(h), status = heard_status(h);
	uint64_t id = hb_be64(p + AT_ID);
	uint32_t value = hb_be32(p + AT_VALUE), seal = hb_be32(p + AT_SEAL);

	if (p[0] >> 4 != HB_WIRE_VERSION || hb_request_bytes(op) == 0 || status == 0 ||
		status >= HB_STATUSES) {
		accuse(m, HB_VIOLATION_PROTOCOL, h, "is of version %u, which is no reply",
			p[0] >> 4);
		return false;
	}
	if (!(contract[status].ops >> op & 1))
		accuse(m, HB_VIOLATION_STATUS, h, "has a status that %s can't have",
			hb_op_name(op));
	if (!hb_status_gives(status) && (id != 0 || seal != 0))
		accuse(m, HB_VIOLATION_NONZERO, h,
			"gives nothing, but has id %llu and seal %08x where 0 belongs",
			(unsigned long long)id, seal);
	if (!hb_status_gives(status) && !contract[status].waits && value != 0)
		accuse(m, HB_VIOLATION_NONZERO, h, "has the value %u where 0 belongs", value);
	return true;
}

static void
judge_address(struct hb_match *m, const struct hb_heard *h, const struct wait *w)
{
	const struct hb_route *r = &m->options.routes->route[w->route];
	const struct hb_answer *a = &h->answer;

	if (a->source_port != w->port)
		accuse(m, HB_VIOLATION_ADDRESS, h, "answers a request to port %u",
			(unsigned)w->port);
	else if (a->ipv6 != r->ipv6 || memcmp(a->source, r->server, r->ipv6 ? 16 : 4) != 0)
		accuse(m, HB_VIOLATION_ADDRESS, h, "answers a request to another address");
	else if (a->l2_bytes != r->l2_bytes ||
		 memcmp(h->frame + 12, r->l2 + 12, r->l2_bytes - 12) != 0)
		accuse(m, HB_VIOLATION_ADDRESS, h, "has other VLAN tags than its request");
	else if (memcmp(h->frame, r->l2 + 6, 6) != 0)
		accuse(m, HB_VIOLATION_ADDRESS, h,
			"has another destination MAC address than its request's source");
}

static void
make_seal(const struct hb_match *m, const struct hb_heard *h, const struct wait *w,
	uint8_t seal[HB_TAG_BYTES])
{
	const struct hb_keyring *keys = m->options.keys;
	uint8_t key[HB_KEY_BYTES];

	if (heard_op(h) == HB_OP_PACK)
		memcpy(key, keys->issuer, sizeof(key));
	else
		hb_user_key(key, keys->epoch_key[w->epoch], w->user);
	hb_tag(seal, h->answer.payload, AT_SEAL, key);
}

bool
seal_fits(const struct hb_match *m, const struct hb_heard *h, const struct wait *w)
{
	uint8_t seal[HB_TAG_BYTES];

	make_seal(m, h, w, seal);
	return memcmp(seal, h->answer.payload + AT_SEAL, HB_REPLY_BYTES - AT_SEAL) == 0;
}

void
judge_match(struct hb_match *m, const struct hb_heard *h, const struct wait *w)
{
	uint8_t seal[HB_TAG_BYTES];

	judge_address(m, h, w);
	if (HB_LIKELY(!hb_status_gives(heard_status(h))) || seal_fits(m, h, w))
		return;
	make_seal(m, h, w, seal);
	accuse(m, HB_VIOLATION_SEAL, h, "has the seal %08x, not %08x (user %llu, epoch %u)",
		hb_be32(h->answer.payload + AT_SEAL), hb_be32(seal), (unsigned long long)w->user,
		w->epoch);
}

void
judge_packet(struct hb_match *m, const struct hb_heard *h, uint32_t packet)
{
	unsigned op = heard_op(h);

	if (hb_status_gives(heard_status(h)) && (op == HB_OP_GRAB || op == HB_OP_PACK) &&
		hb_packet_mark(hb_be64(h->answer.payload + AT_ID)) != packet)
		accuse(m, HB_VIOLATION_PACKET, h, "names another packet than its request");
}

/* Two numbers as one, which is not 0. */
static uint64_t
name_of(uint64_t a, uint64_t b)
{
	uint64_t name = hb_mix64(a ^ 0xA0761D6478BD642FULL, b ^ 0xE7037ED1A0B428DBULL);

	name = hb_mix64(name ^ 0x8EBC6AF09C88C6E3ULL, a ^ 0x589965CC75374CC3ULL);
	return name == 0 ? 1 : name;
}

/* An envelope of a campaign goes to one request. A share of a packet has no name of its own. */
void
judge_win(struct hb_match *m, const struct hb_heard *h, const struct wait *w)
{
	const uint8_t *p = h->answer.payload;
	uint64_t campaign = hb_be16(p + AT_CAMPAIGN), id = hb_be64(p + AT_ID);
	uint64_t envelope = name_of(id, campaign), winner = name_of(w->user, hb_be32(p + AT_SEQ));
	uint64_t i = envelope & m->win_mask;

	if (heard_op(h) > HB_OP_ANSWER)
		return;
	for (; m->win[i].envelope != 0; i = (i + 1) & m->win_mask) {
		if (m->win[i].envelope != envelope)
			continue;
		if (m->win[i].winner != winner)
			accuse(m, HB_VIOLATION_GIVEN_TWICE, h,
				"gives user %llu the envelope %llu, which another request won",
				(unsigned long long)w->user, (unsigned long long)id);
		return;
	}
	if (m->counts.wins >= m->options.wins) {
		m->counts.wins_unchecked++;
		return;
	}
	m->win[i] = (struct win){.envelope = envelope, .winner = winner};
	m->counts.wins++;
	m->counts.fen += hb_be32(p + AT_VALUE);
}
