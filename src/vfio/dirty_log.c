/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The log of an IOAS or HWPT: one port for each function that was ever
 * attached while it was on. A port stays when its function is attached
 * elsewhere, until that is closed: what is in flight at that moment is written
 * later and must not be missed. Until then it may say too much.
 */
#include "vfio/dirty.h"
#include "vfio/internal.h"

#define LAST_PAGE (UINT64_MAX >> DIRTY_SHIFT)

struct dirty_port {
	struct dma_log log;		/* in the function's list: strand */
	struct dirty_map map;
	struct vfio_device *dev;
	struct dirty_log *dl;
	struct list log_link, dev_link;	/* host lock */
};

static void written(struct dma_log *log, uint64_t iova, uint64_t len)
{
	dirty_map_mark(&container_of(log, struct dirty_port, log)->map, iova, len);
}

void dirty_log_init(struct dirty_log *dl)
{
	memset(dl, 0, sizeof(*dl));
	list_init(&dl->ports);
	dirty_map_init(&dl->left);
}

/* The function does not write into it any more. */
static void port_unlink(struct dirty_port *p)
{
	env_strand_lock(&p->dev->fn->strand);
	list_del(&p->log.link);
	env_strand_unlock(&p->dev->fn->strand);
	list_del(&p->dev_link);
	list_del(&p->log_link);
	dirty_map_release(&p->map);
	free(p);
}

void dirty_log_stop(struct dirty_log *dl)
{
	dl->on = false;
	while (!list_empty(&dl->ports))
		port_unlink(list_first(&dl->ports, struct dirty_port, log_link));
	dirty_map_clear(&dl->left);
}

void dirty_log_start(struct dirty_log *dl)
{
	dirty_log_stop(dl);
	dl->on = true;
}

void dirty_log_release(struct dirty_log *dl)
{
	dirty_log_stop(dl);
	dirty_map_release(&dl->left);
}

int dirty_log_attach(struct dirty_log *dl, struct vfio_device *d)
{
	struct dirty_port *p;

	if (!dl->on)
		return 0;
	list_for_each(p, &d->dirty_ports, dev_link)
		if (p->dl == dl)
			return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->log.written = written;
	p->dev = d;
	p->dl = dl;
	dirty_map_init(&p->map);
	list_add_tail(&dl->ports, &p->log_link);
	list_add_tail(&d->dirty_ports, &p->dev_link);
	env_strand_lock(&d->fn->strand);
	list_add_tail(&d->fn->dma_logs, &p->log.link);
	env_strand_unlock(&d->fn->strand);
	return 0;
}

/* Pages [@first, @last] of @from, into @to as well, or instead. */
static void map_move(struct dirty_map *from, struct dirty_map *to, uint64_t first, uint64_t last,
		     bool clear)
{
	uint64_t bits[DIRTY_WORDS];
	unsigned int words, i;

	while (first <= last && (words = dirty_map_take(from, &first, last, bits, clear))) {
		for (i = 0; i < words * 64; i++)
			if (bits[i / 64] >> i % 64 & 1)
				dirty_map_mark(to, (first + i) << DIRTY_SHIFT, 1);
		first += words * 64ull;
	}
}

static void port_merge(struct dirty_port *p)
{
	map_move(&p->map, &p->dl->left, 0, LAST_PAGE, true);
	if (dirty_map_overflown(&p->map))
		dirty_map_lose(&p->dl->left);
}

void dirty_log_leave(struct vfio_device *d)
{
	while (!list_empty(&d->dirty_ports)) {
		struct dirty_port *p = list_first(&d->dirty_ports, struct dirty_port, dev_link);

		port_merge(p);
		port_unlink(p);
	}
}

static bool overflown(struct dirty_log *dl)
{
	struct dirty_port *p;
	bool over = dirty_map_overflown(&dl->left);

	list_for_each(p, &dl->ports, log_link)
		over |= dirty_map_overflown(&p->map);
	return over;
}

/* What @dl has of the asked range, in a map of our own. Host lock. false: it does not know. */
static bool gather(struct dirty_log *dl, const struct dirty_bitmap *b, struct dirty_map *out,
		   bool clear)
{
	uint64_t first = b->iova >> DIRTY_SHIFT;
	uint64_t last = (b->iova + (b->length - 1)) >> DIRTY_SHIFT;
	struct dirty_port *p;

	if (overflown(dl))
		return false;
	map_move(&dl->left, out, first, last, clear);
	list_for_each(p, &dl->ports, log_link)
		map_move(&p->map, out, first, last, clear);
	if (dirty_map_overflown(out)) {
		dirty_map_lose(&dl->left);
		return false;
	}
	return true;
}

int dirty_log_report(struct vfio_host *h, struct vfio_call *c, const struct dirty_bitmap *b,
		     struct dirty_log *(*find)(void *arg), void *arg, bool clear)
{
	struct dirty_log *dl;
	struct dirty_map out;
	int ret = -ENOENT;

	dirty_map_init(&out);
	vfio_host_lock(h);
	dl = find(arg);
	if (dl)
		ret = gather(dl, b, &out, clear) ? 0 : 1;
	host_unlock(h);
	if (!ret)
		ret = dirty_report_map(c, b, &out, true);
	if (ret < 0 && clear) {
		/* What could not be told stays. */
		vfio_host_lock(h);
		dl = find(arg);
		if (dl)
			map_move(&out, &dl->left, 0, LAST_PAGE, true);
		host_unlock(h);
	}
	dirty_map_release(&out);
	return ret;
}
