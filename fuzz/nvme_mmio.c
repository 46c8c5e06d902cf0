/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ01: any sequence of register accesses, of any width, at any offset, trapped
 * and (once the input asks for it) into a mapped page, between turns of the
 * loop. Oracle: read-only registers keep their values, writable ones their
 * masks; RDY and CFS follow CC.EN; after a reset all is as at the start.
 *
 * Input: records of 8 bytes: op, width, offset (16), value (32).
 */
#include <sys/mman.h>

#include "../tests/unit/nvme_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORACLE(cond)                                                              \
	do {                                                                      \
		if (!(cond)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                  \
		}                                                                 \
	} while (0)

struct record {
	uint8_t op, width;
	uint16_t off;
	uint32_t val;
};

static struct host h;
static uint8_t *page;

static void start(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 4, .doorbells = NVME_DOORBELLS_MAPPED };

	log_level_max = LOG_ERROR;
	host_open(&h, &cfg);
	page = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(page != MAP_FAILED);
}

static void check(void)
{
	const struct nvme_state *st = h.c->st;
	const uint32_t csts = st->csts;

	/* In D3hot and during a reset nobody answers. */
	if (pci_reset_busy(h.fn) || !pci_mem_enabled(h.fn))
		return;
	ORACLE(host_read(&h, NVME_REG_CAP, 8) == h.c->cap);
	ORACLE(host_read(&h, NVME_REG_VS, 4) == NVME_VERSION);
	ORACLE(host_read(&h, NVME_REG_NSSR, 4) == 0);
	ORACLE(host_read(&h, NVME_REG_CMBSZ, 4) == 0);
	ORACLE(!(host_read(&h, NVME_REG_CC, 4) & ~0x00fffff1u));
	ORACLE(!(host_read(&h, NVME_REG_AQA, 4) & ~0x0fff0fffu));
	ORACLE(!(host_read(&h, NVME_REG_ASQ, 8) & 0xfff));
	ORACLE(!(host_read(&h, NVME_REG_ACQ, 8) & 0xfff));
	ORACLE(host_csts(&h) == csts && !(csts & ~0xfu));
	/* RDY exactly while there are admin queues. */
	ORACLE(!!(csts & NVME_CSTS_RDY) == nvme_qmap_has(&h.c->sqs, 0));
	if (!h.c->disabling)
		ORACLE(!!(csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == !!(st->cc & NVME_CC_EN) || h.c->polled);
	for (unsigned int q = 0; q < NVME_QIDS; q++) {
		ORACLE(st->sq[q].size ? st->sq[q].tail < st->sq[q].size && st->sq[q].head < st->sq[q].size
				      : !st->sq[q].tail);
		ORACLE(st->cq[q].size ? st->cq[q].tail < st->cq[q].size && st->cq[q].head < st->cq[q].size
				      : !st->cq[q].tail);
	}
}

static void one(const struct record *r)
{
	const unsigned int width = 1u << (r->width & 3);
	const uint64_t off = r->off & 0x3fff;
	const uint64_t val = r->val | (uint64_t)r->val << 32;

	switch (r->op % 12) {
	case 0:
	case 1:
	case 2:
		host_write(&h, off, width, val);
		break;
	case 3:
		host_read(&h, off, width);
		break;
	case 4:		/* registers that matter, aligned */
		host_write(&h, NVME_REG_INTMS + (off & 0x3c) % 0x2c, 4, val);
		break;
	case 5:		/* a way up */
		host_write(&h, NVME_REG_AQA, 4, 0x001f001f);
		host_write(&h, NVME_REG_ASQ, 8, HOST_RAM_IOVA);
		host_write(&h, NVME_REG_ACQ, 8, HOST_RAM_IOVA + 0x1000);
		host_write(&h, NVME_REG_CC, 4, HOST_CC | (r->val & 0xc000));
		break;
	case 6:
		host_ring(&h, off & 0xf, r->val & 0x3f);
		break;
	case 7:
		host_step(&h);
		break;
	case 8:
		host_lock(&h);
		pci_config_write(h.fn, (uint16_t)(off & 0xfc), 4, r->val);
		host_unlock(&h);
		host_command(&h, 0x6);
		break;
	case 9:
		if (h.reset_over || !pci_reset_busy(h.fn)) {
			host_reset_start(&h);
			host_command(&h, 0x6);
		}
		break;
	case 10:	/* the client's own store into the page */
		host_lock(&h);
		if (!pci_bar_mem(h.fn, 0))
			pci_bar_share(h.fn, 0, page);
		pci_bar_map(h.fn, 0, r->val & 1 ? 0x1000 : 0, r->val & 2 ? 0x2000 : 0x1000);
		host_unlock(&h);
		break;
	case 11:
		if (width <= 4 && off < 0x2000)
			memcpy(page + (off & ~3ull), &r->val, width);
		host_step(&h);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!h.fn)
		start();
	/* An SQ full of commands that are harmless, whatever the doorbells say. */
	memset(h.ram, 0, 0x4000);
	for (unsigned int i = 0; i < 32; i++)
		*(struct nvme_sqe *)(void *)(h.ram + 64 * i) = host_sqe(
			i & 1 ? nvme_admin_async_event : nvme_admin_identify, 0, HOST_RAM_IOVA + 0x2000, 1, 0);
	for (size_t i = 0; i + sizeof(struct record) <= size && i < 4096; i += sizeof(struct record)) {
		struct record r;

		memcpy(&r, data + i, sizeof(r));
		one(&r);
		check();
	}
	host_lock(&h);
	pci_bar_unshare(h.fn);
	host_unlock(&h);
	ORACLE(HOST_UNTIL(&h, !pci_reset_busy(h.fn)));
	ORACLE(host_reset(&h));
	for (uint64_t off = NVME_REG_INTMS; off < 0x68; off += 4)
		ORACLE(host_read(&h, off, 4) == 0);
	ORACLE(h.c->nr_executing == 0 && h.fn->strand.poll_mode == ENV_POLL_OFF);
	return 0;
}
