/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Get and Set Controller State: from one controller to another one, of another subsystem. */
#include "nvme_lm_rig.h"

static void steps(struct lm *m, unsigned int n)
{
	while (n--)
		host_step(&m->vf);
}

/* ------------------------------------------------------------------- comparing */

#define SAME(f) CHECK(!memcmp(&a->f, &b->f, sizeof(a->f)))

static void same_queues(const struct nvme_state *a, const struct nvme_state *b)
{
	for (unsigned int q = 0; q < NVME_QIDS; q++) {
		CHECK_EQ(a->sq[q].prp1, b->sq[q].prp1);
		CHECK_EQ(a->sq[q].size, b->sq[q].size);
		CHECK_EQ(a->sq[q].cqid, b->sq[q].cqid);
		CHECK_EQ(a->sq[q].prio, b->sq[q].prio);
		CHECK_EQ(a->sq[q].nvmsetid, b->sq[q].nvmsetid);
		CHECK_EQ(a->sq[q].head, b->sq[q].head);
		CHECK_EQ(a->sq[q].tail, b->sq[q].tail);
		CHECK_EQ(a->sq[q].stopped, b->sq[q].stopped);
		CHECK_EQ(a->cq[q].prp1, b->cq[q].prp1);
		CHECK_EQ(a->cq[q].size, b->cq[q].size);
		CHECK_EQ(a->cq[q].head, b->cq[q].head);
		CHECK_EQ(a->cq[q].tail, b->cq[q].tail);
		CHECK_EQ(a->cq[q].iv, b->cq[q].iv);
		CHECK_EQ(a->cq[q].ien, b->cq[q].ien);
		if (a->cq[q].size)
			CHECK_EQ(a->cq[q].phase, b->cq[q].phase);
	}
}

/* Everything in both, field by field. */
static void same_state(struct host *ha, struct host *hb)
{
	struct nvme_image *ia, *ib;
	const struct nvme_state *a, *b;

	host_lock(ha);
	image_collect(ha->c, &ia);
	host_unlock(ha);
	host_lock(hb);
	image_collect(hb->c, &ib);
	host_unlock(hb);
	a = &ia->st;
	b = &ib->st;
	for (uint64_t off = 0; off < 0x70; off += 4)
		CHECK_EQ(host_read(ha, off, 4), host_read(hb, off, 4));
	same_queues(a, b);
	CHECK_EQ(a->nr_aer, b->nr_aer);
	SAME(aer_cid);
	CHECK_EQ(a->nr_events, b->nr_events);
	for (unsigned int i = 0; i < a->nr_events; i++) {
		CHECK_EQ(a->event[i].type, b->event[i].type);
		CHECK_EQ(a->event[i].info, b->event[i].info);
		CHECK_EQ(a->event[i].log, b->event[i].log);
	}
	CHECK_EQ(a->event_masked, b->event_masked);
	CHECK_EQ(a->dbbuf_shadow, b->dbbuf_shadow);
	CHECK_EQ(a->dbbuf_eventidx, b->dbbuf_eventidx);
	CHECK_EQ(a->error_count, b->error_count);
	SAME(error);
	SAME(changed_ns);
	SAME(feat.temp_over);
	SAME(feat.error_recovery);
	SAME(feat.vector_config);
	SAME(feat.host_id);
	SAME(feat.host_behavior);
	SAME(feat_saved.temp_over);
	CHECK_EQ(a->feat.vwc, b->feat.vwc);
	CHECK_EQ(a->feat.queues, b->feat.queues);
	CHECK_EQ(a->feat.async_config, b->feat.async_config);
	CHECK_EQ(a->feat_saved.arbitration, b->feat_saved.arbitration);
	CHECK_EQ(a->data_read, b->data_read);
	CHECK_EQ(a->host_writes, b->host_writes);
	CHECK(llabs((long long)(b->feat.timestamp_base - a->feat.timestamp_base)) < 5000);
	CHECK(llabs((long long)(b->power_on_at - a->power_on_at)) < 5000000000);
	CHECK_EQ(ia->nr_overflow, ib->nr_overflow);
	for (uint32_t i = 0; i < MIN(ia->nr_overflow, ib->nr_overflow); i++) {
		CHECK_EQ(ia->overflow[i].cid, ib->overflow[i].cid);
		CHECK_EQ(ia->overflow[i].sqid, ib->overflow[i].sqid);
		CHECK_EQ(ia->overflow[i].dw0, ib->overflow[i].dw0);
	}
	image_free(ia);
	image_free(ib);
}

/* Suspend @a's VF, load it into @b's, resume that. @chunk: of the transfer. */
static void migrate(struct lm *a, struct lm *b, uint32_t chunk)
{
	uint8_t *state, *again;
	size_t len, len2;

	CHECK_EQ(lm_suspend(a), 0);
	state = lm_read_state(a, &len);
	CHECK(host_reset(&b->vf));
	CHECK_EQ(lm_suspend(b), 0);
	CHECK_EQ(lm_write_state(b, state, len, chunk), 0);
	lm_move_guest(&a->vf, &b->vf);
	same_state(&a->vf, &b->vf);
	again = lm_save(&b->vf, &len2);
	lm_blank(state, len);
	CHECK_EQ(len, len2);
	CHECK(len == len2 && !memcmp(state, again, len));
	CHECK_EQ(lm_resume(b), 0);
	/* The source is done with. */
	CHECK(host_reset(&a->vf));
	free(state);
	free(again);
}

/* ------------------------------------------------------------------ round trips */

/* T-VFIO-08: at every stage of a driver's life. */
static void test_lm__stages(void)
{
	struct lm a, b;

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	migrate(&a, &b, 4096);				/* never touched */
	host_write(&b.vf, NVME_REG_AQA, 4, 0x1f001f);
	host_write(&b.vf, NVME_REG_CC, 4, NVME_CC_EN);	/* enabled, and refused */
	CHECK(host_csts(&b.vf) == 0 || host_csts(&b.vf) == NVME_CSTS_RDY);
	migrate(&b, &a, 4096);
	CHECK(host_disable(&a.vf));
	host_enable(&a.vf);				/* the admin queue only */
	migrate(&a, &b, 4096);
	CHECK_EQ(host_cmd(&b.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	/* Registers of an enabled controller can be written. */
	host_write(&b.vf, NVME_REG_AQA, 4, 0);
	migrate(&b, &a, 512);
	CHECK_EQ(host_cmd(&a.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	host_queue(&a.vf, 1, 16, 16);
	CHECK_EQ(host_cmd(&a.vf, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	migrate(&a, &b, 4);
	CHECK_EQ(host_cmd(&b.vf, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	/* Enabled while suspended. */
	CHECK(host_reset(&b.vf));
	CHECK_EQ(lm_suspend(&b), 0);
	CHECK_EQ(host_enable_with(&b.vf, HOST_CC), 0);
	migrate(&b, &a, 4096);
	CHECK_EQ(host_csts(&a.vf), NVME_CSTS_RDY);
	CHECK_EQ(host_cmd(&a.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	lm_close(&a);
	lm_close(&b);
}

/* T-VFIO-20: to and fro, at every position of both rings, with commands that were not fetched yet. */
static void test_lm__every_wrap_position(void)
{
	struct lm side[2], *from = &side[0], *to = &side[1], *t;
	unsigned int left = 0;
	uint64_t buf;

	lm_open(from, NULL);
	lm_open(to, NULL);
	host_enable(&from->vf);
	host_queue(&from->vf, 1, 5, 4);
	host_queue(&from->vf, 2, 3, 7);
	buf = host_alloc(&from->vf, 4096);
	for (unsigned int i = 0; i < 90; i++) {
		const unsigned int q = 1 + i % 2, n = i % 3;
		uint16_t cid[3];

		for (unsigned int j = 0; j < n; j++)
			CHECK_EQ(host_cmd(&from->vf, q, host_rw(j & 1, i, buf)), 0);
		/* These are in the ring, and rung while suspended. */
		CHECK_EQ(lm_suspend(from), 0);
		for (unsigned int j = 0; j < i % 3; j++)
			cid[j] = host_put(&from->vf, q, host_rw(false, j, buf));
		if (i % 3)
			host_ring(&from->vf, 2 * q, from->vf.q[q].tail);
		left = i % 3;
		migrate(from, to, 1024);
		t = from, from = to, to = t;
		for (unsigned int j = 0; j < left; j++) {
			CHECK(host_wait(&from->vf, q));
			CHECK_EQ(le16_get(from->vf.cqe.cid), cid[j]);
			CHECK_EQ(le16_get(from->vf.cqe.status) >> 1, 0);
		}
		steps(from, 2);
		CHECK(!host_take(&from->vf, 1) && !host_take(&from->vf, 2));
		if (!tap_ok)
			break;
	}
	lm_close(&side[0]);
	lm_close(&side[1]);
}

static void test_lm__events_and_features(void)
{
	struct nvme_sqe s;
	struct lm a, b;
	uint64_t buf;
	uint16_t cid[3];

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	steps(&a, 3);
	steps(&b, 3);
	host_enable(&a.vf);
	buf = host_alloc(&a.vf, 4096);
	for (unsigned int i = 0; i < 3; i++)
		cid[i] = host_submit(&a.vf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	host_ring(&a.vf, 2 * 9, 1);	/* no such queue: takes the first, and masks the rest */
	CHECK(host_wait(&a.vf, 0));
	CHECK_EQ(le16_get(a.vf.cqe.cid), cid[0]);
	host_ring(&a.vf, 1, 30);	/* no such value: stays pending */
	CHECK_EQ(host_set_feature(&a.vf, NVME_FEAT_FID_ARBITRATION | 0, 0x03020107), 0);
	CHECK_EQ(host_cmd(&a.vf, 0, host_sqe(nvme_admin_set_features, 0, 0,
					     NVME_FEAT_FID_TEMP_THRESH | NVME_FEAT_SAVE, 350)), 0);
	memset(host_ptr(&a.vf, buf), 0x5a, 16);
	CHECK_EQ(host_cmd(&a.vf, 0, host_sqe(nvme_admin_set_features, 0, buf, NVME_FEAT_FID_HOST_ID, 1)), 0);
	s = host_sqe(nvme_admin_set_features, 0, buf, NVME_FEAT_FID_TIMESTAMP, 0);
	memcpy(host_ptr(&a.vf, buf), "\0\0\0\0\1\0\0\0", 8);
	CHECK_EQ(host_cmd(&a.vf, 0, s), 0);
	CHECK_EQ(a.vf.c->st->nr_events, 1);
	migrate(&a, &b, 4096);
	CHECK_EQ(host_get_feature(&b.vf, NVME_FEAT_FID_TEMP_THRESH, 2), 0);
	CHECK_EQ(host_dw0(&b.vf), 350);
	CHECK_EQ(host_get_feature(&b.vf, NVME_FEAT_FID_ARBITRATION, 0), 0);
	CHECK_EQ(host_dw0(&b.vf), 0x03020107);
	/* Reading the log unmasks the type, settles what is pending; the next event takes the second request. */
	CHECK_EQ(host_cmd(&b.vf, 0, host_get_log(NVME_LOG_LID_ERROR, buf, 0, 15, false)), 0);
	host_ring(&b.vf, 2 * 9, 1);
	CHECK(host_wait(&b.vf, 0));
	CHECK_EQ(le16_get(b.vf.cqe.cid), cid[1]);
	host_submit(&b.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, (uint32_t)cid[2] << 16, 0));
	CHECK(host_wait(&b.vf, 0));
	CHECK_EQ(le16_get(b.vf.cqe.cid), cid[2]);
	CHECK_EQ(le16_get(b.vf.cqe.status) >> 1, NVME_SC_ABORT_REQ);
	CHECK(host_wait(&b.vf, 0));
	CHECK_EQ(le16_get(b.vf.cqe.status) >> 1, 0);
	lm_close(&a);
	lm_close(&b);
}

static void test_lm__full_cq_and_shadow_doorbells(void)
{
	for (unsigned int shadow = 0; shadow < 2; shadow++) {
		struct nvme_sqe s = host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0);
		uint32_t *db = NULL;
		struct lm a, b;
		uint64_t buf;

		lm_open(&a, NULL);
		lm_open(&b, NULL);
		host_enable(&a.vf);
		buf = host_alloc(&a.vf, 4096);
		host_queue(&a.vf, 1, 32, 4);
		if (shadow) {
			s.prp1 = le64_of(host_alloc(&a.vf, 4096));
			s.prp2 = le64_of(host_alloc(&a.vf, 4096));
			CHECK_EQ(host_cmd(&a.vf, 0, s), 0);
		}
		for (unsigned int i = 0; i < 9; i++)
			host_put(&a.vf, 1, host_rw(false, i, buf));
		if (shadow)
			((uint32_t *)host_ptr(&a.vf, le64_get(s.prp1)))[2] = a.vf.q[1].tail;
		host_ring(&a.vf, 2, a.vf.q[1].tail);
		steps(&a, 20);
		CHECK(a.vf.c->st->sq[1].head > 3);	/* fetched, and no room for it */
		CHECK_EQ(lm_suspend(&a), 0);
		/* Shadow: one more, of which nobody is told. */
		if (shadow) {
			host_put(&a.vf, 1, host_rw(false, 9, buf));
			((uint32_t *)host_ptr(&a.vf, le64_get(s.prp1)))[2] = a.vf.q[1].tail;
		}
		migrate(&a, &b, 4096);
		if (shadow)
			db = host_ptr(&b.vf, le64_get(s.prp1));
		for (unsigned int i = 0; i < 9 + shadow; i++) {
			CHECK(HOST_UNTIL(&b.vf, host_take(&b.vf, 1)));
			CHECK_EQ(le16_get(b.vf.cqe.status) >> 1, 0);
			if (db)
				db[3] = b.vf.q[1].head;
			host_ring(&b.vf, 3, b.vf.q[1].head);
		}
		steps(&b, 5);
		CHECK(!host_take(&b.vf, 1));
		lm_close(&a);
		lm_close(&b);
	}
}

/* An interrupt lost on the way would hang the guest: all that may be due are raised. */
static void test_lm__interrupts_after_resume(void)
{
	struct lm a, b;
	uint64_t buf;

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		struct host *h = i ? &b.vf : &a.vf;

		host_lock(h);
		pci_msix_setup(h->fn, 9, (struct pci_irq){ host_irq, h });
		host_unlock(h);
	}
	host_enable(&a.vf);
	buf = host_alloc(&a.vf, 4096);
	host_queue_init(&a.vf, 1, 16, 16);
	CHECK_EQ(host_create_cq(&a.vf, 1, 15, a.vf.q[1].cq, 3 | 4 << 16), 0);
	CHECK_EQ(host_create_sq(&a.vf, 1, 15, a.vf.q[1].sq, 1 | 1 << 16), 0);
	host_submit(&a.vf, 1, host_rw(false, 0, buf));
	steps(&a, 3);
	CHECK_EQ(a.vf.irqs[4], 1);
	CHECK_EQ(lm_suspend(&a), 0);
	memset(b.vf.irqs, 0, sizeof(b.vf.irqs));
	{
		uint8_t *state;
		size_t len;

		state = lm_read_state(&a, &len);
		CHECK_EQ(lm_suspend(&b), 0);
		CHECK_EQ(lm_write_state(&b, state, len, 4096), 0);
		lm_move_guest(&a.vf, &b.vf);
		CHECK_EQ(b.vf.irqs[4], 0);
		CHECK_EQ(lm_resume(&b), 0);
		CHECK_EQ(b.vf.irqs[4], 1);
		free(state);
	}
	lm_close(&a);
	lm_close(&b);
}

/* -------------------------------------------------------------------- refusals */

/* Some of everything. */
static void busy_vf(struct lm *m)
{
	host_enable(&m->vf);
	for (unsigned int q = 1; q <= 3; q++)
		host_queue(&m->vf, q, 16, q == 1 ? 2 : 16);
	for (unsigned int i = 0; i < 4; i++)
		host_submit(&m->vf, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
	for (unsigned int i = 0; i < 3; i++)
		host_submit(&m->vf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	host_ring(&m->vf, 2 * 9, 1);
	host_ring(&m->vf, 1, 31);
	steps(m, 5);
}

static void test_lm__sequences(void)
{
	const uint16_t field = NVME_SC_INVALID_FIELD | HOST_DNR, seq = NVME_SC_CMD_SEQ_ERROR | HOST_DNR;
	uint8_t *state, *before, *after;
	struct nvme_lm_state *h;
	struct lm a, b;
	size_t len, n;

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	busy_vf(&a);
	CHECK_EQ(lm_suspend(&a), 0);
	state = lm_read_state(&a, &len);
	CHECK(len > 4096 && len < 65536);
	memcpy(host_ptr(&b.pf, b.buf), state, 4096);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 1, 1), NVME_SC_INVALID_CTRL_ID | HOST_DNR);
	CHECK_EQ(lm_suspend(&b), 0);
	before = lm_save(&b.vf, &n);
	/* Fields. */
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 0, 0), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 2, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 1, 2), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 2, 4096, 1, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 4, 4096, 1, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 1ull << 40, 4096, 1, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 0, 1, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 0, 1, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 4096, 1, 1), field);
	/* Order. */
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_MIDDLE, 0, 4096, 1, 1), seq);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_LAST, 0, 4096, 1, 1), seq);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_LAST, 0, 0, 1, 1), seq);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 1, 1), 0);
	CHECK_EQ(lm_resume(&b), seq);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_MIDDLE, 4100, 4, 1, 1), field);	/* a hole */
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_MIDDLE, 4096, 4, 1, 1), seq);	/* it has ended */
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 1, 1), 0);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_MIDDLE, 4096, 4, 1, 0), field);
	/* A first piece begins anew. */
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 2048, 1, 1), 0);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_FIRST, 0, 4096, 1, 1), 0);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_LAST, 4096, 4, 1, 1), field);
	/* Parts that were not announced. */
	h = host_ptr(&b.pf, b.buf);
	memset(h, 0, 4096);
	h->csattr = 1;
	h->nvmecss[0] = le64_of(2);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 56, 0, 1), field);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 56, 1, 0), 0);	/* no queues: fine */
	h->nvmecss[0] = le64_of(0);
	h->vss[0] = le64_of(2);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 56, 1, 0), field);
	h->vss[1] = le64_of(1);
	CHECK_EQ(lm_set(&b, NVME_LM_SEQIND_ONLY, 0, 56, 1, 1), field);
	after = lm_save(&b.vf, &len);
	CHECK(n == len && !memcmp(before, after, n));
	CHECK_EQ(lm_resume(&b), 0);
	/* Reading. */
	CHECK_EQ(lm_get(&a, 2, 4, 1, 1), field);
	CHECK_EQ(lm_get(&a, 1 << 20, 4, 1, 1), field);
	CHECK_EQ(lm_get(&a, 0, 48, 2, 1), field);
	CHECK_EQ(lm_get(&a, 0, 48, 1, 2), field);
	h = host_ptr(&a.pf, a.buf);
	CHECK_EQ(lm_get(&a, 0, 48, 0, 0), 0);
	CHECK_EQ(le64_get(h->nvmecss[0]) + le64_get(h->vss[0]), 0);
	CHECK_EQ(lm_get(&a, 48, 4, 0, 0), 0);
	CHECK_EQ(lm_get(&a, 52, 4, 0, 0), field);
	CHECK_EQ(lm_get(&a, 0, 48, 1, 0), 0);
	CHECK_EQ(le64_get(h->nvmecss[0]), 2 + 6 * 6);
	CHECK_EQ(le64_get(h->vss[0]), 0);
	/* Into a controller with queues: no. */
	CHECK_EQ(lm_write_state(&a, state, 4096, 4096), field);
	lm_close(&a);
	lm_close(&b);
	free(state);
	free(before);
	free(after);
}

/* What another controller cannot become, it refuses. */
static void test_lm__other_shapes(void)
{
	static const struct nvme_ctrl_config other[] = {
		{ .cntlid = VF_ID, .queues = 7 },
		{ .cntlid = VF_ID, .queues = 8, .vectors = 3 },
		{ .cntlid = VF_ID, .queues = 8, .mqes = 512 },
		{ .cntlid = VF_ID, .queues = 8, .mdts = 5 },
		{ .cntlid = VF_ID, .queues = 8, .no_dbbuf = true },
		{ .cntlid = VF_ID, .queues = 8, .no_sgl = true },
	};
	struct ferry_err err;
	struct lm a, b;
	uint8_t *state;
	size_t len;

	lm_open(&a, NULL);
	busy_vf(&a);
	CHECK_EQ(lm_suspend(&a), 0);
	state = lm_read_state(&a, &len);
	for (unsigned int i = 0; i < ARRAY_SIZE(other); i++) {
		lm_open(&b, &other[i]);
		CHECK_EQ(lm_suspend(&b), 0);
		CHECK_EQ(lm_write_state(&b, state, len, 4096), NVME_SC_INVALID_FIELD | HOST_DNR);
		lm_close(&b);
	}
	lm_open(&b, NULL);
	nvme_ns_detach(b.pf.ss, 1, VF_ID, &err);
	CHECK_EQ(lm_suspend(&b), 0);
	CHECK_EQ(lm_write_state(&b, state, len, 4096), NVME_SC_INVALID_FIELD | HOST_DNR);
	nvme_ns_attach(b.pf.ss, 1, VF_ID, &err);
	CHECK_EQ(lm_write_state(&b, state, len, 4096), 0);
	lm_close(&b);
	lm_close(&a);
	free(state);
}

static uint32_t rng = 12345;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 1664525 + 1013904223;
	return (rng >> 8) % n;
}

/* Group @n of the vendor part: its place and space. */
static size_t group_at(const uint8_t *state, size_t len, unsigned int n, size_t *space)
{
	const struct nvme_lm_state *h = (const void *)state;
	size_t at = sizeof(*h) + 4 * le64_get(h->nvmecss[0]) + 16;

	for (;; n--, at += *space) {
		uint32_t size;

		memcpy(&size, state + at + 4, 4);
		*space = ALIGN_UP(size, 4) + 12;
		if (!n || at + *space >= len)
			return at;
	}
}

static void fix_crc(uint8_t *state, size_t at, size_t space)
{
	const le32 crc = le32_of(crc32c(0, state + at, space - 4));

	memcpy(state + at + space - 4, &crc, 4);
}

/* Load it. Return: whether it was accepted; in any case the controller must be what it was, or what @state says. */
static bool try_load(struct lm *m, uint8_t *state, size_t len, const uint8_t *idle, size_t idle_len)
{
	uint8_t *now, *copy = malloc(len);	/* exactly that long: for ASan */
	size_t n;
	int ret;

	memcpy(copy, state, len);
	host_lock(&m->vf);
	ret = nvme_state_load(m->vf.c, copy, len, NULL);
	host_unlock(&m->vf);
	now = lm_save(&m->vf, &n);
	if (ret) {
		CHECK(n == idle_len && !memcmp(now, idle, n));
	} else {
		lm_blank(copy, len);
		CHECK(n == len);
		if (n == len && memcmp(now, copy, n)) {
			size_t i = 0;

			while (now[i] == copy[i])
				i++;
			printf("# differs at %zu of %zu\n", i, n);
			FAIL("accepted, and something else");
		}
		CHECK(host_reset(&m->vf));
		CHECK_EQ(lm_suspend(m), 0);
	}
	free(now);
	free(copy);
	return !ret;
}

static void test_lm__truncated_and_mutated(void)
{
	unsigned int accepted = 0, tried = 0;
	uint8_t *state, *idle, *bad;
	size_t len, idle_len;
	struct lm a, b;

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	busy_vf(&a);
	CHECK_EQ(lm_suspend(&a), 0);
	state = lm_read_state(&a, &len);
	CHECK_EQ(lm_suspend(&b), 0);
	/* What persists over a reset is to be as after a load, so that idle is idle. */
	CHECK_EQ(lm_write_state(&b, state, len, 4096), 0);
	CHECK(host_reset(&b.vf));
	CHECK_EQ(lm_suspend(&b), 0);
	idle = lm_save(&b.vf, &idle_len);
	bad = malloc(len);
	for (size_t n = 0; n < len && tap_ok; n++)
		CHECK(!try_load(&b, state, n, idle, idle_len));
	for (; tried < 10000 && tap_ok; tried++) {
		size_t at, space, gat = 0, gspace = 0;

		memcpy(bad, state, len);
		/* In one of three: anywhere; in the NVMe part; in a group, its CRC put right. */
		switch (tried % 3) {
		case 0:
			at = rnd((uint32_t)len);
			space = 1;
			break;
		case 1:
			at = rnd(48 + 8 + 6 * 24);
			space = 1;
			break;
		default:
			gat = group_at(state, len, rnd(12), &gspace);
			at = gat + 8;
			space = gspace - 12;
		}
		for (unsigned int i = 0; i <= rnd(3); i++)
			bad[at + rnd((uint32_t)space)] ^= (uint8_t)(1u << rnd(8));
		if (gspace)
			fix_crc(bad, gat, gspace);
		if (try_load(&b, bad, len, idle, idle_len)) {
			size_t n;

			accepted++;
			/* Counters and saved features have stayed: idle is something else now. */
			free(idle);
			idle = lm_save(&b.vf, &n);
			idle_len = n;
		}
	}
	printf("# %u of %u mutations make another valid state\n", accepted, tried);
	CHECK(accepted > 0 && accepted < 10000);
	free(bad);
	free(idle);
	free(state);
	lm_close(&a);
	lm_close(&b);
}

/* ----------------------------------------------------------------------- clock */

static void test_lm__timestamp_goes_on(void)
{
	struct nvme_sqe s;
	uint64_t buf, at;
	struct lm a, b;
	uint8_t *state;
	size_t len, space;
	le64 wall;

	lm_open(&a, NULL);
	lm_open(&b, NULL);
	host_enable(&a.vf);
	buf = host_alloc(&a.vf, 4096);
	memcpy(host_ptr(&a.vf, buf), "\0\0\0\0\1\0\0\0", 8);
	CHECK_EQ(host_cmd(&a.vf, 0, host_sqe(nvme_admin_set_features, 0, buf, NVME_FEAT_FID_TIMESTAMP, 0)), 0);
	CHECK_EQ(lm_suspend(&a), 0);
	state = lm_read_state(&a, &len);
	/* As if it had been under way for an hour. */
	at = group_at(state, len, 8, &space);
	CHECK_EQ(state[at], 9);
	memcpy(&wall, state + at + 8, 8);
	wall = le64_of(le64_get(wall) - 3600000000000ull);
	memcpy(state + at + 8, &wall, 8);
	fix_crc(state, at, space);
	CHECK_EQ(lm_suspend(&b), 0);
	CHECK_EQ(lm_write_state(&b, state, len, 4096), 0);
	lm_move_guest(&a.vf, &b.vf);
	CHECK_EQ(lm_resume(&b), 0);
	s = host_sqe(nvme_admin_get_features, 0, buf, NVME_FEAT_FID_TIMESTAMP, 0);
	CHECK_EQ(host_cmd(&b.vf, 0, s), 0);
	memcpy(&wall, host_ptr(&b.vf, buf), 8);
	at = (le64_get(wall) & 0xffffffffffff) - 0x100000000;
	CHECK(at >= 3600000 && at < 3610000);
	CHECK_EQ(le64_get(wall) >> 49, 1);
	lm_close(&a);
	lm_close(&b);
	free(state);
}

/* ------------------------------------------------------------------------ cost */

static void test_lm__cost(void)
{
	static const unsigned int queues[] = { 1, 8, 64 };

	for (unsigned int i = 0; i < ARRAY_SIZE(queues); i++) {
		const struct nvme_ctrl_config cfg = { .cntlid = VF_ID, .queues = (uint16_t)queues[i] };
		uint64_t save = 0, load = 0, t;
		const unsigned int rounds = 50;
		void *state = NULL;
		size_t len = 0;
		struct lm a, b;

		lm_open(&a, &cfg);
		lm_open(&b, &cfg);
		host_enable(&a.vf);
		for (unsigned int q = 1; q <= queues[i]; q++)
			host_queue(&a.vf, q, 256, 256);
		CHECK_EQ(lm_suspend(&a), 0);
		for (unsigned int r = 0; r < rounds; r++) {
			free(state);
			host_lock(&a.vf);
			t = host_now();
			CHECK_EQ(nvme_state_save(a.vf.c, &state, &len), 0);
			save += host_now() - t;
			host_unlock(&a.vf);
			CHECK(host_reset(&b.vf));
			CHECK_EQ(lm_suspend(&b), 0);
			host_lock(&b.vf);
			t = host_now();
			CHECK_EQ(nvme_state_load(b.vf.c, state, len, NULL), 0);
			load += host_now() - t;
			host_unlock(&b.vf);
		}
		printf("# %2u queues: %zu bytes, save %.1f us, load %.1f us\n", queues[i], len,
		       (double)save / rounds / 1000, (double)load / rounds / 1000);
		free(state);
		lm_close(&a);
		lm_close(&b);
	}
}

int main(void)
{
	log_level_max = getenv("VERBOSE") ? LOG_WARN : LOG_ERROR;
	RUN(test_lm__stages);
	RUN(test_lm__every_wrap_position);
	RUN(test_lm__events_and_features);
	RUN(test_lm__full_cq_and_shadow_doorbells);
	RUN(test_lm__interrupts_after_resume);
	RUN(test_lm__sequences);
	RUN(test_lm__other_shapes);
	RUN(test_lm__truncated_and_mutated);
	RUN(test_lm__timestamp_goes_on);
	RUN(test_lm__cost);
	return tap_end();
}
