/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Methods about VFs and which driver fits what, for the table in methods.c. */
#ifndef HOST_VF_H
#define HOST_VF_H

#include "host/rpc.h"

/** vf_is() - does "address" name a VF? Takes the host lock. */
bool vf_is(struct rpc_call *c);
/** vf_only() - of something else: was a parameter given that is for VFs? Then the call is answered. */
bool vf_only(struct rpc_call *c);
/** vf_set() - function_set of a VF: provision it and bind a driver to it. */
void vf_set(struct rpc_call *c);
/** vf_driver_explain() - which drivers fit a function, which is the one, and why. */
void vf_driver_explain(struct rpc_call *c);
/** vf_driver_auto() - the VFIO driver that says the most about @fn, or NULL. Host lock. */
const struct pci_driver *vf_driver_auto(struct host *h, const struct pci_function *fn);

/* What of function_set's parameters is for VFs. */
#define VF_PARAMS                                                                                   \
	{ "vq", RPC_UINT, .min = 2, .max = NVME_QUEUES_MAX + 1,                                     \
	  .help = "of a VF: queue resources, the admin queue among them" },                         \
	{ "vi", RPC_UINT, .min = 1, .max = NVME_QUEUES_MAX + 1,                                     \
	  .help = "of a VF: interrupt resources" },                                                 \
	{ "migratable", RPC_BOOL, .help = "of a VF: may it be migrated" },                          \
	{ "activate", RPC_BOOL, .help = "of a VF: take it online, or with false offline" },         \
	{ "deactivate", RPC_BOOL, .help = "of a VF: take it offline" }

#endif
