/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Opening and locking what fd.c works on, and finding out how it wants to be
 * used. Every refusal names the path and its cause.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/backend.h"

#define ALIGN_MIN 512u
#define ALIGN_MAX 4096u

static int open_refused(const char *path, bool rdonly, int num, struct ferry_err *err)
{
	switch (num) {
	case ENOENT:
	case ENOTDIR:
		return ferry_err_set(err, num, "E-NS-MISSING",
				     "check the path, or give a size to have a file made",
				     "%s: no such file", path);
	case EBUSY:
	case ETXTBSY:
		return ferry_err_set(err, EBUSY, "E-NS-IN-USE", NULL, "%s is in use: %s", path,
				     strerror(num));
	case EISDIR:
		return ferry_err_set(err, num, "E-NS-TYPE", NULL, "%s is a directory", path);
	case EROFS:
	case EACCES:
	case EPERM:
		if (!rdonly && access(path, R_OK) == 0)
			return ferry_err_set(err, num, "E-NS-READ-ONLY",
					     "make it writable, or ask for a read-only namespace",
					     "%s cannot be written: %s", path, strerror(num));
		break;
	default:
		break;
	}
	return ferry_err_set(err, num, "E-NS-OPEN", NULL, "%s: %s", path, strerror(num));
}

static int check_type(const char *path, mode_t type, mode_t found, struct ferry_err *err)
{
	if ((found & S_IFMT) == type)
		return 0;
	if (type == S_IFREG && S_ISBLK(found))
		return ferry_err_set(err, ENOTSUP, "E-NS-TYPE", "write block:PATH",
				     "%s is a block device, not a file", path);
	if (type == S_IFBLK && S_ISREG(found))
		return ferry_err_set(err, ENOTBLK, "E-NS-TYPE", "write file:PATH",
				     "%s is a file, not a block device", path);
	return ferry_err_set(err, ENOTSUP, "E-NS-TYPE", NULL, "%s is not a %s", path,
			     type == S_IFREG ? "regular file" : "block device");
}

/*
 * The whole file; belongs to the open file, so it ends with us. Shared ones
 * keep out those who want it alone; among themselves the owner record decides.
 */
static int lock(int fd, const char *path, bool shared, struct ferry_err *err)
{
	struct flock fl = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return ferry_err_set(err, EBUSY, "E-NS-IN-USE",
				     "another namespace, ferryd or QEMU has it; see lslocks",
				     "%s is in use: it is locked", path);
	return ferry_err_set(err, errno, "E-NS-LOCK", NULL, "%s cannot be locked: %s", path,
			     strerror(errno));
}

/* O_NONBLOCK: a FIFO must not hang us. O_EXCL: a mounted block device is busy. */
int fd_dev_open(const char *path, mode_t type, unsigned int flags, bool create,
		struct fd_dev **dev, bool *made, struct ferry_err *err)
{
	bool rdonly = flags & BLOCK_OPEN_RDONLY;
	int oflags = (rdonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct fd_dev *f;
	struct stat sb;
	int ret;

	*made = false;
	auto_close int fd = open(path, oflags | (type == S_IFBLK && !rdonly ? O_EXCL : 0));
	if (fd < 0 && errno == ENOENT && create && !rdonly) {
		fd = open(path, oflags | O_CREAT | O_EXCL, 0600);
		*made = fd >= 0;
	}
	if (fd < 0)
		return open_refused(path, rdonly, errno, err);
	if (fstat(fd, &sb) < 0)
		return ferry_err_set(err, errno, "E-NS-OPEN", NULL, "%s: %s", path,
				     strerror(errno));
	ret = check_type(path, type, sb.st_mode, err);
	if (!ret)
		ret = lock(fd, path, rdonly || (flags & BLOCK_OPEN_SHARED), err);
	if (ret) {
		*made = false;		/* whoever was quicker to lock it has it now */
		return ret;
	}
	/* io_uring would give EAGAIN instead of waiting. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	f = calloc(1, sizeof(*f));
	if (!f) {
		if (*made)
			unlink(path);
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "%s: out of memory", path);
	}
	f->fd = take_fd(&fd);
	f->is_blkdev = type == S_IFBLK;
	f->dev.read_only = rdonly;
	f->dev.volatile_cache = !rdonly;
	*dev = f;
	return 0;
}

/* What the file system says it wants; false if it says nothing. */
static bool dio_align_told(int fd, uint32_t *mem, uint32_t *off)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) < 0 ||
	    !(sx.stx_mask & STATX_DIOALIGN))
		return false;
	*mem = sx.stx_dio_mem_align;
	*off = sx.stx_dio_offset_align;
	return true;
}

/* Else try: the fd has O_DIRECT already. 0 if no alignment works. */
static uint32_t dio_align_tried(int fd)
{
	auto_free void *buf = NULL;
	uint32_t align;

	if (posix_memalign(&buf, ALIGN_MAX, (size_t)2 * ALIGN_MAX))
		return 0;
	for (align = ALIGN_MIN; align <= ALIGN_MAX; align *= 8) {
		if (pread(fd, (char *)buf + align, align, 0) == (ssize_t)align)
			return align;
	}
	return 0;
}

void fd_dev_setup(struct fd_dev *f, unsigned int flags)
{
	int fl = fcntl(f->fd, F_GETFL);
	uint32_t mem = 0, off = 0;

	f->mem_align = 1;
	f->dev.align = ALIGN_MIN;
	if ((flags & BLOCK_OPEN_BUFFERED) || fcntl(f->fd, F_SETFL, fl | O_DIRECT) < 0)
		return;
	if (!dio_align_told(f->fd, &mem, &off))
		mem = off = dio_align_tried(f->fd);
	if (!mem || !off || off > ALIGN_MAX || mem > ALIGN_MAX) {
		fcntl(f->fd, F_SETFL, fl);
		return;
	}
	f->direct = true;
	f->mem_align = mem;
	f->dev.align = MAX(off, ALIGN_MIN) == ALIGN_MIN ? ALIGN_MIN : ALIGN_MAX;
}
