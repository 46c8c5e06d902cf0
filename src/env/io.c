/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Block I/O on its way: env_io_submit() -> io_queue -> the kernel or the pool
 * -> io_done -> @done. Lists called io_in and io_out are the entrances for
 * threads that are not the worker.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "env/loop.h"

#define IO_HOLD_MAX 32		/* completions under one hold of a strand */

static bool io_needs_thread(const struct ferry_env *env, const struct env_io *io)
{
	return env->kind == ENV_EPOLL || io->op == ENV_IO_BLKDISCARD ||
	       io->op == ENV_IO_BLKZEROOUT;
}

void env_io_submit(struct env_io *io)
{
	struct ferry_env *env = io->st->env;

	io->res = 0;
	atomic_fetch_add(&io->st->pending, 1);
	atomic_fetch_add(&env->io_inflight, 1);
	if (io_needs_thread(env, io)) {
		pool_submit(env->pool, io);
	} else if (env_current == env) {
		list_add_tail(&env->io_queue, &io->link);
	} else {
		pthread_mutex_lock(&env->lock);
		list_add_tail(&env->io_in, &io->link);
		pthread_mutex_unlock(&env->lock);
		env_wake(env);
	}
}

static void list_take(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

void io_take_locked(struct ferry_env *env)
{
	list_take(&env->io_queue, &env->io_in);
	list_take(&env->io_done, &env->io_out);
}

void io_complete(struct ferry_env *env, struct env_io *io, int64_t res)
{
	io->res = res;
	pthread_mutex_lock(&env->lock);
	list_add_tail(&env->io_out, &io->link);
	pthread_mutex_unlock(&env->lock);
	env_wake(env);
}

bool io_run(struct ferry_env *env, uint64_t now)
{
	struct env_strand *held = NULL, *busy = NULL;
	unsigned int n = 0;
	struct env_io *io, *tmp;
	bool ran = false;

	list_for_each_safe(io, tmp, &env->io_done, link) {
		struct env_strand *st = io->st;

		if (held && (held != st || n == IO_HOLD_MAX)) {
			strand_done(env, held);
			held = NULL;
		}
		if (st == busy)
			continue;
		if (!held) {
			if (!strand_try(env, st)) {
				busy = st;
				continue;
			}
			held = st;
			n = 0;
			poll_touch(env, st, now);
		}
		list_del(&io->link);
		atomic_fetch_sub(&st->pending, 1);
		atomic_fetch_sub(&env->io_inflight, 1);
		io->done(io, io->res);
		n++;
		ran = true;
	}
	if (held)
		strand_done(env, held);
	return ran;
}

static int64_t io_do_range(const struct env_io *io)
{
	uint64_t range[2] = { io->off, io->len };

	switch (io->op) {
	case ENV_IO_PUNCH_HOLE:
		return fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)io->off, (off_t)io->len);
	case ENV_IO_ZERO_RANGE:
		return fallocate(io->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				 (off_t)io->off, (off_t)io->len);
	case ENV_IO_BLKDISCARD:
		return ioctl(io->fd, BLKDISCARD, range);
	case ENV_IO_BLKZEROOUT:
		return ioctl(io->fd, BLKZEROOUT, range);
	default:
		errno = EINVAL;
		return -1;
	}
}

int64_t io_do(const struct env_io *io)
{
	int64_t n;

	switch (io->op) {
	case ENV_IO_READ:
		n = preadv2(io->fd, io->iov, (int)io->niov, (off_t)io->off, 0);
		break;
	case ENV_IO_WRITE:
		n = pwritev2(io->fd, io->iov, (int)io->niov, (off_t)io->off,
			     io->flags & ENV_IO_DSYNC ? RWF_DSYNC : 0);
		break;
	case ENV_IO_FDATASYNC:
		n = fdatasync(io->fd);
		break;
	default:
		n = io_do_range(io);
	}
	return n < 0 ? -errno : n;
}
