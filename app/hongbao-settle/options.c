/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_options.h"
#include "settler.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define NAME "hongbao-settle"
#define AT(field) offsetof(struct settle_options, field)

static const struct hb_option own[] = {
	{"config", 'c', HB_OPTION_TEXT, AT(config), 0, 0, "FILE",
		"settings; what is given here beside it counts more"},
	{"journal", 'j', HB_OPTION_TEXT, AT(journal), 0, 0, "DIR", "hongbaod's journal"},
	{"database", 'd', HB_OPTION_TEXT, AT(database), 0, 0, "CONNINFO",
		"as psql takes it, without a password (~/.pgpass has that)"},
	{"rate", 'r', HB_OPTION_NUMBER, AT(rate), 0, HB_SETTLE_RATE_MAX, "N",
		"records a second at most (default 45000; 0: no limit)"},
	{"batch", 'b', HB_OPTION_NUMBER, AT(batch), 1, HB_SETTLE_BATCH_MAX, "N",
		"records a transaction at most (default 50000)"},
	{"set-aside", 0, HB_OPTION_NUMBER, AT(set_aside), 0, UINT32_MAX, "N",
		"records that the database may refuse before it stops (default 100)"},
	{"archive", 'a', HB_OPTION_TEXT, AT(archive), 0, 0, "DIR",
		"move segments there once they are settled"},
	{"metrics", 'm', HB_OPTION_TEXT, AT(metrics), 0, 0, "ADDRESS",
		"serve /metrics there, e.g. 127.0.0.1:9181 (default: off)"},
	{"once", '1', HB_OPTION_FLAG, AT(once), 0, 0, NULL,
		"end when everything that is there now is settled"},
	{"migrate", 0, HB_OPTION_FLAG, AT(migrate), 0, 0, NULL,
		"make or renew the schema in the database, and end"},
	{"adopt", 0, HB_OPTION_FLAG, AT(adopt), 0, 0, NULL,
		"begin with a new journal of a host that has another one in the database"},
	{"lease", 'l', HB_OPTION_FLAG, AT(lease), 0, 0, NULL,
		"lease blocks of shared budgets for the hongbaod at --socket, too"},
	{"socket", 's', HB_OPTION_TEXT, AT(socket), 0, 0, "PATH", "hongbaod's control socket"},
	{"term", 0, HB_OPTION_NUMBER, AT(term_s), 1, 3600, "S",
		"for how long a host gives when it is cut off from the database (default 10)"},
	{"ahead", 0, HB_OPTION_NUMBER, AT(ahead_s), 1, 3600, "S",
		"for how many seconds there is to be stock at the present rate (default 3)"},
	{"budget", 0, HB_OPTION_TEXT, AT(budget), 0, 0, "TERMS",
		"make a campaign's budget, e.g. \"campaign=7 count=100000 total=5000000 "
		"split=lucky "
		"block=1000\", and end"},
	{"declare-lost", 0, HB_OPTION_NUMBER, AT(lost), 0, UINT32_MAX, "HOST",
		"it gives nothing any more; with --journal what is left in that goes back; and "
		"end"},
	{"take-slices", 0, HB_OPTION_TEXT, AT(take_slices), 0, 0, "LIST",
		"bring slices of lost hosts, e.g. 8-15,20, to the hongbaod at --socket, and end"},
	{"rejoin", 0, HB_OPTION_FLAG, AT(rejoin), 0, 0, NULL,
		"the host of the hongbaod at --socket isn't lost any more, and end"},
	{"help", 'h', HB_OPTION_FLAG, AT(help), 0, 0, NULL, "this text"},
	{"version", 'V', HB_OPTION_FLAG, AT(version), 0, 0, NULL, "the version"},
};

static struct hb_command_line
make_command(struct settle_options *o, struct hb_option_table *table)
{
	*table = (struct hb_option_table){own, HB_COUNT_OF(own), o};
	return (struct hb_command_line){
		.program = NAME, .argument = "option", .table = table, .tables = 1};
}

enum hb_exit
settle_options_read(struct settle_options *o, int argc, char **argv)
{
	struct hb_option_table table;
	struct hb_command_line c = make_command(o, &table);
	const char *argument;

	*o = (struct settle_options){0};
	enum hb_exit rc = hb_options_read(&c, argc, argv, &argument, NULL);
	if (rc != HB_EXIT_OK || o->help || o->version)
		return rc;
	o->rate_given = hb_options_given(&c, "rate");
	o->batch_given = hb_options_given(&c, "batch");
	o->set_aside_given = hb_options_given(&c, "set-aside");
	o->lost_given = hb_options_given(&c, "declare-lost");
	o->term_s = o->term_s == 0 ? 10 : o->term_s;
	o->ahead_s = o->ahead_s == 0 ? 3 : o->ahead_s;
	if (argument != NULL)
		return hb_options_bad(&c, "what is '%s' for; see " NAME " --help", argument);
	if (o->config == NULL && o->database == NULL)
		return hb_options_bad(&c, "no database; give --database CONNINFO or --config FILE");
	if ((o->lease || o->take_slices != NULL || o->rejoin) && o->socket == NULL)
		return hb_options_bad(&c, "which hongbaod; give --socket PATH");
	if (o->config == NULL && o->journal == NULL && !o->migrate && !fleet_asked(o))
		return hb_options_bad(&c, "no journal; give --journal DIR or --config FILE");
	return HB_EXIT_OK;
}

void
settle_options_help(void)
{
	static struct settle_options o;
	struct hb_option_table table;
	struct hb_command_line c = make_command(&o, &table);

	puts("Usage: " NAME " [-c FILE] [OPTION]...\n"
	     "Carries what a journal says of money into PostgreSQL, each record once, whoever dies "
	     "meanwhile.\n"
	     "It follows the journal of a hongbaod that runs or doesn't. SIGHUP reads FILE again "
	     "for its rate,\n"
	     "batch and set_aside; SIGTERM ends it.\n");
	hb_options_help(&c);
	puts("\nExit status: 0 good; 1 not all is settled: the journal is damaged, the database "
	     "refused too much,\n"
	     "or another settles this journal; 2 wrong command line; 3 a file, the journal, the "
	     "schema or the\n"
	     "password is missing or wrong; 4 the database cannot be reached, or the host lacks "
	     "something.");
}

/* ---- over the file -------------------------------------------------------------------- */

/* A password in the file is for its owner alone, as libpq has it with ~/.pgpass. */
static enum hb_exit
check_database(const struct settle_options *o, const struct hb_settle_config *c, struct hb_error *e)
{
	struct stat st;
	bool open = o->database != NULL || c->path[0] == '\0' || stat(c->path, &st) != 0 ||
		    (st.st_mode & 077) != 0;

	if (hb_db_check_conninfo(c->database, false, e) != 0)
		return o->database != NULL ? HB_EXIT_USAGE : HB_EXIT_CONFIG;
	if (!open || hb_db_check_conninfo(c->database, true, e) == 0)
		return HB_EXIT_OK;
	if (o->database != NULL)
		return HB_EXIT_USAGE;
	hb_fail(e, EPERM,
		"%s: database: holds a password, and others may read the file; try: chmod 600 %s",
		c->path, c->path);
	return HB_EXIT_CONFIG;
}

static void
over(char *to, size_t size, const char *text)
{
	if (text != NULL)
		snprintf(to, size, "%s", text);
}

enum hb_exit
settle_options_apply(const struct settle_options *o, struct hb_settle_config *c, struct hb_error *e)
{
	hb_settle_config_defaults(c);
	if (o->config != NULL && hb_settle_config_load(c, o->config, e) != 0)
		return HB_EXIT_CONFIG;
	over(c->journal, sizeof(c->journal), o->journal);
	over(c->archive, sizeof(c->archive), o->archive);
	over(c->database, sizeof(c->database), o->database);
	over(c->metrics, sizeof(c->metrics), o->metrics);
	c->rate = o->rate_given ? o->rate : c->rate;
	c->batch = o->batch_given ? o->batch : c->batch;
	c->set_aside = o->set_aside_given ? o->set_aside : c->set_aside;
	/* One that is named for another host's sake is the command line's. */
	if (fleet_asked(o) && o->journal == NULL)
		c->journal[0] = '\0';
	if (c->database[0] == '\0' || (c->journal[0] == '\0' && !o->migrate && !fleet_asked(o))) {
		hb_fail(e, EINVAL, "%s: %s is missing; write it there, or give --%s", c->path,
			c->database[0] == '\0' ? "database" : "journal",
			c->database[0] == '\0' ? "database" : "journal");
		return HB_EXIT_CONFIG;
	}
	return check_database(o, c, e);
}
