/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The launcher: exit codes, signals, failures, limits, broker, probes. */
#include "uapi_harness.h"

static int cl_limits(void)
{
	struct rlimit r;

	CHECK(!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur == r.rlim_max);
	return 0;
}

static int cl_term(void)
{
	pause();
	return 1;
}

static const struct client clients[] = { { "limits", cl_limits }, { "term", cl_term } };

static int exit_of(const char *text)
{
	return run_sh(text);
}

static int refuse(void *arg, int listener, int broker, pid_t pid, struct ferry_err *err)
{
	*(pid_t *)arg = pid;
	return ferry_err_set(err, EBUSY, "E-TEST", NULL, "refused");
}

/* In a process of its own: it becomes a subreaper. */
static void test_handoff_fails(void)
{
	int st;
	pid_t pid = fork();

	if (!pid) {
		pid_t child = 0;
		struct uapi_launch l = { .argv = (char *[]){ "/bin/true", NULL }, .handoff = refuse, .arg = &child };
		struct ferry_err err = { 0 };
		int ret = uapi_launch(&l, &err);

		_exit(ret == 125 && err.num == EBUSY && !strcmp(err.code, "E-TEST") && child > 0 &&
		      kill(child, 0) == -1 ? 0 : 1);
	}
	waitpid(pid, &st, 0);
	ok(!st, "a hand-off that fails: 125, its error, no child");
}

static void test_signals(void)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	static struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sigs); i++) {
		struct sigaction dfl = { .sa_handler = SIG_DFL };
		struct rlimit none = { 0, 0 };

		/* A shell's background job has some ignored, and we inherit that. */
		sigaction(sigs[i], &dfl, NULL);
		setrlimit(RLIMIT_CORE, &none);
		run_start(&r, "term", NULL);
		kill(r.launcher, sigs[i]);
		ok(run_wait(&r) == 128 + sigs[i], "signal %d is passed on", sigs[i]);
	}
}

static void test_broker(void)
{
	int sv[2], p[2], fd, st;
	static char word[] = "ferry";
	char buf[16] = "";
	pid_t launcher;
	struct stat a, b;

	assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) && !pipe2(p, O_CLOEXEC));
	launcher = fork();
	if (!launcher) {
		pid_t child = fork();

		close(sv[1]);
		if (!child)
			for (;;)
				pause();
		if (write(p[1], &child, sizeof(child)) < 0)
			_exit(1);
		broker_serve(sv[0]);
		kill(child, SIGKILL);
		_exit(0);
	}
	close(sv[0]);
	pid_t child;
	assert(read(p[0], &child, sizeof(child)) == sizeof(child));
	fd = broker_getfd(sv[1], child, p[0]);
	ok(fd >= 0 && !fstat(fd, &a) && !fstat(p[0], &b) && a.st_ino == b.st_ino, "the broker fetches a descriptor");
	close(fd);
	ok(broker_getfd(sv[1], child, 999) == -EBADF, "or says why not");
	ok(broker_read(sv[1], child, buf, (uintptr_t)word, 6) == 6 && !strcmp(buf, "ferry"), "reads memory");
	ok(broker_write(sv[1], child, (uintptr_t)word, "barge", 6) == 6 &&
	   broker_read(sv[1], child, buf, (uintptr_t)word, 6) == 6 && !strcmp(buf, "barge"), "writes memory");
	ok(broker_read(sv[1], child, buf, 8, 6) == -EFAULT, "not where there is none");
	ok(broker_getfd(sv[1], getpid(), 0) == -EPERM && broker_read(sv[1], getpid(), buf, (uintptr_t)word, 6) == -EPERM,
	   "and for descendants only");
	ok(send(sv[1], "abc", 3, 0) == 3 && recv(sv[1], buf, sizeof(buf), 0) == 4, "a short request is answered");
	close(sv[1]);
	waitpid(launcher, &st, 0);
	ok(!st, "the broker ends with its socket");
	close(p[0]);
	close(p[1]);
}

static void test_probe(void)
{
	struct uapi_probe p[32];
	unsigned int n = uapi_probe_all(p, 32), i, bad = 0;

	for (i = 0; i < n; i++) {
		printf("# %s: %d %s\n", p[i].name, p[i].err, p[i].detail);
		bad += p[i].required && p[i].err;
	}
	ok(n > 8 && n < 32 && !bad, "%u probes, none required is missing", n);
	ok(uapi_probe_all(p, 3) == n, "room for three");
}

int main(int argc, char **argv)
{
	int ret = h_main(argc, argv, clients, ARRAY_SIZE(clients));

	if (ret >= 0)
		return ret;
	h_init();
	ok(exit_of("exit 0") == 0 && exit_of("exit 3") == 3, "exit status");
	ok(exit_of("kill -9 $$") == 137, "killed by a signal");
	ok(run_argv((char *[]){ "/nonexistent", NULL }) == 127, "not found");
	ok(run_argv((char *[]){ "/etc/passwd", NULL }) == 126, "no program");
	ok(run_argv((char *[]){ "true", NULL }) == 0, "found by PATH");
	ok(exit_of("(sleep 0.05; : >/dev/null) & exit 4") == 4, "does not wait for what it left behind");
	ok(!run("limits"), "the soft limit is raised");
	test_signals();
	test_handoff_fails();
	test_broker();
	test_probe();
	h_end();
	return tap_end();
}
