/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A client's memory: copied by process_vm_*, or mapped here where the
 * client's own mapping is shared and its file can be had.
 *
 * A private mapping of a file must never be mapped: it looks right until the
 * client first writes a page, and from then on both see different pages. So
 * the mapping decides, never the file. Files are mapped whole, once, however
 * many pieces of them the client maps for DMA: this process' number of
 * mappings is no client's to use up.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "session.h"

#define REGIONS_MAX 1024
#define REGION_MAX_SIZE (1ull << 44)

/* Our mapping of a whole file of the client's. */
struct region {
	struct list link;	/* client_mem.lock */
	unsigned int refs;	/* client_mem.lock */
	dev_t dev;
	ino_t ino;
	bool writable;
	uint8_t *base;
	uint64_t size;
};

struct mapped_mem {
	struct ferry_mem mem;
	struct client_mem *cm;
	struct region *region;
};

/* A process of the client; its pidfd says when the number may mean another. One for all its mappings. */
struct proc {
	struct list link;	/* client_mem.lock */
	unsigned int refs;	/* client_mem.lock */
	pid_t tgid;
	int pidfd;
};

struct remote_mem {
	struct ferry_mem mem;
	struct client_mem *cm;
	struct proc *proc;
	uint64_t vaddr;
	bool writable;
};

/* One line of /proc/PID/maps. */
struct vma {
	uint64_t start, end, off;
	char perms[5];
	unsigned int major, minor;
	unsigned long ino;
};

struct client_mem *client_mem_alloc(int broker)
{
	struct client_mem *cm = calloc(1, sizeof(*cm));

	if (!cm)
		return NULL;
	atomic_init(&cm->refs, 1);
	pthread_mutex_init(&cm->lock, NULL);
	pthread_mutex_init(&cm->broker_lock, NULL);
	list_init(&cm->regions);
	list_init(&cm->procs);
	cm->broker = broker;
	return cm;
}

void client_mem_put(struct client_mem *cm)
{
	if (atomic_fetch_sub(&cm->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&cm->lock);
	pthread_mutex_destroy(&cm->broker_lock);
	base_close_fd(&cm->broker);
	free(cm);
}

static struct client_mem *client_mem_get(struct client_mem *cm)
{
	atomic_fetch_add(&cm->refs, 1);
	return cm;
}

/* ------------------------------------------------------------------ copying */

/* Where process_vm_* is denied: /proc needs the same rights but no such call; then the broker. */
static ssize_t copy_other_way(struct client_mem *cm, pid_t tid, void *buf, uint64_t addr,
			      size_t len, bool write)
{
	char path[32];
	ssize_t n = -1;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	auto_close int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd >= 0)
		n = write ? pwrite(fd, buf, len, (off_t)addr) : pread(fd, buf, len, (off_t)addr);
	if (n >= 0)
		return n;
	if (cm->broker < 0)
		return fd >= 0 ? -EFAULT : -EPERM;
	pthread_mutex_lock(&cm->broker_lock);
	n = write ? broker_write(cm->broker, tid, addr, buf, len) :
		broker_read(cm->broker, tid, buf, addr, len);
	pthread_mutex_unlock(&cm->broker_lock);
	return n;
}

ssize_t client_read(struct client_mem *cm, pid_t tid, void *dst, uint64_t src, size_t len)
{
	struct iovec local = { dst, len };
	struct iovec remote = { (void *)(uintptr_t)src, len };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	if (n >= 0)
		return n;
	return errno == EPERM || errno == ENOSYS ? copy_other_way(cm, tid, dst, src, len, false) :
		-errno;
}

ssize_t client_write(struct client_mem *cm, pid_t tid, uint64_t dst, const void *src, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)src, len };
	struct iovec remote = { (void *)(uintptr_t)dst, len };
	ssize_t n = process_vm_writev(tid, &local, 1, &remote, 1, 0);

	if (n >= 0)
		return n;
	return errno == EPERM || errno == ENOSYS ?
		copy_other_way(cm, tid, (void *)(uintptr_t)src, dst, len, true) : -errno;
}

/* ------------------------------------------------------------------- mapped */

static void region_put(struct client_mem *cm, struct region *r)
{
	bool last;

	pthread_mutex_lock(&cm->lock);
	last = !--r->refs;
	if (last) {
		list_del(&r->link);
		cm->nr_regions--;
	}
	pthread_mutex_unlock(&cm->lock);
	if (last) {
		munmap(r->base, r->size);
		free(r);
	}
}

static bool magic_ok(int fd)
{
	struct statfs sf;

	return !fstatfs(fd, &sf) &&
		((uint32_t)sf.f_type == TMPFS_MAGIC || (uint32_t)sf.f_type == HUGETLBFS_MAGIC);
}

/* A mapping of @fd that reaches @end; an older one that is too short stays with those who have it. */
static struct region *region_get(struct client_mem *cm, int fd, const struct stat *st,
				 uint64_t end, bool writable)
{
	uint64_t size = ALIGN_UP((uint64_t)st->st_size, (uint64_t)MAX(st->st_blksize, 4096));
	struct region *r;
	void *p;

	if (end > (uint64_t)st->st_size || size > REGION_MAX_SIZE)
		return NULL;
	pthread_mutex_lock(&cm->lock);
	list_for_each(r, &cm->regions, link)
		if (r->dev == st->st_dev && r->ino == st->st_ino && r->size >= end &&
		    r->writable == writable) {
			r->refs++;
			pthread_mutex_unlock(&cm->lock);
			return r;
		}
	r = cm->nr_regions < REGIONS_MAX ? calloc(1, sizeof(*r)) : NULL;
	p = r ? mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_NORESERVE,
		     fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		free(r);
		r = NULL;
	} else {
		*r = (struct region){ .refs = 1, .dev = st->st_dev, .ino = st->st_ino,
				      .writable = writable, .base = p, .size = size };
		madvise(p, size, MADV_DONTDUMP);
		list_add(&cm->regions, &r->link);
		cm->nr_regions++;
	}
	pthread_mutex_unlock(&cm->lock);
	return r;
}

static void mapped_release(struct ferry_mem *m)
{
	struct mapped_mem *mm = container_of(m, struct mapped_mem, mem);

	region_put(mm->cm, mm->region);
	client_mem_put(mm->cm);
	free(mm);
}

static const struct ferry_mem_ops mapped_ops = { .release = mapped_release };

static struct ferry_mem *mapped_new(struct client_mem *cm, struct region *r, uint64_t off,
				    uint64_t len)
{
	struct mapped_mem *mm = calloc(1, sizeof(*mm));

	if (!mm) {
		region_put(cm, r);
		return NULL;
	}
	mm->cm = client_mem_get(cm);
	mm->region = r;
	mm->mem.ops = &mapped_ops;
	mm->mem.size = len;
	mm->mem.base = r->base + off;
	atomic_init(&mm->mem.refs, 1);
	return &mm->mem;
}

/* ------------------------------------------------------------------- remote */

static bool proc_gone(const struct proc *p)
{
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };

	return poll(&pfd, 1, 0) != 0;
}

static struct proc *proc_get(struct client_mem *cm, pid_t tgid)
{
	struct proc *p;

	pthread_mutex_lock(&cm->lock);
	list_for_each(p, &cm->procs, link)
		if (p->tgid == tgid && !proc_gone(p)) {
			p->refs++;
			goto out;
		}
	p = calloc(1, sizeof(*p));
	if (!p)
		goto out;
	*p = (struct proc){ .refs = 1, .tgid = tgid,
			    .pidfd = (int)syscall(__NR_pidfd_open, tgid, 0) };
	if (p->pidfd >= 0) {
		list_add(&cm->procs, &p->link);
	} else {
		free(p);
		p = NULL;
	}
out:
	pthread_mutex_unlock(&cm->lock);
	return p;
}

static void proc_put(struct client_mem *cm, struct proc *p)
{
	bool last;

	pthread_mutex_lock(&cm->lock);
	last = !--p->refs;
	if (last)
		list_del(&p->link);
	pthread_mutex_unlock(&cm->lock);
	if (last) {
		close(p->pidfd);
		free(p);
	}
}

static int remote_copy(struct remote_mem *rm, uint64_t off, void *buf, size_t len, bool write)
{
	while (len) {
		uint64_t at = rm->vaddr + off;
		ssize_t n;

		if (proc_gone(rm->proc))
			return -EFAULT;
		n = write ? client_write(rm->cm, rm->proc->tgid, at, buf, len) :
			client_read(rm->cm, rm->proc->tgid, buf, at, len);
		if (n <= 0)
			return -EFAULT;
		buf = (uint8_t *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int remote_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len)
{
	return remote_copy(container_of(m, struct remote_mem, mem), off, buf, len, false);
}

static int remote_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len)
{
	struct remote_mem *rm = container_of(m, struct remote_mem, mem);

	return rm->writable ? remote_copy(rm, off, (void *)(uintptr_t)buf, len, true) : -EFAULT;
}

static void remote_release(struct ferry_mem *m)
{
	struct remote_mem *rm = container_of(m, struct remote_mem, mem);

	proc_put(rm->cm, rm->proc);
	client_mem_put(rm->cm);
	free(rm);
}

static const struct ferry_mem_ops remote_ops = {
	.read = remote_read,
	.write = remote_write,
	.release = remote_release,
};

static int remote_new(struct client_mem *cm, struct uapi_call *c, uint64_t vaddr, uint64_t len,
		      bool writable, struct ferry_mem **mem)
{
	struct remote_mem *rm;
	pid_t tgid = ident_tgid(c);
	struct proc *p = tgid ? proc_get(cm, tgid) : NULL;

	if (!p)
		return -EFAULT;
	rm = calloc(1, sizeof(*rm));
	if (!rm) {
		proc_put(cm, p);
		return -ENOMEM;
	}
	rm->proc = p;
	rm->cm = client_mem_get(cm);
	rm->vaddr = vaddr;
	rm->writable = writable;
	rm->mem.ops = &remote_ops;
	rm->mem.size = len;
	atomic_init(&rm->mem.refs, 1);
	*mem = &rm->mem;
	return 0;
}

/* --------------------------------------------------------- which one is it? */

/* The client's descriptor of the file behind @v, if it has one that will do; our own duplicate of it. */
static int find_file(struct uapi_call *c, const struct vma *v, bool writable)
{
	char path[64];
	struct dirent *e;
	int got = -1;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", c->tid);
	d = opendir(path);
	while (d && got < 0 && (e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || quick_stat(dirfd(d), e->d_name, &st) ||
		    st.st_ino != v->ino || major(st.st_dev) != v->major ||
		    minor(st.st_dev) != v->minor)
			continue;
		got = ident_getfd(c, (int)strtol(e->d_name, NULL, 10));
		/* The number may mean another file by now. */
		if (got >= 0 && (quick_stat(got, "", &st) || st.st_ino != v->ino || !S_ISREG(st.st_mode) ||
				 !magic_ok(got) ||
				 (fcntl(got, F_GETFL) & O_ACCMODE) == O_WRONLY ||
				 (writable && (fcntl(got, F_GETFL) & O_ACCMODE) != O_RDWR))) {
			close(got);
			got = -1;
		}
	}
	if (d)
		closedir(d);
	return got;
}

static struct ferry_mem *map_vma(struct client_mem *cm, struct uapi_call *c, const struct vma *v,
				 uint64_t vaddr, uint64_t len, bool writable)
{
	uint64_t off = v->off + (vaddr - v->start);
	auto_close int fd = find_file(c, v, writable);
	struct region *r;
	struct stat st;

	if (fd < 0 || quick_stat(fd, "", &st))
		return NULL;
	r = region_get(cm, fd, &st, off + len, writable);
	return r ? mapped_new(cm, r, off, len) : NULL;
}

static bool vma_is_ours(struct uapi_session *s, const struct vma *v)
{
	struct stat st = { .st_ino = v->ino, .st_dev = makedev(v->major, v->minor) };
	struct uapi_object *o = v->ino ? object_find(s, &st) : NULL;

	if (o)
		object_put(o);
	return o;
}

/* What the client has at [@vaddr, @vaddr + @len). */
struct extent {
	uint64_t at;		/* mapped up to here */
	unsigned int pieces;
	struct vma first;	/* grown over followers that continue the same file */
	bool is_bar, shared;
};

static int extent_add(struct extent *e, struct uapi_session *s, const struct vma *v, bool writable)
{
	if (v->perms[0] != 'r' || (writable && v->perms[1] != 'w'))
		return -EFAULT;
	if (vma_is_ours(s, v))
		e->is_bar = true;
	if (e->pieces && v->perms[3] == 's' && e->shared && v->ino == e->first.ino &&
	    v->major == e->first.major && v->minor == e->first.minor &&
	    v->off == e->first.off + (v->start - e->first.start)) {
		e->first.end = v->end;
	} else {
		e->shared = !e->pieces && v->perms[3] == 's' && v->ino;
		if (!e->pieces++)
			e->first = *v;
	}
	e->at = v->end;
	return 0;
}

static int scan_maps(struct uapi_call *c, uint64_t vaddr, uint64_t end, bool writable,
		     struct extent *e)
{
	char path[32], *line = NULL;
	size_t room = 0;
	int ret = -EFAULT;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", c->tid);
	f = fopen(path, "re");
	if (!f)
		return -EFAULT;
	e->at = vaddr;
	while (getline(&line, &room, f) > 0) {
		struct vma v;

		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &v.start, &v.end, v.perms, &v.off,
			   &v.major, &v.minor, &v.ino) != 7 || v.end <= vaddr)
			continue;
		if (v.start > e->at)
			break;
		ret = extent_add(e, c->s, &v, writable);
		if (ret || v.end >= end)
			break;
		ret = -EFAULT;
	}
	free(line);
	fclose(f);
	return ret;
}

int client_mem_at(struct client_mem *cm, struct uapi_call *c, uint64_t vaddr, uint64_t len,
		  bool writable, struct ferry_mem **mem, bool *is_bar)
{
	struct extent e = { 0 };
	int ret;

	*mem = NULL;
	*is_bar = false;
	if (!len || vaddr + len < vaddr)
		return -EFAULT;
	ret = scan_maps(c, vaddr, vaddr + len, writable, &e);
	*is_bar = e.is_bar;
	if (!notif_alive(c->s->cfg.listener, c->id) || e.is_bar)
		return -EFAULT;
	if (ret)
		return ret;
	if (e.pieces == 1 && e.shared)
		*mem = map_vma(cm, c, &e.first, vaddr, len, writable);
	return *mem ? 0 : remote_new(cm, c, vaddr, len, writable, mem);
}

int client_mem_of_file(struct client_mem *cm, struct uapi_call *c, int fd, uint64_t start,
		       uint64_t len, bool writable, struct ferry_mem **mem)
{
	auto_close int own = ident_getfd(c, fd);
	struct uapi_object *o;
	struct region *r;
	struct stat st;
	int mode;

	*mem = NULL;
	if (own < 0)
		return own == -EBADF ? -EBADF : -EINVAL;
	if (quick_stat(own, "", &st))
		return -errno;
	o = object_find(c->s, &st);
	if (o)
		object_put(o);
	mode = fcntl(own, F_GETFL) & O_ACCMODE;
	if (o || !S_ISREG(st.st_mode) || !magic_ok(own) || !len || start + len < start ||
	    mode == O_WRONLY || (writable && mode != O_RDWR))
		return -EINVAL;
	r = region_get(cm, own, &st, start + len, writable);
	if (!r)
		return -EINVAL;
	*mem = mapped_new(cm, r, start, len);
	return *mem ? 0 : -ENOMEM;
}
