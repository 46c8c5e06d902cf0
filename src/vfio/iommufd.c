/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * iommufd: /dev/iommu. A table of objects with ids from 1, the lowest free one
 * first; the commands are in iommufd_ioas.c and hwpt.c.
 */
#include "vfio/internal.h"

int iommufd_add(struct vfio_iommufd *i, struct iommufd_obj *o, enum iommufd_type type)
{
	uint32_t id = 1;

	while (id < i->cap && i->obj[id])
		id++;
	if (id > IOMMUFD_OBJS_MAX)
		return -ENOSPC;
	if (id >= i->cap) {
		unsigned int cap = i->cap ? i->cap * 2 : 16;
		struct iommufd_obj **t = realloc(i->obj, cap * sizeof(struct iommufd_obj *));

		if (!t)
			return -ENOMEM;
		memset(t + i->cap, 0, (cap - i->cap) * sizeof(struct iommufd_obj *));
		i->obj = t;
		i->cap = cap;
	}
	o->type = type;
	o->id = id;
	i->obj[id] = o;
	i->nr_objs++;
	return 0;
}

void iommufd_remove(struct vfio_iommufd *i, struct iommufd_obj *o)
{
	i->obj[o->id] = NULL;
	i->nr_objs--;
	if (i->vfio_ioas == o->id)
		i->vfio_ioas = 0;
}

void *iommufd_find(struct vfio_iommufd *i, uint32_t id, enum iommufd_type type)
{
	struct iommufd_obj *o = id < i->cap ? i->obj[id] : NULL;

	return o && (!type || o->type == type) ? o : NULL;
}

static struct vfio_iommufd *to_iommufd(struct vfio_file *f)
{
	return container_of(f, struct vfio_iommufd, file);
}

void iommufd_get(struct vfio_iommufd *i)
{
	i->refs++;
}

/* Nothing is bound any more: HWPTs go before the IOASes that they use. */
void iommufd_put(struct vfio_iommufd *i)
{
	uint32_t id;

	if (--i->refs)
		return;
	for (id = 1; id < i->cap; id++)
		if (i->obj[id] && i->obj[id]->type == IOMMUFD_HWPT)
			hwpt_drop(i, (struct iommufd_hwpt *)i->obj[id]);
	for (id = 1; id < i->cap; id++)
		if (i->obj[id])
			iommufd_ioas_free((struct iommufd_ioas *)i->obj[id]);
	free(i->obj);
	free(i);
}

static int64_t destroy(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_destroy cmd;
	struct iommufd_obj *o;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	vfio_host_lock(i->file.host);
	o = iommufd_find(i, cmd.id, 0);
	if (!o) {
		ret = -ENOENT;
	} else if (o->users) {
		ret = -EBUSY;
	} else if (o->type == IOMMUFD_HWPT) {
		hwpt_drop(i, (struct iommufd_hwpt *)o);
	} else {
		iommufd_remove(i, o);
		iommufd_ioas_free((struct iommufd_ioas *)o);
	}
	host_unlock(i->file.host);
	return ret;
}

/* Nested translation, fault and event queues: known, checked for size, not had. */
static int64_t unsupported(struct vfio_call *call, uint64_t arg, uint32_t min)
{
	uint8_t buf[64];
	int ret = user_in_sized(call, arg, buf, min, min);

	return ret < 0 ? ret : -EOPNOTSUPP;
}

static int64_t iommufd_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			     uint64_t arg)
{
	struct vfio_iommufd *i = to_iommufd(f);

	switch (cmd) {
	case IOMMU_DESTROY:
		return destroy(i, call, arg);
	case IOMMU_IOAS_ALLOC:
		return iommufd_ioas_alloc(i, call, arg);
	case IOMMU_IOAS_ALLOW_IOVAS:
		return iommufd_ioas_allow_iovas(i, call, arg);
	case IOMMU_IOAS_COPY:
		return iommufd_ioas_copy(i, call, arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return iommufd_ioas_iova_ranges(i, call, arg);
	case IOMMU_IOAS_MAP:
		return iommufd_ioas_map(i, call, arg);
	case IOMMU_IOAS_UNMAP:
		return iommufd_ioas_unmap(i, call, arg);
	case IOMMU_OPTION:
		return iommufd_option(i, call, arg);
	case IOMMU_VFIO_IOAS:
		return iommufd_vfio_ioas(i, call, arg);
	case IOMMU_HWPT_ALLOC:
		return iommufd_hwpt_alloc(i, call, arg);
	case IOMMU_GET_HW_INFO:
		return iommufd_get_hw_info(i, call, arg);
	case IOMMU_HWPT_SET_DIRTY_TRACKING:
		return iommufd_hwpt_set_dirty(i, call, arg);
	case IOMMU_HWPT_GET_DIRTY_BITMAP:
		return iommufd_hwpt_get_dirty(i, call, arg);
	case IOMMU_HWPT_INVALIDATE:
		return iommufd_hwpt_invalidate(i, call, arg);
	case IOMMU_IOAS_MAP_FILE:
		return iommufd_ioas_map_file(i, call, arg);
	case IOMMU_IOAS_CHANGE_PROCESS:
		return iommufd_ioas_change_process(i, call, arg);
	case IOMMU_FAULT_QUEUE_ALLOC:
		return unsupported(call, arg, 16);
	case IOMMU_VIOMMU_ALLOC:
	case IOMMU_HW_QUEUE_ALLOC:
		return unsupported(call, arg, 40);
	case IOMMU_VDEVICE_ALLOC:
		return unsupported(call, arg, 24);
	case IOMMU_VEVENTQ_ALLOC:
		return unsupported(call, arg, 32);
	default:
		return -ENOTTY;
	}
}

static void iommufd_close(struct vfio_file *f, void (*done)(void *arg), void *arg)
{
	struct vfio_host *h = f->host;

	vfio_host_lock(h);
	iommufd_put(to_iommufd(f));
	host_unlock(h);
	if (done)
		done(arg);
}

static const struct vfio_file_ops iommufd_ops = {
	.type = VFIO_FILE_IOMMUFD,
	.ioctl = iommufd_ioctl,
	.close = iommufd_close,
};

struct vfio_iommufd *iommufd_of_file(struct vfio_file *f)
{
	return f->ops == &iommufd_ops ? to_iommufd(f) : NULL;
}

int vfio_open_iommufd(struct vfio_host *h, struct vfio_file **f)
{
	struct vfio_iommufd *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	host_file_init(h, &i->file, &iommufd_ops, "/dev/iommu");
	i->refs = 1;
	*f = &i->file;
	return 0;
}
