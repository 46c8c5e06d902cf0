/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Virtualization enhancements: a primary controller (the PF's), its
 * secondaries (one for each VF that can be), and the flexible resources that
 * it gives to them: VQ, a queue pair each, the admin pair being one; VI, a
 * vector each.
 *
 * What a secondary is to be (its resources, online or not) is in the
 * primary's table, under the subsystem's lock, whether a VF exists or not.
 * What it is, is its controller's, under the VF's strand. Nobody holds both
 * strands: who changes the table counts @asked and wakes the VF, which takes
 * over what it finds as soon as it can (going offline means to wait until it
 * is drained), says so in @done, and wakes the PF, whose command waited.
 * Such commands stay among the executing ones; req->step says which secondary,
 * req->lba up to which @asked. A VF that its client holds up delays its own
 * command and no other; a reset of the primary does not wait for it.
 */
#include <string.h>

#include <ferry/sriov.h>

#include "models/nvme/nvme.h"

#define VQ NVME_VIRT_MGMT_RT_VQ
#define VI NVME_VIRT_MGMT_RT_VI
#define VQ_MIN 2u			/* the admin queues and one pair */
#define VI_MIN 1u

/* Subsystem's lock. */
struct nvme_secondary {
	struct nvme_ctrl *c;		/* its VF's controller, NULL: there is no VF */
	uint16_t nr[2];			/* VQ, VI */
	bool online;
	unsigned int asked, done;	/* changes; those that @c has taken over */
	unsigned int offlines;		/* how often it went offline */
};

struct resource {
	uint32_t total, assigned;	/* flexible; to secondaries */
	uint32_t primary, promised;	/* to the primary: now, after the next reset */
	uint16_t private, per_vf;
};

struct nvme_virt {
	struct resource res[2];		/* subsystem's lock, where not const */
	unsigned int nr;
	struct nvme_secondary sec[];
};

/* ------------------------------------------------------------------- the table */

static void ask_locked(struct nvme_secondary *sec)
{
	sec->asked++;
	if (sec->c)
		env_work_queue(&sec->c->virt_work);
	else
		sec->done = sec->asked;
}

static void give_back_locked(struct nvme_virt *v, struct nvme_secondary *sec)
{
	for (unsigned int rt = VQ; rt <= VI; rt++) {
		v->res[rt].assigned -= sec->nr[rt];
		sec->nr[rt] = 0;
	}
}

static void offline_locked(struct nvme_virt *v, struct nvme_secondary *sec)
{
	if (!sec->online && !sec->nr[VQ] && !sec->nr[VI])
		return;
	sec->offlines += sec->online;
	sec->online = false;
	give_back_locked(v, sec);
	ask_locked(sec);
}

/* Those that are online, from VF @first on. */
static void offline_from(struct nvme_ctrl *c, unsigned int first)
{
	pthread_mutex_lock(&c->ss->lock);
	for (unsigned int i = first; i < c->virt->nr; i++) {
		if (c->virt->sec[i].online)
			offline_locked(c->virt, &c->virt->sec[i]);
	}
	pthread_mutex_unlock(&c->ss->lock);
}

void nvme_virt_offline_all(struct nvme_ctrl *c)
{
	if (c->virt)
		offline_from(c, 0);
}

/* ------------------------------------------------------------------------ a VF */

void nvme_virt_apply(struct nvme_ctrl *c)
{
	struct nvme_secondary want;

	/* Whatever disables it calls again when it is through. */
	if (!c->sec || c->disabling)
		return;
	pthread_mutex_lock(&c->ss->lock);
	want = *c->sec;
	pthread_mutex_unlock(&c->ss->lock);
	if (want.c != c || want.asked == c->virt_seen)
		return;
	if (want.offlines != c->offlines_seen) {
		c->offlines_seen = want.offlines;
		c->offline = true;
		c->st->csts |= NVME_CSTS_CFS;
		nvme_publish(c);
		nvme_wipe(c);
		return;
	}
	c->virt_seen = want.asked;
	c->queues = (uint16_t)(MAX(want.nr[VQ], VQ_MIN) - 1);
	c->vectors = (uint16_t)MAX(want.nr[VI], VI_MIN);
	pci_msix_resize(&c->fn, c->vectors);
	if (want.online && c->offline) {
		c->offline = false;
		nvme_wipe(c);
	}
	pthread_mutex_lock(&c->ss->lock);
	if (c->sec->c == c) {
		c->sec->done = want.asked;
		env_work_queue(&c->primary->virt_work);
	}
	pthread_mutex_unlock(&c->ss->lock);
}

static void apply_work(struct env_work *w)
{
	nvme_virt_apply(container_of(w, struct nvme_ctrl, virt_work));
}

void nvme_virt_resources(const struct nvme_ctrl *c, uint16_t *vq, uint16_t *vi)
{
	pthread_mutex_lock(&c->ss->lock);
	*vq = c->sec->nr[VQ];
	*vi = c->sec->nr[VI];
	pthread_mutex_unlock(&c->ss->lock);
}

bool nvme_ctrl_online(const struct nvme_ctrl *c)
{
	bool online;

	if (!c->sec)
		return true;
	pthread_mutex_lock(&c->ss->lock);
	online = c->sec->online;
	pthread_mutex_unlock(&c->ss->lock);
	return online;
}

/* What a VF can have at most is what its function is made for. */
static int vf_create(struct pci_function *pf, unsigned int index, struct pci_function **fn,
		     struct ferry_err *err)
{
	struct nvme_ctrl *c = nvme_ctrl_of(pf), *vf;
	struct nvme_secondary *sec = &c->virt->sec[index];
	const struct nvme_ctrl_config cfg = {
		.cntlid = (uint16_t)(c->cfg.cntlid + 1 + index),
		.queues = (uint16_t)(c->cfg.vq_per_vf - 1),
		.vectors = c->cfg.vi_per_vf,
		.mqes = c->cfg.mqes,
		.mdts = c->cfg.mdts,
		.no_dbbuf = c->cfg.no_dbbuf,
		.no_sgl = c->cfg.no_sgl,
		.doorbells = c->cfg.doorbells,
	};
	int ret = nvme_ctrl_create_vf(c, index, &cfg, fn, err);

	if (ret < 0)
		return ret;
	vf = nvme_ctrl_of(*fn);
	env_strand_lock(&vf->fn.strand);
	pthread_mutex_lock(&c->ss->lock);
	sec->c = vf;
	sec->asked++;
	vf->virt_seen = sec->done;
	vf->offlines_seen = sec->offlines;
	pthread_mutex_unlock(&c->ss->lock);
	nvme_virt_apply(vf);
	env_strand_unlock(&vf->fn.strand);
	return 0;
}

static void vf_destroy(struct pci_function *pf, struct pci_function *fn)
{
	struct nvme_ctrl *c = nvme_ctrl_of(pf);
	struct nvme_secondary *sec = &c->virt->sec[fn->vf_index];

	pthread_mutex_lock(&c->ss->lock);
	if (sec->online)
		offline_locked(c->virt, sec);
	sec->c = NULL;
	sec->done = sec->asked;
	env_work_queue(&c->virt_work);
	pthread_mutex_unlock(&c->ss->lock);
	nvme_ctrl_destroy(fn);
}

static void vfs_enabled(struct pci_function *pf, unsigned int n)
{
	offline_from(nvme_ctrl_of(pf), n);
}

static const struct pci_sriov_ops sriov_ops = {
	.vf_create = vf_create,
	.vf_destroy = vf_destroy,
	.vfs_enabled = vfs_enabled,
};

/* ----------------------------------------------------------------- the primary */

static bool is_over(struct nvme_ctrl *c, const struct nvme_req *req)
{
	const struct nvme_secondary *sec = &c->virt->sec[req->step];
	bool over;

	pthread_mutex_lock(&c->ss->lock);
	over = (int)(sec->done - (unsigned int)req->lba) >= 0;
	pthread_mutex_unlock(&c->ss->lock);
	return over;
}

/* Complete the commands whose VF is done; @all: the others too, they are not wanted any more. */
static void complete(struct nvme_ctrl *c, bool all)
{
	struct nvme_req *req, *tmp;

	list_for_each_safe(req, tmp, &c->executing, link) {
		if (req->cmd->exec == nvme_virt_mgmt && (all || is_over(c, req)))
			nvme_req_complete(req, all ? NVME_SC_ABORT_REQ : NVME_SC_SUCCESS);
	}
}

static void done_work(struct env_work *w)
{
	complete(container_of(w, struct nvme_ctrl, virt_work), false);
}

void nvme_virt_disable(struct nvme_ctrl *c)
{
	if (!c->virt)
		return;
	c->nr_executing++;	/* not drained before we are through */
	complete(c, true);
	c->nr_executing--;
	nvme_virt_offline_all(c);
}

void nvme_virt_reset(struct nvme_ctrl *c)
{
	struct nvme_virt *v = c->virt;

	if (!v)
		return;
	pthread_mutex_lock(&c->ss->lock);
	for (unsigned int rt = VQ; rt <= VI; rt++)
		v->res[rt].primary = v->res[rt].promised;
	c->queues = (uint16_t)MIN(c->cfg.queues + v->res[VQ].primary, NVME_QUEUES_MAX);
	c->vectors = (uint16_t)MIN(c->cfg.vectors + v->res[VI].primary, c->fn.shape.msix_vectors);
	pthread_mutex_unlock(&c->ss->lock);
	pci_msix_resize(&c->fn, c->vectors);
}

/* ------------------------------------------------------------------- the command */

static uint16_t bad(struct nvme_req *req, uint16_t loc, uint16_t status)
{
	req->error_loc = loc;
	return status | NVME_SC_DNR;
}

#define LOC_ACT 40u
#define LOC_RT 41u
#define LOC_CNTLID 42u
#define LOC_NR 44u

/* Persistent: from the next reset on that is not one by CC.EN. */
static uint16_t primary_alloc_locked(struct nvme_req *req, unsigned int rt, uint32_t nr)
{
	struct resource *r;

	if (rt > VI)
		return bad(req, LOC_RT, NVME_SC_INVALID_RESOURCE_ID);
	r = &req->c->virt->res[rt];
	if (nr > r->total)
		return bad(req, LOC_NR, NVME_SC_INVALID_CTRL_RESOURCES);
	if (nr > r->total - r->assigned)
		return bad(req, LOC_NR, NVME_SC_INVALID_RESOURCE_ID);
	r->promised = nr;
	req->dw0 = nr;
	return NVME_SC_SUCCESS;
}

static uint16_t assign_locked(struct nvme_req *req, struct nvme_secondary *sec, unsigned int rt,
			      uint32_t nr)
{
	struct resource *r;
	uint32_t others;

	if (sec->online)
		return bad(req, LOC_CNTLID, NVME_SC_INVALID_SEC_CTRL_STATE);
	if (rt > VI)
		return bad(req, LOC_RT, NVME_SC_INVALID_RESOURCE_ID);
	r = &req->c->virt->res[rt];
	if (nr > r->per_vf)
		return bad(req, LOC_NR, NVME_SC_INVALID_CTRL_RESOURCES);
	others = r->assigned - sec->nr[rt];
	/* What the primary has now, or is promised, is not there to be given. */
	if (nr + others + MAX(r->primary, r->promised) > r->total)
		return bad(req, LOC_NR, NVME_SC_INVALID_RESOURCE_ID);
	r->assigned = others + nr;
	sec->nr[rt] = (uint16_t)nr;
	ask_locked(sec);
	req->dw0 = nr;
	return NVME_SC_SUCCESS;
}

static uint16_t online_locked(struct nvme_req *req, struct nvme_secondary *sec)
{
	const unsigned int index = (unsigned int)(sec - req->c->virt->sec);

	if (sec->online)
		return NVME_SC_SUCCESS;
	if (sec->nr[VQ] < VQ_MIN || sec->nr[VI] < VI_MIN || !sec->c ||
	    index >= pci_sriov_enabled(&req->c->fn))
		return bad(req, LOC_CNTLID, NVME_SC_INVALID_SEC_CTRL_STATE);
	sec->online = true;
	ask_locked(sec);
	return NVME_SC_SUCCESS;
}

static uint16_t secondary_locked(struct nvme_req *req, unsigned int act, unsigned int index)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), nr = le32_get(req->sqe.cdw11) & 0xffff;
	struct nvme_virt *v = req->c->virt;

	if (index >= v->nr)
		return bad(req, LOC_CNTLID, NVME_SC_INVALID_CTRL_ID);
	if (act == NVME_VIRT_MGMT_ACT_ASSIGN)
		return assign_locked(req, &v->sec[index], cdw10 >> 8 & 7, nr);
	if (act == NVME_VIRT_MGMT_ACT_ONLINE)
		return online_locked(req, &v->sec[index]);
	offline_locked(v, &v->sec[index]);
	return NVME_SC_SUCCESS;
}

void nvme_virt_mgmt(struct nvme_req *req)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const unsigned int act = cdw10 & 0xf, cntlid = cdw10 >> 16;
	struct nvme_ctrl *c = req->c;
	unsigned int index = cntlid - c->cfg.cntlid - 1u;
	bool wait = false;
	uint16_t status;

	pthread_mutex_lock(&c->ss->lock);
	switch (act) {
	case NVME_VIRT_MGMT_ACT_PRIMARY_ALLOC:
		status = cntlid != c->cfg.cntlid ? bad(req, LOC_CNTLID, NVME_SC_INVALID_CTRL_ID) :
			 primary_alloc_locked(req, cdw10 >> 8 & 7, cdw11 & 0xffff);
		break;
	case NVME_VIRT_MGMT_ACT_OFFLINE:
	case NVME_VIRT_MGMT_ACT_ASSIGN:
	case NVME_VIRT_MGMT_ACT_ONLINE:
		status = secondary_locked(req, act, index);
		wait = !status && c->virt->sec[index].done != c->virt->sec[index].asked;
		break;
	default:
		status = bad(req, LOC_ACT, NVME_SC_INVALID_FIELD);
	}
	if (wait) {
		req->step = index;
		req->lba = c->virt->sec[index].asked;
	}
	pthread_mutex_unlock(&c->ss->lock);
	if (!wait)
		nvme_req_complete(req, status);
}

void nvme_virt_primary_cap(struct nvme_ctrl *c, struct nvme_primary_ctrl_cap *cap)
{
	const struct resource *q = &c->virt->res[VQ], *i = &c->virt->res[VI];

	pthread_mutex_lock(&c->ss->lock);
	cap->cntlid = le16_of(c->cfg.cntlid);
	cap->crt = NVME_CRT_VQ | NVME_CRT_VI;
	cap->vqfrt = le32_of(q->total);
	cap->vqrfa = le32_of(q->assigned);
	cap->vqrfap = le16_of((uint16_t)q->primary);
	cap->vqprt = le16_of(q->private);
	cap->vqfrsm = le16_of(q->per_vf);
	cap->vqgran = le16_of(1);
	cap->vifrt = le32_of(i->total);
	cap->virfa = le32_of(i->assigned);
	cap->virfap = le16_of((uint16_t)i->primary);
	cap->viprt = le16_of(i->private);
	cap->vifrsm = le16_of(i->per_vf);
	cap->vigran = le16_of(1);
	pthread_mutex_unlock(&c->ss->lock);
}

void nvme_virt_secondary_list(struct nvme_ctrl *c, uint16_t from, struct nvme_secondary_ctrl_list *l)
{
	const struct nvme_virt *v = c->virt;
	unsigned int i, first = c->cfg.cntlid + 1u;

	pthread_mutex_lock(&c->ss->lock);
	for (i = from > first ? from - first : 0; i < v->nr && l->num < ARRAY_SIZE(l->entry); i++)
		l->entry[l->num++] = (struct nvme_secondary_ctrl){
			.scid = le16_of((uint16_t)(first + i)),
			.pcid = le16_of(c->cfg.cntlid),
			.scs = v->sec[i].online,
			.vfn = le16_of((uint16_t)(i + 1)),
			.nvq = le16_of(v->sec[i].nr[VQ]),
			.nvi = le16_of(v->sec[i].nr[VI]),
		};
	pthread_mutex_unlock(&c->ss->lock);
}

/* ----------------------------------------------------------------------- making */

static int check_resource(const char *what, uint32_t total, uint16_t per_vf, uint32_t least,
			  struct ferry_err *err)
{
	if (total < least || total > SRIOV_VFS_MAX * NVME_QIDS)
		return ferry_err_set(err, EINVAL, "E-NVME-VIRT", NULL,
				     "%u flexible %s resources: there can be %u to %u", total, what,
				     least, SRIOV_VFS_MAX * NVME_QIDS);
	if (per_vf < least || per_vf > NVME_QIDS || per_vf > total)
		return ferry_err_set(err, EINVAL, "E-NVME-VIRT", NULL,
				     "a VF can have %u to %u %s resources, not %u", least,
				     MIN(total, NVME_QIDS), what, per_vf);
	return 0;
}

int nvme_virt_config_check(struct nvme_ctrl_config *cfg, struct ferry_err *err)
{
	int ret;

	if (!cfg->vfs_max) {
		if (!cfg->vq_flexible && !cfg->vi_flexible && !cfg->vq_per_vf && !cfg->vi_per_vf)
			return 0;
		return ferry_err_set(err, EINVAL, "E-NVME-VIRT", "say how many VFs there can be",
				     "flexible resources without VFs");
	}
	if (cfg->vfs_max > SRIOV_VFS_MAX || cfg->cntlid + cfg->vfs_max >= 0xfff0)
		return ferry_err_set(err, EINVAL, "E-NVME-VIRT", NULL,
				     "%u VFs: there can be 1 to %u, with controller ids below 65520",
				     cfg->vfs_max, SRIOV_VFS_MAX);
	if (!cfg->vq_flexible)
		cfg->vq_flexible = cfg->vfs_max * (cfg->queues + 1u);
	if (!cfg->vi_flexible)
		cfg->vi_flexible = cfg->vfs_max * cfg->vectors;
	if (!cfg->vq_per_vf)
		cfg->vq_per_vf = (uint16_t)MIN(cfg->vq_flexible, NVME_QIDS);
	if (!cfg->vi_per_vf)
		cfg->vi_per_vf = (uint16_t)MIN(cfg->vi_flexible, NVME_QIDS);
	ret = check_resource("queue", cfg->vq_flexible, cfg->vq_per_vf, VQ_MIN, err);
	return ret ? ret : check_resource("interrupt", cfg->vi_flexible, cfg->vi_per_vf, VI_MIN, err);
}

int nvme_virt_init(struct nvme_ctrl *c, struct ferry_err *err)
{
	const struct nvme_ctrl_config *cfg = &c->cfg;
	struct pci_bar bar[PCI_BARS] = { 0 };
	int ret;

	env_work_init(&c->virt_work, &c->fn.strand, c->primary ? apply_work : done_work);
	if (c->primary) {
		c->sec = &c->primary->virt->sec[c->fn.vf_index];
		return 0;
	}
	if (!cfg->vfs_max)
		return 0;
	c->virt = calloc(1, sizeof(*c->virt) + cfg->vfs_max * sizeof(c->virt->sec[0]));
	if (!c->virt)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for secondaries");
	c->virt->nr = cfg->vfs_max;
	c->virt->res[VQ] = (struct resource){ .total = cfg->vq_flexible,
					      .private = (uint16_t)(cfg->queues + 1),
					      .per_vf = cfg->vq_per_vf };
	c->virt->res[VI] = (struct resource){ .total = cfg->vi_flexible, .private = cfg->vectors,
					      .per_vf = cfg->vi_per_vf };
	bar[0] = c->fn.shape.bar[0];
	ret = pci_sriov_init(&c->fn, cfg->vfs_max, c->fn.shape.device, bar, &sriov_ops);
	if (ret < 0) {
		free(take_ptr(c->virt));
		return ferry_err_set(err, -ret, "E-PCI-INIT", NULL, "cannot make an SR-IOV function");
	}
	pci_msix_resize(&c->fn, c->vectors);
	return 0;
}

void nvme_virt_release(struct nvme_ctrl *c)
{
	env_work_cancel(&c->virt_work);
	for (unsigned int i = 0; c->virt && i < c->virt->nr; i++)
		assert(!c->virt->sec[i].c);
	free(take_ptr(c->virt));
}
