/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* For the tests of src/host: TAP, a host in a scratch folder, and a client on a socket pair. */
#ifndef HOST_RIG_H
#define HOST_RIG_H

#include <fcntl.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "host/host.h"
#include "host/paths.h"
#include "host/rpc.h"

static unsigned int tap_nr, tap_bad;
static bool tap_ok;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                          \
	} while (0)

#define RUN(test) tap_run(#test, test)

static inline void tap_run(const char *name, void (*test)(void))
{
	tap_ok = true;
	test();
	tap_bad += !tap_ok;
	printf("%s %u - %s\n", tap_ok ? "ok" : "not ok", ++tap_nr, name);
	fflush(stdout);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_nr);
	return tap_bad != 0;
}

static struct host *host;
static int client = -1;
static char scratch[] = "/tmp/host-test-XXXXXX";

static inline void rig_connect(void)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0 ||
	    rpc_conn_add(host, sv[0]) < 0)
		abort();
	client = sv[1];
}

static inline void rig_up(const char *name)
{
	struct ferry_err err = { 0 };

	if (host_create(name, ENV_EPOLL, &host, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
	rig_connect();
}

static inline void rig_down(void)
{
	close(client);
	client = -1;
	host_destroy(host);
	host = NULL;
}

static inline void rig_scratch(void)
{
	log_level_max = LOG_ERROR;
	if (!mkdtemp(scratch))
		abort();
	setenv("XDG_RUNTIME_DIR", scratch, 1);
}

static inline void rig_scratch_remove(void)
{
	CHECK(paths_remove(AT_FDCWD, scratch) == 0);
}

/* Steps the host until a line has come; NULL: the connection is closed, or nothing came in 10 s. */
static inline char *rig_line(void)
{
	size_t len = 0, size = 1 << 16;
	char *buf = malloc(size);
	int i;

	for (i = 0; buf && i < 1000; i++) {
		ssize_t n = recv(client, buf + len, 1, MSG_DONTWAIT);

		if (n == 0)
			break;
		if (n < 0) {
			host_step(host, 10);
			continue;
		}
		i = 0;
		if (buf[len] == '\n') {
			buf[len] = '\0';
			return buf;
		}
		if (++len == size)
			buf = realloc(buf, size *= 2);
	}
	free(buf);
	return NULL;
}

static inline void rig_send(const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(client, text, len, MSG_NOSIGNAL);

		if (n < 0)
			host_step(host, 10);
		else {
			text += n;
			len -= (size_t)n;
		}
	}
}

/* The reply to a line, parsed. */
static inline json_object *rig_ask(const char *line)
{
	char *reply;
	json_object *o;

	rig_send(line, strlen(line));
	rig_send("\n", 1);
	reply = rig_line();
	o = reply ? json_tokener_parse(reply) : NULL;
	free(reply);
	return o;
}

/* Calls a method; the reply, parsed. */
static inline json_object *rig_call(const char *method, const char *params)
{
	char line[4096];

	snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\"%s%s}", method,
		 params ? ",\"params\":" : "", params ? params : "");
	return rig_ask(line);
}

static inline const char *rig_code(json_object *reply)
{
	json_object *v;

	if (!reply || !json_object_object_get_ex(reply, "error", &v) ||
	    !json_object_object_get_ex(v, "data", &v) || !json_object_object_get_ex(v, "code", &v))
		return "none";
	return json_object_get_string(v);
}

/* Did it fail with this code? */
static inline bool rig_fails(const char *method, const char *params, const char *code)
{
	json_object *reply = rig_call(method, params);
	bool as_said = !strcmp(rig_code(reply), code);

	if (!as_said)
		printf("# %s %s: %s, not %s\n", method, params ? params : "",
		       reply ? json_object_to_json_string(reply) : "no reply", code);
	json_object_put(reply);
	return as_said;
}

static inline bool rig_works(const char *method, const char *params)
{
	json_object *reply = rig_call(method, params);
	bool works = reply && json_object_object_get_ex(reply, "result", NULL);

	if (!works)
		printf("# %s %s: %s\n", method, params ? params : "",
		       reply ? json_object_to_json_string(reply) : "no reply");
	json_object_put(reply);
	return works;
}

static inline unsigned int rig_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
