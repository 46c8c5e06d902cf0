/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Features 1, 2, 9 and 12: which states there are, GET and SET of the state, sizes. */
#include "vfio/mig.h"

bool mig_has(const struct vfio_device *d)
{
	return d->mig && d->mig->options;
}

bool mig_has_tracking(const struct vfio_device *d)
{
	return mig_has(d) && d->mig->can_track;
}

int64_t mig_feature_flags(struct vfio_device *d, struct vfio_call *call, uint64_t data, bool set)
{
	struct vfio_device_feature_migration f = { .flags = d->mig->options };

	return call->ops->copy_out(call, data, &f, sizeof(f));
}

/* ------------------------------------------------------------------------ state */

static void get_run(struct vfio_mig *m, struct mig_job *j)
{
	j->set.to = m->state;
	job_end(m, 0);
}

static int64_t get_finish(struct vfio_call *call, struct mig_job *j, int64_t ret)
{
	struct vfio_device_feature_mig_state s = { .device_state = j->set.to, .data_fd = -1 };

	return ret < 0 ? ret : call->ops->copy_out(call, j->set.fd_at, &s, sizeof(s));
}

static int64_t state_get(struct vfio_mig *m, struct vfio_call *call, uint64_t data)
{
	struct mig_job *j = job_alloc(get_run);

	if (!j)
		return -ENOMEM;
	j->finish = get_finish;
	j->set.fd_at = data;
	return mig_submit(m, j, call);
}

static int64_t state_set(struct vfio_mig *m, struct vfio_call *call, uint64_t data)
{
	struct vfio_device_feature_mig_state s;
	struct mig_job *j;
	int64_t ret = call->ops->copy_in(call, &s, data, sizeof(s));

	if (ret < 0)
		return ret;
	/* What it is if there is no stream to be returned, and after any failure. */
	s.data_fd = -1;
	ret = call->ops->copy_out(call, data, &s, sizeof(s));
	if (ret < 0)
		return ret;
	j = job_alloc(mig_set_run);
	if (!j)
		return -ENOMEM;
	j->set.to = s.device_state;
	j->set.fd_at = data + offsetof(struct vfio_device_feature_mig_state, data_fd);
	return mig_submit(m, j, call);
}

int64_t mig_feature_state(struct vfio_device *d, struct vfio_call *call, uint64_t data, bool set)
{
	return set ? state_set(d->mig, call, data) : state_get(d->mig, call, data);
}

/* ------------------------------------------------------------------------ sizes */

static int64_t size_finish(struct vfio_call *call, struct mig_job *j, int64_t ret)
{
	struct vfio_device_feature_mig_data_size s = { .stop_copy_length = j->size.size };

	return ret < 0 ? ret : call->ops->copy_out(call, j->size.user, &s, sizeof(s));
}

int64_t mig_feature_size(struct vfio_device *d, struct vfio_call *call, uint64_t data, bool set)
{
	struct mig_job *j = job_alloc(mig_size_run);

	if (!j)
		return -ENOMEM;
	j->finish = size_finish;
	j->size.user = data;
	return mig_submit(d->mig, j, call);
}

int64_t mig_feature_precopy_v2(struct vfio_device *d, struct vfio_call *call, uint64_t data,
			       bool set)
{
	if (!(d->mig->options & VFIO_MIGRATION_PRE_COPY))
		return -EINVAL;
	vfio_host_lock(d->host);
	d->mig->precopy_v2 = true;
	host_unlock(d->host);
	return 0;
}
