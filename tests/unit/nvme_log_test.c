/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Get Log Page: which pages there are, what is in them, every offset and length. */
#include "nvme_host.h"

static const struct {
	uint8_t lid;
	uint32_t size;
} pages[] = { { 0x00, 1024 }, { 0x01, 4096 }, { 0x02, 512 }, { 0x03, 512 }, { 0x04, 4096 },
	      { 0x05, 4096 }, { 0x12, 1024 } };

static void test_log__every_lid(void)
{
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	for (unsigned int lid = 0; lid < 256; lid++) {
		bool there = false;

		for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
			there |= pages[i].lid == lid;
		CHECK_EQ(host_cmd(&h, 0, host_get_log((uint8_t)lid, buf, 0, 127, true)),
			 there ? 0 : NVME_SC_INVALID_LOG_PAGE | HOST_DNR);
	}
	/* The list of pages says the same. */
	CHECK_EQ(host_cmd(&h, 0, host_get_log(0, buf, 0, 255, true)), 0);
	for (unsigned int lid = 0, n = 0; lid < 256; lid++) {
		uint32_t v = ((uint32_t *)host_ptr(&h, buf))[lid];

		n += v & 1;
		if (lid == 255)
			CHECK_EQ(n, ARRAY_SIZE(pages));
	}
	host_close(&h);
}

/* T-NVME-03, T-NVME-04: nothing outside of what the page has, nothing beyond what was asked for. */
static void test_log__every_offset_and_length(void)
{
	struct host h;
	uint64_t buf, whole;
	uint8_t *p, *w;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	whole = host_alloc(&h, 8192);
	p = host_ptr(&h, buf);
	w = host_ptr(&h, whole);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		const uint64_t size = pages[i].size;
		const uint64_t off[] = { 0, 4, size / 2, size - 4, size - 1, size, size + 1, size + 4, 2 * size,
			0xfffffffc, 0xffffffff, 0x100000000, 0xfffffffffffffffc, 0xffffffffffffffff, 1, 2, 3 };
		const uint32_t numd[] = { 0, 1, 127, (uint32_t)size / 4 - 1, (uint32_t)size / 4, 1024, 2047,
			0x7ffff, 0x80000, 0xfffe, 0xffff, 0x3fffffff, 0xfffffffe, 0xffffffff };

		CHECK_EQ(host_cmd(&h, 0, host_get_log(pages[i].lid, whole, 0, (uint32_t)size / 4 - 1, true)), 0);
		for (unsigned int o = 0; o < ARRAY_SIZE(off); o++) {
			for (unsigned int n = 0; n < ARRAY_SIZE(numd); n++) {
				const uint64_t len = ((uint64_t)numd[n] + 1) * 4;
				uint64_t got = MIN(len, off[o] <= size ? size - off[o] : 0);
				uint16_t s;

				memset(p, 0xcc, 8192);
				s = host_cmd(&h, 0, host_get_log(pages[i].lid, buf, off[o], numd[n], true));
				if (off[o] & 3 || off[o] > size || len > 2 << 20) {
					CHECK_EQ(s, NVME_SC_INVALID_FIELD | HOST_DNR);
					got = 0;
				} else {
					CHECK_EQ(s, 0);
				}
				if (pages[i].lid != NVME_LOG_LID_ERROR && pages[i].lid != NVME_LOG_LID_SMART)
					CHECK(!memcmp(p, w + (got ? off[o] : 0), got));
				for (uint64_t k = got; k < 8192; k++) {
					if (p[k] != 0xcc) {
						FAIL("written beyond what was asked for");
						break;
					}
				}
			}
		}
	}
	host_close(&h);
}

static void test_log__fields(void)
{
	struct nvme_sqe s;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	/* A namespace's SMART is not offered; NSID 0 is as good as FFFFFFFFh. */
	s = host_get_log(NVME_LOG_LID_SMART, buf, 0, 127, true);
	s.nsid = le32_of(1);
	CHECK_EQ(host_cmd(&h, 0, s), NVME_SC_INVALID_FIELD | HOST_DNR);
	s.nsid = le32_of(0);
	CHECK_EQ(host_cmd(&h, 0, s), 0);
	/* Command sets, offset types; a UUID index and an LSI nobody asks about are ignored. */
	s = host_get_log(NVME_LOG_LID_CMD_EFFECTS, buf, 0, 1023, true);
	s.cdw14 = le32_of(2u << 24);
	CHECK_EQ(host_cmd(&h, 0, s), NVME_SC_INVALID_FIELD | HOST_DNR);
	s.cdw14 = le32_of(1u << 23);
	CHECK_EQ(host_cmd(&h, 0, s), NVME_SC_INVALID_FIELD | HOST_DNR);
	s.cdw14 = le32_of(0x7f);
	s.cdw11 = le32_of(0xffff0000);
	CHECK_EQ(host_cmd(&h, 0, s), 0);
	host_close(&h);
}

static void test_log__effects(void)
{
	struct nvme_cmd_effects_log *e;
	struct nvme_ctrl_config none = { .cntlid = 1, .queues = 1, .no_dbbuf = true };
	struct host h;
	uint64_t buf;

	host_open(&h, &none);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	e = host_ptr(&h, buf);
	CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_CMD_EFFECTS, buf, 0, 1023, true)), 0);
	CHECK_EQ(le32_get(e->iocs[nvme_cmd_write]) & 3, 3);
	CHECK_EQ(le32_get(e->iocs[nvme_cmd_read]) & 3, 1);
	CHECK_EQ(le32_get(e->acs[nvme_admin_identify]) & 1, 1);
	CHECK_EQ(le32_get(e->acs[nvme_admin_dbbuf]), 0);
	/* An opcode is supported exactly if it is not answered with Invalid Opcode. */
	for (unsigned int op = 0; op < 256; op++) {
		struct nvme_sqe s = host_sqe((uint8_t)op, 0, buf + 4096, 0xffffffff, 0xffffffff);
		uint16_t status;

		if (op == nvme_admin_async_event)
			continue;
		s.flags = 1;		/* a fused command: fails, whatever it is */
		status = host_cmd(&h, 0, s);
		CHECK_EQ(status, (le32_get(e->acs[op]) & 1 || op == nvme_admin_dbbuf ?
				  NVME_SC_INVALID_FIELD : NVME_SC_INVALID_OPCODE) | HOST_DNR);
	}
	host_close(&h);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static void test_log__smart_and_firmware(void)
{
	struct nvme_smart_log *s;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	s = host_ptr(&h, buf);
	host_queue(&h, 1, 16, 16);
	for (unsigned int i = 0; i < 9; i++)
		CHECK_EQ(host_cmd(&h, 1, host_rw(i < 4, i, buf)), 0);
	CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_SMART, buf, 0, 127, false)), 0);
	CHECK_EQ(s->critical_warning, 0);
	CHECK_EQ(s->temperature[0] | s->temperature[1] << 8, NVME_TEMPERATURE);
	CHECK_EQ(get64(s->host_reads), 5);
	CHECK_EQ(get64(s->host_writes), 4);
	CHECK_EQ(get64(s->data_units_read), 1);
	CHECK_EQ(get64(s->data_units_written), 1);
	CHECK_EQ(get64(s->power_cycles), 1);
	CHECK_EQ(get64(s->num_err_log_entries), 0);
	CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_FW_SLOT, buf, 0, 127, false)), 0);
	CHECK(!memcmp(host_ptr(&h, buf + 8), "1.0     ", 8));
	CHECK_EQ(*(uint8_t *)host_ptr(&h, buf), 1);
	host_close(&h);
}

static void test_log__errors_newest_first(void)
{
	struct nvme_error_entry *e;
	struct host h;
	uint64_t buf;

	host_open(&h, NULL);
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	e = host_ptr(&h, buf);
	for (unsigned int i = 0; i < 100; i++)
		host_cmd(&h, 0, host_sqe(0xff, i, 0, 0, 0));
	CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_ERROR, buf, 0, 1023, false)), 0);
	for (unsigned int i = 0; i < 64; i++) {
		CHECK_EQ(le64_get(e[i].error_count), 100 - i);
		CHECK_EQ(le32_get(e[i].nsid), 99 - i);
		CHECK_EQ(e[i].opcode, 0xff);
		CHECK_EQ(le16_get(e[i].sqid), 0);
		CHECK_EQ(le16_get(e[i].cmdid), 99 - i);
		CHECK_EQ(le16_get(e[i].status_field), (NVME_SC_INVALID_OPCODE | HOST_DNR) << 1);
	}
	/* Kept over a reset; a fresh controller has none. */
	CHECK(host_reset(&h));
	host_enable(&h);
	buf = host_alloc(&h, 8192);
	e = host_ptr(&h, buf);
	CHECK_EQ(host_cmd(&h, 0, host_get_log(NVME_LOG_LID_ERROR, buf, 0, 1023, false)), 0);
	CHECK_EQ(le64_get(e[0].error_count), 100);
	host_close(&h);
}

static void test_log__unmapped_buffer(void)
{
	struct host h;

	host_open(&h, NULL);
	host_enable(&h);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		CHECK_EQ(host_cmd(&h, 0, host_get_log(pages[i].lid, 0x10, 0, 127, false)) & NVME_SC_MASK,
			 NVME_SC_DATA_XFER_ERROR);
	host_close(&h);
}

int main(void)
{
	RUN(test_log__every_lid);
	RUN(test_log__every_offset_and_length);
	RUN(test_log__fields);
	RUN(test_log__effects);
	RUN(test_log__smart_and_firmware);
	RUN(test_log__errors_newest_first);
	RUN(test_log__unmapped_buffer);
	return tap_end();
}
