/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Tracking which memory a VF writes: Track Send and Track Receive.
 *
 * A device takes a limited number of ranges, of whole granules. What is asked
 * for is rounded outwards and merged; if it is still too much, the ranges with
 * the smallest gaps are tracked with the gap, and at last the granule grows.
 * A report may so name memory that nobody asked about.
 */
#include "drivers/nvme/dev.h"

#define GRANULE_SHIFT 12u		/* of RMRTG 0 */
#define TRIES_MAX 8u
#define REPORTS_MAX 65536u		/* of one track_report() */
#define REPORT_LEN (32u << 10)
#define TABLE_MAX ((NVME_DEV_DATA_MAX - sizeof(struct nvme_track_mem)) / sizeof(struct nvme_track_range))

/* ------------------------------------------------------------------- ranges */

/* In this file, lm_range.len is the last byte: a range may end with the address space. */

static int by_start(const void *a, const void *b)
{
	const struct lm_range *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static void merge_at(struct dev_lm *l, unsigned int i)
{
	struct lm_range *r = l->track.r;

	r[i].len = MAX(r[i].len, r[i + 1].len);
	l->track.nr--;
	memmove(&r[i + 1], &r[i + 2], (l->track.nr - i - 1) * sizeof(*r));
}

/* To whole granules; sorted, neither overlapping nor touching. */
static void ranges_round(struct dev_lm *l)
{
	uint64_t mask = (UINT64_C(1) << l->track.shift) - 1;
	struct lm_range *r = l->track.r;
	unsigned int i;

	for (i = 0; i < l->track.nr; i++) {
		r[i].iova &= ~mask;
		r[i].len |= mask;
	}
	qsort(r, l->track.nr, sizeof(*r), by_start);
	for (i = 0; i + 1 < l->track.nr;)
		if (r[i].len == UINT64_MAX || r[i + 1].iova <= r[i].len + 1)
			merge_at(l, i);
		else
			i++;
}

static void merge_nearest(struct dev_lm *l)
{
	const struct lm_range *r = l->track.r;
	unsigned int best = 0, i;

	for (i = 1; i + 1 < l->track.nr; i++)
		if (r[i + 1].iova - r[i].len < r[best + 1].iova - r[best].len)
			best = i;
	merge_at(l, best);
}

/* The longest piece at the start of @left granules that the device takes as one. */
static uint32_t piece(const struct nvme_dev *dev, uint64_t left)
{
	uint32_t n = (uint32_t)MIN(left, UINT64_C(0xffffffff));

	if (dev->id.trattr & NVME_TRATTR_MRTLL)
		n = 1u << (31 - __builtin_clz(n));
	return n;
}

/* The descriptors into the table: how many there are, whether or not they fit. */
static uint64_t table_fill(struct dev_lm *l, unsigned int max)
{
	struct nvme_track_mem *head = (void *)l->track.table;
	struct nvme_track_range *d = (void *)(head + 1);
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < l->track.nr; i++) {
		uint64_t at = l->track.r[i].iova;
		uint64_t left = ((l->track.r[i].len - at) >> l->track.shift) + 1;

		while (left && n <= max) {
			uint32_t len = piece(l->dev, left);

			if (n < max)
				d[n] = (struct nvme_track_range){ le64_of(at), le32_of(len) };
			n++;
			left -= len;
			at += (uint64_t)len << l->track.shift;
		}
	}
	*head = (struct nvme_track_mem){ .rmrtg = (uint8_t)(l->track.shift - GRANULE_SHIFT),
					 .rnmrtd = le32_of((uint32_t)n) };
	return n;
}

/* As many descriptors as @max allows. Return how many, 0: it can't be had. */
static unsigned int table_make(struct dev_lm *l, unsigned int max)
{
	max = MIN(max, (unsigned int)TABLE_MAX);
	for (;;) {
		uint64_t n;

		ranges_round(l);
		n = table_fill(l, max);
		if (n <= max)
			return (unsigned int)n;
		if (l->track.nr > 1)
			merge_nearest(l);
		else if (l->track.shift < GRANULE_SHIFT + l->dev->id.maxmrtg)
			l->track.shift++;
		else
			return 0;
	}
}

/* --------------------------------------------------------------------- start */

static void start_send(struct dev_lm *l, unsigned int max);

static struct nvme_sqe track_send(const struct dev_lm *l, bool start)
{
	return (struct nvme_sqe){
		.opcode = nvme_admin_track_send,
		.cdw10 = le32_of(NVME_TRACK_SEL_MEMORY | (start ? 1u << 16 : 0)),
		.cdw11 = le32_of(l->lm.cntlid),
	};
}

static unsigned int most(const struct dev_lm *l)
{
	unsigned int n = le16_get(l->dev->id.cmmrtd);

	return n ? n : TABLE_MAX;
}

static void stopped_first(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;

	if (cmd->err)
		lm_end(l, cmd->err);
	else if (cmd->status)
		lm_end(l, cmd->status == NVME_SC_SUSPENDED ? -EBUSY : -EIO);
	else
		start_send(l, most(l));
}

/* The device says what it could do instead. */
static void start_less(struct dev_lm *l, const struct nvme_dev_cmd *cmd)
{
	unsigned int grain = cmd->dw0 & 0xffff, max = cmd->dw1 & 0xffff;

	if (grain > l->dev->id.maxmrtg)
		lm_end(l, -ENOSPC);
	else if (grain > l->track.shift - GRANULE_SHIFT) {
		l->track.shift = grain + GRANULE_SHIFT;
		start_send(l, max ? max : most(l));
	} else if (max) {
		start_send(l, max);
	} else if (l->track.shift < GRANULE_SHIFT + l->dev->id.maxmrtg) {
		l->track.shift++;
		start_send(l, most(l));
	} else {
		lm_end(l, -ENOSPC);
	}
}

static void started(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;

	if (cmd->err) {
		lm_end(l, cmd->err);
		return;
	}
	if (cmd->status && l->track.tries++ == TRIES_MAX) {
		lm_end(l, -EIO);
		return;
	}
	switch (cmd->status) {
	case NVME_SC_SUCCESS:
		l->track.stop_pending = false;
		l->op->size = UINT64_C(1) << l->track.shift;
		lm_end(l, 0);
		break;
	case NVME_SC_NOT_ENOUGH_RESOURCES:
		start_less(l, cmd);
		break;
	case NVME_SC_INVALID_CTRL_ID:		/* it is tracked already, for nobody */
		if (l->track.tries > 1)
			lm_end(l, -EIO);
		else
			lm_send(l, track_send(l, false), NULL, 0, stopped_first);
		break;
	case NVME_SC_SUSPENDED:
		lm_end(l, -EBUSY);
		break;
	default:
		DEV_LOG(l->dev, LOG_WARN, "Track Send for controller %04xh: status %03xh", l->lm.cntlid,
			cmd->status);
		lm_end(l, cmd->status == NVME_SC_INVALID_FIELD ? -EINVAL : -EIO);
	}
}

static void start_send(struct dev_lm *l, unsigned int max)
{
	unsigned int n = table_make(l, max);

	if (!n)
		lm_end(l, -ENOSPC);
	else
		lm_send(l, track_send(l, true), l->track.table,
			(uint32_t)(sizeof(struct nvme_track_mem) +
				   n * sizeof(struct nvme_track_range)), started);
}

/* Return 0 with the ranges noted. */
static int start_take(struct dev_lm *l, const struct lm_range *r, unsigned int nr, uint64_t granule)
{
	unsigned int shift = granule ? 63 - (unsigned int)__builtin_clzll(granule) : GRANULE_SHIFT, i;
	const struct nvme_id_ctrl *id = &l->dev->id;

	if (!nr || nr > LM_RANGES_MAX || (granule & (granule - 1)))
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		if (!r[i].len || r[i].iova + (r[i].len - 1) < r[i].iova)
			return -EINVAL;
		l->track.r[i] = (struct lm_range){ r[i].iova, r[i].iova + (r[i].len - 1) };
	}
	if (!l->track.table)
		l->track.table = malloc(NVME_DEV_DATA_MAX);
	if (!l->track.table)
		return -ENOMEM;
	shift = MIN(shift, GRANULE_SHIFT + (unsigned int)id->maxmrtg);
	l->track.shift = MAX(shift, GRANULE_SHIFT + (unsigned int)id->minmrtg);
	l->track.nr = nr;
	l->track.tries = 0;
	return 0;
}

void lm_track_start(struct lm_controller *lm, struct lm_op *op, const struct lm_range *r,
		    unsigned int nr, uint64_t granule)
{
	struct dev_lm *l = lm_of(lm);
	int err;

	if (!lm_begin(l, op))
		return;
	err = start_take(l, r, nr, granule);
	if (err < 0)
		lm_end(l, err);
	else
		start_send(l, most(l));
	env_strand_unlock(&l->dev->fn->strand);
}

/* -------------------------------------------------------------------- report */

static void report_send(struct dev_lm *l);

/* Mark what the page names. Return 1: there is more, 0: that was all, -EIO: it makes no sense. */
static int report_take(struct dev_lm *l, const struct nvme_track_report *rep, uint32_t len)
{
	const struct nvme_track_changed *c = (const void *)(rep + 1);
	uint32_t n = le32_get(rep->ntmcd), i;
	unsigned int shift = GRANULE_SHIFT + le16_get(rep->rpmpg);
	bool more = rep->attrb & NVME_TRACK_MTR;

	if (rep->ver || le16_get(rep->cntlid) != l->lm.cntlid || shift > 51 ||
	    n > (len - sizeof(*rep)) / sizeof(*c) || (more && !n))
		return -EIO;
	for (i = 0; i < n; i++) {
		uint64_t at = le64_get(c[i].saddr), granules = le32_get(c[i].len);
		uint64_t bytes = granules << shift;

		if (!granules || bytes >> shift != granules || at + (bytes - 1) < at)
			return -EIO;
		l->track.mark(l->track.mark_arg, at, bytes);
	}
	return more;
}

static void reported(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	int ret = nvme_dev_errno(cmd);

	if (!ret)
		ret = report_take(l, cmd->in, cmd->len);
	else if (!cmd->err)
		ret = -EIO;
	if (ret > 0 && ++l->track.reports < REPORTS_MAX)
		report_send(l);
	else
		lm_end(l, ret > 0 ? -EIO : ret);
}

static void report_send(struct dev_lm *l)
{
	uint32_t len = MIN(REPORT_LEN, nvme_dev_data_max(l->dev));
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_track_receive,
		.cdw10 = le32_of(NVME_TRACK_SEL_REPORT),
		.cdw11 = le32_of(l->lm.cntlid),
		.cdw12 = le32_of(len / 4 - 1),
	};

	lm_send(l, sqe, NULL, len, reported);
}

void lm_track_report(struct lm_controller *lm, struct lm_op *op,
		     void (*mark)(void *arg, uint64_t iova, uint64_t len), void *arg)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	l->track.mark = mark;
	l->track.mark_arg = arg;
	l->track.reports = 0;
	report_send(l);
	env_strand_unlock(&l->dev->fn->strand);
}

/* ---------------------------------------------------------------------- stop */

static bool stop_late(const struct nvme_dev_cmd *cmd)
{
	return !cmd->err && cmd->status == NVME_SC_SUSPENDED;
}

/* 1/1F: it is not tracked: good. */
static void stopped(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	int err = nvme_dev_errno(cmd);

	l->track.stop_pending = stop_late(cmd);
	if (!cmd->err && (l->track.stop_pending || cmd->status == NVME_SC_INVALID_CTRL_ID))
		err = 0;
	lm_end(l, err);
}

void lm_track_stop(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	lm_send(l, track_send(l, false), NULL, 0, stopped);
	env_strand_unlock(&l->dev->fn->strand);
}

static void stopped_again(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;

	l->track.stopping = false;
	l->track.stop_pending = stop_late(cmd);
}

void track_stop_again(struct dev_lm *l)
{
	if (l->track.stopping)
		return;
	l->track.stopping = true;
	l->track.stop_pending = false;
	l->track.stop = (struct nvme_dev_cmd){ .sqe = track_send(l, false), .done = stopped_again,
						.arg = l };
	nvme_dev_submit(l->dev, &l->track.stop);
}
