/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Inside the NVMe model. One controller runs under its function's strand; a
 * subsystem's namespace table has a lock of its own (a leaf: nothing is
 * called with it held).
 *
 * struct nvme_state is what a client can observe of a controller beyond PCI:
 * plain, pointer-free, rebuilt from nothing by reset. struct nvme_ctrl is the
 * runtime around it.
 *
 * A command's life: sq.c copies the SQE once, picks the nvme_cmd from the
 * table by opcode, checks what the table says (namespace, PSDT, FUSE), calls
 * exec(). exec() parses its fields, moves data by xfer.c, and ends in
 * nvme_req_complete(), then or later, exactly once. cq.c posts the CQE, or
 * queues it while the CQ is full.
 */
#ifndef NVME_NVME_H
#define NVME_NVME_H

#include <ferry/nvme.h>
#include <ferry/nvme_spec.h>

#define NVME_AERL 8u			/* outstanding AERs, AERL + 1 of the specification */
#define NVME_EVENTS_MAX 32u		/* pending asynchronous events */
#define NVME_ERRORS_MAX 64u		/* error log entries, ELPE + 1 */
#define NVME_REQS_MAX 4096u		/* commands executing at once per controller */
#define NVME_SQE_BATCH 32u		/* commands fetched from one SQ per poll */
#define NVME_QIDS (NVME_QUEUES_MAX + 1)

/* ------------------------------------------------------------------- state */

struct nvme_sq_state {
	uint64_t prp1;
	uint32_t size;			/* entries; 0: not created */
	uint16_t cqid, prio, nvmsetid;
	uint16_t head, tail;
	bool stopped;			/* bad shadow doorbell: not looked at until reset */
};

struct nvme_cq_state {
	uint64_t prp1;
	uint32_t size;			/* entries; 0: not created */
	uint16_t head, tail, iv;
	bool phase;			/* of the next CQE */
	bool ien;
	bool stopped;			/* bad shadow doorbell: as of an SQ */
};

struct nvme_event {
	uint8_t type, info, log;
	uint16_t param;			/* DW1 of the completion: one-shot events */
};

struct nvme_features {
	uint32_t arbitration, power, temp_over[9], temp_under[9], error_recovery[NVME_NSID_MAX + 1];
	uint32_t vwc, queues, coalescing, vector_config[NVME_QIDS], write_atomicity, async_config;
	uint32_t keep_alive;
	uint64_t timestamp_base, timestamp_at;	/* milliseconds; env_now() when set */
	uint8_t timestamp_origin;
	uint8_t host_behavior[512];
	uint8_t host_id[16];
	uint32_t host_id_exhid;
};

struct nvme_state {
	uint32_t cc, csts, aqa, intms;
	uint64_t asq, acq;
	struct nvme_sq_state sq[NVME_QIDS];
	struct nvme_cq_state cq[NVME_QIDS];
	uint16_t aer_cid[NVME_AERL];
	uint16_t nr_aer;
	struct nvme_event event[NVME_EVENTS_MAX];
	uint16_t nr_events;
	uint32_t event_masked;		/* bit per event type: reported, its log not read yet */
	uint64_t dbbuf_shadow, dbbuf_eventidx;	/* 0: not configured */
	uint64_t error_count;
	struct nvme_error_entry error[NVME_ERRORS_MAX];	/* newest at [(error_count - 1) % MAX] */
	uint32_t changed_ns[NVME_NSID_MAX / 32 + 1];	/* bit per nsid since log 04h was read */
	bool changed_ns_overflow;
	struct nvme_features feat, feat_saved;
	uint64_t data_read, data_written;	/* SMART, in bytes; survive reset */
	uint64_t host_reads, host_writes;
	uint64_t power_cycles, power_on_at, unsafe_shutdowns, media_errors;
};

/* --------------------------------------------------------------- namespaces */

/* A set of controllers: one bit per slot of the subsystem. */
#define NVME_SLOT_WORDS ((NVME_CTRLS_MAX + 63) / 64)
struct nvme_slots {
	uint64_t w[NVME_SLOT_WORDS];
};

static inline void nvme_slots_set(struct nvme_slots *s, unsigned int slot)
{
	s->w[slot / 64] |= 1ull << slot % 64;
}

static inline bool nvme_slots_has(const struct nvme_slots *s, unsigned int slot)
{
	return s->w[slot / 64] >> slot % 64 & 1;
}

struct nvme_ns {
	struct nvme_subsys *ss;
	uint32_t nsid;
	struct block_dev *dev;
	_Atomic uint32_t lba_shift;	/* Format changes it, while nothing is in flight */
	_Atomic uint64_t nsze;		/* LBAs */
	uint8_t uuid[16], nguid[16], eui64[8];
	char name[64];
	bool shared;			/* NMIC */
	bool guest_made;		/* by Namespace Management: its store goes with it */
	atomic_bool formatting;		/* new I/O: Format in Progress */
	atomic_bool not_owned;		/* another host may write it; new I/O: Namespace Not Ready */
	atomic_uint inflight;		/* commands that use it */
	_Atomic uint64_t attached[NVME_SLOT_WORDS];	/* bit per controller slot of the subsystem */
	atomic_uint refs;
};

/* ------------------------------------------------------------------ requests */

struct nvme_seg {
	uint64_t iova;
	uint32_t len;
	bool bucket;			/* SGL bit bucket: data is dropped */
};

struct nvme_req;

/**
 * struct nvme_cmd - what an opcode does. Tables indexed by opcode; exec NULL: Invalid Opcode.
 * @effects: dword of the Commands Supported and Effects log
 * @flags: NVME_CMD_*
 */
struct nvme_cmd {
	void (*exec)(struct nvme_req *req);
	uint32_t effects;
	unsigned int flags;
};

#define NVME_CMD_NS 1u		/* NSID must be an active namespace; req->ns is set and counted in ns->inflight */
#define NVME_CMD_MMC 4u		/* of the migration management controller only */
#define NVME_CMD_NS_ALL 2u	/* with NVME_CMD_NS: FFFFFFFFh is allowed too (then req->ns is NULL) */
#define NVME_CMD_PRIMARY 8u	/* not for the controller of a VF */
#define NVME_CMD_VIRT 16u	/* for a primary controller with secondaries only */

extern const struct nvme_cmd nvme_admin_cmds[256];	/* admin.c */
extern const struct nvme_cmd nvme_io_cmds[256];		/* io.c */

struct nvme_ctrl;

struct nvme_req {
	struct nvme_ctrl *c;
	const struct nvme_cmd *cmd;
	struct nvme_ns *ns;
	struct nvme_sqe sqe;		/* our only copy */
	uint16_t sqid, cid, status;	/* status: SCT 10:8, SC 7:0, NVME_SC_DNR 0x4000 */
	uint16_t error_loc;		/* parameter error location for the error log; 0xffff: none */
	uint32_t dw0, dw1;
	uint64_t error_lba;
	bool aborted;
	struct list link;		/* free list, executing list, or a CQ's waiting list */

	/* Data: xfer.c */
	struct nvme_seg *seg;		/* inline_seg, or allocated */
	unsigned int nr_seg, max_seg;
	uint64_t data_len;
	struct nvme_seg inline_seg[8];
	struct dma_hold *hold;
	struct iovec *iov;		/* inline_iov, or allocated */
	unsigned int nr_iov, max_iov;
	struct iovec inline_iov[8];
	void *bounce;
	size_t bounce_len;
	struct block_req blk;

	/* For commands with steps: the family's own. */
	unsigned int step, nr_steps;
	uint64_t lba, nlb;
	void *priv;			/* freed at completion */
};

/* ---------------------------------------------------------------- controller */

struct nvme_sq {
	unsigned int inflight;
	bool deleting;
	struct nvme_req *delete_req;
};

struct nvme_cq {
	struct list waiting;		/* requests done, no room in the CQ */
};

/* One bit per queue id. */
struct nvme_qmap {
	uint64_t w[(NVME_QIDS + 63) / 64];
};

static inline void nvme_qmap_set(struct nvme_qmap *m, unsigned int qid)
{
	m->w[qid / 64] |= 1ull << qid % 64;
}

static inline void nvme_qmap_clear(struct nvme_qmap *m, unsigned int qid)
{
	m->w[qid / 64] &= ~(1ull << qid % 64);
}

static inline bool nvme_qmap_has(const struct nvme_qmap *m, unsigned int qid)
{
	return m->w[qid / 64] >> qid % 64 & 1;
}

static inline bool nvme_qmap_any(const struct nvme_qmap *m)
{
	return (m->w[0] | m->w[1]) != 0;
}

/* The first member at or after @qid, or NVME_QIDS. */
static inline unsigned int nvme_qmap_next(const struct nvme_qmap *m, unsigned int qid)
{
	for (unsigned int i = qid / 64; i < ARRAY_SIZE(m->w); i++, qid = i * 64) {
		uint64_t left = m->w[i] >> qid % 64 << qid % 64;

		if (left)
			return i * 64 + (unsigned int)__builtin_ctzll(left);
	}
	return NVME_QIDS;
}

#define nvme_qmap_for_each(qid, m)                                  \
	for (qid = nvme_qmap_next(m, 0); qid < NVME_QIDS;           \
	     qid = qid + 1 < NVME_QIDS ? nvme_qmap_next(m, qid + 1) : NVME_QIDS)

/* What a controller must not do for now: suspend.c. */
enum nvme_hold {
	NVME_HOLD_NONE,
	NVME_HOLD_FETCH,		/* fetch commands, enable, shut down */
	NVME_HOLD_ALL,			/* any DMA, any interrupt */
};

struct nvme_mig;			/* mig.h: live migration, as its target or as its manager */
struct nvme_changes;			/* cdq.c */

struct nvme_ctrl {
	struct pci_function fn;
	struct env_poller poller;
	struct nvme_subsys *ss;
	struct nvme_ctrl_config cfg;
	unsigned int slot;		/* in the subsystem; bit of nvme_ns.attached */
	struct ferry_env *env;		/* the one that it was made with; VFs' too */
	struct nvme_virt *virt;		/* of a primary controller: virt.c */
	struct nvme_secondary *sec;	/* of a VF: its place in its primary's virt */
	struct nvme_ctrl *primary;	/* of a VF */
	uint16_t queues, vectors;	/* I/O queue pairs and vectors that it has now */
	bool offline;			/* a VF that may not be enabled; CSTS.CFS */
	bool wiping;			/* with disabling: to the state of a reset */
	unsigned int virt_seen, offlines_seen;	/* of struct nvme_secondary */
	struct env_work virt_work;	/* a VF: its primary wants something; a PF: a VF has done it */
	uint64_t cap;
	struct nvme_state *st;

	struct nvme_sq sq[NVME_QIDS];
	struct nvme_cq cq[NVME_QIDS];
	struct list free_reqs, executing;
	unsigned int nr_reqs, nr_executing;
	bool disabling;			/* CC.EN 1 to 0, or reset, waits for executing to drain */
	bool resetting;
	bool shutting_down;
	bool polled;			/* a client has the register page mapped */
	bool doorbells_mapped;
	enum nvme_hold hold;
	struct nvme_mig *mig;
	struct nvme_changes *changes;	/* what is written to namespaces is noted here, or NULL */
	struct env_work notice;		/* namespace changes from other threads */
	_Atomic uint32_t changed_ns[NVME_NSID_MAX / 32 + 1];
	unsigned int next_sq;		/* round robin */
	struct log_limit log;
	uint64_t errors;

	/* Queues: sq.c, cq.c. */
	struct nvme_qmap sqs, cqs;	/* created */
	struct nvme_qmap busy;		/* SQs whose tail is not their head */
	struct nvme_qmap stalled;	/* CQs with somebody waiting */
	unsigned int nr_io_reqs;	/* in use by I/O queues */
	struct list aers;		/* outstanding; as state.aer_cid */
	bool starved;			/* an SQ waits for a request to become free */
	bool in_poll;			/* inside the poller */
	bool spinning;			/* the worker polls us all the time: no need to be told */
	unsigned int irq_hold;		/* interrupts wait for the end of the batch */
	struct nvme_qmap irq_due;	/* vectors */
	struct env_work more;		/* commands left over by a trapped doorbell */
	uint64_t trap_at;		/* the last trapped doorbell, and how many came close together */
	unsigned int traps;

	/* Pages that a client has mapped: polled.c. */
	uint32_t doorbell[2 * NVME_QIDS];	/* as last seen or written by us */
	uint32_t shown[0x70 / 4];		/* registers: likewise */
	uint32_t restore_at;

	/* Shutdown: one flush after the other. */
	struct block_req flush;
	struct nvme_ns *flush_ns;
	uint32_t flush_nsid;
};

struct nvme_subsys {
	struct nvme_subsys_config cfg;
	pthread_mutex_t lock;		/* ns[], slot[], ctrl[], cntlid[], unallocated, nvme_virt; only work is queued with it held */
	struct nvme_ns *_Atomic ns[NVME_NSID_MAX + 1];	/* allocated ones; read without the lock: see ns.c */
	struct nvme_ns *slot[NVME_NSID_MAX + 1];	/* ns.c: their memory, kept until nvme_subsys_destroy() */
	struct nvme_ctrl *ctrl[NVME_CTRLS_MAX];	/* by slot; NULL too for a VF that does not exist */
	uint16_t cntlid[NVME_CTRLS_MAX];	/* by slot; 0: free */
	uint64_t unallocated;
	uint64_t track_bits;		/* memory tracking: in use by all controllers */
	uint32_t track_ranges;
};

/* ------------------------------------- the controller among its own files */

/* ctrl.c */

/** nvme_running() - commands are fetched, completions posted. */
bool nvme_running(const struct nvme_ctrl *c);
/** nvme_cc_apply() - do what CC asks for: enable, disable, shut down. */
void nvme_cc_apply(struct nvme_ctrl *c);
/** nvme_poll_update() - the poll mode that fits what is enabled and mapped now. */
void nvme_poll_update(struct nvme_ctrl *c);
/** nvme_drained() - @c->nr_executing fell: go on with whatever waited for zero. */
void nvme_drained(struct nvme_ctrl *c);
struct nvme_req *nvme_req_alloc(struct nvme_ctrl *c, unsigned int sqid);
void nvme_req_free(struct nvme_req *req);
void nvme_reqs_trim(struct nvme_ctrl *c, unsigned int keep);

/** nvme_wipe() - as a reset that is none of the PCI function's: stop everything, forget everything. */
void nvme_wipe(struct nvme_ctrl *c);
/** nvme_ctrl_create_vf() - the controller of VF @index, offline. @cfg: checked. */
int nvme_ctrl_create_vf(struct nvme_ctrl *primary, unsigned int index,
			const struct nvme_ctrl_config *cfg, struct pci_function **fn,
			struct ferry_err *err);

/* virt.c: primary and secondary controllers */
int nvme_virt_config_check(struct nvme_ctrl_config *cfg, struct ferry_err *err);
/** nvme_virt_init() - make @c, which has its function, a primary controller, if it is configured so. */
int nvme_virt_init(struct nvme_ctrl *c, struct ferry_err *err);
void nvme_virt_release(struct nvme_ctrl *c);
/** nvme_virt_disable() - @c goes down: no command waits for a VF, and no VF stays online. Strand held. */
void nvme_virt_disable(struct nvme_ctrl *c);
void nvme_virt_offline_all(struct nvme_ctrl *c);
/** nvme_virt_reset() - a primary was reset, and not by CC.EN: it has the resources that it was promised. */
void nvme_virt_reset(struct nvme_ctrl *c);
/** nvme_virt_apply() - what its primary wants of a VF, as far as it can be done now. Strand held. */
void nvme_virt_apply(struct nvme_ctrl *c);
/** nvme_virt_resources() - what a VF has been assigned. */
void nvme_virt_resources(const struct nvme_ctrl *c, uint16_t *vq, uint16_t *vi);
void nvme_virt_mgmt(struct nvme_req *req);
void nvme_virt_primary_cap(struct nvme_ctrl *c, struct nvme_primary_ctrl_cap *cap);
void nvme_virt_secondary_list(struct nvme_ctrl *c, uint16_t from, struct nvme_secondary_ctrl_list *l);

/** nvme_cmd_offered() - does @c have this command? */
static inline bool nvme_cmd_offered(const struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	return cmd->exec && !(cmd->flags & NVME_CMD_PRIMARY && c->primary) &&
	       !(cmd->flags & NVME_CMD_VIRT && !c->virt) &&
	       !(cmd->flags & NVME_CMD_MMC && !c->cfg.migrates);
}

/* regs.c */
uint64_t nvme_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len);
void nvme_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len,
		    uint64_t val);
uint32_t nvme_reg_read(const struct nvme_ctrl *c, uint64_t off);
void nvme_reg_write(struct nvme_ctrl *c, uint64_t off, uint32_t val);

/* sq.c */

/** nvme_sq_run() - fetch and execute, one batch of each busy SQ. Return: whether there was one. */
bool nvme_sq_run(struct nvme_ctrl *c);
/** nvme_sq_tail() - the host moved a tail; bad values raise an event. Return: false then. */
bool nvme_sq_tail(struct nvme_ctrl *c, unsigned int qid, uint32_t tail);
void nvme_doorbell(struct nvme_ctrl *c, unsigned int index, uint32_t val);
void nvme_sq_open(struct nvme_ctrl *c, unsigned int qid, const struct nvme_sq_state *q);
void nvme_sq_close(struct nvme_ctrl *c, unsigned int qid);
/** nvme_more() - let the worker take what is left, unless it polls anyway. */
void nvme_more(struct nvme_ctrl *c);

/* cq.c */
void nvme_cq_open(struct nvme_ctrl *c, unsigned int qid, const struct nvme_cq_state *q);
void nvme_cq_close(struct nvme_ctrl *c, unsigned int qid);
void nvme_cq_post(struct nvme_ctrl *c, struct nvme_req *req);
bool nvme_cq_head(struct nvme_ctrl *c, unsigned int qid, uint32_t head);
/** nvme_cq_run() - post what waited, where there is room now. Return: whether anything was posted. */
bool nvme_cq_run(struct nvme_ctrl *c);
/** nvme_cq_drop() - forget the waiting requests of @sqid (NVME_QIDS: of all). */
void nvme_cq_drop(struct nvme_ctrl *c, unsigned int qid, unsigned int sqid);
void nvme_irq_flush(struct nvme_ctrl *c);
void nvme_intx_update(struct nvme_ctrl *c);

/* dbbuf.c: all do nothing without shadow doorbells. */
bool nvme_dbbuf_scan(struct nvme_ctrl *c);
void nvme_dbbuf_sq(struct nvme_ctrl *c, unsigned int qid);
/** nvme_dbbuf_cq() - look up a CQ's head; @arm: and be told when it moves. */
void nvme_dbbuf_cq(struct nvme_ctrl *c, unsigned int qid, bool arm);
/** nvme_dbbuf_arm() - be told of new tails. Return: whether something came before that. */
bool nvme_dbbuf_arm(struct nvme_ctrl *c);
bool nvme_dbbuf_arm_sq(struct nvme_ctrl *c, unsigned int qid);
void nvme_dbbuf_open(struct nvme_ctrl *c, unsigned int index);
void nvme_dbbuf_admin(struct nvme_ctrl *c, unsigned int index, uint32_t val);

/* polled.c */
int nvme_bar_mapped(struct pci_function *fn, unsigned int bar, uint64_t off, uint64_t len);
void nvme_bar_unmapped(struct pci_function *fn);
/** nvme_publish() - show the registers in the page that a client has mapped, if one has. */
void nvme_publish(struct nvme_ctrl *c);
bool nvme_polled_scan(struct nvme_ctrl *c);
void nvme_polled_restore(struct nvme_ctrl *c);
bool nvme_doorbells_scan(struct nvme_ctrl *c);
void nvme_doorbell_show(struct nvme_ctrl *c, unsigned int index, uint32_t val);

/* aer.c */
/** nvme_aer_match() - bring pending events and outstanding requests together. */
void nvme_aer_match(struct nvme_ctrl *c);
/** nvme_aer_forget() - no pending event of this kind any more. */
void nvme_aer_forget(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint16_t param);
void nvme_aer_read(struct nvme_ctrl *c, uint8_t log);
bool nvme_aer_abort(struct nvme_ctrl *c, uint16_t cid);
void nvme_aer_drop(struct nvme_ctrl *c);
void nvme_notice_work(struct env_work *w);

/* features.c */
void nvme_features_init(struct nvme_ctrl *c);
/** nvme_features_valid() - is @f what Set Features can have made of it? */
bool nvme_features_valid(const struct nvme_ctrl *c, const struct nvme_features *f);
extern const uint32_t nvme_feature_effects[256];
uint8_t nvme_critical_warning(const struct nvme_ctrl *c);
#define NVME_TEMPERATURE 310u		/* kelvin; it never changes */

/* log.c */
void nvme_error_doorbell(struct nvme_ctrl *c, unsigned int qid);

/* ctrl.c, cq.c, aer.c, log.c: for the data path too */

/** nvme_req_complete() - end of a command; @status 0 or NVME_SC_*, with NVME_SC_DNR where it holds. Strand held. */
void nvme_req_complete(struct nvme_req *req, uint16_t status);

/** nvme_event() - raise an asynchronous event, subject to feature 0Bh and masking. Strand held. */
void nvme_event(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint8_t log);

/** nvme_event_param() - likewise, one-shot: neither masked nor settled by a log page. */
void nvme_event_param(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint16_t param);

/** nvme_error_log() - add an entry for a failed @req. Strand held. */
void nvme_error_log(struct nvme_ctrl *c, const struct nvme_req *req);

/** nvme_ctrl_fatal() - CSTS.CFS: stop everything until reset. Strand held. */
void nvme_ctrl_fatal(struct nvme_ctrl *c, const char *why);

/** nvme_changed() - [@lba, @lba + @nlb) of @nsid has other content now, or may have. Strand held. */
#define nvme_changed(c, nsid, lba, nlb, dealloc)                                    \
	do {                                                                        \
		if (__builtin_expect((c)->changes != NULL, 0))                      \
			nvme_changes_note(c, nsid, lba, nlb, dealloc);              \
	} while (0)
void nvme_changes_note(struct nvme_ctrl *c, uint32_t nsid, uint64_t lba, uint64_t nlb, bool dealloc);

/** nvme_notice() - namespace @nsid changed for this controller. Any thread, no strand needed. */
void nvme_notice(struct nvme_ctrl *c, uint32_t nsid);

/* xfer.c: data of a command. All return an NVMe status (0: fine). Strand held. */

/**
 * nvme_xfer_map() - parse PRPs or SGLs of @req for @len bytes into req->seg
 * Bounded by MDTS (checked: Invalid Field). Lists are read entry by entry, once.
 */
uint16_t nvme_xfer_map(struct nvme_req *req, uint64_t len);
/** nvme_xfer_in(), nvme_xfer_out() - map, then copy host to controller, controller to host. */
uint16_t nvme_xfer_in(struct nvme_req *req, void *buf, uint64_t len);
uint16_t nvme_xfer_out(struct nvme_req *req, const void *buf, uint64_t len);
/**
 * nvme_xfer_iov() - after map: req->iov for the block layer, straight into
 * client memory where it is mapped, else through req->bounce (filled now if
 * @dir is DMA_READ). nvme_xfer_finish() moves bounced data out (DMA_WRITE),
 * logs what was written, lets go of the hold.
 */
uint16_t nvme_xfer_iov(struct nvme_req *req, unsigned int dir);
uint16_t nvme_xfer_finish(struct nvme_req *req, unsigned int dir, bool ok);
/** nvme_xfer_compare() - after map: is the host's data that of @buf (data_len bytes)? */
uint16_t nvme_xfer_compare(struct nvme_req *req, const void *buf);
/** nvme_mdts() - MDTS as Identify Controller shows it: log2 of 4 KiB pages. */
uint8_t nvme_mdts(const struct nvme_ctrl *c);
/** nvme_xfer_release() - free what the data path took; called by nvme_req_complete(). Idempotent. */
void nvme_xfer_release(struct nvme_req *req);

/* ns.c: the table. */

/** nvme_ns_get() - namespace @nsid if it is attached to @c, referenced and counted in flight; else NULL. */
struct nvme_ns *nvme_ns_get(struct nvme_ctrl *c, uint32_t nsid);
void nvme_ns_put(struct nvme_ns *ns);
/** nvme_ns_lookup() - allocated namespace @nsid of the subsystem, referenced; nvme_ns_unref() after use. */
struct nvme_ns *nvme_ns_lookup(struct nvme_subsys *ss, uint32_t nsid);
void nvme_ns_unref(struct nvme_ns *ns);
bool nvme_ns_is_attached(const struct nvme_ns *ns, const struct nvme_ctrl *c);
/** nvme_ns_active() - is @nsid attached to @c? One look, nothing is held. */
bool nvme_ns_active(const struct nvme_ctrl *c, uint32_t nsid);

/** nvme_status_of_errno() - the one bridge from errno to NVMe status. @op tells write faults from read faults. */
uint16_t nvme_status_of_errno(int err, enum block_op op);

/*
 * Executors by file; the tables in admin.c and io.c name them. Identify,
 * Namespace Management and Attachment, and Format look their NSID up
 * themselves: no NVME_CMD_NS for them.
 */
/** nvme_id_ctrl_fill() - what Identify Controller shows. */
void nvme_id_ctrl_fill(const struct nvme_ctrl *c, struct nvme_id_ctrl *id);
void nvme_identify(struct nvme_req *req);		/* identify.c */
void nvme_ns_mgmt(struct nvme_req *req);		/* ns_mgmt.c */
void nvme_ns_attachment(struct nvme_req *req);		/* ns_mgmt.c */
void nvme_format(struct nvme_req *req);			/* format.c */
void nvme_get_log(struct nvme_req *req);		/* log.c */
void nvme_set_features(struct nvme_req *req);		/* features.c */
void nvme_get_features(struct nvme_req *req);		/* features.c */
void nvme_aer(struct nvme_req *req);			/* aer.c */
void nvme_abort(struct nvme_req *req);			/* admin.c */
void nvme_dbbuf_config(struct nvme_req *req);		/* dbbuf.c */

#endif
