/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The control protocol: JSON-RPC 2.0, one message per line, on a UNIX socket
 * that may carry file descriptors. Methods are in one table (methods.c); what
 * their parameters may be is checked here, before a method runs.
 */
#ifndef HOST_RPC_H
#define HOST_RPC_H

#include "host/host.h"

#define RPC_LINE_MAX 65536u	/* one request */
#define RPC_OUT_MAX (4u << 20)	/* replies that the client has not read */
#define RPC_DEPTH_MAX 16
#define RPC_FDS_MAX 4
#define RPC_CALLS_MAX 64	/* per connection, not answered yet */
#define RPC_CONNS_MAX 512

enum rpc_type {
	RPC_STRING,	/* min, max: length */
	RPC_NAME,	/* of a host or namespace */
	RPC_UINT,	/* min, max: value */
	RPC_SIZE,	/* integer, or text such as "64M"; min, max: bytes */
	RPC_BOOL,
	RPC_ENUM,	/* one of words */
	RPC_ADDRESS,	/* of a PCI function */
	RPC_STRINGS,	/* array of strings; max: how many */
	RPC_UUID,
};

struct rpc_param {
	const char *name;
	enum rpc_type type;
	bool required;
	uint64_t min, max;
	const char *const *words;	/* ends with NULL */
	const char *help;
};

struct rpc_call;

struct rpc_method {
	const char *name;
	const char *help;
	const struct rpc_param *params;	/* ends with a NULL name; NULL: none */
	unsigned int max_fds;		/* more than these are closed unseen */
	void (*fn)(struct rpc_call *c);
};

extern const struct rpc_method rpc_methods[];	/* ends with a NULL name */
const struct rpc_method *rpc_method_find(const char *name);

struct rpc_conn;

/**
 * struct rpc_call - one request until its reply
 * @params: checked; never NULL. The call's.
 * @fds: what came with it; those that the method leaves there are closed
 * @conn: NULL once the client is gone. Control thread.
 */
struct rpc_call {
	struct host *h;
	struct rpc_conn *conn;
	const struct rpc_method *method;
	json_object *params;
	int fds[RPC_FDS_MAX];
	unsigned int nr_fds;
	/* The protocol's. */
	json_object *id;
	bool want_reply;
	struct list link;
	struct host_task task;
	json_object *result;
	struct ferry_err err;
	/* The method's, while it is in progress. */
	void *priv;
	struct pci_unbind unbind;
	struct pci_reset_waiter reset;
	struct pci_sriov_change vfs;
};

/** rpc_reply() - answer with @result (taken over; NULL: {}). Any thread, any lock; @c is gone then. */
void rpc_reply(struct rpc_call *c, json_object *result);
/** rpc_fail() - answer with an error, copied. As rpc_reply(). */
void rpc_fail(struct rpc_call *c, const struct ferry_err *err);

/** rpc_check() - do @values fit @params? Unknown keys, missing keys, types, ranges. */
int rpc_check(const struct rpc_param *params, json_object *values, struct ferry_err *err);

/* Values of checked parameters. */
const char *rpc_str(json_object *params, const char *key, const char *dflt);
uint64_t rpc_uint(json_object *params, const char *key, uint64_t dflt);
bool rpc_bool(json_object *params, const char *key, bool dflt);

/** rpc_schema() - the whole table as JSON. */
json_object *rpc_schema(void);

/** rpc_conn_add() - serve the connected socket @fd (taken over on success). */
int rpc_conn_add(struct host *h, int fd);
void rpc_conn_event(struct rpc_conn *c, uint32_t events);
void rpc_conn_close_all(struct host *h);

#endif
