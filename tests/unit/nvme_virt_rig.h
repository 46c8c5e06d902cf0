/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* A PF with its VFs on a bus, each driven by the host of nvme_host.h; for tests and a fuzz target. */
#ifndef NVME_VIRT_RIG_H
#define NVME_VIRT_RIG_H

#include <ferry/sriov.h>

#include "nvme_host.h"

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pci_bus bus;
static struct env_strand control;

static int virt_probe(struct pci_function *fn, struct ferry_err *err)
{
	(void)fn, (void)err;
	return 0;
}

static void virt_remove(struct pci_unbind *u)
{
	u->done(u, 0);
}

static const struct pci_id virt_ids[] = { { PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID }, { 0 } };
static const struct pci_driver virt_driver = { .name = "pf", .ids = virt_ids, .probe = virt_probe,
					       .remove = virt_remove, .sriov = true };

static inline int virt_set(struct host *pf, unsigned int n)
{
	int ret;

	pthread_mutex_lock(&the_lock);
	ret = pci_sriov_set(pf->fn, n, NULL, NULL);
	pthread_mutex_unlock(&the_lock);
	return ret;
}

static inline unsigned int virt_numvfs(struct host *pf)
{
	unsigned int n;

	pthread_mutex_lock(&the_lock);
	n = pci_sriov_numvfs(pf->fn);
	pthread_mutex_unlock(&the_lock);
	return n;
}

/* PF at 01:00.0, namespace 1 attached to it, enabled. */
static inline void virt_open(struct host *pf, const struct nvme_ctrl_config *cfg)
{
	host_open(pf, cfg);
	pci_bus_init(&bus);
	if (env_strand_init(&control, pf->env, NULL) < 0 ||
	    pci_bus_control(&bus, &control, &the_lock) < 0)
		abort();
	pci_driver_register(&bus, &virt_driver);
	pf->fn->bdf = (struct pci_bdf){ .bus = 1 };
	pthread_mutex_lock(&the_lock);
	if (pci_register(&bus, pf->fn) < 0 || pci_bind(pf->fn, &virt_driver, NULL) < 0)
		abort();
	pci_sriov_autoprobe_set(pf->fn, false);
	pthread_mutex_unlock(&the_lock);
	host_enable(pf);
}

/* No VF is used any more. */
static inline void virt_close(struct host *pf)
{
	(void)virt_set(pf, 0);
	if (!HOST_UNTIL(pf, virt_numvfs(pf) == 0))
		abort();
	pthread_mutex_lock(&the_lock);
	if (pci_unbind(pf->fn, NULL) < 0 || !HOST_UNTIL(pf, pci_unregister(pf->fn) == 0))
		abort();
	pthread_mutex_unlock(&the_lock);
	pci_bus_control_release(&bus);
	env_strand_release(&control);
	host_close(pf);
}

/* Take the VF in hand: memory of its own, bus mastering. */
static inline void vf_open(struct host *vf, struct host *pf, unsigned int index)
{
	memset(vf, 0, sizeof(*vf));
	vf->env = pf->env;
	vf->ss = pf->ss;
	vf->fn = pci_vf(pf->fn, index);
	vf->c = nvme_ctrl_of(vf->fn);
	vf->mem = ferry_mem_alloc(HOST_RAM_SIZE);
	vf->ram = vf->mem->base;
	host_forget(vf);
	host_map_but(vf, 0, 0);
	host_command(vf, 0x4);
}

static inline void vf_close(struct host *vf)
{
	struct dma_fence fence = { 0 };

	host_lock(vf);
	pci_dma_set(vf->fn, NULL, &fence);
	host_unlock(vf);
	(void)HOST_UNTIL(vf, atomic_load(&fence.pending) == 0);
	ferry_mem_put(vf->mem);
}

static inline struct nvme_sqe virt_sqe(unsigned int cntlid, unsigned int rt, unsigned int act,
				       unsigned int nr)
{
	return host_sqe(nvme_admin_virtual_mgmt, 0, 0, cntlid << 16 | rt << 8 | act, nr);
}

static inline uint16_t virt_mgmt(struct host *pf, unsigned int cntlid, unsigned int rt,
				 unsigned int act, unsigned int nr)
{
	return host_cmd(pf, 0, virt_sqe(cntlid, rt, act, nr));
}

#define VQ NVME_VIRT_MGMT_RT_VQ
#define VI NVME_VIRT_MGMT_RT_VI
#define PRIMARY NVME_VIRT_MGMT_ACT_PRIMARY_ALLOC
#define OFFLINE NVME_VIRT_MGMT_ACT_OFFLINE
#define ASSIGN NVME_VIRT_MGMT_ACT_ASSIGN
#define ONLINE NVME_VIRT_MGMT_ACT_ONLINE

/* Identify into @buf. */
static inline uint16_t virt_identify(struct host *h, unsigned int cns, unsigned int cntid,
				     uint32_t nsid, void *buf)
{
	uint64_t save = h->next, at = host_alloc(h, 4096);
	uint16_t status = host_cmd(h, 0, host_sqe(nvme_admin_identify, nsid, at, cns | cntid << 16, 0));

	memcpy(buf, host_ptr(h, at), 4096);
	h->next = save;
	return status;
}

#endif
