/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Creating and deleting queues, doorbells, full CQs, interrupts. */
#include "nvme_host.h"

#define PC 1u
#define IEN 2u

static void test_queue__create_cq_statuses(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 8, .mqes = 1024 };
	struct host h;
	uint64_t m;

	host_open(&h, &cfg);
	host_enable(&h);
	m = host_alloc(&h, 1024 * 64);
	CHECK_EQ(host_create_cq(&h, 0, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 9, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 0xffff, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 0, m, PC), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 1024, m, PC), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 0xffff, m, PC), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 15, m + 512, PC), NVME_SC_PRP_INVALID_OFFSET | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, 0), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC | IEN | 9 << 16), NVME_SC_INVALID_VECTOR | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC | IEN | 0xffffu << 16), NVME_SC_INVALID_VECTOR | HOST_DNR);
	/* MSI-X is off: there is vector 0 only. */
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC | IEN | 1 << 16), NVME_SC_INVALID_VECTOR | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 1, 1023, m, PC | IEN), 0);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 8, 1, m, PC), 0);
	host_close(&h);
}

static void test_queue__create_sq_statuses(void)
{
	struct host h;
	uint64_t m;

	host_open(&h, NULL);
	host_enable(&h);
	m = host_alloc(&h, 1024 * 64);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC), 0);
	CHECK_EQ(host_create_sq(&h, 0, 15, m, PC | 1 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 9, 15, m, PC | 1 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 0xffff, 15, m, PC | 1 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 9 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 0xffffu << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 2 << 16), NVME_SC_CQ_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 0, m, PC | 1 << 16), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 1024, m, PC | 1 << 16), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 0xfffe, m, PC | 1 << 16), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m + 8, PC | 1 << 16), NVME_SC_PRP_INVALID_OFFSET | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, 1 << 16), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 1 << 16), 0);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 1 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 2, 15, m, PC | 1 << 16), 0);
	host_close(&h);
}

static void test_queue__delete_statuses(void)
{
	static const uint32_t bad[] = { 0, 2, 8, 9, 64, 65, 128, 0xfffe, 0xffff };
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, bad[i], 0)),
			 NVME_SC_QID_INVALID | HOST_DNR);
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, bad[i], 0)),
			 NVME_SC_QID_INVALID | HOST_DNR);
	}
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, 1, 0)), NVME_SC_INVALID_QUEUE | HOST_DNR);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, 1, 0)), 0);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, 1, 0)), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, 1, 0)), 0);
	host_queue(&h, 1, 16, 16);
	CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	host_close(&h);
}

static void test_queue__entry_size_mismatch(void)
{
	struct host h;
	uint64_t m;

	host_open(&h, NULL);
	CHECK_EQ(host_enable_with(&h, NVME_CC_EN), NVME_CSTS_RDY);
	m = host_alloc(&h, 4096);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC), NVME_SC_QUEUE_SIZE | HOST_DNR);
	CHECK(host_disable(&h));
	CHECK_EQ(host_enable_with(&h, NVME_CC_EN | NVME_CQES << NVME_CC_IOCQES_SHIFT), NVME_CSTS_RDY);
	CHECK_EQ(host_create_cq(&h, 1, 15, m, PC), 0);
	CHECK_EQ(host_create_sq(&h, 1, 15, m, PC | 1 << 16), NVME_SC_QUEUE_SIZE | HOST_DNR);
	host_close(&h);
}

/* A granted number is a limit. */
static void test_queue__more_than_granted(void)
{
	struct host h;
	uint64_t m;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_NUM_QUEUES, 1 | 2 << 16), 0);
	CHECK_EQ(host_dw0(&h), 1 | 2 << 16);
	m = host_alloc(&h, 4096);
	CHECK_EQ(host_create_cq(&h, 4, 15, m, PC), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_cq(&h, 3, 15, m, PC), 0);
	CHECK_EQ(host_create_sq(&h, 3, 15, m, PC | 3 << 16), NVME_SC_QID_INVALID | HOST_DNR);
	CHECK_EQ(host_create_sq(&h, 2, 15, m, PC | 3 << 16), 0);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_NUM_QUEUES, 7 | 7 << 16), NVME_SC_CMD_SEQ_ERROR | HOST_DNR);
	host_close(&h);
}

/* The largest queues there can be. */
static void test_queue__65535_entries(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 1, .mqes = 65535 };
	struct host h;
	uint64_t buf;

	host_open(&h, &cfg);
	CHECK_EQ(host_read(&h, NVME_REG_CAP, 2), 65534);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	CHECK_EQ(host_create_cq(&h, 1, 65535, buf, PC), NVME_SC_QUEUE_SIZE | HOST_DNR);
	host_queue(&h, 1, 65535, 65535);
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (unsigned int i = 0; i < 65534; i++)
			host_put(&h, 1, host_rw(false, 0, buf));
		host_ring(&h, 2, h.q[1].tail);
		for (unsigned int i = 0; i < 65534; i++) {
			if (!HOST_UNTIL(&h, host_take(&h, 1)) || h.cqe.status.raw >> 1) {
				FAIL("65534 completions");
				break;
			}
		}
		host_ring(&h, 3, h.q[1].head);
	}
	host_close(&h);
}

static void test_queue__wraps_and_phase(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 7, 5);
	for (unsigned int i = 0; i < 100; i++) {
		CHECK_EQ(host_cmd(&h, 1, host_rw(false, i, buf)), 0);
		CHECK_EQ(le16_get(h.cqe.sqhd), (i + 1) % 7);
	}
	host_close(&h);
}

/* Several SQs on one CQ; a batch that wraps. */
static void test_queue__shared_cq(void)
{
	unsigned int seen[9] = { 0 };
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 512);
	for (unsigned int q = 2; q <= 8; q++) {
		host_queue_init(&h, q, 64, 2);
		CHECK_EQ(host_create_sq(&h, q, 63, h.q[q].sq, PC | 1 << 16), 0);
	}
	for (unsigned int turn = 0; turn < 5; turn++) {
		for (unsigned int q = 1; q <= 8; q++) {
			for (unsigned int i = 0; i < 50; i++)
				host_put(&h, q, host_rw(false, i, buf));
			host_ring(&h, 2 * q, h.q[q].tail);
		}
		for (unsigned int i = 0; i < 400; i++) {
			CHECK(host_wait(&h, 1));
			seen[le16_get(h.cqe.sqid)]++;
		}
	}
	for (unsigned int q = 1; q <= 8; q++)
		CHECK_EQ(seen[q], 250);
	host_close(&h);
}

/* One CQ that nobody empties holds up its own SQ only, and loses nothing. */
static void test_queue__full_cq_stalls_only_itself(void)
{
	struct host h;
	uint64_t buf;
	unsigned int n = 0;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 256, 4);
	host_queue(&h, 2, 64, 64);
	for (unsigned int i = 0; i < 200; i++)
		host_put(&h, 1, host_rw(false, i, buf));
	host_ring(&h, 2, h.q[1].tail);
	for (unsigned int i = 0; i < 100; i++)
		CHECK_EQ(host_cmd(&h, 2, host_rw(false, i, buf)), 0);
	CHECK(h.c->nr_io_reqs <= NVME_SQE_BATCH);
	while (host_take(&h, 1))
		n++;
	CHECK_EQ(n, 3);
	host_ring(&h, 3, h.q[1].head);
	for (; n < 200; n++) {
		CHECK(host_wait(&h, 1));
		CHECK_EQ(h.cqe.status.raw >> 1, 0);
	}
	CHECK(!host_take(&h, 1));
	host_close(&h);
}

/* Deleting an SQ whose completions wait for room, and one with commands at the disk. */
static void test_queue__delete_busy_sq(void)
{
	struct host h;
	uint64_t buf;
	uint16_t cid;

	host_open_file(&h, ENV_EPOLL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	for (unsigned int round = 0; round < 30; round++) {
		unsigned int n = 0;

		host_queue(&h, 1, 64, round & 1 ? 4 : 64);
		for (unsigned int i = 0; i < 60; i++)
			host_put(&h, 1, host_rw(false, i, buf));
		host_ring(&h, 2, h.q[1].tail);
		for (unsigned int i = 0; i < round; i++)
			host_step(&h);
		cid = host_submit(&h, 0, host_sqe(nvme_admin_delete_sq, 0, 0, 1, 0));
		if (!host_wait(&h, 0)) {
			/* The CQ is full: whoever deletes an SQ has to keep taking completions. */
			CHECK(round & 1);
			while (HOST_UNTIL(&h, host_take(&h, 1) || h.c->nr_executing == 0) && n++ < 100)
				host_ring(&h, 3, h.q[1].head);
			CHECK(host_wait(&h, 0));
		}
		CHECK_EQ(le16_get(h.cqe.cid), cid);
		CHECK_EQ(h.cqe.status.raw >> 1, 0);
		CHECK(!nvme_qmap_has(&h.c->sqs, 1));
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_delete_cq, 0, 0, 1, 0)), 0);
		CHECK_EQ(h.c->nr_io_reqs, 0);
		h.next = buf + 4096;
	}
	host_close(&h);
}

static void test_queue__doorbell_values(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	/* Widths and places that are none. */
	host_write(&h, 0x1008, 2, 1);
	host_write(&h, 0x1008, 1, 1);
	host_write(&h, 0x100a, 4, 1);
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	CHECK_EQ(h.c->st->nr_events, 0);
	host_ring(&h, 2, 16);
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	CHECK_EQ(h.c->st->nr_events, 1);
	CHECK_EQ(h.c->st->event[0].info, NVME_AER_ERROR_INVALID_DB_VAL);
	host_ring(&h, 2, 0);		/* the same again */
	host_ring(&h, 3, 1);		/* nothing was posted */
	host_ring(&h, 3, 16);
	CHECK_EQ(h.c->st->cq[1].head, 0);
	CHECK_EQ(h.c->st->nr_events, 1);
	host_ring(&h, 4, 1);		/* no such queue */
	host_ring(&h, 1023, 1);
	CHECK_EQ(h.c->st->nr_events, 2);
	CHECK_EQ(h.c->st->event[1].info, NVME_AER_ERROR_INVALID_DB_REG);
	CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	/* Tails do not go back. */
	host_command(&h, 0x2);
	host_ring(&h, 2, 5);
	host_ring(&h, 2, 4);
	CHECK_EQ(h.c->st->sq[1].tail, 5);
	host_ring(&h, 2, 0);
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	host_ring(&h, 2, 1);
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	host_close(&h);
}

static void test_queue__doorbells_when_down(void)
{
	struct host h;

	host_open(&h, NULL);
	for (unsigned int i = 0; i < 1024; i++)
		host_ring(&h, i, i);
	CHECK_EQ(h.c->st->nr_events, 0);
	CHECK_EQ(h.c->st->error_count, 0);
	host_enable(&h);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_close(&h);
}

static void test_queue__msix(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_lock(&h);
	pci_msix_setup(h.fn, 9, (struct pci_irq){ host_irq, &h });
	host_unlock(&h);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue_init(&h, 1, 64, 64);
	CHECK_EQ(host_create_cq(&h, 1, 63, h.q[1].cq, PC | IEN | 5 << 16), 0);
	CHECK_EQ(host_create_sq(&h, 1, 63, h.q[1].sq, PC | 1 << 16), 0);
	CHECK_EQ(h.irqs[0], 2);
	for (unsigned int i = 0; i < 20; i++)
		host_put(&h, 1, host_rw(false, i, buf));
	host_ring(&h, 2, h.q[1].tail);
	/* One batch, one interrupt. */
	CHECK_EQ(h.irqs[5], 1);
	for (unsigned int i = 0; i < 20; i++)
		CHECK(host_wait(&h, 1));
	CHECK_EQ(h.irqs[5], 1);
	CHECK_EQ(host_cmd(&h, 1, host_rw(false, 0, buf)), 0);
	CHECK_EQ(h.irqs[5], 2);
	CHECK_EQ(h.pins, 0);
	host_close(&h);
}

static bool pin(struct host *h)
{
	bool level;

	host_lock(h);
	level = pci_config_read(h->fn, 6, 2) & 8;
	host_unlock(h);
	return level;
}

static void test_queue__pin(void)
{
	struct host h;

	host_open(&h, NULL);
	h.fn->intx_irq = (struct pci_irq){ host_pin, &h };
	host_enable(&h);
	CHECK(!pin(&h));
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	CHECK(pin(&h));
	CHECK_EQ(h.pins, 1);
	host_write(&h, NVME_REG_INTMS, 4, 1);
	CHECK(!pin(&h));
	host_write(&h, NVME_REG_INTMC, 4, 1);
	CHECK(pin(&h));
	CHECK_EQ(h.pins, 2);
	CHECK(host_wait(&h, 0));
	CHECK(!pin(&h));
	/* Two completions, one taken: still high. */
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	CHECK(host_wait(&h, 0));
	CHECK(pin(&h));
	CHECK(host_wait(&h, 0));
	CHECK(!pin(&h));
	/* A CQ without IEN does not drive it; reset lowers it. */
	host_queue(&h, 1, 16, 16);
	host_submit(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
	CHECK(!pin(&h));
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	CHECK(pin(&h));
	CHECK(host_disable(&h));
	CHECK(!pin(&h));
	host_close(&h);
}

/* All queues at once, random order, random reaping. */
static void test_queue__64_queues(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = 64 };
	unsigned int out[65] = { 0 }, done = 0;
	struct host h;
	uint64_t buf;

	host_open(&h, &cfg);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	for (unsigned int q = 1; q <= 64; q++)
		host_queue(&h, q, 2 + q, 3 + q % 7);
	for (unsigned int i = 0; i < 200000 && done < 50000; i++) {
		unsigned int q = 1 + (unsigned int)rand() % 64;

		if (out[q] < h.q[q].sq_size - 1u && rand() % 2) {
			host_submit(&h, q, host_rw(false, q, buf));
			out[q]++;
		} else if (host_take(&h, q)) {
			host_ring(&h, 2 * q + 1, h.q[q].head);
			CHECK_EQ(h.cqe.status.raw >> 1, 0);
			out[q]--;
			done++;
		}
		if (i % 64 == 0)
			host_step(&h);
	}
	for (unsigned int q = 1; q <= 64; q++) {
		for (; out[q]; out[q]--)
			CHECK(host_wait(&h, q));
	}
	CHECK_EQ(h.c->st->nr_events, 0);
	host_close(&h);
}

int main(void)
{
	RUN(test_queue__create_cq_statuses);
	RUN(test_queue__create_sq_statuses);
	RUN(test_queue__delete_statuses);
	RUN(test_queue__entry_size_mismatch);
	RUN(test_queue__more_than_granted);
	RUN(test_queue__65535_entries);
	RUN(test_queue__wraps_and_phase);
	RUN(test_queue__shared_cq);
	RUN(test_queue__full_cq_stalls_only_itself);
	RUN(test_queue__delete_busy_sq);
	RUN(test_queue__doorbell_values);
	RUN(test_queue__doorbells_when_down);
	RUN(test_queue__msix);
	RUN(test_queue__pin);
	RUN(test_queue__64_queues);
	return tap_end();
}
