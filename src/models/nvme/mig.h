/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Live migration inside the NVMe model (TP4159). One controller of a
 * subsystem may be its migration management controller (MMC): it accepts the
 * commands that suspend, save, restore and track the others, its targets.
 *
 * Such a command begins on the MMC's strand, is about what is under the
 * target's, and ends on the MMC's. Nobody holds both: a struct nvme_call goes
 * there and back (call.c).
 */
#ifndef NVME_MIG_H
#define NVME_MIG_H

#include <ferry/nvme_lm_spec.h>

#include "models/nvme/nvme.h"

#define NVME_SUSPEND_NS 10000000000ull	/* what a Suspend may take to drain */
#define NVME_CALL_NS 15000000000ull	/* what any command about another controller may take */
#define NVME_CDQS_MAX 64u		/* MCUDMQ */
#define NVME_CDQ_PAGES 256u		/* MCMR: 1 MiB of queue */
#define NVME_TRACK_RANGES 4096u		/* CMMRTD */
#define NVME_TRACK_GRAN_MAX 18u		/* MAXMRTG: 1 GiB */
#define NVME_STATE_MAX (1u << 20)	/* bytes of a Controller State */

extern const uint8_t nvme_state_uuid[16];	/* of our vendor part */

/* ------------------------------------------------------------------- call.c */

enum nvme_call_at { NVME_CALL_QUEUED, NVME_CALL_HELD, NVME_CALL_DONE };

/**
 * struct nvme_call - an MMC's command on its way to another controller and back
 * @run: on the target's strand; ends, then or later, in nvme_call_end()
 * @finish: Optional. Back on the MMC's strand, before @req is completed: may
 *   change @status. Also when @req is NULL: nobody waits any more.
 */
struct nvme_call {
	void (*run)(struct nvme_ctrl *target, struct nvme_call *call);
	void (*finish)(struct nvme_ctrl *mmc, struct nvme_call *call);
	struct nvme_subsys *ss;
	struct nvme_req *req;		/* the MMC's, under its strand */
	struct list out;		/* the MMC's list of calls under way, likewise */
	uint64_t deadline;

	/* Under ss->lock. */
	struct nvme_ctrl *from;		/* NULL: nobody waits for it */
	enum nvme_call_at at;
	struct list link;		/* QUEUED: the target's; DONE: the MMC's; HELD: whoever holds it */

	/* The answer. */
	uint16_t status;
	uint32_t dw0, dw1;

	/* The operation's own. */
	uint16_t cntlid, cdqid;
	uint8_t *buf;			/* freed with the call */
	size_t len;
	uint64_t off;
	uint8_t csvi, csuuidi, seqind, gran;
	bool delete_cdq, start;
	struct nvme_track *track;	/* freed with the call */
	struct nvme_changes *changes;	/* put with the call */
};

/** nvme_call_new() - for @req about controller @cntlid. NULL: no memory. */
struct nvme_call *nvme_call_new(struct nvme_req *req, uint16_t cntlid,
				void (*run)(struct nvme_ctrl *, struct nvme_call *));
/** nvme_call_start() - send it off; completes @call->req, at once if there is no such target. */
void nvme_call_start(struct nvme_call *call);
/** nvme_call_post() - likewise for a call without a request: nobody waits. */
void nvme_call_post(struct nvme_subsys *ss, struct nvme_call *call);
/** nvme_call_end() - the target's answer. Any strand but the MMC's, or none; @call is gone. */
void nvme_call_end(struct nvme_call *call, uint16_t status);
/** nvme_call_wanted() - does somebody still wait for it? */
bool nvme_call_wanted(struct nvme_call *call);
void nvme_call_free(struct nvme_call *call);
/** nvme_mig_wake() - let the MMC look at its changes and calls. ss->lock or a leaf lock that keeps it alive. */
void nvme_mig_wake(struct nvme_ctrl *mmc);

/* ------------------------------------------------------------- the controller */

struct nvme_snapshot {
	uint8_t *nvme, *vendor;		/* the two parts; NULL: none taken */
	size_t nvme_len, vendor_len;
	bool suspended;
};

struct nvme_mig {
	/* As a target. Under the strand, but @calls and @mmc_reset: ss->lock. */
	struct env_work work;
	struct list calls;
	bool mmc_reset;
	bool suspended;			/* as reported; c->hold may outlast it: see suspend.c */
	bool catch_up;			/* doorbells and interrupts are to be looked at again */
	struct list suspends;		/* calls that wait for the controller to drain */
	struct env_timer drain_timer;
	uint64_t drain_ns;
	struct nvme_snapshot snap;
	struct {			/* Set Controller State under way */
		bool open;
		uint8_t *buf;
		size_t len;
		uint8_t csvi, csuuidi;
	} load;
	struct nvme_track *track;

	/* As MMC. @done: ss->lock. */
	struct env_work done_work;
	struct list out, done;
	struct env_timer call_timer;
	uint64_t call_ns;
	struct nvme_cdq *cdq[NVME_CDQS_MAX];
};

/** nvme_mig_init(), nvme_mig_release() - with the controller. release: strand held, after nvme_mig_leave(). */
int nvme_mig_init(struct nvme_ctrl *c);
void nvme_mig_release(struct nvme_ctrl *c);
/** nvme_mig_leave() - ss->lock held: @c has left ss->ctrl[]. Nobody calls it any more. */
void nvme_mig_leave_locked(struct nvme_ctrl *c);
/** nvme_mig_disable() - a Controller Level Reset of @c begins: as MMC it lets go of all. Strand held. */
void nvme_mig_disable(struct nvme_ctrl *c);

/* ---------------------------------------------------------------- suspend.c */

void nvme_suspend_init(struct nvme_ctrl *c);
void nvme_suspend_call(struct nvme_ctrl *c, struct nvme_call *call);
void nvme_resume_call(struct nvme_ctrl *c, struct nvme_call *call);
/** nvme_suspend_drained() - something that a Suspend may wait for is over. */
void nvme_suspend_drained(struct nvme_ctrl *c);
/** nvme_suspend_clr() - a Controller Level Reset of @c is over; @flr: not by CC.EN. */
void nvme_suspend_clr(struct nvme_ctrl *c, bool flr);
/** nvme_hold_release() - run again, whatever held it. */
void nvme_hold_release(struct nvme_ctrl *c);
/** nvme_catch_up() - after a hold, as soon as the controller can: doorbells, completions, interrupts. */
void nvme_catch_up(struct nvme_ctrl *c);

/* ----------------------------------------------------- mig_send.c, mig_recv.c */

void nvme_migration_send(struct nvme_req *req);
void nvme_migration_receive(struct nvme_req *req);
void nvme_load_drop(struct nvme_ctrl *c);
void nvme_snapshot_drop(struct nvme_ctrl *c);

/* ------------------------------------------------------------------ track.c */

void nvme_track_send(struct nvme_req *req);
void nvme_track_receive(struct nvme_req *req);
/** nvme_track_stop() - strand held. Idempotent. */
void nvme_track_stop(struct nvme_ctrl *c);
void nvme_track_free(struct nvme_track *t);

/* -------------------------------------------------------------------- cdq.c */

void nvme_cdq_command(struct nvme_req *req);
void nvme_cdq_log(struct nvme_req *req);	/* Track Send SEL 0 */
void nvme_changes_put(struct nvme_changes *ch);
uint16_t nvme_cdq_set(struct nvme_req *req, struct nvme_features *f);	/* feature 21h */
uint16_t nvme_cdq_get(struct nvme_req *req, const struct nvme_features *f);
/** nvme_changes_mark() - an entry without a range. Strand of the logged controller. */
void nvme_changes_mark(struct nvme_ctrl *c, unsigned int esa);
void nvme_changes_detach(struct nvme_ctrl *c);
/** nvme_cdq_flush() - write what the targets noted into the queues. The MMC's strand. */
void nvme_cdq_flush(struct nvme_ctrl *mmc);
/** nvme_cdq_drop() - delete the queues of target @cntlid; 0: all. The MMC's strand. */
void nvme_cdq_drop(struct nvme_ctrl *mmc, uint16_t cntlid);

#endif
