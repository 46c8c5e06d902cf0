/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The rules of seccomp notification, N1 to N24: those about the kernel are
 * shown on bare listeners, those about us on whole sessions. Run again as an
 * ordinary user.
 */
#include <grp.h>
#include <linux/audit.h>
#include <linux/userfaultfd.h>
#include <sys/time.h>

#include "uapi_harness.h"

/* ------------------------------------------------------------- bare listeners */

static const struct sock_filter trap_getppid[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* A child that makes @calls trapped calls and exits with the number of results that were not 77. */
static int bare(pid_t *pid, int calls)
{
	int sv[2], listener;

	assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	*pid = fork();
	if (!*pid) {
		int bad = 0;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		listener = uapi_filter_install(trap_getppid, ARRAY_SIZE(trap_getppid));
		if (listener < 0 || fd_send(sv[0], listener))
			_exit(99);
		close(listener);
		close(sv[0]);
		while (calls--) {
			long ret = syscall(__NR_getppid);

			bad += ret != 77;
			if (ret < 0)
				_exit(100 + errno);
		}
		_exit(bad);
	}
	listener = fd_recv(sv[1]);
	close(sv[0]);
	close(sv[1]);
	return listener;
}

static int wait_code(pid_t pid)
{
	int st;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static void test_bare__successor_answers(void)
{
	struct notif_buf b;
	pid_t pid, other;
	int l = bare(&pid, 1);

	notif_buf_init(&b);
	ok(!notif_recv(l, &b) && notif_alive(l, b.req->id), "N1 a received call is valid");
	other = fork();
	if (!other)
		_exit(notif_send(l, NULL, b.req->id, 77, 0) ? 1 : 0);
	ok(!wait_code(other) && !wait_code(pid), "N2 another process with the listener answers it by id");
	ok(notif_send(l, NULL, b.req->id, 77, 0) == -ENOENT && !notif_alive(l, b.req->id),
	   "N11 a second answer is ENOENT");
	ok(notif_recv(l, &b) == -ENOENT, "N10 when all are gone RECV says ENOENT");
	close(l);
	notif_buf_release(&b);
}

static void test_bare__buffers_and_flags(void)
{
	struct sock_fprog fp = { ARRAY_SIZE(trap_getppid), (struct sock_filter *)(uintptr_t)trap_getppid };
	struct notif_buf b;
	struct pollfd p;
	pid_t pid;
	int l, fd, ret;

	pid = fork();
	if (!pid) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &fp) == -1 ?
		      errno : 0);
	}
	ok(wait_code(pid) == EINVAL, "N7 killable waits need a new listener in the same call");
	l = bare(&pid, 2);
	notif_buf_init(&b);
	p = (struct pollfd){ .fd = l, .events = POLLIN };
	poll(&p, 1, 5000);
	memset(b.req, 0xff, b.req_size);
	ret = ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, b.req);
	ok(ret == -1 && errno == EINVAL, "N8 RECV wants a zeroed buffer");
	ok(!notif_recv(l, &b), "N8 and ours is");
	fd = open("/dev/null", O_RDONLY);
	ok(notif_addfd(l, b.req->id, fd, 1 << 30, true) == -EBADF, "N12 a number beyond the limit is EBADF");
	ok(notif_addfd(l, b.req->id, fd, 77, true) == 77, "N13 the descriptor answers the call");
	ok(notif_send(l, NULL, b.req->id, 0, 0) == -ENOENT, "N13 and no answer is due");
	ok(notif_addfd(l, b.req->id, fd, -1, true) == -ENOENT, "N9 ADDFD to an answered call is ENOENT");
	close(fd);
	notif_recv(l, &b);
	kill(pid, SIGKILL);
	wait_code(pid);
	ok(notif_send(l, NULL, b.req->id, 0, 0) == -ENOENT && !notif_alive(l, b.req->id), "N9 a killed caller is ENOENT");
	close(l);
	l = bare(&pid, 1);
	close(l);
	ok(wait_code(pid) == 100 + ENOSYS, "N3 without a listener calls fail with ENOSYS");
	notif_buf_release(&b);
}

/* ------------------------------------------------------------------- clients */

static void on_alarm(int sig)
{
}

/* Every call is done exactly once, or not at all and says EINTR. */
static int cl_storm(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { { 0, 70 }, { 0, 70 } };
	uint64_t one = 1, done = 0, v = 0;
	int fd = open_device(), i;

	CHECK(fd >= 0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	for (i = 0; i < 20000; i++) {
		ssize_t n = pwrite(fd, &one, 8, R0);

		CHECK(n == 8 || (n == -1 && errno == EINTR));
		done += n == 8;
	}
	for (i = 0; i < 50; i++) {
		int n = ioctl(fd, FK_SLOW);

		CHECK(n == 42 || (n == -1 && errno == EINTR));
	}
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	CHECK(pread(fd, &v, 8, R0) == 8);
	if (v != done)
		fprintf(stderr, "# %lu done, the device saw %lu\n", done, v);
	CHECK(v == done && done > 1000);
	return 0;
}

static int cl_rlimit(void)
{
	struct rlimit r = { 256, 256 };
	int fd;

	CHECK(!setrlimit(RLIMIT_NOFILE, &r));
	fd = open_device();
	CHECK(fd >= 0 && fd < 256 && ioctl(fd, FK_VERSION) == 0);
	CHECK(pread(fd, &r, 4, R7) == 4);
	while (open("/dev/null", O_RDONLY) >= 0)
		;
	CHECK(open("/dev/vfio/vfio", O_RDWR) == -1 && errno == EMFILE);
	CHECK(ioctl(fd, FK_COUNT) == 1);
	close_range(100, 200, 0);	/* a leak checker wants some at exit */
	return 0;
}

static void *thread_calls(void *arg)
{
	int fd = *(int *)arg, i;
	uint64_t one = 1;

	for (i = 0; i < 200; i++)
		if (pwrite(fd, &one, 8, R0) != 8 || ioctl(fd, FK_FILE, fd) != 1)
			return arg;
	return ioctl(fd, FK_SLOW) == 42 ? NULL : arg;
}

static int cl_threads(void)
{
	pthread_t t[64];
	int fd = open_device(), i;
	void *bad;
	uint64_t v;

	for (i = 0; i < 64; i++)
		CHECK(!pthread_create(&t[i], NULL, thread_calls, &fd));
	for (i = 0; i < 64; i++)
		CHECK(!pthread_join(t[i], &bad) && !bad);
	CHECK(pread(fd, &v, 8, R0) == 8 && v == 64 * 200);
	return 0;
}

static void *thread_slow(void *arg)
{
	int i;

	for (i = 0; i < 10; i++)
		if (ioctl(*(int *)arg, FK_SLOW) != 42)
			return arg;
	return NULL;
}

/* 640 calls of 10 ms, one receiver: they wait side by side. */
static int cl_slow_threads(void)
{
	uint64_t start = session_now();
	pthread_t t[64];
	int fd = open_device(), i;
	void *bad;

	for (i = 0; i < 64; i++)
		CHECK(!pthread_create(&t[i], NULL, thread_slow, &fd));
	for (i = 0; i < 64; i++)
		CHECK(!pthread_join(t[i], &bad) && !bad);
	CHECK(session_now() - start < 5000000000u);
	return 0;
}

static atomic_int refused;

static void *thread_stuck(void *arg)
{
	if (ioctl(*(int *)arg, FK_STUCK) == -1 && errno == ENOMEM)
		refused++;
	return NULL;
}

static int cl_flood(void)
{
	int fd = open_device(), i;
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 262144);
	for (i = 0; i < SESSION_CALLS_MAX + 20; i++)
		CHECK(!pthread_create(&t, &a, thread_stuck, &fd));
	while (refused < 20)
		sched_yield();
	/* Others go on, and the program can leave. */
	CHECK(!access("/etc/passwd", R_OK));
	syscall(__NR_exit_group, 0);	/* past a sanitizer that misses the threads */
	return 1;
}

static int cl_fork(void)
{
	int fd = open_device(), p[2];
	pid_t pid;
	uint64_t v;
	char c;

	CHECK(fd >= 0 && !pipe(p));
	pid = fork();
	if (!pid) {
		close(p[1]);
		/* The parent has closed its copy when this ends. */
		if (read(p[0], &c, 1) != 0)
			_exit(1);
		v = 3;
		_exit(pwrite(fd, &v, 8, R0) == 8 && pread(fd, &v, 8, R0) == 8 && v == 3 &&
		      ioctl(fd, FK_COUNT) == 1 ? 0 : 2);
	}
	CHECK(!close(fd));
	close(p[1]);
	CHECK(wait_code(pid) == 0);
	fd = open("/dev/vfio/vfio", O_RDWR);
	CHECK(fd >= 0);
	/* An exit is seen a little later than a close. */
	while (ioctl(fd, FK_COUNT))
		poll(NULL, 0, 1);
	return 0;
}

static int cl_exec(void)
{
	int keep = open("/dev/vfio/devices/vfio0", O_RDWR), gone = open_device();
	char text[32];

	CHECK(keep >= 0 && gone >= 0 && ioctl(keep, FK_COUNT) == 2);
	snprintf(text, sizeof(text), "%d %d", keep, gone);
	setenv("TEST_FDS", text, 1);
	execl(h_self(), h_self(), "--client", "execd", NULL);
	return 1;
}

static int cl_execd(void)
{
	int keep, gone;

	CHECK(sscanf(getenv("TEST_FDS"), "%d %d", &keep, &gone) == 2);
	CHECK(ioctl(keep, FK_VERSION) == 0);
	CHECK(ioctl(gone, FK_VERSION) == -1 && errno == EBADF);
	CHECK(ioctl(keep, FK_COUNT) == 1);
	return 0;
}

static int scm_socket(bool listening)
{
	struct sockaddr_un { sa_family_t f; char path[108]; } a = { .f = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(a.path + 1, sizeof(a.path) - 1, "uapi-rules-%s", listening ? h_root : getenv("TEST_ROOT"));
	if (listening ? bind(s, (void *)&a, sizeof(a)) || listen(s, 1) : connect(s, (void *)&a, sizeof(a)))
		return -1;
	return s;
}

/* Out to a process that is not under the filter; and in flight while nobody has it. */
static int cl_scm(void)
{
	int s = scm_socket(false), fd = open_device(), sv[2], probe = open("/dev/vfio/vfio", O_RDWR);
	uint32_t v;
	char byte;

	CHECK(s >= 0 && fd >= 0 && !fd_send(s, fd));
	CHECK(recv(s, &byte, 1, 0) == 1 && byte == ENOTTY);
	/* The outsider still has it. That does not count. */
	CHECK(!close(fd) && ioctl(probe, FK_COUNT) == 0);
	CHECK(send(s, "", 1, 0) == 1 && recv(s, &byte, 1, 0) == 1);

	fd = open_device();
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) && !fd_send(sv[0], fd) && !close(fd));
	CHECK(ioctl(probe, FK_COUNT) == 1);
	fd = fd_recv(sv[1]);
	CHECK(fd >= 0 && fd < 1024 && pread(fd, &v, 4, R7) == 4 && v == 0x03020100);
	CHECK(!close(fd));
	while (ioctl(probe, FK_COUNT))
		poll(NULL, 0, 1);
	return 0;
}

static int cl_keep(void)
{
	int s = scm_socket(false), fd = open_device();

	CHECK(s >= 0 && fd >= 0 && !fd_send(s, fd));
	return 0;
}

static int cl_arch(void)
{
	long ret;
	int low;

	asm volatile("int $0x80" : "=a"(low) : "a"(20) : "memory", "r8", "r9", "r10", "r11");	/* getpid */
	CHECK(low == getpid());
	ret = syscall(__NR_getpid | 0x40000000);
	CHECK(ret == -1 && errno == ENOSYS);
	return 0;
}

static int cl_privs(void)
{
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	return 0;
}

static int never(void *arg, int listener, int broker, pid_t pid, struct ferry_err *err)
{
	return ferry_err_set(err, EIO, "E-TEST", NULL, "must not be called");
}

static int cl_nested(void)
{
	struct uapi_launch l = { .argv = (char *[]){ "/bin/true", NULL }, .handoff = never };
	struct ferry_err err = { 0 };
	struct uapi_probe p[32];
	unsigned int n;

	CHECK(uapi_launch(&l, &err) == 125 && err.num == EBUSY && !strcmp(err.code, "E-RUN-NESTED"));
	l.root = "/another/tree";
	CHECK(uapi_launch(&l, &err) == 125 && err.num == EBUSY);
	/* The same host's: simply inside. */
	l.root = getenv("TEST_ROOT");
	CHECK(uapi_launch(&l, &err) == 0);
	l.argv = (char *[]){ "/bin/sh", "-c", "test -c /dev/vfio/vfio && exit 7", NULL };
	CHECK(uapi_launch(&l, &err) == 7);
	l.argv = (char *[]){ "/nonexistent", NULL };
	CHECK(uapi_launch(&l, &err) == 127);
	n = uapi_probe_all(p, ARRAY_SIZE(p));
	CHECK(n > 5 && p[0].required && p[0].err == EBUSY);
	return 0;
}

static int cl_busy(void)
{
	while (getppid()) {
		int fd = open_device(), c = open("/dev/vfio/vfio", O_RDWR);
		void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		struct fk_map map = { (uintptr_t)&map, 64, 1, -1, 0 };
		uint32_t v;

		pread(fd, &v, 4, R7);
		ioctl(fd, FK_MAP, &map);
		ioctl(fd, FK_SLOW);
		ioctl(fd, FK_SLOW_DEVICE);
		close(c);
		munmap(m, 4096);
		close(fd);
	}
	return 0;
}

static int cl_forever(void)
{
	int fd = open_device();
	FILE *f = fopen(getenv("TEST_PROGRESS"), "a");

	CHECK(fd >= 0 && f);
	if (!fork())
		for (;;)	/* a child that must go too */
			ioctl(fd, FK_VERSION);
	/* Three, for a call that the dead daemon had received waits for ever. */
	if (fork())
		fork();
	while (!access("/etc/passwd", R_OK) || errno != ENOSYS) {
		fprintf(f, "x\n");
		fflush(f);
	}
	return 1;
}

/* A buffer in a page that never comes. */
static int cl_parked(void)
{
	int fd = open_device(), uffd = (int)syscall(__NR_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (uffd < 0)
		return 77;
	reg.range = (struct uffdio_range){ (uintptr_t)p, 4096 };
	CHECK(fd >= 0 && !ioctl(uffd, UFFDIO_API, &api) && !ioctl(uffd, UFFDIO_REGISTER, &reg));
	pwrite(fd, p, 8, R0);
	return 1;
}

static const struct client clients[] = {
	{ "storm", cl_storm }, { "rlimit", cl_rlimit }, { "threads", cl_threads },
	{ "slow_threads", cl_slow_threads }, { "flood", cl_flood }, { "fork", cl_fork },
	{ "exec", cl_exec }, { "execd", cl_execd }, { "scm", cl_scm }, { "keep", cl_keep },
	{ "arch", cl_arch }, { "privs", cl_privs }, { "nested", cl_nested }, { "busy", cl_busy },
	{ "forever", cl_forever }, { "parked", cl_parked },
};

/* --------------------------------------------------------------------- tests */

static bool none_open(void)
{
	return !fk.open[0] && !fk.open[1] && !fk.open[2] && !fk.open[3];
}

static void test_flood(void)
{
	static struct run r;
	unsigned int i;
	int st;

	run_start(&r, "flood", NULL);
	assert(waitpid(r.launcher, &st, WNOHANG) >= 0);
	while (waitpid(r.launcher, &st, WNOHANG) == 0)
		poll(NULL, 0, 1);
	ok(WIFEXITED(st) && !WEXITSTATUS(st), "N19 calls beyond %d wait for nothing: ENOMEM: status %#x", SESSION_CALLS_MAX, st);
	/* Those that never came to an end are completed by whoever has them, though nobody waits. */
	for (i = 0; i < fake_nr_stuck; i++)
		fake_stuck[i]->ops->complete(fake_stuck[i], -EIO);
	while (!r.ended)
		poll(NULL, 0, 1);
	uapi_session_stop(r.s);
	close(r.sock);
	ok(none_open(), "N19 and the session ends");
}

static unsigned int count_blocked(void)
{
	char path[300], line[256];
	unsigned int blocked = 0;
	struct dirent *e;
	DIR *d = opendir("/proc/self/task");

	while ((e = readdir(d))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			unsigned long mask;

			if (sscanf(line, "SigBlk: %lx", &mask) == 1)
				blocked += (mask & 1ul << (SIGTERM - 1)) && (mask & 1ul << (SIGINT - 1)) &&
					!(mask & 1ul << (SIGBUS - 1));
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return blocked;
}

static void test_signals_blocked(void)
{
	struct uapi_session_info info;
	unsigned int blocked = 0, i;
	static struct run r;

	run_start(&r, NULL, (char *[]){ "/bin/sleep", "0.2", NULL });
	for (i = 0; i < 100 && blocked < 2; i++) {
		poll(NULL, 0, 1);
		blocked = count_blocked();
	}
	ok(blocked >= 2, "N14 receiver and watcher have signals blocked, but for faults");
	uapi_session_info(r.s, &info);
	ok(info.sync_wakeup && info.pid > 0, "N23 synchronous wake-up is set");
	ok(!run_wait(&r), "N14 the program ends well");
}

/* A process outside: gets a descriptor, finds that it is nothing for it. */
static void *outside(void *arg)
{
	int l = *(int *)arg, s = accept(l, NULL, NULL), fd = fd_recv(s);
	char byte = (char)(ioctl(fd, FK_VERSION) == -1 ? errno : 0);

	if (send(s, &byte, 1, MSG_NOSIGNAL) == 1 && recv(s, &byte, 1, 0) == 1) {
		close(fd);
		fd = -1;
		send(s, "", 1, MSG_NOSIGNAL);
	}
	close(s);
	return (void *)(intptr_t)fd;
}

static void test_scm(void)
{
	int l = scm_socket(true);
	void *left;
	pthread_t t;

	pthread_create(&t, NULL, outside, &l);
	ok(!run("scm"), "N16 a descriptor sent outside is nothing there; one in flight stays open");
	pthread_join(t, NULL);
	ok(none_open(), "N16 all closed");
	pthread_create(&t, NULL, outside, &l);
	ok(!run("keep") && none_open(), "N16 what outsiders keep is closed when the program is gone");
	pthread_join(t, &left);
	close((int)(intptr_t)left);
	close(l);
}

static void test_kill_anywhere(unsigned int rounds)
{
	struct counts before, after;
	static struct run r;
	unsigned int i;

	run("privs");
	before = count_all();
	srand(1);
	for (i = 0; i < rounds; i++) {
		struct timespec ts = { .tv_nsec = (rand() % 20000) * 1000L };
		struct uapi_session_info info;

		run_start(&r, "busy", NULL);
		nanosleep(&ts, NULL);
		uapi_session_info(r.s, &info);
		kill(info.pid, SIGKILL);
		run_wait(&r);	/* 125: before it began */
		if ((r.status != 128 + SIGKILL && r.status != 125) || !none_open())
			break;
	}
	ok(i == rounds, "N9 killed at %u of %u random points", i, rounds);
	after = count_all();
	ok(before.fds == after.fds && before.tasks == after.tasks && before.maps == after.maps,
	   "N9 nothing is left: fds %u %u tasks %u %u maps %u %u", before.fds, after.fds,
	   before.tasks, after.tasks, before.maps, after.maps);
}

/* Ended by force with the program alive: its calls fail, it does not hang. */
static void test_stop(void)
{
	static struct run r;
	struct uapi_session_info info;

	run_start(&r, "busy", NULL);
	do {
		uapi_session_info(r.s, &info);
	} while (info.calls < 200);
	uapi_session_stop(r.s);
	r.s = NULL;
	ok(none_open(), "stop while the program runs closes all");
	kill(info.pid, SIGKILL);
	run_wait(&r);
}

/* The daemon is a process of its own here; it is killed. */
static void test_daemon_killed(void)
{
	char progress[128];
	static struct run r;
	struct stat st0, st1;
	pid_t daemon, launcher;
	int p[2], code;

	snprintf(progress, sizeof(progress), "%s.progress", h_root);
	setenv("TEST_PROGRESS", progress, 1);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	assert(!pipe2(p, O_CLOEXEC));
	daemon = fork();
	if (!daemon) {
		run_start(&r, "forever", NULL);
		if (write(p[1], &r.launcher, sizeof(r.launcher)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	assert(read(p[0], &launcher, sizeof(launcher)) == sizeof(launcher));
	while (stat(progress, &st0) || st0.st_size < 100)
		poll(NULL, 0, 1);
	kill(daemon, SIGKILL);
	wait_code(daemon);
	stat(progress, &st0);
	code = wait_code(launcher);
	stat(progress, &st1);
	ok(code == 125, "N3 a killed daemon: ferry run returns 125 after the grace period: %d", code);
	ok(st1.st_size > st0.st_size, "N3 meanwhile calls that are not ours go on: %ld more", (long)(st1.st_size - st0.st_size) / 2);
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "N3 and all of the program is gone");
	unlink(progress);
	close(p[0]);
	close(p[1]);
}

static void test_parked(void)
{
	static struct run r;
	struct uapi_session_info info;
	siginfo_t si = { 0 };
	int i;

	run_start(&r, "parked", NULL);
	uapi_session_info(r.s, &info);
	for (i = 0; i < 50 && !si.si_pid; i++) {
		waitid(P_PID, (id_t)r.launcher, &si, WEXITED | WNOHANG | WNOWAIT);
		poll(NULL, 0, 10);
	}
	if (si.si_pid) {
		ok(run_wait(&r) == 77, "M2 # SKIP no userfaultfd here");
		return;
	}
	ok(!run("threads"), "M2 a client parks its own session only");
	kill(info.pid, SIGKILL);
	ok(run_wait(&r) == 128 + SIGKILL && none_open(), "M2 killed, its session ends");
}

static void run_all(void)
{
	bool user = getuid();

	test_bare__successor_answers();
	test_bare__buffers_and_flags();
	ok(!run("storm"), "N4 N5 N6 a storm of signals: each call once or not at all");
	ok(!run("rlimit"), "N12 a lowered limit: low numbers, then EMFILE");
	test_signals_blocked();
	ok(!run("threads"), "N15 64 threads");
	ok(!run("fork"), "N16 fork");
	ok(!run("exec"), "N16 exec, with and without CLOEXEC");
	test_scm();
	ok(!run("slow_threads"), "N18 64 threads wait side by side");
	test_flood();
	ok(!run("privs"), "N20 no new privileges");
	ok(!run("arch"), "N21 int 0x80 goes past us, x32 is refused");
	ok(!run("nested"), "N24 nested");
	test_kill_anywhere(user ? 40 : 120);
	test_stop();
	test_parked();
	test_daemon_killed();
}

static void run_as_user(void)
{
	pid_t pid;
	int st;

	if (getuid())
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		int log = open(getenv("TEST_USER_LOG") ?: "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0666);

		dup2(log, 1);
		if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(9);
		execl(h_self(), h_self(), NULL);
		_exit(9);
	}
	waitpid(pid, &st, 0);
	ok(WIFEXITED(st) && !WEXITSTATUS(st), "everything again as uid 65534: status %#x", st);
}

int main(int argc, char **argv)
{
	int ret = h_main(argc, argv, clients, ARRAY_SIZE(clients));

	if (ret >= 0)
		return ret;
	h_init();
	setenv("TEST_ROOT", h_root, 1);
	run_all();
	h_end();
	run_as_user();
	return tap_end();
}
