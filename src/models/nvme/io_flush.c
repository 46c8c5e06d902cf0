/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Flush: of one namespace, or one after the other of all that are attached
 * (NSID FFFFFFFFh). In the second case req->ns is the one at work, and
 * req->step its NSID.
 */
#include "models/nvme/io.h"

static void flush_all(struct nvme_req *req, uint16_t status);

static void flush_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	nvme_req_complete(req, err ? nvme_io_failed(req, err, BLOCK_FLUSH) : 0);
}

static void flush_all_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	flush_all(req, err ? nvme_io_failed(req, err, BLOCK_FLUSH) : 0);
}

/* Done with req->ns, if any, by @status: go on with the next. */
static void flush_all(struct nvme_req *req, uint16_t status)
{
	for (;;) {
		int err;

		if (req->ns)
			nvme_ns_put(take_ptr(req->ns));
		while (!status && !req->ns && req->step < NVME_NSID_MAX)
			req->ns = nvme_ns_get(req->c, ++req->step);
		if (!req->ns) {
			nvme_req_complete(req, status);
			return;
		}
		status = nvme_io_ready(req->ns);
		if (status)
			continue;
		err = nvme_io_start(req, BLOCK_FLUSH, 0, 0, 0, flush_all_done);
		if (err == -EINPROGRESS)
			return;
		if (err)
			status = nvme_io_failed(req, err, BLOCK_FLUSH);
	}
}

void nvme_flush(struct nvme_req *req)
{
	uint16_t status;

	if (!req->ns) {
		req->step = 0;
		flush_all(req, 0);
		return;
	}
	status = nvme_io_ready(req->ns);
	if (status)
		nvme_req_complete(req, status);
	else
		nvme_io_submit(req, BLOCK_FLUSH, 0, 0, 0, flush_done);
}
