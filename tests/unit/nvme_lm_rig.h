/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A subsystem with a migration management controller (PF) and one other (VF),
 * each with a host of its own as in nvme_host.h, on the calling thread; and
 * the commands by which the one manages the other.
 */
#ifndef NVME_LM_RIG_H
#define NVME_LM_RIG_H

#include "nvme_host.h"

#include "models/nvme/state.h"

#define VF_ID 5u

struct lm {
	struct host pf, vf;
	uint64_t buf;			/* a page of the PF's host */
	struct ferry_env *vf_env;	/* NULL: the PF's */
};

/* The VF's side of an open @h->pf. */
static inline void lm_vf_open(struct lm *m, const struct nvme_ctrl_config *cfg)
{
	static const struct nvme_ctrl_config plain = { .cntlid = VF_ID, .queues = 8 };
	struct ferry_err err = { 0 };
	struct host *h = &m->vf;
	int ret;

	memset(h, 0, sizeof(*h));
	h->env = m->vf_env ? m->vf_env : m->pf.env;
	h->ss = m->pf.ss;
	ret = nvme_ctrl_create(h->ss, cfg ? cfg : &plain, h->env, &h->fn, &err);
	if (ret)
		printf("# nvme_ctrl_create: %s\n", err.msg);
	assert(ret == 0);
	h->c = nvme_ctrl_of(h->fn);
	ret = nvme_ns_attach(h->ss, 1, h->c->cfg.cntlid, &err);
	assert(ret == 0);
	h->mem = ferry_mem_alloc(HOST_RAM_SIZE);
	assert(h->mem && h->mem->base);
	h->ram = h->mem->base;
	host_forget(h);
	host_map_but(h, 0, 0);
	host_command(h, 0x6);
}

static inline void lm_vf_close(struct lm *m)
{
	struct host *h = &m->vf;

	if (!host_reset(h))
		abort();
	host_lock(h);
	pci_dma_set(h->fn, NULL, NULL);
	host_unlock(h);
	HOST_UNTIL(h, atomic_load(&h->fn->strand.pending) == 0);
	nvme_ctrl_destroy(h->fn);
	ferry_mem_put(h->mem);
	h->fn = NULL;
}

static inline void lm_open_on(struct lm *m, const struct nvme_ctrl_config *vf, const char *backend,
			      enum env_kind kind)
{
	static const struct nvme_ctrl_config pf = { .cntlid = 1, .queues = 4, .migrates = true };

	struct nvme_ns *ns;

	m->vf_env = NULL;
	host_open_on(&m->pf, &pf, backend, kind);
	/* Every such subsystem has the same namespace. */
	ns = nvme_ns_lookup(m->pf.ss, 1);
	memset(ns->uuid, 0x11, sizeof(ns->uuid));
	memset(ns->nguid, 0x22, sizeof(ns->nguid));
	memset(ns->eui64, 0x33, sizeof(ns->eui64));
	nvme_ns_unref(ns);
	host_enable(&m->pf);
	m->buf = host_alloc(&m->pf, 8192);
	lm_vf_open(m, vf);
}

static inline void lm_open(struct lm *m, const struct nvme_ctrl_config *vf)
{
	lm_open_on(m, vf, "memory", ENV_EPOLL);
}

/* With its I/O asynchronous. */
static inline void lm_open_file(struct lm *m, const struct nvme_ctrl_config *vf, enum env_kind kind)
{
	char spec[96];

	snprintf(spec, sizeof(spec), "file:/tmp/ferry-nvme-lm-%d.raw", getpid());
	lm_open_on(m, vf, spec, kind);
	unlink(spec + strlen("file:"));
}

static inline void lm_close(struct lm *m)
{
	if (m->vf.fn)
		lm_vf_close(m);
	host_close(&m->pf);
}

/* ------------------------------------------------------------------- commands */

static inline struct nvme_sqe lm_sqe(uint8_t opcode, uint64_t prp1, uint32_t cdw10, uint32_t cdw11)
{
	struct nvme_sqe s = host_sqe(opcode, 0, prp1, cdw10, cdw11);

	s.prp2 = le64_of(prp1 ? ALIGN_DOWN(prp1, 4096) + 4096 : 0);
	return s;
}

static inline uint16_t lm_suspend(struct lm *m)
{
	return host_cmd(&m->pf, 0, lm_sqe(nvme_admin_migration_send, 0, NVME_LM_SEL_SUSPEND,
					  NVME_LM_STYPE_SUSPEND << 16 | VF_ID));
}

static inline uint16_t lm_resume(struct lm *m)
{
	return host_cmd(&m->pf, 0, lm_sqe(nvme_admin_migration_send, 0, NVME_LM_SEL_RESUME, VF_ID));
}

/* @len bytes at @off of the state, through one page. */
static inline uint16_t lm_get(struct lm *m, uint64_t off, uint32_t len, unsigned int csvi,
			      unsigned int csuuidi)
{
	struct nvme_sqe s = lm_sqe(nvme_admin_migration_receive, m->buf, csvi << 16,
				   csuuidi << 16 | VF_ID);

	s.cdw12 = le32_of((uint32_t)off);
	s.cdw13 = le32_of((uint32_t)(off >> 32));
	s.cdw15 = le32_of(len / 4 - 1);
	return host_cmd(&m->pf, 0, s);
}

/* A piece of a state that lies at m->buf. */
static inline uint16_t lm_set(struct lm *m, unsigned int seqind, uint64_t off, uint32_t len,
			      unsigned int csvi, unsigned int csuuidi)
{
	struct nvme_sqe s = lm_sqe(nvme_admin_migration_send, m->buf,
				   NVME_LM_SEL_SET_CONTROLLER_STATE | seqind << 16,
				   csuuidi << 24 | csvi << 16 | VF_ID);

	s.cdw12 = le32_of((uint32_t)off);
	s.cdw13 = le32_of((uint32_t)(off >> 32));
	s.cdw15 = le32_of(len / 4);
	return host_cmd(&m->pf, 0, s);
}

/* All of it, as a driver would: the header, then by pieces. NULL and a failed check otherwise. */
static inline uint8_t *lm_read_state(struct lm *m, size_t *len)
{
	const struct nvme_lm_state *h = host_ptr(&m->pf, m->buf);
	uint8_t *state;

	CHECK_EQ(lm_get(m, 0, sizeof(*h), 1, 1), 0);
	CHECK_EQ(host_dw0(&m->pf), NVME_LM_CSUP);
	*len = sizeof(*h) + 4 * (le64_get(h->nvmecss[0]) + le64_get(h->vss[0]));
	state = malloc(*len);
	for (size_t off = 0; off < *len; off += 4096) {
		const uint32_t n = (uint32_t)MIN(*len - off, 4096);

		CHECK_EQ(lm_get(m, off, n, 1, 1), 0);
		CHECK_EQ(host_dw0(&m->pf), NVME_LM_CSUP);
		memcpy(state + off, host_ptr(&m->pf, m->buf), n);
	}
	return state;
}

/* Return: the status of the first piece that failed, or of the last. */
static inline uint16_t lm_write_state(struct lm *m, const uint8_t *state, size_t len, uint32_t chunk)
{
	uint16_t status = 0;

	for (size_t off = 0; off < len && !status; off += chunk) {
		const uint32_t n = (uint32_t)MIN(len - off, chunk);
		const unsigned int seqind = (off == 0 ? NVME_LM_SEQIND_FIRST : 0) |
					    (off + n == len ? NVME_LM_SEQIND_LAST : 0);

		memcpy(host_ptr(&m->pf, m->buf), state + off, n);
		status = lm_set(m, seqind, off, n, 1, 1);
	}
	return status;
}

/* Without what need not be equal: the clocks, and the CNTLID in the guard. */
static inline void lm_blank(uint8_t *state, size_t len)
{
	const struct nvme_lm_state *h = (void *)state;
	size_t at = sizeof(*h) + 4 * le64_get(h->nvmecss[0]) + 16;

	while (at + 8 <= len) {
		uint32_t size;

		memcpy(&size, state + at + 4, 4);
		size = (uint32_t)ALIGN_UP(le32toh(size), 4) + 12;
		if (state[at] == 9)
			memset(state + at, 0, size);
		if (state[at] == 1 && size > 54 && at + size <= len) {
			memset(state + at + 8 + 42, 0, 2);
			memset(state + at + size - 4, 0, 4);
		}
		at += size;
	}
}

static inline uint8_t *lm_save(struct host *h, size_t *len)
{
	void *buf = NULL;

	host_lock(h);
	CHECK_EQ(nvme_state_save(h->c, &buf, len), 0);
	host_unlock(h);
	lm_blank(buf, *len);
	return buf;
}

/* The guest's memory, and what its driver knows, go along. */
static inline void lm_move_guest(struct host *from, struct host *to)
{
	memcpy(to->ram, from->ram, HOST_RAM_SIZE);
	to->next = from->next;
	to->next_cid = from->next_cid;
	memcpy(to->q, from->q, sizeof(to->q));
}

#endif
