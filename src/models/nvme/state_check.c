/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Can this controller become what an image says? Images come from other
 * hosts: nothing in them is believed. The rule: an image is accepted if a
 * guest could have brought this controller there. So no check may be stricter
 * than what the registers and commands allow (a guest could make itself
 * immovable), and none may be missing that the rest of the model relies on.
 */
#include <string.h>

#include "models/nvme/state.h"

#define CC_BITS 0x00fffff1u
#define AQA_BITS 0x0fff0fffu

struct check {
	const struct nvme_ctrl *c;
	const struct nvme_image *img;
	const struct nvme_state *st;
	struct ferry_err *err;
	uint64_t page;			/* CC.MPS */
};

/* --------------------------------------------------------------------- guard */

#define GUARD_SAME(field)                                                                   \
	do {                                                                                \
		if (memcmp(&a->field, &b->field, sizeof(a->field)))                         \
			return image_bad(k->err, "%s differs from this controller's", #field); \
	} while (0)

/* The CNTLID is the subsystem's own business; a driver that minds compares it. */
static int check_guard(const struct check *k, const struct nvme_image *now)
{
	const struct nvme_guard *a = &k->img->guard, *b = &now->guard;

	GUARD_SAME(cap);
	GUARD_SAME(vs);
	GUARD_SAME(crto);
	GUARD_SAME(oaes);
	GUARD_SAME(ctratt);
	GUARD_SAME(sgls);
	GUARD_SAME(nn);
	GUARD_SAME(oacs);
	GUARD_SAME(oncs);
	GUARD_SAME(fuses);
	GUARD_SAME(queues);
	GUARD_SAME(vectors);
	GUARD_SAME(mdts);
	GUARD_SAME(sqes);
	GUARD_SAME(cqes);
	GUARD_SAME(vwc);
	GUARD_SAME(acl);
	GUARD_SAME(aerl);
	GUARD_SAME(elpe);
	GUARD_SAME(vsl);
	GUARD_SAME(sn);
	GUARD_SAME(mn);
	GUARD_SAME(fr);
	GUARD_SAME(subnqn);
	return 0;
}

static int check_namespaces(const struct check *k, const struct nvme_image *now)
{
	if (k->img->nr_ns != now->nr_ns)
		return image_bad(k->err, "%u namespaces, here are %u", k->img->nr_ns, now->nr_ns);
	for (uint32_t i = 0; i < now->nr_ns; i++) {
		const struct nvme_image_ns *a = &k->img->ns[i], *b = &now->ns[i];

		if (a->nsid != b->nsid)
			return image_bad(k->err, "namespace %u is not attached here", a->nsid);
		if (a->nsze != b->nsze || a->lba_shift != b->lba_shift)
			return image_bad(k->err, "namespace %u has another size or format", a->nsid);
		if (a->read_only != b->read_only)
			return image_bad(k->err, "namespace %u: write protection differs", a->nsid);
		if (memcmp(a->uuid, b->uuid, 16) || memcmp(a->nguid, b->nguid, 16) ||
		    memcmp(a->eui64, b->eui64, 8))
			return image_bad(k->err, "namespace %u is another one", a->nsid);
	}
	return 0;
}

/* ------------------------------------------------------------------ registers */

static int check_registers(const struct check *k)
{
	const struct nvme_state *st = k->st;
	const uint32_t shst = st->csts >> NVME_CSTS_SHST_SHIFT & NVME_CSTS_SHST_MASK;
	const uint32_t known = NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT;

	if (st->cc & ~CC_BITS || st->aqa & ~AQA_BITS || st->csts & ~known)
		return image_bad(k->err, "reserved bits of CC, AQA or CSTS");
	if (st->asq & 0xfff || st->acq & 0xfff)
		return image_bad(k->err, "ASQ or ACQ");
	/* Shutdown under way, or about to be disabled: not when suspended. */
	if (shst != NVME_CSTS_SHST_NORMAL && shst != NVME_CSTS_SHST_CMPLT)
		return image_bad(k->err, "CSTS.SHST %u", shst);
	if ((st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) && !(st->cc & NVME_CC_EN))
		return image_bad(k->err, "CSTS 0x%x without CC.EN", st->csts);
	if ((st->csts & NVME_CSTS_RDY) &&
	    (NVME_CC_MPS(st->cc) > (k->c->cap >> NVME_CAP_MPSMAX_SHIFT & 0xf) ||
	     NVME_CC_CSS(st->cc) != NVME_CC_CSS_NVM))
		return image_bad(k->err, "CC 0x%x", st->cc);
	return 0;
}

/* --------------------------------------------------------------------- queues */

static bool place_ok(const struct check *k, uint64_t prp1, uint32_t size, uint32_t max, uint32_t head,
		     uint32_t tail)
{
	return size >= 2 && size <= max && head < size && tail < size && IS_ALIGNED(prp1, k->page);
}

static int check_admin(const struct check *k)
{
	const struct nvme_sq_state *sq = &k->st->sq[0];
	const struct nvme_cq_state *cq = &k->st->cq[0];

	if (!place_ok(k, sq->prp1, sq->size, 4096, sq->head, sq->tail) ||
	    !place_ok(k, cq->prp1, cq->size, 4096, cq->head, cq->tail))
		return image_bad(k->err, "the admin queue");
	return 0;
}

static int check_queues(const struct check *k)
{
	const uint32_t granted = k->st->feat.queues, mqes = (uint32_t)(k->c->cap & 0xffff) + 1;
	bool any = false;

	for (unsigned int qid = 1; qid < NVME_QIDS; qid++) {
		const struct nvme_sq_state *sq = &k->st->sq[qid];
		const struct nvme_cq_state *cq = &k->st->cq[qid];

		any |= sq->size || cq->size;
		if (cq->size && (qid > (granted >> 16) + 1 || !cq->prp1 || cq->iv >= k->c->vectors ||
				 !place_ok(k, cq->prp1, cq->size, mqes, cq->head, cq->tail)))
			return image_bad(k->err, "CQ %u", qid);
		if (sq->size && (qid > (granted & 0xffff) + 1 || !sq->prp1 ||
				 !place_ok(k, sq->prp1, sq->size, mqes, sq->head, sq->tail)))
			return image_bad(k->err, "SQ %u", qid);
		if (sq->size && (!sq->cqid || sq->cqid >= NVME_QIDS || !k->st->cq[sq->cqid].size))
			return image_bad(k->err, "SQ %u completes to CQ %u, which is not there", qid,
					 sq->cqid);
		if ((!sq->size && (sq->nvmsetid || sq->stopped)) || (!cq->size && cq->stopped))
			return image_bad(k->err, "queue %u is not there but not empty", qid);
	}
	if (any && (NVME_CC_IOSQES(k->st->cc) != NVME_SQES || NVME_CC_IOCQES(k->st->cc) != NVME_CQES))
		return image_bad(k->err, "entry sizes in CC 0x%x", k->st->cc);
	return 0;
}

static int check_overflow(const struct check *k)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < k->img->nr_overflow; i++) {
		const struct nvme_overflow *o = &k->img->overflow[i];
		uint32_t cqid;

		if (o->sqid >= NVME_QIDS || !k->st->sq[o->sqid].size || o->status > 0x7fff)
			return image_bad(k->err, "completion %u that waits: SQ %u", i, o->sqid);
		cqid = k->st->sq[o->sqid].cqid;
		if (cqid < last)
			return image_bad(k->err, "completions that wait are not in order");
		last = cqid;
	}
	return 0;
}

static int check_dbbuf(const struct check *k)
{
	const uint64_t shadow = k->st->dbbuf_shadow, eventidx = k->st->dbbuf_eventidx;

	if (!shadow != !eventidx || !IS_ALIGNED(shadow, k->page) || !IS_ALIGNED(eventidx, k->page) ||
	    (shadow && k->c->cfg.no_dbbuf))
		return image_bad(k->err, "the doorbell buffer");
	return 0;
}

/* What a controller that is down cannot have. */
static int check_down(const struct check *k)
{
	const struct nvme_state *st = k->st;
	bool any = st->nr_aer || st->nr_events || st->event_masked || st->dbbuf_shadow ||
		   st->dbbuf_eventidx || k->img->nr_overflow || nvme_qmap_any(&k->img->irq);

	for (unsigned int qid = 0; qid < NVME_QIDS; qid++)
		any |= st->sq[qid].size || st->cq[qid].size;
	return any ? image_bad(k->err, "queues or events of a controller that is not ready") : 0;
}

/* ---------------------------------------------------------------------- others */

static int check_events(const struct check *k)
{
	for (unsigned int i = 0; i < k->st->nr_events; i++) {
		if (k->st->event[i].type > NVME_AER_VS)
			return image_bad(k->err, "event of type %u", k->st->event[i].type);
	}
	if (k->st->event_masked >> (NVME_AER_VS + 1))
		return image_bad(k->err, "mask of event types 0x%x", k->st->event_masked);
	return 0;
}

static int check_rest(const struct check *k)
{
	const uint32_t *changed = k->st->changed_ns;

	if (!nvme_features_valid(k->c, &k->st->feat) || !nvme_features_valid(k->c, &k->st->feat_saved))
		return image_bad(k->err, "the value of a feature");
	if (k->img->next_sq >= NVME_QIDS)
		return image_bad(k->err, "queue %u is next", k->img->next_sq);
	if (nvme_qmap_next(&k->img->irq, k->c->vectors) != NVME_QIDS ||
	    k->img->irq.w[1] >> (NVME_QIDS - 64))
		return image_bad(k->err, "an interrupt vector that is not there");
	if (changed[0] & 1 || changed[NVME_NSID_MAX / 32] >> (NVME_NSID_MAX % 32 + 1))
		return image_bad(k->err, "the list of changed namespaces");
	return 0;
}

int image_check(const struct nvme_ctrl *c, const struct nvme_image *img, const struct nvme_image *now,
		struct ferry_err *err)
{
	struct check k = { .c = c, .img = img, .st = &img->st, .err = err };
	int ret = check_guard(&k, now);

	if (!ret)
		ret = check_namespaces(&k, now);
	if (!ret)
		ret = check_registers(&k);
	if (!ret)
		ret = check_rest(&k);
	if (!ret && !(img->st.csts & NVME_CSTS_RDY))
		return check_down(&k);
	k.page = 0x1000ull << NVME_CC_MPS(img->st.cc);
	if (!ret)
		ret = check_admin(&k);
	if (!ret)
		ret = check_queues(&k);
	if (!ret)
		ret = check_overflow(&k);
	if (!ret)
		ret = check_dbbuf(&k);
	if (!ret)
		ret = check_events(&k);
	return ret;
}
