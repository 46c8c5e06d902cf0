/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Shaping a secondary controller: offline, its resources, its namespaces,
 * online. One command after the other; the first that fails ends it, and what
 * was done is undone in the reverse order as far as it goes.
 */
#include <stdio.h>

#include "drivers/nvme/dev.h"

enum provision_step {
	P_OFFLINE, P_VQ, P_VI, P_ATTACH, P_ONLINE, P_DONE,
	U_DETACH, U_OFFLINE, U_VQ, U_VI, U_ONLINE, U_DONE,
};

static void step(struct nvme_provision *p);

static struct dev_secondary *secondary_of(struct nvme_provision *p)
{
	return &p->dev->sec[p->index];
}

/* ---------------------------------------------------------------------- words */

static void say(struct nvme_provision *p, const char *line, const char *result)
{
	size_t left = sizeof(p->log) - p->log_len;
	int n = snprintf(p->log + p->log_len, left, "%-52s %s\n", line, result);

	if (n > 0)
		p->log_len += MIN((size_t)n, left - 1);
}

static const char *result_text(const struct nvme_provision *p, char buf[64])
{
	const struct nvme_dev_cmd *cmd = &p->cmd;
	const char *text = nvme_status_text(cmd->status);

	if (cmd->err)
		return strerror(-cmd->err);
	if (!cmd->status)
		return "ok";
	if (text)
		snprintf(buf, 64, "%s", text);
	else
		snprintf(buf, 64, "status %03xh", cmd->status);
	return buf;
}

/* "virt-mgmt  assign   cntlid 0x0002 queues 4" */
static void step_text(const struct nvme_provision *p, char line[80])
{
	const struct dev_secondary *s = &p->dev->sec[p->index];
	bool undo = p->undoing;

	switch (p->step) {
	case P_OFFLINE:
	case U_OFFLINE:
		snprintf(line, 80, "virt-mgmt  offline  cntlid 0x%04x", p->cntlid);
		break;
	case P_VQ:
	case U_VQ:
		snprintf(line, 80, "virt-mgmt  assign   cntlid 0x%04x queues %u", p->cntlid,
			 undo ? p->was_vq : p->vq);
		break;
	case P_VI:
	case U_VI:
		snprintf(line, 80, "virt-mgmt  assign   cntlid 0x%04x interrupts %u", p->cntlid,
			 undo ? p->was_vi : p->vi);
		break;
	case P_ATTACH:
		snprintf(line, 80, "ns-attach  nsid %-3u cntlid 0x%04x", p->attach[p->attached],
			 p->cntlid);
		break;
	case U_DETACH:
		snprintf(line, 80, "ns-detach  nsid %-3u cntlid 0x%04x", p->attach[p->attached - 1],
			 p->cntlid);
		break;
	default:
		snprintf(line, 80, "virt-mgmt  online   cntlid 0x%04x", s->cntlid);
	}
}

/* --------------------------------------------------------------------- commands */

static void ns_attach(struct nvme_provision *p, uint32_t nsid, unsigned int sel)
{
	memset(p->list, 0, sizeof(p->list));
	p->list[0] = le16_of(1);
	p->list[1] = le16_of(p->cntlid);
	p->cmd.sqe = (struct nvme_sqe){ .opcode = nvme_admin_ns_attach, .nsid = le32_of(nsid),
					.cdw10 = le32_of(sel) };
	p->cmd.out = p->list;
	p->cmd.len = sizeof(p->list);
}

static void virt(struct nvme_provision *p, unsigned int rt, unsigned int act, uint32_t nr)
{
	p->cmd.sqe = secondary_manage(p->cntlid, rt, act, nr);
}

/* Steps that there is nothing to do for. */
static bool skipped(const struct nvme_provision *p)
{
	switch (p->step) {
	case P_VQ:
		return !p->vq;
	case P_VI:
		return !p->vi;
	case P_ATTACH:
		return p->attached == p->nr_attach;
	case P_ONLINE:
		return !p->online;
	case U_DETACH:
		return !p->attached;
	case U_VQ:
		return !p->was_vq;
	case U_VI:
		return !p->was_vi;
	case U_ONLINE:
		return !p->was_online;
	default:
		return false;
	}
}

/* The device's view, as far as the commands that it took tell. */
static void note(struct nvme_provision *p)
{
	struct dev_secondary *s = secondary_of(p);

	switch (p->step) {
	case P_OFFLINE:
	case U_OFFLINE:
		s->online = false;
		s->vq = s->vi = 0;
		break;
	case P_VQ:
		s->vq = p->vq;
		break;
	case P_VI:
		s->vi = p->vi;
		break;
	case U_VQ:
		s->vq = p->was_vq;
		break;
	case U_VI:
		s->vi = p->was_vi;
		break;
	case P_ATTACH:
		p->attached++;
		return;			/* the next one, or none */
	case U_DETACH:
		p->attached--;
		return;
	default:
		s->online = true;
	}
	p->step++;
}

/* ------------------------------------------------------------------------- steps */

static void over(struct nvme_provision *p)
{
	struct dev_secondary *s = secondary_of(p);

	s->provision = NULL;
	s->wanted = s->online;
	s->want_vq = s->vq;
	s->want_vi = s->vi;
	p->done(p, p->undoing ? &p->err : NULL);
}

/* What can't be undone either is left: the log says so. */
static void failed(struct nvme_provision *p, const char *line, const char *result)
{
	if (p->undoing) {
		if (p->step == U_DETACH)
			p->attached--;
		else
			p->step++;
		return;
	}
	ferry_err_set(&p->err, -nvme_dev_errno(&p->cmd), "E-NVME-STATUS", NULL, "%s: %s", line, result);
	p->undoing = true;
	p->step = U_DETACH;
}

static void answered(struct nvme_dev_cmd *cmd)
{
	struct nvme_provision *p = cmd->arg;
	char line[80], buf[64];
	const char *result = result_text(p, buf);
	bool ok = !cmd->err && !cmd->status;

	step_text(p, line);
	/* As it was wished already. */
	if (!cmd->err && p->step == P_ATTACH && cmd->status == NVME_SC_NS_ALREADY_ATTACHED) {
		result = "ok, was attached";
		memmove(&p->attach[p->attached], &p->attach[p->attached + 1],
			(p->nr_attach - p->attached - 1) * sizeof(p->attach[0]));
		p->nr_attach--;
	} else if (ok) {
		note(p);
	}
	say(p, line, result);
	if (!ok && cmd->status != NVME_SC_NS_ALREADY_ATTACHED)
		failed(p, line, result);
	/* There is no device any more that could be told to undo it. */
	if (cmd->err == -ENODEV)
		p->step = U_DONE;
	step(p);
}

static void step(struct nvme_provision *p)
{
	while (p->step != P_DONE && p->step != U_DONE && skipped(p))
		p->step++;
	if (p->step == P_DONE || p->step == U_DONE) {
		over(p);
		return;
	}
	p->cmd = (struct nvme_dev_cmd){ .done = answered, .arg = p };
	switch (p->step) {
	case P_OFFLINE:
	case U_OFFLINE:
		virt(p, 0, VIRT_OFFLINE, 0);
		break;
	case P_VQ:
		virt(p, VIRT_VQ, VIRT_ASSIGN, p->vq);
		break;
	case P_VI:
		virt(p, VIRT_VI, VIRT_ASSIGN, p->vi);
		break;
	case U_VQ:
		virt(p, VIRT_VQ, VIRT_ASSIGN, p->was_vq);
		break;
	case U_VI:
		virt(p, VIRT_VI, VIRT_ASSIGN, p->was_vi);
		break;
	case P_ATTACH:
		ns_attach(p, p->attach[p->attached], NVME_NS_ATTACH_SEL_CTRL_ATTACH);
		break;
	case U_DETACH:
		ns_attach(p, p->attach[p->attached - 1], NVME_NS_ATTACH_SEL_CTRL_DEATTACH);
		break;
	default:
		virt(p, 0, VIRT_ONLINE, 0);
	}
	nvme_dev_submit(p->dev, &p->cmd);
}

/* ------------------------------------------------------------------------- start */

/* What was not said stays; a VF that never had any gets an interrupt per queue. */
static int shape(struct nvme_provision *p, const struct dev_secondary *s, struct ferry_err *err)
{
	const struct nvme_dev *dev = p->dev;

	p->was_vq = s->vq;
	p->was_vi = s->vi;
	p->was_online = s->online;
	if (!p->vq)
		p->vq = s->vq;
	if (!p->vi)
		p->vi = s->vi ? s->vi : MIN(p->vq, dev->vi_max);
	if (!p->online)
		return 0;
	if (!p->vq)
		return ferry_err_set(err, EINVAL, "E-VF-RESOURCES", "give --vq, at least 2",
				     "it has no queue resources");
	if (p->vq < 2 || p->vq > dev->vq_max)
		return ferry_err_set(err, EINVAL, "E-VF-RESOURCES", NULL,
				     "%u queue resources: it takes 2 to %u, the admin queue among them",
				     p->vq, dev->vq_max);
	if (!p->vi || p->vi > dev->vi_max)
		return ferry_err_set(err, EINVAL, "E-VF-RESOURCES", NULL,
				     "%u interrupt resources: it takes 1 to %u", p->vi, dev->vi_max);
	return 0;
}

static int start(struct nvme_dev *dev, struct nvme_provision *p, struct ferry_err *err)
{
	struct dev_secondary *s = &dev->sec[p->index];
	int ret;

	if (dev->state != NVME_DEV_LIVE)
		return ferry_err_set(err, EBUSY, "E-CTRL-STATE", "try again",
				     "the controller that has it is %s", nvme_dev_state_name(dev->state));
	if (!(le16_get(dev->id.oacs) & NVME_OACS_VIRT_MGMT))
		return ferry_err_set(err, EOPNOTSUPP, "E-CTRL-VIRT", NULL,
				     "the controller has no Virtualization Management");
	if (!s->cntlid)
		return ferry_err_set(err, ENODEV, "E-VF-UNKNOWN", NULL,
				     "the controller lists no secondary for it");
	if (s->provision)
		return ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", NULL, "it is being provisioned already");
	p->cntlid = s->cntlid;
	ret = shape(p, s, err);
	if (ret < 0)
		return ret;
	s->provision = p;
	step(p);
	return 0;
}

int nvme_provision(struct nvme_dev *dev, struct nvme_provision *p, struct ferry_err *err)
{
	int ret;

	if (p->index >= SRIOV_VFS_MAX || p->nr_attach > NVME_PROVISION_NS_MAX)
		return ferry_err_set(err, EINVAL, "E-VF-UNKNOWN", NULL, "no such VF");
	p->dev = dev;
	p->step = P_OFFLINE;
	p->undoing = false;
	p->attached = 0;
	p->log_len = 0;
	p->log[0] = '\0';
	env_strand_lock(&dev->fn->strand);
	ret = start(dev, p, err);
	env_strand_unlock(&dev->fn->strand);
	return ret;
}
