/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The migration states: from one to another by way of which? A client may ask
 * for any state; what is not one arc away is reached by several, always along
 * the same path. The rows and columns are those of Linux, for a device that
 * has every option; a state that this one lacks is passed over.
 */
#include "vfio/mig.h"

/* Short, for the table. */
enum {
	ERR = VFIO_DEVICE_STATE_ERROR,
	STP = VFIO_DEVICE_STATE_STOP,
	RUN = VFIO_DEVICE_STATE_RUNNING,
	SCP = VFIO_DEVICE_STATE_STOP_COPY,
	RES = VFIO_DEVICE_STATE_RESUMING,
	RP2 = VFIO_DEVICE_STATE_RUNNING_P2P,
	PRE = VFIO_DEVICE_STATE_PRE_COPY,
	PP2 = VFIO_DEVICE_STATE_PRE_COPY_P2P,
};

static const uint8_t next_step[MIG_STATES][MIG_STATES] = {
	/*        ERR  STP  RUN  SCP  RES  RP2  PRE  PP2 : wanted */
	[ERR] = { ERR, ERR, ERR, ERR, ERR, ERR, ERR, ERR },
	[STP] = { ERR, STP, RP2, SCP, RES, RP2, RP2, RP2 },
	[RUN] = { ERR, RP2, RUN, RP2, RP2, RP2, PRE, RP2 },
	[SCP] = { ERR, STP, STP, SCP, STP, STP, ERR, ERR },
	[RES] = { ERR, STP, STP, STP, RES, STP, STP, STP },
	[RP2] = { ERR, STP, RUN, STP, STP, RP2, RUN, PP2 },
	[PRE] = { ERR, RUN, RUN, PP2, RUN, RUN, PRE, PP2 },
	[PP2] = { ERR, RP2, RP2, SCP, RP2, RP2, PRE, PP2 },
};

/* Which options a state needs. */
static const uint8_t needs[MIG_STATES] = {
	[STP] = VFIO_MIGRATION_STOP_COPY,
	[RUN] = VFIO_MIGRATION_STOP_COPY,
	[SCP] = VFIO_MIGRATION_STOP_COPY,
	[RES] = VFIO_MIGRATION_STOP_COPY,
	[RP2] = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
	[PRE] = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
	[PP2] = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY,
};

static const char *const names[MIG_STATES] = {
	"ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
};

const char *mig_state_name(uint32_t state)
{
	return state < MIG_STATES ? names[state] : "?";
}

bool mig_fsm_has(unsigned int options, uint32_t state)
{
	return state < MIG_STATES && state != ERR && !(needs[state] & ~options);
}

uint32_t mig_fsm_next(unsigned int options, uint32_t from, uint32_t to)
{
	uint32_t at = from;

	if (!mig_fsm_has(options, from) || !mig_fsm_has(options, to))
		return ERR;
	do {
		at = next_step[at][to];
	} while (at != ERR && !mig_fsm_has(options, at));
	return at;
}

bool mig_runs(uint32_t state)
{
	return state == RUN || state == PRE;
}

bool mig_saves(uint32_t state)
{
	return state == PRE || state == PP2 || state == SCP;
}
