/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * struct ferry_mem: runs of client memory, and the kind that is ours.
 */
#include <sys/mman.h>

#include <ferry/env.h>

#include "env/loop.h"

void ferry_mem_put(struct ferry_mem *m)
{
	if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		m->ops->release(m);
}

int mem_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len)
{
	assert(off <= m->size && len <= m->size - off);
	if (!m->base)
		return m->ops->read(m, off, buf, len);
	return copy_guarded(buf, (const char *)m->base + off, len);
}

int mem_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len)
{
	assert(off <= m->size && len <= m->size - off);
	if (!m->base)
		return m->ops->write(m, off, buf, len);
	return copy_guarded((char *)m->base + off, buf, len);
}

static void own_mem_release(struct ferry_mem *m)
{
	munmap(m->base, (size_t)m->size);
	free(m);
}

static const struct ferry_mem_ops own_mem_ops = {
	.release = own_mem_release,
};

struct ferry_mem *ferry_mem_alloc(uint64_t size)
{
	struct ferry_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		free(m);
		return NULL;
	}
	guard_install();
	m->ops = &own_mem_ops;
	m->size = size;
	atomic_init(&m->refs, 1);
	return m;
}
