/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Regions: BARs and configuration space as parts of the device file, region i
 * at offset i << 40. A BAR is offered with the areas of it that a client may
 * map without the function being polled; more than those may be mapped all the
 * same, because real programs do it.
 */
#include "vfio/internal.h"

static uint64_t region_size(const struct vfio_device *d, unsigned int index)
{
	if (index < PCI_BARS)
		return d->fn->shape.bar[index].size;
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? d->config->size : 0;
}

static void sparse_add(struct user_chain *ch, const struct pci_bar *b)
{
	struct vfio_region_info_cap_sparse_mmap *s;
	unsigned int i;

	s = user_chain_add(ch, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1,
			   (uint32_t)(sizeof(*s) + b->nr_safe * sizeof(s->areas[0])));
	s->nr_areas = b->nr_safe;
	for (i = 0; i < b->nr_safe; i++) {
		s->areas[i].offset = b->safe[i].off;
		s->areas[i].size = b->safe[i].len;
	}
}

int64_t region_info(struct vfio_device *d, struct vfio_call *call, uint64_t arg)
{
	const struct pci_shape *sh = &d->fn->shape;
	struct vfio_region_info info;
	struct user_chain ch = { .len = 0 };
	int ret = user_in(call, arg, &info, sizeof(info));

	if (ret < 0)
		return ret;
	/* VGA is there for display devices only. */
	if (info.index >= VFIO_PCI_NUM_REGIONS || info.index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info.flags = 0;
	info.cap_offset = 0;
	info.size = region_size(d, info.index);
	info.offset = (uint64_t)info.index << VFIO_REGION_SHIFT;
	if (info.size)
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (info.index < PCI_BARS && info.size) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		sparse_add(&ch, &sh->bar[info.index]);
		if (sh->msix_vectors && sh->msix_bar == info.index)
			user_chain_add(&ch, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1,
				       sizeof(struct vfio_info_cap_header));
		return user_chain_out(call, arg, &info, sizeof(info), &info.cap_offset, &ch);
	}
	return user_out(call, arg, &info, info.argsz, sizeof(info));
}

/* --------------------------------------------------------------- BAR access */

/* The largest natural access at @off, of at most @left bytes. */
static unsigned int width_at(uint64_t off, size_t left)
{
	unsigned int w = 8;

	while (w > left || !IS_ALIGNED(off, w))
		w /= 2;
	return w;
}

/* MSI-X belongs to the host: reads of the table give ones, writes vanish. */
static bool in_msix_table(const struct vfio_device *d, unsigned int bar, uint64_t off)
{
	const struct pci_shape *s = &d->fn->shape;

	return s->msix_vectors && bar == s->msix_bar && off >= s->msix_off &&
	       off - s->msix_off < (uint64_t)s->msix_vectors * PCI_MSIX_ENTRY_SIZE;
}

static void put_le(uint8_t *p, uint64_t val, unsigned int w)
{
	for (; w; w--, val >>= 8)
		*p++ = (uint8_t)val;
}

static uint64_t get_le(const uint8_t *p, unsigned int w)
{
	uint64_t val = 0;

	while (w--)
		val = val << 8 | p[w];
	return val;
}

static bool bar_usable(const struct vfio_device *d)
{
	return pci_mem_enabled(d->fn) && !d->low_power;
}

static int64_t bar_rw(struct vfio_device *d, unsigned int bar, uint8_t *in, const uint8_t *out,
		      size_t count, uint64_t pos)
{
	size_t done = 0;

	/* A reset switches decoding off; it is the client's own, and answers ones. */
	if (!bar_usable(d) && !d->reset.running)
		return -EIO;
	while (done < count) {
		uint64_t off = pos + done;
		unsigned int w = width_at(off, count - done);
		bool hidden = in_msix_table(d, bar, off);

		if (in)
			put_le(in + done, hidden ? UINT64_MAX : pci_bar_read(d->fn, bar, off, w), w);
		else if (!hidden)
			pci_bar_write(d->fn, bar, off, w, get_le(out + done, w));
		done += w;
	}
	return (int64_t)done;
}

/* Where an access of @count bytes at @off of the file goes, and how much of it. */
static int access_check(const struct vfio_device *d, uint64_t off, size_t *count,
			unsigned int *index, uint64_t *pos)
{
	uint64_t i = off >> VFIO_REGION_SHIFT, size;

	if (i >= VFIO_PCI_NUM_REGIONS || i == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	*index = (unsigned int)i;
	*pos = off & ((UINT64_C(1) << VFIO_REGION_SHIFT) - 1);
	size = region_size(d, *index);
	if (*pos >= size)
		return *index == VFIO_PCI_CONFIG_REGION_INDEX ? -EFAULT : -EINVAL;
	*count = MIN(*count, size - *pos);
	return 0;
}

/*
 * A register whose reading has no effect, of a BAR that the client has not
 * mapped: its value goes into the file's memory as well, so that the kernel
 * can do the copy to the client.
 */
static uint8_t *file_memory(struct device_file *df, unsigned int index, size_t count)
{
	const struct pci_function *fn = df->dev->fn;

	if (count > sizeof(uint64_t) || index >= PCI_BARS || !fn->ops->pure_reads ||
	    !df->file.bar_mem)
		return NULL;
	return df->file.bar_mem(&df->file, index, fn->shape.bar[index].size);
}

int64_t region_read(struct device_file *df, struct vfio_call *call, void *buf, size_t count,
		    uint64_t off)
{
	struct vfio_device *d = df->dev;
	unsigned int index;
	uint64_t pos;
	int64_t ret = count ? access_check(d, off, &count, &index, &pos) : 0;
	uint8_t *mem;

	if (ret < 0 || !count)
		return ret;
	mem = file_memory(df, index, count);
	env_strand_lock(&d->fn->strand);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		power_wake(d);
		ret = config_read(d, buf, count, pos);
		call->native = ret > 0;
	} else {
		ret = bar_rw(d, index, buf, NULL, count, pos);
		call->native = mem && ret > 0 && !d->fn->bar_told;
		if (call->native)
			memcpy(mem + pos, buf, (size_t)ret);
	}
	env_strand_unlock(&d->fn->strand);
	return ret;
}

int64_t region_write(struct vfio_device *d, struct vfio_call *call, const void *buf, size_t count,
		     uint64_t off)
{
	unsigned int index;
	uint64_t pos;
	int64_t ret = count ? access_check(d, off, &count, &index, &pos) : 0;

	if (ret < 0 || !count)
		return ret;
	env_strand_lock(&d->fn->strand);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		power_wake(d);
		ret = config_write(d, buf, count, pos);
		ret = reset_answer(d, call, ret);
	} else {
		ret = bar_rw(d, index, NULL, buf, count, pos);
	}
	env_strand_unlock(&d->fn->strand);
	return ret;
}

/* ------------------------------------------------------------------ mappings */

int region_mmap(struct device_file *df, uint64_t off, uint64_t len, int flags)
{
	uint64_t pos = off & ((UINT64_C(1) << VFIO_REGION_SHIFT) - 1);
	uint64_t bar = off >> VFIO_REGION_SHIFT, size;
	struct vfio_device *d = df->dev;
	void *mem;
	int ret;

	if (bar >= PCI_BARS || !(flags & MAP_SHARED) || !len || !IS_ALIGNED(off, VFIO_PAGE))
		return -EINVAL;
	size = d->fn->shape.bar[bar].size;
	if (pos >= size || len > UINT64_MAX - VFIO_PAGE ||
	    ALIGN_UP(len, (uint64_t)VFIO_PAGE) > size - pos)
		return -EINVAL;
	mem = df->file.bar_mem ? df->file.bar_mem(&df->file, (unsigned int)bar, size) : NULL;
	if (!mem)
		return -EINVAL;
	env_strand_lock(&d->fn->strand);
	ret = 0;
	if (!d->bar_owner[bar]) {
		pci_bar_share(d->fn, (unsigned int)bar, mem);
		d->bar_owner[bar] = df;
	} else if (pci_bar_mem(d->fn, (unsigned int)bar) != mem) {
		ret = -EINVAL;	/* another file of the device shares other memory already */
	}
	if (!ret)
		ret = pci_bar_map(d->fn, (unsigned int)bar, pos, ALIGN_UP(len, (uint64_t)VFIO_PAGE));
	env_strand_unlock(&d->fn->strand);
	return ret;
}

void region_unshare(struct vfio_device *d, const struct device_file *df)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++)
		any |= d->bar_owner[i] && (!df || d->bar_owner[i] == df);
	if (!any)
		return;
	pci_bar_unshare(d->fn);
	memset(d->bar_owner, 0, sizeof(d->bar_owner));
}
