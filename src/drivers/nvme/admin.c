/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The admin queue: 31 commands in flight, the rest waits. Each slot has its
 * own memory for data, so a command needs no mapping and no pinning; a slot is
 * given away again when the command's owner has seen its data.
 *
 * A command that takes too long costs the controller a reset (ctrl.c): only a
 * controller that is disabled can be trusted not to write into its slot.
 */
#include "drivers/nvme/dev.h"

static struct nvme_sqe *sqe_at(struct nvme_dev *dev, unsigned int i)
{
	return (struct nvme_sqe *)(void *)(dev->base + DEV_SQ_OFF) + i;
}

static uint8_t *slot_data(struct nvme_dev *dev, unsigned int i)
{
	return dev->base + DEV_SLOT_OFF(i) + DEV_PAGE;
}

uint32_t nvme_dev_data_max(const struct nvme_dev *dev)
{
	unsigned int page = 12 + (unsigned int)(dev->cap >> NVME_CAP_MPSMIN_SHIFT & 0xf);

	if (!dev->id.mdts || dev->id.mdts + page >= 31)
		return NVME_DEV_DATA_MAX;
	return MIN(NVME_DEV_DATA_MAX, 1u << (dev->id.mdts + page));
}

void admin_doorbell(struct nvme_dev *dev, unsigned int index, uint32_t val)
{
	unsigned int stride = 4u << (dev->cap >> NVME_CAP_DSTRD_SHIFT & 0xf);

	pci_bar_write(dev->fn, 0, NVME_REG_DOORBELLS + (uint64_t)index * stride, 4, val);
}

void admin_reset(struct nvme_dev *dev)
{
	memset(dev->base + DEV_SQ_OFF, 0, DEV_ENTRIES * sizeof(struct nvme_sqe));
	memset(dev->base + DEV_CQ_OFF, 0, DEV_ENTRIES * sizeof(struct nvme_cqe));
	dev->sq_tail = dev->cq_head = 0;
	dev->cq_phase = true;
}

/* -------------------------------------------------------------------- issue */

/* A data pointer from the slot's memory, which is contiguous for the controller. */
static void map_data(struct nvme_dev *dev, unsigned int i, struct nvme_sqe *sqe, uint32_t len)
{
	uint64_t list = DEV_IOVA + DEV_SLOT_OFF(i), data = list + DEV_PAGE;
	le64 *prp = (le64 *)(void *)(dev->base + DEV_SLOT_OFF(i));
	uint32_t at;

	sqe->prp1 = sqe->prp2 = le64_of(0);
	if (!len)
		return;
	sqe->prp1 = le64_of(data);
	if (len <= DEV_PAGE)
		return;
	sqe->prp2 = le64_of(len <= 2 * DEV_PAGE ? data + DEV_PAGE : list);
	for (at = DEV_PAGE; at < len; at += DEV_PAGE)
		prp[at / DEV_PAGE - 1] = le64_of(data + at);
}

/* The earliest deadline of all. */
static void timer_set(struct nvme_dev *dev)
{
	uint64_t first = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < DEV_SLOTS; i++)
		if (dev->slot[i].cmd && !dev->slot[i].answered)
			first = MIN(first, dev->slot[i].deadline);
	if (first == UINT64_MAX)
		env_timer_cancel(&dev->cmd_timer);
	else if (env_timer_arm(&dev->cmd_timer, first) < 0)
		DEV_LOG(dev, LOG_ERROR, "no memory for a timer");
}

static void issue(struct nvme_dev *dev, unsigned int i, struct nvme_dev_cmd *cmd)
{
	struct nvme_sqe sqe = cmd->sqe;
	uint64_t takes = cmd->timeout_ns ? cmd->timeout_ns : nvme_driver_params.admin_ns;

	sqe.flags = 0;
	sqe.cid = le16_of((uint16_t)i);
	map_data(dev, i, &sqe, cmd->len);
	if (cmd->out)
		memcpy(slot_data(dev, i), cmd->out, cmd->len);
	else
		memset(slot_data(dev, i), 0, cmd->len);
	memcpy(sqe_at(dev, dev->sq_tail), &sqe, sizeof(sqe));
	dev->slot[i] = (struct dev_slot){ .cmd = cmd, .deadline = dev_now(dev) + takes };
	dev->sq_tail = (uint16_t)((dev->sq_tail + 1) % DEV_ENTRIES);
	dev->commands++;
	timer_set(dev);
	admin_doorbell(dev, 0, dev->sq_tail);
}

static int slot_free(const struct nvme_dev *dev)
{
	unsigned int i;

	for (i = 0; i < DEV_SLOTS; i++)
		if (!dev->slot[i].cmd)
			return (int)i;
	return -1;
}

void admin_start(struct nvme_dev *dev)
{
	int i;

	while (dev->state == NVME_DEV_LIVE && !list_empty(&dev->waiting) && (i = slot_free(dev)) >= 0) {
		struct nvme_dev_cmd *cmd = list_first(&dev->waiting, struct nvme_dev_cmd, link);

		list_del(&cmd->link);
		issue(dev, (unsigned int)i, cmd);
	}
}

void nvme_dev_submit(struct nvme_dev *dev, struct nvme_dev_cmd *cmd)
{
	int i = slot_free(dev);

	assert(cmd->len <= NVME_DEV_DATA_MAX);
	cmd->err = 0;
	cmd->status = 0;
	cmd->dw0 = cmd->dw1 = 0;
	cmd->in = NULL;
	list_init(&cmd->link);
	if (dev->state == NVME_DEV_DEAD || dev->state == NVME_DEV_DELETING) {
		cmd->err = -ENODEV;
		list_add_tail(&dev->failed, &cmd->link);
		env_work_queue(&dev->work);
	} else if (cmd->now && i >= 0) {
		issue(dev, (unsigned int)i, cmd);
	} else {
		list_add_tail(&dev->waiting, &cmd->link);
		admin_start(dev);
	}
}

/* --------------------------------------------------------------------- end */

/* @cqe is a copy. A completion of nothing is the device's mistake. */
static void answer(struct nvme_dev *dev, const struct nvme_cqe *cqe)
{
	unsigned int i = le16_get(cqe->cid);
	struct nvme_dev_cmd *cmd;

	if (i >= DEV_SLOTS || !dev->slot[i].cmd || dev->slot[i].answered) {
		DEV_LOG(dev, LOG_WARN, "a completion for command %u, which is not in flight", i);
		return;
	}
	cmd = dev->slot[i].cmd;
	dev->slot[i].answered = true;
	cmd->status = (uint16_t)(le16_get(cqe->status) >> 1) & NVME_SC_MASK;
	cmd->dw0 = le32_get(cqe->dw0);
	cmd->dw1 = le32_get(cqe->dw1);
	cmd->in = cmd->out ? NULL : slot_data(dev, i);
	cmd->done(cmd);
	dev->slot[i] = (struct dev_slot){ 0 };
}

void admin_poll(struct nvme_dev *dev)
{
	bool any = false;

	if (dev->step != STEP_IDENT && dev->state != NVME_DEV_LIVE)
		return;
	for (;;) {
		uint8_t *p = dev->base + DEV_CQ_OFF + dev->cq_head * sizeof(struct nvme_cqe);
		struct nvme_cqe cqe;

		memcpy(&cqe, p, sizeof(cqe));
		if ((le16_get(cqe.status) & NVME_CQE_PHASE) != dev->cq_phase)
			break;
		dev->cq_head = (uint16_t)((dev->cq_head + 1) % DEV_ENTRIES);
		dev->cq_phase ^= dev->cq_head == 0;
		/* The slot must be free again before its owner can fill the queue. */
		admin_doorbell(dev, 1, dev->cq_head);
		answer(dev, &cqe);
		any = true;
	}
	if (any) {
		admin_start(dev);
		timer_set(dev);
	}
}

static void end(struct nvme_dev_cmd *cmd, int err)
{
	cmd->err = err;
	cmd->done(cmd);
}

void admin_fail(struct nvme_dev *dev, int err)
{
	struct list was = LIST_INIT(was);
	unsigned int i;

	env_timer_cancel(&dev->cmd_timer);
	while (!list_empty(&dev->waiting)) {
		struct list *l = dev->waiting.next;

		list_del(l);
		list_add_tail(&was, l);
	}
	for (i = 0; i < DEV_SLOTS; i++) {
		struct nvme_dev_cmd *cmd = dev->slot[i].cmd;

		if (!cmd || dev->slot[i].answered)
			continue;
		dev->slot[i] = (struct dev_slot){ 0 };
		end(cmd, cmd->err ? cmd->err : err);
	}
	while (!list_empty(&was)) {
		struct nvme_dev_cmd *cmd = list_first(&was, struct nvme_dev_cmd, link);

		list_del(&cmd->link);
		end(cmd, err);
	}
}

void admin_failed_run(struct nvme_dev *dev)
{
	while (!list_empty(&dev->failed)) {
		struct nvme_dev_cmd *cmd = list_first(&dev->failed, struct nvme_dev_cmd, link);

		list_del(&cmd->link);
		cmd->done(cmd);
	}
}

/* An interrupt may have been lost: look before anybody is blamed. */
void admin_timeout(struct env_timer *t)
{
	struct nvme_dev *dev = container_of(t, struct nvme_dev, cmd_timer);
	uint64_t now = dev_now(dev);
	unsigned int late = 0, i;

	admin_poll(dev);
	for (i = 0; i < DEV_SLOTS; i++) {
		struct nvme_dev_cmd *cmd = dev->slot[i].cmd;

		if (!cmd || dev->slot[i].deadline > now)
			continue;
		DEV_LOG(dev, LOG_WARN, "command %u (opcode %02xh) got no answer", i, cmd->sqe.opcode);
		cmd->err = -ETIMEDOUT;
		late++;
	}
	if (late)
		nvme_dev_reset(dev, "admin time-out");
	else
		timer_set(dev);
}

/* ------------------------------------------------------------------- status */

int nvme_dev_errno(const struct nvme_dev_cmd *cmd)
{
	if (cmd->err)
		return cmd->err;
	switch (cmd->status) {
	case NVME_SC_SUCCESS:
		return 0;
	case NVME_SC_INVALID_FIELD:
		return -EINVAL;
	case NVME_SC_INVALID_OPCODE:
		return -EOPNOTSUPP;
	case NVME_SC_NOT_ENOUGH_RESOURCES:
	case NVME_SC_INVALID_CTRL_RESOURCES:
	case NVME_SC_INVALID_RESOURCE_ID:
	case NVME_SC_NS_ATTACHMENT_LIMIT_EXCEEDED:
		return -ENOSPC;
	case NVME_SC_INVALID_SEC_CTRL_STATE:
	case NVME_SC_SUSPENDED:
		return -EBUSY;
	default:
		return -EIO;
	}
}

const char *nvme_status_text(uint16_t status)
{
	static const struct { uint16_t status; const char *text; } names[] = {
		{ NVME_SC_SUCCESS, "Success" },
		{ NVME_SC_INVALID_OPCODE, "Invalid Command Opcode" },
		{ NVME_SC_INVALID_FIELD, "Invalid Field in Command" },
		{ NVME_SC_INTERNAL, "Internal Error" },
		{ NVME_SC_INVALID_NS, "Invalid Namespace or Format" },
		{ NVME_SC_CMD_SEQ_ERROR, "Command Sequence Error" },
		{ NVME_SC_NS_ALREADY_ATTACHED, "Namespace Already Attached" },
		{ NVME_SC_NS_IS_PRIVATE, "Namespace Is Private" },
		{ NVME_SC_NS_NOT_ATTACHED, "Namespace Not Attached" },
		{ NVME_SC_CTRL_LIST_INVALID, "Controller List Invalid" },
		{ NVME_SC_INVALID_CTRL_ID, "Invalid Controller Identifier" },
		{ NVME_SC_INVALID_SEC_CTRL_STATE, "Invalid Secondary Controller State" },
		{ NVME_SC_INVALID_CTRL_RESOURCES, "Invalid Number of Controller Resources" },
		{ NVME_SC_INVALID_RESOURCE_ID, "Invalid Resource Identifier" },
		{ NVME_SC_NS_ATTACHMENT_LIMIT_EXCEEDED, "Namespace Attachment Limit Exceeded" },
		{ NVME_SC_NOT_ENOUGH_RESOURCES, "Not Enough Resources" },
		{ NVME_SC_SUSPENDED, "Controller Suspended" },
		{ NVME_SC_NOT_SUSPENDED, "Controller Not Suspended" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].status == status)
			return names[i].text;
	return NULL;
}
