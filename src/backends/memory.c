/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * memory: a sparse anonymous mapping; gone when it is closed. Each request
 * completes at once. Address space is reserved ahead at open, because a
 * resize must not move the mapping under the strands that use it.
 */
#include <string.h>
#include <sys/mman.h>

#include "backends/backend.h"

#define PAGE 4096ull
#define MEMORY_ROOM_MIN (16ull << 30)

struct memory_dev {
	struct block_dev dev;
	char *base;
	uint64_t room;		/* reserved */
};

static int memory_move(struct memory_dev *m, struct block_req *req)
{
	char *p = m->base + req->off;
	unsigned int i;

	for (i = 0; i < req->niov; i++) {
		const struct iovec *v = &req->iov[i];
		int err;

		if (req->op == BLOCK_READ)
			err = copy_guarded(v->iov_base, p, v->iov_len);
		else
			err = copy_guarded(p, v->iov_base, v->iov_len);
		if (err)
			return err;
		p += v->iov_len;
	}
	return 0;
}

/* Whole pages go back to the kernel, which gives zeroes for them; the edges are cleared. */
static void memory_zero(struct memory_dev *m, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	uint64_t first = ALIGN_UP(off, PAGE), last = ALIGN_DOWN(end, PAGE);

	if (first >= last || madvise(m->base + first, last - first, MADV_DONTNEED)) {
		memset(m->base + off, 0, len);
		return;
	}
	memset(m->base + off, 0, first - off);
	memset(m->base + last, 0, end - last);
}

static int memory_submit(struct block_dev *d, struct block_req *req)
{
	struct memory_dev *m = container_of(d, struct memory_dev, dev);

	switch (req->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return memory_move(m, req);
	case BLOCK_FLUSH:
		return 0;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		memory_zero(m, req->off, req->len);
		return 0;
	}
	return -EINVAL;
}

static int memory_resize(struct block_dev *d, uint64_t size, struct ferry_err *err)
{
	struct memory_dev *m = container_of(d, struct memory_dev, dev);
	uint64_t old = atomic_load(&d->size);

	if (size > m->room)
		return ferry_err_set(err, ENOMEM, "E-NS-TOO-LARGE", "open it anew with that size",
				     "memory: room for %llu bytes was reserved, not for %llu",
				     (unsigned long long)m->room, (unsigned long long)size);
	atomic_store(&d->size, size);
	if (size < old)
		memory_zero(m, size, old - size);
	return 0;
}

static void memory_close(struct block_dev *d)
{
	struct memory_dev *m = container_of(d, struct memory_dev, dev);

	munmap(m->base, m->room);
	free(m);
}

static const struct block_dev_ops memory_ops = {
	.name = "memory",
	.submit = memory_submit,
	.resize = memory_resize,
	.close = memory_close,
};

static int memory_open(const char *path, uint64_t size, unsigned int flags,
		       struct block_dev **dev, struct ferry_err *err)
{
	struct memory_dev *m;

	(void)path;
	size = ALIGN_DOWN(size, 512);
	if (!size)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", "give it a size",
				     "memory: less than one block of 512 bytes");
	m = calloc(1, sizeof(*m));
	if (!m)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "memory: out of memory");
	m->room = ALIGN_UP(MAX(size, MEMORY_ROOM_MIN), PAGE);
	m->base = mmap(NULL, m->room, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED && m->room > size) {
		m->room = ALIGN_UP(size, PAGE);		/* under a limit of address space */
		m->base = mmap(NULL, m->room, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	if (m->base == MAP_FAILED) {
		int num = errno;

		free(m);
		return ferry_err_set(err, num, "E-NO-MEMORY", NULL,
				     "memory: cannot map %llu bytes: %s",
				     (unsigned long long)size, strerror(num));
	}
	madvise(m->base, m->room, MADV_DONTDUMP);
	m->dev.ops = &memory_ops;
	m->dev.align = 512;
	m->dev.read_only = flags & BLOCK_OPEN_RDONLY;
	atomic_init(&m->dev.size, size);
	*dev = &m->dev;
	return 0;
}

const struct backend memory_backend = {
	.name = "memory",
	.open = memory_open,
};
