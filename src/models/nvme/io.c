/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * I/O commands: the table, and what the families have in common: checks of
 * the blocks named, the way into the block layer, counting.
 *
 * A namespace's format changes only while none of its commands is in flight:
 * Format sets @formatting and then waits for @inflight to fall; a command is
 * counted first (nvme_ns_get) and looks at @formatting afterwards. Both are
 * sequentially consistent, so one of the two sees the other.
 */
#include "models/nvme/io.h"

#define CSUPP NVME_CMD_EFFECTS_CSUPP
#define LBCC NVME_CMD_EFFECTS_LBCC

const struct nvme_cmd nvme_io_cmds[256] = {
	[nvme_cmd_flush] = { nvme_flush, CSUPP, NVME_CMD_NS | NVME_CMD_NS_ALL },
	[nvme_cmd_write] = { nvme_write, CSUPP | LBCC, NVME_CMD_NS },
	[nvme_cmd_read] = { nvme_read, CSUPP, NVME_CMD_NS },
	[nvme_cmd_compare] = { nvme_compare, CSUPP, NVME_CMD_NS },
	[nvme_cmd_write_zeroes] = { nvme_write_zeroes, CSUPP | LBCC, NVME_CMD_NS },
	[nvme_cmd_dsm] = { nvme_dsm, CSUPP | LBCC, NVME_CMD_NS },
	[nvme_cmd_verify] = { nvme_verify, CSUPP, NVME_CMD_NS },
	[nvme_cmd_copy] = { nvme_copy, CSUPP | LBCC, NVME_CMD_NS },
};

uint16_t nvme_io_ready(struct nvme_ns *ns)
{
	if (__builtin_expect(atomic_load(&ns->not_owned), 0))
		return NVME_SC_NS_NOT_READY;
	return atomic_load(&ns->formatting) ? NVME_SC_FORMAT_IN_PROGRESS : 0;
}

uint16_t nvme_io_writable(struct nvme_ns *ns)
{
	return ns->dev->read_only ? NVME_SC_NS_WRITE_PROTECTED | NVME_SC_DNR : 0;
}

bool nvme_lba_ok(struct nvme_ns *ns, uint64_t lba, uint64_t nlb)
{
	uint64_t nsze = atomic_load_explicit(&ns->nsze, memory_order_relaxed);

	return nlb <= nsze && lba <= nsze - nlb;
}

uint16_t nvme_io_range(struct nvme_req *req)
{
	uint16_t status = nvme_io_ready(req->ns);

	if (status)
		return status;
	req->lba = le32_get(req->sqe.cdw10) | (uint64_t)le32_get(req->sqe.cdw11) << 32;
	req->nlb = NVME_IO_NLB(le32_get(req->sqe.cdw12)) + 1ull;
	if (nvme_lba_ok(req->ns, req->lba, req->nlb))
		return 0;
	req->error_lba = req->lba;
	return NVME_SC_LBA_RANGE | NVME_SC_DNR;
}

int nvme_io_start(struct nvme_req *req, enum block_op op, unsigned int flags, uint64_t off,
		  uint64_t len, void (*done)(struct block_req *blk, int err))
{
	struct block_req *b = &req->blk;

	b->op = op;
	b->flags = flags;
	b->off = off;
	b->len = len;
	b->iov = req->iov;
	b->niov = req->nr_iov;
	b->st = &req->c->fn.strand;
	b->done = done;
	return block_submit(req->ns->dev, b);
}

void nvme_io_submit(struct nvme_req *req, enum block_op op, unsigned int flags, uint64_t off,
		    uint64_t len, void (*done)(struct block_req *blk, int err))
{
	int err = nvme_io_start(req, op, flags, off, len, done);

	if (err != -EINPROGRESS)
		done(&req->blk, err);
}

void nvme_io_one(struct nvme_req *req, void *buf, uint64_t len)
{
	req->inline_iov[0] = (struct iovec){ .iov_base = buf, .iov_len = len };
	req->iov = req->inline_iov;
	req->nr_iov = 1;
}

unsigned int nvme_io_fua(const struct nvme_req *req)
{
	if (!req->ns->dev->volatile_cache)
		return 0;
	if (le32_get(req->sqe.cdw12) & NVME_IO_FUA)
		return BLOCK_FUA;
	return req->c->st->feat.vwc & NVME_FEAT_VWC_WCE ? 0 : BLOCK_FUA;
}

uint16_t nvme_io_failed(struct nvme_req *req, int err, enum block_op op)
{
	uint16_t status = nvme_status_of_errno(err, op);

	req->error_lba = req->lba;
	if ((status & NVME_SC_MASK) == NVME_SC_READ_ERROR ||
	    (status & NVME_SC_MASK) == NVME_SC_WRITE_FAULT)
		req->c->st->media_errors++;
	return status;
}

void nvme_io_count(struct nvme_req *req, enum block_op op, uint64_t bytes)
{
	struct nvme_state *st = req->c->st;

	if (op == BLOCK_READ) {
		st->host_reads++;
		st->data_read += bytes;
	} else {
		st->host_writes++;
		st->data_written += bytes;
	}
}
