/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The NVMe model as the host sees it: subsystems, controllers (each a PCI
 * function), namespaces. Control plane calls: host lock held, no strand held,
 * unless said otherwise.
 */
#ifndef FERRY_NVME_H
#define FERRY_NVME_H

#include <ferry/block.h>
#include <ferry/pci.h>

#define NVME_NSID_MAX 128u		/* NN */
#define NVME_CTRLS_MAX 257u		/* controllers of a subsystem: a PF's and those of its VFs */
#define NVME_QUEUES_MAX 64u		/* I/O queue pairs */

struct nvme_subsys;
struct nvme_ctrl;

/* How a client reaches the doorbells: see docs/design.md. */
enum nvme_doorbells {
	NVME_DOORBELLS_TRAPPED,	/* BAR0 offers nothing to map */
	NVME_DOORBELLS_MAPPED,	/* the doorbell page may be mapped */
};

struct nvme_subsys_config {
	char subnqn[224];	/* empty: made from the serial number */
	char serial[21], model[41], firmware[9];	/* without padding */
	uint64_t capacity;	/* bytes for Namespace Management; 0: none unallocated */
	/*
	 * Make and drop the store of a namespace that a guest creates. NULL: memory.
	 * Called without locks from a thread that may block. @arg is passed on.
	 */
	int (*store_create)(void *arg, uint64_t size, struct block_dev **dev);
	void *arg;
};

int nvme_subsys_create(const struct nvme_subsys_config *cfg, struct nvme_subsys **ss,
		       struct ferry_err *err);
/** nvme_subsys_destroy() - no controllers left; puts the namespaces' block devices. */
void nvme_subsys_destroy(struct nvme_subsys *ss);

struct nvme_ctrl_config {
	uint16_t cntlid;		/* 1 and up */
	uint16_t queues;		/* I/O queue pairs, 1 to NVME_QUEUES_MAX */
	uint16_t vectors;		/* MSI-X, 1 to queues + 1; 0: queues + 1 */
	uint16_t mqes;			/* entries per queue, 2 to 65535; 0: 1024 */
	uint8_t mdts;			/* power of two of 4 KiB; 0: 9 (2 MiB) */
	bool no_dbbuf;			/* do not offer Doorbell Buffer Config */
	bool no_sgl;			/* do not offer SGLs */
	bool migrates;			/* manages the live migration of the subsystem's other controllers */
	enum nvme_doorbells doorbells;
	/*
	 * With vfs_max it is a primary controller: its secondaries have the ids
	 * that follow @cntlid, whether their VFs exist or not. @queues and
	 * @vectors are its private resources; 0 below chooses as much for each VF.
	 */
	uint16_t vfs_max;		/* TotalVFs, 0 to SRIOV_VFS_MAX */
	uint32_t vq_flexible, vi_flexible;	/* to be given to VFs, or to the PF */
	uint16_t vq_per_vf, vi_per_vf;	/* at most; 0: as many as there are and can be */
};

/**
 * nvme_ctrl_create() - a controller of @ss, run by @env, not on the bus yet
 * *@fn is its PCI function, whose bdf the caller fills before pci_register().
 */
int nvme_ctrl_create(struct nvme_subsys *ss, const struct nvme_ctrl_config *cfg,
		     struct ferry_env *env, struct pci_function **fn, struct ferry_err *err);

/** nvme_ctrl_destroy() - off the bus, reset, nothing in flight; of a PF: no VFs left. */
void nvme_ctrl_destroy(struct pci_function *fn);

/** nvme_ctrl_of() - the controller of a function, or NULL if it is no NVMe function. */
struct nvme_ctrl *nvme_ctrl_of(struct pci_function *fn);
struct nvme_subsys *nvme_ctrl_subsys(struct nvme_ctrl *c);

struct nvme_ctrl_info {
	uint16_t cntlid, queues_max, io_sqs, io_cqs, vectors;
	bool enabled, ready, fatal, dbbuf, polled;
	bool vf, online;		/* a secondary controller, and what its primary made of it */
	uint16_t vq, vi;		/* resources now: queue pairs with the admin queue's, vectors */
	uint64_t reads, writes, read_bytes, written_bytes, errors, dma_faults;
};
void nvme_ctrl_info(struct nvme_ctrl *c, struct nvme_ctrl_info *info);
/** nvme_ctrl_online() - did its primary set this VF online? True of a PF. Any lock. */
bool nvme_ctrl_online(const struct nvme_ctrl *c);

/**
 * nvme_state_save() - the Controller State of @c (docs/nvme-state.md) into *@buf, which the caller frees. Strand held.
 * Return: 0, -EBUSY (not suspended), -ENOMEM.
 */
int nvme_state_save(struct nvme_ctrl *c, void **buf, size_t *len);
/**
 * nvme_state_load() - make @c, which is suspended and has no I/O queues, what an image says. Strand held.
 * Return: 0, -EBUSY (not suspended, or with queues), -EINVAL (and @c is as before), -ENOMEM (likewise).
 */
int nvme_state_load(struct nvme_ctrl *c, const void *buf, size_t len, struct ferry_err *err);

struct nvme_ns_config {
	uint32_t nsid;			/* 0: the lowest free */
	unsigned int lba_shift;		/* 9 or 12 */
	uint8_t uuid[16];		/* all zero: random. NGUID and EUI64 are derived from it */
	const char *name;		/* the host's name of it, copied */
	bool not_owned;			/* as after nvme_ns_own(false) */
};

/**
 * nvme_ns_add() - give the subsystem a namespace on @dev (takes its own reference), attached to nothing
 * Return: 0 with *@nsid; -ENOSPC, -EEXIST, -EINVAL (size no multiple of the LBA, LBA below the device's alignment).
 */
int nvme_ns_add(struct nvme_subsys *ss, struct block_dev *dev, const struct nvme_ns_config *cfg,
		uint32_t *nsid, struct ferry_err *err);
/** nvme_ns_remove() - -EBUSY while attached or in use. */
int nvme_ns_remove(struct nvme_subsys *ss, uint32_t nsid, struct ferry_err *err);
/**
 * nvme_ns_attach(), nvme_ns_detach() - controllers that are up get the namespace attribute notice
 * A secondary controller can have namespaces before, and keeps them after, its VF exists.
 */
int nvme_ns_attach(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, struct ferry_err *err);
int nvme_ns_detach(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, struct ferry_err *err);
/** nvme_ns_resized() - the block device changed its size: new NSZE, and the notice. */
void nvme_ns_resized(struct nvme_subsys *ss, uint32_t nsid);

/**
 * nvme_ns_own() - may this host use the namespace's data now? Any lock but a subsystem's.
 * While not, what would use it ends with Namespace Not Ready; what began before goes on: see nvme_ns_busy().
 */
void nvme_ns_own(struct nvme_subsys *ss, uint32_t nsid, bool owned);
/** nvme_ns_busy() - do commands use it, or is it being formatted? */
bool nvme_ns_busy(struct nvme_subsys *ss, uint32_t nsid);
/** nvme_ns_attached_to() - is @nsid attached to controller @cntlid; *@others: to others as well. */
bool nvme_ns_attached_to(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, bool *others);

struct nvme_ns_info {
	uint32_t nsid;
	uint64_t size;
	unsigned int lba_shift;
	uint8_t uuid[16];
	char name[64], store[320];
	bool attached;
};
/** nvme_ns_list() - fill at most @max, return how many there are. */
unsigned int nvme_ns_list(struct nvme_subsys *ss, struct nvme_ns_info *info, unsigned int max);

#endif
