/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The caretaker: what the launcher does with the program when the daemon is
 * gone. Calls that are none of ours go on, so that the program's other work
 * does; the rest waits for the end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "launcher.h"
#include "path.h"
#include "notif.h"

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Links of the shadow tree hold directories of ours; memfds may be our objects. */
static bool fd_may_be_ours(pid_t tid, int fd)
{
	char path[64], text[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, fd);
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	return !strncmp(text, "/memfd:", 7);
}

/* Relative paths are waited for only where the base is known to be ours, which it is not: they go on. */
static bool path_may_be_ours(const struct seccomp_notif *n)
{
	unsigned int arg = path_arg_of(n->data.nr, NULL);
	char raw[PATH_MAX], clean[PATH_MAX];
	uint64_t addr = n->data.args[arg];
	size_t have = 0;

	while (have < sizeof(raw)) {
		size_t len = MIN(sizeof(raw) - have, 4096 - (size_t)((addr + have) & 4095));
		struct iovec local = { raw + have, len };
		struct iovec remote = { (void *)(uintptr_t)(addr + have), len };
		ssize_t got = process_vm_readv((pid_t)n->pid, &local, 1, &remote, 1, 0);

		if (got <= 0)
			return false;
		if (memchr(raw + have, 0, (size_t)got))
			return path_clean(clean, sizeof(clean), raw) >= 0 && uapi_path_is_ours(clean);
		have += (size_t)got;
	}
	return false;
}

static bool may_go_on(const struct seccomp_notif *n)
{
	int nr = n->data.nr;

	if (nr == __NR_getcwd || nr == __NR_eventfd || nr == __NR_eventfd2)
		return true;
	if (uapi_path_call(nr))
		return !path_may_be_ours(n);
	if (nr == __NR_write && n->data.args[0] <= 2)
		return !fd_may_be_ours((pid_t)n->pid, (int)n->data.args[0]);
	return false;
}

void caretaker_run(int listener, unsigned int ms)
{
	uint64_t end = now_ms() + ms, now;
	struct notif_buf nb;

	if (notif_buf_init(&nb))
		return;
	while ((now = now_ms()) < end) {
		struct pollfd p = { .fd = listener, .events = POLLIN };

		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			break;
		if (p.revents & POLLIN) {
			if (!notif_recv(listener, &nb) && may_go_on(nb.req))
				notif_send(listener, &nb, nb.req->id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
		} else if (p.revents) {
			break;
		}
	}
	notif_buf_release(&nb);
}

static bool kill_children(void)
{
	pid_t self = getpid();
	struct dirent *e;
	DIR *d = opendir("/proc");
	bool any = false;

	while (d && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && proc_parent(pid) == self && !kill(pid, SIGKILL))
			any = true;
	}
	if (d)
		closedir(d);
	return any;
}

/* Orphans become our children: each round kills one generation. */
void tree_kill(pid_t pid, int *status)
{
	pid_t got;
	int st;

	while (kill_children()) {
		while ((got = waitpid(-1, &st, 0)) > 0 || (got < 0 && errno == EINTR)) {
			if (got == pid)
				*status = st;
			kill_children();
		}
	}
}
