/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Resets. Configuration space goes first, and with it bus mastering, decoding
 * and interrupts: nothing of the old life is heard from then on. Then the model
 * takes the time that its work in flight takes. Until it is done, nobody
 * answers: reads give ones, writes are dropped.
 */
#include "pci/internal.h"

static void registers_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	fn->reset_kind = kind;
	config_seal(fn);
	config_reset(fn, kind);
	if (fn->sriov)
		sriov_reset(fn);
	msix_reset(fn);
	intx_reset(fn);
}

void pci_reset(struct pci_function *fn, enum pci_reset_kind kind, struct pci_reset_waiter *w)
{
	if (w)
		list_add_tail(&fn->reset_waiters, &w->link);
	if (fn->resetting) {
		if (kind == PCI_RESET_BUS && fn->reset_kind != PCI_RESET_BUS)
			registers_reset(fn, kind);
		return;
	}
	fn->resetting = true;
	registers_reset(fn, kind);
	fn->ops->reset(fn, kind);
}

void pci_reset_done(struct pci_function *fn)
{
	struct list waiters = LIST_INIT(waiters);

	assert(fn->resetting);
	fn->resetting = false;

	/* Whoever waits for a reset that one of these starts waits for that one. */
	while (!list_empty(&fn->reset_waiters)) {
		struct list *l = fn->reset_waiters.next;

		list_del(l);
		list_add_tail(&waiters, l);
	}
	while (!list_empty(&waiters)) {
		struct pci_reset_waiter *w = list_first(&waiters, struct pci_reset_waiter, link);

		list_del(&w->link);
		w->done(w);
	}
}
