/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <errno.h>
#include <rte_ring.h>
#include <stdlib.h>

/* ---- start --------------------------------------------------------------------------- */

/* A link whose rings are small, so that they run full. */
static int
make_link(struct world *w, struct hb_link *l)
{
	*l = (struct hb_link){.drained = w->server.drained, .giving = true};
	l->records = hb_ring_make("records", sizeof(struct hb_record),
		8u << below(&w->chance, w->server.workers > 2 ? 4 : 6));
	l->orders = hb_ring_make("orders", sizeof(struct hb_order), 4u << below(&w->chance, 3));
	l->offers = hb_ring_make("offers", sizeof(struct hb_offer), 4u << below(&w->chance, 3));
	l->told = hb_ring_make("told", sizeof(struct hb_order), 4u << below(&w->chance, 3));
	l->books = calloc(SIM_CAMPAIGNS, sizeof(*l->books));
	return l->records == NULL || l->orders == NULL || l->offers == NULL || l->told == NULL ||
			       l->books == NULL
		       ? -ENOMEM
		       : 0;
}

static int
make_worker(struct world *w, unsigned i, struct hb_error *e)
{
	struct server *s = &w->server;
	struct hb_engine_terms terms = {
		.campaigns = SIM_CAMPAIGNS,
		.workers = s->workers,
		.users = s->users,
		.packets = w->server_packets,
		.packet_shares = w->server_packets * 6,
		.packet_keep_us = w->keep_us,
		.seed = w->server_seed,
	};
	int err;

	s->links[i] = &s->link[i];
	s->engines[i] = &s->engine[i];
	s->stats[i] = (struct hb_worker_stats){0};
	if (make_link(w, &s->link[i]) != 0)
		return hb_fail(e, ENOMEM, "no memory for a link");
	s->made++;
	if ((err = hb_engine_make(&s->engine[i], &terms, &s->link[i], &s->stats[i], e)) != 0)
		return err;
	/* Few places, so that they run out. */
	s->engine[i].park.mask = (SIM_PARK >> below(&w->chance, 7)) - 1;
	for (unsigned k = 0; k < w->users; k++) {
		if (w->barred[k])
			hb_engine_deny(&s->engine[i], w->user[k]);
	}
	return 0;
}

static int
make_server(struct world *w, struct hb_error *e)
{
	struct server *s = &w->server;
	struct hb_control_terms terms = {
		.journal = &s->journal,
		.links = s->links,
		.drained = s->drained,
		.workers = s->workers,
		.campaigns = SIM_CAMPAIGNS,
		.gather_ns = below(&w->chance, 3) * 2000000,
		.term_ns = lease_clock,
	};
	int err = 0;

	memset(s->drained, 0, sizeof(s->drained));
	for (unsigned i = 0; err == 0 && i < s->workers; i++)
		err = make_worker(w, i, e);
	if (err == 0)
		err = hb_control_make(&s->control, &terms, e);
	if (err == 0)
		err = hb_recovery_begin(&s->recovery, &s->control, s->engines, s->envelopes,
			w->campaign, w->config.campaigns, e);
	return err;
}

static int
read_journal(struct world *w, struct hb_error *e)
{
	struct server *s = &w->server;
	int err = hb_journal_read_disk(&s->reader, &w->disk.disk, "simulated", e);

	if (err == -ENOENT)
		return 0;
	if (err != 0)
		return err;
	s->found = true;
	err = hb_recovery_read(&s->recovery, &s->reader, false, NULL, e);
	w->totals->torn += err == 0 && s->reader.torn != 0;
	return err;
}

static int
open_journal(struct world *w, struct hb_error *e)
{
	struct server *s = &w->server;
	struct hb_disk *disk = &w->disk.disk;
	int err;

	if (s->found) {
		s->reader.host = w->config.host;
		err = hb_journal_resume(&s->journal, disk, &s->reader, w->segment_bytes, e);
	} else {
		err = hb_journal_begin(&s->journal, disk, w->config.host, w->segment_bytes, e);
	}
	s->begun = err == 0;
	return err;
}

static void
make_parked(struct server *s)
{
	if (s->parked == NULL)
		s->parked = calloc(HB_COUNT_OF(s->free_parked), sizeof(*s->parked));
	s->free_parked_count = HB_COUNT_OF(s->free_parked);
	for (unsigned i = 0; i < s->free_parked_count; i++)
		s->free_parked[i] = (uint16_t)i;
}

bool
server_start(struct world *w, struct hb_error *e)
{
	struct server *s = &w->server;
	int err;

	s->found = s->begun = false;
	s->workers = (unsigned)between(&w->chance, 1, w->workers_max);
	s->users = w->server_users;
	make_parked(s);
	if ((err = make_server(w, e)) == 0 && (err = read_journal(w, e)) == 0 &&
		(err = open_journal(w, e)) == 0)
		err = hb_recovery_finish(&s->recovery, w->server_seed, w->now_us, e);
	hb_recovery_free(&s->recovery);
	hb_journal_read_end(&s->reader);
	s->running = err == 0;
	if (s->running)
		SIM_SAY(w, "started: %u workers, %llu rows each", s->workers,
			(unsigned long long)s->users);
	return s->running;
}

void
server_gone(struct world *w)
{
	struct server *s = &w->server;

	if (s->begun && s->running)
		hb_journal_end(&s->journal);
	else if (s->begun)
		hb_journal_abandon(&s->journal);
	for (unsigned i = 0; i < s->made; i++) {
		hb_engine_free(&s->engine[i]);
		hb_link_free(&s->link[i]);
	}
	for (unsigned i = 0; i < SIM_CAMPAIGNS; i++)
		hb_envelopes_free(&s->envelopes[i]);
	if (s->made > 0)
		hb_control_free(&s->control);
	s->made = 0;
	s->running = s->begun = false;
	w->looking = false;
	memset(w->telling, 0, sizeof(w->telling));
}

/* ---- a worker's turn ----------------------------------------------------------------- */

static struct hb_request
request_of(const struct world *w, const struct ask *a)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	uint64_t user = user_of(w, a->pair);

	if (a->op >= HB_OP_GRAB)
		return packets_request(w, a);
	struct hb_request r = {
		.op = a->op,
		.campaign = c->id,
		.user = user,
		.seq = a->seq,
		.shard = hb_shard(user),
		.now_us = w->now_us,
	};

	if (a->op == HB_OP_ANSWER)
		r.arg = hb_answer_digest(c->id, a->right ? c->password : "something else");
	return r;
}

/* Parks a reply or sends it, as lib/port/worker.c does. */
static void
park_or_send(struct world *w, unsigned worker, const struct ask *a, const struct hb_reply *reply)
{
	struct server *s = &w->server;
	struct hb_park *park = &s->engine[worker].park;

	if (reply->ticket == 0) {
		oracle_tell(w, a, reply);
		network_reply(w, a, reply);
		return;
	}
	if (hb_park_room(park) == 0)
		sim_fail(w, "worker %u: a reply is promised a place that isn't there", worker);
	struct letter *l = &s->parked[s->free_parked[--s->free_parked_count]];
	*l = (struct letter){.ask = *a, .reply = *reply};
	hb_park_push(park, l, reply->ticket);
}

unsigned
server_serve(struct world *w, unsigned worker, unsigned most)
{
	struct hb_request request[HB_BURST];
	struct hb_reply reply[HB_BURST];
	struct ask ask[HB_BURST];
	unsigned n = network_take(w, worker, ask, most);

	for (unsigned i = 0; i < n; i++)
		request[i] = request_of(w, &ask[i]);
	if (n == 0)
		return 0;
	hb_engine_decide(&w->server.engine[worker], w->snapshot, request, reply, n);
	for (unsigned i = 0; i < n; i++) {
		oracle_judge(w, worker, &ask[i], &reply[i]);
		if (ask[i].op >= HB_OP_GRAB)
			continue;
		ask[i].rests = w->oracle.asker[ask[i].pair].rests;
	}
	for (unsigned i = 0; i < n; i++)
		park_or_send(w, worker, &ask[i], &reply[i]);
	w->totals->asked += n;
	return n;
}

unsigned
server_release(struct world *w, unsigned worker)
{
	struct server *s = &w->server;
	void *frame[HB_BURST];
	uint64_t durable = __atomic_load_n(&s->link[worker].durable, __ATOMIC_ACQUIRE);
	unsigned n = hb_park_pop(&s->engine[worker].park, durable, frame, HB_BURST);

	for (unsigned i = 0; i < n; i++) {
		struct letter *l = frame[i];

		oracle_tell(w, &l->ask, &l->reply);
		network_reply(w, &l->ask, &l->reply);
		s->free_parked[s->free_parked_count++] = (uint16_t)(l - s->parked);
	}
	return n;
}

/* A look is judged at once: soon it would be an old one. */
unsigned
server_obey(struct world *w, unsigned worker)
{
	unsigned n = hb_engine_obey(&w->server.engine[worker]);

	if (w->looking && w->look.done) {
		w->looking = false;
		oracle_looked(w, w->look_pair, &w->look);
	}
	return n;
}

void
server_expire(struct world *w, unsigned worker)
{
	hb_engine_expire(&w->server.engine[worker], w->now_us);
	packets_expired(w, worker);
}

void
server_meanwhile(struct world *w)
{
	if (!w->server.running || !once_in(&w->chance, w->rates.meanwhile))
		return;
	for (unsigned i = (unsigned)between(&w->chance, 1, 3); i > 0; i--) {
		unsigned worker = (unsigned)below(&w->chance, w->server.workers);

		w->now_us += below(&w->chance, 3000);
		server_release(w, worker);
		server_serve(w, worker, (unsigned)between(&w->chance, 1, HB_BURST));
		if (below(&w->chance, 2) == 0)
			server_obey(w, worker);
		if (below(&w->chance, 4) == 0)
			server_expire(w, worker);
	}
}

/* ---- the control core's turn --------------------------------------------------------- */

void
server_control(struct world *w)
{
	struct hb_control *c = &w->server.control;
	int before = c->disk_error;

	lease_step(w);
	unsigned n = w->disk.dead ? 0 : hb_control_step(c, w->now_us * 1000);

	if (n > 0)
		SIM_SAY(w, "a batch of %u", n);
	if (before == 0 && c->disk_error == -ENOSPC) {
		SIM_SAY(w, "the disk is full");
		w->totals->full++;
	}
}

void
server_publish(struct world *w)
{
	struct hb_snapshot *old = w->snapshot;

	w->snapshot = hb_snapshot_make(&w->config);
	if (w->snapshot == NULL)
		sim_fail(w, "no memory for a snapshot");
	w->snapshot->draining = w->draining;
	hb_snapshot_free(old);
}

/* ---- a stop in good order ------------------------------------------------------------ */

static bool
at_rest(const struct world *w)
{
	const struct server *s = &w->server;

	for (unsigned i = 0; i < s->workers; i++) {
		if (hb_park_used(&s->engine[i].park) != 0 ||
			rte_ring_count(s->link[i].records) != 0)
			return false;
	}
	return hb_control_closed(&s->control);
}

void
server_stop(struct world *w)
{
	struct server *s = &w->server;
	struct hb_error e;
	unsigned turns = 0;

	hb_control_close(&s->control);
	do {
		for (unsigned i = 0; i < s->workers; i++) {
			server_release(w, i);
			server_obey(w, i);
		}
		server_control(w);
	} while (!w->disk.dead && s->control.disk_error == 0 && !at_rest(w) && ++turns < 1000);
	if (w->disk.dead || s->control.disk_error != 0)
		return;
	if (turns == 1000)
		sim_fail(w, "the workers do not come to rest");
	if (!hb_control_balanced(&s->control, &e))
		sim_fail(w, "the books are off at the end: %s", e.text);
	oracle_check(w);
}
