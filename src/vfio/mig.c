/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The migration engine's frame: jobs, the controller's operations, resets,
 * and the device's life. What the jobs do is in mig_arc.c, mig_save.c,
 * mig_file.c and mig_track.c.
 */
#include "vfio/mig.h"

static void jobs_run(struct vfio_mig *m);

/* ------------------------------------------------------------------- operations */

static void op_done(struct lm_op *op, int err)
{
	struct vfio_mig *m = container_of(op, struct vfio_mig, op);
	struct vfio_host *h = m->dev->host;
	void (*then)(struct vfio_mig *, int);

	vfio_host_lock(h);
	then = take_ptr(m->then);
	then(m, err);
	jobs_run(m);
	host_unlock(h);
}

struct lm_op *op_begin(struct vfio_mig *m, void (*then)(struct vfio_mig *m, int err))
{
	assert(!m->then);
	m->then = then;
	return &m->op;
}

/* ------------------------------------------------------------------------- jobs */

struct mig_job *job_alloc(void (*run)(struct vfio_mig *m, struct mig_job *j))
{
	struct mig_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	list_init(&j->link);
	j->run = run;
	return j;
}

/* Who waits for it is told, unless it is the thread that is just submitting it. */
static void job_done(struct mig_job *j, int64_t ret)
{
	j->ret = ret;
	j->done = true;
	if (j->async)
		j->call->ops->complete(j->call, ret);
	else if (!j->call && j != &j->mig->close_job)
		free(j);
}

void job_end(struct vfio_mig *m, int64_t ret)
{
	job_done(take_ptr(m->job), ret);
}

static void jobs_run(struct vfio_mig *m)
{
	mig_settle(m);
	while (!m->job && !list_empty(&m->jobs)) {
		struct mig_job *j = list_first(&m->jobs, struct mig_job, link);

		list_del(&j->link);
		m->job = j;
		j->run(m, j);
		mig_settle(m);
	}
	if (m->closing && !mig_busy(m))
		host_defer(m->dev->host);
}

int64_t mig_answer(struct vfio_call *call, struct mig_job *j)
{
	int64_t ret = j->finish ? j->finish(call, j, j->ret) : j->ret;

	free(j);
	return ret;
}

static int64_t finish(struct vfio_call *call, int64_t ret)
{
	return mig_answer(call, call->user_ptr[0]);
}

int64_t mig_queue(struct vfio_mig *m, struct mig_job *j, struct vfio_call *call)
{
	j->mig = m;
	j->call = call;
	if (m->closing) {
		job_done(j, -ENODEV);
		return 0;
	}
	list_add_tail(&m->jobs, &j->link);
	jobs_run(m);
	if (j->done)
		return 0;
	j->async = true;
	call->user_ptr[0] = j;
	call->finish = finish;
	return -EINPROGRESS;
}

void mig_detach(struct vfio_mig *m, struct mig_job *j)
{
	j->mig = m;
	list_add_tail(&m->jobs, &j->link);
	jobs_run(m);
}

int64_t mig_submit(struct vfio_mig *m, struct mig_job *j, struct vfio_call *call)
{
	struct vfio_host *h = m->dev->host;
	int64_t ret;

	vfio_host_lock(h);
	ret = mig_queue(m, j, call);
	host_unlock(h);
	return ret == -EINPROGRESS ? ret : mig_answer(call, j);
}

/* ------------------------------------------------------------------------ resets */

void mig_was_reset(struct vfio_mig *m)
{
	atomic_store(&m->was_reset, true);
	/* Soon, so that the controller hears of it even if the client asks for nothing more. */
	host_defer(m->dev->host);
}

static void owner_ran(struct vfio_mig *m, int err)
{
	if (err < 0)
		log_limited(&m->limit, LOG_WARN,
			    PCI_BDF_FMT ": was reset while its storage was offered, and did not get it back: %s",
			    PCI_BDF_ARG(m->dev->fn->bdf), strerror(-err));
	m->offered &= err < 0;
	job_end(m, 0);
}

static void owner_run(struct vfio_mig *m, struct mig_job *j)
{
	if (m->lm && m->offered)
		lm_owner_run(m->lm, op_begin(m, owner_ran));
	else
		job_end(m, 0);
}

/* The client gave up its migration: what runs again needs its storage. */
static void take_back(struct vfio_mig *m)
{
	struct mig_job *j = m->offered && !m->closing ? job_alloc(owner_run) : NULL;

	if (!j)
		return;
	j->mig = m;
	list_add(&m->jobs, &j->link);
}

void mig_settle(struct vfio_mig *m)
{
	if (m->job || !atomic_exchange(&m->was_reset, false))
		return;
	mig_file_end(m);
	m->state = VFIO_DEVICE_STATE_RUNNING;
	m->saving = m->loading = m->lost = false;
	if (m->lm && m->lm->ops->reset_done)
		m->lm->ops->reset_done(m->lm);
	take_back(m);
}

/* -------------------------------------------------------------------- controllers */

/* mig_settle() and what it may have begun, from outside the engine. */
void mig_advance(struct vfio_mig *m)
{
	jobs_run(m);
}

static void gone(struct lm_controller *lm, void *arg)
{
	struct vfio_mig *m = arg;

	lm->gone = NULL;
	m->lm = NULL;
	m->saving = m->loading = false;
	m->track.lost = m->track.on;
	m->lost = m->state != VFIO_DEVICE_STATE_RUNNING ||
		  (m->job && m->job->run == mig_set_run);
	mig_file_end(m);
}

static void controller_set(struct vfio_mig *m, struct lm_controller *lm)
{
	m->lm = lm;
	lm->gone = gone;
	lm->gone_arg = m;
}

struct lm_controller *mig_controller(struct vfio_mig *m)
{
	struct pci_function *fn = m->dev->fn;
	struct lm_controller *lm;

	if (!m->lm && fn->bus) {
		lm = lm_find(fn->bus, fn);
		if (lm && lm->migratable)
			controller_set(m, lm);
	}
	return m->lm;
}

/* ---------------------------------------------------------------- the device's life */

struct vfio_mig *mig_alloc(struct vfio_device *d, struct lm_controller *lm)
{
	struct vfio_mig *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->dev = d;
	m->options = VFIO_MIG_OPTIONS;
	m->can_track = lm->ops->track_start && lm->ops->track_report && lm->ops->track_stop;
	m->state = VFIO_DEVICE_STATE_RUNNING;
	m->closing = true;
	atomic_init(&m->was_reset, false);
	list_init(&m->jobs);
	list_init(&m->close_job.link);
	dirty_map_init(&m->track.map);
	lm_op_init(&m->op, &d->host->control, op_done);
	controller_set(m, lm);
	return m;
}

void mig_free(struct vfio_mig *m)
{
	assert(!mig_busy(m) && !m->file);
	if (m->lm)
		m->lm->gone = NULL;
	dirty_map_release(&m->track.map);
	free(m->image);
	free(m);
}

void mig_open(struct vfio_mig *m)
{
	mig_settle(m);
	m->closing = false;
}

bool mig_busy(const struct vfio_mig *m)
{
	return m->job || !list_empty(&m->jobs);
}

/* After the tracking: sessions, state. */
static void closed(struct vfio_mig *m, struct mig_job *j)
{
	if (m->lm && m->saving)
		m->lm->ops->save_close(m->lm);
	if (m->lm && m->loading)
		m->lm->ops->load_close(m->lm);
	m->saving = m->loading = m->lost = m->precopy_v2 = m->offered = false;
	mig_file_end(m);
	m->state = VFIO_DEVICE_STATE_RUNNING;	/* the reset of the close makes it so */
	track_stop_run(m, j);
}

void mig_close(struct vfio_mig *m)
{
	m->closing = true;
	mig_file_end(m);
	while (!list_empty(&m->jobs)) {
		struct mig_job *j = list_first(&m->jobs, struct mig_job, link);

		list_del(&j->link);
		job_done(j, -ENODEV);
	}
	m->close_job = (struct mig_job){ .mig = m, .run = closed };
	list_init(&m->close_job.link);
	list_add_tail(&m->jobs, &m->close_job.link);
	jobs_run(m);
}

/* ------------------------------------------------------------------- for the host */

int vfio_mig_enable(struct pci_function *fn, struct lm_controller *lm, struct ferry_err *err)
{
	struct vfio_device *d = vfio_device_of(fn);

	assert(d && !d->mig);
	d->mig = mig_alloc(d, lm);
	return d->mig ? 0 : ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL,
					  "no memory for migration");
}

static struct vfio_mig *mig_of(struct pci_function *fn)
{
	struct vfio_device *d = vfio_device_of(fn);

	return d ? d->mig : NULL;
}

int vfio_mig_options(struct pci_function *fn, unsigned int options, struct ferry_err *err)
{
	struct vfio_mig *m = mig_of(fn);

	if (!m)
		return ferry_err_set(err, EOPNOTSUPP, "E-MIG-NONE",
				     "bind it to nvme-vfio-pci, and see that its controller can migrate it",
				     PCI_BDF_FMT ": has no migration", PCI_BDF_ARG(fn->bdf));
	if (m->dev->state != DEVICE_CLOSED)
		return ferry_err_set(err, EBUSY, "E-MIG-OPEN", "stop the program that uses it",
				     PCI_BDF_FMT ": is in use", PCI_BDF_ARG(fn->bdf));
	options &= VFIO_MIG_OPTIONS;
	m->options = options & VFIO_MIGRATION_STOP_COPY ? options : 0;
	return 0;
}

void vfio_mig_describe(struct pci_function *fn, struct vfio_mig_info *info)
{
	struct vfio_mig *m = mig_of(fn);

	*info = (struct vfio_mig_info){ .state = mig_state_name(VFIO_DEVICE_STATE_RUNNING) };
	if (!m)
		return;
	mig_settle(m);
	info->options = m->options;
	info->state = mig_state_name(m->state);
	info->tracking = m->track.on;
	if (m->file)
		info->stream_bytes = m->file->file.ops->read ? m->file->pos : m->file->in.total;
}
