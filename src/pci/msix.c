/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * MSI-X: table, pending bits, delivery. A message goes out when MSI-X is on,
 * neither function nor entry is masked and the function masters the bus; a
 * masked one leaves its pending bit. Whatever opens one of these gates calls
 * msix_flush(), so a pending bit never waits behind open gates. Pending bits
 * outlive MSI-X being switched off and on: a spurious message does no harm.
 */
#include "pci/internal.h"

static uint16_t msix_flags(const struct pci_function *fn)
{
	return fn->cap_msix ? config_get16(fn, fn->cap_msix + PCI_MSIX_FLAGS) : 0;
}

bool pci_msix_enabled(const struct pci_function *fn)
{
	return msix_flags(fn) & PCI_MSIX_FLAGS_ENABLE;
}

static bool masked(const struct pci_function *fn, unsigned int v)
{
	return (msix_flags(fn) & PCI_MSIX_FLAGS_MASKALL) ||
	       (fn->state->msix[v].ctrl & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static bool pending(const struct pci_function *fn, unsigned int v)
{
	return fn->state->pba[v / 64] >> (v % 64) & 1;
}

static void set_pending(struct pci_function *fn, unsigned int v, bool on)
{
	uint64_t bit = UINT64_C(1) << (v % 64);

	if (on)
		fn->state->pba[v / 64] |= bit;
	else
		fn->state->pba[v / 64] &= ~bit;
}

static void send(struct pci_function *fn, unsigned int v)
{
	set_pending(fn, v, false);
	if (fn->msix_irq.fn)
		fn->msix_irq.fn(fn->msix_irq.arg, v);
}

void pci_msix_raise(struct pci_function *fn, unsigned int v)
{
	if (v >= pci_msix_count(fn) || !pci_msix_enabled(fn) || !pci_bus_master(fn))
		return;
	if (masked(fn, v))
		set_pending(fn, v, true);
	else
		send(fn, v);
}

static void flush_vector(struct pci_function *fn, unsigned int v)
{
	if (pending(fn, v) && !masked(fn, v) && pci_msix_enabled(fn) && pci_bus_master(fn))
		send(fn, v);
}

/* The listener may mask, unmask and raise meanwhile: each vector is looked at afresh. */
void msix_flush(struct pci_function *fn)
{
	unsigned int w;

	if (!pci_msix_enabled(fn))
		return;
	for (w = 0; w * 64 < fn->shape.msix_vectors; w++) {
		uint64_t todo;

		for (todo = fn->state->pba[w]; todo; todo &= todo - 1)
			flush_vector(fn, w * 64 + (unsigned int)__builtin_ctzll(todo));
	}
}

void pci_msix_mask(struct pci_function *fn, unsigned int v, bool mask)
{
	if (v >= fn->shape.msix_vectors)
		return;
	fn->state->msix[v].ctrl = mask ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
	flush_vector(fn, v);
}

void pci_msix_setup(struct pci_function *fn, unsigned int nr, struct pci_irq irq)
{
	unsigned int v;

	if (!fn->cap_msix)
		return;
	fn->msix_irq = nr ? irq : (struct pci_irq){ 0 };
	for (v = 0; v < fn->shape.msix_vectors; v++)
		fn->state->msix[v].ctrl = v < nr ? 0 : PCI_MSIX_ENTRY_CTRL_MASKBIT;
	config_set16(fn, fn->cap_msix + PCI_MSIX_FLAGS,
		     (uint16_t)((pci_msix_count(fn) - 1) | (nr ? PCI_MSIX_FLAGS_ENABLE : 0)));
	msix_flush(fn);
}

/* Entries beyond the end are as after a reset. */
void pci_msix_resize(struct pci_function *fn, unsigned int n)
{
	unsigned int v;

	if (!fn->cap_msix)
		return;
	assert(n && n <= fn->shape.msix_vectors);
	atomic_store(&fn->msix_count, (uint16_t)n);
	config_set16(fn, fn->cap_msix + PCI_MSIX_FLAGS,
		     (uint16_t)((msix_flags(fn) & ~PCI_MSIX_FLAGS_QSIZE) | (n - 1)));
	for (v = n; v < fn->shape.msix_vectors; v++) {
		set_pending(fn, v, false);
		fn->state->msix[v] = (struct pci_msix_entry){ .ctrl = PCI_MSIX_ENTRY_CTRL_MASKBIT };
	}
}

/* -------------------------------------------- table and PBA, as memory in a BAR */

bool msix_table_hit(const struct pci_function *fn, unsigned int bar, uint64_t off)
{
	const struct pci_shape *s = &fn->shape;

	return s->msix_vectors && bar == s->msix_bar &&
	       off - s->msix_off < (uint64_t)pci_msix_count(fn) * PCI_MSIX_ENTRY_SIZE;
}

bool msix_pba_hit(const struct pci_function *fn, unsigned int bar, uint64_t off)
{
	const struct pci_shape *s = &fn->shape;

	return s->msix_vectors && bar == s->pba_bar &&
	       off - s->pba_off < ((uint64_t)pci_msix_count(fn) + 63) / 64 * 8;
}

static uint32_t entry_get(const struct pci_msix_entry *e, unsigned int reg)
{
	switch (reg) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return (uint32_t)e->addr;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return (uint32_t)(e->addr >> 32);
	case PCI_MSIX_ENTRY_DATA:
		return e->data;
	default:
		return e->ctrl;
	}
}

static void entry_set(struct pci_msix_entry *e, unsigned int reg, uint32_t val)
{
	switch (reg) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		e->addr = (e->addr & ~UINT64_C(0xffffffff)) | (val & ~3u);
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		e->addr = (uint32_t)e->addr | (uint64_t)val << 32;
		break;
	case PCI_MSIX_ENTRY_DATA:
		e->data = val;
		break;
	default:
		e->ctrl = val & PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
}

/* The part of the quadword @q around @off that an access of @len sees. */
static uint64_t part_of(uint64_t q, uint64_t off, unsigned int len)
{
	return q >> (8 * (off & 7)) & pci_ones(len);
}

/* Software may use 4 and 8 bytes only; narrower reads do no harm. */
uint64_t msix_table_read(const struct pci_function *fn, uint64_t off, unsigned int len)
{
	uint64_t at = off - fn->shape.msix_off;
	const struct pci_msix_entry *e = &fn->state->msix[at / PCI_MSIX_ENTRY_SIZE];
	unsigned int reg = (unsigned int)(at % PCI_MSIX_ENTRY_SIZE) & ~7u;

	return part_of(entry_get(e, reg) | (uint64_t)entry_get(e, reg + 4) << 32, at, len);
}

uint64_t msix_pba_read(const struct pci_function *fn, uint64_t off, unsigned int len)
{
	uint64_t at = off - fn->shape.pba_off;

	return part_of(fn->state->pba[at / 8], at, len);
}

/* Half a register is never written: narrower writes are ignored. */
void msix_table_write(struct pci_function *fn, uint64_t off, unsigned int len, uint64_t val)
{
	uint64_t at = off - fn->shape.msix_off;
	unsigned int v = (unsigned int)(at / PCI_MSIX_ENTRY_SIZE);
	unsigned int reg = (unsigned int)(at % PCI_MSIX_ENTRY_SIZE);

	if (len < 4)
		return;
	entry_set(&fn->state->msix[v], reg, (uint32_t)val);
	if (len == 8)
		entry_set(&fn->state->msix[v], reg + 4, (uint32_t)(val >> 32));
	flush_vector(fn, v);
}

void msix_reset(struct pci_function *fn)
{
	unsigned int v;

	memset(fn->state->pba, 0, sizeof(fn->state->pba));
	for (v = 0; v < fn->shape.msix_vectors; v++)
		fn->state->msix[v] = (struct pci_msix_entry){ .ctrl = PCI_MSIX_ENTRY_CTRL_MASKBIT };
}
