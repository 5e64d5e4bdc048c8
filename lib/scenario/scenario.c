/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_scenario.h"

#include "curve.h"
#include "delay.h"
#include "event.h"
#include "groups.h"

#include <errno.h>
#include <stdlib.h>

/* What is kept of a user who is not busy: his last seq, and two marks. */
#define ROW_BUSY (1u << 31)
#define ROW_RIGHT (1u << 30) /* has had the password right, and gone */
#define ROW_SEQ (ROW_RIGHT - 1)

#define RETRY_LEAST_US 1000000
#define RETRY_STEP_US (1000000 / (HB_DELAYS - 1))
/* A user who finds no moment to send for so long after his time puts the phone away. */
#define PATIENCE_US 2000000
/* How often to draw among users for one who is free, before other ways are tried. */
#define DRAWS 8

/* Shares as fractions of 2^32: integers come out the same everywhere. */
#define ONE (1ull << 32)
/* Who has the password right tries again in one case of 20. */
#define AGAIN (ONE / 20)

/* What people take the picture for. */
static const char *const wrong_word[] = {"你", "福", "春", "羊", "爱", "家", "钱", "红包"};

struct hb_scenario {
	const struct hb_event *event;
	struct hb_scenario_options options;
	struct hb_groups *groups; /* of an event of group packets, the whole stream; else NULL */
	struct hb_curve curve;
	struct hb_delay_line running;	 /* users in a run of requests */
	struct hb_delay_line unanswered; /* users who are going to repeat their last request */
	uint32_t *row;			 /* of each user, in the order in which they come */
	uint64_t random;
	uint64_t now_us;       /* of the last item */
	uint64_t moment_us;    /* the next moment of the curve */
	uint64_t moments_left; /* of the curve, that one included; = fresh_left + forged_left */
	uint64_t left;	       /* items to be given */
	uint64_t fresh_left;   /* of them neither repeats nor forged */
	uint64_t retries_left; /* repeats that are not yet decided on */
	uint64_t forged_left;
	uint64_t seen;		/* users who have come so far: the first rows */
	uint64_t multiplier[3]; /* what scatters rows over user ids */
	uint64_t mask;
	unsigned shift;
	uint64_t run;	      /* mean length of a run, in 1/256 */
	uint64_t carry_on;    /* chance that a run goes on, of ONE */
	uint64_t first_right; /* chance that who doesn't know the password yet gets it right */
	uint64_t digest[1 + HB_COUNT_OF(wrong_word)]; /* 0: the password; the others: wrong words */
	uint32_t wrong_words;
};

/* ---- chance ------------------------------------------------------------------------- */

/* A number below n, each as likely. */
static uint64_t
draw(struct hb_scenario *s, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)hb_splitmix64(&s->random) * n) >> 64);
}

/* True in n of m cases. Picks exactly n of m things when asked for one after the other with n the
 * number still to be picked and m that of the things still to come. */
static bool
chance(struct hb_scenario *s, uint64_t n, uint64_t m)
{
	return n > 0 && (n >= m || draw(s, m) < n);
}

/* ---- users -------------------------------------------------------------------------- */

/* The user of a row, less 1: a permutation of as many bits as there are, walked until it falls
 * among the users. So every user has one row, and ids come in no order. */
static uint32_t
user_of_row(const struct hb_scenario *s, uint64_t row)
{
	uint64_t x = row;

	do {
		for (size_t i = 0; i < HB_COUNT_OF(s->multiplier); i++) {
			x = (x * s->multiplier[i] + (s->multiplier[i] >> 32)) & s->mask;
			x ^= x >> s->shift;
		}
	} while (x >= s->options.users);
	return (uint32_t)x;
}

static struct hb_session
begin_run(struct hb_scenario *s, uint64_t row)
{
	struct hb_session session = {
		.row = (uint32_t)row,
		.user = user_of_row(s, row),
		.seq = s->row[row] & ROW_SEQ,
	};

	s->row[row] |= ROW_BUSY;
	return session;
}

static void
end_run(struct hb_scenario *s, const struct hb_session *session)
{
	s->row[session->row] = session->seq | (session->right ? ROW_RIGHT : 0);
}

/* A user who has been there before, is not busy and has not had it right. Where all that are drawn
 * have, one of them begins anew: with so few users somebody must. */
static bool
draw_known_user(struct hb_scenario *s, struct hb_session *session)
{
	uint64_t row = HB_NEVER;

	for (unsigned i = 0; i < DRAWS && s->seen > 0; i++) {
		uint64_t drawn = draw(s, s->seen);
		if (s->row[drawn] & ROW_BUSY)
			continue;
		row = drawn;
		if (!(s->row[drawn] & ROW_RIGHT))
			break;
	}
	if (row == HB_NEVER)
		return false;
	*session = begin_run(s, row);
	return true;
}

/* The user whose run goes on now, if there is one. */
static bool
continue_run(struct hb_scenario *s, struct hb_session *session)
{
	uint64_t oldest_us = s->now_us > PATIENCE_US ? s->now_us - PATIENCE_US : 0;

	while (hb_delay_due(&s->running) < oldest_us) {
		*session = hb_delay_pop(&s->running);
		end_run(s, session);
	}
	if (hb_delay_due(&s->running) > s->now_us)
		return false;
	*session = hb_delay_pop(&s->running);
	return true;
}

/* Who sends the next fresh request. False: everybody waits to repeat something. */
static bool
pick_user(struct hb_scenario *s, struct hb_session *session)
{
	uint64_t unseen = s->options.users - s->seen;
	bool must = s->fresh_left <= unseen;

	if (!must && continue_run(s, session))
		return true;
	/* Newcomers come at a steady share of the runs that are still to be expected. */
	if (!must && !chance(s, unseen * s->run / 256, s->fresh_left) &&
		draw_known_user(s, session))
		return true;
	if (unseen > 0) {
		*session = begin_run(s, s->seen++);
		return true;
	}
	if (hb_delay_due(&s->running) == HB_NEVER)
		return false;
	*session = hb_delay_pop(&s->running);
	return true;
}

/* What a user does after a request that was answered: goes on, or ends the run. */
static void
answered(struct hb_scenario *s, const struct hb_session *session)
{
	uint64_t on = session->right ? AGAIN : s->carry_on;

	if (chance(s, on, ONE) &&
		hb_delay_push(&s->running, session, s->now_us, (uint32_t)draw(s, ONE)))
		return;
	end_run(s, session);
}

/* ---- requests ----------------------------------------------------------------------- */

static void
give(struct hb_scenario *s, struct hb_scenario_item *item, const struct hb_session *session,
	unsigned flags)
{
	bool answer = s->event->op == HB_OP_ANSWER;
	uint64_t user = session->user + 1ull;

	*item = (struct hb_scenario_item){
		.request =
			{
				.user = user,
				.arg = answer ? s->digest[session->word] : 0,
				.now_us = s->now_us,
				.seq = session->seq,
				.campaign = s->options.campaign,
				.shard = hb_shard(user),
				.op = s->event->op,
				.epoch = s->options.epoch,
			},
		.flags = flags | (answer && session->word == 0 ? HB_SCENARIO_RIGHT : 0),
	};
	s->left--;
}

static void
choose_word(struct hb_scenario *s, struct hb_session *session)
{
	session->right = session->right || chance(s, s->first_right, ONE);
	session->word = session->right ? 0 : (uint8_t)(1 + draw(s, s->wrong_words));
}

static bool
give_fresh(struct hb_scenario *s, struct hb_scenario_item *item)
{
	struct hb_session session;

	if (!pick_user(s, &session))
		return false;
	session.seq++;
	if (s->event->op == HB_OP_ANSWER)
		choose_word(s, &session);
	give(s, item, &session, 0);
	if (chance(s, s->retries_left, s->fresh_left) &&
		hb_delay_push(&s->unanswered, &session, s->now_us, (uint32_t)draw(s, ONE))) {
		s->retries_left--;
		item->flags |= HB_SCENARIO_REPEATED;
	} else {
		answered(s, &session);
	}
	if (s->fresh_left > 0)
		s->fresh_left--;
	return true;
}

static void
give_retry(struct hb_scenario *s, struct hb_scenario_item *item)
{
	struct hb_session session = hb_delay_pop(&s->unanswered);

	s->now_us = session.due_us > s->now_us ? session.due_us : s->now_us;
	give(s, item, &session, HB_SCENARIO_RETRY);
	answered(s, &session);
}

static void
give_forged(struct hb_scenario *s, struct hb_scenario_item *item)
{
	struct hb_session session = {
		.user = (uint32_t)draw(s, s->options.users),
		.seq = 1 + (uint32_t)draw(s, ROW_SEQ),
	};

	give(s, item, &session, HB_SCENARIO_FORGED);
	s->forged_left--;
}

/* The moment was used: on to the next. After the last one it stays, for the few repeats that found
 * no room and are made up for by fresh requests. */
static void
next_moment(struct hb_scenario *s)
{
	if (s->moments_left > 0 && --s->moments_left > 0)
		s->moment_us = hb_curve_next(&s->curve, (uint32_t)draw(s, ONE));
}

bool
hb_scenario_next(struct hb_scenario *s, struct hb_scenario_item *item)
{
	if (s->groups != NULL)
		return hb_groups_next(s->groups, item);
	uint64_t retry_us = hb_delay_due(&s->unanswered);

	if (s->left == 0)
		return false;
	if (retry_us != HB_NEVER && (retry_us <= s->moment_us || s->moments_left == 0)) {
		give_retry(s, item);
		return true;
	}
	s->now_us = s->moment_us > s->now_us ? s->moment_us : s->now_us;
	if (chance(s, s->forged_left, s->moments_left))
		give_forged(s, item);
	else if (!give_fresh(s, item)) {
		give_retry(s, item);
		return true;
	}
	next_moment(s);
	return true;
}

uint64_t
hb_scenario_users(const struct hb_scenario *s)
{
	return s->groups != NULL ? hb_groups_users(s->groups) : s->seen;
}

/* ---- opening ------------------------------------------------------------------------ */

void
hb_scenario_defaults(struct hb_scenario_options *o)
{
	*o = (struct hb_scenario_options){
		.retries = 0.05,
		.right = 0.15,
		.password = "我",
		.campaign = 7,
	};
}

static bool
is_share(double v)
{
	return v >= 0 && v <= 1;
}

static int
check_options(const struct hb_scenario_options *o, struct hb_error *e)
{
	if (o->requests < 1 || o->requests > HB_SCENARIO_REQUESTS_MAX)
		return hb_fail(e, EINVAL, "requests: %llu; give 1 to %llu",
			(unsigned long long)o->requests, HB_SCENARIO_REQUESTS_MAX);
	if (o->users < 1 || o->users > HB_SCENARIO_USERS_MAX)
		return hb_fail(e, EINVAL, "users: %llu; give 1 to %u", (unsigned long long)o->users,
			HB_SCENARIO_USERS_MAX);
	if (o->campaign == 0)
		return hb_fail(e, EINVAL, "campaign: 0; give 1 to 65535");
	if (!is_share(o->right))
		return hb_fail(e, EINVAL, "right: %g; give a share from 0 to 1", o->right);
	if (!is_share(o->retries) || !is_share(o->forged) || 2 * o->retries + o->forged > 1)
		return hb_fail(e, EINVAL,
			"retries: %g, forged: %g; give shares from 0 to 1, and no more than 1 for "
			"twice "
			"the retries plus the forged, as a request is repeated once at most",
			o->retries, o->forged);
	if (o->start_us > UINT64_MAX / 2)
		return hb_fail(e, EINVAL, "start: %llu us after 1970 is too late",
			(unsigned long long)o->start_us);
	if (o->password == NULL || o->password[strspn(o->password, " \t\r\n")] == '\0')
		return hb_fail(e, EINVAL, "password: blank; give at least one character");
	return 0;
}

static const struct hb_event *
find_event(const char *name, uint64_t *start_us, struct hb_error *e)
{
	char names[256] = "";
	size_t n;
	const struct hb_scenario_info *info = hb_scenario_list(&n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(info[i].name, name) == 0) {
			*start_us = *start_us == 0 ? info[i].start_us : *start_us;
			return &hb_event[i];
		}
		strcat(strcat(names, i == 0 ? "" : ", "), info[i].name);
	}
	hb_fail(e, ENOENT, "scenario: there is no '%s'; there are %s", name, names);
	return NULL;
}

static uint64_t
of_one(double share)
{
	return (uint64_t)(share * (double)ONE);
}

static uint64_t
share_of(uint64_t n, double share)
{
	return (uint64_t)(((unsigned __int128)n * of_one(share) + ONE / 2) / ONE);
}

/* How many items there are of each kind. */
static void
count_items(struct hb_scenario *s)
{
	const struct hb_scenario_options *o = &s->options;

	s->left = o->requests;
	s->retries_left = share_of(s->left, o->retries);
	s->forged_left = share_of(s->left, o->forged);
	/* Rounding must not ask for more repeats than there are requests to repeat. */
	while (s->retries_left + s->forged_left > s->left - s->retries_left)
		s->retries_left > 0 ? s->retries_left-- : s->forged_left--;
	s->moments_left = s->left - s->retries_left;
	s->fresh_left = s->moments_left - s->forged_left;
}

static void
scatter_users(struct hb_scenario *s)
{
	unsigned bits = 1;

	while (s->options.users > 1ull << bits)
		bits++;
	s->mask = (1ull << bits) - 1;
	s->shift = (bits + 1) / 2;
	for (size_t i = 0; i < HB_COUNT_OF(s->multiplier); i++)
		s->multiplier[i] = hb_splitmix64(&s->random) | 1;
}

/* Runs are shorter where a longer one would leave no request for some of the users. */
static void
plan_runs(struct hb_scenario *s)
{
	unsigned __int128 fair = (unsigned __int128)s->fresh_left * 256 * 9 / 10 / s->options.users;

	s->run = fair < s->event->run ? (uint64_t)fair : s->event->run;
	s->run = s->run < 256 ? 256 : s->run;
	s->carry_on = ONE - ONE * 256 / s->run;
}

/* Who has it right goes, but tries again in AGAIN cases; so that all in all the share of right
 * answers is the one asked for, the first time must be a little rarer. */
static void
plan_answers(struct hb_scenario *s)
{
	const struct hb_scenario_options *o = &s->options;
	unsigned __int128 right = of_one(o->right), first = right * (ONE - AGAIN) / ONE;

	s->first_right = right == 0 ? 0 : (uint64_t)(first * ONE / (ONE - right + first));
	s->digest[0] = hb_answer_digest(o->campaign, o->password);
	for (size_t i = 0; i < HB_COUNT_OF(wrong_word); i++) {
		uint64_t digest = hb_answer_digest(o->campaign, wrong_word[i]);
		if (digest != s->digest[0])
			s->digest[++s->wrong_words] = digest;
	}
}

/* Room for as many sessions as wait in the busiest second, though never more than all users. */
static int
open_lines(struct hb_scenario *s)
{
	const struct hb_event *event = s->event;
	uint64_t peak = hb_curve_peak(&s->curve), users = s->options.users;
	uint64_t gap_us = event->gap_least_us + HB_DELAYS * event->gap_step_us;
	uint64_t running = (peak + 1) * gap_us / 1000000;
	uint64_t unanswered = 2 * share_of(peak + 1, 2 * s->options.retries);

	running = running < users ? running : users;
	unanswered = unanswered < users ? unanswered : users;
	if (hb_delay_open(&s->running, running, event->gap_least_us, event->gap_step_us) != 0)
		return -ENOMEM;
	return hb_delay_open(&s->unanswered, unanswered, RETRY_LEAST_US, RETRY_STEP_US);
}

/* Group packets are no runs of requests by one user: they have a stream of their own. */
static int
open_groups(struct hb_scenario *s)
{
	const struct hb_groups_plan plan = {s->fresh_left, s->retries_left, s->forged_left};

	if (hb_curve_open(&s->curve, &s->event->curve, s->moments_left, s->options.start_us) != 0)
		return -ENOMEM;
	s->groups = hb_groups_open(&s->options, &plan, &s->curve);
	return s->groups != NULL ? 0 : -ENOMEM;
}

static int
open_memory(struct hb_scenario *s)
{
	if (s->event->op == HB_OP_GRAB)
		return open_groups(s);
	s->row = calloc(s->options.users, sizeof(*s->row));
	if (s->row == NULL)
		return -ENOMEM;
	int rc = hb_curve_open(&s->curve, &s->event->curve, s->moments_left, s->options.start_us);
	return rc != 0 ? rc : open_lines(s);
}

int
hb_scenario_open(struct hb_scenario **out, const char *name, const struct hb_scenario_options *o,
	struct hb_error *e)
{
	uint64_t start_us = o->start_us;
	const struct hb_event *event = find_event(name, &start_us, e);
	int rc = event == NULL ? -ENOENT : check_options(o, e);

	if (rc != 0)
		return rc;
	struct hb_scenario *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return hb_fail(e, ENOMEM, "no memory for a stream of requests");
	s->event = event;
	s->options = *o;
	s->options.start_us = start_us;
	s->random = o->seed;
	count_items(s);
	scatter_users(s);
	plan_runs(s);
	plan_answers(s);
	s->options.password = NULL; /* the caller's; the digest is what stays */
	if (open_memory(s) != 0) {
		hb_scenario_close(s);
		return hb_fail(e, ENOMEM,
			"no memory for %llu users, 4 bytes each; give fewer users",
			(unsigned long long)o->users);
	}
	if (s->groups == NULL)
		s->moment_us = hb_curve_next(&s->curve, (uint32_t)draw(s, ONE));
	*out = s;
	return 0;
}

void
hb_scenario_close(struct hb_scenario *s)
{
	if (s == NULL)
		return;
	hb_groups_close(s->groups);
	hb_delay_close(&s->unanswered);
	hb_delay_close(&s->running);
	hb_curve_close(&s->curve);
	free(s->row);
	free(s);
}
