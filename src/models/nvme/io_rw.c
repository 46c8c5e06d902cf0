/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Read, Write, Write Zeroes. Read and Write are the hot path: no allocation,
 * no lock, data straight between the backend and the client's memory.
 *
 * CDW12 may carry hints that mean nothing here: Limited Retry, PRINFO (no
 * namespace has protection information), directives.
 */
#include "models/nvme/io.h"

/* A Read with FUA returns only what is durable. */
static void read_flushed(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	nvme_req_complete(req, err ? nvme_io_failed(req, err, BLOCK_FLUSH) : 0);
}

static void read_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);
	uint16_t status = nvme_xfer_finish(req, DMA_WRITE, !err);

	if (__builtin_expect(err, 0))
		status = nvme_io_failed(req, err, BLOCK_READ);
	if (!status)
		nvme_io_count(req, BLOCK_READ, req->data_len);
	if (!status && req->ns->dev->volatile_cache &&
	    (le32_get(req->sqe.cdw12) & NVME_IO_FUA))
		nvme_io_submit(req, BLOCK_FLUSH, 0, 0, 0, read_flushed);
	else
		nvme_req_complete(req, status);
}

void nvme_read(struct nvme_req *req)
{
	uint16_t status = nvme_io_range(req);
	unsigned int shift = nvme_ns_shift(req->ns);

	if (!status)
		status = nvme_xfer_map(req, req->nlb << shift);
	if (!status)
		status = nvme_xfer_iov(req, DMA_WRITE);
	if (status)
		nvme_req_complete(req, status);
	else
		nvme_io_submit(req, BLOCK_READ, 0, req->lba << shift, req->data_len, read_done);
}

static void write_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);
	uint16_t status = nvme_xfer_finish(req, DMA_READ, !err);

	if (__builtin_expect(err, 0))
		status = nvme_io_failed(req, err, BLOCK_WRITE);
	if (!status)
		nvme_io_count(req, BLOCK_WRITE, req->data_len);
	nvme_changed(req->c, req->ns->nsid, req->lba, req->nlb, false);
	nvme_req_complete(req, status);
}

void nvme_write(struct nvme_req *req)
{
	uint16_t status = nvme_io_range(req);
	unsigned int shift = nvme_ns_shift(req->ns);

	if (!status)
		status = nvme_io_writable(req->ns);
	if (!status)
		status = nvme_xfer_map(req, req->nlb << shift);
	if (!status)
		status = nvme_xfer_iov(req, DMA_READ);
	if (status)
		nvme_req_complete(req, status);
	else
		nvme_io_submit(req, BLOCK_WRITE, nvme_io_fua(req), req->lba << shift,
			       req->data_len, write_done);
}

static void zeroes_done(struct block_req *blk, int err)
{
	struct nvme_req *req = nvme_req_of(blk);

	nvme_changed(req->c, req->ns->nsid, req->lba, req->nlb,
		     le32_get(req->sqe.cdw12) & NVME_IO_DEAC);
	nvme_req_complete(req, err ? nvme_io_failed(req, err, BLOCK_WRITE_ZEROES) : 0);
}

void nvme_write_zeroes(struct nvme_req *req)
{
	uint16_t status = nvme_io_range(req);
	unsigned int shift = nvme_ns_shift(req->ns), flags;

	if (!status)
		status = nvme_io_writable(req->ns);
	if (status) {
		nvme_req_complete(req, status);
		return;
	}
	flags = nvme_io_fua(req);
	if (le32_get(req->sqe.cdw12) & NVME_IO_DEAC)
		flags |= BLOCK_UNMAP;
	nvme_io_submit(req, BLOCK_WRITE_ZEROES, flags, req->lba << shift, req->nlb << shift,
		       zeroes_done);
}
