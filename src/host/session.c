/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Sessions: the programs that `ferry run` has started on this host. A session
 * ends when the last task of its program is gone; the frontend says so from a
 * thread of its own, and a task frees it.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "host/host.h"

#define STOP_TERM_MS 2000	/* from SIGTERM to SIGKILL */
#define STOP_KILL_MS 1000	/* from SIGKILL to closing the listener */

struct host_session {
	struct list link;
	struct host *h;
	struct uapi_session *uapi;
	int pidfd;			/* -1: could not be had */
	pid_t pid;
	char program[64];
	struct host_task task;
};

static void session_free(struct host_session *s)
{
	uapi_session_stop(s->uapi);
	list_del(&s->link);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s);
}

static void session_over(struct host_task *t)
{
	session_free(container_of(t, struct host_session, task));
}

static void session_ended(void *arg, struct uapi_session *uapi)
{
	struct host_session *s = arg;

	host_task_queue(s->h, &s->task);
}

int host_session_start(struct host *h, const struct host_attach *a, struct ferry_err *err)
{
	struct host_session *s = calloc(1, sizeof(*s));
	struct uapi_session_config cfg = {
		.listener = a->listener, .broker = a->broker, .trace = a->trace, .pid = a->pid,
		.ended = session_ended, .arg = s,
	};
	int ret;

	if (!s)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	s->h = h;
	s->pid = a->pid;
	s->task.fn = session_over;
	list_init(&s->task.link);
	snprintf(s->program, sizeof(s->program), "%s", a->program);
	s->pidfd = (int)syscall(SYS_pidfd_open, a->pid, 0);
	ret = uapi_session_start(&h->uapi, &cfg, &s->uapi, err);
	if (ret < 0) {
		if (s->pidfd >= 0)
			close(s->pidfd);
		free(s);
		return ret;
	}
	list_add_tail(&h->sessions, &s->link);
	return 0;
}

json_object *host_session_list(struct host *h)
{
	json_object *list = json_object_new_array(), *o;
	struct uapi_session_info info;
	struct host_session *s;

	list_for_each(s, &h->sessions, link) {
		uapi_session_info(s->uapi, &info);
		o = json_object_new_object();
		json_object_object_add(o, "pid", json_object_new_int(s->pid));
		json_object_object_add(o, "program", json_object_new_string(s->program));
		json_object_object_add(o, "calls", json_object_new_uint64(info.calls));
		json_object_object_add(o, "mean_ns", json_object_new_uint64(info.mean_ns));
		json_object_object_add(o, "open_files", json_object_new_uint64(info.open_files));
		json_object_object_add(o, "sync_wakeup", json_object_new_boolean(info.sync_wakeup));
		json_object_array_add(list, o);
	}
	return list;
}

static void signal_all(struct host *h, int sig)
{
	struct host_session *s;

	list_for_each(s, &h->sessions, link)
		if (s->pidfd >= 0)
			(void)syscall(SYS_pidfd_send_signal, s->pidfd, sig, NULL, 0);
}

static void wait_for_end(struct host *h, int ms)
{
	struct timespec now;
	int64_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + ms;
	while (!list_empty(&h->sessions)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec * 1000 + now.tv_nsec / 1000000 >= end)
			return;
		host_step(h, 50);
	}
}

void host_session_stop_all(struct host *h)
{
	struct host_session *s, *tmp;

	signal_all(h, SIGTERM);
	wait_for_end(h, STOP_TERM_MS);
	signal_all(h, SIGKILL);
	wait_for_end(h, STOP_KILL_MS);
	list_for_each_safe(s, tmp, &h->sessions, link)
		session_free(s);
}
