/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-warroom: the war room's page for several hosts as one. */
#include "fleet.h"
#include "hb_options.h"
#include "hb_service.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>

struct options {
	const char *peers;
	const char *listen;
	bool help, version;
};

#define AT(field) .at = offsetof(struct options, field)

static const struct hb_option option[] = {
	{"peers", 'p', HB_OPTION_TEXT, AT(peers), .value = "HOST:PORT,...",
		.help = "the hongbaod to show: each one's address of metrics"},
	{"listen", 'l', HB_OPTION_TEXT, AT(listen), .value = "ADDRESS:PORT",
		.help = "where the page is (default 127.0.0.1:9190)"},
	{"help", 'h', HB_OPTION_FLAG, AT(help), .help = "this text"},
	{"version", 'V', HB_OPTION_FLAG, AT(version), .help = "the version"},
};

static void
print_help(const struct hb_command_line *c)
{
	printf("Usage: hongbao-warroom --peers HOST:PORT,... [OPTION]...\n"
	       "Shows several hongbaod as one: the war room's page, with rates, money and "
	       "campaigns "
	       "added up.\n\n");
	hb_options_help(c);
	printf("\nIt follows /api/now and /api/history of each and changes nothing. Exit codes: 0 "
	       "good; 2 wrong command line; 4 the\naddress cannot be listened on.\n");
}

/* Reads the list. Returns how many, or a negative errno with e. */
static int
read_peers(struct peer *peer, const char *list, struct hb_error *e)
{
	int n = 0;

	for (const char *at = list; *at != '\0'; n++) {
		size_t bytes = strcspn(at, ",");
		int err;

		if (n == FLEET_PEERS)
			return hb_fail(
				e, E2BIG, "--peers: more than %d hosts; name fewer", FLEET_PEERS);
		if ((err = peer_parse(&peer[n], at, bytes, e)) != 0)
			return err;
		at += bytes + (at[bytes] == ',' && at[bytes + 1] != '\0');
	}
	return n;
}

static struct fleet *fleet;

static void
on_stopping(void *context)
{
	(void)context;
	fleet_stopping(fleet);
}

/* Serves until it is told to end. */
static enum hb_exit
serve(const struct options *o, struct peer *peer, unsigned peers, struct hb_error *e)
{
	struct hb_service_terms terms = {.http = o->listen, .stopping = on_stopping};
	struct hb_service *s;
	sigset_t ends;
	int got;

	/* Before there is another thread, which has them blocked too. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	if (hb_service_start(&s, &terms, e) != 0)
		return HB_EXIT_HOST;
	int err = fleet_begin(&fleet, peer, peers, s, e);

	if (err == 0)
		err = hb_service_launch(s, NULL, e);
	if (err == 0) {
		fprintf(stderr, "hongbao-warroom: %u host%s at http://%.*s:%u/\n", peers,
			peers == 1 ? "" : "s as one", (int)(strrchr(o->listen, ':') - o->listen),
			o->listen, hb_service_http_port(s));
		sigwait(&ends, &got);
		hb_service_stop(s);
	}
	if (fleet != NULL)
		fleet_end(fleet);
	hb_service_free(s);
	fleet_free(fleet);
	return err == 0 ? HB_EXIT_OK : HB_EXIT_HOST;
}

int
main(int argc, char **argv)
{
	struct options o = {.listen = "127.0.0.1:9190"};
	struct hb_option_table table = {option, HB_COUNT_OF(option), &o};
	struct hb_command_line c = {
		.program = "hongbao-warroom", .argument = "argument", .table = &table, .tables = 1};
	static struct peer peer[FLEET_PEERS];
	struct hb_error e = {""};
	const char *argument;
	enum hb_exit code = hb_options_read(&c, argc, argv, &argument, NULL);

	if (code != HB_EXIT_OK)
		return code;
	if (o.help) {
		print_help(&c);
		return HB_EXIT_OK;
	}
	if (o.version) {
		printf("hongbao-warroom %s\n", HB_VERSION);
		return HB_EXIT_OK;
	}
	if (argument != NULL)
		return hb_options_bad(&c, "'%s' is not an option", argument);
	if (o.peers == NULL)
		return hb_options_bad(&c, "no --peers: name the hosts to show, such as --peers "
					  "10.0.0.1:9180,10.0.0.2:9180");
	if (strchr(o.listen, ':') == NULL)
		return hb_options_bad(
			&c, "--listen: '%s' is no ADDRESS:PORT, such as 127.0.0.1:9190", o.listen);
	int peers = read_peers(peer, o.peers, &e);

	if (peers < 0)
		return hb_options_bad(&c, "%s", e.text);
	code = serve(&o, peer, (unsigned)peers, &e);
	if (code != HB_EXIT_OK)
		fprintf(stderr, "hongbao-warroom: %s\n", e.text);
	return code;
}
