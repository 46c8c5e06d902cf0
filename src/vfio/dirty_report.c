/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Written pages, in a client's bitmap. Its bits are only ever set; each may
 * stand for more than a page, and need not begin where a page does. The
 * client's memory is read, ORed and written in pieces, where there is something.
 */
#include <string.h>

#include "vfio/dirty.h"

#define PIECE 4096u			/* bytes of bitmap */
#define PAGE (UINT64_C(1) << DIRTY_SHIFT)

int dirty_report_check(struct vfio_call *c, const struct dirty_bitmap *b)
{
	uint64_t last = b->iova + (b->length - 1), word;
	int ret;

	if (b->page_size < PAGE || (b->page_size & (b->page_size - 1)) || !b->length)
		return -EINVAL;
	if (last < b->iova)
		return -EOVERFLOW;
	/* It is said now, not when the first page is dirty. */
	ret = c->ops->copy_in(c, &word, b->data, 1);
	if (!ret)
		ret = c->ops->copy_in(c, &word, b->data + (b->length - 1) / b->page_size / 8, 1);
	return ret;
}

static void set_bits(uint8_t *buf, uint64_t first, uint64_t last)
{
	uint64_t i = first;

	while (i <= last && i % 8) {
		buf[i / 8] |= (uint8_t)(1u << (i % 8));
		i++;
	}
	if (i + 7 <= last) {
		uint64_t n = (last + 1 - i) / 8;

		memset(buf + i / 8, 0xff, n);
		i += n * 8;
	}
	for (; i <= last; i++)
		buf[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* Bits [@first, @last] of the bitmap at @data. */
static int or_bits(struct vfio_call *c, uint64_t data, uint64_t first, uint64_t last)
{
	uint8_t buf[PIECE];

	while (first <= last) {
		uint64_t base = ALIGN_DOWN(first, 8);
		uint64_t end = MIN(last, base + PIECE * 8 - 1);
		size_t bytes = (size_t)((end - base) / 8 + 1);
		int ret = c->ops->copy_in(c, buf, data + base / 8, bytes);

		if (ret < 0)
			return ret;
		set_bits(buf, first - base, end - base);
		ret = c->ops->copy_out(c, data + base / 8, buf, bytes);
		if (ret < 0)
			return ret;
		first = end + 1;
	}
	return 0;
}

int dirty_report_range(struct vfio_call *c, const struct dirty_bitmap *b, uint64_t first,
		       uint64_t last)
{
	uint64_t end = b->iova + (b->length - 1);

	first = MAX(first, b->iova);
	last = MIN(last, end);
	if (first > last)
		return 0;
	return or_bits(c, b->data, (first - b->iova) / b->page_size,
		       (last - b->iova) / b->page_size);
}

/* @words of page bits from @page on; pages that touch become one range. */
static int report_words(struct vfio_call *c, const struct dirty_bitmap *b, uint64_t page,
			const uint64_t *bits, unsigned int words)
{
	unsigned int n = words * 64, i = 0;

	while (i < n) {
		unsigned int from;
		int ret;

		if (!(bits[i / 64] >> i % 64)) {
			i = (i / 64 + 1) * 64;
			continue;
		}
		i += (unsigned int)__builtin_ctzll(bits[i / 64] >> i % 64);
		from = i;
		while (i < n && bits[i / 64] >> i % 64 & 1)
			i++;
		ret = dirty_report_range(c, b, (page + from) << DIRTY_SHIFT,
					 ((page + i - 1) << DIRTY_SHIFT) + (PAGE - 1));
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void put_words(struct dirty_map *m, uint64_t page, const uint64_t *bits, unsigned int words)
{
	unsigned int i;

	for (i = 0; i < words * 64; i++)
		if (bits[i / 64] >> i % 64 & 1)
			dirty_map_mark(m, (page + i) << DIRTY_SHIFT, 1);
}

static void put_back(struct dirty_map *m, struct dirty_map *told)
{
	uint64_t page = 0, bits[DIRTY_WORDS];
	unsigned int words;

	while ((words = dirty_map_take(told, &page, UINT64_MAX >> DIRTY_SHIFT, bits, true)))
		put_words(m, page, bits, words);
	if (dirty_map_overflown(told))
		dirty_map_lose(m);
}

int dirty_report_map(struct vfio_call *c, const struct dirty_bitmap *b, struct dirty_map *m,
		     bool clear)
{
	uint64_t page = b->iova >> DIRTY_SHIFT;
	uint64_t last = (b->iova + (b->length - 1)) >> DIRTY_SHIFT;
	uint64_t bits[DIRTY_WORDS];
	struct dirty_map told;		/* a report that fails has said nothing */
	unsigned int words;
	int ret = 0;

	dirty_map_init(&told);
	while (!ret && page <= last && (words = dirty_map_take(m, &page, last, bits, clear))) {
		if (clear)
			put_words(&told, page, bits, words);
		ret = report_words(c, b, page, bits, words);
		page += words * 64ull;
	}
	if (ret < 0 && clear)
		put_back(m, &told);
	dirty_map_release(&told);
	return ret;
}
