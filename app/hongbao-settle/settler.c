/* SPDX-License-Identifier: BSD-3-Clause */
#include "settler.h"

#include "hb_log.h"
#include "hb_migrate.h"
#include "hb_service.h"
#include "hb_settled.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull

/* How often an idle journal is looked at. */
#define IDLE_MS 20

/* How often the journal's end is looked for, while it is far away, and for how long at a time. */
#define SCOUT_NS SECOND_NS
#define SCOUT_MOST_NS (100 * MS_NS)

/* How often hongbaod is told how far it is, and the database that somebody is still here. */
#define NOTE_NS SECOND_NS
#define TELL_NS (10 * SECOND_NS)

/* With --once, how long a database that doesn't answer is waited for. */
#define ONCE_PATIENCE_NS (30 * SECOND_NS)

/* A transaction of less than that share of a second isn't worth its trouble while there is more. */
#define SHARE_OF_SECOND 5

/* A batch that a connection broke with is tried in halves, down to that. */
#define SMALL_BATCH 1000u

/* What a step says of the next. */
enum next {
	GO_ON,
	END_GOOD,
	END_FAILED,
	END_CONFIG,
	END_HOST,
};

static enum hb_exit
exit_code(enum next next)
{
	static const enum hb_exit code[] = {
		[GO_ON] = HB_EXIT_OK,
		[END_GOOD] = HB_EXIT_OK,
		[END_FAILED] = HB_EXIT_FAILED,
		[END_CONFIG] = HB_EXIT_CONFIG,
		[END_HOST] = HB_EXIT_HOST,
	};

	return code[next];
}

/* ---- begin --------------------------------------------------------------------------- */

static enum hb_exit
of_journal(int err)
{
	return err == -EILSEQ ? HB_EXIT_FAILED : err == -ENOMEM ? HB_EXIT_HOST : HB_EXIT_CONFIG;
}

enum hb_exit
settler_begin(struct settler *s)
{
	enum hb_exit code = settle_options_apply(&s->options, &s->config, &s->fault);
	int err;

	if (code != HB_EXIT_OK)
		return code;
	hb_db_begin(&s->db, s->config.database, "hongbao-settle", s->signals->wake_fd);
	if (s->options.migrate || (fleet_asked(&s->options) && !s->options.lost_given) ||
		s->config.journal[0] == '\0')
		return HB_EXIT_OK;
	/* All of it is wanted, and then what is left goes back. */
	if (s->options.lost_given)
		s->options.once = true;
	if ((err = hb_follow_begin(&s->follower, s->config.journal, &s->fault)) != 0 ||
		(err = hb_follow_begin(&s->scout, s->config.journal, &s->fault)) != 0)
		return of_journal(err);
	if (pending_make(&s->pending, &s->fault) != 0)
		return HB_EXIT_HOST;
	if (s->config.archive[0] != '\0' &&
		archiver_begin(&s->archiver, s->config.journal, s->config.archive, &s->fault) != 0)
		return HB_EXIT_CONFIG;
	if (show_begin(s, &s->fault) != 0)
		return HB_EXIT_HOST;
	/* All that is there is wanted, and nobody comes back for the last batch. */
	if (s->options.once)
		s->follower.quiet_ns = s->scout.quiet_ns = 0;
	if (s->options.lease) {
		struct leaser_terms terms = fleet_terms(s);

		if (leaser_begin(&s->leaser, &terms, &s->fault) != 0)
			return HB_EXIT_HOST;
	}
	s->trial = HB_SETTLE_BATCH_MAX;
	hb_pace_set(&s->pace, s->config.rate, hb_mono_ns());
	SET(s->figures.rate_limit, s->config.rate);
	return HB_EXIT_OK;
}

void
settler_end(struct settler *s)
{
	uint64_t one = 1;

	show_end(s);
	/* It ends too where the settling couldn't go on. */
	if (s->leaser.running && write(s->signals->wake_fd, &one, sizeof(one)) == sizeof(one))
		leaser_end(&s->leaser);
	hb_service_free(s->service);
	archiver_end(&s->archiver, false);
	hb_db_close(&s->db);
	if (s->follower.disk != NULL)
		hb_follow_end(&s->follower);
	if (s->scout.disk != NULL)
		hb_follow_end(&s->scout);
	pending_free(&s->pending);
}

enum hb_exit
settler_migrate(struct settler *s)
{
	int n = hb_db_connect(&s->db, &s->fault);

	s->db.patience_ms = HB_DB_LONG_MS;
	if (n == 0)
		n = hb_migrate(&s->db, &s->fault);
	if (n < 0)
		return n == -EAGAIN				      ? HB_EXIT_HOST
		       : n == -EACCES || n == -ENOENT || n == -EPROTO ? HB_EXIT_CONFIG
								      : HB_EXIT_FAILED;
	printf("database %s: the schema is version %u, %d migration%s applied\n", s->db.where,
		hb_migrations_count, n, n == 1 ? "" : "s");
	return HB_EXIT_OK;
}

/* ---- the database -------------------------------------------------------------------- */

static bool
told_to_stop(const struct settler *s)
{
	return s->signals->stop != 0;
}

static void
pause_ms(const struct settler *s, uint64_t ms)
{
	hb_db_pause(&s->db, (unsigned)(ms < 1 ? 1 : ms));
}

/* Something of the database didn't work that may work later: says so and waits, longer each time.
 */
static enum next
try_later(struct settler *s, const struct hb_error *e)
{
	uint64_t now = hb_mono_ns();

	SET(s->figures.up, false);
	s->failing_ns = s->failing_ns == 0 ? now : s->failing_ns;
	if (s->db.fault == HB_DB_STOPPED || told_to_stop(s))
		return END_GOOD;
	if (s->options.once && now - s->failing_ns > ONCE_PATIENCE_NS) {
		s->fault = *e;
		return END_HOST;
	}
	hb_log_limited(HB_LOG_WARNING, 6, "%s", e->text);
	pause_ms(s, hb_backoff_next(&s->backoff));
	return GO_ON;
}

/* Connected, and this journal is this settler's. Stands where the database says. */
static enum next
stand(struct settler *s)
{
	int err = 0;

	s->connected = true;
	s->standby_said = false;
	if (s->settle.next_record != s->pending.first || s->figures.connects == 0) {
		err = hb_follow_seek(&s->follower, &s->settle.place, &s->fault);
		if (err != 0)
			return END_FAILED;
		pending_reset(&s->pending, s->settle.next_record);
		s->damaged = false;
	}
	hb_log(HB_LOG_INFO,
		"journal %s (%016llx of host %u): settled to record %llu in database %s",
		s->config.journal, (unsigned long long)s->follower.id, s->follower.host,
		(unsigned long long)s->settle.next_record, s->db.where);
	SET(s->figures.next_record, s->settle.next_record);
	SET(s->figures.refused, s->settle.refused);
	SET(s->figures.connects, s->figures.connects + 1);
	SET(s->figures.up, true);
	return GO_ON;
}

/* What an error of beginning means for the whole. */
static enum next
cannot_begin(struct settler *s, int err, const struct hb_error *e)
{
	bool once = s->options.once;

	switch (err) {
	case -EEXIST: /* another journal of this host */
	case -ESTALE:
	case -EPROTO: /* another schema */
	case -ENOENT:
		s->fault = *e;
		return END_CONFIG;
	case -EACCES:
		/* A file or an option is wrong; but not if it was right before. */
		if (!s->connected) {
			s->fault = *e;
			return END_CONFIG;
		}
		break;
	case -EBUSY:
		/* But after a connection that broke it may be what is left of that. */
		if (once && s->figures.connects == 0) {
			s->fault = *e;
			return END_FAILED;
		}
		if (!s->standby_said)
			hb_log(HB_LOG_WARNING, "%s; this one waits to take over", e->text);
		s->standby_said = true;
		pause_ms(s, hb_backoff_next(&s->backoff));
		return told_to_stop(s) ? END_GOOD : GO_ON;
	default:
		break;
	}
	return try_later(s, e);
}

/* Connects until it is connected. */
static enum next
connect_database(struct settler *s)
{
	enum next next = GO_ON;
	struct hb_error e;

	while (next == GO_ON && !told_to_stop(s)) {
		int err = hb_db_connect(&s->db, &e);

		if (err == 0)
			err = hb_settle_begin(&s->settle, &s->db, s->follower.id, s->follower.host,
				s->options.adopt, &e);
		if (err == 0)
			return stand(s);
		SET(s->figures.errors[s->db.fault], s->figures.errors[s->db.fault] + 1);
		hb_db_close(&s->db);
		next = cannot_begin(s, err, &e);
		show_progress(s, hb_mono_ns());
	}
	return next == GO_ON ? END_GOOD : next;
}

/* ---- the journal --------------------------------------------------------------------- */

/* Reads on as far as there is room. */
static void
gather(struct settler *s)
{
	const struct hb_record *records;
	struct hb_batch_place place;
	int n = 1;

	s->at_end = false;
	while (!s->damaged && pending_room(&s->pending) && n > 0) {
		n = hb_follow(&s->follower, hb_mono_ns(), &records, &place, &s->fault);
		if (n > 0)
			pending_add(&s->pending, records, (unsigned)n, &place);
	}
	s->at_end = n == 0;
	s->damaged |= n < 0;
	if (s->follower.seen > s->figures.known)
		SET(s->figures.known, s->follower.seen);
}

/* Looks for the journal's end, when that is behind what is pending. */
static void
look_ahead(struct settler *s, uint64_t now)
{
	const struct hb_record *records;
	struct hb_batch_place place;
	struct hb_error e;

	if (s->at_end || now - s->scouted_ns < SCOUT_NS)
		return;
	s->scouted_ns = now;
	/* What is wrong there shows when the follower gets there. */
	if (hb_follow_to_last(&s->scout, &e) != 0)
		return;
	while (hb_follow(&s->scout, hb_mono_ns(), &records, &place, &e) > 0 &&
		hb_mono_ns() - now < SCOUT_MOST_NS)
		;
	if (s->scout.seen > s->figures.known)
		SET(s->figures.known, s->scout.seen);
}

/* With --once: all that is there at the start is the goal. */
static enum next
set_goal(struct settler *s)
{
	const struct hb_record *records;
	struct hb_batch_place place;
	int n = hb_follow_to_last(&s->scout, &s->fault);

	while (n == 0 && (n = hb_follow(&s->scout, hb_mono_ns(), &records, &place, &s->fault)) > 0)
		n = 0;
	s->goal = s->scout.next.record;
	SET(s->figures.known, s->goal);
	return GO_ON;
}

/* ---- a transaction ------------------------------------------------------------------- */

/* Money that has to be paid out. */
static uint64_t
fen_of(const struct hb_record *r, unsigned n)
{
	uint64_t fen = 0;

	for (unsigned i = 0; i < n; i++) {
		if ((r[i].type == HB_RECORD_WIN && r[i].aux == HB_WIN_PLAIN) ||
			r[i].type == HB_RECORD_GRAB || r[i].type == HB_RECORD_REFUND)
			fen += r[i].amount;
	}
	return fen;
}

/* The first n of what is pending are in the database. */
static void
done(struct settler *s, unsigned n, uint64_t took_ns)
{
	struct settle_figures *f = &s->figures;

	SET(f->settled, f->settled + n);
	SET(f->settled_fen, f->settled_fen + fen_of(pending_records(&s->pending), n));
	SET(f->transactions, f->transactions + 1);
	SET(f->transaction_ns, f->transaction_ns + took_ns);
	SET(f->next_record, s->settle.next_record);
	SET(f->refused, s->settle.refused);
	SET(f->committed_us, hb_wall_us());
	SET(f->up, true);
	pending_done(&s->pending, n);
	hb_pace_take(&s->pace, n);
	hb_backoff_reset(&s->backoff);
	s->failing_ns = 0;
	archiver_tell(&s->archiver, s->settle.place.segment);
}

/* The database refused one of the n records: fewer are tried until it is found; that one is set
 * aside, with the reason, as long as that isn't too many. */
static enum next
refused(struct settler *s, unsigned n, const struct hb_error *e)
{
	const struct hb_record *r = pending_records(&s->pending);
	uint64_t number = s->pending.first;
	struct hb_error why = *e;

	if (n > 1) {
		s->trial = n / 2;
		return GO_ON;
	}
	if (s->settle.refused >= s->config.set_aside) {
		hb_fail(&s->fault, EINVAL,
			"record %llu (type %u, user %llu, %u fen) isn't settled, nor is what "
			"follows it: %s; %llu were set aside before, which is all that set_aside: "
			"allows: look at hongbao.refused",
			(unsigned long long)number, r->type, (unsigned long long)r->user, r->amount,
			e->text, (unsigned long long)s->settle.refused);
		return END_FAILED;
	}
	if (hb_settle_set_aside(&s->settle, r, pending_place(&s->pending, 1), s->figures.known,
		    e->text, &why) != 0)
		return try_later(s, &why);
	hb_log_limited(HB_LOG_ERROR, 20,
		"record %llu (type %u, user %llu, %u fen) is refused and set aside in "
		"hongbao.refused: %s",
		(unsigned long long)number, r->type, (unsigned long long)r->user, r->amount,
		e->text);
	s->trial = HB_SETTLE_BATCH_MAX;
	done(s, 1, 0);
	return GO_ON;
}

static enum next
put(struct settler *s, unsigned n)
{
	uint64_t start = hb_mono_ns();
	struct hb_error e;
	int err = hb_settle_put(&s->settle, pending_records(&s->pending), n,
		pending_place(&s->pending, n), s->figures.known, &e);

	if (err == 0) {
		done(s, n, hb_mono_ns() - start);
		s->trial = 2 * s->trial < HB_SETTLE_BATCH_MAX ? 2 * s->trial : HB_SETTLE_BATCH_MAX;
		return GO_ON;
	}
	if (err == -EPROTO) {
		s->fault = e;
		return END_FAILED;
	}
	SET(s->figures.errors[s->db.fault], s->figures.errors[s->db.fault] + 1);
	if (err == -EINVAL && s->db.fault == HB_DB_REFUSED)
		return refused(s, n, &e);
	/* A standby may have been named where a primary is by now; and where the position is
	 * another one, all begins anew. */
	if (err == -ESTALE || s->db.fault == HB_DB_READ_ONLY)
		hb_db_close(&s->db);
	/* It may have been too much for the time that an answer may take. */
	if (s->db.fault == HB_DB_AWAY && n > SMALL_BATCH)
		s->trial = n / 2;
	return try_later(s, &e);
}

/* How many records go over next; 0 with *wait_ms when they are to wait. */
static unsigned
how_many(struct settler *s, uint64_t *wait_ms)
{
	uint64_t now = hb_mono_ns(), may = hb_pace_may(&s->pace, now);
	uint64_t want = s->pending.count < s->config.batch ? s->pending.count : s->config.batch;
	uint64_t share = s->pace.rate / SHARE_OF_SECOND + 1;

	want = want < s->trial ? want : s->trial;
	if (s->pace.rate != 0 && want > share)
		want = share;
	*wait_ms = may >= want ? 0 : hb_pace_wait_ns(&s->pace, want, now) / MS_NS + 1;
	return may >= want ? (unsigned)want : 0;
}

/* ---- now and then -------------------------------------------------------------------- */

/* Tells hongbaod how far it is. */
static void
note(struct settler *s, uint64_t now)
{
	struct hb_settled n = {
		.journal = s->follower.id,
		.host = s->follower.host,
		.record = s->settle.next_record,
		.segment = s->settle.place.segment,
		.time_us = hb_wall_us(),
	};
	struct hb_error e;

	if (now - s->noted_ns < NOTE_NS || !SEE(s->figures.up))
		return;
	/* The time alone is news too, if not each second. */
	if (n.record == s->noted_record && now - s->noted_ns < TELL_NS)
		return;
	s->noted_ns = now;
	s->noted_record = n.record;
	if (hb_settled_write(s->config.journal, &n, &e) != 0)
		hb_log_limited(HB_LOG_WARNING, 2, "%s", e.text);
}

/* SIGHUP: what can change while it runs. */
static void
reload(struct settler *s)
{
	struct hb_settle_config c;
	struct hb_error e;

	if (s->signals->reload == s->reloads_seen)
		return;
	s->reloads_seen = s->signals->reload;
	if (settle_options_apply(&s->options, &c, &e) != HB_EXIT_OK) {
		hb_log(HB_LOG_ERROR, "%s; it goes on as before", e.text);
		return;
	}
	if (c.rate != s->config.rate)
		hb_pace_set(&s->pace, c.rate, hb_mono_ns());
	s->config.rate = c.rate;
	s->config.batch = c.batch;
	s->config.set_aside = c.set_aside;
	SET(s->figures.rate_limit, c.rate);
	hb_log(HB_LOG_INFO, "rate %llu a second, batch %llu, set_aside %llu from now on",
		(unsigned long long)c.rate, (unsigned long long)c.batch,
		(unsigned long long)c.set_aside);
}

static enum next
look_around(struct settler *s)
{
	uint64_t now = hb_mono_ns();
	struct hb_error e;

	reload(s);
	look_ahead(s, now);
	note(s, now);
	show_progress(s, now);
	hb_log_settle();
	if (now - s->told_ns < TELL_NS || s->pending.count > 0)
		return GO_ON;
	s->told_ns = now;
	if (hb_settle_tell(&s->settle, s->figures.known, &e) == 0)
		return GO_ON;
	SET(s->figures.errors[s->db.fault], s->figures.errors[s->db.fault] + 1);
	return try_later(s, &e);
}

/* ---- all of it ----------------------------------------------------------------------- */

/* Nothing is pending. */
static enum next
nothing_left(struct settler *s)
{
	if (s->damaged)
		return END_FAILED;
	if (s->options.once && (s->at_end || s->settle.next_record >= s->goal))
		return END_GOOD;
	if (s->at_end)
		pause_ms(s, IDLE_MS);
	return GO_ON;
}

static enum next
turn(struct settler *s)
{
	enum next next;
	uint64_t wait_ms;

	if (!hb_db_up(&s->db) && (next = connect_database(s)) != GO_ON)
		return next;
	gather(s);
	if ((next = look_around(s)) != GO_ON || !hb_db_up(&s->db))
		return next;
	if (s->pending.count == 0)
		return nothing_left(s);
	unsigned n = how_many(s, &wait_ms);

	if (n > 0)
		return put(s, n);
	pause_ms(s, wait_ms < 200 ? wait_ms : 200);
	return GO_ON;
}

/* The last word, of a run that came to its end. */
static void
say_end(struct settler *s)
{
	char n[2][32];

	hb_log(HB_LOG_INFO, "%s records settled in %s transactions; the journal's next is %llu",
		hb_thousands(s->figures.settled, n[0]), hb_thousands(s->figures.transactions, n[1]),
		(unsigned long long)s->settle.next_record);
	if (s->follower.torn && s->options.once)
		hb_log(HB_LOG_INFO,
			"behind it stands a batch that isn't finished; nobody was told of it");
}

enum hb_exit
settler_run(struct settler *s)
{
	enum next next = s->options.once ? set_goal(s) : GO_ON;

	while (next == GO_ON && !told_to_stop(s))
		next = turn(s);
	show_end(s);
	if (s->figures.connects > 0) {
		s->noted_ns = s->noted_record = 0;
		note(s, hb_mono_ns());
		say_end(s);
	}
	if (!archiver_end(&s->archiver, s->options.once && next == END_GOOD) && next == END_GOOD &&
		s->options.once) {
		hb_fail(&s->fault, EIO, "all is settled, but not all of it is in the archive");
		next = END_FAILED;
	}
	return exit_code(next);
}
