/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Workers of both kinds: timers, work, polling, strands, block I/O. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <ferry/env.h>

#define MSEC 1000000ull
#define PAGE 4096u

static int tests, failures;
static enum env_kind kind;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s: %s\n", good ? "" : "not ", ++tests,
	       kind == ENV_URING ? "io_uring" : "epoll", what);
	fflush(stdout);
	failures += !good;
}

static struct ferry_env *env_make(void)
{
	struct ferry_env *env;

	if (env_create(kind, &env))
		abort();
	return env;
}

static struct ferry_env *env_make_started(void)
{
	struct ferry_env *env = env_make();

	if (env_start(env, "worker"))
		abort();
	return env;
}

/* ------------------------------------------------------------------- timers */

struct tick {
	struct env_timer t;
	int id;
};

static int tick_log[64], tick_n;

static void tick_fn(struct env_timer *t)
{
	tick_log[tick_n++] = container_of(t, struct tick, t)->id;
}

static void test_timer__order_cancel_rearm(void)
{
	struct ferry_env *env = env_make();
	struct env_strand st;
	struct tick k[6];
	uint64_t now;
	bool good;

	env_strand_init(&st, env, NULL);
	env_strand_lock(&st);
	for (int i = 0; i < 6; i++) {
		k[i].id = i;
		env_timer_init(&k[i].t, &st, tick_fn);
	}
	now = env_now(&st);
	env_timer_arm(&k[0].t, now + 3 * MSEC);
	env_timer_arm(&k[1].t, now + 1 * MSEC);
	env_timer_arm(&k[2].t, now + 1 * MSEC);
	env_timer_arm(&k[3].t, now + 2 * MSEC);
	env_timer_arm(&k[4].t, now + 1);
	env_timer_arm(&k[5].t, now + 1);
	env_timer_arm(&k[4].t, now + 4 * MSEC);		/* moved */
	env_timer_cancel(&k[5].t);
	env_timer_cancel(&k[5].t);
	good = atomic_load(&st.pending) == 5;
	env_strand_unlock(&st);
	tick_n = 0;
	while (tick_n < 5)
		env_step(env, true);
	for (int i = 0; i < 5; i++)
		good &= tick_log[i] == (const int[]){ 1, 2, 3, 0, 4 }[i];
	ok(good && tick_n == 5 && !atomic_load(&st.pending), "timers: order, cancel, rearm");
	ok(!env_step(env, false), "timers: nothing left");
	env_strand_release(&st);
	env_destroy(env);
}

static int random_fired, random_early, random_live;

static void random_fn(struct env_timer *t)
{
	random_fired++;
	random_live--;
	random_early += env_now(t->st) < t->deadline;
}

static void test_timer__many_random(void)
{
	enum { N = 500 };
	struct ferry_env *env = env_make();
	struct env_timer *t = calloc(N, sizeof(*t));
	struct env_strand st;

	env_strand_init(&st, env, NULL);
	for (int i = 0; i < N; i++)
		env_timer_init(&t[i], &st, random_fn);
	srand(1);
	random_fired = random_early = random_live = 0;
	for (int i = 0; i < 20000; i++) {
		struct env_timer *x = &t[rand() % N];

		env_strand_lock(&st);
		if (rand() % 3) {
			random_live += !x->heap_at;
			env_timer_arm(x, env_now(&st) + (uint64_t)(rand() % 2000) * 1000);
		} else {
			random_live -= !!x->heap_at;
			env_timer_cancel(x);
		}
		env_strand_unlock(&st);
		if (!(i % 16))
			env_step(env, false);
	}
	while (random_live)
		env_step(env, true);
	ok(random_fired && !random_early && !atomic_load(&st.pending),
	   "timers: 20000 random arms and cancels");
	free(t);
	env_strand_release(&st);
	env_destroy(env);
}

static atomic_int fired;

static void fired_fn(struct env_timer *t)
{
	atomic_fetch_add(&fired, 1);
}

static void test_timer__armed_while_the_worker_sleeps(void)
{
	struct ferry_env *env = env_make_started();
	struct env_timer t;
	struct env_strand st;

	env_strand_init(&st, env, NULL);
	env_timer_init(&t, &st, fired_fn);
	atomic_store(&fired, 0);
	for (int i = 1; i <= 200; i++) {
		env_strand_lock(&st);
		env_timer_arm(&t, env_now(&st) + (i & 1 ? 0 : 100000));
		env_strand_unlock(&st);
		while (atomic_load(&fired) < i)
			sched_yield();
	}
	ok(true, "timers: armed from another thread");
	env_stop(env);
	env_strand_release(&st);
	env_destroy(env);
}

/* --------------------------------------------------------------------- work */

struct counter {
	struct env_work w;
	atomic_int asked, ran;
};

static void counter_fn(struct env_work *w)
{
	struct counter *c = container_of(w, struct counter, w);

	atomic_store(&c->ran, atomic_load(&c->asked));
}

static void *work_thread(void *arg)
{
	struct counter *c = arg;

	for (int i = 1; i <= 2000; i++) {
		atomic_store(&c->asked, i);
		env_work_queue(&c->w);
		while (i % 8 == 0 && atomic_load(&c->ran) < i)
			sched_yield();
	}
	return NULL;
}

static void test_work__from_four_threads(void)
{
	struct ferry_env *env = env_make_started();
	struct env_strand st[2];
	struct counter c[4] = { 0 };
	pthread_t t[4];

	env_strand_init(&st[0], env, NULL);
	env_strand_init(&st[1], env, NULL);
	for (int i = 0; i < 4; i++) {
		env_work_init(&c[i].w, &st[i & 1], counter_fn);
		pthread_create(&t[i], NULL, work_thread, &c[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 4; i++)
		while (atomic_load(&c[i].ran) < 2000)
			sched_yield();
	ok(true, "work: every queueing is followed by a run");
	env_stop(env);
	ok(!atomic_load(&st[0].pending) && !atomic_load(&st[1].pending), "work: nothing pending");
	env_strand_release(&st[0]);
	env_strand_release(&st[1]);
	env_destroy(env);
}

static void test_work__cancel(void)
{
	struct ferry_env *env = env_make();
	struct counter c = { .asked = 1 };
	struct env_strand st;

	env_strand_init(&st, env, NULL);
	env_work_init(&c.w, &st, counter_fn);
	env_work_queue(&c.w);
	env_work_queue(&c.w);
	env_strand_lock(&st);
	env_work_cancel(&c.w);
	env_work_cancel(&c.w);
	env_strand_unlock(&st);
	ok(!env_step(env, false) && !c.ran && !atomic_load(&st.pending), "work: cancelled");
	env_work_queue(&c.w);
	ok(env_step(env, false) && c.ran == 1, "work: queued again");
	env_strand_release(&st);
	env_destroy(env);
}

/* ------------------------------------------------------------------ polling */

struct bell {
	struct env_poller p;
	struct env_strand st;
	atomic_int rung, seen;
	atomic_bool tell_me;	/* the event index: ring me */
	atomic_int polls, parks, unparks;
};

static bool bell_look(struct bell *b)
{
	int rung = atomic_load(&b->rung);

	if (rung == atomic_load(&b->seen))
		return false;
	atomic_store(&b->seen, rung);
	return true;
}

static bool bell_poll(struct env_poller *p)
{
	struct bell *b = container_of(p, struct bell, p);

	atomic_fetch_add(&b->polls, 1);
	return bell_look(b);
}

static bool bell_park(struct env_poller *p)
{
	struct bell *b = container_of(p, struct bell, p);

	atomic_fetch_add(&b->parks, 1);
	atomic_store(&b->tell_me, true);
	if (!bell_look(b))
		return false;
	atomic_store(&b->tell_me, false);
	return true;
}

static void bell_unpark(struct env_poller *p)
{
	struct bell *b = container_of(p, struct bell, p);

	atomic_fetch_add(&b->unparks, 1);
	atomic_store(&b->tell_me, false);
}

static void bell_init(struct bell *b, struct ferry_env *env)
{
	memset(b, 0, sizeof(*b));
	b->p = (struct env_poller){ bell_poll, bell_park, bell_unpark };
	env_strand_init(&b->st, env, &b->p);
}

static void bell_mode(struct bell *b, enum env_poll_mode mode)
{
	env_strand_lock(&b->st);
	env_poll_mode_set(&b->st, mode);
	env_strand_unlock(&b->st);
}

static void bell_ring(struct bell *b)
{
	atomic_fetch_add(&b->rung, 1);
	if (!atomic_load(&b->tell_me))
		return;
	env_strand_lock(&b->st);
	env_poll_kick(&b->st);
	env_strand_unlock(&b->st);
}

static void bell_wait(struct bell *b)
{
	while (atomic_load(&b->seen) != atomic_load(&b->rung))
		sched_yield();
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){ 0, ns }, NULL);
}

static void test_poll__event_loses_no_wakeup(void)
{
	struct ferry_env *env = env_make_started();
	struct bell b[3];

	for (int i = 0; i < 3; i++) {
		bell_init(&b[i], env);
		bell_mode(&b[i], ENV_POLL_EVENT);
	}
	for (int i = 0; i < 6000; i++) {
		struct bell *x = &b[i % 3];

		bell_ring(x);
		bell_wait(x);
		if (i % 4 == 0)		/* around the moment of parking */
			pause_ns(i % 97 * 1000);
	}
	ok(true, "poll: EVENT, 6000 rings around the moment of parking");
	for (int i = 0; i < 3; i++)
		while (!atomic_load(&b[i].tell_me))
			sched_yield();
	pause_ns(2000000);		/* the last park() to return */
	{
		int before = atomic_load(&b[0].polls);

		pause_ns(20000000);
		ok(atomic_load(&b[0].polls) == before, "poll: EVENT and parked is not polled");
	}
	ok(atomic_load(&b[0].parks) && atomic_load(&b[0].unparks), "poll: parked, unparked");
	for (int i = 0; i < 3; i++)
		bell_mode(&b[i], ENV_POLL_OFF);
	env_stop(env);
	for (int i = 0; i < 3; i++)
		env_strand_release(&b[i].st);
	env_destroy(env);
}

static void test_poll__timed_needs_no_kick(void)
{
	struct ferry_env *env = env_make_started();
	struct bell b[2];

	for (int i = 0; i < 2; i++) {
		bell_init(&b[i], env);
		bell_mode(&b[i], ENV_POLL_TIMED);
	}
	for (int i = 0; i < 200; i++) {
		atomic_fetch_add(&b[i & 1].rung, 1);
		bell_wait(&b[i & 1]);
		if (i % 10 == 0)
			pause_ns(3000000);
	}
	ok(!atomic_load(&b[0].parks) && !atomic_load(&b[1].parks),
	   "poll: TIMED finds by itself, never parks");
	bell_mode(&b[0], ENV_POLL_OFF);
	bell_mode(&b[1], ENV_POLL_EVENT);
	while (!atomic_load(&b[1].tell_me))
		sched_yield();
	bell_ring(&b[1]);
	bell_wait(&b[1]);
	ok(true, "poll: TIMED becomes EVENT");
	bell_mode(&b[1], ENV_POLL_OFF);
	{
		int before = atomic_load(&b[1].polls);

		pause_ns(5000000);
		ok(atomic_load(&b[1].polls) == before, "poll: OFF is not polled");
	}
	env_stop(env);
	env_strand_release(&b[0].st);
	env_strand_release(&b[1].st);
	env_destroy(env);
}

static void test_poll__strands_come_and_go(void)
{
	struct ferry_env *env = env_make_started();

	for (int i = 0; i < 1500; i++) {
		struct bell *b = malloc(sizeof(*b));

		bell_init(b, env);
		bell_mode(b, i & 1 ? ENV_POLL_TIMED : ENV_POLL_EVENT);
		if (i % 3)
			bell_ring(b);
		if (i % 7 == 0)
			pause_ns(i % 200 * 1000);
		bell_mode(b, ENV_POLL_OFF);
		env_strand_release(&b->st);
		free(b);
	}
	ok(true, "poll: 1500 strands made and freed under a polling worker");
	env_stop(env);
	env_destroy(env);
}

static bool busy_poll(struct env_poller *p)
{
	(void)p;
	return true;
}

static bool busy_park(struct env_poller *p)
{
	(void)p;
	return true;
}

static void test_strand__a_spinning_worker_lets_go(void)
{
	struct env_poller p = { .poll = busy_poll, .park = busy_park };
	struct ferry_env *env = env_make_started();
	struct env_strand st;

	env_strand_init(&st, env, &p);
	env_strand_lock(&st);
	env_poll_mode_set(&st, ENV_POLL_EVENT);
	env_strand_unlock(&st);
	for (int i = 0; i < 5000; i++) {
		env_strand_lock(&st);
		env_strand_unlock(&st);
	}
	ok(true, "strand: had 5000 times while its worker polls without pause");
	env_strand_lock(&st);
	env_poll_mode_set(&st, ENV_POLL_OFF);
	env_strand_unlock(&st);
	env_stop(env);
	env_strand_release(&st);
	env_destroy(env);
}

static void test_strand__a_stuck_holder_stops_nobody_else(void)
{
	struct ferry_env *env = env_make_started();
	struct counter stuck = { .asked = 1 }, free_one = { 0 };
	struct bell b;
	struct env_strand st;
	struct env_timer t;

	bell_init(&b, env);
	env_strand_init(&st, env, NULL);
	env_work_init(&stuck.w, &b.st, counter_fn);
	env_work_init(&free_one.w, &st, counter_fn);
	env_timer_init(&t, &b.st, fired_fn);
	atomic_store(&fired, 0);
	bell_mode(&b, ENV_POLL_EVENT);
	env_strand_lock(&b.st);		/* and keep it */
	atomic_fetch_add(&b.rung, 1);
	env_poll_kick(&b.st);
	env_work_queue(&stuck.w);
	env_timer_arm(&t, 0);
	for (int i = 1; i <= 500; i++) {
		atomic_store(&free_one.asked, i);
		env_work_queue(&free_one.w);
		while (atomic_load(&free_one.ran) < i)
			sched_yield();
	}
	pause_ns(3000000);
	ok(!atomic_load(&stuck.ran) && !atomic_load(&fired) &&
	   atomic_load(&b.seen) != atomic_load(&b.rung), "strand: held, nothing of it runs");
	env_strand_unlock(&b.st);
	bell_wait(&b);
	while (!atomic_load(&stuck.ran) || !atomic_load(&fired))
		sched_yield();
	ok(true, "strand: let go, all of it runs");
	bell_mode(&b, ENV_POLL_OFF);
	env_stop(env);
	env_strand_release(&b.st);
	env_strand_release(&st);
	env_destroy(env);
}

static void *lock_for_thread(void *arg)
{
	struct env_strand *st = arg;
	intptr_t ret = env_strand_lock_for(st, 2 * MSEC);

	if (!ret)
		env_strand_unlock(st);
	return (void *)ret;
}

static void test_strand__lock_for(void)
{
	struct ferry_env *env = env_make();
	struct env_strand st;
	pthread_t t;
	void *ret;

	env_strand_init(&st, env, NULL);
	env_strand_lock(&st);
	pthread_create(&t, NULL, lock_for_thread, &st);
	pthread_join(t, &ret);
	ok((intptr_t)ret == -ETIMEDOUT && !atomic_load(&st.waiters), "strand: lock_for times out");
	env_strand_unlock(&st);
	ok(!env_strand_lock_for(&st, 0), "strand: lock_for of a free one");
	env_strand_unlock(&st);
	env_strand_release(&st);
	env_destroy(env);
}

static struct ferry_env *ran_in;

static void where_fn(struct env_work *w)
{
	if (env_in_loop(w->st->env))
		ran_in = w->st->env;
}

static void test_strand__move(void)
{
	struct ferry_env *a = env_make(), *b = env_make();
	struct env_strand st;
	struct env_work w;

	env_strand_init(&st, a, NULL);
	env_work_init(&w, &st, where_fn);
	env_work_queue(&w);
	env_strand_lock(&st);
	ok(env_strand_move(&st, b) == -EBUSY, "strand: with work queued it stays");
	env_work_cancel(&w);
	ok(!env_strand_move(&st, b), "strand: moved");
	env_strand_unlock(&st);
	env_work_queue(&w);
	ok(!env_step(a, false) && env_step(b, false) && ran_in == b,
	   "strand: its work runs on the new worker");
	env_strand_release(&st);
	env_destroy(a);
	env_destroy(b);
}

struct mover {
	struct env_strand st;
	struct counter c;
	struct ferry_env *env[2];
};

static void *mover_thread(void *arg)
{
	struct mover *m = arg;

	for (int i = 0; i < 3000; i++) {
		env_strand_lock(&m->st);
		env_strand_move(&m->st, m->env[i & 1]);
		env_strand_unlock(&m->st);
		if (i % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void test_strand__moves_while_work_is_queued(void)
{
	struct mover m = { .env = { env_make_started(), env_make_started() } };
	pthread_t t[2];

	env_strand_init(&m.st, m.env[0], NULL);
	env_work_init(&m.c.w, &m.st, counter_fn);
	pthread_create(&t[0], NULL, mover_thread, &m);
	pthread_create(&t[1], NULL, work_thread, &m.c);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	while (atomic_load(&m.c.ran) < 2000)
		sched_yield();
	ok(true, "strand: moves between workers while others queue its work");
	env_stop(m.env[0]);
	env_stop(m.env[1]);
	env_strand_release(&m.st);
	env_destroy(m.env[0]);
	env_destroy(m.env[1]);
}

/* ---------------------------------------------------------------- block I/O */

static bool in_submit, nested;

struct one_io {
	struct env_io io;
	bool done;
	int64_t res;
};

static void one_done(struct env_io *io, int64_t res)
{
	struct one_io *o = container_of(io, struct one_io, io);

	nested |= in_submit;
	o->done = true;
	o->res = res;
}

static int64_t io_now(struct ferry_env *env, struct env_strand *st, struct env_io io)
{
	struct one_io o = { .io = io };

	o.io.st = st;
	o.io.done = one_done;
	env_strand_lock(st);
	in_submit = true;
	env_io_submit(&o.io);
	in_submit = false;
	env_strand_unlock(st);
	while (!o.done)
		env_step(env, true);
	return o.res;
}

static bool all_are(const uint8_t *p, uint8_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != v)
			return false;
	return true;
}

static int temp_file(void)
{
	char path[] = "/tmp/ferry-env-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		abort();
	unlink(path);
	return fd;
}

static void test_io__every_operation(void)
{
	static uint8_t a[3 * PAGE], b[3 * PAGE];
	struct ferry_env *env = env_make();
	struct iovec two[2] = { { a, 1000 }, { a + 1000, 3 * PAGE - 1000 } };
	struct iovec back = { b, 3 * PAGE };
	struct env_strand st;
	int fd = temp_file();
	int64_t r;

	env_strand_init(&st, env, NULL);
	nested = false;
	memset(a, 7, sizeof(a));
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_WRITE, .fd = fd, .iov = two, .niov = 2 });
	ok(r == 3 * PAGE, "io: write of two pieces");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_WRITE, .fd = fd, .off = 3 * PAGE,
					      .flags = ENV_IO_DSYNC, .iov = two, .niov = 1 });
	ok(r == 1000, "io: durable write");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .iov = &back, .niov = 1 });
	ok(r == 3 * PAGE && !memcmp(a, b, sizeof(a)), "io: read");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .off = 3 * PAGE,
					      .iov = &back, .niov = 1 });
	ok(r == 1000, "io: short read at the end of the file");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .off = 10 * PAGE,
					      .iov = &back, .niov = 1 });
	ok(r == 0, "io: read beyond the end");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_FDATASYNC, .fd = fd });
	ok(r == 0, "io: fdatasync");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_PUNCH_HOLE, .fd = fd, .off = PAGE,
					      .len = PAGE });
	if (!r)
		r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .iov = &back,
						      .niov = 1 });
	ok(r == -EOPNOTSUPP || (all_are(b, 7, PAGE) && all_are(b + PAGE, 0, PAGE)),
	   "io: punch hole");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_ZERO_RANGE, .fd = fd, .off = 100,
					      .len = 100 });
	if (!r)
		r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .iov = &back,
						      .niov = 1 });
	ok(r == -EOPNOTSUPP || (all_are(b, 7, 100) && all_are(b + 100, 0, 100)), "io: zero range");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_BLKDISCARD, .fd = fd, .len = PAGE });
	ok(r == -ENOTTY, "io: discard of what is no block device");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = -1, .iov = &back, .niov = 1 });
	ok(r == -EBADF, "io: bad fd, read");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_FDATASYNC, .fd = -1 });
	ok(r == -EBADF, "io: bad fd, fdatasync");
	ok(!nested, "io: no completion inside a submission");
	close(fd);
	env_strand_release(&st);
	env_destroy(env);
}

static void test_io__client_page_gone_is_efault(void)
{
	struct ferry_env *env = env_make();
	int fd = temp_file(), mem = memfd_create("client", MFD_CLOEXEC);
	struct env_strand st;
	struct iovec v;
	int64_t r;

	if (ftruncate(mem, 2 * PAGE) < 0 || ftruncate(fd, 2 * PAGE) < 0)
		abort();
	v.iov_len = PAGE;
	v.iov_base = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (v.iov_base == MAP_FAILED || ftruncate(mem, 0) < 0)
		abort();
	env_strand_init(&st, env, NULL);
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_WRITE, .fd = fd, .iov = &v, .niov = 1 });
	ok(r == -EFAULT, "io: write from a page that is gone");
	r = io_now(env, &st, (struct env_io){ .op = ENV_IO_READ, .fd = fd, .iov = &v, .niov = 1 });
	ok(r == -EFAULT, "io: read into a page that is gone");
	munmap(v.iov_base, PAGE);
	close(mem);
	close(fd);
	env_strand_release(&st);
	env_destroy(env);
}

struct flood {
	struct env_io io;
	struct iovec v;
	uint32_t val;
};

static atomic_int flood_good, flood_done;

static void flood_fn(struct env_io *io, int64_t res)
{
	struct flood *f = container_of(io, struct flood, io);

	if (io->op == ENV_IO_WRITE && res == sizeof(f->val)) {
		io->op = ENV_IO_READ;
		f->val = ~0u;
		env_io_submit(io);
		return;
	}
	if (res == sizeof(f->val) && f->val == io->off / sizeof(f->val))
		atomic_fetch_add(&flood_good, 1);
	atomic_fetch_add(&flood_done, 1);
}

static void test_io__flood_from_another_thread(void)
{
	enum { N = 3000 };
	struct ferry_env *env = env_make_started();
	struct flood *f = calloc(N, sizeof(*f));
	struct env_strand st;
	int fd = temp_file();

	env_strand_init(&st, env, NULL);
	atomic_store(&flood_good, 0);
	atomic_store(&flood_done, 0);
	for (uint32_t i = 0; i < N; i++) {
		f[i].val = i;
		f[i].v = (struct iovec){ &f[i].val, sizeof(f[i].val) };
		f[i].io = (struct env_io){
			.op = ENV_IO_WRITE, .fd = fd, .off = i * sizeof(f[i].val),
			.iov = &f[i].v, .niov = 1, .done = flood_fn, .st = &st,
		};
		env_strand_lock(&st);
		env_io_submit(&f[i].io);
		env_strand_unlock(&st);
	}
	env_stop(env);		/* completes what is in flight */
	ok(atomic_load(&flood_done) == N, "io: stop waits for 3000 in flight");
	ok(atomic_load(&flood_good) == N, "io: 3000 written from another thread and read back");
	ok(!atomic_load(&st.pending), "io: nothing pending");
	ok(!env_start(env, "again"), "io: a stopped worker starts again");
	env_stop(env);
	free(f);
	close(fd);
	env_strand_release(&st);
	env_destroy(env);
}

static void test_step__then_start(void)
{
	struct ferry_env *env = env_make();
	struct counter c = { .asked = 1 };
	struct env_strand st;

	env_strand_init(&st, env, NULL);
	env_work_init(&c.w, &st, counter_fn);
	ok(!env_step(env, true), "step: waits in vain, returns");
	env_start(env, "worker");
	for (int i = 1; i <= 50; i++) {
		atomic_store(&c.asked, i);
		env_work_queue(&c.w);
		while (atomic_load(&c.ran) != i)
			sched_yield();
		pause_ns(100000);
	}
	env_stop(env);
	atomic_store(&c.asked, 60);
	env_work_queue(&c.w);
	ok(env_step(env, true) && atomic_load(&c.ran) == 60, "step: before and after a thread");
	env_strand_release(&st);
	env_destroy(env);
}

static void run_all(enum env_kind k)
{
	kind = k;
	test_timer__order_cancel_rearm();
	test_timer__many_random();
	test_timer__armed_while_the_worker_sleeps();
	test_work__from_four_threads();
	test_work__cancel();
	test_poll__event_loses_no_wakeup();
	test_poll__timed_needs_no_kick();
	test_poll__strands_come_and_go();
	test_strand__a_spinning_worker_lets_go();
	test_strand__a_stuck_holder_stops_nobody_else();
	test_strand__lock_for();
	test_strand__move();
	test_strand__moves_while_work_is_queued();
	test_io__every_operation();
	test_io__client_page_gone_is_efault();
	test_io__flood_from_another_thread();
	test_step__then_start();
}

int main(void)
{
	alarm(60);
	run_all(ENV_EPOLL);
	if (env_uring_usable() == 0)
		run_all(ENV_URING);
	else
		printf("# io_uring is denied here: %s\n", strerror(-env_uring_usable()));
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
