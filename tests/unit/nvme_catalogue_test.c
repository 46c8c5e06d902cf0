/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What went wrong in other NVMe device models, one test per case; the number
 * is the test's name. Rows 01 and 02 (DMA into registers), 06 (VFs) and 15
 * (run this with TSan) have more tests elsewhere: pci_dma_test, nvme_xfer_test.
 */
#include "nvme_host.h"

#define LEGAL_MAX 0x7ff

/* 01, 02: data, lists and queues at addresses that are registers, not memory. */
static void test_nvme_01_02__dma_to_registers(void)
{
	struct host h;
	uint64_t buf, bar;

	host_open(&h, NULL);
	host_lock(&h);
	pci_config_write(h.fn, 0x10, 4, 0xfe000000);
	pci_config_write(h.fn, 0x14, 4, 0);
	host_unlock(&h);
	bar = 0xfe000000;
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 16, 16);
	for (uint64_t off = 0; off < 0x4000; off += 0x1000) {
		struct nvme_sqe s = host_rw(false, 0, bar + off);

		CHECK_EQ(host_cmd(&h, 1, s) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_identify, 0, bar + off, 1, 0)) & NVME_SC_MASK,
			 NVME_SC_DATA_XFER_ERROR);
		/* A list there. */
		s = host_sqe(nvme_cmd_read, 1, buf, 0, 0);
		s.cdw12 = le32_of(63);
		s.prp2 = le64_of(bar + off);
		CHECK_EQ(host_cmd(&h, 1, s) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
	}
	CHECK_EQ(host_csts(&h), NVME_CSTS_RDY);
	/* A queue there: fatal at the first use, no more. */
	CHECK_EQ(host_create_cq(&h, 2, 15, bar, 1), 0);
	CHECK_EQ(host_create_sq(&h, 2, 15, bar + 0x1000, 1 | 2 << 16), 0);
	host_ring(&h, 4, 1);
	CHECK_EQ(host_csts(&h), NVME_CSTS_RDY | NVME_CSTS_CFS);
	CHECK(host_disable(&h));
	host_enable(&h);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_close(&h);
}

/* 03, 04: nvme_log_test, test_log__every_offset_and_length. Here: each page's end to the byte. */
static void test_nvme_03_04__log_offsets(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	for (unsigned int lid = 0; lid < 256; lid++) {
		host_cmd(&h, 0, host_get_log((uint8_t)lid, buf, 0xfffffffffffffffc, 0x7ffff, false));
		host_cmd(&h, 0, host_get_log((uint8_t)lid, buf, 0xfffffffc, 0xffffffff, false));
		CHECK(host_get_log((uint8_t)lid, buf, 0, 0, false).opcode == nvme_admin_get_log_page);
	}
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_close(&h);
}

/* 05: every admin opcode, with every optional feature there or not. */
static void test_nvme_05__every_admin_opcode(void)
{
	for (unsigned int opt = 0; opt < 4; opt++) {
		struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 2, .no_dbbuf = opt & 1, .no_sgl = opt & 2 };
		struct host h;
		uint64_t buf;

		host_open(&h, &cfg);
		host_enable(&h);
		buf = host_alloc(&h, 8192);
		for (unsigned int i = 0; i < 256 * 16; i++) {
			static const uint32_t values[] = { 0, 1, 0xffff, 0xffffffff };
			static const uint32_t nsids[] = { 0, 1, 2, 0xffffffff };
			struct nvme_sqe s = host_sqe((uint8_t)i, nsids[i >> 8 & 3], buf,
						     values[i >> 10 & 3], values[(i >> 9) & 3]);
			uint16_t status;

			if (s.opcode == nvme_admin_async_event)
				continue;
			s.prp2 = le64_of(buf + 4096);
			status = host_cmd(&h, 0, s);
			CHECK(status != HOST_NO_ANSWER);
			if (s.opcode == nvme_admin_dbbuf && !status) {
				CHECK(host_disable(&h));
				host_enable(&h);
				buf = host_alloc(&h, 8192);
			}
		}
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
		host_close(&h);
	}
}

/* 07: more queues than granted; 256 ranges in a loop (under LeakSanitizer); shadow doorbells: nvme_dbbuf_test. */
static void test_nvme_07__queues_and_ranges(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_NUM_QUEUES, 0), 0);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 16, 16);
	CHECK_EQ(host_create_cq(&h, 2, 15, buf, 1), NVME_SC_QID_INVALID | HOST_DNR);
	for (unsigned int i = 0; i < 256; i++)
		((struct nvme_dsm_range *)host_ptr(&h, buf))[i] = (struct nvme_dsm_range){
			.nlb = le32_of(8), .slba = le64_of(8 * i) };
	for (unsigned int i = 0; i < 200; i++)
		CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_dsm, 1, buf, 255, NVME_DSMGMT_AD)), 0);
	host_close(&h);
}

/* 09: PRP1 0, list entries 0. */
static void test_nvme_09__prp_zero(void)
{
	struct nvme_sqe s;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	host_queue(&h, 1, 16, 16);
	for (unsigned int nlb = 0; nlb < 64; nlb++) {
		s = host_rw(false, 0, 0);
		s.cdw12 = le32_of(nlb);
		CHECK_EQ(host_cmd(&h, 1, s) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
		s = host_rw(true, 0, nlb & 1 ? 0 : buf);
		s.cdw12 = le32_of(63);
		s.prp2 = le64_of(buf + 4096);
		CHECK_EQ(host_cmd(&h, 1, s) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
	}
	CHECK_EQ(host_cmd(&h, 1, host_rw(false, 0, buf)), 0);
	host_close(&h);
}

/* 10: any order of initialisation; after an error CFS and not RDY. */
static void test_nvme_10__init_order(void)
{
	struct host h;

	host_open(&h, NULL);
	srand(10);
	for (unsigned int i = 0; i < 20000; i++) {
		static const uint64_t at[] = { 0, 0x1000000, 0x1001000, 0x1000800, 0xfe000000, ~0ull };
		uint32_t csts;

		switch (rand() % 7) {
		case 0:
			host_write(&h, NVME_REG_AQA, 4, (uint32_t)rand() & 0x00030003);
			break;
		case 1:
			host_write(&h, NVME_REG_ASQ, 8, at[rand() % 6]);
			break;
		case 2:
			host_write(&h, NVME_REG_ACQ, 8, at[rand() % 6]);
			break;
		case 3:
			host_write(&h, NVME_REG_CC, 4, HOST_CC | ((uint32_t)rand() % 4 ? 0 : (uint32_t)rand()));
			break;
		case 4:
			host_write(&h, NVME_REG_CC, 4, 0);
			break;
		case 5:
			host_ring(&h, (unsigned int)rand() % 8, (uint32_t)rand() % 6);
			break;
		case 6:
			host_step(&h);
			break;
		}
		csts = host_csts(&h);
		CHECK((csts & 3) != 3 || h.c->st->sq[0].size);
		if ((csts & 3) == NVME_CSTS_CFS)
			CHECK(!nvme_qmap_any(&h.c->sqs));
	}
	CHECK(host_reset(&h));
	host_enable(&h);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_close(&h);
}

/* 11: 0-based sizes of 16 bits. */
static void test_nvme_11__sizes(void)
{
	static const uint32_t sizes[] = { 0, 1, 2, 0xfffd, 0xfffe, 0xffff };
	static const uint16_t mqes[] = { 2, 3, 1024, 65534, 65535 };

	for (unsigned int m = 0; m < ARRAY_SIZE(mqes); m++) {
		struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 1, .mqes = mqes[m] };
		struct host h;
		uint64_t buf;

		host_open(&h, &cfg);
		host_enable(&h);
		buf = host_alloc(&h, 4096);
		for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
			bool ok = sizes[i] && sizes[i] < mqes[m];

			CHECK_EQ(host_create_cq(&h, 1, sizes[i], buf, 1), ok ? 0 : NVME_SC_QUEUE_SIZE | HOST_DNR);
			if (!ok)
				continue;
			CHECK_EQ(host_create_sq(&h, 1, sizes[i], buf, 1 | 1 << 16), 0);
			host_ring(&h, 2, sizes[i] + 1);
			CHECK_EQ(h.c->st->sq[1].tail, 0);
			CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, 1, 0)), 0);
			CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, 1, 0)), 0);
		}
		host_queue(&h, 1, 2, 2);
		for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct nvme_sqe s = host_rw(false, 0, buf);

			s.cdw12 = le32_of(sizes[i]);
			s.prp2 = le64_of(buf);
			CHECK(host_cmd(&h, 1, s) == (sizes[i] < 3 ? 0 : NVME_SC_LBA_RANGE | HOST_DNR) ||
			      sizes[i] > 3);
		}
		host_close(&h);
	}
}

/* 12: the admin queue is no I/O queue. */
static void test_nvme_12__queue_zero(void)
{
	static const uint32_t ids[] = { 0, 9, 63, 64, 65, 127, 128, 0xfffe, 0xffff };
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, ids[i], 0)), NVME_SC_QID_INVALID | HOST_DNR);
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, ids[i], 0)), NVME_SC_QID_INVALID | HOST_DNR);
		CHECK_EQ(host_create_cq(&h, ids[i], 15, buf, 1), NVME_SC_QID_INVALID | HOST_DNR);
		CHECK_EQ(host_create_sq(&h, ids[i], 15, buf, 1), NVME_SC_QID_INVALID | HOST_DNR);
	}
	host_close(&h);
}

/* 13: nvme_queue_test, test_queue__doorbell_values; here, every value of 16 bits and beyond. */
static void test_nvme_13__doorbell_values(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	for (uint32_t v = 16; v < 0x10000; v++) {
		host_ring(&h, 2, v);
		host_ring(&h, 3, v);
	}
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	CHECK_EQ(h.c->st->cq[1].head, 0);
	host_submit(&h, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	CHECK(host_wait(&h, 0));
	CHECK_EQ(host_dw0(&h), NVME_AER_ERROR | NVME_AER_ERROR_INVALID_DB_VAL << 8 | NVME_LOG_LID_ERROR << 16);
	CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	host_close(&h);
}

/* 14: a million of them cost nothing that lasts. */
static void test_nvme_14__million_invalid_opcodes(void)
{
	unsigned int sent = 0, got = 0;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 64);
	while (got < 1000000) {
		while (sent < 1000000 && sent - got < 63) {
			host_put(&h, 1, host_sqe(0x7e, 1, 0, 0, 0));
			sent++;
		}
		host_ring(&h, 2, h.q[1].tail);
		if (!HOST_UNTIL(&h, host_take(&h, 1)))
			break;
		do {
			got++;
			if (h.cqe.status.raw >> 1 != (NVME_SC_INVALID_OPCODE | HOST_DNR))
				FAIL("Invalid Opcode");
		} while (host_take(&h, 1));
		host_ring(&h, 3, h.q[1].head);
	}
	CHECK_EQ(got, 1000000);
	CHECK(h.c->nr_reqs < 128);
	CHECK_EQ(host_cmd(&h, 1, host_rw(false, 0, buf)), 0);
	host_close(&h);
}

/* 15: nvme_dbbuf_test, test_dbbuf__no_wakeup_is_lost has the two threads. */

/* 16: a CQ exactly full, batches reaped late: never an error, nothing lost. */
static void test_nvme_16__cq_exactly_full(void)
{
	unsigned int sent = 0, got = 0;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 9);
	while (got < 5000) {
		while (sent < 5000 && sent - got < 63) {
			host_put(&h, 1, host_rw(false, sent, buf));
			sent++;
		}
		if (h.q[1].tail != h.c->st->sq[1].tail)
			host_ring(&h, 2, h.q[1].tail);
		if (!HOST_UNTIL(&h, host_take(&h, 1)))
			break;
		do {
			got++;
			CHECK_EQ(h.cqe.status.raw >> 1, 0);
		} while (host_take(&h, 1));
		host_ring(&h, 3, h.q[1].head);
	}
	CHECK_EQ(got, 5000);
	CHECK_EQ(h.c->st->nr_events, 0);
	host_close(&h);
}

/* 17: PSDT and FUSE of every command, also those without data. */
static void test_nvme_17__psdt_and_fuse(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 16, 16);
	for (unsigned int op = 0; op < 256; op++) {
		for (unsigned int flags = 0; flags < 256; flags += 1) {
			struct nvme_sqe s = host_sqe((uint8_t)op, 1, buf, 0, 0);
			uint16_t io, admin;

			if (!(flags & 0xc3))
				continue;
			s.flags = (uint8_t)flags;
			io = host_cmd(&h, 1, s) & NVME_SC_MASK;
			admin = host_cmd(&h, 0, s) & NVME_SC_MASK;
			CHECK(admin == NVME_SC_INVALID_FIELD || admin == NVME_SC_INVALID_OPCODE);
			if (flags & 3 || flags >> 6 == 3)
				CHECK(io == NVME_SC_INVALID_FIELD || io == NVME_SC_INVALID_OPCODE);
		}
	}
	host_close(&h);
}

/* 18: SQ, lists and source data in memory the device may only read. */
static void test_nvme_18__read_only_lists(void)
{
	struct dma_table *t;
	struct nvme_sqe s;
	struct host h;
	uint64_t list, buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 64 << 10);
	host_queue(&h, 1, 16, 16);
	list = HOST_RAM_IOVA + (4 << 20);
	for (unsigned int i = 0; i < 16; i++)
		((le64 *)host_ptr(&h, list))[i] = le64_of(buf + 4096 * (i + 1));
	t = dma_table_alloc(2);
	t->r[0] = (struct dma_range){ .iova = HOST_RAM_IOVA, .last = list - 1, .mem = ferry_mem_get(h.mem),
				      .perm = DMA_READ | DMA_WRITE };
	t->r[1] = (struct dma_range){ .iova = list, .last = HOST_RAM_IOVA + HOST_RAM_SIZE - 1,
				      .mem = ferry_mem_get(h.mem), .off = 4 << 20, .perm = DMA_READ };
	host_lock(&h);
	pci_dma_set(h.fn, t, NULL);
	host_unlock(&h);
	dma_table_put(t);
	for (unsigned int w = 0; w < 2; w++) {
		s = host_rw(w, 0, buf);
		s.cdw12 = le32_of(64 * 2 - 1);
		s.prp2 = le64_of(list);
		CHECK_EQ(host_cmd(&h, 1, s), 0);
	}
	/* And data into it is refused. */
	CHECK_EQ(host_cmd(&h, 1, host_rw(false, 0, list)) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
	CHECK_EQ(host_cmd(&h, 1, host_rw(true, 0, list)), 0);
	host_close(&h);
}

/* 19: reset and disable with shadow doorbells active; the old pages are not touched any more. */
static void test_nvme_19__reset_with_shadow_doorbells(void)
{
	struct host h;

	host_open(&h, NULL);
	for (unsigned int i = 0; i < 50; i++) {
		struct nvme_sqe s = host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0);
		uint64_t shadow, ei;

		host_enable(&h);
		host_queue(&h, 1, 16, 16);
		shadow = host_alloc(&h, 4096);
		ei = host_alloc(&h, 4096);
		s.prp1 = le64_of(shadow);
		s.prp2 = le64_of(ei);
		CHECK_EQ(host_cmd(&h, 0, s), 0);
		for (unsigned int k = 0; k < i % 5; k++)
			host_step(&h);
		host_put(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
		*((volatile uint32_t *)host_ptr(&h, shadow) + 2) = 1;
		if (i & 1)
			CHECK(host_disable(&h));
		else
			CHECK(host_reset(&h));
		memset(host_ptr(&h, shadow), 0x99, 8192);
		for (unsigned int k = 0; k < 20; k++)
			host_step(&h);
		for (unsigned int k = 0; k < 8192; k++) {
			if (((uint8_t *)host_ptr(&h, shadow))[k] != 0x99) {
				FAIL("touched after the reset");
				break;
			}
		}
	}
	host_close(&h);
}

/* 20: memory of queues and data unmapped under I/O, and mapped again. */
static void test_nvme_20__unmap_during_io(void)
{
	struct host h;
	unsigned int fatal = 0;

	host_open_file(&h, ENV_EPOLL);
	srand(20);
	for (unsigned int round = 0; round < 200; round++) {
		uint64_t buf, at[5];
		unsigned int n = 0;

		host_enable(&h);
		buf = host_alloc(&h, 256 << 10);
		host_queue(&h, 1, 64, 64);
		at[0] = h.q[1].sq;
		at[1] = h.q[1].cq;
		at[2] = buf;
		at[3] = h.q[0].sq;
		at[4] = h.q[0].cq;
		for (unsigned int i = 0; i < 60; i++)
			host_put(&h, 1, host_rw(i & 1, i, buf + 4096 * (i % 60)));
		host_ring(&h, 2, h.q[1].tail);
		for (unsigned int i = 0; i < (unsigned int)rand() % 6; i++)
			host_step(&h);
		host_map_but(&h, at[round % 5] - HOST_RAM_IOVA, round % 5 == 2 ? 64 << 10 : 4096);
		for (unsigned int i = 0; i < 5; i++)
			host_step(&h);
		host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
		for (unsigned int i = 0; i < 200 && !(host_csts(&h) & NVME_CSTS_CFS); i++) {
			host_step(&h);
			n += host_take(&h, 1);
		}
		host_map_but(&h, 0, 0);
		if (host_csts(&h) & NVME_CSTS_CFS) {
			fatal++;
		} else {
			while (n < 60 && HOST_UNTIL(&h, host_take(&h, 1)))
				n++;
			CHECK_EQ(n, 60);
		}
		CHECK(host_disable(&h));
		CHECK_EQ(h.c->nr_executing, 0);
	}
	printf("# %u of 200 rounds ended fatal\n", fatal);
	host_enable(&h);
	host_queue(&h, 1, 64, 64);
	CHECK_EQ(host_cmd(&h, 1, host_rw(false, 0, host_alloc(&h, 4096))), 0);
	host_close(&h);
}

/* 21: NUMD at its limits; built with UBSan this would tell. */
static void test_nvme_21__numd(void)
{
	static const uint32_t numd[] = { 0, 0x7fff, 0x8000, 0xffff, 0x10000, 0x1fffffff, 0x3fffffff,
		0x40000000, 0x7fffffff, 0x80000000, 0xffffffff };
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	for (unsigned int i = 0; i < ARRAY_SIZE(numd); i++)
		CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_SMART, buf, 0, numd[i], false)),
			 numd[i] < 0x80000 ? 0 : NVME_SC_INVALID_FIELD | HOST_DNR);
	host_close(&h);
}

/* Reset at a random moment of anything, with I/O at the disk. */
static void test_nvme_26__reset_at_random_moments(void)
{
	struct host h;

	host_open_file(&h, ENV_URING);
	srand(26);
	for (unsigned int round = 0; round < 300; round++) {
		unsigned int acts = (unsigned int)rand() % 40;
		uint64_t buf;

		host_enable(&h);
		buf = host_alloc(&h, 64 << 10);
		host_queue(&h, 1, 64, 8);
		host_queue(&h, 2, 8, 64);
		while (acts--) {
			unsigned int q = 1 + (unsigned int)rand() % 2;

			switch (rand() % 5) {
			case 0:
			case 1:
				host_put(&h, q, host_rw(rand() & 1, (unsigned int)rand() % 512, buf));
				host_ring(&h, 2 * q, h.q[q].tail);
				break;
			case 2:
				host_step(&h);
				break;
			case 3:
				if (host_take(&h, q))
					host_ring(&h, 2 * q + 1, h.q[q].head);
				break;
			case 4:
				host_submit(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, q, 0));
				break;
			}
		}
		CHECK(host_reset(&h));
	}
	host_close(&h);
}

int main(void)
{
	RUN(test_nvme_01_02__dma_to_registers);
	RUN(test_nvme_03_04__log_offsets);
	RUN(test_nvme_05__every_admin_opcode);
	RUN(test_nvme_07__queues_and_ranges);
	RUN(test_nvme_09__prp_zero);
	RUN(test_nvme_10__init_order);
	RUN(test_nvme_11__sizes);
	RUN(test_nvme_12__queue_zero);
	RUN(test_nvme_13__doorbell_values);
	RUN(test_nvme_14__million_invalid_opcodes);
	RUN(test_nvme_16__cq_exactly_full);
	RUN(test_nvme_17__psdt_and_fuse);
	RUN(test_nvme_18__read_only_lists);
	RUN(test_nvme_19__reset_with_shadow_doorbells);
	RUN(test_nvme_20__unmap_during_io);
	RUN(test_nvme_21__numd);
	RUN(test_nvme_26__reset_at_random_moments);
	return tap_end();
}
