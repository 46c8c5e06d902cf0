/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry state: a function's state as a file. The daemon writes and reads the
 * stream through a memfd; show, diff and verify need no daemon.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/migration.h"
#include "host/text.h"
#include "vfio/state_stream.h"

#define START_MS 3000
#define DIFF_MAX 16u			/* differing runs that are listed */

struct state_file {
	uint8_t *buf;
	size_t len;
	struct state_parser p;
	struct lm_identity id;
};

/* ------------------------------------------------------------ whole files */

static int read_whole(const char *path, uint8_t **buf, size_t *len, struct ferry_err *err)
{
	auto_close int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
	size_t have = 0, cap = STATE_STREAM_MAX + 1;
	ssize_t n = -1;

	*buf = fd < 0 ? NULL : malloc(cap);
	while (*buf && have < cap && (n = read(fd, *buf + have, cap - have)) > 0)
		have += (size_t)n;
	*len = have;
	if (n < 0 || fd < 0)
		return ferry_err_set(err, errno, "E-STATE-FILE", NULL, "%s: %s", path, strerror(errno));
	if (have == cap)
		return ferry_err_set(err, EFBIG, "E-STATE-FILE", NULL, "%s: larger than any state", path);
	return 0;
}

static int note_identity(void *arg, const struct lm_identity *id)
{
	((struct state_file *)arg)->id = *id;
	return 0;
}

static void state_file_close(struct state_file *s)
{
	state_parser_release(&s->p);
	free(s->buf);
}

static int state_file_open(struct state_file *s, const char *path, struct ferry_err *err)
{
	int ret;

	memset(s, 0, sizeof(*s));
	state_parser_init(&s->p, note_identity, s);
	ret = read_whole(path, &s->buf, &s->len, err);
	if (ret < 0)
		return ret;
	ret = state_parser_feed(&s->p, s->buf, s->len);
	if (ret < 0)
		return ferry_err_set(err, -ret, "E-STATE-STREAM", NULL, "%s: not a sound stream: %s", path,
				     strerror(-ret));
	return s->p.complete ? 0 : ferry_err_set(err, EINVAL, "E-STATE-STREAM", NULL,
						 "%s: ends early, after %zu bytes", path, s->len);
}

/* ------------------------------------------------------------- save and load */

static int call_with_file(const struct cli *cli, const char *method, json_object *params, int file,
			  json_object **result, struct ferry_err *err)
{
	auto_close int fd = client_connect(cli->host, START_MS, err);

	json_object_object_del(params, "file");
	return fd < 0 ? fd : client_call(fd, method, params, &file, 1, result, err);
}

static int write_whole(const char *path, int from, struct ferry_err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char buf[16384];
	off_t at = 0;
	ssize_t n = 0;

	while (fd >= 0 && (n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (write(fd, buf, (size_t)n) != n) {
			n = -1;
			break;
		}
		at += n;
	}
	if (fd < 0 || n < 0 || fsync(fd) < 0)
		return ferry_err_set(err, errno, "E-STATE-FILE", NULL, "%s: %s", path, strerror(errno));
	return 0;
}

static void print_moved(const struct cli *cli, const char *how, json_object *result)
{
	if (cli->json)
		out_json(cli, result);
	else if (!cli->quiet)
		printf("%s  %s bytes  image %s bytes\n", how, record_text(result, "bytes", NULL, "?"),
		       record_text(result, "image_bytes", NULL, "?"));
}

int verb_state_save(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	auto_free char *path = strdup(record_text(params, "file", NULL, ""));
	const char *address = record_text(params, "address", NULL, "");
	auto_close int mem = memfd_create("ferry-state", MFD_CLOEXEC);
	json_object *result = NULL;
	struct ferry_err err = { 0 };
	int ret = 0;

	if (!*path)
		ret = ferry_err_set(&err, EINVAL, "E-USAGE", NULL, "--file is missing");
	if (!ret)
		ret = call_with_file(cli, "state_save", params, mem, &result, &err);
	if (!ret)
		ret = write_whole(path, mem, &err);
	if (!ret)
		print_moved(cli, "saved", result);
	json_object_put(result);
	return ret < 0 ? out_error(cli, "state", address, &err) : CLI_OK;
}

int verb_state_load(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	auto_free char *path = strdup(record_text(params, "file", NULL, ""));
	const char *address = record_text(params, "address", NULL, "");
	auto_close int mem = memfd_create("ferry-state", MFD_CLOEXEC);
	json_object *result = NULL;
	struct ferry_err err = { 0 };
	struct state_file s;
	int ret = 0;

	if (!*path)
		ret = ferry_err_set(&err, EINVAL, "E-USAGE", NULL, "--file is missing");
	if (ret < 0)
		return out_error(cli, "state", address, &err);
	ret = state_file_open(&s, path, &err);
	if (!ret && pwrite(mem, s.buf, s.len, 0) != (ssize_t)s.len)
		ret = ferry_err_set(&err, errno, "E-SYSTEM", NULL, "memfd: %s", strerror(errno));
	state_file_close(&s);
	if (!ret)
		ret = call_with_file(cli, "state_load", params, mem, &result, &err);
	if (!ret)
		print_moved(cli, "loaded", result);
	json_object_put(result);
	return ret < 0 ? out_error(cli, "state", address, &err) : CLI_OK;
}

/* ------------------------------------------------------------- show and diff */

static const char *hex(const uint8_t *p, size_t n, char *buf)
{
	size_t i;

	for (i = 0; i < n; i++)
		snprintf(buf + 2 * i, 3, "%02x", p[i]);
	return buf;
}

static json_object *describe(const struct state_file *s)
{
	json_object *o = json_object_new_object(), *text = json_tokener_parse(s->id.text);
	char uuid[TEXT_UUID_LEN], digest[65];

	json_object_object_add(o, "schema", json_object_new_string("ferry.state-file.v1"));
	json_object_object_add(o, "bytes", json_object_new_uint64(s->len));
	json_object_object_add(o, "records", json_object_new_uint64(s->p.records));
	json_object_object_add(o, "format", json_object_new_string(text_uuid(s->id.format_uuid, uuid)));
	json_object_object_add(o, "digest", json_object_new_string(hex(s->id.digest, 32, digest)));
	json_object_object_add(o, "image_bytes", json_object_new_uint64(s->p.image_len));
	json_object_object_add(o, "image_crc32c",
			       json_object_new_uint64(crc32c(0, s->p.image, s->p.image_len)));
	json_object_object_add(o, "token_bytes", json_object_new_uint64(s->p.token_len));
	json_object_object_add(o, "identity", text ? text : json_object_new_object());
	return o;
}

int verb_state_show(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	const char *path = record_text(params, "file", NULL, "");
	struct ferry_err err = { 0 };
	struct state_file s;
	json_object *o;
	int ret = state_file_open(&s, path, &err);

	if (!ret) {
		o = describe(&s);
		if (cli->json)
			out_json(cli, o);
		else
			print_object(cli, o);
		json_object_put(o);
	}
	state_file_close(&s);
	return ret < 0 ? out_error(cli, "state", path, &err) : CLI_OK;
}

int verb_state_verify(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	const char *path = record_text(params, "file", NULL, "");
	struct ferry_err err = { 0 };
	struct state_file s;
	int ret = state_file_open(&s, path, &err);

	if (!ret && !cli->quiet)
		printf("%s: sound, %zu bytes, %u records\n", path, s.len, s.p.records);
	state_file_close(&s);
	return ret < 0 ? out_error(cli, "state", path, &err) : CLI_OK;
}

static bool diff_bytes(const uint8_t *a, size_t la, const uint8_t *b, size_t lb)
{
	size_t i = 0, from, n = MIN(la, lb);
	unsigned int runs = 0;

	if (la != lb)
		printf("image: %zu bytes, %zu bytes\n", la, lb);
	while (i < n) {
		for (; i < n && a[i] == b[i]; i++)
			;
		for (from = i; i < n && a[i] != b[i]; i++)
			;
		if (i > from && runs++ < DIFF_MAX)
			printf("image: bytes %zu to %zu differ\n", from, i - 1);
	}
	if (runs > DIFF_MAX)
		printf("image: %u runs differ in all\n", runs);
	return runs || la != lb;
}

/* As diff(1): 0 equal, 1 different, 2 trouble. Which storage goes along is not part of a function's state. */
int verb_state_diff(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	struct state_file a, b;
	struct ferry_err err = { 0 };
	bool differ = false;
	int ra = state_file_open(&a, record_text(params, "file", NULL, ""), &err);
	int rb = ra ? 0 : state_file_open(&b, record_text(params, "other", NULL, ""), &err);

	if (ra || rb) {
		state_file_close(&a);
		if (!ra)
			state_file_close(&b);
		(void)out_error(cli, "state", "diff", &err);
		return 2;
	}
	if (memcmp(a.id.format_uuid, b.id.format_uuid, 16) || memcmp(a.id.digest, b.id.digest, 32)) {
		differ = true;
		printf("identity: %s\nidentity: %s\n", a.id.text, b.id.text);
	}
	differ |= diff_bytes(a.p.image, a.p.image_len, b.p.image, b.p.image_len);
	state_file_close(&a);
	state_file_close(&b);
	return differ;
}
