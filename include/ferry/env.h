/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * struct ferry_env: everything that models, drivers and the vfio core need of
 * the system: time, timers, randomness, block I/O, wake-ups, client memory.
 * Two real loops (io_uring; epoll with a pool of threads) and, later, a
 * simulator stand behind it.
 *
 * One ferry_env is one worker: one thread that runs env_run(). A *strand* is
 * what runs under one lock; each PCI function is one. Whoever runs a
 * function's code holds its strand: the worker, for polls, timers, work and
 * I/O completions; the receiver thread of a client, for a trapped register
 * access. Nobody holds two strands. All env_* calls that take a strand are
 * made with it held, from any thread, unless said otherwise; all callbacks are
 * made with it held, on the worker's thread.
 */
#ifndef FERRY_ENV_H
#define FERRY_ENV_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include <ferry/base.h>

struct ferry_env;

/* ------------------------------------------------------------------ strands */

/**
 * struct env_poller - work that nobody announces: doorbells in plain memory
 * @poll: Required. Look once, do what is there (bounded: at most a few dozen
 *        commands), return whether anything was found.
 * @park: Required. The worker wants to sleep: ask to be told (shadow doorbell
 *        event indexes, say), then look once more. Return true if something
 *        was found after all: the worker goes on polling.
 * @unpark: Optional. The worker is awake again and polls.
 *
 * All three run with the strand held and must not block.
 */
struct env_poller {
	bool (*poll)(struct env_poller *p);
	bool (*park)(struct env_poller *p);
	void (*unpark)(struct env_poller *p);
};

enum env_poll_mode {
	ENV_POLL_OFF,	/* never polled */
	ENV_POLL_EVENT,	/* polled while busy; asleep, somebody calls env_poll_kick() */
	ENV_POLL_TIMED,	/* nobody tells: asleep, the worker looks every millisecond */
};

struct env_strand {
	pthread_mutex_t lock;
	atomic_uint waiters;		/* threads other than the worker that want @lock */
	struct ferry_env *env;		/* changed by env_strand_move() only */
	struct env_poller *poller;	/* set before the first env_poll_mode_set() */
	enum env_poll_mode poll_mode;	/* under @lock and the env's own lock */
	bool parked;			/* the worker's, under @lock */
	atomic_uint pending;		/* armed timers, queued work, I/O in flight */
	_Atomic uint64_t found_at;	/* the env's: when a poll last found work */
	unsigned int poll_list;		/* the env's: which list @env_link is in */
	struct list env_link;		/* the env's list of pollers */
};

/** env_strand_init() - @st belongs to @env, poll mode OFF, not held. */
int env_strand_init(struct env_strand *st, struct ferry_env *env, struct env_poller *poller);

/** env_strand_release() - free what init made. Nothing pending, mode OFF, not held. */
void env_strand_release(struct env_strand *st);

void env_strand_lock(struct env_strand *st);

/** env_strand_lock_for() - as lock, but -ETIMEDOUT after @ns: for the control plane, which a parked client must not hang. */
int env_strand_lock_for(struct env_strand *st, uint64_t ns);
void env_strand_unlock(struct env_strand *st);

/**
 * env_strand_move() - hand the strand to another worker
 * Held; nothing pending and poll mode OFF, else -EBUSY.
 */
int env_strand_move(struct env_strand *st, struct ferry_env *to);

/** env_poll_mode_set() - idempotent; wakes the worker if it has to start polling. */
void env_poll_mode_set(struct env_strand *st, enum env_poll_mode mode);

/** env_poll_kick() - the worker should start polling @st now: a doorbell was rung while it slept. */
void env_poll_kick(struct env_strand *st);

/* ------------------------------------------------------- time, random, work */

/** env_now() - nanoseconds of a clock that never goes back (CLOCK_MONOTONIC). */
uint64_t env_now(struct env_strand *st);

/** env_realtime() - nanoseconds since 1970, for time stamps that people or guests read. */
uint64_t env_realtime(struct env_strand *st);

void env_random(struct env_strand *st, void *buf, size_t len);

/* Set @fn and @st once; the rest is the env's. */
struct env_timer {
	void (*fn)(struct env_timer *t);
	struct env_strand *st;
	uint64_t deadline;
	size_t heap_at;		/* 1-based place in the env's heap, 0: not armed */
};

static inline void env_timer_init(struct env_timer *t, struct env_strand *st,
				  void (*fn)(struct env_timer *))
{
	*t = (struct env_timer){ .fn = fn, .st = st };
}

/** env_timer_arm() - call @t->fn once at @deadline (env_now() time); re-arming moves it. */
int env_timer_arm(struct env_timer *t, uint64_t deadline);

/** env_timer_cancel() - after return @t->fn is not called for the earlier arm. Idempotent. */
void env_timer_cancel(struct env_timer *t);

/* Deferred call: runs once, soon, on the worker. May be queued without holding the strand. */
struct env_work {
	void (*fn)(struct env_work *w);
	struct env_strand *st;
	struct list link;
	bool queued;
};

static inline void env_work_init(struct env_work *w, struct env_strand *st,
				 void (*fn)(struct env_work *))
{
	*w = (struct env_work){ .fn = fn, .st = st };
	list_init(&w->link);
}

/** env_work_queue() - from any thread, strand held or not; no effect while already queued. */
void env_work_queue(struct env_work *w);

/** env_work_cancel() - strand held; after return it is not queued and will not run. */
void env_work_cancel(struct env_work *w);

/* ---------------------------------------------------------------- block I/O */

enum env_io_op {
	ENV_IO_READ,
	ENV_IO_WRITE,
	ENV_IO_FDATASYNC,
	ENV_IO_PUNCH_HOLE,	/* fallocate(PUNCH_HOLE | KEEP_SIZE) */
	ENV_IO_ZERO_RANGE,	/* fallocate(ZERO_RANGE | KEEP_SIZE) */
	ENV_IO_BLKDISCARD,	/* block devices: ioctl, by a thread */
	ENV_IO_BLKZEROOUT,
};

#define ENV_IO_DSYNC 1u		/* WRITE: durable before completion (RWF_DSYNC) */

/**
 * struct env_io - one asynchronous operation on a file
 * @iov: READ, WRITE: valid until @done; may point into mapped client memory
 * @len: the other operations: length of the range
 * @done: called exactly once: bytes moved (may be short), 0, or -errno. A page
 *        of a client that went away is -EFAULT. Never called from env_io_submit().
 */
struct env_io {
	enum env_io_op op;
	unsigned int flags;
	int fd;
	uint64_t off, len;
	const struct iovec *iov;
	unsigned int niov;		/* at most IOV_MAX */
	void (*done)(struct env_io *io, int64_t res);
	struct env_strand *st;
	struct list link;		/* the env's */
	int64_t res;			/* the env's */
};

/** env_io_submit() - start @io; it is the env's until @io->done. Never fails: errors come by @done. */
void env_io_submit(struct env_io *io);

/* ------------------------------------------------------------ file descriptors */

/**
 * struct env_watch - told when a file of a client becomes readable (an eventfd, say)
 * @fn: called on a thread of the env's own, with the strand held. The callee
 *      reads the file if it wants silence; edge triggered.
 * Slow path only: one thread in the process serves all watches.
 */
struct env_watch {
	void (*fn)(struct env_watch *w);
	struct env_strand *st;
	int fd;
	uint64_t cookie;	/* the env's */
};

/** env_watch_add() - strand held. -errno of epoll_ctl if the file can't be polled. An already readable file fires. */
int env_watch_add(struct env_watch *w);
/** env_watch_del() - strand held; afterwards @w->fn does not run and @w may be freed. Idempotent. */
void env_watch_del(struct env_watch *w);

/* --------------------------------------------------------------------- loop */

enum env_kind { ENV_URING, ENV_EPOLL };

/**
 * env_create() - a worker; nothing runs before env_run()
 * @kind: ENV_URING gives -EPERM or -ENOSYS where io_uring is denied
 */
int env_create(enum env_kind kind, struct ferry_env **env);

/** env_uring_usable() - may this process use io_uring? 0, or the -errno that says why not. */
int env_uring_usable(void);
const char *env_kind_name(const struct ferry_env *env);

/** env_start() / env_stop() - run the loop in a thread of its own (all signals blocked) until stopped; stop completes the I/O in flight, then joins. */
int env_start(struct ferry_env *env, const char *thread_name);
void env_stop(struct ferry_env *env);

/** env_destroy() - stopped, no strand left. */
void env_destroy(struct ferry_env *env);

/** env_in_loop() - is this thread @env's worker? */
bool env_in_loop(const struct ferry_env *env);

/**
 * env_step() - one turn of the loop on the calling thread, for tests and fuzzers
 * @wait: block until something happens (at most 100 ms)
 * Return: whether anything ran. Not together with env_start().
 */
bool env_step(struct ferry_env *env, bool wait);

/* ------------------------------------------------------------ client memory */

struct ferry_mem;

/**
 * struct ferry_mem_ops - memory of a client
 * @read, @write: Required when @base is NULL. Copy @len bytes at offset @off;
 *        0 or -EFAULT (then any part may have been copied). May take as long
 *        as the client's page takes to come.
 * @release: Required. The last reference is gone.
 */
struct ferry_mem_ops {
	int (*read)(struct ferry_mem *m, uint64_t off, void *buf, size_t len);
	int (*write)(struct ferry_mem *m, uint64_t off, const void *buf, size_t len);
	void (*release)(struct ferry_mem *m);
};

/**
 * struct ferry_mem - a run of client memory that an IOAS maps
 * @base: our own shared mapping of it, or NULL (then @ops reach it)
 *
 * Whoever looks at @base does so through mem_read() and mem_write(), or hands
 * it to the kernel in an iovec: the client can take the pages away at any time.
 */
struct ferry_mem {
	const struct ferry_mem_ops *ops;
	atomic_uint refs;
	uint64_t size;
	void *base;
};

static inline struct ferry_mem *ferry_mem_get(struct ferry_mem *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void ferry_mem_put(struct ferry_mem *m);

/** ferry_mem_alloc() - zeroed memory of our own as client memory, for drivers of the host, tests and the simulator. */
struct ferry_mem *ferry_mem_alloc(uint64_t size);

/**
 * mem_read(), mem_write() - copy out of, into client memory; @off + @len lies in @m
 * Return: 0 or -EFAULT. Survive a client that truncates its memory file.
 */
int mem_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len);
int mem_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len);

/**
 * copy_guarded() - memcpy where either side may be client memory
 * Return: 0, or -EFAULT if a page was gone (SIGBUS or SIGSEGV on the way).
 * env_create() installs the signal handlers it needs.
 */
int copy_guarded(void *dst, const void *src, size_t len);

/** load_guarded32() - one aligned 32-bit acquire load of client memory. */
int load_guarded32(const volatile uint32_t *p, uint32_t *v);

/** store_guarded32() - one aligned 32-bit release store into client memory. */
int store_guarded32(volatile uint32_t *p, uint32_t v);

#endif
