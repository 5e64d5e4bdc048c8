/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes clients of the control socket in, or turns them away. */
#include "service_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* So that a flood of clients doesn't keep the others waiting. */
#define ACCEPTS_A_TURN 64
/* How long to leave clients in the kernel's queue when the process has no file left for them. */
#define OUT_OF_FILES_MS 100

static void
turn_away(struct hb_service *s, int fd)
{
	char text[128];
	json_t *o, *why;
	char *line = NULL;

	snprintf(text, sizeof(text), "%u clients are connected, and no more are taken",
		s->limits.clients);
	why = hb_refusal_json(HB_REFUSAL_BUSY, text, "ask again when others have gone");
	o = json_pack("{s:i,s:b}", "hongbao", HB_SERVICE_VERSION, "ok", 0);
	if (json_object_update(o, why) == 0)
		line = json_dumps(o, JSON_COMPACT);
	json_decref(why);
	json_decref(o);
	/* A socket that nobody wrote to takes that much at once. */
	if (line != NULL) {
		send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
		send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	free(line);
	close(fd);
	hb_count(&s->stats.turned_away, 1);
}

static void
on_client(int fd, short what, void *arg)
{
	struct hb_service *s = arg;
	struct timeval later = hb_ms(OUT_OF_FILES_MS);

	(void)what;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			hb_count(&s->stats.accepted, 1);
			if (s->stats.clients >= s->limits.clients)
				turn_away(s, client);
			else
				hb_conn_accept(s, client);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			/* No file or no memory: the client stays where it is, so that the event
			 * would come again at once. */
			hb_count(&s->stats.out_of_files, 1);
			event_del(s->accept_event);
			event_add(s->accept_later, &later);
			return;
		}
	}
}

static void
on_later(int fd, short what, void *arg)
{
	struct hb_service *s = arg;

	(void)fd;
	(void)what;
	event_add(s->accept_event, NULL);
}

int
hb_accept_make(struct hb_service *s, struct hb_error *e)
{
	s->accept_event = event_new(s->base, s->claim.fd, EV_READ | EV_PERSIST, on_client, s);
	s->accept_later = event_new(s->base, -1, 0, on_later, s);
	if (s->accept_event == NULL || s->accept_later == NULL ||
		event_add(s->accept_event, NULL) != 0)
		return hb_fail(e, ENOMEM, "no memory for the control socket's events");
	return 0;
}

void
hb_accept_close(struct hb_service *s)
{
	if (s->accept_event != NULL)
		event_free(s->accept_event);
	if (s->accept_later != NULL)
		event_free(s->accept_later);
	s->accept_event = s->accept_later = NULL;
	hb_claim_free(&s->claim);
}
