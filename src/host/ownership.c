/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Ownership of shared namespaces, moved with the functions that use them.
 *
 * The gate is nvme_ns_own(): closed, every I/O command ends with Namespace Not
 * Ready. It is opened only after the record says that we own it, and closed
 * before the record says anything else. A namespace that several functions use
 * moves with none of them.
 *
 * What a migration asks for may block (a slow fsync, another host's lock), so
 * each operation has a short-lived thread; there is at most one per function.
 * Both sides walk the namespaces in the order of their UUIDs and stop at the
 * first failure: who wins the first one wins all.
 *
 * Locks: host_ownership.lock (the list, the number of threads) is a leaf.
 * host_shared.lock is held across storage access, never together with another
 * but the former.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/ownership.h"
#include "host/paths.h"
#include "host/text.h"

#define IDLE_NS 1000000L		/* how often to look whether commands are still in flight */
#define IDLE_TRIES 5000			/* 5 s */
#define SHOW_MS 100u			/* how long a look at the record may wait for a lock */

struct host_ownership {
	struct host *h;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct list all;		/* struct host_shared */
	unsigned int jobs;
	uint8_t self[16];
	bool has_self;
};

enum shared_phase { SHARED_SETTLED, SHARED_OFFERED, SHARED_ACCEPTED };

struct host_shared {
	struct host_ownership *own;
	struct list link;		/* under own->lock, as refs */
	unsigned int refs;
	struct block_dev *dev;
	uint8_t uuid[16];
	pthread_mutex_t lock;
	struct owner *o;		/* under lock */
	atomic_bool owned;		/* as o->owned */
	_Atomic enum shared_phase phase;
};

/* ----------------------------------------------------------------- identity */

/* One UUID per host name and user, made once. */
static int read_identity(const char *path, uint8_t id[16])
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[TEXT_UUID_LEN] = "";

	if (fd < 0)
		return -errno;
	if (read(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
		return -EINVAL;
	return text_uuid_parse(text, id);
}

static int write_identity(const char *path, const char *tmp, struct ferry_err *err)
{
	auto_close int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[TEXT_UUID_LEN];
	uint8_t id[16];
	int ret = 0;

	text_uuid_random(id);
	text_uuid(id, text);
	text[TEXT_UUID_LEN - 1] = '\n';
	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text) || fsync(fd) < 0 ||
	    (link(tmp, path) < 0 && errno != EEXIST))
		ret = ferry_err_set(err, errno, "E-STATE-DIR", NULL, "%s: %s", path, strerror(errno));
	(void)unlink(tmp);
	return ret;
}

static int identity(struct host_ownership *own, struct ferry_err *err)
{
	char name[HOST_NAME_MAX_LEN + 8], dir[512], path[528], tmp[560];
	int ret;

	if (own->has_self)
		return 0;
	snprintf(name, sizeof(name), "hosts/%s", own->h->name);
	ret = paths_state(name, dir, sizeof(dir), true, err);
	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "%s/id", dir);
	snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	ret = read_identity(path, own->self);
	if (ret == -ENOENT) {
		ret = write_identity(path, tmp, err);
		if (ret < 0)
			return ret;
		ret = read_identity(path, own->self);
	}
	if (ret < 0)
		return ferry_err_set(err, -ret, "E-STATE-DIR", "remove it, if no namespace is owned by it",
				     "%s: %s", path, strerror(-ret));
	own->has_self = true;
	return 0;
}

/* ------------------------------------------------------------------ records */

static struct host_shared *shared_find(struct host_ownership *own, const uint8_t uuid[16])
{
	struct host_shared *s, *found = NULL;

	pthread_mutex_lock(&own->lock);
	list_for_each(s, &own->all, link)
		if (!memcmp(s->uuid, uuid, sizeof(s->uuid)) && s->dev) {
			s->refs++;
			found = s;
			break;
		}
	pthread_mutex_unlock(&own->lock);
	return found;
}

static void shared_put(struct host_shared *s)
{
	struct host_ownership *own = s->own;
	bool last;

	pthread_mutex_lock(&own->lock);
	last = !--s->refs;
	if (last)
		list_del(&s->link);
	pthread_mutex_unlock(&own->lock);
	if (!last)
		return;
	owner_close(s->o);
	if (s->dev)
		block_put(s->dev);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int host_shared_open(struct host *h, const char *path, uint8_t uuid[16], struct host_shared **out,
		     struct ferry_err *err)
{
	struct host_ownership *own = h->own;
	struct host_shared *s;
	struct ferry_err why = { 0 };
	int ret = identity(own, err);

	if (ret < 0)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	ret = owner_open(path, own->self, uuid, &s->o, err);
	if (ret < 0) {
		free(s);
		return ret;
	}
	s->own = own;
	s->refs = 1;
	pthread_mutex_init(&s->lock, NULL);
	ret = owner_claim(s->o, &why);
	if (ret == -EBUSY || ret == -EBADMSG) {
		log_msg(ret == -EBUSY ? LOG_INFO : LOG_WARN, "%s", why.msg);
		ret = 0;
	} else if (ret < 0 && err) {
		*err = why;
	}
	memcpy(uuid, s->o->uuid, sizeof(s->uuid));
	memcpy(s->uuid, s->o->uuid, sizeof(s->uuid));
	atomic_store(&s->owned, s->o->owned);
	pthread_mutex_lock(&own->lock);
	list_add_tail(&own->all, &s->link);
	pthread_mutex_unlock(&own->lock);
	if (ret < 0)
		shared_put(s);
	else
		*out = s;
	return ret;
}

void host_shared_ready(struct host_shared *s, struct block_dev *dev)
{
	pthread_mutex_lock(&s->own->lock);
	s->dev = block_get(dev);
	pthread_mutex_unlock(&s->own->lock);
}

void host_shared_close(struct host_shared *s)
{
	struct ferry_err err = { 0 };

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->o->owned && owner_release(s->o, &err) < 0)
		log_msg(LOG_WARN, "%s", err.msg);
	pthread_mutex_unlock(&s->lock);
	shared_put(s);
}

bool host_shared_owned(struct host_shared *s)
{
	return atomic_load(&s->owned);
}

int host_shared_claim(struct host_shared *s, bool force, uint64_t epoch, struct ferry_err *err)
{
	int ret;

	if (pthread_mutex_trylock(&s->lock))
		return ferry_err_set(err, EBUSY, "E-OWNER-BUSY", "try again",
				     "the owner of the namespace is just changing");
	ret = force ? owner_force(s->o, epoch, err) : owner_claim(s->o, err);
	if (!ret) {
		block_refresh(s->dev);
		atomic_store(&s->phase, SHARED_SETTLED);
	}
	atomic_store(&s->owned, s->o->owned);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static void add_id(json_object *o, const char *key, const uint8_t id[16])
{
	static const uint8_t zero[16];
	char text[TEXT_UUID_LEN];

	json_object_object_add(o, key, memcmp(id, zero, 16)
			       ? json_object_new_string(text_uuid(id, text)) : NULL);
}

json_object *host_shared_json(struct host_shared *s)
{
	json_object *o = json_object_new_object();
	unsigned int wait;

	json_object_object_add(o, "path", json_object_new_string(s->o->path));
	json_object_object_add(o, "owned", json_object_new_boolean(host_shared_owned(s)));
	if (pthread_mutex_trylock(&s->lock)) {
		json_object_object_add(o, "state", json_object_new_string("BUSY"));
		return o;
	}
	wait = s->o->wait_ms;
	s->o->wait_ms = SHOW_MS;
	if (!s->o->owned)
		(void)owner_read(s->o, NULL);
	s->o->wait_ms = wait;
	json_object_object_add(o, "state", json_object_new_string(owner_state_name(s->o->now.state)));
	json_object_object_add(o, "epoch", json_object_new_uint64(s->o->now.epoch));
	add_id(o, "owner", s->o->now.owner);
	add_id(o, "peer", s->o->now.peer);
	add_id(o, "self", s->o->self);
	pthread_mutex_unlock(&s->lock);
	return o;
}

/* --------------------------------------------------------------- operations */

/* Per namespace in a token: little-endian, in the order of the UUIDs. */
struct token_entry {
	uint8_t uuid[16], owner[16];
	le64 epoch;
};
SPEC_SIZE(struct token_entry, 40);
static_assert(NVME_NSID_MAX * sizeof(struct token_entry) <= LM_TOKEN_MAX, "a token holds all");

struct entry {
	struct host_shared *s;
	uint32_t nsid;
	struct token_entry t;
};

struct job {
	struct host_ownership *own;
	struct pci_function *fn;	/* stays until the operation is done */
	struct nvme_subsys *ss;
	struct lm_op *op;
	uint8_t *token;
	int (*run)(struct job *j);
	unsigned int nr;
	struct entry e[NVME_NSID_MAX];
};

static void job_free(struct job *j)
{
	while (j->nr)
		shared_put(j->e[--j->nr].s);
	free(j);
}

static int by_uuid(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->s->uuid, ((const struct entry *)b)->s->uuid, 16);
}

/* @strict: every namespace of the function has to be shared, and nobody else's here. Host lock. */
static int collect(struct host_ownership *own, struct lm_controller *lm, bool strict, struct job **out,
		   struct ferry_err *err)
{
	struct nvme_ns_info *info = calloc(NVME_NSID_MAX, sizeof(*info));
	struct job *j = calloc(1, sizeof(*j));
	struct nvme_ctrl *c = nvme_ctrl_of(lm->fn);
	unsigned int i, n;
	bool others;
	int ret = 0;

	if (!info || !j) {
		free(info);
		free(j);
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	}
	*j = (struct job){ .own = own, .fn = lm->fn, .ss = c ? nvme_ctrl_subsys(c) : NULL };
	n = c ? nvme_ns_list(j->ss, info, NVME_NSID_MAX) : 0;
	for (i = 0; i < MIN(n, NVME_NSID_MAX) && !ret; i++) {
		struct entry *e = &j->e[j->nr];

		if (!nvme_ns_attached_to(j->ss, info[i].nsid, lm->cntlid, &others))
			continue;
		e->s = shared_find(own, info[i].uuid);
		e->nsid = info[i].nsid;
		if (e->s)
			j->nr++;
		if (!e->s && strict)
			ret = ferry_err_set(err, EOPNOTSUPP, "E-NS-NOT-SHARED",
					    "make it with --shared, on storage that both hosts reach",
					    "namespace %s (NSID %u) is on storage of this host alone",
					    info[i].name, info[i].nsid);
		else if (others && strict)
			ret = ferry_err_set(err, EBUSY, "E-NS-ATTACHED-ELSEWHERE", "detach it there",
					    "namespace %s (NSID %u) is also attached to other controllers",
					    info[i].name, info[i].nsid);
		else if (strict && !host_shared_owned(e->s))
			ret = ferry_err_set(err, ESTALE, "E-NS-NOT-OWNED", "ferry namespace claim",
					    "this host does not own namespace %s (NSID %u)",
					    info[i].name, info[i].nsid);
	}
	free(info);
	if (ret < 0) {
		job_free(j);
		return ret;
	}
	qsort(j->e, j->nr, sizeof(j->e[0]), by_uuid);
	*out = j;
	return 0;
}

static void *job_main(void *arg)
{
	struct job *j = arg;
	struct host_ownership *own = j->own;
	struct lm_op *op = j->op;
	int ret = j->run(j);

	job_free(j);
	lm_complete(op, ret);
	pthread_mutex_lock(&own->lock);
	own->jobs--;
	pthread_cond_broadcast(&own->idle);
	pthread_mutex_unlock(&own->lock);
	return NULL;
}

/* Takes @j over. */
static void job_start(struct job *j, struct lm_op *op, int (*run)(struct job *))
{
	struct host_ownership *own = j->own;
	pthread_attr_t attr;
	pthread_t t;
	int ret;

	j->op = op;
	j->run = run;
	pthread_mutex_lock(&own->lock);
	own->jobs++;
	pthread_mutex_unlock(&own->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&t, &attr, job_main, j);
	pthread_attr_destroy(&attr);
	if (!ret)
		return;
	pthread_mutex_lock(&own->lock);
	own->jobs--;
	pthread_mutex_unlock(&own->lock);
	job_free(j);
	lm_complete(op, -ret);
}

/* ------------------------------------------------------------ offer and back */

static void gate(struct job *j, const struct entry *e, bool open)
{
	nvme_ns_own(j->ss, e->nsid, open);
}

static int wait_idle(struct job *j, const struct entry *e)
{
	const struct timespec pause = { .tv_nsec = IDLE_NS };
	int i;

	for (i = 0; i < IDLE_TRIES; i++) {
		if (!nvme_ns_busy(j->ss, e->nsid))
			return 0;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

struct flush {
	struct block_req req;
	sem_t done;
	int err;
};

static void flushed(struct block_req *req, int err)
{
	struct flush *f = container_of(req, struct flush, req);

	f->err = err;
	sem_post(&f->done);
}

static int flush(struct job *j, const struct entry *e)
{
	struct env_strand *st = &j->fn->strand;
	struct flush f = { .req = { .op = BLOCK_FLUSH, .st = st, .done = flushed } };
	int ret;

	if (env_strand_lock_for(st, HOST_BUSY_NS) < 0)
		return -EBUSY;
	sem_init(&f.done, 0, 0);
	ret = block_submit(e->s->dev, &f.req);
	env_strand_unlock(st);
	if (ret == -EINPROGRESS) {
		while (sem_wait(&f.done) < 0)
			;
		ret = f.err;
	}
	sem_destroy(&f.done);
	return ret;
}

static int offer_one(struct job *j, struct entry *e)
{
	struct ferry_err err = { 0 };
	struct owner *o = e->s->o;
	int ret = wait_idle(j, e);

	if (!ret)
		ret = flush(j, e);
	if (ret)
		return ret;
	pthread_mutex_lock(&e->s->lock);
	ret = owner_offer(o, &err);
	atomic_store(&e->s->owned, o->owned);
	atomic_store(&e->s->phase, SHARED_OFFERED);	/* also when nobody knows */
	memcpy(e->t.uuid, e->s->uuid, sizeof(e->t.uuid));
	memcpy(e->t.owner, o->self, sizeof(e->t.owner));
	e->t.epoch = le64_of(o->now.epoch);
	pthread_mutex_unlock(&e->s->lock);
	if (ret < 0)
		log_msg(LOG_WARN, PCI_BDF_FMT ": offer: %s", PCI_BDF_ARG(j->fn->bdf), err.msg);
	return ret;
}

static int take_back_one(struct job *j, struct entry *e)
{
	struct ferry_err err = { 0 };
	int ret;

	pthread_mutex_lock(&e->s->lock);
	ret = owner_take_back(e->s->o, &err);
	atomic_store(&e->s->owned, e->s->o->owned);
	if (!ret)
		atomic_store(&e->s->phase, SHARED_SETTLED);
	pthread_mutex_unlock(&e->s->lock);
	if (ret < 0)
		log_msg(LOG_WARN, PCI_BDF_FMT ": take back: %s", PCI_BDF_ARG(j->fn->bdf), err.msg);
	else
		gate(j, e, true);
	return ret;
}

static int run_offer(struct job *j)
{
	unsigned int i, k;
	int ret = 0;

	for (i = 0; i < j->nr; i++) {
		ret = offer_one(j, &j->e[i]);
		if (ret)
			break;
	}
	if (!ret) {
		for (i = 0; i < j->nr; i++)
			memcpy(j->token + i * sizeof(j->e[i].t), &j->e[i].t, sizeof(j->e[i].t));
		j->op->size = j->nr * sizeof(struct token_entry);
		return 0;
	}
	for (k = 0; k < j->nr; k++) {
		if (atomic_load(&j->e[k].s->phase) == SHARED_OFFERED)
			(void)take_back_one(j, &j->e[k]);
		else
			gate(j, &j->e[k], true);
	}
	return ret;
}

static int own_check(void *arg, struct lm_controller *lm, struct ferry_err *err)
{
	struct job *j;
	int ret = collect(arg, lm, true, &j, err);

	if (!ret)
		job_free(j);
	return ret;
}

/* The function is suspended: nothing that the closed gate would stop is under way. */
static void own_offer(void *arg, struct lm_controller *lm, struct lm_op *op,
		      uint8_t token[LM_TOKEN_MAX])
{
	struct ferry_err err = { 0 };
	struct job *j;
	unsigned int i;
	int ret = collect(arg, lm, true, &j, &err);

	if (ret < 0) {
		log_msg(LOG_WARN, PCI_BDF_FMT ": offer: %s", PCI_BDF_ARG(lm->fn->bdf), err.msg);
		lm_complete(op, ret);
		return;
	}
	for (i = 0; i < j->nr; i++)
		gate(j, &j->e[i], false);
	j->token = token;
	job_start(j, op, run_offer);
}

/* ------------------------------------------------------------ accept and run */

static int run_accept(struct job *j)
{
	struct ferry_err err = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < j->nr && !ret; i++) {
		struct entry *e = &j->e[i];

		pthread_mutex_lock(&e->s->lock);
		ret = owner_prepare(e->s->o, le64_get(e->t.epoch), e->t.owner, &err);
		if (!ret)
			atomic_store(&e->s->phase, SHARED_ACCEPTED);
		pthread_mutex_unlock(&e->s->lock);
	}
	if (ret < 0)
		log_msg(LOG_WARN, PCI_BDF_FMT ": accept: %s", PCI_BDF_ARG(j->fn->bdf), err.msg);
	return ret;
}

/* The namespaces here and those that were offered have to be the same. */
static int match_token(struct job *j, const struct token_entry *t, size_t len)
{
	unsigned int i;

	if (len != j->nr * sizeof(*t))
		return -EINVAL;
	for (i = 0; i < j->nr; i++) {
		memcpy(&j->e[i].t, &t[i], sizeof(*t));
		if (memcmp(t[i].uuid, j->e[i].s->uuid, sizeof(t[i].uuid)))
			return -EINVAL;
	}
	return 0;
}

static void own_accept(void *arg, struct lm_controller *lm, struct lm_op *op, const void *token,
		       size_t len)
{
	struct ferry_err err = { 0 };
	struct job *j;
	int ret = collect(arg, lm, false, &j, &err);

	if (!ret && match_token(j, token, len) < 0) {
		ret = -EINVAL;
		ferry_err_set(&err, EINVAL, "E-NS-MISMATCH", NULL,
			      "the stream is of a function with other namespaces");
		job_free(j);
	}
	if (ret < 0) {
		log_msg(LOG_WARN, PCI_BDF_FMT ": accept: %s", PCI_BDF_ARG(lm->fn->bdf), err.msg);
		lm_complete(op, ret);
		return;
	}
	job_start(j, op, run_accept);
}

static int commit_one(struct job *j, struct entry *e)
{
	struct ferry_err err = { 0 };
	uint64_t size = atomic_load(&e->s->dev->size);
	int ret;

	pthread_mutex_lock(&e->s->lock);
	ret = owner_commit(e->s->o, &err);
	atomic_store(&e->s->owned, e->s->o->owned);
	if (!ret) {
		atomic_store(&e->s->phase, SHARED_SETTLED);
		block_refresh(e->s->dev);
	}
	pthread_mutex_unlock(&e->s->lock);
	if (ret < 0) {
		log_msg(LOG_WARN, PCI_BDF_FMT ": commit: %s", PCI_BDF_ARG(j->fn->bdf), err.msg);
		return ret;
	}
	if (size != atomic_load(&e->s->dev->size)) {
		vfio_host_lock(&j->own->h->vfio);
		nvme_ns_resized(j->ss, e->nsid);
		vfio_host_unlock(&j->own->h->vfio);
	}
	gate(j, e, true);
	return 0;
}

static void forget(struct job *j)
{
	unsigned int i;

	for (i = 0; i < j->nr; i++)
		atomic_store(&j->e[i].s->phase, SHARED_SETTLED);
}

static int run_run(struct job *j)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < j->nr && !ret; i++) {
		struct entry *e = &j->e[i];

		switch (atomic_load(&e->s->phase)) {
		case SHARED_SETTLED:
			break;
		case SHARED_OFFERED:
			ret = take_back_one(j, e);
			break;
		case SHARED_ACCEPTED:
			ret = commit_one(j, e);
			break;
		}
	}
	/* Lost, and for good: what comes after the first must not be tried later on. */
	if (ret == -ESTALE)
		forget(j);
	return ret;
}

static void own_run(void *arg, struct lm_controller *lm, struct lm_op *op)
{
	struct job *j;
	unsigned int i;
	int ret = collect(arg, lm, false, &j, NULL);

	if (ret < 0) {
		lm_complete(op, ret);
		return;
	}
	for (i = 0; i < j->nr; i++)
		if (atomic_load(&j->e[i].s->phase) != SHARED_SETTLED) {
			job_start(j, op, run_run);
			return;
		}
	job_free(j);
	lm_complete(op, 0);
}

static void own_forget(void *arg, struct lm_controller *lm)
{
	struct job *j;

	if (collect(arg, lm, false, &j, NULL) < 0)
		return;
	forget(j);
	job_free(j);
}

static const struct lm_owner_ops own_ops = {
	.check = own_check,
	.offer = own_offer,
	.accept = own_accept,
	.run = own_run,
	.forget = own_forget,
};

int host_ownership_init(struct host *h, struct ferry_err *err)
{
	struct host_ownership *own = calloc(1, sizeof(*own));

	if (!own)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	own->h = h;
	list_init(&own->all);
	pthread_mutex_init(&own->lock, NULL);
	pthread_cond_init(&own->idle, NULL);
	h->own = own;
	vfio_host_lock(&h->vfio);
	lm_owner_register(&h->vfio.bus, &own_ops, own);
	vfio_host_unlock(&h->vfio);
	return 0;
}

void host_ownership_release(struct host *h)
{
	struct host_ownership *own = h->own;

	if (!own)
		return;
	vfio_host_lock(&h->vfio);
	lm_owner_register(&h->vfio.bus, NULL, NULL);
	vfio_host_unlock(&h->vfio);
	pthread_mutex_lock(&own->lock);
	while (own->jobs)
		pthread_cond_wait(&own->idle, &own->lock);
	pthread_mutex_unlock(&own->lock);
	assert(list_empty(&own->all));
	pthread_cond_destroy(&own->idle);
	pthread_mutex_destroy(&own->lock);
	free(own);
	h->own = NULL;
}
