/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Shadow doorbells (Doorbell Buffer Config). One slot of 32 bits per
 * doorbell, at the index of the register, in two pages: the host writes
 * tails and heads into the shadow page, we write into the EventIdx page the
 * value past which it has to ring the register as well.
 *
 * While the worker polls, EventIdx stays behind and the host stays quiet.
 * Before the worker sleeps: EventIdx = the tail we have taken, a full
 * barrier, one more look; without that look a wake-up is lost. CQ heads are
 * read only when a CQ looks full, or when the interrupt pin depends on them.
 * The admin queue goes by the register alone; its slots only show it.
 */
#include "models/nvme/nvme.h"

#define SLOT(index) ((index) * sizeof(uint32_t))
#define SLOTS_SIZE SLOT(2 * NVME_QIDS)

static bool shadow_read(struct nvme_ctrl *c, unsigned int index, uint32_t *v)
{
	const uint64_t iova = c->st->dbbuf_shadow + SLOT(index);
	const uint32_t *p = pci_dma_ptr(&c->fn, iova, sizeof(*p), DMA_READ);
	int ret = p ? load_guarded32(p, v) : pci_dma_read(&c->fn, iova, v, sizeof(*v));

	if (ret)
		nvme_ctrl_fatal(c, "cannot read the shadow doorbells");
	*v = ret ? 0 : le32toh(*v);
	return ret == 0;
}

static bool slot_write(struct nvme_ctrl *c, uint64_t page, unsigned int index, uint32_t v)
{
	const uint64_t iova = page + SLOT(index);
	uint32_t *p = pci_dma_ptr(&c->fn, iova, sizeof(*p), DMA_WRITE);
	int ret;

	v = htole32(v);
	if (p) {
		ret = store_guarded32(p, v);
		pci_dma_written(&c->fn, iova, sizeof(v));
	} else {
		ret = pci_dma_write(&c->fn, iova, &v, sizeof(v));
	}
	return ret == 0;
}

static void eventidx_write(struct nvme_ctrl *c, unsigned int index, uint32_t v)
{
	if (!slot_write(c, c->st->dbbuf_eventidx, index, v))
		nvme_ctrl_fatal(c, "cannot write the shadow doorbells' event indexes");
}

/* ------------------------------------------------------------------- queues */

static void sq_take(struct nvme_ctrl *c, unsigned int qid, uint32_t tail)
{
	struct nvme_sq_state *q = &c->st->sq[qid];

	if (tail != q->tail && !nvme_sq_tail(c, qid, tail))
		q->stopped = true;
}

void nvme_dbbuf_sq(struct nvme_ctrl *c, unsigned int qid)
{
	uint32_t tail;

	if (!c->st->sq[qid].stopped && shadow_read(c, 2 * qid, &tail))
		sq_take(c, qid, tail);
}

void nvme_dbbuf_cq(struct nvme_ctrl *c, unsigned int qid, bool arm)
{
	struct nvme_cq_state *q = &c->st->cq[qid];
	uint32_t head;

	/* Take what is there; if told to, ask for the next and look again. */
	for (unsigned int look = 0; qid && look < 2; look++) {
		if (q->stopped || (c->st->csts & NVME_CSTS_CFS) ||
		    !shadow_read(c, 2 * qid + 1, &head))
			return;
		if (head != q->head && !nvme_cq_head(c, qid, head))
			q->stopped = true;
		if (!arm || look)
			return;
		eventidx_write(c, 2 * qid + 1, q->head);
		atomic_thread_fence(memory_order_seq_cst);
	}
}

bool nvme_dbbuf_scan(struct nvme_ctrl *c)
{
	const uint8_t *page = pci_dma_ptr(&c->fn, c->st->dbbuf_shadow, SLOTS_SIZE, DMA_READ);
	bool found = false;
	unsigned int qid;

	nvme_qmap_for_each(qid, &c->sqs) {
		const struct nvme_sq_state *q = &c->st->sq[qid];
		uint32_t tail;

		if (!qid || q->stopped)
			continue;
		if (page) {
			if (load_guarded32((const volatile uint32_t *)(const void *)(page + SLOT(2 * qid)), &tail)) {
				nvme_ctrl_fatal(c, "cannot read the shadow doorbells");
				break;
			}
			tail = le32toh(tail);
		} else if (!shadow_read(c, 2 * qid, &tail)) {
			break;
		}
		if (tail != q->tail) {
			sq_take(c, qid, tail);
			found = true;
		}
	}
	return found;
}

/* Before sleep, for one SQ. Return: whether its tail has moved meanwhile. */
bool nvme_dbbuf_arm_sq(struct nvme_ctrl *c, unsigned int qid)
{
	const struct nvme_sq_state *q = &c->st->sq[qid];
	const uint16_t tail = q->tail;

	if (!qid || !c->st->dbbuf_shadow || q->stopped)
		return false;
	eventidx_write(c, 2 * qid, tail);
	atomic_thread_fence(memory_order_seq_cst);
	if (c->st->csts & NVME_CSTS_CFS)
		return false;
	nvme_dbbuf_sq(c, qid);
	return q->tail != tail;
}

bool nvme_dbbuf_arm(struct nvme_ctrl *c)
{
	unsigned int qid;

	if (!c->st->dbbuf_shadow)
		return false;
	nvme_qmap_for_each(qid, &c->sqs) {
		if (qid && !c->st->sq[qid].stopped)
			eventidx_write(c, 2 * qid, c->st->sq[qid].tail);
	}
	atomic_thread_fence(memory_order_seq_cst);
	return nvme_running(c) && nvme_dbbuf_scan(c);
}

/* ------------------------------------------------------------ configuration */

/* Doorbell @index of a queue that starts, at 0. */
void nvme_dbbuf_open(struct nvme_ctrl *c, unsigned int index)
{
	if (!c->st->dbbuf_shadow)
		return;
	if (!slot_write(c, c->st->dbbuf_shadow, index, 0))
		nvme_ctrl_fatal(c, "cannot write the shadow doorbells");
	else
		eventidx_write(c, index, 0);
}

/* The admin queue's slots follow its registers. */
void nvme_dbbuf_admin(struct nvme_ctrl *c, unsigned int index, uint32_t val)
{
	if (c->st->dbbuf_shadow && index < 2 && c->hold != NVME_HOLD_ALL &&
	    !slot_write(c, c->st->dbbuf_shadow, index, val))
		nvme_ctrl_fatal(c, "cannot write the shadow doorbells");
}

static bool fill(struct nvme_ctrl *c, uint64_t shadow, uint64_t eventidx)
{
	unsigned int qid;

	nvme_qmap_for_each(qid, &c->sqs) {
		const uint16_t tail = c->st->sq[qid].tail;

		if (!slot_write(c, shadow, 2 * qid, tail) || !slot_write(c, eventidx, 2 * qid, tail))
			return false;
	}
	nvme_qmap_for_each(qid, &c->cqs) {
		const uint16_t head = c->st->cq[qid].head;

		if (!slot_write(c, shadow, 2 * qid + 1, head) ||
		    !slot_write(c, eventidx, 2 * qid + 1, head))
			return false;
	}
	return true;
}

void nvme_dbbuf_config(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint64_t shadow = le64_get(req->sqe.prp1), eventidx = le64_get(req->sqe.prp2);
	const uint64_t page = 0x1000ull << NVME_CC_MPS(c->st->cc);

	if (c->cfg.no_dbbuf) {
		nvme_req_complete(req, NVME_SC_INVALID_OPCODE | NVME_SC_DNR);
		return;
	}
	if (!shadow || !eventidx || !IS_ALIGNED(shadow, page) || !IS_ALIGNED(eventidx, page)) {
		req->error_loc = !shadow || !IS_ALIGNED(shadow, page) ? 24 : 32;
		nvme_req_complete(req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
		return;
	}
	if (!fill(c, shadow, eventidx)) {
		nvme_req_complete(req, NVME_SC_DATA_XFER_ERROR);
		return;
	}
	c->st->dbbuf_shadow = shadow;
	c->st->dbbuf_eventidx = eventidx;
	/* The host does not hear of this before the completion: nothing is rung past us. */
	nvme_poll_update(c);
	env_poll_kick(&c->fn.strand);
	nvme_req_complete(req, NVME_SC_SUCCESS);
}
