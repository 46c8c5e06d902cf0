/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What the files of src/vfio share.
 *
 * Locks, outermost first: the deferred strand of the host (its worker's
 * thread, see host.c), the host lock, one IOAS lock (two in address order),
 * one function's strand. The host lock guards files, groups, containers,
 * iommufds and who has which device open. A strand guards what a client sees
 * of a function: configuration copy, interrupts, power, resets. An IOAS lock
 * guards its mappings. None is held while a client's memory is read.
 */
#ifndef VFIO_INTERNAL_H
#define VFIO_INTERNAL_H

#include <string.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include <ferry/vfio.h>
#include <ferry/vfio_compat.h>

#include "vfio/dirty.h"

#define VFIO_PAGE 4096u
#define VFIO_PAGE_SIZES 0xfffffffffffff000ull
#define VFIO_REGION_SHIFT 40

struct vfio_group;
struct group_file;
struct device_file;

/* ------------------------------------------------------- user.c: their structures */

/**
 * user_in() - the first @min bytes of an argsz structure
 * Return: 0, -EFAULT, -EINVAL: argsz says that there is less.
 */
int user_in(struct vfio_call *c, uint64_t arg, void *buf, uint32_t min);

/**
 * user_tail() - what the caller has of [@from, @to) of the structure, by its @argsz; the rest is not touched
 */
int user_tail(struct vfio_call *c, uint64_t arg, void *buf, uint32_t argsz, uint32_t from,
	      uint32_t to);

/** user_out() - give back as much of @size bytes as the caller's @argsz has room for. */
int user_out(struct vfio_call *c, uint64_t arg, const void *buf, uint32_t argsz, uint32_t size);

/** user_zero() - are [@from, @to) of the structure zero? 0, -E2BIG, -EFAULT. */
int user_zero(struct vfio_call *c, uint64_t arg, uint32_t from, uint32_t to);

/**
 * user_in_sized() - a structure by iommufd's rule
 * @buf: @size bytes; what the caller lacks reads as zero
 * Return: 0, -EINVAL: below @min, -E2BIG: more than @size and not zero, -EFAULT.
 */
int user_in_sized(struct vfio_call *c, uint64_t arg, void *buf, uint32_t min, uint32_t size);
int user_out_sized(struct vfio_call *c, uint64_t arg, const void *buf, uint32_t size);

/* A chain of information capabilities. */
struct user_chain {
	uint8_t buf[256];
	uint32_t len;
	uint32_t last;		/* offset of the last header; meaningful with @len */
};

/** user_chain_add() - @len bytes with header, zeroed; never fails: chains are short and ours. */
void *user_chain_add(struct user_chain *ch, uint16_t id, uint16_t version, uint32_t len);

/**
 * user_chain_out() - the structure with its chain
 * @info: @size bytes; begins with argsz, which is raised if there is no room
 * @cap_offset: inside @info
 * The caller has set the CAPS flag.
 */
int user_chain_out(struct vfio_call *c, uint64_t arg, void *info, uint32_t size,
		   uint32_t *cap_offset, struct user_chain *ch);

/* ----------------------------------------------------- ioas.c: an I/O address space */

#define IOAS_MAPS_MAX 65535u

struct ioas_map {
	uint64_t iova, last;		/* inclusive */
	struct ferry_mem *mem;		/* referenced; NULL: nothing behind it for DMA */
	uint64_t off;			/* of @iova in @mem */
	unsigned int perm;		/* DMA_READ, DMA_WRITE */
	bool from_file;
	bool fresh;			/* type1's tracking has not reported it yet */
};

/* A function's view of an IOAS. @as and @link: lock of @as. The table is the function's own, changed under its strand. */
struct ioas_port {
	struct pci_function *fn;
	struct ioas *as;
	struct list link;
	struct dma_table *table;
	unsigned int cap;
};

struct ioas {
	atomic_uint refs;
	pthread_mutex_t lock;
	struct ioas_map *map;		/* sorted by iova */
	unsigned int nr, cap;
	struct list ports;
	bool tracked;			/* by type1: what is mapped from now on is fresh */
	struct iommu_iova_range *allowed;	/* for addresses of our choice; none: all */
	unsigned int nr_allowed;
};

/* What a change of map waits for before its call is answered. */
struct ioas_op {
	struct dma_fence fence;
	struct vfio_call *call;
	int64_t ret;
	struct ferry_mem **mem;		/* of what was unmapped */
	unsigned int nr_mem;
};

enum ioas_unmap_rule {
	IOAS_WHOLE,	/* a mapping cut at either edge: -EINVAL (type1 v2, iommufd) */
	IOAS_HEAD,	/* type1 v1: nothing if the first one is cut at its head; later ones go whole */
};

struct ioas_range {
	uint64_t first, last;
};

extern const struct ioas_range ioas_usable[2];

struct ioas *ioas_alloc(void);
struct ioas *ioas_get(struct ioas *as);
void ioas_put(struct ioas *as);

/** ioas_range_usable() - inside one of the usable ranges? */
bool ioas_range_usable(uint64_t first, uint64_t last);

/** ioas_map_check() - would a map of [@first, @last] be refused? 0, -EEXIST, -ENOSPC, -EINVAL. */
int ioas_map_check(struct ioas *as, uint64_t first, uint64_t last);

/**
 * ioas_map() - add @m[0..@nr), which touch each other; takes over their references on success
 * Return: 0, as ioas_map_check(), -ENOMEM; then nothing changed.
 */
int ioas_map(struct ioas *as, const struct ioas_map *m, unsigned int nr);

/** ioas_map_anywhere() - as ioas_map() at an address of our choice, to which @m is shifted. -ENOSPC. */
int ioas_map_anywhere(struct ioas *as, struct ioas_map *m, unsigned int nr);

/**
 * ioas_unmap() - remove the mappings that touch [@first, @last]
 * @removed: bytes
 * @op: waits for accesses in flight; finish it with ioas_op_end() in any case
 * Return: 0, -EINVAL (a mapping would be cut), -ENOMEM; then nothing changed.
 */
int ioas_unmap(struct ioas *as, uint64_t first, uint64_t last, enum ioas_unmap_rule rule,
	       uint64_t *removed, struct ioas_op *op);

/** ioas_slice() - what lies behind [@first, @last], each with a reference. -ENOENT: a hole; -EPERM: @perm is not had. */
int ioas_slice(struct ioas *as, uint64_t first, uint64_t last, unsigned int perm,
	       struct ioas_map **out, unsigned int *nr);

/** ioas_mapped() - the mapped parts of [@first, @last], merged; free() them. @cut: a mapping crosses an edge. */
int ioas_mapped(struct ioas *as, uint64_t first, uint64_t last, struct ioas_range **out,
		unsigned int *nr, bool *cut);

/** ioas_track() - type1's tracking begins (all that is mapped is fresh) or ends. */
void ioas_track(struct ioas *as, bool on);
/** ioas_fresh() - the fresh parts of [@first, @last], which are not any more; free() them. 0, -ENOMEM. */
int ioas_fresh(struct ioas *as, uint64_t first, uint64_t last, struct ioas_range **out,
	       unsigned int *nr);
/** ioas_refresh() - mappings that touch [@first, @last] are fresh again. */
void ioas_refresh(struct ioas *as, uint64_t first, uint64_t last);

/** ioas_avail() - mappings that may still be made. */
unsigned int ioas_avail(struct ioas *as);
bool ioas_all_files(struct ioas *as);
int ioas_allow(struct ioas *as, struct iommu_iova_range *r, unsigned int nr);

/**
 * ioas_port_move() - the function of @p sees @to (NULL: nothing) from now on
 * @fence: told when no access under the former map is left; or NULL
 * Return: 0 or -ENOMEM (then nothing changed; never for NULL). The port holds a reference.
 */
int ioas_port_move(struct ioas_port *p, struct ioas *to, struct dma_fence *fence);

/** ioas_op_alloc() - for @call. NULL without memory. */
struct ioas_op *ioas_op_alloc(struct vfio_call *call);
/** ioas_op_end() - the change is made: @ret, or -EINPROGRESS and @ret is the later answer. */
int64_t ioas_op_end(struct ioas_op *op, int64_t ret);

/* ------------------------------------------------- container.c, type1_dirty.c, group.c */

struct vfio_container {
	struct vfio_file file;
	unsigned int refs;		/* the file and each group */
	unsigned int type;		/* 0: none, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU */
	struct ioas *as;		/* with @type */
	struct list groups;
	struct dirty_log log;		/* on: DIRTY_PAGES START */
};

int container_attach(struct vfio_container *c, struct vfio_group *g);
void container_detach(struct vfio_group *g);

/** dirty_mapped() - every mapped page of the range that @b is of, as written. 0, -ENOMEM, -EFAULT. */
int dirty_mapped(struct vfio_call *c, struct ioas *as, const struct dirty_bitmap *b);
int dirty_bitmap_check(const struct vfio_bitmap *b, uint64_t size);
int64_t type1_dirty_pages(struct vfio_container *c, struct vfio_call *call, uint64_t arg);

struct vfio_group {
	struct list link;		/* vfio_host.groups */
	struct vfio_host *host;
	unsigned int nr;
	struct list devices;
	struct group_file *opener;	/* also without the client's file, while device files are left */
	struct vfio_container *container;
	struct list container_link;
	unsigned int nr_device_files;	/* that came out of GET_DEVICE_FD */
};

struct vfio_group *group_find(struct vfio_host *h, unsigned int nr);
struct vfio_group *group_find_or_add(struct vfio_host *h, unsigned int nr);
/** group_free_if_unused() - no device, no file. */
void group_free_if_unused(struct vfio_group *g);
/** group_device_file_gone() - a file of GET_DEVICE_FD was closed, or never came to be. */
void group_device_file_gone(struct vfio_group *g);
bool group_cdev_in_use(const struct vfio_group *g);
struct vfio_group *group_of_file(struct vfio_file *f);
/** group_ioas() - where functions opened through @g do DMA, or NULL. */
struct ioas *group_ioas(const struct vfio_group *g);

/* ------------------------------------------------------- iommufd.c, iommufd_ioas.c, hwpt.c */

enum iommufd_type { IOMMUFD_IOAS = 1, IOMMUFD_HWPT, IOMMUFD_DEVICE };

struct iommufd_obj {
	enum iommufd_type type;
	uint32_t id;
	unsigned int users;		/* 0: may be destroyed */
};

struct iommufd_ioas {
	struct iommufd_obj obj;
	struct ioas *as;
};

struct iommufd_hwpt {
	struct iommufd_obj obj;
	struct iommufd_ioas *ioas;	/* counted in its users */
	bool automatic;			/* made by an attach, goes with the last one */
	bool tracks;			/* DIRTY_TRACKING */
	struct dirty_log log;
};

struct iommufd_device {
	struct iommufd_obj obj;		/* users is 1: the driver's */
	struct vfio_device *dev;
	struct iommufd_hwpt *hwpt;	/* attached; counted in its users */
};

#define IOMMUFD_OBJS_MAX 65536u

/* All under the host lock. */
struct vfio_iommufd {
	struct vfio_file file;
	unsigned int refs;		/* the file and each bound device */
	struct iommufd_obj **obj;	/* [id]; [0] is never used */
	unsigned int cap;
	unsigned int nr_objs;
	uint32_t vfio_ioas;		/* the compatibility IOAS' id, 0: none */
};

/* iommufd.c. Host lock held. */
int iommufd_add(struct vfio_iommufd *i, struct iommufd_obj *o, enum iommufd_type type);
void iommufd_remove(struct vfio_iommufd *i, struct iommufd_obj *o);
/** iommufd_find() - NULL: unknown id or another type (@type 0: any). */
void *iommufd_find(struct vfio_iommufd *i, uint32_t id, enum iommufd_type type);
struct vfio_iommufd *iommufd_of_file(struct vfio_file *f);
void iommufd_get(struct vfio_iommufd *i);
void iommufd_put(struct vfio_iommufd *i);

typedef int64_t iommufd_cmd_fn(struct vfio_iommufd *i, struct vfio_call *call, uint64_t arg);

iommufd_cmd_fn iommufd_ioas_alloc, iommufd_ioas_iova_ranges, iommufd_ioas_allow_iovas,
	iommufd_ioas_map, iommufd_ioas_map_file, iommufd_ioas_copy, iommufd_ioas_unmap,
	iommufd_ioas_change_process, iommufd_option, iommufd_vfio_ioas;
iommufd_cmd_fn iommufd_hwpt_alloc, iommufd_get_hw_info, iommufd_hwpt_set_dirty,
	iommufd_hwpt_get_dirty, iommufd_hwpt_invalidate;
void iommufd_ioas_free(struct iommufd_ioas *o);
void hwpt_drop(struct vfio_iommufd *i, struct iommufd_hwpt *h);

/**
 * iommufd_attach() - @d does DMA through @pt_id (an IOAS or a HWPT) from now on. Host lock.
 * @pt_id: out: the HWPT's id
 * Return: 0, -ENOENT, -EINVAL, -ENOMEM: the old attachment stays.
 */
int iommufd_attach(struct vfio_iommufd *i, struct iommufd_device *o, uint32_t *pt_id,
		   struct dma_fence *fence);
/** iommufd_detach() - idempotent. Host lock. */
void iommufd_detach(struct vfio_iommufd *i, struct iommufd_device *o, struct dma_fence *fence);

/* ---------------------------------------------------------------- pci_config.c */

#define CONFIG_CAPS_MAX 96

/* The configuration space that the client sees. Strand. */
struct vfio_config {
	uint8_t copy[PCI_CONFIG_SIZE];
	uint8_t virt[PCI_CONFIG_SIZE];	/* bits that live in @copy */
	uint8_t wr[PCI_CONFIG_SIZE];	/* bits that may be written */
	uint8_t owner[PCI_CONFIG_SIZE];	/* index into @cap; 0: nobody's, passed through */
	struct {
		uint16_t id, at;
		bool ext;
	} cap[CONFIG_CAPS_MAX];		/* [1]: the header */
	unsigned int nr_caps;
	unsigned int size;		/* 256 or 4096 */
};

/* After open's reset. Strand. */
void config_init(struct vfio_device *d);
int64_t config_read(struct vfio_device *d, void *buf, size_t count, uint64_t pos);
/** config_write() - @reset: a reset was started and is not over; the call's answer must wait. Strand. */
int64_t config_write(struct vfio_device *d, const void *buf, size_t count, uint64_t pos);

/* --------------------------------------------------------------- irq.c, intx.c */

enum vfio_irq_mode { IRQ_NONE, IRQ_INTX, IRQ_MSIX };

/* Strand. All fds are our own; -1: none. */
struct vfio_irqs {
	enum vfio_irq_mode mode;
	int *msix_fd;			/* one per vector, while MSIX */
	int intx_fd;
	int err_fd, req_fd;
	bool intx_masked;		/* by delivery or by the client */
	bool intx_disabled;		/* COMMAND.INTX_DISABLE as the client sees it */
	struct env_watch unmask;	/* fd -1: none */
};

/** irq_signal() - add one to an eventfd; never blocks, -1 is nobody. */
void irq_signal(int fd);
void irqs_init(struct vfio_device *d);
/** irqs_release() - all off, fds closed. Strand. */
void irqs_release(struct vfio_device *d);
/** irqs_restore() - what the function forgot in a reset. Strand. */
void irqs_restore(struct vfio_device *d);
unsigned int irq_count(const struct vfio_device *d, unsigned int index);
int64_t irq_info(struct vfio_device *d, struct vfio_call *call, uint64_t arg);
int64_t irq_set(struct vfio_device *d, struct vfio_call *call, uint64_t arg);

/* One checked SET_IRQS: what is in @fd is taken over by whoever stores it (and set to -1 here). */
struct irq_request {
	uint32_t action, data;		/* one flag each */
	unsigned int start, count;
	uint8_t *bools;			/* with DATA_BOOL */
	int *fd;			/* with DATA_EVENTFD: ours; -1: none wanted */
	unsigned int nr_good;		/* before the first that could not be had ... */
	int err;			/* ... for this reason, or 0 */
};

int64_t intx_request(struct vfio_device *d, struct irq_request *r);
void intx_release(struct vfio_device *d);
/** intx_command() - COMMAND.INTX_DISABLE changed for the client. */
void intx_command(struct vfio_device *d, bool disabled);

/* --------------------------------------------------- region.c, feature.c, reset.c */

int64_t region_info(struct vfio_device *d, struct vfio_call *call, uint64_t arg);
int64_t region_read(struct device_file *df, struct vfio_call *call, void *buf, size_t count,
		    uint64_t off);
int64_t region_write(struct vfio_device *d, struct vfio_call *call, const void *buf,
		     size_t count, uint64_t off);
struct device_file;
int region_mmap(struct device_file *df, uint64_t off, uint64_t len, int flags);
/** region_unshare() - the model lets go of BAR memory that came from @df (NULL: any). Strand. */
void region_unshare(struct vfio_device *d, const struct device_file *df);

struct vfio_mig;
int64_t feature_ioctl(struct vfio_device *d, struct vfio_call *call, uint64_t arg);
/** power_wake() - any call but the low-power ones wakes the function. Strand. */
void power_wake(struct vfio_device *d);

/* A reset that somebody waits for. Strand. */
struct vfio_reset {
	struct pci_reset_waiter w;
	bool running;
	bool restore;			/* afterwards, configuration and interrupts return */
	struct vfio_call *calls;	/* through user_ptr[0]; the answer is user[0] */
	uint16_t command, devctl, devctl2;
	uint8_t cache_line;
	uint32_t aer[4];
};

/** reset_start() - reset; D3HOT: leave D3hot. @d->reset.running says whether it is over. Strand. */
void reset_start(struct vfio_device *d, enum pci_reset_kind kind, bool restore);
/** reset_answer() - @ret now, or when the reset is over. Strand. */
int64_t reset_answer(struct vfio_device *d, struct vfio_call *call, int64_t ret);
int64_t device_reset(struct vfio_device *d, struct vfio_call *call);
int64_t hot_reset_info(struct device_file *df, struct vfio_call *call, uint64_t arg);
int64_t hot_reset(struct device_file *df, struct vfio_call *call, uint64_t arg);

/* -------------------------------------------------------------- device.c, pci_core.c */

enum device_state { DEVICE_CLOSED, DEVICE_OPENING, DEVICE_OPEN, DEVICE_CLOSING };

struct vfio_device {
	struct vfio_host *host;
	struct pci_function *fn;
	struct vfio_group *group;
	struct list group_link;
	unsigned int index;		/* vfioX */

	/* Host lock. */
	enum device_state state;
	unsigned int nr_files;		/* of a cdev, bound or not, and of the group */
	unsigned int nr_open;		/* files that count as open */
	struct device_file *cdev;	/* the bound one */
	struct device_file *closer;	/* whose close made it CLOSING */
	struct list openers;		/* device_file.open_link */
	struct pci_unbind *unbind;
	bool asked;			/* the client, to let go */
	struct ioas_port port;
	struct dma_fence fence;		/* of the close */
	struct vfio_mig *mig;		/* from probe to the end, or NULL */
	struct list dirty_ports;	/* dirty_log.c's */
	struct vfio_call *current;	/* the open that runs on this thread: answered by return */
	int64_t current_ret;
	unsigned int move_tries;

	/* Strand. */
	struct vfio_config *config;
	struct vfio_irqs irqs;
	struct vfio_reset reset;
	struct env_timer req_timer;
	bool low_power;
	int wake_fd;
	struct device_file *bar_owner[PCI_BARS];	/* whose memory is shared with the model */
};

struct device_file {
	struct vfio_file file;
	struct vfio_device *dev;
	bool from_cdev;
	atomic_bool ready;		/* bound, or out of a group, and open */
	/* Host lock. */
	bool counted;			/* in nr_open */
	struct vfio_iommufd *iommufd;
	struct iommufd_device *object;
	struct list open_link;
	struct vfio_call *open_call;
	bool closing;			/* close() came while it was opening */
	void (*done)(void *arg);
	void *done_arg;
	struct list done_link;
};

struct device_file *device_file_of(struct vfio_file *f);
/** device_open_group() - the group's GET_DEVICE_FD. Host lock. Sets @call->new_file. */
int64_t device_open_group(struct vfio_device *d, struct vfio_call *call);
/** device_advance() - go on with an open, a close, a removal that waited. Host lock. true: look again soon. */
bool device_advance(struct vfio_device *d);
/** pci_core_ioctl() - what is the same for both paths, on an open file. */
int64_t pci_core_ioctl(struct device_file *df, struct vfio_call *call, unsigned int cmd,
		       uint64_t arg);
/** pci_core_enable() - reset is over: the function as a client finds it. Strand. */
void pci_core_enable(struct vfio_device *d);
/** pci_core_disable() - no interrupt, no bus mastering; starts the reset. Strand. */
void pci_core_disable(struct vfio_device *d);
/** pci_core_request() - ask the client for the function, and again every 10 s. Strand. */
void pci_core_request(struct vfio_device *d);

/* ------------------------------------------------------------------ host.c */

/** host_defer() - have every device looked at again, with no lock held. Any thread, any lock. */
void host_defer(struct vfio_host *h);
/** host_done() - tell the frontend that @df is closed, and free it, at the next host_unlock(). Host lock. */
void host_done(struct device_file *df);
/** host_unlock() - give up the host lock and say what host_done() collected. */
void host_unlock(struct vfio_host *h);
void host_file_init(struct vfio_host *h, struct vfio_file *f, const struct vfio_file_ops *ops,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
