/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was sent and what came of it: a table in one piece of memory, open addressing, at most two
 * thirds full. A request that nothing more is to be expected of leaves it at once, so that the part
 * in use stays as small as the network and the server are fast.
 */
#include "match.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Rows that one call of the sweep looks at, at the most. */
#define SWEEP_ROWS 256

/* How often the sweep comes by within a timeout. */
#define SWEEPS_A_TIMEOUT 4

/* ---- keys and marks ------------------------------------------------------------------ */

uint64_t
hb_shot_key(const uint8_t *client_ip, bool ipv6, uint16_t client_port, const uint8_t payload[8])
{
	/* Version, op, campaign, seq; not the epoch or status. */
	uint64_t what = (hb_be64(payload) & 0xFF00FFFFFFFFFFFFULL) | (uint64_t)0xA5 << 48, from;

	if (HB_LIKELY(!ipv6))
		from = (uint64_t)hb_be32(client_ip) << 16;
	else
		from = hb_mix64(hb_be64(client_ip) ^ 0x2D358DCCAA6C78A5ULL,
			hb_be64(client_ip + 8) ^ 0x8BB84B93962EACC9ULL);
	from ^= client_port;
	uint64_t key = hb_mix64(from ^ 0xA0761D6478BD642FULL, what ^ 0x4B33A62ED433D4A3ULL);
	key = hb_mix64(key ^ 0x9E3779B97F4A7C15ULL, from ^ 0xD6E8FEB86659FD93ULL);
	return key == 0 ? 1 : key;
}

/* What two final answers to one seq must share: where they give money all bytes, else the status,
 * which is compared apart. */
static uint32_t
answer_mark(const struct hb_heard *h)
{
	const uint8_t *p = h->answer.payload;

	if (!hb_status_gives(heard_status(h)))
		return 0;
	return (uint32_t)(hb_mix64(hb_be64(p + 8) ^ 0xE7037ED1A0B428DBULL,
				  hb_be64(p + 16) ^ 0x8EBC6AF09C88C6E3ULL) >>
			  32);
}

/* ---- the table ----------------------------------------------------------------------- */

static uint64_t
home(const struct hb_match *m, uint64_t key)
{
	return key & m->mask;
}

/* Takes a row out; those behind it that belong further forward move up. */
static void
erase(struct hb_match *m, uint64_t i)
{
	for (uint64_t k = (i + 1) & m->mask; m->wait[k].key != 0; k = (k + 1) & m->mask) {
		/* Whether the hole lies on the way from its home to where it stands. */
		if (((k - home(m, m->wait[k].key)) & m->mask) >= ((k - i) & m->mask)) {
			m->wait[i] = m->wait[k];
			i = k;
		}
	}
	m->wait[i].key = 0;
	m->used--;
}

static struct wait *
add(struct hb_match *m, uint64_t key)
{
	uint64_t i = home(m, key);

	while (m->wait[i].key != 0)
		i = (i + 1) & m->mask;
	m->used++;
	return &m->wait[i];
}

static bool
is_open(const struct wait *w)
{
	return w->state == WAIT_REPLY || w->state == WAIT_AGAIN;
}

/* How well a reply fits one of the rows of its key. Clients behind one address and port may be many
 * users, of whom the port tells most apart. Then: one that waits; else one that was answered and
 * tried more than once; else one that was given up; else whichever. */
static unsigned
fit(const struct wait *w, const struct hb_heard *h)
{
	static const uint8_t rank[] = {
		[WAIT_REPLY] = 5,
		[WAIT_AGAIN] = 4,
		[WAIT_LOST] = 2,
		[WAIT_ANSWERED] = 1,
		[WAIT_FORGED] = 0,
	};
	unsigned fit = rank[w->state];

	fit += w->state == WAIT_ANSWERED && (w->flags & WAIT_TRIED) ? 2 : 0;
	return fit + (w->port == h->answer.source_port ? 8 : 0);
}

/* Of two that fit as well it is the later. */
static bool
better(const struct wait *a, const struct wait *b, const struct hb_heard *h)
{
	unsigned fa = fit(a, h), fb = fit(b, h);

	return fa != fb ? fa > fb : a->due_ns > b->due_ns;
}

/* The row of a user whom a seal names, where several of them share a key and a port. */
static struct wait *
find_sealed(struct hb_match *m, const struct hb_heard *h, struct wait *found)
{
	struct wait *best = NULL;

	for (uint64_t i = home(m, h->key); m->wait[i].key != 0; i = (i + 1) & m->mask) {
		struct wait *w = &m->wait[i];

		if (w->key == h->key && w->port == found->port && w->state != WAIT_FORGED &&
			(best == NULL || better(w, best, h)) && seal_fits(m, h, w))
			best = w;
	}
	if (best == NULL)
		return found;
	/* Replies that give nothing name nobody: one of another user may have been taken for this
	 * one's, whose request waits on. */
	if (is_open(found) && best->state == WAIT_ANSWERED && !hb_status_gives(best->status)) {
		uint64_t user = best->user;
		uint8_t epoch = best->epoch;

		best->user = found->user;
		best->epoch = found->epoch;
		found->user = user;
		found->epoch = epoch;
		return found;
	}
	return best;
}

static struct wait *
find(struct hb_match *m, const struct hb_heard *h)
{
	struct wait *best = NULL;
	bool several = false;

	for (uint64_t i = home(m, h->key); m->wait[i].key != 0; i = (i + 1) & m->mask) {
		struct wait *w = &m->wait[i];

		if (w->key != h->key)
			continue;
		several |= best != NULL && best->user != w->user;
		if (best == NULL || better(w, best, h))
			best = w;
		if (HB_LIKELY(w->state == WAIT_REPLY && !(w->flags & WAIT_REPEATS)))
			break;
	}
	if (HB_UNLIKELY(several) && hb_status_gives(heard_status(h)))
		return find_sealed(m, h, best);
	return best;
}

/* ---- sending ------------------------------------------------------------------------- */

bool
hb_match_room(const struct hb_match *m, unsigned n)
{
	return m->used + n <= m->room;
}

void
hb_match_prefetch(const struct hb_match *m, uint64_t key)
{
	const struct wait *w = &m->wait[home(m, key)];

	/* The row behind it is looked at too, and may be on another line. */
	__builtin_prefetch(w, 1);
	__builtin_prefetch(w + 1, 1);
}

/* As far off as a row has room for. */
static void
set_due(struct wait *w, uint64_t due_ns)
{
	w->due_ns = (due_ns < DUE_MAX ? due_ns : DUE_MAX) & DUE_MAX;
}

/* Keeps a frame for as long as it may have to be repeated. */
static void
keep(struct hb_match *m, struct wait *w, const struct hb_shot *shot, const uint8_t *frame,
	unsigned queue)
{
	uint32_t which = keeper_add(&m->keeper, shot->key, frame, shot->bytes, queue, shot->packet,
		w->due_ns + m->options.timeout_ns);

	if (which == KEPT_NONE)
		return;
	w->mark = which;
	w->flags |= WAIT_KEPT;
}

void
hb_match_sent(struct hb_match *m, const struct hb_shot *shot, const uint8_t *frame, unsigned queue,
	uint64_t due_ns)
{
	if (HB_UNLIKELY(!(shot->flags & HB_SHOT_REQUEST)))
		return;
	bool forged = shot->flags & HB_SHOT_FORGED;
	struct wait *w = add(m, shot->key);

	*w = (struct wait){
		.key = shot->key,
		.user = shot->user,
		.port = shot->port,
		.mark = shot->packet,
		.epoch = shot->epoch,
		.state = forged ? WAIT_FORGED : WAIT_REPLY,
		.flags = shot->flags & HB_SHOT_REPEATS ? WAIT_REPEATS : 0,
		.route = shot->route,
	};
	set_due(w, due_ns);
	if (HB_UNLIKELY(forged)) {
		m->counts.forged++;
		return;
	}
	m->counts.requests++;
	m->waiting++;
	if (due_ns >= m->options.warm_up_ns) {
		w->flags |= WAIT_MEASURED;
		m->counts.measured++;
	}
	if (m->keeper.kept != NULL)
		keep(m, w, shot, frame, queue);
}

/* ---- the end of a request ------------------------------------------------------------ */

static struct kept *
kept_of(struct hb_match *m, const struct wait *w)
{
	if (HB_LIKELY(!(w->flags & WAIT_KEPT) || !is_open(w)))
		return NULL;
	return &m->keeper.kept[w->mark];
}

/* Lets go of its frame; its mark is the packet's again. */
static void
release(struct hb_match *m, struct wait *w)
{
	const struct kept *k = kept_of(m, w);

	if (k == NULL)
		return;
	uint32_t packet = k->packet;
	keeper_drop(&m->keeper, w->mark);
	w->mark = packet;
	w->flags &= 15 & ~WAIT_KEPT;
}

/* Given up. The row stays, so that a late reply is known for one. */
static void
lose(struct hb_match *m, struct wait *w, uint64_t now_ns)
{
	release(m, w);
	m->counts.lost++;
	m->counts.measured_lost += (w->flags & WAIT_MEASURED) != 0;
	m->waiting--;
	w->state = WAIT_LOST;
	set_due(w, now_ns);
}

/* Notes what further replies to the row are held against: the first final answer. */
static void
note_answer(struct wait *w, const struct hb_heard *h)
{
	unsigned status = heard_status(h);

	if (w->state == WAIT_ANSWERED && is_final(w->status))
		return;
	w->state = WAIT_ANSWERED;
	w->status = (uint8_t)status;
	if (is_final(status))
		w->mark = answer_mark(h);
}

/* A reply that ends its request. */
static void
settle(struct hb_match *m, struct wait *w, const struct hb_heard *h, uint64_t now_ns)
{
	release(m, w);
	m->counts.answered++;
	m->waiting--;
	if (HB_LIKELY((w->flags & (WAIT_REPEATS | WAIT_TRIED)) == 0)) {
		erase(m, (uint64_t)(w - m->wait));
		return;
	}
	note_answer(w, h);
	/* Its other tries may still be answered, and the last was sent long after it was due. */
	if (w->flags & WAIT_TRIED)
		set_due(w, now_ns);
}

/* ---- hearing ------------------------------------------------------------------------- */

/* Whether an IPv6 header announces UDP, or a fragment of it. */
static bool
ipv6_names_udp(const uint8_t *ip, uint32_t len)
{
	return ip[6] == IPPROTO_UDP ||
	       (ip[6] == IPPROTO_FRAGMENT && len > 40 && ip[40] == IPPROTO_UDP);
}

/* Whether a frame that can't be read was to be UDP from one of the servers. */
static bool
is_servers(const struct hb_match *m, const uint8_t *frame, uint32_t len)
{
	const struct hb_routes *routes = m->options.routes;

	for (unsigned i = 0; i < routes->count * 3; i++) {
		const struct hb_route *r = &routes->route[i / 3];
		uint32_t l2 = 14 + i % 3 * 4; /* with up to two VLAN tags */
		const uint8_t *ip = frame + l2;

		if (len < l2 + (r->ipv6 ? 40 : 20) ||
			hb_be16(ip - 2) != (r->ipv6 ? 0x86DD : 0x0800))
			continue;
		if (r->ipv6 ? ipv6_names_udp(ip, len - l2) && memcmp(ip + 8, r->server, 16) == 0
			    : ip[9] == IPPROTO_UDP && memcmp(ip + 12, r->server, 4) == 0)
			return true;
	}
	return false;
}

/* What a frame that can't be read is. Those that are no replies are nobody's fault. */
static void
refuse(struct hb_match *m, enum hb_drop drop, const uint8_t *frame, uint32_t len)
{
	static const struct hb_heard nothing;

	switch (drop) {
	case HB_DROP_NOT_IP:
	case HB_DROP_NOT_UDP:
	case HB_DROP_PORT:
	case HB_DROP_SOURCE:
		m->counts.other_frames++;
		return;
	case HB_DROP_IP_CHECKSUM:
	case HB_DROP_UDP_CHECKSUM:
		accuse(m, HB_VIOLATION_CHECKSUM, &nothing, "is refused: %s", hb_drop_name(drop));
		return;
	default:
		if (is_servers(m, frame, len))
			accuse(m, HB_VIOLATION_FRAME, &nothing, "is refused: %s",
				hb_drop_name(drop));
		else
			m->counts.other_frames++;
	}
}

bool
hb_match_read(struct hb_match *m, const uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_heard *h)
{
	enum hb_drop drop =
		hb_frame_parse_reply(frame, len, m->options.base_port, checked, &h->answer);

	if (HB_UNLIKELY(drop != HB_DROP_NONE)) {
		refuse(m, drop, frame, len);
		return false;
	}
	h->frame = frame;
	h->key = hb_shot_key(
		h->answer.target, h->answer.ipv6, h->answer.target_port, h->answer.payload);
	hb_match_prefetch(m, h->key);
	return true;
}

/* Whether the contract lets a seq be answered finally in these two ways. A user who has won is
 * never forgotten, and whoever hears QUOTA has won; what is EMPTY stays so. One who never won may
 * be forgotten, and then a repeat is a new draw; there is none in GRAB. */
static bool
may_differ(unsigned op, unsigned before, unsigned now)
{
	if (op > HB_OP_ANSWER || hb_status_gives(before) || before == HB_QUOTA)
		return false;
	return !(before == HB_EMPTY && hb_status_gives(now));
}

/* Holds a final answer against what the same seq was answered with before. */
static void
compare(struct hb_match *m, const struct wait *w, const struct hb_heard *h)
{
	unsigned status = heard_status(h);

	if (!is_final(status))
		return;
	for (uint64_t i = home(m, h->key); m->wait[i].key != 0; i = (i + 1) & m->mask) {
		const struct wait *o = &m->wait[i];

		if (o->key != h->key || o->state != WAIT_ANSWERED || !is_final(o->status) ||
			o->user != w->user)
			continue;
		if (o->status == status && o->mark == answer_mark(h))
			m->counts.repeated++;
		else if (may_differ(heard_op(h), o->status, status))
			m->counts.drawn_anew++;
		else
			accuse(m, HB_VIOLATION_DIFFERS, h,
				"answers finally what was answered %s before%s",
				hb_status_name(o->status),
				o->status == status ? ", with other bytes" : "");
		return;
	}
}

/* All that a reply is held against, for a request in whatever state. */
static void
judge(struct hb_match *m, const struct wait *w, const struct hb_heard *h)
{
	const struct kept *k = kept_of(m, w);

	judge_match(m, h, w);
	/* A final answer has taken the place of the packet's mark, and has its name in it. */
	if (w->state != WAIT_ANSWERED || !is_final(w->status))
		judge_packet(m, h, k != NULL ? k->packet : w->mark);
	if (HB_UNLIKELY(w->flags & (WAIT_REPEATS | WAIT_TRIED) || !is_open(w)) &&
		w->state != WAIT_FORGED)
		compare(m, w, h);
	if (hb_status_gives(heard_status(h)))
		judge_win(m, h, w);
}

/* Whether a client asks again, and when: then the request goes on. */
static bool
asks_again(struct hb_match *m, struct wait *w, const struct hb_heard *h, uint64_t now_ns)
{
	unsigned status = heard_status(h);
	struct kept *k = kept_of(m, w);

	if (k == NULL || k->tries > m->options.retries ||
		(status != HB_BUSY && status != HB_THROTTLED && status != HB_EARLY))
		return false;
	uint64_t due_ns = now_ns + hb_be32(h->answer.payload + 16) * 1000000ull;
	w->state = WAIT_AGAIN;
	set_due(w, due_ns);
	keeper_move(&m->keeper, w->mark, due_ns);
	return true;
}

/* A reply to something that nothing more was expected of. */
static void
hear_more(struct hb_match *m, struct wait *w, const struct hb_heard *h)
{
	if (w->state == WAIT_FORGED)
		accuse(m, HB_VIOLATION_FORGED, h,
			"answers a forged request in the name of user %llu",
			(unsigned long long)w->user);
	else if (w->state == WAIT_LOST)
		m->counts.late++;
	else if (w->flags & WAIT_TRIED)
		m->counts.again++;
	else
		accuse(m, HB_VIOLATION_UNASKED, h, "is one more than there were requests");
	judge(m, w, h);
	if (w->state != WAIT_FORGED && !is_open(w))
		note_answer(w, h);
}

/* A reply to a request that waits for it. */
static void
take(struct hb_match *m, struct wait *w, const struct hb_heard *h, uint64_t now_ns)
{
	uint64_t latency = now_ns > w->due_ns ? now_ns - w->due_ns : 0;

	/* The sweep, which may not have come by yet, makes no difference. */
	if (HB_UNLIKELY(latency > m->options.timeout_ns && kept_of(m, w) == NULL)) {
		lose(m, w, now_ns);
		hear_more(m, w, h);
		return;
	}
	judge(m, w, h);
	if (HB_UNLIKELY(heard_status(h) == HB_BUNDLE) && m->options.source != NULL)
		m->counts.passed_on +=
			hb_source_won(m->options.source, w->user, hb_be64(h->answer.payload + 8));
	if ((w->flags & WAIT_MEASURED) && w->state == WAIT_REPLY)
		hb_histogram_add(&m->latency[heard_status(h)], latency);
	if (!asks_again(m, w, h, now_ns))
		settle(m, w, h, now_ns);
}

void
hb_match_hear(struct hb_match *m, const struct hb_heard *h, uint64_t now_ns)
{
	if (!judge_alone(m, h))
		return;
	m->counts.replies[heard_status(h)]++;
	struct wait *w = find(m, h);
	if (HB_UNLIKELY(w == NULL && m->counts.forgotten != 0))
		/* There is no telling any more: a reply may take as long as it likes. */
		m->counts.late++;
	else if (HB_UNLIKELY(w == NULL))
		accuse(m, HB_VIOLATION_UNASKED, h, "answers nothing that waits for a reply");
	else if (HB_LIKELY(w->state == WAIT_REPLY) ||
		 /* The server wants to be asked later, but an earlier try is answered yet. */
		 (w->state == WAIT_AGAIN && (w->flags & WAIT_TRIED)))
		take(m, w, h, now_ns);
	else
		hear_more(m, w, h);
}

/* ---- time passes --------------------------------------------------------------------- */

/* Whether replies may still come to a row that isn't open. The contract sets them no limit. */
static bool
may_hear(const struct wait *w)
{
	return w->state == WAIT_LOST || (w->state == WAIT_ANSWERED && (w->flags & WAIT_TRIED));
}

/* How much room is wanted. */
enum want {
	WANT_NONE,
	WANT_SOME, /* there is little left */
	WANT_NOW,  /* there is none */
};

static enum want
wanted(const struct hb_match *m)
{
	if (!hb_match_room(m, HB_BURST))
		return WANT_NOW;
	return m->used > m->room / 4 * 3 ? WANT_SOME : WANT_NONE;
}

/* Whether a row has served its time. */
static bool
is_done(const struct hb_match *m, const struct wait *w, uint64_t now_ns, uint64_t settled_ns,
	enum want want)
{
	uint64_t age_ns = now_ns > w->due_ns ? now_ns - w->due_ns : 0;

	if (may_hear(w))
		return want != WANT_NONE && age_ns > 2 * m->options.timeout_ns;
	/* A repeat that was sent may still be on its way. */
	return age_ns > m->options.timeout_ns &&
	       (w->state == WAIT_FORGED || w->due_ns < settled_ns);
}

/* Looks at a row; true if it was taken out. */
static bool
sweep_row(struct hb_match *m, uint64_t i, uint64_t now_ns, uint64_t settled_ns, enum want want)
{
	struct wait *w = &m->wait[i];

	if (HB_LIKELY(w->key == 0))
		return false;
	if (is_open(w)) {
		/* What is kept has its time on the wheel. */
		if (w->due_ns + m->options.timeout_ns < now_ns && kept_of(m, w) == NULL)
			lose(m, w, now_ns);
		return false;
	}
	bool done = is_done(m, w, now_ns, settled_ns, want);
	if (!done && (want != WANT_NOW || w->state == WAIT_FORGED))
		return false;
	m->counts.pressed += !done && w->state == WAIT_ANSWERED;
	m->counts.forgotten += may_hear(w);
	erase(m, i);
	return true;
}

void
hb_match_sweep(struct hb_match *m, uint64_t now_ns, uint64_t settled_ns)
{
	uint64_t rows = m->mask + 1, pass_ns = m->options.timeout_ns / SWEEPS_A_TIMEOUT + 1;
	enum want want = wanted(m);
	double due = (double)(now_ns - m->swept_ns) / (double)pass_ns * (double)rows;
	uint64_t n = due > SWEEP_ROWS || want == WANT_NOW ? SWEEP_ROWS : (uint64_t)due;

	if (n == 0)
		return;
	m->swept_ns = now_ns;
	for (; n > 0; n--) {
		/* What moves up into the place of a row is looked at too. */
		while (sweep_row(m, m->cursor, now_ns, settled_ns, want))
			;
		m->cursor = (m->cursor + 1) & m->mask;
	}
}

/* The open wait whose frame is kept there. */
static struct wait *
wait_of(struct hb_match *m, uint32_t which)
{
	uint64_t key = m->keeper.kept[which].key;

	for (uint64_t i = home(m, key); m->wait[i].key != 0; i = (i + 1) & m->mask) {
		struct wait *w = &m->wait[i];

		if (w->key == key && w->mark == which && (w->flags & WAIT_KEPT) && is_open(w))
			return w;
	}
	return NULL;
}

bool
hb_match_repeats(const struct hb_match *m)
{
	return m->keeper.kept != NULL;
}

uint32_t
hb_match_again(struct hb_match *m, uint64_t now_ns, const uint8_t **frame, unsigned *queue)
{
	uint32_t which;

	while (hb_match_repeats(m) && (which = keeper_due(&m->keeper, now_ns)) != KEPT_NONE) {
		struct kept *k = &m->keeper.kept[which];
		struct wait *w = wait_of(m, which);

		if (k->tries > m->options.retries) {
			lose(m, w, now_ns);
			continue;
		}
		k->tries++;
		m->counts.retries++;
		w->state = WAIT_REPLY;
		w->flags |= WAIT_TRIED;
		keeper_move(&m->keeper, which, now_ns + m->options.timeout_ns);
		*frame = k->frame;
		*queue = k->queue;
		return k->bytes;
	}
	return 0;
}

uint64_t
hb_match_waiting(const struct hb_match *m)
{
	return m->waiting;
}

void
hb_match_give_up(struct hb_match *m)
{
	for (uint64_t i = 0; m->waiting > 0 && i <= m->mask; i++) {
		struct wait *w = &m->wait[i];

		if (w->key == 0 || !is_open(w))
			continue;
		if (w->state == WAIT_REPLY) {
			lose(m, w, w->due_ns);
			continue;
		}
		release(m, w);
		m->waiting--;
		m->counts.answered++;
		m->counts.told_to_wait++;
		w->state = WAIT_ANSWERED;
	}
}

/* ---- figures ------------------------------------------------------------------------- */

const struct hb_match_counts *
hb_match_counts(const struct hb_match *m)
{
	return &m->counts;
}

const struct hb_histogram *
hb_match_latency(const struct hb_match *m, unsigned status)
{
	return &m->latency[status];
}

const char *
hb_match_first(const struct hb_match *m)
{
	return m->first.text;
}

uint64_t
hb_match_violations(const struct hb_match *m)
{
	uint64_t n = 0;

	for (unsigned v = 0; v < HB_VIOLATIONS; v++)
		n += m->counts.violations[v];
	return n;
}

/* ---- opening ------------------------------------------------------------------------- */

/* The power of two that is at least one and a half times n. */
static uint64_t
table_rows(uint64_t n)
{
	uint64_t rows = 1024;

	while (rows < n + n / 2)
		rows *= 2;
	return rows;
}

static int
open_memory(struct hb_match *m, struct hb_error *e)
{
	const struct hb_match_options *o = &m->options;
	uint64_t rows = table_rows(o->requests), wins = table_rows(o->wins);
	int err;

	if ((err = hb_mem_alloc(&m->mem, rows * sizeof(*m->wait),
		     "requests that wait for a reply (--outstanding)", e)) != 0 ||
		(err = hb_mem_alloc(&m->win_mem, wins * sizeof(*m->win),
			 "envelopes that were won (--wins)", e)) != 0 ||
		(err = hb_mem_alloc(
			 &m->latency_mem, HB_STATUSES * sizeof(*m->latency), "latencies", e)) != 0)
		return err;
	m->wait = m->mem.addr;
	m->mask = rows - 1;
	m->room = rows / 3 * 2;
	m->win = m->win_mem.addr;
	m->win_mask = wins - 1;
	m->latency = m->latency_mem.addr;
	return o->retries == 0 ? 0 : keeper_open(&m->keeper, m->room, e);
}

int
hb_match_open(struct hb_match **out, const struct hb_match_options *o, struct hb_error *e)
{
	struct hb_match *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return hb_fail(e, ENOMEM, "no memory for a match of requests and replies");
	m->options = *o;
	int err = open_memory(m, e);
	if (err != 0) {
		hb_match_close(m);
		return err;
	}
	*out = m;
	return 0;
}

void
hb_match_close(struct hb_match *m)
{
	if (m == NULL)
		return;
	keeper_close(&m->keeper);
	hb_mem_free(&m->latency_mem);
	hb_mem_free(&m->win_mem);
	hb_mem_free(&m->mem);
	free(m);
}
