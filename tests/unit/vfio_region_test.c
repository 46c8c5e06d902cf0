/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Regions: what they are, accesses to BARs, and which parts may be mapped. */
#include "vfio_client.h"

static struct world w;
static struct opened o;

struct info {
	struct vfio_region_info i;
	uint8_t more[256];
};

static int64_t region(unsigned int index, uint32_t argsz, struct info *b)
{
	memset(b, 0, sizeof(*b));
	b->i.argsz = argsz;
	b->i.index = index;
	return cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_GET_REGION_INFO, b);
}

static void test_info__every_index(void)
{
	static const struct { uint32_t flags; uint64_t size; } rows[] = {
		{ 15, TF_BAR0_SIZE }, { 0, 0 }, { 15, 0x1000 }, { 0, 0 }, { 0, 0 }, { 0, 0 },
		{ 0, 0 }, { 3, 4096 },
	};
	struct info b;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(region(i, sizeof(b), &b), 0);
		CHECK_EQ(b.i.argsz, sizeof(b));
		CHECK_EQ(b.i.flags, rows[i].flags);
		CHECK_EQ(b.i.size, rows[i].size);
		CHECK_EQ(b.i.offset, (uint64_t)i << 40);
	}
	CHECK_EQ(region(8, sizeof(b), &b), -EINVAL);
	CHECK_EQ(region(9, sizeof(b), &b), -EINVAL);
	CHECK_EQ(region(UINT32_MAX, sizeof(b), &b), -EINVAL);
	CHECK_EQ(region(0, 31, &b), -EINVAL);
}

static void test_info__sparse_and_msix_mappable(void)
{
	struct vfio_region_sparse_mmap_area area;
	struct vfio_info_cap_header h;
	struct info b;
	uint32_t head[4];

	CHECK_EQ(region(0, 32, &b), 0);
	CHECK_EQ(b.i.argsz, 32 + 32 + 8);
	CHECK_EQ(b.i.cap_offset, 0);
	CHECK_EQ(region(0, 72, &b), 0);
	CHECK_EQ(b.i.argsz, 72);
	CHECK_EQ(b.i.cap_offset, 32);
	memcpy(head, (uint8_t *)&b + 32, sizeof(head));
	memcpy(&h, head, sizeof(h));
	CHECK_EQ(h.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	CHECK_EQ(h.next, 64);
	CHECK_EQ(head[2], 1);
	memcpy(&area, (uint8_t *)&b + 48, sizeof(area));
	CHECK_EQ(area.offset, TF_SAFE);
	CHECK_EQ(area.size, 0x1000);
	memcpy(&h, (uint8_t *)&b + 64, sizeof(h));
	CHECK_EQ(h.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	CHECK_EQ(h.next, 0);
	CHECK_EQ(region(2, 72, &b), 0);
	memcpy(head, (uint8_t *)&b + 32, sizeof(head));
	CHECK_EQ(head[2], 0);
}

static void test_access__natural_widths_and_clipping(void)
{
	uint8_t in[32], out[32];
	unsigned int i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i + 1);
	/* Offset 1, 7 bytes: 1 + 2 + 4. */
	CHECK_EQ(cl_pwrite(&w.cl, o.dev, out, 7, 1), 7);
	CHECK_EQ(w.fn[0].scratch, 0x0706050403020100);
	CHECK_EQ(cl_pwrite(&w.cl, o.dev, out, 24, 0), 24);
	CHECK_EQ(w.fn[0].src, 0x100f0e0d0c0b0a09);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 24, 0), 24);
	CHECK(!memcmp(in, out, 24));
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 16, TF_BAR0_SIZE - 4), 4);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, TF_BAR0_SIZE), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, BAR_OFF(1, 0)), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, BAR_OFF(6, 0)), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, BAR_OFF(8, 0)), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, BAR_OFF(9, 0)), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 1, UINT64_MAX), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 0, 0), 0);
	CHECK_EQ(cl_pwrite(&w.cl, o.dev, in, 1, BAR_OFF(6, 0)), -EINVAL);
}

static void test_msix_table__is_the_hosts(void)
{
	uint64_t val = 0x1234;
	uint8_t in[32];
	unsigned int i;

	CHECK_EQ(cl_pwrite(&w.cl, o.dev, &val, 8, TF_MSIX), 8);
	CHECK_EQ(w.fn[0].fn.state->msix[0].addr, 0);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 32, TF_MSIX), 32);
	for (i = 0; i < 32; i++)
		CHECK_EQ(in[i], 0xff);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 16, TF_MSIX + TF_VECTORS * 16 - 8), 16);
	CHECK_EQ(in[7], 0xff);
	CHECK_EQ(in[8], 0);
	CHECK_EQ(cl_pread(&w.cl, o.dev, in, 8, TF_PBA), 8);
	CHECK_EQ(in[0], 0);
}

static void test_mmap__every_class_of_range(void)
{
	static const struct { unsigned int bar; uint64_t off, len; int flags, ret; } rows[] = {
		{ 0, 0, 0x4000, MAP_SHARED, 0 },
		{ 0, 0x1000, 0x1000, MAP_SHARED, 0 },
		{ 0, 0x3000, 0x1000, MAP_SHARED, 0 },
		{ 0, 0x3000, 1, MAP_SHARED, 0 },
		{ 0, 0x3000, 0x1001, MAP_SHARED, -EINVAL },
		{ 0, 0x4000, 0x1000, MAP_SHARED, -EINVAL },
		{ 0, 0, 0x4001, MAP_SHARED, -EINVAL },
		{ 0, 0, 0, MAP_SHARED, -EINVAL },
		{ 0, 0x800, 0x1000, MAP_SHARED, -EINVAL },
		{ 0, 0, 0x1000, MAP_PRIVATE, -EINVAL },
		{ 0, 0, UINT64_MAX, MAP_SHARED, -EINVAL },
		{ 0, 0x1000, UINT64_MAX - 0x1000, MAP_SHARED, -EINVAL },
		{ 0, 0x1000, UINT64_MAX - 0xfff, MAP_SHARED, -EINVAL },
		{ 0, 0xfffffff000, 0x1000, MAP_SHARED, -EINVAL },
		{ 1, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 2, 0, 0x1000, MAP_SHARED, 0 },
		{ 2, 0, 0x2000, MAP_SHARED, -EINVAL },
		{ 3, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 5, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 6, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 7, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 8, 0, 0x1000, MAP_SHARED, -EINVAL },
		{ 100, 0, 0x1000, MAP_SHARED, -EINVAL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int ret = cl_mmap(&w.cl, o.dev, BAR_OFF(rows[i].bar, rows[i].off), rows[i].len,
				  rows[i].flags);

		if (ret != rows[i].ret) {
			printf("# row %u: %d\n", i, ret);
			tap_bad++;
		}
	}
	CHECK_EQ(w.fn[0].nr_mapped, 5);
	w.fn[0].refuse_map = true;
	CHECK_EQ(cl_mmap(&w.cl, o.dev, 0, 0x1000, MAP_SHARED), -EINVAL);
	w.fn[0].refuse_map = false;
}

static void test_mmap__ends_with_the_device(void)
{
	CHECK_EQ(cl_mmap(&w.cl, o.dev, 0, 0x1000, MAP_SHARED), 0);
	CHECK(pci_bar_mem(&w.fn[0].fn, 0));
	cl_close(&w.cl, o.dev);
	CHECK(!pci_bar_mem(&w.fn[0].fn, 0));
	CHECK_EQ(w.fn[0].nr_unmapped, 1);
	o.dev = -1;
}

static void test_mmap__of_two_files(void)
{
	struct opened g;
	int second;

	CHECK_EQ(open_group_path(&w, 1, VFIO_TYPE1v2_IOMMU, &g), 0);
	second = (int)cl_ioctl(&w.cl, g.group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:01.0");
	CHECK_EQ(cl_mmap(&w.cl, g.dev, 0, 0x1000, MAP_SHARED), 0);
	CHECK_EQ(cl_mmap(&w.cl, second, 0, 0x1000, MAP_SHARED), -EINVAL);
	cl_close(&w.cl, g.dev);
	CHECK(!pci_bar_mem(&w.fn[1].fn, 0));
	CHECK_EQ(cl_mmap(&w.cl, second, 0, 0x1000, MAP_SHARED), 0);
	g.dev = second;
	opened_close(&w, &g);
}

static void test_low_power__bars_do_not_answer(void)
{
	uint32_t entry[2] = { 8, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY };
	uint32_t leave[2] = { 8, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT };
	int ev = eventfd(0, EFD_NONBLOCK);
	uint32_t wake[4] = { 16, VFIO_DEVICE_FEATURE_SET |
			     VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, (uint32_t)ev, 0 };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct opened d;
	uint64_t val;

	CHECK_EQ(open_cdev_path(&w, 2, &d), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_FEATURE, entry), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_FEATURE, entry), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, d.dev, &val, 8, 0), -EIO);
	CHECK_EQ(cfg_read(&w, d.dev, 0, 2), 0x1b36);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_FEATURE, leave), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_FEATURE, leave), 0);
	CHECK_EQ(cl_pread(&w.cl, d.dev, &val, 8, 0), 8);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_FEATURE, wake), 0);
	CHECK_EQ(ev_take(ev), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d.dev, VFIO_DEVICE_GET_INFO, &info), 0);
	CHECK_EQ(ev_take(ev), 1);
	CHECK_EQ(cl_pread(&w.cl, d.dev, &val, 8, 0), 8);
	close(ev);
	opened_close(&w, &d);
}

int main(void)
{
	world_init(&w, false);
	if (open_cdev_path(&w, 0, &o))
		return 1;
	RUN(test_info__every_index);
	RUN(test_info__sparse_and_msix_mappable);
	RUN(test_access__natural_widths_and_clipping);
	RUN(test_msix_table__is_the_hosts);
	RUN(test_mmap__every_class_of_range);
	RUN(test_mmap__ends_with_the_device);
	RUN(test_mmap__of_two_files);
	RUN(test_low_power__bars_do_not_answer);
	opened_close(&w, &o);
	world_release(&w);
	return tap_end();
}
