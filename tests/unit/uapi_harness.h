/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A small supervisor for the tests of the uapi frontend: a shadow tree of its
 * own, fake objects behind the nodes, and three processes: the test is the
 * daemon; it starts itself again as launcher (--launch), which starts it
 * again as program under the filter (--client NAME).
 *
 * The fake device: region 0 is memory with an adding register at 0 (pwrite
 * adds, pread reads back), region 7 holds a pattern.
 */
#ifndef UAPI_HARNESS_H
#define UAPI_HARNESS_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <frontends/uapi/session.h>

#define FAKE_BAR_SIZE 65536u
#define R0 0ull
#define R7 (7ull << 40)
#define BDF "0000:01:00.0"

/* Requests of the fake objects. */
enum {
	FK_VERSION = 0x3b64,	/* 0 */
	FK_GET_DEVICE = 0x3b6a,	/* group: a device file */
	FK_IRQ = 0x3b6e,	/* arg: eventfd number; it is written once */
	FK_SLOW = 0x3b6f,	/* answered 10 ms later by another thread: 42 */
	FK_MAP = 0x3b71,	/* arg: struct fk_map; 1: mapped, 2: remote */
	FK_DMA_WRITE = 0x3b72,	/* arg: byte to fill the last mapping with */
	FK_DMA_READ = 0x3b73,	/* first byte of the last mapping */
	FK_UNMAP = 0x3b74,
	FK_FILE = 0x3b68,	/* arg: fd number; 1: one of ours, 0: not */
	FK_MAP_FILE = 0x3b8f,
	FK_STUCK = 0x3b70,	/* answered at close of the harness only */
	FK_SLOW_DEVICE = 0x3b76,	/* as GET_DEVICE, later, by another thread */
	FK_COUNT = 0x3b77,	/* open devices */
};

struct fk_map {
	uint64_t vaddr, len;
	uint32_t writable;
	int32_t fd;
	uint64_t start;
};

struct fake_file {
	struct vfio_file f;
	uint64_t reg;
	struct ferry_mem *mem;
};

static struct {
	atomic_int open[4];	/* by type */
	atomic_int closes;
	atomic_int close_delay_ms;
	atomic_int stores;
	char stored[64], stored_path[256];
} fk;

/* ----------------------------------------------------------------------- TAP */

static int tap_n, tap_failed;

__attribute__((format(printf, 2, 3), unused))
static bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", good ? "ok" : "not ok", ++tap_n);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	tap_failed += !good;
	return good;
}

__attribute__((unused))
static int tap_end(void)
{
	printf("1..%d\n", tap_n);
	return tap_failed ? 1 : 0;
}

/* --------------------------------------------------------------- fake objects */

struct later {
	struct vfio_call *call;
	void (*done)(void *arg);
	void *arg;
	unsigned int ms;
	int64_t ret;
};

static void *later_main(void *arg)
{
	struct later *l = arg;
	struct timespec ts = { .tv_nsec = l->ms * 1000000L };

	nanosleep(&ts, NULL);
	if (l->call)
		l->call->ops->complete(l->call, l->ret);
	else
		l->done(l->arg);
	free(l);
	return NULL;
}

static void later(struct later v)
{
	struct later *l = malloc(sizeof(*l));
	pthread_attr_t a;
	pthread_t t;

	*l = v;
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	assert(!pthread_create(&t, &a, later_main, l));
	pthread_attr_destroy(&a);
}

static struct fake_file *fake_of(struct vfio_file *f)
{
	return container_of(f, struct fake_file, f);
}

static struct vfio_file *fake_new(const struct vfio_file_ops *ops, const char *path)
{
	struct fake_file *f = calloc(1, sizeof(*f));

	f->f.ops = ops;
	snprintf(f->f.path, sizeof(f->f.path), "%s", path);
	fk.open[ops->type]++;
	return &f->f;
}

static void fake_close(struct vfio_file *vf, void (*done)(void *), void *arg)
{
	struct fake_file *f = fake_of(vf);

	fk.open[vf->ops->type]--;
	fk.closes++;
	if (f->mem)
		ferry_mem_put(f->mem);
	free(f);
	if (fk.close_delay_ms)
		later((struct later){ .done = done, .arg = arg, .ms = (unsigned int)fk.close_delay_ms });
	else
		done(arg);
}

static const struct vfio_file_ops fake_device_ops;
static _Atomic(struct vfio_call *) fake_stuck[4096];
static atomic_uint fake_nr_stuck;

static int64_t fake_map(struct fake_file *f, struct vfio_call *c, uint64_t arg, bool by_file)
{
	bool is_bar = false;
	struct fk_map m;
	int ret;

	ret = c->ops->copy_in(c, &m, arg, sizeof(m));
	if (ret)
		return ret;
	if (f->mem)
		ferry_mem_put(f->mem);
	f->mem = NULL;
	ret = by_file ? c->ops->mem_file(c, m.fd, m.start, m.len, m.writable, &f->mem) :
		c->ops->mem(c, m.vaddr, m.len, m.writable, &f->mem, &is_bar);
	if (is_bar)
		return -EADDRINUSE;
	return ret ? ret : f->mem->base ? 1 : 2;
}

static int64_t fake_fill(struct fake_file *f, uint64_t byte)
{
	uint8_t buf[256];
	uint64_t at;
	int ret = f->mem ? 0 : -EINVAL;

	memset(buf, (int)byte, sizeof(buf));
	for (at = 0; !ret && at < f->mem->size; at += sizeof(buf))
		ret = mem_write(f->mem, at, buf, (size_t)MIN(sizeof(buf), f->mem->size - at));
	return ret;
}

static int64_t fake_ioctl(struct vfio_file *vf, struct vfio_call *c, unsigned int cmd, uint64_t arg)
{
	struct fake_file *f = fake_of(vf);
	uint8_t byte;
	uint64_t one = 1;
	int ret;

	switch (cmd) {
	case FK_VERSION:
		return 0;
	case FK_GET_DEVICE:
		c->new_file = fake_new(&fake_device_ops, "anon_inode:[vfio-device]");
		return 0;
	case FK_SLOW_DEVICE:
		c->new_file = fake_new(&fake_device_ops, "anon_inode:[vfio-device]");
		later((struct later){ .call = c, .ms = 5 });
		return -EINPROGRESS;
	case FK_IRQ:
		ret = c->ops->eventfd(c, (int)arg);
		if (ret < 0)
			return ret;
		if (write(ret, &one, sizeof(one)) != sizeof(one))
			return -EIO;
		close(ret);
		return 0;
	case FK_SLOW:
		later((struct later){ .call = c, .ms = 10, .ret = 42 });
		return -EINPROGRESS;
	case FK_STUCK:
		fake_stuck[fake_nr_stuck++ % ARRAY_SIZE(fake_stuck)] = c;
		return -EINPROGRESS;
	case FK_FILE: {
		struct vfio_file *other;

		ret = c->ops->file(c, (int)arg, &other);
		return ret ? ret : other != NULL;
	}
	case FK_MAP:
	case FK_MAP_FILE:
		return fake_map(f, c, arg, cmd == FK_MAP_FILE);
	case FK_DMA_WRITE:
		return fake_fill(f, arg);
	case FK_DMA_READ:
		ret = f->mem ? mem_read(f->mem, 0, &byte, 1) : -EINVAL;
		return ret ? ret : byte;
	case FK_UNMAP:
		if (f->mem)
			ferry_mem_put(f->mem);
		f->mem = NULL;
		return 0;
	case FK_COUNT:
		return fk.open[VFIO_FILE_DEVICE];
	default:
		return -ENOTTY;
	}
}

static int64_t fake_pread(struct vfio_file *vf, struct vfio_call *c, void *buf, size_t n, uint64_t off)
{
	struct fake_file *f = fake_of(vf);
	uint64_t at = off & ((1ull << 40) - 1);

	if (off >> 40 == 7) {
		size_t i;

		if (at >= 256)
			return 0;
		n = MIN(n, 256 - at);
		for (i = 0; i < n; i++)
			((uint8_t *)buf)[i] = (uint8_t)(at + i);
		return (int64_t)n;
	}
	if (off >> 40 || at + n > FAKE_BAR_SIZE)
		return -EINVAL;
	if (!at && n <= 8) {
		memcpy(buf, &f->reg, n);
		return (int64_t)n;
	}
	memcpy(buf, (uint8_t *)vf->bar_mem(vf, 0, FAKE_BAR_SIZE) + at, n);
	return (int64_t)n;
}

static int64_t fake_pwrite(struct vfio_file *vf, struct vfio_call *c, const void *buf, size_t n,
			   uint64_t off)
{
	struct fake_file *f = fake_of(vf);
	uint64_t add = 0;

	if (off >= FAKE_BAR_SIZE || off + n > FAKE_BAR_SIZE)
		return -EINVAL;
	if (off) {
		memcpy((uint8_t *)vf->bar_mem(vf, 0, FAKE_BAR_SIZE) + off, buf, n);
		return (int64_t)n;
	}
	memcpy(&add, buf, MIN(n, 8));
	f->reg += add;
	return (int64_t)n;
}

static int fake_mmap(struct vfio_file *vf, struct vfio_call *c, uint64_t off, uint64_t len, int prot,
		     int flags)
{
	return off < FAKE_BAR_SIZE && len <= FAKE_BAR_SIZE - off && (flags & MAP_TYPE) == MAP_SHARED ?
		0 : -EINVAL;
}

static const struct vfio_file_ops fake_container_ops = {
	.type = VFIO_FILE_CONTAINER, .ioctl = fake_ioctl, .close = fake_close,
};
static const struct vfio_file_ops fake_group_ops = {
	.type = VFIO_FILE_GROUP, .ioctl = fake_ioctl, .close = fake_close,
};
static const struct vfio_file_ops fake_iommufd_ops = {
	.type = VFIO_FILE_IOMMUFD, .ioctl = fake_ioctl, .close = fake_close,
};
static const struct vfio_file_ops fake_device_ops = {
	.type = VFIO_FILE_DEVICE, .ioctl = fake_ioctl, .pread = fake_pread, .pwrite = fake_pwrite,
	.mmap = fake_mmap, .close = fake_close,
};

static int fake_open_container(struct vfio_host *h, struct vfio_file **f)
{
	*f = fake_new(&fake_container_ops, "/dev/vfio/vfio");
	return 0;
}

/* One opener at a time, as a real group. */
static int fake_open_group(struct vfio_host *h, unsigned int group, struct vfio_file **f)
{
	if (group != 7)
		return -ENODEV;
	if (fk.open[VFIO_FILE_GROUP])
		return -EBUSY;
	*f = fake_new(&fake_group_ops, "/dev/vfio/7");
	return 0;
}

static int fake_open_cdev(struct vfio_host *h, unsigned int index, struct vfio_file **f)
{
	if (index)
		return -ENODEV;
	*f = fake_new(&fake_device_ops, "/dev/vfio/devices/vfio0");
	return 0;
}

static int fake_open_iommufd(struct vfio_host *h, struct vfio_file **f)
{
	*f = fake_new(&fake_iommufd_ops, "/dev/iommu");
	return 0;
}

static bool fake_numbers(struct vfio_host *h, unsigned int nr, unsigned int *ma, unsigned int *mi)
{
	*ma = 511;
	*mi = nr;
	return true;
}

static const struct uapi_nodes fake_nodes = {
	.open_container = fake_open_container,
	.open_group = fake_open_group,
	.open_cdev = fake_open_cdev,
	.open_iommufd = fake_open_iommufd,
	.cdev_numbers = fake_numbers,
	.group_numbers = fake_numbers,
};

/* Whatever ends in "busy" is; "slow" is answered later. */
static int64_t fake_store(void *arg, const char *path, const char *text, size_t len,
			  struct uapi_attr_call *call)
{
	snprintf(fk.stored, sizeof(fk.stored), "%s", text);
	snprintf(fk.stored_path, sizeof(fk.stored_path), "%s", path);
	fk.stores++;
	if (!strncmp(text, "busy", 4))
		return -EBUSY;
	if (!strncmp(text, "slow", 4)) {
		call->complete(call, (int64_t)len);	/* even before we return */
		return -EINPROGRESS;
	}
	return (int64_t)len;
}

/* --------------------------------------------------------------- shadow tree */

static char h_root[64];

__attribute__((format(printf, 3, 4)))
static void tree_file(mode_t mode, const char *text, const char *fmt, ...)
{
	char rel[400], path[500], *p;
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(rel, sizeof(rel), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s%s", h_root, rel);
	for (p = path + strlen(h_root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	if (mode == S_IFDIR) {
		mkdir(path, 0755);
	} else if (mode == S_IFLNK) {
		assert(!symlink(text, path));
	} else {
		fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
		assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
		fchmod(fd, mode);
		close(fd);
	}
}

#define FN "/sys/devices/ferry0/pci0000:01/" BDF

static void tree_make(void)
{
	snprintf(h_root, sizeof(h_root), "/tmp/uapi-test-XXXXXX");
	assert(mkdtemp(h_root));
	tree_file(0644, "\n", FN "/driver_override");
	tree_file(0444, "0x1b36\n", FN "/vendor");
	tree_file(0200, "", FN "/reset");
	tree_file(0444, "511:0\n", FN "/vfio-dev/vfio0/dev");
	tree_file(S_IFLNK, "../../../../kernel/iommu_groups/7", FN "/iommu_group");
	tree_file(S_IFLNK, "../../../../bus/pci", FN "/subsystem");
	tree_file(S_IFLNK, "../../../devices/ferry0/pci0000:01/" BDF, "/sys/bus/pci/devices/" BDF);
	tree_file(0200, "", "/sys/bus/pci/drivers/vfio-pci/bind");
	tree_file(S_IFLNK, "../../../../devices/ferry0/pci0000:01/" BDF, "/sys/kernel/iommu_groups/7/devices/" BDF);
	tree_file(S_IFDIR, "", "/sys/module/vfio");
	tree_file(S_IFDIR, "", "/sys/module/vfio_pci");
	tree_file(S_IFLNK, "../vfio/devices/vfio0", "/dev/char/511:0");
	tree_file(0666, "", "/dev/vfio/vfio");
	tree_file(0666, "", "/dev/vfio/7");
	tree_file(0666, "", "/dev/vfio/devices/vfio0");
	tree_file(0666, "", "/dev/iommu");
}

static void tree_remove(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", h_root);
	if (system(cmd))
		printf("# left behind: %s\n", h_root);
}

/* ----------------------------------------------------------------- a session */

struct run {
	pid_t launcher;
	int sock;			/* to the launcher */
	struct uapi_session *s;
	atomic_bool ended;
	int status;			/* of the launcher */
	int trace;
};

static struct uapi_host h_host;
static struct vfio_host h_vfio;
static bool h_no_getfd;

static void h_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	tree_make();
	h_host = (struct uapi_host){
		.vfio = &h_vfio, .root = h_root, .root_fd = open(h_root, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.kind = ENV_EPOLL, .attr_store = fake_store,
	};
}

static void h_end(void)
{
	close(h_host.root_fd);
	tree_remove();
}

static void h_ended(void *arg, struct uapi_session *s)
{
	struct run *r = arg;

	r->ended = true;
}

static const char *h_self(void)
{
	static char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert(n > 0);
	self[n] = '\0';
	return self;
}

/* The program is this test with --client @name, or @argv. */
static void run_start(struct run *r, const char *name, char **argv)
{
	struct uapi_session_config cfg = { .broker = -1, .trace = -1, .ended = h_ended, .arg = r };
	struct ferry_err err = { 0 };
	int sv[2];

	memset(r, 0, offsetof(struct run, trace));
	assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	r->launcher = fork();
	if (!r->launcher) {
		char num[16];
		char *own[] = { (char *)h_self(), "--launch", num, (char *)h_self(), "--client", (char *)name, NULL };
		char *other[32] = { (char *)h_self(), "--launch", num };
		int i;

		fcntl(sv[0], F_SETFD, 0);
		snprintf(num, sizeof(num), "%d", sv[0]);
		for (i = 0; argv && argv[i]; i++)
			other[3 + i] = argv[i];
		execv(h_self(), argv ? other : own);
		_exit(99);
	}
	close(sv[0]);
	r->sock = sv[1];
	cfg.listener = fd_recv(r->sock);
	if (cfg.listener < 0)
		return;		/* it failed before: run_wait tells */
	cfg.broker = fd_recv(r->sock);
	assert(recv(r->sock, &cfg.pid, sizeof(cfg.pid), 0) == sizeof(cfg.pid));
	cfg.trace = r->trace > 0 ? r->trace : -1;
	if (session_start(&h_host, &fake_nodes, &cfg, &r->s, &err)) {
		printf("# session_start: %s\n", err.msg);
		exit(1);
	}
	if (h_no_getfd)
		atomic_store(&r->s->cm->no_getfd, true);
	assert(send(r->sock, "", 1, MSG_NOSIGNAL) == 1);
}

/* Waits for launcher and session; the exit status of `ferry run`. */
static int run_wait(struct run *r)
{
	unsigned int i;
	int st;

	assert(waitpid(r->launcher, &st, 0) == r->launcher);
	r->status = WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + WTERMSIG(st);
	for (i = 0; r->s && !r->ended && i < 20000; i++)
		poll(NULL, 0, 1);
	if (r->s)
		uapi_session_stop(r->s);
	r->s = NULL;
	close(r->sock);
	return r->status;
}

__attribute__((unused))
static int run(const char *client)
{
	static struct run r;

	run_start(&r, client, NULL);
	return run_wait(&r);
}

__attribute__((unused))
static int run_argv(char **argv)
{
	static struct run r;

	run_start(&r, NULL, argv);
	return run_wait(&r);
}

/* Shell text under the filter. */
__attribute__((unused))
static int run_sh(const char *text)
{
	return run_argv((char *[]){ "/bin/sh", "-c", (char *)text, NULL });
}

static unsigned int h_grace = 300;

static int launch_handoff(void *arg, int listener, int broker, pid_t pid, struct ferry_err *err)
{
	int sock = *(int *)arg;
	char go;

	if (fd_send(sock, listener) || fd_send(sock, broker) ||
	    send(sock, &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid) || recv(sock, &go, 1, 0) != 1)
		return ferry_err_set(err, EPIPE, "E-TEST", NULL, "the test is gone");
	return sock;
}

static int launch_main(int sock, char **argv)
{
	struct uapi_launch l = { .argv = argv, .grace_ms = h_grace, .handoff = launch_handoff, .arg = &sock };
	struct ferry_err err = { 0 };
	int ret;

	fcntl(sock, F_SETFD, FD_CLOEXEC);
	ret = uapi_launch(&l, &err);
	if (err.num)
		fprintf(stderr, "# launch: %s\n", err.msg);
	return ret;
}

/* ------------------------------------------------------------------- clients */

struct client {
	const char *name;
	int (*fn)(void);
};

#define CHECK(x) do {                                                                   \
		if (!(x)) {                                                             \
			fprintf(stderr, "# client line %d: %s: errno %d\n", __LINE__, #x, errno); \
			return 1;                                                       \
		}                                                                       \
	} while (0)

/* Handles --launch and --client; -1: this is the test itself. */
__attribute__((unused))
static int h_main(int argc, char **argv, const struct client *clients, size_t nr)
{
	size_t i;

	alarm(60);
	if (argc > 3 && !strcmp(argv[1], "--launch")) {
		alarm(0);
		return launch_main((int)strtol(argv[2], NULL, 10), argv + 3);
	}
	if (argc > 2 && !strcmp(argv[1], "--client"))
		for (i = 0; i < nr; i++)
			if (!strcmp(argv[2], clients[i].name))
				return clients[i].fn();
	return argc > 1 && !strncmp(argv[1], "--", 2) ? 98 : -1;
}

__attribute__((unused))
static int open_device(void)
{
	return open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
}

struct counts {
	unsigned int fds, tasks, maps;
};

static unsigned int count_dir(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* What this process holds: stable when sessions have ended. */
__attribute__((unused))
static struct counts count_all(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	struct counts c = { 0 };

	while (f && fgets(line, sizeof(line), f))
		c.maps += strstr(line, "memfd:") != NULL;
	if (f)
		fclose(f);
	c.fds = count_dir("/proc/self/fd");
	c.tasks = count_dir("/proc/self/task");
	return c;
}

#endif
