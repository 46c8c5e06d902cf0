/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferryd: one software host. Owns the bus, the namespaces by name, the shadow
 * tree, the control socket, the sessions. Its one control thread runs
 * host_step(): connections, requests and tasks; unless said otherwise, what is
 * declared here is for that thread. The host lock (vfio_host.lock) guards bus,
 * binding and shadow tree, which the sessions' threads use as well.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <json-c/json.h>

#include <ferry/nvme.h>
#include <ferry/sriov.h>
#include <ferry/vfio.h>
#include <frontends/uapi/uapi.h>

#define HOST_NAME_MAX_LEN 63
#define HOST_BUSY_NS UINT64_C(2000000000)	/* how long a parked function may keep a request waiting */

/* Something for the control thread to do, soon. Queued at most once at a time. */
struct host_task {
	void (*fn)(struct host_task *t);
	struct list link;
};

/* A function as the host made it: a subsystem of its own with one controller. */
struct host_fn {
	struct list link;
	struct pci_function *fn;
	struct nvme_subsys *ss;
	uint16_t cntlid;
	json_object *params;		/* as function_add took them, without ns and driver */
	bool changing;			/* being deleted or made anew: not for other requests */
};

/* A namespace as the host knows it: a name and a store. */
struct host_ns {
	struct list link;
	char name[HOST_NAME_MAX_LEN + 1];
	struct block_dev *dev;
	unsigned int lba_shift;
	uint8_t uuid[16];
	bool read_only;
	struct host_shared *shared;	/* other hosts can reach it: ownership.h; else NULL */
	char owner_file[320];		/* as given, or empty */
	struct host_fn *fn;		/* attached to this function's subsystem as @nsid, or NULL */
	uint32_t nsid;
};

struct host_session;
struct host_ownership;
struct host_shared;

/* An id that new_id gave to a driver. Host lock. */
struct host_dynid {
	struct list link;
	const struct pci_driver *drv;
	struct pci_id id;
};

struct host {
	char name[HOST_NAME_MAX_LEN + 1];
	char run_dir[256];		/* .../ferry/NAME */
	char root[272];			/* run_dir/root, the shadow tree */
	int run_fd;
	int lock_fd;			/* one daemon per name */
	enum env_kind kind;
	struct ferry_env *env;
	struct vfio_host vfio;
	struct uapi_host uapi;

	struct host_ownership *own;
	struct list namespaces;		/* struct host_ns, by name */
	struct list functions;		/* struct host_fn */
	struct list sessions;		/* struct host_session */

	struct pci_observer sysfs;	/* keeps the shadow tree */
	int root_fd;
	struct list dynids;		/* struct host_dynid */

	int epoll_fd, listen_fd, wake_fd;
	struct list conns;		/* struct rpc_conn */
	unsigned int nr_conns;
	pthread_mutex_t task_lock;
	struct list tasks;		/* under task_lock */
	bool stopping;
};

/* ------------------------------------------------------------------ host.c */

/**
 * host_create() - a host in its runtime folder, worker running, listening, no function yet
 * @kind: or -1: io_uring where it may be used, else epoll
 * Return: 0, or -errno with @err filled and nothing left behind. -EBUSY: a
 * daemon of that name runs.
 */
int host_create(const char *name, int kind, struct host **h, struct ferry_err *err);

/** host_destroy() - end the sessions, take everything apart, remove the runtime folder. */
void host_destroy(struct host *h);

/** host_step() - one turn of the control loop; waits at most @timeout_ms, -1: until something happens. */
void host_step(struct host *h, int timeout_ms);

/** host_task_queue() - from any thread, under any lock. */
void host_task_queue(struct host *h, struct host_task *t);

/* --------------------------------------------------------------- session.c */

struct host_attach {
	int listener, broker, trace;	/* taken over on success */
	pid_t pid;
	const char *program;
};

int host_session_start(struct host *h, const struct host_attach *a, struct ferry_err *err);
json_object *host_session_list(struct host *h);
/** host_session_stop_all() - ask the programs to end, then kill them, then close everything of theirs. */
void host_session_stop_all(struct host *h);

/* ------------------------------------------------------------- namespace.c */

int host_ns_create(struct host *h, json_object *params, struct ferry_err *err);
struct host_ns *host_ns_find(struct host *h, const char *name, struct ferry_err *err);
/** host_ns_attach() - host lock held, @hf's strand not parked. @nsid 0: the lowest free. */
int host_ns_attach(struct host_ns *ns, struct host_fn *hf, uint32_t nsid, struct ferry_err *err);
/** host_ns_add() - likewise, but attached to no controller: @hf's subsystem has it. */
int host_ns_add(struct host_ns *ns, struct host_fn *hf, uint32_t nsid, struct ferry_err *err);
int host_ns_detach(struct host_ns *ns, struct ferry_err *err);
/** host_ns_forget() - @hf's subsystem is gone: nothing is attached to it any more. */
void host_ns_forget(struct host *h, const struct host_fn *hf);
/** host_ns_refresh() - a guest may have detached or deleted what the host attached. Host lock. */
void host_ns_refresh(struct host *h);
void host_ns_free(struct host_ns *ns);
/** host_ns_claim() - become owner of a shared namespace; @epoch not NULL: by force. May block. */
int host_ns_claim(struct host_ns *ns, const uint64_t *epoch, struct ferry_err *err);
json_object *host_ns_json(const struct host_ns *ns);
/** host_ns_params() - what namespace_create would take to make @ns. */
json_object *host_ns_params(const struct host_ns *ns);

/* -------------------------------------------------------------- function.c */

/** host_fn_add() - make what @params (checked) describe; all of it or nothing. */
int host_fn_add(struct host *h, json_object *params, struct host_fn **hf, struct ferry_err *err);
/** host_fn_find() - of a VF: -its PF has it- an error. */
struct host_fn *host_fn_find(struct host *h, const char *address, struct ferry_err *err);
/** host_pci_find() - a function or a VF of one, valid while the host lock is held. Host lock. */
struct pci_function *host_pci_find(struct host *h, const char *address, struct ferry_err *err);
/** host_fn_ready() - 0 when the strand can be had within @ns, else E-FUNCTION-BUSY. No lock held. */
int host_fn_ready(struct host_fn *hf, uint64_t ns, struct ferry_err *err);
bool host_pci_open(struct pci_function *fn);	/* a client has it, or one of its VFs; host lock */
json_object *host_fn_json(struct host *h, struct host_fn *hf, bool all);
/** host_pci_json() - of a function or a VF. Host lock; @ready: its strand can be had: all about it. */
json_object *host_pci_json(struct host *h, struct pci_function *fn, bool all, bool ready);
/** host_pci_ready() - as host_fn_ready(), for a moment only. Host lock. */
int host_pci_ready(struct pci_function *fn, struct ferry_err *err);
/** host_fn_params() - what function_add would take to make @hf. */
json_object *host_fn_params(struct host *h, struct host_fn *hf);

/**
 * host_fn_take_apart() - unbind, reset, off the bus, freed
 * @done: called later on the control thread; @err NULL: it is gone.
 * Return: 0, or -EBUSY with @err filled: a client has it, or it is changing already.
 */
int host_fn_take_apart(struct host *h, struct host_fn *hf,
		       void (*done)(void *arg, const struct ferry_err *err), void *arg,
		       struct ferry_err *err);

/* ---------------------------------------------------------------- config.c */

/** host_config_save() - a new object that host_config_load() takes. */
json_object *host_config_save(struct host *h);
int host_config_load(struct host *h, json_object *config, struct ferry_err *err);
int host_config_load_file(struct host *h, const char *path, struct ferry_err *err);

/* ----------------------------------------------------------------- sysfs.c */

/* The shadow tree under run_dir/root. Host lock where it exists already. */
int host_sysfs_init(struct host *h, struct ferry_err *err);
void host_sysfs_release(struct host *h);
/** host_sysfs_refresh() - write the attributes of @fn that change without a driver's coming or going. */
void host_sysfs_refresh(struct host *h, struct pci_function *fn);

/* ------------------------------------------------------------------ attr.c */

/** host_attr_store() - uapi_host.attr_store. Any thread, no lock held. */
int64_t host_attr_store(void *arg, const char *path, const char *text, size_t len,
			struct uapi_attr_call *call);

/** host_drv_bind() - bind as if "driver_override" named @drv, which it then does. Host lock. */
int host_drv_bind(struct host *h, struct pci_function *fn, const char *drv, struct ferry_err *err);

#endif
