/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ20: strings of a client against the path emulation. Input: a flag byte,
 * then up to three NUL-separated strings: a working directory, a path, a
 * second path that is made a symbolic link's target in the tree first.
 * Whatever they say: what is found lies below the root, and no path that
 * goes on to the real system is one of ours.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <frontends/uapi/path.h>

static char root[] = "/tmp/fuzz-path-XXXXXX", real_root[PATH_MAX];
static int root_fd = -1;

static void clean_up(void)
{
	static const char *const files[] = { "dev/vfio/vfio", "dev/vfio/7", "dev/iommu", "sys/bus/pci/link",
		"sys/bus/pci/out", "sys/bus/pci/up", "sys/bus/pci/fuzz" };
	static const char *const dirs[] = { "dev/vfio", "dev", "sys/bus/pci", "sys/bus", "sys", "" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		unlinkat(root_fd, files[i], 0);
	for (i = 0; i + 1 < ARRAY_SIZE(dirs); i++)
		unlinkat(root_fd, dirs[i], AT_REMOVEDIR);
	rmdir(root);
}

static void make_tree(void)
{
	static const char *const dirs[] = { "dev", "dev/vfio", "sys", "sys/bus", "sys/bus/pci" };
	static const char *const files[] = { "dev/vfio/vfio", "dev/vfio/7", "dev/iommu" };
	size_t i;

	if (!mkdtemp(root) || !realpath(root, real_root))
		abort();
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		mkdirat(root_fd, dirs[i], 0755);
	for (i = 0; i < ARRAY_SIZE(files); i++)
		close(openat(root_fd, files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	if (symlinkat("../../../dev/vfio", root_fd, "sys/bus/pci/link") ||
	    symlinkat("/etc/passwd", root_fd, "sys/bus/pci/out") ||
	    symlinkat("../../../../../..", root_fd, "sys/bus/pci/up"))
		abort();
	atexit(clean_up);
}

static void check_found(const struct path_node *n)
{
	char link[40], text[PATH_MAX], below[2 * PATH_MAX];
	struct stat st;
	ssize_t k;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", n->fd);
	k = readlink(link, text, sizeof(text) - 1);
	assert(k > 0);
	text[k] = '\0';
	assert(!strncmp(text, real_root, strlen(real_root)));
	assert(n->name[0] == '/' && !strstr(n->name, "/../") && !strstr(n->name, "//"));
	/* The canonical name leads to the same thing. */
	snprintf(below, sizeof(below), "%s%s", real_root, n->name);
	assert(!lstat(below, &st) && st.st_ino == n->st.st_ino && st.st_dev == n->st.st_dev);
}

static void check_path(const char *base, const char *path, bool nofollow)
{
	char name[PATH_MAX], again[PATH_MAX];
	struct path_node n;
	int class, k;

	class = path_name(real_root, base, path, name);
	if (class < 0)
		return;
	assert(strlen(name) < PATH_MAX);
	if (class == PATH_FOREIGN) {
		assert(!uapi_path_is_ours(name));
		assert(strncmp(name, real_root, strlen(real_root)) || name[strlen(real_root)] > '/' ||
		       (name[strlen(real_root)] && name[strlen(real_root)] < '/'));
	}
	k = path_clean(again, sizeof(again), name);
	assert(k >= 0);
	/* Found or not, whatever its class. */
	if (!path_resolve(root_fd, real_root, name, nofollow, &n)) {
		check_found(&n);
		close(n.fd);
	}
	path_fd_number(name, 12, 34);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char base[PATH_MAX + 16], path[PATH_MAX + 16], target[PATH_MAX + 16];
	char *const out[] = { base, path, target };
	size_t at = 1, i;

	if (root_fd < 0)
		make_tree();
	if (size < 2 || size > PATH_MAX)
		return 0;
	for (i = 0; i < 3; i++) {
		const uint8_t *end = at < size ? memchr(data + at, 0, size - at) : NULL;
		size_t len = at < size ? (end ? (size_t)(end - (data + at)) : size - at) : 0;

		memcpy(out[i], data + at, len);
		out[i][len] = '\0';
		at += len + 1;
		at = MIN(at, size);
	}
	if (target[0]) {
		unlinkat(root_fd, "sys/bus/pci/fuzz", 0);
		if (symlinkat(target, root_fd, "sys/bus/pci/fuzz"))
			target[0] = '\0';
	}
	check_path(base[0] == '/' ? base : NULL, path, data[0] & 1);
	return 0;
}
