/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Containers: /dev/vfio/vfio, with the type1 IOMMU in both versions. A
 * container has an IOAS while it has a type; it loses both with its last group.
 */
#include "vfio/internal.h"

static struct vfio_container *to_container(struct vfio_file *f)
{
	return container_of(f, struct vfio_container, file);
}

static void container_put(struct vfio_container *c)
{
	if (--c->refs)
		return;
	if (c->as)
		ioas_put(c->as);
	dirty_log_release(&c->log);
	free(c);
}

static void container_untype(struct vfio_container *c)
{
	if (c->as)
		ioas_put(take_ptr(c->as));
	c->type = 0;
	dirty_log_stop(&c->log);
}

/* Host lock. */
int container_attach(struct vfio_container *c, struct vfio_group *g)
{
	g->container = c;
	c->refs++;
	list_add_tail(&c->groups, &g->container_link);
	return 0;
}

/* Host lock. None of the group's devices is open. */
void container_detach(struct vfio_group *g)
{
	struct vfio_container *c = take_ptr(g->container);

	if (!c)
		return;
	list_del(&g->container_link);
	if (list_empty(&c->groups))
		container_untype(c);
	container_put(c);
}

static int64_t check_extension(uint64_t ext)
{
	switch (ext) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_DMA_CC_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	default:
		return 0;
	}
}

static int64_t set_iommu(struct vfio_container *c, uint64_t type)
{
	struct vfio_host *h = c->file.host;
	int64_t ret = 0;

	vfio_host_lock(h);
	if (list_empty(&c->groups) || c->type)
		ret = -EINVAL;
	else if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		ret = -ENODEV;
	else if (!(c->as = ioas_alloc()))
		ret = -ENOMEM;
	else
		c->type = (unsigned int)type;
	host_unlock(h);
	return ret;
}

static int64_t get_info(struct ioas *as, struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct vfio_iommu_type1_info, cap_offset);
	struct vfio_iommu_type1_info_cap_iova_range *r;
	struct vfio_iommu_type1_info_cap_migration *m;
	struct vfio_iommu_type1_info_dma_avail *a;
	struct vfio_iommu_type1_info info = { 0 };
	struct user_chain ch = { .len = 0 };
	unsigned int i, n = ARRAY_SIZE(ioas_usable);
	int ret = user_in(call, arg, &info, min);

	if (ret < 0)
		return ret;
	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = VFIO_PAGE_SIZES;
	m = user_chain_add(&ch, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, sizeof(*m));
	m->pgsize_bitmap = VFIO_PAGE;
	m->max_dirty_bitmap_size = 256u << 20;
	a = user_chain_add(&ch, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, sizeof(*a));
	a->avail = ioas_avail(as);
	r = user_chain_add(&ch, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
			   (uint32_t)(sizeof(*r) + n * sizeof(r->iova_ranges[0])));
	r->nr_iovas = n;
	for (i = 0; i < n; i++) {
		r->iova_ranges[i].start = ioas_usable[i].first;
		r->iova_ranges[i].end = ioas_usable[i].last;
	}
	return user_chain_out(call, arg, &info, sizeof(info), &info.cap_offset, &ch);
}

static int map_check(const struct vfio_iommu_type1_dma_map *m)
{
	const uint32_t known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

	/* Without VFIO_UPDATE_VADDR, VADDR is an unknown flag. */
	if ((m->flags & ~known) || !(m->flags & known) || !m->size)
		return -EINVAL;
	if (m->iova + (m->size - 1) < m->iova || m->vaddr + (m->size - 1) < m->vaddr)
		return -EOVERFLOW;
	return IS_ALIGNED(m->iova | m->vaddr | m->size, VFIO_PAGE) ? 0 : -EINVAL;
}

static int64_t map_dma(struct ioas *as, struct vfio_call *call, uint64_t arg)
{
	struct vfio_iommu_type1_dma_map m;
	struct ioas_map map = { 0 };
	bool is_bar = false;
	int ret = user_in(call, arg, &m, sizeof(m));

	if (!ret)
		ret = map_check(&m);
	if (!ret)
		ret = ioas_map_check(as, m.iova, m.iova + (m.size - 1));
	if (!ret)
		ret = call->ops->mem(call, m.vaddr, m.size, m.flags & VFIO_DMA_MAP_FLAG_WRITE,
				     &map.mem, &is_bar);
	if (ret < 0)
		return ret;
	if (is_bar && map.mem) {
		/* Registers are no memory: the map stands, an access through it faults. */
		ferry_mem_put(take_ptr(map.mem));
	}
	map.iova = m.iova;
	map.last = m.iova + (m.size - 1);
	map.perm = (m.flags & VFIO_DMA_MAP_FLAG_READ ? DMA_READ : 0) |
		   (m.flags & VFIO_DMA_MAP_FLAG_WRITE ? DMA_WRITE : 0);
	ret = ioas_map(as, &map, 1);
	if (ret < 0 && map.mem)
		ferry_mem_put(map.mem);
	return ret;
}

static int unmap_check(const struct vfio_iommu_type1_dma_unmap *u)
{
	const uint32_t known = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL;

	if ((u->flags & ~known) || (u->flags & known) == known)
		return -EINVAL;
	if (u->flags & VFIO_DMA_UNMAP_FLAG_ALL)
		return u->iova || u->size ? -EINVAL : 0;
	if (!u->size)
		return -EINVAL;
	if (u->iova + (u->size - 1) < u->iova)
		return -EOVERFLOW;
	return IS_ALIGNED(u->iova | u->size, VFIO_PAGE) ? 0 : -EINVAL;
}

static int unmap_bitmap(struct ioas *as, bool dirty, struct vfio_call *call, uint64_t arg,
			const struct vfio_iommu_type1_dma_unmap *u)
{
	struct vfio_bitmap b;
	struct dirty_bitmap map = { u->iova, u->size, VFIO_PAGE, 0 };
	int ret;

	if (u->argsz < sizeof(*u) + sizeof(b))
		return -EINVAL;
	ret = call->ops->copy_in(call, &b, arg + sizeof(*u), sizeof(b));
	if (!ret)
		ret = dirty ? dirty_bitmap_check(&b, u->size) : -EINVAL;
	if (ret < 0)
		return ret;
	/* What is in flight is written until the unmap is over, and nobody could ask for it then. */
	map.data = (uintptr_t)b.data;
	return dirty_mapped(call, as, &map);
}

static bool unmap_would_cut(struct ioas *as, uint64_t first, uint64_t last)
{
	struct ioas_range *r;
	unsigned int nr;
	bool cut = true;

	if (!ioas_mapped(as, first, last, &r, &nr, &cut))
		free(r);
	return cut;
}

static int64_t unmap_dma(struct ioas *as, bool v2, bool dirty, struct vfio_call *call,
			 uint64_t arg)
{
	struct vfio_iommu_type1_dma_unmap u;
	uint64_t last, removed;
	struct ioas_op *op;
	int ret = user_in(call, arg, &u, sizeof(u));

	if (!ret)
		ret = unmap_check(&u);
	if (ret < 0)
		return ret;
	last = u.flags & VFIO_DMA_UNMAP_FLAG_ALL ? UINT64_MAX : u.iova + (u.size - 1);
	if (u.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		if (v2 && unmap_would_cut(as, u.iova, last))
			return -EINVAL;
		ret = unmap_bitmap(as, dirty, call, arg, &u);
		if (ret < 0)
			return ret;
	}
	op = ioas_op_alloc(call);
	if (!op)
		return -ENOMEM;
	ret = ioas_unmap(as, u.iova, last, v2 ? IOAS_WHOLE : IOAS_HEAD, &removed, op);
	if (!ret) {
		u.size = removed;
		ret = call->ops->copy_out(call, arg, &u, sizeof(u));
	}
	return ioas_op_end(op, ret);
}

static int64_t type1_ioctl(struct vfio_container *c, struct ioas *as, unsigned int type, bool dirty,
			   struct vfio_call *call, unsigned int cmd, uint64_t arg)
{
	switch (cmd) {
	case VFIO_IOMMU_GET_INFO:
		return get_info(as, call, arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(as, call, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(as, type == VFIO_TYPE1v2_IOMMU, dirty, call, arg);
	case VFIO_IOMMU_DIRTY_PAGES:
		return type == VFIO_TYPE1v2_IOMMU ? type1_dirty_pages(c, call, arg) : -EACCES;
	default:
		return -ENOTTY;
	}
}

static int64_t container_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			       uint64_t arg)
{
	struct vfio_container *c = to_container(f);
	struct ioas *as;
	unsigned int type;
	int64_t ret;
	bool dirty;

	switch (cmd) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return check_extension(arg);
	case VFIO_SET_IOMMU:
		return set_iommu(c, arg);
	}
	vfio_host_lock(f->host);
	as = c->as ? ioas_get(c->as) : NULL;
	type = c->type;
	dirty = c->log.on;
	host_unlock(f->host);
	if (!as)
		return -EINVAL;
	ret = type1_ioctl(c, as, type, dirty, call, cmd, arg);
	ioas_put(as);
	return ret;
}

static void container_close(struct vfio_file *f, void (*done)(void *arg), void *arg)
{
	struct vfio_host *h = f->host;

	vfio_host_lock(h);
	container_put(to_container(f));
	host_unlock(h);
	if (done)
		done(arg);
}

static const struct vfio_file_ops container_ops = {
	.type = VFIO_FILE_CONTAINER,
	.ioctl = container_ioctl,
	.close = container_close,
};

int vfio_open_container(struct vfio_host *h, struct vfio_file **f)
{
	struct vfio_container *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	host_file_init(h, &c->file, &container_ops, "/dev/vfio/vfio");
	c->refs = 1;
	list_init(&c->groups);
	dirty_log_init(&c->log);
	*f = &c->file;
	return 0;
}
