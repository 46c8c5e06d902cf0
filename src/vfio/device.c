/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A function as a VFIO device: its two kinds of files, and opening and closing.
 *
 *   CLOSED --first open--> OPENING --reset over--> OPEN
 *   OPEN --last close--> CLOSING --reset and DMA over--> CLOSED
 *
 * OPENING and CLOSING end in device_advance(), called by whoever started them
 * if the reset is over at once, otherwise by the host's deferred work. An open
 * that finds the device CLOSING waits until it is closed and then starts again.
 * A device that loses its driver goes when it is CLOSED and has no file.
 */
#include "vfio/mig.h"

#define MOVE_TRIES_MAX 10000u		/* at 1 ms each */

static struct device_file *to_device_file(struct vfio_file *f)
{
	return container_of(f, struct device_file, file);
}

/* ---------------------------------------------------------- probe and remove */

static int index_take(struct vfio_host *h, unsigned int *index)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(h->cdev_used); i++) {
		if (h->cdev_used[i] == UINT64_MAX)
			continue;
		*index = i * 64 + (unsigned int)__builtin_ctzll(~h->cdev_used[i]);
		h->cdev_used[i] |= UINT64_C(1) << (*index % 64);
		return 0;
	}
	return -ENOSPC;
}

static void index_give(struct vfio_host *h, unsigned int index)
{
	h->cdev_used[index / 64] &= ~(UINT64_C(1) << (index % 64));
}

static void req_again(struct env_timer *t)
{
	pci_core_request(container_of(t, struct vfio_device, req_timer));
}

int vfio_pci_probe(struct pci_function *fn, struct ferry_err *err)
{
	struct vfio_host *h = container_of(fn->bus, struct vfio_host, bus);
	struct vfio_device *d = calloc(1, sizeof(*d));

	if (!d)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a device");
	if (index_take(h, &d->index) < 0) {
		free(d);
		return ferry_err_set(err, ENOSPC, "E-VFIO-FULL", NULL,
				     "there are %zu VFIO devices already",
				     ARRAY_SIZE(h->cdev_used) * 64);
	}
	d->group = group_find_or_add(h, fn->iommu_group);
	if (!d->group) {
		index_give(h, d->index);
		free(d);
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a group");
	}
	d->host = h;
	d->fn = fn;
	d->wake_fd = -1;
	d->port.fn = fn;
	list_init(&d->port.link);
	list_init(&d->openers);
	list_init(&d->dirty_ports);
	env_timer_init(&d->req_timer, &fn->strand, req_again);
	irqs_init(d);
	list_add_tail(&d->group->devices, &d->group_link);
	return 0;
}

static void device_free(struct vfio_device *d)
{
	struct vfio_group *g = d->group;
	struct pci_unbind *u = d->unbind;

	list_del(&d->group_link);
	index_give(d->host, d->index);
	if (d->mig)
		mig_free(d->mig);
	free(d);
	group_free_if_unused(g);
	u->done(u, 0);
}

void vfio_pci_remove(struct pci_unbind *u)
{
	struct vfio_device *d = vfio_device_of(u->fn);
	struct vfio_host *h = d->host;

	d->unbind = u;
	if (device_advance(d))
		host_defer(h);
}

struct vfio_device *vfio_device_of(struct pci_function *fn)
{
	struct vfio_host *h = container_of(fn->bus, struct vfio_host, bus);
	struct vfio_group *g = fn->bus ? group_find(h, fn->iommu_group) : NULL;
	struct vfio_device *d;

	if (g)
		list_for_each(d, &g->devices, group_link)
			if (d->fn == fn)
				return d;
	return NULL;
}

void vfio_device_describe(struct vfio_device *d, struct vfio_device_info_ext *info)
{
	info->index = d->index;
	info->cdev_major = d->host->dev_major_cdev;
	info->cdev_minor = d->index;
	info->group_major = d->host->dev_major_group;
	info->group_minor = d->group->nr;
	info->open = d->state != DEVICE_CLOSED;
}

static struct vfio_device *device_find(struct vfio_host *h, unsigned int index)
{
	struct vfio_group *g;
	struct vfio_device *d;

	list_for_each(g, &h->groups, link)
		list_for_each(d, &g->devices, group_link)
			if (d->index == index)
				return d;
	return NULL;
}

bool vfio_cdev_find(struct vfio_host *h, unsigned int index, unsigned int *major,
		    unsigned int *minor)
{
	if (!device_find(h, index))
		return false;
	*major = h->dev_major_cdev;
	*minor = index;
	return true;
}

/*
 * Before the host lock: a client whose worker is stuck in a page that never
 * comes has its function's strand. It waits for it here, at nobody's cost but
 * its own, not with the host lock held.
 */
static void knock(struct vfio_device *d)
{
	env_strand_lock(&d->fn->strand);
	env_strand_unlock(&d->fn->strand);
}

/* ------------------------------------------------------------ open and close */

static void fence_over(struct dma_fence *f)
{
	host_defer(container_of(f, struct vfio_device, fence)->host);
}

/* Is what OPENING or CLOSING waits for still going on? */
static bool device_waits(struct vfio_device *d)
{
	bool waits;

	if (d->mig && d->state == DEVICE_CLOSING && mig_busy(d->mig))
		return true;
	/* The callbacks run with the strand held: what is seen here, they have finished with. */
	env_strand_lock(&d->fn->strand);
	waits = d->reset.running || atomic_load(&d->fence.pending);
	env_strand_unlock(&d->fn->strand);
	return waits;
}

/* Hand the strand to @to. false: something is still pending there, try again. */
static bool device_move(struct vfio_device *d, struct ferry_env *to)
{
	int ret;

	env_strand_lock(&d->fn->strand);
	ret = env_strand_move(&d->fn->strand, to);
	env_strand_unlock(&d->fn->strand);
	if (ret < 0 && ++d->move_tries < MOVE_TRIES_MAX)
		return false;
	if (ret < 0)
		log_msg(LOG_ERROR, PCI_BDF_FMT ": does not come to rest, stays with its worker",
			PCI_BDF_ARG(d->fn->bdf));
	d->move_tries = 0;
	return true;
}

static void answer_open(struct device_file *df, int64_t ret)
{
	struct vfio_device *d = df->dev;
	struct vfio_call *call = take_ptr(df->open_call);

	list_del(&df->open_link);
	if (!call)
		return;
	if (ret < 0)
		call->new_file = NULL;
	if (call == d->current)
		d->current_ret = ret;
	else
		call->ops->complete(call, ret);
}

static void unbind_object(struct device_file *df)
{
	struct vfio_iommufd *i = take_ptr(df->iommufd);

	if (df->object) {
		iommufd_remove(i, &df->object->obj);
		free(take_ptr(df->object));
	}
	if (i)
		iommufd_put(i);
}

/* The client's file is gone, and nothing of the device is left in use by it. */
static void file_gone(struct device_file *df)
{
	struct vfio_device *d = df->dev;

	if (d->cdev == df)
		d->cdev = NULL;
	if (!df->from_cdev)
		group_device_file_gone(d->group);
	d->nr_files--;
	host_done(df);
}

/* An open that came to nothing: a cdev file is as before, a group's never was. */
static void open_failed(struct device_file *df, int64_t ret)
{
	answer_open(df, ret);
	if (df->from_cdev) {
		df->dev->cdev = NULL;
		unbind_object(df);
	}
	if (!df->from_cdev || df->closing)
		file_gone(df);
}

static void open_all_failed(struct vfio_device *d, int64_t ret)
{
	while (!list_empty(&d->openers))
		open_failed(list_first(&d->openers, struct device_file, open_link), ret);
}

static void open_start(struct vfio_device *d)
{
	d->config = calloc(1, sizeof(*d->config));
	if (!d->config) {
		open_all_failed(d, -ENOMEM);
		return;
	}
	d->state = DEVICE_OPENING;
	env_strand_lock(&d->fn->strand);
	pci_core_disable(d);
	env_strand_unlock(&d->fn->strand);
}

static void close_start(struct vfio_device *d)
{
	d->state = DEVICE_CLOSING;
	atomic_store(&d->fence.pending, 1);
	d->fence.done = fence_over;
	env_strand_lock(&d->fn->strand);
	pci_core_disable(d);
	env_strand_unlock(&d->fn->strand);
	if (d->cdev && d->cdev->object) {
		iommufd_detach(d->cdev->iommufd, d->cdev->object, &d->fence);
		unbind_object(d->cdev);
	} else {
		(void)ioas_port_move(&d->port, NULL, &d->fence);
	}
	atomic_fetch_sub(&d->fence.pending, 1);
	if (d->mig)
		mig_close(d->mig);
}

/* Nobody has @df open any more; the last one closes the device. */
static void file_close(struct device_file *df)
{
	struct vfio_device *d = df->dev;

	atomic_store_explicit(&df->ready, false, memory_order_release);
	if (!df->counted) {
		file_gone(df);
		return;
	}
	df->counted = false;
	if (--d->nr_open) {
		env_strand_lock(&d->fn->strand);
		region_unshare(d, df);
		env_strand_unlock(&d->fn->strand);
		file_gone(df);
		return;
	}
	d->closer = df;
	close_start(d);
}

static void file_opened(struct device_file *df)
{
	df->counted = true;
	df->dev->nr_open++;
	atomic_store_explicit(&df->ready, true, memory_order_release);
	answer_open(df, 0);
	/* The client was gone before it had it. */
	if (df->closing)
		file_close(df);
}

/* The reset is over. false: look again soon. */
static bool open_finish(struct vfio_device *d)
{
	struct device_file *first = list_first(&d->openers, struct device_file, open_link);
	struct ioas *as = d->cdev ? NULL : group_ioas(d->group);
	int ret;

	if (!device_move(d, first->open_call->env))
		return false;
	ret = as ? dirty_log_attach(&d->group->container->log, d) : 0;
	if (as && !ret)
		ret = ioas_port_move(&d->port, as, NULL);
	if (ret < 0) {
		open_all_failed(d, ret);
		close_start(d);
		return true;
	}
	env_strand_lock(&d->fn->strand);
	pci_core_enable(d);
	env_strand_unlock(&d->fn->strand);
	if (d->mig)
		mig_open(d->mig);
	d->state = DEVICE_OPEN;
	while (!list_empty(&d->openers))
		file_opened(list_first(&d->openers, struct device_file, open_link));
	return true;
}

static bool close_finish(struct vfio_device *d)
{
	if (!device_move(d, d->host->env))
		return false;
	free(take_ptr(d->config));
	dirty_log_leave(d);
	if (d->mig)
		mig_settle(d->mig);
	d->state = DEVICE_CLOSED;
	if (d->closer)
		file_gone(take_ptr(d->closer));
	return true;
}

/* The client is asked to let go. It may keep its function's strand: never waited for. */
static bool ask(struct vfio_device *d)
{
	if (env_strand_lock_for(&d->fn->strand, 0) < 0)
		return false;
	pci_core_request(d);
	env_strand_unlock(&d->fn->strand);
	d->asked = true;
	return true;
}

bool device_advance(struct vfio_device *d)
{
	for (;;) {
		switch (d->state) {
		case DEVICE_OPENING:
			if (device_waits(d))
				return false;
			if (!open_finish(d))
				return true;
			break;
		case DEVICE_CLOSING:
			if (device_waits(d))
				return false;
			if (!close_finish(d))
				return true;
			break;
		case DEVICE_CLOSED:
			if (d->unbind)
				open_all_failed(d, -ENODEV);
			if (!list_empty(&d->openers)) {
				open_start(d);
				break;
			}
			if (d->unbind && !d->nr_files)
				device_free(d);
			return false;
		case DEVICE_OPEN:
			if (d->mig)
				mig_advance(d->mig);
			return d->unbind && !d->asked && !ask(d);
		}
	}
}

/* From the thread that runs @call: 0, -EINPROGRESS, or why not. */
static int64_t device_open(struct device_file *df, struct vfio_call *call)
{
	struct vfio_device *d = df->dev;

	df->open_call = call;
	list_add_tail(&d->openers, &df->open_link);
	d->current = call;
	d->current_ret = -EINPROGRESS;
	if (d->state == DEVICE_OPEN)
		file_opened(df);
	else if (device_advance(d))
		host_defer(d->host);
	d->current = NULL;
	return d->current_ret;
}

/* --------------------------------------------------------------------- files */

static int64_t device_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			    uint64_t arg);

static bool file_ready(struct device_file *df)
{
	return atomic_load_explicit(&df->ready, memory_order_acquire);
}

static int64_t device_pread(struct vfio_file *f, struct vfio_call *call, void *buf, size_t count,
			    uint64_t off)
{
	struct device_file *df = to_device_file(f);

	return file_ready(df) ? region_read(df, call, buf, count, off) : -EINVAL;
}

static int64_t device_pwrite(struct vfio_file *f, struct vfio_call *call, const void *buf,
			     size_t count, uint64_t off)
{
	struct device_file *df = to_device_file(f);

	return file_ready(df) ? region_write(df->dev, call, buf, count, off) : -EINVAL;
}

static int device_mmap(struct vfio_file *f, struct vfio_call *call, uint64_t off, uint64_t len,
		       int prot, int flags)
{
	struct device_file *df = to_device_file(f);

	return file_ready(df) ? region_mmap(df, off, len, flags) : -EINVAL;
}

static void device_close(struct vfio_file *f, void (*done)(void *arg), void *arg)
{
	struct device_file *df = to_device_file(f);
	struct vfio_host *h = f->host;
	struct vfio_device *d = df->dev;

	knock(d);
	vfio_host_lock(h);
	df->done = done;
	df->done_arg = arg;
	df->closing = true;
	/* Opening: it closes when it is open. */
	if (list_empty(&df->open_link)) {
		file_close(df);
		if (device_advance(d))
			host_defer(h);
	}
	host_unlock(h);
}

static const struct vfio_file_ops device_ops = {
	.type = VFIO_FILE_DEVICE,
	.ioctl = device_ioctl,
	.pread = device_pread,
	.pwrite = device_pwrite,
	.mmap = device_mmap,
	.close = device_close,
};

struct device_file *device_file_of(struct vfio_file *f)
{
	return f->ops == &device_ops ? to_device_file(f) : NULL;
}

static struct device_file *file_alloc(struct vfio_device *d, bool from_cdev)
{
	struct device_file *df = calloc(1, sizeof(*df));

	if (!df)
		return NULL;
	if (from_cdev)
		host_file_init(d->host, &df->file, &device_ops, "/dev/vfio/devices/vfio%u",
			       d->index);
	else
		host_file_init(d->host, &df->file, &device_ops, "anon_inode:[vfio-device]");
	df->dev = d;
	df->from_cdev = from_cdev;
	atomic_init(&df->ready, false);
	list_init(&df->open_link);
	list_init(&df->done_link);
	return df;
}

int64_t device_open_group(struct vfio_device *d, struct vfio_call *call)
{
	struct device_file *df;

	if (d->cdev)
		return -EBUSY;
	df = file_alloc(d, false);
	if (!df)
		return -ENOMEM;
	d->nr_files++;
	d->group->nr_device_files++;
	call->new_file = &df->file;
	return device_open(df, call);
}

int vfio_open_cdev(struct vfio_host *h, unsigned int index, struct vfio_file **f)
{
	struct device_file *df = NULL;
	struct vfio_device *d;
	int ret = -ENODEV;

	vfio_host_lock(h);
	d = device_find(h, index);
	if (d && !d->unbind) {
		df = file_alloc(d, true);
		ret = df ? 0 : -ENOMEM;
	}
	if (df) {
		d->nr_files++;
		*f = &df->file;
	}
	host_unlock(h);
	return ret;
}

/* ------------------------------------------------------ bind, attach, detach */

static int bind_args(struct vfio_call *call, uint64_t arg, struct vfio_bind_full *b)
{
	const uint32_t min = offsetof(struct vfio_bind_full, token_uuid_ptr);
	int ret;

	memset(b, 0, sizeof(*b));
	ret = user_in(call, arg, b, min);
	if (ret < 0)
		return ret;
	if ((b->flags & ~(uint32_t)VFIO_DEVICE_BIND_FLAG_TOKEN) || b->iommufd < 0)
		return -EINVAL;
	ret = user_tail(call, arg, b, b->argsz, min, sizeof(*b));
	return ret < 0 ? ret : user_zero(call, arg, sizeof(*b), b->argsz);
}

/* Host lock. */
static int bind_reserve(struct device_file *df, struct vfio_iommufd *i, int file_err)
{
	struct vfio_device *d = df->dev;
	struct iommufd_device *o;
	int ret;

	if (d->group->opener)
		return -EBUSY;
	if (d->cdev)
		return -EINVAL;
	if (file_err < 0)
		return file_err;
	if (d->unbind)
		return -ENODEV;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	ret = iommufd_add(i, &o->obj, IOMMUFD_DEVICE);
	if (ret < 0) {
		free(o);
		return ret;
	}
	o->obj.users = 1;
	o->dev = d;
	df->object = o;
	df->iommufd = i;
	iommufd_get(i);
	d->cdev = df;
	return 0;
}

static int64_t bind(struct device_file *df, struct vfio_call *call, uint64_t arg)
{
	struct vfio_host *h = df->file.host;
	struct vfio_iommufd *i = NULL;
	struct vfio_bind_full b;
	struct vfio_file *f = NULL;
	int file_err;
	int64_t ret = bind_args(call, arg, &b);

	if (ret < 0)
		return ret;
	if (!df->from_cdev)
		return -EINVAL;
	file_err = call->ops->file(call, b.iommufd, &f);
	if (!file_err) {
		i = f && f->host == h ? iommufd_of_file(f) : NULL;
		file_err = i ? 0 : -EBADFD;
	}
	if (!file_err && (b.flags & VFIO_DEVICE_BIND_FLAG_TOKEN))
		file_err = -EINVAL;	/* no function here has a token */
	vfio_host_lock(h);
	ret = bind_reserve(df, i, file_err);
	if (!ret)
		b.out_devid = df->object->obj.id;
	host_unlock(h);
	if (ret < 0)
		return ret;
	ret = call->ops->copy_out(call, arg + offsetof(struct vfio_bind_full, out_devid),
				  &b.out_devid, sizeof(b.out_devid));
	vfio_host_lock(h);
	if (!ret) {
		ret = device_open(df, call);
	} else {
		df->dev->cdev = NULL;
		unbind_object(df);
	}
	host_unlock(h);
	return ret;
}

/* Host lock. */
static int attach_locked(struct device_file *df, uint32_t *pt_id, struct dma_fence *fence)
{
	bool resetting;

	env_strand_lock(&df->dev->fn->strand);
	resetting = df->dev->reset.running;
	env_strand_unlock(&df->dev->fn->strand);
	if (resetting)
		return -EBUSY;
	return iommufd_attach(df->iommufd, df->object, pt_id, fence);
}

static int64_t attach(struct device_file *df, struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct vfio_attach_full, pasid);
	struct vfio_host *h = df->file.host;
	struct vfio_attach_full a;
	struct ioas_op *op;
	int64_t ret = user_in(call, arg, &a, min);

	if (ret < 0)
		return ret;
	if (a.flags & ~(uint32_t)VFIO_DEVICE_ATTACH_PASID)
		return -EINVAL;
	if (a.flags)
		return a.argsz < sizeof(a) ? -EINVAL : -EOPNOTSUPP;
	op = ioas_op_alloc(call);
	if (!op)
		return -ENOMEM;
	knock(df->dev);
	vfio_host_lock(h);
	ret = attach_locked(df, &a.pt_id, &op->fence);
	host_unlock(h);
	if (!ret)
		ret = call->ops->copy_out(call, arg + offsetof(struct vfio_attach_full, pt_id),
					  &a.pt_id, sizeof(a.pt_id));
	return ioas_op_end(op, ret);
}

static int64_t detach(struct device_file *df, struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct vfio_detach_full, pasid);
	struct vfio_host *h = df->file.host;
	struct vfio_detach_full a;
	struct ioas_op *op;
	int64_t ret = user_in(call, arg, &a, min);

	if (ret < 0)
		return ret;
	if (a.flags & ~(uint32_t)VFIO_DEVICE_DETACH_PASID)
		return -EINVAL;
	if (a.flags)
		return a.argsz < sizeof(a) ? -EINVAL : -EOPNOTSUPP;
	op = ioas_op_alloc(call);
	if (!op)
		return -ENOMEM;
	knock(df->dev);
	vfio_host_lock(h);
	iommufd_detach(df->iommufd, df->object, &op->fence);
	host_unlock(h);
	return ioas_op_end(op, 0);
}

static int64_t device_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			    uint64_t arg)
{
	struct device_file *df = to_device_file(f);

	if (cmd == VFIO_DEVICE_BIND_IOMMUFD)
		return bind(df, call, arg);
	if (!file_ready(df))
		return -EINVAL;
	if (df->from_cdev && cmd == VFIO_DEVICE_ATTACH_IOMMUFD_PT)
		return attach(df, call, arg);
	if (df->from_cdev && cmd == VFIO_DEVICE_DETACH_IOMMUFD_PT)
		return detach(df, call, arg);
	return pci_core_ioctl(df, call, cmd, arg);
}
