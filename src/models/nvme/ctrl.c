/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A controller: making it, enabling, disabling, shutting down, resetting it,
 * and its pool of requests.
 *
 * What CC asks for is compared with what is so, by nvme_cc_apply(): whenever
 * CC was written, and whenever something that took time is over. Disabling
 * and reset wait until no command executes (there may be block I/O into
 * client memory): RDY stays set so long. Completions of that time are dropped.
 */
#include <stdio.h>
#include <string.h>

#include "models/nvme/mig.h"

/* Nobody's: no vendor has this number, so no quirk of a real device applies. Drivers go by the class code. */
#define NVME_PCI_VENDOR 0xfe55
#define NVME_PCI_DEVICE 0x0f01
#define NVME_PCI_CLASS 0x010802

#define NVME_BAR_SIZE 0x4000u
#define NVME_BAR_DOORBELLS 0x1000u
#define NVME_BAR_MSIX 0x2000u
#define NVME_BAR_PBA 0x3000u

#define NVME_CAP_TO 15ull		/* 7.5 s */
#define NVME_MQES_DEFAULT 1024
#define NVME_MDTS_DEFAULT 9
#define NVME_MDTS_MAX 16u
#define NVME_REQS_KEEP 96u		/* requests that an idle controller keeps */
#define NVME_REQS_ADMIN 32u		/* requests that I/O queues leave to the admin queue */

static_assert(NVME_QIDS * 16 <= 0x1000, "the MSI-X table fits in its page");
static_assert(NVME_QIDS * 8 <= 0x1000, "the doorbells fit in their page");

/* ---------------------------------------------------------------- requests */

struct nvme_req *nvme_req_alloc(struct nvme_ctrl *c, unsigned int sqid)
{
	struct nvme_req *req;

	if (sqid && c->nr_io_reqs >= NVME_REQS_MAX - NVME_REQS_ADMIN)
		return NULL;
	if (list_empty(&c->free_reqs)) {
		if (c->nr_reqs >= NVME_REQS_MAX)
			return NULL;
		req = calloc(1, sizeof(*req));
		if (!req)
			return NULL;
		c->nr_reqs++;
	} else {
		req = list_first(&c->free_reqs, struct nvme_req, link);
		list_del(&req->link);
	}
	if (sqid)
		c->nr_io_reqs++;
	req->c = c;
	req->cmd = NULL;
	req->ns = NULL;
	req->sqid = (uint16_t)sqid;
	req->status = 0;
	req->error_loc = 0xffff;
	req->dw0 = req->dw1 = 0;
	req->error_lba = 0;
	req->aborted = false;
	req->seg = req->inline_seg;
	req->nr_seg = 0;
	req->max_seg = ARRAY_SIZE(req->inline_seg);
	req->data_len = 0;
	req->hold = NULL;
	req->iov = req->inline_iov;
	req->nr_iov = 0;
	req->max_iov = ARRAY_SIZE(req->inline_iov);
	req->bounce = NULL;
	req->bounce_len = 0;
	req->step = req->nr_steps = 0;
	req->lba = req->nlb = 0;
	req->priv = NULL;
	return req;
}

void nvme_req_free(struct nvme_req *req)
{
	if (req->sqid)
		req->c->nr_io_reqs--;
	list_add(&req->c->free_reqs, &req->link);
}

/* Give memory of free requests back until @keep are left. */
void nvme_reqs_trim(struct nvme_ctrl *c, unsigned int keep)
{
	while (c->nr_reqs > keep && !list_empty(&c->free_reqs)) {
		struct nvme_req *req = list_first(&c->free_reqs, struct nvme_req, link);

		list_del(&req->link);
		free(req);
		c->nr_reqs--;
	}
}

/* Nobody is there to be told: the host disables us, or we have failed. */
static bool nvme_dropping(const struct nvme_ctrl *c)
{
	return c->disabling || (c->st->csts & NVME_CSTS_CFS);
}

void nvme_req_complete(struct nvme_req *req, uint16_t status)
{
	struct nvme_ctrl *c = req->c;
	unsigned int sqid = req->sqid;
	struct nvme_sq *sq = &c->sq[sqid];

	nvme_xfer_release(req);
	free(take_ptr(req->priv));
	if (req->ns)
		nvme_ns_put(take_ptr(req->ns));
	list_del(&req->link);
	c->nr_executing--;
	sq->inflight--;
	req->status = status;
	if (nvme_dropping(c)) {
		nvme_req_free(req);
	} else {
		if (status)
			nvme_error_log(c, req);
		nvme_cq_post(c, req);
	}
	if (sq->delete_req && sq->inflight == 0) {
		nvme_sq_close(c, sqid);
		nvme_req_complete(take_ptr(sq->delete_req), NVME_SC_SUCCESS);
	}
	if (c->starved) {
		c->starved = false;
		nvme_more(c);
	}
	if (c->nr_executing == 0)
		nvme_drained(c);
}

/* ---------------------------------------------------------- enable, disable */

bool nvme_running(const struct nvme_ctrl *c)
{
	const uint32_t shst = NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT;

	return (c->st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS | shst)) == NVME_CSTS_RDY &&
	       !c->disabling && !c->hold && pci_bus_master(&c->fn);
}

void nvme_poll_update(struct nvme_ctrl *c)
{
	const bool up = (c->st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY;
	enum env_poll_mode mode = ENV_POLL_OFF;

	if (c->polled || (up && c->doorbells_mapped))
		mode = ENV_POLL_TIMED;
	else if (up && c->st->dbbuf_shadow && !c->hold)
		mode = ENV_POLL_EVENT;
	if (mode != ENV_POLL_EVENT)
		c->spinning = mode == ENV_POLL_TIMED;
	env_poll_mode_set(&c->fn.strand, mode);
}

static uint32_t shst(uint32_t v)
{
	return v << NVME_CSTS_SHST_SHIFT;
}

void nvme_ctrl_fatal(struct nvme_ctrl *c, const char *why)
{
	if (c->st->csts & NVME_CSTS_CFS)
		return;
	log_limited(&c->log, LOG_WARN, "nvme " PCI_BDF_FMT ": fatal: %s",
		    PCI_BDF_ARG(c->fn.bdf), why);
	c->st->csts |= NVME_CSTS_CFS;
	env_work_cancel(&c->more);
	nvme_publish(c);
	nvme_poll_update(c);
}

/* CC.EN 0 to 1. Return: what is wrong, or NULL. */
static const char *nvme_enable_check(const struct nvme_ctrl *c)
{
	const struct nvme_state *st = c->st;
	const uint32_t mps = NVME_CC_MPS(st->cc);
	const uint64_t page = 0x1000ull << mps;

	if (mps > (c->cap >> NVME_CAP_MPSMAX_SHIFT & 0xf))
		return "CC.MPS is out of range";
	if (NVME_CC_CSS(st->cc) != NVME_CC_CSS_NVM)
		return "CC.CSS is not supported";
	if (NVME_AQA_ASQS(st->aqa) == 0 || NVME_AQA_ACQS(st->aqa) == 0)
		return "an admin queue has fewer than two entries";
	if (!IS_ALIGNED(st->asq, page) || !IS_ALIGNED(st->acq, page))
		return "an admin queue does not start at a page";
	return NULL;
}

static void nvme_enable(struct nvme_ctrl *c)
{
	struct nvme_state *st = c->st;
	const char *why = nvme_enable_check(c);

	st->csts &= ~shst(NVME_CSTS_SHST_MASK);
	if (why) {
		nvme_ctrl_fatal(c, why);
		return;
	}
	nvme_cq_open(c, 0, &(struct nvme_cq_state){
		.prp1 = st->acq, .size = NVME_AQA_ACQS(st->aqa) + 1, .ien = true });
	nvme_sq_open(c, 0, &(struct nvme_sq_state){
		.prp1 = st->asq, .size = NVME_AQA_ASQS(st->aqa) + 1 });
	st->csts |= NVME_CSTS_RDY;
	nvme_publish(c);
	nvme_poll_update(c);
}

/*
 * To what a new controller has, but for what the specification keeps: always
 * the saved features, counters and error log; with @keep_regs the admin
 * queue registers, CC and the shutdown status.
 */
static void nvme_state_reset(struct nvme_ctrl *c, bool keep_regs)
{
	struct nvme_state *st = c->st;

	if (!keep_regs) {
		st->cc = st->aqa = 0;
		st->asq = st->acq = 0;
		st->csts = 0;
	}
	st->csts &= shst(NVME_CSTS_SHST_MASK);
	if (c->offline)
		st->csts = NVME_CSTS_CFS;
	st->intms = 0;
	memset(st->sq, 0, sizeof(st->sq));
	memset(st->cq, 0, sizeof(st->cq));
	memset(st->aer_cid, 0, sizeof(st->aer_cid));
	st->nr_aer = 0;
	memset(st->event, 0, sizeof(st->event));
	st->nr_events = 0;
	st->event_masked = 0;
	st->dbbuf_shadow = st->dbbuf_eventidx = 0;
	memset(st->changed_ns, 0, sizeof(st->changed_ns));
	st->changed_ns_overflow = false;
	st->feat = st->feat_saved;
	st->feat.queues = (c->queues - 1u) | (c->queues - 1u) << 16;
	st->feat.timestamp_at = env_now(&c->fn.strand);
}

static void nvme_disable_start(struct nvme_ctrl *c)
{
	struct nvme_req *req;

	c->disabling = true;
	env_work_cancel(&c->more);
	nvme_aer_drop(c);
	for (unsigned int qid = 0; qid < NVME_QIDS; qid++)
		nvme_cq_drop(c, qid, NVME_QIDS);
	list_for_each(req, &c->executing, link)
		req->aborted = true;
	nvme_mig_disable(c);
	nvme_virt_disable(c);
	if (c->nr_executing == 0)
		nvme_drained(c);
}

void nvme_wipe(struct nvme_ctrl *c)
{
	c->wiping = true;
	if (!c->disabling)
		nvme_disable_start(c);
}

static void nvme_disable_finish(struct nvme_ctrl *c)
{
	unsigned int qid;

	nvme_qmap_for_each(qid, &c->sqs)
		nvme_sq_close(c, qid);
	nvme_qmap_for_each(qid, &c->cqs)
		nvme_cq_close(c, qid);
	if (c->resetting)
		nvme_virt_reset(c);
	nvme_state_reset(c, !c->resetting && !c->wiping);
	nvme_suspend_clr(c, c->resetting || c->wiping);
	c->disabling = c->starved = c->wiping = false;
	c->next_sq = 0;
	c->irq_due = (struct nvme_qmap){ 0 };
	pci_intx_set(&c->fn, false);
	nvme_reqs_trim(c, NVME_REQS_KEEP);
	nvme_publish(c);
	nvme_poll_update(c);
	if (c->resetting) {
		c->resetting = false;
		pci_reset_done(&c->fn);
	}
	nvme_virt_apply(c);
	nvme_cc_apply(c);
}

/* ---------------------------------------------------------------- shutdown */

static void nvme_shutdown_done(struct nvme_ctrl *c)
{
	c->shutting_down = false;
	c->st->csts &= ~shst(NVME_CSTS_SHST_MASK);
	if (!c->disabling)
		c->st->csts |= shst(NVME_CSTS_SHST_CMPLT);
	nvme_publish(c);
}

/* Flush the attached namespaces, one after the other. */
static void nvme_shutdown_step(struct nvme_ctrl *c)
{
	while (!c->disabling && ++c->flush_nsid <= NVME_NSID_MAX) {
		int err;

		c->flush_ns = nvme_ns_get(c, c->flush_nsid);
		if (!c->flush_ns)
			continue;
		c->flush.op = BLOCK_FLUSH;
		c->nr_executing++;
		err = block_submit(c->flush_ns->dev, &c->flush);
		if (err == -EINPROGRESS)
			return;
		c->nr_executing--;
		nvme_ns_put(take_ptr(c->flush_ns));
	}
	nvme_shutdown_done(c);
}

static void nvme_shutdown_flushed(struct block_req *flush, int err)
{
	struct nvme_ctrl *c = container_of(flush, struct nvme_ctrl, flush);

	if (err)
		log_limited(&c->log, LOG_ERROR, "nvme " PCI_BDF_FMT ": flush at shutdown of namespace %u: %s",
			    PCI_BDF_ARG(c->fn.bdf), c->flush_nsid, strerrordesc_np(-err));
	nvme_ns_put(take_ptr(c->flush_ns));
	c->nr_executing--;
	nvme_drained(c);
}

static void nvme_shutdown_start(struct nvme_ctrl *c)
{
	nvme_virt_offline_all(c);
	c->shutting_down = true;
	c->st->csts |= shst(NVME_CSTS_SHST_OCCUR);
	c->flush = (struct block_req){ .st = &c->fn.strand, .done = nvme_shutdown_flushed };
	c->flush_nsid = 0;
	nvme_publish(c);
	if (c->nr_executing == 0)
		nvme_drained(c);
}

void nvme_drained(struct nvme_ctrl *c)
{
	if (c->nr_executing)
		return;
	if (c->shutting_down)
		nvme_shutdown_step(c);
	if (c->disabling && c->nr_executing == 0)
		nvme_disable_finish(c);
	nvme_suspend_drained(c);
}

void nvme_cc_apply(struct nvme_ctrl *c)
{
	struct nvme_state *st = c->st;
	const bool up = st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS);

	if (c->disabling || c->offline)
		return;
	if (up && !(st->cc & NVME_CC_EN)) {
		nvme_disable_start(c);
		return;
	}
	if (c->hold)
		return;		/* once more when it ends */
	if (!up && (st->cc & NVME_CC_EN))
		nvme_enable(c);
	if (NVME_CC_SHN(st->cc) && !(st->csts & shst(NVME_CSTS_SHST_MASK)))
		nvme_shutdown_start(c);
}

static void nvme_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);

	(void)kind;
	c->resetting = true;
	if (!c->disabling)
		nvme_disable_start(c);
}

/* Bus mastering came back: go on where we stood. */
static void nvme_config_changed(struct pci_function *fn)
{
	struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);

	nvme_catch_up(c);
	if (nvme_running(c) && (nvme_qmap_any(&c->busy) || nvme_qmap_any(&c->stalled)))
		nvme_more(c);
}

/* ------------------------------------------------------------------ polling */

static struct nvme_ctrl *of_poller(struct env_poller *p)
{
	return container_of(p, struct nvme_ctrl, poller);
}

/* What nobody announces. */
static bool nvme_look(struct nvme_ctrl *c)
{
	bool found = false;

	if (c->polled) {
		found = nvme_polled_scan(c);
		nvme_polled_restore(c);
	}
	if (c->doorbells_mapped && (c->hold || nvme_running(c)))
		found |= nvme_doorbells_scan(c);
	if (!nvme_running(c))
		return found;
	if (c->st->dbbuf_shadow)
		found |= nvme_dbbuf_scan(c);
	return found;
}

static bool nvme_work_through(struct nvme_ctrl *c)
{
	bool found = false;

	if (nvme_qmap_any(&c->stalled))
		found = nvme_cq_run(c);
	if (nvme_qmap_any(&c->busy))
		found |= nvme_sq_run(c);
	return found;
}

static bool nvme_poll(struct env_poller *p)
{
	struct nvme_ctrl *c = of_poller(p);
	bool found;

	c->spinning = c->in_poll = true;
	found = nvme_look(c);
	found |= nvme_work_through(c);
	c->in_poll = false;
	return found;
}

static bool nvme_park(struct env_poller *p)
{
	struct nvme_ctrl *c = of_poller(p);
	bool found;

	c->in_poll = true;
	found = nvme_look(c);
	if (nvme_running(c))
		found |= nvme_dbbuf_arm(c);
	found |= nvme_work_through(c);
	c->in_poll = false;
	if (found)
		return true;
	c->spinning = false;
	if (c->nr_executing == 0)
		nvme_reqs_trim(c, NVME_REQS_KEEP);
	return false;
}

static void nvme_unpark(struct env_poller *p)
{
	of_poller(p)->spinning = true;
}

static void nvme_more_work(struct env_work *w)
{
	struct nvme_ctrl *c = container_of(w, struct nvme_ctrl, more);

	if (nvme_running(c))
		nvme_work_through(c);
}

/* ------------------------------------------------------------------- making */

static const struct pci_model_ops nvme_model_ops = {
	.name = "nvme",
	.pure_reads = true,
	.bar_read = nvme_bar_read,
	.bar_write = nvme_bar_write,
	.reset = nvme_reset,
	.config_changed = nvme_config_changed,
	.bar_mapped = nvme_bar_mapped,
	.bar_unmapped = nvme_bar_unmapped,
};

static int nvme_config_check(struct nvme_ctrl_config *cfg, struct ferry_err *e)
{
	if (cfg->cntlid == 0 || cfg->cntlid >= 0xfff0)
		return ferry_err_set(e, EINVAL, "E-NVME-CNTLID", "choose 1 to 65519",
				     "controller id %u is not usable", cfg->cntlid);
	if (cfg->queues == 0 || cfg->queues > NVME_QUEUES_MAX)
		return ferry_err_set(e, EINVAL, "E-NVME-QUEUES", NULL,
				     "%u I/O queue pairs: there can be 1 to %u", cfg->queues,
				     NVME_QUEUES_MAX);
	if (cfg->vectors == 0)
		cfg->vectors = (uint16_t)(cfg->queues + 1);
	if (cfg->vectors > cfg->queues + 1)
		return ferry_err_set(e, EINVAL, "E-NVME-VECTORS", NULL,
				     "%u vectors are more than the %u that %u queue pairs can use",
				     cfg->vectors, cfg->queues + 1u, cfg->queues);
	if (nvme_virt_config_check(cfg, e) < 0)
		return -EINVAL;
	if (cfg->mqes == 0)
		cfg->mqes = NVME_MQES_DEFAULT;
	if (cfg->mqes < 2)
		return ferry_err_set(e, EINVAL, "E-NVME-MQES", NULL,
				     "a queue has at least two entries");
	if (cfg->mdts == 0)
		cfg->mdts = NVME_MDTS_DEFAULT;
	if (cfg->mdts > NVME_MDTS_MAX)
		return ferry_err_set(e, EINVAL, "E-NVME-MDTS", NULL,
				     "mdts %u: transfers of more than 256 MiB (%u) are not offered",
				     cfg->mdts, NVME_MDTS_MAX);
	return 0;
}

static void nvme_shape(struct nvme_ctrl *c)
{
	struct pci_shape *s = &c->fn.shape;

	*s = (struct pci_shape){
		.vendor = NVME_PCI_VENDOR,
		.device = NVME_PCI_DEVICE,
		.subsys_vendor = NVME_PCI_VENDOR,
		.subsys_device = NVME_PCI_DEVICE,
		.revision = 1,
		.class_code = NVME_PCI_CLASS,
		.intx = !c->primary,
		.msix_vectors = (uint16_t)MIN(c->cfg.vectors + c->cfg.vi_flexible, NVME_QIDS),
		.msix_off = NVME_BAR_MSIX,
		.pba_off = NVME_BAR_PBA,
		.bar[0] = { .size = NVME_BAR_SIZE, .is_64 = true },
	};
	if (c->cfg.doorbells == NVME_DOORBELLS_MAPPED) {
		s->bar[0].safe[0].off = NVME_BAR_DOORBELLS;
		s->bar[0].safe[0].len = NVME_BAR_MSIX - NVME_BAR_DOORBELLS;
		s->bar[0].nr_safe = 1;
	}
	c->cap = (uint64_t)(c->cfg.mqes - 1) << NVME_CAP_MQES_SHIFT |
		 1ull << NVME_CAP_CQR_SHIFT |
		 NVME_CAP_TO << NVME_CAP_TO_SHIFT |
		 (uint64_t)NVME_CAP_CSS_NVM << NVME_CAP_CSS_SHIFT |
		 4ull << NVME_CAP_MPSMAX_SHIFT |
		 (uint64_t)NVME_CAP_CRMS_CRWMS << NVME_CAP_CRMS_SHIFT;
}

/* Where @nr slots in a row are free, or NVME_CTRLS_MAX. */
static unsigned int free_slots_locked(const struct nvme_subsys *ss, unsigned int nr)
{
	unsigned int slot, run = 0;

	for (slot = 0; slot < NVME_CTRLS_MAX; slot++) {
		run = ss->cntlid[slot] ? 0 : run + 1;
		if (run == nr)
			return slot + 1 - nr;
	}
	return NVME_CTRLS_MAX;
}

static bool cntlids_taken_locked(const struct nvme_subsys *ss, unsigned int first, unsigned int nr)
{
	for (unsigned int i = 0; i < NVME_CTRLS_MAX; i++) {
		if (ss->cntlid[i] && ss->cntlid[i] - first < nr)
			return true;
	}
	return false;
}

/* Enter @c into its subsystem: with its secondaries' slots and ids; or as one of those. */
static int nvme_join(struct nvme_ctrl *c, struct ferry_err *e)
{
	const unsigned int nr = 1u + c->cfg.vfs_max;
	struct nvme_subsys *ss = c->ss;
	unsigned int slot = NVME_CTRLS_MAX;
	bool taken = false;

	pthread_mutex_lock(&ss->lock);
	if (c->primary) {
		slot = c->primary->slot + 1 + c->fn.vf_index;
	} else {
		taken = cntlids_taken_locked(ss, c->cfg.cntlid, nr);
		slot = free_slots_locked(ss, nr);
		for (unsigned int i = 0; i < nr && !taken && slot < NVME_CTRLS_MAX; i++)
			ss->cntlid[slot + i] = (uint16_t)(c->cfg.cntlid + i);
	}
	if (!taken && slot < NVME_CTRLS_MAX) {
		ss->ctrl[slot] = c;
		c->slot = slot;
	}
	pthread_mutex_unlock(&ss->lock);
	if (taken)
		return ferry_err_set(e, EEXIST, "E-NVME-CNTLID", NULL,
				     "the subsystem has a controller %u already", c->cfg.cntlid);
	if (slot >= NVME_CTRLS_MAX)
		return ferry_err_set(e, ENOSPC, "E-NVME-CTRLS", NULL,
				     "the subsystem has no room for %u more controllers", nr);
	return 0;
}

/* What is attached to a secondary stays so while it has no VF. */
static void nvme_leave(struct nvme_ctrl *c)
{
	const unsigned int nr = c->primary ? 0 : 1u + c->cfg.vfs_max;
	struct nvme_subsys *ss = c->ss;

	pthread_mutex_lock(&ss->lock);
	for (unsigned int slot = c->slot; slot < c->slot + nr; slot++) {
		assert(ss->ctrl[slot] == (slot == c->slot ? c : NULL));
		for (unsigned int i = 0; i < ARRAY_SIZE(ss->ns); i++) {
			struct nvme_ns *ns = atomic_load(&ss->ns[i]);

			if (ns)
				atomic_fetch_and(&ns->attached[slot / 64], ~(1ull << slot % 64));
		}
		ss->cntlid[slot] = 0;
	}
	ss->ctrl[c->slot] = NULL;
	nvme_mig_leave_locked(c);
	pthread_mutex_unlock(&ss->lock);
}

/* @primary: of a VF, which is its @index-th. */
static int nvme_make(struct nvme_subsys *ss, const struct nvme_ctrl_config *cfg,
		     struct ferry_env *env, struct nvme_ctrl *primary, unsigned int index,
		     struct pci_function **fn, struct ferry_err *err)
{
	struct nvme_ctrl *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a controller");
	c->ss = ss;
	c->cfg = *cfg;
	c->env = env;
	c->queues = c->cfg.queues;
	c->vectors = c->cfg.vectors;
	c->primary = primary;
	c->offline = primary;
	c->fn.physfn = primary ? &primary->fn : NULL;
	c->fn.vf_index = index;
	c->poller = (struct env_poller){ nvme_poll, nvme_park, nvme_unpark };
	list_init(&c->free_reqs);
	list_init(&c->executing);
	list_init(&c->aers);
	for (unsigned int i = 0; i < NVME_QIDS; i++)
		list_init(&c->cq[i].waiting);
	c->st = calloc(1, sizeof(*c->st));
	if (!c->st) {
		ret = ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a controller");
		goto free_ctrl;
	}
	ret = nvme_mig_init(c);
	if (ret) {
		ferry_err_set(err, -ret, "E-NO-MEMORY", NULL, "no memory for a controller");
		goto free_state;
	}
	c->fn.ops = &nvme_model_ops;
	nvme_shape(c);
	ret = pci_function_init(&c->fn, env, &c->poller);
	if (ret) {
		ferry_err_set(err, -ret, "E-PCI-INIT", NULL, "cannot make a PCI function");
		goto free_mig;
	}
	env_work_init(&c->notice, &c->fn.strand, nvme_notice_work);
	env_work_init(&c->more, &c->fn.strand, nvme_more_work);
	ret = nvme_virt_init(c, err);
	if (ret)
		goto release;
	nvme_features_init(c);
	env_strand_lock(&c->fn.strand);
	c->st->power_cycles = 1;
	c->st->power_on_at = env_now(&c->fn.strand);
	nvme_state_reset(c, false);
	env_strand_unlock(&c->fn.strand);
	ret = nvme_join(c, err);
	if (ret)
		goto release_virt;
	*fn = &c->fn;
	return 0;

release_virt:
	nvme_virt_release(c);
release:
	pci_function_release(&c->fn);
free_mig:
	free(c->mig);
free_state:
	free(c->st);
free_ctrl:
	free(c);
	return ret;
}

int nvme_ctrl_create(struct nvme_subsys *ss, const struct nvme_ctrl_config *cfg,
		     struct ferry_env *env, struct pci_function **fn, struct ferry_err *err)
{
	struct nvme_ctrl_config checked = *cfg;
	int ret = nvme_config_check(&checked, err);

	return ret ? ret : nvme_make(ss, &checked, env, NULL, 0, fn, err);
}

int nvme_ctrl_create_vf(struct nvme_ctrl *primary, unsigned int index,
			const struct nvme_ctrl_config *cfg, struct pci_function **fn,
			struct ferry_err *err)
{
	return nvme_make(primary->ss, cfg, primary->env, primary, index, fn, err);
}

void nvme_ctrl_destroy(struct pci_function *fn)
{
	struct nvme_ctrl *c = nvme_ctrl_of(fn);

	assert(c->nr_executing == 0);
	nvme_leave(c);
	env_strand_lock(&fn->strand);
	c->polled = c->doorbells_mapped = false;
	c->st->cc = 0;
	nvme_disable_start(c);
	nvme_hold_release(c);
	nvme_mig_release(c);
	env_work_cancel(&c->notice);
	env_work_cancel(&c->more);
	nvme_virt_release(c);
	nvme_reqs_trim(c, 0);
	env_strand_unlock(&fn->strand);
	assert(c->nr_reqs == 0);
	pci_function_release(fn);
	free(c->st);
	free(c);
}

struct nvme_ctrl *nvme_ctrl_of(struct pci_function *fn)
{
	return fn->ops == &nvme_model_ops ? container_of(fn, struct nvme_ctrl, fn) : NULL;
}

struct nvme_subsys *nvme_ctrl_subsys(struct nvme_ctrl *c)
{
	return c->ss;
}

static unsigned int count_io(const struct nvme_qmap *m)
{
	return (unsigned int)(__builtin_popcountll(m->w[0] & ~1ull) + __builtin_popcountll(m->w[1]));
}

void nvme_ctrl_info(struct nvme_ctrl *c, struct nvme_ctrl_info *info)
{
	const struct nvme_state *st = c->st;

	*info = (struct nvme_ctrl_info){
		.cntlid = c->cfg.cntlid,
		.queues_max = c->cfg.queues,
		.vectors = c->cfg.vectors,
		.vf = c->primary,
	};
	/* A client that keeps the strand busy must not keep the control plane waiting. */
	if (env_strand_lock_for(&c->fn.strand, 1000000000))
		return;
	info->online = !c->offline;
	info->vq = (uint16_t)(c->queues + 1);
	info->vi = c->vectors;
	if (c->primary)
		nvme_virt_resources(c, &info->vq, &info->vi);
	info->io_sqs = (uint16_t)count_io(&c->sqs);
	info->io_cqs = (uint16_t)count_io(&c->cqs);
	info->enabled = st->cc & NVME_CC_EN;
	info->ready = st->csts & NVME_CSTS_RDY;
	info->fatal = st->csts & NVME_CSTS_CFS;
	info->dbbuf = st->dbbuf_shadow != 0;
	info->polled = c->polled;
	info->reads = st->host_reads;
	info->writes = st->host_writes;
	info->read_bytes = st->data_read;
	info->written_bytes = st->data_written;
	info->errors = c->errors;
	info->dma_faults = c->fn.nr_dma_faults;
	env_strand_unlock(&c->fn.strand);
}
