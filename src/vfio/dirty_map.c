/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* A set of pages: a sorted array of bitmap chunks, of which most of an address space has none. */
#include <string.h>

#include "vfio/dirty.h"

#define CHUNK_PAGES (DIRTY_WORDS * 64u)

struct dirty_chunk {
	uint64_t index;			/* page number / CHUNK_PAGES */
	uint64_t bits[DIRTY_WORDS];
};

void dirty_map_init(struct dirty_map *m)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
}

static void clear_locked(struct dirty_map *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		free(m->chunk[i]);
	free(take_ptr(m->chunk));
	m->nr = m->cap = 0;
	m->overflow = false;
}

void dirty_map_clear(struct dirty_map *m)
{
	pthread_mutex_lock(&m->lock);
	clear_locked(m);
	pthread_mutex_unlock(&m->lock);
}

void dirty_map_release(struct dirty_map *m)
{
	clear_locked(m);
	pthread_mutex_destroy(&m->lock);
}

/* The first chunk at @index or after it: its place, or nr. */
static unsigned int chunk_at(const struct dirty_map *m, uint64_t index)
{
	unsigned int lo = 0, hi = m->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (m->chunk[mid]->index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct dirty_chunk *chunk_get(struct dirty_map *m, uint64_t index)
{
	unsigned int at = chunk_at(m, index);
	struct dirty_chunk *c;

	if (at < m->nr && m->chunk[at]->index == index)
		return m->chunk[at];
	if (m->nr == m->cap) {
		unsigned int cap = MAX(8u, m->cap * 2);
		struct dirty_chunk **p = realloc(m->chunk, cap * sizeof(struct dirty_chunk *));

		if (!p)
			return NULL;
		m->chunk = p;
		m->cap = cap;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->index = index;
	memmove(&m->chunk[at + 1], &m->chunk[at], (m->nr - at) * sizeof(struct dirty_chunk *));
	m->chunk[at] = c;
	m->nr++;
	return c;
}

static void set_bits(struct dirty_chunk *c, unsigned int first, unsigned int last)
{
	while (first <= last) {
		unsigned int n = MIN(last - first + 1, 64 - first % 64);
		uint64_t ones = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;

		c->bits[first / 64] |= ones << first % 64;
		first += n;
	}
}

void dirty_map_mark(struct dirty_map *m, uint64_t iova, uint64_t len)
{
	uint64_t end = iova + (len - 1), page, last;

	if (!len)
		return;
	if (end < iova)
		end = UINT64_MAX;
	page = iova >> DIRTY_SHIFT;
	last = end >> DIRTY_SHIFT;
	pthread_mutex_lock(&m->lock);
	while (page <= last) {
		struct dirty_chunk *c = chunk_get(m, page / CHUNK_PAGES);
		uint64_t to = MIN(last, page | (CHUNK_PAGES - 1));

		if (!c) {
			m->overflow = true;
			break;
		}
		set_bits(c, (unsigned int)(page % CHUNK_PAGES), (unsigned int)(to % CHUNK_PAGES));
		page = to + 1;
	}
	pthread_mutex_unlock(&m->lock);
}

/* Bits of word @w that lie in [@first, @last] of the chunk. */
static uint64_t word_mask(unsigned int w, unsigned int first, unsigned int last)
{
	uint64_t mask = UINT64_MAX;

	if (w == first / 64)
		mask &= UINT64_MAX << first % 64;
	if (w == last / 64 && last % 64 != 63)
		mask &= (UINT64_C(1) << (last % 64 + 1)) - 1;
	return mask;
}

static unsigned int take_chunk(struct dirty_chunk *c, unsigned int first, unsigned int last,
			       unsigned int *at, uint64_t *bits, bool clear)
{
	unsigned int w = first / 64, end = last / 64, n = 0, used = 0;

	while (w <= end && !(c->bits[w] & word_mask(w, first, last)))
		w++;
	*at = w;
	for (; w <= end; w++) {
		uint64_t mask = word_mask(w, first, last);

		bits[n++] = c->bits[w] & mask;
		if (c->bits[w] & mask)
			used = n;
		if (clear)
			c->bits[w] &= ~mask;
	}
	return used;
}

unsigned int dirty_map_take(struct dirty_map *m, uint64_t *page, uint64_t last, uint64_t *bits,
			    bool clear)
{
	unsigned int at, n = 0;

	pthread_mutex_lock(&m->lock);
	for (at = chunk_at(m, *page / CHUNK_PAGES); at < m->nr; at++) {
		struct dirty_chunk *c = m->chunk[at];
		uint64_t base = c->index * CHUNK_PAGES, lo = MAX(*page, base), hi;
		unsigned int w;

		if (base > last)
			break;
		hi = MIN(last, base + CHUNK_PAGES - 1);
		n = take_chunk(c, (unsigned int)(lo - base), (unsigned int)(hi - base), &w, bits,
			       clear);
		if (n) {
			*page = base + w * 64ull;
			break;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

void dirty_map_lose(struct dirty_map *m)
{
	pthread_mutex_lock(&m->lock);
	m->overflow = true;
	pthread_mutex_unlock(&m->lock);
}

bool dirty_map_overflown(struct dirty_map *m)
{
	bool over;

	pthread_mutex_lock(&m->lock);
	over = m->overflow;
	pthread_mutex_unlock(&m->lock);
	return over;
}
