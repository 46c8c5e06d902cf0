/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The way from whoever moves a function to whoever knows which host may write its storage. */
#include <ferry/lm.h>

#include "vfio/internal.h"

static struct vfio_host *host_of(const struct lm_controller *lm)
{
	return container_of(lm->fn->bus, struct vfio_host, bus);
}

void lm_owner_register(struct pci_bus *bus, const struct lm_owner_ops *ops, void *arg)
{
	struct vfio_host *h = container_of(bus, struct vfio_host, bus);

	h->owner_ops = ops;
	h->owner_arg = arg;
}

int lm_owner_check(struct lm_controller *lm, struct ferry_err *err)
{
	struct vfio_host *h = host_of(lm);

	return h->owner_ops ? h->owner_ops->check(h->owner_arg, lm, err) : 0;
}

void lm_owner_offer(struct lm_controller *lm, struct lm_op *op, uint8_t token[LM_TOKEN_MAX])
{
	struct vfio_host *h = host_of(lm);

	op->size = 0;
	if (h->owner_ops)
		h->owner_ops->offer(h->owner_arg, lm, op, token);
	else
		lm_complete(op, 0);
}

void lm_owner_accept(struct lm_controller *lm, struct lm_op *op, const void *token, size_t len)
{
	struct vfio_host *h = host_of(lm);

	if (h->owner_ops)
		h->owner_ops->accept(h->owner_arg, lm, op, token, len);
	else
		lm_complete(op, len ? -EINVAL : 0);
}

void lm_owner_run(struct lm_controller *lm, struct lm_op *op)
{
	struct vfio_host *h = host_of(lm);

	if (h->owner_ops)
		h->owner_ops->run(h->owner_arg, lm, op);
	else
		lm_complete(op, 0);
}

void lm_owner_forget(struct lm_controller *lm)
{
	struct vfio_host *h = host_of(lm);

	if (h->owner_ops)
		h->owner_ops->forget(h->owner_arg, lm);
}
