/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * System calls on a descriptor of ours. Every handler first asks which object
 * the number means; a file that is not ours is the kernel's business.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "session.h"

#define RW_MAX 0x7ffff000u	/* what one read or write moves at most, in Linux */
#define ATTR_MAX 4096u		/* an attribute is one page */
#define KVM_VFIO_GROUP 1u	/* GROUP in older headers, FILE in newer: one number */

/* The object behind args[@arg], held until the call is answered. NULL: *@ret is the call's result. */
static struct uapi_object *object_arg(struct uapi_call *c, unsigned int arg, int64_t *ret)
{
	struct uapi_object *o;
	int err;

	o = ident_object(c, (int)c->args[arg], &err);
	*ret = CALL_CONTINUE;	/* the kernel says EBADF better than we do */
	if (!o)
		return NULL;
	if (call_hold(c, o)) {
		*ret = -ENOMEM;
		return NULL;
	}
	if (o->file)
		trace_begin(c, o->file, (unsigned int)c->args[1], c->args[2]);
	return o;
}

static bool is_device(const struct uapi_object *o)
{
	return o->file && o->file->ops->type == VFIO_FILE_DEVICE;
}

static int64_t do_ioctl(struct uapi_call *c)
{
	unsigned int cmd = (unsigned int)c->args[1];
	struct uapi_object *o;
	int64_t ret;

	o = object_arg(c, 0, &ret);
	if (!o)
		return ret;
	if (!o->file)
		return -ENOTTY;
	/* What depends on who has what open must know of every close before it. */
	objects_drain(c->s);
	ret = o->file->ops->ioctl(o->file, &c->vc, cmd, c->args[2]);
	return ret == -EINPROGRESS ? CALL_PENDING : ret;
}

/*
 * KVM asks for VFIO files by number and would refuse ours. Its answer matters
 * to nobody but QEMU: say yes for ours.
 */
static int64_t do_kvm_attr(struct uapi_call *c)
{
	struct kvm_device_attr a;
	struct uapi_object *o;
	int32_t fd;
	int err;

	if (call_copy_in(c, &a, c->args[2], sizeof(a)) || a.group != KVM_VFIO_GROUP ||
	    a.attr < 1 || a.attr > 2 || call_copy_in(c, &fd, a.addr, sizeof(fd)))
		return CALL_CONTINUE;
	o = ident_object(c, fd, &err);
	if (!o)
		return CALL_CONTINUE;
	object_put(o);
	return 0;
}

/* ------------------------------------------------------------- read, write */

/* What config reads returned stays behind in the file, for those who read it past us. */
static void mirror(struct uapi_object *o, uint64_t off, const void *buf, size_t n)
{
	uint64_t at = off & ((1ull << REGION_SHIFT) - 1);

	if (o->config && off >> REGION_SHIFT == CONFIG_REGION && at + n <= CALL_BUF)
		memcpy((uint8_t *)o->config + at, buf, n);
}

/*
 * May the kernel do the copy? It reads the same bytes from the file that the
 * descriptor means by then, and spares us a reach into the client's memory.
 * Should the descriptor have become another file meanwhile, that is the
 * client's race with itself.
 */
static bool native(struct uapi_call *c, const struct uapi_object *o, uint64_t off)
{
	return c->nr == __NR_pread64 && c->vc.native && c->s->cfg.trace < 0 &&
		(off >> REGION_SHIFT != CONFIG_REGION || o->config);
}

/*
 * A register is often read many times running, and asking whose descriptor it
 * is costs more than the read. So the last one answered natively is kept: a
 * guess, good enough because the kernel reads what the descriptor really
 * means. It could go wrong only if the number had become another object of
 * ours, whose memory is not up to date: numbers in the window change hands by
 * call_install() and dup2(), which void it, and by nothing else as long as the
 * program has fewer descriptors open than there are numbers below the window.
 */
static int64_t guess_read(struct uapi_call *c)
{
	struct uapi_session *s = c->s;
	struct uapi_object *o = NULL;
	uint64_t len = c->args[2], off = c->args[3];
	int64_t got;

	pthread_mutex_lock(&s->lock);
	if (s->guess.object && s->guess.tid == c->tid && s->guess.fd == (int)c->args[0] &&
	    s->cfg.trace < 0) {
		o = s->guess.object;
		o->busy++;
		s->nr_busy++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!o)
		return 0;
	got = len <= CALL_BUF ? o->file->ops->pread(o->file, &c->vc, c->buf, len, off) : 0;
	if (got > 0)
		mirror(o, off, c->buf, (size_t)got);
	got = got > 0 && (uint64_t)got == len && native(c, o, off) ? CALL_CONTINUE : 0;
	object_put(o);
	return got;
}

static void guess_set(struct uapi_call *c, struct uapi_object *o)
{
	struct uapi_session *s = c->s;
	unsigned int fd = (unsigned int)c->args[0];

	if (s->no_guess || fd < s->window.lo || fd >= s->window.hi)
		return;
	pthread_mutex_lock(&s->lock);
	if (o->state == OBJECT_LIVE) {
		s->guess.object = o;
		s->guess.tid = c->tid;
		s->guess.fd = (int)fd;
	}
	pthread_mutex_unlock(&s->lock);
}

/* Into the window, done natively after our answer: from now on each read asks. */
static int64_t do_dup2(struct uapi_call *c)
{
	struct uapi_session *s = c->s;

	s->no_guess = true;
	pthread_mutex_lock(&s->lock);
	s->guess.object = NULL;
	pthread_mutex_unlock(&s->lock);
	return CALL_CONTINUE;
}

static int64_t object_read(struct uapi_call *c, struct uapi_object *o, uint64_t addr, uint64_t len,
			   uint64_t off)
{
	uint64_t done = 0;

	while (done < len) {
		size_t n = (size_t)MIN(len - done, CALL_BUF);
		int64_t got;

		if (o->attr)
			got = pread(o->attr_fd, c->buf, n, (off_t)(off + done));
		else
			got = o->file->ops->pread(o->file, &c->vc, c->buf, n, off + done);
		if (o->attr && got < 0)
			got = -errno;
		if (got <= 0)
			return done ? (int64_t)done : got;
		mirror(o, off + done, c->buf, (size_t)got);
		if ((size_t)got == len && native(c, o, off))
			return CALL_CONTINUE;
		if (call_copy_out(c, addr + done, c->buf, (size_t)got))
			return done ? (int64_t)done : -EFAULT;
		done += (uint64_t)got;
		if ((size_t)got < n)
			break;
	}
	return (int64_t)done;
}

static int64_t attr_write(struct uapi_call *c, struct uapi_object *o, uint64_t addr, uint64_t len)
{
	const struct uapi_host *h = c->s->host;
	size_t n = (size_t)MIN(len, ATTR_MAX);
	int64_t ret;

	if (!n)
		return 0;
	if (call_copy_in(c, c->buf, addr, n))
		return -EFAULT;
	c->buf[n] = '\0';
	objects_drain(c->s);
	ret = h->attr_store(h->arg, o->attr, (const char *)c->buf, n, &c->ac);
	return ret == -EINPROGRESS ? CALL_PENDING : ret;
}

/* @c->moved counts what earlier chunks moved: whoever completes a later one adds it. */
static int64_t object_write(struct uapi_call *c, struct uapi_object *o, uint64_t addr, uint64_t len,
			    uint64_t off)
{
	uint64_t done = 0;

	if (o->attr)
		return attr_write(c, o, addr, len);
	while (done < len) {
		size_t n = (size_t)MIN(len - done, CALL_BUF);
		int64_t put;

		if (call_copy_in(c, c->buf, addr + done, n))
			return done ? (int64_t)done : -EFAULT;
		c->moved += (int64_t)done;
		put = o->file->ops->pwrite(o->file, &c->vc, c->buf, n, off + done);
		if (put == -EINPROGRESS)
			return CALL_PENDING;
		c->moved -= (int64_t)done;
		if (put <= 0)
			return done ? (int64_t)done : put;
		done += (uint64_t)put;
		if ((size_t)put < n)
			break;
	}
	return (int64_t)done;
}

static bool can_rw(const struct uapi_object *o, bool write)
{
	if (o->attr)
		return write || o->attr_fd >= 0;
	return write ? o->file->ops->pwrite != NULL : o->file->ops->pread != NULL;
}

static bool is_stream(const struct uapi_object *o)
{
	return o->file && o->file->ops->type == VFIO_FILE_MIG;
}

/* Reads and writes the client's memory itself, however much. */
static int64_t stream_rw(struct uapi_call *c, struct uapi_object *o, bool write, uint64_t addr,
			 uint64_t len)
{
	const struct vfio_file_ops *ops = o->file->ops;
	int64_t ret;

	if (write ? !ops->write : !ops->read)
		return -EBADF;
	ret = write ? ops->write(o->file, &c->vc, addr, len) : ops->read(o->file, &c->vc, addr, len);
	return ret == -EINPROGRESS ? CALL_PENDING : ret;
}

static bool call_writes(int nr)
{
	return nr == __NR_write || nr == __NR_pwrite64 || nr == __NR_writev || nr == __NR_pwritev ||
		nr == __NR_pwritev2;
}

static bool call_has_offset(struct uapi_call *c)
{
	switch (c->nr) {
	case __NR_pread64:
	case __NR_pwrite64:
	case __NR_preadv:
	case __NR_pwritev:
		return true;
	case __NR_preadv2:
	case __NR_pwritev2:
		return (int64_t)c->args[3] != -1;
	default:
		return false;
	}
}

static int64_t do_rw(struct uapi_call *c)
{
	bool write = call_writes(c->nr), at = call_has_offset(c);
	struct uapi_object *o;
	int64_t ret;
	uint64_t off;

	ret = c->nr == __NR_pread64 ? guess_read(c) : 0;
	if (ret)
		return ret;
	o = object_arg(c, 0, &ret);
	if (!o)
		return ret;
	if (is_stream(o))
		return at ? -ESPIPE :
			stream_rw(c, o, write, c->args[1], MIN(c->args[2], RW_MAX));
	if (!can_rw(o, write))
		return o->attr ? -EBADF : -EINVAL;
	off = at ? c->args[3] : o->pos;
	if ((int64_t)off < 0)
		return -EINVAL;
	ret = write ? object_write(c, o, c->args[1], MIN(c->args[2], RW_MAX), off) :
		object_read(c, o, c->args[1], MIN(c->args[2], RW_MAX), off);
	if (ret == CALL_CONTINUE)
		guess_set(c, o);
	if (ret > 0 && !at)
		o->pos += (uint64_t)ret;
	return ret;
}

static int64_t do_rwv(struct uapi_call *c)
{
	bool write = call_writes(c->nr), at = call_has_offset(c);
	struct uapi_object *o;
	struct iovec iov[16];
	uint64_t i, nr = c->args[2], off;
	int64_t total = 0, ret;

	o = object_arg(c, 0, &ret);
	if (!o)
		return ret;
	if (is_stream(o) && at)
		return -ESPIPE;
	if (!is_stream(o) && !can_rw(o, write))
		return o->attr ? -EBADF : -EINVAL;
	if (nr > IOV_MAX)
		return -EINVAL;
	off = at ? c->args[3] : o->pos;
	if ((int64_t)off < 0)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		if (i % ARRAY_SIZE(iov) == 0 &&
		    call_copy_in(c, iov, c->args[1] + i * sizeof(*iov),
				 MIN(nr - i, ARRAY_SIZE(iov)) * sizeof(*iov)))
			return total ? total : -EFAULT;
		const struct iovec *v = &iov[i % ARRAY_SIZE(iov)];
		uint64_t len = MIN((uint64_t)v->iov_len, RW_MAX);

		if (!len)
			continue;
		c->moved = total;
		if (is_stream(o))
			ret = stream_rw(c, o, write, (uintptr_t)v->iov_base, len);
		else
			ret = write ? object_write(c, o, (uintptr_t)v->iov_base, len, off) :
				object_read(c, o, (uintptr_t)v->iov_base, len, off);
		if (ret == CALL_PENDING)
			return ret;
		if (ret < 0)
			return total ? total : ret;
		total += ret;
		off += (uint64_t)ret;
		if ((uint64_t)ret < len)
			break;
	}
	if (!at)
		o->pos = off;
	return total;
}

/* ----------------------------------------------------------------- mapping */

static int64_t do_mmap(struct uapi_call *c)
{
	struct uapi_object *o;
	int64_t ret;

	if (c->args[3] & MAP_ANONYMOUS)
		return CALL_CONTINUE;
	o = object_arg(c, 4, &ret);
	if (!o)
		return ret;
	if (!is_device(o) || !o->file->ops->mmap)
		return -ENODEV;
	if (!c->args[1])
		return -EINVAL;
	ret = o->file->ops->mmap(o->file, &c->vc, c->args[5], c->args[1], (int)c->args[2],
				 (int)c->args[3]);
	/* A mapping of the memfd itself: the kernel does the rest. */
	return ret ? ret : CALL_CONTINUE;
}

/* ------------------------------------------------------------------- stat */

static void object_stat(const struct uapi_object *o, struct stat *st)
{
	*st = (struct stat){
		.st_dev = o->dev,
		.st_ino = o->ino,
		.st_mode = o->mode,
		.st_nlink = 1,
		.st_uid = geteuid(),
		.st_gid = getegid(),
		.st_rdev = o->rdev,
		.st_size = o->size,
		.st_blksize = 4096,
	};
}

int64_t fd_stat(struct uapi_call *c, struct uapi_object *o, uint64_t buf)
{
	struct stat st;

	object_stat(o, &st);
	return call_copy_out(c, buf, &st, sizeof(st));
}

int64_t fd_statx(struct uapi_call *c, struct uapi_object *o, uint64_t buf)
{
	struct statx x = {
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = 4096,
		.stx_nlink = 1,
		.stx_uid = geteuid(),
		.stx_gid = getegid(),
		.stx_mode = (uint16_t)o->mode,
		.stx_ino = o->ino,
		.stx_size = (uint64_t)o->size,
		.stx_rdev_major = major(o->rdev),
		.stx_rdev_minor = minor(o->rdev),
		.stx_dev_major = major(o->dev),
		.stx_dev_minor = minor(o->dev),
	};

	return call_copy_out(c, buf, &x, sizeof(x));
}

static int64_t do_fstat(struct uapi_call *c)
{
	struct uapi_object *o;
	int64_t ret;

	o = object_arg(c, 0, &ret);
	return o ? fd_stat(c, o, c->args[1]) : ret;
}

/* ----------------------------------------------------- duplicates and close */

/* The caller's own file on one more high number. */
static int64_t dup_high(struct uapi_call *c, bool cloexec, unsigned int at_least)
{
	auto_close int own = ident_getfd(c, (int)c->args[0]);

	if (own < 0 || atomic_load(&c->s->cm->no_getfd))
		return CALL_CONTINUE;
	return call_install(c, own, cloexec, true, at_least);
}

static int64_t do_dup(struct uapi_call *c)
{
	int64_t ret;

	return object_arg(c, 0, &ret) ? dup_high(c, false, 0) : ret;
}

static int64_t do_fcntl(struct uapi_call *c)
{
	int cmd = (int)c->args[1];
	int64_t ret;

	if ((cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC) || (unsigned int)c->args[2] >= c->s->window.hi)
		return CALL_CONTINUE;
	if (!object_arg(c, 0, &ret))
		return ret;
	return dup_high(c, cmd == F_DUPFD_CLOEXEC, (unsigned int)c->args[2]);
}

/*
 * The kernel's close of a device returns when its DMA has stopped. Where this
 * is certainly the last reference, the object is closed first and the call
 * goes on when that is over; otherwise the watch will tell.
 */
static int64_t do_close(struct uapi_call *c)
{
	struct uapi_object *o;
	int err;

	o = ident_object(c, (int)c->args[0], &err);
	if (!o)
		return CALL_CONTINUE;
	if (!is_device(o) || !lastref_certain(c, o)) {
		object_put(o);
		return CALL_CONTINUE;
	}
	object_release_busy(o, c);
	return CALL_PENDING;
}

/* ------------------------------------------------------------------ others */

static int64_t do_lseek(struct uapi_call *c)
{
	struct uapi_object *o;
	int64_t ret;

	o = object_arg(c, 0, &ret);
	if (!o)
		return ret;
	if (!o->attr)
		return -ESPIPE;
	if (c->args[2] != SEEK_SET && !(c->args[2] == SEEK_CUR && !c->args[1]))
		return -EINVAL;
	if (c->args[2] == SEEK_SET)
		o->pos = c->args[1];
	return (int64_t)o->pos;
}

static int64_t do_truncate(struct uapi_call *c)
{
	struct uapi_object *o;
	int64_t ret;

	o = object_arg(c, 0, &ret);
	if (!o)
		return ret;
	return o->attr ? 0 : -EINVAL;
}

static int64_t do_refused(struct uapi_call *c)
{
	int64_t ret;

	return object_arg(c, 0, &ret) ? -EINVAL : ret;
}

static int64_t do_eventfd(struct uapi_call *c)
{
	if (!atomic_load(&c->s->cm->no_getfd))
		return CALL_CONTINUE;
	return eventfd_make(c, c->args[0], c->nr == __NR_eventfd2 ? (int)c->args[1] : 0);
}

int64_t syscall_run(struct uapi_call *c)
{
	switch (c->nr) {
	case __NR_pread64:
	case __NR_pwrite64:
	case __NR_read:
	case __NR_write:
		return do_rw(c);
	case __NR_ioctl:
		return (unsigned int)c->args[1] == KVM_SET_DEVICE_ATTR ? do_kvm_attr(c) : do_ioctl(c);
	case __NR_readv:
	case __NR_writev:
	case __NR_preadv:
	case __NR_pwritev:
	case __NR_preadv2:
	case __NR_pwritev2:
		return do_rwv(c);
	case __NR_mmap:
		return do_mmap(c);
	case __NR_fstat:
		return do_fstat(c);
	case __NR_dup:
		return do_dup(c);
	case __NR_dup2:
	case __NR_dup3:
		return do_dup2(c);
	case __NR_fcntl:
		return do_fcntl(c);
	case __NR_close:
		return do_close(c);
	case __NR_lseek:
		return do_lseek(c);
	case __NR_ftruncate:
		return do_truncate(c);
	case __NR_fallocate:
	case __NR_sendfile:
		return do_refused(c);
	case __NR_eventfd:
	case __NR_eventfd2:
		return do_eventfd(c);
	default:
		return uapi_path_call(c->nr) ? path_call_run(c) : CALL_CONTINUE;
	}
}
