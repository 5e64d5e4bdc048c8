/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_calls.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A queue from one thread to another. There is always room: never more than HB_CALLS_MAX are under
 * way. */
struct queue {
	struct hb_call *call[HB_CALLS_MAX];
	uint64_t put HB_ALIGNED;   /* sender: wo; receiver: ro */
	uint64_t taken HB_ALIGNED; /* receiver's alone */
};

struct hb_calls {
	struct queue posted; /* caller to control core */
	struct queue done;   /* and back */
	/* The control core's. */
	struct hb_call *again[HB_CALLS_MAX] HB_ALIGNED;
	unsigned agains;
	/* The caller's. */
	unsigned underway HB_ALIGNED;
	int fd;
};

static void
put(struct queue *q, struct hb_call *call)
{
	q->call[q->put % HB_CALLS_MAX] = call;
	__atomic_store_n(&q->put, q->put + 1, __ATOMIC_RELEASE);
}

/* The next one, or NULL. */
static struct hb_call *
take(struct queue *q)
{
	if (__atomic_load_n(&q->put, __ATOMIC_ACQUIRE) == q->taken)
		return NULL;
	return q->call[q->taken++ % HB_CALLS_MAX];
}

int
hb_calls_make(struct hb_calls **out, struct hb_error *e)
{
	struct hb_calls *c = aligned_alloc(HB_CACHE_LINE, sizeof(*c));

	*out = c;
	if (c == NULL)
		return hb_fail(e, ENOMEM, "no memory for calls to the control core");
	memset(c, 0, sizeof(*c));
	c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->fd >= 0)
		return 0;
	int err = errno;
	free(c);
	*out = NULL;
	return hb_fail(e, err, "eventfd: %s; allow more open files", strerror(err));
}

void
hb_calls_free(struct hb_calls *c)
{
	if (c == NULL)
		return;
	close(c->fd);
	free(c);
}

/* ---- the caller ---------------------------------------------------------------------- */

int
hb_calls_post(struct hb_calls *c, struct hb_call *call)
{
	if (c->underway == HB_CALLS_MAX)
		return -EBUSY;
	c->underway++;
	call->again = false;
	put(&c->posted, call);
	return 0;
}

int
hb_calls_fd(const struct hb_calls *c)
{
	return c->fd;
}

unsigned
hb_calls_finish(struct hb_calls *c)
{
	struct hb_call *call;
	uint64_t count;
	unsigned n = 0;

	/* Before looking: what is done after that makes it readable again. */
	if (read(c->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return 0;
	while ((call = take(&c->done)) != NULL) {
		c->underway--;
		n++;
		call->done(call);
	}
	return n;
}

/* ---- the control core ---------------------------------------------------------------- */

/* Returns whether it is over. */
static bool
run_one(struct hb_calls *c, struct hb_call *call)
{
	call->again = false;
	call->run(call);
	if (call->again) {
		c->again[c->agains++] = call;
		return false;
	}
	put(&c->done, call);
	return true;
}

unsigned
hb_calls_run(struct hb_calls *c)
{
	unsigned again = c->agains, n = again;
	const uint64_t one = 1;
	struct hb_call *call;
	bool over = false;

	if (HB_LIKELY(again == 0 &&
		      __atomic_load_n(&c->posted.put, __ATOMIC_ACQUIRE) == c->posted.taken))
		return 0;
	/* Each place is free again before the next call can take it. */
	c->agains = 0;
	for (unsigned i = 0; i < again; i++)
		over |= run_one(c, c->again[i]);
	for (; (call = take(&c->posted)) != NULL; n++)
		over |= run_one(c, call);
	/* It can only fail where it is readable anyway. */
	if (over && write(c->fd, &one, sizeof(one)) < 0)
		return n;
	return n;
}
