/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A client of QEMU's monitor. Commands are sent without waiting; answers and
 * events come in the order in which QEMU sends them, from as many monitors as
 * one likes. One thread.
 */
#ifndef CLI_QMP_H
#define CLI_QMP_H

#include <json-c/json.h>
#include <sys/types.h>

#include <ferry/base.h>

#define QMP_ANSWER_MS 30000u	/* what qmp_call() waits for an answer */

/* Something that QEMU said: an answer (@id > 0) or an event. */
struct qmp_message {
	struct list link;
	uint64_t id;
	json_object *body;		/* the whole message; put with it */
};

/*
 * @lost: why the connection is over: 0 while it is not. Once everything that
 * came before was taken, nothing comes any more.
 * @peer: the process that listens at the other end, 0 if unknown
 */
struct qmp {
	const char *name;		/* "source", for messages; the caller's */
	int fd;
	int lost;
	pid_t peer;
	uint64_t next_id;
	json_tokener *tok;
	struct list inbox;		/* struct qmp_message */
};

/**
 * qmp_open() - connect to the UNIX socket @path and leave negotiation mode
 * @wait_ms: how long the socket may take to appear: QEMU is just starting
 * @alive: Optional; false: it will never appear
 */
int qmp_open(struct qmp *q, const char *name, const char *path, unsigned int wait_ms,
	     bool (*alive)(void *arg), void *arg, struct ferry_err *err);
void qmp_close(struct qmp *q);

/** qmp_send() - @args (or NULL) is taken over. Return: the id of the answer, or -errno. */
int64_t qmp_send(struct qmp *q, const char *command, json_object *args);

/**
 * qmp_wait() - until one of @q[0..@nr) (NULLs are skipped) has a message or is lost, or @ms passed
 * Return: its index, -ETIMEDOUT, or -EINTR: a signal came.
 */
int qmp_wait(struct qmp *const *q, unsigned int nr, int ms);

/** qmp_take() - the oldest message, or NULL; qmp_message_free() it. */
struct qmp_message *qmp_take(struct qmp *q);
void qmp_message_free(struct qmp_message *m);
/** qmp_event() - name of an event, NULL for an answer; *@data: its data or NULL; *@t_ns: QEMU's clock, since 1970. */
const char *qmp_event(const struct qmp_message *m, json_object **data, uint64_t *t_ns);

/**
 * qmp_call() - send and wait for the answer; what else comes stays in the inbox
 * @result: out or NULL: "return", the caller puts it
 * Return: 0, or -errno with @err: E-QMP (QEMU says no, with its words),
 * E-QMP-LOST (it is gone), E-QMP-TIMEOUT. Signals don't interrupt it.
 */
int qmp_call(struct qmp *q, const char *command, json_object *args, json_object **result,
	     struct ferry_err *err);

#endif
