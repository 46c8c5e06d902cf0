/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The client's structures: how much of them is read and written. VFIO's begin
 * with argsz and grow by flags; iommufd's begin with size, and what is unknown
 * to either side must be zero. Every byte is fetched once.
 */
#include "vfio/internal.h"

int user_in(struct vfio_call *c, uint64_t arg, void *buf, uint32_t min)
{
	uint32_t argsz;
	int ret = c->ops->copy_in(c, buf, arg, min);

	if (ret < 0)
		return ret;
	memcpy(&argsz, buf, sizeof(argsz));
	return argsz < min ? -EINVAL : 0;
}

int user_tail(struct vfio_call *c, uint64_t arg, void *buf, uint32_t argsz, uint32_t from,
	      uint32_t to)
{
	uint32_t end = MIN(argsz, to);

	if (end <= from)
		return 0;
	return c->ops->copy_in(c, (uint8_t *)buf + from, arg + from, end - from);
}

int user_out(struct vfio_call *c, uint64_t arg, const void *buf, uint32_t argsz, uint32_t size)
{
	return c->ops->copy_out(c, arg, buf, MIN(argsz, size));
}

int user_zero(struct vfio_call *c, uint64_t arg, uint32_t from, uint32_t to)
{
	uint8_t buf[1024];

	while (from < to) {
		uint32_t n = MIN(to - from, (uint32_t)sizeof(buf)), i;
		int ret = c->ops->copy_in(c, buf, arg + from, n);

		if (ret < 0)
			return ret;
		for (i = 0; i < n; i++)
			if (buf[i])
				return -E2BIG;
		from += n;
	}
	return 0;
}

int user_in_sized(struct vfio_call *c, uint64_t arg, void *buf, uint32_t min, uint32_t size)
{
	uint32_t have;
	int ret = c->ops->copy_in(c, &have, arg, sizeof(have));

	if (ret < 0)
		return ret;
	if (have < min)
		return -EINVAL;
	memset(buf, 0, size);
	memcpy(buf, &have, sizeof(have));
	ret = user_tail(c, arg, buf, have, sizeof(have), size);
	return ret < 0 ? ret : user_zero(c, arg, size, have);
}

int user_out_sized(struct vfio_call *c, uint64_t arg, const void *buf, uint32_t size)
{
	uint32_t have;

	memcpy(&have, buf, sizeof(have));
	return user_out(c, arg, buf, have, size);
}

void *user_chain_add(struct user_chain *ch, uint16_t id, uint16_t version, uint32_t len)
{
	struct vfio_info_cap_header hdr = { .id = id, .version = version };
	uint32_t at = ALIGN_UP(ch->len, 8u);

	assert(at + len <= sizeof(ch->buf) && len >= sizeof(hdr));
	memset(ch->buf + ch->len, 0, at + len - ch->len);
	memcpy(ch->buf + at, &hdr, sizeof(hdr));
	if (ch->len)
		memcpy(ch->buf + ch->last + offsetof(struct vfio_info_cap_header, next), &at,
		       sizeof(at));
	ch->last = at;
	ch->len = at + len;
	return ch->buf + at;
}

/* In the chain, offsets count from its own start; the client's from the structure's. */
static void chain_rebase(struct user_chain *ch, uint32_t base)
{
	uint32_t at = 0, next;

	while (at != ch->last) {
		void *p = ch->buf + at + offsetof(struct vfio_info_cap_header, next);

		memcpy(&next, p, sizeof(next));
		at = next;
		next += base;
		memcpy(p, &next, sizeof(next));
	}
}

int user_chain_out(struct vfio_call *c, uint64_t arg, void *info, uint32_t size,
		   uint32_t *cap_offset, struct user_chain *ch)
{
	uint32_t argsz, need = size + ch->len;
	int ret;

	memcpy(&argsz, info, sizeof(argsz));
	if (argsz < need) {
		memcpy(info, &need, sizeof(need));
		*cap_offset = 0;
		return user_out(c, arg, info, argsz, size);
	}
	chain_rebase(ch, size);
	*cap_offset = size;
	ret = c->ops->copy_out(c, arg + size, ch->buf, ch->len);
	return ret < 0 ? ret : user_out(c, arg, info, argsz, size);
}
