/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Asynchronous events. An Asynchronous Event Request keeps its request until
 * an event completes it; state.aer_cid mirrors the list. An event without a
 * request to carry it stays pending, once however often it happened. A type
 * that was reported is masked until its log page is read with RAE 0; reading
 * also settles what was pending for that page, since the page told it.
 */
#include <string.h>

#include "models/nvme/nvme.h"

/* Which bit of feature 0Bh lets an event through; NVME_AE_ALWAYS: none is needed. */
#define NVME_AE_ALWAYS 0xffffffffu

static uint32_t event_bit(uint8_t type, uint8_t info)
{
	switch (type) {
	case NVME_AER_SMART:
		switch (info) {
		case NVME_AER_SMART_SUBSYSTEM_RELIABILITY:
			return 1u << 2;
		case NVME_AER_SMART_TEMPERATURE_THRESHOLD:
			return 1u << 1;
		default:
			return 1u << 0;	/* spare */
		}
	case NVME_AER_NOTICE:
		return NVME_OAES_NA;
	default:
		return NVME_AE_ALWAYS;
	}
}

static void aer_take(struct nvme_ctrl *c, struct nvme_req *req, unsigned int at)
{
	struct nvme_state *st = c->st;

	list_del(&req->link);
	st->nr_aer--;
	memmove(&st->aer_cid[at], &st->aer_cid[at + 1],
		(st->nr_aer - at) * sizeof(st->aer_cid[0]));
	st->aer_cid[st->nr_aer] = 0;
}

static void event_forget(struct nvme_state *st, unsigned int at)
{
	st->nr_events--;
	memmove(&st->event[at], &st->event[at + 1], (st->nr_events - at) * sizeof(st->event[0]));
	st->event[st->nr_events] = (struct nvme_event){ 0 };
}

void nvme_aer_match(struct nvme_ctrl *c)
{
	struct nvme_state *st = c->st;

	if (c->hold == NVME_HOLD_ALL)
		return;
	for (unsigned int i = 0; i < st->nr_events && st->nr_aer;) {
		const struct nvme_event ev = st->event[i];
		struct nvme_req *req = list_first(&c->aers, struct nvme_req, link);

		if (st->event_masked & 1u << ev.type) {
			i++;
			continue;
		}
		if (ev.type != NVME_AER_ONESHOT)
			st->event_masked |= 1u << ev.type;
		event_forget(st, i);
		aer_take(c, req, 0);
		req->dw0 = ev.type | (uint32_t)ev.info << 8 | (uint32_t)ev.log << 16;
		req->dw1 = ev.param;
		nvme_cq_post(c, req);
	}
}

static bool event_same(const struct nvme_event *a, const struct nvme_event *b)
{
	return a->type == b->type && a->info == b->info && a->log == b->log && a->param == b->param;
}

static void event_raise(struct nvme_ctrl *c, const struct nvme_event *ev)
{
	struct nvme_state *st = c->st;

	if ((st->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) != NVME_CSTS_RDY || c->disabling)
		return;
	if (event_bit(ev->type, ev->info) != NVME_AE_ALWAYS &&
	    !(st->feat.async_config & event_bit(ev->type, ev->info)))
		return;
	for (unsigned int i = 0; i < st->nr_events; i++) {
		if (event_same(&st->event[i], ev))
			return;
	}
	if (st->nr_events == NVME_EVENTS_MAX)
		return;
	st->event[st->nr_events++] = *ev;
	nvme_aer_match(c);
}

void nvme_event(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint8_t log)
{
	event_raise(c, &(struct nvme_event){ .type = type, .info = info, .log = log });
}

void nvme_event_param(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint16_t param)
{
	event_raise(c, &(struct nvme_event){ .type = type, .info = info, .param = param });
}

void nvme_aer_forget(struct nvme_ctrl *c, uint8_t type, uint8_t info, uint16_t param)
{
	const struct nvme_event ev = { .type = type, .info = info, .param = param };

	for (unsigned int i = 0; i < c->st->nr_events;) {
		if (event_same(&c->st->event[i], &ev))
			event_forget(c->st, i);
		else
			i++;
	}
}

void nvme_aer(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;

	if (c->st->nr_aer == NVME_AERL) {
		nvme_req_complete(req, NVME_SC_ASYNC_LIMIT);
		return;
	}
	/* From here on it counts as outstanding, not as executing: disabling need not wait. */
	list_del(&req->link);
	c->nr_executing--;
	c->sq[0].inflight--;
	list_add_tail(&c->aers, &req->link);
	c->st->aer_cid[c->st->nr_aer++] = req->cid;
	nvme_aer_match(c);
	if (c->nr_executing == 0)
		nvme_drained(c);
}

/* Log page @log was read with RAE 0. */
void nvme_aer_read(struct nvme_ctrl *c, uint8_t log)
{
	struct nvme_state *st = c->st;

	switch (log) {
	case NVME_LOG_LID_ERROR:
		st->event_masked &= ~(1u << NVME_AER_ERROR);
		break;
	case NVME_LOG_LID_SMART:
		st->event_masked &= ~(1u << NVME_AER_SMART);
		break;
	case NVME_LOG_LID_CHANGED_NS:
		st->event_masked &= ~(1u << NVME_AER_NOTICE);
		break;
	}
	for (unsigned int i = 0; i < st->nr_events;) {
		if (st->event[i].log == log && st->event[i].type != NVME_AER_ONESHOT)
			event_forget(st, i);
		else
			i++;
	}
}

bool nvme_aer_abort(struct nvme_ctrl *c, uint16_t cid)
{
	struct nvme_req *req, *tmp;
	unsigned int at = 0;

	list_for_each_safe(req, tmp, &c->aers, link) {
		if (req->cid == cid) {
			aer_take(c, req, at);
			req->status = NVME_SC_ABORT_REQ;
			nvme_cq_post(c, req);
			return true;
		}
		at++;
	}
	return false;
}

/* The controller goes down: they end without a completion. */
void nvme_aer_drop(struct nvme_ctrl *c)
{
	struct nvme_req *req, *tmp;

	list_for_each_safe(req, tmp, &c->aers, link) {
		aer_take(c, req, 0);
		nvme_req_free(req);
	}
}

/* --------------------------------------------------- changes of namespaces */

void nvme_notice(struct nvme_ctrl *c, uint32_t nsid)
{
	if (nsid == 0 || nsid > NVME_NSID_MAX)
		return;
	atomic_fetch_or(&c->changed_ns[nsid / 32], 1u << nsid % 32);
	env_work_queue(&c->notice);
}

void nvme_notice_work(struct env_work *w)
{
	struct nvme_ctrl *c = container_of(w, struct nvme_ctrl, notice);
	bool any = false;

	for (unsigned int i = 0; i < ARRAY_SIZE(c->changed_ns); i++) {
		const uint32_t bits = atomic_exchange(&c->changed_ns[i], 0);

		/* A controller that is down has nothing to be told: its driver will look. */
		if (!(c->st->csts & NVME_CSTS_RDY) || c->disabling)
			continue;
		c->st->changed_ns[i] |= bits;
		any |= bits != 0;
	}
	if (any)
		nvme_event(c, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED, NVME_LOG_LID_CHANGED_NS);
}
