/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Migration Receive: Get Controller State. A read at offset 0 takes a snapshot
 * of the controller, which later reads of other parts of it go on with, so
 * that what is put together fits together. It lasts until the controller is
 * suspended, resumed, loaded or reset.
 */
#include <string.h>

#include "models/nvme/state.h"

void nvme_snapshot_drop(struct nvme_ctrl *c)
{
	struct nvme_snapshot *snap = &c->mig->snap;

	free(snap->nvme);
	free(snap->vendor);
	*snap = (struct nvme_snapshot){ 0 };
}

/* The bytes of @part, which lies at @at, that [@call->off, + @call->len) wants. */
static void piece(struct nvme_call *call, uint64_t at, const void *part, uint64_t len)
{
	const uint64_t from = MAX(at, call->off), to = MIN(at + len, call->off + call->len);

	if (from < to)
		memcpy(call->buf + (from - call->off), (const uint8_t *)part + (from - at), to - from);
}

static void get_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	struct nvme_snapshot *snap = &c->mig->snap;
	struct nvme_lm_state head;
	uint64_t total, nvme, vendor;

	if (!nvme_call_wanted(call)) {
		nvme_call_end(call, NVME_SC_ABORT_REQ);
		return;
	}
	if (call->off == 0 || !snap->nvme) {
		nvme_snapshot_drop(c);
		if (state_snapshot(c, snap)) {
			nvme_call_end(call, NVME_SC_INTERNAL);
			return;
		}
	}
	nvme = call->csvi ? snap->nvme_len : 0;
	vendor = call->csuuidi ? snap->vendor_len : 0;
	total = sizeof(head) + nvme + vendor;
	if (call->off > total) {
		nvme_call_end(call, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
		return;
	}
	state_header(&head, snap, call->csvi, call->csuuidi);
	piece(call, 0, &head, sizeof(head));
	piece(call, sizeof(head), snap->nvme, nvme);
	piece(call, sizeof(head) + nvme, snap->vendor, vendor);
	call->dw0 = snap->suspended && c->mig->suspended ? NVME_LM_CSUP : 0;
	nvme_call_end(call, NVME_SC_SUCCESS);
}

static void get_finish(struct nvme_ctrl *mmc, struct nvme_call *call)
{
	(void)mmc;
	if (!call->status && call->req)
		call->status = nvme_xfer_out(call->req, call->buf, call->len);
}

void nvme_migration_receive(struct nvme_req *req)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const uint64_t off = le32_get(req->sqe.cdw12) | (uint64_t)le32_get(req->sqe.cdw13) << 32;
	const uint64_t len = (le32_get(req->sqe.cdw15) + 1ull) * 4;
	const unsigned int csvi = NVME_LM_GET_CSVI(cdw10), csuuidi = NVME_LM_GET_CSUUIDI(cdw11);
	struct nvme_call *call = NULL;
	uint16_t status = NVME_SC_SUCCESS;

	if (NVME_LM_SEL(cdw10) != NVME_LM_SEL_GET_CONTROLLER_STATE) {
		req->error_loc = 40;
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	} else if (off & 3 || csvi > 1 || csuuidi > 1 || len > 0x1000ull << nvme_mdts(req->c)) {
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	} else {
		call = nvme_call_new(req, cdw11 & 0xffff, get_call);
		if (call)
			call->buf = calloc(1, len);	/* all of it goes out: PRPs are laid out for it */
		if (!call || !call->buf)
			status = NVME_SC_INTERNAL;
	}
	if (status) {
		if (call)
			nvme_call_free(call);
		nvme_req_complete(req, status);
		return;
	}
	call->off = off;
	call->len = len;
	call->csvi = (uint8_t)csvi;
	call->csuuidi = (uint8_t)csuuidi;
	call->finish = get_finish;
	nvme_call_start(call);
}
