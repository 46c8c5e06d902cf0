/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry: the command line. A verb is a row in a table: which method of the
 * daemon it calls, which options become which parameters, how the result is
 * printed. The few verbs that do more have a function of their own.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <json-c/json.h>

#include <ferry/base.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NO_DAEMON = 3,
	CLI_UNSUPPORTED = 4,
	CLI_REFUSED = 5,	/* data or state would be lost */
	CLI_RUN_FAILED = 125,
	CLI_INTERRUPTED = 130,
};

struct cli {
	const char *host;
	bool json, pretty, no_header, quiet, help;
	unsigned int verbose;
};

/* ---------------------------------------------------------------- options */

enum opt_type {
	OPT_FLAG,	/* --force, also --force=off; boolean */
	OPT_TEXT,
	OPT_NUMBER,
	OPT_SIZE,	/* text such as 64M, which the daemon understands */
	OPT_LIST,	/* may be repeated, or name several with commas */
	OPT_BACKING,	/* file:PATH or block:PATH; a relative path is made absolute */
	OPT_PATH,	/* a relative one is made absolute */
	OPT_SPEC,	/* may be repeated; commas belong to it */
};

struct cli_opt {
	const char *name;	/* with dashes, without the leading ones; the parameter has underscores */
	enum opt_type type;
	const char *value;	/* what help calls it */
	const char *help;
};

struct cli_verb {
	const char *object, *verb;	/* verb NULL: a one-word command */
	const char *args[4];		/* positional parameters in order; ends with NULL */
	unsigned int need;		/* how many of them are required */
	const struct cli_opt *opts;	/* ends with a NULL name; NULL: none */
	const char *method;		/* NULL: @run does all */
	void (*print)(const struct cli *cli, json_object *result);
	int (*run)(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
	bool rest;			/* takes a program and its arguments */
	const char *help;
};

extern const struct cli_verb cli_verbs[];	/* ends with a NULL object */

/**
 * cli_global() - take a global option from *@argv, which moves past it
 * Return: 1 taken, 0 not a global option, or -EINVAL with @err filled.
 */
int cli_global(struct cli *cli, char ***argv, struct ferry_err *err);

/**
 * cli_parse() - the words after object and verb into parameters and global options
 * @rest: out: what is left; with @v->rest the program
 * Return: 0, or -EINVAL with @err filled.
 */
int cli_parse(struct cli *cli, const struct cli_verb *v, char **argv, json_object *params,
	      char ***rest, struct ferry_err *err);
int cli_value(const struct cli_opt *o, const char *text, json_object *params, struct ferry_err *err);
void cli_usage(const struct cli_verb *v);
void cli_help(const char *object);

/* ----------------------------------------------------------------- client */

/** client_path() - path of @file in the runtime folder of @host, "" for the folder itself. 0 or -errno. */
int client_path(const char *host, const char *file, char *buf, size_t len);

/** client_dir() - the runtime folder of @host, -errno if there is none. */
int client_dir(const char *host);

/** client_connect() - to the daemon of @host; waits @ms for one that is starting. fd, or -errno with @err. */
int client_connect(const char *host, unsigned int ms, struct ferry_err *err);

/** client_connect_path() - to the daemon whose control socket is @path, named as every daemon names it. */
int client_connect_path(const char *path, struct ferry_err *err);

/**
 * client_call() - one request and its answer
 * @fds, @nr_fds: sent along. @result: out, the caller puts it.
 * Return: 0, or -errno with @err filled.
 */
int client_call(int fd, const char *method, json_object *params, const int *fds, unsigned int nr_fds,
		json_object **result, struct ferry_err *err);

/* ----------------------------------------------------------------- output */

/** out_error() - as text or JSON on stderr; returns the exit code that fits. */
int out_error(const struct cli *cli, const char *what, const char *which, const struct ferry_err *err);
void out_json(const struct cli *cli, json_object *o);

/** out_table() - @cells: @nr_rows rows of @nr_columns texts; the first row is the header. */
void out_table(const struct cli *cli, const char *const *cells, size_t nr_rows, size_t nr_columns);

void print_nothing(const struct cli *cli, json_object *result);
void print_address(const struct cli *cli, json_object *result);
void print_object(const struct cli *cli, json_object *result);
void print_functions(const struct cli *cli, json_object *result);
void print_namespaces(const struct cli *cli, json_object *result);
void print_drivers(const struct cli *cli, json_object *result);
void print_function_set(const struct cli *cli, json_object *result);
void print_explain(const struct cli *cli, json_object *result);

/* ------------------------------------------------- verbs with more to them */

int verb_ls(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_version(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_help(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_doctor(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_host_list(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_host_stop(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_config_save(const struct cli *cli, const struct cli_verb *v, json_object *params,
		     char **rest);
int verb_rpc(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_run(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);

int verb_state_save(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_state_load(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_state_show(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_state_verify(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_state_diff(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);
int verb_demo(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest);

/* -------------------------------------------------------------- --new-host */

struct new_host {
	char name[64];
	pid_t pid;
};

/** new_host_start() - a daemon of our own, with what @specs (array of texts) describe. */
int new_host_start(struct new_host *n, json_object *specs, struct ferry_err *err);
/** new_host_stop() - end it and wait for it. */
void new_host_stop(struct new_host *n);

#endif
