/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The data_fd and the stream in it: how it is cut makes no difference, what is wrong with it is refused. */
#include "fake_lm.h"
#include "vfio/state_stream.h"

#define ST(x) VFIO_DEVICE_STATE_##x
#define STREAM_MAX 16384

static struct world w;
static struct fake_lm lm;
static struct opened o;
static uint8_t *stream;			/* in the client's memory */
static size_t stream_len, initial;

static void random_image(size_t len)
{
	size_t i;

	lm.image_len = len;
	for (i = 0; i < len; i++)
		lm.image[i] = (uint8_t)fl_rnd(255);
}

/* Read until there is nothing now, or no more; at most @piece at a time (0: any). */
static size_t drain(int fd, size_t at, size_t piece, int64_t end)
{
	int64_t n;

	for (;;) {
		size_t len = piece ? piece : fl_rnd(700);

		n = fl_read(&w, fd, stream + at, MIN(len, STREAM_MAX - at));
		if (!n && !len)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	CHECK_EQ(n, end);
	return at;
}

/* Out of RUNNING by way of PRE_COPY, back to RUNNING. */
static void save(size_t piece, bool read_early)
{
	size_t at = 0;
	int fd, fd2;

	fl_reset(&w, o.dev);
	CHECK_EQ(fl_set(&w, o.dev, ST(PRE_COPY), &fd), 0);
	CHECK(fd >= 0);
	if (read_early)
		initial = at = drain(fd, 0, piece, -ENOMSG);
	CHECK_EQ(fl_set(&w, o.dev, ST(PRE_COPY_P2P), &fd2), 0);
	CHECK_EQ(fd2, -1);
	if (read_early)
		CHECK_EQ(fl_read(&w, fd, stream + at, 1), -ENOMSG);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd2), 0);
	CHECK_EQ(fd2, -1);
	stream_len = drain(fd, at, piece, 0);
	CHECK_EQ(fl_read(&w, fd, stream, 8), 0);
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	CHECK_EQ(fl_read(&w, fd, stream + stream_len, 8), -ENODEV);
	cl_close(&w.cl, fd);
}

static void test_read__cut_makes_no_difference(void)
{
	static uint8_t first[STREAM_MAX];
	static const size_t pieces[] = { 1, 0, 7, 4096, 1 << 20 };
	size_t first_len, i;
	int fd;

	random_image(1500);
	save(STREAM_MAX, true);
	memcpy(first, stream, stream_len);
	first_len = stream_len;
	for (i = 0; i < ARRAY_SIZE(pieces) * 2; i++) {
		memset(stream, 0, STREAM_MAX);
		save(pieces[i / 2], i % 2);
		CHECK_EQ(stream_len, first_len);
		CHECK(!memcmp(stream, first, first_len));
	}
	/* And without PRE_COPY. */
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd), 0);
	CHECK_EQ(drain(fd, 0, 4096, 0), first_len);
	CHECK(!memcmp(stream, first, first_len));
	cl_close(&w.cl, fd);
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
}

static void test_precopy_info(void)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = 99 };
	struct fl_feature f = { 0 };
	int fd;

	CHECK_EQ(fl_set(&w, o.dev, ST(PRE_COPY), &fd), 0);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	CHECK_EQ(info.initial_bytes, initial);
	CHECK_EQ(info.dirty_bytes, 0);
	CHECK_EQ(info.flags, 99);
	CHECK_EQ(fl_read(&w, fd, stream, 10), 10);
	CHECK_EQ(fl_feature(&w, o.dev, FL_SET | 12, &f), 0);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	CHECK_EQ(info.initial_bytes, initial - 10);
	CHECK_EQ(info.flags, 0);
	info.argsz = 23;
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	info.argsz = sizeof(info);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_DEVICE_RESET, NULL), -ENOTTY);
	drain(fd, 0, 0, -ENOMSG);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	CHECK_EQ(info.initial_bytes, 0);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), NULL), 0);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -ENODEV);
	cl_close(&w.cl, fd);
}

static void test_size__never_zero_and_enough(void)
{
	static const uint32_t states[] = { ST(RUNNING), ST(PRE_COPY), ST(STOP), ST(STOP_COPY), ST(RESUMING) };
	struct fl_feature f = { 0 };
	unsigned int i;

	random_image(1500);
	save(STREAM_MAX, true);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		CHECK_EQ(fl_set(&w, o.dev, states[i], NULL), 0);
		CHECK_EQ(fl_feature(&w, o.dev, FL_GET | 9, &f), 0);
		CHECK(f.size.stop_copy_length >= stream_len);
		CHECK(f.size.stop_copy_length < stream_len + 16384);
		fl_reset(&w, o.dev);
	}
	lm.image_len = 0;
	lm.fail_at = lm.nr_ops + 1;
	lm.fail_last = UINT32_MAX;
	lm.fail_err = -EIO;
	CHECK_EQ(fl_feature(&w, o.dev, FL_GET | 9, &f), 0);
	CHECK(f.size.stop_copy_length > 0);
	lm.fail_at = 0;
}

static void test_directions(void)
{
	int fd;

	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), &fd), 0);
	CHECK_EQ(fl_write(&w, fd, stream, 1), -EBADF);
	CHECK_EQ(fl_read(&w, fd, stream, 0), 0);
	/* What could not be copied out is still there. */
	w.cl.fail_copy_out = 1;
	CHECK_EQ(fl_read(&w, fd, stream, 64), -EFAULT);
	CHECK_EQ(fl_read(&w, fd, stream, 8), 8);
	CHECK(!memcmp(stream, "FERRYLM", 8));
	cl_close(&w.cl, fd);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	CHECK_EQ(fl_read(&w, fd, stream, 1), -EBADF);
	CHECK_EQ(fl_write(&w, fd, stream, 0), 0);
	CHECK_EQ(fl_write(&w, fd, NULL, 10), -EFAULT);
	CHECK_EQ(fl_ioctl(&w, fd, VFIO_MIG_GET_PRECOPY_INFO, stream), -ENOTTY);
	/* Nothing was written: nothing to be checked. */
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	CHECK_EQ(fl_write(&w, fd, stream, 1), -ENODEV);
	cl_close(&w.cl, fd);
}

/* A guest reset the function while it was read: suspended again, twice; not for ever. */
static void test_save__again(void)
{
	lm.again = 2;
	save(0, true);
	lm.again = 3;
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP_COPY), NULL), -EIO);
	CHECK_EQ(fl_get(&w, o.dev), ST(STOP));
	lm.again = 0;
	CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
}

/* Into a fresh RESUMING; the first error or 0. *@fd stays open. */
static int64_t resume_with(const uint8_t *buf, size_t len, size_t piece, int *fd)
{
	int64_t ret = 0;
	size_t at = 0;

	fl_reset(&w, o.dev);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), fd), 0);
	while (at < len && ret >= 0) {
		size_t n = piece ? piece : 1 + fl_rnd(900);

		n = MIN(n, len - at);
		ret = fl_write(&w, *fd, buf + at, n);
		CHECK(ret < 0 || ret == (int64_t)n);
		at += n;
	}
	return ret < 0 ? ret : 0;
}

static void forget(void)
{
	lm.image_len = 1;
	lm.image[0] = 0xee;
}

static bool forgotten(void)
{
	return lm.image_len == 1 && lm.image[0] == 0xee;
}

static void test_write__cut_makes_no_difference(void)
{
	static const size_t pieces[] = { 1, 0, 3, 4096, 1 << 20 };
	uint8_t was[1500];
	size_t i;
	int fd;

	random_image(sizeof(was));
	memcpy(was, lm.image, sizeof(was));
	save(STREAM_MAX, true);
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		forget();
		CHECK_EQ(resume_with(stream, stream_len, pieces[i], &fd), 0);
		CHECK_EQ(lm.image_len, sizeof(was));
		CHECK(!memcmp(lm.image, was, sizeof(was)));
		/* Loaded by the last write; leaving only looks. */
		cl_close(&w.cl, fd);
		CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING_P2P), NULL), 0);
		CHECK_EQ(fl_set(&w, o.dev, ST(RUNNING), NULL), 0);
	}
	/* Nothing may follow the end. */
	forget();
	CHECK_EQ(resume_with(stream, stream_len, 4096, &fd), 0);
	CHECK_EQ(fl_write(&w, fd, stream, 1), -EINVAL);
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), -EINVAL);
	cl_close(&w.cl, fd);
	forget();
	stream[stream_len] = 0;
	CHECK_EQ(resume_with(stream, stream_len + 1, 1 << 20, &fd), -EINVAL);
	CHECK(forgotten());
	cl_close(&w.cl, fd);
}

static void test_write__truncated(void)
{
	size_t len;
	int fd;

	random_image(200);
	save(STREAM_MAX, true);
	for (len = 1; len < stream_len; len++) {
		forget();
		CHECK_EQ(resume_with(stream, len, 1 << 20, &fd), 0);
		CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), -EINVAL);
		CHECK_EQ(fl_get(&w, o.dev), ST(RESUMING));
		CHECK(forgotten());
		cl_close(&w.cl, fd);
	}
}

static void test_write__another_identity(void)
{
	int fd;

	random_image(200);
	save(STREAM_MAX, true);
	forget();
	lm.id.digest[31] ^= 1;
	/* Refused by the write that completes what PRE_COPY offers, not later. */
	CHECK_EQ(resume_with(stream, initial - 1, 1 << 20, &fd), 0);
	CHECK_EQ(fl_write(&w, fd, stream + initial - 1, 1), -EINVAL);
	CHECK_EQ(fl_write(&w, fd, stream + initial, 1), -EINVAL);
	CHECK(forgotten());
	cl_close(&w.cl, fd);
	lm.id.digest[31] ^= 1;
}

static void test_write__the_controller_refuses(void)
{
	int fd;

	random_image(200);
	lm.image[0] = 0xff;
	save(STREAM_MAX, true);
	forget();
	CHECK_EQ(resume_with(stream, stream_len, 0, &fd), -EINVAL);
	CHECK(forgotten());
	CHECK_EQ(fl_get(&w, o.dev), ST(RESUMING));
	CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), -EINVAL);
	cl_close(&w.cl, fd);
	/* It failed half-way: nobody knows. */
	fl_reset(&w, o.dev);
	CHECK_EQ(fl_set(&w, o.dev, ST(RESUMING), &fd), 0);
	lm.fail_at = lm.nr_ops + 1;
	lm.fail_last = UINT32_MAX;
	lm.fail_err = -ETIMEDOUT;
	CHECK_EQ(fl_write(&w, fd, stream, stream_len), -ETIMEDOUT);
	lm.fail_at = 0;
	CHECK_EQ(fl_get(&w, o.dev), ST(ERROR));
	CHECK_EQ(fl_write(&w, fd, stream, 1), -ENODEV);
	cl_close(&w.cl, fd);
	fl_reset(&w, o.dev);
}

/* Unknown records: passed over if they say so, refused otherwise. */
static void test_write__unknown_records(void)
{
	static const struct { uint32_t type, flags; size_t len; int ret; } rows[] = {
		{ 77, STATE_RECORD_OPTIONAL, 5, 0 },
		{ 77, STATE_RECORD_OPTIONAL, 0, 0 },
		{ 77, 0, 5, -EOPNOTSUPP },
		{ 77, 2, 5, -EOPNOTSUPP },
		{ 77, STATE_RECORD_OPTIONAL, 70000, -ENOMEM },
		{ STATE_COMPAT, 0, 5, -EINVAL },
		{ STATE_END, 0, 16, -EINVAL },
		{ STATE_IMAGE, 0, 4, -EINVAL },		/* twice */
	};
	static uint8_t body[70000];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct state_writer sw = { 0 };
		int fd;

		CHECK_EQ(state_write_begin(&sw, &lm.id), 0);
		CHECK_EQ(state_record_add(&sw, rows[i].type, rows[i].flags, body, rows[i].len), 0);
		CHECK_EQ(state_write_image(&sw, "abc", 3, NULL, 0), 0);
		memcpy(w.cl.ram + (1 << 20), sw.buf, sw.len);
		forget();
		CHECK_EQ(resume_with(w.cl.ram + (1 << 20), sw.len, 0, &fd), rows[i].ret);
		if (!rows[i].ret)
			CHECK(lm.image_len == 3 && !memcmp(lm.image, "abc", 3));
		else
			CHECK(forgotten());
		cl_close(&w.cl, fd);
		state_writer_release(&sw);
	}
}

static void mutate(uint8_t *p, size_t *len)
{
	unsigned int n = 1 + fl_rnd(3), at, k;

	while (n-- && *len) {
		at = fl_rnd((uint32_t)*len);
		k = fl_rnd(40);
		k = MIN(k, (uint32_t)(*len - at));
		switch (fl_rnd(5)) {
		case 0:
			p[at] ^= (uint8_t)(1u << fl_rnd(8));
			break;
		case 1:
			p[at] = (uint8_t)fl_rnd(256);
			break;
		case 2:			/* a piece is lost */
			memmove(p + at, p + at + k, *len - at - k);
			*len -= k;
			break;
		case 3:			/* comes twice */
			memmove(p + at + k, p + at, *len - at);
			*len += k;
			break;
		default:		/* is torn off */
			if (fl_rnd(8) == 0)
				*len = at + 1;
		}
	}
}

static void test_write__ten_thousand_mutations(void)
{
	uint8_t *p = w.cl.ram + (1 << 20), was[300];
	unsigned int i, accepted = 0;
	int fd;

	random_image(sizeof(was));
	memcpy(was, lm.image, sizeof(was));
	save(STREAM_MAX, true);
	for (i = 0; i < 10000; i++) {
		size_t len = stream_len;
		int64_t ret;

		memcpy(p, stream, len);
		mutate(p, &len);
		forget();
		ret = resume_with(p, len, fl_rnd(2) ? 0 : 1 << 20, &fd);
		if (!forgotten()) {
			accepted++;
			CHECK(lm.image_len == sizeof(was) && !memcmp(lm.image, was, sizeof(was)));
			CHECK(len >= stream_len && !memcmp(p, stream, stream_len));
			/* Bytes after the end, in a write of their own: an error all the same. */
			CHECK_EQ(ret, len > stream_len ? -EINVAL : 0);
		} else {
			CHECK_EQ(fl_set(&w, o.dev, ST(STOP), NULL), len ? -EINVAL : 0);
		}
		cl_close(&w.cl, fd);
	}
	printf("# %u accepted\n", accepted);
}

int main(void)
{
	log_level_max = LOG_ERROR;
	fl_seed();
	world_init(&w, false);
	fl_attach(&lm, &w, 0);
	stream = w.cl.ram;
	CHECK_EQ(open_cdev_path(&w, 0, &o), 0);
	RUN(test_read__cut_makes_no_difference);
	RUN(test_precopy_info);
	RUN(test_size__never_zero_and_enough);
	RUN(test_directions);
	RUN(test_save__again);
	RUN(test_write__cut_makes_no_difference);
	RUN(test_write__truncated);
	RUN(test_write__another_identity);
	RUN(test_write__the_controller_refuses);
	RUN(test_write__unknown_records);
	RUN(test_write__ten_thousand_mutations);
	opened_close(&w, &o);
	fl_detach(&lm, &w);
	world_release(&w);
	return tap_end();
}
