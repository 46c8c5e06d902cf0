/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * For the tests and fuzz targets of the NVMe data path: a real controller with
 * queues in memory of ours, and a block device that remembers what it was
 * asked and can be slow or broken.
 *
 * Bus addresses: RAM is read-write. RO is the same memory read-only, FAR
 * memory that is not mapped into this process, TOP the last megabyte of all.
 * The queues lie in the first bytes of RAM, but at an address of their own.
 */
#ifndef NVME_RIG_H
#define NVME_RIG_H

#include <stdio.h>
#include <string.h>

#include "models/nvme/io.h"
#include "models/nvme/nvme.h"

#define MUST(cond)                                                                         \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* -------------------------------------------------------------- TAP, random */

static unsigned int tap_nr, tap_bad;
static bool tap_ok = true;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                          \
	} while (0)

#define CHECK_STATUS(got, want)                                                            \
	do {                                                                               \
		unsigned int got_ = (got), want_ = (want);                                 \
		if ((got_ & NVME_SC_MASK) != want_) {                                      \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s is %x, not %x\n", __FILE__, __LINE__, #got,    \
			       got_, want_);                                               \
		}                                                                          \
	} while (0)

#define RUN(test) tap_run(#test, test)

static inline void tap_run(const char *name, void (*test)(void))
{
	tap_ok = true;
	test();
	tap_bad += !tap_ok;
	printf("%s %u - %s\n", tap_ok ? "ok" : "not ok", ++tap_nr, name);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_nr);
	return tap_bad != 0;
}

static uint64_t rnd_state = 1;

static inline void rnd_seed(void)
{
	const char *s = getenv("FERRY_SEED");

	rnd_state = s ? strtoull(s, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	rnd_state |= 1;
	printf("# FERRY_SEED=0x%llx\n", (unsigned long long)rnd_state);
}

static inline uint64_t rnd(uint64_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (rnd_state >> 8) % below;
}

static inline void rnd_fill(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len--)
		*p++ = (uint8_t)rnd(256);
}

/* ------------------------------------------------------------------- memory */

#define RAM_SIZE (16u << 20)
#define FAR_SIZE (1u << 20)
#define RAM_IOVA 0x100000ull
#define QUEUE_IOVA 0x6b8f3a2100000000ull
#define QUEUE_BYTES 0xc0000ull
#define RO_IOVA 0x100000000ull
#define FAR_IOVA 0x200000000ull
#define TOP_IOVA 0xfffffffffff00000ull

struct far_mem {
	struct ferry_mem mem;
	unsigned int reads;		/* calls */
	uint8_t bytes[FAR_SIZE];
};

static inline int far_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len)
{
	struct far_mem *far = container_of(m, struct far_mem, mem);

	far->reads++;
	memcpy(buf, far->bytes + off, len);
	return 0;
}

static inline int far_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len)
{
	memcpy(container_of(m, struct far_mem, mem)->bytes + off, buf, len);
	return 0;
}

static inline void far_release(struct ferry_mem *m)
{
	free(container_of(m, struct far_mem, mem));
}

static const struct ferry_mem_ops far_ops = { far_read, far_write, far_release };

/* -------------------------------------------------------------- block device */

struct fake_dev {
	struct block_dev dev;
	uint8_t *data;
	bool slow;			/* requests wait for fake_complete() */
	int fail;			/* error for the next request, once */
	unsigned int fail_in;		/* ... after this many others */
	struct block_req *pending[64];
	unsigned int nr_pending;
	unsigned int ops[BLOCK_WRITE_ZEROES + 1];
	unsigned int last_flags;
	bool no_discard;
	bool closed;
};

static inline int fake_do(struct fake_dev *f, struct block_req *r)
{
	uint8_t *p = f->data + r->off;
	uint64_t left = r->len;
	unsigned int i;

	f->ops[r->op]++;
	f->last_flags = r->flags;
	if (f->fail && f->fail_in-- == 0) {
		int err = f->fail;

		f->fail = 0;
		return err;
	}
	MUST(r->off <= f->dev.size && r->len <= f->dev.size - r->off);
	MUST(r->op == BLOCK_FLUSH || (r->len && r->off % f->dev.align == 0 &&
				      r->len % f->dev.align == 0));
	if (r->op == BLOCK_DISCARD && f->no_discard)
		return -EOPNOTSUPP;
	if (r->op == BLOCK_DISCARD || r->op == BLOCK_WRITE_ZEROES)
		memset(p, 0, r->len);
	for (i = 0; (r->op == BLOCK_READ || r->op == BLOCK_WRITE) && i < r->niov; i++) {
		MUST(r->iov[i].iov_len <= left);
		if (r->op == BLOCK_READ)
			memcpy(r->iov[i].iov_base, p, r->iov[i].iov_len);
		else
			memcpy(p, r->iov[i].iov_base, r->iov[i].iov_len);
		p += r->iov[i].iov_len;
		left -= r->iov[i].iov_len;
	}
	MUST((r->op != BLOCK_READ && r->op != BLOCK_WRITE) || !left);
	return 0;
}

static inline int fake_submit(struct block_dev *d, struct block_req *r)
{
	struct fake_dev *f = container_of(d, struct fake_dev, dev);

	if (!f->slow)
		return fake_do(f, r);
	MUST(f->nr_pending < ARRAY_SIZE(f->pending));
	f->pending[f->nr_pending++] = r;
	return -EINPROGRESS;
}

static inline void fake_close(struct block_dev *d)
{
	struct fake_dev *f = container_of(d, struct fake_dev, dev);

	MUST(!f->nr_pending);
	f->closed = true;
	free(take_ptr(f->data));
}

static const struct block_dev_ops fake_ops = { .name = "fake", .submit = fake_submit,
					       .close = fake_close };

static inline void fake_init(struct fake_dev *f, uint64_t size)
{
	*f = (struct fake_dev){ .data = calloc(1, size) };
	f->dev.ops = &fake_ops;
	f->dev.align = 512;
	strcpy(f->dev.spec, "fake");
	atomic_init(&f->dev.size, size);
	atomic_init(&f->dev.refs, 1);
}

/* Complete the oldest request. */
static inline bool fake_complete(struct fake_dev *f)
{
	struct block_req *r = f->pending[0];
	struct env_strand *st;

	if (!f->nr_pending)
		return false;
	st = r->st;
	env_strand_lock(st);
	memmove(f->pending, f->pending + 1, --f->nr_pending * sizeof(f->pending[0]));
	r->done(r, fake_do(f, r));
	env_strand_unlock(st);
	return true;
}

/* ---------------------------------------------------------------- controller */

#define RIG_QUEUES 4
#define RIG_DEPTH 64
#define RIG_DATA (1u << 20)		/* RAM offset from which on nothing is a queue */

struct rig {
	struct ferry_env *env;
	struct nvme_subsys *ss;
	struct pci_function *fn;
	struct nvme_ctrl *c;
	struct ferry_mem *ram, *top;
	struct far_mem *far;
	uint8_t *ram_bytes;
	struct { unsigned int tail, head; bool phase; } q[RIG_QUEUES + 1];
	struct fake_dev *fake;		/* completed while we wait, if set */
	uint16_t cid;
	uint32_t dw0;
};

static inline struct dma_range rig_range(uint64_t iova, struct ferry_mem *m, unsigned int perm)
{
	return (struct dma_range){ .iova = iova, .last = iova + (m->size - 1),
				   .mem = ferry_mem_get(m), .perm = perm };
}

static inline void rig_map(struct rig *r)
{
	struct dma_table *t = dma_table_alloc(5);

	t->r[0] = rig_range(RAM_IOVA, r->ram, DMA_READ | DMA_WRITE);
	t->r[0].iova += QUEUE_BYTES;
	t->r[0].off = QUEUE_BYTES;
	t->r[1] = rig_range(RO_IOVA, r->ram, DMA_READ);
	t->r[2] = rig_range(FAR_IOVA, &r->far->mem, DMA_READ | DMA_WRITE);
	t->r[3] = rig_range(QUEUE_IOVA, r->ram, DMA_READ | DMA_WRITE);
	t->r[3].last = QUEUE_IOVA + QUEUE_BYTES - 1;
	t->r[4] = rig_range(TOP_IOVA, r->top, DMA_READ | DMA_WRITE);
	env_strand_lock(&r->fn->strand);
	pci_dma_set(r->fn, t, NULL);
	env_strand_unlock(&r->fn->strand);
	dma_table_put(t);
}

static inline void rig_reg(struct rig *r, uint64_t off, unsigned int len, uint64_t val)
{
	env_strand_lock(&r->fn->strand);
	pci_bar_write(r->fn, 0, off, len, val);
	env_strand_unlock(&r->fn->strand);
}

static inline uint64_t sq_off(unsigned int qid)
{
	return qid * 0x20000ull;
}

static inline uint64_t cq_off(unsigned int qid)
{
	return qid * 0x20000ull + 0x10000;
}

static inline void rig_ring(struct rig *r, unsigned int qid, const struct nvme_sqe *sqe)
{
	memcpy(r->ram_bytes + sq_off(qid) + r->q[qid].tail * sizeof(*sqe), sqe, sizeof(*sqe));
	r->q[qid].tail = (r->q[qid].tail + 1) % RIG_DEPTH;
	rig_reg(r, NVME_REG_DOORBELLS + qid * 8, 4, r->q[qid].tail);
}

/* One completion of @qid, if there is one. */
static inline bool rig_reap(struct rig *r, unsigned int qid, struct nvme_cqe *cqe)
{
	memcpy(cqe, r->ram_bytes + cq_off(qid) + r->q[qid].head * sizeof(*cqe), sizeof(*cqe));
	if ((le16_get(cqe->status) & NVME_CQE_PHASE) != r->q[qid].phase)
		return false;
	r->q[qid].head = (r->q[qid].head + 1) % RIG_DEPTH;
	if (!r->q[qid].head)
		r->q[qid].phase = !r->q[qid].phase;
	rig_reg(r, NVME_REG_DOORBELLS + qid * 8 + 4, 4, r->q[qid].head);
	return true;
}

/* Run @sqe to its end. Return: its status. */
static inline uint16_t rig_wait(struct rig *r, unsigned int qid)
{
	struct nvme_cqe cqe;
	unsigned int turns;

	for (turns = 0; turns < 100000; turns++) {
		if (rig_reap(r, qid, &cqe)) {
			r->dw0 = le32_get(cqe.dw0);
			return le16_get(cqe.status) >> 1;
		}
		if (r->fake && fake_complete(r->fake))
			continue;
		env_step(r->env, turns > 100);
	}
	fprintf(stderr, "a command never completed\n");
	abort();
}

static inline uint16_t rig_cmd(struct rig *r, unsigned int qid, struct nvme_sqe sqe)
{
	sqe.cid = le16_of(r->cid++);
	rig_ring(r, qid, &sqe);
	return rig_wait(r, qid);
}

static inline void rig_queue(struct rig *r, unsigned int qid)
{
	struct nvme_sqe s = { .opcode = nvme_admin_create_cq };

	s.prp1 = le64_of(QUEUE_IOVA + cq_off(qid));
	s.cdw10 = le32_of((RIG_DEPTH - 1) << 16 | qid);
	s.cdw11 = le32_of(1);
	MUST(!rig_cmd(r, 0, s));
	s.opcode = nvme_admin_create_sq;
	s.prp1 = le64_of(QUEUE_IOVA + sq_off(qid));
	s.cdw11 = le32_of(1 | qid << 16);
	MUST(!rig_cmd(r, 0, s));
}

/* Enable with page size 4 KiB << @mps. */
static inline void rig_enable(struct rig *r, unsigned int mps)
{
	unsigned int i, turns;

	for (i = 0; i <= RIG_QUEUES; i++) {
		r->q[i].tail = r->q[i].head = 0;
		r->q[i].phase = true;
		memset(r->ram_bytes + cq_off(i), 0, 0x1000);
	}
	rig_reg(r, NVME_REG_AQA, 4, (RIG_DEPTH - 1) << 16 | (RIG_DEPTH - 1));
	rig_reg(r, NVME_REG_ASQ, 8, QUEUE_IOVA + sq_off(0));
	rig_reg(r, NVME_REG_ACQ, 8, QUEUE_IOVA + cq_off(0));
	rig_reg(r, NVME_REG_CC, 4, NVME_CC_EN | mps << NVME_CC_MPS_SHIFT |
				   NVME_SQES << NVME_CC_IOSQES_SHIFT |
				   NVME_CQES << NVME_CC_IOCQES_SHIFT);
	for (turns = 0; !(r->c->st->csts & NVME_CSTS_RDY); turns++) {
		MUST(turns < 1000);
		env_step(r->env, true);
	}
}

static inline void rig_init_with(struct rig *r, const struct nvme_ctrl_config *cfg,
				 const struct nvme_subsys_config *scfg)
{
	struct ferry_err err = { 0 };
	unsigned int i;

	log_level_max = LOG_ERROR;
	*r = (struct rig){ .ram = ferry_mem_alloc(RAM_SIZE), .top = ferry_mem_alloc(1u << 20),
			   .far = calloc(1, sizeof(*r->far)) };
	r->ram_bytes = r->ram->base;
	r->far->mem.ops = &far_ops;
	r->far->mem.size = FAR_SIZE;
	atomic_init(&r->far->mem.refs, 1);
	MUST(!env_create(ENV_EPOLL, &r->env));
	MUST(!nvme_subsys_create(scfg, &r->ss, &err));
	MUST(!nvme_ctrl_create(r->ss, cfg, r->env, &r->fn, &err));
	r->c = nvme_ctrl_of(r->fn);
	rig_map(r);
	env_strand_lock(&r->fn->strand);
	pci_config_write(r->fn, 4, 2, 6);	/* memory decoding, bus master */
	env_strand_unlock(&r->fn->strand);
	rig_enable(r, 0);
	for (i = 1; i <= RIG_QUEUES; i++)
		rig_queue(r, i);
}

static inline void rig_init(struct rig *r)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = RIG_QUEUES };
	struct nvme_subsys_config scfg = { .serial = "S", .model = "M", .firmware = "F",
					   .capacity = 64u << 20 };

	rig_init_with(r, &cfg, &scfg);
}

static inline uint32_t rig_add(struct rig *r, struct block_dev *dev, unsigned int shift)
{
	struct nvme_ns_config cfg = { .lba_shift = shift, .name = "rig" };
	struct ferry_err err = { 0 };
	uint32_t nsid;

	MUST(!nvme_ns_add(r->ss, dev, &cfg, &nsid, &err));
	MUST(!nvme_ns_attach(r->ss, nsid, 1, &err));
	return nsid;
}

static inline void rig_disable(struct rig *r)
{
	unsigned int turns;

	rig_reg(r, NVME_REG_CC, 4, 0);
	for (turns = 0; r->c->st->csts & NVME_CSTS_RDY; turns++) {
		MUST(turns < 100000);
		if (!r->fake || !fake_complete(r->fake))
			env_step(r->env, true);
	}
}

static inline void rig_fini(struct rig *r)
{
	rig_disable(r);
	while (env_step(r->env, false))
		;
	env_strand_lock(&r->fn->strand);
	pci_dma_set(r->fn, NULL, NULL);
	env_strand_unlock(&r->fn->strand);
	nvme_ctrl_destroy(r->fn);
	nvme_subsys_destroy(r->ss);
	env_destroy(r->env);
	ferry_mem_put(r->ram);
	ferry_mem_put(r->top);
	ferry_mem_put(&r->far->mem);
}

/* An I/O command on @len bytes of RAM at @off, by PRPs; the list, if any, lies at RAM offset @list. */
static inline struct nvme_sqe rig_io(struct rig *r, uint8_t opcode, uint32_t nsid, uint64_t lba,
				     uint32_t nlb, uint64_t off, uint64_t len, uint64_t list)
{
	struct nvme_sqe s = { .opcode = opcode, .nsid = le32_of(nsid) };
	uint64_t first = MIN(len, 4096 - off % 4096), n = 0;

	s.cdw10 = le32_of((uint32_t)lba);
	s.cdw11 = le32_of((uint32_t)(lba >> 32));
	s.cdw12 = le32_of(nlb - 1);
	s.prp1 = le64_of(RAM_IOVA + off);
	off += first;
	len -= first;
	if (len <= 4096) {
		s.prp2 = le64_of(RAM_IOVA + off);
		return s;
	}
	s.prp2 = le64_of(RAM_IOVA + list);
	for (; len; len -= MIN(len, 4096), off += 4096, n++)
		((le64 *)(void *)(r->ram_bytes + list))[n] = le64_of(RAM_IOVA + off);
	MUST(list % 4096 + n * 8 <= 4096);
	return s;
}

#endif
