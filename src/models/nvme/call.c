/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * An admin command of the migration management controller about another
 * controller: there and back, without ever holding two strands.
 *
 * nvme_call_start() finds the target under the subsystem's lock, puts the call
 * into its list and lets its worker run it. The answer goes into the MMC's
 * list, whose worker completes the command. Either side can be gone by then:
 *
 * - the target leaves the subsystem: what it has not answered ends with
 *   Invalid Controller Identifier;
 * - the MMC is reset, leaves, or has waited long enough: @from is NULL, its
 *   command is completed at once, and whoever holds the call frees it.
 *
 * A controller is in ss->ctrl[] or not, and lists change, under the lock; so
 * whom one finds there can be woken there.
 */
#include <string.h>

#include "models/nvme/mig.h"
#include "models/nvme/ns.h"

static void call_work(struct env_work *w);
static void done_work(struct env_work *w);
static void call_timeout(struct env_timer *t);

struct nvme_call *nvme_call_new(struct nvme_req *req, uint16_t cntlid,
				void (*run)(struct nvme_ctrl *, struct nvme_call *))
{
	struct nvme_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->req = req;
	call->cntlid = cntlid;
	call->run = run;
	list_init(&call->link);
	list_init(&call->out);
	return call;
}

void nvme_call_free(struct nvme_call *call)
{
	if (call->changes)
		nvme_changes_put(call->changes);
	nvme_track_free(call->track);
	free(call->buf);
	free(call);
}

/* --------------------------------------------------------------------- there */

/* Return: whether there is such a target; then the call is in its hands. */
static bool call_send(struct nvme_subsys *ss, struct nvme_call *call)
{
	struct nvme_ctrl *target;

	pthread_mutex_lock(&ss->lock);
	target = ns_ctrl_locked(ss, call->cntlid);
	if (target && target->cfg.migrates)
		target = NULL;
	if (target) {
		call->at = NVME_CALL_QUEUED;
		list_add_tail(&target->mig->calls, &call->link);
		env_work_queue(&target->mig->work);
	}
	pthread_mutex_unlock(&ss->lock);
	return target;
}

/* The timer goes by the oldest call. */
static void timer_update(struct nvme_mig *mig)
{
	if (list_empty(&mig->out))
		env_timer_cancel(&mig->call_timer);
	else
		env_timer_arm(&mig->call_timer,
			      list_first(&mig->out, struct nvme_call, out)->deadline);
}

void nvme_call_start(struct nvme_call *call)
{
	struct nvme_req *req = call->req;
	struct nvme_ctrl *c = req->c;

	call->ss = c->ss;
	call->from = c;
	call->deadline = env_now(&c->fn.strand) + c->mig->call_ns;
	list_add_tail(&c->mig->out, &call->out);
	if (call_send(c->ss, call)) {
		timer_update(c->mig);
		return;
	}
	list_del(&call->out);
	call->req = NULL;
	call->status = NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR;
	if (call->finish)
		call->finish(c, call);
	nvme_call_free(call);
	nvme_req_complete(req, NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR);
}

void nvme_call_post(struct nvme_subsys *ss, struct nvme_call *call)
{
	call->ss = ss;
	if (!call_send(ss, call))
		nvme_call_free(call);
}

static void call_work(struct env_work *w)
{
	struct nvme_mig *mig = container_of(w, struct nvme_mig, work);
	struct nvme_ctrl *c = container_of(w->st, struct nvme_ctrl, fn.strand);
	struct nvme_subsys *ss = c->ss;

	for (;;) {
		struct nvme_call *call = NULL;
		bool reset;

		pthread_mutex_lock(&ss->lock);
		reset = mig->mmc_reset;
		mig->mmc_reset = false;
		if (!reset && !list_empty(&mig->calls)) {
			call = list_first(&mig->calls, struct nvme_call, link);
			list_del(&call->link);
			call->at = NVME_CALL_HELD;
		}
		pthread_mutex_unlock(&ss->lock);
		if (reset) {
			nvme_track_stop(c);
			nvme_changes_detach(c);
			nvme_load_drop(c);
			/*
			 * A VF goes offline with its primary, and must not run
			 * until then: what it held may be running elsewhere.
			 */
			if (!c->primary)
				nvme_hold_release(c);
		} else if (call) {
			call->run(c, call);
		} else {
			return;
		}
	}
}

/* ---------------------------------------------------------------------- back */

bool nvme_call_wanted(struct nvme_call *call)
{
	bool wanted;

	pthread_mutex_lock(&call->ss->lock);
	wanted = call->from;
	pthread_mutex_unlock(&call->ss->lock);
	return wanted;
}

static bool call_answer_locked(struct nvme_call *call, uint16_t status)
{
	call->status = status;
	if (!call->from)
		return false;
	call->at = NVME_CALL_DONE;
	list_add_tail(&call->from->mig->done, &call->link);
	env_work_queue(&call->from->mig->done_work);
	return true;
}

void nvme_call_end(struct nvme_call *call, uint16_t status)
{
	struct nvme_subsys *ss = call->ss;
	bool answered;

	pthread_mutex_lock(&ss->lock);
	answered = call_answer_locked(call, status);
	pthread_mutex_unlock(&ss->lock);
	if (!answered)
		nvme_call_free(call);
}

void nvme_mig_wake(struct nvme_ctrl *mmc)
{
	env_work_queue(&mmc->mig->done_work);
}

/* @call is in no list and nobody else's. */
static void call_finish(struct nvme_ctrl *c, struct nvme_call *call)
{
	struct nvme_req *req = call->req;
	uint16_t status;

	if (call->finish)
		call->finish(c, call);
	status = call->status;
	if (req) {
		req->dw0 = call->dw0;
		req->dw1 = call->dw1;
	}
	nvme_call_free(call);
	if (req)
		nvme_req_complete(req, status);
}

static void done_work(struct env_work *w)
{
	struct nvme_mig *mig = container_of(w, struct nvme_mig, done_work);
	struct nvme_ctrl *c = container_of(w->st, struct nvme_ctrl, fn.strand);

	for (;;) {
		struct nvme_call *call = NULL;

		pthread_mutex_lock(&c->ss->lock);
		if (!list_empty(&mig->done)) {
			call = list_first(&mig->done, struct nvme_call, link);
			list_del(&call->link);
		}
		pthread_mutex_unlock(&c->ss->lock);
		/* What a target noted before it answered comes before the answer. */
		nvme_cdq_flush(c);
		if (!call)
			return;
		list_del(&call->out);
		timer_update(mig);
		call_finish(c, call);
	}
}

/* ------------------------------------------------------------------ giving up */

/* Complete @call's command now; the call itself goes when it comes back. */
static void call_abandon(struct nvme_ctrl *c, struct nvme_call *call, uint16_t status)
{
	struct nvme_req *req = take_ptr(call->req);
	bool ours;

	list_del(&call->out);
	pthread_mutex_lock(&c->ss->lock);
	call->from = NULL;
	ours = call->at != NVME_CALL_HELD;
	if (ours)
		list_del(&call->link);
	pthread_mutex_unlock(&c->ss->lock);
	if (ours && call->at == NVME_CALL_DONE && call->finish)
		call->finish(c, call);
	if (ours)
		nvme_call_free(call);
	nvme_req_complete(req, status);
}

static void call_timeout(struct env_timer *t)
{
	struct nvme_mig *mig = container_of(t, struct nvme_mig, call_timer);
	struct nvme_ctrl *c = container_of(t->st, struct nvme_ctrl, fn.strand);
	const uint64_t now = env_now(t->st);

	while (!list_empty(&mig->out)) {
		struct nvme_call *call = list_first(&mig->out, struct nvme_call, out);

		if (call->deadline > now)
			break;
		log_limited(&c->log, LOG_ERROR, "nvme " PCI_BDF_FMT ": controller %u does not answer",
			    PCI_BDF_ARG(c->fn.bdf), call->cntlid);
		call_abandon(c, call, NVME_SC_INTERNAL);
	}
	timer_update(mig);
}

/* Tell all targets that what their MMC asked for is over. */
static void targets_release(struct nvme_ctrl *mmc)
{
	struct nvme_subsys *ss = mmc->ss;

	pthread_mutex_lock(&ss->lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(ss->ctrl); i++) {
		struct nvme_ctrl *c = ss->ctrl[i];

		if (!c || c->cfg.migrates)
			continue;
		c->mig->mmc_reset = true;
		env_work_queue(&c->mig->work);
	}
	pthread_mutex_unlock(&ss->lock);
}

void nvme_mig_disable(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = c->mig;

	if (!c->cfg.migrates)
		return;
	/* Not drained before we are through. */
	c->nr_executing++;
	while (!list_empty(&mig->out))
		call_abandon(c, list_first(&mig->out, struct nvme_call, out), NVME_SC_ABORT_REQ);
	c->nr_executing--;
	env_timer_cancel(&mig->call_timer);
	nvme_cdq_drop(c, 0);
	targets_release(c);
}

/* ------------------------------------------------------------- the controller */

int nvme_mig_init(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = calloc(1, sizeof(*mig));

	if (!mig)
		return -ENOMEM;
	env_work_init(&mig->work, &c->fn.strand, call_work);
	env_work_init(&mig->done_work, &c->fn.strand, done_work);
	env_timer_init(&mig->call_timer, &c->fn.strand, call_timeout);
	list_init(&mig->calls);
	list_init(&mig->out);
	list_init(&mig->done);
	mig->call_ns = NVME_CALL_NS;
	c->mig = mig;
	nvme_suspend_init(c);
	return 0;
}

/* Those that nobody waits for are left to nvme_mig_release(). */
void nvme_mig_leave_locked(struct nvme_ctrl *c)
{
	struct nvme_call *call, *tmp;

	list_for_each_safe(call, tmp, &c->mig->calls, link) {
		if (!call->from)
			continue;
		list_del(&call->link);
		call_answer_locked(call, NVME_SC_INVALID_CTRL_ID | NVME_SC_DNR);
	}
}

void nvme_mig_release(struct nvme_ctrl *c)
{
	struct nvme_mig *mig = c->mig;

	assert(list_empty(&mig->out) && list_empty(&mig->suspends));
	while (!list_empty(&mig->calls)) {
		struct nvme_call *call = list_first(&mig->calls, struct nvme_call, link);

		list_del(&call->link);
		nvme_call_free(call);
	}
	env_work_cancel(&mig->work);
	env_work_cancel(&mig->done_work);
	env_timer_cancel(&mig->call_timer);
	env_timer_cancel(&mig->drain_timer);
	nvme_snapshot_drop(c);
	nvme_load_drop(c);
	nvme_track_stop(c);
	nvme_changes_detach(c);
	free(take_ptr(c->mig));
}
