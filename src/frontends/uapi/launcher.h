/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What both halves of the uapi frontend must agree on: the filter, the window
 * of descriptor numbers, and the protocol of the broker socket.
 *
 * Broker: ferryd may be refused what an ancestor of the program may do (Yama).
 * It then asks the launcher over a SOCK_SEQPACKET socket, one request and one
 * reply at a time. The launcher serves descendants of its own only.
 */
#ifndef UAPI_LAUNCHER_H
#define UAPI_LAUNCHER_H

#include <sys/types.h>

#include <linux/filter.h>

#include <ferry/base.h>

/* Numbers [lo, hi) for the files of ours: for speed only, a file of ours may sit on any number. */
struct uapi_window {
	unsigned int lo, hi;
};

/** uapi_window_of() - the window under a soft limit on open files. */
struct uapi_window uapi_window_of(uint64_t nofile);

/**
 * struct uapi_filter - what the filter traps beyond the fixed rules
 * @attr_writes: small writes to descriptors 0 to 2
 * @eventfds: creation of eventfds, where nobody may fetch them later
 */
struct uapi_filter {
	struct uapi_window window;
	bool attr_writes, eventfds;
};

#define UAPI_FILTER_MAX 512

/** uapi_filter_build() - write the BPF program, return its length. */
unsigned int uapi_filter_build(const struct uapi_filter *f, struct sock_filter prog[UAPI_FILTER_MAX]);

/**
 * uapi_filter_install() - put the calling thread under @prog
 * Return: the listener, -EBUSY: it has one already, -errno. no_new_privs must be set.
 */
int uapi_filter_install(const struct sock_filter *prog, unsigned int len);

/** uapi_path_call() - is @nr a system call that the filter traps for its path? */
bool uapi_path_call(int nr);

/** uapi_getfd_denied() - may this process use pidfd_getfd at all? 0 or -errno. */
int uapi_getfd_denied(void);

/** proc_parent() - the parent of process @pid, or 0. */
pid_t proc_parent(pid_t pid);

/* ------------------------------------------------------------------- broker */

#define BROKER_DATA_MAX 65536

enum broker_op { BROKER_GETFD, BROKER_READ, BROKER_WRITE };

struct broker_req {
	uint32_t op;
	int32_t tid, fd;
	uint32_t len;		/* READ, WRITE: at most BROKER_DATA_MAX; WRITE: the bytes follow */
	uint64_t addr;
};

struct broker_rep {
	int32_t ret;		/* 0, bytes, or -errno; READ: the bytes follow; GETFD: SCM_RIGHTS */
};

/** broker_serve() - answer requests on @sock until the other end closes it. */
void broker_serve(int sock);

/* The daemon's side. The caller serialises uses of @sock. */
int broker_getfd(int sock, pid_t tid, int fd);
ssize_t broker_read(int sock, pid_t tid, void *dst, uint64_t src, size_t len);
ssize_t broker_write(int sock, pid_t tid, uint64_t dst, const void *src, size_t len);

/** fd_send(), fd_recv() - one descriptor over a socket. 0, the descriptor, or -errno (-EPIPE: closed). */
int fd_send(int sock, int fd);
int fd_recv(int sock);

/* ---------------------------------------------------------------- caretaker */

/**
 * caretaker_run() - answer what can be answered while no daemon reads @listener
 * Path calls that are not ours and small writes go on; everything else waits.
 * Returns after @ms, or when the last task of the program is gone.
 */
void caretaker_run(int listener, unsigned int ms);

/** tree_kill() - SIGKILL all descendants of the calling subreaper and reap them; *@status: @pid's wait status, if it was reaped. */
void tree_kill(pid_t pid, int *status);

#endif
