/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What the driver wants to know of the device, asked one after the other:
 * Identify Controller, Supported Controller State Formats (if it manages live
 * migration), Primary Controller Capabilities and the Secondary Controller
 * List (if it has Virtualization Management). Then secondaries that a reset
 * took offline are brought back, and the controller is live.
 */
#include "drivers/nvme/dev.h"

/* Base, "Identify - Primary Controller Capabilities", as far as it is used. */
struct primary_caps {
	le16 cntlid, portid;
	uint8_t crt, rsvd5[27];
	le32 vqfrt, vqrfa;
	le16 vqrfap, vqprt, vqfrsm, vqgran;
	uint8_t rsvd48[16];
	le32 vifrt, virfa;
	le16 virfap, viprt, vifrsm, vigran;
};
SPEC_SIZE(struct primary_caps, 80);
SPEC_OFFSET(struct primary_caps, vqfrsm, 44);
SPEC_OFFSET(struct primary_caps, vifrsm, 76);

static void ask(struct nvme_dev *dev, uint32_t cns, uint16_t cntid, void (*done)(struct nvme_dev_cmd *))
{
	dev->ident = (struct nvme_dev_cmd){
		.sqe = { .opcode = nvme_admin_identify, .cdw10 = le32_of(cns | (uint32_t)cntid << 16) },
		.len = NVME_IDENTIFY_DATA_SIZE, .done = done, .arg = dev, .now = true,
	};
	nvme_dev_submit(dev, &dev->ident);
}

/* Is there something to look at? A command that ended otherwise ends the bring-up, unless a reset did. */
static bool answered(struct nvme_dev *dev, const struct nvme_dev_cmd *cmd, const char *what)
{
	if (!cmd->err && cmd->status == NVME_SC_SUCCESS)
		return true;
	if (!cmd->err) {
		DEV_LOG(dev, LOG_WARN, "Identify %s: status %03xh", what, cmd->status);
		ctrl_failed(dev, "Identify failed");
	}
	return false;
}

static void secondaries_done(struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = cmd->arg;
	int next;

	if (!answered(dev, cmd, "Secondary Controller List"))
		return;
	next = secondary_take(dev, cmd->in);
	if (next < 0)
		ctrl_failed(dev, "a Secondary Controller List that makes no sense");
	else if (next)
		ask(dev, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, (uint16_t)next, secondaries_done);
	else
		secondary_restore(dev, true, ctrl_live);
}

static void primary_done(struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = cmd->arg;
	const struct primary_caps *caps = cmd->in;

	if (!answered(dev, cmd, "Primary Controller Capabilities"))
		return;
	dev->vq_max = le16_get(caps->vqfrsm);
	dev->vi_max = le16_get(caps->vifrsm);
	ask(dev, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, 0, secondaries_done);
}

static void virt_ask(struct nvme_dev *dev)
{
	if (le16_get(dev->id.oacs) & NVME_OACS_VIRT_MGMT)
		ask(dev, NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP, 0, primary_done);
	else
		ctrl_live(dev);
}

/* Byte 0 NV, byte 1 NUUID, then the versions, then the UUIDs; indexes are 1-based. */
static void formats_take(struct nvme_dev *dev, const uint8_t *data)
{
	unsigned int nv = data[0], nuuid = data[1], i;

	if (2 + 2 * nv + 16 * nuuid > NVME_IDENTIFY_DATA_SIZE)
		return;
	for (i = 0; i < nv && !dev->csvi; i++)
		if (!data[2 + 2 * i] && !data[3 + 2 * i])
			dev->csvi = (uint8_t)(i + 1);
	if (nuuid) {
		dev->csuuidi = 1;
		memcpy(dev->format_uuid, data + 2 + 2 * nv, sizeof(dev->format_uuid));
	}
	dev->lm_capable = dev->csvi != 0;
}

static void formats_done(struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = cmd->arg;

	if (!answered(dev, cmd, "Supported Controller State Formats"))
		return;
	formats_take(dev, cmd->in);
	if (!dev->lm_capable)
		DEV_LOG(dev, LOG_WARN, "no Controller State format that is known here");
	virt_ask(dev);
}

static void ctrl_done(struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = cmd->arg;

	if (!answered(dev, cmd, "Controller"))
		return;
	memcpy(&dev->id, cmd->in, sizeof(dev->id));
	if (le16_get(dev->id.oacs) & NVME_OACS_HMLM)
		ask(dev, NVME_IDENTIFY_CNS_SUPPORTED_CTRL_STATE_FORMATS, 0, formats_done);
	else
		virt_ask(dev);
}

void ident_start(struct nvme_dev *dev)
{
	unsigned int i;

	dev->csvi = dev->csuuidi = 0;
	dev->lm_capable = false;
	memset(dev->format_uuid, 0, sizeof(dev->format_uuid));
	dev->vq_max = dev->vi_max = 0;
	for (i = 0; i < SRIOV_VFS_MAX; i++)
		dev->sec[i].cntlid = 0;
	ask(dev, NVME_IDENTIFY_CNS_CTRL, 0, ctrl_done);
}
