/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The filter as a table of calls and verdicts: a small BPF interpreter runs it. */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include <frontends/uapi/launcher.h>

#define N SECCOMP_RET_USER_NOTIF
#define A SECCOMP_RET_ALLOW
#define LO 15872ull
#define HI 16384ull
#define AT_CWD ((uint64_t)(uint32_t)AT_FDCWD)

static int n, failed;

static void ok(bool good, const char *what, long arg)
{
	printf("%s %d - %s: %ld\n", good ? "ok" : "not ok", ++n, what, arg);
	failed += !good;
}

/* Only what filters of ours use; anything else is a failure. */
static uint32_t bpf_run(const struct sock_filter *p, unsigned int len, const struct seccomp_data *d)
{
	unsigned int pc = 0;
	uint32_t acc = 0;

	while (pc < len) {
		const struct sock_filter *i = &p[pc++];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert(i->k + 4 <= sizeof(*d) && i->k % 4 == 0);
			memcpy(&acc, (const char *)d + i->k, 4);
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += acc == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += acc >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += acc > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += acc & i->k ? i->jt : i->jf;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			acc >>= i->k;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return 0xdeadbeef;
		}
	}
	return 0xdeadbeef;
}

static const struct { int nr; uint64_t args[6]; uint32_t verdict; } calls[] = {
	{ __NR_openat, { AT_CWD }, N }, { __NR_open, { 0 }, N }, { __NR_openat2, { 0 }, N },
	{ __NR_stat, { 0 }, N }, { __NR_readlink, { 0 }, N }, { __NR_getcwd, { 0 }, N }, { __NR_chdir, { 0 }, N },
	{ __NR_inotify_add_watch, { 0 }, N }, { __NR_access, { 0 }, N }, { __NR_fchownat, { 0 }, N },
	{ __NR_newfstatat, { AT_CWD, 1, 1, 0 }, N }, { __NR_newfstatat, { 5, 1, 1, AT_EMPTY_PATH }, A },
	{ __NR_newfstatat, { LO, 1, 1, AT_EMPTY_PATH }, N }, { __NR_newfstatat, { AT_CWD, 1, 1, AT_EMPTY_PATH }, N },
	{ __NR_newfstatat, { 5, 1, 1, AT_SYMLINK_NOFOLLOW }, N },
	{ __NR_statx, { 5, 1, AT_EMPTY_PATH, 0xfff }, A }, { __NR_statx, { 5, 1, 0, 0xfff }, N },
	{ __NR_statx, { HI - 1, 1, AT_EMPTY_PATH }, N },
	{ __NR_ioctl, { 3, 0x5401 }, A }, { __NR_ioctl, { LO, 0x5401 }, N }, { __NR_ioctl, { HI - 1, 0x5401 }, N },
	{ __NR_ioctl, { HI, 0x5401 }, A }, { __NR_ioctl, { LO - 1, 0x5401 }, A }, { __NR_ioctl, { 3, 0x3b64 }, N },
	{ __NR_ioctl, { 3, 0x3bff }, N }, { __NR_ioctl, { 3, 0x3c00 }, A }, { __NR_ioctl, { 3, 0x13b64 }, A },
	{ __NR_ioctl, { 3, 0x4018aee1 }, N }, { __NR_ioctl, { HI, 0x4018aee1 }, N }, { __NR_ioctl, { 3, 0x4018aee2 }, A },
	{ __NR_ioctl, { HI, 0x3b70 }, N },
	{ __NR_read, { 3, 0, 8 }, A }, { __NR_read, { LO, 0, 8 }, N },
	{ __NR_write, { 1, 0, 8 }, N }, { __NR_write, { 2, 0, 4095 }, N }, { __NR_write, { 1, 0, 4096 }, A },
	{ __NR_write, { 3, 0, 8 }, A }, { __NR_write, { LO, 0, 8 }, N }, { __NR_write, { LO, 0, 8000 }, N },
	{ __NR_write, { HI, 0, 8 }, A }, { __NR_write, { 0xffffffff, 0, 8 }, A },
	{ __NR_pread64, { 3, 0, 8, 0 }, A }, { __NR_pread64, { 3, 0, 8, 1ull << 40 }, N },
	{ __NR_pread64, { 3, 0, 8, (1ull << 40) - 1 }, A }, { __NR_pread64, { LO, 0, 8, 0 }, N },
	{ __NR_pwrite64, { HI, 0, 8, 7ull << 40 }, N }, { __NR_pwrite64, { HI, 0, 8, 7 }, A },
	{ __NR_preadv2, { 3, 0, 8, 7ull << 40 }, N }, { __NR_pwritev, { LO }, N },
	{ __NR_mmap, { 0, 4096, 3, 0x22, 0xffffffffffffffff, 0 }, A }, { __NR_mmap, { 0, 4096, 3, 1, LO, 0 }, N },
	{ __NR_mmap, { 0, 4096, 3, 1, 5, 2ull << 40 }, N }, { __NR_mmap, { 0, 4096, 3, 1, 5, 4096 }, A },
	{ __NR_close, { 3 }, A }, { __NR_close, { LO }, N }, { __NR_dup, { LO }, N }, { __NR_dup, { 1 }, A },
	{ __NR_fcntl, { LO }, N }, { __NR_fstat, { LO }, N }, { __NR_fstat, { 2 }, A }, { __NR_lseek, { LO }, N },
	{ __NR_ftruncate, { LO }, N }, { __NR_dup2, { LO, 1 }, A }, { __NR_close_range, { 0, 100 }, A },
	{ __NR_execve, { 0 }, A }, { __NR_fork, { 0 }, A }, { __NR_sendmsg, { LO }, A }, { __NR_munmap, { 0 }, A },
	{ __NR_poll, { 0 }, A }, { __NR_eventfd2, { 0 }, A }, { __NR_getppid, { 0 }, A },
	{ 0x40000000 | __NR_read, { LO }, SECCOMP_RET_ERRNO | ENOSYS }, { -1, { 0 }, SECCOMP_RET_ERRNO | ENOSYS },
};

int main(void)
{
	struct uapi_filter f = { .window = uapi_window_of(20000), .attr_writes = true };
	struct sock_filter p[UAPI_FILTER_MAX];
	struct seccomp_data d = { .arch = AUDIT_ARCH_X86_64 };
	unsigned int len = uapi_filter_build(&f, p);
	struct uapi_window w;
	size_t i;

	alarm(60);
	ok(f.window.lo == LO && f.window.hi == HI, "window", f.window.lo);
	w = uapi_window_of(4096);
	ok(w.lo == 3584 && w.hi == 4096, "window under a limit of", 4096);
	w = uapi_window_of(64);
	ok(w.lo == 32 && w.hi == 64, "window under a limit of", 64);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		d.nr = calls[i].nr;
		memcpy(d.args, calls[i].args, sizeof(d.args));
		ok(bpf_run(p, len, &d) == calls[i].verdict, "call", d.nr);
	}
	d = (struct seccomp_data){ .arch = AUDIT_ARCH_I386, .nr = __NR_openat };
	ok(bpf_run(p, len, &d) == A, "32-bit call", d.nr);
	for (i = 0; i < 600; i++) {
		d = (struct seccomp_data){ .arch = AUDIT_ARCH_X86_64, .nr = (int)i };
		if (uapi_path_call((int)i) && bpf_run(p, len, &d) != N)
			ok(false, "a path call is trapped", (long)i);
	}
	f.attr_writes = false;
	f.eventfds = true;
	len = uapi_filter_build(&f, p);
	d = (struct seccomp_data){ .arch = AUDIT_ARCH_X86_64, .nr = __NR_write, .args = { 1, 0, 8 } };
	ok(bpf_run(p, len, &d) == A, "without attribute writes, write to", 1);
	d.args[0] = LO;
	ok(bpf_run(p, len, &d) == N, "and to", LO);
	d = (struct seccomp_data){ .arch = AUDIT_ARCH_X86_64, .nr = __NR_eventfd2 };
	ok(bpf_run(p, len, &d) == N, "with eventfds", d.nr);
	printf("1..%d\n", n);
	return failed ? 1 : 0;
}
