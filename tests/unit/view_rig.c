/* SPDX-License-Identifier: BSD-3-Clause */
#include "view_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a state ------------------------------------------------------------------------- */

void *
must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static struct hb_histogram *
histogram(void)
{
	return must(calloc(1, sizeof(struct hb_histogram)));
}

static void
make_config(struct view_rig *s, unsigned workers, unsigned campaigns)
{
	struct hb_config *c = &s->config;

	c->workers = workers;
	c->host = 5;
	c->log_level = 2;
	snprintf(c->path, sizeof(c->path), "/etc/hongbao.yaml");
	snprintf(c->journal, sizeof(c->journal), "/var/lib/journal");
	c->campaigns = campaigns;
	c->campaign = must(calloc(campaigns, sizeof(*c->campaign)));
	for (unsigned i = 0; i < campaigns; i++) {
		struct hb_campaign_config *of = &c->campaign[i];

		*of = (struct hb_campaign_config){
			.id = (uint16_t)(7 + i),
			.slot = i,
			.opens_us = 1400000000000000,
			.closes_us = 4000000000000000,
			.terms = {.count = 1000, .total = 50000, .split = HB_SPLIT_LUCKY},
			.odds = 0.25,
			.wins_per_user = 1,
			.wait_ms = 500,
		};
		snprintf(of->name, sizeof(of->name), "gala \"%u\" \\", i);
	}
}

static void
make_worker(struct view_rig *s, unsigned w, unsigned campaigns)
{
	struct hb_worker *of = must(aligned_alloc(HB_CACHE_LINE, sizeof(*of)));

	memset(of, 0, sizeof(*of));
	of->index = w;
	of->workers = s->config.workers;
	of->stats.admission = 1000;
	of->service_ns = histogram();
	of->link.books = must(calloc(campaigns, sizeof(*of->link.books)));
	s->workers[w] = of;
	s->links[w] = &of->link;
}

static void
make_control(struct view_rig *s, unsigned campaigns)
{
	struct hb_control *c = &s->control;

	c->campaigns = campaigns;
	c->workers = s->config.workers;
	c->ledger = must(calloc(campaigns, sizeof(*c->ledger)));
	c->durable_us = histogram();
	c->flush_ns = histogram();
	for (unsigned i = 0; i < campaigns; i++) {
		c->ledger[i].campaign = s->config.campaign[i].id;
		c->ledger[i].funded = 1000;
		c->ledger[i].funded_fen = 50000;
	}
}

static void
make_port(struct view_rig *s)
{
	struct hb_port *p = &s->ports.port[0];

	s->ports.count = 1;
	*p = (struct hb_port){
		.rx_queues = 2,
		.tx_queues = 2,
		.steering = HB_STEERING_RSS,
		.key = {0xab, 0x01},
		.key_bytes = 2,
		.reta_entries = 128,
		.seen = true,
		.up = true,
		.name = "0000:01:00.0",
		.driver = "net_ixgbe",
		.why = "key and RETA set",
	};
}

struct view_rig *
view_rig_make(unsigned workers, unsigned campaigns)
{
	struct view_rig *s = must(calloc(1, sizeof(*s)));

	make_config(s, workers, campaigns);
	s->workers = must(calloc(workers, sizeof(*s->workers)));
	s->links = must(calloc(workers, sizeof(*s->links)));
	for (unsigned w = 0; w < workers; w++)
		make_worker(s, w, campaigns);
	make_control(s, campaigns);
	make_port(s);
	s->snapshot = must(hb_snapshot_make(&s->config));
	s->snapshot->version = 3;
	s->journal.segment = 2;
	s->journal.segment_bytes = 64 << 20;
	s->journal.at = 8192;
	s->view = (struct hb_view){
		.workers = s->workers,
		.links = s->links,
		.control = &s->control,
		.ports = &s->ports,
		.journal = &s->journal,
		.snapshot = &s->snapshot,
		.version = "1.2.3",
		.started_us = 1700000000000000,
		.tsc_hz = 1000000000,
		.n_workers = workers,
	};
	s->view.rates = must(hb_rates_make(&s->view));
	s->now_ns = 5 * SECOND_NS;
	return s;
}

void
view_rig_free(struct view_rig *s)
{
	hb_rates_free(s->view.rates);
	hb_snapshot_free(s->snapshot);
	free(s->control.ledger);
	free(s->control.durable_us);
	free(s->control.flush_ns);
	for (unsigned w = 0; w < s->config.workers; w++) {
		free(s->workers[w]->service_ns);
		free(s->workers[w]->link.books);
		free(s->workers[w]);
	}
	free(s->workers);
	free(s->links);
	free(s->config.campaign);
	free(s);
}

/* A second goes by, and a sample is taken. */
void
view_rig_tick(struct view_rig *s)
{
	hb_rates_sample(s->view.rates, &s->view, s->now_ns);
	s->now_ns += SECOND_NS;
}

/* A worker gives envelopes, and the control core has them in the journal. */
void
view_rig_give(struct view_rig *s, unsigned w, unsigned slot, unsigned n, bool durable)
{
	struct hb_book *b = &s->workers[w]->link.books[slot];
	struct hb_ledger *l = &s->control.ledger[slot];

	b->given += n;
	b->given_fen += 50 * n;
	b->stock -= n;
	s->workers[w]->stats.wins += n;
	s->workers[w]->stats.fen += 50 * n;
	if (!durable)
		return;
	l->journalled += n;
	l->journalled_fen += 50 * n;
	s->control.records += n;
}

/* ---- JSON ---------------------------------------------------------------------------- */

uint64_t
json_number_of(const json_t *o, const char *key)
{
	const json_t *n = json_object_get(o, key);

	if (!json_is_integer(n))
		fail_msg("%s: no integer", key);
	return (uint64_t)json_integer_value(n);
}

double
json_real_of(const json_t *o, const char *key)
{
	const json_t *n = json_object_get(o, key);

	if (!json_is_real(n))
		fail_msg("%s: no real", key);
	return json_real_value(n);
}

const char *
json_text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	if (t == NULL)
		fail_msg("%s: no text", key);
	return t;
}

/* The row of a table in which a key has a value. */
const json_t *
json_row_of(const json_t *o, const char *table, const char *key, const char *is)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(o, table), i, r)
	{
		if (strcmp(json_text_of(r, key), is) == 0)
			return r;
	}
	fail_msg("%s: no row with %s %s", table, key, is);
	return NULL;
}
