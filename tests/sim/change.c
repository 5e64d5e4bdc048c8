/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <errno.h>

/* What was asked of the journal: a call that ends with the disk, or with the process, may have been
 * in time. */
bool
change_in_the_dark(struct world *w, int err, bool failed_before)
{
	bool unsure = w->disk.dead || (err == -EIO && !failed_before);

	w->totals->unsure += unsure;
	w->totals->refused += !unsure && err != 0;
	return unsure;
}

/* Often the disk is full just then, or fails. */
void
change_worry(struct world *w)
{
	if (w->calm)
		return;
	switch (below(&w->chance, 12)) {
	case 0:
		w->disk.full = true;
		break;
	case 1:
		if (w->rates.fail != 0 && w->disk.fails_in == 0)
			w->disk.fails_in = (unsigned)between(&w->chance, 1, 3);
		break;
	case 2:
		if (w->rates.dies != 0 && w->disk.dies_in == 0)
			w->disk.dies_in = (unsigned)between(&w->chance, 1, 3);
		break;
	default:
		break;
	}
}

static void
make_envelopes(struct world *w, struct hb_envelopes *v, struct hb_terms *t)
{
	struct hb_error e;

	t->seed = hb_splitmix64(&w->chance.state);
	if (hb_envelopes_make(v, t, "more", &e) != 0)
		sim_fail(w, "%s", e.text);
}

static void
top_up(struct world *w)
{
	unsigned c = (unsigned)below(&w->chance, w->config.campaigns);
	const struct oracle *o = &w->oracle;
	bool failed = w->server.journal.failed;
	struct hb_envelopes v;
	struct hb_terms t;
	struct hb_error e;

	if (w->campaign[c].leased) {
		lease_something(w, c);
		return;
	}
	make_terms(w, &t, 40);
	if (o->parts[c] == SIM_TOP_UPS || !o->part[c][o->parts[c] - 1].valid ||
		w->envelopes + t.count > w->envelopes_max || o->count[c] + t.count > SIM_NUMBERS)
		return;
	make_envelopes(w, &v, &t);
	change_worry(w);
	oracle_funding(w, c, &t);
	int err = hb_control_top_up(&w->server.control, c, &t, w->now_us, &v, &e);
	bool unsure = change_in_the_dark(w, err, failed);
	hb_envelopes_free(&v);
	oracle_funded(w, c, err, unsure);
	if (err == 0 || unsure)
		w->envelopes += t.count;
	w->totals->topped += err == 0 && !unsure;
	SIM_SAY(w, "campaign %u: topped up with %u envelopes: %s", w->campaign[c].id, t.count,
		err == 0 ? "done" : e.text);
}

static void
add_campaign(struct world *w)
{
	unsigned c = w->config.campaigns;
	struct hb_campaign_config *cc = &w->campaign[c];
	bool failed = w->server.journal.failed;
	struct hb_envelopes v;
	struct hb_error e;

	if (c == SIM_CAMPAIGNS || w->adding)
		return;
	make_envelopes(w, &v, &cc->terms);
	change_worry(w);
	oracle_funding(w, c, &cc->terms);
	w->adding = true;
	int err = hb_control_add(
		&w->server.control, c, cc->id, &cc->terms, cc->wins_per_user, w->now_us, &v, &e);
	bool unsure = change_in_the_dark(w, err, failed);
	hb_envelopes_free(&v);
	oracle_funded(w, c, err, unsure);
	SIM_SAY(w, "campaign %u is added: %s", cc->id, err == 0 ? "done" : e.text);
	w->adding = unsure;
	if (err == 0 || unsure)
		w->envelopes += cc->terms.count;
	if (err != 0 || unsure)
		return;
	w->config.campaigns++;
	w->totals->added++;
	server_publish(w);
}

static void
bar(struct world *w)
{
	unsigned u = (unsigned)below(&w->chance, w->users);
	bool denied = below(&w->chance, 3) == 0;

	if (hb_links_deny(w->server.links, w->server.workers, w->user[u], denied) != 0)
		return;
	SIM_SAY(w, "user %llu is %s", (unsigned long long)w->user[u], denied ? "barred" : "free");
	w->barred[u] = denied;
	if (w->looking && w->look.user == w->user[u])
		w->look_denied = w->look_free = false;
	w->telling[u] = true;
	hb_links_mark(w->server.links, w->server.workers, &w->told[u]);
}

static void
look(struct world *w)
{
	unsigned c = (unsigned)below(&w->chance, w->config.campaigns);
	unsigned pair = c * SIM_USERS + (unsigned)below(&w->chance, w->users);

	if (w->looking)
		return;
	w->look_pair = (uint16_t)pair;
	w->look.user = user_of(w, pair);
	w->look_denied = oracle_free(w, pair);
	w->look_free = oracle_barred(w, pair);
	w->look.rows = 1;
	w->look.row[0].campaign = w->campaign[c].id;
	w->look.row[0].slot = c;
	w->looking = hb_link_look(w->server.links[owner_of(w, pair)], &w->look) == 0;
}

static void
change_quota(struct world *w)
{
	unsigned c = (unsigned)below(&w->chance, w->config.campaigns);
	uint32_t quota = (uint32_t)between(&w->chance, 1, 4);
	struct hb_error e;

	change_worry(w);
	if (hb_control_quota(&w->server.control, c, quota, w->now_us, &e) != 0 || w->disk.dead)
		return;
	SIM_SAY(w, "campaign %u: %u wins a user", w->campaign[c].id, quota);
	w->campaign[c].wins_per_user = quota;
	server_publish(w);
}

void
change_something(struct world *w)
{
	switch (below(&w->chance, 10)) {
	case 0:
	case 1:
	case 2:
		top_up(w);
		break;
	case 3:
		add_campaign(w);
		break;
	case 4:
	case 5:
		bar(w);
		break;
	case 6:
		change_quota(w);
		break;
	case 7:
		w->draining = !w->draining && below(&w->chance, 3) == 0;
		server_publish(w);
		break;
	default:
		look(w);
		break;
	}
}
