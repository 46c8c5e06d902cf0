/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Inside the supervisor: sessions, objects, calls. Private to this folder and
 * its tests.
 *
 * Threads of a session:
 *   receiver - takes notifications and runs the calls, one at a time; the
 *              only one that reads arguments, and that has pidfds and cwds.
 *   watcher  - reads releases (inotify), frees objects, installs descriptors
 *              for calls that were completed elsewhere, sees the end.
 *   worker   - the session's ferry_env; copies for DMA.
 * Any thread may complete a call.
 *
 * Locks, outermost first: drain_lock (one thread runs close operations),
 * lock (objects, calls, lists). Neither is held while the client's memory is
 * read, and both are the session's own: a client parks only itself.
 */
#ifndef UAPI_SESSION_H
#define UAPI_SESSION_H

#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#include "launcher.h"
#include "notif.h"
#include "path.h"
#include "uapi.h"

#define SESSION_CALLS_MAX 1024
#define SESSION_OBJECTS_MAX 4096
#define OBJECT_BUCKETS 64
#define DEVICE_SIZE (16ull << 40)
#define REGION_SHIFT 40
#define CONFIG_REGION 7u
#define CALL_BUF 4096

struct uapi_session;
struct uapi_call;

/**
 * struct uapi_nodes - the objects behind the nodes. The real ones are src/vfio's
 * cdev_numbers, group_numbers: device numbers of a node; false: none.
 */
struct uapi_nodes {
	int (*open_container)(struct vfio_host *h, struct vfio_file **f);
	int (*open_group)(struct vfio_host *h, unsigned int group, struct vfio_file **f);
	int (*open_cdev)(struct vfio_host *h, unsigned int index, struct vfio_file **f);
	int (*open_iommufd)(struct vfio_host *h, struct vfio_file **f);
	bool (*cdev_numbers)(struct vfio_host *h, unsigned int index, unsigned int *major,
			     unsigned int *minor);
	bool (*group_numbers)(struct vfio_host *h, unsigned int nr, unsigned int *major,
			      unsigned int *minor);
	const char *(*ioctl_name)(enum vfio_file_type type, unsigned int cmd);
	void (*trace_ioctl)(enum vfio_file_type type, unsigned int cmd, const void *arg,
			    size_t len, char *out, size_t out_len);
};

extern const struct uapi_nodes uapi_vfio_nodes;

/** session_start() - uapi_session_start() with other nodes, for tests. */
int session_start(const struct uapi_host *h, const struct uapi_nodes *nodes,
		  const struct uapi_session_config *cfg, struct uapi_session **out,
		  struct ferry_err *err);

/* ------------------------------------------------------------------- memory */

/**
 * struct client_mem - how a client's memory is reached, and our mappings of it
 * Lives as long as the session or any ferry_mem made from it.
 */
struct client_mem {
	atomic_uint refs;
	pthread_mutex_t lock;		/* regions, procs */
	struct list regions, procs;
	unsigned int nr_regions;
	pthread_mutex_t broker_lock;
	int broker;			/* -1: none */
	atomic_bool no_getfd;		/* pidfd_getfd is denied to this process */
};

struct client_mem *client_mem_alloc(int broker);
void client_mem_put(struct client_mem *cm);

/** client_read(), client_write() - bytes moved (short at a hole), or -errno. May take for ever. */
ssize_t client_read(struct client_mem *cm, pid_t tid, void *dst, uint64_t src, size_t len);
ssize_t client_write(struct client_mem *cm, pid_t tid, uint64_t dst, const void *src, size_t len);

/** client_mem_at() - vfio_call_ops.mem. @ours: is this inode a device of ours? */
int client_mem_at(struct client_mem *cm, struct uapi_call *c, uint64_t vaddr, uint64_t len,
		  bool writable, struct ferry_mem **mem, bool *is_bar);
int client_mem_of_file(struct client_mem *cm, struct uapi_call *c, int fd, uint64_t start,
		       uint64_t len, bool writable, struct ferry_mem **mem);

/* ------------------------------------------------------------------ objects */

enum object_state {
	OBJECT_LIVE,
	OBJECT_RELEASED,	/* nobody in the client has it; a call may still use it */
	OBJECT_CLOSING,		/* its close operation runs */
	OBJECT_CLOSED,		/* to be freed */
};

/**
 * struct uapi_object - one open file of ours: a sealed memfd that the client holds
 * @file: NULL for an attribute opened for writing: then @attr is its canonical path
 * @memfd: the first descriptor; the client has the inode reopened
 */
struct uapi_object {
	struct list ino_link, wd_link;	/* session's tables; lock */
	struct list link;		/* session's list of states other than LIVE; lock */
	struct uapi_session *s;
	enum object_state state;	/* lock */
	unsigned int busy;		/* calls that use it; lock */
	dev_t dev;
	ino_t ino;
	int memfd, wd;
	struct vfio_file *file;
	struct uapi_call *closer;	/* answered when closed; lock */
	void *bar[PCI_BARS];		/* lock */
	uint64_t bar_size[PCI_BARS];
	void *config;			/* mirror of what config reads returned, or NULL */
	char *attr;
	int attr_fd;			/* for reading it, -1 */
	mode_t mode;			/* what fstat says */
	dev_t rdev;
	off_t size;
	uint64_t pos;			/* file position; receiver */
};

/** object_create() - a new object, in the tables; *@client_fd: what the client is to get. On failure @file is closed. */
int object_create(struct uapi_session *s, struct vfio_file *file, const char *name,
		  struct uapi_object **out, int *client_fd);

/** object_find() - by inode: referenced (busy), or NULL. */
struct uapi_object *object_find(struct uapi_session *s, const struct stat *st);
void object_put(struct uapi_object *o);

/** object_release_busy() - as if the client's last reference were gone; gives the caller's own hold back; @closer is answered CONTINUE when it is closed. */
void object_release_busy(struct uapi_object *o, struct uapi_call *closer);

/** lastref_certain() - does the caller's descriptor hold the only reference to @o in the whole program? */
bool lastref_certain(struct uapi_call *c, struct uapi_object *o);

/** objects_drain() - read the releases, run the closes that are due, free what is closed. */
void objects_drain(struct uapi_session *s);

/** objects_release_all() - for the end of a session. */
void objects_release_all(struct uapi_session *s);
unsigned int objects_count(struct uapi_session *s);
const char *object_path(const struct uapi_object *o);

/* -------------------------------------------------------------------- calls */

/* Results of a handler that are no result of the system call. */
#define CALL_CONTINUE (INT64_MIN)
#define CALL_ANSWERED (INT64_MIN + 1)
#define CALL_PENDING (INT64_MIN + 2)

#define CALL_HELD 8

struct uapi_call {
	struct vfio_call vc;
	struct uapi_attr_call ac;
	struct uapi_session *s;
	struct list link;		/* free list, or finish list; lock */
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	uint64_t started;
	int64_t moved;			/* bytes of earlier chunks of the same call */
	int64_t result;			/* of a call on the finish list */
	bool cloexec;			/* of a descriptor that answers it */
	struct uapi_object *held[CALL_HELD];
	struct uapi_object **more;
	unsigned int nr_held, nr_more;
	/* Trace. */
	const struct vfio_file *file;
	unsigned int cmd;
	unsigned int arg_len;
	uint8_t arg[128];
	uint8_t buf[CALL_BUF + 1];
};

struct uapi_call *call_alloc(struct uapi_session *s);

/** call_answer() - the result, or -errno, or CALL_CONTINUE. Frees @c. Any thread, any lock but the session's. */
void call_answer(struct uapi_call *c, int64_t ret);

/** call_finish() - after an operation returned @ret: 0 with a new file installs it. Frees @c unless pending. */
void call_finish(struct uapi_call *c, int64_t ret);

/**
 * call_install() - answer with a descriptor for our @fd; frees @c on success
 * @high: in the window. Return: CALL_ANSWERED, or -errno and @c is not answered.
 */
int64_t call_install(struct uapi_call *c, int fd, bool cloexec, bool high, unsigned int at_least);

/** call_install_file() - make an object of @f and answer with it; on failure @f is closed. */
int64_t call_install_file(struct uapi_call *c, struct vfio_file *f, const char *name,
			  const struct path_node *node);

/** call_hold() - keep @o busy until @c is answered. */
int call_hold(struct uapi_call *c, struct uapi_object *o);

/** call_copy_in(), call_copy_out() - 0 or -EFAULT. */
int call_copy_in(struct uapi_call *c, void *dst, uint64_t src, size_t len);
int call_copy_out(struct uapi_call *c, uint64_t dst, const void *src, size_t len);

/** call_string() - a NUL-terminated string of at most PATH_MAX. Its length, -EFAULT, -ENAMETOOLONG. */
int call_string(struct uapi_call *c, char *buf, uint64_t src);

extern const struct vfio_call_ops uapi_call_ops;

/* -------------------------------------------------------------------- ident */

/** ident_object() - which object is @fd of the caller? *@err: 0 or -EBADF. The result is busy. */
struct uapi_object *ident_object(struct uapi_call *c, int fd, int *err);

/** ident_getfd() - our own duplicate of the caller's @fd, or -errno. */
int ident_getfd(struct uapi_call *c, int fd);
/** quick_stat() - device, inode, mode, size, block size; a file system that could answer late is not asked. */
int quick_stat(int dirfd, const char *path, struct stat *st);
bool ident_fd_free(struct uapi_call *c, int fd);

/** ident_tgid() - the process of the caller, or 0. */
pid_t ident_tgid(struct uapi_call *c);
void ident_release(struct uapi_session *s);

#define PIDFD_CACHE 64

struct pidfd_slot {
	pid_t tid, tgid;
	int pidfd;
};

/* ---------------------------------------------------------------------- cwd */

/* A process with a virtual working directory, or whose parent's must not be inherited (path NULL). */
struct vcwd {
	struct list link;
	pid_t tgid;
	int pidfd;	/* -1: not had; readable when the process is gone */
	char *path;
};

/** cwd_get() - the virtual working directory of the caller, or NULL. */
const char *cwd_get(struct uapi_call *c);
/** cwd_set() - @path NULL: it has none any more. 0 or -ENOMEM. */
int cwd_set(struct uapi_call *c, const char *path);
void cwd_release(struct uapi_session *s);

/* ------------------------------------------------------------------ handlers */

/* Each takes one trapped call and returns its result, -errno, or a CALL_ value. */
typedef int64_t (*call_fn)(struct uapi_call *c);

/** syscall_run() - dispatch. */
int64_t syscall_run(struct uapi_call *c);

int64_t path_call_run(struct uapi_call *c);	/* pathcalls.c */
int64_t fd_stat(struct uapi_call *c, struct uapi_object *o, uint64_t buf);
int64_t fd_statx(struct uapi_call *c, struct uapi_object *o, uint64_t buf);
int64_t node_open(struct uapi_call *c, const struct path_node *n);
void node_numbers(struct uapi_session *s, const struct path_node *n, mode_t *mode, dev_t *rdev);

/* ------------------------------------------------------------------- session */

struct uapi_session {
	const struct uapi_host *host;
	const struct uapi_nodes *nodes;
	struct uapi_session_config cfg;
	struct ferry_env *env;
	struct client_mem *cm;
	pid_t launcher;			/* ancestor of all tasks of the program */
	char root[PATH_MAX];
	struct uapi_window window;
	struct {
		struct uapi_object *object;	/* NULL: none */
		pid_t tid;
		int fd;
	} guess;			/* of the next register read: fdcalls.c; lock */
	bool no_guess;			/* the receiver's */
	unsigned int next_fd;
	bool poll_first;		/* RECV would not notice the end */
	bool sync_wakeup;
	bool pidfd_thread;
	pthread_t receiver, watcher;
	int inotify, wake;		/* wake: eventfd that the watcher polls */

	pthread_mutex_t drain_lock;
	pthread_mutex_t lock;
	struct list by_ino[OBJECT_BUCKETS], by_wd[OBJECT_BUCKETS];
	struct list released;		/* objects that are not LIVE */
	unsigned int nr_objects, nr_busy;
	struct list free_calls, finish;
	unsigned int nr_calls, nr_pending;

	/* The receiver's. */
	struct notif_buf nb;
	struct pidfd_slot pidfds[PIDFD_CACHE];
	struct list cwds;
	unsigned int nr_cwds;
	struct list eventfds;
	unsigned int nr_eventfds;

	atomic_bool stopping, receiver_done;
	bool stop_from_ended;		/* the watcher's */
	bool clean;			/* nothing of the session is left in use; the watcher's until it is joined */
	_Atomic uint64_t nr_answered, sum_ns;
};

static inline uint64_t session_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The session whose receiver this thread is, or NULL. */
extern _Thread_local struct uapi_session *session_receiving;

void session_wake(struct uapi_session *s);
void trace_call(struct uapi_call *c, int64_t ret);
void trace_begin(struct uapi_call *c, const struct vfio_file *f, unsigned int cmd, uint64_t arg);

/* eventfd.c: eventfds that are made for the program where they can't be fetched from it. */
int64_t eventfd_make(struct uapi_call *c, uint64_t value, int flags);
int eventfd_fetch(struct uapi_call *c, int fd);
void eventfd_release(struct uapi_session *s);

#endif
