/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The methods of the control protocol: one table, and what each does. Parameters are checked before. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/lm_rpc.h"
#include "host/rpc.h"
#include "host/vf.h"

#ifndef FERRY_VERSION
#define FERRY_VERSION "0"
#endif

#define RESET_NS UINT64_C(200000000)	/* with the host lock held; before, it was free */

static json_object *schema(const char *name)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "schema", json_object_new_string(name));
	return o;
}

static void finish(struct rpc_call *c, int ret, const struct ferry_err *err)
{
	if (ret < 0)
		rpc_fail(c, err);
	else
		rpc_reply(c, NULL);
}

/* The function that "address" names; answers the call if there is none. */
static struct host_fn *wanted(struct rpc_call *c)
{
	struct ferry_err err = { 0 };
	struct host_fn *hf = host_fn_find(c->h, rpc_str(c->params, "address", ""), &err);

	if (!hf)
		rpc_fail(c, &err);
	return hf;
}

/* As wanted(), and its strand is not parked. */
static struct host_fn *wanted_ready(struct rpc_call *c)
{
	struct host_fn *hf = wanted(c);
	struct ferry_err err = { 0 };

	if (!hf || !host_fn_ready(hf, HOST_BUSY_NS, &err))
		return hf;
	rpc_fail(c, &err);
	return NULL;
}

/*
 * The function or VF that "address" names, with the host lock held: a VF can
 * go at any time otherwise. NULL: the call is answered and the lock is not held.
 */
static struct pci_function *wanted_locked(struct rpc_call *c, bool ready)
{
	struct host_fn *hf = host_fn_find(c->h, rpc_str(c->params, "address", ""), NULL);
	struct ferry_err err = { 0 };
	struct pci_function *fn;

	if (hf && ready && host_fn_ready(hf, HOST_BUSY_NS, &err) < 0) {
		rpc_fail(c, &err);
		return NULL;
	}
	vfio_host_lock(&c->h->vfio);
	fn = host_pci_find(c->h, rpc_str(c->params, "address", ""), &err);
	if (fn && (!ready || hf || !host_pci_ready(fn, &err)))
		return fn;
	vfio_host_unlock(&c->h->vfio);
	rpc_fail(c, &err);
	return NULL;
}

/* ------------------------------------------------------------------- host */

static void host_show(struct rpc_call *c)
{
	json_object *o = schema("ferry.host.v1");
	struct host *h = c->h;
	struct host_fn *hf;
	struct host_ns *ns;
	int nr = 0;

	json_object_object_add(o, "name", json_object_new_string(h->name));
	json_object_object_add(o, "version", json_object_new_string(FERRY_VERSION));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "env", json_object_new_string(env_kind_name(h->env)));
	json_object_object_add(o, "run_dir", json_object_new_string(h->run_dir));
	list_for_each(hf, &h->functions, link)
		nr++;
	json_object_object_add(o, "functions", json_object_new_int(nr));
	nr = 0;
	list_for_each(ns, &h->namespaces, link)
		nr++;
	json_object_object_add(o, "namespaces", json_object_new_int(nr));
	json_object_object_add(o, "sessions", host_session_list(h));
	rpc_reply(c, o);
}

static void host_stop(struct rpc_call *c)
{
	c->h->stopping = true;
	rpc_reply(c, NULL);
}

static void config_save(struct rpc_call *c)
{
	rpc_reply(c, host_config_save(c->h));
}

static void schema_get(struct rpc_call *c)
{
	rpc_reply(c, rpc_schema());
}

/* --------------------------------------------------------------- function */

static void function_add(struct rpc_call *c)
{
	struct ferry_err err = { 0 };
	struct host_fn *hf;

	if (host_fn_add(c->h, c->params, &hf, &err) < 0)
		rpc_fail(c, &err);
	else
		rpc_reply(c, host_fn_json(c->h, hf, false));
}

static void function_list(struct rpc_call *c)
{
	json_object *o = schema("ferry.functions.v1"), *list = json_object_new_array();
	bool some = json_object_object_get_ex(c->params, "controlled_by", NULL);
	struct pci_bdf pf = { 0 };
	struct pci_function *fn;

	(void)pci_bdf_parse(rpc_str(c->params, "controlled_by", ""), &pf);
	/* In the order of the bus. */
	vfio_host_lock(&c->h->vfio);
	list_for_each(fn, &c->h->vfio.bus.functions, bus_link)
		if (!some || (pci_physfn(fn) && pci_bdf_key(pci_physfn(fn)->bdf) == pci_bdf_key(pf)))
			json_object_array_add(list, host_pci_json(c->h, fn, false, false));
	vfio_host_unlock(&c->h->vfio);
	json_object_object_add(o, "functions", list);
	rpc_reply(c, o);
}

static void function_show(struct rpc_call *c)
{
	struct host_fn *hf = host_fn_find(c->h, rpc_str(c->params, "address", ""), NULL);
	struct pci_function *vf;
	json_object *o;

	if (hf) {
		o = host_fn_json(c->h, hf, true);
	} else {
		vf = wanted_locked(c, false);
		if (!vf)
			return;
		o = host_pci_json(c->h, vf, true, !host_pci_ready(vf, NULL));
		vfio_host_unlock(&c->h->vfio);
	}
	json_object_object_add(o, "schema", json_object_new_string("ferry.function.v1"));
	rpc_reply(c, o);
}

static void deleted(void *arg, const struct ferry_err *err)
{
	if (err)
		rpc_fail(arg, err);
	else
		rpc_reply(arg, NULL);
}

static void function_delete(struct rpc_call *c)
{
	struct host_fn *hf = wanted(c);
	struct ferry_err err = { 0 };

	if (hf && host_fn_take_apart(c->h, hf, deleted, c, &err) < 0)
		rpc_fail(c, &err);
}

/* The second half of function_set: the old one is gone; if the new one cannot be made, the old one again. */
static void set_make(void *arg, const struct ferry_err *err)
{
	struct rpc_call *c = arg;
	json_object *before = c->priv, *after = NULL;
	struct ferry_err why = { 0 };
	struct host_fn *hf;

	if (err) {
		rpc_fail(c, err);
		goto out;
	}
	json_object_deep_copy(before, &after, NULL);
	json_object_object_foreach(c->params, key, value)
		json_object_object_add(after, key, json_object_get(value));
	if (!host_fn_add(c->h, after, &hf, &why)) {
		rpc_reply(c, host_fn_json(c->h, hf, false));
		goto out;
	}
	if (host_fn_add(c->h, before, &hf, NULL) < 0)
		log_msg(LOG_ERROR, "function %s is gone: it could not be made again",
			rpc_str(before, "address", "?"));
	rpc_fail(c, &why);
out:
	json_object_put(after);
	json_object_put(before);
}

static void vfs_set(struct pci_sriov_change *change, int ret)
{
	rpc_reply(container_of(change, struct rpc_call, vfs), NULL);
}

/* What writing to sriov_numvfs does; an answer when it is so. */
static void set_vfs(struct rpc_call *c, struct host_fn *hf)
{
	struct ferry_err err = { 0 };
	int ret;

	if (json_object_object_length(c->params) > 2) {
		ferry_err_set(&err, EINVAL, "E-PARAM-VALUE", "set vfs by itself",
			      "vfs: what else is set makes the function anew");
		rpc_fail(c, &err);
		return;
	}
	c->vfs.done = vfs_set;
	vfio_host_lock(&c->h->vfio);
	ret = pci_sriov_set(hf->fn, (unsigned int)rpc_uint(c->params, "vfs", 0), &c->vfs, &err);
	vfio_host_unlock(&c->h->vfio);
	if (ret != -EINPROGRESS)
		finish(c, ret, &err);
}

static void function_set(struct rpc_call *c)
{
	struct ferry_err err = { 0 };
	struct host_fn *hf;

	if (vf_is(c)) {
		vf_set(c);
		return;
	}
	if (vf_only(c))
		return;
	hf = wanted_ready(c);
	if (!hf)
		return;
	if (json_object_object_length(c->params) < 2) {
		ferry_err_set(&err, EINVAL, "E-PARAM-MISSING", NULL, "nothing to set");
		rpc_fail(c, &err);
		return;
	}
	if (json_object_object_get_ex(c->params, "vfs", NULL)) {
		set_vfs(c, hf);
		return;
	}
	vfio_host_lock(&c->h->vfio);
	c->priv = host_fn_params(c->h, hf);
	vfio_host_unlock(&c->h->vfio);
	if (host_fn_take_apart(c->h, hf, set_make, c, &err) < 0) {
		json_object_put(c->priv);
		rpc_fail(c, &err);
	}
}

static void reset_over(struct pci_reset_waiter *w)
{
	struct rpc_call *c = container_of(w, struct rpc_call, reset);

	rpc_reply(c, NULL);
}

static void function_reset(struct rpc_call *c)
{
	struct pci_function *fn = wanted_locked(c, true);
	struct ferry_err err = { 0 };
	struct host *h = c->h;

	if (!fn)
		return;
	if (host_pci_open(fn) && !rpc_bool(c->params, "force", false)) {
		ferry_err_set(&err, EBUSY, "E-FUNCTION-IN-USE", "use --force",
			      "a client has function " PCI_BDF_FMT " open, or a VF of it",
			      PCI_BDF_ARG(fn->bdf));
		goto fail;
	}
	if (env_strand_lock_for(&fn->strand, RESET_NS) < 0) {
		ferry_err_set(&err, EBUSY, "E-FUNCTION-BUSY", "end the program that uses it",
			      "function " PCI_BDF_FMT " is held up by its client",
			      PCI_BDF_ARG(fn->bdf));
		goto fail;
	}
	c->reset.done = reset_over;
	list_init(&c->reset.link);
	pci_reset(fn, PCI_RESET_FLR, &c->reset);
	env_strand_unlock(&fn->strand);
	host_sysfs_refresh(h, fn);
	vfio_host_unlock(&h->vfio);
	return;

fail:
	vfio_host_unlock(&h->vfio);
	rpc_fail(c, &err);
}

/* -------------------------------------------------------------- namespace */

static struct host_ns *wanted_ns(struct rpc_call *c)
{
	struct ferry_err err = { 0 };
	struct host_ns *ns = host_ns_find(c->h, rpc_str(c->params, "name", ""), &err);

	if (ns && ns->fn && host_fn_ready(ns->fn, HOST_BUSY_NS, &err) < 0)
		ns = NULL;
	if (!ns)
		rpc_fail(c, &err);
	return ns;
}

static void namespace_create(struct rpc_call *c)
{
	struct ferry_err err = { 0 };

	if (host_ns_create(c->h, c->params, &err) < 0)
		rpc_fail(c, &err);
	else
		rpc_reply(c, host_ns_json(host_ns_find(c->h, rpc_str(c->params, "name", ""), NULL)));
}

static void namespace_list(struct rpc_call *c)
{
	json_object *o = schema("ferry.namespaces.v1"), *list = json_object_new_array();
	struct host_ns *ns;

	list_for_each(ns, &c->h->namespaces, link)
		json_object_array_add(list, host_ns_json(ns));
	json_object_object_add(o, "namespaces", list);
	rpc_reply(c, o);
}

static void namespace_attach(struct rpc_call *c)
{
	struct host_ns *ns = wanted_ns(c);
	struct host_fn *hf = ns ? wanted_ready(c) : NULL;
	struct ferry_err err = { 0 };
	int ret;

	if (!hf)
		return;
	vfio_host_lock(&c->h->vfio);
	host_ns_refresh(c->h);
	ret = host_ns_attach(ns, hf, (uint32_t)rpc_uint(c->params, "nsid", 0), &err);
	vfio_host_unlock(&c->h->vfio);
	if (ret < 0)
		rpc_fail(c, &err);
	else
		rpc_reply(c, host_ns_json(ns));
}

static void namespace_detach(struct rpc_call *c)
{
	struct host_ns *ns = wanted_ns(c);
	struct ferry_err err = { 0 };
	int ret;

	if (!ns)
		return;
	vfio_host_lock(&c->h->vfio);
	ret = host_ns_detach(ns, &err);
	vfio_host_unlock(&c->h->vfio);
	finish(c, ret, &err);
}

static void namespace_resize(struct rpc_call *c)
{
	uint64_t size = rpc_uint(c->params, "size", 0), lba;
	struct host_ns *ns = wanted_ns(c);
	struct ferry_err err = { 0 };
	int ret = 0;

	if (!ns)
		return;
	lba = UINT64_C(1) << ns->lba_shift;
	if (!size || size % lba)
		ret = ferry_err_set(&err, EINVAL, "E-NS-SIZE", NULL,
				    "size %" PRIu64 " is no multiple of the logical block, %" PRIu64
				    " bytes", size, lba);
	else if (size < atomic_load(&ns->dev->size) && !rpc_bool(c->params, "shrink", false))
		ret = ferry_err_set(&err, EBUSY, "E-NS-SHRINK", "use --shrink",
				    "namespace %s would lose what lies behind %" PRIu64 " bytes",
				    ns->name, size);
	else
		ret = block_resize(ns->dev, size, &err);
	if (!ret && ns->fn) {
		vfio_host_lock(&c->h->vfio);
		nvme_ns_resized(ns->fn->ss, ns->nsid);
		vfio_host_unlock(&c->h->vfio);
	}
	finish(c, ret, &err);
}

static void namespace_delete(struct rpc_call *c)
{
	struct host_ns *ns = wanted_ns(c);
	struct ferry_err err = { 0 };

	if (!ns)
		return;
	vfio_host_lock(&c->h->vfio);
	host_ns_refresh(c->h);
	vfio_host_unlock(&c->h->vfio);
	if (ns->fn) {
		ferry_err_set(&err, EBUSY, "E-NS-ATTACHED", "detach it first",
			      "namespace %s is attached to " PCI_BDF_FMT, ns->name,
			      PCI_BDF_ARG(ns->fn->fn->bdf));
		rpc_fail(c, &err);
		return;
	}
	host_ns_free(ns);
	rpc_reply(c, NULL);
}

static void namespace_claim(struct rpc_call *c)
{
	bool force = json_object_object_get_ex(c->params, "epoch", NULL);
	uint64_t epoch = rpc_uint(c->params, "epoch", 0);
	struct host_ns *ns = wanted_ns(c);
	struct ferry_err err = { 0 };

	if (!ns)
		return;
	if (host_ns_claim(ns, force ? &epoch : NULL, &err) < 0)
		rpc_fail(c, &err);
	else
		rpc_reply(c, host_ns_json(ns));
}

/* ----------------------------------------------------------------- driver */

static void driver_bind(struct rpc_call *c)
{
	struct pci_function *fn = wanted_locked(c, true);
	struct ferry_err err = { 0 };
	int ret;

	if (!fn)
		return;
	ret = host_drv_bind(c->h, fn, rpc_str(c->params, "driver", ""), &err);
	vfio_host_unlock(&c->h->vfio);
	finish(c, ret, &err);
}

/* The override goes too, or the next probe would bind it again. Host lock. */
static void unbound(struct pci_unbind *u, int err)
{
	struct rpc_call *c = container_of(u, struct rpc_call, unbind);

	(void)pci_set_driver_override(u->fn, "", 0);
	host_sysfs_refresh(c->h, u->fn);
	rpc_reply(c, NULL);
}

static void driver_unbind(struct rpc_call *c)
{
	struct pci_function *fn = wanted_locked(c, false);
	struct ferry_err err = { 0 };
	int ret;

	if (!fn)
		return;
	c->unbind.done = unbound;
	ret = pci_unbind(fn, &c->unbind);
	if (ret == -ENODEV)
		ferry_err_set(&err, ENODEV, "E-DRIVER-UNBOUND", NULL,
			      "function " PCI_BDF_FMT " has no driver", PCI_BDF_ARG(fn->bdf));
	else if (ret < 0)
		ferry_err_set(&err, EBUSY, "E-FUNCTION-BUSY", "end the program that uses it",
			      "function " PCI_BDF_FMT " is just being unbound",
			      PCI_BDF_ARG(fn->bdf));
	vfio_host_unlock(&c->h->vfio);
	if (ret < 0)
		rpc_fail(c, &err);
}

static void driver_list(struct rpc_call *c)
{
	json_object *o = schema("ferry.drivers.v1"), *list = json_object_new_array(), *d, *bound;
	struct pci_bus *bus = &c->h->vfio.bus;
	struct pci_function *fn;
	char text[PCI_BDF_LEN];
	unsigned int i;

	vfio_host_lock(&c->h->vfio);
	for (i = 0; i < bus->nr_drivers; i++) {
		d = json_object_new_object();
		bound = json_object_new_array();
		list_for_each(fn, &bus->functions, bus_link) {
			if (fn->driver != bus->drivers[i])
				continue;
			snprintf(text, sizeof(text), PCI_BDF_FMT, PCI_BDF_ARG(fn->bdf));
			json_object_array_add(bound, json_object_new_string(text));
		}
		json_object_object_add(d, "name", json_object_new_string(bus->drivers[i]->name));
		json_object_object_add(d, "functions", bound);
		json_object_array_add(list, d);
	}
	vfio_host_unlock(&c->h->vfio);
	json_object_object_add(o, "drivers", list);
	rpc_reply(c, o);
}

/* -------------------------------------------------------------------- run */

/* The descriptors come in the order listener, broker, trace. */
static void run_attach(struct rpc_call *c)
{
	bool broker = rpc_bool(c->params, "broker", false), trace = rpc_bool(c->params, "trace", false);
	struct host_attach a = {
		.listener = c->fds[0], .broker = -1, .trace = -1,
		.pid = (pid_t)rpc_uint(c->params, "pid", 0),
		.program = rpc_str(c->params, "program", "?"),
	};
	struct ferry_err err = { 0 };

	if (c->nr_fds != 1u + broker + trace) {
		ferry_err_set(&err, EBADF, "E-RUN-FDS", NULL, "%u descriptors came, not %u", c->nr_fds,
			      1u + broker + trace);
		rpc_fail(c, &err);
		return;
	}
	if (broker)
		a.broker = c->fds[1];
	if (trace)
		a.trace = c->fds[1 + broker];
	if (host_session_start(c->h, &a, &err) < 0) {
		rpc_fail(c, &err);
		return;
	}
	c->nr_fds = 0;
	rpc_reply(c, NULL);
}

/* ------------------------------------------------------------------ table */

static const char *const types[] = { "nvme", NULL };
static const char *const doorbells[] = { "trapped", "mapped", NULL };

#define FUNCTION_PARAMS                                                                             \
	{ "serial", RPC_STRING, .min = 1, .max = 20, .help = "serial number" },                     \
	{ "model", RPC_STRING, .min = 1, .max = 40, .help = "model number" },                       \
	{ "firmware", RPC_STRING, .min = 1, .max = 8, .help = "firmware revision" },                \
	{ "subnqn", RPC_STRING, .min = 1, .max = 223, .help = "NVMe qualified name" },              \
	{ "ns", RPC_STRINGS, .max = NVME_NSID_MAX, .help = "namespaces to attach: NAME or NAME:NSID" }, \
	{ "driver", RPC_STRING, .min = 1, .max = 63, .help = "driver to bind" },                    \
	{ "queues", RPC_UINT, .min = 1, .max = NVME_QUEUES_MAX, .help = "I/O queue pairs" },        \
	{ "vectors", RPC_UINT, .min = 1, .max = NVME_QUEUES_MAX + 1, .help = "MSI-X vectors" },     \
	{ "mqes", RPC_UINT, .min = 2, .max = 65535, .help = "entries per queue" },                  \
	{ "mdts", RPC_UINT, .min = 1, .max = 16, .help = "largest transfer, a power of two of 4 KiB" }, \
	{ "doorbells", RPC_ENUM, .words = doorbells, .help = "how a client reaches them" },         \
	{ "no_dbbuf", RPC_BOOL, .help = "offer no shadow doorbells" },                              \
	{ "no_sgl", RPC_BOOL, .help = "offer no SGLs" },                                            \
	{ "capacity", RPC_SIZE, .help = "bytes for namespaces that a guest makes, in memory" },     \
	{ "vfs_max", RPC_UINT, .min = 1, .max = SRIOV_VFS_MAX, .help = "VFs that there can be" },   \
	{ "vq_flexible", RPC_UINT, .min = 2, .max = SRIOV_VFS_MAX * (NVME_QUEUES_MAX + 1),          \
	  .help = "queue resources for VFs; by default as many for each as the function has" },     \
	{ "vi_flexible", RPC_UINT, .min = 1, .max = SRIOV_VFS_MAX * (NVME_QUEUES_MAX + 1),          \
	  .help = "interrupt resources for VFs; by default likewise" },                             \
	{ "vq_per_vf", RPC_UINT, .min = 2, .max = NVME_QUEUES_MAX + 1,                              \
	  .help = "queue resources that one VF can have" },                                         \
	{ "vi_per_vf", RPC_UINT, .min = 1, .max = NVME_QUEUES_MAX + 1,                              \
	  .help = "interrupt resources that one VF can have" },                                     \
	{ "vfs", RPC_UINT, .max = SRIOV_VFS_MAX, .help = "VFs that there are; needs a driver of PFs" }

#define ADDRESS { "address", RPC_ADDRESS, .required = true, .help = "PCI address" }
#define NAME { "name", RPC_NAME, .required = true, .help = "namespace" }

static const struct rpc_param add_params[] = {
	{ "type", RPC_ENUM, .required = true, .words = types, .help = "kind of device" },
	{ "address", RPC_ADDRESS, .help = "PCI address; the lowest free one" },
	FUNCTION_PARAMS, { NULL },
};
static const struct rpc_param set_params[] = { ADDRESS, FUNCTION_PARAMS, VF_PARAMS, { NULL } };
static const struct rpc_param list_params[] = {
	{ "controlled_by", RPC_ADDRESS, .help = "only the VFs of this PF" }, { NULL },
};
static const struct rpc_param address_params[] = { ADDRESS, { NULL } };
static const struct rpc_param reset_params[] = {
	ADDRESS, { "force", RPC_BOOL, .help = "also while a client has it" }, { NULL },
};
static const struct rpc_param create_params[] = {
	NAME,
	{ "backing", RPC_STRING, .required = true, .min = 1, .max = 319,
	  .help = "file:PATH, block:PATH, memory or null" },
	{ "size", RPC_SIZE, .help = "bytes; without it a file or block device is taken as it is" },
	{ "lba", RPC_UINT, .min = 512, .max = 4096, .help = "logical block, 512 or 4096 bytes" },
	{ "uuid", RPC_UUID, .help = "UUID; random" },
	{ "read_only", RPC_BOOL, .help = "open the store for reading only" },
	{ "shared", RPC_BOOL, .help = "other hosts have it too; one of them owns it" },
	{ "owner_file", RPC_STRING, .min = 1, .max = 319, .help = "its owner record; PATH" ".ferry-owner" },
	{ NULL },
};
static const struct rpc_param claim_params[] = {
	NAME, { "epoch", RPC_UINT, .max = INT64_MAX, .help = "by force: the epoch that the record has" },
	{ NULL },
};
static const struct rpc_param name_params[] = { NAME, { NULL } };
static const struct rpc_param attach_params[] = {
	NAME, ADDRESS, { "nsid", RPC_UINT, .min = 1, .max = NVME_NSID_MAX, .help = "namespace id" },
	{ NULL },
};
static const struct rpc_param resize_params[] = {
	NAME, { "size", RPC_SIZE, .required = true, .help = "bytes" },
	{ "shrink", RPC_BOOL, .help = "also to a smaller size" }, { NULL },
};
static const struct rpc_param bind_params[] = {
	ADDRESS, { "driver", RPC_STRING, .required = true, .min = 1, .max = 63, .help = "driver" },
	{ NULL },
};
static const struct rpc_param run_params[] = {
	{ "pid", RPC_UINT, .required = true, .min = 1, .max = INT32_MAX, .help = "the program" },
	{ "program", RPC_STRING, .max = 4096, .help = "its name" },
	{ "broker", RPC_BOOL, .help = "a broker socket came along" },
	{ "trace", RPC_BOOL, .help = "a file for the trace came along" }, { NULL },
};

const struct rpc_method rpc_methods[] = {
	{ "host_show", "describe the host", NULL, 0, host_show },
	{ "host_stop", "end the daemon", NULL, 0, host_stop },
	{ "function_add", "make a function", add_params, 0, function_add },
	{ "function_list", "all functions", list_params, 0, function_list },
	{ "function_show", "one function", address_params, 0, function_show },
	{ "function_set", "change a function that no client has: it is made anew, but for vfs", set_params, 0,
	  function_set },
	{ "function_delete", "remove a function that no client has", address_params, 0,
	  function_delete },
	{ "function_reset", "function level reset", reset_params, 0, function_reset },
	{ "namespace_create", "open a store under a name", create_params, 0, namespace_create },
	{ "namespace_list", "all namespaces", NULL, 0, namespace_list },
	{ "namespace_attach", "give a namespace to a function", attach_params, 0, namespace_attach },
	{ "namespace_detach", "take it away again", name_params, 0, namespace_detach },
	{ "namespace_resize", "change the size of its store", resize_params, 0, namespace_resize },
	{ "namespace_delete", "close the store and forget the name", name_params, 0,
	  namespace_delete },
	{ "namespace_claim", "become owner of a shared namespace", claim_params, 0, namespace_claim },
	{ "lm_describe", "identity, storage and shape of a function, and why it can't migrate",
	  address_params, 0, lm_describe },
	{ "state_save", "the state of a function that no client has, into the file that comes along",
	  lm_save_params, 1, lm_state_save },
	{ "state_load", "a state from the file that comes along", address_params, 1, lm_state_load },
	{ "driver_list", "drivers and what they are bound to", NULL, 0, driver_list },
	{ "driver_explain", "which drivers fit a function, and which of them is chosen",
	  address_params, 0, vf_driver_explain },
	{ "driver_bind", "set driver_override and bind", bind_params, 0, driver_bind },
	{ "driver_unbind", "unbind, when the client has let go, and clear driver_override",
	  address_params, 0, driver_unbind },
	{ "run_attach", "supervise a program; seccomp listener, broker, trace come as descriptors",
	  run_params, RPC_FDS_MAX, run_attach },
	{ "config_save", "the whole configuration, as --config takes it", NULL, 0, config_save },
	{ "schema_get", "this table", NULL, 0, schema_get },
	{ NULL },
};
