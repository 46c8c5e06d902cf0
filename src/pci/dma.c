/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * DMA of a function: from bus addresses to client memory, and waiting for what
 * is in flight when the map changes.
 *
 * A function's tables follow each other as *generations* (struct dma_hold).
 * An asynchronous access holds the generation it began under. All generations
 * of a function that are still of interest form a ring, from the oldest to the
 * current one, fn->dma; so fn->dma->link.next is the oldest. An old generation
 * leaves the ring, and completes the fence of the change that ended it, when
 * it is the oldest and nobody holds it: a fence waits for every generation
 * before the change, not just for the last one, because a range that went away
 * just now may be in flight since long before.
 *
 * Only a generation that is held, or that carries a fence behind one that is,
 * stays: their number is bounded by accesses and unmaps in flight.
 *
 * Own BARs are in no table. DMA cannot come back as a register access.
 */
#include "pci/internal.h"

struct dma_hold {
	struct dma_table *table;	/* NULL: nothing mapped, or nobody can look any more */
	const struct dma_range *hit;	/* of the last look-up */
	unsigned int holds;
	struct dma_fence *fence;
	struct list link;
};

/* ------------------------------------------------------ generations and fences */

static struct dma_hold *generation_alloc(void)
{
	return calloc(1, sizeof(struct dma_hold));
}

/* A change of map cannot fail: without memory it takes the spare one. */
static struct dma_hold *generation_new(struct pci_function *fn)
{
	struct dma_hold *g = generation_alloc();

	if (!g)
		g = take_ptr(fn->dma_spare);
	else if (!fn->dma_spare)
		fn->dma_spare = generation_alloc();
	if (!g) {
		log_msg(LOG_ERROR, PCI_BDF_FMT ": no memory to change the DMA map",
			PCI_BDF_ARG(fn->bdf));
		abort();	/* to go on would leave unmapped memory in use */
	}
	list_init(&g->link);
	return g;
}

static void table_drop(struct dma_hold *g)
{
	g->hit = NULL;
	if (g->table)
		dma_table_put(take_ptr(g->table));
}

static void generation_free(struct pci_function *fn, struct dma_hold *g)
{
	table_drop(g);
	list_del(&g->link);
	if (fn->dma_spare) {
		free(g);
		return;
	}
	memset(g, 0, sizeof(*g));
	fn->dma_spare = g;
}

static void fence_complete(struct dma_fence *fence)
{
	if (atomic_fetch_sub(&fence->pending, 1) == 1)
		fence->done(fence);
}

static struct dma_hold *oldest(const struct pci_function *fn)
{
	return list_first(&fn->dma->link, struct dma_hold, link);
}

/* A fence's owner may change the map again: the ring is looked at afresh each time. */
static void retire(struct pci_function *fn)
{
	struct dma_hold *g;

	while ((g = oldest(fn)) != fn->dma && !g->holds) {
		struct dma_fence *fence = g->fence;

		generation_free(fn, g);
		if (fence)
			fence_complete(fence);
	}
}

int dma_init(struct pci_function *fn)
{
	fn->dma = generation_alloc();
	if (!fn->dma)
		return -ENOMEM;
	list_init(&fn->dma->link);
	return 0;
}

void dma_release(struct pci_function *fn)
{
	assert(!dma_busy(fn) && list_empty(&fn->dma->link));
	table_drop(fn->dma);
	free(take_ptr(fn->dma));
	free(take_ptr(fn->dma_spare));
}

bool dma_busy(const struct pci_function *fn)
{
	return fn->dma->holds || oldest(fn) != fn->dma;
}

void pci_dma_set(struct pci_function *fn, struct dma_table *t, struct dma_fence *fence)
{
	struct dma_hold *former = fn->dma;

	if (t)
		dma_table_get(t);
	if (!dma_busy(fn))
		fence = NULL;
	if (!former->holds) {
		table_drop(former);
		if (!fence) {
			former->table = t;
			return;
		}
	}
	if (fence) {
		atomic_fetch_add(&fence->pending, 1);
		former->fence = fence;
	}
	fn->dma = generation_new(fn);
	fn->dma->table = t;
	list_add(&former->link, &fn->dma->link);	/* the newest of all */
}

struct dma_hold *pci_dma_hold(struct pci_function *fn)
{
	fn->dma->holds++;
	return fn->dma;
}

void pci_dma_unhold(struct pci_function *fn, struct dma_hold *h)
{
	assert(h->holds);
	if (--h->holds || h == fn->dma)
		return;
	table_drop(h);
	retire(fn);
}

/* ----------------------------------------------------------------- look-ups */

static const struct dma_range *look_up(struct dma_hold *g, uint64_t iova)
{
	const struct dma_range *r = g->hit;

	if (__builtin_expect(r && iova - r->iova <= r->last - r->iova, 1))
		return r;
	if (!g->table)
		return NULL;
	r = dma_table_find(g->table, iova);
	if (r)
		g->hit = r;
	return r;
}

static int fault(struct pci_function *fn, uint64_t iova, uint64_t len, unsigned int dir,
		 const char *why)
{
	fn->nr_dma_faults++;
	log_limited(&fn->dma_faults, LOG_WARN, PCI_BDF_FMT ": DMA %s of %llu bytes at 0x%llx: %s",
		    PCI_BDF_ARG(fn->bdf), dir == DMA_WRITE ? "write" : "read",
		    (unsigned long long)len, (unsigned long long)iova, why);
	return -EFAULT;
}

/* May the function do it at all? @len is not zero. */
static int check(struct pci_function *fn, uint64_t iova, uint64_t len, unsigned int dir)
{
	if (__builtin_expect(!pci_bus_master(fn), 0))
		return fault(fn, iova, len, dir, "bus mastering is off");
	if (__builtin_expect(iova + (len - 1) < iova, 0))
		return fault(fn, iova, len, dir, "address wraps");
	return 0;
}

/* The range that begins a piece at @iova, and the bytes of @len that lie in it; NULL after a fault. */
static const struct dma_range *piece_at(struct pci_function *fn, struct dma_hold *g, uint64_t iova,
					uint64_t len, unsigned int dir, uint64_t *in)
{
	const struct dma_range *r = look_up(g, iova);

	if (!r) {
		fault(fn, iova, len, dir, "not mapped");
		return NULL;
	}
	if (!(r->perm & dir)) {
		fault(fn, iova, len, dir, "not permitted");
		return NULL;
	}
	*in = MIN(len - 1, r->last - iova) + 1;
	return r;
}

/* ------------------------------------------------------------------- copies */

int pci_dma_read(struct pci_function *fn, uint64_t iova, void *buf, size_t len)
{
	int err = len ? check(fn, iova, len, DMA_READ) : 0;
	char *to = buf;

	while (!err && len) {
		uint64_t n;
		const struct dma_range *r = piece_at(fn, fn->dma, iova, len, DMA_READ, &n);

		if (!r)
			return -EFAULT;
		if (mem_read(r->mem, r->off + (iova - r->iova), to, n) < 0)
			return fault(fn, iova, n, DMA_READ, "the page is gone");
		to += n;
		iova += n;
		len -= n;
	}
	return err;
}

/* A piece counts as written after the copy, even if that failed half-way. */
int pci_dma_write(struct pci_function *fn, uint64_t iova, const void *buf, size_t len)
{
	int err = len ? check(fn, iova, len, DMA_WRITE) : 0;
	const char *from = buf;

	while (!err && len) {
		uint64_t n;
		const struct dma_range *r = piece_at(fn, fn->dma, iova, len, DMA_WRITE, &n);

		if (!r)
			return -EFAULT;
		err = mem_write(r->mem, r->off + (iova - r->iova), from, n);
		pci_dma_written(fn, iova, n);
		if (err)
			return fault(fn, iova, n, DMA_WRITE, "the page is gone");
		from += n;
		iova += n;
		len -= n;
	}
	return err;
}

void pci_dma_written(struct pci_function *fn, uint64_t iova, uint64_t len)
{
	struct dma_log *log;

	if (!len)
		return;
	list_for_each(log, &fn->dma_logs, link)
		log->written(log, iova, len);
}

/* ------------------------------------------------------------------ iovecs */

static int iov_add(struct iovec *iov, unsigned int max, unsigned int *nr, char *p, uint64_t len)
{
	struct iovec *last = *nr ? &iov[*nr - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == p) {
		last->iov_len += len;
		return 0;
	}
	if (*nr >= max)
		return -E2BIG;
	iov[(*nr)++] = (struct iovec){ .iov_base = p, .iov_len = len };
	return 0;
}

/* On failure @iov and @nr are as they were. */
int pci_dma_iov(struct pci_function *fn, struct dma_hold *h, uint64_t iova, uint64_t len,
		unsigned int dir, struct iovec *iov, unsigned int max, unsigned int *nr)
{
	unsigned int was = *nr;
	size_t was_len = was ? iov[was - 1].iov_len : 0;
	int err = len ? check(fn, iova, len, dir) : 0;

	while (!err && len) {
		uint64_t n;
		const struct dma_range *r = piece_at(fn, h, iova, len, dir, &n);

		if (!r)
			err = -EFAULT;
		else if (!r->mem->base)
			err = -EOPNOTSUPP;
		else
			err = iov_add(iov, max, nr,
				      (char *)r->mem->base + r->off + (iova - r->iova), n);
		if (err)
			break;
		iova += n;
		len -= n;
	}
	if (err) {
		*nr = was;
		if (was)
			iov[was - 1].iov_len = was_len;
	}
	return err;
}

void *pci_dma_ptr(struct pci_function *fn, uint64_t iova, uint64_t len, unsigned int dir)
{
	const struct dma_range *r;

	if (!len || len > PCI_PAGE - iova % PCI_PAGE || !pci_bus_master(fn))
		return NULL;
	r = look_up(fn->dma, iova);
	if (!r || !(r->perm & dir) || !r->mem->base || len - 1 > r->last - iova)
		return NULL;
	return (char *)r->mem->base + r->off + (iova - r->iova);
}
