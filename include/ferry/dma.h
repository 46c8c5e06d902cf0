/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What a function's bus addresses lead to. An IOAS (src/vfio) gives each
 * function attached to it a table of its own, changed or swapped under its
 * strand. So a look-up takes no lock but the strand that its caller
 * holds anyway, and an unmap is over when every attached function has taken
 * the new table and given back what it held of the old one.
 */
#ifndef FERRY_DMA_H
#define FERRY_DMA_H

#include <ferry/env.h>

struct pci_function;

#define DMA_READ  1u	/* the device may read */
#define DMA_WRITE 2u	/* the device may write */

struct dma_range {
	uint64_t iova, last;	/* inclusive */
	struct ferry_mem *mem;	/* referenced */
	uint64_t off;		/* of @iova in @mem */
	unsigned int perm;
};

/*
 * Sorted by iova, no overlaps. Looked at under the strand of the function that
 * has it; whoever published it to that function alone may change it under the
 * same strand, ending with pci_dma_set() where something went away.
 */
struct dma_table {
	atomic_uint refs;
	unsigned int nr;
	struct dma_range r[];
};

/** dma_table_alloc() - @nr empty ranges, one reference; NULL without memory. */
struct dma_table *dma_table_alloc(unsigned int nr);
struct dma_table *dma_table_get(struct dma_table *t);
/** dma_table_put() - the last one puts every range's memory. Any thread. */
void dma_table_put(struct dma_table *t);

/** dma_table_find() - the range that holds @iova, or NULL. */
const struct dma_range *dma_table_find(const struct dma_table *t, uint64_t iova);

/* Told of every page the device writes: the dirty log of an IOAS or of the function. Strand held. */
struct dma_log {
	void (*written)(struct dma_log *log, uint64_t iova, uint64_t len);
	struct list link;
};

/**
 * struct dma_fence - told when no access under an older table is left
 * @pending: functions still to come; the owner counts, dma_set() adds to it
 * @done: called once when it falls to zero, with no lock but a strand held.
 */
struct dma_fence {
	atomic_uint pending;
	void (*done)(struct dma_fence *f);
};

/* A generation of a function's table with accesses in flight. Private to src/pci/dma.c. */
struct dma_hold;

/**
 * pci_dma_set() - the function now sees @t (NULL: nothing is mapped). Strand held.
 * @t: the function takes a reference of its own
 * @fence: or NULL. If accesses through the former table or one before it are in
 *         flight, counts in @fence->pending and completes it when they are
 *         over; otherwise it is not touched. The owner keeps one count of its
 *         own until it has set the last function.
 */
void pci_dma_set(struct pci_function *fn, struct dma_table *t, struct dma_fence *fence);

/**
 * pci_dma_read(), pci_dma_write() - synchronous copy from, to bus addresses. Strand held.
 * Return: 0, or -EFAULT: not mapped, no permission, bus master off, or the
 * page is gone. Logged, rate-limited, with function, IOVA and direction.
 * Part of it may have been copied.
 */
int pci_dma_read(struct pci_function *fn, uint64_t iova, void *buf, size_t len);
int pci_dma_write(struct pci_function *fn, uint64_t iova, const void *buf, size_t len);

/**
 * pci_dma_hold() - keep what is mapped now alive for an asynchronous access
 * Never NULL. pci_dma_unhold() gives it back; both with the strand held.
 */
struct dma_hold *pci_dma_hold(struct pci_function *fn);
void pci_dma_unhold(struct pci_function *fn, struct dma_hold *h);

/**
 * pci_dma_iov() - the memory behind [@iova, @iova + @len), for the kernel to read or write
 * @dir: DMA_READ or DMA_WRITE, seen from the device
 * @iov: room for @max elements; touching neighbours are merged with @iov[*@nr - 1]
 * @nr:  in: elements in use, out: after adding
 * Valid while @h (the current hold) is held.
 * Return: 0; -EFAULT as pci_dma_read(); -EOPNOTSUPP: not mapped into this
 * process, copy with pci_dma_read/write(); -E2BIG: @max is too small.
 */
int pci_dma_iov(struct pci_function *fn, struct dma_hold *h, uint64_t iova, uint64_t len,
		unsigned int dir, struct iovec *iov, unsigned int max, unsigned int *nr);

/** pci_dma_written() - [@iova, @iova + @len) was written through an iovec: log it. Strand held. */
void pci_dma_written(struct pci_function *fn, uint64_t iova, uint64_t len);

/**
 * pci_dma_ptr() - the page of ours behind [@iova, @iova + @len), for polling
 * @len: does not cross a 4 KiB page
 * Only for load_guarded32()/store_guarded32()/copy_guarded(), and only until the strand is given up;
 * stores must be followed by pci_dma_written().
 * Return: NULL if not mapped into this process with permission @dir.
 */
void *pci_dma_ptr(struct pci_function *fn, uint64_t iova, uint64_t len, unsigned int dir);

#endif
