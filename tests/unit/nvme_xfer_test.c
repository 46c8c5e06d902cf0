/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * PRPs and SGLs: what nvme_xfer_map() makes of them against naive models that
 * build the lists from a random scatter of pages and remember the bytes.
 */
#include "nvme_rig.h"

static struct rig r;

struct model {
	struct { uint64_t iova; uint32_t len; bool bucket; } part[4096];
	unsigned int nr;
};

static struct model m;

static void model_add(uint64_t iova, uint64_t len, bool bucket)
{
	m.part[m.nr].iova = iova;
	m.part[m.nr].len = (uint32_t)len;
	m.part[m.nr++].bucket = bucket;
}

/* Are the segments of @req, byte for byte, those of the model? */
static bool same_bytes(const struct nvme_req *req)
{
	unsigned int i = 0, j = 0;
	uint64_t a = 0, b = 0, total = 0;

	while (i < req->nr_seg && j < m.nr) {
		const struct nvme_seg *s = &req->seg[i];
		uint64_t n = MIN(s->len - a, m.part[j].len - b);

		if (s->bucket != m.part[j].bucket ||
		    (!s->bucket && s->iova + a != m.part[j].iova + b))
			return false;
		a += n;
		b += n;
		total += n;
		if (a == s->len) {
			a = 0;
			i++;
		}
		if (b == m.part[j].len) {
			b = 0;
			j++;
		}
	}
	return i == req->nr_seg && j == m.nr && total == req->data_len;
}

static struct nvme_req req;

static void req_init(uint8_t opcode, uint8_t psdt)
{
	memset(&req, 0, sizeof(req));
	req.c = r.c;
	req.sqid = 1;
	req.sqe.opcode = opcode;
	req.sqe.flags = (uint8_t)(psdt << 6);
	m.nr = 0;
}

static uint16_t map(uint64_t len)
{
	uint16_t status;

	env_strand_lock(&r.fn->strand);
	status = nvme_xfer_map(&req, len);
	env_strand_unlock(&r.fn->strand);
	return status;
}

static void done(void)
{
	env_strand_lock(&r.fn->strand);
	nvme_xfer_release(&req);
	env_strand_unlock(&r.fn->strand);
}

static void put64(uint64_t ram_off, uint64_t v)
{
	le64 e = le64_of(v);

	memcpy(r.ram_bytes + ram_off, &e, sizeof(e));
}

/* ---------------------------------------------------------------------- PRPs */

static uint64_t random_page(uint64_t page)
{
	static uint64_t last;

	last = rnd(4) ? rnd(1ull << 40) * page : last + page;	/* often neighbours */
	return last;
}

/* Lists at random offsets, chained through pages scattered over RAM; seen read-write or read-only. */
static void prp_build(uint64_t page, uint64_t len, uint64_t list_base)
{
	uint64_t prp1 = random_page(page) + rnd(page / 4) * 4 * rnd(2);
	uint64_t first = MIN(len, page - (prp1 & (page - 1))), list, next_page;

	req.sqe.prp1 = le64_of(prp1);
	model_add(prp1, first, false);
	len -= first;
	if (!len) {
		req.sqe.prp2 = le64_of(rnd(UINT64_MAX));	/* ignored */
		return;
	}
	if (len <= page) {
		uint64_t prp2 = random_page(page);

		req.sqe.prp2 = le64_of(prp2);
		model_add(prp2, len, false);
		return;
	}
	/* RAM offsets: pages of the list, in some order. */
	next_page = 2;
	list = (1 + rnd(2)) * page - 8 * (1 + rnd(rnd(2) ? 4 : page / 8));
	list = ALIGN_UP(RIG_DATA, page) + list % page;
	req.sqe.prp2 = le64_of(list_base + list);
	while (len) {
		bool last_slot = (list & (page - 1)) == page - 8;

		if (last_slot && len > page) {
			uint64_t next = ALIGN_UP(RIG_DATA, page) + page * next_page;

			next_page += 1 + rnd(3);
			put64(list, list_base + next);
			list = next;
			continue;
		}
		uint64_t data = random_page(page);

		put64(list, data);
		model_add(data, MIN(len, page), false);
		len -= MIN(len, page);
		list += 8;
	}
}

static void test_prp__random_lists_against_a_model(void)
{
	unsigned int mps, i;

	for (mps = 0; mps <= 2; mps++) {
		uint64_t page = 4096ull << mps;

		rig_disable(&r);
		rig_enable(&r, mps);
		for (i = 0; i < 4000; i++) {
			uint64_t max = rnd(3) ? 64 * page : 2u << 20;
			uint64_t len = 1 + rnd(MIN(max, 2ull << 20));

			/* RAM lies at a page of 64 KiB in both views: offsets in pages agree. */
			req_init(nvme_cmd_read, 0);
			prp_build(page, len, rnd(2) ? RAM_IOVA : RO_IOVA);
			CHECK_STATUS(map(len), 0);
			CHECK(same_bytes(&req));
			done();
		}
	}
	rig_disable(&r);
	rig_enable(&r, 0);
}

static uint16_t prp(uint64_t prp1, uint64_t prp2, uint64_t len)
{
	uint16_t status;

	req_init(nvme_cmd_read, 0);
	req.sqe.prp1 = le64_of(prp1);
	req.sqe.prp2 = le64_of(prp2);
	status = map(len);
	done();
	return status;
}

static void test_prp__corner_cases(void)
{
	uint64_t list = RAM_IOVA + RIG_DATA;

	CHECK_STATUS(prp(0x1001, 0, 4096), NVME_SC_PRP_INVALID_OFFSET);
	CHECK_STATUS(prp(0x1004, 0x2008, 4096), NVME_SC_PRP_INVALID_OFFSET);
	CHECK_STATUS(prp(0x1004, 0x2000, 4096), 0);
	CHECK_STATUS(prp(0x1000, 0x2008, 4096), 0);		/* PRP2 is not used */
	CHECK_STATUS(prp(0x1000, 0x2000, 8192), 0);		/* exactly two pages */
	CHECK_STATUS(prp(0x1000, list + 4, 8193), NVME_SC_PRP_INVALID_OFFSET);
	CHECK_STATUS(prp(0x1000, 0x50000000, 8193), NVME_SC_DATA_XFER_ERROR);	/* unmapped list */
	put64(RIG_DATA, 0x5000);
	put64(RIG_DATA + 8, 0x6008);
	CHECK_STATUS(prp(0x1000, list, 12288), NVME_SC_PRP_INVALID_OFFSET);
	put64(RIG_DATA + 8, 0x6000);
	CHECK_STATUS(prp(0x1000, list, 12288), 0);
	/* One slot left in the page: the link, which has to be page aligned. */
	put64(RIG_DATA + 4088, list + 8192 + 8);
	CHECK_STATUS(prp(0x1000, list + 4088, 12288), NVME_SC_PRP_INVALID_OFFSET);
	put64(RIG_DATA + 4088, list + 8192);
	put64(RIG_DATA + 8192, 0x7000);
	put64(RIG_DATA + 8200, 0x8000);
	CHECK_STATUS(prp(0x1000, list + 4088, 12288), 0);
	/* MDTS, and zero pages. */
	CHECK_STATUS(prp(0x1000, list, (2u << 20) + 1), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(prp(0, 0, 8192), 0);
	CHECK_STATUS(prp(0, 0, 0), 0);
}

/* A list that leads to itself ends when the length is covered. */
static void test_prp__self_pointing_list_ends(void)
{
	uint64_t list = RAM_IOVA + RIG_DATA;
	unsigned int i;

	for (i = 0; i < 512; i++)
		put64(RIG_DATA + i * 8, list);
	CHECK_STATUS(prp(0x1000, list, 2u << 20), 0);
	CHECK_STATUS(prp(0x1000, list + 4088, 2u << 20), 0);
}

/* ---------------------------------------------------------------------- SGLs */

static struct nvme_sgl_desc desc(unsigned int type, uint64_t addr, uint32_t len)
{
	return (struct nvme_sgl_desc){ le64_of(addr), le32_of(len), { 0 }, (uint8_t)(type << 4) };
}

static void put_desc(uint64_t ram_off, struct nvme_sgl_desc d)
{
	memcpy(r.ram_bytes + ram_off, &d, sizeof(d));
}

static uint16_t sgl(uint8_t opcode, struct nvme_sgl_desc d, uint64_t len)
{
	req_init(opcode, 1);
	memcpy(&req.sqe.prp1, &d, sizeof(d));
	return map(len);
}

static void test_sgl__random_chains_against_a_model(void)
{
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		bool read = rnd(2);
		uint64_t base = rnd(2) ? RAM_IOVA : RO_IOVA, len = 0;
		unsigned int segs = (unsigned int)rnd(4), s, d;
		uint64_t at[4], nr[4];
		struct nvme_sgl_desc first;
		uint16_t status;

		req_init(read ? nvme_cmd_read : nvme_cmd_write, rnd(2) ? 1 : 2);
		for (s = 0; s < segs; s++) {
			at[s] = RIG_DATA + s * 65536 + rnd(1024);
			nr[s] = 1 + rnd(200);
		}
		for (s = 0; s < segs; s++) {
			for (d = 0; d < nr[s]; d++) {
				bool bucket = !rnd(8);
				uint64_t addr = rnd(4) || !m.nr ? rnd(1ull << 50) :
					m.part[m.nr - 1].iova + m.part[m.nr - 1].len;
				uint32_t n = (uint32_t)rnd(rnd(2) ? 10 : 2000);

				if (d == nr[s] - 1 && s + 1 < segs) {
					put_desc(at[s] + d * 16,
						 desc(s + 2 == segs ? 3 : 2, base + at[s + 1],
						      (uint32_t)nr[s + 1] * 16));
					break;
				}
				put_desc(at[s] + d * 16, desc(bucket, addr, n));
				if (n && (!bucket || read)) {
					model_add(bucket ? 0 : addr, n, bucket);
					len += n;
				}
			}
		}
		if (segs) {
			first = desc(segs == 1 ? 3 : 2, base + at[0], (uint32_t)nr[0] * 16);
		} else {
			first = desc(0, rnd(1ull << 60), 1 + (uint32_t)rnd(100000));
			model_add(le64_get(first.addr), le32_get(first.len), false);
			len = le32_get(first.len);
		}
		if (!len)
			continue;
		memcpy(&req.sqe.prp1, &first, sizeof(first));
		status = map(len);
		CHECK_STATUS(status, 0);
		CHECK(same_bytes(&req));
		done();
		CHECK_STATUS(map(len + 1), NVME_SC_SGL_INVALID_DATA);	/* too short */
		done();
	}
}

static void test_sgl__one_descriptor(void)
{
	uint64_t list = RAM_IOVA + RIG_DATA;
	unsigned int type, sub;

	CHECK_STATUS(sgl(2, desc(0, 0x1000, 4096), 4096), 0);
	CHECK_STATUS(sgl(2, desc(0, 0x1000, 5000), 4096), 0);		/* oversized is fine */
	CHECK_STATUS(sgl(2, desc(0, 0x1000, 4095), 4096), NVME_SC_SGL_INVALID_DATA);
	CHECK_STATUS(sgl(2, desc(0, 0x1001, 4096), 4096), 0);		/* byte aligned */
	CHECK_STATUS(sgl(2, desc(0, UINT64_MAX - 4094, 4096), 4096), NVME_SC_SGL_INVALID_DATA);
	CHECK_STATUS(sgl(2, desc(0, UINT64_MAX - 4095, 4096), 4096), 0);
	CHECK_STATUS(sgl(2, desc(1, 0, 4096), 4096), 0);
	CHECK_STATUS(sgl(1, desc(1, 0, 4096), 4096), NVME_SC_SGL_INVALID_DATA);
	for (type = 4; type < 16; type++)
		CHECK_STATUS(sgl(2, desc(type, list, 4096), 4096), NVME_SC_SGL_INVALID_TYPE);
	for (type = 0; type < 4; type++)
		for (sub = 1; sub < 16; sub++) {
			struct nvme_sgl_desc d = desc(type, list, 4096);

			d.id |= (uint8_t)sub;
			CHECK_STATUS(sgl(2, d, 4096), NVME_SC_SGL_INVALID_TYPE);
		}
	req_init(2, 3);
	CHECK_STATUS(map(4096), NVME_SC_INVALID_FIELD);
	req_init(2, 1);
	req.sqid = 0;
	CHECK_STATUS(map(4096), NVME_SC_INVALID_FIELD);		/* admin: PRPs only */
	done();
}

static void test_sgl__segment_lengths_and_order(void)
{
	static const uint32_t bad[] = { 0, 1, 15, 17, 31, 33, 0xffffffff };
	uint64_t list = RAM_IOVA + RIG_DATA;
	unsigned int i, type;

	put_desc(RIG_DATA, desc(0, 0x1000, 4096));
	for (type = 2; type <= 3; type++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			CHECK_STATUS(sgl(2, desc(type, list, bad[i]), 4096),
				     NVME_SC_SGL_INVALID_LAST);
		CHECK_STATUS(sgl(2, desc(type, list, 16), 4096), 0);
		done();
		CHECK_STATUS(sgl(2, desc(type, 0x50000000, 16), 4096), NVME_SC_DATA_XFER_ERROR);
		CHECK_STATUS(sgl(2, desc(type, UINT64_MAX - 7, 16), 4096),
			     NVME_SC_SGL_INVALID_DATA);
	}
	/* A segment descriptor that is not the last of its segment; one inside the last segment. */
	put_desc(RIG_DATA, desc(3, list + 4096, 16));
	put_desc(RIG_DATA + 16, desc(0, 0x1000, 4096));
	CHECK_STATUS(sgl(2, desc(2, list, 32), 4096), NVME_SC_SGL_INVALID_COUNT);
	put_desc(RIG_DATA, desc(0, 0x1000, 512));
	put_desc(RIG_DATA + 16, desc(2, list + 4096, 16));
	CHECK_STATUS(sgl(2, desc(3, list, 32), 4096), NVME_SC_SGL_INVALID_LAST);
	put_desc(RIG_DATA + 16, desc(3, list + 4096, 16));
	CHECK_STATUS(sgl(2, desc(3, list, 32), 4096), NVME_SC_SGL_INVALID_LAST);
	/* A data descriptor of a keyed type in a list. */
	put_desc(RIG_DATA + 16, desc(4, list + 4096, 16));
	CHECK_STATUS(sgl(2, desc(3, list, 32), 4096), NVME_SC_SGL_INVALID_TYPE);
	done();
}

static void test_sgl__chains_are_bounded(void)
{
	uint64_t list = RAM_IOVA + RIG_DATA;
	unsigned int i;

	/* Points at itself; for ever buckets of nothing. */
	put_desc(RIG_DATA, desc(2, list, 16));
	CHECK_STATUS(sgl(2, desc(2, list, 16), 4096), NVME_SC_SGL_INVALID_COUNT);
	for (i = 0; i < 65536; i++)
		put_desc(RIG_DATA + i * 16, desc(0, 0, 0));
	CHECK_STATUS(sgl(2, desc(3, list, 65536 * 16), 4096), NVME_SC_SGL_INVALID_COUNT);
	/* 300 segments of one data block and one link each. */
	for (i = 0; i < 300; i++) {
		put_desc(RIG_DATA + i * 64, desc(0, 0x1000, 16));
		put_desc(RIG_DATA + i * 64 + 16,
			 desc(i == 298 ? 3 : 2, list + (i + 1) * 64, i == 298 ? 16 : 32));
	}
	CHECK_STATUS(sgl(2, desc(2, list, 32), 300 * 16), 0);
	done();
}

/* --------------------------------------------------------------- moving data */

static void test_iov__direct_bounced_and_dropped(void)
{
	static uint8_t buf[65536], got[65536];
	struct { unsigned int type; uint64_t addr; bool direct; } where[] = {
		{ 0, RAM_IOVA + RIG_DATA + 100, true },
		{ 0, FAR_IOVA + 100, false },
		{ 1, 0, false },
	};
	unsigned int i;

	rnd_fill(buf, sizeof(buf));
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		unsigned int n = 0, k;

		CHECK_STATUS(sgl(2, desc(where[i].type, where[i].addr, 10000), 10000), 0);
		env_strand_lock(&r.fn->strand);
		CHECK_STATUS(nvme_xfer_iov(&req, DMA_WRITE), 0);
		CHECK(!req.bounce == where[i].direct && !req.hold == !where[i].direct);
		for (k = 0; k < req.nr_iov; k++) {
			memcpy(req.iov[k].iov_base, buf + n, req.iov[k].iov_len);
			n += (unsigned int)req.iov[k].iov_len;
		}
		CHECK(n == 10000);
		CHECK_STATUS(nvme_xfer_finish(&req, DMA_WRITE, true), 0);
		nvme_xfer_release(&req);
		nvme_xfer_release(&req);
		if (!where[i].type) {
			CHECK(!pci_dma_read(r.fn, where[i].addr, got, 10000));
			CHECK(!memcmp(got, buf, 10000));
			CHECK_STATUS(nvme_xfer_map(&req, 10000), 0);
			CHECK_STATUS(nvme_xfer_iov(&req, DMA_READ), 0);
			CHECK(!memcmp(req.iov[0].iov_base, buf, req.iov[0].iov_len));
			CHECK_STATUS(nvme_xfer_finish(&req, DMA_READ, true), 0);
			nvme_xfer_release(&req);
		}
		env_strand_unlock(&r.fn->strand);
	}
}

static void test_iov__permission_and_holes(void)
{
	CHECK_STATUS(sgl(2, desc(0, RO_IOVA, 512), 512), 0);
	env_strand_lock(&r.fn->strand);
	CHECK_STATUS(nvme_xfer_iov(&req, DMA_WRITE), NVME_SC_DATA_XFER_ERROR);
	CHECK(!req.hold);
	nvme_xfer_release(&req);
	env_strand_unlock(&r.fn->strand);
	CHECK_STATUS(sgl(2, desc(0, RAM_IOVA + RAM_SIZE - 256, 512), 512), 0);
	env_strand_lock(&r.fn->strand);
	CHECK_STATUS(nvme_xfer_iov(&req, DMA_READ), NVME_SC_DATA_XFER_ERROR);
	nvme_xfer_release(&req);
	env_strand_unlock(&r.fn->strand);
}

/* 900 scattered pieces: the arrays grow, the order stays. */
static void test_iov__many_pieces(void)
{
	unsigned int i;
	uint64_t list = RAM_IOVA + RIG_DATA;

	for (i = 0; i < 900; i++)
		put_desc(RIG_DATA + i * 16, desc(0, RAM_IOVA + (4u << 20) + i * 1024, 512));
	CHECK_STATUS(sgl(2, desc(3, list, 900 * 16), 900 * 512), 0);
	CHECK(req.nr_seg == 900);
	env_strand_lock(&r.fn->strand);
	CHECK_STATUS(nvme_xfer_iov(&req, DMA_WRITE), 0);
	CHECK(req.nr_iov == 900 && !req.bounce);
	for (i = 0; i < 900; i++)
		CHECK(req.iov[i].iov_base == r.ram_bytes + (4u << 20) + i * 1024 &&
		      req.iov[i].iov_len == 512);
	CHECK_STATUS(nvme_xfer_finish(&req, DMA_WRITE, true), 0);
	CHECK(!req.hold);
	nvme_xfer_release(&req);
	env_strand_unlock(&r.fn->strand);
}

int main(void)
{
	rnd_seed();
	rig_init(&r);
	RUN(test_prp__random_lists_against_a_model);
	RUN(test_prp__corner_cases);
	RUN(test_prp__self_pointing_list_ends);
	RUN(test_sgl__random_chains_against_a_model);
	RUN(test_sgl__one_descriptor);
	RUN(test_sgl__segment_lengths_and_order);
	RUN(test_sgl__chains_are_bounded);
	RUN(test_iov__direct_bounced_and_dropped);
	RUN(test_iov__permission_and_holes);
	RUN(test_iov__many_pieces);
	rig_fini(&r);
	return tap_end();
}
