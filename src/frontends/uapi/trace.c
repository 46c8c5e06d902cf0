/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * --trace: one line per call that an object of ours answered. The arguments
 * are read before the call runs, the line is written when it is answered, by
 * whoever answers it, in one write.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "session.h"

#define MSG_MAX 768

void trace_begin(struct uapi_call *c, const struct vfio_file *f, unsigned int cmd, uint64_t arg)
{
	ssize_t n;

	if (c->s->cfg.trace < 0)
		return;
	c->file = f;
	c->cmd = cmd;
	if (c->nr != __NR_ioctl || !arg)
		return;
	/* Not beyond the page: what follows the structure may not be mapped. */
	n = client_read(c->s->cm, c->tid, c->arg, arg,
			MIN(sizeof(c->arg), 4096 - (size_t)(arg & 4095)));
	c->arg_len = n > 0 ? (unsigned int)n : 0;
}

static const char *call_name(int nr)
{
	switch (nr) {
	case __NR_pread64: return "pread64";
	case __NR_pwrite64: return "pwrite64";
	case __NR_mmap: return "mmap";
	case __NR_read: return "read";
	case __NR_write: return "write";
	case __NR_close: return "close";
	case __NR_open:
	case __NR_openat: return "openat";
	default: return NULL;
	}
}

static size_t describe(struct uapi_call *c, char *out, size_t size)
{
	const struct uapi_nodes *ops = c->s->nodes;
	const char *name = call_name(c->nr);
	char text[MSG_MAX / 2] = "";
	int n;

	if (c->nr == __NR_ioctl) {
		name = ops->ioctl_name ? ops->ioctl_name(c->file->ops->type, c->cmd) : NULL;
		if (ops->trace_ioctl)	/* begins with the name */
			ops->trace_ioctl(c->file->ops->type, c->cmd, c->arg, c->arg_len, text,
					 sizeof(text));
		n = text[0] || name ? snprintf(out, size, "%s %s", c->file->path, text[0] ? text : name) :
			snprintf(out, size, "%s ioctl(0x%x)", c->file->path, c->cmd);
	} else if (name) {
		n = snprintf(out, size, "%s %s(%d, %#lx, %#lx, %#lx)", c->file->path, name,
			     (int)c->args[0], c->args[1], c->args[2], c->args[3]);
	} else {
		n = snprintf(out, size, "%s call %d", c->file->path, c->nr);
	}
	return n < 0 ? 0 : MIN((size_t)n, size - 1);
}

void trace_call(struct uapi_call *c, int64_t ret)
{
	uint64_t us = (session_now() - c->started) / 1000;
	char line[MSG_MAX];
	size_t n;
	int k;

	if (!c->file)
		return;
	n = (size_t)snprintf(line, sizeof(line), "%d ", c->tid);
	n += describe(c, line + n, sizeof(line) - n - 100);
	if (ret == CALL_CONTINUE)
		k = snprintf(line + n, sizeof(line) - n, " = native %lu us\n", us);
	else if (ret < 0 && ret >= -4095)
		k = snprintf(line + n, sizeof(line) - n, " = -1 %s %lu us\n", strerrorname_np((int)-ret) ?: "?", us);
	else
		k = snprintf(line + n, sizeof(line) - n, " = %ld %lu us\n", ret, us);
	if (k > 0 && write(c->s->cfg.trace, line, n + (size_t)k) < 0) {
		/* a trace that nobody reads */
	}
}
