/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A program under a session: nodes, attributes, the calls on their
 * descriptors, shells and coreutils. Also run again as an ordinary user.
 */
#include <grp.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

#include "uapi_harness.h"

#define KVM_DEVICE_ATTR 0x4018aee1ul

/* ------------------------------------------------------------------- clients */

static int cl_container(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR), again;
	char text[64] = "", link[40];
	struct stat st;

	CHECK(fd >= 1024);
	CHECK(ioctl(fd, FK_VERSION) == 0);
	CHECK(ioctl(fd, 0x3bff) == -1 && errno == ENOTTY);
	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 196));
	CHECK(!stat("/dev/vfio/vfio", &st) && S_ISCHR(st.st_mode) && (st.st_mode & 0777) == 0666);
	CHECK(!access("/dev/vfio/vfio", R_OK | W_OK));
	CHECK(access("/dev/vfio/vfio", X_OK) == -1 && errno == EACCES);
	CHECK(!access("/dev/iommu", F_OK));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	CHECK(readlink(link, text, sizeof(text)) == 14 && !memcmp(text, "/dev/vfio/vfio", 14));
	CHECK(!stat(link, &st) && S_ISCHR(st.st_mode));
	again = open(link, O_RDWR);
	CHECK(again >= 0 && again != fd && ioctl(again, FK_VERSION) == 0);
	CHECK(read(fd, text, 1) == -1 && errno == EINVAL);
	CHECK(write(fd, text, 1) == -1 && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(lseek(fd, 0, SEEK_SET) == -1 && errno == ESPIPE);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	CHECK(fcntl(fd, F_GETFD) == 0);
	CHECK(open("/dev/vfio/nothing", O_RDWR) == -1 && errno == ENOENT);
	CHECK(open("/dev/vfio/8", O_RDWR) == -1 && errno == ENOENT);
	CHECK(open("/dev/vfio/vfio", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
	return 0;
}

static int cl_device(void)
{
	int group = open("/dev/vfio/7", O_RDWR), fd, other, i;
	uint64_t v = 5;
	uint8_t buf[300];
	struct iovec iov[3];
	struct stat st;
	volatile uint32_t *bar;

	CHECK(group >= 0);
	CHECK(open("/dev/vfio/7", O_RDWR) == -1 && errno == EBUSY);
	fd = ioctl(group, FK_GET_DEVICE, "x");
	CHECK(fd >= 1024);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(pwrite(fd, &v, 8, R0) == 8 && pwrite(fd, &v, 8, R0) == 8);
	CHECK(pread(fd, &v, 8, R0) == 8 && v == 10);
	CHECK(pread(fd, buf, 4, R7 + 16) == 4 && buf[0] == 16 && buf[3] == 19);
	CHECK(pread(fd, buf, sizeof(buf), R7) == 256 && buf[255] == 255);
	CHECK(pread(fd, buf, 4, 5ull << 40) == -1 && errno == EINVAL);
	CHECK(syscall(__NR_pread64, fd, 8ul, 4ul, R7) == -1 && errno == EFAULT);
	iov[0] = (struct iovec){ buf, 2 };
	iov[1] = (struct iovec){ buf + 10, 0 };
	iov[2] = (struct iovec){ buf + 20, 6 };
	CHECK(preadv(fd, iov, 3, (off_t)R7 + 100) == 8 && buf[1] == 101 && buf[25] == 107);
	CHECK(preadv2(fd, iov, 3, (off_t)R7 + 50, 0) == 8 && buf[0] == 50);
	v = 7;
	iov[0] = (struct iovec){ &v, 8 };
	CHECK(pwritev(fd, iov, 1, R0) == 8 && pread(fd, &v, 8, R0) == 8 && v == 17);
	/* The file position starts at region 0. */
	CHECK(read(fd, &v, 8) == 8 && v == 17);
	CHECK(lseek(fd, 0, SEEK_CUR) == -1 && errno == ESPIPE);
	CHECK(ftruncate(fd, 0) == -1 && errno == EINVAL);
	CHECK(!fstat(fd, &st) && !S_ISCHR(st.st_mode));
	/* BAR memory is the device's. */
	bar = mmap(NULL, FAKE_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(bar != MAP_FAILED);
	bar[16] = 0x12345678;
	CHECK(pread(fd, buf, 4, 64) == 4 && !memcmp(buf, "\x78\x56\x34\x12", 4));
	CHECK(pwrite(fd, "abcd", 4, 128) == 4 && bar[32] == 0x64636261);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)R7) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 2 * FAKE_BAR_SIZE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	/* The seals. */
	CHECK(syscall(__NR_fallocate, fd, 0, 0, 4096) == -1 && errno == EINVAL);
	/* Copies: high by dup, low by dup2. */
	other = dup(fd);
	CHECK(other >= 1024 && other != fd && pread(other, &v, 8, R0) == 8 && v == 17);
	CHECK(fcntl(fd, F_DUPFD_CLOEXEC, 3) >= 1024);
	CHECK(dup2(fd, 50) == 50 && ioctl(50, FK_VERSION) == 0);
	CHECK(pread(50, buf, 4, R7) == 4 && buf[3] == 3);
	/* The number that holds something else now means that. */
	i = open("/dev/null", O_RDWR);
	CHECK(dup2(i, other) == other && ioctl(other, FK_VERSION) == -1 && errno == ENOTTY);
	CHECK(ioctl(fd, FK_FILE, fd) == 1 && ioctl(fd, FK_FILE, 50) == 1 && ioctl(fd, FK_FILE, i) == 0);
	CHECK(ioctl(fd, FK_FILE, 777) == -1 && errno == EBADF);
	CHECK(ioctl(fd, FK_FILE, -1) == -1 && errno == EBADF);
	return 0;
}

static int cl_cdev(void)
{
	int fd = open_device(), second;
	struct statx x;
	struct stat st;

	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 0));
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) && S_ISCHR(x.stx_mode) && x.stx_rdev_major == 511);
	CHECK(!statx(AT_FDCWD, "/dev/vfio/devices/vfio0", 0, STATX_BASIC_STATS, &x) && x.stx_rdev_major == 511);
	second = open("/dev/char/511:0", O_RDWR);
	CHECK(second >= 0 && !fstat(second, &st) && st.st_rdev == makedev(511, 0));
	CHECK(ioctl(fd, FK_COUNT) == 2);
	CHECK(!close(second));
	CHECK(ioctl(fd, FK_COUNT) == 1);
	CHECK(close(second) == -1 && errno == EBADF);
	return 0;
}

static int cl_slow(void)
{
	int fd = open_device(), dev;

	CHECK(ioctl(fd, FK_SLOW) == 42);
	dev = ioctl(fd, FK_SLOW_DEVICE);
	CHECK(dev >= 0 && ioctl(dev, FK_VERSION) == 0 && ioctl(fd, FK_COUNT) == 2);
	return 0;
}

static int cl_eventfd(void)
{
	int fd = open_device(), ev = eventfd(0, EFD_CLOEXEC), file = open("/dev/null", O_RDWR);
	uint64_t v = 0;

	CHECK(ev >= 0 && (fcntl(ev, F_GETFD) & FD_CLOEXEC));
	CHECK(ioctl(fd, FK_IRQ, ev) == 0 && read(ev, &v, 8) == 8 && v == 1);
	CHECK(ioctl(fd, FK_IRQ, file) == -1 && errno == EINVAL);
	CHECK(ioctl(fd, FK_IRQ, 999) == -1 && errno == EBADF);
	return 0;
}

static int cl_attr(void)
{
	int fd, null = open("/dev/null", O_RDWR);
	char buf[64] = "";
	struct stat st;

	fd = open(FN "/vendor", O_RDONLY);
	CHECK(fd >= 0 && fd < 1024 && read(fd, buf, sizeof(buf)) == 7 && !memcmp(buf, "0x1b36\n", 7));
	CHECK(!stat(FN "/vendor", &st) && st.st_size == 4096 && S_ISREG(st.st_mode));
	CHECK(open(FN "/vendor", O_WRONLY) == -1 && errno == EACCES);
	fd = open("/sys/bus/pci/devices/" BDF "/driver_override", O_WRONLY | O_TRUNC | O_CREAT, 0666);
	CHECK(fd >= 1024);
	CHECK(write(fd, "nvme\n", 5) == 5);
	CHECK(write(fd, "busy\n", 5) == -1 && errno == EBUSY);
	CHECK(write(fd, "slow\n", 5) == 5);
	CHECK(ftruncate(fd, 0) == 0 && read(fd, buf, 1) == -1 && errno == EBADF);
	fd = open(FN "/driver_override", O_RDWR);
	CHECK(fd >= 0 && read(fd, buf, sizeof(buf)) == 1 && buf[0] == '\n' && read(fd, buf, 1) == 0);
	CHECK(open(FN "/new", O_WRONLY | O_CREAT, 0666) == -1 && errno == EACCES);
	CHECK(open(FN "/new", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(open(FN, O_WRONLY) == -1 && errno == EISDIR);
	CHECK(getxattr(FN "/vendor", "user.x", buf, 8) == -1 && errno == ENODATA);
	CHECK(chmod(FN "/vendor", 0777) == -1 && errno == EPERM);
	CHECK(chown("/dev/vfio/7", 0, 0) == 0);
	CHECK(inotify_add_watch(inotify_init(), FN, IN_CREATE) == -1 && errno == EPERM);
	CHECK(write(null, "x", 1) == 1);
	return 0;
}

static int cl_paths(void)
{
	char buf[PATH_MAX] = "", where[PATH_MAX], *real;
	struct open_how how = { .flags = O_RDONLY };
	int dir, fd;

	real = realpath("/sys/bus/pci/devices/" BDF "/iommu_group", where);
	CHECK(real && !strcmp(real, "/sys/kernel/iommu_groups/7"));
	real = realpath("/sys/kernel/iommu_groups/7/devices/" BDF "/subsystem", where);
	CHECK(real && !strcmp(real, "/sys/bus/pci"));
	CHECK(readlink(FN "/vendor", buf, 10) == -1 && errno == EINVAL);
	dir = open("/sys/bus/pci/devices", O_RDONLY | O_DIRECTORY);
	CHECK(dir >= 0 && dir < 1024);
	fd = openat(dir, BDF "/vendor", O_RDONLY);
	CHECK(fd >= 0 && read(fd, buf, 6) == 6);
	CHECK(readlinkat(dir, BDF, buf, sizeof(buf)) > 10);
	CHECK(!faccessat(dir, BDF "/../" BDF "/vendor", R_OK, 0));
	CHECK(syscall(__NR_openat2, dir, BDF "/vendor", &how, sizeof(how)) >= 0);
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", dir);
	real = realpath(buf, where);
	CHECK(real && !strcmp(real, "/sys/bus/pci/devices"));
	/* By a directory descriptor the kernel moves, and we know where. */
	CHECK(!fchdir(dir) && getcwd(buf, sizeof(buf)) && !strcmp(buf, "/sys/bus/pci/devices"));
	CHECK(!access(BDF "/vendor", R_OK));
	CHECK(!chdir("/") && getcwd(buf, sizeof(buf)) && !strcmp(buf, "/"));
	/* By name it doesn't. */
	CHECK(!chdir("/sys/bus/pci") && getcwd(buf, sizeof(buf)) && !strcmp(buf, "/sys/bus/pci"));
	CHECK(!access("devices/" BDF, F_OK) && !chdir("devices"));
	CHECK(getcwd(buf, sizeof(buf)) && !strcmp(buf, "/sys/bus/pci/devices"));
	CHECK(!getcwd(buf, 5) && errno == ERANGE);
	CHECK(chdir("nowhere") == -1 && errno == ENOENT);
	CHECK(!chdir("/tmp") && getcwd(buf, sizeof(buf)) && !strcmp(buf, "/tmp"));
	CHECK(access("devices/" BDF, F_OK) == -1);
	/* What the tree does not have does not exist, whatever the machine has. */
	CHECK(access("/sys/bus/pci/rescan", F_OK) == -1 && errno == ENOENT);
	CHECK(!access("/sys/module/vfio", F_OK) && access("/sys/module/vfio_x", F_OK) == -1);
	CHECK(!access("/sys/devices/system/cpu", F_OK));
	CHECK(!access("../dev/vfio/vfio", F_OK));
	CHECK(syscall(__NR_open, 8ul, O_RDONLY) == -1 && errno == EFAULT);
	CHECK(open("", O_RDONLY) == -1 && errno == ENOENT);
	return 0;
}

static int cl_page_end(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *path;
	static const char name[] = "/dev/vfio/vfio";

	CHECK(p != MAP_FAILED && !munmap(p + 4096, 4096));
	path = p + 4096 - sizeof(name);
	memcpy(path, name, sizeof(name));
	CHECK(!access(path, F_OK));
	memcpy(path + 1, name, sizeof(name) - 1);	/* no end before the hole */
	CHECK(access(path + 1, F_OK) == -1 && errno == EFAULT);
	return 0;
}

static int cl_kvm(void)
{
	int fd = open_device(), null = open("/dev/null", O_RDWR);
	struct kvm_device_attr a = { .group = 1, .attr = 1, .addr = (uintptr_t)&fd };

	CHECK(ioctl(null, KVM_DEVICE_ATTR, &a) == 0);
	a.addr = (uintptr_t)&null;
	CHECK(ioctl(null, KVM_DEVICE_ATTR, &a) == -1 && errno == ENOTTY);
	a.group = 2;
	a.addr = (uintptr_t)&fd;
	CHECK(ioctl(null, KVM_DEVICE_ATTR, &a) == -1 && errno == ENOTTY);
	return 0;
}

/* A close is over when it returns, device and all. */
static int cl_close_order(void)
{
	int probe = open("/dev/vfio/vfio", O_RDWR), i;

	for (i = 0; i < 20; i++) {
		int fd = open_device(), keep;

		CHECK(fd >= 0 && ioctl(probe, FK_COUNT) == 1);
		keep = i % 2 ? dup(fd) : -1;
		CHECK(!close(fd));
		CHECK(ioctl(probe, FK_COUNT) == (keep >= 0));
		if (keep >= 0) {
			CHECK(pread(keep, &fd, 4, R0) == 4);
			CHECK(!close(keep) && ioctl(probe, FK_COUNT) == 0);
		}
	}
	return 0;
}

static int cl_group_reopen(void)
{
	int i;

	for (i = 0; i < 200; i++) {
		int fd = open("/dev/vfio/7", O_RDWR);

		CHECK(fd >= 0 && !close(fd));
	}
	return 0;
}

static int cl_many(void)
{
	int i, fd, last = -1;

	/* More than the window holds. */
	for (i = 0; i < 700; i++) {
		fd = open("/dev/vfio/vfio", O_RDWR);
		if (fd < 0)
			break;
		CHECK(ioctl(fd, FK_VERSION) == 0);
		last = fd;
	}
	CHECK(last >= 0 && i >= 512);
	return 0;
}

static int cl_loop(void)
{
	int i;

	for (i = 0; i < 1000; i++) {
		int c = open("/dev/vfio/vfio", O_RDWR), d = open_device();
		void *p;

		CHECK(c >= 0 && d >= 0);
		p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, d, 0);
		CHECK(p != MAP_FAILED);
		CHECK(!close(d) && !munmap(p, 4096) && !close(c));
	}
	return 0;
}

static const struct client clients[] = {
	{ "container", cl_container }, { "device", cl_device }, { "cdev", cl_cdev },
	{ "slow", cl_slow }, { "eventfd", cl_eventfd }, { "attr", cl_attr }, { "paths", cl_paths },
	{ "page_end", cl_page_end }, { "kvm", cl_kvm }, { "close_order", cl_close_order },
	{ "group_reopen", cl_group_reopen }, { "many", cl_many }, { "loop", cl_loop },
};

/* --------------------------------------------------------------------- shells */

static const struct {
	const char *what, *text;
} shells[] = {
	{ "sh lists the bus", "test \"$(ls /sys/bus/pci/devices)\" = " BDF },
	{ "sh writes an attribute", "echo nvme > /sys/bus/pci/devices/" BDF "/driver_override" },
	{ "sh sees the store's error", "! echo busy > " FN "/driver_override 2>/dev/null" },
	{ "sh can't write what is read-only", "! echo x > " FN "/vendor 2>/dev/null" },
	{ "cat, ls -l, find, readlink", "set -e; test \"$(cat " FN "/vendor)\" = 0x1b36; ls -lR /sys/bus/pci >/dev/null;"
		" test \"$(find /sys/bus/pci -name vfio-pci)\" = /sys/bus/pci/drivers/vfio-pci;"
		" test \"$(readlink -f /sys/bus/pci/devices/" BDF ")\" = " FN },
	{ "ls -l shows a character device", "ls -l /dev/vfio/7 | grep -q '^crw-rw-rw-.* 511, *7 '" },
	{ "cd into the tree", "set -e; cd /sys/bus/pci/devices; test \"$(ls)\" = " BDF "; cd " BDF
		"; test \"$(cat vendor)\" = 0x1b36; cd /; ls usr >/dev/null" },
	{ "a glob over the tree", "set -- /sys/bus/pci/devices/*; test \"$1\" = /sys/bus/pci/devices/" BDF },
	{ "tee", "! echo busy | tee " FN "/driver_override >/dev/null 2>&1" },
};

static void run_all(void)
{
	struct counts before, after;
	static struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(clients); i++) {
		ok(!run(clients[i].name), "client %s", clients[i].name);
		if (fk.open[0] || fk.open[1] || fk.open[2] || fk.open[3])
			ok(false, "%s left files open: %d %d %d %d", clients[i].name, fk.open[0], fk.open[1], fk.open[2], fk.open[3]);
	}
	for (i = 0; i < ARRAY_SIZE(shells); i++)
		ok(!run_sh(shells[i].text), "%s", shells[i].what);
	ok(!strcmp(fk.stored_path, FN "/driver_override"), "stores name the canonical path: %s", fk.stored_path);

	fk.close_delay_ms = 5;
	ok(!run("close_order"), "close waits for a close that takes its time");
	fk.close_delay_ms = 0;

	h_no_getfd = true;
	ok(!run("container") && !run("cdev") && !run("attr"), "without pidfd_getfd");
	h_no_getfd = false;

	r.trace = memfd_create("trace", MFD_CLOEXEC);
	run_start(&r, "device", NULL);
	i = (size_t)fcntl(r.trace, F_DUPFD_CLOEXEC, 0);
	ok(!run_wait(&r), "with a trace");
	ok(lseek((int)i, 0, SEEK_END) > 500, "the trace has lines");
	close((int)i);
	r.trace = 0;

	run("container");
	before = count_all();
	for (i = 0; i < 2; i++)
		run("loop");
	after = count_all();
	ok(before.fds == after.fds && before.tasks == after.tasks && before.maps == after.maps,
	   "nothing is left after 2000 rounds: fds %u %u tasks %u %u maps %u %u", before.fds, after.fds,
	   before.tasks, after.tasks, before.maps, after.maps);
}

/* The whole program again as nobody; a binary that nobody may read can't be reached. */
static void run_as_user(void)
{
	pid_t pid;
	int st;

	if (getuid() || access(h_self(), R_OK))
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		int null = open(getenv("TEST_USER_LOG") ?: "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0666);

		dup2(null, 1);
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
	run_all();
	h_end();
	run_as_user();
	return tap_end();
}
