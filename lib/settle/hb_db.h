/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_db: a connection to PostgreSQL, or to an engine that speaks its protocol, by libpq. Every call
 * waits for the server, but never for longer than `patience_ms` without a sign of life from it, and
 * no longer than until `wake_fd` can be read: so a program ends when it is told to, whatever the
 * database does.
 *
 * Owner: one thread at a time has a connection; it keeps no state elsewhere. Never to be called
 * from a worker or the control core, which must not wait: give it a thread.
 *
 * After an error `fault` says of which kind it was. The connection is then either still good (an
 * error of a statement; whoever was in a transaction says "rollback") or gone, which hb_db_up()
 * tells; hb_db_connect() makes it anew.
 */
#ifndef HB_DB_H
#define HB_DB_H

#include "hb_base.h"

#include <libpq-fe.h>

enum hb_db_fault {
	HB_DB_GOOD,
	HB_DB_AWAY,	 /* nobody answers, or it shuts down, starts, has no connection left */
	HB_DB_DENIED,	 /* wrong user or password, no such database, no right to connect */
	HB_DB_FULL,	 /* its disk is full, or it is out of memory */
	HB_DB_READ_ONLY, /* a standby, or it was made read-only */
	HB_DB_REFUSED,	 /* the data: a constraint or a value that cannot be */
	HB_DB_AGAIN,	 /* deadlock or serialisation: the same may work at once */
	HB_DB_SCHEMA,	 /* a table or column is missing, or the right to it */
	HB_DB_STOPPED,	 /* wake_fd was readable: the program is to end */
	HB_DB_OTHER,
};

struct hb_db {
	PGconn *conn;		/* NULL: none */
	const char *conninfo;	/* kept by the caller */
	const char *program;	/* as application_name; kept by the caller */
	int wake_fd;		/* -1: nothing ends a wait before its time */
	unsigned patience_ms;	/* 0: HB_DB_PATIENCE_MS */
	enum hb_db_fault fault; /* of the last call */
	char sqlstate[6];	/* of the last error, or "" */
	char where[192];	/* "host:port/database" or "socket directory/database", for lines */
};

#define HB_DB_PATIENCE_MS (60 * 1000u)
#define HB_DB_LONG_MS (3600 * 1000u) /* for what may take long in the server */
#define HB_DB_CONNECT_MS (10 * 1000u)

/* Checks a conninfo ("host=... dbname=...", a URI, or "service=..."). on_command_line: then it must
 * not hold a password, which every user of the host could read there. Returns 0 or -EINVAL with e.
 */
int hb_db_check_conninfo(const char *conninfo, bool on_command_line, struct hb_error *e);

/* Sets the struct up; connects to nobody yet. */
void hb_db_begin(struct hb_db *db, const char *conninfo, const char *program, int wake_fd);

/* Connects once, closing what there was. All calls from here on return 0 or a count, or -errno with
 * a line in e: -EAGAIN (AWAY, AGAIN), -EACCES (DENIED), -ENOSPC (FULL), -EROFS (READ_ONLY), -EINVAL
 * (REFUSED), -ENOENT (SCHEMA), -EINTR (STOPPED), -EIO (OTHER). */
int hb_db_connect(struct hb_db *db, struct hb_error *e);

/* Whether there is a connection that is not known to be broken. */
bool hb_db_up(const struct hb_db *db);

void hb_db_close(struct hb_db *db);

/* Runs one or more statements whose rows nobody wants. */
int hb_db_run(struct hb_db *db, const char *sql, struct hb_error *e);

/* Runs one statement with text parameters $1... (NULL: null); its result, in text, is the caller's
 * to PQclear(). */
int hb_db_ask(struct hb_db *db, PGresult **result, const char *sql, int n,
	const char *const *values, struct hb_error *e);

/* A number out of a result; 0 where it is null. uint64_t are kept as bigint, two's complement. */
uint64_t hb_db_u64(const PGresult *result, int row, int column);

/* COPY ... FROM STDIN: begin, then any number of pieces, then the end, which says what the server
 * thought of it. After an error of any of them the COPY is over. */
int hb_db_copy_in(struct hb_db *db, const char *sql, struct hb_error *e);
int hb_db_copy_put(struct hb_db *db, const char *bytes, size_t n, struct hb_error *e);
int hb_db_copy_done(struct hb_db *db, struct hb_error *e);

/* COPY ... TO STDOUT: begin, then rows until one returns 0. *row is to be given to
 * PQfreemem(). Returns the row's bytes. */
int hb_db_copy_out(struct hb_db *db, const char *sql, struct hb_error *e);
int hb_db_copy_get(struct hb_db *db, char **row, struct hb_error *e);

/* ---- trying again --------------------------------------------------------------------- */

/* Exponential back-off with jitter: waits between half of and the whole step, which doubles from
 * `first_ms` to `most_ms`. All zero is the default (100 ms to 30 s). */
struct hb_backoff {
	unsigned first_ms, most_ms;
	unsigned step_ms; /* 0: the next try is the first */
	uint64_t random;  /* 0: seeded at the first use */
};

/* How long to wait before the next try. */
unsigned hb_backoff_next(struct hb_backoff *b);

/* It worked. */
void hb_backoff_reset(struct hb_backoff *b);

/* Waits so long, or until wake_fd can be read: -EINTR. */
int hb_db_pause(const struct hb_db *db, unsigned ms);

#endif
