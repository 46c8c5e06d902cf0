/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A BAR that a client has in its address space: nothing is trapped there.
 *
 * The doorbell page holds what the client wrote; every poll compares it with
 * what was last seen. Values are levels, so nothing is lost between polls.
 *
 * The register page holds what we publish. A register that reads differently
 * was written: the value is taken over as a trapped store would be, the queue
 * registers before CC. INTMC is published as 0, or clearing the very bits
 * that are set could not be told from silence. Read-only registers are
 * restored. Trapped stores work
 * beside all this; they go through to the page.
 *
 * The page is the client's to write at any time: one load per look, and no
 * decision is based on what we stored.
 */
#include <string.h>

#include "models/nvme/nvme.h"

#define REGS_END 0x70u			/* everything from here to the doorbells is 0 */
#define RESTORE_WORDS 16u

/* What can be written, besides CC. */
static const uint16_t written[] = {
	NVME_REG_AQA, NVME_REG_ASQ, NVME_REG_ASQ + 4, NVME_REG_ACQ, NVME_REG_ACQ + 4,
	NVME_REG_INTMS, NVME_REG_INTMC,
};

static uint32_t *page_at(struct nvme_ctrl *c, uint64_t off)
{
	return (uint32_t *)(void *)((uint8_t *)pci_bar_mem(&c->fn, 0) + off);
}

static uint32_t page_load(struct nvme_ctrl *c, uint64_t off)
{
	return le32toh(__atomic_load_n(page_at(c, off), __ATOMIC_ACQUIRE));
}

static void page_store(struct nvme_ctrl *c, uint64_t off, uint32_t v)
{
	__atomic_store_n(page_at(c, off), htole32(v), __ATOMIC_RELEASE);
}

static uint32_t published(const struct nvme_ctrl *c, uint64_t off)
{
	return off == NVME_REG_INTMC ? 0 : nvme_reg_read(c, off);
}

/* ---------------------------------------------------------------- registers */

/*
 * Show register @off. What the client has written there since the last look
 * must not be lost: it is replaced only if it is what we showed last.
 */
static void show(struct nvme_ctrl *c, uint64_t off)
{
	uint32_t was = htole32(c->shown[off / 4]);
	const uint32_t now = published(c, off);

	if (now == c->shown[off / 4])
		return;
	c->shown[off / 4] = now;
	__atomic_compare_exchange_n(page_at(c, off), &was, htole32(now), false,
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void nvme_publish(struct nvme_ctrl *c)
{
	if (!c->polled)
		return;
	/* CSTS last: who sees RDY sees the rest. */
	for (uint64_t off = 0; off < REGS_END; off += 4) {
		if (off != NVME_REG_CSTS)
			show(c, off);
	}
	page_store(c, NVME_REG_CSTS, nvme_reg_read(c, NVME_REG_CSTS));
	c->shown[NVME_REG_CSTS / 4] = nvme_reg_read(c, NVME_REG_CSTS);
}

/* @v was found at @off. Return: whether the client wrote it. */
static bool take_over(struct nvme_ctrl *c, uint64_t off, uint32_t v)
{
	if (v == c->shown[off / 4])
		return false;
	/* From now on the page is taken to show this; nvme_publish() puts right what did not take. */
	c->shown[off / 4] = v;
	nvme_reg_write(c, off, v);
	nvme_publish(c);
	return true;
}

/*
 * Look at the registers that can be written. Return: whether one was. CC is
 * loaded first and acted on last: whoever wrote the others before CC finds
 * them taken over before it.
 */
bool nvme_polled_scan(struct nvme_ctrl *c)
{
	const uint32_t cc = page_load(c, NVME_REG_CC);
	bool found = false;

	for (unsigned int i = 0; i < ARRAY_SIZE(written); i++)
		found |= take_over(c, written[i], page_load(c, written[i]));
	return take_over(c, NVME_REG_CC, cc) || found;
}

static bool is_written(uint64_t off)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(written); i++) {
		if (off == written[i])
			return true;
	}
	return off == NVME_REG_CC;
}

/* Put right what else the client has written over: the registers, and a piece of what is reserved. */
void nvme_polled_restore(struct nvme_ctrl *c)
{
	uint64_t off;

	for (off = 0; off < REGS_END; off += 4) {
		if (page_load(c, off) != c->shown[off / 4] && !is_written(off))
			page_store(c, off, c->shown[off / 4]);
	}
	off = MAX(c->restore_at, REGS_END);
	for (unsigned int n = 0; n < RESTORE_WORDS && off < NVME_REG_DOORBELLS; n++, off += 4) {
		if (page_load(c, off))
			page_store(c, off, 0);
	}
	c->restore_at = off < NVME_REG_DOORBELLS ? (uint32_t)off : 0;
}

/* ---------------------------------------------------------------- doorbells */

void nvme_doorbell_show(struct nvme_ctrl *c, unsigned int index, uint32_t val)
{
	if (index >= ARRAY_SIZE(c->doorbell))
		return;
	c->doorbell[index] = val;
	if (c->doorbells_mapped)
		page_store(c, NVME_REG_DOORBELLS + 4ull * index, val);
}

static bool doorbell_look(struct nvme_ctrl *c, unsigned int index)
{
	const uint32_t v = page_load(c, NVME_REG_DOORBELLS + 4ull * index);

	if (v == c->doorbell[index])
		return false;
	c->doorbell[index] = v;
	nvme_doorbell(c, index, v);
	return true;
}

bool nvme_doorbells_scan(struct nvme_ctrl *c)
{
	bool found = false;
	unsigned int qid;

	/* Heads first: they make room for what the tails bring. */
	nvme_qmap_for_each(qid, &c->cqs)
		found |= doorbell_look(c, 2 * qid + 1);
	nvme_qmap_for_each(qid, &c->sqs)
		found |= doorbell_look(c, 2 * qid);
	return found;
}

/* ------------------------------------------------------------------ mapping */

static bool covers(uint64_t off, uint64_t len, uint64_t page)
{
	return off < page + 0x1000 && off + len > page;
}

int nvme_bar_mapped(struct pci_function *fn, unsigned int bar, uint64_t off, uint64_t len)
{
	struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);

	if (bar != 0)
		return -EINVAL;
	if (!c->polled && covers(off, len, 0)) {
		c->polled = true;
		for (uint64_t o = 0; o < NVME_REG_DOORBELLS; o += 4) {
			const uint32_t v = o < REGS_END ? published(c, o) : 0;

			if (o < REGS_END)
				c->shown[o / 4] = v;
			page_store(c, o, v);
		}
	}
	if (!c->doorbells_mapped && covers(off, len, NVME_REG_DOORBELLS)) {
		c->doorbells_mapped = true;
		for (unsigned int qid = 0; qid < NVME_QIDS; qid++) {
			nvme_doorbell_show(c, 2 * qid, c->st->sq[qid].tail);
			nvme_doorbell_show(c, 2 * qid + 1, c->st->cq[qid].head);
		}
	}
	nvme_poll_update(c);
	return 0;
}

/* The memory is still there for a last look. */
void nvme_bar_unmapped(struct pci_function *fn)
{
	struct nvme_ctrl *c = container_of(fn, struct nvme_ctrl, fn);

	c->polled = c->doorbells_mapped = false;
	nvme_poll_update(c);
}
