/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Dataset Management. Deallocate (AD) discards the ranges one after the
 * other, so a command has one block request in flight; what is discarded
 * reads as zeroes (DLFEAT). All ranges are checked before the first is
 * touched. Everything else that the command can say is a hint, ignored.
 */
#include "models/nvme/io.h"

static void dsm_next(struct nvme_req *req);

static void dsm_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	nvme_changed(req->c, req->ns->nsid, req->lba, req->nlb, true);
	if (err)
		nvme_req_complete(req, nvme_io_failed(req, err, BLOCK_DISCARD));
	else
		dsm_next(req);
}

static void dsm_next(struct nvme_req *req)
{
	const struct nvme_dsm_range *range = req->priv;
	unsigned int shift = nvme_ns_shift(req->ns);

	while (req->step < req->nr_steps && !req->aborted) {
		const struct nvme_dsm_range *r = &range[req->step++];
		int err;

		req->lba = le64_get(r->slba);
		req->nlb = le32_get(r->nlb);
		if (!req->nlb)
			continue;
		err = nvme_io_start(req, BLOCK_DISCARD, 0, req->lba << shift, req->nlb << shift,
				    dsm_done);
		if (err == -EINPROGRESS)
			return;
		nvme_changed(req->c, req->ns->nsid, req->lba, req->nlb, true);
		if (err) {
			nvme_req_complete(req, nvme_io_failed(req, err, BLOCK_DISCARD));
			return;
		}
	}
	nvme_req_complete(req, req->step < req->nr_steps ? NVME_SC_ABORT_REQ : 0);
}

static uint16_t dsm_check(struct nvme_req *req)
{
	const struct nvme_dsm_range *range = req->priv;
	unsigned int i;

	for (i = 0; i < req->nr_steps; i++)
		if (!nvme_lba_ok(req->ns, le64_get(range[i].slba), le32_get(range[i].nlb))) {
			req->error_lba = le64_get(range[i].slba);
			return NVME_SC_LBA_RANGE | NVME_SC_DNR;
		}
	return 0;
}

void nvme_dsm(struct nvme_req *req)
{
	bool ad = le32_get(req->sqe.cdw11) & NVME_DSMGMT_AD;
	uint16_t status = nvme_io_ready(req->ns);
	size_t len;

	req->step = 0;
	req->nr_steps = NVME_DSM_NR(le32_get(req->sqe.cdw10)) + 1;
	len = req->nr_steps * sizeof(struct nvme_dsm_range);
	if (!status && ad)
		status = nvme_io_writable(req->ns);
	if (status || !ad) {
		nvme_req_complete(req, status);
		return;
	}
	req->priv = malloc(len);
	status = req->priv ? nvme_xfer_in(req, req->priv, len) : NVME_SC_INTERNAL;
	if (!status)
		status = dsm_check(req);
	if (status)
		nvme_req_complete(req, status);
	else
		dsm_next(req);
}
