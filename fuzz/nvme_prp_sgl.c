/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * PRPs and SGLs. The input is a header (struct head) and the bytes of the
 * memory that lists may lie in, seen at bus address FAR_IOVA.
 *
 * Either the transfer is refused, or its segments cover exactly the length
 * asked for; PRPs are compared with a walk of the list, entry by entry. The
 * list memory counts how often it is read: no walk is longer than the limits
 * of the model allow.
 */
#include "../tests/unit/nvme_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {
	uint8_t opcode, psdt, mps, admin;
	le32 len;
	le64 ptr1, ptr2;
};

static struct rig r;

static bool entry_at(uint64_t iova, uint64_t *v)
{
	le64 e;

	if (iova < FAR_IOVA || iova > FAR_IOVA + FAR_SIZE - 8)
		return false;
	memcpy(&e, r.far->bytes + (iova - FAR_IOVA), sizeof(e));
	*v = le64_get(e);
	return true;
}

/* Compare @seg with the next @len bytes at @iova. */
static void must_be(const struct nvme_req *req, unsigned int *seg, uint64_t *in, uint64_t iova,
		    uint64_t len)
{
	MUST(*seg < req->nr_seg && !req->seg[*seg].bucket);
	MUST(req->seg[*seg].iova + *in == iova && req->seg[*seg].len - *in >= len);
	*in += len;
	if (*in == req->seg[*seg].len) {
		*in = 0;
		(*seg)++;
	}
}

/* Walk the PRPs of a transfer that was accepted. Only for lists in the list memory. */
static void check_prps(const struct nvme_req *req, uint64_t page)
{
	uint64_t ptr = le64_get(req->sqe.prp1), left = req->data_len, in = 0, n;
	uint64_t list = le64_get(req->sqe.prp2), v;
	unsigned int seg = 0;

	n = MIN(left, page - ptr % page);
	must_be(req, &seg, &in, ptr, n);
	left -= n;
	if (left && left <= page) {
		must_be(req, &seg, &in, list, left);
		left = 0;
	}
	while (left) {
		if (!entry_at(list, &v))
			return;
		if (list % page == page - 8 && left > page) {
			MUST(v % page == 0);
			list = v;
			continue;
		}
		MUST(v % page == 0);
		n = MIN(left, page);
		must_be(req, &seg, &in, v, n);
		left -= n;
		list += 8;
	}
	MUST(seg == req->nr_seg && !in);
}

static void check_sgl(const struct nvme_req *req)
{
	uint64_t total = 0;
	unsigned int i;

	for (i = 0; i < req->nr_seg; i++) {
		MUST(req->seg[i].len);
		MUST(!req->seg[i].bucket || (req->sqe.opcode & 2));
		total += req->seg[i].len;
	}
	MUST(total == req->data_len);
}

static void use(struct nvme_req *req)
{
	unsigned int dir = req->sqe.opcode & 2 ? DMA_WRITE : DMA_READ, i;
	uint64_t total = 0;

	if (!nvme_xfer_iov(req, dir)) {
		for (i = 0; i < req->nr_iov; i++)
			total += req->iov[i].iov_len;
		MUST(total == req->data_len);
		nvme_xfer_finish(req, dir, req->sqe.opcode & 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct nvme_req req;
	struct head h;
	uint16_t status;
	uint64_t page, len;

	if (!r.env)
		rig_init(&r);
	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	size = MIN(size - sizeof(h), FAR_SIZE);
	memset(r.far->bytes, 0, 65536);
	memcpy(r.far->bytes, data, size);
	page = 4096ull << h.mps % 5;
	len = le32_get(h.len) % ((3u << 20) + 1);

	memset(&req, 0, sizeof(req));
	req.c = r.c;
	req.sqid = !(h.admin & 1);
	req.sqe.opcode = h.opcode;
	req.sqe.flags = (uint8_t)(h.psdt << 6);
	req.sqe.prp1 = h.ptr1;
	req.sqe.prp2 = h.ptr2;
	r.far->reads = 0;
	env_strand_lock(&r.fn->strand);
	r.c->st->cc = (r.c->st->cc & ~(NVME_CC_MPS_MASK << NVME_CC_MPS_SHIFT)) |
		      (uint32_t)(h.mps % 5) << NVME_CC_MPS_SHIFT;
	status = nvme_xfer_map(&req, len);
	MUST(r.far->reads <= 1100);
	MUST(len <= 2u << 20 || (status & NVME_SC_MASK) == NVME_SC_INVALID_FIELD);
	if (!status && len) {
		if (NVME_SQE_PSDT(req.sqe.flags) == NVME_PSDT_PRP)
			check_prps(&req, page);
		else
			check_sgl(&req);
		use(&req);
	}
	nvme_xfer_release(&req);
	MUST(!req.hold && !req.seg && !req.iov && !req.bounce);
	env_strand_unlock(&r.fn->strand);
	return 0;
}
