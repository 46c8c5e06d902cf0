/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * INTx: level triggered, masked by each delivery until the client unmasks it,
 * by a call or through an eventfd of its own. The function's own INTx Disable
 * bit is left alone: masked means that we do not listen, and look at the level
 * when we listen again.
 */
#include "vfio/internal.h"

static void intx_deliver(struct vfio_device *d)
{
	struct vfio_irqs *q = &d->irqs;

	if (q->mode != IRQ_INTX || q->intx_masked || q->intx_disabled || !d->fn->intx_level)
		return;
	q->intx_masked = true;
	irq_signal(q->intx_fd);
}

static void intx_fired(void *arg, unsigned int vector)
{
	intx_deliver(arg);
}

static void intx_unmask(struct vfio_device *d)
{
	d->irqs.intx_masked = false;
	intx_deliver(d);
}

void intx_command(struct vfio_device *d, bool disabled)
{
	if (d->irqs.intx_disabled == disabled)
		return;
	d->irqs.intx_disabled = disabled;
	intx_deliver(d);
}

/* Emptied without the risk to wait: the client reads it too, and may empty it first. */
static void unmask_fired(struct env_watch *w)
{
	struct vfio_irqs *q = container_of(w, struct vfio_irqs, unmask);
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };

	(void)!preadv2(w->fd, &iov, 1, -1, RWF_NOWAIT);
	intx_unmask(container_of(q, struct vfio_device, irqs));
}

static void unmask_watch_drop(struct vfio_device *d)
{
	struct env_watch *w = &d->irqs.unmask;

	if (w->fd < 0)
		return;
	env_watch_del(w);
	close(take_fd(&w->fd));
}

static int64_t unmask_watch_set(struct vfio_device *d, struct irq_request *r)
{
	struct env_watch *w = &d->irqs.unmask;
	int ret;

	if (r->err)
		return r->err;
	if (r->fd[0] < 0) {
		unmask_watch_drop(d);
		return 0;
	}
	if (w->fd >= 0)
		return -EBUSY;
	*w = (struct env_watch){ .fn = unmask_fired, .st = &d->fn->strand, .fd = take_fd(&r->fd[0]) };
	ret = env_watch_add(w);
	if (ret < 0)
		close(take_fd(&w->fd));
	return ret;
}

static void intx_enable(struct vfio_device *d)
{
	d->irqs.mode = IRQ_INTX;
	d->irqs.intx_masked = false;
	d->fn->intx_irq = (struct pci_irq){ intx_fired, d };
}

void intx_release(struct vfio_device *d)
{
	d->fn->intx_irq = (struct pci_irq){ 0 };
	unmask_watch_drop(d);
	if (d->irqs.intx_fd >= 0)
		close(take_fd(&d->irqs.intx_fd));
	d->irqs.intx_masked = false;
	d->irqs.mode = IRQ_NONE;
}

static int64_t intx_trigger(struct vfio_device *d, struct irq_request *r)
{
	bool on = d->irqs.mode == IRQ_INTX;

	if (on && !r->count && r->data == VFIO_IRQ_SET_DATA_NONE) {
		intx_release(d);
		return 0;
	}
	if ((!on && d->irqs.mode != IRQ_NONE) || r->start || r->count != 1)
		return -EINVAL;
	if (r->data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (r->err)
			return r->err;
		if (d->irqs.intx_fd >= 0)
			close(take_fd(&d->irqs.intx_fd));
		d->irqs.intx_fd = take_fd(&r->fd[0]);
		if (!on)
			intx_enable(d);
		intx_deliver(d);
		return 0;
	}
	if (!on)
		return -EINVAL;
	if ((r->data == VFIO_IRQ_SET_DATA_NONE || r->bools[0]) && !d->irqs.intx_disabled)
		irq_signal(d->irqs.intx_fd);
	return 0;
}

int64_t intx_request(struct vfio_device *d, struct irq_request *r)
{
	bool unmask = r->action == VFIO_IRQ_SET_ACTION_UNMASK;

	if (r->action == VFIO_IRQ_SET_ACTION_TRIGGER)
		return intx_trigger(d, r);
	if (d->irqs.mode != IRQ_INTX || r->start || r->count != 1)
		return -EINVAL;
	if (r->data == VFIO_IRQ_SET_DATA_EVENTFD)
		return unmask ? unmask_watch_set(d, r) : -ENOTTY;
	if (r->data == VFIO_IRQ_SET_DATA_BOOL && !r->bools[0])
		return 0;
	if (unmask)
		intx_unmask(d);
	else
		d->irqs.intx_masked = true;
	return 0;
}
