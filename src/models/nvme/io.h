/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Shared by the I/O commands, and with Identify, which reports their limits.
 */
#ifndef NVME_IO_H
#define NVME_IO_H

#include "models/nvme/nvme.h"

/* Limits of Copy: what one command may keep the worker busy with. */
#define NVME_COPY_RANGES 128u			/* MSRC + 1 */
#define NVME_COPY_RANGE_BYTES (1u << 20)	/* MSSRL */
#define NVME_COPY_BYTES (16u << 20)		/* MCL */

/**
 * nvme_io_range() - what Read, Write and their kind say about blocks
 * Fills @req->lba and @req->nlb from CDW10 to 12 and checks them against the
 * size; refuses while the namespace is being formatted.
 */
uint16_t nvme_io_range(struct nvme_req *req);
/** nvme_io_ready() - may I/O commands run on @ns now? */
uint16_t nvme_io_ready(struct nvme_ns *ns);
/** nvme_io_writable() - or Namespace is Write Protected. */
uint16_t nvme_io_writable(struct nvme_ns *ns);
/** nvme_lba_ok() - do @nlb blocks from @lba lie in @ns? */
bool nvme_lba_ok(struct nvme_ns *ns, uint64_t lba, uint64_t nlb);

/**
 * nvme_io_submit() - one block request for @req, in bytes
 * @done is called exactly as block_submit()'s, also when the request is over at once.
 */
void nvme_io_submit(struct nvme_req *req, enum block_op op, unsigned int flags, uint64_t off,
		    uint64_t len, void (*done)(struct block_req *blk, int err));
/**
 * nvme_io_start() - as nvme_io_submit(), but a request that is over at once
 * calls nobody: for loops. Return: 0, -errno, or -EINPROGRESS: @done will be called.
 */
int nvme_io_start(struct nvme_req *req, enum block_op op, unsigned int flags, uint64_t off,
		  uint64_t len, void (*done)(struct block_req *blk, int err));
/** nvme_io_one() - req->iov: @len bytes at @buf, for commands with memory of their own. */
void nvme_io_one(struct nvme_req *req, void *buf, uint64_t len);
/** nvme_io_fua() - BLOCK_FUA if this write has to be durable: asked for, or the write cache is off. */
unsigned int nvme_io_fua(const struct nvme_req *req);
/** nvme_io_failed() - the status of a failed block request, with its LBA noted and media errors counted. */
uint16_t nvme_io_failed(struct nvme_req *req, int err, enum block_op op);
/** nvme_io_count() - SMART: @bytes read or written by a command that succeeded. */
void nvme_io_count(struct nvme_req *req, enum block_op op, uint64_t bytes);

static inline struct nvme_req *nvme_req_of(struct block_req *blk)
{
	return container_of(blk, struct nvme_req, blk);
}

static inline unsigned int nvme_ns_shift(struct nvme_ns *ns)
{
	return atomic_load_explicit(&ns->lba_shift, memory_order_relaxed);
}

void nvme_flush(struct nvme_req *req);		/* io_flush.c */
void nvme_read(struct nvme_req *req);		/* io_rw.c */
void nvme_write(struct nvme_req *req);		/* io_rw.c */
void nvme_write_zeroes(struct nvme_req *req);	/* io_rw.c */
void nvme_compare(struct nvme_req *req);	/* io_verify.c */
void nvme_verify(struct nvme_req *req);		/* io_verify.c */
void nvme_dsm(struct nvme_req *req);		/* io_dsm.c */
void nvme_copy(struct nvme_req *req);		/* io_copy.c */

#endif
