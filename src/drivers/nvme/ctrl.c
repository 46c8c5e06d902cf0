/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The controller: bring-up, resets, shutdown. One step at a time, each with a
 * deadline; a timer looks every millisecond whether the registers agree.
 *
 *   connect: DISABLE (if enabled) -> ENABLE -> IDENT -> live
 *   reset:   DISABLE -> what was in flight fails -> ENABLE -> IDENT -> live
 *   remove:  SHUTDOWN -> REMOVE -> gone
 *
 * A step that misses its deadline resets the function (FLR) and starts again;
 * after a few of those the controller is dead. Somebody else's reset of the
 * function shows in dev->reset, which always waits for the next one: then all
 * begins anew, configuration space included.
 */
#include "drivers/nvme/dev.h"

#define TICK_NS DEV_NS_PER_MS
#define FLR_NS (10 * DEV_NS_PER_S)
#define SHUTDOWN_NS (5 * DEV_NS_PER_S)
#define TRIES 3u

#define PCI_COMMAND_OFF 4
#define PCI_COMMAND_BITS 6u		/* memory, bus master */
#define CSTS_GONE 0xffffffffu		/* nobody answers */

static uint32_t reg_read(struct nvme_dev *dev, uint64_t off)
{
	return (uint32_t)pci_bar_read(dev->fn, 0, off, 4);
}

static void reg_write(struct nvme_dev *dev, uint64_t off, uint32_t val)
{
	pci_bar_write(dev->fn, 0, off, 4, val);
}

static void step_to(struct nvme_dev *dev, enum dev_step step, uint64_t takes)
{
	dev->step = step;
	dev->deadline = dev_now(dev) + takes;
	if (step == STEP_NONE || step == STEP_IDENT || step == STEP_GONE)
		env_timer_cancel(&dev->step_timer);
	else if (env_timer_arm(&dev->step_timer, dev_now(dev)) < 0)
		DEV_LOG(dev, LOG_ERROR, "no memory for a timer");
}

/* CAP.TO, and a second for whoever shares the machine with us. */
static uint64_t ready_ns(const struct nvme_dev *dev)
{
	return (dev->cap >> NVME_CAP_TO_SHIFT & 0xff) * (DEV_NS_PER_S / 2) + DEV_NS_PER_S;
}

static void lost(struct nvme_dev *dev)
{
	if (dev->state == NVME_DEV_LIVE)
		dev->state = NVME_DEV_RESETTING;
	dev_raise(dev, EV_LOST);
}

static void dead(struct nvme_dev *dev, const char *why)
{
	DEV_LOG(dev, LOG_ERROR, "%s: given up", why);
	step_to(dev, STEP_NONE, 0);
	dev->state = NVME_DEV_DEAD;
	pci_config_write(dev->fn, PCI_COMMAND_OFF, 2, PCI_COMMAND_BITS & ~4u);
	admin_fail(dev, -EIO);
	dev_raise(dev, EV_LOST | EV_DEAD);
}

/* --------------------------------------------------------------- disable, enable */

static void disable(struct nvme_dev *dev, enum dev_step step)
{
	reg_write(dev, NVME_REG_CC, reg_read(dev, NVME_REG_CC) & ~NVME_CC_EN);
	step_to(dev, step, ready_ns(dev));
}

static void enable(struct nvme_dev *dev)
{
	uint32_t page = (uint32_t)(dev->cap >> NVME_CAP_MPSMIN_SHIFT & 0xf);
	uint32_t cc = NVME_CC_EN | NVME_SQES << NVME_CC_IOSQES_SHIFT |
		      NVME_CQES << NVME_CC_IOCQES_SHIFT;

	if (page) {
		dead(dev, "its smallest page is larger than 4 KiB");
		return;
	}
	admin_reset(dev);
	reg_write(dev, NVME_REG_AQA, (DEV_ENTRIES - 1) | (DEV_ENTRIES - 1) << 16);
	reg_write(dev, NVME_REG_ASQ, (uint32_t)(DEV_IOVA + DEV_SQ_OFF));
	reg_write(dev, NVME_REG_ASQ + 4, (uint32_t)((DEV_IOVA + DEV_SQ_OFF) >> 32));
	reg_write(dev, NVME_REG_ACQ, (uint32_t)(DEV_IOVA + DEV_CQ_OFF));
	reg_write(dev, NVME_REG_ACQ + 4, (uint32_t)((DEV_IOVA + DEV_CQ_OFF) >> 32));
	reg_write(dev, NVME_REG_CC, cc);
	step_to(dev, STEP_ENABLE, ready_ns(dev));
}

static void flr(struct nvme_dev *dev, enum dev_step step)
{
	step_to(dev, step, FLR_NS);
	pci_reset(dev->fn, PCI_RESET_FLR, NULL);
}

void ctrl_failed(struct nvme_dev *dev, const char *why)
{
	if (++dev->tries >= TRIES) {
		dead(dev, why);
		return;
	}
	DEV_LOG(dev, LOG_WARN, "%s: resetting the function", why);
	flr(dev, STEP_FLR);
}

void nvme_dev_reset(struct nvme_dev *dev, const char *why)
{
	if (dev->state != NVME_DEV_LIVE) {
		if (dev->step == STEP_IDENT)
			ctrl_failed(dev, why);
		return;
	}
	DEV_LOG(dev, LOG_WARN, "%s: resetting the controller", why);
	dev->resets++;
	dev->tries++;
	lost(dev);
	disable(dev, STEP_DISABLE);
}

static void irq(void *arg, unsigned int vector)
{
	struct nvme_dev *dev = arg;

	env_work_queue(&dev->work);
}

void ctrl_connect(struct nvme_dev *dev)
{
	pci_config_write(dev->fn, PCI_COMMAND_OFF, 2, PCI_COMMAND_BITS);
	pci_msix_setup(dev->fn, 1, (struct pci_irq){ .fn = irq, .arg = dev });
	dev->cap = pci_bar_read(dev->fn, 0, NVME_REG_CAP, 8);
	dev->vs = reg_read(dev, NVME_REG_VS);
	if (dev->cap == UINT64_MAX)
		ctrl_failed(dev, "nobody answers");
	else if (reg_read(dev, NVME_REG_CC) & NVME_CC_EN)
		disable(dev, STEP_DISABLE);
	else
		enable(dev);
}

void ctrl_live(struct nvme_dev *dev)
{
	if (dev->step != STEP_IDENT)
		return;
	step_to(dev, STEP_NONE, 0);
	dev->tries = 0;
	dev->state = NVME_DEV_LIVE;
	DEV_LOG(dev, LOG_INFO, "live%s", dev->lm_capable ? ", manages live migration" : "");
	dev_raise(dev, EV_LIVE);
	admin_start(dev);
}

/* ------------------------------------------------------------------- removal */

static void gone(struct nvme_dev *dev)
{
	step_to(dev, STEP_GONE, 0);
	pci_msix_setup(dev->fn, 0, (struct pci_irq){ 0 });
	pci_config_write(dev->fn, PCI_COMMAND_OFF, 2, 0);
	pci_dma_set(dev->fn, NULL, NULL);
	list_del(&dev->reset.link);
	admin_fail(dev, -ENODEV);
	admin_failed_run(dev);
	env_timer_cancel(&dev->cmd_timer);
	env_work_cancel(&dev->work);
	dev_raise(dev, EV_REMOVED);
}

void ctrl_remove(struct nvme_dev *dev)
{
	uint32_t cc = reg_read(dev, NVME_REG_CC), csts = reg_read(dev, NVME_REG_CSTS);
	uint64_t takes = MAX(SHUTDOWN_NS, (uint64_t)le32_get(dev->id.rtd3e) * 1000);
	bool was_dead = dev->state == NVME_DEV_DEAD;

	dev->state = NVME_DEV_DELETING;
	if (pci_reset_busy(dev->fn)) {
		step_to(dev, STEP_REMOVE_FLR, FLR_NS);
	} else if (csts == CSTS_GONE || !(cc & NVME_CC_EN)) {
		gone(dev);
	} else if ((csts & NVME_CSTS_CFS) || was_dead) {
		disable(dev, STEP_REMOVE);
	} else {
		reg_write(dev, NVME_REG_CC, (cc & ~(NVME_CC_SHN_MASK << NVME_CC_SHN_SHIFT)) |
			  NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);
		step_to(dev, STEP_SHUTDOWN, takes);
	}
}

/* --------------------------------------------------------------------- steps */

/* Return whether @step got where it should; what comes next has begun. */
static bool step_over(struct nvme_dev *dev, uint32_t csts)
{
	switch (dev->step) {
	case STEP_DISABLE:
		if (csts & NVME_CSTS_RDY)
			return false;
		admin_fail(dev, -EIO);
		enable(dev);
		return true;
	case STEP_ENABLE:
		if (csts & NVME_CSTS_CFS) {
			ctrl_failed(dev, "fatal status while it was enabled");
			return true;
		}
		if (!(csts & NVME_CSTS_RDY))
			return false;
		step_to(dev, STEP_IDENT, 0);
		ident_start(dev);
		return true;
	case STEP_SHUTDOWN:
		if ((csts >> NVME_CSTS_SHST_SHIFT & NVME_CSTS_SHST_MASK) != NVME_CSTS_SHST_CMPLT)
			return false;
		disable(dev, STEP_REMOVE);
		return true;
	case STEP_REMOVE:
		if (csts & NVME_CSTS_RDY)
			return false;
		gone(dev);
		return true;
	default:
		return false;
	}
}

static void step_late(struct nvme_dev *dev)
{
	switch (dev->step) {
	case STEP_DISABLE:
	case STEP_ENABLE:
		ctrl_failed(dev, dev->step == STEP_ENABLE ? "it does not become ready"
							   : "it does not stop");
		break;
	case STEP_FLR:
		dead(dev, "a function level reset that does not end");
		break;
	case STEP_SHUTDOWN:
		DEV_LOG(dev, LOG_WARN, "it does not shut down");
		disable(dev, STEP_REMOVE);
		break;
	case STEP_REMOVE:
		DEV_LOG(dev, LOG_WARN, "it does not stop: resetting the function");
		flr(dev, STEP_REMOVE_FLR);
		break;
	default:
		DEV_LOG(dev, LOG_ERROR, "left in the middle of a reset");
		gone(dev);
	}
}

static void tick(struct env_timer *t)
{
	struct nvme_dev *dev = container_of(t, struct nvme_dev, step_timer);
	uint32_t csts = pci_reset_busy(dev->fn) ? CSTS_GONE : reg_read(dev, NVME_REG_CSTS);

	if (dev->was_reset)		/* dev->work goes on */
		return;
	if (csts != CSTS_GONE && step_over(dev, csts))
		return;
	if (dev_now(dev) >= dev->deadline)
		step_late(dev);
	else if (env_timer_arm(t, dev_now(dev) + TICK_NS) < 0)
		DEV_LOG(dev, LOG_ERROR, "no memory for a timer");
}

/* --------------------------------------------------------------- interrupts, resets */

/* Perhaps from inside a register access. Waits for the next one at once. */
static void reset_over(struct pci_reset_waiter *w)
{
	struct nvme_dev *dev = container_of(w, struct nvme_dev, reset);

	list_add_tail(&dev->fn->reset_waiters, &w->link);
	dev->was_reset = true;
	env_work_queue(&dev->work);
}

static void reset_seen(struct nvme_dev *dev)
{
	bool ours = dev->step == STEP_FLR;

	if (dev->state == NVME_DEV_DELETING) {
		gone(dev);
		return;
	}
	if (!ours) {
		DEV_LOG(dev, LOG_INFO, "the function was reset");
		dev->resets++;
		dev->tries = 0;
	}
	if (dev->state != NVME_DEV_CONNECTING)
		dev->state = NVME_DEV_RESETTING;
	dev_raise(dev, EV_LOST | EV_FLR);
	step_to(dev, STEP_NONE, 0);
	admin_fail(dev, -EIO);
	ctrl_connect(dev);
}

static void run(struct env_work *w)
{
	struct nvme_dev *dev = container_of(w, struct nvme_dev, work);

	if (dev->was_reset && !pci_reset_busy(dev->fn)) {
		dev->was_reset = false;
		reset_seen(dev);
		if (dev->step == STEP_GONE)
			return;
	}
	admin_failed_run(dev);
	admin_poll(dev);
}

void ctrl_init(struct nvme_dev *dev)
{
	struct env_strand *st = &dev->fn->strand;

	env_timer_init(&dev->step_timer, st, tick);
	env_timer_init(&dev->cmd_timer, st, admin_timeout);
	env_work_init(&dev->work, st, run);
	dev->reset.done = reset_over;
	list_add_tail(&dev->fn->reset_waiters, &dev->reset.link);
}
