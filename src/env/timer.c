/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Timers: a binary heap per worker, under the env's lock, ordered by key, then
 * by the order of arming. The key is the deadline, except for a timer whose
 * strand was busy when it was due: that one tries again a little later.
 */
#include "env/loop.h"

#define TIMER_RETRY_NS (50 * NSEC_PER_USEC)

static bool heap_before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void heap_put(struct ferry_env *env, size_t at, struct heap_entry e)
{
	env->heap[at] = e;
	e.t->heap_at = at;
}

/* The entry at @at has a new key: move it where it belongs. */
static void heap_settle(struct ferry_env *env, size_t at)
{
	struct heap_entry e = env->heap[at];

	while (at > 1 && heap_before(&e, &env->heap[at / 2])) {
		heap_put(env, at, env->heap[at / 2]);
		at /= 2;
	}
	for (;;) {
		size_t kid = 2 * at;

		if (kid + 1 <= env->heap_n && heap_before(&env->heap[kid + 1], &env->heap[kid]))
			kid++;
		if (kid > env->heap_n || !heap_before(&env->heap[kid], &e))
			break;
		heap_put(env, at, env->heap[kid]);
		at = kid;
	}
	heap_put(env, at, e);
}

static void heap_remove(struct ferry_env *env, struct env_timer *t)
{
	size_t at = t->heap_at;
	struct heap_entry last = env->heap[env->heap_n--];

	t->heap_at = 0;
	if (last.t != t) {
		heap_put(env, at, last);
		heap_settle(env, at);
	}
}

static int heap_reserve(struct ferry_env *env)
{
	size_t cap = MAX(env->heap_cap * 2, (size_t)64);
	struct heap_entry *heap;

	if (env->heap_n + 1 < env->heap_cap)
		return 0;
	heap = realloc(env->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	env->heap = heap;
	env->heap_cap = cap;
	return 0;
}

static void heap_publish(struct ferry_env *env)
{
	atomic_store(&env->timer_next, env->heap_n ? env->heap[1].key : ENV_FOREVER);
}

int env_timer_arm(struct env_timer *t, uint64_t deadline)
{
	struct ferry_env *env = t->st->env;
	bool first;
	int err = 0;

	pthread_mutex_lock(&env->lock);
	if (!t->heap_at) {
		err = heap_reserve(env);
		if (err) {
			pthread_mutex_unlock(&env->lock);
			return err;
		}
		atomic_fetch_add(&t->st->pending, 1);
		t->heap_at = ++env->heap_n;
	}
	t->deadline = deadline;
	env->heap[t->heap_at] = (struct heap_entry){ deadline, env->heap_seq++, t };
	heap_settle(env, t->heap_at);
	first = t->heap_at == 1;
	heap_publish(env);
	pthread_mutex_unlock(&env->lock);
	if (first && env_current != env)
		env_wake(env);
	return 0;
}

void env_timer_cancel(struct env_timer *t)
{
	struct ferry_env *env = t->st->env;

	pthread_mutex_lock(&env->lock);
	if (t->heap_at) {
		heap_remove(env, t);
		atomic_fetch_sub(&t->st->pending, 1);
		heap_publish(env);
	}
	pthread_mutex_unlock(&env->lock);
}

bool timers_run(struct ferry_env *env, uint64_t now)
{
	unsigned int budget = ENV_BATCH;
	bool ran = false;

	if (now < atomic_load_explicit(&env->timer_next, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&env->lock);
	while (env->heap_n && env->heap[1].key <= now && budget--) {
		struct env_timer *t = env->heap[1].t;
		struct env_strand *st = t->st;

		if (!strand_try(env, st)) {
			env->heap[1].key = now + TIMER_RETRY_NS;
			heap_settle(env, 1);
			continue;
		}
		heap_remove(env, t);
		atomic_fetch_sub(&st->pending, 1);
		heap_publish(env);
		pthread_mutex_unlock(&env->lock);
		t->fn(t);
		ran = true;
		pthread_mutex_lock(&env->lock);
		strand_done_locked(env, st);
	}
	heap_publish(env);
	pthread_mutex_unlock(&env->lock);
	return ran;
}
