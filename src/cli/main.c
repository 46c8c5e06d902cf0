/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferry: global options, then object and verb, then what the table says. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define START_MS 3000	/* for a daemon that is starting */

static const char *full_object(const char *word)
{
	static const char *const aliases[][2] = { { "fn", "function" }, { "ns", "namespace" } };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcmp(aliases[i][0], word))
			return aliases[i][1];
	return word;
}

/* Moves *@argv past what was recognised. */
static const struct cli_verb *find_verb(char ***argv, struct ferry_err *err)
{
	const char *object = full_object(**argv), *verb = (*argv)[1];
	const struct cli_verb *v;
	bool known = false;

	for (v = cli_verbs; v->object; v++) {
		if (strcmp(v->object, object))
			continue;
		known = true;
		if (v->verb && (!verb || strcmp(v->verb, verb)))
			continue;
		*argv += v->verb ? 2 : 1;
		return v;
	}
	if (!known)
		ferry_err_set(err, EINVAL, "E-USAGE", "ferry help", "no such object");
	else if (!verb)
		ferry_err_set(err, EINVAL, "E-USAGE", "ferry help OBJECT", "what shall be done with it?");
	else
		ferry_err_set(err, EINVAL, "E-USAGE", "ferry help OBJECT", "no such verb: %.100s", verb);
	return NULL;
}

static int call_method(const struct cli *cli, const struct cli_verb *v, json_object *params)
{
	auto_close int fd = -1;
	json_object *result = NULL, *which;
	struct ferry_err err = { 0 };
	const char *name = NULL;

	if (v->args[0] && json_object_object_get_ex(params, v->args[0], &which))
		name = json_object_get_string(which);
	fd = client_connect(cli->host, START_MS, &err);
	if (fd < 0)
		return out_error(cli, "host", cli->host, &err);
	if (cli->verbose)
		fprintf(stderr, "-> %s %s\n", v->method,
			json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	if (client_call(fd, v->method, params, NULL, 0, &result, &err) < 0)
		return out_error(cli, v->object, name, &err);
	if (cli->verbose)
		fprintf(stderr, "<- %s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	if (cli->json)
		out_json(cli, result);
	else if (!cli->quiet)
		v->print(cli, result);
	json_object_put(result);
	return CLI_OK;
}

static int run_verb(struct cli *cli, const struct cli_verb *v, char **argv)
{
	json_object *params = json_object_new_object();
	struct ferry_err err = { 0 };
	char **rest = NULL;
	int ret;

	if (cli_parse(cli, v, argv, params, &rest, &err) < 0) {
		ret = out_error(cli, v->object, v->verb, &err);
	} else if (cli->help) {
		cli_usage(v);
		ret = CLI_OK;
	} else {
		ret = v->run ? v->run(cli, v, params, rest) : call_method(cli, v, params);
	}
	json_object_put(params);
	return ret;
}

int main(int argc, char **argv)
{
	const char *host = getenv("FERRY_HOST");
	struct cli cli = { .host = host && host[0] ? host : "default" };
	const struct cli_verb *v;
	struct ferry_err err = { 0 };
	int ret;

	for (argv++; *argv; ) {
		if (!strcmp(*argv, "--version")) {
			cli.help = false;
			return verb_version(&cli, NULL, NULL, NULL);
		}
		ret = cli_global(&cli, &argv, &err);
		if (ret < 0)
			return out_error(&cli, "usage", NULL, &err);
		if (!ret)
			break;
	}
	if (cli.help && !*argv) {
		cli_help(NULL);
		return CLI_OK;
	}
	if (!*argv) {
		ferry_err_set(&err, EINVAL, "E-USAGE", "ferry help", "no object given");
		return out_error(&cli, "usage", NULL, &err);
	}
	if (cli.help || (argv[1] && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))) {
		cli_help(full_object(*argv));
		return CLI_OK;
	}
	v = find_verb(&argv, &err);
	if (!v)
		return out_error(&cli, *argv, argv[1], &err);
	return run_verb(&cli, v, argv);
}
