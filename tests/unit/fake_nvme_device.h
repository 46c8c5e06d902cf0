/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A primary NVMe controller with VFs that has just an admin queue, and answers
 * just what its driver sends: for tests of the driver alone. It can be told to
 * hang, to fail, to be slow.
 */
#ifndef FAKE_NVME_DEVICE_H
#define FAKE_NVME_DEVICE_H

#include <stdio.h>
#include <string.h>

#include <ferry/nvme_driver.h>
#include <ferry/nvme_lm_spec.h>
#include <ferry/sriov.h>

#define FAKE_SECS 4u
#define FAKE_STATE_MAX (1u << 19)
#define FAKE_DIRTY_MAX 512u
#define FAKE_HELD_MAX 64u

struct fake_dirty {
	uint64_t addr;
	uint32_t granules;
};

struct fake_sec {
	uint16_t cntlid, vq, vi;
	bool online, suspended;
	uint32_t attached;			/* bit per NSID */
	uint8_t *state, *coming;		/* the image; the one that is being set */
	size_t state_len, coming_len;
	bool open;				/* a sequence of Set Controller State */
	bool tracked;
	unsigned int rmrtg, ranges, sends;
	struct fake_dirty dirty[FAKE_DIRTY_MAX];
	unsigned int nr_dirty;
};

struct fake_pf {
	struct pci_function fn;
	struct nvme_id_ctrl id;
	uint32_t cc, csts, aqa;
	uint64_t asq, acq;
	uint32_t sq_head, cq_tail;
	bool phase;
	struct fake_sec sec[FAKE_SECS];

	/* What it is told. */
	int hang, fail;				/* opcodes, -1: none */
	int fail_sel;				/* and CDW10 7:0, -1: any */
	uint16_t fail_status;
	unsigned int fail_times;		/* 0: always */
	uint32_t fail_dw0, fail_dw1;
	bool never_ready, hold;
	unsigned int vqfrsm, vifrsm;

	/* What it saw. */
	unsigned int seen[256], resets, max_held, bad;
	struct nvme_sqe held[FAKE_HELD_MAX];
	unsigned int nr_held;
	struct nvme_sqe last[256];		/* by opcode */
};

static inline struct fake_pf *fake_of(struct pci_function *fn)
{
	return container_of(fn, struct fake_pf, fn);
}

static inline struct fake_sec *fake_sec(struct fake_pf *f, unsigned int cntlid)
{
	unsigned int i;

	for (i = 0; i < FAKE_SECS; i++)
		if (f->sec[i].cntlid == cntlid)
			return &f->sec[i];
	return NULL;
}

/* ------------------------------------------------------------------- transfer */

/* Between the command's PRPs and @buf. False: a PRP that is wrong. */
static inline bool fake_dma(struct fake_pf *f, const struct nvme_sqe *sqe, void *buf, uint32_t len,
			    bool to_host)
{
	uint64_t prp2 = le64_get(sqe->prp2), page = le64_get(sqe->prp1);
	uint32_t at, pages = (len + 4095) / 4096;
	int err = 0;

	for (at = 0; at < len && !err; at += 4096) {
		uint32_t n = MIN(len - at, 4096u);

		if (at && pages == 2)
			page = prp2;
		else if (at) {
			le64 e;

			err = pci_dma_read(&f->fn, prp2 + (at / 4096 - 1) * 8, &e, 8);
			page = le64_get(e);
		}
		if (!page || page % 4096)
			err = -EFAULT;
		if (!err)
			err = to_host ? pci_dma_write(&f->fn, page, (char *)buf + at, n)
				      : pci_dma_read(&f->fn, page, (char *)buf + at, n);
	}
	f->bad += err != 0;
	return !err;
}

static inline void fake_answer(struct fake_pf *f, const struct nvme_sqe *sqe, uint16_t status,
			       uint32_t dw0, uint32_t dw1)
{
	struct nvme_cqe cqe = {
		.dw0 = le32_of(dw0), .dw1 = le32_of(dw1), .sqhd = le16_of((uint16_t)f->sq_head),
		.cid = sqe->cid, .status = le16_of((uint16_t)(status << 1 | f->phase)),
	};

	(void)pci_dma_write(&f->fn, f->acq + f->cq_tail * 16, &cqe, sizeof(cqe));
	f->cq_tail = (f->cq_tail + 1) % (NVME_AQA_ACQS(f->aqa) + 1);
	f->phase ^= f->cq_tail == 0;
	pci_msix_raise(&f->fn, 0);
}

/* -------------------------------------------------------------------- commands */

static inline uint16_t fake_identify(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	uint8_t page[4096] = { 0 };
	uint32_t cdw10 = le32_get(sqe->cdw10);
	unsigned int i;

	switch (cdw10 & 0xff) {
	case NVME_IDENTIFY_CNS_CTRL:
		memcpy(page, &f->id, sizeof(f->id));
		break;
	case NVME_IDENTIFY_CNS_SUPPORTED_CTRL_STATE_FORMATS:
		page[0] = 2;			/* the second is version 0 */
		page[1] = 1;
		page[2] = 9;
		memset(page + 6, 0xa5, 16);
		break;
	case NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP:
		page[44] = (uint8_t)f->vqfrsm;
		page[76] = (uint8_t)f->vifrsm;
		break;
	case NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST:
		page[0] = FAKE_SECS;
		for (i = 0; i < FAKE_SECS; i++) {
			uint8_t *e = page + 32 + 32 * i;

			e[0] = (uint8_t)f->sec[i].cntlid;
			e[4] = f->sec[i].online;
			e[8] = (uint8_t)(i + 1);
			e[10] = (uint8_t)f->sec[i].vq;
			e[12] = (uint8_t)f->sec[i].vi;
		}
		break;
	default:
		return NVME_SC_INVALID_FIELD;
	}
	return fake_dma(f, sqe, page, sizeof(page), true) ? 0 : NVME_SC_DATA_XFER_ERROR;
}

static inline uint16_t fake_virt(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	uint32_t cdw10 = le32_get(sqe->cdw10), nr = le32_get(sqe->cdw11);
	struct fake_sec *s = fake_sec(f, cdw10 >> 16);
	unsigned int rt = cdw10 >> 8 & 7;

	if (!s)
		return NVME_SC_INVALID_CTRL_ID;
	switch (cdw10 & 0xf) {
	case 7:
		s->online = s->suspended = false;
		s->vq = s->vi = 0;
		return 0;
	case 8:
		if (s->online)
			return NVME_SC_INVALID_SEC_CTRL_STATE;
		if (nr > (rt ? f->vifrsm : f->vqfrsm))
			return NVME_SC_INVALID_CTRL_RESOURCES;
		*(rt ? &s->vi : &s->vq) = (uint16_t)nr;
		return 0;
	case 9:
		if (s->vq < 2 || !s->vi || pci_sriov_enabled(&f->fn) <= (unsigned int)(s - f->sec))
			return NVME_SC_INVALID_SEC_CTRL_STATE;
		s->online = true;
		return 0;
	default:
		return NVME_SC_INVALID_FIELD;
	}
}

static inline uint16_t fake_ns_attach(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	uint32_t bit = 1u << le32_get(sqe->nsid);
	struct fake_sec *s;
	le16 list[2048];

	if (!fake_dma(f, sqe, list, sizeof(list), false))
		return NVME_SC_DATA_XFER_ERROR;
	s = fake_sec(f, le16_get(list[1]));
	if (!s || le16_get(list[0]) != 1)
		return NVME_SC_CTRL_LIST_INVALID;
	if (le32_get(sqe->cdw10) == NVME_NS_ATTACH_SEL_CTRL_DEATTACH) {
		if (!(s->attached & bit))
			return NVME_SC_NS_NOT_ATTACHED;
		s->attached &= ~bit;
		return 0;
	}
	if (s->attached & bit)
		return NVME_SC_NS_ALREADY_ATTACHED;
	s->attached |= bit;
	return 0;
}

static inline uint16_t fake_set_state(struct fake_pf *f, struct fake_sec *s, const struct nvme_sqe *sqe)
{
	uint32_t seq = NVME_LM_SEQIND(le32_get(sqe->cdw10)), cdw11 = le32_get(sqe->cdw11);
	uint32_t len = le32_get(sqe->cdw15) * 4, off = le32_get(sqe->cdw12);

	if (!s->suspended)
		return NVME_SC_INVALID_CTRL_ID;
	if (NVME_LM_SET_CSVI(cdw11) != 2 || NVME_LM_SET_CSUUIDI(cdw11) != 1)
		return NVME_SC_INVALID_FIELD;
	if (seq & NVME_LM_SEQIND_FIRST) {
		s->open = true;
		s->coming_len = 0;
	}
	if (!s->open)
		return NVME_SC_CMD_SEQ_ERROR;
	if (off != s->coming_len || off + len > FAKE_STATE_MAX)
		return NVME_SC_INVALID_FIELD;
	if (!fake_dma(f, sqe, s->coming + off, len, false))
		return NVME_SC_DATA_XFER_ERROR;
	s->coming_len += len;
	if (!(seq & NVME_LM_SEQIND_LAST))
		return 0;
	s->open = false;
	if (s->coming_len > 60 && s->coming[60] == 0xee)	/* "malformed" */
		return NVME_SC_INVALID_FIELD;
	memcpy(s->state, s->coming, s->coming_len);
	s->state_len = s->coming_len;
	return 0;
}

static inline uint16_t fake_migration_send(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	uint32_t cdw11 = le32_get(sqe->cdw11);
	struct fake_sec *s = fake_sec(f, cdw11 & 0xffff);

	if (!s || !s->online)
		return NVME_SC_INVALID_CTRL_ID;
	switch (NVME_LM_SEL(le32_get(sqe->cdw10))) {
	case NVME_LM_SEL_SUSPEND:
		s->suspended |= NVME_LM_STYPE(cdw11) == NVME_LM_STYPE_SUSPEND;
		return 0;
	case NVME_LM_SEL_RESUME:
		if (!s->suspended)
			return NVME_SC_NOT_SUSPENDED;
		if (s->open)
			return NVME_SC_CMD_SEQ_ERROR;
		s->suspended = false;
		return 0;
	case NVME_LM_SEL_SET_CONTROLLER_STATE:
		return fake_set_state(f, s, sqe);
	default:
		return NVME_SC_INVALID_FIELD;
	}
}

static inline uint16_t fake_migration_receive(struct fake_pf *f, const struct nvme_sqe *sqe,
					      uint32_t *dw0)
{
	uint32_t cdw11 = le32_get(sqe->cdw11), off = le32_get(sqe->cdw12);
	uint32_t len = (le32_get(sqe->cdw15) + 1) * 4;
	struct fake_sec *s = fake_sec(f, cdw11 & 0xffff);
	auto_free uint8_t *buf = NULL;

	if (!s || !s->online)
		return NVME_SC_INVALID_CTRL_ID;
	if (off % 4 || off > s->state_len || NVME_LM_GET_CSVI(le32_get(sqe->cdw10)) != 2 ||
	    NVME_LM_GET_CSUUIDI(cdw11) != 1)
		return NVME_SC_INVALID_FIELD;
	buf = malloc(len);
	memset(buf, 0xdb, len);
	memcpy(buf, s->state + off, MIN(len, s->state_len - off));
	*dw0 = s->suspended ? NVME_LM_CSUP : 0;
	return fake_dma(f, sqe, buf, len, true) ? 0 : NVME_SC_DATA_XFER_ERROR;
}

static inline uint16_t fake_track_send(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	struct fake_sec *s = fake_sec(f, le32_get(sqe->cdw11) & 0xffff);
	struct nvme_track_mem head;
	static uint8_t table[65536];
	uint32_t n, i;

	if (!s)
		return NVME_SC_INVALID_CTRL_ID;
	s->sends++;
	if (s->suspended)
		return NVME_SC_SUSPENDED;
	if (!NVME_TRACK_TACT(le32_get(sqe->cdw10))) {
		s->tracked = false;
		return 0;
	}
	if (s->tracked)
		return NVME_SC_INVALID_CTRL_ID;
	if (!fake_dma(f, sqe, &head, sizeof(head), false))
		return NVME_SC_DATA_XFER_ERROR;
	n = le32_get(head.rnmrtd);
	if (head.rmrtg < f->id.minmrtg || head.rmrtg > f->id.maxmrtg || !n ||
	    n > le16_get(f->id.cmmrtd) || !fake_dma(f, sqe, table, 8 + 12 * n, false))
		return NVME_SC_INVALID_FIELD;
	for (i = 0; i < n; i++) {
		const struct nvme_track_range *r = (const void *)(table + 8 + 12 * i);
		uint32_t len = le32_get(r->len);

		if (le64_get(r->saddr) & ((4096ull << head.rmrtg) - 1))
			return NVME_SC_INVALID_FIELD;
		if (!len || ((f->id.trattr & 4) && (len & (len - 1))))
			return NVME_SC_INVALID_FIELD;
	}
	s->tracked = true;
	s->rmrtg = head.rmrtg;
	s->ranges = n;
	return 0;
}

/* At most three ranges at a time, so that there is more. */
static inline uint16_t fake_track_receive(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	struct fake_sec *s = fake_sec(f, le32_get(sqe->cdw11) & 0xffff);
	struct { struct nvme_track_report head; struct nvme_track_changed c[3]; } rep = { 0 };
	unsigned int n, i;

	if (!s || !s->tracked)
		return NVME_SC_INVALID_CTRL_ID;
	n = MIN(s->nr_dirty, 3u);
	s->nr_dirty -= n;
	for (i = 0; i < n; i++)
		rep.c[i] = (struct nvme_track_changed){ .saddr = le64_of(s->dirty[s->nr_dirty + i].addr),
							.len = le32_of(s->dirty[s->nr_dirty + i].granules) };
	rep.head = (struct nvme_track_report){
		.attrb = (uint8_t)((s->nr_dirty ? NVME_TRACK_MTR : 0) | (s->suspended ? NVME_TRACK_SUSP : 0)),
		.cntlid = le16_of(s->cntlid), .ntmcd = le32_of(n), .rpmpg = le16_of((uint16_t)s->rmrtg),
	};
	return fake_dma(f, sqe, &rep, sizeof(rep), true) ? 0 : NVME_SC_DATA_XFER_ERROR;
}

static inline void fake_execute(struct fake_pf *f, const struct nvme_sqe *sqe)
{
	uint32_t dw0 = 0, dw1 = 0;
	uint16_t status;

	if (f->fail == sqe->opcode &&
	    (f->fail_sel < 0 || f->fail_sel == (int)(le32_get(sqe->cdw10) & 0xff))) {
		if (f->fail_times && !--f->fail_times)
			f->fail = -1;
		fake_answer(f, sqe, f->fail_status, f->fail_dw0, f->fail_dw1);
		return;
	}
	switch (sqe->opcode) {
	case nvme_admin_identify:
		status = fake_identify(f, sqe);
		break;
	case nvme_admin_virtual_mgmt:
		status = fake_virt(f, sqe);
		break;
	case nvme_admin_ns_attach:
		status = fake_ns_attach(f, sqe);
		break;
	case nvme_admin_migration_send:
		status = fake_migration_send(f, sqe);
		break;
	case nvme_admin_migration_receive:
		status = fake_migration_receive(f, sqe, &dw0);
		break;
	case nvme_admin_track_send:
		status = fake_track_send(f, sqe);
		break;
	case nvme_admin_track_receive:
		status = fake_track_receive(f, sqe);
		break;
	default:
		status = NVME_SC_INVALID_OPCODE;
	}
	fake_answer(f, sqe, status, dw0, dw1);
}

/* Answer what was held, in another order than it came. Strand held. */
static inline void fake_release(struct fake_pf *f)
{
	while (f->nr_held) {
		struct nvme_sqe sqe = f->held[--f->nr_held];

		fake_execute(f, &sqe);
	}
}

static inline void fake_fetch(struct fake_pf *f, uint32_t tail)
{
	uint32_t size = NVME_AQA_ASQS(f->aqa) + 1;

	while (f->sq_head != tail % size) {
		struct nvme_sqe sqe;

		if (pci_dma_read(&f->fn, f->asq + f->sq_head * 64, &sqe, sizeof(sqe)) < 0) {
			f->bad++;
			return;
		}
		f->sq_head = (f->sq_head + 1) % size;
		f->seen[sqe.opcode]++;
		f->last[sqe.opcode] = sqe;
		if (f->hang == sqe.opcode)
			continue;
		if (f->hold) {
			assert(f->nr_held < FAKE_HELD_MAX);
			f->held[f->nr_held++] = sqe;
			f->max_held = MAX(f->max_held, f->nr_held);
		} else {
			fake_execute(f, &sqe);
		}
	}
}

/* -------------------------------------------------------------------- registers */

/* Controller Level Reset. */
static inline void fake_clr(struct fake_pf *f)
{
	unsigned int i;

	f->cc = f->csts = f->sq_head = f->cq_tail = 0;
	f->phase = true;
	f->nr_held = 0;
	for (i = 0; i < FAKE_SECS; i++) {
		struct fake_sec *s = &f->sec[i];

		s->online = s->suspended = s->tracked = s->open = false;
		s->vq = s->vi = 0;
	}
}

static inline uint64_t fake_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off,
				     unsigned int len)
{
	struct fake_pf *f = fake_of(fn);

	(void)bar, (void)len;
	switch (off) {
	case NVME_REG_CAP:
		return 1023 | UINT64_C(1) << 16 | UINT64_C(1) << 24 | UINT64_C(1) << 37;
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_CC:
		return f->cc;
	case NVME_REG_CSTS:
		return f->csts;
	default:
		return 0;
	}
}

static inline void fake_cc_write(struct fake_pf *f, uint32_t cc)
{
	uint32_t was = f->cc;

	if ((was & NVME_CC_EN) && !(cc & NVME_CC_EN))
		fake_clr(f);
	f->cc = cc;
	if (!(was & NVME_CC_EN) && (cc & NVME_CC_EN) && !f->never_ready)
		f->csts |= NVME_CSTS_RDY;
	if (NVME_CC_SHN(cc))
		f->csts |= NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT;
}

static inline void fake_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off,
				  unsigned int len, uint64_t val)
{
	struct fake_pf *f = fake_of(fn);

	(void)bar, (void)len;
	switch (off) {
	case NVME_REG_CC:
		fake_cc_write(f, (uint32_t)val);
		break;
	case NVME_REG_AQA:
		f->aqa = (uint32_t)val;
		break;
	case NVME_REG_ASQ:
		f->asq = val;
		break;
	case NVME_REG_ASQ + 4:
		f->asq = (uint32_t)f->asq | val << 32;
		break;
	case NVME_REG_ACQ:
		f->acq = val;
		break;
	case NVME_REG_ACQ + 4:
		f->acq = (uint32_t)f->acq | val << 32;
		break;
	case NVME_REG_DOORBELLS:
		if (f->csts & NVME_CSTS_RDY)
			fake_fetch(f, (uint32_t)val);
		break;
	default:
		break;
	}
}

static inline void fake_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	struct fake_pf *f = fake_of(fn);

	(void)kind;
	f->resets++;
	fake_clr(f);
	pci_reset_done(fn);
}

static const struct pci_model_ops fake_ops = {
	.name = "fake-pf", .bar_read = fake_bar_read, .bar_write = fake_bar_write, .reset = fake_reset,
};

/* -------------------------------------------------------------------------- VFs */

static inline uint64_t fake_vf_read(struct pci_function *fn, unsigned int bar, uint64_t off,
				    unsigned int len)
{
	return 0;
}

static inline void fake_vf_write(struct pci_function *fn, unsigned int bar, uint64_t off,
				 unsigned int len, uint64_t val)
{
}

static inline void fake_vf_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	pci_reset_done(fn);
}

static const struct pci_model_ops fake_vf_ops = {
	.name = "fake-vf", .bar_read = fake_vf_read, .bar_write = fake_vf_write, .reset = fake_vf_reset,
};

static inline struct pci_shape fake_shape(void)
{
	return (struct pci_shape){
		.vendor = 0x1b36, .device = 0x0010, .class_code = 0x010802, .msix_vectors = 9,
		.msix_off = 0x2000, .pba_off = 0x3000, .bar[0] = { .size = 0x4000, .is_64 = true },
	};
}

static inline int fake_vf_create(struct pci_function *pf, unsigned int index,
				 struct pci_function **vf, struct ferry_err *err)
{
	struct pci_function *fn = calloc(1, sizeof(*fn));
	int ret;

	(void)err;
	fn->ops = &fake_vf_ops;
	fn->shape = fake_shape();
	fn->physfn = pf;
	fn->vf_index = index;
	ret = pci_function_init(fn, pf->strand.env, NULL);
	assert(!ret);
	*vf = fn;
	return 0;
}

static inline void fake_vf_destroy(struct pci_function *pf, struct pci_function *vf)
{
	(void)pf;
	pci_function_release(vf);
	free(vf);
}

static const struct pci_sriov_ops fake_sriov_ops = {
	.vf_create = fake_vf_create, .vf_destroy = fake_vf_destroy,
};

/* ------------------------------------------------------------------------- life */

static inline void fake_text(char *to, size_t len, const char *text)
{
	memset(to, ' ', len);
	memcpy(to, text, MIN(len, strlen(text)));
}

static inline void fake_open(struct fake_pf *f, struct ferry_env *env, struct pci_bdf bdf)
{
	struct pci_shape shape = fake_shape();
	unsigned int i;
	int ret;

	memset(f, 0, sizeof(*f));
	f->hang = f->fail = f->fail_sel = -1;
	f->vqfrsm = f->vifrsm = 8;
	fake_text(f->id.sn, sizeof(f->id.sn), "FAKE0001");
	fake_text(f->id.mn, sizeof(f->id.mn), "fake");
	fake_text(f->id.fr, sizeof(f->id.fr), "1.0");
	snprintf(f->id.subnqn, sizeof(f->id.subnqn), "nqn.2014-08.org.nvmexpress:fake");
	f->id.mdts = 5;				/* 128 KiB */
	f->id.cntlid = le16_of(1);
	f->id.oacs = le16_of(NVME_OACS_VIRT_MGMT | NVME_OACS_HMLM | NVME_OACS_NS_MGMT);
	f->id.cmmrtd = le16_of(64);
	f->id.maxmrtg = 9;
	f->id.trattr = NVME_TRATTR_THMCS;
	for (i = 0; i < FAKE_SECS; i++) {
		struct fake_sec *s = &f->sec[i];
		struct nvme_lm_state *head;
		size_t k;

		s->cntlid = (uint16_t)(2 + i);
		s->state = calloc(1, FAKE_STATE_MAX);
		s->coming = calloc(1, FAKE_STATE_MAX);
		s->state_len = 48 + 4 * 50000;
		for (k = 48; k < s->state_len; k++)
			s->state[k] = (uint8_t)(k * 7 + i);
		s->state[60] = 0;
		head = (void *)s->state;
		head->nvmecss[0] = le64_of(14);
		head->vss[0] = le64_of(50000 - 14);
	}
	fake_clr(f);
	f->fn.ops = &fake_ops;
	f->fn.shape = shape;
	f->fn.bdf = bdf;
	ret = pci_function_init(&f->fn, env, NULL);
	assert(!ret);
	ret = pci_sriov_init(&f->fn, FAKE_SECS, 0x0010, shape.bar, &fake_sriov_ops);
	assert(!ret);
}

static inline void fake_close(struct fake_pf *f)
{
	unsigned int i;

	pci_function_release(&f->fn);
	for (i = 0; i < FAKE_SECS; i++) {
		free(f->sec[i].state);
		free(f->sec[i].coming);
	}
}

#endif
