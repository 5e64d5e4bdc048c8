/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_db.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- faults -------------------------------------------------------------------------- */

/* SQLSTATEs by their first characters; the first that fits counts. */
static const struct {
	const char *begins;
	enum hb_db_fault fault;
} states[] = {
	{"08", HB_DB_AWAY},
	{"57P", HB_DB_AWAY},
	{"57014", HB_DB_AWAY}, /* a statement that took too long */
	{"53300", HB_DB_AWAY},
	{"53", HB_DB_FULL},
	{"28", HB_DB_DENIED},
	{"3D000", HB_DB_DENIED},
	{"25006", HB_DB_READ_ONLY},
	{"22", HB_DB_REFUSED},
	{"23", HB_DB_REFUSED},
	{"40", HB_DB_AGAIN},
	{"55P03", HB_DB_AGAIN},
	{"42", HB_DB_SCHEMA},
	{"3F000", HB_DB_SCHEMA},
};

static const struct {
	int err;
	const char *remedy;
} faults[] = {
	[HB_DB_GOOD] = {0, ""},
	[HB_DB_AWAY] = {EAGAIN, "it is tried again; is it running? try: pg_isready"},
	[HB_DB_DENIED] = {EACCES, "look at user, password and pg_hba.conf; the password goes into "
				  "~/.pgpass with mode "
				  "0600 (or PGPASSFILE)"},
	[HB_DB_FULL] = {ENOSPC, "make room on the database's disk"},
	[HB_DB_READ_ONLY] = {EROFS, "name the primary (target_session_attrs=read-write), or end "
				    "what made it read-only"},
	[HB_DB_REFUSED] = {EINVAL, "the database refuses the data"},
	[HB_DB_AGAIN] = {EAGAIN, "it is tried again"},
	[HB_DB_SCHEMA] = {ENOENT, "look at the schema and the rights; try: hongbao-settle "
				  "--migrate"},
	[HB_DB_STOPPED] = {EINTR, ""},
	[HB_DB_OTHER] = {EIO, "look at the database's log"},
};

static enum hb_db_fault
fault_of(const char *sqlstate)
{
	for (unsigned i = 0; i < HB_COUNT_OF(states); i++) {
		if (strncmp(sqlstate, states[i].begins, strlen(states[i].begins)) == 0)
			return states[i].fault;
	}
	return HB_DB_OTHER;
}

/* libpq's lines as one, without an end. */
static void
one_line(const char *text, char *out, size_t bytes)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < bytes; text++) {
		if (*text == '\n' && text[1] == '\0')
			break;
		if ((*text == '\n' || *text == '\t') && (n == 0 || out[n - 1] != ' '))
			out[n++] = *text == '\n' ? ';' : ' ';
		else if (*text != '\n' && *text != '\t')
			out[n++] = *text;
	}
	out[n] = '\0';
}

static int
fail(struct hb_db *db, enum hb_db_fault fault, const char *text, struct hb_error *e)
{
	char line[480];

	db->fault = fault;
	one_line(text, line, sizeof(line));
	if (faults[fault].remedy[0] == '\0')
		return hb_fail(e, faults[fault].err, "database %s: %s", db->where, line);
	return hb_fail(
		e, faults[fault].err, "database %s: %s; %s", db->where, line, faults[fault].remedy);
}

static int
stopped(struct hb_db *db, struct hb_error *e)
{
	return fail(db, HB_DB_STOPPED, "told to stop", e);
}

/* The connection is of no use any more. */
static int
lost(struct hb_db *db, const char *why, struct hb_error *e)
{
	char line[480];

	one_line(why, line, sizeof(line));
	PQfinish(db->conn);
	db->conn = NULL;
	return fail(db, HB_DB_AWAY, line[0] == '\0' ? "the connection broke" : line, e);
}

/* Of a result that is an error. */
static int
fail_result(struct hb_db *db, const PGresult *r, struct hb_error *e)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
	char line[480];

	if (PQstatus(db->conn) == CONNECTION_BAD)
		return lost(db, PQerrorMessage(db->conn), e);
	snprintf(db->sqlstate, sizeof(db->sqlstate), "%s", state == NULL ? "" : state);
	snprintf(line, sizeof(line), "%s%s%s%s%s%s", text == NULL ? "an error" : text,
		detail == NULL ? "" : " (", detail == NULL ? "" : detail, detail == NULL ? "" : ")",
		db->sqlstate[0] == '\0' ? "" : ", SQLSTATE ", db->sqlstate);
	return fail(db, fault_of(db->sqlstate), line, e);
}

/* ---- waiting ------------------------------------------------------------------------- */

/* Waits until the socket can be read or written as `events` says. Returns what it can, 0 when the
 * time is over, -EINTR when the program is to end. */
static int
wait_for(const struct hb_db *db, short events, unsigned ms)
{
	struct pollfd fd[2] = {
		{.fd = db->conn == NULL ? -1 : PQsocket(db->conn), .events = events},
		{.fd = db->wake_fd, .events = POLLIN},
	};
	uint64_t until = hb_mono_ns() + ms * 1000000ull, now;
	int n = 0;

	while (n == 0 && (now = hb_mono_ns()) < until) {
		n = poll(fd, 2, (int)((until - now + 999999) / 1000000));
		if (n < 0 && errno != EINTR)
			return POLLERR;
		n = n < 0 ? 0 : n;
	}
	if (fd[1].revents != 0)
		return -EINTR;
	return fd[0].revents;
}

static unsigned
patience(const struct hb_db *db)
{
	return db->patience_ms == 0 ? HB_DB_PATIENCE_MS : db->patience_ms;
}

/* Waits for news of the server. Returns 0 or -errno with e. */
static int
await(struct hb_db *db, short events, struct hb_error *e)
{
	int n = wait_for(db, events, patience(db));
	char line[96];

	if (n == -EINTR)
		return stopped(db, e);
	if (n == 0) {
		snprintf(line, sizeof(line), "no answer for %u s", patience(db) / 1000);
		return lost(db, line, e);
	}
	if ((n & (POLLIN | POLLERR | POLLHUP)) != 0 && PQconsumeInput(db->conn) == 0)
		return lost(db, PQerrorMessage(db->conn), e);
	return 0;
}

/* Sends what libpq holds back. */
static int
flush(struct hb_db *db, struct hb_error *e)
{
	int n, err = 0;

	while (err == 0 && (n = PQflush(db->conn)) != 0) {
		if (n < 0)
			return lost(db, PQerrorMessage(db->conn), e);
		err = await(db, POLLIN | POLLOUT, e);
	}
	return err;
}

/* The next result, NULL when there is none any more. */
static int
next_result(struct hb_db *db, PGresult **r, struct hb_error *e)
{
	int err = flush(db, e);

	while (err == 0 && PQisBusy(db->conn))
		err = await(db, POLLIN, e);
	if (err == 0)
		*r = PQgetResult(db->conn);
	return err;
}

/* Takes all results. The last good one goes to *keep, if that is wanted. */
static int
take_results(struct hb_db *db, PGresult **keep, struct hb_error *e)
{
	PGresult *r = NULL;
	int err, failed = 0;

	while ((err = next_result(db, &r, e)) == 0 && r != NULL) {
		ExecStatusType status = PQresultStatus(r);

		if (failed == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
			status != PGRES_EMPTY_QUERY)
			failed = fail_result(db, r, e);
		if (failed == 0 && keep != NULL) {
			PQclear(*keep);
			*keep = r;
		} else {
			PQclear(r);
		}
		if (db->conn == NULL)
			break;
	}
	err = err != 0 ? err : failed;
	if (err != 0 && keep != NULL) {
		PQclear(*keep);
		*keep = NULL;
	}
	return err;
}

/* ---- connecting ---------------------------------------------------------------------- */

int
hb_db_check_conninfo(const char *conninfo, bool on_command_line, struct hb_error *e)
{
	char *why = NULL, line[320];
	PQconninfoOption *options = PQconninfoParse(conninfo, &why);
	bool password = false;

	if (options == NULL) {
		one_line(why == NULL ? "no memory" : why, line, sizeof(line));
		PQfreemem(why);
		return hb_fail(e, EINVAL,
			"database: %s; write it like: host=db.example dbname=hongbao user=settle",
			line);
	}
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
		password |= strcmp(o->keyword, "password") == 0 && o->val != NULL && *o->val;
	PQconninfoFree(options);
	if (password && on_command_line)
		return hb_fail(e, EINVAL,
			"database: a password on the command line can be read by every user of "
			"this host; put it into ~/.pgpass with mode 0600 (or PGPASSFILE)");
	return 0;
}

void
hb_db_begin(struct hb_db *db, const char *conninfo, const char *program, int wake_fd)
{
	*db = (struct hb_db){.conninfo = conninfo, .program = program, .wake_fd = wake_fd};
	snprintf(db->where, sizeof(db->where), "(not connected)");
}

/* From what the conninfo came to, environment and service file included. */
static void
note_where(struct hb_db *db)
{
	const char *host = PQhost(db->conn), *port = PQport(db->conn), *name = PQdb(db->conn);

	snprintf(db->where, sizeof(db->where), "%s:%s/%s",
		host == NULL || *host == '\0' ? "(no host)" : host,
		port == NULL || *port == '\0' ? "5432" : port, name == NULL ? "" : name);
}

static PGconn *
start(const struct hb_db *db)
{
	/* The conninfo as dbname, behind what stands for all and before what it must not change.
	 * A peer that went without a word is noticed by the kernel. */
	const char *key[] = {"keepalives_idle", "keepalives_interval", "keepalives_count",
		"tcp_user_timeout", "dbname", "application_name", "client_encoding", NULL};
	const char *value[] = {"10", "5", "3", "30000", db->conninfo, db->program, "UTF8", NULL};

	return PQconnectStartParams(key, value, 1);
}

/* The server's word on why not, as a fault: libpq tells no SQLSTATE of a connection. */
static enum hb_db_fault
fault_of_connecting(PGconn *conn)
{
	const char *text = PQerrorMessage(conn);
	static const char *const denied[] = {"password", "authentication", "pg_hba.conf",
		"does not exist", "permission denied for database", "is not permitted to log in",
		"certificate"};

	for (unsigned i = 0; i < HB_COUNT_OF(denied); i++) {
		if (strstr(text, "FATAL") != NULL && strstr(text, denied[i]) != NULL)
			return HB_DB_DENIED;
	}
	if (strstr(text, "no password supplied") != NULL)
		return HB_DB_DENIED;
	if (strstr(text, "session is read-only") != NULL ||
		strstr(text, "server is in hot standby mode") != NULL)
		return HB_DB_READ_ONLY;
	return HB_DB_AWAY;
}

static int
connect_failed(struct hb_db *db, const char *why, struct hb_error *e)
{
	enum hb_db_fault fault = fault_of_connecting(db->conn);
	char line[480];

	one_line(why, line, sizeof(line));
	PQfinish(db->conn);
	db->conn = NULL;
	return fail(db, fault, line, e);
}

/* Of each connection. A host that lost its power or its cable doesn't say good-bye: the server lets
 * go of its locks all the same. And what was committed is on its disk, whatever the server's
 * default: a position or a lease that a crash takes back would be a second payment. */
#define SETTINGS                                                                                   \
	"set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; "                          \
	"set tcp_keepalives_count = 3; set tcp_user_timeout = 30000; "                             \
	"set idle_in_transaction_session_timeout = '60s'; "                                        \
	"select set_config('synchronous_commit', 'on', false) "                                    \
	"where current_setting('synchronous_commit') in ('off', 'local')"

int
hb_db_connect(struct hb_db *db, struct hb_error *e)
{
	uint64_t until = hb_mono_ns() + HB_DB_CONNECT_MS * 1000000ull;
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	int n;

	hb_db_close(db);
	db->fault = HB_DB_GOOD;
	db->sqlstate[0] = '\0';
	if ((db->conn = start(db)) == NULL)
		return fail(db, HB_DB_OTHER, "no memory for a connection", e);
	note_where(db);
	if (PQstatus(db->conn) == CONNECTION_BAD)
		return connect_failed(db, PQerrorMessage(db->conn), e);
	while (next != PGRES_POLLING_OK) {
		n = wait_for(db, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, 250);
		if (n == -EINTR)
			return stopped(db, e);
		if (hb_mono_ns() > until)
			return connect_failed(db, "no answer to a connection for 10 s", e);
		if (n != 0 && (next = PQconnectPoll(db->conn)) == PGRES_POLLING_FAILED)
			return connect_failed(db, PQerrorMessage(db->conn), e);
	}
	note_where(db);
	if (PQsetnonblocking(db->conn, 1) != 0)
		return connect_failed(db, PQerrorMessage(db->conn), e);
	return hb_db_run(db, SETTINGS, e);
}

bool
hb_db_up(const struct hb_db *db)
{
	return db->conn != NULL && PQstatus(db->conn) == CONNECTION_OK;
}

void
hb_db_close(struct hb_db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
}

/* ---- statements ---------------------------------------------------------------------- */

static int
begin(struct hb_db *db, struct hb_error *e)
{
	db->fault = HB_DB_GOOD;
	db->sqlstate[0] = '\0';
	return db->conn != NULL ? 0 : fail(db, HB_DB_AWAY, "not connected", e);
}

int
hb_db_run(struct hb_db *db, const char *sql, struct hb_error *e)
{
	int err = begin(db, e);

	if (err != 0)
		return err;
	if (PQsendQuery(db->conn, sql) == 0)
		return lost(db, PQerrorMessage(db->conn), e);
	return take_results(db, NULL, e);
}

int
hb_db_ask(struct hb_db *db, PGresult **result, const char *sql, int n, const char *const *values,
	struct hb_error *e)
{
	int err = begin(db, e);

	*result = NULL;
	if (err != 0)
		return err;
	if (PQsendQueryParams(db->conn, sql, n, NULL, values, NULL, NULL, 0) == 0)
		return lost(db, PQerrorMessage(db->conn), e);
	return take_results(db, result, e);
}

uint64_t
hb_db_u64(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return 0;
	return (uint64_t)strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* ---- COPY ---------------------------------------------------------------------------- */

static int
copy_begin(struct hb_db *db, const char *sql, ExecStatusType wanted, struct hb_error *e)
{
	PGresult *r = NULL;
	int err = begin(db, e);

	if (err != 0)
		return err;
	if (PQsendQuery(db->conn, sql) == 0)
		return lost(db, PQerrorMessage(db->conn), e);
	if ((err = next_result(db, &r, e)) != 0)
		return err;
	if (r != NULL && PQresultStatus(r) == wanted) {
		PQclear(r);
		return 0;
	}
	err = r == NULL ? fail(db, HB_DB_OTHER, "no COPY began", e) : fail_result(db, r, e);
	PQclear(r);
	if (db->conn != NULL)
		take_results(db, NULL, NULL);
	return err;
}

int
hb_db_copy_in(struct hb_db *db, const char *sql, struct hb_error *e)
{
	return copy_begin(db, sql, PGRES_COPY_IN, e);
}

int
hb_db_copy_put(struct hb_db *db, const char *bytes, size_t n, struct hb_error *e)
{
	int sent, err = 0;

	while ((sent = PQputCopyData(db->conn, bytes, (int)n)) == 0 && err == 0)
		err = await(db, POLLIN | POLLOUT, e);
	if (err != 0)
		return err;
	if (sent < 0)
		return lost(db, PQerrorMessage(db->conn), e);
	return flush(db, e);
}

int
hb_db_copy_done(struct hb_db *db, struct hb_error *e)
{
	int sent, err = 0;

	while ((sent = PQputCopyEnd(db->conn, NULL)) == 0 && err == 0)
		err = await(db, POLLIN | POLLOUT, e);
	if (err != 0)
		return err;
	if (sent < 0)
		return lost(db, PQerrorMessage(db->conn), e);
	return take_results(db, NULL, e);
}

int
hb_db_copy_out(struct hb_db *db, const char *sql, struct hb_error *e)
{
	return copy_begin(db, sql, PGRES_COPY_OUT, e);
}

int
hb_db_copy_get(struct hb_db *db, char **row, struct hb_error *e)
{
	int n, err = 0;

	while ((n = PQgetCopyData(db->conn, row, 1)) == 0 && err == 0)
		err = await(db, POLLIN, e);
	if (err != 0 || n > 0)
		return err != 0 ? err : n;
	if (n == -2)
		return lost(db, PQerrorMessage(db->conn), e);
	return take_results(db, NULL, e);
}

/* ---- trying again --------------------------------------------------------------------- */

unsigned
hb_backoff_next(struct hb_backoff *b)
{
	unsigned first = b->first_ms == 0 ? 100 : b->first_ms;
	unsigned most = b->most_ms == 0 ? 30000 : b->most_ms;

	if (b->random == 0)
		b->random = hb_mono_ns() ^ ((uint64_t)getpid() << 40);
	b->step_ms = b->step_ms == 0 ? first : b->step_ms > most / 2 ? most : 2 * b->step_ms;
	return b->step_ms / 2 + (unsigned)(hb_splitmix64(&b->random) % (b->step_ms / 2 + 1));
}

void
hb_backoff_reset(struct hb_backoff *b)
{
	b->step_ms = 0;
}

int
hb_db_pause(const struct hb_db *db, unsigned ms)
{
	struct hb_db nobody = {.wake_fd = db->wake_fd};

	return wait_for(&nobody, 0, ms) == -EINTR ? -EINTR : 0;
}
