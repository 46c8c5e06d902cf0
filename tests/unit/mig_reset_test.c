/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Resets, closes and a controller that goes away, in every state and while something is under way. */
#include "fake_lm.h"

#define ST(x) VFIO_DEVICE_STATE_##x

static struct world w;
static struct fake_lm lm;

static const uint32_t states[] = {
	ST(STOP), ST(RUNNING), ST(STOP_COPY), ST(RESUMING), ST(RUNNING_P2P), ST(PRE_COPY),
	ST(PRE_COPY_P2P),
};

static void flr(int dev, unsigned int how)
{
	struct vfio_pci_hot_reset hot = { .argsz = sizeof(hot) };
	unsigned int nr, at;

	if (how == 0) {
		fl_reset(&w, dev);
	} else if (how == 1) {
		CHECK_EQ(fl_ioctl(&w, dev, VFIO_DEVICE_PCI_HOT_RESET, &hot), 0);
	} else {
		for (nr = 0, at = cfg_read(&w, dev, 0x34, 1); at && nr < 48; nr++) {
			if (cfg_read(&w, dev, at, 1) == PCI_CAP_ID_EXP)
				break;
			at = cfg_read(&w, dev, at + 1, 1);
		}
		cfg_write(&w, dev, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	}
}

static void check_dead(int fd)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	bool saving = cl_file_at(&w.cl, fd)->f->ops->read;

	CHECK_EQ(fl_read(&w, fd, w.cl.ram, 8), saving ? -ENODEV : -EBADF);
	CHECK_EQ(fl_read(&w, fd, w.cl.ram, 0), saving ? -ENODEV : -EBADF);
	CHECK_EQ(fl_write(&w, fd, w.cl.ram, 8), saving ? -EBADF : -ENODEV);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), saving ? -ENODEV : -ENOTTY);
}

static void test_reset__in_every_state(void)
{
	struct opened o;
	unsigned int i, how;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	for (how = 0; how < 3; how++)
		for (i = 0; i < ARRAY_SIZE(states); i++) {
			unsigned int resets;
			int fd;

			CHECK_EQ(fl_set(&w, o.dev, states[i], &fd), 0);
			resets = lm.nr_resets;
			flr(o.dev, how);
			CHECK_EQ(fl_get(&w, o.dev), ST(RUNNING));
			CHECK_EQ(lm.nr_resets, resets + 1);
			if (fd >= 0) {
				check_dead(fd);
				cl_close(&w.cl, fd);
			}
			/* And all over again. */
			CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), NULL), 0);
			CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
		}
	opened_close(&w, &o);
}

/* The device goes first, its streams later; the next one to open it finds RUNNING. */
static void test_close__in_every_state(void)
{
	struct opened o;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		struct fl_feature f = { 0 };
		int fd;

		CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
		CHECK_EQ(fl_get(&w, o.dev), ST(RUNNING));
		CHECK_EQ(fl_feature(&w, o.dev, FL_SET | 12, &f), 0);
		CHECK_EQ(fl_set(&w, o.dev, states[i], &fd), 0);
		cl_close(&w.cl, o.dev);
		o.dev = 0;
		if (fd >= 0) {
			check_dead(fd);
			cl_close(&w.cl, fd);
		}
		opened_close(&w, &o);
		CHECK(!lm.saving && !lm.loading);
	}
	lm.suspended = false;
}

static void steps(unsigned int n)
{
	while (n--)
		cl_step(&w.cl);
}

static int64_t set_start(int dev, uint32_t state, struct cl_call *cc, struct fl_feature *f)
{
	*f = (struct fl_feature){ .argsz = sizeof(*f), .state = { state, 77 },
				  .flags = FL_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE };
	return fl_ioctl_start(&w, dev, cc, VFIO_DEVICE_FEATURE, f);
}

/* While an operation of a SET is under way: the reset is answered, the SET ends, the state is RUNNING. */
static void test_reset__during_set(void)
{
	struct opened o;
	unsigned int n;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	for (n = 0; n < 4; n++) {
		struct fl_feature f;
		struct cl_call set, get;
		struct fl_feature g = { .argsz = sizeof(g), .flags = FL_GET | 2 };
		int64_t ret, got;
		unsigned int i;

		lm.hold = true;
		ret = set_start(o.dev, ST(STOP_COPY), &set, &f);
		CHECK_EQ(ret, -EINPROGRESS);
		/* Which of its operations? */
		for (i = 0; i < n; i++) {
			fl_release(&lm);
			lm.hold = true;
			while (!lm.held)
				cl_step(&w.cl);
		}
		fl_reset(&w, o.dev);
		/* Who asks meanwhile waits. */
		got = fl_ioctl_start(&w, o.dev, &get, VFIO_DEVICE_FEATURE, &g);
		CHECK_EQ(got, -EINPROGRESS);
		steps(20);
		CHECK(!atomic_load(&set.done) && !atomic_load(&get.done));
		fl_release(&lm);
		CHECK(fl_answer(&set, ret) < 0);
		CHECK_EQ(f.state.data_fd, -1);
		CHECK_EQ(fl_answer(&get, got), 0);
		CHECK_EQ(g.state.device_state, ST(RUNNING));
		CHECK(!lm.saving && !lm.loading);
		CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), 0);
		CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	}
	opened_close(&w, &o);
}

static void test_reset__during_load(void)
{
	struct cl_call cc;
	struct vfio_file *f;
	struct opened o;
	int64_t len, ret;
	int fd;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd), 0);
	len = fl_read(&w, fd, w.cl.ram, 1 << 20);
	CHECK(len > 0);
	cl_close(&w.cl, fd);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	lm.hold = true;
	f = cl_file_at(&w.cl, fd)->f;
	cl_begin(&w.cl, &cc);
	ret = f->ops->write(f, &cc.call, (uintptr_t)w.cl.ram, (uint64_t)len);
	CHECK_EQ(ret, -EINPROGRESS);
	fl_reset(&w, o.dev);
	fl_release(&lm);
	CHECK_EQ(fl_answer(&cc, ret), -ENODEV);
	CHECK_EQ(fl_get(&w, o.dev), ST(RUNNING));
	check_dead(fd);
	cl_close(&w.cl, fd);
	opened_close(&w, &o);
}

/* The device is closed under what goes on: it waits for it. */
static void test_close__during_load(void)
{
	struct cl_call cc;
	struct vfio_file *f;
	struct cl_file *dev;
	struct opened o;
	int64_t len, ret;
	int fd;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd), 0);
	len = fl_read(&w, fd, w.cl.ram, 1 << 20);
	cl_close(&w.cl, fd);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	lm.hold = true;
	f = cl_file_at(&w.cl, fd)->f;
	cl_begin(&w.cl, &cc);
	ret = f->ops->write(f, &cc.call, (uintptr_t)w.cl.ram, (uint64_t)len);
	cl_close_start(&w.cl, o.dev, &dev);
	o.dev = 0;
	steps(20);
	CHECK(!atomic_load(&dev->closed));
	fl_release(&lm);
	CHECK_EQ(fl_answer(&cc, ret), -ENODEV);
	cl_close_wait(&w.cl, dev);
	check_dead(fd);
	cl_close(&w.cl, fd);
	opened_close(&w, &o);
}

/* The controller goes: streams end, what needs it fails, a reset and a new one make good. */
static void test_gone(void)
{
	struct fl_feature f = { 0 };
	struct opened o;
	unsigned int i;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		int fd;

		CHECK_EQ(fl_set(&w, o.dev, states[i], &fd), 0);
		fl_detach(&lm, &w);
		CHECK_EQ(fl_get(&w, o.dev), states[i]);
		if (fd >= 0) {
			check_dead(fd);
			cl_close(&w.cl, fd);
		}
		CHECK_EQ(fl_set(&w, o.dev, states[i] == ST(STOP) ? ST(RUNNING) : ST(STOP), NULL), -EIO);
		CHECK_EQ(fl_get(&w, o.dev), states[i] == ST(RUNNING) ? ST(RUNNING) : ST(ERROR));
		CHECK_EQ(fl_feature(&w, o.dev, FL_GET | 9, &f), 0);
		fl_reset(&w, o.dev);
		CHECK_EQ(fl_get(&w, o.dev), ST(RUNNING));
		CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), -EIO);
		lm.suspended = lm.saving = lm.loading = false;
		vfio_host_lock(&w.host);
		CHECK_EQ(lm_register(&w.host.bus, &lm.lm), 0);
		CHECK_EQ(lm_register(&w.host.bus, &lm.lm), -EEXIST);
		vfio_host_unlock(&w.host);
		CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), 0);
		CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	}
	opened_close(&w, &o);
}

static void test_gone__during_set(void)
{
	struct fl_feature f;
	struct cl_call cc;
	struct opened o;
	int64_t ret;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	lm.hold = true;
	ret = set_start(o.dev, ST(STOP_COPY), &cc, &f);
	fl_detach(&lm, &w);
	fl_release(&lm);
	CHECK_EQ(fl_answer(&cc, ret), -EIO);
	CHECK_EQ(fl_get(&w, o.dev), ST(ERROR));
	fl_reset(&w, o.dev);
	lm.suspended = false;
	vfio_host_lock(&w.host);
	CHECK_EQ(lm_register(&w.host.bus, &lm.lm), 0);
	vfio_host_unlock(&w.host);
	opened_close(&w, &o);
}

/* The storage: offered when it leaves, taken back when it runs on, also after a reset. */
static struct { unsigned int offers, accepts, runs; int err; } own;

static int own_check(void *arg, struct lm_controller *l, struct ferry_err *err)
{
	return own.err;
}

static void own_offer(void *arg, struct lm_controller *l, struct lm_op *op, uint8_t *token)
{
	own.offers++;
	memcpy(token, "token", 5);
	op->size = 5;
	lm_complete(op, own.err);
}

static void own_accept(void *arg, struct lm_controller *l, struct lm_op *op, const void *token,
		       size_t len)
{
	CHECK(len == 5 && !memcmp(token, "token", 5));
	own.accepts++;
	lm_complete(op, own.err);
}

static void own_run(void *arg, struct lm_controller *l, struct lm_op *op)
{
	own.runs++;
	lm_complete(op, own.err);
}

static const struct lm_owner_ops own_ops = { own_check, own_offer, own_accept, own_run };

static void test_owner(void)
{
	struct opened o;
	int64_t len;
	int fd;

	vfio_host_lock(&w.host);
	lm_owner_register(&w.host.bus, &own_ops, NULL);
	vfio_host_unlock(&w.host);
	memset(&own, 0, sizeof(own));
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	own.err = -EBUSY;
	CHECK_EQ(fl_set(&w, o.dev, ST(PRE_COPY), NULL), -EBUSY);
	CHECK_EQ(fl_get(&w, o.dev), ST(RUNNING));
	own.err = 0;
	/* An ordinary stop offers nothing. */
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), 0);
	CHECK_EQ(own.offers, 0);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd), 0);
	CHECK_EQ(own.offers, 1);
	len = fl_read(&w, fd, w.cl.ram, 1 << 20);
	cl_close(&w.cl, fd);
	own.runs = 0;
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	CHECK_EQ(own.runs, 1);
	/* The client resets instead. */
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), NULL), 0);
	fl_reset(&w, o.dev);
	steps(20);
	CHECK_EQ(own.runs, 2);
	/* The other side. */
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	CHECK_EQ(fl_write(&w, fd, w.cl.ram, (uint64_t)len), len);
	CHECK_EQ(own.accepts, 1);
	cl_close(&w.cl, fd);
	own.err = -EBUSY;
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), -EBUSY);
	CHECK_EQ(fl_get(&w, o.dev), ST(ERROR));
	own.err = -ESTALE;
	fl_reset(&w, o.dev);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	CHECK_EQ(fl_write(&w, fd, w.cl.ram, (uint64_t)len), -ESTALE);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), -EINVAL);
	cl_close(&w.cl, fd);
	opened_close(&w, &o);
	vfio_host_lock(&w.host);
	lm_owner_register(&w.host.bus, NULL, NULL);
	vfio_host_unlock(&w.host);
}

/* --------------------------------------------------------------- with threads */

static atomic_bool stop;
static struct opened shared;
static struct world tw;

static void *resetter(void *arg)
{
	unsigned int i;

	for (i = 0; i < 400; i++)
		CHECK_EQ(fl_ioctl(&tw, shared.dev, VFIO_DEVICE_RESET, NULL), 0);
	atomic_store(&stop, true);
	return NULL;
}

static void *setter(void *arg)
{
	unsigned int n = 0;

	while (!atomic_load(&stop)) {
		int fd;

		if (!fl_set(&tw, shared.dev, states[n++ % ARRAY_SIZE(states)], &fd) && fd >= 0) {
			uint8_t buf[100];

			(void)fl_read(&tw, fd, buf, sizeof(buf));
			(void)fl_write(&tw, fd, buf, sizeof(buf));
			cl_close(&tw.cl, fd);
		}
	}
	return NULL;
}

static void test_threads(void)
{
	static struct fake_lm l;
	pthread_t t[3];
	unsigned int i;

	world_init(&tw, true);
	fl_attach(&l, &tw, 0);
	CHECK_EQ(open_cdev_path(&tw, 0, &shared), 0);
	pthread_create(&t[0], NULL, resetter, NULL);
	pthread_create(&t[1], NULL, setter, NULL);
	pthread_create(&t[2], NULL, setter, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	fl_reset(&tw, shared.dev);
	CHECK_EQ(fl_get(&tw, shared.dev), ST(RUNNING));
	opened_close(&tw, &shared);
	fl_detach(&l, &tw);
	world_release(&tw);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	world_init(&w, false);
	fl_attach(&lm, &w, 0);
	RUN(test_reset__in_every_state);
	RUN(test_close__in_every_state);
	RUN(test_reset__during_set);
	RUN(test_reset__during_load);
	RUN(test_close__during_load);
	RUN(test_gone);
	RUN(test_gone__during_set);
	RUN(test_owner);
	fl_detach(&lm, &w);
	world_release(&w);
	RUN(test_threads);
	return tap_end();
}
