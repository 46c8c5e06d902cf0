/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Reading the image of a suspended function, whole, into the stream; then its
 * storage is offered to the other side. If the function turns out not to have been suspended all the time (a guest may
 * reset its controller under us), it is suspended again and read again.
 */
#include "vfio/mig.h"

#define SAVE_TRIES 3
#define SAVE_PIECE 131072u
#define SIZE_UNKNOWN 65536u		/* an estimate of an image */

static void save_again(struct vfio_mig *m);
static void read_next(struct vfio_mig *m);

static void save_close(struct vfio_mig *m)
{
	if (m->saving && m->lm)
		m->lm->ops->save_close(m->lm);
	m->saving = false;
}

static void save_over(struct vfio_mig *m, int err)
{
	struct mig_file *f = m->arc_file ? m->arc_file : m->file;

	save_close(m);
	if (!err && !f)
		err = -ECANCELED;	/* the stream was ended meanwhile */
	if (!err)
		err = state_write_image(&f->out, m->image, m->image_len, m->token, m->token_len);
	if (!err)
		m->last_size = m->image_len;
	free(take_ptr(m->image));
	m->save_then(m, err);
}

static void suspended_again(struct vfio_mig *m, int err)
{
	if (err < 0)
		save_over(m, -EIO);
	else
		save_again(m);
}

static void save_failed(struct vfio_mig *m, int err)
{
	save_close(m);
	if (err != -EAGAIN || ++m->save_tries == SAVE_TRIES || !m->lm || m->lost) {
		save_over(m, err);
		return;
	}
	free(take_ptr(m->image));
	m->lm->ops->suspend(m->lm, op_begin(m, suspended_again));
}

static void offered(struct vfio_mig *m, int err)
{
	m->token_len = m->op.size;
	if (!err && m->token_len > LM_TOKEN_MAX)
		err = -EIO;
	m->offered |= !err;
	save_over(m, err);
}

static void piece_read(struct vfio_mig *m, int err)
{
	uint64_t n = m->op.size, asked = MIN(m->image_len - m->image_at, (uint64_t)SAVE_PIECE);

	if (!err && (n > asked || (!n && asked)))
		err = -EIO;
	if (err < 0) {
		save_failed(m, err);
		return;
	}
	m->image_at += n;
	if (m->image_at < m->image_len)
		read_next(m);
	else if (!m->lm)
		save_over(m, -EIO);
	else
		lm_owner_offer(m->lm, op_begin(m, offered), m->token);
}

static void read_next(struct vfio_mig *m)
{
	uint64_t n = MIN(m->image_len - m->image_at, (uint64_t)SAVE_PIECE);

	if (!m->lm || !m->saving) {
		save_failed(m, -EIO);
		return;
	}
	m->lm->ops->save_read(m->lm, op_begin(m, piece_read), m->image_at, m->image + m->image_at,
			      n, m->image_at + n == m->image_len);
}

static void sized(struct vfio_mig *m, int err)
{
	uint64_t size = m->op.size;

	if (!err && size > LM_STATE_MAX)
		err = -EIO;
	if (!err) {
		m->image = malloc(size ? size : 1);
		err = m->image ? 0 : -ENOMEM;
	}
	if (err < 0) {
		save_failed(m, err);
		return;
	}
	m->image_len = size;
	m->image_at = 0;
	read_next(m);
}

static void opened(struct vfio_mig *m, int err)
{
	m->saving = !err && m->lm;
	if (!err && !m->lm)
		err = -EIO;
	if (err < 0)
		save_failed(m, err);
	else
		m->lm->ops->save_size(m->lm, op_begin(m, sized));
}

static void save_again(struct vfio_mig *m)
{
	if (!m->lm || m->lost)
		save_over(m, -EIO);
	else
		m->lm->ops->save_open(m->lm, op_begin(m, opened));
}

void mig_save(struct vfio_mig *m, void (*then)(struct vfio_mig *m, int err))
{
	m->save_then = then;
	m->save_tries = 0;
	save_again(m);
}

/* ------------------------------------------------------------------- estimates */

static void size_over(struct vfio_mig *m, uint64_t image)
{
	if (image)
		m->last_size = image;
	m->job->size.size = state_stream_size(&m->id, m->last_size ? m->last_size : SIZE_UNKNOWN);
	job_end(m, 0);
}

static void size_known(struct vfio_mig *m, int err)
{
	uint64_t size = err < 0 || m->op.size > LM_STATE_MAX ? 0 : m->op.size;

	save_close(m);
	size_over(m, size);
}

static void size_opened(struct vfio_mig *m, int err)
{
	m->saving = !err && m->lm;
	if (m->saving)
		m->lm->ops->save_size(m->lm, op_begin(m, size_known));
	else
		size_over(m, 0);
}

/* Never fails, and is never 0: a client may size its buffers by it. */
void mig_size_run(struct vfio_mig *m, struct mig_job *j)
{
	struct lm_controller *lm = mig_controller(m);

	if (lm)
		lm->ops->describe(lm, &m->id);
	if (!lm || m->lost || m->loading || m->state == VFIO_DEVICE_STATE_STOP_COPY ||
	    m->state == VFIO_DEVICE_STATE_ERROR)
		size_over(m, 0);
	else
		lm->ops->save_open(lm, op_begin(m, size_opened));
}
