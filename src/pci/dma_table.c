/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Immutable tables of what bus addresses lead to. */
#include <ferry/dma.h>

struct dma_table *dma_table_alloc(unsigned int nr)
{
	struct dma_table *t = calloc(1, sizeof(*t) + nr * sizeof(t->r[0]));

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	t->nr = nr;
	return t;
}

struct dma_table *dma_table_get(struct dma_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void dma_table_put(struct dma_table *t)
{
	unsigned int i;

	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (i = 0; i < t->nr; i++)
		if (t->r[i].mem)
			ferry_mem_put(t->r[i].mem);
	free(t);
}

const struct dma_range *dma_table_find(const struct dma_table *t, uint64_t iova)
{
	unsigned int lo = 0, hi = t->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (iova > t->r[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nr && iova >= t->r[lo].iova ? &t->r[lo] : NULL;
}
