/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The seccomp listener's ioctls. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "notif.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

int notif_buf_init(struct notif_buf *b)
{
	struct seccomp_notif_sizes sz;

	*b = (struct notif_buf){ 0 };
	if (syscall(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sz))
		return -errno;
	b->req_size = MAX(sz.seccomp_notif, sizeof(struct seccomp_notif));
	b->resp_size = MAX(sz.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
	b->req = calloc(1, b->req_size);
	b->resp = calloc(1, b->resp_size);
	if (b->req && b->resp)
		return 0;
	notif_buf_release(b);
	return -ENOMEM;
}

void notif_buf_release(struct notif_buf *b)
{
	free(b->req);
	free(b->resp);
	*b = (struct notif_buf){ 0 };
}

int notif_recv(int listener, struct notif_buf *b)
{
	memset(b->req, 0, b->req_size);
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, b->req) ? -errno : 0;
}

int notif_send(int listener, struct notif_buf *b, uint64_t id, int64_t val, uint32_t flags)
{
	struct seccomp_notif_resp small, *r = &small;
	int ret;

	if (b) {
		r = b->resp;
		memset(r, 0, b->resp_size);
	}
	*r = (struct seccomp_notif_resp){
		.id = id,
		.val = val < 0 && val >= -4095 ? 0 : val,
		.error = val < 0 && val >= -4095 ? (int32_t)val : 0,
		.flags = flags,
	};
	do {
		ret = ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, r);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int addfd(int listener, uint64_t id, int fd, int at, bool cloexec, uint32_t flags)
{
	struct seccomp_notif_addfd a = {
		.id = id,
		.flags = flags | (at >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0),
		.srcfd = (uint32_t)fd,
		.newfd = at >= 0 ? (uint32_t)at : 0,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int ret = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);

	return ret < 0 ? -errno : ret;
}

int notif_addfd(int listener, uint64_t id, int fd, int at, bool cloexec)
{
	return addfd(listener, id, fd, at, cloexec, SECCOMP_ADDFD_FLAG_SEND);
}

int notif_addfd_only(int listener, uint64_t id, int fd, int at, bool cloexec)
{
	return addfd(listener, id, fd, at, cloexec, 0);
}

bool notif_alive(int listener, uint64_t id)
{
	return !ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

int notif_sync_wakeup(int listener)
{
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) ?
		-errno : 0;
}

bool kernel_at_least(unsigned int major, unsigned int minor)
{
	struct utsname u;
	unsigned int a = 0, b = 0;

	if (uname(&u) || sscanf(u.release, "%u.%u", &a, &b) != 2)
		return false;
	return a > major || (a == major && b >= minor);
}
