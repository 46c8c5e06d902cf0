/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferry run: hands the program over to the daemon, then stays until it ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <frontends/uapi/uapi.h>

#include "cli/cli.h"

#define START_MS 3000
#define GRACE_S 5u

struct run {
	const char *host, *program;
	int trace;
	int ctl;		/* stays open: it tells the launcher when the daemon is gone */
};

static int handoff(void *arg, int listener, int broker, pid_t pid, struct ferry_err *err)
{
	struct run *r = arg;
	int fds[3] = { listener };
	unsigned int nr = 1;
	json_object *params = json_object_new_object(), *result = NULL;
	auto_close int fd = client_connect(r->host, START_MS, err);
	int ret = fd;

	json_object_object_add(params, "pid", json_object_new_int(pid));
	json_object_object_add(params, "program", json_object_new_string(r->program));
	if (broker >= 0) {
		fds[nr++] = broker;
		json_object_object_add(params, "broker", json_object_new_boolean(true));
	}
	if (r->trace >= 0) {
		fds[nr++] = r->trace;
		json_object_object_add(params, "trace", json_object_new_boolean(true));
	}
	if (fd >= 0)
		ret = client_call(fd, "run_attach", params, fds, nr, &result, err);
	json_object_put(params);
	json_object_put(result);
	if (ret >= 0)
		ret = r->ctl = take_fd(&fd);
	return ret;
}

static const char *text_of(json_object *params, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(params, key, &v) ? json_object_get_string(v) : NULL;
}

/* An error of ours, not of the program: 125, or 126 and 127 as env(1) has them; 3 without a daemon. */
static int failed(const struct cli *cli, const char *program, const struct ferry_err *err, int code)
{
	int ret = out_error(cli, "run", program, err);

	return ret == CLI_NO_DAEMON ? ret : code;
}

static int launch(const struct cli *cli, struct run *r, json_object *params, char **argv)
{
	json_object *grace, *no_attr;
	struct ferry_err err = { 0 };
	struct uapi_launch l = {
		.argv = argv,
		.grace_ms = 1000 * (json_object_object_get_ex(params, "grace", &grace)
				    ? (unsigned int)json_object_get_int(grace) : GRACE_S),
		.no_attr_writes = json_object_object_get_ex(params, "no_attr_writes", &no_attr) &&
				  json_object_get_boolean(no_attr),
		.handoff = handoff,
		.arg = r,
	};
	char root[320];
	int ret;

	if (!client_path(r->host, "root", root, sizeof(root)))
		l.root = root;
	ret = uapi_launch(&l, &err);
	if (r->ctl >= 0)
		close(r->ctl);
	return err.num ? failed(cli, argv[0], &err, ret) : ret;
}

/* Between the start of a private host and the launcher's own handling, a signal ends ferry in order. */
static volatile sig_atomic_t stopped_by;

static void on_signal(int sig)
{
	stopped_by = sig;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

int verb_run(const struct cli *cli, const struct cli_verb *v, json_object *params, char **argv)
{
	const char *trace = text_of(params, "trace");
	struct run r = { .host = cli->host, .program = argv[0], .trace = -1, .ctl = -1 };
	struct ferry_err err = { 0 };
	struct new_host n = { .pid = 0 };
	json_object *specs;
	int ret;

	if (trace) {
		r.trace = open(trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (r.trace < 0) {
			ferry_err_set(&err, errno, "E-RUN-TRACE", NULL, "%s: %s", trace, strerror(errno));
			return failed(cli, argv[0], &err, CLI_RUN_FAILED);
		}
	}
	if (json_object_object_get_ex(params, "new_host", &specs)) {
		catch_signals();
		if (new_host_start(&n, specs, &err) < 0) {
			ret = failed(cli, argv[0], &err, CLI_RUN_FAILED);
			ret = err.code && !strcmp(err.code, "E-USAGE") ? CLI_USAGE : ret;
			goto out;
		}
		r.host = n.name;
	}
	ret = stopped_by ? 128 + stopped_by : launch(cli, &r, params, argv);
	new_host_stop(&n);
out:
	if (r.trace >= 0)
		close(r.trace);
	return ret;
}
