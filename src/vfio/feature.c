/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * DEVICE_FEATURE: a table of what there is. An id that is not in it does not
 * exist (-ENOTTY), whatever else is wrong with the call.
 */
#include "vfio/mig.h"

struct feature {
	uint32_t id, ops;		/* VFIO_DEVICE_FEATURE_GET, _SET */
	uint32_t size;			/* of the payload */
	int64_t (*run)(struct vfio_device *d, struct vfio_call *call, uint64_t data, bool set);
	bool (*has)(const struct vfio_device *d);	/* NULL: every device */
};

static void power_leave(struct vfio_device *d)
{
	d->low_power = false;
	if (d->wake_fd >= 0)
		close(take_fd(&d->wake_fd));
}

void power_wake(struct vfio_device *d)
{
	/* Without a wake-up the function sleeps on after the call. */
	if (!d->low_power || d->wake_fd < 0)
		return;
	irq_signal(d->wake_fd);
	power_leave(d);
}

static int power_enter(struct vfio_device *d, int wake_fd)
{
	int ret = -EINVAL;

	env_strand_lock(&d->fn->strand);
	if (!d->low_power) {
		d->low_power = true;
		d->wake_fd = wake_fd;
		ret = 0;
	}
	env_strand_unlock(&d->fn->strand);
	return ret;
}

static int64_t low_power_entry(struct vfio_device *d, struct vfio_call *call, uint64_t data,
			       bool set)
{
	return power_enter(d, -1);
}

static int64_t low_power_wakeup(struct vfio_device *d, struct vfio_call *call, uint64_t data,
				bool set)
{
	struct vfio_device_low_power_entry_with_wakeup w;
	int64_t ret = call->ops->copy_in(call, &w, data, sizeof(w));
	int fd;

	if (ret < 0)
		return ret;
	if (w.wakeup_eventfd < 0 || w.reserved)
		return -EINVAL;
	fd = call->ops->eventfd(call, w.wakeup_eventfd);
	if (fd < 0)
		return fd;
	ret = power_enter(d, fd);
	if (ret < 0)
		close(fd);
	return ret;
}

static int64_t low_power_exit(struct vfio_device *d, struct vfio_call *call, uint64_t data,
			      bool set)
{
	env_strand_lock(&d->fn->strand);
	power_leave(d);
	env_strand_unlock(&d->fn->strand);
	return 0;
}

static const struct feature features[] = {
	{ VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_GET,
	  sizeof(struct vfio_device_feature_migration), mig_feature_flags, mig_has },
	{ VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
	  sizeof(struct vfio_device_feature_mig_state), mig_feature_state, mig_has },
	{ VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, VFIO_DEVICE_FEATURE_SET, 0, low_power_entry },
	{ VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, VFIO_DEVICE_FEATURE_SET,
	  sizeof(struct vfio_device_low_power_entry_with_wakeup), low_power_wakeup },
	{ VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, VFIO_DEVICE_FEATURE_SET, 0, low_power_exit },
	{ VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_SET,
	  sizeof(struct vfio_device_feature_dma_logging_control), mig_feature_track_start,
	  mig_has_tracking },
	{ VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_SET, 0, mig_feature_track_stop,
	  mig_has_tracking },
	{ VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_GET,
	  sizeof(struct vfio_device_feature_dma_logging_report), mig_feature_track_report,
	  mig_has_tracking },
	{ VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_GET,
	  sizeof(struct vfio_device_feature_mig_data_size), mig_feature_size, mig_has },
	{ VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, VFIO_DEVICE_FEATURE_SET, 0,
	  mig_feature_precopy_v2, mig_has },
};

static const struct feature *feature_find(const struct vfio_device *d, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].id == id && (!features[i].has || features[i].has(d)))
			return &features[i];
	return NULL;
}

int64_t feature_ioctl(struct vfio_device *d, struct vfio_call *call, uint64_t arg)
{
	const uint32_t both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	const uint32_t known = VFIO_DEVICE_FEATURE_MASK | both | VFIO_DEVICE_FEATURE_PROBE;
	struct vfio_device_feature h;
	const struct feature *ft;
	uint32_t ops;
	int64_t ret = user_in(call, arg, &h, sizeof(h));

	if (ret < 0)
		return ret;
	ops = h.flags & both;
	if ((h.flags & ~known) || (ops == both && !(h.flags & VFIO_DEVICE_FEATURE_PROBE)))
		return -EINVAL;
	ft = feature_find(d, h.flags & VFIO_DEVICE_FEATURE_MASK);
	if (!ft)
		return -ENOTTY;
	if (ops & ~ft->ops)
		return -EINVAL;
	if (h.flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!ops || h.argsz - sizeof(h) < ft->size)
		return -EINVAL;
	return ft->run(d, call, arg + sizeof(h), ops == VFIO_DEVICE_FEATURE_SET);
}
