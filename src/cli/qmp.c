/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* QEMU's monitor: JSON values on a UNIX socket, one answer per command, events in between. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "cli/qmp.h"

#define POLL_MS 20
#define READ_SIZE 16384

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- messages */

void qmp_message_free(struct qmp_message *m)
{
	if (!m)
		return;
	list_del(&m->link);
	json_object_put(m->body);
	free(m);
}

struct qmp_message *qmp_take(struct qmp *q)
{
	struct qmp_message *m;

	if (list_empty(&q->inbox))
		return NULL;
	m = list_first(&q->inbox, struct qmp_message, link);
	list_del(&m->link);
	return m;
}

static uint64_t number(json_object *o, const char *key)
{
	json_object *v;

	return o && json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

const char *qmp_event(const struct qmp_message *m, json_object **data, uint64_t *t_ns)
{
	json_object *name, *stamp = NULL;

	if (!json_object_object_get_ex(m->body, "event", &name))
		return NULL;
	*data = NULL;
	json_object_object_get_ex(m->body, "data", data);
	json_object_object_get_ex(m->body, "timestamp", &stamp);
	*t_ns = number(stamp, "seconds") * 1000000000u + number(stamp, "microseconds") * 1000u;
	return json_object_get_string(name);
}

static int keep(struct qmp *q, json_object *body)
{
	struct qmp_message *m = calloc(1, sizeof(*m));

	if (!m) {
		json_object_put(body);
		return -ENOMEM;
	}
	m->id = number(body, "id");
	m->body = body;
	list_add_tail(&q->inbox, &m->link);
	return 0;
}

/* ------------------------------------------------------------------ reading */

static int take_bytes(struct qmp *q, const char *buf, size_t len)
{
	while (len) {
		json_object *o = json_tokener_parse_ex(q->tok, buf, (int)len);
		enum json_tokener_error e = json_tokener_get_error(q->tok);
		size_t used = json_tokener_get_parse_end(q->tok);
		int ret;

		if (e == json_tokener_continue)
			return 0;
		if (e != json_tokener_success)
			return -EPROTO;
		json_tokener_reset(q->tok);
		buf += used;
		len -= used;
		if (!json_object_is_type(o, json_type_object)) {
			json_object_put(o);
			return -EPROTO;
		}
		ret = keep(q, o);
		if (ret)
			return ret;
		/* White space after a value would begin the next. */
		for (; len && (*buf == '\r' || *buf == '\n' || *buf == ' '); buf++)
			len--;
	}
	return 0;
}

/* All that is there. */
static void receive(struct qmp *q)
{
	char buf[READ_SIZE];

	while (!q->lost) {
		ssize_t n = recv(q->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		q->lost = n < 0 ? -errno : n ? take_bytes(q, buf, (size_t)n) : -ECONNRESET;
	}
}

int qmp_wait(struct qmp *const *q, unsigned int nr, int ms)
{
	uint64_t end = now_ms() + (uint64_t)MAX(ms, 0), t;
	struct pollfd p[4];
	unsigned int i;
	int ret;

	assert(nr <= ARRAY_SIZE(p));
	for (;;) {
		for (i = 0; i < nr; i++)
			if (q[i] && (!list_empty(&q[i]->inbox) || q[i]->lost))
				return (int)i;
		t = now_ms();
		if (ms >= 0 && t > end)
			return -ETIMEDOUT;
		for (i = 0; i < nr; i++)
			p[i] = (struct pollfd){ .fd = q[i] ? q[i]->fd : -1, .events = POLLIN };
		ret = poll(p, nr, ms < 0 ? -1 : (int)(end - t));
		if (ret < 0)
			return -errno;
		if (!ret)
			return -ETIMEDOUT;
		for (i = 0; i < nr; i++)
			if (p[i].revents)
				receive(q[i]);
	}
}

/* ------------------------------------------------------------------ sending */

int64_t qmp_send(struct qmp *q, const char *command, json_object *args)
{
	json_object *o = json_object_new_object();
	uint64_t id = ++q->next_id;
	const char *text;
	size_t len, done = 0;

	json_object_object_add(o, "execute", json_object_new_string(command));
	json_object_object_add(o, "id", json_object_new_uint64(id));
	if (args)
		json_object_object_add(o, "arguments", args);
	text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	while (!q->lost && done < len) {
		ssize_t n = send(q->fd, text + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			q->lost = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	json_object_put(o);
	return q->lost ? q->lost : (int64_t)id;
}

static int lost(const struct qmp *q, const char *command, struct ferry_err *err)
{
	return ferry_err_set(err, -q->lost, "E-QMP-LOST", NULL, "%s QEMU is gone (%s: %s)", q->name,
			     command, strerror(-q->lost));
}

static struct qmp_message *take_answer(struct qmp *q, uint64_t id)
{
	struct qmp_message *m;

	list_for_each(m, &q->inbox, link)
		if (m->id == id) {
			list_del(&m->link);
			return m;
		}
	return NULL;
}

static int answer(struct qmp *q, const char *command, struct qmp_message *m, json_object **result,
		  struct ferry_err *err)
{
	json_object *v, *desc = NULL;
	int ret = 0;

	if (json_object_object_get_ex(m->body, "error", &v)) {
		json_object_object_get_ex(v, "desc", &desc);
		ret = ferry_err_set(err, EIO, "E-QMP", NULL, "%s QEMU: %s: %.300s", q->name, command,
				    desc ? json_object_get_string(desc) : "error");
	} else if (result) {
		*result = json_object_object_get_ex(m->body, "return", &v) ? json_object_get(v) : NULL;
	}
	qmp_message_free(m);
	return ret;
}

int qmp_call(struct qmp *q, const char *command, json_object *args, json_object **result,
	     struct ferry_err *err)
{
	int64_t id = qmp_send(q, command, args);
	uint64_t end = now_ms() + QMP_ANSWER_MS;
	struct qmp_message *m;
	struct pollfd p;

	while (id > 0) {
		m = take_answer(q, (uint64_t)id);
		if (m)
			return answer(q, command, m, result, err);
		if (q->lost)
			break;
		if (now_ms() >= end)
			return ferry_err_set(err, ETIMEDOUT, "E-QMP-TIMEOUT", NULL,
					     "%s QEMU does not answer %s", q->name, command);
		p = (struct pollfd){ .fd = q->fd, .events = POLLIN };
		if (poll(&p, 1, POLL_MS * 10) > 0)
			receive(q);
	}
	return lost(q, command, err);
}

/* --------------------------------------------------------------- open, close */

static int connect_path(const char *path)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_close int file = -1;

	if (fd < 0)
		return -errno;
	/* Through /proc, so that the length of the path does not matter. */
	file = open(path, O_PATH | O_CLOEXEC);
	if (file < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", file);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : take_fd(&fd);
}

static int greeting(struct qmp *q, struct ferry_err *err)
{
	struct qmp *const one[] = { q };
	struct qmp_message *m = NULL;
	int ret;

	do {
		ret = qmp_wait(one, 1, (int)QMP_ANSWER_MS);
	} while (ret == -EINTR);
	if (!ret)
		m = qmp_take(q);
	if (!m || !json_object_object_get_ex(m->body, "QMP", NULL)) {
		qmp_message_free(m);
		return ferry_err_set(err, ret < 0 ? -ret : EPROTO, "E-QMP-OPEN",
				     "another program may be connected to it",
				     "%s QEMU: no monitor answers", q->name);
	}
	qmp_message_free(m);
	return qmp_call(q, "qmp_capabilities", NULL, NULL, err);
}

int qmp_open(struct qmp *q, const char *name, const char *path, unsigned int wait_ms,
	     bool (*alive)(void *arg), void *arg, struct ferry_err *err)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	uint64_t end = now_ms() + wait_ms;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int ret;

	*q = (struct qmp){ .name = name, .fd = -1 };
	list_init(&q->inbox);
	for (;;) {
		q->fd = connect_path(path);
		if (q->fd >= 0 || (q->fd != -ENOENT && q->fd != -ECONNREFUSED) ||
		    now_ms() >= end || (alive && !alive(arg)))
			break;
		nanosleep(&pause, NULL);
	}
	if (q->fd < 0)
		return ferry_err_set(err, -q->fd, "E-QMP-OPEN",
				     "start QEMU with -qmp unix:PATH,server=on,wait=off",
				     "%s QEMU: %s: %s", name, path, strerror(-q->fd));
	if (!getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		q->peer = cred.pid;
	q->tok = json_tokener_new();
	ret = q->tok ? greeting(q, err) : ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	if (ret < 0)
		qmp_close(q);
	return ret;
}

void qmp_close(struct qmp *q)
{
	struct qmp_message *m;

	while (q->inbox.next && (m = qmp_take(q)))
		qmp_message_free(m);
	if (q->fd >= 0)
		close(q->fd);
	if (q->tok)
		json_tokener_free(q->tok);
	*q = (struct qmp){ .fd = -1 };
	list_init(&q->inbox);
}
