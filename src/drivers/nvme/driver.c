/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * `nvme`: probe, remove, and what is done on the control strand: publishing
 * the lm_controllers of a controller that is live, withdrawing those of one
 * that was reset, having VFs again that an FLR of their PF took.
 */
#include "drivers/nvme/dev.h"

#define PCI_CLASS_NVME 0x010802u

struct nvme_driver_params nvme_driver_params = {
	.admin_ns = 60 * DEV_NS_PER_S,
	.suspend_ns = 90 * DEV_NS_PER_S,
};

void dev_raise(struct nvme_dev *dev, unsigned int event)
{
	dev->events |= event;
	env_work_queue(&dev->control);
}

static unsigned int events_take(struct nvme_dev *dev)
{
	unsigned int ev;

	env_strand_lock(&dev->fn->strand);
	ev = dev->events;
	dev->events = 0;
	env_strand_unlock(&dev->fn->strand);
	return ev;
}

/* ------------------------------------------------------------------- life */

static void dev_free(struct nvme_dev *dev)
{
	lm_free_all(dev);
	ferry_mem_put(dev->mem);
	free(dev);
}

static struct nvme_dev *dev_alloc(struct pci_function *fn)
{
	struct nvme_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->mem = ferry_mem_alloc(DEV_MEM_SIZE);
	if (!dev->mem) {
		free(dev);
		return NULL;
	}
	dev->base = dev->mem->base;
	dev->fn = fn;
	dev->host = container_of(fn->bus, struct vfio_host, bus);
	list_init(&dev->waiting);
	list_init(&dev->failed);
	list_init(&dev->waits);
	return dev;
}

static struct dma_table *table_make(const struct nvme_dev *dev)
{
	struct dma_table *t = dma_table_alloc(1);

	if (t)
		t->r[0] = (struct dma_range){
			.iova = DEV_IOVA, .last = DEV_IOVA + DEV_MEM_SIZE - 1,
			.mem = ferry_mem_get(dev->mem), .perm = DMA_READ | DMA_WRITE };
	return t;
}

/* ---------------------------------------------------------------- VFs come and go */

static struct nvme_dev *observer_dev(struct pci_observer *o)
{
	return container_of(o, struct nvme_dev, observer);
}

static bool is_live(struct nvme_dev *dev)
{
	bool live;

	env_strand_lock(&dev->fn->strand);
	live = dev->state == NVME_DEV_LIVE;
	env_strand_unlock(&dev->fn->strand);
	return live;
}

static void vf_added(struct pci_observer *o, struct pci_function *fn)
{
	struct nvme_dev *dev = observer_dev(o);

	if (pci_physfn(fn) != dev->fn)
		return;
	if (dev->coming_back)
		(void)pci_set_driver_override(fn, dev->override[pci_vf_index(fn)], sizeof(dev->override[0]));
	if (is_live(dev))
		lm_publish(dev);
}

static void vf_removed(struct pci_observer *o, struct pci_function *fn)
{
	struct nvme_dev *dev = observer_dev(o);

	if (pci_physfn(fn) != dev->fn)
		return;
	lm_withdraw_one(dev, pci_vf_index(fn));
	memcpy(dev->override[pci_vf_index(fn)], fn->driver_override, sizeof(fn->driver_override));
}

/* After an FLR the VFs leave the bus; then there are to be as many again, in the old shape, with the old drivers. */
static void vfs_changed(struct pci_observer *o, struct pci_function *pf)
{
	struct nvme_dev *dev = observer_dev(o);

	if (pf != dev->fn)
		return;
	env_strand_lock(&pf->strand);
	if (pci_sriov_numvfs(pf)) {
		dev->nr_vfs = pci_sriov_numvfs(pf);
		if (dev->state == NVME_DEV_LIVE)
			secondary_restore(dev, false, NULL);
	} else {
		dev->bring_back |= pci_reset_busy(pf) || dev->was_reset || (dev->events & EV_FLR);
	}
	env_strand_unlock(&pf->strand);
	if (dev->bring_back)
		env_work_queue(&dev->control);
}

/* Not from an observer: it would begin anew what has just ended. */
static void vfs_bring_back(struct nvme_dev *dev)
{
	struct ferry_err err;

	if (!dev->bring_back || pci_sriov_numvfs(dev->fn) || !is_live(dev))
		return;
	dev->bring_back = false;
	dev->coming_back = true;
	if (pci_sriov_set(dev->fn, dev->nr_vfs, NULL, &err) < 0)
		DEV_LOG(dev, LOG_WARN, "its %u VFs do not come back: %s", dev->nr_vfs, err.msg);
	dev->coming_back = false;
}

/* ------------------------------------------------------------- control strand */

static void waits_end(struct nvme_dev *dev, int err)
{
	struct list was = LIST_INIT(was);

	while (!list_empty(&dev->waits)) {
		struct list *l = dev->waits.next;

		list_del(l);
		list_add_tail(&was, l);
	}
	while (!list_empty(&was)) {
		struct nvme_dev_wait *w = list_first(&was, struct nvme_dev_wait, link);

		list_del(&w->link);
		w->done(w, err);
	}
}

static void control_run(struct env_work *work)
{
	struct nvme_dev *dev = container_of(work, struct nvme_dev, control);
	struct vfio_host *h = dev->host;
	unsigned int ev;

	vfio_host_lock(h);
	ev = events_take(dev);
	if (ev & EV_LOST)
		lm_withdraw(dev);
	if ((ev & EV_FLR) && pci_sriov_numvfs(dev->fn) && !pci_sriov_enabled(dev->fn))
		dev->bring_back = true;
	if (ev & EV_REMOVED) {
		struct pci_unbind *u = dev->unbind;

		waits_end(dev, -EIO);
		env_work_cancel(&dev->control);
		dev_free(dev);
		u->done(u, 0);
		vfio_host_unlock(h);
		return;
	}
	if (!dev->unbind && is_live(dev)) {
		lm_publish(dev);
		vfs_bring_back(dev);
		waits_end(dev, 0);
	} else if (ev & EV_DEAD) {
		waits_end(dev, -EIO);
	}
	vfio_host_unlock(h);
}

static int probe(struct pci_function *fn, struct ferry_err *err)
{
	struct dma_table *t;
	struct nvme_dev *dev;

	if (pci_physfn(fn))
		return ferry_err_set(err, ENODEV, "E-DRIVER-VF", "bind a VFIO driver",
				     "driver nvme is for controlling functions, not for VFs");
	if (!fn->shape.msix_vectors || fn->shape.bar[0].size < NVME_REG_DOORBELLS + DEV_PAGE)
		return ferry_err_set(err, ENODEV, "E-DRIVER-DEVICE", NULL,
				     "driver nvme needs MSI-X and NVMe registers in BAR 0");
	dev = dev_alloc(fn);
	t = dev ? table_make(dev) : NULL;
	if (!t) {
		if (dev)
			dev_free(dev);
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	}
	env_work_init(&dev->control, &dev->host->control, control_run);
	dev->observer = (struct pci_observer){ .added = vf_added, .removed = vf_removed,
					       .vfs_changed = vfs_changed };
	pci_bus_observe(fn->bus, &dev->observer);
	dev->nr_vfs = pci_sriov_numvfs(fn);
	fn->driver_data = dev;
	env_strand_lock(&fn->strand);
	pci_dma_set(fn, t, NULL);
	ctrl_init(dev);
	ctrl_connect(dev);
	env_strand_unlock(&fn->strand);
	dma_table_put(t);
	return 0;
}

static void driver_remove(struct pci_unbind *u)
{
	struct nvme_dev *dev = u->fn->driver_data;

	dev->unbind = u;
	list_del(&dev->observer.link);
	lm_withdraw(dev);
	env_strand_lock(&u->fn->strand);
	ctrl_remove(dev);
	env_strand_unlock(&u->fn->strand);
}

/* ------------------------------------------------------------------ public */

struct nvme_dev *nvme_dev_of(const struct pci_function *fn)
{
	return fn->driver == &nvme_driver && !fn->unbinding ? fn->driver_data : NULL;
}

const char *nvme_dev_state_name(enum nvme_dev_state s)
{
	static const char *const names[] = {
		[NVME_DEV_CONNECTING] = "connecting", [NVME_DEV_LIVE] = "live",
		[NVME_DEV_RESETTING] = "resetting", [NVME_DEV_DELETING] = "deleting",
		[NVME_DEV_DEAD] = "dead",
	};

	return names[s];
}

void nvme_dev_info(struct nvme_dev *dev, struct nvme_dev_info *info)
{
	env_strand_lock(&dev->fn->strand);
	*info = (struct nvme_dev_info){
		.state = dev->state, .lm = dev->lm_capable,
		.virt = le16_get(dev->id.oacs) & NVME_OACS_VIRT_MGMT,
		.cntlid = le16_get(dev->id.cntlid), .vq_max = dev->vq_max, .vi_max = dev->vi_max,
		.resets = dev->resets, .commands = dev->commands,
	};
	env_strand_unlock(&dev->fn->strand);
}

void nvme_dev_wait(struct nvme_dev *dev, struct nvme_dev_wait *w)
{
	list_add_tail(&dev->waits, &w->link);
	env_strand_lock(&dev->fn->strand);
	if (dev->state == NVME_DEV_LIVE)
		dev_raise(dev, EV_LIVE);
	else if (dev->state == NVME_DEV_DEAD)
		dev_raise(dev, EV_DEAD);
	env_strand_unlock(&dev->fn->strand);
}

int nvme_dev_migratable(struct nvme_dev *dev, unsigned int index, bool on)
{
	if (index >= SRIOV_VFS_MAX)
		return -ENODEV;
	dev->migratable[index] = on;
	lm_publish(dev);
	return 0;
}

static const struct pci_id ids[] = {
	{ PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, PCI_CLASS_NVME, 0xffffff },
	{ 0 },
};

const struct pci_driver nvme_driver = {
	.name = "nvme",
	.module = "nvme",
	.alias = "pci",
	.ids = ids,
	.probe = probe,
	.remove = driver_remove,
	.sriov = true,
};
