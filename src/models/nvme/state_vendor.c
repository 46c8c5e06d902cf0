/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The vendor specific part of a Controller State: all that a guest can observe
 * and that version 0 of the NVMe part does not carry. A header, then groups,
 * each with an id, a version, a length and a CRC; every group once, in the
 * order of the table below.
 *
 * One function describes a group for both directions, and for measuring: a
 * codec puts or gets. Whatever does not fit sets @bad, and is found at the end.
 * What a value may be is state_check.c's, but for what this file itself
 * depends on, lengths and booleans.
 *
 * docs/nvme-state.md is the other half of this file: change both.
 */
#include <string.h>

#include "models/nvme/state.h"

const uint8_t nvme_state_uuid[16] = {
	0x6b, 0x0f, 0x7a, 0x52, 0x93, 0xc4, 0x4e, 0x0a, 0x9d, 0x1e, 0x5f, 0x2c, 0x8a, 0x7b, 0xe4, 0x01,
};

#define VENDOR_MAGIC 0x53564e46u	/* "FNVS" */
#define VENDOR_VERSION 1u

struct vendor_head {
	le32 magic;
	le16 version, groups;
	le32 len;			/* all of the part */
	le32 rsvd12;
};
SPEC_SIZE(struct vendor_head, 16);

struct group_head {
	le16 id, version;
	le32 len;			/* of the content, without padding */
};
SPEC_SIZE(struct group_head, 8);

/* --------------------------------------------------------------------- codec */

struct codec {
	uint8_t *buf;			/* NULL: measure */
	size_t len, at;
	bool get, bad;
};

static void io_bytes(struct codec *k, void *v, size_t n)
{
	if (k->get && (k->bad || n > k->len - k->at)) {
		memset(v, 0, n);
		k->bad = true;
		return;
	}
	if (k->get)
		memcpy(v, k->buf + k->at, n);
	else if (k->buf)
		memcpy(k->buf + k->at, v, n);
	k->at += n;
}

static void io_u64(struct codec *k, uint64_t *v)
{
	le64 raw = le64_of(*v);

	io_bytes(k, &raw, sizeof(raw));
	*v = le64_get(raw);
}

static void io_u32(struct codec *k, uint32_t *v)
{
	le32 raw = le32_of(*v);

	io_bytes(k, &raw, sizeof(raw));
	*v = le32_get(raw);
}

static void io_u16(struct codec *k, uint16_t *v)
{
	le16 raw = le16_of(*v);

	io_bytes(k, &raw, sizeof(raw));
	*v = le16_get(raw);
}

static void io_u8(struct codec *k, uint8_t *v)
{
	io_bytes(k, v, 1);
}

static void io_bool(struct codec *k, bool *v)
{
	uint8_t raw = *v;

	io_bytes(k, &raw, 1);
	k->bad |= raw > 1;
	*v = raw;
}

/* A count of at most @max. */
static uint32_t io_count(struct codec *k, uint32_t n, uint32_t max)
{
	io_u32(k, &n);
	if (n > max) {
		k->bad = true;
		return 0;
	}
	return n;
}

/* -------------------------------------------------------------------- groups */

static void io_guard(struct codec *k, struct nvme_image *img)
{
	struct nvme_guard *g = &img->guard;

	io_u64(k, &g->cap);
	io_u32(k, &g->vs);
	io_u32(k, &g->crto);
	io_u32(k, &g->oaes);
	io_u32(k, &g->ctratt);
	io_u32(k, &g->sgls);
	io_u32(k, &g->nn);
	io_u16(k, &g->oacs);
	io_u16(k, &g->oncs);
	io_u16(k, &g->fuses);
	io_u16(k, &g->queues);
	io_u16(k, &g->vectors);
	io_u16(k, &g->cntlid);
	io_u8(k, &g->mdts);
	io_u8(k, &g->sqes);
	io_u8(k, &g->cqes);
	io_u8(k, &g->vwc);
	io_u8(k, &g->acl);
	io_u8(k, &g->aerl);
	io_u8(k, &g->elpe);
	io_u8(k, &g->vsl);
	io_bytes(k, g->sn, sizeof(g->sn));
	io_bytes(k, g->mn, sizeof(g->mn));
	io_bytes(k, g->fr, sizeof(g->fr));
	io_bytes(k, g->subnqn, sizeof(g->subnqn));
}

static void io_namespaces(struct codec *k, struct nvme_image *img)
{
	img->nr_ns = io_count(k, img->nr_ns, NVME_NSID_MAX);
	for (uint32_t i = 0; i < img->nr_ns; i++) {
		struct nvme_image_ns *ns = &img->ns[i];

		io_u32(k, &ns->nsid);
		io_u64(k, &ns->nsze);
		io_u8(k, &ns->lba_shift);
		io_u8(k, &ns->read_only);
		io_bytes(k, ns->uuid, sizeof(ns->uuid));
		io_bytes(k, ns->nguid, sizeof(ns->nguid));
		io_bytes(k, ns->eui64, sizeof(ns->eui64));
	}
}

static void io_registers(struct codec *k, struct nvme_image *img)
{
	struct nvme_state *st = &img->st;

	io_u32(k, &st->cc);
	io_u32(k, &st->csts);
	io_u32(k, &st->aqa);
	io_u32(k, &st->intms);
	io_u64(k, &st->asq);
	io_u64(k, &st->acq);
}

/* The queues as they are: AQA, ASQ and ACQ can have been written since. */
static void io_admin(struct codec *k, struct nvme_image *img)
{
	struct nvme_sq_state *sq = &img->st.sq[0];
	struct nvme_cq_state *cq = &img->st.cq[0];

	io_u64(k, &sq->prp1);
	io_u32(k, &sq->size);
	io_u16(k, &sq->head);
	io_u16(k, &sq->tail);
	io_u64(k, &cq->prp1);
	io_u32(k, &cq->size);
	io_u16(k, &cq->head);
	io_u16(k, &cq->tail);
	io_bool(k, &cq->phase);
	cq->ien = cq->size;
}

/* Of I/O queues, what the NVMe part has no place for; by queue id, all of them. */
static void io_queues(struct codec *k, struct nvme_image *img)
{
	io_u16(k, &img->next_sq);
	for (unsigned int qid = 1; qid < NVME_QIDS; qid++) {
		io_u16(k, &img->st.sq[qid].nvmsetid);
		io_bool(k, &img->st.sq[qid].stopped);
		io_bool(k, &img->st.cq[qid].stopped);
	}
}

static void io_events(struct codec *k, struct nvme_image *img)
{
	struct nvme_state *st = &img->st;

	st->nr_aer = (uint16_t)io_count(k, st->nr_aer, NVME_AERL);
	for (unsigned int i = 0; i < st->nr_aer; i++)
		io_u16(k, &st->aer_cid[i]);
	st->nr_events = (uint16_t)io_count(k, st->nr_events, NVME_EVENTS_MAX);
	for (unsigned int i = 0; i < st->nr_events; i++) {
		io_u8(k, &st->event[i].type);
		io_u8(k, &st->event[i].info);
		io_u8(k, &st->event[i].log);
		io_u16(k, &st->event[i].param);
	}
	io_u32(k, &st->event_masked);
}

static void io_dbbuf(struct codec *k, struct nvme_image *img)
{
	io_u64(k, &img->st.dbbuf_shadow);
	io_u64(k, &img->st.dbbuf_eventidx);
}

/* Timestamp is with the clocks. */
static void io_one_features(struct codec *k, struct nvme_features *f)
{
	io_u32(k, &f->arbitration);
	io_u32(k, &f->power);
	for (unsigned int i = 0; i < ARRAY_SIZE(f->temp_over); i++) {
		io_u32(k, &f->temp_over[i]);
		io_u32(k, &f->temp_under[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(f->error_recovery); i++)
		io_u32(k, &f->error_recovery[i]);
	io_u32(k, &f->vwc);
	io_u32(k, &f->queues);
	io_u32(k, &f->coalescing);
	for (unsigned int i = 0; i < ARRAY_SIZE(f->vector_config); i++)
		io_u32(k, &f->vector_config[i]);
	io_u32(k, &f->write_atomicity);
	io_u32(k, &f->async_config);
	io_u32(k, &f->keep_alive);
	io_bytes(k, f->host_behavior, sizeof(f->host_behavior));
	io_bytes(k, f->host_id, sizeof(f->host_id));
	io_u32(k, &f->host_id_exhid);
}

static void io_features(struct codec *k, struct nvme_image *img)
{
	io_one_features(k, &img->st.feat);
	io_one_features(k, &img->st.feat_saved);
}

static void io_clocks(struct codec *k, struct nvme_image *img)
{
	io_u64(k, &img->wall);
	io_u64(k, &img->st.feat.timestamp_base);
	io_u8(k, &img->st.feat.timestamp_origin);
	io_u64(k, &img->st.power_on_at);
}

static void io_overflow(struct codec *k, struct nvme_image *img)
{
	img->nr_overflow = io_count(k, img->nr_overflow, NVME_REQS_MAX);
	if (k->get && img->nr_overflow) {
		img->overflow = calloc(img->nr_overflow, sizeof(img->overflow[0]));
		if (!img->overflow) {
			img->nr_overflow = 0;
			k->bad = true;
		}
	}
	for (uint32_t i = 0; i < img->nr_overflow; i++) {
		struct nvme_overflow *o = &img->overflow[i];

		io_u16(k, &o->sqid);
		io_u16(k, &o->cid);
		io_u16(k, &o->status);
		io_u32(k, &o->dw0);
		io_u32(k, &o->dw1);
	}
}

static void io_interrupts(struct codec *k, struct nvme_image *img)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(img->irq.w); i++)
		io_u64(k, &img->irq.w[i]);
}

/* The error log's entries oldest first, each where its number puts it. */
static void io_logs(struct codec *k, struct nvme_image *img)
{
	struct nvme_state *st = &img->st;
	uint64_t n;

	io_u64(k, &st->error_count);
	n = MIN(st->error_count, NVME_ERRORS_MAX);
	for (uint64_t i = st->error_count - n; i < st->error_count; i++)
		io_bytes(k, &st->error[i % NVME_ERRORS_MAX], sizeof(st->error[0]));
	for (unsigned int i = 0; i < ARRAY_SIZE(st->changed_ns); i++)
		io_u32(k, &st->changed_ns[i]);
	io_bool(k, &st->changed_ns_overflow);
	io_u64(k, &st->data_read);
	io_u64(k, &st->data_written);
	io_u64(k, &st->host_reads);
	io_u64(k, &st->host_writes);
	io_u64(k, &st->power_cycles);
	io_u64(k, &st->unsafe_shutdowns);
	io_u64(k, &st->media_errors);
}

static const struct group {
	uint16_t id, version;
	const char *name;
	void (*io)(struct codec *k, struct nvme_image *img);
} groups[] = {
	{ 1, 1, "guard", io_guard },
	{ 2, 1, "namespaces", io_namespaces },
	{ 3, 1, "registers", io_registers },
	{ 4, 1, "admin queue", io_admin },
	{ 5, 1, "queues", io_queues },
	{ 6, 1, "events", io_events },
	{ 7, 1, "doorbell buffer", io_dbbuf },
	{ 8, 1, "features", io_features },
	{ 9, 1, "clocks", io_clocks },
	{ 10, 1, "overflow", io_overflow },
	{ 11, 1, "interrupts", io_interrupts },
	{ 12, 1, "logs", io_logs },
};

/* ---------------------------------------------------------------------- part */

static size_t group_size(const struct group *g, struct nvme_image *img)
{
	struct codec k = { .buf = NULL };

	g->io(&k, img);
	return k.at;
}

/* Header, content, padding, CRC of all three. */
static size_t group_space(size_t len)
{
	return sizeof(struct group_head) + ALIGN_UP(len, 4) + sizeof(le32);
}

size_t state_vendor_size(struct nvme_image *img)
{
	size_t len = sizeof(struct vendor_head);

	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		len += group_space(group_size(&groups[i], img));
	return len;
}

static size_t group_put(const struct group *g, struct nvme_image *img, uint8_t *buf)
{
	const size_t len = group_size(g, img), space = group_space(len);
	struct codec k = { .buf = buf + sizeof(struct group_head), .len = len };
	le32 crc;

	memset(buf, 0, space);
	*(struct group_head *)(void *)buf = (struct group_head){
		.id = le16_of(g->id), .version = le16_of(g->version), .len = le32_of((uint32_t)len) };
	g->io(&k, img);
	crc = le32_of(crc32c(0, buf, space - sizeof(crc)));
	memcpy(buf + space - sizeof(crc), &crc, sizeof(crc));
	return space;
}

void state_vendor_put(struct nvme_image *img, uint8_t *buf)
{
	struct vendor_head *h = (void *)buf;
	size_t at = sizeof(*h);

	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		at += group_put(&groups[i], img, buf + at);
	*h = (struct vendor_head){
		.magic = le32_of(VENDOR_MAGIC), .version = le16_of(VENDOR_VERSION),
		.groups = le16_of(ARRAY_SIZE(groups)), .len = le32_of((uint32_t)at) };
}

/* The group at *@at. */
static int group_get(const struct group *g, struct nvme_image *img, const uint8_t *buf, size_t len,
		     size_t *at, struct ferry_err *err)
{
	const struct group_head *h = (const void *)(buf + *at);
	struct codec k = { .get = true };
	size_t space;
	le32 crc;

	if (len - *at < sizeof(*h))
		return image_bad(err, "the vendor part ends before group \"%s\"", g->name);
	if (le16_get(h->id) != g->id || le16_get(h->version) != g->version)
		return image_bad(err, "group %u version %u where \"%s\" version %u should be",
				 le16_get(h->id), le16_get(h->version), g->name, g->version);
	k.len = le32_get(h->len);
	if (k.len > len || group_space(k.len) > len - *at)
		return image_bad(err, "group \"%s\" of %zu bytes is too long", g->name, k.len);
	space = group_space(k.len);
	memcpy(&crc, buf + *at + space - sizeof(crc), sizeof(crc));
	if (le32_get(crc) != crc32c(0, buf + *at, space - sizeof(crc)))
		return image_bad(err, "the checksum of group \"%s\" is wrong", g->name);
	k.buf = (uint8_t *)buf + *at + sizeof(*h);
	g->io(&k, img);
	if (k.bad || k.at != k.len)
		return image_bad(err, "the content of group \"%s\" is malformed", g->name);
	for (size_t i = k.len; i < ALIGN_UP(k.len, 4); i++) {
		if (k.buf[i])
			return image_bad(err, "the content of group \"%s\" is malformed", g->name);
	}
	*at += space;
	return 0;
}

int state_vendor_get(struct nvme_image *img, const uint8_t *buf, size_t len, struct ferry_err *err)
{
	const struct vendor_head *h = (const void *)buf;
	size_t at = sizeof(*h);
	int ret = 0;

	if (len < sizeof(*h) || le32_get(h->magic) != VENDOR_MAGIC)
		return image_bad(err, "the vendor part is none of ours");
	if (le16_get(h->version) != VENDOR_VERSION || le16_get(h->groups) != ARRAY_SIZE(groups) ||
	    le32_get(h->len) != len || h->rsvd12.raw)
		return image_bad(err, "vendor part of version %u, %u groups, %u bytes in %zu",
				 le16_get(h->version), le16_get(h->groups), le32_get(h->len), len);
	for (unsigned int i = 0; i < ARRAY_SIZE(groups) && !ret; i++)
		ret = group_get(&groups[i], img, buf, len, &at, err);
	if (!ret && at != len)
		return image_bad(err, "%zu bytes after the last group", len - at);
	return ret;
}
