/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Guarded copies: the only place that touches mapped client memory with
 * processor instructions. A client can truncate its memory file at any time;
 * the access then raises SIGBUS (or SIGSEGV after an unmap) on our thread.
 * The handler looks whether the instruction belongs to guard_copy.S and
 * continues at its fault exit; any other fault goes to whoever was there
 * before us. On x86-64 plain loads acquire and plain stores release.
 */
#include <signal.h>
#include <ucontext.h>

#include <ferry/env.h>

#include "env/loop.h"

int guard_copy(void *dst, const void *src, size_t len);
int guard_load32(const volatile uint32_t *p, uint32_t *v);
int guard_store32(volatile uint32_t *p, uint32_t v);
extern const char guard_text_start[], guard_text_end[], guard_text_fault[];

static struct sigaction before_sigbus, before_sigsegv;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

/* The previous handler's turn; the default action comes when the instruction faults again. */
static void guard_pass_on(int sig, siginfo_t *info, void *ctx)
{
	const struct sigaction *old = sig == SIGBUS ? &before_sigbus : &before_sigsegv;

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, ctx);
	} else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		struct sigaction dfl = { .sa_handler = SIG_DFL };

		sigaction(sig, &dfl, NULL);
		if (info->si_code <= 0)		/* sent, not faulted: it will not come again */
			raise(sig);
	} else {
		old->sa_handler(sig);
	}
}

static void guard_handler(int sig, siginfo_t *info, void *ctx)
{
	greg_t *rip = &((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];

	if (info->si_code > 0 && *rip >= (greg_t)(uintptr_t)guard_text_start &&
	    *rip < (greg_t)(uintptr_t)guard_text_end) {
		*rip = (greg_t)(uintptr_t)guard_text_fault;
		return;
	}
	guard_pass_on(sig, info, ctx);
}

static void guard_install_once(void)
{
	struct sigaction sa = {
		.sa_sigaction = guard_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK,
	};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, &before_sigbus);
	sigaction(SIGSEGV, &sa, &before_sigsegv);
}

void guard_install(void)
{
	pthread_once(&guard_once, guard_install_once);
}

int copy_guarded(void *dst, const void *src, size_t len)
{
	return guard_copy(dst, src, len);
}

int load_guarded32(const volatile uint32_t *p, uint32_t *v)
{
	return guard_load32(p, v);
}

int store_guarded32(volatile uint32_t *p, uint32_t v)
{
	return guard_store32(p, v);
}
