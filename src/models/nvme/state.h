/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The Controller State of a controller: from struct nvme_ctrl to a struct
 * nvme_image to bytes (docs/nvme-state.md), and back. What comes from bytes
 * is a fresh image, checked against the controller as a whole, and only then
 * taken over; nothing on the way changes the controller.
 */
#ifndef NVME_STATE_H
#define NVME_STATE_H

#include "models/nvme/mig.h"

/* A completion that found no room. */
struct nvme_overflow {
	uint16_t sqid, cid, status;
	uint32_t dw0, dw1;
};

/* What the guest has been told of the controller, and must find again. */
struct nvme_guard {
	uint64_t cap;
	uint32_t vs, crto, oaes, ctratt, sgls, nn;
	uint16_t oacs, oncs, fuses, queues, vectors, cntlid;
	uint8_t mdts, sqes, cqes, vwc, acl, aerl, elpe, vsl;
	char sn[20], mn[40], fr[8], subnqn[NVME_NQN_LENGTH];
};

struct nvme_image_ns {
	uint32_t nsid;
	uint64_t nsze;
	uint8_t lba_shift, read_only;
	uint8_t uuid[16], nguid[16], eui64[8];
};

struct nvme_image {
	/*
	 * The clocks in it are as in an image: feat.timestamp_base is the time
	 * now, timestamp_at 0, power_on_at the time since power on, in ns.
	 */
	struct nvme_state st;
	uint64_t wall;				/* ns since 1970, when saved */
	struct nvme_guard guard;
	struct nvme_qmap irq;			/* vectors to be raised */
	uint16_t next_sq;			/* the arbitration's place */
	uint32_t nr_ns;
	struct nvme_image_ns ns[NVME_NSID_MAX];
	uint32_t nr_overflow;
	struct nvme_overflow *overflow;		/* by CQ, then in order */
};

/** image_collect() - @c as it is. 0 or -ENOMEM; image_free() in any case. */
int image_collect(struct nvme_ctrl *c, struct nvme_image **img);
void image_free(struct nvme_image *img);

/** image_commit() - make @c what the checked @img says. 0, or -ENOMEM and nothing has changed. */
int image_commit(struct nvme_ctrl *c, struct nvme_image *img);

/*
 * Refusals: -EINVAL with a text, where the cause is known.
 */
__attribute__((format(printf, 2, 3))) int image_bad(struct ferry_err *err, const char *fmt, ...);

/* state_nvme.c: the part that the specification defines. */
size_t state_nvme_size(const struct nvme_image *img);
void state_nvme_put(const struct nvme_image *img, uint8_t *buf);
/** state_nvme_get() - @img has no I/O queues before; afterwards those of the image. */
int state_nvme_get(struct nvme_image *img, const uint8_t *buf, size_t len, struct ferry_err *err);

/* state_vendor.c: all else. */
size_t state_vendor_size(struct nvme_image *img);
void state_vendor_put(struct nvme_image *img, uint8_t *buf);
/** state_vendor_get() - into a zeroed @img. -EINVAL, -ENOMEM. */
int state_vendor_get(struct nvme_image *img, const uint8_t *buf, size_t len, struct ferry_err *err);

/* state_check.c */

/** image_check() - can @c become @img? 0 or -EINVAL. */
int image_check(const struct nvme_ctrl *c, const struct nvme_image *img, const struct nvme_image *now,
		struct ferry_err *err);

/* state.c: the whole. */

/** state_snapshot() - both parts of @c as it is, in memory of their own. 0 or -ENOMEM. */
int state_snapshot(struct nvme_ctrl *c, struct nvme_snapshot *snap);
/** state_header() - of an image that has these parts. */
void state_header(struct nvme_lm_state *h, const struct nvme_snapshot *snap, bool nvme, bool vendor);
/** state_load() - @csvi, @csuuidi: the parts that there may be, 0 for not. Strand held. */
int state_load(struct nvme_ctrl *c, const uint8_t *buf, size_t len, uint8_t csvi, uint8_t csuuidi,
	       struct ferry_err *err);

#endif
