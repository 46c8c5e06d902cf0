/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Secondary controllers: which belongs to which VF, what it has, and bringing
 * it back. A reset of the primary takes them all offline and their resources
 * away; the device forgets, the driver does not.
 */
#include "drivers/nvme/dev.h"

/* Base, "Identify - Secondary Controller List". */
struct secondary_entry {
	le16 scid, pcid;
	uint8_t scs, rsvd5[3];
	le16 vfn, nvq, nvi;		/* vfn: 1-based, 0: not a VF */
	uint8_t rsvd14[18];
};
SPEC_SIZE(struct secondary_entry, 32);

#define ENTRIES_MAX 127u
#define SCS_ONLINE 1u

int secondary_take(struct nvme_dev *dev, const void *page)
{
	const struct secondary_entry *e = (const struct secondary_entry *)page + 1;
	unsigned int n = *(const uint8_t *)page, i;
	uint16_t last = 0;

	if (n > ENTRIES_MAX)
		return -EPROTO;
	for (i = 0; i < n; i++) {
		unsigned int vf = le16_get(e[i].vfn) - 1u;

		if (le16_get(e[i].scid) <= last)
			return -EPROTO;
		last = le16_get(e[i].scid);
		if (vf >= SRIOV_VFS_MAX)
			continue;
		dev->sec[vf].cntlid = last;
		dev->sec[vf].vq = le16_get(e[i].nvq);
		dev->sec[vf].vi = le16_get(e[i].nvi);
		dev->sec[vf].online = e[i].scs & SCS_ONLINE;
		/* Whoever put it online before us meant it. */
		if (dev->sec[vf].online && !dev->sec[vf].wanted) {
			dev->sec[vf].wanted = true;
			dev->sec[vf].want_vq = dev->sec[vf].vq;
			dev->sec[vf].want_vi = dev->sec[vf].vi;
		}
	}
	return n == ENTRIES_MAX && last < 0xffef ? last + 1 : 0;
}

struct nvme_sqe secondary_manage(uint16_t cntlid, unsigned int rt, unsigned int act, uint32_t nr)
{
	return (struct nvme_sqe){
		.opcode = nvme_admin_virtual_mgmt,
		.cdw10 = le32_of((uint32_t)cntlid << 16 | rt << 8 | act),
		.cdw11 = le32_of(nr),
	};
}

/* ------------------------------------------------------------------- restore */

static void restore_next(struct nvme_dev *dev);

static bool restore_needed(const struct nvme_dev *dev, unsigned int i)
{
	const struct dev_secondary *s = &dev->sec[i];

	return s->cntlid && s->wanted && !s->online && !s->provision &&
	       i < pci_sriov_enabled(dev->fn);
}

static void restore_done(struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = cmd->arg;
	struct dev_secondary *s = &dev->sec[dev->restore_at];

	if (cmd->err) {
		dev->restoring = false;
		return;
	}
	if (cmd->status) {
		DEV_LOG(dev, LOG_WARN, "controller %04xh cannot be brought back: status %03xh", s->cntlid,
			cmd->status);
		s->wanted = false;
	} else if (dev->restore_step++ == 3) {
		s->vq = s->want_vq;
		s->vi = s->want_vi;
		s->online = true;
	}
	if (cmd->status || dev->restore_step > 3) {
		dev->restore_at++;
		dev->restore_step = 0;
	}
	restore_next(dev);
}

static void restore_next(struct nvme_dev *dev)
{
	bool now = dev->restore.now;
	struct dev_secondary *s;

	while (dev->restore_at < SRIOV_VFS_MAX && !dev->restore_step &&
	       !restore_needed(dev, dev->restore_at))
		dev->restore_at++;
	if (dev->restore_at == SRIOV_VFS_MAX) {
		dev->restoring = false;
		if (dev->restored)
			dev->restored(dev);
		return;
	}
	s = &dev->sec[dev->restore_at];
	dev->restore = (struct nvme_dev_cmd){ .done = restore_done, .arg = dev, .now = now };
	switch (dev->restore_step) {
	case 0:
		dev->restore.sqe = secondary_manage(s->cntlid, 0, VIRT_OFFLINE, 0);
		break;
	case 1:
		dev->restore.sqe = secondary_manage(s->cntlid, VIRT_VQ, VIRT_ASSIGN, s->want_vq);
		break;
	case 2:
		dev->restore.sqe = secondary_manage(s->cntlid, VIRT_VI, VIRT_ASSIGN, s->want_vi);
		break;
	default:
		dev->restore.sqe = secondary_manage(s->cntlid, 0, VIRT_ONLINE, 0);
	}
	nvme_dev_submit(dev, &dev->restore);
}

void secondary_restore(struct nvme_dev *dev, bool bring_up, void (*then)(struct nvme_dev *dev))
{
	if (dev->restoring)
		return;
	dev->restoring = true;
	dev->restored = then;
	dev->restore_at = dev->restore_step = 0;
	dev->restore.now = bring_up;
	restore_next(dev);
}

/* ------------------------------------------------------------------ look-ups */

int nvme_dev_secondary(struct nvme_dev *dev, unsigned int index, struct nvme_secondary *s)
{
	int ret = -ENODEV;

	if (index >= SRIOV_VFS_MAX)
		return ret;
	env_strand_lock(&dev->fn->strand);
	if (dev->sec[index].cntlid) {
		*s = (struct nvme_secondary){
			.cntlid = dev->sec[index].cntlid, .vq = dev->sec[index].vq,
			.vi = dev->sec[index].vi, .online = dev->sec[index].online,
		};
		ret = 0;
	}
	env_strand_unlock(&dev->fn->strand);
	s->migratable = !ret && dev->migratable[index];
	return ret;
}
