/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The host's own part: start, end, and work that waits.
 *
 * A reset or a DMA fence ends in a callback with a strand held, where the host
 * lock must not be taken. What remains to be done then (the rest of an open or
 * a close, a removal) is done by one work item on a strand that guards nothing
 * and that nobody else locks: its callback holds no lock that matters. It looks
 * at every device; there are few, and nothing has to be kept alive for it.
 */
#include <stdio.h>

#include "vfio/internal.h"

#define RETRY_NS 1000000u

struct vfio_defer {
	struct vfio_host *host;
	struct env_strand strand;
	struct env_work work;
	struct env_timer retry;
	struct list done;		/* device_file.done_link; host lock */
};

static void defer_run(struct vfio_defer *df)
{
	struct vfio_host *h = df->host;
	struct vfio_group *g, *gnext;
	bool again = false;

	vfio_host_lock(h);
	list_for_each_safe(g, gnext, &h->groups, link) {
		struct vfio_device *d, *next;
		bool last = list_empty(&g->devices);

		/* With its last device, the group may go. */
		for (d = list_first(&g->devices, struct vfio_device, group_link); !last; d = next) {
			next = list_first(&d->group_link, struct vfio_device, group_link);
			last = &next->group_link == &g->devices;
			again |= device_advance(d);
		}
	}
	host_unlock(h);
	if (again)
		env_timer_arm(&df->retry, env_now(&df->strand) + RETRY_NS);
}

static void defer_work(struct env_work *w)
{
	defer_run(container_of(w, struct vfio_defer, work));
}

static void defer_retry(struct env_timer *t)
{
	defer_run(container_of(t, struct vfio_defer, retry));
}

void vfio_host_init(struct vfio_host *h, struct ferry_env *env)
{
	struct vfio_defer *df = calloc(1, sizeof(*df));

	memset(h, 0, sizeof(*h));
	if (!df || env_strand_init(&df->strand, env, NULL) < 0 ||
	    env_strand_init(&h->control, env, NULL) < 0) {
		log_msg(LOG_ERROR, "vfio: no memory for a host");
		abort();
	}
	pthread_mutex_init(&h->lock, NULL);
	pci_bus_init(&h->bus);
	h->env = env;
	list_init(&h->groups);
	list_init(&h->controllers);
	h->dev_major_cdev = 511;
	h->dev_major_group = 510;
	df->host = h;
	list_init(&df->done);
	env_work_init(&df->work, &df->strand, defer_work);
	env_timer_init(&df->retry, &df->strand, defer_retry);
	if (pci_bus_control(&h->bus, &df->strand, &h->lock) < 0)
		abort();
	h->defer = df;
}

void vfio_host_release(struct vfio_host *h)
{
	struct vfio_defer *df = h->defer;

	assert(list_empty(&h->groups) && list_empty(&h->controllers));
	pci_bus_control_release(&h->bus);
	env_strand_lock(&df->strand);
	env_work_cancel(&df->work);
	env_timer_cancel(&df->retry);
	env_strand_unlock(&df->strand);
	env_strand_release(&df->strand);
	env_strand_release(&h->control);
	free(df);
	pthread_mutex_destroy(&h->lock);
}

void host_defer(struct vfio_host *h)
{
	env_work_queue(&h->defer->work);
}

void host_done(struct device_file *df)
{
	list_add_tail(&df->file.host->defer->done, &df->done_link);
}

void host_unlock(struct vfio_host *h)
{
	struct list done = LIST_INIT(done);

	while (!list_empty(&h->defer->done)) {
		struct list *l = h->defer->done.next;

		list_del(l);
		list_add_tail(&done, l);
	}
	pthread_mutex_unlock(&h->lock);
	while (!list_empty(&done)) {
		struct device_file *df = list_first(&done, struct device_file, done_link);

		list_del(&df->done_link);
		if (df->done)
			df->done(df->done_arg);
		free(df);
	}
}

void host_file_init(struct vfio_host *h, struct vfio_file *f, const struct vfio_file_ops *ops,
		    const char *fmt, ...)
{
	va_list ap;

	f->ops = ops;
	f->host = h;
	va_start(ap, fmt);
	vsnprintf(f->path, sizeof(f->path), fmt, ap);
	va_end(ap);
}
