/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Configuration space as the client sees it: every bit is either in our copy
 * (virtual) or the function's, and either writable or not. The tables below say
 * which, by register; what is in neither is read from the function and not
 * written. A few registers do something. Capabilities that a client must not
 * see are unlinked. Bytes that belong to nothing pass through.
 */
#include "vfio/internal.h"

#include <ferry/sriov.h>

struct reg {
	uint16_t off;			/* in the capability */
	uint8_t len;
	uint32_t virt, write;
};

#define ALL 0xffffffffu

struct cap_rule {
	uint16_t id, len;		/* len 0: as long as the capability itself says */
	bool raw;			/* everything but the header passes through */
	uint8_t nr;
	const struct reg *reg;
};

#define REGS(r) .nr = ARRAY_SIZE(r), .reg = (r)

static const struct reg header_regs[] = {
	{ PCI_VENDOR_ID, 4, ALL, 0 },
	{ PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, 0xffff },
	{ PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0 },
	{ PCI_CACHE_LINE_SIZE, 1, 0, 0xff },
	{ PCI_LATENCY_TIMER, 1, 0, 0xff },
	{ PCI_BIST, 1, 0, 0xff },
	{ PCI_BASE_ADDRESS_0, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_1, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_2, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_3, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_4, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_5, 4, ALL, ALL },
	{ PCI_ROM_ADDRESS, 4, ALL, ALL },
	{ PCI_CAPABILITY_LIST, 1, ALL, 0 },
	{ PCI_INTERRUPT_LINE, 1, ALL, ALL },
	{ PCI_INTERRUPT_PIN, 1, ALL, 0 },
};
static const struct cap_rule header_rule = { 0, PCI_STD_HEADER_SIZEOF, REGS(header_regs) };

/* The power state itself is the host's to change. */
static const struct reg pm_regs[] = {
	{ PCI_PM_PMC, 2, PCI_PM_CAP_PME_MASK, 0 },
	{ PCI_PM_CTRL, 2, PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS,
	  0xffffu & ~(uint32_t)(PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS |
				PCI_PM_CTRL_STATE_MASK) },
	{ PCI_PM_PPB_EXTENSIONS, 2, 0, 0xffff },
};
static const struct reg vpd_regs[] = {
	{ PCI_VPD_ADDR, 2, ALL, ALL },
	{ PCI_VPD_DATA, 4, ALL, ALL },
};
#define DEVCTL_VIRT (PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_BCR_FLR)
static const struct reg exp_regs[] = {
	{ PCI_EXP_DEVCTL, 2, DEVCTL_VIRT, 0xffffu & ~(uint32_t)PCI_EXP_DEVCTL_PHANTOM },
	{ PCI_EXP_DEVCTL2, 2, 0, 0xffffu & ~(uint32_t)PCI_EXP_DEVCTL2_ARI },
};
static const struct reg pcix_regs[] = {
	{ PCI_X_CMD, 2, 0, 0xffff },
	{ PCI_X_ECC_CSR, 4, 0, ALL },
};
static const struct reg af_regs[] = {
	{ PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR, PCI_AF_CTRL_FLR },
};

/* What is not here is hidden. */
static const struct cap_rule caps[] = {
	{ PCI_CAP_ID_PM, PCI_PM_SIZEOF, REGS(pm_regs) },
	{ PCI_CAP_ID_AGP, 12 },
	{ PCI_CAP_ID_VPD, PCI_CAP_VPD_SIZEOF, REGS(vpd_regs) },
	{ PCI_CAP_ID_PCIX, 8, REGS(pcix_regs) },
	{ PCI_CAP_ID_HT, 24 },
	{ PCI_CAP_ID_VNDR, 0, .raw = true },
	{ PCI_CAP_ID_EXP, PCI_CAP_EXP_ENDPOINT_SIZEOF_V2, REGS(exp_regs) },
	{ PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF },
	{ PCI_CAP_ID_SATA, 8 },
	{ PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF, REGS(af_regs) },
};

#define UNCOR 0x03fff031u
#define COR 0x0000f1c1u
static const struct reg aer_regs[] = {
	{ PCI_ERR_UNCOR_STATUS, 4, 0, UNCOR }, { PCI_ERR_UNCOR_MASK, 4, 0, UNCOR },
	{ PCI_ERR_UNCOR_SEVER, 4, 0, UNCOR },  { PCI_ERR_COR_STATUS, 4, 0, COR },
	{ PCI_ERR_COR_MASK, 4, 0, COR },       { PCI_ERR_CAP, 4, 0, 0x140 },
};
static const struct reg pwr_regs[] = {
	{ 8, 1, 0, 0xff },	/* on the data register, as the kernel has it */
};

/* Lengths of 0: up to the next capability. */
static const struct cap_rule ecaps[] = {
	{ PCI_EXT_CAP_ID_ERR, 0x2c, REGS(aer_regs) },
	{ PCI_EXT_CAP_ID_VC, 0 },
	{ PCI_EXT_CAP_ID_VC9, 0 },
	{ PCI_EXT_CAP_ID_DSN, PCI_EXT_CAP_DSN_SIZEOF },
	{ PCI_EXT_CAP_ID_PWR, PCI_EXT_CAP_PWR_SIZEOF, REGS(pwr_regs) },
	{ PCI_EXT_CAP_ID_MFVC, 0 },
	{ PCI_EXT_CAP_ID_VNDR, 0, .raw = true },
	{ PCI_EXT_CAP_ID_ACS, 0 },
	{ PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ARI_SIZEOF },
	{ PCI_EXT_CAP_ID_ATS, PCI_EXT_CAP_ATS_SIZEOF },
	{ PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF },
	{ PCI_EXT_CAP_ID_MCAST, 40 },
	{ PCI_EXT_CAP_ID_PRI, PCI_EXT_CAP_PRI_SIZEOF },
	{ PCI_EXT_CAP_ID_REBAR, 0 },
	{ PCI_EXT_CAP_ID_DPA, 0 },
	{ PCI_EXT_CAP_ID_TPH, 0 },
	{ PCI_EXT_CAP_ID_LTR, PCI_EXT_CAP_LTR_SIZEOF },
	{ PCI_EXT_CAP_ID_DVSEC, 0, .raw = true },
};

#define CAP_HEADER 1u			/* index of the header in vfio_config.cap */

/* ------------------------------------------------------------------ building */

static uint32_t get_le(const uint8_t *p, unsigned int len)
{
	uint32_t v = 0;

	while (len--)
		v = v << 8 | p[len];
	return v;
}

static void put_le(uint8_t *p, uint32_t v, unsigned int len)
{
	for (; len; len--, v >>= 8)
		*p++ = (uint8_t)v;
}

static const struct cap_rule *rule_find(const struct cap_rule *r, unsigned int n, uint16_t id)
{
	for (; n; n--, r++)
		if (r->id == id)
			return r;
	return NULL;
}

static void rule_apply(struct vfio_config *c, const struct cap_rule *r, unsigned int at,
		       unsigned int len, unsigned int header, bool ext)
{
	unsigned int end = MIN(at + len, c->size), own = c->nr_caps, i, k;

	if (own >= CONFIG_CAPS_MAX)
		return;
	c->nr_caps++;
	c->cap[own].id = r->id;
	c->cap[own].at = (uint16_t)at;
	c->cap[own].ext = ext;
	for (i = at; i < end && !c->owner[i]; i++) {
		c->owner[i] = (uint8_t)own;
		c->virt[i] = i - at < header ? 0xff : 0;
		c->wr[i] = r->raw && i - at >= header ? 0xff : 0;
	}
	for (k = 0; k < r->nr; k++) {
		const struct reg *g = &r->reg[k];

		for (i = 0; i < g->len && at + g->off + i < end; i++) {
			if (c->owner[at + g->off + i] != own)
				continue;
			c->virt[at + g->off + i] = (uint8_t)(g->virt >> (8 * i));
			c->wr[at + g->off + i] = (uint8_t)(g->write >> (8 * i));
		}
	}
}

static unsigned int std_length(const struct vfio_config *c, const struct cap_rule *r,
			       unsigned int at)
{
	if (r->len)
		return r->len;
	return c->copy[at + 2];		/* vendor specific: its own length byte */
}

static void std_caps(struct vfio_config *c)
{
	unsigned int prev = PCI_CAPABILITY_LIST, at = c->copy[prev] & ~3u, ttl = 48;

	if (!(c->copy[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return;
	for (; at >= PCI_STD_HEADER_SIZEOF && ttl; ttl--) {
		const struct cap_rule *r = rule_find(caps, ARRAY_SIZE(caps), c->copy[at]);
		unsigned int next = c->copy[at + 1] & ~3u;

		if (r && !c->owner[at]) {
			rule_apply(c, r, at, std_length(c, r, at), 2, false);
			c->copy[prev] = (uint8_t)at;
			prev = at + 1;
		}
		at = next;
	}
	c->copy[prev] = 0;
}

static unsigned int ext_length(const struct vfio_config *c, const struct cap_rule *r,
			       unsigned int at, unsigned int next)
{
	if (r->len)
		return r->len;
	if (r->id == PCI_EXT_CAP_ID_VNDR)
		return get_le(c->copy + at + PCI_VNDR_HEADER, 4) >> 20;
	if (r->id == PCI_EXT_CAP_ID_DVSEC)
		return get_le(c->copy + at + PCI_DVSEC_HEADER1, 4) >> 20;
	return (next > at ? next : c->size) - at;
}

static void set_next(struct vfio_config *c, unsigned int at, unsigned int next)
{
	put_le(c->copy + at, (get_le(c->copy + at, 4) & 0xfffff) | next << 20, 4);
}

static void ext_caps(struct vfio_config *c)
{
	unsigned int at = PCI_CFG_SPACE_SIZE, prev = 0, ttl = 480;

	for (; at >= PCI_CFG_SPACE_SIZE && at + 4 <= c->size && ttl; ttl--) {
		uint32_t head = get_le(c->copy + at, 4);
		const struct cap_rule *r = rule_find(ecaps, ARRAY_SIZE(ecaps), head & 0xffff);
		unsigned int next = head >> 20 & ~3u;

		if (!head)
			break;
		if (r && !c->owner[at]) {
			rule_apply(c, r, at, ext_length(c, r, at, next), 4, true);
			if (prev)
				set_next(c, prev, at);
			prev = at;
		} else if (at == PCI_CFG_SPACE_SIZE) {
			/* The anchor of the list has to stay where it is, as nothing. */
			static const struct cap_rule anchor = { 0, 4 };

			rule_apply(c, &anchor, at, 4, 4, true);
			put_le(c->copy + at, head & 0xfff00000u, 4);
			prev = at;
		}
		at = next;
	}
	if (prev)
		set_next(c, prev, 0);
}

/* A VF shows neither its ids nor a memory enable bit: the host knows the ones, and keeps the other. */
static void virtfn_init(struct vfio_device *d)
{
	struct vfio_config *c = d->config;

	put_le(c->copy + PCI_VENDOR_ID, d->fn->shape.vendor, 2);
	put_le(c->copy + PCI_DEVICE_ID, d->fn->shape.device, 2);
	c->copy[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	c->virt[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
}

void config_init(struct vfio_device *d)
{
	struct vfio_config *c = d->config;
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->size = d->fn->cap_exp ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
	for (i = 0; i < c->size; i += 4)
		put_le(c->copy + i, pci_config_read(d->fn, (uint16_t)i, 4), 4);
	c->nr_caps = CAP_HEADER;
	rule_apply(c, &header_rule, 0, PCI_STD_HEADER_SIZEOF, 0, false);
	if (pci_physfn(d->fn))
		virtfn_init(d);
	c->copy[PCI_INTERRUPT_PIN] = d->fn->shape.intx ? c->copy[PCI_INTERRUPT_PIN] : 0;
	put_le(c->copy + PCI_ROM_ADDRESS, 0, 4);
	std_caps(c);
	if (c->size > PCI_CFG_SPACE_SIZE)
		ext_caps(c);
	for (i = CAP_HEADER; i < c->nr_caps; i++) {
		uint8_t *at = c->copy + c->cap[i].at;

		if (c->cap[i].ext)
			continue;
		if (c->cap[i].id == PCI_CAP_ID_PM) {
			put_le(at + PCI_PM_PMC,
			       get_le(at + PCI_PM_PMC, 2) & ~(uint32_t)PCI_PM_CAP_PME_MASK, 2);
			put_le(at + PCI_PM_CTRL, 0, 2);
		} else if (c->cap[i].id == PCI_CAP_ID_EXP) {
			put_le(at + PCI_EXP_DEVCTL, get_le(at + PCI_EXP_DEVCTL, 2) &
			       ~(uint32_t)PCI_EXP_DEVCTL_BCR_FLR, 2);
		}
	}
}

/* -------------------------------------------------------------------- access */

/* A piece: 1, 2 or 4 bytes, aligned, of one owner. */
static unsigned int piece_len(const struct vfio_config *c, unsigned int pos, size_t left)
{
	unsigned int len = 4, i;

	while (len > left || !IS_ALIGNED(pos, len))
		len /= 2;
	for (i = 1; i < len; i++)
		if (c->owner[pos + i] != c->owner[pos])
			len /= 2, i = 0;
	return len;
}

/* BARs are sized in the copy: address bits below the size, and the type, are fixed. */
static void bars_fix(struct vfio_device *d)
{
	struct vfio_config *c = d->config;
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &d->fn->shape.bar[i];
		uint8_t *at = c->copy + PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = b->size ? ~(b->size - 1) : 0;
		uint32_t type = b->size ? (b->is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
					  (b->prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0) : 0;

		put_le(at, (get_le(at, 4) & (uint32_t)mask) | type, 4);
		if (!b->size || !b->is_64)
			continue;
		i++;
		put_le(at + 4, get_le(at + 4, 4) & (uint32_t)(mask >> 32), 4);
	}
	put_le(c->copy + PCI_ROM_ADDRESS, 0, 4);
}

static uint32_t piece_read(struct vfio_device *d, unsigned int pos, unsigned int len)
{
	struct vfio_config *c = d->config;
	uint32_t virt = get_le(c->virt + pos, len);
	uint32_t full = len == 4 ? ALL : (1u << (8 * len)) - 1;
	uint32_t val = 0;

	if (c->owner[pos] == CAP_HEADER && pos < PCI_ROM_ADDRESS + 4 &&
	    pos + len > PCI_BASE_ADDRESS_0)
		bars_fix(d);
	if (virt != full)
		val = pci_config_read(d->fn, (uint16_t)pos, len);
	return (val & ~virt) | (get_le(c->copy + pos, len) & virt);
}

int64_t config_read(struct vfio_device *d, void *buf, size_t count, uint64_t pos)
{
	uint8_t *to = buf;
	size_t done = 0;

	while (done < count) {
		unsigned int at = (unsigned int)(pos + done);
		unsigned int len = piece_len(d->config, at, count - done);

		put_le(to + done, piece_read(d, at, len), len);
		done += len;
	}
	return (int64_t)done;
}

/* Bits that are virtual go to the copy, the others to the function. */
static void bits_write(struct vfio_device *d, unsigned int pos, unsigned int len, uint32_t val)
{
	struct vfio_config *c = d->config;
	uint32_t virt = get_le(c->virt + pos, len), wr = get_le(c->wr + pos, len);
	uint32_t now;

	if (wr & virt) {
		now = get_le(c->copy + pos, len);
		put_le(c->copy + pos, (now & ~(wr & virt)) | (val & wr & virt), len);
	}
	if (wr & ~virt) {
		now = pci_config_read(d->fn, (uint16_t)pos, len);
		pci_config_write(d->fn, (uint16_t)pos, len,
				 (now & ~(wr & ~virt)) | (val & wr & ~virt));
	}
}

static bool covers(unsigned int pos, unsigned int len, unsigned int reg)
{
	return reg >= pos && reg < pos + len;
}

static void header_written(struct vfio_device *d, unsigned int pos, unsigned int len)
{
	if (covers(pos, len, PCI_COMMAND + 1))
		intx_command(d, d->config->copy[PCI_COMMAND + 1] & (PCI_COMMAND_INTX_DISABLE >> 8));
}

/* Into D3hot at once; out of it is a reset, unless the function says that it keeps its state. */
static void power_written(struct vfio_device *d, unsigned int reg, unsigned int to)
{
	uint32_t now = pci_config_read(d->fn, (uint16_t)reg, 2);

	if (to == (now & PCI_PM_CTRL_STATE_MASK))
		return;
	if (to == 0)
		reset_start(d, PCI_RESET_D3HOT, true);
	else
		pci_config_write(d->fn, (uint16_t)reg, 2,
				 (now & ~(uint32_t)PCI_PM_CTRL_STATE_MASK) | to);
}

/* A bit that starts a reset and never stays. */
static void flr_written(struct vfio_device *d, unsigned int reg, uint8_t bit, bool able)
{
	if (!(d->config->copy[reg] & bit))
		return;
	d->config->copy[reg] &= (uint8_t)~bit;
	if (able)
		reset_start(d, PCI_RESET_FLR, true);
}

static bool exp_flr(struct vfio_device *d, unsigned int at)
{
	return pci_config_read(d->fn, (uint16_t)(at + PCI_EXP_DEVCAP), 4) & PCI_EXP_DEVCAP_FLR;
}

static bool af_flr(struct vfio_device *d, unsigned int at)
{
	const uint32_t need = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;

	return (pci_config_read(d->fn, (uint16_t)(at + PCI_AF_CAP), 1) & need) == need;
}

static void cap_written(struct vfio_device *d, unsigned int pos, unsigned int len, uint32_t val)
{
	struct vfio_config *c = d->config;
	unsigned int own = c->owner[pos], at = c->cap[own].at;

	if (c->cap[own].ext)
		return;
	switch (c->cap[own].id) {
	case PCI_CAP_ID_PM:
		if (covers(pos, len, at + PCI_PM_CTRL))
			power_written(d, at + PCI_PM_CTRL,
				      val >> (8 * (at + PCI_PM_CTRL - pos)) & PCI_PM_CTRL_STATE_MASK);
		break;
	case PCI_CAP_ID_EXP:
		if (covers(pos, len, at + PCI_EXP_DEVCTL + 1))
			flr_written(d, at + PCI_EXP_DEVCTL + 1, PCI_EXP_DEVCTL_BCR_FLR >> 8,
				    exp_flr(d, at));
		break;
	case PCI_CAP_ID_AF:
		if (covers(pos, len, at + PCI_AF_CTRL))
			flr_written(d, at + PCI_AF_CTRL, PCI_AF_CTRL_FLR, af_flr(d, at));
		break;
	case PCI_CAP_ID_VPD:
		/* There is no product data: an access ends at once, a read of it gives nothing. */
		if (covers(pos, len, at + PCI_VPD_ADDR + 1)) {
			c->copy[at + PCI_VPD_ADDR + 1] ^= PCI_VPD_ADDR_F >> 8;
			put_le(c->copy + at + PCI_VPD_DATA, 0, 4);
		}
		break;
	}
}

int64_t config_write(struct vfio_device *d, const void *buf, size_t count, uint64_t pos)
{
	struct vfio_config *c = d->config;
	const uint8_t *from = buf;
	size_t done = 0;

	while (done < count) {
		unsigned int at = (unsigned int)(pos + done);
		unsigned int len = piece_len(c, at, count - done);
		uint32_t val = get_le(from + done, len);

		if (!c->owner[at]) {
			pci_config_write(d->fn, (uint16_t)at, len, val);
		} else {
			bits_write(d, at, len, val);
			if (c->owner[at] == CAP_HEADER)
				header_written(d, at, len);
			else
				cap_written(d, at, len, val);
		}
		done += len;
	}
	return (int64_t)done;
}
