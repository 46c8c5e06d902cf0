/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Migration Send: Suspend and Resume (which suspend.c does), and Set
 * Controller State.
 *
 * A state comes in one command or several. They are put together in a buffer
 * of the target's; each piece begins where the one before ended, or further
 * down again, never beyond: so there are no holes. The last piece has the
 * whole validated and committed (state.c). Any failure ends the sequence, and
 * so does reset; a first piece begins a new one.
 */
#include <string.h>

#include "models/nvme/state.h"

void nvme_load_drop(struct nvme_ctrl *c)
{
	free(c->mig->load.buf);
	memset(&c->mig->load, 0, sizeof(c->mig->load));
}

/* ------------------------------------------------------------ suspend, resume */

static void suspend_finish(struct nvme_ctrl *mmc, struct nvme_call *call)
{
	if (!call->status && call->delete_cdq)
		nvme_cdq_drop(mmc, call->cntlid);
}

/* Announced only: there is nothing to prepare, but the target must exist. */
static void notify_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	(void)c;
	nvme_call_end(call, NVME_SC_SUCCESS);
}

static uint16_t suspend(struct nvme_req *req, struct nvme_call **call)
{
	const uint32_t cdw11 = le32_get(req->sqe.cdw11);
	const unsigned int stype = NVME_LM_STYPE(cdw11);

	if (stype > NVME_LM_STYPE_SUSPEND) {
		req->error_loc = 46;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	*call = nvme_call_new(req, cdw11 & 0xffff,
			      stype == NVME_LM_STYPE_SUSPEND ? nvme_suspend_call : notify_call);
	if (!*call)
		return NVME_SC_INTERNAL;
	if (stype == NVME_LM_STYPE_SUSPEND) {
		(*call)->delete_cdq = cdw11 & NVME_LM_DUDMQ;
		(*call)->finish = suspend_finish;
	}
	return NVME_SC_SUCCESS;
}

static uint16_t resume(struct nvme_req *req, struct nvme_call **call)
{
	*call = nvme_call_new(req, le32_get(req->sqe.cdw11) & 0xffff, nvme_resume_call);
	return *call ? NVME_SC_SUCCESS : NVME_SC_INTERNAL;
}

/* ------------------------------------------------------- set controller state */

static uint16_t load_piece(struct nvme_ctrl *c, const struct nvme_call *call)
{
	struct nvme_mig *mig = c->mig;
	const bool begins = call->seqind & NVME_LM_SEQIND_FIRST;
	const size_t end = call->off + call->len;

	if (begins) {
		nvme_load_drop(c);
		if (call->off)
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
		mig->load.open = true;
		mig->load.csvi = call->csvi;
		mig->load.csuuidi = call->csuuidi;
	} else if (!mig->load.open) {
		return NVME_SC_CMD_SEQ_ERROR | NVME_SC_DNR;
	} else if (call->off > mig->load.len || call->csvi != mig->load.csvi ||
		   call->csuuidi != mig->load.csuuidi) {
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	if (end > mig->load.len) {
		uint8_t *p = realloc(mig->load.buf, end);

		if (!p)
			return NVME_SC_INTERNAL;
		mig->load.buf = p;
		mig->load.len = end;
	}
	if (call->len)
		memcpy(mig->load.buf + call->off, call->buf, call->len);
	return NVME_SC_SUCCESS;
}

static uint16_t load_commit(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = c->mig;
	struct ferry_err err = { 0 };
	int ret = state_load(c, mig->load.buf, mig->load.len, mig->load.csvi, mig->load.csuuidi, &err);

	if (!ret) {
		nvme_snapshot_drop(c);
		return NVME_SC_SUCCESS;
	}
	log_limited(&c->log, LOG_WARN, "nvme " PCI_BDF_FMT ": state not loaded: %s",
		    PCI_BDF_ARG(c->fn.bdf), err.msg);
	return ret == -ENOMEM ? NVME_SC_INTERNAL : NVME_SC_INVALID_FIELD | NVME_SC_DNR;
}

static void load_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	uint16_t status;

	if (!nvme_call_wanted(call))
		status = NVME_SC_ABORT_REQ;
	else if (!c->mig->suspended)
		status = NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR;
	else
		status = load_piece(c, call);
	if (!status && call->seqind & NVME_LM_SEQIND_LAST) {
		status = load_commit(c);
		nvme_load_drop(c);
	}
	if (status && (status & NVME_SC_MASK) != NVME_SC_CMD_SEQ_ERROR)
		nvme_load_drop(c);
	nvme_call_end(call, status);
}

/* A command that is refused here has not reached the target: its sequence ends by this. */
static void drop_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	nvme_load_drop(c);
	nvme_call_end(call, c->mig->suspended ? call->status : NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR);
}

static uint16_t load_check(struct nvme_req *req, uint64_t off, uint64_t len)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const unsigned int csvi = NVME_LM_SET_CSVI(cdw11), csuuidi = NVME_LM_SET_CSUUIDI(cdw11);

	if (off & 3 || off > NVME_STATE_MAX || len > NVME_STATE_MAX - off ||
	    len > 0x1000ull << nvme_mdts(req->c) ||
	    (!len && NVME_LM_SEQIND(cdw10) != NVME_LM_SEQIND_LAST))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (csvi > 1 || csuuidi > 1 || !(csvi + csuuidi))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	return NVME_SC_SUCCESS;
}

static uint16_t set_state(struct nvme_req *req, struct nvme_call **callp)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const uint64_t off = le32_get(req->sqe.cdw12) | (uint64_t)le32_get(req->sqe.cdw13) << 32;
	const uint64_t len = le32_get(req->sqe.cdw15) * 4ull;
	struct nvme_call *call = *callp = nvme_call_new(req, cdw11 & 0xffff, load_call);
	uint16_t status;

	if (!call)
		return NVME_SC_INTERNAL;
	status = load_check(req, off, len);
	if (!status && len) {
		call->buf = malloc(len);
		status = call->buf ? nvme_xfer_in(req, call->buf, len) : NVME_SC_INTERNAL;
	}
	if (status) {
		call->run = drop_call;
		call->status = status;
	}
	call->off = off;
	call->len = len;
	call->seqind = (uint8_t)NVME_LM_SEQIND(cdw10);
	call->csvi = NVME_LM_SET_CSVI(cdw11);
	call->csuuidi = (uint8_t)NVME_LM_SET_CSUUIDI(cdw11);
	return NVME_SC_SUCCESS;
}

/* -------------------------------------------------------------------- command */

void nvme_migration_send(struct nvme_req *req)
{
	struct nvme_call *call = NULL;
	uint16_t status;

	switch (NVME_LM_SEL(le32_get(req->sqe.cdw10))) {
	case NVME_LM_SEL_SUSPEND:
		status = suspend(req, &call);
		break;
	case NVME_LM_SEL_RESUME:
		status = resume(req, &call);
		break;
	case NVME_LM_SEL_SET_CONTROLLER_STATE:
		status = set_state(req, &call);
		break;
	default:
		req->error_loc = 40;
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	if (call)
		nvme_call_start(call);
	else
		nvme_req_complete(req, status);
}
