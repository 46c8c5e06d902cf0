/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Completion queues and interrupts.
 *
 * A completion that finds no room, or bus mastering off, waits in its CQ's
 * list until the host moves the head. The dword with the phase bit is stored
 * last, with release semantics. Interrupts of a batch are raised together at
 * its end; the pin (when MSI-X is off) is high while an interrupt-enabled CQ
 * has entries the host has not consumed, and vector 0 is not masked.
 */
#include <string.h>

#include "models/nvme/nvme.h"

void nvme_cq_open(struct nvme_ctrl *c, unsigned int qid, const struct nvme_cq_state *q)
{
	c->st->cq[qid] = *q;
	c->st->cq[qid].phase = true;
	nvme_qmap_set(&c->cqs, qid);
	nvme_doorbell_show(c, 2 * qid + 1, 0);
	nvme_dbbuf_open(c, 2 * qid + 1);
}

void nvme_cq_close(struct nvme_ctrl *c, unsigned int qid)
{
	nvme_cq_drop(c, qid, NVME_QIDS);
	c->st->cq[qid] = (struct nvme_cq_state){ 0 };
	nvme_qmap_clear(&c->cqs, qid);
}

void nvme_cq_drop(struct nvme_ctrl *c, unsigned int qid, unsigned int sqid)
{
	struct list *waiting = &c->cq[qid].waiting;
	struct nvme_req *req, *tmp;

	list_for_each_safe(req, tmp, waiting, link) {
		if (sqid != NVME_QIDS && req->sqid != sqid)
			continue;
		list_del(&req->link);
		nvme_req_free(req);
	}
	if (list_empty(waiting))
		nvme_qmap_clear(&c->stalled, qid);
}

/* --------------------------------------------------------------- interrupts */

void nvme_intx_update(struct nvme_ctrl *c)
{
	bool level = false;
	unsigned int qid;

	/* Held, the pin may fall but not rise. */
	if (!pci_msix_enabled(&c->fn) && !(c->st->intms & 1)) {
		nvme_qmap_for_each(qid, &c->cqs) {
			const struct nvme_cq_state *q = &c->st->cq[qid];

			if (q->ien && q->head != q->tail) {
				level = true;
				break;
			}
		}
	}
	if (!level || c->hold != NVME_HOLD_ALL)
		pci_intx_set(&c->fn, level);
}

void nvme_irq_flush(struct nvme_ctrl *c)
{
	const struct nvme_qmap due = c->irq_due;
	unsigned int v, qid;

	if (c->irq_hold || c->hold == NVME_HOLD_ALL || !nvme_qmap_any(&due))
		return;
	c->irq_due = (struct nvme_qmap){ 0 };
	if (pci_msix_enabled(&c->fn)) {
		nvme_qmap_for_each(v, &due)
			pci_msix_raise(&c->fn, v);
		return;
	}
	/* The pin falls when the host moves the heads: with shadow doorbells we must be told. */
	if (c->st->dbbuf_shadow) {
		nvme_qmap_for_each(qid, &c->cqs)
			nvme_dbbuf_cq(c, qid, true);
	}
	nvme_intx_update(c);
}

/* --------------------------------------------------------------------- post */

static bool nvme_cq_full(const struct nvme_cq_state *q)
{
	return (q->tail + 1u == q->size ? 0 : q->tail + 1u) == q->head;
}

/* Is there room, after a look at the shadow doorbell if there is one? */
static bool nvme_cq_room(struct nvme_ctrl *c, unsigned int qid)
{
	const struct nvme_cq_state *q = &c->st->cq[qid];

	if (nvme_cq_full(q) && qid && c->st->dbbuf_shadow)
		nvme_dbbuf_cq(c, qid, true);
	return !nvme_cq_full(q);
}

static int nvme_cqe_store(struct nvme_ctrl *c, uint64_t iova, const struct nvme_cqe *cqe)
{
	const size_t last = offsetof(struct nvme_cqe, cid);
	uint8_t *p = pci_dma_ptr(&c->fn, iova, sizeof(*cqe), DMA_WRITE);
	uint32_t dw3;
	int ret;

	memcpy(&dw3, &cqe->cid, sizeof(dw3));
	if (!p) {
		ret = pci_dma_write(&c->fn, iova, cqe, last);
		return ret ? ret : pci_dma_write(&c->fn, iova + last, &dw3, sizeof(dw3));
	}
	ret = copy_guarded(p, cqe, last);
	if (!ret)
		ret = store_guarded32((volatile uint32_t *)(void *)(p + last), dw3);
	pci_dma_written(&c->fn, iova, sizeof(*cqe));
	return ret;
}

/* There is room. Takes @req. */
static void nvme_cqe_post(struct nvme_ctrl *c, unsigned int qid, struct nvme_req *req)
{
	struct nvme_cq_state *q = &c->st->cq[qid];
	const struct nvme_cqe cqe = {
		.dw0 = le32_of(req->dw0),
		.dw1 = le32_of(req->dw1),
		.sqhd = le16_of(c->st->sq[req->sqid].head),
		.sqid = le16_of(req->sqid),
		.cid = le16_of(req->cid),
		.status = le16_of(NVME_CQE_STATUS(req->status) | (q->phase ? NVME_CQE_PHASE : 0)),
	};
	int ret = nvme_cqe_store(c, q->prp1 + q->tail * sizeof(cqe), &cqe);

	nvme_req_free(req);
	if (ret) {
		nvme_ctrl_fatal(c, "cannot write a completion queue");
		return;
	}
	q->tail = (uint16_t)(q->tail + 1u == q->size ? 0 : q->tail + 1);
	if (q->tail == 0)
		q->phase = !q->phase;
	if (q->ien)
		nvme_qmap_set(&c->irq_due, q->iv);
}

/* The end of a command that is no longer executing. Takes @req. */
void nvme_cq_post(struct nvme_ctrl *c, struct nvme_req *req)
{
	const unsigned int qid = c->st->sq[req->sqid].cqid;
	struct list *waiting = &c->cq[qid].waiting;

	if (!list_empty(waiting) || c->hold == NVME_HOLD_ALL || !pci_bus_master(&c->fn) ||
	    !nvme_cq_room(c, qid)) {
		list_add_tail(waiting, &req->link);
		nvme_qmap_set(&c->stalled, qid);
		return;
	}
	nvme_cqe_post(c, qid, req);
	nvme_irq_flush(c);
}

bool nvme_cq_run(struct nvme_ctrl *c)
{
	bool found = false;
	unsigned int qid;

	if (!nvme_running(c))
		return false;
	c->irq_hold++;
	nvme_qmap_for_each(qid, &c->stalled) {
		struct list *waiting = &c->cq[qid].waiting;

		while (!list_empty(waiting) && nvme_running(c) && nvme_cq_room(c, qid)) {
			struct nvme_req *req = list_first(waiting, struct nvme_req, link);

			list_del(&req->link);
			nvme_cqe_post(c, qid, req);
			found = true;
		}
		if (list_empty(waiting))
			nvme_qmap_clear(&c->stalled, qid);
	}
	c->irq_hold--;
	nvme_irq_flush(c);
	if (found && nvme_qmap_any(&c->busy))
		nvme_more(c);
	if (found && c->starved) {
		c->starved = false;
		nvme_more(c);
	}
	return found;
}

bool nvme_cq_head(struct nvme_ctrl *c, unsigned int qid, uint32_t head)
{
	struct nvme_cq_state *q = &c->st->cq[qid];

	/* It moves forward, over no more entries than were posted. */
	if (head < q->size) {
		const unsigned int posted = (q->tail + q->size - q->head) % q->size;
		const unsigned int taken = (head + q->size - q->head) % q->size;

		if (taken && taken <= posted) {
			q->head = (uint16_t)head;
			return true;
		}
	}
	nvme_error_doorbell(c, qid);
	nvme_event(c, NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_VAL, NVME_LOG_LID_ERROR);
	return false;
}
