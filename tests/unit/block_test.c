/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Block backends: each against a naive byte model, and every refusal. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <ferry/block.h>

#define KIB 1024u
#define DEV_SIZE (1024u * KIB)
#define SLOTS 16u		/* requests at once */
#define REQ_MAX (96u * KIB)

static int tests, failures;
static const char *variant = "";

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s%s\n", good ? "" : "not ", ++tests, variant, what);
	fflush(stdout);
	failures += !good;
}

static uint64_t rng = 88172645463325252ull;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

/*
 * The pool of the epoll loop calls these instead of the C library's: transfers
 * that fall short, are interrupted, or a sync that fails.
 */
static atomic_bool inject, fail_sync;
static atomic_uint inject_n;

static ssize_t spoil(ssize_t n)
{
	unsigned int k = atomic_fetch_add(&inject_n, 1) * 2654435761u >> 8;

	if (!atomic_load(&inject) || n <= 512)
		return n;
	if (k % 8 == 0) {
		errno = k % 16 ? EINTR : EAGAIN;
		return -1;
	}
	return k % 2 ? n : 512 + (ssize_t)(k % (size_t)(n - 512));
}

ssize_t preadv2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	return spoil(syscall(SYS_preadv2, fd, v, n, off, 0, flags));
}

ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	return spoil(syscall(SYS_pwritev2, fd, v, n, off, 0, flags));
}

int fdatasync(int fd)
{
	if (atomic_load(&fail_sync)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static struct ferry_env *env;
static struct env_strand st;
static char dir[] = "/tmp/ferry-block-XXXXXX";
static char path[64], spec[80];

static struct block_dev *must_open(const char *s, uint64_t size, unsigned int flags)
{
	struct block_dev *d = NULL;
	struct ferry_err e = { 0 };

	if (block_open(s, size, flags, &d, &e)) {
		printf("# open %s: %s\n", s, e.msg);
		abort();
	}
	return d;
}

/* ----------------------------------------------------------- one at a time */

static bool in_submit, nested;

struct one {
	struct block_req req;
	bool done;
	int err;
};

static void one_done(struct block_req *req, int err)
{
	struct one *o = container_of(req, struct one, req);

	nested |= in_submit;
	o->done = true;
	o->err = err;
}

static int do_req(struct block_dev *d, struct block_req req)
{
	struct one o = { .req = req };
	int ret;

	o.req.st = &st;
	o.req.done = one_done;
	env_strand_lock(&st);
	in_submit = true;
	ret = block_submit(d, &o.req);
	in_submit = false;
	env_strand_unlock(&st);
	if (ret != -EINPROGRESS)
		return ret;
	while (!o.done)
		env_step(env, true);
	return o.err;
}

static int do_rw(struct block_dev *d, enum block_op op, uint64_t off, void *buf, size_t len,
		 unsigned int flags)
{
	struct iovec v = { buf, len };

	return do_req(d, (struct block_req){ .op = op, .flags = flags, .off = off, .len = len,
					     .iov = &v, .niov = 1 });
}

static int do_range(struct block_dev *d, enum block_op op, uint64_t off, uint64_t len,
		    unsigned int flags)
{
	return do_req(d, (struct block_req){ .op = op, .flags = flags, .off = off, .len = len });
}

/* ------------------------------------------------------------ the byte model */

struct slot {
	struct block_req req;
	struct iovec iov[24];
	uint8_t *buf, *seen;		/* the pieces are scattered in @buf */
	bool busy, failed;
};

static struct slot slots[SLOTS];
static uint8_t model[DEV_SIZE];

static bool overlaps_busy(uint64_t off, uint64_t len)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].busy && off < slots[i].req.off + slots[i].req.len &&
		    slots[i].req.off < off + len)
			return true;
	return false;
}

static size_t gather(struct slot *s, uint8_t *out)
{
	size_t n = 0;

	for (unsigned int i = 0; i < s->req.niov; i++) {
		memcpy(out + n, s->iov[i].iov_base, s->iov[i].iov_len);
		n += s->iov[i].iov_len;
	}
	return n;
}

static void slot_check(struct slot *s, int err)
{
	s->busy = false;
	s->failed |= err != 0;
	if (!err && s->req.op == BLOCK_READ) {
		gather(s, s->seen);
		s->failed |= memcmp(s->seen, model + s->req.off, s->req.len) != 0;
	}
}

static void slot_done(struct block_req *req, int err)
{
	slot_check(container_of(req, struct slot, req), err);
}

/* Random pieces, in half of the requests at odd addresses and of odd lengths. */
static void scatter(struct slot *s, uint64_t len, uint32_t align)
{
	bool odd = rnd(2);
	uint8_t *p = s->buf + (odd ? rnd(600) : 0);
	unsigned int n = 0;

	while (len) {
		uint64_t piece = len;

		if (n + 1 < ARRAY_SIZE(s->iov) && rnd(4))
			piece = odd ? 1 + rnd(len) : ALIGN_UP(1 + rnd(len), (uint64_t)align);
		s->iov[n++] = (struct iovec){ p, piece };
		p += piece + (odd ? rnd(50) : (uint64_t)align * rnd(2));
		len -= piece;
	}
	s->req.iov = s->iov;
	s->req.niov = n;
}

static void slot_start(struct block_dev *d, struct slot *s)
{
	uint64_t blocks = DEV_SIZE / d->align;
	uint64_t n = 1 + rnd(rnd(4) ? 8 : REQ_MAX / d->align), at = rnd(blocks - n + 1);
	uint64_t off = at * d->align, len = n * d->align;
	unsigned int what = (unsigned int)rnd(10);
	int ret;

	if (overlaps_busy(off, len))
		return;
	s->req = (struct block_req){ .off = off, .len = len, .st = &st, .done = slot_done };
	if (what < 4) {
		s->req.op = BLOCK_READ;
		scatter(s, len, d->align);
	} else if (what < 7) {
		s->req.op = BLOCK_WRITE;
		s->req.flags = rnd(8) ? 0 : BLOCK_FUA;
		scatter(s, len, d->align);
		for (unsigned int i = 0; i < s->req.niov; i++)
			for (size_t k = 0; k < s->iov[i].iov_len; k++)
				((uint8_t *)s->iov[i].iov_base)[k] = (uint8_t)rnd(256);
		gather(s, model + off);
	} else if (what < 9) {
		s->req.op = what == 7 ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
		s->req.flags = (rnd(2) ? BLOCK_UNMAP : 0) | (rnd(4) ? 0 : BLOCK_FUA);
		memset(model + off, 0, len);
	} else {
		s->req = (struct block_req){ .op = BLOCK_FLUSH, .st = &st, .done = slot_done };
	}
	s->busy = true;
	env_strand_lock(&st);
	ret = block_submit(d, &s->req);
	env_strand_unlock(&st);
	if (ret != -EINPROGRESS)
		slot_check(s, ret);
}

static bool any_busy(void)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].busy)
			return true;
	return false;
}

static void check_model(struct block_dev *d, int rounds, const char *what)
{
	static uint8_t all[DEV_SIZE] __attribute__((aligned(4096)));
	bool failed = false;

	memset(model, 0, sizeof(model));
	for (size_t i = 0; i < SLOTS; i++)
		slots[i].failed = false;
	for (int i = 0; i < rounds; i++) {
		struct slot *s = &slots[rnd(SLOTS)];

		if (!s->busy)
			slot_start(d, s);
		else
			env_step(env, false);
	}
	while (any_busy())
		env_step(env, true);
	for (size_t i = 0; i < SLOTS; i++)
		failed |= slots[i].failed;
	ok(!failed, what);
	ok(!do_rw(d, BLOCK_READ, 0, all, DEV_SIZE, 0) && !memcmp(all, model, DEV_SIZE),
	   "model: the whole device at the end");
}

/* ------------------------------------------------------------------ backends */

static void test_null__moves_nothing(void)
{
	struct block_dev *d = must_open("null", DEV_SIZE, 0);
	uint8_t buf[512];

	memset(buf, 9, sizeof(buf));
	ok(!do_rw(d, BLOCK_READ, 0, buf, 512, 0) && buf[0] == 9, "null: read leaves the buffer");
	ok(!do_rw(d, BLOCK_WRITE, 0, buf, 512, BLOCK_FUA) && !do_range(d, BLOCK_FLUSH, 0, 0, 0),
	   "null: write, flush");
	ok(!block_resize(d, 2 * DEV_SIZE, NULL) && atomic_load(&d->size) == 2 * DEV_SIZE,
	   "null: resize");
	block_put(d);
}

static void test_memory__model_and_resize(void)
{
	struct block_dev *d = must_open("memory", DEV_SIZE, 0);
	uint8_t buf[512];

	check_model(d, 20000, "memory: model");
	memset(buf, 9, sizeof(buf));
	do_rw(d, BLOCK_WRITE, DEV_SIZE - 512, buf, 512, 0);
	ok(!block_resize(d, 4096, NULL) && do_rw(d, BLOCK_READ, 4096, buf, 512, 0) == -EINVAL,
	   "memory: shrunk, the rest is not there");
	ok(!block_resize(d, DEV_SIZE, NULL) && !do_rw(d, BLOCK_READ, DEV_SIZE - 512, buf, 512, 0) &&
	   !buf[0], "memory: grown again, and zero");
	ok(block_get(d) == d, "memory: get");
	block_put(d);
	block_put(d);
}

static void test_memory__client_page_gone_is_efault(void)
{
	struct block_dev *d = must_open("memory", DEV_SIZE, 0);
	int fd = memfd_create("client", MFD_CLOEXEC);
	void *p;

	if (ftruncate(fd, 4096) < 0)
		abort();
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0) < 0)
		abort();
	ok(do_rw(d, BLOCK_WRITE, 0, p, 4096, 0) == -EFAULT &&
	   do_rw(d, BLOCK_READ, 0, p, 4096, 0) == -EFAULT, "memory: client page gone");
	munmap(p, 4096);
	close(fd);
	block_put(d);
}

static void test_file__model(void)
{
	struct block_dev *d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);

	check_model(d, 4000, "file: model");
	block_put(d);
	d = must_open(spec, 0, BLOCK_OPEN_RDONLY);
	{
		static uint8_t all[DEV_SIZE];

		ok(atomic_load(&d->size) == DEV_SIZE && !do_rw(d, BLOCK_READ, 0, all, DEV_SIZE, 0) &&
		   !memcmp(all, model, DEV_SIZE), "file: reopened, the same");
	}
	ok(do_range(d, BLOCK_DISCARD, 0, 4096, 0) == -EROFS &&
	   do_rw(d, BLOCK_WRITE, 0, slots[0].buf, 4096, 0) == -EROFS &&
	   !do_range(d, BLOCK_FLUSH, 0, 0, 0), "file: read-only refuses writes");
	block_put(d);
	unlink(path);
	d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE | BLOCK_OPEN_BUFFERED);
	check_model(d, 4000, "file: model, buffered");
	block_put(d);
	unlink(path);
}

/* More pieces than one system call takes. */
static void test_file__request_of_many_pieces(void)
{
	enum { N = 3000 };
	struct block_dev *d = must_open(spec, 4 * DEV_SIZE, BLOCK_OPEN_CREATE);
	struct iovec *v = calloc(N, sizeof(*v));
	size_t len = (size_t)N * 512;
	uint8_t *a = aligned_alloc(4096, len), *b = aligned_alloc(4096, len);
	bool good;

	for (size_t i = 0; i < len; i++)
		a[i] = (uint8_t)rnd(256);
	for (size_t i = 0; i < N; i++)
		v[N - 1 - i] = (struct iovec){ a + 512 * i, 512 };
	good = d->align != 512 ||
	       !do_req(d, (struct block_req){ .op = BLOCK_WRITE, .len = len, .iov = v, .niov = N });
	for (size_t i = 0; i < N; i++)
		v[N - 1 - i].iov_base = b + 512 * i;
	good &= d->align != 512 ||
		(!do_req(d, (struct block_req){ .op = BLOCK_READ, .len = len, .iov = v, .niov = N }) &&
		 !memcmp(a, b, len));
	ok(good, "file: 3000 pieces in a request");
	free(a);
	free(b);
	free(v);
	block_put(d);
	unlink(path);
}

static void test_file__bad_requests(void)
{
	struct block_dev *d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);
	static uint8_t buf[8192];
	struct iovec v = { buf, 4096 };

	nested = false;
	ok(do_rw(d, BLOCK_READ, DEV_SIZE, buf, 4096, 0) == -EINVAL &&
	   do_rw(d, BLOCK_READ, DEV_SIZE - 4096, buf, 8192, 0) == -EINVAL &&
	   do_rw(d, BLOCK_READ, ~0ull - 4095, buf, 4096, 0) == -EINVAL &&
	   do_range(d, BLOCK_DISCARD, 4096, ~0ull - 4095, 0) == -EINVAL, "request: beyond the end");
	ok(do_rw(d, BLOCK_READ, 1, buf, 4096, 0) == -EINVAL &&
	   do_rw(d, BLOCK_READ, 0, buf, 100, 0) == -EINVAL, "request: not in blocks");
	ok(do_req(d, (struct block_req){ .op = BLOCK_WRITE, .len = 8192, .iov = &v, .niov = 1 }) ==
	   -EINVAL &&
	   do_req(d, (struct block_req){ .op = BLOCK_READ, .len = 512, .iov = &v, .niov = 1 }) ==
	   -EINVAL, "request: its pieces are more or less than its length");
	ok(do_range(d, BLOCK_WRITE, 0, 0, 0) == 0, "request: of nothing");
	if (truncate(path, 8192) < 0)
		abort();
	ok(do_rw(d, BLOCK_READ, 4096, buf, 8192, 0) == -EIO &&
	   do_rw(d, BLOCK_READ, 65536, buf, 4096, 0) == -EIO, "file: shrunk behind our back is EIO");
	ok(!do_rw(d, BLOCK_WRITE, 65536, buf, 4096, 0) && !do_rw(d, BLOCK_READ, 65536, buf, 4096, 0),
	   "file: and is written again");
	ok(!nested, "file: no completion inside a submission");
	block_put(d);
	unlink(path);
}

static void test_file__resize(void)
{
	struct block_dev *d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);
	static uint8_t buf[4096];
	struct ferry_err e = { 0 };
	struct stat sb;

	ok(!block_resize(d, 2 * DEV_SIZE, &e) && !stat(path, &sb) && sb.st_size == 2 * DEV_SIZE &&
	   !do_rw(d, BLOCK_WRITE, 2 * DEV_SIZE - 4096, buf, 4096, 0), "resize: grown");
	ok(!block_resize(d, DEV_SIZE, &e) &&
	   do_rw(d, BLOCK_WRITE, DEV_SIZE, buf, 4096, 0) == -EINVAL, "resize: shrunk");
	ok(block_resize(d, 5000, &e) == -EINVAL && !strcmp(e.code, "E-NS-SIZE"), "resize: odd size");
	ok(block_resize(d, 0, &e) == -EINVAL, "resize: to nothing");
	block_put(d);
	unlink(path);
}

static bool refused(const char *s, uint64_t size, unsigned int flags, int num, const char *code)
{
	struct ferry_err e = { 0 };
	struct block_dev *d;
	int ret = block_open(s, size, flags, &d, &e);

	if (!ret)
		block_put(d);
	if (ret != -num || !e.code || strcmp(e.code, code) || !e.msg[0])
		printf("# %s: %d %s: %s\n", s, ret, e.code ? e.code : "", e.msg);
	return ret == -num && e.code && !strcmp(e.code, code) && e.msg[0];
}

static void test_open__refusals(void)
{
	char sub[96], long_spec[400];

	ok(refused("nonsense", 1 << 20, 0, EINVAL, "E-NS-SPEC") &&
	   refused("", 0, 0, EINVAL, "E-NS-SPEC") &&
	   refused("file:", 0, 0, EINVAL, "E-NS-SPEC") &&
	   refused("null:x", 0, 0, EINVAL, "E-NS-SPEC"), "open: no such backend");
	memset(long_spec, 'a', sizeof(long_spec) - 1);
	memcpy(long_spec, "file:", 5);
	long_spec[sizeof(long_spec) - 1] = 0;
	ok(refused(long_spec, 0, 0, ENAMETOOLONG, "E-NS-SPEC"), "open: name too long");
	ok(refused("memory", 0, 0, EINVAL, "E-NS-TOO-SMALL") &&
	   refused("memory", 511, 0, EINVAL, "E-NS-TOO-SMALL"), "open: memory of no size");
	ok(refused(spec, DEV_SIZE, 0, ENOENT, "E-NS-MISSING") &&
	   refused(spec, 0, BLOCK_OPEN_CREATE, ENOENT, "E-NS-MISSING") &&
	   refused(spec, DEV_SIZE, BLOCK_OPEN_CREATE | BLOCK_OPEN_RDONLY, ENOENT, "E-NS-MISSING"),
	   "open: missing");
	ok(refused(spec, 100, BLOCK_OPEN_CREATE, EINVAL, "E-NS-TOO-SMALL") && access(path, F_OK),
	   "open: too small, and no file left behind");
	snprintf(sub, sizeof(sub), "file:%s", dir);
	ok(refused(sub, 0, 0, EISDIR, "E-NS-TYPE"), "open: a directory");
	ok(refused("file:/dev/null", 0, 0, ENOTSUP, "E-NS-TYPE") &&
	   refused("block:/dev/null", 0, 0, ENOTSUP, "E-NS-TYPE"), "open: a character device");
	if (mkfifo(path, 0600) < 0)
		abort();
	ok(refused(spec, 0, 0, ENOTSUP, "E-NS-TYPE"), "open: a FIFO does not hang");
	unlink(path);
	block_put(must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE));
	ok(refused(spec, 2 * DEV_SIZE, BLOCK_OPEN_RDONLY, EINVAL, "E-NS-TOO-SMALL"),
	   "open: read-only is not grown");
	snprintf(sub, sizeof(sub), "block:%s", path);
	ok(refused(sub, 0, 0, ENOTBLK, "E-NS-TYPE"), "open: a file as a block device");
	unlink(path);
}

static void test_open__read_only_file(void)
{
	int status = -1;
	pid_t pid;

	block_put(must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE));
	chmod(path, 0444);
	chmod(dir, 0755);
	pid = fork();
	if (!pid) {
		if (!geteuid() && setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(!refused(spec, 0, 0, EACCES, "E-NS-READ-ONLY") ||
		      refused(spec, 0, BLOCK_OPEN_RDONLY, 0, ""));
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "open: a file that cannot be written");
	unlink(path);
}

static void test_open__locked_by_another_process(void)
{
	int to[2], from[2], status = -1;
	struct block_dev *d;
	char c = 0;
	pid_t pid;

	if (pipe(to) < 0 || pipe(from) < 0)
		abort();
	pid = fork();
	if (!pid) {
		close(to[1]);
		d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);
		if (write(from[1], &c, 1) == 1 && read(to[0], &c, 1) == 0)
			block_put(d);
		_exit(0);
	}
	if (read(from[0], &c, 1) != 1)
		abort();
	ok(refused(spec, 0, 0, EBUSY, "E-NS-IN-USE") &&
	   refused(spec, 2 * DEV_SIZE, BLOCK_OPEN_CREATE, EBUSY, "E-NS-IN-USE") &&
	   refused(spec, 0, BLOCK_OPEN_RDONLY, EBUSY, "E-NS-IN-USE"), "lock: another process");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	d = must_open(spec, 0, 0);
	ok(atomic_load(&d->size) == DEV_SIZE, "lock: ends with its process, nothing was changed");
	ok(refused(spec, 0, 0, EBUSY, "E-NS-IN-USE"), "lock: the same process");
	block_put(d);
	d = must_open(spec, 0, BLOCK_OPEN_RDONLY);
	{
		struct block_dev *two = must_open(spec, 0, BLOCK_OPEN_RDONLY);

		ok(refused(spec, 0, 0, EBUSY, "E-NS-IN-USE"), "lock: two readers, no writer");
		block_put(two);
	}
	block_put(d);
	unlink(path);
}

static void test_open__full_and_failing_file(void)
{
	struct rlimit old, small = { 0 };
	struct block_dev *d;
	static uint8_t buf[4096];

	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ 65536, old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	ok(refused(spec, DEV_SIZE, BLOCK_OPEN_CREATE, EFBIG, "E-NS-RESIZE") && access(path, F_OK),
	   "open: cannot grow, and no file left behind");
	d = must_open(spec, 65536, BLOCK_OPEN_CREATE);
	ok(block_resize(d, DEV_SIZE, NULL) == -EFBIG && atomic_load(&d->size) == 65536,
	   "resize: refused, the size stays");
	atomic_store(&d->size, DEV_SIZE);	/* a file that cannot hold what it should */
	ok(do_rw(d, BLOCK_WRITE, DEV_SIZE - 4096, buf, 4096, 0) == -EFBIG,
	   "write: the error comes through");
	ok(do_rw(d, BLOCK_WRITE, 0, buf, 4096, 0) == 0, "write: elsewhere still works");
	setrlimit(RLIMIT_FSIZE, &old);
	block_put(d);
	unlink(path);
}

static void test_file__short_and_interrupted(void)
{
	struct block_dev *d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);

	atomic_store(&inject, true);
	check_model(d, 4000, "file: model, transfers fall short and are interrupted");
	block_put(d);
	unlink(path);
	d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE | BLOCK_OPEN_BUFFERED);
	check_model(d, 4000, "file: model, the same, buffered");
	atomic_store(&inject, false);
	block_put(d);
	unlink(path);
}

static void test_file__failed_sync_is_for_ever(void)
{
	struct block_dev *d = must_open(spec, DEV_SIZE, BLOCK_OPEN_CREATE);
	static uint8_t buf[4096];

	ok(!do_range(d, BLOCK_FLUSH, 0, 0, 0), "flush: good");
	atomic_store(&fail_sync, true);
	ok(do_range(d, BLOCK_WRITE_ZEROES, 0, 4096, BLOCK_FUA) == -EIO, "flush: fails behind FUA");
	atomic_store(&fail_sync, false);
	ok(do_range(d, BLOCK_FLUSH, 0, 0, 0) == -EIO &&
	   do_rw(d, BLOCK_WRITE, 0, buf, 4096, BLOCK_FUA) == -EIO, "flush: and for ever after");
	ok(!do_rw(d, BLOCK_WRITE, 0, buf, 4096, 0) && !do_rw(d, BLOCK_READ, 0, buf, 4096, 0),
	   "flush: reads and plain writes go on");
	block_put(d);
	unlink(path);
}

/* Needs root: a file system with no room. */
static void test_file__no_space(void)
{
	static uint8_t buf[65536] __attribute__((aligned(4096)));
	char cmd[256], full_spec[96];
	struct block_dev *d;
	int err = 0;

	snprintf(cmd, sizeof(cmd), "mkdir %s/t && mount -t tmpfs -o size=256k none %s/t 2>/dev/null",
		 dir, dir);
	if (geteuid() || system(cmd)) {
		printf("# no tmpfs of our own: ENOSPC not tried\n");
		snprintf(cmd, sizeof(cmd), "%s/t", dir);
		rmdir(cmd);
		return;
	}
	snprintf(full_spec, sizeof(full_spec), "file:%s/t/full", dir);
	d = must_open(full_spec, DEV_SIZE, BLOCK_OPEN_CREATE);
	for (uint64_t off = 0; off < DEV_SIZE && !err; off += sizeof(buf))
		err = do_rw(d, BLOCK_WRITE, off, buf, sizeof(buf), 0);
	ok(err == -ENOSPC, "file: disk full is ENOSPC");
	ok(!do_range(d, BLOCK_DISCARD, 0, DEV_SIZE, 0) &&
	   !do_rw(d, BLOCK_WRITE, DEV_SIZE - 4096, buf, 4096, 0), "file: discard makes room");
	ok(!do_range(d, BLOCK_WRITE_ZEROES, 0, 8192, BLOCK_FUA) &&
	   !do_rw(d, BLOCK_READ, 0, buf, 8192, 0) && !buf[0] && !buf[8191],
	   "file: zeroes written where there is no ZERO_RANGE");
	block_put(d);
	snprintf(cmd, sizeof(cmd), "umount %s/t && rmdir %s/t", dir, dir);
	if (system(cmd))
		printf("# umount failed\n");
}

/* Needs root and a loop device. */
static void test_blkdev__model(void)
{
	char cmd[256], name[64] = "", bspec[80];
	struct block_dev *d;
	FILE *f;

	block_put(must_open(spec, 2 * DEV_SIZE, BLOCK_OPEN_CREATE));
	snprintf(cmd, sizeof(cmd), "losetup -f --show %s 2>/dev/null", path);
	f = geteuid() ? NULL : popen(cmd, "r");
	if (f) {
		if (fscanf(f, "%63s", name) != 1)
			name[0] = 0;
		pclose(f);
	}
	if (!name[0]) {
		printf("# no loop device: block: not tried\n");
		unlink(path);
		return;
	}
	snprintf(bspec, sizeof(bspec), "block:%s", name);
	ok(refused(bspec, 3 * DEV_SIZE, 0, EINVAL, "E-NS-TOO-SMALL"), "blkdev: too small");
	d = must_open(bspec, DEV_SIZE, 0);
	ok(atomic_load(&d->size) == DEV_SIZE, "blkdev: as much of it as was asked for");
	ok(refused(bspec, 0, 0, EBUSY, "E-NS-IN-USE"), "blkdev: in use");
	check_model(d, 3000, "blkdev: model");
	ok(!block_resize(d, 2 * DEV_SIZE, NULL) &&
	   block_resize(d, 3 * DEV_SIZE, NULL) == -ENOSPC, "blkdev: resize within the device");
	block_put(d);
	snprintf(cmd, sizeof(cmd), "losetup -d %s", name);
	if (system(cmd))
		printf("# losetup -d failed\n");
	unlink(path);
}

static void run_all(enum env_kind kind)
{
	variant = kind == ENV_URING ? "io_uring: " : "epoll: ";
	if (env_create(kind, &env))
		abort();
	env_strand_init(&st, env, NULL);
	test_null__moves_nothing();
	test_memory__model_and_resize();
	test_memory__client_page_gone_is_efault();
	test_file__model();
	test_file__request_of_many_pieces();
	test_file__bad_requests();
	test_file__resize();
	if (kind == ENV_EPOLL) {
		test_file__short_and_interrupted();
		test_file__failed_sync_is_for_ever();
	}
	test_open__full_and_failing_file();
	test_file__no_space();
	test_blkdev__model();
	env_strand_release(&st);
	env_destroy(env);
}

int main(void)
{
	alarm(60);
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(spec, sizeof(spec), "file:%s", path);
	for (size_t i = 0; i < SLOTS; i++) {
		slots[i].buf = aligned_alloc(4096, 4 * REQ_MAX);
		slots[i].seen = malloc(REQ_MAX);
		memset(slots[i].buf, 0, 4 * REQ_MAX);
	}
	test_open__refusals();
	test_open__read_only_file();
	test_open__locked_by_another_process();
	run_all(ENV_EPOLL);
	if (env_uring_usable() == 0)
		run_all(ENV_URING);
	else
		printf("# io_uring is denied here: %s\n", strerror(-env_uring_usable()));
	for (size_t i = 0; i < SLOTS; i++) {
		free(slots[i].buf);
		free(slots[i].seen);
	}
	rmdir(dir);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
