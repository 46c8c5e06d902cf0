/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Data of a command: from PRPs or SGLs to segments of bus addresses, and from
 * those to iovecs over client memory or to a bounce buffer.
 *
 * Lists lie in client memory, which changes while we look. A list is copied
 * piece by piece into an array on the stack, each entry once; what was copied
 * is checked and used, and not looked at again. Lists may lie in memory that
 * the device may only read.
 *
 * All walks end: a PRP list page that is not the first holds 512 entries or
 * more, of which one at most leads on; a chain of SGL segments ends after
 * NVME_SGL_DESCS_MAX descriptors, whatever they are.
 *
 * Direct iovecs are valid while the hold lasts, so it is kept from
 * nvme_xfer_iov() to nvme_xfer_finish(). A bounced transfer needs none: it
 * copies by bus address, under the map that is current then.
 */
#include <string.h>

#include "models/nvme/nvme.h"

#define NVME_MDTS_DEFAULT 9u
#define NVME_MDTS_MAX 16u		/* 256 MiB: the longest that 16 bits of 4 KiB blocks can say */
#define NVME_SGL_DESCS_MAX 1024u
#define NVME_IOV_MAX 1024u		/* IOV_MAX of the kernel */
#define LIST_CHUNK 512u			/* PRP entries copied at a time */
#define SGL_CHUNK 64u			/* SGL descriptors likewise */

uint8_t nvme_mdts(const struct nvme_ctrl *c)
{
	unsigned int mdts = c->cfg.mdts ? c->cfg.mdts : NVME_MDTS_DEFAULT;

	return (uint8_t)MIN(mdts, NVME_MDTS_MAX);
}

/* ---------------------------------------------------------------- segments */

static uint16_t seg_grow(struct nvme_req *req)
{
	unsigned int max = req->max_seg * 4;
	struct nvme_seg *seg = malloc(max * sizeof(*seg));

	if (!seg)
		return NVME_SC_INTERNAL;
	memcpy(seg, req->seg, req->nr_seg * sizeof(*seg));
	if (req->seg != req->inline_seg)
		free(req->seg);
	req->seg = seg;
	req->max_seg = max;
	return 0;
}

/* Append [@iova, @iova + @len), merged with its neighbour if it touches it. */
static uint16_t seg_add(struct nvme_req *req, uint64_t iova, uint32_t len, bool bucket)
{
	if (req->nr_seg) {
		struct nvme_seg *last = &req->seg[req->nr_seg - 1];

		if (!bucket && !last->bucket && iova && last->iova + last->len == iova &&
		    last->len <= UINT32_MAX - len) {
			last->len += len;
			return 0;
		}
	}
	if (req->nr_seg == req->max_seg) {
		uint16_t status = seg_grow(req);

		if (status)
			return status;
	}
	req->seg[req->nr_seg++] = (struct nvme_seg){ .iova = iova, .len = len, .bucket = bucket };
	return 0;
}

/* -------------------------------------------------------------------- PRPs */

/*
 * The list at @list describes the @left bytes after PRP1 and all of them are
 * whole pages but the last. A page of the list that cannot hold all that is
 * left ends in the address of the next page.
 */
static uint16_t map_prp_list(struct nvme_req *req, uint64_t list, uint64_t left, uint64_t page)
{
	while (left) {
		uint64_t room = (page - (list & (page - 1))) / sizeof(le64);
		uint64_t need = (left + page - 1) / page;
		bool chained = need > room;
		uint64_t at, data = chained ? room - 1 : need;

		for (at = 0; at < data + chained; at += LIST_CHUNK) {
			uint64_t i, n = MIN(data + chained - at, LIST_CHUNK);
			le64 entry[LIST_CHUNK];

			if (pci_dma_read(&req->c->fn, list + at * sizeof(le64), entry,
					 n * sizeof(le64)) < 0)
				return NVME_SC_DATA_XFER_ERROR;
			for (i = 0; i < n; i++) {
				uint64_t prp = le64_get(entry[i]);
				uint32_t len = (uint32_t)MIN(left, page);
				uint16_t status;

				if (prp & (page - 1))
					return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
				if (at + i == data) {	/* the chain's link */
					list = prp;
					break;
				}
				status = seg_add(req, prp, len, false);
				if (status)
					return status;
				left -= len;
			}
		}
	}
	return 0;
}

static uint16_t map_prp(struct nvme_req *req, uint64_t len)
{
	uint64_t page = 1ull << (12 + NVME_CC_MPS(req->c->st->cc));
	uint64_t prp1 = le64_get(req->sqe.prp1), prp2;
	uint64_t first = MIN(len, page - (prp1 & (page - 1)));
	uint16_t status;

	if (prp1 & 3)
		return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
	status = seg_add(req, prp1, (uint32_t)first, false);
	len -= first;
	if (!len || status)
		return status;

	prp2 = le64_get(req->sqe.prp2);
	if (len <= page) {
		if (prp2 & (page - 1))
			return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
		return seg_add(req, prp2, (uint32_t)len, false);
	}
	if (prp2 & 7)
		return NVME_SC_PRP_INVALID_OFFSET | NVME_SC_DNR;
	return map_prp_list(req, prp2, len, page);
}

/* -------------------------------------------------------------------- SGLs */

struct sgl_walk {
	struct nvme_req *req;
	uint64_t left;			/* bytes not covered yet */
	unsigned int descs;		/* seen so far */
	bool to_host;			/* bit buckets count only there */
};

static bool sgl_is_segment(const struct nvme_sgl_desc *d)
{
	return NVME_SGL_TYPE(d->id) == NVME_SGL_SEGMENT ||
	       NVME_SGL_TYPE(d->id) == NVME_SGL_LAST_SEGMENT;
}

/* What holds for any descriptor by itself. */
static uint16_t sgl_check(struct sgl_walk *w, const struct nvme_sgl_desc *d)
{
	unsigned int type = NVME_SGL_TYPE(d->id);
	uint64_t addr = le64_get(d->addr);
	uint32_t len = le32_get(d->len);

	if (++w->descs > NVME_SGL_DESCS_MAX)
		return NVME_SC_SGL_INVALID_COUNT | NVME_SC_DNR;
	if (type > NVME_SGL_LAST_SEGMENT || NVME_SGL_SUBTYPE(d->id))
		return NVME_SC_SGL_INVALID_TYPE | NVME_SC_DNR;
	if (sgl_is_segment(d) && (!len || len % sizeof(*d)))
		return NVME_SC_SGL_INVALID_LAST | NVME_SC_DNR;
	if (type != NVME_SGL_BIT_BUCKET && len && addr + (len - 1) < addr)
		return NVME_SC_SGL_INVALID_DATA | NVME_SC_DNR;
	return 0;
}

/* A data block or bit bucket. */
static uint16_t sgl_data(struct sgl_walk *w, const struct nvme_sgl_desc *d)
{
	bool bucket = NVME_SGL_TYPE(d->id) == NVME_SGL_BIT_BUCKET;
	uint32_t len = (uint32_t)MIN(w->left, le32_get(d->len));

	if (!len || (bucket && !w->to_host))
		return 0;
	w->left -= len;
	return seg_add(w->req, bucket ? 0 : le64_get(d->addr), len, bucket);
}

/* Walk the segment that *@seg describes; *@seg becomes its last descriptor if that leads on. */
static uint16_t sgl_segment(struct sgl_walk *w, struct nvme_sgl_desc *seg, bool *more)
{
	bool last = NVME_SGL_TYPE(seg->id) == NVME_SGL_LAST_SEGMENT;
	uint64_t addr = le64_get(seg->addr);
	uint32_t at, nr = le32_get(seg->len) / (uint32_t)sizeof(*seg);

	*more = false;
	for (at = 0; at < nr && w->left; at += SGL_CHUNK) {
		uint32_t i, n = MIN(nr - at, SGL_CHUNK);
		struct nvme_sgl_desc d[SGL_CHUNK];

		if (pci_dma_read(&w->req->c->fn, addr + at * sizeof(*d), d, n * sizeof(*d)) < 0)
			return NVME_SC_DATA_XFER_ERROR;
		for (i = 0; i < n && w->left; i++) {
			uint16_t status = sgl_check(w, &d[i]);

			if (status)
				return status;
			if (!sgl_is_segment(&d[i])) {
				status = sgl_data(w, &d[i]);
				if (status)
					return status;
				continue;
			}
			if (at + i != nr - 1)
				return NVME_SC_SGL_INVALID_COUNT | NVME_SC_DNR;
			if (last)
				return NVME_SC_SGL_INVALID_LAST | NVME_SC_DNR;
			*seg = d[i];
			*more = true;
		}
	}
	return 0;
}

static uint16_t map_sgl(struct nvme_req *req, uint64_t len)
{
	struct sgl_walk w = { .req = req, .left = len, .to_host = req->sqe.opcode & 2 };
	struct nvme_sgl_desc d;
	uint16_t status;
	bool more;

	if (!req->sqid || req->c->cfg.no_sgl ||
	    NVME_SQE_PSDT(req->sqe.flags) > NVME_PSDT_SGL_MSGL)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;

	memcpy(&d, &req->sqe.prp1, sizeof(d));
	status = sgl_check(&w, &d);
	more = sgl_is_segment(&d);
	if (!status && !more)
		status = sgl_data(&w, &d);
	while (!status && more)
		status = sgl_segment(&w, &d, &more);
	if (!status && w.left)
		status = NVME_SC_SGL_INVALID_DATA | NVME_SC_DNR;
	return status;
}

/* ------------------------------------------------------------- entry points */

uint16_t nvme_xfer_map(struct nvme_req *req, uint64_t len)
{
	if (req->seg)
		nvme_xfer_release(req);
	req->seg = req->inline_seg;
	req->max_seg = ARRAY_SIZE(req->inline_seg);
	req->nr_seg = 0;
	req->data_len = len;
	if (!len)
		return 0;
	if (len > 4096ull << nvme_mdts(req->c))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (__builtin_expect(NVME_SQE_PSDT(req->sqe.flags) == NVME_PSDT_PRP, 1))
		return map_prp(req, len);
	return map_sgl(req, len);
}

/* Between @buf and the segments, by copying. */
static uint16_t seg_copy(struct nvme_req *req, void *buf, unsigned int dir)
{
	char *p = buf;
	unsigned int i;

	for (i = 0; i < req->nr_seg; i++) {
		const struct nvme_seg *s = &req->seg[i];
		int err = 0;

		if (!s->bucket)
			err = dir == DMA_READ ?
				pci_dma_read(&req->c->fn, s->iova, p, s->len) :
				pci_dma_write(&req->c->fn, s->iova, p, s->len);
		if (err)
			return NVME_SC_DATA_XFER_ERROR;
		p += s->len;
	}
	return 0;
}

uint16_t nvme_xfer_in(struct nvme_req *req, void *buf, uint64_t len)
{
	uint16_t status = nvme_xfer_map(req, len);

	return status ? status : seg_copy(req, buf, DMA_READ);
}

uint16_t nvme_xfer_out(struct nvme_req *req, const void *buf, uint64_t len)
{
	uint16_t status = nvme_xfer_map(req, len);

	return status ? status : seg_copy(req, (void *)buf, DMA_WRITE);
}

uint16_t nvme_xfer_compare(struct nvme_req *req, const void *buf)
{
	const char *p = buf;
	unsigned int i;

	for (i = 0; i < req->nr_seg; i++) {
		uint64_t iova = req->seg[i].iova, left = req->seg[i].len;

		while (left) {
			size_t n = MIN(left, 4096u);
			char theirs[4096];

			if (pci_dma_read(&req->c->fn, iova, theirs, n) < 0)
				return NVME_SC_DATA_XFER_ERROR;
			if (memcmp(theirs, p, n))
				return NVME_SC_COMPARE_FAILED | NVME_SC_DNR;
			p += n;
			iova += n;
			left -= n;
		}
	}
	return 0;
}

static void hold_drop(struct nvme_req *req)
{
	if (req->hold)
		pci_dma_unhold(&req->c->fn, take_ptr(req->hold));
}

static bool iov_grow(struct nvme_req *req)
{
	unsigned int max = MIN(req->max_iov * 8, NVME_IOV_MAX);
	struct iovec *iov;

	if (max == req->max_iov)
		return false;
	iov = malloc(max * sizeof(*iov));
	if (!iov)
		return false;
	memcpy(iov, req->iov, req->nr_iov * sizeof(*iov));
	if (req->iov != req->inline_iov)
		free(req->iov);
	req->iov = iov;
	req->max_iov = max;
	return true;
}

/* Return: 0, -EFAULT, or another error: bounce. */
static int iov_direct(struct nvme_req *req, unsigned int dir)
{
	unsigned int i;

	for (i = 0; i < req->nr_seg; i++) {
		const struct nvme_seg *s = &req->seg[i];
		int err;

		if (s->bucket)
			return -EOPNOTSUPP;
		do
			err = pci_dma_iov(&req->c->fn, req->hold, s->iova, s->len, dir, req->iov,
					  req->max_iov, &req->nr_iov);
		while (err == -E2BIG && iov_grow(req));
		if (err)
			return err;
	}
	return 0;
}

static uint16_t iov_bounce(struct nvme_req *req, unsigned int dir)
{
	hold_drop(req);
	if (posix_memalign(&req->bounce, 4096, ALIGN_UP(req->data_len, 4096))) {
		req->bounce = NULL;
		return NVME_SC_INTERNAL;
	}
	req->bounce_len = req->data_len;
	req->iov[0] = (struct iovec){ .iov_base = req->bounce, .iov_len = req->bounce_len };
	req->nr_iov = 1;
	return dir == DMA_READ ? seg_copy(req, req->bounce, dir) : 0;
}

uint16_t nvme_xfer_iov(struct nvme_req *req, unsigned int dir)
{
	int err;

	req->iov = req->inline_iov;
	req->max_iov = ARRAY_SIZE(req->inline_iov);
	req->nr_iov = 0;
	req->hold = pci_dma_hold(&req->c->fn);
	err = iov_direct(req, dir);
	if (__builtin_expect(!err, 1))
		return 0;
	if (err == -EFAULT) {
		hold_drop(req);
		return NVME_SC_DATA_XFER_ERROR;
	}
	return iov_bounce(req, dir);
}

uint16_t nvme_xfer_finish(struct nvme_req *req, unsigned int dir, bool ok)
{
	uint16_t status = 0;
	unsigned int i;

	if (req->bounce) {
		if (dir == DMA_WRITE && ok)
			status = seg_copy(req, req->bounce, DMA_WRITE);
		return status;
	}
	/* Also after a failure: a part may have arrived. */
	if (dir == DMA_WRITE)
		for (i = 0; i < req->nr_seg; i++)
			pci_dma_written(&req->c->fn, req->seg[i].iova, req->seg[i].len);
	hold_drop(req);
	return status;
}

void nvme_xfer_release(struct nvme_req *req)
{
	hold_drop(req);
	if (req->seg != req->inline_seg)
		free(req->seg);
	if (req->iov != req->inline_iov)
		free(req->iov);
	if (req->bounce)
		free(take_ptr(req->bounce));
	req->seg = NULL;
	req->iov = NULL;
	req->nr_seg = req->nr_iov = 0;
}
