/* SPDX-License-Identifier: BSD-3-Clause */
#include "tuning.h"

#include "commands.h"
#include "daemon.h"
#include "hb_log.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The log of changes, in the journal's directory: a line of JSON for each. */
#define LOG_NAME "changes.jsonl"

/* How soon a change that waits for workers is looked at again, and for how long it is waited for.
 */
#define LOOK_AGAIN_US 50
#define PATIENCE_NS (5 * 1000000000ull)

/* How much of its end is read at the start. */
#define RECALL_BYTES (64 << 10)

/* How soon the log of changes is flushed again. */
#define FLUSH_AGAIN_US 100000

/* Envelopes that are made before others get their turn: under a millisecond. */
#define MAKE_AT_ONCE 65536u

/* A worker that is busy turns in less than this, so that most changes never wait for the timer; but
 * whoever waits on a worker's own CPU keeps it from turning. */
#define SPIN_NS 50000

/* ---- versions ------------------------------------------------------------------------ */

const struct hb_config *
tuning_config(const struct tuning *t)
{
	return t->version[t->versions - 1].config;
}

static void
free_version(struct version *v)
{
	hb_config_free(v->config);
	hb_changes_free(&v->changes);
}

void
tuning_who(const struct hb_peer *peer, char *who, size_t bytes)
{
	if (peer == NULL)
		snprintf(who, bytes, "hongbaod");
	else
		snprintf(who, bytes, "%s (uid %u, pid %d)", peer->name, peer->uid, peer->pid);
}

/* Takes the configuration over, and a copy of the changes. */
static void
add_version(struct tuning *t, const struct hb_peer *peer, struct hb_config *config,
	const struct hb_changes *changes)
{
	uint32_t number = t->versions == 0 ? 1 : t->version[t->versions - 1].number + 1;

	if (t->versions == VERSIONS_KEPT) {
		free_version(&t->version[0]);
		memmove(&t->version[0], &t->version[1],
			(VERSIONS_KEPT - 1) * sizeof(t->version[0]));
		t->versions--;
	}
	struct version *v = &t->version[t->versions++];

	*v = (struct version){.number = number, .time_us = hb_wall_us(), .config = config};
	tuning_who(peer, v->who, sizeof(v->who));
	if (changes == NULL || changes->count == 0)
		return;
	v->changes.of = calloc(changes->count, sizeof(*changes->of));
	if (v->changes.of == NULL)
		return;
	memcpy(v->changes.of, changes->of, changes->count * sizeof(*changes->of));
	v->changes.count = v->changes.room = changes->count;
}

/* ---- the log of changes -------------------------------------------------------------- */

json_t *
tuning_changes_json(const struct hb_changes *changes)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < changes->count; i++) {
		const struct hb_change *c = &changes->of[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "key", c->key, "before",
						    c->before, "after", c->after));
	}
	return list;
}

/* A thread of its own, since a flush takes as long as the disk; and not again at once, since the
 * journal wants the disk too. What was written meanwhile goes with the next one. */
static void *
flush_log(void *arg)
{
	struct tuning *t = arg;
	uint64_t n;

	pthread_setname_np(pthread_self(), "hb-changes");
	while (!__atomic_load_n(&t->flusher_over, __ATOMIC_ACQUIRE)) {
		if (read(t->flusher_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
			continue;
		if (fdatasync(t->log) != 0)
			hb_log_limited(HB_LOG_ERROR, 1, "journal %s: cannot flush %s: %s",
				t->d->config->journal, LOG_NAME, strerror(errno));
		usleep(FLUSH_AGAIN_US);
	}
	return NULL;
}

static void
wake_flusher(struct tuning *t)
{
	uint64_t one = 1;

	/* It can only fail where it is readable anyway. */
	if (t->flushes && write(t->flusher_fd, &one, sizeof(one)) < 0)
		return;
}

/* Off the workers' CPUs, as the thread that begins it is. */
static int
begin_flusher(struct tuning *t, struct hb_error *e)
{
	sigset_t all, before;
	int err;

	t->flusher_fd = eventfd(0, EFD_CLOEXEC);
	if (t->flusher_fd < 0)
		return hb_fail(e, errno, "eventfd: %s; allow more open files", strerror(errno));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t->flusher, NULL, flush_log, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	t->flushes = err == 0;
	return err == 0 ? 0 : hb_fail(e, err, "no thread to flush %s: %s", LOG_NAME, strerror(err));
}

/* Returns when every line is on the disk. */
static void
end_flusher(struct tuning *t)
{
	if (t->flushes) {
		__atomic_store_n(&t->flusher_over, true, __ATOMIC_RELEASE);
		wake_flusher(t);
		pthread_join(t->flusher, NULL);
		fdatasync(t->log);
	}
	if (t->flusher_fd > 0)
		close(t->flusher_fd);
	t->flushes = false;
}

void
tuning_log(struct tuning *t, const struct hb_peer *peer, const char *command,
	const struct hb_changes *changes)
{
	char who[128];
	json_t *line;

	tuning_who(peer, who, sizeof(who));
	line = json_pack("{s:I, s:s, s:s, s:i, s:o}", "time_us", (json_int_t)hb_wall_us(), "who",
		who, "command", command, "version", (int)t->version[t->versions - 1].number,
		"changes", tuning_changes_json(changes));
	char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
	hb_warroom_mark(t->d->serving.warroom, line);

	/* In one write, so that lines of different writers never mix. */
	if (text != NULL) {
		size_t n = strlen(text);

		text[n] = '\n';
		if (t->log >= 0 && write(t->log, text, n + 1) != (ssize_t)(n + 1))
			hb_log_limited(HB_LOG_ERROR, 1, "journal %s: cannot write %s: %s",
				t->d->config->journal, LOG_NAME, strerror(errno));
		wake_flusher(t);
	}
	free(text);
	json_decref(line);
}

/* Shows the war room the last changes of earlier runs. A line that can't be read, such as the first
 * of these bytes may be, is left out: this is for people to look at. */
static void
recall_changes(struct tuning *t)
{
	off_t end = lseek(t->log, 0, SEEK_END), from = end > RECALL_BYTES ? end - RECALL_BYTES : 0;
	char *text = malloc(RECALL_BYTES + 1), *rest = text, *line;
	ssize_t n = text == NULL ? -1 : pread(t->log, text, RECALL_BYTES, from);

	if (n > 0) {
		text[n] = '\0';
		while ((line = strsep(&rest, "\n")) != NULL) {
			json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

			hb_warroom_mark(t->d->serving.warroom, o);
			json_decref(o);
		}
	}
	free(text);
}

/* ---- a change's end ------------------------------------------------------------------ */

static void begin_next(struct tuning *t);

static void
free_change(struct change *c)
{
	for (unsigned i = 0; i < c->fundings; i++) {
		if (!c->funding[i].done)
			hb_envelopes_free(&c->funding[i].envelopes);
	}
	free(c->funding);
	free(c->bar);
	free(c->quota);
	hb_snapshot_free(c->snapshot);
	hb_config_free(c->next);
	hb_changes_free(&c->changes);
	free(c);
}

/* Takes the change off the queue and begins the next one. */
static void
finish(struct change *c)
{
	struct tuning *t = c->t;

	t->first = c->behind;
	if (t->first == NULL)
		t->last = NULL;
	free_change(c);
	begin_next(t);
}

static void
refuse(struct change *c, int err, const struct hb_error *e)
{
	enum hb_refusal why = HB_REFUSAL_REFUSED;

	if (err == -EAGAIN || err == -EBUSY)
		why = HB_REFUSAL_BUSY;
	else if (err == -EIO || err == -ENOSPC || err == -ENOMEM)
		why = HB_REFUSAL_FAILED;
	if (c->ask != NULL)
		hb_ask_refuse(c->ask, why, NULL, "%s", e->text);
	else
		hb_log(HB_LOG_ERROR, "%s: nothing was changed: %s", c->command, e->text);
	finish(c);
}

/* When the last of the workers came to see what is published. */
static uint64_t
seen_last_ns(const struct tuning *t)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < t->d->config->workers; i++) {
		uint64_t seen = hb_read(&t->d->worker[i]->stats.version_ns);

		last = seen > last ? seen : last;
	}
	return last;
}

/* Tells what was, or would be, changed. */
static void
answer(struct change *c, bool seen)
{
	struct tuning *t = c->t;
	json_t *o;

	const struct version *v = &t->version[t->versions - 1];

	if (c->ask == NULL) {
		hb_log(HB_LOG_INFO, "%s: %u change%s, version %u", c->command, c->changes.count,
			c->changes.count == 1 ? "" : "s", v->number);
		finish(c);
		return;
	}
	o = json_pack("{s:i, s:b, s:o}", "version", (int)v->number, "applied", !c->dry, "changes",
		tuning_changes_json(&c->changes));
	if (!c->dry) {
		json_object_set_new(o, "workers", json_integer(t->d->config->workers));
		json_object_set_new(o, "seen_by_all", json_boolean(seen));
		if (c->durable_ns != 0)
			json_object_set_new(o, "durable_ns",
				json_integer((json_int_t)(c->durable_ns - c->asked_ns)));
		if (seen && c->version != 0)
			json_object_set_new(o, "in_force_ns",
				json_integer((json_int_t)(seen_last_ns(t) - c->asked_ns)));
		json_object_set_new(
			o, "took_ns", json_integer((json_int_t)(hb_mono_ns() - c->asked_ns)));
		json_object_set_new(o, "saved", json_boolean(v->number == t->saved));
		if (c->err == -EALREADY)
			json_object_set_new(o, "repeated", json_true());
		if (c->unkept.text[0] != '\0')
			json_object_set_new(o, "warning", json_string(c->unkept.text));
	}
	hb_ask_answer(c->ask, o);
	finish(c);
}

/* ---- to the workers ------------------------------------------------------------------ */

bool
tuning_seen(const struct tuning *t)
{
	for (unsigned i = 0; i < t->d->config->workers; i++) {
		if (__atomic_load_n(&t->d->worker[i]->stats.version, __ATOMIC_ACQUIRE) <
			t->published->version)
			return false;
	}
	return true;
}

static void
go_on_soon(struct change *c, void (*go_on)(struct change *c), unsigned us)
{
	c->go_on = go_on;
	event_add(c->t->timer, &(struct timeval){.tv_usec = us});
}

/* Whether all workers have seen it, or it is of no use to wait. */
static void
await_workers(struct change *c)
{
	uint64_t now = hb_mono_ns(), until = now + (c->t->beside_worker ? 0 : SPIN_NS);
	bool seen;

	while (!(seen = tuning_seen(c->t)) && hb_mono_ns() < until)
		;
	if (seen || now - c->since_ns > PATIENCE_NS)
		answer(c, seen);
	else
		go_on_soon(c, await_workers, LOOK_AGAIN_US);
}

static void
publish(struct tuning *t, struct hb_snapshot *s)
{
	s->draining = t->draining;
	hb_publish(t->published, s);
}

/* ---- a change that failed in the middle ----------------------------------------------- */

static struct hb_campaign_config *
campaign_in_slot(struct hb_config *c, unsigned slot)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].slot == slot)
			return &c->campaign[i];
	}
	return NULL;
}

/* The campaigns that were funded. */
static int
keep_funded(const struct change *c, struct hb_config *config)
{
	struct hb_campaign_config *all = realloc(
		config->campaign, (config->campaigns + c->funded + 1) * sizeof(*config->campaign));

	if (all == NULL)
		return -ENOMEM;
	config->campaign = all;
	for (unsigned i = 0; i < c->funded; i++) {
		const struct hb_campaign_config *from =
			campaign_in_slot(c->next, c->funding[i].slot);

		if (!c->funding[i].top_up && from != NULL)
			all[config->campaigns++] = *from;
	}
	return 0;
}

int
tuning_compare_users(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
keep_bars(const struct change *c, struct hb_config *config)
{
	uint64_t *deny = realloc(config->deny, (config->denied + c->barred + 1) * sizeof(*deny));
	unsigned kept = 0;

	if (deny == NULL)
		return -ENOMEM;
	config->deny = deny;
	/* Bars stand in the order of their users. */
	for (unsigned k = 0; k < config->denied; k++) {
		if (bsearch(&deny[k], c->bar, c->barred, sizeof(*c->bar), tuning_compare_users) ==
			NULL)
			deny[kept++] = deny[k];
	}
	for (unsigned i = 0; i < c->barred; i++) {
		if (c->bar[i].up)
			deny[kept++] = c->bar[i].user;
	}
	config->denied = kept;
	return 0;
}

/* Of a change that failed in the middle only what was done is to be in force: the money, which
 * can't be taken back, what a user may win, and the bars; no other setting. */
static int
keep_what_was_done(struct change *c)
{
	const struct hb_config *now = tuning_config(c->t);
	struct hb_config *config = hb_config_copy(now);
	struct hb_campaign_config *campaign;

	if (config == NULL || keep_funded(c, config) != 0 || keep_bars(c, config) != 0) {
		hb_config_free(config);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < c->quotas_done; i++) {
		if ((campaign = campaign_in_slot(config, c->quota[i].slot)) != NULL)
			campaign->wins_per_user = c->quota[i].wins;
	}
	hb_config_free(c->next);
	c->next = config;
	hb_changes_free(&c->changes);
	c->changes = (struct hb_changes){0};
	if (hb_config_compare(now, c->next, &c->changes, NULL) != 0)
		return -ENOMEM;
	c->differences = c->changes.count;
	hb_snapshot_free(c->snapshot);
	c->snapshot = hb_publish_make(c->t->published, c->next);
	return c->snapshot == NULL ? -ENOMEM : 0;
}

/* ---- new campaigns into the file ------------------------------------------------------- */

static bool
has_campaign(const struct hb_config *c, uint16_t id)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id == id)
			return true;
	}
	return false;
}

/* Adds the campaigns that a change brought to a configuration, where they aren't in it. Returns how
 * many, or -ENOMEM. */
static int
add_new_campaigns(const struct change *c, const struct hb_config *from, struct hb_config *to)
{
	struct hb_campaign_config *all =
		realloc(to->campaign, (to->campaigns + c->fundings + 1) * sizeof(*all));
	int added = 0;

	if (all == NULL)
		return -ENOMEM;
	to->campaign = all;
	for (unsigned i = 0; i < from->campaigns; i++) {
		bool new = false;

		for (unsigned k = 0; k < c->funded; k++)
			new |= !c->funding[k].top_up &&
			       c->funding[k].slot == from->campaign[i].slot;
		if (!new || has_campaign(to, from->campaign[i].id))
			continue;
		all[to->campaigns++] = from->campaign[i];
		added++;
	}
	return added;
}

/* Writes what has been funded into the file at once, beside what stands there, whatever else is not
 * saved: its money is in the journal, and the next start must know what to do with it. Where that
 * cannot be the change stands all the same, and its answer says so. */
static void
keep_in_file(struct change *c)
{
	struct tuning *t = c->t;
	const struct hb_config *now = tuning_config(t);
	struct hb_config *file = NULL;
	struct hb_error why;
	int n = 0;

	if (c->from_file || hb_config_load(&file, now->path, &why) != 0)
		n = c->from_file ? 0 : -EINVAL;
	else if ((n = add_new_campaigns(c, now, file)) < 0)
		hb_fail(&why, ENOMEM, "no memory for it");
	else if (n > 0)
		n = hb_config_save(file, &why);
	hb_config_free(file);
	if (n >= 0)
		return;
	hb_fail(&c->unkept, EIO,
		"%s: the new campaign is not in it, and a start without it does not serve its "
		"money; mend it, then: hongbaoctl config save (%s)",
		now->path, why.text);
	hb_log(HB_LOG_WARNING, "%s", c->unkept.text);
}

/* ---- in force -------------------------------------------------------------------------- */

/* The prepared configuration becomes the present one. A file that held the one before holds this
 * one too, where new campaigns are all that is new. */
static void
make_version(struct change *c, const struct hb_peer *peer)
{
	struct tuning *t = c->t;
	bool was_saved = t->saved == t->version[t->versions - 1].number;
	unsigned new_campaigns = 0;

	for (unsigned i = 0; i < c->funded; i++)
		new_campaigns += !c->funding[i].top_up;

	hb_log_set_level(c->next->log_level);
	add_version(t, peer, c->next, &c->changes);
	c->next = NULL;
	if (new_campaigns > 0)
		keep_in_file(c);
	bool kept = new_campaigns > 0 && c->unkept.text[0] == '\0';
	if (c->from_file || (was_saved && kept && c->differences == new_campaigns))
		t->saved = t->version[t->versions - 1].number;
}

/* Puts the prepared configuration in force. What is no setting is published too: who sees that has
 * carried out what came before. */
static void
put_in_force(struct change *c)
{
	struct tuning *t = c->t;
	const struct hb_peer *peer = c->ask == NULL ? NULL : hb_ask_peer(c->ask);

	/* Whose the slices are that come, the database says: until the term is renewed with them
	 * nothing of shared budgets is given. */
	if ((c->next->slices & ~tuning_config(t)->slices) != 0)
		hb_control_renew(c->control, 0);
	publish(t, c->snapshot);
	c->snapshot = NULL;
	c->version = t->published->version;
	c->since_ns = hb_mono_ns();
	/* Money alone changes no setting, and makes no version. */
	if (c->differences > 0)
		make_version(c, peer);
	tuning_log(t, peer, c->command, &c->changes);
	if (c->err != 0)
		refuse(c, c->err, &c->e);
	else
		await_workers(c);
}

/* Only a part could be done: that is put in force, and the rest told as an error. */
static void
end_in_part(struct change *c)
{
	struct hb_error why = c->e;
	bool kept = keep_what_was_done(c) == 0;

	hb_fail(&c->e, -c->err,
		"done in part only (%u of %u fundings, %u of %u bars; see: hongbaoctl config "
		"versions): %s",
		c->funded, c->fundings, c->barred, c->bars, why.text);
	if (kept)
		put_in_force(c);
	else
		refuse(c, c->err, &c->e);
}

static void
too_late(struct change *c)
{
	c->err = -EBUSY;
	hb_fail(&c->e, EBUSY, "the workers did not take it in within %llu s; try again",
		PATIENCE_NS / 1000000000);
}

/* Tells the workers of the bars: what their rings take, and the rest when they have carried that
 * out. */
static void
tell_bars(struct change *c)
{
	struct daemon *d = c->t->d;

	for (; c->barred < c->bars; c->barred++) {
		const struct bar *b = &c->bar[c->barred];

		if (hb_links_deny(d->link, d->config->workers, b->user, b->up) != 0)
			break;
		c->since_ns = 0;
	}
	if (c->barred == c->bars) {
		put_in_force(c);
		return;
	}
	if (c->since_ns == 0)
		c->since_ns = hb_mono_ns();
	if (hb_mono_ns() - c->since_ns < PATIENCE_NS) {
		go_on_soon(c, tell_bars, LOOK_AGAIN_US);
		return;
	}
	too_late(c);
	if (c->funded == 0 && c->quotas_done == 0 && c->barred == 0)
		refuse(c, c->err, &c->e);
	else
		end_in_part(c);
}

/* ---- on the control core ------------------------------------------------------------- */

static int
fund(struct change *c, struct funding *f)
{
	/* The last moment at which somebody looks before it is in the journal. */
	if (f->expires_ns != 0 && hb_boot_ns() >= f->expires_ns)
		return hb_fail(&c->e, ESTALE,
			"campaign %u: block %u: the term is over under which it was leased",
			f->campaign, f->lease.block);
	if (f->top_up)
		return hb_control_take_block(c->control, f->slot, &f->lease, &f->terms,
			hb_wall_us(), &f->envelopes, &c->e);
	return hb_control_add(c->control, f->slot, f->campaign, &f->terms, f->wins_per_user,
		hb_wall_us(), &f->envelopes, &c->e);
}

/* Whether all of the money can go in, before any of it does. */
static int
check_fundings(struct change *c)
{
	int err = 0;

	for (unsigned i = 0; i < c->fundings && err == 0; i++) {
		const struct funding *f = &c->funding[i];

		if (f->top_up)
			err = hb_control_may_take_block(
				c->control, f->slot, &f->lease, &f->terms, &c->e);
		else
			err = hb_control_may_add(c->control, f->slot, f->campaign, &c->e);
	}
	c->checked = err == 0;
	return err;
}

/* Does what is left to do. Money comes first: it is what can fail. Returns 0 when all is done, else
 * -errno; after -EAGAIN it goes on where it stopped. */
static int
carry_out_rest(struct change *c)
{
	int err;

	if (!c->checked && (err = check_fundings(c)) != 0)
		return err;
	for (; c->funded < c->fundings; c->funded++) {
		if ((err = fund(c, &c->funding[c->funded])) != 0)
			return err;
		c->funding[c->funded].done = true;
	}
	for (; c->quotas_done < c->quotas; c->quotas_done++) {
		const struct quota *q = &c->quota[c->quotas_done];

		err = hb_control_quota(c->control, q->slot, q->wins, hb_wall_us(), &c->e);
		if (err != 0)
			return err;
	}
	return 0;
}

/* Runs turn after turn for as long as a worker's ring has no room. */
static void
carry_out(struct hb_call *call)
{
	struct change *c = (struct change *)call;

	c->err = carry_out_rest(c);
	if (c->err == 0)
		c->durable_ns = hb_mono_ns();
	call->again = c->err == -EAGAIN && hb_mono_ns() - c->posted_ns < PATIENCE_NS;
	if (c->err == -EAGAIN && !call->again)
		too_late(c);
}

/* Back on the service thread. */
static void
carried_out(struct hb_call *call)
{
	struct change *c = (struct change *)call;

	if (c->err == 0)
		tell_bars(c);
	else if (c->err == -EALREADY)
		answer(c, true);
	else if (c->funded == 0 && c->quotas_done == 0)
		refuse(c, c->err, &c->e);
	else
		end_in_part(c);
}

static void
post(struct change *c)
{
	struct hb_error e;

	c->call = (struct hb_call){.run = carry_out, .done = carried_out};
	c->posted_ns = hb_mono_ns();
	if (hb_calls_post(c->t->calls, &c->call) == 0)
		return;
	hb_fail(&e, EBUSY, "the control core takes nothing more at the moment; try again");
	refuse(c, -EBUSY, &e);
}

/* Makes some of the envelopes and comes back for more, since a campaign has millions of them and
 * others want to be answered meanwhile; then it goes on. */
static void
make_envelopes(struct change *c)
{
	struct hb_error e;
	char name[32];
	int err;

	for (unsigned i = 0; i < c->fundings; i++) {
		struct funding *f = &c->funding[i];

		snprintf(name, sizeof(name), "%u", f->campaign);
		if (!f->mapped) {
			if ((err = hb_envelopes_map(&f->envelopes, &f->terms, name, &e)) != 0) {
				refuse(c, err, &e);
				return;
			}
			f->mapped = true;
			hb_splitter_begin(&f->splitter, &f->terms);
		}
		if (f->splitter.made == f->terms.count)
			continue;
		uint32_t left = f->terms.count - f->splitter.made;
		hb_envelopes_fill(&f->envelopes, &f->splitter,
			f->splitter.made + (left < MAKE_AT_ONCE ? left : MAKE_AT_ONCE));
		go_on_soon(c, make_envelopes, 0);
		return;
	}
	post(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *context)
{
	struct tuning *t = context;

	(void)fd;
	(void)what;
	if (t->first != NULL && t->first->go_on != NULL)
		t->first->go_on(t->first);
}

/* ---- a change's beginning ------------------------------------------------------------ */

static uint64_t *
sorted(const uint64_t *users, unsigned n)
{
	uint64_t *copy = malloc((n + 1) * sizeof(*copy));

	if (copy == NULL)
		return NULL;
	if (n > 0)
		memcpy(copy, users, n * sizeof(*copy));
	qsort(copy, n, sizeof(*copy), tuning_compare_users);
	return copy;
}

/* What stands in one list of barred users only: to be barred, or to be let in again. */
static int
find_bars(struct change *c, const struct hb_config *now, const struct hb_config *next)
{
	uint64_t *old = sorted(now->deny, now->denied), *new = sorted(next->deny, next->denied);
	unsigned i = 0, k = 0;

	c->bar = calloc(now->denied + next->denied + 1, sizeof(*c->bar));
	if (old == NULL || new == NULL || c->bar == NULL) {
		free(old);
		free(new);
		return -ENOMEM;
	}
	while (i < now->denied || k < next->denied) {
		/* Who stands there twice is barred once. */
		if (i + 1 < now->denied && old[i] == old[i + 1])
			i++;
		else if (k + 1 < next->denied && new[k] == new[k + 1])
			k++;
		else if (k == next->denied || (i < now->denied && old[i] < new[k]))
			c->bar[c->bars++] = (struct bar){.user = old[i++], .up = false};
		else if (i == now->denied || new[k] < old[i])
			c->bar[c->bars++] = (struct bar){.user = new[k++], .up = true};
		else
			i++, k++;
	}
	free(old);
	free(new);
	return 0;
}

/* What campaigns give one user, where that changes: the journal is told. A slot is a campaign's for
 * good. */
static int
find_quotas(struct change *c, const struct hb_config *now)
{
	const struct hb_config *next = c->next;
	unsigned slots = now->campaigns + next->campaigns + 1;
	uint32_t *was;

	for (unsigned i = 0; i < now->campaigns; i++)
		slots = now->campaign[i].slot >= slots ? now->campaign[i].slot + 1 : slots;
	was = calloc(slots, sizeof(*was));
	c->quota = calloc(next->campaigns + 1, sizeof(*c->quota));
	if (was == NULL || c->quota == NULL) {
		free(was);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < now->campaigns; i++)
		was[now->campaign[i].slot] = now->campaign[i].wins_per_user;
	for (unsigned i = 0; i < next->campaigns; i++) {
		const struct hb_campaign_config *n = &next->campaign[i];

		if (n->slot < slots && was[n->slot] != 0 && was[n->slot] != n->wins_per_user)
			c->quota[c->quotas++] =
				(struct quota){.slot = n->slot, .wins = n->wins_per_user};
	}
	free(was);
	return 0;
}

/* A new campaign's funding, from a seed of its own. */
static struct funding
new_funding(struct hb_campaign_config *c)
{
	randombytes_buf(&c->terms.seed, sizeof(c->terms.seed));
	return (struct funding){
		.campaign = c->id,
		.slot = c->slot,
		.wins_per_user = c->wins_per_user,
		.terms = c->terms,
	};
}

/* The fundings of the campaigns that are new, behind those that are there already. */
static int
find_fundings(struct change *c, const struct hb_config *now)
{
	unsigned most = c->next->campaigns - now->campaigns + c->fundings;
	struct funding *all;
	bool *known;

	if (c->next->campaigns == now->campaigns)
		return 0;
	all = realloc(c->funding, most * sizeof(*all));
	if (all != NULL)
		c->funding = all;
	known = calloc(UINT16_MAX + 1, sizeof(*known));
	if (all == NULL || known == NULL) {
		free(known);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < now->campaigns; i++)
		known[now->campaign[i].id] = true;
	for (unsigned i = 0; i < c->next->campaigns; i++) {
		if (!known[c->next->campaign[i].id])
			all[c->fundings++] = new_funding(&c->next->campaign[i]);
	}
	free(known);
	return 0;
}

/* Everything that can be refused is refused here, before anything is changed. */
static int
work_out(struct change *c, struct hb_error *e)
{
	struct tuning *t = c->t;
	const struct hb_config *now = tuning_config(t);
	int err;

	if (t->draining && !c->dry)
		return hb_fail(e, EBUSY, "hongbaod is draining: it ends soon; change its file");
	if ((err = c->prepare(c, e)) != 0)
		return err;
	c->differences = c->changes.count;
	if ((err = hb_config_compare(now, c->next, &c->changes, e)) != 0)
		return err;
	c->differences = c->changes.count - c->differences;
	if (c->next->denied > HB_DENIED_MAX)
		return hb_fail(e, EINVAL, "deny: %u users are barred; at most %u can be",
			c->next->denied, HB_DENIED_MAX);
	if (c->dry)
		return 0;
	c->snapshot = hb_publish_make(t->published, c->next);
	if (c->snapshot == NULL || find_bars(c, now, c->next) != 0 || find_quotas(c, now) != 0 ||
		find_fundings(c, now) != 0)
		return hb_fail(e, ENOMEM, "no memory for a change");
	return 0;
}

static void
begin(struct change *c)
{
	struct tuning *t = c->t;
	struct hb_error e = {{0}};
	int err;

	c->begun = true;
	c->control = &t->d->control;
	if ((err = work_out(c, &e)) != 0)
		refuse(c, err, &e);
	else if (c->dry || (c->changes.count == 0 && c->fundings == 0))
		answer(c, true);
	else if (c->fundings > 0 || c->quotas > 0)
		make_envelopes(c);
	else
		tell_bars(c);
}

/* Begins what waits, one after the other as long as each is over at once. */
static void
begin_next(struct tuning *t)
{
	if (t->beginning)
		return;
	t->beginning = true;
	while (t->first != NULL && !t->first->begun)
		begin(t->first);
	t->beginning = false;
}

void
tuning_submit(struct tuning *t, struct hb_ask *ask, const char *command, change_prepare *prepare,
	bool dry)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		if (ask != NULL)
			hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "no memory for a change");
		return;
	}
	*c = (struct change){.t = t,
		.ask = ask,
		.command = command,
		.prepare = prepare,
		.dry = dry,
		.asked_ns = hb_mono_ns()};
	if (t->last != NULL)
		t->last->behind = c;
	else
		t->first = c;
	t->last = c;
	begin_next(t);
}

int
tuning_drain(struct tuning *t, struct hb_error *e)
{
	struct hb_snapshot *s = hb_publish_make(t->published, tuning_config(t));

	if (s == NULL)
		return hb_fail(e, ENOMEM, "no memory for a snapshot");
	t->draining = true;
	publish(t, s);
	return 0;
}

/* ---- begin and end ------------------------------------------------------------------- */

int
tuning_begin(struct tuning *t, struct daemon *d, struct hb_service *service, struct hb_calls *calls,
	struct hb_error *e)
{
	struct hb_config *config = hb_config_copy(d->config);

	*t = (struct tuning){.d = d,
		.service = service,
		.calls = calls,
		.published = &d->published,
		.log = -1,
		.saved = 1};
	if (config == NULL)
		return hb_fail(e, ENOMEM, "no memory for a copy of the configuration");
	add_version(t, NULL, config, NULL);
	t->timer = evtimer_new(hb_service_base(service), on_timer, t);
	if (t->timer == NULL)
		return hb_fail(e, ENOMEM, "no memory for a timer");
	t->log = openat(d->directory.directory, LOG_NAME,
		O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (t->log < 0)
		return hb_fail(e, errno, "journal %s: cannot open %s: %s", d->config->journal,
			LOG_NAME, strerror(errno));
	recall_changes(t);
	return begin_flusher(t, e);
}

void
tuning_end(struct tuning *t)
{
	free_looks(t);
	for (struct change *c = t->first, *behind; c != NULL; c = behind) {
		behind = c->behind;
		/* Money that got into the journal before the end came has its line all the same. */
		if (c->funded > 0 && c->version == 0)
			tuning_log(t, c->ask == NULL ? NULL : hb_ask_peer(c->ask), c->command,
				&c->changes);
		free_change(c);
	}
	end_flusher(t);
	for (unsigned i = 0; i < t->versions; i++)
		free_version(&t->version[i]);
	if (t->timer != NULL)
		event_free(t->timer);
	if (t->d != NULL && t->log >= 0)
		close(t->log);
	*t = (struct tuning){.log = -1};
}
