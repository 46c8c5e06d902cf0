/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * null: no data movement at all. Writes go nowhere; reads succeed and leave
 * the buffer as it was, so a guest sees whatever its memory held. For
 * measuring everything but storage; never for data.
 */
#include "backends/backend.h"

#define NULL_DEFAULT_SIZE (1ull << 30)

static int null_submit(struct block_dev *d, struct block_req *req)
{
	(void)d;
	(void)req;
	return 0;
}

static int null_resize(struct block_dev *d, uint64_t size, struct ferry_err *err)
{
	(void)err;
	atomic_store(&d->size, size);
	return 0;
}

static void null_close(struct block_dev *d)
{
	free(d);
}

static const struct block_dev_ops null_ops = {
	.name = "null",
	.submit = null_submit,
	.resize = null_resize,
	.close = null_close,
};

static int null_open(const char *path, uint64_t size, unsigned int flags, struct block_dev **dev,
		     struct ferry_err *err)
{
	struct block_dev *d;

	(void)path;
	size = ALIGN_DOWN(size ? size : NULL_DEFAULT_SIZE, 512);
	if (!size)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", NULL,
				     "null: less than one block of 512 bytes");
	d = calloc(1, sizeof(*d));
	if (!d)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "null: out of memory");
	d->ops = &null_ops;
	d->align = 512;
	d->read_only = flags & BLOCK_OPEN_RDONLY;
	atomic_init(&d->size, size);
	*dev = d;
	return 0;
}

const struct backend null_backend = {
	.name = "null",
	.open = null_open,
};
