/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The broker: fetches descriptors and copies memory of the program for a
 * daemon that may not do it itself. Both ends of the socket are here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "launcher.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

union fd_msg {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void cmsg_set_fd(struct msghdr *m, union fd_msg *u, int fd)
{
	struct cmsghdr *c;

	memset(u, 0, sizeof(*u));
	m->msg_control = u->buf;
	m->msg_controllen = sizeof(u->buf);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

static int cmsg_get_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int fd_send(int sock, int fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_msg u;

	cmsg_set_fd(&m, &u, fd);
	return sendmsg(sock, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int fd_recv(int sock)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union fd_msg u;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			    .msg_controllen = sizeof(u.buf) };
	ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	return n ? cmsg_get_fd(&m) : -EPIPE;
}

/* ------------------------------------------------------------ daemon's side */

static ssize_t broker_call(int sock, const struct broker_req *rq, const void *out, void *in,
			   int *fd)
{
	struct broker_rep rep = { 0 };
	struct iovec ov[2] = { { (void *)(uintptr_t)rq, sizeof(*rq) },
			       { (void *)(uintptr_t)out, out ? rq->len : 0 } };
	struct iovec iv[2] = { { &rep, sizeof(rep) }, { in, in ? rq->len : 0 } };
	struct msghdr om = { .msg_iov = ov, .msg_iovlen = 2 };
	union fd_msg u;
	struct msghdr im = { .msg_iov = iv, .msg_iovlen = 2, .msg_control = u.buf,
			     .msg_controllen = sizeof(u.buf) };
	ssize_t n;

	if (sendmsg(sock, &om, MSG_NOSIGNAL) < 0)
		return -errno;
	n = recvmsg(sock, &im, MSG_CMSG_CLOEXEC);
	if (n < (ssize_t)sizeof(rep))
		return n < 0 ? -errno : -EPIPE;
	if (fd && !rep.ret)
		*fd = cmsg_get_fd(&im);
	if (in && rep.ret > n - (ssize_t)sizeof(rep))
		return -EPROTO;
	return rep.ret;
}

int broker_getfd(int sock, pid_t tid, int fd)
{
	struct broker_req rq = { .op = BROKER_GETFD, .tid = tid, .fd = fd };
	int got = -EPROTO;
	ssize_t ret = broker_call(sock, &rq, NULL, NULL, &got);

	return ret < 0 ? (int)ret : got;
}

ssize_t broker_read(int sock, pid_t tid, void *dst, uint64_t src, size_t len)
{
	struct broker_req rq = { .op = BROKER_READ, .tid = tid, .addr = src,
				 .len = (uint32_t)MIN(len, BROKER_DATA_MAX) };

	return broker_call(sock, &rq, NULL, dst, NULL);
}

ssize_t broker_write(int sock, pid_t tid, uint64_t dst, const void *src, size_t len)
{
	struct broker_req rq = { .op = BROKER_WRITE, .tid = tid, .addr = dst,
				 .len = (uint32_t)MIN(len, BROKER_DATA_MAX) };

	return broker_call(sock, &rq, src, NULL, NULL);
}

/* ---------------------------------------------------------- launcher's side */

pid_t proc_parent(pid_t pid)
{
	char path[32], buf[512], *p;
	ssize_t n;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');	/* the name may hold anything */
	return p && sscanf(p + 1, " %*c %d", &ppid) == 1 ? ppid : 0;
}

static bool is_descendant(pid_t tid)
{
	pid_t self = getpid(), pid = tid;
	int depth;

	for (depth = 0; pid > 1 && depth < 256; depth++) {
		pid = proc_parent(pid);
		if (pid == self)
			return true;
	}
	return false;
}

static int serve_getfd(const struct broker_req *rq)
{
	auto_close int pidfd = -1;
	long fd;

	pidfd = (int)syscall(__NR_pidfd_open, rq->tid, PIDFD_THREAD);
	if (pidfd < 0)
		pidfd = (int)syscall(__NR_pidfd_open, rq->tid, 0);
	if (pidfd < 0)
		return -errno;
	fd = syscall(__NR_pidfd_getfd, pidfd, rq->fd, 0);
	return fd < 0 ? -errno : (int)fd;
}

static ssize_t serve_copy(const struct broker_req *rq, char *data)
{
	struct iovec local = { data, rq->len };
	struct iovec remote = { (void *)(uintptr_t)rq->addr, rq->len };
	ssize_t n;

	if (rq->op == BROKER_READ)
		n = process_vm_readv(rq->tid, &local, 1, &remote, 1, 0);
	else
		n = process_vm_writev(rq->tid, &local, 1, &remote, 1, 0);
	return n < 0 ? -errno : n;
}

void broker_serve(int sock)
{
	auto_free char *data = malloc(BROKER_DATA_MAX);

	while (data) {
		struct broker_req rq;
		struct broker_rep rep;
		struct iovec iv[2] = { { &rq, sizeof(rq) }, { data, BROKER_DATA_MAX } };
		struct iovec ov[2] = { { &rep, sizeof(rep) }, { data, 0 } };
		struct msghdr m = { .msg_iov = ov, .msg_iovlen = 2 };
		auto_close int fd = -1;
		union fd_msg u;
		ssize_t n;

		n = readv(sock, iv, 2);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		if (n < (ssize_t)sizeof(rq) || rq.len > BROKER_DATA_MAX ||
		    (rq.op == BROKER_WRITE && (size_t)n - sizeof(rq) != rq.len)) {
			rep.ret = -EINVAL;
		} else if (!is_descendant(rq.tid)) {
			rep.ret = -EPERM;
		} else if (rq.op == BROKER_GETFD) {
			fd = serve_getfd(&rq);
			rep.ret = MIN(fd, 0);
			if (fd >= 0)
				cmsg_set_fd(&m, &u, fd);
		} else {
			rep.ret = (int32_t)serve_copy(&rq, data);
			if (rq.op == BROKER_READ && rep.ret > 0)
				ov[1].iov_len = (size_t)rep.ret;
		}
		if (sendmsg(sock, &m, MSG_NOSIGNAL) < 0)
			return;
	}
}
