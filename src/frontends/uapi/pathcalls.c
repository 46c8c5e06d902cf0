/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * System calls that take a path. Most are none of ours and go on. Ours are
 * found in the shadow tree and answered by what they are: directories and
 * plain attributes by a native descriptor of the real thing, nodes by an
 * object, attributes opened for writing by an object that hands each write
 * to the host.
 *
 * A path is read once. That a program changes it before a call that goes on
 * reads it again is harmless: it reaches what it could have opened anyway.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "session.h"

/* sysfs shows this for every attribute, by path. */
#define ATTR_SIZE 4096

/**
 * struct place - what a path of the program means
 * @fd: N if it names descriptor N of the program itself, else -1
 * @node: found in the tree, if locate() returned 0
 */
struct place {
	char name[PATH_MAX];
	int fd;
	struct path_node node;
};

static int link_text(const char *link, char *text)
{
	ssize_t n = readlink(link, text, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

static void native_cwd_link(struct uapi_call *c, char *link, size_t size)
{
	snprintf(link, size, "/proc/%d/cwd", c->tid);
}

/* Where a relative path starts. *@virtual: in the tree, though the kernel thinks otherwise. */
static int base_of(struct uapi_call *c, int dirfd, char *base, bool *virtual)
{
	const char *v = dirfd == AT_FDCWD ? cwd_get(c) : NULL;
	char link[48];

	*virtual = v;
	if (v) {
		snprintf(base, PATH_MAX, "%s", v);
		return 0;
	}
	if (dirfd == AT_FDCWD)
		native_cwd_link(c, link, sizeof(link));
	else
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", c->tid, dirfd);
	return link_text(link, base);
}

static int own_fd_number(struct uapi_call *c, const char *name)
{
	pid_t tgid = 0;

	if (strncmp(name, "/proc/", 6) && strncmp(name, "/dev/fd/", 8))
		return -1;
	if (name[6] >= '0' && name[6] <= '9' && strstr(name, "/fd/"))
		tgid = ident_tgid(c);
	return path_fd_number(name, tgid, c->tid);
}

/* Reads the path and names it. A class, or -errno, or CALL_CONTINUE. */
static int64_t name_place(struct uapi_call *c, int dirfd, uint64_t addr, struct place *p)
{
	char raw[PATH_MAX], base[PATH_MAX];
	bool virtual = false;
	int ret;

	p->fd = -1;
	ret = call_string(c, raw, addr);
	if (ret <= 0)	/* the kernel says why; an empty path is its business too */
		return CALL_CONTINUE;
	if (raw[0] == '/')
		ret = path_name(c->s->root, NULL, raw, p->name);
	else if (base_of(c, dirfd, base, &virtual))
		return CALL_CONTINUE;
	else
		ret = path_name(c->s->root, base, raw, p->name);
	if (ret < 0)
		return CALL_CONTINUE;
	if (ret == PATH_FOREIGN && !virtual)
		p->fd = own_fd_number(c, p->name);
	return virtual ? PATH_OURS : ret;
}

/* 0: @p->node is open. CALL_CONTINUE: not ours (perhaps @p->fd). -errno: ours, and this is the answer. */
static int64_t locate(struct uapi_call *c, int dirfd, uint64_t addr, bool nofollow,
		      struct place *p)
{
	int64_t class = name_place(c, dirfd, addr, p);
	int ret;

	if (class < 0 || class == PATH_FOREIGN)
		return class < 0 ? class : CALL_CONTINUE;
	ret = path_resolve(c->s->host->root_fd, c->s->root, p->name, nofollow, &p->node);
	if (class == PATH_OVERLAY) {
		if (ret)
			return CALL_CONTINUE;
		/* A directory that both have is on the way to something of ours: show the real one. */
		if (p->node.kind == PATH_DIR && !access(p->name, F_OK)) {
			close(p->node.fd);
			return CALL_CONTINUE;
		}
	}
	return ret;
}

/* The object that path @p names by its number, held until the answer; NULL: none. */
static struct uapi_object *place_object(struct uapi_call *c, const struct place *p)
{
	struct uapi_object *o;
	int err;

	if (p->fd < 0)
		return NULL;
	o = ident_object(c, p->fd, &err);
	return o && !call_hold(c, o) ? o : NULL;
}

static int dir_arg(struct uapi_call *c)
{
	int arg;

	path_arg_of(c->nr, &arg);
	return arg < 0 ? AT_FDCWD : (int)c->args[arg];
}

static uint64_t path_arg(struct uapi_call *c)
{
	return c->args[path_arg_of(c->nr, NULL)];
}

/* -------------------------------------------------------------------- open */

static int open_again(const struct path_node *n, int flags)
{
	char link[40];
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", n->fd);
	fd = open(link, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int64_t open_native(struct uapi_call *c, const struct path_node *n, int flags)
{
	auto_close int fd = open_again(n, O_RDONLY | (n->kind == PATH_DIR ? O_DIRECTORY : 0));

	return fd < 0 ? fd : call_install(c, fd, flags & O_CLOEXEC, false, 0);
}

static int64_t open_attr(struct uapi_call *c, const struct path_node *n, int flags)
{
	bool readable = (flags & O_ACCMODE) == O_RDWR;
	auto_close int fd = -1, own = -1;
	struct uapi_object *o;
	int ret;

	if (!(n->st.st_mode & 0222) || (readable && !(n->st.st_mode & 0444)))
		return -EACCES;
	if (readable) {
		own = open_again(n, O_RDONLY);
		if (own < 0)
			return own;
	}
	ret = object_create(c->s, NULL, n->name, &o, &fd);
	if (ret)
		return ret;
	o->attr_fd = take_fd(&own);
	o->mode = n->st.st_mode;
	o->size = ATTR_SIZE;
	return call_install(c, fd, flags & O_CLOEXEC, true, 0);
}

static int64_t open_node(struct uapi_call *c, const struct path_node *n, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if (flags & O_PATH)
		flags &= O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW;
	if (n->kind == PATH_LINK)
		return -ELOOP;
	if (n->kind == PATH_DIR)
		return writes && !(flags & O_PATH) ? -EISDIR : open_native(c, n, flags);
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	c->cloexec = flags & O_CLOEXEC;
	if (path_is_node(n->kind) && !(flags & O_PATH))
		return node_open(c, n);
	return writes && !(flags & O_PATH) ? open_attr(c, n, flags) : open_native(c, n, flags);
}

/* The program opens one of its own descriptors once more: the kernel would open the node again. */
static int64_t open_own(struct uapi_call *c, struct uapi_object *o, struct place *p, int flags)
{
	int64_t ret;

	ret = path_resolve(c->s->host->root_fd, c->s->root, object_path(o), false, &p->node);
	if (ret)
		return -ENXIO;
	ret = open_node(c, &p->node, flags);
	close(p->node.fd);
	return ret;
}

static int64_t open_flags(struct uapi_call *c, int *flags)
{
	struct open_how how;

	switch (c->nr) {
	case __NR_creat:
		*flags = O_CREAT | O_WRONLY | O_TRUNC;
		break;
	case __NR_open:
		*flags = (int)c->args[1];
		break;
	case __NR_openat2:
		if (c->args[3] < sizeof(how) || call_copy_in(c, &how, c->args[2], sizeof(how)))
			return CALL_CONTINUE;
		*flags = (int)how.flags;
		break;
	default:
		*flags = (int)c->args[2];
	}
	return 0;
}

static int64_t do_open(struct uapi_call *c)
{
	struct uapi_object *o;
	struct place p;
	int64_t ret;
	int flags = 0;

	ret = open_flags(c, &flags);
	if (ret)
		return ret;
	ret = locate(c, dir_arg(c), path_arg(c), flags & O_NOFOLLOW, &p);
	if (ret == CALL_CONTINUE && (o = place_object(c, &p)))
		return open_own(c, o, &p, flags);
	if (ret == -ENOENT && (flags & O_CREAT))
		return -EACCES;		/* nothing can be made in sysfs */
	if (ret)
		return ret;
	ret = open_node(c, &p.node, flags);
	close(p.node.fd);
	return ret;
}

/* ------------------------------------------------------------ stat, access */

/* An empty path with AT_EMPTY_PATH: the descriptor itself. */
static struct uapi_object *empty_path_object(struct uapi_call *c, int flags)
{
	struct uapi_object *o;
	char byte;
	int err;

	if (!(flags & AT_EMPTY_PATH) || dir_arg(c) < 0 ||
	    (path_arg(c) && (call_copy_in(c, &byte, path_arg(c), 1) || byte)))
		return NULL;
	o = ident_object(c, dir_arg(c), &err);
	return o && !call_hold(c, o) ? o : NULL;
}

static void fix_stat(struct uapi_session *s, const struct path_node *n, struct stat *st)
{
	if (path_is_node(n->kind)) {
		node_numbers(s, n, &st->st_mode, &st->st_rdev);
		st->st_size = 0;
	} else if (n->kind == PATH_ATTR) {
		st->st_size = ATTR_SIZE;
	}
}

static int64_t do_stat(struct uapi_call *c)
{
	int flags = c->nr == __NR_newfstatat ? (int)c->args[3] :
		c->nr == __NR_lstat ? AT_SYMLINK_NOFOLLOW : 0;
	uint64_t buf = c->args[c->nr == __NR_newfstatat ? 2 : 1];
	struct uapi_object *o;
	struct place p;
	struct stat st;
	int64_t ret;

	o = empty_path_object(c, flags);
	if (o)
		return fd_stat(c, o, buf);
	ret = locate(c, dir_arg(c), path_arg(c), flags & AT_SYMLINK_NOFOLLOW, &p);
	if (ret == CALL_CONTINUE && !(flags & AT_SYMLINK_NOFOLLOW) && (o = place_object(c, &p)))
		return fd_stat(c, o, buf);
	if (ret)
		return ret;
	st = p.node.st;
	fix_stat(c->s, &p.node, &st);
	close(p.node.fd);
	return call_copy_out(c, buf, &st, sizeof(st));
}

static int64_t do_statx(struct uapi_call *c)
{
	int flags = (int)c->args[2];
	struct uapi_object *o;
	struct place p;
	struct statx x;
	struct stat st;
	int64_t ret;

	o = empty_path_object(c, flags);
	if (o)
		return fd_statx(c, o, c->args[4]);
	ret = locate(c, dir_arg(c), path_arg(c), flags & AT_SYMLINK_NOFOLLOW, &p);
	if (ret == CALL_CONTINUE && !(flags & AT_SYMLINK_NOFOLLOW) && (o = place_object(c, &p)))
		return fd_statx(c, o, c->args[4]);
	if (ret)
		return ret;
	memset(&x, 0, sizeof(x));
	ret = statx(p.node.fd, "", AT_EMPTY_PATH, (unsigned int)c->args[3], &x) ? -errno : 0;
	st = p.node.st;
	fix_stat(c->s, &p.node, &st);
	close(p.node.fd);
	if (ret)
		return ret;
	x.stx_mode = (uint16_t)st.st_mode;
	x.stx_size = (uint64_t)st.st_size;
	x.stx_rdev_major = major(st.st_rdev);
	x.stx_rdev_minor = minor(st.st_rdev);
	return call_copy_out(c, c->args[4], &x, sizeof(x));
}

static int64_t do_access(struct uapi_call *c)
{
	int mode = (int)c->args[c->nr == __NR_access ? 1 : 2];
	bool nofollow = c->nr == __NR_faccessat2 && (c->args[3] & AT_SYMLINK_NOFOLLOW);
	struct place p;
	char link[40];
	int64_t ret;

	ret = locate(c, dir_arg(c), path_arg(c), nofollow, &p);
	if (ret)
		return ret;
	if (mode & ~(R_OK | W_OK | X_OK)) {
		ret = -EINVAL;
	} else if (path_is_node(p.node.kind)) {
		ret = mode & X_OK ? -EACCES : 0;
	} else if (p.node.kind != PATH_LINK) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", p.node.fd);
		ret = access(link, mode) ? -errno : 0;
	}
	close(p.node.fd);
	return ret;
}

/* ---------------------------------------------------------------- readlink */

static int64_t give_text(struct uapi_call *c, const char *text, uint64_t buf, uint64_t size)
{
	size_t n = strlen(text);

	n = MIN(n, (size_t)size);
	return call_copy_out(c, buf, text, n) ? -EFAULT : (int64_t)n;
}

/* /proc/self/fd/N: the link text of an object, or of a directory of the tree, as the kernel would have it. */
static const char *own_fd_text(struct uapi_call *c, struct place *p)
{
	struct uapi_object *o = place_object(c, p);
	size_t n = strlen(c->s->root);
	char link[48];

	if (o)
		return object_path(o);
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", c->tid, p->fd);
	if (p->fd < 0 || link_text(link, p->name) || strncmp(p->name, c->s->root, n) ||
	    p->name[n] != '/')
		return NULL;
	return p->name + n;
}

static int64_t do_readlink(struct uapi_call *c)
{
	unsigned int at = path_arg_of(c->nr, NULL);
	uint64_t buf = c->args[at + 1], size = c->args[at + 2];
	char text[PATH_MAX];
	const char *own;
	struct place p;
	int64_t ret;
	ssize_t n;

	ret = locate(c, dir_arg(c), path_arg(c), true, &p);
	if (ret == CALL_CONTINUE && p.fd >= 0 && (own = own_fd_text(c, &p)))
		return (int32_t)size <= 0 ? -EINVAL : give_text(c, own, buf, size);
	if (ret == -ENOENT && !strcmp(p.name, UAPI_ROOT_LINK))
		return give_text(c, c->s->root, buf, size);
	if (ret)
		return ret;
	n = p.node.kind == PATH_LINK ? readlinkat(p.node.fd, "", text, sizeof(text) - 1) : -1;
	close(p.node.fd);
	if (n < 0 || (int32_t)size <= 0)
		return -EINVAL;
	text[n] = '\0';
	return give_text(c, text, buf, size);
}

/* ------------------------------------------------------- working directory */

static int64_t do_chdir(struct uapi_call *c)
{
	struct place p;
	struct stat st;
	int64_t ret;

	p.name[0] = '\0';
	ret = locate(c, AT_FDCWD, path_arg(c), false, &p);
	if (ret == CALL_CONTINUE) {
		/* Away from the tree, if it will succeed. */
		if (c->s->nr_cwds && p.name[0] == '/' && !stat(p.name, &st) && S_ISDIR(st.st_mode))
			cwd_set(c, NULL);
		return ret;
	}
	if (ret)
		return ret;
	close(p.node.fd);
	return p.node.kind == PATH_DIR ? cwd_set(c, p.node.name) : -ENOTDIR;
}

static int64_t do_getcwd(struct uapi_call *c)
{
	const char *text = cwd_get(c);
	size_t n = strlen(c->s->root);
	char link[40], buf[PATH_MAX];

	if (!text) {
		native_cwd_link(c, link, sizeof(link));
		if (link_text(link, buf) || strncmp(buf, c->s->root, n) || (buf[n] && buf[n] != '/'))
			return CALL_CONTINUE;
		text = buf[n] ? buf + n : "/";
	}
	n = strlen(text) + 1;
	if (n > c->args[1])
		return -ERANGE;
	return call_copy_out(c, c->args[0], text, n) ? -EFAULT : (int64_t)n;
}

/* ------------------------------------------------------------------ others */

/* Found at all? Then @ours for a plain file or directory, @node for a node. */
static int64_t fixed_answer(struct uapi_call *c, bool nofollow, int64_t ours, int64_t node)
{
	struct place p;
	int64_t ret = locate(c, dir_arg(c), path_arg(c), nofollow, &p);

	if (ret)
		return ret;
	close(p.node.fd);
	return path_is_node(p.node.kind) ? node : ours;
}

int64_t path_call_run(struct uapi_call *c)
{
	switch (c->nr) {
	case __NR_open:
	case __NR_openat:
	case __NR_openat2:
	case __NR_creat:
		return do_open(c);
	case __NR_stat:
	case __NR_lstat:
	case __NR_newfstatat:
		return do_stat(c);
	case __NR_statx:
		return do_statx(c);
	case __NR_access:
	case __NR_faccessat:
	case __NR_faccessat2:
		return do_access(c);
	case __NR_readlink:
	case __NR_readlinkat:
		return do_readlink(c);
	case __NR_chdir:
		return do_chdir(c);
	case __NR_getcwd:
		return do_getcwd(c);
	case __NR_getxattr:
	case __NR_lgetxattr:
		return fixed_answer(c, c->nr == __NR_lgetxattr, -ENODATA, -ENODATA);
	case __NR_listxattr:
	case __NR_llistxattr:
		return fixed_answer(c, c->nr == __NR_llistxattr, 0, 0);
	case __NR_inotify_add_watch:
		return fixed_answer(c, false, -EPERM, -EPERM);
	default:	/* chmod, chown: managers of VMs do it to nodes; sysfs says no */
		return fixed_answer(c, c->nr == __NR_lchown, -EPERM, 0);
	}
}
