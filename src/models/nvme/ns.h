/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The namespace table from inside: for the commands that change it. */
#ifndef NVME_NS_H
#define NVME_NS_H

#include <stdio.h>

#include "models/nvme/nvme.h"

/**
 * ns_insert() - put a namespace on @dev (own reference taken) into the table
 * @cfg: checked; its uuid is not zero
 * Return: 0 with *@nsid; -ENOSPC, -EEXIST, -EINVAL (NSID above NN), -ENOMEM.
 */
int ns_insert(struct nvme_subsys *ss, struct block_dev *dev, const struct nvme_ns_config *cfg,
	      bool guest_made, bool shared, uint32_t *nsid);

/**
 * ns_drop() - take @ns out of the table and put its device
 * @refs: how many of its references are the caller's and the table's
 * Return: 0 and those references are gone, or -EBUSY: attached, in flight, or
 * looked at by others.
 */
int ns_drop(struct nvme_subsys *ss, struct nvme_ns *ns, unsigned int refs);

/** ns_attached() - who has @ns. For a consistent answer with ss->lock held. */
struct nvme_slots ns_attached(const struct nvme_ns *ns);
bool ns_any_attached(const struct nvme_ns *ns);

/* With ss->lock held: */

struct nvme_ctrl *ns_ctrl_locked(struct nvme_subsys *ss, uint16_t cntlid);
/** ns_slot_locked() - the slot of a controller, which need not exist now (VFs), or -1. */
int ns_slot_locked(const struct nvme_subsys *ss, uint16_t cntlid);
/** ns_attach_locked() - 0, -EEXIST: is already, -EPERM: private, and attached elsewhere. */
int ns_attach_locked(struct nvme_ns *ns, unsigned int slot);
/** ns_detach_locked() - 0, or -ENOENT: was not attached. */
int ns_detach_locked(struct nvme_ns *ns, unsigned int slot);
/** ns_notice_locked() - tell the controllers in @slots that @nsid changed. */
void ns_notice_locked(struct nvme_subsys *ss, uint32_t nsid, const struct nvme_slots *slots);

#endif
