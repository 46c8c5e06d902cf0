/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Memory that a program gives for DMA: which of it is mapped here, which is
 * reached by copying, and that both see what the program sees.
 */
#include "uapi_harness.h"

#define LEN (64u * 4096)
#define MAPPED 1
#define REMOTE 2

static int dev;

static int map(void *p, uint64_t len, bool writable)
{
	struct fk_map m = { (uintptr_t)p, len, writable, -1, 0 };

	return ioctl(dev, FK_MAP, &m);
}

static int map_file(int fd, uint64_t start, uint64_t len, bool writable)
{
	struct fk_map m = { 0, len, writable, fd, start };

	return ioctl(dev, FK_MAP_FILE, &m);
}

/* The device writes all of it; the program sees it, and the other way round. */
static int check_dma(uint8_t *p, uint64_t len)
{
	uint64_t i;

	CHECK(ioctl(dev, FK_DMA_WRITE, 0xa5) == 0);
	for (i = 0; i < len; i += 511)
		CHECK(p[i] == 0xa5);
	p[0] = 0x17;
	CHECK(ioctl(dev, FK_DMA_READ) == 0x17);
	return 0;
}

static int file_of(const char *kind)
{
	char path[64];
	int fd;

	if (!strcmp(kind, "memfd")) {
		fd = memfd_create("ram", MFD_CLOEXEC);
	} else {
		snprintf(path, sizeof(path), "%s/uapi-mem-XXXXXX", kind);
		fd = mkstemp(path);
		unlink(path);
	}
	return fd < 0 || ftruncate(fd, 4 * LEN) ? -1 : fd;
}

static int cl_anon(void)
{
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	dev = open_device();
	CHECK(map(p, LEN, true) == REMOTE && !check_dma(p, LEN));
	CHECK(map(p + 4096, 4096, true) == REMOTE && !check_dma(p + 4096, 4096));
	return 0;
}

static int cl_shared(void)
{
	int fd = file_of("memfd");
	uint8_t *p = mmap(NULL, 2 * LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LEN);

	dev = open_device();
	CHECK(map(p, LEN, true) == MAPPED && !check_dma(p, LEN));
	CHECK(map(p + LEN, LEN, true) == MAPPED && !check_dma(p + LEN, LEN));
	/* After an unmap in the program the memory is still the device's. */
	CHECK(map(p, LEN, true) == MAPPED && !munmap(p, 2 * LEN));
	CHECK(ioctl(dev, FK_DMA_WRITE, 3) == 0 && ioctl(dev, FK_DMA_READ) == 3);
	/* Its file closed: reached by copying. */
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	CHECK(map(p, LEN, true) == REMOTE && !check_dma(p, LEN));
	return 0;
}

/* The file is there, maps well, and is not what the program sees once it wrote. */
static int cl_private_trap(void)
{
	int fd = file_of("memfd");
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), byte;

	dev = open_device();
	CHECK(map(p, LEN, true) == REMOTE);
	memset(p, 'B', LEN);
	CHECK(!check_dma(p, LEN));
	CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 0);
	return 0;
}

static int cl_tmpfs(void)
{
	int fd = file_of("/dev/shm");
	uint8_t *p;

	if (fd < 0)
		return 77;
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	dev = open_device();
	CHECK(map(p, LEN, true) == MAPPED && !check_dma(p, LEN));
	return 0;
}

/* Any other file system could let us wait: copies. */
static int cl_disk(void)
{
	int fd = file_of("/var/tmp");
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct stat a, b;

	CHECK(fd >= 0 && p != MAP_FAILED);
	if (!fstat(fd, &a) && !stat("/dev/shm", &b) && a.st_dev == b.st_dev)
		return 77;
	dev = open_device();
	CHECK(map(p, LEN, true) == REMOTE && !check_dma(p, LEN));
	CHECK(map_file(fd, 0, LEN, true) == -1 && errno == EINVAL);
	return 0;
}

static int cl_huge(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	uint8_t *p = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, 4 << 20))
		p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return 77;
	dev = open_device();
	CHECK(map(p + 8192, LEN, true) == MAPPED && !check_dma(p + 8192, LEN));
	CHECK(map_file(fd, 2 << 20, LEN, true) == MAPPED && !check_dma(p + (2 << 20), LEN));
	return 0;
}

static int cl_mixed(void)
{
	int fd = file_of("memfd");
	uint8_t *p = mmap(NULL, 4 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	dev = open_device();
	/* Two pieces of one file that continue each other, as one; not when they don't. */
	CHECK(mmap(p, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	CHECK(mmap(p + LEN, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, LEN) == p + LEN);
	CHECK(map(p, 2 * LEN, true) == MAPPED && !check_dma(p, 2 * LEN));
	CHECK(mmap(p + LEN, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 2 * LEN) == p + LEN);
	CHECK(map(p, 2 * LEN, true) == REMOTE && !check_dma(p, 2 * LEN));
	CHECK(map(p + LEN, 2 * LEN, true) == REMOTE && !check_dma(p + LEN, 2 * LEN));
	/* Holes and permissions. */
	CHECK(!munmap(p + 2 * LEN, 4096));
	CHECK(map(p + LEN, 2 * LEN, true) == -1 && errno == EFAULT);
	CHECK(map(p + 2 * LEN, 4096, true) == -1 && errno == EFAULT);
	CHECK(!mprotect(p, LEN, PROT_READ));
	CHECK(map(p, LEN, true) == -1 && errno == EFAULT);
	CHECK(map(p, LEN, false) == MAPPED && ioctl(dev, FK_DMA_READ) == p[0]);
	CHECK(!mprotect(p, LEN, PROT_NONE));
	CHECK(map(p, LEN, false) == -1 && errno == EFAULT);
	CHECK(map((void *)-4096l, 8192, false) == -1 && errno == EFAULT);
	CHECK(map(p, 0, false) == -1 && errno == EFAULT);
	return 0;
}

static int cl_bar(void)
{
	void *p;

	dev = open_device();
	p = mmap(NULL, FAKE_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);
	CHECK(p != MAP_FAILED);
	CHECK(map(p, 4096, true) == -1 && errno == EADDRINUSE);
	CHECK(map_file(dev, 0, 4096, true) == -1 && errno == EINVAL);
	return 0;
}

static int cl_by_file(void)
{
	int fd = file_of("memfd"), ro;
	uint8_t *p = mmap(NULL, 4 * LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char link[40];

	dev = open_device();
	CHECK(map_file(fd, LEN, LEN, true) == MAPPED && !check_dma(p + LEN, LEN));
	CHECK(map_file(fd, 4 * LEN, 4096, true) == -1 && errno == EINVAL);
	CHECK(map_file(fd, 4 * LEN - 4096, 8192, true) == -1 && errno == EINVAL);
	CHECK(map_file(fd, (uint64_t)-4096, 8192, true) == -1 && errno == EINVAL);
	CHECK(map_file(999, 0, 4096, true) == -1 && errno == EBADF);
	CHECK(map_file(eventfd(0, 0), 0, 4096, true) == -1 && errno == EINVAL);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ro = open(link, O_RDONLY);
	CHECK(map_file(ro, 0, LEN, true) == -1 && errno == EINVAL);
	CHECK(map_file(ro, 0, LEN, false) == MAPPED && ioctl(dev, FK_DMA_READ) == p[0]);
	return 0;
}

/* Pulled away under the device: an error for it, nothing for us. */
static int cl_truncated(void)
{
	int fd = file_of("memfd");
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	dev = open_device();
	CHECK(map(p, LEN, true) == MAPPED && !check_dma(p, LEN));
	CHECK(!ftruncate(fd, 4096));
	CHECK(ioctl(dev, FK_DMA_WRITE, 1) == -1 && errno == EFAULT);
	CHECK(map(p, LEN, true) == REMOTE);
	CHECK(ioctl(dev, FK_DMA_WRITE, 1) == -1 && errno == EFAULT);
	return 0;
}

/* Many pieces take one mapping and one pidfd of ours. */
static int cl_many(void)
{
	enum { PIECES = 3000 };
	int fd = memfd_create("ram", MFD_CLOEXEC), i;
	uint8_t *p;
	int devs[40];

	CHECK(!ftruncate(fd, PIECES * 4096));
	p = mmap(NULL, PIECES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (i = 0; i < 40; i++)
		devs[i] = open_device();
	for (i = 0; i < PIECES; i++) {
		dev = devs[i % 40];
		CHECK(map(p + 4096 * i, 4096, true) == MAPPED);
	}
	for (i = 0; i < 200; i++) {
		dev = devs[i % 40];
		CHECK(map(&devs, 16, true) == REMOTE);
	}
	return 0;
}

static int cl_gone(void)
{
	int fd = open("/dev/vfio/devices/vfio0", O_RDWR), st;
	uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	dev = fd;
	pid = fork();
	if (!pid)
		_exit(map(p, LEN, true) == REMOTE && !check_dma(p, LEN) ? 0 : 1);
	waitpid(pid, &st, 0);
	CHECK(!st);
	/* Its process is gone, and nobody else's memory is meant. */
	CHECK(ioctl(fd, FK_DMA_WRITE, 1) == -1 && errno == EFAULT);
	return 0;
}

static const struct client clients[] = {
	{ "anon", cl_anon }, { "shared", cl_shared }, { "private_trap", cl_private_trap },
	{ "tmpfs", cl_tmpfs }, { "disk", cl_disk }, { "huge", cl_huge }, { "mixed", cl_mixed },
	{ "bar", cl_bar }, { "by_file", cl_by_file }, { "truncated", cl_truncated },
	{ "many", cl_many }, { "gone", cl_gone },
};

int main(int argc, char **argv)
{
	int ret = h_main(argc, argv, clients, ARRAY_SIZE(clients)), code;
	struct counts before, after;
	size_t i;

	if (ret >= 0)
		return ret;
	h_init();
	/* Installs what copies of mapped memory need. */
	run("anon");
	before = count_all();
	for (i = 0; i < ARRAY_SIZE(clients); i++) {
		code = run(clients[i].name);
		ok(!code || code == 77, "%s%s", clients[i].name, code == 77 ? " # SKIP not to be had here" : "");
	}
	after = count_all();
	ok(before.fds == after.fds && before.tasks == after.tasks && before.maps == after.maps,
	   "nothing is left: fds %u %u maps %u %u", before.fds, after.fds, before.maps, after.maps);
	h_no_getfd = true;
	ok(!run("anon") && !run("shared") && !run("private_trap"), "without pidfd_getfd");
	h_end();
	return tap_end();
}
