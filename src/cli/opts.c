/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Words into parameters. "--size=1G", "--size 1G" and, after the arguments, "size 1G" are the same. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define KEY_MAX 32

static const struct cli_opt *opt_find(const struct cli_verb *v, const char *name, size_t len)
{
	const struct cli_opt *o;

	for (o = v->opts; o && o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	return NULL;
}

static int parse_flag(const char *text, bool *on)
{
	*on = !text || !strcmp(text, "on") || !strcmp(text, "yes") || !strcmp(text, "true");
	return *on || !strcmp(text, "off") || !strcmp(text, "no") || !strcmp(text, "false") ? 0 : -EINVAL;
}

/* The daemon has a working folder of its own. @path is what @spec ends with. */
static json_object *absolute(const char *spec, const char *path)
{
	char *cwd = NULL;
	json_object *s;
	size_t n;
	auto_free char *text = NULL;

	if (*path == '/' || !*path)
		return json_object_new_string(spec);
	cwd = getcwd(NULL, 0);
	n = (cwd ? strlen(cwd) : 0) + strlen(spec) + 2;
	text = malloc(n);
	if (cwd && text) {
		snprintf(text, n, "%.*s%s/%s", (int)(path - spec), spec, cwd, path);
		s = json_object_new_string(text);
	} else {
		s = json_object_new_string(spec);
	}
	free(cwd);
	return s;
}

/* @split: at commas. */
static void add_words(json_object *params, const char *key, const char *text, bool split)
{
	json_object *list;

	if (!json_object_object_get_ex(params, key, &list)) {
		list = json_object_new_array();
		json_object_object_add(params, key, list);
	}
	while (*text) {
		size_t n = split ? strcspn(text, ",") : strlen(text);

		json_object_array_add(list, json_object_new_string_len(text, (int)n));
		text += n + (text[n] == ',');
	}
}

/* @text NULL: the option stands alone. */
int cli_value(const struct cli_opt *o, const char *text, json_object *params, struct ferry_err *err)
{
	char key[KEY_MAX], *c, *end = NULL;
	const char *colon;
	unsigned long long n;
	bool on, named;

	snprintf(key, sizeof(key), "%s", o->name);
	for (c = key; *c; c++)
		if (*c == '-')
			*c = '_';
	if (!text && o->type != OPT_FLAG)
		return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "--%s needs a value", o->name);
	switch (o->type) {
	case OPT_FLAG:
		if (parse_flag(text, &on) < 0)
			return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "--%s=%s: not on or off",
					     o->name, text);
		json_object_object_add(params, key, json_object_new_boolean(on));
		return 0;
	case OPT_NUMBER:
		errno = 0;
		n = strtoull(text, &end, 0);
		if (errno || end == text || *end || *text == '-')
			return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "--%s %s: not a number",
					     o->name, text);
		json_object_object_add(params, key, json_object_new_uint64(n));
		return 0;
	case OPT_LIST:
	case OPT_SPEC:
		add_words(params, key, text, o->type == OPT_LIST);
		return 0;
	case OPT_BACKING:
		colon = strchr(text, ':');
		named = colon && (!strncmp(text, "file:", 5) || !strncmp(text, "block:", 6));
		json_object_object_add(params, key, absolute(text, named ? colon + 1 : ""));
		return 0;
	case OPT_PATH:
		json_object_object_add(params, key, absolute(text, text));
		return 0;
	default:
		json_object_object_add(params, key, json_object_new_string(text));
		return 0;
	}
}

static int unknown(const struct cli_verb *v, const char *word, struct ferry_err *err)
{
	char hint[96];

	snprintf(hint, sizeof(hint), "ferry help %s", v->object);
	return ferry_err_set(err, EINVAL, "E-USAGE", hint, "%s: not an option or argument of ferry %s%s%s",
			     word, v->object, v->verb ? " " : "", v->verb ? v->verb : "");
}

/* Consumes "--name=value", "--name value" or "name value" at *argv. */
static int take_option(const struct cli_verb *v, char ***argv, json_object *params,
		       struct ferry_err *err)
{
	const char *word = **argv, *name = word + (strncmp(word, "--", 2) ? 0 : 2);
	size_t len = strcspn(name, "=");
	const struct cli_opt *o = opt_find(v, name, len);
	const char *value = name[len] ? name + len + 1 : NULL;
	bool on;

	if (!o)
		return unknown(v, word, err);
	++*argv;
	/* A flag takes the next word only when it is said without dashes, "force on", or has a value: "--migratable on". */
	if (!value && **argv &&
	    (o->type != OPT_FLAG || ((name == word || o->value) && !parse_flag(**argv, &on))))
		value = *(*argv)++;
	return cli_value(o, value, params, err);
}

/* The value of "-H x", "-Hx", "--host x" or "--host=x"; NULL if *@argv is something else. */
static const char *global_value(char ***argv, char letter, const char *name, struct ferry_err *err)
{
	const char *word = **argv;
	size_t n = strlen(name);

	if (word[0] == '-' && word[1] == letter) {
		if (word[2]) {
			++*argv;
			return word + 2;
		}
	} else if (strncmp(word, "--", 2) || strncmp(word + 2, name, n) ||
		   (word[2 + n] && word[2 + n] != '=')) {
		return NULL;
	} else if (word[2 + n]) {
		++*argv;
		return word + 3 + n;
	}
	++*argv;
	if (**argv)
		return *(*argv)++;
	ferry_err_set(err, EINVAL, "E-USAGE", NULL, "%s needs a value", word);
	return NULL;
}

/* "-v", "-vv", "--verbose" */
static bool global_flag(struct cli *cli, const char *word)
{
	const char *c;

	if (!strcmp(word, "--pretty"))
		cli->pretty = true;
	else if (!strcmp(word, "--json"))
		cli->json = true;
	else if (!strcmp(word, "--verbose"))
		cli->verbose++;
	else if (!strcmp(word, "--quiet"))
		cli->quiet = true;
	else if (!strcmp(word, "--no-header"))
		cli->no_header = true;
	else if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		cli->help = true;
	else if (word[0] != '-' || !word[1] || strspn(word + 1, "jpvq") != strlen(word + 1))
		return false;
	else
		for (c = word + 1; *c; c++) {
			cli->json |= *c == 'j';
			cli->pretty |= *c == 'p';
			cli->verbose += *c == 'v';
			cli->quiet |= *c == 'q';
		}
	return true;
}

int cli_global(struct cli *cli, char ***argv, struct ferry_err *err)
{
	char **before = *argv;
	const char *value;

	value = global_value(argv, 'H', "host", err);
	if (value) {
		cli->host = value;
		return 1;
	}
	if (*argv == before)
		value = global_value(argv, 'o', "output", err);
	if (value) {
		if (strcmp(value, "json") && strcmp(value, "normal"))
			return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "-o %s: not normal or json",
					     value);
		cli->json = !strcmp(value, "json");
		return 1;
	}
	if (*argv != before)
		return -EINVAL;
	if (!global_flag(cli, **argv))
		return 0;
	++*argv;
	return 1;
}

int cli_parse(struct cli *cli, const struct cli_verb *v, char **argv, json_object *params,
	      char ***rest, struct ferry_err *err)
{
	unsigned int nr = 0;
	int ret = 0;

	while (*argv && ret >= 0) {
		if (v->rest && (!strcmp(*argv, "--") || **argv != '-')) {
			argv += !strcmp(*argv, "--");
			break;
		}
		ret = cli_global(cli, &argv, err);
		if (ret)
			continue;
		if (**argv != '-' && nr < ARRAY_SIZE(v->args) && v->args[nr])
			json_object_object_add(params, v->args[nr++], json_object_new_string(*argv++));
		else
			ret = take_option(v, &argv, params, err);
	}
	if (ret < 0 || cli->help)
		return MIN(ret, 0);
	*rest = argv;
	if (nr < v->need)
		return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "%s is missing", v->args[nr]);
	if (v->rest && !*argv)
		return ferry_err_set(err, EINVAL, "E-USAGE", "ferry run -- PROGRAM ARGUMENTS",
				     "no program given");
	return 0;
}

/* ------------------------------------------------------------------- help */

void cli_usage(const struct cli_verb *v)
{
	const struct cli_opt *o;
	unsigned int i;

	printf("ferry %s%s%s", v->object, v->verb ? " " : "", v->verb ? v->verb : "");
	for (i = 0; i < ARRAY_SIZE(v->args) && v->args[i]; i++) {
		const char *c;

		printf(i < v->need ? " " : " [");
		for (c = v->args[i]; *c; c++)
			putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
		if (i >= v->need)
			putchar(']');
	}
	if (v->opts)
		printf(" [OPTIONS]");
	if (v->rest)
		printf(" -- PROGRAM [ARGUMENTS]");
	printf("\n    %s\n", v->help);
	for (o = v->opts; o && o->name; o++) {
		char left[48];

		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		printf("      %-28s %s\n", left, o->help);
	}
}

void cli_help(const char *object)
{
	const struct cli_verb *v;

	if (!object)
		printf("Usage: ferry [-H HOST] [-o normal|json] [-j] [-p] [-v] [-q] [--no-header] OBJECT VERB ...\n\n");
	for (v = cli_verbs; v->object; v++)
		if (!object)
			printf("  ferry %-10s %-8s %s\n", v->object, v->verb ? v->verb : "", v->help);
		else if (!strcmp(v->object, object))
			cli_usage(v);
	if (!object)
		printf("\n`ferry help OBJECT` shows the options; ferry(1) says all.\n");
}
