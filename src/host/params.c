/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Checks parameters of a request against the method's table, and describes the tables. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/paths.h"
#include "host/rpc.h"
#include "host/text.h"

static const char *const type_names[] = {
	[RPC_STRING] = "string", [RPC_NAME] = "name", [RPC_UINT] = "integer", [RPC_SIZE] = "size",
	[RPC_BOOL] = "boolean", [RPC_ENUM] = "word", [RPC_ADDRESS] = "address",
	[RPC_STRINGS] = "strings", [RPC_UUID] = "uuid",
};

static int wrong_type(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	return ferry_err_set(err, EINVAL, "E-PARAM-TYPE", NULL, "%s: not a %s: %.100s", p->name,
			     type_names[p->type], json_object_to_json_string_ext(v, 0));
}

static int out_of_range(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	return ferry_err_set(err, ERANGE, "E-PARAM-RANGE", NULL,
			     "%s: %.100s is not between %" PRIu64 " and %" PRIu64, p->name,
			     json_object_to_json_string_ext(v, 0), p->min, p->max);
}

static int check_number(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	uint64_t n = json_object_get_uint64(v);

	if (json_object_get_int64(v) < 0)
		return out_of_range(p, v, err);
	return n < p->min || (p->max && n > p->max) ? out_of_range(p, v, err) : 0;
}

static int check_size(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	uint64_t n;
	int ret;

	if (json_object_is_type(v, json_type_int))
		return check_number(p, v, err);
	if (!json_object_is_type(v, json_type_string))
		return wrong_type(p, v, err);
	ret = text_size_parse(json_object_get_string(v), &n);
	if (ret < 0)
		return ferry_err_set(err, -ret, "E-PARAM-VALUE", "use a number of bytes, or 64M, 1G",
				     "%s: %.100s is no size", p->name, json_object_get_string(v));
	return n < p->min || (p->max && n > p->max) ? out_of_range(p, v, err) : 0;
}

static int check_word(const struct rpc_param *p, const char *s, struct ferry_err *err)
{
	char all[160];
	size_t n = 0;
	unsigned int i;

	all[0] = '\0';
	for (i = 0; p->words[i]; i++) {
		if (!strcmp(p->words[i], s))
			return 0;
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", p->words[i]);
		n = MIN(n, sizeof(all) - 1);
	}
	return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", NULL, "%s: %.100s is none of: %s", p->name,
			     s, all);
}

static int check_text(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	const char *s = json_object_get_string(v);
	size_t n = (size_t)json_object_get_string_len(v);
	struct pci_bdf bdf;
	uint8_t uuid[16];

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(p, v, err);
	if (strlen(s) != n)
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", NULL, "%s: holds a NUL", p->name);
	switch (p->type) {
	case RPC_NAME:
		if (paths_name_ok(s))
			return 0;
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE",
				     "use letters, digits, and . _ - inside; at most 63",
				     "%s: %.100s cannot be a name", p->name, s);
	case RPC_ADDRESS:
		if (!pci_bdf_parse(s, &bdf))
			return 0;
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", "write it as 0000:01:00.0",
				     "%s: %.100s is no PCI address", p->name, s);
	case RPC_UUID:
		if (!text_uuid_parse(s, uuid))
			return 0;
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", NULL, "%s: %.100s is no UUID",
				     p->name, s);
	case RPC_ENUM:
		return check_word(p, s, err);
	default:
		if (n >= p->min && (!p->max || n <= p->max))
			return 0;
		return ferry_err_set(err, EINVAL, "E-PARAM-RANGE", NULL,
				     "%s: %zu characters, not %" PRIu64 " to %" PRIu64, p->name, n,
				     p->min, p->max);
	}
}

static int check_strings(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	size_t i;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(p, v, err);
	if (json_object_array_length(v) > p->max)
		return ferry_err_set(err, E2BIG, "E-PARAM-RANGE", NULL, "%s: more than %" PRIu64, p->name,
				     p->max);
	for (i = 0; i < json_object_array_length(v); i++)
		if (!json_object_is_type(json_object_array_get_idx(v, i), json_type_string))
			return wrong_type(p, json_object_array_get_idx(v, i), err);
	return 0;
}

static int check_value(const struct rpc_param *p, json_object *v, struct ferry_err *err)
{
	switch (p->type) {
	case RPC_UINT:
		return json_object_is_type(v, json_type_int) ? check_number(p, v, err)
							      : wrong_type(p, v, err);
	case RPC_SIZE:
		return check_size(p, v, err);
	case RPC_BOOL:
		return json_object_is_type(v, json_type_boolean) ? 0 : wrong_type(p, v, err);
	case RPC_STRINGS:
		return check_strings(p, v, err);
	default:
		return check_text(p, v, err);
	}
}

int rpc_check(const struct rpc_param *params, json_object *values, struct ferry_err *err)
{
	const struct rpc_param *p;
	int ret;

	json_object_object_foreach(values, key, value) {
		for (p = params; p && p->name; p++)
			if (!strcmp(p->name, key))
				break;
		if (!p || !p->name)
			return ferry_err_set(err, EINVAL, "E-PARAM-UNKNOWN", NULL,
					     "no parameter %.100s", key);
		ret = check_value(p, value, err);
		if (ret < 0)
			return ret;
	}
	for (p = params; p && p->name; p++)
		if (p->required && !json_object_object_get_ex(values, p->name, NULL))
			return ferry_err_set(err, EINVAL, "E-PARAM-MISSING", NULL, "%s is missing",
					     p->name);
	return 0;
}

const char *rpc_str(json_object *params, const char *key, const char *dflt)
{
	json_object *v;

	return json_object_object_get_ex(params, key, &v) ? json_object_get_string(v) : dflt;
}

uint64_t rpc_uint(json_object *params, const char *key, uint64_t dflt)
{
	json_object *v;
	uint64_t n;

	if (!json_object_object_get_ex(params, key, &v))
		return dflt;
	if (json_object_is_type(v, json_type_string))
		return text_size_parse(json_object_get_string(v), &n) < 0 ? dflt : n;
	return json_object_get_uint64(v);
}

bool rpc_bool(json_object *params, const char *key, bool dflt)
{
	json_object *v;

	return json_object_object_get_ex(params, key, &v) ? json_object_get_boolean(v) : dflt;
}

static json_object *schema_param(const struct rpc_param *p)
{
	json_object *o = json_object_new_object(), *words;
	unsigned int i;

	json_object_object_add(o, "name", json_object_new_string(p->name));
	json_object_object_add(o, "type", json_object_new_string(type_names[p->type]));
	json_object_object_add(o, "required", json_object_new_boolean(p->required));
	if (p->max) {
		json_object_object_add(o, "min", json_object_new_uint64(p->min));
		json_object_object_add(o, "max", json_object_new_uint64(p->max));
	}
	if (p->words) {
		words = json_object_new_array();
		for (i = 0; p->words[i]; i++)
			json_object_array_add(words, json_object_new_string(p->words[i]));
		json_object_object_add(o, "words", words);
	}
	json_object_object_add(o, "help", json_object_new_string(p->help));
	return o;
}

json_object *rpc_schema(void)
{
	json_object *all = json_object_new_object(), *methods = json_object_new_array();
	const struct rpc_method *m;
	const struct rpc_param *p;

	json_object_object_add(all, "schema", json_object_new_string("ferry.schema.v1"));
	for (m = rpc_methods; m->name; m++) {
		json_object *o = json_object_new_object(), *params = json_object_new_array();

		json_object_object_add(o, "name", json_object_new_string(m->name));
		json_object_object_add(o, "help", json_object_new_string(m->help));
		for (p = m->params; p && p->name; p++)
			json_object_array_add(params, schema_param(p));
		json_object_object_add(o, "params", params);
		json_object_object_add(o, "fds", json_object_new_int((int)m->max_fds));
		json_object_array_add(methods, o);
	}
	json_object_object_add(all, "methods", methods);
	return all;
}
