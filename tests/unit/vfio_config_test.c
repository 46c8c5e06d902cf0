/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Configuration space as a client sees it: header, BAR sizing, capabilities, FLR and power. */
#include "vfio_client.h"

static struct world w;
static struct opened o;

static unsigned int cap_find(unsigned int id)
{
	unsigned int at = cfg_read(&w, o.dev, PCI_CAPABILITY_LIST, 1), n = 0;

	while (at && n++ < 48) {
		if (cfg_read(&w, o.dev, at, 1) == id)
			return at;
		at = cfg_read(&w, o.dev, at + 1, 1);
	}
	return 0;
}

static unsigned int ecap_find(unsigned int id)
{
	unsigned int at = 0x100, n = 0;

	while (at && n++ < 480) {
		uint32_t h = cfg_read(&w, o.dev, at, 4);

		if ((h & 0xffff) == id)
			return at;
		at = h >> 20;
	}
	return 0;
}

/* Which bits of a register change for the client when it writes ones, then zeroes. */
static uint32_t writable(unsigned int off, unsigned int len)
{
	uint32_t was = cfg_read(&w, o.dev, off, len), ones, zeroes;

	cfg_write(&w, o.dev, off, len, UINT32_MAX);
	ones = cfg_read(&w, o.dev, off, len);
	cfg_write(&w, o.dev, off, len, 0);
	zeroes = cfg_read(&w, o.dev, off, len);
	cfg_write(&w, o.dev, off, len, was);
	return ones ^ zeroes;
}

static void test_header__which_bits_are_writable(void)
{
	CHECK_EQ(cfg_read(&w, o.dev, 0, 4), 0x00051b36);
	CHECK_EQ(writable(PCI_VENDOR_ID, 4), 0);
	CHECK_EQ(writable(PCI_STATUS, 2), 0);
	CHECK_EQ(writable(PCI_CLASS_REVISION, 4), 0);
	CHECK_EQ(writable(PCI_COMMAND, 2) & 0x406, 0x406);
	CHECK_EQ(writable(PCI_SUBSYSTEM_VENDOR_ID, 4), 0);
	CHECK_EQ(writable(PCI_CAPABILITY_LIST, 1), 0);
	CHECK_EQ(writable(PCI_INTERRUPT_LINE, 1), 0xff);
	CHECK_EQ(writable(PCI_INTERRUPT_PIN, 1), 0);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_INTERRUPT_PIN, 1), 1);
	CHECK_EQ(writable(PCI_ROM_ADDRESS, 4), 0);
}

static void test_header__intx_disable_is_virtual(void)
{
	cfg_write(&w, o.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE,
		 PCI_COMMAND_INTX_DISABLE);
	CHECK(!(pci_config_read(&w.fn[0].fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE));
	cfg_write(&w, o.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static void test_bars__size_in_the_copy(void)
{
	unsigned int i;

	for (i = 0; i < 6; i++)
		cfg_write(&w, o.dev, PCI_BASE_ADDRESS_0 + 4 * i, 4, UINT32_MAX);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_0, 4), 0xffffc004);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_1, 4), 0xffffffff);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_2, 4), 0xfffff000);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_3, 4), 0);
	CHECK_EQ(pci_config_read(&w.fn[0].fn, PCI_BASE_ADDRESS_2, 4), 0);
	cfg_write(&w, o.dev, PCI_BASE_ADDRESS_0, 2, 0x4321);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_BASE_ADDRESS_0, 1), 0x04);
	for (i = 0; i < 6; i++)
		cfg_write(&w, o.dev, PCI_BASE_ADDRESS_0 + 4 * i, 4, 0);
}

static void test_caps__are_the_functions(void)
{
	unsigned int pm = cap_find(PCI_CAP_ID_PM), exp = cap_find(PCI_CAP_ID_EXP);
	unsigned int msix = cap_find(PCI_CAP_ID_MSIX);

	CHECK(pm && exp && msix);
	CHECK_EQ(cfg_read(&w, o.dev, pm + PCI_PM_PMC, 2) & PCI_PM_CAP_PME_MASK, 0);
	CHECK_EQ(writable(pm + 1, 1), 0);
	CHECK_EQ(writable(msix + PCI_MSIX_FLAGS, 2), 0);
	CHECK_EQ(cfg_read(&w, o.dev, msix + PCI_MSIX_FLAGS, 2), TF_VECTORS - 1);
	CHECK_EQ(writable(exp + PCI_EXP_LNKCTL, 2), 0);
	CHECK_EQ(writable(exp + PCI_EXP_DEVCTL, 2) & (PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ),
		 PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ);
	CHECK_EQ(writable(exp + PCI_EXP_DEVCTL2, 2) & PCI_EXP_DEVCTL2_ARI, 0);
	CHECK(ecap_find(PCI_EXT_CAP_ID_ERR) >= 0x100);
	CHECK(ecap_find(PCI_EXT_CAP_ID_DSN) >= 0x100);
	CHECK_EQ(writable(ecap_find(PCI_EXT_CAP_ID_DSN) + 4, 4), 0);
	CHECK_EQ(writable(ecap_find(PCI_EXT_CAP_ID_ERR) + PCI_ERR_UNCOR_MASK, 4) & ~0x03fff031u, 0);
}

static void test_flr__resets_and_restores(void)
{
	unsigned int exp = cap_find(PCI_CAP_ID_EXP), n = w.fn[0].nr_resets;
	uint16_t ctl = (uint16_t)cfg_read(&w, o.dev, exp + PCI_EXP_DEVCTL, 2);

	bus_master_on(&w, o.dev);
	cfg_write(&w, o.dev, exp + PCI_EXP_DEVCTL, 2, ctl | PCI_EXP_DEVCTL_BCR_FLR);
	CHECK_EQ(w.fn[0].nr_resets, n + 1);
	CHECK_EQ(cfg_read(&w, o.dev, exp + PCI_EXP_DEVCTL, 2), ctl);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_COMMAND, 2) & 6, 6);
}

static void test_flr__the_write_waits(void)
{
	unsigned int exp = cap_find(PCI_CAP_ID_EXP);
	struct cl_file *cf = cl_file_at(&w.cl, o.dev);
	uint16_t val = PCI_EXP_DEVCTL_BCR_FLR;
	struct cl_call cc;

	w.fn[0].slow_reset = true;
	cl_begin(&w.cl, &cc);
	CHECK_EQ(cf->f->ops->pwrite(cf->f, &cc.call, &val, 2, CONFIG_OFF(exp + PCI_EXP_DEVCTL)),
		 -EINPROGRESS);
	w.fn[0].slow_reset = false;
	env_strand_lock(&w.fn[0].fn.strand);
	tf_finish(&w.fn[0]);
	env_strand_unlock(&w.fn[0].fn.strand);
	CHECK_EQ(cl_end(&cc, -EINPROGRESS), 2);
}

static void test_power__d3_and_back(void)
{
	unsigned int pm = cap_find(PCI_CAP_ID_PM);
	uint64_t val;

	bus_master_on(&w, o.dev);
	reg_write(&w, o.dev, TF_SCRATCH, 9);
	cfg_write(&w, o.dev, pm + PCI_PM_CTRL, 2, 3);
	CHECK_EQ(cfg_read(&w, o.dev, pm + PCI_PM_CTRL, 2) & 3, 3);
	CHECK_EQ(cl_pread(&w.cl, o.dev, &val, 8, 0), -EIO);
	CHECK_EQ(cl_pwrite(&w.cl, o.dev, &val, 8, 0), -EIO);
	cfg_write(&w, o.dev, pm + PCI_PM_CTRL, 2, 0);
	CHECK_EQ(cfg_read(&w, o.dev, pm + PCI_PM_CTRL, 2) & 3, 0);
	CHECK_EQ(cfg_read(&w, o.dev, PCI_COMMAND, 2) & 6, 6);
	(void)reg_read(&w, o.dev, TF_SCRATCH);
	cfg_write(&w, o.dev, PCI_COMMAND, 2, 0);
	CHECK_EQ(cl_pread(&w.cl, o.dev, &val, 8, 0), -EIO);
	bus_master_on(&w, o.dev);
}

static void test_access__any_offset_and_length(void)
{
	uint8_t whole[4096], part[64];
	unsigned int off, len;

	for (off = 0; off < 4096; off += 64)
		CHECK_EQ(cl_pread(&w.cl, o.dev, whole + off, 64, CONFIG_OFF(off)), 64);
	for (off = 0; off < 300; off++)
		for (len = 1; len < 20; len++) {
			CHECK_EQ(cl_pread(&w.cl, o.dev, part, len, CONFIG_OFF(off)), len);
			CHECK(!memcmp(part, whole + off, len));
		}
	CHECK_EQ(cl_pread(&w.cl, o.dev, part, 8, CONFIG_OFF(4092)), 4);
	CHECK_EQ(cl_pread(&w.cl, o.dev, part, 8, CONFIG_OFF(4096)), -EFAULT);
	CHECK_EQ(cl_pwrite(&w.cl, o.dev, part, 8, CONFIG_OFF(5000)), -EFAULT);
}

/* Linked as it is, whatever is written everywhere. */
static void test_caps__survive_any_write(void)
{
	unsigned int off;

	for (off = 0; off < 4096; off += 4)
		cfg_write(&w, o.dev, off, 4, 0xa5a5a5a5u * (off + 1));
	CHECK(cap_find(PCI_CAP_ID_PM) && cap_find(PCI_CAP_ID_EXP) && cap_find(PCI_CAP_ID_MSIX));
	CHECK(ecap_find(PCI_EXT_CAP_ID_DSN));
	CHECK_EQ(cfg_read(&w, o.dev, 0, 4), 0x00051b36);
}

int main(void)
{
	world_init(&w, false);
	if (open_cdev_path(&w, 0, &o))
		return 1;
	RUN(test_header__which_bits_are_writable);
	RUN(test_header__intx_disable_is_virtual);
	RUN(test_bars__size_in_the_copy);
	RUN(test_caps__are_the_functions);
	RUN(test_flr__resets_and_restores);
	RUN(test_flr__the_write_waits);
	RUN(test_power__d3_and_back);
	RUN(test_access__any_offset_and_length);
	RUN(test_caps__survive_any_write);
	opened_close(&w, &o);
	world_release(&w);
	return tap_end();
}
