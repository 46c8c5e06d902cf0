/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What the backends share. Private to src/backends.
 */
#ifndef BACKENDS_BACKEND_H
#define BACKENDS_BACKEND_H

#include <ferry/block.h>

/**
 * struct backend - a kind of spec, "NAME" or "NAME:PATH"
 * @open: @path is what follows the colon, "" without one. Fills everything of
 *        the device but spec, refs.
 */
struct backend {
	const char *name;
	bool has_path;
	int (*open)(const char *path, uint64_t size, unsigned int flags, struct block_dev **dev,
		    struct ferry_err *err);
};

extern const struct backend null_backend, memory_backend, file_backend, blkdev_backend;

/**
 * struct fd_dev - a block_dev on a file descriptor (fd.c)
 * @mem_align: of each iov element's address; 1 without O_DIRECT
 * @sync_failed: an fdatasync failed once. The kernel may have dropped the
 *        pages, so no later one proves anything: all fail.
 * @no_punch, @no_zero: the file system said EOPNOTSUPP
 */
struct fd_dev {
	struct block_dev dev;
	int fd;
	bool direct, is_blkdev;
	uint32_t mem_align;
	atomic_bool sync_failed, no_punch, no_zero;
};

/**
 * fd_dev_open() - open and lock @path
 * @type: S_IFREG or S_IFBLK, anything else is refused
 * @create: make the file if it is not there
 * @made: whether it was made
 */
int fd_dev_open(const char *path, mode_t type, unsigned int flags, bool create,
		struct fd_dev **dev, bool *made, struct ferry_err *err);

/** fd_dev_setup() - O_DIRECT and alignment, once the file is as it will stay. */
void fd_dev_setup(struct fd_dev *f, unsigned int flags);

int fd_submit(struct block_dev *d, struct block_req *req);
void fd_close(struct block_dev *d);

#endif
