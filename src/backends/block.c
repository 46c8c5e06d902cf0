/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * block_dev: opening by spec, references, and the checks that every backend
 * relies on.
 */
#include <stdio.h>
#include <string.h>

#include "backends/backend.h"

static const struct backend *const backends[] = {
	&null_backend, &memory_backend, &file_backend, &blkdev_backend,
};

static const struct backend *backend_find(const char *spec, const char **path)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		const struct backend *b = backends[i];
		size_t n = strlen(b->name);

		if (strncmp(spec, b->name, n) != 0)
			continue;
		if (b->has_path && spec[n] == ':' && spec[n + 1]) {
			*path = spec + n + 1;
			return b;
		}
		if (!b->has_path && !spec[n]) {
			*path = "";
			return b;
		}
	}
	return NULL;
}

int block_open(const char *spec, uint64_t size, unsigned int flags, struct block_dev **dev,
	       struct ferry_err *err)
{
	const struct backend *b;
	struct block_dev *d;
	const char *path;
	int ret;

	b = backend_find(spec, &path);
	if (!b)
		return ferry_err_set(err, EINVAL, "E-NS-SPEC",
				     "write null, memory, file:PATH or block:PATH",
				     "\"%.200s\" names no backend", spec);
	if (strlen(spec) >= sizeof(d->spec))
		return ferry_err_set(err, ENAMETOOLONG, "E-NS-SPEC", NULL,
				     "the name of the backend is longer than %zu bytes",
				     sizeof(d->spec) - 1);
	if (size > INT64_MAX)
		return ferry_err_set(err, EFBIG, "E-NS-TOO-LARGE", NULL,
				     "%s: %llu bytes is more than a file can have", spec,
				     (unsigned long long)size);
	ret = b->open(path, size, flags, &d, err);
	if (ret)
		return ret;
	snprintf(d->spec, sizeof(d->spec), "%s", spec);
	atomic_init(&d->refs, 1);
	*dev = d;
	return 0;
}

struct block_dev *block_get(struct block_dev *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void block_put(struct block_dev *d)
{
	if (d && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
		d->ops->close(d);
}

int block_resize(struct block_dev *d, uint64_t size, struct ferry_err *err)
{
	if (!d->ops->resize)
		return ferry_err_set(err, EOPNOTSUPP, "E-NS-RESIZE", NULL,
				     "%s cannot change its size", d->spec);
	if (d->read_only)
		return ferry_err_set(err, EROFS, "E-NS-READ-ONLY", NULL,
				     "%s was opened for reading only", d->spec);
	if (!size || size > INT64_MAX || !IS_ALIGNED(size, d->align))
		return ferry_err_set(err, EINVAL, "E-NS-SIZE", NULL,
				     "%s: a size of %llu bytes is no positive multiple of %u",
				     d->spec, (unsigned long long)size, d->align);
	return d->ops->resize(d, size, err);
}

void block_refresh(struct block_dev *d)
{
	if (d->ops->refresh)
		d->ops->refresh(d);
}

static bool iov_fits(const struct block_req *req)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < req->niov; i++) {
		if (req->iov[i].iov_len > req->len - sum)
			return false;
		sum += req->iov[i].iov_len;
	}
	return sum == req->len;
}

int block_submit(struct block_dev *d, struct block_req *req)
{
	uint64_t size = atomic_load(&d->size);

	if (d->read_only && req->op != BLOCK_READ && req->op != BLOCK_FLUSH)
		return -EROFS;
	if (req->op != BLOCK_FLUSH) {
		if (req->off > size || req->len > size - req->off)
			return -EINVAL;
		if (!IS_ALIGNED(req->off | req->len, d->align))
			return -EINVAL;
		if (!req->len)
			return 0;
	}
	if ((req->op == BLOCK_READ || req->op == BLOCK_WRITE) && !iov_fits(req))
		return -EINVAL;
	req->dev = d;
	req->done_len = 0;
	req->bounce = NULL;
	req->tail = NULL;
	req->err = 0;
	req->stage = 0;
	return d->ops->submit(d, req);
}
