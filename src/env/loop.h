/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Inside a worker. Private to src/env.
 *
 * One turn of the loop: take what other threads left, reap I/O, run
 * completions, timers and work, poll, submit I/O, perhaps sleep (loop.c).
 *
 * Locks. A strand's lock is outer, the env's lock inner: with a strand held
 * one may take the env's lock. The worker goes the other way round (it finds a
 * strand in one of the env's lists), so it only ever *tries* a strand's lock.
 * That is also what keeps a strand that a stuck client holds from stopping the
 * worker: what it could not run stays where it is, @contended is set, and the
 * next unlock wakes the worker. Since the unlock may have missed the flag, the
 * worker looks again by itself, at first after 50 us, at last every millisecond.
 *
 * Wake-ups. Whoever gives the worker something to do publishes it, sets
 * @poked, then looks at @sleeping; the worker sets @sleeping, then looks at
 * @poked. Both are sequentially consistent: one of the two sees the other.
 */
#ifndef ENV_LOOP_H
#define ENV_LOOP_H

#include <ferry/env.h>

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_SEC 1000000000ull

#define ENV_BATCH 64			/* timers or work items per turn */
#define ENV_FOREVER UINT64_MAX

/* Poll policy. Measured: a wake-up costs 15 to 25 us of a core, whatever it finds. */
#define ENV_SPIN_NS (50 * NSEC_PER_USEC)	/* without work before a poller stops being hot */
#define ENV_NAP_NS (50 * NSEC_PER_USEC)		/* first sleeps of TIMED pollers ... */
#define ENV_NAP_UNTIL_NS NSEC_PER_MSEC		/* ... for this long ... */
#define ENV_REST_NS NSEC_PER_MSEC		/* ... then these ... */
#define ENV_REST_UNTIL_NS NSEC_PER_SEC		/* ... for this long ... */
#define ENV_DOZE_NS (2 * NSEC_PER_MSEC)		/* ... then these: 64 functions below 1 % of a core */
#define ENV_YIELD_MAX 256			/* passes a waiter is let go first */

enum poll_list {
	POLL_NONE,	/* mode OFF, or EVENT and parked */
	POLL_HOT,	/* polled each turn */
	POLL_COLD,	/* polled when env->cold_at comes */
};

struct heap_entry {
	uint64_t key, seq;
	struct env_timer *t;
};

struct pool;
struct uring;

/**
 * struct loop_ops - how a worker does I/O and sleeps
 * @start: Required. This thread is the worker from now on.
 * @push: Required. Worker: start everything in env->io_queue that can be started.
 * @reap: Required. Worker: move what the kernel completed to env->io_done. No system
 *        call if there is nothing.
 * @sleep: Required. Worker: until a completion, a write to env->wake_fd or @ns.
 */
struct loop_ops {
	const char *name;
	int (*init)(struct ferry_env *env);
	void (*release)(struct ferry_env *env);
	void (*start)(struct ferry_env *env);
	void (*push)(struct ferry_env *env);
	void (*reap)(struct ferry_env *env);
	void (*sleep)(struct ferry_env *env, uint64_t ns);
};

struct ferry_env {
	const struct loop_ops *ops;
	enum env_kind kind;
	int wake_fd;			/* eventfd */
	pthread_t thread;
	bool threaded;			/* env_start() was called; control plane's */

	/* Any thread, no lock. */
	atomic_bool poked, sleeping, contended, stop;
	atomic_uint io_inflight;
	atomic_uint nr_hot, nr_cold;	/* written under @lock */
	_Atomic uint64_t timer_next;	/* key of the heap's root; written under @lock */

	pthread_mutex_t lock;
	/* Under @lock. */
	struct list hot, cold;		/* env_strand.env_link */
	struct list work;		/* env_work.link */
	struct list io_in;		/* submitted by other threads */
	struct list io_out;		/* completed by other threads */
	struct heap_entry *heap;	/* 1-based */
	size_t heap_n, heap_cap;
	uint64_t heap_seq;

	/* The worker's. */
	struct list io_queue;		/* to be started */
	struct list io_done;		/* to be told */
	bool look_work;
	uint64_t cold_at, cold_since;	/* next look at the cold ones, and when that began */
	unsigned int yields;
	uint64_t retry_ns;		/* until the next look at what was contended */
	union {
		struct uring *uring;
		int epoll_fd;
	};
	struct pool *pool;
};

extern const struct loop_ops uring_loop_ops, epoll_loop_ops;
extern __thread struct ferry_env *env_current;

uint64_t env_clock(void);

/** env_wake() - something was published for the worker; any thread, any lock. */
void env_wake(struct ferry_env *env);

/* strand.c: the worker's side of a strand's lock. */
bool strand_try(struct ferry_env *env, struct env_strand *st);
void strand_done_locked(struct ferry_env *env, struct env_strand *st);
void strand_done(struct ferry_env *env, struct env_strand *st);

/* One step each of a turn; whether anything ran. */
bool io_run(struct ferry_env *env, uint64_t now);
bool timers_run(struct ferry_env *env, uint64_t now);
bool work_run(struct ferry_env *env);
bool poll_run(struct ferry_env *env, uint64_t now);

/** poll_idle_until() - when the next poll is due: 0 at once, ENV_FOREVER never. */
uint64_t poll_idle_until(struct ferry_env *env);

/** poll_touch() - worker, @st held: its I/O completed, so its client will have more. */
void poll_touch(struct ferry_env *env, struct env_strand *st, uint64_t now);

/** io_take_locked() - worker: take over what other threads queued. Env's lock held. */
void io_take_locked(struct ferry_env *env);

/** io_complete() - from a thread that is not the worker. */
void io_complete(struct ferry_env *env, struct env_io *io, int64_t res);

/** io_do() - execute @io on this thread, blocking. */
int64_t io_do(const struct env_io *io);

int pool_create(struct ferry_env *env, struct pool **pool);
void pool_destroy(struct pool *pool);
void pool_submit(struct pool *pool, struct env_io *io);

/** thread_signals_block() - all but those a fault raises; for threads of our own. */
void thread_signals_block(void);

void guard_install(void);

#endif
