/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Get and Set Features: every identifier, every select, the statuses. */
#include "nvme_host.h"

#define SAVE 1u
#define PER_NS 2u
#define CHANGE 4u

static uint16_t set_sv(struct host *h, uint8_t fid, uint32_t nsid, uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_set_features, nsid, 0, fid | NVME_FEAT_SAVE, cdw11));
}

static uint16_t set_ns(struct host *h, uint8_t fid, uint32_t nsid, uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_set_features, nsid, 0, fid, cdw11));
}

static uint16_t get_11(struct host *h, uint8_t fid, uint32_t nsid, unsigned int sel, uint32_t cdw11)
{
	return host_cmd(h, 0, host_sqe(nvme_admin_get_features, nsid, 0, fid | sel << 8, cdw11));
}

static const struct {
	uint8_t fid;
	uint32_t caps, dflt;
} table[] = {
	{ 0x01, CHANGE | SAVE, 0 }, { 0x02, CHANGE, 0 }, { 0x04, CHANGE | SAVE, 343 },
	{ 0x05, CHANGE | SAVE | PER_NS, 0 }, { 0x06, CHANGE | SAVE, 1 }, { 0x07, CHANGE, 7 | 7 << 16 },
	{ 0x08, CHANGE | SAVE, 0 }, { 0x09, CHANGE, 0 }, { 0x0a, CHANGE | SAVE, 0 }, { 0x0b, CHANGE, 0 },
	{ 0x0e, CHANGE, 0 }, { 0x16, CHANGE, 0 }, { 0x81, CHANGE, 0 },
};

static void test_features__every_fid(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	for (unsigned int fid = 0; fid < 256; fid++) {
		const unsigned int none = ARRAY_SIZE(table);
		unsigned int i;

		for (i = 0; i < none && table[i].fid != fid; i++)
			;
		if (i == none) {
			for (unsigned int sel = 0; sel < 8; sel++)
				CHECK_EQ(host_get_feature(&h, (uint8_t)fid, sel), NVME_SC_INVALID_FIELD | HOST_DNR);
			CHECK_EQ(host_set_feature(&h, (uint8_t)fid, 0), NVME_SC_INVALID_FIELD | HOST_DNR);
			continue;
		}
		for (unsigned int sel = 0; sel < 3; sel++) {
			struct nvme_sqe s = host_sqe(nvme_admin_get_features, 1, buf, fid | sel << 8, 0);

			CHECK_EQ(host_cmd(&h, 0, s), 0);
			CHECK_EQ(host_dw0(&h), table[i].dflt);
		}
		CHECK_EQ(host_get_feature(&h, (uint8_t)fid, 3), 0);
		CHECK_EQ(host_dw0(&h), table[i].caps);
		for (unsigned int sel = 4; sel < 8; sel++)
			CHECK_EQ(host_get_feature(&h, (uint8_t)fid, sel), NVME_SC_INVALID_FIELD | HOST_DNR);
		if (!(table[i].caps & SAVE))
			CHECK_EQ(set_sv(&h, (uint8_t)fid, 0, 0), NVME_SC_FEATURE_NOT_SAVEABLE | HOST_DNR);
		/* QEMU's driver names a namespace for the write cache. */
		if (!(table[i].caps & PER_NS))
			CHECK_EQ(set_ns(&h, (uint8_t)fid, 1, 0), fid == NVME_FEAT_FID_VOLATILE_WC ?
				 0 : NVME_SC_FEATURE_NOT_PER_NS | HOST_DNR);
	}
	host_close(&h);
}

static void test_features__values(void)
{
	static const struct {
		uint8_t fid;
		uint32_t set;
		uint16_t status;
		uint32_t get;
	} t[] = {
		{ 0x01, 0xffffffff, 0, 0xffffff07 }, { 0x02, 0x40, 0, 0x40 },
		{ 0x02, 1, NVME_SC_INVALID_FIELD | NVME_SC_DNR, 0x40 },
		{ 0x06, 0, 0, 0 }, { 0x06, 0xffffffff, 0, 1 }, { 0x08, 0x1234ffff, 0, 0xffff },
		{ 0x0a, 3, 0, 1 }, { 0x0b, 0xffffffff, 0, 0x11f }, { 0x0b, 0, 0, 0 },
		{ 0x07, 0xffff0000, NVME_SC_INVALID_FIELD | NVME_SC_DNR, 7 | 7 << 16 },
		{ 0x07, 0x0000ffff, NVME_SC_INVALID_FIELD | NVME_SC_DNR, 7 | 7 << 16 },
		{ 0x07, 0xfffefffe, 0, 7 | 7 << 16 }, { 0x07, 0x00030001, 0, 1 | 3 << 16 },
		{ 0x07, 0, 0, 0 },
	};
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		CHECK_EQ(host_set_feature(&h, t[i].fid, t[i].set), t[i].status);
		CHECK_EQ(host_get_feature(&h, t[i].fid, 0), 0);
		CHECK_EQ(host_dw0(&h), t[i].get);
	}
	host_close(&h);
}

static void test_features__saved(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(set_sv(&h, NVME_FEAT_FID_VOLATILE_WC, 0, 0), 0);
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 1), 0);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 2), 0);
	CHECK_EQ(host_dw0(&h), 0);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 1), 0);
	CHECK_EQ(host_dw0(&h), 1);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 0), 0);
	CHECK_EQ(host_dw0(&h), 1);
	CHECK(host_reset(&h));
	host_enable(&h);
	CHECK_EQ(host_get_feature(&h, NVME_FEAT_FID_VOLATILE_WC, 0), 0);
	CHECK_EQ(host_dw0(&h), 0);
	host_close(&h);
}

static void test_features__error_recovery_per_namespace(void)
{
	const uint8_t f = NVME_FEAT_FID_ERR_RECOVERY;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(set_ns(&h, f, 0, 5), NVME_SC_INVALID_NS | HOST_DNR);
	CHECK_EQ(set_ns(&h, f, 129, 5), NVME_SC_INVALID_NS | HOST_DNR);
	CHECK_EQ(set_ns(&h, f, 2, 5), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(set_ns(&h, f, 1, 1 << 16), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(set_ns(&h, f, 1, 5), 0);
	CHECK_EQ(get_11(&h, f, 1, 0, 0), 0);
	CHECK_EQ(host_dw0(&h), 5);
	CHECK_EQ(set_ns(&h, f, NVME_NSID_ALL, 9), 0);
	CHECK_EQ(get_11(&h, f, 1, 0, 0), 0);
	CHECK_EQ(host_dw0(&h), 9);
	CHECK_EQ(get_11(&h, f, NVME_NSID_ALL, 0, 0), NVME_SC_INVALID_NS | HOST_DNR);
	CHECK_EQ(get_11(&h, f, 0, 0, 0), NVME_SC_INVALID_NS | HOST_DNR);
	CHECK_EQ(get_11(&h, f, 2, 0, 0), NVME_SC_INVALID_FIELD | HOST_DNR);
	host_close(&h);
}

static void test_features__temperature(void)
{
	const uint8_t f = NVME_FEAT_FID_TEMP_THRESH;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(host_set_feature(&h, f, 1 << 16 | 300), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_set_feature(&h, f, 2 << 20 | 300), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(get_11(&h, f, 0, 0, 9 << 16), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_set_feature(&h, f, 15 << 16 | 350), 0);
	CHECK_EQ(host_set_feature(&h, f, 1 << 20 | 270), 0);
	CHECK_EQ(get_11(&h, f, 0, 0, 0), 0);
	CHECK_EQ(host_dw0(&h), 350);
	CHECK_EQ(get_11(&h, f, 0, 0, 1 << 20), 0);
	CHECK_EQ(host_dw0(&h), 270);
	/* Below what it is: a warning, and the event if it is wanted. */
	CHECK_EQ(host_set_feature(&h, NVME_FEAT_FID_ASYNC_EVENT, 2), 0);
	CHECK_EQ(host_set_feature(&h, f, 300), 0);
	CHECK_EQ(h.c->st->nr_events, 1);
	CHECK_EQ(h.c->st->event[0].type, NVME_AER_SMART);
	host_close(&h);
}

static void test_features__vectors(void)
{
	const uint8_t f = NVME_FEAT_FID_IRQ_CONFIG;
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	CHECK_EQ(get_11(&h, f, 0, 0, 8), 0);
	CHECK_EQ(host_dw0(&h), 8);
	CHECK_EQ(get_11(&h, f, 0, 0, 9), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(get_11(&h, f, 0, 0, 0xffff), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_set_feature(&h, f, 9), NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_set_feature(&h, f, 3 | 1 << 16), 0);
	CHECK_EQ(get_11(&h, f, 0, 0, 3), 0);
	CHECK_EQ(host_dw0(&h), 3 | 1 << 16);
	host_close(&h);
}

static void test_features__timestamp(void)
{
	struct host h;
	uint64_t buf;
	uint8_t *p;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	p = host_ptr(&h, buf);
	memcpy(p, "\x00\x00\x00\x00\x00\x01\xff\xff", 8);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, 0x0e, 0)), 0);
	memset(p, 0xff, 16);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_get_features, 0, buf, 0x0e, 0)), 0);
	CHECK_EQ(p[5], 1);
	CHECK_EQ(p[6], 1 << 1);
	CHECK_EQ(p[7], 0);
	CHECK_EQ(p[8], 0xff);
	CHECK(p[0] < 200 && p[1] == 0 && p[4] == 0);
	CHECK(host_disable(&h));
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	p = host_ptr(&h, buf);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_get_features, 0, buf, 0x0e, 0)), 0);
	CHECK_EQ(p[5], 0);
	CHECK_EQ(p[6], 0);
	/* Data that cannot be had. */
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, 0x10, 0x0e, 0)) & NVME_SC_MASK,
		 NVME_SC_DATA_XFER_ERROR);
	host_close(&h);
}

static void test_features__host_data(void)
{
	struct host h;
	uint64_t buf;
	uint8_t *p;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 4096);
	p = host_ptr(&h, buf);
	for (unsigned int i = 0; i < 16; i++)
		p[i] = (uint8_t)(i + 1);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, 0x81, 1)), 0);
	memset(p, 0, 32);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_get_features, 0, buf, 0x81, 1)), 0);
	CHECK_EQ(p[15], 16);
	CHECK_EQ(p[16], 0);
	memset(p, 0, 32);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_get_features, 0, buf, 0x81, 0)), 0);
	CHECK_EQ(p[7], 8);
	CHECK_EQ(p[8], 0);
	memset(p, 0, 512);
	p[0] = 1;
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, 0x16, 0)), 0);
	p[0] = 2;
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_set_features, 0, buf, 0x16, 0)),
		 NVME_SC_INVALID_FIELD | HOST_DNR);
	CHECK_EQ(host_cmd(&h, 0, host_sqe(nvme_admin_get_features, 0, buf, 0x16, 0)), 0);
	CHECK_EQ(p[0], 1);
	host_close(&h);
}

int main(void)
{
	RUN(test_features__every_fid);
	RUN(test_features__values);
	RUN(test_features__saved);
	RUN(test_features__error_recovery_per_namespace);
	RUN(test_features__temperature);
	RUN(test_features__vectors);
	RUN(test_features__timestamp);
	RUN(test_features__host_data);
	return tap_end();
}
