/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The bus: names, order, matching, binding, observers. */
#include "pci_fake.h"

static struct pci_bus bus;
static struct fake dev[4];

static void setup(unsigned int nr)
{
	unsigned int i;

	pci_bus_init(&bus);
	for (i = 0; i < nr; i++) {
		fake_init(&dev[i]);
		env_strand_unlock(&dev[i].fn.strand);
		dev[i].fn.bdf = (struct pci_bdf){ .bus = 1, .devfn = (uint8_t)(i << 3) };
		CHECK(pci_register(&bus, &dev[i].fn) == 0);
	}
}

static void teardown(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		CHECK(pci_unregister(&dev[i].fn) == 0);
		pci_function_release(&dev[i].fn);
	}
}

/* -------------------------------------------------------------------- names */

static void test_bdf__parse_and_print(void)
{
	static const char *const bad[] = {
		"", "0", "01:00", "01:00.", "1:00.0", "01:0.0", "01:00.8", "01:20.0", "01:00.0 ",
		" 01:00.0", "01:00.0\n", "01:00.00", "000:01:00.0", "00000:01:00.0", "0000:01:00.0x",
		"0000:01:00.", "0x00:01:00.0", "01-00.0", "01:00:0", "g1:00.0", ":01:00.0",
		"0000.01:00.0", "-001:00:00.0", "+1:00.0", "0000:01:00,0", "01:00.-1",
	};
	struct pci_bdf b;
	char text[PCI_BDF_LEN];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(pci_bdf_parse(bad[i], &b) == -EINVAL);
	CHECK(!pci_bdf_parse("01:02.3", &b) && pci_bdf_key(b) == 0x0113);
	CHECK(!pci_bdf_parse("aBc1:fF:1f.7", &b) && pci_bdf_key(b) == 0xabc1ffff);
	for (i = 0; i < 10000; i++) {
		uint32_t key = rnd(UINT32_MAX);

		b = (struct pci_bdf){ (uint16_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key };
		CHECK(snprintf(text, sizeof(text), PCI_BDF_FMT, PCI_BDF_ARG(b)) == PCI_BDF_LEN - 1);
		memset(&b, 0, sizeof(b));
		CHECK(!pci_bdf_parse(text, &b) && pci_bdf_key(b) == key);
	}
}

static void test_modalias(void)
{
	char buf[64];

	setup(1);
	pci_modalias(&dev[0].fn, buf, sizeof(buf));
	CHECK(!strcmp(buf, "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"));
	teardown(1);
}

/* ------------------------------------------------------------ registration */

static void test_register__by_address(void)
{
	static const uint16_t at[] = { 0x0208, 0x0100, 0x0300, 0x0101 };
	struct pci_function *fn;
	uint32_t last = 0;
	unsigned int i;

	pci_bus_init(&bus);
	for (i = 0; i < 4; i++) {
		fake_init(&dev[i]);
		env_strand_unlock(&dev[i].fn.strand);
		dev[i].fn.bdf = (struct pci_bdf){ 0, (uint8_t)(at[i] >> 8), (uint8_t)at[i] };
		CHECK(pci_register(&bus, &dev[i].fn) == 0);
		CHECK(dev[i].fn.iommu_group == i && dev[i].fn.bus == &bus);
	}
	list_for_each(fn, &bus.functions, bus_link) {
		CHECK(pci_bdf_key(fn->bdf) > last);
		last = pci_bdf_key(fn->bdf);
		CHECK(pci_find(&bus, fn->bdf) == fn);
	}
	CHECK(last == 0x0300);
	CHECK(!pci_find(&bus, (struct pci_bdf){ 0, 4, 0 }));
	CHECK(pci_unregister(&dev[3].fn) == 0);
	dev[3].fn.bdf = dev[0].fn.bdf;
	CHECK(pci_register(&bus, &dev[3].fn) == -EEXIST && !dev[3].fn.bus);
	pci_function_release(&dev[3].fn);
	teardown(3);
}

static void test_register__next_slot(void)
{
	struct pci_bdf b;

	setup(3);
	CHECK(!pci_bus_next_slot(&bus, &b) && pci_bdf_key(b) == 0x0118);
	CHECK(!pci_unregister(&dev[1].fn));
	CHECK(!pci_bus_next_slot(&bus, &b) && pci_bdf_key(b) == 0x0108);
	dev[1].fn.bdf.devfn = 0x0b;	/* some function of that device: it is taken */
	CHECK(!pci_register(&bus, &dev[1].fn));
	CHECK(!pci_bus_next_slot(&bus, &b) && pci_bdf_key(b) == 0x0118);
	CHECK(!pci_unregister(&dev[0].fn));
	CHECK(!pci_bus_next_slot(&bus, &b) && pci_bdf_key(b) == 0x0100);
	dev[0].fn.bdf = (struct pci_bdf){ 0 };	/* bus 0 does not count */
	CHECK(!pci_register(&bus, &dev[0].fn));
	CHECK(!pci_bus_next_slot(&bus, &b) && pci_bdf_key(b) == 0x0100);
	teardown(3);
}

static void test_register__next_slot_fills_the_bus(void)
{
	static struct pci_function fns[255 * 32 + 1];
	struct pci_bdf b;
	unsigned int nr = 0;

	/* Bare list entries are enough for this. */
	pci_bus_init(&bus);
	while (nr < ARRAY_SIZE(fns) && !pci_bus_next_slot(&bus, &b) && nr < 200) {
		fns[nr].bdf = b;
		list_add_tail(&bus.functions, &fns[nr++].bus_link);
	}
	CHECK(nr == 200 && b.bus == 7);
	for (; nr < 255 * 32; nr++) {
		fns[nr].bdf = (struct pci_bdf){ 0, (uint8_t)(1 + nr / 32), (uint8_t)(nr % 32 << 3) };
		list_add_tail(&bus.functions, &fns[nr].bus_link);
	}
	CHECK(pci_bus_next_slot(&bus, &b) == -ENOSPC);
}

static void test_unregister__busy(void)
{
	struct dma_hold *h;

	setup(1);
	h = pci_dma_hold(&dev[0].fn);
	CHECK(pci_unregister(&dev[0].fn) == -EBUSY);
	pci_dma_unhold(&dev[0].fn, h);
	dev[0].reset_later = true;
	pci_reset(&dev[0].fn, PCI_RESET_FLR, NULL);
	CHECK(pci_unregister(&dev[0].fn) == -EBUSY);
	pci_reset_done(&dev[0].fn);
	env_strand_lock(&dev[0].fn.strand);	/* somebody is at it */
	CHECK(pci_unregister(&dev[0].fn) == -EBUSY);
	env_strand_unlock(&dev[0].fn.strand);
	teardown(1);
}

/* ----------------------------------------------------------------- matching */

#define ANY PCI_ANY_ID

static int probe_ok(struct pci_function *fn, struct ferry_err *err);
static void remove_now(struct pci_unbind *u);

#define DRIVER(var, ...)                                                        \
	static const struct pci_id var##_ids[] = { __VA_ARGS__ { 0 } };         \
	static const struct pci_driver var = {                                  \
		.name = #var, .module = #var, .alias = "pci", .ids = var##_ids, \
		.probe = probe_ok, .remove = remove_now }

DRIVER(exact, { 0x1b36, 0x0010, 0x1af4, 0x1100, 0, 0, false },);
DRIVER(by_vendor, { 0x1b36, ANY, ANY, ANY, 0, 0, false },);
DRIVER(by_class, { ANY, ANY, ANY, ANY, 0x010802, 0xffffff, false },);
DRIVER(by_base_class, { ANY, ANY, ANY, ANY, 0x01ffff, 0xff0000, false },);
DRIVER(other_device, { 0x1b36, 0x0011, ANY, ANY, 0, 0, false },);
DRIVER(other_subsys, { 0x1b36, 0x0010, 0x1af4, 0x1101, 0, 0, false },);
DRIVER(other_class, { ANY, ANY, ANY, ANY, 0x010803, 0xffffff, false },);
DRIVER(second_id, { 0x8086, ANY, ANY, ANY, 0, 0, false }, { 0x1b36, 0x10, ANY, ANY, 0, 0, false },);
DRIVER(variant, { 0x1b36, 0x0010, ANY, ANY, 0, 0, true },);
DRIVER(variant_then_id, { 0x1b36, 0x0010, ANY, ANY, 0, 0, true },
	{ 0x1b36, ANY, ANY, ANY, 0, 0, false },);
DRIVER(no_ids,);

static void test_match__matrix(void)
{
	static const struct {
		const struct pci_driver *drv;
		bool alone;			/* without driver_override */
	} rows[] = {
		{ &exact, true }, { &by_vendor, true }, { &by_class, true },
		{ &by_base_class, true }, { &other_device, false }, { &other_subsys, false },
		{ &other_class, false }, { &second_id, true }, { &variant, false },
		{ &variant_then_id, true }, { &no_ids, false },
	};
	unsigned int i, k;

	setup(1);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK(pci_set_driver_override(&dev[0].fn, "\n", 1) == 0);
		CHECK(pci_match(rows[i].drv, &dev[0].fn) == rows[i].alone);
		for (k = 0; k < ARRAY_SIZE(rows); k++) {
			const char *name = rows[k].drv->name;

			CHECK(!pci_set_driver_override(&dev[0].fn, name, strlen(name)));
			CHECK(pci_match(rows[i].drv, &dev[0].fn) == (i == k));
		}
	}
	teardown(1);
}

static void test_match__driver_override_text(void)
{
	struct pci_function *fn = &dev[0].fn;
	char longest[65];

	setup(1);
	memset(longest, 'x', sizeof(longest));
	CHECK(pci_set_driver_override(fn, longest, 64) == -EINVAL && !fn->driver_override[0]);
	longest[63] = '\n';
	CHECK(pci_set_driver_override(fn, longest, 64) == 0 && strlen(fn->driver_override) == 63);
	CHECK(pci_set_driver_override(fn, longest, 63) == 0);
	CHECK(pci_set_driver_override(fn, "vfio-pci\n", 9) == 0);
	CHECK(!strcmp(fn->driver_override, "vfio-pci"));
	CHECK(pci_set_driver_override(fn, longest, 65) == 0);	/* ends at the newline */
	CHECK(pci_set_driver_override(fn, "nvme\0junk", 9) == 0);
	CHECK(!strcmp(fn->driver_override, "nvme"));
	CHECK(pci_set_driver_override(fn, "", 0) == 0 && !fn->driver_override[0]);
	teardown(1);
}

/* ------------------------------------------------------------------ binding */

static char events[256];
static int probe_result;
static bool remove_later;
static struct pci_unbind *removing;
static int unbound_err;
static unsigned int unbound;

static void event(const char *what, const struct pci_driver *drv)
{
	size_t n = strlen(events);

	snprintf(events + n, sizeof(events) - n, "%s:%s ", what, drv ? drv->name : "-");
}

static int probe_ok(struct pci_function *fn, struct ferry_err *err)
{
	(void)err;
	event("probe", fn->driver);
	fn->driver_data = fn;
	if (probe_result && fn->driver != &by_class)
		return probe_result;
	return 0;
}

static void remove_now(struct pci_unbind *u)
{
	event("remove", u->fn->driver);
	if (remove_later)
		removing = u;
	else
		u->done(u, 0);
}

static void on_added(struct pci_observer *o, struct pci_function *fn)
{
	(void)o;
	event("added", fn->driver);
}

static void on_removed(struct pci_observer *o, struct pci_function *fn)
{
	(void)o;
	CHECK(fn->bus == &bus);
	event("removed", fn->driver);
}

static void on_bound(struct pci_observer *o, struct pci_function *fn)
{
	(void)o;
	event("bound", fn->driver);
}

static void on_unbound(struct pci_observer *o, struct pci_function *fn, const struct pci_driver *was)
{
	(void)o;
	CHECK(!fn->driver && !fn->driver_data);
	event("unbound", was);
}

static void on_free(struct pci_unbind *u, int err)
{
	CHECK(!u->fn->driver && !u->fn->unbinding);
	event("free", NULL);
	unbound++;
	unbound_err = err;
}

static struct pci_observer observer = {
	.added = on_added, .removed = on_removed, .bound = on_bound, .unbound = on_unbound,
};
static struct pci_observer deaf;

static bool happened(const char *want)
{
	bool same = !strcmp(events, want);

	if (!same)
		printf("# happened: %s\n", events);
	events[0] = '\0';
	return same;
}

static void setup_observed(void)
{
	pci_bus_init(&bus);
	pci_bus_observe(&bus, &deaf);
	pci_bus_observe(&bus, &observer);
	fake_init(&dev[0]);
	env_strand_unlock(&dev[0].fn.strand);
	events[0] = '\0';
	probe_result = 0;
	remove_later = false;
	CHECK(pci_register(&bus, &dev[0].fn) == 0);
	CHECK(happened("added:- "));
}

static void test_bind__and_unbind(void)
{
	struct pci_unbind u = { .done = on_free }, u2 = { .done = on_free };
	struct pci_function *fn = &dev[0].fn;
	struct ferry_err err = { 0 };

	setup_observed();
	CHECK(pci_unbind(fn, &u) == -ENODEV);
	CHECK(pci_bind(fn, &other_device, &err) == -ENODEV && err.num == ENODEV && err.code);
	CHECK(happened(""));
	CHECK(pci_bind(fn, &exact, &err) == 0 && fn->driver == &exact);
	CHECK(happened("probe:exact bound:exact "));
	CHECK(pci_bind(fn, &exact, NULL) == -EBUSY);
	CHECK(pci_bind(fn, &by_class, &err) == -EBUSY && err.num == EBUSY);
	CHECK(pci_bind(fn, &other_device, NULL) == -ENODEV);	/* asked first */
	CHECK(pci_unregister(fn) == -EBUSY);
	CHECK(pci_unbind(fn, &u) == 0 && !fn->driver && unbound == 1 && unbound_err == 0);
	CHECK(happened("remove:exact unbound:exact free:- "));

	remove_later = true;
	CHECK(pci_bind(fn, &by_class, NULL) == 0);
	CHECK(pci_unbind(fn, &u) == 0 && fn->unbinding && fn->driver == &by_class);
	CHECK(pci_unbind(fn, &u2) == -EBUSY);
	CHECK(pci_bind(fn, &exact, &err) == -EBUSY);
	CHECK(pci_drivers_probe(fn) == 0 && pci_unregister(fn) == -EBUSY);
	CHECK(happened("probe:by_class bound:by_class remove:by_class "));
	removing->done(removing, 0);
	CHECK(unbound == 2 && u.fn == fn && !fn->driver);
	CHECK(happened("unbound:by_class free:- "));
	CHECK(pci_unregister(fn) == 0 && happened("removed:- "));
	pci_function_release(fn);
}

static void test_bind__failing_probe(void)
{
	struct pci_function *fn = &dev[0].fn;

	setup_observed();
	probe_result = -EIO;
	CHECK(pci_bind(fn, &exact, NULL) == -EIO && !fn->driver && !fn->driver_data);
	CHECK(happened("probe:exact "));
	probe_result = 0;
	CHECK(pci_bind(fn, &exact, NULL) == 0);
	CHECK(pci_unbind(fn, NULL) == 0 && !fn->driver);
	CHECK(pci_unregister(fn) == 0);
	pci_function_release(fn);
}

static void test_bind__drivers_probe_in_order(void)
{
	struct pci_function *fn = &dev[0].fn;

	setup_observed();
	CHECK(pci_drivers_probe(fn) == 0 && !fn->driver);
	CHECK(pci_driver_register(&bus, &other_device) == 0);
	CHECK(pci_driver_register(&bus, &variant) == 0);
	CHECK(pci_driver_register(&bus, &exact) == 0);
	CHECK(pci_driver_register(&bus, &by_class) == 0);
	CHECK(pci_driver_register(&bus, &exact) == -EEXIST);
	CHECK(pci_driver_find(&bus, "variant") == &variant && !pci_driver_find(&bus, "nobody"));

	probe_result = -EIO;			/* all but by_class */
	CHECK(pci_drivers_probe(fn) == 0 && fn->driver == &by_class);
	CHECK(happened("probe:exact probe:by_class bound:by_class "));
	CHECK(pci_drivers_probe(fn) == 0 && happened(""));
	CHECK(pci_unbind(fn, NULL) == 0);
	events[0] = '\0';
	probe_result = 0;
	CHECK(pci_set_driver_override(fn, "variant\n", 8) == 0);
	CHECK(pci_drivers_probe(fn) == 0 && fn->driver == &variant);
	CHECK(pci_unbind(fn, NULL) == 0);
	CHECK(pci_set_driver_override(fn, "nobody", 6) == 0);
	CHECK(pci_drivers_probe(fn) == 0 && !fn->driver);
	CHECK(pci_unregister(fn) == 0);
	pci_function_release(fn);
}

static void test_bind__too_many_drivers(void)
{
	static struct pci_driver many[PCI_DRIVERS_MAX + 1];
	static char names[PCI_DRIVERS_MAX + 1][8];
	unsigned int i;

	pci_bus_init(&bus);
	for (i = 0; i <= PCI_DRIVERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "d%u", i);
		many[i].name = names[i];
		CHECK(pci_driver_register(&bus, &many[i]) == (i < PCI_DRIVERS_MAX ? 0 : -ENOSPC));
	}
}

int main(void)
{
	rnd_seed();
	RUN(test_bdf__parse_and_print);
	RUN(test_modalias);
	RUN(test_register__by_address);
	RUN(test_register__next_slot);
	RUN(test_register__next_slot_fills_the_bus);
	RUN(test_unregister__busy);
	RUN(test_match__matrix);
	RUN(test_match__driver_override_text);
	RUN(test_bind__and_unbind);
	RUN(test_bind__failing_probe);
	RUN(test_bind__drivers_probe_in_order);
	RUN(test_bind__too_many_drivers);
	return tap_end();
}
