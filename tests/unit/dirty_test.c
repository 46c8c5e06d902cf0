/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Dirty pages: features 6 to 8, a HWPT's log and type1's, against a plain array.
 * Every page that was written is reported; what is said again is not.
 */
#include "fake_lm.h"
#include "vfio/dirty.h"

#define PAGES 1024u		/* of IOVA, from 0 on; 4 MiB of RAM behind them */
#define MAP_BITS ((uint64_t *)(void *)(w.cl.ram + CL_RAM - 65536))

static struct world w;
static struct fake_lm lm;
static struct opened o;

/* ------------------------------------------------------------- features 6 to 8 */

static int64_t track_start(uint64_t page_size, uint32_t nr, const struct lm_range *r,
			   struct fl_feature *f)
{
	*f = (struct fl_feature){ .start = { .page_size = page_size, .num_ranges = nr,
					     .ranges = (uintptr_t)r } };
	return fl_feature(&w, o.dev, FL_SET | 6, f);
}

static int64_t track_stop(void)
{
	struct fl_feature f = { 0 };

	return fl_feature(&w, o.dev, FL_SET | 7, &f);
}

static int64_t track_report(uint64_t iova, uint64_t len, uint64_t page_size, void *bits)
{
	struct fl_feature f = { .report = { iova, len, page_size, (uintptr_t)bits } };

	return fl_feature(&w, o.dev, FL_GET | 8, &f);
}

static void test_track__arguments(void)
{
	static const struct { uint64_t page_size; struct lm_range r[2]; uint32_t nr; int ret; } rows[] = {
		{ 4096, { { 0 } }, 0, -EINVAL },
		{ 4096, { { 0 } }, 257, -E2BIG },
		{ 4096, { { 0 } }, UINT32_MAX, -E2BIG },
		{ 0, { { 0, 4096 } }, 1, -EINVAL },
		{ 4097, { { 0, 4096 } }, 1, -EINVAL },
		{ 4096, { { 1, 4096 } }, 1, -EINVAL },
		{ 4096, { { 0, 4095 } }, 1, -EINVAL },
		{ 4096, { { 0, 0 } }, 1, -EINVAL },
		{ 8192, { { 4096, 8192 } }, 1, -EINVAL },
		{ 4096, { { UINT64_MAX - 4095, 4096 } }, 1, -EOVERFLOW },
		{ 4096, { { 4096, UINT64_MAX - 4095 } }, 1, -EOVERFLOW },
		{ 4096, { { 0, 8192 }, { 4096, 4096 } }, 2, -EINVAL },
		{ 4096, { { 4096, 4096 }, { 0, 8192 } }, 2, -EINVAL },
		{ 4096, { { 4096, 4096 }, { 0, 4096 } }, 2, 0 },
		{ 1, { { 3, 5 } }, 1, 0 },
	};
	struct lm_range many[256];
	struct fl_feature f;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(track_start(rows[i].page_size, rows[i].nr, rows[i].r, &f), rows[i].ret);
		if (rows[i].ret)
			continue;
		CHECK_EQ(f.start.page_size, 4096);
		CHECK_EQ(track_start(4096, 1, rows[0].r, &f), -EINVAL);
		CHECK_EQ(track_stop(), 0);
	}
	for (i = 0; i < 256; i++)
		many[i] = (struct lm_range){ i * 8192ull, 4096 };
	CHECK_EQ(track_start(4096, 256, many, &f), 0);
	CHECK_EQ(track_stop(), 0);
	CHECK_EQ(track_stop(), 0);
	CHECK(track_start(4096, 1, NULL, &f) == -EFAULT);
	/* The granule is the controller's; if the client can't be told, it does not run. */
	lm.granule = 65536;
	CHECK_EQ(track_start(4096, 1, &rows[13].r[0], &f), 0);
	CHECK_EQ(f.start.page_size, 65536);
	CHECK_EQ(track_stop(), 0);
	w.cl.fail_copy_out = 1;
	CHECK_EQ(track_start(4096, 1, &rows[13].r[0], &f), -EFAULT);
	cl_step(&w.cl);
	CHECK_EQ(track_report(0, 4096, 4096, MAP_BITS), -EINVAL);
	lm.granule = 3;
	CHECK_EQ(track_start(4096, 1, &rows[13].r[0], &f), -EIO);
	lm.granule = 0;
	lm.track = false;
	CHECK_EQ(track_start(4096, 1, &rows[13].r[0], &f), 0);
	CHECK_EQ(track_report(0, 4096, 2048, MAP_BITS), -EINVAL);
	CHECK_EQ(track_report(0, 4096, 0, MAP_BITS), -EINVAL);
	CHECK_EQ(track_report(0, 4096, 12288, MAP_BITS), -EINVAL);
	CHECK_EQ(track_report(0, 0, 4096, MAP_BITS), -EINVAL);
	CHECK_EQ(track_report(UINT64_MAX - 4095, 8192, 4096, MAP_BITS), -EOVERFLOW);
	CHECK_EQ(track_report(UINT64_MAX - 4095, 4096, 4096, MAP_BITS), 0);
	CHECK_EQ(track_report(0, 4096, 4096, NULL), -EFAULT);
	CHECK_EQ(track_stop(), 0);
}

/* The naive side: which page_size bits must a report set? */
static bool model[PAGES];

static void model_take(uint64_t iova, uint64_t len, uint64_t page_size, uint64_t *want)
{
	uint64_t p;

	for (p = 0; p < PAGES; p++)
		if (model[p] && p * 4096 + 4095 >= iova && p * 4096 < iova + len) {
			uint64_t a = MAX(p * 4096, iova), b = MIN(p * 4096 + 4095, iova + len - 1), i;

			for (i = (a - iova) / page_size; i <= (b - iova) / page_size; i++)
				want[i / 64] |= UINT64_C(1) << i % 64;
			model[p] = false;
		}
}

static void test_track__random(void)
{
	static const struct lm_range all = { 0, PAGES * 4096ull };
	struct fl_feature f;
	unsigned int i, k;

	CHECK_EQ(track_start(4096, 1, &all, &f), 0);
	memset(model, 0, sizeof(model));
	for (i = 0; i < 3000; i++) {
		uint64_t page_size = 4096ull << fl_rnd(8), iova = fl_rnd(PAGES) * 4096ull;
		uint64_t len = (1 + fl_rnd(PAGES - (uint32_t)(iova / 4096))) * 4096ull;
		uint64_t want[PAGES / 64 + 1] = { 0 };

		if (fl_rnd(4) == 0)
			iova += fl_rnd(4096);
		for (k = fl_rnd(20); k; k--) {
			unsigned int p = fl_rnd(PAGES);

			model[p] = lm.dirty[p] = true;
		}
		memset(MAP_BITS, 0, sizeof(want));
		MAP_BITS[0] = want[0] = fl_rnd(3) ? 0 : 5;	/* bits that are set stay */
		if (fl_rnd(10) == 0) {
			w.cl.fail_copy_out = 1;
			if (track_report(iova, len, page_size, MAP_BITS) == 0)
				model_take(iova, len, page_size, want);
			else
				memcpy(want, MAP_BITS, sizeof(want));
			w.cl.fail_copy_out = 0;
		} else {
			model_take(iova, len, page_size, want);
			CHECK_EQ(track_report(iova, len, page_size, MAP_BITS), 0);
		}
		CHECK(!memcmp(want, MAP_BITS, sizeof(want)));
	}
	CHECK_EQ(track_stop(), 0);
}

static void test_track__what_is_lost_is_said(void)
{
	static const struct lm_range all = { 0, PAGES * 4096ull };
	struct fl_feature f;

	CHECK_EQ(track_start(4096, 1, &all, &f), 0);
	lm.fail_at = lm.fail_last = lm.nr_ops + 1;
	lm.fail_err = -EIO;
	CHECK_EQ(track_report(0, 4096, 4096, MAP_BITS), -EIO);
	CHECK_EQ(track_report(0, 4096, 4096, MAP_BITS), -EIO);	/* for good */
	lm.fail_at = 0;
	CHECK_EQ(track_stop(), 0);
	CHECK_EQ(track_start(4096, 1, &all, &f), 0);
	/* A reset of the function loses nothing. */
	lm.dirty[3] = true;
	fl_reset(&w, o.dev);
	MAP_BITS[0] = 0;
	CHECK_EQ(track_report(0, 64 * 4096, 4096, MAP_BITS), 0);
	CHECK_EQ(MAP_BITS[0], 8);
	/* The loss of the controller does. */
	fl_detach(&lm, &w);
	CHECK_EQ(track_report(0, 4096, 4096, MAP_BITS), -EIO);
	CHECK_EQ(track_stop(), 0);
	CHECK_EQ(track_report(0, 4096, 4096, MAP_BITS), -EINVAL);
	lm.track = false;
	vfio_host_lock(&w.host);
	CHECK_EQ(lm_register(&w.host.bus, &lm.lm), 0);
	vfio_host_unlock(&w.host);
	CHECK_EQ(track_start(4096, 1, &all, &f), 0);
	/* The close stops it. */
	opened_close(&w, &o);
	CHECK(!lm.track);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
}

/* ---------------------------------------------------------------- the IOAS' log */

static void device_write(int dev, uint64_t iova, uint64_t len)
{
	uint64_t p;

	reg_write(&w, dev, TF_SRC, 0);
	reg_write(&w, dev, TF_DST, iova);
	reg_write(&w, dev, TF_LEN, len);
	reg_write(&w, dev, TF_COPY, 1);
	CHECK_EQ(reg_read(&w, dev, TF_COPY), 1);
	for (p = iova / 4096; len && p <= (iova + len - 1) / 4096; p++)
		model[p] = true;
}

static int64_t hwpt_dirty(uint32_t id, bool on)
{
	struct iommu_hwpt_set_dirty_tracking s = { .size = sizeof(s), .flags = on, .hwpt_id = id };

	return cl_ioctl(&w.cl, o.as, IOMMU_HWPT_SET_DIRTY_TRACKING, &s);
}

static int64_t hwpt_get(uint32_t id, uint32_t flags, uint64_t iova, uint64_t len, uint64_t page_size)
{
	struct iommu_hwpt_get_dirty_bitmap g = {
		.size = sizeof(g), .hwpt_id = id, .flags = flags, .iova = iova, .length = len,
		.page_size = page_size, .data = (uintptr_t)MAP_BITS,
	};

	return cl_ioctl(&w.cl, o.as, IOMMU_HWPT_GET_DIRTY_BITMAP, &g);
}

static int64_t attach(uint32_t pt)
{
	struct vfio_attach_full a = { .argsz = sizeof(a), .pt_id = pt };

	return cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static void test_hwpt__log(void)
{
	struct iommu_hwpt_alloc h = { .size = sizeof(h), .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				      .dev_id = o.devid, .pt_id = o.ioas };
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = o.devid };
	const uint64_t all = PAGES * 4096ull - 65536;
	unsigned int i, k;

	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_GET_HW_INFO, &info), 0);
	CHECK_EQ(info.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_HWPT_ALLOC, &h), 0);
	CHECK_EQ(hwpt_dirty(o.hwpt, true), -EOPNOTSUPP);	/* the automatic one */
	CHECK_EQ(hwpt_get(o.hwpt, 0, 0, 4096, 4096), -EOPNOTSUPP);
	CHECK_EQ(hwpt_dirty(99, true), -ENOENT);
	CHECK_EQ(attach(h.out_hwpt_id), 0);
	CHECK_EQ(map_ioas(&w, &o, 0, w.cl.ram, all), 0);
	bus_master_on(&w, o.dev);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, 0, 4096, 4096), -EINVAL);	/* off */
	device_write(o.dev, 0x5000, 10);
	memset(model, 0, sizeof(model));
	CHECK_EQ(hwpt_dirty(h.out_hwpt_id, true), 0);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, 1, 4096, 4096), -EINVAL);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, 0, 4095, 4096), -EINVAL);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, 4096, 4096, 8192), -EINVAL);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, UINT64_MAX - 4095, 8192, 4096), -EOVERFLOW);
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 2, 0, 4096, 4096), -EOPNOTSUPP);
	for (i = 0; i < 1000; i++) {
		uint64_t page_size = 4096ull << fl_rnd(4);
		uint64_t iova = ALIGN_DOWN(fl_rnd(900) * 4096ull, page_size);
		uint64_t len = (1 + fl_rnd(16)) * page_size, want[PAGES / 64 + 1] = { 0 };
		bool keep = fl_rnd(4) == 0;
		bool was[PAGES];

		if (iova + len > all)
			continue;
		for (k = fl_rnd(4); k; k--)
			device_write(o.dev, fl_rnd((uint32_t)all - 4096), 1 + fl_rnd(4096));
		/* Elsewhere and back: nothing is lost. */
		if (fl_rnd(50) == 0) {
			CHECK_EQ(attach(o.ioas), 0);
			CHECK_EQ(attach(h.out_hwpt_id), 0);
		}
		memcpy(was, model, sizeof(was));
		model_take(iova, len, page_size, want);
		if (keep)
			memcpy(model, was, sizeof(was));
		memset(MAP_BITS, 0, sizeof(want));
		CHECK_EQ(hwpt_get(h.out_hwpt_id, keep, iova, len, page_size), 0);
		CHECK(!memcmp(want, MAP_BITS, sizeof(want)));
	}
	/* What the closed function wrote is still known; enabling again forgets it. */
	device_write(o.dev, 0x7000, 1);
	cl_close(&w.cl, o.dev);
	o.dev = 0;
	MAP_BITS[0] = 0;
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 1, 0x7000, 4096, 4096), 0);
	CHECK_EQ(MAP_BITS[0], 1);
	CHECK_EQ(hwpt_dirty(h.out_hwpt_id, true), 0);
	MAP_BITS[0] = 0;
	CHECK_EQ(hwpt_get(h.out_hwpt_id, 0, 0x7000, 4096, 4096), 0);
	CHECK_EQ(MAP_BITS[0], 0);
	CHECK_EQ(hwpt_dirty(h.out_hwpt_id, false), 0);
	opened_close(&w, &o);
}

static int64_t type1(int fd, uint32_t flags, uint64_t iova, uint64_t len)
{
	struct vfio_iommu_type1_dirty_bitmap_get g = {
		.iova = iova, .size = len,
		.bitmap = { .pgsize = 4096, .size = len / 4096 / 8 + 8, .data = (void *)MAP_BITS },
	};
	uint32_t buf[2 + sizeof(g) / 4] = { sizeof(buf), flags };

	memcpy(buf + 2, &g, sizeof(g));
	return cl_ioctl(&w.cl, fd, VFIO_IOMMU_DIRTY_PAGES, buf);
}

static void test_type1__log(void)
{
	uint64_t want[PAGES / 64 + 1];
	unsigned int i, k;

	CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
	CHECK_EQ(map_type1(&w, o.as, 0, w.cl.ram, 256 * 4096), 0);
	CHECK_EQ(map_type1(&w, o.as, 256 * 4096, w.cl.ram, 256 * 4096), 0);
	bus_master_on(&w, o.dev);
	CHECK_EQ(type1(o.as, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0), 0);
	memset(model, 0, sizeof(model));
	memset(model, 1, 512);		/* all that was mapped, once */
	for (i = 0; i < 300; i++) {
		bool upper = fl_rnd(2), both = fl_rnd(2);
		uint64_t iova = both || !upper ? 0 : 256 * 4096, len = (both ? 512 : 256) * 4096ull;

		for (k = fl_rnd(4); k; k--)
			device_write(o.dev, fl_rnd(511 * 4096), 1 + fl_rnd(4096));
		memset(want, 0, sizeof(want));
		memset(MAP_BITS, 0, sizeof(want));
		if (fl_rnd(20) == 0) {
			/* What could not be told may be told twice. */
			w.cl.fail_copy_out = 1;
			(void)type1(o.as, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, iova, len);
			if (!w.cl.fail_copy_out)
				memset(model + iova / 4096, 1, len / 4096);
			w.cl.fail_copy_out = 0;
			memset(MAP_BITS, 0, sizeof(want));
		}
		model_take(iova, len, 4096, want);
		CHECK_EQ(type1(o.as, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, iova, len), 0);
		CHECK(!memcmp(want, MAP_BITS, sizeof(want)));
		/* Mapped while tracked: all of it, once more. */
		if (fl_rnd(20) == 0) {
			uint64_t n;

			CHECK_EQ(unmap_type1(&w, o.as, 0, 256 * 4096, &n), 0);
			CHECK_EQ(map_type1(&w, o.as, 0, w.cl.ram, 256 * 4096), 0);
			memset(model, 1, 256);
		}
	}
	CHECK_EQ(type1(o.as, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0), 0);
	CHECK_EQ(type1(o.as, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, 0, 256 * 4096), -EINVAL);
	opened_close(&w, &o);
}

/* An unaligned bitmap, a huge and nearly empty address space, its last page. */
static void test_map__edges(void)
{
	struct dirty_map m;
	uint64_t bits[DIRTY_WORDS], page = 0;
	unsigned int n;

	dirty_map_init(&m);
	dirty_map_mark(&m, UINT64_MAX, 1);
	dirty_map_mark(&m, UINT64_MAX - 10, 4096);	/* wraps: up to the end */
	dirty_map_mark(&m, 0, 0);
	dirty_map_mark(&m, UINT64_C(1) << 40, (1 << 28) + 1);
	CHECK_EQ(m.nr, 4);
	n = dirty_map_take(&m, &page, UINT64_MAX >> 12, bits, true);
	CHECK_EQ(n, DIRTY_WORDS);
	CHECK_EQ(page, UINT64_C(1) << 28);
	page = (UINT64_C(1) << 28) + 65536;
	CHECK_EQ(dirty_map_take(&m, &page, page, bits, true), 1);
	CHECK_EQ(bits[0], 1);
	page = UINT64_MAX >> 12;
	CHECK_EQ(dirty_map_take(&m, &page, UINT64_MAX >> 12, bits, true), 1);
	CHECK_EQ(bits[0], UINT64_C(1) << 63);
	dirty_map_release(&m);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	fl_seed();
	world_init(&w, false);
	fl_attach(&lm, &w, 0);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	RUN(test_map__edges);
	RUN(test_track__arguments);
	RUN(test_track__random);
	RUN(test_track__what_is_lost_is_said);
	RUN(test_hwpt__log);
	RUN(test_type1__log);
	fl_detach(&lm, &w);
	world_release(&w);
	return tap_end();
}
