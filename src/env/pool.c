/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Threads that block so that a worker need not: all I/O of the epoll loop, and
 * of the io_uring loop what io_uring has no operation for. A thread is started
 * when a job finds no idle one, up to POOL_MAX; none is while nothing is asked.
 */
#include <signal.h>

#include "env/loop.h"

#define POOL_MAX 8
#define POOL_STACK ((size_t)256 * 1024)

struct pool {
	struct ferry_env *env;
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* Under @lock. */
	struct list jobs;		/* env_io.link */
	unsigned int nr_jobs, nr_idle, nr_threads;
	bool stop;
	pthread_t threads[POOL_MAX];
};

void thread_signals_block(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGILL);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	pthread_setname_np(pthread_self(), "ferry-io");
	pthread_mutex_lock(&p->lock);
	while (!p->stop || p->nr_jobs) {
		struct env_io *io;

		if (!p->nr_jobs) {
			p->nr_idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->nr_idle--;
			continue;
		}
		io = list_first(&p->jobs, struct env_io, link);
		list_del(&io->link);
		p->nr_jobs--;
		pthread_mutex_unlock(&p->lock);
		io_complete(p->env, io, io_do(io));
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* A new thread inherits the mask, so that no signal meets it unprepared. */
static int pool_grow_locked(struct pool *p)
{
	pthread_attr_t attr;
	sigset_t old;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, POOL_STACK);
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	thread_signals_block();
	err = pthread_create(&p->threads[p->nr_threads], &attr, pool_thread, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		p->nr_threads++;
	return -err;
}

void pool_submit(struct pool *p, struct env_io *io)
{
	int err = 0;

	pthread_mutex_lock(&p->lock);
	if (p->nr_jobs >= p->nr_idle && p->nr_threads < POOL_MAX)
		err = pool_grow_locked(p);
	if (!err || p->nr_threads) {
		err = 0;
		list_add_tail(&p->jobs, &io->link);
		p->nr_jobs++;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	if (err)
		io_complete(p->env, io, err);
}

int pool_create(struct ferry_env *env, struct pool **pool)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->env = env;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	list_init(&p->jobs);
	*pool = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	unsigned int i;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->nr_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
