/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Drivers: which fits, binding and unbinding, as Linux (drivers/pci/pci-driver.c) does it. Host lock. */
#include <stdio.h>

#include "pci/internal.h"

int pci_driver_register(struct pci_bus *bus, const struct pci_driver *drv)
{
	if (pci_driver_find(bus, drv->name))
		return -EEXIST;
	if (bus->nr_drivers == PCI_DRIVERS_MAX)
		return -ENOSPC;
	bus->drivers[bus->nr_drivers++] = drv;
	return 0;
}

const struct pci_driver *pci_driver_find(const struct pci_bus *bus, const char *name)
{
	unsigned int i;

	for (i = 0; i < bus->nr_drivers; i++)
		if (!strcmp(bus->drivers[i]->name, name))
			return bus->drivers[i];
	return NULL;
}

static bool id_part_fits(uint32_t want, uint32_t have)
{
	return want == PCI_ANY_ID || want == have;
}

static bool id_fits(const struct pci_id *id, const struct pci_shape *s)
{
	return id_part_fits(id->vendor, s->vendor) && id_part_fits(id->device, s->device) &&
	       id_part_fits(id->subvendor, s->subsys_vendor) &&
	       id_part_fits(id->subdevice, s->subsys_device) &&
	       !((id->class_code ^ s->class_code) & id->class_mask);
}

/* driver_override decides alone where it is set: the driver it names fits any function. */
bool pci_match(const struct pci_driver *drv, const struct pci_function *fn)
{
	const struct pci_id *id = drv->ids;

	if (fn->driver_override[0])
		return !strcmp(fn->driver_override, drv->name);
	for (; id && (id->vendor || id->subvendor || id->class_mask); id++)
		if (!id->override_only && id_fits(id, &fn->shape))
			return true;
	return false;
}

/* The driver finds itself in @fn->driver while it probes. */
static int probe(struct pci_function *fn, const struct pci_driver *drv, struct ferry_err *err)
{
	struct pci_observer *o;
	int ret;

	if (sriov_vf_going(fn) || !sriov_vf_may_probe(fn))
		return ferry_err_set(err, ENODEV, "E-SRIOV-PROBE", NULL,
				     "VF " PCI_BDF_FMT " %s", PCI_BDF_ARG(fn->bdf),
				     sriov_vf_going(fn) ? "is being removed" :
				     "may not be probed: sriov_drivers_autoprobe is 0");
	fn->driver = drv;
	ret = drv->probe(fn, err);
	if (ret < 0) {
		fn->driver = NULL;
		fn->driver_data = NULL;
		return ret;
	}
	list_for_each(o, &fn->bus->observers, link)
		if (o->bound)
			o->bound(o, fn);
	return 0;
}

int pci_bind(struct pci_function *fn, const struct pci_driver *drv, struct ferry_err *err)
{
	if (!pci_match(drv, fn))
		return ferry_err_set(err, ENODEV, "E-PCI-NO-MATCH", "set driver_override to its name",
				     "driver %s does not match " PCI_BDF_FMT, drv->name,
				     PCI_BDF_ARG(fn->bdf));
	if (fn->driver)
		return ferry_err_set(err, EBUSY, "E-PCI-BOUND", "unbind it first",
				     PCI_BDF_FMT " is %s driver %s", PCI_BDF_ARG(fn->bdf),
				     fn->unbinding ? "still being let go by" : "bound to",
				     fn->driver->name);
	return probe(fn, drv, err);
}

static void unbind_done(struct pci_unbind *u, int err)
{
	struct pci_function *fn = u->fn;
	const struct pci_driver *was = fn->driver;
	struct pci_unbind *caller = take_ptr(fn->unbind_caller);
	struct pci_observer *o;

	assert(fn->unbinding);
	fn->driver = NULL;
	fn->driver_data = NULL;
	fn->unbinding = false;
	list_for_each(o, &fn->bus->observers, link)
		if (o->unbound)
			o->unbound(o, fn, was);
	if (caller && caller->done)
		caller->done(caller, err);
	if (fn->physfn)
		sriov_kick(fn->bus);
}

int pci_unbind(struct pci_function *fn, struct pci_unbind *u)
{
	if (!fn->driver)
		return -ENODEV;
	if (fn->unbinding)
		return -EBUSY;
	fn->unbinding = true;
	fn->unbind = (struct pci_unbind){ .done = unbind_done, .fn = fn };
	fn->unbind_caller = u;
	if (u)
		u->fn = fn;
	fn->driver->remove(&fn->unbind);
	return 0;
}

int pci_drivers_probe(struct pci_function *fn)
{
	unsigned int i;

	for (i = 0; i < fn->bus->nr_drivers && !fn->driver; i++)
		if (pci_match(fn->bus->drivers[i], fn))
			(void)probe(fn, fn->bus->drivers[i], NULL);
	return 0;
}

/* Linux cuts at the first newline, not only at the last. */
int pci_set_driver_override(struct pci_function *fn, const char *text, size_t len)
{
	const char *end;

	len = strnlen(text, len);
	end = memchr(text, '\n', len);
	if (end)
		len = (size_t)(end - text);
	if (len >= sizeof(fn->driver_override))
		return -EINVAL;
	memcpy(fn->driver_override, text, len);
	fn->driver_override[len] = '\0';
	return 0;
}

void pci_modalias(const struct pci_function *fn, char *buf, size_t len)
{
	const struct pci_shape *s = &fn->shape;

	snprintf(buf, len, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", s->vendor, s->device,
		 s->subsys_vendor, s->subsys_device, s->class_code >> 16 & 0xff,
		 s->class_code >> 8 & 0xff, s->class_code & 0xff);
}
