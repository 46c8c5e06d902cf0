/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Which pages were written. A struct dirty_map is a set of 4 KiB pages that
 * anybody may add to; a struct dirty_log is what an IOAS (or a HWPT of it)
 * has of the functions that do DMA through it while tracking is on. Both may
 * say too much, never too little.
 */
#ifndef VFIO_DIRTY_H
#define VFIO_DIRTY_H

#include <ferry/vfio.h>

struct vfio_device;

/* ------------------------------------------------------------- dirty_map.c */

#define DIRTY_SHIFT 12
#define DIRTY_WORDS 512u			/* 64-bit words of a chunk: 32768 pages */

struct dirty_chunk;

/* A leaf lock of its own. */
struct dirty_map {
	pthread_mutex_t lock;
	struct dirty_chunk **chunk;	/* sorted; only where something was written */
	unsigned int nr, cap;
	bool overflow;			/* memory ran out: nobody knows what is missing */
};

void dirty_map_init(struct dirty_map *m);
void dirty_map_release(struct dirty_map *m);
void dirty_map_clear(struct dirty_map *m);

/** dirty_map_mark() - the pages of [@iova, @iova + @len). Any thread, any lock. */
void dirty_map_mark(struct dirty_map *m, uint64_t iova, uint64_t len);

/**
 * dirty_map_take() - the next written pages from *@page on, up to @last
 * @page: page numbers; out: the first that @bits speaks of, a multiple of 64
 * @bits: room for DIRTY_WORDS
 * @clear: and forget them
 * Return: words of @bits, 0: there is none.
 */
unsigned int dirty_map_take(struct dirty_map *m, uint64_t *page, uint64_t last, uint64_t *bits,
			    bool clear);

/** dirty_map_lose() - nobody knows what is missing. */
void dirty_map_lose(struct dirty_map *m);
/** dirty_map_overflown() - did memory run out, or something else, since the last clear? */
bool dirty_map_overflown(struct dirty_map *m);

/* ------------------------------------------------------- dirty_report.c */

/* A client's bitmap: bit n is page @iova + n * @page_size. */
struct dirty_bitmap {
	uint64_t iova, length, page_size, data;
};

/** dirty_report_check() - page size, alignment left to the caller. 0, -EINVAL, -EOVERFLOW, -EFAULT: no room at @data. */
int dirty_report_check(struct vfio_call *c, const struct dirty_bitmap *b);

/** dirty_report_range() - all of [@first, @last]. 0 or -EFAULT. No lock held. */
int dirty_report_range(struct vfio_call *c, const struct dirty_bitmap *b, uint64_t first,
		       uint64_t last);

/** dirty_report_map() - what @m has; on -EFAULT it keeps it. No lock held. */
int dirty_report_map(struct vfio_call *c, const struct dirty_bitmap *b, struct dirty_map *m,
		     bool clear);

/* ------------------------------------------------------------- dirty_log.c */

/* All under the host lock but the maps. */
struct dirty_log {
	bool on;
	struct list ports;		/* struct dirty_port */
	struct dirty_map left;		/* of functions that are closed */
};

void dirty_log_init(struct dirty_log *dl);
void dirty_log_release(struct dirty_log *dl);

/** dirty_log_start() - on, and empty. Then attach who does DMA already. Host lock. */
void dirty_log_start(struct dirty_log *dl);
/** dirty_log_stop() - off; what it knew is gone. Idempotent. Host lock. */
void dirty_log_stop(struct dirty_log *dl);

/**
 * dirty_log_attach() - what @d writes from now on is in @dl, until @d is closed or @dl stops. Host lock.
 * Before its DMA goes to the IOAS: nothing may be missed. No effect while off. 0 or -ENOMEM.
 */
int dirty_log_attach(struct dirty_log *dl, struct vfio_device *d);
/** dirty_log_leave() - @d is closed and at rest; what it wrote stays known. Host lock. */
void dirty_log_leave(struct vfio_device *d);

/**
 * dirty_log_report() - what a log has, into the client's bitmap. No lock held.
 * @find: called under the host lock: the log if it is (still) there and on, or NULL
 * Return: 0; -EFAULT: nothing is forgotten; -ENOENT: no log; 1: not known, take all that is mapped.
 */
int dirty_log_report(struct vfio_host *h, struct vfio_call *c, const struct dirty_bitmap *b,
		     struct dirty_log *(*find)(void *arg), void *arg, bool clear);

#endif
