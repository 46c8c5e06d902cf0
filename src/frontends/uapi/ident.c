/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Which object does a descriptor of the client mean? No books are kept: the
 * caller's own file is fetched at each call and its inode looked up, which
 * stays right after dup, fork, exec and descriptor passing. Only pidfds are
 * cached, by thread; a stale one says ESRCH.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "session.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

int quick_stat(int dirfd, const char *path, struct stat *st)
{
	struct statx x;

	if (statx(dirfd, path, (*path ? 0 : AT_EMPTY_PATH) | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO | STATX_SIZE, &x))
		return -errno;
	*st = (struct stat){
		.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.st_ino = x.stx_ino,
		.st_mode = x.stx_mode,
		.st_size = (off_t)x.stx_size,
		.st_blksize = (blksize_t)x.stx_blksize,
	};
	return 0;
}

static pid_t read_tgid(pid_t tid)
{
	char path[40], buf[1024], *p;
	ssize_t n;
	int tgid;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return 0;
	buf[n] = '\0';
	p = strstr(buf, "\nTgid:");
	return p && sscanf(p + 6, "%d", &tgid) == 1 ? tgid : 0;
}

static void slot_drop(struct pidfd_slot *slot)
{
	if (slot->tid && slot->pidfd >= 0)
		close(slot->pidfd);
	*slot = (struct pidfd_slot){ .pidfd = -1 };
}

/* A slot filled while the call waits is the caller's: its tid can't be reused meanwhile. */
static struct pidfd_slot *slot_get(struct uapi_call *c)
{
	struct uapi_session *s = c->s;
	struct pidfd_slot *slot = &s->pidfds[(unsigned int)c->tid % PIDFD_CACHE];
	int fd = -1;

	if (slot->tid == c->tid)
		return slot;
	slot_drop(slot);
	if (s->pidfd_thread)
		fd = (int)syscall(__NR_pidfd_open, c->tid, PIDFD_THREAD);
	else if ((slot->tgid = read_tgid(c->tid)))
		fd = (int)syscall(__NR_pidfd_open, slot->tgid, 0);
	if (fd < 0 || !notif_alive(s->cfg.listener, c->id)) {
		base_close_fd(&fd);
		return NULL;
	}
	slot->pidfd = fd;
	slot->tid = c->tid;
	return slot;
}

static bool slot_dead(const struct pidfd_slot *slot)
{
	struct pollfd p = { .fd = slot->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

pid_t ident_tgid(struct uapi_call *c)
{
	struct pidfd_slot *slot = slot_get(c);

	if (slot && slot->tgid && slot_dead(slot)) {
		slot_drop(slot);
		slot = slot_get(c);
	}
	if (!slot)
		return 0;
	if (!slot->tgid)
		slot->tgid = read_tgid(c->tid);
	return slot->tgid;
}

/* Without pidfd_getfd: a descriptor that means the same inode, though another open file. */
static int reopen(struct uapi_call *c, int fd)
{
	char path[48];
	int got;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", c->tid, fd);
	got = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (got < 0 && (errno == EACCES || errno == EROFS))
		got = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (got < 0)
		return errno == ENOENT ? -EBADF : -errno;
	return got;
}

static int ask_broker(struct client_mem *cm, pid_t tid, int fd)
{
	int got;

	if (cm->broker < 0)
		return -EPERM;
	pthread_mutex_lock(&cm->broker_lock);
	got = broker_getfd(cm->broker, tid, fd);
	pthread_mutex_unlock(&cm->broker_lock);
	return got;
}

/* Only what pidfd_getfd gives, perhaps by way of the broker: the caller's own open file. */
static int fetch(struct uapi_call *c, int fd)
{
	int tries;

	for (tries = 0; tries < 2; tries++) {
		struct pidfd_slot *slot = slot_get(c);
		long got;

		if (!slot)
			return -ESRCH;
		got = syscall(__NR_pidfd_getfd, slot->pidfd, fd, 0);
		if (got >= 0)
			return (int)got;
		if (errno == EPERM)
			return ask_broker(c->s->cm, c->tid, fd);
		if (errno != ESRCH)
			return -errno;
		slot_drop(slot);	/* another thread had this number before */
	}
	return -ESRCH;
}

int ident_getfd(struct uapi_call *c, int fd)
{
	return atomic_load_explicit(&c->s->cm->no_getfd, memory_order_relaxed) ? reopen(c, fd) :
		fetch(c, fd);
}

static int ident_stat(struct uapi_call *c, int fd, struct stat *st)
{
	char path[48];
	int own, ret;

	if (!atomic_load_explicit(&c->s->cm->no_getfd, memory_order_relaxed)) {
		own = fetch(c, fd);
		if (own >= 0) {
			ret = quick_stat(own, "", st);
			close(own);
			return ret;
		}
		if (own != -EPERM)
			return own;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", c->tid, fd);
	return quick_stat(AT_FDCWD, path, st) ? -EBADF : 0;
}

struct uapi_object *ident_object(struct uapi_call *c, int fd, int *err)
{
	struct stat st;

	*err = fd < 0 ? -EBADF : ident_stat(c, fd, &st);
	return *err ? NULL : object_find(c->s, &st);
}

bool ident_fd_free(struct uapi_call *c, int fd)
{
	struct stat st;

	return ident_stat(c, fd, &st) == -EBADF;
}

void ident_release(struct uapi_session *s)
{
	size_t i;

	for (i = 0; i < PIDFD_CACHE; i++)
		slot_drop(&s->pidfds[i]);
}
