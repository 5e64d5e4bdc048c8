/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-replay: plays requests at a live hongbaod, measures and checks the replies. */
#include "options.h"
#include "report.h"

#include "hb_config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* What a client waits, beyond its timeouts, because a server says so: more isn't waited for at the
 * end. */
#define WAITS_NS 5000000000ull

static volatile bool stop;

static void
on_signal(int number)
{
	(void)number;
	stop = true;
}

static enum hb_exit
complain(const struct hb_error *e, enum hb_exit code)
{
	fprintf(stderr, REPLAY_NAME ": %s\n", e->text);
	return code;
}

static int
open_source(struct hb_replay *r, struct replay_options *o, struct hb_error *e)
{
	struct hb_source_options so = {
		.wire = &o->choice.wire,
		.requests = o->choice.stream.requests,
		.set_dst_mac = o->set_dst_mac,
		.set_src_mac = o->set_src_mac,
	};
	int err = hb_keys_load(&o->choice.wire.keys, o->choice.keys, e);

	if (err != 0)
		return err;
	if (!o->is_scenario)
		return hb_source_capture(&r->source, o->what, &so, e);
	if ((err = hb_scenario_choose_epoch(&o->choice, e)) != 0)
		return err;
	return hb_source_scenario(&r->source, o->what, &o->choice.stream, &so, e);
}

/* Memory: what EAL's arguments say of hugepages is known by now. */
static int
open_memory(struct hb_replay *r, const struct replay_options *o, struct hb_error *e)
{
	int err = o->preload ? hb_source_preload(&r->source, &stop, e) : 0;

	if (err != 0)
		return err;
	const struct hb_match_options mo = {
		.keys = &o->choice.wire.keys,
		.routes = hb_source_routes(r->source),
		.requests = replay_outstanding(o, hb_source_total(r->source)),
		.wins = o->wins,
		.timeout_ns = o->timeout_ms * 1000000,
		.warm_up_ns = (uint64_t)(o->warm_up * 1e9),
		.retries = (unsigned)o->retry,
		.base_port = o->choice.wire.base_port,
		.source = r->source,
	};
	return hb_match_open(&r->match, &mo, e);
}

static void
set_options(struct hb_replay *r, const struct replay_options *o)
{
	r->options = (struct hb_replay_options){
		.pace = {.kind = o->flat_out	? HB_PACE_FLAT_OUT
				 : o->rate != 0 ? HB_PACE_RATE
						: HB_PACE_CAPTURE,
			.speed = o->speed,
			.rate = o->rate},
		.window = o->window,
		.stop_ns = (uint64_t)(o->seconds * 1e9),
		.drain_ns = o->timeout_ms * 1000000 * (o->retry + 1) + (o->retry ? WAITS_NS : 0) +
			    100000000,
	};
}

/* What kind of failure an errno is. */
static enum hb_exit
exit_code(int err)
{
	switch (-err) {
	case ENOMEM:
	case ENODEV:
	case EBUSY:
	case ENOLINK:
	case ETIMEDOUT:
		return HB_EXIT_HOST;
	case EINTR:
		return HB_EXIT_FAILED;
	default:
		return HB_EXIT_CONFIG;
	}
}

/* Plays, reports, and says whether the result is good. */
static enum hb_exit
play(struct hb_replay *r, const struct replay_options *o)
{
	struct hb_error e, fault;
	int err = hb_replay_run(r, &stop, &fault);

	if (replay_report(o, r, err != 0 ? fault.text : NULL, &e) != 0)
		return complain(&e, HB_EXIT_FAILED);
	if (err != 0)
		return complain(&fault, exit_code(err));
	return replay_good(o, r, &e) ? HB_EXIT_OK : complain(&e, HB_EXIT_FAILED);
}

static enum hb_exit
run(struct hb_replay *r, struct replay_options *o)
{
	struct hb_target_options to = {
		.device = o->device,
		.queues = (unsigned)o->queues,
		.descriptors = (unsigned)o->descriptors,
		.profile = o->profile,
		.mac = o->choice.wire.src_mac,
	};
	struct hb_error e;
	int err;

	if ((err = open_source(r, o, &e)) != 0)
		return complain(&e, err == -ENOMEM ? HB_EXIT_HOST : HB_EXIT_CONFIG);
	err = hb_target_open(r->target, &to, o->eal_count, o->eal, &e);
	if (err != 0)
		return complain(&e, r->target->misasked ? HB_EXIT_CONFIG : HB_EXIT_HOST);
	if ((err = open_memory(r, o, &e)) != 0 ||
		(err = hb_target_wait(r->target, o->link_wait_ms, &stop, &e)) != 0)
		return complain(&e, exit_code(err));
	set_options(r, o);
	return play(r, o);
}

int
main(int argc, char **argv)
{
	static struct replay_options o;
	static struct hb_target target;
	static struct hb_replay r = {.target = &target};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND},
			 ignore = {.sa_handler = SIG_IGN};
	struct hb_error e;
	enum hb_exit code = replay_options_read(&o, argc, argv);

	if (code != HB_EXIT_OK)
		return code;
	if (o.help || o.version || o.list) {
		replay_options_inform(&o);
		return HB_EXIT_OK;
	}
	/* A second one doesn't wait for replies any more. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* Drivers write to sockets whose other end may be gone. */
	sigaction(SIGPIPE, &ignore, NULL);
	if (hb_wire_init() != 0) {
		hb_fail(&e, EIO, "libsodium cannot start; install it anew");
		return complain(&e, HB_EXIT_HOST);
	}
	code = run(&r, &o);
	hb_match_close(r.match);
	hb_source_close(r.source);
	hb_target_close(&target);
	return code;
}
