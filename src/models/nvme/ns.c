/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Subsystems and their namespace tables.
 *
 * The table is changed under the subsystem's lock, but every I/O command of
 * every controller looks a namespace up, from its own strand, without it. How
 * that can work:
 *
 * 1. The memory of a namespace belongs to its NSID (slot[]), is made when the
 *    NSID is first used, used again when that returns, and freed with the
 *    subsystem. A pointer once read from ns[] can always be looked at.
 * 2. nvme_ns_get() adds one to @inflight and then looks at @attached. If the
 *    caller's bit is not there it takes its one back and touches nothing
 *    else. Both accesses are sequentially consistent.
 * 3. Whoever removes a namespace has cleared @attached first, and then looks
 *    at @inflight. If that is zero, any get() that comes later sees the
 *    cleared bit; if it is not, removal is refused (the control plane gets
 *    -EBUSY), or waits (the guest's Delete tries again by a timer).
 * 4. All other fields, @dev among them, are written only in between: before
 *    the first bit of @attached is set, after @inflight was seen to be zero
 *    with no bit set. Format changes two of them while commands can be in
 *    flight; see io.c.
 *
 * @refs is for those who look at a namespace that need not be attached:
 * counted under the lock; one is the table's. Removal is refused while there
 * are others. They are short.
 *
 * The subsystem's lock is a leaf but for nvme_notice(): a controller leaves
 * ctrl[] under the lock, so one found there under the lock is alive.
 */
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "models/nvme/ns.h"

/* --------------------------------------------------------------- identifiers */

/* FNV-1a, for identifiers that have to be made from others and stay the same for ever. */
static uint64_t id_hash(uint64_t h, const void *buf, size_t len)
{
	const unsigned char *p = buf;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3u;
	return h;
}

/*
 * EUI64: a locally administered OUI and 40 bits of the UUID. NGUID: the other
 * half of the UUID, then the EUI64.
 */
static void derive_ids(struct nvme_ns *ns)
{
	static const uint8_t oui[3] = { 0x52, 0x54, 0x00 };

	memcpy(ns->eui64, oui, sizeof(oui));
	memcpy(ns->eui64 + 3, ns->uuid + 11, 5);
	memcpy(ns->nguid, ns->uuid, 8);
	memcpy(ns->nguid + 8, ns->eui64, 8);
}

static void uuid_finish(uint8_t uuid[16], uint8_t version)
{
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | version << 4);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len)
		if (p[--len])
			return false;
	return true;
}

/* "nqn.2014-08.org.nvmexpress:uuid:" and a UUID made from serial number and model. */
static void derive_subnqn(struct nvme_subsys_config *cfg)
{
	uint64_t a = id_hash(0xcbf29ce484222325u, cfg->serial, strlen(cfg->serial) + 1), b;
	uint8_t u[16];

	a = id_hash(a, cfg->model, strlen(cfg->model) + 1);
	b = id_hash(a, "ferry", 5);
	memcpy(u, &a, 8);
	memcpy(u + 8, &b, 8);
	uuid_finish(u, 8);
	snprintf(cfg->subnqn, sizeof(cfg->subnqn),
		 "nqn.2014-08.org.nvmexpress:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
		 u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* ---------------------------------------------------------------- subsystem */

int nvme_subsys_create(const struct nvme_subsys_config *cfg, struct nvme_subsys **ssp,
		       struct ferry_err *err)
{
	struct nvme_subsys *ss = calloc(1, sizeof(*ss));
	struct nvme_subsys_config *own;

	if (!ss)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a subsystem");
	ss->cfg = *cfg;
	own = &ss->cfg;
	own->subnqn[sizeof(own->subnqn) - 1] = '\0';
	own->serial[sizeof(own->serial) - 1] = '\0';
	own->model[sizeof(own->model) - 1] = '\0';
	own->firmware[sizeof(own->firmware) - 1] = '\0';
	if (!own->subnqn[0])
		derive_subnqn(own);
	ss->unallocated = cfg->capacity;
	pthread_mutex_init(&ss->lock, NULL);
	*ssp = ss;
	return 0;
}

void nvme_subsys_destroy(struct nvme_subsys *ss)
{
	unsigned int i;

	if (!ss)
		return;
	for (i = 0; i < ARRAY_SIZE(ss->ctrl); i++)
		assert(!ss->ctrl[i]);
	for (i = 1; i <= NVME_NSID_MAX; i++) {
		struct nvme_ns *ns = atomic_load(&ss->ns[i]);

		if (ns)
			block_put(take_ptr(ns->dev));
		free(ss->slot[i]);
	}
	pthread_mutex_destroy(&ss->lock);
	free(ss);
}

/* ------------------------------------------------------------------ look-ups */

bool nvme_ns_is_attached(const struct nvme_ns *ns, const struct nvme_ctrl *c)
{
	return atomic_load(&((struct nvme_ns *)ns)->attached[c->slot / 64]) >> c->slot % 64 & 1;
}

bool nvme_ns_active(const struct nvme_ctrl *c, uint32_t nsid)
{
	struct nvme_ns *ns = nsid <= NVME_NSID_MAX ? atomic_load(&c->ss->ns[nsid]) : NULL;

	return ns && nvme_ns_is_attached(ns, c);
}

struct nvme_ns *nvme_ns_get(struct nvme_ctrl *c, uint32_t nsid)
{
	struct nvme_ns *ns;

	if (nsid > NVME_NSID_MAX)
		return NULL;
	ns = atomic_load_explicit(&c->ss->ns[nsid], memory_order_acquire);
	if (!ns)
		return NULL;
	atomic_fetch_add(&ns->inflight, 1);
	if (__builtin_expect(nvme_ns_is_attached(ns, c), 1))
		return ns;
	nvme_ns_put(ns);
	return NULL;
}

void nvme_ns_put(struct nvme_ns *ns)
{
	atomic_fetch_sub_explicit(&ns->inflight, 1, memory_order_release);
}

struct nvme_ns *nvme_ns_lookup(struct nvme_subsys *ss, uint32_t nsid)
{
	struct nvme_ns *ns;

	if (nsid > NVME_NSID_MAX)
		return NULL;
	pthread_mutex_lock(&ss->lock);
	ns = atomic_load(&ss->ns[nsid]);
	if (ns)
		atomic_fetch_add(&ns->refs, 1);
	pthread_mutex_unlock(&ss->lock);
	return ns;
}

void nvme_ns_unref(struct nvme_ns *ns)
{
	atomic_fetch_sub(&ns->refs, 1);
}

/* ------------------------------------------------------------ adding, removing */

static uint32_t free_nsid_locked(struct nvme_subsys *ss)
{
	uint32_t nsid;

	for (nsid = 1; nsid <= NVME_NSID_MAX; nsid++)
		if (!atomic_load(&ss->ns[nsid]))
			return nsid;
	return 0;
}

/* An unused namespace in slot @nsid, with every field but inflight as new. */
static struct nvme_ns *slot_take_locked(struct nvme_subsys *ss, uint32_t nsid)
{
	struct nvme_ns *ns = ss->slot[nsid];

	if (!ns)
		ns = ss->slot[nsid] = calloc(1, sizeof(*ns));
	if (!ns)
		return NULL;
	ns->ss = ss;
	ns->nsid = nsid;
	ns->shared = true;
	ns->guest_made = false;
	atomic_store(&ns->formatting, false);
	atomic_store(&ns->not_owned, false);
	for (unsigned int i = 0; i < NVME_SLOT_WORDS; i++)
		atomic_store(&ns->attached[i], 0);
	atomic_store(&ns->refs, 1);
	return ns;
}

int ns_insert(struct nvme_subsys *ss, struct block_dev *dev, const struct nvme_ns_config *cfg,
	      bool guest_made, bool shared, uint32_t *nsid)
{
	uint32_t id;
	struct nvme_ns *ns;
	int ret = 0;

	pthread_mutex_lock(&ss->lock);
	id = cfg->nsid ? cfg->nsid : free_nsid_locked(ss);
	if (!id)
		ret = -ENOSPC;
	else if (id > NVME_NSID_MAX)
		ret = -EINVAL;
	else if (atomic_load(&ss->ns[id]))
		ret = -EEXIST;
	ns = ret ? NULL : slot_take_locked(ss, id);
	if (!ret && !ns)
		ret = -ENOMEM;
	if (ret)
		goto out;

	ns->dev = block_get(dev);
	ns->guest_made = guest_made;
	ns->shared = shared;
	atomic_store(&ns->not_owned, cfg->not_owned);
	atomic_store(&ns->lba_shift, cfg->lba_shift);
	atomic_store(&ns->nsze, atomic_load(&dev->size) >> cfg->lba_shift);
	memcpy(ns->uuid, cfg->uuid, sizeof(ns->uuid));
	derive_ids(ns);
	snprintf(ns->name, sizeof(ns->name), "%s", cfg->name ? cfg->name : "");
	atomic_store(&ss->ns[id], ns);
	*nsid = id;
out:
	pthread_mutex_unlock(&ss->lock);
	return ret;
}

int nvme_ns_add(struct nvme_subsys *ss, struct block_dev *dev, const struct nvme_ns_config *cfg,
		uint32_t *nsid, struct ferry_err *err)
{
	struct nvme_ns_config own = *cfg;
	uint64_t size = atomic_load(&dev->size);
	int ret;

	if (own.lba_shift != 9 && own.lba_shift != 12)
		return ferry_err_set(err, EINVAL, "E-NS-LBA", "use 512 or 4096",
				     "LBA size 2^%u is not supported", own.lba_shift);
	if (1u << own.lba_shift < dev->align)
		return ferry_err_set(err, EINVAL, "E-NS-LBA", "use a larger LBA",
				     "%s needs accesses of %u bytes, the LBA has %u", dev->spec,
				     dev->align, 1u << own.lba_shift);
	if (!size || !IS_ALIGNED(size, 1ull << own.lba_shift))
		return ferry_err_set(err, EINVAL, "E-NS-SIZE", NULL,
				     "%s: %llu bytes are no whole number of LBAs", dev->spec,
				     (unsigned long long)size);
	/* The control plane, not the device: no strand whose environment could be asked. */
	if (is_zero(own.uuid, sizeof(own.uuid))) {
		if (getrandom(own.uuid, sizeof(own.uuid), 0) != sizeof(own.uuid))
			return ferry_err_set(err, EIO, "E-RANDOM", NULL, "no random UUID");
		uuid_finish(own.uuid, 4);
	}
	ret = ns_insert(ss, dev, &own, false, true, nsid);
	switch (ret) {
	case -EEXIST:
		return ferry_err_set(err, EEXIST, "E-NS-EXISTS", NULL,
				     "NSID %u is taken", own.nsid);
	case -ENOSPC:
		return ferry_err_set(err, ENOSPC, "E-NS-FULL", "remove one",
				     "the subsystem has %u namespaces already", NVME_NSID_MAX);
	case -EINVAL:
		return ferry_err_set(err, EINVAL, "E-NS-ID", NULL, "NSID %u is above %u",
				     own.nsid, NVME_NSID_MAX);
	case -ENOMEM:
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory for a namespace");
	}
	return ret;
}

/* A failed look at @inflight that is not in time costs a retry, no more. */
int ns_drop(struct nvme_subsys *ss, struct nvme_ns *ns, unsigned int refs)
{
	struct block_dev *dev = NULL;
	int ret = -EBUSY;

	pthread_mutex_lock(&ss->lock);
	if (!ns_any_attached(ns) && !atomic_load(&ns->inflight) &&
	    atomic_load(&ns->refs) == refs) {
		atomic_store(&ss->ns[ns->nsid], NULL);
		atomic_store(&ns->refs, 0);
		dev = take_ptr(ns->dev);
		if (ns->guest_made)
			/* Its size may have been changed under it: never more than there was. */
			ss->unallocated = MIN(ss->unallocated + atomic_load(&dev->size),
					      ss->cfg.capacity);
		ret = 0;
	}
	pthread_mutex_unlock(&ss->lock);
	if (dev)
		block_put(dev);
	return ret;
}

int nvme_ns_remove(struct nvme_subsys *ss, uint32_t nsid, struct ferry_err *err)
{
	struct nvme_ns *ns = nvme_ns_lookup(ss, nsid);
	bool attached;
	int ret;

	if (!ns)
		return ferry_err_set(err, ENOENT, "E-NS-NONE", NULL, "there is no NSID %u", nsid);
	attached = ns_any_attached(ns);
	ret = ns_drop(ss, ns, 2);
	if (!ret)
		return 0;
	nvme_ns_unref(ns);
	return attached ? ferry_err_set(err, EBUSY, "E-NS-ATTACHED", "detach it first",
					"NSID %u is attached", nsid) :
			  ferry_err_set(err, EBUSY, "E-NS-BUSY", "try again",
					"NSID %u is in use", nsid);
}

/* ---------------------------------------------------------------- attachment */

int ns_slot_locked(const struct nvme_subsys *ss, uint16_t cntlid)
{
	unsigned int i;

	for (i = 0; i < NVME_CTRLS_MAX && cntlid; i++)
		if (ss->cntlid[i] == cntlid)
			return (int)i;
	return -1;
}

struct nvme_ctrl *ns_ctrl_locked(struct nvme_subsys *ss, uint16_t cntlid)
{
	int slot = ns_slot_locked(ss, cntlid);

	return slot < 0 ? NULL : ss->ctrl[slot];
}

struct nvme_slots ns_attached(const struct nvme_ns *ns)
{
	struct nvme_slots s;
	unsigned int i;

	for (i = 0; i < NVME_SLOT_WORDS; i++)
		s.w[i] = atomic_load(&((struct nvme_ns *)ns)->attached[i]);
	return s;
}

bool ns_any_attached(const struct nvme_ns *ns)
{
	struct nvme_slots s = ns_attached(ns);
	unsigned int i;

	for (i = 0; i < NVME_SLOT_WORDS; i++)
		if (s.w[i])
			return true;
	return false;
}

void ns_notice_locked(struct nvme_subsys *ss, uint32_t nsid, const struct nvme_slots *slots)
{
	unsigned int i;

	for (i = 0; i < NVME_CTRLS_MAX; i++)
		if (ss->ctrl[i] && nvme_slots_has(slots, i))
			nvme_notice(ss->ctrl[i], nsid);
}

int ns_attach_locked(struct nvme_ns *ns, unsigned int slot)
{
	struct nvme_slots now = ns_attached(ns);

	if (nvme_slots_has(&now, slot))
		return -EEXIST;
	if (!ns->shared && ns_any_attached(ns))
		return -EPERM;
	atomic_fetch_or(&ns->attached[slot / 64], 1ull << slot % 64);
	return 0;
}

int ns_detach_locked(struct nvme_ns *ns, unsigned int slot)
{
	uint64_t bit = 1ull << slot % 64;

	return atomic_fetch_and(&ns->attached[slot / 64], ~bit) & bit ? 0 : -ENOENT;
}

static int change_attachment(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, bool attach,
			     struct ferry_err *err)
{
	struct nvme_ns *ns;
	int ret, slot;

	pthread_mutex_lock(&ss->lock);
	ns = nsid <= NVME_NSID_MAX ? atomic_load(&ss->ns[nsid]) : NULL;
	slot = ns_slot_locked(ss, cntlid);
	if (!ns || slot < 0)
		ret = -ENODEV;
	else if (attach)
		ret = ns_attach_locked(ns, (unsigned int)slot);
	else
		ret = ns_detach_locked(ns, (unsigned int)slot);
	if (!ret && ss->ctrl[slot])
		nvme_notice(ss->ctrl[slot], nsid);
	pthread_mutex_unlock(&ss->lock);

	switch (ret) {
	case -ENODEV:
		return ferry_err_set(err, ENOENT, ns ? "E-CTRL-NONE" : "E-NS-NONE", NULL,
				     "there is no %s", ns ? "such controller" : "such namespace");
	case -EEXIST:
		return ferry_err_set(err, EEXIST, "E-NS-ATTACHED", NULL,
				     "NSID %u is attached to controller %u already", nsid, cntlid);
	case -EPERM:
		return ferry_err_set(err, EBUSY, "E-NS-PRIVATE", "detach it there first",
				     "NSID %u is private and attached to another controller", nsid);
	case -ENOENT:
		return ferry_err_set(err, ENOENT, "E-NS-DETACHED", NULL,
				     "NSID %u is not attached to controller %u", nsid, cntlid);
	}
	return 0;
}

int nvme_ns_attach(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, struct ferry_err *err)
{
	return change_attachment(ss, nsid, cntlid, true, err);
}

int nvme_ns_detach(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, struct ferry_err *err)
{
	return change_attachment(ss, nsid, cntlid, false, err);
}

/* A Format under way sets the size itself at its end, from the device. */
void nvme_ns_resized(struct nvme_subsys *ss, uint32_t nsid)
{
	struct nvme_slots slots;
	struct nvme_ns *ns;

	pthread_mutex_lock(&ss->lock);
	ns = nsid <= NVME_NSID_MAX ? atomic_load(&ss->ns[nsid]) : NULL;
	if (ns) {
		atomic_store(&ns->nsze,
			     atomic_load(&ns->dev->size) >> atomic_load(&ns->lba_shift));
		slots = ns_attached(ns);
		ns_notice_locked(ss, nsid, &slots);
	}
	pthread_mutex_unlock(&ss->lock);
}

/* As with formatting: a command is counted before it looks, we write before we count. */
void nvme_ns_own(struct nvme_subsys *ss, uint32_t nsid, bool owned)
{
	struct nvme_ns *ns = nvme_ns_lookup(ss, nsid);

	if (!ns)
		return;
	atomic_store(&ns->not_owned, !owned);
	nvme_ns_unref(ns);
}

bool nvme_ns_busy(struct nvme_subsys *ss, uint32_t nsid)
{
	struct nvme_ns *ns = nvme_ns_lookup(ss, nsid);
	bool busy = ns && (atomic_load(&ns->inflight) || atomic_load(&ns->formatting));

	if (ns)
		nvme_ns_unref(ns);
	return busy;
}

bool nvme_ns_attached_to(struct nvme_subsys *ss, uint32_t nsid, uint16_t cntlid, bool *others)
{
	bool attached = false, any = false;
	struct nvme_slots slots;
	struct nvme_ns *ns;
	int slot;

	pthread_mutex_lock(&ss->lock);
	ns = nsid <= NVME_NSID_MAX ? atomic_load(&ss->ns[nsid]) : NULL;
	slot = ns_slot_locked(ss, cntlid);
	if (ns && slot >= 0) {
		slots = ns_attached(ns);
		attached = nvme_slots_has(&slots, (unsigned int)slot);
		slots.w[slot / 64] &= ~(1ull << slot % 64);
		for (unsigned int i = 0; i < NVME_SLOT_WORDS; i++)
			any |= slots.w[i] != 0;
	}
	pthread_mutex_unlock(&ss->lock);
	*others = any;
	return attached;
}

unsigned int nvme_ns_list(struct nvme_subsys *ss, struct nvme_ns_info *info, unsigned int max)
{
	unsigned int n = 0;
	uint32_t nsid;

	pthread_mutex_lock(&ss->lock);
	for (nsid = 1; nsid <= NVME_NSID_MAX; nsid++) {
		struct nvme_ns *ns = atomic_load(&ss->ns[nsid]);
		struct nvme_ns_info *i;

		if (!ns || n++ >= max)
			continue;
		i = &info[n - 1];
		*i = (struct nvme_ns_info){
			.nsid = nsid,
			.lba_shift = atomic_load(&ns->lba_shift),
			.attached = ns_any_attached(ns),
		};
		i->size = atomic_load(&ns->nsze) << i->lba_shift;
		memcpy(i->uuid, ns->uuid, sizeof(i->uuid));
		memcpy(i->name, ns->name, sizeof(i->name));
		memcpy(i->store, ns->dev->spec, sizeof(i->store));
	}
	pthread_mutex_unlock(&ss->lock);
	return n;
}
