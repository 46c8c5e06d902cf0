/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Interrupts: GET_IRQ_INFO, SET_IRQS, MSI-X, and the two that are no
 * interrupts of the device (ERR, REQ). INTx is in intx.c.
 *
 * MSI-X can grow while it is on: it is enabled with all vectors, those without
 * an eventfd masked, so that what is raised on one meanwhile stays pending
 * until it has one.
 *
 * The client's arrays and descriptors are fetched before the strand is taken.
 * If one of a block can't be had, those before it have taken effect by then in
 * the kernel, and are taken back; the outcome here is the same.
 */
#include <poll.h>

#include "vfio/internal.h"

#define ACTIONS VFIO_IRQ_SET_ACTION_TYPE_MASK
#define DATA VFIO_IRQ_SET_DATA_TYPE_MASK

/*
 * The eventfd is the client's too, and may be in blocking mode and full: then
 * it is signalled already.
 */
void irq_signal(int fd)
{
	const uint64_t one = 1;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (fd < 0 || poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return;
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Descriptors are closed after use; -1 is none. */
static void drop(int *fd)
{
	if (*fd >= 0)
		close(take_fd(fd));
}

unsigned int irq_count(const struct vfio_device *d, unsigned int index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return d->fn->shape.intx ? 1 : 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return pci_msix_count(d->fn);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return d->fn->cap_exp ? 1 : 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;	/* no function here has MSI */
	}
}

int64_t irq_info(struct vfio_device *d, struct vfio_call *call, uint64_t arg)
{
	struct vfio_irq_info info;
	int ret = user_in(call, arg, &info, sizeof(info));

	if (ret < 0)
		return ret;
	if (info.index >= VFIO_PCI_NUM_IRQS ||
	    (info.index == VFIO_PCI_ERR_IRQ_INDEX && !d->fn->cap_exp))
		return -EINVAL;
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info.index != VFIO_PCI_MSIX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_NORESIZE;
	info.count = irq_count(d, info.index);
	return user_out(call, arg, &info, info.argsz, sizeof(info));
}

/* ---------------------------------------------------------------------- MSI-X */

static void msix_fired(void *arg, unsigned int v)
{
	struct vfio_device *d = arg;

	if (d->irqs.mode == IRQ_MSIX && d->irqs.msix_fd[v] >= 0) {
		irq_signal(d->irqs.msix_fd[v]);
		return;
	}
	/* Nobody there: it stays pending. */
	pci_msix_mask(d->fn, v, true);
	pci_msix_raise(d->fn, v);
}

static void msix_program(struct vfio_device *d)
{
	unsigned int n = d->fn->shape.msix_vectors, v;

	pci_msix_setup(d->fn, n, (struct pci_irq){ msix_fired, d });
	for (v = 0; v < n; v++)
		if (d->irqs.msix_fd[v] < 0)
			pci_msix_mask(d->fn, v, true);
}

static int msix_enable(struct vfio_device *d)
{
	unsigned int n = d->fn->shape.msix_vectors, v;

	d->irqs.msix_fd = malloc(n * sizeof(int));
	if (!d->irqs.msix_fd)
		return -ENOMEM;
	for (v = 0; v < n; v++)
		d->irqs.msix_fd[v] = -1;
	d->irqs.mode = IRQ_MSIX;
	msix_program(d);
	return 0;
}

static void msix_disable(struct vfio_device *d)
{
	unsigned int v;

	pci_msix_setup(d->fn, 0, (struct pci_irq){ 0 });
	for (v = 0; v < d->fn->shape.msix_vectors; v++)
		drop(&d->irqs.msix_fd[v]);
	free(take_ptr(d->irqs.msix_fd));
	d->irqs.mode = IRQ_NONE;
}

static void msix_set(struct vfio_device *d, unsigned int v, int fd)
{
	drop(&d->irqs.msix_fd[v]);
	d->irqs.msix_fd[v] = fd;
	pci_msix_mask(d->fn, v, fd < 0);
}

static int64_t msix_set_block(struct vfio_device *d, struct irq_request *r)
{
	unsigned int i;

	for (i = 0; i < r->nr_good; i++)
		msix_set(d, r->start + i, take_fd(&r->fd[i]));
	if (!r->err)
		return 0;
	for (i = 0; i <= r->nr_good; i++)
		msix_set(d, r->start + i, -1);
	return r->err;
}

static int64_t msix_eventfds(struct vfio_device *d, struct irq_request *r)
{
	int64_t ret;

	if (d->irqs.mode == IRQ_MSIX)
		return msix_set_block(d, r);
	if (!(r->start + r->count))
		return -ERANGE;
	ret = msix_enable(d);
	if (!ret) {
		ret = msix_set_block(d, r);
		if (ret < 0)
			msix_disable(d);
	}
	return ret;
}

static int64_t msix_request(struct vfio_device *d, struct irq_request *r)
{
	bool on = d->irqs.mode == IRQ_MSIX;
	unsigned int i;

	if (r->action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY;
	if (on && !r->count && r->data == VFIO_IRQ_SET_DATA_NONE) {
		msix_disable(d);
		return 0;
	}
	if (!on && d->irqs.mode != IRQ_NONE)
		return -EINVAL;
	if (r->data == VFIO_IRQ_SET_DATA_EVENTFD)
		return msix_eventfds(d, r);
	if (!on)
		return -EINVAL;
	for (i = 0; i < r->count; i++)
		if (r->data == VFIO_IRQ_SET_DATA_NONE || r->bools[i])
			irq_signal(d->irqs.msix_fd[r->start + i]);
	return 0;
}

/* ----------------------------------------------------------------- ERR and REQ */

static int64_t single_request(int *ctx, struct irq_request *r)
{
	if (r->action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY;
	if (r->data == VFIO_IRQ_SET_DATA_NONE) {
		if (*ctx < 0)
			return -EINVAL;
		if (r->count)
			irq_signal(*ctx);
		else
			drop(ctx);
		return 0;
	}
	if (!r->count)
		return -EINVAL;
	if (r->data == VFIO_IRQ_SET_DATA_BOOL) {
		if (r->bools[0])
			irq_signal(*ctx);
		return 0;
	}
	if (r->err)
		return r->err;
	drop(ctx);
	*ctx = take_fd(&r->fd[0]);
	return 0;
}

/* -------------------------------------------------------------------- SET_IRQS */

void irqs_init(struct vfio_device *d)
{
	d->irqs = (struct vfio_irqs){ .intx_fd = -1, .err_fd = -1, .req_fd = -1, .unmask.fd = -1 };
}

void irqs_release(struct vfio_device *d)
{
	if (d->irqs.mode == IRQ_MSIX)
		msix_disable(d);
	else if (d->irqs.mode == IRQ_INTX)
		intx_release(d);
	drop(&d->irqs.err_fd);
	drop(&d->irqs.req_fd);
	d->irqs.intx_disabled = false;
}

void irqs_restore(struct vfio_device *d)
{
	if (d->irqs.mode == IRQ_MSIX)
		msix_program(d);
}

static int set_check(const struct vfio_device *d, const struct vfio_irq_set *s)
{
	unsigned int num;

	if (s->index >= VFIO_PCI_NUM_IRQS || s->count >= UINT32_MAX - s->start ||
	    (s->flags & ~(uint32_t)(ACTIONS | DATA)))
		return -EINVAL;
	num = irq_count(d, s->index);
	if (s->start >= num || s->start + s->count > num)
		return -EINVAL;
	return __builtin_popcount(s->flags & DATA) == 1 ? 0 : -EINVAL;
}

/* The client's eventfds as ours, up to the first that can't be had. -1 asks for none. */
static void fetch_eventfds(struct vfio_call *call, struct irq_request *r, const int32_t *theirs)
{
	unsigned int i;

	for (i = 0; i < r->count; i++)
		r->fd[i] = -1;
	for (i = 0; i < r->count && !r->err; i++) {
		int fd = theirs[i] == -1 ? -1
		       : theirs[i] < 0 ? -EINVAL : call->ops->eventfd(call, theirs[i]);

		if (fd < -1 || (fd == -1 && theirs[i] != -1))
			r->err = fd;
		else
			r->fd[i] = fd, r->nr_good++;
	}
}

static int fetch_data(struct vfio_call *call, const struct vfio_irq_set *s, uint64_t arg,
		      struct irq_request *r)
{
	size_t each = r->data == VFIO_IRQ_SET_DATA_BOOL ? 1
		    : r->data == VFIO_IRQ_SET_DATA_EVENTFD ? sizeof(int32_t) : 0;
	auto_free void *data = NULL;
	int ret;

	if (!each)
		return 0;
	if (s->argsz - sizeof(*s) < s->count * each)
		return -EINVAL;
	if (!s->count)
		return 0;
	data = malloc(s->count * each);
	if (!data)
		return -ENOMEM;
	ret = call->ops->copy_in(call, data, arg + sizeof(*s), s->count * each);
	if (ret < 0)
		return ret;
	if (each == 1) {
		r->bools = take_ptr(data);
		return 0;
	}
	r->fd = malloc(s->count * sizeof(int));
	if (!r->fd)
		return -ENOMEM;
	fetch_eventfds(call, r, data);
	return 0;
}

static int64_t request_run(struct vfio_device *d, unsigned int index, struct irq_request *r)
{
	/* None or several actions lead nowhere. */
	if (__builtin_popcount(r->action) != 1)
		return -ENOTTY;
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return intx_request(d, r);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return msix_request(d, r);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return single_request(&d->irqs.err_fd, r);
	case VFIO_PCI_REQ_IRQ_INDEX:
		return single_request(&d->irqs.req_fd, r);
	default:
		return -ENOTTY;
	}
}

int64_t irq_set(struct vfio_device *d, struct vfio_call *call, uint64_t arg)
{
	struct irq_request r = { 0 };
	struct vfio_irq_set s;
	unsigned int i;
	int64_t ret = user_in(call, arg, &s, sizeof(s));

	if (!ret)
		ret = set_check(d, &s);
	if (ret < 0)
		return ret;
	r.action = s.flags & ACTIONS;
	r.data = s.flags & DATA;
	r.start = s.start;
	r.count = s.count;
	ret = fetch_data(call, &s, arg, &r);
	if (!ret) {
		env_strand_lock(&d->fn->strand);
		ret = request_run(d, s.index, &r);
		env_strand_unlock(&d->fn->strand);
	}
	for (i = 0; r.fd && i < r.count; i++)
		drop(&r.fd[i]);
	free(r.fd);
	free(r.bools);
	return ret;
}
