/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ19: a dirty map and reports of it into a client's bitmap, against a plain
 * array. Input: steps of an operation, a page, a number, a shift. Nothing that
 * was marked is missed; a report forgets exactly what it said.
 */
#include <string.h>

#include "vfio/dirty.h"

#define PAGES 65536u		/* around @base: two chunks of the map, and a hole */

static bool model[PAGES];
static uint8_t bitmap[PAGES / 8 + 16];
static int fail;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int copy_in(struct vfio_call *c, void *dst, uint64_t src, size_t len)
{
	must(src + len <= sizeof(bitmap));
	memcpy(dst, bitmap + src, len);
	return 0;
}

static int copy_out(struct vfio_call *c, uint64_t dst, const void *src, size_t len)
{
	if (fail && !--fail)
		return -EFAULT;
	must(dst + len <= sizeof(bitmap));
	memcpy(bitmap + dst, src, len);
	return 0;
}

static const struct vfio_call_ops ops = { .copy_in = copy_in, .copy_out = copy_out };

static void report(struct dirty_map *m, uint64_t base, uint32_t page, uint32_t n, uint8_t flags)
{
	struct vfio_call call = { .ops = &ops };
	struct dirty_bitmap b = { .iova = base + page * 4096ull, .length = (1 + n) * 4096ull,
				  .page_size = 4096ull << (flags & 3) };
	bool clear = !(flags & 16);
	uint64_t p, bit;
	int ret;

	if (flags & 32)
		b.iova += 100;
	if (page + n + 1 >= PAGES)
		return;
	if (dirty_report_check(&call, &b) < 0)
		return;
	fail = flags & 64 ? 1 + (flags >> 2 & 3) : 0;
	memset(bitmap, 0, sizeof(bitmap));
	ret = dirty_report_map(&call, &b, m, clear);
	fail = 0;
	if (ret < 0)
		return;		/* all of it must still be there: later reports see to that */
	for (p = page; p <= page + n + (b.iova % 4096 ? 1 : 0); p++) {
		uint64_t lo = MAX(base + p * 4096, b.iova);
		uint64_t hi = MIN(base + p * 4096 + 4095, b.iova + b.length - 1);

		for (bit = (lo - b.iova) / b.page_size; model[p] && bit <= (hi - b.iova) / b.page_size; bit++)
			must(bitmap[bit / 8] >> bit % 8 & 1);
		if (clear)
			model[p] = false;
	}
	if (!clear || (flags & 3) || (flags & 32))
		return;
	memset(bitmap, 0, sizeof(bitmap));
	must(!dirty_report_map(&call, &b, m, true));
	for (bit = 0; bit <= n; bit++)
		must(!(bitmap[bit / 8] >> bit % 8 & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t bases[] = { 0, 1ull << 27, (1ull << 27) - 4096 * 100, 1ull << 47,
					  UINT64_MAX - PAGES * 4096ull + 1 };
	struct dirty_map m;
	uint64_t base;
	uint32_t i;

	if (!size)
		return 0;
	base = bases[*data % 5];
	dirty_map_init(&m);
	memset(model, 0, sizeof(model));
	for (data++, size--; size >= 6; data += 6, size -= 6) {
		uint32_t page = data[1] | (uint32_t)data[2] << 8, n = data[3] | (uint32_t)(data[4] & 7) << 8;

		switch (data[0] % 4) {
		case 0:
		case 1:
			n = MIN(n, PAGES - 1 - page);
			dirty_map_mark(&m, base + page * 4096ull + data[5], n * 4096ull + 1);
			for (i = page; i <= page + n; i++)
				model[i] = true;
			break;
		case 2:
			report(&m, base, page, n, data[5]);
			break;
		default:
			if (data[5] == 7) {
				dirty_map_clear(&m);
				memset(model, 0, sizeof(model));
			}
		}
	}
	dirty_map_release(&m);
	return 0;
}
