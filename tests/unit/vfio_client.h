/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A host with small functions on vfio-pci, and a client of it in this process:
 * struct vfio_call_ops over our own memory and descriptors. The client's
 * addresses are ours; a bad one is -EFAULT, because copies go by
 * process_vm_readv(). With @ram_only, only client memory counts as memory.
 */
#ifndef VFIO_CLIENT_H
#define VFIO_CLIENT_H

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <linux/pci_regs.h>

#include <ferry/vfio.h>
#include <ferry/vfio_compat.h>

#include "test_function.h"

/* ---------------------------------------------------------------------- TAP */

static unsigned int tap_count, tap_failed;

#define CHECK(cond) do {								\
	if (!(cond)) {									\
		printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);			\
		tap_bad++;								\
	}										\
} while (0)
#define CHECK_EQ(a, b) do {								\
	long long a_ = (long long)(a), b_ = (long long)(b);				\
	if (a_ != b_) {									\
		printf("# %s:%d: %s is %lld (0x%llx), not %lld\n", __FILE__, __LINE__,	\
		       #a, a_, (unsigned long long)a_, b_);				\
		tap_bad++;								\
	}										\
} while (0)

static __attribute__((unused)) atomic_uint tap_bad;

#define RUN(test) do {									\
	tap_bad = 0;									\
	test();										\
	printf("%sok %u - %s\n", tap_bad ? "not " : "", ++tap_count, #test);		\
	fflush(stdout);									\
	tap_failed += tap_bad != 0;							\
} while (0)

static inline int tap_end(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed != 0;
}

/* --------------------------------------------------------------------- client */

#define CL_FILES 4096
#define CL_FD_BASE 100000
#define CL_RAM (4u << 20)

struct client;

struct cl_file {
	struct vfio_file *f;
	struct client *c;
	void *bar[6];
	uint64_t bar_size[6];
	atomic_bool closed;
};

struct client {
	struct ferry_env *env;		/* where its devices run */
	bool threaded;			/* envs run by themselves; otherwise calls step them */
	struct ferry_env *step[2];
	bool ram_only;
	uint8_t *ram;			/* CL_RAM bytes, shared */
	uint64_t bar_lo, bar_hi;	/* addresses that count as a mapping of a BAR */
	pthread_mutex_t lock;		/* of @file's slots */
	struct cl_file *file[CL_FILES];
	int fail_copy_out;		/* the n-th copy from now on fails; 0: none */
	atomic_uint nr_mems;
};

struct cl_call {
	struct vfio_call call;
	struct client *c;
	atomic_bool done;
	int64_t ret;
};

static inline struct client *cl_of(struct vfio_call *call)
{
	return container_of(call, struct cl_call, call)->c;
}

static inline bool cl_in_ram(struct client *c, uint64_t at, uint64_t len)
{
	uint64_t base = (uintptr_t)c->ram;

	return at >= base && len <= CL_RAM && at - base <= CL_RAM - len;
}

static inline int cl_copy(struct client *c, void *ours, uint64_t theirs, size_t len, bool in)
{
	struct iovec l = { ours, len }, r = { (void *)(uintptr_t)theirs, len };
	ssize_t n;

	if (c->ram_only) {
		if (!cl_in_ram(c, theirs, len))
			return -EFAULT;
		if (in)
			memcpy(ours, r.iov_base, len);
		else
			memcpy(r.iov_base, ours, len);
		return 0;
	}
	n = in ? process_vm_readv(getpid(), &l, 1, &r, 1, 0)
	       : process_vm_writev(getpid(), &l, 1, &r, 1, 0);
	return n == (ssize_t)len ? 0 : -EFAULT;
}

static inline int cl_copy_in(struct vfio_call *call, void *dst, uint64_t src, size_t len)
{
	return cl_copy(cl_of(call), dst, src, len, true);
}

static inline int cl_copy_out(struct vfio_call *call, uint64_t dst, const void *src, size_t len)
{
	struct client *c = cl_of(call);

	if (c->fail_copy_out && !--c->fail_copy_out)
		return -EFAULT;
	return cl_copy(c, (void *)(uintptr_t)src, dst, len, false);
}

static inline int cl_eventfd(struct vfio_call *call, int fd)
{
	char path[64], link[64];
	ssize_t n;

	if (fd >= CL_FD_BASE)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -EBADF;
	link[n] = '\0';
	if (!strstr(link, "eventfd"))
		return -EINVAL;
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static inline struct cl_file *cl_file_at(struct client *c, int fd)
{
	struct cl_file *cf = NULL;

	pthread_mutex_lock(&c->lock);
	if (fd >= CL_FD_BASE && fd < CL_FD_BASE + CL_FILES)
		cf = c->file[fd - CL_FD_BASE];
	pthread_mutex_unlock(&c->lock);
	return cf;
}

static inline int cl_file_of(struct vfio_call *call, int fd, struct vfio_file **f)
{
	struct cl_file *cf = cl_file_at(cl_of(call), fd);

	*f = cf ? cf->f : NULL;
	return cf || fcntl(fd, F_GETFD) >= 0 ? 0 : -EBADF;
}

/* Memory of the client: a window of its RAM. */
struct cl_mem {
	struct ferry_mem mem;
	struct client *c;
};

static inline void cl_mem_release(struct ferry_mem *m)
{
	struct cl_mem *cm = container_of(m, struct cl_mem, mem);

	atomic_fetch_sub(&cm->c->nr_mems, 1);
	free(cm);
}

static const struct ferry_mem_ops cl_mem_ops = { .release = cl_mem_release };

static inline int cl_mem_new(struct client *c, uint8_t *base, uint64_t len, struct ferry_mem **mem)
{
	struct cl_mem *cm = calloc(1, sizeof(*cm));

	if (!cm)
		return -ENOMEM;
	cm->mem.ops = &cl_mem_ops;
	cm->mem.size = len;
	cm->mem.base = base;
	cm->c = c;
	atomic_init(&cm->mem.refs, 1);
	atomic_fetch_add(&c->nr_mems, 1);
	*mem = &cm->mem;
	return 0;
}

static inline int cl_mem(struct vfio_call *call, uint64_t vaddr, uint64_t len, bool writable,
			 struct ferry_mem **mem, bool *is_bar)
{
	struct client *c = cl_of(call);

	*is_bar = vaddr < c->bar_hi && vaddr + len > c->bar_lo;
	*mem = NULL;
	if (*is_bar)
		return 0;
	if (!cl_in_ram(c, vaddr, len))
		return -EFAULT;
	return cl_mem_new(c, (uint8_t *)(uintptr_t)vaddr, len, mem);
}

static inline int cl_mem_file(struct vfio_call *call, int fd, uint64_t start, uint64_t len,
			      bool writable, struct ferry_mem **mem)
{
	struct client *c = cl_of(call);

	/* Descriptor 0 stands for a file that is the RAM. */
	if (fd)
		return fcntl(fd, F_GETFD) >= 0 ? -EINVAL : -EBADF;
	if (start > CL_RAM || len > CL_RAM - start)
		return -EINVAL;
	return cl_mem_new(c, c->ram + start, len, mem);
}

static inline void cl_complete(struct vfio_call *call, int64_t ret)
{
	struct cl_call *cc = container_of(call, struct cl_call, call);

	cc->ret = ret;
	atomic_store(&cc->done, true);
}

static const struct vfio_call_ops cl_call_ops = {
	.copy_in = cl_copy_in,
	.copy_out = cl_copy_out,
	.eventfd = cl_eventfd,
	.file = cl_file_of,
	.mem = cl_mem,
	.mem_file = cl_mem_file,
	.complete = cl_complete,
};

static inline void cl_step(struct client *c)
{
	unsigned int i;

	if (c->threaded) {
		poll(NULL, 0, 1);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(c->step); i++)
		if (c->step[i])
			env_step(c->step[i], false);
}

static inline void cl_begin(struct client *c, struct cl_call *cc)
{
	memset(cc, 0, sizeof(*cc));
	cc->call.ops = &cl_call_ops;
	cc->call.env = c->env;
	cc->c = c;
}

static inline int cl_install(struct client *c, struct vfio_file *f);

/* An answer, waited for; a new file as its descriptor. */
static inline int64_t cl_end(struct cl_call *cc, int64_t ret)
{
	if (ret == -EINPROGRESS) {
		while (!atomic_load(&cc->done))
			cl_step(cc->c);
		ret = cc->ret;
	}
	if (!ret && cc->call.new_file)
		ret = cl_install(cc->c, cc->call.new_file);
	return ret;
}

static inline void *cl_bar_mem(struct vfio_file *f, unsigned int bar, uint64_t size)
{
	struct cl_file *cf = f->priv;

	if (!cf->bar[bar]) {
		cf->bar[bar] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				    -1, 0);
		cf->bar_size[bar] = size;
	}
	return cf->bar[bar];
}

static inline int cl_install(struct client *c, struct vfio_file *f)
{
	struct cl_file *cf = calloc(1, sizeof(*cf));
	int i;

	cf->f = f;
	cf->c = c;
	f->priv = cf;
	f->bar_mem = cl_bar_mem;
	pthread_mutex_lock(&c->lock);
	for (i = 0; c->file[i]; i++)
		assert(i < CL_FILES - 1);
	c->file[i] = cf;
	pthread_mutex_unlock(&c->lock);
	return CL_FD_BASE + i;
}

static inline void cl_closed(void *arg)
{
	struct cl_file *cf = arg;

	atomic_store(&cf->closed, true);
}

/* Close and wait until it is over. */
static inline void cl_close_start(struct client *c, int fd, struct cl_file **out)
{
	struct cl_file *cf = cl_file_at(c, fd);

	pthread_mutex_lock(&c->lock);
	c->file[fd - CL_FD_BASE] = NULL;
	pthread_mutex_unlock(&c->lock);
	*out = cf;
	cf->f->ops->close(cf->f, cl_closed, cf);
}

static inline void cl_close_wait(struct client *c, struct cl_file *cf)
{
	unsigned int i;

	while (!atomic_load(&cf->closed))
		cl_step(c);
	for (i = 0; i < ARRAY_SIZE(cf->bar); i++)
		if (cf->bar[i])
			munmap(cf->bar[i], cf->bar_size[i]);
	free(cf);
}

static inline void cl_close(struct client *c, int fd)
{
	struct cl_file *cf;

	cl_close_start(c, fd, &cf);
	cl_close_wait(c, cf);
}

static inline int64_t cl_ioctl_at(struct client *c, int fd, unsigned int cmd, uint64_t arg)
{
	struct cl_file *cf = cl_file_at(c, fd);
	struct cl_call cc;

	cl_begin(c, &cc);
	return cl_end(&cc, cf->f->ops->ioctl(cf->f, &cc.call, cmd, arg));
}

#define cl_ioctl(c, fd, cmd, arg) cl_ioctl_at(c, fd, cmd, (uint64_t)(uintptr_t)(arg))

static inline int64_t cl_pread(struct client *c, int fd, void *buf, size_t len, uint64_t off)
{
	struct cl_file *cf = cl_file_at(c, fd);
	struct cl_call cc;

	cl_begin(c, &cc);
	if (!cf->f->ops->pread)
		return -EINVAL;
	return cl_end(&cc, cf->f->ops->pread(cf->f, &cc.call, buf, len, off));
}

static inline int64_t cl_pwrite(struct client *c, int fd, const void *buf, size_t len, uint64_t off)
{
	struct cl_file *cf = cl_file_at(c, fd);
	struct cl_call cc;

	cl_begin(c, &cc);
	if (!cf->f->ops->pwrite)
		return -EINVAL;
	return cl_end(&cc, cf->f->ops->pwrite(cf->f, &cc.call, buf, len, off));
}

static inline int cl_mmap(struct client *c, int fd, uint64_t off, uint64_t len, int flags)
{
	struct cl_file *cf = cl_file_at(c, fd);
	struct cl_call cc;

	cl_begin(c, &cc);
	if (!cf->f->ops->mmap)
		return -ENODEV;
	return cf->f->ops->mmap(cf->f, &cc.call, off, len, PROT_READ | PROT_WRITE, flags);
}

/* ---------------------------------------------------------------------- world */

#define WORLD_FNS 4

struct world {
	struct ferry_env *env, *worker;		/* of idle functions; of the client's */
	struct vfio_host host;
	struct pci_driver driver;
	struct test_fn fn[WORLD_FNS];
	struct client cl;
};

static const struct pci_id world_ids[] = { { .vendor = PCI_ANY_ID, .override_only = true }, { 0 } };

static inline void world_bind(struct world *w, unsigned int i)
{
	int ret;

	vfio_host_lock(&w->host);
	pci_set_driver_override(&w->fn[i].fn, "vfio-pci", 8);
	ret = pci_bind(&w->fn[i].fn, &w->driver, NULL);
	vfio_host_unlock(&w->host);
	assert(!ret);
}

static inline void world_init(struct world *w, bool threaded)
{
	unsigned int i;
	int ret;

	memset(w, 0, sizeof(*w));
	ret = env_create(ENV_EPOLL, &w->env);
	assert(!ret);
	ret = env_create(ENV_EPOLL, &w->worker);
	assert(!ret);
	vfio_host_init(&w->host, w->env);
	w->driver = (struct pci_driver){ .name = "vfio-pci", .module = "vfio_pci", .ids = world_ids,
					 .probe = vfio_pci_probe, .remove = vfio_pci_remove };
	pci_driver_register(&w->host.bus, &w->driver);
	for (i = 0; i < WORLD_FNS; i++) {
		ret = tf_init(&w->fn[i], w->env, (uint8_t)i);
		assert(!ret);
		vfio_host_lock(&w->host);
		ret = pci_register(&w->host.bus, &w->fn[i].fn);
		vfio_host_unlock(&w->host);
		assert(!ret);
		world_bind(w, i);
	}
	if (threaded) {
		env_start(w->env, "idle");
		env_start(w->worker, "worker");
	}
	w->cl.env = w->worker;
	w->cl.threaded = threaded;
	w->cl.step[0] = w->env;
	w->cl.step[1] = w->worker;
	pthread_mutex_init(&w->cl.lock, NULL);
	w->cl.ram = mmap(NULL, CL_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(w->cl.ram != MAP_FAILED);
	(void)ret;
}

static inline void world_release(struct world *w)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < CL_FILES; i++)
		if (w->cl.file[i])
			cl_close(&w->cl, CL_FD_BASE + (int)i);
	for (i = 0; i < WORLD_FNS; i++) {
		vfio_host_lock(&w->host);
		if (w->fn[i].fn.driver)
			ret |= pci_unbind(&w->fn[i].fn, NULL);
		ret |= pci_unregister(&w->fn[i].fn);
		vfio_host_unlock(&w->host);
		assert(!ret);
	}
	if (w->cl.threaded) {
		env_stop(w->env);
		env_stop(w->worker);
	}
	for (i = 0; i < WORLD_FNS; i++)
		pci_function_release(&w->fn[i].fn);
	vfio_host_release(&w->host);
	assert(!atomic_load(&w->cl.nr_mems));
	env_destroy(w->worker);
	env_destroy(w->env);
	munmap(w->cl.ram, CL_RAM);
	pthread_mutex_destroy(&w->cl.lock);
	(void)ret;
}

/* Opens: a descriptor or -errno. */
static inline int cl_open_container(struct world *w)
{
	struct vfio_file *f;
	int ret = vfio_open_container(&w->host, &f);

	return ret ? ret : cl_install(&w->cl, f);
}

static inline int cl_open_iommufd(struct world *w)
{
	struct vfio_file *f;
	int ret = vfio_open_iommufd(&w->host, &f);

	return ret ? ret : cl_install(&w->cl, f);
}

static inline int cl_open_group(struct world *w, unsigned int i)
{
	struct vfio_file *f;
	int ret = vfio_open_group(&w->host, w->fn[i].fn.iommu_group, &f);

	return ret ? ret : cl_install(&w->cl, f);
}

static inline unsigned int world_index(struct world *w, unsigned int i)
{
	struct vfio_device_info_ext e;

	vfio_host_lock(&w->host);
	vfio_device_describe(vfio_device_of(&w->fn[i].fn), &e);
	vfio_host_unlock(&w->host);
	return e.index;
}

static inline int cl_open_cdev(struct world *w, unsigned int i)
{
	struct vfio_file *f;
	int ret = vfio_open_cdev(&w->host, world_index(w, i), &f);

	return ret ? ret : cl_install(&w->cl, f);
}

/* The whole way to a device, on either path. */
struct opened {
	int as, group, dev;		/* @as: container or iommufd */
	uint32_t devid, ioas, hwpt;
};

static inline int open_group_path(struct world *w, unsigned int i, unsigned int type,
				  struct opened *o)
{
	char name[32];

	*o = (struct opened){ .as = cl_open_container(w), .group = cl_open_group(w, i) };
	if (o->group < 0)
		return o->group;
	CHECK_EQ(cl_ioctl(&w->cl, o->group, VFIO_GROUP_SET_CONTAINER, &o->as), 0);
	CHECK_EQ(cl_ioctl(&w->cl, o->as, VFIO_SET_IOMMU, type), 0);
	snprintf(name, sizeof(name), PCI_BDF_FMT, PCI_BDF_ARG(w->fn[i].fn.bdf));
	o->dev = (int)cl_ioctl(&w->cl, o->group, VFIO_GROUP_GET_DEVICE_FD, name);
	return o->dev < 0 ? o->dev : 0;
}

static inline int open_cdev_path(struct world *w, unsigned int i, struct opened *o)
{
	struct vfio_bind_full b = { .argsz = sizeof(b) };
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	struct vfio_attach_full at = { .argsz = sizeof(at) };
	int64_t ret;

	*o = (struct opened){ .as = cl_open_iommufd(w), .group = -1, .dev = cl_open_cdev(w, i) };
	b.iommufd = o->as;
	ret = cl_ioctl(&w->cl, o->dev, VFIO_DEVICE_BIND_IOMMUFD, &b);
	if (ret < 0)
		return (int)ret;
	o->devid = b.out_devid;
	CHECK_EQ(cl_ioctl(&w->cl, o->as, IOMMU_IOAS_ALLOC, &a), 0);
	o->ioas = at.pt_id = a.out_ioas_id;
	CHECK_EQ(cl_ioctl(&w->cl, o->dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0);
	o->hwpt = at.pt_id;
	return 0;
}

static inline void opened_close(struct world *w, struct opened *o)
{
	if (o->dev > 0)
		cl_close(&w->cl, o->dev);
	if (o->group > 0)
		cl_close(&w->cl, o->group);
	if (o->as > 0)
		cl_close(&w->cl, o->as);
}

static inline int64_t map_type1(struct world *w, int container, uint64_t iova, void *va,
				uint64_t size)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va, .iova = iova, .size = size,
	};

	return cl_ioctl(&w->cl, container, VFIO_IOMMU_MAP_DMA, &m);
}

static inline int64_t unmap_type1(struct world *w, int container, uint64_t iova, uint64_t size,
				  uint64_t *removed)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = size };
	int64_t ret = cl_ioctl(&w->cl, container, VFIO_IOMMU_UNMAP_DMA, &u);

	*removed = u.size;
	return ret;
}

static inline int64_t map_ioas(struct world *w, struct opened *o, uint64_t iova, void *va,
			       uint64_t len)
{
	struct iommu_ioas_map m = {
		.size = sizeof(m), .ioas_id = o->ioas, .user_va = (uintptr_t)va, .length = len,
		.iova = iova, .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
				       IOMMU_IOAS_MAP_WRITEABLE,
	};

	return cl_ioctl(&w->cl, o->as, IOMMU_IOAS_MAP, &m);
}

/* Registers, through the device file. */
#define BAR_OFF(bar, off) (((uint64_t)(bar) << 40) | (off))
#define CONFIG_OFF(off) BAR_OFF(7, off)

static inline void reg_write(struct world *w, int dev, uint64_t off, uint64_t val)
{
	CHECK_EQ(cl_pwrite(&w->cl, dev, &val, 8, BAR_OFF(0, off)), 8);
}

static inline uint64_t reg_read(struct world *w, int dev, uint64_t off)
{
	uint64_t val = 0;

	CHECK_EQ(cl_pread(&w->cl, dev, &val, 8, BAR_OFF(0, off)), 8);
	return val;
}

static inline uint32_t cfg_read(struct world *w, int dev, unsigned int off, unsigned int len)
{
	uint32_t val = 0;

	CHECK_EQ(cl_pread(&w->cl, dev, &val, len, CONFIG_OFF(off)), len);
	return val;
}

static inline void cfg_write(struct world *w, int dev, unsigned int off, unsigned int len,
			     uint32_t val)
{
	CHECK_EQ(cl_pwrite(&w->cl, dev, &val, len, CONFIG_OFF(off)), len);
}

static inline void bus_master_on(struct world *w, int dev)
{
	cfg_write(w, dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline int64_t set_irqs(struct world *w, int dev, uint32_t flags, uint32_t index,
			       uint32_t start, uint32_t count, const int *fds)
{
	const uint32_t head = sizeof(struct vfio_irq_set);
	uint32_t s[5 + 64] = { head + (fds ? count * 4 : 0), flags, index, start, count };

	if (fds)
		memcpy(&s[5], fds, count * sizeof(int32_t));
	return cl_ioctl(&w->cl, dev, VFIO_DEVICE_SET_IRQS, s);
}

/* What an eventfd has counted; 0: nothing. Emptied. */
static inline uint64_t ev_take(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1 && read(fd, &n, sizeof(n)) != sizeof(n))
		n = 0;
	return n;
}

#endif
