/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Memory tracking (Track Send, Track Receive): which granules of the host's
 * memory a controller has written, seen by its function's dma_log.
 *
 * One bit a granule, for all ranges together: range r's bits begin at
 * r->bit. Over it lies a summary with a bit for each word that is not zero,
 * so that a report costs what was written, not what is tracked: 64 GiB in
 * 4 KiB granules are 2 MiB of bits under 32 KiB of summary.
 *
 * A report takes changes out as it goes, from where the last one ended, so
 * that a page written again and again does not keep the others waiting. If it
 * does not reach the MMC's host, what it took is put back.
 */
#include <string.h>

#include "models/nvme/mig.h"

#define TRACK_BITS_MAX (1ull << 28)		/* per controller: 32 MiB, 1 TiB in pages of 4 KiB */
#define TRACK_BITS_SUBSYS (1ull << 31)

struct range {
	uint64_t first, last;			/* granules, inclusive */
	uint64_t bit;				/* of @first */
};

struct nvme_track {
	struct dma_log log;
	struct nvme_subsys *ss;
	unsigned int shift;			/* log2 of the granule */
	unsigned int declared;			/* ranges as the host counts them */
	unsigned int nr, hit;
	uint64_t bits, dirty;			/* all, and those set */
	uint64_t *map, *summary;
	size_t words;
	size_t cursor;				/* word where the next report begins */
	struct range r[];			/* ascending */
};

/* ---------------------------------------------------------------------- mark */

static void mark_bits(struct nvme_track *t, uint64_t first, uint64_t last)
{
	for (uint64_t w = first / 64; w <= last / 64; w++) {
		uint64_t mask = ~0ull;

		if (w == first / 64)
			mask &= ~0ull << first % 64;
		if (w == last / 64)
			mask &= ~0ull >> (63 - last % 64);
		t->dirty += (unsigned int)__builtin_popcountll(mask & ~t->map[w]);
		t->map[w] |= mask;
		t->summary[w / 64] |= 1ull << w % 64;
	}
}

/* The first range that ends at or after granule @g; t->nr: none. */
static unsigned int range_find(const struct nvme_track *t, uint64_t g)
{
	unsigned int lo = 0, hi = t->nr;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (t->r[mid].last < g)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void track_mark(struct nvme_track *t, uint64_t first, uint64_t last)
{
	unsigned int i = t->hit;

	if (first < t->r[i].first || first > t->r[i].last)
		i = range_find(t, first);
	for (; i < t->nr && t->r[i].first <= last; i++) {
		const struct range *r = &t->r[i];

		t->hit = i;
		mark_bits(t, r->bit + (MAX(first, r->first) - r->first),
			  r->bit + (MIN(last, r->last) - r->first));
	}
}

static void track_written(struct dma_log *log, uint64_t iova, uint64_t len)
{
	struct nvme_track *t = container_of(log, struct nvme_track, log);

	track_mark(t, iova >> t->shift, (iova + (len - 1)) >> t->shift);
}

/* --------------------------------------------------------------------- limits */

/* Ranges and bits in use, all targets together. ss->lock. */
static bool track_reserve(struct nvme_subsys *ss, const struct nvme_track *t)
{
	bool ok;

	pthread_mutex_lock(&ss->lock);
	ok = ss->track_ranges + t->declared <= NVME_TRACK_RANGES &&
	     ss->track_bits + t->bits <= TRACK_BITS_SUBSYS;
	if (ok) {
		ss->track_ranges += t->declared;
		ss->track_bits += t->bits;
	}
	pthread_mutex_unlock(&ss->lock);
	return ok;
}

void nvme_track_free(struct nvme_track *t)
{
	if (!t)
		return;
	if (t->ss) {
		pthread_mutex_lock(&t->ss->lock);
		t->ss->track_ranges -= t->declared;
		t->ss->track_bits -= t->bits;
		pthread_mutex_unlock(&t->ss->lock);
	}
	free(t->map);
	free(t->summary);
	free(t);
}

/* -------------------------------------------------------------- start, stop */

void nvme_track_stop(struct nvme_ctrl *c)
{
	if (!c->mig->track)
		return;
	list_del(&c->mig->track->log.link);
	nvme_track_free(take_ptr(c->mig->track));
}

static void start_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	uint16_t status = NVME_SC_SUCCESS;

	if (!nvme_call_wanted(call)) {
		status = NVME_SC_ABORT_REQ;
	} else if (c->mig->track) {
		status = NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR;
	} else if (c->mig->suspended) {
		status = NVME_SC_SUSPENDED | NVME_SC_DNR;
	} else {
		c->mig->track = take_ptr(call->track);
		list_add_tail(&c->fn.dma_logs, &c->mig->track->log.link);
	}
	nvme_call_end(call, status);
}

/* While suspended too: it is the host that must be quick then, not we. */
static void stop_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	const bool tracked = c->mig->track;

	nvme_track_stop(c);
	nvme_call_end(call, tracked ? NVME_SC_SUCCESS : NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR);
}

static int range_order(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* The descriptors @d into t->r: ascending, what overlaps or touches merged. */
static uint16_t ranges_parse(struct nvme_track *t, const struct nvme_track_range *d, unsigned int nr)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t addr = le64_get(d[i].saddr), first = addr >> t->shift;
		const uint32_t len = le32_get(d[i].len);

		if (!len || !IS_ALIGNED(addr, 1ull << t->shift) ||
		    first + (len - 1ull) > UINT64_MAX >> t->shift)
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
		t->r[i] = (struct range){ .first = first, .last = first + (len - 1) };
	}
	qsort(t->r, nr, sizeof(t->r[0]), range_order);
	for (unsigned int i = 1; i < nr; i++) {
		if (t->r[i].first <= t->r[n].last + 1)
			t->r[n].last = MAX(t->r[n].last, t->r[i].last);
		else
			t->r[++n] = t->r[i];
	}
	t->nr = n + 1;
	t->declared = nr;
	for (unsigned int i = 0; i < t->nr; i++) {
		t->r[i].bit = t->bits;
		t->bits += t->r[i].last - t->r[i].first + 1;
	}
	return NVME_SC_SUCCESS;
}

/* Too many granules: DW0 says how fine would do, DW1 how many ranges. */
static uint16_t not_enough(struct nvme_req *req, const struct nvme_track *t, unsigned int gran)
{
	uint64_t bits = t->bits;

	while (bits + t->nr > TRACK_BITS_MAX && gran < NVME_TRACK_GRAN_MAX) {
		bits = (bits + 1) / 2;
		gran++;
	}
	req->dw0 = gran;
	req->dw1 = NVME_TRACK_RANGES;
	return NVME_SC_NOT_ENOUGH_RESOURCES | NVME_SC_DNR;
}

static uint16_t track_new(struct nvme_req *req, struct nvme_track **tp)
{
	struct nvme_track_mem head;
	auto_free uint8_t *data = NULL;
	struct nvme_track *t;
	uint16_t status = nvme_xfer_in(req, &head, sizeof(head));
	uint32_t nr;

	if (status)
		return status;
	nr = le32_get(head.rnmrtd);
	if (head.ver || head.rmrtg > NVME_TRACK_GRAN_MAX || !nr || nr > NVME_TRACK_RANGES)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	data = malloc(sizeof(head) + nr * sizeof(struct nvme_track_range));
	t = calloc(1, sizeof(*t) + nr * sizeof(t->r[0]));
	*tp = t;
	if (!data || !t)
		return NVME_SC_INTERNAL;
	t->shift = 12u + head.rmrtg;
	t->log.written = track_written;
	list_init(&t->log.link);
	/* From the start once more, for the PRPs; the header counts as first seen. */
	status = nvme_xfer_in(req, data, sizeof(head) + nr * sizeof(struct nvme_track_range));
	if (!status)
		status = ranges_parse(t, (void *)(data + sizeof(head)), nr);
	if (status)
		return status;
	if (t->bits > TRACK_BITS_MAX)
		return not_enough(req, t, head.rmrtg);
	t->words = (t->bits + 63) / 64;
	t->map = calloc(t->words, sizeof(t->map[0]));
	t->summary = calloc((t->words + 63) / 64, sizeof(t->summary[0]));
	if (!t->map || !t->summary)
		return NVME_SC_INTERNAL;
	if (!track_reserve(req->c->ss, t)) {
		t->declared = 0;
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	t->ss = req->c->ss;
	return NVME_SC_SUCCESS;
}

static void track_memory(struct nvme_req *req)
{
	const bool start = NVME_TRACK_TACT(le32_get(req->sqe.cdw10));
	const uint16_t cntlid = le32_get(req->sqe.cdw11) & 0xffff;
	struct nvme_track *t = NULL;
	struct nvme_call *call;
	uint16_t status = NVME_SC_SUCCESS;

	if (cntlid == req->c->cfg.cntlid)
		status = NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR;
	else if (start)
		status = track_new(req, &t);
	call = status ? NULL : nvme_call_new(req, cntlid, start ? start_call : stop_call);
	if (!call) {
		nvme_track_free(t);
		nvme_req_complete(req, status ? status : NVME_SC_INTERNAL);
		return;
	}
	call->track = t;
	nvme_call_start(call);
}

void nvme_track_send(struct nvme_req *req)
{
	switch (NVME_LM_SEL(le32_get(req->sqe.cdw10))) {
	case NVME_TRACK_SEL_LOG_USER_DATA:
		nvme_cdq_log(req);
		break;
	case NVME_TRACK_SEL_MEMORY:
		track_memory(req);
		break;
	default:
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	}
}

/* --------------------------------------------------------------------- report */

/* The word at or after @w that has bits; t->words: none. */
static size_t word_next(const struct nvme_track *t, size_t w)
{
	const size_t words = (t->words + 63) / 64;
	size_t s = w / 64;
	uint64_t left;

	if (w >= t->words)
		return t->words;
	left = t->summary[s] >> w % 64 << w % 64;
	while (!left) {
		if (++s == words)
			return t->words;
		left = t->summary[s];
	}
	return s * 64 + (unsigned int)__builtin_ctzll(left);
}

/* Take bits [@bit, ...) of word @w that are set in a row, at most up to @max. Return: how many. */
static unsigned int run_take(struct nvme_track *t, uint64_t bit, uint64_t max)
{
	const size_t w = bit / 64;
	const uint64_t v = t->map[w] >> bit % 64;
	unsigned int n = ~v ? (unsigned int)__builtin_ctzll(~v) : 64;

	n = (unsigned int)MIN(MIN(n, 64 - bit % 64), max);
	t->map[w] &= ~((n == 64 ? ~0ull : (1ull << n) - 1) << bit % 64);
	if (!t->map[w])
		t->summary[w / 64] &= ~(1ull << w % 64);
	t->dirty -= n;
	return n;
}

static const struct range *range_of_bit(const struct nvme_track *t, uint64_t bit)
{
	unsigned int lo = 0, hi = t->nr - 1;

	while (lo < hi) {
		unsigned int mid = (lo + hi + 1) / 2;

		if (t->r[mid].bit <= bit)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &t->r[lo];
}

/* The run that begins at @bit, over words and summary, but within its range. */
static struct nvme_track_changed changed_take(struct nvme_track *t, uint64_t bit)
{
	const struct range *r = range_of_bit(t, bit);
	const uint64_t end = r->bit + (r->last - r->first) + 1;
	uint64_t len = 0;

	while (bit + len < end && len < UINT32_MAX - 64 &&
	       t->map[(bit + len) / 64] >> (bit + len) % 64 & 1)
		len += run_take(t, bit + len, end - bit - len);
	return (struct nvme_track_changed){
		.saddr = le64_of((r->first + (bit - r->bit)) << t->shift),
		.len = le32_of((uint32_t)len),
	};
}

/* At most @max of them, from the cursor, round to it. */
static uint32_t report_take(struct nvme_track *t, struct nvme_track_changed *out, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && t->dirty) {
		size_t w = word_next(t, t->cursor);

		if (w == t->words) {
			t->cursor = 0;
			continue;
		}
		out[n++] = changed_take(t, w * 64 + (unsigned int)__builtin_ctzll(t->map[w]));
		t->cursor = w;
	}
	return n;
}

static void put_back_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	const struct nvme_track_report *rep = (const void *)call->buf;
	const struct nvme_track_changed *d = (const void *)(rep + 1);
	struct nvme_track *t = c->mig->track;

	for (uint32_t i = 0; t && i < le32_get(rep->ntmcd); i++) {
		const uint64_t first = le64_get(d[i].saddr) >> t->shift;

		track_mark(t, first, first + le32_get(d[i].len) - 1);
	}
	nvme_call_end(call, NVME_SC_SUCCESS);
}

static void put_back(struct nvme_ctrl *mmc, struct nvme_call *call)
{
	struct nvme_call *again = nvme_call_new(NULL, call->cntlid, put_back_call);

	if (!again)
		return;		/* the host takes a failed report as "all is dirty" */
	again->buf = take_ptr(call->buf);
	nvme_call_post(mmc->ss, again);
}

static void report_call(struct nvme_ctrl *c, struct nvme_call *call)
{
	struct nvme_track *t = c->mig->track;
	struct nvme_track_report *rep = (void *)call->buf;
	uint32_t n;

	if (!t || !nvme_call_wanted(call)) {
		nvme_call_end(call, NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR);
		return;
	}
	n = report_take(t, (void *)(rep + 1),
			(uint32_t)((call->len - sizeof(*rep)) / sizeof(struct nvme_track_changed)));
	*rep = (struct nvme_track_report){
		.attrb = (uint8_t)((t->dirty ? NVME_TRACK_MTR : 0) |
				   (c->mig->suspended ? NVME_TRACK_SUSP : 0)),
		.cntlid = le16_of(c->cfg.cntlid),
		.ntmcd = le32_of(n),
		.rpmpg = le16_of((uint16_t)(t->shift - 12)),
	};
	nvme_call_end(call, NVME_SC_SUCCESS);
}

static void report_finish(struct nvme_ctrl *mmc, struct nvme_call *call)
{
	if (call->status)
		return;
	if (call->req)
		call->status = nvme_xfer_out(call->req, call->buf, call->len);
	if (!call->req || call->status)
		put_back(mmc, call);
}

void nvme_track_receive(struct nvme_req *req)
{
	const uint64_t len = (le32_get(req->sqe.cdw12) + 1ull) * 4;
	struct nvme_call *call = NULL;
	uint16_t status = NVME_SC_SUCCESS;

	/* A report without room for one change could not say that there are more. */
	if (NVME_LM_SEL(le32_get(req->sqe.cdw10)) != NVME_TRACK_SEL_REPORT ||
	    len > 0x1000ull << nvme_mdts(req->c) ||
	    len < sizeof(struct nvme_track_report) + sizeof(struct nvme_track_changed))
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (!status) {
		call = nvme_call_new(req, le32_get(req->sqe.cdw11) & 0xffff, report_call);
		if (call) {
			call->finish = report_finish;
			call->buf = calloc(1, len);	/* all of it goes out: PRPs are laid out for it */
			call->len = len;
		}
		if (!call || !call->buf)
			status = NVME_SC_INTERNAL;
	}
	if (status) {
		if (call)
			nvme_call_free(call);
		nvme_req_complete(req, status);
		return;
	}
	nvme_call_start(call);
}
