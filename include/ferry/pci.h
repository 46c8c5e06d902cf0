/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * PCI: functions as silicon (configuration space, BARs, MSI-X, resets), and
 * the bus with its drivers, as Linux has them. A model embeds struct
 * pci_function and implements pci_model_ops; whoever drives a function (a
 * host driver, the vfio core) uses the rest.
 *
 * Two locks. The *strand* of a function guards all of it that a device does:
 * configuration space, BARs, interrupts, DMA. The *host lock* (held by
 * whoever plays the control loop) guards the bus, binding and driver data:
 * functions marked "host lock". Order: host lock, then one strand.
 */
#ifndef FERRY_PCI_H
#define FERRY_PCI_H

#include <ferry/dma.h>
#include <ferry/env.h>

/* ------------------------------------------------------------------- names */

struct pci_bdf {
	uint16_t domain;
	uint8_t bus, devfn;
};

#define PCI_BDF_FMT "%04x:%02x:%02x.%x"
#define PCI_BDF_ARG(b) (b).domain, (b).bus, (b).devfn >> 3, (b).devfn & 7
#define PCI_BDF_LEN 13	/* with its NUL */

/** pci_bdf_parse() - "0000:01:00.0"; the domain may be left out. 0 or -EINVAL. */
int pci_bdf_parse(const char *text, struct pci_bdf *bdf);
static inline uint32_t pci_bdf_key(struct pci_bdf b)
{
	return (uint32_t)b.domain << 16 | (uint32_t)b.bus << 8 | b.devfn;
}

/* --------------------------------------------------------- function: silicon */

#define PCI_BARS 6
#define PCI_CONFIG_SIZE 4096
#define PCI_MSIX_MAX 2048

enum pci_reset_kind {
	PCI_RESET_FLR,
	PCI_RESET_BUS,		/* hot reset: sticky bits too */
	PCI_RESET_D3HOT,	/* D3hot to D0 without No_Soft_Reset */
};

struct pci_function;

/**
 * struct pci_model_ops - what the device behind the registers does
 * All with the strand held; none may block.
 *
 * @bar_read, @bar_write: Required. @len is 1, 2, 4 or 8, @off naturally
 *   aligned, inside the BAR, outside the MSI-X table and PBA (src/pci serves
 *   those), memory decoding on.
 * @reset: Required. Return to power-on state as @kind says, and call
 *   pci_reset_done() once no DMA of the old life is in flight: from inside,
 *   or later. Configuration space is src/pci's. Not called again before done.
 * @config_changed: Optional. COMMAND or power state changed.
 * @bar_mapped: Optional. A client has, from now until bar_unmapped, the bytes
 *   [@off, @off + @len) of the BAR in its address space as plain memory;
 *   pci_bar_mem() is the same memory here. May come again for more.
 *   -EINVAL refuses. NULL: nothing may be mapped.
 * @bar_unmapped: Required with @bar_mapped. All mappings of all BARs are gone.
 */
struct pci_model_ops {
	const char *name;
	bool pure_reads;	/* reading a register changes nothing, in any BAR */
	uint64_t (*bar_read)(struct pci_function *fn, unsigned int bar, uint64_t off,
			     unsigned int len);
	void (*bar_write)(struct pci_function *fn, unsigned int bar, uint64_t off,
			  unsigned int len, uint64_t val);
	void (*reset)(struct pci_function *fn, enum pci_reset_kind kind);
	void (*config_changed)(struct pci_function *fn);
	int (*bar_mapped)(struct pci_function *fn, unsigned int bar, uint64_t off, uint64_t len);
	void (*bar_unmapped)(struct pci_function *fn);
};

struct pci_bar {
	uint64_t size;		/* power of two, at least 4096; 0: none */
	bool is_64, prefetch;	/* a 64-bit BAR also takes the next index */
	/*
	 * What may be mapped without becoming polled: areas without side
	 * effects, offered as the sparse-mmap capability. Page aligned.
	 */
	struct { uint64_t off, len; } safe[2];
	unsigned int nr_safe;
};

/* Identity and shape: set before pci_function_init(), const afterwards. */
struct pci_shape {
	uint16_t vendor, device, subsys_vendor, subsys_device;
	uint8_t revision;
	uint32_t class_code;		/* 24 bits: base, sub, interface */
	bool intx;			/* has an interrupt pin (INTA) */
	uint16_t msix_vectors;		/* table size, 0 to PCI_MSIX_MAX */
	uint8_t msix_bar, pba_bar;
	uint32_t msix_off, pba_off;	/* page aligned */
	uint64_t serial;		/* Device Serial Number capability, 0: none */
	struct pci_bar bar[PCI_BARS];
};

struct pci_msix_entry {
	uint64_t addr;
	uint32_t data, ctrl;		/* ctrl bit 0: masked */
};

/* What a client can observe: plain, pointer-free. */
struct pci_state {
	uint8_t config[PCI_CONFIG_SIZE];
	uint64_t pba[PCI_MSIX_MAX / 64];
	struct pci_msix_entry msix[];	/* shape.msix_vectors of them; pci_state_size() is all of it */
};

static inline size_t pci_state_size(const struct pci_shape *shape)
{
	return sizeof(struct pci_state) + shape->msix_vectors * sizeof(struct pci_msix_entry);
}

/* What one byte of configuration space does when written and when reset. */
struct pci_config_rule {
	uint8_t writable, w1c;	/* bits; w1c: write one to clear */
	uint8_t sticky;		/* survives all but PCI_RESET_BUS */
	uint8_t reset;		/* value of writable and w1c bits after a reset */
};

/* Where an interrupt goes. @fn runs with the strand held, and may not block. */
struct pci_irq {
	void (*fn)(void *arg, unsigned int vector);
	void *arg;
};

struct pci_driver;
struct pci_bus;
struct pci_sriov;

/* Answer to pci_driver_ops.remove. */
struct pci_unbind {
	void (*done)(struct pci_unbind *u, int err);
	struct pci_function *fn;
};

struct pci_function {
	const struct pci_model_ops *ops;
	struct pci_shape shape;
	struct pci_bdf bdf;
	struct pci_function *physfn;		/* of a VF: its PF; set before init, outlives it */
	unsigned int vf_index;			/* of a VF, 0-based; set before init */
	struct env_strand strand;

	/* State, under the strand. */
	struct pci_state *state;

	/* Runtime, under the strand. */
	struct pci_config_rule *config_rule;	/* of bytes below config_ruled; the rest is read-only */
	uint16_t config_ruled;
	bool config_sealed;			/* reset values are known, no more capabilities */
	uint16_t cap_pm, cap_exp, cap_msix, cap_aer, cap_dsn;	/* offsets, 0: none */
	uint16_t cap_last, ecap_last, cap_end, ecap_end;	/* while building */
	_Atomic uint16_t msix_count;		/* table size now; see pci_msix_resize() */
	struct pci_irq msix_irq, intx_irq;	/* fn NULL: nobody listens */
	bool intx_level;
	bool in_handler;			/* inside bar_read/bar_write: DMA to own BAR can't re-enter */
	void *bar_mem[PCI_BARS];		/* see pci_bar_share() */
	bool bar_told;				/* the model knows of mappings */
	struct dma_hold *dma;			/* the current table; never NULL after init */
	struct dma_hold *dma_spare;		/* so that a new table needs no memory */
	struct list dma_logs;
	struct log_limit dma_faults;
	uint64_t nr_dma_faults;
	bool resetting;
	enum pci_reset_kind reset_kind;
	struct list reset_waiters;
	struct pci_sriov *sriov;		/* a PF's VFs: ferry/sriov.h */

	/* Bus and binding, under the host lock. */
	struct pci_bus *bus;
	struct list bus_link;
	unsigned int iommu_group;
	const struct pci_driver *driver;
	void *driver_data;
	char driver_override[64];		/* empty: unset */
	bool unbinding;
	struct pci_unbind unbind;		/* what the driver answers */
	struct pci_unbind *unbind_caller;	/* who asked for it */
};

/**
 * pci_function_init() - build configuration space from @fn->shape and @fn->ops
 * @env: the worker that runs it. @poller: the model's, or NULL.
 * Capabilities: PM, MSI-X (with vectors), PCI Express endpoint with FLR; AER,
 * and DSN (with serial) in extended space. Masks and reset values as the specification has them.
 * A VF (@fn->physfn set) shows what the SR-IOV chapter leaves it: ids FFFFh, no
 * BAR registers, memory as the PF's VF MSE says, no AER, but ARI.
 * Return: 0, -EINVAL (impossible shape), -ENOMEM.
 */
int pci_function_init(struct pci_function *fn, struct ferry_env *env, struct env_poller *poller);

/** pci_function_release() - off the bus, nothing in flight, strand not held. */
void pci_function_release(struct pci_function *fn);

/**
 * pci_add_cap(), pci_add_ecap() - reserve @len zeroed read-only bytes for one more capability
 * Between init and registration. Return: its offset, or -ENOSPC. The caller
 * fills the body through pci_config_raw() and opens bits with pci_config_writable().
 */
int pci_add_cap(struct pci_function *fn, uint8_t id, uint8_t len);
int pci_add_ecap(struct pci_function *fn, uint16_t id, uint8_t version, uint16_t len);
uint8_t *pci_config_raw(struct pci_function *fn, uint16_t off);
void pci_config_writable(struct pci_function *fn, uint16_t off, const void *mask, uint16_t len);

/**
 * pci_config_read(), pci_config_write() - configuration access as the device sees it. Strand held.
 * @len: 1, 2 or 4, naturally aligned; @off + @len within 4096; else all ones, or ignored.
 * A write of Initiate FLR, or of D0 after D3hot, starts the reset: pci_reset_busy() until it is over.
 */
uint32_t pci_config_read(struct pci_function *fn, uint16_t off, unsigned int len);
void pci_config_write(struct pci_function *fn, uint16_t off, unsigned int len, uint32_t val);

bool pci_mem_enabled(const struct pci_function *fn);	/* COMMAND (a VF: VF Enable and VF MSE), and not in D3hot */
bool pci_bus_master(const struct pci_function *fn);

/**
 * pci_bar_read(), pci_bar_write() - one access of 1, 2, 4 or 8 naturally aligned bytes. Strand held.
 * Serves MSI-X table and PBA itself, calls the model for the rest.
 * Decoding off: reads all ones, drops writes. During a reset likewise.
 */
uint64_t pci_bar_read(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len);
void pci_bar_write(struct pci_function *fn, unsigned int bar, uint64_t off, unsigned int len,
		   uint64_t val);

/**
 * pci_bar_share() - from now on, BAR @bar lies at @mem as the client sees it. Strand held.
 * @mem: shape.bar[bar].size bytes, shared with the client, mapped until pci_bar_unshare().
 * pci_bar_map() then announces the pages that the client really maps.
 * Return (map): 0 or -EINVAL: the model refuses, or no memory was shared.
 */
void pci_bar_share(struct pci_function *fn, unsigned int bar, void *mem);
int pci_bar_map(struct pci_function *fn, unsigned int bar, uint64_t off, uint64_t len);
/* All BARs: the model is told (bar_unmapped) if it had been told of a mapping. */
void pci_bar_unshare(struct pci_function *fn);
static inline void *pci_bar_mem(struct pci_function *fn, unsigned int bar)
{
	return fn->bar_mem[bar];
}

/* Told when a reset is over; @done runs with the strand held. */
struct pci_reset_waiter {
	void (*done)(struct pci_reset_waiter *w);
	struct list link;
};

/**
 * pci_reset() - reset the function. Strand held.
 * @w: told when it is over (perhaps before pci_reset() returns), or NULL.
 * Joins a reset that runs already. Configuration space returns to its reset
 * values (BUS: sticky AER bits too), MSI-X table masked, PBA clear, INTx low;
 * irq handlers, shared BARs and the DMA table stay: they are the host's.
 */
void pci_reset(struct pci_function *fn, enum pci_reset_kind kind, struct pci_reset_waiter *w);
static inline bool pci_reset_busy(const struct pci_function *fn)
{
	return fn->resetting;
}
/** pci_reset_done() - the model's answer to ops->reset. Strand held. */
void pci_reset_done(struct pci_function *fn);

/* -------------------------------------------------------------- interrupts */

/**
 * pci_msix_raise() - the model signals vector @v. Strand held.
 * Delivered through msix_irq if MSI-X is enabled and neither function nor
 * entry is masked; pending (PBA) if masked; dropped if MSI-X is off, @v is out
 * of range, or bus mastering is off. Unmasking delivers what is pending.
 */
void pci_msix_raise(struct pci_function *fn, unsigned int v);
bool pci_msix_enabled(const struct pci_function *fn);

/**
 * pci_msix_resize() - the table has @n entries from now on, 1 to shape.msix_vectors. Strand held.
 * Memory stays that of shape.msix_vectors, so who has the function open is safe.
 */
void pci_msix_resize(struct pci_function *fn, unsigned int n);
/** pci_msix_count() - its entries now, at most shape.msix_vectors. Any lock. */
static inline unsigned int pci_msix_count(const struct pci_function *fn)
{
	return atomic_load(&((struct pci_function *)fn)->msix_count);
}

/** pci_msix_setup() - the host's side: enable with vectors [0, @nr) unmasked and sent to @irq, or disable with @nr 0. Strand held. */
void pci_msix_setup(struct pci_function *fn, unsigned int nr, struct pci_irq irq);
/** pci_msix_mask() - mask or unmask one entry, as the host's interrupt core does. Strand held. */
void pci_msix_mask(struct pci_function *fn, unsigned int v, bool masked);

/**
 * pci_intx_set() - drive the pin. Strand held. Status bit 3 follows. intx_irq is called on
 * each rising edge of (level and not COMMAND.INTX_DISABLE).
 */
void pci_intx_set(struct pci_function *fn, bool level);

/* ------------------------------------------------------------------- bus */

struct pci_id {
	uint32_t vendor, device, subvendor, subdevice;	/* PCI_ANY_ID: any */
	uint32_t class_code, class_mask;
	bool override_only;		/* fits only with driver_override (VFIO variants) */
};

#define PCI_ANY_ID 0xffffffffu

/**
 * struct pci_driver - a host driver. All operations under the host lock.
 * @probe: Required. 0 or -errno, nothing held back on failure.
 * @remove: Required. Let go of @u->fn, then @u->done(u, 0), at once or later
 *   (a client has it open). Cannot fail.
 */
struct pci_driver {
	const char *name;		/* "vfio-pci" */
	const char *module;		/* "vfio_pci" */
	const char *alias;		/* modules.alias prefix: "pci" or "vfio_pci" */
	const struct pci_id *ids;	/* ends with an all-zero entry */
	int (*probe)(struct pci_function *fn, struct ferry_err *err);
	void (*remove)(struct pci_unbind *u);
	bool sriov;			/* a PF that it drives may have VFs (Linux: sriov_configure) */
};

/* Told of changes, under the host lock, after they happened (removed: before). */
struct pci_observer {
	void (*added)(struct pci_observer *o, struct pci_function *fn);
	void (*removed)(struct pci_observer *o, struct pci_function *fn);
	void (*bound)(struct pci_observer *o, struct pci_function *fn);
	void (*unbound)(struct pci_observer *o, struct pci_function *fn, const struct pci_driver *was);
	void (*vfs_changed)(struct pci_observer *o, struct pci_function *pf);	/* how many there are */
	struct list link;
};

#define PCI_DRIVERS_MAX 16

struct pci_bus {
	struct list functions;		/* by address */
	const struct pci_driver *drivers[PCI_DRIVERS_MAX];
	unsigned int nr_drivers;
	struct list observers;
	unsigned int next_group;
	struct pci_control *control;	/* VFs that go: see pci_bus_control() */
};

void pci_bus_init(struct pci_bus *bus);

/**
 * pci_bus_control() - where what needs the host lock goes on by itself; a bus with PFs needs it
 * @strand: guards nothing; nobody who holds it waits for anything but the host lock
 * @lock: the host lock
 * pci_bus_control_release(): no function left, neither lock held.
 */
int pci_bus_control(struct pci_bus *bus, struct env_strand *strand, pthread_mutex_t *lock);
void pci_bus_control_release(struct pci_bus *bus);

int pci_driver_register(struct pci_bus *bus, const struct pci_driver *drv);
const struct pci_driver *pci_driver_find(const struct pci_bus *bus, const char *name);
void pci_bus_observe(struct pci_bus *bus, struct pci_observer *o);

/**
 * pci_register() - put an initialised function on the bus at @fn->bdf, unbound
 * A PF gets First VF Offset, and the addresses of all its VFs are reserved.
 * Return: 0; -EEXIST: taken, or reserved for VFs; -ENOSPC: no room for its VFs.
 */
int pci_register(struct pci_bus *bus, struct pci_function *fn);
/** pci_unregister() - unbound and nothing in flight, else -EBUSY. */
int pci_unregister(struct pci_function *fn);
struct pci_function *pci_find(const struct pci_bus *bus, struct pci_bdf bdf);
/** pci_bus_next_slot() - the lowest free device, function 0, on bus 1 and up of domain 0; none where VFs can come. */
int pci_bus_next_slot(const struct pci_bus *bus, struct pci_bdf *bdf);

/** pci_match() - does @drv fit @fn, by Linux' order (driver_override, ids, override-only ids)? */
bool pci_match(const struct pci_driver *drv, const struct pci_function *fn);

/**
 * pci_bind() - what writing to "bind" does. Host lock.
 * Return: 0; -ENODEV: does not match; -EBUSY: bound already; the probe's error.
 */
int pci_bind(struct pci_function *fn, const struct pci_driver *drv, struct ferry_err *err);

/**
 * pci_unbind() - what writing to "unbind" does. Host lock.
 * @u: @u->done is called when the function is free, perhaps before return.
 * Return: 0; -ENODEV: not bound; -EBUSY: already being unbound.
 */
int pci_unbind(struct pci_function *fn, struct pci_unbind *u);

/** pci_drivers_probe() - try every registered driver. Like Linux, 0 also when nothing fits. */
int pci_drivers_probe(struct pci_function *fn);

/** pci_set_driver_override() - "" or "\n" clears; a trailing newline is dropped; -EINVAL if too long. */
int pci_set_driver_override(struct pci_function *fn, const char *text, size_t len);

/** pci_modalias() - "pci:v...d...sv...sd...bc..sc..i.." into @buf (at least 64 bytes). */
void pci_modalias(const struct pci_function *fn, char *buf, size_t len);

#endif
