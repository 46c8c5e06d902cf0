/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * An I/O address space: which IOVA leads to which client memory, and the
 * functions (ports) that see it.
 *
 * Each port has a table of its own, which pci_dma_set() gave to its function.
 * It is changed in place, under the function's strand: a map of 65535 entries
 * made one by one would be quadratic in copies otherwise. Look-ups run under
 * the same strand, so they see it before or after. Growing makes a new table.
 *
 * A removed mapping's memory stays referenced until every port's accesses in
 * flight at that moment are over; the ioas_op of the call carries the
 * references and answers the call then.
 */
#include "vfio/internal.h"

/* The hole is where x86 has its interrupt window. */
const struct ioas_range ioas_usable[2] = {
	{ 0, 0xfedfffff },
	{ 0xfef00000, (UINT64_C(1) << 48) - 1 },
};

struct ioas *ioas_alloc(void)
{
	struct ioas *as = calloc(1, sizeof(*as));

	if (!as)
		return NULL;
	atomic_init(&as->refs, 1);
	pthread_mutex_init(&as->lock, NULL);
	list_init(&as->ports);
	return as;
}

struct ioas *ioas_get(struct ioas *as)
{
	atomic_fetch_add_explicit(&as->refs, 1, memory_order_relaxed);
	return as;
}

void ioas_put(struct ioas *as)
{
	unsigned int i;

	if (atomic_fetch_sub_explicit(&as->refs, 1, memory_order_acq_rel) != 1)
		return;
	assert(list_empty(&as->ports));
	for (i = 0; i < as->nr; i++)
		if (as->map[i].mem)
			ferry_mem_put(as->map[i].mem);
	pthread_mutex_destroy(&as->lock);
	free(as->map);
	free(as->allowed);
	free(as);
}

bool ioas_range_usable(uint64_t first, uint64_t last)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioas_usable); i++)
		if (first >= ioas_usable[i].first && last <= ioas_usable[i].last)
			return true;
	return false;
}

/* The first mapping that ends at @iova or after it: its place, or nr. */
static unsigned int map_at(const struct ioas *as, uint64_t iova)
{
	unsigned int lo = 0, hi = as->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (iova > as->map[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int check_locked(const struct ioas *as, uint64_t first, uint64_t last, unsigned int nr)
{
	unsigned int i = map_at(as, first);

	if (i < as->nr && as->map[i].iova <= last)
		return -EEXIST;
	if (as->nr + nr > IOAS_MAPS_MAX)
		return -ENOSPC;
	return ioas_range_usable(first, last) ? 0 : -EINVAL;
}

int ioas_map_check(struct ioas *as, uint64_t first, uint64_t last)
{
	int ret;

	pthread_mutex_lock(&as->lock);
	ret = check_locked(as, first, last, 1);
	pthread_mutex_unlock(&as->lock);
	return ret;
}

/* ------------------------------------------------------------------- tables */

static void table_slot(struct dma_table *t, unsigned int at, const struct ioas_map *m)
{
	t->r[at] = (struct dma_range){ .iova = m->iova, .last = m->last,
				       .mem = ferry_mem_get(m->mem), .off = m->off,
				       .perm = m->perm };
}

/* A table with everything that @as maps, and room for @more. Its nr is what is used. */
static struct dma_table *table_build(const struct ioas *as, unsigned int more, unsigned int *cap)
{
	unsigned int room = as->nr + MAX(MAX(16u, more), as->nr / 2), i;
	struct dma_table *t = dma_table_alloc(room);

	if (!t)
		return NULL;
	t->nr = 0;
	for (i = 0; i < as->nr; i++)
		if (as->map[i].mem)
			table_slot(t, t->nr++, &as->map[i]);
	*cap = room;
	return t;
}

static int port_reserve(const struct ioas *as, struct ioas_port *p, unsigned int more)
{
	struct dma_table *t, *old = p->table;
	unsigned int cap;

	if (p->cap - old->nr >= more)
		return 0;
	t = table_build(as, more, &cap);
	if (!t)
		return -ENOMEM;
	env_strand_lock(&p->fn->strand);
	pci_dma_set(p->fn, t, NULL);
	env_strand_unlock(&p->fn->strand);
	p->table = t;
	p->cap = cap;
	dma_table_put(old);
	return 0;
}

static unsigned int table_at(const struct dma_table *t, uint64_t iova)
{
	unsigned int lo = 0, hi = t->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (iova > t->r[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void port_insert(struct ioas_port *p, const struct ioas_map *m)
{
	struct dma_table *t = p->table;
	unsigned int at = table_at(t, m->iova);

	env_strand_lock(&p->fn->strand);
	memmove(&t->r[at + 1], &t->r[at], (t->nr - at) * sizeof(t->r[0]));
	table_slot(t, at, m);
	t->nr++;
	env_strand_unlock(&p->fn->strand);
}

/* Everything that touches [first, last] goes; the unmap's op keeps the memory. */
static void port_remove(struct ioas_port *p, uint64_t first, uint64_t last,
			struct dma_fence *fence)
{
	struct dma_table *t = p->table;
	unsigned int at = table_at(t, first), end = at, i, gone;

	while (end < t->nr && t->r[end].iova <= last)
		end++;
	gone = end - at;
	if (!gone)
		return;
	env_strand_lock(&p->fn->strand);
	for (i = at; i < end; i++)
		ferry_mem_put(t->r[i].mem);
	memmove(&t->r[at], &t->r[end], (t->nr - end) * sizeof(t->r[0]));
	t->nr -= gone;
	/* A remembered look-up may point here: nothing is ever mapped at the last byte. */
	for (i = 0; i < gone; i++)
		t->r[t->nr + i] = (struct dma_range){ .iova = UINT64_MAX, .last = UINT64_MAX };
	/* The same table again: what began before it is waited for, what was looked up is forgotten. */
	pci_dma_set(p->fn, t, fence);
	env_strand_unlock(&p->fn->strand);
}

/* -------------------------------------------------------------- map and unmap */

static int map_reserve(struct ioas *as, unsigned int more)
{
	struct ioas_port *p;

	if (as->cap - as->nr < more) {
		unsigned int cap = as->nr + MAX(MAX(16u, more), as->nr);
		struct ioas_map *m = realloc(as->map, cap * sizeof(*m));

		if (!m)
			return -ENOMEM;
		as->map = m;
		as->cap = cap;
	}
	list_for_each(p, &as->ports, link)
		if (port_reserve(as, p, more) < 0)
			return -ENOMEM;
	return 0;
}

static int map_locked(struct ioas *as, const struct ioas_map *m, unsigned int nr)
{
	unsigned int at = map_at(as, m->iova), i;
	struct ioas_port *p;
	int ret = check_locked(as, m->iova, m[nr - 1].last, nr);

	if (!ret)
		ret = map_reserve(as, nr);
	if (ret < 0)
		return ret;
	memmove(&as->map[at + nr], &as->map[at], (as->nr - at) * sizeof(as->map[0]));
	memcpy(&as->map[at], m, nr * sizeof(*m));
	for (i = 0; i < nr; i++)
		as->map[at + i].fresh = as->tracked;
	as->nr += nr;
	list_for_each(p, &as->ports, link)
		for (i = 0; i < nr; i++)
			if (m[i].mem)
				port_insert(p, &m[i]);
	return 0;
}

int ioas_map(struct ioas *as, const struct ioas_map *m, unsigned int nr)
{
	int ret;

	pthread_mutex_lock(&as->lock);
	ret = map_locked(as, m, nr);
	pthread_mutex_unlock(&as->lock);
	return ret;
}

/* The lowest aligned hole of @len in [@lo, @hi]. */
static bool hole_in(const struct ioas *as, uint64_t lo, uint64_t hi, uint64_t len, uint64_t align,
		    uint64_t *iova)
{
	unsigned int i = map_at(as, lo);
	uint64_t at = ALIGN_UP(lo, align);

	for (;; i++) {
		uint64_t end;

		if (at < lo || at > hi || hi - at < len - 1)
			return false;
		end = at + len - 1;
		if (i >= as->nr || as->map[i].iova > end) {
			*iova = at;
			return true;
		}
		if (as->map[i].last >= at)
			at = ALIGN_UP(as->map[i].last + 1, align);
	}
}

static bool hole_allowed(const struct ioas *as, const struct ioas_range *u, uint64_t len,
			 uint64_t align, uint64_t *iova)
{
	unsigned int i;

	if (!as->nr_allowed)
		return hole_in(as, u->first, u->last, len, align, iova);
	for (i = 0; i < as->nr_allowed; i++) {
		uint64_t lo = MAX(u->first, as->allowed[i].start);
		uint64_t hi = MIN(u->last, as->allowed[i].last);

		if (lo <= hi && hole_in(as, lo, hi, len, align, iova))
			return true;
	}
	return false;
}

static void shift(struct ioas_map *m, unsigned int nr, uint64_t iova)
{
	uint64_t by = iova - m->iova;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		m[i].iova += by;
		m[i].last += by;
	}
}

int ioas_map_anywhere(struct ioas *as, struct ioas_map *m, unsigned int nr)
{
	uint64_t align = VFIO_PAGE, len = m[nr - 1].last - m->iova + 1, iova;
	unsigned int i;
	int ret = -ENOSPC;

	/* Large memory at a large alignment, as far as that helps anybody. */
	while (align < len && align < (1u << 30))
		align *= 2;
	pthread_mutex_lock(&as->lock);
	for (; ret == -ENOSPC && align; align = align > VFIO_PAGE ? VFIO_PAGE : 0) {
		for (i = 0; ret == -ENOSPC && i < ARRAY_SIZE(ioas_usable); i++) {
			if (!hole_allowed(as, &ioas_usable[i], len, align, &iova))
				continue;
			shift(m, nr, iova);
			ret = map_locked(as, m, nr);
		}
	}
	pthread_mutex_unlock(&as->lock);
	return ret;
}

/* Which mappings [*at, *end) go by @rule; -EINVAL if one would be cut. */
static int unmap_select(const struct ioas *as, uint64_t first, uint64_t last,
			enum ioas_unmap_rule rule, unsigned int *at, unsigned int *end)
{
	*at = *end = map_at(as, first);
	while (*end < as->nr && as->map[*end].iova <= last)
		++*end;
	if (*at == *end)
		return 0;
	if (rule == IOAS_WHOLE)
		return as->map[*at].iova < first || as->map[*end - 1].last > last ? -EINVAL : 0;
	if (as->map[*at].iova < first)
		*end = *at;
	return 0;
}

int ioas_unmap(struct ioas *as, uint64_t first, uint64_t last, enum ioas_unmap_rule rule,
	       uint64_t *removed, struct ioas_op *op)
{
	unsigned int at, end, i;
	struct ioas_port *p;
	int ret;

	*removed = 0;
	pthread_mutex_lock(&as->lock);
	ret = unmap_select(as, first, last, rule, &at, &end);
	if (ret < 0 || at == end)
		goto out;
	op->mem = calloc(end - at, sizeof(struct ferry_mem *));
	if (!op->mem) {
		ret = -ENOMEM;
		goto out;
	}
	for (i = at; i < end; i++) {
		*removed += as->map[i].last - as->map[i].iova + 1;
		if (as->map[i].mem)
			op->mem[op->nr_mem++] = as->map[i].mem;
	}
	list_for_each(p, &as->ports, link)
		port_remove(p, as->map[at].iova, as->map[end - 1].last, &op->fence);
	memmove(&as->map[at], &as->map[end], (as->nr - end) * sizeof(as->map[0]));
	as->nr -= end - at;
out:
	pthread_mutex_unlock(&as->lock);
	return ret;
}

/* ------------------------------------------------------------------- queries */

int ioas_slice(struct ioas *as, uint64_t first, uint64_t last, unsigned int perm,
	       struct ioas_map **out, unsigned int *nr)
{
	unsigned int at, end, i;
	struct ioas_map *m = NULL;
	int ret = -ENOENT;

	pthread_mutex_lock(&as->lock);
	at = end = map_at(as, first);
	while (end < as->nr && as->map[end].iova <= last) {
		uint64_t from = end == at ? first : as->map[end - 1].last + 1;

		if (as->map[end].iova > from)
			goto out;
		end++;
	}
	if (at == end || as->map[end - 1].last < last)
		goto out;
	for (i = at; i < end; i++)
		if (perm & ~as->map[i].perm) {
			ret = -EPERM;
			goto out;
		}
	m = calloc(end - at, sizeof(*m));
	if (!m) {
		ret = -ENOMEM;
		goto out;
	}
	for (i = at; i < end; i++) {
		struct ioas_map *o = &m[i - at];

		*o = as->map[i];
		if (o->mem)
			ferry_mem_get(o->mem);
		if (o->iova < first) {
			o->off += first - o->iova;
			o->iova = first;
		}
		o->last = MIN(o->last, last);
	}
	*out = m;
	*nr = end - at;
	ret = 0;
out:
	pthread_mutex_unlock(&as->lock);
	return ret;
}

int ioas_mapped(struct ioas *as, uint64_t first, uint64_t last, struct ioas_range **out,
		unsigned int *nr, bool *cut)
{
	unsigned int at, end, i;
	struct ioas_range *r;

	*nr = 0;
	*cut = false;
	pthread_mutex_lock(&as->lock);
	at = end = map_at(as, first);
	while (end < as->nr && as->map[end].iova <= last)
		end++;
	r = calloc(end - at + 1, sizeof(*r));
	for (i = at; r && i < end; i++) {
		uint64_t lo = MAX(first, as->map[i].iova), hi = MIN(last, as->map[i].last);

		if (lo != as->map[i].iova || hi != as->map[i].last)
			*cut = true;
		if (*nr && r[*nr - 1].last + 1 == lo)
			r[*nr - 1].last = hi;
		else
			r[(*nr)++] = (struct ioas_range){ lo, hi };
	}
	pthread_mutex_unlock(&as->lock);
	*out = r;
	return r ? 0 : -ENOMEM;
}

void ioas_track(struct ioas *as, bool on)
{
	unsigned int i;

	pthread_mutex_lock(&as->lock);
	as->tracked = on;
	for (i = 0; i < as->nr; i++)
		as->map[i].fresh = on;
	pthread_mutex_unlock(&as->lock);
}

int ioas_fresh(struct ioas *as, uint64_t first, uint64_t last, struct ioas_range **out,
	       unsigned int *nr)
{
	unsigned int at, end, i;
	struct ioas_range *r;

	*nr = 0;
	pthread_mutex_lock(&as->lock);
	at = end = map_at(as, first);
	while (end < as->nr && as->map[end].iova <= last)
		end++;
	r = calloc(end - at + 1, sizeof(*r));
	for (i = at; r && i < end; i++) {
		if (!as->map[i].fresh)
			continue;
		as->map[i].fresh = false;
		r[(*nr)++] = (struct ioas_range){ as->map[i].iova, as->map[i].last };
	}
	pthread_mutex_unlock(&as->lock);
	*out = r;
	return r ? 0 : -ENOMEM;
}

void ioas_refresh(struct ioas *as, uint64_t first, uint64_t last)
{
	unsigned int i;

	pthread_mutex_lock(&as->lock);
	for (i = map_at(as, first); i < as->nr && as->map[i].iova <= last; i++)
		as->map[i].fresh = as->tracked;
	pthread_mutex_unlock(&as->lock);
}

unsigned int ioas_avail(struct ioas *as)
{
	unsigned int n;

	pthread_mutex_lock(&as->lock);
	n = IOAS_MAPS_MAX - as->nr;
	pthread_mutex_unlock(&as->lock);
	return n;
}

bool ioas_all_files(struct ioas *as)
{
	unsigned int i;
	bool all = true;

	pthread_mutex_lock(&as->lock);
	for (i = 0; i < as->nr && all; i++)
		all = as->map[i].from_file;
	pthread_mutex_unlock(&as->lock);
	return all;
}

/* Takes over @r. */
int ioas_allow(struct ioas *as, struct iommu_iova_range *r, unsigned int nr)
{
	pthread_mutex_lock(&as->lock);
	free(as->allowed);
	as->allowed = r;
	as->nr_allowed = nr;
	pthread_mutex_unlock(&as->lock);
	return 0;
}

/* --------------------------------------------------------------------- ports */

/* By address: the order of two IOAS locks. */
static void lock_two(struct ioas *a, struct ioas *b)
{
	if ((uintptr_t)a > (uintptr_t)b) {
		struct ioas *t = a;

		a = b;
		b = t;
	}
	if (a)
		pthread_mutex_lock(&a->lock);
	if (b != a)
		pthread_mutex_lock(&b->lock);
}

int ioas_port_move(struct ioas_port *p, struct ioas *to, struct dma_fence *fence)
{
	struct ioas *from = p->as;
	struct dma_table *t = NULL, *old = p->table;
	unsigned int cap = 0;

	if (from == to)
		return 0;
	lock_two(from, to);
	if (to)
		t = table_build(to, 0, &cap);
	if (to && !t) {
		pthread_mutex_unlock(&to->lock);
		if (from)
			pthread_mutex_unlock(&from->lock);
		return -ENOMEM;
	}
	env_strand_lock(&p->fn->strand);
	pci_dma_set(p->fn, t, fence);
	env_strand_unlock(&p->fn->strand);
	if (from)
		list_del(&p->link);
	p->table = t;
	p->cap = cap;
	p->as = to;
	if (to) {
		ioas_get(to);
		list_add_tail(&to->ports, &p->link);
		pthread_mutex_unlock(&to->lock);
	}
	if (from)
		pthread_mutex_unlock(&from->lock);
	if (old)
		dma_table_put(old);
	if (from)
		ioas_put(from);
	return 0;
}

/* --------------------------------------------------------------- operations */

static void op_free(struct ioas_op *op)
{
	unsigned int i;

	for (i = 0; i < op->nr_mem; i++)
		ferry_mem_put(op->mem[i]);
	free(op->mem);
	free(op);
}

static void op_done(struct dma_fence *f)
{
	struct ioas_op *op = container_of(f, struct ioas_op, fence);
	struct vfio_call *call = op->call;
	int64_t ret = op->ret;

	op_free(op);
	call->ops->complete(call, ret);
}

struct ioas_op *ioas_op_alloc(struct vfio_call *call)
{
	struct ioas_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	atomic_init(&op->fence.pending, 1);	/* ours, until ioas_op_end() */
	op->fence.done = op_done;
	op->call = call;
	return op;
}

int64_t ioas_op_end(struct ioas_op *op, int64_t ret)
{
	op->ret = ret;
	if (atomic_fetch_sub(&op->fence.pending, 1) != 1)
		return -EINPROGRESS;
	op_free(op);
	return ret;
}
