/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * struct lm_controller: how the driver of a controlling function (an NVMe
 * primary controller, say) lets others suspend, save, restore and track a
 * function that it controls. What the controlled function is bound to does
 * not matter here, and it knows nothing of this.
 *
 * All operations are called with the host lock held and no strand; they
 * return at once. An asynchronous one is given a struct lm_op, which it
 * completes exactly once, later, never from inside the call: lm_complete()
 * from any thread, in whatever lock; @op->done then runs on the control strand
 * (vfio_host.control), with no other lock held. One operation is in flight
 * per controller; time-outs are the driver's.
 */
#ifndef FERRY_LM_H
#define FERRY_LM_H

#include <ferry/pci.h>

struct lm_controller;

struct lm_op {
	void (*done)(struct lm_op *op, int err);
	/* Results of some operations, valid when err is 0. */
	uint64_t size;		/* save_size, save_read: bytes; track_start: granule */
	/* lm_complete()'s. */
	int err;
	struct env_work work;
};

/** lm_op_init() - @control: the host's control strand. Once; an op can be used again after done. */
void lm_op_init(struct lm_op *op, struct env_strand *control, void (*done)(struct lm_op *, int));
void lm_complete(struct lm_op *op, int err);

#define LM_STATE_MAX (1u << 20)	/* bytes of one image */
#define LM_RANGES_MAX 256u

struct lm_range {
	uint64_t iova, len;
};

/**
 * struct lm_identity - what must be equal, or at least as good, on the other side
 * @digest: of all that a guest sees of the function: identity, capabilities,
 *   shape, every configuration byte that does not change. Equal or refused.
 * @text: a JSON object with the same for people; its keys name what differs.
 */
struct lm_identity {
	uint8_t format_uuid[16];	/* of the vendor part of an image */
	uint8_t digest[32];
	char text[4096];
};

/**
 * struct lm_ops - contract per operation
 *
 * @describe: Required, synchronous. Fill @id.
 * @check: Required, synchronous. Would an image of @id load here? 0, or
 *   -EINVAL with @err saying which item differs.
 * @prepare: Optional. A hint at PRE_COPY; failure is ignored.
 * @suspend: Required. Idempotent. Done: work that was fetched is finished or
 *   recorded, no DMA, no interrupt; registers latch. -EIO, -ETIMEDOUT: it runs on.
 * @resume: Required. Idempotent. Done: it runs.
 * @save_open, @save_close: begin and end an image; the function may be running.
 * @save_size: bytes of the image now, in @op->size.
 * @save_read: @len bytes at @off into @buf (valid until done), less at the
 *   end: @op->size. @final: fail with -EAGAIN if the function was not
 *   suspended throughout since save_open.
 * @load_open, @load_close: begin and end; several images may come, the latest wins.
 * @load_write: @len bytes at @off from @buf. @last: validate and commit, all or
 *   nothing: -EINVAL: the function is as before. Never touches client memory.
 * @track_start: log every write of the function into @ranges; granule in
 *   @op->size (a power of two, at least 4096). Optional, as track_*.
 * @track_report: call @mark for each written range since the last report, and
 *   clear. Any error means that all is dirty.
 * @track_stop: Idempotent.
 * @reset_done: synchronous: the function was reset: sessions are void.
 */
struct lm_ops {
	void (*describe)(struct lm_controller *lm, struct lm_identity *id);
	int (*check)(struct lm_controller *lm, const struct lm_identity *id, struct ferry_err *err);
	void (*prepare)(struct lm_controller *lm, struct lm_op *op);
	void (*suspend)(struct lm_controller *lm, struct lm_op *op);
	void (*resume)(struct lm_controller *lm, struct lm_op *op);
	void (*save_open)(struct lm_controller *lm, struct lm_op *op);
	void (*save_size)(struct lm_controller *lm, struct lm_op *op);
	void (*save_read)(struct lm_controller *lm, struct lm_op *op, uint64_t off, void *buf,
			  size_t len, bool final);
	void (*save_close)(struct lm_controller *lm);
	void (*load_open)(struct lm_controller *lm, struct lm_op *op);
	void (*load_write)(struct lm_controller *lm, struct lm_op *op, uint64_t off, const void *buf,
			   size_t len, bool last);
	void (*load_close)(struct lm_controller *lm);
	void (*track_start)(struct lm_controller *lm, struct lm_op *op, const struct lm_range *r,
			    unsigned int nr, uint64_t granule);
	void (*track_report)(struct lm_controller *lm, struct lm_op *op,
			     void (*mark)(void *arg, uint64_t iova, uint64_t len), void *arg);
	void (*track_stop)(struct lm_controller *lm, struct lm_op *op);
	void (*reset_done)(struct lm_controller *lm);
};

/*
 * @gone: set by whoever uses it, under the host lock; called (host lock held)
 *   when the controlling function was lost or reset: LM_GONE. All sessions are void.
 */
struct lm_controller {
	const struct lm_ops *ops;
	struct pci_function *fn;	/* the controlled function */
	struct pci_function *owner;	/* the controlling function */
	uint16_t cntlid;		/* NVMe: its controller id; else 0 */
	bool migratable;		/* provisioned so */
	void (*gone)(struct lm_controller *lm, void *arg);
	void *gone_arg;
	struct list link;
};

/* ------------------------------------------------------------ whose storage */

#define LM_TOKEN_MAX 8192u	/* bytes of what an offer puts into the stream */

/**
 * struct lm_owner_ops - which host may write the storage of a controlled function. src/host has them.
 * Called as struct lm_ops, through the wrappers below. @op's are asynchronous
 * (storage may be slow) and never time out before ten seconds.
 *
 * @check: synchronous. May its storage move to another host at all? 0, or -errno with @err.
 * @offer: the function is suspended: wait for what is in flight, make it
 *   durable, close the storage and let the other side have it. Done: @token
 *   holds @op->size bytes for the other side. An error: it is as before.
 * @accept: the other side's @token; the function's image is loaded. The
 *   storage stays closed. -ESTALE: it was not offered so, or no longer.
 * @run: the function is about to run: take what was accepted, or take back what
 *   was offered; nothing to do if neither. -ESTALE: the other side has it.
 * @forget: synchronous: another client begins with the function. What was
 *   offered or accepted before is not for this one; the storage stays as it is.
 */
struct lm_owner_ops {
	int (*check)(void *arg, struct lm_controller *lm, struct ferry_err *err);
	void (*offer)(void *arg, struct lm_controller *lm, struct lm_op *op,
		      uint8_t token[LM_TOKEN_MAX]);
	void (*accept)(void *arg, struct lm_controller *lm, struct lm_op *op, const void *token,
		       size_t len);
	void (*run)(void *arg, struct lm_controller *lm, struct lm_op *op);
	void (*forget)(void *arg, struct lm_controller *lm);
};

/** lm_owner_register() - once per host, before the first function; NULL takes it away. Host lock. */
void lm_owner_register(struct pci_bus *bus, const struct lm_owner_ops *ops, void *arg);

/* Without registered operations: all is well, and tokens are empty. */
int lm_owner_check(struct lm_controller *lm, struct ferry_err *err);
void lm_owner_offer(struct lm_controller *lm, struct lm_op *op, uint8_t token[LM_TOKEN_MAX]);
void lm_owner_accept(struct lm_controller *lm, struct lm_op *op, const void *token, size_t len);
void lm_owner_run(struct lm_controller *lm, struct lm_op *op);
void lm_owner_forget(struct lm_controller *lm);

/** lm_register(), lm_unregister() - the controlling driver's side. Host lock. Unregister calls gone(). */
int lm_register(struct pci_bus *bus, struct lm_controller *lm);
void lm_unregister(struct lm_controller *lm);

/** lm_find() - the lm_controller of a function, or NULL. Host lock. */
struct lm_controller *lm_find(const struct pci_bus *bus, const struct pci_function *fn);

#endif
