/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Primary and secondary controllers: resources, states, and what resets do to them. */
#include "nvme_virt_rig.h"

/* Controller 1 with secondaries 2 to 5; 12 VQ and 8 VI to share, at most 6 and 4 for one. */
static const struct nvme_ctrl_config four = {
	.cntlid = 1, .queues = 4, .vectors = 3, .vfs_max = 4,
	.vq_flexible = 12, .vi_flexible = 8, .vq_per_vf = 6, .vi_per_vf = 4,
};

static struct host pf, vf;

#define STATUS(s) (NVME_SC_##s | HOST_DNR)

static struct nvme_secondary_ctrl sec_entry(unsigned int index)
{
	struct nvme_secondary_ctrl_list l;

	CHECK_EQ(virt_identify(&pf, 0x15, 0, 0, &l), 0);
	return l.entry[index];
}

static struct nvme_primary_ctrl_cap caps(void)
{
	struct nvme_primary_ctrl_cap c;

	CHECK_EQ(virt_identify(&pf, 0x14, 0, 0, &c), 0);
	return c;
}

/* Resources, online. */
static void bring_up(unsigned int cntlid, unsigned int vq, unsigned int vi)
{
	CHECK_EQ(virt_mgmt(&pf, cntlid, VI, ASSIGN, vi), 0);
	CHECK_EQ(virt_mgmt(&pf, cntlid, VQ, ASSIGN, vq), 0);
	CHECK_EQ(virt_mgmt(&pf, cntlid, 0, ONLINE, 0), 0);
}

static bool is_offline(struct host *h)
{
	return host_csts(h) == NVME_CSTS_CFS;
}

/* ------------------------------------------------------------------- Identify */

static void test_identify__primary(void)
{
	struct nvme_primary_ctrl_cap c;
	struct nvme_id_ctrl id;

	virt_open(&pf, &four);
	CHECK_EQ(virt_identify(&pf, 1, 0, 0, &id), 0);
	CHECK(le16_get(id.oacs) & NVME_OACS_VIRT_MGMT);
	CHECK(le16_get(id.oacs) & NVME_OACS_NS_MGMT);
	CHECK_EQ(id.cmic, NVME_CMIC_MULTI_CTRL);
	CHECK_EQ(le32_get(id.hmpre), 0);
	c = caps();
	CHECK_EQ(le16_get(c.cntlid), 1);
	CHECK_EQ(c.crt, 3);
	CHECK_EQ(le32_get(c.vqfrt), 12);
	CHECK_EQ(le32_get(c.vqrfa), 0);
	CHECK_EQ(le16_get(c.vqrfap), 0);
	CHECK_EQ(le16_get(c.vqprt), 5);
	CHECK_EQ(le16_get(c.vqfrsm), 6);
	CHECK_EQ(le16_get(c.vqgran), 1);
	CHECK_EQ(le32_get(c.vifrt), 8);
	CHECK_EQ(le16_get(c.viprt), 3);
	CHECK_EQ(le16_get(c.vifrsm), 4);
	virt_close(&pf);
}

static void test_identify__secondaries(void)
{
	static const struct nvme_ctrl_config many = { .cntlid = 7, .queues = 2, .vfs_max = 200 };
	struct nvme_secondary_ctrl_list l;
	struct nvme_ctrl_list ids;

	virt_open(&pf, &many);
	CHECK_EQ(virt_identify(&pf, 0x15, 0, 0, &l), 0);
	CHECK_EQ(l.num, 127);
	CHECK(le16_get(l.entry[0].scid) == 8 && le16_get(l.entry[0].pcid) == 7);
	CHECK(le16_get(l.entry[0].vfn) == 1 && le16_get(l.entry[126].vfn) == 127);
	CHECK(!l.entry[0].scs && !le16_get(l.entry[0].nvq) && !le16_get(l.entry[0].nvi));
	CHECK_EQ(virt_identify(&pf, 0x15, 8 + 127, 0, &l), 0);
	CHECK(l.num == 73 && le16_get(l.entry[0].vfn) == 128 && le16_get(l.entry[72].scid) == 207);
	CHECK_EQ(virt_identify(&pf, 0x15, 207, 0, &l), 0);
	CHECK(l.num == 1 && le16_get(l.entry[0].scid) == 207);
	CHECK_EQ(virt_identify(&pf, 0x15, 208, 0, &l), 0);
	CHECK_EQ(l.num, 0);
	CHECK_EQ(virt_identify(&pf, 0x15, 0xffff, 0, &l), 0);
	CHECK_EQ(l.num, 0);
	/* They are controllers of the subsystem, with a VF or without. */
	CHECK_EQ(virt_identify(&pf, 0x13, 0, 0, &ids), 0);
	CHECK(le16_get(ids.num) == 201 && le16_get(ids.identifier[0]) == 7 &&
	      le16_get(ids.identifier[200]) == 207);
	virt_close(&pf);
}

static void test_identify__secondary_itself(void)
{
	struct nvme_id_ctrl id, own;
	uint8_t buf[4096];

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	bring_up(3, 2, 1);
	vf_open(&vf, &pf, 1);
	host_enable(&vf);
	CHECK_EQ(virt_identify(&pf, 1, 0, 0, &own), 0);
	CHECK_EQ(virt_identify(&vf, 1, 0, 0, &id), 0);
	CHECK_EQ(le16_get(id.cntlid), 3);
	CHECK(!memcmp(id.sn, own.sn, sizeof(id.sn)) && !memcmp(id.subnqn, own.subnqn, sizeof(id.subnqn)));
	CHECK_EQ(id.cmic, NVME_CMIC_MULTI_CTRL | NVME_CMIC_MULTI_SRIOV);
	CHECK(!(le16_get(id.oacs) & (NVME_OACS_VIRT_MGMT | NVME_OACS_NS_MGMT)));
	CHECK(le16_get(id.vid) == 0xfe55 && id.vid.raw == own.vid.raw);
	/* What is privileged is not there. */
	CHECK_EQ(virt_mgmt(&vf, 3, 0, OFFLINE, 0), STATUS(INVALID_OPCODE));
	CHECK_EQ(host_cmd(&vf, 0, host_sqe(nvme_admin_ns_mgmt, 1, 0, 1, 0)), STATUS(INVALID_OPCODE));
	CHECK_EQ(host_cmd(&vf, 0, host_sqe(nvme_admin_ns_attach, 1, 0, 1, 0)), STATUS(INVALID_OPCODE));
	CHECK_EQ(virt_identify(&vf, 0x14, 0, 0, buf), STATUS(INVALID_FIELD));
	CHECK_EQ(virt_identify(&vf, 0x15, 0, 0, buf), STATUS(INVALID_FIELD));
	CHECK_EQ(virt_identify(&vf, 0x10, 0, 0, buf), STATUS(INVALID_FIELD));
	CHECK_EQ(virt_identify(&vf, 0x13, 0, 0, buf), STATUS(INVALID_FIELD));
	vf_close(&vf);
	virt_close(&pf);
}

static void test_plain__has_none_of_it(void)
{
	struct nvme_id_ctrl id;
	uint8_t buf[4096];

	host_open(&pf, NULL);
	host_enable(&pf);
	CHECK_EQ(virt_identify(&pf, 1, 0, 0, &id), 0);
	CHECK(!(le16_get(id.oacs) & NVME_OACS_VIRT_MGMT));
	CHECK_EQ(virt_mgmt(&pf, 1, 0, PRIMARY, 0), STATUS(INVALID_OPCODE));
	CHECK_EQ(virt_identify(&pf, 0x14, 0, 0, buf), STATUS(INVALID_FIELD));
	CHECK_EQ(virt_identify(&pf, 0x15, 0, 0, buf), STATUS(INVALID_FIELD));
	host_close(&pf);
}

/* ------------------------------------------------------------------ the command */

static void test_command__every_status(void)
{
	static const struct { unsigned int cntlid, rt, act, nr, status; } table[] = {
		{ 1, 0, 0x0, 0, STATUS(INVALID_FIELD) },
		{ 1, 0, 0x2, 0, STATUS(INVALID_FIELD) },
		{ 2, 0, 0x6, 0, STATUS(INVALID_FIELD) },
		{ 2, 0, 0xa, 0, STATUS(INVALID_FIELD) },
		{ 2, 0, 0xf, 0, STATUS(INVALID_FIELD) },
		{ 0, VQ, PRIMARY, 0, STATUS(INVALID_CTRL_ID) },
		{ 2, VQ, PRIMARY, 0, STATUS(INVALID_CTRL_ID) },
		{ 1, 2, PRIMARY, 0, STATUS(INVALID_RESOURCE_ID) },
		{ 1, VQ, PRIMARY, 13, STATUS(INVALID_CTRL_RESOURCES) },
		{ 1, VI, PRIMARY, 0xffff, STATUS(INVALID_CTRL_RESOURCES) },
		{ 1, VQ, OFFLINE, 0, STATUS(INVALID_CTRL_ID) },
		{ 6, VQ, OFFLINE, 0, STATUS(INVALID_CTRL_ID) },
		{ 0xffff, VQ, OFFLINE, 0, STATUS(INVALID_CTRL_ID) },
		{ 0, VQ, ASSIGN, 1, STATUS(INVALID_CTRL_ID) },
		{ 1, VQ, ASSIGN, 1, STATUS(INVALID_CTRL_ID) },
		{ 6, VQ, ASSIGN, 1, STATUS(INVALID_CTRL_ID) },
		{ 6, VQ, ONLINE, 1, STATUS(INVALID_CTRL_ID) },
		{ 5, 0, OFFLINE, 0, 0 },				/* is so already */
		{ 2, 7, OFFLINE, 0xffff, 0 },				/* RT, NR: unused */
		{ 2, 2, ASSIGN, 1, STATUS(INVALID_RESOURCE_ID) },
		{ 2, VQ, ASSIGN, 7, STATUS(INVALID_CTRL_RESOURCES) },
		{ 2, VI, ASSIGN, 5, STATUS(INVALID_CTRL_RESOURCES) },
		{ 2, VQ, ASSIGN, 6, 0 },
		{ 3, VQ, ASSIGN, 6, 0 },
		{ 4, VQ, ASSIGN, 1, STATUS(INVALID_RESOURCE_ID) },	/* none is left */
		{ 3, VQ, ASSIGN, 5, 0 },				/* fewer than before */
		{ 4, VQ, ASSIGN, 2, STATUS(INVALID_RESOURCE_ID) },
		{ 4, VQ, ASSIGN, 1, 0 },
		{ 1, VQ, PRIMARY, 1, STATUS(INVALID_RESOURCE_ID) },
		{ 4, VQ, ASSIGN, 0, 0 },
		{ 1, VQ, PRIMARY, 1, 0 },
		{ 4, VQ, ASSIGN, 1, STATUS(INVALID_RESOURCE_ID) },	/* promised to the primary */
		{ 1, VQ, PRIMARY, 0, 0 },
		{ 2, 0, ONLINE, 0, STATUS(INVALID_SEC_CTRL_STATE) },	/* no vector */
		{ 2, VI, ASSIGN, 4, 0 },
		{ 2, 0, ONLINE, 0, STATUS(INVALID_SEC_CTRL_STATE) },	/* no VF */
	};
	unsigned int i;

	virt_open(&pf, &four);
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		uint16_t got = virt_mgmt(&pf, table[i].cntlid, table[i].rt, table[i].act, table[i].nr);

		if (got != table[i].status)
			printf("# row %u\n", i);
		CHECK_EQ(got, table[i].status);
		CHECK_EQ(host_dw0(&pf), !got && (table[i].act & 7) < 2 ? table[i].nr : 0);
	}
	CHECK_EQ(le32_get(caps().vqrfa), 11);
	CHECK_EQ(le32_get(caps().virfa), 4);
	CHECK_EQ(virt_set(&pf, 2), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, 0, ONLINE, 0), STATUS(INVALID_SEC_CTRL_STATE));
	CHECK_EQ(virt_mgmt(&pf, 3, VQ, ASSIGN, 1), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, VI, ASSIGN, 1), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, 0, ONLINE, 0), STATUS(INVALID_SEC_CTRL_STATE));	/* one VQ */
	CHECK_EQ(virt_mgmt(&pf, 3, VQ, ASSIGN, 2), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, 0, ONLINE, 0), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, 0, ONLINE, 0), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, VQ, ASSIGN, 3), STATUS(INVALID_SEC_CTRL_STATE));
	CHECK_EQ(virt_mgmt(&pf, 3, VI, ASSIGN, 1), STATUS(INVALID_SEC_CTRL_STATE));
	/* Beyond NumVFs, whatever it has. */
	CHECK_EQ(virt_mgmt(&pf, 4, VQ, ASSIGN, 2), 0);
	CHECK_EQ(virt_mgmt(&pf, 4, VI, ASSIGN, 1), 0);
	CHECK_EQ(virt_mgmt(&pf, 4, 0, ONLINE, 0), STATUS(INVALID_SEC_CTRL_STATE));
	virt_close(&pf);
}

/* -------------------------------------------------------------------- a VF's life */

static unsigned int table_size(struct host *h)
{
	return pci_config_read(h->fn, (uint16_t)(h->fn->cap_msix + 2), 2) & 0x7ff;
}

static void test_vf__from_offline_to_io(void)
{
	struct nvme_secondary_ctrl e;
	struct ferry_err err;
	uint64_t buf;

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	vf_open(&vf, &pf, 0);
	CHECK(is_offline(&vf));
	CHECK_EQ(table_size(&vf), 0);
	/* Never ready, whatever it is told. */
	CHECK_EQ(host_enable_with(&vf, HOST_CC), NVME_CSTS_CFS);
	host_write(&vf, NVME_REG_CC, 4, 0);
	host_write(&vf, NVME_REG_CC, 4, HOST_CC);
	CHECK(is_offline(&vf));
	CHECK(host_reset(&vf) && is_offline(&vf));

	CHECK_EQ(virt_mgmt(&pf, 2, VI, ASSIGN, 4), 0);
	CHECK_EQ(table_size(&vf), 3);
	CHECK_EQ(virt_mgmt(&pf, 2, VI, ASSIGN, 3), 0);
	CHECK_EQ(virt_mgmt(&pf, 2, VQ, ASSIGN, 4), 0);
	CHECK_EQ(table_size(&vf), 2);
	CHECK(is_offline(&vf));
	CHECK_EQ(virt_mgmt(&pf, 2, 0, ONLINE, 0), 0);
	CHECK_EQ(host_csts(&vf), 0);
	CHECK_EQ(host_read(&vf, NVME_REG_CC, 4), 0);
	e = sec_entry(0);
	CHECK(e.scs == 1 && le16_get(e.nvq) == 4 && le16_get(e.nvi) == 3 && le16_get(e.scid) == 2);

	host_enable(&vf);
	CHECK_EQ(host_set_feature(&vf, NVME_FEAT_FID_NUM_QUEUES, 63 | 63 << 16), 0);
	CHECK_EQ(host_dw0(&vf), 2 | 2 << 16);
	host_queue(&vf, 1, 16, 16);
	host_queue(&vf, 2, 16, 16);
	host_queue(&vf, 3, 16, 16);
	buf = host_alloc(&vf, 4096);
	CHECK_EQ(host_create_cq(&vf, 4, 15, buf, 1), STATUS(QID_INVALID));
	CHECK_EQ(host_create_sq(&vf, 4, 15, buf, 1 | 1 << 16), STATUS(QID_INVALID));
	CHECK_EQ(host_cmd(&vf, 0, host_sqe(nvme_admin_delete_sq, 0, 0, 3, 0)), 0);
	CHECK_EQ(host_cmd(&vf, 0, host_sqe(nvme_admin_delete_cq, 0, 0, 3, 0)), 0);
	CHECK_EQ(host_create_cq(&vf, 3, 15, buf, 3 | 3 << 16), STATUS(INVALID_VECTOR));
	CHECK_EQ(host_set_feature(&vf, NVME_FEAT_FID_IRQ_CONFIG, 3), STATUS(INVALID_FIELD));
	CHECK_EQ(host_set_feature(&vf, NVME_FEAT_FID_IRQ_CONFIG, 2), 0);

	/* The namespace is the PF's alone, then both have it. */
	CHECK_EQ(host_cmd(&vf, 1, host_rw(false, 0, buf)), STATUS(INVALID_FIELD));
	CHECK_EQ(nvme_ns_attach(pf.ss, 1, 2, &err), 0);
	memset(host_ptr(&vf, buf), 0x5a, 512);
	CHECK_EQ(host_cmd(&vf, 1, host_rw(true, 7, buf)), 0);
	memset(host_ptr(&vf, buf), 0, 512);
	CHECK_EQ(host_cmd(&vf, 2, host_rw(false, 7, buf)), 0);
	CHECK_EQ(*(uint8_t *)host_ptr(&vf, buf), 0x5a);
	vf_close(&vf);
	virt_close(&pf);
}

static void test_vf__offline_stops_it(void)
{
	unsigned int turn;

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 1), 0);
	vf_open(&vf, &pf, 0);
	for (turn = 0; turn < 3; turn++) {
		bring_up(2, 2 + turn, 1 + turn);
		host_enable(&vf);
		host_queue(&vf, 1, 8, 8);
		CHECK_EQ(host_submit(&vf, 0, host_sqe(nvme_admin_async_event, 0, 0, 0, 0)),
			 vf.next_cid - 1);
		CHECK_EQ(virt_mgmt(&pf, 2, 0, OFFLINE, 0), 0);
		CHECK(is_offline(&vf));
		CHECK_EQ(table_size(&vf), 0);
		CHECK_EQ(le32_get(caps().vqrfa), 0);
		CHECK_EQ(le32_get(caps().virfa), 0);
		CHECK(sec_entry(0).scs == 0 && le16_get(sec_entry(0).nvq) == 0);
		CHECK(!nvme_qmap_any(&vf.c->sqs) && !vf.c->nr_executing && list_empty(&vf.c->aers));
		host_ring(&vf, 2, 1);
		CHECK(is_offline(&vf));
	}
	vf_close(&vf);
	virt_close(&pf);
}

/* Only the VF's own: PF and neighbour go on; it stays what its primary made it. */
static void test_vf__flr(void)
{
	struct host other;

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	bring_up(2, 3, 2);
	bring_up(3, 3, 2);
	vf_open(&vf, &pf, 0);
	vf_open(&other, &pf, 1);
	host_enable(&vf);
	host_enable(&other);
	CHECK(host_reset(&vf));
	CHECK_EQ(host_csts(&vf), 0);
	CHECK(sec_entry(0).scs == 1 && le16_get(sec_entry(0).nvq) == 3);
	CHECK_EQ(host_csts(&other), NVME_CSTS_RDY);
	CHECK_EQ(host_csts(&pf), NVME_CSTS_RDY);
	host_command(&vf, 4);
	host_enable(&vf);
	CHECK_EQ(host_get_feature(&vf, NVME_FEAT_FID_NUM_QUEUES, 0), 0);
	CHECK_EQ(host_dw0(&vf), 1 | 1 << 16);
	vf_close(&other);
	vf_close(&vf);
	virt_close(&pf);
}

/* ------------------------------------------------------------- what the PF goes through */

static void test_pf__disable_and_shutdown(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	vf_open(&vf, &pf, 1);
	CHECK_EQ(virt_mgmt(&pf, 2, VQ, ASSIGN, 2), 0);	/* offline: keeps what it was given */
	bring_up(3, 2, 1);
	host_enable(&vf);
	CHECK(host_disable(&pf));
	CHECK(HOST_UNTIL(&pf, is_offline(&vf)));
	host_enable(&pf);
	CHECK(sec_entry(1).scs == 0 && le16_get(sec_entry(1).nvq) == 0);
	CHECK_EQ(le16_get(sec_entry(0).nvq), 2);
	CHECK_EQ(virt_numvfs(&pf), 2);			/* CC.EN is no FLR */

	bring_up(3, 2, 1);
	host_enable(&vf);
	host_write(&pf, NVME_REG_CC, 4, HOST_CC | 1 << NVME_CC_SHN_SHIFT);
	CHECK(HOST_UNTIL(&pf, is_offline(&vf)));
	CHECK(host_reset(&pf));
	vf_close(&vf);
	CHECK(HOST_UNTIL(&pf, virt_numvfs(&pf) == 0));
	virt_close(&pf);
}

static void test_pf__flr(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 4), 0);
	bring_up(5, 2, 1);
	vf_open(&vf, &pf, 3);
	host_enable(&vf);
	vf_close(&vf);
	CHECK(host_reset(&pf));
	CHECK(HOST_UNTIL(&pf, virt_numvfs(&pf) == 0));
	host_enable(&pf);
	CHECK(!sec_entry(3).scs && !le16_get(sec_entry(3).nvq));
	CHECK_EQ(virt_mgmt(&pf, 5, VQ, ASSIGN, 2), 0);
	CHECK_EQ(virt_mgmt(&pf, 5, VI, ASSIGN, 2), 0);
	CHECK_EQ(virt_mgmt(&pf, 5, 0, ONLINE, 0), STATUS(INVALID_SEC_CTRL_STATE));
	/* And from the start: what it was given without a VF, it has with one. */
	CHECK_EQ(virt_set(&pf, 4), 0);
	vf_open(&vf, &pf, 3);
	CHECK_EQ(table_size(&vf), 1);
	CHECK_EQ(virt_mgmt(&pf, 5, 0, ONLINE, 0), 0);
	host_enable(&vf);
	vf_close(&vf);
	virt_close(&pf);
}

static void test_vfs__removed_are_offline(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	bring_up(2, 2, 1);
	CHECK_EQ(virt_set(&pf, 0), 0);
	CHECK(!sec_entry(0).scs && !le16_get(sec_entry(0).nvq) && !le16_get(sec_entry(0).nvi));
	CHECK_EQ(le32_get(caps().vqrfa), 0);
	virt_close(&pf);
}

static void test_primary__flexible_resources(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(table_size(&pf), 2);
	CHECK_EQ(virt_mgmt(&pf, 1, VQ, PRIMARY, 5), 0);
	CHECK_EQ(virt_mgmt(&pf, 1, VI, PRIMARY, 2), 0);
	CHECK_EQ(le16_get(caps().vqrfap), 0);
	/* Not by CC.EN ... */
	CHECK(host_disable(&pf));
	host_enable(&pf);
	CHECK_EQ(le16_get(caps().vqrfap), 0);
	CHECK_EQ(host_set_feature(&pf, NVME_FEAT_FID_NUM_QUEUES, 63 | 63 << 16), 0);
	CHECK_EQ(host_dw0(&pf), 3 | 3 << 16);
	CHECK_EQ(table_size(&pf), 2);
	/* ... by FLR. */
	CHECK(host_reset(&pf));
	host_enable(&pf);
	CHECK(le16_get(caps().vqrfap) == 5 && le16_get(caps().virfap) == 2);
	CHECK_EQ(table_size(&pf), 4);
	CHECK_EQ(host_get_feature(&pf, NVME_FEAT_FID_NUM_QUEUES, 0), 0);
	CHECK_EQ(host_dw0(&pf), 8 | 8 << 16);
	/* Promised away, but in use until the next reset. */
	CHECK_EQ(virt_mgmt(&pf, 1, VQ, PRIMARY, 0), 0);
	CHECK_EQ(virt_mgmt(&pf, 2, VQ, ASSIGN, 6), 0);
	CHECK_EQ(virt_mgmt(&pf, 3, VQ, ASSIGN, 2), STATUS(INVALID_RESOURCE_ID));
	CHECK(host_reset(&pf));
	host_enable(&pf);
	CHECK_EQ(virt_mgmt(&pf, 3, VQ, ASSIGN, 6), 0);
	virt_close(&pf);
}

/* -------------------------------------------------- commands that wait for a VF */

static void test_wait__until_the_vf_is_drained(void)
{
	uint64_t buf;

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 1), 0);
	bring_up(2, 2, 1);
	vf_open(&vf, &pf, 0);
	host_enable(&vf);
	CHECK_EQ(nvme_ns_attach(pf.ss, 1, 2, NULL), 0);
	host_queue(&vf, 1, 8, 8);
	buf = host_alloc(&vf, 4096);
	host_lock(&vf);
	vf.c->nr_executing++;		/* a command that does not end */
	host_unlock(&vf);
	(void)buf;
	host_submit(&pf, 0, virt_sqe(2, 0, OFFLINE, 0));
	for (unsigned int i = 0; i < 50; i++)
		host_step(&pf);
	CHECK(!host_take(&pf, 0));
	CHECK(host_csts(&vf) & NVME_CSTS_CFS);
	/* Meanwhile others are served, and the table says offline: what follows is done after it. */
	CHECK_EQ(vf.c->offline, true);
	host_submit(&pf, 0, virt_sqe(2, VQ, ASSIGN, 3));
	host_submit(&pf, 0, virt_sqe(2, VI, ASSIGN, 2));
	host_submit(&pf, 0, virt_sqe(2, 0, ONLINE, 0));
	for (unsigned int i = 0; i < 50; i++)
		host_step(&pf);
	CHECK(!host_take(&pf, 0));
	host_lock(&vf);
	vf.c->nr_executing--;
	nvme_drained(vf.c);
	host_unlock(&vf);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK(host_wait(&pf, 0));
		CHECK_EQ(le16_get(pf.cqe.status) >> 1, 0);
	}
	CHECK_EQ(host_csts(&vf), 0);
	CHECK_EQ(table_size(&vf), 1);
	vf_close(&vf);
	virt_close(&pf);
}

static void test_wait__ends_with_the_vf(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 1), 0);
	bring_up(2, 2, 1);
	/* Nobody runs the VF's work before it is gone. */
	host_submit(&pf, 0, virt_sqe(2, 0, OFFLINE, 0));
	CHECK(!host_take(&pf, 0));
	CHECK_EQ(virt_set(&pf, 0), 0);
	CHECK_EQ(virt_numvfs(&pf), 0);
	CHECK(host_wait(&pf, 0));
	CHECK_EQ(le16_get(pf.cqe.status) >> 1, 0);
	virt_close(&pf);
}

static void test_wait__ends_with_the_pf(void)
{
	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 2), 0);
	bring_up(2, 2, 1);
	bring_up(3, 2, 1);
	vf_open(&vf, &pf, 0);
	host_lock(&vf);
	vf.c->nr_executing++;
	host_unlock(&vf);
	host_submit(&pf, 0, virt_sqe(2, 0, OFFLINE, 0));
	host_submit(&pf, 0, virt_sqe(3, 0, OFFLINE, 0));
	/* A reset of the PF doesn't wait for the VF. */
	CHECK(host_disable(&pf));
	host_enable(&pf);
	CHECK(!host_take(&pf, 0));
	host_lock(&vf);
	vf.c->nr_executing--;
	nvme_drained(vf.c);
	host_unlock(&vf);
	CHECK(HOST_UNTIL(&pf, is_offline(&vf)));
	CHECK(!host_take(&pf, 0));
	vf_close(&vf);
	virt_close(&pf);
}

/* Resets and enables on a thread of their own, provisioning here. */
static _Atomic bool stop;

static void *client(void *arg)
{
	struct host *h = arg;

	while (!stop) {
		host_lock(h);
		pci_config_write(h->fn, 4, 2, 4);
		pci_bar_write(h->fn, 0, NVME_REG_AQA, 4, 31 | 31 << 16);
		pci_bar_write(h->fn, 0, NVME_REG_ASQ, 8, HOST_RAM_IOVA);
		pci_bar_write(h->fn, 0, NVME_REG_ACQ, 8, HOST_RAM_IOVA + 0x1000);
		pci_bar_write(h->fn, 0, NVME_REG_CC, 4, HOST_CC);
		host_unlock(h);
		host_lock(h);
		pci_bar_write(h->fn, 0, NVME_REG_DOORBELLS, 4, 3);
		host_unlock(h);
		host_lock(h);
		pci_reset(h->fn, PCI_RESET_FLR, NULL);
		host_unlock(h);
	}
	return NULL;
}

static void test_race__provisioning_against_resets(void)
{
	const uint64_t end = host_now() + 300000000;
	unsigned int turns = 0;
	pthread_t thread;

	virt_open(&pf, &four);
	CHECK_EQ(virt_set(&pf, 1), 0);
	vf_open(&vf, &pf, 0);
	stop = false;
	pthread_create(&thread, NULL, client, &vf);
	while (host_now() < end) {
		bring_up(2, 2 + turns % 5, 1 + turns % 4);
		CHECK_EQ(virt_mgmt(&pf, 2, 0, OFFLINE, 0), 0);
		CHECK(is_offline(&vf) || pci_reset_busy(vf.fn) || host_csts(&vf) == 0xffffffff);
		if (++turns % 16 == 0) {
			CHECK(host_disable(&pf));
			host_enable(&pf);
		}
	}
	stop = true;
	pthread_join(thread, NULL);
	CHECK(turns > 1);
	CHECK(HOST_UNTIL(&pf, is_offline(&vf)));
	vf_close(&vf);
	virt_close(&pf);
}

/* ------------------------------------------------------------------ namespaces */

static void test_namespace__attached_before_the_vf(void)
{
	struct nvme_ctrl_list *list, ids;
	struct nvme_ns_list active;
	uint64_t at;

	virt_open(&pf, &four);
	at = host_alloc(&pf, 4096);
	list = host_ptr(&pf, at);
	list->num = le16_of(2);
	list->identifier[0] = le16_of(3);
	list->identifier[1] = le16_of(6);
	CHECK_EQ(host_cmd(&pf, 0, host_sqe(nvme_admin_ns_attach, 1, at, 0, 0)), STATUS(CTRL_LIST_INVALID));
	list->identifier[1] = le16_of(5);
	CHECK_EQ(host_cmd(&pf, 0, host_sqe(nvme_admin_ns_attach, 1, at, 0, 0)), 0);
	CHECK_EQ(host_cmd(&pf, 0, host_sqe(nvme_admin_ns_attach, 1, at, 0, 0)), STATUS(NS_ALREADY_ATTACHED));
	CHECK_EQ(virt_identify(&pf, 0x12, 0, 1, &ids), 0);
	CHECK(le16_get(ids.num) == 3 && le16_get(ids.identifier[0]) == 1 &&
	      le16_get(ids.identifier[1]) == 3 && le16_get(ids.identifier[2]) == 5);
	for (unsigned int turn = 0; turn < 2; turn++) {
		CHECK_EQ(virt_set(&pf, 2), 0);
		bring_up(3, 2, 1);
		bring_up(2, 2, 1);
		vf_open(&vf, &pf, 1);
		host_enable(&vf);
		CHECK_EQ(virt_identify(&vf, 2, 0, 0, &active), 0);
		CHECK(le32_get(active.ns[0]) == 1 && !le32_get(active.ns[1]));
		vf_close(&vf);
		vf_open(&vf, &pf, 0);
		host_enable(&vf);
		CHECK_EQ(virt_identify(&vf, 2, 0, 0, &active), 0);
		CHECK(!le32_get(active.ns[0]));
		vf_close(&vf);
		CHECK_EQ(virt_set(&pf, 0), 0);
	}
	list->num = le16_of(1);
	list->identifier[0] = le16_of(5);
	CHECK_EQ(host_cmd(&pf, 0, host_sqe(nvme_admin_ns_attach, 1, at, 1, 0)), 0);
	CHECK_EQ(host_cmd(&pf, 0, host_sqe(nvme_admin_ns_attach, 1, at, 1, 0)), STATUS(NS_NOT_ATTACHED));
	virt_close(&pf);
}

/* --------------------------------------------------------------------- limits */

static void test_config__limits(void)
{
	static const struct nvme_ctrl_config bad[] = {
		{ .cntlid = 1, .queues = 4, .vq_flexible = 4 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 257 },
		{ .cntlid = 0xffe0, .queues = 4, .vfs_max = 16 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 1, .vq_flexible = 1 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 1, .vq_per_vf = 66 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 4, .vq_flexible = 8, .vq_per_vf = 9 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 4, .vi_flexible = 8, .vi_per_vf = 9 },
		{ .cntlid = 1, .queues = 4, .vfs_max = 256, .vq_flexible = 20000 },
	};
	static const struct nvme_ctrl_config big = { .cntlid = 1, .queues = 64, .vfs_max = 256 };
	struct nvme_subsys_config sc = { .serial = "S", .model = "M" };
	struct nvme_ctrl_config second = { .cntlid = 3, .queues = 1 };
	struct pci_function *fn;
	struct nvme_subsys *ss;
	struct ferry_env *env;
	struct ferry_err err;

	CHECK_EQ(env_create(ENV_EPOLL, &env), 0);
	CHECK_EQ(nvme_subsys_create(&sc, &ss, &err), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		err = (struct ferry_err){ 0 };
		CHECK_EQ(nvme_ctrl_create(ss, &bad[i], env, &fn, &err), -EINVAL);
		CHECK(err.msg[0]);
	}
	CHECK_EQ(nvme_ctrl_create(ss, &four, env, &fn, &err), 0);
	CHECK_EQ(nvme_ctrl_create(ss, &second, env, &pf.fn, &err), -EEXIST);	/* a secondary's id */
	second.cntlid = 6;
	CHECK_EQ(nvme_ctrl_create(ss, &second, env, &pf.fn, &err), 0);
	nvme_ctrl_destroy(pf.fn);
	nvme_ctrl_destroy(fn);
	CHECK_EQ(nvme_ctrl_create(ss, &big, env, &fn, &err), 0);
	second.cntlid = 1000;
	CHECK_EQ(nvme_ctrl_create(ss, &second, env, &pf.fn, &err), -ENOSPC);
	nvme_ctrl_destroy(fn);
	nvme_subsys_destroy(ss);
	env_destroy(env);
}

static void test_vfs__all_256(void)
{
	static const struct nvme_ctrl_config big = { .cntlid = 1, .queues = 1, .vfs_max = 256 };

	virt_open(&pf, &big);
	CHECK_EQ(virt_set(&pf, 256), 0);
	bring_up(257, 2, 2);
	vf_open(&vf, &pf, 255);
	CHECK_EQ(nvme_ns_attach(pf.ss, 1, 257, NULL), 0);
	host_enable(&vf);
	host_queue(&vf, 1, 8, 8);
	CHECK_EQ(host_cmd(&vf, 1, host_rw(true, 1, host_alloc(&vf, 4096))), 0);
	vf_close(&vf);
	CHECK_EQ(virt_set(&pf, 0), 0);
	virt_close(&pf);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	RUN(test_identify__primary);
	RUN(test_identify__secondaries);
	RUN(test_identify__secondary_itself);
	RUN(test_plain__has_none_of_it);
	RUN(test_command__every_status);
	RUN(test_vf__from_offline_to_io);
	RUN(test_vf__offline_stops_it);
	RUN(test_vf__flr);
	RUN(test_pf__disable_and_shutdown);
	RUN(test_pf__flr);
	RUN(test_vfs__removed_are_offline);
	RUN(test_primary__flexible_resources);
	RUN(test_wait__until_the_vf_is_drained);
	RUN(test_wait__ends_with_the_vf);
	RUN(test_wait__ends_with_the_pf);
	RUN(test_race__provisioning_against_resets);
	RUN(test_namespace__attached_before_the_vf);
	RUN(test_config__limits);
	RUN(test_vfs__all_256);
	return tap_end();
}
