/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Saving and loading a controller: collecting an image of it, taking one over,
 * and the structure around the two parts that are the image as bytes.
 *
 * Clocks: SMART's time since power on goes on from where it was. Timestamp
 * goes on too, by the time that has passed on the wall since; if the hosts'
 * clocks disagree so much that it would go back, it stands still meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include "models/nvme/state.h"

int image_bad(struct ferry_err *err, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return ferry_err_set(err, EINVAL, "E-NVME-STATE", NULL, "controller state: %s", text);
}

/* ------------------------------------------------------------------- collect */

static void collect_guard(const struct nvme_ctrl *c, struct nvme_guard *g)
{
	struct nvme_id_ctrl id;

	nvme_id_ctrl_fill(c, &id);
	*g = (struct nvme_guard){
		.cap = c->cap, .vs = NVME_VERSION, .crto = nvme_reg_read(c, NVME_REG_CRTO),
		.oaes = le32_get(id.oaes), .ctratt = le32_get(id.ctratt), .sgls = le32_get(id.sgls),
		.nn = le32_get(id.nn), .oacs = le16_get(id.oacs), .oncs = le16_get(id.oncs),
		.fuses = le16_get(id.fuses), .queues = c->queues, .vectors = c->vectors,
		.cntlid = c->cfg.cntlid, .mdts = id.mdts, .sqes = id.sqes, .cqes = id.cqes,
		.vwc = id.vwc, .acl = id.acl, .aerl = id.aerl, .elpe = id.elpe, .vsl = nvme_mdts(c),
	};
	memcpy(g->sn, id.sn, sizeof(g->sn));
	memcpy(g->mn, id.mn, sizeof(g->mn));
	memcpy(g->fr, id.fr, sizeof(g->fr));
	memcpy(g->subnqn, id.subnqn, sizeof(g->subnqn));
}

static void collect_namespaces(struct nvme_ctrl *c, struct nvme_image *img)
{
	struct nvme_subsys *ss = c->ss;

	pthread_mutex_lock(&ss->lock);
	for (uint32_t nsid = 1; nsid <= NVME_NSID_MAX; nsid++) {
		const struct nvme_ns *ns = atomic_load(&ss->ns[nsid]);
		struct nvme_image_ns *to = &img->ns[img->nr_ns];

		if (!ns || !nvme_ns_is_attached(ns, c))
			continue;
		img->nr_ns++;
		to->nsid = nsid;
		to->nsze = atomic_load(&ns->nsze);
		to->lba_shift = (uint8_t)atomic_load(&ns->lba_shift);
		to->read_only = ns->dev->read_only;
		memcpy(to->uuid, ns->uuid, sizeof(to->uuid));
		memcpy(to->nguid, ns->nguid, sizeof(to->nguid));
		memcpy(to->eui64, ns->eui64, sizeof(to->eui64));
	}
	pthread_mutex_unlock(&ss->lock);
}

static int collect_overflow(const struct nvme_ctrl *c, struct nvme_image *img)
{
	const struct nvme_req *req;
	unsigned int qid, n = 0;

	nvme_qmap_for_each(qid, &c->stalled) {
		list_for_each(req, &c->cq[qid].waiting, link)
			n++;
	}
	if (!n)
		return 0;
	img->overflow = calloc(n, sizeof(img->overflow[0]));
	if (!img->overflow)
		return -ENOMEM;
	nvme_qmap_for_each(qid, &c->stalled) {
		list_for_each(req, &c->cq[qid].waiting, link)
			img->overflow[img->nr_overflow++] = (struct nvme_overflow){
				.sqid = req->sqid, .cid = req->cid, .status = req->status,
				.dw0 = req->dw0, .dw1 = req->dw1 };
	}
	return 0;
}

/* Due now, or held back by a mask. */
static void collect_irqs(const struct nvme_ctrl *c, struct nvme_image *img)
{
	img->irq = c->irq_due;
	for (unsigned int v = 0; v < c->vectors; v++) {
		if (c->fn.state->pba[v / 64] >> v % 64 & 1)
			nvme_qmap_set(&img->irq, v);
	}
	if (!(c->st->csts & NVME_CSTS_RDY))
		img->irq = (struct nvme_qmap){ 0 };
}

static void collect_clocks(struct nvme_ctrl *c, struct nvme_image *img)
{
	const uint64_t now = env_now(&c->fn.strand);
	struct nvme_features *f = &img->st.feat;

	f->timestamp_base += (now - f->timestamp_at) / 1000000;
	f->timestamp_base &= (1ull << 48) - 1;
	f->timestamp_at = 0;
	img->st.feat_saved.timestamp_base = img->st.feat_saved.timestamp_at = 0;
	/* Not saveable: a reset gives what there is. */
	img->st.feat_saved.queues = (c->queues - 1u) | (c->queues - 1u) << 16;
	img->st.power_on_at = now - img->st.power_on_at;
	img->wall = env_realtime(&c->fn.strand);
}

int image_collect(struct nvme_ctrl *c, struct nvme_image **imgp)
{
	struct nvme_image *img = calloc(1, sizeof(*img));

	*imgp = img;
	if (!img)
		return -ENOMEM;
	/* Held, nobody looks at what the host writes there but the poller, when it comes round. */
	if (c->hold && c->doorbells_mapped)
		nvme_doorbells_scan(c);
	img->st = *c->st;
	img->next_sq = (uint16_t)c->next_sq;
	collect_guard(c, &img->guard);
	collect_namespaces(c, img);
	collect_irqs(c, img);
	collect_clocks(c, img);
	return collect_overflow(c, img);
}

void image_free(struct nvme_image *img)
{
	if (!img)
		return;
	free(img->overflow);
	free(img);
}

/* -------------------------------------------------------------------- commit */

static void reqs_free(struct list *reqs)
{
	while (!list_empty(reqs)) {
		struct nvme_req *req = list_first(reqs, struct nvme_req, link);

		list_del(&req->link);
		nvme_req_free(req);
	}
}

/* Requests for the AERs, then for the completions that wait. */
static int reqs_make(struct nvme_ctrl *c, const struct nvme_image *img, struct list *aers,
		     struct list *waiting)
{
	for (uint32_t i = 0; i < img->st.nr_aer + img->nr_overflow; i++) {
		const bool aer = i < img->st.nr_aer;
		const struct nvme_overflow *o = aer ? NULL : &img->overflow[i - img->st.nr_aer];
		struct nvme_req *req = nvme_req_alloc(c, aer ? 0 : o->sqid);

		if (!req) {
			reqs_free(aers);
			reqs_free(waiting);
			return -ENOMEM;
		}
		req->cid = aer ? img->st.aer_cid[i] : o->cid;
		if (!aer) {
			req->status = o->status;
			req->dw0 = o->dw0;
			req->dw1 = o->dw1;
		}
		list_add_tail(aer ? aers : waiting, &req->link);
	}
	return 0;
}

static void commit_clocks(struct nvme_ctrl *c, uint64_t wall)
{
	const uint64_t now = env_now(&c->fn.strand), real = env_realtime(&c->fn.strand);
	struct nvme_state *st = c->st;

	st->power_on_at = now - st->power_on_at;
	st->feat.timestamp_at = now;
	if (real > wall)
		st->feat.timestamp_base += (real - wall) / 1000000;
}

static void commit_queues(struct nvme_ctrl *c)
{
	c->sqs = c->cqs = c->busy = c->stalled = (struct nvme_qmap){ 0 };
	for (unsigned int qid = 0; qid < NVME_QIDS; qid++) {
		const struct nvme_sq_state *sq = &c->st->sq[qid];

		c->sq[qid] = (struct nvme_sq){ 0 };
		if (sq->size)
			nvme_qmap_set(&c->sqs, qid);
		if (sq->head != sq->tail)
			nvme_qmap_set(&c->busy, qid);
		if (c->st->cq[qid].size)
			nvme_qmap_set(&c->cqs, qid);
		nvme_doorbell_show(c, 2 * qid, sq->tail);
		nvme_doorbell_show(c, 2 * qid + 1, c->st->cq[qid].head);
	}
}

int image_commit(struct nvme_ctrl *c, struct nvme_image *img)
{
	struct list aers = LIST_INIT(aers), waiting = LIST_INIT(waiting);
	struct nvme_req *req, *tmp;

	if (reqs_make(c, img, &aers, &waiting))
		return -ENOMEM;
	nvme_aer_drop(c);
	for (unsigned int qid = 0; qid < NVME_QIDS; qid++)
		nvme_cq_drop(c, qid, NVME_QIDS);
	*c->st = img->st;
	commit_clocks(c, img->wall);
	commit_queues(c);
	list_for_each_safe(req, tmp, &aers, link) {
		list_del(&req->link);
		list_add_tail(&c->aers, &req->link);
	}
	list_for_each_safe(req, tmp, &waiting, link) {
		const unsigned int cqid = c->st->sq[req->sqid].cqid;

		list_del(&req->link);
		list_add_tail(&c->cq[cqid].waiting, &req->link);
		nvme_qmap_set(&c->stalled, cqid);
	}
	c->next_sq = img->next_sq;
	c->irq_due = img->irq;
	c->starved = false;
	nvme_publish(c);
	nvme_poll_update(c);
	return 0;
}

/* ---------------------------------------------------------------------- bytes */

int state_snapshot(struct nvme_ctrl *c, struct nvme_snapshot *snap)
{
	struct nvme_image *img;
	int ret = image_collect(c, &img);

	*snap = (struct nvme_snapshot){ .suspended = c->mig->suspended };
	if (!ret) {
		snap->nvme_len = state_nvme_size(img);
		snap->vendor_len = state_vendor_size(img);
		snap->nvme = malloc(snap->nvme_len);
		snap->vendor = malloc(snap->vendor_len);
		if (!snap->nvme || !snap->vendor)
			ret = -ENOMEM;
	}
	if (!ret) {
		state_nvme_put(img, snap->nvme);
		state_vendor_put(img, snap->vendor);
	} else {
		free(take_ptr(snap->nvme));
		free(take_ptr(snap->vendor));
	}
	image_free(img);
	return ret;
}

void state_header(struct nvme_lm_state *h, const struct nvme_snapshot *snap, bool nvme, bool vendor)
{
	*h = (struct nvme_lm_state){
		.csattr = snap->suspended ? NVME_LM_CSATTR_SUSPENDED : 0,
		.nvmecss[0] = le64_of(nvme ? snap->nvme_len / 4 : 0),
		.vss[0] = le64_of(vendor ? snap->vendor_len / 4 : 0),
	};
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len)
		if (p[--len])
			return false;
	return true;
}

/* The lengths of both parts, in bytes. */
static int header_get(const uint8_t *buf, size_t len, size_t *nvme, size_t *vendor,
		      struct ferry_err *err)
{
	const struct nvme_lm_state *h = (const void *)buf;
	uint64_t n, v;

	if (len < sizeof(*h))
		return image_bad(err, "%zu bytes are too few", len);
	n = le64_get(h->nvmecss[0]);
	v = le64_get(h->vss[0]);
	if (h->ver.raw || h->csattr & ~NVME_LM_CSATTR_SUSPENDED || !is_zero(h->rsvd3, sizeof(h->rsvd3)))
		return image_bad(err, "version %u, attributes 0x%x", le16_get(h->ver), h->csattr);
	if (!(h->csattr & NVME_LM_CSATTR_SUSPENDED))
		return image_bad(err, "taken while the controller was running");
	if (h->nvmecss[1].raw || h->vss[1].raw || n > len / 4 || v > len / 4 ||
	    len != sizeof(*h) + 4 * (n + v) || !(n + v))
		return image_bad(err, "%llu and %llu dwords in %zu bytes", (unsigned long long)n,
				 (unsigned long long)v, len);
	*nvme = 4 * n;
	*vendor = 4 * v;
	return 0;
}

/* Without a vendor part, all but the I/O queues stays as it is. */
static int image_from(struct nvme_ctrl *c, const uint8_t *buf, size_t nvme, size_t vendor,
		      struct nvme_image **imgp, struct ferry_err *err)
{
	struct nvme_image *img;
	int ret = 0;

	if (vendor) {
		*imgp = img = calloc(1, sizeof(*img));
		if (!img)
			return -ENOMEM;
		ret = state_vendor_get(img, buf + nvme, vendor, err);
	} else {
		ret = image_collect(c, imgp);
		img = *imgp;
	}
	if (!ret && nvme)
		ret = state_nvme_get(img, buf, nvme, err);
	return ret;
}

int state_load(struct nvme_ctrl *c, const uint8_t *buf, size_t len, uint8_t csvi, uint8_t csuuidi,
	       struct ferry_err *err)
{
	struct nvme_image *img = NULL, *now = NULL;
	size_t nvme = 0, vendor = 0;
	int ret = header_get(buf, len, &nvme, &vendor, err);

	if (ret)
		return ret;
	if ((nvme && !csvi) || (vendor && !csuuidi))
		return image_bad(err, "a part that was not announced");
	if (nvme_qmap_next(&c->sqs, 1) != NVME_QIDS || nvme_qmap_next(&c->cqs, 1) != NVME_QIDS)
		return image_bad(err, "the controller has I/O queues");
	ret = image_collect(c, &now);
	if (!ret)
		ret = image_from(c, buf + sizeof(struct nvme_lm_state), nvme, vendor, &img, err);
	if (!ret)
		ret = image_check(c, img, now, err);
	if (!ret)
		ret = image_commit(c, img);
	if (ret == -ENOMEM)
		ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a controller state");
	image_free(img);
	image_free(now);
	return ret;
}

/* --------------------------------------------------------------- for everybody */

int nvme_state_save(struct nvme_ctrl *c, void **buf, size_t *len)
{
	struct nvme_snapshot snap;
	uint8_t *p;
	int ret;

	if (!c->mig->suspended)
		return -EBUSY;
	ret = state_snapshot(c, &snap);
	if (ret)
		return ret;
	*len = sizeof(struct nvme_lm_state) + snap.nvme_len + snap.vendor_len;
	*buf = p = malloc(*len);
	if (p) {
		state_header((void *)p, &snap, true, true);
		memcpy(p + sizeof(struct nvme_lm_state), snap.nvme, snap.nvme_len);
		memcpy(p + sizeof(struct nvme_lm_state) + snap.nvme_len, snap.vendor, snap.vendor_len);
	}
	free(snap.nvme);
	free(snap.vendor);
	return p ? 0 : -ENOMEM;
}

int nvme_state_load(struct nvme_ctrl *c, const void *buf, size_t len, struct ferry_err *err)
{
	if (!c->mig->suspended || nvme_qmap_next(&c->sqs, 1) != NVME_QIDS ||
	    nvme_qmap_next(&c->cqs, 1) != NVME_QIDS)
		return ferry_err_set(err, EBUSY, "E-NVME-BUSY", "reset and suspend it first",
				     "controller %u is not suspended, or has I/O queues", c->cfg.cntlid);
	return state_load(c, buf, len, 1, 1, err);
}
