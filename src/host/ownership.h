/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Namespaces that other hosts can reach as well, and which host owns them:
 * struct owner (ferry/owner.h) for the host's namespaces, and the hooks by
 * which the migration of a function moves them (struct lm_owner_ops).
 */
#ifndef HOST_OWNERSHIP_H
#define HOST_OWNERSHIP_H

#include <ferry/lm.h>
#include <ferry/owner.h>

#include "host/host.h"

struct host_shared;	/* a namespace's record; referenced by its host_ns and by operations under way */

/** host_ownership_init() - register the hooks. release: no function left; waits for operations under way. */
int host_ownership_init(struct host *h, struct ferry_err *err);
void host_ownership_release(struct host *h);

/**
 * host_shared_open() - the record at @path, claimed if nobody else has it. Control thread; may block.
 * @uuid: in: wanted, or zero; out: the record's
 * Return: 0, owned or not; -errno.
 */
int host_shared_open(struct host *h, const char *path, uint8_t uuid[16], struct host_shared **s,
		     struct ferry_err *err);
/** host_shared_ready() - its store is open. */
void host_shared_ready(struct host_shared *s, struct block_dev *dev);
/** host_shared_close() - gives it up if this host owns it, so that another may claim it. */
void host_shared_close(struct host_shared *s);

bool host_shared_owned(struct host_shared *s);
/** host_shared_claim() - become owner; @force: whatever the record says, if its epoch is @epoch. */
int host_shared_claim(struct host_shared *s, bool force, uint64_t epoch, struct ferry_err *err);

/** host_shared_json() - {"path", "state", "epoch", "owned", "owner", "peer"}; state "BUSY" while it changes. */
json_object *host_shared_json(struct host_shared *s);

#endif
