/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Migration of a VFIO device: what its files share. Everything is under the
 * host lock unless it says otherwise.
 *
 * Whatever a client asks is a job; one runs at a time, the others wait in
 * order, as callers of Linux wait for a driver's state mutex. A job may need
 * several operations of the controller: each ends on the control strand,
 * where the job goes on.
 *
 * A reset of the function makes the state RUNNING and ends all streams. It is
 * noticed with the strand held, where the host lock may not be taken: it
 * leaves a flag, which is acted upon by whoever has the host lock next and
 * finds no job running. A job that is running ends before its next step.
 */
#ifndef VFIO_MIG_H
#define VFIO_MIG_H

#include <ferry/lm.h>

#include "vfio/internal.h"
#include "vfio/state_stream.h"

#define MIG_STATES 8u

/* -------------------------------------------------------------- mig_fsm.c */

const char *mig_state_name(uint32_t state);

/** mig_fsm_has() - may this state be asked for? */
bool mig_fsm_has(unsigned int options, uint32_t state);

/**
 * mig_fsm_next() - the next state on the way from @from to @to
 * @options: VFIO_MIGRATION_*. Both states may be the same.
 * Return: a state that @options have; ERROR: no way.
 */
uint32_t mig_fsm_next(unsigned int options, uint32_t from, uint32_t to);

/** mig_runs() - does the function do DMA and interrupts in this state? (P2P can't be told from other DMA.) */
bool mig_runs(uint32_t state);
/** mig_saves() - one of the saving group, which share a stream? */
bool mig_saves(uint32_t state);

/* ------------------------------------------------------------------ mig.c */

struct vfio_mig;
struct mig_job;

/**
 * struct mig_job - one request
 * @run: begin; ends with job_end(), now or later.
 * @finish: optional: gives the client what it is owed. Its thread, no lock
 *   held; returns the answer.
 */
struct mig_job {
	struct list link;
	struct vfio_mig *mig;
	struct vfio_call *call;		/* NULL: nobody waits */
	void (*run)(struct vfio_mig *m, struct mig_job *j);
	int64_t (*finish)(struct vfio_call *call, struct mig_job *j, int64_t ret);
	bool done, async;
	int64_t ret;
	union {
		struct { uint32_t to; uint64_t fd_at; } set;
		struct { struct mig_file *file; uint64_t count, at; } load;
		struct { uint64_t size, user; } size;
		struct { uint64_t granule, user; struct lm_range r[LM_RANGES_MAX]; unsigned int nr; } start;
		struct dirty_bitmap report;
	};
};

/* DMA logging (features 6 to 8). */
struct mig_track {
	bool on;
	bool lost;			/* what was written is not known any more */
	struct dirty_map map;		/* reported by the controller, not yet by us */
};

struct vfio_mig {
	struct vfio_device *dev;
	struct lm_controller *lm;	/* NULL: not there at the moment */
	unsigned int options;
	bool can_track;			/* as it was when migration was enabled */
	uint32_t state;
	bool lost;			/* the controller went away under a state other than RUNNING */
	bool closing;			/* or closed: nothing is begun */
	bool precopy_v2;
	atomic_bool was_reset;		/* strand */
	struct mig_file *file;		/* of the session: saving or resuming; else NULL */
	struct mig_track track;

	struct list jobs;
	struct mig_job *job;		/* runs */
	struct mig_job close_job;
	struct lm_op op;
	void (*then)(struct vfio_mig *m, int err);	/* when the operation is over */

	/* The arc that runs. */
	uint32_t arc_to;
	bool arc_suspended;
	int arc_err;
	struct mig_file *arc_file;
	unsigned int tries;
	void (*save_then)(struct vfio_mig *m, int err);
	unsigned int save_tries;
	bool saving, loading;		/* between the controller's open and close */
	uint8_t *image;
	uint64_t image_len, image_at;
	uint8_t token[LM_TOKEN_MAX];
	uint64_t token_len;
	bool offered;			/* the storage, and not taken back by a SET */
	uint64_t last_size;		/* of an image, for estimates */
	struct lm_identity id;
	struct log_limit limit;
};

/** mig_alloc(), mig_free() - of @d. Host lock. Freed when closed and nothing runs. */
struct vfio_mig *mig_alloc(struct vfio_device *d, struct lm_controller *lm);
void mig_free(struct vfio_mig *m);

/** mig_open(), mig_close() - by a client. Close ends all; wait for !mig_busy(), host_defer() says when. Host lock. */
void mig_open(struct vfio_mig *m);
void mig_close(struct vfio_mig *m);
bool mig_busy(const struct vfio_mig *m);

/** mig_was_reset() - a reset is over. Strand held. */
void mig_was_reset(struct vfio_mig *m);
/** mig_settle() - act upon a reset, unless a job runs. Host lock. */
void mig_settle(struct vfio_mig *m);

/** mig_advance() - the same, and go on with what waits. Host lock. */
void mig_advance(struct vfio_mig *m);

/** mig_controller() - who does it, or NULL. Host lock. */
struct lm_controller *mig_controller(struct vfio_mig *m);

/** mig_submit() - run @j for @call. Takes over @j. The call's answer, or -EINPROGRESS. No lock held. */
int64_t mig_submit(struct vfio_mig *m, struct mig_job *j, struct vfio_call *call);
/** mig_queue() - the same with the host lock held; -EINPROGRESS, or mig_answer() must follow without it. */
int64_t mig_queue(struct vfio_mig *m, struct mig_job *j, struct vfio_call *call);
/** mig_detach() - run @j for nobody; it is freed. Host lock. */
void mig_detach(struct vfio_mig *m, struct mig_job *j);
int64_t mig_answer(struct vfio_call *call, struct mig_job *j);

struct mig_job *job_alloc(void (*run)(struct vfio_mig *m, struct mig_job *j));
void job_end(struct vfio_mig *m, int64_t ret);

/** op_begin() - for the controller's operation that is started next; @then follows when it is over. */
struct lm_op *op_begin(struct vfio_mig *m, void (*then)(struct vfio_mig *m, int err));

/* --------------------------------------------------------------- mig_arc.c */

/** mig_set_run() - the job of SET. */
void mig_set_run(struct vfio_mig *m, struct mig_job *j);

/* -------------------------------------------------------------- mig_save.c */

/** mig_save() - read the image, and append it to @m->arc_file. @then with 0 or -errno. Suspended. */
void mig_save(struct vfio_mig *m, void (*then)(struct vfio_mig *m, int err));
/** mig_size_run() - the job of MIG_DATA_SIZE. */
void mig_size_run(struct vfio_mig *m, struct mig_job *j);

/* -------------------------------------------------------------- mig_file.c */

struct mig_file {
	struct vfio_file file;
	unsigned int refs;		/* the client's, and the session's */
	struct vfio_mig *mig;		/* NULL: the session is over: ENODEV */
	/* Saving. */
	struct state_writer out;
	size_t pos;			/* of the client */
	size_t initial;			/* bytes offered in PRE_COPY */
	/* Resuming. */
	struct state_parser in;
	bool loaded;
};

struct mig_file *mig_file_saving(struct vfio_mig *m);
struct mig_file *mig_file_resuming(struct vfio_mig *m);
void mig_file_put(struct mig_file *f);
/** mig_file_end() - the session is over. */
void mig_file_end(struct vfio_mig *m);
/** mig_file_missing() - why the state can't be left yet: 0, or -EINVAL: nothing whole was loaded. */
int mig_file_missing(const struct mig_file *f);
void mig_load_run(struct vfio_mig *m, struct mig_job *j);

/* ----------------------------------------------------- mig_feature.c, mig_track.c */

typedef int64_t mig_feature_fn(struct vfio_device *d, struct vfio_call *call, uint64_t data,
			       bool set);

mig_feature_fn mig_feature_flags, mig_feature_state, mig_feature_size, mig_feature_precopy_v2;
mig_feature_fn mig_feature_track_start, mig_feature_track_stop, mig_feature_track_report;

/** mig_has(), mig_has_tracking() - are the features there? */
bool mig_has(const struct vfio_device *d);
bool mig_has_tracking(const struct vfio_device *d);

/** track_stop_run() - the job of DMA_LOGGING_STOP; also when nobody asks. */
void track_stop_run(struct vfio_mig *m, struct mig_job *j);

#endif
