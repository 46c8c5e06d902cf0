/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ16: what a client writes into a RESUMING stream. Input: how it is cut
 * (two bytes), how checksums are treated (one: 1 puts the right ones in, so
 * that what is behind them is reached), the stream. The outcome is the same
 * however it is cut, and nothing but a whole stream has an image.
 */
#include <string.h>

#include "vfio/state_stream.h"

static unsigned int nr_compat;

static int compat(void *arg, const struct lm_identity *id)
{
	nr_compat++;
	if (strnlen(id->text, sizeof(id->text)) == sizeof(id->text))
		abort();
	return id->digest[0] == 0xee ? -EINVAL : 0;
}

/* Sums as a sender would have made them, as far as the lengths make sense. */
static void repair(uint8_t *p, size_t len)
{
	struct state_header h;
	size_t at = sizeof(h);

	if (len < sizeof(h))
		return;
	memcpy(&h, p, sizeof(h));
	h.crc = le32_of(crc32c(0, &h, offsetof(struct state_header, crc)));
	memcpy(p, &h, sizeof(h));
	while (len - at >= sizeof(struct state_record)) {
		struct state_record r;
		uint32_t body;

		memcpy(&r, p + at, sizeof(r));
		body = le32_get(r.length);
		if (body > len - at - sizeof(r))
			return;
		r.crc = le32_of(crc32c(crc32c(0, &r, offsetof(struct state_record, crc)),
				       p + at + sizeof(r), body));
		memcpy(p + at, &r, sizeof(r));
		at += sizeof(r) + body;
	}
}

static int run(struct state_parser *p, const uint8_t *data, size_t len, size_t piece)
{
	size_t at = 0;
	int ret = 0;

	state_parser_init(p, compat, NULL);
	nr_compat = 0;
	while (at < len && !ret) {
		size_t n = MIN(piece, len - at);

		ret = state_parser_feed(p, data + at, n);
		at += n;
	}
	if (nr_compat > 1 || (p->complete && (!nr_compat || ret)))
		abort();
	if (ret && state_parser_feed(p, data, 1) != ret)
		abort();
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_parser a, b;
	uint8_t *copy;
	size_t piece;
	int ra, rb;

	if (size < 3)
		return 0;
	piece = 1 + (data[0] | (size_t)(data[1] & 3) << 8);
	copy = malloc(size - 3 ? size - 3 : 1);
	if (!copy)
		return 0;
	memcpy(copy, data + 3, size - 3);
	if (data[2] & 1)
		repair(copy, size - 3);
	ra = run(&a, copy, size - 3, size);
	rb = run(&b, copy, size - 3, piece);
	if (ra != rb || a.complete != b.complete)
		abort();
	if (a.complete && (a.image_len != b.image_len || memcmp(a.image, b.image, a.image_len)))
		abort();
	state_parser_release(&a);
	state_parser_release(&b);
	free(copy);
	return 0;
}
