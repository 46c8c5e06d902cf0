/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The loop for places that deny io_uring: sleeps in epoll, all I/O is done by
 * the pool. The eventfd is watched edge-triggered, so it is never read.
 */
#include <sys/epoll.h>

#include "env/loop.h"

static int epoll_loop_init(struct ferry_env *env)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	auto_close int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, env->wake_fd, &ev) < 0)
		return -errno;
	env->epoll_fd = take_fd(&fd);
	return 0;
}

static void epoll_loop_release(struct ferry_env *env)
{
	close(env->epoll_fd);
}

static void epoll_loop_nop(struct ferry_env *env)
{
	(void)env;
}

/* epoll_pwait2 came with Linux 5.11, and old container profiles deny it. */
static void epoll_loop_sleep(struct ferry_env *env, uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
	struct epoll_event ev;
	int n;

	n = epoll_pwait2(env->epoll_fd, &ev, 1, ns == ENV_FOREVER ? NULL : &ts, NULL);
	if (n >= 0 || errno == EINTR)
		return;
	if (ns != ENV_FOREVER)
		ns = MIN((ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 60000u);
	epoll_wait(env->epoll_fd, &ev, 1, ns == ENV_FOREVER ? -1 : (int)ns);
}

const struct loop_ops epoll_loop_ops = {
	.name = "epoll",
	.init = epoll_loop_init,
	.release = epoll_loop_release,
	.start = epoll_loop_nop,
	.push = epoll_loop_nop,
	.reap = epoll_loop_nop,
	.sleep = epoll_loop_sleep,
};
