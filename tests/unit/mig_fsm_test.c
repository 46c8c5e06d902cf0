/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The migration states: 8 x 8 transitions with 4 sets of options, against a
 * model made of the arcs and the two rules that the user API's header states,
 * and each with every operation failing in turn.
 */
#include "fake_lm.h"
#include "vfio/mig.h"

enum { ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P };

#define STATES 8

static struct world w;
static struct fake_lm lm;
static const unsigned int option_sets[] = { 1, 3, 5, 7 };	/* STOP_COPY, P2P 2, PRE_COPY 4 */

/* The arcs of the header, in its order. */
static const uint8_t arcs[][2] = {
	{ RUNNING_P2P, STOP }, { STOP_COPY, STOP }, { RESUMING, STOP }, { PRE_COPY, RUNNING },
	{ RUNNING_P2P, RUNNING }, { PRE_COPY_P2P, RUNNING_P2P }, { RUNNING, RUNNING_P2P },
	{ STOP, RUNNING_P2P }, { RUNNING, PRE_COPY }, { RUNNING_P2P, PRE_COPY_P2P },
	{ STOP, STOP_COPY }, { PRE_COPY, PRE_COPY_P2P }, { PRE_COPY_P2P, PRE_COPY },
	{ PRE_COPY_P2P, STOP_COPY }, { STOP, RESUMING },
};

static bool saving_group(unsigned int s)
{
	return s == PRE_COPY || s == PRE_COPY_P2P || s == STOP_COPY;
}

static bool model_has(unsigned int opt, unsigned int s)
{
	bool p2p = s == RUNNING_P2P || s == PRE_COPY_P2P, pre = s == PRE_COPY || s == PRE_COPY_P2P;

	return s >= STOP && s < STATES && (!p2p || opt & 2) && (!pre || opt & 4);
}

/* "The states behave as though the device was fully running if not supported." */
static unsigned int without_p2p(unsigned int opt, unsigned int s)
{
	if (opt & 2)
		return s;
	return s == RUNNING_P2P ? RUNNING : s == PRE_COPY_P2P ? PRE_COPY : s;
}

static bool model_arc(unsigned int opt, unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(arcs); i++)
		if (without_p2p(opt, arcs[i][0]) == from && without_p2p(opt, arcs[i][1]) == to &&
		    from != to)
			return model_has(opt, from) && model_has(opt, to);
	return false;
}

/* May the path go through @s? In a stream it goes on, else it does not touch one. */
static bool may_pass(unsigned int from, unsigned int s, unsigned int to)
{
	return saving_group(from) && saving_group(to) ? saving_group(s) : !saving_group(s);
}

/* The shortest path, as states after each arc; its length, -1: none. */
static int model_path(unsigned int opt, unsigned int from, unsigned int to, unsigned int *path)
{
	unsigned int best[STATES][STATES], len[STATES], s, t, round;

	if (!model_has(opt, from) || !model_has(opt, to))
		return -1;
	for (s = 0; s < STATES; s++)
		len[s] = 99;
	len[from] = 0;
	for (round = 0; round < STATES; round++)
		for (s = 0; s < STATES; s++)
			for (t = 0; t < STATES; t++)
				if (len[s] == round && len[t] == 99 && model_arc(opt, s, t) &&
				    (s == from || may_pass(from, s, to))) {
					memcpy(best[t], best[s], round * sizeof(best[0][0]));
					best[t][round] = t;
					len[t] = round + 1;
				}
	if (len[to] == 99)
		return -1;
	memcpy(path, best[to], len[to] * sizeof(*path));
	return (int)len[to];
}

static void test_table__all_pairs(void)
{
	unsigned int o, from, to, path[STATES];

	for (o = 0; o < ARRAY_SIZE(option_sets); o++)
		for (from = 0; from < STATES + 1; from++)
			for (to = 0; to < STATES + 1; to++) {
				unsigned int at = from;
				int n = model_path(option_sets[o], from, to, path), i;

				if (n <= 0) {
					CHECK_EQ(mig_fsm_next(option_sets[o], from, to), n ? ERROR : to);
					continue;
				}
				for (i = 0; i < n; i++) {
					at = mig_fsm_next(option_sets[o], at, to);
					CHECK_EQ(at, path[i]);
				}
			}
}

/* -------------------------------------------------------------- on a device */

static bool runs(unsigned int s)
{
	return s == RUNNING || s == PRE_COPY;
}

static void go(int dev, unsigned int state)
{
	int fd;

	fl_reset(&w, dev);
	lm.fail_at = 0;
	if (state == ERROR) {
		lm.fail_at = lm.nr_ops + 1;
		lm.fail_last = UINT32_MAX;
		lm.fail_err = -EIO;
		CHECK(fl_set(&w, dev, STOP, NULL) < 0);
		lm.fail_at = 0;
	} else {
		CHECK_EQ(fl_set(&w, dev, state, &fd), 0);
		if (fd >= 0)
			cl_close(&w.cl, fd);
	}
	CHECK_EQ(fl_get(&w, dev), state);
}

static void check_function(unsigned int state)
{
	if (state != ERROR)
		CHECK_EQ(lm.suspended, !runs(state));
	CHECK(!lm.saving);
	if (state != ERROR)
		CHECK_EQ(lm.loading, state == RESUMING);
}

/* One transition that works. */
static void one(int dev, unsigned int opt, unsigned int from, unsigned int to)
{
	unsigned int path[STATES], last;
	int n = model_path(opt, from, to, path), fd = 0;
	bool stream = false;

	go(dev, from);
	if (n < 0) {
		CHECK_EQ(fl_set(&w, dev, to, &fd), -EINVAL);
		CHECK_EQ(fl_get(&w, dev), from);
		CHECK_EQ(fd, -1);
		return;
	}
	last = n > 1 ? path[n - 2] : from;
	if (n)
		stream = (saving_group(to) && !saving_group(last)) || to == RESUMING;
	CHECK_EQ(fl_set(&w, dev, to, &fd), 0);
	CHECK_EQ(fd >= 0, stream);
	CHECK_EQ(fl_get(&w, dev), to);
	check_function(to);
	if (fd >= 0)
		cl_close(&w.cl, fd);
}

/* Operation @k of it fails, and the ones after it if @more. Was there one? */
static bool failing(int dev, unsigned int opt, unsigned int from, unsigned int to, unsigned int k,
		    bool more)
{
	unsigned int path[STATES], state, first;
	int n = model_path(opt, from, to, path), i, fd;
	int64_t ret;
	bool on_path;

	go(dev, from);
	first = lm.nr_ops;
	lm.fail_at = first + k;
	lm.fail_last = more ? UINT32_MAX : lm.fail_at;
	lm.fail_err = k % 2 ? -EIO : -ETIMEDOUT;
	ret = fl_set(&w, dev, to, &fd);
	lm.fail_at = 0;
	state = fl_get(&w, dev);
	if (ret < 0) {
		CHECK_EQ(fd, -1);
		on_path = state == ERROR || state == from;
		for (i = 0; i < n; i++)
			on_path |= path[i] == state;
		CHECK(on_path);
		if (state == ERROR) {
			CHECK_EQ(fl_set(&w, dev, RUNNING, NULL), -EINVAL);
			CHECK_EQ(fl_set(&w, dev, STOP, NULL), -EINVAL);
		}
	} else {
		CHECK_EQ(state, to);
	}
	check_function(state);
	if (fd >= 0)
		cl_close(&w.cl, fd);
	fl_reset(&w, dev);
	CHECK_EQ(fl_get(&w, dev), RUNNING);
	return lm.nr_ops >= first + k;
}

static void pairs(bool fail)
{
	unsigned int i, from, to, k;

	for (i = 0; i < ARRAY_SIZE(option_sets); i++) {
		unsigned int opt = option_sets[i];
		struct opened o;

		CHECK_EQ(fl_options(&w, 0, opt), 0);
		CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
		for (from = 0; from < STATES; from++)
			for (to = 0; to < STATES + 2; to++) {
				if (from && !model_has(opt, from))
					continue;
				if (!fail) {
					one(o.dev, opt, from, to);
					continue;
				}
				if (model_path(opt, from, to, (unsigned int[STATES]){ 0 }) <= 0)
					continue;
				for (k = 1; failing(o.dev, opt, from, to, k, false); k++)
					;
				for (k = 1; failing(o.dev, opt, from, to, k, true); k++)
					;
			}
		opened_close(&w, &o);
	}
	CHECK_EQ(fl_options(&w, 0, 7), 0);
}

static void test_set__all_pairs(void)
{
	pairs(false);
}

static void test_set__every_operation_fails(void)
{
	pairs(true);
}

static void test_suspend__is_tried_twice(void)
{
	struct opened o;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	lm.fail_at = lm.fail_last = lm.nr_ops + 1;
	lm.fail_err = -ETIMEDOUT;
	CHECK_EQ(fl_set(&w, o.dev, STOP, NULL), 0);
	CHECK_EQ(fl_set(&w, o.dev, RUNNING, NULL), 0);
	/* Twice in vain: it runs on. */
	lm.fail_at = lm.nr_ops + 1;
	lm.fail_last = lm.fail_at + 1;
	CHECK_EQ(fl_set(&w, o.dev, STOP, NULL), -EIO);
	CHECK_EQ(fl_get(&w, o.dev), RUNNING);
	lm.fail_at = 0;
	opened_close(&w, &o);
}

/* What is not offered does not exist. */
static void test_options__without_stop_copy_nothing(void)
{
	struct fl_feature f = { 0 };
	struct opened o;
	uint32_t id;

	CHECK_EQ(fl_options(&w, 0, 6), 0);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	for (id = 1; id <= 12; id++)
		if (id < 3 || id > 5)
			CHECK_EQ(fl_feature(&w, o.dev, VFIO_DEVICE_FEATURE_PROBE | id, &f), -ENOTTY);
	CHECK_EQ(fl_options(&w, 0, 7), -EBUSY);
	opened_close(&w, &o);
	CHECK_EQ(fl_options(&w, 0, 7), 0);
	CHECK_EQ(fl_options(&w, 1, 7), -EOPNOTSUPP);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	CHECK_EQ(fl_feature(&w, o.dev, FL_GET | 1, &f), 0);
	CHECK_EQ(f.mig.flags, 7);
	for (id = 1; id <= 12; id++)
		if (id != 10 && id != 11)
			CHECK_EQ(fl_feature(&w, o.dev, VFIO_DEVICE_FEATURE_PROBE | id, &f), 0);
	CHECK_EQ(fl_feature(&w, o.dev, FL_SET | 1, &f), -EINVAL);
	CHECK_EQ(fl_feature(&w, o.dev, FL_GET | 12, &f), -EINVAL);
	opened_close(&w, &o);
	CHECK_EQ(fl_options(&w, 0, 3), 0);
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	CHECK_EQ(fl_feature(&w, o.dev, FL_SET | 12, &f), -EINVAL);
	opened_close(&w, &o);
	CHECK_EQ(fl_options(&w, 0, 7), 0);
}

static void test_set__bad_pointer(void)
{
	struct opened o;
	struct cl_call cc;

	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	w.cl.fail_copy_out = 1;
	CHECK_EQ(fl_set(&w, o.dev, STOP, NULL), -EFAULT);
	CHECK_EQ(fl_get(&w, o.dev), RUNNING);
	CHECK_EQ(fl_answer(&cc, fl_ioctl_start(&w, o.dev, &cc, VFIO_DEVICE_FEATURE, NULL)), -EFAULT);
	opened_close(&w, &o);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	world_init(&w, false);
	fl_attach(&lm, &w, 0);
	RUN(test_table__all_pairs);
	RUN(test_set__all_pairs);
	RUN(test_set__every_operation_fails);
	RUN(test_suspend__is_tried_twice);
	RUN(test_options__without_stop_copy_nothing);
	RUN(test_set__bad_pointer);
	fl_detach(&lm, &w);
	world_release(&w);
	return tap_end();
}
