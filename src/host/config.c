/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The configuration as JSON: namespaces and functions, each entry just what
 * namespace_create and function_add take, so that one set of checks serves.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "host/rpc.h"

#define CONFIG_SCHEMA "ferry.config.v1"

json_object *host_config_save(struct host *h)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct pci_function *fn;
	struct host_fn *hf;
	struct host_ns *ns;

	json_object_object_add(o, "schema", json_object_new_string(CONFIG_SCHEMA));
	list_for_each(ns, &h->namespaces, link)
		json_object_array_add(list, host_ns_params(ns));
	json_object_object_add(o, "namespaces", list);
	list = json_object_new_array();
	vfio_host_lock(&h->vfio);
	list_for_each(fn, &h->vfio.bus.functions, bus_link)
		list_for_each(hf, &h->functions, link)
			if (hf->fn == fn)
				json_object_array_add(list, host_fn_params(h, hf));
	vfio_host_unlock(&h->vfio);
	json_object_object_add(o, "functions", list);
	return o;
}

static int make_ns(struct host *h, json_object *params, struct ferry_err *err)
{
	return host_ns_create(h, params, err);
}

static int make_fn(struct host *h, json_object *params, struct ferry_err *err)
{
	struct host_fn *hf;

	return host_fn_add(h, params, &hf, err);
}

/* Every entry of the array @key: checked as the parameters of @method, then made. */
static int load_list(struct host *h, json_object *config, const char *key, const char *method,
		     int (*make)(struct host *h, json_object *params, struct ferry_err *err),
		     struct ferry_err *err)
{
	const struct rpc_method *m = rpc_method_find(method);
	json_object *list, *entry;
	struct ferry_err why = { 0 };
	size_t i;
	int ret;

	if (!json_object_object_get_ex(config, key, &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return ferry_err_set(err, EINVAL, "E-CONFIG", NULL, "%s is no array", key);
	for (i = 0; i < json_object_array_length(list); i++) {
		entry = json_object_array_get_idx(list, i);
		if (!json_object_is_type(entry, json_type_object))
			return ferry_err_set(err, EINVAL, "E-CONFIG", NULL, "%s[%zu] is no object", key,
					     i);
		ret = rpc_check(m->params, entry, &why);
		if (!ret)
			ret = make(h, entry, &why);
		if (ret < 0)
			return ferry_err_set(err, -ret, why.code, why.hint, "%s[%zu]: %.300s", key, i,
					     why.msg);
	}
	return 0;
}

int host_config_load(struct host *h, json_object *config, struct ferry_err *err)
{
	int ret;

	if (!json_object_is_type(config, json_type_object) ||
	    strcmp(rpc_str(config, "schema", ""), CONFIG_SCHEMA) != 0)
		return ferry_err_set(err, EINVAL, "E-CONFIG", "ferry config save makes one",
				     "not a configuration: schema is not " CONFIG_SCHEMA);
	json_object_object_foreach(config, key, value)
		if (strcmp(key, "schema") && strcmp(key, "namespaces") && strcmp(key, "functions"))
			return ferry_err_set(err, EINVAL, "E-CONFIG", NULL, "unknown key %.100s", key);
	ret = load_list(h, config, "namespaces", "namespace_create", make_ns, err);
	return ret < 0 ? ret : load_list(h, config, "functions", "function_add", make_fn, err);
}

int host_config_load_file(struct host *h, const char *path, struct ferry_err *err)
{
	json_object *config = json_object_from_file(path);
	struct ferry_err why = { 0 };
	int ret;

	if (!config)
		return ferry_err_set(err, EINVAL, "E-CONFIG", NULL, "%s: %.200s", path,
				     json_util_get_last_err());
	ret = host_config_load(h, config, &why);
	json_object_put(config);
	if (ret < 0)
		return ferry_err_set(err, -ret, why.code, why.hint, "%s: %.300s", path, why.msg);
	return 0;
}
