/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was sent and what came of it: a table in one piece of memory, open addressing, at most two
 * thirds full. A request that nothing more is to be expected of leaves it at once, so that the part
 * in use stays as small as the network and the server are fast.
 */
#include "match.h"

#include <errno.h>
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

/* Which of two of the same key a reply is for: one that waits, the latest; else one that was
 * answered and tried more than once; else one that was given up; else whichever. */
static bool
better(const struct wait *a, const struct wait *b)
{
	static const uint8_t rank[] = {
		[WAIT_REPLY] = 5,
		[WAIT_AGAIN] = 4,
		[WAIT_LOST] = 2,
		[WAIT_ANSWERED] = 1,
		[WAIT_FORGED] = 0,
	};
	unsigned ra = rank[a->state], rb = rank[b->state];

	ra += a->state == WAIT_ANSWERED && (a->flags & WAIT_TRIED) ? 2 : 0;
	rb += b->state == WAIT_ANSWERED && (b->flags & WAIT_TRIED) ? 2 : 0;
	return ra != rb ? ra > rb : a->due_ns > b->due_ns;
}

static struct wait *
find(struct hb_match *m, uint64_t key)
{
	struct wait *best = NULL;

	for (uint64_t i = home(m, key); m->wait[i].key != 0; i = (i + 1) & m->mask) {
		struct wait *w = &m->wait[i];

		if (w->key != key)
			continue;
		if (best == NULL || better(w, best))
			best = w;
		if (HB_LIKELY(w->state == WAIT_REPLY && !(w->flags & WAIT_REPEATS)))
			break;
	}
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

static bool
is_measured(const struct hb_match *m, const struct wait *w)
{
	return w->due_ns >= m->options.warm_up_ns;
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
		.due_ns = due_ns & DUE_MAX,
		.port = shot->port,
		.mark = shot->packet,
		.epoch = shot->epoch,
		.state = forged ? WAIT_FORGED : WAIT_REPLY,
		.flags = shot->flags & HB_SHOT_REPEATS ? WAIT_REPEATS : 0,
		.route = shot->route,
	};
	if (HB_UNLIKELY(forged)) {
		m->counts.forged++;
		return;
	}
	m->counts.requests++;
	m->waiting++;
	m->counts.measured += is_measured(m, w);
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

static void
release(struct hb_match *m, const struct wait *w)
{
	if (kept_of(m, w) != NULL)
		keeper_drop(&m->keeper, w->mark);
}

/* Given up. The row stays a while, so that a late reply is known for one. */
static void
lose(struct hb_match *m, struct wait *w)
{
	release(m, w);
	m->counts.lost++;
	m->counts.measured_lost += is_measured(m, w);
	m->waiting--;
	w->state = WAIT_LOST;
}

/* A reply that ends its request. */
static void
settle(struct hb_match *m, struct wait *w, const struct hb_heard *h)
{
	release(m, w);
	m->counts.answered++;
	m->waiting--;
	if (HB_LIKELY((w->flags & (WAIT_REPEATS | WAIT_TRIED)) == 0)) {
		erase(m, (uint64_t)(w - m->wait));
		return;
	}
	w->state = WAIT_ANSWERED;
	w->status = (uint8_t)heard_status(h);
	w->mark = answer_mark(h);
}

/* ---- hearing ------------------------------------------------------------------------- */

/* What a frame that can't be read is. Those that are no replies are nobody's fault. */
static void
refuse(struct hb_match *m, enum hb_drop drop)
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
		accuse(m, HB_VIOLATION_FRAME, &nothing, "is refused: %s", hb_drop_name(drop));
	}
}

bool
hb_match_read(struct hb_match *m, const uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_heard *h)
{
	enum hb_drop drop =
		hb_frame_parse_reply(frame, len, m->options.base_port, checked, &h->answer);

	if (HB_UNLIKELY(drop != HB_DROP_NONE)) {
		refuse(m, drop);
		return false;
	}
	h->frame = frame;
	h->key = hb_shot_key(
		h->answer.target, h->answer.ipv6, h->answer.target_port, h->answer.payload);
	hb_match_prefetch(m, h->key);
	return true;
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
		else
			accuse(m, HB_VIOLATION_DIFFERS, h,
				"answers finally what was answered %s before%s",
				hb_status_name(o->status),
				o->status == status ? ", with other bytes" : "");
		return;
	}
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
	w->due_ns = due_ns & DUE_MAX;
	keeper_move(&m->keeper, w->mark, due_ns);
	return true;
}

/* A reply to a request that waits for it. */
static void
take(struct hb_match *m, struct wait *w, const struct hb_heard *h, uint64_t now_ns)
{
	uint64_t latency = now_ns > w->due_ns ? now_ns - w->due_ns : 0;
	struct kept *k = kept_of(m, w);

	/* The sweep, which may not have come by yet, makes no difference. */
	if (HB_UNLIKELY(latency > m->options.timeout_ns && k == NULL)) {
		lose(m, w);
		m->counts.late++;
		return;
	}
	judge_match(m, h, w, k != NULL ? k->packet : w->mark);
	if (HB_UNLIKELY(w->flags & (WAIT_REPEATS | WAIT_TRIED)))
		compare(m, w, h);
	if (hb_status_gives(heard_status(h)))
		judge_win(m, h, w);
	if (is_measured(m, w) && w->state == WAIT_REPLY)
		hb_histogram_add(&m->latency[heard_status(h)], latency);
	if (!asks_again(m, w, h, now_ns))
		settle(m, w, h);
}

/* A reply to something that nothing more was expected of. */
static void
hear_more(struct hb_match *m, struct wait *w, const struct hb_heard *h)
{
	if (w->state == WAIT_FORGED) {
		accuse(m, HB_VIOLATION_FORGED, h,
			"answers a forged request in the name of user %llu",
			(unsigned long long)w->user);
		if (hb_status_gives(heard_status(h)))
			judge_match(m, h, w, w->mark);
		return;
	}
	if (w->state == WAIT_LOST)
		m->counts.late++;
	else if (w->flags & WAIT_TRIED)
		m->counts.again++;
	else
		accuse(m, HB_VIOLATION_UNASKED, h, "is one more than there were requests");
	compare(m, w, h);
	if (hb_status_gives(heard_status(h)))
		judge_win(m, h, w);
}

void
hb_match_hear(struct hb_match *m, const struct hb_heard *h, uint64_t now_ns)
{
	if (!judge_alone(m, h))
		return;
	m->counts.replies[heard_status(h)]++;
	struct wait *w = find(m, h->key);
	if (HB_UNLIKELY(w == NULL))
		accuse(m, HB_VIOLATION_UNASKED, h, "answers nothing that waits for a reply");
	else if (HB_LIKELY(w->state == WAIT_REPLY) ||
		 /* The server wants to be asked later, but an earlier try is answered yet. */
		 (w->state == WAIT_AGAIN && (w->flags & WAIT_TRIED)))
		take(m, w, h, now_ns);
	else
		hear_more(m, w, h);
}

/* ---- time passes --------------------------------------------------------------------- */

/* Whether a row has served its time. */
static bool
may_forget(const struct hb_match *m, const struct wait *w, uint64_t now_ns, uint64_t settled_ns)
{
	uint64_t age_ns = now_ns > w->due_ns ? now_ns - w->due_ns : 0;
	bool old = age_ns > m->options.timeout_ns;

	if (w->state == WAIT_LOST)
		return age_ns > 2 * m->options.timeout_ns;
	/* A repeat that was sent may still be on its way. */
	return old && (w->state == WAIT_FORGED || w->due_ns < settled_ns);
}

/* Looks at a row; true if it was taken out. */
static bool
sweep_row(struct hb_match *m, uint64_t i, uint64_t now_ns, uint64_t settled_ns, bool pressed)
{
	struct wait *w = &m->wait[i];

	if (HB_LIKELY(w->key == 0))
		return false;
	if (is_open(w)) {
		/* What is kept has its time on the wheel. */
		if (w->due_ns + m->options.timeout_ns < now_ns && kept_of(m, w) == NULL)
			lose(m, w);
		return false;
	}
	if (may_forget(m, w, now_ns, settled_ns)) {
		erase(m, i);
		return true;
	}
	if (pressed && w->state == WAIT_ANSWERED) {
		m->counts.pressed++;
		erase(m, i);
		return true;
	}
	return false;
}

void
hb_match_sweep(struct hb_match *m, uint64_t now_ns, uint64_t settled_ns)
{
	uint64_t rows = m->mask + 1, pass_ns = m->options.timeout_ns / SWEEPS_A_TIMEOUT + 1;
	bool pressed = !hb_match_room(m, HB_BURST);
	double due = (double)(now_ns - m->swept_ns) / (double)pass_ns * (double)rows;
	uint64_t n = due > SWEEP_ROWS || pressed ? SWEEP_ROWS : (uint64_t)due;

	if (n == 0)
		return;
	m->swept_ns = now_ns;
	for (; n > 0; n--) {
		/* What moves up into the place of a row is looked at too. */
		while (sweep_row(m, m->cursor, now_ns, settled_ns, pressed))
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
			lose(m, w);
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
		if (m->wait[i].key != 0 && is_open(&m->wait[i]))
			lose(m, &m->wait[i]);
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
