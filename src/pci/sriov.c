/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * SR-IOV: the capability of a PF, and the VFs behind it.
 *
 * Registers are the PF's strand's. What a VF must know of them (is it enabled,
 * does it decode memory) is in atomics, because nobody holds two strands.
 * Which VFs exist is the host lock's.
 *
 * VFs come all at once, in pci_sriov_set(). They go one by one, each through
 * the same steps: unbound (its client lets go first), reset, off the bus,
 * destroyed. A step that takes time ends in sriov_kick(): the bus' control
 * work looks at all PFs and goes on where it can. It is one for the whole bus,
 * so that no PF has to be kept alive for it. VFs go because somebody asked
 * (then VF Enable is cleared at the end, as Linux does it), or because VF
 * Enable is clear already: by a configuration write, or a reset of the PF.
 */
#include <pthread.h>

#include "pci/internal.h"

#include <ferry/sriov.h>

#define CTRL_BITS (PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI)
#define PAGE_SIZES 0x553u	/* those that everybody must support */
#define RETRY_NS 10000000u
#define STRAND_WAIT_NS UINT64_C(1000000)	/* the host lock is held meanwhile */
#define PF_WAIT_NS UINT64_C(1000000000)

enum vf_step { VF_THERE, VF_RESETTING, VF_RESET };

struct sriov_vf {
	struct pci_function *fn;		/* NULL: none. Host lock */
	struct pci_reset_waiter waiter;
	struct pci_bus *bus;
	_Atomic enum vf_step step;
};

struct pci_sriov {
	/* Const after registration. */
	const struct pci_sriov_ops *ops;
	unsigned int total;
	uint16_t vf_device, cap;
	uint32_t first, last;			/* routing ids of its VFs; what is reserved ends at last */
	struct pci_bar vf_bar[PCI_BARS];

	/* The registers as last accepted. PF's strand. */
	uint16_t ctrl, num;
	uint32_t page;
	atomic_uint enabled;			/* VF Enable ? NumVFs : 0 */
	atomic_bool mse;

	/* Host lock. */
	unsigned int nr;			/* VFs that exist */
	bool removing;				/* asked to */
	bool no_autoprobe;
	struct list changes;			/* who waits for them to be gone */
	struct sriov_vf vf[];			/* total of them */
};

struct pci_control {
	struct pci_bus *bus;
	pthread_mutex_t *lock;
	struct env_strand *strand;
	struct env_work work;
	struct env_timer retry;
};

/* ----------------------------------------------------------------- registers */

/* A VF BAR decodes whole system pages. */
static void bars_fix(struct pci_function *pf)
{
	const struct pci_sriov *s = pf->sriov;
	uint64_t page = (uint64_t)s->page << 12;
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		unsigned int at = s->cap + PCI_SRIOV_BAR + 4 * i;
		uint32_t low = (uint32_t)(MAX(s->vf_bar[i].size, page) - 1) & ~0xfu;

		if (s->vf_bar[i].size)
			config_set32(pf, at, config_get32(pf, at) & ~low);
	}
}

static void vfs_off(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;

	atomic_store(&s->enabled, 0);
	if (s->ops->vfs_enabled)
		s->ops->vfs_enabled(pf, 0);
	sriov_kick(pf->bus);
}

static void regs_put(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;

	config_set16(pf, s->cap + PCI_SRIOV_CTRL, s->ctrl);
	config_set16(pf, s->cap + PCI_SRIOV_NUM_VF, s->num);
	config_set32(pf, s->cap + PCI_SRIOV_SYS_PGSIZE, s->page);
	atomic_store(&s->mse, s->ctrl & PCI_SRIOV_CTRL_MSE);
	bars_fix(pf);
}

/* Something was written, perhaps here: accept it or put back what was. */
void sriov_written(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;
	uint16_t ctrl = config_get16(pf, s->cap + PCI_SRIOV_CTRL);
	uint16_t num = config_get16(pf, s->cap + PCI_SRIOV_NUM_VF);
	uint32_t page = config_get32(pf, s->cap + PCI_SRIOV_SYS_PGSIZE);
	bool was_on = s->ctrl & PCI_SRIOV_CTRL_VFE;

	if (was_on) {
		ctrl = (uint16_t)((ctrl & ~PCI_SRIOV_CTRL_ARI) | (s->ctrl & PCI_SRIOV_CTRL_ARI));
	} else {
		ctrl &= (uint16_t)~PCI_SRIOV_CTRL_VFE;
		if (num <= s->total)
			s->num = num;
		if (page && !(page & (page - 1)))
			s->page = page;
	}
	s->ctrl = ctrl;
	regs_put(pf);
	if (was_on && !(ctrl & PCI_SRIOV_CTRL_VFE))
		vfs_off(pf);
}

/* Configuration space is back at its reset values. */
void sriov_reset(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;
	bool was_on = s->ctrl & PCI_SRIOV_CTRL_VFE;

	s->ctrl = s->num = 0;
	s->page = 1;
	regs_put(pf);
	if (was_on)
		vfs_off(pf);
}

bool sriov_vf_decodes(const struct pci_function *vf)
{
	const struct pci_sriov *s = vf->physfn->sriov;

	return vf->vf_index < atomic_load(&((struct pci_sriov *)s)->enabled) &&
	       atomic_load(&((struct pci_sriov *)s)->mse);
}

static bool bar_ok(const struct pci_bar *bar, unsigned int i)
{
	if (!bar[i].size)
		return true;
	if (bar[i].size < PCI_PAGE || (bar[i].size & (bar[i].size - 1)))
		return false;
	return !bar[i].is_64 || (i + 1 < PCI_BARS && !bar[i + 1].size);
}

static void bar_build(struct pci_function *pf, unsigned int i)
{
	const struct pci_bar *b = &pf->sriov->vf_bar[i];
	unsigned int at = pf->sriov->cap + PCI_SRIOV_BAR + 4 * i;
	uint64_t bits = ~(b->size - 1);

	if (!b->size)
		return;
	config_set32(pf, at, PCI_BASE_ADDRESS_SPACE_MEMORY |
		     (b->is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : PCI_BASE_ADDRESS_MEM_TYPE_32) |
		     (b->prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0u));
	config_allow(pf, at, (uint32_t)bits, 4);
	if (b->is_64)
		config_allow(pf, at + 4, (uint32_t)(bits >> 32), 4);
}

int sriov_ari_build(struct pci_function *fn)
{
	int off = pci_add_ecap(fn, PCI_EXT_CAP_ID_ARI, 1, PCI_EXT_CAP_ARI_SIZEOF);

	return off < 0 ? off : 0;
}

int pci_sriov_init(struct pci_function *pf, unsigned int total, uint16_t vf_device,
		   const struct pci_bar vf_bar[PCI_BARS], const struct pci_sriov_ops *ops)
{
	struct pci_sriov *s;
	unsigned int i;
	int off;

	if (!total || total > SRIOV_VFS_MAX || pf->sriov || pf->physfn || !ops->vf_create ||
	    !ops->vf_destroy)
		return -EINVAL;
	for (i = 0; i < PCI_BARS; i++)
		if (!bar_ok(vf_bar, i))
			return -EINVAL;
	if (sriov_ari_build(pf) < 0)
		return -ENOSPC;
	off = pci_add_ecap(pf, PCI_EXT_CAP_ID_SRIOV, 1, PCI_EXT_CAP_SRIOV_SIZEOF);
	if (off < 0)
		return off;
	s = calloc(1, sizeof(*s) + total * sizeof(s->vf[0]));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->total = total;
	s->vf_device = vf_device;
	s->cap = (uint16_t)off;
	s->page = 1;
	memcpy(s->vf_bar, vf_bar, sizeof(s->vf_bar));
	list_init(&s->changes);
	pf->sriov = s;

	config_set16(pf, s->cap + PCI_SRIOV_INITIAL_VF, (uint16_t)total);
	config_set16(pf, s->cap + PCI_SRIOV_TOTAL_VF, (uint16_t)total);
	config_set16(pf, s->cap + PCI_SRIOV_VF_STRIDE, 1);
	config_set16(pf, s->cap + PCI_SRIOV_VF_DID, vf_device);
	config_set32(pf, s->cap + PCI_SRIOV_SUP_PGSIZE, PAGE_SIZES);
	config_set32(pf, s->cap + PCI_SRIOV_SYS_PGSIZE, 1);
	config_allow(pf, s->cap + PCI_SRIOV_CTRL, CTRL_BITS, 2);
	config_allow(pf, s->cap + PCI_SRIOV_NUM_VF, 0xffff, 2);
	config_allow(pf, s->cap + PCI_SRIOV_SYS_PGSIZE, PAGE_SIZES, 4);
	for (i = 0; i < PCI_BARS; i++)
		bar_build(pf, i);
	return 0;
}

void sriov_release(struct pci_function *pf)
{
	if (pf->sriov)
		assert(!pf->sriov->nr && list_empty(&pf->sriov->changes));
	free(take_ptr(pf->sriov));
}

/* ------------------------------------------------------------------ addresses */

static uint32_t routing_id(const struct pci_function *fn)
{
	return (uint32_t)fn->bdf.bus << 8 | fn->bdf.devfn;
}

/* Is there a PF's room in [@first, @last] of @domain? Its last address there, or 0. */
uint32_t sriov_reserved(const struct pci_bus *bus, unsigned int domain, uint32_t first, uint32_t last)
{
	const struct pci_function *fn;

	list_for_each(fn, &bus->functions, bus_link)
		if (fn->sriov && fn->bdf.domain == domain && fn->sriov->first <= last &&
		    fn->sriov->last >= first)
			return fn->sriov->last;
	return 0;
}

static bool room_at(const struct pci_bus *bus, const struct pci_function *pf, uint32_t first)
{
	uint32_t last = first + pf->sriov->total - 1;
	const struct pci_function *fn;

	if (last > 0xffff)
		return false;
	/* Buses beyond the PF's own are its VFs' alone. */
	if (last >> 8 != pf->bdf.bus)
		last |= 0xff;
	if (sriov_reserved(bus, pf->bdf.domain, first, last))
		return false;
	list_for_each(fn, &bus->functions, bus_link)
		if (fn->bdf.domain == pf->bdf.domain && routing_id(fn) >= first &&
		    routing_id(fn) <= last)
			return false;
	pf->sriov->first = first;
	pf->sriov->last = last;
	return true;
}

/* Right behind the PF if that is free, else from the start of a bus. */
int sriov_reserve(const struct pci_bus *bus, struct pci_function *pf)
{
	uint32_t id = routing_id(pf), b;
	bool found = room_at(bus, pf, id + 1);

	if (!bus->control)
		return -EINVAL;
	for (b = pf->bdf.bus + 1u; b <= 0xff && !found; b++)
		found = room_at(bus, pf, b << 8);
	if (!found)
		return -ENOSPC;
	config_set16(pf, pf->sriov->cap + PCI_SRIOV_VF_OFFSET, (uint16_t)(pf->sriov->first - id));
	return 0;
}

/* ----------------------------------------------------------------- VFs that go */

static void reset_over(struct pci_reset_waiter *w)
{
	struct sriov_vf *v = container_of(w, struct sriov_vf, waiter);

	atomic_store(&v->step, VF_RESET);
	sriov_kick(v->bus);
}

static int vf_reset(struct sriov_vf *v)
{
	if (env_strand_lock_for(&v->fn->strand, STRAND_WAIT_NS) < 0)
		return -EAGAIN;
	atomic_store(&v->step, VF_RESETTING);
	v->waiter.done = reset_over;
	pci_reset(v->fn, PCI_RESET_BUS, &v->waiter);
	env_strand_unlock(&v->fn->strand);
	return 0;
}

/* Return: 0: it is gone; -EINPROGRESS: somebody kicks; -EAGAIN: look again later. */
static int vf_remove(struct pci_function *pf, struct sriov_vf *v)
{
	struct pci_function *vf = v->fn;

	if (vf->driver && !vf->unbinding)
		(void)pci_unbind(vf, NULL);
	if (vf->driver)
		return -EINPROGRESS;
	if (atomic_load(&v->step) == VF_THERE && vf_reset(v) < 0)
		return -EAGAIN;
	if (atomic_load(&v->step) == VF_RESETTING)
		return -EINPROGRESS;
	if (pci_unregister(vf) < 0)
		return -EAGAIN;
	v->fn = NULL;
	pf->sriov->ops->vf_destroy(pf, vf);
	return 0;
}

/* VF Enable off, unless it is. */
static int registers_off(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;

	if (env_strand_lock_for(&pf->strand, STRAND_WAIT_NS) < 0)
		return -EAGAIN;
	if (s->ctrl & PCI_SRIOV_CTRL_VFE) {
		s->ctrl &= (uint16_t)~(PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);
		s->num = 0;
		regs_put(pf);
		atomic_store(&s->enabled, 0);
		if (s->ops->vfs_enabled)
			s->ops->vfs_enabled(pf, 0);
	}
	env_strand_unlock(&pf->strand);
	return 0;
}

static void vfs_changed(struct pci_function *pf)
{
	struct pci_observer *o;

	list_for_each(o, &pf->bus->observers, link)
		if (o->vfs_changed)
			o->vfs_changed(o, pf);
}

static bool vfs_going(struct pci_sriov *s)
{
	return s->nr && (s->removing || !atomic_load(&s->enabled));
}

bool sriov_vf_going(const struct pci_function *vf)
{
	return vf->physfn && vfs_going(vf->physfn->sriov);
}

bool sriov_vf_may_probe(const struct pci_function *fn)
{
	return !fn->physfn || !fn->physfn->sriov->no_autoprobe || fn->driver_override[0];
}

/* As far as it goes now. Return as vf_remove(). */
static int vfs_remove(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;
	int ret = 0;
	unsigned int i;

	s->removing = true;
	for (i = 0; i < s->total; i++) {
		int one = s->vf[i].fn ? vf_remove(pf, &s->vf[i]) : 0;

		if (one == -EAGAIN || (one && !ret))
			ret = one;
	}
	if (!ret)
		ret = registers_off(pf);
	if (ret < 0)
		return ret;
	s->nr = 0;
	s->removing = false;
	vfs_changed(pf);
	while (!list_empty(&s->changes)) {
		struct pci_sriov_change *c = list_first(&s->changes, struct pci_sriov_change, link);

		list_del(&c->link);
		c->done(c, 0);
	}
	return 0;
}

int pci_sriov_disable(struct pci_function *pf, struct pci_sriov_change *c)
{
	struct pci_sriov *s = pf->sriov;
	int ret;

	if (!s || !s->nr)
		return 0;
	ret = vfs_remove(pf);
	if (!ret)
		return 0;
	if (c)
		list_add_tail(&s->changes, &c->link);
	if (ret == -EAGAIN)
		sriov_kick(pf->bus);
	return -EINPROGRESS;
}

/* ---------------------------------------------------------------- control side */

static void control_run(struct pci_control *ctl)
{
	struct pci_function *fn;
	bool again = false;

	pthread_mutex_lock(ctl->lock);
	/* What goes is a VF, never the PF that is looked at; VFs come behind it or before it. */
restart:
	list_for_each(fn, &ctl->bus->functions, bus_link) {
		int ret = fn->sriov && vfs_going(fn->sriov) ? vfs_remove(fn) : 1;

		if (!ret)
			goto restart;
		again |= ret == -EAGAIN;
	}
	pthread_mutex_unlock(ctl->lock);
	if (again)
		env_timer_arm(&ctl->retry, env_now(ctl->strand) + RETRY_NS);
}

static void control_work(struct env_work *w)
{
	control_run(container_of(w, struct pci_control, work));
}

static void control_retry(struct env_timer *t)
{
	control_run(container_of(t, struct pci_control, retry));
}

void sriov_kick(struct pci_bus *bus)
{
	if (bus && bus->control)
		env_work_queue(&bus->control->work);
}

int pci_bus_control(struct pci_bus *bus, struct env_strand *strand, pthread_mutex_t *lock)
{
	struct pci_control *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return -ENOMEM;
	ctl->bus = bus;
	ctl->lock = lock;
	ctl->strand = strand;
	env_work_init(&ctl->work, strand, control_work);
	env_timer_init(&ctl->retry, strand, control_retry);
	bus->control = ctl;
	return 0;
}

void pci_bus_control_release(struct pci_bus *bus)
{
	struct pci_control *ctl = take_ptr(bus->control);

	if (!ctl)
		return;
	env_strand_lock(ctl->strand);
	env_work_cancel(&ctl->work);
	env_timer_cancel(&ctl->retry);
	env_strand_unlock(ctl->strand);
	free(ctl);
}

/* ---------------------------------------------------------------- VFs that come */

static void vfs_drop(struct pci_function *pf)
{
	struct pci_sriov *s = pf->sriov;
	unsigned int i;

	for (i = 0; i < s->total; i++)
		if (s->vf[i].fn)
			s->ops->vf_destroy(pf, take_ptr(s->vf[i].fn));
}

static int vfs_make(struct pci_function *pf, unsigned int n, struct ferry_err *err)
{
	struct pci_sriov *s = pf->sriov;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t id = s->first + i;
		int ret = s->ops->vf_create(pf, i, &s->vf[i].fn, err);

		if (ret < 0) {
			s->vf[i].fn = NULL;
			vfs_drop(pf);
			return ret;
		}
		assert(s->vf[i].fn->physfn == pf && s->vf[i].fn->vf_index == i);
		s->vf[i].fn->bdf = (struct pci_bdf){ .domain = pf->bdf.domain,
						     .bus = (uint8_t)(id >> 8),
						     .devfn = (uint8_t)id };
		s->vf[i].bus = pf->bus;
		atomic_store(&s->vf[i].step, VF_THERE);
		list_init(&s->vf[i].waiter.link);
	}
	return 0;
}

static int registers_on(struct pci_function *pf, unsigned int n)
{
	struct pci_sriov *s = pf->sriov;
	int ret = 0;

	if (env_strand_lock_for(&pf->strand, PF_WAIT_NS) < 0)
		return -EBUSY;
	if (pf->resetting) {
		ret = -EBUSY;
	} else {
		s->num = (uint16_t)n;
		s->ctrl |= CTRL_BITS;
		regs_put(pf);
		atomic_store(&s->enabled, n);
		if (s->ops->vfs_enabled)
			s->ops->vfs_enabled(pf, n);
	}
	env_strand_unlock(&pf->strand);
	return ret;
}

static int vfs_add(struct pci_function *pf, unsigned int n, struct ferry_err *err)
{
	struct pci_sriov *s = pf->sriov;
	int ret = vfs_make(pf, n, err);
	unsigned int i;

	if (ret < 0)
		return ret;
	if (registers_on(pf, n) < 0) {
		vfs_drop(pf);
		return ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", "try again",
				     PCI_BDF_FMT " is held up, or being reset",
				     PCI_BDF_ARG(pf->bdf));
	}
	s->nr = n;
	for (i = 0; i < n; i++) {
		ret = pci_register(pf->bus, s->vf[i].fn);
		assert(!ret);	/* the address is reserved */
	}
	/* The host lock is held: none can be on its way out yet. */
	for (i = 0; i < n; i++)
		if (!s->no_autoprobe)
			(void)pci_drivers_probe(s->vf[i].fn);
	vfs_changed(pf);
	return 0;
}

int pci_sriov_set(struct pci_function *pf, unsigned int n, struct pci_sriov_change *c,
		  struct ferry_err *err)
{
	struct pci_sriov *s = pf->sriov;

	if (!s || n > s->total)
		return ferry_err_set(err, ERANGE, "E-SRIOV-TOTAL", NULL,
				     PCI_BDF_FMT " can have %u VFs", PCI_BDF_ARG(pf->bdf),
				     pci_sriov_total(pf));
	if (n == s->nr && !vfs_going(s))
		return 0;
	if (!pf->driver || !pf->driver->sriov)
		return ferry_err_set(err, ENOENT, "E-SRIOV-DRIVER", "bind a driver of PFs to it",
				     PCI_BDF_FMT ": %s %s", PCI_BDF_ARG(pf->bdf),
				     pf->driver ? "no VFs with driver" : "no driver",
				     pf->driver ? pf->driver->name : "is bound");
	if (!n)
		return pci_sriov_disable(pf, c);
	if (s->nr)
		return ferry_err_set(err, EBUSY, "E-SRIOV-VFS", "remove them first",
				     PCI_BDF_FMT " has %u VFs already", PCI_BDF_ARG(pf->bdf), s->nr);
	return vfs_add(pf, n, err);
}

/* --------------------------------------------------------------------- look-ups */

unsigned int pci_sriov_total(const struct pci_function *pf)
{
	return pf->sriov ? pf->sriov->total : 0;
}

unsigned int pci_sriov_numvfs(const struct pci_function *pf)
{
	return pf->sriov ? pf->sriov->nr : 0;
}

unsigned int pci_sriov_enabled(const struct pci_function *pf)
{
	return pf->sriov ? atomic_load(&pf->sriov->enabled) : 0;
}

bool pci_sriov_autoprobe(const struct pci_function *pf)
{
	return !pf->sriov->no_autoprobe;
}

void pci_sriov_autoprobe_set(struct pci_function *pf, bool on)
{
	pf->sriov->no_autoprobe = !on;
}

unsigned int pci_sriov_offset(const struct pci_function *pf)
{
	return pf->sriov->first - routing_id(pf);
}

unsigned int pci_sriov_stride(const struct pci_function *pf)
{
	return 1;
}

uint16_t pci_sriov_vf_device(const struct pci_function *pf)
{
	return pf->sriov->vf_device;
}

const struct pci_bar *pci_sriov_vf_bar(const struct pci_function *pf, unsigned int bar)
{
	return &pf->sriov->vf_bar[bar];
}

struct pci_function *pci_vf(const struct pci_function *pf, unsigned int index)
{
	return pf->sriov && index < pf->sriov->total ? pf->sriov->vf[index].fn : NULL;
}
