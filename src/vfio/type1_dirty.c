/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Dirty pages as type1 reports them. A client may count on what Linux does
 * without hardware that knows, where all that is mapped is dirty: so whatever
 * was mapped when tracking began, or since, is reported once, and afterwards
 * only what was written. With an unmap, all of it is: see unmap_bitmap().
 */
#include "vfio/internal.h"

#define BITMAP_MAX (256u << 20)

/* Could [0, @size) bytes of IOVA be reported in @b? */
int dirty_bitmap_check(const struct vfio_bitmap *b, uint64_t size)
{
	uint64_t pages = size / VFIO_PAGE;

	if (b->pgsize != VFIO_PAGE || !pages || !b->size || b->size > BITMAP_MAX)
		return -EINVAL;
	return b->size < ALIGN_UP(pages, 64) / 8 ? -EINVAL : 0;
}

int dirty_mapped(struct vfio_call *c, struct ioas *as, const struct dirty_bitmap *b)
{
	struct ioas_range *r;
	unsigned int nr, i;
	bool cut;
	int ret = ioas_mapped(as, b->iova, b->iova + (b->length - 1), &r, &nr, &cut);

	for (i = 0; !ret && i < nr; i++)
		ret = dirty_report_range(c, b, r[i].first, r[i].last);
	free(r);
	return ret;
}

/* What was never reported. Queries don't cut mappings, so that one says it all. */
static int fresh_report(struct vfio_call *c, struct ioas *as, const struct dirty_bitmap *b)
{
	uint64_t last = b->iova + (b->length - 1);
	struct ioas_range *r;
	unsigned int nr, i;
	int ret = ioas_fresh(as, b->iova, last, &r, &nr);

	for (i = 0; !ret && i < nr; i++)
		ret = dirty_report_range(c, b, r[i].first, r[i].last);
	for (i = 0; ret < 0 && i < nr; i++)
		ioas_refresh(as, r[i].first, r[i].last);
	free(r);
	return ret;
}

static struct dirty_log *container_log(void *arg)
{
	struct vfio_container *c = arg;

	return c->log.on ? &c->log : NULL;
}

static int64_t bitmap_report(struct vfio_container *c, struct vfio_call *call, struct ioas *as,
			     const struct dirty_bitmap *b)
{
	int ret = fresh_report(call, as, b);

	if (!ret)
		ret = dirty_log_report(c->file.host, call, b, container_log, c, true);
	if (ret > 0)
		ret = dirty_mapped(call, as, b);
	if (ret < 0)
		ioas_refresh(as, b->iova, b->iova + (b->length - 1));
	return ret == -ENOENT ? -EINVAL : ret;	/* stopped meanwhile */
}

static int64_t get_bitmap(struct vfio_container *c, struct ioas *as, struct vfio_call *call,
			  uint64_t arg, uint32_t argsz)
{
	struct vfio_iommu_type1_dirty_bitmap_get g;
	const uint32_t head = sizeof(struct vfio_iommu_type1_dirty_bitmap);
	struct dirty_bitmap b;
	struct ioas_range *r;
	unsigned int nr;
	bool cut;
	int ret;

	if (argsz < head + sizeof(g))
		return -EINVAL;
	ret = call->ops->copy_in(call, &g, arg + head, sizeof(g));
	if (ret < 0)
		return ret;
	if (g.iova + g.size < g.iova || !IS_ALIGNED(g.iova | g.size, VFIO_PAGE) || !g.size)
		return -EINVAL;
	ret = dirty_bitmap_check(&g.bitmap, g.size);
	if (!ret)
		ret = ioas_mapped(as, g.iova, g.iova + (g.size - 1), &r, &nr, &cut);
	if (ret < 0)
		return ret;
	free(r);
	if (cut)
		return -EINVAL;
	b = (struct dirty_bitmap){ g.iova, g.size, VFIO_PAGE, (uintptr_t)g.bitmap.data };
	ret = dirty_report_check(call, &b);
	return ret < 0 ? ret : bitmap_report(c, call, as, &b);
}

/* Host lock. */
static int start(struct vfio_container *c)
{
	struct vfio_group *g;
	struct vfio_device *d;
	int ret = 0;

	if (c->log.on)
		return 0;
	dirty_log_start(&c->log);
	ioas_track(c->as, true);
	list_for_each(g, &c->groups, container_link)
		list_for_each(d, &g->devices, group_link)
			if (!ret && d->port.as == c->as)
				ret = dirty_log_attach(&c->log, d);
	if (ret < 0)
		dirty_log_stop(&c->log);
	return ret;
}

int64_t type1_dirty_pages(struct vfio_container *c, struct vfio_call *call, uint64_t arg)
{
	const uint32_t known = VFIO_IOMMU_DIRTY_PAGES_FLAG_START |
			       VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP |
			       VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	struct vfio_iommu_type1_dirty_bitmap d;
	struct ioas *as = NULL;
	int64_t ret = user_in(call, arg, &d, sizeof(d));

	if (ret < 0)
		return ret;
	if ((d.flags & ~known) || !d.flags || (d.flags & (d.flags - 1)))
		return -EINVAL;
	vfio_host_lock(c->file.host);
	if (!c->as)
		ret = -EINVAL;
	else if (d.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		ret = start(c);
	else if (d.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		dirty_log_stop(&c->log);
	else if (!c->log.on)
		ret = -EINVAL;
	else
		as = ioas_get(c->as);
	host_unlock(c->file.host);
	if (as) {
		ret = get_bitmap(c, as, call, arg, d.argsz);
		ioas_put(as);
	}
	return ret;
}
