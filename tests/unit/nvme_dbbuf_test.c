/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Shadow doorbells, against the driver's side of the protocol as the specification has it. */
#include "nvme_host.h"

#include <pthread.h>

struct bufs {
	uint64_t shadow, ei;
};

static volatile uint32_t *slot(struct host *h, uint64_t page, unsigned int index)
{
	return (volatile uint32_t *)host_ptr(h, page) + index;
}

static void dbbuf_open(struct host *h, struct bufs *b)
{
	struct nvme_sqe s = host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0);

	b->shadow = host_alloc(h, 4096);
	b->ei = host_alloc(h, 4096);
	memset(host_ptr(h, b->shadow), 0xff, 4096);
	s.prp1 = le64_of(b->shadow);
	s.prp2 = le64_of(b->ei);
	CHECK_EQ(host_cmd(h, 0, s), 0);
}

/* The driver: shadow, barrier, EventIdx, and the register if it must. Return: whether it rang. */
static bool driver_ring(struct host *h, const struct bufs *b, unsigned int index, uint16_t value)
{
	uint16_t old = (uint16_t)*slot(h, b->shadow, index), ei;

	atomic_thread_fence(memory_order_release);
	*slot(h, b->shadow, index) = value;
	atomic_thread_fence(memory_order_seq_cst);
	ei = (uint16_t)*slot(h, b->ei, index);
	if ((uint16_t)(value - ei - 1) < (uint16_t)(value - old)) {
		/* What the register says does not count: write rubbish. */
		host_write(h, NVME_REG_DOORBELLS + 4 * index, 4, 0x3333);
		return true;
	}
	return false;
}

/* Until the worker sleeps. */
static void settle(struct host *h)
{
	HOST_UNTIL(h, !h->c->spinning);
}

static void test_dbbuf__config_checks(void)
{
	static const uint64_t bad[][2] = {
		{ 0, 0x1000000 }, { 0x1000000, 0 }, { 0x1000004, 0x1001000 }, { 0x1000000, 0x1001800 },
	};
	struct nvme_ctrl_config none = { .cntlid = 1, .queues = 1, .no_dbbuf = true };
	struct nvme_sqe s = host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0);
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		s.prp1 = le64_of(bad[i][0]);
		s.prp2 = le64_of(bad[i][1]);
		CHECK_EQ(host_cmd(&h, 0, s), NVME_SC_INVALID_FIELD | HOST_DNR);
	}
	s.prp1 = le64_of(0x7fff0000);
	s.prp2 = le64_of(0x1000000);
	CHECK_EQ(host_cmd(&h, 0, s) & NVME_SC_MASK, NVME_SC_DATA_XFER_ERROR);
	CHECK_EQ(h.c->st->dbbuf_shadow, 0);
	host_close(&h);
	host_open(&h, &none);
	host_enable(&h);
	CHECK_EQ(host_cmd(&h, 0, s), NVME_SC_INVALID_OPCODE | HOST_DNR);
	host_close(&h);
}

static void test_dbbuf__config_copies_values(void)
{
	struct bufs b;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	dbbuf_open(&h, &b);
	CHECK_EQ(*slot(&h, b.shadow, 2), 3);
	CHECK_EQ(*slot(&h, b.shadow, 3), 3);
	CHECK_EQ(*slot(&h, b.ei, 2), 3);
	/* The admin queue: by register, mirrored. */
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	CHECK_EQ(*slot(&h, b.shadow, 0), h.q[0].tail);
	CHECK_EQ(*slot(&h, b.shadow, 1), h.q[0].head);
	*slot(&h, b.shadow, 0) = 0x1234;
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	/* A queue made later starts at 0. */
	*slot(&h, b.shadow, 4) = 99;
	*slot(&h, b.ei, 5) = 99;
	host_queue(&h, 2, 16, 16);
	CHECK_EQ(*slot(&h, b.shadow, 4), 0);
	CHECK_EQ(*slot(&h, b.ei, 5), 0);
	host_close(&h);
}

/* Awake: no register write. Asleep: exactly one wakes it. */
static void test_dbbuf__rings_only_when_asleep(void)
{
	unsigned int rang = 0;
	struct bufs b;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 64);
	dbbuf_open(&h, &b);
	CHECK_EQ(h.fn->strand.poll_mode, ENV_POLL_EVENT);
	settle(&h);
	CHECK(!h.c->spinning);
	for (unsigned int i = 0; i < 20; i++) {
		host_put(&h, 1, host_rw(false, i, buf));
		CHECK(driver_ring(&h, &b, 2, h.q[1].tail));
		CHECK(HOST_UNTIL(&h, host_take(&h, 1)));
		driver_ring(&h, &b, 3, h.q[1].head);
		CHECK_EQ(*slot(&h, b.ei, 2), h.q[1].tail);
		settle(&h);
	}
	/* Doorbells in quick succession bring the worker up; then silence. */
	for (unsigned int i = 0; i < 2000; i++) {
		host_put(&h, 1, host_rw(false, i, buf));
		rang += driver_ring(&h, &b, 2, h.q[1].tail);
		CHECK(HOST_UNTIL(&h, host_take(&h, 1)));
		driver_ring(&h, &b, 3, h.q[1].head);
		host_step(&h);
	}
	printf("# %u rings for 2000 commands\n", rang);
	CHECK(rang < 1000);
	host_close(&h);
}

static void test_dbbuf__invalid_stops_the_queue(void)
{
	struct bufs b;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	host_queue(&h, 2, 16, 16);
	dbbuf_open(&h, &b);
	settle(&h);
	CHECK_EQ(h.c->st->nr_events, 0);
	*slot(&h, b.shadow, 2) = 16;
	host_ring(&h, 2, 1);
	CHECK_EQ(h.c->st->nr_events, 1);
	CHECK(h.c->st->sq[1].stopped);
	*slot(&h, b.shadow, 2) = 1;
	host_ring(&h, 2, 1);
	for (unsigned int i = 0; i < 50; i++)
		host_step(&h);
	CHECK_EQ(h.c->st->sq[1].tail, 0);
	CHECK_EQ(h.c->st->nr_events, 1);
	/* The other one goes on. */
	host_put(&h, 2, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
	driver_ring(&h, &b, 4, 1);
	CHECK(HOST_UNTIL(&h, host_take(&h, 2)));
	/* Until reset. */
	CHECK(host_disable(&h));
	CHECK_EQ(h.c->st->dbbuf_shadow, 0);
	host_enable(&h);
	host_queue(&h, 1, 16, 16);
	CHECK_EQ(host_cmd(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	host_close(&h);
}

/* A full CQ: the head is asked for by EventIdx, and found. */
static void test_dbbuf__full_cq(void)
{
	struct bufs b;
	struct host h;
	uint64_t buf;
	unsigned int n = 0;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	host_queue(&h, 1, 64, 4);
	dbbuf_open(&h, &b);
	settle(&h);
	for (unsigned int i = 0; i < 50; i++)
		host_put(&h, 1, host_rw(false, i, buf));
	driver_ring(&h, &b, 2, h.q[1].tail);
	settle(&h);
	while (n < 50) {
		if (!host_take(&h, 1)) {
			if (!HOST_UNTIL(&h, host_take(&h, 1)))
				break;
		}
		n++;
		driver_ring(&h, &b, 3, h.q[1].head);
		if (n % 3 == 0)
			settle(&h);
	}
	CHECK_EQ(n, 50);
	CHECK_EQ(h.c->st->nr_events, 0);
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

/* The interrupt pin needs the heads: the driver is made to ring them. */
static void test_dbbuf__pin_falls(void)
{
	struct bufs b;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue_init(&h, 1, 16, 16);
	CHECK_EQ(host_create_cq(&h, 1, 15, h.q[1].cq, 3), 0);
	CHECK_EQ(host_create_sq(&h, 1, 15, h.q[1].sq, 1 | 1 << 16), 0);
	dbbuf_open(&h, &b);
	for (unsigned int i = 0; i < 40; i++) {
		host_put(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
		driver_ring(&h, &b, 2, h.q[1].tail);
		CHECK(HOST_UNTIL(&h, host_take(&h, 1)));
		CHECK(pin(&h));
		CHECK(driver_ring(&h, &b, 3, h.q[1].head));
		CHECK(!pin(&h));
		if (i & 1)
			settle(&h);
	}
	host_close(&h);
}

/* Memory of the buffers goes away: fatal, no crash, and a reset heals it. */
static void test_dbbuf__unmapped(void)
{
	struct bufs b;
	struct host h;

	for (unsigned int ei = 0; ei < 2; ei++) {
		host_open(&h, NULL);
		host_enable(&h);
		host_queue(&h, 1, 16, 16);
		dbbuf_open(&h, &b);
		settle(&h);
		host_map_but(&h, (ei ? b.ei : b.shadow) - HOST_RAM_IOVA, 4096);
		host_put(&h, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
		*slot(&h, b.shadow, 2) = 1;
		host_ring(&h, 2, 1);
		CHECK(HOST_UNTIL(&h, host_csts(&h) & NVME_CSTS_CFS));
		host_map_but(&h, 0, 0);
		CHECK(host_disable(&h));
		host_enable(&h);
		CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
		host_close(&h);
	}
}

/* The real thing: a driver on its own thread, the worker on its. No wake-up may be lost. */
#define RACE_COMMANDS 200000u

static void *race_driver(void *arg)
{
	struct host *h = arg;
	struct bufs b = { le64_get((le64){ h->next }), 0 };
	unsigned int rang = 0, done = 0, sent = 0;

	b.ei = b.shadow + 4096;
	while (done < RACE_COMMANDS) {
		uint64_t end;
		unsigned int burst = 1 + (unsigned int)rand() % 8;

		for (; burst && sent < RACE_COMMANDS && sent - done < 60; burst--, sent++)
			host_put(h, 1, host_sqe(nvme_cmd_flush, 0x7f, 0, 0, 0));
		rang += driver_ring(h, &b, 2, h->q[1].tail);
		end = host_now() + 3000000000u;
		while (!host_take(h, 1)) {
			if (host_now() > end) {
				printf("# lost a wake-up after %u\n", done);
				return NULL;
			}
		}
		done++;
		while (host_take(h, 1))
			done++;
		driver_ring(h, &b, 3, h->q[1].head);
		/* Sometimes long enough for the worker to fall asleep. */
		if (rand() % 256 == 0) {
			uint64_t until = host_now() + 40000 + (unsigned int)rand() % 60000;

			while (host_now() < until)
				;
		}
	}
	printf("# %u rings for %u commands\n", rang, done);
	return h;
}

static void test_dbbuf__no_wakeup_is_lost(void)
{
	struct bufs b;
	struct host h;
	pthread_t t;
	void *ok = NULL;

	host_open(&h, NULL);
	host_enable(&h);
	host_queue(&h, 1, 64, 64);
	dbbuf_open(&h, &b);
	h.next = b.shadow;
	CHECK_EQ(env_start(h.env, "worker"), 0);
	CHECK_EQ(pthread_create(&t, NULL, race_driver, &h), 0);
	pthread_join(t, &ok);
	CHECK(ok);
	env_stop(h.env);
	host_close(&h);
}

int main(void)
{
	RUN(test_dbbuf__config_checks);
	RUN(test_dbbuf__config_copies_values);
	RUN(test_dbbuf__rings_only_when_asleep);
	RUN(test_dbbuf__invalid_stops_the_queue);
	RUN(test_dbbuf__full_cq);
	RUN(test_dbbuf__pin_falls);
	RUN(test_dbbuf__unmapped);
	RUN(test_dbbuf__no_wakeup_is_lost);
	return tap_end();
}
