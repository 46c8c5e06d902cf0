/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The bus: functions by address, each the only one of its IOMMU group, and who watches. Host lock. */
#include "pci/internal.h"

#include <ferry/sriov.h>

/* How long a busy strand may keep the control plane waiting. */
#define STRAND_WAIT_NS UINT64_C(100000000)

void pci_bus_init(struct pci_bus *bus)
{
	*bus = (struct pci_bus){ 0 };
	list_init(&bus->functions);
	list_init(&bus->observers);
}

void pci_bus_observe(struct pci_bus *bus, struct pci_observer *o)
{
	list_add_tail(&bus->observers, &o->link);
}

int pci_register(struct pci_bus *bus, struct pci_function *fn)
{
	struct list *before = &bus->functions;
	uint32_t id = pci_bdf_key(fn->bdf) & 0xffff;
	struct pci_function *it;
	struct pci_observer *o;

	list_for_each(it, &bus->functions, bus_link) {
		if (pci_bdf_key(it->bdf) == pci_bdf_key(fn->bdf))
			return -EEXIST;
		if (pci_bdf_key(it->bdf) > pci_bdf_key(fn->bdf)) {
			before = &it->bus_link;
			break;
		}
	}
	if (!fn->physfn && sriov_reserved(bus, fn->bdf.domain, id, id))
		return -EEXIST;
	if (fn->sriov) {
		int err = sriov_reserve(bus, fn);

		if (err < 0)
			return err;
	}
	config_seal(fn);
	list_add_tail(before, &fn->bus_link);
	fn->bus = bus;
	fn->iommu_group = bus->next_group++;
	list_for_each(o, &bus->observers, link)
		if (o->added)
			o->added(o, fn);
	return 0;
}

static bool in_flight(struct pci_function *fn)
{
	bool busy;

	if (env_strand_lock_for(&fn->strand, STRAND_WAIT_NS) < 0)
		return true;
	busy = fn->resetting || dma_busy(fn);
	env_strand_unlock(&fn->strand);
	return busy;
}

int pci_unregister(struct pci_function *fn)
{
	struct pci_observer *o;

	if (fn->driver || pci_sriov_numvfs(fn) || in_flight(fn))
		return -EBUSY;
	list_for_each(o, &fn->bus->observers, link)
		if (o->removed)
			o->removed(o, fn);
	list_del(&fn->bus_link);
	fn->bus = NULL;
	return 0;
}

struct pci_function *pci_find(const struct pci_bus *bus, struct pci_bdf bdf)
{
	struct pci_function *fn;

	list_for_each(fn, &bus->functions, bus_link)
		if (pci_bdf_key(fn->bdf) == pci_bdf_key(bdf))
			return fn;
	return NULL;
}

/* Functions come sorted, so one pass looks at each slot that one of them has. */
int pci_bus_next_slot(const struct pci_bus *bus, struct pci_bdf *bdf)
{
	uint32_t slot = 1u << 5, end;	/* bus << 5 | device */
	struct pci_function *fn;

	for (;;) {
		list_for_each(fn, &bus->functions, bus_link) {
			uint32_t taken = pci_bdf_key(fn->bdf) >> 3;

			if (taken > slot)
				break;
			if (taken == slot)
				slot++;
		}
		end = sriov_reserved(bus, 0, slot << 3, slot << 3 | 7);
		if (!end)
			break;
		slot = (end >> 3) + 1;
	}
	if (slot >> 5 > 0xff)
		return -ENOSPC;
	*bdf = (struct pci_bdf){ .bus = (uint8_t)(slot >> 5), .devfn = (uint8_t)((slot & 0x1f) << 3) };
	return 0;
}
