/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * struct owner: which host may write a namespace that several hosts can reach.
 * One record beside the data says so; it changes only by compare-and-swap,
 * durable before the answer. Epochs only grow: nobody writes with an old one.
 *
 *   claim       nobody, or ours after a crash    -> OWNED(E+1, us)
 *   offer       OWNED(E, us)                     -> OFFERED(E, us)
 *   prepare     OFFERED(E, them)                 -> PREPARED(E, them, us)
 *   commit      PREPARED(E, them, us)            -> OWNED(E+1, us)
 *   take_back   OFFERED(E, us), PREPARED(E, us)  -> OWNED(E+1, us)
 *   release     OWNED(E, us)                     -> OWNED(E, nobody)
 *   force       whatever has epoch E             -> OWNED(E+1, us)
 *
 * Locks on the record's file (OFD, so they end with the process):
 *   bytes 0 to 79      held during one compare-and-swap
 *   byte OWNER_FENCE   held by the owner as long as it may write: whoever wants
 *                      to become owner must get it, so an owner that lives is
 *                      never robbed
 *   one byte per identity, OWNER_IDENTITY and up: one process has it
 *
 * No threads; every call may block for as long as the storage does, and up to
 * @wait_ms for another host's compare-and-swap. The caller serialises.
 */
#ifndef FERRY_OWNER_H
#define FERRY_OWNER_H

#include <ferry/base.h>

#define OWNER_SUFFIX ".ferry-owner"
#define OWNER_VERSION 1u
#define OWNER_FENCE (UINT64_C(1) << 20)
#define OWNER_IDENTITY (UINT64_C(1) << 32)
#define OWNER_WAIT_MS 5000u

enum owner_state {
	OWNER_NONE,		/* no record yet */
	OWNER_OWNED = 1,	/* by @owner; by nobody if that is zero */
	OWNER_OFFERED = 2,	/* by @owner, who writes no more, to whom has its stream */
	OWNER_PREPARED = 3,	/* @peer has loaded all of it */
	OWNER_TORN,		/* the record makes no sense; never stored */
};

/* The file: these bytes and no more. */
struct owner_record {
	char magic[8];		/* "FERRYOWN" */
	le32 version, state;
	le64 epoch;
	uint8_t owner[16], peer[16];
	uint8_t uuid[16];	/* the namespace's, the same on every host */
	le32 reserved;
	le32 crc;		/* CRC32C of what is before it */
};
SPEC_SIZE(struct owner_record, 80);

struct owner_view {
	enum owner_state state;
	uint64_t epoch;
	uint8_t owner[16], peer[16];
};

/*
 * @now: the record as this process last saw it
 * @uuid: the record's; without a record what the first change will write
 * @owned: we are the owner, at @now.epoch, and hold the fence
 */
struct owner {
	char path[512];
	int fd;
	uint8_t self[16];
	uint8_t uuid[16];
	unsigned int wait_ms;
	struct owner_view now;
	bool owned;
};

/**
 * owner_open() - the record at @path, made empty if there is none; nothing is claimed
 * @self: this host's identity, not zero
 * @uuid: the namespace's, or zero: the record's, which is random if there is none
 * Return: 0; -EBUSY E-OWNER-RUNNING: another process has this identity;
 * -EINVAL E-NS-UUID: the record is another namespace's; -errno.
 */
int owner_open(const char *path, const uint8_t self[16], const uint8_t uuid[16], struct owner **o,
	       struct ferry_err *err);
/** owner_close() - an owner stays owner: its next life claims again. */
void owner_close(struct owner *o);

/** owner_read() - look at the record, into @o->now. 0, -EBADMSG with OWNER_TORN, -errno. */
int owner_read(struct owner *o, struct ferry_err *err);

/*
 * The changes. 0, or -errno with @err:
 * -EBUSY  E-OWNER-ELSEWHERE (another host owns it), E-OWNER-ALIVE (the owner's
 *         process lives), E-OWNER-PREPARED (the other side may start any moment),
 * -ESTALE E-OWNER-STALE: the record is not what this step starts from,
 * -EBADMSG E-OWNER-TORN, -ETIMEDOUT E-OWNER-BUSY, -EIO and others: whether it
 *         happened is not known. @o->owned is false then; the step may be tried again.
 */
int owner_claim(struct owner *o, struct ferry_err *err);
int owner_offer(struct owner *o, struct ferry_err *err);
int owner_prepare(struct owner *o, uint64_t epoch, const uint8_t from[16], struct ferry_err *err);
int owner_commit(struct owner *o, struct ferry_err *err);
int owner_take_back(struct owner *o, struct ferry_err *err);
int owner_release(struct owner *o, struct ferry_err *err);
/** owner_force() - @epoch: the record's, named by a person who knows what they do; of a torn record any. */
int owner_force(struct owner *o, uint64_t epoch, struct ferry_err *err);

/** owner_check() - are we still owner, by the record? 0, -ESTALE (and @o->owned is false), -errno. */
int owner_check(struct owner *o, struct ferry_err *err);

const char *owner_state_name(enum owner_state s);

/* For tests: called between the steps of a change. */
extern void (*owner_step_hook)(const char *step);

#endif
