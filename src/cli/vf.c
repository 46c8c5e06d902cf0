/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* What `function set` of a VF and `driver explain` print. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char *text_of(json_object *o, const char *key, const char *dflt)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : dflt;
}

static void print_names(json_object *list)
{
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));

		printf("%s%.*s", i ? ", " : n > 1 ? ", namespaces " : ", namespace ",
		       (int)strcspn(name, ":"), name);
	}
}

/* "0000:01:00.1 active, 4 queue and 5 interrupt resources, namespace disk0, migratable" */
void print_function_set(const struct cli *cli, json_object *result)
{
	json_object *log, *names, *migratable;
	size_t i;

	if (!json_object_object_get_ex(result, "log", &log))
		return;			/* not of a VF */
	for (i = 0; cli->verbose && i < json_object_array_length(log); i++)
		puts(json_object_get_string(json_object_array_get_idx(log, i)));
	if (cli->quiet)
		return;
	printf("%s %s, %s queue and %s interrupt resources", text_of(result, "address", "?"),
	       text_of(result, "state", "?"), text_of(result, "vq", "?"), text_of(result, "vi", "?"));
	if (json_object_object_get_ex(result, "ns", &names) && names)
		print_names(names);
	if (json_object_object_get_ex(result, "migratable", &migratable))
		printf(", %smigratable", json_object_get_boolean(migratable) ? "" : "not ");
	putchar('\n');
}

void print_explain(const struct cli *cli, json_object *result)
{
	static const char *const titles[] = { "RANK", "DRIVER", "RULE", "RESULT" };
	static const char *const keys[] = { "rank", "driver", "rule", "result" };
	json_object *list;
	const char **cells;
	size_t rows, r, c;

	if (!json_object_object_get_ex(result, "rows", &list))
		return;
	printf("modalias  %s\n", text_of(result, "modalias", "?"));
	rows = json_object_array_length(list) + 1;
	cells = calloc(rows * ARRAY_SIZE(titles), sizeof(*cells));
	if (!cells)
		return;
	for (c = 0; c < ARRAY_SIZE(titles); c++) {
		cells[c] = titles[c];
		for (r = 1; r < rows; r++)
			cells[r * ARRAY_SIZE(titles) + c] =
				text_of(json_object_array_get_idx(list, r - 1), keys[c], "-");
	}
	out_table(cli, cells, rows, ARRAY_SIZE(titles));
	free(cells);
}
