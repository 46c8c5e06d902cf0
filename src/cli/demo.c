/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferry demo: becomes the script scripts/demo, of this checkout or installed, with our programs. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/migration.h"

#ifndef FERRY_DATA
#define FERRY_DATA "/usr/share/ferry"
#endif

/* Folder of this program, without the last slash. */
static int own_folder(char *buf, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", buf, len - 1);

	if (n <= 0)
		return -errno;
	buf[n] = '\0';
	*strrchr(buf, '/') = '\0';
	return 0;
}

int verb_demo(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	char folder[PATH_MAX], script[PATH_MAX + 32];
	char *argv[12] = { script };
	struct ferry_err err = { 0 };
	unsigned int n = 1;

	if (own_folder(folder, sizeof(folder)) < 0) {
		ferry_err_set(&err, errno, "E-SYSTEM", NULL, "/proc/self/exe: %s", strerror(errno));
		return out_error(cli, "demo", NULL, &err);
	}
	snprintf(script, sizeof(script), "%s/../scripts/demo", folder);
	if (access(script, X_OK) < 0)
		snprintf(script, sizeof(script), FERRY_DATA "/scripts/demo");
	setenv("FERRY_TEST_BUILD", folder, 1);
	if (cli->json)
		argv[n++] = (char *)"--json";
	if (record_get(params, "keep", NULL))
		argv[n++] = (char *)"--keep";
	if (record_get(params, "migrations", NULL)) {
		argv[n++] = (char *)"--migrations";
		argv[n++] = (char *)record_text(params, "migrations", NULL, "4");
	}
	if (record_get(params, "report", NULL)) {
		argv[n++] = (char *)"--report";
		argv[n++] = (char *)record_text(params, "report", NULL, "");
	}
	execv(script, argv);
	ferry_err_set(&err, errno, "E-DEMO", NULL, "%s: %s", script, strerror(errno));
	return out_error(cli, "demo", NULL, &err);
}
