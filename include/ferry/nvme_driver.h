/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * `nvme`: the host driver of a controlling NVMe function. It brings a PF's
 * controller up with an admin queue and no I/O queues, sends it commands for
 * others, provisions its secondary controllers, and offers for each VF a
 * struct lm_controller (ferry/lm.h). It sees a device only as any driver does:
 * configuration space, BAR 0, host memory, one interrupt.
 *
 * Bring-up and resets take time: a function is bound at once, its controller is
 * NVME_DEV_LIVE later. Commands that come too early wait.
 */
#ifndef FERRY_NVME_DRIVER_H
#define FERRY_NVME_DRIVER_H

#include <ferry/nvme_spec.h>
#include <ferry/pci.h>

extern const struct pci_driver nvme_driver;

/* Linux' module parameters, as it were. Set before a function is bound. */
struct nvme_driver_params {
	uint64_t admin_ns;	/* what a command may take, then the controller is reset */
	uint64_t suspend_ns;	/* likewise Suspend, which waits for what is in flight */
};
extern struct nvme_driver_params nvme_driver_params;

struct nvme_dev;

/** nvme_dev_of() - what drives @fn, or NULL if this driver doesn't. Host lock. */
struct nvme_dev *nvme_dev_of(const struct pci_function *fn);

enum nvme_dev_state {
	NVME_DEV_CONNECTING,	/* the first bring-up */
	NVME_DEV_LIVE,
	NVME_DEV_RESETTING,
	NVME_DEV_DELETING,
	NVME_DEV_DEAD,		/* does not come up; only another reset of the function helps */
};
const char *nvme_dev_state_name(enum nvme_dev_state s);

struct nvme_dev_info {
	enum nvme_dev_state state;
	bool lm;			/* it manages live migration */
	bool virt;			/* it has Virtualization Management */
	uint16_t cntlid;
	uint16_t vq_max, vi_max;	/* of one secondary */
	unsigned int resets;
	uint64_t commands;
};
/** nvme_dev_info() - host lock, no strand. */
void nvme_dev_info(struct nvme_dev *dev, struct nvme_dev_info *info);

/**
 * struct nvme_dev_wait - told when the controller is LIVE, or will not be
 * @done: on the control strand, host lock held; @err: 0 or -EIO. Not called from nvme_dev_wait().
 */
struct nvme_dev_wait {
	void (*done)(struct nvme_dev_wait *w, int err);
	struct list link;
};
/** nvme_dev_wait() - host lock, no strand. */
void nvme_dev_wait(struct nvme_dev *dev, struct nvme_dev_wait *w);

/** nvme_dev_reset() - reset the controller. PF's strand held. */
void nvme_dev_reset(struct nvme_dev *dev, const char *why);

/* ------------------------------------------------------------------ commands */

#define NVME_DEV_DATA_MAX (64u << 10)	/* data of one command; also limited by MDTS: nvme_dev_data_max() */

/**
 * struct nvme_dev_cmd - one admin command
 * @sqe: opcode, NSID and command dwords; the rest is the driver's.
 * @out: what the controller reads, @len bytes, valid until @done; NULL with @len: it writes.
 * @timeout_ns: 0: nvme_driver_params.admin_ns.
 * @done: called once, PF's strand held, never from nvme_dev_submit().
 * @err: 0: there is a completion; -ETIMEDOUT; -EIO: the controller was reset; -ENODEV: there is none.
 * @in: after a read, its @len bytes, valid inside @done.
 */
struct nvme_dev_cmd {
	struct nvme_sqe sqe;
	const void *out;
	uint32_t len;
	uint64_t timeout_ns;
	void (*done)(struct nvme_dev_cmd *cmd);
	void *arg;

	int err;
	uint16_t status;		/* NVME_SC_*, without More, DNR, CRD */
	uint32_t dw0, dw1;
	const void *in;

	bool now;			/* the driver's: part of bring-up */
	struct list link;
};

/** nvme_dev_submit() - @cmd is the driver's until @done. PF's strand held. */
void nvme_dev_submit(struct nvme_dev *dev, struct nvme_dev_cmd *cmd);
uint32_t nvme_dev_data_max(const struct nvme_dev *dev);
/** nvme_dev_errno() - how @cmd ended: 0 or -errno. */
int nvme_dev_errno(const struct nvme_dev_cmd *cmd);
/** nvme_status_text() - "Invalid Field in Command", or NULL for what has no name here. */
const char *nvme_status_text(uint16_t status);

/* --------------------------------------------------------------- secondaries */

struct nvme_secondary {
	uint16_t cntlid;
	uint16_t vq, vi;		/* assigned */
	bool online, migratable;
};
/** nvme_dev_secondary() - of VF @index (0-based). Host lock, no strand. -ENODEV: unknown. */
int nvme_dev_secondary(struct nvme_dev *dev, unsigned int index, struct nvme_secondary *s);

#define NVME_PROVISION_NS_MAX 16u
#define NVME_PROVISION_LOG 1024u

/**
 * struct nvme_provision - shape a secondary controller: offline, resources, namespaces, online
 * @vq, @vi: 0: as it has now (VI: else as many as VQ).
 * @attach: namespaces that the subsystem has.
 * @online: and whether it ends online.
 * @done: once, PF's strand held (@err NULL: as wished; else undone as far as it
 *   went). Never from nvme_provision().
 * @log: one line per command, as it was sent, its result at the end.
 */
struct nvme_provision {
	unsigned int index;
	uint16_t vq, vi;
	uint32_t attach[NVME_PROVISION_NS_MAX];
	unsigned int nr_attach;
	bool online;
	void (*done)(struct nvme_provision *p, const struct ferry_err *err);
	char log[NVME_PROVISION_LOG];

	/* The driver's. */
	struct nvme_dev *dev;
	struct nvme_dev_cmd cmd;
	uint16_t cntlid, was_vq, was_vi;
	bool was_online, undoing;
	unsigned int step, attached;
	size_t log_len;
	struct ferry_err err;
	le16 list[2048];
};
/** nvme_provision() - host lock, no strand. 0; -ENODEV, -EBUSY, -EINVAL, -EOPNOTSUPP with @err and no @done. */
int nvme_provision(struct nvme_dev *dev, struct nvme_provision *p, struct ferry_err *err);

/** nvme_dev_migratable() - may VF @index be migrated? Kept over resets. Host lock, no strand. */
int nvme_dev_migratable(struct nvme_dev *dev, unsigned int index, bool on);

#endif
