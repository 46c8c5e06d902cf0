/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Dirty pages as type1 reports them without hardware that knows: all that is
 * mapped. The bitmap is the client's, one bit a page, and may be large: it is
 * done in pieces, and only where something is mapped.
 */
#include "vfio/internal.h"

#define BITMAP_MAX (256u << 20)
#define PIECE 4096u			/* bytes of bitmap */

/* Could [0, @size) bytes of IOVA be reported in @b? */
int dirty_bitmap_check(const struct vfio_bitmap *b, uint64_t size)
{
	uint64_t pages = size / VFIO_PAGE;

	if (b->pgsize != VFIO_PAGE || !pages || !b->size || b->size > BITMAP_MAX)
		return -EINVAL;
	return b->size < ALIGN_UP(pages, 64) / 8 ? -EINVAL : 0;
}

static void set_bits(uint8_t *buf, uint64_t first, uint64_t last)
{
	uint64_t i = first;

	while (i <= last && i % 8) {
		buf[i / 8] |= (uint8_t)(1u << (i % 8));
		i++;
	}
	if (i + 7 <= last) {
		uint64_t n = (last + 1 - i) / 8;

		memset(buf + i / 8, 0xff, n);
		i += n * 8;
	}
	for (; i <= last; i++)
		buf[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* Bits [@first, @last] of the bitmap at @data. */
static int or_bits(struct vfio_call *c, uint64_t data, uint64_t first, uint64_t last)
{
	uint8_t buf[PIECE];

	while (first <= last) {
		uint64_t base = ALIGN_DOWN(first, 8);
		uint64_t end = MIN(last, base + PIECE * 8 - 1);
		size_t bytes = (size_t)((end - base) / 8 + 1);
		int ret = c->ops->copy_in(c, buf, data + base / 8, bytes);

		if (ret < 0)
			return ret;
		set_bits(buf, first - base, end - base);
		ret = c->ops->copy_out(c, data + base / 8, buf, bytes);
		if (ret < 0)
			return ret;
		first = end + 1;
	}
	return 0;
}

int dirty_bitmap_or(struct vfio_call *c, struct ioas *as, uint64_t first, uint64_t last,
		    uint64_t data)
{
	struct ioas_range *r;
	unsigned int nr, i;
	bool cut;
	int ret = ioas_mapped(as, first, last, &r, &nr, &cut);

	for (i = 0; !ret && i < nr; i++)
		ret = or_bits(c, data, (r[i].first - first) / VFIO_PAGE,
			      (r[i].last - first) / VFIO_PAGE);
	free(r);
	return ret;
}

static int64_t get_bitmap(struct ioas *as, struct vfio_call *call, uint64_t arg, uint32_t argsz)
{
	struct vfio_iommu_type1_dirty_bitmap_get g;
	const uint32_t head = sizeof(struct vfio_iommu_type1_dirty_bitmap);
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
	return dirty_bitmap_or(call, as, g.iova, g.iova + (g.size - 1), (uintptr_t)g.bitmap.data);
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
		c->dirty = true;
	else if (d.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		c->dirty = false;
	else if (!c->dirty)
		ret = -EINVAL;
	else
		as = ioas_get(c->as);
	host_unlock(c->file.host);
	if (as) {
		ret = get_bitmap(as, call, arg, d.argsz);
		ioas_put(as);
	}
	return ret;
}
