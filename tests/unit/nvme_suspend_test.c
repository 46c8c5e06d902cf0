/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Suspend and Resume by a migration management controller. */
#include "nvme_lm_rig.h"

#include <pthread.h>

#define DEPTH 256u
#define QUEUES 4u
#define SUSPENDED(m) ((m)->vf.c->mig->suspended)

static void steps(struct lm *m, unsigned int n)
{
	while (n--)
		host_step(&m->vf);
}

static uint16_t take_status(struct host *h, unsigned int qid)
{
	return host_wait(h, qid) ? le16_get(h->cqe.status) >> 1 : HOST_NO_ANSWER;
}

/* ----------------------------------------------------------- who may do what */

static void test_suspend__only_the_manager(void)
{
	static const uint8_t opcodes[] = { nvme_admin_track_send, nvme_admin_track_receive,
		nvme_admin_migration_send, nvme_admin_migration_receive, nvme_admin_ctrl_data_queue };
	struct nvme_cmd_effects_log *log;
	const struct nvme_id_ctrl *id;
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	for (unsigned int i = 0; i < ARRAY_SIZE(opcodes); i++)
		CHECK_EQ(host_cmd(&m.vf, 0, host_sqe(opcodes[i], 0, 0, 0, 1)),
			 NVME_SC_INVALID_OPCODE | HOST_DNR);
	for (unsigned int i = 0; i < 2; i++) {
		struct host *h = i ? &m.vf : &m.pf;
		const uint64_t buf = host_alloc(h, 4096);

		CHECK_EQ(host_cmd(h, 0, host_sqe(nvme_admin_identify, 0, buf, 0x20, 0)),
			 i ? NVME_SC_INVALID_FIELD | HOST_DNR : 0);
		if (!i) {
			CHECK(!memcmp(host_ptr(h, buf), "\1\1\0\0", 4));
			CHECK(!memcmp((uint8_t *)host_ptr(h, buf) + 4, nvme_state_uuid, 16));
		}
		CHECK_EQ(host_cmd(h, 0, host_get_log(NVME_LOG_LID_CMD_EFFECTS, buf, 0, 1023, false)), 0);
		log = host_ptr(h, buf);
		for (unsigned int o = 0; o < ARRAY_SIZE(opcodes); o++)
			CHECK_EQ(le32_get(log->acs[opcodes[o]]), !i);
		CHECK_EQ(host_cmd(h, 0, host_sqe(nvme_admin_identify, 0, buf, 1, 0)), 0);
		id = host_ptr(h, buf);
		CHECK_EQ(le16_get(id->oacs) >> 11 & 1, !i);
		CHECK_EQ(le32_get(id->hmpre), 0);
		CHECK_EQ(id->trattr, i ? 0 : 3);
		CHECK_EQ(le16_get(id->cmmrtd) != 0, !i);
		CHECK_EQ(host_get_feature(h, NVME_FEAT_FID_CDQ, 3), i ? NVME_SC_INVALID_FIELD | HOST_DNR : 0);
	}
	lm_close(&m);
}

static void test_suspend__fields(void)
{
	const uint8_t send = nvme_admin_migration_send;
	struct lm m;

	lm_open(&m, NULL);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(send, 0, 3, VF_ID)), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(send, 0, 0, 2 << 16 | VF_ID)), NVME_SC_INVALID_FIELD | HOST_DNR);
	for (unsigned int stype = 0; stype < 2; stype++) {
		CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(send, 0, 0, stype << 16 | 9)),
			 NVME_SC_INVALID_CTRL_ID | HOST_DNR);
		CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(send, 0, 0, stype << 16 | 1)),
			 NVME_SC_INVALID_CTRL_ID | HOST_DNR);
	}
	CHECK_EQ(lm_resume(&m), NVME_SC_NOT_SUSPENDED | HOST_DNR);
	/* A controller that nobody has enabled; a notification changes nothing. */
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(send, 0, 0, VF_ID)), 0);
	CHECK(!SUSPENDED(&m));
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(SUSPENDED(&m));
	CHECK_EQ(lm_resume(&m), 0);
	CHECK_EQ(lm_resume(&m), NVME_SC_NOT_SUSPENDED | HOST_DNR);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	lm_close(&m);
}

/* --------------------------------------------------------------------- load */

struct load {
	uint64_t data;			/* one page a command slot */
	unsigned int sent[QUEUES + 1], got[QUEUES + 1];
	uint8_t seen[QUEUES + 1][65536];
};

static void load_send(struct host *h, struct load *l, unsigned int qid, unsigned int n)
{
	while (n--) {
		const unsigned int i = l->sent[qid]++;
		struct nvme_sqe s = host_rw(i & 1, i * 8 % 8192, l->data + (i % 64) * 4096);

		s.cdw12 = le32_of(7);
		host_put(h, qid, s);
		l->seen[qid][(uint16_t)(h->next_cid - 1)]++;
	}
	host_ring(h, 2 * qid, h->q[qid].tail);
}

static void load_take(struct host *h, struct load *l, unsigned int qid)
{
	bool any = false;

	while (host_take(h, qid)) {
		CHECK_EQ(le16_get(h->cqe.status) >> 1, 0);
		CHECK_EQ(l->seen[qid][le16_get(h->cqe.cid)], 1);
		l->seen[qid][le16_get(h->cqe.cid)]++;
		l->got[qid]++;
		any = true;
	}
	if (any)
		host_ring(h, 2 * qid + 1, h->q[qid].head);
}

/* T-VFIO-18: all queues full; nothing moves after the completion; afterwards each command ends once. */
static void under_load(enum env_kind kind, unsigned int before)
{
	const struct nvme_ctrl_config cfg = { .cntlid = VF_ID, .queues = QUEUES };
	struct load *l = calloc(1, sizeof(*l));
	uint8_t *copy = malloc(HOST_RAM_SIZE);
	uint64_t faults;
	struct lm m;

	lm_open_file(&m, &cfg, kind);
	host_lock(&m.vf);
	pci_msix_setup(m.vf.fn, QUEUES + 1, (struct pci_irq){ host_irq, &m.vf });
	host_unlock(&m.vf);
	host_enable(&m.vf);
	l->data = host_alloc(&m.vf, 64 * 4096);
	for (unsigned int q = 1; q <= QUEUES; q++) {
		host_queue_init(&m.vf, q, DEPTH, DEPTH);
		CHECK_EQ(host_create_cq(&m.vf, q, DEPTH - 1, m.vf.q[q].cq, 3 | q << 16), 0);
		CHECK_EQ(host_create_sq(&m.vf, q, DEPTH - 1, m.vf.q[q].sq, 1 | q << 16), 0);
	}
	for (unsigned int q = 1; q <= QUEUES; q++)
		load_send(&m.vf, l, q, DEPTH - 1);
	steps(&m, before);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(SUSPENDED(&m));
	CHECK_EQ(m.vf.c->nr_executing, 0);
	/* From here on: no memory, nothing changes, no interrupt. */
	memcpy(copy, m.vf.ram, HOST_RAM_SIZE);
	memset(m.vf.irqs, 0, sizeof(m.vf.irqs));
	faults = m.vf.fn->nr_dma_faults;
	host_lock(&m.vf);
	pci_dma_set(m.vf.fn, NULL, NULL);
	host_unlock(&m.vf);
	for (unsigned int i = 0; i < 50; i++) {
		for (unsigned int q = 1; q <= QUEUES; q++)
			host_ring(&m.vf, 2 * q, m.vf.q[q].tail);
		steps(&m, 10);
	}
	CHECK(!memcmp(copy, m.vf.ram, HOST_RAM_SIZE));
	for (unsigned int v = 0; v <= QUEUES; v++)
		CHECK_EQ(m.vf.irqs[v], 0);
	CHECK_EQ(m.vf.fn->nr_dma_faults, faults);
	host_map_but(&m.vf, 0, 0);
	CHECK_EQ(lm_resume(&m), 0);
	for (unsigned int q = 1; q <= QUEUES; q++) {
		HOST_UNTIL(&m.vf, (load_take(&m.vf, l, q), l->got[q] == l->sent[q]));
		CHECK_EQ(l->got[q], DEPTH - 1);
		CHECK(m.vf.irqs[q] > 0);
		load_send(&m.vf, l, q, 20);
		HOST_UNTIL(&m.vf, (load_take(&m.vf, l, q), l->got[q] == l->sent[q]));
		CHECK_EQ(l->got[q], DEPTH + 19);
	}
	lm_close(&m);
	free(copy);
	free(l);
}

static void test_suspend__under_load(void)
{
	for (unsigned int before = 0; before < 12; before++) {
		under_load(ENV_EPOLL, before);
		under_load(ENV_URING, before);
	}
}

/* ---------------------------------------------------------- what is latched */

static void test_suspend__doorbells_are_latched(void)
{
	struct lm m;
	uint64_t buf;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 16, 16);
	buf = host_alloc(&m.vf, 4096);
	CHECK_EQ(lm_suspend(&m), 0);
	for (unsigned int i = 0; i < 5; i++)
		host_put(&m.vf, 1, host_rw(false, i, buf));
	host_ring(&m.vf, 2, m.vf.q[1].tail);
	steps(&m, 5);
	CHECK_EQ(m.vf.c->st->sq[1].tail, 5);
	CHECK_EQ(m.vf.c->st->sq[1].head, 0);
	CHECK(!host_take(&m.vf, 1));
	CHECK_EQ(lm_resume(&m), 0);
	for (unsigned int i = 0; i < 5; i++)
		CHECK_EQ(take_status(&m.vf, 1), 0);
	CHECK(!host_take(&m.vf, 1));
	lm_close(&m);
}

static void test_suspend__cc_is_latched(void)
{
	struct lm m;

	lm_open(&m, NULL);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(host_enable_with(&m.vf, HOST_CC), 0);
	CHECK_EQ(host_read(&m.vf, NVME_REG_CC, 4), HOST_CC);
	CHECK_EQ(lm_resume(&m), 0);
	CHECK_EQ(host_csts(&m.vf), NVME_CSTS_RDY);
	/* Shutdown. */
	CHECK_EQ(lm_suspend(&m), 0);
	host_write(&m.vf, NVME_REG_CC, 4, HOST_CC | NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);
	steps(&m, 5);
	CHECK_EQ(host_csts(&m.vf), NVME_CSTS_RDY);
	CHECK_EQ(lm_resume(&m), 0);
	CHECK(HOST_UNTIL(&m.vf, host_csts(&m.vf) >> 2 == NVME_CSTS_SHST_CMPLT));
	lm_close(&m);
}

/* A reset by CC.EN ends the suspension, but the function stays quiet until it is resumed. */
static void test_suspend__disable_keeps_the_hold(void)
{
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(host_disable(&m.vf));
	CHECK(!SUSPENDED(&m));
	CHECK_EQ(host_enable_with(&m.vf, HOST_CC), 0);
	CHECK_EQ(lm_get(&m, 0, 48, 1, 1), 0);
	CHECK_EQ(host_dw0(&m.pf), 0);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(lm_get(&m, 0, 48, 1, 1), 0);
	CHECK_EQ(host_dw0(&m.pf), NVME_LM_CSUP);
	CHECK(host_disable(&m.vf));
	CHECK(SUSPENDED(&m));	/* it was not enabled: there was nothing to reset */
	CHECK_EQ(host_enable_with(&m.vf, HOST_CC), 0);
	CHECK_EQ(lm_resume(&m), 0);
	CHECK_EQ(host_csts(&m.vf), NVME_CSTS_RDY);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(host_disable(&m.vf));
	CHECK_EQ(lm_resume(&m), NVME_SC_NOT_SUSPENDED | HOST_DNR);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	lm_close(&m);
}

static void test_suspend__flr_ends_it(void)
{
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(host_reset(&m.vf));
	CHECK(!SUSPENDED(&m));
	host_enable(&m.vf);
	CHECK_EQ(lm_resume(&m), NVME_SC_NOT_SUSPENDED | HOST_DNR);
	/* One that is on its way: aborted. */
	m.vf.c->nr_executing++;
	host_submit(&m.pf, 0, lm_sqe(nvme_admin_migration_send, 0, 0, 1 << 16 | VF_ID));
	steps(&m, 3);
	host_reset_start(&m.vf);
	m.vf.c->nr_executing--;
	host_lock(&m.vf);
	nvme_drained(m.vf.c);
	host_unlock(&m.vf);
	CHECK(HOST_UNTIL(&m.vf, m.vf.reset_over));
	CHECK_EQ(take_status(&m.pf, 0), NVME_SC_ABORT_REQ);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	host_command(&m.vf, 6);
	lm_close(&m);
}

static void test_suspend__full_cq(void)
{
	struct lm m;
	uint64_t buf;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 16, 4);
	buf = host_alloc(&m.vf, 4096);
	/* Three fit; the fourth waits, the others are not fetched. */
	for (unsigned int i = 0; i < 8; i++)
		host_put(&m.vf, 1, host_rw(false, i, buf));
	host_ring(&m.vf, 2, m.vf.q[1].tail);
	steps(&m, 3);
	CHECK_EQ(lm_suspend(&m), 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(host_take(&m.vf, 1));
	host_ring(&m.vf, 3, m.vf.q[1].head);
	steps(&m, 3);
	CHECK(!host_take(&m.vf, 1));
	CHECK_EQ(lm_resume(&m), 0);
	for (unsigned int i = 0; i < 5; i++)
		CHECK_EQ(take_status(&m.vf, 1), 0);
	lm_close(&m);
}

static void test_suspend__events_wait(void)
{
	struct ferry_err err;
	struct lm m;

	lm_open(&m, NULL);
	steps(&m, 3);		/* the notice of the namespace's attachment */
	host_enable(&m.vf);
	CHECK_EQ(host_set_feature(&m.vf, NVME_FEAT_FID_ASYNC_EVENT, NVME_OAES_NA), 0);
	host_submit(&m.vf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	steps(&m, 3);
	CHECK_EQ(m.vf.c->st->nr_aer, 1);
	CHECK_EQ(lm_suspend(&m), 0);
	nvme_ns_detach(m.vf.ss, 1, VF_ID, &err);
	host_ring(&m.vf, 2, 7);		/* and a bad doorbell */
	steps(&m, 5);
	CHECK(!host_take(&m.vf, 0));
	CHECK_EQ(m.vf.c->st->nr_aer, 1);
	CHECK_EQ(m.vf.c->st->nr_events, 2);
	CHECK_EQ(lm_resume(&m), 0);
	CHECK_EQ(take_status(&m.vf, 0), 0);
	CHECK_EQ(m.vf.c->st->nr_events, 1);
	lm_close(&m);
}

static void test_suspend__shadow_doorbells(void)
{
	struct nvme_sqe s = host_sqe(nvme_admin_dbbuf, 0, 0, 0, 0);
	uint64_t shadow, ei, buf;
	uint8_t copy[4096];
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 16, 16);
	buf = host_alloc(&m.vf, 4096);
	shadow = host_alloc(&m.vf, 4096);
	ei = host_alloc(&m.vf, 4096);
	s.prp1 = le64_of(shadow);
	s.prp2 = le64_of(ei);
	CHECK_EQ(host_cmd(&m.vf, 0, s), 0);
	steps(&m, 50);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(m.vf.fn->strand.poll_mode, ENV_POLL_OFF);
	memcpy(copy, host_ptr(&m.vf, ei), 4096);
	for (unsigned int i = 0; i < 3; i++)
		host_put(&m.vf, 1, host_rw(false, i, buf));
	((uint32_t *)host_ptr(&m.vf, shadow))[2] = m.vf.q[1].tail;
	host_ring(&m.vf, 2, m.vf.q[1].tail);
	steps(&m, 50);
	CHECK(!memcmp(copy, host_ptr(&m.vf, ei), 4096));
	CHECK(!host_take(&m.vf, 1));
	/* One more, which EventIdx says need not be rung. */
	host_put(&m.vf, 1, host_rw(false, 3, buf));
	((uint32_t *)host_ptr(&m.vf, shadow))[2] = m.vf.q[1].tail;
	CHECK_EQ(lm_resume(&m), 0);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK(HOST_UNTIL(&m.vf, host_take(&m.vf, 1)));
		CHECK_EQ(le16_get(m.vf.cqe.status) >> 1, 0);
	}
	CHECK_EQ(m.vf.fn->strand.poll_mode, ENV_POLL_EVENT);
	lm_close(&m);
}

/* ------------------------------------------------------- what can go wrong */

static void test_suspend__times_out_and_runs_on(void)
{
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 16, 16);
	m.vf.c->nr_executing++;		/* a command that does not end */
	m.vf.c->mig->drain_ns = 20000000;
	CHECK_EQ(lm_suspend(&m), NVME_SC_INTERNAL);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	m.vf.c->nr_executing--;
	CHECK_EQ(host_cmd(&m.vf, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0)), 0);
	/* Several wait together; others are served meanwhile. */
	m.vf.c->nr_executing++;
	m.vf.c->mig->drain_ns = NVME_SUSPEND_NS;
	for (unsigned int i = 0; i < 3; i++)
		host_submit(&m.pf, 0, lm_sqe(nvme_admin_migration_send, 0, 0, 1 << 16 | VF_ID));
	CHECK_EQ(host_cmd(&m.pf, 0, host_sqe(nvme_admin_identify, 0, m.buf, 1, 0)), 0);
	steps(&m, 3);
	m.vf.c->nr_executing--;
	host_lock(&m.vf);
	nvme_drained(m.vf.c);
	host_unlock(&m.vf);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(take_status(&m.pf, 0), 0);
	CHECK(SUSPENDED(&m));
	lm_close(&m);
}

/* T-VFIO-21: whoever is asked, or asks, can be gone before the answer. */
static void test_suspend__either_side_vanishes(void)
{
	struct lm m;

	lm_open(&m, NULL);
	/* On its way: not seen by the target yet. */
	host_submit(&m.pf, 0, lm_sqe(nvme_admin_migration_send, 0, 0, 1 << 16 | VF_ID));
	host_lock(&m.vf);
	pci_dma_set(m.vf.fn, NULL, NULL);
	host_unlock(&m.vf);
	nvme_ctrl_destroy(m.vf.fn);
	ferry_mem_put(m.vf.mem);
	m.vf.fn = NULL;
	CHECK_EQ(take_status(&m.pf, 0), NVME_SC_INVALID_CTRL_ID | HOST_DNR);

	/* The manager is reset: what it held runs again. */
	lm_vf_open(&m, NULL);
	host_enable(&m.vf);
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK(host_disable(&m.pf));
	CHECK(HOST_UNTIL(&m.vf, !SUSPENDED(&m)));
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	CHECK_EQ(host_cmd(&m.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	/* And while it waits for a Suspend. */
	host_enable(&m.pf);
	m.vf.c->nr_executing++;
	host_submit(&m.pf, 0, lm_sqe(nvme_admin_migration_send, 0, 0, 1 << 16 | VF_ID));
	steps(&m, 3);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_FETCH);
	CHECK(host_disable(&m.pf));
	CHECK(HOST_UNTIL(&m.vf, m.vf.c->hold == NVME_HOLD_NONE));
	m.vf.c->nr_executing--;
	/* A target that does not answer at all costs the manager no more than time. */
	host_enable(&m.pf);
	m.pf.c->mig->call_ns = 20000000;
	m.vf.c->nr_executing++;
	CHECK_EQ(lm_suspend(&m), NVME_SC_INTERNAL);
	m.vf.c->nr_executing--;
	host_lock(&m.vf);
	nvme_drained(m.vf.c);
	host_unlock(&m.vf);
	CHECK_EQ(m.vf.c->hold, NVME_HOLD_NONE);
	lm_close(&m);
}

/* ----------------------------------------------------------------- two workers */

static atomic_bool over;

static void *guest(void *arg)
{
	struct lm *m = arg;
	const uint64_t buf = host_alloc(&m->vf, 4096);
	unsigned int *n = calloc(1, sizeof(*n));

	while (!atomic_load(&over)) {
		const uint16_t cid = host_submit(&m->vf, 1, host_rw(*n & 1, *n % 1000, buf));

		if (!host_wait(&m->vf, 1) || le16_get(m->vf.cqe.cid) != cid ||
		    le16_get(m->vf.cqe.status) >> 1)
			break;
		++*n;
		host_step(&m->vf);
	}
	return n;
}

/* QD1: a doorbell that is lost hangs it. The VF's worker is another thread than the PF's. */
static void test_suspend__no_doorbell_is_lost(void)
{
	unsigned int *done;
	pthread_t thread;
	struct lm m;

	host_open(&m.pf, &(struct nvme_ctrl_config){ .cntlid = 1, .queues = 1, .migrates = true });
	host_enable(&m.pf);
	m.buf = host_alloc(&m.pf, 8192);
	CHECK_EQ(env_create(ENV_EPOLL, &m.vf_env), 0);
	lm_vf_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 16, 16);
	atomic_store(&over, false);
	pthread_create(&thread, NULL, guest, &m);
	for (unsigned int i = 0; i < 3000 && tap_ok; i++) {
		CHECK_EQ(lm_suspend(&m), 0);
		CHECK_EQ(lm_resume(&m), 0);
	}
	atomic_store(&over, true);
	pthread_join(thread, (void **)&done);
	printf("# 3000 suspensions, %u commands\n", *done);
	CHECK(*done > 0);
	free(done);
	lm_vf_close(&m);
	env_destroy(m.vf_env);
	host_close(&m.pf);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	RUN(test_suspend__only_the_manager);
	RUN(test_suspend__fields);
	RUN(test_suspend__under_load);
	RUN(test_suspend__doorbells_are_latched);
	RUN(test_suspend__cc_is_latched);
	RUN(test_suspend__disable_keeps_the_hold);
	RUN(test_suspend__flr_ends_it);
	RUN(test_suspend__full_cq);
	RUN(test_suspend__events_wait);
	RUN(test_suspend__shadow_doorbells);
	RUN(test_suspend__times_out_and_runs_on);
	RUN(test_suspend__either_side_vanishes);
	RUN(test_suspend__no_doorbell_is_lost);
	return tap_end();
}
