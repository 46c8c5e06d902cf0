/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The shadow tree: what /sys and /dev look like to a program under `ferry
 * run`, as real folders, links and files below run_dir/root. The bus tells of
 * changes, under the host lock; files are rewritten in place, because a
 * program may hold them open. Folders are 0555 and are opened up only while an
 * entry comes or goes. What a device's configuration space holds is copied
 * into its "config" when it is added, bound, unbound and reset, not at every
 * change.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include <ferry/sriov.h>

#include "host/paths.h"
#include "host/host.h"

#define SNAPSHOT_WAIT_NS UINT64_C(100000000)
#define DEVICES "sys/devices/ferry0"
#define DRIVERS "sys/bus/pci/drivers"
#define GROUPS "sys/kernel/iommu_groups"

/* ------------------------------------------------------- entries of the tree */

static int dir_open(struct host *h, const char *dir)
{
	int fd = openat(h->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0755) < 0)
		log_msg(LOG_WARN, "sysfs: %s: %s", dir, strerror(errno));
	return fd;
}

static void dir_close(int fd)
{
	if (fchmod(fd, 0555) < 0)
		log_msg(LOG_WARN, "sysfs: %s", strerror(errno));
	close(fd);
}

static void report(const char *dir, const char *name, int ret)
{
	if (ret < 0)
		log_msg(LOG_ERROR, "sysfs: /%s/%s: %s", dir, name, strerror(-ret));
}

static int put_dir(struct host *h, const char *dir, const char *name)
{
	int fd = dir_open(h, dir), ret = 0;

	if (fd >= 0) {
		if (mkdirat(fd, name, 0555) < 0 && errno != EEXIST)
			ret = -errno;
		dir_close(fd);
	}
	ret = fd < 0 ? fd : ret;
	report(dir, name, ret);
	return ret;
}

static int put_link(struct host *h, const char *dir, const char *name, const char *target)
{
	int fd = dir_open(h, dir), ret = 0;

	if (fd >= 0) {
		if (symlinkat(target, fd, name) < 0 && errno != EEXIST)
			ret = -errno;
		dir_close(fd);
	}
	ret = fd < 0 ? fd : ret;
	report(dir, name, ret);
	return ret;
}

/* In place: who has the file open sees the new text. */
static int write_file(int dirfd, const char *name, mode_t mode, const void *data, size_t len)
{
	auto_close int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EACCES && !fchmodat(dirfd, name, 0600, 0))
		fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, data, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len) < 0 ||
	    fchmod(fd, mode) < 0)
		return -errno;
	return 0;
}

static int put_data(struct host *h, const char *dir, const char *name, mode_t mode,
		    const void *data, size_t len)
{
	int fd = dir_open(h, dir), ret = fd;

	if (fd >= 0) {
		ret = write_file(fd, name, mode, data, len);
		dir_close(fd);
	}
	report(dir, name, ret);
	return ret;
}

static int put_text(struct host *h, const char *dir, const char *name, mode_t mode, const char *text)
{
	return put_data(h, dir, name, mode, text, strlen(text));
}

static void drop(struct host *h, const char *dir, const char *name)
{
	int fd = dir_open(h, dir);

	if (fd < 0)
		return;
	report(dir, name, paths_remove(fd, name));
	dir_close(fd);
}

/* ----------------------------------------------------- attributes of a function */

/* A function as the attributes show it. */
struct view {
	const struct pci_function *fn;
	const uint8_t *config;
};

/* @show appends one line, or several, to @buf: at most @len bytes, returns how many. */
struct attr {
	const char *name;
	mode_t mode;
	bool moves;		/* rewritten by host_sysfs_refresh() */
	int (*show)(const struct view *v, char *buf, size_t len);
	const char *text;	/* without show */
	bool sriov;		/* of PFs only */
};

static int show_vendor(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%04x\n", v->fn->shape.vendor);
}

static int show_device(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%04x\n", v->fn->shape.device);
}

static int show_subsys_vendor(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%04x\n", v->fn->shape.subsys_vendor);
}

static int show_subsys_device(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%04x\n", v->fn->shape.subsys_device);
}

static int show_revision(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%02x\n", v->fn->shape.revision);
}

static int show_class(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "0x%06x\n", v->fn->shape.class_code);
}

static int show_modalias(const struct view *v, char *buf, size_t len)
{
	char alias[80];

	pci_modalias(v->fn, alias, sizeof(alias));
	return snprintf(buf, len, "%s\n", alias);
}

/* Flags as the kernel prints them: the low bits of the BAR, IORESOURCE_MEM, PREFETCH, SIZEALIGN, MEM_64. */
static uint64_t resource_flags(const struct pci_bar *bar)
{
	return UINT64_C(0x40200) | (bar->is_64 ? 0x100004 : 0) | (bar->prefetch ? 0x2008 : 0);
}

#define VF_BARS_AT 7	/* behind the ROM */

/* 6 BARs, ROM, 6 VF BARs, each for all VFs. The addresses are made up: each function has 256 MiB of its own. */
static int show_resource(const struct view *v, char *buf, size_t len)
{
	uint64_t at = UINT64_C(0x380000000000) +
		      ((uint64_t)(pci_bdf_key(v->fn->bdf) & 0xffff) << 28);
	unsigned int i, total = pci_sriov_total(v->fn);
	const struct pci_bar *bar;
	size_t n = 0;

	for (i = 0; i < VF_BARS_AT + PCI_BARS && n < len; i++) {
		uint64_t size;

		bar = i < PCI_BARS ? &v->fn->shape.bar[i] : NULL;
		if (total && i >= VF_BARS_AT)
			bar = pci_sriov_vf_bar(v->fn, i - VF_BARS_AT);
		if (!bar || !bar->size) {
			n += (size_t)snprintf(buf + n, len - n, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
			continue;
		}
		at = ALIGN_UP(at, bar->size);
		size = i < PCI_BARS ? bar->size : bar->size * total;
		n += (size_t)snprintf(buf + n, len - n,
				      "0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n", at,
				      at + size - 1, resource_flags(bar));
		at += size;
	}
	return (int)MIN(n, len);
}

static int show_local_cpus(const struct view *v, char *buf, size_t len)
{
	int i, words = (get_nprocs_conf() + 31) / 32;
	size_t n = 0;

	for (i = words - 1; i >= 0 && n < len; i--) {
		int cpus = MIN(get_nprocs_conf() - i * 32, 32);

		n += (size_t)snprintf(buf + n, len - n, "%0*x%c", i == words - 1 ? (cpus + 3) / 4 : 8,
				      cpus == 32 ? 0xffffffffu : (1u << cpus) - 1, i ? ',' : '\n');
	}
	return (int)MIN(n, len);
}

static int show_local_cpulist(const struct view *v, char *buf, size_t len)
{
	int last = get_nprocs_conf() - 1;

	return last ? snprintf(buf, len, "0-%d\n", last) : snprintf(buf, len, "0\n");
}

static int show_enable(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%d\n", v->config[4] & 2 ? 1 : 0);
}

static int show_driver_override(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%s\n",
			v->fn->driver_override[0] ? v->fn->driver_override : "(null)");
}

static int show_uevent(const struct view *v, char *buf, size_t len)
{
	const struct pci_shape *s = &v->fn->shape;
	char alias[80], driver[80] = "";

	if (v->fn->driver)
		snprintf(driver, sizeof(driver), "DRIVER=%s\n", v->fn->driver->name);
	pci_modalias(v->fn, alias, sizeof(alias));
	return snprintf(buf, len,
			"%sPCI_CLASS=%04X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
			"PCI_SLOT_NAME=" PCI_BDF_FMT "\nMODALIAS=%s\n", driver, s->class_code,
			s->vendor, s->device, s->subsys_vendor, s->subsys_device,
			PCI_BDF_ARG(v->fn->bdf), alias);
}

/* A 16-bit register of the PCI Express capability; 0 without one. */
static unsigned int link_register(const struct view *v, unsigned int off)
{
	unsigned int cap = v->fn->cap_exp;

	return cap ? v->config[cap + off] | (unsigned int)v->config[cap + off + 1] << 8 : 0;
}

static int show_speed(unsigned int reg, char *buf, size_t len)
{
	static const char *const speeds[16] = {
		[1] = "2.5 GT/s PCIe", [2] = "5.0 GT/s PCIe", [3] = "8.0 GT/s PCIe",
		[4] = "16.0 GT/s PCIe", [5] = "32.0 GT/s PCIe", [6] = "64.0 GT/s PCIe",
	};

	return snprintf(buf, len, "%s\n", speeds[reg & 15] ? speeds[reg & 15] : "Unknown");
}

static int show_current_speed(const struct view *v, char *buf, size_t len)
{
	return show_speed(link_register(v, 0x12), buf, len);
}

static int show_max_speed(const struct view *v, char *buf, size_t len)
{
	return show_speed(link_register(v, 0x0c), buf, len);
}

static int show_current_width(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", link_register(v, 0x12) >> 4 & 0x3f);
}

static int show_max_width(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", link_register(v, 0x0c) >> 4 & 0x3f);
}

static int show_ari(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%d\n", pci_physfn(v->fn) || pci_sriov_total(v->fn));
}

static int show_sriov_totalvfs(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", pci_sriov_total(v->fn));
}

static int show_sriov_numvfs(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", pci_sriov_numvfs(v->fn));
}

static int show_sriov_offset(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", pci_sriov_offset(v->fn));
}

static int show_sriov_stride(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%u\n", pci_sriov_stride(v->fn));
}

static int show_sriov_vf_device(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%x\n", pci_sriov_vf_device(v->fn));
}

static int show_sriov_autoprobe(const struct view *v, char *buf, size_t len)
{
	return snprintf(buf, len, "%d\n", pci_sriov_autoprobe(v->fn));
}

static const struct attr attrs[] = {
	{ "vendor", 0444, .show = show_vendor },
	{ "device", 0444, .show = show_device },
	{ "subsystem_vendor", 0444, .show = show_subsys_vendor },
	{ "subsystem_device", 0444, .show = show_subsys_device },
	{ "revision", 0444, .show = show_revision },
	{ "class", 0444, .show = show_class },
	{ "modalias", 0444, .show = show_modalias },
	{ "resource", 0444, .show = show_resource },
	{ "irq", 0444, .text = "0\n" },
	{ "numa_node", 0644, .text = "-1\n" },
	{ "local_cpus", 0444, .show = show_local_cpus },
	{ "local_cpulist", 0444, .show = show_local_cpulist },
	{ "enable", 0644, .moves = true, .show = show_enable },
	{ "msi_bus", 0644, .text = "1\n" },
	{ "broken_parity_status", 0644, .text = "0\n" },
	{ "dma_mask_bits", 0444, .text = "64\n" },
	{ "consistent_dma_mask_bits", 0444, .text = "64\n" },
	{ "current_link_speed", 0444, .show = show_current_speed },
	{ "current_link_width", 0444, .show = show_current_width },
	{ "max_link_speed", 0444, .show = show_max_speed },
	{ "max_link_width", 0444, .show = show_max_width },
	{ "ari_enabled", 0444, .show = show_ari },
	{ "d3cold_allowed", 0644, .text = "1\n" },
	{ "power_state", 0444, .text = "D0\n" },
	{ "driver_override", 0644, .moves = true, .show = show_driver_override },
	{ "reset", 0200, .text = "" },
	{ "reset_method", 0644, .text = "flr bus\n" },
	{ "uevent", 0644, .moves = true, .show = show_uevent },
	{ "sriov_totalvfs", 0444, .sriov = true, .show = show_sriov_totalvfs },
	{ "sriov_numvfs", 0644, .sriov = true, .moves = true, .show = show_sriov_numvfs },
	{ "sriov_offset", 0444, .sriov = true, .show = show_sriov_offset },
	{ "sriov_stride", 0444, .sriov = true, .show = show_sriov_stride },
	{ "sriov_vf_device", 0444, .sriov = true, .show = show_sriov_vf_device },
	{ "sriov_drivers_autoprobe", 0644, .sriov = true, .moves = true,
	  .show = show_sriov_autoprobe },
};

/* ------------------------------------------------------------------ functions */

struct names {
	char bdf[PCI_BDF_LEN];
	char bridge[16];	/* pci0000:01 */
	char parent[64];	/* sys/devices/ferry0/pci0000:01 */
	char dir[80];		/* the function's own folder */
	char group[12];
};

/* Which bus' folder it is in: VFs lie beside their PF, whatever their own bus is. */
static unsigned int folder_of(const struct pci_function *fn)
{
	const struct pci_function *pf = pci_physfn(fn);

	return pci_bdf_key(pf ? pf->bdf : fn->bdf) >> 8;
}

static void names_of(const struct pci_function *fn, struct names *n)
{
	snprintf(n->bdf, sizeof(n->bdf), PCI_BDF_FMT, PCI_BDF_ARG(fn->bdf));
	snprintf(n->bridge, sizeof(n->bridge), "pci%04x:%02x", folder_of(fn) >> 8,
		 folder_of(fn) & 0xff);
	snprintf(n->parent, sizeof(n->parent), DEVICES "/%s", n->bridge);
	snprintf(n->dir, sizeof(n->dir), DEVICES "/%s/%s", n->bridge, n->bdf);
	snprintf(n->group, sizeof(n->group), "%u", fn->iommu_group);
}

static void write_attrs(struct host *h, struct pci_function *fn, const struct names *n, bool all)
{
	uint8_t config[PCI_CONFIG_SIZE];
	struct view v = { fn, config };
	char buf[4096];
	unsigned int i;

	/* A client that holds the function up: what the files said stays. */
	if (env_strand_lock_for(&fn->strand, SNAPSHOT_WAIT_NS) < 0)
		return;
	memcpy(config, fn->state->config, sizeof(config));
	env_strand_unlock(&fn->strand);
	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		if ((!all && !attrs[i].moves) || (attrs[i].sriov && !fn->sriov))
			continue;
		if (attrs[i].show) {
			int len = attrs[i].show(&v, buf, sizeof(buf));

			put_data(h, n->dir, attrs[i].name, attrs[i].mode, buf,
				 MIN((size_t)len, sizeof(buf)));
		} else {
			put_text(h, n->dir, attrs[i].name, attrs[i].mode, attrs[i].text);
		}
	}
	put_data(h, n->dir, "config", 0644, config, sizeof(config));
}

void host_sysfs_refresh(struct host *h, struct pci_function *fn)
{
	struct names n;

	names_of(fn, &n);
	write_attrs(h, fn, &n, false);
}

static void put_virtfn(struct host *h, const struct pci_function *vf, const struct names *n)
{
	char name[24], target[24];
	struct names pf;

	names_of(pci_physfn(vf), &pf);
	snprintf(target, sizeof(target), "../%s", pf.bdf);
	put_link(h, n->dir, "physfn", target);
	snprintf(name, sizeof(name), "virtfn%u", pci_vf_index(vf));
	snprintf(target, sizeof(target), "../%s", n->bdf);
	put_link(h, pf.dir, name, target);
}

static void drop_virtfn(struct host *h, const struct pci_function *vf)
{
	struct names pf;
	char name[24];

	names_of(pci_physfn(vf), &pf);
	snprintf(name, sizeof(name), "virtfn%u", pci_vf_index(vf));
	drop(h, pf.dir, name);
}

static void fn_added(struct pci_observer *o, struct pci_function *fn)
{
	struct host *h = container_of(o, struct host, sysfs);
	char path[128], target[128];
	struct names n;

	names_of(fn, &n);
	put_dir(h, DEVICES, n.bridge);
	put_dir(h, n.parent, n.bdf);
	write_attrs(h, fn, &n, true);
	put_link(h, n.dir, "subsystem", "../../../../bus/pci");
	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%s", n.group);
	put_link(h, n.dir, "iommu_group", target);
	if (pci_physfn(fn))
		put_virtfn(h, fn, &n);
	snprintf(target, sizeof(target), "../../../devices/ferry0/%s/%s", n.bridge, n.bdf);
	put_link(h, "sys/bus/pci/devices", n.bdf, target);

	put_dir(h, GROUPS, n.group);
	snprintf(path, sizeof(path), GROUPS "/%s", n.group);
	put_text(h, path, "reserved_regions", 0444, "0x00000000fee00000 0x00000000feefffff msi\n");
	put_text(h, path, "type", 0644, "DMA\n");
	put_dir(h, path, "devices");
	snprintf(path, sizeof(path), GROUPS "/%s/devices", n.group);
	snprintf(target, sizeof(target), "../../../../devices/ferry0/%s/%s", n.bridge, n.bdf);
	put_link(h, path, n.bdf, target);
}

static void fn_removed(struct pci_observer *o, struct pci_function *fn)
{
	struct host *h = container_of(o, struct host, sysfs);
	struct pci_function *it;
	struct names n;

	names_of(fn, &n);
	if (pci_physfn(fn))
		drop_virtfn(h, fn);
	drop(h, "sys/bus/pci/devices", n.bdf);
	drop(h, GROUPS, n.group);
	drop(h, n.parent, n.bdf);
	list_for_each(it, &fn->bus->functions, bus_link)
		if (it != fn && folder_of(it) == folder_of(fn))
			return;
	drop(h, DEVICES, n.bridge);
}

/* What a VFIO driver adds: the device's cdev, the group's node, their class entries. */
static void put_vfio(struct host *h, const struct names *n, const struct vfio_device_info_ext *info)
{
	char name[24], dir[128], text[128], target[160];

	snprintf(name, sizeof(name), "vfio%u", info->index);
	put_dir(h, n->dir, "vfio-dev");
	snprintf(dir, sizeof(dir), "%s/vfio-dev", n->dir);
	put_dir(h, dir, name);
	snprintf(dir, sizeof(dir), "%s/vfio-dev/%s", n->dir, name);
	snprintf(text, sizeof(text), "%u:%u\n", info->cdev_major, info->cdev_minor);
	put_text(h, dir, "dev", 0444, text);
	snprintf(text, sizeof(text), "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/devices/%s\n", info->cdev_major,
		 info->cdev_minor, name);
	put_text(h, dir, "uevent", 0644, text);
	snprintf(target, sizeof(target), "../../../%s", n->bdf);
	put_link(h, dir, "device", target);
	put_link(h, dir, "subsystem", "../../../../../../class/vfio-dev");
	put_dir(h, dir, "power");
	snprintf(target, sizeof(target), "../../devices/ferry0/%s/%s/vfio-dev/%s", n->bridge, n->bdf,
		 name);
	put_link(h, "sys/class/vfio-dev", name, target);
	put_text(h, "dev/vfio/devices", name, 0444, "");
	snprintf(text, sizeof(text), "%u:%u", info->cdev_major, info->cdev_minor);
	snprintf(target, sizeof(target), "../vfio/devices/%s", name);
	put_link(h, "dev/char", text, target);

	put_dir(h, DEVICES "/virtual/vfio", n->group);
	snprintf(dir, sizeof(dir), DEVICES "/virtual/vfio/%s", n->group);
	snprintf(text, sizeof(text), "%u:%u\n", info->group_major, info->group_minor);
	put_text(h, dir, "dev", 0444, text);
	snprintf(text, sizeof(text), "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/%s\n", info->group_major,
		 info->group_minor, n->group);
	put_text(h, dir, "uevent", 0644, text);
	put_link(h, dir, "subsystem", "../../../../../class/vfio");
	snprintf(target, sizeof(target), "../../devices/ferry0/virtual/vfio/%s", n->group);
	put_link(h, "sys/class/vfio", n->group, target);
	put_text(h, "dev/vfio", n->group, 0444, "");
	snprintf(text, sizeof(text), "%u:%u", info->group_major, info->group_minor);
	snprintf(target, sizeof(target), "../vfio/%s", n->group);
	put_link(h, "dev/char", text, target);
}

/* "maj:min" from a "dev" file of the tree. */
static void drop_char(struct host *h, const char *dir)
{
	char path[192], text[32];
	auto_close int fd = -1;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/dev", dir);
	fd = openat(h->root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	len = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (len < 2)
		return;
	text[len - 1] = '\0';
	drop(h, "dev/char", text);
}

/* The device is no VFIO device any more: its number is what the tree says. */
static void drop_vfio(struct host *h, const struct names *n)
{
	char dir[128], path[192];
	struct dirent *e;
	DIR *d;
	int fd;

	snprintf(dir, sizeof(dir), "%s/vfio-dev", n->dir);
	fd = openat(h->root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "vfio", 4))
			continue;
		snprintf(path, sizeof(path), "%s/%.32s", dir, e->d_name);
		drop_char(h, path);
		drop(h, "dev/vfio/devices", e->d_name);
		drop(h, "sys/class/vfio-dev", e->d_name);
	}
	closedir(d);
	drop(h, n->dir, "vfio-dev");
	snprintf(path, sizeof(path), DEVICES "/virtual/vfio/%s", n->group);
	drop_char(h, path);
	drop(h, "dev/vfio", n->group);
	drop(h, "sys/class/vfio", n->group);
	drop(h, DEVICES "/virtual/vfio", n->group);
}

static void fn_bound(struct pci_observer *o, struct pci_function *fn)
{
	struct host *h = container_of(o, struct host, sysfs);
	struct vfio_device *d = vfio_device_of(fn);
	struct vfio_device_info_ext info = { 0 };
	char path[128], target[128];
	struct names n;

	names_of(fn, &n);
	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", fn->driver->name);
	put_link(h, n.dir, "driver", target);
	snprintf(path, sizeof(path), DRIVERS "/%s", fn->driver->name);
	snprintf(target, sizeof(target), "../../../../devices/ferry0/%s/%s", n.bridge, n.bdf);
	put_link(h, path, n.bdf, target);
	if (d) {
		vfio_device_describe(d, &info);
		put_vfio(h, &n, &info);
	}
	write_attrs(h, fn, &n, false);
}

static void fn_unbound(struct pci_observer *o, struct pci_function *fn, const struct pci_driver *was)
{
	struct host *h = container_of(o, struct host, sysfs);
	char path[128];
	struct names n;

	names_of(fn, &n);
	drop_vfio(h, &n);
	snprintf(path, sizeof(path), DRIVERS "/%s", was->name);
	drop(h, path, n.bdf);
	drop(h, n.dir, "driver");
	write_attrs(h, fn, &n, false);
}

static void fn_vfs_changed(struct pci_observer *o, struct pci_function *pf)
{
	host_sysfs_refresh(container_of(o, struct host, sysfs), pf);
}

/* -------------------------------------------------------------------- the rest */

static int put_driver(struct host *h, const struct pci_driver *drv)
{
	static const char *const files[] = { "bind", "unbind", "new_id", "remove_id", "uevent" };
	char dir[128], target[128], module[80];
	unsigned int i;
	int ret;

	ret = put_dir(h, DRIVERS, drv->name);
	snprintf(dir, sizeof(dir), DRIVERS "/%s", drv->name);
	for (i = 0; i < ARRAY_SIZE(files) && !ret; i++)
		ret = put_text(h, dir, files[i], 0200, "");
	if (ret || !drv->module)
		return ret;
	snprintf(target, sizeof(target), "../../../../module/%s", drv->module);
	ret = put_link(h, dir, "module", target);
	ret = ret ? ret : put_dir(h, "sys/module", drv->module);
	snprintf(dir, sizeof(dir), "sys/module/%s", drv->module);
	ret = ret ? ret : put_dir(h, dir, "drivers");
	snprintf(dir, sizeof(dir), "sys/module/%s/drivers", drv->module);
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", drv->name);
	snprintf(module, sizeof(module), "pci:%s", drv->name);
	return ret ? ret : put_link(h, dir, module, target);
}

static const struct {
	const char *dir, *name;
	int mode;		/* of a file; -1: a folder */
	const char *text;
} skeleton[] = {
	{ ".", "sys", -1 }, { ".", "dev", -1 },
	{ "sys", "bus", -1 }, { "sys/bus", "pci", -1 },
	{ "sys/bus/pci", "devices", -1 }, { "sys/bus/pci", "drivers", -1 },
	{ "sys/bus/pci", "slots", -1 },
	{ "sys/bus/pci", "drivers_probe", 0200, "" },
	{ "sys/bus/pci", "drivers_autoprobe", 0644, "1\n" },
	{ "sys/bus/pci", "rescan", 0200, "" },
	{ "sys", "kernel", -1 }, { "sys/kernel", "iommu_groups", -1 },
	{ "sys", "class", -1 }, { "sys/class", "vfio", -1 }, { "sys/class", "vfio-dev", -1 },
	{ "sys", "devices", -1 }, { "sys/devices", "ferry0", -1 },
	{ DEVICES, "virtual", -1 }, { DEVICES "/virtual", "vfio", -1 },
	{ "sys", "module", -1 }, { "sys/module", "vfio", -1 },
	{ "sys/module/vfio", "parameters", -1 },
	{ "sys/module/vfio/parameters", "enable_unsafe_noiommu_mode", 0644, "N\n" },
	{ "dev", "vfio", -1 }, { "dev/vfio", "devices", -1 }, { "dev", "char", -1 },
	{ "dev/vfio", "vfio", 0444, "" },
	{ "dev", "iommu", 0444, "" },
};

int host_sysfs_init(struct host *h, struct ferry_err *err)
{
	unsigned int i;
	int ret = 0;

	if (mkdirat(h->run_fd, "root", 0755) < 0)
		return ferry_err_set(err, errno, "E-SYSFS", NULL, "cannot make %s: %s", h->root,
				     strerror(errno));
	h->root_fd = openat(h->run_fd, "root", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (h->root_fd < 0)
		return ferry_err_set(err, errno, "E-SYSFS", NULL, "%s: %s", h->root, strerror(errno));
	for (i = 0; i < ARRAY_SIZE(skeleton) && !ret; i++)
		ret = skeleton[i].mode < 0
			? put_dir(h, skeleton[i].dir, skeleton[i].name)
			: put_text(h, skeleton[i].dir, skeleton[i].name, (mode_t)skeleton[i].mode,
				   skeleton[i].text);
	for (i = 0; i < h->vfio.bus.nr_drivers && !ret; i++)
		ret = put_driver(h, h->vfio.bus.drivers[i]);
	if (ret < 0) {
		close(h->root_fd);
		h->root_fd = -1;
		return ferry_err_set(err, -ret, "E-SYSFS", NULL, "cannot fill %s: %s", h->root,
				     strerror(-ret));
	}
	h->sysfs = (struct pci_observer){ .added = fn_added, .removed = fn_removed,
					  .bound = fn_bound, .unbound = fn_unbound,
					  .vfs_changed = fn_vfs_changed };
	pci_bus_observe(&h->vfio.bus, &h->sysfs);
	return 0;
}

void host_sysfs_release(struct host *h)
{
	list_del(&h->sysfs.link);
	if (h->root_fd >= 0)
		close(h->root_fd);
	h->root_fd = -1;
}
