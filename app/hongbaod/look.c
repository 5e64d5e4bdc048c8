/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands `user` and `packet show`: what the server knows of one user or group packet, asked
 * of the worker that owns it; of a user a few campaigns at a time, so that the worker's burst is
 * hardly held up. */
#include "commands.h"

#include "daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

/* How soon a worker's answer is looked for again. It looks at its orders every few microseconds. */
#define LOOK_US 200
#define PATIENCE_NS (5 * 1000000000ull)

struct looking {
	struct hb_look look;	      /* the worker's from the order until it says so */
	struct hb_packet_look packet; /* likewise; which of the two is looked at says `of_packet` */
	bool of_packet;
	unsigned worker;
	struct tuning *t;
	struct hb_ask *ask; /* NULL: it was told that it takes too long */
	struct event *timer;
	uint64_t user;
	uint64_t begun_ns;
	struct {
		uint16_t id;
		uint32_t slot;
	} * campaign; /* every one that there was when it was asked */
	unsigned campaigns, next;
	json_t *list;
	bool barred;
	struct looking *before, *behind; /* in the tuning's list */
};

static const char *const outcome_name[] = {
	[HB_OUTCOME_NONE] = "NONE",
	[HB_OUTCOME_WIN] = "WIN",
	[HB_OUTCOME_MISS] = "MISS",
	[HB_OUTCOME_QUOTA] = "QUOTA",
	[HB_OUTCOME_EMPTY] = "EMPTY",
	[HB_OUTCOME_WRONG] = "WRONG",
	[HB_OUTCOME_BUNDLE] = "BUNDLE",
};

/* ---- the end ------------------------------------------------------------------------- */

static void
free_looking(struct looking *l)
{
	if (l->before != NULL)
		l->before->behind = l->behind;
	else if (l->t->looking == l)
		l->t->looking = l->behind;
	if (l->behind != NULL)
		l->behind->before = l->before;
	if (l->timer != NULL)
		event_free(l->timer);
	json_decref(l->list);
	free(l->campaign);
	free(l);
}

static void
tell(struct looking *l)
{
	uint16_t shard = hb_shard(l->user);
	char user[24];

	snprintf(user, sizeof(user), "%llu", (unsigned long long)l->user);
	hb_ask_answer(l->ask,
		json_pack("{s:s, s:i, s:i, s:i, s:i, s:b, s:O}", "user", user, "shard", (int)shard,
			"slice", (int)hb_slice(shard), "lane", (int)hb_lane(shard), "worker",
			(int)l->worker, "barred", l->barred, "campaigns", l->list));
	free_looking(l);
}

static void
give_up(struct looking *l, const char *why)
{
	hb_ask_refuse(l->ask, HB_REFUSAL_BUSY, "try again", "%s: %s",
		l->of_packet ? "packet" : "user", why);
	l->ask = NULL;
}

static void
tell_packet(struct looking *l)
{
	if (l->packet.packet.id == 0)
		hb_ask_refuse(l->ask, HB_REFUSAL_FAILED, NULL,
			"packet %llu: there is none, or not any more",
			(unsigned long long)l->packet.id);
	else
		hb_ask_answer(l->ask, hb_view_packet(&l->packet));
	free_looking(l);
}

/* ---- what came back ------------------------------------------------------------------ */

static json_t *
row_json(const struct hb_look_row *r)
{
	json_t *o = json_pack("{s:i, s:I, s:s, s:i}", "campaign", r->campaign, "seq",
		(json_int_t)r->seq, "outcome", outcome_name[r->outcome % 8], "wins", r->wins);

	if (r->number != 0) {
		json_object_set_new(o, "envelope", json_integer((json_int_t)r->id));
		json_object_set_new(o, "last_win_fen", json_integer(r->amount));
		json_object_set_new(o, "durable", json_boolean(r->durable));
	}
	return o;
}

static void
take_rows(struct looking *l)
{
	l->barred = l->look.denied;
	for (unsigned i = 0; i < l->look.rows; i++) {
		if (l->look.row[i].known)
			json_array_append_new(l->list, row_json(&l->look.row[i]));
	}
}

static void ask_worker(struct looking *l);

/* Nobody frees what a worker may still write into. */
static void
await_worker(struct looking *l)
{
	if (!__atomic_load_n(l->of_packet ? &l->packet.done : &l->look.done, __ATOMIC_ACQUIRE)) {
		if (l->ask != NULL && hb_mono_ns() - l->begun_ns > PATIENCE_NS)
			give_up(l, "its worker does not answer");
		event_add(l->timer, &(struct timeval){.tv_usec = LOOK_US});
		return;
	}
	take_rows(l);
	if (l->ask == NULL)
		free_looking(l);
	else if (l->of_packet)
		tell_packet(l);
	else if (l->next < l->campaigns)
		ask_worker(l);
	else
		tell(l);
}

static void
on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	await_worker(context);
}

/* ---- the question -------------------------------------------------------------------- */

/* Asks about the packet, or the next few campaigns. */
static void
ask_worker(struct looking *l)
{
	struct hb_link *link = l->t->d->link[l->worker];

	l->look = (struct hb_look){.user = l->user};
	for (; l->next < l->campaigns && l->look.rows < HB_LOOK_ROWS; l->next++)
		l->look.row[l->look.rows++] = (struct hb_look_row){
			.campaign = l->campaign[l->next].id, .slot = l->campaign[l->next].slot};
	if ((l->of_packet ? hb_link_look_at_packet(link, &l->packet)
			  : hb_link_look(link, &l->look)) == 0) {
		await_worker(l);
		return;
	}
	give_up(l, "its worker has too many orders");
	free_looking(l);
}

static struct looking *
make_looking(struct tuning *t, struct hb_ask *ask, bool of_packet)
{
	uint64_t number = argument_number(hb_ask_args(ask), of_packet ? "packet" : "user", 0);
	const struct hb_config *c = tuning_config(t);
	struct looking *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	*l = (struct looking){.t = t,
		.ask = ask,
		.of_packet = of_packet,
		.packet = {.id = number},
		.user = number,
		.begun_ns = hb_mono_ns(),
		.campaigns = c->campaigns,
		.campaign = calloc(c->campaigns, sizeof(*l->campaign)),
		.list = json_array(),
		.timer = evtimer_new(hb_service_base(t->service), on_timer, l)};
	l->worker = hb_owner(hb_lane(hb_shard(l->user)), t->d->config->workers);
	if (l->campaign == NULL || l->list == NULL || l->timer == NULL) {
		free_looking(l);
		return NULL;
	}
	for (unsigned i = 0; i < c->campaigns; i++) {
		l->campaign[i].id = c->campaign[i].id;
		l->campaign[i].slot = c->campaign[i].slot;
	}
	if ((l->behind = t->looking) != NULL)
		l->behind->before = l;
	t->looking = l;
	return l;
}

/* The first argument is a number, and not 0: the table says so. */
static void
look(struct tuning *t, struct hb_ask *ask, bool of_packet)
{
	struct looking *l = make_looking(t, ask, of_packet);

	if (l == NULL)
		hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "no memory for a look");
	else
		ask_worker(l);
}

void
on_user(struct hb_ask *ask, void *context)
{
	look(context, ask, false);
}

void
on_packet_show(struct hb_ask *ask, void *context)
{
	look(context, ask, true);
}

void
free_looks(struct tuning *t)
{
	while (t->looking != NULL)
		free_looking(t->looking);
}
