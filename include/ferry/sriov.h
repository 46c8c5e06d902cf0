/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * SR-IOV of a PF: the capability, and the VFs that come and go with it. The
 * PF's model says how a VF is made; src/pci makes room for them on the bus
 * as Linux does (First VF Offset, VF Stride, bus numbers reserved).
 */
#ifndef FERRY_SRIOV_H
#define FERRY_SRIOV_H

#include <ferry/pci.h>

#define SRIOV_VFS_MAX 256u

/**
 * struct pci_sriov_ops - the model's side. Host lock held, no strand.
 * @vf_create: make VF @index (0-based), initialised but not registered; its
 *   shape is the model's. *@vf->bdf is filled by the caller afterwards.
 * @vf_destroy: it is off the bus, reset, nothing in flight.
 * @vfs_enabled: Optional. With the PF's strand held, host lock or not: VFs 0 to
 *   @n - 1 are enabled from now on, the others not.
 */
struct pci_sriov_ops {
	int (*vf_create)(struct pci_function *pf, unsigned int index, struct pci_function **vf,
			 struct ferry_err *err);
	void (*vf_destroy)(struct pci_function *pf, struct pci_function *vf);
	void (*vfs_enabled)(struct pci_function *pf, unsigned int n);
};

/**
 * pci_sriov_init() - give @pf the SR-IOV and ARI capabilities. Between pci_function_init() and registration.
 * The registers behave as the specification has them, with one exception: VF
 * Enable is set by pci_sriov_set() only. Clearing it, and FLR, disable the VFs
 * at once; they leave the bus on the control side, as their clients let go.
 * @vf_bar: size and kind of one VF's BARs. Bus numbers for @total VFs are reserved at registration.
 * Return: 0, -EINVAL, -ENOSPC.
 */
int pci_sriov_init(struct pci_function *pf, unsigned int total, uint16_t vf_device,
		   const struct pci_bar vf_bar[PCI_BARS], const struct pci_sriov_ops *ops);

/** pci_sriov_total(), pci_sriov_numvfs() - 0 for a function without SR-IOV. */
unsigned int pci_sriov_total(const struct pci_function *pf);
unsigned int pci_sriov_numvfs(const struct pci_function *pf);

/** pci_sriov_enabled() - VF Enable ? NumVFs : 0, as the registers are now. Any lock. */
unsigned int pci_sriov_enabled(const struct pci_function *pf);

/* Someone who waits for VFs to go. @done: host lock held, no strand. */
struct pci_sriov_change {
	void (*done)(struct pci_sriov_change *c, int err);
	/* The implementation's. */
	struct list link;
};

/**
 * pci_sriov_set() - what writing to sriov_numvfs does, with its errno order. Host lock.
 * Removing VFs that clients have open is asynchronous (they get REQ).
 * Return: 0; -EINPROGRESS, then @c->done (@c may be NULL); -ERANGE: more than
 * TotalVFs; -ENOENT: no driver, or one without @sriov; -EBUSY: there are some
 * already, or the PF is held up or being reset; vf_create's error.
 */
int pci_sriov_set(struct pci_function *pf, unsigned int n, struct pci_sriov_change *c,
		  struct ferry_err *err);

/** pci_sriov_disable() - remove all VFs, whatever drives the PF: 0, or -EINPROGRESS as above. Host lock. */
int pci_sriov_disable(struct pci_function *pf, struct pci_sriov_change *c);

/** pci_sriov_autoprobe(), pci_sriov_autoprobe_set() - sriov_drivers_autoprobe. Host lock. */
bool pci_sriov_autoprobe(const struct pci_function *pf);
void pci_sriov_autoprobe_set(struct pci_function *pf, bool on);

/** pci_sriov_offset(), pci_sriov_stride(), pci_sriov_vf_device(), pci_sriov_vf_bar() - what the capability says. Of a PF. */
unsigned int pci_sriov_offset(const struct pci_function *pf);
unsigned int pci_sriov_stride(const struct pci_function *pf);
uint16_t pci_sriov_vf_device(const struct pci_function *pf);
const struct pci_bar *pci_sriov_vf_bar(const struct pci_function *pf, unsigned int bar);

/** pci_vf() - VF @index of @pf, NULL if there is none. Host lock. pci_physfn() - the PF of a VF, NULL for others. */
struct pci_function *pci_vf(const struct pci_function *pf, unsigned int index);
static inline struct pci_function *pci_physfn(const struct pci_function *fn)
{
	return fn->physfn;
}
static inline unsigned int pci_vf_index(const struct pci_function *vf)
{
	return vf->vf_index;
}

#endif
