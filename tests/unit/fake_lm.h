/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A controller that can do nothing but remember: what it was asked, whether
 * the function is suspended, an image of some bytes, the pages it was told of.
 * Any operation can fail or be held back. Around it, a client that migrates.
 */
#ifndef FAKE_LM_H
#define FAKE_LM_H

#include <ferry/lm.h>

#include "vfio_client.h"

#define FL_IMAGE_MAX 4096u
#define FL_PAGES 4096u		/* of IOVA that tracking knows */

struct fake_lm {
	struct lm_controller lm;
	struct lm_identity id;
	uint8_t image[FL_IMAGE_MAX], in[FL_IMAGE_MAX];
	size_t image_len, in_len;
	bool suspended, saving, loading, was_suspended;
	bool track;
	bool dirty[FL_PAGES];
	uint64_t granule;		/* what track_start grants; 0: what was asked */
	unsigned int nr_ops, nr_resets, nr_loads;
	unsigned int fail_at, fail_last;	/* operations [fail_at, fail_last] fail, from 1; 0: none */
	int fail_err;
	unsigned int again;		/* so many final reads fail with -EAGAIN */
	bool hold;
	struct lm_op *held;
	int held_err;
};

static inline struct fake_lm *fl_of(struct lm_controller *lm)
{
	return container_of(lm, struct fake_lm, lm);
}

/* true: it fails or waits; otherwise the caller does it and it ends well. */
static inline int fl_op(struct fake_lm *f)
{
	f->nr_ops++;
	return f->fail_at && f->nr_ops >= f->fail_at && f->nr_ops <= f->fail_last ? f->fail_err : 0;
}

static inline void fl_end_op(struct fake_lm *f, struct lm_op *op, int err)
{
	if (f->hold) {
		f->held = op;
		f->held_err = err;
	} else {
		lm_complete(op, err);
	}
}

static inline void fl_release(struct fake_lm *f)
{
	f->hold = false;
	if (f->held)
		lm_complete(take_ptr(f->held), f->held_err);
}

static inline void fl_describe(struct lm_controller *lm, struct lm_identity *id)
{
	*id = fl_of(lm)->id;
}

static inline int fl_check(struct lm_controller *lm, const struct lm_identity *id,
			   struct ferry_err *err)
{
	return memcmp(id, &fl_of(lm)->id, sizeof(*id)) ?
		ferry_err_set(err, EINVAL, "E-TEST", NULL, "differs") : 0;
}

static inline void fl_prepare(struct lm_controller *lm, struct lm_op *op)
{
	fl_end_op(fl_of(lm), op, fl_op(fl_of(lm)));
}

static inline void fl_suspend(struct lm_controller *lm, struct lm_op *op)
{
	int err = fl_op(fl_of(lm));

	if (!err)
		fl_of(lm)->suspended = true;
	fl_end_op(fl_of(lm), op, err);
}

static inline void fl_resume(struct lm_controller *lm, struct lm_op *op)
{
	int err = fl_op(fl_of(lm));

	if (!err)
		fl_of(lm)->suspended = false;
	fl_end_op(fl_of(lm), op, err);
}

static inline void fl_save_open(struct lm_controller *lm, struct lm_op *op)
{
	int err = fl_op(fl_of(lm));

	assert(!fl_of(lm)->saving && !fl_of(lm)->loading);
	if (!err)
		fl_of(lm)->saving = true;
	fl_end_op(fl_of(lm), op, err);
}

static inline void fl_save_size(struct lm_controller *lm, struct lm_op *op)
{
	assert(fl_of(lm)->saving);
	op->size = fl_of(lm)->image_len;
	fl_end_op(fl_of(lm), op, fl_op(fl_of(lm)));
}

static inline void fl_save_read(struct lm_controller *lm, struct lm_op *op, uint64_t off, void *buf,
				size_t len, bool final)
{
	struct fake_lm *f = fl_of(lm);
	int err = fl_op(f);

	assert(f->saving);
	if (!err && final && f->again) {
		f->again--;
		f->suspended = false;
		err = -EAGAIN;
	}
	if (!err && final && !f->suspended)
		err = -EAGAIN;
	op->size = MIN(len, f->image_len - off);
	memcpy(buf, f->image + off, op->size);
	fl_end_op(f, op, err);
}

static inline void fl_save_close(struct lm_controller *lm)
{
	assert(fl_of(lm)->saving);
	fl_of(lm)->saving = false;
}

static inline void fl_load_open(struct lm_controller *lm, struct lm_op *op)
{
	int err = fl_op(fl_of(lm));

	assert(!fl_of(lm)->saving && !fl_of(lm)->loading);
	if (!err)
		fl_of(lm)->loading = true;
	fl_end_op(fl_of(lm), op, err);
}

/* An image that begins with 0xff is no good. */
static inline void fl_load_write(struct lm_controller *lm, struct lm_op *op, uint64_t off,
				 const void *buf, size_t len, bool last)
{
	struct fake_lm *f = fl_of(lm);
	int err = fl_op(f);

	assert(f->loading && f->suspended);
	if (!err && off + len > FL_IMAGE_MAX)
		err = -EINVAL;
	if (!err)
		memcpy(f->in + off, buf, len);
	f->in_len = off + len;
	if (!err && last && f->in_len && f->in[0] == 0xff)
		err = -EINVAL;
	if (!err && last) {
		memcpy(f->image, f->in, f->in_len);
		f->image_len = f->in_len;
		f->nr_loads++;
	}
	fl_end_op(f, op, err);
}

static inline void fl_load_close(struct lm_controller *lm)
{
	assert(fl_of(lm)->loading);
	fl_of(lm)->loading = false;
}

static inline void fl_track_start(struct lm_controller *lm, struct lm_op *op,
				  const struct lm_range *r, unsigned int nr, uint64_t granule)
{
	struct fake_lm *f = fl_of(lm);
	int err = fl_op(f);

	assert(!f->track);
	op->size = f->granule ? f->granule : granule;
	if (!err) {
		f->track = true;
		memset(f->dirty, 0, sizeof(f->dirty));
	}
	fl_end_op(f, op, err);
}

static inline void fl_track_report(struct lm_controller *lm, struct lm_op *op,
				   void (*mark)(void *arg, uint64_t iova, uint64_t len), void *arg)
{
	struct fake_lm *f = fl_of(lm);
	unsigned int i;

	for (i = 0; i < FL_PAGES; i++)
		if (f->dirty[i])
			mark(arg, i * 4096ull, 4096);
	memset(f->dirty, 0, sizeof(f->dirty));
	fl_end_op(f, op, fl_op(f));
}

static inline void fl_track_stop(struct lm_controller *lm, struct lm_op *op)
{
	fl_of(lm)->track = false;
	fl_end_op(fl_of(lm), op, fl_op(fl_of(lm)));
}

static inline void fl_reset_done(struct lm_controller *lm)
{
	struct fake_lm *f = fl_of(lm);

	f->suspended = f->saving = f->loading = false;
	f->nr_resets++;
}

static const struct lm_ops fl_ops = {
	.describe = fl_describe,
	.check = fl_check,
	.prepare = fl_prepare,
	.suspend = fl_suspend,
	.resume = fl_resume,
	.save_open = fl_save_open,
	.save_size = fl_save_size,
	.save_read = fl_save_read,
	.save_close = fl_save_close,
	.load_open = fl_load_open,
	.load_write = fl_load_write,
	.load_close = fl_load_close,
	.track_start = fl_track_start,
	.track_report = fl_track_report,
	.track_stop = fl_track_stop,
	.reset_done = fl_reset_done,
};

/* Function @i of @w can be migrated from now on; nobody has it open. */
static inline void fl_attach(struct fake_lm *f, struct world *w, unsigned int i)
{
	int ret;

	memset(f, 0, sizeof(*f));
	f->lm.ops = &fl_ops;
	f->lm.fn = &w->fn[i].fn;
	f->lm.migratable = true;
	memset(f->id.format_uuid, 0x5a, sizeof(f->id.format_uuid));
	memset(f->id.digest, 7, sizeof(f->id.digest));
	strcpy(f->id.text, "{\"model\":\"fake\"}");
	f->image_len = 300;
	memset(f->image, 3, f->image_len);
	vfio_host_lock(&w->host);
	ret = lm_register(&w->host.bus, &f->lm);
	if (!ret)
		ret = vfio_mig_enable(&w->fn[i].fn, &f->lm, NULL);
	vfio_host_unlock(&w->host);
	assert(!ret);
	(void)ret;
}

static inline void fl_detach(struct fake_lm *f, struct world *w)
{
	vfio_host_lock(&w->host);
	lm_unregister(&f->lm);
	vfio_host_unlock(&w->host);
}

/* --------------------------------------------------------------------- client */

static inline int64_t fl_answer(struct cl_call *cc, int64_t ret)
{
	if (ret == -EINPROGRESS) {
		while (!atomic_load(&cc->done))
			cl_step(cc->c);
		ret = cc->ret;
		if (cc->call.finish)
			ret = cc->call.finish(&cc->call, ret);
	}
	if (!ret && cc->call.new_file) {
		int fd = cl_install(cc->c, cc->call.new_file);

		if (!cc->call.new_file_at)
			return fd;
		ret = cl_copy(cc->c, &fd, cc->call.new_file_at, sizeof(fd), false);
	}
	return ret;
}

static inline int64_t fl_ioctl_start(struct world *w, int fd, struct cl_call *cc, unsigned int cmd,
				     void *arg)
{
	struct vfio_file *f = cl_file_at(&w->cl, fd)->f;

	cl_begin(&w->cl, cc);
	return f->ops->ioctl(f, &cc->call, cmd, (uintptr_t)arg);
}

static inline int64_t fl_ioctl(struct world *w, int fd, unsigned int cmd, void *arg)
{
	struct cl_call cc;

	return fl_answer(&cc, fl_ioctl_start(w, fd, &cc, cmd, arg));
}

struct fl_feature {
	uint32_t argsz, flags;
	union {
		struct vfio_device_feature_mig_state state;
		struct vfio_device_feature_migration mig;
		struct vfio_device_feature_mig_data_size size;
		struct vfio_device_feature_dma_logging_control start;
		struct vfio_device_feature_dma_logging_report report;
	};
};

#define FL_GET VFIO_DEVICE_FEATURE_GET
#define FL_SET VFIO_DEVICE_FEATURE_SET

static inline int64_t fl_feature(struct world *w, int dev, uint32_t flags, struct fl_feature *f)
{
	f->argsz = sizeof(*f);
	f->flags = flags;
	return fl_ioctl(w, dev, VFIO_DEVICE_FEATURE, f);
}

/* *@fd: the data_fd or -1. */
static inline int64_t fl_set(struct world *w, int dev, uint32_t state, int *fd)
{
	struct fl_feature f = { .state = { state, 12345 } };
	int64_t ret = fl_feature(w, dev, FL_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &f);

	if (fd)
		*fd = f.state.data_fd;
	else if (f.state.data_fd >= CL_FD_BASE)
		cl_close(&w->cl, f.state.data_fd);
	return ret;
}

static inline uint32_t fl_get(struct world *w, int dev)
{
	struct fl_feature f = { 0 };

	CHECK_EQ(fl_feature(w, dev, FL_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &f), 0);
	CHECK_EQ(f.state.data_fd, -1);
	return f.state.device_state;
}

static inline void fl_reset(struct world *w, int dev)
{
	CHECK_EQ(fl_ioctl(w, dev, VFIO_DEVICE_RESET, NULL), 0);
}

static inline int64_t fl_read(struct world *w, int fd, void *buf, uint64_t len)
{
	struct vfio_file *f = cl_file_at(&w->cl, fd)->f;
	struct cl_call cc;

	cl_begin(&w->cl, &cc);
	return f->ops->read ? fl_answer(&cc, f->ops->read(f, &cc.call, (uintptr_t)buf, len)) : -EBADF;
}

static inline int64_t fl_write(struct world *w, int fd, const void *buf, uint64_t len)
{
	struct vfio_file *f = cl_file_at(&w->cl, fd)->f;
	struct cl_call cc;

	cl_begin(&w->cl, &cc);
	return f->ops->write ? fl_answer(&cc, f->ops->write(f, &cc.call, (uintptr_t)buf, len)) :
			       -EBADF;
}

static inline int64_t fl_options(struct world *w, unsigned int i, unsigned int options)
{
	int64_t ret;

	vfio_host_lock(&w->host);
	ret = vfio_mig_options(&w->fn[i].fn, options, NULL);
	vfio_host_unlock(&w->host);
	return ret;
}

/* ------------------------------------------------------------- random numbers */

static uint64_t fl_rnd_state;

static inline void fl_seed(void)
{
	const char *s = getenv("FERRY_SEED");

	fl_rnd_state = (s ? strtoull(s, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u) | 1;
	printf("# FERRY_SEED=0x%llx\n", (unsigned long long)fl_rnd_state);
}

static inline uint32_t fl_rnd(uint32_t below)
{
	fl_rnd_state ^= fl_rnd_state << 13;
	fl_rnd_state ^= fl_rnd_state >> 7;
	fl_rnd_state ^= fl_rnd_state << 17;
	return (uint32_t)((fl_rnd_state >> 16) % below);
}

#endif
