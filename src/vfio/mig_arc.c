/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * SET of the migration state: arc after arc, until the wanted state or the
 * first error. An arc is, in this order:
 *
 *   suspend   if it leads out of RUNNING, PRE_COPY (P2P is all DMA here)
 *   its work  begin, end or feed a stream
 *   resume    if it leads back, after the storage is ours (again)
 *
 * What fails leaves the function in the state before the arc; where that can't
 * be had, in ERROR.
 */
#include "vfio/mig.h"

static void next_arc(struct vfio_mig *m);

static void set_over(struct vfio_mig *m, int err)
{
	struct mig_job *j = m->job;
	struct mig_file *f = take_ptr(m->arc_file);

	if (err < 0) {
		log_limited(&m->limit, LOG_WARN, PCI_BDF_FMT ": migration: %s, on the way to %s: %s",
			    PCI_BDF_ARG(m->dev->fn->bdf), mig_state_name(m->state),
			    mig_state_name(j->set.to), strerror(-err));
		if (f)
			mig_file_put(f);
	} else if (f) {
		/* The client's reference. */
		j->call->new_file = &f->file;
		j->call->new_file_at = j->set.fd_at;
	}
	job_end(m, err);
}

static void arc_error(struct vfio_mig *m, int err)
{
	mig_file_end(m);
	m->state = VFIO_DEVICE_STATE_ERROR;
	set_over(m, err);
}

/* --------------------------------------------------------------------- failures */

static void undone(struct vfio_mig *m, int err)
{
	if (err < 0)
		arc_error(m, m->arc_err);
	else
		set_over(m, m->arc_err);
}

static void undo_owned(struct vfio_mig *m, int err)
{
	m->offered &= err < 0;
	if (err < 0 || !m->lm || m->lost)
		arc_error(m, m->arc_err);
	else
		m->lm->ops->resume(m->lm, op_begin(m, undone));
}

/* The function is to be as before the arc. */
static void arc_undo(struct vfio_mig *m, int err)
{
	struct lm_controller *lm = mig_controller(m);

	m->arc_err = err;
	if (!m->arc_suspended)
		set_over(m, err);
	else if (!lm || m->lost)
		arc_error(m, err);
	else
		lm_owner_run(lm, op_begin(m, undo_owned));
}

/* ---------------------------------------------------------------- after the work */

static void arrived(struct vfio_mig *m)
{
	uint32_t from = m->state, to = m->arc_to;

	if (m->file && m->file != m->arc_file &&
	    (from == VFIO_DEVICE_STATE_RESUMING || (mig_saves(from) && !mig_saves(to))))
		mig_file_end(m);
	m->state = to;
	next_arc(m);
}

static void resumed(struct vfio_mig *m, int err)
{
	if (err < 0)
		arc_error(m, -EIO);
	else
		arrived(m);
}

static void owned(struct vfio_mig *m, int err)
{
	m->offered &= err < 0;
	if (err < 0 || !m->lm || m->lost)
		arc_error(m, err < 0 ? err : -EIO);
	else
		m->lm->ops->resume(m->lm, op_begin(m, resumed));
}

static void worked(struct vfio_mig *m, int err)
{
	struct lm_controller *lm = mig_controller(m);

	if (err < 0) {
		arc_undo(m, err);
		return;
	}
	if (mig_runs(m->state) || !mig_runs(m->arc_to))
		arrived(m);
	else if (!lm || m->lost)
		arc_error(m, -EIO);
	else
		lm_owner_run(lm, op_begin(m, owned));
}

/* ---------------------------------------------------------------------- the work */

static void prepared(struct vfio_mig *m, int err)
{
	worked(m, 0);	/* a hint */
}

/* Can it go to another host at all? Said as early as possible. */
static int may_leave(struct vfio_mig *m, struct lm_controller *lm)
{
	struct ferry_err e = { 0 };
	int err = lm ? lm_owner_check(lm, &e) : -EIO;

	if (err < 0 && e.msg[0])
		log_limited(&m->limit, LOG_WARN, PCI_BDF_FMT ": can't be migrated: %s",
			    PCI_BDF_ARG(m->dev->fn->bdf), e.msg);
	return err;
}

/* The client has one reference when SET succeeds, the session the other. */
static bool stream_open(struct vfio_mig *m, struct mig_file *f)
{
	if (!f) {
		worked(m, -ENOMEM);
		return false;
	}
	mig_file_end(m);
	m->arc_file = f;
	return true;
}

/* Only now: a failure before has nothing to take back. */
static void session_begin(struct vfio_mig *m)
{
	m->file = m->arc_file;
	m->file->refs++;
}

static void precopy_begin(struct vfio_mig *m)
{
	struct lm_controller *lm = mig_controller(m);
	int err = may_leave(m, lm);

	if (err < 0) {
		worked(m, err);
		return;
	}
	if (!stream_open(m, mig_file_saving(m)))
		return;
	session_begin(m);
	if (lm->ops->prepare)
		lm->ops->prepare(lm, op_begin(m, prepared));
	else
		worked(m, 0);
}

static void saved(struct vfio_mig *m, int err)
{
	if (err == -EAGAIN)
		err = -EIO;
	if (!err && m->arc_file)
		session_begin(m);
	worked(m, err);
}

static void copy_begin(struct vfio_mig *m)
{
	int err = may_leave(m, mig_controller(m));

	if (err < 0) {
		worked(m, err);
		return;
	}
	if (!mig_saves(m->state) && !stream_open(m, mig_file_saving(m)))
		return;
	mig_save(m, saved);
}

static void load_opened(struct vfio_mig *m, int err)
{
	if (!err && m->lm) {
		m->loading = true;
		session_begin(m);
	} else if (!err) {
		err = -EIO;
	}
	worked(m, err);
}

static void resume_begin(struct vfio_mig *m)
{
	struct lm_controller *lm = mig_controller(m);

	if (!lm)
		worked(m, -EIO);
	else if (stream_open(m, mig_file_resuming(m)))
		lm->ops->load_open(lm, op_begin(m, load_opened));
}

/* What was written is in the function already; was it all? */
static void resume_end(struct vfio_mig *m)
{
	int err = m->file ? mig_file_missing(m->file) : -EIO;

	if (!err && m->lm && m->loading)
		m->lm->ops->load_close(m->lm);
	if (!err)
		m->loading = false;
	worked(m, err);
}

static void work(struct vfio_mig *m)
{
	uint32_t from = m->state, to = m->arc_to;

	if (from == VFIO_DEVICE_STATE_RESUMING)
		resume_end(m);
	else if (to == VFIO_DEVICE_STATE_RESUMING)
		resume_begin(m);
	else if (to == VFIO_DEVICE_STATE_STOP_COPY)
		copy_begin(m);
	else if (mig_saves(to) && !mig_saves(from))
		precopy_begin(m);
	else
		worked(m, 0);
}

/* ------------------------------------------------------------------------ suspend */

static void suspended(struct vfio_mig *m, int err)
{
	struct lm_controller *lm = mig_controller(m);

	m->arc_suspended = true;	/* or half so */
	if (!err && !m->lost)
		work(m);
	else if (m->tries++ || !lm || m->lost)
		arc_undo(m, -EIO);
	else
		lm->ops->suspend(lm, op_begin(m, suspended));
}

static void next_arc(struct vfio_mig *m)
{
	struct mig_job *j = m->job;
	struct lm_controller *lm;

	if (atomic_load(&m->was_reset)) {
		set_over(m, -ECANCELED);
		return;
	}
	if (m->closing) {
		set_over(m, -ENODEV);
		return;
	}
	if (m->lost) {
		arc_error(m, -EIO);
		return;
	}
	if (m->state == j->set.to) {
		set_over(m, 0);
		return;
	}
	m->arc_to = mig_fsm_next(m->options, m->state, j->set.to);
	m->arc_suspended = false;
	m->tries = 0;
	if (m->arc_to == VFIO_DEVICE_STATE_ERROR) {
		set_over(m, -EINVAL);
	} else if (mig_runs(m->state) && !mig_runs(m->arc_to)) {
		lm = mig_controller(m);
		if (lm)
			lm->ops->suspend(lm, op_begin(m, suspended));
		else
			set_over(m, -EIO);
	} else {
		work(m);
	}
}

void mig_set_run(struct vfio_mig *m, struct mig_job *j)
{
	m->arc_file = NULL;
	if (!mig_fsm_has(m->options, j->set.to) || m->state == VFIO_DEVICE_STATE_ERROR)
		job_end(m, -EINVAL);
	else
		next_arc(m);
}
