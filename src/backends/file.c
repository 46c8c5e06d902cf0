/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * file: a regular file, sparse where the file system allows it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/backend.h"

#define FILE_MIN 4096u

/* Requests beyond the new end are refused before the file loses them, and accepted after it has them. */
static int file_resize(struct block_dev *d, uint64_t size, struct ferry_err *err)
{
	struct fd_dev *f = container_of(d, struct fd_dev, dev);
	uint64_t old = atomic_load(&d->size);

	if (size < FILE_MIN)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", NULL,
				     "%s: less than %u bytes", d->spec, FILE_MIN);
	if (size < old)
		atomic_store(&d->size, size);
	if (ftruncate(f->fd, (off_t)size) < 0) {
		int num = errno;

		atomic_store(&d->size, old);
		return ferry_err_set(err, num, "E-NS-RESIZE", NULL,
				     "%s cannot be made %llu bytes: %s", d->spec,
				     (unsigned long long)size, strerror(num));
	}
	atomic_store(&d->size, size);
	return 0;
}

static void file_refresh(struct block_dev *d)
{
	struct fd_dev *f = container_of(d, struct fd_dev, dev);
	struct stat sb;

	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!fstat(f->fd, &sb) && sb.st_size >= (off_t)FILE_MIN)
		atomic_store(&d->size, ALIGN_DOWN((uint64_t)sb.st_size, d->align));
}

static const struct block_dev_ops file_ops = {
	.name = "file",
	.submit = fd_submit,
	.resize = file_resize,
	.refresh = file_refresh,
	.close = fd_close,
};

/* Make the file @size bytes if it has fewer; @size becomes what it has. */
static int file_fit(struct fd_dev *f, const char *path, uint64_t *size, struct ferry_err *err)
{
	struct stat sb;

	if (fstat(f->fd, &sb) < 0)
		return ferry_err_set(err, errno, "E-NS-OPEN", NULL, "%s: %s", path,
				     strerror(errno));
	if ((uint64_t)sb.st_size >= *size)
		*size = (uint64_t)sb.st_size;
	if (*size < FILE_MIN)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", "give a size",
				     "%s: %llu bytes are less than %u", path,
				     (unsigned long long)*size, FILE_MIN);
	if ((uint64_t)sb.st_size == *size)
		return 0;
	if (f->dev.read_only)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL",
				     "a read-only namespace takes the file as it is",
				     "%s has only %llu bytes", path,
				     (unsigned long long)sb.st_size);
	if (ftruncate(f->fd, (off_t)*size) < 0)
		return ferry_err_set(err, errno, "E-NS-RESIZE", NULL,
				     "%s cannot be made %llu bytes: %s", path,
				     (unsigned long long)*size, strerror(errno));
	return 0;
}

static int file_open(const char *path, uint64_t size, unsigned int flags, struct block_dev **dev,
		     struct ferry_err *err)
{
	struct fd_dev *f;
	bool made;
	int ret;

	ret = fd_dev_open(path, S_IFREG, flags, (flags & BLOCK_OPEN_CREATE) && size, &f, &made,
			  err);
	if (ret)
		return ret;
	ret = file_fit(f, path, &size, err);
	if (ret) {
		if (made)
			unlink(path);
		fd_close(&f->dev);
		return ret;
	}
	fd_dev_setup(f, flags);
	f->dev.ops = &file_ops;
	atomic_init(&f->dev.size, ALIGN_DOWN(size, f->dev.align));
	*dev = &f->dev;
	return 0;
}

const struct backend file_backend = {
	.name = "file",
	.has_path = true,
	.open = file_open,
};
