/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Which paths are ours, and what they mean in the shadow tree. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "path.h"

static const char *const prefixes[] = {
	"/sys/bus/pci", "/sys/kernel/iommu_groups", "/sys/class/vfio", "/sys/class/vfio-dev",
	"/sys/module/vfio", "/sys/module/vfio_pci", "/dev/vfio", "/dev/iommu",
};

static const char *const overlays[] = { "/dev/char", "/sys/module", "/lib/modules" };

/* Does @path begin with all the components of @prefix? */
static bool has_prefix(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return !strncmp(path, prefix, n) && (path[n] == '/' || !path[n]);
}

/* /sys/devices/ferryN: the parent of all functions of ours. */
static bool is_ferry_device(const char *path)
{
	static const char ours[] = "/sys/devices/ferry";
	const char *p = path + sizeof(ours) - 1;

	if (strncmp(path, ours, sizeof(ours) - 1) || *p < '0' || *p > '9')
		return false;
	while (*p >= '0' && *p <= '9')
		p++;
	return *p == '/' || !*p;
}

enum path_class path_class_of(const char *clean)
{
	size_t i;

	if (is_ferry_device(clean))
		return PATH_OURS;
	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (has_prefix(clean, prefixes[i]))
			return PATH_OURS;
	for (i = 0; i < ARRAY_SIZE(overlays); i++)
		if (has_prefix(clean, overlays[i]) && clean[strlen(overlays[i])])
			return PATH_OVERLAY;
	return PATH_FOREIGN;
}

bool uapi_path_is_ours(const char *path)
{
	return path_class_of(path) == PATH_OURS;
}

int path_clean(char *out, size_t size, const char *in)
{
	size_t n = 0;

	while (*in) {
		if (in[0] == '/' && in[1] == '/') {
			in++;
		} else if (in[0] == '/' && in[1] == '.' && (in[2] == '/' || !in[2])) {
			in += 2;
			if (*in)
				continue;
			in--;	/* "/." at the end: a directory is meant */
			if (n + 1 >= size)
				return -ENAMETOOLONG;
			out[n++] = '/';
			in++;
		} else {
			if (n + 1 >= size)
				return -ENAMETOOLONG;
			out[n++] = *in++;
		}
	}
	out[n] = '\0';
	return (int)n;
}

/* Takes ".." by text, as if no component were a link. Never leaves "/". */
static void path_flatten(char *path)
{
	char *out = path, *in = path;

	while (*in) {
		char *end = strchrnul(in + 1, '/');
		size_t n = (size_t)(end - in);

		if (n == 3 && in[1] == '.' && in[2] == '.') {
			while (out > path && *--out != '/')
				;
		} else {
			memmove(out, in, n);
			out += n;
		}
		in = end;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

int path_name(const char *root, const char *base, const char *path, char *out)
{
	char joined[2 * PATH_MAX], clean[PATH_MAX];
	const char *name = clean;
	int ret;

	if (path[0] == '/')
		ret = path_clean(clean, sizeof(clean), path);
	else if (!base)
		return -ENOENT;
	else if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", base, path) >= sizeof(joined))
		return -ENAMETOOLONG;
	else
		ret = path_clean(clean, sizeof(clean), joined);
	if (ret < 0)
		return ret;
	if (has_prefix(clean, root)) {
		name = clean + strlen(root);
		snprintf(out, PATH_MAX, "%s", *name ? name : "/");
		return PATH_OURS;
	}
	snprintf(out, PATH_MAX, "%s", clean);
	ret = path_class_of(out);
	if (ret == PATH_FOREIGN && strstr(out, "/..")) {
		path_flatten(clean);
		ret = path_class_of(clean);
		if (ret != PATH_FOREIGN)
			snprintf(out, PATH_MAX, "%s", clean);
	}
	return ret;
}

/* Decimal without sign or leading zeros, at most 9 digits. */
static bool number(const char *s, unsigned int *v)
{
	size_t n = strspn(s, "0123456789");

	if (!n || s[n] || n > 9 || (s[0] == '0' && n > 1))
		return false;
	*v = (unsigned int)strtoul(s, NULL, 10);
	return true;
}

static enum path_kind kind_of(const char *name, mode_t mode, unsigned int *index)
{
	static const char group[] = "/dev/vfio/", cdev[] = "/dev/vfio/devices/vfio";

	*index = 0;
	if (S_ISDIR(mode))
		return PATH_DIR;
	if (S_ISLNK(mode))
		return PATH_LINK;
	if (!strcmp(name, "/dev/vfio/vfio"))
		return PATH_CONTAINER;
	if (!strcmp(name, "/dev/iommu"))
		return PATH_IOMMUFD;
	if (!strncmp(name, cdev, sizeof(cdev) - 1) && number(name + sizeof(cdev) - 1, index))
		return PATH_CDEV;
	if (!strncmp(name, group, sizeof(group) - 1) && number(name + sizeof(group) - 1, index))
		return PATH_GROUP;
	return PATH_ATTR;
}

/* The link text of our own descriptor, without the root. */
static int canonical(int fd, const char *root, char *name)
{
	char link[40], text[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (!has_prefix(text, root))
		return -ENOENT;
	snprintf(name, PATH_MAX, "%s", text[strlen(root)] ? text + strlen(root) : "/");
	return 0;
}

int path_resolve(int root_fd, const char *root, const char *clean, bool nofollow,
		 struct path_node *n)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int tries, ret;

	n->fd = -1;
	for (tries = 0; tries < 100 && n->fd < 0; tries++) {
		n->fd = (int)syscall(__NR_openat2, root_fd, clean, &how, sizeof(how));
		if (n->fd < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	if (n->fd < 0)
		return -EAGAIN;
	ret = canonical(n->fd, root, n->name);
	if (!ret && fstat(n->fd, &n->st))
		ret = -errno;
	if (ret) {
		close(n->fd);
		n->fd = -1;
		return ret;
	}
	n->kind = kind_of(n->name, n->st.st_mode, &n->index);
	return 0;
}

int path_fd_number(const char *path, pid_t tgid, pid_t tid)
{
	static const char *const selves[] = { "/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/" };
	char own[3][48];
	unsigned int v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(selves); i++)
		if (!strncmp(path, selves[i], strlen(selves[i])))
			return number(path + strlen(selves[i]), &v) ? (int)v : -1;
	if (strncmp(path, "/proc/", 6))
		return -1;
	snprintf(own[0], sizeof(own[0]), "/proc/%d/fd/", tgid);
	snprintf(own[1], sizeof(own[1]), "/proc/%d/fd/", tid);
	snprintf(own[2], sizeof(own[2]), "/proc/%d/task/%d/fd/", tgid, tid);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		if (!strncmp(path, own[i], strlen(own[i])))
			return number(path + strlen(own[i]), &v) ? (int)v : -1;
	return -1;
}

unsigned int path_arg_of(int nr, int *dirfd)
{
	int dir;

	switch (nr) {
	case __NR_openat:
	case __NR_openat2:
	case __NR_newfstatat:
	case __NR_statx:
	case __NR_faccessat:
	case __NR_faccessat2:
	case __NR_readlinkat:
	case __NR_fchmodat:
	case 452:	/* fchmodat2 */
	case __NR_fchownat:
		dir = 0;
		break;
	case __NR_inotify_add_watch:	/* its first argument is no directory */
		if (dirfd)
			*dirfd = -1;
		return 1;
	default:
		dir = -1;
	}
	if (dirfd)
		*dirfd = dir;
	return dir < 0 ? 0 : 1;
}
