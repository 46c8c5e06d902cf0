/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * One trapped system call, from its notification to its one answer, and what
 * the objects may ask of the client meanwhile (vfio_call_ops).
 *
 * A call is the receiver's until its operation returns -EINPROGRESS; from
 * then on it belongs to whoever completes it, perhaps before that return.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "session.h"

static void vfio_complete(struct vfio_call *vc, int64_t ret)
{
	struct uapi_call *c = container_of(vc, struct uapi_call, vc);
	struct uapi_session *s = c->s;

	if (!vc->finish && (!vc->new_file || ret < 0)) {
		call_answer(c, ret < 0 ? ret : ret + c->moved);
		return;
	}
	/* Installing a descriptor, reaching the client's memory wait for the client: not here. */
	pthread_mutex_lock(&s->lock);
	c->result = ret;
	list_add_tail(&s->finish, &c->link);
	session_wake(s);
	pthread_mutex_unlock(&s->lock);
}

static void attr_complete(struct uapi_attr_call *ac, int64_t ret)
{
	call_answer(container_of(ac, struct uapi_call, ac), ret);
}

/* NULL: too many calls are waiting. */
struct uapi_call *call_alloc(struct uapi_session *s)
{
	struct uapi_call *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (!list_empty(&s->free_calls)) {
		c = list_first(&s->free_calls, struct uapi_call, link);
		list_del(&c->link);
	} else if (s->nr_calls < SESSION_CALLS_MAX) {
		c = calloc(1, sizeof(*c));
		if (c) {
			list_init(&c->link);
			s->nr_calls++;
		}
	}
	if (c)
		s->nr_pending++;
	pthread_mutex_unlock(&s->lock);
	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct uapi_call, arg));
	list_init(&c->link);
	c->vc.ops = &uapi_call_ops;
	c->vc.env = s->env;
	c->cloexec = true;
	c->ac.complete = attr_complete;
	c->s = s;
	return c;
}

static void call_free(struct uapi_call *c)
{
	struct uapi_session *s = c->s;
	unsigned int i;

	for (i = 0; i < c->nr_held; i++)
		object_put(c->held[i]);
	for (i = 0; i < c->nr_more; i++)
		object_put(c->more[i]);
	free(c->more);
	pthread_mutex_lock(&s->lock);
	s->nr_pending--;
	list_add(&s->free_calls, &c->link);
	pthread_mutex_unlock(&s->lock);
}

int call_hold(struct uapi_call *c, struct uapi_object *o)
{
	struct uapi_object **more;

	if (c->nr_held < CALL_HELD) {
		c->held[c->nr_held++] = o;
		return 0;
	}
	more = c->nr_more < SESSION_CALLS_MAX ?
		realloc(c->more, (c->nr_more + 1) * sizeof(*more)) : NULL;
	if (!more) {
		object_put(o);
		return -ENOMEM;
	}
	more[c->nr_more++] = o;
	c->more = more;
	return 0;
}

static void call_account(struct uapi_call *c)
{
	struct uapi_session *s = c->s;

	atomic_fetch_add_explicit(&s->nr_answered, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->sum_ns, session_now() - c->started, memory_order_relaxed);
}

void call_answer(struct uapi_call *c, int64_t ret)
{
	bool go_on = ret == CALL_CONTINUE;

	call_account(c);
	if (c->s->cfg.trace >= 0)
		trace_call(c, ret);
	notif_send(c->s->cfg.listener, NULL, c->id, go_on ? 0 : ret,
		   go_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0);
	call_free(c);
}

void call_finish(struct uapi_call *c, int64_t ret)
{
	int64_t (*finish)(struct vfio_call *vc, int64_t ret);

	if (ret == CALL_PENDING || ret == CALL_ANSWERED)
		return;
	finish = take_ptr(c->vc.finish);
	if (finish) {
		ret = finish(&c->vc, ret);
		if (ret > 0)
			ret += c->moved;
	}
	if (!ret && c->vc.new_file)
		ret = call_install_file(c, c->vc.new_file, c->vc.new_file->path, NULL);
	if (ret != CALL_ANSWERED)
		call_answer(c, ret);
}

/* ------------------------------------------------------- new descriptors */

/* A number of the window that nobody uses: only the receiver can look. */
static int next_number(struct uapi_call *c, unsigned int at_least)
{
	struct uapi_session *s = c->s;
	unsigned int lo = MAX(s->window.lo, at_least), hi = s->window.hi, i, n;
	bool look = session_receiving == s;

	if (lo >= hi)
		return -EMFILE;
	for (i = 0; i < hi - lo; i++) {
		pthread_mutex_lock(&s->lock);
		if (s->next_fd < lo || s->next_fd >= hi)
			s->next_fd = lo;
		n = s->next_fd++;
		s->guess.object = NULL;
		pthread_mutex_unlock(&s->lock);
		if (!look || ident_fd_free(c, (int)n))
			return (int)n;
	}
	return -EMFILE;
}

int64_t call_install(struct uapi_call *c, int fd, bool cloexec, bool high, unsigned int at_least)
{
	struct uapi_session *s = c->s;
	int (*add)(int, uint64_t, int, int, bool) = c->vc.new_file_at ? notif_addfd_only : notif_addfd;
	int at = high ? next_number(c, at_least) : -1, ret;

	ret = add(s->cfg.listener, c->id, fd, at, cloexec);
	if (ret == -EBADF && at >= 0)	/* the program has lowered its limit since */
		ret = add(s->cfg.listener, c->id, fd, -1, cloexec);
	if (ret < 0)
		return ret;
	/* Into a structure of its own: it has the number before the answer. */
	if (c->vc.new_file_at)
		return call_copy_out(c, c->vc.new_file_at, &ret, sizeof(int32_t));
	call_account(c);
	if (s->cfg.trace >= 0)
		trace_call(c, ret);
	call_free(c);
	return CALL_ANSWERED;
}

int64_t call_install_file(struct uapi_call *c, struct vfio_file *f, const char *name,
			  const struct path_node *node)
{
	struct uapi_object *o;
	auto_close int fd = -1;
	int64_t ret;

	ret = object_create(c->s, f, name, &o, &fd);
	if (ret)
		return ret;
	if (node)
		node_numbers(c->s, node, &o->mode, &o->rdev);
	if (!c->file)
		trace_begin(c, f, 0, 0);
	/* Refused: the last descriptor is closed here, which the watch reports like any other. */
	return call_install(c, fd, c->cloexec, true, 0);
}

/* ---------------------------------------------------------- client's memory */

int call_copy_in(struct uapi_call *c, void *dst, uint64_t src, size_t len)
{
	if (len && client_read(c->s->cm, c->tid, dst, src, len) != (ssize_t)len)
		return -EFAULT;
	return 0;
}

int call_copy_out(struct uapi_call *c, uint64_t dst, const void *src, size_t len)
{
	if (len && client_write(c->s->cm, c->tid, dst, src, len) != (ssize_t)len)
		return -EFAULT;
	return 0;
}

/* Up to the end of a page at a time: what follows may not be mapped. */
int call_string(struct uapi_call *c, char *buf, uint64_t src)
{
	size_t have = 0;

	while (have < PATH_MAX) {
		size_t len = MIN(PATH_MAX - have, 4096 - (size_t)((src + have) & 4095));
		ssize_t n;
		char *end;

		if (!have)
			len = MIN(len, 256);
		n = client_read(c->s->cm, c->tid, buf + have, src + have, len);
		if (n <= 0)
			return -EFAULT;
		end = memchr(buf + have, 0, (size_t)n);
		if (end)
			return (int)(end - buf);
		have += (size_t)n;
	}
	return -ENAMETOOLONG;
}

static int op_copy_in(struct vfio_call *vc, void *dst, uint64_t src, size_t len)
{
	struct uapi_call *c = container_of(vc, struct uapi_call, vc);
	int ret = call_copy_in(c, dst, src, len);

	/* Read from whoever has the thread's number now? */
	return !ret && !notif_alive(c->s->cfg.listener, c->id) ? -EFAULT : ret;
}

static int op_copy_out(struct vfio_call *vc, uint64_t dst, const void *src, size_t len)
{
	return call_copy_out(container_of(vc, struct uapi_call, vc), dst, src, len);
}

static int op_eventfd(struct vfio_call *vc, int fd)
{
	return eventfd_fetch(container_of(vc, struct uapi_call, vc), fd);
}

static int op_file(struct vfio_call *vc, int fd, struct vfio_file **f)
{
	struct uapi_call *c = container_of(vc, struct uapi_call, vc);
	struct uapi_object *o;
	int ret;

	*f = NULL;
	o = ident_object(c, fd, &ret);
	if (!o)
		return ret;
	*f = o->file;
	return call_hold(c, o);
}

static int op_mem(struct vfio_call *vc, uint64_t vaddr, uint64_t len, bool writable,
		  struct ferry_mem **mem, bool *is_bar)
{
	struct uapi_call *c = container_of(vc, struct uapi_call, vc);

	return client_mem_at(c->s->cm, c, vaddr, len, writable, mem, is_bar);
}

static int op_mem_file(struct vfio_call *vc, int fd, uint64_t start, uint64_t len, bool writable,
		       struct ferry_mem **mem)
{
	struct uapi_call *c = container_of(vc, struct uapi_call, vc);

	return client_mem_of_file(c->s->cm, c, fd, start, len, writable, mem);
}

const struct vfio_call_ops uapi_call_ops = {
	.copy_in = op_copy_in,
	.copy_out = op_copy_out,
	.eventfd = op_eventfd,
	.file = op_file,
	.mem = op_mem,
	.mem_file = op_mem_file,
	.complete = vfio_complete,
};
