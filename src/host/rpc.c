/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Connections. Input is read into one bounded buffer and cut at newlines; a
 * request runs as soon as its line is complete. Its reply may come later and
 * from any thread: rpc_reply() leaves it with the call and queues a task, and
 * the control thread writes it. A client that does not read its replies, or
 * has too many requests unanswered, is not read from until that changes.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "host/rpc.h"

#define RPC_PARSE_ERROR (-32700)
#define RPC_INVALID_REQUEST (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS (-32602)
#define RPC_FAILED (-32000)

struct rpc_conn {
	struct host *h;
	int fd;
	struct list link;
	struct list calls;		/* struct rpc_call, not answered yet */
	unsigned int nr_calls;
	char *in;			/* RPC_LINE_MAX + 1 bytes */
	size_t in_len;
	int fds[RPC_FDS_MAX];		/* came with the line that is being read */
	unsigned int nr_fds;
	char *out;
	size_t out_len, out_size;
	bool closing;			/* nothing more is read; closed when @out is written */
	uint32_t armed;
};

static void close_fds(int *fds, unsigned int *nr)
{
	while (*nr)
		close(fds[--*nr]);
}

static void conn_free(struct rpc_conn *c)
{
	struct rpc_call *call;

	list_for_each(call, &c->calls, link)
		call->conn = NULL;
	while (!list_empty(&c->calls))
		list_del(c->calls.next);
	list_del(&c->link);
	c->h->nr_conns--;
	close_fds(c->fds, &c->nr_fds);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* ----------------------------------------------------------------- output */

static bool conn_may_read(const struct rpc_conn *c)
{
	return !c->closing && !c->out_len && c->nr_calls < RPC_CALLS_MAX;
}

/* Returns false when the connection is gone. */
static bool conn_flush(struct rpc_conn *c)
{
	struct epoll_event ev = { .data.ptr = c };

	while (c->out_len) {
		ssize_t n = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_free(c);
			return false;
		}
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
	if (c->closing && !c->out_len && !c->nr_calls) {
		conn_free(c);
		return false;
	}
	ev.events = (conn_may_read(c) ? (uint32_t)EPOLLIN : 0) | (c->out_len ? (uint32_t)EPOLLOUT : 0);
	if (ev.events != c->armed && !epoll_ctl(c->h->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev))
		c->armed = ev.events;
	return true;
}

static int out_append(struct rpc_conn *c, const char *text, size_t len)
{
	size_t want = c->out_len + len + 1;

	if (want > RPC_OUT_MAX)
		return -ENOBUFS;
	if (want > c->out_size) {
		char *p = realloc(c->out, want);

		if (!p)
			return -ENOMEM;
		c->out = p;
		c->out_size = want;
	}
	memcpy(c->out + c->out_len, text, len);
	c->out[c->out_len + len] = '\n';
	c->out_len = want;
	return 0;
}

/* Takes @msg over. */
static void conn_send(struct rpc_conn *c, json_object *msg)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		msg, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	if (!text || out_append(c, text, len) < 0) {
		log_msg(LOG_WARN, "control: a client does not read its replies");
		c->closing = true;
		c->out_len = 0;
	}
	json_object_put(msg);
}

static json_object *error_message(int code, const struct ferry_err *err)
{
	json_object *msg = json_object_new_object(), *e = json_object_new_object();
	json_object *data = json_object_new_object();

	json_object_object_add(data, "code", json_object_new_string(err->code ? err->code : "E-FAILED"));
	json_object_object_add(data, "errno", json_object_new_int(err->num));
	json_object_object_add(data, "hint", json_object_new_string(err->hint));
	json_object_object_add(e, "code", json_object_new_int(code));
	json_object_object_add(e, "message", json_object_new_string(err->msg));
	json_object_object_add(e, "data", data);
	json_object_object_add(msg, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(msg, "error", e);
	return msg;
}

/* Takes @id over. */
static void conn_error(struct rpc_conn *c, json_object *id, int code, const struct ferry_err *err)
{
	json_object *msg = error_message(code, err);

	json_object_object_add(msg, "id", id);
	conn_send(c, msg);
}

/* ------------------------------------------------------------------ calls */

static void call_free(struct rpc_call *call)
{
	close_fds(call->fds, &call->nr_fds);
	json_object_put(call->id);
	json_object_put(call->params);
	json_object_put(call->result);
	free(call);
}

static void call_answer(struct host_task *t)
{
	struct rpc_call *call = container_of(t, struct rpc_call, task);
	struct rpc_conn *c = call->conn;
	json_object *msg;

	if (c) {
		list_del(&call->link);
		c->nr_calls--;
		if (call->want_reply) {
			if (call->err.num) {
				msg = error_message(RPC_FAILED, &call->err);
			} else {
				msg = json_object_new_object();
				json_object_object_add(msg, "jsonrpc", json_object_new_string("2.0"));
				json_object_object_add(msg, "result", take_ptr(call->result));
			}
			json_object_object_add(msg, "id", take_ptr(call->id));
			conn_send(c, msg);
		}
	}
	call_free(call);
	if (c)
		rpc_conn_event(c, 0);
}

void rpc_reply(struct rpc_call *c, json_object *result)
{
	c->result = result ? result : json_object_new_object();
	host_task_queue(c->h, &c->task);
}

void rpc_fail(struct rpc_call *c, const struct ferry_err *err)
{
	c->err = *err;
	if (!c->err.num)
		c->err.num = EIO;
	host_task_queue(c->h, &c->task);
}

const struct rpc_method *rpc_method_find(const char *name)
{
	const struct rpc_method *m;

	for (m = rpc_methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

/* Takes the connection's fds, and references of its own of @id and @params. */
static void call_start(struct rpc_conn *c, const struct rpc_method *m, json_object *id,
		       bool want_reply, json_object *params)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (!call) {
		c->closing = true;
		return;
	}
	*call = (struct rpc_call){
		.h = c->h, .conn = c, .method = m, .want_reply = want_reply,
		.id = json_object_get(id), .params = json_object_get(params),
		.task.fn = call_answer,
	};
	list_init(&call->task.link);
	while (c->nr_fds > m->max_fds)
		close(c->fds[--c->nr_fds]);
	memcpy(call->fds, c->fds, sizeof(call->fds));
	call->nr_fds = c->nr_fds;
	c->nr_fds = 0;
	list_add_tail(&c->calls, &call->link);
	c->nr_calls++;
	m->fn(call);
}

static bool is_request(json_object *req)
{
	json_object *version, *method, *id;

	if (!json_object_is_type(req, json_type_object) ||
	    !json_object_object_get_ex(req, "jsonrpc", &version) ||
	    !json_object_is_type(version, json_type_string) ||
	    strcmp(json_object_get_string(version), "2.0") != 0 ||
	    !json_object_object_get_ex(req, "method", &method) ||
	    !json_object_is_type(method, json_type_string))
		return false;
	return !json_object_object_get_ex(req, "id", &id) || !id ||
	       json_object_is_type(id, json_type_string) || json_object_is_type(id, json_type_int);
}

/* 0 and @m, or the protocol's error code. */
static int check_request(json_object *req, json_object *params, const struct rpc_method **m,
			 struct ferry_err *err)
{
	const char *name = rpc_str(req, "method", "");

	*m = rpc_method_find(name);
	if (!*m) {
		ferry_err_set(err, ENOSYS, "E-RPC-METHOD", "schema_get lists them",
			      "no method %.100s", name);
		return RPC_METHOD_NOT_FOUND;
	}
	if (!json_object_is_type(params, json_type_object)) {
		ferry_err_set(err, EINVAL, "E-PARAM-TYPE", NULL, "params is no object");
		return RPC_INVALID_PARAMS;
	}
	return rpc_check((*m)->params, params, err) < 0 ? RPC_INVALID_PARAMS : 0;
}

static void handle_request(struct rpc_conn *c, json_object *req)
{
	json_object *id = NULL, *given, *params;
	const struct rpc_method *m;
	struct ferry_err err = { 0 };
	bool has_id;
	int code;

	if (!is_request(req)) {
		ferry_err_set(&err, EINVAL, "E-RPC-REQUEST", NULL, "not a JSON-RPC 2.0 request");
		conn_error(c, NULL, RPC_INVALID_REQUEST, &err);
		return;
	}
	has_id = json_object_object_get_ex(req, "id", &id);
	params = json_object_object_get_ex(req, "params", &given) ? json_object_get(given)
								   : json_object_new_object();
	code = check_request(req, params, &m, &err);
	if (!code)
		call_start(c, m, id, has_id, params);
	else if (has_id)
		conn_error(c, json_object_get(id), code, &err);
	json_object_put(params);
}

static void handle_line(struct rpc_conn *c, const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(RPC_DEPTH_MAX);
	json_object *req = NULL;
	struct ferry_err err = { 0 };

	if (tok) {
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		req = json_tokener_parse_ex(tok, line, (int)len);
	}
	/* A lone number at the end of the text could go on, as far as the parser knows: still an error. */
	if (!tok || json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len) {
		ferry_err_set(&err, EINVAL, "E-RPC-PARSE", NULL, "not JSON: %s",
			      tok ? json_tokener_error_desc(json_tokener_get_error(tok)) : "no memory");
		conn_error(c, NULL, RPC_PARSE_ERROR, &err);
	} else {
		handle_request(c, req);
	}
	close_fds(c->fds, &c->nr_fds);
	json_object_put(req);
	if (tok)
		json_tokener_free(tok);
}

/* ------------------------------------------------------------------ input */

static void take_fds(struct rpc_conn *c, struct msghdr *mh)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t i, n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (c->nr_fds < RPC_FDS_MAX)
				c->fds[c->nr_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Runs complete lines until the connection must not be read. Did any run? */
static bool run_lines(struct rpc_conn *c)
{
	size_t at = 0;

	while (conn_may_read(c)) {
		char *nl = memchr(c->in + at, '\n', c->in_len - at);

		if (!nl)
			break;
		if (nl > c->in + at)
			handle_line(c, c->in + at, (size_t)(nl - (c->in + at)));
		at = (size_t)(nl - c->in) + 1;
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
	if (conn_may_read(c) && c->in_len > RPC_LINE_MAX) {
		struct ferry_err err = { 0 };

		ferry_err_set(&err, EMSGSIZE, "E-RPC-TOO-LARGE", NULL,
			      "a request has more than %u bytes", RPC_LINE_MAX);
		conn_error(c, NULL, RPC_INVALID_REQUEST, &err);
		c->closing = true;
	}
	return at > 0;
}

static void conn_read(struct rpc_conn *c)
{
	/* One more than is allowed: a line that fills the buffer is too long. */
	struct iovec iov = { c->in + c->in_len, RPC_LINE_MAX + 1 - c->in_len };
	union {
		char buf[CMSG_SPACE(sizeof(int) * RPC_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* Answers to what was asked before the client shut down still go out. */
		c->closing = true;
		return;
	}
	take_fds(c, &mh);
	c->in_len += (size_t)n;
}

/* @events 0: replies were added, or calls answered; what waits in the buffer may run now. */
void rpc_conn_event(struct rpc_conn *c, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN)) {
		conn_free(c);
		return;
	}
	if (events & EPOLLIN && conn_may_read(c))
		conn_read(c);
	/* Replies of one turn go out before the next request runs. */
	do {
		if (!conn_flush(c))
			return;
	} while (run_lines(c));
	conn_flush(c);
}

int rpc_conn_add(struct host *h, int fd)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int ret;

	if (!c)
		return -ENOMEM;
	c->in = malloc(RPC_LINE_MAX + 1);
	if (!c->in || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		ret = c->in ? -errno : -ENOMEM;
		free(c->in);
		free(c);
		return ret;
	}
	c->h = h;
	c->fd = fd;
	c->armed = EPOLLIN;
	list_init(&c->calls);
	list_add_tail(&h->conns, &c->link);
	h->nr_conns++;
	return 0;
}

void rpc_conn_close_all(struct host *h)
{
	struct rpc_conn *c, *tmp;

	list_for_each_safe(c, tmp, &h->conns, link)
		conn_free(c);
}
