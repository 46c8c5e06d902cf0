/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Guarded copies: right for every length, and alive when a page is gone. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <ferry/env.h>

#define PAGE 4096u

static int tests, failures;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failures += !good;
}

static uint64_t rng = 88172645463325252ull;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void test_copy__random_lengths_as_memcpy(void)
{
	static uint8_t src[3 * PAGE], dst[3 * PAGE], want[3 * PAGE];
	bool good = true;

	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)rnd();
	for (int i = 0; i < 100000 && good; i++) {
		size_t len = rnd() % (i % 4 ? 200 : PAGE * 2 + 1);
		size_t from = rnd() % 300, to = rnd() % 300;
		size_t lo = to > 8 ? to - 8 : 0, hi = MIN(to + len + 8, sizeof(dst));

		memset(dst + lo, 0xa5, hi - lo);
		memset(want + lo, 0xa5, hi - lo);
		memcpy(want + to, src + from, len);
		good = !copy_guarded(dst + to, src + from, len) &&
		       !memcmp(dst + lo, want + lo, hi - lo);
	}
	ok(good, "copy: 10^5 random lengths and offsets");
}

/* Two pages; the second one is beyond the end of its file. */
struct half {
	int fd;
	uint8_t *p;
};

static struct half half_make(void)
{
	struct half h = { .fd = memfd_create("half", MFD_CLOEXEC) };

	if (h.fd < 0 || ftruncate(h.fd, 2 * PAGE) < 0)
		abort();
	h.p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, h.fd, 0);
	if (h.p == MAP_FAILED)
		abort();
	memset(h.p, 0x5a, 2 * PAGE);
	if (ftruncate(h.fd, PAGE) < 0)
		abort();
	return h;
}

static void half_drop(struct half h)
{
	munmap(h.p, 2 * PAGE);
	close(h.fd);
}

static void test_copy__truncated_page_is_efault(void)
{
	static uint8_t buf[2 * PAGE];
	struct half h = half_make();
	bool good = true;
	uint32_t v;

	for (size_t len = 1; len <= PAGE && good; len++)
		good = copy_guarded(buf, h.p + PAGE, len) == -EFAULT &&
		       copy_guarded(h.p + PAGE, buf, len) == -EFAULT;
	ok(good, "copy: wholly in a page that is gone, 1 to 4096 bytes");

	good = true;
	for (size_t len = 1; len <= 700 && good; len++) {
		for (size_t in = 0; in < len && good; in += 1 + in / 3)
			good = copy_guarded(buf, h.p + PAGE - in, len) == -EFAULT &&
			       copy_guarded(h.p + PAGE - in, buf, len) == -EFAULT;
		good = good && !copy_guarded(buf, h.p + PAGE - len, len) &&
		       !copy_guarded(h.p + PAGE - len, buf, len);
	}
	ok(good, "copy: across, and up to, the end of the last page");

	ok(load_guarded32((uint32_t *)(void *)(h.p + PAGE), &v) == -EFAULT, "load32: gone");
	ok(store_guarded32((uint32_t *)(void *)(h.p + PAGE), 1) == -EFAULT, "store32: gone");
	ok(!store_guarded32((uint32_t *)(void *)h.p, 0x12345678) &&
	   !load_guarded32((uint32_t *)(void *)h.p, &v) && v == 0x12345678, "load32, store32");
	ok(copy_guarded(buf, h.p + PAGE, 0) == 0, "copy: of nothing touches nothing");
	half_drop(h);
}

static void test_copy__unmapped_page_is_efault(void)
{
	uint8_t buf[256];
	uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	munmap(p + PAGE, PAGE);
	ok(copy_guarded(buf, p + PAGE - 100, 256) == -EFAULT, "copy: from unmapped memory");
	ok(copy_guarded(p + PAGE - 100, buf, 256) == -EFAULT, "copy: to unmapped memory");
	mprotect(p, PAGE, PROT_READ);
	ok(copy_guarded(p, buf, 64) == -EFAULT, "copy: to read-only memory");
	munmap(p, PAGE);
}

static atomic_bool stop;

/* A client that truncates and grows its memory all the time. */
static void *truncater(void *arg)
{
	int fd = *(int *)arg;

	while (!atomic_load(&stop)) {
		if (ftruncate(fd, PAGE) < 0 || ftruncate(fd, 2 * PAGE) < 0)
			abort();
	}
	return NULL;
}

static void *copier(void *arg)
{
	struct half *h = arg;
	uint8_t buf[1024];
	intptr_t bad = 0;

	for (int i = 0; i < 20000; i++) {
		size_t len = 1 + (size_t)i % sizeof(buf);
		int err = i & 1 ? copy_guarded(buf, h->p + PAGE - len / 2, len)
				: copy_guarded(h->p + PAGE - len / 2, buf, len);

		bad += err && err != -EFAULT;
	}
	return (void *)bad;
}

static void test_copy__races_with_truncate_in_threads(void)
{
	struct half h = half_make();
	pthread_t t, c[3];
	bool good = true;
	void *bad;

	atomic_store(&stop, false);
	pthread_create(&t, NULL, truncater, &h.fd);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		pthread_create(&c[i], NULL, copier, &h);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		pthread_join(c[i], &bad);
		good &= !bad;
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	ok(good, "copy: three threads against a truncating client");
	half_drop(h);
}

static void test_fault__elsewhere_still_kills(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		struct half h = half_make();
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		*(volatile uint8_t *)(h.p + PAGE) = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "fault: outside a guarded copy is fatal");
}

static int released;

static int fake_read(struct ferry_mem *m, uint64_t off, void *buf, size_t len)
{
	memset(buf, (int)off, len);
	return 0;
}

static int fake_write(struct ferry_mem *m, uint64_t off, const void *buf, size_t len)
{
	return -EFAULT;
}

static void fake_release(struct ferry_mem *m)
{
	released++;
}

static void test_mem__own_and_by_ops(void)
{
	static const struct ferry_mem_ops ops = { fake_read, fake_write, fake_release };
	struct ferry_mem fake = { .ops = &ops, .refs = 1, .size = 100 };
	struct ferry_mem *m = ferry_mem_alloc(10 * PAGE);
	uint8_t buf[16] = { 1, 2, 3 }, got[16];

	ok(m && !mem_read(m, 9 * PAGE, got, sizeof(got)) && !got[0], "mem: zeroed at first");
	ok(!mem_write(m, PAGE - 8, buf, 16) && !mem_read(m, PAGE - 8, got, 16) &&
	   !memcmp(buf, got, 16), "mem: what was written is read");
	ok(ferry_mem_get(m) == m, "mem: get");
	ferry_mem_put(m);
	ferry_mem_put(m);
	ok(!mem_read(&fake, 7, got, 4) && got[3] == 7, "mem: read by ops");
	ok(mem_write(&fake, 7, got, 4) == -EFAULT, "mem: write by ops");
	ferry_mem_put(&fake);
	ok(released == 1, "mem: released with the last reference");
}

int main(void)
{
	struct ferry_mem *m;

	alarm(60);
	m = ferry_mem_alloc(PAGE);	/* installs the handlers */
	test_copy__random_lengths_as_memcpy();
	test_copy__truncated_page_is_efault();
	test_copy__unmapped_page_is_efault();
	test_copy__races_with_truncate_in_threads();
	test_fault__elsewhere_still_kills();
	test_mem__own_and_by_ops();
	ferry_mem_put(m);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
