/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The configuration: what is saved makes the same host again. */
#include "host_rig.h"

#define HEAD "{\"schema\":\"ferry.config.v1\","

static char *save(void)
{
	json_object *o = host_config_save(host);
	char *text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));

	json_object_put(o);
	return text;
}

static int load(const char *text, struct ferry_err *err)
{
	json_object *o = json_tokener_parse(text);
	int ret = host_config_load(host, o, err);

	json_object_put(o);
	return ret;
}

static void test_config__round_trip(void)
{
	struct ferry_err err = { 0 };
	char *first, *second, params[512];

	rig_up("one");
	snprintf(params, sizeof(params), "{\"name\":\"disk\",\"backing\":\"file:%s/disk.raw\",\"size\":\"8M\"}",
		 scratch);
	CHECK(rig_works("namespace_create", params));
	CHECK(rig_works("namespace_create",
			"{\"name\":\"big\",\"backing\":\"memory\",\"size\":\"1M\",\"lba\":4096}"));
	CHECK(rig_works("namespace_create",
			"{\"name\":\"nil\",\"backing\":\"null\",\"size\":\"1G\",\"read_only\":true}"));
	CHECK(rig_works("function_add", "{\"type\":\"nvme\",\"serial\":\"F0001\",\"ns\":[\"disk\",\"nil:7\"],"
					"\"driver\":\"vfio-pci\",\"queues\":4,\"vectors\":3,\"mqes\":64,\"mdts\":5,"
					"\"doorbells\":\"mapped\",\"capacity\":\"1G\",\"no_sgl\":true,"
					"\"subnqn\":\"nqn.2014-08.org.nvmexpress:uuid:x\"}"));
	CHECK(rig_works("function_add", "{\"type\":\"nvme\",\"address\":\"0000:05:1f.0\"}"));
	first = save();
	rig_down();

	rig_up("two");
	CHECK(load(first, &err) == 0);
	if (err.num)
		printf("# %s\n", err.msg);
	second = save();
	CHECK(!strcmp(first, second));
	if (strcmp(first, second))
		printf("%s\n%s\n", first, second);
	CHECK(strstr(first, "nil:7") && strstr(first, "disk:1"));
	rig_down();
	free(first);
	free(second);
}

static void test_config__file(void)
{
	struct ferry_err err = { 0 };
	char path[64];
	FILE *f;

	rig_up("one");
	snprintf(path, sizeof(path), "%s/config.json", scratch);
	CHECK(host_config_load_file(host, path, &err) < 0 && strstr(err.msg, path));
	f = fopen(path, "w");
	fprintf(f, HEAD "\"functions\":[{\"type\":\"nvme\"}]}");
	fclose(f);
	CHECK(host_config_load_file(host, path, &err) == 0);
	CHECK(!list_empty(&host->functions));
	rig_down();
}

static void test_config__refused(void)
{
	static const struct {
		const char *text, *code;
	} bad[] = {
		{ "[]", "E-CONFIG" },
		{ "{}", "E-CONFIG" },
		{ "{\"schema\":\"ferry.config.v2\"}", "E-CONFIG" },
		{ HEAD "\"ports\":[]}", "E-CONFIG" },
		{ HEAD "\"namespaces\":{}}", "E-CONFIG" },
		{ HEAD "\"namespaces\":[5]}", "E-CONFIG" },
		{ HEAD "\"namespaces\":[{\"name\":\"x\"}]}", "E-PARAM-MISSING" },
		{ HEAD "\"namespaces\":[{\"name\":\"x\",\"backing\":\"null\"}]}", "E-NS-SIZE" },
		{ HEAD "\"functions\":[{\"type\":\"nvme\",\"x\":1}]}", "E-PARAM-UNKNOWN" },
		{ HEAD "\"functions\":[{\"type\":\"nvme\",\"ns\":[\"x\"]}]}", "E-NS-UNKNOWN" },
	};
	unsigned int i;

	rig_up("one");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ferry_err err = { 0 };

		CHECK(load(bad[i].text, &err) < 0);
		CHECK(err.code && !strcmp(err.code, bad[i].code));
	}
	CHECK(list_empty(&host->functions) && list_empty(&host->namespaces));
	rig_down();
}

int main(void)
{
	rig_scratch();
	RUN(test_config__round_trip);
	RUN(test_config__file);
	RUN(test_config__refused);
	rig_scratch_remove();
	return tap_end();
}
