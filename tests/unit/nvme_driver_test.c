/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The nvme driver, against a device that does what it is told. */
#include <time.h>

#include <ferry/lm.h>
#include <ferry/vfio.h>

#include "fake_nvme_device.h"

static unsigned int tap_nr, tap_bad;
static bool tap_ok;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                          \
	} while (0)

#define CHECK_EQ(a, b)                                                                     \
	do {                                                                               \
		long long a_ = (long long)(a), b_ = (long long)(b);                        \
		if (a_ != b_) {                                                            \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s is %lld, not %s, %lld\n", __FILE__, __LINE__,  \
			       #a, a_, #b, b_);                                            \
		}                                                                          \
	} while (0)

#define RUN(test)                                                                          \
	do {                                                                               \
		tap_ok = true;                                                             \
		test();                                                                    \
		tap_bad += !tap_ok;                                                        \
		printf("%s %u - %s\n", tap_ok ? "ok" : "not ok", ++tap_nr, #test);         \
		fflush(stdout);                                                            \
	} while (0)

/* ------------------------------------------------------------------------- rig */

static struct ferry_env *env;
static struct vfio_host h;
static struct fake_pf a, b;
static bool threaded;			/* the worker runs by itself */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void turn(void)
{
	if (threaded)
		sched_yield();
	else
		env_step(env, false);
}

#define UNTIL(cond)                                                                        \
	({                                                                                 \
		uint64_t end_ = now_ns() + 10000000000u;                                   \
		bool is_;                                                                  \
		while (!(is_ = (cond)) && now_ns() < end_)                                 \
			turn();                                                            \
		is_;                                                                       \
	})

static void lock(struct fake_pf *f)
{
	env_strand_lock(&f->fn.strand);
}

static void unlock(struct fake_pf *f)
{
	env_strand_unlock(&f->fn.strand);
}

static struct nvme_dev_info info_of(struct fake_pf *f)
{
	struct nvme_dev_info i = { .state = NVME_DEV_DEAD };
	struct nvme_dev *dev;

	vfio_host_lock(&h);
	dev = nvme_dev_of(&f->fn);
	if (dev)
		nvme_dev_info(dev, &i);
	vfio_host_unlock(&h);
	return i;
}

static bool live(struct fake_pf *f)
{
	return info_of(f).state == NVME_DEV_LIVE;
}

static struct nvme_dev *dev_of(struct fake_pf *f)
{
	struct nvme_dev *dev;

	vfio_host_lock(&h);
	dev = nvme_dev_of(&f->fn);
	vfio_host_unlock(&h);
	return dev;
}

static struct lm_controller *lm_at(struct fake_pf *f, unsigned int vf)
{
	struct lm_controller *lm;
	struct pci_function *fn;

	vfio_host_lock(&h);
	fn = pci_vf(&f->fn, vf);
	lm = fn ? lm_find(&h.bus, fn) : NULL;
	vfio_host_unlock(&h);
	return lm;
}

static void vfs(struct fake_pf *f, unsigned int n)
{
	struct ferry_err err = { 0 };
	int ret;

	vfio_host_lock(&h);
	ret = pci_sriov_set(&f->fn, n, NULL, &err);
	vfio_host_unlock(&h);
	if (ret && ret != -EINPROGRESS)
		printf("# pci_sriov_set: %s\n", err.msg);
	CHECK(!ret || ret == -EINPROGRESS);
}

static unsigned int numvfs(struct fake_pf *f)
{
	unsigned int n;

	vfio_host_lock(&h);
	n = pci_sriov_numvfs(&f->fn);
	vfio_host_unlock(&h);
	return n;
}

static void bind(struct fake_pf *f)
{
	struct ferry_err err = { 0 };

	vfio_host_lock(&h);
	CHECK_EQ(pci_bind(&f->fn, &nvme_driver, &err), 0);
	vfio_host_unlock(&h);
}

static bool unbound;

static void unbind_over(struct pci_unbind *u, int err)
{
	unbound = true;
}

static void unbind(struct fake_pf *f)
{
	struct pci_unbind u = { .done = unbind_over };

	unbound = false;
	vfio_host_lock(&h);
	CHECK_EQ(pci_unbind(&f->fn, &u), 0);
	vfio_host_unlock(&h);
	CHECK(UNTIL(({ vfio_host_lock(&h); bool is = unbound; vfio_host_unlock(&h); is; })));
}

/* Two PFs, not bound. */
static void rig_open(void)
{
	int ret = env_create(ENV_EPOLL, &env);

	assert(!ret);
	vfio_host_init(&h, env);
	if (!h.bus.control) {
		ret = pci_bus_control(&h.bus, &h.control, &h.lock);
		assert(!ret);
	}
	nvme_driver_params.admin_ns = 5000000000u;
	nvme_driver_params.suspend_ns = 6000000000u;
	fake_open(&a, env, (struct pci_bdf){ .bus = 1 });
	fake_open(&b, env, (struct pci_bdf){ .bus = 2 });
	vfio_host_lock(&h);
	pci_driver_register(&h.bus, &nvme_driver);
	ret = pci_register(&h.bus, &a.fn) || pci_register(&h.bus, &b.fn);
	assert(!ret);
	vfio_host_unlock(&h);
	if (threaded)
		env_start(env, "worker");
}

static void off_the_bus(struct fake_pf *f)
{
	int ret;

	if (f->fn.driver)
		unbind(f);
	vfio_host_lock(&h);
	(void)pci_sriov_disable(&f->fn, NULL);
	vfio_host_unlock(&h);
	CHECK(UNTIL(!numvfs(f)));
	vfio_host_lock(&h);
	ret = pci_unregister(&f->fn);
	vfio_host_unlock(&h);
	CHECK_EQ(ret, 0);
}

static void rig_close(void)
{
	off_the_bus(&a);
	off_the_bus(&b);
	CHECK_EQ(a.bad + b.bad, 0);
	CHECK(UNTIL(!atomic_load(&h.control.pending) && !atomic_load(&a.fn.strand.pending) &&
		    !atomic_load(&b.fn.strand.pending)));
	if (threaded)
		env_stop(env);
	fake_close(&a);
	fake_close(&b);
	if (h.bus.control)
		pci_bus_control_release(&h.bus);
	vfio_host_release(&h);
	env_destroy(env);
}

/* Both live, two VFs each, all secondaries online. */
static void rig_open_live(void)
{
	unsigned int i;

	rig_open();
	bind(&a);
	bind(&b);
	CHECK(UNTIL(live(&a) && live(&b)));
	vfs(&a, 2);
	vfs(&b, 2);
	for (i = 0; i < 2; i++) {
		lock(&a);
		a.sec[i].online = true;
		unlock(&a);
		lock(&b);
		b.sec[i].online = true;
		unlock(&b);
	}
	CHECK(UNTIL(lm_at(&a, 1) && lm_at(&b, 1)));
}

/* ------------------------------------------------------------------- operations */

struct op {
	struct lm_op op;
	atomic_bool over;
	int err;
};

static void op_done(struct lm_op *op, int err)
{
	struct op *o = container_of(op, struct op, op);

	o->err = err;
	atomic_store(&o->over, true);
}

static struct op op;

static struct lm_op *op_new(struct op *o)
{
	atomic_store(&o->over, false);
	o->err = 1;
	lm_op_init(&o->op, &h.control, op_done);
	return &o->op;
}

/* Start with the host lock held, wait. Gives the error. */
#define OP(lm, what, ...)                                                                  \
	({                                                                                 \
		struct lm_controller *lm_ = (lm);                                          \
		vfio_host_lock(&h);                                                        \
		lm_->ops->what(lm_, op_new(&op), ##__VA_ARGS__);                           \
		vfio_host_unlock(&h);                                                      \
		CHECK(UNTIL(atomic_load(&op.over)));                                       \
		op.err;                                                                    \
	})

static struct nvme_dev_cmd identify(void (*done)(struct nvme_dev_cmd *), void *arg)
{
	return (struct nvme_dev_cmd){
		.sqe = { .opcode = nvme_admin_identify, .cdw10 = le32_of(NVME_IDENTIFY_CNS_CTRL) },
		.len = 4096, .done = done, .arg = arg,
	};
}

static void submit(struct fake_pf *f, struct nvme_dev_cmd *cmd)
{
	struct nvme_dev *dev = dev_of(f);

	lock(f);
	nvme_dev_submit(dev, cmd);
	unlock(f);
}

/* --------------------------------------------------------------------- bring-up */

static atomic_int waited;

static void wait_done(struct nvme_dev_wait *w, int err)
{
	atomic_store(&waited, err ? -1 : 1);
}

static void test_bring_up__live_with_secondaries(void)
{
	struct nvme_dev_wait w = { .done = wait_done };
	struct nvme_secondary s;
	struct nvme_dev_info i;

	rig_open();
	bind(&a);
	atomic_store(&waited, 0);
	vfio_host_lock(&h);
	nvme_dev_wait(nvme_dev_of(&a.fn), &w);
	vfio_host_unlock(&h);
	CHECK(UNTIL(atomic_load(&waited)));
	CHECK_EQ(atomic_load(&waited), 1);
	i = info_of(&a);
	CHECK_EQ(i.state, NVME_DEV_LIVE);
	CHECK(i.lm && i.virt);
	CHECK_EQ(i.vq_max, 8);
	vfio_host_lock(&h);
	CHECK_EQ(nvme_dev_secondary(nvme_dev_of(&a.fn), 3, &s), 0);
	CHECK_EQ(s.cntlid, 5);
	CHECK_EQ(nvme_dev_secondary(nvme_dev_of(&a.fn), 4, &s), -ENODEV);
	vfio_host_unlock(&h);
	CHECK(list_empty(&h.controllers));
	vfs(&a, 2);
	CHECK(lm_at(&a, 0) && lm_at(&a, 1));
	CHECK_EQ(lm_at(&a, 1)->cntlid, 3);
	CHECK(lm_at(&a, 1)->owner == &a.fn);
	vfs(&a, 0);
	CHECK(UNTIL(!numvfs(&a)));
	CHECK(list_empty(&h.controllers));
	rig_close();
}

static void test_bring_up__without_live_migration(void)
{
	rig_open();
	a.id.oacs = le16_of(NVME_OACS_VIRT_MGMT);
	b.id.oacs = le16_of(0);
	b.id.trattr = 0;
	bind(&a);
	bind(&b);
	CHECK(UNTIL(live(&a) && live(&b)));
	vfs(&a, 1);
	CHECK(!lm_at(&a, 0));
	CHECK(!info_of(&a).lm && info_of(&a).virt);
	CHECK(!info_of(&b).lm && !info_of(&b).virt);
	rig_close();
}

static void test_bring_up__without_tracking(void)
{
	rig_open();
	a.id.trattr = 0;
	bind(&a);
	CHECK(UNTIL(live(&a)));
	vfs(&a, 1);
	CHECK(lm_at(&a, 0) && !lm_at(&a, 0)->ops->track_start);
	rig_close();
}

static void test_bring_up__dead_then_reset_revives(void)
{
	struct nvme_dev_wait w = { .done = wait_done };
	struct nvme_dev_cmd cmd;

	rig_open();
	a.never_ready = true;
	bind(&a);
	atomic_store(&waited, 0);
	vfio_host_lock(&h);
	nvme_dev_wait(nvme_dev_of(&a.fn), &w);
	vfio_host_unlock(&h);
	CHECK(UNTIL(atomic_load(&waited)));
	CHECK_EQ(atomic_load(&waited), -1);
	CHECK_EQ(info_of(&a).state, NVME_DEV_DEAD);
	CHECK_EQ(a.resets, 2);
	(void)cmd;
	a.never_ready = false;
	lock(&a);
	pci_reset(&a.fn, PCI_RESET_FLR, NULL);
	unlock(&a);
	CHECK(UNTIL(live(&a)));
	rig_close();
}

static void test_bring_up__refuses_vfs(void)
{
	struct ferry_err err = { 0 };

	rig_open_live();
	vfio_host_lock(&h);
	CHECK_EQ(pci_bind(pci_vf(&a.fn, 0), &nvme_driver, &err), -ENODEV);
	vfio_host_unlock(&h);
	rig_close();
}

/* ------------------------------------------------------------------ admin queue */

struct many {
	struct nvme_dev_cmd cmd;
	unsigned int *left;
};

static void many_done(struct nvme_dev_cmd *cmd)
{
	struct many *m = container_of(cmd, struct many, cmd);

	CHECK_EQ(cmd->err, 0);
	CHECK_EQ(cmd->status, 0);
	CHECK(cmd->in && !memcmp((const char *)cmd->in + 4, "FAKE0001", 8));
	--*m->left;
}

static void test_admin__many_commands(void)
{
	static struct many m[500];
	unsigned int left = ARRAY_SIZE(m), i;

	rig_open();
	bind(&a);
	CHECK(UNTIL(live(&a)));
	lock(&a);
	a.hold = true;
	unlock(&a);
	for (i = 0; i < ARRAY_SIZE(m); i++) {
		m[i] = (struct many){ .cmd = identify(many_done, NULL), .left = &left };
		submit(&a, &m[i].cmd);
	}
	CHECK(UNTIL(({ lock(&a); fake_release(&a); unsigned int n = left; unlock(&a); !n; })));
	CHECK_EQ(a.max_held, 31);
	a.hold = false;
	rig_close();
}

struct ended {
	struct nvme_dev_cmd cmd;
	bool over;
	int err;
	uint16_t status;
};

static void ended_done(struct nvme_dev_cmd *cmd)
{
	struct ended *e = container_of(cmd, struct ended, cmd);

	CHECK(!e->over);
	e->over = true;
	e->err = nvme_dev_errno(cmd);
	e->status = cmd->status;
}

static bool is_over(struct fake_pf *f, const struct ended *e)
{
	bool is;

	lock(f);
	is = e->over;
	unlock(f);
	return is;
}

static void test_admin__status_is_passed_on(void)
{
	struct ended e = { .cmd = identify(ended_done, NULL) };

	rig_open();
	bind(&a);
	CHECK(UNTIL(live(&a)));
	e.cmd.sqe.cdw10 = le32_of(0x77);
	submit(&a, &e.cmd);
	CHECK(UNTIL(is_over(&a, &e)));
	CHECK_EQ(e.status, NVME_SC_INVALID_FIELD);
	CHECK_EQ(e.err, -EINVAL);
	e = (struct ended){ .cmd = { .sqe.opcode = 0xc0, .done = ended_done } };
	submit(&a, &e.cmd);
	CHECK(UNTIL(is_over(&a, &e)));
	CHECK_EQ(e.err, -EOPNOTSUPP);
	rig_close();
}

static void test_admin__time_out_resets(void)
{
	struct ended hung = { .cmd = { .sqe.opcode = 0xc1, .done = ended_done, .timeout_ns = 1000000 } };
	struct ended other = { .cmd = identify(ended_done, NULL) };
	struct ended late = { .cmd = identify(ended_done, NULL) };

	rig_open_live();
	lock(&a);
	a.hang = 0xc1;
	a.hold = true;
	unlock(&a);
	submit(&a, &other.cmd);
	submit(&a, &hung.cmd);
	CHECK(UNTIL(is_over(&a, &hung) && is_over(&a, &other)));
	CHECK_EQ(hung.err, -ETIMEDOUT);
	CHECK_EQ(other.err, -EIO);
	submit(&a, &late.cmd);		/* waits for the bring-up */
	lock(&a);
	a.hold = false;
	fake_release(&a);
	unlock(&a);
	CHECK(UNTIL(live(&a)));
	CHECK(UNTIL(is_over(&a, &late)));
	CHECK_EQ(late.err, 0);
	CHECK_EQ(info_of(&a).resets, 1);
	CHECK_EQ(a.resets, 0);
	rig_close();
}

static void test_admin__removed_in_flight(void)
{
	struct ended e[40];
	unsigned int i;
	struct op o;

	rig_open_live();
	lock(&a);
	a.hold = true;
	unlock(&a);
	vfio_host_lock(&h);
	lm_find(&h.bus, pci_vf(&a.fn, 0))->ops->suspend(lm_find(&h.bus, pci_vf(&a.fn, 0)), op_new(&o));
	vfio_host_unlock(&h);
	for (i = 0; i < ARRAY_SIZE(e); i++) {
		e[i] = (struct ended){ .cmd = identify(ended_done, NULL) };
		submit(&a, &e[i].cmd);
	}
	unbind(&a);
	CHECK(UNTIL(atomic_load(&o.over)));
	CHECK_EQ(o.err, -ENODEV);
	for (i = 0; i < ARRAY_SIZE(e); i++)
		CHECK(e[i].over && e[i].err == -ENODEV);
	CHECK(!lm_at(&a, 0) && lm_at(&b, 0));
	a.hold = false;
	bind(&a);
	CHECK(UNTIL(live(&a)));
	CHECK(UNTIL(lm_at(&a, 0) != NULL));
	rig_close();
}

/* ------------------------------------------------------------------ live migration */

static void test_lm__suspend_resume_idempotent(void)
{
	struct lm_controller *lm;

	rig_open_live();
	lm = lm_at(&a, 1);
	CHECK_EQ(OP(lm, prepare), 0);
	CHECK(!a.sec[1].suspended);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK(a.sec[1].suspended && !a.sec[0].suspended);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, resume), 0);
	CHECK(!a.sec[1].suspended);
	CHECK_EQ(OP(lm, resume), 0);
	rig_close();
}

static void test_lm__suspend_that_fails_runs_on(void)
{
	struct lm_controller *lm;

	rig_open_live();
	lm = lm_at(&a, 0);
	lock(&a);
	a.sec[0].suspended = true;	/* half */
	a.fail = nvme_admin_migration_send;
	a.fail_sel = NVME_LM_SEL_SUSPEND;
	a.fail_status = NVME_SC_INTERNAL;
	unlock(&a);
	CHECK_EQ(OP(lm, suspend), -EIO);
	CHECK(!a.sec[0].suspended);
	rig_close();
}

static void test_lm__one_operation_at_a_time(void)
{
	struct lm_controller *lm;
	struct op o;

	rig_open_live();
	lm = lm_at(&a, 0);
	lock(&a);
	a.hold = true;
	unlock(&a);
	vfio_host_lock(&h);
	lm->ops->suspend(lm, op_new(&o));
	vfio_host_unlock(&h);
	CHECK_EQ(OP(lm, resume), -EBUSY);
	lock(&a);
	a.hold = false;
	fake_release(&a);
	unlock(&a);
	CHECK(UNTIL(atomic_load(&o.over)));
	CHECK_EQ(o.err, 0);
	rig_close();
}

/* Read the image of @lm in pieces of @piece. Return its length, or the error. */
static long save(struct lm_controller *lm, uint8_t *image, size_t piece)
{
	size_t at = 0, size;
	int err;

	err = OP(lm, save_open);
	if (!err)
		err = OP(lm, save_size);
	size = op.op.size;
	while (!err && at < size) {
		err = OP(lm, save_read, at, image + at, piece, true);
		if (!err && !op.op.size)
			err = -EPIPE;
		at += err ? 0 : op.op.size;
	}
	vfio_host_lock(&h);
	lm->ops->save_close(lm);
	vfio_host_unlock(&h);
	return err ? err : (long)at;
}

static int load(struct lm_controller *lm, const uint8_t *image, size_t len, size_t piece)
{
	size_t at = 0;
	int err = OP(lm, load_open);

	while (!err && at < len) {
		size_t n = MIN(piece, len - at);

		err = OP(lm, load_write, at, image + at, n, at + n == len);
		at += n;
	}
	vfio_host_lock(&h);
	lm->ops->load_close(lm);
	vfio_host_unlock(&h);
	return err;
}

static void test_lm__save_and_load_between_two(void)
{
	static const size_t pieces[] = { 3, 4096, 65536, 100001, 1 << 20 };
	static uint8_t image[1 << 20];
	struct lm_controller *from, *to;
	unsigned int i;

	rig_open_live();
	from = lm_at(&a, 0);
	to = lm_at(&b, 1);
	CHECK_EQ(OP(from, suspend), 0);
	CHECK_EQ(OP(to, suspend), 0);
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		size_t piece = i ? pieces[i] : 997;

		memset(image, 0, sizeof(image));
		CHECK_EQ(save(from, image, piece), (long)a.sec[0].state_len);
		CHECK(!memcmp(image, a.sec[0].state, a.sec[0].state_len));
		CHECK_EQ(load(to, image, a.sec[0].state_len, piece), 0);
		CHECK_EQ(b.sec[1].state_len, a.sec[0].state_len);
		CHECK(!memcmp(b.sec[1].state, image, b.sec[1].state_len));
		memset(b.sec[1].state, 0, b.sec[1].state_len);
	}
	CHECK_EQ(OP(to, resume), 0);
	rig_close();
}

static void test_lm__a_final_read_needs_a_suspended_function(void)
{
	static uint8_t image[1 << 20];
	struct lm_controller *lm;

	rig_open_live();
	lm = lm_at(&a, 0);
	CHECK_EQ(save(lm, image, 65536), -EAGAIN);
	/* Reading at a guess is fine while it runs. */
	CHECK_EQ(OP(lm, save_open), 0);
	CHECK_EQ(OP(lm, save_read, 0, image, 4096, false), 0);
	CHECK_EQ(op.op.size, 4096);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, save_read, 4096, image + 4096, 4096, true), -EAGAIN);
	CHECK_EQ(save(lm, image, 65536), (long)a.sec[0].state_len);
	/* Beyond the end there is nothing. */
	CHECK_EQ(OP(lm, save_read, a.sec[0].state_len, image, 4096, true), 0);
	CHECK_EQ(op.op.size, 0);
	/* A guest's reset in between. */
	CHECK_EQ(OP(lm, save_open), 0);
	CHECK_EQ(OP(lm, save_read, 0, image, 4096, true), 0);
	lock(&a);
	a.sec[0].suspended = false;
	unlock(&a);
	CHECK_EQ(OP(lm, save_read, 4096, image, 4096, true), -EAGAIN);
	rig_close();
}

static void test_lm__load_refuses(void)
{
	static uint8_t image[1 << 20];
	struct lm_controller *lm;
	size_t len;

	rig_open_live();
	lm = lm_at(&a, 0);
	len = a.sec[0].state_len;
	memcpy(image, a.sec[0].state, len);
	image[100] ^= 1;
	CHECK(load(lm, image, len, 65536) < 0);		/* it runs */
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, load_open), 0);
	CHECK_EQ(OP(lm, load_write, 4, image, 4, false), -EINVAL);	/* not the beginning */
	CHECK_EQ(OP(lm, load_write, 0, image, 4096, false), 0);
	CHECK_EQ(OP(lm, load_write, 8192, image, 4096, false), -EINVAL);	/* a hole */
	CHECK_EQ(OP(lm, load_write, 4096, image, 4096, false), -EIO);	/* broken until a new beginning */
	CHECK_EQ(OP(lm, load_write, 0, image, 4095, true), -EINVAL);	/* no whole dwords */
	image[60] = 0xee;				/* refused at commit */
	CHECK_EQ(load(lm, image, len, 65536), -EINVAL);
	CHECK_EQ(a.sec[0].state[100], (uint8_t)(image[100] ^ 1));
	image[60] = 0;
	CHECK_EQ(load(lm, image, len, 65536), 0);	/* the latest wins */
	CHECK_EQ(a.sec[0].state[100], image[100]);
	rig_close();
}

/* -------------------------------------------------------------------- tracking */

static uint64_t marked[4096];
static unsigned int nr_marked;

static void mark(void *arg, uint64_t iova, uint64_t len)
{
	CHECK_EQ(*(int *)arg, 7);
	for (; len; len -= 4096, iova += 4096)
		if (nr_marked < ARRAY_SIZE(marked))
			marked[nr_marked++] = iova;
}

static void test_track__start_report_stop(void)
{
	struct lm_range r[] = { { 0x100800, 0x1000 }, { 0x200000, 0x10000 }, { 0x102000, 0x1000 } };
	struct lm_controller *lm;
	struct fake_sec *s = &a.sec[0];
	unsigned int i;
	int seven = 7;

	rig_open_live();
	lm = lm_at(&a, 0);
	CHECK_EQ(OP(lm, track_report, mark, &seven), -EIO);	/* nothing is tracked */
	CHECK_EQ(OP(lm, track_start, r, 3, 4096), 0);
	CHECK_EQ(op.op.size, 4096);
	CHECK(s->tracked);
	CHECK_EQ(s->ranges, 2);		/* two of them touch, rounded */
	lock(&a);
	s->nr_dirty = 10;
	for (i = 0; i < 10; i++)
		s->dirty[i] = (struct fake_dirty){ 0x200000 + i * 0x2000, 1 + i % 2 };
	unlock(&a);
	nr_marked = 0;
	CHECK_EQ(OP(lm, track_report, mark, &seven), 0);
	CHECK_EQ(nr_marked, 15);
	CHECK_EQ(a.seen[nvme_admin_track_receive], 1 + 4);
	nr_marked = 0;
	CHECK_EQ(OP(lm, track_report, mark, &seven), 0);
	CHECK_EQ(nr_marked, 0);
	/* Tracked already: stopped, then started. */
	CHECK_EQ(OP(lm, track_start, r, 1, 8192), 0);
	CHECK_EQ(op.op.size, 8192);
	CHECK_EQ(OP(lm, track_stop), 0);
	CHECK(!s->tracked);
	CHECK_EQ(OP(lm, track_stop), 0);
	rig_close();
}

static void test_track__stop_waits_for_resume(void)
{
	struct lm_range r = { 0, 1 << 20 };
	struct lm_controller *lm;

	rig_open_live();
	lm = lm_at(&a, 0);
	CHECK_EQ(OP(lm, track_start, &r, 1, 4096), 0);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, track_stop), 0);
	CHECK(a.sec[0].tracked);
	CHECK_EQ(OP(lm, track_start, &r, 1, 4096), -EBUSY);
	CHECK_EQ(OP(lm, resume), 0);
	CHECK(UNTIL(({ lock(&a); bool t = a.sec[0].tracked; unlock(&a); !t; })));
	/* The same, but a guest's reset comes first. */
	CHECK_EQ(OP(lm, track_start, &r, 1, 4096), 0);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, track_stop), 0);
	lock(&a);
	a.sec[0].suspended = false;
	unlock(&a);
	vfio_host_lock(&h);
	lm->ops->reset_done(lm);
	vfio_host_unlock(&h);
	CHECK(UNTIL(({ lock(&a); bool t = a.sec[0].tracked; unlock(&a); !t; })));
	rig_close();
}

static void test_track__less_than_asked_for(void)
{
	struct lm_range r[100];
	struct lm_controller *lm;
	unsigned int i;

	rig_open_live();
	lm = lm_at(&a, 0);
	for (i = 0; i < 100; i++)
		r[i] = (struct lm_range){ 0x1000000ull * (100 - i), 0x1000 };
	CHECK_EQ(OP(lm, track_start, r, 100, 4096), 0);	/* CMMRTD is 64 */
	CHECK_EQ(a.sec[0].ranges, 64);
	CHECK_EQ(op.op.size, 4096);
	CHECK_EQ(OP(lm, track_stop), 0);
	/* It can do with a granule of 64 KiB and 16 ranges. */
	lock(&a);
	a.fail = nvme_admin_track_send;
	a.fail_status = NVME_SC_NOT_ENOUGH_RESOURCES;
	a.fail_times = 1;
	a.fail_dw0 = 4;
	a.fail_dw1 = 16;
	unlock(&a);
	CHECK_EQ(OP(lm, track_start, r, 100, 4096), 0);
	CHECK_EQ(op.op.size, 65536);
	CHECK_EQ(a.sec[0].ranges, 16);
	CHECK_EQ(OP(lm, track_stop), 0);
	/* Never enough. */
	lock(&a);
	a.fail = nvme_admin_track_send;
	a.fail_times = 0;
	unlock(&a);
	CHECK(OP(lm, track_start, r, 100, 4096) < 0);
	lock(&a);
	a.fail = -1;
	unlock(&a);
	rig_close();
}

static void test_track__lengths(void)
{
	struct lm_range all = { 0, UINT64_MAX }, odd = { 0x5000, 0x7000 }, wrap = { UINT64_MAX, 2 };
	struct lm_controller *lm;

	rig_open_live();
	lm = lm_at(&a, 0);
	CHECK_EQ(OP(lm, track_start, &wrap, 1, 4096), -EINVAL);
	CHECK_EQ(OP(lm, track_start, &all, 0, 4096), -EINVAL);
	CHECK_EQ(OP(lm, track_start, &odd, 1, 5000), -EINVAL);
	CHECK_EQ(OP(lm, track_start, &all, 1, 4096), -ENOSPC);	/* even with granules of 2 MiB */
	lock(&a);
	a.id.maxmrtg = 18;
	a.id.trattr |= 4;		/* MRTLL */
	pci_reset(&a.fn, PCI_RESET_FLR, NULL);
	unlock(&a);
	CHECK(UNTIL(info_of(&a).resets == 1 && live(&a) && numvfs(&a) == 2 && lm_at(&a, 0)));
	lm = lm_at(&a, 0);
	CHECK_EQ(OP(lm, track_start, &odd, 1, 4096), 0);
	CHECK_EQ(a.sec[0].ranges, 3);	/* 4 + 2 + 1 pages */
	CHECK_EQ(OP(lm, track_stop), 0);
	CHECK_EQ(OP(lm, track_start, &all, 1, 4096), 0);
	CHECK(op.op.size > 4096);
	rig_close();
}

/* ----------------------------------------------------------------------- resets */

static atomic_uint nr_gone;

static void gone(struct lm_controller *lm, void *arg)
{
	atomic_fetch_add(&nr_gone, 1);
}

static void watch(struct lm_controller *lm)
{
	vfio_host_lock(&h);
	lm->gone = gone;
	vfio_host_unlock(&h);
}

static struct nvme_provision prov;
static atomic_int prov_over;
static struct ferry_err prov_err;

static void prov_done(struct nvme_provision *p, const struct ferry_err *err)
{
	if (err)
		prov_err = *err;
	atomic_store(&prov_over, err ? -1 : 1);
}

static bool provision(struct fake_pf *f, const struct nvme_provision *p)
{
	struct ferry_err err = { 0 };
	int ret;

	prov = *p;
	prov.done = prov_done;
	prov_err = err;
	atomic_store(&prov_over, 0);
	vfio_host_lock(&h);
	ret = nvme_provision(nvme_dev_of(&f->fn), &prov, &err);
	vfio_host_unlock(&h);
	if (ret) {
		prov_err = err;
		return false;
	}
	CHECK(UNTIL(atomic_load(&prov_over)));
	return atomic_load(&prov_over) > 0;
}

static void test_reset__flr_brings_all_back(void)
{
	struct lm_controller *lm;

	rig_open_live();
	CHECK(provision(&a, &(struct nvme_provision){ .vq = 4, .vi = 5, .online = true }));
	vfio_host_lock(&h);
	nvme_dev_migratable(nvme_dev_of(&a.fn), 0, true);
	vfio_host_unlock(&h);
	lm = lm_at(&a, 0);
	CHECK(lm->migratable);
	vfio_host_lock(&h);
	(void)pci_set_driver_override(pci_vf(&a.fn, 1), "some", 4);
	vfio_host_unlock(&h);
	watch(lm);
	atomic_store(&nr_gone, 0);
	lock(&a);
	pci_reset(&a.fn, PCI_RESET_FLR, NULL);
	unlock(&a);
	CHECK(UNTIL(atomic_load(&nr_gone) == 1));
	CHECK(UNTIL(info_of(&a).resets == 1 && live(&a) && numvfs(&a) == 2 && lm_at(&a, 0)));
	CHECK(UNTIL(({ lock(&a); bool on = a.sec[0].online; unlock(&a); on; })));
	CHECK_EQ(a.sec[0].vq, 4);
	CHECK_EQ(a.sec[0].vi, 5);
	CHECK(lm_at(&a, 0)->migratable);
	vfio_host_lock(&h);
	CHECK(!strcmp(pci_vf(&a.fn, 1)->driver_override, "some"));
	CHECK(!pci_vf(&a.fn, 0)->driver_override[0]);
	vfio_host_unlock(&h);
	CHECK_EQ(OP(lm_at(&a, 0), suspend), 0);
	CHECK(lm_at(&b, 0) != NULL);
	rig_close();
}

static void test_reset__controller_reset_voids_sessions(void)
{
	struct lm_range r = { 0, 1 << 20 };
	static uint8_t image[4096];
	struct lm_controller *lm;
	int seven = 7;

	rig_open_live();
	CHECK(provision(&a, &(struct nvme_provision){ .vq = 2, .vi = 2, .online = true }));
	lm = lm_at(&a, 0);
	watch(lm);
	atomic_store(&nr_gone, 0);
	CHECK_EQ(OP(lm, track_start, &r, 1, 4096), 0);
	CHECK_EQ(OP(lm, suspend), 0);
	CHECK_EQ(OP(lm, save_open), 0);
	lock(&a);
	nvme_dev_reset(nvme_dev_of(&a.fn), "test");
	unlock(&a);
	CHECK(UNTIL(atomic_load(&nr_gone) == 1 && live(&a) && lm_at(&a, 0)));
	CHECK_EQ(numvfs(&a), 2);
	CHECK(a.sec[0].online);
	CHECK_EQ(OP(lm_at(&a, 0), track_report, mark, &seven), -EIO);
	CHECK_EQ(OP(lm_at(&a, 0), save_read, 0, image, 64, true), -EAGAIN);
	rig_close();
}

static void test_reset__meant_removal_stays(void)
{
	rig_open_live();
	vfs(&a, 0);
	CHECK(UNTIL(!numvfs(&a)));
	lock(&a);
	pci_reset(&a.fn, PCI_RESET_FLR, NULL);
	unlock(&a);
	CHECK(UNTIL(info_of(&a).resets == 1 && live(&a)));
	CHECK(UNTIL(!atomic_load(&h.control.pending)));
	CHECK_EQ(numvfs(&a), 0);
	rig_close();
}

static void test_reset__while_bringing_up(void)
{
	unsigned int i;

	rig_open();
	bind(&a);
	for (i = 0; i < 20; i++) {
		lock(&a);
		pci_reset(&a.fn, PCI_RESET_FLR, NULL);
		unlock(&a);
		turn();
	}
	CHECK(UNTIL(live(&a)));
	for (i = 0; i < 20; i++) {
		unbind(&a);
		bind(&a);
		if (i % 2)
			turn();
	}
	CHECK(UNTIL(live(&a)));
	rig_close();
}

/* ----------------------------------------------------------------- provisioning */

static void test_provision__as_the_manual_shows_it(void)
{
	struct nvme_secondary s;

	rig_open_live();
	CHECK(provision(&a, &(struct nvme_provision){
		.vq = 4, .vi = 5, .attach = { 1 }, .nr_attach = 1, .online = true }));
	CHECK(!strcmp(prov.log,
		      "virt-mgmt  offline  cntlid 0x0002                    ok\n"
		      "virt-mgmt  assign   cntlid 0x0002 queues 4           ok\n"
		      "virt-mgmt  assign   cntlid 0x0002 interrupts 5       ok\n"
		      "ns-attach  nsid 1   cntlid 0x0002                    ok\n"
		      "virt-mgmt  online   cntlid 0x0002                    ok\n"));
	CHECK(a.sec[0].online && a.sec[0].vq == 4 && a.sec[0].vi == 5 && a.sec[0].attached == 2);
	vfio_host_lock(&h);
	CHECK_EQ(nvme_dev_secondary(nvme_dev_of(&a.fn), 0, &s), 0);
	vfio_host_unlock(&h);
	CHECK(s.online && s.vq == 4 && s.vi == 5);
	/* Offline: the shape is kept; online again without saying it. */
	CHECK(provision(&a, &(struct nvme_provision){ .online = false }));
	CHECK(!a.sec[0].online && a.sec[0].vq == 4);
	CHECK(provision(&a, &(struct nvme_provision){ .attach = { 1 }, .nr_attach = 1, .online = true }));
	CHECK(a.sec[0].online && a.sec[0].vq == 4 && a.sec[0].vi == 5);
	CHECK(strstr(prov.log, "ok, was attached") != NULL);
	rig_close();
}

static void test_provision__undone_on_failure(void)
{
	rig_open_live();
	CHECK(provision(&a, &(struct nvme_provision){
		.vq = 4, .vi = 5, .attach = { 1 }, .nr_attach = 1, .online = true }));
	/* Refused before anything was sent. */
	CHECK(!provision(&a, &(struct nvme_provision){ .vq = 9, .online = true }));
	CHECK(!strcmp(prov_err.code, "E-VF-RESOURCES"));
	/* By the device, at the third attachment. */
	lock(&a);
	a.fail = nvme_admin_virtual_mgmt;
	a.fail_sel = 9;			/* online */
	a.fail_status = NVME_SC_INVALID_SEC_CTRL_STATE;
	a.fail_times = 1;
	unlock(&a);
	CHECK(!provision(&a, &(struct nvme_provision){
		.vq = 6, .vi = 7, .attach = { 1, 2, 3 }, .nr_attach = 3, .online = true }));
	CHECK(strstr(prov_err.msg, "Invalid Secondary Controller State") != NULL);
	CHECK(a.sec[0].online);
	CHECK_EQ(a.sec[0].vq, 4);
	CHECK_EQ(a.sec[0].vi, 5);
	CHECK_EQ(a.sec[0].attached, 2);	/* what was attached before stays */
	CHECK(strstr(prov.log, "ns-detach  nsid 3") && strstr(prov.log, "ns-detach  nsid 2") &&
	      !strstr(prov.log, "ns-detach  nsid 1"));
	rig_close();
}

static void test_provision__lost_device(void)
{
	struct ferry_err err = { 0 };

	rig_open_live();
	lock(&a);
	a.hold = true;
	unlock(&a);
	prov = (struct nvme_provision){ .vq = 4, .vi = 4, .online = true, .done = prov_done };
	atomic_store(&prov_over, 0);
	vfio_host_lock(&h);
	CHECK_EQ(nvme_provision(nvme_dev_of(&a.fn), &prov, &err), 0);
	vfio_host_unlock(&h);
	unbind(&a);
	CHECK_EQ(atomic_load(&prov_over), -1);
	a.hold = false;
	rig_close();
}

/* --------------------------------------------------------------------- identity */

static void test_identity__equal_or_named(void)
{
	static struct lm_identity x, y;
	struct ferry_err err = { 0 };
	struct lm_controller *one, *two;
	struct pci_function *vf;

	rig_open_live();
	one = lm_at(&a, 0);
	two = lm_at(&b, 0);
	vfio_host_lock(&h);
	one->ops->describe(one, &x);
	two->ops->describe(two, &y);
	CHECK(!memcmp(&x.digest, &y.digest, 32));
	CHECK_EQ(x.format_uuid[0], 0xa5);
	CHECK(strstr(x.text, "\"serial\":\"FAKE0001\"") != NULL);
	CHECK_EQ(two->ops->check(two, &x, &err), 0);
	/* What guests and drivers change is not identity. */
	vf = pci_vf(&b.fn, 0);
	env_strand_lock(&vf->strand);
	pci_config_write(vf, 4, 2, 4);
	pci_msix_setup(vf, 3, (struct pci_irq){ 0 });
	env_strand_unlock(&vf->strand);
	CHECK_EQ(two->ops->check(two, &x, &err), 0);
	/* What it can't hold. */
	env_strand_lock(&vf->strand);
	pci_msix_setup(vf, 0, (struct pci_irq){ 0 });
	pci_msix_resize(vf, 5);
	env_strand_unlock(&vf->strand);
	CHECK_EQ(two->ops->check(two, &x, &err), -EINVAL);
	CHECK(strstr(err.msg, "config differs") != NULL);
	env_strand_lock(&vf->strand);
	pci_msix_resize(vf, 9);
	env_strand_unlock(&vf->strand);
	x.format_uuid[3] ^= 1;
	CHECK_EQ(two->ops->check(two, &x, &err), -EINVAL);
	CHECK(strstr(err.msg, "format_uuid") != NULL);
	x.format_uuid[3] ^= 1;
	memset(x.text, 'x', sizeof(x.text));	/* nonsense from the other side, not even ended */
	CHECK_EQ(two->ops->check(two, &x, &err), 0);
	x.digest[0] ^= 1;
	CHECK_EQ(two->ops->check(two, &x, &err), -EINVAL);
	/* Other VFs are other controllers. */
	one = lm_find(&h.bus, pci_vf(&a.fn, 1));
	one->ops->describe(one, &x);
	CHECK_EQ(two->ops->check(two, &x, &err), -EINVAL);
	CHECK(strstr(err.msg, "cntlid differs") != NULL);
	vfio_host_unlock(&h);
	rig_close();
}

static void test_identity__names_the_serial(void)
{
	static struct lm_identity x;
	struct ferry_err err = { 0 };
	struct lm_controller *lm;

	rig_open();
	fake_text(b.id.sn, sizeof(b.id.sn), "OTHER");
	bind(&a);
	bind(&b);
	CHECK(UNTIL(live(&a) && live(&b)));
	vfs(&a, 1);
	vfs(&b, 1);
	vfio_host_lock(&h);
	lm = lm_find(&h.bus, pci_vf(&a.fn, 0));
	lm->ops->describe(lm, &x);
	lm = lm_find(&h.bus, pci_vf(&b.fn, 0));
	CHECK_EQ(lm->ops->check(lm, &x, &err), -EINVAL);
	CHECK(strstr(err.msg, "serial differs: it is FAKE0001 there, OTHER here") != NULL);
	vfio_host_unlock(&h);
	rig_close();
}

/* ---------------------------------------------------------------------- threads */

static void test_threads__worker_and_control(void)
{
	static struct many m[200];
	unsigned int left = ARRAY_SIZE(m), i;
	struct lm_controller *lm;

	threaded = true;
	rig_open_live();
	lm = lm_at(&a, 0);
	for (i = 0; i < ARRAY_SIZE(m); i++) {
		m[i] = (struct many){ .cmd = identify(many_done, NULL), .left = &left };
		submit(&a, &m[i].cmd);
		if (i % 20 == 0) {
			CHECK_EQ(OP(lm, suspend), 0);
			CHECK_EQ(OP(lm, resume), 0);
		}
	}
	CHECK(UNTIL(({ lock(&a); unsigned int n = left; unlock(&a); !n; })));
	for (i = 0; i < 10; i++) {
		lock(&a);
		pci_reset(&a.fn, PCI_RESET_FLR, NULL);
		unlock(&a);
		CHECK(UNTIL(info_of(&a).resets == i + 1 && live(&a) && numvfs(&a) == 2 &&
			    lm_at(&a, 1)));
	}
	rig_close();
	threaded = false;
}

int main(void)
{
	log_level_max = getenv("FERRY_LOG") ? LOG_DEBUG : LOG_ERROR;
	RUN(test_bring_up__live_with_secondaries);
	RUN(test_bring_up__without_live_migration);
	RUN(test_bring_up__without_tracking);
	RUN(test_bring_up__dead_then_reset_revives);
	RUN(test_bring_up__refuses_vfs);
	RUN(test_admin__many_commands);
	RUN(test_admin__status_is_passed_on);
	RUN(test_admin__time_out_resets);
	RUN(test_admin__removed_in_flight);
	RUN(test_lm__suspend_resume_idempotent);
	RUN(test_lm__suspend_that_fails_runs_on);
	RUN(test_lm__one_operation_at_a_time);
	RUN(test_lm__save_and_load_between_two);
	RUN(test_lm__a_final_read_needs_a_suspended_function);
	RUN(test_lm__load_refuses);
	RUN(test_track__start_report_stop);
	RUN(test_track__stop_waits_for_resume);
	RUN(test_track__less_than_asked_for);
	RUN(test_track__lengths);
	RUN(test_reset__flr_brings_all_back);
	RUN(test_reset__controller_reset_voids_sessions);
	RUN(test_reset__meant_removal_stays);
	RUN(test_reset__while_bringing_up);
	RUN(test_provision__as_the_manual_shows_it);
	RUN(test_provision__undone_on_failure);
	RUN(test_provision__lost_device);
	RUN(test_identity__equal_or_named);
	RUN(test_identity__names_the_serial);
	RUN(test_threads__worker_and_control);
	printf("1..%u\n", tap_nr);
	return tap_bad != 0;
}
