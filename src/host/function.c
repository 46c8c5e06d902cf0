/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Functions: made from parameters, described, taken apart. Control thread.
 *
 * Taking apart has steps that others finish: the driver lets go (a client may
 * have to close first), the model finishes what is in flight, and only then
 * the function leaves the bus. Each step ends in a task.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/rpc.h"

#define UNREGISTER_TRIES 20	/* of 100 ms each, in pci_unregister() */
#define READY_NS UINT64_C(200000000)

struct host_fn *host_fn_find(struct host *h, const char *address, struct ferry_err *err)
{
	struct pci_function *vf;
	struct host_fn *hf;
	struct pci_bdf bdf;

	if (pci_bdf_parse(address, &bdf) < 0) {
		ferry_err_set(err, EINVAL, "E-PARAM-VALUE", "write it as 0000:01:00.0",
			      "%s is no PCI address", address);
		return NULL;
	}
	list_for_each(hf, &h->functions, link) {
		if (pci_bdf_key(hf->fn->bdf) != pci_bdf_key(bdf))
			continue;
		if (!hf->changing)
			return hf;
		ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", NULL,
			      "function " PCI_BDF_FMT " is just being taken apart", PCI_BDF_ARG(bdf));
		return NULL;
	}
	vfio_host_lock(&h->vfio);
	vf = pci_find(&h->vfio.bus, bdf);
	if (vf)
		ferry_err_set(err, EINVAL, "E-FUNCTION-VF", "do that to its PF",
			      PCI_BDF_FMT " is a VF of " PCI_BDF_FMT, PCI_BDF_ARG(bdf),
			      PCI_BDF_ARG(pci_physfn(vf)->bdf));
	else
		ferry_err_set(err, ENODEV, "E-FUNCTION-UNKNOWN", "ferry ls",
			      "no function " PCI_BDF_FMT " on host %s", PCI_BDF_ARG(bdf), h->name);
	vfio_host_unlock(&h->vfio);
	return NULL;
}

/* The one that has @fn, or whose VF it is. */
static struct host_fn *owner_of(struct host *h, const struct pci_function *fn)
{
	const struct pci_function *pf = pci_physfn(fn) ? pci_physfn(fn) : fn;
	struct host_fn *hf;

	list_for_each(hf, &h->functions, link)
		if (hf->fn == pf)
			return hf;
	return NULL;
}

struct pci_function *host_pci_find(struct host *h, const char *address, struct ferry_err *err)
{
	struct pci_function *fn;
	struct host_fn *hf;
	struct pci_bdf bdf;

	if (pci_bdf_parse(address, &bdf) < 0) {
		ferry_err_set(err, EINVAL, "E-PARAM-VALUE", "write it as 0000:01:00.0",
			      "%s is no PCI address", address);
		return NULL;
	}
	fn = pci_find(&h->vfio.bus, bdf);
	hf = fn ? owner_of(h, fn) : NULL;
	if (hf && !hf->changing)
		return fn;
	if (hf)
		ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", NULL,
			      "function " PCI_BDF_FMT " is just being taken apart",
			      PCI_BDF_ARG(hf->fn->bdf));
	else
		ferry_err_set(err, ENODEV, "E-FUNCTION-UNKNOWN", "ferry ls",
			      "no function " PCI_BDF_FMT " on host %s", PCI_BDF_ARG(bdf), h->name);
	return NULL;
}

static int strand_ready(struct pci_function *fn, uint64_t ns, struct ferry_err *err)
{
	if (env_strand_lock_for(&fn->strand, ns) < 0)
		return ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", "end the program that uses it",
				     "function " PCI_BDF_FMT " is held up by its client",
				     PCI_BDF_ARG(fn->bdf));
	env_strand_unlock(&fn->strand);
	return 0;
}

int host_fn_ready(struct host_fn *hf, uint64_t ns, struct ferry_err *err)
{
	return strand_ready(hf->fn, ns, err);
}

int host_pci_ready(struct pci_function *fn, struct ferry_err *err)
{
	return strand_ready(fn, READY_NS, err);
}

bool host_pci_open(struct pci_function *fn)
{
	struct vfio_device *d = vfio_device_of(fn);
	struct vfio_device_info_ext info = { 0 };
	struct pci_function *vf;
	unsigned int i;

	if (d)
		vfio_device_describe(d, &info);
	for (i = 0; i < pci_sriov_numvfs(fn) && !info.open; i++) {
		vf = pci_vf(fn, i);
		info.open = vf && host_pci_open(vf);
	}
	return info.open;
}

/* -------------------------------------------------------------------- add */

static void fill_config(json_object *p, struct pci_bdf bdf, struct nvme_subsys_config *sc,
			struct nvme_ctrl_config *cc)
{
	*sc = (struct nvme_subsys_config){ .capacity = rpc_uint(p, "capacity", 0) };
	snprintf(sc->subnqn, sizeof(sc->subnqn), "%s", rpc_str(p, "subnqn", ""));
	snprintf(sc->model, sizeof(sc->model), "%s", rpc_str(p, "model", "ferry NVMe"));
	snprintf(sc->firmware, sizeof(sc->firmware), "%s", rpc_str(p, "firmware", "0.1"));
	if (rpc_str(p, "serial", NULL))
		snprintf(sc->serial, sizeof(sc->serial), "%s", rpc_str(p, "serial", ""));
	else
		snprintf(sc->serial, sizeof(sc->serial), "F%04X%02X%02X", bdf.domain, bdf.bus,
			 bdf.devfn);
	*cc = (struct nvme_ctrl_config){
		.cntlid = 1,
		.queues = (uint16_t)rpc_uint(p, "queues", 8),
		.vectors = (uint16_t)rpc_uint(p, "vectors", 0),
		.mqes = (uint16_t)rpc_uint(p, "mqes", 0),
		.mdts = (uint8_t)rpc_uint(p, "mdts", 0),
		.no_dbbuf = rpc_bool(p, "no_dbbuf", false),
		.no_sgl = rpc_bool(p, "no_sgl", false),
		.doorbells = strcmp(rpc_str(p, "doorbells", "trapped"), "mapped")
			? NVME_DOORBELLS_TRAPPED : NVME_DOORBELLS_MAPPED,
		.migrates = rpc_uint(p, "vfs_max", 0) > 0,
		.vfs_max = (uint16_t)rpc_uint(p, "vfs_max", 0),
		.vq_flexible = (uint32_t)rpc_uint(p, "vq_flexible", 0),
		.vi_flexible = (uint32_t)rpc_uint(p, "vi_flexible", 0),
		.vq_per_vf = (uint16_t)rpc_uint(p, "vq_per_vf", 0),
		.vi_per_vf = (uint16_t)rpc_uint(p, "vi_per_vf", 0),
	};
}

static int choose_address(struct host *h, json_object *p, struct pci_bdf *bdf, struct ferry_err *err)
{
	const char *text = rpc_str(p, "address", NULL);

	if (!text) {
		if (pci_bus_next_slot(&h->vfio.bus, bdf) < 0)
			return ferry_err_set(err, ENOSPC, "E-FUNCTION-FULL", NULL, "no free PCI address");
		return 0;
	}
	if (pci_bdf_parse(text, bdf) < 0)
		return -EINVAL;
	if (pci_find(&h->vfio.bus, *bdf))
		return ferry_err_set(err, EEXIST, "E-FUNCTION-EXISTS", "choose another address",
				     "there is a function " PCI_BDF_FMT " already", PCI_BDF_ARG(*bdf));
	return 0;
}

/* An entry of ns: "NAME" or "NAME:NSID". */
static int parse_ns(struct host *h, const char *text, struct host_ns **ns, uint32_t *nsid,
		    struct ferry_err *err)
{
	const char *colon = strchr(text, ':');
	unsigned long v = 0;
	char name[HOST_NAME_MAX_LEN + 1], *end = NULL;

	*nsid = 0;
	*ns = NULL;
	snprintf(name, sizeof(name), "%.*s", (int)(colon ? MIN(colon - text, 63) : 63), text);
	if (colon) {
		v = strtoul(colon + 1, &end, 10);
		if (end == colon + 1 || *end || !v || v > NVME_NSID_MAX)
			return ferry_err_set(err, EINVAL, "E-NS-ID", NULL,
					     "ns: %.100s: the namespace id is not 1 to %u", text,
					     NVME_NSID_MAX);
	}
	*ns = host_ns_find(h, name, err);
	*nsid = (uint32_t)v;
	return *ns ? 0 : -ENOENT;
}

static int attach_all(struct host *h, struct host_fn *hf, json_object *list, struct ferry_err *err)
{
	size_t i, n = list ? json_object_array_length(list) : 0;
	struct host_ns *ns;
	uint32_t nsid;
	int ret;

	for (i = 0; i < n; i++) {
		ret = parse_ns(h, json_object_get_string(json_object_array_get_idx(list, i)), &ns, &nsid,
			       err);
		if (!ret)
			ret = host_ns_attach(ns, hf, nsid, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void set_param(json_object *params, const char *key, const char *text)
{
	json_object_object_add(params, key, json_object_new_string(text));
}

/* What the function was made with, complete enough to make it again. */
static json_object *remember(json_object *params, struct pci_bdf bdf,
			     const struct nvme_subsys_config *sc)
{
	char address[PCI_BDF_LEN];
	json_object *o = NULL;

	if (json_object_deep_copy(params, &o, NULL) < 0)
		return NULL;
	json_object_object_del(o, "ns");
	json_object_object_del(o, "driver");
	json_object_object_del(o, "vfs");
	snprintf(address, sizeof(address), PCI_BDF_FMT, PCI_BDF_ARG(bdf));
	set_param(o, "address", address);
	set_param(o, "serial", sc->serial);
	set_param(o, "model", sc->model);
	set_param(o, "firmware", sc->firmware);
	return o;
}

static int make(struct host *h, struct host_fn *hf, json_object *params, struct ferry_err *err)
{
	const char *driver = rpc_str(params, "driver", NULL);
	const struct pci_driver *drv = driver ? pci_driver_find(&h->vfio.bus, driver) : NULL;
	unsigned int vfs = (unsigned int)rpc_uint(params, "vfs", 0);
	struct nvme_subsys_config sc;
	struct nvme_ctrl_config cc;
	json_object *ns = NULL;
	struct pci_bdf bdf = { 0 };
	int ret;

	if (driver && !drv)
		return ferry_err_set(err, ENOENT, "E-DRIVER-UNKNOWN", "ferry driver list",
				     "no driver %s", driver);
	if (vfs && (!drv || !drv->sriov))
		return ferry_err_set(err, ENOENT, "E-SRIOV-DRIVER", "name a driver of PFs",
				     "vfs: %s manages no VFs", driver ? driver : "no driver");
	if (vfs > rpc_uint(params, "vfs_max", 0))
		return ferry_err_set(err, ERANGE, "E-SRIOV-TOTAL", "raise vfs_max",
				     "vfs: %u are more than there can be", vfs);
	ret = choose_address(h, params, &bdf, err);
	if (ret < 0)
		return ret;
	fill_config(params, bdf, &sc, &cc);
	hf->cntlid = cc.cntlid;
	hf->params = remember(params, bdf, &sc);
	if (!hf->params)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	ret = nvme_subsys_create(&sc, &hf->ss, err);
	if (ret < 0)
		goto err_params;
	ret = nvme_ctrl_create(hf->ss, &cc, h->env, &hf->fn, err);
	if (ret < 0)
		goto err_subsys;
	hf->fn->bdf = bdf;
	json_object_object_get_ex(params, "ns", &ns);
	ret = attach_all(h, hf, ns, err);
	if (ret < 0)
		goto err_ctrl;
	ret = pci_register(&h->vfio.bus, hf->fn);
	if (ret < 0) {
		ferry_err_set(err, -ret, "E-FUNCTION-EXISTS", NULL, "cannot register " PCI_BDF_FMT ": %s",
			      PCI_BDF_ARG(bdf), strerror(-ret));
		goto err_ctrl;
	}
	ret = driver ? host_drv_bind(h, hf->fn, driver, err) : 0;
	if (ret < 0)
		goto err_bus;
	return 0;

err_bus:
	(void)pci_unregister(hf->fn);
err_ctrl:
	host_ns_forget(h, hf);
	nvme_ctrl_destroy(hf->fn);
err_subsys:
	nvme_subsys_destroy(hf->ss);
err_params:
	json_object_put(hf->params);
	return ret;
}

static void dropped(void *arg, const struct ferry_err *err)
{
	if (err)
		log_msg(LOG_ERROR, "%s", err->msg);
}

int host_fn_add(struct host *h, json_object *params, struct host_fn **hf, struct ferry_err *err)
{
	struct host_fn *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	vfio_host_lock(&h->vfio);
	ret = make(h, new, params, err);
	vfio_host_unlock(&h->vfio);
	if (ret < 0) {
		free(new);
		return ret;
	}
	list_add_tail(&h->functions, &new->link);
	vfio_host_lock(&h->vfio);
	if (rpc_uint(params, "vfs", 0))
		ret = pci_sriov_set(new->fn, (unsigned int)rpc_uint(params, "vfs", 0), NULL, err);
	vfio_host_unlock(&h->vfio);
	if (ret < 0) {
		(void)host_fn_take_apart(h, new, dropped, NULL, NULL);
		return ret;
	}
	*hf = new;
	return 0;
}

/* ------------------------------------------------------------- take apart */

struct teardown {
	struct host *h;
	struct host_fn *hf;
	struct host_task task;
	struct pci_unbind unbind;
	struct pci_reset_waiter reset;
	struct pci_sriov_change vfs;
	unsigned int tries;
	void (*done)(void *arg, const struct ferry_err *err);
	void *arg;
};

static void teardown_fail(struct teardown *t, const struct ferry_err *err)
{
	t->hf->changing = false;
	t->done(t->arg, err);
	free(t);
}

static void teardown_free(struct host_task *task)
{
	struct teardown *t = container_of(task, struct teardown, task);
	struct host_fn *hf = t->hf;
	struct ferry_err err;
	int ret;

	vfio_host_lock(&t->h->vfio);
	ret = pci_unregister(hf->fn);
	if (!ret) {
		host_ns_forget(t->h, hf);
		nvme_ctrl_destroy(hf->fn);
		nvme_subsys_destroy(hf->ss);
	}
	vfio_host_unlock(&t->h->vfio);
	if (ret < 0 && ++t->tries < UNREGISTER_TRIES) {
		host_task_queue(t->h, task);
		return;
	}
	if (ret < 0) {
		ferry_err_set(&err, EBUSY, "E-FUNCTION-BUSY", NULL,
			      "function " PCI_BDF_FMT " still has requests in flight",
			      PCI_BDF_ARG(hf->fn->bdf));
		teardown_fail(t, &err);
		return;
	}
	list_del(&hf->link);
	json_object_put(hf->params);
	free(hf);
	t->done(t->arg, NULL);
	free(t);
}

static void teardown_reset_done(struct pci_reset_waiter *w)
{
	struct teardown *t = container_of(w, struct teardown, reset);

	t->task.fn = teardown_free;
	host_task_queue(t->h, &t->task);
}

static void teardown_reset(struct host_task *task)
{
	struct teardown *t = container_of(task, struct teardown, task);
	struct env_strand *st = &t->hf->fn->strand;
	struct ferry_err err;

	if (env_strand_lock_for(st, HOST_BUSY_NS) < 0) {
		ferry_err_set(&err, EBUSY, "E-FUNCTION-BUSY", "end the program that uses it",
			      "function " PCI_BDF_FMT " is held up by its client",
			      PCI_BDF_ARG(t->hf->fn->bdf));
		teardown_fail(t, &err);
		return;
	}
	t->reset.done = teardown_reset_done;
	pci_reset(t->hf->fn, PCI_RESET_BUS, &t->reset);
	env_strand_unlock(st);
}

static void teardown_unbound(struct pci_unbind *u, int err)
{
	struct teardown *t = container_of(u, struct teardown, unbind);

	host_task_queue(t->h, &t->task);
}

static void teardown_unbind(struct host_task *task)
{
	struct teardown *t = container_of(task, struct teardown, task);
	struct pci_function *fn = t->hf->fn;
	struct ferry_err err;
	int ret = 0;

	vfio_host_lock(&t->h->vfio);
	t->task.fn = teardown_reset;
	if (!fn->driver)
		host_task_queue(t->h, &t->task);
	else
		ret = pci_unbind(fn, &t->unbind);
	vfio_host_unlock(&t->h->vfio);
	if (ret < 0) {
		ferry_err_set(&err, EBUSY, "E-FUNCTION-BUSY", NULL,
			      "function " PCI_BDF_FMT " is just being unbound", PCI_BDF_ARG(fn->bdf));
		teardown_fail(t, &err);
	}
}

static void teardown_vfs_gone(struct pci_sriov_change *c, int err)
{
	struct teardown *t = container_of(c, struct teardown, vfs);

	t->task.fn = teardown_unbind;
	host_task_queue(t->h, &t->task);
}

int host_fn_take_apart(struct host *h, struct host_fn *hf,
		       void (*done)(void *arg, const struct ferry_err *err), void *arg,
		       struct ferry_err *err)
{
	struct teardown *t = calloc(1, sizeof(*t));
	int ret = 0;

	if (!t)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	*t = (struct teardown){ .h = h, .hf = hf, .done = done, .arg = arg,
				.unbind.done = teardown_unbound, .task.fn = teardown_reset };
	list_init(&t->task.link);
	list_init(&t->reset.link);
	vfio_host_lock(&h->vfio);
	t->vfs.done = teardown_vfs_gone;
	if (host_pci_open(hf->fn))
		ret = ferry_err_set(err, EBUSY, "E-FUNCTION-IN-USE", "end the program that uses it",
				    "a client has function " PCI_BDF_FMT " open",
				    PCI_BDF_ARG(hf->fn->bdf));
	else if (pci_sriov_disable(hf->fn, &t->vfs) == -EINPROGRESS)
		;	/* teardown_vfs_gone() goes on */
	else if (!hf->fn->driver)
		host_task_queue(h, &t->task);
	else if (pci_unbind(hf->fn, &t->unbind) < 0)
		ret = ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", NULL,
				    "function " PCI_BDF_FMT " is just being unbound",
				    PCI_BDF_ARG(hf->fn->bdf));
	hf->changing = !ret;
	vfio_host_unlock(&h->vfio);
	if (ret < 0)
		free(t);
	return ret;
}

/* --------------------------------------------------------------- describe */

json_object *host_fn_params(struct host *h, struct host_fn *hf)
{
	json_object *o = NULL, *list = json_object_new_array();
	struct host_ns *ns;
	char text[HOST_NAME_MAX_LEN + 16];

	if (json_object_deep_copy(hf->params, &o, NULL) < 0)
		o = json_object_new_object();
	list_for_each(ns, &h->namespaces, link) {
		if (ns->fn != hf)
			continue;
		snprintf(text, sizeof(text), "%s:%" PRIu32, ns->name, ns->nsid);
		json_object_array_add(list, json_object_new_string(text));
	}
	json_object_object_add(o, "ns", list);
	if (hf->fn->driver)
		set_param(o, "driver", hf->fn->driver->name);
	if (pci_sriov_numvfs(hf->fn))
		json_object_object_add(o, "vfs", json_object_new_int((int)pci_sriov_numvfs(hf->fn)));
	return o;
}

static json_object *namespaces_of(struct host *h, const struct host_fn *hf)
{
	json_object *list = json_object_new_array(), *o;
	struct host_ns *ns;

	list_for_each(ns, &h->namespaces, link) {
		if (ns->fn != hf)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(ns->name));
		json_object_object_add(o, "nsid", json_object_new_uint64(ns->nsid));
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *controller_json(struct nvme_ctrl *c)
{
	struct nvme_ctrl_info i = { 0 };
	json_object *o = json_object_new_object();

	nvme_ctrl_info(c, &i);
	json_object_object_add(o, "enabled", json_object_new_boolean(i.enabled));
	json_object_object_add(o, "ready", json_object_new_boolean(i.ready));
	json_object_object_add(o, "fatal", json_object_new_boolean(i.fatal));
	json_object_object_add(o, "queues", json_object_new_int(i.queues_max));
	json_object_object_add(o, "vectors", json_object_new_int(i.vectors));
	json_object_object_add(o, "queue_resources", json_object_new_int(i.vq));
	json_object_object_add(o, "interrupt_resources", json_object_new_int(i.vi));
	json_object_object_add(o, "io_sqs", json_object_new_int(i.io_sqs));
	json_object_object_add(o, "io_cqs", json_object_new_int(i.io_cqs));
	json_object_object_add(o, "shadow_doorbells", json_object_new_boolean(i.dbbuf));
	json_object_object_add(o, "polled", json_object_new_boolean(i.polled));
	json_object_object_add(o, "reads", json_object_new_uint64(i.reads));
	json_object_object_add(o, "writes", json_object_new_uint64(i.writes));
	json_object_object_add(o, "read_bytes", json_object_new_uint64(i.read_bytes));
	json_object_object_add(o, "written_bytes", json_object_new_uint64(i.written_bytes));
	json_object_object_add(o, "errors", json_object_new_uint64(i.errors));
	json_object_object_add(o, "dma_faults", json_object_new_uint64(i.dma_faults));
	return o;
}

/* Which it is: "pf", or "vf1" and up, and how it belongs to others. */
static void put_role(json_object *o, const struct host_fn *hf, struct pci_function *fn)
{
	const struct pci_function *pf = pci_physfn(fn);
	uint16_t cntlid = hf->cntlid;
	char text[32] = "pf";

	if (pf) {
		snprintf(text, sizeof(text), "vf%u", pci_vf_index(fn) + 1);
		cntlid = (uint16_t)(cntlid + 1 + pci_vf_index(fn));
	}
	set_param(o, "role", text);
	if (pf) {
		snprintf(text, sizeof(text), PCI_BDF_FMT, PCI_BDF_ARG(pf->bdf));
		set_param(o, "pf", text);
	}
	snprintf(text, sizeof(text), "0x%04x", cntlid);
	set_param(o, "cntlid", text);
	if (!pci_sriov_total(fn))
		return;
	json_object_object_add(o, "vfs_max", json_object_new_int((int)pci_sriov_total(fn)));
	json_object_object_add(o, "vfs", json_object_new_int((int)pci_sriov_numvfs(fn)));
}

json_object *host_pci_json(struct host *h, struct pci_function *fn, bool all, bool ready)
{
	struct host_fn *hf = owner_of(h, fn);
	json_object *o = json_object_new_object();
	struct vfio_device_info_ext info = { 0 };
	struct nvme_ctrl *c = nvme_ctrl_of(fn);
	struct vfio_device *d;
	char text[32];

	snprintf(text, sizeof(text), PCI_BDF_FMT, PCI_BDF_ARG(fn->bdf));
	set_param(o, "address", text);
	set_param(o, "type", "nvme");
	put_role(o, hf, fn);
	set_param(o, "serial", rpc_str(hf->params, "serial", ""));
	set_param(o, "state", nvme_ctrl_online(c) ? "active" : "inactive");
	set_param(o, "opstate", fn->driver ? "attached" : "detached");
	json_object_object_add(o, "driver", fn->driver ? json_object_new_string(fn->driver->name) : NULL);
	json_object_object_add(o, "iommu_group", json_object_new_uint64(fn->iommu_group));
	d = vfio_device_of(fn);
	if (d) {
		vfio_device_describe(d, &info);
		snprintf(text, sizeof(text), "vfio%u", info.index);
	}
	json_object_object_add(o, "vfio_device", d ? json_object_new_string(text) : NULL);
	json_object_object_add(o, "in_use", json_object_new_boolean(info.open));
	if (!pci_physfn(fn))
		json_object_object_add(o, "namespaces", namespaces_of(h, hf));
	if (!all)
		return o;
	if (!pci_physfn(fn))
		json_object_object_add(o, "config", json_object_get(hf->params));
	json_object_object_add(o, "controller", ready ? controller_json(c) : NULL);
	return o;
}

/* @all: with what the running device says of itself; NULL there when it is held up. */
json_object *host_fn_json(struct host *h, struct host_fn *hf, bool all)
{
	bool ready = all && !host_fn_ready(hf, READY_NS, NULL);
	json_object *o;

	vfio_host_lock(&h->vfio);
	if (ready)
		host_ns_refresh(h);
	o = host_pci_json(h, hf->fn, all, ready);
	vfio_host_unlock(&h->vfio);
	return o;
}
