/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Writes to attributes of the shadow tree, with the kernel's errno. They come
 * on a session's thread; one that must wait (unbind until the device is
 * closed, a reset) is answered later.
 */
#include <stdio.h>
#include <string.h>

#include <ferry/sriov.h>

#include "host/host.h"

#define DEVICES "/sys/devices/ferry0/"
#define DRIVERS "/sys/bus/pci/drivers/"

/* A write that may be answered later. @later is set under the lock that the finisher holds. */
struct attr_wait {
	struct host *h;
	struct pci_unbind unbind;
	struct pci_reset_waiter reset;
	struct pci_sriov_change vfs;
	struct uapi_attr_call *call;
	int64_t len;
	bool over, later;
};

static struct attr_wait *wait_alloc(struct host *h, struct uapi_attr_call *call, size_t len)
{
	struct attr_wait *w = calloc(1, sizeof(*w));

	if (w) {
		w->h = h;
		w->call = call;
		w->len = (int64_t)len;
		list_init(&w->reset.link);
	}
	return w;
}

static void wait_over(struct attr_wait *w)
{
	w->over = true;
	if (w->later) {
		w->call->complete(w->call, w->len);
		free(w);
	}
}

/* Still under the lock: over already, or from now on later. */
static int64_t wait_result(struct attr_wait *w)
{
	int64_t ret = w->len;

	if (!w->over) {
		w->later = true;
		return -EINPROGRESS;
	}
	free(w);
	return ret;
}

/* --------------------------------------------------------------- driver binding */

static bool field_fits(uint32_t want, uint32_t have)
{
	return want == PCI_ANY_ID || want == have;
}

static bool dynid_fits(const struct host_dynid *d, const struct pci_function *fn)
{
	const struct pci_shape *s = &fn->shape;

	return field_fits(d->id.vendor, s->vendor) && field_fits(d->id.device, s->device) &&
	       field_fits(d->id.subvendor, s->subsys_vendor) &&
	       field_fits(d->id.subdevice, s->subsys_device) &&
	       !((s->class_code ^ d->id.class_code) & d->id.class_mask);
}

/* A dynamic id makes the driver match as an override would, but leaves no override. */
static int bind_by_id(struct host *h, struct pci_function *fn, const struct pci_driver *drv)
{
	int ret;

	(void)pci_set_driver_override(fn, drv->name, strlen(drv->name));
	ret = pci_bind(fn, drv, NULL);
	(void)pci_set_driver_override(fn, "", 0);
	host_sysfs_refresh(h, fn);
	return ret;
}

static const struct host_dynid *dynid_of(struct host *h, const struct pci_driver *drv,
					 const struct pci_function *fn)
{
	struct host_dynid *d;

	if (!fn->driver_override[0])
		list_for_each(d, &h->dynids, link)
			if ((!drv || d->drv == drv) && dynid_fits(d, fn))
				return d;
	return NULL;
}

static int64_t store_bind(struct host *h, const struct pci_driver *drv, struct pci_function *fn)
{
	if (fn->driver)
		return -EBUSY;
	if (dynid_of(h, drv, fn))
		return bind_by_id(h, fn, drv);
	return pci_bind(fn, drv, NULL);
}

static void unbind_over(struct pci_unbind *u, int err)
{
	wait_over(container_of(u, struct attr_wait, unbind));
}

static int64_t store_unbind(struct host *h, const struct pci_driver *drv, struct pci_function *fn,
			    size_t len, struct uapi_attr_call *call)
{
	struct attr_wait *w;
	int ret;

	if (fn->driver != drv)
		return -ENODEV;
	w = wait_alloc(h, call, len);
	if (!w)
		return -ENOMEM;
	w->unbind.done = unbind_over;
	ret = pci_unbind(fn, &w->unbind);
	if (ret < 0) {
		free(w);
		return ret;
	}
	return wait_result(w);
}

/* Hex fields: vendor device [subvendor subdevice class class_mask driver_data]. */
static int parse_id(const char *text, struct pci_id *id)
{
	unsigned int v[7] = { 0, 0, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 };
	int n = sscanf(text, "%x %x %x %x %x %x %x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]);

	if (n < 2 || v[6])
		return -EINVAL;
	*id = (struct pci_id){ .vendor = v[0], .device = v[1], .subvendor = v[2], .subdevice = v[3],
			       .class_code = v[4], .class_mask = v[5] };
	return 0;
}

static struct host_dynid *dynid_find(struct host *h, const struct pci_driver *drv,
				     const struct pci_id *id)
{
	struct host_dynid *d;

	list_for_each(d, &h->dynids, link)
		if (d->drv == drv && d->id.vendor == id->vendor && d->id.device == id->device &&
		    d->id.subvendor == id->subvendor && d->id.subdevice == id->subdevice &&
		    d->id.class_code == id->class_code && d->id.class_mask == id->class_mask)
			return d;
	return NULL;
}

static int64_t store_new_id(struct host *h, const struct pci_driver *drv, const char *text)
{
	struct pci_function *fn;
	struct host_dynid *d;
	struct pci_id id;

	if (parse_id(text, &id) < 0)
		return -EINVAL;
	if (dynid_find(h, drv, &id))
		return -EEXIST;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->drv = drv;
	d->id = id;
	list_add_tail(&h->dynids, &d->link);
	list_for_each(fn, &h->vfio.bus.functions, bus_link)
		if (!fn->driver && !fn->driver_override[0] && dynid_fits(d, fn))
			(void)bind_by_id(h, fn, drv);
	return 0;
}

static int64_t store_remove_id(struct host *h, const struct pci_driver *drv, const char *text)
{
	struct host_dynid *d;
	struct pci_id id;

	if (parse_id(text, &id) < 0)
		return -EINVAL;
	d = dynid_find(h, drv, &id);
	if (!d)
		return -ENODEV;
	list_del(&d->link);
	free(d);
	return 0;
}

static struct pci_function *find_fn(struct host *h, const char *text)
{
	struct pci_bdf bdf;

	return pci_bdf_parse(text, &bdf) < 0 ? NULL : pci_find(&h->vfio.bus, bdf);
}

/* @path: "vfio-pci/bind" */
static int64_t driver_store(struct host *h, const char *path, const char *text, size_t len,
			    struct uapi_attr_call *call)
{
	const char *slash = strchr(path, '/'), *attr;
	const struct pci_driver *drv;
	struct pci_function *fn;
	char name[64];
	int64_t ret;

	if (!slash || (size_t)(slash - path) >= sizeof(name))
		return -EACCES;
	attr = slash + 1;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
	drv = pci_driver_find(&h->vfio.bus, name);
	if (!drv)
		return -EACCES;
	if (!strcmp(attr, "new_id")) {
		ret = store_new_id(h, drv, text);
	} else if (!strcmp(attr, "remove_id")) {
		ret = store_remove_id(h, drv, text);
	} else if (!strcmp(attr, "bind") || !strcmp(attr, "unbind")) {
		fn = find_fn(h, text);
		if (!fn)
			return -ENODEV;
		if (!strcmp(attr, "unbind"))
			return store_unbind(h, drv, fn, len, call);
		ret = store_bind(h, drv, fn);
	} else {
		return -EACCES;
	}
	return ret < 0 ? ret : (int64_t)len;
}

int host_drv_bind(struct host *h, struct pci_function *fn, const char *name, struct ferry_err *err)
{
	const struct pci_driver *drv = pci_driver_find(&h->vfio.bus, name);
	char before[sizeof(fn->driver_override)];
	int ret;

	if (!drv)
		return ferry_err_set(err, ENOENT, "E-DRIVER-UNKNOWN", "ferry driver list",
				     "no driver %.100s", name);
	if (fn->driver)
		return ferry_err_set(err, EBUSY, "E-DRIVER-BOUND", "unbind it first",
				     PCI_BDF_FMT " is bound to driver %s", PCI_BDF_ARG(fn->bdf),
				     fn->driver->name);
	snprintf(before, sizeof(before), "%s", fn->driver_override);
	(void)pci_set_driver_override(fn, name, strlen(name));
	ret = pci_bind(fn, drv, err);
	if (ret < 0) {
		(void)pci_set_driver_override(fn, before, strlen(before));
		host_sysfs_refresh(h, fn);
	}
	return ret;
}

/* --------------------------------------------------------- attributes of a function */

static void reset_over(struct pci_reset_waiter *r)
{
	wait_over(container_of(r, struct attr_wait, reset));
}

static int64_t store_reset(struct host *h, struct pci_function *fn, const char *text, size_t len,
			   struct uapi_attr_call *call)
{
	struct attr_wait *w;
	char *end;
	int64_t ret;

	if (strtoul(text, &end, 0) != 1 || *end)
		return -EINVAL;
	w = wait_alloc(h, call, len);
	if (!w)
		return -ENOMEM;
	if (env_strand_lock_for(&fn->strand, HOST_BUSY_NS) < 0) {
		free(w);
		return -EAGAIN;
	}
	w->reset.done = reset_over;
	pci_reset(fn, PCI_RESET_FLR, &w->reset);
	ret = wait_result(w);
	env_strand_unlock(&fn->strand);
	host_sysfs_refresh(h, fn);
	return ret;
}

static int64_t store_override(struct host *h, struct pci_function *fn, const char *text, size_t len)
{
	if (pci_set_driver_override(fn, text, strlen(text)) < 0)
		return -EINVAL;
	host_sysfs_refresh(h, fn);
	return (int64_t)len;
}

/* COMMAND.MEM, as pci_enable_device() sets it; the kernel counts, which nobody relies on. */
static int64_t store_enable(struct host *h, struct pci_function *fn, const char *text, size_t len)
{
	uint32_t command;

	if (strcmp(text, "0") && strcmp(text, "1"))
		return -EINVAL;
	if (fn->driver)
		return -EBUSY;
	if (env_strand_lock_for(&fn->strand, HOST_BUSY_NS) < 0)
		return -EAGAIN;
	command = pci_config_read(fn, 4, 2);
	pci_config_write(fn, 4, 2, text[0] == '1' ? command | 2u : command & ~2u);
	env_strand_unlock(&fn->strand);
	host_sysfs_refresh(h, fn);
	return (int64_t)len;
}

static void vfs_over(struct pci_sriov_change *c, int err)
{
	wait_over(container_of(c, struct attr_wait, vfs));
}

/* As kstrtou16() reads it, which is what the kernel uses here. */
static int parse_u16(const char *text, unsigned int *n)
{
	unsigned long v;
	char *end;

	if (*text == '+')
		text++;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 0);
	if (errno || *end || v > UINT16_MAX)
		return -EINVAL;
	*n = (unsigned int)v;
	return 0;
}

static int64_t store_numvfs(struct host *h, struct pci_function *pf, const char *text, size_t len,
			    struct uapi_attr_call *call)
{
	struct attr_wait *w;
	unsigned int n;
	int ret;

	if (parse_u16(text, &n) < 0)
		return -EINVAL;
	w = wait_alloc(h, call, len);
	if (!w)
		return -ENOMEM;
	w->vfs.done = vfs_over;
	ret = pci_sriov_set(pf, n, &w->vfs, NULL);
	if (ret == -EINPROGRESS)
		return wait_result(w);
	free(w);
	return ret < 0 ? ret : (int64_t)len;
}

/* As kstrtobool(). */
static int64_t store_autoprobe(struct host *h, struct pci_function *pf, const char *text, size_t len)
{
	bool on = strchr("yYtT1", text[0]) && text[0];
	bool off = strchr("nNfF0", text[0]) && text[0];

	if ((text[0] | 0x20) == 'o') {
		on = (text[1] | 0x20) == 'n';
		off = (text[1] | 0x20) == 'f';
	}
	if (!on && !off)
		return -EINVAL;
	pci_sriov_autoprobe_set(pf, on);
	host_sysfs_refresh(h, pf);
	return (int64_t)len;
}

/* @path: "pci0000:01/0000:01:00.0/reset" */
static int64_t device_store(struct host *h, const char *path, const char *text, size_t len,
			    struct uapi_attr_call *call)
{
	const char *slash = strchr(path, '/'), *attr = slash ? strchr(slash + 1, '/') : NULL;
	struct pci_function *fn;
	char name[PCI_BDF_LEN];

	if (!attr || (size_t)(attr - slash) != sizeof(name))
		return -EACCES;
	snprintf(name, sizeof(name), "%s", slash + 1);
	attr++;
	fn = find_fn(h, name);
	if (!fn)
		return -ENODEV;
	if (!strcmp(attr, "driver_override"))
		return store_override(h, fn, text, len);
	if (!strcmp(attr, "reset"))
		return store_reset(h, fn, text, len, call);
	if (!strcmp(attr, "enable"))
		return store_enable(h, fn, text, len);
	if (fn->sriov && !strcmp(attr, "sriov_numvfs"))
		return store_numvfs(h, fn, text, len, call);
	if (fn->sriov && !strcmp(attr, "sriov_drivers_autoprobe"))
		return store_autoprobe(h, fn, text, len);
	return -EACCES;
}

static int64_t store_probe(struct host *h, const char *text, size_t len)
{
	struct pci_function *fn = find_fn(h, text);
	const struct host_dynid *d;

	if (!fn)
		return -ENODEV;
	pci_drivers_probe(fn);
	d = fn->driver ? NULL : dynid_of(h, NULL, fn);
	if (d)
		(void)bind_by_id(h, fn, d->drv);
	return (int64_t)len;
}

int64_t host_attr_store(void *arg, const char *path, const char *text, size_t len,
			struct uapi_attr_call *call)
{
	size_t n = strnlen(text, len);
	struct host *h = arg;
	char line[256];
	int64_t ret = -EACCES;

	if (n && text[n - 1] == '\n')
		n--;
	if (n >= sizeof(line))
		return -EINVAL;
	memcpy(line, text, n);
	line[n] = '\0';
	vfio_host_lock(&h->vfio);
	if (!strncmp(path, DEVICES, strlen(DEVICES)))
		ret = device_store(h, path + strlen(DEVICES), line, len, call);
	else if (!strncmp(path, DRIVERS, strlen(DRIVERS)))
		ret = driver_store(h, path + strlen(DRIVERS), line, len, call);
	else if (!strcmp(path, "/sys/bus/pci/drivers_probe"))
		ret = store_probe(h, line, len);
	else if (!strcmp(path, "/sys/bus/pci/drivers_autoprobe") ||
		 !strcmp(path, "/sys/bus/pci/rescan"))
		ret = strcmp(line, "1") ? -EINVAL : (int64_t)len;
	vfio_host_unlock(&h->vfio);
	return ret;
}
