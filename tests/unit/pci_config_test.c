/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Configuration space, BARs, power, INTx and resets of one function. */
#include "pci_fake.h"

static struct fake f;
static struct naive_rules rules;

static void test_config__identity(void)
{
	fake_init(&f);
	CHECK(pci_config_read(&f.fn, 0, 4) == 0x00101b36);
	CHECK(pci_config_read(&f.fn, 8, 4) == 0x01080202);
	CHECK(pci_config_read(&f.fn, 0x2c, 4) == 0x11001af4);
	CHECK(pci_config_read(&f.fn, 6, 2) == 0x0010);
	CHECK(pci_config_read(&f.fn, 0x0e, 1) == 0);
	CHECK(pci_config_read(&f.fn, 0x3d, 1) == 1);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_dsn + 4), 4) == 0x55667788);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_dsn + 8), 4) == 0x11223344);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_msix + 2), 2) == FAKE_VECTORS - 1);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_msix + 4), 4) == FAKE_TABLE);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_msix + 8), 4) == FAKE_PBA);
	CHECK(pci_config_read(&f.fn, (uint16_t)(f.fn.cap_exp + 4), 4) & 1u << 28);
	fake_release(&f);
}

static void test_config__capability_lists(void)
{
	unsigned int nr;
	int off, last = 0;

	fake_init(&f);
	CHECK(naive_cap(&f.fn, 0x01, &nr) == f.fn.cap_pm && f.fn.cap_pm);
	CHECK(naive_cap(&f.fn, 0x11, &nr) == f.fn.cap_msix && f.fn.cap_msix);
	CHECK(naive_cap(&f.fn, 0x10, &nr) == f.fn.cap_exp && f.fn.cap_exp);
	CHECK(nr == 3);
	CHECK(naive_ecap(&f.fn, 0x01, &nr) == 0x100 && f.fn.cap_aer == 0x100);
	CHECK(naive_ecap(&f.fn, 0x03, &nr) == f.fn.cap_dsn && f.fn.cap_dsn);
	CHECK(nr == 2);

	while ((off = pci_add_cap(&f.fn, 0x09, 13)) > 0) {
		CHECK(off % 4 == 0 && off >= last && off + 13 <= 256);
		last = off + 16;
	}
	CHECK(off == -ENOSPC);
	CHECK(naive_cap(&f.fn, 0x09, &nr) > 0 && nr > 4);
	last = 0;
	while ((off = pci_add_ecap(&f.fn, 0x0b, 1, 0x41)) > 0) {
		CHECK(off % 4 == 0 && off >= last && off + 0x41 <= 4096);
		last = off + 0x44;
	}
	CHECK(off == -ENOSPC);
	CHECK(naive_ecap(&f.fn, 0x0b, &nr) > 0 && nr > 40);
	fake_release(&f);
}

static void test_config__added_capability_has_its_own_rules(void)
{
	uint32_t mask = 0x00ff00f0;
	uint16_t body;

	fake_init(&f);
	body = (uint16_t)(pci_add_ecap(&f.fn, 0x10, 1, 0x140) + 0x13c);
	memset(pci_config_raw(&f.fn, body), 0x5a, 4);
	pci_config_writable(&f.fn, body, &mask, 4);
	pci_config_write(&f.fn, body, 4, 0xffffffff);
	CHECK(pci_config_read(&f.fn, body, 4) == 0x5aff5afa);
	pci_reset(&f.fn, PCI_RESET_FLR, NULL);
	CHECK(pci_config_read(&f.fn, body, 4) == 0x5a5a5a5a);
	CHECK(pci_add_cap(&f.fn, 9, 4) == -ENOSPC);	/* too late */
	fake_release(&f);
}

/* Requests that a random write must not make. */
static uint8_t harmless(struct pci_function *fn, unsigned int off, uint8_t val)
{
	if (off == fn->cap_exp + 9u)
		return val & 0x7f;
	if (off == fn->cap_pm + 4u)
		return val & 0xfc;
	return val;
}

static void naive_write(uint8_t *image, unsigned int off, uint8_t val)
{
	image[off] = (uint8_t)((image[off] & ~rules.rw[off]) | (val & rules.rw[off]));
	image[off] &= (uint8_t)~(val & rules.w1c[off]);
}

static void test_config__every_byte(void)
{
	static const uint8_t vals[] = { 0xff, 0x00, 0xa5, 0x5a };
	uint8_t image[PCI_CONFIG_SIZE];
	unsigned int off, i;

	fake_init(&f);
	naive_rules_fill(&rules, &f.fn);
	memcpy(image, f.fn.state->config, sizeof(image));
	for (off = 0; off < PCI_CONFIG_SIZE; off++) {
		/* Status bits do not come by writing. */
		image[off] |= rules.w1c[off];
		*pci_config_raw(&f.fn, (uint16_t)off) = image[off];
		for (i = 0; i < ARRAY_SIZE(vals); i++) {
			uint8_t val = harmless(&f.fn, off, vals[i]);

			pci_config_write(&f.fn, (uint16_t)off, 1, val);
			naive_write(image, off, val);
			if (pci_config_read(&f.fn, (uint16_t)off, 1) != image[off]) {
				printf("# offset 0x%x\n", off);
				CHECK(false);
			}
		}
	}
	CHECK(!memcmp(image, f.fn.state->config, sizeof(image)));
	CHECK(f.resets == 0);
	fake_release(&f);
}

static void test_config__random_writes_like_naive_bytes(void)
{
	uint8_t image[PCI_CONFIG_SIZE];
	unsigned int n, i;

	fake_init(&f);
	naive_rules_fill(&rules, &f.fn);
	memcpy(image, f.fn.state->config, sizeof(image));
	for (n = 0; n < 100000 && tap_ok; n++) {
		unsigned int len = 1u << rnd(3);
		unsigned int off = rnd(n % 2 ? 0x180 : PCI_CONFIG_SIZE) & ~(len - 1);
		uint32_t val = 0, want = 0;

		for (i = 0; i < len; i++) {
			uint8_t byte = harmless(&f.fn, off + i, (uint8_t)rnd(256));

			if (rnd(8) == 0) {
				image[off + i] |= rules.w1c[off + i];
				*pci_config_raw(&f.fn, (uint16_t)(off + i)) = image[off + i];
			}
			naive_write(image, off + i, byte);
			val |= (uint32_t)byte << (8 * i);
			want |= (uint32_t)image[off + i] << (8 * i);
		}
		pci_config_write(&f.fn, (uint16_t)off, len, val);
		CHECK(pci_config_read(&f.fn, (uint16_t)off, len) == want);
	}
	CHECK(!memcmp(image, f.fn.state->config, sizeof(image)));
	fake_release(&f);
}

static void test_config__impossible_accesses(void)
{
	fake_init(&f);
	CHECK(pci_config_read(&f.fn, 1, 2) == 0xffff);
	CHECK(pci_config_read(&f.fn, 2, 4) == 0xffffffff);
	CHECK(pci_config_read(&f.fn, 0, 3) == 0xffffff);
	CHECK(pci_config_read(&f.fn, 0, 8) == 0xffffffff);
	CHECK(pci_config_read(&f.fn, 4096, 1) == 0xff);
	CHECK(pci_config_read(&f.fn, 0xfffc, 4) == 0xffffffff);
	pci_config_write(&f.fn, 5, 2, 0xffff);
	pci_config_write(&f.fn, 4, 3, 0xffff);
	pci_config_write(&f.fn, 4096, 4, 0xffff);
	pci_config_write(&f.fn, 0xfffc, 4, 0xffff);
	CHECK(pci_config_read(&f.fn, 4, 2) == 0);
	fake_release(&f);
}

static void test_bar__sizing(void)
{
	static const uint32_t ones[PCI_BARS] = {
		0xffffc004, 0xffffffff, 0xffff0008, 0, 0x0000000c, 0xfffffff0,
	};
	unsigned int i;

	fake_init(&f);
	for (i = 0; i < PCI_BARS; i++) {
		uint16_t off = (uint16_t)(0x10 + 4 * i);
		uint32_t was = pci_config_read(&f.fn, off, 4);

		CHECK((was & ~0xfu) == 0);
		pci_config_write(&f.fn, off, 4, 0xffffffff);
		CHECK(pci_config_read(&f.fn, off, 4) == ones[i]);
		pci_config_write(&f.fn, off, 4, 0);
		CHECK(pci_config_read(&f.fn, off, 4) == was);
	}
	pci_config_write(&f.fn, 0x30, 4, 0xffffffff);
	CHECK(pci_config_read(&f.fn, 0x30, 4) == 0);	/* no ROM */
	fake_release(&f);
}

static void test_bar__answers_only_while_decoding(void)
{
	uint16_t pmcsr;

	fake_init(&f);
	pmcsr = (uint16_t)(f.fn.cap_pm + 4);
	CHECK(pci_bar_read(&f.fn, 0, 0, 4) == 0xffffffff && f.reads == 0);
	fake_enable(&f);
	CHECK(pci_mem_enabled(&f.fn) && pci_bus_master(&f.fn));
	CHECK(pci_bar_read(&f.fn, 0, 0, 4) == 0x89abcdef);
	CHECK(pci_bar_read(&f.fn, 0, 8, 8) == 0x0123456789abcdefu);
	CHECK(pci_bar_read(&f.fn, 0, 1, 1) == 0xef);
	pci_bar_write(&f.fn, 0, 2, 2, 0x12345678);
	CHECK(f.writes == 1 && f.last_val == 0x5678);

	pci_config_write(&f.fn, pmcsr, 2, 3);
	CHECK(!pci_mem_enabled(&f.fn) && !pci_bus_master(&f.fn));
	CHECK(pci_bar_read(&f.fn, 0, 0, 8) == UINT64_MAX);
	pci_bar_write(&f.fn, 0, 0, 4, 0);
	pci_config_write(&f.fn, pmcsr, 2, 0);
	pci_config_write(&f.fn, 4, 2, 4);
	pci_bar_write(&f.fn, 0, 0, 4, 0);
	CHECK(f.writes == 1 && f.reads == 3);
	CHECK(f.config_changes == 4);
	fake_release(&f);
}

static void test_bar__impossible_accesses(void)
{
	static const struct { unsigned int bar; uint64_t off; unsigned int len; } bad[] = {
		{ 0, 1, 2 }, { 0, 2, 4 }, { 0, 4, 8 }, { 0, 0, 3 }, { 0, 0, 16 }, { 0, 0, 0 },
		{ 0, 0x4000, 4 }, { 0, UINT64_MAX, 1 }, { 0, UINT64_MAX - 7, 8 },
		{ 1, 0, 4 }, { 3, 0, 4 }, { 5, 0, 4 }, { 6, 0, 4 }, { 4000000000u, 0, 4 },
	};
	unsigned int i;

	fake_init(&f);
	fake_enable(&f);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned int len = bad[i].len;
		uint64_t ones = len >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * len)) - 1;

		CHECK(pci_bar_read(&f.fn, bad[i].bar, bad[i].off, len) == ones);
		pci_bar_write(&f.fn, bad[i].bar, bad[i].off, len, 0);
	}
	CHECK(f.reads == 0 && f.writes == 0);
	fake_release(&f);
}

static void test_bar__handler_is_not_reentered(void)
{
	fake_init(&f);
	fake_enable(&f);
	f.reenter = true;
	CHECK(pci_bar_read(&f.fn, 0, 0, 4) == 0xffffffff);
	CHECK(f.reads == 1 && f.writes == 0 && !f.fn.in_handler);
	f.reenter = false;
	CHECK(pci_bar_read(&f.fn, 0, 0, 4) == 0x89abcdef);
	fake_release(&f);
}

static void test_bar__share_map_unshare(void)
{
	static char mem[0x4000];

	fake_init(&f);
	CHECK(pci_bar_map(&f.fn, 0, 0, 0x1000) == -EINVAL);	/* nothing shared */
	pci_bar_share(&f.fn, 0, mem);
	CHECK(pci_bar_mem(&f.fn, 0) == mem && !pci_bar_mem(&f.fn, 2));
	pci_bar_unshare(&f.fn);
	CHECK(f.unmapped == 0 && !pci_bar_mem(&f.fn, 0));	/* never told */

	pci_bar_share(&f.fn, 0, mem);
	f.refuse_map = true;
	CHECK(pci_bar_map(&f.fn, 0, 0, 0x1000) == -EINVAL);
	f.refuse_map = false;
	CHECK(pci_bar_map(&f.fn, 0, 0x4000, 0x1000) == -EINVAL);
	CHECK(pci_bar_map(&f.fn, 0, 0x1000, UINT64_MAX) == -EINVAL);
	CHECK(pci_bar_map(&f.fn, 2, 0, 0x1000) == -EINVAL);
	CHECK(pci_bar_map(&f.fn, 6, 0, 0x1000) == -EINVAL);
	CHECK(f.mapped == 0);
	CHECK(!pci_bar_map(&f.fn, 0, 0, 0x1000) && !pci_bar_map(&f.fn, 0, 0x1000, 0x3000));
	CHECK(f.mapped == 2);
	pci_bar_unshare(&f.fn);
	pci_bar_unshare(&f.fn);
	CHECK(f.unmapped == 1);
	fake_release(&f);
}

static void test_power__states(void)
{
	uint16_t pmcsr;
	unsigned int i;

	fake_init(&f);
	pmcsr = (uint16_t)(f.fn.cap_pm + 4);
	fake_enable(&f);
	for (i = 1; i < 3; i++) {
		pci_config_write(&f.fn, pmcsr, 2, i);		/* D1, D2: not there */
		CHECK((pci_config_read(&f.fn, pmcsr, 2) & 3) == 0);
	}
	pci_config_write(&f.fn, pmcsr, 2, 0xff03);
	CHECK(pci_config_read(&f.fn, pmcsr, 2) == 0x000b);
	pci_config_write(&f.fn, pmcsr, 2, 2);
	CHECK((pci_config_read(&f.fn, pmcsr, 2) & 3) == 3);
	pci_config_write(&f.fn, pmcsr, 2, 0);
	CHECK(f.resets == 0 && pci_mem_enabled(&f.fn));		/* No_Soft_Reset */
	pci_config_write(&f.fn, pmcsr, 2, 3);
	pci_reset(&f.fn, PCI_RESET_FLR, NULL);
	CHECK(pci_config_read(&f.fn, pmcsr, 2) == 0x0008);	/* a reset function is in D0 */
	fake_release(&f);

	fake_init(&f);
	*pci_config_raw(&f.fn, pmcsr) &= (uint8_t)~8;
	fake_enable(&f);
	pci_config_write(&f.fn, pmcsr, 2, 3);
	CHECK(f.resets == 0);
	pci_config_write(&f.fn, pmcsr, 2, 0);
	CHECK(f.resets == 1 && f.last_kind == PCI_RESET_D3HOT);
	CHECK(pci_config_read(&f.fn, 4, 2) == 0 && pci_config_read(&f.fn, pmcsr, 2) == 0);
	fake_release(&f);
}

static void test_intx__edges_gate_and_status(void)
{
	fake_init(&f);
	pci_intx_set(&f.fn, true);
	pci_intx_set(&f.fn, true);
	CHECK(f.intx == 1 && pci_config_read(&f.fn, 6, 2) & 8);
	pci_config_write(&f.fn, 4, 2, 0x400);
	CHECK(pci_config_read(&f.fn, 6, 2) & 8);
	pci_config_write(&f.fn, 6, 2, 0xffff);		/* status bit is read-only */
	CHECK(pci_config_read(&f.fn, 6, 2) & 8 && f.intx == 1);
	pci_config_write(&f.fn, 4, 2, 0);
	CHECK(f.intx == 2);
	pci_config_write(&f.fn, 4, 2, 0x400);
	pci_intx_set(&f.fn, false);
	CHECK(!(pci_config_read(&f.fn, 6, 2) & 8));
	pci_intx_set(&f.fn, true);
	CHECK(f.intx == 2);
	pci_reset(&f.fn, PCI_RESET_FLR, NULL);
	CHECK(f.intx == 2 && !f.fn.intx_level && !(pci_config_read(&f.fn, 6, 2) & 8));
	pci_intx_set(&f.fn, true);
	CHECK(f.intx == 3);
	fake_release(&f);
}

/* ------------------------------------------------------------------- resets */

static unsigned int waited;
static bool again;

static void count_done(struct pci_reset_waiter *w)
{
	waited++;
	if (again) {
		again = false;
		pci_reset(&f.fn, PCI_RESET_FLR, w);
	}
}

static void scramble(struct fake *d)
{
	unsigned int off;

	for (off = 0; off < PCI_CONFIG_SIZE; off += 4)
		if (off != d->fn.cap_pm + 4u)
			pci_config_write(&d->fn, (uint16_t)off, 4,
					 off == d->fn.cap_exp + 8u ? 0xffff7fff : 0xffffffff);
	for (off = 0; off < PCI_CONFIG_SIZE; off++)
		*pci_config_raw(&d->fn, (uint16_t)off) |= rules.w1c[off];
	pci_intx_set(&d->fn, true);
	pci_bar_write(&d->fn, 0, FAKE_TABLE, 8, 0xfee00000);
	pci_bar_write(&d->fn, 0, FAKE_TABLE + 8, 8, 0x4242);
	pci_msix_raise(&d->fn, 1);
}

static void reset_to_power_on(enum pci_reset_kind kind)
{
	uint8_t fresh[PCI_CONFIG_SIZE], set[PCI_CONFIG_SIZE];
	struct dma_table *t = dma_table_alloc(1);
	static char mem[0x4000];
	unsigned int off, irqs;

	fake_init(&f);
	naive_rules_fill(&rules, &f.fn);
	memcpy(fresh, f.fn.state->config, sizeof(fresh));
	t->r[0] = (struct dma_range){ .iova = 0, .last = 0xfff, .perm = DMA_READ,
				      .mem = ferry_mem_alloc(4096) };
	pci_dma_set(&f.fn, t, NULL);
	pci_bar_share(&f.fn, 0, mem);
	scramble(&f);
	CHECK(f.fn.state->pba[0] == 2);
	irqs = f.irqs[1];
	memcpy(set, f.fn.state->config, sizeof(set));

	if (kind == PCI_RESET_FLR)
		pci_config_write(&f.fn, (uint16_t)(f.fn.cap_exp + 8), 2, 0x8000 |
				 (uint32_t)(set[f.fn.cap_exp + 8] | set[f.fn.cap_exp + 9] << 8));
	else
		pci_reset(&f.fn, kind, NULL);
	CHECK(f.resets == 1 && f.last_kind == kind && !pci_reset_busy(&f.fn));
	for (off = 0; off < PCI_CONFIG_SIZE; off++) {
		uint8_t keep = kind == PCI_RESET_BUS ? 0 : rules.keep[off];
		uint8_t want = (uint8_t)((fresh[off] & ~keep) | (set[off] & keep));

		if (pci_config_read(&f.fn, (uint16_t)off, 1) != want) {
			printf("# offset 0x%x is 0x%x, not 0x%x\n", off,
			       pci_config_read(&f.fn, (uint16_t)off, 1), want);
			CHECK(false);
		}
	}
	CHECK(f.fn.state->pba[0] == 0 && f.fn.state->msix[0].addr == 0);
	CHECK(f.fn.state->msix[0].data == 0 && f.fn.state->msix[0].ctrl == 1);

	/* The host's: handlers, shared BARs, table. */
	CHECK(f.fn.msix_irq.fn == fake_msix && f.fn.intx_irq.fn == fake_intx);
	CHECK(pci_bar_mem(&f.fn, 0) == mem && f.irqs[1] == irqs);
	fake_enable(&f);
	CHECK(pci_dma_ptr(&f.fn, 0, 4, DMA_READ) == t->r[0].mem->base);
	dma_table_put(t);
	fake_release(&f);
}

static void test_reset__flr(void)
{
	reset_to_power_on(PCI_RESET_FLR);
}

static void test_reset__bus_takes_sticky_bits_too(void)
{
	reset_to_power_on(PCI_RESET_BUS);
}

static void test_reset__asynchronous(void)
{
	struct pci_reset_waiter w1 = { .done = count_done }, w2 = { .done = count_done };

	waited = 0;
	fake_init(&f);
	fake_enable(&f);
	f.reset_later = true;
	pci_config_write(&f.fn, (uint16_t)(f.fn.cap_exp + 9), 1, 0x80);
	CHECK(pci_reset_busy(&f.fn) && f.resets == 1 && !pci_bus_master(&f.fn));
	CHECK(pci_config_read(&f.fn, 0, 4) == 0xffffffff);
	CHECK(pci_config_read(&f.fn, 4, 2) == 0xffff);
	CHECK(pci_bar_read(&f.fn, 0, 0, 8) == UINT64_MAX);
	pci_config_write(&f.fn, 4, 2, 6);
	pci_config_write(&f.fn, (uint16_t)(f.fn.cap_exp + 9), 1, 0x80);
	pci_bar_write(&f.fn, 0, 0, 4, 1);
	CHECK(f.resets == 1 && f.reads == 0 && f.writes == 0);

	pci_reset(&f.fn, PCI_RESET_FLR, &w1);
	pci_reset(&f.fn, PCI_RESET_BUS, &w2);
	CHECK(f.resets == 1 && waited == 0 && f.fn.reset_kind == PCI_RESET_BUS);
	again = true;
	pci_reset_done(&f.fn);
	CHECK(waited == 2 && f.resets == 2 && pci_reset_busy(&f.fn));
	pci_reset_done(&f.fn);
	CHECK(waited == 3 && !pci_reset_busy(&f.fn));
	CHECK(pci_config_read(&f.fn, 4, 2) == 0);

	f.reset_later = false;
	pci_reset(&f.fn, PCI_RESET_FLR, &w1);
	CHECK(waited == 4);
	fake_release(&f);
}

/* ------------------------------------------------------------------- shapes */

static int init_shape(struct pci_shape s)
{
	struct fake d = { .fn = { .ops = &fake_ops, .shape = s } };
	int err = pci_function_init(&d.fn, fake_env(), NULL);

	if (!err)
		pci_function_release(&d.fn);
	return err;
}

#define SHAPE(change) ({ struct pci_shape s = fake_shape; change; init_shape(s); })

static void test_shape__impossible(void)
{
	CHECK(SHAPE() == 0);
	CHECK(SHAPE(s.msix_vectors = 0) == 0);
	CHECK(SHAPE(s.bar[2].size = 0) == 0);
	CHECK(SHAPE(s.msix_vectors = PCI_MSIX_MAX; s.msix_bar = 2; s.pba_bar = 2;
		    s.msix_off = 0; s.pba_off = 0x8000) == 0);
	CHECK(SHAPE(s.class_code = 0x1000000) == -EINVAL);
	CHECK(SHAPE(s.msix_vectors = PCI_MSIX_MAX + 1) == -EINVAL);
	CHECK(SHAPE(s.msix_vectors = 300) == -EINVAL);		/* runs into the PBA */
	CHECK(SHAPE(s.msix_bar = 1) == -EINVAL);
	CHECK(SHAPE(s.pba_bar = 6) == -EINVAL);
	CHECK(SHAPE(s.pba_off = 0x4000) == -EINVAL);
	CHECK(SHAPE(s.pba_off = 0x3008) == -EINVAL);
	CHECK(SHAPE(s.pba_off = FAKE_TABLE) == -EINVAL);
	CHECK(SHAPE(s.bar[2].size = 0x3000) == -EINVAL);
	CHECK(SHAPE(s.bar[2].size = 0x800) == -EINVAL);
	CHECK(SHAPE(s.bar[2].size = UINT64_C(1) << 32) == -EINVAL);
	CHECK(SHAPE(s.bar[1].size = 0x1000) == -EINVAL);	/* upper half of BAR 0 */
	CHECK(SHAPE(s.bar[4].size = 0; s.bar[5].size = 0x1000; s.bar[5].is_64 = true) == -EINVAL);
	CHECK(SHAPE(s.bar[0].safe[0].off = 0x800) == -EINVAL);
	CHECK(SHAPE(s.bar[0].safe[0].len = 0x8000) == -EINVAL);
	CHECK(SHAPE(s.bar[0].safe[0].off = FAKE_TABLE) == -EINVAL);
	CHECK(SHAPE(s.bar[0].safe[0].off = FAKE_PBA) == -EINVAL);
	CHECK(SHAPE(s.bar[0].nr_safe = 3) == -EINVAL);
}

int main(void)
{
	rnd_seed();
	RUN(test_config__identity);
	RUN(test_config__capability_lists);
	RUN(test_config__added_capability_has_its_own_rules);
	RUN(test_config__every_byte);
	RUN(test_config__random_writes_like_naive_bytes);
	RUN(test_config__impossible_accesses);
	RUN(test_bar__sizing);
	RUN(test_bar__answers_only_while_decoding);
	RUN(test_bar__impossible_accesses);
	RUN(test_bar__handler_is_not_reentered);
	RUN(test_bar__share_map_unshare);
	RUN(test_power__states);
	RUN(test_intx__edges_gate_and_status);
	RUN(test_reset__flr);
	RUN(test_reset__bus_takes_sticky_bits_too);
	RUN(test_reset__asynchronous);
	RUN(test_shape__impossible);
	return tap_end();
}
