/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The nodes below /dev: which objects open behind them, which numbers they show. */
#include <string.h>
#include <sys/sysmacros.h>

#include "session.h"

#define MISC_MAJOR 10u
#define VFIO_MINOR 196u
#define IOMMU_MINOR 125u	/* dynamic in the kernel; nobody looks */

static bool cdev_numbers(struct vfio_host *h, unsigned int index, unsigned int *major,
			 unsigned int *minor)
{
	bool found;

	vfio_host_lock(h);
	found = vfio_cdev_find(h, index, major, minor);
	vfio_host_unlock(h);
	return found;
}

static bool group_numbers(struct vfio_host *h, unsigned int nr, unsigned int *major,
			  unsigned int *minor)
{
	bool found;

	vfio_host_lock(h);
	found = vfio_group_find(h, nr, major, minor);
	vfio_host_unlock(h);
	return found;
}

const struct uapi_nodes uapi_vfio_nodes = {
	.open_container = vfio_open_container,
	.open_group = vfio_open_group,
	.open_cdev = vfio_open_cdev,
	.open_iommufd = vfio_open_iommufd,
	.cdev_numbers = cdev_numbers,
	.group_numbers = group_numbers,
	.ioctl_name = vfio_ioctl_name,
	.trace_ioctl = vfio_trace_ioctl,
};

int uapi_session_start(const struct uapi_host *h, const struct uapi_session_config *cfg,
		       struct uapi_session **s, struct ferry_err *err)
{
	return session_start(h, &uapi_vfio_nodes, cfg, s, err);
}

void node_numbers(struct uapi_session *s, const struct path_node *n, mode_t *mode, dev_t *rdev)
{
	unsigned int major = MISC_MAJOR, minor = VFIO_MINOR;

	if (n->kind == PATH_IOMMUFD)
		minor = IOMMU_MINOR;
	else if (n->kind == PATH_GROUP && !s->nodes->group_numbers(s->host->vfio, n->index, &major, &minor))
		major = minor = 0;
	else if (n->kind == PATH_CDEV && !s->nodes->cdev_numbers(s->host->vfio, n->index, &major, &minor))
		major = minor = 0;
	*mode = S_IFCHR | 0666;
	*rdev = makedev(major, minor);
}

int64_t node_open(struct uapi_call *c, const struct path_node *n)
{
	const struct uapi_nodes *ops = c->s->nodes;
	struct vfio_host *h = c->s->host->vfio;
	struct vfio_file *f = NULL;
	int ret;

	/* A device that was closed a moment ago must be free by now. */
	objects_drain(c->s);
	if (n->kind == PATH_CONTAINER)
		ret = ops->open_container(h, &f);
	else if (n->kind == PATH_GROUP)
		ret = ops->open_group(h, n->index, &f);
	else if (n->kind == PATH_CDEV)
		ret = ops->open_cdev(h, n->index, &f);
	else
		ret = ops->open_iommufd(h, &f);
	return ret ? ret : call_install_file(c, f, n->name, n);
}
