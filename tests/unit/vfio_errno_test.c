/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Each ioctl with an argument that is too short, unreadable, longer with and
 * without zeroes behind, and with a flag that does not exist.
 */
#include "vfio_client.h"

static struct world w;
static struct opened g, c;

enum where { CONTAINER, GROUP, GDEV, CDEV, IOMMUFD };

static int fd_of(enum where at)
{
	switch (at) {
	case CONTAINER:
		return g.as;
	case GROUP:
		return g.group;
	case GDEV:
		return g.dev;
	case CDEV:
		return c.dev;
	default:
		return c.as;
	}
}

#define SAME 1		/* "whatever a plain call gives" */

static const struct {
	enum where at;
	unsigned int cmd;
	uint32_t min;
	uint32_t flags_at;		/* 0: has none */
	int bad_flag;			/* an unknown flag */
	int longer;			/* longer, non-zero behind */
} rows[] = {
	{ CONTAINER, VFIO_IOMMU_GET_INFO, 16, 0, 0, SAME },
	{ CONTAINER, VFIO_IOMMU_MAP_DMA, 32, 4, -EINVAL, SAME },
	{ CONTAINER, VFIO_IOMMU_UNMAP_DMA, 24, 4, -EINVAL, SAME },
	{ CONTAINER, VFIO_IOMMU_DIRTY_PAGES, 8, 4, -EINVAL, SAME },
	{ GROUP, VFIO_GROUP_GET_STATUS, 8, 0, 0, SAME },
	{ GDEV, VFIO_DEVICE_GET_INFO, 16, 0, 0, SAME },
	{ GDEV, VFIO_DEVICE_GET_REGION_INFO, 32, 0, 0, SAME },
	{ GDEV, VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 0, SAME },
	{ GDEV, VFIO_DEVICE_SET_IRQS, 20, 4, -EINVAL, SAME },
	{ GDEV, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0, SAME },
	{ GDEV, VFIO_DEVICE_PCI_HOT_RESET, 12, 4, -EINVAL, SAME },
	{ GDEV, VFIO_DEVICE_IOEVENTFD, 28, 4, -EINVAL, SAME },
	{ GDEV, VFIO_DEVICE_FEATURE, 8, 4, -EINVAL, SAME },
	{ CDEV, VFIO_DEVICE_BIND_IOMMUFD, 16, 4, -EINVAL, -E2BIG },
	{ CDEV, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 4, -EINVAL, SAME },
	{ CDEV, VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 4, -EINVAL, SAME },
	{ IOMMUFD, IOMMU_DESTROY, 8, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_ALLOC, 12, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_ALLOW_IOVAS, 24, 12, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_COPY, 40, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_IOVA_RANGES, 32, 12, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_MAP, 40, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_UNMAP, 24, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_OPTION, 24, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_VFIO_IOAS, 12, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_HWPT_ALLOC, 24, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_GET_HW_INFO, 40, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_HWPT_SET_DIRTY_TRACKING, 16, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_HWPT_GET_DIRTY_BITMAP, 48, 8, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_HWPT_INVALIDATE, 32, 28, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_FAULT_QUEUE_ALLOC, 16, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_MAP_FILE, 40, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_VIOMMU_ALLOC, 40, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_VDEVICE_ALLOC, 24, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_IOAS_CHANGE_PROCESS, 8, 4, -EOPNOTSUPP, -E2BIG },
	{ IOMMUFD, IOMMU_VEVENTQ_ALLOC, 32, 0, 0, -E2BIG },
	{ IOMMUFD, IOMMU_HW_QUEUE_ALLOC, 40, 0, 0, -E2BIG },
};

static uint8_t page[8192] __attribute__((aligned(4096)));

static int64_t call(unsigned int i, uint32_t size, uint32_t flags, bool tail)
{
	memset(page, 0, sizeof(page));
	memcpy(page, &size, 4);
	if (flags)
		memcpy(page + rows[i].flags_at, &flags, 4);
	if (tail)
		page[200] = 1;
	return cl_ioctl(&w.cl, fd_of(rows[i].at), rows[i].cmd, page);
}

static void test_argument__too_short_or_unreadable(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(call(i, 0, 0, false), -EINVAL);
		CHECK_EQ(call(i, rows[i].min - 1, 0, false), -EINVAL);
		CHECK_EQ(cl_ioctl(&w.cl, fd_of(rows[i].at), rows[i].cmd, 64), -EFAULT);
	}
}

static void test_argument__unknown_flag(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ret;

		if (!rows[i].flags_at)
			continue;
		ret = call(i, rows[i].min < 64 ? 64 : rows[i].min, 0x40000000, false);
		if (ret != rows[i].bad_flag) {
			printf("# row %u: %lld\n", i, (long long)ret);
			tap_bad++;
		}
	}
}

static void test_argument__longer(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t zero = call(i, 256, 0, false), non_zero = call(i, 256, 0, true);
		int64_t want = rows[i].longer == SAME ? zero : rows[i].longer;

		if (zero == -E2BIG || non_zero != want) {
			printf("# row %u: %lld, %lld\n", i, (long long)zero, (long long)non_zero);
			tap_bad++;
		}
	}
}

/* Nothing is written beyond what the caller says that it has. */
static void test_argument__nothing_written_beyond(void)
{
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(page, 0, sizeof(page));
		memcpy(page, &rows[i].min, 4);
		memset(page + rows[i].min, 0x5a, 256);
		(void)cl_ioctl(&w.cl, fd_of(rows[i].at), rows[i].cmd, page);
		for (k = 0; k < 256; k++)
			if (page[rows[i].min + k] != 0x5a) {
				printf("# row %u: byte %u\n", i, k);
				tap_bad++;
				break;
			}
	}
}

static void test_unknown__ioctls(void)
{
	CHECK_EQ(cl_ioctl(&w.cl, g.as, 0x3bf0, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.group, 0x3bf0, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, 0x3bf0, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, c.dev, 0x3bf0, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, c.as, 0x3bf0, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_QUERY_GFX_PLANE, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_GET_GFX_DMABUF, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0), -ENOTTY);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_MIG_GET_PRECOPY_INFO, 0), -ENOTTY);
}

static int64_t feature(uint32_t argsz, uint32_t flags)
{
	uint32_t f[8] = { argsz, flags };

	return cl_ioctl(&w.cl, c.dev, VFIO_DEVICE_FEATURE, f);
}

static void test_feature__in_order(void)
{
	const uint32_t get = 1u << 16, set = 1u << 17, probe = 1u << 18;
	uint32_t id;

	CHECK_EQ(feature(7, probe | 3), -EINVAL);
	CHECK_EQ(feature(8, 1u << 19 | 3), -EINVAL);
	CHECK_EQ(feature(8, get | set | 3), -EINVAL);
	for (id = 0; id < 20; id++) {
		bool known = id >= 3 && id <= 5;

		CHECK_EQ(feature(32, probe | id), known ? 0 : -ENOTTY);
		CHECK_EQ(feature(32, id), known ? -EINVAL : -ENOTTY);
		CHECK_EQ(feature(32, get | id), known ? -EINVAL : -ENOTTY);
		CHECK_EQ(feature(32, probe | get | set | id), known ? -EINVAL : -ENOTTY);
		CHECK_EQ(feature(8, probe | set | id), known ? 0 : -ENOTTY);
	}
	CHECK_EQ(feature(12, set | 4), -EINVAL);
	CHECK_EQ(feature(8, set | 65535), -ENOTTY);
}

static void test_hot_reset__rules(void)
{
	struct { uint32_t argsz, flags, count; struct vfio_pci_dependent_device d; } i = { 12 };
	uint32_t r[4] = { 16, 0, 0, 0 };

	CHECK_EQ(cl_ioctl(&w.cl, c.dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &i), -ENOSPC);
	CHECK_EQ(i.count, 1);
	i.argsz = sizeof(i);
	CHECK_EQ(cl_ioctl(&w.cl, c.dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &i), 0);
	CHECK_EQ(i.flags, 3);
	CHECK_EQ(i.d.devid, c.devid);
	CHECK_EQ(i.d.bus, 1);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &i), 0);
	CHECK_EQ(i.flags, 0);
	CHECK_EQ(i.d.group_id, w.fn[0].fn.iommu_group);
	CHECK_EQ(cl_ioctl(&w.cl, c.dev, VFIO_DEVICE_PCI_HOT_RESET, r), 0);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EINVAL);
	r[2] = 1;
	r[3] = (uint32_t)g.group;
	CHECK_EQ(cl_ioctl(&w.cl, c.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), 0);
	r[3] = (uint32_t)g.as;
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EINVAL);
	r[3] = UINT32_MAX;
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EBADF);
	r[2] = 2;
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EINVAL);
	r[2] = UINT32_MAX;
	CHECK_EQ(cl_ioctl(&w.cl, g.dev, VFIO_DEVICE_PCI_HOT_RESET, r), -EINVAL);
}

static void test_trace__says_what_was_asked(void)
{
	uint32_t s[6] = { 24, 0x24, 2, 0, 1, 17 };
	char out[256];

	vfio_trace_ioctl(VFIO_FILE_DEVICE, VFIO_DEVICE_SET_IRQS, s, sizeof(s), out, sizeof(out));
	CHECK(!strcmp(out, "DEVICE_SET_IRQS argsz=24 flags=0x24 index=2 start=0 count=1 first=17 "
			   "eventfd trigger"));
	vfio_trace_ioctl(VFIO_FILE_CONTAINER, VFIO_IOMMU_DIRTY_PAGES, s, 8, out, sizeof(out));
	CHECK(!strcmp(out, "IOMMU_DIRTY_PAGES argsz=24 flags=0x24"));
	CHECK(!strcmp(vfio_ioctl_name(VFIO_FILE_DEVICE, 0x3b75), "DEVICE_FEATURE"));
	CHECK(!strcmp(vfio_ioctl_name(VFIO_FILE_CONTAINER, 0x3b75), "IOMMU_DIRTY_PAGES"));
	CHECK(!vfio_ioctl_name(VFIO_FILE_GROUP, 0x3b75));
	vfio_trace_ioctl(VFIO_FILE_GROUP, 0x3b6a, "a\"\n", 4, out, sizeof(out));
	CHECK(!strcmp(out, "GROUP_GET_DEVICE_FD name=\"a\\x22\\x0a\""));
	vfio_trace_ioctl(VFIO_FILE_DEVICE, VFIO_DEVICE_SET_IRQS, s, sizeof(s), out, 10);
	CHECK(strlen(out) == 9);
}

int main(void)
{
	world_init(&w, false);
	if (open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &g) || open_cdev_path(&w, 1, &c))
		return 1;
	RUN(test_argument__too_short_or_unreadable);
	RUN(test_argument__unknown_flag);
	RUN(test_argument__longer);
	RUN(test_argument__nothing_written_beyond);
	RUN(test_unknown__ioctls);
	RUN(test_feature__in_order);
	RUN(test_hot_reset__rules);
	RUN(test_trace__says_what_was_asked);
	opened_close(&w, &g);
	opened_close(&w, &c);
	world_release(&w);
	return tap_end();
}
