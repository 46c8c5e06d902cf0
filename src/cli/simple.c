/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Verbs that are a little more than one method: lists of hosts, version, help, rpc. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "host/paths.h"

#ifndef FERRY_VERSION
#define FERRY_VERSION "0"
#endif

#define START_MS 3000	/* for a daemon that is starting */
#define STOP_MS 20000	/* for a daemon that is told to stop: programs get time to end */

/* One call on a connection of its own. */
static int call(const struct cli *cli, const char *method, json_object *params, json_object **result,
		struct ferry_err *err)
{
	auto_close int fd = client_connect(cli->host, START_MS, err);

	return fd < 0 ? fd : client_call(fd, method, params, NULL, 0, result, err);
}

int verb_ls(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *functions = NULL, *namespaces = NULL, *all, *list;
	struct ferry_err err = { 0 };

	if (call(cli, "function_list", NULL, &functions, &err) < 0)
		return out_error(cli, "host", cli->host, &err);
	if (!cli->json) {
		print_functions(cli, functions);
		json_object_put(functions);
		return CLI_OK;
	}
	if (call(cli, "namespace_list", NULL, &namespaces, &err) < 0) {
		json_object_put(functions);
		return out_error(cli, "host", cli->host, &err);
	}
	all = json_object_new_object();
	json_object_object_add(all, "schema", json_object_new_string("ferry.ls.v1"));
	json_object_object_add(all, "host", json_object_new_string(cli->host));
	json_object_object_get_ex(functions, "functions", &list);
	json_object_object_add(all, "functions", json_object_get(list));
	json_object_object_get_ex(namespaces, "namespaces", &list);
	json_object_object_add(all, "namespaces", json_object_get(list));
	out_json(cli, all);
	json_object_put(all);
	json_object_put(functions);
	json_object_put(namespaces);
	return CLI_OK;
}

int verb_version(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *o;

	if (!cli->json) {
		puts("ferry " FERRY_VERSION);
		return CLI_OK;
	}
	o = json_object_new_object();
	json_object_object_add(o, "schema", json_object_new_string("ferry.version.v1"));
	json_object_object_add(o, "version", json_object_new_string(FERRY_VERSION));
	out_json(cli, o);
	json_object_put(o);
	return CLI_OK;
}

int verb_help(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *object;

	cli_help(json_object_object_get_ex(params, "object", &object)
			 ? json_object_get_string(object) : NULL);
	return CLI_OK;
}

static json_object *host_row(const char *name)
{
	auto_close int fd = client_connect(name, 0, NULL);
	json_object *o = NULL;

	if (fd < 0 || client_call(fd, "host_show", NULL, NULL, 0, &o, NULL) < 0)
		return NULL;
	return o;
}

static void print_hosts(const struct cli *cli, json_object *list)
{
	size_t i, rows = json_object_array_length(list) + 1;
	static const char *const titles[] = { "HOST", "PID", "FUNCTIONS", "NAMESPACES", "VERSION" };
	static const char *const keys[] = { "name", "pid", "functions", "namespaces", "version" };
	const char **cells = calloc(rows * ARRAY_SIZE(titles), sizeof(*cells));
	json_object *v;
	unsigned int c;

	if (!cells)
		return;
	for (c = 0; c < ARRAY_SIZE(titles); c++) {
		cells[c] = titles[c];
		for (i = 1; i < rows; i++)
			cells[i * ARRAY_SIZE(titles) + c] =
				json_object_object_get_ex(json_object_array_get_idx(list, i - 1), keys[c],
							  &v) && v ? json_object_get_string(v) : "-";
	}
	out_table(cli, cells, rows, ARRAY_SIZE(titles));
	free(cells);
}

int verb_host_list(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *list = json_object_new_array(), *all = json_object_new_object(), *row;
	char base[192];
	struct dirent *e;
	DIR *d = paths_base(base, sizeof(base), false, NULL) < 0 ? NULL : opendir(base);

	while (d && (e = readdir(d))) {
		row = paths_name_ok(e->d_name) ? host_row(e->d_name) : NULL;
		if (row)
			json_object_array_add(list, row);
	}
	if (d)
		closedir(d);
	json_object_object_add(all, "schema", json_object_new_string("ferry.hosts.v1"));
	json_object_object_add(all, "hosts", list);
	if (cli->json)
		out_json(cli, all);
	else
		print_hosts(cli, list);
	json_object_put(all);
	return CLI_OK;
}

/* The daemon is gone when its socket is. */
static bool wait_for_end(const char *host)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int i, dir;

	for (i = 0; i < STOP_MS / 20; i++) {
		dir = client_dir(host);
		if (dir < 0)
			return true;
		close(dir);
		nanosleep(&pause, NULL);
	}
	return false;
}

int verb_host_stop(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *show = NULL, *sessions = NULL, *result = NULL, *force;
	struct ferry_err err = { 0 };
	int ret;

	ret = call(cli, "host_show", NULL, &show, &err);
	if (!ret && json_object_object_get_ex(show, "sessions", &sessions) &&
	    json_object_array_length(sessions) &&
	    !(json_object_object_get_ex(params, "force", &force) && json_object_get_boolean(force)))
		ret = ferry_err_set(&err, EBUSY, "E-HOST-IN-USE", "use --force",
				    "%zu programs run on it", json_object_array_length(sessions));
	json_object_put(show);
	if (!ret)
		ret = call(cli, "host_stop", NULL, &result, &err);
	json_object_put(result);
	if (!ret && !wait_for_end(cli->host))
		ret = ferry_err_set(&err, ETIMEDOUT, "E-HOST-STOP", NULL, "it has not ended yet");
	return ret < 0 ? out_error(cli, "host", cli->host, &err) : CLI_OK;
}

int verb_config_save(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	const struct cli pretty = { .pretty = true };
	json_object *o = NULL;
	struct ferry_err err = { 0 };

	if (call(cli, "config_save", NULL, &o, &err) < 0)
		return out_error(cli, "config", NULL, &err);
	out_json(cli->json ? cli : &pretty, o);
	json_object_put(o);
	return CLI_OK;
}

int verb_rpc(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *name, *text, *args = NULL, *result = NULL;
	struct ferry_err err = { 0 };
	int ret = 0;

	json_object_object_get_ex(params, "method", &name);
	if (json_object_object_get_ex(params, "params", &text)) {
		args = json_tokener_parse(json_object_get_string(text));
		if (!args)
			ret = ferry_err_set(&err, EINVAL, "E-USAGE", NULL, "the parameters are not JSON");
	}
	if (!ret)
		ret = call(cli, json_object_get_string(name), args, &result, &err);
	json_object_put(args);
	if (ret < 0)
		return out_error(cli, "rpc", json_object_get_string(name), &err);
	out_json(cli, result);
	json_object_put(result);
	return CLI_OK;
}
