/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Which paths are ours, and what they mean in the shadow tree. Nothing here
 * knows of clients: strings in, an O_PATH descriptor and a name out.
 *
 * A path under a prefix never reaches the real system: what the tree does not
 * have does not exist. Overlay prefixes (/dev/char, /sys/module, /lib/modules)
 * are the exception: ours only where the tree has the name.
 */
#ifndef UAPI_PATH_H
#define UAPI_PATH_H

#include <limits.h>
#include <sys/stat.h>

#include <ferry/base.h>

#include "uapi.h"

enum path_class { PATH_FOREIGN, PATH_OURS, PATH_OVERLAY };

/** path_clean() - squeeze "//" and "/./" out of @in. The length, or -ENAMETOOLONG. ".." stays. */
int path_clean(char *out, size_t size, const char *in);

/** path_class_of() - of a cleaned path. Relative ones are foreign. */
enum path_class path_class_of(const char *clean);

/**
 * path_name() - the cleaned absolute path that @path means
 * @root: of the shadow tree: a text that begins with it is taken without it
 * @base: the directory that a relative @path starts from, or NULL
 * @out: PATH_MAX bytes
 * Return: its class, or -ENAMETOOLONG; -ENOENT: relative without a base.
 * A path that reaches a prefix by ".." from elsewhere is ours, without its "..".
 */
int path_name(const char *root, const char *base, const char *path, char *out);

enum path_kind { PATH_DIR, PATH_ATTR, PATH_LINK, PATH_CONTAINER, PATH_GROUP, PATH_CDEV, PATH_IOMMUFD };

static inline bool path_is_node(enum path_kind k)
{
	return k >= PATH_CONTAINER;
}

/**
 * struct path_node - something in the shadow tree
 * @name: canonical, without the root
 * @index: group number, X of vfioX
 */
struct path_node {
	int fd;			/* O_PATH */
	enum path_kind kind;
	unsigned int index;
	struct stat st;
	char name[PATH_MAX];
};

/**
 * path_resolve() - find @clean below @root_fd; nothing outside can be reached
 * @nofollow: a last component that is a link is the result
 * Return: 0, the caller closes @n->fd; -ENOENT, -ENOTDIR, -ELOOP...
 */
int path_resolve(int root_fd, const char *root, const char *clean, bool nofollow,
		 struct path_node *n);

/** path_fd_number() - N if the cleaned @path is /proc/self/fd/N of process @tgid or thread @tid or the like, else -1. */
int path_fd_number(const char *path, pid_t tgid, pid_t tid);

/** path_arg_of() - which argument of system call @nr is the path; *@dirfd: which the directory, -1: none. */
unsigned int path_arg_of(int nr, int *dirfd);

#endif
