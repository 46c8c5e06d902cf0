/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Block backends: where the data of a namespace is. One block_dev may serve
 * several functions, each from its own strand, at the same time; nothing in
 * it is written after open but what is atomic.
 */
#ifndef FERRY_BLOCK_H
#define FERRY_BLOCK_H

#include <ferry/env.h>

struct block_dev;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,		/* reads as zeroes afterwards */
	BLOCK_WRITE_ZEROES,
};

#define BLOCK_FUA   1u	/* WRITE, WRITE_ZEROES: durable before completion */
#define BLOCK_UNMAP 2u	/* WRITE_ZEROES: may deallocate */

/**
 * struct block_req - one request
 * @off, @len: bytes, multiples of the device's block size, inside the device
 * @iov:  READ, WRITE: @len bytes in all, any alignment; may be client memory.
 *        Valid until completion.
 * @done: called exactly once, with @st held on its worker, if block_submit()
 *        returned -EINPROGRESS; 0 or -errno for the whole request: short
 *        transfers were continued.
 */
struct block_req {
	enum block_op op;
	unsigned int flags;
	uint64_t off, len;
	const struct iovec *iov;
	unsigned int niov;
	struct env_strand *st;
	void (*done)(struct block_req *req, int err);
	/* The backend's, until completion. */
	struct block_dev *dev;
	struct env_io io;
	uint64_t done_len;
	void *bounce;
	struct iovec *tail;	/* what is left of @iov after a short transfer */
	int err;
	unsigned int stage;
};

struct block_dev_ops {
	const char *name;
	/* Required. As block_submit(). */
	int (*submit)(struct block_dev *d, struct block_req *req);
	/* Optional. Grow or shrink the store, -EOPNOTSUPP if NULL. Control plane; may block. */
	int (*resize)(struct block_dev *d, uint64_t size, struct ferry_err *err);
	/* Optional. As block_refresh(). */
	void (*refresh)(struct block_dev *d);
	/* Required. No request in flight. */
	void (*close)(struct block_dev *d);
};

struct block_dev {
	const struct block_dev_ops *ops;
	_Atomic uint64_t size;		/* bytes */
	uint32_t align;			/* offsets and lengths: 512 or 4096 */
	bool read_only;
	bool volatile_cache;		/* FLUSH and FUA mean something */
	char spec[320];			/* as given to block_open() */
	atomic_uint refs;
};

/**
 * block_open() - open a backend. Control plane; may block.
 * @spec: "null", "memory", "file:PATH", "block:PATH"
 * @size: bytes; for null and memory the size; for a file: create or grow it to
 *        @size if it is shorter, 0 takes it as it is; for a block device: at most
 * @flags: BLOCK_OPEN_*
 *
 * A file or block device is locked (OFD write lock): a second opener in any
 * process gets -EBUSY, E-NS-IN-USE; those that all say SHARED don't exclude each other. A file that block_open() made is removed
 * again when it then fails.
 * Return: 0, or -errno with @err filled.
 */
#define BLOCK_OPEN_RDONLY 1u
#define BLOCK_OPEN_CREATE 2u	/* the file may be made */
#define BLOCK_OPEN_BUFFERED 4u	/* no O_DIRECT even where it can be had */
#define BLOCK_OPEN_SHARED 8u	/* others may open it so too: ferry/owner.h says who writes */
int block_open(const char *spec, uint64_t size, unsigned int flags, struct block_dev **dev,
	       struct ferry_err *err);
struct block_dev *block_get(struct block_dev *d);
/** block_put() - the last one closes. */
void block_put(struct block_dev *d);
int block_resize(struct block_dev *d, uint64_t size, struct ferry_err *err);
/** block_refresh() - another host wrote it: forget what is cached, take its size anew. Nothing in flight; may block. */
void block_refresh(struct block_dev *d);

/**
 * block_submit() - start a request; the strand @req->st is held
 * Return: 0 done already (no callback); -EINPROGRESS: @req->done will be
 * called; else -errno, failed already (no callback).
 */
int block_submit(struct block_dev *d, struct block_req *req);

#endif
