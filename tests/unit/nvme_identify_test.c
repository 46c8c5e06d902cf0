/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Identify, as raw bytes: the offsets here are those of the specification's
 * tables, written down a second time, not those of our structures.
 */
#include "nvme_rig.h"

static struct rig r;
static uint32_t ns1, ns2, unattached;
static uint8_t *d;		/* the 4096 bytes of the last Identify */

static uint64_t get(unsigned int off, unsigned int len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | d[off + len];
	return v;
}

static bool zero(unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		if (d[from])
			return false;
	return true;
}

static uint16_t identify(unsigned int cns, uint32_t nsid, unsigned int csi, unsigned int cntid)
{
	struct nvme_sqe s = { .opcode = nvme_admin_identify, .nsid = le32_of(nsid) };

	memset(d, 0xaa, 4096);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	s.cdw10 = le32_of(cns | cntid << 16);
	s.cdw11 = le32_of(csi << 24);
	return rig_cmd(&r, 0, s);
}

static bool text(unsigned int off, unsigned int len, const char *want)
{
	unsigned int n = (unsigned int)strlen(want), i;

	for (i = 0; i < len; i++)
		if (d[off + i] != (i < n ? (uint8_t)want[i] : ' '))
			return false;
	return true;
}

static void test_identify__controller(void)
{
	CHECK_STATUS(identify(1, 0, 0, 0), 0);
	CHECK(get(0, 2) == r.fn->shape.vendor && get(2, 2) == r.fn->shape.subsys_vendor);
	CHECK(text(4, 20, "12345678901234567890"));	/* all of it, no NUL */
	CHECK(text(24, 40, "A model"));
	CHECK(text(64, 8, "12345678"));
	CHECK(get(76, 1) == 2);				/* CMIC: multiple controllers */
	CHECK(get(77, 1) == 9);				/* MDTS */
	CHECK(get(78, 2) == 1);				/* CNTLID */
	CHECK(get(80, 4) == 0x20100);			/* VER */
	CHECK(get(92, 4) == 1 << 8);			/* OAES */
	CHECK(get(111, 1) == 1);			/* CNTRLTYPE */
	CHECK(get(256, 2) == (1 << 1 | 1 << 3 | 1 << 8));	/* OACS */
	CHECK(get(258, 1) == 3 && get(259, 1) == 7);	/* ACL, AERL */
	CHECK(get(260, 1) == 3 && get(262, 1) == 63);	/* FRMW, ELPE */
	CHECK((get(261, 1) & 6) == 6);			/* LPA: effects, extended */
	CHECK(get(263, 1) == 0 && get(265, 1) == 0);	/* NPSS, APSTA */
	CHECK(get(266, 2) > 300 && get(268, 2) > get(266, 2));
	CHECK(get(272, 4) == 0 && get(276, 4) == 0);	/* no host memory buffer */
	CHECK(get(280, 8) == (64u << 20) + (2u << 20) && get(288, 8) == 0);	/* TNVMCAP */
	CHECK(get(296, 8) == 64u << 20 && get(304, 8) == 0);			/* UNVMCAP */
	CHECK(get(512, 1) == 0x66 && get(513, 1) == 0x44);
	CHECK(get(516, 4) == 128 && get(540, 4) == 128);	/* NN, MNAN */
	CHECK(get(520, 2) == (1 | 4 | 8 | 0x10 | 0x40 | 0x80 | 0x100));	/* ONCS */
	CHECK(get(522, 2) == 0);			/* FUSES */
	CHECK(get(524, 1) == 0 && get(525, 1) == 7);	/* FNA, VWC */
	CHECK(get(534, 2) == 1);			/* OCFS */
	CHECK(get(536, 4) == (1 | 1 << 16 | 1 << 18));	/* SGLS */
	CHECK(!memcmp(d + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32));
	CHECK(strnlen((char *)d + 768, 256) == 68 && zero(768 + 68, 1024));
	CHECK(get(2048, 2) == 2500 && zero(2080, 4096));
}

/* What is switched off is not claimed; names of full length. */
static void test_identify__controller_without_options(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 7, .queues = RIG_QUEUES, .no_dbbuf = true,
					.no_sgl = true, .mdts = 5 };
	struct nvme_subsys_config scfg = { .serial = "", .model = "1234567890123456789012345678901234567890",
					   .firmware = "" };
	struct rig other, saved = r;

	memset(scfg.subnqn, 'q', sizeof(scfg.subnqn) - 1);
	rig_init_with(&other, &cfg, &scfg);
	r = other;
	d = r.ram_bytes + RIG_DATA;
	CHECK_STATUS(identify(1, 0, 0, 0), 0);
	CHECK(text(4, 20, "") && text(24, 40, scfg.model) && text(64, 8, ""));
	CHECK(get(77, 1) == 5 && get(78, 2) == 7);
	CHECK(get(256, 2) == (1 << 1 | 1 << 3) && get(536, 4) == 0);
	CHECK(get(280, 8) == 0 && get(296, 8) == 0);
	CHECK(!memcmp(d + 768, scfg.subnqn, 223) && zero(768 + 223, 1024));
	rig_fini(&r);
	r = saved;
	d = r.ram_bytes + RIG_DATA;
}

static void test_identify__namespace(void)
{
	struct nvme_ns *ns = r.c->ss->ns[ns1];

	CHECK_STATUS(identify(0, ns1, 0, 0), 0);
	CHECK(get(0, 8) == 2048 && get(8, 8) == 2048 && get(16, 8) == 2048);
	CHECK(get(25, 1) == 1 && get(26, 1) == 0);	/* NLBAF, FLBAS */
	CHECK(get(28, 1) == 0 && get(29, 1) == 0);
	CHECK(get(30, 1) == 1 && get(33, 1) == 9);	/* NMIC, DLFEAT */
	CHECK(get(48, 8) == 1u << 20 && get(56, 8) == 0);
	CHECK(get(74, 2) == 2048 && get(76, 4) == 32768 && get(80, 1) == 127);
	CHECK(get(99, 1) == 0);
	CHECK(!memcmp(d + 104, ns->nguid, 16) && !memcmp(d + 120, ns->eui64, 8));
	CHECK(!memcmp(ns->nguid, ns->uuid, 8) && !memcmp(ns->nguid + 8, ns->eui64, 8));
	CHECK(get(128, 4) == 9 << 16 && get(132, 4) == 12 << 16 && zero(136, 4096));
	CHECK_STATUS(identify(0, ns2, 0, 0), 0);
	CHECK(get(0, 8) == 128 && get(26, 1) == 1);
	CHECK(get(74, 2) == 256 && get(76, 4) == 4096);
	CHECK_STATUS(identify(0, unattached, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(0, 99, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(0x11, unattached, 0, 0), 0);
	CHECK(get(0, 8) == 1024);
	CHECK_STATUS(identify(0x11, 99, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(0, NVME_NSID_ALL, 0, 0), 0);
	CHECK(get(0, 8) == 0 && get(25, 1) == 1 && get(132, 4) == 12 << 16);
	CHECK_STATUS(identify(0, 0, 0, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(identify(0, 129, 0, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(identify(0x11, NVME_NSID_ALL, 0, 0), NVME_SC_INVALID_NS);
}

static void test_identify__independent_and_command_set(void)
{
	CHECK_STATUS(identify(8, ns1, 0, 0), 0);
	CHECK(get(1, 1) == 1 && get(8, 1) == 0 && get(14, 1) == 1);	/* ready */
	CHECK_STATUS(identify(8, unattached, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(5, ns1, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(5, ns1, 2, 0), NVME_SC_INVALID_IOCS);
	CHECK_STATUS(identify(6, 0, 0, 0), 0);
	CHECK(get(0, 1) == 9 && get(1, 1) == 0 && zero(2, 20));
	CHECK_STATUS(identify(6, 0, 1, 0), NVME_SC_INVALID_IOCS);
	CHECK_STATUS(identify(7, 0, 0, 0), 0);
	CHECK(get(0, 4) == ns1 && get(4, 4) == ns2 && zero(8, 4096));
	CHECK_STATUS(identify(7, 0, 0xff, 0), NVME_SC_INVALID_IOCS);
}

static void test_identify__descriptors(void)
{
	struct nvme_ns *ns = r.c->ss->ns[ns2];

	CHECK_STATUS(identify(3, ns2, 0, 0), 0);
	CHECK(d[0] == 1 && d[1] == 8 && !memcmp(d + 4, ns->eui64, 8));
	CHECK(d[12] == 2 && d[13] == 16 && !memcmp(d + 16, ns->nguid, 16));
	CHECK(d[32] == 3 && d[33] == 16 && !memcmp(d + 36, ns->uuid, 16));
	CHECK(d[52] == 4 && d[53] == 1 && d[56] == 0 && zero(56, 4096));
	CHECK_STATUS(identify(3, unattached, 0, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(identify(3, NVME_NSID_ALL, 0, 0), NVME_SC_INVALID_NS);
}

static void test_identify__lists(void)
{
	CHECK_STATUS(identify(2, 0, 0, 0), 0);
	CHECK(get(0, 4) == ns1 && get(4, 4) == ns2 && zero(8, 4096));
	CHECK_STATUS(identify(2, ns1, 0, 0), 0);
	CHECK(get(0, 4) == ns2 && zero(4, 4096));
	CHECK_STATUS(identify(2, 0xfffffffd, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(2, 0xfffffffe, 0, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(identify(0x10, 0, 0, 0), 0);
	CHECK(get(0, 4) == ns1 && get(4, 4) == ns2 && get(8, 4) == unattached && zero(12, 4096));
	CHECK_STATUS(identify(0x10, 0xffffffff, 0, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(identify(0x13, 0, 0, 0), 0);
	CHECK(get(0, 2) == 1 && get(2, 2) == 1 && zero(4, 4096));
	CHECK_STATUS(identify(0x13, 0, 0, 2), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(0x12, ns1, 0, 0), 0);
	CHECK(get(0, 2) == 1 && get(2, 2) == 1);
	CHECK_STATUS(identify(0x12, unattached, 0, 0), 0);
	CHECK(zero(0, 4096));
	CHECK_STATUS(identify(0x12, 99, 0, 0), NVME_SC_INVALID_FIELD);
}

/* Every CNS with every CSI, on namespaces of all kinds. */
static void test_identify__full_sweep(void)
{
	static const uint32_t nsids[] = { 0, 1, 3, 99, 129, 0xfffffffe, 0xffffffff };
	unsigned int cns, csi, bad = 0;

	for (cns = 0; cns < 256; cns++)
		for (csi = 0; csi < 256; csi++) {
			uint32_t nsid = nsids[(cns + csi) % ARRAY_SIZE(nsids)];
			uint16_t st = identify(cns, nsid, csi, csi * 3) & NVME_SC_MASK;

			if (st && st != NVME_SC_INVALID_FIELD && st != NVME_SC_INVALID_NS &&
			    st != NVME_SC_INVALID_IOCS)
				bad++;
			if (cns > 0x13 && st != NVME_SC_INVALID_FIELD)
				bad++;
		}
	CHECK(!bad);
}

static void test_identify__transfer(void)
{
	struct nvme_sqe s = { .opcode = nvme_admin_identify, .cdw10 = le32_of(1) };

	s.prp1 = le64_of(RAM_IOVA + RIG_DATA + 512);
	s.prp2 = le64_of(RAM_IOVA + RIG_DATA + 8192);
	CHECK_STATUS(rig_cmd(&r, 0, s), 0);
	CHECK(r.ram_bytes[RIG_DATA + 512 + 77] == 9);
	s.prp2 = le64_of(RAM_IOVA + RIG_DATA + 8200);
	CHECK_STATUS(rig_cmd(&r, 0, s), NVME_SC_PRP_INVALID_OFFSET);
	s.prp1 = le64_of(RO_IOVA);
	CHECK_STATUS(rig_cmd(&r, 0, s), NVME_SC_DATA_XFER_ERROR);
	s.flags = NVME_PSDT_SGL << 6;
	CHECK_STATUS(rig_cmd(&r, 0, s), NVME_SC_INVALID_FIELD);
}

int main(void)
{
	struct nvme_ctrl_config cfg = { .cntlid = 1, .queues = RIG_QUEUES };
	struct nvme_subsys_config scfg = { .serial = "12345678901234567890", .model = "A model",
					   .firmware = "12345678", .capacity = 64u << 20 };
	struct ferry_err err = { 0 };
	struct block_dev *a;

	rnd_seed();
	rig_init_with(&r, &cfg, &scfg);
	d = r.ram_bytes + RIG_DATA;
	MUST(!block_open("memory", 1u << 20, 0, &a, &err));
	ns1 = rig_add(&r, a, 9);
	block_put(a);
	MUST(!block_open("memory", 512u << 10, 0, &a, &err));
	ns2 = rig_add(&r, a, 12);
	unattached = rig_add(&r, a, 9);
	block_put(a);
	MUST(!nvme_ns_detach(r.ss, unattached, 1, &err));

	RUN(test_identify__controller);
	RUN(test_identify__controller_without_options);
	RUN(test_identify__namespace);
	RUN(test_identify__independent_and_command_set);
	RUN(test_identify__descriptors);
	RUN(test_identify__lists);
	RUN(test_identify__full_sweep);
	RUN(test_identify__transfer);
	rig_fini(&r);
	return tap_end();
}
