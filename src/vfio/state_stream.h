/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The migration stream: what of a function goes to the other side, as bytes.
 * docs/state-stream.md is its description. No lock, no device: whoever has a
 * writer or a parser serialises its use.
 */
#ifndef VFIO_STATE_STREAM_H
#define VFIO_STATE_STREAM_H

#include <ferry/lm.h>

#define STATE_STREAM_VERSION 1u
#define STATE_STREAM_MAX (LM_STATE_MAX + 131072u)	/* bytes of one stream */

#define STATE_RECORD_OPTIONAL 1u	/* flag: who does not know the type passes it over */

enum state_record_type {
	STATE_COMPAT = 1,	/* who may load it; first */
	STATE_IMAGE = 2,	/* the controller's */
	STATE_TOKEN = 3,	/* of the storage; left out where there is none */
	STATE_END = 0xffffffffu,
};

/* All little-endian. */
struct state_header {
	char magic[8];		/* "FERRYLM" and a NUL */
	le32 version, length;	/* of this header */
	uint8_t format_uuid[16];
	uint8_t digest[32];
	le32 reserved;
	le32 crc;		/* CRC32C of what is before it */
};
SPEC_SIZE(struct state_header, 72);

struct state_record {
	le32 type, flags, length;	/* of the body */
	le32 crc;			/* CRC32C of what is before it, then of the body */
};
SPEC_SIZE(struct state_record, 16);

/* Body of STATE_END. */
struct state_end {
	le64 length;		/* of all before the END record */
	le32 records;		/* before it */
	le32 reserved;
};
SPEC_SIZE(struct state_end, 16);

struct state_writer {
	uint8_t *buf;
	size_t len, cap;
	uint32_t records;
};

/* Each: 0 or -ENOMEM, and then nothing was added. */
int state_write_begin(struct state_writer *w, const struct lm_identity *id);
int state_write_image(struct state_writer *w, const void *image, size_t len, const void *token,
		      size_t token_len);
void state_writer_release(struct state_writer *w);

/** state_record_add() - any record, for tests. */
int state_record_add(struct state_writer *w, uint32_t type, uint32_t flags, const void *body,
		     size_t len);

/** state_stream_size() - bytes of a whole stream, at most. */
uint64_t state_stream_size(const struct lm_identity *id, uint64_t image);

/**
 * struct state_parser - takes a stream in pieces of any size
 * @compat: Required. Called when header and COMPAT record are whole and sound:
 *   0, or the error of the piece that completed them.
 * @image, @token: whole when @complete.
 * @err: the first error; every piece after it gets the same.
 */
struct state_parser {
	int (*compat)(void *arg, const struct lm_identity *id);
	void *arg;
	bool started, complete;
	int err;
	uint8_t *image;
	size_t image_len;
	uint8_t *token;
	size_t token_len;
	/* What is being collected. */
	uint8_t *buf;
	size_t have, want, cap;
	enum { STATE_AT_HEADER, STATE_AT_RECORD, STATE_AT_BODY } at;
	struct state_record rec;
	struct lm_identity *id;
	uint64_t total;
	uint32_t records;
	bool has_compat, has_image, has_token;
};

void state_parser_init(struct state_parser *p, int (*compat)(void *, const struct lm_identity *),
		       void *arg);
void state_parser_release(struct state_parser *p);

/**
 * state_parser_feed() - the next @len bytes
 * Nothing but @p->compat has any effect before @p->complete.
 * Return: 0; -EINVAL (no such stream, wrong order, bytes after the end),
 * -EBADMSG (checksum), -EOPNOTSUPP (a version or mandatory record that is not
 * known), -ENOMEM (larger than anything may be), or what @compat said.
 */
int state_parser_feed(struct state_parser *p, const void *buf, size_t len);

#endif
