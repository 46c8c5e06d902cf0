/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Deferred calls. The list, @queued and @link are under the env's lock.
 */
#include "env/loop.h"

/* The strand's env, locked: without the strand held it may be moving. */
static struct ferry_env *work_lock_env(struct env_work *w)
{
	for (;;) {
		struct ferry_env *env = __atomic_load_n(&w->st->env, __ATOMIC_ACQUIRE);

		pthread_mutex_lock(&env->lock);
		if (env == __atomic_load_n(&w->st->env, __ATOMIC_ACQUIRE))
			return env;
		pthread_mutex_unlock(&env->lock);
	}
}

void env_work_queue(struct env_work *w)
{
	struct ferry_env *env = work_lock_env(w);
	bool fresh = !w->queued;

	if (fresh) {
		w->queued = true;
		atomic_fetch_add(&w->st->pending, 1);
		list_add_tail(&env->work, &w->link);
	}
	pthread_mutex_unlock(&env->lock);
	if (fresh)
		env_wake(env);
}

static void work_remove_locked(struct env_work *w)
{
	list_del(&w->link);
	w->queued = false;
	atomic_fetch_sub(&w->st->pending, 1);
}

void env_work_cancel(struct env_work *w)
{
	struct ferry_env *env = w->st->env;

	pthread_mutex_lock(&env->lock);
	if (w->queued)
		work_remove_locked(w);
	pthread_mutex_unlock(&env->lock);
}

bool work_run(struct ferry_env *env)
{
	struct list mark = LIST_INIT(mark);
	unsigned int budget = ENV_BATCH;
	bool ran = false;

	if (!env->look_work)
		return false;
	pthread_mutex_lock(&env->lock);
	/* What could not be run is put behind the mark, which ends the pass. */
	list_add_tail(&env->work, &mark);
	while (env->work.next != &mark && budget--) {
		struct env_work *w = list_first(&env->work, struct env_work, link);
		struct env_strand *st = w->st;

		if (!strand_try(env, st)) {
			list_del(&w->link);
			list_add_tail(&env->work, &w->link);
			continue;
		}
		work_remove_locked(w);
		pthread_mutex_unlock(&env->lock);
		w->fn(w);
		ran = true;
		pthread_mutex_lock(&env->lock);
		strand_done_locked(env, st);
	}
	list_del(&mark);
	env->look_work = !list_empty(&env->work);
	pthread_mutex_unlock(&env->lock);
	return ran;
}
