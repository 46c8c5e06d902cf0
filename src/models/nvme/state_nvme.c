/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The NVMe Controller State, version 0: the I/O queues.
 *
 * It has no phase: S0PT is the phase tag that lies in slot 0 of the CQ. While
 * the tail is elsewhere, slot 0 was written in this pass and has the phase of
 * the next entry too; at tail 0 it is of the pass before.
 */
#include "models/nvme/state.h"

static unsigned int count(const struct nvme_image *img, bool cq)
{
	unsigned int n = 0;

	for (unsigned int qid = 1; qid < NVME_QIDS; qid++)
		n += (cq ? img->st.cq[qid].size : img->st.sq[qid].size) != 0;
	return n;
}

size_t state_nvme_size(const struct nvme_image *img)
{
	return sizeof(struct nvme_lm_nvme_state) + count(img, false) * sizeof(struct nvme_lm_sq) +
	       count(img, true) * sizeof(struct nvme_lm_cq);
}

static struct nvme_lm_sq sq_put(const struct nvme_sq_state *q, unsigned int qid)
{
	return (struct nvme_lm_sq){
		.prp1 = le64_of(q->prp1),
		.qsize = le16_of((uint16_t)(q->size - 1)),
		.qid = le16_of((uint16_t)qid),
		.cqid = le16_of(q->cqid),
		.attr = le16_of((uint16_t)(NVME_LM_SQ_PC | q->prio << 1)),
		.head = le16_of(q->head),
		.tail = le16_of(q->tail),
	};
}

static struct nvme_lm_cq cq_put(const struct nvme_cq_state *q, unsigned int qid)
{
	const bool s0pt = q->tail ? q->phase : !q->phase;

	return (struct nvme_lm_cq){
		.prp1 = le64_of(q->prp1),
		.qsize = le16_of((uint16_t)(q->size - 1)),
		.qid = le16_of((uint16_t)qid),
		.head = le16_of(q->head),
		.tail = le16_of(q->tail),
		.attr = le32_of(NVME_LM_CQ_PC | (q->ien ? NVME_LM_CQ_IEN : 0) |
				(s0pt ? NVME_LM_CQ_S0PT : 0) | (uint32_t)q->iv << 16),
	};
}

void state_nvme_put(const struct nvme_image *img, uint8_t *buf)
{
	struct nvme_lm_nvme_state *h = (void *)buf;
	struct nvme_lm_sq *sq = (void *)(h + 1);
	struct nvme_lm_cq *cq;
	unsigned int qid;

	*h = (struct nvme_lm_nvme_state){
		.niosq = le16_of((uint16_t)count(img, false)),
		.niocq = le16_of((uint16_t)count(img, true)),
	};
	for (qid = 1; qid < NVME_QIDS; qid++) {
		if (img->st.sq[qid].size)
			*sq++ = sq_put(&img->st.sq[qid], qid);
	}
	cq = (void *)sq;
	for (qid = 1; qid < NVME_QIDS; qid++) {
		if (img->st.cq[qid].size)
			*cq++ = cq_put(&img->st.cq[qid], qid);
	}
}

/* Everything but what depends on the controller: state_check.c. */
static int sq_get(struct nvme_image *img, const struct nvme_lm_sq *sq, unsigned int *last,
		  struct ferry_err *err)
{
	const unsigned int qid = le16_get(sq->qid), attr = le16_get(sq->attr);
	struct nvme_sq_state *q;

	if (qid <= *last || qid >= NVME_QIDS)
		return image_bad(err, "SQ %u after SQ %u", qid, *last);
	if (!(attr & NVME_LM_SQ_PC) || attr >> 3 || sq->rsvd20.raw)
		return image_bad(err, "attributes of SQ %u", qid);
	*last = qid;
	q = &img->st.sq[qid];
	q->prp1 = le64_get(sq->prp1);
	q->size = le16_get(sq->qsize) + 1u;
	q->cqid = le16_get(sq->cqid);
	q->prio = NVME_LM_SQ_QPRIO(attr);
	q->head = le16_get(sq->head);
	q->tail = le16_get(sq->tail);
	return 0;
}

static int cq_get(struct nvme_image *img, const struct nvme_lm_cq *cq, unsigned int *last,
		  struct ferry_err *err)
{
	const unsigned int qid = le16_get(cq->qid);
	const uint32_t attr = le32_get(cq->attr);
	const bool s0pt = attr & NVME_LM_CQ_S0PT;
	struct nvme_cq_state *q;

	if (qid <= *last || qid >= NVME_QIDS)
		return image_bad(err, "CQ %u after CQ %u", qid, *last);
	if (!(attr & NVME_LM_CQ_PC) || attr & 0xfff8 || cq->rsvd20.raw)
		return image_bad(err, "attributes of CQ %u", qid);
	*last = qid;
	q = &img->st.cq[qid];
	q->prp1 = le64_get(cq->prp1);
	q->size = le16_get(cq->qsize) + 1u;
	q->head = le16_get(cq->head);
	q->tail = le16_get(cq->tail);
	q->iv = (uint16_t)(attr >> 16);
	q->ien = attr & NVME_LM_CQ_IEN;
	q->phase = q->tail ? s0pt : !s0pt;
	return 0;
}

int state_nvme_get(struct nvme_image *img, const uint8_t *buf, size_t len, struct ferry_err *err)
{
	const struct nvme_lm_nvme_state *h = (const void *)buf;
	const struct nvme_lm_sq *sq = (const void *)(h + 1);
	unsigned int nsq, ncq, last = 0;
	int ret = 0;

	if (len < sizeof(*h))
		return image_bad(err, "an NVMe part of %zu bytes", len);
	nsq = le16_get(h->niosq);
	ncq = le16_get(h->niocq);
	if (h->ver.raw || h->rsvd6.raw)
		return image_bad(err, "NVMe part of version %u", le16_get(h->ver));
	if (len != sizeof(*h) + nsq * sizeof(*sq) + ncq * sizeof(struct nvme_lm_cq))
		return image_bad(err, "%u SQs and %u CQs in %zu bytes", nsq, ncq, len);
	for (unsigned int i = 0; i < nsq && !ret; i++)
		ret = sq_get(img, &sq[i], &last, err);
	last = 0;
	for (unsigned int i = 0; i < ncq && !ret; i++)
		ret = cq_get(img, (const struct nvme_lm_cq *)(const void *)(sq + nsq) + i, &last, err);
	return ret;
}
