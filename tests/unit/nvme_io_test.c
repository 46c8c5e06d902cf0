/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * I/O commands on a real controller: data against an array of bytes, statuses
 * against the specification, and what reaches the backend.
 */
#include "nvme_rig.h"

#define NS_SIZE (4u << 20)

static struct rig r;
static struct fake_dev fake;
static uint32_t mem512, mem4k, faked;	/* NSIDs: memory with 512 and 4096, the fake */

static struct nvme_sqe io(uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t nlb,
			  unsigned int shift)
{
	return rig_io(&r, opcode, nsid, lba, nlb, RIG_DATA, (uint64_t)nlb << shift,
		      RIG_DATA - 8192);
}

/* ---------------------------------------------------------------- byte model */

static uint8_t model[2][NS_SIZE];

static void model_dsm(unsigned int which, uint32_t nsid, unsigned int shift)
{
	struct nvme_dsm_range *range = (void *)(r.ram_bytes + RIG_DATA);
	struct nvme_sqe s = { .opcode = nvme_cmd_dsm, .nsid = le32_of(nsid) };
	unsigned int i, nr = 1 + (unsigned int)rnd(8);
	uint64_t lbas = NS_SIZE >> shift;

	for (i = 0; i < nr; i++) {
		uint64_t lba = rnd(lbas), nlb = rnd(MIN(lbas - lba, 64) + 1);

		range[i] = (struct nvme_dsm_range){ .slba = le64_of(lba),
						    .nlb = le32_of((uint32_t)nlb) };
		memset(model[which] + (lba << shift), 0, nlb << shift);
	}
	s.cdw10 = le32_of(nr - 1);
	s.cdw11 = le32_of(NVME_DSMGMT_AD);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	CHECK_STATUS(rig_cmd(&r, 2, s), 0);
}

static void model_copy(unsigned int which, uint32_t nsid, unsigned int shift)
{
	struct nvme_copy_range *range = (void *)(r.ram_bytes + RIG_DATA);
	struct nvme_sqe s = { .opcode = nvme_cmd_copy, .nsid = le32_of(nsid) };
	unsigned int i, nr = 1 + (unsigned int)rnd(4);
	uint64_t lbas = NS_SIZE >> shift, dst = lbas / 2 + rnd(lbas / 4), at = dst;

	for (i = 0; i < nr; i++) {
		uint64_t lba = rnd(lbas / 2 - 16), nlb = 1 + rnd(16);

		range[i] = (struct nvme_copy_range){ .slba = le64_of(lba),
						     .nlb = le16_of((uint16_t)(nlb - 1)) };
		memcpy(model[which] + (at << shift), model[which] + (lba << shift), nlb << shift);
		at += nlb;
	}
	s.cdw10 = le32_of((uint32_t)dst);
	s.cdw12 = le32_of(nr - 1);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	CHECK_STATUS(rig_cmd(&r, 3, s), 0);
}

/* A data buffer in RAM by PRPs, or in memory not mapped here by one SGL. */
static struct nvme_sqe model_io(uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t nlb,
				unsigned int shift, uint8_t **data)
{
	uint64_t len = (uint64_t)nlb << shift, off = rnd(16) * 4;
	struct nvme_sqe s;

	if (rnd(4)) {
		*data = r.ram_bytes + RIG_DATA + off;
		return rig_io(&r, opcode, nsid, lba, nlb, RIG_DATA + off, len, RIG_DATA - 8192);
	}
	*data = r.far->bytes + off;
	s = rig_io(&r, opcode, nsid, lba, nlb, RIG_DATA, 512, 0);
	s.flags = NVME_PSDT_SGL << 6;
	s.prp1 = le64_of(FAR_IOVA + off);
	s.prp2 = le64_of(len);	/* length, and type 0 in the top byte */
	return s;
}

static void test_io__random_commands_against_bytes(void)
{
	unsigned int i;

	for (i = 0; i < 6000; i++) {
		unsigned int which = (unsigned int)rnd(2), shift = which ? 12 : 9;
		uint32_t nsid = which ? mem4k : mem512, qid = 1 + (uint32_t)rnd(RIG_QUEUES);
		uint64_t lbas = NS_SIZE >> shift, lba = rnd(lbas);
		uint32_t nlb = 1 + (uint32_t)rnd(MIN(lbas - lba, which ? 20u : 100u));
		uint8_t *m = model[which] + (lba << shift), *data;
		size_t len = (size_t)nlb << shift;
		struct nvme_sqe s;

		switch (rnd(8)) {
		case 0: case 1:
			s = model_io(nvme_cmd_write, nsid, lba, nlb, shift, &data);
			rnd_fill(data, len);
			memcpy(m, data, len);
			CHECK_STATUS(rig_cmd(&r, qid, s), 0);
			break;
		case 2: case 3:
			s = model_io(nvme_cmd_read, nsid, lba, nlb, shift, &data);
			memset(data, 0xee, len);
			CHECK_STATUS(rig_cmd(&r, qid, s), 0);
			CHECK(!memcmp(data, m, len));
			break;
		case 4:
			s = model_io(nvme_cmd_compare, nsid, lba, nlb, shift, &data);
			memcpy(data, m, len);
			CHECK_STATUS(rig_cmd(&r, qid, s), 0);
			data[rnd(len)] ^= 1;
			CHECK_STATUS(rig_cmd(&r, qid, s), NVME_SC_COMPARE_FAILED);
			break;
		case 5:
			s = io(nvme_cmd_write_zeroes, nsid, lba, nlb, shift);
			if (rnd(2))
				s.cdw12.raw |= htole32(NVME_IO_DEAC);
			memset(m, 0, len);
			CHECK_STATUS(rig_cmd(&r, qid, s), 0);
			break;
		case 6:
			model_dsm(which, nsid, shift);
			break;
		case 7:
			model_copy(which, nsid, shift);
			CHECK_STATUS(rig_cmd(&r, qid, io(nvme_cmd_verify, nsid, lba, nlb, shift)), 0);
			break;
		}
	}
}

/* ------------------------------------------------------------------ statuses */

static void test_io__blocks_beyond_the_end(void)
{
	static const uint8_t ops[] = { nvme_cmd_read, nvme_cmd_write, nvme_cmd_compare,
				       nvme_cmd_write_zeroes, nvme_cmd_verify };
	uint64_t end = NS_SIZE >> 9;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		CHECK_STATUS(rig_cmd(&r, 1, io(ops[i], mem512, end, 1, 9)), NVME_SC_LBA_RANGE);
		CHECK_STATUS(rig_cmd(&r, 1, io(ops[i], mem512, end - 1, 2, 9)), NVME_SC_LBA_RANGE);
		CHECK_STATUS(rig_cmd(&r, 1, io(ops[i], mem512, UINT64_MAX, 1, 9)),
			     NVME_SC_LBA_RANGE);
		CHECK_STATUS(rig_cmd(&r, 1, io(ops[i], mem512, UINT64_MAX, 2, 9)),
			     NVME_SC_LBA_RANGE);
		CHECK_STATUS(rig_cmd(&r, 1, io(ops[i], mem512, 1ull << 55, 1, 9)),
			     NVME_SC_LBA_RANGE);
	}
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_verify, mem512, end - 1, 1, 9)), 0);
	/* NLB FFFFh is 65536 blocks: more than there are, and more than MDTS. */
	CHECK_STATUS(rig_cmd(&r, 1, (struct nvme_sqe){ .opcode = nvme_cmd_read,
		.nsid = le32_of(mem512), .cdw12 = le32_of(0xffff) }), NVME_SC_LBA_RANGE);
}

static void test_io__mdts(void)
{
	struct nvme_sqe s = { .opcode = nvme_cmd_read, .nsid = le32_of(mem512) };

	s.cdw12 = le32_of((2u << 20) / 512);	/* one block too many */
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_INVALID_FIELD);
	s.opcode = nvme_cmd_verify;
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_INVALID_FIELD);
	s.opcode = nvme_cmd_write_zeroes;	/* has no such limit */
	CHECK_STATUS(rig_cmd(&r, 1, s), 0);
	memset(model[0], 0, (2u << 20) + 512);
}

static void test_io__namespaces(void)
{
	static const uint32_t bad[] = { 0, NVME_NSID_MAX + 1, 0xfffffffe, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, bad[i], 0, 1, 9)), NVME_SC_INVALID_NS);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, 77, 0, 1, 9)), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_flush, 77, 0, 1, 9)), NVME_SC_INVALID_FIELD);
}

static void test_io__unknown_opcodes_leak_nothing(void)
{
	unsigned int i, op;

	for (i = 0; i < 100; i++)
		for (op = 0; op < 256; op++)
			if (!nvme_io_cmds[op].exec)
				CHECK_STATUS(rig_cmd(&r, 1 + i % RIG_QUEUES,
						     io((uint8_t)op, mem512, 0, 1, 9)),
					     NVME_SC_INVALID_OPCODE);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_verify, mem512, 0, 1, 9)), 0);
}

static void test_io__dma_faults(void)
{
	struct nvme_sqe s = io(nvme_cmd_read, mem512, 0, 8, 9);

	s.prp1 = le64_of(0x1000);		/* not mapped */
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_DATA_XFER_ERROR);
	s.prp1 = le64_of(RO_IOVA + RIG_DATA);	/* a read writes */
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_DATA_XFER_ERROR);
	s.opcode = nvme_cmd_compare;
	memcpy(r.ram_bytes + RIG_DATA, model[0], 4096);
	CHECK_STATUS(rig_cmd(&r, 1, s), 0);
	s.prp1 = le64_of(TOP_IOVA + (1u << 20) - 2048);
	s.prp2 = le64_of(0);			/* the last page, and page 0 */
	s.opcode = nvme_cmd_read;
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_DATA_XFER_ERROR);
}

static void test_io__hints_are_accepted(void)
{
	struct nvme_sqe s = io(nvme_cmd_read, mem512, 0, 8, 9);

	s.cdw12.raw |= htole32(NVME_IO_LR | NVME_IO_FUA | 0xfu << 26);
	s.cdw13 = le32_of(0xff);
	CHECK_STATUS(rig_cmd(&r, 1, s), 0);
	s.flags = 1;				/* fused: not supported */
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_INVALID_FIELD);
}

/* ------------------------------------------------------------ what the backend sees */

static void set_wce(uint32_t on)
{
	struct nvme_sqe s = { .opcode = nvme_admin_set_features,
			      .cdw10 = le32_of(NVME_FEAT_FID_VOLATILE_WC), .cdw11 = le32_of(on) };

	CHECK_STATUS(rig_cmd(&r, 0, s), 0);
}

static void test_io__write_cache(void)
{
	struct nvme_sqe w = io(nvme_cmd_write, faked, 0, 8, 9), fua = w;
	struct nvme_sqe z = io(nvme_cmd_write_zeroes, faked, 0, 8, 9);
	unsigned int flushes;

	fua.cdw12.raw |= htole32(NVME_IO_FUA);
	fake.dev.volatile_cache = false;
	CHECK(!rig_cmd(&r, 1, fua) && fake.last_flags == 0);
	fake.dev.volatile_cache = true;
	set_wce(1);
	CHECK(!rig_cmd(&r, 1, w) && fake.last_flags == 0);
	CHECK(!rig_cmd(&r, 1, fua) && fake.last_flags == BLOCK_FUA);
	CHECK(!rig_cmd(&r, 1, z) && fake.last_flags == 0);
	set_wce(0);
	CHECK(!rig_cmd(&r, 1, w) && fake.last_flags == BLOCK_FUA);
	CHECK(!rig_cmd(&r, 1, z) && fake.last_flags == BLOCK_FUA);
	z.cdw12.raw |= htole32(NVME_IO_DEAC);
	CHECK(!rig_cmd(&r, 1, z) && fake.last_flags == (BLOCK_FUA | BLOCK_UNMAP));
	set_wce(1);
	flushes = fake.ops[BLOCK_FLUSH];
	fua.opcode = nvme_cmd_read;
	CHECK(!rig_cmd(&r, 1, fua) && fake.ops[BLOCK_FLUSH] == flushes + 1);
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_flush, faked, 0, 1, 9)));
	CHECK(fake.ops[BLOCK_FLUSH] == flushes + 2);
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_flush, NVME_NSID_ALL, 0, 1, 9)));
	CHECK(fake.ops[BLOCK_FLUSH] == flushes + 3);
	fake.slow = true;
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_flush, NVME_NSID_ALL, 0, 1, 9)));
	CHECK(!rig_cmd(&r, 1, fua));
	fake.slow = false;
	fake.fail = -EIO;
	fake.fail_in = 0;
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_flush, NVME_NSID_ALL, 0, 1, 9)),
		     NVME_SC_WRITE_FAULT);
}

static void test_io__backend_errors(void)
{
	static const struct { int err; uint16_t read, write; } table[] = {
		{ -EIO, NVME_SC_READ_ERROR, NVME_SC_WRITE_FAULT },
		{ -ENOSPC, NVME_SC_CAP_EXCEEDED, NVME_SC_CAP_EXCEEDED },
		{ -EFAULT, NVME_SC_DATA_XFER_ERROR, NVME_SC_DATA_XFER_ERROR },
		{ -EROFS, NVME_SC_NS_WRITE_PROTECTED, NVME_SC_NS_WRITE_PROTECTED },
		{ -ENOMEM, NVME_SC_INTERNAL, NVME_SC_INTERNAL },
	};
	uint64_t media = r.c->st->media_errors;
	unsigned int i, slow;

	for (slow = 0; slow < 2; slow++)
		for (i = 0; i < ARRAY_SIZE(table); i++) {
			fake.slow = slow;
			fake.fail_in = 0;
			fake.fail = table[i].err;
			CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, faked, 0, 8, 9)),
				     table[i].read);
			fake.fail_in = 0;
			fake.fail = table[i].err;
			CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_write, faked, 0, 8, 9)),
				     table[i].write);
			fake.fail_in = 0;
			fake.fail = table[i].err;
			CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_compare, faked, 0, 8, 9)),
				     table[i].read);
		}
	fake.slow = false;
	CHECK(r.c->st->media_errors == media + 6);
}

/* Whatever a backend says, the host gets a status that says it failed. */
static void test_status__every_errno(void)
{
	int e, op;

	for (op = BLOCK_READ; op <= BLOCK_WRITE_ZEROES; op++) {
		CHECK(nvme_status_of_errno(0, (enum block_op)op) == 0);
		for (e = 1; e < 134; e++) {
			uint16_t status = nvme_status_of_errno(-e, (enum block_op)op);

			CHECK((status & NVME_SC_MASK) &&
			      !(status & ~(NVME_SC_MASK | NVME_SC_DNR)));
			CHECK(status == nvme_status_of_errno(e, (enum block_op)op));
		}
	}
}

static void test_io__read_only(void)
{
	struct nvme_sqe dsm = io(nvme_cmd_dsm, faked, 0, 1, 9);

	memset(r.ram_bytes + RIG_DATA, 0, 4096);
	dsm.cdw10 = le32_of(0);
	fake.dev.read_only = true;
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_write, faked, 0, 8, 9)),
		     NVME_SC_NS_WRITE_PROTECTED);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_write_zeroes, faked, 0, 8, 9)),
		     NVME_SC_NS_WRITE_PROTECTED);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_copy, faked, 64, 1, 9)),
		     NVME_SC_NS_WRITE_PROTECTED);
	CHECK_STATUS(rig_cmd(&r, 1, dsm), 0);		/* only a hint */
	dsm.cdw11 = le32_of(NVME_DSMGMT_AD);
	CHECK_STATUS(rig_cmd(&r, 1, dsm), NVME_SC_NS_WRITE_PROTECTED);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, faked, 0, 8, 9)), 0);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_flush, faked, 0, 8, 9)), 0);
	fake.dev.read_only = false;
}

static void test_io__smart_counts(void)
{
	struct nvme_state *st = r.c->st;
	uint64_t dr = st->data_read, dw = st->data_written, hr = st->host_reads, hw = st->host_writes;

	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_read, faked, 0, 8, 9)));
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_write, faked, 0, 16, 9)));
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_compare, faked, 0, 16, 9)));
	CHECK(!rig_cmd(&r, 1, io(nvme_cmd_verify, faked, 0, 3, 9)));
	CHECK(rig_cmd(&r, 1, io(nvme_cmd_read, faked, UINT64_MAX, 8, 9)));
	CHECK(st->data_read == dr + 27 * 512 && st->host_reads == hr + 3);
	CHECK(st->data_written == dw + 16 * 512 && st->host_writes == hw + 1);
}

/* ------------------------------------------------------------------ DSM, Copy */

static struct nvme_sqe dsm_sqe(unsigned int nr)
{
	struct nvme_sqe s = { .opcode = nvme_cmd_dsm, .nsid = le32_of(faked) };

	s.cdw10 = le32_of(nr - 1);
	s.cdw11 = le32_of(NVME_DSMGMT_AD);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	return s;
}

static void dsm_ranges(unsigned int nr)
{
	struct nvme_dsm_range *range = (void *)(r.ram_bytes + RIG_DATA);
	unsigned int i;

	for (i = 0; i < nr; i++)
		range[i] = (struct nvme_dsm_range){ .cattr = le32_of((uint32_t)rnd(1u << 31)),
						    .slba = le64_of(i * 8), .nlb = le32_of(4) };
}

static void test_dsm__256_ranges_in_a_loop(void)
{
	unsigned int i, before = fake.ops[BLOCK_DISCARD];

	dsm_ranges(256);
	for (i = 0; i < 200; i++) {
		fake.slow = i & 1;
		CHECK_STATUS(rig_cmd(&r, 1, dsm_sqe(256)), 0);
	}
	fake.slow = false;
	CHECK(fake.ops[BLOCK_DISCARD] == before + 200 * 256);
}

static void test_dsm__a_bad_range_changes_nothing(void)
{
	struct nvme_dsm_range *range = (void *)(r.ram_bytes + RIG_DATA);
	unsigned int before = fake.ops[BLOCK_DISCARD];

	dsm_ranges(3);
	range[2].slba = le64_of(UINT64_MAX - 1);
	CHECK_STATUS(rig_cmd(&r, 1, dsm_sqe(3)), NVME_SC_LBA_RANGE);
	range[2].slba = le64_of((NS_SIZE >> 9) - 3);
	CHECK_STATUS(rig_cmd(&r, 1, dsm_sqe(3)), NVME_SC_LBA_RANGE);
	CHECK(fake.ops[BLOCK_DISCARD] == before);
	range[2].nlb = le32_of(0);
	CHECK_STATUS(rig_cmd(&r, 1, dsm_sqe(3)), 0);
	CHECK(fake.ops[BLOCK_DISCARD] == before + 2);
	fake.fail = -EIO;
	fake.fail_in = 1;
	CHECK_STATUS(rig_cmd(&r, 1, dsm_sqe(3)), NVME_SC_WRITE_FAULT);
}

static struct nvme_sqe copy_sqe(uint64_t dst, unsigned int nr)
{
	struct nvme_sqe s = { .opcode = nvme_cmd_copy, .nsid = le32_of(faked) };

	s.cdw10 = le32_of((uint32_t)dst);
	s.cdw11 = le32_of((uint32_t)(dst >> 32));
	s.cdw12 = le32_of(nr - 1);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	s.prp2 = le64_of(RAM_IOVA + RIG_DATA + 4096);
	return s;
}

static void copy_range(unsigned int i, uint64_t slba, unsigned int nlb)
{
	((struct nvme_copy_range *)(void *)(r.ram_bytes + RIG_DATA))[i] =
		(struct nvme_copy_range){ .slba = le64_of(slba),
					  .nlb = le16_of((uint16_t)(nlb - 1)) };
}

static void test_copy__limits_overlap_and_failure(void)
{
	unsigned int i, slow;
	struct nvme_sqe s;

	copy_range(0, 0, 8);
	copy_range(1, 4, 8);				/* sources may overlap */
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(100, 2)), 0);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(11, 2)), NVME_SC_OVERLAPPING_IO_RANGE);
	CHECK(r.dw0 == 1);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(12, 2)), 0);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe((NS_SIZE >> 9) - 15, 2)), NVME_SC_LBA_RANGE);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(UINT64_MAX, 2)), NVME_SC_LBA_RANGE);
	copy_range(1, UINT64_MAX - 3, 8);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(100, 2)), NVME_SC_LBA_RANGE);
	copy_range(1, 0, 2049);				/* MSSRL */
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 2)), NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
	copy_range(1, 0, 2048);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 2)), 0);
	for (i = 0; i < 17; i++)			/* MCL: 17 MiB */
		copy_range(i, 0, 2048);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 17)), NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 129)), NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
	for (i = 0; i < 128; i++)
		copy_range(i, i, 1);
	CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 128)), 0);
	s = copy_sqe(100, 2);
	s.cdw12.raw |= htole32(1 << 8);			/* format 1 */
	CHECK_STATUS(rig_cmd(&r, 1, s), NVME_SC_INVALID_FIELD);
	for (slow = 0; slow < 2; slow++) {
		fake.slow = slow;
		fake.fail = -EIO;
		fake.fail_in = 5;			/* read, write, read, write, read, here */
		CHECK_STATUS(rig_cmd(&r, 1, copy_sqe(4096, 128)), NVME_SC_WRITE_FAULT);
		CHECK(r.dw0 == 2);
	}
	fake.slow = false;
}

/* --------------------------------------------------------------------- reset */

/* Commands of all kinds are with the backend when the host disables the controller. */
static void test_io__disable_in_flight(void)
{
	static const uint8_t ops[] = { nvme_cmd_read, nvme_cmd_write, nvme_cmd_compare,
				       nvme_cmd_write_zeroes, nvme_cmd_flush };
	unsigned int i;

	dsm_ranges(256);
	copy_range(300, 0, 1);
	fake.slow = true;
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct nvme_sqe s = io(ops[i], faked, 0, 8, 9);

		rig_ring(&r, 1, &s);
	}
	for (i = 0; i < 2; i++) {
		struct nvme_sqe s = i ? copy_sqe(4096, 128) : dsm_sqe(256);

		rig_ring(&r, 2, &s);
	}
	while (env_step(r.env, false))
		;
	CHECK(fake.nr_pending >= ARRAY_SIZE(ops));
	rig_disable(&r);
	CHECK(!fake.nr_pending && !r.c->nr_executing);
	fake.slow = false;
	rig_enable(&r, 0);
	for (i = 1; i <= RIG_QUEUES; i++)
		rig_queue(&r, i);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, faked, 0, 8, 9)), 0);
}

int main(void)
{
	struct ferry_err err = { 0 };
	struct block_dev *a, *b;

	rnd_seed();
	rig_init(&r);
	MUST(!block_open("memory", NS_SIZE, 0, &a, &err));
	MUST(!block_open("memory", NS_SIZE, 0, &b, &err));
	fake_init(&fake, NS_SIZE);
	r.fake = &fake;
	mem512 = rig_add(&r, a, 9);
	mem4k = rig_add(&r, b, 12);
	faked = rig_add(&r, &fake.dev, 9);
	block_put(a);
	block_put(b);
	block_put(&fake.dev);

	RUN(test_io__random_commands_against_bytes);
	RUN(test_io__blocks_beyond_the_end);
	RUN(test_io__mdts);
	RUN(test_io__namespaces);
	RUN(test_io__unknown_opcodes_leak_nothing);
	RUN(test_io__dma_faults);
	RUN(test_io__hints_are_accepted);
	RUN(test_io__write_cache);
	RUN(test_io__backend_errors);
	RUN(test_status__every_errno);
	RUN(test_io__read_only);
	RUN(test_io__smart_counts);
	RUN(test_dsm__256_ranges_in_a_loop);
	RUN(test_dsm__a_bad_range_changes_nothing);
	RUN(test_copy__limits_overlap_and_failure);
	RUN(test_io__disable_in_flight);
	rig_fini(&r);
	if (!fake.closed)
		return 1;
	return tap_end();
}
