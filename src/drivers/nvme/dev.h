/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What the files of the nvme driver share.
 *
 * Locks. What a struct nvme_dev does with its device is under the PF's strand;
 * what it shows the rest of the host (lm_controllers, the observer, who waits)
 * is under the host lock. What happened under the strand and concerns the host
 * is an event: dev_raise() notes it, and dev->control, on the host's control
 * strand, acts on it with the host lock held.
 *
 * Registers are never touched from an interrupt or the end of a reset, which
 * may come from inside a register access: those queue dev->work.
 */
#ifndef DRIVERS_NVME_DEV_H
#define DRIVERS_NVME_DEV_H

#include <string.h>

#include <ferry/lm.h>
#include <ferry/nvme_driver.h>
#include <ferry/nvme_lm_spec.h>
#include <ferry/sriov.h>
#include <ferry/vfio.h>

#define DEV_ENTRIES 32u			/* of the admin queues */
#define DEV_SLOTS (DEV_ENTRIES - 1)	/* commands in flight */
#define DEV_PAGE 4096u
#define DEV_NS_PER_MS UINT64_C(1000000)
#define DEV_NS_PER_S UINT64_C(1000000000)

/*
 * Host memory as the controller sees it: both queues, then for each slot a
 * page for its PRP list and its data.
 */
#define DEV_IOVA UINT64_C(0x100000)
#define DEV_SQ_OFF 0u
#define DEV_CQ_OFF DEV_PAGE
#define DEV_SLOT_SIZE (DEV_PAGE + NVME_DEV_DATA_MAX)
#define DEV_SLOT_OFF(i) (2 * DEV_PAGE + (i) * DEV_SLOT_SIZE)
#define DEV_MEM_SIZE DEV_SLOT_OFF(DEV_SLOTS)

#define DEV_LOG(dev, lvl, fmt, ...)                                                  \
	log_msg(lvl, "nvme " PCI_BDF_FMT ": " fmt, PCI_BDF_ARG((dev)->fn->bdf), ##__VA_ARGS__)

#ifndef NVME_TRATTR_MRTLL
#define NVME_TRATTR_MRTLL (1u << 2)	/* lengths of ranges are powers of two */
#endif

struct dev_slot {
	struct nvme_dev_cmd *cmd;	/* NULL: free */
	uint64_t deadline;
	bool answered;			/* its data is being looked at */
};

/* What the controller is being brought to: ctrl.c. */
enum dev_step {
	STEP_NONE,
	STEP_DISABLE,			/* CC.EN cleared, CSTS.RDY is to follow */
	STEP_ENABLE,			/* CC.EN set, CSTS.RDY is to follow */
	STEP_IDENT,			/* commands of ident.c and secondary.c */
	STEP_FLR,			/* the function is being reset, by us */
	STEP_SHUTDOWN,			/* CC.SHN set, CSTS.SHST is to follow */
	STEP_REMOVE,			/* STEP_DISABLE for the last time */
	STEP_REMOVE_FLR,
	STEP_GONE,
};

#define EV_LOST (1u << 0)		/* sessions of live migration are void */
#define EV_LIVE (1u << 1)
#define EV_DEAD (1u << 2)
#define EV_REMOVED (1u << 3)
#define EV_FLR (1u << 4)		/* VFs that there were are gone, or going */

/* Of one VF: what the device says, and what it is to be again after a reset. */
struct dev_secondary {
	uint16_t cntlid;		/* 0: not listed */
	uint16_t vq, vi;
	bool online;
	bool wanted;			/* bring it back with these */
	uint16_t want_vq, want_vi;
	struct nvme_provision *provision;	/* under way */
};

struct dev_lm;				/* below */

struct nvme_dev {
	struct pci_function *fn;	/* const */
	struct vfio_host *host;		/* const */
	struct env_work control;
	struct ferry_mem *mem;		/* const */
	uint8_t *base;			/* const: its bytes */

	/* PF's strand. */
	enum nvme_dev_state state;
	enum dev_step step;
	unsigned int events;
	unsigned int tries;		/* resets since it was LIVE */
	uint64_t deadline;		/* of @step */
	struct env_timer step_timer, cmd_timer;
	struct env_work work;
	struct pci_reset_waiter reset;
	bool was_reset;
	uint64_t cap;
	uint32_t vs;

	/* Admin queue: admin.c. */
	uint16_t sq_tail, cq_head;
	bool cq_phase;
	struct dev_slot slot[DEV_SLOTS];
	struct list waiting;		/* struct nvme_dev_cmd, for LIVE and a free slot */
	struct list failed;		/* to be told so */
	unsigned int resets;
	uint64_t commands;

	/* What the device is: ident.c. */
	struct nvme_dev_cmd ident;
	struct nvme_id_ctrl id;
	uint16_t vq_max, vi_max;	/* VQFRSM, VIFRSM */
	uint8_t csvi, csuuidi;		/* indexes of the state formats we use; 0: none */
	uint8_t format_uuid[16];
	bool lm_capable;

	struct dev_secondary sec[SRIOV_VFS_MAX];
	struct nvme_dev_cmd restore;	/* secondary.c */
	unsigned int restore_at, restore_step;
	bool restoring;
	void (*restored)(struct nvme_dev *dev);

	/* Host lock. */
	struct dev_lm *lm[SRIOV_VFS_MAX];	/* made when first needed */
	bool lm_on[SRIOV_VFS_MAX];	/* registered */
	bool migratable[SRIOV_VFS_MAX];
	struct pci_observer observer;
	struct list waits;		/* struct nvme_dev_wait */
	unsigned int nr_vfs;		/* to have again after an FLR */
	bool bring_back, coming_back;
	char override[SRIOV_VFS_MAX][sizeof(((struct pci_function *)0)->driver_override)];	/* of VFs that went, for when they come back */
	struct pci_unbind *unbind;
};

/* driver.c */
/** dev_raise() - strand held. */
void dev_raise(struct nvme_dev *dev, unsigned int event);
static inline uint64_t dev_now(struct nvme_dev *dev)
{
	return env_now(&dev->fn->strand);
}

/* ctrl.c */
void ctrl_init(struct nvme_dev *dev);
/** ctrl_connect() - as after power-on: configuration space too. Strand held, not from an interrupt. */
void ctrl_connect(struct nvme_dev *dev);
/** ctrl_remove() - shut down, then EV_REMOVED. Strand held. */
void ctrl_remove(struct nvme_dev *dev);
/** ctrl_live(), ctrl_failed() - how STEP_IDENT ended. */
void ctrl_live(struct nvme_dev *dev);
void ctrl_failed(struct nvme_dev *dev, const char *why);

/* admin.c */
/** admin_reset() - both queues empty, as CC.EN finds them. Nothing is in flight. */
void admin_reset(struct nvme_dev *dev);
void admin_doorbell(struct nvme_dev *dev, unsigned int index, uint32_t val);
/** admin_poll() - take completions. */
void admin_poll(struct nvme_dev *dev);
/** admin_start() - issue what waits, as far as it can be. */
void admin_start(struct nvme_dev *dev);
/** admin_fail() - the controller does nothing any more: what is in flight or waits ends with @err. */
void admin_fail(struct nvme_dev *dev, int err);
/** admin_failed_run() - tell those that failed when they came. */
void admin_failed_run(struct nvme_dev *dev);
void admin_timeout(struct env_timer *t);

/* ident.c */
void ident_start(struct nvme_dev *dev);

/* secondary.c */
/** secondary_list_done() - take over a page of CNS 15h. Return: cntlid to go on with, 0: that was all, -EPROTO. */
int secondary_take(struct nvme_dev *dev, const void *page);
/** secondary_restore() - bring back what is offline and should not be, then @then (or NULL). */
void secondary_restore(struct nvme_dev *dev, bool bring_up, void (*then)(struct nvme_dev *dev));
struct nvme_sqe secondary_manage(uint16_t cntlid, unsigned int rt, unsigned int act, uint32_t nr);

/* Virtualization Management: resource types and actions. */
#define VIRT_VQ 0u
#define VIRT_VI 1u
#define VIRT_OFFLINE 7u
#define VIRT_ASSIGN 8u
#define VIRT_ONLINE 9u

/*
 * lm.c, track.c: live migration of one VF. Made once, kept as long as @dev,
 * because commands may be in flight while the VF comes and goes. Under the
 * PF's strand but @lm, which is the host lock's.
 */
struct dev_lm {
	struct lm_controller lm;
	struct nvme_dev *dev;
	struct lm_op *op;		/* in flight */
	struct nvme_dev_cmd cmd;
	int err;			/* of the operation, while something is undone */

	struct {
		uint64_t size;		/* of the image; 0: not known yet */
		bool suspended;		/* in every answer of this session */
	} save;
	struct {			/* save_read() under way */
		uint64_t off;
		uint8_t *buf;
		size_t len, done;
		bool final;
	} read;
	struct {
		uint64_t sent;		/* bytes that the controller has */
		bool broken;		/* until the next image begins */
		const uint8_t *buf;	/* load_write() under way */
		size_t len, done;
		bool last;
		uint8_t carry[4];	/* what does not make a dword yet */
		unsigned int nr_carry;
		uint8_t *chunk;
	} load;
	struct {
		unsigned int nr, tries;
		unsigned int shift;	/* log2 of the granule */
		struct lm_range r[LM_RANGES_MAX];	/* base and last, merged */
		uint8_t *table;		/* Track Memory Changes, NVME_DEV_DATA_MAX bytes */
		unsigned int reports;
		void (*mark)(void *arg, uint64_t iova, uint64_t len);
		void *mark_arg;
		bool stop_pending;	/* it was suspended when it was told to stop */
		struct nvme_dev_cmd stop;	/* that one, nobody waits for it */
		bool stopping;
	} track;
};

bool lm_begin(struct dev_lm *l, struct lm_op *op);
void lm_end(struct dev_lm *l, int err);
void lm_send(struct dev_lm *l, struct nvme_sqe sqe, const void *out, uint32_t len,
	     void (*done)(struct nvme_dev_cmd *cmd));
static inline struct dev_lm *lm_of(struct lm_controller *lm)
{
	return container_of(lm, struct dev_lm, lm);
}

/* track.c */
void lm_track_start(struct lm_controller *lm, struct lm_op *op, const struct lm_range *r,
		    unsigned int nr, uint64_t granule);
void lm_track_report(struct lm_controller *lm, struct lm_op *op,
		     void (*mark)(void *arg, uint64_t iova, uint64_t len), void *arg);
void lm_track_stop(struct lm_controller *lm, struct lm_op *op);
/** track_stop_again() - it runs: what could not be stopped while it was suspended can now. Strand held. */
void track_stop_again(struct dev_lm *l);

/* lm.c: all with the host lock. */
void lm_publish(struct nvme_dev *dev);
void lm_withdraw(struct nvme_dev *dev);
void lm_withdraw_one(struct nvme_dev *dev, unsigned int index);
void lm_free_all(struct nvme_dev *dev);

/* identity.c: host lock, no strand. */
void identity_describe(struct nvme_dev *dev, struct pci_function *vf, struct lm_identity *id);
int identity_check(struct nvme_dev *dev, struct pci_function *vf, const struct lm_identity *id,
		   struct ferry_err *err);

/* digest.c */
struct digest {
	uint32_t h[8];
	uint64_t len;
	uint8_t block[64];
};
void digest_init(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t len);
void digest_end(struct digest *d, uint8_t out[32]);

#endif
