/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * FZ18: SET, resets, reads, writes, closes, failing operations and a
 * controller that comes and goes, in any order. Input: pairs of an operation
 * and its operand. Whatever happens: a SET that succeeds is where it said, a
 * function runs exactly in the states where it may, a stream of a session
 * that is over says ENODEV.
 */
#include "../tests/unit/fake_lm.h"

#define FDS 4

static struct world w;
static struct fake_lm lm;
static struct opened o;
static struct { int fd; bool dead; } fds[FDS];
static unsigned int next_fd;
static bool gone;
static int64_t image;

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "mig_fsm: %s\n", what);
		abort();
	}
}

static bool runs(uint32_t s)
{
	return s == VFIO_DEVICE_STATE_RUNNING || s == VFIO_DEVICE_STATE_PRE_COPY;
}

static bool in_session(uint32_t s)
{
	return s == VFIO_DEVICE_STATE_PRE_COPY || s == VFIO_DEVICE_STATE_PRE_COPY_P2P ||
	       s == VFIO_DEVICE_STATE_STOP_COPY || s == VFIO_DEVICE_STATE_RESUMING;
}

static void all_dead(int but)
{
	unsigned int i;

	for (i = 0; i < FDS; i++)
		fds[i].dead |= fds[i].fd != but;
}

static void check_state(void)
{
	uint32_t s = fl_get(&w, o.dev);

	if (s != VFIO_DEVICE_STATE_ERROR && !gone)
		must(lm.suspended == !runs(s), "suspended where it may not run");
	if (!in_session(s))
		all_dead(-1);
}

static void keep(int fd)
{
	unsigned int i = next_fd++ % FDS;

	if (fds[i].fd)
		cl_close(&w.cl, fds[i].fd);
	all_dead(fd);
	fds[i].fd = fd;
	fds[i].dead = false;
}

static void set(uint8_t to)
{
	uint32_t was = fl_get(&w, o.dev);
	int fd = -1;
	int64_t ret = fl_set(&w, o.dev, to, &fd);

	if (!ret) {
		must(fl_get(&w, o.dev) == to && to, "SET says that it is there");
		must(to < 8, "a state that does not exist");
		if (fd >= 0)
			keep(fd);
	} else {
		must(fd == -1 || to >= 8 || ret == -EFAULT, "a stream of a SET that failed");
		must(was != VFIO_DEVICE_STATE_ERROR || ret == -EINVAL || ret == -EIO, "ERROR stays");
	}
}

static void reopen(void)
{
	opened_close(&w, &o);
	all_dead(-1);
	must(!open_cdev_path(&w, 0, &o), "open");
	must(fl_get(&w, o.dev) == VFIO_DEVICE_STATE_RUNNING, "a new client finds RUNNING");
}

static void move(unsigned int i, uint8_t n)
{
	int64_t ret;

	if (!fds[i].fd)
		return;
	ret = fl_read(&w, fds[i].fd, w.cl.ram, n * 16u);
	if (ret > 0)
		image = ret;
	must(!fds[i].dead || ret == -ENODEV || ret == -EBADF, "a dead stream is read");
	ret = fl_write(&w, fds[i].fd, w.cl.ram, n & 1 ? n : (uint64_t)image);
	must(!fds[i].dead || ret == -ENODEV || ret == -EBADF, "a dead stream is written");
}

static void controller(uint8_t n)
{
	vfio_host_lock(&w.host);
	if (!gone) {
		lm_unregister(&lm.lm);
		all_dead(-1);
	} else {
		lm.suspended = lm.saving = lm.loading = lm.track = false;
		lm_register(&w.host.bus, &lm.lm);
	}
	gone = !gone;
	vfio_host_unlock(&w.host);
	if (!gone)
		fl_reset(&w, o.dev);
	if (!gone)
		all_dead(-1);
}

static void step(uint8_t op, uint8_t n)
{
	struct lm_range r = { 0, 4096 * (1 + n) };
	struct fl_feature f = { 0 };

	switch (op % 12) {
	case 0:
	case 1:
	case 2:
	case 3:
		set(n % 9);
		break;
	case 4:
		fl_reset(&w, o.dev);
		all_dead(-1);
		must(fl_get(&w, o.dev) == VFIO_DEVICE_STATE_RUNNING, "RUNNING after a reset");
		break;
	case 5:
		move(n % FDS, n);
		break;
	case 6:
		if (fds[n % FDS].fd)
			cl_close(&w.cl, fds[n % FDS].fd);
		fds[n % FDS].fd = 0;
		break;
	case 7:
		lm.fail_at = lm.nr_ops + 1 + n % 8;
		lm.fail_last = lm.fail_at + (n >> 4);
		lm.fail_err = n & 8 ? -EIO : -ETIMEDOUT;
		break;
	case 8:
		must(!fl_feature(&w, o.dev, FL_GET | 9, &f) && f.size.stop_copy_length, "a size");
		break;
	case 9:
		f.start = (struct vfio_device_feature_dma_logging_control){
			.page_size = 4096, .num_ranges = 1, .ranges = (uintptr_t)w.cl.ram + 65536 };
		memcpy(w.cl.ram + 65536, &r, sizeof(r));
		(void)fl_feature(&w, o.dev, FL_SET | (6 + n % 2), &f);
		break;
	case 10:
		reopen();
		break;
	default:
		controller(n);
	}
}

static void begin(void)
{
	static bool ready;
	unsigned int i;

	if (!ready) {
		ready = true;
		log_level_max = LOG_ERROR;
		world_init(&w, false);
		fl_attach(&lm, &w, 0);
		must(!open_cdev_path(&w, 0, &o), "open");
	}
	if (gone)
		controller(0);
	lm.fail_at = 0;
	for (i = 0; i < FDS; i++) {
		if (fds[i].fd)
			cl_close(&w.cl, fds[i].fd);
		fds[i].fd = 0;
	}
	lm.image_len = 300;
	memset(lm.image, 3, 300);
	image = 0;
	reopen();
	fl_reset(&w, o.dev);
	lm.suspended = lm.saving = lm.loading = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	begin();
	for (i = 0; i + 1 < size && i < 400; i += 2) {
		step(data[i], data[i + 1]);
		check_state();
	}
	begin();
	return 0;
}
