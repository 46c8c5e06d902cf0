/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Virtual working directories. chdir can't be done for the program, so a
 * process that changed into the tree has its directory here; relative paths
 * and getcwd are answered by it. A child that never changed directory has
 * its parent's.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "session.h"

#define CWDS_MAX 1024

static void vcwd_drop(struct uapi_session *s, struct vcwd *v)
{
	list_del(&v->link);
	s->nr_cwds--;
	base_close_fd(&v->pidfd);
	free(v->path);
	free(v);
}

static bool vcwd_dead(const struct vcwd *v)
{
	struct pollfd p = { .fd = v->pidfd, .events = POLLIN };

	return v->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

static struct vcwd *vcwd_find(struct uapi_session *s, pid_t tgid)
{
	struct vcwd *v, *tmp;

	list_for_each_safe(v, tmp, &s->cwds, link) {
		if (v->tgid != tgid)
			continue;
		if (!vcwd_dead(v))
			return v;
		vcwd_drop(s, v);
	}
	return NULL;
}

const char *cwd_get(struct uapi_call *c)
{
	struct uapi_session *s = c->s;
	pid_t tgid;
	int depth;

	if (!s->nr_cwds)
		return NULL;
	tgid = ident_tgid(c);
	for (depth = 0; tgid > 1 && depth < 64; depth++) {
		struct vcwd *v = vcwd_find(s, tgid);

		if (v)
			return v->path;
		if (tgid == s->cfg.pid)
			break;
		tgid = proc_parent(tgid);
	}
	return NULL;
}

/* Room for one more: those of processes that are gone, else the oldest. */
static void make_room(struct uapi_session *s)
{
	struct vcwd *v, *tmp;

	if (s->nr_cwds < CWDS_MAX)
		return;
	list_for_each_safe(v, tmp, &s->cwds, link)
		if (vcwd_dead(v))
			vcwd_drop(s, v);
	if (s->nr_cwds >= CWDS_MAX)
		vcwd_drop(s, list_first(&s->cwds, struct vcwd, link));
}

int cwd_set(struct uapi_call *c, const char *path)
{
	struct uapi_session *s = c->s;
	pid_t tgid;
	struct vcwd *v;
	char *copy = NULL;

	if (!path && !s->nr_cwds)
		return 0;
	tgid = ident_tgid(c);
	v = vcwd_find(s, tgid);
	if (path && !(copy = strdup(path)))
		return -ENOMEM;
	if (!v) {
		make_room(s);
		v = calloc(1, sizeof(*v));
		if (!v) {
			free(copy);
			return -ENOMEM;
		}
		v->tgid = tgid;
		v->pidfd = (int)syscall(__NR_pidfd_open, tgid, 0);
		list_add_tail(&s->cwds, &v->link);
		s->nr_cwds++;
	}
	free(v->path);
	v->path = copy;
	return 0;
}

void cwd_release(struct uapi_session *s)
{
	while (!list_empty(&s->cwds))
		vcwd_drop(s, list_first(&s->cwds, struct vcwd, link));
}
