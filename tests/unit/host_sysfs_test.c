/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The shadow tree: exact content, and that it follows what happens on the bus. */
#include "host_rig.h"

#define DEV "sys/devices/ferry0/pci0000:01/0000:01:00.0"

static bool is_text(const char *path, const char *want)
{
	char got[4096];
	int fd = openat(host->root_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		printf("# %s: cannot be read\n", path);
		return false;
	}
	got[n] = '\0';
	if (strcmp(got, want))
		printf("# %s: %s", path, got);
	return !strcmp(got, want);
}

static bool is_link(const char *path, const char *want)
{
	char got[256];
	ssize_t n = readlinkat(host->root_fd, path, got, sizeof(got) - 1);
	struct stat st;

	got[n < 0 ? 0 : n] = '\0';
	if (strcmp(got, want))
		printf("# %s -> %s\n", path, got);
	/* And it leads somewhere. */
	return !strcmp(got, want) && !fstatat(host->root_fd, path, &st, 0);
}

static bool is_there(const char *path)
{
	struct stat st;

	return !fstatat(host->root_fd, path, &st, AT_SYMLINK_NOFOLLOW);
}

static unsigned int mode_of(const char *path)
{
	struct stat st = { 0 };

	fstatat(host->root_fd, path, &st, 0);
	return st.st_mode & 07777;
}

static int64_t store_at(const char *path, const char *text)
{
	struct uapi_attr_call call = { 0 };

	return host_attr_store(host, path, text, strlen(text), &call);
}

static const struct pci_function *fn0(void)
{
	return list_first(&host->functions, struct host_fn, link)->fn;
}

static void test_tree__skeleton(void)
{
	CHECK(is_text("sys/bus/pci/drivers_autoprobe", "1\n"));
	CHECK(is_text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n"));
	CHECK(mode_of("sys/bus/pci/drivers_probe") == 0200);
	CHECK(mode_of("sys/bus/pci/drivers/vfio-pci/bind") == 0200);
	CHECK(mode_of("sys/bus/pci/drivers/vfio-pci/unbind") == 0200);
	CHECK(mode_of("sys/bus/pci/drivers/vfio-pci/new_id") == 0200);
	CHECK(mode_of("sys/bus/pci/drivers/vfio-pci/remove_id") == 0200);
	CHECK(is_link("sys/bus/pci/drivers/vfio-pci/module", "../../../../module/vfio_pci"));
	CHECK(is_link("sys/module/vfio_pci/drivers/pci:vfio-pci", "../../../bus/pci/drivers/vfio-pci"));
	CHECK(is_there("dev/vfio/vfio") && is_there("dev/iommu") && is_there("dev/vfio/devices"));
	CHECK(is_there("sys/class/vfio") && is_there("sys/class/vfio-dev"));
	CHECK(is_there("sys/kernel/iommu_groups"));
}

static void test_function__attributes(void)
{
	const struct pci_shape *s;
	char text[256], alias[80], path[128];
	unsigned int i;

	CHECK(rig_works("function_add", "{\"type\":\"nvme\"}"));
	s = &fn0()->shape;
	snprintf(text, sizeof(text), "0x%04x\n", s->vendor);
	CHECK(is_text(DEV "/vendor", text));
	snprintf(text, sizeof(text), "0x%04x\n", s->device);
	CHECK(is_text(DEV "/device", text));
	CHECK(is_text(DEV "/class", "0x010802\n"));
	CHECK(is_text(DEV "/irq", "0\n"));
	CHECK(is_text(DEV "/numa_node", "-1\n"));
	CHECK(is_text(DEV "/driver_override", "(null)\n"));
	pci_modalias(fn0(), alias, sizeof(alias));
	snprintf(text, sizeof(text), "%s\n", alias);
	CHECK(is_text(DEV "/modalias", text));
	snprintf(text, sizeof(text),
		 "PCI_CLASS=10802\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
		 "PCI_SLOT_NAME=0000:01:00.0\nMODALIAS=%s\n",
		 s->vendor, s->device, s->subsys_vendor, s->subsys_device, alias);
	CHECK(is_text(DEV "/uevent", text));
	CHECK(mode_of(DEV "/reset") == 0200 && mode_of(DEV "/driver_override") == 0644);
	CHECK(mode_of(DEV "/vendor") == 0444 && mode_of(DEV) == 0555 && mode_of("dev/vfio") == 0555);
	CHECK(is_link(DEV "/subsystem", "../../../../bus/pci"));
	snprintf(text, sizeof(text), "../../../../kernel/iommu_groups/%u", fn0()->iommu_group);
	CHECK(is_link(DEV "/iommu_group", text));
	CHECK(is_link("sys/bus/pci/devices/0000:01:00.0",
		      "../../../devices/ferry0/pci0000:01/0000:01:00.0"));
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/devices/0000:01:00.0",
		 fn0()->iommu_group);
	CHECK(is_link(path, "../../../../devices/ferry0/pci0000:01/0000:01:00.0"));
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/reserved_regions", fn0()->iommu_group);
	CHECK(is_text(path, "0x00000000fee00000 0x00000000feefffff msi\n"));
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/type", fn0()->iommu_group);
	CHECK(is_text(path, "DMA\n"));
	for (i = 0; i < 4; i++) {
		static const char *const absent[] = { "driver", "vfio-dev", "sriov_numvfs", "physfn" };

		snprintf(path, sizeof(path), DEV "/%s", absent[i]);
		CHECK(!is_there(path));
	}
}

static void test_function__resource_and_config(void)
{
	unsigned long long start, end, flags;
	unsigned int lines = 0;
	uint8_t config[PCI_CONFIG_SIZE + 1];
	char line[128];
	int fd = openat(host->root_fd, DEV "/resource", O_RDONLY | O_CLOEXEC);
	FILE *f = fdopen(fd, "r");

	while (fgets(line, sizeof(line), f)) {
		CHECK(strlen(line) == 57 &&
		      sscanf(line, "0x%16llx 0x%16llx 0x%16llx\n", &start, &end, &flags) == 3);
		if (!lines) {
			CHECK(end - start + 1 == fn0()->shape.bar[0].size && !(start & (end - start)));
			CHECK(flags & 0x200);
		}
		lines++;
	}
	CHECK(lines == 13);
	fclose(f);
	fd = openat(host->root_fd, DEV "/config", O_RDONLY | O_CLOEXEC);
	CHECK(read(fd, config, sizeof(config)) == PCI_CONFIG_SIZE);
	CHECK(!memcmp(config, fn0()->state->config, PCI_CONFIG_SIZE));
	close(fd);
}

static void test_bind__tree_follows(void)
{
	char text[64], path[128];
	int fd = openat(host->root_fd, DEV "/driver_override", O_RDONLY | O_CLOEXEC);
	unsigned int group = fn0()->iommu_group;
	struct vfio_device_info_ext info;

	CHECK(rig_works("driver_bind", "{\"address\":\"01:00.0\",\"driver\":\"vfio-pci\"}"));
	/* A file that was open before shows the new text. */
	memset(text, 0, sizeof(text));
	CHECK(pread(fd, text, sizeof(text), 0) == 9 && !strcmp(text, "vfio-pci\n"));
	CHECK(is_link(DEV "/driver", "../../../../bus/pci/drivers/vfio-pci"));
	CHECK(is_link("sys/bus/pci/drivers/vfio-pci/0000:01:00.0",
		      "../../../../devices/ferry0/pci0000:01/0000:01:00.0"));
	vfio_device_describe(vfio_device_of(list_first(&host->functions, struct host_fn, link)->fn),
			     &info);
	snprintf(text, sizeof(text), "%u:%u\n", info.cdev_major, info.cdev_minor);
	snprintf(path, sizeof(path), DEV "/vfio-dev/vfio%u/dev", info.index);
	CHECK(is_text(path, text));
	snprintf(path, sizeof(path), DEV "/vfio-dev/vfio%u/device", info.index);
	CHECK(is_link(path, "../../../0000:01:00.0"));
	snprintf(path, sizeof(path), DEV "/vfio-dev/vfio%u/subsystem", info.index);
	CHECK(is_link(path, "../../../../../../class/vfio-dev"));
	snprintf(path, sizeof(path), "sys/class/vfio-dev/vfio%u/dev", info.index);
	CHECK(is_text(path, text));
	snprintf(path, sizeof(path), "dev/vfio/devices/vfio%u", info.index);
	CHECK(is_there(path));
	snprintf(path, sizeof(path), "dev/char/%u:%u", info.cdev_major, info.cdev_minor);
	CHECK(is_there(path));
	snprintf(path, sizeof(path), "dev/vfio/%u", group);
	CHECK(is_there(path));
	snprintf(path, sizeof(path), "sys/class/vfio/%u/dev", group);
	snprintf(text, sizeof(text), "%u:%u\n", info.group_major, info.group_minor);
	CHECK(is_text(path, text));

	CHECK(rig_works("driver_unbind", "{\"address\":\"01:00.0\"}"));
	memset(text, 0, sizeof(text));
	CHECK(pread(fd, text, sizeof(text), 0) == 7 && !strcmp(text, "(null)\n"));
	close(fd);
	CHECK(!is_there(DEV "/driver") && !is_there(DEV "/vfio-dev"));
	CHECK(!is_there("sys/bus/pci/drivers/vfio-pci/0000:01:00.0"));
	snprintf(path, sizeof(path), "dev/vfio/devices/vfio%u", info.index);
	CHECK(!is_there(path));
	snprintf(path, sizeof(path), "dev/char/%u:%u", info.cdev_major, info.cdev_minor);
	CHECK(!is_there(path));
	snprintf(path, sizeof(path), "dev/vfio/%u", group);
	CHECK(!is_there(path));
	snprintf(path, sizeof(path), "sys/class/vfio/%u", group);
	CHECK(!is_there(path));
}

static void test_attr__errno(void)
{
	static const struct {
		const char *path, *text;
		int64_t ret;
	} t[] = {
		{ "/sys/bus/pci/drivers/vfio-pci/bind", "0000:01:00.0\n", -ENODEV },
		{ "/sys/bus/pci/drivers/vfio-pci/bind", "0000:77:00.0", -ENODEV },
		{ "/sys/bus/pci/drivers/vfio-pci/bind", "nonsense", -ENODEV },
		{ "/sys/bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0", -ENODEV },
		{ "/sys/bus/pci/drivers/nothing/bind", "0000:01:00.0", -EACCES },
		{ "/sys/bus/pci/drivers/vfio-pci/uevent", "add", -EACCES },
		{ "/sys/bus/pci/drivers_probe", "0000:77:00.0", -ENODEV },
		{ "/" DEV "/vendor", "1", -EACCES },
		{ "/" DEV "/reset", "2", -EINVAL },
		{ "/" DEV "/reset", "x", -EINVAL },
		{ "/" DEV "/reset", "1\n", 2 },
		{ "/" DEV "/driver_override", "vfio-pci\n", 9 },
		{ "/sys/bus/pci/drivers/vfio-pci/bind", "0000:01:00.0\n", 13 },
		{ "/sys/bus/pci/drivers/vfio-pci/bind", "0000:01:00.0\n", -EBUSY },
		{ "/sys/bus/pci/drivers_probe", "0000:01:00.0\n", 13 },	/* bound: nothing to do */
		{ "/sys/bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0", 12 },
		{ "/" DEV "/driver_override", "\n", 1 },
		{ "/sys/bus/pci/drivers/vfio-pci/new_id", "1234", -EINVAL },
		{ "/sys/bus/pci/drivers/vfio-pci/new_id", "1234 5678", 9 },
		{ "/sys/bus/pci/drivers/vfio-pci/new_id", "1234 5678\n", -EEXIST },
		{ "/sys/bus/pci/drivers/vfio-pci/remove_id", "1234 5679", -ENODEV },
		{ "/sys/bus/pci/drivers/vfio-pci/remove_id", "1234 5678", 9 },
		{ "/sys/kernel/iommu_groups/0/type", "identity", -EACCES },
		{ "/sys/devices/ferry0/pci0000:01/0000:01:00.0", "x", -EACCES },
		{ "/sys/devices/ferry0/x", "x", -EACCES },
	};
	struct uapi_attr_call call = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		int64_t ret = host_attr_store(host, t[i].path, t[i].text, strlen(t[i].text), &call);

		if (ret != t[i].ret)
			printf("# %s %s: %lld\n", t[i].path, t[i].text, (long long)ret);
		CHECK(ret == t[i].ret);
	}
	CHECK(is_text(DEV "/driver_override", "(null)\n"));
}

/* new_id claims what is there, and leaves no override. */
static void test_attr__new_id(void)
{
	char id[32];

	snprintf(id, sizeof(id), "%04x %04x\n", fn0()->shape.vendor, fn0()->shape.device);
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/new_id", id) == (int64_t)strlen(id));
	CHECK(is_there(DEV "/driver") && is_text(DEV "/driver_override", "(null)\n"));
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0") == 12);
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/bind", "0000:01:00.0") == 12);
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0") == 12);
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/remove_id", id) == (int64_t)strlen(id));
	CHECK(store_at("/sys/bus/pci/drivers/vfio-pci/bind", "0000:01:00.0") == -ENODEV);
}

static void test_delete__nothing_left(void)
{
	char path[64];

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", fn0()->iommu_group);
	CHECK(is_there(path));
	CHECK(rig_works("function_add", "{\"type\":\"nvme\",\"address\":\"01:00.1\",\"driver\":\"vfio-pci\"}"));
	CHECK(rig_works("function_delete", "{\"address\":\"01:00.0\"}"));
	CHECK(!is_there(path) && !is_there(DEV) && !is_there("sys/bus/pci/devices/0000:01:00.0"));
	CHECK(is_there("sys/devices/ferry0/pci0000:01"));
	CHECK(rig_works("function_delete", "{\"address\":\"01:00.1\"}"));
	CHECK(!is_there("sys/devices/ferry0/pci0000:01"));
}

/* ---------------------------------------------------------------------- SR-IOV */

static struct pci_unbind *held;		/* a VF whose client does not let go */
static bool hold_on;

static int pf_probe(struct pci_function *fn, struct ferry_err *err)
{
	return 0;
}

static void pf_remove(struct pci_unbind *u)
{
	if (hold_on)
		held = u;
	else
		u->done(u, 0);
}

static const struct pci_driver pf_driver = { .name = "pf-test", .probe = pf_probe,
					     .remove = pf_remove, .sriov = true };

static int64_t answer;

static void answered(struct uapi_attr_call *call, int64_t ret)
{
	answer = ret;
}

static int64_t store_pf(const char *attr, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/" DEV "/%s", attr);
	return store_at(path, text);
}

/* The control side runs on the worker. */
static bool soon(bool (*is)(void))
{
	unsigned int i;
	bool ok = false;

	for (i = 0; i < 500 && !ok; i++) {
		host_step(host, 10);
		vfio_host_lock(&host->vfio);
		ok = is();
		vfio_host_unlock(&host->vfio);
	}
	return ok;
}

static bool no_vfs(void)
{
	return !pci_sriov_numvfs(fn0());
}

static void test_sriov__attributes(void)
{
	CHECK(pci_driver_register(&host->vfio.bus, &pf_driver) == 0);
	CHECK(rig_works("function_add", "{\"type\":\"nvme\",\"vfs_max\":9}"));
	CHECK(is_text(DEV "/sriov_totalvfs", "9\n") && is_text(DEV "/sriov_numvfs", "0\n"));
	CHECK(is_text(DEV "/sriov_offset", "1\n") && is_text(DEV "/sriov_stride", "1\n"));
	CHECK(is_text(DEV "/sriov_vf_device", "f01\n"));
	CHECK(is_text(DEV "/sriov_drivers_autoprobe", "1\n") && is_text(DEV "/ari_enabled", "1\n"));
	CHECK(mode_of(DEV "/sriov_numvfs") == 0644 && mode_of(DEV "/sriov_totalvfs") == 0444);
	/* In the kernel's order. */
	CHECK(store_pf("sriov_numvfs", "x") == -EINVAL && store_pf("sriov_numvfs", "") == -EINVAL);
	CHECK(store_pf("sriov_numvfs", "65536") == -EINVAL && store_pf("sriov_numvfs", "-1") == -EINVAL);
	CHECK(store_pf("sriov_numvfs", "10") == -ERANGE && store_pf("sriov_numvfs", "65535") == -ERANGE);
	CHECK(store_pf("sriov_numvfs", "0") == 1);
	CHECK(store_pf("sriov_numvfs", "2\n") == -ENOENT);
	CHECK(rig_works("driver_bind", "{\"address\":\"01:00.0\",\"driver\":\"vfio-pci\"}"));
	CHECK(store_pf("sriov_numvfs", "2\n") == -ENOENT);
	CHECK(rig_works("driver_unbind", "{\"address\":\"01:00.0\"}"));
	CHECK(rig_works("driver_bind", "{\"address\":\"01:00.0\",\"driver\":\"pf-test\"}"));
	CHECK(store_pf("sriov_numvfs", "0x9\n") == 4);
	CHECK(store_pf("sriov_numvfs", "9") == 1 && store_pf("sriov_numvfs", "8") == -EBUSY);
	CHECK(is_text(DEV "/sriov_numvfs", "9\n"));
}

#define VF9 "sys/devices/ferry0/pci0000:01/0000:01:01.1"

static void test_sriov__virtual_functions(void)
{
	json_object *reply, *list, *v;
	char text[64];

	CHECK(is_link(DEV "/virtfn0", "../0000:01:00.1") && is_link(DEV "/virtfn8", "../0000:01:01.1"));
	CHECK(is_link(VF9 "/physfn", "../0000:01:00.0") && !is_there(DEV "/physfn"));
	CHECK(!is_there(VF9 "/sriov_numvfs") && !is_there(DEV "/virtfn9"));
	CHECK(is_text(VF9 "/vendor", "0xfe55\n") && is_text(VF9 "/device", "0x0f01\n"));
	CHECK(is_link("sys/bus/pci/devices/0000:01:01.1",
		      "../../../devices/ferry0/pci0000:01/0000:01:01.1"));
	snprintf(text, sizeof(text), "../../../../kernel/iommu_groups/%u", fn0()->iommu_group + 9);
	CHECK(is_link(VF9 "/iommu_group", text));
	CHECK(is_text(VF9 "/driver_override", "(null)\n"));

	reply = rig_call("function_list", NULL);
	CHECK(json_object_object_get_ex(reply, "result", &v) &&
	      json_object_object_get_ex(v, "functions", &list) && json_object_array_length(list) == 10);
	v = json_object_array_get_idx(list, 9);
	CHECK(!strcmp(rpc_str(v, "role", ""), "vf9") && !strcmp(rpc_str(v, "cntlid", ""), "0x000a"));
	CHECK(!strcmp(rpc_str(v, "address", ""), "0000:01:01.1") &&
	      !strcmp(rpc_str(v, "state", ""), "inactive") &&
	      !strcmp(rpc_str(v, "pf", ""), "0000:01:00.0"));
	v = json_object_array_get_idx(list, 0);
	CHECK(!strcmp(rpc_str(v, "role", ""), "pf") && rpc_uint(v, "vfs", 0) == 9);
	json_object_put(reply);
	CHECK(rig_works("function_show", "{\"address\":\"01:01.1\"}"));
	CHECK(rig_works("function_reset", "{\"address\":\"01:01.1\"}"));
	CHECK(rig_fails("function_set", "{\"address\":\"01:01.1\",\"queues\":2}", "E-FUNCTION-VF"));
	CHECK(rig_fails("function_delete", "{\"address\":\"01:01.1\"}", "E-FUNCTION-VF"));
	CHECK(rig_works("driver_bind", "{\"address\":\"01:01.1\",\"driver\":\"vfio-pci\"}"));
	CHECK(is_there(VF9 "/vfio-dev"));
	CHECK(rig_fails("function_add", "{\"type\":\"nvme\",\"address\":\"01:01.1\"}",
			"E-FUNCTION-EXISTS"));
	CHECK(rig_works("function_add", "{\"type\":\"nvme\"}") && is_there("sys/bus/pci/devices/0000:01:02.0"));
	CHECK(rig_works("function_delete", "{\"address\":\"01:02.0\"}"));
}

static void test_sriov__removal(void)
{
	struct uapi_attr_call call = { .complete = answered };
	json_object *saved;

	CHECK(rig_fails("function_set", "{\"address\":\"01:00.0\",\"vfs\":10}", "E-SRIOV-TOTAL"));
	CHECK(rig_fails("function_set", "{\"address\":\"01:00.0\",\"vfs\":1}", "E-SRIOV-VFS"));
	CHECK(rig_fails("function_set", "{\"address\":\"01:00.0\",\"vfs\":0,\"queues\":2}",
			"E-PARAM-VALUE"));
	/* One has a client that takes its time. */
	CHECK(rig_works("driver_bind", "{\"address\":\"01:00.3\",\"driver\":\"pf-test\"}"));
	hold_on = true;
	answer = 0;
	CHECK(host_attr_store(host, "/" DEV "/sriov_numvfs", "0", 1, &call) == -EINPROGRESS);
	host_step(host, 50);
	CHECK(!answer && held && is_text(DEV "/sriov_numvfs", "9\n") && is_there(DEV "/virtfn2"));
	vfio_host_lock(&host->vfio);
	held->done(held, 0);
	vfio_host_unlock(&host->vfio);
	hold_on = false;
	CHECK(soon(no_vfs) && answer == 1);
	CHECK(is_text(DEV "/sriov_numvfs", "0\n") && !is_there(DEV "/virtfn0") && !is_there(VF9));
	/* By the control protocol, and gone with a reset of the PF. */
	CHECK(rig_works("function_set", "{\"address\":\"01:00.0\",\"vfs\":3}"));
	CHECK(is_there(DEV "/virtfn2"));
	saved = host_config_save(host);
	CHECK(strstr(json_object_to_json_string_ext(saved, JSON_C_TO_STRING_PLAIN), "\"vfs\":3"));
	json_object_put(saved);
	CHECK(store_pf("reset", "1") == 1 && soon(no_vfs));
	CHECK(is_text(DEV "/sriov_numvfs", "0\n") && !is_there(DEV "/virtfn2"));
	CHECK(store_pf("sriov_drivers_autoprobe", "n\n") == 2);
	CHECK(is_text(DEV "/sriov_drivers_autoprobe", "0\n"));
	CHECK(store_pf("sriov_drivers_autoprobe", "maybe") == -EINVAL);
	/* With its PF. */
	CHECK(rig_works("function_set", "{\"address\":\"01:00.0\",\"vfs\":3}"));
	CHECK(rig_works("function_set", "{\"address\":\"01:00.0\",\"queues\":2}"));
	CHECK(is_text(DEV "/sriov_numvfs", "3\n") && is_there(DEV "/virtfn2"));
	CHECK(rig_works("function_delete", "{\"address\":\"01:00.0\"}"));
	CHECK(!is_there("sys/devices/ferry0/pci0000:01"));
	CHECK(rig_fails("function_add", "{\"type\":\"nvme\",\"vfs_max\":2,\"vfs\":1}", "E-SRIOV-DRIVER"));
	CHECK(rig_fails("function_add", "{\"type\":\"nvme\",\"driver\":\"pf-test\",\"vfs_max\":2,"
			"\"vfs\":3}", "E-SRIOV-TOTAL"));
	/* The end of the host finds some. */
	CHECK(rig_works("function_add", "{\"type\":\"nvme\",\"driver\":\"pf-test\",\"vfs_max\":2,"
			"\"vfs\":2}"));
}

int main(void)
{
	rig_scratch();
	rig_up("t");
	RUN(test_tree__skeleton);
	RUN(test_function__attributes);
	RUN(test_function__resource_and_config);
	RUN(test_bind__tree_follows);
	RUN(test_attr__errno);
	RUN(test_attr__new_id);
	RUN(test_delete__nothing_left);
	RUN(test_sriov__attributes);
	RUN(test_sriov__virtual_functions);
	RUN(test_sriov__removal);
	rig_down();
	rig_scratch_remove();
	return tap_end();
}
