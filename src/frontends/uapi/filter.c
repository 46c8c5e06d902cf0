/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The filter: which system calls of the program wait for the daemon. Plain
 * BPF, one block per call. A block tests the number, looks at the arguments
 * it needs and ends in a verdict, so that no jump is longer than a block; the
 * calls whose block looks at no argument are decided once by the kernel and
 * cost nothing afterwards.
 *
 * 32-bit programs (int 0x80) are let through untouched: they see the machine
 * as it is. The x32 calls are refused: they would be 64-bit calls by
 * other numbers.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "launcher.h"

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

#define WINDOW_SIZE 512u
#define WINDOW_END 16384u
#define X32_BIT 0x40000000u
#define VFIO_TYPE 0x3bu
#define KVM_SET_DEVICE_ATTR_NR 0x4018aee1u
#define SMALL_WRITE 4096u
#define OFFSET_HIGH 0x100u	/* high word of 1 << 40 */

struct prog {
	struct sock_filter *insn;
	unsigned int n;
};

/* Trapped always: they take a path. */
static const int path_calls[] = {
	__NR_openat, __NR_open, __NR_openat2, __NR_creat, __NR_stat, __NR_lstat, __NR_access,
	__NR_faccessat, __NR_faccessat2, __NR_readlink, __NR_readlinkat, __NR_chdir, __NR_getcwd,
	__NR_getxattr, __NR_lgetxattr, __NR_listxattr, __NR_llistxattr, __NR_inotify_add_watch,
	__NR_chmod, __NR_fchmodat, __NR_fchmodat2, __NR_chown, __NR_lchown, __NR_fchownat,
};

/* Trapped when args[0] lies in the window. */
static const int fd_calls[] = {
	__NR_close, __NR_fstat, __NR_lseek, __NR_dup, __NR_fcntl, __NR_readv, __NR_writev,
	__NR_ftruncate, __NR_fallocate, __NR_fstatfs, __NR_sendfile, __NR_read,
};

/* Trapped when args[0] lies in the window or args[3] is a region offset. */
static const int pos_calls[] = {
	__NR_pread64, __NR_pwrite64, __NR_preadv, __NR_pwritev, __NR_preadv2, __NR_pwritev2,
};

struct uapi_window uapi_window_of(uint64_t nofile)
{
	unsigned int hi = (unsigned int)MIN(nofile, WINDOW_END);
	unsigned int size = MIN(WINDOW_SIZE, hi / 2);

	return (struct uapi_window){ hi - size, hi };
}

static void emit(struct prog *p, unsigned int code, uint32_t k, unsigned int jt, unsigned int jf)
{
	assert(p->n < UAPI_FILTER_MAX);
	p->insn[p->n++] = (struct sock_filter){ (uint16_t)code, (uint8_t)jt, (uint8_t)jf, k };
}

static void emit_load(struct prog *p, size_t off)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)off, 0, 0);
}

static void emit_arg(struct prog *p, unsigned int arg, bool high)
{
	emit_load(p, offsetof(struct seccomp_data, args) + 8 * arg + (high ? 4 : 0));
}

static void emit_jump(struct prog *p, unsigned int op, uint32_t k, unsigned int jt, unsigned int jf)
{
	emit(p, BPF_JMP | op | BPF_K, k, jt, jf);
}

static void emit_ret(struct prog *p, uint32_t verdict)
{
	emit(p, BPF_RET | BPF_K, verdict, 0, 0);
}

/* The two verdicts that end most blocks: notify, then allow. */
static void emit_verdicts(struct prog *p)
{
	emit_ret(p, SECCOMP_RET_USER_NOTIF);
	emit_ret(p, SECCOMP_RET_ALLOW);
}

static void rule_always(struct prog *p, int nr)
{
	emit_jump(p, BPF_JEQ, (uint32_t)nr, 0, 1);
	emit_ret(p, SECCOMP_RET_USER_NOTIF);
}

/* Descriptor args[@fd] in the window. */
static void rule_window(struct prog *p, int nr, unsigned int fd, struct uapi_window w)
{
	emit_jump(p, BPF_JEQ, (uint32_t)nr, 0, 5);
	emit_arg(p, fd, false);
	emit_jump(p, BPF_JGE, w.lo, 0, 2);
	emit_jump(p, BPF_JGE, w.hi, 1, 0);
	emit_verdicts(p);
}

/* Descriptor @fd in the window, or a region offset in @off. */
static void rule_offset(struct prog *p, int nr, unsigned int fd, unsigned int off,
			struct uapi_window w)
{
	emit_jump(p, BPF_JEQ, (uint32_t)nr, 0, 7);
	emit_arg(p, fd, false);
	emit_jump(p, BPF_JGE, w.lo, 0, 1);
	emit_jump(p, BPF_JGE, w.hi, 0, 2);
	emit_arg(p, off, true);
	emit_jump(p, BPF_JGE, OFFSET_HIGH, 0, 1);
	emit_verdicts(p);
}

static void rule_ioctl(struct prog *p, struct uapi_window w)
{
	emit_jump(p, BPF_JEQ, __NR_ioctl, 0, 9);
	emit_arg(p, 0, false);
	emit_jump(p, BPF_JGE, w.lo, 0, 1);
	emit_jump(p, BPF_JGE, w.hi, 0, 4);
	emit_arg(p, 1, false);
	emit_jump(p, BPF_JEQ, KVM_SET_DEVICE_ATTR_NR, 2, 0);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, 8, 0, 0);
	emit_jump(p, BPF_JEQ, VFIO_TYPE, 0, 1);
	emit_verdicts(p);
}

static void rule_write(struct prog *p, const struct uapi_filter *f)
{
	if (!f->attr_writes) {
		rule_window(p, __NR_write, 0, f->window);
		return;
	}
	emit_jump(p, BPF_JEQ, __NR_write, 0, 8);
	emit_arg(p, 0, false);
	emit_jump(p, BPF_JGT, 2, 2, 0);
	emit_arg(p, 2, false);
	emit_jump(p, BPF_JGE, SMALL_WRITE, 3, 2);
	emit_jump(p, BPF_JGE, f->window.lo, 0, 2);
	emit_jump(p, BPF_JGE, f->window.hi, 1, 0);
	emit_verdicts(p);
}

/*
 * newfstatat and statx: C libraries make fstat() of them, with AT_EMPTY_PATH
 * and the descriptor as @dirfd; that of an ordinary file is none of our business.
 */
static void rule_stat_at(struct prog *p, int nr, unsigned int flags, struct uapi_window w)
{
	emit_jump(p, BPF_JEQ, (uint32_t)nr, 0, 6);
	emit_arg(p, flags, false);
	emit_jump(p, BPF_JSET, AT_EMPTY_PATH, 0, 2);
	emit_arg(p, 0, false);
	emit_jump(p, BPF_JGE, w.lo, 0, 1);
	emit_verdicts(p);
}

unsigned int uapi_filter_build(const struct uapi_filter *f, struct sock_filter prog[UAPI_FILTER_MAX])
{
	struct prog p = { prog, 0 };
	struct uapi_window w = f->window;
	size_t i;

	emit_load(&p, offsetof(struct seccomp_data, arch));
	emit_jump(&p, BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
	emit_ret(&p, SECCOMP_RET_ALLOW);
	emit_load(&p, offsetof(struct seccomp_data, nr));
	emit_jump(&p, BPF_JGE, X32_BIT, 0, 1);
	emit_ret(&p, SECCOMP_RET_ERRNO | ENOSYS);

	rule_ioctl(&p, w);
	rule_write(&p, f);
	for (i = 0; i < ARRAY_SIZE(pos_calls); i++)
		rule_offset(&p, pos_calls[i], 0, 3, w);
	rule_offset(&p, __NR_mmap, 4, 5, w);
	for (i = 0; i < ARRAY_SIZE(fd_calls); i++)
		rule_window(&p, fd_calls[i], 0, w);
	rule_window(&p, __NR_dup2, 1, w);
	rule_window(&p, __NR_dup3, 1, w);
	rule_stat_at(&p, __NR_newfstatat, 3, w);
	rule_stat_at(&p, __NR_statx, 2, w);
	for (i = 0; i < ARRAY_SIZE(path_calls); i++)
		rule_always(&p, path_calls[i]);
	if (f->eventfds) {
		rule_always(&p, __NR_eventfd2);
		rule_always(&p, __NR_eventfd);
	}
	emit_ret(&p, SECCOMP_RET_ALLOW);
	return p.n;
}

int uapi_filter_install(const struct sock_filter *prog, unsigned int len)
{
	struct sock_fprog fprog = { (unsigned short)len, (struct sock_filter *)(uintptr_t)prog };
	long fd = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  &fprog);

	return fd < 0 ? -errno : (int)fd;
}

bool uapi_path_call(int nr)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(path_calls); i++)
		if (nr == path_calls[i])
			return true;
	return nr == __NR_newfstatat || nr == __NR_statx;
}
