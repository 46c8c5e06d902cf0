/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Is this the last reference? Nothing in the kernel counts them for us, so
 * all places are looked at: descriptors and mappings of every process of the
 * program, and descriptors in flight in its sockets. "Not certain" costs
 * only the order of a close, so every doubt says that.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "session.h"

#define PROCS_MAX 64
#define ALL_MAX 32768

struct family {
	pid_t pid[PROCS_MAX];
	unsigned int n;
};

struct parentage {
	pid_t pid, ppid;
	bool in;
};

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	ssize_t n;

	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

static unsigned int list_processes(struct parentage *p)
{
	DIR *d = opendir("/proc");
	unsigned int n = 0;
	struct dirent *e;

	while (d && n < ALL_MAX && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		pid_t ppid = pid > 0 ? proc_parent(pid) : 0;

		if (ppid)
			p[n++] = (struct parentage){ .pid = pid, .ppid = ppid };
	}
	if (d)
		closedir(d);
	return n;
}

/* All descendants of the launcher, but for ourselves, if it started us too. Orphans are its children. */
static bool family_get(struct uapi_session *s, struct family *f)
{
	auto_free struct parentage *p = calloc(ALL_MAX, sizeof(*p));
	pid_t self = getpid();
	unsigned int n, i, k;
	bool grown = true;

	f->n = 0;
	if (!p || !s->launcher)
		return false;
	n = list_processes(p);
	while (grown) {
		grown = false;
		for (i = 0; i < n; i++) {
			bool in = p[i].ppid == s->launcher;

			if (p[i].in || p[i].pid == self)
				continue;
			for (k = 0; k < f->n && !in; k++)
				in = f->pid[k] == p[i].ppid;
			if (!in)
				continue;
			if (f->n == PROCS_MAX)
				return false;
			p[i].in = grown = true;
			f->pid[f->n++] = p[i].pid;
		}
	}
	return f->n > 0;
}

static bool in_flight(pid_t pid, const char *fd)
{
	char path[300], buf[1024], *p;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, fd);
	if (read_file(path, buf, sizeof(buf)) <= 0)
		return true;
	p = strstr(buf, "scm_fds:");	/* local sockets have it */
	return p && (sscanf(p + 8, "%d", &n) != 1 || n);
}

/* Adds the references of one process; false: can't tell. */
static bool count_fds(pid_t pid, const struct uapi_object *o, unsigned int *refs)
{
	struct dirent *e;
	char path[40];
	bool sure = true;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return errno == ENOENT;
	while (sure && (e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || quick_stat(dirfd(d), e->d_name, &st))
			continue;
		if (st.st_ino == o->ino && st.st_dev == o->dev)
			++*refs;
		else if (S_ISSOCK(st.st_mode))
			sure = !in_flight(pid, e->d_name);
	}
	closedir(d);
	return sure;
}

static bool has_mapping(pid_t pid, const struct uapi_object *o)
{
	char path[40], *line = NULL;
	unsigned int maj, min;
	unsigned long ino;
	size_t room = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno != ENOENT;
	while (!found && getline(&line, &room, f) > 0)
		found = sscanf(line, "%*x-%*x %*s %*x %x:%x %lu", &maj, &min, &ino) == 3 &&
			ino == o->ino && maj == major(o->dev) && min == minor(o->dev);
	free(line);
	fclose(f);
	return found;
}

bool lastref_certain(struct uapi_call *c, struct uapi_object *o)
{
	unsigned int refs = 0, i;
	struct family f;

	if (!family_get(c->s, &f))
		return false;
	for (i = 0; i < f.n; i++)
		if (!count_fds(f.pid[i], o, &refs) || refs > 1 || has_mapping(f.pid[i], o))
			return false;
	return refs == 1;
}
