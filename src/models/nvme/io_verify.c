/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Compare and Verify: read the blocks into memory of our own, and look at
 * them or just forget them. Both are bounded by MDTS (VSL for Verify).
 */
#include "models/nvme/io.h"

/* Start reading req->nlb blocks into req->priv. */
static void read_blocks(struct nvme_req *req, void (*done)(struct block_req *, int))
{
	unsigned int shift = nvme_ns_shift(req->ns);
	uint64_t len = req->nlb << shift;

	if (posix_memalign(&req->priv, 4096, ALIGN_UP(len, 4096))) {
		req->priv = NULL;
		nvme_req_complete(req, NVME_SC_INTERNAL);
		return;
	}
	nvme_io_one(req, req->priv, len);
	nvme_io_submit(req, BLOCK_READ, 0, req->lba << shift, len, done);
}

static void compare_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);
	uint16_t status = err ? nvme_io_failed(req, err, BLOCK_READ) :
				nvme_xfer_compare(req, req->priv);

	if (!status)
		nvme_io_count(req, BLOCK_READ, req->data_len);
	else if (!err)
		req->error_lba = req->lba;
	nvme_req_complete(req, status);
}

void nvme_compare(struct nvme_req *req)
{
	uint16_t status = nvme_io_range(req);

	if (!status)
		status = nvme_xfer_map(req, req->nlb << nvme_ns_shift(req->ns));
	if (status)
		nvme_req_complete(req, status);
	else
		read_blocks(req, compare_done);
}

static void verify_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	if (!err)
		nvme_io_count(req, BLOCK_READ, blk->len);
	nvme_req_complete(req, err ? nvme_io_failed(req, err, BLOCK_READ) : 0);
}

void nvme_verify(struct nvme_req *req)
{
	uint16_t status = nvme_io_range(req);

	if (!status && req->nlb << nvme_ns_shift(req->ns) > 4096ull << nvme_mdts(req->c))
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (status)
		nvme_req_complete(req, status);
	else
		read_blocks(req, verify_done);
}
