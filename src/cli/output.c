/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* What ferry prints: errors, JSON, tables. Left-aligned, one header line, nothing localised. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "host/text.h"

/* Refusals that protect data or a running client. */
static bool is_refusal(const char *code)
{
	static const char *const codes[] = {
		"E-FUNCTION-IN-USE", "E-NS-ATTACHED", "E-NS-SHRINK", "E-HOST-IN-USE",
		"E-OWNER-ELSEWHERE", "E-OWNER-ALIVE", "E-OWNER-PREPARED", "E-OWNER-TORN",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i], code))
			return true;
	return false;
}

static int exit_code(const char *code)
{
	if (!strcmp(code, "E-NO-DAEMON"))
		return CLI_NO_DAEMON;
	if (!strcmp(code, "E-USAGE"))
		return CLI_USAGE;
	return is_refusal(code) ? CLI_REFUSED : CLI_FAILED;
}

int out_error(const struct cli *cli, const char *what, const char *which, const struct ferry_err *err)
{
	const char *code = err->code ? err->code : "E-FAILED";
	json_object *o, *e;

	if (!cli->json) {
		fprintf(stderr, "ferry: %s%s%s: %s%s%s\n", what, which ? " " : "", which ? which : "",
			err->msg, err->hint[0] ? "; try: " : "", err->hint);
		return exit_code(code);
	}
	o = json_object_new_object();
	e = json_object_new_object();
	json_object_object_add(e, "code", json_object_new_string(code));
	json_object_object_add(e, "message", json_object_new_string(err->msg));
	json_object_object_add(e, "errno", json_object_new_int(err->num));
	json_object_object_add(e, "hint", json_object_new_string(err->hint));
	json_object_object_add(o, "error", e);
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return exit_code(code);
}

void out_json(const struct cli *cli, json_object *o)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE |
		    (cli->pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
				 : JSON_C_TO_STRING_PLAIN);

	puts(json_object_to_json_string_ext(o, flags));
}

void out_table(const struct cli *cli, const char *const *cells, size_t nr_rows, size_t nr_columns)
{
	size_t r, c;

	for (r = cli->no_header ? 1 : 0; r < nr_rows; r++) {
		for (c = 0; c < nr_columns; c++) {
			size_t width = 0, i;

			for (i = cli->no_header ? 1 : 0; i < nr_rows; i++)
				width = MAX(width, strlen(cells[i * nr_columns + c]));
			if (c + 1 < nr_columns)
				printf("%-*s  ", (int)width, cells[r * nr_columns + c]);
			else
				puts(cells[r * nr_columns + c]);
		}
	}
}

/* ----------------------------------------------------------------- tables */

/* A column: its title and the member of each row. Absent and null are "-". */
struct column {
	const char *title, *key;
	bool size;
};

static const char *cell(json_object *row, const struct column *c, char *buf)
{
	json_object *v;

	if (!c->key || !json_object_object_get_ex(row, c->key, &v) || !v)
		return "-";
	if (c->size)
		return text_size(json_object_get_uint64(v), buf);
	if (json_object_is_type(v, json_type_boolean))
		return json_object_get_boolean(v) ? "yes" : "no";
	return json_object_get_string(v);
}

static void print_rows(const struct cli *cli, json_object *result, const char *key,
		       const struct column *columns, size_t nr)
{
	json_object *list;
	size_t rows, r, c;
	const char **cells;
	char (*sizes)[TEXT_SIZE_LEN];

	if (!json_object_object_get_ex(result, key, &list))
		return;
	rows = json_object_array_length(list) + 1;
	cells = calloc(rows * nr, sizeof(*cells));
	sizes = calloc(rows * nr, sizeof(*sizes));
	if (cells && sizes) {
		for (c = 0; c < nr; c++)
			cells[c] = columns[c].title;
		for (r = 1; r < rows; r++)
			for (c = 0; c < nr; c++)
				cells[r * nr + c] = cell(json_object_array_get_idx(list, r - 1),
							 &columns[c], sizes[r * nr + c]);
		out_table(cli, cells, rows, nr);
	}
	free(cells);
	free(sizes);
}

void print_functions(const struct cli *cli, json_object *result)
{
	static const struct column columns[] = {
		{ "ADDRESS", "address" }, { "TYPE", "type" }, { "ROLE", "role" },
		{ "CNTLID", "cntlid" }, { "STATE", "state" }, { "OPSTATE", "opstate" },
		{ "DRIVER", "driver" }, { "IN-USE", "in_use" },
	};

	print_rows(cli, result, "functions", columns, ARRAY_SIZE(columns));
}

void print_namespaces(const struct cli *cli, json_object *result)
{
	static const struct column columns[] = {
		{ "NAME", "name" }, { "SIZE", "size", true }, { "LBA", "lba" },
		{ "ADDRESS", "address" }, { "NSID", "nsid" }, { "BACKING", "backing" },
	};

	print_rows(cli, result, "namespaces", columns, ARRAY_SIZE(columns));
}

/* One row per driver and function, so that a line has one address. */
void print_drivers(const struct cli *cli, json_object *result)
{
	static const struct column columns[] = { { "DRIVER", "driver" }, { "ADDRESS", "address" } };
	json_object *list, *bound, *name, *row, *flat = json_object_new_array();
	json_object *all = json_object_new_object();
	size_t i, k;

	json_object_object_get_ex(result, "drivers", &list);
	for (i = 0; i < json_object_array_length(list); i++) {
		json_object_object_get_ex(json_object_array_get_idx(list, i), "name", &name);
		json_object_object_get_ex(json_object_array_get_idx(list, i), "functions", &bound);
		for (k = 0; !k || k < json_object_array_length(bound); k++) {
			row = json_object_new_object();
			json_object_object_add(row, "driver", json_object_get(name));
			json_object_object_add(row, "address",
					       json_object_get(json_object_array_get_idx(bound, k)));
			json_object_array_add(flat, row);
		}
	}
	json_object_object_add(all, "rows", flat);
	print_rows(cli, all, "rows", columns, ARRAY_SIZE(columns));
	json_object_put(all);
}

/* ------------------------------------------------------------ other results */

void print_nothing(const struct cli *cli, json_object *result)
{
}

void print_address(const struct cli *cli, json_object *result)
{
	json_object *v;

	if (json_object_object_get_ex(result, "address", &v))
		puts(json_object_get_string(v));
}

static void print_member(const char *key, json_object *value, unsigned int indent)
{
	size_t i;

	if (json_object_is_type(value, json_type_object)) {
		printf("%*s%s\n", (int)indent, "", key);
		json_object_object_foreach(value, k, v)
			print_member(k, v, indent + 2);
	} else if (json_object_is_type(value, json_type_array)) {
		for (i = 0; i < json_object_array_length(value); i++)
			print_member(key, json_object_array_get_idx(value, i), indent);
	} else {
		printf("%*s%-*s  %s\n", (int)indent, "", (int)(20 - MIN(indent, 20)), key,
		       value ? json_object_get_string(value) : "-");
	}
}

void print_object(const struct cli *cli, json_object *result)
{
	json_object_object_foreach(result, key, value)
		if (strcmp(key, "schema"))
			print_member(key, value, 0);
}
