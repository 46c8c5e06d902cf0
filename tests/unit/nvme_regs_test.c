/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The registers: reset values, read-only bits, every width and offset, and the polled page. */
#include "nvme_host.h"

#include <pthread.h>
#include <sys/mman.h>

static void test_regs__reset_values(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 7, .queues = 4, .mqes = 1024 };
	struct host h;
	uint64_t cap;

	host_open(&h, &cfg);
	cap = host_read(&h, NVME_REG_CAP, 8);
	CHECK_EQ(cap & 0xffff, 1023);
	CHECK_EQ(cap >> 16 & 1, 1);			/* CQR */
	CHECK(cap >> NVME_CAP_TO_SHIFT & 0xff);
	CHECK_EQ(cap >> NVME_CAP_DSTRD_SHIFT & 0xf, 0);
	CHECK_EQ(cap >> NVME_CAP_NSSRS_SHIFT & 1, 0);
	CHECK_EQ(cap >> NVME_CAP_CSS_SHIFT & 0xff, 1);
	CHECK_EQ(cap >> NVME_CAP_MPSMIN_SHIFT & 0xf, 0);
	CHECK_EQ(cap >> NVME_CAP_CRMS_SHIFT & 3, 1);
	CHECK_EQ(host_read(&h, NVME_REG_VS, 4), 0x20100);
	/* Linux warns if the ready timeout is below CAP.TO. */
	CHECK((host_read(&h, NVME_REG_CRTO, 4) & 0xffff) >= (cap >> NVME_CAP_TO_SHIFT & 0xff));
	for (uint64_t off = NVME_REG_INTMS; off < 0x2000; off += 4) {
		if (off != NVME_REG_CRTO)
			CHECK_EQ(host_read(&h, off, 4), 0);
	}
	host_close(&h);
}

static void test_regs__every_width(void)
{
	struct host h;
	uint64_t cap;

	host_open(&h, NULL);
	cap = host_read(&h, NVME_REG_CAP, 8);
	for (unsigned int i = 0; i < 8; i++)
		CHECK_EQ(host_read(&h, i, 1), cap >> 8 * i & 0xff);
	for (unsigned int i = 0; i < 8; i += 2)
		CHECK_EQ(host_read(&h, i, 2), cap >> 8 * i & 0xffff);
	CHECK_EQ(host_read(&h, 4, 4), cap >> 32);
	/* ASQ at once, ACQ by halves; the low 12 bits are not there. */
	host_write(&h, NVME_REG_ASQ, 8, 0x123456789abcdfffull);
	CHECK_EQ(host_read(&h, NVME_REG_ASQ, 8), 0x123456789abcd000ull);
	host_write(&h, NVME_REG_ACQ + 4, 4, 0xdeadbeef);
	host_write(&h, NVME_REG_ACQ, 4, 0xfeedffff);
	CHECK_EQ(host_read(&h, NVME_REG_ACQ, 8), 0xdeadbeeffeedf000ull);
	/* One and two bytes are dropped, so is what is not natural. */
	host_write(&h, NVME_REG_ASQ, 1, 0);
	host_write(&h, NVME_REG_ASQ + 4, 2, 0);
	host_write(&h, NVME_REG_ASQ + 2, 4, 0);
	host_write(&h, NVME_REG_ASQ + 1, 8, 0);
	CHECK_EQ(host_read(&h, NVME_REG_ASQ, 8), 0x123456789abcd000ull);
	host_close(&h);
}

static void test_regs__read_only_stays(void)
{
	static const uint64_t ro[] = { NVME_REG_CAP, NVME_REG_CAP + 4, NVME_REG_VS, NVME_REG_CSTS,
		NVME_REG_NSSR, NVME_REG_CMBLOC, NVME_REG_CMBSZ, NVME_REG_CRTO, NVME_REG_NSSD, 0xe00, 0xffc };
	struct host h;

	host_open(&h, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(ro); i++) {
		uint64_t was = host_read(&h, ro[i], 4);

		host_write(&h, ro[i], 4, 0xffffffff);
		CHECK_EQ(host_read(&h, ro[i], 4), was);
		host_write(&h, ro[i], 4, 0);
		CHECK_EQ(host_read(&h, ro[i], 4), was);
	}
	host_write(&h, NVME_REG_NSSR, 4, NVME_NSSR_MAGIC);
	CHECK_EQ(host_read(&h, NVME_REG_NSSR, 4), 0);
	host_write(&h, NVME_REG_AQA, 4, 0xffffffff);
	CHECK_EQ(host_read(&h, NVME_REG_AQA, 4), 0x0fff0fff);
	host_close(&h);
}

static void test_regs__interrupt_mask(void)
{
	struct host h;

	host_open(&h, NULL);
	host_write(&h, NVME_REG_INTMS, 4, 0x5);
	host_write(&h, NVME_REG_INTMS, 4, 0x2);
	CHECK_EQ(host_read(&h, NVME_REG_INTMS, 4), 7);
	CHECK_EQ(host_read(&h, NVME_REG_INTMC, 4), 7);
	host_write(&h, NVME_REG_INTMC, 4, 0x3);
	CHECK_EQ(host_read(&h, NVME_REG_INTMC, 4), 4);
	host_close(&h);
}

static void test_regs__pci_shape(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 64, .doorbells = NVME_DOORBELLS_MAPPED };
	struct host h;

	host_open(&h, &cfg);
	host_lock(&h);
	CHECK_EQ(pci_config_read(h.fn, 8, 4) >> 8, 0x010802);
	CHECK_EQ(pci_config_read(h.fn, 0x3d, 1), 1);
	host_unlock(&h);
	CHECK_EQ(h.fn->shape.bar[0].size, 0x4000);
	CHECK_EQ(h.fn->shape.msix_vectors, 65);
	CHECK_EQ(h.fn->shape.bar[0].nr_safe, 1);
	CHECK_EQ(h.fn->shape.bar[0].safe[0].off, 0x1000);
	CHECK_EQ(h.fn->shape.bar[0].safe[0].len, 0x1000);
	host_close(&h);
	host_open(&h, NULL);
	CHECK_EQ(h.fn->shape.bar[0].nr_safe, 0);
	host_close(&h);
}

/* ------------------------------------------------------------ the mapped BAR */

struct page {
	uint8_t *mem;
};

static void page_open(struct page *p, struct host *h)
{
	p->mem = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(p->mem != MAP_FAILED);
	memset(p->mem, 0xee, 0x4000);
	host_lock(h);
	pci_bar_share(h->fn, 0, p->mem);
	CHECK_EQ(pci_bar_map(h->fn, 0, 0, 0x2000), 0);
	host_unlock(h);
}

static void page_close(struct page *p, struct host *h)
{
	host_lock(h);
	pci_bar_unshare(h->fn);
	host_unlock(h);
	munmap(p->mem, 0x4000);
}

static volatile uint32_t *reg(struct page *p, uint64_t off)
{
	return (volatile uint32_t *)(void *)(p->mem + off);
}

/* Everything by plain memory, as a client that maps the registers does it. */
static void test_polled__init_and_read(void)
{
	struct page p;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	page_open(&p, &h);
	CHECK_EQ(*reg(&p, NVME_REG_CAP), (uint32_t)h.c->cap);
	CHECK_EQ(*reg(&p, NVME_REG_CAP + 4), h.c->cap >> 32);
	CHECK_EQ(*reg(&p, NVME_REG_VS), 0x20100);
	CHECK_EQ(*reg(&p, NVME_REG_CC), 0);
	CHECK_EQ(*reg(&p, 0x1000), 0);
	host_forget(&h);
	host_queue_init(&h, 0, 16, 16);
	*reg(&p, NVME_REG_AQA) = 15 | 15 << 16;
	*reg(&p, NVME_REG_ASQ) = (uint32_t)h.q[0].sq;
	*reg(&p, NVME_REG_ASQ + 4) = 0;
	*reg(&p, NVME_REG_ACQ) = (uint32_t)h.q[0].cq;
	*reg(&p, NVME_REG_CC) = HOST_CC;
	CHECK(HOST_UNTIL(&h, *reg(&p, NVME_REG_CSTS) == NVME_CSTS_RDY));
	CHECK(h.c->polled);

	buf = host_alloc(&h, 4096);
	for (unsigned int i = 0; i < 40; i++) {
		host_put(&h, 0, host_sqe(nvme_admin_identify, 0, buf, 1, 0));
		*reg(&p, 0x1000) = h.q[0].tail;
		CHECK(HOST_UNTIL(&h, host_take(&h, 0)));
		CHECK_EQ(le16_get(h.cqe.status) >> 1, 0);
		*reg(&p, 0x1004) = h.q[0].head;
	}
	/* A trapped store beside it shows in the page. */
	host_submit(&h, 0, host_sqe(nvme_admin_identify, 0, buf, 1, 0));
	CHECK_EQ(*reg(&p, 0x1000), h.q[0].tail);
	CHECK(host_wait(&h, 0));

	*reg(&p, NVME_REG_CC) = HOST_CC & ~NVME_CC_EN;
	CHECK(HOST_UNTIL(&h, *reg(&p, NVME_REG_CSTS) == 0));
	CHECK_EQ(*reg(&p, NVME_REG_ASQ), (uint32_t)h.q[0].sq);
	/* Once more, with the queues where they were. */
	host_queue_init(&h, 0, 16, 16);
	*reg(&p, NVME_REG_ASQ) = (uint32_t)h.q[0].sq;
	*reg(&p, NVME_REG_ACQ) = (uint32_t)h.q[0].cq;
	*reg(&p, NVME_REG_CC) = HOST_CC;
	CHECK(HOST_UNTIL(&h, *reg(&p, NVME_REG_CSTS) == NVME_CSTS_RDY));
	CHECK_EQ(*reg(&p, 0x1000), 0);
	page_close(&p, &h);
	CHECK(!h.c->polled);
	host_close(&h);
}

static void test_polled__read_only_is_restored(void)
{
	struct page p;
	struct host h;

	host_open(&h, NULL);
	page_open(&p, &h);
	for (uint64_t off = 0; off < 0x1000; off += 4)
		*reg(&p, off) = 0xa5a5a5a5 & ~NVME_CC_EN;
	for (unsigned int i = 0; i < 200; i++) {
		uint64_t end = host_now() + 200000;

		host_step(&h);
		while (host_now() < end)
			;
	}
	CHECK_EQ(*reg(&p, NVME_REG_CAP), (uint32_t)h.c->cap);
	CHECK_EQ(*reg(&p, NVME_REG_VS), 0x20100);
	CHECK_EQ(*reg(&p, NVME_REG_NSSR), 0);
	CHECK_EQ(*reg(&p, NVME_REG_AQA), 0x05a505a4);
	CHECK_EQ(*reg(&p, NVME_REG_CC), 0xa5a5a5a4 & 0x00fffff1);
	/* The shutdown that this CC asks for was done. */
	CHECK_EQ(*reg(&p, NVME_REG_CSTS), NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT);
	CHECK(HOST_UNTIL(&h, *reg(&p, 0xffc) == 0 && *reg(&p, 0x800) == 0));
	page_close(&p, &h);
	host_close(&h);
}

static void test_polled__interrupt_mask(void)
{
	struct page p;
	struct host h;

	host_open(&h, NULL);
	page_open(&p, &h);
	*reg(&p, NVME_REG_INTMS) = 3;
	CHECK(HOST_UNTIL(&h, h.c->st->intms == 3));
	*reg(&p, NVME_REG_INTMS) = 4;
	CHECK(HOST_UNTIL(&h, h.c->st->intms == 7 && *reg(&p, NVME_REG_INTMS) == 7));
	*reg(&p, NVME_REG_INTMC) = 7;
	CHECK(HOST_UNTIL(&h, h.c->st->intms == 0 && *reg(&p, NVME_REG_INTMS) == 0));
	*reg(&p, NVME_REG_INTMS) = 7;
	CHECK(HOST_UNTIL(&h, h.c->st->intms == 7));
	page_close(&p, &h);
	host_close(&h);
}

static void test_polled__reset_shows(void)
{
	struct page p;
	struct host h;

	host_open(&h, NULL);
	page_open(&p, &h);
	host_enable(&h);
	CHECK_EQ(*reg(&p, NVME_REG_CSTS), NVME_CSTS_RDY);
	CHECK_EQ(*reg(&p, NVME_REG_CC), HOST_CC);
	CHECK(host_reset(&h));
	CHECK_EQ(*reg(&p, NVME_REG_CSTS), 0);
	CHECK_EQ(*reg(&p, NVME_REG_CC), 0);
	CHECK_EQ(*reg(&p, NVME_REG_ASQ), 0);
	/* Fatal is seen too. */
	*reg(&p, NVME_REG_CC) = HOST_CC;
	CHECK(HOST_UNTIL(&h, *reg(&p, NVME_REG_CSTS) == NVME_CSTS_CFS));
	*reg(&p, NVME_REG_CC) = 0;
	CHECK(HOST_UNTIL(&h, *reg(&p, NVME_REG_CSTS) == 0));
	page_close(&p, &h);
	host_close(&h);
}

static void put(struct page *p, uint64_t off, uint32_t v)
{
	__atomic_store_n(reg(p, off), v, __ATOMIC_RELEASE);
}

/* A client on its own thread, up and down again and again, its queues elsewhere each time. */
static void *race_client(void *arg)
{
	struct { struct host *h; struct page *p; } *a = arg;
	struct host *h = a->h;
	struct page *p = a->p;

	for (unsigned int i = 0; i < 400; i++) {
		uint64_t end = host_now() + 3000000000u;
		uint64_t base = HOST_RAM_IOVA + (i % 64) * 0x4000;

		h->q[0] = (struct host_queue){ .sq = base, .cq = base + 0x1000, .sq_size = 16,
					       .cq_size = 16, .phase = true };
		memset(host_ptr(h, base), 0, 0x2000);
		put(p, NVME_REG_AQA, 15 | 15 << 16);
		put(p, NVME_REG_ASQ, (uint32_t)base);
		put(p, NVME_REG_ACQ, (uint32_t)base + 0x1000);
		put(p, NVME_REG_CC, HOST_CC);
		while (__atomic_load_n(reg(p, NVME_REG_CSTS), __ATOMIC_ACQUIRE) != NVME_CSTS_RDY) {
			if (host_now() > end)
				return NULL;
		}
		for (unsigned int k = 0; k < 3; k++) {
			host_put(h, 0, host_sqe(nvme_admin_identify, 0, base + 0x2000, 1, 0));
			put(p, 0x1000, h->q[0].tail);
			while (!host_take(h, 0)) {
				if (host_now() > end)
					return NULL;
			}
			put(p, 0x1004, h->q[0].head);
		}
		put(p, NVME_REG_CC, HOST_CC & ~NVME_CC_EN);
		while (__atomic_load_n(reg(p, NVME_REG_CSTS), __ATOMIC_ACQUIRE)) {
			if (host_now() > end)
				return NULL;
		}
	}
	return h;
}

static void test_polled__client_on_its_own_thread(void)
{
	struct page p;
	struct host h;
	struct { struct host *h; struct page *p; } a = { &h, &p };
	pthread_t t;
	void *ok = NULL;

	host_open(&h, NULL);
	page_open(&p, &h);
	CHECK_EQ(env_start(h.env, "worker"), 0);
	CHECK_EQ(pthread_create(&t, NULL, race_client, &a), 0);
	pthread_join(t, &ok);
	CHECK(ok);
	env_stop(h.env);
	CHECK_EQ(h.c->st->nr_events, 0);
	page_close(&p, &h);
	host_close(&h);
}

/* No timer for a controller that is down and has only its doorbells mapped. */
static void test_polled__modes(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 4, .doorbells = NVME_DOORBELLS_MAPPED };
	struct page p;
	struct host h;

	host_open(&h, &cfg);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_OFF);
	p.mem = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	host_lock(&h);
	pci_bar_share(h.fn, 0, p.mem);
	CHECK_EQ(pci_bar_map(h.fn, 0, 0x1000, 0x1000), 0);
	host_unlock(&h);
	CHECK(!h.c->polled && h.c->doorbells_mapped);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_OFF);
	host_enable(&h);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_TIMED);
	CHECK(host_disable(&h));
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_OFF);
	host_lock(&h);
	CHECK_EQ(pci_bar_map(h.fn, 0, 0, 0x1000), 0);
	host_unlock(&h);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_TIMED);
	page_close(&p, &h);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_OFF);
	host_enable(&h);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_OFF);
	host_close(&h);
}

int main(void)
{
	RUN(test_regs__reset_values);
	RUN(test_regs__every_width);
	RUN(test_regs__read_only_stays);
	RUN(test_regs__interrupt_mask);
	RUN(test_regs__pci_shape);
	RUN(test_polled__init_and_read);
	RUN(test_polled__read_only_is_restored);
	RUN(test_polled__interrupt_mask);
	RUN(test_polled__reset_shows);
	RUN(test_polled__client_on_its_own_thread);
	RUN(test_polled__modes);
	return tap_end();
}
