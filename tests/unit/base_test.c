/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* base.h: errors, lists, log limits, CRC32C. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <ferry/base.h>

static int tests, failures;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failures += !good;
}

static void test_err__set_fills_and_returns_minus_errno(void)
{
	struct ferry_err e;
	int ret = ferry_err_set(&e, EBUSY, "E-TEST", "try %s", "%s is %d", "it", 5);

	ok(ret == -EBUSY && e.num == EBUSY && !strcmp(e.code, "E-TEST") &&
	   !strcmp(e.msg, "it is 5") && !strcmp(e.hint, "try %s"), "err: fields");
	ok(ferry_err_set(&e, EIO, "E-TEST", NULL, "x") == -EIO && !e.hint[0], "err: no hint");
	ok(ferry_err_set(NULL, EIO, "E-TEST", NULL, "x") == -EIO, "err: no object");
}

static void test_err__long_message_is_cut(void)
{
	struct ferry_err e;
	char big[1000];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	ferry_err_set(&e, EIO, "E-TEST", big, "%s", big);
	ok(strlen(e.msg) == sizeof(e.msg) - 1 && strlen(e.hint) == sizeof(e.hint) - 1,
	   "err: cut to size");
}

static void test_crc32c__known_answers(void)
{
	static const char nine[] = "123456789";
	uint8_t zero[32] = { 0 };
	uint32_t whole = crc32c(0, nine, 9);

	ok(whole == 0xe3069283, "crc32c: check value");
	ok(crc32c(0, zero, sizeof(zero)) == 0x8a9136aa, "crc32c: RFC 3720, 32 bytes of zero");
	ok(crc32c(crc32c(0, nine, 4), nine + 4, 5) == whole, "crc32c: in two parts");
	ok(crc32c(0, nine, 0) == 0, "crc32c: nothing");
}

struct item {
	int v;
	struct list link;
};

static void test_list__order_and_double_delete(void)
{
	struct list head = LIST_INIT(head);
	struct item a = { .v = 1 }, b = { .v = 2 }, c = { .v = 3 }, *it, *tmp;
	int sum = 0;

	list_add_tail(&head, &b.link);
	list_add_tail(&head, &c.link);
	list_add(&head, &a.link);
	list_for_each(it, &head, link)
		sum = sum * 10 + it->v;
	ok(sum == 123 && list_first(&head, struct item, link) == &a, "list: order");
	list_for_each_safe(it, tmp, &head, link)
		list_del(&it->link);
	list_del(&a.link);
	ok(list_empty(&head) && list_empty(&a.link), "list: deleted, twice too");
}

static void test_log__limit_drops_and_keeps_errno(void)
{
	int saved = dup(STDERR_FILENO), fds[2], lines = 0;
	struct log_limit l = { 0 };
	char buf[65536];
	ssize_t n, k;

	if (saved < 0 || pipe2(fds, O_NONBLOCK) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	errno = ENOTTY;
	for (int i = 0; i < 1000; i++)
		log_limited(&l, LOG_WARN, "line %d", i);
	log_msg(LOG_DEBUG, "not shown");
	k = errno;
	n = read(fds[0], buf, sizeof(buf));
	dup2(saved, STDERR_FILENO);
	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	ok(lines == 10 && l.dropped == 990, "log: 10 of 1000 lines");
	ok(k == ENOTTY, "log: errno kept");
	ok(n > 0 && !strncmp(buf, "ferry: warning: line 0\n", 23), "log: form of a line");
	close(saved);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	test_err__set_fills_and_returns_minus_errno();
	test_err__long_message_is_cut();
	test_crc32c__known_answers();
	test_list__order_and_double_delete();
	test_log__limit_drops_and_keeps_errno();
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
