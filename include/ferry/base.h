/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What every file of ferry may use: little-endian scalars, ownership helpers,
 * an intrusive list, logging. No state but the log level.
 */
#ifndef FERRY_BASE_H
#define FERRY_BASE_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(v, a) (((v) + (a) - 1) & ~((__typeof__(v))(a) - 1))
#define ALIGN_DOWN(v, a) ((v) & ~((__typeof__(v))(a) - 1))
#define IS_ALIGNED(v, a) (((v) & ((__typeof__(v))(a) - 1)) == 0)

/* Little-endian scalars in structures that others read: a forgotten conversion does not compile. */
typedef struct { uint16_t raw; } le16;
typedef struct { uint32_t raw; } le32;
typedef struct { uint64_t raw; } le64;

static inline uint16_t le16_get(le16 v) { return le16toh(v.raw); }
static inline uint32_t le32_get(le32 v) { return le32toh(v.raw); }
static inline uint64_t le64_get(le64 v) { return le64toh(v.raw); }
static inline le16 le16_of(uint16_t v) { return (le16){ htole16(v) }; }
static inline le32 le32_of(uint32_t v) { return (le32){ htole32(v) }; }
static inline le64 le64_of(uint64_t v) { return (le64){ htole64(v) }; }

#define SPEC_SIZE(t, n) static_assert(sizeof(t) == (n), #t " is not " #n " bytes")
#define SPEC_OFFSET(t, f, n) static_assert(offsetof(t, f) == (n), #t "." #f " is not at " #n)

/* auto_close closes at the end of the scope and keeps errno; take_fd() hands the fd out and disarms. */
static inline void base_close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

static inline void base_free_ptr(void *p)
{
	free(*(void **)p);
}

#define auto_close __attribute__((cleanup(base_close_fd)))
#define auto_free __attribute__((cleanup(base_free_ptr)))

static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#define take_ptr(p) ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })

/* Circular, doubly linked, intrusive. A list head and a list entry are the same type. */
struct list {
	struct list *next, *prev;
};

#define LIST_INIT(l) { &(l), &(l) }

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *e)
{
	e->prev = head->prev;
	e->next = head;
	head->prev->next = e;
	head->prev = e;
}

static inline void list_add(struct list *head, struct list *e)
{
	list_add_tail(head->next, e);
}

/* Leaves @e a valid empty list, so deleting twice is harmless. */
static inline void list_del(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

#define list_first(head, type, member) container_of((head)->next, type, member)
#define list_for_each(it, head, member)                                          \
	for (it = container_of((head)->next, __typeof__(*it), member);            \
	     &it->member != (head);                                               \
	     it = container_of(it->member.next, __typeof__(*it), member))
#define list_for_each_safe(it, tmp, head, member)                                \
	for (it = container_of((head)->next, __typeof__(*it), member),            \
	     tmp = container_of(it->member.next, __typeof__(*it), member);        \
	     &it->member != (head);                                               \
	     it = tmp, tmp = container_of(tmp->member.next, __typeof__(*tmp), member))

/**
 * struct ferry_err - an error for people, filled where the cause is known
 * @num:  positive errno
 * @code: stable name, such as E-NS-IN-USE; static storage
 * @msg:  one line: what failed, why
 * @hint: what to try, or empty
 *
 * Passed down by the control plane, printed once at its edge. May be NULL
 * wherever a function takes one.
 */
struct ferry_err {
	int num;
	const char *code;
	char msg[384];
	char hint[256];
};

/**
 * ferry_err_set() - fill @e (if any) and return -@num
 * @code: static string
 * @hint: or NULL
 */
int ferry_err_set(struct ferry_err *e, int num, const char *code, const char *hint,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above this level are dropped. Set once at start. */
extern enum log_level log_level_max;

/** log_msg() - one line to stderr; from any thread; never fails, keeps errno. */
void log_msg(enum log_level lvl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * struct log_limit - at most 10 messages per 5 s, then one line that says how many were dropped
 *
 * For whatever a guest or a client can trigger. Zero-initialised; one per source.
 */
struct log_limit {
	uint64_t window_start;
	uint32_t in_window, dropped;
};

/** log_limited() - as log_msg(), within @l. The caller serialises uses of @l. */
void log_limited(struct log_limit *l, enum log_level lvl, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** crc32c() - Castagnoli, as iSCSI and NVMe use it; start with 0. */
uint32_t crc32c(uint32_t crc, const void *buf, size_t len);

#endif
