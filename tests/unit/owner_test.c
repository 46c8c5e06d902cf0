/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The owner record: two processes that want the same namespace, in every order,
 * one of them stopped or killed between any two steps. At no moment may both
 * hold the right to write, and whatever dies, somebody can go on.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <ferry/owner.h>

static unsigned int tap_nr, tap_bad;
static bool tap_ok;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			tap_ok = false;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                \
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

static const uint8_t zero[16], id_a[16] = { 0xaa }, id_b[16] = { 0xbb };
static char dir[] = "/tmp/owner-test-XXXXXX", path[64];

static struct owner *get(const uint8_t id[16])
{
	struct ferry_err err = { 0 };
	struct owner *o = NULL;

	if (owner_open(path, id, zero, &o, &err) < 0) {
		printf("# open: %s\n", err.msg);
		tap_ok = false;
		exit(1);
	}
	o->wait_ms = 200;
	return o;
}

/* A fresh record that a owns, at epoch 1. */
static void begin(struct owner **a, struct owner **b)
{
	unlink(path);
	*a = get(id_a);
	*b = get(id_b);
	CHECK(!owner_claim(*a, NULL));
}

static void end(struct owner *a, struct owner *b)
{
	owner_close(a);
	owner_close(b);
}

static const char *code(int (*fn)(struct owner *, struct ferry_err *), struct owner *o)
{
	static struct ferry_err err;

	memset(&err, 0, sizeof(err));
	return fn(o, &err) < 0 ? err.code : "";
}

static void test_claim__first_one_wins_and_epochs_grow(void)
{
	struct owner *a, *b;

	begin(&a, &b);
	CHECK(a->owned && a->now.epoch == 1);
	CHECK(!strcmp(code(owner_claim, b), "E-OWNER-ELSEWHERE") && !b->owned);
	owner_close(a);
	a = get(id_a);
	CHECK(!a->owned);
	CHECK(!strcmp(code(owner_claim, b), "E-OWNER-ELSEWHERE"));
	CHECK(!owner_claim(a, NULL) && a->now.epoch == 2);
	CHECK(!owner_release(a, NULL) && !a->owned);
	CHECK(!owner_claim(b, NULL) && b->now.epoch == 3);
	CHECK(!memcmp(a->uuid, b->uuid, 16) && memcmp(a->uuid, zero, 16));
	end(a, b);
}

static void test_open__one_process_per_identity(void)
{
	struct owner *a, *b, *again = NULL;
	struct ferry_err err = { 0 };

	begin(&a, &b);
	CHECK(owner_open(path, id_a, zero, &again, &err) == -EBUSY);
	CHECK(!strcmp(err.code, "E-OWNER-RUNNING"));
	owner_close(b);
	CHECK(owner_open(path, id_b, id_a, &again, &err) == -EINVAL);
	CHECK(!strcmp(err.code, "E-NS-UUID"));
	owner_close(a);
}

static void test_move__there_and_back(void)
{
	struct owner *a, *b;
	int i;

	begin(&a, &b);
	for (i = 0; i < 10; i++) {
		struct owner *from = i % 2 ? b : a, *to = i % 2 ? a : b;
		uint64_t epoch = from->now.epoch;

		CHECK(!owner_offer(from, NULL) && !from->owned);
		CHECK(!owner_prepare(to, epoch, from->self, NULL) && !to->owned);
		CHECK(!owner_commit(to, NULL) && to->owned && to->now.epoch == epoch + 1);
		CHECK(!strcmp(code(owner_take_back, from), "E-OWNER-STALE") && !from->owned);
		CHECK(!strcmp(code(owner_offer, from), "E-OWNER-STALE"));
		CHECK(!owner_check(to, NULL));
	}
	end(a, b);
}

static void test_move__refusals(void)
{
	struct owner *a, *b;
	struct ferry_err err = { 0 };

	begin(&a, &b);
	CHECK(owner_prepare(b, 1, id_a, &err) == -ESTALE);	/* not offered */
	CHECK(!strcmp(code(owner_commit, b), "E-OWNER-STALE"));
	CHECK(!strcmp(code(owner_take_back, b), "E-OWNER-STALE"));
	CHECK(!owner_offer(a, NULL));
	CHECK(owner_prepare(b, 2, id_a, NULL) == -ESTALE);	/* another epoch */
	CHECK(owner_prepare(b, 1, id_b, NULL) == -ESTALE);	/* another source */
	CHECK(!strcmp(code(owner_commit, b), "E-OWNER-STALE"));	/* not prepared */
	CHECK(!owner_prepare(b, 1, id_a, NULL));
	CHECK(!owner_prepare(b, 1, id_a, NULL));		/* the same again */
	CHECK(!owner_take_back(a, NULL) && a->now.epoch == 2);
	CHECK(!strcmp(code(owner_commit, b), "E-OWNER-STALE") && !b->owned);
	CHECK(!owner_check(a, NULL));
	/* An offer that never came about is taken back without a new epoch. */
	CHECK(!owner_take_back(a, NULL) && a->now.epoch == 2);
	end(a, b);
}

static void test_force__names_the_epoch_and_never_robs_the_living(void)
{
	struct owner *a, *b;
	struct ferry_err err = { 0 };

	begin(&a, &b);
	CHECK(owner_force(b, 7, &err) == -ESTALE && !strcmp(err.code, "E-OWNER-STALE"));
	CHECK(owner_force(b, 1, &err) == -EBUSY && !strcmp(err.code, "E-OWNER-ALIVE"));
	CHECK(!owner_check(a, NULL) && a->owned);
	owner_close(a);
	CHECK(!owner_force(b, 1, &err) && b->owned && b->now.epoch == 2);
	a = get(id_a);
	CHECK(!strcmp(code(owner_claim, a), "E-OWNER-ELSEWHERE"));
	end(a, b);
}

static void test_prepared__source_does_not_claim_by_itself(void)
{
	struct owner *a, *b;

	begin(&a, &b);
	CHECK(!owner_offer(a, NULL) && !owner_prepare(b, 1, id_a, NULL));
	owner_close(a);
	a = get(id_a);
	CHECK(!strcmp(code(owner_claim, a), "E-OWNER-PREPARED"));
	CHECK(!owner_force(a, 1, NULL) && a->now.epoch == 2);
	CHECK(!strcmp(code(owner_commit, b), "E-OWNER-STALE"));
	end(a, b);
}

/* ----------------------------------------------------------------- damage */

static void test_torn__every_byte_and_every_length(void)
{
	struct owner *a, *b;
	struct owner_record r;
	unsigned char *p = (void *)&r;
	unsigned int i;
	int fd;

	begin(&a, &b);
	owner_close(a);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &r, sizeof(r), 0) == sizeof(r));
	for (i = 0; i < sizeof(r); i++) {
		unsigned char was = p[i];

		p[i] ^= 0x10;
		CHECK(pwrite(fd, &r, sizeof(r), 0) == sizeof(r));
		CHECK(owner_read(b, NULL) == -EBADMSG && b->now.state == OWNER_TORN);
		CHECK(!strcmp(code(owner_claim, b), "E-OWNER-TORN"));
		CHECK(owner_prepare(b, 1, id_a, NULL) == -EBADMSG);
		p[i] = was;
	}
	CHECK(pwrite(fd, &r, sizeof(r), 0) == sizeof(r));
	for (i = 1; i < sizeof(r); i++) {
		CHECK(!ftruncate(fd, i));
		CHECK(owner_read(b, NULL) == -EBADMSG);
	}
	a = get(id_a);
	CHECK(!strcmp(code(owner_claim, a), "E-OWNER-TORN"));
	CHECK(!owner_force(a, 5, NULL) && a->owned && a->now.epoch == 6);
	CHECK(!owner_read(b, NULL) && b->now.epoch == 6);
	close(fd);
	end(a, b);
}

static void test_removed__nobody_gains(void)
{
	struct owner *a, *b;

	begin(&a, &b);
	CHECK(!owner_offer(a, NULL));
	unlink(path);
	CHECK(!strcmp(code(owner_take_back, a), "E-OWNER-LOST"));
	CHECK(owner_prepare(b, 1, id_a, NULL) == -ESTALE);
	end(a, b);
}

/* ------------------------------------------------------------ interleavings */

enum { A_OFFER, A_BACK, B_PREPARE, B_COMMIT };

static int perform(struct owner *a, struct owner *b, int op)
{
	switch (op) {
	case A_OFFER: return owner_offer(a, NULL);
	case A_BACK: return owner_take_back(a, NULL);
	case B_PREPARE: return owner_prepare(b, 1, id_a, NULL);
	default: return owner_commit(b, NULL);
	}
}

/* All orders of two operations of each, each kept in its own order. */
static void test_orders__one_winner(void)
{
	static const int orders[][4] = {
		{ A_OFFER, A_BACK, B_PREPARE, B_COMMIT }, { A_OFFER, B_PREPARE, A_BACK, B_COMMIT },
		{ A_OFFER, B_PREPARE, B_COMMIT, A_BACK }, { B_PREPARE, A_OFFER, A_BACK, B_COMMIT },
		{ B_PREPARE, A_OFFER, B_COMMIT, A_BACK }, { B_PREPARE, B_COMMIT, A_OFFER, A_BACK },
	};
	struct owner *a, *b;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		begin(&a, &b);
		for (k = 0; k < 4; k++) {
			(void)perform(a, b, orders[i][k]);
			CHECK(!(a->owned && b->owned));
		}
		CHECK(a->owned != b->owned);
		CHECK(b->owned == (i == 2));
		CHECK(!owner_check(a->owned ? a : b, NULL));
		end(a, b);
	}
}

/* ---------------------------------------------------- stopped, killed midway */

/* Shared with the child: it stops, or dies, at the @stop-th step of its change. */
static struct { volatile int at, stop; volatile bool reached, die; } *sh;

static void on_step(const char *name)
{
	if (++sh->at != sh->stop)
		return;
	sh->reached = true;
	if (sh->die)
		kill(getpid(), SIGKILL);
	raise(SIGSTOP);
}

/* What a child has to do, from what state the record is in. */
static const struct scene {
	const char *name;
	bool offered, prepared;
	const uint8_t *who;
	int op;
} scenes[] = {
	{ "offer", false, false, id_a, A_OFFER },
	{ "prepare", true, false, id_b, B_PREPARE },
	{ "commit", true, true, id_b, B_COMMIT },
	{ "take back an offer", true, false, id_a, A_BACK },
	{ "take back from a prepared one", true, true, id_a, A_BACK },
};

/*
 * The other side is the parent, and has opened the record before; the child
 * opens its own. An offer needs an owner: the child's claim makes epoch 2.
 */
static uint64_t epoch_of(const struct scene *s)
{
	return s->op == A_OFFER ? 2 : 1;
}

static pid_t scene_start(const struct scene *s, int stop, bool die, struct owner **other)
{
	struct owner *a, *b, *o;
	int status;
	pid_t pid;

	begin(&a, &b);
	CHECK(!s->offered || !owner_offer(a, NULL));
	CHECK(!s->prepared || !owner_prepare(b, 1, id_a, NULL));
	*other = s->who == id_a ? b : a;
	owner_close(s->who == id_a ? a : b);
	*sh = (__typeof__(*sh)){ .stop = stop, .die = die };
	fflush(stdout);
	pid = fork();
	if (!pid) {
		o = get(s->who);
		if (s->op == A_OFFER && owner_claim(o, NULL))
			_exit(2);
		owner_step_hook = on_step;
		status = perform(o, o, s->op);
		owner_step_hook = NULL;
		_exit(status ? 3 : o->owned);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid)
		abort();
	if (sh->reached)
		CHECK(die ? WIFSIGNALED(status) : WIFSTOPPED(status));
	else
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return pid;
}

/* The other side does all it can to become owner. */
static void other_tries(const struct scene *s, struct owner *other)
{
	other->wait_ms = 20;
	if (s->who == id_a) {
		(void)owner_prepare(other, epoch_of(s), id_a, NULL);
		(void)owner_commit(other, NULL);
	} else {
		(void)owner_take_back(other, NULL);
	}
}

static void killed_at(const struct scene *s, int stop, struct owner *other)
{
	struct owner *o;
	uint64_t epoch = epoch_of(s);

	CHECK(!owner_read(other, NULL));	/* whole, at every step */
	CHECK(other->now.epoch == epoch || other->now.epoch == epoch + 1);
	/* Whatever is left: one of the two can have it now, not both. */
	other_tries(s, other);
	o = get(s->who);
	if (s->who == id_a || o->now.state == OWNER_OWNED)
		(void)owner_claim(o, NULL);
	else
		(void)owner_commit(o, NULL);
	if (other->owned == o->owned)
		printf("# %s, killed at step %d: other %d, itself %d\n", s->name, stop, other->owned,
		       o->owned);
	CHECK(other->owned != o->owned);
	owner_close(o);
}

static void test_killed__at_every_step(void)
{
	struct owner *other;
	unsigned int i;
	int stop;

	for (i = 0; i < ARRAY_SIZE(scenes); i++) {
		for (stop = 1; ; stop++) {
			(void)scene_start(&scenes[i], stop, true, &other);
			if (sh->reached)
				killed_at(&scenes[i], stop, other);
			owner_close(other);
			if (!sh->reached)
				break;
		}
		CHECK(stop > 6);
	}
}

static void test_stopped__at_every_step(void)
{
	struct owner *other;
	unsigned int i;
	int stop, status;

	for (i = 0; i < ARRAY_SIZE(scenes); i++) {
		for (stop = 1; ; stop++) {
			pid_t pid = scene_start(&scenes[i], stop, false, &other);
			bool itself;

			if (sh->reached) {
				other_tries(&scenes[i], other);
				kill(pid, SIGCONT);
				CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
				itself = WEXITSTATUS(status) == 1;
				if (other->owned && itself)
					printf("# %s, stopped at step %d: two owners\n",
					       scenes[i].name, stop);
				CHECK(!(other->owned && itself));
			}
			owner_close(other);
			if (!sh->reached)
				break;
		}
		CHECK(stop > 6);
	}
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/disk" OWNER_SUFFIX, dir);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN(test_claim__first_one_wins_and_epochs_grow);
	RUN(test_open__one_process_per_identity);
	RUN(test_move__there_and_back);
	RUN(test_move__refusals);
	RUN(test_force__names_the_epoch_and_never_robs_the_living);
	RUN(test_prepared__source_does_not_claim_by_itself);
	RUN(test_torn__every_byte_and_every_length);
	RUN(test_removed__nobody_gains);
	RUN(test_orders__one_winner);
	RUN(test_killed__at_every_step);
	RUN(test_stopped__at_every_step);
	printf("1..%u\n", tap_nr);
	unlink(path);
	rmdir(dir);
	return tap_bad != 0;
}
