/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A small polled NVMe host driver for tests and fuzz targets of src/models/nvme:
 * one subsystem with one namespace, one controller, RAM of its own, all on the
 * calling thread; and TAP.
 */
#ifndef NVME_HOST_H
#define NVME_HOST_H

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "models/nvme/nvme.h"

/* ---------------------------------------------------------------------- TAP */

__attribute__((unused)) static unsigned int tap_nr, tap_bad;
__attribute__((unused)) static bool tap_ok;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                          \
	} while (0)

#define FAIL(what)                                                                         \
	do {                                                                               \
		tap_ok = false;                                                            \
		printf("# %s:%d: %s\n", __FILE__, __LINE__, what);                         \
	} while (0)

/* Numbers, with both values shown. */
#define CHECK_EQ(a, b)                                                                     \
	do {                                                                               \
		unsigned long long a_ = (unsigned long long)(a);                           \
		unsigned long long b_ = (unsigned long long)(b);                           \
		if (a_ != b_) {                                                            \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s is 0x%llx, not %s, 0x%llx\n", __FILE__,        \
			       __LINE__, #a, a_, #b, b_);                                  \
		}                                                                          \
	} while (0)

#define RUN(test) tap_run(#test, test)

static inline void tap_run(const char *name, void (*test)(void))
{
	tap_ok = true;
	test();
	tap_bad += !tap_ok;
	printf("%s %u - %s\n", tap_ok ? "ok" : "not ok", ++tap_nr, name);
	fflush(stdout);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_nr);
	return tap_bad != 0;
}

/* ------------------------------------------------------------------ the host */

#define HOST_RAM_IOVA 0x1000000ull
#define HOST_RAM_SIZE (8ull << 20)
#define HOST_NS_SIZE (8ull << 20)
#define HOST_ADMIN_ENTRIES 32u
#define HOST_DNR NVME_SC_DNR

struct host_queue {
	uint64_t sq, cq;		/* bus addresses */
	uint16_t sq_size, cq_size, tail, head, sqhd;
	bool phase;
};

struct host {
	struct ferry_env *env;
	struct nvme_subsys *ss;
	struct pci_function *fn;
	struct nvme_ctrl *c;
	struct ferry_mem *mem;
	uint8_t *ram;
	uint64_t next;			/* free RAM, bus address */
	struct host_queue q[NVME_QIDS];
	uint16_t next_cid;
	struct nvme_cqe cqe;		/* the last one taken */
	unsigned int irqs[NVME_QIDS];
	unsigned int pins;
	struct pci_reset_waiter waiter;
	bool reset_over;
};

static inline void host_lock(struct host *h)
{
	env_strand_lock(&h->fn->strand);
}

static inline void host_unlock(struct host *h)
{
	env_strand_unlock(&h->fn->strand);
}

static inline uint64_t host_read(struct host *h, uint64_t off, unsigned int len)
{
	uint64_t v;

	host_lock(h);
	v = pci_bar_read(h->fn, 0, off, len);
	host_unlock(h);
	return v;
}

static inline void host_write(struct host *h, uint64_t off, unsigned int len, uint64_t v)
{
	host_lock(h);
	pci_bar_write(h->fn, 0, off, len, v);
	host_unlock(h);
}

static inline uint32_t host_csts(struct host *h)
{
	return (uint32_t)host_read(h, NVME_REG_CSTS, 4);
}

static inline void host_command(struct host *h, uint16_t v)
{
	host_lock(h);
	pci_config_write(h->fn, 4, 2, v);
	host_unlock(h);
}

/* Map all RAM, or (with @len) all but [@off, @off + @len). */
static inline void host_map_but(struct host *h, uint64_t off, uint64_t len)
{
	struct dma_table *t = dma_table_alloc(len ? 2 : 1);

	t->r[0] = (struct dma_range){
		.iova = HOST_RAM_IOVA, .last = HOST_RAM_IOVA + (len ? off : HOST_RAM_SIZE) - 1,
		.mem = ferry_mem_get(h->mem), .off = 0, .perm = DMA_READ | DMA_WRITE };
	if (len)
		t->r[1] = (struct dma_range){
			.iova = HOST_RAM_IOVA + off + len, .last = HOST_RAM_IOVA + HOST_RAM_SIZE - 1,
			.mem = ferry_mem_get(h->mem), .off = off + len, .perm = DMA_READ | DMA_WRITE };
	host_lock(h);
	pci_dma_set(h->fn, t, NULL);
	host_unlock(h);
	dma_table_put(t);
}

static inline void *host_ptr(struct host *h, uint64_t iova)
{
	return h->ram + (iova - HOST_RAM_IOVA);
}

static inline uint64_t host_alloc(struct host *h, uint64_t len)
{
	uint64_t at = h->next;

	h->next += ALIGN_UP(len, 4096);
	assert(h->next <= HOST_RAM_IOVA + HOST_RAM_SIZE);
	memset(host_ptr(h, at), 0, len);
	return at;
}

/* All queues forgotten, RAM free again. */
static inline void host_forget(struct host *h)
{
	memset(h->q, 0, sizeof(h->q));
	h->next = HOST_RAM_IOVA;
}

static inline void host_irq(void *arg, unsigned int v)
{
	struct host *h = arg;

	h->irqs[v]++;
}

static inline void host_pin(void *arg, unsigned int v)
{
	struct host *h = arg;

	(void)v;
	h->pins++;
}

/* @backend: as block_open(); @kind: the loop. */
static inline void host_open_on(struct host *h, const struct nvme_ctrl_config *cfg,
				const char *backend, enum env_kind kind)
{
	static const struct nvme_ctrl_config plain = { .cntlid = 1, .queues = 8 };
	struct nvme_subsys_config sc = { .capacity = 64 << 20 };
	struct block_dev *dev;
	struct ferry_err err = { 0 };
	uint32_t nsid = 0;
	int ret;

	memset(h, 0, sizeof(*h));
	strcpy(sc.serial, "TEST0001");
	strcpy(sc.model, "ferry test");
	strcpy(sc.firmware, "1.0");
	ret = env_create(kind, &h->env);
	if (ret && kind == ENV_URING)
		ret = env_create(ENV_EPOLL, &h->env);
	assert(ret == 0);
	ret = nvme_subsys_create(&sc, &h->ss, &err);
	assert(ret == 0);
	ret = nvme_ctrl_create(h->ss, cfg ? cfg : &plain, h->env, &h->fn, &err);
	if (ret)
		printf("# nvme_ctrl_create: %s\n", err.msg);
	assert(ret == 0);
	h->c = nvme_ctrl_of(h->fn);
	ret = block_open(backend, HOST_NS_SIZE, BLOCK_OPEN_CREATE, &dev, &err);
	if (ret)
		printf("# block_open: %s\n", err.msg);
	assert(ret == 0);
	ret = nvme_ns_add(h->ss, dev, &(struct nvme_ns_config){ .nsid = 1, .lba_shift = 9 }, &nsid, &err);
	assert(ret == 0 && nsid == 1);
	block_put(dev);
	ret = nvme_ns_attach(h->ss, 1, h->c->cfg.cntlid, &err);
	assert(ret == 0);
	h->mem = ferry_mem_alloc(HOST_RAM_SIZE);
	assert(h->mem && h->mem->base);
	h->ram = h->mem->base;
	host_forget(h);
	host_map_but(h, 0, 0);
	host_command(h, 0x6);
}

static inline void host_open(struct host *h, const struct nvme_ctrl_config *cfg)
{
	host_open_on(h, cfg, "memory", ENV_EPOLL);
}

/* With a file, that is gone when everything is closed: its I/O is asynchronous. */
static inline void host_open_file(struct host *h, enum env_kind kind)
{
	char spec[96];

	snprintf(spec, sizeof(spec), "file:/tmp/ferry-nvme-test-%d.raw", getpid());
	host_open_on(h, NULL, spec, kind);
	unlink(spec + strlen("file:"));
}

static inline void host_step(struct host *h)
{
	env_step(h->env, false);
}

static inline uint64_t host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Step until @cond, 5 s at most. Gives @cond. */
#define HOST_UNTIL(h, cond)                                                                \
	({                                                                                 \
		uint64_t end_ = host_now() + 5000000000u;                                  \
		bool is_;                                                                  \
		while (!(is_ = (cond)) && host_now() < end_)                               \
			host_step(h);                                                      \
		is_;                                                                       \
	})

static inline void host_reset_over(struct pci_reset_waiter *w)
{
	container_of(w, struct host, waiter)->reset_over = true;
}

static inline void host_reset_start(struct host *h)
{
	h->reset_over = false;
	h->waiter.done = host_reset_over;
	host_lock(h);
	pci_reset(h->fn, PCI_RESET_FLR, &h->waiter);
	host_unlock(h);
}

/* FLR, and memory and bus mastering on again. */
static inline bool host_reset(struct host *h)
{
	host_reset_start(h);
	if (!HOST_UNTIL(h, h->reset_over))
		return false;
	host_forget(h);
	host_command(h, 0x6);
	return true;
}

static inline void host_close(struct host *h)
{
	struct dma_fence fence = { 0 };

	if (!host_reset(h))
		abort();
	host_lock(h);
	pci_dma_set(h->fn, NULL, &fence);
	host_unlock(h);
	HOST_UNTIL(h, atomic_load(&h->fn->strand.pending) == 0);
	nvme_ctrl_destroy(h->fn);
	nvme_subsys_destroy(h->ss);
	ferry_mem_put(h->mem);
	env_destroy(h->env);
}

/* ------------------------------------------------------------------- queues */

static inline void host_queue_init(struct host *h, unsigned int qid, unsigned int sq, unsigned int cq)
{
	h->q[qid] = (struct host_queue){
		.sq = host_alloc(h, sq * 64ull), .cq = host_alloc(h, cq * 16ull),
		.sq_size = (uint16_t)sq, .cq_size = (uint16_t)cq, .phase = true };
}

/* Admin queues and CC.EN. Return: CSTS. */
static inline uint32_t host_enable_with(struct host *h, uint32_t cc)
{
	host_forget(h);
	host_queue_init(h, 0, HOST_ADMIN_ENTRIES, HOST_ADMIN_ENTRIES);
	host_write(h, NVME_REG_AQA, 4, (HOST_ADMIN_ENTRIES - 1) | (HOST_ADMIN_ENTRIES - 1) << 16);
	host_write(h, NVME_REG_ASQ, 8, h->q[0].sq);
	host_write(h, NVME_REG_ACQ, 4, (uint32_t)h->q[0].cq);
	host_write(h, NVME_REG_ACQ + 4, 4, h->q[0].cq >> 32);
	host_write(h, NVME_REG_CC, 4, cc);
	return host_csts(h);
}

#define HOST_CC (NVME_CC_EN | NVME_SQES << NVME_CC_IOSQES_SHIFT | NVME_CQES << NVME_CC_IOCQES_SHIFT)

static inline void host_enable(struct host *h)
{
	CHECK_EQ(host_enable_with(h, HOST_CC), NVME_CSTS_RDY);
}

static inline bool host_disable(struct host *h)
{
	host_write(h, NVME_REG_CC, 4, HOST_CC & ~NVME_CC_EN);
	return HOST_UNTIL(h, !(host_csts(h) & NVME_CSTS_RDY));
}

static inline void host_ring(struct host *h, unsigned int index, uint32_t v)
{
	host_write(h, NVME_REG_DOORBELLS + 4ull * index, 4, v);
}

/* Put @sqe into the SQ, with a fresh command id, without ringing. */
static inline uint16_t host_put(struct host *h, unsigned int qid, struct nvme_sqe sqe)
{
	struct host_queue *q = &h->q[qid];

	sqe.cid = le16_of(h->next_cid);
	memcpy(host_ptr(h, q->sq + q->tail * 64ull), &sqe, sizeof(sqe));
	q->tail = (uint16_t)(q->tail + 1 == q->sq_size ? 0 : q->tail + 1);
	return h->next_cid++;
}

static inline uint16_t host_submit(struct host *h, unsigned int qid, struct nvme_sqe sqe)
{
	uint16_t cid = host_put(h, qid, sqe);

	host_ring(h, 2 * qid, h->q[qid].tail);
	return cid;
}

/* Take one completion into h->cqe, without ringing. */
static inline bool host_take(struct host *h, unsigned int qid)
{
	struct host_queue *q = &h->q[qid];
	uint8_t *p = host_ptr(h, q->cq + q->head * 16ull);
	uint32_t dw3 = __atomic_load_n((uint32_t *)(void *)(p + 12), __ATOMIC_ACQUIRE);

	if ((dw3 >> 16 & 1) != q->phase)
		return false;
	memcpy(&h->cqe, p, sizeof(h->cqe));
	q->sqhd = le16_get(h->cqe.sqhd);
	q->head = (uint16_t)(q->head + 1 == q->cq_size ? 0 : q->head + 1);
	if (q->head == 0)
		q->phase = !q->phase;
	return true;
}

static inline bool host_wait(struct host *h, unsigned int qid)
{
	uint64_t end = host_now() + 5000000000u;

	while (!host_take(h, qid)) {
		if (host_now() > end || (h->c->st->csts & NVME_CSTS_CFS))
			return false;
		host_step(h);
	}
	host_ring(h, 2 * qid + 1, h->q[qid].head);
	return true;
}

#define HOST_NO_ANSWER 0xffffu

/* Submit and wait. Return: the status as NVME_SC_*, or HOST_NO_ANSWER. */
static inline uint16_t host_cmd(struct host *h, unsigned int qid, struct nvme_sqe sqe)
{
	uint16_t cid = host_submit(h, qid, sqe);

	if (!host_wait(h, qid))
		return HOST_NO_ANSWER;
	CHECK_EQ(le16_get(h->cqe.cid), cid);
	CHECK_EQ(le16_get(h->cqe.sqid), qid);
	return le16_get(h->cqe.status) >> 1;
}

static inline struct nvme_sqe host_sqe(uint8_t opcode, uint32_t nsid, uint64_t prp1, uint32_t cdw10,
				       uint32_t cdw11)
{
	return (struct nvme_sqe){ .opcode = opcode, .nsid = le32_of(nsid), .prp1 = le64_of(prp1),
				  .cdw10 = le32_of(cdw10), .cdw11 = le32_of(cdw11) };
}

static inline uint16_t host_create_cq(struct host *h, unsigned int qid, uint32_t qsize, uint64_t prp1,
				      uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_create_cq, 0, prp1, qid | qsize << 16, cdw11));
}

static inline uint16_t host_create_sq(struct host *h, unsigned int qid, uint32_t qsize, uint64_t prp1,
				      uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_create_sq, 0, prp1, qid | qsize << 16, cdw11));
}

/* An I/O queue pair without interrupts. */
static inline void host_queue(struct host *h, unsigned int qid, unsigned int sq, unsigned int cq)
{
	host_queue_init(h, qid, sq, cq);
	CHECK_EQ(host_create_cq(h, qid, cq - 1, h->q[qid].cq, 1), 0);
	CHECK_EQ(host_create_sq(h, qid, sq - 1, h->q[qid].sq, 1 | qid << 16), 0);
}

/* One block at @buf. */
static inline struct nvme_sqe host_rw(bool write, uint64_t lba, uint64_t buf)
{
	return host_sqe(write ? nvme_cmd_write : nvme_cmd_read, 1, buf, (uint32_t)lba, (uint32_t)(lba >> 32));
}

static inline struct nvme_sqe host_get_log(uint8_t lid, uint64_t buf, uint64_t off, uint32_t numd,
					   bool rae)
{
	struct nvme_sqe s = host_sqe(nvme_admin_get_log_page, NVME_NSID_ALL, buf,
				     lid | (rae ? 1u << 15 : 0) | numd << 16, numd >> 16);

	s.cdw12 = le32_of((uint32_t)off);
	s.cdw13 = le32_of((uint32_t)(off >> 32));
	/* Up to two pages; what is longer needs no buffer, it fails. */
	s.prp2 = le64_of(ALIGN_DOWN(buf, 4096) + 4096);
	return s;
}

static inline uint16_t host_set_feature(struct host *h, uint8_t fid, uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_set_features, 0, 0, fid, cdw11));
}

/* The value is in h->cqe.dw0. */
static inline uint16_t host_get_feature(struct host *h, uint8_t fid, unsigned int sel)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_get_features, 0, 0, fid | sel << 8, 0));
}

static inline uint32_t host_dw0(const struct host *h)
{
	return le32_get(h->cqe.dw0);
}

#endif
