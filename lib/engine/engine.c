/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine_internal.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

#define BUSY_WAIT_MS ENGINE_BUSY_WAIT_MS

/* The set of barred users: at most half full. */
#define DENIED_SLOTS (2 * HB_DENIED_MAX)

#define SECOND_US 1000000ull

/* How far a clock may step back and be forgiven. */
#define CLOCK_STEP_MS 60000u

/* ---- one request's decision ---------------------------------------------------------- */

static inline void
answer(struct hb_reply *out, enum hb_status status, uint32_t value)
{
	*out = (struct hb_reply){.status = (uint8_t)status, .value = value};
}

static uint32_t
clamp_ms(uint64_t us)
{
	uint64_t ms = (us + 999) / 1000;

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static bool
is_denied(const struct hb_engine *e, uint64_t user)
{
	if (HB_LIKELY(e->denied_count == 0))
		return false;
	for (uint32_t i = (uint32_t)hb_mix64(user, 0x9E3779B97F4A7C15ULL) & e->denied_mask;
		e->denied[i] != 0; i = (i + 1) & e->denied_mask) {
		if (e->denied[i] == user)
			return true;
	}
	return false;
}

/* Out of the way of those that look at entries of first fundings. */
static __attribute__((noinline, cold)) struct hb_envelope *
entry_of_top_up(const struct hb_engine_campaign *ec, uint32_t number)
{
	if (ec->moved != NULL && number >= HB_MOVED_FIRST)
		return &hb_moved_win(ec->moved, number)->envelope;
	return hb_tranches_entry(ec->tranches, ec->topped, number);
}

/* The entry of an envelope, of which this core was told. */
static inline struct hb_envelope *
entry_of(const struct hb_engine_campaign *ec, uint32_t number)
{
	if (HB_LIKELY(number <= ec->first))
		return &ec->envelopes[number - 1];
	return entry_of_top_up(ec, number);
}

/* The id of such an envelope on the wire: a block's has another number there than here. */
static __attribute__((noinline, cold)) uint64_t
id_of_top_up(const struct hb_engine_campaign *ec, uint16_t campaign, uint32_t number)
{
	const struct hb_tranches *t = ec->tranches;

	if (ec->moved != NULL && number >= HB_MOVED_FIRST)
		return hb_moved_win(ec->moved, number)->id;
	return hb_envelope_id(campaign, number + t->shift[hb_tranches_find(t, ec->topped, number)]);
}

static inline uint64_t
id_of(const struct hb_engine_campaign *ec, uint16_t campaign, uint32_t number)
{
	if (HB_LIKELY(number <= ec->first))
		return hb_envelope_id(campaign, number);
	return id_of_top_up(ec, campaign, number);
}

/* Where the time of a user's last request stands: a winner's detail names the envelope. */
static inline uint32_t *
asked_of(const struct hb_engine *e, const struct hb_engine_campaign *ec, const struct hb_user *row)
{
	uint32_t *detail = hb_users_detail(&e->users, row);

	return row->wins == 0 ? detail : &entry_of(ec, *detail)->asked_ms;
}

/* Milliseconds until the user may ask again, 0 if now. */
static uint32_t
throttled(const struct hb_engine *e, const struct hb_campaign *c, const struct hb_user *row,
	uint64_t now_us)
{
	if (HB_LIKELY(c->least_interval_ms == 0) || row == NULL || row->outcome == HB_OUTCOME_NONE)
		return 0;
	uint32_t since = (uint32_t)(now_us / 1000) - *asked_of(e, &e->campaign[c->slot], row);
	/* A clock may step back a little: that is no time passed, not 49 days. */
	if (since > -CLOCK_STEP_MS)
		since = 0;
	return since < c->least_interval_ms ? c->least_interval_ms - since : 0;
}

/* What keeps a new request from being answered finally: the status, or 0. */
static unsigned
gate(const struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	const struct hb_user *row, uint32_t *wait)
{
	*wait = 0;
	if (HB_UNLIKELY(is_denied(e, r->user)))
		return HB_DENIED;
	if (HB_UNLIKELY(r->now_us < c->opens_us)) {
		*wait = clamp_ms(c->opens_us - r->now_us);
		return HB_EARLY;
	}
	if (HB_UNLIKELY(r->now_us >= c->closes_us))
		return HB_CLOSED;
	if (HB_UNLIKELY(c->paused)) {
		*wait = c->wait_ms;
		return HB_BUSY;
	}
	*wait = throttled(e, c, row, r->now_us);
	return HB_UNLIKELY(*wait != 0) ? HB_THROTTLED : 0;
}

/* Takes a place in the FIFO for a reply that must wait, if there is one left. */
static inline bool
promise_room(struct hb_engine *e)
{
	if (HB_UNLIKELY(e->promised >= hb_park_room(&e->park)))
		return false;
	e->promised++;
	return true;
}

/* Holds a reply back until all the wins that were issued so far are durable, if `durable` doesn't
 * say that the ones it rests on are: what a crash would take back must not have been told. */
static inline __attribute__((always_inline)) void
answer_when_durable(struct hb_engine *e, struct hb_reply *out, struct hb_reply reply, bool durable)
{
	reply.ticket = 0;
	if (HB_UNLIKELY(!durable)) {
		if (!promise_room(e)) {
			answer(out, HB_BUSY, BUSY_WAIT_MS);
			return;
		}
		reply.ticket = e->issued;
	}
	out->id = reply.id;
	out->ticket = reply.ticket;
	out->value = reply.value;
	out->status = reply.status;
}

/* Whether the record of a given envelope is durable. */
static bool
gift_durable(uint64_t durable, const struct hb_envelope *v)
{
	return (int32_t)((uint32_t)durable - v->ticket) >= 0;
}

static inline struct hb_reply
reply_of_win(const struct hb_campaign *c, uint32_t number, const struct hb_envelope *v)
{
	return (struct hb_reply){
		.status = HB_WIN, .id = hb_envelope_id(c->id, number), .value = v->amount};
}

/* WIN again, or the QUOTA of a winner, whose last envelope is one of a top-up. */
static __attribute__((noinline, cold)) void
tell_top_up(struct hb_engine *e, const struct hb_campaign *c, enum hb_outcome outcome,
	uint32_t number, struct hb_reply *out)
{
	const struct hb_engine_campaign *ec = &e->campaign[c->slot];
	const struct hb_envelope *v = entry_of(ec, number);
	struct hb_reply reply = {.status = HB_QUOTA};

	if (outcome == HB_OUTCOME_WIN)
		reply = (struct hb_reply){.status = HB_WIN,
			.id = id_of_top_up(ec, c->id, number),
			.value = v->amount};

	answer_when_durable(e, out, reply, gift_durable(e->durable, v));
}

/* The same, or the last envelope is one of the first funding. */
static inline void
tell_gift(struct hb_engine *e, const struct hb_campaign *c, const struct hb_user *row,
	enum hb_outcome outcome, struct hb_reply *out)
{
	const struct hb_engine_campaign *ec = &e->campaign[c->slot];
	uint32_t number = *hb_users_detail(&e->users, row);
	const struct hb_envelope *v = &ec->envelopes[number - 1];

	/* The last thing to be done, so that nobody else pays for the call. */
	if (HB_UNLIKELY(number > ec->first))
		tell_top_up(e, c, outcome, number, out);
	else if (outcome == HB_OUTCOME_WIN)
		answer_when_durable(
			e, out, reply_of_win(c, number, v), gift_durable(e->durable, v));
	else
		answer_when_durable(
			e, out, (struct hb_reply){.status = HB_QUOTA}, gift_durable(e->durable, v));
}

/* BUNDLE again. */
static __attribute__((noinline, cold)) void
tell_bundle(struct hb_engine *e, const struct hb_campaign *c, const struct hb_user *row,
	struct hb_reply *out)
{
	uint32_t number = *hb_users_detail(&e->users, row);
	const struct hb_engine_campaign *ec = &e->campaign[c->slot];
	const struct hb_envelope *v = entry_of(ec, number);
	bool moved = ec->moved != NULL && number >= HB_MOVED_FIRST;

	answer_when_durable(e, out,
		(struct hb_reply){.status = HB_BUNDLE,
			.id = moved ? id_of_top_up(ec, c->id, number)
				    : engine_bundle_id(e, c->id, number, row->user),
			.value = v->amount},
		gift_durable(e->durable, v));
}

/* The answer that a user has had for this seq, now or again. */
static void
tell(struct hb_engine *e, const struct hb_campaign *c, const struct hb_user *row,
	enum hb_outcome outcome, struct hb_reply *out)
{
	/* What clients repeat most. */
	if (outcome == HB_OUTCOME_WIN) {
		tell_gift(e, c, row, HB_OUTCOME_WIN, out);
		return;
	}
	switch (outcome) {
	case HB_OUTCOME_QUOTA:
		tell_gift(e, c, row, HB_OUTCOME_QUOTA, out);
		break;
	case HB_OUTCOME_EMPTY:
		/* Where the core was told so, the control core had them all in the journal. */
		answer_when_durable(e, out, (struct hb_reply){.status = HB_EMPTY},
			!e->campaign[c->slot].was_whole ||
				e->durable >= e->campaign[c->slot].last_ticket);
		break;
	case HB_OUTCOME_WRONG:
		answer(out, HB_WRONG, 0);
		break;
	case HB_OUTCOME_BUNDLE:
		tell_bundle(e, c, row, out);
		break;
	default:
		answer(out, HB_MISS, c->wait_ms);
		break;
	}
}

/* Brings a campaign's tokens up to date and says whether there is one. A worker has its share of
 * the rate: a token costs it as many times more as there are workers. At most a tenth of a second's
 * release can be saved up. */
static bool
has_token(const struct hb_engine *e, struct hb_engine_campaign *ec, const struct hb_campaign *c,
	uint64_t now_us)
{
	uint64_t cost = SECOND_US * e->workers, most = c->release_per_second * (SECOND_US / 10);

	if (c->release_per_second == 0)
		return true;
	if (most < cost)
		most = cost;
	if (ec->tokens_us == 0)
		ec->tokens = cost;
	else if (now_us > ec->tokens_us) {
		uint64_t passed = now_us - ec->tokens_us;

		/* Above that it is full whatever the rate, and the product stays within 64 bits. */
		if (passed > SECOND_US * e->workers)
			passed = SECOND_US * e->workers;
		ec->tokens += passed * c->release_per_second;
	}
	if (ec->tokens > most)
		ec->tokens = most;
	if (now_us > ec->tokens_us)
		ec->tokens_us = now_us;
	return ec->tokens >= cost;
}

/* A draw is a keyed hash of who asks for what and for which time: repeating the trace, on any
 * number of cores, repeats the draw. */
static inline bool
draw_wins(const struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r)
{
	uint64_t what = (uint64_t)c->id << 32 | r->seq;
	uint64_t who = hb_mix64(r->user ^ e->draw_key[0], e->draw_key[1] | 1);

	return hb_mix64(who ^ e->draw_key[2], what * 0x9E3779B97F4A7C15ULL ^ e->draw_key[3]) >> 1 <
	       c->odds;
}

/* Whether an empty stock means an empty campaign: a core that has all there is knows, unless more
 * is on its way; others are told. */
static bool
all_given(const struct hb_engine *e, unsigned slot)
{
	uint8_t drained = __atomic_load_n(&e->link->drained[slot], __ATOMIC_ACQUIRE);

	return drained == HB_DRAINED_ALL || (drained == HB_DRAINED_NOT && e->campaign[slot].whole);
}

/* Whether what is left of a shared budget may not be given any more, by the clock: until it may
 * again, nobody here knows what is left of it anywhere. */
static __attribute__((noinline, cold)) bool
term_over(const struct hb_engine *e)
{
	const struct hb_term *t = e->link->term;

	return t == NULL || t->now_ns() >= __atomic_load_n(&t->until_ns, __ATOMIC_ACQUIRE);
}

/* What a draw comes to. BUSY where something that will be there soon is not there now. */
static enum hb_outcome
draw(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	const struct hb_user *row, bool *busy)
{
	struct hb_engine_campaign *ec = &e->campaign[c->slot];

	*busy = false;
	if (c->answered && r->arg != c->answer)
		return HB_OUTCOME_WRONG;
	if (row != NULL && row->wins >= c->wins_per_user)
		return HB_OUTCOME_QUOTA;
	if (HB_UNLIKELY(ec->stock.count == 0) && all_given(e, c->slot)) {
		*busy = c->leased && term_over(e);
		return HB_OUTCOME_EMPTY;
	}
	if (HB_LIKELY(!draw_wins(e, c, r)) || !has_token(e, ec, c, r->now_us))
		return HB_OUTCOME_MISS;
	if (HB_UNLIKELY(ec->stock.count == 0)) {
		/* Others have envelopes: the control core sees this and sends some. Nobody waits
		 * for those of other hosts. */
		hb_count(&e->link->books[c->slot].dry, 1);
		e->dry_slot = c->leased ? e->dry_slot : c->slot + 1;
		*busy = true;
	}
	if (HB_UNLIKELY(e->records_room == 0 || !e->giving))
		*busy = true;
	if (HB_UNLIKELY(c->leased) && term_over(e))
		*busy = true;
	return HB_OUTCOME_WIN;
}

/* Takes an envelope out of the stock for the user. Everything that it needs has been made sure of.
 */
static inline __attribute__((always_inline)) void
give(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, struct hb_reply *out)
{
	struct hb_engine_campaign *ec = &e->campaign[c->slot];
	struct hb_book *book = &e->link->books[c->slot];
	uint32_t number = hb_stock_pop(&ec->stock);
	struct hb_envelope *v = entry_of(ec, number);
	uint64_t id = id_of(ec, c->id, number);

	/* Numbers go up: the next winner's entry. */
	__builtin_prefetch(v + HB_CACHE_LINE / sizeof(*v), 1);
	ec->tokens -= c->release_per_second == 0 ? 0 : SECOND_US * e->workers;
	e->issued++;
	e->records_room--;
	ec->last_ticket = e->issued;
	v->ticket = (uint32_t)e->issued;
	v->asked_ms = (uint32_t)(r->now_us / 1000);
	hb_count(&e->users.winners, row->wins == 0);
	row->wins++;
	row->outcome = HB_OUTCOME_WIN;
	row->seq = r->seq;
	*hb_users_detail(&e->users, row) = number;
	e->record[e->new_records++] = (struct hb_record){
		.type = HB_RECORD_WIN,
		.op = r->op,
		.campaign = c->id,
		.seq = r->seq,
		.user = r->user,
		.id = id,
		.amount = v->amount,
		.time_us = r->now_us,
	};
	hb_admission_told(&e->admission, r->user, c->id, r->seq);
	hb_count(&book->given_fen, v->amount);
	hb_count(&book->given, 1);
	hb_count(&book->stock, -1ull);
	hb_count(&e->stats->wins, 1);
	hb_count(&e->stats->fen, v->amount);
	*out = (struct hb_reply){
		.status = HB_WIN, .id = id, .value = v->amount, .ticket = e->issued};
}

/* Writes down a final answer that gave nothing. One that finds no row is forgotten at once. */
static void
remember(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, enum hb_outcome outcome)
{
	if (row == NULL)
		return;
	row->seq = r->seq;
	row->outcome = outcome & 7;
	if (c->least_interval_ms != 0)
		*asked_of(e, &e->campaign[c->slot], row) = (uint32_t)(r->now_us / 1000);
}

/* A final answer that gives nothing: remembered only if it is told, since BUSY leaves the seq
 * unused. */
static void
conclude(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, uint64_t hash, enum hb_outcome outcome, struct hb_reply *out)
{
	if (HB_LIKELY(outcome == HB_OUTCOME_MISS)) {
		answer(out, HB_MISS, c->wait_ms);
	} else {
		tell(e, c, row, outcome, out);
		if (HB_UNLIKELY(out->status == HB_BUSY))
			return;
	}
	remember(e, c, r, hb_users_take(&e->users, row, hash, r->campaign, r->user), outcome);
}

/* A win of a campaign of bundles: it must find room for its packet too. */
static __attribute__((noinline, cold)) void
conclude_bundle(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, uint64_t hash, struct hb_reply *out)
{
	bool room = engine_bundle_room(e, c, r->now_us) && promise_room(e);

	if (room)
		row = hb_users_take(&e->users, row, hash, r->campaign, r->user);
	if (!room || row == NULL) {
		answer(out, HB_BUSY, BUSY_WAIT_MS);
		return;
	}
	give(e, c, r, row, out);
	uint32_t number = *hb_users_detail(&e->users, row);

	/* Its two records become durable together: what rests on the first rests on both. */
	if (engine_bundle(e, c, r, number, out))
		row->outcome = HB_OUTCOME_BUNDLE;
}

/* A win: its reply must have a place to wait, and its user a row to be remembered by, before
 * anything is given. */
static void
conclude_win(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, uint64_t hash, struct hb_reply *out)
{
	if (HB_UNLIKELY(c->bundle.shares != 0)) {
		conclude_bundle(e, c, r, row, hash, out);
		return;
	}
	bool room = promise_room(e);

	if (HB_LIKELY(room))
		row = hb_users_take(&e->users, row, hash, r->campaign, r->user);
	if (HB_LIKELY(room && row != NULL))
		give(e, c, r, row, out);
	else
		answer(out, HB_BUSY, BUSY_WAIT_MS);
}

/* Whether a request was answered before, or one after it: then it is answered now. */
static inline bool
answered_before(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	const struct hb_user *row, struct hb_reply *out)
{
	if (row == NULL || r->seq > row->seq)
		return false;
	if (r->seq == row->seq)
		tell(e, c, row, row->outcome, out);
	else
		answer(out, HB_STALE, 0);
	return true;
}

/* Decides a draw of a campaign that fits the op. row: where the user stands or would stand. */
static __attribute__((noinline)) void
decide_in(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, uint64_t hash, struct hb_reply *out)
{
	unsigned status;
	uint32_t wait;
	bool busy;

	if (answered_before(e, c, r, row, out))
		return;
	if (HB_UNLIKELY((status = gate(e, c, r, row, &wait)) != 0)) {
		answer(out, (enum hb_status)status, wait);
		return;
	}
	enum hb_outcome outcome = draw(e, c, r, row, &busy);
	if (HB_UNLIKELY(busy))
		answer(out, HB_BUSY, BUSY_WAIT_MS);
	else if (HB_LIKELY(outcome != HB_OUTCOME_WIN))
		conclude(e, c, r, row, hash, outcome, out);
	else
		conclude_win(e, c, r, row, hash, out);
}

static void
decide_draw(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out)
{
	const struct hb_campaign *c = hb_snapshot_campaign(s, r->campaign);
	uint64_t hash = hb_users_hash(&e->users, r->campaign, r->user);

	if (HB_UNLIKELY(c == NULL || c->answered != (r->op == HB_OP_ANSWER)))
		answer(out, is_denied(e, r->user) ? HB_DENIED : HB_UNKNOWN, 0);
	else
		decide_in(e, c, r, hb_users_look(&e->users, hash, r->campaign, r->user), hash, out);
}

/* While the daemon drains, what was told is told again and nothing new is given. */
static __attribute__((noinline, cold)) void
decide_draining(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out)
{
	const struct hb_campaign *c = hb_snapshot_campaign(s, r->campaign);
	uint64_t hash = hb_users_hash(&e->users, r->campaign, r->user);

	if (c == NULL || c->answered != (r->op == HB_OP_ANSWER))
		answer(out, is_denied(e, r->user) ? HB_DENIED : HB_UNKNOWN, 0);
	else if (answered_before(
			 e, c, r, hb_users_find(&e->users, hash, r->campaign, r->user), out))
		return;
	else if (is_denied(e, r->user))
		answer(out, HB_DENIED, 0);
	else
		answer(out, HB_BUSY, c->wait_ms);
}

/* ---- for packet.c -------------------------------------------------------------------- */

bool
engine_is_denied(const struct hb_engine *e, uint64_t user)
{
	return is_denied(e, user);
}

bool
engine_promise_room(struct hb_engine *e)
{
	return promise_room(e);
}

void
engine_answer_when_durable(
	struct hb_engine *e, struct hb_reply *out, struct hb_reply reply, bool durable)
{
	answer_when_durable(e, out, reply, durable);
}

/* ---- a burst ------------------------------------------------------------------------- */

/* What the requests of a burst nearly always share, looked up once. */
struct common {
	const struct hb_campaign *c;
	uint64_t now_us;
	uint32_t campaign; /* 65536: nothing is known yet */
	bool easy;	   /* a new shake at that time would pass the gate, whoever asks */
};

static __attribute__((noinline)) void
look_up(struct common *k, const struct hb_engine *e, const struct hb_snapshot *s,
	const struct hb_request *r)
{
	uint32_t wait;

	k->c = hb_snapshot_campaign(s, r->campaign);
	k->campaign = r->campaign;
	k->now_us = r->now_us;
	k->easy = k->c != NULL && !k->c->answered && e->denied_count == 0 &&
		  k->c->least_interval_ms == 0 && gate(e, k->c, r, NULL, &wait) == 0;
}

/* What nearly every request comes to: a shake that is let through the gate, was never answered
 * before, and draws nothing. Decides it and returns true; or leaves everything as it is, for
 * decide_in(), which would decide it in the same way. */
static inline __attribute__((always_inline)) bool
misses(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_user *row, uint64_t hash, struct hb_reply *out)
{
	/* In a free row everything is 0. */
	if (HB_UNLIKELY(row == NULL) || HB_UNLIKELY(r->seq <= row->seq) ||
		HB_UNLIKELY(row->wins >= c->wins_per_user) ||
		HB_UNLIKELY(e->campaign[c->slot].stock.count == 0) ||
		HB_UNLIKELY(draw_wins(e, c, r)))
		return false;
	row = hb_users_take(&e->users, row, hash, r->campaign, r->user);
	if (HB_LIKELY(row != NULL)) {
		row->seq = r->seq;
		row->outcome = HB_OUTCOME_MISS;
	}
	answer(out, HB_MISS, c->wait_ms);
	return true;
}

/* Decides a shake that the gate lets through. Returns whether it drew nothing. */
static inline __attribute__((always_inline)) bool
decide_easy(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	struct hb_reply *out)
{
	uint64_t hash = hb_users_hash(&e->users, r->campaign, r->user);
	struct hb_user *row = hb_users_look(&e->users, hash, r->campaign, r->user);

	if (HB_LIKELY(misses(e, c, r, row, hash, out)))
		return true;
	decide_in(e, c, r, row, hash, out);
	return false;
}

/* Fetches what only a winner needs: the detail beside the row, and what is told of wins. */
static inline void
expect_wins(const struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	const uint64_t *hash, unsigned n)
{
	const struct hb_campaign *c = NULL;
	uint32_t campaign = UINT16_MAX + 1;

	for (unsigned i = 0; i < n; i++) {
		if (HB_UNLIKELY(r[i].campaign != campaign)) {
			campaign = r[i].campaign;
			c = hb_snapshot_campaign(s, r[i].campaign);
		}
		if (HB_LIKELY(c == NULL || !draw_wins(e, c, &r[i])))
			continue;
		__builtin_prefetch(
			hb_users_detail(&e->users, hb_users_home(&e->users, hash[i])), 1);
		hb_admission_expect(&e->admission, r[i].user, r[i].campaign, r[i].seq);
	}
}

void
hb_engine_expect(const struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	unsigned n)
{
	uint64_t hash[HB_BURST];

	for (unsigned i = 0; i < n; i++) {
		hash[i] = hb_users_hash(&e->users, r[i].campaign, r[i].user);
		hb_users_prefetch(&e->users, hash[i]);
	}
	if (HB_UNLIKELY(s->throttles)) {
		for (unsigned i = 0; i < n; i++)
			__builtin_prefetch(
				hb_users_detail(&e->users, hb_users_home(&e->users, hash[i])), 1);
	}
	expect_wins(e, s, r, hash, n);
}

static void
begin_burst(struct hb_engine *e)
{
	e->promised = 0;
	e->expected = false;
	e->durable = __atomic_load_n(&e->link->durable, __ATOMIC_ACQUIRE);
	e->giving = __atomic_load_n(&e->link->giving, __ATOMIC_RELAXED);
	/* Each request may make as many records as a bundle does. */
	if (HB_UNLIKELY(e->records_room < HB_COUNT_OF(e->record)))
		e->records_room = rte_ring_free_count(e->link->records);
}

bool
hb_engine_dry(struct hb_engine *e)
{
	unsigned slot = e->dry_slot - 1;

	if (HB_LIKELY(e->dry_slot == 0))
		return false;
	if (e->campaign[slot].stock.count == 0 && !all_given(e, slot))
		return true;
	e->dry_slot = 0;
	return false;
}

bool
hb_engine_ready(struct hb_engine *e)
{
	if (e->records_room < HB_COUNT_OF(e->record))
		e->records_room = rte_ring_free_count(e->link->records);
	return e->records_room >= HB_COUNT_OF(e->record) && hb_park_room(&e->park) >= HB_BURST;
}

void
engine_send_records(struct hb_engine *e)
{
	if (e->new_records == 0)
		return;
	rte_ring_sp_enqueue_bulk_elem(
		e->link->records, e->record, sizeof(e->record[0]), e->new_records, NULL);
	e->new_records = 0;
	/* Where the next ones will stand was read by the control core last. */
	const struct rte_ring *ring = e->link->records;
	const uint8_t *next = (const uint8_t *)(ring + 1) +
			      (size_t)(ring->prod.head & ring->mask) * sizeof(e->record[0]);
	__builtin_prefetch(next, 1);
	__builtin_prefetch(next + HB_CACHE_LINE, 1);
}

/* Clients that were told BUSY at the same time are not to come back at the same time. */
static void
spread_waits(
	const struct hb_engine *e, const struct hb_request *r, struct hb_reply *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (out[i].status == HB_BUSY && out[i].value == BUSY_WAIT_MS)
			out[i].value = hb_admission_wait(&e->admission, &r[i], BUSY_WAIT_MS);
	}
}

void
hb_engine_decide(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out, unsigned n)
{
	/* The ops that are drawn for: none while it drains. */
	const uint8_t drawn = s->draining ? 0 : HB_OP_ANSWER;
	uint64_t busy = e->stats->replies[HB_BUSY], missed = 0;
	struct common k = {.campaign = UINT16_MAX + 1};

	begin_burst(e);
	for (unsigned i = 0; i < n; i++) {
		if (HB_UNLIKELY(r[i].campaign != k.campaign || r[i].now_us != k.now_us))
			look_up(&k, e, s, &r[i]);
		if (HB_UNLIKELY(!(s->slices >> hb_slice(r[i].shard) & 1)))
			answer(&out[i], HB_MOVED, 0);
		else if (HB_LIKELY(r[i].op <= drawn && k.easy && r[i].op == HB_OP_SHAKE)) {
			if (HB_LIKELY(decide_easy(e, k.c, &r[i], &out[i]))) {
				missed++;
				continue;
			}
		} else if (HB_LIKELY(r[i].op <= drawn))
			decide_draw(e, s, &r[i], &out[i]);
		else if (r[i].op <= HB_OP_ANSWER)
			decide_draining(e, s, &r[i], &out[i]);
		else
			engine_decide_packet(e, s, r, i, n, &out[i]);
		hb_count(&e->stats->replies[out[i].status], 1);
	}
	hb_count(&e->stats->replies[HB_MISS], missed);
	if (HB_UNLIKELY(e->stats->replies[HB_BUSY] != busy))
		spread_waits(e, r, out, n);
	engine_send_records(e);
}

void
hb_engine_deny(struct hb_engine *e, uint64_t user)
{
	uint32_t i = (uint32_t)hb_mix64(user, 0x9E3779B97F4A7C15ULL) & e->denied_mask;

	if (user == 0 || e->denied_count == HB_DENIED_MAX || is_denied(e, user))
		return;
	while (e->denied[i] != 0)
		i = (i + 1) & e->denied_mask;
	e->denied[i] = user;
	e->denied_count++;
}

/* Those behind it that would no longer be found come forward: no place is ever marked as used. */
void
hb_engine_undeny(struct hb_engine *e, uint64_t user)
{
	uint32_t mask = e->denied_mask;
	uint32_t hole = (uint32_t)hb_mix64(user, 0x9E3779B97F4A7C15ULL) & mask;

	if (user == 0 || !is_denied(e, user))
		return;
	while (e->denied[hole] != user)
		hole = (hole + 1) & mask;
	for (uint32_t i = (hole + 1) & mask; e->denied[i] != 0; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)hb_mix64(e->denied[i], 0x9E3779B97F4A7C15ULL) & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		e->denied[hole] = e->denied[i];
		hole = i;
	}
	e->denied[hole] = 0;
	e->denied_count--;
}

/* ---- what a worker knows of a user ---------------------------------------------------- */

static void
look_at_gift(const struct hb_engine *e, struct hb_look_row *out, uint32_t number)
{
	const struct hb_envelope *v = entry_of(&e->campaign[out->slot], number);

	out->number = number;
	out->id = id_of(&e->campaign[out->slot], out->campaign, number);
	out->amount = v->amount;
	out->asked_ms = v->asked_ms;
	out->durable = gift_durable(__atomic_load_n(&e->link->durable, __ATOMIC_ACQUIRE), v);
}

void
hb_engine_look(const struct hb_engine *e, struct hb_look *look)
{
	look->denied = is_denied(e, look->user);
	for (unsigned i = 0; i < look->rows; i++) {
		struct hb_look_row *out = &look->row[i];
		uint64_t hash = hb_users_hash(&e->users, out->campaign, look->user);
		const struct hb_user *row =
			hb_users_find(&e->users, hash, out->campaign, look->user);

		*out = (struct hb_look_row){.campaign = out->campaign, .slot = out->slot};
		if (row == NULL)
			continue;
		out->known = true;
		out->seq = row->seq;
		out->wins = row->wins;
		out->outcome = row->outcome;
		if (row->wins != 0)
			look_at_gift(e, out, *hb_users_detail(&e->users, row));
		else
			out->asked_ms = *hb_users_detail(&e->users, row);
	}
}

/* ---- what an earlier run left --------------------------------------------------------- */

void
hb_engine_whole(struct hb_engine *e, unsigned slot)
{
	e->campaign[slot].whole = e->campaign[slot].was_whole = true;
}

void
hb_engine_recall_soon(const struct hb_engine *e, const struct hb_recall *win)
{
	uint64_t hash = hb_users_hash(&e->users, win->campaign, win->user);

	hb_users_prefetch(&e->users, hash);
	__builtin_prefetch(hb_users_detail(&e->users, hb_users_home(&e->users, hash)), 1);
}

int
hb_engine_recall(struct hb_engine *e, const struct hb_recall *win)
{
	uint64_t hash = hb_users_hash(&e->users, win->campaign, win->user);
	struct hb_user *row = hb_users_look(&e->users, hash, win->campaign, win->user);

	row = hb_users_take(&e->users, row, hash, win->campaign, win->user);
	if (row == NULL)
		return -ENOSPC;
	hb_count(&e->users.winners, row->wins == 0);
	if (row->wins < HB_USER_WINS_MAX)
		row->wins++;
	row->outcome = win->bundle ? HB_OUTCOME_BUNDLE : HB_OUTCOME_WIN;
	row->seq = win->seq;
	*hb_users_detail(&e->users, row) = win->number;
	hb_admission_told(&e->admission, win->user, win->campaign, win->seq);
	return 0;
}

/* What came later is what is told again: the win elsewhere, or what this core answered. */
static void
take_newer(
	struct hb_engine *e, struct hb_user *row, const struct hb_moved_win *win, uint32_t number)
{
	bool won = row->outcome == HB_OUTCOME_WIN || row->outcome == HB_OUTCOME_BUNDLE;
	enum hb_outcome outcome = win->outcome;
	uint32_t wins = win->wins < HB_USER_WINS_MAX ? win->wins : HB_USER_WINS_MAX;

	if (win->seq > row->seq || (win->seq == row->seq && !won)) {
		row->seq = win->seq;
		row->outcome = outcome & 7;
		*hb_users_detail(&e->users, row) = number;
	} else if (row->wins == 0) {
		*hb_users_detail(&e->users, row) = number;
	}
	hb_count(&e->users.winners, row->wins == 0);
	if (wins > row->wins)
		row->wins = wins & HB_USER_WINS_MAX;
}

int
hb_engine_row(
	struct hb_engine *e, unsigned slot, uint16_t campaign, struct hb_moved *m, uint32_t number)
{
	struct hb_moved_win *win = hb_moved_win(m, number);
	uint64_t hash = hb_users_hash(&e->users, campaign, win->user);
	struct hb_user *row = hb_users_look(&e->users, hash, campaign, win->user);

	e->campaign[slot].moved = m;
	row = hb_users_take(&e->users, row, hash, campaign, win->user);
	if (row != NULL) {
		take_newer(e, row, win, number);
		hb_admission_told(&e->admission, win->user, campaign, win->seq);
	}
	__atomic_store_n(
		&win->taken, row != NULL ? HB_MOVED_TAKEN : HB_MOVED_REFUSED, __ATOMIC_RELEASE);
	return row != NULL ? 0 : -ENOSPC;
}

/* ---- orders -------------------------------------------------------------------------- */

static void
offer(struct hb_engine *e, uint32_t slot, struct hb_range range)
{
	struct hb_offer o = {.slot = slot, .range = range};

	/* The control core has no more orders out than this ring holds. */
	rte_ring_sp_enqueue_elem(e->link->offers, &o, sizeof(o));
}

int
hb_engine_stock(struct hb_engine *e, unsigned slot, struct hb_range range)
{
	struct hb_stock *stock = &e->campaign[slot].stock;
	int err = hb_stock_add(stock, range);

	__atomic_store_n(&e->link->books[slot].stock, stock->count, __ATOMIC_RELAXED);
	return err;
}

/* A list that is full of ranges takes no more: back to where it came from, and then this core
 * hasn't got all there is. */
static void
obey_stock(struct hb_engine *e, const struct hb_order *o)
{
	struct hb_range back = {0};

	if (hb_engine_stock(e, o->slot, o->range) != 0) {
		back = o->range;
		e->campaign[o->slot].whole = false;
	}
	offer(e, o->slot, back);
}

static void
obey_give_up(struct hb_engine *e, const struct hb_order *o)
{
	struct hb_stock *stock = &e->campaign[o->slot].stock;

	offer(e, o->slot, hb_stock_cut(stock, o->range.count));
	__atomic_store_n(&e->link->books[o->slot].stock, stock->count, __ATOMIC_RELAXED);
}

static void
obey_one(struct hb_engine *e, const struct hb_order *o)
{
	switch (o->type) {
	case HB_ORDER_STOCK:
		obey_stock(e, o);
		break;
	case HB_ORDER_GIVE_UP:
		obey_give_up(e, o);
		break;
	case HB_ORDER_DENY:
		hb_engine_deny(e, o->user);
		break;
	case HB_ORDER_UNDENY:
		hb_engine_undeny(e, o->user);
		break;
	case HB_ORDER_BIND:
		hb_engine_bind(e, o->slot, o->envelopes);
		break;
	case HB_ORDER_TRANCHE:
		hb_engine_tranches(e, o->slot, o->tranches, o->range.count);
		break;
	case HB_ORDER_ROW:
		hb_engine_row(e, o->slot, (uint16_t)o->range.count, o->moved, o->range.first);
		break;
	case HB_ORDER_LOOK:
		hb_engine_look(e, o->look);
		__atomic_store_n(&o->look->done, true, __ATOMIC_RELEASE);
		break;
	case HB_ORDER_PACKET:
		engine_look_at_packet(e, o->packet);
		break;
	}
}

static unsigned
obey_some(struct hb_engine *e, struct rte_ring *orders)
{
	struct hb_order order[8];
	unsigned n = rte_ring_sc_dequeue_burst_elem(
		orders, order, sizeof(order[0]), HB_COUNT_OF(order), NULL);

	for (unsigned i = 0; i < n; i++)
		obey_one(e, &order[i]);
	return n;
}

unsigned
hb_engine_obey(struct hb_engine *e)
{
	struct hb_link *l = e->link;
	unsigned ordered = obey_some(e, l->orders), told = obey_some(e, l->told);

	if (HB_UNLIKELY(told != 0))
		__atomic_store_n(&l->heard, l->heard + told, __ATOMIC_RELEASE);
	return ordered + told;
}

/* ---- making -------------------------------------------------------------------------- */

static int
make_park(struct hb_engine *e, struct hb_error *err)
{
	int rc = hb_mem_alloc(
		&e->park_mem, HB_PARK_SLOTS * sizeof(*e->park.slot), "parked replies", err);

	e->park = (struct hb_park){.slot = e->park_mem.addr, .mask = HB_PARK_SLOTS - 1};
	return rc;
}

int
hb_engine_make(struct hb_engine *e, const struct hb_engine_terms *t, struct hb_link *l,
	struct hb_worker_stats *stats, struct hb_error *err)
{
	uint64_t users_key[2];
	int rc;

	struct hb_packets_terms packets = {
		.packets = t->packets, .shares = t->packet_shares, .keep_us = t->packet_keep_us};

	*e = (struct hb_engine){.link = l, .stats = stats, .workers = t->workers};
	for (unsigned i = 0; i < HB_COUNT_OF(packets.key); i++)
		packets.key[i] = hb_derive(t->seed, "packets", i);
	users_key[0] = hb_derive(t->seed, "users", 0);
	users_key[1] = hb_derive(t->seed, "users", 1);
	e->denied_mask = DENIED_SLOTS - 1;
	e->denied = calloc(DENIED_SLOTS, sizeof(*e->denied));
	rc = e->denied == NULL ? hb_fail(err, ENOMEM, "no memory for the barred users") : 0;
	if (rc == 0)
		rc = hb_mem_alloc(&e->campaign_mem, t->campaigns * sizeof(*e->campaign),
			"campaigns of a worker", err);
	e->campaign = e->campaign_mem.addr;
	if (rc == 0)
		rc = make_park(e, err);
	/* A worker gives its share of them, about. */
	if (rc == 0)
		rc = hb_admission_make(&e->admission, t->seed, t->envelopes / t->workers, err);
	if (rc == 0)
		rc = hb_users_make(&e->users, t->users, users_key, err);
	if (rc == 0)
		rc = hb_packets_make(&e->packets, &packets, err);
	if (rc != 0)
		hb_engine_free(e);
	else
		hb_engine_seed(e, t->seed);
	return rc;
}

void
hb_engine_seed(struct hb_engine *e, uint64_t seed)
{
	for (unsigned i = 0; i < HB_COUNT_OF(e->draw_key); i++)
		e->draw_key[i] = hb_derive(seed, "draw", i);
	engine_seed_packets(e, seed);
}

void
hb_engine_bind(struct hb_engine *e, unsigned slot, const struct hb_envelopes *v)
{
	e->campaign[slot].envelopes = v->of;
	e->campaign[slot].first = v->count;
}

void
hb_engine_tranches(struct hb_engine *e, unsigned slot, const struct hb_tranches *t, unsigned n)
{
	e->campaign[slot].tranches = t;
	e->campaign[slot].topped = (uint16_t)n;
}

void
hb_engine_free(struct hb_engine *e)
{
	free(e->denied);
	hb_users_free(&e->users);
	hb_packets_free(&e->packets);
	hb_mem_free(&e->campaign_mem);
	hb_mem_free(&e->park_mem);
	hb_admission_free(&e->admission);
	*e = (struct hb_engine){0};
}
