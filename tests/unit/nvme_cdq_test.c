/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Controller Data Queues: user data migration queues, feature 21h, the events. */
#include "nvme_lm_rig.h"

#define FIELD (NVME_SC_INVALID_FIELD | HOST_DNR)

struct queue {
	uint64_t base;
	uint32_t size, head;
	uint16_t id;
	bool phase;
	struct nvme_lba_migration e;	/* the last one taken */
};

static void steps(struct lm *m, unsigned int n)
{
	while (n--)
		host_step(&m->pf);
}

static uint16_t create(struct lm *m, uint64_t prp1, uint32_t dwords, uint16_t cntlid, uint32_t pc)
{
	struct nvme_sqe s = host_sqe(nvme_admin_ctrl_data_queue, 0, prp1, 0, (uint32_t)cntlid << 16 | pc);

	s.cdw12 = le32_of(dwords);
	return host_cmd(&m->pf, 0, s);
}

static void open_queue(struct lm *m, struct queue *q, uint32_t size)
{
	*q = (struct queue){ .base = host_alloc(&m->pf, size * 32), .size = size, .phase = true };
	CHECK_EQ(create(m, q->base, size * 8, VF_ID, 1), 0);
	q->id = (uint16_t)host_dw0(&m->pf);
}

static uint16_t delete(struct lm *m, uint16_t id)
{
	return host_cmd(&m->pf, 0, host_sqe(nvme_admin_ctrl_data_queue, 0, 0, 1, id));
}

static uint16_t logging(struct lm *m, uint16_t id, unsigned int lact)
{
	return host_cmd(&m->pf, 0, host_sqe(nvme_admin_track_send, 0, 0, lact << 16, id));
}

static uint16_t set_head(struct lm *m, const struct queue *q, uint32_t head, bool etpt, uint32_t tpt)
{
	struct nvme_sqe s = host_sqe(nvme_admin_set_features, 0, 0, NVME_FEAT_FID_CDQ,
				     q->id | (etpt ? NVME_FEAT_CDQ_ETPT : 0));

	s.cdw12 = le32_of(head);
	s.cdw13 = le32_of(tpt);
	return host_cmd(&m->pf, 0, s);
}

static bool take(struct lm *m, struct queue *q)
{
	const struct nvme_lba_migration *e = host_ptr(&m->pf, q->base + q->head * 32);

	if ((e->attr & NVME_LBAMQ_PHASE) != q->phase)
		return false;
	q->e = *e;
	q->head = q->head + 1 == q->size ? 0 : q->head + 1;
	if (!q->head)
		q->phase = !q->phase;
	return true;
}

#define TAKE_ESA(m, q, esa)                                                     \
	do {                                                                    \
		CHECK(HOST_UNTIL(&(m)->pf, take(m, q)));                        \
		CHECK_EQ(NVME_LBAMQ_ESA_GET((q)->e.attr), esa);                 \
	} while (0)

#define TAKE_RANGE(m, q, lba, blocks, flags)                                    \
	do {                                                                    \
		TAKE_ESA(m, q, 0);                                              \
		CHECK_EQ(le32_get((q)->e.nsid), 1);                             \
		CHECK_EQ(le64_get((q)->e.slba), lba);                           \
		CHECK_EQ(le32_get((q)->e.nlb) + 1, blocks);                     \
		CHECK_EQ((q)->e.attr & 0xe0, flags);                            \
	} while (0)

static void open_vf(struct lm *m, uint64_t *buf)
{
	lm_open(m, NULL);
	host_enable(&m->vf);
	host_queue(&m->vf, 1, 16, 16);
	*buf = host_alloc(&m->vf, 4096);
}

static void write_lba(struct lm *m, uint64_t lba, uint64_t buf)
{
	CHECK_EQ(host_cmd(&m->vf, 1, host_rw(true, lba, buf)), 0);
	steps(m, 3);
}

static void test_cdq__fields(void)
{
	const uint16_t none = NVME_SC_INVALID_CDQ | HOST_DNR;
	struct queue q = { .id = 1 };
	struct lm m;
	uint64_t b;

	lm_open(&m, NULL);
	b = host_alloc(&m.pf, 8192);
	CHECK_EQ(create(&m, b, 0, VF_ID, 1), FIELD);
	CHECK_EQ(create(&m, b, 1023, VF_ID, 1), FIELD);
	CHECK_EQ(create(&m, b, 1u << 30, VF_ID, 1), FIELD);
	CHECK_EQ(create(&m, b + 64, 1024, VF_ID, 1), NVME_SC_PRP_INVALID_OFFSET | HOST_DNR);
	CHECK_EQ(create(&m, b, 1024, 1, 1), NVME_SC_INVALID_CTRL_ID | HOST_DNR);
	CHECK_EQ(create(&m, b, 1024, 9, 1), NVME_SC_INVALID_CTRL_ID | HOST_DNR);
	CHECK_EQ(host_cmd(&m.pf, 0, host_sqe(nvme_admin_ctrl_data_queue, 0, b, 2, 0)), FIELD);
	CHECK_EQ(delete(&m, 1), none);
	CHECK_EQ(logging(&m, 1, 1), none);
	CHECK_EQ(set_head(&m, &q, 0, false, 0), none);
	CHECK_EQ(create(&m, b, 1024, VF_ID, 1), 0);
	CHECK_EQ(host_dw0(&m.pf), 1);
	CHECK_EQ(create(&m, b, 1024, VF_ID, 1), FIELD);
	CHECK_EQ(logging(&m, 1, 2), FIELD);
	CHECK_EQ(set_head(&m, &q, 1, false, 0), FIELD);
	CHECK_EQ(set_head(&m, &q, 0, true, 128), FIELD);
	CHECK_EQ(set_head(&m, &q, 0, true, 127), 0);
	CHECK_EQ(host_cmd(&m.pf, 0, host_sqe(nvme_admin_get_features, 0, m.buf, NVME_FEAT_FID_CDQ, 1)), 0);
	CHECK_EQ(host_dw0(&m.pf), NVME_FEAT_CDQ_ETPT | 1);
	CHECK_EQ(le32_get(((struct nvme_feat_cdq *)host_ptr(&m.pf, m.buf))->tpt), 127);
	CHECK_EQ(logging(&m, 1, 1), 0);
	CHECK_EQ(logging(&m, 1, 1), none);
	CHECK_EQ(logging(&m, 1, 0), 0);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(logging(&m, 1, 1), NVME_SC_SUSPENDED | HOST_DNR);
	CHECK_EQ(delete(&m, 1), 0);
	CHECK_EQ(delete(&m, 1), none);
	CHECK_EQ(create(&m, b, 1024, VF_ID, 1), 0);
	CHECK_EQ(host_dw0(&m.pf), 1);
	/* A reset of the manager deletes it. */
	CHECK(host_disable(&m.pf));
	host_enable(&m.pf);
	CHECK_EQ(delete(&m, 1), none);
	lm_close(&m);
}

static void test_cdq__what_is_logged(void)
{
	struct nvme_dsm_range *r;
	struct nvme_copy_range *cr;
	struct nvme_sqe s;
	struct queue q;
	struct lm m;
	uint64_t buf;

	open_vf(&m, &buf);
	open_queue(&m, &q, 64);
	write_lba(&m, 1, buf);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_FIRST);
	CHECK_EQ(q.e.attr & 0xc0, NVME_LBAMQ_NO_RANGE);
	write_lba(&m, 7, buf);
	TAKE_RANGE(&m, &q, 7, 1, 0);
	CHECK_EQ(host_cmd(&m.vf, 1, host_rw(false, 9, buf)), 0);	/* reads are not */
	s = host_sqe(nvme_cmd_write_zeroes, 1, 0, 100, 0);
	s.cdw12 = le32_of(NVME_IO_DEAC | 15);
	CHECK_EQ(host_cmd(&m.vf, 1, s), 0);
	TAKE_RANGE(&m, &q, 100, 16, NVME_LBAMQ_DEALLOCATED);
	r = host_ptr(&m.vf, buf);
	r[0] = (struct nvme_dsm_range){ .slba = le64_of(200), .nlb = le32_of(8) };
	r[1] = (struct nvme_dsm_range){ .slba = le64_of(300), .nlb = le32_of(4) };
	CHECK_EQ(host_cmd(&m.vf, 1, host_sqe(nvme_cmd_dsm, 1, buf, 1, NVME_DSMGMT_AD)), 0);
	TAKE_RANGE(&m, &q, 200, 8, NVME_LBAMQ_DEALLOCATED);
	TAKE_RANGE(&m, &q, 300, 4, NVME_LBAMQ_DEALLOCATED);
	cr = host_ptr(&m.vf, buf);
	memset(cr, 0, 64);
	cr[0].slba = le64_of(1);
	cr[1].slba = le64_of(20);
	cr[1].nlb = le16_of(2);
	s = host_sqe(nvme_cmd_copy, 1, buf, 400, 0);
	s.cdw12 = le32_of(1);
	CHECK_EQ(host_cmd(&m.vf, 1, s), 0);
	TAKE_RANGE(&m, &q, 400, 4, 0);		/* two pieces, merged */
	CHECK_EQ(host_cmd(&m.vf, 0, host_sqe(nvme_admin_format_nvm, 1, 0, 0, 0)), 0);
	TAKE_RANGE(&m, &q, 0, HOST_NS_SIZE / 512, NVME_LBAMQ_DEALLOCATED);
	CHECK_EQ(set_head(&m, &q, q.head, false, 0), 0);
	CHECK_EQ(logging(&m, q.id, 0), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_STOPPED);
	write_lba(&m, 7, buf);
	CHECK(!take(&m, &q));
	lm_close(&m);
}

static void test_cdq__suspend(void)
{
	struct queue q;
	struct lm m;
	uint64_t buf;

	open_vf(&m, &buf);
	open_queue(&m, &q, 64);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	for (unsigned int i = 0; i < 10; i++)
		host_submit(&m.vf, 1, host_rw(true, 2 * i, buf));
	/* All is there when the completion is. */
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(take(&m, &q));
	for (unsigned int i = 0; i < 10; i++) {
		CHECK(take(&m, &q));
		CHECK_EQ(le64_get(q.e.slba), 2 * i);
	}
	CHECK(take(&m, &q));
	CHECK_EQ(NVME_LBAMQ_ESA_GET(q.e.attr), NVME_LBAMQ_ESA_SUSPENDED);
	CHECK(!take(&m, &q));
	for (unsigned int i = 0; i < 10; i++)
		CHECK(host_wait(&m.vf, 1));
	CHECK_EQ(lm_resume(&m), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_FIRST);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(nvme_admin_migration_send, 0, 0,
					   NVME_LM_DUDMQ | 1 << 16 | VF_ID)), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_SUSPENDED);
	CHECK_EQ(delete(&m, q.id), NVME_SC_INVALID_CDQ | HOST_DNR);
	CHECK_EQ(lm_resume(&m), 0);
	write_lba(&m, 1, buf);
	CHECK(!m.vf.c->changes);
	lm_close(&m);
}

/* Round and round, by pages that do not lie together; the tail event, once. */
static void test_cdq__wraps(void)
{
	struct queue q = { .size = 256, .phase = true };
	unsigned int at = 0;
	uint64_t page[2];
	struct lm m;
	uint64_t buf, list;

	open_vf(&m, &buf);
	list = host_alloc(&m.pf, 4096);
	page[1] = host_alloc(&m.pf, 4096);
	host_alloc(&m.pf, 4096);
	page[0] = host_alloc(&m.pf, 4096);
	((le64 *)host_ptr(&m.pf, list))[0] = le64_of(page[0]);
	((le64 *)host_ptr(&m.pf, list))[1] = le64_of(page[1]);
	CHECK_EQ(create(&m, list, 256 * 8, VF_ID, 0), 0);
	q.id = (uint16_t)host_dw0(&m.pf);
	host_submit(&m.pf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	CHECK_EQ(set_head(&m, &q, 0, true, 130), 0);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	for (unsigned int i = 0; i < 1000 && tap_ok; i++, at++) {
		q.base = page[q.head / 128] - q.head / 128 * 4096ull;
		if (i == 130) {
			CHECK(HOST_UNTIL(&m.pf, take(&m, &q)));
			CHECK(host_wait(&m.pf, 0));
			CHECK_EQ(host_dw0(&m.pf), NVME_AER_ONESHOT);
			CHECK_EQ(le32_get(m.pf.cqe.dw1), q.id);
		} else {
			CHECK(HOST_UNTIL(&m.pf, take(&m, &q)));
		}
		if (i)
			CHECK_EQ(le64_get(q.e.slba), 3 * (i - 1) % 16000);
		if (i % 100 == 99)
			CHECK_EQ(set_head(&m, &q, q.head, i < 130, 130), 0);
		CHECK_EQ(host_cmd(&m.vf, 1, host_rw(true, 3 * i % 16000, buf)), 0);
	}
	lm_close(&m);
}

static void test_cdq__full(void)
{
	struct queue q;
	struct lm m;
	uint64_t buf;

	open_vf(&m, &buf);
	open_queue(&m, &q, 8);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	for (unsigned int i = 0; i < 20; i++)
		write_lba(&m, 10 * i, buf);
	for (unsigned int i = 0; i < 6; i++)
		CHECK(take(&m, &q));
	CHECK_EQ(le64_get(q.e.slba), 40);
	CHECK(take(&m, &q));
	CHECK_EQ(NVME_LBAMQ_ESA_GET(q.e.attr), NVME_LBAMQ_ESA_FULL);
	CHECK(!take(&m, &q));
	host_submit(&m.pf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	CHECK(host_wait(&m.pf, 0));
	CHECK_EQ(host_dw0(&m.pf), NVME_AER_ONESHOT | NVME_AER_ONESHOT_CDQ_FULL << 8);
	CHECK_EQ(le32_get(m.pf.cqe.dw1), q.id);
	CHECK_EQ(logging(&m, q.id, 1), NVME_SC_CDQ_FULL | HOST_DNR);
	/* The host makes room and begins anew. */
	CHECK_EQ(set_head(&m, &q, q.head, false, 0), 0);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_FIRST);
	write_lba(&m, 5, buf);
	TAKE_RANGE(&m, &q, 5, 1, 0);
	lm_close(&m);
}

/* More than the target can note before the manager looks: as a full queue. */
static void test_cdq__manager_too_slow(void)
{
	struct queue q;
	struct lm m;
	uint64_t buf;

	open_vf(&m, &buf);
	open_queue(&m, &q, 8192);
	CHECK_EQ(logging(&m, q.id, 1), 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_FIRST);
	for (unsigned int i = 0; i < 1100; i++) {
		host_submit(&m.vf, 1, host_rw(true, 2 * i, buf));	/* no step: nobody looks */
		CHECK(host_take(&m.vf, 1));
		host_ring(&m.vf, 3, m.vf.q[1].head);
	}
	for (unsigned int i = 0; i < 1024; i++)
		TAKE_RANGE(&m, &q, 2 * i, 1, 0);
	TAKE_ESA(&m, &q, NVME_LBAMQ_ESA_FULL);
	lm_close(&m);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	RUN(test_cdq__fields);
	RUN(test_cdq__what_is_logged);
	RUN(test_cdq__suspend);
	RUN(test_cdq__wraps);
	RUN(test_cdq__full);
	RUN(test_cdq__manager_too_slow);
	return tap_end();
}
