/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * struct lm_controller on Migration Send and Migration Receive: suspend,
 * resume, save, load. One operation is a chain of commands, each of which goes
 * on in the answer to the one before; lm_end() ends it.
 *
 * A Controller State that is read is the device's snapshot, taken at offset 0.
 * Completions say whether the controller was suspended all the while; one that
 * was not makes a final read fail, however little was left to read.
 */
#include "drivers/nvme/dev.h"

#define STATE_HEADER sizeof(struct nvme_lm_state)

bool lm_begin(struct dev_lm *l, struct lm_op *op)
{
	struct env_strand *st = &l->dev->fn->strand;

	env_strand_lock(st);
	if (!l->op) {
		l->op = op;
		l->err = 0;
		op->size = 0;
		return true;
	}
	env_strand_unlock(st);
	lm_complete(op, -EBUSY);
	return false;
}

void lm_end(struct dev_lm *l, int err)
{
	lm_complete(take_ptr(l->op), err);
}

void lm_send(struct dev_lm *l, struct nvme_sqe sqe, const void *out, uint32_t len,
	     void (*done)(struct nvme_dev_cmd *cmd))
{
	l->cmd = (struct nvme_dev_cmd){ .sqe = sqe, .out = out, .len = len, .done = done, .arg = l };
	nvme_dev_submit(l->dev, &l->cmd);
}

static void unlock(struct dev_lm *l)
{
	env_strand_unlock(&l->dev->fn->strand);
}

static struct nvme_sqe migration_send(struct dev_lm *l, unsigned int sel, uint32_t mos, uint32_t cdw11)
{
	return (struct nvme_sqe){
		.opcode = nvme_admin_migration_send,
		.cdw10 = le32_of(sel | mos << 16),
		.cdw11 = le32_of(l->lm.cntlid | cdw11),
	};
}

/* ------------------------------------------------------------- suspend, resume */

static void resumed(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	bool ok = !cmd->err && (!cmd->status || cmd->status == NVME_SC_NOT_SUSPENDED);

	if (ok && l->track.stop_pending)
		track_stop_again(l);
	lm_end(l, l->err ? l->err : ok ? 0 : -EIO);
}

static void resume_send(struct dev_lm *l)
{
	lm_send(l, migration_send(l, NVME_LM_SEL_RESUME, 0, 0), NULL, 0, resumed);
}

/* What did not stop may have stopped half. */
static void suspended(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;

	if (cmd->err || !cmd->status) {
		lm_end(l, cmd->err);
		return;
	}
	DEV_LOG(l->dev, LOG_WARN, "Suspend of controller %04xh: status %03xh", l->lm.cntlid, cmd->status);
	l->err = -EIO;
	resume_send(l);
}

static void op_suspend(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	l->cmd = (struct nvme_dev_cmd){
		.sqe = migration_send(l, NVME_LM_SEL_SUSPEND, 0, NVME_LM_STYPE_SUSPEND << 16),
		.timeout_ns = nvme_driver_params.suspend_ns, .done = suspended, .arg = l,
	};
	nvme_dev_submit(l->dev, &l->cmd);
	unlock(l);
}

static void op_resume(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	resume_send(l);
	unlock(l);
}

static void notified(struct nvme_dev_cmd *cmd)
{
	lm_end(cmd->arg, nvme_dev_errno(cmd));
}

static void op_prepare(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	lm_send(l, migration_send(l, NVME_LM_SEL_SUSPEND, 0, NVME_LM_STYPE_NOTIFY << 16), NULL, 0,
		notified);
	unlock(l);
}

/* ------------------------------------------------------------------------ save */

/* @len bytes at @off, both of whole dwords. */
static void receive(struct dev_lm *l, uint64_t off, uint32_t len,
		    void (*done)(struct nvme_dev_cmd *cmd))
{
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_migration_receive,
		.cdw10 = le32_of(NVME_LM_SEL_GET_CONTROLLER_STATE | (uint32_t)l->dev->csvi << 16),
		.cdw11 = le32_of(l->lm.cntlid | (uint32_t)l->dev->csuuidi << 16),
		.cdw12 = le32_of((uint32_t)off),
		.cdw13 = le32_of((uint32_t)(off >> 32)),
		.cdw15 = le32_of(len / 4 - 1),
	};

	lm_send(l, sqe, NULL, len, done);
}

/* Was there an answer? Notes whether the controller was suspended. */
static int received(struct dev_lm *l, const struct nvme_dev_cmd *cmd)
{
	int err = nvme_dev_errno(cmd);

	if (err < 0 && !cmd->err)
		err = -EIO;
	if (!err && !(cmd->dw0 & NVME_LM_CSUP))
		l->save.suspended = false;
	return err;
}

static int header_take(struct dev_lm *l, const struct nvme_lm_state *s)
{
	uint64_t nvme = le64_get(s->nvmecss[0]), vendor = le64_get(s->vss[0]), max = LM_STATE_MAX / 4;

	if (le16_get(s->ver) || le64_get(s->nvmecss[1]) || le64_get(s->vss[1]) || nvme > max ||
	    vendor > max || STATE_HEADER + 4 * (nvme + vendor) > LM_STATE_MAX)
		return -EIO;
	l->save.size = STATE_HEADER + 4 * (nvme + vendor);
	return 0;
}

static void sized(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	int err = received(l, cmd);

	if (!err)
		err = header_take(l, cmd->in);
	l->op->size = l->save.size;
	lm_end(l, err);
}

static void op_save_open(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	l->save.size = 0;
	l->save.suspended = true;
	lm_end(l, 0);
	unlock(l);
}

static void op_save_size(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	receive(l, 0, STATE_HEADER, sized);
	unlock(l);
}

static void read_next(struct dev_lm *l);

static void read_done(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	uint64_t at = l->read.off + l->read.done, skip = at & 3;
	int err = received(l, cmd);
	size_t n;

	/* The snapshot was taken with this command: its own header counts. */
	if (!err && at < 4)
		err = header_take(l, cmd->in);
	if (err < 0) {
		lm_end(l, err);
		return;
	}
	n = MIN(l->read.len - l->read.done, (size_t)(cmd->len - skip));
	n = at < l->save.size ? MIN(n, l->save.size - at) : 0;
	memcpy(l->read.buf + l->read.done, (const uint8_t *)cmd->in + skip, n);
	l->read.done += n;
	read_next(l);
}

static void read_sized(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	int err = received(l, cmd);

	if (!err)
		err = header_take(l, cmd->in);
	if (err < 0)
		lm_end(l, err);
	else
		read_next(l);
}

static void read_next(struct dev_lm *l)
{
	uint64_t at = l->read.off + l->read.done, base = at & ~UINT64_C(3);
	uint64_t left = l->read.len - l->read.done, n;

	if (!l->save.size) {
		receive(l, 0, STATE_HEADER, read_sized);
		return;
	}
	if (!left || at >= l->save.size) {
		l->op->size = l->read.done;
		lm_end(l, l->read.final && !l->save.suspended ? -EAGAIN : 0);
		return;
	}
	n = MIN(left, l->save.size - at) + (at - base);
	n = MIN(ALIGN_UP(n, UINT64_C(4)), nvme_dev_data_max(l->dev));
	/* A first piece that holds no header would leave the size of the one before. */
	if (!base)
		n = MAX(n, STATE_HEADER);
	receive(l, base, (uint32_t)n, read_done);
}

static void op_save_read(struct lm_controller *lm, struct lm_op *op, uint64_t off, void *buf,
			 size_t len, bool final)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	l->read.off = off;
	l->read.buf = buf;
	l->read.len = len;
	l->read.done = 0;
	l->read.final = final;
	read_next(l);
	unlock(l);
}

/* The device keeps its snapshot until the next: nothing to tell it. */
static void op_save_close(struct lm_controller *lm)
{
}

/* ------------------------------------------------------------------------ load */

static void load_next(struct dev_lm *l);

static void load_end(struct dev_lm *l, int err)
{
	l->load.broken = err < 0;
	free(take_ptr(l->load.chunk));
	lm_end(l, err);
}

static void load_done(struct nvme_dev_cmd *cmd)
{
	struct dev_lm *l = cmd->arg;
	int err = nvme_dev_errno(cmd);

	if (err < 0) {
		if (!cmd->err)
			DEV_LOG(l->dev, LOG_WARN,
				"Set Controller State of controller %04xh at %llu: status %03xh",
				l->lm.cntlid, (unsigned long long)l->load.sent, cmd->status);
		load_end(l, err);
		return;
	}
	l->load.sent += cmd->len;
	load_next(l);
}

/* What fits into one command from what was left over and what came now. */
static uint32_t chunk_fill(struct dev_lm *l)
{
	size_t left = l->load.len - l->load.done, have = l->load.nr_carry + left;
	uint32_t n = (uint32_t)MIN(have & ~(size_t)3, (size_t)nvme_dev_data_max(l->dev));
	size_t fresh = n ? n - l->load.nr_carry : 0;

	if (n) {
		memcpy(l->load.chunk, l->load.carry, l->load.nr_carry);
		memcpy(l->load.chunk + l->load.nr_carry, l->load.buf + l->load.done, fresh);
		l->load.nr_carry = 0;
	} else {
		memcpy(l->load.carry + l->load.nr_carry, l->load.buf + l->load.done, left);
		l->load.nr_carry += (unsigned int)left;
		fresh = left;
	}
	l->load.done += fresh;
	return n;
}

static void load_next(struct dev_lm *l)
{
	uint32_t n = chunk_fill(l), seq = NVME_LM_SEQIND_MIDDLE;
	bool all = l->load.done == l->load.len;
	struct nvme_sqe sqe;

	if (!n) {
		load_end(l, l->load.last && l->load.nr_carry ? -EINVAL : 0);
		return;
	}
	/* The rest of a dword would never be sent. */
	if (all && l->load.last)
		seq |= NVME_LM_SEQIND_LAST;
	if (!l->load.sent)
		seq |= NVME_LM_SEQIND_FIRST;
	sqe = migration_send(l, NVME_LM_SEL_SET_CONTROLLER_STATE, seq,
			     (uint32_t)l->dev->csvi << 16 | (uint32_t)l->dev->csuuidi << 24);
	sqe.cdw12 = le32_of((uint32_t)l->load.sent);
	sqe.cdw13 = le32_of((uint32_t)(l->load.sent >> 32));
	sqe.cdw15 = le32_of(n / 4);
	lm_send(l, sqe, l->load.chunk, n, load_done);
}

static void load_forget(struct dev_lm *l)
{
	l->load.sent = 0;
	l->load.nr_carry = 0;
	l->load.broken = false;
}

static void op_load_open(struct lm_controller *lm, struct lm_op *op)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	load_forget(l);
	lm_end(l, 0);
	unlock(l);
}

static void op_load_write(struct lm_controller *lm, struct lm_op *op, uint64_t off, const void *buf,
			  size_t len, bool last)
{
	struct dev_lm *l = lm_of(lm);

	if (!lm_begin(l, op))
		return;
	if (!off)
		load_forget(l);
	l->load.buf = buf;
	l->load.len = len;
	l->load.done = 0;
	l->load.last = last;
	if (l->load.broken)
		load_end(l, -EIO);
	else if (off != l->load.sent + l->load.nr_carry || off + len > LM_STATE_MAX ||
		 (last && ((off + len) % 4 || !len)))
		load_end(l, -EINVAL);
	else if (!(l->load.chunk = malloc(NVME_DEV_DATA_MAX)))
		load_end(l, -ENOMEM);
	else
		load_next(l);
	unlock(l);
}

/* A sequence that was not committed ends with the next one, or a reset. */
static void op_load_close(struct lm_controller *lm)
{
	struct dev_lm *l = lm_of(lm);

	env_strand_lock(&l->dev->fn->strand);
	if (!l->op)
		load_forget(l);
	unlock(l);
}

/* ----------------------------------------------------------------------- others */

static void op_describe(struct lm_controller *lm, struct lm_identity *id)
{
	identity_describe(lm_of(lm)->dev, lm->fn, id);
}

static int op_check(struct lm_controller *lm, const struct lm_identity *id, struct ferry_err *err)
{
	return identity_check(lm_of(lm)->dev, lm->fn, id, err);
}

/* The reset ended its suspension, and what was half loaded. */
static void op_reset_done(struct lm_controller *lm)
{
	struct dev_lm *l = lm_of(lm);

	env_strand_lock(&l->dev->fn->strand);
	l->save.suspended = false;
	l->load.broken = true;
	if (l->track.stop_pending)
		track_stop_again(l);
	unlock(l);
}

#define LM_OPS                                                                       \
	.describe = op_describe, .check = op_check, .prepare = op_prepare,           \
	.suspend = op_suspend, .resume = op_resume, .save_open = op_save_open,       \
	.save_size = op_save_size, .save_read = op_save_read,                        \
	.save_close = op_save_close, .load_open = op_load_open,                      \
	.load_write = op_load_write, .load_close = op_load_close,                    \
	.reset_done = op_reset_done

static const struct lm_ops ops = { LM_OPS };
static const struct lm_ops ops_track = {
	LM_OPS, .track_start = lm_track_start, .track_report = lm_track_report,
	.track_stop = lm_track_stop,
};

/* ---------------------------------------------------------------------- publish */

static void publish_one(struct nvme_dev *dev, unsigned int i, uint16_t cntlid, bool tracks)
{
	struct pci_function *vf = pci_vf(dev->fn, i);
	struct dev_lm *l = dev->lm[i];

	if (!vf || !vf->bus)
		return;
	if (!l)
		l = dev->lm[i] = calloc(1, sizeof(*l));
	if (!l)
		return;
	if (dev->lm_on[i]) {
		l->lm.migratable = dev->migratable[i];
		return;
	}
	l->dev = dev;
	l->lm = (struct lm_controller){
		.ops = tracks ? &ops_track : &ops, .fn = vf, .owner = dev->fn, .cntlid = cntlid,
		.migratable = dev->migratable[i],
	};
	list_init(&l->lm.link);
	if (lm_register(vf->bus, &l->lm) < 0)
		DEV_LOG(dev, LOG_WARN, "somebody else migrates VF %u", i);
	else
		dev->lm_on[i] = true;
}

void lm_publish(struct nvme_dev *dev)
{
	uint16_t cntlid[SRIOV_VFS_MAX];
	bool live, tracks;
	unsigned int i;

	env_strand_lock(&dev->fn->strand);
	live = dev->state == NVME_DEV_LIVE && dev->lm_capable;
	tracks = dev->id.trattr & NVME_TRATTR_THMCS;
	for (i = 0; i < SRIOV_VFS_MAX; i++)
		cntlid[i] = dev->sec[i].cntlid;
	env_strand_unlock(&dev->fn->strand);
	for (i = 0; i < SRIOV_VFS_MAX && live; i++)
		if (cntlid[i])
			publish_one(dev, i, cntlid[i], tracks);
}

void lm_withdraw_one(struct nvme_dev *dev, unsigned int i)
{
	if (!dev->lm_on[i])
		return;
	dev->lm_on[i] = false;
	lm_unregister(&dev->lm[i]->lm);
}

void lm_withdraw(struct nvme_dev *dev)
{
	unsigned int i;

	for (i = 0; i < SRIOV_VFS_MAX; i++)
		lm_withdraw_one(dev, i);
}

void lm_free_all(struct nvme_dev *dev)
{
	unsigned int i;

	for (i = 0; i < SRIOV_VFS_MAX; i++) {
		if (!dev->lm[i])
			continue;
		free(dev->lm[i]->load.chunk);
		free(dev->lm[i]->track.table);
		free(dev->lm[i]);
	}
}
