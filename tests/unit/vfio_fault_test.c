/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Each allocation of open, attach, map, interrupts and unmap fails once: the
 * call says so, nothing is left behind, and the same works afterwards.
 */
#include "vfio_client.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_FAULTS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAVE_FAULTS 0
#endif
#endif
#ifndef HAVE_FAULTS
#define HAVE_FAULTS 1
#endif

static int countdown;		/* the n-th allocation while armed fails; 0: none does */
static bool armed, failed;

#if HAVE_FAULTS
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
	if (!armed || !countdown || --countdown)
		return false;
	failed = true;
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

static struct world w;

static int64_t faulty(int fd, unsigned int cmd, const void *arg)
{
	struct cl_file *cf = cl_file_at(&w.cl, fd);
	struct cl_call cc;
	int64_t ret;

	cl_begin(&w.cl, &cc);
	armed = true;
	ret = cf->f->ops->ioctl(cf->f, &cc.call, cmd, (uintptr_t)arg);
	armed = false;
	ret = cl_end(&cc, ret);
	CHECK(ret >= 0 || ret == -ENOMEM);
	return ret;
}

/* One call, repeated until it succeeds: each failure must leave it possible. */
static int64_t stubborn(int fd, unsigned int cmd, const void *arg)
{
	int64_t ret = -1;
	int n;

	for (n = 1; n < 100; n++) {
		countdown = n;
		failed = false;
		ret = faulty(fd, cmd, arg);
		countdown = 0;
		if (!failed)
			return ret;
		/* It may have done without; then it is done. */
		if (ret >= 0)
			return ret;
	}
	CHECK(ret >= 0);		/* it never worked */
	return ret;
}

static void both_paths(void)
{
	struct vfio_bind_full b = { .argsz = sizeof(b) };
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	struct vfio_attach_full at = { .argsz = sizeof(at) };
	struct vfio_detach_full de = { .argsz = sizeof(de) };
	struct iommu_ioas_map m = { .size = sizeof(m), .flags = 7, .iova = 0x10000,
				    .length = 0x1000 };
	struct iommu_ioas_unmap u = { .size = sizeof(u), .iova = 0x10000, .length = 0x1000 };
	uint32_t irq[7] = { 28, 0x24, 2, 0, 2, UINT32_MAX, UINT32_MAX };
	struct vfio_iommu_type1_dma_map d = { .argsz = sizeof(d), .flags = 3, .iova = 0x10000,
					      .size = 0x1000 };
	struct vfio_iommu_type1_dma_unmap un = { .argsz = sizeof(un), .iova = 0x10000,
						 .size = 0x1000 };
	int io = cl_open_iommufd(&w), dev = cl_open_cdev(&w, 0), c, g;

	b.iommufd = io;
	CHECK_EQ(stubborn(dev, VFIO_DEVICE_BIND_IOMMUFD, &b), 0);
	CHECK_EQ(stubborn(io, IOMMU_IOAS_ALLOC, &a), 0);
	at.pt_id = m.ioas_id = u.ioas_id = a.out_ioas_id;
	CHECK_EQ(stubborn(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0);
	m.user_va = d.vaddr = (uintptr_t)w.cl.ram;
	CHECK_EQ(stubborn(io, IOMMU_IOAS_MAP, &m), 0);
	CHECK_EQ(stubborn(dev, VFIO_DEVICE_SET_IRQS, irq), 0);
	CHECK_EQ(stubborn(io, IOMMU_IOAS_UNMAP, &u), 0);
	CHECK_EQ(u.length, 0x1000);
	CHECK_EQ(stubborn(dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &de), 0);
	cl_close(&w.cl, dev);
	cl_close(&w.cl, io);

	c = cl_open_container(&w);
	g = cl_open_group(&w, 0);
	CHECK_EQ(stubborn(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	{
		struct cl_file *cf = cl_file_at(&w.cl, c);
		struct cl_call cc;
		int n;

		for (n = 1; n < 3; n++) {
			cl_begin(&w.cl, &cc);
			countdown = n;
			armed = true;
			(void)cf->f->ops->ioctl(cf->f, &cc.call, VFIO_SET_IOMMU, 3);
			armed = false;
			countdown = 0;
		}
	}
	dev = (int)stubborn(g, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0");
	CHECK(dev > 0);
	CHECK_EQ(stubborn(c, VFIO_IOMMU_MAP_DMA, &d), 0);
	CHECK_EQ(stubborn(c, VFIO_IOMMU_UNMAP_DMA, &un), 0);
	CHECK_EQ(un.size, 0x1000);
	if (dev > 0)
		cl_close(&w.cl, dev);
	cl_close(&w.cl, g);
	cl_close(&w.cl, c);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
}

static void test_fault__each_allocation_once(void)
{
	both_paths();
	both_paths();
}

int main(void)
{
	if (!HAVE_FAULTS) {
		printf("1..0 # SKIP allocations belong to the sanitizer\n");
		return 0;
	}
	world_init(&w, false);
	RUN(test_fault__each_allocation_once);
	world_release(&w);
	return tap_end();
}
