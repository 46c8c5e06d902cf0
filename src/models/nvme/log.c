/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Get Log Page, and the error log. A page is made whole in a buffer of its
 * own; then the part that was asked for is sent. Bytes asked for beyond the
 * end of a page are not transferred.
 */
#include <string.h>

#include "models/nvme/nvme.h"

#define LOG_SIZE_MAX 4096u

/* A 128-bit counter. */
static void put128(uint8_t *field, uint64_t v)
{
	v = htole64(v);
	memcpy(field, &v, sizeof(v));
}

static void log_supported(struct nvme_req *req, void *buf);

static void log_error(struct nvme_req *req, void *buf)
{
	const struct nvme_state *st = req->c->st;
	const uint64_t n = MIN(st->error_count, NVME_ERRORS_MAX);
	struct nvme_error_entry *out = buf;

	for (uint64_t i = 0; i < n; i++)
		out[i] = st->error[(st->error_count - 1 - i) % NVME_ERRORS_MAX];
}

static void log_smart(struct nvme_req *req, void *buf)
{
	struct nvme_ctrl *c = req->c;
	const struct nvme_state *st = c->st;
	struct nvme_smart_log *s = buf;
	const uint64_t on_ns = env_now(&c->fn.strand) - st->power_on_at;
	/* Data units: thousands of 512 bytes, rounded up. */
	const uint64_t unit = 512000;

	s->critical_warning = nvme_critical_warning(c);
	s->temperature[0] = NVME_TEMPERATURE & 0xff;
	s->temperature[1] = NVME_TEMPERATURE >> 8;
	s->avail_spare = 100;
	s->spare_thresh = 10;
	put128(s->data_units_read, st->data_read / unit + (st->data_read % unit != 0));
	put128(s->data_units_written, st->data_written / unit + (st->data_written % unit != 0));
	put128(s->host_reads, st->host_reads);
	put128(s->host_writes, st->host_writes);
	put128(s->power_cycles, st->power_cycles);
	put128(s->power_on_hours, on_ns / 3600000000000ull);
	put128(s->unsafe_shutdowns, st->unsafe_shutdowns);
	put128(s->media_errors, st->media_errors);
	put128(s->num_err_log_entries, st->error_count);
}

static void log_firmware(struct nvme_req *req, void *buf)
{
	const char *fw = req->c->ss->cfg.firmware;
	struct nvme_firmware_slot *s = buf;

	s->afi = 1;
	memset(s->frs[0], ' ', sizeof(s->frs[0]));
	memcpy(s->frs[0], fw, strnlen(fw, sizeof(s->frs[0])));
}

static void log_changed_ns(struct nvme_req *req, void *buf)
{
	const struct nvme_state *st = req->c->st;
	struct nvme_ns_list *list = buf;
	unsigned int n = 0;

	if (st->changed_ns_overflow) {
		list->ns[0] = le32_of(NVME_NSID_ALL);
		return;
	}
	static_assert(NVME_NSID_MAX < ARRAY_SIZE(list->ns), "the list has room for all");
	for (uint32_t nsid = 1; nsid <= NVME_NSID_MAX; nsid++) {
		if (st->changed_ns[nsid / 32] >> nsid % 32 & 1)
			list->ns[n++] = le32_of(nsid);
	}
}

static void log_effects(struct nvme_req *req, void *buf)
{
	struct nvme_cmd_effects_log *e = buf;

	for (unsigned int i = 0; i < 256; i++) {
		if (nvme_cmd_offered(req->c, &nvme_admin_cmds[i]))
			e->acs[i] = le32_of(nvme_admin_cmds[i].effects | NVME_CMD_EFFECTS_CSUPP);
		if (nvme_io_cmds[i].exec)
			e->iocs[i] = le32_of(nvme_io_cmds[i].effects | NVME_CMD_EFFECTS_CSUPP);
	}
	if (req->c->cfg.no_dbbuf)
		e->acs[nvme_admin_dbbuf] = le32_of(0);
}

static void log_features(struct nvme_req *req, void *buf)
{
	struct nvme_fid_effects_log *f = buf;

	for (unsigned int i = 0; i < 256; i++)
		f->fid_support[i] = le32_of(nvme_feature_effects[i]);
	if (!req->c->cfg.migrates)
		f->fid_support[NVME_FEAT_FID_CDQ] = le32_of(0);
}

/* The pages. @csi: CDW14's command set field counts. */
static const struct log_page {
	uint32_t size;
	void (*make)(struct nvme_req *req, void *buf);
	bool csi;
} log_pages[256] = {
	[NVME_LOG_LID_SUPPORTED_LOG_PAGES] = { sizeof(struct nvme_supported_log_pages), log_supported },
	[NVME_LOG_LID_ERROR] = { NVME_ERRORS_MAX * sizeof(struct nvme_error_entry), log_error },
	[NVME_LOG_LID_SMART] = { sizeof(struct nvme_smart_log), log_smart },
	[NVME_LOG_LID_FW_SLOT] = { sizeof(struct nvme_firmware_slot), log_firmware },
	[NVME_LOG_LID_CHANGED_NS] = { sizeof(struct nvme_ns_list), log_changed_ns },
	[NVME_LOG_LID_CMD_EFFECTS] = { sizeof(struct nvme_cmd_effects_log), log_effects, true },
	[NVME_LOG_LID_FID_SUPPORTED_EFFECTS] = { sizeof(struct nvme_fid_effects_log), log_features },
};

static_assert(NVME_ERRORS_MAX * sizeof(struct nvme_error_entry) <= LOG_SIZE_MAX,
	      "the error log fits in the buffer");

static void log_supported(struct nvme_req *req, void *buf)
{
	struct nvme_supported_log_pages *s = buf;

	(void)req;
	for (unsigned int i = 0; i < 256; i++) {
		if (log_pages[i].make)
			s->lid_support[i] = le32_of(NVME_LID_LSUPP);
	}
}

/* What is wrong with the request, or 0. */
static uint16_t log_check(struct nvme_req *req, const struct log_page *page, uint64_t off)
{
	const uint32_t nsid = le32_get(req->sqe.nsid), cdw14 = le32_get(req->sqe.cdw14);

	if (!page->make) {
		req->error_loc = 40;
		return NVME_SC_INVALID_LOG_PAGE | NVME_SC_DNR;
	}
	/* Every page here is the controller's. */
	if (nsid != 0 && nsid != NVME_NSID_ALL) {
		req->error_loc = 4;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	if (off & 3 || off > page->size) {
		req->error_loc = 48;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	/* Offsets by index (OT) are for pages that say so, and only NVM has a command set here. */
	if (cdw14 >> 23 & 1 || (page->csi && cdw14 >> 24 != NVME_CSI_NVM)) {
		req->error_loc = 56;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return NVME_SC_SUCCESS;
}

void nvme_get_log(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t cdw10 = le32_get(req->sqe.cdw10);
	const uint8_t lid = cdw10 & 0xff;
	const bool rae = cdw10 >> 15 & 1;
	const uint64_t off = le32_get(req->sqe.cdw12) | (uint64_t)le32_get(req->sqe.cdw13) << 32;
	const uint64_t asked = ((uint64_t)(cdw10 >> 16 | (le32_get(req->sqe.cdw11) & 0xffff) << 16) + 1) * 4;
	const struct log_page *page = &log_pages[lid];
	uint8_t buf[LOG_SIZE_MAX] __attribute__((aligned(8))) = { 0 };
	uint16_t status = log_check(req, page, off);
	uint64_t len;

	if (!status && asked > 0x1000ull << nvme_mdts(c)) {
		req->error_loc = 40;
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	if (status) {
		nvme_req_complete(req, status);
		return;
	}
	page->make(req, buf);
	len = MIN(asked, page->size - off);
	if (len)
		status = nvme_xfer_out(req, buf + off, len);
	if (!status && !rae) {
		nvme_aer_read(c, lid);
		if (lid == NVME_LOG_LID_CHANGED_NS) {
			memset(c->st->changed_ns, 0, sizeof(c->st->changed_ns));
			c->st->changed_ns_overflow = false;
		}
	}
	nvme_req_complete(req, status);
}

/* ---------------------------------------------------------------- error log */

static struct nvme_error_entry *error_new(struct nvme_ctrl *c)
{
	struct nvme_error_entry *e = &c->st->error[c->st->error_count % NVME_ERRORS_MAX];

	c->st->error_count++;
	c->errors++;
	*e = (struct nvme_error_entry){ .error_count = le64_of(c->st->error_count) };
	return e;
}

void nvme_error_log(struct nvme_ctrl *c, const struct nvme_req *req)
{
	struct nvme_error_entry *e = error_new(c);

	e->sqid = le16_of(req->sqid);
	e->cmdid = le16_of(req->cid);
	e->status_field = le16_of(NVME_CQE_STATUS(req->status));
	e->parm_error_location = le16_of(req->error_loc);
	e->lba = le64_of(req->error_lba);
	e->nsid = req->sqe.nsid;
	e->opcode = req->sqe.opcode;
	e->log_page_version = 1;
}

/* A bad doorbell of queue pair @qid: belongs to no command. */
void nvme_error_doorbell(struct nvme_ctrl *c, unsigned int qid)
{
	struct nvme_error_entry *e = error_new(c);

	e->sqid = le16_of((uint16_t)qid);
	e->cmdid = le16_of(0xffff);
	e->parm_error_location = le16_of(0xffff);
	e->log_page_version = 1;
}
