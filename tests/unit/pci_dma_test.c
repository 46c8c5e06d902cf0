/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* DMA: look-ups and copies against an array of pages, holds and fences against sets of holds. */
#include "pci_fake.h"

#include <time.h>

static struct fake f;

/* ------------------------------------------------------------------- memory */

/* Client memory, mapped into us or not, that tells when it is released. */
struct test_mem {
	struct ferry_mem mem;
	uint8_t *bytes;
	bool released, gone;
};

static int far_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len)
{
	struct test_mem *t = container_of(m, struct test_mem, mem);

	if (t->gone)
		return -EFAULT;
	memcpy(buf, t->bytes + off, len);
	return 0;
}

static int far_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len)
{
	struct test_mem *t = container_of(m, struct test_mem, mem);

	memcpy(t->bytes + off, buf, t->gone ? len / 2 : len);
	return t->gone ? -EFAULT : 0;
}

static void test_mem_release(struct ferry_mem *m)
{
	container_of(m, struct test_mem, mem)->released = true;
}

static const struct ferry_mem_ops test_mem_ops = {
	.read = far_read,
	.write = far_write,
	.release = test_mem_release,
};

static void test_mem_init(struct test_mem *t, uint64_t size, bool near)
{
	*t = (struct test_mem){ .bytes = calloc(1, size) };
	t->mem.ops = &test_mem_ops;
	t->mem.size = size;
	t->mem.base = near ? t->bytes : NULL;
	atomic_init(&t->mem.refs, 1);
}

static void test_mem_fini(struct test_mem *t)
{
	ferry_mem_put(&t->mem);
	CHECK(t->released);
	free(t->bytes);
}

static struct dma_range range(struct test_mem *t, uint64_t iova, uint64_t len, uint64_t off,
			      unsigned int perm)
{
	return (struct dma_range){ .iova = iova, .last = iova + (len - 1), .off = off,
				   .mem = ferry_mem_get(&t->mem), .perm = perm };
}

static void set_one(struct test_mem *t, uint64_t iova, uint64_t len, unsigned int perm,
		    struct dma_fence *fence)
{
	struct dma_table *table = dma_table_alloc(1);

	table->r[0] = range(t, iova, len, 0, perm);
	pci_dma_set(&f.fn, table, fence);
	dma_table_put(table);
}

/* -------------------------------------------------------------------- tables */

static void test_table__find_like_scan(void)
{
	struct test_mem m;
	unsigned int i, round;

	test_mem_init(&m, 4096, true);
	for (round = 0; round < 200; round++) {
		unsigned int nr = rnd(40);
		struct dma_table *t = dma_table_alloc(nr);
		uint64_t at = rnd(3) * 4096;

		for (i = 0; i < nr; i++) {
			uint64_t len = 1 + rnd(3 * 4096);

			t->r[i] = range(&m, at, len, 0, DMA_READ);
			at += len + (rnd(2) ? rnd(5000) : 0);
		}
		if (nr && rnd(2))
			t->r[nr - 1].last = UINT64_MAX;
		for (i = 0; i < 500; i++) {
			uint64_t iova = rnd(10) ? rnd((uint32_t)at + 5000) : UINT64_MAX - rnd(2);
			const struct dma_range *want = NULL;
			unsigned int k;

			for (k = 0; k < nr; k++)
				if (iova >= t->r[k].iova && iova <= t->r[k].last)
					want = &t->r[k];
			CHECK(dma_table_find(t, iova) == want);
		}
		dma_table_get(t);
		dma_table_put(t);
		CHECK(!m.released);
		dma_table_put(t);
	}
	test_mem_fini(&m);
}

/* ---------------------------------------------------------------- page array */

#define PAGES 48
#define FIRST UINT64_C(0xffffff000)	/* crosses 64 GiB */
#define MEM_PAGES 32

struct page {
	struct test_mem *m;	/* NULL: not mapped */
	unsigned int at, perm;
} pages[PAGES];

static struct test_mem mems[3];
static uint8_t logged[PAGES * 4096];

static void log_bytes(struct dma_log *log, uint64_t iova, uint64_t len)
{
	(void)log;
	CHECK(iova >= FIRST && len <= sizeof(logged) - (iova - FIRST));
	memset(logged + (iova - FIRST), 1, len);
}

static bool pages_join(unsigned int i)
{
	return pages[i].m && pages[i].m == pages[i - 1].m && pages[i].perm == pages[i - 1].perm &&
	       pages[i].at == pages[i - 1].at + 1 && rnd(4);
}

static void remap_randomly(void)
{
	struct dma_table *t = dma_table_alloc(PAGES);
	unsigned int i;

	t->nr = 0;
	for (i = 0; i < PAGES; i++) {
		if (i && pages[i - 1].m && rnd(3) && pages[i - 1].at + 1 < MEM_PAGES)
			pages[i] = (struct page){ pages[i - 1].m, pages[i - 1].at + 1, pages[i - 1].perm };
		else
			pages[i] = (struct page){ rnd(5) ? &mems[rnd(3)] : NULL, rnd(MEM_PAGES), 1 + rnd(3) };
		if (i && pages_join(i))
			t->r[t->nr - 1].last += 4096;
		else if (pages[i].m)
			t->r[t->nr++] = range(pages[i].m, FIRST + i * 4096u, 4096,
					      pages[i].at * 4096u, pages[i].perm);
	}
	pci_dma_set(&f.fn, t, NULL);
	dma_table_put(t);
}

static uint8_t *naive_byte(uint64_t iova, unsigned int dir)
{
	struct page *p;

	if (iova < FIRST || iova - FIRST >= sizeof(logged))
		return NULL;
	p = &pages[(iova - FIRST) / 4096];
	if (!p->m || !(p->perm & dir))
		return NULL;
	return p->m->bytes + p->at * 4096u + iova % 4096;
}

static bool naive_allowed(uint64_t iova, uint64_t len, unsigned int dir)
{
	uint64_t i;

	for (i = 0; i < len; i = (iova + i + 4096) / 4096 * 4096 - iova)
		if (!naive_byte(iova + i, dir))
			return false;
	return true;
}

static void naive_read(uint64_t iova, uint8_t *buf, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		buf[i] = *naive_byte(iova + i, DMA_READ);
}

static void try_read(uint64_t iova, uint64_t len)
{
	static uint8_t got[3 * 4096], want[3 * 4096];
	bool ok = naive_allowed(iova, len, DMA_READ);
	uint64_t faults = f.fn.nr_dma_faults;

	CHECK(pci_dma_read(&f.fn, iova, got, len) == (ok ? 0 : -EFAULT));
	CHECK(f.fn.nr_dma_faults == faults + !ok);
	if (!ok)
		return;
	naive_read(iova, want, len);
	CHECK(!memcmp(got, want, len));
}

/* What the aliases of the written pages hold is decided by the last one: compare backwards. */
static void try_write(uint64_t iova, uint64_t len)
{
	static uint8_t buf[3 * 4096], before[3][MEM_PAGES * 4096];
	bool ok = naive_allowed(iova, len, DMA_WRITE);
	uint64_t i;
	unsigned int k;

	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)rnd(256);
	for (k = 0; k < 3; k++)
		memcpy(before[k], mems[k].bytes, sizeof(before[k]));
	memset(logged, 0, sizeof(logged));
	CHECK(pci_dma_write(&f.fn, iova, buf, len) == (ok ? 0 : -EFAULT));
	for (i = 0; i < len && naive_byte(iova + i, DMA_WRITE); i++) {
		uint8_t *p = naive_byte(iova + i, DMA_WRITE);

		for (k = 0; k < 3; k++)
			if (p >= mems[k].bytes && p < mems[k].bytes + MEM_PAGES * 4096)
				before[k][p - mems[k].bytes] = buf[i];
		CHECK(logged[iova + i - FIRST]);
	}
	/* All of the writable beginning was written and logged, and nothing else. */
	for (k = 0; k < 3; k++)
		CHECK(!memcmp(before[k], mems[k].bytes, sizeof(before[k])));
	for (i = 0; i < sizeof(logged); i++)
		CHECK(!logged[i] || (FIRST + i >= iova && FIRST + i < iova + len));
}

static bool naive_near(uint64_t iova, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		if (!pages[(iova + i - FIRST) / 4096].m->mem.base)
			return false;
	return true;
}

static void try_iov(uint64_t iova, uint64_t len)
{
	unsigned int dir = 1 + rnd(2), max = 1 + rnd(5), nr = 0, i;
	struct iovec iov[5], first;
	struct dma_hold *h = pci_dma_hold(&f.fn);
	static char elsewhere[8];
	uint64_t at = iova;
	int err;

	if (rnd(2)) {
		iov[0] = (struct iovec){ elsewhere, sizeof(elsewhere) };
		nr = 1;
	}
	first = iov[0];
	i = nr;
	err = pci_dma_iov(&f.fn, h, iova, len, dir, iov, max, &nr);
	if (err) {
		CHECK(nr == i && (!nr || !memcmp(&first, &iov[0], sizeof(first))));
		if (err == -EFAULT)
			CHECK(!naive_allowed(iova, len, dir));
		else if (err == -EOPNOTSUPP)
			CHECK(!naive_allowed(iova, len, dir) || !naive_near(iova, len));
		else
			CHECK(err == -E2BIG);
	} else {
		CHECK(nr <= max && naive_allowed(iova, len, dir));
		for (; i < nr; i++) {
			size_t k;

			CHECK(iov[i].iov_len);
			CHECK(i == 0 || (char *)iov[i - 1].iov_base + iov[i - 1].iov_len !=
				(char *)iov[i].iov_base);
			for (k = 0; k < iov[i].iov_len; k++)
				CHECK((uint8_t *)iov[i].iov_base + k == naive_byte(at++, dir));
		}
		CHECK(at == iova + len);
	}
	pci_dma_unhold(&f.fn, h);
}

static void try_ptr(uint64_t iova, uint64_t len)
{
	unsigned int dir = 1 + rnd(2);
	uint8_t *p = pci_dma_ptr(&f.fn, iova, len, dir), *want = NULL;

	if (len && len <= 4096 - iova % 4096 && naive_allowed(iova, len, dir) && naive_near(iova, 1))
		want = naive_byte(iova, dir);
	CHECK(p == want);
}

static void test_dma__like_page_array(void)
{
	struct dma_log log = { .written = log_bytes };
	unsigned int op, i;
	size_t k;

	fake_init(&f);
	fake_enable(&f);
	log_level_max = LOG_ERROR;
	list_add_tail(&f.fn.dma_logs, &log.link);
	for (i = 0; i < 3; i++) {
		test_mem_init(&mems[i], MEM_PAGES * 4096, i != 2);
		for (k = 0; k < MEM_PAGES * 4096; k++)
			mems[i].bytes[k] = (uint8_t)rnd(256);
	}
	for (op = 0; op < 100000 && tap_ok; op++) {
		uint64_t iova = FIRST - 4096 + rnd((PAGES + 2) * 4096);
		uint64_t len = rnd(4) ? rnd(600) : rnd(3 * 4096);

		if (op % 50 == 0)
			remap_randomly();
		switch (rnd(40)) {
		case 0:
			try_write(iova, len);
			break;
		case 1 ... 8:
			try_iov(iova, len);
			break;
		case 9 ... 16:
			try_ptr(iova, len);
			break;
		default:
			try_read(iova, len);
		}
	}
	pci_dma_set(&f.fn, NULL, NULL);
	for (i = 0; i < 3; i++)
		test_mem_fini(&mems[i]);
	log_level_max = LOG_INFO;
	fake_release(&f);
}

/* -------------------------------------------------------------------- edges */

static void test_dma__edges(void)
{
	struct test_mem m;
	struct iovec iov[1];
	unsigned int nr = 0;
	char buf[64];

	log_level_max = LOG_ERROR;
	fake_init(&f);
	test_mem_init(&m, 8192, true);
	set_one(&m, UINT64_MAX - 8191, 8192, DMA_READ | DMA_WRITE, NULL);

	CHECK(pci_dma_read(&f.fn, UINT64_MAX - 63, buf, 64) == -EFAULT);	/* bus master off */
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, UINT64_MAX - 63, 64, DMA_READ, iov, 1, &nr) == -EFAULT);
	CHECK(!pci_dma_ptr(&f.fn, UINT64_MAX - 63, 64, DMA_READ));
	fake_enable(&f);
	CHECK(pci_dma_read(&f.fn, UINT64_MAX - 63, buf, 64) == 0);		/* to the very end */
	CHECK(pci_dma_ptr(&f.fn, UINT64_MAX - 63, 64, DMA_READ) == m.bytes + 8192 - 64);
	CHECK(pci_dma_read(&f.fn, UINT64_MAX - 62, buf, 64) == -EFAULT);	/* wraps */
	CHECK(pci_dma_write(&f.fn, UINT64_MAX, buf, 2) == -EFAULT);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, UINT64_MAX - 62, 64, DMA_READ, iov, 1, &nr) == -EFAULT);
	CHECK(!pci_dma_ptr(&f.fn, UINT64_MAX, 2, DMA_READ));
	CHECK(f.fn.nr_dma_faults == 5);

	CHECK(pci_dma_read(&f.fn, 0x1000, NULL, 0) == 0);	/* nothing is always there */
	CHECK(pci_dma_write(&f.fn, 0x1000, NULL, 0) == 0);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, 0x1000, 0, DMA_READ, iov, 0, &nr) == 0 && nr == 0);
	CHECK(!pci_dma_ptr(&f.fn, UINT64_MAX - 63, 0, DMA_READ));
	CHECK(!pci_dma_ptr(&f.fn, UINT64_MAX - 4100, 8, DMA_READ));	/* two pages */
	CHECK(f.fn.nr_dma_faults == 5);

	pci_dma_set(&f.fn, NULL, NULL);
	CHECK(pci_dma_read(&f.fn, UINT64_MAX - 63, buf, 64) == -EFAULT);
	log_level_max = LOG_INFO;
	test_mem_fini(&m);
	fake_release(&f);
}

/* A list that grew into its last element before the fault is as it was. */
static void test_dma__iov_failure_leaves_no_trace(void)
{
	struct test_mem m;
	struct iovec iov[2];
	unsigned int nr = 0;

	log_level_max = LOG_ERROR;
	fake_init(&f);
	fake_enable(&f);
	test_mem_init(&m, 8192, true);
	set_one(&m, 0, 8192, DMA_READ, NULL);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, 0, 4096, DMA_READ, iov, 2, &nr) == 0);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, 4096, 4097, DMA_READ, iov, 2, &nr) == -EFAULT);
	CHECK(nr == 1 && iov[0].iov_len == 4096);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, 4096, 4096, DMA_READ, iov, 1, &nr) == 0);
	CHECK(nr == 1 && iov[0].iov_len == 8192);
	CHECK(pci_dma_iov(&f.fn, f.fn.dma, 0, 1, DMA_READ, iov, 1, &nr) == -E2BIG);
	CHECK(nr == 1 && iov[0].iov_len == 8192);
	pci_dma_set(&f.fn, NULL, NULL);
	log_level_max = LOG_INFO;
	test_mem_fini(&m);
	fake_release(&f);
}

static void test_dma__page_that_went_away(void)
{
	struct dma_log log = { .written = log_bytes };
	char buf[64] = { 0 };
	struct test_mem m;

	log_level_max = LOG_ERROR;
	fake_init(&f);
	fake_enable(&f);
	test_mem_init(&m, 4096, false);
	set_one(&m, FIRST, 4096, DMA_READ | DMA_WRITE, NULL);
	list_add_tail(&f.fn.dma_logs, &log.link);
	memset(logged, 0, sizeof(logged));
	m.gone = true;
	CHECK(pci_dma_read(&f.fn, FIRST, buf, 64) == -EFAULT);
	CHECK(pci_dma_write(&f.fn, FIRST, buf, 64) == -EFAULT);
	CHECK(logged[0] && logged[63] && !logged[64]);	/* half of it was written */
	CHECK(f.fn.nr_dma_faults == 2);
	pci_dma_set(&f.fn, NULL, NULL);
	log_level_max = LOG_INFO;
	test_mem_fini(&m);
	fake_release(&f);
}

/* Bus addresses that equal a BAR's lead nowhere: no register access comes of DMA. */
static void test_dma__own_bar_is_not_reached(void)
{
	struct test_mem m;
	uint64_t v;

	log_level_max = LOG_ERROR;
	fake_init(&f);
	test_mem_init(&m, 4096, true);
	set_one(&m, 0, 4096, DMA_READ | DMA_WRITE, NULL);
	pci_config_write(&f.fn, 0x10, 4, 0xfebf0000);
	fake_enable(&f);
	CHECK(pci_dma_read(&f.fn, 0xfebf0000, &v, 8) == -EFAULT);
	CHECK(pci_dma_write(&f.fn, 0xfebf0000 + FAKE_TABLE, &v, 8) == -EFAULT);
	CHECK(f.reads == 0 && f.writes == 0 && !f.fn.in_handler);
	pci_dma_set(&f.fn, NULL, NULL);
	log_level_max = LOG_INFO;
	test_mem_fini(&m);
	fake_release(&f);
}

/* --------------------------------------------------------- holds and fences */

#define HOLDS 24
#define FENCES 24

static struct model_hold {
	struct dma_hold *h;		/* NULL: free slot */
	unsigned int under;		/* which table was current */
} holds[HOLDS];

static struct model_fence {
	struct dma_fence fence;
	bool used, done;
	bool waits[HOLDS];		/* for these holds */
} fences[FENCES];

#define TABLES 4096
static struct test_mem table_mem[TABLES];
static unsigned int current;

static void fence_done(struct dma_fence *fence)
{
	struct model_fence *mf = container_of(fence, struct model_fence, fence);

	CHECK(!mf->done);
	mf->done = true;
}

static void change_table(struct model_fence *mf)
{
	unsigned int i, busy = 0;

	if (mf) {
		*mf = (struct model_fence){ .used = true };
		mf->fence.done = fence_done;
		for (i = 0; i < HOLDS; i++)
			busy += mf->waits[i] = holds[i].h != NULL;
	}
	current++;
	test_mem_init(&table_mem[current], 4096, true);
	set_one(&table_mem[current], 0, 4096, DMA_READ, mf ? &mf->fence : NULL);
	ferry_mem_put(&table_mem[current].mem);	/* the table has the only reference */
	if (mf) {
		CHECK(atomic_load(&mf->fence.pending) == (busy != 0));
		mf->used = busy;
	}
}

static void give_back(unsigned int i)
{
	struct dma_hold *h = take_ptr(holds[i].h);
	unsigned int k;

	for (k = 0; k < FENCES; k++)
		fences[k].waits[i] = false;
	pci_dma_unhold(&f.fn, h);
}

static void check_model(void)
{
	unsigned int i, k;

	for (k = 0; k < FENCES; k++) {
		bool waits = false;

		for (i = 0; i < HOLDS; i++)
			waits |= fences[k].waits[i];
		if (fences[k].used)
			CHECK(fences[k].done == !waits);
		if (fences[k].done)
			fences[k].used = fences[k].done = false;
	}
	/* Memory lives as long as its table is current or held, and no longer. */
	for (k = 1; k <= current; k++) {
		bool live = k == current;

		for (i = 0; i < HOLDS; i++)
			live |= holds[i].h && holds[i].under == k;
		CHECK(table_mem[k].released == !live);
	}
}

static void tables_fini(void)
{
	unsigned int k;

	for (k = 1; k <= current; k++) {
		CHECK(table_mem[k].released);
		free(table_mem[k].bytes);
	}
	current = 0;
}

static void test_fence__like_sets_of_holds(void)
{
	unsigned int op, i, k;

	fake_init(&f);
	fake_enable(&f);
	for (op = 0; op < 30000 && tap_ok && current < TABLES - 1; op++) {
		i = rnd(HOLDS);
		k = rnd(FENCES);
		if (rnd(8) == 0)
			change_table(fences[k].used || rnd(3) == 0 ? NULL : &fences[k]);
		else if (holds[i].h)
			give_back(i);
		else if (rnd(3) == 0 || op % 512 < 100)
			holds[i] = (struct model_hold){ pci_dma_hold(&f.fn), current };
		check_model();
	}
	for (i = 0; i < HOLDS; i++)
		if (holds[i].h)
			give_back(i);
	check_model();
	pci_dma_set(&f.fn, NULL, NULL);
	tables_fini();
	fake_release(&f);
}

static void test_fence__waits_for_holds_of_older_tables(void)
{
	struct dma_fence a = { .pending = 1 }, b = { .pending = 1 };	/* the owner's count */
	struct dma_hold *old, *new;

	fake_init(&f);
	old = pci_dma_hold(&f.fn);
	pci_dma_set(&f.fn, NULL, &a);
	pci_dma_set(&f.fn, NULL, &b);		/* nobody ever held the second table */
	CHECK(atomic_load(&a.pending) == 2 && atomic_load(&b.pending) == 2);
	new = pci_dma_hold(&f.fn);
	CHECK(new != old);
	pci_dma_unhold(&f.fn, old);
	CHECK(atomic_load(&a.pending) == 1 && atomic_load(&b.pending) == 1);
	pci_dma_unhold(&f.fn, new);
	CHECK(atomic_load(&a.pending) == 1 && atomic_load(&b.pending) == 1);
	fake_release(&f);
}

static void test_fence__untouched_when_nothing_is_in_flight(void)
{
	struct dma_fence fence = { .done = fence_done };

	fake_init(&f);
	pci_dma_unhold(&f.fn, pci_dma_hold(&f.fn));
	pci_dma_set(&f.fn, NULL, &fence);
	CHECK(atomic_load(&fence.pending) == 0);
	fake_release(&f);
}

static unsigned int changes_left;
static struct dma_hold *chain_hold;

static void fence_changes_again(struct dma_fence *fence)
{
	if (changes_left && changes_left--) {
		chain_hold = pci_dma_hold(&f.fn);
		pci_dma_set(&f.fn, NULL, fence);
	}
}

static void test_fence__owner_may_change_the_map_from_done(void)
{
	struct dma_fence fence = { .done = fence_changes_again };

	fake_init(&f);
	changes_left = 3;
	chain_hold = pci_dma_hold(&f.fn);
	pci_dma_set(&f.fn, NULL, &fence);
	while (changes_left)
		pci_dma_unhold(&f.fn, chain_hold);
	CHECK(atomic_load(&fence.pending) == 1);
	pci_dma_unhold(&f.fn, chain_hold);
	CHECK(atomic_load(&fence.pending) == 0);
	fake_release(&f);
}

static void test_hold__iov_under_an_older_table(void)
{
	struct test_mem m;
	struct dma_hold *h;
	struct iovec iov;
	unsigned int nr = 0;

	log_level_max = LOG_ERROR;
	fake_init(&f);
	fake_enable(&f);
	test_mem_init(&m, 4096, true);
	set_one(&m, 0x1000, 4096, DMA_READ, NULL);
	h = pci_dma_hold(&f.fn);
	pci_dma_set(&f.fn, NULL, NULL);
	CHECK(pci_dma_iov(&f.fn, h, 0x1000, 16, DMA_READ, &iov, 1, &nr) == 0);
	CHECK(nr == 1 && iov.iov_base == m.bytes);
	CHECK(pci_dma_read(&f.fn, 0x1000, &nr, 4) == -EFAULT);
	pci_dma_unhold(&f.fn, h);
	log_level_max = LOG_INFO;
	test_mem_fini(&m);
	fake_release(&f);
}

/* ------------------------------------------------------------------ threads */

/* Two functions under one map that changes: memory is freed when the fence says so. */
#define USERS 2
static struct fake user[USERS];
static atomic_bool stop;

struct waited_fence {
	struct dma_fence fence;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void wake_owner(struct dma_fence *fence)
{
	struct waited_fence *w = container_of(fence, struct waited_fence, fence);

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static struct dma_hold *touch(struct fake *u, struct iovec *iov)
{
	struct dma_hold *h;
	unsigned int nr = 0;

	env_strand_lock(&u->fn.strand);
	h = pci_dma_hold(&u->fn);
	if (pci_dma_iov(&u->fn, h, 64, 64, DMA_READ, iov, 1, &nr) < 0)
		iov->iov_len = 0;
	env_strand_unlock(&u->fn.strand);
	return h;
}

/* Several accesses in flight at a time, begun under different tables, ended in any order. */
static void *use_memory(void *arg)
{
	struct fake *u = arg;
	struct dma_hold *h[3] = { NULL };
	struct iovec iov[3];
	unsigned int i = 0, k;

	while (!atomic_load(&stop)) {
		i = (i + 1) % 3;
		if (h[i]) {
			for (k = 0; k < iov[i].iov_len; k++)
				if (((volatile char *)iov[i].iov_base)[k] != 'x')
					abort();
			env_strand_lock(&u->fn.strand);
			pci_dma_unhold(&u->fn, h[i]);
			env_strand_unlock(&u->fn.strand);
		}
		h[i] = touch(u, &iov[i]);
	}
	env_strand_lock(&u->fn.strand);
	for (i = 0; i < 3; i++)
		if (h[i])
			pci_dma_unhold(&u->fn, h[i]);
	env_strand_unlock(&u->fn.strand);
	return NULL;
}

static void map_everywhere(struct dma_table *t, struct dma_fence *fence)
{
	unsigned int i;

	for (i = 0; i < USERS; i++) {
		env_strand_lock(&user[i].fn.strand);
		pci_dma_set(&user[i].fn, t, fence);
		env_strand_unlock(&user[i].fn.strand);
	}
}

static void unmap_and_wait(void)
{
	struct waited_fence w = {
		.fence = { .pending = 1, .done = wake_owner },
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
	};

	map_everywhere(NULL, &w.fence);
	if (atomic_fetch_sub(&w.fence.pending, 1) == 1)
		return;
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
}

static void test_fence__memory_is_left_alone_afterwards(void)
{
	pthread_t thread[USERS];
	unsigned int i, round;

	atomic_store(&stop, false);
	for (i = 0; i < USERS; i++) {
		fake_init(&user[i]);
		fake_enable(&user[i]);
		env_strand_unlock(&user[i].fn.strand);
	}
	log_level_max = LOG_ERROR;
	for (i = 0; i < USERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, use_memory, &user[i]));
	for (round = 0; round < 2000; round++) {
		struct dma_table *t = dma_table_alloc(1);
		struct test_mem m;

		test_mem_init(&m, 4096, true);
		memset(m.bytes, 'x', 4096);
		t->r[0] = range(&m, 0, 4096, 0, DMA_READ);
		map_everywhere(t, NULL);
		dma_table_put(t);
		unmap_and_wait();
		memset(m.bytes, 'y', 4096);
		test_mem_fini(&m);
	}
	atomic_store(&stop, true);
	for (i = 0; i < USERS; i++)
		pthread_join(thread[i], NULL);
	log_level_max = LOG_INFO;
	for (i = 0; i < USERS; i++) {
		CHECK(pci_dma_hold(&user[i].fn) == user[i].fn.dma);
		pci_dma_unhold(&user[i].fn, user[i].fn.dma);
		pci_function_release(&user[i].fn);
	}
}

/* -------------------------------------------------------------------- speed */

static void test_dma__speed(void)
{
	enum { LOOPS = 2000000 };
	struct test_mem m;
	struct timespec a, b;
	unsigned int i;
	double ns;

	fake_init(&f);
	fake_enable(&f);
	test_mem_init(&m, 1 << 20, true);
	set_one(&m, 0x100000, 1 << 20, DMA_READ, NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < LOOPS; i++)
		CHECK(pci_dma_ptr(&f.fn, 0x100000 + (i * 64 & 0xfffff), 64, DMA_READ));
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / LOOPS;
	printf("# %.1f ns per look-up in the last range\n", ns);
	pci_dma_set(&f.fn, NULL, NULL);
	test_mem_fini(&m);
	fake_release(&f);
}

int main(void)
{
	rnd_seed();
	RUN(test_table__find_like_scan);
	RUN(test_dma__like_page_array);
	RUN(test_dma__edges);
	RUN(test_dma__iov_failure_leaves_no_trace);
	RUN(test_dma__page_that_went_away);
	RUN(test_dma__own_bar_is_not_reached);
	RUN(test_fence__like_sets_of_holds);
	RUN(test_fence__waits_for_holds_of_older_tables);
	RUN(test_fence__untouched_when_nothing_is_in_flight);
	RUN(test_fence__owner_may_change_the_map_from_done);
	RUN(test_hold__iov_under_an_older_table);
	RUN(test_fence__memory_is_left_alone_afterwards);
	RUN(test_dma__speed);
	return tap_end();
}
