/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry migration: moving a VM and its functions from one host to another.
 * Each move has a record, a JSON file in the state folder, that is written
 * when the move begins, durable before anything irreversible and at the end.
 */
#ifndef CLI_MIGRATION_H
#define CLI_MIGRATION_H

#include "cli/cli.h"

#define RECORD_SCHEMA "ferry.migration.v1"
#define RECORD_ID_LEN 32

/* ---------------------------------------------------------------- record.c */

struct record {
	char id[RECORD_ID_LEN];
	char path[512];
	json_object *o;
};

/** record_new() - a record with an id of its own, durable. 0 or -errno. */
int record_new(struct record *r, struct ferry_err *err);
/** record_save() - replace the file; @durable: before return. */
int record_save(struct record *r, bool durable, struct ferry_err *err);
/** record_load() - @id: as printed, or "last". -ENOENT E-MIGRATION-UNKNOWN. */
int record_load(struct record *r, const char *id, struct ferry_err *err);
void record_release(struct record *r);
/** record_list() - array of all, oldest first. */
json_object *record_list(struct ferry_err *err);
/** record_running() - is it not over, and does the process that drives it live? */
bool record_running(json_object *o);

/* Members of members that may be absent: "totals", "downtime_ms". */
json_object *record_get(json_object *o, const char *key, const char *sub);
const char *record_text(json_object *o, const char *key, const char *sub, const char *dflt);
double record_number(json_object *o, const char *key, const char *sub);
/** record_object() - member @key, made if it is absent. */
json_object *record_object(json_object *o, const char *key);
json_object *record_array(json_object *o, const char *key);
void record_reason(json_object *o, const struct ferry_err *err);
/** record_time() - now, RFC 3339 with milliseconds. */
const char *record_time(char buf[32]);
uint64_t record_now_ns(void);

/* --------------------------------------------------------- migration_check.c */

/* Both ends of a move, and which function becomes which. */
struct ends {
	int src, dst;			/* control sockets, -1: no functions to move */
	json_object *functions;		/* [{"address", "target_address", ...}] */
};

int ends_open(const struct cli *cli, json_object *params, struct ends *e, struct ferry_err *err);
void ends_close(struct ends *e);

/**
 * ends_check() - can the functions move? Fills @rows: [{"item", "source", "target", "result", "code", "message"}].
 * Return: 0, or -errno with @err: the first refusal.
 */
int ends_check(struct ends *e, json_object *rows, struct ferry_err *err);
/** ends_provision() - give the target's functions the shape of the source's; @done counts those it changed. */
int ends_provision(struct ends *e, unsigned int *done, struct ferry_err *err);
/** ends_withdraw() - undo the first @done of them. */
void ends_withdraw(struct ends *e, unsigned int done);
/** ends_counters() - reads and writes of all functions so far on one end; false if it can't be said now. */
bool ends_counters(const struct ends *e, bool target, uint64_t *ios, uint64_t *bytes);

/* ------------------------------------------------------------ verbs, by file */

int verb_migration_check(const struct cli *cli, const struct cli_verb *v, json_object *params,
			 char **rest);
int verb_migration_start(const struct cli *cli, const struct cli_verb *v, json_object *params,
			 char **rest);
int verb_migration_watch(const struct cli *cli, const struct cli_verb *v, json_object *params,
			 char **rest);
int verb_migration_list(const struct cli *cli, const struct cli_verb *v, json_object *params,
			char **rest);
int verb_migration_show(const struct cli *cli, const struct cli_verb *v, json_object *params,
			char **rest);
int verb_migration_abort(const struct cli *cli, const struct cli_verb *v, json_object *params,
			 char **rest);
int verb_migration_report(const struct cli *cli, const struct cli_verb *v, json_object *params,
			  char **rest);
void migration_summary(const struct cli *cli, json_object *record);
/** migration_exit() - exit code of a move with this record. */
int migration_exit(json_object *record);

#endif
