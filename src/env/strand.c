/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Strands: one lock per PCI function, and which worker it belongs to.
 *
 * A mutex is not fair: a worker that polls in a loop would take it again long
 * before a sleeping receiver has woken. So a receiver that finds it taken says
 * so in @waiters, and the worker's poll pass stays away until it got its turn
 * (poll.c). The worker never waits for a strand; see loop.h.
 */
#include <string.h>
#include <time.h>

#include "env/loop.h"

int env_strand_init(struct env_strand *st, struct ferry_env *env, struct env_poller *poller)
{
	pthread_mutexattr_t attr;
	int err;

	memset(st, 0, sizeof(*st));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	err = pthread_mutex_init(&st->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	if (err)
		return -err;
	st->env = env;
	st->poller = poller;
	list_init(&st->env_link);
	return 0;
}

void env_strand_release(struct env_strand *st)
{
	struct ferry_env *env = st->env;

	assert(st->poll_mode == ENV_POLL_OFF);
	assert(atomic_load(&st->pending) == 0);
	/* A worker that is just leaving the strand does so with the env's lock held. */
	pthread_mutex_lock(&env->lock);
	assert(list_empty(&st->env_link));
	pthread_mutex_unlock(&env->lock);
	pthread_mutex_destroy(&st->lock);
}

void env_strand_lock(struct env_strand *st)
{
	if (!pthread_mutex_trylock(&st->lock))
		return;
	atomic_fetch_add(&st->waiters, 1);
	pthread_mutex_lock(&st->lock);
	atomic_fetch_sub(&st->waiters, 1);
}

int env_strand_lock_for(struct env_strand *st, uint64_t ns)
{
	uint64_t until = env_clock() + ns;
	struct timespec ts = {
		.tv_sec = (time_t)(until / NSEC_PER_SEC),
		.tv_nsec = (long)(until % NSEC_PER_SEC),
	};
	int err;

	if (!pthread_mutex_trylock(&st->lock))
		return 0;
	atomic_fetch_add(&st->waiters, 1);
	err = pthread_mutex_clocklock(&st->lock, CLOCK_MONOTONIC, &ts);
	atomic_fetch_sub(&st->waiters, 1);
	return -err;
}

void env_strand_unlock(struct env_strand *st)
{
	struct ferry_env *env = st->env;

	pthread_mutex_unlock(&st->lock);
	/* @st may be gone by now; @env outlives every thread that uses its strands. */
	if (env_current != env && atomic_load(&env->contended))
		env_wake(env);
}

/* The lock, or a note that it could not be had. */
bool strand_try(struct ferry_env *env, struct env_strand *st)
{
	if (!pthread_mutex_trylock(&st->lock))
		return true;
	atomic_store(&env->contended, true);
	return !pthread_mutex_trylock(&st->lock);
}

/* With the env's lock held, so that env_strand_release() can wait for us to be gone. */
void strand_done_locked(struct ferry_env *env, struct env_strand *st)
{
	pthread_mutex_unlock(&st->lock);
}

void strand_done(struct ferry_env *env, struct env_strand *st)
{
	pthread_mutex_lock(&env->lock);
	strand_done_locked(env, st);
	pthread_mutex_unlock(&env->lock);
}

int env_strand_move(struct env_strand *st, struct ferry_env *to)
{
	struct ferry_env *from = st->env;
	int err = 0;

	if (from == to)
		return 0;
	/* Work may be queued without the strand, but not while we hold its env's lock. */
	pthread_mutex_lock(&from->lock);
	if (st->poll_mode != ENV_POLL_OFF || atomic_load(&st->pending))
		err = -EBUSY;
	else
		__atomic_store_n(&st->env, to, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&from->lock);
	return err;
}

uint64_t env_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
