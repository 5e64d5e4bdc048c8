/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * daemon: hongbaod put together from the libraries: daemon.c starts and ends it, run.c is what goes
 * on between, manager.c what the service manager is told of it, report.c its figures. Everything
 * here runs on the control core, which is the main lcore; the workers run hb_worker_run().
 */
#ifndef HONGBAOD_DAEMON_H
#define HONGBAOD_DAEMON_H

#include "hb_port.h"
#include "hb_publish.h"
#include "hb_recovery.h"
#include "manager.h"
#include "serve.h"

#include <signal.h>

struct daemon_options {
	const char *config;
	const char *report; /* NULL: none */
	uint64_t idle_ms;   /* 0: never exit for idleness */
	uint64_t frames;    /* exit when so many have come; 0: never */
	int eal_count;
	char **eal;
	bool check;
};

/* What signals have come; written by their handler. */
struct daemon_signals {
	volatile sig_atomic_t stop; /* how often it was asked to end */
	volatile sig_atomic_t reload;
	volatile sig_atomic_t reopen;
};

/* The control core's, but for what hb_port.h says of workers. */
struct daemon {
	struct daemon_options options;
	struct hb_config *config;
	struct hb_profile profile[HB_PORTS_MAX];
	struct hb_disk_directory directory;
	struct hb_journal journal;
	struct hb_journal_reader reader;
	struct hb_recovery recovery;
	struct hb_control control;
	struct hb_ports ports;
	struct hb_worker *worker[HB_WORKERS_MAX];
	struct hb_link *link[HB_WORKERS_MAX];
	struct hb_engine *engine[HB_WORKERS_MAX];
	struct hb_envelopes *envelopes;	 /* by slot */
	struct hb_publication published; /* what the workers see of the configuration */
	uint8_t *drained;		 /* by slot; see hb_link */
	struct manager manager;
	struct serving serving; /* the service thread's, see there */
	uint64_t seed;
	uint64_t lost; /* frames that devices gave up before a worker saw them; known after the
			  close */
	bool eal;
	bool journal_begun;
	bool journal_found;  /* an earlier run's was read */
	int disk_error_said; /* what the operator was told last */
	bool misdirected_said;
	const struct daemon_signals *signals;
	int reloads_seen, reopens_seen; /* of the signals, what was passed on */
	bool drains;
	bool running; /* workers were launched */
	bool no_huge;
	char no_huge_why[256];
};

/* Reads and checks the configuration and what it needs of the host, without starting anything. */
int daemon_check(struct daemon *d, struct hb_error *e);

/* Starts everything up to running workers. Returns 0 or -errno with e; call daemon_free() in any
 * case. */
int daemon_start(struct daemon *d, struct hb_error *e);

/* The control core's loop, until it has drained as a signal or an operator asked, or until it has
 * been idle for long enough; then lets the workers finish. Returns 0, or with e -EIO when the disk
 * failed, -ENOSPC when it is full. */
int daemon_run(struct daemon *d, const struct daemon_signals *signals, struct hb_error *e);

/* Tells every worker what to do from now on. */
void daemon_set_phase(struct daemon *d, enum hb_phase phase);

/* Closes devices, which writes captures out, and the journal. After this the counters are final.
 * Returns 0 or -errno with e when a capture of replies is not what it should be. */
int daemon_close(struct daemon *d, struct hb_error *e);

void daemon_free(struct daemon *d);

/* Prints the screen to stdout and writes the report, if one was asked for. fault: what is wrong
 * with the run, or NULL. Returns 0 or -errno with e. */
int daemon_report(const struct daemon *d, const char *fault, struct hb_error *e);

#endif
