/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Submission queues: doorbells, fetching, and the checks that hold for every
 * command before its executor runs.
 *
 * A trapped doorbell is answered on the caller's thread: one batch of its own
 * queue. What is left goes to the worker: it polls anyway (shadow or mapped
 * doorbells), or c->more runs there. A queue is not fetched from while its CQ
 * has completions waiting for room, so one full CQ costs only its own queues;
 * and the last requests of the pool are the admin queue's.
 */
#include <string.h>

#include "models/nvme/nvme.h"

/* This many trapped doorbells, each this soon after the one before, and polling pays. */
#define TRAPS_CLOSE_NS 30000u
#define TRAPS_MANY 8u

void nvme_more(struct nvme_ctrl *c)
{
	if (c->in_poll)
		return;		/* it comes back */
	if (c->fn.strand.poll_mode == ENV_POLL_TIMED)
		env_poll_kick(&c->fn.strand);
	else if (!c->spinning)
		env_work_queue(&c->more);
}

/* ------------------------------------------------------------------ execute */

static uint16_t nvme_check_ns(struct nvme_req *req)
{
	const uint32_t nsid = le32_get(req->sqe.nsid);

	if (nsid == NVME_NSID_ALL && (req->cmd->flags & NVME_CMD_NS_ALL))
		return NVME_SC_SUCCESS;
	if (nsid == 0 || nsid > NVME_NSID_MAX)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	req->ns = nvme_ns_get(req->c, nsid);
	if (!req->ns)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (req->sqid && atomic_load_explicit(&req->ns->formatting, memory_order_relaxed))
		return NVME_SC_FORMAT_IN_PROGRESS;
	return NVME_SC_SUCCESS;
}

static uint16_t nvme_check(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = req->cmd;
	const unsigned int psdt = NVME_SQE_PSDT(req->sqe.flags);

	if (!nvme_cmd_offered(req->c, cmd))
		return NVME_SC_INVALID_OPCODE | NVME_SC_DNR;
	if (NVME_SQE_FUSE(req->sqe.flags) ||
	    (psdt != NVME_PSDT_PRP && (req->sqid == 0 || req->c->cfg.no_sgl)) ||
	    psdt > NVME_PSDT_SGL_MSGL) {
		req->error_loc = 1;	/* byte 1 of the command */
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return cmd->flags & NVME_CMD_NS ? nvme_check_ns(req) : NVME_SC_SUCCESS;
}

static void nvme_execute(struct nvme_req *req, const struct nvme_sqe *sqe)
{
	struct nvme_ctrl *c = req->c;
	uint16_t status;

	req->sqe = *sqe;
	req->cid = le16_get(sqe->cid);
	req->cmd = (req->sqid ? nvme_io_cmds : nvme_admin_cmds) + sqe->opcode;
	list_add_tail(&c->executing, &req->link);
	c->nr_executing++;
	c->sq[req->sqid].inflight++;
	status = nvme_check(req);
	if (status)
		nvme_req_complete(req, status);
	else
		req->cmd->exec(req);
}

/* -------------------------------------------------------------------- fetch */

/* One batch of @qid. Return: whether anything was executed. */
static bool nvme_sq_fetch(struct nvme_ctrl *c, unsigned int qid)
{
	struct nvme_sq_state *q = &c->st->sq[qid];
	struct nvme_sqe sqe[NVME_SQE_BATCH];
	unsigned int n, done;

	if (c->sq[qid].deleting || !list_empty(&c->cq[q->cqid].waiting))
		return false;
	n = (q->tail < q->head ? q->size : q->tail) - q->head;
	n = MIN(n, NVME_SQE_BATCH);
	if (pci_dma_read(&c->fn, q->prp1 + q->head * sizeof(sqe[0]), sqe, n * sizeof(sqe[0]))) {
		nvme_ctrl_fatal(c, "cannot read a submission queue");
		return false;
	}
	for (done = 0; done < n; done++) {
		struct nvme_req *req;

		if (!nvme_running(c) || !list_empty(&c->cq[q->cqid].waiting))
			break;
		req = nvme_req_alloc(c, qid);
		if (!req) {
			c->starved = true;
			break;
		}
		q->head = (uint16_t)(q->head + 1u == q->size ? 0 : q->head + 1);
		if (q->head == q->tail)
			nvme_qmap_clear(&c->busy, qid);
		nvme_execute(req, &sqe[done]);
	}
	return done > 0;
}

bool nvme_sq_run(struct nvme_ctrl *c)
{
	const unsigned int first = c->next_sq;
	struct nvme_qmap busy = c->busy;
	bool found = false;
	unsigned int qid;

	if (!nvme_running(c))
		return false;
	c->irq_hold++;
	/* From where we stopped last, round to there: an early queue must not starve a late one of requests. */
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (qid = nvme_qmap_next(&busy, turn ? 0 : first);
		     qid < (turn ? first : NVME_QIDS);
		     qid = qid + 1 < NVME_QIDS ? nvme_qmap_next(&busy, qid + 1) : NVME_QIDS) {
			/* An admin command of this round may have deleted it. */
			if (nvme_qmap_has(&c->busy, qid) && nvme_running(c))
				found |= nvme_sq_fetch(c, qid);
		}
	}
	c->next_sq = first + 1 < NVME_QIDS ? first + 1 : 0;
	c->irq_hold--;
	nvme_irq_flush(c);
	if (found && nvme_qmap_any(&c->busy))
		nvme_more(c);
	return found;
}

/* ---------------------------------------------------------------- doorbells */

bool nvme_sq_tail(struct nvme_ctrl *c, unsigned int qid, uint32_t tail)
{
	struct nvme_sq_state *q = &c->st->sq[qid];
	unsigned int used, more;

	if (tail >= q->size)
		goto bad;
	used = (q->tail + q->size - q->head) % q->size;
	more = (tail + q->size - q->tail) % q->size;
	if (more == 0 || used + more >= q->size)
		goto bad;
	q->tail = (uint16_t)tail;
	nvme_qmap_set(&c->busy, qid);
	return true;

bad:
	nvme_error_doorbell(c, qid);
	nvme_event(c, NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_VAL, NVME_LOG_LID_ERROR);
	return false;
}

/* Doorbells come thick and fast: let the worker poll, so that the host stops ringing. */
static void nvme_trapped(struct nvme_ctrl *c)
{
	const uint64_t now = env_now(&c->fn.strand);

	c->traps = now - c->trap_at < TRAPS_CLOSE_NS ? c->traps + 1 : 0;
	c->trap_at = now;
	if (c->traps >= TRAPS_MANY) {
		c->traps = 0;
		env_poll_kick(&c->fn.strand);
	}
}

static void nvme_sq_doorbell(struct nvme_ctrl *c, unsigned int qid, uint32_t val)
{
	const bool shadow = qid && c->st->dbbuf_shadow;

	if (shadow && c->hold)
		return;		/* looked at when the hold ends */
	if (shadow)
		nvme_dbbuf_sq(c, qid);
	else if (nvme_sq_tail(c, qid, val))
		nvme_dbbuf_admin(c, 2 * qid, val);
	if (!nvme_running(c))
		return;
	c->irq_hold++;
	if (nvme_qmap_any(&c->stalled))
		nvme_cq_run(c);
	if (nvme_qmap_has(&c->busy, qid))
		nvme_sq_fetch(c, qid);
	/* Asleep, the host must ring for the next one too. */
	if (shadow && !c->spinning && nvme_running(c) && nvme_dbbuf_arm_sq(c, qid))
		nvme_more(c);
	c->irq_hold--;
	nvme_irq_flush(c);
	if (nvme_qmap_has(&c->busy, qid) && !c->starved)
		nvme_more(c);
	if (shadow && !c->spinning)
		nvme_trapped(c);
}

static void nvme_cq_doorbell(struct nvme_ctrl *c, unsigned int qid, uint32_t val)
{
	const bool shadow = qid && c->st->dbbuf_shadow;

	if (shadow && c->hold)
		return;
	if (shadow)
		nvme_dbbuf_cq(c, qid, !pci_msix_enabled(&c->fn));
	else if (nvme_cq_head(c, qid, val))
		nvme_dbbuf_admin(c, 2 * qid + 1, val);
	if (!nvme_running(c) && !c->hold)
		return;
	nvme_intx_update(c);
	if (nvme_qmap_any(&c->stalled) && nvme_cq_run(c) && nvme_qmap_any(&c->busy))
		nvme_sq_run(c);
}

/* A doorbell was written, by a trapped store or as seen in a mapped page. */
void nvme_doorbell(struct nvme_ctrl *c, unsigned int index, uint32_t val)
{
	const unsigned int qid = index / 2;
	const bool cq = index & 1;

	val &= 0xffff;
	if ((c->st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) != NVME_CSTS_RDY || c->disabling)
		return;
	if (qid >= NVME_QIDS || !nvme_qmap_has(cq ? &c->cqs : &c->sqs, qid)) {
		nvme_error_doorbell(c, qid);
		nvme_event(c, NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_REG, NVME_LOG_LID_ERROR);
		return;
	}
	if (cq)
		nvme_cq_doorbell(c, qid, val);
	else
		nvme_sq_doorbell(c, qid, val);
}

/* ------------------------------------------------------------- open, close */

void nvme_sq_open(struct nvme_ctrl *c, unsigned int qid, const struct nvme_sq_state *q)
{
	c->st->sq[qid] = *q;
	c->sq[qid] = (struct nvme_sq){ 0 };
	nvme_qmap_set(&c->sqs, qid);
	nvme_doorbell_show(c, 2 * qid, 0);
	nvme_dbbuf_open(c, 2 * qid);
}

void nvme_sq_close(struct nvme_ctrl *c, unsigned int qid)
{
	/* Completions for which the host made no room must not turn up in a queue to come. */
	nvme_cq_drop(c, c->st->sq[qid].cqid, qid);
	c->st->sq[qid] = (struct nvme_sq_state){ 0 };
	c->sq[qid].deleting = false;
	nvme_qmap_clear(&c->sqs, qid);
	nvme_qmap_clear(&c->busy, qid);
}
