/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * DMA logging by the controller, features 6 to 8. A report of the controller
 * is for all ranges and is cleared by being read, the client asks for parts:
 * what it did not ask for yet is kept here. A reset of the function changes
 * nothing; the loss of the controller does, and is what reports then say.
 */
#include "vfio/mig.h"

/* ------------------------------------------------------------------------ start */

static void started(struct vfio_mig *m, int err)
{
	struct mig_job *j = m->job;
	uint64_t granule = m->op.size;

	if (!err && (!m->lm || granule < VFIO_PAGE || (granule & (granule - 1))))
		err = -EIO;
	if (!err) {
		dirty_map_clear(&m->track.map);
		m->track.on = true;
		m->track.lost = false;
		j->start.granule = granule;
	}
	job_end(m, err);
}

static void start_run(struct vfio_mig *m, struct mig_job *j)
{
	struct lm_controller *lm = mig_controller(m);

	if (m->track.on)
		job_end(m, -EINVAL);
	else if (!lm || !lm->ops->track_start)
		job_end(m, -EIO);
	else
		lm->ops->track_start(lm, op_begin(m, started), j->start.r, j->start.nr,
				     MAX(j->start.granule, (uint64_t)VFIO_PAGE));
}

static int64_t start_finish(struct vfio_call *call, struct mig_job *j, int64_t ret)
{
	struct vfio_mig *m = j->mig;
	struct mig_job *stop;

	if (ret < 0)
		return ret;
	ret = call->ops->copy_out(call, j->start.user, &j->start.granule, sizeof(j->start.granule));
	stop = ret < 0 ? job_alloc(track_stop_run) : NULL;
	if (stop) {
		vfio_host_lock(m->dev->host);
		mig_detach(m, stop);
		host_unlock(m->dev->host);
	}
	return ret;
}

static int compare(const void *a, const void *b)
{
	const struct lm_range *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static int ranges_check(struct lm_range *r, unsigned int nr, uint64_t page_size)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!r[i].len || ((r[i].iova | r[i].len) & (page_size - 1)))
			return -EINVAL;
		if (r[i].iova + r[i].len < r[i].iova)
			return -EOVERFLOW;
	}
	qsort(r, nr, sizeof(*r), compare);
	for (i = 1; i < nr; i++)
		if (r[i].iova - r[i - 1].iova < r[i - 1].len)
			return -EINVAL;
	return 0;
}

int64_t mig_feature_track_start(struct vfio_device *d, struct vfio_call *call, uint64_t data,
				bool set)
{
	struct vfio_device_feature_dma_logging_control c;
	struct mig_job *j;
	int64_t ret = call->ops->copy_in(call, &c, data, sizeof(c));

	static_assert(sizeof(struct lm_range) == sizeof(struct vfio_device_feature_dma_logging_range),
		      "the client's ranges are ours");
	if (ret < 0)
		return ret;
	if (!c.num_ranges)
		return -EINVAL;
	if (c.num_ranges > LM_RANGES_MAX)
		return -E2BIG;
	if (!c.page_size || (c.page_size & (c.page_size - 1)))
		return -EINVAL;
	j = job_alloc(start_run);
	if (!j)
		return -ENOMEM;
	j->finish = start_finish;
	j->start.user = data;
	j->start.granule = c.page_size;
	j->start.nr = c.num_ranges;
	ret = call->ops->copy_in(call, j->start.r, c.ranges, c.num_ranges * sizeof(j->start.r[0]));
	if (!ret)
		ret = ranges_check(j->start.r, j->start.nr, c.page_size);
	if (ret < 0) {
		free(j);
		return ret;
	}
	return mig_submit(d->mig, j, call);
}

/* ------------------------------------------------------------------------- stop */

static void stopped(struct vfio_mig *m, int err)
{
	m->track.on = m->track.lost = false;
	dirty_map_clear(&m->track.map);
	job_end(m, 0);
}

void track_stop_run(struct vfio_mig *m, struct mig_job *j)
{
	if (!m->track.on)
		job_end(m, 0);
	else if (!m->lm)
		stopped(m, 0);
	else
		m->lm->ops->track_stop(m->lm, op_begin(m, stopped));
}

int64_t mig_feature_track_stop(struct vfio_device *d, struct vfio_call *call, uint64_t data,
			       bool set)
{
	struct mig_job *j = job_alloc(track_stop_run);

	return j ? mig_submit(d->mig, j, call) : -ENOMEM;
}

/* ----------------------------------------------------------------------- report */

static void mark(void *arg, uint64_t iova, uint64_t len)
{
	struct vfio_mig *m = arg;

	dirty_map_mark(&m->track.map, iova, len);
}

static void reported(struct vfio_mig *m, int err)
{
	if (err < 0)
		m->track.lost = true;
	job_end(m, m->track.lost || dirty_map_overflown(&m->track.map) ? -EIO : 0);
}

static void report_run(struct vfio_mig *m, struct mig_job *j)
{
	if (!m->track.on)
		job_end(m, -EINVAL);
	else if (m->track.lost || !m->lm)
		job_end(m, -EIO);
	else
		m->lm->ops->track_report(m->lm, op_begin(m, reported), mark, m);
}

static int64_t report_finish(struct vfio_call *call, struct mig_job *j, int64_t ret)
{
	return ret < 0 ? ret : dirty_report_map(call, &j->report, &j->mig->track.map, true);
}

int64_t mig_feature_track_report(struct vfio_device *d, struct vfio_call *call, uint64_t data,
				 bool set)
{
	struct vfio_device_feature_dma_logging_report r;
	struct dirty_bitmap b;
	struct mig_job *j;
	int64_t ret = call->ops->copy_in(call, &r, data, sizeof(r));

	if (ret < 0)
		return ret;
	b = (struct dirty_bitmap){ r.iova, r.length, r.page_size, r.bitmap };
	ret = dirty_report_check(call, &b);
	if (ret < 0)
		return ret;
	j = job_alloc(report_run);
	if (!j)
		return -ENOMEM;
	j->finish = report_finish;
	j->report = b;
	return mig_submit(d->mig, j, call);
}
