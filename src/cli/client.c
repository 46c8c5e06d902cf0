/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The client's end of the control socket. Blocking: ferry does one thing at a time. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "cli/cli.h"
#include "host/paths.h"

#define POLL_MS 20
#define REPLY_MAX (8u << 20)
#define SEND_FDS_MAX 4

int client_path(const char *host, const char *file, char *buf, size_t len)
{
	char base[192];
	int n;

	if (paths_base(base, sizeof(base), false, NULL) < 0)
		return -EACCES;
	n = snprintf(buf, len, "%s/%s%s%s", base, host, file[0] ? "/" : "", file);
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int client_dir(const char *host)
{
	char path[320];
	int fd = client_path(host, "", path, sizeof(path));

	if (fd < 0)
		return fd;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int connect_once(const char *host)
{
	auto_close int dir = client_dir(host);

	return dir < 0 ? dir : paths_connect(dir);
}

int client_connect(const char *host, unsigned int ms, struct ferry_err *err)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	char hint[128];
	unsigned int waited;
	int fd;

	if (!paths_name_ok(host))
		return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "%.100s cannot be the name of a host",
				     host);
	for (waited = 0;; waited += POLL_MS) {
		fd = connect_once(host);
		if (fd >= 0)
			return fd;
		if ((fd != -ENOENT && fd != -ECONNREFUSED) || waited >= ms)
			break;
		nanosleep(&pause, NULL);
	}
	snprintf(hint, sizeof(hint), "ferryd --host %s", host);
	return ferry_err_set(err, -fd, "E-NO-DAEMON", hint, "no daemon answers: %s", strerror(-fd));
}

int client_connect_path(const char *path, struct ferry_err *err)
{
	char copy[PATH_MAX];
	auto_close int dir = -1;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -errno : paths_connect(dir);
	return fd < 0 ? ferry_err_set(err, -fd, "E-NO-DAEMON", NULL, "%s: no daemon answers: %s", path,
				      strerror(-fd)) : fd;
}

static int send_all(int fd, const char *text, size_t len, const int *fds, unsigned int nr_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * SEND_FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (char *)text, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	assert(nr_fds <= SEND_FDS_MAX);
	if (nr_fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nr_fds);
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(fd, &mh, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		mh.msg_control = NULL;
		mh.msg_controllen = 0;
	}
	return 0;
}

/* One line, without its newline; the caller frees it. NULL: the daemon is gone. */
static char *read_line(int fd)
{
	size_t len = 0, size = 4096;
	char *buf = malloc(size);

	while (buf) {
		ssize_t n = read(fd, buf + len, size - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (buf[len - 1] == '\n') {
			buf[len - 1] = '\0';
			return buf;
		}
		if (len == size - 1) {
			char *more = size < REPLY_MAX ? realloc(buf, size * 2) : NULL;

			if (!more)
				break;
			buf = more;
			size *= 2;
		}
	}
	free(buf);
	return NULL;
}

/* Codes live as long as the program: the few of one run are kept. */
static const char *keep(const char *text)
{
	static char codes[4][48];
	static unsigned int next;
	char *to = codes[next++ % ARRAY_SIZE(codes)];

	snprintf(to, sizeof(codes[0]), "%s", text);
	return to;
}

static const char *member(json_object *o, const char *key)
{
	json_object *v;

	return o && json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : "";
}

static int take_error(json_object *e, struct ferry_err *err)
{
	json_object *data = NULL, *num = NULL;
	int n = EIO;

	if (json_object_object_get_ex(e, "data", &data) &&
	    json_object_object_get_ex(data, "errno", &num) && json_object_get_int(num) > 0)
		n = json_object_get_int(num);
	return ferry_err_set(err, n, keep(member(data, "code")), member(data, "hint"), "%s",
			     member(e, "message"));
}

static int request(int fd, const char *method, json_object *params, const int *fds, unsigned int nr_fds)
{
	json_object *req = json_object_new_object();
	auto_free char *line = NULL;
	const char *text;
	size_t len;
	int ret = -ENOMEM;

	json_object_object_add(req, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(req, "id", json_object_new_int(1));
	json_object_object_add(req, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(req, "params", json_object_get(params));
	text = json_object_to_json_string_length(
		req, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	line = malloc(len + 1);
	if (text && line) {
		memcpy(line, text, len);
		line[len] = '\n';
		ret = send_all(fd, line, len + 1, fds, nr_fds);
	}
	json_object_put(req);
	return ret;
}

int client_call(int fd, const char *method, json_object *params, const int *fds, unsigned int nr_fds,
		json_object **result, struct ferry_err *err)
{
	int ret = request(fd, method, params, fds, nr_fds);
	auto_free char *line = ret < 0 ? NULL : read_line(fd);
	json_object *reply = line ? json_tokener_parse(line) : NULL, *v;

	if (!reply)
		return ferry_err_set(err, ECONNRESET, "E-NO-DAEMON", NULL, "the daemon is gone");
	if (json_object_object_get_ex(reply, "error", &v))
		ret = take_error(v, err);
	else if (json_object_object_get_ex(reply, "result", &v))
		*result = json_object_get(v);
	else
		ret = ferry_err_set(err, EPROTO, "E-NO-DAEMON", NULL, "the daemon's answer is no answer");
	json_object_put(reply);
	return ret;
}
