/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one would write without DPDK: hongbao's engine behind the kernel's UDP sockets, recvmmsg and
 * sendmmsg. One thread takes requests in, checks tags, decides and replies, on a core of its own; a
 * second one is the control core with a journal on a real disk; replies that give money are parked
 * until they are durable. It never waits in the kernel while there is something to do.
 *
 * At the end (SIGTERM) it prints what it answered and what that took of its core, as JSON.
 */
#include "live.h"
#include "options.h"
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define IDLE_MS 1

/* A datagram: the request, then its reply in the same place. */
struct slot {
	uint8_t payload[64]; /* longer than any request, so that a longer one shows */
	struct sockaddr_in from;
	int socket;
};

/* The server thread's alone. */
struct server {
	struct live live;
	struct slot *slots;
	struct slot **free; /* a stack */
	unsigned frees;
	struct mmsghdr in[UDP_BATCH_MAX], out[UDP_BATCH_MAX];
	struct iovec in_bytes[UDP_BATCH_MAX], out_bytes[UDP_BATCH_MAX];
	struct slot *taken[UDP_BATCH_MAX], *sent[UDP_BATCH_MAX];
	unsigned outs;
	struct pollfd poll[UDP_SOCKETS_MAX];
	uint64_t sockets, batch, port, users, cpu;
	uint64_t requests, dropped, busy_ns;
	bool done; /* server thread: wo; control thread: ro */
};

static volatile sig_atomic_t stopping;

static void
on_signal(int number)
{
	(void)number;
	stopping = 1;
}

/* ---- out ----------------------------------------------------------------------------- */

/* Sends what waits, by runs of the same socket. */
static void
flush(struct server *s)
{
	for (unsigned i = 0; i < s->outs;) {
		unsigned n = 1;

		while (i + n < s->outs && s->sent[i + n]->socket == s->sent[i]->socket)
			n++;
		int done = sendmmsg(s->sent[i]->socket, &s->out[i], n, 0);
		/* What the kernel doesn't take is lost, as on a full queue. */
		i += done > 0 ? (unsigned)done : 1;
	}
	for (unsigned i = 0; i < s->outs; i++)
		s->free[s->frees++] = s->sent[i];
	s->outs = 0;
}

static void
send_slot(struct server *s, struct slot *slot)
{
	unsigned i = s->outs++;

	s->sent[i] = slot;
	s->out_bytes[i] = (struct iovec){.iov_base = slot->payload, .iov_len = HB_REPLY_BYTES};
	s->out[i].msg_hdr = (struct msghdr){.msg_name = &slot->from,
		.msg_namelen = sizeof(slot->from),
		.msg_iov = &s->out_bytes[i],
		.msg_iovlen = 1};
	if (s->outs == s->batch)
		flush(s);
}

static unsigned
release_parked(struct server *s)
{
	const struct hb_link *link = &s->live.link[0];
	void *slot[HB_BURST];
	unsigned n = hb_park_pop(&s->live.engine[0].park,
		__atomic_load_n(&link->durable, __ATOMIC_ACQUIRE), slot, HB_BURST);

	for (unsigned i = 0; i < n; i++)
		send_slot(s, slot[i]);
	return n;
}

/* ---- in ------------------------------------------------------------------------------ */

static void
drop(struct server *s, struct slot *slot)
{
	s->dropped++;
	s->free[s->frees++] = slot;
}

/* n <= HB_BURST datagrams, from bytes to replies. */
static void
answer(struct server *s, unsigned first, unsigned n)
{
	struct hb_engine *e = &s->live.engine[0];
	struct hb_request r[HB_BURST];
	struct hb_reply reply[HB_BURST];
	unsigned decoded = 0, good = 0;
	uint64_t now = hb_wall_us();

	for (unsigned i = first; i < first + n; i++) {
		struct slot *slot = s->taken[i];

		if (hb_wire_decode(&r[decoded], slot->payload, s->in[i].msg_len) != HB_DROP_NONE) {
			drop(s, slot);
			continue;
		}
		r[decoded].now_us = now;
		r[decoded++].frame = slot;
	}
	hb_engine_expect(e, s->live.snapshot, r, decoded);
	hb_wire_verify(&s->live.snapshot->keys, r, decoded);
	for (unsigned i = 0; i < decoded; i++) {
		if (r[i].drop != HB_DROP_NONE)
			drop(s, r[i].frame);
		else if (good++ != i)
			r[good - 1] = r[i];
	}
	hb_engine_decide(e, s->live.snapshot, r, reply, good);
	for (unsigned i = 0; i < good; i++) {
		hb_wire_reply(&r[i], &reply[i]);
		if (reply[i].ticket != 0)
			hb_park_push(&e->park, r[i].frame, reply[i].ticket);
		else
			send_slot(s, r[i].frame);
	}
	s->requests += good;
}

static unsigned
receive(struct server *s, int socket)
{
	unsigned room = s->frees < s->batch ? s->frees : (unsigned)s->batch;

	for (unsigned i = 0; i < room; i++) {
		struct slot *slot = s->free[s->frees - 1 - i];

		s->in_bytes[i] = (struct iovec){slot->payload, sizeof(slot->payload)};
		s->in[i].msg_hdr = (struct msghdr){.msg_name = &slot->from,
			.msg_namelen = sizeof(slot->from),
			.msg_iov = &s->in_bytes[i],
			.msg_iovlen = 1};
	}
	int n = recvmmsg(socket, s->in, room, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	for (int i = 0; i < n; i++) {
		s->taken[i] = s->free[--s->frees];
		s->taken[i]->socket = socket;
	}
	for (unsigned i = 0; i < (unsigned)n; i += HB_BURST)
		answer(s, i, (unsigned)n - i < HB_BURST ? (unsigned)n - i : HB_BURST);
	return (unsigned)n;
}

/* ---- the loop ------------------------------------------------------------------------ */

static uint64_t
thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	struct hb_engine *e = &s->live.engine[0];
	uint64_t turn = 0, start;

	live_pin((unsigned)s->cpu);
	start = thread_ns();
	while (!stopping) {
		unsigned work = release_parked(s);

		for (unsigned i = 0; i < s->sockets; i++)
			work += receive(s, s->poll[i].fd);
		flush(s);
		if (++turn % 32 == 0)
			hb_engine_obey(e);
		if (work == 0 && hb_park_used(&e->park) == 0)
			poll(s->poll, s->sockets, IDLE_MS);
	}
	s->busy_ns = thread_ns() - start;
	__atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
fail(const char *what)
{
	fprintf(stderr, "udp_server: %s: %s\n", what, strerror(errno));
	exit(HB_EXIT_HOST);
}

static void
open_sockets(struct server *s)
{
	int bytes = UDP_BUFFER_BYTES;

	for (unsigned i = 0; i < s->sockets; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET,
			.sin_port = htobe16((uint16_t)(s->port + i)),
			.sin_addr = {htobe32(INADDR_LOOPBACK)}};
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
			fail("a socket on 127.0.0.1");
		/* Without the right to it, the host's limit holds. */
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
		s->poll[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
}

static void
make_slots(struct server *s)
{
	unsigned count = HB_PARK_SLOTS + 2 * UDP_BATCH_MAX;

	s->slots = calloc(count, sizeof(*s->slots));
	s->free = calloc(count, sizeof(struct slot *));
	if (s->slots == NULL || s->free == NULL)
		fail("memory for datagrams");
	for (unsigned i = 0; i < count; i++)
		s->free[s->frees++] = &s->slots[i];
}

int
main(int argc, char **argv)
{
	struct server *s = aligned_alloc(
		HB_CACHE_LINE, (sizeof(*s) + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE);
	struct sigaction action = {.sa_handler = on_signal};
	pthread_t thread;
	bool json;

	if (s == NULL || argc < 2 || argv[1][0] == '-') {
		fprintf(stderr,
			"usage: udp_server NEW-DIRECTORY [--port N] [--sockets N] [--batch N] "
			"[--users N] [--cpu N]\n");
		return HB_EXIT_USAGE;
	}
	memset(s, 0, sizeof(*s));
	s->port = 8192;
	s->sockets = 1;
	s->batch = 64;
	s->users = 1000000;
	options_read(argc - 1, argv + 1,
		(struct option_number[]){{"--port", &s->port, 1, 65535 - UDP_SOCKETS_MAX},
			{"--sockets", &s->sockets, 1, UDP_SOCKETS_MAX},
			{"--batch", &s->batch, 1, UDP_BATCH_MAX},
			{"--users", &s->users, 1000, 400000000}, {"--cpu", &s->cpu, 0, 1023}},
		5, &json);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	udp_key(s->live.config.keys.epoch_key[0]);
	s->live.config.keys.epoch_held[0] = true;
	live_start(&s->live, argv[1], 1, s->users, 1u << 20);
	open_sockets(s);
	make_slots(s);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (pthread_create(&thread, NULL, serve, s) != 0)
		fail("a thread");
	/* Whoever started this waits for the line. */
	printf("{\"ready\": true}\n");
	fflush(stdout);
	live_control(&s->live.control, UINT64_MAX, &s->done);
	pthread_join(thread, NULL);
	uint64_t wins = s->live.stats[0].wins;
	live_stop(&s->live);
	printf("{\"requests\": %llu, \"dropped\": %llu, \"wins\": %llu, \"server_ns\": %llu}\n",
		(unsigned long long)s->requests, (unsigned long long)s->dropped,
		(unsigned long long)wins, (unsigned long long)s->busy_ns);
	free(s->slots);
	free(s->free);
	free(s);
	return HB_EXIT_OK;
}
