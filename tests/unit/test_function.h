/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A small PCI function for tests of whoever drives functions. BAR 0 (64 bits,
 * 16 KiB) has a few registers, an area that is safe to map, and MSI-X; BAR 2
 * is 4 KiB of the same registers.
 */
#ifndef TEST_FUNCTION_H
#define TEST_FUNCTION_H

#include <string.h>

#include <ferry/pci.h>

enum {
	TF_SCRATCH = 0x00,	/* 8 bytes, any width */
	TF_SRC = 0x08,
	TF_DST = 0x10,
	TF_LEN = 0x18,		/* at most 4096 */
	TF_COPY = 0x20,		/* write: copy; reads the outcome, 1: done, 2: failed */
	TF_RAISE = 0x28,	/* write: raise that vector */
	TF_INTX = 0x30,		/* write: level of the pin */
	TF_SAFE = 0x1000,
	TF_MSIX = 0x2000,
	TF_PBA = 0x3000,
	TF_BAR0_SIZE = 0x4000,
};

#define TF_VECTORS 8

struct test_fn {
	struct pci_function fn;
	uint64_t scratch, src, dst, len, outcome;
	struct dma_hold *hold;		/* an access in flight */
	bool slow_reset;		/* a reset waits for tf_finish() */
	bool reset_waits;
	bool refuse_map;
	unsigned int nr_resets, nr_mapped, nr_unmapped;
};

static inline struct test_fn *tf_of(struct pci_function *fn)
{
	return container_of(fn, struct test_fn, fn);
}

static inline uint64_t *tf_reg(struct test_fn *t, uint64_t off)
{
	switch (off & ~UINT64_C(7)) {
	case TF_SCRATCH:
		return &t->scratch;
	case TF_SRC:
		return &t->src;
	case TF_DST:
		return &t->dst;
	case TF_LEN:
		return &t->len;
	case TF_COPY:
		return &t->outcome;
	default:
		return NULL;
	}
}

static inline uint64_t tf_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off,
				   unsigned int len)
{
	uint64_t *reg = tf_reg(tf_of(fn), off), val = 0;

	if (reg)
		memcpy(&val, (uint8_t *)reg + (off & 7), len);
	return val;
}

static inline void tf_copy(struct test_fn *t)
{
	uint8_t buf[4096];
	size_t len = t->len > sizeof(buf) ? sizeof(buf) : t->len;

	t->outcome = pci_dma_read(&t->fn, t->src, buf, len) ||
		     pci_dma_write(&t->fn, t->dst, buf, len) ? 2 : 1;
}

static inline void tf_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off,
				unsigned int len, uint64_t val)
{
	struct test_fn *t = tf_of(fn);
	uint64_t *reg = tf_reg(t, off);

	if (off == TF_COPY)
		tf_copy(t);
	else if (off == TF_RAISE)
		pci_msix_raise(fn, (unsigned int)val);
	else if (off == TF_INTX)
		pci_intx_set(fn, val & 1);
	else if (reg)
		memcpy((uint8_t *)reg + (off & 7), &val, len);
}

/* The access in flight ends; so does a reset that waited for it. Strand held. */
static inline void tf_finish(struct test_fn *t)
{
	struct dma_hold *h = t->hold;

	t->hold = NULL;
	if (h)
		pci_dma_unhold(&t->fn, h);
	if (t->reset_waits) {
		t->reset_waits = false;
		pci_reset_done(&t->fn);
	}
}

static inline void tf_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	struct test_fn *t = tf_of(fn);

	t->nr_resets++;
	t->scratch = t->src = t->dst = t->len = t->outcome = 0;
	t->reset_waits = true;
	if (!t->slow_reset && !t->hold)
		tf_finish(t);
}

static inline int tf_bar_mapped(struct pci_function *fn, unsigned int bar, uint64_t off,
				uint64_t len)
{
	struct test_fn *t = tf_of(fn);

	if (t->refuse_map)
		return -EINVAL;
	t->nr_mapped++;
	return 0;
}

static inline void tf_bar_unmapped(struct pci_function *fn)
{
	tf_of(fn)->nr_unmapped++;
}

static const struct pci_model_ops tf_ops = {
	.name = "test",
	.bar_read = tf_bar_read,
	.bar_write = tf_bar_write,
	.reset = tf_reset,
	.bar_mapped = tf_bar_mapped,
	.bar_unmapped = tf_bar_unmapped,
};

static inline int tf_init(struct test_fn *t, struct ferry_env *env, uint8_t slot)
{
	memset(t, 0, sizeof(*t));
	t->fn.ops = &tf_ops;
	t->fn.bdf = (struct pci_bdf){ 0, 1, (uint8_t)(slot << 3) };
	t->fn.shape = (struct pci_shape){
		.vendor = 0x1b36, .device = 0x0005, .subsys_vendor = 0x1af4, .subsys_device = 0x1100,
		.revision = 1, .class_code = 0xff0000, .intx = true,
		.msix_vectors = TF_VECTORS, .msix_bar = 0, .msix_off = TF_MSIX,
		.pba_bar = 0, .pba_off = TF_PBA, .serial = 0x1122334455667788,
		.bar = {
			[0] = { .size = TF_BAR0_SIZE, .is_64 = true, .nr_safe = 1,
				.safe = { { TF_SAFE, 0x1000 } } },
			[2] = { .size = 0x1000 },
		},
	};
	return pci_function_init(&t->fn, env, NULL);
}

#endif
