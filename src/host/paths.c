/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The runtime folder: $XDG_RUNTIME_DIR/ferry, for root without it /run/ferry,
 * where neither can be written a private folder ferry-UID in the temporary
 * folder. Sockets are reached through /proc/self/fd, so that the length of the
 * path does not matter.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "host/paths.h"

#define REMOVE_DEPTH_MAX 24

bool paths_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 63 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool usable_dir(const char *path)
{
	struct stat st;

	return path && path[0] == '/' && !stat(path, &st) && S_ISDIR(st.st_mode) &&
	       !access(path, W_OK | X_OK);
}

/* A folder that others may have made in our stead is refused. */
static int private_dir(const char *path, bool make, struct ferry_err *err)
{
	struct stat st;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return ferry_err_set(err, errno, "E-RUN-DIR", NULL, "cannot make %s: %s", path,
				     strerror(errno));
	if (lstat(path, &st) < 0)
		return make || errno != ENOENT
			? ferry_err_set(err, errno, "E-RUN-DIR", NULL, "%s: %s", path,
					strerror(errno))
			: 0;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return ferry_err_set(err, EACCES, "E-RUN-DIR", "remove it, or set XDG_RUNTIME_DIR",
				     "%s is not a folder that only this user can write", path);
	return 0;
}

int paths_base(char *buf, size_t len, bool make, struct ferry_err *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
	int n;

	if (usable_dir(xdg))
		n = snprintf(buf, len, "%s/ferry", xdg);
	else if (!geteuid() && usable_dir("/run"))
		n = snprintf(buf, len, "/run/ferry");
	else
		n = snprintf(buf, len, "%s/ferry-%u", usable_dir(tmp) ? tmp : "/tmp",
			     (unsigned int)geteuid());
	if (n < 0 || (size_t)n >= len)
		return ferry_err_set(err, ENAMETOOLONG, "E-RUN-DIR", "set XDG_RUNTIME_DIR",
				     "the path of the runtime folder is too long");
	return private_dir(buf, make, err);
}

/* As mkdir -p below @root, which is there. */
static int make_below(char *path, size_t root, struct ferry_err *err)
{
	char *slash = path + root;
	int ret = 0;

	do {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			ret = ferry_err_set(err, errno, "E-STATE-DIR", "set XDG_STATE_HOME",
					    "cannot make %s: %s", path, strerror(errno));
		if (slash)
			*slash = '/';
	} while (slash && !ret);
	return ret;
}

int paths_state(const char *name, char *buf, size_t len, bool make, struct ferry_err *err)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *root;
	const char *below;
	int n;

	if (xdg && xdg[0] == '/') {
		root = xdg;
		below = "ferry";
	} else if (!geteuid()) {
		root = "/var/lib";
		below = "ferry";
	} else if (home && home[0] == '/') {
		root = home;
		below = ".local/state/ferry";
	} else {
		return ferry_err_set(err, ENOENT, "E-STATE-DIR", "set XDG_STATE_HOME",
				     "there is neither HOME nor XDG_STATE_HOME");
	}
	n = snprintf(buf, len, "%s/%s/%s", root, below, name);
	if (n < 0 || (size_t)n >= len)
		return ferry_err_set(err, ENAMETOOLONG, "E-STATE-DIR", "set XDG_STATE_HOME",
				     "the path of the state folder is too long");
	return make ? make_below(buf, strlen(root), err) : 0;
}

static int remove_at(int dirfd, const char *name, unsigned int depth)
{
	struct dirent *e;
	int fd, ret = 0;
	DIR *d;

	if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
		return 0;
	if ((errno != EISDIR && errno != EPERM && errno != EACCES) || depth == REMOVE_DEPTH_MAX)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Folders of the shadow tree are read-only. */
	if (fchmod(fd, 0700) < 0) {
		/* then the entries cannot be removed, which is reported */
	}
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		ret = remove_at(fd, e->d_name, depth + 1);
		if (ret < 0)
			break;
	}
	closedir(d);
	if (!ret && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		ret = -errno;
	return ret;
}

int paths_remove(int dirfd, const char *name)
{
	return remove_at(dirfd, name, 0);
}

static struct sockaddr_un socket_address(int dirfd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" PATHS_SOCKET, dirfd);
	return sa;
}

int paths_connect(int dirfd)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = socket_address(dirfd);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

int paths_listen(int dirfd)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = socket_address(dirfd);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (fchmodat(dirfd, PATHS_SOCKET, 0600, 0) < 0 || listen(fd, 128) < 0)
		return -errno;
	return take_fd(&fd);
}
