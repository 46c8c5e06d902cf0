/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Requests on a file descriptor, for files and block devices alike.
 *
 * A device has one fd, with O_DIRECT where it can be had: direct and buffered
 * I/O on the same blocks are never mixed (a buffered write of half a page
 * could bring back the other half's old data). An iov that is not aligned goes
 * through an aligned bounce buffer. The kernel zeroes the edges of a punched
 * hole in its page cache; the file system writes those back before the next
 * direct access of the same range.
 *
 * A request walks through stages; each ends in fd_done(), which starts the
 * next or finishes. Nothing is finished inside fd_submit() once I/O was
 * started, so a completion never nests in a submission.
 *
 *   READ, WRITE              RW ...
 *   FLUSH                    SYNC
 *   DISCARD, unmapping zero  PUNCH    -> ZEROOUT or FILL ... -> (FUA) SYNC
 *   other WRITE_ZEROES       ZERO     -> ZEROOUT or FILL ... -> (FUA) SYNC
 */
#include <limits.h>
#include <string.h>

#include "backends/backend.h"

#define BOUNCE_ALIGN 4096u
#define FILL_CHUNK 65536u
#define FILL_IOV 32u
#define RETRY_MAX 1000u

enum fd_stage { FD_RW, FD_SYNC, FD_PUNCH, FD_ZERO, FD_ZEROOUT, FD_FILL, FD_STAGE_MASK = 0xf };
#define FD_RETRY 0x10u			/* req->stage counts retries above the stage */

static uint8_t zeroes[FILL_CHUNK] __attribute__((aligned(4096)));
static const struct iovec fill_iov[FILL_IOV] = {
	[0 ... FILL_IOV - 1] = { .iov_base = zeroes, .iov_len = FILL_CHUNK },
};

static void fd_done(struct env_io *io, int64_t res);

static struct fd_dev *fd_of(const struct block_req *req)
{
	return container_of(req->dev, struct fd_dev, dev);
}

static void fd_start(struct block_req *req, enum fd_stage stage, enum env_io_op op)
{
	req->stage = stage;
	req->io.op = op;
	req->io.fd = fd_of(req)->fd;
	req->io.st = req->st;
	req->io.done = fd_done;
	env_io_submit(&req->io);
}

static void fd_start_range(struct block_req *req, enum fd_stage stage, enum env_io_op op)
{
	req->io.flags = 0;
	req->io.off = req->off;
	req->io.len = req->len;
	fd_start(req, stage, op);
}

/* ------------------------------------------------------------- reads, writes */

/* The bounce buffer is followed by the one iovec that describes it. */
static struct iovec *bounce_iov(struct block_req *req)
{
	return (struct iovec *)(void *)((char *)req->bounce + req->len);
}

static bool iov_aligned(const struct fd_dev *f, const struct block_req *req)
{
	uintptr_t base = 0;
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < req->niov; i++) {
		base |= (uintptr_t)req->iov[i].iov_base;
		len |= req->iov[i].iov_len;
	}
	return IS_ALIGNED(base, f->mem_align) && IS_ALIGNED(len, f->dev.align);
}

static int bounce_copy(struct block_req *req, bool in)
{
	char *p = req->bounce;
	unsigned int i;

	for (i = 0; i < req->niov; i++) {
		const struct iovec *v = &req->iov[i];
		int err;

		err = in ? copy_guarded(p, v->iov_base, v->iov_len)
			 : copy_guarded(v->iov_base, p, v->iov_len);
		if (err)
			return err;
		p += v->iov_len;
	}
	return 0;
}

static int bounce_make(struct block_req *req)
{
	int err;

	if (posix_memalign(&req->bounce, BOUNCE_ALIGN, req->len + sizeof(struct iovec))) {
		req->bounce = NULL;
		return -ENOMEM;
	}
	*bounce_iov(req) = (struct iovec){ req->bounce, req->len };
	if (req->op != BLOCK_WRITE)
		return 0;
	err = bounce_copy(req, true);
	if (err)
		free(take_ptr(req->bounce));
	return err;
}

/* Start what is left of @req after @done_len; 0 or -ENOMEM. */
static int fd_rw(struct block_req *req)
{
	const struct iovec *v = req->bounce ? bounce_iov(req) : req->iov;
	size_t n = req->bounce ? 1 : req->niov;
	uint64_t skip = req->done_len;
	bool write = req->op == BLOCK_WRITE;

	for (; skip >= v->iov_len; v++, n--)
		skip -= v->iov_len;
	n = MIN(n, (size_t)IOV_MAX);
	if (skip) {
		struct iovec *tail = malloc(n * sizeof(*tail));

		if (!tail)
			return -ENOMEM;
		memcpy(tail, v, n * sizeof(*tail));
		tail->iov_base = (char *)tail->iov_base + skip;
		tail->iov_len -= skip;
		free(req->tail);
		v = req->tail = tail;
	}
	req->io.iov = v;
	req->io.niov = (unsigned int)n;
	req->io.off = req->off + req->done_len;
	req->io.flags = write && (req->flags & BLOCK_FUA) ? ENV_IO_DSYNC : 0;
	fd_start(req, FD_RW, write ? ENV_IO_WRITE : ENV_IO_READ);
	return 0;
}

static int fd_submit_rw(struct fd_dev *f, struct block_req *req)
{
	int err;

	if (f->direct && !iov_aligned(f, req)) {
		err = bounce_make(req);
		if (err)
			return err;
	}
	err = fd_rw(req);
	return err ? err : -EINPROGRESS;
}

/* -------------------------------------------------------------------- zeroes */

static int fd_fill(struct block_req *req)
{
	uint64_t left = req->len - req->done_len;

	req->io.iov = fill_iov;
	req->io.niov = (unsigned int)MIN(left / FILL_CHUNK, FILL_IOV);
	if (!req->io.niov) {
		if (!req->tail)
			req->tail = malloc(sizeof(*req->tail));
		if (!req->tail)
			return -ENOMEM;
		*req->tail = (struct iovec){ zeroes, left };
		req->io.iov = req->tail;
		req->io.niov = 1;
	}
	req->io.off = req->off + req->done_len;
	req->io.flags = 0;
	fd_start(req, FD_FILL, ENV_IO_WRITE);
	return 0;
}

/* Where neither a hole nor a zeroed range can be had. */
static int fd_fall_back(struct block_req *req)
{
	if (!fd_of(req)->is_blkdev)
		return fd_fill(req);
	fd_start_range(req, FD_ZEROOUT, ENV_IO_BLKZEROOUT);
	return 0;
}

static int fd_submit_zero(struct fd_dev *f, struct block_req *req)
{
	bool punch = req->op == BLOCK_DISCARD || (req->flags & BLOCK_UNMAP);
	int err = 0;

	if (atomic_load(punch ? &f->no_punch : &f->no_zero))
		err = fd_fall_back(req);
	else if (punch)
		fd_start_range(req, FD_PUNCH, ENV_IO_PUNCH_HOLE);
	else
		fd_start_range(req, FD_ZERO, ENV_IO_ZERO_RANGE);
	return err ? err : -EINPROGRESS;
}

int fd_submit(struct block_dev *d, struct block_req *req)
{
	struct fd_dev *f = container_of(d, struct fd_dev, dev);

	if (req->op == BLOCK_READ)
		return fd_submit_rw(f, req);
	/* A durability that cannot be promised any more is refused before it costs anything. */
	if ((req->op == BLOCK_FLUSH || (req->flags & BLOCK_FUA)) &&
	    atomic_load(&f->sync_failed))
		return -EIO;
	if (req->op == BLOCK_WRITE)
		return fd_submit_rw(f, req);
	if (req->op != BLOCK_FLUSH)
		return fd_submit_zero(f, req);
	fd_start_range(req, FD_SYNC, ENV_IO_FDATASYNC);
	return -EINPROGRESS;
}

/* --------------------------------------------------------------- completions */

static void fd_finish(struct block_req *req, int err)
{
	if (!err && req->bounce && req->op == BLOCK_READ)
		err = bounce_copy(req, false);
	free(take_ptr(req->bounce));
	free(take_ptr(req->tail));
	req->done(req, err);
}

/*
 * A write that was to be durable and failed may have eaten the report of an
 * earlier write-back error. Not so where the cause is the request itself.
 */
static void fd_note_failed(struct fd_dev *f, const struct block_req *req, int64_t res)
{
	bool durable = req->stage == FD_SYNC ||
		       (req->stage == FD_RW && (req->io.flags & ENV_IO_DSYNC));

	if (!durable || res == -EFAULT || res == -EINVAL || (res == -ENOSPC && f->direct))
		return;
	if (!atomic_exchange(&f->sync_failed, true))
		log_msg(LOG_ERROR,
			"%s: cannot make data durable: %s; every later flush fails, "
			"for what was lost is not known", f->dev.spec, strerror((int)-res));
}

static bool is_unsupported(int64_t res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV;
}

/* @res bytes were moved: go on behind them. */
static void fd_moved(struct fd_dev *f, struct block_req *req, int64_t res)
{
	uint64_t n = (uint64_t)res;
	int err;

	if (f->direct)
		n = ALIGN_DOWN(n, f->dev.align);
	req->done_len += n;
	if (!n)
		err = -EIO;		/* the file shrank */
	else if (req->done_len < req->len)
		err = req->stage == FD_FILL ? fd_fill(req) : fd_rw(req);
	else if (req->stage == FD_FILL && (req->flags & BLOCK_FUA))
		return fd_start_range(req, FD_SYNC, ENV_IO_FDATASYNC);
	else
		return fd_finish(req, 0);
	if (err)
		fd_finish(req, err);
}

static void fd_failed(struct fd_dev *f, struct block_req *req, int64_t res)
{
	int err = (int)res;

	if (is_unsupported(res) && (req->stage == FD_PUNCH || req->stage == FD_ZERO)) {
		atomic_store(req->stage == FD_PUNCH ? &f->no_punch : &f->no_zero, true);
		err = fd_fall_back(req);
		if (!err)
			return;
	}
	fd_note_failed(f, req, res);
	fd_finish(req, err);
}

static void fd_done(struct env_io *io, int64_t res)
{
	struct block_req *req = container_of(io, struct block_req, io);
	struct fd_dev *f = fd_of(req);

	if ((res == -EINTR || res == -EAGAIN) && req->stage / FD_RETRY < RETRY_MAX) {
		req->stage += FD_RETRY;
		env_io_submit(io);
		return;
	}
	req->stage &= FD_STAGE_MASK;
	if (res < 0)
		fd_failed(f, req, res);
	else if (req->stage == FD_RW || req->stage == FD_FILL)
		fd_moved(f, req, res);
	else if (req->stage != FD_SYNC && (req->flags & BLOCK_FUA))
		fd_start_range(req, FD_SYNC, ENV_IO_FDATASYNC);
	else if (req->stage == FD_SYNC && atomic_load(&f->sync_failed))
		fd_finish(req, -EIO);	/* another one met the error while this one ran */
	else
		fd_finish(req, 0);
}

void fd_close(struct block_dev *d)
{
	struct fd_dev *f = container_of(d, struct fd_dev, dev);

	close(f->fd);
	free(f);
}
