/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Methods about migratable functions, for the table in methods.c. */
#ifndef HOST_LM_RPC_H
#define HOST_LM_RPC_H

#include "host/rpc.h"

extern const struct rpc_param lm_save_params[];
void lm_describe(struct rpc_call *c);
/** lm_state_save(), lm_state_load() - of a function that no client has; the stream is the file that comes along. */
void lm_state_save(struct rpc_call *c);
void lm_state_load(struct rpc_call *c);

#endif
