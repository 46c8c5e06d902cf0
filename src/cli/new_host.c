/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry run --new-host: a daemon for one program. It is a child in a process
 * group of its own, so that Ctrl-C at the terminal reaches the program first,
 * and it stops by itself when ferry ends, however that comes about.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "host/paths.h"

#define START_MS 10000

/* ferryd beside this program, else the one that PATH finds. */
static void exec_ferryd(char **argv)
{
	char path[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("ferryd"));

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		memcpy(slash + 1, "ferryd", sizeof("ferryd"));
		execv(path, argv);
	}
	execvp("ferryd", argv);
}

static int start_daemon(struct new_host *n, struct ferry_err *err)
{
	char parent[16];
	char *argv[] = { "ferryd", "--quiet", "--host", n->name, "--parent", parent, NULL };
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint32_t)getpid();
	snprintf(n->name, sizeof(n->name), PATHS_PRIVATE "%d-%08x", (int)getpid(), random);
	snprintf(parent, sizeof(parent), "%d", (int)getpid());
	fflush(NULL);
	n->pid = fork();
	if (n->pid < 0) {
		n->pid = 0;
		return ferry_err_set(err, errno, "E-SYSTEM", NULL, "fork: %s", strerror(errno));
	}
	if (n->pid)
		return 0;
	setpgid(0, 0);
	/* The program's pipes end when the program does, not when the host does. */
	if (dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0) < 0 || dup2(0, 1) < 0)
		_exit(126);
	exec_ferryd(argv);
	_exit(127);
}

void new_host_stop(struct new_host *n)
{
	if (n->pid <= 0)
		return;
	kill(n->pid, SIGTERM);
	while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
		;
	n->pid = 0;
}

/* Waits in short turns: the daemon may have failed to start. */
static int connect_to(struct new_host *n, struct ferry_err *err)
{
	int fd = -1, i, status;

	for (i = 0; i < START_MS / 100; i++) {
		fd = client_connect(n->name, 100, err);
		if (fd >= 0)
			return fd;
		if (waitpid(n->pid, &status, WNOHANG) == n->pid) {
			n->pid = 0;
			return ferry_err_set(err, EIO, "E-RUN-HOST", NULL,
					     WIFEXITED(status) && WEXITSTATUS(status) == 127
						     ? "ferryd was not found beside ferry or in PATH"
						     : "ferryd did not start");
		}
	}
	return fd;
}

/* ns=64M: memory; ns=file:PATH and the like: that. The name is made up. */
static int add_namespace(int fd, const char *value, unsigned int number, json_object *list,
			 struct ferry_err *err)
{
	static const struct cli_opt backing = { "backing", OPT_BACKING, NULL, NULL };
	json_object *params = json_object_new_object(), *result = NULL;
	char name[16];
	int ret;

	snprintf(name, sizeof(name), "ns%u", number);
	json_object_object_add(params, "name", json_object_new_string(name));
	if (*value >= '0' && *value <= '9') {
		json_object_object_add(params, "backing", json_object_new_string("memory"));
		json_object_object_add(params, "size", json_object_new_string(value));
	} else {
		(void)cli_value(&backing, value, params, err);
	}
	ret = client_call(fd, "namespace_create", params, NULL, 0, &result, err);
	json_object_put(params);
	json_object_put(result);
	if (!ret)
		json_object_array_add(list, json_object_new_string(name));
	return ret;
}

static const struct cli_opt *function_option(const char *key)
{
	const struct cli_verb *v;
	const struct cli_opt *o;

	for (v = cli_verbs; v->object; v++)
		if (v->method && !strcmp(v->method, "function_add"))
			for (o = v->opts; o->name; o++)
				if (!strcmp(o->name, key))
					return o;
	return NULL;
}

/* "nvme,ns=64M,queues=4": a type and options of function add. @spec is cut up. */
static int add_function(int fd, char *spec, unsigned int *namespaces, struct ferry_err *err)
{
	json_object *params = json_object_new_object(), *list = json_object_new_array(), *result = NULL;
	const struct cli_opt *o;
	char *word, *value, *at = spec;
	int ret = 0;

	json_object_object_add(params, "ns", list);
	json_object_object_add(params, "driver", json_object_new_string("vfio-pci"));
	word = strsep(&at, ",:");
	json_object_object_add(params, "type", json_object_new_string(word));
	while (!ret && (word = strsep(&at, ","))) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		o = function_option(word);
		if (value && !strcmp(word, "ns"))
			ret = add_namespace(fd, value, ++*namespaces, list, err);
		else if (o)
			ret = cli_value(o, value, params, err);
		else
			ret = ferry_err_set(err, EINVAL, "E-USAGE", "nvme,ns=64M",
					    "--new-host: %s is no option of a function", word);
	}
	if (!ret)
		ret = client_call(fd, "function_add", params, NULL, 0, &result, err);
	json_object_put(params);
	json_object_put(result);
	return ret;
}

/* @text may hold several, separated by spaces. */
static int add_functions(int fd, const char *text, unsigned int *namespaces, struct ferry_err *err)
{
	auto_free char *copy = strdup(text);
	char *spec, *at = copy;
	int ret = copy ? 0 : -ENOMEM;

	while (!ret && (spec = strsep(&at, " ")))
		if (*spec)
			ret = add_function(fd, spec, namespaces, err);
	return ret;
}

int new_host_start(struct new_host *n, json_object *specs, struct ferry_err *err)
{
	auto_close int fd = -1;
	unsigned int namespaces = 0;
	size_t i;
	int ret = start_daemon(n, err);

	if (ret < 0)
		return ret;
	fd = connect_to(n, err);
	ret = MIN(fd, 0);
	for (i = 0; i < json_object_array_length(specs) && !ret; i++)
		ret = add_functions(fd, json_object_get_string(json_object_array_get_idx(specs, i)),
				    &namespaces, err);
	if (ret < 0)
		new_host_stop(n);
	return ret;
}
