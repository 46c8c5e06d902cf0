/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * function_set of a VF: its driver lets go, the PF's driver shapes its
 * secondary controller, a driver is bound again. Each step is begun on the
 * control thread and ends in a task; between two of them nothing is held, so
 * that whatever may happen meanwhile (the PF goes, or its VFs) is found out by
 * looking again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <ferry/nvme_driver.h>
#include <ferry/sriov.h>

#include "host/vf.h"

#define DRIVER_LEN 64

struct vf_job {
	struct rpc_call *c;
	struct host *h;
	struct host_task task;
	struct pci_bdf bdf;
	bool shape, online, offline, migratable_said, migratable;
	char driver[DRIVER_LEN];	/* to bind at the end; empty: none */
	char before[DRIVER_LEN];	/* that it had, for after a failure */
	struct host_ns *added[NVME_PROVISION_NS_MAX];	/* to its subsystem, by us */
	unsigned int nr_added;
	json_object *names;
	struct pci_unbind unbind;
	struct nvme_dev_wait wait;
	struct nvme_provision provision;
	bool failed;
	struct ferry_err err;
};

static void job_next(struct vf_job *j, void (*fn)(struct host_task *t))
{
	j->task.fn = fn;
	host_task_queue(j->h, &j->task);
}

static struct vf_job *job_of(struct host_task *t)
{
	return container_of(t, struct vf_job, task);
}

static void job_free(struct vf_job *j)
{
	json_object_put(j->names);
	free(j);
}

/* The VF and its PF's driver, as they are now. Host lock. */
static struct pci_function *find(struct vf_job *j, struct nvme_dev **dev, struct ferry_err *err)
{
	struct pci_function *vf = pci_find(&j->h->vfio.bus, j->bdf);
	struct pci_function *pf = vf ? pci_physfn(vf) : NULL;

	if (!pf) {
		ferry_err_set(err, ENODEV, "E-FUNCTION-UNKNOWN", "ferry ls", "no VF " PCI_BDF_FMT,
			      PCI_BDF_ARG(j->bdf));
		return NULL;
	}
	*dev = nvme_dev_of(pf);
	if (!*dev) {
		ferry_err_set(err, ENODEV, "E-SRIOV-DRIVER", "ferry driver bind PF nvme",
			      "driver nvme is not bound to its PF " PCI_BDF_FMT, PCI_BDF_ARG(pf->bdf));
		return NULL;
	}
	return vf;
}

static struct host_fn *pf_of(struct host *h, const struct pci_function *vf)
{
	struct host_fn *hf;

	list_for_each(hf, &h->functions, link)
		if (hf->fn == pci_physfn(vf))
			return hf;
	return NULL;
}

/* ------------------------------------------------------------------------ the end */

/* "4 queue and 5 interrupt resources, namespace disk0, migratable" and the parts of it. */
static json_object *result(struct vf_job *j, struct pci_function *vf, struct nvme_dev *dev)
{
	json_object *o = host_pci_json(j->h, vf, false, false), *log = json_object_new_array();
	struct nvme_secondary s = { 0 };
	char *line, *save = NULL;

	(void)nvme_dev_secondary(dev, pci_vf_index(vf), &s);
	json_object_object_add(o, "vq", json_object_new_int(s.vq));
	json_object_object_add(o, "vi", json_object_new_int(s.vi));
	json_object_object_add(o, "state", json_object_new_string(s.online ? "active" : "inactive"));
	json_object_object_add(o, "migratable", json_object_new_boolean(s.migratable));
	json_object_object_add(o, "ns", json_object_get(j->names));
	for (line = strtok_r(j->provision.log, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		json_object_array_add(log, json_object_new_string(line));
	json_object_object_add(o, "log", log);
	return o;
}

static void over(struct vf_job *j, struct pci_function *vf, struct nvme_dev *dev)
{
	if (j->failed)
		rpc_fail(j->c, &j->err);
	else
		rpc_reply(j->c, result(j, vf, dev));
	job_free(j);
}

static void fail(struct vf_job *j, const struct ferry_err *err)
{
	if (!j->failed)
		j->err = *err;
	j->failed = true;
}

static const char *driver_name(struct vf_job *j, const struct pci_function *vf)
{
	const struct pci_driver *drv;

	if (j->failed)
		return j->before;
	if (strcmp(j->driver, "auto"))
		return j->driver;
	drv = vf_driver_auto(j->h, vf);
	return drv ? drv->name : "";
}

/* Also after a failure: what had a driver has it again. */
static void bind_task(struct host_task *t)
{
	struct vf_job *j = job_of(t);
	struct host *h = j->h;
	struct pci_function *vf;
	struct nvme_dev *dev = NULL;
	struct ferry_err err = { 0 };

	vfio_host_lock(&h->vfio);
	vf = find(j, &dev, &err);
	if (!vf)
		fail(j, &err);
	if (vf && !j->failed && j->migratable_said)
		(void)nvme_dev_migratable(dev, pci_vf_index(vf), j->migratable);
	if (vf && driver_name(j, vf)[0] && !vf->driver &&
	    host_drv_bind(j->h, vf, driver_name(j, vf), &err) < 0)
		fail(j, &err);
	if (vf)
		host_sysfs_refresh(h, vf);
	over(j, vf, dev);		/* @j is gone */
	vfio_host_unlock(&h->vfio);
}

/* --------------------------------------------------------------------------- shape */

static void added_remove(struct vf_job *j)
{
	while (j->nr_added) {
		struct host_ns *ns = j->added[--j->nr_added];

		if (ns->fn && !nvme_ns_remove(ns->fn->ss, ns->nsid, NULL)) {
			ns->fn = NULL;
			ns->nsid = 0;
		}
	}
}

static void shaped_task(struct host_task *t)
{
	struct vf_job *j = job_of(t);

	if (j->failed) {
		vfio_host_lock(&j->h->vfio);
		added_remove(j);
		vfio_host_unlock(&j->h->vfio);
	}
	bind_task(t);
}

/* PF's strand held. */
static void shaped(struct nvme_provision *p, const struct ferry_err *err)
{
	struct vf_job *j = container_of(p, struct vf_job, provision);

	if (err)
		fail(j, err);
	job_next(j, shaped_task);
}

/* "NAME" or "NAME:NSID": the subsystem has it then, and @nsid is to be attached. */
static int ns_ready(struct vf_job *j, struct host_fn *hf, const char *text, uint32_t *nsid,
		    struct ferry_err *err)
{
	char name[HOST_NAME_MAX_LEN + 1];
	size_t len = strcspn(text, ":");
	struct host_ns *ns;
	int ret;

	*nsid = text[len] ? (uint32_t)strtoul(text + len + 1, NULL, 10) : 0;
	if (text[len] && (!*nsid || *nsid > NVME_NSID_MAX))
		return ferry_err_set(err, EINVAL, "E-NS-ID", NULL,
				     "ns: %.100s: the namespace id is not 1 to %u", text, NVME_NSID_MAX);
	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, (size_t)HOST_NAME_MAX_LEN), text);
	ns = host_ns_find(j->h, name, err);
	if (!ns)
		return -ENOENT;
	if (ns->fn && ns->fn != hf)
		return ferry_err_set(err, EBUSY, "E-NS-ATTACHED", "detach it first",
				     "namespace %s is attached to " PCI_BDF_FMT, ns->name,
				     PCI_BDF_ARG(ns->fn->fn->bdf));
	if (ns->fn && *nsid && *nsid != ns->nsid)
		return ferry_err_set(err, EEXIST, "E-NS-ID", NULL, "namespace %s is %" PRIu32 " already",
				     ns->name, ns->nsid);
	if (!ns->fn) {
		ret = host_ns_add(ns, hf, *nsid, err);
		if (ret < 0)
			return ret;
		j->added[j->nr_added++] = ns;
	}
	*nsid = ns->nsid;
	return 0;
}

static int all_ns_ready(struct vf_job *j, struct host_fn *hf, struct ferry_err *err)
{
	struct nvme_provision *p = &j->provision;
	size_t i, n = j->names ? json_object_array_length(j->names) : 0;
	int ret = 0;

	if (n > NVME_PROVISION_NS_MAX)
		return ferry_err_set(err, E2BIG, "E-PARAM-RANGE", NULL, "ns: more than %u",
				     NVME_PROVISION_NS_MAX);
	for (i = 0; i < n && !ret; i++)
		ret = ns_ready(j, hf, json_object_get_string(json_object_array_get_idx(j->names, i)),
			       &p->attach[i], err);
	p->nr_attach = (unsigned int)n;
	return ret;
}

static int shape(struct vf_job *j, struct ferry_err *err)
{
	struct nvme_provision *p = &j->provision;
	struct nvme_secondary s = { 0 };
	struct nvme_dev *dev;
	struct pci_function *vf = find(j, &dev, err);
	struct host_fn *hf = vf ? pf_of(j->h, vf) : NULL;

	if (!hf)
		return -ENODEV;
	(void)nvme_dev_secondary(dev, pci_vf_index(vf), &s);
	p->index = pci_vf_index(vf);
	p->vq = (uint16_t)rpc_uint(j->c->params, "vq", 0);
	p->vi = (uint16_t)rpc_uint(j->c->params, "vi", 0);
	p->online = j->online || (s.online && !j->offline);
	p->done = shaped;
	if (all_ns_ready(j, hf, err) < 0)
		return -EINVAL;
	return nvme_provision(dev, p, err);
}

static void shape_task(struct host_task *t)
{
	struct vf_job *j = job_of(t);
	struct ferry_err err = { 0 };
	int ret = -EIO;

	vfio_host_lock(&j->h->vfio);
	if (!j->failed)
		ret = shape(j, &err);
	if (ret < 0 && !j->failed)
		fail(j, &err);
	vfio_host_unlock(&j->h->vfio);
	if (ret < 0)
		job_next(j, shaped_task);
}

/* --------------------------------------------------------------------------- begin */

/* Control strand, host lock held. */
static void live(struct nvme_dev_wait *w, int err)
{
	struct vf_job *j = container_of(w, struct vf_job, wait);
	struct ferry_err e;

	if (err) {
		ferry_err_set(&e, EIO, "E-CTRL-STATE", "ferry function reset PF",
			      "the controller that has it does not come up");
		fail(j, &e);
	}
	job_next(j, j->shape ? shape_task : bind_task);
}

/* Also if nothing is to be shaped: whether a VF can be migrated is known when its PF is live. */
static void wait_task(struct host_task *t)
{
	struct vf_job *j = job_of(t);
	struct ferry_err err = { 0 };
	struct nvme_dev *dev;

	vfio_host_lock(&j->h->vfio);
	if (find(j, &dev, &err)) {
		j->wait.done = live;
		nvme_dev_wait(dev, &j->wait);
	} else {
		fail(j, &err);
		job_next(j, bind_task);
	}
	vfio_host_unlock(&j->h->vfio);
}

static void unbound(struct pci_unbind *u, int err)
{
	struct vf_job *j = container_of(u, struct vf_job, unbind);

	job_next(j, wait_task);
}

static int begin(struct vf_job *j, struct ferry_err *err)
{
	struct nvme_dev *dev;
	struct pci_function *vf = find(j, &dev, err);
	const char *driver = rpc_str(j->c->params, "driver", NULL);

	if (!vf)
		return -ENODEV;
	if (driver && strcmp(driver, "auto") && !pci_driver_find(&j->h->vfio.bus, driver))
		return ferry_err_set(err, ENOENT, "E-DRIVER-UNKNOWN", "ferry driver list",
				     "no driver %.100s", driver);
	if (host_pci_open(vf))
		return ferry_err_set(err, EBUSY, "E-FUNCTION-IN-USE", "end the program that uses it",
				     "a client has function " PCI_BDF_FMT " open", PCI_BDF_ARG(vf->bdf));
	if (vf->driver)
		snprintf(j->before, sizeof(j->before), "%s", vf->driver->name);
	if (driver)
		snprintf(j->driver, sizeof(j->driver), "%s", driver);
	else if (j->offline)
		j->driver[0] = '\0';
	else if (vf->driver)
		snprintf(j->driver, sizeof(j->driver), "%s", vf->driver->name);
	else if (j->online)
		snprintf(j->driver, sizeof(j->driver), "auto");
	if (!vf->driver) {
		job_next(j, wait_task);
		return 0;
	}
	j->unbind.done = unbound;
	if (pci_unbind(vf, &j->unbind) < 0)
		return ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", NULL,
				     "function " PCI_BDF_FMT " is just being unbound",
				     PCI_BDF_ARG(vf->bdf));
	return 0;
}

static bool said(struct rpc_call *c, const char *key)
{
	return json_object_object_get_ex(c->params, key, NULL);
}

/* What function_set of a VF takes; the rest is its PF's. */
static int check(struct rpc_call *c, struct ferry_err *err)
{
	static const char *const ours[] = { "address", "vq", "vi", "ns", "migratable", "driver",
					    "activate", "deactivate" };
	unsigned int i;

	json_object_object_foreach(c->params, key, value) {
		(void)value;
		for (i = 0; i < ARRAY_SIZE(ours) && strcmp(key, ours[i]); i++)
			;
		if (i == ARRAY_SIZE(ours))
			return ferry_err_set(err, EINVAL, "E-FUNCTION-VF", "set it of the PF",
					     "%.100s is not for VFs", key);
	}
	if (json_object_object_length(c->params) < 2)
		return ferry_err_set(err, EINVAL, "E-PARAM-MISSING", NULL, "nothing to set");
	if (rpc_bool(c->params, "activate", false) && rpc_bool(c->params, "deactivate", false))
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", NULL,
				     "activate and deactivate at the same time");
	return 0;
}

bool vf_is(struct rpc_call *c)
{
	struct pci_function *fn = NULL;
	struct pci_bdf bdf;
	bool is;

	vfio_host_lock(&c->h->vfio);
	if (!pci_bdf_parse(rpc_str(c->params, "address", ""), &bdf))
		fn = pci_find(&c->h->vfio.bus, bdf);
	is = fn && pci_physfn(fn);
	vfio_host_unlock(&c->h->vfio);
	return is;
}

bool vf_only(struct rpc_call *c)
{
	static const struct rpc_param params[] = { VF_PARAMS };
	struct ferry_err err;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(params) && !said(c, params[i].name); i++)
		;
	if (i == ARRAY_SIZE(params))
		return false;
	ferry_err_set(&err, EINVAL, "E-FUNCTION-PF", "name a VF", "%s is for VFs", params[i].name);
	rpc_fail(c, &err);
	return true;
}

void vf_set(struct rpc_call *c)
{
	struct vf_job *j = calloc(1, sizeof(*j));
	struct ferry_err err = { 0 };
	int ret;

	if (!j) {
		ferry_err_set(&err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
		rpc_fail(c, &err);
		return;
	}
	j->c = c;
	j->h = c->h;
	list_init(&j->task.link);
	(void)pci_bdf_parse(rpc_str(c->params, "address", ""), &j->bdf);
	j->offline = rpc_bool(c->params, "deactivate", false) || !rpc_bool(c->params, "activate", true);
	j->online = rpc_bool(c->params, "activate", false);
	j->shape = said(c, "vq") || said(c, "vi") || said(c, "ns") || j->online || j->offline;
	j->migratable_said = said(c, "migratable");
	j->migratable = rpc_bool(c->params, "migratable", false);
	if (said(c, "ns")) {
		json_object_object_get_ex(c->params, "ns", &j->names);
		json_object_get(j->names);
	}
	vfio_host_lock(&c->h->vfio);
	ret = check(c, &err);
	if (!ret)
		ret = begin(j, &err);
	vfio_host_unlock(&c->h->vfio);
	if (ret < 0) {
		rpc_fail(c, &err);
		job_free(j);
	}
}

/* ------------------------------------------------------------------------- drivers */

static bool part_fits(uint32_t want, uint32_t have)
{
	return want == PCI_ANY_ID || want == have;
}

static bool id_fits(const struct pci_id *id, const struct pci_shape *s)
{
	return part_fits(id->vendor, s->vendor) && part_fits(id->device, s->device) &&
	       part_fits(id->subvendor, s->subsys_vendor) &&
	       part_fits(id->subdevice, s->subsys_device) &&
	       !((id->class_code ^ s->class_code) & id->class_mask);
}

/* Of a line of modules.alias: a "*" for each field that can be anything. Class, subclass, interface. */
static unsigned int wildcards(const struct pci_id *id)
{
	unsigned int n = 0, i;

	n += (id->vendor == PCI_ANY_ID) + (id->device == PCI_ANY_ID) + (id->subvendor == PCI_ANY_ID) +
	     (id->subdevice == PCI_ANY_ID);
	for (i = 0; i < 3; i++)
		n += (id->class_mask >> (8 * i) & 0xff) != 0xff;
	return n;
}

static bool is_end(const struct pci_id *id)
{
	return !id->vendor && !id->subvendor && !id->class_mask;
}

/* Its best alias for @fn, or NULL. */
static const struct pci_id *best_id(const struct pci_driver *drv, const struct pci_function *fn)
{
	const struct pci_id *id, *best = NULL;

	for (id = drv->ids; id && !is_end(id); id++)
		if (id_fits(id, &fn->shape) && (!best || wildcards(id) < wildcards(best)))
			best = id;
	return best;
}

static bool is_vfio(const struct pci_driver *drv)
{
	return !strcmp(drv->alias, "vfio_pci");
}

/* Behind @after in the order of their aliases; NULL: the first. As libvirt chooses. */
static const struct pci_driver *vfio_driver_next(struct host *h, const struct pci_function *fn,
						 const struct pci_driver *after)
{
	const struct pci_driver *best = NULL;
	unsigned int best_n = UINT32_MAX, after_n = after ? wildcards(best_id(after, fn)) : 0, i;
	bool passed = !after;

	for (i = 0; i < h->vfio.bus.nr_drivers; i++) {
		const struct pci_driver *drv = h->vfio.bus.drivers[i];
		const struct pci_id *id = is_vfio(drv) ? best_id(drv, fn) : NULL;
		unsigned int n = id ? wildcards(id) : 0;

		if (drv == after)
			passed = true;
		else if (id && n < best_n && (n > after_n || (n == after_n && passed))) {
			best = drv;
			best_n = n;
		}
	}
	return best;
}

const struct pci_driver *vf_driver_auto(struct host *h, const struct pci_function *fn)
{
	return vfio_driver_next(h, fn, NULL);
}

/* "vfio_pci: class 010802" */
static void rule_text(const struct pci_driver *drv, const struct pci_id *id, char *buf, size_t len)
{
	int n = snprintf(buf, len, "%s:", drv->alias);

	if (id->vendor != PCI_ANY_ID)
		n += snprintf(buf + n, len - (size_t)n, " vendor %04x", id->vendor);
	if (id->device != PCI_ANY_ID)
		n += snprintf(buf + n, len - (size_t)n, " device %04x", id->device);
	if (id->class_mask)
		snprintf(buf + n, len - (size_t)n, " class %06x", id->class_code);
	else if (id->vendor == PCI_ANY_ID && id->device == PCI_ANY_ID)
		snprintf(buf + n, len - (size_t)n, " any device");
}

static void row(json_object *rows, unsigned int rank, const char *driver, const char *rule,
		const char *result_text)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "rank", rank ? json_object_new_int((int)rank) : NULL);
	json_object_object_add(o, "driver", json_object_new_string(driver));
	json_object_object_add(o, "rule", json_object_new_string(rule));
	json_object_object_add(o, "result", result_text ? json_object_new_string(result_text) : NULL);
	json_object_array_add(rows, o);
}

static void rows_fill(struct host *h, const struct pci_function *fn, json_object *rows)
{
	bool decided = fn->driver_override[0] != '\0';
	const struct pci_driver *drv = NULL;
	unsigned int rank = 1, i;
	char rule[128];

	if (decided)
		snprintf(rule, sizeof(rule), "driver_override is %s", fn->driver_override);
	row(rows, rank++, "(override)", decided ? rule : "driver_override not set",
	    !decided ? NULL : pci_driver_find(&h->vfio.bus, fn->driver_override) ? "chosen"
									: "no such driver");
	while ((drv = vfio_driver_next(h, fn, drv))) {
		rule_text(drv, best_id(drv, fn), rule, sizeof(rule));
		row(rows, rank, drv->name, rule,
		    rank > 2 ? "fallback" : decided ? "overridden" : "chosen");
		rank++;
	}
	for (i = 0; i < h->vfio.bus.nr_drivers; i++) {
		drv = h->vfio.bus.drivers[i];
		if (is_vfio(drv) || !best_id(drv, fn))
			continue;
		rule_text(drv, best_id(drv, fn), rule, sizeof(rule));
		row(rows, 0, drv->name, rule, "not a VFIO driver");
	}
}

void vf_driver_explain(struct rpc_call *c)
{
	json_object *o = json_object_new_object(), *rows = json_object_new_array();
	struct ferry_err err = { 0 };
	struct pci_function *fn;
	char modalias[64];

	json_object_object_add(o, "schema", json_object_new_string("ferry.explain.v1"));
	vfio_host_lock(&c->h->vfio);
	fn = host_pci_find(c->h, rpc_str(c->params, "address", ""), &err);
	if (fn) {
		pci_modalias(fn, modalias, sizeof(modalias));
		json_object_object_add(o, "modalias", json_object_new_string(modalias));
		json_object_object_add(o, "bound", fn->driver ? json_object_new_string(fn->driver->name)
							       : NULL);
		rows_fill(c->h, fn, rows);
	}
	vfio_host_unlock(&c->h->vfio);
	json_object_object_add(o, "rows", rows);
	if (fn) {
		rpc_reply(c, o);
		return;
	}
	json_object_put(o);
	rpc_fail(c, &err);
}
