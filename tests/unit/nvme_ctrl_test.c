/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Enabling, disabling, shutdown, reset, fatal errors; what survives which. */
#include "nvme_host.h"

static void test_ctrl__enable_checks(void)
{
	static const struct {
		uint32_t cc, aqa;
		uint64_t asq, acq;
		uint32_t csts;
	} t[] = {
		{ HOST_CC, 0x001f001f, 0x1000000, 0x1001000, NVME_CSTS_RDY },
		{ HOST_CC, 0x00010001, 0x1000000, 0x1001000, NVME_CSTS_RDY },
		{ HOST_CC, 0x0fff0fff, 0x1000000, 0x1001000, NVME_CSTS_RDY },
		{ HOST_CC, 0x0000001f, 0x1000000, 0x1001000, NVME_CSTS_CFS },
		{ HOST_CC, 0x001f0000, 0x1000000, 0x1001000, NVME_CSTS_CFS },
		{ HOST_CC | 1 << 7, 0x001f001f, 0x1001000, 0x1002000, NVME_CSTS_CFS },
		{ HOST_CC | 1 << 7, 0x001f001f, 0x1002000, 0x1001000, NVME_CSTS_CFS },
		{ HOST_CC | 1 << 7, 0x001f001f, 0x1002000, 0x1004000, NVME_CSTS_RDY },
		{ HOST_CC | 4 << 7, 0x001f001f, 0x1010000, 0x1020000, NVME_CSTS_RDY },
		{ HOST_CC | 5 << 7, 0x001f001f, 0x1020000, 0x1040000, NVME_CSTS_CFS },
		{ HOST_CC | 15 << 7, 0x001f001f, 0, 0, NVME_CSTS_CFS },
		{ HOST_CC | 6 << 4, 0x001f001f, 0x1000000, 0x1001000, NVME_CSTS_CFS },
		{ HOST_CC | 7 << 4, 0x001f001f, 0x1000000, 0x1001000, NVME_CSTS_CFS },
		{ NVME_CC_EN, 0x001f001f, 0x1000000, 0x1001000, NVME_CSTS_RDY },
	};
	struct host h;

	host_open(&h, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		host_write(&h, NVME_REG_AQA, 4, t[i].aqa);
		host_write(&h, NVME_REG_ASQ, 8, t[i].asq);
		host_write(&h, NVME_REG_ACQ, 8, t[i].acq);
		host_write(&h, NVME_REG_CC, 4, t[i].cc);
		CHECK_EQ(host_csts(&h), t[i].csts);
		host_write(&h, NVME_REG_CC, 4, 0);
		CHECK_EQ(host_csts(&h), 0);
	}
	host_enable(&h);
	CHECK(host_disable(&h));
	host_close(&h);
}

/* Registers, features, queues after CC.EN 1 to 0, and after FLR. */
static void test_ctrl__what_survives(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 0), 0);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, 0,
		NVME_FEAT_FID_WRITE_ATOMIC | NVME_FEAT_SAVE, 1)), 0);
	host_write(&h, NVME_REG_INTMS, 4, 3);
	host_submit(&h, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	CHECK(host_disable(&h));
	CHECK_EQ(host_read(&h, NVME_REG_AQA, 4), 0x001f001f);
	CHECK_EQ(host_read(&h, NVME_REG_ASQ, 8), h.q[0].sq);
	CHECK_EQ(host_read(&h, NVME_REG_ACQ, 8), h.q[0].cq);
	CHECK_EQ(host_read(&h, NVME_REG_CC, 4), HOST_CC & ~NVME_CC_EN);
	CHECK_EQ(host_read(&h, NVME_REG_INTMS, 4), 0);
	CHECK_EQ(h.c->st->nr_aer, 0);
	host_enable(&h);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 0), 0);
	CHECK_EQ(host_dw0(&h), 1);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_WRITE_ATOMIC, 0), 0);
	CHECK_EQ(host_dw0(&h), 1);
	/* The queue is gone, its id free. */
	host_queue(&h, 1, 16, 16);
	CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	CHECK(host_reset(&h));
	CHECK_EQ(host_csts(&h), 0);
	CHECK_EQ(host_read(&h, NVME_REG_AQA, 4), 0);
	CHECK_EQ(host_read(&h, NVME_REG_ASQ, 8), 0);
	CHECK_EQ(host_read(&h, NVME_REG_ACQ, 8), 0);
	CHECK_EQ(host_read(&h, NVME_REG_CC, 4), 0);
	host_close(&h);
}

/* Copy what the specification keeps over a reset, so that the rest can be compared whole. */
static void keep(struct nvme_state *to, const struct nvme_state *from)
{
	to->feat_saved = from->feat_saved;
	to->error_count = from->error_count;
	memcpy(to->error, from->error, sizeof(to->error));
	to->data_read = from->data_read;
	to->data_written = from->data_written;
	to->host_reads = from->host_reads;
	to->host_writes = from->host_writes;
	to->power_cycles = from->power_cycles;
	to->power_on_at = from->power_on_at;
	to->unsafe_shutdowns = from->unsafe_shutdowns;
	to->media_errors = from->media_errors;
	to->feat.timestamp_at = from->feat.timestamp_at;
}

#define SAME(field) CHECK(!memcmp(&fresh.field, &h.c->st->field, sizeof(fresh.field)))

static void test_ctrl__reset_state_is_fresh_state(void)
{
	static struct nvme_state fresh;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	memcpy(&fresh, h.c->st, sizeof(fresh));
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	for (unsigned int q = 1; q <= 8; q++)
		host_queue(&h, q, 32, 16);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0)), NVME_SC_INVALID_FIELD | HOST_DNR);
	for (uint8_t f = 1; f < 0x20; f++)
		host_set_feature(&h, f, 1);
	host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, NVME_FEAT_FID_HOST_ID, 0));
	host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, NVME_FEAT_FID_TIMESTAMP, 0));
	for (unsigned int i = 0; i < 20; i++)
		CHECK_EQ(host_cmd(&h, 1, host_rw(i & 1, i, buf)), 0);
	host_ring(&h, 6, 500);		/* an event */
	nvme_notice(h.c, 1);
	HOST_UNTIL(&h, h.c->st->changed_ns[0]);
	host_write(&h, NVME_REG_INTMS, 4, 9);
	CHECK(host_reset(&h));
	keep(&fresh, h.c->st);
	SAME(cc); SAME(csts); SAME(aqa); SAME(intms); SAME(asq); SAME(acq);
	SAME(sq); SAME(cq); SAME(aer_cid); SAME(nr_aer); SAME(event); SAME(nr_events); SAME(event_masked);
	SAME(dbbuf_shadow); SAME(dbbuf_eventidx); SAME(changed_ns); SAME(changed_ns_overflow);
	SAME(feat); SAME(feat_saved);
	CHECK(!memcmp(&fresh, h.c->st, sizeof(fresh)));
	CHECK_EQ(h.c->st->host_writes, 10);
	CHECK(h.c->st->error_count > 0);
	host_close(&h);
}

static void test_ctrl__shutdown(void)
{
	const uint32_t done = NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT;
	const uint32_t mask = NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT;
	struct host h;
	uint64_t buf;

	host_open_file(&h, ENV_EPOLL);
	for (uint32_t shn = NVME_CC_SHN_NORMAL; shn <= NVME_CC_SHN_ABRUPT; shn++) {
		host_enable(&h);
		buf = host_alloc(&h, 4096);
		host_queue(&h, 1, 16, 16);
		for (unsigned int i = 0; i < 8; i++)
			host_submit(&h, 1, host_rw(true, i, buf));
		host_write(&h, NVME_REG_CC, 4, HOST_CC | shn << NVME_CC_SHN_SHIFT);
		CHECK(host_csts(&h) & NVME_CSTS_RDY);
		CHECK(host_csts(&h) & mask);
		CHECK(HOST_UNTIL(&h, (host_csts(&h) & mask) == done));
		/* What was under way has its completions. */
		for (unsigned int i = 0; i < 8; i++)
			CHECK(host_take(&h, 1));
		/* No command is taken any more; EN to 0 and 1 brings it back. */
		host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
		for (unsigned int i = 0; i < 50; i++)
			host_step(&h);
		CHECK(!host_take(&h, 0));
		CHECK(host_disable(&h));
		CHECK_EQ(host_csts(&h) & mask, done);
		host_enable(&h);
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
		CHECK(host_disable(&h));
	}
	/* Together with EN 0, and of a controller that is down. */
	host_enable(&h);
	host_write(&h, NVME_REG_CC, 4, (HOST_CC & ~NVME_CC_EN) | 1 << NVME_CC_SHN_SHIFT);
	CHECK(HOST_UNTIL(&h, host_csts(&h) == done));
	host_close(&h);
}

/* Disabling and reset while block I/O runs into client memory: RDY stays, then nothing more arrives. */
static void test_ctrl__disable_under_io(void)
{
	struct host h;

	host_open_file(&h, ENV_EPOLL);
	for (unsigned int round = 0; round < 300; round++) {
		uint64_t buf;
		unsigned int steps = (unsigned int)rand() % 12;

		host_enable(&h);
		buf = host_alloc(&h, 1 << 20);
		host_queue(&h, 1, 64, 64);
		for (unsigned int i = 0; i < 60; i++)
			host_put(&h, 1, host_rw(round & 1, i, buf + 4096 * i));
		host_ring(&h, 2, h.q[1].tail);
		while (steps--)
			host_step(&h);
		if (round & 2) {
			CHECK(host_disable(&h));
		} else if (round & 4) {
			host_write(&h, NVME_REG_CC, 4, 0);
			host_reset_start(&h);
			CHECK(HOST_UNTIL(&h, h.reset_over));
			host_command(&h, 6);
		} else {
			CHECK(host_reset(&h));
		}
		CHECK_EQ(h.c->nr_executing, 0);
		memset(h.ram, 0x77, HOST_RAM_SIZE);
		for (unsigned int i = 0; i < 5; i++)
			host_step(&h);
		for (uint64_t i = 0; i < HOST_RAM_SIZE; i += 509)
			if (h.ram[i] != 0x77) {
				FAIL("written after the reset");
				break;
			}
	}
	host_close(&h);
}

/* CC.EN back to 1 before RDY fell: it comes up again by itself. */
static void test_ctrl__enable_while_disabling(void)
{
	struct host h;
	uint64_t buf;

	host_open_file(&h, ENV_EPOLL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 64);
	for (unsigned int i = 0; i < 32; i++)
		host_put(&h, 1, host_rw(true, i, buf));
	host_ring(&h, 2, h.q[1].tail);
	host_write(&h, NVME_REG_CC, 4, HOST_CC & ~NVME_CC_EN);
	host_write(&h, NVME_REG_CC, 4, HOST_CC);
	CHECK(HOST_UNTIL(&h, !h.c->disabling && host_csts(&h) == NVME_CSTS_RDY));
	CHECK_EQ(nvme_qmap_next(&h.c->sqs, 1), NVME_QIDS);
	host_close(&h);
}

static void test_ctrl__fatal_until_reset(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	/* The admin SQ's memory is taken away. */
	host_map_but(&h, 0, 8192);
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	CHECK(host_csts(&h) & NVME_CSTS_CFS);
	host_map_but(&h, 0, 0);
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	for (unsigned int i = 0; i < 20; i++)
		host_step(&h);
	CHECK(!host_take(&h, 0));
	CHECK(host_disable(&h));
	CHECK_EQ(host_csts(&h), 0);
	host_enable(&h);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_close(&h);
}

/* No fetching without bus mastering; completions wait for it too. */
static void test_ctrl__bus_master(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_command(&h, 0x2);
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0));
	for (unsigned int i = 0; i < 20; i++)
		host_step(&h);
	CHECK(!host_take(&h, 0));
	CHECK_EQ(host_csts(&h), NVME_CSTS_RDY);
	host_command(&h, 0x6);
	CHECK(host_wait(&h, 0));
	host_close(&h);
}

static void test_ctrl__config_is_checked(void)
{
	static const struct nvme_ctrl_config bad[] = {
		{ .cntlid = 0, .queues = 1 }, { .cntlid = 1, .queues = 0 }, { .cntlid = 1, .queues = 65 },
		{ .cntlid = 1, .queues = 2, .vectors = 4 }, { .cntlid = 1, .queues = 1, .mqes = 1 },
		{ .cntlid = 1, .queues = 1, .mdts = 17 }, { .cntlid = 0xffff, .queues = 1 },
	};
	struct nvme_ctrl_config second = { .cntlid = 2, .queues = 1 };
	struct pci_function *fn;
	struct ferry_err e;
	struct host h;

	host_open(&h, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(nvme_ctrl_create(h.ss, &bad[i], h.env, &fn, &e), -EINVAL);
	CHECK_EQ(nvme_ctrl_create(h.ss, &second, h.env, &fn, &e), 0);
	nvme_ctrl_destroy(fn);
	second.cntlid = 1;
	CHECK_EQ(nvme_ctrl_create(h.ss, &second, h.env, &fn, &e), -EEXIST);
	CHECK(nvme_ctrl_subsys(h.c) == h.ss);
	host_close(&h);
}

static void test_ctrl__info(void)
{
	struct nvme_ctrl_info info;
	struct host h;

	host_open(&h, NULL);
	nvme_ctrl_info(h.c, &info);
	CHECK(!info.enabled && !info.ready && info.queues_max == 8 && info.vectors == 9);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	host_queue(&h, 8, 16, 16);
	CHECK_EQ(host_cmd(&h, 8, host_rw(true, 0, host_alloc(&h, 512))), 0);
	nvme_ctrl_info(h.c, &info);
	CHECK(info.enabled && info.ready && !info.fatal && info.io_sqs == 2 && info.io_cqs == 2);
	CHECK(info.writes == 1 && info.written_bytes == 512);
	host_close(&h);
}

/* An idle controller keeps little: after a burst the pool shrinks. */
static void test_ctrl__memory_when_idle(void)
{
	struct host h;
	uint64_t buf;

	host_open_file(&h, ENV_EPOLL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	for (unsigned int q = 1; q <= 8; q++) {
		host_queue(&h, q, 64, 64);
		for (unsigned int i = 0; i < 63; i++)
			host_put(&h, q, host_rw(false, i, buf));
		host_ring(&h, 2 * q, h.q[q].tail);
	}
	CHECK(h.c->nr_reqs > 200);
	for (unsigned int q = 1; q <= 8; q++) {
		for (unsigned int i = 0; i < 63; i++)
			CHECK(host_wait(&h, q));
	}
	CHECK(host_disable(&h));
	printf("# idle: %zu bytes of requests, %zu of state, %zu of controller\n",
	       h.c->nr_reqs * sizeof(struct nvme_req), sizeof(struct nvme_state), sizeof(struct nvme_ctrl));
	CHECK(h.c->nr_reqs * sizeof(struct nvme_req) + sizeof(struct nvme_state) +
	      sizeof(struct nvme_ctrl) + sizeof(struct pci_state) < 256 << 10);
	host_close(&h);
}

int main(void)
{
	RUN(test_ctrl__enable_checks);
	RUN(test_ctrl__what_survives);
	RUN(test_ctrl__reset_state_is_fresh_state);
	RUN(test_ctrl__shutdown);
	RUN(test_ctrl__disable_under_io);
	RUN(test_ctrl__enable_while_disabling);
	RUN(test_ctrl__fatal_until_reset);
	RUN(test_ctrl__bus_master);
	RUN(test_ctrl__config_is_checked);
	RUN(test_ctrl__info);
	RUN(test_ctrl__memory_when_idle);
	return tap_end();
}
