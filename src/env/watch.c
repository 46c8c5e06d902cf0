/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Watches: one thread in the process, started with the first one, tells when a
 * client's file becomes readable. It never ends.
 *
 * Locks: a strand's is outer, the list's inner. The thread finds a strand
 * through the list, so it only tries the strand's lock; what it could not run
 * stays due and is tried again a millisecond later. A watch in the list keeps
 * its strand alive, because env_watch_del() needs both locks; so a callback
 * must not delete its own watch.
 */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include <ferry/env.h>

#define RETRY_MS 1

struct watch {
	struct env_watch *w;
	uint64_t cookie;
	bool due;
	struct list link;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct list watches = LIST_INIT(watches);
static uint64_t next_cookie = 1;
static int epoll_fd = -1, start_err;

static struct watch *find(uint64_t cookie)
{
	struct watch *x;

	list_for_each(x, &watches, link)
		if (x->cookie == cookie)
			return x;
	return NULL;
}

/* Run one that is due and whose strand is free. false: none. */
static bool run_one(void)
{
	struct env_watch *w = NULL;
	struct env_strand *st = NULL;
	struct watch *x;

	pthread_mutex_lock(&lock);
	list_for_each(x, &watches, link)
		if (x->due && !pthread_mutex_trylock(&x->w->st->lock)) {
			x->due = false;
			w = x->w;
			st = w->st;
			break;
		}
	pthread_mutex_unlock(&lock);
	if (!w)
		return false;
	w->fn(w);
	/* Unlocking looks at the env; it is not destroyed before env_watch_del() had our lock. */
	pthread_mutex_lock(&lock);
	env_strand_unlock(st);
	pthread_mutex_unlock(&lock);
	return true;
}

static bool any_due(void)
{
	struct watch *x;
	bool any = false;

	pthread_mutex_lock(&lock);
	list_for_each(x, &watches, link)
		any |= x->due;
	pthread_mutex_unlock(&lock);
	return any;
}

static void *watch_main(void *arg)
{
	struct epoll_event ev[16];

	for (;;) {
		int i, n = epoll_wait(epoll_fd, ev, ARRAY_SIZE(ev), any_due() ? RETRY_MS : -1);

		pthread_mutex_lock(&lock);
		for (i = 0; i < n; i++) {
			struct watch *x = find(ev[i].data.u64);

			if (x)
				x->due = true;
		}
		pthread_mutex_unlock(&lock);
		while (run_one())
			;
	}
	return arg;
}

static void start(void)
{
	pthread_attr_t attr;
	sigset_t all, was;
	pthread_t t;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0) {
		start_err = -errno;
		return;
	}
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	start_err = -pthread_create(&t, &attr, watch_main, NULL);
	if (!start_err)
		pthread_setname_np(t, "ferry-watch");
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	pthread_attr_destroy(&attr);
}

int env_watch_add(struct env_watch *w)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct watch *x;
	int ret = 0;

	pthread_once(&once, start);
	if (start_err)
		return start_err;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	x->w = w;
	x->cookie = w->cookie = next_cookie++;
	list_add_tail(&watches, &x->link);
	ev.data.u64 = x->cookie;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0) {
		ret = -errno;
		list_del(&x->link);
		w->cookie = 0;
		free(x);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void env_watch_del(struct env_watch *w)
{
	struct watch *x;

	if (!w->cookie)
		return;
	pthread_mutex_lock(&lock);
	x = find(w->cookie);
	if (x) {
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
		list_del(&x->link);
		free(x);
	}
	w->cookie = 0;
	pthread_mutex_unlock(&lock);
}
