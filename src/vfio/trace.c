/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ioctls as text. One table: number, which files take it, name, and the fields
 * of its structure in the order in which they are shown.
 */
#include <stdio.h>

#include "vfio/internal.h"

enum { ON_C = 1 << VFIO_FILE_CONTAINER, ON_G = 1 << VFIO_FILE_GROUP, ON_D = 1 << VFIO_FILE_DEVICE,
       ON_I = 1 << VFIO_FILE_IOMMUFD, ON_M = 1 << VFIO_FILE_MIG };

struct field {
	const char *name;
	uint16_t off;
	uint8_t len;
	char fmt;		/* x: hex, u: unsigned, d: signed, s: text */
};

#define FIELDS_MAX 8

struct entry {
	unsigned int cmd, on;
	const char *name;
	struct field f[FIELDS_MAX];
};

#define HEAD { "argsz", 0, 4, 'u' }, { "flags", 4, 4, 'x' }

static const struct entry entries[] = {
	{ VFIO_GET_API_VERSION, ON_C | ON_I, "GET_API_VERSION", { { 0 } } },
	{ VFIO_CHECK_EXTENSION, ON_C | ON_I, "CHECK_EXTENSION", { { 0 } } },
	{ VFIO_SET_IOMMU, ON_C | ON_I, "SET_IOMMU", { { 0 } } },
	{ VFIO_IOMMU_GET_INFO, ON_C | ON_I, "IOMMU_GET_INFO", { HEAD } },
	{ VFIO_IOMMU_MAP_DMA, ON_C | ON_I, "IOMMU_MAP_DMA",
	  { HEAD, { "vaddr", 8, 8, 'x' }, { "iova", 16, 8, 'x' }, { "size", 24, 8, 'x' } } },
	{ VFIO_IOMMU_UNMAP_DMA, ON_C | ON_I, "IOMMU_UNMAP_DMA",
	  { HEAD, { "iova", 8, 8, 'x' }, { "size", 16, 8, 'x' } } },
	{ VFIO_IOMMU_ENABLE, ON_C | ON_I, "IOMMU_ENABLE", { { 0 } } },
	{ VFIO_IOMMU_DISABLE, ON_C | ON_I, "IOMMU_DISABLE", { { 0 } } },
	{ VFIO_IOMMU_DIRTY_PAGES, ON_C | ON_I, "IOMMU_DIRTY_PAGES",
	  { HEAD, { "iova", 8, 8, 'x' }, { "size", 16, 8, 'x' }, { "pgsize", 24, 8, 'x' },
	    { "bitmap_size", 32, 8, 'x' }, { "data", 40, 8, 'x' } } },
	{ VFIO_GROUP_GET_STATUS, ON_G, "GROUP_GET_STATUS", { HEAD } },
	{ VFIO_GROUP_SET_CONTAINER, ON_G, "GROUP_SET_CONTAINER", { { "fd", 0, 4, 'd' } } },
	{ VFIO_GROUP_UNSET_CONTAINER, ON_G, "GROUP_UNSET_CONTAINER", { { 0 } } },
	{ VFIO_GROUP_GET_DEVICE_FD, ON_G, "GROUP_GET_DEVICE_FD", { { "name", 0, 0, 's' } } },
	{ VFIO_DEVICE_GET_INFO, ON_D, "DEVICE_GET_INFO", { HEAD } },
	{ VFIO_DEVICE_GET_REGION_INFO, ON_D, "DEVICE_GET_REGION_INFO",
	  { HEAD, { "index", 8, 4, 'u' } } },
	{ VFIO_DEVICE_GET_IRQ_INFO, ON_D, "DEVICE_GET_IRQ_INFO", { HEAD, { "index", 8, 4, 'u' } } },
	{ VFIO_DEVICE_SET_IRQS, ON_D, "DEVICE_SET_IRQS",
	  { HEAD, { "index", 8, 4, 'u' }, { "start", 12, 4, 'u' }, { "count", 16, 4, 'u' },
	    { "first", 20, 4, 'd' } } },
	{ VFIO_DEVICE_RESET, ON_D, "DEVICE_RESET", { { 0 } } },
	{ VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, ON_D, "DEVICE_GET_PCI_HOT_RESET_INFO",
	  { HEAD, { "count", 8, 4, 'u' } } },
	{ VFIO_DEVICE_PCI_HOT_RESET, ON_D, "DEVICE_PCI_HOT_RESET",
	  { HEAD, { "count", 8, 4, 'u' }, { "first", 12, 4, 'd' } } },
	{ VFIO_DEVICE_QUERY_GFX_PLANE, ON_D, "DEVICE_QUERY_GFX_PLANE", { HEAD } },
	{ VFIO_DEVICE_GET_GFX_DMABUF, ON_D, "DEVICE_GET_GFX_DMABUF", { { 0 } } },
	{ VFIO_DEVICE_IOEVENTFD, ON_D, "DEVICE_IOEVENTFD",
	  { HEAD, { "offset", 8, 8, 'x' }, { "data", 16, 8, 'x' }, { "fd", 24, 4, 'd' } } },
	{ VFIO_DEVICE_FEATURE, ON_D, "DEVICE_FEATURE", { HEAD } },
	{ VFIO_DEVICE_BIND_IOMMUFD, ON_D, "DEVICE_BIND_IOMMUFD", { HEAD, { "iommufd", 8, 4, 'd' } } },
	{ VFIO_DEVICE_ATTACH_IOMMUFD_PT, ON_D, "DEVICE_ATTACH_IOMMUFD_PT",
	  { HEAD, { "pt_id", 8, 4, 'u' } } },
	{ VFIO_DEVICE_DETACH_IOMMUFD_PT, ON_D, "DEVICE_DETACH_IOMMUFD_PT", { HEAD } },
	{ VFIO_MIG_GET_PRECOPY_INFO, ON_M, "MIG_GET_PRECOPY_INFO", { HEAD } },
	{ IOMMU_DESTROY, ON_I, "IOMMU_DESTROY", { { "id", 4, 4, 'u' } } },
	{ IOMMU_IOAS_ALLOC, ON_I, "IOMMU_IOAS_ALLOC", { { "flags", 4, 4, 'x' } } },
	{ IOMMU_IOAS_ALLOW_IOVAS, ON_I, "IOMMU_IOAS_ALLOW_IOVAS",
	  { { "ioas", 4, 4, 'u' }, { "num", 8, 4, 'u' } } },
	{ IOMMU_IOAS_COPY, ON_I, "IOMMU_IOAS_COPY",
	  { { "flags", 4, 4, 'x' }, { "dst", 8, 4, 'u' }, { "src", 12, 4, 'u' },
	    { "length", 16, 8, 'x' }, { "dst_iova", 24, 8, 'x' }, { "src_iova", 32, 8, 'x' } } },
	{ IOMMU_IOAS_IOVA_RANGES, ON_I, "IOMMU_IOAS_IOVA_RANGES",
	  { { "ioas", 4, 4, 'u' }, { "num", 8, 4, 'u' } } },
	{ IOMMU_IOAS_MAP, ON_I, "IOMMU_IOAS_MAP",
	  { { "flags", 4, 4, 'x' }, { "ioas", 8, 4, 'u' }, { "user_va", 16, 8, 'x' },
	    { "length", 24, 8, 'x' }, { "iova", 32, 8, 'x' } } },
	{ IOMMU_IOAS_UNMAP, ON_I, "IOMMU_IOAS_UNMAP",
	  { { "ioas", 4, 4, 'u' }, { "iova", 8, 8, 'x' }, { "length", 16, 8, 'x' } } },
	{ IOMMU_OPTION, ON_I, "IOMMU_OPTION",
	  { { "option", 4, 4, 'u' }, { "op", 8, 2, 'u' }, { "object", 12, 4, 'u' },
	    { "val", 16, 8, 'x' } } },
	{ IOMMU_VFIO_IOAS, ON_I, "IOMMU_VFIO_IOAS", { { "ioas", 4, 4, 'u' }, { "op", 8, 2, 'u' } } },
	{ IOMMU_HWPT_ALLOC, ON_I, "IOMMU_HWPT_ALLOC",
	  { { "flags", 4, 4, 'x' }, { "dev", 8, 4, 'u' }, { "pt", 12, 4, 'u' },
	    { "data_type", 24, 4, 'u' }, { "data_len", 28, 4, 'u' } } },
	{ IOMMU_GET_HW_INFO, ON_I, "IOMMU_GET_HW_INFO",
	  { { "flags", 4, 4, 'x' }, { "dev", 8, 4, 'u' }, { "data_len", 12, 4, 'u' } } },
	{ IOMMU_HWPT_SET_DIRTY_TRACKING, ON_I, "IOMMU_HWPT_SET_DIRTY_TRACKING",
	  { { "flags", 4, 4, 'x' }, { "hwpt", 8, 4, 'u' } } },
	{ IOMMU_HWPT_GET_DIRTY_BITMAP, ON_I, "IOMMU_HWPT_GET_DIRTY_BITMAP",
	  { { "hwpt", 4, 4, 'u' }, { "flags", 8, 4, 'x' }, { "iova", 16, 8, 'x' },
	    { "length", 24, 8, 'x' }, { "page_size", 32, 8, 'x' } } },
	{ IOMMU_HWPT_INVALIDATE, ON_I, "IOMMU_HWPT_INVALIDATE", { { "hwpt", 4, 4, 'u' } } },
	{ IOMMU_FAULT_QUEUE_ALLOC, ON_I, "IOMMU_FAULT_QUEUE_ALLOC", { { "flags", 4, 4, 'x' } } },
	{ IOMMU_IOAS_MAP_FILE, ON_I, "IOMMU_IOAS_MAP_FILE",
	  { { "flags", 4, 4, 'x' }, { "ioas", 8, 4, 'u' }, { "fd", 12, 4, 'd' },
	    { "start", 16, 8, 'x' }, { "length", 24, 8, 'x' }, { "iova", 32, 8, 'x' } } },
	{ IOMMU_VIOMMU_ALLOC, ON_I, "IOMMU_VIOMMU_ALLOC", { { 0 } } },
	{ IOMMU_VDEVICE_ALLOC, ON_I, "IOMMU_VDEVICE_ALLOC", { { 0 } } },
	{ IOMMU_IOAS_CHANGE_PROCESS, ON_I, "IOMMU_IOAS_CHANGE_PROCESS", { { 0 } } },
	{ IOMMU_VEVENTQ_ALLOC, ON_I, "IOMMU_VEVENTQ_ALLOC", { { 0 } } },
	{ IOMMU_HW_QUEUE_ALLOC, ON_I, "IOMMU_HW_QUEUE_ALLOC", { { 0 } } },
};

static const struct entry *entry_find(enum vfio_file_type type, unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].cmd == cmd && (entries[i].on & 1u << type))
			return &entries[i];
	return NULL;
}

const char *vfio_ioctl_name(enum vfio_file_type type, unsigned int cmd)
{
	const struct entry *e = entry_find(type, cmd);

	return e ? e->name : NULL;
}

struct text {
	char *out;
	size_t len, at;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->at >= t->len)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->out + t->at, t->len - t->at, fmt, ap);
	va_end(ap);
	t->at += n > 0 ? (size_t)n : 0;
}

static void say_text(struct text *t, const char *name, const uint8_t *p, size_t len)
{
	size_t i;

	say(t, " %s=\"", name);
	for (i = 0; i < len && p[i] && i < 80; i++)
		say(t, p[i] >= ' ' && p[i] < 0x7f && p[i] != '"' ? "%c" : "\\x%02x", p[i]);
	say(t, "\"");
}

static void say_field(struct text *t, const struct field *f, const uint8_t *arg, size_t len)
{
	uint64_t v = 0;
	unsigned int i = f->len;

	if (f->fmt == 's') {
		say_text(t, f->name, arg, len);
		return;
	}
	if ((size_t)f->off + f->len > len)
		return;
	while (i--)
		v = v << 8 | arg[f->off + i];
	if (f->fmt == 'x')
		say(t, " %s=0x%llx", f->name, (unsigned long long)v);
	else if (f->fmt == 'd')
		say(t, " %s=%d", f->name, (int)(int32_t)v);
	else
		say(t, " %s=%llu", f->name, (unsigned long long)v);
}

/* The flags of the two that are all flags, in words. */
static void say_words(struct text *t, unsigned int cmd, const uint8_t *arg, size_t len)
{
	static const struct { uint32_t bit; const char *word; } irq[] = {
		{ VFIO_IRQ_SET_DATA_NONE, "none" },     { VFIO_IRQ_SET_DATA_BOOL, "bool" },
		{ VFIO_IRQ_SET_DATA_EVENTFD, "eventfd" }, { VFIO_IRQ_SET_ACTION_MASK, "mask" },
		{ VFIO_IRQ_SET_ACTION_UNMASK, "unmask" }, { VFIO_IRQ_SET_ACTION_TRIGGER, "trigger" },
	};
	uint32_t flags;
	unsigned int i;

	if (len < 8)
		return;
	memcpy(&flags, arg + 4, sizeof(flags));
	if (cmd == VFIO_DEVICE_SET_IRQS)
		for (i = 0; i < ARRAY_SIZE(irq); i++)
			if (flags & irq[i].bit)
				say(t, " %s", irq[i].word);
	if (cmd == VFIO_DEVICE_FEATURE)
		say(t, " feature=%u%s%s%s", flags & VFIO_DEVICE_FEATURE_MASK,
		    flags & VFIO_DEVICE_FEATURE_GET ? " get" : "",
		    flags & VFIO_DEVICE_FEATURE_SET ? " set" : "",
		    flags & VFIO_DEVICE_FEATURE_PROBE ? " probe" : "");
}

void vfio_trace_ioctl(enum vfio_file_type type, unsigned int cmd, const void *arg, size_t len,
		      char *out, size_t out_len)
{
	const struct entry *e = entry_find(type, cmd);
	struct text t = { out, out_len, 0 };
	unsigned int i;

	if (!out_len)
		return;
	out[0] = '\0';
	if (!e) {
		say(&t, "ioctl 0x%x", cmd);
		return;
	}
	say(&t, "%s", e->name);
	for (i = 0; i < FIELDS_MAX && e->f[i].name; i++)
		say_field(&t, &e->f[i], arg, len);
	if (type == VFIO_FILE_DEVICE)
		say_words(&t, cmd, arg, len);
}
