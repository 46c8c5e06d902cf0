/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Resets that a client asks for. What the kernel saves and restores around a
 * reset is saved before and restored after; the client's own view (pci_config.c)
 * does not change. Only one runs: whoever comes meanwhile waits for it.
 */
#include "vfio/mig.h"

static const uint16_t aer_regs[] = {
	PCI_ERR_UNCOR_MASK, PCI_ERR_UNCOR_SEVER, PCI_ERR_COR_MASK, PCI_ERR_CAP,
};
static_assert(ARRAY_SIZE(aer_regs) == ARRAY_SIZE(((struct vfio_reset *)NULL)->aer), "aer");

static void save(struct vfio_device *d)
{
	struct pci_function *fn = d->fn;
	struct vfio_reset *r = &d->reset;
	unsigned int i;

	r->command = (uint16_t)pci_config_read(fn, PCI_COMMAND, 2);
	r->cache_line = (uint8_t)pci_config_read(fn, PCI_CACHE_LINE_SIZE, 1);
	if (fn->cap_exp) {
		r->devctl = (uint16_t)pci_config_read(fn, fn->cap_exp + PCI_EXP_DEVCTL, 2);
		r->devctl2 = (uint16_t)pci_config_read(fn, fn->cap_exp + PCI_EXP_DEVCTL2, 2);
	}
	for (i = 0; fn->cap_aer && i < ARRAY_SIZE(aer_regs); i++)
		r->aer[i] = pci_config_read(fn, fn->cap_aer + aer_regs[i], 4);
}

static void restore(struct vfio_device *d)
{
	struct pci_function *fn = d->fn;
	struct vfio_reset *r = &d->reset;
	unsigned int i;

	if (fn->cap_exp) {
		pci_config_write(fn, fn->cap_exp + PCI_EXP_DEVCTL, 2,
				 r->devctl & ~(uint32_t)PCI_EXP_DEVCTL_BCR_FLR);
		pci_config_write(fn, fn->cap_exp + PCI_EXP_DEVCTL2, 2, r->devctl2);
	}
	for (i = 0; fn->cap_aer && i < ARRAY_SIZE(aer_regs); i++)
		pci_config_write(fn, fn->cap_aer + aer_regs[i], 4, r->aer[i]);
	pci_config_write(fn, PCI_CACHE_LINE_SIZE, 1, r->cache_line);
	irqs_restore(d);
	pci_config_write(fn, PCI_COMMAND, 2, r->command);
}

static void reset_over(struct pci_reset_waiter *w)
{
	struct vfio_reset *r = container_of(w, struct vfio_reset, w);
	struct vfio_device *d = container_of(r, struct vfio_device, reset);
	bool restored = r->restore;

	r->running = false;
	if (restored)
		restore(d);
	if (d->mig)
		mig_was_reset(d->mig);
	while (r->calls) {
		struct vfio_call *call = r->calls;

		r->calls = call->user_ptr[0];
		call->ops->complete(call, (int64_t)call->user[0]);
	}
	/* An open or a close: with the host lock, which may not be taken here. */
	if (!restored)
		host_defer(d->host);
}

void reset_start(struct vfio_device *d, enum pci_reset_kind kind, bool want_restore)
{
	struct vfio_reset *r = &d->reset;

	if (r->running) {
		/* The device is being closed: what comes after the reset is not the client's any more. */
		r->restore &= want_restore;
		if (kind == PCI_RESET_BUS)
			pci_reset(d->fn, kind, NULL);
		return;
	}
	save(d);
	r->running = true;
	r->restore = want_restore;
	r->w = (struct pci_reset_waiter){ .done = reset_over };
	if (kind == PCI_RESET_D3HOT) {
		uint16_t at = d->fn->cap_pm + PCI_PM_CTRL;
		uint32_t val = pci_config_read(d->fn, at, 2) & ~(uint32_t)PCI_PM_CTRL_STATE_MASK;

		pci_config_write(d->fn, at, 2, val);
		if (!pci_reset_busy(d->fn)) {
			reset_over(&r->w);
			return;
		}
	}
	pci_reset(d->fn, kind, &r->w);
}

int64_t reset_answer(struct vfio_device *d, struct vfio_call *call, int64_t ret)
{
	if (!d->reset.running)
		return ret;
	call->user[0] = (uint64_t)ret;
	call->user_ptr[0] = d->reset.calls;
	d->reset.calls = call;
	return -EINPROGRESS;
}

static int64_t reset_for(struct vfio_device *d, struct vfio_call *call, enum pci_reset_kind kind)
{
	int64_t ret;

	env_strand_lock(&d->fn->strand);
	reset_start(d, kind, true);
	ret = reset_answer(d, call, 0);
	env_strand_unlock(&d->fn->strand);
	return ret;
}

int64_t device_reset(struct vfio_device *d, struct vfio_call *call)
{
	return reset_for(d, call, PCI_RESET_FLR);
}

/* Every function here is the only one of its slot and bus, as far as a reset goes. */
int64_t hot_reset_info(struct device_file *df, struct vfio_call *call, uint64_t arg)
{
	const struct vfio_device *d = df->dev;
	struct vfio_pci_hot_reset_info info;
	struct vfio_pci_dependent_device dep = {
		.segment = d->fn->bdf.domain, .bus = d->fn->bdf.bus, .devfn = d->fn->bdf.devfn,
	};
	int64_t ret = user_in(call, arg, &info, sizeof(info));

	if (ret < 0)
		return ret;
	info.flags = 0;
	info.count = 1;
	dep.group_id = d->group->nr;
	if (df->from_cdev) {
		info.flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
		dep.devid = df->object->obj.id;
	}
	ret = call->ops->copy_out(call, arg, &info, sizeof(info));
	if (ret < 0)
		return ret;
	if (info.argsz < sizeof(info) + sizeof(dep))
		return -ENOSPC;
	return call->ops->copy_out(call, arg + sizeof(info), &dep, sizeof(dep));
}

static int64_t hot_reset_group(struct vfio_device *d, struct vfio_call *call, uint64_t arg,
			       uint32_t count)
{
	struct vfio_file *f;
	int32_t fd;
	int64_t ret;

	if (count != 1)
		return -EINVAL;
	ret = call->ops->copy_in(call, &fd, arg + sizeof(struct vfio_pci_hot_reset), sizeof(fd));
	if (!ret)
		ret = fd < 0 ? -EBADF : call->ops->file(call, fd, &f);
	if (ret < 0)
		return ret;
	return f && group_of_file(f) == d->group ? 0 : -EINVAL;
}

int64_t hot_reset(struct device_file *df, struct vfio_call *call, uint64_t arg)
{
	struct vfio_pci_hot_reset r;
	int64_t ret = user_in(call, arg, &r, sizeof(r));

	if (ret < 0)
		return ret;
	if (r.flags)
		return -EINVAL;
	if (df->from_cdev)
		ret = r.count ? -EINVAL : 0;
	else
		ret = hot_reset_group(df->dev, call, arg, r.count);
	return ret < 0 ? ret : reset_for(df->dev, call, PCI_RESET_BUS);
}
