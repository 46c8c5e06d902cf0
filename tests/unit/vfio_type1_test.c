/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* type1: what the two versions unmap, the overflow edges, information, dirty pages. */
#include "vfio_client.h"

static struct world w;

/* Three mappings of 4 pages at 0x10000, 0x14000 and 0x20000. */
static void three(struct opened *o, unsigned int type)
{
	CHECK_EQ(open_group_path(&w, 0, type, o), 0);
	CHECK_EQ(map_type1(&w, o->as, 0x10000, w.cl.ram, 0x4000), 0);
	CHECK_EQ(map_type1(&w, o->as, 0x14000, w.cl.ram, 0x4000), 0);
	CHECK_EQ(map_type1(&w, o->as, 0x20000, w.cl.ram, 0x4000), 0);
}

static const struct {
	uint64_t iova, size;
	int ret[2];			/* v1, v2 */
	uint64_t removed[2];
} unmaps[] = {
	{ 0x10000, 0x4000, { 0, 0 }, { 0x4000, 0x4000 } },
	{ 0x10000, 0x8000, { 0, 0 }, { 0x8000, 0x8000 } },
	{ 0x10000, 0x20000, { 0, 0 }, { 0xc000, 0xc000 } },
	{ 0, 0x100000, { 0, 0 }, { 0xc000, 0xc000 } },
	{ 0x18000, 0x8000, { 0, 0 }, { 0, 0 } },
	{ 0x11000, 0x1000, { 0, -EINVAL }, { 0, 0 } },
	{ 0x11000, 0x7000, { 0, -EINVAL }, { 0, 0 } },
	{ 0x10000, 0x1000, { 0, -EINVAL }, { 0x4000, 0 } },
	{ 0x10000, 0x5000, { 0, -EINVAL }, { 0x8000, 0 } },
	{ 0xf000, 0x2000, { 0, -EINVAL }, { 0x4000, 0 } },
	{ 0x10000, 0, { -EINVAL, -EINVAL }, { 0, 0 } },
	{ 0x10000, 0x4001, { -EINVAL, -EINVAL }, { 0, 0 } },
	{ 0x10001, 0x4000, { -EINVAL, -EINVAL }, { 0, 0 } },
	{ UINT64_MAX & ~0xfffull, 0x2000, { -EOVERFLOW, -EOVERFLOW }, { 0, 0 } },
	{ UINT64_MAX & ~0xfffull, 0x1000, { 0, 0 }, { 0, 0 } },
};

static void test_unmap__by_version(void)
{
	unsigned int i, v;

	for (i = 0; i < ARRAY_SIZE(unmaps); i++) {
		for (v = 0; v < 2; v++) {
			struct opened o;
			uint64_t n;
			int64_t ret;

			three(&o, v ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU);
			ret = unmap_type1(&w, o.as, unmaps[i].iova, unmaps[i].size, &n);
			if (ret != unmaps[i].ret[v] ||
			    n != (ret < 0 ? unmaps[i].size : unmaps[i].removed[v])) {
				printf("# row %u v%u: ret %lld size 0x%llx\n", i, v + 1,
				       (long long)ret, (unsigned long long)n);
				tap_bad++;
			}
			opened_close(&w, &o);
		}
	}
}

static void test_unmap__all(void)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = 2, .size = 4096 };
	struct opened o;

	three(&o, VFIO_TYPE1v2_IOMMU);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.size = 0;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), 0);
	CHECK_EQ(u.size, 0xc000);
	u.size = 0;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), 0);
	CHECK_EQ(u.size, 0);
	u.flags = 3;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	opened_close(&w, &o);
}

static void test_map__errors(void)
{
	static const struct {
		uint32_t flags;
		uint64_t vaddr, iova, size;	/* vaddr: in RAM */
		int ret;
	} rows[] = {
		{ 3, 0, 0x1000, 0x1000, 0 },
		{ 3, 0, 0x1000, 0x1000, -EEXIST },
		{ 1, 0, 0x3000, 0x1000, 0 },
		{ 2, 0, 0x5000, 0x1000, 0 },
		{ 0, 0, 0x7000, 0x1000, -EINVAL },
		{ 8, 0, 0x7000, 0x1000, -EINVAL },
		{ 5, 0, 0x7000, 0x1000, -EINVAL },
		{ 3, 0, 0x7000, 0, -EINVAL },
		{ 3, 0, 0x7000, 0x800, -EINVAL },
		{ 3, 0, 0x7800, 0x1000, -EINVAL },
		{ 3, 1, 0x7000, 0x1000, -EINVAL },
		{ 3, 0, 0xfffffffffffff000, 0x2000, -EOVERFLOW },
		{ 3, 0, 0xfffffffffffff000, 0x1000, -EINVAL },
		{ 3, 0, 0xffffffffe000, 0x2000, 0 },
		{ 3, 0, 0xffffffffe000, 0x4000, -EEXIST },
		{ 3, 0, 0x1000000000000, 0x1000, -EINVAL },
		{ 3, 0, 0xfee00000, 0x1000, -EINVAL },
		{ 3, 0, 0xfedff000, 0x1000, 0 },
		{ 3, 0, 0xfef00000, 0x1000, 0 },
		{ 3, CL_RAM, 0x9000, 0x1000, -EFAULT },
		{ 3, CL_RAM - 0x1000, 0x9000, 0x2000, -EFAULT },
	};
	struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m), .flags = 3, .size = 0x2000 };
	struct opened o;
	unsigned int i;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ret;

		m = (struct vfio_iommu_type1_dma_map){
			sizeof(m), rows[i].flags, (uintptr_t)w.cl.ram + rows[i].vaddr, rows[i].iova,
			rows[i].size,
		};
		ret = cl_ioctl(&w.cl, o.as, VFIO_IOMMU_MAP_DMA, &m);
		if (ret != rows[i].ret) {
			printf("# row %u: %lld\n", i, (long long)ret);
			tap_bad++;
		}
	}
	m = (struct vfio_iommu_type1_dma_map){ sizeof(m), 3, UINT64_MAX & ~0xfffull, 0x9000, 0x2000 };
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_MAP_DMA, &m), -EOVERFLOW);
	opened_close(&w, &o);
}

static void test_map__bars_stand_but_carry_no_dma(void)
{
	struct opened o;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	w.cl.bar_lo = 0x7000000000;
	w.cl.bar_hi = 0x7000004000;
	CHECK_EQ(map_type1(&w, o.as, 0x10000, (void *)0x7000000000, 0x4000), 0);
	CHECK_EQ(map_type1(&w, o.as, 0x13000, w.cl.ram, 0x1000), -EEXIST);
	bus_master_on(&w, o.dev);
	reg_write(&w, o.dev, TF_SRC, 0x10000);
	reg_write(&w, o.dev, TF_LEN, 8);
	reg_write(&w, o.dev, TF_COPY, 1);
	CHECK_EQ(reg_read(&w, o.dev, TF_COPY), 2);
	opened_close(&w, &o);
	w.cl.bar_lo = w.cl.bar_hi = 0;
}

static void test_info__chain_and_argsz(void)
{
	struct {
		struct vfio_iommu_type1_info i;
		uint8_t more[512];
	} b;
	struct vfio_info_cap_header h;
	struct vfio_iommu_type1_info_dma_avail a;
	struct { struct vfio_info_cap_header header; uint32_t nr_iovas; } r;
	struct opened o;
	uint32_t need;

	three(&o, VFIO_TYPE1v2_IOMMU);
	memset(&b, 0xaa, sizeof(b));
	b.i.argsz = 16;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_GET_INFO, &b), 0);
	CHECK_EQ(b.i.flags, 3);
	CHECK_EQ(b.i.iova_pgsizes, 0xfffffffffffff000);
	CHECK_EQ(b.i.cap_offset, 0xaaaaaaaa);	/* beyond the caller's structure */
	need = b.i.argsz;
	CHECK_EQ(need, 24 + 32 + 16 + 48);
	b.i.argsz = sizeof(b.i);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_GET_INFO, &b), 0);
	CHECK_EQ(b.i.cap_offset, 0);
	b.i.argsz = need + 8;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_GET_INFO, &b), 0);
	CHECK_EQ(b.i.argsz, need + 8);
	CHECK_EQ(b.i.cap_offset, 24);
	memcpy(&h, (uint8_t *)&b + 24, sizeof(h));
	CHECK_EQ(h.id, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	CHECK_EQ(h.next, 56);
	memcpy(&a, (uint8_t *)&b + 56, sizeof(a));
	CHECK_EQ(a.header.id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	CHECK_EQ(a.avail, 65532);
	CHECK_EQ(a.header.next, 72);
	memcpy(&r, (uint8_t *)&b + 72, sizeof(r));
	CHECK_EQ(r.header.id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	CHECK_EQ(r.header.next, 0);
	CHECK_EQ(r.nr_iovas, 2);
	CHECK_EQ(((uint8_t *)&b)[need], 0xaa);
	opened_close(&w, &o);
}

struct get {
	struct { uint32_t argsz, flags; } d;
	struct vfio_iommu_type1_dirty_bitmap_get g;
};

static int64_t dirty(int fd, uint32_t flags, struct get *g)
{
	g->d.argsz = sizeof(*g);
	g->d.flags = flags;
	return cl_ioctl(&w.cl, fd, VFIO_IOMMU_DIRTY_PAGES, g);
}

static void test_dirty__every_mapped_page(void)
{
	uint64_t bits[2] = { 0, 0 };
	struct get g = { .g = { .iova = 0x10000, .size = 0x14000,
				.bitmap = { 4096, 8, (__u64 *)bits } } };
	struct opened o;

	three(&o, VFIO_TYPE1v2_IOMMU);
	CHECK_EQ(dirty(o.as, 4, &g), -EINVAL);	/* off */
	CHECK_EQ(dirty(o.as, 1, &g), 0);
	CHECK_EQ(dirty(o.as, 1, &g), 0);
	CHECK_EQ(dirty(o.as, 3, &g), -EINVAL);
	CHECK_EQ(dirty(o.as, 8, &g), -EINVAL);
	CHECK_EQ(dirty(o.as, 0, &g), -EINVAL);
	CHECK_EQ(dirty(o.as, 4, &g), 0);
	CHECK_EQ(bits[0], 0xf00ff);
	CHECK_EQ(bits[1], 0);
	bits[0] = 1ull << 63;
	CHECK_EQ(dirty(o.as, 4, &g), 0);	/* once: nothing was written since */
	CHECK_EQ(bits[0], 1ull << 63);
	g.g.iova = 0x11000;
	g.g.size = 0x13000;
	CHECK_EQ(dirty(o.as, 4, &g), -EINVAL);	/* cuts a mapping */
	g.g.iova = 0x10000;
	g.g.size = 0x100000;
	CHECK_EQ(dirty(o.as, 4, &g), -EINVAL);	/* 256 pages in 8 bytes */
	g.g.bitmap.size = (256u << 20) + 8;
	CHECK_EQ(dirty(o.as, 4, &g), -EINVAL);
	g.g.bitmap.size = 32;
	g.g.bitmap.pgsize = 8192;
	CHECK_EQ(dirty(o.as, 4, &g), -EINVAL);
	g.g.bitmap.pgsize = 4096;
	g.g.size = 0x8000;
	g.g.bitmap.data = (__u64 *)8;
	CHECK_EQ(dirty(o.as, 4, &g), -EFAULT);
	CHECK_EQ(dirty(o.as, 2, &g), 0);
	CHECK_EQ(dirty(o.as, 2, &g), 0);
	opened_close(&w, &o);
	three(&o, VFIO_TYPE1_IOMMU);
	CHECK_EQ(dirty(o.as, 1, &g), -EACCES);
	opened_close(&w, &o);
}

static void test_dirty__on_unmap(void)
{
	uint64_t bits = 0;
	struct {
		struct { uint32_t argsz, flags; uint64_t iova, size; } u;
		struct vfio_bitmap b;
	} u = { { sizeof(u), 1, 0x10000, 0x8000 }, { 4096, 8, (__u64 *)&bits } };
	struct get g;
	struct opened o;

	three(&o, VFIO_TYPE1v2_IOMMU);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	CHECK_EQ(dirty(o.as, 1, &g), 0);
	u.b.pgsize = 8192;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.b.pgsize = 4096;
	u.u.argsz = 24;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.u.argsz = sizeof(u);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_IOMMU_UNMAP_DMA, &u), 0);
	CHECK_EQ(u.u.size, 0x8000);
	CHECK_EQ(bits, 0xff);
	opened_close(&w, &o);
}

static void test_container__order(void)
{
	int c = cl_open_container(&w), g;
	uint64_t ext;

	CHECK_EQ(cl_ioctl(&w.cl, c, VFIO_GET_API_VERSION, 0), 0);
	for (ext = 0; ext < 16; ext++)
		CHECK_EQ(cl_ioctl(&w.cl, c, VFIO_CHECK_EXTENSION, ext),
			 ext == 1 || ext == 3 || ext == 4 || ext == 9);
	CHECK_EQ(cl_ioctl(&w.cl, c, VFIO_SET_IOMMU, 3), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, c, VFIO_IOMMU_GET_INFO, 0), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, c, 0x3bff, 0), -EINVAL);
	g = cl_open_group(&w, 0);
	CHECK_EQ(cl_ioctl(&w.cl, g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	CHECK_EQ(cl_ioctl(&w.cl, c, VFIO_SET_IOMMU, 3), 0);
	CHECK_EQ(cl_ioctl(&w.cl, c, 0x3bff, 0), -ENOTTY);
	CHECK_EQ(map_type1(&w, c, 0, w.cl.ram, 4096), 0);
	CHECK_EQ(cl_ioctl(&w.cl, g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
	CHECK_EQ(map_type1(&w, c, 0, w.cl.ram, 4096), -EINVAL);
	cl_close(&w.cl, g);
	cl_close(&w.cl, c);
}

int main(void)
{
	world_init(&w, false);
	RUN(test_container__order);
	RUN(test_unmap__by_version);
	RUN(test_unmap__all);
	RUN(test_map__errors);
	RUN(test_map__bars_stand_but_carry_no_dma);
	RUN(test_info__chain_and_argsz);
	RUN(test_dirty__every_mapped_page);
	RUN(test_dirty__on_unmap);
	world_release(&w);
	return tap_end();
}
