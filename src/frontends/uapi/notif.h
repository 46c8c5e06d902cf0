/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The seccomp listener's ioctls, with the buffers as large as this kernel
 * wants them. ENOENT is normal in all of them: the program was killed.
 */
#ifndef UAPI_NOTIF_H
#define UAPI_NOTIF_H

#include <linux/seccomp.h>

#include <ferry/base.h>

struct notif_buf {
	struct seccomp_notif *req;
	struct seccomp_notif_resp *resp;
	size_t req_size, resp_size;
};

int notif_buf_init(struct notif_buf *b);
void notif_buf_release(struct notif_buf *b);

/** notif_recv() - wait for one call in the ioctl itself. 0, -ENOENT (gone meanwhile, or all gone), -EINTR. */
int notif_recv(int listener, struct notif_buf *b);

/** notif_send() - answer @id: @val is the result or -errno; @flags: CONTINUE. 0, or -ENOENT: gone or answered. */
int notif_send(int listener, struct notif_buf *b, uint64_t id, int64_t val, uint32_t flags);

/**
 * notif_addfd() - install our @fd in the caller of @id, answering the call with the number
 * @at: the number, or -1: the lowest. Return: the number; -EBADF, -EMFILE: not
 * installed, the call still waits; -ENOENT: the caller is gone.
 */
int notif_addfd(int listener, uint64_t id, int fd, int at, bool cloexec);
/** notif_addfd_only() - the same; the call goes on waiting for its answer. */
int notif_addfd_only(int listener, uint64_t id, int fd, int at, bool cloexec);

bool notif_alive(int listener, uint64_t id);

/** notif_sync_wakeup() - let caller and receiver share a core. Linux 6.6; -EINVAL before. */
int notif_sync_wakeup(int listener);

/** kernel_at_least() - is this kernel @major.@minor or later? */
bool kernel_at_least(unsigned int major, unsigned int minor);

#endif
