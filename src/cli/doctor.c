/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferry doctor: tries what ferry needs of this machine and says what to change. */
#include <stdio.h>
#include <string.h>

#include <ferry/env.h>
#include <frontends/uapi/uapi.h>

#include "cli/cli.h"
#include "host/paths.h"

#define PROBES_MAX 32

static void probe_uring(struct uapi_probe *p)
{
	int ret = env_uring_usable();

	*p = (struct uapi_probe){ .name = "io_uring", .err = -ret };
	if (ret < 0)
		snprintf(p->detail, sizeof(p->detail),
			 "%s: threads do the I/O instead; allow io_uring_setup in the container's profile, "
			 "and sysctl kernel.io_uring_disabled=0", strerror(-ret));
}

static void probe_run_dir(struct uapi_probe *p)
{
	struct ferry_err err = { 0 };
	char base[192];

	*p = (struct uapi_probe){ .name = "runtime folder", .required = true };
	if (paths_base(base, sizeof(base), true, &err) < 0) {
		p->err = err.num;
		snprintf(p->detail, sizeof(p->detail), "%.150s", err.msg);
		return;
	}
	snprintf(p->detail, sizeof(p->detail), "%.150s", base);
	(void)rmdir(base);	/* where it was only made for this */
}

static json_object *probe_json(const struct uapi_probe *p)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(p->name));
	json_object_object_add(o, "required", json_object_new_boolean(p->required));
	json_object_object_add(o, "ok", json_object_new_boolean(!p->err));
	json_object_object_add(o, "errno", json_object_new_int(p->err));
	json_object_object_add(o, "detail", json_object_new_string(p->detail));
	return o;
}

int verb_doctor(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	struct uapi_probe p[PROBES_MAX];
	json_object *all = json_object_new_object(), *list = json_object_new_array();
	const char *cells[(PROBES_MAX + 1) * 3] = { "CHECK", "RESULT", "DETAIL" };
	unsigned int i, n;
	bool missing = false;

	memset(p, 0, sizeof(p));
	n = uapi_probe_all(p, PROBES_MAX - 2);
	n = MIN(n, (unsigned int)PROBES_MAX - 2);
	probe_uring(&p[n++]);
	probe_run_dir(&p[n++]);
	for (i = 0; i < n; i++) {
		missing |= p[i].err && p[i].required;
		cells[3 * i + 3] = p[i].name;
		cells[3 * i + 4] = !p[i].err ? "ok" : p[i].required ? "missing" : "slower";
		cells[3 * i + 5] = p[i].detail[0] ? p[i].detail : p[i].err ? strerror(p[i].err) : "-";
		json_object_array_add(list, probe_json(&p[i]));
	}
	json_object_object_add(all, "schema", json_object_new_string("ferry.doctor.v1"));
	json_object_object_add(all, "ok", json_object_new_boolean(!missing));
	json_object_object_add(all, "checks", list);
	if (cli->json)
		out_json(cli, all);
	else
		out_table(cli, cells, n + 1, 3);
	json_object_put(all);
	return missing ? CLI_UNSUPPORTED : CLI_OK;
}
