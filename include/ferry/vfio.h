/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The kernel's VFIO and iommufd, as objects: containers, groups, devices,
 * iommufds. A frontend turns what a client does (open, ioctl, pread, mmap,
 * close) into the calls of this header; the objects know nothing of how.
 *
 * Locks. Calls are made by a client's receiver thread with no lock held; the
 * objects take the host lock and a strand as they need, and hold neither
 * while the client's memory is read or written. A call that can't be answered
 * at once returns -EINPROGRESS and is completed later.
 */
#ifndef FERRY_VFIO_H
#define FERRY_VFIO_H

#include <sys/types.h>

#include <ferry/pci.h>

struct lm_owner_ops;

/* What the host owns and everything here shares. */
struct vfio_host {
	pthread_mutex_t lock;		/* the host lock */
	struct pci_bus bus;
	struct ferry_env *env;		/* worker of functions that no client has */
	struct list groups;		/* struct vfio_group */
	struct list controllers;	/* struct lm_controller: see ferry/lm.h */
	const struct lm_owner_ops *owner_ops;	/* lm_owner.c's */
	void *owner_arg;
	/* Where operations on controllers complete; locked by its worker alone. Outside the host lock. */
	struct env_strand control;
	uint64_t cdev_used[16];		/* bit per vfioX */
	unsigned int dev_major_cdev, dev_major_group;	/* numbers that sysfs names */
	struct vfio_defer *defer;	/* src/vfio's: what goes on after a reset or a fence, on @env's worker */
};

void vfio_host_init(struct vfio_host *h, struct ferry_env *env);
void vfio_host_release(struct vfio_host *h);
static inline void vfio_host_lock(struct vfio_host *h)
{
	pthread_mutex_lock(&h->lock);
}
static inline void vfio_host_unlock(struct vfio_host *h)
{
	pthread_mutex_unlock(&h->lock);
}

/* --------------------------------------------------------------------- files */

enum vfio_file_type {
	VFIO_FILE_CONTAINER,
	VFIO_FILE_GROUP,
	VFIO_FILE_DEVICE,	/* from a group or a cdev */
	VFIO_FILE_IOMMUFD,
	VFIO_FILE_MIG,		/* a migration stream: the data_fd of MIG_DEVICE_STATE */
};

/* One open file: what the client's descriptor stands for. Objects embed it. */
struct vfio_file;
struct vfio_call;

/**
 * struct vfio_file_ops - how the objects behave, one table per type
 * Each may return -EINPROGRESS where said; then @call->ops->complete() follows.
 *
 * @ioctl: Required. @arg as the client gave it. May return -EINPROGRESS.
 * @pread, @pwrite: Optional (NULL: EINVAL). @buf is ours; at most 4096 bytes.
 *   Bytes moved (may be short), or -errno. @pwrite may return -EINPROGRESS.
 * @read, @write: a stream has one of them (and then no pread, pwrite: ESPIPE;
 *   the one that is missing: EBADF). @count bytes at the client's address
 *   @addr. Bytes moved (may be short), or -errno. @write may return -EINPROGRESS.
 * @mmap: Optional (NULL: ENODEV). May the client map [@off, @off + @len)?
 *   0: yes, and the device has been told.
 * @close: Required. The last reference of the client is gone; tears down,
 *   frees @f later if it must, and calls @done(@arg) when no DMA is left.
 */
struct vfio_file_ops {
	enum vfio_file_type type;
	int64_t (*ioctl)(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			 uint64_t arg);
	int64_t (*pread)(struct vfio_file *f, struct vfio_call *call, void *buf, size_t count,
			 uint64_t off);
	int64_t (*pwrite)(struct vfio_file *f, struct vfio_call *call, const void *buf,
			  size_t count, uint64_t off);
	int64_t (*read)(struct vfio_file *f, struct vfio_call *call, uint64_t addr, uint64_t count);
	int64_t (*write)(struct vfio_file *f, struct vfio_call *call, uint64_t addr,
			 uint64_t count);
	int (*mmap)(struct vfio_file *f, struct vfio_call *call, uint64_t off, uint64_t len,
		    int prot, int flags);
	void (*close)(struct vfio_file *f, void (*done)(void *arg), void *arg);
};

/*
 * @bar_mem: set by the frontend on a device file: the memory behind BAR @bar
 *   of this file, @size bytes, shared with the client; NULL if it can't be
 *   had. The same address each time, until close is done. Called without a strand.
 * @priv: the frontend's.
 */
struct vfio_file {
	const struct vfio_file_ops *ops;
	struct vfio_host *host;
	char path[64];		/* "/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/devices/vfio0", "/dev/iommu", "anon_inode:[vfio-device]" */
	void *(*bar_mem)(struct vfio_file *f, unsigned int bar, uint64_t size);
	void *priv;
};

/**
 * struct vfio_call_ops - what a call may ask of its client. Provided by the frontend.
 * No lock held. All but complete() are for the thread that runs the call.
 *
 * @copy_in, @copy_out: 0, or -EFAULT (then nothing counts as copied).
 * @eventfd: our own duplicate of the client's eventfd @fd: the new fd, -EBADF, -EINVAL (no eventfd).
 * @file: which of our files is the client's @fd? 0 with *@f NULL for a file
 *   that is not ours, -EBADF. *@f stays valid until the call is answered.
 * @mem: the client's memory [@vaddr, @vaddr + @len) for DMA: *@mem of @len
 *   bytes, one reference. -EFAULT: not mapped, or not writable though @writable;
 *   *@is_bar: it is (partly) a mapping of one of our BARs.
 * @mem_file: the same behind the client's file @fd at @start: -EBADF, -EINVAL.
 * @complete: answer a call that returned -EINPROGRESS. Any thread, any lock.
 */
struct vfio_call_ops {
	int (*copy_in)(struct vfio_call *c, void *dst, uint64_t src, size_t len);
	int (*copy_out)(struct vfio_call *c, uint64_t dst, const void *src, size_t len);
	int (*eventfd)(struct vfio_call *c, int fd);
	int (*file)(struct vfio_call *c, int fd, struct vfio_file **f);
	int (*mem)(struct vfio_call *c, uint64_t vaddr, uint64_t len, bool writable,
		   struct ferry_mem **mem, bool *is_bar);
	int (*mem_file)(struct vfio_call *c, int fd, uint64_t start, uint64_t len, bool writable,
			struct ferry_mem **mem);
	void (*complete)(struct vfio_call *c, int64_t ret);
};

struct vfio_call {
	const struct vfio_call_ops *ops;
	struct ferry_env *env;		/* the client's worker: a device that it opens moves there */
	struct vfio_file *new_file;	/* out, with return 0: answer with a new fd (O_CLOEXEC) for this file */
	/*
	 * Out, of pread: what was read lies in the file's own memory too (BARs:
	 * bar_mem; config space is the frontend's to keep) and may be read
	 * there once more, natively: reading it has no effect.
	 */
	bool native;
	uint64_t new_file_at;		/* out, not 0: store the new fd (int32_t) at this address instead, answer 0 */
	/*
	 * Out, set before complete(): a thread of the frontend's, which may use
	 * all of @ops, calls it first; what it returns is the answer.
	 */
	int64_t (*finish)(struct vfio_call *c, int64_t ret);
	/* The object's, while the call is in progress. */
	uint64_t user[6];
	void *user_ptr[2];
};

/* Open by name: 0 with *@f, or -errno as the kernel's open(2) gives it. */
int vfio_open_container(struct vfio_host *h, struct vfio_file **f);
int vfio_open_group(struct vfio_host *h, unsigned int group, struct vfio_file **f);
int vfio_open_cdev(struct vfio_host *h, unsigned int index, struct vfio_file **f);
int vfio_open_iommufd(struct vfio_host *h, struct vfio_file **f);

/* ------------------------------------------------------------------- devices */

struct vfio_device;

/**
 * vfio_pci_probe(), vfio_pci_remove() - vfio-pci-core's side of a driver's probe and remove. Host lock.
 * Probe makes the function a vfio_device: node /dev/vfio/devices/vfioX, member of its group.
 * Remove signals REQ (again every 10 s) until the client has closed it.
 */
int vfio_pci_probe(struct pci_function *fn, struct ferry_err *err);
void vfio_pci_remove(struct pci_unbind *u);

/** vfio_device_of() - the vfio_device of a function that a VFIO driver has, or NULL. Host lock. */
struct vfio_device *vfio_device_of(struct pci_function *fn);

struct vfio_device_info_ext {
	unsigned int index;		/* vfioX */
	unsigned int cdev_major, cdev_minor, group_major, group_minor;
	bool open;			/* a client has it */
};
void vfio_device_describe(struct vfio_device *d, struct vfio_device_info_ext *info);

/** vfio_cdev_find() - device number of /dev/vfio/devices/vfio@index; false if there is none. Host lock. */
bool vfio_cdev_find(struct vfio_host *h, unsigned int index, unsigned int *major, unsigned int *minor);
/** vfio_group_find() - is there a group @nr with a VFIO driver in it? Host lock. */
bool vfio_group_find(struct vfio_host *h, unsigned int nr, unsigned int *major, unsigned int *minor);

/** vfio_pci_driver - the plain driver: src/drivers/vfio_pci.c. */
extern const struct pci_driver vfio_pci_driver;
/** nvme_vfio_pci_driver - the variant for NVMe functions that a controller can migrate: src/drivers/nvme_vfio_pci.c. */
extern const struct pci_driver nvme_vfio_pci_driver;

/* ----------------------------------------------------------------- migration */

struct lm_controller;

#define VFIO_MIG_OPTIONS 7u	/* VFIO_MIGRATION_STOP_COPY | _P2P | _PRE_COPY */

/**
 * vfio_mig_enable() - offer migration of @fn by @lm, with every option. Host lock.
 * After vfio_pci_probe(), before the function can be opened; ends with vfio_pci_remove().
 * Return: 0, -ENOMEM.
 */
int vfio_mig_enable(struct pci_function *fn, struct lm_controller *lm, struct ferry_err *err);

/**
 * vfio_mig_options() - what of VFIO_MIG_OPTIONS is offered from the next open on. Host lock.
 * Without STOP_COPY there is no migration at all.
 * Return: 0, -EOPNOTSUPP (not enabled), -EBUSY (a client has it open).
 */
int vfio_mig_options(struct pci_function *fn, unsigned int options, struct ferry_err *err);

struct vfio_mig_info {
	unsigned int options;		/* 0: no migration */
	const char *state;		/* "RUNNING" */
	bool tracking;			/* DMA logging runs */
	uint64_t stream_bytes;		/* of the session's stream so far */
};
/** vfio_mig_describe() - for people. Host lock. */
void vfio_mig_describe(struct pci_function *fn, struct vfio_mig_info *info);

/** vfio_ioctl_name() - "IOMMU_MAP_DMA" for traces; numbers that mean two things need @type. NULL: unknown. */
const char *vfio_ioctl_name(enum vfio_file_type type, unsigned int cmd);

/**
 * vfio_trace_ioctl() - decode one call into text, for --trace
 * @arg: the bytes of the argument structure as the client passed them, @len of them
 */
void vfio_trace_ioctl(enum vfio_file_type type, unsigned int cmd, const void *arg, size_t len,
		      char *out, size_t out_len);

#endif
