/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The terminal as a screen of its own: raw, the other screen, no cursor; given back at every end of
 * the program, a crash included. Signals are held back but while terminal_wait() waits.
 */
#ifndef HONGBAOCTL_TERMINAL_H
#define HONGBAOCTL_TERMINAL_H

#include "hb_base.h"

/* What came while it was waited; bits. */
enum event {
	EVENT_KEY = 1 << 0,
	EVENT_LINK = 1 << 1,   /* the descriptor can be read */
	EVENT_RESIZE = 1 << 2, /* or was stopped and went on */
	EVENT_END = 1 << 3,    /* a signal asks for the end */
};

/* Returns 0 or -errno with e. */
int terminal_open(struct hb_error *e);
void terminal_close(void);

/* Waits for any of those, `ms` at the most; fd -1: none. *key becomes what was typed. Returns
 * events. */
unsigned terminal_wait(int fd, int ms, char *key);

/* Writes a frame. */
void terminal_write(const char *text, size_t bytes);

#endif
