/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands, in the order in which the help lists them. */
#include "hb_command.h"

/* clang-format off */

/* ---- what arguments have in common ---------------------------------------------------- */

#define CAMPAIGN(text)                                                                             \
	{.name = "campaign", .shown = "ID", .kind = HB_ARG_NUMBER, .required = true, .min = 1,     \
		.max = 65535, .help = text}

#define EPOCH(text)                                                                                \
	{.name = "epoch", .shown = "EPOCH", .kind = HB_ARG_NUMBER, .required = true, .max = 255,   \
		.help = text}

#define USERS(text)                                                                                \
	{.name = "users", .shown = "USER", .kind = HB_ARG_NUMBER, .required = true, .many = true,  \
		.min = 1, .max = UINT64_MAX, .help = text}

/* A whole file, or single keys. */
#define FILE_OR_KEYS                                                                               \
	{.name = "text", .shown = "FILE", .kind = HB_ARG_FILE, .form = HB_FORM_FILE,               \
		.required = true, .help = "a whole configuration; \"-\" is standard input"},       \
	{.name = "campaign", .shown = "ID", .lead = "campaign", .kind = HB_ARG_NUMBER,             \
		.form = HB_FORM_KEYS, .min = 1, .max = 65535,                                      \
		.help = "the campaign whose keys they are; without it they are those of the "      \
			"whole"},                                                                  \
	{.name = "keys", .shown = "KEY=VALUE", .kind = HB_ARG_KEYS, .form = HB_FORM_KEYS,          \
		.required = true, .keys = live_keys,                                               \
		.help = "keys as in the file"}

static const struct hb_key live_keys[] = {
	{"odds", "SHARE", HB_KEY_OPTIONAL, "the probability that a draw wins, 0 to 1"},
	{"release_per_second", "N", HB_KEY_OPTIONAL, "envelopes a second at most; 0: no limit"},
	{"wins_per_user", "N", HB_KEY_OPTIONAL, "how often a user may win"},
	{"least_interval", "MS", HB_KEY_OPTIONAL, "between one user's requests"},
	{"wait", "MS", HB_KEY_OPTIONAL, "how long a MISS tells the client to wait"},
	{"opens", "TIME", HB_KEY_OPTIONAL, "with its zone, or ms since 1970, or now, +10m, -30s"},
	{"closes", "TIME", HB_KEY_OPTIONAL, "likewise"},
	{"paused", "true|false", HB_KEY_OPTIONAL, "BUSY to every draw"},
	{"password", "TEXT", HB_KEY_OPTIONAL, "of a campaign that is answered"},
	{"name", "TEXT", HB_KEY_OPTIONAL, "what people call it"},
	{"deny", "[USER, ...]", HB_KEY_WHOLE, "all users who are barred"},
	{"slices", "[N, ...]", HB_KEY_WHOLE, "the slices that this host owns"},
	{"log.level", "LEVEL", HB_KEY_WHOLE, "error, warning, info or debug"},
	{"overload.shed", "true|false", HB_KEY_WHOLE, "whether an overloaded worker sheds"},
	{"overload.wait", "MS", HB_KEY_WHOLE, "how long what is shed is told to wait"},
	{"idle", "poll|sleep", HB_KEY_WHOLE, "what an idle worker does"},
	{0},
};

static const struct hb_key new_campaign_keys[] = {
	{"id", "ID", HB_KEY_REQUIRED, "a number from 1 to 65535 that no campaign has"},
	{"opens", "TIME", HB_KEY_REQUIRED, "with its zone, or ms since 1970, or now, +10m"},
	{"closes", "TIME", HB_KEY_REQUIRED, "likewise"},
	{"count", "N", HB_KEY_OPTIONAL, "how many envelopes"},
	{"total", "FEN", HB_KEY_OPTIONAL, "the money in all of them"},
	{"tiers", "[{...}, ...]", HB_KEY_OPTIONAL, "instead of these, as in the file"},
	{"split", "equal|lucky", HB_KEY_OPTIONAL, "how the money is split; lucky when absent"},
	{"bundle.shares", "N", HB_KEY_OPTIONAL, "makes a group packet of each win"},
	{"bundle.split", "equal|lucky", HB_KEY_OPTIONAL, "how that is split; lucky when absent"},
	{"bundle.hours", "N", HB_KEY_OPTIONAL, "how long it lives; 24 when absent"},
	{"name", "TEXT", HB_KEY_OPTIONAL, "what people call it"},
	{"odds", "SHARE", HB_KEY_OPTIONAL, "the probability that a draw wins, 0 to 1"},
	{"release_per_second", "N", HB_KEY_OPTIONAL, "envelopes a second at most; 0: no limit"},
	{"wins_per_user", "N", HB_KEY_OPTIONAL, "how often a user may win"},
	{"least_interval", "MS", HB_KEY_OPTIONAL, "between one user's requests"},
	{"wait", "MS", HB_KEY_OPTIONAL, "how long a MISS tells the client to wait"},
	{"password", "TEXT", HB_KEY_OPTIONAL, "makes it a campaign that is answered, not shaken"},
	{"paused", "true|false", HB_KEY_OPTIONAL, "starts it paused"},
	{0},
};

static const struct hb_key top_up_keys[] = {
	{"count", "N", HB_KEY_REQUIRED, "how many envelopes more"},
	{"total", "FEN", HB_KEY_REQUIRED, "the money in all of them"},
	{"split", "equal|lucky", HB_KEY_OPTIONAL, "how the money is split; lucky when absent"},
	{"token", "WORD", HB_KEY_OPTIONAL, "any word: the same top-up with it is made once, however often asked for"},
	{0},
};

static const struct hb_key block_keys[] = {
	{"block", "N", HB_KEY_REQUIRED, "its number in the campaign"},
	{"first", "N", HB_KEY_REQUIRED, "number of its first envelope in the campaign"},
	{"count", "N", HB_KEY_REQUIRED, "how many envelopes"},
	{"total", "FEN", HB_KEY_REQUIRED, "the money in all of them"},
	{"split", "equal|lucky|tiers", HB_KEY_OPTIONAL, "how the money is split; lucky when absent"},
	{"tiers", "N*FEN,...", HB_KEY_OPTIONAL, "so many of so much, where split is tiers"},
	{"expires_ns", "NS", HB_KEY_OPTIONAL, "from when it is refused, by CLOCK_BOOTTIME; never when absent"},
	{0},
};

static const char *const yes_or_no[] = {"yes", "no", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

/* ---- the commands --------------------------------------------------------------------- */

const struct hb_command hb_commands[] = {
	{
		.name = "status",
		.summary = "what state the daemon is in",
		.help = "Whether it serves or drains and since when, its disk and its links, which "
			"version of the configuration is in force and how many workers have seen "
			"it, and totals. The first thing to look at.",
		.example = "status",
	},
	{
		.name = "stats",
		.arg = {{.name = "worker", .shown = "WORKER", .kind = HB_ARG_NUMBER, .max = 63,
			.help = "one worker's alone, by its number from 0"}},
		.summary = "counters and rates",
		.help = "Requests, replies by status, drops by reason, what was handed over and what was "
			"shed: in all since the start, and a second as of late.",
		.example = "stats 0",
	},
	{
		.name = "campaign list",
		.summary = "all campaigns, a line each",
		.help = "State, what was funded, given and is left, and the rate at which it goes.",
		.example = "campaign list",
	},
	{
		.name = "campaign show",
		.arg = {CAMPAIGN("the campaign")},
		.summary = "everything about a campaign",
		.help = "Its settings, its money, where its envelopes are, and how long they will last "
			"at the present rate.",
		.example = "campaign show 7",
	},
	{
		.name = "campaign add",
		.right = HB_RIGHT_CHANGE,
		.asks = true,
		.arg = {{.name = "keys", .shown = "KEY=VALUE", .kind = HB_ARG_KEYS, .required = true,
			.keys = new_campaign_keys, .help = "keys as in the file"}},
		.summary = "add a campaign while it runs",
		.help = "Funds a new campaign: its money is journalled before anybody can win it, and "
			"stays funded whatever is undone later. So the campaign is written into the file "
			"at once, beside what stands there (comments go; the one before stays as "
			"FILE.before).",
		.example = "campaign add id=8 name=encore opens=now closes=+30m count=50000 "
			   "total=10000000 split=lucky odds=0.01",
	},
	{
		.name = "campaign pause",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign")},
		.summary = "stop giving, for now",
		.help = "Draws are answered BUSY, and clients ask again; who has won is still told so. "
			"Nothing is lost. \"campaign resume\" goes on.",
		.example = "campaign pause 7",
	},
	{
		.name = "campaign resume",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign")},
		.summary = "go on after a pause",
		.help = "Takes back \"campaign pause\".",
		.example = "campaign resume 7",
	},
	{
		.name = "campaign close",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign")},
		.summary = "end a campaign now",
		.help = "Sets its closing time to now: draws are answered CLOSED, which clients take for "
			"final. What is left stays in the books. To stop for a while, pause it instead.",
		.example = "campaign close 7",
	},
	{
		.name = "campaign top-up",
		.alias = "top-up",
		.right = HB_RIGHT_CHANGE,
		.asks = true,
		.arg = {CAMPAIGN("the campaign"),
			{.name = "keys", .shown = "KEY=VALUE", .kind = HB_ARG_KEYS, .required = true,
				.keys = top_up_keys, .only_keys = true, .help = "how much more"}},
		.summary = "put more envelopes into a campaign",
		.help = "Adds envelopes with their money, journalled as funding. It cannot be undone. Who "
			"doesn't know whether it was made, since the connection broke or hongbaod ended, "
			"asks again with the same token: it is made once.",
		.example = "campaign top-up 7 count=100000 total=50000000 split=lucky",
	},
	{
		.name = "pool",
		.arg = {{.name = "campaign", .shown = "ID", .kind = HB_ARG_NUMBER, .min = 1, .max = 65535,
			.help = "one campaign's alone"}},
		.summary = "the envelopes that each worker holds",
		.help = "How the stock of each campaign lies with the workers, and what was moved between "
			"them.",
		.example = "pool 7",
	},
	{
		.name = "latency",
		.summary = "how long requests take",
		.help = "Percentiles of the time in which a worker serves a request, and of the time from a "
			"win to stable storage.",
		.example = "latency",
	},
	{
		.name = "journal",
		.summary = "the journal and its disk",
		.help = "Segment, records, bytes, batches, how long a flush takes, and the disk's error if "
			"it has failed.",
		.example = "journal",
	},
	{
		.name = "steering",
		.summary = "how requests come to the workers",
		.help = "For each port by whom requests are steered and why, and how many came to another "
			"worker than they should.",
		.example = "steering",
	},
	{
		.name = "report",
		.arg = {{.name = "file", .shown = "FILE", .kind = HB_ARG_PATH,
			.help = "where it is written; standard output when absent, or \"-\""}},
		.summary = "the night as one page, for the morning after",
		.help = "Writes one HTML file that needs no other and opens in any browser: the last hour by "
			"seconds and the last day by minutes, the peak, totals, each campaign's books, what was "
			"wrong and when, and what operators changed. With --json the same as JSON. It tells of "
			"the run of hongbaod that is under way: ask before it ends.",
		.example = "report night.html",
	},
	{
		.name = "log level",
		.right = HB_RIGHT_CHANGE,
		.bare_reads = true,
		.arg = {{.name = "level", .shown = "LEVEL", .kind = HB_ARG_TEXT, .words = log_levels,
			.help = "error, warning, info or debug; without it the present one is told"}},
		.summary = "tell or set how much is logged",
		.help = "Without a level, tells it. With one, sets it until the daemon ends; to keep it: "
			"config apply log.level=LEVEL, config save.",
		.example = "log level debug",
	},
	{
		.name = "config show",
		.summary = "the configuration in force, as YAML",
		.help = "Prints a file that would load to the same, with passwords as \"***\". It holds what "
			"was changed since the start, saved or not.",
		.example = "config show >now.yaml",
	},
	{
		.name = "config check",
		.arg = {{.name = "text", .shown = "FILE", .kind = HB_ARG_FILE, .required = true,
			.help = "a whole configuration; \"-\" is standard input"}},
		.summary = "whether a file could be applied",
		.help = "Reads the file as the daemon would and says what is wrong, or what it would change. "
			"It changes nothing. Relative paths are relative to the daemon's own file.",
		.example = "config check new.yaml",
	},
	{
		.name = "config diff",
		.arg = {FILE_OR_KEYS},
		.summary = "what a file or some keys would change",
		.help = "Shows the difference to the configuration in force, key by key, or why it cannot be "
			"applied. It changes nothing.",
		.example = "config diff campaign 7 odds=0.01 release_per_second=50000",
	},
	{
		.name = "config apply",
		.right = HB_RIGHT_CHANGE,
		.asks = true,
		.arg = {FILE_OR_KEYS},
		.summary = "change the configuration",
		.help = "Puts a whole file or single keys in force on every worker at once, or refuses and "
			"changes nothing. On a terminal the difference is shown first and you are asked, "
			"unless --yes is given. The previous version is kept: \"config undo\". It lasts "
			"until the daemon ends; \"config save\" makes it last longer.",
		.example = "config apply campaign 7 odds=0.01 release_per_second=50000",
	},
	{
		.name = "config reload",
		.right = HB_RIGHT_CHANGE,
		.summary = "apply the daemon's own file again",
		.help = "Reads the file that the daemon was started with and applies it, as SIGHUP does. What "
			"was changed since and not saved is gone, but for money.",
		.example = "config reload",
	},
	{
		.name = "config save",
		.right = HB_RIGHT_CHANGE,
		.summary = "write what is in force to the file",
		.help = "Writes the configuration in force to the daemon's own file, so that a restart finds "
			"it. The file as it was is kept beside it, with .before behind its name.",
		.example = "config save",
	},
	{
		.name = "config undo",
		.right = HB_RIGHT_CHANGE,
		.arg = {{.name = "version", .shown = "VERSION", .kind = HB_ARG_NUMBER, .min = 1,
			.max = UINT32_MAX, .help = "one of \"config versions\"; the one before the present "
			"when absent"}},
		.summary = "go back to an earlier version",
		.help = "Puts an earlier configuration in force, as a new version, so that it can be undone "
			"itself. Money stays where it is: campaigns and top-ups that came since remain.",
		.example = "config undo 3",
	},
	{
		.name = "config versions",
		.summary = "the last 16 versions, with who changed what",
		.help = "Time, who it was, and the difference to the version before.",
		.example = "config versions",
	},
	{
		.name = "deny add",
		.right = HB_RIGHT_CHANGE,
		.arg = {USERS("users to bar")},
		.summary = "bar users",
		.help = "Their requests are answered DENIED. What they have won stays theirs.",
		.example = "deny add 1234567 1234568",
	},
	{
		.name = "deny remove",
		.right = HB_RIGHT_CHANGE,
		.arg = {USERS("users to admit again")},
		.summary = "admit users again",
		.help = "Takes back \"deny add\".",
		.example = "deny remove 1234567",
	},
	{
		.name = "deny list",
		.summary = "the users who are barred",
		.help = "All of them, in the order of the configuration.",
		.example = "deny list",
	},
	{
		.name = "user",
		.arg = {{.name = "user", .shown = "USER", .kind = HB_ARG_NUMBER, .required = true, .min = 1,
			.max = UINT64_MAX, .help = "the user's number"}},
		.summary = "what the server knows of one user",
		.help = "The worker that owns the user, whether the user is barred, and for each campaign the "
			"last request, its outcome, and wins with their envelopes.",
		.example = "user 1234567",
	},
	{
		.name = "packet list",
		.summary = "all group packets: their money and memory",
		.help = "Funded, taken, refunded and left, on stable storage, in this and earlier runs; how many "
			"packets are remembered, and how many places there are for shares.",
		.example = "packet list",
	},
	{
		.name = "packet show",
		.arg = {{.name = "packet", .shown = "ID", .kind = HB_ARG_NUMBER, .required = true, .min = 1,
			.max = UINT64_MAX, .help = "the packet's id"}},
		.summary = "one group packet: its terms and who has what",
		.help = "As the worker that owns it has it; the first 100 shares in the order in which they were "
			"taken. A packet that is done is remembered for as long as packets: { keep: N } says.",
		.example = "packet show 1234567",
	},
	{
		.name = "key list",
		.summary = "the epochs whose keys are held",
		.help = "Never the keys themselves.",
		.example = "key list",
	},
	{
		.name = "key add",
		.right = HB_RIGHT_CHANGE,
		.arg = {EPOCH("an epoch that stands in the key file")},
		.summary = "accept requests of a new epoch",
		.help = "Reads the epoch's key from the key file and accepts requests sealed under it, beside "
			"the other one: two are held at most, so that keys can be changed without a gap.",
		.example = "key add 1",
	},
	{
		.name = "key retire",
		.right = HB_RIGHT_CHANGE,
		.arg = {EPOCH("an epoch that is held")},
		.summary = "accept an epoch's requests no more",
		.help = "Requests under that epoch are dropped from now on, without a reply. The last epoch "
			"that is held cannot be retired.",
		.example = "key retire 0",
	},
	{
		.name = "lease list",
		.summary = "campaigns whose budget many hosts share",
		.help = "What this host has of each, what it gave and gave back, and for how long it may "
			"give what it has.",
		.example = "lease list",
	},
	{
		.name = "lease add",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign, whose envelopes are leased"),
			{.name = "keys", .shown = "KEY=VALUE", .kind = HB_ARG_KEYS, .required = true,
				.keys = block_keys, .only_keys = true, .help = "the block"}},
		.summary = "take a block of a shared budget",
		.help = "Journals the block as funding. hongbao-settle --lease does this, once the database "
			"has given it the block; the same block again is harmless, an invented one gives "
			"money that nobody has.",
		.example = "lease add 7 block=12 first=1101 count=100 total=5000 split=lucky",
	},
	{
		.name = "lease renew",
		.right = HB_RIGHT_CHANGE,
		.arg = {{.name = "ms", .shown = "MS", .kind = HB_ARG_NUMBER, .required = true,
				.max = 86400000, .help = "how long the term is; 0 ends it"},
			{.name = "since_ns", .shown = "NS", .kind = HB_ARG_NUMBER, .max = UINT64_MAX,
				.help = "when it began, by CLOCK_BOOTTIME; now when absent"},
			{.name = "slices", .shown = "BITS", .kind = HB_ARG_NUMBER, .max = UINT32_MAX,
				.help = "bit i: slice i may be served; refused where others are"}},
		.summary = "for how long leased envelopes may be given",
		.help = "When the term is over, draws that would win are answered BUSY until it is renewed. "
			"hongbao-settle --lease does this after the database has renewed it.",
		.example = "lease renew 10000",
	},
	{
		.name = "lease done",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign, whose envelopes are leased"),
			{.name = "done", .shown = "yes|no", .kind = HB_ARG_TEXT, .required = true,
				.words = yes_or_no, .help = "whether no other host has any"}},
		.summary = "whether a shared budget is given elsewhere",
		.help = "EMPTY is told only when it is, and nothing is left here either; until then BUSY. A "
			"block that comes takes it back.",
		.example = "lease done 7 yes",
	},
	{
		.name = "lease return",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign, whose envelopes are leased"),
			{.name = "count", .shown = "N", .kind = HB_ARG_NUMBER, .min = 1,
				.max = UINT32_MAX, .help = "how many at the most; all when absent"}},
		.summary = "give envelopes back to a shared budget",
		.help = "Takes envelopes that nobody has won out of the workers' stocks and journals that they "
			"go back. hongbao-settle books them in the database when it comes to that record.",
		.example = "lease return 7",
	},
	{
		.name = "lease rows",
		.right = HB_RIGHT_CHANGE,
		.arg = {CAMPAIGN("the campaign, whose envelopes are leased"),
			{.name = "text", .shown = "FILE", .kind = HB_ARG_FILE, .required = true,
				.help = "a line each: user seq WIN|BUNDLE wins id fen time_us"}},
		.summary = "take in users who won on other hosts",
		.help = "Journals them and tells their workers, so that a user whose slice comes here keeps what "
			"was won elsewhere, and wins no more than the campaign gives one user. hongbao-settle "
			"--take-slices does this before it has the slices served here.",
		.example = "lease rows 7 winners.txt",
	},
	{
		.name = "drain",
		.right = HB_RIGHT_CHANGE,
		.asks = true,
		.arg = {{.name = "seconds", .shown = "SECONDS", .kind = HB_ARG_NUMBER, .max = 86400,
			.help = "how long BUSY is answered before the end"}},
		.summary = "stop giving, flush, and end the daemon",
		.help = "Draws are answered BUSY from now on, who has won is still told so, the journal is "
			"flushed, and the daemon exits with 0. It cannot be taken back; SIGTERM does the "
			"same.",
		.example = "drain 5",
	},
	{
		.name = "watch",
		.streams = true,
		.arg = {{.name = "seconds", .shown = "SECONDS", .kind = HB_ARG_NUMBER, .min = 1, .max = 3600,
			.help = "between two lines; 1 when absent"}},
		.summary = "a line a second, until Ctrl-C",
		.help = "Rates of requests, replies and wins, what is left, drops and what is shed. For a "
			"full screen: hongbaoctl top.",
		.example = "watch 5",
	},
	{
		.name = "ping",
		.summary = "whether the daemon answers",
		.help = "With --wait it waits until it does.",
		.example = "--wait=30 ping",
	},
	{
		.name = "help",
		.local = true,
		.arg = {{.name = "command", .shown = "COMMAND", .kind = HB_ARG_REST,
			.help = "the command to explain"}},
		.summary = "this list, or what a command does",
		.help = "Needs no daemon.",
		.example = "help config apply",
	},
};

const unsigned hb_commands_count = HB_COUNT_OF(hb_commands);
