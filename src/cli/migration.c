/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferry migration: what can be said about moves, and ending one. The move itself is in migrate.c. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "cli/migration.h"
#include "cli/qmp.h"

#define WATCH_MS 200
#define ABORT_MS 60000

static void pause_ms(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

int migration_exit(json_object *o)
{
	const char *result = record_text(o, "result", NULL, "");

	if (!strcmp(result, "completed"))
		return CLI_OK;
	if (!strcmp(result, "refused"))
		return CLI_REFUSED;
	return !strcmp(result, "aborted") ? CLI_INTERRUPTED : CLI_FAILED;
}

void migration_summary(const struct cli *cli, json_object *o)
{
	json_object *reasons = record_get(o, "reasons", NULL);
	const char *id = record_text(o, "id", NULL, "?"), *result = record_text(o, "result", NULL, "running");
	size_t i;

	if (!strcmp(result, "completed"))
		printf("%s completed: total %.2f s   downtime %.0f ms   ram %.1f MiB   device %.1f KiB\n", id,
		       record_number(o, "totals", "total_ms") / 1000, record_number(o, "totals", "downtime_ms"),
		       record_number(o, "totals", "ram_bytes") / 1048576,
		       record_number(o, "totals", "device_bytes") / 1024);
	else
		printf("%s %s\n", id, result);
	for (i = 0; reasons && i < json_object_array_length(reasons); i++) {
		json_object *r = json_object_array_get_idx(reasons, i);
		const char *hint = record_text(r, "hint", NULL, NULL);

		fprintf(stderr, "ferry: migration %s: %s (%s)%s%s\n", id, record_text(r, "message", NULL, "?"),
			record_text(r, "code", NULL, "?"), hint ? "; try: " : "", hint ? hint : "");
	}
}

/* -------------------------------------------------------------------- check */

static void print_rows(const struct cli *cli, json_object *rows)
{
	size_t n = json_object_array_length(rows), i;
	static const char *const keys[] = { "item", "source", "target", "result" };
	static const char *const titles[] = { "ITEM", "SOURCE", "TARGET", "RESULT" };
	const char **cells = calloc((n + 1) * ARRAY_SIZE(keys), sizeof(*cells));
	unsigned int c;

	for (c = 0; cells && c < ARRAY_SIZE(keys); c++) {
		cells[c] = titles[c];
		for (i = 0; i < n; i++) {
			json_object *r = json_object_array_get_idx(rows, i);

			cells[(i + 1) * ARRAY_SIZE(keys) + c] =
				c == 3 ? record_text(r, "code", NULL, "ok") : record_text(r, keys[c], NULL, "-");
		}
	}
	if (cells)
		out_table(cli, cells, n + 1, ARRAY_SIZE(keys));
	free(cells);
}

int verb_migration_check(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	json_object *o = json_object_new_object(), *rows = record_array(o, "checks");
	struct ends e = { .src = -1, .dst = -1 };
	struct ferry_err err = { 0 };
	int ret = ends_open(cli, params, &e, &err);
	bool asked = !ret;

	if (!ret)
		ret = ends_check(&e, rows, &err);
	json_object_object_add(o, "schema", json_object_new_string("ferry.migration-check.v1"));
	json_object_object_add(o, "migratable", json_object_new_boolean(!ret));
	if (ret < 0)
		record_reason(o, &err);
	if (!asked) {
		ret = out_error(cli, "migration", "check", &err);
	} else {
		if (cli->json)
			out_json(cli, o);
		else if (!cli->quiet)
			print_rows(cli, rows);
		if (!cli->json && !cli->quiet)
			printf("result: %s%s\n", ret ? "refused: " : "migratable", ret ? err.msg : "");
		ret = ret ? CLI_REFUSED : CLI_OK;
	}
	json_object_put(o);
	ends_close(&e);
	return ret;
}

/* ------------------------------------------------------------- list and show */

/* One that has no result, and nobody who works at it: its ferry was killed. */
static const char *state_of(json_object *o)
{
	const char *result = record_text(o, "result", NULL, NULL);

	return result ? result : record_running(o) ? "running" : "abandoned";
}

int verb_migration_list(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	static const char *const titles[] = { "ID", "STARTED", "RESULT", "TOTAL-MS", "DOWNTIME-MS", "DEVICE-BYTES" };
	struct ferry_err err = { 0 };
	json_object *list = record_list(&err), *all, *o;
	size_t n = json_object_array_length(list), i, nr = ARRAY_SIZE(titles);
	const char **cells = calloc((n + 1) * nr, sizeof(*cells));

	if (cli->json) {
		all = json_object_new_object();
		json_object_object_add(all, "schema", json_object_new_string("ferry.migrations.v1"));
		for (i = 0; i < n; i++)
			json_object_object_add(json_object_array_get_idx(list, i), "state",
					       json_object_new_string(state_of(json_object_array_get_idx(list, i))));
		json_object_object_add(all, "migrations", json_object_get(list));
		out_json(cli, all);
		json_object_put(all);
	} else if (cells) {
		memcpy(cells, titles, sizeof(titles));
		for (i = 0; i < n; i++) {
			const char **c = cells + (i + 1) * nr;

			o = json_object_array_get_idx(list, i);
			c[0] = record_text(o, "id", NULL, "-");
			c[1] = record_text(o, "started_at", NULL, "-");
			c[2] = state_of(o);
			c[3] = record_text(o, "totals", "total_ms", "-");
			c[4] = record_text(o, "totals", "downtime_ms", "-");
			c[5] = record_text(o, "totals", "device_bytes", "-");
		}
		out_table(cli, cells, n + 1, nr);
	}
	free(cells);
	json_object_put(list);
	return CLI_OK;
}

static int load(const struct cli *cli, json_object *params, struct record *r)
{
	struct ferry_err err = { 0 };

	if (!record_load(r, record_text(params, "id", NULL, "last"), &err))
		return 0;
	return out_error(cli, "migration", NULL, &err);
}

int verb_migration_show(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	struct record r;
	int ret = load(cli, params, &r);

	if (ret)
		return ret;
	json_object_object_add(r.o, "state", json_object_new_string(state_of(r.o)));
	if (cli->json) {
		out_json(cli, r.o);
	} else {
		json_object_object_del(r.o, "samples");
		print_object(cli, r.o);
	}
	record_release(&r);
	return CLI_OK;
}

/* ------------------------------------------------------------ watch and abort */

int verb_migration_watch(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	bool tty = isatty(STDERR_FILENO) && !cli->quiet && !cli->json;
	struct record r;
	int ret = load(cli, params, &r);
	char id[RECORD_ID_LEN];

	if (ret)
		return ret;
	snprintf(id, sizeof(id), "%s", r.id);
	while (record_running(r.o)) {
		json_object *p = record_get(r.o, "progress", NULL);

		if (tty && p)
			fprintf(stderr, "\rMigration: [%6.2f %%]  %-12s", record_number(p, "percent", NULL),
				record_text(p, "status", NULL, ""));
		else if (cli->json && p)
			out_json(cli, p);
		record_release(&r);
		pause_ms(WATCH_MS);
		json_object_object_add(params, "id", json_object_new_string(id));
		ret = load(cli, params, &r);
		if (ret)
			return ret;
	}
	if (tty)
		fputc('\n', stderr);
	if (cli->json)
		out_json(cli, r.o);
	else if (!cli->quiet)
		migration_summary(cli, r.o);
	ret = migration_exit(r.o);
	record_release(&r);
	return ret;
}

/* The ferry that drives it is asked; without one, the source's monitor is. */
static int ask_to_end(json_object *o, struct ferry_err *err)
{
	pid_t pid = (pid_t)record_number(o, "driver", "pid");
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct qmp q;
	int ret;

	if (record_running(o) && pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, pidfd, SIGINT, NULL, 0) < 0
			? ferry_err_set(err, errno, "E-MIGRATION-ABORT", NULL, "process %d: %s", (int)pid,
					strerror(errno)) : 0;
	ret = qmp_open(&q, "source", record_text(o, "source", "qmp", ""), 0, NULL, NULL, err);
	if (ret < 0)
		return ret;
	ret = qmp_call(&q, "migrate_cancel", NULL, NULL, err);
	qmp_close(&q);
	return ret;
}

int verb_migration_abort(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	struct ferry_err err = { 0 };
	struct record r;
	unsigned int waited;
	int ret = load(cli, params, &r);

	if (ret)
		return ret;
	if (record_get(r.o, "result", NULL))
		ret = ferry_err_set(&err, EINVAL, "E-MIGRATION-OVER", NULL, "it is over: %s",
				    record_text(r.o, "result", NULL, "?"));
	if (!ret)
		ret = ask_to_end(r.o, &err);
	json_object_object_add(params, "id", json_object_new_string(r.id));
	for (waited = 0; !ret && waited < ABORT_MS && record_running(r.o); waited += WATCH_MS) {
		pause_ms(WATCH_MS);
		record_release(&r);
		ret = load(cli, params, &r);
		if (ret)
			return ret;
	}
	if (ret < 0)
		ret = out_error(cli, "migration", r.id, &err);
	else if (!cli->quiet)
		printf("%s %s\n", r.id, state_of(r.o));
	record_release(&r);
	return ret;
}
