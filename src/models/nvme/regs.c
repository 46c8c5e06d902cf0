/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The registers in BAR 0: reads of any width, writes of 4 or 8 bytes (8 are
 * two halves, low first); other writes are dropped.
 */
#include "models/nvme/nvme.h"

#define CC_BITS 0x00fffff1u		/* CRIME is not offered */
#define CC_LIVE (NVME_CC_EN | NVME_CC_SHN_MASK << NVME_CC_SHN_SHIFT)	/* may change while enabled */
#define AQA_BITS 0x0fff0fffu

uint32_t nvme_reg_read(const struct nvme_ctrl *c, uint64_t off)
{
	const struct nvme_state *st = c->st;

	switch (off) {
	case NVME_REG_CAP:
		return (uint32_t)c->cap;
	case NVME_REG_CAP + 4:
		return (uint32_t)(c->cap >> 32);
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return st->intms;
	case NVME_REG_CC:
		return st->cc;
	case NVME_REG_CSTS:
		return st->csts;
	case NVME_REG_AQA:
		return st->aqa;
	case NVME_REG_ASQ:
		return (uint32_t)st->asq;
	case NVME_REG_ASQ + 4:
		return (uint32_t)(st->asq >> 32);
	case NVME_REG_ACQ:
		return (uint32_t)st->acq;
	case NVME_REG_ACQ + 4:
		return (uint32_t)(st->acq >> 32);
	case NVME_REG_CRTO:
		/* Ready with media no later than CAP.TO. */
		return (uint32_t)(c->cap >> NVME_CAP_TO_SHIFT & 0xff) << NVME_CRTO_CRWMT_SHIFT;
	}
	return 0;
}

static void set_low(uint64_t *reg, uint32_t val)
{
	*reg = (*reg & ~0xffffffffull) | (val & ~0xfffu);
}

static void set_high(uint64_t *reg, uint32_t val)
{
	*reg = (*reg & 0xffffffffull) | (uint64_t)val << 32;
}

void nvme_reg_write(struct nvme_ctrl *c, uint64_t off, uint32_t val)
{
	struct nvme_state *st = c->st;

	switch (off) {
	case NVME_REG_INTMS:
		st->intms |= val;
		nvme_intx_update(c);
		break;
	case NVME_REG_INTMC:
		st->intms &= ~val;
		nvme_intx_update(c);
		break;
	case NVME_REG_CC:
		val &= CC_BITS;
		/* What the queues were made with stays while they exist. */
		if ((st->csts & NVME_CSTS_RDY) && (val & NVME_CC_EN))
			val = (st->cc & ~CC_LIVE) | (val & CC_LIVE);
		st->cc = val;
		nvme_cc_apply(c);
		break;
	case NVME_REG_AQA:
		st->aqa = val & AQA_BITS;
		break;
	case NVME_REG_ASQ:
		set_low(&st->asq, val);
		break;
	case NVME_REG_ASQ + 4:
		set_high(&st->asq, val);
		break;
	case NVME_REG_ACQ:
		set_low(&st->acq, val);
		break;
	case NVME_REG_ACQ + 4:
		set_high(&st->acq, val);
		break;
	default:	/* read-only, reserved, NSSR (not offered) */
		return;
	}
	nvme_publish(c);
}

uint64_t nvme_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len)
{
	const struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);
	uint64_t v;

	if (bar != 0 || off >= NVME_REG_DOORBELLS)
		return 0;	/* doorbells read as nothing */
	if (len == 8)
		return nvme_reg_read(c, off) | (uint64_t)nvme_reg_read(c, off + 4) << 32;
	v = (uint64_t)nvme_reg_read(c, off & ~3ull) >> (off & 3) * 8;
	return len < 4 ? v & ((1ull << len * 8) - 1) : v;
}

void nvme_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len,
		    uint64_t val)
{
	struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);

	if (bar != 0 || len < 4)
		return;
	for (; len >= 4; len -= 4, off += 4, val >>= 32) {
		const unsigned int index = (unsigned int)(off - NVME_REG_DOORBELLS) / 4;

		if (off < NVME_REG_DOORBELLS) {
			nvme_reg_write(c, off, (uint32_t)val);
		} else if (off < NVME_REG_DOORBELLS + 0x1000) {
			nvme_doorbell_show(c, index, (uint32_t)val);
			nvme_doorbell(c, index, (uint32_t)val);
		}
	}
}
