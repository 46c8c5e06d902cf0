/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Format NVM: another LBA size, all data gone. For each namespace named:
 *
 * 1. @formatting is set; from now on I/O commands end with Format in Progress.
 * 2. Wait until those that were counted before are over (see io.c); a timer
 *    looks again every millisecond.
 * 3. Discard the store, a piece at a time, which makes it read as zeroes; the
 *    same with and without User Data Erase. A backend that cannot discard is
 *    filled with zeroes.
 * 4. Set LBA size and length, clear @formatting, tell the other controllers.
 *
 * A reset stops it between two pieces: the namespace keeps its LBA size, what
 * was discarded is lost. NSID FFFFFFFFh formats all namespaces attached here,
 * one after the other (FNA bits 0, 1 and 3 are clear).
 */
#include "models/nvme/io.h"
#include "models/nvme/ns.h"

#define RETRY_NS 1000000u
#define PIECE_BYTES (1ull << 30)

struct format {
	struct env_timer timer;
	struct nvme_req *req;
	struct nvme_ns *ns;		/* the one at work: referenced, @formatting is ours */
	uint32_t nsid, last;
	unsigned int shift;
	bool draining;			/* step 2 */
	bool fill;			/* zeroes instead of discards */
	uint64_t off;
};

static void format_run(struct format *f);

/* All of it has other content, or may have. */
static void format_changed(struct format *f)
{
	nvme_changed(f->req->c, f->ns->nsid, 0, atomic_load(&f->ns->nsze), true);
}

static void format_end(struct format *f, uint16_t status)
{
	if (f->ns) {
		format_changed(f);
		atomic_store(&f->ns->formatting, false);
		nvme_ns_unref(take_ptr(f->ns));
	}
	nvme_req_complete(f->req, status);	/* frees @f */
}

/* Go on from the worker, later: bounded work at a time. */
static void format_later(struct format *f, uint64_t ns)
{
	int err = env_timer_arm(&f->timer, env_now(&f->req->c->fn.strand) + ns);

	if (err < 0)
		format_end(f, nvme_status_of_errno(err, BLOCK_WRITE));
}

static void format_again(struct env_timer *t)
{
	format_run(container_of(t, struct format, timer));
}

/* ------------------------------------------------------------- one namespace */

/* May @ns become what @f says? */
static uint16_t format_check(const struct format *f, struct nvme_ns *ns)
{
	if (atomic_load(&ns->not_owned))
		return NVME_SC_NS_NOT_READY;
	if (ns->dev->read_only)
		return NVME_SC_NS_WRITE_PROTECTED | NVME_SC_DNR;
	if (1u << f->shift < ns->dev->align ||
	    !IS_ALIGNED(atomic_load(&ns->dev->size), 1ull << f->shift))
		return NVME_SC_INVALID_FORMAT | NVME_SC_DNR;
	return 0;
}

/* Find the next namespace and close it for I/O. Return: a status, or 0 with f->ns, or NULL at the end. */
static uint16_t format_begin(struct format *f)
{
	struct nvme_ctrl *c = f->req->c;
	bool open = false;
	uint16_t status;

	for (; f->nsid <= f->last; f->nsid++) {
		struct nvme_ns *ns = nvme_ns_lookup(c->ss, f->nsid);

		if (!ns)
			continue;
		if (!nvme_ns_is_attached(ns, c)) {
			nvme_ns_unref(ns);
			continue;
		}
		status = format_check(f, ns);
		if (!status && !atomic_compare_exchange_strong(&ns->formatting, &open, true))
			status = NVME_SC_FORMAT_IN_PROGRESS;
		if (status) {
			nvme_ns_unref(ns);
			return status;
		}
		f->ns = ns;
		f->draining = true;
		f->fill = false;
		f->off = 0;
		break;
	}
	return 0;
}

static void format_finish(struct format *f)
{
	struct nvme_ns *ns = f->ns;
	struct nvme_slots others;
	unsigned int self = f->req->c->slot;

	pthread_mutex_lock(&ns->ss->lock);
	atomic_store(&ns->lba_shift, f->shift);
	atomic_store(&ns->nsze, atomic_load(&ns->dev->size) >> f->shift);
	atomic_store(&ns->formatting, false);
	others = ns_attached(ns);
	others.w[self / 64] &= ~(1ull << self % 64);
	ns_notice_locked(ns->ss, ns->nsid, &others);
	pthread_mutex_unlock(&ns->ss->lock);
	format_changed(f);
	nvme_ns_unref(take_ptr(f->ns));
	f->nsid++;
}

static void piece_done(struct block_req *blk, int err);

/* Start on the piece at f->off. Return: as block_submit(). */
static int piece_start(struct format *f)
{
	struct block_req *b = &f->req->blk;

	*b = (struct block_req){
		.op = f->fill ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD,
		.flags = f->fill ? BLOCK_UNMAP : 0,
		.off = f->off,
		.len = MIN(PIECE_BYTES, atomic_load(&f->ns->dev->size) - f->off),
		.st = &f->req->c->fn.strand,
		.done = piece_done,
	};
	return block_submit(f->ns->dev, b);
}

/* The piece is over, with @err. */
static void piece_end(struct format *f, int err)
{
	if (err == -EOPNOTSUPP && !f->fill)
		f->fill = true;
	else if (err) {
		format_end(f, nvme_status_of_errno(err, BLOCK_WRITE));
		return;
	} else {
		f->off += f->req->blk.len;
	}
	format_later(f, 0);
}

static void piece_done(struct block_req *blk, int err)
{
	piece_end(nvme_req_of(blk)->priv, err);
}

/* One turn: whatever comes next. */
static void format_run(struct format *f)
{
	uint16_t status = f->req->aborted ? NVME_SC_ABORT_REQ : 0;
	int err;

	if (!status && !f->ns)
		status = format_begin(f);
	if (status || !f->ns) {
		format_end(f, status);
		return;
	}
	if (f->draining && atomic_load(&f->ns->inflight)) {
		format_later(f, RETRY_NS);
		return;
	}
	f->draining = false;
	if (f->off >= atomic_load(&f->ns->dev->size)) {
		format_finish(f);
		format_later(f, 0);
		return;
	}
	err = piece_start(f);
	if (err != -EINPROGRESS)
		piece_end(f, err);
}

/* ------------------------------------------------------------------- command */

static uint16_t check_fields(struct nvme_req *req)
{
	uint32_t cdw10 = le32_get(req->sqe.cdw10), nsid = le32_get(req->sqe.nsid);

	if (nsid != NVME_NSID_ALL) {
		if (!nsid || nsid > NVME_NSID_MAX)
			return NVME_SC_INVALID_NS | NVME_SC_DNR;
		if (!nvme_ns_active(req->c, nsid))
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	if (NVME_FORMAT_LBAF(cdw10) > 1 || NVME_FORMAT_PI(cdw10))
		return NVME_SC_INVALID_FORMAT | NVME_SC_DNR;
	if (NVME_FORMAT_SES(cdw10) > NVME_FORMAT_SES_USER_DATA_ERASE) {
		req->error_loc = 41;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	return 0;
}

void nvme_format(struct nvme_req *req)
{
	uint32_t nsid = le32_get(req->sqe.nsid);
	uint16_t status = check_fields(req);
	struct format *f = NULL;

	if (!status) {
		f = calloc(1, sizeof(*f));
		if (!f)
			status = NVME_SC_INTERNAL;
	}
	if (status) {
		nvme_req_complete(req, status);
		return;
	}
	env_timer_init(&f->timer, &req->c->fn.strand, format_again);
	f->req = req;
	f->nsid = nsid == NVME_NSID_ALL ? 1 : nsid;
	f->last = nsid == NVME_NSID_ALL ? NVME_NSID_MAX : nsid;
	f->shift = NVME_FORMAT_LBAF(le32_get(req->sqe.cdw10)) ? 12 : 9;
	req->priv = f;
	format_run(f);
}
