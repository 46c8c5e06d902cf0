/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The control socket: framing, limits, and each way a request can be refused. */
#include "host_rig.h"

#define NVME "\"type\":\"nvme\""

static void test_framing__not_json(void)
{
	static const char *const bad[] = {
		"{", "}", "nonsense", "{\"jsonrpc\":\"2.0\",}", "5", "\"x", "{\"a\":1} x", "[1,2",
		"{'jsonrpc':'2.0'}", "{\"a\":\"\xff\xfe\"}", "nul", "\x01",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	json_object *reply;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		reply = rig_ask(bad[i]);
		if (strcmp(rig_code(reply), "E-RPC-PARSE"))
			printf("# %s -> %s\n", bad[i], json_object_to_json_string(reply));
		CHECK(!strcmp(rig_code(reply), "E-RPC-PARSE"));
		json_object_put(reply);
	}
	CHECK(rig_works("host_show", NULL));
}

static void test_framing__not_a_request(void)
{
	static const char *const bad[] = {
		"[]", "{}", "\"text\"", "[{\"jsonrpc\":\"2.0\",\"method\":\"host_show\",\"id\":1}]",
		"{\"jsonrpc\":\"1.0\",\"method\":\"host_show\",\"id\":1}",
		"{\"jsonrpc\":2.0,\"method\":\"host_show\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"method\":5,\"id\":1}", "{\"jsonrpc\":\"2.0\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"host_show\",\"id\":{}}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"host_show\",\"id\":[1]}",
	};
	json_object *reply;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		reply = rig_ask(bad[i]);
		if (strcmp(rig_code(reply), "E-RPC-REQUEST"))
			printf("# %s -> %s\n", bad[i], json_object_to_json_string(reply));
		CHECK(!strcmp(rig_code(reply), "E-RPC-REQUEST"));
		json_object_put(reply);
	}
	CHECK(rig_fails("no_such_method", NULL, "E-RPC-METHOD"));
	CHECK(rig_fails("host_show", "[]", "E-PARAM-TYPE"));
	CHECK(rig_fails("host_show", "null", "E-PARAM-TYPE"));
}

static void test_framing__split_at_every_byte(void)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"host_show\"}\n";
	size_t at;
	int i;

	for (at = 1; at < sizeof(line) - 1; at++) {
		char *reply;

		rig_send(line, at);
		for (i = 0; i < 3; i++)
			host_step(host, 0);
		rig_send(line + at, sizeof(line) - 1 - at);
		reply = rig_line();
		CHECK(reply && strstr(reply, "\"id\":\"x\"") && strstr(reply, "ferry.host.v1"));
		free(reply);
	}
}

static void test_framing__several_in_one_write(void)
{
	static const char lines[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host_show\"}\n\n"
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"nothing\"}\nbroken\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"host_show\"}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"function_list\"}\n";
	unsigned int seen[5] = { 0 }, i;

	rig_send(lines, sizeof(lines) - 1);
	/* Four replies: the request without an id has none. */
	for (i = 0; i < 4; i++) {
		char *reply = rig_line();
		json_object *o = reply ? json_tokener_parse(reply) : NULL, *id = NULL;

		CHECK(o && json_object_object_get_ex(o, "id", &id));
		seen[id ? json_object_get_int(id) % 5 : 0]++;
		json_object_put(o);
		free(reply);
	}
	CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && seen[4] == 1);
	CHECK(rig_works("host_show", NULL));
}

static void test_framing__too_long(void)
{
	size_t len = RPC_LINE_MAX + 1;
	char *text = malloc(len), *reply;

	memset(text, ' ', len);
	/* The largest line that is allowed. */
	snprintf(text + 8, 80, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host_show\"}");
	text[8 + strlen(text + 8)] = ' ';
	text[len - 1] = '\n';
	rig_send(text, len);
	reply = rig_line();
	CHECK(reply && strstr(reply, "ferry.host.v1"));
	free(reply);
	text[len - 1] = ' ';
	rig_send(text, len);
	reply = rig_line();
	CHECK(reply && strstr(reply, "E-RPC-TOO-LARGE"));
	free(reply);
	CHECK(!rig_line());
	free(text);
	close(client);
	rig_connect();
	CHECK(rig_works("host_show", NULL));
}

/* A client that asks and never reads is not read from; what it asked is answered when it reads. */
static void test_limits__replies_unread(void)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"schema_get\"}\n";
	unsigned int sent = 0, got = 0, idle = 0;
	size_t part = 0;

	while (idle < 50 && sent < 100000) {
		ssize_t n = send(client, line + part, sizeof(line) - 1 - part, MSG_NOSIGNAL);

		if (n > 0) {
			part += (size_t)n;
			idle = 0;
			if (part == sizeof(line) - 1) {
				part = 0;
				sent++;
			}
		} else {
			idle++;
		}
		host_step(host, 0);
	}
	CHECK(sent < 100000);
	if (part)
		while (part < sizeof(line) - 1) {
			char c;
			ssize_t n = send(client, line + part, 1, MSG_NOSIGNAL);

			if (n == 1) {
				part++;
				continue;
			}
			if (recv(client, &c, 1, MSG_DONTWAIT) == 1 && c == '\n')
				got++;
			host_step(host, 0);
		}
	sent += part > 0;
	while (got < sent) {
		char *reply = rig_line();

		CHECK(reply);
		if (!reply)
			break;
		free(reply);
		got++;
	}
	CHECK(got == sent);
	CHECK(rig_works("host_show", NULL));
}

static void send_fds(const char *text, int fd, unsigned int nr)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(sizeof(int) * nr) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	unsigned int i;

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int) * nr);
	for (i = 0; i < nr; i++)
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &fd, sizeof(fd));
	CHECK(sendmsg(client, &mh, MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static bool all_closed(int read_end)
{
	struct pollfd p = { .fd = read_end, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

static void test_fds__closed_where_none_is_expected(void)
{
	static const char *const lines[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host_show\"}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host_show\",\"params\":{\"x\":1}}\n",
		"not json\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run_attach\",\"params\":{\"pid\":1}}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run_attach\",\"params\":{\"pid\":1,\"trace\":true}}\n",
	};
	unsigned int i, nr;

	for (i = 0; i < ARRAY_SIZE(lines); i++)
		for (nr = 1; nr <= 16; nr += 5) {
			int p[2];
			char *reply;

			/* These would fit run_attach. */
			if (strstr(lines[i], "run_attach") && nr < 6)
				continue;
			CHECK(!pipe(p));
			send_fds(lines[i], p[1], nr);
			close(p[1]);
			reply = rig_line();
			CHECK(reply);
			free(reply);
			CHECK(all_closed(p[0]));
			close(p[0]);
		}
	CHECK(rig_fails("run_attach", "{\"pid\":1}", "E-RUN-FDS"));
	CHECK(rig_fails("run_attach", "{\"pid\":1,\"broker\":true}", "E-RUN-FDS"));
}

/* ---------------------------------------------------------------- parameters */

static const struct {
	const char *method, *params, *code;
} refused[] = {
	{ "host_show", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "host_stop", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "config_save", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "schema_get", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "function_list", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "namespace_list", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "driver_list", "{\"x\":1}", "E-PARAM-UNKNOWN" },
	{ "function_add", NULL, "E-PARAM-MISSING" },
	{ "function_add", "{}", "E-PARAM-MISSING" },
	{ "function_add", "{\"type\":\"toaster\"}", "E-PARAM-VALUE" },
	{ "function_add", "{\"type\":5}", "E-PARAM-TYPE" },
	{ "function_add", "{\"type\":null}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"colour\":\"red\"}", "E-PARAM-UNKNOWN" },
	{ "function_add", "{" NVME ",\"serial\":\"123456789012345678901\"}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"serial\":\"\"}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"serial\":\"a\\u0000b\"}", "E-PARAM-VALUE" },
	{ "function_add", "{" NVME ",\"serial\":7}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"queues\":0}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"queues\":65}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"queues\":-1}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"queues\":18446744073709551616}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"queues\":1.5}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"queues\":\"4\"}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"queues\":2,\"vectors\":4}", "E-NVME-VECTORS" },
	{ "function_add", "{" NVME ",\"mqes\":1}", "E-PARAM-RANGE" },
	{ "function_add", "{" NVME ",\"doorbells\":\"loud\"}", "E-PARAM-VALUE" },
	{ "function_add", "{" NVME ",\"no_sgl\":1}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"capacity\":\"much\"}", "E-PARAM-VALUE" },
	{ "function_add", "{" NVME ",\"capacity\":\"16E\"}", "E-PARAM-VALUE" },
	{ "function_add", "{" NVME ",\"capacity\":true}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"address\":\"1:2:3\"}", "E-PARAM-VALUE" },
	{ "function_add", "{" NVME ",\"address\":\"01:00.0\"}", "E-FUNCTION-EXISTS" },
	{ "function_add", "{" NVME ",\"ns\":\"disk0\"}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"ns\":[5]}", "E-PARAM-TYPE" },
	{ "function_add", "{" NVME ",\"ns\":[\"nothing\"]}", "E-NS-UNKNOWN" },
	{ "function_add", "{" NVME ",\"ns\":[\"used\"]}", "E-NS-ATTACHED" },
	{ "function_add", "{" NVME ",\"ns\":[\"free\",\"free\"]}", "E-NS-ATTACHED" },
	{ "function_add", "{" NVME ",\"ns\":[\"free:0\"]}", "E-NS-ID" },
	{ "function_add", "{" NVME ",\"ns\":[\"free:129\"]}", "E-NS-ID" },
	{ "function_add", "{" NVME ",\"ns\":[\"free:x\"]}", "E-NS-ID" },
	{ "function_add", "{" NVME ",\"driver\":\"nothing\"}", "E-DRIVER-UNKNOWN" },
	{ "function_add", "{" NVME ",\"ns\":[\"free\"],\"driver\":\"nothing\"}", "E-DRIVER-UNKNOWN" },
	{ "function_show", "{}", "E-PARAM-MISSING" },
	{ "function_show", "{\"address\":\"0000:44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "function_show", "{\"address\":\"bus\"}", "E-PARAM-VALUE" },
	{ "function_show", "{\"address\":1}", "E-PARAM-TYPE" },
	{ "function_set", "{\"queues\":4}", "E-PARAM-MISSING" },
	{ "function_set", "{\"address\":\"01:00.0\"}", "E-PARAM-MISSING" },
	{ "function_set", "{\"address\":\"01:00.0\",\"type\":\"nvme\"}", "E-PARAM-UNKNOWN" },
	{ "function_set", "{\"address\":\"44:00.0\",\"queues\":4}", "E-FUNCTION-UNKNOWN" },
	{ "function_set", "{\"address\":\"01:00.0\",\"ns\":[\"nothing\"]}", "E-NS-UNKNOWN" },
	{ "function_set", "{\"address\":\"01:00.0\",\"queues\":2,\"vectors\":4}", "E-NVME-VECTORS" },
	{ "function_delete", "{}", "E-PARAM-MISSING" },
	{ "function_delete", "{\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "function_reset", "{}", "E-PARAM-MISSING" },
	{ "function_reset", "{\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "function_reset", "{\"address\":\"01:00.0\",\"force\":\"yes\"}", "E-PARAM-TYPE" },
	{ "namespace_create", "{\"name\":\"x\"}", "E-PARAM-MISSING" },
	{ "namespace_create", "{\"backing\":\"null\"}", "E-PARAM-MISSING" },
	{ "namespace_create", "{\"name\":\"../x\",\"backing\":\"null\",\"size\":512}", "E-PARAM-VALUE" },
	{ "namespace_create", "{\"name\":\"\",\"backing\":\"null\",\"size\":512}", "E-PARAM-VALUE" },
	{ "namespace_create", "{\"name\":\"free\",\"backing\":\"null\",\"size\":512}", "E-NS-EXISTS" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"null\"}", "E-NS-SIZE" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"memory\",\"size\":100}", "E-NS-SIZE" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"memory\",\"size\":512,\"lba\":1000}",
	  "E-PARAM-VALUE" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"memory\",\"size\":512,\"lba\":4096}",
	  "E-NS-SIZE" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"file:/no/such/folder/x\",\"size\":512}",
	  "E-NS-MISSING" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"tape:/x\",\"size\":512}", "E-NS-SPEC" },
	{ "namespace_create", "{\"name\":\"x\",\"backing\":\"memory\",\"size\":512,\"uuid\":\"x\"}",
	  "E-PARAM-VALUE" },
	{ "namespace_attach", "{\"name\":\"free\"}", "E-PARAM-MISSING" },
	{ "namespace_attach", "{\"name\":\"none\",\"address\":\"01:00.0\"}", "E-NS-UNKNOWN" },
	{ "namespace_attach", "{\"name\":\"free\",\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "namespace_attach", "{\"name\":\"used\",\"address\":\"01:00.0\"}", "E-NS-ATTACHED" },
	{ "namespace_attach", "{\"name\":\"free\",\"address\":\"01:00.0\",\"nsid\":0}", "E-PARAM-RANGE" },
	{ "namespace_attach", "{\"name\":\"free\",\"address\":\"01:00.0\",\"nsid\":999}",
	  "E-PARAM-RANGE" },
	{ "namespace_detach", "{}", "E-PARAM-MISSING" },
	{ "namespace_detach", "{\"name\":\"none\"}", "E-NS-UNKNOWN" },
	{ "namespace_detach", "{\"name\":\"free\"}", "E-NS-DETACHED" },
	{ "namespace_resize", "{\"name\":\"free\"}", "E-PARAM-MISSING" },
	{ "namespace_resize", "{\"name\":\"none\",\"size\":512}", "E-NS-UNKNOWN" },
	{ "namespace_resize", "{\"name\":\"free\",\"size\":513}", "E-NS-SIZE" },
	{ "namespace_resize", "{\"name\":\"free\",\"size\":0}", "E-NS-SIZE" },
	{ "namespace_resize", "{\"name\":\"free\",\"size\":512}", "E-NS-SHRINK" },
	{ "namespace_delete", "{}", "E-PARAM-MISSING" },
	{ "namespace_delete", "{\"name\":\"none\"}", "E-NS-UNKNOWN" },
	{ "namespace_delete", "{\"name\":\"used\"}", "E-NS-ATTACHED" },
	{ "namespace_claim", "{}", "E-PARAM-MISSING" },
	{ "namespace_claim", "{\"name\":\"none\"}", "E-NS-UNKNOWN" },
	{ "lm_describe", "{}", "E-PARAM-MISSING" },
	{ "lm_describe", "{\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "state_save", "{}", "E-PARAM-MISSING" },
	{ "state_load", "{}", "E-PARAM-MISSING" },
	{ "function_list", "{\"controlled_by\":\"x\"}", "E-PARAM-VALUE" },
	{ "function_set", "{\"address\":\"01:00.0\",\"vq\":4}", "E-FUNCTION-PF" },
	{ "function_set", "{\"address\":\"01:00.0\",\"activate\":true}", "E-FUNCTION-PF" },
	{ "driver_explain", "{}", "E-PARAM-MISSING" },
	{ "driver_explain", "{\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "driver_bind", "{\"address\":\"01:00.0\"}", "E-PARAM-MISSING" },
	{ "driver_bind", "{\"address\":\"01:00.0\",\"driver\":\"nothing\"}", "E-DRIVER-UNKNOWN" },
	{ "driver_bind", "{\"address\":\"01:00.0\",\"driver\":\"vfio-pci\"}", "E-DRIVER-BOUND" },
	{ "driver_bind", "{\"address\":\"44:00.0\",\"driver\":\"vfio-pci\"}", "E-FUNCTION-UNKNOWN" },
	{ "driver_unbind", "{}", "E-PARAM-MISSING" },
	{ "driver_unbind", "{\"address\":\"44:00.0\"}", "E-FUNCTION-UNKNOWN" },
	{ "run_attach", "{}", "E-PARAM-MISSING" },
	{ "run_attach", "{\"pid\":0}", "E-PARAM-RANGE" },
	{ "run_attach", "{\"pid\":99999999999}", "E-PARAM-RANGE" },
};

static char *saved(void)
{
	json_object *o = host_config_save(host);
	char *text = strdup(json_object_to_json_string(o));

	json_object_put(o);
	return text;
}

/* Every refusal leaves the host, and the daemon's descriptors, as they were. */
static void test_params__refused(void)
{
	char *before, *after;
	unsigned int i, fds;

	CHECK(rig_works("namespace_create", "{\"name\":\"used\",\"backing\":\"memory\",\"size\":\"1M\"}"));
	CHECK(rig_works("namespace_create", "{\"name\":\"free\",\"backing\":\"memory\",\"size\":\"1M\"}"));
	CHECK(rig_works("function_add", "{" NVME ",\"ns\":[\"used\"],\"driver\":\"vfio-pci\"}"));
	before = saved();
	fds = rig_fds();
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		CHECK(rig_fails(refused[i].method, refused[i].params, refused[i].code));
	after = saved();
	if (strcmp(before, after))
		printf("# %s\n# %s\n", before, after);
	CHECK(!strcmp(before, after));
	CHECK(rig_fds() == fds);
	free(before);
	free(after);
	CHECK(rig_works("namespace_attach", "{\"name\":\"free\",\"address\":\"01:00.0\"}"));
}

/* Each method has at least one refusal above. */
static void test_params__every_method_is_in_the_table(void)
{
	const struct rpc_method *m;
	unsigned int i;

	for (m = rpc_methods; m->name; m++) {
		for (i = 0; i < ARRAY_SIZE(refused) && strcmp(refused[i].method, m->name); i++)
			;
		if (i == ARRAY_SIZE(refused))
			printf("# %s\n", m->name);
		CHECK(i < ARRAY_SIZE(refused));
	}
}

/* ------------------------------------------------------------------ lives */

static void test_function__life(void)
{
	unsigned int i, fds = 0;

	for (i = 0; i < 20; i++) {
		CHECK(rig_works("function_add",
				"{" NVME ",\"address\":\"02:00.0\",\"ns\":[],\"driver\":\"vfio-pci\"}"));
		CHECK(rig_works("function_set", "{\"address\":\"02:00.0\",\"doorbells\":\"mapped\"}"));
		CHECK(rig_works("function_show", "{\"address\":\"02:00.0\"}"));
		CHECK(rig_works("function_reset", "{\"address\":\"02:00.0\"}"));
		CHECK(rig_works("driver_unbind", "{\"address\":\"02:00.0\"}"));
		CHECK(rig_fails("driver_unbind", "{\"address\":\"02:00.0\"}", "E-DRIVER-UNBOUND"));
		CHECK(rig_works("driver_bind", "{\"address\":\"02:00.0\",\"driver\":\"vfio-pci\"}"));
		CHECK(rig_works("function_delete", "{\"address\":\"02:00.0\"}"));
		CHECK(rig_fails("function_show", "{\"address\":\"02:00.0\"}", "E-FUNCTION-UNKNOWN"));
		if (!fds)
			fds = rig_fds();
	}
	CHECK(rig_fds() == fds);
}

/* A function that somebody holds: the request is refused, the loop goes on. */
static void test_function__parked(void)
{
	struct host_fn *hf = list_first(&host->functions, struct host_fn, link);

	env_strand_lock(&hf->fn->strand);
	CHECK(rig_fails("namespace_detach", "{\"name\":\"used\"}", "E-FUNCTION-BUSY"));
	CHECK(rig_works("function_show", "{\"address\":\"01:00.0\"}"));
	env_strand_unlock(&hf->fn->strand);
	CHECK(rig_works("namespace_detach", "{\"name\":\"used\"}"));
	CHECK(rig_works("namespace_attach", "{\"name\":\"used\",\"address\":\"01:00.0\"}"));
}

/* A client that goes away before its answer. */
static void test_client__gone(void)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"function_set\",\"params\":"
				   "{\"address\":\"01:00.0\",\"queues\":3}}\n";
	unsigned int i, fds = rig_fds();

	for (i = 0; i < 10; i++) {
		rig_send(line, sizeof(line) - 1);
		close(client);
		for (unsigned int k = 0; k < 20; k++)
			host_step(host, 5);
		rig_connect();
	}
	CHECK(rig_fds() == fds);
	CHECK(rig_works("function_show", "{\"address\":\"01:00.0\"}"));
}

static void test_host__one_of_a_name(void)
{
	struct ferry_err err = { 0 };
	struct host *other = NULL;

	CHECK(host_create(host->name, ENV_EPOLL, &other, &err) == -EBUSY);
	CHECK(err.code && !strcmp(err.code, "E-HOST-RUNNING"));
	CHECK(host_create("../x", ENV_EPOLL, &other, &err) == -EINVAL);
	CHECK(rig_works("host_show", NULL));
}

static void test_host__leaves_nothing(void)
{
	struct stat st;
	char path[64];

	rig_down();
	snprintf(path, sizeof(path), "%s/ferry", scratch);
	CHECK(stat(path, &st) < 0);
}

int main(void)
{
	rig_scratch();
	rig_up("t");
	RUN(test_framing__not_json);
	RUN(test_framing__not_a_request);
	RUN(test_framing__split_at_every_byte);
	RUN(test_framing__several_in_one_write);
	RUN(test_framing__too_long);
	RUN(test_limits__replies_unread);
	RUN(test_fds__closed_where_none_is_expected);
	RUN(test_params__refused);
	RUN(test_params__every_method_is_in_the_table);
	RUN(test_function__life);
	RUN(test_function__parked);
	RUN(test_client__gone);
	RUN(test_host__one_of_a_name);
	RUN(test_host__leaves_nothing);
	rig_scratch_remove();
	return tap_end();
}
