/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * I/O commands on four queues of a real controller. The input is a list of
 * operations (struct op): proper commands, whose data is compared with an
 * array of bytes; raw ones, of which only the completion and the status are
 * looked at; bursts of raw ones on all queues; resets; a backend that becomes
 * slow or fails.
 *
 * Each command is completed exactly once, with a status that the specification
 * knows; after each operation backend and array agree.
 */
#include "../tests/unit/nvme_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NS_SIZE (256u << 10)
#define OPS_MAX 40

struct op {
	uint8_t what, opcode, qid, flags;
	le16 lba, nlb, off, mix;
	le32 cdw10, cdw12;
	le64 ptr1, ptr2;
};

static struct rig r;
static struct fake_dev fake;
static uint32_t nsid;
static uint8_t model[NS_SIZE];

/* An address in one of the windows, never in the queues. */
static uint64_t window(uint64_t v)
{
	static const uint64_t base[] = { RAM_IOVA + RIG_DATA, RO_IOVA + RIG_DATA, FAR_IOVA,
					 TOP_IOVA, RAM_IOVA + RAM_SIZE - 8192 };
	unsigned int which = (unsigned int)(v >> 56) % 8;

	if (which >= ARRAY_SIZE(base))
		return v & 0xffffff;
	return base[which] + (v & 0xfffff);
}

static bool legal(uint16_t status)
{
	switch (status & NVME_SC_MASK) {
	case NVME_SC_SUCCESS:
	case NVME_SC_INVALID_OPCODE:
	case NVME_SC_INVALID_FIELD:
	case NVME_SC_DATA_XFER_ERROR:
	case NVME_SC_INTERNAL:
	case NVME_SC_INVALID_NS:
	case NVME_SC_SGL_INVALID_LAST:
	case NVME_SC_SGL_INVALID_COUNT:
	case NVME_SC_SGL_INVALID_DATA:
	case NVME_SC_SGL_INVALID_TYPE:
	case NVME_SC_PRP_INVALID_OFFSET:
	case NVME_SC_LBA_RANGE:
	case NVME_SC_CMD_SIZE_LIMIT_EXCEEDED:
	case NVME_SC_OVERLAPPING_IO_RANGE:
	case NVME_SC_WRITE_FAULT:
	case NVME_SC_READ_ERROR:
	case NVME_SC_COMPARE_FAILED:
		return true;
	}
	return false;
}

static struct nvme_sqe raw(const struct op *op)
{
	static const uint8_t known[] = { 0, 1, 2, 5, 8, 9, 0xc, 0x19 };
	struct nvme_sqe s = { .opcode = op->flags & 1 ? op->opcode : known[op->opcode % 8],
			      .flags = (uint8_t)((op->flags & 6) << 5 | (op->flags == 0xff)) };

	s.nsid = le32_of(op->flags & 8 ? le32_get(op->cdw10) : nsid);
	s.cdw10 = op->flags & 16 ? op->cdw10 : le32_of(le16_get(op->lba) % 600);
	s.cdw11 = le32_of(op->flags & 32 ? le16_get(op->mix) : s.opcode == nvme_cmd_dsm ? 4 : 0);
	s.cdw12 = op->cdw12;
	s.prp1 = le64_of(window(le64_get(op->ptr1)));
	s.prp2 = op->flags & 64 ? op->ptr2 : le64_of(window(le64_get(op->ptr2)));
	return s;
}

/* A list of addresses, ranges or descriptors, from the rest of the input, where pointers find it. */
static void fill_lists(const uint8_t *data, size_t size)
{
	size_t i, n = MIN(size, 4096);

	for (i = 0; i + 8 <= n; i += 8) {
		uint64_t v;

		memcpy(&v, data + i, 8);
		if (v >> 63)
			v = window(v);
		memcpy(r.ram_bytes + RIG_DATA + 0x80000 + i, &v, 8);
		memcpy(r.far->bytes + 0x80000 + i, &v, 8);
	}
}

/* A proper command, and what it must do. */
static void proper(const struct op *op)
{
	uint64_t lbas = NS_SIZE >> 9, lba = le16_get(op->lba) % lbas;
	uint32_t nlb = 1 + le16_get(op->nlb) % (uint32_t)MIN(lbas - lba, 128);
	uint64_t off = RIG_DATA + le16_get(op->off) / 4 * 4ull, len = (uint64_t)nlb << 9, i;
	uint8_t *buf = r.ram_bytes + off, *m = model + (lba << 9);
	unsigned int qid = 1 + op->qid % RIG_QUEUES;
	uint8_t opcode;
	struct nvme_sqe s;

	switch (op->what % 8) {
	case 0:
		opcode = nvme_cmd_write;
		for (i = 0; i < len; i++)
			buf[i] = m[i] = (uint8_t)(le16_get(op->mix) + i * 7 + (i >> 9));
		break;
	case 1:
		opcode = nvme_cmd_read;
		memset(buf, 0xee, len);
		break;
	case 2:
		opcode = nvme_cmd_compare;
		memcpy(buf, m, len);
		break;
	default:
		opcode = nvme_cmd_write_zeroes;
		memset(m, 0, len);
	}
	s = rig_io(&r, opcode, nsid, lba, nlb, off, len, RIG_DATA - 8192);
	if (op->flags & 128) {
		s.flags = NVME_PSDT_SGL << 6;
		s.prp2 = le64_of(len);
		if (opcode != nvme_cmd_write_zeroes)
			s.prp1 = le64_of(RAM_IOVA + off);
	}
	MUST(!rig_cmd(&r, qid, s));
	if (opcode == nvme_cmd_read)
		MUST(!memcmp(buf, m, len));
}

static void burst(const struct op *op)
{
	struct nvme_sqe s = raw(op);
	unsigned int qid;

	for (qid = 1; qid <= RIG_QUEUES; qid++) {
		rig_ring(&r, qid, &s);
		rig_ring(&r, qid, &s);
	}
	for (qid = RIG_QUEUES; qid; qid--) {
		struct nvme_cqe cqe;

		MUST(legal(rig_wait(&r, qid)));
		MUST(legal(rig_wait(&r, qid)));
		MUST(!rig_reap(&r, qid, &cqe));
	}
}

static void reset(const struct op *op)
{
	struct nvme_sqe s = raw(op);
	unsigned int qid;

	for (qid = 1; qid <= RIG_QUEUES; qid++)
		rig_ring(&r, qid, &s);
	rig_disable(&r);
	rig_enable(&r, 0);
	for (qid = 1; qid <= RIG_QUEUES; qid++)
		rig_queue(&r, qid);
}

static void one(const struct op *op, const uint8_t *rest, size_t size)
{
	fill_lists(rest, size);
	switch (op->what % 8) {
	case 4:
		burst(op);
		break;
	case 5:
		if (op->flags & 1)
			reset(op);
		fake.slow = op->flags & 2;
		fake.no_discard = op->flags & 4;
		fake.dev.volatile_cache = op->flags & 8;
		break;
	case 6:
		fake.fail = -EIO;
		fake.fail_in = op->qid % 4;
		MUST(legal(rig_cmd(&r, 1, raw(op))));
		fake.fail = 0;
		break;
	case 7:
		MUST(legal(rig_cmd(&r, 1 + op->qid % RIG_QUEUES, raw(op))));
		break;
	default:
		proper(op);
		MUST(!memcmp(model, fake.data, NS_SIZE));
		return;
	}
	MUST(!r.c->nr_executing && !fake.nr_pending);
	memcpy(model, fake.data, NS_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int n;

	if (!r.env) {
		rig_init(&r);
		fake_init(&fake, NS_SIZE);
		nsid = rig_add(&r, &fake.dev, 9);
		r.fake = &fake;
	}
	memset(model, 0, NS_SIZE);
	memset(fake.data, 0, NS_SIZE);
	fake.slow = fake.no_discard = fake.dev.volatile_cache = false;
	for (n = 0; n < OPS_MAX && size >= sizeof(struct op); n++) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		one(&op, data, size);
	}
	return 0;
}
