/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* MSI-X: the table as memory, and delivery against a naive model. */
#include "pci_fake.h"

static struct fake f;

static void write_table(unsigned int v, unsigned int reg, unsigned int len, uint64_t val)
{
	pci_bar_write(&f.fn, 0, FAKE_TABLE + 16 * v + reg, len, val);
}

static uint64_t read_table(unsigned int v, unsigned int reg, unsigned int len)
{
	return pci_bar_read(&f.fn, 0, FAKE_TABLE + 16 * v + reg, len);
}

static void set_flags(uint16_t bits)
{
	pci_config_write(&f.fn, (uint16_t)(f.fn.cap_msix + 2), 2, bits);
}

static void test_table__widths(void)
{
	fake_init(&f);
	fake_enable(&f);
	CHECK(read_table(3, 12, 4) == 1);			/* masked at first */
	write_table(3, 0, 8, 0x123456789abcdef3u);
	CHECK(read_table(3, 0, 8) == 0x123456789abcdef0u);	/* aligned addresses only */
	write_table(3, 4, 4, 0xfeedface);
	write_table(3, 0, 4, 0xfee01004);
	CHECK(read_table(3, 0, 8) == 0xfeedfacefee01004u);
	CHECK(read_table(3, 4, 4) == 0xfeedface);
	CHECK(read_table(3, 2, 2) == 0xfee0 && read_table(3, 1, 1) == 0x10);
	write_table(3, 8, 8, 0xfffffffe00004321u);
	CHECK(read_table(3, 8, 8) == 0x00004321);
	write_table(3, 12, 4, 0xffffffff);
	CHECK(read_table(3, 12, 4) == 1);
	write_table(3, 8, 2, 0xffff);				/* half a register */
	write_table(3, 12, 1, 0);
	CHECK(read_table(3, 8, 8) == 0x0000000100004321u);
	CHECK(f.reads == 0 && f.writes == 0);
	fake_release(&f);
}

static void test_table__ends_where_the_model_begins(void)
{
	fake_init(&f);
	fake_enable(&f);
	read_table(FAKE_VECTORS - 1, 8, 8);
	pci_bar_read(&f.fn, 0, FAKE_PBA + 8, 8);
	CHECK(f.reads == 0);
	read_table(FAKE_VECTORS, 0, 4);
	pci_bar_read(&f.fn, 0, FAKE_PBA + 16, 4);
	pci_bar_read(&f.fn, 0, FAKE_TABLE - 4, 4);
	pci_bar_read(&f.fn, 2, FAKE_TABLE, 4);
	CHECK(f.reads == 4);
	fake_release(&f);
}

static void test_pba__is_read_only(void)
{
	fake_init(&f);
	fake_enable(&f);
	set_flags(0x8000);
	pci_msix_raise(&f.fn, 0);
	pci_msix_raise(&f.fn, 69);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA, 8) == 1);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA + 8, 8) == 1u << 5);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA + 8, 1) == 1u << 5);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA + 12, 4) == 0);
	pci_bar_write(&f.fn, 0, FAKE_PBA, 8, 0);
	pci_bar_write(&f.fn, 0, FAKE_PBA + 8, 4, 0xffffffff);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA, 8) == 1);
	CHECK(pci_bar_read(&f.fn, 0, FAKE_PBA + 8, 8) == 1u << 5);
	CHECK(f.writes == 0);
	fake_release(&f);
}

static void test_msix__host_setup(void)
{
	struct pci_irq irq = { fake_msix, &f };
	unsigned int v;

	fake_init(&f);
	fake_enable(&f);
	f.fn.msix_irq = (struct pci_irq){ 0 };
	pci_msix_setup(&f.fn, 3, irq);
	CHECK(pci_msix_enabled(&f.fn));
	for (v = 0; v < 5; v++)
		pci_msix_raise(&f.fn, v);
	CHECK(f.irqs[0] == 1 && f.irqs[2] == 1 && f.irqs[3] == 0);
	CHECK(f.fn.state->pba[0] == 0x18);
	pci_msix_mask(&f.fn, 3, false);
	CHECK(f.irqs[3] == 1 && f.fn.state->pba[0] == 0x10);
	pci_msix_mask(&f.fn, 0, true);
	pci_msix_raise(&f.fn, 0);
	CHECK(f.irqs[0] == 1);
	pci_msix_setup(&f.fn, 1000, irq);		/* more than there are */
	CHECK(f.irqs[0] == 2 && f.irqs[4] == 1 && f.fn.state->pba[0] == 0);
	pci_msix_setup(&f.fn, 0, irq);
	CHECK(!pci_msix_enabled(&f.fn) && !f.fn.msix_irq.fn);
	pci_msix_raise(&f.fn, 0);
	CHECK(f.irqs[0] == 2 && f.fn.state->pba[0] == 0);
	pci_msix_mask(&f.fn, 4000, false);
	pci_msix_raise(&f.fn, 4000);
	fake_release(&f);
}

/* A listener that masks what comes, as an interrupt core may. */
static void mask_rest(void *arg, unsigned int v)
{
	fake_msix(arg, v);
	pci_msix_mask(&f.fn, v + 1, true);
}

static void test_msix__listener_changes_masks_while_flushing(void)
{
	unsigned int v;

	fake_init(&f);
	fake_enable(&f);
	f.fn.msix_irq = (struct pci_irq){ mask_rest, &f };
	set_flags(0xc000);
	for (v = 0; v < 6; v++) {
		pci_msix_mask(&f.fn, v, false);
		pci_msix_raise(&f.fn, v);
	}
	CHECK(f.fn.state->pba[0] == 0x3f);
	set_flags(0x8000);
	CHECK(f.irqs[0] == 1 && f.irqs[1] == 0 && f.irqs[2] == 1 && f.irqs[3] == 0);
	CHECK(f.fn.state->pba[0] == 0x2a);
	fake_release(&f);
}

/* ------------------------------------------------------------- naive model */

struct naive {
	bool enabled, fmask, master, d3;
	bool mask[FAKE_VECTORS], pend[FAKE_VECTORS];
	unsigned int sent[FAKE_VECTORS];
} n;

static bool naive_alive(void)
{
	return n.enabled && n.master && !n.d3;
}

static void naive_settle(void)
{
	unsigned int v;

	for (v = 0; v < FAKE_VECTORS; v++) {
		if (n.pend[v] && naive_alive() && !n.fmask && !n.mask[v]) {
			n.pend[v] = false;
			n.sent[v]++;
		}
	}
}

static void random_step(void)
{
	unsigned int v = rnd(FAKE_VECTORS);
	bool on = rnd(2);

	switch (rnd(16)) {
	case 0:
		n.enabled = rnd(8) != 0;
		n.fmask = on;
		set_flags((uint16_t)(n.enabled << 15 | n.fmask << 14));
		break;
	case 1:
		n.master = rnd(8) != 0;
		pci_config_write(&f.fn, 4, 2, n.master ? 6 : 2);
		break;
	case 2:
		n.d3 = rnd(8) == 0;
		pci_config_write(&f.fn, (uint16_t)(f.fn.cap_pm + 4), 1, n.d3 ? 3 : 0);
		break;
	case 3:
		n.mask[v] = on;
		pci_msix_mask(&f.fn, v, on);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		if (n.d3)
			break;
		n.mask[v] = on;
		if (rnd(2))
			write_table(v, 12, 4, on);
		else
			write_table(v, 8, 8, (uint64_t)on << 32 | 7);
		break;
	default:
		if (naive_alive())
			n.pend[v] = true;
		pci_msix_raise(&f.fn, v);
	}
	naive_settle();
}

static void test_msix__like_naive_model(void)
{
	unsigned int i, v;

	fake_init(&f);
	fake_enable(&f);
	n = (struct naive){ .master = true };
	for (v = 0; v < FAKE_VECTORS; v++)
		n.mask[v] = true;
	for (i = 0; i < 200000 && tap_ok; i++) {
		random_step();
		for (v = 0; v < FAKE_VECTORS; v++) {
			bool pend = f.fn.state->pba[v / 64] >> (v % 64) & 1;

			CHECK(f.irqs[v] == n.sent[v]);
			CHECK(pend == n.pend[v]);
		}
	}

	/* All gates open: what was accepted has come. */
	set_flags(0x8000);
	pci_config_write(&f.fn, (uint16_t)(f.fn.cap_pm + 4), 1, 0);
	fake_enable(&f);
	for (v = 0; v < FAKE_VECTORS; v++)
		pci_msix_mask(&f.fn, v, false);
	CHECK(f.fn.state->pba[0] == 0 && f.fn.state->pba[1] == 0);
	for (v = 0; v < FAKE_VECTORS; v++)
		CHECK(f.irqs[v] == n.sent[v] + n.pend[v]);
	fake_release(&f);
}

int main(void)
{
	rnd_seed();
	RUN(test_table__widths);
	RUN(test_table__ends_where_the_model_begins);
	RUN(test_pba__is_read_only);
	RUN(test_msix__host_setup);
	RUN(test_msix__listener_changes_masks_while_flushing);
	RUN(test_msix__like_naive_model);
	return tap_end();
}
