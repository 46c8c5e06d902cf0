/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Get and Set Features. One row per feature: what may be done with it, and
 * how it is read and written. Plain dwords need no code, only the bits that
 * can be set. Current values fall back to the saved ones at every reset;
 * what cannot be saved has its default there.
 */
#include <string.h>

#include "models/nvme/mig.h"

#define CHANGE NVME_FEAT_CAP_CHANGEABLE
#define SAVE NVME_FEAT_CAP_SAVEABLE
#define PER_NS NVME_FEAT_CAP_PER_NS

#define TEMP_OVER 343u			/* default threshold, kelvin; Identify's WCTEMP */
#define TEMP_SEL_ALL 15u

struct feature {
	uint32_t caps;
	bool mmc;			/* of the migration management controller only */
	bool any_nsid;			/* not a namespace's, but Set Features may name one */
	/* A dword in struct nvme_features at @off, of which @bits can be set, ... */
	size_t off;
	uint32_t bits;
	/* ... or functions. set() changes @f, get() gives DW0; either may move data. */
	uint16_t (*set)(struct nvme_req *req, struct nvme_features *f);
	uint16_t (*get)(struct nvme_req *req, const struct nvme_features *f);
};

static uint32_t cdw11(const struct nvme_req *req)
{
	return le32_get(req->sqe.cdw11);
}

static uint16_t bad_field(struct nvme_req *req, uint16_t loc)
{
	req->error_loc = loc;
	return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
}

/* ------------------------------------------------------ 02h Power Management */

static uint16_t set_power(struct nvme_req *req, struct nvme_features *f)
{
	if (cdw11(req) & 0x1f)	/* there is power state 0 only */
		return bad_field(req, 44);
	f->power = cdw11(req) & 0xe0;
	return NVME_SC_SUCCESS;
}

static uint16_t get_power(struct nvme_req *req, const struct nvme_features *f)
{
	req->dw0 = f->power;
	return NVME_SC_SUCCESS;
}

/* -------------------------------------------------- 04h Temperature Threshold */

uint8_t nvme_critical_warning(const struct nvme_ctrl *c)
{
	const struct nvme_features *f = &c->st->feat;

	return NVME_TEMPERATURE >= f->temp_over[0] || NVME_TEMPERATURE <= f->temp_under[0] ? 1u << 1 : 0;
}

static uint16_t check_temp(struct nvme_req *req, unsigned int sel)
{
	/* The composite temperature is the only one; 2 and 3 of THSEL are reserved. */
	return sel != 0 || (cdw11(req) >> 20 & 3) > 1 ? bad_field(req, 46) : NVME_SC_SUCCESS;
}

static uint16_t set_temp(struct nvme_req *req, struct nvme_features *f)
{
	unsigned int sel = cdw11(req) >> 16 & 0xf;
	uint16_t status = check_temp(req, sel == TEMP_SEL_ALL ? 0 : sel);

	if (status)
		return status;
	*(cdw11(req) >> 20 & 3 ? &f->temp_under[0] : &f->temp_over[0]) = cdw11(req) & 0xffff;
	return NVME_SC_SUCCESS;
}

static uint16_t get_temp(struct nvme_req *req, const struct nvme_features *f)
{
	uint16_t status = check_temp(req, cdw11(req) >> 16 & 0xf);

	if (!status)
		req->dw0 = cdw11(req) >> 20 & 3 ? f->temp_under[0] : f->temp_over[0];
	return status;
}

/* -------------------------------------------------------- 05h Error Recovery */

static uint16_t set_error_recovery(struct nvme_req *req, struct nvme_features *f)
{
	const uint32_t nsid = le32_get(req->sqe.nsid);

	if (cdw11(req) & NVME_FEAT_ERROR_DULBE)	/* no namespace reports deallocated blocks */
		return bad_field(req, 46);
	for (uint32_t i = 1; i <= NVME_NSID_MAX; i++) {
		if (i == nsid || nsid == NVME_NSID_ALL)
			f->error_recovery[i] = cdw11(req) & 0xffff;
	}
	return NVME_SC_SUCCESS;
}

static uint16_t get_error_recovery(struct nvme_req *req, const struct nvme_features *f)
{
	req->dw0 = f->error_recovery[le32_get(req->sqe.nsid)];
	return NVME_SC_SUCCESS;
}

/* -------------------------------------------------------- 07h Number of Queues */

static uint16_t set_queues(struct nvme_req *req, struct nvme_features *f)
{
	const struct nvme_ctrl *c = req->c;
	const uint32_t sqs = cdw11(req) & 0xffff, cqs = cdw11(req) >> 16;
	const uint32_t max = c->queues - 1u;

	if (nvme_qmap_next(&c->sqs, 1) != NVME_QIDS || nvme_qmap_next(&c->cqs, 1) != NVME_QIDS)
		return NVME_SC_CMD_SEQ_ERROR | NVME_SC_DNR;
	if (sqs == 0xffff || cqs == 0xffff)
		return bad_field(req, sqs == 0xffff ? 44 : 46);
	f->queues = MIN(sqs, max) | MIN(cqs, max) << 16;
	req->dw0 = f->queues;
	return NVME_SC_SUCCESS;
}

static uint16_t get_queues(struct nvme_req *req, const struct nvme_features *f)
{
	req->dw0 = f->queues;
	return NVME_SC_SUCCESS;
}

/* --------------------------------------------- 09h Interrupt Vector Configuration */

static uint16_t set_vector(struct nvme_req *req, struct nvme_features *f)
{
	const uint32_t iv = cdw11(req) & 0xffff;

	if (iv >= req->c->vectors)
		return bad_field(req, 44);
	f->vector_config[iv] = cdw11(req) & 0x1ffff;
	return NVME_SC_SUCCESS;
}

static uint16_t get_vector(struct nvme_req *req, const struct nvme_features *f)
{
	const uint32_t iv = cdw11(req) & 0xffff;

	if (iv >= req->c->vectors)
		return bad_field(req, 44);
	req->dw0 = f->vector_config[iv];
	return NVME_SC_SUCCESS;
}

/* ------------------------------------------------------------- 0Eh Timestamp */

static uint16_t set_timestamp(struct nvme_req *req, struct nvme_features *f)
{
	struct nvme_timestamp ts;
	uint16_t status = nvme_xfer_in(req, &ts, sizeof(ts));

	if (status)
		return status;
	f->timestamp_base = 0;
	for (unsigned int i = 0; i < sizeof(ts.timestamp); i++)
		f->timestamp_base |= (uint64_t)ts.timestamp[i] << 8 * i;
	f->timestamp_at = env_now(&req->c->fn.strand);
	f->timestamp_origin = 1;	/* set by the host */
	return NVME_SC_SUCCESS;
}

static uint16_t get_timestamp(struct nvme_req *req, const struct nvme_features *f)
{
	const uint64_t ms = f->timestamp_base + (env_now(&req->c->fn.strand) - f->timestamp_at) / 1000000;
	struct nvme_timestamp ts = { .attr = (uint8_t)(f->timestamp_origin << 1) };

	for (unsigned int i = 0; i < sizeof(ts.timestamp); i++)
		ts.timestamp[i] = (uint8_t)(ms >> 8 * i);
	return nvme_xfer_out(req, &ts, sizeof(ts));
}

/* ------------------------------------------------- 16h Host Behavior Support */

/* ACRE, ETDAS, LBAFEE are booleans. */
static bool behavior_valid(const uint8_t *data)
{
	return data[0] <= 1 && data[1] <= 1 && data[2] <= 1;
}

static uint16_t set_behavior(struct nvme_req *req, struct nvme_features *f)
{
	uint8_t data[sizeof(f->host_behavior)];
	uint16_t status = nvme_xfer_in(req, data, sizeof(data));

	if (status)
		return status;
	if (!behavior_valid(data))
		return bad_field(req, 0xffff);
	memcpy(f->host_behavior, data, sizeof(data));
	return NVME_SC_SUCCESS;
}

static uint16_t get_behavior(struct nvme_req *req, const struct nvme_features *f)
{
	return nvme_xfer_out(req, f->host_behavior, sizeof(f->host_behavior));
}

/* ------------------------------------------------------- 81h Host Identifier */

static uint16_t set_host_id(struct nvme_req *req, struct nvme_features *f)
{
	const uint32_t exhid = cdw11(req) & 1;
	uint8_t id[sizeof(f->host_id)] = { 0 };
	uint16_t status = nvme_xfer_in(req, id, exhid ? 16 : 8);

	if (status)
		return status;
	memcpy(f->host_id, id, sizeof(id));
	f->host_id_exhid = exhid;
	return NVME_SC_SUCCESS;
}

static uint16_t get_host_id(struct nvme_req *req, const struct nvme_features *f)
{
	return nvme_xfer_out(req, f->host_id, cdw11(req) & 1 ? 16 : 8);
}

/* -------------------------------------------------------------------- table */

#define DWORD(field, mask) .off = offsetof(struct nvme_features, field), .bits = (mask)

static const struct feature features[256] = {
	[NVME_FEAT_FID_ARBITRATION] = { CHANGE | SAVE, DWORD(arbitration, 0xffffff07) },
	[NVME_FEAT_FID_POWER_MGMT] = { CHANGE, .set = set_power, .get = get_power },
	[NVME_FEAT_FID_TEMP_THRESH] = { CHANGE | SAVE, .set = set_temp, .get = get_temp },
	[NVME_FEAT_FID_ERR_RECOVERY] = { CHANGE | SAVE | PER_NS,
		.set = set_error_recovery, .get = get_error_recovery },
	/* QEMU's driver of nvme:// names its namespace here, and gives up if that is refused. */
	[NVME_FEAT_FID_VOLATILE_WC] = { CHANGE | SAVE, DWORD(vwc, NVME_FEAT_VWC_WCE),
		.any_nsid = true },
	[NVME_FEAT_FID_NUM_QUEUES] = { CHANGE, .set = set_queues, .get = get_queues },
	[NVME_FEAT_FID_IRQ_COALESCE] = { CHANGE | SAVE, DWORD(coalescing, 0xffff) },
	[NVME_FEAT_FID_IRQ_CONFIG] = { CHANGE, .set = set_vector, .get = get_vector },
	[NVME_FEAT_FID_WRITE_ATOMIC] = { CHANGE | SAVE, DWORD(write_atomicity, 1) },
	[NVME_FEAT_FID_ASYNC_EVENT] = { CHANGE, DWORD(async_config, 0x1f | NVME_OAES_NA) },
	[NVME_FEAT_FID_TIMESTAMP] = { CHANGE, .set = set_timestamp, .get = get_timestamp },
	[NVME_FEAT_FID_HOST_BEHAVIOR] = { CHANGE, .set = set_behavior, .get = get_behavior },
	[NVME_FEAT_FID_CDQ] = { CHANGE, .mmc = true, .set = nvme_cdq_set, .get = nvme_cdq_get },
	[NVME_FEAT_FID_HOST_ID] = { CHANGE, .set = set_host_id, .get = get_host_id },
};

#define OF_CTRL (NVME_FID_FSUPP | NVME_FID_CCC | 2u << NVME_FID_FSP_SHIFT)
#define OF_NS (NVME_FID_FSUPP | NVME_FID_NCC | 1u << NVME_FID_FSP_SHIFT)

/* Log page 12h. */
const uint32_t nvme_feature_effects[256] = {
	[NVME_FEAT_FID_ARBITRATION] = OF_CTRL,
	[NVME_FEAT_FID_POWER_MGMT] = OF_CTRL,
	[NVME_FEAT_FID_TEMP_THRESH] = OF_CTRL,
	[NVME_FEAT_FID_ERR_RECOVERY] = OF_NS,
	[NVME_FEAT_FID_VOLATILE_WC] = OF_CTRL,
	[NVME_FEAT_FID_NUM_QUEUES] = OF_CTRL,
	[NVME_FEAT_FID_IRQ_COALESCE] = OF_CTRL,
	[NVME_FEAT_FID_IRQ_CONFIG] = OF_CTRL,
	[NVME_FEAT_FID_WRITE_ATOMIC] = OF_CTRL,
	[NVME_FEAT_FID_ASYNC_EVENT] = OF_CTRL,
	[NVME_FEAT_FID_TIMESTAMP] = OF_CTRL,
	[NVME_FEAT_FID_HOST_BEHAVIOR] = OF_CTRL,
	[NVME_FEAT_FID_CDQ] = NVME_FID_FSUPP | 1u << 6 << NVME_FID_FSP_SHIFT,
	[NVME_FEAT_FID_HOST_ID] = OF_CTRL,
};

static void features_default(const struct nvme_ctrl *c, struct nvme_features *f)
{
	*f = (struct nvme_features){
		.vwc = NVME_FEAT_VWC_WCE,
		.queues = (c->queues - 1u) | (c->queues - 1u) << 16,
	};
	f->temp_over[0] = TEMP_OVER;
	for (uint32_t iv = 0; iv < ARRAY_SIZE(f->vector_config); iv++)
		f->vector_config[iv] = iv;
}

void nvme_features_init(struct nvme_ctrl *c)
{
	features_default(c, &c->st->feat_saved);
	c->st->feat = c->st->feat_saved;
}

static bool dwords_valid(const struct nvme_features *f)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *ft = &features[i];

		if (ft->bits && *(const uint32_t *)(const void *)((const uint8_t *)f + ft->off) & ~ft->bits)
			return false;
	}
	return true;
}

bool nvme_features_valid(const struct nvme_ctrl *c, const struct nvme_features *f)
{
	struct nvme_features initial;

	features_default(c, &initial);
	if (!dwords_valid(f) || f->power & ~0xe0u || !behavior_valid(f->host_behavior) ||
	    f->host_id_exhid > 1 || f->timestamp_base >> 48 || f->timestamp_origin > 1 ||
	    f->keep_alive || (f->queues & 0xffff) > (initial.queues & 0xffff) ||
	    f->queues >> 16 > initial.queues >> 16 || f->error_recovery[0])
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(f->temp_over); i++) {
		if ((i ? f->temp_over[i] | f->temp_under[i] : 0) || f->temp_over[i] > 0xffff ||
		    f->temp_under[i] > 0xffff)
			return false;
	}
	for (uint32_t i = 1; i <= NVME_NSID_MAX; i++) {
		if (f->error_recovery[i] > 0xffff)
			return false;
	}
	for (uint32_t iv = 0; iv < ARRAY_SIZE(f->vector_config); iv++) {
		/* What cannot be set is as it was. */
		if (iv < c->vectors ? (f->vector_config[iv] & 0xffff) != iv || f->vector_config[iv] > 0x1ffff :
					  f->vector_config[iv] != iv)
			return false;
	}
	return true;
}

static bool feature_has(const struct nvme_ctrl *c, const struct feature *ft)
{
	return ft->caps && (c->cfg.migrates || !ft->mmc);
}

/* NSID, where the feature is a namespace's and where it isn't. */
static uint16_t check_nsid(struct nvme_req *req, const struct feature *ft, bool set)
{
	const uint32_t nsid = le32_get(req->sqe.nsid);

	req->error_loc = 4;
	if (!(ft->caps & PER_NS)) {
		if (set && !ft->any_nsid && nsid != 0 && nsid != NVME_NSID_ALL)
			return NVME_SC_FEATURE_NOT_PER_NS | NVME_SC_DNR;
	} else if (!set || nsid != NVME_NSID_ALL) {
		if (nsid == 0 || nsid > NVME_NSID_MAX)
			return NVME_SC_INVALID_NS | NVME_SC_DNR;
		if (!nvme_ns_active(req->c, nsid))
			return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
	req->error_loc = 0xffff;
	return NVME_SC_SUCCESS;
}

static uint16_t feature_set(struct nvme_req *req, const struct feature *ft, struct nvme_features *f)
{
	if (ft->set)
		return ft->set(req, f);
	*(uint32_t *)(void *)((uint8_t *)f + ft->off) = cdw11(req) & ft->bits;
	return NVME_SC_SUCCESS;
}

void nvme_set_features(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t cdw10 = le32_get(req->sqe.cdw10);
	const struct feature *ft = &features[cdw10 & 0xff];
	const bool warned = nvme_critical_warning(c);
	uint16_t status;

	if (!feature_has(c, ft))
		status = bad_field(req, 40);
	else if ((cdw10 & NVME_FEAT_SAVE) && !(ft->caps & SAVE))
		status = NVME_SC_FEATURE_NOT_SAVEABLE | NVME_SC_DNR;
	else if (!(ft->caps & CHANGE))
		status = NVME_SC_FEATURE_NOT_CHANGEABLE | NVME_SC_DNR;
	else
		status = check_nsid(req, ft, true);
	if (!status)
		status = feature_set(req, ft, &c->st->feat);
	/* The same once more: saveable features have no data and no second effect. */
	if (!status && (cdw10 & NVME_FEAT_SAVE))
		status = feature_set(req, ft, &c->st->feat_saved);
	if (!warned && nvme_critical_warning(c))
		nvme_event(c, NVME_AER_SMART, NVME_AER_SMART_TEMPERATURE_THRESHOLD, NVME_LOG_LID_SMART);
	nvme_req_complete(req, status);
}

void nvme_get_features(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;
	const uint32_t cdw10 = le32_get(req->sqe.cdw10);
	const struct feature *ft = &features[cdw10 & 0xff];
	const struct nvme_features *f = &c->st->feat;
	struct nvme_features initial;
	uint16_t status = NVME_SC_SUCCESS;

	if (!feature_has(c, ft)) {
		nvme_req_complete(req, bad_field(req, 40));
		return;
	}
	switch (cdw10 >> 8 & 7) {
	case NVME_GET_FEATURES_SEL_CURRENT:
		break;
	case NVME_GET_FEATURES_SEL_DEFAULT:
		features_default(c, &initial);
		initial.timestamp_at = env_now(&c->fn.strand);
		f = &initial;
		break;
	case NVME_GET_FEATURES_SEL_SAVED:
		initial = c->st->feat_saved;
		initial.timestamp_at = env_now(&c->fn.strand);
		f = &initial;
		break;
	case NVME_GET_FEATURES_SEL_SUPPORTED:
		req->dw0 = ft->caps;
		nvme_req_complete(req, NVME_SC_SUCCESS);
		return;
	default:
		nvme_req_complete(req, bad_field(req, 41));
		return;
	}
	status = check_nsid(req, ft, false);
	if (!status && ft->get)
		status = ft->get(req, f);
	else if (!status)
		memcpy(&req->dw0, (const uint8_t *)f + ft->off, sizeof(req->dw0));
	nvme_req_complete(req, status);
}
