/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What vfio-pci-core does with a function on behalf of whoever has it open:
 * enable, disable, and the ioctls, which are the same on both paths.
 */
#include "vfio/internal.h"

#define REQ_PERIOD_NS 10000000000u
#define NR_REGIONS VFIO_PCI_NUM_REGIONS

static uint16_t command(struct vfio_device *d)
{
	return (uint16_t)pci_config_read(d->fn, PCI_COMMAND, 2);
}

void pci_core_disable(struct vfio_device *d)
{
	irqs_release(d);
	env_timer_cancel(&d->req_timer);
	d->low_power = false;
	if (d->wake_fd >= 0)
		close(take_fd(&d->wake_fd));
	pci_config_write(d->fn, PCI_COMMAND, 2, command(d) & ~(uint32_t)PCI_COMMAND_MASTER);
	reset_start(d, PCI_RESET_FLR, false);
	region_unshare(d, NULL);
}

void pci_core_enable(struct vfio_device *d)
{
	pci_config_write(d->fn, PCI_COMMAND, 2,
			 (command(d) | PCI_COMMAND_MEMORY) & ~(uint32_t)PCI_COMMAND_MASTER);
	config_init(d);
}

void pci_core_request(struct vfio_device *d)
{
	irq_signal(d->irqs.req_fd);
	env_timer_arm(&d->req_timer, env_now(&d->fn->strand) + REQ_PERIOD_NS);
}

static int64_t device_info(struct vfio_call *call, uint64_t arg)
{
	const uint32_t min = offsetof(struct vfio_device_info, cap_offset);
	struct vfio_device_info info = { 0 };
	int ret = user_in(call, arg, &info, min);

	if (ret < 0)
		return ret;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = NR_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return user_out(call, arg, &info, info.argsz, sizeof(info));
}

/* Checked as the kernel does; then no BAR here can be written by the kernel's hand. */
static int64_t ioeventfd(struct vfio_call *call, uint64_t arg)
{
	struct vfio_device_ioeventfd e;
	const uint32_t min = offsetof(struct vfio_device_ioeventfd, reserved);
	int ret = user_in(call, arg, &e, min);

	return ret < 0 ? ret : -EINVAL;
}

int64_t pci_core_ioctl(struct device_file *df, struct vfio_call *call, unsigned int cmd,
		       uint64_t arg)
{
	struct vfio_device *d = df->dev;

	if (cmd != VFIO_DEVICE_FEATURE) {
		env_strand_lock(&d->fn->strand);
		power_wake(d);
		env_strand_unlock(&d->fn->strand);
	}
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return device_info(call, arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(d, call, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(d, call, arg);
	case VFIO_DEVICE_SET_IRQS:
		return irq_set(d, call, arg);
	case VFIO_DEVICE_RESET:
		return device_reset(d, call);
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return hot_reset_info(df, call, arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return hot_reset(df, call, arg);
	case VFIO_DEVICE_IOEVENTFD:
		return ioeventfd(call, arg);
	case VFIO_DEVICE_FEATURE:
		return feature_ioctl(d, call, arg);
	default:
		return -ENOTTY;
	}
}
