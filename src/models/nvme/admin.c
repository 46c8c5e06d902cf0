/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The admin commands: their table, and those that make and delete queues, and Abort. */
#include "models/nvme/mig.h"

#define QUEUE_PC (1u << 0)
#define CQ_IEN (1u << 1)

/* What Create CQ and Create SQ have in common: size, place. @entry: CC's log2 of the entry size. */
static uint16_t check_queue(struct nvme_req *req, uint32_t entry, uint32_t want)
{
	const struct nvme_ctrl *c = req->c;
	const uint32_t qsize = le32_get(req->sqe.cdw10) >> 16;
	const uint64_t prp1 = le64_get(req->sqe.prp1);

	if (qsize == 0 || qsize > (c->cap & 0xffff) || entry != want) {
		req->error_loc = 42;
		return NVME_SC_QUEUE_SIZE | NVME_SC_DNR;
	}
	if (!prp1 || !IS_ALIGNED(prp1, 0x1000ull << NVME_CC_MPS(c->st->cc))) {
		req->error_loc = 24;
		return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
	}
	if (!(le32_get(req->sqe.cdw11) & QUEUE_PC)) {
		req->error_loc = 44;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return NVME_SC_SUCCESS;
}

static void create_cq(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const uint32_t qid = cdw10 & 0xffff, granted = c->st->feat.queues >> 16;
	const uint32_t iv = cdw11 >> 16;
	uint16_t status;

	if (qid == 0 || qid > granted + 1 || nvme_qmap_has(&c->cqs, qid)) {
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_QID_INVALID | NVME_SC_DNR);
		return;
	}
	status = check_queue(req, NVME_CC_IOCQES(c->st->cc), NVME_CQES);
	if (!status && (iv >= c->vectors || (iv && !pci_msix_enabled(&c->fn)))) {
		req->error_loc = 46;
		status = NVME_SC_INVALID_VECTOR | NVME_SC_DNR;
	}
	if (!status)
		nvme_cq_open(c, qid, &(struct nvme_cq_state){
			.prp1 = le64_get(req->sqe.prp1), .size = (cdw10 >> 16) + 1,
			.iv = (uint16_t)iv, .ien = cdw11 & CQ_IEN });
	nvme_req_complete(req, status);
}

static void create_sq(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t cdw10 = le32_get(req->sqe.cdw10), cdw11 = le32_get(req->sqe.cdw11);
	const uint32_t qid = cdw10 & 0xffff, cqid = cdw11 >> 16;
	const uint32_t granted = c->st->feat.queues;
	uint16_t status;

	if (qid == 0 || qid > (granted & 0xffff) + 1 || nvme_qmap_has(&c->sqs, qid)) {
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_QID_INVALID | NVME_SC_DNR);
		return;
	}
	if (cqid == 0 || cqid > (granted >> 16) + 1 || !nvme_qmap_has(&c->cqs, cqid)) {
		const bool in_range = cqid && cqid <= (granted >> 16) + 1;

		req->error_loc = 46;
		nvme_req_complete(req, (in_range ? NVME_SC_CQ_INVALID : NVME_SC_QID_INVALID) |
				       NVME_SC_DNR);
		return;
	}
	status = check_queue(req, NVME_CC_IOSQES(c->st->cc), NVME_SQES);
	if (!status)
		nvme_sq_open(c, qid, &(struct nvme_sq_state){
			.prp1 = le64_get(req->sqe.prp1), .size = (cdw10 >> 16) + 1,
			.cqid = (uint16_t)cqid, .prio = cdw11 >> 1 & 3,
			.nvmsetid = le32_get(req->sqe.cdw12) & 0xffff });
	nvme_req_complete(req, status);
}

/* Executing commands finish first; those that wait for room in the CQ end without a completion. */
static void delete_sq(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t qid = le32_get(req->sqe.cdw10) & 0xffff;
	struct nvme_sq *sq;

	if (qid == 0 || qid >= NVME_QIDS || !nvme_qmap_has(&c->sqs, qid) || c->sq[qid].deleting) {
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_QID_INVALID | NVME_SC_DNR);
		return;
	}
	sq = &c->sq[qid];
	if (sq->inflight) {
		sq->deleting = true;
		sq->delete_req = req;
		return;
	}
	nvme_sq_close(c, qid);
	nvme_req_complete(req, NVME_SC_SUCCESS);
}

static void delete_cq(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t qid = le32_get(req->sqe.cdw10) & 0xffff;
	unsigned int sqid;

	if (qid == 0 || qid >= NVME_QIDS || !nvme_qmap_has(&c->cqs, qid)) {
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_QID_INVALID | NVME_SC_DNR);
		return;
	}
	nvme_qmap_for_each(sqid, &c->sqs) {
		if (c->st->sq[sqid].cqid == qid) {
			req->error_loc = 40;
			nvme_req_complete(req, NVME_SC_INVALID_QUEUE | NVME_SC_DNR);
			return;
		}
	}
	nvme_cq_close(c, qid);
	nvme_intx_update(c);
	nvme_req_complete(req, NVME_SC_SUCCESS);
}

/*
 * Only asynchronous event requests can be taken back. What else is on its way
 * is with the kernel, or about to be done: bit 0 of DW0 says "not aborted".
 */
void nvme_abort(struct nvme_req *req)
{
	const uint32_t cdw10 = le32_get(req->sqe.cdw10);

	req->dw0 = 1;
	if ((cdw10 & 0xffff) == 0 && nvme_aer_abort(req->c, (uint16_t)(cdw10 >> 16)))
		req->dw0 = 0;
	nvme_req_complete(req, NVME_SC_SUCCESS);
}

#define CSE(n) ((uint32_t)(n) << NVME_CMD_EFFECTS_CSE_SHIFT)

const struct nvme_cmd nvme_admin_cmds[256] = {
	[nvme_admin_delete_sq] = { delete_sq },
	[nvme_admin_create_sq] = { create_sq },
	[nvme_admin_get_log_page] = { nvme_get_log },
	[nvme_admin_delete_cq] = { delete_cq },
	[nvme_admin_create_cq] = { create_cq },
	[nvme_admin_identify] = { nvme_identify },
	[nvme_admin_abort_cmd] = { nvme_abort },
	[nvme_admin_set_features] = { nvme_set_features, NVME_CMD_EFFECTS_CCC },
	[nvme_admin_get_features] = { nvme_get_features },
	[nvme_admin_async_event] = { nvme_aer },
	[nvme_admin_track_send] = { nvme_track_send, .flags = NVME_CMD_MMC },
	[nvme_admin_track_receive] = { nvme_track_receive, .flags = NVME_CMD_MMC },
	[nvme_admin_migration_send] = { nvme_migration_send, .flags = NVME_CMD_MMC },
	[nvme_admin_migration_receive] = { nvme_migration_receive, .flags = NVME_CMD_MMC },
	[nvme_admin_ctrl_data_queue] = { nvme_cdq_command, .flags = NVME_CMD_MMC },
	[nvme_admin_ns_mgmt] = { nvme_ns_mgmt, NVME_CMD_EFFECTS_NIC | CSE(1), NVME_CMD_PRIMARY },
	[nvme_admin_ns_attach] = { nvme_ns_attachment, NVME_CMD_EFFECTS_NIC | CSE(1),
		NVME_CMD_PRIMARY },
	[nvme_admin_virtual_mgmt] = { nvme_virt_mgmt, NVME_CMD_EFFECTS_CCC, NVME_CMD_VIRT },
	[nvme_admin_dbbuf] = { nvme_dbbuf_config },
	[nvme_admin_format_nvm] = { nvme_format,
		NVME_CMD_EFFECTS_LBCC | NVME_CMD_EFFECTS_NCC | CSE(1) },
};
