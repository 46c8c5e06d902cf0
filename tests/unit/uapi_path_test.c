/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Paths: cleaning, prefixes, names, resolution in a tree; no client. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <frontends/uapi/path.h>

static int n, failed;

static void ok(bool good, const char *what, const char *arg)
{
	printf("%s %d - %s: %s\n", good ? "ok" : "not ok", ++n, what, arg);
	failed += !good;
}

static const struct { const char *in, *out; } cleans[] = {
	{ "/dev//vfio", "/dev/vfio" }, { "/dev/./vfio", "/dev/vfio" }, { "///dev/vfio//", "/dev/vfio/" },
	{ "/dev/vfio/.", "/dev/vfio/" }, { "/././dev", "/dev" }, { "/a/../b", "/a/../b" },
	{ "/a/.b/..c", "/a/.b/..c" }, { "", "" }, { "/", "/" }, { "/.", "/" }, { "a//b", "a/b" },
};

static const struct { const char *path; enum path_class class; } classes[] = {
	{ "/dev/vfio", PATH_OURS }, { "/dev/vfio/", PATH_OURS }, { "/dev/vfio/7", PATH_OURS },
	{ "/dev/vfiox", PATH_FOREIGN }, { "/dev/vfi", PATH_FOREIGN }, { "/dev", PATH_FOREIGN },
	{ "/dev/iommu", PATH_OURS }, { "/dev/iommu2", PATH_FOREIGN }, { "/sys/bus/pci", PATH_OURS },
	{ "/sys/bus/pci_express", PATH_FOREIGN }, { "/sys/bus", PATH_FOREIGN },
	{ "/sys/devices/ferry0", PATH_OURS }, { "/sys/devices/ferry12/x", PATH_OURS },
	{ "/sys/devices/ferry", PATH_FOREIGN }, { "/sys/devices/ferryx", PATH_FOREIGN },
	{ "/sys/devices/ferry0x/", PATH_FOREIGN }, { "/sys/devices/pci0000:00", PATH_FOREIGN },
	{ "/sys/kernel/iommu_groups/3", PATH_OURS }, { "/sys/class/vfio-dev", PATH_OURS },
	{ "/sys/class/vfio", PATH_OURS }, { "/sys/class/vfio-x", PATH_FOREIGN },
	{ "/sys/module/vfio", PATH_OURS }, { "/sys/module/vfio_pci/drivers", PATH_OURS },
	{ "/sys/module/vfio_iommu_type1", PATH_OVERLAY }, { "/sys/module", PATH_FOREIGN },
	{ "/dev/char/511:0", PATH_OVERLAY }, { "/dev/char", PATH_FOREIGN },
	{ "/lib/modules/6.1/modules.alias", PATH_OVERLAY }, { "dev/vfio", PATH_FOREIGN }, { "", PATH_FOREIGN },
};

/* Class -1: an error is due. */
static const struct { const char *base, *path, *name; int class; } names[] = {
	{ NULL, "/dev/vfio/vfio", "/dev/vfio/vfio", PATH_OURS },
	{ NULL, "vfio", NULL, -1 },
	{ "/dev", "vfio/vfio", "/dev/vfio/vfio", PATH_OURS },
	{ "/tmp/ROOT/sys/bus/pci", "devices", "/sys/bus/pci/devices", PATH_OURS },
	{ "/tmp/ROOT", "etc", "/etc", PATH_OURS },
	{ "/tmp/ROOTX", "etc", "/tmp/ROOTX/etc", PATH_FOREIGN },
	{ NULL, "/tmp/ROOT/dev/iommu", "/dev/iommu", PATH_OURS },
	{ NULL, "/home/../dev/vfio/7", "/dev/vfio/7", PATH_OURS },
	{ "/home/u", "../../dev/vfio", "/dev/vfio", PATH_OURS },
	{ "/", "../../dev/iommu", "/dev/iommu", PATH_OURS },
	{ NULL, "/dev/vfio/../null", "/dev/vfio/../null", PATH_OURS },
	{ NULL, "/home/../etc/passwd", "/home/../etc/passwd", PATH_FOREIGN },
	{ "/usr", "lib", "/usr/lib", PATH_FOREIGN },
};

static const struct { const char *path; bool nofollow; int ret; const char *name; enum path_kind kind; } finds[] = {
	{ "/dev/vfio/vfio", false, 0, "/dev/vfio/vfio", PATH_CONTAINER },
	{ "/dev/vfio/12", false, 0, "/dev/vfio/12", PATH_GROUP },
	{ "/dev/vfio/012", false, 0, "/dev/vfio/012", PATH_ATTR },
	{ "/dev/vfio/devices/vfio3", false, 0, "/dev/vfio/devices/vfio3", PATH_CDEV },
	{ "/dev/iommu", true, 0, "/dev/iommu", PATH_IOMMUFD },
	{ "/dev/iommu/", false, -ENOTDIR, NULL, 0 },
	{ "/link", true, 0, "/link", PATH_LINK },
	{ "/link", false, 0, "/dev/vfio", PATH_DIR },
	{ "/link/", true, 0, "/dev/vfio", PATH_DIR },
	{ "/link/vfio", true, 0, "/dev/vfio/vfio", PATH_CONTAINER },
	{ "/abs", false, 0, "/dev/vfio/vfio", PATH_CONTAINER },
	{ "/out", false, -ENOENT, NULL, 0 },
	{ "/up", false, 0, "/", PATH_DIR },
	{ "/loop", false, -ELOOP, NULL, 0 },
	{ "/../../../../dev/vfio/../iommu", false, 0, "/dev/iommu", PATH_IOMMUFD },
	{ "/etc/passwd", false, -ENOENT, NULL, 0 },
	{ "/dev/vfio/vfio/x", false, -ENOTDIR, NULL, 0 },
	{ "/proc/self/root/etc", false, -ENOENT, NULL, 0 },
	{ "/magic", false, -ENOENT, NULL, 0 },
	{ "/attr", false, 0, "/attr", PATH_ATTR },
};

static const struct { const char *path; int fd; } numbers[] = {
	{ "/proc/self/fd/5", 5 }, { "/proc/thread-self/fd/5", 5 }, { "/dev/fd/17", 17 },
	{ "/proc/100/fd/3", 3 }, { "/proc/101/fd/3", 3 }, { "/proc/100/task/101/fd/8", 8 },
	{ "/proc/102/fd/3", -1 }, { "/proc/self/fd/", -1 }, { "/proc/self/fd/3/x", -1 },
	{ "/proc/self/fd/-1", -1 }, { "/proc/self/fd/03", -1 }, { "/proc/self/fd/99999999999", -1 },
	{ "/proc/self/fdinfo/3", -1 }, { "/etc/fd/3", -1 },
};

static void file_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert(fd >= 0);
	close(fd);
}

static void test_resolve(void)
{
	char root[] = "/tmp/uapi-path-XXXXXX", cmd[64];
	struct path_node node;
	int dir;
	size_t i;

	assert(mkdtemp(root));
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(dir, "dev", 0755);
	mkdirat(dir, "dev/vfio", 0755);
	mkdirat(dir, "dev/vfio/devices", 0755);
	file_at(dir, "dev/vfio/vfio");
	file_at(dir, "dev/vfio/12");
	file_at(dir, "dev/vfio/012");
	file_at(dir, "dev/vfio/devices/vfio3");
	file_at(dir, "dev/iommu");
	file_at(dir, "attr");
	assert(!symlinkat("dev/vfio", dir, "link") && !symlinkat("/dev/vfio/vfio", dir, "abs") &&
	       !symlinkat("/etc/passwd", dir, "out") && !symlinkat("../../../..", dir, "up") &&
	       !symlinkat("loop", dir, "loop") && !symlinkat("/proc/self/fd/0", dir, "magic"));
	for (i = 0; i < ARRAY_SIZE(finds); i++) {
		int ret = path_resolve(dir, root, finds[i].path, finds[i].nofollow, &node);

		ok(ret == finds[i].ret && (ret || (!strcmp(node.name, finds[i].name) && node.kind == finds[i].kind)),
		   "resolve", finds[i].path);
		if (!ret)
			close(node.fd);
	}
	close(dir);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	ok(!system(cmd), "tree removed", root);
}

int main(void)
{
	char out[PATH_MAX], small[8], longest[2 * PATH_MAX];
	size_t i;

	alarm(60);
	for (i = 0; i < ARRAY_SIZE(cleans); i++) {
		int ret = path_clean(out, sizeof(out), cleans[i].in);

		ok(ret == (int)strlen(cleans[i].out) && !strcmp(out, cleans[i].out), "clean", cleans[i].in);
	}
	ok(path_clean(small, sizeof(small), "/1234567") == -ENAMETOOLONG && path_clean(small, sizeof(small), "/123456") == 7,
	   "clean", "no room");
	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		ok(path_class_of(classes[i].path) == classes[i].class, "class", classes[i].path);
		ok(uapi_path_is_ours(classes[i].path) == (classes[i].class == PATH_OURS), "is ours", classes[i].path);
	}
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		int ret = path_name("/tmp/ROOT", names[i].base, names[i].path, out);

		ok(names[i].class < 0 ? ret < 0 : ret == names[i].class && !strcmp(out, names[i].name), "name", names[i].path);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	longest[0] = '/';
	ok(path_name("/tmp/ROOT", NULL, longest, out) == -ENAMETOOLONG, "name", "too long");
	ok(path_name("/tmp/ROOT", "/x", longest + 1, out) == -ENAMETOOLONG, "name", "too long, relative");
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		ok(path_fd_number(numbers[i].path, 100, 101) == numbers[i].fd, "number", numbers[i].path);
	test_resolve();
	printf("1..%d\n", n);
	return failed ? 1 : 0;
}
