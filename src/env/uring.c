/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The io_uring loop: one ring per worker, touched by the worker's thread only.
 * Entries are started in batches at the end of a turn; completions are read
 * from the ring without a system call. The eventfd that wakes the worker is
 * watched by a multishot poll, which needs no read either.
 *
 * COOP_TASKRUN spares the interrupt on completion; with TASKRUN_FLAG liburing
 * sees in the ring that the kernel has something to finish. SINGLE_ISSUER and
 * DEFER_TASKRUN would bind the ring to one thread for life, but tests step a
 * worker and then start it; a change of thread makes a new ring.
 */
#include <linux/falloc.h>
#include <liburing.h>
#include <poll.h>

#include "env/loop.h"

#define URING_SQ 256
#define URING_CQ 4096
#define URING_REAP 64
#define URING_WANT_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS)
#define URING_LEN_MAX 0x7ffff000u	/* what the kernel moves in one call */

struct uring {
	struct io_uring ring;
	pthread_t owner;
	bool owned, poll_armed;
};

static int uring_setup(struct io_uring *ring)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = URING_CQ,
	};
	int err = io_uring_queue_init_params(URING_SQ, ring, &p);

	if (err == -EINVAL) {		/* before Linux 5.19 */
		p = (struct io_uring_params){
			.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = URING_CQ,
		};
		err = io_uring_queue_init_params(URING_SQ, ring, &p);
	}
	if (err)
		return err;
	if ((p.features & URING_WANT_FEATURES) != URING_WANT_FEATURES) {
		io_uring_queue_exit(ring);
		return -ENOSYS;		/* before Linux 5.13 */
	}
	return 0;
}

int env_uring_usable(void)
{
	struct io_uring ring;
	int err = uring_setup(&ring);

	if (!err)
		io_uring_queue_exit(&ring);
	return err;
}

static int uring_loop_init(struct ferry_env *env)
{
	struct uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	err = uring_setup(&u->ring);
	if (err) {
		free(u);
		return err;
	}
	env->uring = u;
	return 0;
}

static void uring_loop_release(struct ferry_env *env)
{
	io_uring_queue_exit(&env->uring->ring);
	free(env->uring);
}

/* The old ring serves as well if there cannot be another, or while it is in use. */
static void uring_loop_start(struct ferry_env *env)
{
	struct uring *u = env->uring;
	struct io_uring fresh;

	if (u->owned && pthread_equal(u->owner, pthread_self()))
		return;
	if (u->owned && !atomic_load(&env->io_inflight) && !uring_setup(&fresh)) {
		io_uring_queue_exit(&u->ring);
		u->ring = fresh;
		u->poll_armed = false;
	}
	u->owned = true;
	u->owner = pthread_self();
}

static struct io_uring_sqe *uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe)
		return sqe;
	io_uring_submit(&u->ring);
	return io_uring_get_sqe(&u->ring);
}

static void uring_prep_rw(struct io_uring_sqe *sqe, struct env_io *io)
{
	int flags = io->op == ENV_IO_WRITE && (io->flags & ENV_IO_DSYNC) ? RWF_DSYNC : 0;

	if (io->niov == 1) {
		unsigned int len = (unsigned int)MIN(io->iov->iov_len, URING_LEN_MAX);

		if (io->op == ENV_IO_READ)
			io_uring_prep_read(sqe, io->fd, io->iov->iov_base, len, io->off);
		else
			io_uring_prep_write(sqe, io->fd, io->iov->iov_base, len, io->off);
		sqe->rw_flags = flags;
	} else if (io->op == ENV_IO_READ) {
		io_uring_prep_readv2(sqe, io->fd, io->iov, io->niov, io->off, flags);
	} else {
		io_uring_prep_writev2(sqe, io->fd, io->iov, io->niov, io->off, flags);
	}
}

static void uring_prep(struct io_uring_sqe *sqe, struct env_io *io)
{
	int hole = io->op == ENV_IO_PUNCH_HOLE ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	switch (io->op) {
	case ENV_IO_READ:
	case ENV_IO_WRITE:
		uring_prep_rw(sqe, io);
		break;
	case ENV_IO_FDATASYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, io->fd, hole | FALLOC_FL_KEEP_SIZE, (off_t)io->off,
					(off_t)io->len);
	}
	io_uring_sqe_set_data(sqe, io);
}

static void uring_arm_poll(struct ferry_env *env)
{
	struct io_uring_sqe *sqe = uring_sqe(env->uring);

	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, env->wake_fd, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
	env->uring->poll_armed = true;
}

static void uring_loop_push(struct ferry_env *env)
{
	struct uring *u = env->uring;

	while (!list_empty(&env->io_queue)) {
		struct env_io *io = list_first(&env->io_queue, struct env_io, link);
		struct io_uring_sqe *sqe = uring_sqe(u);

		if (!sqe)
			break;		/* the rest waits for the next turn */
		list_del(&io->link);
		uring_prep(sqe, io);
	}
	if (io_uring_sq_ready(&u->ring))
		io_uring_submit(&u->ring);
}

static void uring_loop_reap(struct ferry_env *env)
{
	struct io_uring_cqe *cqes[URING_REAP];
	struct uring *u = env->uring;
	unsigned int i, n;

	n = io_uring_peek_batch_cqe(&u->ring, cqes, URING_REAP);
	for (i = 0; i < n; i++) {
		struct env_io *io = io_uring_cqe_get_data(cqes[i]);

		if (io) {
			io->res = cqes[i]->res;
			list_add_tail(&env->io_done, &io->link);
		} else if (!(cqes[i]->flags & IORING_CQE_F_MORE)) {
			u->poll_armed = false;
		}
	}
	io_uring_cq_advance(&u->ring, n);
}

static void uring_loop_sleep(struct ferry_env *env, uint64_t ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(ns / NSEC_PER_SEC),
		.tv_nsec = (long long)(ns % NSEC_PER_SEC),
	};
	struct io_uring_cqe *cqe;

	if (!env->uring->poll_armed)
		uring_arm_poll(env);
	io_uring_submit_and_wait_timeout(&env->uring->ring, &cqe, 1,
					 ns == ENV_FOREVER ? NULL : &ts, NULL);
}

const struct loop_ops uring_loop_ops = {
	.name = "io_uring",
	.init = uring_loop_init,
	.release = uring_loop_release,
	.start = uring_loop_start,
	.push = uring_loop_push,
	.reap = uring_loop_reap,
	.sleep = uring_loop_sleep,
};
