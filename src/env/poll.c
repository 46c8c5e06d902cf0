/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The poll policy: which strand is polled when.
 *
 * A strand that found work (or whose I/O completed, or that was kicked) is hot
 * for 50 us: polled each turn, and the worker does not sleep. Then an EVENT
 * poller is parked: it asks its client for a notification, looks once more and
 * is left alone until env_poll_kick(). A TIMED poller turns cold: all cold
 * pollers of a worker are looked at together, every 50 us for a millisecond,
 * every millisecond for a second, then every two; that is the only timer an
 * idle worker has.
 *
 * A strand that could not be had for 50 us is put among the cold ones too: its
 * holder may be stuck in a client's page, and the others must not pay for that.
 *
 * env_link, poll_list and the two lists are under the env's lock; they change
 * with the strand held, except hot to cold by the worker. The worker rotates a
 * list to walk it, so others may take out any strand meanwhile.
 */
#include <sched.h>

#include "env/loop.h"

static void list_move_locked(struct ferry_env *env, struct env_strand *st, enum poll_list to)
{
	if (st->poll_list == to)
		return;
	if (st->poll_list == POLL_HOT)
		atomic_fetch_sub(&env->nr_hot, 1);
	if (st->poll_list == POLL_COLD)
		atomic_fetch_sub(&env->nr_cold, 1);
	list_del(&st->env_link);
	st->poll_list = to;
	if (to == POLL_HOT) {
		list_add_tail(&env->hot, &st->env_link);
		atomic_fetch_add(&env->nr_hot, 1);
	}
	if (to == POLL_COLD) {
		list_add_tail(&env->cold, &st->env_link);
		atomic_fetch_add(&env->nr_cold, 1);
	}
}

static bool is_quiet(struct env_strand *st, uint64_t now)
{
	return atomic_load_explicit(&st->found_at, memory_order_relaxed) + ENV_SPIN_NS <= now;
}

static void set_found(struct env_strand *st, uint64_t now)
{
	atomic_store_explicit(&st->found_at, now, memory_order_relaxed);
}

static void make_hot(struct env_strand *st)
{
	struct ferry_env *env = st->env;

	set_found(st, env_clock());
	pthread_mutex_lock(&env->lock);
	list_move_locked(env, st, POLL_HOT);
	pthread_mutex_unlock(&env->lock);
	env_wake(env);
}

void env_poll_mode_set(struct env_strand *st, enum env_poll_mode mode)
{
	struct ferry_env *env = st->env;

	if (st->poll_mode == mode)
		return;
	assert(mode == ENV_POLL_OFF || st->poller);
	pthread_mutex_lock(&env->lock);
	st->poll_mode = mode;
	if (mode == ENV_POLL_OFF)
		list_move_locked(env, st, POLL_NONE);
	pthread_mutex_unlock(&env->lock);
	if (mode == ENV_POLL_OFF)
		st->parked = false;
	else
		make_hot(st);
}

void env_poll_kick(struct env_strand *st)
{
	if (st->poll_mode != ENV_POLL_OFF)
		make_hot(st);
}

void poll_touch(struct ferry_env *env, struct env_strand *st, uint64_t now)
{
	if (st->poll_mode == ENV_POLL_OFF || st->parked)
		return;
	set_found(st, now);
	pthread_mutex_lock(&env->lock);
	list_move_locked(env, st, POLL_HOT);
	pthread_mutex_unlock(&env->lock);
}

/* Strand held. Poll; park if it has been quiet for long. */
static bool poll_one(struct env_strand *st, uint64_t now)
{
	struct env_poller *p = st->poller;

	if (st->parked) {
		st->parked = false;
		if (p->unpark)
			p->unpark(p);
	}
	if (p->poll(p)) {
		set_found(st, now);
		return true;
	}
	if (st->poll_mode != ENV_POLL_EVENT || !is_quiet(st, now))
		return false;
	if (p->park(p)) {
		set_found(st, now);
		return true;
	}
	st->parked = st->poll_mode == ENV_POLL_EVENT;
	return false;
}

/* Strand and env's lock held: the list it belongs to after a poll. */
static void poll_settle_locked(struct ferry_env *env, struct env_strand *st, uint64_t now)
{
	if (st->poll_mode == ENV_POLL_OFF || st->parked) {
		list_move_locked(env, st, POLL_NONE);
	} else if (!is_quiet(st, now)) {
		list_move_locked(env, st, POLL_HOT);
	} else if (st->poll_list != POLL_COLD) {
		if (!atomic_load(&env->nr_cold) || env->cold_at > now + ENV_NAP_NS)
			env->cold_at = now + ENV_NAP_NS;
		env->cold_since = now;
		list_move_locked(env, st, POLL_COLD);
	}
}

/* Env's lock held, strand too; both in the end as before, but the strand not held. */
static bool poll_held_locked(struct ferry_env *env, struct env_strand *st, uint64_t now)
{
	bool found;

	pthread_mutex_unlock(&env->lock);
	found = poll_one(st, now);
	pthread_mutex_lock(&env->lock);
	poll_settle_locked(env, st, now);
	strand_done_locked(env, st);
	return found;
}

static struct env_strand *rotate_locked(struct list *l)
{
	struct env_strand *st = list_first(l, struct env_strand, env_link);

	list_del(&st->env_link);
	list_add_tail(l, &st->env_link);
	return st;
}

/*
 * Somebody who wants a strand gets it first, and the processor too; but not
 * for ever, in case there are always others.
 */
static bool poll_hot(struct ferry_env *env, uint64_t now)
{
	bool found = false, let_go = false;
	unsigned int n;

	pthread_mutex_lock(&env->lock);
	for (n = atomic_load(&env->nr_hot); n && !list_empty(&env->hot); n--) {
		struct env_strand *st = rotate_locked(&env->hot);

		if (atomic_load(&st->waiters) && env->yields < ENV_YIELD_MAX) {
			let_go = true;
		} else if (!pthread_mutex_trylock(&st->lock)) {
			found |= poll_held_locked(env, st, now);
		} else {
			let_go = true;
			if (is_quiet(st, now)) {
				list_move_locked(env, st, POLL_COLD);
				env->cold_at = now;
			}
		}
	}
	pthread_mutex_unlock(&env->lock);
	if (let_go) {
		env->yields = env->yields < ENV_YIELD_MAX ? env->yields + 1 : 0;
		sched_yield();
	} else {
		env->yields = 0;
	}
	return found;
}

static uint64_t cold_period(const struct ferry_env *env, uint64_t now)
{
	uint64_t idle = now - env->cold_since;

	if (idle < ENV_NAP_UNTIL_NS)
		return ENV_NAP_NS;
	return idle < ENV_REST_UNTIL_NS ? ENV_REST_NS : ENV_DOZE_NS;
}

static bool poll_cold(struct ferry_env *env, uint64_t now)
{
	bool found = false;
	unsigned int n;

	pthread_mutex_lock(&env->lock);
	env->cold_at = now + cold_period(env, now);
	for (n = atomic_load(&env->nr_cold); n && !list_empty(&env->cold); n--) {
		struct env_strand *st = rotate_locked(&env->cold);

		if (strand_try(env, st))
			found |= poll_held_locked(env, st, now);
	}
	pthread_mutex_unlock(&env->lock);
	return found;
}

bool poll_run(struct ferry_env *env, uint64_t now)
{
	bool found = false;

	if (atomic_load_explicit(&env->nr_hot, memory_order_relaxed))
		found = poll_hot(env, now);
	if (now >= env->cold_at && atomic_load_explicit(&env->nr_cold, memory_order_relaxed))
		found |= poll_cold(env, now);
	return found;
}

uint64_t poll_idle_until(struct ferry_env *env)
{
	if (atomic_load(&env->nr_hot))
		return 0;
	return atomic_load(&env->nr_cold) ? env->cold_at : ENV_FOREVER;
}
