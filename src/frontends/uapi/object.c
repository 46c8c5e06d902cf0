/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Objects: what the program's descriptors stand for. Each is a sealed memfd,
 * reopened once; the client holds the reopened file, and inotify says when
 * its last reference is gone, wherever it was: dup, fork, mapping, in flight.
 *
 * LIVE -> RELEASED (event, or told so) -> CLOSING (no call uses it any more;
 * the file's close operation runs) -> CLOSED -> freed. Close operations run
 * under drain_lock, so that whoever drains returns after the closes of all
 * releases that happened before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include "session.h"

static struct list *ino_bucket(struct uapi_session *s, ino_t ino)
{
	return &s->by_ino[(uint64_t)ino % OBJECT_BUCKETS];
}

static struct list *wd_bucket(struct uapi_session *s, int wd)
{
	return &s->by_wd[(unsigned int)wd % OBJECT_BUCKETS];
}

const char *object_path(const struct uapi_object *o)
{
	return o->attr ? o->attr : o->file->path;
}

/* The frontend's half of vfio_file: BAR memory is the device's own memfd. */
static void *object_bar_mem(struct vfio_file *f, unsigned int bar, uint64_t size)
{
	struct uapi_object *o = f->priv;
	void *p;

	if (bar >= PCI_BARS || !size || size > 1ull << REGION_SHIFT)
		return NULL;
	pthread_mutex_lock(&o->s->lock);
	p = o->bar[bar];
	if (!p) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, o->memfd,
			 (off_t)((uint64_t)bar << REGION_SHIFT));
		if (p == MAP_FAILED)
			p = NULL;
		o->bar[bar] = p;
		o->bar_size[bar] = size;
	} else if (size > o->bar_size[bar]) {
		p = NULL;
	}
	pthread_mutex_unlock(&o->s->lock);
	return p;
}

static void object_free(struct uapi_object *o)
{
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++)
		if (o->bar[i])
			munmap(o->bar[i], o->bar_size[i]);
	if (o->config)
		munmap(o->config, CALL_BUF);
	base_close_fd(&o->memfd);
	base_close_fd(&o->attr_fd);
	free(o->attr);
	free(o);
}

/* The memfd, its seals, its watch; the client's descriptor. */
static int object_make_file(struct uapi_object *o, const char *name, uint64_t size, int *client_fd)
{
	char text[200], link[40];
	struct stat st;

	snprintf(text, sizeof(text), "%s", name);
	o->memfd = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (o->memfd < 0 || ftruncate(o->memfd, (off_t)size) ||
	    fcntl(o->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ||
	    fstat(o->memfd, &st))
		return -errno;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", o->memfd);
	auto_close int fd = open(link, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* After the open, so that its failure can't leave an event; nothing was closed yet. */
	o->wd = inotify_add_watch(o->s->inotify, link, IN_CLOSE);
	if (o->wd < 0)
		return -errno;
	*client_fd = take_fd(&fd);
	return 0;
}

static void nothing(void *arg)
{
}

static void release_locked(struct uapi_object *o)
{
	if (o->state != OBJECT_LIVE)
		return;
	if (o->s->guess.object == o)
		o->s->guess.object = NULL;
	o->state = OBJECT_RELEASED;
	list_add_tail(&o->s->released, &o->link);
}

int object_create(struct uapi_session *s, struct vfio_file *file, const char *name,
		  struct uapi_object **out, int *client_fd)
{
	bool device = file && file->ops->type == VFIO_FILE_DEVICE;
	struct uapi_object *o = calloc(1, sizeof(*o));
	int ret;

	if (!o) {
		if (file)
			file->ops->close(file, nothing, NULL);
		return -ENOMEM;
	}
	list_init(&o->link);
	o->s = s;
	o->file = file;
	o->memfd = o->attr_fd = o->wd = -1;
	o->mode = S_IRUSR | S_IWUSR;
	if (!file)
		o->attr = strdup(name);
	ret = file || o->attr ? object_make_file(o, name, device ? DEVICE_SIZE : 0, client_fd) : -ENOMEM;
	if (!ret && device) {
		o->config = mmap(NULL, CALL_BUF, PROT_READ | PROT_WRITE, MAP_SHARED, o->memfd,
				 (off_t)CONFIG_REGION << REGION_SHIFT);
		if (o->config == MAP_FAILED)
			o->config = NULL;
	}
	pthread_mutex_lock(&s->lock);
	if (!ret && s->nr_objects >= SESSION_OBJECTS_MAX)
		ret = -ENFILE;
	s->nr_objects++;
	list_add(ino_bucket(s, o->ino), &o->ino_link);
	list_add(wd_bucket(s, o->wd), &o->wd_link);
	if (file) {
		file->priv = o;
		file->bar_mem = device && !ret ? object_bar_mem : NULL;
	}
	if (ret) {
		release_locked(o);
		session_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	*out = o;
	return ret;
}

struct uapi_object *object_find(struct uapi_session *s, const struct stat *st)
{
	struct uapi_object *o;

	pthread_mutex_lock(&s->lock);
	list_for_each(o, ino_bucket(s, st->st_ino), ino_link)
		if (o->ino == st->st_ino && o->dev == st->st_dev && o->state == OBJECT_LIVE) {
			o->busy++;
			s->nr_busy++;
			pthread_mutex_unlock(&s->lock);
			return o;
		}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void object_put(struct uapi_object *o)
{
	struct uapi_session *s = o->s;
	bool due;

	pthread_mutex_lock(&s->lock);
	s->nr_busy--;
	due = !--o->busy && o->state == OBJECT_RELEASED;
	if (due)
		session_wake(s);
	pthread_mutex_unlock(&s->lock);
}

void object_release_busy(struct uapi_object *o, struct uapi_call *closer)
{
	struct uapi_session *s = o->s;

	pthread_mutex_lock(&s->lock);
	if (o->state == OBJECT_LIVE && o->busy == 1) {
		o->closer = closer;
		closer = NULL;
		release_locked(o);
	}
	o->busy--;
	s->nr_busy--;
	if (o->state == OBJECT_RELEASED)
		session_wake(s);
	pthread_mutex_unlock(&s->lock);
	if (closer)
		call_answer(closer, CALL_CONTINUE);
	objects_drain(s);
}

/*
 * The file's close is over: no DMA is left. Any thread, any lock but the
 * session's. Once the object is CLOSED and the lock given up, object and
 * session may be freed: the wake-up comes before.
 */
static void object_closed(void *arg)
{
	struct uapi_object *o = arg;
	struct uapi_session *s = o->s;
	struct uapi_call *closer;

	pthread_mutex_lock(&s->lock);
	closer = o->closer;
	o->closer = NULL;
	pthread_mutex_unlock(&s->lock);
	if (closer)
		call_answer(closer, CALL_CONTINUE);
	pthread_mutex_lock(&s->lock);
	o->state = OBJECT_CLOSED;
	session_wake(s);
	pthread_mutex_unlock(&s->lock);
}

static void read_releases(struct uapi_session *s)
{
	union {
		char buf[4096];
		struct inotify_event align;
	} u;
	ssize_t n, at;

	while ((n = read(s->inotify, u.buf, sizeof(u.buf))) > 0) {
		pthread_mutex_lock(&s->lock);
		for (at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(u.buf + at);
			struct uapi_object *o;

			at += (ssize_t)(sizeof(*e) + e->len);
			if (!(e->mask & IN_CLOSE))
				continue;
			list_for_each(o, wd_bucket(s, e->wd), wd_link)
				if (o->wd == e->wd) {
					release_locked(o);
					break;
				}
		}
		pthread_mutex_unlock(&s->lock);
	}
}

/* The next object whose close is due (CLOSING afterwards) or that is closed (out of the tables afterwards). */
static struct uapi_object *next_due(struct uapi_session *s, bool *closed)
{
	struct uapi_object *o;

	pthread_mutex_lock(&s->lock);
	list_for_each(o, &s->released, link) {
		*closed = o->state == OBJECT_CLOSED;
		if (*closed) {
			list_del(&o->link);
			list_del(&o->ino_link);
			list_del(&o->wd_link);
			s->nr_objects--;
		} else if (o->state == OBJECT_RELEASED && !o->busy) {
			o->state = OBJECT_CLOSING;
		} else {
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		return o;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void objects_drain(struct uapi_session *s)
{
	struct uapi_object *o;
	bool closed;

	pthread_mutex_lock(&s->drain_lock);
	read_releases(s);
	while ((o = next_due(s, &closed))) {
		if (closed) {
			inotify_rm_watch(s->inotify, o->wd);
			object_free(o);
		} else if (o->file) {
			o->file->ops->close(o->file, object_closed, o);
		} else {
			object_closed(o);
		}
	}
	pthread_mutex_unlock(&s->drain_lock);
}

void objects_release_all(struct uapi_session *s)
{
	struct uapi_object *o;
	size_t i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < OBJECT_BUCKETS; i++)
		list_for_each(o, &s->by_ino[i], ino_link)
			release_locked(o);
	pthread_mutex_unlock(&s->lock);
	objects_drain(s);
}

unsigned int objects_count(struct uapi_session *s)
{
	unsigned int n;

	pthread_mutex_lock(&s->lock);
	n = s->nr_objects;
	pthread_mutex_unlock(&s->lock);
	return n;
}
