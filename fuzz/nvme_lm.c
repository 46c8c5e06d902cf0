/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ05: live migration of a controller, by its manager. First byte modulo 3:
 *
 * 0: commands to the manager (64 bytes each, the opcode made one of
 *    migration's) over an image of what is left. Oracle: one CQE each, with
 *    its id and a legal status; the manager stays up; in the end the target
 *    can be suspended, saved, and loaded from what was saved, to the same.
 * 1: the state of a busy controller with changes in it: records of three
 *    bytes, place and value; then all checksums are put right.
 * 2: the rest is the state.
 * Oracle of both: refused, and the controller is as before; or accepted, and
 * saving it gives the same bytes; then it can be resumed and reset.
 */
#include "../tests/unit/nvme_lm_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORACLE(cond)                                                              \
	do {                                                                      \
		if (!(cond)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                  \
		}                                                                 \
	} while (0)

#define DATA_SIZE (64u << 10)
#define COMMANDS 32u

static struct lm m;
static uint64_t data_at;
static uint8_t *base;			/* the state that mode 1 begins with */
static size_t base_len;

static void busy(void)
{
	host_enable(&m.vf);
	for (unsigned int q = 1; q <= 3; q++)
		host_queue(&m.vf, q, 16, q == 1 ? 2 : 16);
	for (unsigned int i = 0; i < 4; i++)
		host_submit(&m.vf, 1, host_sqe(nvme_cmd_flush, 1, 0, 0, 0));
	for (unsigned int i = 0; i < 3; i++)
		host_submit(&m.vf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0));
	host_ring(&m.vf, 2 * 9, 1);
	host_ring(&m.vf, 1, 31);
	for (unsigned int i = 0; i < 5; i++)
		host_step(&m.vf);
}

static void start(void)
{
	static const struct nvme_ctrl_config cfg = { .cntlid = VF_ID, .queues = 4 };
	void *raw;

	log_level_max = LOG_ERROR;
	lm_open(&m, &cfg);
	data_at = host_alloc(&m.pf, DATA_SIZE);
	busy();
	ORACLE(lm_suspend(&m) == 0);
	host_lock(&m.vf);
	ORACLE(nvme_state_save(m.vf.c, &raw, &base_len) == 0);
	host_unlock(&m.vf);
	base = raw;
}

/* A fresh target, suspended. */
static void renew(void)
{
	ORACLE(host_reset(&m.vf));
	ORACLE((lm_suspend(&m) & NVME_SC_MASK) == 0);
}

/* ------------------------------------------------------------------- commands */

static bool status_legal(uint16_t s)
{
	const uint16_t sct = s >> 8 & 7, sc = s & 0xff;

	return sct == 0 ? sc <= 0x24 : sct == 1 && (sc <= 0x2d || (sc >= 0x37 && sc <= 0x3b));
}

static void command(struct nvme_sqe sqe)
{
	static const uint8_t opcodes[] = { nvme_admin_track_send, nvme_admin_track_receive,
		nvme_admin_migration_send, nvme_admin_migration_receive,
		nvme_admin_ctrl_data_queue, nvme_admin_set_features, nvme_admin_get_features };
	uint16_t cid;
	uint64_t end = host_now() + 10000000000u;

	sqe.opcode = opcodes[sqe.opcode % ARRAY_SIZE(opcodes)];
	if (sqe.opcode == nvme_admin_set_features || sqe.opcode == nvme_admin_get_features)
		sqe.cdw10 = le32_of((le32_get(sqe.cdw10) & ~0xffu) | NVME_FEAT_FID_CDQ);
	if (!(sqe.flags & 1)) {
		sqe.prp1 = le64_of(data_at + le64_get(sqe.prp1) % DATA_SIZE);
		sqe.prp2 = le64_of(data_at + le64_get(sqe.prp2) % DATA_SIZE);
		/* CDQs there make more changes than they find. */
		if (!(sqe.flags & 2))
			sqe.cdw11 = le32_of((le32_get(sqe.cdw11) & 0xffff0000) | VF_ID);
	}
	sqe.flags = 0;
	cid = host_submit(&m.pf, 0, sqe);
	while (!host_take(&m.pf, 0)) {
		ORACLE(host_now() < end && !(host_csts(&m.pf) & NVME_CSTS_CFS));
		host_step(&m.pf);
	}
	host_ring(&m.pf, 1, m.pf.q[0].head);
	ORACLE(le16_get(m.pf.cqe.cid) == cid);
	ORACLE(status_legal(le16_get(m.pf.cqe.status) >> 1));
}

static void commands(const uint8_t *data, size_t size)
{
	unsigned int n = (unsigned int)MIN(size / 64, COMMANDS);
	const uint8_t *image = data + n * 64;
	const size_t left = size - n * 64;
	uint8_t *one, *two;
	size_t len, len2;

	if (left) {
		for (size_t i = 0; i < DATA_SIZE; i++)
			((uint8_t *)host_ptr(&m.pf, data_at))[i] = image[i % left];
	}
	for (unsigned int i = 0; i < n; i++) {
		struct nvme_sqe sqe;

		memcpy(&sqe, data + i * 64, 64);
		command(sqe);
	}
	ORACLE((lm_suspend(&m) & NVME_SC_MASK) == 0);
	one = lm_save(&m.vf, &len);
	if (nvme_qmap_next(&m.vf.c->sqs, 1) == NVME_QIDS && nvme_qmap_next(&m.vf.c->cqs, 1) == NVME_QIDS) {
		void *raw;
		size_t raw_len;

		host_lock(&m.vf);
		ORACLE(nvme_state_save(m.vf.c, &raw, &raw_len) == 0);
		ORACLE(nvme_state_load(m.vf.c, raw, raw_len, NULL) == 0);
		host_unlock(&m.vf);
		two = lm_save(&m.vf, &len2);
		ORACLE(len == len2 && !memcmp(one, two, len));
		free(raw);
		free(two);
	}
	free(one);
	/* The manager forgets its queues and what it tracks. */
	ORACLE(host_disable(&m.pf));
	host_enable(&m.pf);
	m.buf = host_alloc(&m.pf, 8192);
	data_at = host_alloc(&m.pf, DATA_SIZE);
	ORACLE(HOST_UNTIL(&m.vf, !m.vf.c->mig->suspended && !m.vf.c->mig->track));
}

/* --------------------------------------------------------------------- states */

static void fix_crcs(uint8_t *state, size_t len)
{
	const struct nvme_lm_state *h = (void *)state;
	const uint64_t dwords = le64_get(h->nvmecss[0]);
	size_t at;

	if (dwords > len / 4)
		return;
	for (at = sizeof(*h) + 4 * dwords + 16; at + 12 <= len;) {
		uint64_t space;
		uint32_t size;
		le32 crc;

		memcpy(&size, state + at + 4, 4);
		space = ALIGN_UP((uint64_t)le32toh(size), 4) + 12;
		if (space > len - at)
			return;
		crc = le32_of(crc32c(0, state + at, space - 4));
		memcpy(state + at + space - 4, &crc, 4);
		at += space;
	}
}

static void load(uint8_t *state, size_t len)
{
	uint8_t *before, *after;
	size_t n, n2;
	int ret;

	renew();
	before = lm_save(&m.vf, &n);
	host_lock(&m.vf);
	ret = nvme_state_load(m.vf.c, state, len, NULL);
	host_unlock(&m.vf);
	after = lm_save(&m.vf, &n2);
	if (ret) {
		ORACLE(n == n2 && !memcmp(before, after, n));
	} else {
		const struct nvme_lm_state *h = (const void *)state;

		/* A part that is not there leaves the controller's own. */
		lm_blank(state, len);
		ORACLE(!h->nvmecss[0].raw || !h->vss[0].raw || (n2 == len && !memcmp(after, state, len)));
		/* It runs, whatever its memory holds. */
		ORACLE(lm_resume(&m) == 0);
		for (unsigned int i = 0; i < 4; i++)
			host_step(&m.vf);
	}
	free(before);
	free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *state;
	size_t len;

	if (!m.pf.c)
		start();
	if (!size || size > 1u << 16)
		return 0;
	if (data[0] % 3 == 0) {
		commands(data + 1, size - 1);
		return 0;
	}
	len = data[0] % 3 == 1 ? base_len : size - 1;
	state = malloc(len ? len : 1);
	memcpy(state, data[0] % 3 == 1 ? base : data + 1, len);
	for (size_t i = 1; data[0] % 3 == 1 && i + 3 <= size; i += 3)
		state[(data[i] | (size_t)data[i + 1] << 8) % len] = data[i + 2];
	if (data[0] % 3 == 1)
		fix_crcs(state, len);
	load(state, len);
	free(state);
	return 0;
}
