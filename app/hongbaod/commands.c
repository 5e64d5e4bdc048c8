/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that only tell, and the few that change no configuration. */
#include "commands.h"

#include "daemon.h"
#include "hb_command.h"
#include "hb_log.h"
#include "hb_views.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct hb_view *
view_of(const struct tuning *t)
{
	return &t->d->serving.view;
}

/* ---- views --------------------------------------------------------------------------- */

static void
on_status(struct hb_ask *ask, void *context)
{
	const struct tuning *t = context;
	const struct version *v = &t->version[t->versions - 1];
	json_t *o = hb_view_status(view_of(t), tuning_config(t));

	if (o != NULL) {
		json_object_set_new(o, "config_version", json_integer(v->number));
		json_object_set_new(o, "config_saved", json_boolean(v->number == t->saved));
		if (t->draining)
			json_object_set_new(o, "state", json_string("draining"));
	}
	hb_ask_answer(ask, o);
}

/* What a view that can be asked for what isn't there gave. */
static void
answer_or_unknown(struct hb_ask *ask, json_t *view, const struct hb_error *e)
{
	if (view == NULL && e->text[0] != '\0')
		hb_ask_refuse(ask, HB_REFUSAL_UNKNOWN, NULL, "%s", e->text);
	else
		hb_ask_answer(ask, view);
}

static void
on_stats(struct hb_ask *ask, void *context)
{
	uint64_t worker = argument_number(hb_ask_args(ask), "worker", HB_VIEW_ALL);
	struct hb_error e = {{0}};

	worker = worker > HB_WORKERS_MAX && worker != HB_VIEW_ALL ? HB_WORKERS_MAX : worker;
	answer_or_unknown(ask, hb_view_stats(view_of(context), (uint32_t)worker, &e), &e);
}

static void
on_campaign_list(struct hb_ask *ask, void *context)
{
	hb_ask_answer(ask, hb_view_campaigns(view_of(context), tuning_config(context)));
}

/* The campaign that is asked for; one that cannot be is none. */
static uint32_t
campaign_asked(const struct hb_ask *ask)
{
	uint64_t id = argument_number(hb_ask_args(ask), "campaign", HB_VIEW_ALL);

	return id > UINT16_MAX && id != HB_VIEW_ALL ? 0 : (uint32_t)id;
}

static void
on_campaign_show(struct hb_ask *ask, void *context)
{
	struct hb_error e = {{0}};
	json_t *view =
		hb_view_campaign(view_of(context), tuning_config(context), campaign_asked(ask), &e);

	answer_or_unknown(ask, view, &e);
}

static void
on_pool(struct hb_ask *ask, void *context)
{
	struct hb_error e = {{0}};
	json_t *view =
		hb_view_pool(view_of(context), tuning_config(context), campaign_asked(ask), &e);

	answer_or_unknown(ask, view, &e);
}

static void
on_latency(struct hb_ask *ask, void *context)
{
	hb_ask_answer(ask, hb_view_latency(view_of(context)));
}

static void
on_journal(struct hb_ask *ask, void *context)
{
	hb_ask_answer(ask, hb_view_journal(view_of(context), tuning_config(context)));
}

static void
on_steering(struct hb_ask *ask, void *context)
{
	hb_ask_answer(ask, hb_view_steering(view_of(context)));
}

static void
on_report(struct hb_ask *ask, void *context)
{
	const struct tuning *t = context;

	hb_ask_answer(ask, hb_warroom_report(t->d->serving.warroom));
}

/* ---- watch --------------------------------------------------------------------------- */

/* One who watches: a line each time its timer fires. */
struct watcher {
	struct tuning *t;
	struct hb_ask *ask;
	struct event *timer;
	struct watcher *before, *behind; /* in the tuning's list */
};

static void
end_watcher(struct watcher *w)
{
	if (w->before != NULL)
		w->before->behind = w->behind;
	else
		w->t->watchers = w->behind;
	if (w->behind != NULL)
		w->behind->before = w->before;
	hb_ask_answer(w->ask, json_pack("{s:b}", "ended", 1));
	event_free(w->timer);
	free(w);
}

void
end_gone_watchers(struct tuning *t)
{
	for (struct watcher *w = t->watchers, *behind; w != NULL; w = behind) {
		behind = w->behind;
		if (hb_ask_gone(w->ask))
			end_watcher(w);
	}
}

void
end_watchers(void *context)
{
	struct tuning *t = context;

	while (t->watchers != NULL)
		end_watcher(t->watchers);
}

static void
on_watch_timer(evutil_socket_t fd, short what, void *context)
{
	struct watcher *w = context;

	(void)fd;
	(void)what;
	hb_ask_more(w->ask, hb_view_watch(view_of(w->t), tuning_config(w->t)));
}

static void
on_watch(struct hb_ask *ask, void *context)
{
	struct tuning *t = context;
	uint64_t seconds = argument_number(hb_ask_args(ask), "seconds", 1);
	struct watcher *w = calloc(1, sizeof(*w));

	if (seconds == 0 || seconds > 3600) {
		hb_ask_refuse(ask, HB_REFUSAL_USAGE, "hongbaoctl watch 1",
			"seconds: %llu is outside 1 to 3600", (unsigned long long)seconds);
		free(w);
		return;
	}
	if (w != NULL)
		w->timer =
			event_new(hb_service_base(t->service), -1, EV_PERSIST, on_watch_timer, w);
	if (w == NULL || w->timer == NULL) {
		hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "no memory to watch");
		free(w);
		return;
	}
	w->t = t;
	w->ask = ask;
	if ((w->behind = t->watchers) != NULL)
		w->behind->before = w;
	t->watchers = w;
	event_add(w->timer, &(struct timeval){.tv_sec = (time_t)seconds});
	on_watch_timer(-1, 0, w);
}

/* ---- the configuration --------------------------------------------------------------- */

static void
on_config_show(struct hb_ask *ask, void *context)
{
	const struct tuning *t = context;
	char *text = hb_config_text(tuning_config(t), false);

	hb_ask_answer(ask,
		text == NULL
			? NULL
			: json_pack("{s:s, s:i, s:s}", "path", tuning_config(t)->path, "version",
				  (int)t->version[t->versions - 1].number, "text", text));
	free(text);
}

static void
on_config_save(struct hb_ask *ask, void *context)
{
	struct tuning *t = context;
	const struct version *v = &t->version[t->versions - 1];
	struct hb_error e;

	if (hb_config_save(v->config, &e) != 0) {
		hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "%s", e.text);
		return;
	}
	t->saved = v->number;
	tuning_log(t, hb_ask_peer(ask), "config save", &(struct hb_changes){0});
	hb_ask_answer(
		ask, json_pack("{s:s, s:i}", "path", v->config->path, "version", (int)v->number));
}

static void
on_config_versions(struct hb_ask *ask, void *context)
{
	const struct tuning *t = context;
	json_t *list = json_array();

	for (unsigned i = 0; i < t->versions; i++) {
		const struct version *v = &t->version[i];
		const struct hb_change *first = v->changes.count > 0 ? &v->changes.of[0] : NULL;
		char what[480] = "the start";

		if (first != NULL)
			snprintf(what, sizeof(what), "%s: %s -> %s%s", first->key, first->before,
				first->after, v->changes.count > 1 ? ", ..." : "");
		json_array_append_new(
			list, json_pack("{s:i, s:I, s:s, s:i, s:s, s:b}", "version", (int)v->number,
				      "time_us", (json_int_t)v->time_us, "who", v->who, "changes",
				      (int)v->changes.count, "what", what, "saved",
				      v->number == t->saved));
	}
	hb_ask_answer(ask, json_pack("{s:o}", "versions", list));
}

static void
on_deny_list(struct hb_ask *ask, void *context)
{
	const struct hb_config *c = tuning_config(context);
	json_t *list = json_array();
	char user[24];

	for (unsigned i = 0; i < c->denied; i++) {
		snprintf(user, sizeof(user), "%llu", (unsigned long long)c->deny[i]);
		json_array_append_new(list, json_pack("{s:s}", "user", user));
	}
	hb_ask_answer(ask, json_pack("{s:i, s:o}", "barred", (int)c->denied, "users", list));
}

static void
on_packet_list(struct hb_ask *ask, void *context)
{
	struct tuning *t = context;

	hb_ask_answer(ask, hb_view_packets(&t->d->serving.view));
}

static void
on_key_list(struct hb_ask *ask, void *context)
{
	const struct hb_keyring *k = &tuning_config(context)->keys;
	json_t *list = json_array();

	for (unsigned i = 0; i < HB_COUNT_OF(k->epoch_held); i++) {
		if (k->epoch_held[i])
			json_array_append_new(list, json_pack("{s:i}", "epoch", (int)i));
	}
	hb_ask_answer(ask, json_pack("{s:o, s:b}", "epochs", list, "issuer", k->issuer_held));
}

/* ---- the daemon ---------------------------------------------------------------------- */

/* Telling it needs no right to change, which the table's right of this command knows. */
static void
on_log_level(struct hb_ask *ask, void *context)
{
	if (hb_command_text(hb_ask_args(ask), "level") != NULL)
		on_log_level_set(ask, context);
	else
		hb_ask_answer(ask, json_pack("{s:s}", "level", hb_log_level_name(hb_log_level())));
}

static void
on_drain(struct hb_ask *ask, void *context)
{
	struct tuning *t = context;
	uint64_t seconds = argument_number(hb_ask_args(ask), "seconds", 0);
	struct hb_error e;

	if (seconds > 86400)
		hb_ask_refuse(ask, HB_REFUSAL_USAGE, "hongbaoctl drain 10",
			"seconds: %llu is outside 0 to 86400", (unsigned long long)seconds);
	else if (serve_drain(&t->d->serving, seconds, &e) != 0)
		hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "%s", e.text);
	else {
		tuning_log(t, hb_ask_peer(ask), "drain", &(struct hb_changes){0});
		hb_log(HB_LOG_INFO, "drains, as %s asked: it ends in %llu s",
			hb_ask_peer(ask)->name, (unsigned long long)seconds);
		hb_ask_answer(ask,
			json_pack("{s:b, s:I}", "draining", 1, "ends_in_s", (json_int_t)seconds));
	}
}

static void
on_ping(struct hb_ask *ask, void *context)
{
	(void)context;
	hb_ask_answer(ask, json_pack("{s:s, s:i}", "hongbao", HB_VERSION, "pid", (int)getpid()));
}

/* One command's help, or every command with its summary. */
static void
on_help(struct hb_ask *ask, void *context)
{
	const char *name = hb_command_text(hb_ask_args(ask), "command");
	const struct hb_command *c = name == NULL ? NULL : hb_command_find(name);
	json_t *list;

	(void)context;
	if (name != NULL && c == NULL) {
		hb_ask_refuse(ask, HB_REFUSAL_UNKNOWN, "hongbaoctl help", "no command %s", name);
		return;
	}
	if (c != NULL) {
		hb_ask_answer(ask, json_pack("{s:s, s:s, s:s}", "command", c->name, "summary",
					   c->summary, "help", c->help));
		return;
	}
	list = json_array();
	for (unsigned i = 0; i < hb_commands_count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "command", hb_commands[i].name,
						    "summary", hb_commands[i].summary));
	hb_ask_answer(ask, json_pack("{s:o}", "commands", list));
}

/* ---- the table ----------------------------------------------------------------------- */

const struct hb_service_command daemon_commands[] = {
	{"status", on_status},
	{"stats", on_stats},
	{"campaign list", on_campaign_list},
	{"campaign show", on_campaign_show},
	{"campaign add", on_campaign_add},
	{"campaign pause", on_campaign_pause},
	{"campaign resume", on_campaign_resume},
	{"campaign close", on_campaign_close},
	{"campaign top-up", on_campaign_top_up},
	{"pool", on_pool},
	{"latency", on_latency},
	{"journal", on_journal},
	{"steering", on_steering},
	{"report", on_report},
	{"log level", on_log_level},
	{"config show", on_config_show},
	{"config check", on_config_check},
	{"config diff", on_config_diff},
	{"config apply", on_config_apply},
	{"config reload", on_config_reload},
	{"config save", on_config_save},
	{"config undo", on_config_undo},
	{"config versions", on_config_versions},
	{"deny add", on_deny_add},
	{"deny remove", on_deny_remove},
	{"deny list", on_deny_list},
	{"user", on_user},
	{"packet list", on_packet_list},
	{"packet show", on_packet_show},
	{"key list", on_key_list},
	{"key add", on_key_add},
	{"key retire", on_key_retire},
	{"lease list", on_lease_list},
	{"lease add", on_lease_add},
	{"lease renew", on_lease_renew},
	{"lease done", on_lease_done},
	{"lease return", on_lease_return},
	{"lease rows", on_lease_rows},
	{"drain", on_drain},
	{"watch", on_watch},
	{"ping", on_ping},
	{"help", on_help},
};

const unsigned daemon_commands_count = HB_COUNT_OF(daemon_commands);
