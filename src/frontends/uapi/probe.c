/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What this machine can do for us, each thing tried and not guessed. What
 * needs a task under a filter is tried in children that end at once.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "launcher.h"
#include "notif.h"
#include "uapi.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* A child under a filter that traps getppid, and its listener. */
struct tried {
	pid_t pid;
	int listener;	/* or -errno */
	int sock;
};

static const struct sock_filter trap_getppid[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int marker = 0x46455252;	/* read from the child */

__attribute__((noreturn))
static void tried_child(int sock)
{
	int ret, listener;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ret = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
	prctl(PR_SET_PTRACER, (unsigned long)-1, 0, 0, 0);
	listener = ret ? ret : uapi_filter_install(trap_getppid, ARRAY_SIZE(trap_getppid));
	if (listener < 0)
		send(sock, &listener, sizeof(listener), MSG_NOSIGNAL);
	else
		fd_send(sock, listener);
	if (recv(sock, &go, 1, 0) == 1)
		syscall(__NR_getppid);
	_exit(0);
}

static void tried_start(struct tried *t)
{
	int sv[2], err;
	struct pollfd p;

	*t = (struct tried){ .pid = -1, .listener = -ENOSYS, .sock = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return;
	t->pid = fork();
	if (!t->pid) {
		close(sv[1]);
		tried_child(sv[0]);
	}
	close(sv[0]);
	t->sock = sv[1];
	p = (struct pollfd){ .fd = t->sock, .events = POLLIN };
	if (t->pid < 0 || poll(&p, 1, 5000) != 1)
		return;
	/* A bare errno is four bytes, a descriptor comes with one. */
	if (recv(t->sock, &err, sizeof(err), MSG_PEEK) == sizeof(err))
		t->listener = err;
	else
		t->listener = fd_recv(t->sock);
}

static void tried_end(struct tried *t)
{
	if (t->pid > 0) {
		kill(t->pid, SIGKILL);
		waitpid(t->pid, NULL, 0);
	}
	base_close_fd(&t->listener);
	base_close_fd(&t->sock);
}

static void probe_notify(struct uapi_probe *p, struct tried *t)
{
	p->err = t->listener < 0 ? -t->listener : 0;
	if (p->err == EBUSY)
		snprintf(p->detail, sizeof(p->detail), "this process runs under a listener already (ferry run, or a container manager): run outside");
	else if (p->err)
		snprintf(p->detail, sizeof(p->detail), "needs Linux 5.19 with CONFIG_SECCOMP_FILTER, and a container profile that allows seccomp");
}

static void probe_sync(struct uapi_probe *p, struct tried *t)
{
	p->err = t->listener < 0 ? ENOSYS : -notif_sync_wakeup(t->listener);
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "works, but about 20 times slower; Linux 6.6 has it");
}

static void probe_addfd(struct uapi_probe *p, struct tried *t)
{
	struct pollfd pfd = { .fd = t->listener, .events = POLLIN };
	struct notif_buf b = { 0 };
	int ret = -ENOSYS;

	if (t->listener >= 0 && send(t->sock, "", 1, MSG_NOSIGNAL) == 1 && poll(&pfd, 1, 5000) == 1)
		ret = notif_buf_init(&b);
	if (!ret)
		ret = notif_recv(t->listener, &b);
	if (!ret)
		ret = notif_addfd(t->listener, b.req->id, t->sock, -1, true);
	if (b.req)
		notif_buf_release(&b);
	p->err = ret < 0 ? -ret : 0;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "needs Linux 5.14");
}

static void probe_getfd(struct uapi_probe *p, struct tried *t)
{
	auto_close int pidfd = t->pid > 0 ? (int)syscall(__NR_pidfd_open, t->pid, 0) : -1;
	auto_close int fd = pidfd < 0 ? -1 : (int)syscall(__NR_pidfd_getfd, pidfd, 0, 0);

	p->err = fd >= 0 || errno == EBADF ? 0 : errno;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "eventfds are made for the program instead; a container needs --cap-add SYS_PTRACE or a newer profile to allow it");
}

static void probe_memory(struct uapi_probe *p, struct tried *t)
{
	int value = 0;
	struct iovec local = { &value, sizeof(value) }, remote = { &marker, sizeof(marker) };

	p->err = process_vm_readv(t->pid, &local, 1, &remote, 1, 0) == sizeof(value) ? 0 : errno;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "denied: allow process_vm_readv in the container's profile; /proc/PID/mem or the launcher is used instead");
}

static void probe_pidfd_thread(struct uapi_probe *p)
{
	auto_close int fd = (int)syscall(__NR_pidfd_open, syscall(__NR_gettid), PIDFD_THREAD);

	p->err = fd < 0 ? errno : 0;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "each new thread costs 4 us once; Linux 6.9 has it");
}

static void probe_openat2(struct uapi_probe *p)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	auto_close int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = (int)syscall(__NR_openat2, dir, "/proc", &how, sizeof(how));

	p->err = fd < 0 ? errno : 0;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "needs Linux 5.6, and a container profile that knows openat2");
}

static void probe_inotify(struct uapi_probe *p)
{
	auto_close int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	p->err = fd < 0 ? errno : 0;
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "one is used for each ferry run: raise fs.inotify.max_user_instances");
}

static void probe_memfd(struct uapi_probe *p)
{
	auto_close int fd = memfd_create("ferry-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	auto_close int wd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char link[40], event[512];
	int again;

	if (fd < 0 || ftruncate(fd, (off_t)16 << 40) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		p->err = errno;
		snprintf(p->detail, sizeof(p->detail), "can't make a sealed memory file of 16 TiB (sparse): is there a limit on file size?");
		return;
	}
	/* And its release is seen. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, O_RDWR | O_CLOEXEC);
	if (wd >= 0 && again >= 0 && inotify_add_watch(wd, link, IN_CLOSE) >= 0) {
		close(again);
		again = -1;
		if (read(wd, event, sizeof(event)) <= 0)
			p->err = ENOTSUP;
	} else {
		p->err = errno;
	}
	base_close_fd(&again);
	if (p->err)
		snprintf(p->detail, sizeof(p->detail), "the release of a memory file is not reported by inotify, or /proc is not there");
}

static void probe_nofile(struct uapi_probe *p)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r)) {
		p->err = errno;
		return;
	}
	p->err = r.rlim_max < 1024 ? EMFILE : 0;
	snprintf(p->detail, sizeof(p->detail), p->err ? "%lu: raise the hard limit on open files to 1024 or more" : "hard limit %lu",
		 r.rlim_max);
}

static void probe_yama(struct uapi_probe *p)
{
	char mode = '0';

	auto_close int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, &mode, 1) != 1)
		mode = '0';
	p->err = mode >= '2' ? EPERM : 0;
	snprintf(p->detail, sizeof(p->detail), fd < 0 ? "not there" : mode == '0' ? "ptrace_scope 0" :
		 mode == '1' ? "ptrace_scope 1: children of the program are reached through ferry run" :
		 "ptrace_scope %c: set kernel.yama.ptrace_scope to 1", mode);
}

/* A reply that comes too fast for a signalled caller is lost before this fix. */
static void probe_kernel(struct uapi_probe *p)
{
	struct utsname u = { 0 };

	uname(&u);
	if (!kernel_at_least(6, 18))
		snprintf(p->detail, sizeof(p->detail), "%.40s: unless the fix was taken over, a call may run twice when a signal hits it; Linux 6.18 has it", u.release);
	else
		snprintf(p->detail, sizeof(p->detail), "%.64s", u.release);
}

static struct uapi_probe *add(struct uapi_probe *p, unsigned int max, unsigned int *n,
			      const char *name, bool required)
{
	static struct uapi_probe spare;
	struct uapi_probe *e = *n < max ? &p[*n] : &spare;

	*e = (struct uapi_probe){ .name = name, .required = required };
	++*n;
	return e;
}

unsigned int uapi_probe_all(struct uapi_probe *p, unsigned int max)
{
	unsigned int n = 0;
	struct tried t;

	tried_start(&t);
	probe_notify(add(p, max, &n, "seccomp user notification with killable waits", true), &t);
	probe_getfd(add(p, max, &n, "pidfd_getfd", false), &t);
	probe_memory(add(p, max, &n, "process_vm_readv", false), &t);
	probe_sync(add(p, max, &n, "synchronous wake-up", false), &t);
	probe_addfd(add(p, max, &n, "installing descriptors in a program", true), &t);
	tried_end(&t);
	probe_pidfd_thread(add(p, max, &n, "pidfds of threads", false));
	probe_openat2(add(p, max, &n, "openat2 with RESOLVE_IN_ROOT", true));
	probe_inotify(add(p, max, &n, "inotify instances", true));
	probe_memfd(add(p, max, &n, "sealed memory files", true));
	probe_nofile(add(p, max, &n, "open files", false));
	probe_yama(add(p, max, &n, "Yama", false));
	probe_kernel(add(p, max, &n, "kernel", false));
	return n;
}
