/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The owner record: read, compare, write, made durable, under a lock.
 *
 * The record is 80 bytes in one sector, written by one pwrite(). A crash
 * leaves the old or the new one; what a power cut tears fails its checksum,
 * and then nobody gains anything without owner_force(). A change whose write
 * or sync failed may have happened: the process then counts as not owning, and
 * every step accepts finding its own result and makes it durable once more.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include <ferry/owner.h>

#define MAGIC "FERRYOWN"
#define RETRY_NS 2000000L

void (*owner_step_hook)(const char *step);

static void step(const char *name)
{
	if (owner_step_hook)
		owner_step_hook(name);
}

const char *owner_state_name(enum owner_state s)
{
	static const char *const names[] = { "NONE", "OWNED", "OFFERED", "PREPARED", "TORN" };

	return names[s];
}

static bool same(const uint8_t a[16], const uint8_t b[16])
{
	return !memcmp(a, b, 16);
}

static bool nobody(const uint8_t id[16])
{
	static const uint8_t zero[16];

	return same(id, zero);
}

/* ------------------------------------------------------------------- locks */

/* 0, -EAGAIN: somebody has it, -errno. */
static int lock_range(const struct owner *o, short type, uint64_t start, uint64_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)start,
			    .l_len = (off_t)len };

	if (!fcntl(o->fd, F_OFD_SETLK, &fl))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int record_lock(struct owner *o, struct ferry_err *err)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };
	struct timespec t;
	uint64_t now, end = 0;
	int ret;

	for (;;) {
		ret = lock_range(o, F_WRLCK, 0, sizeof(struct owner_record));
		if (!ret)
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
		if (!end)
			end = now + o->wait_ms;
		if (ret != -EAGAIN || now >= end)
			break;
		nanosleep(&pause, NULL);
	}
	if (ret == -EAGAIN)
		return ferry_err_set(err, ETIMEDOUT, "E-OWNER-BUSY", "see lslocks",
				     "%s: another host is changing the owner and does not finish",
				     o->path);
	return ferry_err_set(err, -ret, "E-OWNER-LOCK", NULL, "%s cannot be locked: %s", o->path,
			     strerror(-ret));
}

static void record_unlock(struct owner *o)
{
	(void)lock_range(o, F_UNLCK, 0, sizeof(struct owner_record));
}

static int fence_take(struct owner *o, struct ferry_err *err)
{
	int ret = lock_range(o, F_WRLCK, OWNER_FENCE, 1);

	if (ret == -EAGAIN)
		return ferry_err_set(err, EBUSY, "E-OWNER-ALIVE", "end the other ferryd first",
				     "%s: the process that owns the namespace still runs", o->path);
	return ret ? ferry_err_set(err, -ret, "E-OWNER-LOCK", NULL, "%s cannot be locked: %s",
				   o->path, strerror(-ret)) : 0;
}

static void fence_drop(struct owner *o)
{
	(void)lock_range(o, F_UNLCK, OWNER_FENCE, 1);
}

/* A byte of the file that only this identity locks. */
static uint64_t identity_byte(const uint8_t self[16])
{
	uint64_t h = 0xcbf29ce484222325u;
	unsigned int i;

	for (i = 0; i < 16; i++)
		h = (h ^ self[i]) * 0x100000001b3u;
	return OWNER_IDENTITY + (h >> 2 & ((UINT64_C(1) << 61) - 1));
}

/* ------------------------------------------------------------------ record */

static uint32_t record_crc(const struct owner_record *r)
{
	return crc32c(0, r, offsetof(struct owner_record, crc));
}

static void decode(const struct owner_record *r, struct owner_view *v)
{
	uint32_t state = le32_get(r->state);

	memset(v, 0, sizeof(*v));
	v->state = OWNER_TORN;
	if (memcmp(r->magic, MAGIC, sizeof(r->magic)) || le32_get(r->crc) != record_crc(r) ||
	    le32_get(r->version) != OWNER_VERSION || state < OWNER_OWNED || state > OWNER_PREPARED)
		return;
	v->state = (enum owner_state)state;
	v->epoch = le64_get(r->epoch);
	memcpy(v->owner, r->owner, sizeof(v->owner));
	memcpy(v->peer, r->peer, sizeof(v->peer));
}

static int torn(const struct owner *o, struct ferry_err *err)
{
	return ferry_err_set(err, EBADMSG, "E-OWNER-TORN",
			     "make sure that no host uses it, then claim it by --epoch",
			     "%s: the record is damaged: who owns the namespace is not known", o->path);
}

static int load(struct owner *o, struct ferry_err *err)
{
	struct owner_record r;
	struct stat st;
	ssize_t n;

	if (fstat(o->fd, &st) < 0)
		return ferry_err_set(err, errno, "E-OWNER-IO", NULL, "%s: %s", o->path,
				     strerror(errno));
	if (!st.st_nlink)
		return ferry_err_set(err, ESTALE, "E-OWNER-LOST", NULL,
				     "%s was removed: who owns the namespace is not known", o->path);
	do {
		n = pread(o->fd, &r, sizeof(r), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return ferry_err_set(err, errno, "E-OWNER-IO", NULL, "%s: %s", o->path,
				     strerror(errno));
	memset(&o->now, 0, sizeof(o->now));
	if (!n && !st.st_size)
		return 0;
	o->now.state = OWNER_TORN;
	if (n == sizeof(r) && st.st_size == sizeof(r))
		decode(&r, &o->now);
	if (o->now.state == OWNER_TORN)
		return torn(o, err);
	memcpy(o->uuid, r.uuid, sizeof(o->uuid));
	return 0;
}

/* What a name in a folder needs to outlast a power cut. */
static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	auto_close int fd = -1;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int store(struct owner *o, const struct owner_view *v, bool first, struct ferry_err *err)
{
	struct owner_record r = {
		.version = le32_of(OWNER_VERSION),
		.state = le32_of((uint32_t)v->state),
		.epoch = le64_of(v->epoch),
	};
	ssize_t n;
	int num = 0;

	memcpy(r.magic, MAGIC, sizeof(r.magic));
	memcpy(r.owner, v->owner, sizeof(r.owner));
	memcpy(r.peer, v->peer, sizeof(r.peer));
	memcpy(r.uuid, o->uuid, sizeof(r.uuid));
	r.crc = le32_of(record_crc(&r));
	step("write");
	do {
		n = pwrite(o->fd, &r, sizeof(r), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(r))
		num = n < 0 ? errno : EIO;
	step("written");
	if (!num && (first ? fsync(o->fd) : fdatasync(o->fd)) < 0)
		num = errno;
	if (!num && first)
		num = -sync_folder(o->path);
	step("synced");
	if (num)
		return ferry_err_set(err, num, "E-OWNER-IO", NULL,
				     "%s: cannot be made durable: %s; the owner may have changed or not",
				     o->path, strerror(num));
	o->now = *v;
	return 0;
}

/* ------------------------------------------------------------------ changes */

struct change {
	/* Is @now what this starts from? Then *@next is where it goes. 0 or -errno with @err. */
	int (*from)(struct owner *o, const struct owner_view *now, struct owner_view *next,
		    const struct change *c, struct ferry_err *err);
	bool gain;		/* ends with the fence held */
	bool even_torn;
	uint64_t epoch;
	const uint8_t *peer;
};

static int refuse(const struct owner *o, const struct owner_view *now, const char *what,
		  struct ferry_err *err)
{
	return ferry_err_set(err, ESTALE, "E-OWNER-STALE", "ferry namespace list",
			     "%s: cannot %s: the record says %s, epoch %" PRIu64 "%s", o->path, what,
			     owner_state_name(now->state), now->epoch,
			     now->state == OWNER_NONE ? "" : same(now->owner, o->self) ? ", by this host"
			     : nobody(now->owner) ? ", by nobody" : ", by another host");
}

/*
 * The fence goes before an offer is written, so that whoever sees the offer can
 * have it; in the same critical section, so that nobody notices if the write fails.
 */
static int change_locked(struct owner *o, const struct change *c, struct ferry_err *err)
{
	struct owner_view next = { 0 };
	bool held = o->owned;
	int ret = load(o, err);
	bool first = o->now.state == OWNER_NONE || o->now.state == OWNER_TORN;

	if (ret == -EBADMSG && c->even_torn)
		ret = 0;
	if (!ret) {
		next = o->now;
		ret = c->from(o, &o->now, &next, c, err);
	}
	if (ret)
		return ret;
	if (c->gain && !held)
		ret = fence_take(o, err);
	if (ret)
		return ret;
	step("fenced");
	o->owned = false;
	ret = store(o, &next, first, err);
	if (ret || !c->gain)
		fence_drop(o);
	o->owned = !ret && c->gain;
	return ret;
}

static int change(struct owner *o, const struct change *c, struct ferry_err *err)
{
	int ret;

	step("begin");
	ret = record_lock(o, err);
	if (ret)
		return ret;
	step("locked");
	ret = change_locked(o, c, err);
	record_unlock(o);
	step("end");
	return ret;
}

static void to_owned(const struct owner *o, struct owner_view *v, uint64_t epoch)
{
	*v = (struct owner_view){ .state = OWNER_OWNED, .epoch = epoch };
	memcpy(v->owner, o->self, sizeof(v->owner));
}

static int from_claim(struct owner *o, const struct owner_view *now, struct owner_view *next,
		      const struct change *c, struct ferry_err *err)
{
	bool ours = same(now->owner, o->self), none = nobody(now->owner);

	if (now->state == OWNER_PREPARED && ours)
		return ferry_err_set(err, EBUSY, "E-OWNER-PREPARED",
				     "if the other side will never run, claim it by --epoch",
				     "%s: another host has loaded the state that this one offered, and may run",
				     o->path);
	if (now->state != OWNER_NONE && !ours && !none)
		return ferry_err_set(err, EBUSY, "E-OWNER-ELSEWHERE", "migrate it, or end the other host",
				     "%s: another host owns the namespace (%s, epoch %" PRIu64 ")",
				     o->path, owner_state_name(now->state), now->epoch);
	to_owned(o, next, now->epoch + 1);
	return 0;
}

int owner_claim(struct owner *o, struct ferry_err *err)
{
	const struct change c = { .from = from_claim, .gain = true };

	return o->owned ? 0 : change(o, &c, err);
}

/* Ours and offered already: an offer whose end was not known. */
static int from_offer(struct owner *o, const struct owner_view *now, struct owner_view *next,
		      const struct change *c, struct ferry_err *err)
{
	if (now->epoch != c->epoch || !same(now->owner, o->self) ||
	    (now->state != OWNER_OWNED && now->state != OWNER_OFFERED))
		return refuse(o, now, "offer it", err);
	next->state = OWNER_OFFERED;
	return 0;
}

int owner_offer(struct owner *o, struct ferry_err *err)
{
	const struct change c = { .from = from_offer, .epoch = o->now.epoch };

	return change(o, &c, err);
}

static int from_prepare(struct owner *o, const struct owner_view *now, struct owner_view *next,
			const struct change *c, struct ferry_err *err)
{
	bool again = now->state == OWNER_PREPARED && same(now->peer, o->self);

	if ((now->state != OWNER_OFFERED && !again) || now->epoch != c->epoch ||
	    !same(now->owner, c->peer))
		return refuse(o, now, "take the offer in the stream", err);
	next->state = OWNER_PREPARED;
	memcpy(next->peer, o->self, sizeof(next->peer));
	return 0;
}

int owner_prepare(struct owner *o, uint64_t epoch, const uint8_t from[16], struct ferry_err *err)
{
	const struct change c = { .from = from_prepare, .epoch = epoch, .peer = from };

	return change(o, &c, err);
}

static int from_commit(struct owner *o, const struct owner_view *now, struct owner_view *next,
		       const struct change *c, struct ferry_err *err)
{
	bool prepared = now->state == OWNER_PREPARED && now->epoch == c->epoch &&
			same(now->peer, o->self);
	bool done = now->state == OWNER_OWNED && now->epoch == c->epoch + 1 &&
		    same(now->owner, o->self);

	if (!prepared && !done)
		return refuse(o, now, "become owner", err);
	to_owned(o, next, c->epoch + 1);
	return 0;
}

/* @o->now is what owner_prepare() left, or, the second time, what an uncertain commit did. */
int owner_commit(struct owner *o, struct ferry_err *err)
{
	const struct change c = { .from = from_commit, .gain = true,
				  .epoch = o->now.epoch - (o->now.state == OWNER_OWNED) };

	return o->owned ? 0 : change(o, &c, err);
}

/* Still ours: the offer never came about. */
static int from_take_back(struct owner *o, const struct owner_view *now, struct owner_view *next,
			  const struct change *c, struct ferry_err *err)
{
	if (!same(now->owner, o->self) || now->epoch < c->epoch)
		return refuse(o, now, "take it back", err);
	to_owned(o, next, now->epoch + (now->state != OWNER_OWNED));
	return 0;
}

int owner_take_back(struct owner *o, struct ferry_err *err)
{
	const struct change c = { .from = from_take_back, .gain = true, .epoch = o->now.epoch };

	return o->owned ? 0 : change(o, &c, err);
}

static int from_release(struct owner *o, const struct owner_view *now, struct owner_view *next,
			const struct change *c, struct ferry_err *err)
{
	if (now->state != OWNER_OWNED || now->epoch != c->epoch || !same(now->owner, o->self))
		return refuse(o, now, "release it", err);
	memset(next->owner, 0, sizeof(next->owner));
	return 0;
}

int owner_release(struct owner *o, struct ferry_err *err)
{
	const struct change c = { .from = from_release, .epoch = o->now.epoch };

	return change(o, &c, err);
}

static int from_force(struct owner *o, const struct owner_view *now, struct owner_view *next,
		      const struct change *c, struct ferry_err *err)
{
	if (now->state != OWNER_TORN && now->epoch != c->epoch)
		return refuse(o, now, "take it over", err);
	to_owned(o, next, c->epoch + 1);
	return 0;
}

int owner_force(struct owner *o, uint64_t epoch, struct ferry_err *err)
{
	const struct change c = { .from = from_force, .gain = true, .even_torn = true,
				  .epoch = epoch };

	return change(o, &c, err);
}

int owner_read(struct owner *o, struct ferry_err *err)
{
	int ret = record_lock(o, err);

	if (ret)
		return ret;
	ret = load(o, err);
	record_unlock(o);
	return ret;
}

int owner_check(struct owner *o, struct ferry_err *err)
{
	uint64_t epoch = o->now.epoch;
	int ret = owner_read(o, err);

	if (!ret && (o->now.state != OWNER_OWNED || o->now.epoch != epoch ||
		     !same(o->now.owner, o->self)))
		ret = refuse(o, &o->now, "write", err);
	if (ret && o->owned) {
		o->owned = false;
		fence_drop(o);
	}
	return ret;
}

/* --------------------------------------------------------------- open, close */

/* The record's UUID if there is one, else the wanted one, else a random one. */
static int choose_uuid(struct owner *o, const uint8_t want[16], struct ferry_err *err)
{
	int ret = owner_read(o, err);

	if (ret && ret != -EBADMSG)
		return ret;
	if (!ret && o->now.state != OWNER_NONE)
		return nobody(want) || same(want, o->uuid) ? 0
			: ferry_err_set(err, EINVAL, "E-NS-UUID", "leave --uuid out",
					"%s: the record is of a namespace with another UUID", o->path);
	memcpy(o->uuid, want, sizeof(o->uuid));
	if (nobody(want) && getrandom(o->uuid, sizeof(o->uuid), 0) != sizeof(o->uuid))
		return ferry_err_set(err, EIO, "E-RANDOM", NULL, "no random UUID");
	if (nobody(want)) {
		o->uuid[6] = (uint8_t)((o->uuid[6] & 0x0f) | 0x40);
		o->uuid[8] = (uint8_t)((o->uuid[8] & 0x3f) | 0x80);
	}
	return 0;
}

int owner_open(const char *path, const uint8_t self[16], const uint8_t uuid[16], struct owner **out,
	       struct ferry_err *err)
{
	struct owner *o;
	struct stat st;
	int ret;

	assert(!nobody(self));
	if (strlen(path) >= sizeof(o->path))
		return ferry_err_set(err, ENAMETOOLONG, "E-OWNER-OPEN", NULL, "%s: name too long", path);
	o = calloc(1, sizeof(*o));
	if (!o)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	snprintf(o->path, sizeof(o->path), "%s", path);
	memcpy(o->self, self, sizeof(o->self));
	o->wait_ms = OWNER_WAIT_MS;
	o->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (o->fd < 0 || fstat(o->fd, &st) < 0) {
		ret = ferry_err_set(err, errno, "E-OWNER-OPEN", NULL, "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = ferry_err_set(err, ENOTSUP, "E-OWNER-OPEN", NULL, "%s is no regular file", path);
		goto fail;
	}
	ret = lock_range(o, F_WRLCK, identity_byte(self), 1);
	if (ret == -EAGAIN)
		ret = ferry_err_set(err, EBUSY, "E-OWNER-RUNNING", "end it first",
				    "%s: another process with the identity of this host has it", path);
	else if (ret)
		ret = ferry_err_set(err, -ret, "E-OWNER-LOCK", NULL, "%s cannot be locked: %s", path,
				    strerror(-ret));
	if (!ret)
		ret = choose_uuid(o, uuid, err);
	if (ret)
		goto fail;
	*out = o;
	return 0;

fail:
	owner_close(o);
	return ret;
}

void owner_close(struct owner *o)
{
	if (!o)
		return;
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}
