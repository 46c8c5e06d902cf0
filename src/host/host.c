/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The host as a whole: its runtime folder, what it is made of, its control
 * loop. One daemon per name is made sure by a lock on a file that is removed
 * at the end; whoever takes the lock of a removed file looks again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "host/ownership.h"
#include <ferry/nvme_driver.h>

#include "host/paths.h"
#include "host/rpc.h"

#define LOCK_TRIES 20
#define SWEEP_AGE_S 60
#define APART_STEPS 200		/* turns of 50 ms that functions get to come apart at the end */

/* --------------------------------------------------------- runtime folder */

/* 1: locked. 0: somebody removed the folder meanwhile, try again. */
static int lock_once(struct host *h, struct ferry_err *err)
{
	struct stat ours, there;

	if (mkdir(h->run_dir, 0700) < 0 && errno != EEXIST)
		return errno == ENOENT ? 0 : ferry_err_set(err, errno, "E-RUN-DIR", NULL,
							   "cannot make %s: %s", h->run_dir,
							   strerror(errno));
	h->run_fd = open(h->run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (h->run_fd < 0)
		return errno == ENOENT ? 0 : ferry_err_set(err, errno, "E-RUN-DIR", NULL, "%s: %s",
							   h->run_dir, strerror(errno));
	h->lock_fd = openat(h->run_fd, PATHS_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (h->lock_fd >= 0 && flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return ferry_err_set(err, EBUSY, "E-HOST-RUNNING", "choose another --host",
				     "a host named %s runs already (%s)", h->name, h->run_dir);
	if (h->lock_fd >= 0 && !fstat(h->lock_fd, &ours) &&
	    !fstatat(h->run_fd, PATHS_LOCK, &there, AT_SYMLINK_NOFOLLOW) &&
	    ours.st_ino == there.st_ino && !stat(h->run_dir, &there))
		return 1;
	if (h->lock_fd < 0 && errno != ENOENT)
		return ferry_err_set(err, errno, "E-RUN-DIR", NULL, "%s/" PATHS_LOCK ": %s", h->run_dir,
				     strerror(errno));
	return 0;
}

static void run_dir_close(struct host *h)
{
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	if (h->run_fd >= 0)
		close(h->run_fd);
	h->lock_fd = h->run_fd = -1;
}

/* A private host (ferry run --new-host) that was killed: nobody will ever use its name again. */
static void remove_if_dead(int base, const char *name)
{
	auto_close int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int lock = dir < 0 ? -1 : openat(dir, PATHS_LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	/* A young one may be between making the file and locking it. */
	if (lock >= 0 && !fstat(lock, &st) && time(NULL) - st.st_mtime > SWEEP_AGE_S &&
	    !flock(lock, LOCK_EX | LOCK_NB))
		(void)paths_remove(base, name);
}

static void run_dirs_sweep(const char *base)
{
	struct dirent *e;
	DIR *d = opendir(base);

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, PATHS_PRIVATE, strlen(PATHS_PRIVATE)))
			remove_if_dead(dirfd(d), e->d_name);
	if (d)
		closedir(d);
}

static int run_dir_open(struct host *h, struct ferry_err *err)
{
	char base[sizeof(h->run_dir) - HOST_NAME_MAX_LEN - 1];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < LOCK_TRIES && !ret; i++) {
		ret = paths_base(base, sizeof(base), true, err);
		if (ret < 0)
			return ret;
		snprintf(h->run_dir, sizeof(h->run_dir), "%s/%s", base, h->name);
		snprintf(h->root, sizeof(h->root), "%s/root", h->run_dir);
		ret = lock_once(h, err);
		if (ret <= 0)
			run_dir_close(h);
	}
	if (!ret)
		ret = ferry_err_set(err, EAGAIN, "E-RUN-DIR", NULL, "%s keeps being removed", h->run_dir);
	if (ret < 0)
		return ret;
	run_dirs_sweep(base);
	/* What a daemon that died has left. */
	if (paths_remove(h->run_fd, PATHS_SOCKET) < 0 || paths_remove(h->run_fd, "root") < 0) {
		ret = ferry_err_set(err, EBUSY, "E-RUN-DIR", "remove it", "%s holds what cannot be removed",
				    h->run_dir);
		run_dir_close(h);
		return ret;
	}
	return 0;
}

static void run_dir_remove(struct host *h)
{
	char *slash;

	(void)paths_remove(h->run_fd, PATHS_SOCKET);
	(void)paths_remove(h->run_fd, "root");
	(void)paths_remove(h->run_fd, PATHS_LOCK);
	(void)rmdir(h->run_dir);
	slash = strrchr(h->run_dir, '/');
	*slash = '\0';
	(void)rmdir(h->run_dir);	/* fails while other hosts run */
	run_dir_close(h);
}

/* ------------------------------------------------------------------- loop */

void host_task_queue(struct host *h, struct host_task *t)
{
	uint64_t one = 1;

	pthread_mutex_lock(&h->task_lock);
	if (list_empty(&t->link))
		list_add_tail(&h->tasks, &t->link);
	pthread_mutex_unlock(&h->task_lock);
	if (write(h->wake_fd, &one, sizeof(one)) < 0) {
		/* full: awake already */
	}
}

static void run_tasks(struct host *h)
{
	struct list todo;
	uint64_t n;

	if (read(h->wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&h->task_lock);
	/* Those that are queued while these run wait for the next turn. */
	todo = h->tasks;
	if (list_empty(&h->tasks)) {
		list_init(&todo);
	} else {
		todo.next->prev = &todo;
		todo.prev->next = &todo;
		list_init(&h->tasks);
	}
	while (!list_empty(&todo)) {
		struct host_task *t = list_first(&todo, struct host_task, link);

		list_del(&t->link);
		pthread_mutex_unlock(&h->task_lock);
		t->fn(t);
		pthread_mutex_lock(&h->task_lock);
	}
	pthread_mutex_unlock(&h->task_lock);
}

/* Only the same user and root may come in; the folder's mode says so too. */
static void accept_one(struct host *h)
{
	auto_close int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    (cred.uid && cred.uid != geteuid()) || h->nr_conns >= RPC_CONNS_MAX)
		return;
	if (!rpc_conn_add(h, fd))
		take_fd(&fd);
}

void host_step(struct host *h, int timeout_ms)
{
	struct epoll_event ev;

	/* One at a time: what one event does may free the connection of another. */
	if (epoll_wait(h->epoll_fd, &ev, 1, timeout_ms) != 1)
		return;
	if (ev.data.ptr == &h->listen_fd)
		accept_one(h);
	else if (ev.data.ptr == &h->wake_fd)
		run_tasks(h);
	else
		rpc_conn_event(ev.data.ptr, ev.events);
}

static int loop_init(struct host *h, struct ferry_err *err)
{
	struct epoll_event listen_ev = { .events = EPOLLIN, .data.ptr = &h->listen_fd };
	struct epoll_event wake_ev = { .events = EPOLLIN, .data.ptr = &h->wake_fd };

	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->epoll_fd < 0 || h->wake_fd < 0 ||
	    epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &wake_ev) < 0)
		return ferry_err_set(err, errno, "E-SYSTEM", NULL, "control loop: %s", strerror(errno));
	h->listen_fd = paths_listen(h->run_fd);
	if (h->listen_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->listen_fd, &listen_ev) < 0)
		return ferry_err_set(err, errno, "E-SYSTEM", NULL, "%s/" PATHS_SOCKET ": %s", h->run_dir,
				     strerror(errno));
	return 0;
}

static void loop_release(struct host *h)
{
	rpc_conn_close_all(h);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
}

/* ---------------------------------------------------------- create, destroy */

static int worker_start(struct host *h, int kind, struct ferry_err *err)
{
	int ret;

	h->kind = kind >= 0 ? (enum env_kind)kind : env_uring_usable() < 0 ? ENV_EPOLL : ENV_URING;
	ret = env_create(h->kind, &h->env);
	if (ret < 0)
		return ferry_err_set(err, -ret, "E-ENV", "use --env epoll", "cannot start the worker: %s",
				     strerror(-ret));
	ret = env_start(h->env, "ferry-worker");
	if (ret < 0) {
		env_destroy(h->env);
		return ferry_err_set(err, -ret, "E-ENV", NULL, "cannot start the worker: %s",
				     strerror(-ret));
	}
	return 0;
}

static struct host *host_alloc(const char *name)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->run_fd = h->lock_fd = h->root_fd = h->epoll_fd = h->listen_fd = h->wake_fd = -1;
	list_init(&h->namespaces);
	list_init(&h->functions);
	list_init(&h->sessions);
	list_init(&h->dynids);
	list_init(&h->conns);
	list_init(&h->tasks);
	pthread_mutex_init(&h->task_lock, NULL);
	return h;
}

int host_create(const char *name, int kind, struct host **out, struct ferry_err *err)
{
	struct host *h;
	int ret;

	if (!paths_name_ok(name))
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE",
				     "use letters, digits, and . _ - inside; at most 63",
				     "%.100s cannot be the name of a host", name);
	h = host_alloc(name);
	if (!h)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	ret = run_dir_open(h, err);
	if (ret < 0)
		goto err_free;
	ret = worker_start(h, kind, err);
	if (ret < 0)
		goto err_dir;
	vfio_host_init(&h->vfio, h->env);
	ret = host_ownership_init(h, err);
	if (ret < 0)
		goto err_vfio;
	(void)pci_driver_register(&h->vfio.bus, &nvme_driver);
	(void)pci_driver_register(&h->vfio.bus, &nvme_vfio_pci_driver);
	(void)pci_driver_register(&h->vfio.bus, &vfio_pci_driver);
	ret = host_sysfs_init(h, err);
	if (ret < 0)
		goto err_vfio;
	h->uapi = (struct uapi_host){ .vfio = &h->vfio, .root = h->root, .root_fd = h->root_fd,
				      .kind = h->kind, .attr_store = host_attr_store, .arg = h };
	ret = loop_init(h, err);
	if (ret < 0)
		goto err_loop;
	*out = h;
	return 0;

err_loop:
	loop_release(h);
	host_sysfs_release(h);
err_vfio:
	host_ownership_release(h);
	vfio_host_release(&h->vfio);
	env_stop(h->env);
	env_destroy(h->env);
err_dir:
	run_dir_remove(h);
err_free:
	pthread_mutex_destroy(&h->task_lock);
	free(h);
	return ret;
}

static void apart_done(void *arg, const struct ferry_err *err)
{
	if (err)
		log_msg(LOG_WARN, "%s", err->msg);
}

/* Returns whether all functions are gone; what still has requests in flight is left alone. */
static bool functions_release(struct host *h)
{
	struct host_fn *hf, *tmp;
	unsigned int i;

	list_for_each_safe(hf, tmp, &h->functions, link)
		if (!hf->changing)
			(void)host_fn_take_apart(h, hf, apart_done, NULL, NULL);
	for (i = 0; i < APART_STEPS && !list_empty(&h->functions); i++)
		host_step(h, 50);
	return list_empty(&h->functions);
}

static bool tasks_waiting(struct host *h)
{
	bool any;

	pthread_mutex_lock(&h->task_lock);
	any = !list_empty(&h->tasks);
	pthread_mutex_unlock(&h->task_lock);
	return any;
}

/* Replies and other leftovers: what is queued, and what that queues. */
static void tasks_drain(struct host *h)
{
	while (tasks_waiting(h))
		run_tasks(h);
}

void host_destroy(struct host *h)
{
	struct host_ns *ns, *tmp;
	struct host_dynid *d, *next;

	tasks_drain(h);
	host_session_stop_all(h);
	if (!functions_release(h)) {
		/* A client that cannot be got rid of holds memory of ours: the end of the process frees it. */
		log_msg(LOG_WARN, "host %s: some functions were still in use", h->name);
		run_dir_remove(h);
		return;
	}
	tasks_drain(h);
	list_for_each_safe(ns, tmp, &h->namespaces, link)
		host_ns_free(ns);
	list_for_each_safe(d, next, &h->dynids, link)
		free(d);
	host_ownership_release(h);
	loop_release(h);
	host_sysfs_release(h);
	vfio_host_release(&h->vfio);
	env_stop(h->env);
	env_destroy(h->env);
	run_dir_remove(h);
	pthread_mutex_destroy(&h->task_lock);
	free(h);
}
