/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Records of migrations: one JSON file each in the state folder, replaced as a whole. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/migration.h"
#include "host/paths.h"

#define FOLDER "migrations"
#define RECORD_MAX (16u << 20)

uint64_t record_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *record_time(char buf[32])
{
	struct timespec t;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	n = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, 32 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
	return buf;
}

/* ------------------------------------------------------------------ members */

json_object *record_get(json_object *o, const char *key, const char *sub)
{
	json_object *v = NULL;

	if (!o || !json_object_object_get_ex(o, key, &v) || !v)
		return NULL;
	if (sub && (!json_object_is_type(v, json_type_object) ||
		    !json_object_object_get_ex(v, sub, &v)))
		return NULL;
	return v;
}

const char *record_text(json_object *o, const char *key, const char *sub, const char *dflt)
{
	json_object *v = record_get(o, key, sub);

	return v ? json_object_get_string(v) : dflt;
}

double record_number(json_object *o, const char *key, const char *sub)
{
	json_object *v = record_get(o, key, sub);

	return v ? json_object_get_double(v) : 0;
}

json_object *record_object(json_object *o, const char *key)
{
	json_object *v = record_get(o, key, NULL);

	if (!v) {
		v = json_object_new_object();
		json_object_object_add(o, key, v);
	}
	return v;
}

json_object *record_array(json_object *o, const char *key)
{
	json_object *v = record_get(o, key, NULL);

	if (!v) {
		v = json_object_new_array();
		json_object_object_add(o, key, v);
	}
	return v;
}

void record_reason(json_object *o, const struct ferry_err *err)
{
	json_object *r = json_object_new_object();

	json_object_object_add(r, "code", json_object_new_string(err->code ? err->code : "E-FAILED"));
	json_object_object_add(r, "message", json_object_new_string(err->msg));
	if (err->hint[0])
		json_object_object_add(r, "hint", json_object_new_string(err->hint));
	json_object_array_add(record_array(o, "reasons"), r);
}

/* -------------------------------------------------------------------- files */

static int failed(const struct record *r, struct ferry_err *err)
{
	return ferry_err_set(err, errno, "E-STATE-DIR", "set XDG_STATE_HOME", "%s: %s", r->path,
			     strerror(errno));
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int record_save(struct record *r, bool durable, struct ferry_err *err)
{
	char tmp[sizeof(r->path) + 8], dir[sizeof(r->path)];
	auto_close int fd = -1;
	auto_close int dirfd = -1;
	const char *text;
	size_t len;

	snprintf(tmp, sizeof(tmp), "%s.new", r->path);
	text = json_object_to_json_string_length(
		r->o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write_all(fd, text, len) < 0 || (durable && fsync(fd) < 0) ||
	    rename(tmp, r->path) < 0)
		return failed(r, err);
	if (!durable)
		return 0;
	snprintf(dir, sizeof(dir), "%s", r->path);
	*strrchr(dir, '/') = '\0';
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd < 0 || fsync(dirfd) < 0 ? failed(r, err) : 0;
}

/* When the process began, in clock ticks: a pid alone may come again. */
static uint64_t process_start(pid_t pid)
{
	char path[32], buf[1024], *p;
	auto_close int fd = -1;
	unsigned int field;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');
	for (field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

bool record_running(json_object *o)
{
	pid_t pid = (pid_t)record_number(o, "driver", "pid");

	if (record_get(o, "result", NULL) || pid <= 0)
		return false;
	return process_start(pid) == json_object_get_uint64(record_get(o, "driver", "start"));
}

int record_new(struct record *r, struct ferry_err *err)
{
	char dir[sizeof(r->path) - RECORD_ID_LEN - 8], when[32];
	json_object *driver;
	uint32_t random = 0;
	struct tm tm;
	struct timespec now;
	int ret = paths_state(FOLDER, dir, sizeof(dir), true, err);

	if (ret < 0)
		return ret;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint32_t)getpid();
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	snprintf(r->id, sizeof(r->id), "%.15s-%03d-%04x", when, (int)(now.tv_nsec / 1000000 % 1000),
		 random & 0xffff);
	snprintf(r->path, sizeof(r->path), "%s/%s.json", dir, r->id);
	r->o = json_object_new_object();
	json_object_object_add(r->o, "schema", json_object_new_string(RECORD_SCHEMA));
	json_object_object_add(r->o, "id", json_object_new_string(r->id));
	json_object_object_add(r->o, "started_at", json_object_new_string(record_time(when)));
	driver = record_object(r->o, "driver");
	json_object_object_add(driver, "pid", json_object_new_int(getpid()));
	json_object_object_add(driver, "start", json_object_new_uint64(process_start(getpid())));
	ret = record_save(r, true, err);
	if (ret < 0)
		record_release(r);
	return ret;
}

static json_object *read_file(const char *path)
{
	json_object *o = json_object_from_file(path);

	if (o && strcmp(record_text(o, "schema", NULL, ""), RECORD_SCHEMA)) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static int is_record(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot && !strcmp(dot, ".json");
}

json_object *record_list(struct ferry_err *err)
{
	json_object *list = json_object_new_array(), *o;
	struct dirent **names = NULL;
	char dir[480], path[800];
	int i, n = paths_state(FOLDER, dir, sizeof(dir), false, err);

	n = n < 0 ? n : scandir(dir, &names, is_record, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		o = read_file(path);
		if (o)
			json_object_array_add(list, o);
		free(names[i]);
	}
	free(names);
	return list;
}

int record_load(struct record *r, const char *id, struct ferry_err *err)
{
	char dir[440];
	int ret = paths_state(FOLDER, dir, sizeof(dir), false, err);

	if (ret < 0)
		return ret;
	r->o = NULL;
	if (!strcmp(id, "last")) {
		json_object *list = record_list(err);
		size_t n = json_object_array_length(list);

		if (n)
			r->o = json_object_get(json_object_array_get_idx(list, n - 1));
		json_object_put(list);
		id = r->o ? record_text(r->o, "id", NULL, "?") : id;
	}
	snprintf(r->id, sizeof(r->id), "%.31s", id);
	snprintf(r->path, sizeof(r->path), "%s/%s.json", dir, r->id);
	if (!r->o && paths_name_ok(r->id))
		r->o = read_file(r->path);
	return r->o ? 0 : ferry_err_set(err, ENOENT, "E-MIGRATION-UNKNOWN", "ferry migration list",
					"no migration %.40s", id);
}

void record_release(struct record *r)
{
	json_object_put(r->o);
	r->o = NULL;
}
