/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What this machine can do without ferry, for the figures to stand beside:
 *
 *   floors lines           request and answer over two cache lines between two
 *                          cores, 4 KiB filled by one and copied by the other
 *   floors memcpy          random 4 KiB copies out of 256 MiB, one core
 *   floors notify          one seccomp notification, both ends on one core
 *   floors uring FILE D S  random 4 KiB O_DIRECT reads at depth D for S seconds
 */
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <ferry/base.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

enum { SAMPLES = 200000 };
static uint32_t lat[SAMPLES];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_lat(const char *what, unsigned int n)
{
	qsort(lat, n, sizeof(*lat), cmp_u32);
	printf("{\"floor\":\"%s\",\"median_us\":%.3f,\"p99_us\":%.3f}\n", what, lat[n / 2] / 1000.0,
	       lat[(uint64_t)n * 99 / 100] / 1000.0);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

struct lines {
	_Alignas(64) atomic_uint request;
	_Alignas(64) atomic_uint answer;
	_Alignas(4096) uint8_t data[4096];
};

static int floor_lines(void)
{
	struct lines *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			       -1, 0);
	uint8_t copy[4096];
	unsigned int i;
	pid_t pid;

	if (l == MAP_FAILED)
		return 1;
	pid = fork();
	if (pid == 0) {
		pin(1);
		for (i = 1; i <= SAMPLES; i++) {
			while (atomic_load_explicit(&l->request, memory_order_acquire) != i)
				;
			memset(l->data, (int)i, sizeof(l->data));
			atomic_store_explicit(&l->answer, i, memory_order_release);
		}
		_exit(0);
	}
	pin(0);
	for (i = 1; i <= SAMPLES; i++) {
		uint64_t t = now_ns();

		atomic_store_explicit(&l->request, i, memory_order_release);
		while (atomic_load_explicit(&l->answer, memory_order_acquire) != i)
			;
		memcpy(copy, l->data, sizeof(copy));
		__asm__ volatile("" : : "r"(copy) : "memory");
		lat[i - 1] = (uint32_t)(now_ns() - t);
	}
	waitpid(pid, NULL, 0);
	print_lat("two cache lines, 4 KiB filled and copied", SAMPLES);
	return 0;
}

static int floor_memcpy(void)
{
	size_t size = 256u << 20;
	uint8_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint8_t dst[4096];
	uint64_t rng = 1, t0, n = 0, end;

	if (mem == MAP_FAILED)
		return 1;
	memset(mem, 1, size);
	t0 = now_ns();
	end = t0 + 1000000000u;
	do {
		unsigned int i;

		for (i = 0; i < 256; i++) {
			rng = rng * 6364136223846793005u + 1442695040888963407u;
			memcpy(dst, mem + (rng >> 20) % (size / 4096) * 4096, 4096);
			__asm__ volatile("" : : "r"(dst) : "memory");
		}
		n += 256;
	} while (now_ns() < end);
	printf("{\"floor\":\"random 4 KiB memcpy from 256 MiB\",\"median_us\":%.3f}\n",
	       (double)(now_ns() - t0) / (double)n / 1000);
	return 0;
}

static int child_listener(int sock)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };
	char buf[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			      .msg_controllen = sizeof(buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fd;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  &prog);
	if (fd < 0)
		return -errno;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		return -errno;
	close(fd);
	return 0;
}

static int floor_notify(void)
{
	char buf[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			      .msg_controllen = sizeof(buf) };
	uint32_t *shared = mmap(NULL, SAMPLES * sizeof(*shared), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int sv[2], listener;
	unsigned int i;
	pid_t pid;

	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return 1;
	pin(0);
	pid = fork();
	if (pid == 0) {
		if (child_listener(sv[1]))
			_exit(1);
		for (i = 0; i < SAMPLES; i++) {
			uint64_t t = now_ns();

			syscall(__NR_getppid);
			shared[i] = (uint32_t)(now_ns() - t);
		}
		_exit(0);
	}
	close(sv[1]);
	if (recvmsg(sv[0], &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg)) {
		fprintf(stderr, "no listener: seccomp user notification is not to be had here\n");
		waitpid(pid, NULL, 0);
		return 1;
	}
	memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(listener));
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	for (i = 0; i < SAMPLES; i++) {
		struct seccomp_notif req;
		struct seccomp_notif_resp resp = { 0 };

		memset(&req, 0, sizeof(req));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
			break;
		resp.id = req.id;
		resp.val = 1;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
	waitpid(pid, NULL, 0);
	memcpy(lat, shared, sizeof(lat));
	print_lat("seccomp notification, both ends on one core", SAMPLES);
	return i == SAMPLES ? 0 : 1;
}

static int floor_uring(const char *path, unsigned int depth, double seconds)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	uint64_t started[256] = { 0 }, rng = 1, blocks, t0, end, n = 0, nr_lat = 0;
	struct io_uring ring;
	struct stat st;
	unsigned int i;
	uint8_t *mem;

	if (fd < 0 || fstat(fd, &st) || depth > 256 || !depth ||
	    posix_memalign((void **)&mem, 4096, depth * 4096ul)) {
		perror(path);
		return 1;
	}
	blocks = (uint64_t)st.st_size / 4096;
	if (!blocks || io_uring_queue_init(512, &ring, 0) < 0) {
		fprintf(stderr, "io_uring is not to be had here, or the file is empty\n");
		return 1;
	}
	t0 = now_ns();
	end = t0 + (uint64_t)(seconds * 1e9);
	for (i = 0; i < depth; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		io_uring_prep_read(sqe, fd, mem + i * 4096ul, 4096, (rng >> 20) % blocks * 4096);
		io_uring_sqe_set_data64(sqe, i);
		started[i] = now_ns();
	}
	while (now_ns() < end) {
		struct io_uring_cqe *cqe;
		unsigned int head, got = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

			i = (unsigned int)cqe->user_data;
			if (cqe->res != 4096) {
				fprintf(stderr, "read: %d\n", cqe->res);
				return 1;
			}
			if (nr_lat < SAMPLES)
				lat[nr_lat++] = (uint32_t)(now_ns() - started[i]);
			rng = rng * 6364136223846793005u + 1442695040888963407u;
			io_uring_prep_read(sqe, fd, mem + i * 4096ul, 4096,
					   (rng >> 20) % blocks * 4096);
			io_uring_sqe_set_data64(sqe, i);
			started[i] = now_ns();
			got++;
		}
		io_uring_cq_advance(&ring, got);
		n += got;
	}
	qsort(lat, nr_lat, sizeof(*lat), cmp_u32);
	printf("{\"floor\":\"io_uring read\",\"depth\":%u,\"iops\":%.0f,\"median_us\":%.3f}\n", depth,
	       (double)n * 1e9 / (double)(now_ns() - t0), nr_lat ? lat[nr_lat / 2] / 1000.0 : 0);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "lines"))
		return floor_lines();
	if (argc == 2 && !strcmp(argv[1], "memcpy"))
		return floor_memcpy();
	if (argc == 2 && !strcmp(argv[1], "notify"))
		return floor_notify();
	if (argc == 5 && !strcmp(argv[1], "uring"))
		return floor_uring(argv[2], (unsigned int)atoi(argv[3]), atof(argv[4]));
	fprintf(stderr, "usage: floors lines|memcpy|notify|uring FILE DEPTH SECONDS\n");
	return 2;
}
