/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * For the tests and the fuzz target of src/pci: TAP, random numbers, a device
 * without any behaviour, and what the specification says of each byte of its
 * configuration space, written down a second time and in plain numbers.
 */
#ifndef PCI_FAKE_H
#define PCI_FAKE_H

#include <stdio.h>
#include <string.h>

#include <ferry/pci.h>

/* -------------------------------------------------------------- TAP, random */

static unsigned int tap_nr, tap_bad;
static bool tap_ok;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                          \
	} while (0)

#define RUN(test) tap_run(#test, test)

static inline void tap_run(const char *name, void (*test)(void))
{
	tap_ok = true;
	test();
	tap_bad += !tap_ok;
	printf("%s %u - %s\n", tap_ok ? "ok" : "not ok", ++tap_nr, name);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_nr);
	return tap_bad != 0;
}

static uint64_t rnd_state;

static inline void rnd_seed(void)
{
	const char *s = getenv("FERRY_SEED");

	rnd_state = s ? strtoull(s, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	rnd_state |= 1;
	printf("# FERRY_SEED=0x%llx\n", (unsigned long long)rnd_state);
}

static inline uint32_t rnd(uint32_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (uint32_t)((rnd_state >> 16) % below);
}

static inline struct ferry_env *fake_env(void)
{
	static struct ferry_env *env;

	if (!env && env_create(ENV_EPOLL, &env) < 0) {
		printf("1..0 # SKIP no env\n");
		exit(77);
	}
	return env;
}

/* ------------------------------------------------------------------- device */

#define FAKE_VECTORS 70		/* two words of PBA, the second not full */
#define FAKE_TABLE 0x2000
#define FAKE_PBA 0x3000

struct fake {
	struct pci_function fn;
	unsigned int reads, writes, resets, config_changes, mapped, unmapped;
	uint64_t last_val;
	enum pci_reset_kind last_kind;
	bool reset_later, reenter, refuse_map;
	unsigned int irqs[FAKE_VECTORS], intx;
};

static inline struct fake *fake_of(struct pci_function *fn)
{
	return container_of(fn, struct fake, fn);
}

static inline uint64_t fake_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off,
				     unsigned int len)
{
	struct fake *f = fake_of(fn);

	f->reads++;
	(void)len;
	if (f->reenter) {
		pci_bar_write(fn, bar, off, 4, 1);
		return pci_bar_read(fn, bar, off, 4);
	}
	return 0x0123456789abcdefu;
}

static inline void fake_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off,
				  unsigned int len, uint64_t val)
{
	struct fake *f = fake_of(fn);

	(void)bar, (void)off, (void)len;
	f->writes++;
	f->last_val = val;
}

static inline void fake_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	struct fake *f = fake_of(fn);

	f->resets++;
	f->last_kind = kind;
	if (!f->reset_later)
		pci_reset_done(fn);
}

static inline void fake_config_changed(struct pci_function *fn)
{
	fake_of(fn)->config_changes++;
}

static inline int fake_bar_mapped(struct pci_function *fn, unsigned int bar, uint64_t off,
				  uint64_t len)
{
	(void)bar, (void)off, (void)len;
	if (fake_of(fn)->refuse_map)
		return -EINVAL;
	fake_of(fn)->mapped++;
	return 0;
}

static inline void fake_bar_unmapped(struct pci_function *fn)
{
	fake_of(fn)->unmapped++;
}

static const struct pci_model_ops fake_ops = {
	.name = "fake",
	.bar_read = fake_bar_read,
	.bar_write = fake_bar_write,
	.reset = fake_reset,
	.config_changed = fake_config_changed,
	.bar_mapped = fake_bar_mapped,
	.bar_unmapped = fake_bar_unmapped,
};

static const struct pci_shape fake_shape = {
	.vendor = 0x1b36, .device = 0x0010, .subsys_vendor = 0x1af4, .subsys_device = 0x1100,
	.revision = 2, .class_code = 0x010802, .intx = true,
	.msix_vectors = FAKE_VECTORS, .msix_off = FAKE_TABLE, .pba_off = FAKE_PBA,
	.serial = 0x1122334455667788u,
	.bar = {
		[0] = { .size = 0x4000, .is_64 = true, .safe = { { 0x1000, 0x1000 } }, .nr_safe = 1 },
		[2] = { .size = 0x10000, .prefetch = true },
		[4] = { .size = UINT64_C(1) << 36, .is_64 = true, .prefetch = true },
	},
};

static inline void fake_msix(void *arg, unsigned int v)
{
	((struct fake *)arg)->irqs[v]++;
}

static inline void fake_intx(void *arg, unsigned int v)
{
	(void)v;
	((struct fake *)arg)->intx++;
}

static inline void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->fn.ops = &fake_ops;
	f->fn.shape = fake_shape;
	f->fn.bdf = (struct pci_bdf){ .bus = 1 };
	if (pci_function_init(&f->fn, fake_env(), NULL) < 0)
		abort();
	f->fn.msix_irq = (struct pci_irq){ fake_msix, f };
	f->fn.intx_irq = (struct pci_irq){ fake_intx, f };
	env_strand_lock(&f->fn.strand);
}

static inline void fake_release(struct fake *f)
{
	env_strand_unlock(&f->fn.strand);
	pci_function_release(&f->fn);
}

static inline void fake_enable(struct fake *f)
{
	pci_config_write(&f->fn, 4, 2, 6);
}

/* --------------------------------------------------------------- capabilities */

/*
 * Offset of capability @id, 0: none, -1: the list loops or leaves its room;
 * @nr counts them. Extended: from 0x100 on, in dwords.
 */
static inline int naive_cap(struct pci_function *fn, unsigned int id, unsigned int *nr)
{
	unsigned int at = pci_config_read(fn, 0x34, 1), n = 0;
	int found = 0;

	*nr = 0;
	for (; at; at = pci_config_read(fn, (uint16_t)(at + 1), 1), n++) {
		if (n == 48 || at < 0x40 || (at & 3))
			return -1;
		if (pci_config_read(fn, (uint16_t)at, 1) == id && !found)
			found = (int)at;
	}
	*nr = n;
	return found;
}

static inline int naive_ecap(struct pci_function *fn, unsigned int id, unsigned int *nr)
{
	unsigned int at = 0x100, n = 0;
	int found = 0;

	*nr = 0;
	while (at) {
		uint32_t head = pci_config_read(fn, (uint16_t)at, 4);

		if (n++ == 960 || at < 0x100 || (at & 3))
			return -1;
		if ((head & 0xffff) == id && !found)
			found = (int)at;
		at = head >> 20;
	}
	*nr = n;
	return found;
}

/* ----------------------------------------------------- what a write may change */

struct naive_rules {
	uint8_t rw[PCI_CONFIG_SIZE], w1c[PCI_CONFIG_SIZE];
	uint8_t keep[PCI_CONFIG_SIZE];	/* what FLR leaves alone */
};

enum naive_kind { RW = 1, W1C = 2, STICKY = 4 };

static inline void naive_rule(struct naive_rules *r, unsigned int off, unsigned int len,
			      unsigned int kind, uint32_t bits)
{
	for (; len; len--, off++, bits >>= 8) {
		if (kind & RW)
			r->rw[off] |= (uint8_t)bits;
		if (kind & W1C)
			r->w1c[off] |= (uint8_t)bits;
		if (kind & STICKY)
			r->keep[off] |= (uint8_t)bits;
	}
}

/* For the fake's shape. Initiate FLR and the power state are not registers but requests. */
static inline void naive_rules_fill(struct naive_rules *r, struct pci_function *fn)
{
	unsigned int nr, exp = (unsigned int)naive_cap(fn, 0x10, &nr);
	unsigned int msix = (unsigned int)naive_cap(fn, 0x11, &nr);
	unsigned int aer = (unsigned int)naive_ecap(fn, 0x01, &nr);

	memset(r, 0, sizeof(*r));
	naive_rule(r, 0x04, 2, RW, 0x0546);
	naive_rule(r, 0x06, 2, W1C, 0xf900);
	naive_rule(r, 0x0c, 1, RW, 0xff);
	naive_rule(r, 0x10, 4, RW, 0xffffc000);		/* 16 KiB, 64 bits */
	naive_rule(r, 0x14, 4, RW, 0xffffffff);
	naive_rule(r, 0x18, 4, RW, 0xffff0000);		/* 64 KiB */
	naive_rule(r, 0x24, 4, RW, 0xfffffff0);		/* 64 GiB: the upper half */
	naive_rule(r, 0x3c, 1, RW, 0xff);
	naive_rule(r, msix + 2, 2, RW, 0xc000);
	naive_rule(r, exp + 0x08, 2, RW, 0x790f | 0xf0);
	naive_rule(r, exp + 0x08, 2, STICKY, 0x00e0);
	naive_rule(r, exp + 0x0a, 2, W1C, 0x000f);
	naive_rule(r, exp + 0x10, 2, RW | STICKY, 0x00cb);
	naive_rule(r, exp + 0x28, 2, RW, 0x001f);
	naive_rule(r, exp + 0x30, 2, RW | STICKY, 0x003f);
	naive_rule(r, aer + 0x04, 4, W1C | STICKY, 0x001ff010);
	naive_rule(r, aer + 0x08, 4, RW | STICKY, 0x001ff010);
	naive_rule(r, aer + 0x0c, 4, RW | STICKY, 0x001ff010);
	naive_rule(r, aer + 0x10, 4, W1C | STICKY, 0x000031c1);
	naive_rule(r, aer + 0x14, 4, RW | STICKY, 0x000031c1);
	naive_rule(r, aer + 0x18, 4, RW | STICKY, 0x00000140);
}

#endif
