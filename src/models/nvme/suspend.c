/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Suspend and Resume of a controller (Base 2.1, "Host Managed Live Migration").
 *
 *   NONE --Suspend--> FETCH --drained--> ALL --Resume, FLR, loss of the MMC--> NONE
 *     ^                 | time is up, FLR |
 *     +-----------------+                 +--CC.EN 1 to 0: not suspended any more, still ALL
 *
 * FETCH: no command is fetched, CC's Enable and Shutdown are latched; what was
 * fetched ends as ever: data, CQEs, interrupts. A CQ that is full is not
 * waited for: its completions stay in their list. So the guest's processors
 * may stand still.
 *
 * ALL: no DMA, no interrupt. Registers and doorbells are latched. Events stay
 * pending, EventIdx and the shadow doorbells are not touched, interrupts that
 * were due are remembered. Nothing is in flight; timers there are none.
 *
 * Then, when the hold ends, everything is looked at again (catch_up): CC, the
 * doorbell page, the shadow doorbells (the guest moves them without telling
 * if EventIdx says so), waiting completions, pending events; and every vector
 * whose CQ has entries is raised, since it is not known what became of the
 * interrupts of before. All that only once bus mastering is on.
 *
 * A guest that clears CC.EN ends the suspension, but a hold lasts: its host
 * thinks the function quiet.
 */
#include "models/nvme/mig.h"

/* ------------------------------------------------------------------- suspend */

static void suspends_end(struct nvme_ctrl *c, uint16_t status)
{
	struct list *waiting = &c->mig->suspends;

	env_timer_cancel(&c->mig->drain_timer);
	while (!list_empty(waiting)) {
		struct nvme_call *call = list_first(waiting, struct nvme_call, link);

		list_del(&call->link);
		nvme_call_end(call, status);
	}
}

static bool anybody_waits(struct nvme_mig *mig)
{
	struct nvme_call *call;

	list_for_each(call, &mig->suspends, link) {
		if (nvme_call_wanted(call))
			return true;
	}
	return false;
}

void nvme_suspend_drained(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = c->mig;
	const unsigned int hold = c->irq_hold;

	if (list_empty(&mig->suspends) || c->nr_executing || c->disabling || c->shutting_down ||
	    pci_reset_busy(&c->fn))
		return;
	if (!anybody_waits(mig)) {
		suspends_end(c, NVME_SC_ABORT_REQ);
		nvme_hold_release(c);
		return;
	}
	/* The interrupts of a batch that we may be inside of. */
	c->irq_hold = 0;
	nvme_irq_flush(c);
	c->irq_hold = hold;
	c->hold = NVME_HOLD_ALL;
	mig->suspended = true;
	nvme_snapshot_drop(c);
	nvme_poll_update(c);
	nvme_changes_mark(c, NVME_LBAMQ_ESA_SUSPENDED);
	suspends_end(c, NVME_SC_SUCCESS);
}

/* What does not come to its end is named: it is what an operator has to know. */
static void drain_timeout(struct env_timer *t)
{
	struct nvme_ctrl *c = container_of(t->st, struct nvme_ctrl, fn.strand);

	if (list_empty(&c->executing)) {
		log_limited(&c->log, LOG_WARN, "nvme " PCI_BDF_FMT ": not suspended: a %s takes too long",
			    PCI_BDF_ARG(c->fn.bdf), c->disabling ? "reset" : "shutdown");
	} else {
		const struct nvme_req *req = list_first(&c->executing, struct nvme_req, link);

		log_limited(&c->log, LOG_WARN, "nvme " PCI_BDF_FMT
			    ": not suspended: %u commands take too long, the first is opcode %02xh of queue %u",
			    PCI_BDF_ARG(c->fn.bdf), c->nr_executing, req->sqe.opcode, req->sqid);
	}
	suspends_end(c, NVME_SC_INTERNAL);
	nvme_hold_release(c);
}

void nvme_suspend_init(struct nvme_ctrl *c)
{
	env_timer_init(&c->mig->drain_timer, &c->fn.strand, drain_timeout);
	c->mig->drain_ns = NVME_SUSPEND_NS;
	list_init(&c->mig->suspends);
}

void nvme_suspend_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	struct nvme_mig *mig = c->mig;

	if (!nvme_call_wanted(call) || mig->suspended) {
		nvme_call_end(call, NVME_SC_SUCCESS);
		return;
	}
	list_add_tail(&mig->suspends, &call->link);
	if (c->hold == NVME_HOLD_NONE) {
		c->hold = NVME_HOLD_FETCH;
		env_work_cancel(&c->more);
		env_timer_arm(&mig->drain_timer, env_now(&c->fn.strand) + mig->drain_ns);
	}
	nvme_suspend_drained(c);
}

/* -------------------------------------------------------------------- resume */

/* The doorbells as the host has left them, wherever it writes them. */
static void doorbells_again(struct nvme_ctrl *c)
{
	unsigned int qid;

	if (c->doorbells_mapped)
		nvme_doorbells_scan(c);
	if (!c->st->dbbuf_shadow)
		return;
	nvme_dbbuf_admin(c, 0, c->st->sq[0].tail);
	nvme_dbbuf_admin(c, 1, c->st->cq[0].head);
	nvme_qmap_for_each(qid, &c->cqs)
		nvme_dbbuf_cq(c, qid, false);
	nvme_dbbuf_scan(c);
}

void nvme_catch_up(struct nvme_ctrl *c)
{
	unsigned int qid;

	if (!c->mig->catch_up || !nvme_running(c))
		return;
	c->mig->catch_up = false;
	doorbells_again(c);
	c->irq_hold++;
	nvme_cq_run(c);
	nvme_aer_match(c);
	nvme_qmap_for_each(qid, &c->cqs) {
		const struct nvme_cq_state *q = &c->st->cq[qid];

		if (q->ien && q->head != q->tail)
			nvme_qmap_set(&c->irq_due, q->iv);
	}
	c->irq_hold--;
	nvme_irq_flush(c);
	nvme_intx_update(c);
	env_poll_kick(&c->fn.strand);
	nvme_more(c);
}

void nvme_hold_release(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = c->mig;
	const bool suspended = mig->suspended;

	suspends_end(c, NVME_SC_ABORT_REQ);
	nvme_load_drop(c);
	if (c->hold == NVME_HOLD_NONE)
		return;
	c->hold = NVME_HOLD_NONE;
	mig->suspended = false;
	mig->catch_up = true;
	nvme_snapshot_drop(c);
	if (suspended)
		nvme_changes_mark(c, NVME_LBAMQ_ESA_FIRST);
	nvme_poll_update(c);
	nvme_cc_apply(c);
	nvme_catch_up(c);
}

void nvme_resume_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	uint16_t status = NVME_SC_SUCCESS;

	if (!nvme_call_wanted(call)) {
		nvme_call_end(call, NVME_SC_ABORT_REQ);
		return;
	}
	if (c->mig->load.open) {
		nvme_call_end(call, NVME_SC_CMD_SEQ_ERROR | NVME_SC_DNR);
		return;
	}
	if (!c->mig->suspended)
		status = NVME_SC_NOT_SUSPENDED | NVME_SC_DNR;
	nvme_hold_release(c);
	nvme_call_end(call, status);
}

/* --------------------------------------------------------------------- reset */

void nvme_suspend_clr(struct nvme_ctrl *c, bool flr)
{
	struct nvme_mig *mig = c->mig;

	mig->suspended = false;
	mig->catch_up = false;
	nvme_snapshot_drop(c);
	nvme_load_drop(c);
	if (!flr)
		return;
	suspends_end(c, NVME_SC_ABORT_REQ);
	c->hold = NVME_HOLD_NONE;
}
