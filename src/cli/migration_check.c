/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Both ends of a move as their daemons describe them: what has to be equal,
 * what refuses, and making the target's functions like the source's. A
 * refusal has a code, and is a row of the table like everything that is well.
 */
#include <stdio.h>
#include <string.h>

#include "cli/migration.h"

#define START_MS 3000

static json_object *address_param(const char *address)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "address", json_object_new_string(address));
	return o;
}

/* A call whose parameters are given away. */
static int call(int fd, const char *method, json_object *params, json_object **result,
		struct ferry_err *err)
{
	json_object *own = NULL;
	int ret = client_call(fd, method, params, NULL, 0, result ? result : &own, err);

	json_object_put(params);
	json_object_put(own);
	return ret;
}

/* --------------------------------------------------------------------- ends */

int ends_open(const struct cli *cli, json_object *params, struct ends *e, struct ferry_err *err)
{
	const char *address = record_text(params, "address", NULL, ""), *to, *other;

	e->functions = json_object_new_array();
	if (!*address)
		return 0;
	to = record_text(params, "to", NULL, "");
	other = record_text(params, "to_address", NULL, "");
	if (strncmp(to, "unix:", 5))
		return ferry_err_set(err, EINVAL, "E-USAGE", "--to unix:PATH", "--to %s: not a control socket",
				     to);
	e->src = client_connect(cli->host, START_MS, err);
	if (e->src < 0)
		return e->src;
	e->dst = client_connect_path(to + 5, err);
	if (e->dst < 0)
		return e->dst;
	while (*address) {
		int n = (int)strcspn(address, ","), k = (int)strcspn(other, ",");
		json_object *f = json_object_new_object();

		json_object_object_add(f, "address", json_object_new_string_len(address, n));
		json_object_object_add(f, "target_address",
				       json_object_new_string_len(k ? other : address, k ? k : n));
		json_object_array_add(e->functions, f);
		address += n + (address[n] == ',');
		other += k + (other[k] == ',');
	}
	return 0;
}

void ends_close(struct ends *e)
{
	if (e->src >= 0)
		close(e->src);
	if (e->dst >= 0)
		close(e->dst);
	json_object_put(e->functions);
	*e = (struct ends){ .src = -1, .dst = -1 };
}

/* -------------------------------------------------------------------- check */

static void row(json_object *rows, const char *item, const char *source, const char *target,
		const struct ferry_err *why)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "item", json_object_new_string(item));
	json_object_object_add(o, "source", json_object_new_string(source));
	json_object_object_add(o, "target", json_object_new_string(target));
	json_object_object_add(o, "result", json_object_new_string(why->num ? "refused" : "ok"));
	if (why->num) {
		json_object_object_add(o, "code", json_object_new_string(why->code));
		json_object_object_add(o, "message", json_object_new_string(why->msg));
	}
	json_object_array_add(rows, o);
}

/* The first refusal is what the caller gets. */
static void add(json_object *rows, const char *item, const char *source, const char *target,
		struct ferry_err *why, struct ferry_err *first)
{
	row(rows, item, source, target, why);
	if (why->num && !first->num)
		*first = *why;
	memset(why, 0, sizeof(*why));
}

/* Codes come from the daemon: they are known words, kept for the program's life. */
static void take_reasons(json_object *desc, json_object *rows, const char *side, struct ferry_err *first)
{
	json_object *list = record_get(desc, "reasons", NULL);
	struct ferry_err why = { 0 };
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *r = json_object_array_get_idx(list, i);
		char *code = strdup(record_text(r, "code", NULL, "E-FAILED"));

		ferry_err_set(&why, EPERM, code ? code : "E-FAILED", record_text(r, "hint", NULL, ""),
			      "%s", record_text(r, "message", NULL, ""));
		add(rows, record_text(desc, "address", NULL, "?"),
		    strcmp(side, "source") ? "-" : why.msg, strcmp(side, "target") ? "-" : why.msg, &why,
		    first);
	}
}

/* Which keys of the identities differ. */
static void differences(json_object *a, json_object *b, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = '\0';
	if (!json_object_is_type(a, json_type_object) || !json_object_is_type(b, json_type_object))
		return;
	json_object_object_foreach(a, key, value) {
		json_object *other = record_get(b, key, NULL);

		if (json_object_equal(value, other) || n >= len - 1)
			continue;
		n += (size_t)snprintf(buf + n, len - n, "%s%s (%s, %s)", n ? ", " : "", key,
				      json_object_get_string(value),
				      other ? json_object_get_string(other) : "none");
		n = MIN(n, len - 1);
	}
}

static bool same_identity(json_object *a, json_object *b)
{
	return !strcmp(record_text(a, "identity", "digest", "a"), record_text(b, "identity", "digest", "b"));
}

static void compare_identity(json_object *a, json_object *b, json_object *rows, struct ferry_err *first)
{
	json_object *ia = record_get(a, "identity", NULL), *ib = record_get(b, "identity", NULL);
	const char *fa = record_text(ia, "format", NULL, "-"), *fb = record_text(ib, "format", NULL, "-");
	struct ferry_err why = { 0 };
	char keys[300];

	if (!ib)
		return;
	if (strcmp(fa, fb))
		ferry_err_set(&why, EINVAL, "E-LM-FORMAT", NULL, "the state formats differ");
	add(rows, "device state format", fa, fb, &why, first);
	differences(record_get(ia, "text", NULL), record_get(ib, "text", NULL), keys, sizeof(keys));
	if (!same_identity(a, b))
		ferry_err_set(&why, EINVAL, "E-LM-IDENTITY", "ferry function set",
			      "what the guest sees would change: %s", keys[0] ? keys : "digest");
	add(rows, "identity", record_text(ia, "digest", NULL, "-"), record_text(ib, "digest", NULL, "-"),
	    &why, first);
}

static json_object *by_uuid(json_object *list, const char *uuid)
{
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (!strcmp(record_text(o, "uuid", NULL, ""), uuid))
			return o;
	}
	return NULL;
}

/* Every namespace of the source's function has to be known to the target, by its UUID. */
static void compare_namespaces(json_object *a, json_object *theirs, json_object *rows,
			       struct ferry_err *first)
{
	json_object *list = record_get(a, "namespaces", NULL);
	struct ferry_err why = { 0 };
	char item[96];
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *ns = json_object_array_get_idx(list, i), *other;
		const char *name = record_text(ns, "name", NULL, "?");

		other = by_uuid(theirs, record_text(ns, "uuid", NULL, ""));
		snprintf(item, sizeof(item), "namespace %.60s", name);
		if (!other)
			ferry_err_set(&why, ENOENT, "E-NS-MISSING",
				      "ferry namespace create on the target, with --shared and the same store",
				      "the target has no namespace with the UUID of %.60s", name);
		else if (!json_object_get_boolean(record_get(other, "shared", NULL)))
			ferry_err_set(&why, EINVAL, "E-NS-NOT-SHARED", NULL,
				      "namespace %.60s is not shared on the target", name);
		else if (record_number(other, "lba", NULL) != record_number(ns, "lba", NULL) ||
			 record_number(other, "size", NULL) != record_number(ns, "size", NULL))
			ferry_err_set(&why, EINVAL, "E-NS-MISMATCH", NULL,
				      "namespace %.60s has another size or logical block on the target", name);
		add(rows, item, record_text(ns, "store", NULL, "shared"),
		    other ? record_text(other, "backing", NULL, "-") : "-", &why, first);
	}
}

/* For function_set: the target's names of them, with the source's NSIDs. */
static void name_namespaces(json_object *f, json_object *a, json_object *theirs)
{
	json_object *list = record_get(a, "namespaces", NULL), *names = json_object_new_array();
	char text[96];
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *ns = json_object_array_get_idx(list, i);
		json_object *other = by_uuid(theirs, record_text(ns, "uuid", NULL, ""));

		if (!other)
			continue;
		snprintf(text, sizeof(text), "%.63s:%s", record_text(other, "name", NULL, "?"),
			 record_text(ns, "nsid", NULL, "1"));
		json_object_array_add(names, json_object_new_string(text));
	}
	json_object_object_add(record_object(f, "provision"), "ns", names);
}

static int check_one(struct ends *e, json_object *f, json_object *rows, struct ferry_err *first)
{
	json_object *a = NULL, *b = NULL, *n = NULL;
	struct ferry_err err = { 0 };
	const char *address = record_text(f, "address", NULL, ""), *to = record_text(f, "target_address", NULL, "");

	if (call(e->src, "lm_describe", address_param(address), &a, &err) < 0) {
		add(rows, address, err.msg, "-", &err, first);
		goto out;
	}
	take_reasons(a, rows, "source", first);
	if (call(e->dst, "lm_describe", address_param(to), &b, &err) < 0) {
		add(rows, to, "-", err.msg, &err, first);
		goto out;
	}
	if (call(e->dst, "namespace_list", NULL, &n, &err) < 0) {
		add(rows, to, "-", err.msg, &err, first);
		goto out;
	}
	json_object_object_add(f, "type", json_object_get(record_get(a, "type", NULL)));
	json_object_object_add(f, "driver", json_object_get(record_get(a, "driver", NULL)));
	json_object_object_add(f, "identity", json_object_get(record_get(a, "identity", NULL)));
	json_object_object_add(f, "provision", json_object_get(record_get(a, "provision", NULL)));
	name_namespaces(f, a, record_get(n, "namespaces", NULL));
	/* What is not provisioned yet will be made equal. */
	if (json_object_get_boolean(record_get(b, "migratable", NULL))) {
		compare_identity(a, b, rows, first);
	} else {
		struct ferry_err why = { 0 };

		if (json_object_get_boolean(record_get(b, "in_use", NULL)))
			ferry_err_set(&why, EBUSY, "E-FUNCTION-IN-USE", NULL,
				      "a client has function %s of the target open", to);
		add(rows, "target function", address, "to be provisioned", &why, first);
	}
	json_object_object_add(f, "ready", json_object_new_boolean(same_identity(a, b)));
	compare_namespaces(a, record_get(n, "namespaces", NULL), rows, first);
out:
	json_object_put(a);
	json_object_put(b);
	json_object_put(n);
	return first->num ? -first->num : 0;
}

int ends_check(struct ends *e, json_object *rows, struct ferry_err *err)
{
	struct ferry_err first = { 0 };
	size_t i;

	for (i = 0; i < json_object_array_length(e->functions); i++)
		(void)check_one(e, json_object_array_get_idx(e->functions, i), rows, &first);
	if (first.num)
		*err = first;
	return first.num ? -first.num : 0;
}

/* ---------------------------------------------------------------- provision */

int ends_provision(struct ends *e, unsigned int *done, struct ferry_err *err)
{
	static const char *const keys[] = { "vq", "vi", "ns", "driver" };
	unsigned int i, k;
	int ret;

	for (i = 0; i < json_object_array_length(e->functions); i++) {
		json_object *f = json_object_array_get_idx(e->functions, i), *params;

		if (json_object_get_boolean(record_get(f, "ready", NULL)))
			continue;
		params = address_param(record_text(f, "target_address", NULL, ""));
		for (k = 0; k < ARRAY_SIZE(keys); k++) {
			json_object *v = record_get(f, "provision", keys[k]);

			if (v)
				json_object_object_add(params, keys[k], json_object_get(v));
		}
		json_object_object_add(params, "migratable", json_object_new_boolean(true));
		json_object_object_add(params, "activate", json_object_new_boolean(true));
		ret = call(e->dst, "function_set", params, NULL, err);
		if (ret < 0)
			return ret;
		json_object_object_add(f, "provisioned", json_object_new_boolean(true));
		*done = i + 1;
	}
	return 0;
}

void ends_withdraw(struct ends *e, unsigned int done)
{
	struct ferry_err err = { 0 };
	unsigned int i;

	for (i = 0; i < done; i++) {
		json_object *f = json_object_array_get_idx(e->functions, i), *params;

		if (!json_object_get_boolean(record_get(f, "provisioned", NULL)))
			continue;
		params = address_param(record_text(f, "target_address", NULL, ""));
		json_object_object_add(params, "activate", json_object_new_boolean(false));
		if (call(e->dst, "function_set", params, NULL, &err) < 0)
			log_msg(LOG_WARN, "%s on the target stays provisioned: %s",
				record_text(f, "target_address", NULL, "?"), err.msg);
	}
}

bool ends_counters(const struct ends *e, bool target, uint64_t *ios, uint64_t *bytes)
{
	size_t i;

	for (i = 0; i < json_object_array_length(e->functions); i++) {
		json_object *f = json_object_array_get_idx(e->functions, i), *o = NULL, *c;
		struct ferry_err err = { 0 };
		const char *address = record_text(f, target ? "target_address" : "address", NULL, "");

		if (call(target ? e->dst : e->src, "function_show", address_param(address), &o, &err) < 0)
			return false;
		c = record_get(o, "controller", NULL);
		*ios += (uint64_t)(record_number(c, "reads", NULL) + record_number(c, "writes", NULL));
		*bytes += (uint64_t)(record_number(c, "read_bytes", NULL) +
				     record_number(c, "written_bytes", NULL));
		json_object_put(o);
		if (!c)
			return false;
	}
	return true;
}
