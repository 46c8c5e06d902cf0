/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The client's eventfds. They are fetched from it; where that is denied, the
 * filter traps their creation, they are made here for the program, and found
 * again by the id that the kernel shows for each.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "session.h"

#define EVENTFDS_MAX 4096

struct made_eventfd {
	struct list link;
	unsigned long id;
	int fd;
};

static int eventfd_id(const char *path, unsigned long *id)
{
	char buf[1024], *p;
	ssize_t n;

	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -EBADF;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return -EBADF;
	buf[n] = '\0';
	p = strstr(buf, "eventfd-id:");
	return p && sscanf(p + 11, "%lu", id) == 1 ? 0 : -EINVAL;
}

static int own_id(int fd, unsigned long *id)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return eventfd_id(path, id);
}

int eventfd_fetch(struct uapi_call *c, int fd)
{
	char path[48], text[64];
	struct made_eventfd *m;
	unsigned long id;
	ssize_t n;
	int ret;

	if (!atomic_load_explicit(&c->s->cm->no_getfd, memory_order_relaxed)) {
		auto_close int own = ident_getfd(c, fd);

		if (own < 0)
			return own == -ESRCH ? -EBADF : own;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
		n = readlink(path, text, sizeof(text) - 1);
		text[MAX(n, 0)] = '\0';
		return strcmp(text, "anon_inode:[eventfd]") ? -EINVAL : take_fd(&own);
	}
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", c->tid, fd);
	ret = eventfd_id(path, &id);
	if (ret)
		return ret;
	list_for_each(m, &c->s->eventfds, link)
		if (m->id == id) {
			ret = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
			return ret < 0 ? -errno : ret;
		}
	return -EINVAL;
}

static void made_drop(struct uapi_session *s, struct made_eventfd *m)
{
	list_del(&m->link);
	s->nr_eventfds--;
	close(m->fd);
	free(m);
}

int64_t eventfd_make(struct uapi_call *c, uint64_t value, int flags)
{
	struct uapi_session *s = c->s;
	struct made_eventfd *m;
	int64_t ret;

	auto_close int fd = eventfd((unsigned int)value, (flags & ~EFD_CLOEXEC) | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	ret = own_id(fd, &m->id);
	if (ret) {
		free(m);
		return CALL_CONTINUE;
	}
	/* Only the receiver comes here. The oldest go first: programs give them to us soon. */
	if (s->nr_eventfds >= EVENTFDS_MAX)
		made_drop(s, list_first(&s->eventfds, struct made_eventfd, link));
	m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (m->fd < 0) {
		free(m);
		return -EMFILE;
	}
	list_add_tail(&s->eventfds, &m->link);
	s->nr_eventfds++;
	return call_install(c, fd, flags & EFD_CLOEXEC, false, 0);
}

void eventfd_release(struct uapi_session *s)
{
	while (!list_empty(&s->eventfds))
		made_drop(s, list_first(&s->eventfds, struct made_eventfd, link));
}
