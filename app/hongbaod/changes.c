/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that change something: each prepares the configuration that is to be, and leaves the
 * rest to tuning.c. */
#include "commands.h"

#include "daemon.h"
#include "hb_command.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- arguments ----------------------------------------------------------------------- */

uint64_t
argument_number(const json_t *args, const char *name, uint64_t otherwise)
{
	uint64_t n;

	return hb_command_number(args, name, &n) ? n : otherwise;
}

/* ---- a copy of the present one, with something else in it ---------------------------- */

static int
copy_present(struct change *c, struct hb_error *e)
{
	c->next = hb_config_copy(tuning_config(c->t));
	if (c->next == NULL)
		return hb_fail(e, ENOMEM, "no memory for a copy of the configuration");
	return 0;
}

static struct hb_campaign_config *
find_campaign(const struct hb_config *c, uint64_t id)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id == id)
			return &c->campaign[i];
	}
	return NULL;
}

static int
no_campaign(uint64_t id, struct hb_error *e)
{
	return hb_fail(e, ENOENT, "campaign %llu: there is none; try: hongbaoctl campaign list",
		(unsigned long long)id);
}

/* An argument that is keys with their values, as two lists. */
struct keys {
	const char *key[HB_COMMAND_KEYS_MAX];
	const char *value[HB_COMMAND_KEYS_MAX];
	unsigned n;
};

static void
take_keys(struct keys *k, const json_t *args)
{
	const char *key;
	json_t *value;

	k->n = 0;
	json_object_foreach(json_object_get(args, "keys"), key, value)
	{
		if (k->n == HB_COMMAND_KEYS_MAX)
			return;
		k->key[k->n] = key;
		k->value[k->n++] = json_string_value(value);
	}
}

static int
set_in_campaign(struct change *c, const char *key, const char *value, struct hb_error *e)
{
	uint64_t id = argument_number(hb_ask_args(c->ask), "campaign", 0);
	int err;

	if ((err = copy_present(c, e)) != 0)
		return err;
	if (find_campaign(c->next, id) == NULL)
		return no_campaign(id, e);
	return hb_config_set(c->next, (uint16_t)id, key, value, e);
}

static int
prepare_pause(struct change *c, struct hb_error *e)
{
	return set_in_campaign(c, "paused", "true", e);
}

static int
prepare_resume(struct change *c, struct hb_error *e)
{
	return set_in_campaign(c, "paused", "false", e);
}

/* Now; a campaign that hasn't opened yet opens and closes in the past. */
static int
prepare_close(struct change *c, struct hb_error *e)
{
	static const char *const keys[] = {"closes", "opens"};
	static const char *const values[] = {"now", "-1s"};
	uint64_t id = argument_number(hb_ask_args(c->ask), "campaign", 0);
	const struct hb_campaign_config *campaign;
	int err;

	if ((err = copy_present(c, e)) != 0)
		return err;
	if ((campaign = find_campaign(c->next, id)) == NULL)
		return no_campaign(id, e);
	bool opened = campaign->opens_us < hb_wall_us();
	return hb_config_set_keys(c->next, (uint16_t)id, keys, values, opened ? 1 : 2, e);
}

/* A whole file, or single keys. */
static int
prepare_apply(struct change *c, struct hb_error *e)
{
	const json_t *args = hb_ask_args(c->ask);
	const char *text = hb_command_text(args, "text");
	uint64_t campaign = argument_number(args, "campaign", 0);
	struct keys k;
	int err;

	if (text != NULL)
		return hb_config_parse(&c->next, text, strlen(text), tuning_config(c->t)->path, e);
	if ((err = copy_present(c, e)) != 0)
		return err;
	if (campaign != 0 && find_campaign(c->next, campaign) == NULL)
		return no_campaign(campaign, e);
	take_keys(&k, args);
	return hb_config_set_keys(c->next, (uint16_t)campaign, k.key, k.value, k.n, e);
}

static int
prepare_log_level(struct change *c, struct hb_error *e)
{
	int err = copy_present(c, e);

	if (err != 0)
		return err;
	return hb_config_set(
		c->next, 0, "log.level", hb_command_text(hb_ask_args(c->ask), "level"), e);
}

static int
prepare_reload(struct change *c, struct hb_error *e)
{
	c->from_file = true;
	return hb_config_load(&c->next, tuning_config(c->t)->path, e);
}

/* An earlier version; but campaigns that have come since stay, as does the money in them; and so do
 * the keys, since one that was let go of may be known to others. */
static int
prepare_undo(struct change *c, struct hb_error *e)
{
	struct tuning *t = c->t;
	uint32_t newest = t->version[t->versions - 1].number;
	uint64_t number = argument_number(hb_ask_args(c->ask), "version", newest - 1);
	const struct version *v = NULL;

	for (unsigned i = 0; i < t->versions; i++) {
		if (t->version[i].number == number)
			v = &t->version[i];
	}
	if (v == NULL)
		return hb_fail(e, ENOENT,
			"version %llu is not kept (%u to %u are); try: hongbaoctl config versions",
			(unsigned long long)number, t->version[0].number, newest);
	c->next = hb_config_copy(v->config);
	if (c->next == NULL)
		return hb_fail(e, ENOMEM, "no memory for a copy of the configuration");
	c->next->keys = tuning_config(t)->keys;
	return hb_config_keep_campaigns(c->next, tuning_config(t), e);
}

static int
prepare_campaign_add(struct change *c, struct hb_error *e)
{
	struct keys k;
	int err;

	if ((err = copy_present(c, e)) != 0)
		return err;
	take_keys(&k, hb_ask_args(c->ask));
	return hb_config_add(c->next, k.key, k.value, k.n, e);
}

/* ---- top-up -------------------------------------------------------------------------- */

/* With a token, the seed of a top-up's amounts follows from it: the journal keeps the seed, so that
 * the same top-up is known again in this run and in later ones. Nobody outside can tell it from the
 * token, since the secret of the draws is in it. */
static void
seed_from_token(
	const struct tuning *t, const char *token, uint16_t campaign, struct hb_terms *terms)
{
	const uint64_t *secret = t->d->engine[0]->draw_key;
	uint8_t out[crypto_generichash_BYTES];
	crypto_generichash_state state;

	crypto_generichash_init(
		&state, (const uint8_t *)secret, sizeof(t->d->engine[0]->draw_key), sizeof(out));
	crypto_generichash_update(&state, (const uint8_t *)"top-up", 6);
	crypto_generichash_update(&state, (const uint8_t *)&campaign, sizeof(campaign));
	crypto_generichash_update(&state, (const uint8_t *)token, strlen(token));
	crypto_generichash_final(&state, out, sizeof(out));
	memcpy(&terms->seed, out, sizeof(terms->seed));
}

static int
top_up_terms(const struct tuning *t, uint16_t campaign, const json_t *keys, struct hb_terms *terms,
	struct hb_error *e)
{
	const char *token = hb_command_text(keys, "token");
	uint64_t count = argument_number(keys, "count", 0);
	const char *split = hb_command_text(keys, "split");

	*terms = (struct hb_terms){.split = HB_SPLIT_LUCKY,
		.total = argument_number(keys, "total", 0),
		.count = (uint32_t)count};
	if (split != NULL && strcmp(split, "equal") == 0)
		terms->split = HB_SPLIT_EQUAL;
	else if (split != NULL && strcmp(split, "lucky") != 0)
		return hb_fail(e, EINVAL, "split %s; write equal or lucky", split);
	if (count == 0 || count > UINT32_MAX)
		return hb_fail(e, EINVAL, "count: write how many envelopes, 1 to 4294967295");
	if (token != NULL)
		seed_from_token(t, token, campaign, terms);
	else
		randombytes_buf(&terms->seed, sizeof(terms->seed));
	return hb_terms_check(terms, e);
}

/* Puts more money into a campaign: a top-up, or a block. */
static int
add_funding(struct change *c, const struct hb_campaign_config *campaign,
	const struct hb_lease *lease, const struct hb_terms *terms, struct hb_error *e)
{
	char after[128], count[32], yuan[32], key[48], block[32] = "";
	int err = copy_present(c, e);

	if (err != 0)
		return err;
	c->funding = calloc(1, sizeof(*c->funding));
	if (c->funding == NULL)
		return hb_fail(e, ENOMEM, "no memory for a top-up");
	c->funding[0] = (struct funding){.campaign = campaign->id,
		.slot = campaign->slot,
		.terms = *terms,
		.lease = *lease,
		.top_up = true};
	c->fundings = 1;
	if (lease->block != 0)
		snprintf(block, sizeof(block), ", block %u", lease->block);
	snprintf(after, sizeof(after), "+%s, %s.%02u yuan%s", hb_thousands(terms->count, count),
		hb_thousands(terms->total / 100, yuan), (unsigned)(terms->total % 100), block);
	snprintf(key, sizeof(key), "campaign %u envelopes", campaign->id);
	return hb_changes_add(&c->changes, key, "", after);
}

/* The campaign that is to have more, and the keys that say how much; NULL: there is none. */
static const struct hb_campaign_config *
campaign_asked(const struct change *c, const json_t **keys, struct hb_error *e)
{
	const json_t *args = hb_ask_args(c->ask);
	uint64_t id = argument_number(args, "campaign", 0);
	const struct hb_campaign_config *campaign = find_campaign(tuning_config(c->t), id);

	*keys = json_object_get(args, "keys");
	if (campaign == NULL)
		no_campaign(id, e);
	return campaign;
}

static int
prepare_top_up(struct change *c, struct hb_error *e)
{
	const json_t *keys;
	const struct hb_campaign_config *campaign = campaign_asked(c, &keys, e);
	struct hb_terms terms;
	int err = campaign == NULL ? -ENOENT : top_up_terms(c->t, campaign->id, keys, &terms, e);

	return err != 0 ? err : add_funding(c, campaign, &(struct hb_lease){0}, &terms, e);
}

/* ---- a block of a shared budget ------------------------------------------------------- */

/* The seed of a block's amounts is this host's secret; the same block has it again. */
static int
block_terms(const struct tuning *t, uint16_t campaign, const json_t *keys, struct hb_lease *lease,
	struct hb_terms *terms, struct hb_error *e)
{
	const char *split = hb_command_text(keys, "split");
	uint64_t block = argument_number(keys, "block", 0);
	uint64_t first = argument_number(keys, "first", 0);
	uint64_t count = argument_number(keys, "count", 0);
	char token[32];
	int err = 0;

	if (block == 0 || block > UINT32_MAX || first == 0 || first > UINT32_MAX || count == 0 ||
		count > UINT32_MAX)
		return hb_fail(e, EINVAL, "block, first, count: write whole numbers from 1 up");
	*lease = (struct hb_lease){.block = (uint32_t)block, .first = (uint32_t)first};
	*terms = (struct hb_terms){.split = HB_SPLIT_LUCKY,
		.total = argument_number(keys, "total", 0),
		.count = (uint32_t)count};
	if (split != NULL && strcmp(split, "equal") == 0)
		terms->split = HB_SPLIT_EQUAL;
	else if (split != NULL && strcmp(split, "tiers") == 0)
		terms->split = HB_SPLIT_TIERS;
	else if (split != NULL && strcmp(split, "lucky") != 0)
		return hb_fail(e, EINVAL, "split %s; write equal, lucky or tiers", split);
	if (terms->split == HB_SPLIT_TIERS)
		err = hb_tiers_parse(terms,
			hb_command_text(keys, "tiers") == NULL ? ""
							       : hb_command_text(keys, "tiers"),
			e);
	snprintf(token, sizeof(token), "block %u", lease->block);
	seed_from_token(t, token, campaign, terms);
	return err != 0 ? err : hb_terms_check(terms, e);
}

static int
prepare_lease_add(struct change *c, struct hb_error *e)
{
	const json_t *keys;
	const struct hb_campaign_config *campaign = campaign_asked(c, &keys, e);
	struct hb_lease lease;
	struct hb_terms terms;
	int err = campaign == NULL ? -ENOENT
				   : block_terms(c->t, campaign->id, keys, &lease, &terms, e);

	if (err == 0)
		err = add_funding(c, campaign, &lease, &terms, e);
	if (err == 0)
		c->funding[0].expires_ns = argument_number(keys, "expires_ns", 0);
	return err;
}

/* ---- barred users -------------------------------------------------------------------- */

/* The users among the arguments, in rising order; NULL, with e, where one is none. To be freed. */
static uint64_t *
take_users(const json_t *users, size_t n, struct hb_error *e)
{
	uint64_t *all = malloc((n + 1) * sizeof(*all));

	if (all == NULL) {
		hb_fail(e, ENOMEM, "no memory for the list of barred users");
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		all[i] = 0;
		if (!hb_command_number_of(json_array_get(users, i), &all[i]) || all[i] == 0) {
			hb_fail(e, EINVAL, "0 is no user");
			free(all);
			return NULL;
		}
	}
	qsort(all, n, sizeof(*all), tuning_compare_users);
	return all;
}

/* Those who are named leave the list where they stand; to be barred, each comes to its end once. So
 * that costs a look for each who is in it, however many are named. */
static int
change_bars(struct change *c, bool up, struct hb_error *e)
{
	const json_t *users = json_object_get(hb_ask_args(c->ask), "users");
	size_t n = json_array_size(users), kept = 0;
	int err;

	if ((err = copy_present(c, e)) != 0)
		return err;
	uint64_t *named = take_users(users, n, e);
	if (named == NULL)
		return -EINVAL;
	uint64_t *deny = realloc(c->next->deny, (c->next->denied + n + 1) * sizeof(*deny));
	if (deny == NULL) {
		free(named);
		return hb_fail(e, ENOMEM, "no memory for the list of barred users");
	}
	c->next->deny = deny;
	for (unsigned i = 0; i < c->next->denied; i++) {
		if (bsearch(&deny[i], named, n, sizeof(*named), tuning_compare_users) == NULL)
			deny[kept++] = deny[i];
	}
	for (size_t i = 0; up && i < n; i++) {
		if (i == 0 || named[i] != named[i - 1])
			deny[kept++] = named[i];
	}
	c->next->denied = (unsigned)kept;
	free(named);
	return 0;
}

static int
prepare_deny(struct change *c, struct hb_error *e)
{
	return change_bars(c, true, e);
}

static int
prepare_undeny(struct change *c, struct hb_error *e)
{
	return change_bars(c, false, e);
}

/* ---- keys ---------------------------------------------------------------------------- */

static int
change_key(struct change *c, bool add, struct hb_error *e)
{
	uint64_t epoch = argument_number(hb_ask_args(c->ask), "epoch", UINT64_MAX);
	int err;

	if (epoch > 255)
		return hb_fail(e, EINVAL, "epoch %llu: write 0 to 255", (unsigned long long)epoch);
	if ((err = copy_present(c, e)) != 0)
		return err;
	if (add)
		return hb_config_key_add(c->next, (unsigned)epoch, e);
	return hb_config_key_retire(c->next, (unsigned)epoch, e);
}

static int
prepare_key_add(struct change *c, struct hb_error *e)
{
	return change_key(c, true, e);
}

static int
prepare_key_retire(struct change *c, struct hb_error *e)
{
	return change_key(c, false, e);
}

/* ---- handlers ------------------------------------------------------------------------ */

#define CHANGE(function, command, prepare, dry)                                                    \
	void function(struct hb_ask *ask, void *context)                                           \
	{                                                                                          \
		tuning_submit(context, ask, command, prepare, dry);                                \
	}

CHANGE(on_log_level_set, "log level", prepare_log_level, false)
CHANGE(on_config_apply, "config apply", prepare_apply, false)
CHANGE(on_config_reload, "config reload", prepare_reload, false)
CHANGE(on_config_undo, "config undo", prepare_undo, false)
CHANGE(on_campaign_add, "campaign add", prepare_campaign_add, false)
CHANGE(on_campaign_pause, "campaign pause", prepare_pause, false)
CHANGE(on_campaign_resume, "campaign resume", prepare_resume, false)
CHANGE(on_campaign_close, "campaign close", prepare_close, false)
CHANGE(on_campaign_top_up, "campaign top-up", prepare_top_up, false)
CHANGE(on_lease_add, "lease add", prepare_lease_add, false)
CHANGE(on_deny_add, "deny add", prepare_deny, false)
CHANGE(on_deny_remove, "deny remove", prepare_undeny, false)
CHANGE(on_key_add, "key add", prepare_key_add, false)
CHANGE(on_key_retire, "key retire", prepare_key_retire, false)

/* What a whole file would change. It names other files, which would be read with the daemon's
 * rights and quoted in errors: so that isn't for everybody who may look. */
static void
only_tell(struct hb_ask *ask, struct tuning *t, const char *command)
{
	const json_t *args = hb_ask_args(ask);
	bool secret = json_object_get(json_object_get(args, "keys"), "password") != NULL;

	if ((hb_command_text(args, "text") != NULL || secret) && !hb_ask_peer(ask)->may_change)
		hb_ask_refuse(ask, HB_REFUSAL_DENIED, "hongbaod -c FILE --check",
			"%s may not have a file read with the rights of hongbaod, or try passwords",
			hb_ask_peer(ask)->name);
	else
		tuning_submit(t, ask, command, prepare_apply, true);
}

void
on_config_check(struct hb_ask *ask, void *context)
{
	only_tell(ask, context, "config check");
}

void
on_config_diff(struct hb_ask *ask, void *context)
{
	only_tell(ask, context, "config diff");
}

void
reload_for_signal(struct tuning *t)
{
	tuning_submit(t, NULL, "SIGHUP", prepare_reload, false);
}
