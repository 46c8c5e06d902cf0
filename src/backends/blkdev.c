/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * block: a block device of the machine. fallocate() on it promises zeroes
 * where BLKDISCARD promises nothing, so discards are punched holes, and
 * BLKZEROOUT stands in where the device has no such command.
 */
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "backends/backend.h"

static int blkdev_size(struct fd_dev *f, const char *name, uint64_t *size, struct ferry_err *err)
{
	if (ioctl(f->fd, BLKGETSIZE64, size) < 0)
		return ferry_err_set(err, errno, "E-NS-OPEN", NULL, "%s: size unknown: %s", name,
				     strerror(errno));
	return 0;
}

/* Only how much of the device is used; the device itself stays as it is. */
static int blkdev_resize(struct block_dev *d, uint64_t size, struct ferry_err *err)
{
	struct fd_dev *f = container_of(d, struct fd_dev, dev);
	uint64_t have;
	int ret = blkdev_size(f, d->spec, &have, err);

	if (ret)
		return ret;
	if (size > have)
		return ferry_err_set(err, ENOSPC, "E-NS-TOO-LARGE", NULL,
				     "%s has %llu bytes, not %llu", d->spec,
				     (unsigned long long)have, (unsigned long long)size);
	atomic_store(&d->size, size);
	return 0;
}

static const struct block_dev_ops blkdev_ops = {
	.name = "block",
	.submit = fd_submit,
	.resize = blkdev_resize,
	.close = fd_close,
};

/* The logical sector bounds @align from below, with or without O_DIRECT. */
static int blkdev_fit(struct fd_dev *f, const char *path, uint64_t want, struct ferry_err *err)
{
	uint64_t have;
	int sector = 0;
	int ret;

	if (!f->dev.read_only) {
		int ro = 0;

		if (ioctl(f->fd, BLKROGET, &ro) == 0 && ro)
			return ferry_err_set(err, EROFS, "E-NS-READ-ONLY",
					     "ask for a read-only namespace",
					     "%s is a read-only device", path);
	}
	if (ioctl(f->fd, BLKSSZGET, &sector) < 0 || sector > 4096)
		return ferry_err_set(err, EINVAL, "E-NS-TYPE", NULL,
				     "%s has sectors of %d bytes", path, sector);
	if (sector > 512)
		f->dev.align = 4096;
	ret = blkdev_size(f, path, &have, err);
	if (ret)
		return ret;
	if (want > have)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", NULL,
				     "%s has %llu bytes, less than the %llu wanted", path,
				     (unsigned long long)have, (unsigned long long)want);
	have = ALIGN_DOWN(want ? want : have, f->dev.align);
	if (!have)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", NULL, "%s is empty", path);
	atomic_init(&f->dev.size, have);
	return 0;
}

static int blkdev_open(const char *path, uint64_t size, unsigned int flags,
		       struct block_dev **dev, struct ferry_err *err)
{
	struct fd_dev *f;
	bool made;
	int ret;

	ret = fd_dev_open(path, S_IFBLK, flags, false, &f, &made, err);
	if (ret)
		return ret;
	fd_dev_setup(f, flags);
	ret = blkdev_fit(f, path, size, err);
	if (ret) {
		fd_close(&f->dev);
		return ret;
	}
	f->dev.ops = &blkdev_ops;
	*dev = &f->dev;
	return 0;
}

const struct backend blkdev_backend = {
	.name = "block",
	.has_path = true,
	.open = blkdev_open,
};
