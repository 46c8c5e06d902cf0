/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Copy, descriptor format 0: source ranges of the same namespace, one after
 * the other, to one destination. Each range is read into a buffer and written
 * from there; so a command has one block request in flight and one buffer of
 * at most NVME_COPY_RANGE_BYTES. All is checked before the first write.
 *
 * A source that touches the destination is refused (Overlapping I/O Range),
 * whichever way round it lies; sources may overlap each other.
 *
 * When it fails half-way, Dword 0 of the completion is the number of the
 * first range that was not copied.
 */
#include "models/nvme/io.h"

struct copy {
	struct nvme_copy_range range[NVME_COPY_RANGES];
	uint64_t dst;			/* LBA where the current range goes */
	uint64_t bytes;
	bool writing;
	char *buf;			/* in this allocation */
};

static void copy_run(struct nvme_req *req, int err);

static void copy_done(struct block_req *blk, int err)
{
	copy_run(nvme_req_of(blk), err);
}

static uint64_t range_nlb(const struct nvme_copy_range *r)
{
	return le16_get(r->nlb) + 1ull;
}

/* Read or write the current range. Return: as nvme_io_start(). */
static int copy_start(struct nvme_req *req, struct copy *cp)
{
	const struct nvme_copy_range *r = &cp->range[req->step];
	unsigned int shift = nvme_ns_shift(req->ns);
	uint64_t len = range_nlb(r) << shift;

	nvme_io_one(req, cp->buf, len);
	req->lba = cp->writing ? cp->dst : le64_get(r->slba);
	if (cp->writing)
		return nvme_io_start(req, BLOCK_WRITE, nvme_io_fua(req), cp->dst << shift, len,
				     copy_done);
	return nvme_io_start(req, BLOCK_READ, 0, le64_get(r->slba) << shift, len, copy_done);
}

static void copy_changed(struct nvme_req *req, const struct copy *cp)
{
	nvme_changed(req->c, req->ns->nsid, cp->dst, range_nlb(&cp->range[req->step]), false);
}

/* The step under way ended with @err: go on. */
static void copy_run(struct nvme_req *req, int err)
{
	struct copy *cp = req->priv;

	/* Over, well or not, is a write or the read before it. */
	if (cp->writing && err != -EINPROGRESS)
		copy_changed(req, cp);
	while (!err) {
		if (cp->writing) {
			cp->dst += range_nlb(&cp->range[req->step]);
			req->step++;
		}
		cp->writing = !cp->writing;
		if (req->step == req->nr_steps) {
			nvme_io_count(req, BLOCK_READ, cp->bytes);
			nvme_io_count(req, BLOCK_WRITE, cp->bytes);
			nvme_req_complete(req, 0);
			return;
		}
		err = req->aborted ? -ECANCELED : copy_start(req, cp);
		if (cp->writing && err != -EINPROGRESS)
			copy_changed(req, cp);
	}
	if (err == -EINPROGRESS)
		return;
	req->dw0 = req->step;
	nvme_req_complete(req, nvme_io_failed(req, err, cp->writing ? BLOCK_WRITE : BLOCK_READ));
}

/* Limits, bounds, overlap. *@longest: blocks of the longest range. */
static uint16_t copy_check(struct nvme_req *req, const struct nvme_copy_range *range,
			   uint64_t *total, uint64_t *longest)
{
	unsigned int i, shift = nvme_ns_shift(req->ns);

	*total = *longest = 0;
	for (i = 0; i < req->nr_steps; i++) {
		uint64_t nlb = range_nlb(&range[i]);

		*total += nlb;
		*longest = MAX(*longest, nlb);
	}
	if (*longest > NVME_COPY_RANGE_BYTES >> shift || *total > NVME_COPY_BYTES >> shift)
		return NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR;
	if (!nvme_lba_ok(req->ns, req->lba, *total)) {
		req->error_lba = req->lba;
		return NVME_SC_LBA_RANGE | NVME_SC_DNR;
	}
	for (i = 0; i < req->nr_steps; i++) {
		uint64_t slba = le64_get(range[i].slba), nlb = range_nlb(&range[i]);

		req->dw0 = i;
		req->error_lba = slba;
		if (!nvme_lba_ok(req->ns, slba, nlb))
			return NVME_SC_LBA_RANGE | NVME_SC_DNR;
		if (slba < req->lba + *total && req->lba < slba + nlb)
			return NVME_SC_OVERLAPPING_IO_RANGE | NVME_SC_DNR;
	}
	req->dw0 = 0;
	req->error_lba = 0;
	return 0;
}

/* Fetch the descriptors and make req->priv. */
static uint16_t copy_prepare(struct nvme_req *req)
{
	struct nvme_copy_range range[NVME_COPY_RANGES];
	unsigned int shift = nvme_ns_shift(req->ns);
	uint64_t total, longest;
	struct copy *cp;
	uint16_t status;

	status = nvme_xfer_in(req, range, req->nr_steps * sizeof(range[0]));
	if (!status)
		status = copy_check(req, range, &total, &longest);
	if (status)
		return status;
	if (posix_memalign(&req->priv, 4096, ALIGN_UP(sizeof(*cp), 4096) + (longest << shift))) {
		req->priv = NULL;
		return NVME_SC_INTERNAL;
	}
	cp = req->priv;
	*cp = (struct copy){
		.dst = req->lba,
		.bytes = total << shift,
		.buf = (char *)cp + ALIGN_UP(sizeof(*cp), 4096),
	};
	for (unsigned int i = 0; i < req->nr_steps; i++)
		cp->range[i] = range[i];
	return 0;
}

void nvme_copy(struct nvme_req *req)
{
	uint32_t cdw12 = le32_get(req->sqe.cdw12);
	uint16_t status = nvme_io_ready(req->ns);
	int err;

	req->lba = le32_get(req->sqe.cdw10) | (uint64_t)le32_get(req->sqe.cdw11) << 32;
	req->step = 0;
	req->nr_steps = NVME_COPY_NR(cdw12) + 1;
	if (!status && NVME_COPY_DESFMT(cdw12))
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (!status)
		status = nvme_io_writable(req->ns);
	if (!status && req->nr_steps > NVME_COPY_RANGES)
		status = NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR;
	if (!status)
		status = copy_prepare(req);
	if (status) {
		nvme_req_complete(req, status);
		return;
	}
	err = copy_start(req, req->priv);
	if (err != -EINPROGRESS)
		copy_run(req, err);
}
