/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* ferryd: command line, signals, the control loop until it is told to stop. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "host/host.h"

#ifndef FERRY_VERSION
#define FERRY_VERSION "0"
#endif

enum { OPT_CONFIG = 256, OPT_ENV, OPT_FOREGROUND, OPT_PARENT, OPT_VERSION };

struct options {
	const char *name, *config;
	int kind;
	pid_t parent;		/* stop when it ends; 0: don't care */
};

static const char usage_text[] =
	"Usage: ferryd [--host NAME] [--config FILE] [--env io_uring|epoll] [-v] [-q]\n"
	"One software VFIO host. It runs in the foreground until SIGTERM, SIGINT or `ferry host stop`.\n"
	"\n"
	"  -H, --host NAME       name of the host; else $FERRY_HOST, else \"default\"\n"
	"      --config FILE     make what `ferry config save` has written\n"
	"      --env KIND        io_uring or epoll; else io_uring where it may be used\n"
	"      --foreground      the default\n"
	"      --parent PID      stop when this process, which started ferryd, ends\n"
	"  -v, --verbose         more messages\n"
	"  -q, --quiet           fewer messages\n"
	"      --help, --version\n";

static void print_error(const struct ferry_err *err)
{
	fprintf(stderr, "ferryd: %s%s%s\n", err->msg, err->hint[0] ? "; try: " : "", err->hint);
}

/* -1: go on; else exit with this. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "host", required_argument, NULL, 'H' },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "env", required_argument, NULL, OPT_ENV },
		{ "foreground", no_argument, NULL, OPT_FOREGROUND },
		{ "parent", required_argument, NULL, OPT_PARENT },
		{ "verbose", no_argument, NULL, 'v' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "H:vqh", longs, NULL)) >= 0) {
		switch (c) {
		case 'H':
			o->name = optarg;
			break;
		case OPT_CONFIG:
			o->config = optarg;
			break;
		case OPT_ENV:
			o->kind = !strcmp(optarg, "io_uring") ? ENV_URING
				: !strcmp(optarg, "epoll") ? ENV_EPOLL : -2;
			if (o->kind == -2) {
				fprintf(stderr, "ferryd: --env %s: not io_uring or epoll\n", optarg);
				return 2;
			}
			break;
		case OPT_FOREGROUND:
			break;
		case OPT_PARENT:
			o->parent = (pid_t)strtol(optarg, NULL, 10);
			break;
		case 'v':
			log_level_max = LOG_DEBUG;
			break;
		case 'q':
			log_level_max = LOG_ERROR;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case OPT_VERSION:
			puts("ferryd " FERRY_VERSION);
			return 0;
		default:
			fprintf(stderr, "ferryd: %s: no such option, or its value is missing; try: ferryd --help\n",
				argv[optind - 1]);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ferryd: %s: no arguments are taken; try: ferryd --help\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* Many programs with many files each: as many descriptors as we may have. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE);
	/* Before any thread exists: all of them inherit it. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGPIPE);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void loop(struct host *h, int signal_fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct signalfd_siginfo info;
	auto_close int outer = epoll_create1(EPOLL_CLOEXEC);

	/* The control loop's own epoll is readable when there is something in it to do. */
	if (outer < 0 || epoll_ctl(outer, EPOLL_CTL_ADD, signal_fd, &ev) < 0 ||
	    epoll_ctl(outer, EPOLL_CTL_ADD, h->epoll_fd, &ev) < 0) {
		log_msg(LOG_ERROR, "control loop: %s", strerror(errno));
		return;
	}
	while (!h->stopping) {
		if (epoll_wait(outer, &ev, 1, -1) < 0 && errno != EINTR)
			return;
		if (read(signal_fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGHUP)
			h->stopping = true;
		host_step(h, 0);
	}
}

int main(int argc, char **argv)
{
	struct options o = { .name = getenv("FERRY_HOST"), .kind = -1 };
	struct ferry_err err = { 0 };
	auto_close int signal_fd = -1;
	struct host *h;
	int ret;

	ret = parse(argc, argv, &o);
	if (ret >= 0)
		return ret;
	if (!o.name || !o.name[0])
		o.name = "default";
	signal_fd = signals_open();
	if (o.parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != o.parent))
		return 1;
	raise_limits();
	if (host_create(o.name, o.kind, &h, &err) < 0) {
		print_error(&err);
		return 1;
	}
	log_msg(LOG_INFO, "host %s: %s, %s", h->name, h->run_dir, env_kind_name(h->env));
	if (o.config && host_config_load_file(h, o.config, &err) < 0) {
		print_error(&err);
		host_destroy(h);
		return 1;
	}
	loop(h, signal_fd);
	host_destroy(h);
	return 0;
}
