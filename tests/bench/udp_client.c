/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drives udp_server: SHAKEs signed beforehand, of users drawn at random, out of several sockets
 * with a window each, by sendmmsg; replies in by recvmmsg. Prints what came back as JSON.
 *
 * Exit code 1 when a reply says neither MISS, WIN nor STALE.
 */
#include "options.h"
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A window that was silent for so long has lost its datagrams. */
#define LOST_NS 200000000ull

struct line {
	int fd;
	uint64_t outstanding;
	uint64_t heard_ns;
};

struct client {
	uint64_t port, ports, sockets, batch, window, users, requests, seconds, cpu;
	struct line line[UDP_SOCKETS_MAX];
	uint8_t (*payload)[24];
	uint64_t next; /* request to be sent */
	uint64_t replies, wins, wrong, lost;
	struct mmsghdr message[UDP_BATCH_MAX];
	struct iovec bytes[UDP_BATCH_MAX];
	uint8_t reply[UDP_BATCH_MAX][64];
};

static void
fail(const char *what)
{
	fprintf(stderr, "udp_client: %s: %s\n", what, strerror(errno));
	exit(HB_EXIT_HOST);
}

static void
make_requests(struct client *c)
{
	uint8_t epoch[HB_KEY_BYTES], key[HB_KEY_BYTES], payload[HB_REQUEST_BYTES_MAX];
	uint64_t random = 1;

	udp_key(epoch);
	c->payload = malloc(c->requests * sizeof(*c->payload));
	if (c->payload == NULL)
		fail("memory for requests");
	for (uint64_t i = 0; i < c->requests; i++) {
		uint64_t pick =
			(uint64_t)(((unsigned __int128)hb_splitmix64(&random) * c->users) >> 64);
		struct hb_request r = {.op = HB_OP_SHAKE,
			.campaign = UDP_CAMPAIGN,
			.seq = (uint32_t)(i + 1),
			.user = (pick + 1) * 0x9E3779B97F4A7C15ULL};

		hb_user_key(key, epoch, r.user);
		hb_wire_encode(&r, key, payload);
		memcpy(c->payload[i], payload, sizeof(c->payload[i]));
	}
}

static void
open_lines(struct client *c)
{
	int bytes = UDP_BUFFER_BYTES;

	for (unsigned i = 0; i < c->sockets; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
			.sin_port = htobe16((uint16_t)(c->port + i % c->ports)),
			.sin_addr = {htobe32(INADDR_LOOPBACK)}};
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
			fail("a socket to 127.0.0.1");
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
		c->line[i] = (struct line){.fd = fd, .heard_ns = hb_mono_ns()};
	}
}

static void
receive(struct client *c, struct line *l, uint64_t now)
{
	for (unsigned i = 0; i < c->batch; i++) {
		c->bytes[i] = (struct iovec){c->reply[i], sizeof(c->reply[i])};
		c->message[i].msg_hdr = (struct msghdr){.msg_iov = &c->bytes[i], .msg_iovlen = 1};
	}
	int n = recvmmsg(l->fd, c->message, (unsigned)c->batch, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		unsigned status = c->reply[i][1];

		c->wins += status == HB_WIN;
		/* Two of one user's can pass each other between two sockets: then one is STALE. */
		c->wrong += status != HB_WIN && status != HB_MISS && status != HB_STALE;
	}
	if (n > 0) {
		c->replies += (unsigned)n;
		l->outstanding -= (unsigned)n < l->outstanding ? (unsigned)n : l->outstanding;
		l->heard_ns = now;
	} else if (l->outstanding > 0 && now - l->heard_ns > LOST_NS) {
		c->lost += l->outstanding;
		l->outstanding = 0;
		l->heard_ns = now;
	}
}

static void
send_some(struct client *c, struct line *l)
{
	uint64_t n = c->window - l->outstanding;

	n = n < c->batch ? n : c->batch;
	n = n < c->requests - c->next ? n : c->requests - c->next;
	for (unsigned i = 0; i < n; i++) {
		c->bytes[i] = (struct iovec){c->payload[c->next + i], sizeof(c->payload[0])};
		c->message[i].msg_hdr = (struct msghdr){.msg_iov = &c->bytes[i], .msg_iovlen = 1};
	}
	int sent = n > 0 ? sendmmsg(l->fd, c->message, (unsigned)n, 0) : 0;
	if (sent > 0) {
		c->next += (unsigned)sent;
		l->outstanding += (unsigned)sent;
	}
}

/* Until the time or the requests are over. Returns the seconds that it took. */
static double
run(struct client *c)
{
	uint64_t start = hb_mono_ns(), end = start + c->seconds * 1000000000u, now = start;

	while (now < end && c->next < c->requests) {
		for (unsigned i = 0; i < c->sockets; i++) {
			receive(c, &c->line[i], now);
			send_some(c, &c->line[i]);
		}
		now = hb_mono_ns();
	}
	return (double)(now - start) / 1e9;
}

int
main(int argc, char **argv)
{
	struct client *c = calloc(1, sizeof(*c));
	cpu_set_t set;
	bool json;

	if (c == NULL)
		return HB_EXIT_HOST;
	c->port = 8192;
	c->ports = 1;
	c->sockets = 8;
	c->batch = 64;
	c->window = 128;
	c->users = 1000000;
	c->requests = 4000000;
	c->seconds = 2;
	c->cpu = 1;
	options_read(argc, argv,
		(struct option_number[]){{"--port", &c->port, 1, 65535 - UDP_SOCKETS_MAX},
			{"--ports", &c->ports, 1, UDP_SOCKETS_MAX},
			{"--sockets", &c->sockets, 1, UDP_SOCKETS_MAX},
			{"--batch", &c->batch, 1, UDP_BATCH_MAX},
			{"--window", &c->window, 1, 65536}, {"--users", &c->users, 1, 400000000},
			{"--requests", &c->requests, 1, 400000000},
			{"--seconds", &c->seconds, 1, 600}, {"--cpu", &c->cpu, 0, 1023}},
		9, &json);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	CPU_ZERO(&set);
	CPU_SET(c->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	make_requests(c);
	open_lines(c);
	double seconds = run(c);
	printf("{\"replies\": %llu, \"wins\": %llu, \"wrong\": %llu, \"lost\": %llu, \"seconds\": "
	       "%.6f}\n",
		(unsigned long long)c->replies, (unsigned long long)c->wins,
		(unsigned long long)c->wrong, (unsigned long long)c->lost, seconds);
	bool wrong = c->wrong != 0;

	free(c->payload);
	free(c);
	return wrong ? HB_EXIT_FAILED : HB_EXIT_OK;
}
