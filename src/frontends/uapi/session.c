/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A session: one program under one listener. The receiver waits in the
 * listener's own ioctl, which is what lets caller and receiver share a core,
 * and never for anything that the program would have to do; slow calls are
 * answered later. The end is noticed by the watcher: the listener hangs up
 * before the last files of the program are closed, so it goes on reading
 * releases for a while.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "session.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define KICK_SIGNAL SIGURG
#define RELEASE_WAIT_MS 2000u	/* from hang-up to closing what nobody released */
#define CLOSE_WAIT_MS 10000u	/* until closes must be over */
#define KICK_MS 5

_Thread_local struct uapi_session *session_receiving;

void session_wake(struct uapi_session *s)
{
	uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) < 0) {
		/* saturated: it is awake */
	}
}

/* Faults in copies of client memory must stay deliverable. */
static void block_signals(bool kickable)
{
	static const int keep[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT };
	sigset_t set;
	size_t i;

	sigfillset(&set);
	for (i = 0; i < ARRAY_SIZE(keep); i++)
		sigdelset(&set, keep[i]);
	if (kickable)
		sigdelset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

/* ----------------------------------------------------------------- receiver */

static bool hung_up(struct uapi_session *s)
{
	struct pollfd p = { .fd = s->cfg.listener };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* What we don't know how to serve goes on natively; what would then reach a bare memfd fails. */
static void refuse(struct uapi_session *s)
{
	bool path = uapi_path_call(s->nb.req->data.nr);

	notif_send(s->cfg.listener, NULL, s->nb.req->id, path ? 0 : -ENOMEM,
		   path ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0);
}

static void run_call(struct uapi_session *s)
{
	const struct seccomp_notif *n = s->nb.req;
	struct uapi_call *c = n->pid ? call_alloc(s) : NULL;

	if (!c) {
		refuse(s);
		return;
	}
	c->id = n->id;
	c->tid = (pid_t)n->pid;
	c->nr = n->data.nr;
	memcpy(c->args, n->data.args, sizeof(c->args));
	c->started = session_now();
	call_finish(c, syscall_run(c));
}

static void *receiver_main(void *arg)
{
	struct uapi_session *s = arg;

	block_signals(true);
	session_receiving = s;
	while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
		struct pollfd p = { .fd = s->cfg.listener, .events = POLLIN };
		int ret;

		if (s->poll_first && poll(&p, 1, -1) > 0 && !(p.revents & POLLIN))
			break;
		ret = notif_recv(s->cfg.listener, &s->nb);
		if (!ret)
			run_call(s);
		else if (ret != -EINTR && (ret != -ENOENT || hung_up(s)))
			break;
	}
	atomic_store(&s->receiver_done, true);
	session_wake(s);
	return NULL;
}

/* ------------------------------------------------------------------ watcher */

static void finish_calls(struct uapi_session *s)
{
	for (;;) {
		struct uapi_call *c = NULL;

		pthread_mutex_lock(&s->lock);
		if (!list_empty(&s->finish)) {
			c = list_first(&s->finish, struct uapi_call, link);
			list_del(&c->link);
		}
		pthread_mutex_unlock(&s->lock);
		if (!c)
			return;
		call_finish(c, c->result);
	}
}

static bool all_released(struct uapi_session *s)
{
	bool done;

	pthread_mutex_lock(&s->lock);
	done = !s->nr_objects && !s->nr_pending;
	pthread_mutex_unlock(&s->lock);
	return done && atomic_load(&s->receiver_done);
}

/* Milliseconds until something must be done without an event. */
static int watch_timeout(uint64_t ended_at, bool forced)
{
	uint64_t due, now = session_now() / 1000000;

	if (!ended_at)
		return -1;
	due = ended_at + (forced ? RELEASE_WAIT_MS + CLOSE_WAIT_MS : RELEASE_WAIT_MS);
	return due > now ? (int)MIN(due - now, 100) : 0;
}

/* Runs until nothing of the program is left; false: something never came back. */
static bool watch(struct uapi_session *s)
{
	struct pollfd p[3] = {
		{ .fd = s->inotify, .events = POLLIN },
		{ .fd = s->wake, .events = POLLIN },
		{ .fd = s->cfg.listener },
	};
	uint64_t ended_at = 0, n;
	bool forced = false;

	for (;;) {
		if (poll(p, 3, watch_timeout(ended_at, forced)) < 0 && errno != EINTR)
			return false;
		if (p[1].revents && read(s->wake, &n, sizeof(n)) < 0)
			return false;
		finish_calls(s);
		objects_drain(s);
		if (!ended_at && ((p[2].revents & (POLLHUP | POLLERR)) || atomic_load(&s->stopping))) {
			ended_at = session_now() / 1000000;
			p[2].fd = -1;
		}
		if (!ended_at)
			continue;
		if (!forced && (atomic_load(&s->stopping) || !watch_timeout(ended_at, false)))
			forced = true;
		if (forced)	/* again and again: the receiver may have been making one */
			objects_release_all(s);
		if (all_released(s))
			return true;
		if (forced && !watch_timeout(ended_at, true))
			return false;
	}
}

static void session_free(struct uapi_session *s);

static void *watcher_main(void *arg)
{
	struct uapi_session *s = arg;

	block_signals(false);
	s->clean = watch(s);
	if (!s->clean)
		log_msg(LOG_WARN, "uapi: pid %d: %u open files and %u calls did not come to an end: abandoned",
			s->cfg.pid, objects_count(s), s->nr_pending);
	if (!atomic_load(&s->stopping) && s->cfg.ended)
		s->cfg.ended(s->cfg.arg, s);
	if (s->stop_from_ended) {
		pthread_detach(pthread_self());
		session_free(s);
	}
	return NULL;
}

/* -------------------------------------------------------------- start, stop */

static void kick_handler(int sig)
{
}

/* Without SA_RESTART: the receiver's wait ends. */
static void kick_prepare(void)
{
	struct sigaction sa = { .sa_handler = kick_handler }, old;

	if (!sigaction(KICK_SIGNAL, NULL, &old) &&
	    (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN))
		sigaction(KICK_SIGNAL, &sa, NULL);
}

/* A signal that comes just before the wait is lost: again, until it has effect. */
static bool kick_receiver(struct uapi_session *s)
{
	uint64_t end = session_now() + 2000000000u;

	while (!atomic_load(&s->receiver_done)) {
		struct timespec ts = { .tv_nsec = KICK_MS * 1000000L };

		if (session_now() > end)
			return false;
		pthread_kill(s->receiver, KICK_SIGNAL);
		nanosleep(&ts, NULL);
	}
	return true;
}

/* Threads are gone or nothing is freed: what a parked thread may still touch stays for ever. */
static void session_free(struct uapi_session *s)
{
	if (!s->clean || !kick_receiver(s)) {
		log_msg(LOG_WARN, "uapi: pid %d: a thread of the session is stuck in the program's memory", s->cfg.pid);
		pthread_detach(s->receiver);
		return;
	}
	pthread_join(s->receiver, NULL);
	env_stop(s->env);
	env_destroy(s->env);
	while (!list_empty(&s->free_calls)) {
		struct uapi_call *c = list_first(&s->free_calls, struct uapi_call, link);

		list_del(&c->link);
		free(c);
	}
	eventfd_release(s);
	cwd_release(s);
	ident_release(s);
	client_mem_put(s->cm);
	notif_buf_release(&s->nb);
	close(s->inotify);
	close(s->wake);
	close(s->cfg.listener);
	base_close_fd(&s->cfg.trace);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->drain_lock);
	free(s);
}

void uapi_session_stop(struct uapi_session *s)
{
	if (pthread_equal(pthread_self(), s->watcher)) {
		s->stop_from_ended = true;
		return;
	}
	atomic_store(&s->stopping, true);
	kick_receiver(s);
	session_wake(s);
	pthread_join(s->watcher, NULL);
	session_free(s);
}

/* Facts about the program, the kernel and the tree. */
static int session_learn(struct uapi_session *s, struct ferry_err *err)
{
	struct rlimit r = { 1024, 1024 };
	char link[40];
	ssize_t n;
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", s->host->root_fd);
	n = readlink(link, s->root, sizeof(s->root) - 1);
	if (n <= 1)
		return ferry_err_set(err, ENOENT, "E-RUN-TREE", NULL, "no shadow tree");
	s->root[n] = '\0';
	if (prlimit(s->cfg.pid, RLIMIT_NOFILE, NULL, &r))
		return ferry_err_set(err, errno, "E-RUN-REACH",
				     "the daemon must run as the user who runs the program",
				     "can't look into process %d: %m", s->cfg.pid);
	s->window = uapi_window_of(r.rlim_cur);
	s->next_fd = s->window.lo;
	s->launcher = proc_parent(s->cfg.pid);
	s->poll_first = !kernel_at_least(6, 11);
	s->sync_wakeup = !notif_sync_wakeup(s->cfg.listener);
	if (!s->sync_wakeup)
		log_msg(LOG_WARN, "uapi: this kernel has no synchronous wake-up: trapped calls are about 20 times slower (Linux 6.6 has it)");
	fd = (int)syscall(__NR_pidfd_open, syscall(__NR_gettid), PIDFD_THREAD);
	s->pidfd_thread = fd >= 0;
	base_close_fd(&fd);
	atomic_store(&s->cm->no_getfd, uapi_getfd_denied() != 0);
	return 0;
}

static int session_init(struct uapi_session *s, struct ferry_err *err)
{
	size_t i;
	int ret;

	for (i = 0; i < OBJECT_BUCKETS; i++) {
		list_init(&s->by_ino[i]);
		list_init(&s->by_wd[i]);
	}
	for (i = 0; i < PIDFD_CACHE; i++)
		s->pidfds[i].pidfd = -1;
	list_init(&s->released);
	list_init(&s->free_calls);
	list_init(&s->finish);
	list_init(&s->cwds);
	list_init(&s->eventfds);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->drain_lock, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->wake < 0 || s->inotify < 0)
		return ferry_err_set(err, errno, "E-RUN-INOTIFY",
				     "raise fs.inotify.max_user_instances, or the limit on open files",
				     "can't watch the program's files: %m");
	s->cm = client_mem_alloc(s->cfg.broker);
	ret = s->cm ? notif_buf_init(&s->nb) : -ENOMEM;
	if (ret)
		return ferry_err_set(err, -ret, "E-RUN-SECCOMP", NULL, "can't prepare for notifications: %s", strerror(-ret));
	ret = session_learn(s, err);
	if (ret)
		return ret;
	ret = env_create(s->host->kind, &s->env);
	if (ret)
		return ferry_err_set(err, -ret, "E-RUN-WORKER", NULL, "can't make a worker: %s", strerror(-ret));
	return 0;
}

static int session_threads(struct uapi_session *s, struct ferry_err *err)
{
	sigset_t all, old;
	int ret;

	ret = env_start(s->env, "ferry-client");
	if (ret)
		return ferry_err_set(err, -ret, "E-RUN-WORKER", NULL, "can't start a worker: %s", strerror(-ret));
	kick_prepare();
	/* They are born with every signal blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&s->watcher, NULL, watcher_main, s);
	if (!ret) {
		ret = pthread_create(&s->receiver, NULL, receiver_main, s);
		if (ret) {
			/* The watcher alone: let it end. */
			atomic_store(&s->receiver_done, true);
			atomic_store(&s->stopping, true);
			session_wake(s);
			pthread_join(s->watcher, NULL);
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		env_stop(s->env);
		return ferry_err_set(err, ret, "E-RUN-THREAD", NULL, "pthread_create: %s", strerror(ret));
	}
	return 0;
}

int session_start(const struct uapi_host *h, const struct uapi_nodes *nodes,
		  const struct uapi_session_config *cfg, struct uapi_session **out,
		  struct ferry_err *err)
{
	struct uapi_session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return ferry_err_set(err, ENOMEM, "E-NOMEM", NULL, "out of memory");
	s->wake = s->inotify = -1;
	s->host = h;
	s->nodes = nodes;
	s->cfg = *cfg;
	ret = session_init(s, err);
	if (!ret)
		ret = session_threads(s, err);
	if (!ret) {
		*out = s;
		return 0;
	}
	if (s->env)
		env_destroy(s->env);
	if (s->cm) {
		s->cm->broker = -1;	/* the caller's still */
		client_mem_put(s->cm);
	}
	notif_buf_release(&s->nb);
	base_close_fd(&s->inotify);
	base_close_fd(&s->wake);
	free(s);
	return ret;
}

void uapi_session_info(struct uapi_session *s, struct uapi_session_info *info)
{
	uint64_t n = atomic_load_explicit(&s->nr_answered, memory_order_relaxed);
	uint64_t ns = atomic_load_explicit(&s->sum_ns, memory_order_relaxed);

	*info = (struct uapi_session_info){
		.pid = s->cfg.pid,
		.calls = n,
		.mean_ns = n ? ns / n : 0,
		.open_files = objects_count(s),
		.sync_wakeup = s->sync_wakeup,
	};
}
