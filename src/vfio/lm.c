/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Which controller can suspend, save and restore which function, and how its operations end. */
#include <ferry/lm.h>

#include "vfio/internal.h"

static void op_run(struct env_work *w)
{
	struct lm_op *op = container_of(w, struct lm_op, work);

	op->done(op, op->err);
}

void lm_op_init(struct lm_op *op, struct env_strand *control, void (*done)(struct lm_op *, int))
{
	memset(op, 0, sizeof(*op));
	op->done = done;
	env_work_init(&op->work, control, op_run);
}

void lm_complete(struct lm_op *op, int err)
{
	op->err = err;
	env_work_queue(&op->work);
}

struct lm_controller *lm_find(const struct pci_bus *bus, const struct pci_function *fn)
{
	const struct vfio_host *h = container_of(bus, struct vfio_host, bus);
	struct lm_controller *lm;

	list_for_each(lm, &h->controllers, link)
		if (lm->fn == fn)
			return lm;
	return NULL;
}

int lm_register(struct pci_bus *bus, struct lm_controller *lm)
{
	struct vfio_host *h = container_of(bus, struct vfio_host, bus);

	if (lm_find(bus, lm->fn))
		return -EEXIST;
	lm->gone = NULL;
	list_add_tail(&h->controllers, &lm->link);
	return 0;
}

void lm_unregister(struct lm_controller *lm)
{
	void (*gone)(struct lm_controller *, void *) = take_ptr(lm->gone);

	list_del(&lm->link);
	if (gone)
		gone(lm, lm->gone_arg);
}
