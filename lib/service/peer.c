/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at the other end, and what they may. */
#include "service_internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the strings of an entry: a group of many members is long. */
#define ENTRY_BYTES (1 << 20)

int
hb_group_find(const char *name, const char *where, uint32_t *gid, struct hb_error *e)
{
	struct group g, *found = NULL;
	uint64_t number;

	if (hb_parse_u64(name, 0, UINT32_MAX - 1, &number) == 0) {
		*gid = (uint32_t)number;
		return 0;
	}
	char *room = malloc(ENTRY_BYTES);
	if (room != NULL && getgrnam_r(name, &g, room, ENTRY_BYTES, &found) == 0 && found != NULL)
		*gid = g.gr_gid;
	free(room);
	return found != NULL ? 0
			     : hb_fail(e, ENOENT,
				       "%s: no group '%s' on this host; make it with "
				       "groupadd, or name another",
				       where, name);
}

static int
find_user(const char *name, const char *where, uint32_t *uid, struct hb_error *e)
{
	struct passwd p, *found = NULL;
	uint64_t number;

	if (hb_parse_u64(name, 0, UINT32_MAX - 1, &number) == 0) {
		*uid = (uint32_t)number;
		return 0;
	}
	char *room = malloc(ENTRY_BYTES);
	if (room != NULL && getpwnam_r(name, &p, room, ENTRY_BYTES, &found) == 0 && found != NULL)
		*uid = p.pw_uid;
	free(room);
	return found != NULL ? 0
			     : hb_fail(e, ENOENT,
				       "%s: no user '%s' on this host; make it with "
				       "useradd, or name another",
				       where, name);
}

int
hb_rights_make(struct hb_rights *r, const char (*change)[64], unsigned n, struct hb_error *e)
{
	int err = 0;

	r->users = calloc(n + 2, sizeof(*r->users));
	r->groups = calloc(n + 1, sizeof(*r->groups));
	if (r->users == NULL || r->groups == NULL)
		return hb_fail(e, ENOMEM, "no memory for the list of who may change");
	r->users[r->users_count++] = 0;
	r->users[r->users_count++] = geteuid();
	for (unsigned i = 0; i < n && err == 0; i++) {
		if (change[i][0] == '@')
			err = hb_group_find(
				change[i] + 1, "control.change", &r->groups[r->groups_count++], e);
		else
			err = find_user(
				change[i], "control.change", &r->users[r->users_count++], e);
	}
	return err;
}

void
hb_rights_free(struct hb_rights *r)
{
	free(r->users);
	free(r->groups);
}

static bool
contains(const uint32_t *list, unsigned n, uint32_t x)
{
	for (unsigned i = 0; i < n; i++) {
		if (list[i] == x)
			return true;
	}
	return false;
}

/* Whether one of the peer's groups is one of those who may change. */
static bool
in_groups(const struct hb_rights *r, int fd, uint32_t gid)
{
	bool found = contains(r->groups, r->groups_count, gid);
	socklen_t bytes = 0;

	if (found || r->groups_count == 0)
		return found;
	/* The first call fails, and says how many there are. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) == 0 || errno != ERANGE)
		return false;
	gid_t *of = malloc(bytes);
	if (of != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, of, &bytes) == 0) {
		for (unsigned i = 0; i < bytes / sizeof(*of) && !found; i++)
			found = contains(r->groups, r->groups_count, of[i]);
	}
	free(of);
	return found;
}

/* From the file alone: what else a host asks for names may be far away, and the thread must not
 * wait. */
static bool
read_name(uint32_t uid, char *name, size_t bytes)
{
	char room[4096];
	struct passwd p, *entry;
	FILE *f = fopen("/etc/passwd", "re");
	bool found = false;

	snprintf(name, bytes, "uid %u", uid);
	if (f == NULL)
		return false;
	while (!found && fgetpwent_r(f, &p, room, sizeof(room), &entry) == 0) {
		found = p.pw_uid == uid;
		if (found)
			snprintf(name, bytes, "%s", p.pw_name);
	}
	fclose(f);
	return true;
}

int
hb_rights_look(struct hb_rights *r, int fd, struct hb_peer *peer)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) != 0)
		return -errno;
	struct hb_peer_name *n = &r->names[who.uid % HB_PEER_NAMES];
	if (!n->known || n->uid != who.uid) {
		n->known = read_name(who.uid, n->name, sizeof(n->name));
		n->uid = who.uid;
	}
	*peer = (struct hb_peer){.uid = who.uid, .gid = who.gid, .pid = who.pid};
	peer->may_change = contains(r->users, r->users_count, who.uid) || in_groups(r, fd, who.gid);
	memcpy(peer->name, n->name, sizeof(peer->name));
	return 0;
}
