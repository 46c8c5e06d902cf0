/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Asynchronous events: limits, masking, pending ones, namespace notices, Abort. */
#include "nvme_host.h"

#include <pthread.h>

#define NOTICE_NS (2u | 4u << 16)

static uint16_t aer(struct host *h)
{
	return host_submit(h, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
}

static uint16_t status(const struct host *h)
{
	return le16_get(h->cqe.status) >> 1;
}

static void read_log(struct host *h, uint8_t lid, bool rae)
{
	CHECK_EQ(host_cmd(h, 0, host_get_log(lid, HOST_RAM_IOVA + (4 << 20), 0, 1023, rae)), 0);
}

static void test_aer__limit(void)
{
	struct host h;
	uint16_t cid;

	host_open(&h, NULL);
	host_enable(&h);
	for (unsigned int i = 0; i < NVME_AERL; i++)
		aer(&h);
	CHECK(!host_take(&h, 0));
	cid = aer(&h);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(le16_get(h.cqe.cid), cid);
	CHECK_EQ(status(&h), NVME_SC_ASYNC_LIMIT);
	CHECK_EQ(h.c->st->nr_aer, NVME_AERL);
	/* They count as nothing when the controller goes down, and answer nothing. */
	CHECK_EQ(h.c->nr_executing, 0);
	CHECK(host_disable(&h));
	CHECK(!host_take(&h, 0));
	CHECK_EQ(h.c->st->nr_aer, 0);
	host_close(&h);
}

static void test_aer__masked_until_log_is_read(void)
{
	struct host h;
	uint16_t first, second;

	host_open(&h, NULL);
	host_enable(&h);
	first = aer(&h);
	second = aer(&h);
	host_ring(&h, 100, 1);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(le16_get(h.cqe.cid), first);
	CHECK_EQ(host_dw0(&h), NVME_AER_ERROR | NVME_AER_ERROR_INVALID_DB_REG << 8 | NVME_LOG_LID_ERROR << 16);
	/* The type is masked: this one waits. */
	host_ring(&h, 0, 0xfff);
	CHECK(!host_take(&h, 0));
	CHECK_EQ(h.c->st->nr_events, 1);
	read_log(&h, NVME_LOG_LID_ERROR, true);
	CHECK(!host_take(&h, 0));
	/* Read with RAE 0: the log told of it, it is settled. */
	read_log(&h, NVME_LOG_LID_ERROR, false);
	CHECK(!host_take(&h, 0));
	CHECK_EQ(h.c->st->nr_events, 0);
	host_ring(&h, 0, 0xfff);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(le16_get(h.cqe.cid), second);
	CHECK_EQ(host_dw0(&h), NVME_AER_ERROR | NVME_AER_ERROR_INVALID_DB_VAL << 8 | NVME_LOG_LID_ERROR << 16);
	host_close(&h);
}

static void test_aer__pending_without_request(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	for (unsigned int i = 0; i < 1000; i++)
		host_ring(&h, 100 + i % 50, i);
	CHECK_EQ(h.c->st->nr_events, 1);
	aer(&h);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(h.c->st->nr_events, 0);
	host_close(&h);
}

static void test_aer__full_cq(void)
{
	struct host h;
	unsigned int n = 0;

	host_open(&h, NULL);
	host_enable(&h);
	aer(&h);
	/* The admin CQ full to the brim, and the event on top. */
	for (unsigned int i = 0; i < HOST_ADMIN_ENTRIES - 2; i++)
		host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0xffff, 0));
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0xffff, 0));
	host_ring(&h, 100, 1);
	while (host_take(&h, 0))
		n++;
	CHECK_EQ(n, HOST_ADMIN_ENTRIES - 1);
	host_ring(&h, 1, h.q[0].head);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(host_dw0(&h) & 7, NVME_AER_ERROR);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0xffff, 0)), 0);
	host_close(&h);
}

static void test_aer__abort(void)
{
	struct host h;
	uint16_t a, b;

	host_open(&h, NULL);
	host_enable(&h);
	a = aer(&h);
	b = aer(&h);
	host_submit(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, (uint32_t)b << 16, 0));
	CHECK(host_wait(&h, 0));
	CHECK_EQ(le16_get(h.cqe.cid), b);
	CHECK_EQ(status(&h), NVME_SC_ABORT_REQ);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(status(&h), 0);
	CHECK_EQ(host_dw0(&h), 0);
	/* Not there (any more): not aborted. */
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, (uint32_t)b << 16, 0)), 0);
	CHECK_EQ(host_dw0(&h), 1);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0xffffffff, 0)), 0);
	CHECK_EQ(host_dw0(&h), 1);
	CHECK_EQ(h.c->st->nr_aer, 1);
	CHECK_EQ(h.c->st->aer_cid[0], a);
	host_close(&h);
}

static void test_aer__namespace_notice(void)
{
	struct ferry_err e;
	struct host h;
	uint16_t cid;
	uint32_t *list;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_ASYNC_EVENT, NVME_OAES_NA), 0);
	cid = aer(&h);
	CHECK_EQ(nvme_ns_detach(h.ss, 1, 1, &e), 0);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(le16_get(h.cqe.cid), cid);
	CHECK_EQ(host_dw0(&h), NOTICE_NS);
	list = host_ptr(&h, HOST_RAM_IOVA + (4 << 20));
	read_log(&h, NVME_LOG_LID_CHANGED_NS, true);
	CHECK_EQ(list[0], 1);
	CHECK_EQ(list[1], 0);
	aer(&h);
	nvme_notice(h.c, 128);
	nvme_notice(h.c, 0);
	nvme_notice(h.c, 129);
	HOST_UNTIL(&h, h.c->st->changed_ns[4]);
	CHECK(!host_take(&h, 0));
	read_log(&h, NVME_LOG_LID_CHANGED_NS, false);
	CHECK_EQ(list[0], 1);
	CHECK_EQ(list[1], 128);
	CHECK_EQ(list[2], 0);
	read_log(&h, NVME_LOG_LID_CHANGED_NS, false);
	CHECK_EQ(list[0], 0);
	CHECK(!host_take(&h, 0));
	CHECK_EQ(nvme_ns_attach(h.ss, 1, 1, &e), 0);
	CHECK(host_wait(&h, 0));
	CHECK_EQ(host_dw0(&h), NOTICE_NS);
	host_close(&h);
}

static void test_aer__notice_needs_the_feature(void)
{
	struct host h;

	host_open(&h, NULL);
	/* Down: forgotten, the driver will look for itself. */
	nvme_notice(h.c, 1);
	for (unsigned int i = 0; i < 10; i++)
		host_step(&h);
	host_enable(&h);
	CHECK_EQ(h.c->st->changed_ns[0], 0);
	aer(&h);
	nvme_notice(h.c, 1);
	HOST_UNTIL(&h, h.c->st->changed_ns[0]);
	CHECK(!host_take(&h, 0));
	CHECK_EQ(h.c->st->nr_events, 0);
	host_close(&h);
}

static void *notifier(void *arg)
{
	struct host *h = arg;

	for (uint32_t i = 0; i < 20000; i++)
		nvme_notice(h->c, 1 + i % 128);
	return NULL;
}

/* Notices from another thread, while the driver reads the log: in the end every one was told. */
static void test_aer__notices_from_another_thread(void)
{
	uint32_t told[5] = { 0 };
	struct host h;
	pthread_t t;
	uint32_t *list;
	bool running = true;

	host_open(&h, NULL);
	host_enable(&h);
	list = host_ptr(&h, HOST_RAM_IOVA + (4 << 20));
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_ASYNC_EVENT, NVME_OAES_NA), 0);
	pthread_create(&t, NULL, notifier, &h);
	aer(&h);
	for (unsigned int quiet = 0; quiet < 20;) {
		host_step(&h);
		if (!host_take(&h, 0)) {
			if (running && !pthread_tryjoin_np(t, NULL))
				running = false;
			quiet += !running;
			continue;
		}
		quiet = 0;
		host_ring(&h, 1, h.q[0].head);
		CHECK_EQ(host_dw0(&h), NOTICE_NS);
		read_log(&h, NVME_LOG_LID_CHANGED_NS, false);
		for (unsigned int i = 0; i < 128 && list[i]; i++)
			told[list[i] / 32] |= 1u << list[i] % 32;
		aer(&h);
	}
	CHECK_EQ(told[0], 0xfffffffe);
	CHECK_EQ(told[1] & told[2] & told[3], 0xffffffff);
	CHECK_EQ(told[4], 1);
	host_close(&h);
}

int main(void)
{
	RUN(test_aer__limit);
	RUN(test_aer__masked_until_log_is_read);
	RUN(test_aer__pending_without_request);
	RUN(test_aer__full_cq);
	RUN(test_aer__abort);
	RUN(test_aer__namespace_notice);
	RUN(test_aer__notice_needs_the_feature);
	RUN(test_aer__notices_from_another_thread);
	return tap_end();
}
