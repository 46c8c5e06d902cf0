/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Controller Data Queues, of which there is one type: the User Data Migration
 * Queue, in the MMC's host memory, that tells which LBAs a target has changed.
 *
 * Two sides, two strands. The target notes a change (struct nvme_changes: a
 * short list, a lock of its own) and wakes the MMC, which alone writes into
 * the queue: nvme_cdq_flush(). Every answer of a target is preceded by a
 * flush, so that what happened before a Suspend is in the queue before the
 * Suspend's completion. A list that overflows is as bad as a queue that is
 * full: logging stops, the last entry says so, the host copies all again.
 *
 * struct nvme_changes is shared and counted: one reference is the queue's, one
 * the target's while it logs. @mmc is NULL once the queue is gone; a target
 * finds that out when it has something to note.
 */
#include <string.h>

#include "models/nvme/mig.h"

#define CHANGES_MAX 1024u
#define ENTRY_DWORDS (sizeof(struct nvme_lba_migration) / 4)
#define PAGE_ENTRIES (4096 / sizeof(struct nvme_lba_migration))

struct change {
	uint64_t lba, nlb;		/* nlb 0: no range */
	uint32_t nsid;
	uint8_t esa;
	bool dealloc;
};

struct nvme_changes {
	pthread_mutex_t lock;
	unsigned int refs;
	struct nvme_ctrl *mmc;		/* NULL: nobody reads it */
	bool overflow;
	unsigned int nr;
	struct change change[CHANGES_MAX];
};

struct nvme_cdq {
	uint16_t cntlid;
	uint32_t size, head, tail;	/* entries */
	bool phase;
	bool full;			/* the last entry said so; nothing more is written */
	bool etpt;
	uint32_t tpt;
	struct nvme_changes *changes;
	bool contiguous;
	uint64_t page[NVME_CDQ_PAGES];	/* contiguous: the first only */
};

/* ------------------------------------------------------------- the target's side */

/* One reference, the caller's. */
static struct nvme_changes *changes_new(struct nvme_ctrl *mmc)
{
	struct nvme_changes *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	pthread_mutex_init(&ch->lock, NULL);
	ch->refs = 1;
	ch->mmc = mmc;
	return ch;
}

static struct nvme_changes *changes_get(struct nvme_changes *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->refs++;
	pthread_mutex_unlock(&ch->lock);
	return ch;
}

void nvme_changes_put(struct nvme_changes *ch)
{
	bool last;

	pthread_mutex_lock(&ch->lock);
	last = --ch->refs == 0;
	pthread_mutex_unlock(&ch->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

static bool changes_read(struct nvme_changes *ch)
{
	bool read;

	pthread_mutex_lock(&ch->lock);
	read = ch->mmc;
	pthread_mutex_unlock(&ch->lock);
	return read;
}

/* Can @c go on with the last entry instead of a new one? */
static bool merge(struct nvme_changes *ch, const struct change *c)
{
	struct change *last = ch->nr ? &ch->change[ch->nr - 1] : NULL;
	uint64_t end;

	if (!last || !c->nlb || !last->nlb || last->nsid != c->nsid || last->dealloc != c->dealloc ||
	    c->lba > last->lba + last->nlb || last->lba > c->lba + c->nlb)
		return false;
	end = MAX(last->lba + last->nlb, c->lba + c->nlb);
	last->lba = MIN(last->lba, c->lba);
	last->nlb = end - last->lba;
	return true;
}

/* Return: false: nobody reads it any more. */
static bool change_add(struct nvme_changes *ch, const struct change *c)
{
	bool read;

	pthread_mutex_lock(&ch->lock);
	read = ch->mmc;
	if (read && !ch->overflow && !merge(ch, c)) {
		if (ch->nr == CHANGES_MAX)
			ch->overflow = true;
		else
			ch->change[ch->nr++] = *c;
		nvme_mig_wake(ch->mmc);
	}
	pthread_mutex_unlock(&ch->lock);
	return read;
}

void nvme_changes_detach(struct nvme_ctrl *c)
{
	struct nvme_changes *ch = take_ptr(c->changes);

	if (ch)
		nvme_changes_put(ch);
}

void nvme_changes_note(struct nvme_ctrl *c, uint32_t nsid, uint64_t lba, uint64_t nlb, bool dealloc)
{
	const struct change ch = { .lba = lba, .nlb = nlb, .nsid = nsid, .dealloc = dealloc };

	if (nlb && !change_add(c->changes, &ch))
		nvme_changes_detach(c);
}

void nvme_changes_mark(struct nvme_ctrl *c, unsigned int esa)
{
	if (c->changes && !change_add(c->changes, &(struct change){ .esa = (uint8_t)esa }))
		nvme_changes_detach(c);
}

/* -------------------------------------------------------------- writing entries */

static uint64_t entry_iova(const struct nvme_cdq *q, uint32_t at)
{
	const uint64_t off = at * sizeof(struct nvme_lba_migration);

	return q->contiguous ? q->page[0] + off : q->page[at / PAGE_ENTRIES] + off % 4096;
}

/* The phase last. */
static int entry_store(struct nvme_ctrl *c, uint64_t iova, const struct nvme_lba_migration *e)
{
	const size_t last = sizeof(*e) - sizeof(uint32_t);
	uint8_t *p = pci_dma_ptr(&c->fn, iova, sizeof(*e), DMA_WRITE);
	uint32_t dw;
	int ret;

	memcpy(&dw, (const uint8_t *)e + last, sizeof(dw));
	if (!p) {
		ret = pci_dma_write(&c->fn, iova, e, last);
		return ret ? ret : pci_dma_write(&c->fn, iova + last, &dw, sizeof(dw));
	}
	ret = copy_guarded(p, e, last);
	if (!ret)
		ret = store_guarded32((volatile uint32_t *)(void *)(p + last), dw);
	pci_dma_written(&c->fn, iova, sizeof(*e));
	return ret;
}

static uint32_t next(const struct nvme_cdq *q, uint32_t at)
{
	return at + 1 == q->size ? 0 : at + 1;
}

static uint16_t cdq_id(const struct nvme_ctrl *c, const struct nvme_cdq *q)
{
	uint16_t id = 0;

	while (c->mig->cdq[id] != q)
		id++;
	return (uint16_t)(id + 1);
}

static void entry_post(struct nvme_ctrl *c, struct nvme_cdq *q, struct nvme_lba_migration e)
{
	const uint32_t at = q->tail;

	e.attr = (uint8_t)(e.attr | (q->phase ? NVME_LBAMQ_PHASE : 0));
	if (entry_store(c, entry_iova(q, at), &e)) {
		q->full = true;		/* its memory is gone: whoever looks finds nothing new */
		return;
	}
	q->tail = next(q, at);
	if (q->tail == 0)
		q->phase = !q->phase;
	if (q->etpt && at == q->tpt) {
		q->etpt = false;
		nvme_event_param(c, NVME_AER_ONESHOT, NVME_AER_ONESHOT_CDQ_TAIL, cdq_id(c, q));
	}
}

/* Stop for good; the slot kept for it says why. */
static void cdq_fill_up(struct nvme_ctrl *c, struct nvme_cdq *q)
{
	entry_post(c, q, (struct nvme_lba_migration){
		.attr = NVME_LBAMQ_ESA(NVME_LBAMQ_ESA_FULL) | NVME_LBAMQ_NO_RANGE });
	q->full = true;
	pthread_mutex_lock(&q->changes->lock);
	q->changes->mmc = NULL;
	q->changes->nr = 0;
	pthread_mutex_unlock(&q->changes->lock);
	nvme_event_param(c, NVME_AER_ONESHOT, NVME_AER_ONESHOT_CDQ_FULL, cdq_id(c, q));
}

/* One change, as many entries as its length takes. */
static void change_post(struct nvme_ctrl *c, struct nvme_cdq *q, struct change ch)
{
	do {
		const uint64_t nlb = MIN(ch.nlb, 1ull << 32);
		struct nvme_lba_migration e = { .attr = (uint8_t)NVME_LBAMQ_ESA(ch.esa) };

		if (q->full)
			return;
		/* The last slot but one that can be used is for "full". */
		if (next(q, next(q, q->tail)) == q->head) {
			cdq_fill_up(c, q);
			return;
		}
		if (nlb) {
			e.nsid = le32_of(ch.nsid);
			e.nlb = le32_of((uint32_t)(nlb - 1));
			e.slba = le64_of(ch.lba);
			if (ch.dealloc)
				e.attr |= NVME_LBAMQ_DEALLOCATED;
		} else {
			e.attr |= NVME_LBAMQ_NO_RANGE;
		}
		entry_post(c, q, e);
		ch.lba += nlb;
		ch.nlb -= nlb;
	} while (ch.nlb);
}

static void cdq_flush(struct nvme_ctrl *c, struct nvme_cdq *q)
{
	struct change batch[64];
	bool overflow;
	unsigned int n;

	do {
		pthread_mutex_lock(&q->changes->lock);
		n = MIN(q->changes->nr, ARRAY_SIZE(batch));
		memcpy(batch, q->changes->change, n * sizeof(batch[0]));
		q->changes->nr -= n;
		memmove(q->changes->change, q->changes->change + n, q->changes->nr * sizeof(batch[0]));
		overflow = q->changes->overflow && !q->changes->nr;
		pthread_mutex_unlock(&q->changes->lock);
		for (unsigned int i = 0; i < n && !q->full; i++)
			change_post(c, q, batch[i]);
	} while (n && !q->full);
	if (overflow && !q->full)
		cdq_fill_up(c, q);
}

void nvme_cdq_flush(struct nvme_ctrl *mmc)
{
	for (unsigned int i = 0; i < NVME_CDQS_MAX; i++) {
		if (mmc->mig->cdq[i])
			cdq_flush(mmc, mmc->mig->cdq[i]);
	}
}

/* ------------------------------------------------------------- create, delete */

static struct nvme_cdq *cdq_find(struct nvme_ctrl *c, uint16_t id)
{
	return id && id <= NVME_CDQS_MAX ? c->mig->cdq[id - 1] : NULL;
}

static void cdq_free(struct nvme_cdq *q)
{
	if (q->changes) {
		pthread_mutex_lock(&q->changes->lock);
		q->changes->mmc = NULL;
		pthread_mutex_unlock(&q->changes->lock);
		nvme_changes_put(q->changes);
	}
	free(q);
}

void nvme_cdq_drop(struct nvme_ctrl *mmc, uint16_t cntlid)
{
	for (unsigned int i = 0; i < NVME_CDQS_MAX; i++) {
		struct nvme_cdq *q = mmc->mig->cdq[i];

		if (q && (!cntlid || q->cntlid == cntlid)) {
			mmc->mig->cdq[i] = NULL;
			cdq_free(q);
		}
	}
}

/* Where it lies: PRP1, or with PC clear the pages in the list at PRP1. */
static uint16_t cdq_place(struct nvme_req *req, struct nvme_cdq *q)
{
	const uint64_t prp1 = le64_get(req->sqe.prp1), bytes = q->size * sizeof(struct nvme_lba_migration);
	const unsigned int pages = (unsigned int)((bytes + 4095) / 4096);
	le64 list[NVME_CDQ_PAGES];

	q->contiguous = le32_get(req->sqe.cdw11) & NVME_CDQ_PC;
	if (!IS_ALIGNED(prp1, 0x1000ull << NVME_CC_MPS(req->c->st->cc)))
		return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
	q->page[0] = prp1;
	if (q->contiguous)
		return NVME_SC_SUCCESS;
	/* Pages of the list are CC.MPS; 4 KiB is what is offered with PC clear. */
	if (NVME_CC_MPS(req->c->st->cc))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (pci_dma_read(&req->c->fn, prp1, list, pages * sizeof(list[0])))
		return NVME_SC_DATA_XFER_ERROR;
	for (unsigned int i = 0; i < pages; i++) {
		q->page[i] = le64_get(list[i]);
		if (!IS_ALIGNED(q->page[i], 4096))
			return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
	}
	return NVME_SC_SUCCESS;
}

/* On the target's strand: only to learn that there is one. */
static void exists_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	(void)c;
	nvme_call_end(call, NVME_SC_SUCCESS);
}

static void create_finish(struct nvme_ctrl *mmc, struct nvme_call *call)
{
	struct nvme_cdq *q = cdq_find(mmc, call->cdqid);

	if ((call->status || !call->req) && q) {
		mmc->mig->cdq[call->cdqid - 1] = NULL;
		cdq_free(q);
	}
	call->dw0 = call->cdqid;
}

static uint16_t cdq_new(struct nvme_req *req, struct nvme_cdq *q)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), size = le32_get(req->sqe.cdw12);
	struct nvme_ctrl *c = req->c;

	if (NVME_CDQ_QT(cdw10) != NVME_CDQ_QT_USER_DATA || !size || size % ENTRY_DWORDS ||
	    size > NVME_CDQ_PAGES * 1024 || size < 4 * ENTRY_DWORDS)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	q->cntlid = (uint16_t)(le32_get(req->sqe.cdw11) >> 16);
	if (q->cntlid == c->cfg.cntlid)
		return NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR;
	for (unsigned int i = 0; i < NVME_CDQS_MAX; i++) {
		if (c->mig->cdq[i] && c->mig->cdq[i]->cntlid == q->cntlid)
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	q->size = size / ENTRY_DWORDS;
	q->phase = true;
	return cdq_place(req, q);
}

static void cdq_create(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	struct nvme_cdq *q = calloc(1, sizeof(*q));
	struct nvme_call *call = NULL;
	uint16_t status = q ? cdq_new(req, q) : NVME_SC_INTERNAL;
	uint16_t id = 0;

	while (id < NVME_CDQS_MAX && c->mig->cdq[id])
		id++;
	if (!status && id == NVME_CDQS_MAX)
		status = NVME_SC_NOT_ENOUGH_RESOURCES | NVME_SC_DNR;
	if (!status) {
		q->changes = changes_new(c);
		call = nvme_call_new(req, q->cntlid, exists_call);
		if (!q->changes || !call)
			status = NVME_SC_INTERNAL;
	}
	if (status) {
		if (call)
			nvme_call_free(call);
		if (q)
			cdq_free(q);
		nvme_req_complete(req, status);
		return;
	}
	c->mig->cdq[id] = q;
	call->cdqid = (uint16_t)(id + 1);
	call->finish = create_finish;
	nvme_call_start(call);
}

static void cdq_delete(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint16_t id = le32_get(req->sqe.cdw11) & 0xffff;
	struct nvme_cdq *q = cdq_find(c, id);

	if (q) {
		c->mig->cdq[id - 1] = NULL;
		cdq_free(q);
	}
	nvme_req_complete(req, q ? NVME_SC_SUCCESS : NVME_SC_INVALID_CDQ | NVME_SC_DNR);
}

void nvme_cdq_command(struct nvme_req *req)
{
	switch (NVME_LM_SEL(le32_get(req->sqe.cdw10))) {
	case NVME_CDQ_SEL_CREATE:
		cdq_create(req);
		break;
	case NVME_CDQ_SEL_DELETE:
		cdq_delete(req);
		break;
	default:
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	}
}

/* -------------------------------------------------------------- start and stop */

static void log_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	struct nvme_changes *ch = call->changes;
	uint16_t status = NVME_SC_SUCCESS;

	if (!nvme_call_wanted(call)) {
		nvme_call_end(call, NVME_SC_ABORT_REQ);
		return;
	}
	if (!call->start) {
		if (c->changes == ch) {
			nvme_changes_mark(c, NVME_LBAMQ_ESA_STOPPED);
			nvme_changes_detach(c);
		}
		nvme_call_end(call, status);
		return;
	}
	/* One whose queue has gone, or is full, does not count. */
	if (c->mig->suspended) {
		status = NVME_SC_SUSPENDED | NVME_SC_DNR;
	} else if (c->changes && changes_read(c->changes)) {
		status = NVME_SC_INVALID_CDQ | NVME_SC_DNR;
	} else {
		nvme_changes_detach(c);
		c->changes = take_ptr(call->changes);
		nvme_changes_mark(c, NVME_LBAMQ_ESA_FIRST);
	}
	nvme_call_end(call, status);
}

/* Is there room to begin, or to begin anew after the queue was full? */
static uint16_t log_ready(struct nvme_ctrl *c, struct nvme_cdq *q)
{
	struct nvme_changes *fresh;

	if (next(q, q->tail) == q->head)
		return NVME_SC_CDQ_FULL | NVME_SC_DNR;
	if (!q->full)
		return NVME_SC_SUCCESS;
	fresh = changes_new(c);
	if (!fresh)
		return NVME_SC_INTERNAL;
	nvme_changes_put(q->changes);
	q->changes = fresh;
	q->full = false;
	return NVME_SC_SUCCESS;
}

void nvme_cdq_log(struct nvme_req *req)
{
	const uint32_t lact = NVME_TRACK_LACT(le32_get(req->sqe.cdw10));
	struct nvme_cdq *q = cdq_find(req->c, le32_get(req->sqe.cdw11) & 0xffff);
	struct nvme_call *call;
	uint16_t status = NVME_SC_SUCCESS;

	if (lact > 1)
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	else if (!q)
		status = NVME_SC_INVALID_CDQ | NVME_SC_DNR;
	else if (lact)
		status = log_ready(req->c, q);
	call = status ? NULL : nvme_call_new(req, q->cntlid, log_call);
	if (!call) {
		nvme_req_complete(req, status ? status : NVME_SC_INTERNAL);
		return;
	}
	call->start = lact;
	call->changes = changes_get(q->changes);
	nvme_call_start(call);
}

/* ----------------------------------------------------------------- feature 21h */

uint16_t nvme_cdq_set(struct nvme_req *req, struct nvme_features *f)
{
	const uint32_t cdw11 = le32_get(req->sqe.cdw11), hp = le32_get(req->sqe.cdw12);
	const uint32_t tpt = le32_get(req->sqe.cdw13);
	struct nvme_cdq *q = cdq_find(req->c, cdw11 & 0xffff);

	(void)f;
	if (!q)
		return NVME_SC_INVALID_CDQ | NVME_SC_DNR;
	/* The head moves forward, over no more entries than were posted. */
	if (hp >= q->size || (hp + q->size - q->head) % q->size > (q->tail + q->size - q->head) % q->size ||
	    ((cdw11 & NVME_FEAT_CDQ_ETPT) && tpt >= q->size))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	q->head = hp;
	q->etpt = cdw11 & NVME_FEAT_CDQ_ETPT;
	q->tpt = q->etpt ? tpt : 0;
	nvme_aer_forget(req->c, NVME_AER_ONESHOT, NVME_AER_ONESHOT_CDQ_TAIL, cdw11 & 0xffff);
	return NVME_SC_SUCCESS;
}

uint16_t nvme_cdq_get(struct nvme_req *req, const struct nvme_features *f)
{
	const uint16_t id = le32_get(req->sqe.cdw11) & 0xffff;
	const struct nvme_cdq *q = cdq_find(req->c, id);
	struct nvme_feat_cdq data;

	(void)f;
	if (!q)
		return NVME_SC_INVALID_CDQ | NVME_SC_DNR;
	data = (struct nvme_feat_cdq){ .hp = le32_of(q->head), .tpt = le32_of(q->etpt ? q->tpt : 0) };
	req->dw0 = id | (q->etpt ? NVME_FEAT_CDQ_ETPT : 0);
	return nvme_xfer_out(req, &data, sizeof(data));
}
