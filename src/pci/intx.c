/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The interrupt pin: a level, a status bit that follows it, a gate in COMMAND. */
#include "pci/internal.h"

bool intx_asserted(const struct pci_function *fn)
{
	return fn->intx_level && !(config_command(fn) & PCI_COMMAND_INTX_DISABLE);
}

void intx_edge(struct pci_function *fn, bool was)
{
	if (!was && intx_asserted(fn) && fn->intx_irq.fn)
		fn->intx_irq.fn(fn->intx_irq.arg, 0);
}

void pci_intx_set(struct pci_function *fn, bool level)
{
	bool was = intx_asserted(fn);
	uint16_t status = config_get16(fn, PCI_STATUS) & (uint16_t)~PCI_STATUS_INTERRUPT;

	if (!fn->shape.intx)
		return;
	fn->intx_level = level;
	config_set16(fn, PCI_STATUS, status | (level ? PCI_STATUS_INTERRUPT : 0));
	intx_edge(fn, was);
}

void intx_reset(struct pci_function *fn)
{
	pci_intx_set(fn, false);
}
