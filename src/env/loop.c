/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A worker: its life, and one turn of its loop. loop.h tells how its parts
 * and other threads get along.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#include "env/loop.h"

#define STEP_WAIT_NS (100 * NSEC_PER_MSEC)

__thread struct ferry_env *env_current;

uint64_t env_now(struct env_strand *st)
{
	(void)st;
	return env_clock();
}

uint64_t env_realtime(struct env_strand *st)
{
	struct timespec ts;

	(void)st;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void env_random(struct env_strand *st, void *buf, size_t len)
{
	char *p = buf;

	(void)st;
	while (len) {
		ssize_t n = getrandom(p, len, 0);

		assert(n > 0 || errno == EINTR);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

void env_wake(struct ferry_env *env)
{
	static const uint64_t one = 1;

	if (atomic_exchange(&env->poked, true) || !atomic_load(&env->sleeping))
		return;
	if (write(env->wake_fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the count is full, so it is readable. */
	}
}

static void env_take(struct ferry_env *env)
{
	if (!atomic_load_explicit(&env->poked, memory_order_relaxed))
		return;
	atomic_exchange(&env->poked, false);
	pthread_mutex_lock(&env->lock);
	io_take_locked(env);
	env->look_work = !list_empty(&env->work);
	pthread_mutex_unlock(&env->lock);
}

static void env_sleep(struct ferry_env *env, uint64_t until)
{
	uint64_t now;

	until = MIN(until, poll_idle_until(env));
	if (!until) {
		/* On few cores the pool's threads need ours to get anything done. */
		if (env->kind == ENV_EPOLL && atomic_load(&env->io_inflight))
			sched_yield();
		else
			__builtin_ia32_pause();
		return;
	}
	until = MIN(until, atomic_load(&env->timer_next));
	now = env_clock();
	if (atomic_load(&env->contended) || !list_empty(&env->io_queue)) {
		env->retry_ns = MIN(MAX(env->retry_ns * 2, ENV_NAP_NS), ENV_REST_NS);
		until = MIN(until, now + env->retry_ns);
	} else {
		env->retry_ns = 0;
	}
	if (until <= now)
		return;
	atomic_store(&env->sleeping, true);
	if (!atomic_load(&env->poked))
		env->ops->sleep(env, until == ENV_FOREVER ? ENV_FOREVER : until - now);
	atomic_store(&env->sleeping, false);
}

/* @until: when to be back at the latest, 0 at once. */
static bool env_turn(struct ferry_env *env, uint64_t until)
{
	uint64_t now = env_clock();
	bool ran;

	env_take(env);
	if (atomic_load_explicit(&env->contended, memory_order_relaxed)) {
		atomic_store(&env->contended, false);
		env->cold_at = 0;
	}
	env->ops->reap(env);
	ran = io_run(env, now);
	ran |= timers_run(env, now);
	ran |= work_run(env);
	ran |= poll_run(env, now);
	env->ops->push(env);
	if (!ran && until)
		env_sleep(env, until);
	return ran;
}

int env_create(enum env_kind kind, struct ferry_env **out)
{
	struct ferry_env *env = calloc(1, sizeof(*env));
	int err;

	if (!env)
		return -ENOMEM;
	env->kind = kind;
	env->ops = kind == ENV_URING ? &uring_loop_ops : &epoll_loop_ops;
	atomic_init(&env->timer_next, ENV_FOREVER);
	pthread_mutex_init(&env->lock, NULL);
	list_init(&env->hot);
	list_init(&env->cold);
	list_init(&env->work);
	list_init(&env->io_in);
	list_init(&env->io_out);
	list_init(&env->io_queue);
	list_init(&env->io_done);
	env->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (env->wake_fd < 0) {
		err = -errno;
		goto err_free;
	}
	err = pool_create(env, &env->pool);
	if (err)
		goto err_close;
	err = env->ops->init(env);
	if (err)
		goto err_pool;
	guard_install();
	*out = env;
	return 0;

err_pool:
	pool_destroy(env->pool);
err_close:
	close(env->wake_fd);
err_free:
	pthread_mutex_destroy(&env->lock);
	free(env);
	return err;
}

void env_destroy(struct ferry_env *env)
{
	if (!env)
		return;
	assert(!env->threaded);
	assert(list_empty(&env->hot) && list_empty(&env->cold) && list_empty(&env->work));
	assert(!env->heap_n && !atomic_load(&env->io_inflight));
	pool_destroy(env->pool);
	env->ops->release(env);
	close(env->wake_fd);
	pthread_mutex_destroy(&env->lock);
	free(env->heap);
	free(env);
}

const char *env_kind_name(const struct ferry_env *env)
{
	return env->ops->name;
}

bool env_in_loop(const struct ferry_env *env)
{
	return env_current == env;
}

/* What a completion is owed is told before the thread ends. */
static void *env_thread(void *arg)
{
	struct ferry_env *env = arg;

	env_current = env;
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	env->ops->start(env);
	while (!atomic_load(&env->stop) || atomic_load(&env->io_inflight))
		env_turn(env, ENV_FOREVER);
	env_current = NULL;
	return NULL;
}

int env_start(struct ferry_env *env, const char *thread_name)
{
	sigset_t old;
	char name[16];
	int err;

	assert(!env->threaded);
	atomic_store(&env->stop, false);
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	thread_signals_block();
	err = pthread_create(&env->thread, NULL, env_thread, env);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	snprintf(name, sizeof(name), "%s", thread_name);
	pthread_setname_np(env->thread, name);
	env->threaded = true;
	return 0;
}

void env_stop(struct ferry_env *env)
{
	if (!env->threaded)
		return;
	atomic_store(&env->stop, true);
	env_wake(env);
	pthread_join(env->thread, NULL);
	env->threaded = false;
}

bool env_step(struct ferry_env *env, bool wait)
{
	struct ferry_env *before = env_current;
	uint64_t until = wait ? env_clock() + STEP_WAIT_NS : 0;
	bool ran = false;

	assert(!env->threaded);
	env_current = env;
	env->ops->start(env);
	do {
		ran = env_turn(env, until);
	} while (!ran && env_clock() < until);
	env_current = before;
	return ran;
}
