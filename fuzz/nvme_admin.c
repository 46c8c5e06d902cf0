/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ02: admin commands over a memory image. Oracle: exactly one CQE per SQE,
 * with its command id, except for asynchronous event requests (at most one);
 * the status is one that an NVMe controller may give; the controller stays up
 * unless the memory of a queue is bad; afterwards nothing is left executing.
 *
 * Input: one byte of options, then records: 64 bytes of SQE each, up to 64 of
 * them; what is left is the image, repeated over the data pages. PRPs are
 * moved into RAM when bit 0 of CDW15 is clear, so that they often lead somewhere.
 */
#include "../tests/unit/nvme_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORACLE(cond)                                                              \
	do {                                                                      \
		if (!(cond)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                  \
		}                                                                 \
	} while (0)

#define DATA_IOVA (HOST_RAM_IOVA + (1 << 20))
#define DATA_SIZE (64u << 10)
#define COMMANDS 64u

static struct host h[2];

static void start(struct host *hh, bool bare)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 4, .no_dbbuf = bare, .no_sgl = bare };

	host_open(hh, &cfg);
}

static bool status_legal(uint16_t s)
{
	const uint16_t sct = s >> 8 & 7, sc = s & 0xff;

	switch (sct) {
	case 0:
		return sc <= 0x24 || (sc >= 0x80 && sc <= 0x84);
	case 1:
		return sc <= 0x2d || (sc >= 0x80 && sc <= 0x89);
	case 2:
		return sc >= 0x80 && sc <= 0x88;
	}
	return false;
}

static uint64_t into_ram(uint64_t prp)
{
	return DATA_IOVA + prp % DATA_SIZE;
}

/* Bring back the namespace, should the commands have taken it away. */
static void mend(struct host *hh)
{
	struct nvme_ns_info info[NVME_NSID_MAX];
	unsigned int n = nvme_ns_list(hh->ss, info, NVME_NSID_MAX);
	struct ferry_err e;
	bool first = false;

	for (unsigned int i = 0; i < MIN(n, NVME_NSID_MAX); i++) {
		if (info[i].nsid == 1) {
			first = true;
			if (!info[i].attached)
				nvme_ns_attach(hh->ss, 1, 1, &e);
			continue;
		}
		if (info[i].attached)
			nvme_ns_detach(hh->ss, info[i].nsid, 1, &e);
		nvme_ns_remove(hh->ss, info[i].nsid, &e);
	}
	if (!first) {
		struct block_dev *dev;
		uint32_t nsid;

		if (block_open("memory", HOST_NS_SIZE, 0, &dev, &e))
			return;
		nvme_ns_add(hh->ss, dev, &(struct nvme_ns_config){ .nsid = 1, .lba_shift = 9 }, &nsid, &e);
		block_put(dev);
		nvme_ns_attach(hh->ss, 1, 1, &e);
	}
}

/* One command. Return: false when the controller has gone. */
static bool command(struct host *hh, struct nvme_sqe sqe)
{
	uint16_t cid, status;
	uint64_t end = host_now() + 10000000000u;

	if (!(le32_get(sqe.cdw15) & 1)) {
		sqe.prp1 = le64_of(into_ram(le64_get(sqe.prp1)));
		sqe.prp2 = le64_of(into_ram(le64_get(sqe.prp2)));
	}
	cid = host_submit(hh, 0, sqe);
	while (!host_take(hh, 0)) {
		if (host_csts(hh) & NVME_CSTS_CFS)
			return false;
		if (sqe.opcode == nvme_admin_async_event) {
			ORACLE(hh->c->st->nr_aer > 0);
			return true;
		}
		ORACLE(host_now() < end);
		host_step(hh);
	}
	host_ring(hh, 1, hh->q[0].head);
	status = le16_get(hh->cqe.status) >> 1;
	ORACLE(le16_get(hh->cqe.sqid) == 0);
	ORACLE(status_legal(status));
	/* An event may come first, for an AER of before. */
	if (le16_get(hh->cqe.cid) != cid) {
		ORACLE(hh->c->st->nr_aer < NVME_AERL);
		if (sqe.opcode == nvme_admin_async_event)
			return true;
		while (!host_take(hh, 0)) {
			ORACLE(host_now() < end);
			host_step(hh);
		}
		host_ring(hh, 1, hh->q[0].head);
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host *hh;
	size_t n, rest;

	if (size < 65)
		return 0;
	log_level_max = LOG_ERROR;
	hh = &h[data[0] & 1];
	if (!hh->fn)
		start(hh, data[0] & 1);
	data++;
	size--;
	n = MIN(size / 64, COMMANDS);
	rest = size - n * 64;
	for (size_t i = 0; i < DATA_SIZE; i++)
		hh->ram[(1 << 20) + i] = rest ? data[n * 64 + i % rest] : 0;
	if (host_enable_with(hh, HOST_CC) != NVME_CSTS_RDY)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct nvme_sqe sqe;

		memcpy(&sqe, data + i * 64, sizeof(sqe));
		if (!command(hh, sqe))
			break;
	}
	/* Nothing came twice. */
	while (host_take(hh, 0))
		ORACLE((host_dw0(hh) & 0xff) <= NVME_AER_NOTICE);
	ORACLE(host_disable(hh));
	ORACLE(hh->c->nr_executing == 0 && hh->c->nr_io_reqs == 0);
	ORACLE(host_reset(hh));
	mend(hh);
	return 0;
}
