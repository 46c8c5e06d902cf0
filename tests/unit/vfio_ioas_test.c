/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* An IOAS against an array of pages, on random maps, unmaps and copies; and how long many maps take. */
#include "vfio_client.h"

#include "vfio/internal.h"

#include <time.h>

#define PAGES 256u
#define BASE 0xfede0000ull		/* the reserved window lies in the middle */

static struct world w;

struct model {
	/* Per page: which mapping it belongs to (0: none), and where its memory is. */
	unsigned int id[PAGES];
	uint64_t at[PAGES];
	unsigned int perm[PAGES];
	unsigned int next;
};

static uint64_t iova_of(unsigned int page)
{
	return BASE + page * 4096ull;
}

static bool reserved(unsigned int page)
{
	return iova_of(page) >= 0xfee00000 && iova_of(page) < 0xfef00000;
}

static int model_map(struct model *m, unsigned int first, unsigned int n, const uint64_t *at,
		     unsigned int perm)
{
	unsigned int i;

	for (i = first; i < first + n; i++)
		if (m->id[i])
			return -EEXIST;
	for (i = first; i < first + n; i++)
		if (reserved(i))
			return -EINVAL;
	for (i = first; i < first + n; i++) {
		m->id[i] = m->next;
		m->at[i] = at[i - first];
		m->perm[i] = perm;
	}
	m->next++;
	return 0;
}

static bool model_cut(const struct model *m, unsigned int first, unsigned int n)
{
	unsigned int end = first + n;

	return (first && m->id[first] && m->id[first - 1] == m->id[first]) ||
	       (end < PAGES && m->id[end - 1] && m->id[end] == m->id[end - 1]);
}

static int model_unmap(struct model *m, unsigned int first, unsigned int n, uint64_t *removed)
{
	unsigned int i;

	*removed = 0;
	if (model_cut(m, first, n))
		return -ENOENT;
	for (i = first; i < first + n; i++) {
		*removed += m->id[i] ? 4096 : 0;
		m->id[i] = 0;
	}
	return *removed ? 0 : -ENOENT;
}

static uint32_t seed;

static unsigned int rnd(unsigned int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* What the function sees, page by page. */
static void compare(const struct model *m, struct test_fn *t)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		uint64_t mark = 0;
		void *p;
		bool good;

		env_strand_lock(&t->fn.strand);
		p = pci_dma_ptr(&t->fn, iova_of(i), 8, m->perm[i] & DMA_READ ? DMA_READ : DMA_WRITE);
		env_strand_unlock(&t->fn.strand);
		if (p)
			mark = (uint64_t)((uint8_t *)p - w.cl.ram);
		good = m->id[i] ? p && mark == m->at[i] : !p;
		if (!good) {
			printf("# page %u: id %u at 0x%llx, found %p\n", i, m->id[i],
			       (unsigned long long)m->at[i], p);
			tap_bad++;
		}
	}
}

static void step_map(struct model *m, struct opened *o)
{
	unsigned int n = 1 + rnd(8), first = rnd(PAGES - n), ram = rnd(512), i;
	uint64_t at[8];
	struct iommu_ioas_map c = {
		.size = sizeof(c), .ioas_id = o->ioas, .flags = 1 | (2 + 2 * rnd(3)),
		.iova = iova_of(first), .length = n * 4096ull,
		.user_va = (uintptr_t)w.cl.ram + ram * 4096ull,
	};
	unsigned int perm = (c.flags & IOMMU_IOAS_MAP_READABLE ? DMA_READ : 0) |
			    (c.flags & IOMMU_IOAS_MAP_WRITEABLE ? DMA_WRITE : 0);

	for (i = 0; i < n; i++)
		at[i] = (ram + i) * 4096ull;
	CHECK_EQ(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_MAP, &c), model_map(m, first, n, at, perm));
}

static void step_unmap(struct model *m, struct opened *o)
{
	unsigned int n = 1 + rnd(32), first = rnd(PAGES - n);
	struct iommu_ioas_unmap c = { .size = sizeof(c), .ioas_id = o->ioas, .iova = iova_of(first),
				      .length = n * 4096ull };
	uint64_t removed;
	int want = model_unmap(m, first, n, &removed);

	CHECK_EQ(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_UNMAP, &c), want);
	if (!want)
		CHECK_EQ(c.length, removed);
}

static int model_copy(struct model *m, unsigned int src, unsigned int dst, unsigned int n,
		      unsigned int perm)
{
	uint64_t at[8];
	unsigned int i, ids[8];
	int ret;

	for (i = 0; i < n; i++) {
		if (!m->id[src + i])
			return -ENOENT;
		at[i] = m->at[src + i];
		ids[i] = m->id[src + i];
	}
	for (i = 0; i < n; i++)
		if ((perm & DMA_WRITE) && !(m->perm[src + i] & DMA_WRITE))
			return -EPERM;
	ret = model_map(m, dst, n, at, perm);
	if (ret < 0)
		return ret;
	/* A copy of several mappings is several mappings. */
	for (i = 1; i < n; i++) {
		if (ids[i] != ids[i - 1])
			m->next++;
		m->id[dst + i] = m->next - 1;
	}
	m->next++;
	return 0;
}

static void step_copy(struct model *m, struct opened *o)
{
	unsigned int n = 1 + rnd(8), src = rnd(PAGES - n), dst = rnd(PAGES - n);
	struct iommu_ioas_copy c = {
		.size = sizeof(c), .flags = 1 | (2 + 2 * rnd(3)), .dst_ioas_id = o->ioas,
		.src_ioas_id = o->ioas, .length = n * 4096ull, .dst_iova = iova_of(dst),
		.src_iova = iova_of(src),
	};
	unsigned int perm = (c.flags & IOMMU_IOAS_MAP_READABLE ? DMA_READ : 0) |
			    (c.flags & IOMMU_IOAS_MAP_WRITEABLE ? DMA_WRITE : 0);

	CHECK_EQ(cl_ioctl(&w.cl, o->as, IOMMU_IOAS_COPY, &c), model_copy(m, src, dst, n, perm));
}

static void test_ioas__equals_an_array_of_pages(void)
{
	struct opened o;
	struct model m = { .next = 1 };
	unsigned int i;

	seed = (uint32_t)time(NULL);
	printf("# seed %u\n", seed);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	bus_master_on(&w, o.dev);
	for (i = 0; i < 20000 && !tap_bad; i++) {
		unsigned int what = rnd(10);

		if (what < 5)
			step_map(&m, &o);
		else if (what < 8)
			step_unmap(&m, &o);
		else
			step_copy(&m, &o);
		if (i % 16 == 0)
			compare(&m, &w.fn[0]);
	}
	opened_close(&w, &o);
	CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
}

static void test_ioas__anywhere_finds_holes(void)
{
	struct iommu_ioas_map c = { .size = sizeof(c), .flags = 6, .length = 0x10000 };
	struct iommu_ioas_unmap u = { .size = sizeof(u), .length = UINT64_MAX };
	struct iommu_iova_range r = { 0x100000, 0x11ffff };
	struct iommu_ioas_allow_iovas al = { .size = sizeof(al), .num_iovas = 1,
					     .allowed_iovas = (uintptr_t)&r };
	struct opened o;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	c.ioas_id = u.ioas_id = al.ioas_id = o.ioas;
	c.user_va = (uintptr_t)w.cl.ram;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP, &c), 0);
	CHECK_EQ(c.iova, 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP, &c), 0);
	CHECK_EQ(c.iova, 0x10000);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_ALLOW_IOVAS, &al), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP, &c), 0);
	CHECK_EQ(c.iova, 0x100000);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP, &c), 0);
	CHECK_EQ(c.iova, 0x110000);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_MAP, &c), -ENOSPC);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_UNMAP, &u), 0);
	CHECK_EQ(u.length, 0x40000);
	u.length = UINT64_MAX;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_UNMAP, &u), 0);
	CHECK_EQ(u.length, 0);
	opened_close(&w, &o);
}

/* Moving what lies above costs a sanitizer twenty times as much. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SOME 8192u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOME 8192u
#endif
#endif
#ifndef SOME
#define SOME 65535u
#endif

/* All maps that there may be, from below, from above and interleaved, with a function attached. */
static void test_ioas__takes_65535_maps_in_time(void)
{
	struct opened o;
	unsigned int order, i;

	for (order = 0; order < 3; order++) {
		struct timespec a, b;
		uint64_t removed;

		CHECK_EQ(open_group_path(&w, 0, VFIO_TYPE1v2_IOMMU, &o), 0);
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (i = 0; i < (order ? SOME : 65535u); i++) {
			unsigned int k = order == 0 ? i : order == 1 ? 65534 - i : (i * 40503u) & 0xffff;

			CHECK_EQ(map_type1(&w, o.as, 0x100000000ull + k * 8192ull, w.cl.ram, 4096), 0);
		}
		if (i == 65535)
			CHECK_EQ(map_type1(&w, o.as, 0x1000, w.cl.ram, 4096), -ENOSPC);
		CHECK_EQ(unmap_type1(&w, o.as, 0x100000000ull, 4096, &removed), 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		printf("# order %u: %.2f s\n", order, (double)(b.tv_sec - a.tv_sec) +
		       (double)(b.tv_nsec - a.tv_nsec) / 1e9);
		CHECK(b.tv_sec - a.tv_sec < 60);
		opened_close(&w, &o);
		CHECK_EQ(atomic_load(&w.cl.nr_mems), 0);
	}
}

static void test_ioas__a_new_attachment_replaces(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	struct vfio_attach_full at = { .argsz = sizeof(at) };
	struct iommu_destroy d = { .size = sizeof(d) };
	struct opened o;
	uint32_t first;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	bus_master_on(&w, o.dev);
	CHECK_EQ(map_ioas(&w, &o, 0x1000, w.cl.ram, 4096), 0);
	first = o.ioas;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_IOAS_ALLOC, &a), 0);
	o.ioas = at.pt_id = a.out_ioas_id;
	CHECK_EQ(map_ioas(&w, &o, 0x5000, w.cl.ram, 4096), 0);
	d.id = first;
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_DESTROY, &d), -EBUSY);
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), 0);
	env_strand_lock(&w.fn[0].fn.strand);
	CHECK(!pci_dma_ptr(&w.fn[0].fn, 0x1000, 8, DMA_READ));
	CHECK(pci_dma_ptr(&w.fn[0].fn, 0x5000, 8, DMA_READ));
	env_strand_unlock(&w.fn[0].fn.strand);
	CHECK_EQ(cl_ioctl(&w.cl, o.as, IOMMU_DESTROY, &d), 0);
	at.pt_id = first;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &at), -ENOENT);
	env_strand_lock(&w.fn[0].fn.strand);
	CHECK(pci_dma_ptr(&w.fn[0].fn, 0x5000, 8, DMA_READ));
	env_strand_unlock(&w.fn[0].fn.strand);
	opened_close(&w, &o);
}

int main(void)
{
	world_init(&w, false);
	RUN(test_ioas__equals_an_array_of_pages);
	RUN(test_ioas__anywhere_finds_holes);
	RUN(test_ioas__a_new_attachment_replaces);
	RUN(test_ioas__takes_65535_maps_in_time);
	world_release(&w);
	return tap_end();
}
