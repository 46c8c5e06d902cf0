/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Hardware page tables of iommufd: which IOAS a bound device does DMA through.
 * There is no hardware; a HWPT is a name for its IOAS, and has the log of what
 * its devices write. One that an attach made by itself goes with the last device.
 */
#include "vfio/internal.h"

static struct iommufd_hwpt *hwpt_new(struct vfio_iommufd *i, struct iommufd_ioas *ioas,
				     bool automatic, int *err)
{
	struct iommufd_hwpt *h = calloc(1, sizeof(*h));

	*err = h ? iommufd_add(i, &h->obj, IOMMUFD_HWPT) : -ENOMEM;
	if (*err < 0) {
		free(h);
		return NULL;
	}
	h->ioas = ioas;
	h->automatic = automatic;
	dirty_log_init(&h->log);
	ioas->obj.users++;
	return h;
}

void hwpt_drop(struct vfio_iommufd *i, struct iommufd_hwpt *h)
{
	h->ioas->obj.users--;
	iommufd_remove(i, &h->obj);
	dirty_log_release(&h->log);
	free(h);
}

static void hwpt_unuse(struct vfio_iommufd *i, struct iommufd_hwpt *h)
{
	if (!--h->obj.users && h->automatic)
		hwpt_drop(i, h);
}

static struct iommufd_hwpt *hwpt_automatic(struct vfio_iommufd *i, struct iommufd_ioas *ioas,
					   int *err)
{
	uint32_t id;

	for (id = 1; id < i->cap; id++) {
		struct iommufd_hwpt *h = iommufd_find(i, id, IOMMUFD_HWPT);

		if (h && h->automatic && h->ioas == ioas)
			return h;
	}
	return hwpt_new(i, ioas, true, err);
}

int iommufd_attach(struct vfio_iommufd *i, struct iommufd_device *o, uint32_t *pt_id,
		   struct dma_fence *fence)
{
	struct iommufd_obj *pt = iommufd_find(i, *pt_id, 0);
	struct iommufd_hwpt *h, *old = o->hwpt;
	int err = 0;

	if (!pt)
		return -ENOENT;
	if (pt->type == IOMMUFD_HWPT)
		h = (struct iommufd_hwpt *)pt;
	else if (pt->type == IOMMUFD_IOAS)
		h = hwpt_automatic(i, (struct iommufd_ioas *)pt, &err);
	else
		return -EINVAL;
	if (!h)
		return err;
	h->obj.users++;
	err = dirty_log_attach(&h->log, o->dev);
	if (!err)
		err = ioas_port_move(&o->dev->port, h->ioas->as, fence);
	if (err < 0) {
		hwpt_unuse(i, h);
		return err;
	}
	o->hwpt = h;
	*pt_id = h->obj.id;
	if (old)
		hwpt_unuse(i, old);
	return 0;
}

void iommufd_detach(struct vfio_iommufd *i, struct iommufd_device *o, struct dma_fence *fence)
{
	(void)ioas_port_move(&o->dev->port, NULL, fence);
	if (o->hwpt)
		hwpt_unuse(i, take_ptr(o->hwpt));
}

static int64_t alloc_locked(struct vfio_iommufd *i, struct iommu_hwpt_alloc *cmd)
{
	struct iommufd_obj *pt = iommufd_find(i, cmd->pt_id, 0);
	struct iommufd_hwpt *h;
	int err;

	if (!iommufd_find(i, cmd->dev_id, IOMMUFD_DEVICE) || !pt)
		return -ENOENT;
	if (pt->type != IOMMUFD_IOAS)
		return -EINVAL;
	h = hwpt_new(i, (struct iommufd_ioas *)pt, false, &err);
	if (!h)
		return err;
	h->tracks = cmd->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	cmd->out_hwpt_id = h->obj.id;
	return 0;
}

int64_t iommufd_hwpt_alloc(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct iommu_hwpt_alloc, __reserved) + sizeof(uint32_t);
	struct iommu_hwpt_alloc cmd;
	int64_t ret = user_in_sized(call, arg, &cmd, min, sizeof(cmd));

	if (ret < 0)
		return ret;
	/* Nesting, faults: no hardware that could. */
	if ((cmd.flags & ~(uint32_t)IOMMU_HWPT_ALLOC_DIRTY_TRACKING) || cmd.__reserved || cmd.__reserved2)
		return -EOPNOTSUPP;
	if (cmd.data_type == IOMMU_HWPT_DATA_NONE && cmd.data_len)
		return -EINVAL;
	if (cmd.data_type != IOMMU_HWPT_DATA_NONE)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	ret = alloc_locked(i, &cmd);
	host_unlock(i->file.host);
	if (ret < 0)
		return ret;
	ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	if (ret < 0) {
		struct iommufd_hwpt *h;

		vfio_host_lock(i->file.host);
		h = iommufd_find(i, cmd.out_hwpt_id, IOMMUFD_HWPT);
		if (h && !h->automatic && !h->obj.users)
			hwpt_drop(i, h);
		host_unlock(i->file.host);
	}
	return ret;
}

static int clear_user(struct vfio_call *call, uint64_t to, uint32_t len)
{
	static const uint8_t zero[1024];

	while (len) {
		uint32_t n = MIN(len, (uint32_t)sizeof(zero));
		int ret = call->ops->copy_out(call, to, zero, n);

		if (ret < 0)
			return ret;
		to += n;
		len -= n;
	}
	return 0;
}

int64_t iommufd_get_hw_info(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct iommu_hw_info, out_capabilities) + sizeof(uint64_t);
	struct iommu_hw_info cmd;
	bool known;
	int64_t ret = user_in_sized(call, arg, &cmd, min, sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.flags || cmd.__reserved[0] || cmd.__reserved[1] || cmd.__reserved[2])
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	known = iommufd_find(i, cmd.dev_id, IOMMUFD_DEVICE) != NULL;
	host_unlock(i->file.host);
	if (!known)
		return -ENOENT;
	ret = clear_user(call, cmd.data_uptr, cmd.data_len);
	if (ret < 0)
		return ret;
	cmd.data_len = 0;
	cmd.out_data_type = IOMMU_HW_INFO_TYPE_NONE;
	cmd.out_max_pasid_log2 = 0;
	cmd.out_capabilities = IOMMU_HW_CAP_DIRTY_TRACKING;
	return user_out_sized(call, arg, &cmd, sizeof(cmd));
}

static int64_t hwpt_known(struct vfio_iommufd *i, uint32_t id, int64_t then)
{
	bool known;

	vfio_host_lock(i->file.host);
	known = iommufd_find(i, id, IOMMUFD_HWPT) != NULL;
	host_unlock(i->file.host);
	return known ? then : -ENOENT;
}

static int64_t set_dirty_locked(struct vfio_iommufd *i, uint32_t id, bool on)
{
	struct iommufd_hwpt *h = iommufd_find(i, id, IOMMUFD_HWPT);
	int ret = 0;

	if (!h)
		return -ENOENT;
	if (!h->tracks)
		return -EOPNOTSUPP;
	if (!on) {
		dirty_log_stop(&h->log);
		return 0;
	}
	dirty_log_start(&h->log);
	for (id = 1; !ret && id < i->cap; id++) {
		struct iommufd_device *o = iommufd_find(i, id, IOMMUFD_DEVICE);

		if (o && o->hwpt == h)
			ret = dirty_log_attach(&h->log, o->dev);
	}
	if (ret < 0)
		dirty_log_stop(&h->log);
	return ret;
}

int64_t iommufd_hwpt_set_dirty(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_hwpt_set_dirty_tracking cmd;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if ((cmd.flags & ~(uint32_t)IOMMU_HWPT_DIRTY_TRACKING_ENABLE) || cmd.__reserved)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	ret = set_dirty_locked(i, cmd.hwpt_id, cmd.flags);
	host_unlock(i->file.host);
	return ret;
}

struct hwpt_ref {
	struct vfio_iommufd *i;
	uint32_t id;
	struct ioas *as;		/* of the HWPT, referenced; or NULL */
};

static struct dirty_log *hwpt_log(void *arg)
{
	struct hwpt_ref *r = arg;
	struct iommufd_hwpt *h = iommufd_find(r->i, r->id, IOMMUFD_HWPT);

	if (!h || !h->log.on)
		return NULL;
	if (!r->as)
		r->as = ioas_get(h->ioas->as);
	return &h->log;
}

static int64_t hwpt_report(struct vfio_iommufd *i, struct vfio_call *call, uint32_t id,
			   const struct dirty_bitmap *b, bool clear)
{
	struct hwpt_ref r = { i, id, NULL };
	int ret = dirty_log_report(i->file.host, call, b, hwpt_log, &r, clear);

	if (ret > 0)
		ret = dirty_mapped(call, r.as, b);
	if (r.as)
		ioas_put(r.as);
	return ret == -ENOENT ? -EINVAL : ret;	/* off */
}

int64_t iommufd_hwpt_get_dirty(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	const uint32_t no_clear = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
	struct iommu_hwpt_get_dirty_bitmap cmd;
	struct dirty_bitmap b;
	struct iommufd_hwpt *h;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if ((cmd.flags & ~no_clear) || cmd.__reserved)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	h = iommufd_find(i, cmd.hwpt_id, IOMMUFD_HWPT);
	ret = !h ? -ENOENT : h->tracks ? 0 : -EOPNOTSUPP;
	host_unlock(i->file.host);
	if (ret < 0)
		return ret;
	b = (struct dirty_bitmap){ cmd.iova, cmd.length, cmd.page_size, cmd.data };
	if (b.length && b.iova + (b.length - 1) < b.iova)
		return -EOVERFLOW;
	if (!b.page_size || ((b.iova | b.length) & (b.page_size - 1)))
		return -EINVAL;
	ret = dirty_report_check(call, &b);
	return ret < 0 ? ret : hwpt_report(i, call, cmd.hwpt_id, &b, !(cmd.flags & no_clear));
}

/* Only nested ones have anything to invalidate. */
int64_t iommufd_hwpt_invalidate(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_hwpt_invalidate cmd;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	return hwpt_known(i, cmd.hwpt_id, -EINVAL);
}
