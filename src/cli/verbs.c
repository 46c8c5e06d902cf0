/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The table of what ferry can do. */
#include "cli/cli.h"
#include "cli/migration.h"

#define FUNCTION_OPTS                                                                          \
	{ "serial", OPT_TEXT, "TEXT", "serial number, at most 20 characters" },                \
	{ "model", OPT_TEXT, "TEXT", "model number, at most 40 characters" },                  \
	{ "firmware", OPT_TEXT, "TEXT", "firmware revision, at most 8 characters" },           \
	{ "subnqn", OPT_TEXT, "NQN", "NVMe qualified name; made from the serial number" },     \
	{ "ns", OPT_LIST, "NAME[:NSID]", "namespace to attach; may be repeated" },             \
	{ "driver", OPT_TEXT, "DRIVER", "driver to bind: nvme, nvme-vfio-pci, vfio-pci; of a VF also auto" },                          \
	{ "queues", OPT_NUMBER, "N", "I/O queue pairs, 1 to 64 (8)" },                         \
	{ "vectors", OPT_NUMBER, "N", "MSI-X vectors (queues + 1)" },                          \
	{ "mqes", OPT_NUMBER, "N", "entries per queue (1024)" },                               \
	{ "mdts", OPT_NUMBER, "N", "largest transfer, 2^N times 4 KiB (9)" },                  \
	{ "doorbells", OPT_TEXT, "trapped|mapped", "how a client reaches them (trapped)" },    \
	{ "no-dbbuf", OPT_FLAG, NULL, "offer no shadow doorbells" },                           \
	{ "no-sgl", OPT_FLAG, NULL, "offer no SGLs" },                                         \
	{ "capacity", OPT_SIZE, "SIZE", "for namespaces that a guest makes, in memory (0)" },  \
	{ "vfs-max", OPT_NUMBER, "N", "VFs that there can be, at most 256 (0)" },              \
	{ "vq-flexible", OPT_NUMBER, "N", "queue resources for VFs (vfs-max * (queues + 1))" }, \
	{ "vi-flexible", OPT_NUMBER, "N", "interrupt resources for VFs (vfs-max * vectors)" }, \
	{ "vq-per-vf", OPT_NUMBER, "N", "queue resources that one VF can have, at most 65" },  \
	{ "vi-per-vf", OPT_NUMBER, "N", "interrupt resources that one VF can have, at most 65" }, \
	{ "vfs", OPT_NUMBER, "N", "VFs that there are; needs a driver of PFs (0)" }

static const struct cli_opt add_opts[] = {
	{ "type", OPT_TEXT, "nvme", "kind of device" },
	{ "address", OPT_TEXT, "ADDRESS", "PCI address; the lowest free one" },
	FUNCTION_OPTS, { NULL },
};
static const struct cli_opt set_opts[] = {
	FUNCTION_OPTS,
	{ "vq", OPT_NUMBER, "N", "of a VF: queue resources, the admin queue among them" },
	{ "vi", OPT_NUMBER, "N", "of a VF: interrupt resources" },
	{ "migratable", OPT_FLAG, "on|off", "of a VF: may it be migrated" },
	{ "activate", OPT_FLAG, NULL, "of a VF: take it online, and bind its driver" },
	{ "deactivate", OPT_FLAG, NULL, "of a VF: unbind its driver, take it offline" }, { NULL },
};
static const struct cli_opt list_opts[] = {
	{ "controlled-by", OPT_TEXT, "PF", "only the VFs of this PF" }, { NULL },
};
static const struct cli_opt reset_opts[] = {
	{ "force", OPT_FLAG, NULL, "also while a client has it" }, { NULL },
};
static const struct cli_opt create_opts[] = {
	{ "backing", OPT_BACKING, "STORE", "file:PATH, block:PATH, memory or null" },
	{ "size", OPT_SIZE, "SIZE", "a file is made or grown to it" },
	{ "lba", OPT_NUMBER, "512|4096", "logical block size (512)" },
	{ "uuid", OPT_TEXT, "UUID", "random without it" },
	{ "read-only", OPT_FLAG, NULL, "open the store for reading only" },
	{ "shared", OPT_FLAG, NULL, "other hosts have it too; one of them owns it" },
	{ "owner-file", OPT_PATH, "PATH", "where its owner record is; beside a file without it" },
	{ NULL },
};
static const struct cli_opt claim_opts[] = {
	{ "epoch", OPT_NUMBER, "N", "by force: the epoch that the record has" }, { NULL },
};
static const struct cli_opt attach_opts[] = {
	{ "nsid", OPT_NUMBER, "N", "namespace id; the lowest free one" }, { NULL },
};
static const struct cli_opt resize_opts[] = {
	{ "shrink", OPT_FLAG, NULL, "also to a smaller size" }, { NULL },
};
static const struct cli_opt check_opts[] = {
	{ "to", OPT_TEXT, "unix:PATH", "control socket of the target host" },
	{ "to-address", OPT_TEXT, "ADDRESS", "the function there; the same address" }, { NULL },
};
static const struct cli_opt start_opts[] = {
	{ "qmp", OPT_PATH, "SOCKET", "the source QEMU's monitor" },
	{ "to", OPT_TEXT, "unix:PATH", "control socket of the target host" },
	{ "to-address", OPT_TEXT, "ADDRESS", "the function there; the same address" },
	{ "to-qmp", OPT_PATH, "SOCKET", "monitor of a target QEMU that waits (-incoming defer)" },
	{ "to-exec", OPT_TEXT, "COMMAND", "start the target QEMU so; its monitor: -qmp unix:$FERRY_QMP,server=on,wait=off" },
	{ "uri", OPT_TEXT, "URI", "where QEMU sends to; a UNIX socket of its own" },
	{ "downtime-limit", OPT_NUMBER, "MS", "longest downtime that QEMU aims at" },
	{ "bandwidth", OPT_NUMBER, "BYTES/S", "most that QEMU sends" },
	{ "timeout", OPT_NUMBER, "SECONDS", "abort after it" },
	{ "no-provision", OPT_FLAG, NULL, "the target's function is as it should be" },
	{ "keep-source", OPT_FLAG, NULL, "don't end the source QEMU afterwards" },
	{ "no-progress", OPT_FLAG, NULL, "no progress line" }, { NULL },
};
static const struct cli_opt demo_opts[] = {
	{ "migrations", OPT_NUMBER, "N", "how many moves (4)" },
	{ "report", OPT_TEXT, "FILE", "where to put the drawing of the last one (migration.html)" },
	{ "keep", OPT_FLAG, NULL, "leave the scratch folder" }, { NULL },
};
static const struct cli_opt save_opts[] = {
	{ "file", OPT_TEXT, "FILE", "where to write it" },
	{ "offer", OPT_FLAG, NULL, "its storage goes along: the function stays suspended" }, { NULL },
};
static const struct cli_opt load_opts[] = {
	{ "file", OPT_TEXT, "FILE", "what state save wrote" }, { NULL },
};
static const struct cli_opt report_opts[] = {
	{ "html", OPT_TEXT, "FILE", "a page (migration-ID.html); - is standard output" },
	{ "svg", OPT_TEXT, "FILE", "the drawing alone" }, { NULL },
};
static const struct cli_opt stop_opts[] = {
	{ "force", OPT_FLAG, NULL, "also while programs run on it; they are killed" }, { NULL },
};
static const struct cli_opt run_opts[] = {
	{ "new-host", OPT_SPEC, "SPEC", "a host for this one program: nvme,ns=64M[,...]; may be repeated" },
	{ "grace", OPT_NUMBER, "SECONDS", "how long to wait for a daemon that died (5)" },
	{ "trace", OPT_TEXT, "FILE", "write one line per VFIO call" },
	{ "no-attr-writes", OPT_FLAG, NULL, "don't look at small writes to descriptors 0 to 2" },
	{ NULL },
};

const struct cli_verb cli_verbs[] = {
	{ .object = "ls", .run = verb_ls, .help = "list functions" },
	{ .object = "run", .opts = run_opts, .rest = true, .run = verb_run,
	  .help = "run a program on the host's functions" },
	{ .object = "demo", .opts = demo_opts, .run = verb_demo,
	  .help = "move a guest under verified I/O between two hosts, and show what came out" },
	{ .object = "doctor", .run = verb_doctor, .help = "can this machine do it, and what is missing" },
	{ .object = "version", .run = verb_version, .help = "print the version" },
	{ .object = "help", .args = { "object" }, .run = verb_help, .help = "options of an object" },
	{ .object = "rpc", .args = { "method", "params" }, .need = 1, .run = verb_rpc,
	  .help = "call a method of the daemon with JSON" },

	{ .object = "host", .verb = "list", .run = verb_host_list, .help = "running hosts" },
	{ .object = "host", .verb = "show", .method = "host_show", .print = print_object,
	  .help = "one host and the programs that run on it" },
	{ .object = "host", .verb = "stop", .opts = stop_opts, .run = verb_host_stop,
	  .help = "end the daemon" },

	{ .object = "function", .verb = "add", .opts = add_opts, .method = "function_add",
	  .print = print_address, .help = "make a function; prints its address" },
	{ .object = "function", .verb = "list", .opts = list_opts, .method = "function_list",
	  .print = print_functions,
	  .help = "list functions" },
	{ .object = "function", .verb = "show", .args = { "address" }, .need = 1,
	  .method = "function_show", .print = print_object, .help = "all about one function" },
	{ .object = "function", .verb = "set", .args = { "address" }, .need = 1, .opts = set_opts,
	  .method = "function_set", .print = print_function_set,
	  .help = "change a function that no client has: it is made anew" },
	{ .object = "function", .verb = "delete", .args = { "address" }, .need = 1,
	  .method = "function_delete", .print = print_nothing,
	  .help = "remove a function that no client has" },
	{ .object = "function", .verb = "reset", .args = { "address" }, .need = 1,
	  .opts = reset_opts, .method = "function_reset", .print = print_nothing,
	  .help = "function level reset" },

	{ .object = "namespace", .verb = "create", .args = { "name" }, .need = 1,
	  .opts = create_opts, .method = "namespace_create", .print = print_nothing,
	  .help = "open a store under a name" },
	{ .object = "namespace", .verb = "list", .method = "namespace_list",
	  .print = print_namespaces, .help = "list namespaces" },
	{ .object = "namespace", .verb = "attach", .args = { "name", "address" }, .need = 2,
	  .opts = attach_opts, .method = "namespace_attach", .print = print_nothing,
	  .help = "give a namespace to a function" },
	{ .object = "namespace", .verb = "detach", .args = { "name" }, .need = 1,
	  .method = "namespace_detach", .print = print_nothing, .help = "take it away again" },
	{ .object = "namespace", .verb = "resize", .args = { "name", "size" }, .need = 2,
	  .opts = resize_opts, .method = "namespace_resize", .print = print_nothing,
	  .help = "change the size of its store" },
	{ .object = "namespace", .verb = "delete", .args = { "name" }, .need = 1,
	  .method = "namespace_delete", .print = print_nothing,
	  .help = "close the store and forget the name; a file stays" },

	{ .object = "namespace", .verb = "claim", .args = { "name" }, .need = 1, .opts = claim_opts,
	  .method = "namespace_claim", .print = print_nothing,
	  .help = "become owner of a shared namespace" },

	{ .object = "driver", .verb = "list", .method = "driver_list", .print = print_drivers,
	  .help = "drivers and what they are bound to" },
	{ .object = "driver", .verb = "explain", .args = { "address" }, .need = 1,
	  .method = "driver_explain", .print = print_explain,
	  .help = "which drivers fit a function, and which is chosen" },
	{ .object = "driver", .verb = "bind", .args = { "address", "driver" }, .need = 2,
	  .method = "driver_bind", .print = print_nothing, .help = "set driver_override and bind" },
	{ .object = "driver", .verb = "unbind", .args = { "address" }, .need = 1,
	  .method = "driver_unbind", .print = print_nothing,
	  .help = "unbind; waits until the client has let go" },

	{ .object = "migration", .verb = "check", .args = { "address" }, .need = 1,
	  .opts = check_opts, .run = verb_migration_check, .help = "can a function move to another host" },
	{ .object = "migration", .verb = "start", .args = { "address" }, .opts = start_opts,
	  .run = verb_migration_start, .help = "move a running VM with its functions; ADDRESS,ADDRESS..." },
	{ .object = "migration", .verb = "watch", .args = { "id" }, .run = verb_migration_watch,
	  .help = "follow one to its end" },
	{ .object = "migration", .verb = "list", .run = verb_migration_list, .help = "all that were ever started" },
	{ .object = "migration", .verb = "show", .args = { "id" }, .run = verb_migration_show,
	  .help = "all about one; the last" },
	{ .object = "migration", .verb = "abort", .args = { "id" }, .run = verb_migration_abort,
	  .help = "end one; the VM goes on at the source" },
	{ .object = "migration", .verb = "report", .args = { "id" }, .opts = report_opts,
	  .run = verb_migration_report, .help = "draw one" },

	{ .object = "state", .verb = "save", .args = { "address" }, .need = 1, .opts = save_opts,
	  .run = verb_state_save, .help = "the state of a function that no client has, into a file" },
	{ .object = "state", .verb = "load", .args = { "address" }, .need = 1, .opts = load_opts,
	  .run = verb_state_load, .help = "and back" },
	{ .object = "state", .verb = "show", .args = { "file" }, .need = 1, .run = verb_state_show,
	  .help = "what a state file is of" },
	{ .object = "state", .verb = "diff", .args = { "file", "other" }, .need = 2,
	  .run = verb_state_diff, .help = "do two states differ; exits as diff(1) does" },
	{ .object = "state", .verb = "verify", .args = { "file" }, .need = 1, .run = verb_state_verify,
	  .help = "is a state file sound" },

	{ .object = "config", .verb = "save", .run = verb_config_save,
	  .help = "print the configuration, as ferryd --config takes it" },
	{ NULL },
};
