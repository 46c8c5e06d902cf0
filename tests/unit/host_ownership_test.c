/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Shared namespaces that move with a function, between two hosts in one process: the hooks of ferry/lm.h. */
#include <pthread.h>
#include <semaphore.h>

#include "host_rig.h"

#include "host/ownership.h"

static struct side {
	struct host *h;
	struct host_fn *hf;
	struct lm_controller lm;
} a, b;

static char disk[64];
static uint8_t token[LM_TOKEN_MAX];

/* ---------------------------------------------------------------------- rig */

static json_object *object(const char *text)
{
	json_object *o = json_tokener_parse(text);

	if (!o)
		abort();
	return o;
}

static int make_ns(struct host *h, const char *name, const char *file, bool shared)
{
	json_object *o = json_object_new_object();
	struct ferry_err err = { 0 };
	char backing[80];
	int ret;

	snprintf(backing, sizeof(backing), "file:%s", file);
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "backing", json_object_new_string(backing));
	json_object_object_add(o, "size", json_object_new_int(1 << 20));
	json_object_object_add(o, "shared", json_object_new_boolean(shared));
	ret = host_ns_create(h, o, &err);
	if (ret)
		printf("# %s: %s\n", err.code, err.msg);
	json_object_put(o);
	return ret;
}

static void side_up(struct side *s, const char *name)
{
	json_object *params = object("{\"type\":\"nvme\",\"ns\":[\"d0\",\"d1\"]}");
	struct ferry_err err = { 0 };
	char other[72];

	snprintf(other, sizeof(other), "%s2", disk);
	if (host_create(name, ENV_EPOLL, &s->h, &err) < 0 || make_ns(s->h, "d0", disk, true) ||
	    make_ns(s->h, "d1", other, true) || host_fn_add(s->h, params, &s->hf, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
	json_object_put(params);
	s->lm = (struct lm_controller){ .fn = s->hf->fn, .cntlid = s->hf->cntlid };
	list_init(&s->lm.link);
}

static void side_down(struct side *s)
{
	if (s->h)
		host_destroy(s->h);
	s->h = NULL;
}

static void both_up(void)
{
	char name[96];

	snprintf(name, sizeof(name), "rm -f %s*", disk);
	if (system(name))
		abort();
	side_up(&a, "a");
	side_up(&b, "b");
}

static void both_down(void)
{
	side_down(&a);
	side_down(&b);
}

static bool owns(struct side *s, const char *name)
{
	struct host_ns *ns = host_ns_find(s->h, name, NULL);
	json_object *o = host_ns_json(ns), *v;
	bool owned;

	json_object_object_get_ex(o, "owned", &v);
	owned = json_object_get_boolean(v);
	json_object_put(o);
	return owned;
}

static bool owns_all(struct side *s)
{
	return owns(s, "d0") && owns(s, "d1");
}

static bool owns_none(struct side *s)
{
	return !owns(s, "d0") && !owns(s, "d1");
}

struct wait {
	struct lm_op op;
	sem_t done;
	int err;
};

static void ended(struct lm_op *op, int err)
{
	struct wait *w = container_of(op, struct wait, op);

	w->err = err;
	sem_post(&w->done);
}

enum what { OFFER, ACCEPT, RUN };

/* One operation, to its end; the size of the token, or -errno. */
static int perform(struct side *s, enum what what, size_t len)
{
	struct wait w = { 0 };

	sem_init(&w.done, 0, 0);
	lm_op_init(&w.op, &s->h->vfio.control, ended);
	vfio_host_lock(&s->h->vfio);
	if (what == OFFER)
		lm_owner_offer(&s->lm, &w.op, token);
	else if (what == ACCEPT)
		lm_owner_accept(&s->lm, &w.op, token, len);
	else
		lm_owner_run(&s->lm, &w.op);
	vfio_host_unlock(&s->h->vfio);
	while (sem_wait(&w.done) < 0)
		;
	sem_destroy(&w.done);
	return w.err ? w.err : (int)w.op.size;
}

static int check(struct side *s, struct ferry_err *err)
{
	int ret;

	vfio_host_lock(&s->h->vfio);
	ret = lm_owner_check(&s->lm, err);
	vfio_host_unlock(&s->h->vfio);
	return ret;
}

/* -------------------------------------------------------------------- tests */

static void test_move__there_and_back(void)
{
	int i, n;

	both_up();
	CHECK(owns_all(&a) && owns_none(&b));
	CHECK(check(&a, NULL) == 0 && check(&b, NULL) == -ESTALE);
	for (i = 0; i < 6; i++) {
		struct side *from = i % 2 ? &b : &a, *to = i % 2 ? &a : &b;

		CHECK(perform(from, RUN, 0) == 0 && owns_all(from));	/* nothing to do */
		n = perform(from, OFFER, 0);
		CHECK(n == 80 && owns_none(from) && owns_none(to));
		CHECK(perform(to, ACCEPT, (size_t)n) == 0 && owns_none(to));
		CHECK(perform(to, RUN, 0) == 0 && owns_all(to) && owns_none(from));
		CHECK(perform(from, RUN, 0) == -ESTALE && owns_none(from));
		CHECK(perform(from, OFFER, 0) == -ESTALE);
		/* Said once; then it is a function like any, with a closed gate. */
		CHECK(perform(from, RUN, 0) == 0 && owns_none(from));
	}
	both_down();
}

static void test_cancel__before_and_after_the_load(void)
{
	int n;

	both_up();
	CHECK(perform(&a, OFFER, 0) == 80);
	CHECK(perform(&a, RUN, 0) == 0 && owns_all(&a));
	n = perform(&a, OFFER, 0);
	CHECK(n == 80 && perform(&b, ACCEPT, 80) == 0);
	CHECK(perform(&a, RUN, 0) == 0 && owns_all(&a));
	CHECK(perform(&b, RUN, 0) == -ESTALE && owns_none(&b));
	/* An old token opens nothing. */
	CHECK(perform(&b, ACCEPT, 80) == -ESTALE);
	n = perform(&a, OFFER, 0);
	CHECK(perform(&b, ACCEPT, (size_t)n) == 0 && perform(&b, RUN, 0) == 0 && owns_all(&b));
	both_down();
}

static void test_forget__the_next_client_takes_nothing_back(void)
{
	both_up();
	CHECK(perform(&a, OFFER, 0) == 80);
	vfio_host_lock(&a.h->vfio);
	lm_owner_forget(&a.lm);
	vfio_host_unlock(&a.h->vfio);
	CHECK(perform(&a, RUN, 0) == 0 && owns_none(&a));
	CHECK(perform(&b, ACCEPT, 80) == 0 && perform(&b, RUN, 0) == 0 && owns_all(&b));
	both_down();
}

static void test_accept__other_tokens(void)
{
	both_up();
	CHECK(perform(&a, OFFER, 0) == 80);
	CHECK(perform(&b, ACCEPT, 0) == -EINVAL);
	CHECK(perform(&b, ACCEPT, 40) == -EINVAL);
	token[3] ^= 1;
	CHECK(perform(&b, ACCEPT, 80) == -EINVAL);	/* another namespace */
	token[3] ^= 1;
	token[20] ^= 1;
	CHECK(perform(&b, ACCEPT, 80) == -ESTALE);	/* another source */
	token[20] ^= 1;
	token[32] ^= 1;
	CHECK(perform(&b, ACCEPT, 80) == -ESTALE);	/* another epoch */
	token[32] ^= 1;
	CHECK(perform(&b, ACCEPT, 80) == 0 && perform(&b, RUN, 0) == 0);
	both_down();
}

/* Both run at the same time, many times: one of them wins all of it. */
static void *run_a(void *arg)
{
	*(int *)arg = perform(&a, RUN, 0);
	return NULL;
}

static void test_race__one_winner(void)
{
	int i, err_a, err_b, won_a = 0;
	pthread_t t;

	both_up();
	for (i = 0; i < 60; i++) {
		CHECK(perform(&a, OFFER, 0) == 80 && perform(&b, ACCEPT, 80) == 0);
		if (pthread_create(&t, NULL, run_a, &err_a))
			abort();
		err_b = perform(&b, RUN, 0);
		pthread_join(t, NULL);
		CHECK(!err_a != !err_b);
		CHECK(owns_all(err_a ? &b : &a) && owns_none(err_a ? &a : &b));
		won_a += !err_a;
		if (!err_a)
			continue;
		CHECK(perform(&b, OFFER, 0) == 80 && perform(&a, ACCEPT, 80) == 0 && !perform(&a, RUN, 0));
	}
	printf("# the source won %d of 60\n", won_a);
	both_down();
}

static void test_check__not_shared(void)
{
	struct ferry_err err = { 0 };
	struct host_ns *ns;
	char other[72];

	both_up();
	snprintf(other, sizeof(other), "%s3", disk);
	CHECK(make_ns(a.h, "alone", other, false) == 0);
	ns = host_ns_find(a.h, "alone", NULL);
	vfio_host_lock(&a.h->vfio);
	CHECK(host_ns_attach(ns, a.hf, 0, NULL) == 0);
	vfio_host_unlock(&a.h->vfio);
	CHECK(check(&a, &err) == -EOPNOTSUPP && !strcmp(err.code, "E-NS-NOT-SHARED"));
	CHECK(perform(&a, OFFER, 0) == -EOPNOTSUPP && owns_all(&a));
	CHECK(perform(&a, RUN, 0) == 0);
	both_down();
}

int main(void)
{
	rig_scratch();
	setenv("XDG_STATE_HOME", scratch, 1);
	snprintf(disk, sizeof(disk), "%s/disk", scratch);
	RUN(test_move__there_and_back);
	RUN(test_cancel__before_and_after_the_load);
	RUN(test_forget__the_next_client_takes_nothing_back);
	RUN(test_accept__other_tokens);
	RUN(test_race__one_winner);
	RUN(test_check__not_shared);
	rig_scratch_remove();
	return tap_end();
}
