/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Namespace Management and Namespace Attachment: what a guest may do to the
 * namespace table.
 *
 * A created namespace takes its bytes from the subsystem's capacity, and gives
 * them back when it is deleted. Its store comes from the configuration's
 * store_create(), which is called on the worker: it may make a sparse file,
 * it may not wait for a disk to be filled.
 *
 * Delete first detaches the namespace everywhere, so that no new command
 * finds it, then waits for those in flight: a timer looks again until the
 * table lets the namespace go.
 */
#include <string.h>

#include "models/nvme/ns.h"

#define RETRY_NS 1000000u		/* between two looks */

/* -------------------------------------------------------------------- create */

static int store_open(struct nvme_subsys *ss, uint64_t size, struct block_dev **dev)
{
	struct ferry_err err = { 0 };

	if (ss->cfg.store_create)
		return ss->cfg.store_create(ss->cfg.arg, size, dev);
	return block_open("memory", size, 0, dev, &err);
}

static bool reserve(struct nvme_subsys *ss, uint64_t size)
{
	bool ok;

	pthread_mutex_lock(&ss->lock);
	ok = size <= ss->unallocated;
	if (ok)
		ss->unallocated -= size;
	pthread_mutex_unlock(&ss->lock);
	return ok;
}

static void unreserve(struct nvme_subsys *ss, uint64_t size)
{
	pthread_mutex_lock(&ss->lock);
	ss->unallocated += size;
	pthread_mutex_unlock(&ss->lock);
}

/* What the host asks for, checked: LBA size and length in bytes. */
static uint16_t create_check(const struct nvme_id_ns *want, unsigned int *shift, uint64_t *size)
{
	uint64_t nsze = le64_get(want->nsze), ncap = le64_get(want->ncap);
	unsigned int format = NVME_FLBAS_LOWER(want->flbas) | NVME_FLBAS_HIGHER(want->flbas) << 4;

	if (format > 1)
		return NVME_SC_INVALID_FORMAT | NVME_SC_DNR;
	*shift = format ? 12 : 9;
	if (want->dps || !nsze || ncap > nsze || le16_get(want->nvmsetid) ||
	    le16_get(want->endgid) || le32_get(want->anagrpid) ||
	    (want->nmic & ~NVME_NMIC_SHARED))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (ncap < nsze)
		return NVME_SC_THIN_PROV_NOT_SUPP | NVME_SC_DNR;
	if (nsze > UINT64_MAX >> *shift)
		return NVME_SC_NS_INSUFFICIENT_CAP | NVME_SC_DNR;
	*size = nsze << *shift;
	return 0;
}

/* With @size reserved: a store and a place in the table. */
static uint16_t create_ns(struct nvme_req *req, unsigned int shift, uint64_t size, bool shared)
{
	struct nvme_subsys *ss = req->c->ss;
	struct nvme_ns_config cfg = { .lba_shift = shift };
	struct block_dev *dev;
	uint32_t nsid;
	int err = store_open(ss, size, &dev);

	if (err)
		return err == -ENOSPC || err == -ENOMEM ?
			NVME_SC_NS_INSUFFICIENT_CAP | NVME_SC_DNR : NVME_SC_INTERNAL;
	if (atomic_load(&dev->size) != size || dev->align > 1u << shift) {
		block_put(dev);
		return NVME_SC_INVALID_FORMAT | NVME_SC_DNR;
	}
	env_random(&req->c->fn.strand, cfg.uuid, sizeof(cfg.uuid));
	cfg.uuid[6] = (uint8_t)((cfg.uuid[6] & 0x0f) | 0x40);
	cfg.uuid[8] = (uint8_t)((cfg.uuid[8] & 0x3f) | 0x80);
	err = ns_insert(ss, dev, &cfg, true, shared, &nsid);
	block_put(dev);
	if (err)
		return err == -ENOSPC ? NVME_SC_NS_ID_UNAVAILABLE | NVME_SC_DNR : NVME_SC_INTERNAL;
	req->dw0 = nsid;
	return 0;
}

static uint16_t create(struct nvme_req *req)
{
	struct nvme_subsys *ss = req->c->ss;
	struct nvme_id_ns want;
	unsigned int shift;
	uint64_t size;
	uint16_t status;

	if (le32_get(req->sqe.cdw11) >> 24 != NVME_CSI_NVM)
		return NVME_SC_IOCS_NOT_SUPPORTED | NVME_SC_DNR;
	if (le32_get(req->sqe.nsid))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	status = nvme_xfer_in(req, &want, sizeof(want));
	if (!status)
		status = create_check(&want, &shift, &size);
	if (status)
		return status;
	if (!reserve(ss, size))
		return NVME_SC_NS_INSUFFICIENT_CAP | NVME_SC_DNR;
	status = create_ns(req, shift, size, want.nmic & NVME_NMIC_SHARED);
	if (status)
		unreserve(ss, size);
	return status;
}

/* -------------------------------------------------------------------- delete */

struct delete {
	struct env_timer timer;
	struct nvme_req *req;
	uint32_t nsid, last;		/* the one at work, and where to stop */
	bool found;
};

/* Detach @ns from everybody, and tell them. */
static void detach_all(struct nvme_ns *ns)
{
	struct nvme_slots slots;

	pthread_mutex_lock(&ns->ss->lock);
	for (unsigned int i = 0; i < NVME_SLOT_WORDS; i++)
		slots.w[i] = atomic_exchange(&ns->attached[i], 0);
	ns_notice_locked(ns->ss, ns->nsid, &slots);
	pthread_mutex_unlock(&ns->ss->lock);
}

/* Go on until all are gone, or one is still in use: then come back. */
static void delete_run(struct delete *d)
{
	struct nvme_req *req = d->req;
	struct nvme_ctrl *c = req->c;

	for (; d->nsid <= d->last; d->nsid++) {
		struct nvme_ns *ns = nvme_ns_lookup(c->ss, d->nsid);

		if (!ns)
			continue;
		d->found = true;
		detach_all(ns);
		if (!ns_drop(c->ss, ns, 2))
			continue;
		nvme_ns_unref(ns);
		if (req->aborted ||
		    env_timer_arm(&d->timer, env_now(&c->fn.strand) + RETRY_NS) < 0) {
			nvme_req_complete(req, NVME_SC_ABORT_REQ);
			return;
		}
		return;
	}
	nvme_req_complete(req, d->found ? 0 : NVME_SC_INVALID_FIELD | NVME_SC_DNR);
}

static void delete_again(struct env_timer *t)
{
	delete_run(container_of(t, struct delete, timer));
}

static void delete(struct nvme_req *req)
{
	uint32_t nsid = le32_get(req->sqe.nsid);
	struct delete *d;

	if (!nsid || (nsid > NVME_NSID_MAX && nsid != NVME_NSID_ALL)) {
		nvme_req_complete(req, NVME_SC_INVALID_NS | NVME_SC_DNR);
		return;
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		nvme_req_complete(req, NVME_SC_INTERNAL);
		return;
	}
	env_timer_init(&d->timer, &req->c->fn.strand, delete_again);
	d->req = req;
	d->nsid = nsid == NVME_NSID_ALL ? 1 : nsid;
	d->last = nsid == NVME_NSID_ALL ? NVME_NSID_MAX : nsid;
	d->found = nsid == NVME_NSID_ALL;	/* none at all is fine then */
	req->priv = d;
	delete_run(d);
}

void nvme_ns_mgmt(struct nvme_req *req)
{
	switch (le32_get(req->sqe.cdw10) & 0xf) {
	case NVME_NS_MGMT_SEL_CREATE:
		nvme_req_complete(req, create(req));
		break;
	case NVME_NS_MGMT_SEL_DELETE:
		delete(req);
		break;
	default:
		req->error_loc = 40;
		nvme_req_complete(req, NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	}
}

/* ---------------------------------------------------------------- attachment */

/* The controllers that @list names: not empty, ascending, all of them ours. */
static uint16_t ctrls_locked(struct nvme_subsys *ss, const struct nvme_ctrl_list *list,
			     struct nvme_slots *slots)
{
	unsigned int i, num = le16_get(list->num);

	*slots = (struct nvme_slots){ 0 };
	if (!num || num > ARRAY_SIZE(list->identifier))
		return NVME_SC_CTRL_LIST_INVALID | NVME_SC_DNR;
	for (i = 0; i < num; i++) {
		uint16_t id = le16_get(list->identifier[i]);
		int slot = ns_slot_locked(ss, id);

		if (slot < 0 || (i && id <= le16_get(list->identifier[i - 1])))
			return NVME_SC_CTRL_LIST_INVALID | NVME_SC_DNR;
		nvme_slots_set(slots, (unsigned int)slot);
	}
	return 0;
}

/* All or nothing. */
static uint16_t attach_locked(struct nvme_ns *ns, const struct nvme_slots *slots, bool attach)
{
	struct nvme_slots now = ns_attached(ns);
	unsigned int i, nr = 0, had = 0;

	for (i = 0; i < NVME_SLOT_WORDS; i++) {
		nr += (unsigned int)__builtin_popcountll(slots->w[i]);
		had += (unsigned int)__builtin_popcountll(slots->w[i] & now.w[i]);
	}
	if (!attach && had != nr)
		return NVME_SC_NS_NOT_ATTACHED | NVME_SC_DNR;
	if (attach && had)
		return NVME_SC_NS_ALREADY_ATTACHED | NVME_SC_DNR;
	if (attach && !ns->shared && (nr > 1 || ns_any_attached(ns)))
		return NVME_SC_NS_IS_PRIVATE | NVME_SC_DNR;
	for (i = 0; i < NVME_SLOT_WORDS; i++) {
		if (attach)
			atomic_fetch_or(&ns->attached[i], slots->w[i]);
		else
			atomic_fetch_and(&ns->attached[i], ~slots->w[i]);
	}
	return 0;
}

static uint16_t attachment(struct nvme_req *req, uint32_t nsid, bool attach)
{
	struct nvme_subsys *ss = req->c->ss;
	struct nvme_ctrl_list list;
	struct nvme_slots slots;
	struct nvme_ns *ns;
	uint16_t status = nvme_xfer_in(req, &list, sizeof(list));

	if (status)
		return status;
	pthread_mutex_lock(&ss->lock);
	ns = atomic_load(&ss->ns[nsid]);
	status = ns ? ctrls_locked(ss, &list, &slots) : NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (!status)
		status = attach_locked(ns, &slots, attach);
	if (!status)
		ns_notice_locked(ss, nsid, &slots);
	pthread_mutex_unlock(&ss->lock);
	return status;
}

void nvme_ns_attachment(struct nvme_req *req)
{
	uint32_t nsid = le32_get(req->sqe.nsid);
	unsigned int sel = le32_get(req->sqe.cdw10) & 0xf;
	uint16_t status;

	if (sel != NVME_NS_ATTACH_SEL_CTRL_ATTACH && sel != NVME_NS_ATTACH_SEL_CTRL_DEATTACH) {
		req->error_loc = 40;
		status = NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	} else if (!nsid || nsid > NVME_NSID_MAX) {
		req->error_loc = 4;
		status = NVME_SC_INVALID_NS | NVME_SC_DNR;
	} else {
		status = attachment(req, nsid, sel == NVME_NS_ATTACH_SEL_CTRL_ATTACH);
	}
	nvme_req_complete(req, status);
}
