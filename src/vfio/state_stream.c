/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The migration stream, written and read. The parser collects one unit at a
 * time (header, record head, body), bounded before anything is allocated, and
 * looks at it when it is whole: how the bytes were cut makes no difference.
 */
#include <string.h>

#include "vfio/state_stream.h"

#define OTHER_MAX 65536u	/* body of a record that is passed over */

static const char magic[8] = "FERRYLM";

/* ------------------------------------------------------------------- writing */

static void *writer_room(struct state_writer *w, size_t len)
{
	size_t cap = MAX(w->cap, (size_t)4096);
	uint8_t *p;

	while (cap - w->len < len)
		cap *= 2;
	if (cap != w->cap) {
		p = realloc(w->buf, cap);
		if (!p)
			return NULL;
		w->buf = p;
		w->cap = cap;
	}
	p = w->buf + w->len;
	w->len += len;
	return p;
}

static uint32_t record_crc(const struct state_record *r, const void *body, size_t len)
{
	return crc32c(crc32c(0, r, offsetof(struct state_record, crc)), body, len);
}

int state_record_add(struct state_writer *w, uint32_t type, uint32_t flags, const void *body,
		     size_t len)
{
	struct state_record r = { le32_of(type), le32_of(flags), le32_of((uint32_t)len), { 0 } };
	uint8_t *p = writer_room(w, sizeof(r) + len);

	if (!p)
		return -ENOMEM;
	r.crc = le32_of(record_crc(&r, body, len));
	memcpy(p, &r, sizeof(r));
	if (len)
		memcpy(p + sizeof(r), body, len);
	w->records++;
	return 0;
}

int state_write_begin(struct state_writer *w, const struct lm_identity *id)
{
	size_t was = w->len;
	struct state_header h = { .version = le32_of(STATE_STREAM_VERSION),
				  .length = le32_of(sizeof(h)) };
	void *p = writer_room(w, sizeof(h));
	int ret;

	if (!p)
		return -ENOMEM;
	memcpy(h.magic, magic, sizeof(magic));
	memcpy(h.format_uuid, id->format_uuid, sizeof(h.format_uuid));
	memcpy(h.digest, id->digest, sizeof(h.digest));
	h.crc = le32_of(crc32c(0, &h, offsetof(struct state_header, crc)));
	memcpy(p, &h, sizeof(h));
	ret = state_record_add(w, STATE_COMPAT, 0, id->text, strnlen(id->text, sizeof(id->text)));
	if (ret < 0)
		w->len = was;
	return ret;
}

int state_write_image(struct state_writer *w, const void *image, size_t len, const void *token,
		      size_t token_len)
{
	size_t was = w->len;
	uint32_t records = w->records;
	struct state_end e = { .length = { 0 } };
	int ret = state_record_add(w, STATE_IMAGE, 0, image, len);

	if (!ret && token_len)
		ret = state_record_add(w, STATE_TOKEN, 0, token, token_len);
	e.length = le64_of(w->len);
	e.records = le32_of(w->records);
	if (!ret)
		ret = state_record_add(w, STATE_END, 0, &e, sizeof(e));
	if (ret < 0) {
		w->len = was;
		w->records = records;
	}
	return ret;
}

void state_writer_release(struct state_writer *w)
{
	free(w->buf);
	memset(w, 0, sizeof(*w));
}

uint64_t state_stream_size(const struct lm_identity *id, uint64_t image)
{
	return sizeof(struct state_header) + 4 * sizeof(struct state_record) + LM_TOKEN_MAX +
	       strnlen(id->text, sizeof(id->text)) + sizeof(struct state_end) + image;
}

/* ------------------------------------------------------------------- reading */

void state_parser_init(struct state_parser *p, int (*compat)(void *, const struct lm_identity *),
		       void *arg)
{
	memset(p, 0, sizeof(*p));
	p->compat = compat;
	p->arg = arg;
	p->at = STATE_AT_HEADER;
	p->want = sizeof(struct state_header);
}

void state_parser_release(struct state_parser *p)
{
	free(take_ptr(p->buf));
	free(take_ptr(p->image));
	free(take_ptr(p->token));
	free(take_ptr(p->id));
}

static int take_header(struct state_parser *p)
{
	struct state_header h;

	memcpy(&h, p->buf, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)))
		return -EINVAL;
	if (le32_get(h.version) != STATE_STREAM_VERSION)
		return -EOPNOTSUPP;
	if (le32_get(h.length) != sizeof(h) || le32_get(h.reserved))
		return -EINVAL;
	if (le32_get(h.crc) != crc32c(0, &h, offsetof(struct state_header, crc)))
		return -EBADMSG;
	p->id = calloc(1, sizeof(*p->id));
	if (!p->id)
		return -ENOMEM;
	memcpy(p->id->format_uuid, h.format_uuid, sizeof(h.format_uuid));
	memcpy(p->id->digest, h.digest, sizeof(h.digest));
	return 0;
}

/* May a record of this type and length come here? */
static int check_record(struct state_parser *p)
{
	uint32_t type = le32_get(p->rec.type), flags = le32_get(p->rec.flags);
	uint32_t len = le32_get(p->rec.length);

	if (flags & ~STATE_RECORD_OPTIONAL)
		return -EOPNOTSUPP;
	if (p->total + len > STATE_STREAM_MAX)
		return -ENOMEM;
	if (!p->has_compat && type != STATE_COMPAT)
		return -EINVAL;
	switch (type) {
	case STATE_COMPAT:
		return p->has_compat || len >= sizeof(p->id->text) ? -EINVAL : 0;
	case STATE_IMAGE:
		if (p->has_image)
			return -EINVAL;
		return len > LM_STATE_MAX ? -ENOMEM : 0;
	case STATE_TOKEN:
		return p->has_token || !len || len > LM_TOKEN_MAX ? -EINVAL : 0;
	case STATE_END:
		return !p->has_image || len != sizeof(struct state_end) ? -EINVAL : 0;
	default:
		if (!(flags & STATE_RECORD_OPTIONAL))
			return -EOPNOTSUPP;
		return len > OTHER_MAX ? -ENOMEM : 0;
	}
}

static int take_end(struct state_parser *p)
{
	struct state_end e;

	memcpy(&e, p->buf, sizeof(e));
	if (le64_get(e.length) != p->total - sizeof(e) - sizeof(struct state_record) ||
	    le32_get(e.records) != p->records || le32_get(e.reserved))
		return -EINVAL;
	p->complete = true;
	return 0;
}

static int take_body(struct state_parser *p)
{
	uint32_t type = le32_get(p->rec.type);

	if (le32_get(p->rec.crc) != record_crc(&p->rec, p->buf, p->have))
		return -EBADMSG;
	switch (type) {
	case STATE_COMPAT:
		if (p->have)
			memcpy(p->id->text, p->buf, p->have);
		p->has_compat = true;
		p->records++;
		return p->compat(p->arg, p->id);
	case STATE_IMAGE:
		p->image = take_ptr(p->buf);
		p->image_len = p->have;
		p->cap = 0;
		p->has_image = true;
		break;
	case STATE_TOKEN:
		p->token = take_ptr(p->buf);
		p->token_len = p->have;
		p->cap = 0;
		p->has_token = true;
		break;
	case STATE_END:
		return take_end(p);
	}
	p->records++;
	return 0;
}

/* What was being collected is whole. */
static int take_unit(struct state_parser *p)
{
	int ret = 0;

	switch (p->at) {
	case STATE_AT_HEADER:
		ret = take_header(p);
		break;
	case STATE_AT_RECORD:
		memcpy(&p->rec, p->buf, sizeof(p->rec));
		ret = check_record(p);
		p->at = STATE_AT_BODY;
		p->want = le32_get(p->rec.length);
		p->have = 0;
		return ret;
	case STATE_AT_BODY:
		ret = take_body(p);
		break;
	}
	p->at = STATE_AT_RECORD;
	p->want = sizeof(struct state_record);
	p->have = 0;
	return ret;
}

static int parser_room(struct state_parser *p)
{
	uint8_t *b;

	if (p->buf && p->cap >= p->want)
		return 0;
	/* No more than was sent, or a little: a length alone allocates nothing large. */
	if (p->buf && p->have < p->cap)
		return 0;
	p->cap = MIN(MAX(p->want, (size_t)1), MAX(p->cap * 2, (size_t)8192));
	b = realloc(p->buf, p->cap);
	if (!b)
		return -ENOMEM;
	p->buf = b;
	return 0;
}

static int feed(struct state_parser *p, const uint8_t *buf, size_t len)
{
	int ret = 0;

	/* A body may be empty: a unit can be whole with nothing left to add. */
	while (!ret && !p->complete && (len || p->have == p->want)) {
		size_t n = MIN(len, p->want - p->have);

		ret = parser_room(p);
		if (ret < 0)
			break;
		n = MIN(n, p->cap - p->have);
		if (n)
			memcpy(p->buf + p->have, buf, n);
		p->have += n;
		p->total += n;
		buf += n;
		len -= n;
		if (p->have == p->want)
			ret = take_unit(p);
	}
	if (!ret && len)
		ret = -EINVAL;
	return ret;
}

int state_parser_feed(struct state_parser *p, const void *buf, size_t len)
{
	if (!len)
		return p->err;
	p->started = true;
	if (!p->err)
		p->err = feed(p, buf, len);
	if (p->err)
		p->complete = false;
	return p->err;
}
