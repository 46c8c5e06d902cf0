/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* iommufd's commands on an I/O address space. */
#include "vfio/internal.h"

#define MAP_FLAGS (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)
#define ALLOW_MAX 4096u

void iommufd_ioas_free(struct iommufd_ioas *o)
{
	ioas_put(o->as);
	free(o);
}

/* With a reference, so that the host lock need not be held while it is used. */
static struct ioas *as_of(struct vfio_iommufd *i, uint32_t id)
{
	struct iommufd_ioas *o;
	struct ioas *as = NULL;

	vfio_host_lock(i->file.host);
	o = iommufd_find(i, id, IOMMUFD_IOAS);
	if (o)
		as = ioas_get(o->as);
	host_unlock(i->file.host);
	return as;
}

int64_t iommufd_ioas_alloc(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_alloc cmd;
	struct iommufd_ioas *o;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.flags)
		return -EOPNOTSUPP;
	o = calloc(1, sizeof(*o));
	if (o)
		o->as = ioas_alloc();
	if (!o || !o->as) {
		free(o);
		return -ENOMEM;
	}
	vfio_host_lock(i->file.host);
	ret = iommufd_add(i, &o->obj, IOMMUFD_IOAS);
	cmd.out_ioas_id = o->obj.id;
	host_unlock(i->file.host);
	if (ret < 0) {
		iommufd_ioas_free(o);
		return ret;
	}
	ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	if (ret < 0) {
		vfio_host_lock(i->file.host);
		/* Whoever guessed the id may have used or destroyed it meanwhile. */
		if (iommufd_find(i, cmd.out_ioas_id, IOMMUFD_IOAS) == o && !o->obj.users) {
			iommufd_remove(i, &o->obj);
			iommufd_ioas_free(o);
		}
		host_unlock(i->file.host);
	}
	return ret;
}

int64_t iommufd_ioas_iova_ranges(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	const uint32_t n = ARRAY_SIZE(ioas_usable);
	struct iommu_ioas_iova_ranges cmd;
	struct ioas *as;
	uint32_t room, k;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	as = as_of(i, cmd.ioas_id);
	if (!as)
		return -ENOENT;
	ioas_put(as);
	room = MIN(cmd.num_iovas, n);
	for (k = 0; k < room; k++) {
		struct iommu_iova_range r = { ioas_usable[k].first, ioas_usable[k].last };

		ret = call->ops->copy_out(call, cmd.allowed_iovas + k * sizeof(r), &r, sizeof(r));
		if (ret < 0)
			return ret;
	}
	cmd.num_iovas = n;
	cmd.out_iova_alignment = VFIO_PAGE;
	ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	return ret < 0 ? ret : room < n ? -EMSGSIZE : 0;
}

static int range_compare(const void *a, const void *b)
{
	const struct iommu_iova_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int allow_check(struct iommu_iova_range *r, uint32_t n)
{
	uint32_t k;

	qsort(r, n, sizeof(*r), range_compare);
	for (k = 0; k < n; k++) {
		if (r[k].start >= r[k].last || (k && r[k].start <= r[k - 1].last))
			return -EINVAL;
		if (!ioas_range_usable(r[k].start, r[k].last))
			return -EADDRINUSE;
	}
	return 0;
}

int64_t iommufd_ioas_allow_iovas(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_allow_iovas cmd;
	struct iommu_iova_range *r = NULL;
	struct ioas *as;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	if (cmd.num_iovas > ALLOW_MAX)
		return -ENOMEM;
	as = as_of(i, cmd.ioas_id);
	if (!as)
		return -ENOENT;
	if (cmd.num_iovas) {
		size_t len = cmd.num_iovas * sizeof(*r);

		r = malloc(len);
		ret = r ? call->ops->copy_in(call, r, cmd.allowed_iovas, len) : -ENOMEM;
		if (!ret)
			ret = allow_check(r, cmd.num_iovas);
	}
	if (!ret)
		ret = ioas_allow(as, take_ptr(r), cmd.num_iovas);
	free(r);
	ioas_put(as);
	return ret;
}

static unsigned int perm_of(uint32_t flags)
{
	return (flags & IOMMU_IOAS_MAP_READABLE ? DMA_READ : 0) |
	       (flags & IOMMU_IOAS_MAP_WRITEABLE ? DMA_WRITE : 0);
}

/* What IOAS_MAP, IOAS_MAP_FILE and IOAS_COPY have in common. */
static int map_args(uint32_t flags, uint64_t iova, uint64_t len)
{
	if (flags & ~(uint32_t)MAP_FLAGS)
		return -EOPNOTSUPP;
	if (iova == UINT64_MAX || len == UINT64_MAX)
		return -EOVERFLOW;
	if (!perm_of(flags) || !len)
		return -EINVAL;
	if ((flags & IOMMU_IOAS_MAP_FIXED_IOVA) && iova + (len - 1) < iova)
		return -EOVERFLOW;
	if ((flags & IOMMU_IOAS_MAP_FIXED_IOVA) && !IS_ALIGNED(iova, VFIO_PAGE))
		return -EINVAL;
	return IS_ALIGNED(len, VFIO_PAGE) ? 0 : -EINVAL;
}

/* Takes over @m->mem. */
static int map_memory(struct ioas *as, uint32_t flags, uint64_t len, struct ioas_map *m)
{
	int ret;

	m->last = m->iova + (len - 1);
	m->perm = perm_of(flags);
	ret = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? ioas_map(as, m, 1) : ioas_map_anywhere(as, m, 1);
	if (ret < 0)
		ferry_mem_put(m->mem);
	return ret;
}

int64_t iommufd_ioas_map(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_map cmd;
	struct ioas_map m = { 0 };
	struct ioas *as;
	bool is_bar = false;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	ret = map_args(cmd.flags, cmd.iova, cmd.length);
	if (!ret && cmd.user_va + (cmd.length - 1) < cmd.user_va)
		ret = -EOVERFLOW;
	if (!ret && !IS_ALIGNED(cmd.user_va, VFIO_PAGE))
		ret = -EINVAL;
	if (ret < 0)
		return ret;
	as = as_of(i, cmd.ioas_id);
	if (!as)
		return -ENOENT;
	m.iova = cmd.iova;
	if (cmd.flags & IOMMU_IOAS_MAP_FIXED_IOVA)
		ret = ioas_map_check(as, cmd.iova, cmd.iova + (cmd.length - 1));
	if (!ret)
		ret = call->ops->mem(call, cmd.user_va, cmd.length,
				     cmd.flags & IOMMU_IOAS_MAP_WRITEABLE, &m.mem, &is_bar);
	if (!ret && is_bar) {
		if (m.mem)
			ferry_mem_put(m.mem);
		ret = -EFAULT;
	}
	if (!ret)
		ret = map_memory(as, cmd.flags, cmd.length, &m);
	if (!ret) {
		cmd.iova = m.iova;
		ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	}
	ioas_put(as);
	return ret;
}

int64_t iommufd_ioas_map_file(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_map_file cmd;
	struct ioas_map m = { .from_file = true };
	struct ioas *as;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	ret = map_args(cmd.flags, cmd.iova, cmd.length);
	if (!ret && cmd.start + (cmd.length - 1) < cmd.start)
		ret = -EOVERFLOW;
	if (!ret && !IS_ALIGNED(cmd.start, VFIO_PAGE))
		ret = -EINVAL;
	if (ret < 0)
		return ret;
	as = as_of(i, cmd.ioas_id);
	if (!as)
		return -ENOENT;
	m.iova = cmd.iova;
	if (cmd.flags & IOMMU_IOAS_MAP_FIXED_IOVA)
		ret = ioas_map_check(as, cmd.iova, cmd.iova + (cmd.length - 1));
	if (!ret)
		ret = cmd.fd < 0 ? -EBADF
				 : call->ops->mem_file(call, cmd.fd, cmd.start, cmd.length,
						       cmd.flags & IOMMU_IOAS_MAP_WRITEABLE,
						       &m.mem);
	if (!ret)
		ret = map_memory(as, cmd.flags, cmd.length, &m);
	if (!ret) {
		cmd.iova = m.iova;
		ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	}
	ioas_put(as);
	return ret;
}

static void slice_put(struct ioas_map *m, unsigned int nr)
{
	unsigned int k;

	for (k = 0; k < nr; k++)
		if (m[k].mem)
			ferry_mem_put(m[k].mem);
	free(m);
}

/* What lies behind the source range, once more in @dst. The pieces stay pieces. */
static int copy_range(struct ioas *dst, struct ioas *src, struct iommu_ioas_copy *cmd)
{
	struct ioas_map *m;
	unsigned int nr, k;
	int ret = ioas_slice(src, cmd->src_iova, cmd->src_iova + (cmd->length - 1),
			     perm_of(cmd->flags) & DMA_WRITE, &m, &nr);

	if (ret < 0)
		return ret;
	for (k = 0; k < nr; k++) {
		m[k].iova += cmd->dst_iova - cmd->src_iova;
		m[k].last += cmd->dst_iova - cmd->src_iova;
		m[k].perm = perm_of(cmd->flags);
	}
	ret = cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA ? ioas_map(dst, m, nr)
						     : ioas_map_anywhere(dst, m, nr);
	cmd->dst_iova = m[0].iova;
	slice_put(m, ret < 0 ? nr : 0);
	return ret;
}

int64_t iommufd_ioas_copy(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_copy cmd;
	struct ioas *src, *dst;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	ret = map_args(cmd.flags, cmd.dst_iova, cmd.length);
	if (!ret && cmd.src_iova + (cmd.length - 1) < cmd.src_iova)
		ret = -EOVERFLOW;
	if (!ret && !IS_ALIGNED(cmd.src_iova, VFIO_PAGE))
		ret = -EINVAL;
	if (ret < 0)
		return ret;
	src = as_of(i, cmd.src_ioas_id);
	dst = as_of(i, cmd.dst_ioas_id);
	ret = src && dst ? copy_range(dst, src, &cmd) : -ENOENT;
	if (!ret)
		ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	if (src)
		ioas_put(src);
	if (dst)
		ioas_put(dst);
	return ret;
}

int64_t iommufd_ioas_unmap(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_unmap cmd;
	uint64_t last, removed;
	struct ioas_op *op;
	struct ioas *as;
	bool all;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	all = !cmd.iova && cmd.length == UINT64_MAX;
	last = all ? UINT64_MAX : cmd.iova + (cmd.length - 1);
	as = as_of(i, cmd.ioas_id);
	if (!as)
		return -ENOENT;
	if (!all && (cmd.iova == UINT64_MAX || cmd.length == UINT64_MAX))
		ret = -EOVERFLOW;
	else if (!cmd.length)
		ret = -EINVAL;
	else if (last < cmd.iova)
		ret = -EOVERFLOW;
	op = ret < 0 ? NULL : ioas_op_alloc(call);
	if (!op) {
		ioas_put(as);
		return ret < 0 ? ret : -ENOMEM;
	}
	ret = ioas_unmap(as, cmd.iova, last, IOAS_WHOLE, &removed, op);
	if (ret == -EINVAL || (!ret && !removed && !all))
		ret = -ENOENT;
	if (!ret) {
		cmd.length = removed;
		ret = user_out_sized(call, arg, &cmd, sizeof(cmd));
	}
	ioas_put(as);
	return ioas_op_end(op, ret);
}

/* Memory given by address belongs to the process that gave it; files can change hands. */
int64_t iommufd_ioas_change_process(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_ioas_change_process cmd;
	uint32_t id;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	for (id = 1; !ret && id < i->cap; id++) {
		struct iommufd_ioas *o = iommufd_find(i, id, IOMMUFD_IOAS);

		if (o && !ioas_all_files(o->as))
			ret = -EINVAL;
	}
	host_unlock(i->file.host);
	return ret;
}

/* Nothing is pinned or accounted, and the size of pages makes no difference: the answers are the defaults. */
static int64_t option_do(struct vfio_iommufd *i, struct iommu_option *cmd)
{
	bool set = cmd->op == IOMMU_OPTION_OP_SET;

	if (cmd->op != IOMMU_OPTION_OP_SET && cmd->op != IOMMU_OPTION_OP_GET)
		return -EOPNOTSUPP;
	switch (cmd->option_id) {
	case IOMMU_OPTION_RLIMIT_MODE:
		if (cmd->object_id)
			return -EOPNOTSUPP;
		if (set)
			return -EPERM;
		cmd->val64 = 0;
		return 0;
	case IOMMU_OPTION_HUGE_PAGES:
		if (!iommufd_find(i, cmd->object_id, IOMMUFD_IOAS))
			return -ENOENT;
		if (set)
			return cmd->val64 > 1 ? -EINVAL : 0;
		cmd->val64 = 1;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

int64_t iommufd_option(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_option cmd;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	ret = option_do(i, &cmd);
	host_unlock(i->file.host);
	return ret < 0 ? ret : user_out_sized(call, arg, &cmd, sizeof(cmd));
}

int64_t iommufd_vfio_ioas(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg)
{
	struct iommu_vfio_ioas cmd;
	int64_t ret = user_in_sized(call, arg, &cmd, sizeof(cmd), sizeof(cmd));

	if (ret < 0)
		return ret;
	if (cmd.__reserved)
		return -EOPNOTSUPP;
	vfio_host_lock(i->file.host);
	switch (cmd.op) {
	case IOMMU_VFIO_IOAS_GET:
		cmd.ioas_id = i->vfio_ioas;
		ret = i->vfio_ioas ? 0 : -ENODEV;
		break;
	case IOMMU_VFIO_IOAS_SET:
		ret = iommufd_find(i, cmd.ioas_id, IOMMUFD_IOAS) ? 0 : -ENOENT;
		if (!ret)
			i->vfio_ioas = cmd.ioas_id;
		break;
	case IOMMU_VFIO_IOAS_CLEAR:
		i->vfio_ioas = 0;
		break;
	default:
		ret = -EOPNOTSUPP;
	}
	host_unlock(i->file.host);
	if (ret < 0 || cmd.op != IOMMU_VFIO_IOAS_GET)
		return ret;
	return user_out_sized(call, arg, &cmd, sizeof(cmd));
}
