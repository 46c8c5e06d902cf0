/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What a client may do to VFIO, in any order and with any bytes, on both paths.
 * Input: steps of one operation byte and its operands. Beyond the sanitizers:
 * each errno is one of its ioctl's; who has what open follows a model.
 */
#include "../tests/unit/vfio_client.h"

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint64_t number(struct input *in, unsigned int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | byte(in);
	return v;
}

#define SLOTS 12

enum kind { FREE, CONTAINER, GROUP, CDEV, IOMMUFD, GDEV };

static struct world w;
static struct slot {
	enum kind kind;
	int fd;
	unsigned int fn;
	bool bound;		/* a cdev that was bound */
} slot[SLOTS];
static int evs[3];

static void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "model: %s\n", what);
		abort();
	}
}

static struct slot *slot_free(void)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (!slot[i].kind)
			return &slot[i];
	return NULL;
}

/* What is in flight ends, so that what waits for it does. */
static void finish_all(void)
{
	unsigned int i;

	for (i = 0; i < WORLD_FNS; i++) {
		env_strand_lock(&w.fn[i].fn.strand);
		w.fn[i].slow_reset = false;
		tf_finish(&w.fn[i]);
		env_strand_unlock(&w.fn[i].fn.strand);
	}
}

static bool one_of(int64_t ret, const int *set)
{
	if (ret >= 0)
		return true;
	for (; *set; set++)
		if (ret == -*set)
			return true;
	return false;
}

static bool any(enum kind k, unsigned int fn, bool bound)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slot[i].kind == k && slot[i].fn == fn && slot[i].bound == bound)
			return true;
	return false;
}

static void op_open(struct input *in, uint8_t what)
{
	unsigned int fn = byte(in) % WORLD_FNS;
	struct slot *s = slot_free();
	bool bound = w.fn[fn].fn.driver != NULL;
	int fd;

	if (!s || !bound)
		return;
	switch (what) {
	case 0:
		fd = cl_open_container(&w);
		break;
	case 1:
		fd = cl_open_group(&w, fn);
		require((fd == -EBUSY) == (any(GROUP, fn, false) || any(GDEV, fn, false) ||
					   any(CDEV, fn, true)), "one opener of a group");
		break;
	case 2:
		fd = cl_open_cdev(&w, fn);
		break;
	default:
		fd = cl_open_iommufd(&w);
	}
	if (fd > 0)
		*s = (struct slot){ (enum kind)(what + 1), fd, fn, false };
	else
		require(fd == -EBUSY || fd == -ENODEV, "errno of open");
}

static void op_close(struct input *in)
{
	struct slot *s = &slot[byte(in) % SLOTS];
	struct cl_file *cf;

	if (!s->kind)
		return;
	cl_close_start(&w.cl, s->fd, &cf);
	finish_all();
	cl_close_wait(&w.cl, cf);
	s->kind = FREE;
}

static int fd_for(uint8_t b)
{
	if (b < SLOTS)
		return slot[b].kind ? slot[b].fd : 999;
	return b % 4 == 3 ? -1 : evs[b % 4];
}

/* The structure, with pointers into the RAM and descriptors put in where the input says. */
static void build(struct input *in, uint8_t *at, unsigned int len)
{
	unsigned int i, n;

	for (i = 0; i < len; i++)
		at[i] = byte(in);
	n = byte(in) % 4;
	for (i = 0; i < n; i++) {
		unsigned int off = byte(in) % 64u * 4;
		uint8_t what = byte(in);
		uint64_t ptr = (uintptr_t)w.cl.ram + (what & 0x7f) * 4096ull;
		int fd = fd_for(what & 0x7f);

		if (what & 0x80)
			memcpy(at + off, &fd, sizeof(fd));
		else
			memcpy(at + off, &ptr, sizeof(ptr));
	}
}

static const int e_container[] = { EINVAL, EFAULT, ENOTTY, ENODEV, EEXIST, ENOSPC, EOVERFLOW,
				   EACCES, 0 };
static const int e_group[] = { EINVAL, EFAULT, ENOTTY, ENODEV, EBADF, EBADFD, EBUSY, 0 };
static const int e_device[] = { EINVAL, EFAULT, ENOTTY, EBADF, EBADFD, EBUSY, ENOENT, E2BIG,
				EOPNOTSUPP, ENOSPC, ERANGE, ENODEV, 0 };
static const int e_iommufd[] = { EINVAL, EFAULT, ENOTTY, ENOENT, EBUSY, E2BIG, EOPNOTSUPP, EEXIST,
				 ENOSPC, EOVERFLOW, EMSGSIZE, EPERM, ENODEV, EADDRINUSE, EBADF,
				 ENOMEM, 0 };

static const unsigned int cmds_vfio[] = {
	VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_SET_IOMMU, VFIO_GROUP_GET_STATUS,
	VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD,
	VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO,
	VFIO_DEVICE_SET_IRQS, VFIO_DEVICE_RESET, 0x3b70, 0x3b71, 0x3b72, 0x3b73, 0x3b74, 0x3b75,
	VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT,
};

static void check_answer(struct slot *s, unsigned int cmd, int64_t ret, bool was_bound)
{
	switch (s->kind) {
	case CONTAINER:
		require(one_of(ret, e_container), "errno of a container");
		break;
	case GROUP:
		require(one_of(ret, e_group), "errno of a group");
		break;
	case IOMMUFD:
		require(one_of(ret, e_iommufd), "errno of an iommufd");
		break;
	default:
		require(one_of(ret, e_device), "errno of a device");
	}
	if (s->kind == CDEV && !was_bound && cmd != VFIO_DEVICE_BIND_IOMMUFD)
		require(ret == -EINVAL, "nothing before bind");
}

static void op_ioctl(struct input *in)
{
	struct slot *s = &slot[byte(in) % SLOTS], *new_slot = slot_free();
	uint8_t c = byte(in), len = byte(in);
	unsigned int cmd = c < ARRAY_SIZE(cmds_vfio) ? cmds_vfio[c] : 0x3b00u + c;
	uint8_t *at = w.cl.ram + CL_RAM - 8192;
	uint64_t arg = (uintptr_t)at;
	bool was_bound = s->bound;
	struct cl_file *cf;
	struct cl_call cc;
	int64_t ret;

	memset(at, 0, 4096);
	build(in, at, len);
	if (!s->kind)
		return;
	if (cmd == VFIO_CHECK_EXTENSION || cmd == VFIO_SET_IOMMU)
		arg = at[0];
	if (cmd == VFIO_GROUP_GET_DEVICE_FD && len < 2) {
		if (!new_slot)
			return;
		snprintf((char *)at, 32, PCI_BDF_FMT, PCI_BDF_ARG(w.fn[s->fn].fn.bdf));
	} else if (cmd == VFIO_GROUP_GET_DEVICE_FD) {
		at[0] |= 0x80;		/* no device's name */
	}
	cf = cl_file_at(&w.cl, s->fd);
	cl_begin(&w.cl, &cc);
	ret = cf->f->ops->ioctl(cf->f, &cc.call, cmd, arg);
	if (ret == -EINPROGRESS)
		finish_all();
	ret = cl_end(&cc, ret);
	check_answer(s, cmd, ret, was_bound);
	if (s->kind == GROUP && cmd == VFIO_GROUP_GET_DEVICE_FD && ret > 0)
		*new_slot = (struct slot){ GDEV, (int)ret, s->fn, false };
	if (s->kind == CDEV && cmd == VFIO_DEVICE_BIND_IOMMUFD && !ret) {
		require(!was_bound && !any(CDEV, s->fn, true), "bound once");
		require(!any(GROUP, s->fn, false) && !any(GDEV, s->fn, false), "one path");
		s->bound = true;
	}
}

static const int e_rw[] = { EINVAL, EFAULT, EIO, 0 };

static void op_rw(struct input *in, bool write)
{
	struct slot *s = &slot[byte(in) % SLOTS];
	uint64_t off = BAR_OFF(byte(in), number(in, 2));
	size_t len = byte(in), i;
	uint8_t buf[256];
	struct cl_file *cf;
	struct cl_call cc;
	int64_t ret;

	for (i = 0; write && i < len; i++)
		buf[i] = byte(in);
	if (s->kind != CDEV && s->kind != GDEV)
		return;
	cf = cl_file_at(&w.cl, s->fd);
	cl_begin(&w.cl, &cc);
	ret = write ? cf->f->ops->pwrite(cf->f, &cc.call, buf, len, off)
		    : cf->f->ops->pread(cf->f, &cc.call, buf, len, off);
	if (ret == -EINPROGRESS)
		finish_all();
	ret = cl_end(&cc, ret);
	require(one_of(ret, e_rw) && ret <= (int64_t)len, "answer of an access");
	if (s->kind == CDEV && !s->bound)
		require(ret == -EINVAL, "no access before bind");
}

static void op_mmap(struct input *in)
{
	struct slot *s = &slot[byte(in) % SLOTS];
	uint64_t off = BAR_OFF(byte(in), number(in, 2) << 4), len = number(in, 3);
	int ret;

	if (s->kind != CDEV && s->kind != GDEV)
		return;
	ret = cl_mmap(&w.cl, s->fd, off, len, MAP_SHARED);
	require(!ret || ret == -EINVAL, "answer of mmap");
	if (!ret)
		require(off >> 40 < 6 && (off & 0xffffffff) + len <= TF_BAR0_SIZE, "mmap inside");
}

static void op_function(struct input *in)
{
	struct test_fn *t = &w.fn[byte(in) % WORLD_FNS];
	uint8_t what = byte(in);

	env_strand_lock(&t->fn.strand);
	switch (what % 6) {
	case 0:
		if (!t->hold && t->fn.driver && !t->reset_waits)
			t->hold = pci_dma_hold(&t->fn);
		break;
	case 1:
		tf_finish(t);
		break;
	case 2:
		t->slow_reset = true;
		break;
	case 3:
		pci_msix_raise(&t->fn, what / 6);
		break;
	default:
		pci_intx_set(&t->fn, what & 1);
	}
	env_strand_unlock(&t->fn.strand);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int i, steps = 0;

	log_level_max = LOG_ERROR;
	world_init(&w, false);
	w.cl.ram_only = true;
	memset(slot, 0, sizeof(slot));
	for (i = 0; i < ARRAY_SIZE(evs); i++)
		evs[i] = eventfd(0, EFD_NONBLOCK);
	while (in.left && steps++ < 200) {
		uint8_t op = byte(&in);

		switch (op % 12) {
		case 0: case 1: case 2: case 3:
			op_open(&in, op % 12);
			break;
		case 4:
			op_close(&in);
			break;
		case 8:
			op_rw(&in, false);
			break;
		case 9:
			op_rw(&in, true);
			break;
		case 10:
			op_mmap(&in);
			break;
		case 11:
			op_function(&in);
			break;
		default:
			op_ioctl(&in);
		}
	}
	finish_all();
	world_release(&w);
	for (i = 0; i < ARRAY_SIZE(evs); i++)
		close(evs[i]);
	return 0;
}
