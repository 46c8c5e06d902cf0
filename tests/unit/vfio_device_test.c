/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Opening, binding, attaching, closing, unbinding; who excludes whom. */
#include "vfio_client.h"

#include <dirent.h>

static struct world w;

static bool dma_works(struct world *x, int dev, uint64_t iova)
{
	reg_write(x, dev, TF_SRC, iova);
	reg_write(x, dev, TF_DST, iova + 2048);
	reg_write(x, dev, TF_LEN, 64);
	reg_write(x, dev, TF_COPY, 1);
	return reg_read(x, dev, TF_COPY) == 1;
}

static void test_device__group_path_from_open_to_dma(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct opened o;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_GET_INFO, &info), 0);
	CHECK_EQ(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CHECK_EQ(info.num_regions, 9);
	CHECK_EQ(info.num_irqs, 5);
	CHECK(w.fn[0].fn.strand.env == w.worker);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
	CHECK_EQ(map_type1(&w, o.as, 0x10000, w.cl.ram, 0x1000), 0);
	CHECK(!dma_works(&w, o.dev, 0x10000));
	bus_master_on(&w, o.dev);
	memset(w.cl.ram, 0, 4096);
	memcpy(w.cl.ram, "hello", 6);
	CHECK(dma_works(&w, o.dev, 0x10000));
	CHECK(!strcmp((char *)w.cl.ram + 2048, "hello"));
	opened_close(&w, &o);
	CHECK(w.fn[0].fn.strand.env == w.env);
	CHECK(!pci_bus_master(&w.fn[0].fn));
}

static void test_device__cdev_path_from_open_to_dma(void)
{
	struct vfio_detach_full d = { .argsz = sizeof(d) };
	struct opened o;

	CHECK_EQ(open_cdev_path(&w, 1, &o), 0);
	CHECK(o.devid >= 1 && o.ioas >= 1 && o.hwpt >= 1 && o.hwpt != o.ioas);
	CHECK_EQ(map_ioas(&w, &o, 0x10000, w.cl.ram, 0x1000), 0);
	bus_master_on(&w, o.dev);
	CHECK(dma_works(&w, o.dev, 0x10000));
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0);
	CHECK(!dma_works(&w, o.dev, 0x10000));
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), 0);
	opened_close(&w, &o);
}

static void test_group__has_one_opener(void)
{
	int g = cl_open_group(&w, 0), g2;

	CHECK(g > 0);
	CHECK_EQ(cl_open_group(&w, 0), -EBUSY);
	g2 = cl_open_group(&w, 1);
	CHECK(g2 > 0);
	cl_close(&w.cl, g);
	g = cl_open_group(&w, 0);
	CHECK(g > 0);
	cl_close(&w.cl, g);
	cl_close(&w.cl, g2);
}

static void test_group__lives_while_a_device_file_does(void)
{
	struct opened o;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1_IOMMU, &o), 0);
	CHECK_EQ(map_type1(&w, o.as, 0, w.cl.ram, 0x1000), 0);
	cl_close(&w.cl, o.group);
	cl_close(&w.cl, o.as);
	CHECK_EQ(cl_open_group(&w, 0), -EBUSY);
	bus_master_on(&w, o.dev);
	CHECK(dma_works(&w, o.dev, 0));
	cl_close(&w.cl, o.dev);
	o.group = cl_open_group(&w, 0);
	CHECK(o.group > 0);
	cl_close(&w.cl, o.group);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
}

static void test_group__second_device_file_shares_the_device(void)
{
	struct opened o;
	int second;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	second = (int)cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0");
	CHECK(second > 0);
	reg_write(&w, second, TF_SCRATCH, 77);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	cl_close(&w.cl, o.dev);
	CHECK_EQ(reg_read(&w, second, TF_SCRATCH), 77);
	cl_close(&w.cl, second);
	o.dev = -1;
	CHECK_EQ(w.fn[0].scratch, 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	opened_close(&w, &o);
}

static void test_group__get_device_fd_errors(void)
{
	struct opened o = { .as = cl_open_container(&w), .group = cl_open_group(&w, 0), .dev = -1 };
	static char longname[8192];
	int bad = -1, file = eventfd(0, 0);

	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0"), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_SET_CONTAINER, &bad), -EBADF);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_SET_CONTAINER, &file), -EBADFD);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_SET_CONTAINER, 8), -EFAULT);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_SET_CONTAINER, &o.as), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_SET_CONTAINER, &o.as), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0"), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_SET_IOMMU, 7), -ENODEV);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_SET_IOMMU, 3), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, VFIO_SET_IOMMU, 3), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:01.0"), -ENODEV);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, ""), -ENODEV);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, 16), -EFAULT);
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD,
			  "0000:01:00.0 vf_token=01234567-0123-0123-0123-0123456789ab"), -EINVAL);
	memset(longname, 'x', sizeof(longname));
	CHECK_EQ(cl_ioctl(&w.cl, o.group, VFIO_GROUP_GET_DEVICE_FD, longname), -EINVAL);
	close(file);
	opened_close(&w, &o);
}

static void test_paths__exclude_each_other(void)
{
	struct vfio_bind_full b = { .argsz = sizeof(b) };
	struct opened o;
	int cdev, io = cl_open_iommufd(&w);

	b.iommufd = io;
	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_BIND_IOMMUFD, &b), -EINVAL);
	cdev = cl_open_cdev(&w, 0);
	CHECK_EQ(cl_ioctl(&w.cl, cdev, VFIO_DEVICE_BIND_IOMMUFD, &b), -EBUSY);
	opened_close(&w, &o);
	CHECK_EQ(cl_ioctl(&w.cl, cdev, VFIO_DEVICE_BIND_IOMMUFD, &b), 0);
	CHECK_EQ(cl_open_group(&w, 0), -EBUSY);
	cl_close(&w.cl, cdev);
	o.group = cl_open_group(&w, 0);
	CHECK(o.group > 0);
	cl_close(&w.cl, o.group);
	cl_close(&w.cl, io);
}

static void test_cdev__before_and_after_bind(void)
{
	struct vfio_bind_full b = { .argsz = sizeof(b), .iommufd = -2 };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_attach_full at = { .argsz = sizeof(at), .pt_id = UINT32_MAX };
	int io = cl_open_iommufd(&w), d1 = cl_open_cdev(&w, 2), d2 = cl_open_cdev(&w, 2);
	int file = eventfd(0, 0);
	char c;

	CHECK(d1 > 0 && d2 > 0);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	CHECK_EQ(cl_pread(&w.cl, d1, &c, 1, 0), -EINVAL);
	CHECK_EQ(cl_pwrite(&w.cl, d1, &c, 1, 0), -EINVAL);
	CHECK_EQ(cl_mmap(&w.cl, d1, 0, 4096, MAP_SHARED), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EINVAL);
	b.iommufd = 999;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EBADF);
	b.iommufd = file;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EBADFD);
	b.iommufd = d2;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EBADFD);
	b.iommufd = io;
	b.flags = VFIO_DEVICE_BIND_FLAG_TOKEN;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EINVAL);
	b.flags = 0;
	w.cl.fail_copy_out = 1;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EFAULT);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_BIND_IOMMUFD, &b), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, d2, VFIO_DEVICE_BIND_IOMMUFD, &b), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, d2, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_GET_INFO, &info), 0);
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), -ENOENT);
	at.pt_id = b.out_devid;
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), -EINVAL);
	close(file);
	cl_close(&w.cl, io);	/* the device keeps it alive */
	CHECK_EQ(cl_ioctl(&w.cl, d1, VFIO_DEVICE_GET_INFO, &info), 0);
	cl_close(&w.cl, d1);
	cl_close(&w.cl, d2);
}

static void hold(struct test_fn *t)
{
	env_strand_lock(&t->fn.strand);
	t->hold = pci_dma_hold(&t->fn);
	env_strand_unlock(&t->fn.strand);
}

static void finish(struct test_fn *t)
{
	env_strand_lock(&t->fn.strand);
	tf_finish(t);
	env_strand_unlock(&t->fn.strand);
}

static void test_unmap__waits_for_dma_in_flight(void)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 0x10000, .size = 4096 };
	struct opened o;
	struct cl_file *cf;
	struct cl_call cc;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	CHECK_EQ(map_type1(&w, o.as, 0x10000, w.cl.ram, 0x1000), 0);
	hold(&w.fn[0]);
	cf = cl_file_at(&w.cl, o.as);
	cl_begin(&w.cl, &cc);
	CHECK_EQ(cf->f->ops->ioctl(cf->f, &cc.call, VFIO_IOMMU_UNMAP_DMA, (uintptr_t)&u),
		 -EINPROGRESS);
	CHECK(!atomic_load(&cc.done));
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 1);
	finish(&w.fn[0]);
	CHECK(atomic_load(&cc.done));
	CHECK_EQ(cc.ret, 0);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
	CHECK_EQ(u.size, 4096);
	opened_close(&w, &o);
}

static void test_close__waits_for_dma_and_reset(void)
{
	struct opened o, o2;
	struct cl_file *cf;
	struct vfio_file *f;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	CHECK_EQ(map_type1(&w, o.as, 0x10000, w.cl.ram, 0x1000), 0);
	hold(&w.fn[0]);
	cl_close_start(&w.cl, o.dev, &cf);
	cl_step(&w.cl);
	CHECK(!atomic_load(&cf->closed));
	/* A new open waits for the close, then opens afresh. */
	{
		struct cl_file *g = cl_file_at(&w.cl, o.group);
		struct cl_call cc;

		cl_begin(&w.cl, &cc);
		CHECK_EQ(g->f->ops->ioctl(g->f, &cc.call, VFIO_GROUP_GET_DEVICE_FD,
					  (uintptr_t)"0000:01:00.0"), -EINPROGRESS);
		finish(&w.fn[0]);
		o.dev = (int)cl_end(&cc, -EINPROGRESS);
		CHECK(o.dev > 0);
	}
	CHECK(atomic_load(&cf->closed));
	cl_close_wait(&w.cl, cf);
	opened_close(&w, &o);
	(void)o2;
	(void)f;
}

static void test_open__answers_after_the_reset(void)
{
	struct vfio_bind_full b = { .argsz = sizeof(b) };
	int io = cl_open_iommufd(&w), d = cl_open_cdev(&w, 3);
	struct cl_file *cf = cl_file_at(&w.cl, d);
	struct cl_call cc;

	b.iommufd = io;
	w.fn[3].slow_reset = true;
	cl_begin(&w.cl, &cc);
	CHECK_EQ(cf->f->ops->ioctl(cf->f, &cc.call, VFIO_DEVICE_BIND_IOMMUFD, (uintptr_t)&b),
		 -EINPROGRESS);
	cl_step(&w.cl);
	CHECK(!atomic_load(&cc.done));
	/* The client dies meanwhile. */
	cl_close_start(&w.cl, d, &cf);
	finish(&w.fn[3]);
	cl_step(&w.cl);
	CHECK(atomic_load(&cc.done));
	w.fn[3].slow_reset = false;
	if (w.fn[3].reset_waits)
		finish(&w.fn[3]);
	cl_close_wait(&w.cl, cf);
	cl_close(&w.cl, io);
	CHECK(w.fn[3].fn.strand.env == w.env);
}

static void test_reset__restores_and_waits(void)
{
	struct opened o;
	struct cl_file *cf;
	struct cl_call cc;
	unsigned int n;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	bus_master_on(&w, o.dev);
	cfg_write(&w, o.dev, PCI_BASE_ADDRESS_0, 4, 0xfe000000);
	reg_write(&w, o.dev, TF_SCRATCH, 5);
	n = w.fn[0].nr_resets;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_RESET, 0), 0);
	CHECK_EQ(w.fn[0].nr_resets, n + 1);
	CHECK_EQ(reg_read(&w, o.dev, TF_SCRATCH), 0);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_COMMAND, 2) & 6, 6);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_0, 4) & ~15u, 0xfe000000);
	w.fn[0].slow_reset = true;
	cf = cl_file_at(&w.cl, o.dev);
	cl_begin(&w.cl, &cc);
	CHECK_EQ(cf->f->ops->ioctl(cf->f, &cc.call, VFIO_DEVICE_RESET, 0), -EINPROGRESS);
	w.fn[0].slow_reset = false;
	finish(&w.fn[0]);
	CHECK(atomic_load(&cc.done) && !cc.ret);
	/* A close during a reset wins: bus mastering stays off. */
	w.fn[0].slow_reset = true;
	cl_begin(&w.cl, &cc);
	CHECK_EQ(cf->f->ops->ioctl(cf->f, &cc.call, VFIO_DEVICE_RESET, 0), -EINPROGRESS);
	w.fn[0].slow_reset = false;
	cl_close_start(&w.cl, o.dev, &cf);
	finish(&w.fn[0]);
	cl_close_wait(&w.cl, cf);
	CHECK(atomic_load(&cc.done) && !cc.ret);
	CHECK(!pci_bus_master(&w.fn[0].fn));
	cl_close(&w.cl, o.as);
}

static bool unbound;

static void unbind_done(struct pci_unbind *u, int err)
{
	unbound = true;
}

static void test_unbind__asks_and_waits_for_the_client(void)
{
	struct pci_unbind u = { .done = unbind_done };
	struct opened o;
	int ev = eventfd(0, EFD_NONBLOCK), req = ev;
	struct vfio_file *f;
	unsigned int index, ma, mi;

	CHECK_EQ(open_cdev_path(&w, 2, &o), 0);
	CHECK_EQ(set_irqs(&w, o.dev, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			  VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &req), 0);
	index = world_index(&w, 2);
	vfio_host_lock(&w.host);
	CHECK_EQ(pci_unbind(&w.fn[2].fn, &u), 0);
	vfio_host_unlock(&w.host);
	CHECK(!unbound);
	CHECK_EQ(ev_take(ev), 1);
	CHECK_EQ(vfio_open_cdev(&w.host, index, &f), -ENODEV);
	opened_close(&w, &o);
	CHECK(unbound);
	vfio_host_lock(&w.host);
	CHECK(!vfio_cdev_find(&w.host, index, &ma, &mi));
	CHECK(!vfio_group_find(&w.host, w.fn[2].fn.iommu_group, &ma, &mi));
	vfio_host_unlock(&w.host);
	CHECK_EQ(cl_open_group(&w, 2), -ENODEV);
	world_bind(&w, 2);
	close(ev);
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_rounds__leak_nothing(void)
{
	unsigned int i, fds = count_fds();
	int ev = eventfd(0, EFD_NONBLOCK);

	for (i = 0; i < 10000; i++) {
		struct opened o;

		if (i & 1) {
			CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
			CHECK_EQ(map_ioas(&w, &o, 0x10000, w.cl.ram, 0x4000), 0);
		} else {
			CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
			CHECK_EQ(map_type1(&w, o.as, 0x10000, w.cl.ram, 0x4000), 0);
		}
		CHECK_EQ(set_irqs(&w, o.dev,
				  VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &ev), 0);
		opened_close(&w, &o);
	}
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
	close(ev);
	CHECK_EQ(count_fds(), fds);
}

int main(void)
{
	world_init(&w, false);
	RUN(test_device__group_path_from_open_to_dma);
	RUN(test_device__cdev_path_from_open_to_dma);
	RUN(test_group__has_one_opener);
	RUN(test_group__lives_while_a_device_file_does);
	RUN(test_group__second_device_file_shares_the_device);
	RUN(test_group__get_device_fd_errors);
	RUN(test_paths__exclude_each_other);
	RUN(test_cdev__before_and_after_bind);
	RUN(test_unmap__waits_for_dma_in_flight);
	RUN(test_close__waits_for_dma_and_reset);
	RUN(test_open__answers_after_the_reset);
	RUN(test_reset__restores_and_waits);
	RUN(test_unbind__asks_and_waits_for_the_client);
	RUN(test_rounds__leak_nothing);
	world_release(&w);
	return tap_end();
}
