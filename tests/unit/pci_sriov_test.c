/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* SR-IOV: registers, what a VF shows, addresses, VFs that come and go. */
#include <ferry/sriov.h>

#include "pci_fake.h"

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pci_bus bus;
static struct env_strand control;
static struct pci_observer observer;

static struct {
	unsigned int made, destroyed, enabled_calls, enabled;
	unsigned int fail_at;			/* vf_create of this index fails; 0: none */
	unsigned int added, removed, changed;
	bool reset_later;
} seen;

static struct pci_unbind *held;			/* the driver that lets go later */
static unsigned int probes, removes;
static bool let_go_later;

/* -------------------------------------------------------------------- the rig */

static int vf_create(struct pci_function *pf, unsigned int index, struct pci_function **vf,
		     struct ferry_err *err)
{
	struct fake *f;

	if (seen.fail_at && index == seen.fail_at)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "as asked");
	f = calloc(1, sizeof(*f));
	f->fn.ops = &fake_ops;
	f->fn.shape = fake_shape;
	f->fn.shape.intx = false;
	f->fn.shape.serial = 0;
	f->fn.physfn = pf;
	f->fn.vf_index = index;
	f->reset_later = seen.reset_later;
	if (pci_function_init(&f->fn, fake_env(), NULL) < 0)
		abort();
	*vf = &f->fn;
	seen.made++;
	return 0;
}

static void vf_destroy(struct pci_function *pf, struct pci_function *vf)
{
	struct fake *f = fake_of(vf);

	(void)pf;
	seen.destroyed++;
	pci_function_release(vf);
	free(f);
}

static void vfs_enabled(struct pci_function *pf, unsigned int n)
{
	(void)pf;
	seen.enabled_calls++;
	seen.enabled = n;
}

static const struct pci_sriov_ops ops = { vf_create, vf_destroy, vfs_enabled };

static int drv_probe(struct pci_function *fn, struct ferry_err *err)
{
	(void)fn, (void)err;
	probes++;
	return 0;
}

static void drv_remove(struct pci_unbind *u)
{
	removes++;
	if (let_go_later && u->fn->physfn)
		held = u;
	else
		u->done(u, 0);
}

static const struct pci_id any[] = { { .vendor = 0x1b36, .device = PCI_ANY_ID,
	.subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID }, { 0 } };
static const struct pci_driver pf_driver = { .name = "pf", .ids = any, .probe = drv_probe,
					     .remove = drv_remove, .sriov = true };
static const struct pci_driver plain_driver = { .name = "plain", .probe = drv_probe,
						.remove = drv_remove };

static void on_added(struct pci_observer *o, struct pci_function *fn)
{
	seen.added++;
}

static void on_removed(struct pci_observer *o, struct pci_function *fn)
{
	seen.removed++;
}

static void on_changed(struct pci_observer *o, struct pci_function *pf)
{
	seen.changed++;
}

static void rig_up(void)
{
	memset(&seen, 0, sizeof(seen));
	probes = removes = 0;
	let_go_later = false;
	held = NULL;
	pci_bus_init(&bus);
	if (env_strand_init(&control, fake_env(), NULL) < 0 ||
	    pci_bus_control(&bus, &control, &host_lock) < 0)
		abort();
	pci_driver_register(&bus, &pf_driver);
	pci_driver_register(&bus, &plain_driver);
	observer = (struct pci_observer){ .added = on_added, .removed = on_removed,
					  .vfs_changed = on_changed };
	pci_bus_observe(&bus, &observer);
	pthread_mutex_lock(&host_lock);
}

static void rig_down(void)
{
	pthread_mutex_unlock(&host_lock);
	pci_bus_control_release(&bus);
	env_strand_release(&control);
}

/* The control side runs while nobody has the host lock. */
static void step(void)
{
	pthread_mutex_unlock(&host_lock);
	while (env_step(fake_env(), false))
		;
	pthread_mutex_lock(&host_lock);
}

static const struct pci_bar vf_bars[PCI_BARS] = { { .size = 0x4000, .is_64 = true } };

/* Off the bus, strand not held. */
static void pf_make(struct fake *f, uint8_t b, uint8_t devfn, unsigned int total)
{
	fake_init(f);
	if (total && pci_sriov_init(&f->fn, total, 0xabcd, vf_bars, &ops) < 0)
		abort();
	f->fn.bdf = (struct pci_bdf){ .bus = b, .devfn = devfn };
	env_strand_unlock(&f->fn.strand);
}

static void pf_free(struct fake *f)
{
	if (f->fn.bus) {
		if (f->fn.driver)
			CHECK(pci_unbind(&f->fn, NULL) == 0);
		CHECK(pci_unregister(&f->fn) == 0);
	}
	pci_function_release(&f->fn);
}

/* At 01:00.0, bound, with 8 VFs possible. */
static void pf_up(struct fake *f, unsigned int total)
{
	pf_make(f, 1, 0, total);
	CHECK(pci_register(&bus, &f->fn) == 0);
	CHECK(pci_bind(&f->fn, &pf_driver, NULL) == 0);
	probes = 0;
}

static void pf_down(struct fake *f)
{
	CHECK(pci_sriov_disable(&f->fn, NULL) == 0 || (step(), !pci_sriov_numvfs(&f->fn)));
	pf_free(f);
}

static uint32_t get(struct pci_function *fn, unsigned int off, unsigned int len)
{
	uint32_t v;

	env_strand_lock(&fn->strand);
	v = pci_config_read(fn, (uint16_t)off, len);
	env_strand_unlock(&fn->strand);
	return v;
}

static void put(struct pci_function *fn, unsigned int off, unsigned int len, uint32_t v)
{
	env_strand_lock(&fn->strand);
	pci_config_write(fn, (uint16_t)off, len, v);
	env_strand_unlock(&fn->strand);
}

static unsigned int ecap(struct pci_function *fn, unsigned int id)
{
	unsigned int nr;
	int at;

	env_strand_lock(&fn->strand);
	at = naive_ecap(fn, id, &nr);
	env_strand_unlock(&fn->strand);
	CHECK(at >= 0);
	return (unsigned int)at;
}

static void flr(struct pci_function *fn)
{
	env_strand_lock(&fn->strand);
	pci_reset(fn, PCI_RESET_FLR, NULL);
	env_strand_unlock(&fn->strand);
}

/* ------------------------------------------------------------------ registers */

static void test_capability__fields(void)
{
	struct fake f;
	unsigned int at;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	CHECK(at && ecap(&f.fn, 0x0e) && ecap(&f.fn, 1) && ecap(&f.fn, 3));
	CHECK((get(&f.fn, at, 4) & 0xfffff) == 0x10010);
	CHECK(get(&f.fn, at + 0x04, 4) == 0);			/* no VF migration */
	CHECK(get(&f.fn, at + 0x08, 4) == 0);
	CHECK(get(&f.fn, at + 0x0c, 2) == 8 && get(&f.fn, at + 0x0e, 2) == 8);
	CHECK(get(&f.fn, at + 0x10, 2) == 0 && get(&f.fn, at + 0x12, 2) == 0);
	CHECK(get(&f.fn, at + 0x14, 2) == 1 && get(&f.fn, at + 0x16, 2) == 1);
	CHECK(get(&f.fn, at + 0x1a, 2) == 0xabcd);
	CHECK(get(&f.fn, at + 0x1c, 4) == 0x553 && get(&f.fn, at + 0x20, 4) == 1);
	CHECK(get(&f.fn, at + 0x24, 4) == 4 && get(&f.fn, at + 0x28, 4) == 0);
	CHECK(get(&f.fn, at + 0x3c, 4) == 0);
	CHECK(pci_sriov_total(&f.fn) == 8 && pci_sriov_numvfs(&f.fn) == 0);
	pf_down(&f);
	rig_down();
}

/* NumVFs takes what there can be, and nothing while VFs are enabled. */
static void test_numvfs__every_value(void)
{
	struct fake f;
	unsigned int at, v, last = 0;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	for (v = 0; v <= 0xffff; v++) {
		put(&f.fn, at + 0x10, 2, v);
		last = v <= 8 ? v : last;
		if (get(&f.fn, at + 0x10, 2) != last) {
			CHECK(get(&f.fn, at + 0x10, 2) == last);
			break;
		}
	}
	CHECK(pci_sriov_set(&f.fn, 3, NULL, NULL) == 0);
	for (v = 0; v <= 0xffff; v++) {
		put(&f.fn, at + 0x10, 2, v);
		if (get(&f.fn, at + 0x10, 2) != 3) {
			CHECK(get(&f.fn, at + 0x10, 2) == 3);
			break;
		}
	}
	CHECK(pci_sriov_enabled(&f.fn) == 3 && !pci_vf(&f.fn, 3) && !pci_vf(&f.fn, 0xffff));
	/* Beside the control register in one access, too. */
	put(&f.fn, at + 0x10, 4, 0xffffffff);
	CHECK(get(&f.fn, at + 0x10, 4) == 3);
	pf_down(&f);
	CHECK(seen.made == 3 && seen.destroyed == 3);
	rig_down();
}

static void test_control__enable_is_the_hosts(void)
{
	struct fake f;
	unsigned int at;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	put(&f.fn, at + 0x10, 2, 4);
	put(&f.fn, at + 0x08, 2, 0xffff);
	CHECK(get(&f.fn, at + 0x08, 2) == 0x18);		/* MSE, ARI; not VF Enable */
	CHECK(pci_sriov_enabled(&f.fn) == 0 && seen.made == 0);
	put(&f.fn, at + 0x08, 2, 0);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == 0);
	CHECK(get(&f.fn, at + 0x08, 2) == 0x19 && get(&f.fn, at + 0x10, 2) == 2);
	CHECK(seen.enabled_calls == 1 && seen.enabled == 2);
	/* ARI, page size stay while enabled. */
	put(&f.fn, at + 0x08, 2, 0x09);
	put(&f.fn, at + 0x20, 4, 0x10);
	CHECK(get(&f.fn, at + 0x08, 2) == 0x19 && get(&f.fn, at + 0x20, 4) == 1);
	/* Cleared, the VFs are off at once and leave the bus by themselves. */
	put(&f.fn, at + 0x08, 2, 0);
	CHECK(seen.enabled == 0 && pci_sriov_enabled(&f.fn) == 0 && pci_sriov_numvfs(&f.fn) == 2);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == -EBUSY);
	step();
	CHECK(pci_sriov_numvfs(&f.fn) == 0 && seen.destroyed == 2 && seen.removed == 2);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == 0);
	pf_down(&f);
	rig_down();
}

static void test_page_size__sizes_vf_bars(void)
{
	struct fake f;
	unsigned int at;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	put(&f.fn, at + 0x24, 4, 0xffffffff);
	put(&f.fn, at + 0x28, 4, 0xffffffff);
	CHECK(get(&f.fn, at + 0x24, 4) == 0xffffc004 && get(&f.fn, at + 0x28, 4) == 0xffffffff);
	put(&f.fn, at + 0x20, 4, 0x10);				/* 64 KiB */
	CHECK(get(&f.fn, at + 0x20, 4) == 0x10 && get(&f.fn, at + 0x24, 4) == 0xffff0004);
	put(&f.fn, at + 0x24, 4, 0xffffffff);
	CHECK(get(&f.fn, at + 0x24, 4) == 0xffff0004);
	put(&f.fn, at + 0x20, 4, 0x11);				/* two sizes */
	CHECK(get(&f.fn, at + 0x20, 4) == 0x10);
	put(&f.fn, at + 0x20, 4, 0);
	CHECK(get(&f.fn, at + 0x20, 4) == 0x10);
	put(&f.fn, at + 0x20, 4, 0x8);				/* not supported */
	CHECK(get(&f.fn, at + 0x20, 4) == 0x10);
	flr(&f.fn);
	CHECK(get(&f.fn, at + 0x20, 4) == 1 && get(&f.fn, at + 0x24, 4) == 4);
	pf_down(&f);
	rig_down();
}

static void test_init__refuses_the_impossible(void)
{
	struct pci_bar odd[PCI_BARS] = { { .size = 0x3000 } };
	struct pci_bar last[PCI_BARS] = { [5] = { .size = 0x4000, .is_64 = true } };
	struct fake f;

	fake_init(&f);
	CHECK(pci_sriov_init(&f.fn, 0, 1, vf_bars, &ops) == -EINVAL);
	CHECK(pci_sriov_init(&f.fn, 257, 1, vf_bars, &ops) == -EINVAL);
	CHECK(pci_sriov_init(&f.fn, 1, 1, odd, &ops) == -EINVAL);
	CHECK(pci_sriov_init(&f.fn, 1, 1, last, &ops) == -EINVAL);
	CHECK(pci_sriov_init(&f.fn, 256, 1, vf_bars, &ops) == 0);
	CHECK(pci_sriov_init(&f.fn, 1, 1, vf_bars, &ops) == -EINVAL);
	fake_release(&f);
}

/* ------------------------------------------------------------------------ a VF */

static void test_vf__configuration_space(void)
{
	struct naive_rules rules;
	unsigned int off, nr, exp, msix, len;
	uint8_t before[PCI_CONFIG_SIZE];
	struct pci_function *vf;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == 0);
	vf = pci_vf(&f.fn, 1);
	CHECK(pci_physfn(vf) == &f.fn && pci_vf_index(vf) == 1 && !pci_physfn(&f.fn));
	CHECK(get(vf, 0, 4) == 0xffffffff);
	CHECK(get(vf, 4, 2) == 0 && get(vf, 8, 4) == 0x01080202);
	CHECK(get(vf, 0x2c, 4) == 0x11001af4 && get(vf, 0x3c, 4) == 0);
	for (off = 0x10; off < 0x28; off += 4)
		CHECK(get(vf, off, 4) == 0);
	env_strand_lock(&vf->strand);
	exp = (unsigned int)naive_cap(vf, 0x10, &nr);
	msix = (unsigned int)naive_cap(vf, 0x11, &nr);
	CHECK(nr == 3 && exp && msix && naive_cap(vf, 0x01, &nr));
	CHECK(naive_ecap(vf, 0x0e, &nr) == 0x100 && nr == 1);	/* ARI alone */
	env_strand_unlock(&vf->strand);
	CHECK(get(vf, exp + 4, 4) & 1u << 28);			/* FLR */
	CHECK((get(vf, msix + 2, 2) & 0x7ff) == FAKE_VECTORS - 1);

	/* What can be written at all. */
	memset(&rules, 0, sizeof(rules));
	naive_rule(&rules, 0x04, 2, RW, 0x0004);
	naive_rule(&rules, msix + 2, 2, RW, 0xc000);
	memcpy(before, vf->state->config, sizeof(before));
	for (off = 0, len = 1; off < PCI_CONFIG_SIZE; off++)
		if (off != exp + 9u && off != vf->cap_pm + 4u)	/* FLR, power state */
			put(vf, off, len, 0xff);
	for (off = 0; off < PCI_CONFIG_SIZE; off++)
		if ((vf->state->config[off] ^ before[off]) & ~rules.rw[off]) {
			printf("# byte 0x%x\n", off);
			tap_ok = false;
		}
	CHECK(get(vf, 4, 2) == 4);
	pf_down(&f);
	rig_down();
}

static uint64_t bar(struct pci_function *fn)
{
	uint64_t v;

	env_strand_lock(&fn->strand);
	v = pci_bar_read(fn, 0, 0, 4);
	env_strand_unlock(&fn->strand);
	return v;
}

static void test_vf__memory_follows_mse(void)
{
	struct pci_function *vf;
	unsigned int at, resets;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == 0);
	vf = pci_vf(&f.fn, 0);
	CHECK(bar(vf) == 0x89abcdef);
	put(vf, 4, 2, 0);					/* no memory enable of its own */
	CHECK(bar(vf) == 0x89abcdef);
	resets = fake_of(vf)->resets;
	put(&f.fn, at + 8, 2, 0x11);
	CHECK(bar(vf) == 0xffffffff && fake_of(vf)->resets == resets);
	put(&f.fn, at + 8, 2, 0x19);
	CHECK(bar(vf) == 0x89abcdef);
	put(vf, vf->cap_pm + 4u, 2, 3);				/* D3hot */
	CHECK(bar(vf) == 0xffffffff);
	put(vf, vf->cap_pm + 4u, 2, 0);
	CHECK(bar(vf) == 0x89abcdef);
	put(&f.fn, at + 8, 2, 0x08);				/* MSE alone does not do */
	CHECK(bar(vf) == 0xffffffff);
	step();
	CHECK(!pci_vf(&f.fn, 0));
	pf_down(&f);
	rig_down();
}

static void test_vf__flr_is_its_own(void)
{
	struct pci_function *vf;
	struct fake f;
	unsigned int exp;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == 0);
	vf = pci_vf(&f.fn, 0);
	exp = vf->cap_exp;
	put(vf, 4, 2, 4);
	put(vf, exp + 8, 2, 0x8000);
	CHECK(fake_of(vf)->resets == 1 && fake_of(vf)->last_kind == PCI_RESET_FLR);
	CHECK(get(vf, 4, 2) == 0);
	CHECK(f.resets == 0 && fake_of(pci_vf(&f.fn, 1))->resets == 0);
	CHECK(pci_sriov_enabled(&f.fn) == 2 && bar(vf) == 0x89abcdef);
	step();
	CHECK(pci_sriov_numvfs(&f.fn) == 2);
	pf_down(&f);
	rig_down();
}

static void test_pf__flr_takes_the_vfs(void)
{
	struct pci_function *vf;
	unsigned int at, k;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	at = ecap(&f.fn, 0x10);
	for (k = 0; k < 3; k++) {
		static const enum pci_reset_kind kinds[] = { PCI_RESET_FLR, PCI_RESET_BUS, PCI_RESET_D3HOT };

		CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == 0);
		vf = pci_vf(&f.fn, 3);
		env_strand_lock(&f.fn.strand);
		pci_reset(&f.fn, kinds[k], NULL);
		env_strand_unlock(&f.fn.strand);
		CHECK(get(&f.fn, at + 8, 2) == 0 && get(&f.fn, at + 0x10, 2) == 0);
		CHECK(seen.enabled == 0 && bar(vf) == 0xffffffff);
		/* On their way: no driver gets one of them, no other VFs come. */
		CHECK(pci_set_driver_override(vf, "plain", 5) == 0);
		CHECK(pci_bind(vf, &plain_driver, NULL) < 0);
		CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == -EBUSY);
		step();
		CHECK(pci_sriov_numvfs(&f.fn) == 0 && !pci_vf(&f.fn, 3));
		CHECK(seen.destroyed == 4 * (k + 1));
	}
	pf_down(&f);
	rig_down();
}

static void test_vf__table_size_changes(void)
{
	struct pci_function *vf;
	unsigned int msix;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == 0);
	vf = pci_vf(&f.fn, 0);
	msix = vf->cap_msix;
	env_strand_lock(&vf->strand);
	vf->msix_irq = (struct pci_irq){ fake_msix, fake_of(vf) };
	pci_config_write(vf, 4, 2, 4);
	pci_msix_resize(vf, 3);
	pci_config_write(vf, (uint16_t)(msix + 2), 2, 0x8000);
	CHECK(pci_config_read(vf, (uint16_t)(msix + 2), 2) == 0x8002 && pci_msix_count(vf) == 3);
	pci_bar_write(vf, 0, FAKE_TABLE + 2 * 16 + 12, 4, 0);
	pci_msix_raise(vf, 2);
	CHECK(fake_of(vf)->irqs[2] == 1);
	pci_msix_raise(vf, 3);
	CHECK(fake_of(vf)->irqs[3] == 0 && vf->state->pba[0] == 0);
	pci_msix_resize(vf, FAKE_VECTORS);
	CHECK(vf->state->msix[3].ctrl == 1);
	pci_reset(vf, PCI_RESET_FLR, NULL);
	CHECK(pci_config_read(vf, (uint16_t)(msix + 2), 2) == FAKE_VECTORS - 1);
	pci_msix_resize(vf, 1);
	pci_reset(vf, PCI_RESET_FLR, NULL);
	CHECK(pci_config_read(vf, (uint16_t)(msix + 2), 2) == 0);	/* stays through a reset */
	env_strand_unlock(&vf->strand);
	pf_down(&f);
	rig_down();
}

/* ------------------------------------------------------------------- addresses */

static bool is_at(const struct pci_function *fn, unsigned int b, unsigned int devfn)
{
	return fn && fn->bdf.domain == 0 && fn->bdf.bus == b && fn->bdf.devfn == devfn;
}

static void test_addresses__one_to_256(void)
{
	static const struct { unsigned int total; uint8_t bus, devfn, next_bus, next_dev; } table[] = {
		{ 1, 1, 1, 1, 1 },
		{ 7, 1, 7, 1, 1 },
		{ 8, 1, 8, 1, 2 },
		{ 64, 1, 64, 1, 9 },
		{ 255, 1, 255, 2, 0 },
		{ 256, 2, 0, 3, 0 },	/* bus 2 is theirs */
	};
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct pci_bdf next;
		struct fake f;

		rig_up();
		pf_up(&f, table[i].total);
		CHECK(pci_bus_next_slot(&bus, &next) == 0);
		CHECK(next.bus == table[i].next_bus && next.devfn == table[i].next_dev << 3);
		CHECK(pci_sriov_set(&f.fn, table[i].total, NULL, NULL) == 0);
		CHECK(is_at(pci_vf(&f.fn, 0), 1, 1));
		CHECK(is_at(pci_vf(&f.fn, table[i].total - 1), table[i].bus, table[i].devfn));
		CHECK(pci_bus_next_slot(&bus, &next) == 0);
		CHECK(next.bus == table[i].next_bus && next.devfn == table[i].next_dev << 3);
		for (k = 0; k < table[i].total; k++) {
			struct pci_function *vf = pci_vf(&f.fn, k);

			CHECK(pci_find(&bus, vf->bdf) == vf);
			CHECK(vf->iommu_group == f.fn.iommu_group + 1 + k);
		}
		CHECK(seen.added == table[i].total + 1 && seen.changed == 1);
		pf_down(&f);
		CHECK(seen.destroyed == table[i].total && seen.changed == 2);
		rig_down();
	}
}

static void test_addresses__around_neighbours(void)
{
	struct fake one, two, pf, later;
	struct pci_bdf next;

	rig_up();
	pf_make(&one, 1, 0x10, 0);
	pf_make(&two, 3, 0x00, 0);
	CHECK(pci_register(&bus, &one.fn) == 0 && pci_register(&bus, &two.fn) == 0);
	/* 16 VFs do not fit before 01:02.0: a bus of their own, the first free one. */
	pf_make(&pf, 1, 0, 16);
	CHECK(pci_register(&bus, &pf.fn) == 0);
	CHECK(pci_sriov_offset(&pf.fn) == 0x100 && pci_bind(&pf.fn, &pf_driver, NULL) == 0);
	CHECK(pci_sriov_set(&pf.fn, 16, NULL, NULL) == 0);
	CHECK(is_at(pci_vf(&pf.fn, 0), 2, 0) && is_at(pci_vf(&pf.fn, 15), 2, 15));
	/* Nobody else comes to that bus, there or later. */
	pf_make(&later, 2, 0xf8, 0);
	CHECK(pci_register(&bus, &later.fn) == -EEXIST);
	later.fn.bdf.devfn = 3;
	CHECK(pci_register(&bus, &later.fn) == -EEXIST);
	CHECK(pci_bus_next_slot(&bus, &next) == 0 && next.bus == 1 && next.devfn == 1 << 3);
	pf_down(&pf);
	CHECK(pci_register(&bus, &later.fn) == 0);
	pf_free(&later);
	pf_free(&two);
	pf_free(&one);
	rig_down();
}

static void test_addresses__no_room(void)
{
	struct fake f;

	rig_up();
	pf_make(&f, 0xff, 0x08, 256);
	CHECK(pci_register(&bus, &f.fn) == -ENOSPC && !f.fn.bus);
	f.fn.bdf.bus = 0xfd;
	CHECK(pci_register(&bus, &f.fn) == 0);
	pf_free(&f);
	rig_down();
}

/* ------------------------------------------------------------ coming and going */

static void test_set__errors_in_order(void)
{
	struct fake f, plain;

	rig_up();
	pf_make(&f, 1, 0, 8);
	pf_make(&plain, 5, 0, 0);
	CHECK(pci_register(&bus, &f.fn) == 0 && pci_register(&bus, &plain.fn) == 0);
	CHECK(pci_sriov_set(&plain.fn, 0, NULL, NULL) == -ERANGE);
	CHECK(pci_sriov_set(&f.fn, 9, NULL, NULL) == -ERANGE);
	CHECK(pci_sriov_set(&f.fn, 65535, NULL, NULL) == -ERANGE);
	CHECK(pci_sriov_set(&f.fn, 0, NULL, NULL) == 0);	/* equal: no driver asked for */
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == -ENOENT);
	CHECK(pci_set_driver_override(&f.fn, "plain", 5) == 0);
	CHECK(pci_bind(&f.fn, &plain_driver, NULL) == 0);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == -ENOENT);
	CHECK(pci_unbind(&f.fn, NULL) == 0 && pci_set_driver_override(&f.fn, "", 0) == 0);
	CHECK(pci_bind(&f.fn, &pf_driver, NULL) == 0);
	CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == 0);
	CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == 0);
	CHECK(pci_sriov_set(&f.fn, 9, NULL, NULL) == -ERANGE);
	CHECK(pci_sriov_set(&f.fn, 5, NULL, NULL) == -EBUSY);
	CHECK(pci_sriov_set(&f.fn, 3, NULL, NULL) == -EBUSY);
	CHECK(pci_unregister(&f.fn) == -EBUSY);
	CHECK(pci_sriov_set(&f.fn, 0, NULL, NULL) == 0 && seen.destroyed == 4);
	seen.fail_at = 2;
	CHECK(pci_sriov_set(&f.fn, 5, NULL, NULL) == -ENOMEM);
	CHECK(seen.made == 6 && seen.destroyed == 6 && pci_sriov_numvfs(&f.fn) == 0);
	CHECK(get(&f.fn, ecap(&f.fn, 0x10) + 8, 2) == 0x10);
	/* In a reset, no. */
	seen.fail_at = 0;
	f.reset_later = true;
	flr(&f.fn);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == -EBUSY && seen.made == seen.destroyed);
	env_strand_lock(&f.fn.strand);
	pci_reset_done(&f.fn);
	env_strand_unlock(&f.fn.strand);
	pf_down(&f);
	pf_free(&plain);
	rig_down();
}

struct waiter {
	struct pci_sriov_change c;
	unsigned int done;
	int err;
};

static void waiter_done(struct pci_sriov_change *c, int err)
{
	struct waiter *w = container_of(c, struct waiter, c);

	w->done++;
	w->err = err;
}

/* A client has one open: the others go, it goes when its client lets it. */
static void test_remove__waits_for_the_driver(void)
{
	struct waiter w = { .c.done = waiter_done }, second = { .c.done = waiter_done };
	struct pci_function *vf;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == 0 && probes == 4);
	CHECK(pci_vf(&f.fn, 0)->driver == &pf_driver);
	vf = pci_vf(&f.fn, 1);
	CHECK(pci_unbind(vf, NULL) == 0);
	let_go_later = true;
	CHECK(pci_bind(vf, &pf_driver, NULL) == 0);
	let_go_later = false;
	CHECK(pci_unbind(pci_vf(&f.fn, 0), NULL) == 0 && pci_unbind(pci_vf(&f.fn, 2), NULL) == 0 &&
	      pci_unbind(pci_vf(&f.fn, 3), NULL) == 0);
	let_go_later = true;
	CHECK(pci_sriov_set(&f.fn, 0, &w.c, NULL) == -EINPROGRESS);
	CHECK(held && held->fn == vf && !w.done && seen.destroyed == 3);
	CHECK(pci_sriov_numvfs(&f.fn) == 4 && pci_vf(&f.fn, 1) == vf && !pci_vf(&f.fn, 0));
	/* Until then it works. */
	CHECK(bar(vf) == 0x89abcdef && pci_sriov_enabled(&f.fn) == 4);
	CHECK(pci_sriov_set(&f.fn, 0, &second.c, NULL) == -EINPROGRESS);
	CHECK(pci_sriov_set(&f.fn, 4, NULL, NULL) == -EBUSY);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == -EBUSY);
	step();
	CHECK(!w.done && removes == 5);				/* asked once */
	let_go_later = false;
	held->done(held, 0);
	CHECK(!vf->driver && !w.done);
	CHECK(pci_drivers_probe(vf) == 0 && !vf->driver);	/* it is on its way */
	step();
	CHECK(w.done == 1 && second.done == 1 && !w.err && seen.destroyed == 4);
	CHECK(pci_sriov_numvfs(&f.fn) == 0 && pci_sriov_enabled(&f.fn) == 0 && seen.enabled == 0);
	pf_down(&f);
	rig_down();
}

/* Somebody unbinds it already. */
static void test_remove__joins_an_unbind(void)
{
	struct waiter w = { .c.done = waiter_done };
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == 0);
	let_go_later = true;
	CHECK(pci_unbind(pci_vf(&f.fn, 0), NULL) == 0 && held);
	CHECK(pci_sriov_set(&f.fn, 0, &w.c, NULL) == -EINPROGRESS && removes == 1);
	/* A reset of the PF meanwhile changes nothing but that it is quicker dead. */
	flr(&f.fn);
	step();
	CHECK(!w.done && bar(pci_vf(&f.fn, 0)) == 0xffffffff);
	held->done(held, 0);
	step();
	CHECK(w.done == 1 && pci_sriov_numvfs(&f.fn) == 0);
	pf_down(&f);
	rig_down();
}

static void test_remove__waits_for_resets(void)
{
	struct waiter w = { .c.done = waiter_done };
	struct pci_function *vf[2];
	struct fake f;

	rig_up();
	seen.reset_later = true;
	pf_up(&f, 8);
	CHECK(pci_sriov_set(&f.fn, 2, NULL, NULL) == 0);
	vf[0] = pci_vf(&f.fn, 0);
	vf[1] = pci_vf(&f.fn, 1);
	CHECK(pci_sriov_set(&f.fn, 0, &w.c, NULL) == -EINPROGRESS);
	step();
	CHECK(pci_reset_busy(vf[0]) && pci_reset_busy(vf[1]) && !w.done);
	env_strand_lock(&vf[1]->strand);
	pci_reset_done(vf[1]);
	env_strand_unlock(&vf[1]->strand);
	step();
	CHECK(pci_vf(&f.fn, 0) == vf[0] && !pci_vf(&f.fn, 1) && !w.done);
	env_strand_lock(&vf[0]->strand);
	pci_reset_done(vf[0]);
	env_strand_unlock(&vf[0]->strand);
	step();
	CHECK(w.done == 1 && seen.destroyed == 2);
	pf_down(&f);
	rig_down();
}

static void test_autoprobe__off(void)
{
	struct pci_function *vf;
	struct fake f;

	rig_up();
	pf_up(&f, 8);
	CHECK(pci_sriov_autoprobe(&f.fn));
	pci_sriov_autoprobe_set(&f.fn, false);
	CHECK(pci_sriov_set(&f.fn, 1, NULL, NULL) == 0 && probes == 0);
	vf = pci_vf(&f.fn, 0);
	CHECK(pci_bind(vf, &pf_driver, NULL) == -ENODEV && !vf->driver && probes == 0);
	CHECK(pci_drivers_probe(vf) == 0 && !vf->driver);
	CHECK(pci_set_driver_override(vf, "pf", 2) == 0);
	CHECK(pci_bind(vf, &pf_driver, NULL) == 0 && probes == 1);
	pf_down(&f);
	rig_down();
}

int main(void)
{
	RUN(test_capability__fields);
	RUN(test_numvfs__every_value);
	RUN(test_control__enable_is_the_hosts);
	RUN(test_page_size__sizes_vf_bars);
	RUN(test_init__refuses_the_impossible);
	RUN(test_vf__configuration_space);
	RUN(test_vf__memory_follows_mse);
	RUN(test_vf__flr_is_its_own);
	RUN(test_pf__flr_takes_the_vfs);
	RUN(test_vf__table_size_changes);
	RUN(test_addresses__one_to_256);
	RUN(test_addresses__around_neighbours);
	RUN(test_addresses__no_room);
	RUN(test_set__errors_in_order);
	RUN(test_remove__waits_for_the_driver);
	RUN(test_remove__joins_an_unbind);
	RUN(test_remove__waits_for_resets);
	RUN(test_autoprobe__off);
	return tap_end();
}
