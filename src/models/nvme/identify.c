/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Identify: what is there and what it can do. Each data structure has a
 * function that fills 4096 zeroed bytes; a table by CNS names it and says
 * what NSID and CSI must be. What a controller claims is taken from where it
 * is implemented: the command tables, the limits in io.h, the configuration.
 */
#include <string.h>

#include "models/nvme/io.h"
#include "models/nvme/mig.h"
#include "models/nvme/ns.h"

#define KAS_UNITS 10u			/* keep alive granularity, 100 ms units */
#define SHUTDOWN_US 10000000u		/* RTD3E: a flush of the backends may take that long */
#define POWER_CENTIWATTS 2500u
#define WARNING_KELVIN 343u
#define CRITICAL_KELVIN 353u
#define ABORT_LIMIT 4u

struct identify {
	struct nvme_ctrl *c;
	uint32_t nsid;
	uint16_t cntid;
	struct nvme_ns *ns;		/* as the table entry's NSID rule has it, or NULL */
	union {
		uint8_t raw[NVME_IDENTIFY_DATA_SIZE];
		struct nvme_id_ctrl ctrl;
		struct nvme_id_ns ns;
		struct nvme_id_ns_indep indep;
		struct nvme_nvm_id_ns nvm_ns;
		struct nvme_id_nvm nvm;
		struct nvme_ns_list ns_list;
		struct nvme_ctrl_list ctrl_list;
		struct nvme_primary_ctrl_cap primary;
		struct nvme_secondary_ctrl_list secondaries;
	} out;
};

/* A text field: no NUL, filled up with spaces. */
static void put_text(char *field, size_t len, const char *text)
{
	size_t n = strnlen(text, len);

	memset(field, ' ', len);
	memcpy(field, text, n);
}

/* A 128-bit byte count. */
static void put_u128(uint8_t field[16], uint64_t v)
{
	le64 low = le64_of(v);

	memcpy(field, &low, sizeof(low));
}

/* --------------------------------------------------------------- controller */

static bool admin_has(const struct nvme_ctrl *c, unsigned int opcode)
{
	return nvme_cmd_offered(c, &nvme_admin_cmds[opcode]);
}

static bool io_has(unsigned int opcode)
{
	return nvme_io_cmds[opcode].exec;
}

static uint16_t oacs(const struct nvme_ctrl *c)
{
	uint32_t v = 0;

	if (admin_has(c, nvme_admin_format_nvm))
		v |= NVME_OACS_FORMAT;
	if (admin_has(c, nvme_admin_ns_mgmt) && admin_has(c, nvme_admin_ns_attach))
		v |= NVME_OACS_NS_MGMT;
	if (c->cfg.migrates)
		v |= NVME_OACS_HMLM;
	if (admin_has(c, nvme_admin_virtual_mgmt))
		v |= NVME_OACS_VIRT_MGMT;
	if (admin_has(c, nvme_admin_dbbuf) && !c->cfg.no_dbbuf)
		v |= NVME_OACS_DBBUF_CFG;
	return (uint16_t)v;
}

static uint16_t oncs(void)
{
	static const struct { uint8_t opcode; uint16_t bit; } optional[] = {
		{ nvme_cmd_compare, NVME_ONCS_COMPARE },
		{ nvme_cmd_dsm, NVME_ONCS_DSM },
		{ nvme_cmd_write_zeroes, NVME_ONCS_WRITE_ZEROES },
		{ nvme_cmd_verify, NVME_ONCS_VERIFY },
		{ nvme_cmd_copy, NVME_ONCS_COPY },
	};
	uint32_t i, v = NVME_ONCS_SAVE_FEATURES | NVME_ONCS_TIMESTAMP;

	for (i = 0; i < ARRAY_SIZE(optional); i++)
		if (io_has(optional[i].opcode))
			v |= optional[i].bit;
	return (uint16_t)v;
}

static void put_capacity(struct nvme_subsys *ss, struct nvme_id_ctrl *id)
{
	uint64_t unallocated, total;
	uint32_t nsid;

	pthread_mutex_lock(&ss->lock);
	total = unallocated = ss->unallocated;
	for (nsid = 1; nsid <= NVME_NSID_MAX; nsid++) {
		struct nvme_ns *ns = atomic_load(&ss->ns[nsid]);

		if (ns)
			total += atomic_load(&ns->dev->size);
	}
	pthread_mutex_unlock(&ss->lock);
	put_u128(id->tnvmcap, total);
	put_u128(id->unvmcap, unallocated);
}

static void id_ctrl_names(const struct nvme_ctrl *c, struct nvme_id_ctrl *id)
{
	const struct nvme_subsys_config *cfg = &c->ss->cfg;

	id->vid = le16_of(c->fn.shape.vendor);
	id->ssvid = le16_of(c->fn.shape.subsys_vendor);
	put_text(id->sn, sizeof(id->sn), cfg->serial);
	put_text(id->mn, sizeof(id->mn), cfg->model);
	put_text(id->fr, sizeof(id->fr), cfg->firmware);
	memcpy(id->subnqn, cfg->subnqn, strnlen(cfg->subnqn, sizeof(cfg->subnqn) - 1));
	id->cntlid = le16_of(c->cfg.cntlid);
	id->ver = le32_of(NVME_VERSION);
	id->cntrltype = NVME_CTRLTYPE_IO;
	id->cmic = NVME_CMIC_MULTI_CTRL | (c->primary ? NVME_CMIC_MULTI_SRIOV : 0);
	id->nvmsr = 1;				/* an NVMe storage device */
}

static void id_ctrl_admin(const struct nvme_ctrl *c, struct nvme_id_ctrl *id)
{
	id->mdts = nvme_mdts(c);
	id->rtd3e = le32_of(SHUTDOWN_US);
	id->oaes = le32_of(NVME_OAES_NA);
	id->ctratt = le32_of(NVME_CTRATT_HOST_ID_128);
	id->oacs = le16_of(oacs(c));
	id->acl = ABORT_LIMIT - 1;
	id->aerl = NVME_AERL - 1;
	id->frmw = NVME_FRMW_SLOT1_RO | 1 << NVME_FRMW_NSLOTS_SHIFT;
	id->lpa = NVME_LPA_CMD_EFFECTS | NVME_LPA_EXTENDED;
	id->elpe = NVME_ERRORS_MAX - 1;
	id->avscc = 1;
	id->wctemp = le16_of(WARNING_KELVIN);
	id->cctemp = le16_of(CRITICAL_KELVIN);
	if (admin_has(c, nvme_admin_keep_alive))
		id->kas = le16_of(KAS_UNITS);
	id->psd[0].mp = le16_of(POWER_CENTIWATTS);
	/* What all of the subsystem has is no business of a VF's. */
	if (admin_has(c, nvme_admin_ns_mgmt))
		put_capacity(c->ss, id);
}

static void id_ctrl_io(const struct nvme_ctrl *c, struct nvme_id_ctrl *id)
{
	id->rab = 6;
	id->sqes = NVME_SQES << 4 | NVME_SQES;
	id->cqes = NVME_CQES << 4 | NVME_CQES;
	id->nn = id->mnan = le32_of(NVME_NSID_MAX);
	id->oncs = le16_of(oncs());
	id->vwc = NVME_VWC_PRESENT | NVME_VWC_FLUSH_ALL;
	id->icsvscc = 1;
	id->ocfs = le16_of(NVME_OCFS_FORMAT0);
	if (!c->cfg.no_sgl)
		id->sgls = le32_of(NVME_SGLS_BYTE_ALIGNED | NVME_SGLS_BIT_BUCKET |
				   NVME_SGLS_OVERSIZED);
}

/* What it can do about the live migration of others. */
static void id_ctrl_migrates(struct nvme_id_ctrl *id)
{
	id->cmmrtd = id->nmmrtd = le16_of(NVME_TRACK_RANGES);
	id->maxmrtg = NVME_TRACK_GRAN_MAX;
	id->trattr = NVME_TRATTR_THMCS | NVME_TRATTR_TUDCS;
	id->mcudmq = id->mnsudmq = le16_of(NVME_CDQS_MAX);
	id->mcmr = id->mcdqpc = le16_of(NVME_CDQ_PAGES);
	id->nmcmr = le16_of(NVME_CDQ_PAGES * NVME_CDQS_MAX);
}

void nvme_id_ctrl_fill(const struct nvme_ctrl *c, struct nvme_id_ctrl *id)
{
	memset(id, 0, sizeof(*id));
	id_ctrl_names(c, id);
	id_ctrl_admin(c, id);
	id_ctrl_io(c, id);
	if (c->cfg.migrates)
		id_ctrl_migrates(id);
}

static uint16_t id_ctrl(struct identify *q)
{
	nvme_id_ctrl_fill(q->c, &q->out.ctrl);
	return 0;
}

/* Supported Controller State Formats: version 0 of NVMe's part at index 1, one vendor part of ours. */
static uint16_t id_state_formats(struct identify *q)
{
	if (!q->c->cfg.migrates)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	q->out.raw[0] = 1;
	q->out.raw[1] = 1;
	memcpy(q->out.raw + 4, nvme_state_uuid, sizeof(nvme_state_uuid));
	return 0;
}

/* I/O command set specific (NVM). No limit where there is a zero. */
static uint16_t id_ctrl_nvm(struct identify *q)
{
	q->out.nvm.vsl = nvme_mdts(q->c);
	q->out.nvm.ver = le32_of(0x00010100);
	return 0;
}

/* --------------------------------------------------------------- namespaces */

/* What all namespaces have in common, or without @ns what one could have. */
static void id_ns_formats(const struct nvme_ns *ns, struct nvme_id_ns *id)
{
	id->nlbaf = 1;				/* 0-based */
	id->dlfeat = NVME_DLFEAT_RB_ZEROES | NVME_DLFEAT_WRITE_ZEROES;
	id->lbaf[1].ds = 12;
	if (!ns || ns->dev->align <= 512)
		id->lbaf[0].ds = 9;		/* else 0: not available */
}

static uint16_t id_ns(struct identify *q)
{
	struct nvme_id_ns *id = &q->out.ns;
	struct nvme_ns *ns = q->ns;
	unsigned int shift;
	uint64_t nsze;

	if (!ns) {
		if (q->nsid == NVME_NSID_ALL)
			id_ns_formats(NULL, id);
		return 0;
	}
	shift = nvme_ns_shift(ns);
	nsze = atomic_load(&ns->nsze);
	id_ns_formats(ns, id);
	id->nsze = id->ncap = id->nuse = le64_of(nsze);
	id->flbas = shift == 12;
	id->nmic = ns->shared ? NVME_NMIC_SHARED : 0;
	id->nsattr = ns->dev->read_only ? NVME_NSATTR_WRITE_PROTECTED : 0;
	put_u128(id->nvmcap, nsze << shift);
	id->mssrl = le16_of((uint16_t)(NVME_COPY_RANGE_BYTES >> shift));
	id->mcl = le32_of(NVME_COPY_BYTES >> shift);
	id->msrc = NVME_COPY_RANGES - 1;
	memcpy(id->nguid, ns->nguid, sizeof(id->nguid));
	memcpy(id->eui64, ns->eui64, sizeof(id->eui64));
	return 0;
}

static uint16_t id_ns_indep(struct identify *q)
{
	struct nvme_id_ns_indep *id = &q->out.indep;

	if (!q->ns)
		return 0;
	id->nmic = q->ns->shared ? NVME_NMIC_SHARED : 0;
	id->nsattr = q->ns->dev->read_only ? NVME_NSATTR_WRITE_PROTECTED : 0;
	id->nstat = NVME_NSTAT_NRDY;
	return 0;
}

/* No protection information, no extended LBA formats: all zero. */
static uint16_t id_ns_nvm(struct identify *q)
{
	(void)q;
	return 0;
}

static uint8_t *put_desc(uint8_t *p, enum nvme_nidt type, const void *id, uint8_t len)
{
	*(struct nvme_ns_id_desc *)p = (struct nvme_ns_id_desc){ .nidt = (uint8_t)type,
								 .nidl = len };
	memcpy(p + sizeof(struct nvme_ns_id_desc), id, len);
	return p + sizeof(struct nvme_ns_id_desc) + len;
}

static uint16_t id_ns_descs(struct identify *q)
{
	static const uint8_t csi = NVME_CSI_NVM;
	uint8_t *p = q->out.raw;

	if (!q->ns)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	p = put_desc(p, NVME_NIDT_EUI64, q->ns->eui64, sizeof(q->ns->eui64));
	p = put_desc(p, NVME_NIDT_NGUID, q->ns->nguid, sizeof(q->ns->nguid));
	p = put_desc(p, NVME_NIDT_UUID, q->ns->uuid, sizeof(q->ns->uuid));
	put_desc(p, NVME_NIDT_CSI, &csi, sizeof(csi));
	return 0;
}

/* --------------------------------------------------------------------- lists */

static uint16_t ns_list(struct identify *q, bool active)
{
	struct nvme_subsys *ss = q->c->ss;
	unsigned int n = 0;
	uint32_t nsid;

	if (q->nsid >= NVME_NSID_ALL - 1)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	for (nsid = q->nsid; nsid++ < NVME_NSID_MAX;)
		if (active ? nvme_ns_active(q->c, nsid) : atomic_load(&ss->ns[nsid]) != NULL)
			q->out.ns_list.ns[n++] = le32_of(nsid);
	return 0;
}

static uint16_t ns_list_active(struct identify *q)
{
	return ns_list(q, true);
}

static uint16_t ns_list_allocated(struct identify *q)
{
	return ns_list(q, false);
}

/* Controllers from CNTID up that are in @slots (NULL: all), ascending; also those that wait for their VF. */
static uint16_t ctrl_list(struct identify *q, const struct nvme_slots *slots)
{
	struct nvme_subsys *ss = q->c->ss;
	uint16_t id[NVME_CTRLS_MAX];
	unsigned int i, j, n = 0;

	pthread_mutex_lock(&ss->lock);
	for (i = 0; i < NVME_CTRLS_MAX; i++) {
		if (!ss->cntlid[i] || (slots && !nvme_slots_has(slots, i)) ||
		    ss->cntlid[i] < q->cntid)
			continue;
		for (j = n++; j && id[j - 1] > ss->cntlid[i]; j--)
			id[j] = id[j - 1];
		id[j] = ss->cntlid[i];
	}
	pthread_mutex_unlock(&ss->lock);
	q->out.ctrl_list.num = le16_of((uint16_t)n);
	for (i = 0; i < n; i++)
		q->out.ctrl_list.identifier[i] = le16_of(id[i]);
	return 0;
}

static uint16_t ctrl_list_ns(struct identify *q)
{
	struct nvme_slots slots;

	if (!q->ns)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	slots = ns_attached(q->ns);
	return ctrl_list(q, &slots);
}

static uint16_t ctrl_list_all(struct identify *q)
{
	return ctrl_list(q, NULL);
}

static uint16_t primary_cap(struct identify *q)
{
	nvme_virt_primary_cap(q->c, &q->out.primary);
	return 0;
}

static uint16_t secondary_list(struct identify *q)
{
	nvme_virt_secondary_list(q->c, q->cntid, &q->out.secondaries);
	return 0;
}

/* ------------------------------------------------------------------- command */

enum nsid_rule {
	NSID_UNUSED,		/* or a start value, the function looks at it itself */
	NSID_ACTIVE,		/* 1 to NN; ns is NULL if not attached here */
	NSID_ACTIVE_OR_ALL,	/* likewise, or FFFFFFFFh */
	NSID_ALLOCATED,		/* 1 to NN; ns is NULL if not allocated */
};

static const struct {
	uint16_t (*fill)(struct identify *q);
	enum nsid_rule nsid;
	bool csi;		/* looks at CSI: must be the NVM command set */
	uint8_t with;		/* the admin command that it belongs to, if not all have it; else 0 */
} cns_table[256] = {
	[NVME_IDENTIFY_CNS_NS] = { id_ns, NSID_ACTIVE_OR_ALL, false },
	[NVME_IDENTIFY_CNS_CTRL] = { id_ctrl, NSID_UNUSED, false },
	[NVME_IDENTIFY_CNS_NS_ACTIVE_LIST] = { ns_list_active, NSID_UNUSED, false },
	[NVME_IDENTIFY_CNS_NS_DESC_LIST] = { id_ns_descs, NSID_ACTIVE, false },
	[NVME_IDENTIFY_CNS_CSI_NS] = { id_ns_nvm, NSID_ACTIVE_OR_ALL, true },
	[NVME_IDENTIFY_CNS_CSI_CTRL] = { id_ctrl_nvm, NSID_UNUSED, true },
	[NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST] = { ns_list_active, NSID_UNUSED, true },
	[NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS] = { id_ns_indep, NSID_ACTIVE, false },
	[NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST] = { ns_list_allocated, NSID_UNUSED, false,
		nvme_admin_ns_mgmt },
	[NVME_IDENTIFY_CNS_ALLOCATED_NS] = { id_ns, NSID_ALLOCATED, false, nvme_admin_ns_mgmt },
	[NVME_IDENTIFY_CNS_NS_CTRL_LIST] = { ctrl_list_ns, NSID_ALLOCATED, false, nvme_admin_ns_mgmt },
	[NVME_IDENTIFY_CNS_CTRL_LIST] = { ctrl_list_all, NSID_UNUSED, false, nvme_admin_ns_mgmt },
	[NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP] = { primary_cap, NSID_UNUSED, false,
		nvme_admin_virtual_mgmt },
	[NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST] = { secondary_list, NSID_UNUSED, false,
		nvme_admin_virtual_mgmt },
	[NVME_IDENTIFY_CNS_SUPPORTED_CTRL_STATE_FORMATS] = { id_state_formats, NSID_UNUSED, false },
};

static uint16_t look_up(struct identify *q, enum nsid_rule rule)
{
	if (rule == NSID_UNUSED || (rule == NSID_ACTIVE_OR_ALL && q->nsid == NVME_NSID_ALL))
		return 0;
	if (!q->nsid || q->nsid > NVME_NSID_MAX)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	q->ns = nvme_ns_lookup(q->c->ss, q->nsid);
	if (q->ns && rule != NSID_ALLOCATED && !nvme_ns_is_attached(q->ns, q->c))
		nvme_ns_unref(take_ptr(q->ns));
	return 0;
}

/* CNS lies at byte 40 of the command, NSID at 4, CSI at 47. */
void nvme_identify(struct nvme_req *req)
{
	uint32_t cdw10 = le32_get(req->sqe.cdw10);
	unsigned int cns = cdw10 & 0xff;
	struct identify q = {
		.c = req->c,
		.nsid = le32_get(req->sqe.nsid),
		.cntid = (uint16_t)(cdw10 >> 16),
	};
	uint16_t status;

	if (!cns_table[cns].fill ||
	    (cns_table[cns].with && !admin_has(req->c, cns_table[cns].with))) {
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
		return;
	}
	if (cns_table[cns].csi && le32_get(req->sqe.cdw11) >> 24 != NVME_CSI_NVM) {
		req->error_loc = 47;
		nvme_req_complete(req, NVME_SC_INVALID_IOCS | NVME_SC_DNR);
		return;
	}
	status = look_up(&q, cns_table[cns].nsid);
	if (!status)
		status = cns_table[cns].fill(&q);
	if (q.ns)
		nvme_ns_unref(q.ns);
	if (status)
		req->error_loc = 4;
	else
		status = nvme_xfer_out(req, &q.out, sizeof(q.out));
	nvme_req_complete(req, status);
}
