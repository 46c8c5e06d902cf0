/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Where a host's files are: the same answer for ferryd and for ferry. */
#ifndef HOST_PATHS_H
#define HOST_PATHS_H

#include <ferry/base.h>

#define PATHS_SOCKET "ctl.sock"
#define PATHS_LOCK "lock"
#define PATHS_PRIVATE "run-"	/* how names of private hosts begin */

/** paths_base() - the folder that holds one folder per host; made if @make. */
int paths_base(char *buf, size_t len, bool make, struct ferry_err *err);

/** paths_state() - the folder for what outlives a daemon: @name's own ("hosts/NAME" and so on); made if @make. */
int paths_state(const char *name, char *buf, size_t len, bool make, struct ferry_err *err);

/** paths_name_ok() - may a host or namespace be called this? Letters, digits, and . _ - inside; at most 63. */
bool paths_name_ok(const char *name);

/** paths_remove() - remove @name in the folder @dirfd with all that is in it. Follows no link. */
int paths_remove(int dirfd, const char *name);

/** paths_connect(), paths_listen() - connect to, or make and listen on, the control socket in the folder @dirfd. */
int paths_connect(int dirfd);
int paths_listen(int dirfd);

#endif
