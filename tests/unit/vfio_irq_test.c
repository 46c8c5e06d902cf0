/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Interrupts: SET_IRQS in every combination, delivery, INTx, and a storm while the file closes. */
#include "vfio_client.h"

#define NONE VFIO_IRQ_SET_DATA_NONE
#define BOOL VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK VFIO_IRQ_SET_ACTION_MASK
#define UNMASK VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

enum { INTX, MSI, MSIX, ERR, REQ };

static struct world w;
static struct opened o;
static int ev[TF_VECTORS];

static int64_t irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const int *fds)
{
	return set_irqs(&w, o.dev, flags, index, start, count, fds);
}

static void raise_vector(unsigned int v)
{
	reg_write(&w, o.dev, TF_RAISE, v);
}

static void all_off(void)
{
	unsigned int i;

	irqs(NONE | TRIGGER, INTX, 0, 0, NULL);
	irqs(NONE | TRIGGER, MSIX, 0, 0, NULL);
	irqs(NONE | TRIGGER, ERR, 0, 0, NULL);
	irqs(NONE | TRIGGER, REQ, 0, 0, NULL);
	for (i = 0; i < TF_VECTORS; i++)
		ev_take(ev[i]);
}

static void test_info__counts_and_flags(void)
{
	static const struct { uint32_t count, flags; } rows[] = {
		{ 1, 7 }, { 0, 9 }, { TF_VECTORS, 1 }, { 1, 9 }, { 1, 9 },
	};
	struct vfio_irq_info i = { .argsz = sizeof(i) };

	for (i.index = 0; i.index < 5; i.index++) {
		CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_GET_IRQ_INFO, &i), 0);
		CHECK_EQ(i.count, rows[i.index].count);
		CHECK_EQ(i.flags, rows[i.index].flags);
	}
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
}

/* What the rules say of a call on an index, which is on or off. Data: BOOL 0, EVENTFD -1. */
static int expected(uint32_t action, uint32_t data, unsigned int index, bool on, bool other,
		    uint32_t start, uint32_t count)
{
	static const unsigned int num[] = { 1, 0, TF_VECTORS, 1, 1 };

	if (index > REQ || count >= UINT32_MAX - start || start >= num[index] ||
	    start + count > num[index] || __builtin_popcount(data) != 1)
		return -EINVAL;
	if (__builtin_popcount(action) != 1)
		return -ENOTTY;
	if (index == INTX) {
		if (action == TRIGGER && on && !count && data == NONE)
			return 0;
		if (action != TRIGGER)
			return !on || count != 1 ? -EINVAL
			     : data == EVENTFD && action == MASK ? -ENOTTY : 0;
		if (other || count != 1)
			return -EINVAL;
		return data == EVENTFD || on ? 0 : -EINVAL;
	}
	if (action != TRIGGER)
		return -ENOTTY;
	if (index == MSIX) {
		if (on && !count && data == NONE)
			return 0;
		if (other)
			return -EINVAL;
		if (data == EVENTFD)
			return on || start + count ? 0 : -ERANGE;
		return on ? 0 : -EINVAL;
	}
	if (data == NONE)
		return on ? 0 : -EINVAL;
	return count ? 0 : -EINVAL;
}

static void turn_on(unsigned int index)
{
	CHECK_EQ(irqs(EVENTFD | TRIGGER, index, 0, 1, ev), 0);
}

static void test_set__every_combination(void)
{
	static const uint32_t starts[] = { 0, 1, 7, 8, UINT32_MAX - 1, UINT32_MAX };
	static const uint32_t counts[] = { 0, 1, 2, 8, 9, UINT32_MAX - 1, UINT32_MAX };
	uint32_t flags, index, s, c, mode;
	int none[64];

	memset(none, 0xff, sizeof(none));
	for (mode = 0; mode < 4; mode++)
	for (index = 0; index < 7; index++)
	for (flags = 0; flags < 64; flags++)
	for (s = 0; s < ARRAY_SIZE(starts); s++)
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		/* Off; INTx on; MSI-X on; ERR and REQ on. */
		bool on = (mode == 1 && index == INTX) || (mode == 2 && index == MSIX) ||
			  (mode == 3 && (index == ERR || index == REQ));
		bool other = (mode == 1 && index != INTX) || (mode == 2 && index != MSIX);
		uint32_t buf[5 + 16] = { sizeof(buf), flags, index, starts[s], counts[c] };
		int want = expected(flags & 0x38, flags & 7, index, on, other, starts[s],
				    counts[c]);
		int64_t ret;

		memset(buf + 5, flags & EVENTFD ? 0xff : 0, 64);
		if (mode == 1 || mode == 2) {
			turn_on(mode == 1 ? INTX : MSIX);
		} else if (mode == 3) {
			turn_on(ERR);
			turn_on(REQ);
		}
		ret = cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf);
		if (ret != want) {
			printf("# mode %u index %u flags 0x%x start %u count %u: %lld not %d\n", mode,
			       index, flags, starts[s], counts[c], (long long)ret, want);
			if (++tap_bad > 20)
				return;
		}
		all_off();
	}
}

static void test_set__argument_sizes(void)
{
	uint32_t buf[6] = { 20, EVENTFD | TRIGGER, MSIX, 0, 1, UINT32_MAX };
	int bad = 999, dir = open("/", O_RDONLY | O_DIRECTORY);

	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf), -EINVAL);
	buf[0] = 23;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf), -EINVAL);
	buf[0] = 19;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf), -EINVAL);
	buf[0] = 20;
	buf[1] = BOOL | TRIGGER;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf), -EINVAL);
	buf[1] = NONE | TRIGGER | 64;
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_SET_IRQS, buf), -EINVAL);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &bad), -EBADF);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &dir), -EINVAL);
	CHECK_EQ(irqs(NONE | TRIGGER, MSIX, 0, 0, NULL), -EINVAL);	/* it did not stay on */
	close(dir);
}

static void test_msix__delivers_and_keeps_what_nobody_took(void)
{
	int none = -1;

	bus_master_on(&w, o.dev);
	raise_vector(0);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &none), 0);
	raise_vector(3);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 3, 1, &ev[3]), 0);
	CHECK_EQ(ev_take(ev[3]), 1);
	raise_vector(3);
	raise_vector(3);
	CHECK_EQ(ev_take(ev[3]), 2);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 3, 1, &none), 0);
	raise_vector(3);
	CHECK_EQ(ev_take(ev[3]), 0);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 3, 1, &ev[4]), 0);
	CHECK_EQ(ev_take(ev[4]), 1);
	CHECK_EQ(irqs(NONE | TRIGGER, MSIX, 3, 1, NULL), 0);
	CHECK_EQ(ev_take(ev[4]), 1);
	CHECK_EQ(irqs(NONE | TRIGGER, MSIX, 2, 1, NULL), 0);
	all_off();
}

static void test_msix__an_error_takes_the_block_back(void)
{
	int fds[4] = { ev[0], ev[1], 999, ev[3] };

	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 8, ev), 0);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 4, fds), -EBADF);
	bus_master_on(&w, o.dev);
	raise_vector(0);
	raise_vector(2);
	raise_vector(3);
	raise_vector(5);
	CHECK_EQ(ev_take(ev[0]), 0);
	CHECK_EQ(ev_take(ev[2]), 0);
	CHECK_EQ(ev_take(ev[3]), 1);
	CHECK_EQ(ev_take(ev[5]), 1);
	all_off();
}

static void test_msix__stays_connected_over_a_reset(void)
{
	bus_master_on(&w, o.dev);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 8, ev), 0);
	CHECK_EQ(cl_ioctl(&w.cl, o.dev, VFIO_DEVICE_RESET, 0), 0);
	raise_vector(6);
	CHECK_EQ(ev_take(ev[6]), 1);
	all_off();
}

static void test_eventfd__full_does_not_block(void)
{
	uint64_t full = UINT64_MAX - 1;
	int fd = eventfd(0, 0);

	bus_master_on(&w, o.dev);
	CHECK(write(fd, &full, 8) == 8);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &fd), 0);
	raise_vector(0);
	raise_vector(0);
	CHECK_EQ(ev_take(fd), full);
	all_off();
	close(fd);
}

static void level(int on)
{
	reg_write(&w, o.dev, TF_INTX, (uint64_t)on);
}

static void test_intx__masks_itself_until_told(void)
{
	int none = -1;

	CHECK_EQ(irqs(EVENTFD | TRIGGER, INTX, 0, 1, ev), 0);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, MSIX, 0, 1, ev), -EINVAL);
	level(1);
	CHECK_EQ(ev_take(ev[0]), 1);
	level(0);
	level(1);
	CHECK_EQ(ev_take(ev[0]), 0);
	CHECK_EQ(irqs(NONE | UNMASK, INTX, 0, 1, NULL), 0);
	CHECK_EQ(ev_take(ev[0]), 1);
	level(0);
	CHECK_EQ(irqs(NONE | UNMASK, INTX, 0, 1, NULL), 0);
	CHECK_EQ(ev_take(ev[0]), 0);
	CHECK_EQ(irqs(NONE | MASK, INTX, 0, 1, NULL), 0);
	level(1);
	CHECK_EQ(ev_take(ev[0]), 0);
	CHECK_EQ(irqs(NONE | UNMASK, INTX, 0, 1, NULL), 0);
	CHECK_EQ(ev_take(ev[0]), 1);
	/* The client's own INTx Disable. */
	cfg_write(&w, o.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	CHECK_EQ(irqs(NONE | UNMASK, INTX, 0, 1, NULL), 0);
	CHECK_EQ(ev_take(ev[0]), 0);
	cfg_write(&w, o.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	CHECK_EQ(ev_take(ev[0]), 1);
	CHECK_EQ(irqs(EVENTFD | TRIGGER, INTX, 0, 1, &none), 0);
	level(0);
	CHECK_EQ(irqs(NONE | TRIGGER, INTX, 0, 0, NULL), 0);
	CHECK_EQ(irqs(NONE | TRIGGER, INTX, 0, 0, NULL), -EINVAL);
}

static bool wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 5000) == 1 && ev_take(fd);
}

static void test_intx__unmask_by_eventfd(void)
{
	int um = eventfd(0, EFD_NONBLOCK), none = -1;
	uint64_t one = 1;
	unsigned int i;

	CHECK_EQ(irqs(EVENTFD | TRIGGER, INTX, 0, 1, ev), 0);
	CHECK_EQ(irqs(EVENTFD | UNMASK, INTX, 0, 1, &um), 0);
	CHECK_EQ(irqs(EVENTFD | UNMASK, INTX, 0, 1, &um), -EBUSY);
	level(1);
	CHECK(wait_for(ev[0]));
	for (i = 0; i < 50; i++) {
		CHECK(write(um, &one, 8) == 8);
		CHECK(wait_for(ev[0]));
	}
	CHECK_EQ(irqs(EVENTFD | UNMASK, INTX, 0, 1, &none), 0);
	/* One that is readable already fires at once. */
	CHECK(write(um, &one, 8) == 8);
	CHECK_EQ(irqs(EVENTFD | UNMASK, INTX, 0, 1, &um), 0);
	CHECK(wait_for(ev[0]));
	level(0);
	all_off();
	close(um);
}

/* ------------------------------------------------------------------- a storm */

static struct world storm;
static struct opened so;
static atomic_bool stop;
static int storm_dev[2];

static void *storm_irqs(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg * 7919;
	int fds[64], i;

	for (i = 0; i < 64; i++)
		fds[i] = i % 5 ? ev[i % TF_VECTORS] : -1;
	while (!atomic_load(&stop)) {
		uint32_t data, action;

		seed = seed * 1664525u + 1013904223u;
		data = 1u << (seed >> 10) % 3;
		action = 8u << (seed >> 14) % 3;
		(void)set_irqs(&storm, so.dev, data | action, (seed >> 20) % 5,
			       (seed >> 24) % 4, (seed >> 28) % 6, data == EVENTFD ? fds : NULL);
	}
	return NULL;
}

static void *storm_fire(void *arg)
{
	uint64_t v = 0;

	while (!atomic_load(&stop)) {
		v++;
		(void)cl_pwrite(&storm.cl, so.dev, &v, 8, v % 3 ? TF_INTX : TF_RAISE);
		v %= TF_VECTORS;
		if (v == 5)
			(void)cl_ioctl(&storm.cl, so.dev, VFIO_DEVICE_RESET, 0);
	}
	return arg;
}

/* Another file of the device comes and goes: opens and closes run beside the storm. */
static void *storm_files(void *arg)
{
	while (!atomic_load(&stop)) {
		int fd = (int)cl_ioctl(&storm.cl, so.group, VFIO_GROUP_GET_DEVICE_FD,
				       "0000:01:00.0");

		if (fd > 0)
			cl_close(&storm.cl, fd);
	}
	return arg;
}

static void test_storm__eight_threads_while_files_close(void)
{
	pthread_t t[10];
	unsigned int round, i;

	world_init(&storm, true);
	for (round = 0; round < 5; round++) {
		CHECK_EQ(open_group_path(&storm, 0, VFIO_TYPE1v2_IOMMU, &so), 0);
		bus_master_on(&storm, so.dev);
		atomic_store(&stop, false);
		for (i = 0; i < 8; i++)
			pthread_create(&t[i], NULL, storm_irqs, (void *)(uintptr_t)(round * 8 + i + 1));
		pthread_create(&t[8], NULL, storm_fire, NULL);
		pthread_create(&t[9], NULL, storm_files, NULL);
		poll(NULL, 0, 200);
		atomic_store(&stop, true);
		for (i = 0; i < 10; i++)
			pthread_join(t[i], NULL);
		/* Interrupts still fire while the last file closes. */
		atomic_store(&stop, false);
		opened_close(&storm, &so);
	}
	world_release(&storm);
	(void)storm_dev;
}

int main(void)
{
	unsigned int i;

	for (i = 0; i < TF_VECTORS; i++)
		ev[i] = eventfd(0, EFD_NONBLOCK);
	world_init(&w, false);
	if (open_cdev_path(&w, 0, &o))
		return 1;
	RUN(test_info__counts_and_flags);
	RUN(test_set__every_combination);
	RUN(test_set__argument_sizes);
	RUN(test_msix__delivers_and_keeps_what_nobody_took);
	RUN(test_msix__an_error_takes_the_block_back);
	RUN(test_msix__stays_connected_over_a_reset);
	RUN(test_eventfd__full_does_not_block);
	RUN(test_intx__masks_itself_until_told);
	RUN(test_intx__unmask_by_eventfd);
	RUN(test_storm__eight_threads_while_files_close);
	opened_close(&w, &o);
	world_release(&w);
	return tap_end();
}
