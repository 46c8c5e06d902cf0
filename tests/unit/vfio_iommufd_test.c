/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* iommufd: ids, object lifetimes, and the errno of each misuse. */
#include "vfio_client.h"

static struct world w;

static uint32_t ioas_new(int io)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_ALLOC, &a), 0);
	return a.out_ioas_id;
}

static int64_t destroy(int io, uint32_t id)
{
	struct iommu_destroy d = { .size = sizeof(d), .id = id };

	return cl_ioctl(&w.cl, io, IOMMU_DESTROY, &d);
}

static void test_ids__lowest_free_from_one(void)
{
	int io = cl_open_iommufd(&w);

	CHECK_EQ(ioas_new(io), 1);
	CHECK_EQ(ioas_new(io), 2);
	CHECK_EQ(ioas_new(io), 3);
	CHECK_EQ(destroy(io, 2), 0);
	CHECK_EQ(destroy(io, 2), -ENOENT);
	CHECK_EQ(destroy(io, 0), -ENOENT);
	CHECK_EQ(destroy(io, UINT32_MAX), -ENOENT);
	CHECK_EQ(ioas_new(io), 2);
	cl_close(&w.cl, io);
}

static void test_ioas_alloc__unwritten_id_is_no_object(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	int io = cl_open_iommufd(&w);

	w.cl.fail_copy_out = 1;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_ALLOC, &a), -EFAULT);
	CHECK_EQ(destroy(io, 1), -ENOENT);
	cl_close(&w.cl, io);
}

static void test_iova_ranges__two_calls(void)
{
	struct iommu_iova_range r[4] = { 0 };
	struct iommu_ioas_iova_ranges c = { .size = sizeof(c), .allowed_iovas = (uintptr_t)r };
	int io = cl_open_iommufd(&w);

	c.ioas_id = ioas_new(io);
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_IOVA_RANGES, &c), -EMSGSIZE);
	CHECK_EQ(c.num_iovas, 2);
	CHECK_EQ(c.out_iova_alignment, 4096);
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_IOVA_RANGES, &c), 0);
	CHECK_EQ(r[0].last, 0xfedfffff);
	CHECK_EQ(r[1].start, 0xfef00000);
	CHECK_EQ(r[1].last, (1ull << 48) - 1);
	c.num_iovas = 4;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_IOVA_RANGES, &c), 0);
	CHECK_EQ(c.num_iovas, 2);
	c.ioas_id = 99;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_IOVA_RANGES, &c), -ENOENT);
	cl_close(&w.cl, io);
}

static void test_map__errors(void)
{
	static const struct { uint32_t flags; uint64_t va, len, iova; int ret; } rows[] = {
		{ 7, 0, 0x1000, 0x1000, 0 },
		{ 7, 0, 0x1000, 0x1000, -EEXIST },
		{ 1, 0, 0x1000, 0x5000, -EINVAL },
		{ 15, 0, 0x1000, 0x5000, -EOPNOTSUPP },
		{ 7, 0, 0, 0x5000, -EINVAL },
		{ 7, 0, 0x800, 0x5000, -EINVAL },
		{ 7, 0, 0x1000, 0x5800, -EINVAL },
		{ 7, 0, UINT64_MAX, 0, -EOVERFLOW },
		{ 7, 0, 0x1000, UINT64_MAX, -EOVERFLOW },
		{ 7, 0, 0x2000, 0xfffffffffffff000, -EOVERFLOW },
		{ 7, 0, 0x1000, 0xfee00000, -EINVAL },
		{ 7, CL_RAM, 0x1000, 0x5000, -EFAULT },
	};
	struct iommu_ioas_map c;
	int io = cl_open_iommufd(&w);
	uint32_t id = ioas_new(io);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ret;

		c = (struct iommu_ioas_map){ sizeof(c), rows[i].flags, id, 0,
					     (uintptr_t)w.cl.ram + rows[i].va, rows[i].len,
					     rows[i].iova };
		ret = cl_ioctl(&w.cl, io, IOMMU_IOAS_MAP, &c);
		if (ret != rows[i].ret) {
			printf("# row %u: %lld\n", i, (long long)ret);
			tap_bad++;
		}
	}
	w.cl.bar_lo = 0x7000000000;
	w.cl.bar_hi = 0x7000004000;
	c = (struct iommu_ioas_map){ sizeof(c), 7, id, 0, 0x7000000000, 0x1000, 0x9000 };
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_IOAS_MAP, &c), -EFAULT);
	w.cl.bar_lo = w.cl.bar_hi = 0;
	cl_close(&w.cl, io);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
}

static void test_unmap__errors(void)
{
	static const struct { uint64_t iova, len; int ret; uint64_t gone; } rows[] = {
		{ 0x1000, 0x1000, -ENOENT, 0 }, { 0, 0x10000, 0, 0x4000 }, { 0, 0, -EINVAL, 0 },
		{ 0, UINT64_MAX, 0, 0x4000 }, { 1, UINT64_MAX, -EOVERFLOW, 0 },
		{ UINT64_MAX, 1, -EOVERFLOW, 0 }, { 0xfffffffffffff000, 0x2000, -EOVERFLOW, 0 },
		{ 0x20000, 0x1000, -ENOENT, 0 }, { 0x1000, 0x4000, 0, 0x4000 },
	};
	struct opened o = { .as = cl_open_iommufd(&w), .group = -1, .dev = -1 };
	unsigned int i;

	o.ioas = ioas_new(o.as);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iommu_ioas_unmap u = { sizeof(u), o.ioas, rows[i].iova, rows[i].len };
		int64_t ret;

		(void)map_ioas(&w, &o, 0x1000, w.cl.ram, 0x4000);
		ret = cl_ioctl(&w.cl, o.as, IOMMU_IOAS_UNMAP, &u);
		if (ret != rows[i].ret || (!ret && u.length != rows[i].gone)) {
			printf("# row %u: %lld\n", i, (long long)ret);
			tap_bad++;
		}
	}
	opened_close(&w, &o);
}

static void test_map_file__and_change_process(void)
{
	struct iommu_ioas_map_file f = { .size = sizeof(f), .flags = 7, .fd = -1, .length = 0x1000 };
	struct iommu_ioas_change_process p = { .size = sizeof(p) };
	struct opened o = { .as = cl_open_iommufd(&w), .group = -1, .dev = -1 };

	o.ioas = f.ioas_id = ioas_new(o.as);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP_FILE, &f), -EBADF);
	f.fd = 0;
	f.start = 0x800;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP_FILE, &f), -EINVAL);
	f.start = CL_RAM;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP_FILE, &f), -EINVAL);
	f.start = 0x1000;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP_FILE, &f), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_CHANGE_PROCESS, &p), 0);
	CHECK_EQ(map_ioas(&w, &o, 0x10000, w.cl.ram, 0x1000), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_CHANGE_PROCESS, &p), -EINVAL);
	opened_close(&w, &o);
}

static void test_hwpt__explicit_and_automatic(void)
{
	struct iommu_hwpt_alloc h = { .size = sizeof(h) };
	struct vfio_attach_full at = { .argsz = sizeof(at) };
	struct vfio_detach_full de = { .argsz = sizeof(de) };
	struct iommu_hwpt_set_dirty_tracking sd = { .size = sizeof(sd) };
	struct iommu_hwpt_get_dirty_bitmap gd = { .size = sizeof(gd) };
	struct opened o;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	CHECK_EQ(destroy(o.as, o.devid), -EBUSY);
	CHECK_EQ(destroy(o.as, o.hwpt), -EBUSY);
	CHECK_EQ(destroy(o.as, o.ioas), -EBUSY);
	h.dev_id = o.devid;
	h.pt_id = o.ioas;
	h.flags = IOMMU_HWPT_ALLOC_NEST_PARENT;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), -EOPNOTSUPP);
	h.flags = 0;
	h.data_len = 4;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), -EINVAL);
	h.data_len = 0;
	h.dev_id = o.ioas;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), -ENOENT);
	h.dev_id = o.devid;
	h.pt_id = 99;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), -ENOENT);
	h.pt_id = o.devid;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), -EINVAL);
	h.pt_id = o.ioas;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), 0);
	at.pt_id = h.out_hwpt_id;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0);
	CHECK_EQ(at.pt_id, h.out_hwpt_id);
	CHECK_EQ(destroy(o.as, o.hwpt), -ENOENT);	/* the automatic one went */
	CHECK_EQ(destroy(o.as, h.out_hwpt_id), -EBUSY);
	sd.hwpt_id = gd.hwpt_id = h.out_hwpt_id;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_SET_DIRTY_TRACKING, &sd), -EOPNOTSUPP);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_GET_DIRTY_BITMAP, &gd), -EOPNOTSUPP);
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &de), 0);
	CHECK_EQ(destroy(o.as, o.ioas), -EBUSY);
	CHECK_EQ(destroy(o.as, h.out_hwpt_id), 0);
	CHECK_EQ(destroy(o.as, o.ioas), 0);
	opened_close(&w, &o);
}

static void test_hw_info__none(void)
{
	uint8_t buf[64];
	struct iommu_hw_info c = { .size = sizeof(c), .data_len = sizeof(buf),
				   .data_uptr = (uintptr_t)buf, .out_capabilities = 99 };
	struct opened o;

	memset(buf, 0xff, sizeof(buf));
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	c.dev_id = o.devid;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_GET_HW_INFO, &c), 0);
	CHECK_EQ(c.data_len, 0);
	CHECK_EQ(c.out_data_type, 0);
	CHECK_EQ(c.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING);
	CHECK_EQ(buf[0] | buf[63], 0);
	c.dev_id = o.ioas;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_GET_HW_INFO, &c), -ENOENT);
	opened_close(&w, &o);
}

static void test_options(void)
{
	struct iommu_option c = { .size = sizeof(c), .op = IOMMU_OPTION_OP_GET };
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_GET };
	int io = cl_open_iommufd(&w);
	uint32_t id = ioas_new(io);

	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), 0);
	c.op = IOMMU_OPTION_OP_SET;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), -EPERM);
	c.option_id = IOMMU_OPTION_HUGE_PAGES;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), -ENOENT);
	c.object_id = id;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), 0);
	c.val64 = 2;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), -EINVAL);
	c.option_id = 9;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_OPTION, &c), -EOPNOTSUPP);
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), -ENODEV);
	v.op = IOMMU_VFIO_IOAS_SET;
	v.ioas_id = 50;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), -ENOENT);
	v.ioas_id = id;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), 0);
	v.op = IOMMU_VFIO_IOAS_GET;
	v.ioas_id = 0;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), 0);
	CHECK_EQ(v.ioas_id, id);
	v.op = IOMMU_VFIO_IOAS_CLEAR;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), 0);
	v.op = 7;
	CHECK_EQ(cl_ioctl(&w.cl, io, IOMMU_VFIO_IOAS, &v), -EOPNOTSUPP);
	cl_close(&w.cl, io);
}

int main(void)
{
	world_init(&w, false);
	RUN(test_ids__lowest_free_from_one);
	RUN(test_ioas_alloc__unwritten_id_is_no_object);
	RUN(test_iova_ranges__two_calls);
	RUN(test_map__errors);
	RUN(test_unmap__errors);
	RUN(test_map_file__and_change_process);
	RUN(test_hwpt__explicit_and_automatic);
	RUN(test_hw_info__none);
	RUN(test_options);
	world_release(&w);
	return tap_end();
}
