/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry migration start: one move of a running VM, driven by both monitors.
 *
 *   check     both hosts, both QEMUs; nothing is changed
 *   prepare   the target's functions, its QEMU, capabilities, incoming socket
 *   migrate   until the source says how it ended, or one side is gone
 *   settle    the right side runs, the other one is ended
 *
 * Which side is right: the target, once the source has said "completed" or the
 * target has run. Before the source is ever continued, the target QEMU is
 * ended and seen to be gone; so no two sides run, whatever the monitors say.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/migration.h"
#include "cli/qmp.h"
#include "host/paths.h"

#define TICK_MS 100
#define SAVE_MS 500u			/* how often the record is renewed on the way */
#define START_MS 30000u			/* for a QEMU that --to-exec starts */
#define SETTLE_MS 15000u		/* for the loser to go, the winner to run */

enum mig_end { END_NONE, END_COMPLETED, END_FAILED, END_CANCELLED };

struct move {
	const struct cli *cli;
	json_object *params;
	struct record rec;
	struct ends ends;
	struct qmp src, dst;
	pid_t exec;			/* --to-exec's process group */
	char uri[256];			/* of the migration; behind "unix:" the socket's path */
	unsigned int provisioned;
	bool was_running, prepared;

	/* While it migrates. */
	enum mig_end end;
	int64_t src_asked, dst_asked;	/* ids of query-migrate under way */
	uint64_t stop_ns, resume_ns;	/* by the monitors' clocks */
	uint64_t saved_ms, start_ns;
	bool cancelled, dst_ran, progress_shown;
	char status[32];		/* the source's */
	json_object *phase;		/* the one that goes on */
};

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------- record */

static const char *option(const struct move *m, const char *key)
{
	return record_text(m->params, key, NULL, NULL);
}

static bool flag(const struct move *m, const char *key)
{
	json_object *v = record_get(m->params, key, NULL);

	return v && json_object_get_boolean(v);
}

static void phase(struct move *m, const char *name, uint64_t t_ns)
{
	if (m->phase) {
		if (name && !strcmp(record_text(m->phase, "name", NULL, ""), name))
			return;
		json_object_object_add(m->phase, "end_ns", json_object_new_uint64(t_ns));
	}
	m->phase = NULL;
	if (!name)
		return;
	m->phase = json_object_new_object();
	json_object_object_add(m->phase, "name", json_object_new_string(name));
	json_object_object_add(m->phase, "start_ns", json_object_new_uint64(t_ns));
	json_object_array_add(record_array(m->rec.o, "phases"), m->phase);
}

/* One JSON line per event, for programs that follow. */
static void tell(const struct move *m, const char *what, json_object *o)
{
	if (m->cli->json && !m->cli->quiet) {
		json_object *line = json_object_new_object();

		json_object_object_add(line, "event", json_object_new_string(what));
		json_object_object_add(line, "id", json_object_new_string(m->rec.id));
		json_object_object_add(line, "t_ns", json_object_new_uint64(record_now_ns()));
		json_object_object_add(line, "data", json_object_get(o));
		puts(json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
		fflush(stdout);
		json_object_put(line);
	} else if (m->cli->verbose) {
		fprintf(stderr, "%s %s\n", what, o ? json_object_to_json_string_ext(
				o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : "");
	}
}

/* ------------------------------------------------------------------ machine */

/* What -M says in the command line of a process; false if it can't be read or isn't a QEMU. */
static bool machine_option(pid_t pid, char *name, size_t len)
{
	char path[32], *buf, *p, *end;
	auto_close int fd = -1;
	ssize_t n, have = 0;
	bool qemu;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	buf = fd < 0 ? NULL : calloc(1, 65537);
	while (buf && have < 65536 && (n = read(fd, buf + have, (size_t)(65536 - have))) > 0)
		have += n;
	qemu = buf && strstr(buf, "qemu");
	end = buf + have;
	for (p = buf; qemu && p < end; p += strlen(p) + 1) {
		char *value = p + strlen(p) + 1, *type;

		if ((strcmp(p, "-M") && strcmp(p, "-machine") && strcmp(p, "--machine")) || value >= end)
			continue;
		type = strstr(value, "type=");
		if (type)
			value = type + 5;
		/* "-machine pc-q35-10.0,..." or options only */
		if (!strchr(value, '=') || strcspn(value, ",") < strcspn(value, "="))
			snprintf(name, len, "%.*s", (int)strcspn(value, ","), value);
	}
	free(buf);
	return qemu;
}

/* "pc-q35-10.0" of "pc-q35-10.0-machine" */
static int machine_type(struct qmp *q, char *name, size_t len, struct ferry_err *err)
{
	json_object *args = json_object_new_object(), *type = NULL;
	char *tail;
	int ret;

	json_object_object_add(args, "path", json_object_new_string("/machine"));
	json_object_object_add(args, "property", json_object_new_string("type"));
	ret = qmp_call(q, "qom-get", args, &type, err);
	if (ret < 0)
		return ret;
	snprintf(name, len, "%s", json_object_get_string(type));
	tail = strstr(name, "-machine");
	if (tail)
		*tail = '\0';
	json_object_put(type);
	return 0;
}

static bool versioned(const char *name)
{
	const char *dash = strrchr(name, '-');
	unsigned int major, minor;
	int n = 0;

	return dash && sscanf(dash, "-%u.%u%n", &major, &minor, &n) == 2 && n;
}

/*
 * An alias ("q35") means another machine in another QEMU. QEMU itself only
 * tells what the alias became, so its command line is asked.
 */
static int check_machine(struct qmp *q, char *type, size_t len, struct ferry_err *err)
{
	char given[128];
	bool known = machine_option(q->peer, given, sizeof(given));
	int ret = machine_type(q, type, len, err);

	if (ret < 0)
		return ret;
	if (known && strcmp(given, type)) {
		char hint[160];

		snprintf(hint, sizeof(hint), "start both with -machine %.100s", type);
		return ferry_err_set(err, EINVAL, "E-MACHINE-ALIAS", hint,
				     "%s QEMU: the machine %s%.100s%s is whatever this QEMU takes it for",
				     q->name, given[0] ? "\"" : "that no option names",
				     given, given[0] ? "\"" : "");
	}
	if (!versioned(type))
		return ferry_err_set(err, EINVAL, "E-MACHINE-VERSION", "use a machine such as pc-q35-10.0",
				     "%s QEMU: machine %.100s has no version", q->name, type);
	return 0;
}

static int describe_qemu(struct qmp *q, json_object *o, struct ferry_err *err)
{
	json_object *v = NULL, *n;
	char text[32];
	int ret = qmp_call(q, "query-version", NULL, &v, err);

	if (ret < 0)
		return ret;
	n = record_get(v, "qemu", NULL);
	snprintf(text, sizeof(text), "%d.%d.%d", (int)record_number(n, "major", NULL),
		 (int)record_number(n, "minor", NULL), (int)record_number(n, "micro", NULL));
	json_object_object_add(o, "qemu", json_object_new_string(text));
	json_object_object_add(o, "qemu_pid", json_object_new_int(q->peer));
	json_object_put(v);
	return 0;
}

/* "running", "paused", "inmigrate", ... */
static int run_state(struct qmp *q, char *state, size_t len, struct ferry_err *err)
{
	json_object *v = NULL;
	int ret = qmp_call(q, "query-status", NULL, &v, err);

	snprintf(state, len, "%s", ret < 0 ? "" : record_text(v, "status", NULL, ""));
	json_object_put(v);
	return ret;
}

static int check_source(struct move *m, struct ferry_err *err)
{
	json_object *vm = record_object(m->rec.o, "vm"), *v = NULL;
	char state[32], type[128];
	int ret = describe_qemu(&m->src, record_object(m->rec.o, "source"), err);

	if (!ret)
		ret = check_machine(&m->src, type, sizeof(type), err);
	if (!ret)
		ret = run_state(&m->src, state, sizeof(state), err);
	if (ret < 0)
		return ret;
	json_object_object_add(vm, "machine", json_object_new_string(type));
	m->was_running = !strcmp(state, "running");
	if (!m->was_running && strcmp(state, "paused"))
		return ferry_err_set(err, EBUSY, "E-VM-STATE", NULL, "the source VM is %s, not running or paused",
				     state);
	ret = qmp_call(&m->src, "query-migrate", NULL, &v, err);
	if (!ret) {
		const char *why = NULL;
		json_object *blocked = record_get(v, "blocked-reasons", NULL);
		const char *status = record_text(v, "status", NULL, "none");

		if (blocked && json_object_array_length(blocked))
			why = json_object_get_string(json_object_array_get_idx(blocked, 0));
		if (why)
			ret = ferry_err_set(err, EPERM, "E-VM-BLOCKED", NULL, "QEMU refuses: %.300s", why);
		else if (strcmp(status, "none") && strcmp(status, "completed") &&
			 strcmp(status, "failed") && strcmp(status, "cancelled"))
			ret = ferry_err_set(err, EBUSY, "E-VM-MIGRATING", NULL, "a migration is %s already",
					    status);
	}
	json_object_put(v);
	return ret;
}

static int check_target(struct move *m, struct ferry_err *err)
{
	const char *source = record_text(m->rec.o, "vm", "machine", "?");
	char state[32], type[128];
	int ret = describe_qemu(&m->dst, record_object(m->rec.o, "target"), err);

	if (!ret)
		ret = check_machine(&m->dst, type, sizeof(type), err);
	if (!ret)
		ret = run_state(&m->dst, state, sizeof(state), err);
	if (ret < 0)
		return ret;
	if (strcmp(type, source))
		return ferry_err_set(err, EINVAL, "E-MACHINE-DIFFERS", NULL,
				     "the source is a %s, the target a %s", source, type);
	if (strcmp(state, "inmigrate"))
		return ferry_err_set(err, EBUSY, "E-VM-STATE", "start it with -incoming defer",
				     "the target QEMU is %s, not waiting for a migration", state);
	return 0;
}

/* ------------------------------------------------------------------ prepare */

static bool exec_alive(void *arg)
{
	struct move *m = arg;

	return waitpid(m->exec, NULL, WNOHANG) == 0;
}

/* The monitor's socket of a QEMU that we start, and its log. */
static int runtime_path(const struct move *m, const char *suffix, char *buf, size_t len,
			struct ferry_err *err)
{
	char base[192];
	int ret = paths_base(base, sizeof(base), true, err);

	if (!ret && (size_t)snprintf(buf, len, "%s/m-%s%s", base, m->rec.id, suffix) >= len)
		ret = ferry_err_set(err, ENAMETOOLONG, "E-RUN-DIR", "set XDG_RUNTIME_DIR",
				    "the path of the runtime folder is too long");
	return ret;
}

/* @to: "unix:/.../ferry/b/ctl.sock": host b. */
static void export_target(const char *to)
{
	char copy[512], *slash;

	if (!to || strncmp(to, "unix:", 5))
		return;
	snprintf(copy, sizeof(copy), "%s", to + 5);
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	slash = strrchr(copy, '/');
	if (slash)
		setenv("FERRY_HOST", slash + 1, 1);
}

static int start_target(struct move *m, const char *command, const char *socket, struct ferry_err *err)
{
	char log[528];
	int fd;

	snprintf(log, sizeof(log), "%s", m->rec.path);
	snprintf(strrchr(log, '.'), 8, ".log");
	json_object_object_add(record_object(m->rec.o, "target"), "log", json_object_new_string(log));
	fflush(NULL);
	m->exec = fork();
	if (m->exec < 0) {
		m->exec = 0;
		return ferry_err_set(err, errno, "E-SYSTEM", NULL, "fork: %s", strerror(errno));
	}
	if (m->exec)
		return 0;
	setsid();
	setenv("FERRY_QMP", socket, 1);
	setenv("FERRY_MIGRATION", m->rec.id, 1);
	export_target(option(m, "to"));
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || dup2(open("/dev/null", O_RDONLY), 0) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

static int open_target(struct move *m, struct ferry_err *err)
{
	const char *qmp = option(m, "to_qmp"), *command = option(m, "to_exec");
	char own[256];
	int ret;

	if (qmp)
		return qmp_open(&m->dst, "target", qmp, 0, NULL, NULL, err);
	ret = runtime_path(m, ".qmp", own, sizeof(own), err);
	if (!ret)
		ret = start_target(m, command, own, err);
	if (!ret)
		ret = qmp_open(&m->dst, "target", own, START_MS, exec_alive, m, err);
	(void)unlink(own);
	if (ret < 0 && err->hint[0] && m->exec)
		snprintf(err->hint, sizeof(err->hint), "see %.200s",
			 record_text(m->rec.o, "target", "log", ""));
	return ret;
}

static json_object *capability(const char *name, bool on)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "capability", json_object_new_string(name));
	json_object_object_add(o, "state", json_object_new_boolean(on));
	return o;
}

static int set_capabilities(struct qmp *q, struct ferry_err *err)
{
	static const char *const names[] = { "events", "return-path", "switchover-ack" };
	json_object *args = json_object_new_object(), *list = json_object_new_array();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		json_object_array_add(list, capability(names[i], true));
	json_object_object_add(args, "capabilities", list);
	return qmp_call(q, "migrate-set-capabilities", args, NULL, err);
}

static int set_parameters(struct move *m, struct ferry_err *err)
{
	json_object *args = json_object_new_object(), *v;

	v = record_get(m->params, "downtime_limit", NULL);
	if (v)
		json_object_object_add(args, "downtime-limit", json_object_get(v));
	v = record_get(m->params, "bandwidth", NULL);
	if (v)
		json_object_object_add(args, "max-bandwidth", json_object_get(v));
	return qmp_call(&m->src, "migrate-set-parameters", args, NULL, err);
}

static json_object *uri_args(const struct move *m)
{
	json_object *args = json_object_new_object();

	json_object_object_add(args, "uri", json_object_new_string(m->uri));
	return args;
}

static int prepare(struct move *m, struct ferry_err *err)
{
	json_object *rows = record_array(m->rec.o, "checks");
	const char *uri = option(m, "uri");
	char path[200];
	int ret = check_source(m, err);

	if (!ret)
		ret = ends_check(&m->ends, rows, err);
	if (!ret && !flag(m, "no_provision"))
		ret = ends_provision(&m->ends, &m->provisioned, err);
	if (!ret)
		ret = open_target(m, err);
	if (!ret)
		ret = check_target(m, err);
	if (!ret)
		ret = set_capabilities(&m->src, err);
	if (!ret)
		ret = set_capabilities(&m->dst, err);
	if (!ret)
		ret = set_parameters(m, err);
	if (!ret && !uri)
		ret = runtime_path(m, ".mig", path, sizeof(path), err);
	if (ret < 0)
		return ret;
	snprintf(m->uri, sizeof(m->uri), "%s%s", uri ? "" : "unix:", uri ? uri : path);
	json_object_object_add(record_object(m->rec.o, "target"), "uri", json_object_new_string(m->uri));
	ret = record_save(&m->rec, true, err);
	if (!ret)
		ret = qmp_call(&m->dst, "migrate-incoming", uri_args(m), NULL, err);
	m->prepared = !ret;
	return ret;
}

/* ------------------------------------------------------------------ migrate */

static void show_progress(struct move *m, json_object *q)
{
	double total = record_number(q, "ram", "total"), left = record_number(q, "ram", "remaining");
	double done = record_number(q, "ram", "transferred"), mbps = record_number(q, "ram", "mbps");
	double device = record_number(q, "vfio", "transferred");
	double percent = !strcmp(m->status, "completed") ? 100 : total > 0 ? 100 * (total - left) / total : 0;
	json_object *p = record_object(m->rec.o, "progress");

	percent = strcmp(m->status, "completed") && percent > 99.99 ? 99.99 : percent;
	json_object_object_add(p, "percent", json_object_new_double(percent));
	json_object_object_add(p, "ram_transferred", json_object_new_uint64((uint64_t)done));
	json_object_object_add(p, "ram_remaining", json_object_new_uint64((uint64_t)left));
	json_object_object_add(p, "device_transferred", json_object_new_uint64((uint64_t)device));
	json_object_object_add(p, "mbps", json_object_new_double(mbps));
	json_object_object_add(p, "dirty_pages_rate",
			       json_object_new_uint64((uint64_t)record_number(q, "ram", "dirty-pages-rate")));
	json_object_object_add(p, "status", json_object_new_string(m->status));
	if (m->cli->json || m->cli->quiet || flag(m, "no_progress") ||
	    (!isatty(STDERR_FILENO) && !m->cli->verbose))
		return;
	fprintf(stderr, "\rMigration: [%6.2f %%]  ram %.1f/%.1f MiB %.0f MiB/s  dirty %.0f pages/s  "
		"device %.1f KiB  %-12s", percent, (total - left) / 1048576, total / 1048576, mbps / 8.388608,
		record_number(q, "ram", "dirty-pages-rate"), device / 1024, m->status);
	m->progress_shown = true;
	fflush(stderr);
}

static void add_sample(struct move *m, json_object *q)
{
	bool target = m->resume_ns;
	uint64_t ios = 0, bytes = 0;
	json_object *s = json_object_new_object();

	json_object_object_add(s, "t_ns", json_object_new_uint64(record_now_ns()));
	json_object_object_add(s, "ram_transferred",
			       json_object_new_uint64((uint64_t)record_number(q, "ram", "transferred")));
	json_object_object_add(s, "ram_remaining",
			       json_object_new_uint64((uint64_t)record_number(q, "ram", "remaining")));
	if (m->ends.src >= 0 && ends_counters(&m->ends, target, &ios, &bytes)) {
		json_object_object_add(s, "side", json_object_new_string(target ? "target" : "source"));
		json_object_object_add(s, "ios", json_object_new_uint64(ios));
		json_object_object_add(s, "io_bytes", json_object_new_uint64(bytes));
	}
	json_object_array_add(record_array(m->rec.o, "samples"), s);
}

static void take_totals(struct move *m, json_object *q)
{
	json_object *t = record_object(m->rec.o, "totals");
	static const struct { const char *key, *from, *sub; } map[] = {
		{ "total_ms", "total-time", NULL }, { "downtime_ms", "downtime", NULL },
		{ "setup_ms", "setup-time", NULL }, { "ram_bytes", "ram", "transferred" },
		{ "ram_total_bytes", "ram", "total" }, { "device_bytes", "vfio", "transferred" },
		{ "rounds", "ram", "dirty-sync-count" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (record_get(q, map[i].from, map[i].sub))
			json_object_object_add(t, map[i].key, json_object_new_uint64((uint64_t)
					       record_number(q, map[i].from, map[i].sub)));
}

/* The source's word on how it stands; from an event or an answer. */
static void take_status(struct move *m, const char *status, uint64_t t_ns)
{
	static const struct { const char *status, *phase; } phases[] = {
		{ "setup", "setup" }, { "active", "pre-copy" }, { "pre-switchover", "switch-over" },
		{ "device", "switch-over" }, { "cancelling", "cancelling" },
	};
	unsigned int i;

	if (m->end != END_NONE)
		return;
	snprintf(m->status, sizeof(m->status), "%s", status);
	for (i = 0; i < ARRAY_SIZE(phases); i++)
		if (!strcmp(phases[i].status, status) && !(m->stop_ns && !strcmp(status, "active")))
			phase(m, phases[i].phase, t_ns);
	if (!strcmp(status, "completed"))
		m->end = END_COMPLETED;
	else if (!strcmp(status, "failed"))
		m->end = END_FAILED;
	else if (!strcmp(status, "cancelled"))
		m->end = END_CANCELLED;
}

static void take_answer(struct move *m, struct qmp *q, struct qmp_message *msg)
{
	json_object *ret = record_get(msg->body, "return", NULL);

	if (q == &m->dst) {
		m->dst_asked = 0;
		return;
	}
	m->src_asked = 0;
	if (!ret)
		return;
	take_status(m, record_text(ret, "status", NULL, ""), record_now_ns());
	show_progress(m, ret);
	add_sample(m, ret);
	take_totals(m, ret);
	tell(m, "progress", record_get(m->rec.o, "progress", NULL));
	if (m->end == END_FAILED && record_get(ret, "error-desc", NULL)) {
		struct ferry_err err = { 0 };

		ferry_err_set(&err, EIO, "E-QMP", NULL, "source QEMU: %.300s",
			      record_text(ret, "error-desc", NULL, ""));
		record_reason(m->rec.o, &err);
	}
}

static void device_event(struct move *m, const char *side, json_object *data, uint64_t t_ns)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "device", json_object_new_string(record_text(data, "device-id", NULL, "?")));
	json_object_object_add(o, "side", json_object_new_string(side));
	json_object_object_add(o, "to", json_object_new_string(record_text(data, "device-state", NULL, "?")));
	json_object_object_add(o, "t_ns", json_object_new_uint64(t_ns));
	json_object_array_add(record_array(m->rec.o, "device_events"), o);
}

static void take_event(struct move *m, struct qmp *q, const char *name, json_object *data, uint64_t t_ns)
{
	bool source = q == &m->src;

	if (!strcmp(name, "MIGRATION") && source)
		take_status(m, record_text(data, "status", NULL, ""), t_ns);
	else if (!strcmp(name, "MIGRATION_PASS") && source)
		json_object_array_add(record_array(m->rec.o, "passes"), json_object_new_uint64(t_ns));
	else if (!strcmp(name, "VFIO_MIGRATION"))
		device_event(m, q->name, data, t_ns);
	else if (!strcmp(name, "STOP") && source && m->prepared) {
		m->stop_ns = t_ns;
		phase(m, "stopped", t_ns);
	} else if (!strcmp(name, "RESUME") && !source) {
		m->resume_ns = t_ns;
		m->dst_ran = true;
		phase(m, "finish", t_ns);
	} else if (!strcmp(name, "RESUME") && source && m->stop_ns && !m->dst_ran)
		phase(m, "rolled back", t_ns);
	tell(m, name, data);
}

/* All that @q has said. An answer that nobody asked for here is a leftover. */
static void take_all(struct move *m, struct qmp *q)
{
	struct qmp_message *msg;
	json_object *data;
	const char *name;
	uint64_t t_ns;

	while ((msg = qmp_take(q))) {
		name = qmp_event(msg, &data, &t_ns);
		if (name)
			take_event(m, q, name, data, t_ns);
		else if ((int64_t)msg->id == (q == &m->src ? m->src_asked : m->dst_asked))
			take_answer(m, q, msg);
		qmp_message_free(msg);
	}
}

static void ask(struct move *m)
{
	if (!m->src_asked && !m->src.lost)
		m->src_asked = MAX(qmp_send(&m->src, "query-migrate", NULL), 0);
	if (now_ms() - m->saved_ms >= SAVE_MS) {
		m->saved_ms = now_ms();
		(void)record_save(&m->rec, false, NULL);
	}
}

static void cancel(struct move *m, const char *why)
{
	struct ferry_err err = { 0 };

	if (m->cancelled)
		return;
	m->cancelled = true;
	ferry_err_set(&err, ECANCELED, "E-MIGRATION-ABORTED", NULL, "%s", why);
	record_reason(m->rec.o, &err);
	if (!m->src.lost)
		(void)qmp_send(&m->src, "migrate_cancel", NULL);
}

/* Until the source has said how it ended, or is gone. */
static void watch(struct move *m)
{
	struct qmp *both[2] = { &m->src, &m->dst };
	uint64_t next = now_ms(), limit = (uint64_t)record_number(m->params, "timeout", NULL) * 1000;
	uint64_t end = limit ? now_ms() + limit : UINT64_MAX, lost_at = 0;

	while (m->end == END_NONE && !m->src.lost) {
		if (interrupted)
			cancel(m, "it was aborted");
		if (now_ms() > end)
			cancel(m, "it took longer than --timeout");
		if (now_ms() >= next) {
			ask(m);
			next = now_ms() + TICK_MS;
		}
		(void)qmp_wait(both, 2, (int)MAX((int64_t)(next - now_ms()), 1));
		take_all(m, &m->src);
		if (both[1])
			take_all(m, &m->dst);
		/* The source notices by itself, as a rule. */
		if (m->dst.lost && !lost_at)
			lost_at = now_ms();
		if (m->dst.lost)
			both[1] = NULL;
		if (lost_at && now_ms() - lost_at > SETTLE_MS / 3)
			cancel(m, "the target QEMU is gone");
	}
}

/* ------------------------------------------------------------------- settle */

/* Ends the process behind @q: asked, then killed if it is ours to kill. True: it is gone. */
static bool end_qemu(struct move *m, struct qmp *q, pid_t group)
{
	struct qmp *const one[] = { q };
	uint64_t end = now_ms() + SETTLE_MS;

	if (!q->lost)
		(void)qmp_send(q, "quit", NULL);
	while (!q->lost && now_ms() < end) {
		(void)qmp_wait(one, 1, TICK_MS);
		take_all(m, q);
	}
	if (group > 0) {
		if (!q->lost)
			kill(-group, SIGKILL);
		while (now_ms() < end + SETTLE_MS && !waitpid(group, NULL, WNOHANG))
			usleep(10000);
		kill(-group, SIGKILL);
		q->lost = q->lost ? q->lost : -ECONNRESET;
	}
	return q->lost;
}

/* The target's monitor says that its VM runs. */
static bool target_runs(struct move *m)
{
	char state[32];
	struct ferry_err err = { 0 };

	if (m->dst.lost)
		return false;
	if (run_state(&m->dst, state, sizeof(state), &err) < 0)
		return false;
	take_all(m, &m->dst);
	return !strcmp(state, "running");
}

/* The target has it all: it has to run, if the source did. */
static int settle_forward(struct move *m, struct ferry_err *err)
{
	uint64_t end = now_ms() + SETTLE_MS;
	char state[32] = "";

	while (!m->dst.lost && now_ms() < end) {
		if (run_state(&m->dst, state, sizeof(state), err) < 0)
			break;
		take_all(m, &m->dst);
		if (!strcmp(state, "running") || (!m->was_running && !strcmp(state, "paused")))
			break;
		if (m->was_running && (!strcmp(state, "paused") || !strcmp(state, "prelaunch")))
			(void)qmp_call(&m->dst, "cont", NULL, NULL, err);
		usleep(10000);
	}
	if (m->dst.lost)
		return ferry_err_set(err, ECONNRESET, "E-TARGET-LOST", NULL,
				     "the target QEMU ended after it had taken over");
	if (m->was_running && strcmp(state, "running"))
		return ferry_err_set(err, EIO, "E-TARGET-STATE", NULL,
				     "the target has taken over, but is %s", state);
	err->num = 0;
	if (!flag(m, "keep_source") && !m->src.lost && !end_qemu(m, &m->src, 0))
		log_msg(LOG_WARN, "the source QEMU (pid %d) did not end", (int)m->src.peer);
	return 0;
}

/* The source goes on, after the target is certainly gone. */
static int settle_back(struct move *m, struct ferry_err *err)
{
	char state[32];
	int ret;

	if (target_runs(m))
		return ferry_err_set(err, EBUSY, "E-TARGET-RUNS", "look at both",
				     "the migration failed, but the target runs; the source stays stopped");
	if (m->dst.fd >= 0 && !end_qemu(m, &m->dst, m->exec))
		return ferry_err_set(err, EBUSY, "E-TARGET-ALIVE", "kill it, then continue the source",
				     "the target QEMU (pid %d) does not end; the source stays stopped",
				     (int)m->dst.peer);
	if (m->src.lost)
		return ferry_err_set(err, ECONNRESET, "E-QMP-LOST", NULL, "the source QEMU is gone");
	ret = run_state(&m->src, state, sizeof(state), err);
	if (!ret && m->was_running && strcmp(state, "running"))
		ret = qmp_call(&m->src, "cont", NULL, NULL, err);
	take_all(m, &m->src);
	return ret;
}

static void last_totals(struct move *m)
{
	json_object *q = NULL;

	if (m->src.lost || qmp_call(&m->src, "query-migrate", NULL, &q, NULL) < 0)
		return;
	take_totals(m, q);
	add_sample(m, q);
	show_progress(m, q);
	if (m->end == END_FAILED && record_get(q, "error-desc", NULL) &&
	    !record_get(m->rec.o, "reasons", NULL)) {
		struct ferry_err err = { 0 };

		ferry_err_set(&err, EIO, "E-QMP", NULL, "source QEMU: %.300s",
			      record_text(q, "error-desc", NULL, ""));
		record_reason(m->rec.o, &err);
	}
	json_object_put(q);
}

static const char *settle(struct move *m, struct ferry_err *err)
{
	bool forward;
	int ret;

	last_totals(m);
	/* A source that died may have said it all before: then the target runs, or soon will. */
	forward = m->end == END_COMPLETED || m->dst_ran || (m->src.lost && target_runs(m));
	ret = forward ? settle_forward(m, err) : settle_back(m, err);
	if (m->stop_ns && m->resume_ns > m->stop_ns)
		json_object_object_add(record_object(m->rec.o, "totals"), "stopped_us",
				       json_object_new_uint64((m->resume_ns - m->stop_ns) / 1000));
	if (m->progress_shown)
		fputc('\n', stderr);
	if (ret < 0)
		record_reason(m->rec.o, err);
	if (forward)
		return ret < 0 ? "failed" : "completed";
	if (!m->provisioned)
		return m->cancelled ? "aborted" : "failed";
	ends_withdraw(&m->ends, m->provisioned);
	return m->cancelled ? "aborted" : "failed";
}

/* -------------------------------------------------------------------- start */

static int migrate(struct move *m, struct ferry_err *err)
{
	int ret = prepare(m, err);

	if (ret < 0)
		return ret;
	if (interrupted)
		return ferry_err_set(err, ECANCELED, "E-MIGRATION-ABORTED", NULL, "it was aborted");
	m->start_ns = record_now_ns();
	phase(m, "setup", m->start_ns);
	return qmp_call(&m->src, "migrate", uri_args(m), NULL, err);
}

static void finish(struct move *m, const char *result)
{
	char when[32];
	struct ferry_err err = { 0 };

	phase(m, NULL, record_now_ns());
	json_object_object_add(m->rec.o, "ended_at", json_object_new_string(record_time(when)));
	json_object_object_add(m->rec.o, "result", json_object_new_string(result));
	if (record_save(&m->rec, true, &err) < 0)
		out_error(m->cli, "migration", m->rec.id, &err);
	tell(m, "end", m->rec.o);
}

/* Nothing has moved: what was prepared is undone. */
static void undo(struct move *m)
{
	struct ferry_err ignored = { 0 };

	if (m->exec > 0 && m->dst.fd < 0) {
		kill(-m->exec, SIGKILL);
		(void)waitpid(m->exec, NULL, 0);
	} else if (m->dst.fd >= 0 && (m->exec > 0 || m->prepared)) {
		(void)end_qemu(m, &m->dst, m->exec);
	}
	if (m->provisioned)
		ends_withdraw(&m->ends, m->provisioned);
	(void)ignored;
}

static void describe_ends(struct move *m)
{
	static const char *const keys[][3] = {
		{ "source", "qmp", "qmp" }, { "target", "to", "ctl" }, { "target", "to_qmp", "qmp" },
		{ "target", "to_exec", "exec" },
	};
	unsigned int i;

	json_object_object_add(record_object(m->rec.o, "source"), "host",
			       json_object_new_string(m->cli->host));
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (option(m, keys[i][1]))
			json_object_object_add(record_object(m->rec.o, keys[i][0]), keys[i][2],
					       json_object_new_string(option(m, keys[i][1])));
	json_object_object_add(m->rec.o, "functions", json_object_get(m->ends.functions));
}

static int check_options(const struct move *m, struct ferry_err *err)
{
	if (!option(m, "qmp"))
		return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "--qmp is missing: the source's monitor");
	if (!option(m, "to_qmp") == !option(m, "to_exec"))
		return ferry_err_set(err, EINVAL, "E-USAGE", NULL, "give one of --to-qmp and --to-exec");
	if (option(m, "address") && !option(m, "to"))
		return ferry_err_set(err, EINVAL, "E-USAGE", "--to unix:PATH",
				     "--to is missing: the target's control socket");
	return 0;
}

int verb_migration_start(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	struct move m = { .cli = cli, .params = params, .ends = { .src = -1, .dst = -1 },
			  .src.fd = -1, .dst.fd = -1 };
	struct ferry_err err = { 0 };
	const char *result;
	int ret = check_options(&m, &err);

	if (ret < 0)
		return out_error(cli, "migration", NULL, &err);
	catch_signals();
	ret = ends_open(cli, params, &m.ends, &err);
	if (!ret)
		ret = record_new(&m.rec, &err);
	if (ret < 0) {
		ends_close(&m.ends);
		return out_error(cli, "migration", NULL, &err);
	}
	describe_ends(&m);
	ret = qmp_open(&m.src, "source", option(&m, "qmp"), 0, NULL, NULL, &err);
	if (!ret)
		ret = migrate(&m, &err);
	if (ret < 0) {
		undo(&m);
		record_reason(m.rec.o, &err);
		result = ret == -ECANCELED ? "aborted" : m.start_ns ? "failed" : "refused";
	} else {
		watch(&m);
		result = settle(&m, &err);
	}
	finish(&m, result);
	if (!strncmp(m.uri, "unix:", 5))
		(void)unlink(m.uri + 5);
	if (!cli->json && !cli->quiet)
		migration_summary(cli, m.rec.o);
	else if (ret < 0)
		out_error(cli, "migration", m.rec.id, &err);
	ret = migration_exit(m.rec.o);
	qmp_close(&m.src);
	qmp_close(&m.dst);
	ends_close(&m.ends);
	record_release(&m.rec);
	return ret;
}
