/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Map, unmap, copy, attach and detach on three IOASes of an iommufd, and on
 * every page what an attached function then sees: equal to arrays of pages.
 */
#include "../tests/unit/vfio_client.h"

#define PAGES 64u
#define AS 3u
#define BASE 0xfedf0000ull	/* 16 usable pages, then the reserved window */

static struct world w;

struct pages {
	unsigned int id[PAGES];
	unsigned int at[PAGES];
	uint32_t flags[PAGES];
};

static struct pages model[AS];
static uint32_t as_id[AS], next_id;

static uint64_t iova_of(unsigned int p)
{
	return p < 16 ? BASE + p * 4096ull : 0xfef00000ull + (p - 16) * 4096ull;
}

static void require(int64_t got, int64_t want, const char *what)
{
	if (got != want) {
		fprintf(stderr, "%s: %lld, not %lld\n", what, (long long)got, (long long)want);
		abort();
	}
}

/* Pages 15 and 16 do not touch: a range over both is not a range here. */
static unsigned int clip(unsigned int first, unsigned int n)
{
	unsigned int end = first < 16 ? 16 : PAGES;

	return MIN(n, end - first);
}

static int model_map(struct pages *m, unsigned int first, unsigned int n, const unsigned int *at,
		     uint32_t flags, const unsigned int *pieces)
{
	unsigned int i;

	if (!(flags & 6))
		return -EINVAL;
	for (i = first; i < first + n; i++)
		if (m->id[i])
			return -EEXIST;
	next_id++;
	for (i = 0; i < n; i++) {
		if (pieces && i && pieces[i] != pieces[i - 1])
			next_id++;
		m->id[first + i] = next_id;
		m->at[first + i] = at[i];
		m->flags[first + i] = flags;
	}
	return 0;
}

static bool cut_at(const struct pages *m, unsigned int p)
{
	return p && p < PAGES && m->id[p] && m->id[p] == m->id[p - 1];
}

static void op_map(struct opened *o, const uint8_t *b)
{
	unsigned int as = b[0] % AS, first = b[1] % PAGES, n = clip(first, 1u + b[2] % 8);
	unsigned int ram = b[3], at[8], i;
	struct iommu_ioas_map c = {
		.size = sizeof(c), .flags = 1u | (b[4] & 6u), .ioas_id = as_id[as],
		.user_va = (uintptr_t)w.cl.ram + ram * 4096ull, .length = n * 4096ull,
		.iova = iova_of(first),
	};

	for (i = 0; i < n; i++)
		at[i] = ram + i;
	require(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_MAP, &c),
		model_map(&model[as], first, n, at, c.flags, NULL), "map");
}

static void op_unmap(struct opened *o, const uint8_t *b)
{
	unsigned int as = b[0] % AS, first = b[1] % PAGES, n = clip(first, 1u + b[2] % 64), i;
	struct iommu_ioas_unmap c = { sizeof(c), as_id[as], iova_of(first), n * 4096ull };
	bool all = b[3] == 0xff;
	uint64_t gone = 0;
	int want;

	if (all) {
		c.iova = 0;
		c.length = UINT64_MAX;
		first = 0;
		n = PAGES;
	}
	for (i = first; i < first + n; i++)
		gone += model[as].id[i] ? 4096 : 0;
	want = !all && (!gone || cut_at(&model[as], first) || cut_at(&model[as], first + n)) ? -ENOENT : 0;
	for (i = first; !want && i < first + n; i++)
		model[as].id[i] = 0;
	require(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_UNMAP, &c), want, "unmap");
	if (!want)
		require((int64_t)c.length, (int64_t)gone, "bytes unmapped");
}

static void op_copy(struct opened *o, const uint8_t *b)
{
	unsigned int sa = b[0] % AS, da = b[1] % AS, src = b[2] % PAGES, dst = b[3] % PAGES;
	unsigned int n = clip(dst, clip(src, 1u + b[4] % 8)), i, at[8], ids[8];
	struct iommu_ioas_copy c = {
		.size = sizeof(c), .flags = 1u | (b[5] & 6u), .dst_ioas_id = as_id[da],
		.src_ioas_id = as_id[sa], .length = n * 4096ull, .dst_iova = iova_of(dst),
		.src_iova = iova_of(src),
	};
	int want = c.flags & 6 ? 0 : -EINVAL;

	for (i = 0; i < n; i++) {
		at[i] = model[sa].at[src + i];
		ids[i] = model[sa].id[src + i];
		if (!want && !ids[i])
			want = -ENOENT;
	}
	for (i = 0; i < n; i++)
		if (!want && (c.flags & 2) && !(model[sa].flags[src + i] & 2))
			want = -EPERM;
	if (!want)
		want = model_map(&model[da], dst, n, at, c.flags, ids);
	require(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_COPY, &c), want, "copy");
}

static void compare(struct test_fn *t, int attached)
{
	unsigned int i, dir;

	env_strand_lock(&t->fn.strand);
	for (i = 0; i < PAGES; i++)
		for (dir = DMA_READ; dir <= DMA_WRITE; dir++) {
			const struct pages *m = attached < 0 ? NULL : &model[attached];
			uint32_t need = dir == DMA_READ ? 4 : 2;
			uint8_t *p = pci_dma_ptr(&t->fn, iova_of(i), 4096, dir);
			uint8_t *want = m && m->id[i] && (m->flags[i] & need)
				      ? w.cl.ram + m->at[i] * 4096u : NULL;

			require((intptr_t)p, (intptr_t)want, "page");
		}
	env_strand_unlock(&t->fn.strand);
}

static int op_attach(struct opened *o, const uint8_t *b)
{
	struct vfio_attach_full at = { .argsz = sizeof(at) };
	struct vfio_detach_full de = { .argsz = sizeof(de) };
	int as = b[0] % (AS + 1);

	if (as == AS) {
		require(cl_ioctl(&w.cl, o->dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &de), 0, "detach");
		return -1;
	}
	at.pt_id = as_id[as];
	require(cl_ioctl(&w.cl, o->dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0, "attach");
	return as;
}

/* Addresses beyond any: always refused. */
static void op_wild(struct opened *o, const uint8_t *b)
{
	struct iommu_ioas_map c = { .size = sizeof(c), .flags = b[0], .ioas_id = b[1] % 8u,
				    .user_va = (uintptr_t)w.cl.ram };

	memcpy(&c.iova, b, 8);
	memcpy(&c.length, b + 4, 8);
	c.iova |= UINT64_C(1) << 63;
	c.flags |= 1;
	if (cl_ioctl(&w.cl, o->as, IOMMU_IOAS_MAP, &c) == 0)
		require(0, -1, "a map beyond the address width");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct opened o;
	unsigned int i;
	int attached = 0;

	log_level_max = LOG_ERROR;
	memset(model, 0, sizeof(model));
	next_id = 0;
	world_init(&w, false);
	require(open_cdev_path(&w, 0, &o), 0, "open");
	bus_master_on(&w, o.dev);
	as_id[0] = o.ioas;
	for (i = 1; i < AS; i++) {
		struct iommu_ioas_alloc a = { .size = sizeof(a) };

		require(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_ALLOC, &a), 0, "alloc");
		as_id[i] = a.out_ioas_id;
	}
	for (i = 0; size >= 12 && i < 300; i++, data += 12, size -= 12) {
		switch (data[0] % 8) {
		case 0: case 1: case 2:
			op_map(&o, data + 1);
			break;
		case 3: case 4:
			op_unmap(&o, data + 1);
			break;
		case 5:
			op_copy(&o, data + 1);
			break;
		case 6:
			attached = op_attach(&o, data + 1);
			break;
		default:
			if (data[0] & 0x80)
				continue;
			op_wild(&o, data);
		}
		compare(&w.fn[0], attached);
	}
	world_release(&w);
	return 0;
}
