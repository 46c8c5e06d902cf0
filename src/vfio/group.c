/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Groups: /dev/vfio/N. One opener at a time. A group file outlives the
 * client's while device files that came out of it are open, and keeps its
 * container with it.
 */
#include <stdio.h>

#include "vfio/internal.h"

#define NAME_MAX_LEN 4096u		/* a page, as the kernel allows */

struct group_file {
	struct vfio_file file;
	struct vfio_group *group;
	bool closed;			/* by the client */
};

static struct group_file *to_group_file(struct vfio_file *f)
{
	return container_of(f, struct group_file, file);
}

struct vfio_group *group_find(struct vfio_host *h, unsigned int nr)
{
	struct vfio_group *g;

	list_for_each(g, &h->groups, link)
		if (g->nr == nr)
			return g;
	return NULL;
}

struct vfio_group *group_find_or_add(struct vfio_host *h, unsigned int nr)
{
	struct vfio_group *g = group_find(h, nr);

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->host = h;
	g->nr = nr;
	list_init(&g->devices);
	list_init(&g->container_link);
	list_add_tail(&h->groups, &g->link);
	return g;
}

void group_free_if_unused(struct vfio_group *g)
{
	if (!list_empty(&g->devices) || g->opener)
		return;
	list_del(&g->link);
	free(g);
}

bool group_cdev_in_use(const struct vfio_group *g)
{
	struct vfio_device *d;

	list_for_each(d, &g->devices, group_link)
		if (d->cdev)
			return true;
	return false;
}

struct ioas *group_ioas(const struct vfio_group *g)
{
	return g->container ? g->container->as : NULL;
}

/* The opener goes when neither its own file nor a device's is left. */
static void opener_put(struct vfio_group *g)
{
	if (!g->opener->closed || g->nr_device_files)
		return;
	container_detach(g);
	free(take_ptr(g->opener));
	group_free_if_unused(g);
}

void group_device_file_gone(struct vfio_group *g)
{
	g->nr_device_files--;
	opener_put(g);
}

bool vfio_group_find(struct vfio_host *h, unsigned int nr, unsigned int *major,
		     unsigned int *minor)
{
	struct vfio_group *g = group_find(h, nr);

	if (!g || list_empty(&g->devices))
		return false;
	*major = h->dev_major_group;
	*minor = nr;
	return true;
}

static int64_t get_status(struct group_file *gf, struct vfio_call *call, uint64_t arg)
{
	struct vfio_group_status st;
	int ret = user_in(call, arg, &st, sizeof(st));

	if (ret < 0)
		return ret;
	vfio_host_lock(gf->file.host);
	st.flags = VFIO_GROUP_FLAGS_VIABLE |
		   (gf->group->container ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
	host_unlock(gf->file.host);
	return call->ops->copy_out(call, arg, &st, sizeof(st));
}

static int64_t set_container(struct group_file *gf, struct vfio_call *call, uint64_t arg)
{
	struct vfio_host *h = gf->file.host;
	struct vfio_file *f;
	int32_t fd;
	int64_t ret = call->ops->copy_in(call, &fd, arg, sizeof(fd));

	if (!ret)
		ret = fd < 0 ? -EBADF : call->ops->file(call, fd, &f);
	if (ret < 0)
		return ret;
	vfio_host_lock(h);
	if (gf->group->container)
		ret = -EINVAL;
	else if (f && f->host == h && f->ops->type == VFIO_FILE_CONTAINER)
		ret = container_attach(container_of(f, struct vfio_container, file), gf->group);
	else if (f && f->host == h && f->ops->type == VFIO_FILE_IOMMUFD)
		ret = -ENODEV;	/* the compatibility layer is not there yet */
	else
		ret = -EBADFD;
	host_unlock(h);
	return ret;
}

static int64_t unset_container(struct group_file *gf)
{
	int64_t ret = 0;

	vfio_host_lock(gf->file.host);
	if (!gf->group->container)
		ret = -EINVAL;
	else if (gf->group->nr_device_files)
		ret = -EBUSY;
	else
		container_detach(gf->group);
	host_unlock(gf->file.host);
	return ret;
}

/* A string of the client's, @room bytes with its NUL; never reads beyond the page of its end. */
static int copy_name(struct vfio_call *call, uint64_t arg, char *name, uint32_t room)
{
	uint32_t at = 0;

	while (at < room) {
		uint32_t n = MIN(MIN(room - at, 64u),
				 (uint32_t)(VFIO_PAGE - ((arg + at) & (VFIO_PAGE - 1))));
		int ret = call->ops->copy_in(call, name + at, arg + at, n);

		if (ret < 0)
			return ret;
		if (memchr(name + at, 0, n))
			return 0;
		at += n;
	}
	return -EINVAL;
}

static struct vfio_device *device_named(struct vfio_group *g, const char *name, size_t len)
{
	struct vfio_device *d;

	list_for_each(d, &g->devices, group_link) {
		char bdf[PCI_BDF_LEN];

		snprintf(bdf, sizeof(bdf), PCI_BDF_FMT, PCI_BDF_ARG(d->fn->bdf));
		if (!d->unbind && strlen(bdf) == len && !memcmp(bdf, name, len))
			return d;
	}
	return NULL;
}

static int64_t get_device_fd(struct group_file *gf, struct vfio_call *call, uint64_t arg)
{
	struct vfio_host *h = gf->file.host;
	auto_free char *name = malloc(NAME_MAX_LEN);
	struct vfio_device *d;
	size_t len;
	int64_t ret = name ? copy_name(call, arg, name, NAME_MAX_LEN) : -ENOMEM;

	if (ret < 0)
		return ret;
	len = strcspn(name, " ");
	vfio_host_lock(h);
	d = device_named(gf->group, name, len);
	if (!d)
		ret = -ENODEV;
	else if (name[len])
		ret = -EINVAL;	/* a token, where none applies, or no option at all */
	else if (!group_ioas(gf->group))
		ret = -EINVAL;
	else
		ret = device_open_group(d, call);
	host_unlock(h);
	return ret;
}

static int64_t group_ioctl(struct vfio_file *f, struct vfio_call *call, unsigned int cmd,
			   uint64_t arg)
{
	struct group_file *gf = to_group_file(f);

	switch (cmd) {
	case VFIO_GROUP_GET_STATUS:
		return get_status(gf, call, arg);
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(gf, call, arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		return unset_container(gf);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device_fd(gf, call, arg);
	default:
		return -ENOTTY;
	}
}

static void group_close(struct vfio_file *f, void (*done)(void *arg), void *arg)
{
	struct group_file *gf = to_group_file(f);
	struct vfio_host *h = f->host;

	vfio_host_lock(h);
	gf->closed = true;
	opener_put(gf->group);
	host_unlock(h);
	if (done)
		done(arg);
}

static const struct vfio_file_ops group_ops = {
	.type = VFIO_FILE_GROUP,
	.ioctl = group_ioctl,
	.close = group_close,
};

struct vfio_group *group_of_file(struct vfio_file *f)
{
	return f->ops == &group_ops ? to_group_file(f)->group : NULL;
}

int vfio_open_group(struct vfio_host *h, unsigned int group, struct vfio_file **f)
{
	struct group_file *gf = calloc(1, sizeof(*gf));
	struct vfio_group *g;
	int ret = 0;

	if (!gf)
		return -ENOMEM;
	vfio_host_lock(h);
	g = group_find(h, group);
	if (!g || list_empty(&g->devices))
		ret = -ENODEV;
	else if (g->opener || group_cdev_in_use(g))
		ret = -EBUSY;
	else
		g->opener = gf;
	host_unlock(h);
	if (ret < 0) {
		free(gf);
		return ret;
	}
	host_file_init(h, &gf->file, &group_ops, "/dev/vfio/%u", group);
	gf->group = g;
	*f = &gf->file;
	return 0;
}
