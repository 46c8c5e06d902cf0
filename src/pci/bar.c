/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Accesses to BARs: who answers, and when nobody does; and BARs that a client
 * has in its address space. A model's handler never runs inside another of the
 * same function: what a register access sets off (DMA, an interrupt, a
 * listener) cannot come back as a register access.
 */
#include "pci/internal.h"

static bool bar_access_ok(struct pci_function *fn, unsigned int bar, uint64_t off,
			  unsigned int len)
{
	if (bar >= PCI_BARS || !(len == 1 || len == 2 || len == 4 || len == 8))
		return false;
	if (!IS_ALIGNED(off, len) || off >= fn->shape.bar[bar].size)
		return false;
	return !fn->resetting && pci_mem_enabled(fn);
}

static bool handler_enter(struct pci_function *fn, unsigned int bar, uint64_t off)
{
	if (fn->in_handler) {
		log_limited(&fn->dma_faults, LOG_ERROR,
			    PCI_BDF_FMT ": BAR %u offset 0x%llx accessed from inside a handler",
			    PCI_BDF_ARG(fn->bdf), bar, (unsigned long long)off);
		return false;
	}
	fn->in_handler = true;
	return true;
}

uint64_t pci_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len)
{
	uint64_t val;

	if (!bar_access_ok(fn, bar, off, len))
		return pci_ones(len);
	if (msix_table_hit(fn, bar, off))
		return msix_table_read(fn, off, len);
	if (msix_pba_hit(fn, bar, off))
		return msix_pba_read(fn, off, len);
	if (!handler_enter(fn, bar, off))
		return pci_ones(len);
	val = fn->ops->bar_read(fn, bar, off, len);
	fn->in_handler = false;
	return val & pci_ones(len);
}

void pci_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len,
		   uint64_t val)
{
	if (!bar_access_ok(fn, bar, off, len))
		return;
	if (msix_table_hit(fn, bar, off)) {
		msix_table_write(fn, off, len, val & pci_ones(len));
		return;
	}
	if (msix_pba_hit(fn, bar, off) || !handler_enter(fn, bar, off))
		return;
	fn->ops->bar_write(fn, bar, off, len, val & pci_ones(len));
	fn->in_handler = false;
}

void pci_bar_share(struct pci_function *fn, unsigned int bar, void *mem)
{
	assert(bar < PCI_BARS && fn->shape.bar[bar].size);
	fn->bar_mem[bar] = mem;
}

int pci_bar_map(struct pci_function *fn, unsigned int bar, uint64_t off, uint64_t len)
{
	int err;

	if (bar >= PCI_BARS || !fn->bar_mem[bar] || !fn->ops->bar_mapped)
		return -EINVAL;
	if (!len || off > fn->shape.bar[bar].size || len > fn->shape.bar[bar].size - off)
		return -EINVAL;
	err = fn->ops->bar_mapped(fn, bar, off, len);
	if (!err)
		fn->bar_told = true;
	return err;
}

void pci_bar_unshare(struct pci_function *fn)
{
	if (fn->bar_told) {
		fn->bar_told = false;
		fn->ops->bar_unmapped(fn);
	}
	memset(fn->bar_mem, 0, sizeof(fn->bar_mem));
}
