/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Errors for people, log lines and CRC32C: the parts of base.h that are not
 * inline. A log line is built on the stack and written by one write(), so
 * lines of several threads never mix.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <isa-l/crc.h>

#include <ferry/base.h>

#define LOG_LINE_MAX 1024
#define LOG_WINDOW_NS 5000000000ull
#define LOG_WINDOW_MAX 10

enum log_level log_level_max = LOG_INFO;

int ferry_err_set(struct ferry_err *e, int num, const char *code, const char *hint,
		  const char *fmt, ...)
{
	va_list ap;

	assert(num > 0);
	if (!e)
		return -num;
	e->num = num;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	snprintf(e->hint, sizeof(e->hint), "%s", hint ? hint : "");
	return -num;
}

__attribute__((format(printf, 2, 0)))
static void log_line(enum log_level lvl, const char *fmt, va_list ap)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	char line[LOG_LINE_MAX];
	int saved = errno;
	size_t n;
	int k;

	n = (size_t)snprintf(line, sizeof(line), "ferry: %s: ", names[lvl]);
	k = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	if (k > 0)
		n = MIN(n + (size_t)k, sizeof(line) - 2);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0) {
		/* nobody to tell */
	}
	errno = saved;
}

void log_msg(enum log_level lvl, const char *fmt, ...)
{
	va_list ap;

	if (lvl > log_level_max)
		return;
	va_start(ap, fmt);
	log_line(lvl, fmt, ap);
	va_end(ap);
}

void log_limited(struct log_limit *l, enum log_level lvl, const char *fmt, ...)
{
	struct timespec ts;
	uint64_t now;
	va_list ap;

	if (lvl > log_level_max)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	if (!l->window_start || now - l->window_start >= LOG_WINDOW_NS) {
		if (l->dropped)
			log_msg(lvl, "%u more messages like the last ones were dropped", l->dropped);
		*l = (struct log_limit){ .window_start = now };
	}
	if (l->in_window >= LOG_WINDOW_MAX) {
		l->dropped++;
		return;
	}
	l->in_window++;
	va_start(ap, fmt);
	log_line(lvl, fmt, ap);
	va_end(ap);
}

/* libisal takes an int length and leaves both inversions to the caller. */
uint32_t crc32c(uint32_t crc, const void *buf, size_t len)
{
	const unsigned char *p = buf;

	crc = ~crc;
	while (len) {
		int n = (int)MIN(len, (size_t)1 << 30);

		crc = crc32_iscsi((unsigned char *)(uintptr_t)p, n, crc);
		p += n;
		len -= (size_t)n;
	}
	return ~crc;
}
