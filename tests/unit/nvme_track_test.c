/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Track Send, Track Receive: memory that a controller has written. */
#include "nvme_lm_rig.h"

struct desc {
	uint64_t addr;
	uint32_t len;
};

static void put_ranges(struct lm *m, unsigned int gran, const struct desc *d, unsigned int n)
{
	struct nvme_track_mem *h = host_ptr(&m->pf, m->buf);
	struct nvme_track_range *r = (void *)(h + 1);

	*h = (struct nvme_track_mem){ .rmrtg = (uint8_t)gran, .rnmrtd = le32_of(n) };
	for (unsigned int i = 0; i < n; i++)
		r[i] = (struct nvme_track_range){ le64_of(d[i].addr), le32_of(d[i].len) };
}

static uint16_t track(struct lm *m, bool start)
{
	return host_cmd(&m->pf, 0, lm_sqe(nvme_admin_track_send, start ? m->buf : 0,
					  NVME_TRACK_SEL_MEMORY | (uint32_t)start << 16, VF_ID));
}

static uint16_t track_start(struct lm *m, unsigned int gran, uint64_t addr, uint32_t len)
{
	put_ranges(m, gran, &(struct desc){ addr, len }, 1);
	return track(m, true);
}

static uint16_t report(struct lm *m, uint32_t len)
{
	struct nvme_sqe s = lm_sqe(nvme_admin_track_receive, m->buf, 0, VF_ID);

	s.cdw12 = le32_of(len / 4 - 1);
	return host_cmd(&m->pf, 0, s);
}

static const struct nvme_track_report *head(struct lm *m)
{
	return host_ptr(&m->pf, m->buf);
}

/* All there is, by reports of @len bytes, into a byte for each page of the guest's RAM. */
static void collect(struct lm *m, uint8_t *dirty, uint32_t len)
{
	do {
		const struct nvme_track_report *h = head(m);
		const struct nvme_track_changed *d = (const void *)(h + 1);

		CHECK_EQ(report(m, len), 0);
		CHECK_EQ(le16_get(h->cntlid), VF_ID);
		for (uint32_t i = 0; i < le32_get(h->ntmcd); i++) {
			const unsigned int shift = le16_get(h->rpmpg);

			for (uint64_t p = 0; p < (uint64_t)le32_get(d[i].len) << shift; p++) {
				const uint64_t at = (le64_get(d[i].saddr) - HOST_RAM_IOVA) / 4096 + p;

				if (at < HOST_RAM_SIZE / 4096)
					dirty[at] = 1;
			}
		}
		if (!le32_get(h->ntmcd))
			CHECK(!(h->attrb & NVME_TRACK_MTR));
	} while (tap_ok && (head(m)->attrb & NVME_TRACK_MTR));
}

static void test_track__fields(void)
{
	const uint16_t field = NVME_SC_INVALID_FIELD | HOST_DNR, id = NVME_SC_INVALID_CTRL_ID | HOST_DNR;
	const uint32_t pages = HOST_RAM_SIZE / 4096;
	struct lm m;

	lm_open(&m, NULL);
	CHECK_EQ(track(&m, false), id);
	CHECK_EQ(report(&m, 4096), id);
	CHECK_EQ(track_start(&m, 19, HOST_RAM_IOVA, 1), field);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA + 512, 1), field);
	CHECK_EQ(track_start(&m, 9, HOST_RAM_IOVA + 4096, 1), field);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, 0), field);
	CHECK_EQ(track_start(&m, 0, ~0ull << 12, 2), field);
	put_ranges(&m, 0, NULL, 0);
	CHECK_EQ(track(&m, true), field);
	((struct nvme_track_mem *)host_ptr(&m.pf, m.buf))->rnmrtd = le32_of(NVME_TRACK_RANGES + 1);
	CHECK_EQ(track(&m, true), field);
	put_ranges(&m, 0, &(struct desc){ HOST_RAM_IOVA, 1 }, 1);
	((struct nvme_track_mem *)host_ptr(&m.pf, m.buf))->ver = 1;
	CHECK_EQ(track(&m, true), field);
	put_ranges(&m, 0, &(struct desc){ HOST_RAM_IOVA, 1 }, 1);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(nvme_admin_track_send, m.buf, 1 << 16 | 1, 1)), id);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(nvme_admin_track_send, m.buf, 1 << 16 | 1, 77)), id);
	CHECK_EQ(host_cmd(&m.pf, 0, lm_sqe(nvme_admin_track_send, m.buf, 2, VF_ID)), field);
	/* 16 TiB in pages of 4 KiB are too many: 64 KiB would do. */
	CHECK_EQ(track_start(&m, 0, 0, UINT32_MAX), NVME_SC_NOT_ENOUGH_RESOURCES | HOST_DNR);
	CHECK_EQ(host_dw0(&m.pf), 5);
	CHECK_EQ(track_start(&m, 5, 0, UINT32_MAX >> 5), 0);
	CHECK_EQ(track(&m, false), 0);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, pages), 0);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, pages), id);
	CHECK_EQ(report(&m, 16), field);
	CHECK_EQ(report(&m, 4096), 0);
	CHECK_EQ(le32_get(head(&m)->ntmcd), 0);
	CHECK_EQ(head(&m)->attrb, 0);
	/* Suspended: not to be started, but stopped. A reset of the target goes on being tracked. */
	CHECK(host_reset(&m.vf));
	CHECK_EQ(lm_suspend(&m), 0);
	CHECK_EQ(report(&m, 4096), 0);
	CHECK_EQ(head(&m)->attrb, NVME_TRACK_SUSP);
	CHECK_EQ(track(&m, false), 0);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, pages), NVME_SC_SUSPENDED | HOST_DNR);
	CHECK_EQ(lm_resume(&m), 0);
	/* The manager's reset ends it. */
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, pages), 0);
	CHECK(host_disable(&m.pf));
	CHECK(HOST_UNTIL(&m.vf, !m.vf.c->mig->track));
	CHECK_EQ(m.pf.ss->track_bits, 0);
	CHECK_EQ(m.pf.ss->track_ranges, 0);
	lm_close(&m);
}

static uint32_t rng = 99;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 1664525 + 1013904223;
	return (rng >> 8) % n;
}

/* Every page whose content has changed is reported, in the ranges that are tracked. */
static void superset(unsigned int gran, const struct desc *d, unsigned int n, uint32_t len)
{
	const unsigned int pages = HOST_RAM_SIZE / 4096;
	uint8_t *before = malloc(HOST_RAM_SIZE), *dirty = calloc(1, pages), *in = calloc(1, pages);
	unsigned int extra = 0, real = 0;
	struct lm m;
	uint64_t data;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	host_queue(&m.vf, 1, 64, 64);
	data = host_alloc(&m.vf, 4 << 20);
	put_ranges(&m, gran, d, n);
	CHECK_EQ(track(&m, true), 0);
	for (unsigned int i = 0; i < n; i++) {
		for (uint64_t p = 0; p < (uint64_t)d[i].len << gran; p++) {
			const uint64_t at = (d[i].addr - HOST_RAM_IOVA) / 4096 + p;

			if (at < pages)
				in[at] = 1;
		}
	}
	for (unsigned int round = 0; round < 20 && tap_ok; round++) {
		memcpy(before, m.vf.ram, HOST_RAM_SIZE);
		for (unsigned int i = 0; i < 30; i++) {
			struct nvme_sqe s = host_rw(false, rnd(1000), data + rnd(1000) * 4096 + rnd(2) * 512);
			const uint32_t nlb = 1 + rnd(8);

			s.cdw12 = le32_of(nlb - 1);
			s.prp2 = le64_of(data + rnd(1000) * 4096);
			/* What is read is to be seen. */
			memset(host_ptr(&m.vf, le64_get(s.prp1)), (int)(i + round * 31) | 1, 512);
			memcpy(before + (le64_get(s.prp1) - HOST_RAM_IOVA),
			       host_ptr(&m.vf, le64_get(s.prp1)), 512);
			CHECK_EQ(host_cmd(&m.vf, 1, s), 0);
		}
		/* SQEs are the driver's writes. */
		memcpy(before + (m.vf.q[1].sq - HOST_RAM_IOVA), host_ptr(&m.vf, m.vf.q[1].sq), 4096);
		memset(dirty, 0, pages);
		collect(&m, dirty, len);
		for (unsigned int p = 0; p < pages; p++) {
			const bool changed = memcmp(before + p * 4096, m.vf.ram + p * 4096, 4096);

			if (changed && in[p])
				CHECK(dirty[p]);
			if (dirty[p])
				CHECK(in[p]);
			real += changed && in[p];
			extra += dirty[p] && !changed;
		}
	}
	printf("# granule 2^%u pages: %u changed, %u more reported\n", gran, real, extra);
	lm_close(&m);
	free(before);
	free(dirty);
	free(in);
}

static void test_track__superset_of_what_changed(void)
{
	const struct desc all = { HOST_RAM_IOVA, HOST_RAM_SIZE / 4096 };
	const struct desc big[] = { { HOST_RAM_IOVA, 2 }, { HOST_RAM_IOVA + (6 << 20), 1 } };
	const struct desc some[] = {
		{ HOST_RAM_IOVA + (3 << 20), 100 }, { HOST_RAM_IOVA, 17 }, { HOST_RAM_IOVA + 16 * 4096, 400 },
		{ HOST_RAM_IOVA + (5 << 20), 1 }, { HOST_RAM_IOVA + (5 << 20) + 8192, 1 },
	};

	superset(0, &all, 1, 4096);
	superset(0, &all, 1, 32);
	superset(0, some, ARRAY_SIZE(some), 48);
	superset(9, big, 2, 4096);
}

/* A report that does not arrive is not lost. */
static void test_track__failed_report_is_put_back(void)
{
	struct nvme_sqe s;
	struct lm m;

	lm_open(&m, NULL);
	host_enable(&m.vf);
	CHECK_EQ(track_start(&m, 0, HOST_RAM_IOVA, HOST_RAM_SIZE / 4096), 0);
	CHECK_EQ(host_cmd(&m.vf, 0, host_sqe(nvme_admin_abort_cmd, 0, 0, 0, 0)), 0);
	s = lm_sqe(nvme_admin_track_receive, 0x7fff0000, 0, VF_ID);
	s.cdw12 = le32_of(1023);
	CHECK_EQ(host_cmd(&m.pf, 0, s), NVME_SC_DATA_XFER_ERROR);
	CHECK_EQ(report(&m, 4096), 0);
	CHECK_EQ(le32_get(head(&m)->ntmcd), 1);
	CHECK_EQ(report(&m, 4096), 0);
	CHECK_EQ(le32_get(head(&m)->ntmcd), 0);
	lm_close(&m);
}

/* 64 GiB in pages of 4 KiB, one in a hundred written. */
static void test_track__cost(void)
{
	const uint32_t pages = (64ull << 30) / 4096;
	uint64_t t, mark, out, found = 0;
	unsigned int reports = 0;
	struct dma_log *log;
	struct lm m;

	lm_open(&m, NULL);
	CHECK_EQ(track_start(&m, 0, 0, pages), 0);
	log = list_first(&m.vf.fn->dma_logs, struct dma_log, link);
	t = host_now();
	for (uint32_t i = 0; i < pages / 100; i++)
		log->written(log, (uint64_t)rnd(pages) * 4096, 4096);
	mark = host_now() - t;
	t = host_now();
	do {
		CHECK_EQ(report(&m, 8192), 0);
		found += le32_get(head(&m)->ntmcd);
		reports++;
	} while (head(&m)->attrb & NVME_TRACK_MTR);
	out = host_now() - t;
	printf("# 64 GiB, 1 %% written: marking %.0f ns each, %llu descriptors in %u reports of 8 KiB, %.1f ms\n",
	       (double)mark / (pages / 100), (unsigned long long)found, reports, (double)out / 1e6);
	t = host_now();
	CHECK_EQ(report(&m, 8192), 0);
	printf("# and nothing written: %.1f us\n", (double)(host_now() - t) / 1e3);
	lm_close(&m);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	RUN(test_track__fields);
	RUN(test_track__superset_of_what_changed);
	RUN(test_track__failed_report_is_put_back);
	RUN(test_track__cost);
	return tap_end();
}
