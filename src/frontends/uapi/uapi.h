/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The uapi frontend: plays the kernel's VFIO for unmodified programs, by
 * seccomp user notification. Two halves: the launcher, in `ferry run`, and
 * the supervisor, in ferryd, one session per `ferry run`.
 */
#ifndef UAPI_UAPI_H
#define UAPI_UAPI_H

#include <ferry/vfio.h>

/* --------------------------------------------------------------- supervisor */

/**
 * struct uapi_attr_call - a program wrote to an attribute of the sysfs view
 * Lives until complete() was called. Any thread, any lock.
 */
struct uapi_attr_call {
	void (*complete)(struct uapi_attr_call *c, int64_t ret);
	/* The handler's, while the call is in progress. */
	void *priv;
};

/**
 * struct uapi_host - what the frontend needs of the host. Const while sessions exist.
 * @root: absolute path of the shadow tree; below it lie "sys/..." and "dev/...":
 *        real directories, symlinks, attribute files, and empty files for the
 *        nodes dev/vfio/vfio, dev/vfio/N, dev/vfio/devices/vfioX, dev/iommu.
 * @root_fd: the same, O_PATH.
 * @kind: which env a session's worker uses.
 * @attr_store: @path (canonical: "/sys/devices/ferry0/...") was written with
 *        @len bytes of @text (NUL-terminated too). Called without locks on the
 *        session's receiver; bytes taken, -errno, or -EINPROGRESS.
 *        -EACCES for what is not writable.
 */
struct uapi_host {
	struct vfio_host *vfio;
	const char *root;
	int root_fd;
	enum env_kind kind;
	int64_t (*attr_store)(void *arg, const char *path, const char *text, size_t len,
			      struct uapi_attr_call *call);
	void *arg;
};

struct uapi_session;

struct uapi_session_config {
	int listener;		/* seccomp listener; taken over on success */
	int broker;		/* socket to the launcher, see launcher.h; taken over on success; -1: none */
	pid_t pid;		/* the program */
	int trace;		/* fd for one line per decoded call, taken over; -1: none */
	/* Called once, from a thread of the session's, when the last task of the program and its files are gone. */
	void (*ended)(void *arg, struct uapi_session *s);
	void *arg;
};

/** uapi_session_start() - supervise a program from now on. 0 or -errno with @err filled. */
int uapi_session_start(const struct uapi_host *h, const struct uapi_session_config *cfg,
		       struct uapi_session **s, struct ferry_err *err);

/**
 * uapi_session_stop() - end it by force: closes all of the program's files as
 * if it had died, closes the listener (the program's calls fail with ENOSYS
 * from then on), joins the threads, frees @s. Also used after ended().
 * A thread that a client has parked in a page that never comes is abandoned: the program
 * must have been killed before.
 */
void uapi_session_stop(struct uapi_session *s);

struct uapi_session_info {
	pid_t pid;
	uint64_t calls, mean_ns, open_files;
	bool sync_wakeup;
};
void uapi_session_info(struct uapi_session *s, struct uapi_session_info *info);

/* ----------------------------------------------------------------- launcher */

/**
 * struct uapi_launch - run a program under a session
 * @argv: the program; found by PATH
 * @grace_ms: how long the program may wait for a daemon that died
 * @handoff: give listener, broker socket and the program's pid to the daemon and
 *   return a descriptor that reads end-of-file (or hangs up) when the daemon is gone, or -errno with @err
 *   filled. The program does not run before handoff has succeeded. All
 *   descriptors stay the launcher's; the returned one stays the callee's,
 *   open until uapi_launch() returns, and is not read.
 */
struct uapi_launch {
	char **argv;
	unsigned int grace_ms;
	bool no_attr_writes;	/* don't trap small writes to descriptors 0 to 2 */
	const char *root;	/* the host's shadow tree: join a session of the same host; NULL: nesting is an error */
	int (*handoff)(void *arg, int listener, int broker, pid_t pid, struct ferry_err *err);
	void *arg;
};

/**
 * uapi_launch() - start, stay, return what `ferry run` exits with
 * The program's own exit status, 128 + signal if it was killed, 125: ferry
 * failed (@err filled), 126: could not be executed, 127: not found.
 * Signals SIGINT, SIGTERM, SIGHUP, SIGQUIT are passed on to the program.
 */
int uapi_launch(const struct uapi_launch *l, struct ferry_err *err);

/**
 * struct uapi_probe - what this machine can do, for `ferry doctor` and the check at start
 * @err: 0 or the errno that says why not; @required: without it nothing works.
 */
struct uapi_probe {
	const char *name;	/* "seccomp user notification", ... */
	bool required;
	int err;
	char detail[160];	/* what is missing, what to do */
};

/** uapi_probe_all() - try each (in children where it must be); fills at most @max, returns how many there are. */
unsigned int uapi_probe_all(struct uapi_probe *p, unsigned int max);

/* Inside a session this link reads as the host's shadow tree; elsewhere it does not exist. */
#define UAPI_ROOT_LINK "/dev/vfio/.ferry-root"

/** uapi_path_is_ours() - is a cleaned absolute path under one of our prefixes? (also for the tests and the fuzzer) */
bool uapi_path_is_ours(const char *path);

#endif
