/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The data_fd: a stream that the client reads while the state is one of the
 * saving group, or writes while it is RESUMING. It lives while the client has
 * it or the session goes on; a session that is over answers ENODEV.
 *
 * The write that completes the stream loads the function, and its result is
 * the result of that write: a client looks at nothing later.
 *
 * There is nothing to poll: reads and writes never wait for the other side.
 */
#include "vfio/mig.h"

#define COPY_PIECE 16384u
#define LOAD_PIECE 131072u

static struct mig_file *to_file(struct vfio_file *f)
{
	return container_of(f, struct mig_file, file);
}

static void file_close(struct vfio_file *f, void (*done)(void *arg), void *arg)
{
	struct vfio_host *h = f->host;

	vfio_host_lock(h);
	mig_file_put(to_file(f));
	host_unlock(h);
	if (done)
		done(arg);
}

void mig_file_put(struct mig_file *f)
{
	if (--f->refs)
		return;
	state_writer_release(&f->out);
	state_parser_release(&f->in);
	free(f);
}

void mig_file_end(struct vfio_mig *m)
{
	struct mig_file *f = take_ptr(m->file);

	if (!f)
		return;
	f->mig = NULL;
	mig_file_put(f);
}

static struct mig_file *file_alloc(struct vfio_mig *m, const struct vfio_file_ops *ops)
{
	struct mig_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	host_file_init(m->dev->host, &f->file, ops, "anon_inode:[vfio-mig]");
	f->refs = 1;
	f->mig = m;
	return f;
}

/* Whose session @f is, or NULL. */
static struct vfio_mig *session(struct mig_file *f)
{
	if (f->mig)
		mig_settle(f->mig);
	return f->mig;
}

static int64_t no_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd, uint64_t arg)
{
	return -ENOTTY;
}

/* --------------------------------------------------------------------- saving */

static bool precopy(const struct vfio_mig *m)
{
	return mig_saves(m->state) && m->state != VFIO_DEVICE_STATE_STOP_COPY;
}

/* Bytes, 0: the end, -ENOMSG: nothing now. */
static int64_t take(struct mig_file *f, void *buf, size_t len)
{
	size_t n = MIN(len, f->out.len - f->pos);

	if (!session(f))
		return -ENODEV;
	if (!n)
		return precopy(f->mig) ? -ENOMSG : 0;
	memcpy(buf, f->out.buf + f->pos, n);
	f->pos += n;
	return (int64_t)n;
}

static int64_t saving_read(struct vfio_file *vf, struct vfio_call *call, uint64_t addr,
			   uint64_t count)
{
	struct mig_file *f = to_file(vf);
	uint8_t buf[COPY_PIECE];
	uint64_t done = 0;

	do {
		int64_t n;

		vfio_host_lock(vf->host);
		n = count ? take(f, buf, MIN(count - done, sizeof(buf))) : session(f) ? 0 : -ENODEV;
		host_unlock(vf->host);
		if (n <= 0)
			return done ? (int64_t)done : n;
		if (call->ops->copy_out(call, addr + done, buf, (size_t)n) < 0) {
			vfio_host_lock(vf->host);
			f->pos -= (size_t)n;
			host_unlock(vf->host);
			return done ? (int64_t)done : -EFAULT;
		}
		done += (uint64_t)n;
	} while (done < count);
	return (int64_t)done;
}

static int64_t saving_ioctl(struct vfio_file *vf, struct vfio_call *call, unsigned int cmd,
			    uint64_t arg)
{
	struct mig_file *f = to_file(vf);
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	ret = user_in(call, arg, &info, sizeof(info));
	if (ret < 0)
		return ret;
	vfio_host_lock(vf->host);
	ret = !session(f) ? -ENODEV : precopy(f->mig) ? 0 : -EINVAL;
	info.initial_bytes = f->initial > f->pos ? f->initial - f->pos : 0;
	info.dirty_bytes = 0;
	if (!ret && f->mig->precopy_v2)
		info.flags = 0;
	host_unlock(vf->host);
	return ret < 0 ? ret : call->ops->copy_out(call, arg, &info, sizeof(info));
}

static const struct vfio_file_ops saving_ops = {
	.type = VFIO_FILE_MIG,
	.ioctl = saving_ioctl,
	.read = saving_read,
	.close = file_close,
};

struct mig_file *mig_file_saving(struct vfio_mig *m)
{
	struct mig_file *f = file_alloc(m, &saving_ops);

	if (!f)
		return NULL;
	m->lm->ops->describe(m->lm, &m->id);
	if (state_write_begin(&f->out, &m->id) < 0) {
		mig_file_put(f);
		return NULL;
	}
	f->initial = f->out.len;
	return f;
}

/* ------------------------------------------------------------------- resuming */

/* The other side's identity is known: may what follows be loaded here? */
static int compat(void *arg, const struct lm_identity *id)
{
	struct mig_file *f = arg;
	struct vfio_mig *m = f->mig;
	struct ferry_err err = { 0 };
	int ret = m->lm ? m->lm->ops->check(m->lm, id, &err) : -EIO;

	if (ret < 0)
		log_limited(&m->limit, LOG_WARN, PCI_BDF_FMT ": migration refused: %s",
			    PCI_BDF_ARG(m->dev->fn->bdf), err.msg[0] ? err.msg : strerror(-ret));
	return ret;
}

int mig_file_missing(const struct mig_file *f)
{
	return !f->in.err && (f->loaded || !f->in.started) ? 0 : -EINVAL;
}

static void load_next(struct vfio_mig *m);

static void load_over(struct vfio_mig *m, int err)
{
	struct mig_file *f = m->job->load.file;

	if (err < 0) {
		f->in.err = err;
	} else {
		f->loaded = true;
	}
	job_end(m, err < 0 ? err : (int64_t)m->job->load.count);
	mig_file_put(f);
}

/* The function has it; the storage is not ours before it is to run. */
static void accepted(struct vfio_mig *m, int err)
{
	struct mig_file *f = m->job->load.file;

	if (!f->mig || atomic_load(&m->was_reset))
		load_over(m, -ENODEV);
	else
		load_over(m, err);
}

static void piece_loaded(struct vfio_mig *m, int err)
{
	struct mig_job *j = m->job;
	struct mig_file *f = j->load.file;

	if (!f->mig || atomic_load(&m->was_reset)) {
		load_over(m, -ENODEV);
	} else if (err < 0) {
		/* Not refused but failed: nobody knows what was loaded. */
		if (err != -EINVAL) {
			mig_file_end(m);
			m->state = VFIO_DEVICE_STATE_ERROR;
		}
		load_over(m, err);
	} else if (!m->lm) {
		load_over(m, -EIO);
	} else {
		j->load.at += MIN(f->in.image_len - j->load.at, (uint64_t)LOAD_PIECE);
		if (j->load.at < f->in.image_len)
			load_next(m);
		else
			lm_owner_accept(m->lm, op_begin(m, accepted), f->in.token,
					f->in.token_len);
	}
}

static void load_next(struct vfio_mig *m)
{
	struct mig_job *j = m->job;
	struct state_parser *in = &j->load.file->in;
	uint64_t n = MIN(in->image_len - j->load.at, (uint64_t)LOAD_PIECE);

	m->lm->ops->load_write(m->lm, op_begin(m, piece_loaded), j->load.at, in->image + j->load.at,
			       n, j->load.at + n == in->image_len);
}

void mig_load_run(struct vfio_mig *m, struct mig_job *j)
{
	if (j->load.file->mig != m || m->state != VFIO_DEVICE_STATE_RESUMING)
		load_over(m, -ENODEV);
	else if (!m->lm || !m->loading)
		load_over(m, -EIO);
	else
		load_next(m);
}

static int feed(struct mig_file *f, const void *buf, size_t len, bool last)
{
	int ret;

	if (!session(f))
		return -ENODEV;
	ret = state_parser_feed(&f->in, buf, len);
	/* Bytes after the end: refused before what they follow is loaded. */
	if (!ret && f->in.complete && !last)
		ret = f->in.err = -EINVAL;
	return ret;
}

/* The stream is whole. Host lock held, given up. */
static int64_t load(struct mig_file *f, struct vfio_call *call, uint64_t count, struct mig_job *j)
{
	int64_t ret;

	j->load.file = f;
	j->load.count = count;
	f->refs++;
	ret = mig_queue(f->mig, j, call);
	host_unlock(f->file.host);
	return ret == -EINPROGRESS ? ret : mig_answer(call, j);
}

static int64_t resuming_write(struct vfio_file *vf, struct vfio_call *call, uint64_t addr,
			      uint64_t count)
{
	struct mig_job *j = job_alloc(mig_load_run);
	struct mig_file *f = to_file(vf);
	uint8_t buf[COPY_PIECE];
	uint64_t done = 0;
	int ret;

	if (!j)
		return -ENOMEM;
	do {
		size_t n = MIN(count - done, sizeof(buf));

		ret = n ? call->ops->copy_in(call, buf, addr + done, n) : 0;
		if (ret < 0)
			break;
		done += n;
		vfio_host_lock(vf->host);
		ret = feed(f, buf, n, done == count);
		if (!ret && n && f->in.complete)
			return load(f, call, count, j);
		host_unlock(vf->host);
	} while (!ret && done < count);
	free(j);
	return ret < 0 ? ret : (int64_t)done;
}

static const struct vfio_file_ops resuming_ops = {
	.type = VFIO_FILE_MIG,
	.ioctl = no_ioctl,
	.write = resuming_write,
	.close = file_close,
};

struct mig_file *mig_file_resuming(struct vfio_mig *m)
{
	struct mig_file *f = file_alloc(m, &resuming_ops);

	if (f)
		state_parser_init(&f->in, compat, f);
	return f;
}
