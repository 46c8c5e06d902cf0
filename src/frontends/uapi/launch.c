/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The launcher: `ferry run`. Starts the program under the filter, gives the
 * listener to the daemon, stays as parent, broker and caretaker, and returns
 * what the program returned.
 *
 * Order: the child sets its limits, installs the filter and sends the
 * listener; the daemon takes it; only then the child may exec, whose first
 * open of a library already waits for an answer. The child's own messages
 * use calls that are not trapped.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "launcher.h"
#include "path.h"
#include "uapi.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif
#ifndef PR_SET_PTRACER_ANY
#define PR_SET_PTRACER_ANY ((unsigned long)-1)
#endif

#define EXIT_FERRY 125
#define EXIT_NOEXEC 126
#define EXIT_NOTFOUND 127

/* What the child reports when it can't go on. */
struct child_error {
	int num;
	bool exec;	/* the program, not the filter */
};

struct launcher {
	const struct uapi_launch *l;
	struct sock_filter prog[UAPI_FILTER_MAX];
	unsigned int prog_len;
	sigset_t old_mask;
	int sync[2];		/* child and parent while starting */
	int broker[2];		/* daemon's end, ours */
	int listener, signals;
	pid_t pid;
	pthread_t broker_thread;
	bool broker_runs;
};

int uapi_getfd_denied(void)
{
	auto_close int pidfd = (int)syscall(__NR_pidfd_open, getpid(), 0);
	long fd;

	if (pidfd < 0)
		return -errno;
	fd = syscall(__NR_pidfd_getfd, pidfd, pidfd, 0);
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

/* -------------------------------------------------------------------- child */

__attribute__((noreturn))
static void child_fail(int sock, int num, bool exec)
{
	struct child_error e = { .num = num, .exec = exec };

	send(sock, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(exec && num != ENOENT ? EXIT_NOEXEC : exec ? EXIT_NOTFOUND : EXIT_FERRY);
}

__attribute__((noreturn))
static void child_run(struct launcher *la)
{
	int sock = la->sync[0], listener, ret;
	char go;

	close(la->sync[1]);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		child_fail(sock, errno, false);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);	/* EINVAL without Yama */
	listener = uapi_filter_install(la->prog, la->prog_len);
	if (listener < 0)
		child_fail(sock, -listener, false);
	ret = fd_send(sock, listener);
	if (ret)
		_exit(EXIT_FERRY);
	close(listener);
	if (recv(sock, &go, 1, 0) != 1)
		_exit(EXIT_FERRY);
	sigprocmask(SIG_SETMASK, &la->old_mask, NULL);
	execvp(la->l->argv[0], la->l->argv);
	child_fail(sock, errno, true);
}

/* ------------------------------------------------------------------- parent */

static void *broker_main(void *arg)
{
	struct launcher *la = arg;

	broker_serve(la->broker[1]);
	return NULL;
}

/* The program's limit is raised to the hard one first: the window lies below it. */
static int build_filter(struct launcher *la, struct ferry_err *err)
{
	struct uapi_filter f = { .attr_writes = !la->l->no_attr_writes,
				 .eventfds = uapi_getfd_denied() != 0 };
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return ferry_err_set(err, errno, "E-RUN-LIMITS", NULL, "getrlimit: %m");
	f.window = uapi_window_of(r.rlim_max);
	la->prog_len = uapi_filter_build(&f, la->prog);
	return 0;
}

static int listener_error(struct ferry_err *err, int num)
{
	if (num == EBUSY)
		return ferry_err_set(err, num, "E-RUN-NESTED",
				     "run it outside: a program can have one listener only",
				     "this program is watched already: by another ferry run, or by a container manager with a seccomp listener");
	if (num == EINVAL)
		return ferry_err_set(err, num, "E-RUN-SECCOMP", "Linux 5.19 or later is needed: ferry doctor",
				     "the kernel can't do seccomp user notification with killable waits");
	return ferry_err_set(err, num, "E-RUN-SECCOMP", "ferry doctor says what is missing",
			     "can't install the filter: %s", strerror(num));
}

/* The child's first message: the listener, or why there is none. */
static int take_listener(struct launcher *la, struct ferry_err *err)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct child_error e = { 0 };
	struct iovec iov = { &e, sizeof(e) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			    .msg_controllen = sizeof(u.buf) };
	struct cmsghdr *c;
	ssize_t n = recvmsg(la->sync[1], &m, MSG_CMSG_CLOEXEC);

	c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS) {
		memcpy(&la->listener, CMSG_DATA(c), sizeof(int));
		return 0;
	}
	return listener_error(err, n == sizeof(e) ? e.num : EPIPE);
}

static int start_child(struct launcher *la, struct ferry_err *err)
{
	struct rlimit r, full;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, la->sync) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, la->broker))
		return ferry_err_set(err, errno, "E-RUN-SOCKET", NULL, "socketpair: %m");
	getrlimit(RLIMIT_NOFILE, &r);
	full = (struct rlimit){ r.rlim_max, r.rlim_max };
	setrlimit(RLIMIT_NOFILE, &full);
	la->pid = fork();
	if (!la->pid)
		child_run(la);
	setrlimit(RLIMIT_NOFILE, &r);
	if (la->pid < 0)
		return ferry_err_set(err, errno, "E-RUN-FORK", NULL, "fork: %m");
	close(la->sync[0]);
	la->sync[0] = -1;
	return take_listener(la, err);
}

static int start_broker(struct launcher *la, struct ferry_err *err)
{
	int ret = pthread_create(&la->broker_thread, NULL, broker_main, la);

	if (ret)
		return ferry_err_set(err, ret, "E-RUN-THREAD", NULL, "pthread_create: %s", strerror(ret));
	la->broker_runs = true;
	return 0;
}

/* A terminal has sent its signals to the program already. */
static void pass_signal(struct launcher *la)
{
	struct signalfd_siginfo si;

	while (read(la->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD && si.ssi_code != SI_KERNEL)
			kill(la->pid, (int)si.ssi_signo);
}

/* Reaps orphans too. Did the program itself end? */
static bool reap(struct launcher *la, int *status)
{
	pid_t got;
	int st;

	while ((got = waitpid(-1, &st, WNOHANG)) > 0)
		if (got == la->pid) {
			*status = st;
			la->pid = 0;
		}
	return !la->pid;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int daemon_lost(struct launcher *la, struct ferry_err *err)
{
	int status = 0;

	log_msg(LOG_WARN, "the daemon is gone; waiting %u ms before the program is killed", la->l->grace_ms);
	caretaker_run(la->listener, la->l->grace_ms);
	if (reap(la, &status))
		return exit_code(status);
	tree_kill(la->pid, &status);
	la->pid = 0;
	if (WIFEXITED(status))	/* it was faster */
		return exit_code(status);
	ferry_err_set(err, ECONNRESET, "E-RUN-DAEMON-GONE", "look into the daemon's log, start it again",
		      "the daemon is gone and did not come back within %u ms: killed the program",
		      la->l->grace_ms);
	log_msg(LOG_ERROR, "the daemon did not come back: killed the program");
	return EXIT_FERRY;
}

static int stay(struct launcher *la, int daemon, struct ferry_err *err)
{
	struct pollfd p[2] = {
		{ .fd = la->signals, .events = POLLIN },
		{ .fd = daemon, .events = POLLRDHUP },
	};
	int status = 0;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return EXIT_FERRY;
		if (p[0].revents)
			pass_signal(la);
		if (reap(la, &status))
			break;
		if (p[1].revents)
			return daemon_lost(la, err);
	}
	return exit_code(status);
}

/* Before exec the child says why it failed; afterwards its end of the socket closes silently. */
static void exec_error(struct launcher *la, struct ferry_err *err)
{
	struct child_error e;

	if (recv(la->sync[1], &e, sizeof(e), MSG_DONTWAIT) == sizeof(e) && e.exec)
		ferry_err_set(err, e.num, "E-RUN-EXEC", NULL, "%s: %s", la->l->argv[0], strerror(e.num));
}

static int run(struct launcher *la, struct ferry_err *err)
{
	int daemon, ret;

	if (build_filter(la, err) || start_child(la, err) || start_broker(la, err))
		return EXIT_FERRY;
	daemon = la->l->handoff(la->l->arg, la->listener, la->broker[0], la->pid, err);
	if (daemon < 0)
		return EXIT_FERRY;
	close(la->broker[0]);
	la->broker[0] = -1;
	if (send(la->sync[1], "", 1, MSG_NOSIGNAL) != 1) {
		ferry_err_set(err, errno, "E-RUN-CHILD", NULL, "the program's process ended before it began");
		return EXIT_FERRY;
	}
	ret = stay(la, daemon, err);
	exec_error(la, err);
	return ret;
}

/* Inside a session of the same host already: the program simply inherits it. */
static bool joins(const struct uapi_launch *l)
{
	char root[PATH_MAX];
	ssize_t n;

	n = l->root ? readlink(UAPI_ROOT_LINK, root, sizeof(root) - 1) : -1;
	if (n < 0)
		return false;
	root[n] = '\0';
	return !strcmp(root, l->root);
}

static int run_joined(struct launcher *la, struct ferry_err *err)
{
	int gone[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, la->sync) || pipe2(gone, O_CLOEXEC)) {
		ferry_err_set(err, errno, "E-RUN-SOCKET", NULL, "socketpair: %m");
		return EXIT_FERRY;
	}
	la->pid = fork();
	if (!la->pid) {
		sigprocmask(SIG_SETMASK, &la->old_mask, NULL);
		execvp(la->l->argv[0], la->l->argv);
		child_fail(la->sync[0], errno, true);
	}
	close(la->sync[0]);
	la->sync[0] = -1;
	ret = la->pid < 0 ? EXIT_FERRY : stay(la, gone[0], err);
	exec_error(la, err);
	close(gone[0]);
	close(gone[1]);
	return ret;
}

static void launcher_release(struct launcher *la)
{
	if (la->pid > 0) {
		/* Failed before it ran: it has no children yet. */
		close(la->sync[1]);
		la->sync[1] = -1;
		kill(la->pid, SIGKILL);
		waitpid(la->pid, NULL, 0);
	}
	if (la->broker_runs) {
		shutdown(la->broker[1], SHUT_RDWR);
		pthread_join(la->broker_thread, NULL);
	}
	base_close_fd(&la->sync[0]);
	base_close_fd(&la->sync[1]);
	base_close_fd(&la->broker[0]);
	base_close_fd(&la->broker[1]);
	base_close_fd(&la->listener);
	base_close_fd(&la->signals);
}

int uapi_launch(const struct uapi_launch *l, struct ferry_err *err)
{
	struct launcher la = { .l = l, .sync = { -1, -1 }, .broker = { -1, -1 }, .listener = -1 };
	sigset_t mask;
	int ret;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGQUIT);
	sigaddset(&mask, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &mask, &la.old_mask);
	la.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (la.signals < 0)
		ret = EXIT_FERRY;
	else
		ret = joins(l) ? run_joined(&la, err) : run(&la, err);
	launcher_release(&la);
	pthread_sigmask(SIG_SETMASK, &la.old_mask, NULL);
	return ret;
}
