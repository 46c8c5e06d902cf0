#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""A namespace that two hosts reach: only its owner writes, and nobody takes it from one that lives."""

import json
import os
import signal

from ferrytest import check, main


def shared(host, path, *more):
    return host.ferry("namespace", "create", "disk0", "--backing", f"file:{path}", "--size", "64M", "--shared", *more)


def state(host):
    namespace, = json.loads(host.ferry("namespace", "list", "-j").stdout)["namespaces"]
    return namespace


def pattern(host, address, verb, number, ok=True):
    return host.run("qemu-io", "-f", "raw", "-c", f"{verb} -P {number} 0 64k", f"nvme://{address}/1", ok=ok)


def refused(done, code):
    check(done.returncode and code in done.stderr, f"{done.returncode} {done.stderr}")


def hosts(scratch):
    path = os.path.join(scratch.dir, "disk")
    a, b = scratch.host("a"), scratch.host("b")
    shared(a, path)
    shared(b, path)
    return a, b, a.nvme(), b.nvme(), path


def test_one_writer(scratch):
    a, b, at_a, at_b, path = hosts(scratch)
    first, second = state(a), state(b)
    check(first["owned"] and not second["owned"] and first["uuid"] == second["uuid"], (first, second))
    check(second["owner"]["state"] == "OWNED" and second["owner"]["owner"] == first["owner"]["self"], second)
    pattern(a, at_a, "write", 7)
    check("pattern verification failed" not in pattern(a, at_a, "read", 7).stdout, "a reads what it wrote")
    before = open(path, "rb").read(65536)
    done = pattern(b, at_b, "write", 9, ok=None)
    check("wrote 65536" not in done.stdout, done.stdout)
    done = pattern(b, at_b, "read", 9, ok=None)
    check("read 65536" not in done.stdout, done.stdout)
    check(open(path, "rb").read(65536) == before, "b wrote")
    refused(b.ferry("-j", "namespace", "claim", "disk0", ok=False), "E-OWNER-ELSEWHERE")
    refused(b.ferry("-j", "namespace", "claim", "disk0", "--epoch", first["owner"]["epoch"], ok=False),
            "E-OWNER-ALIVE")
    pattern(a, at_a, "write", 11)


def test_handed_over_by_an_orderly_end(scratch):
    a, b, at_a, at_b, _ = hosts(scratch)
    pattern(a, at_a, "write", 7)
    a.stop()
    check(state(b)["owner"]["owner"] is None, state(b))
    b.ferry("namespace", "claim", "disk0")
    check(state(b)["owned"], state(b))
    check("pattern verification failed" not in pattern(b, at_b, "read", 7).stdout, "b reads what a wrote")
    pattern(b, at_b, "write", 9)


def test_owner_killed(scratch):
    a, b, at_a, at_b, path = hosts(scratch)
    epoch = state(a)["owner"]["epoch"]
    pattern(a, at_a, "write", 7)
    os.kill(a.daemon.pid, signal.SIGKILL)
    a.daemon.popen.wait()
    refused(b.ferry("-j", "namespace", "claim", "disk0", ok=False), "E-OWNER-ELSEWHERE")
    refused(b.ferry("-j", "namespace", "claim", "disk0", "--epoch", epoch + 1, ok=False), "E-OWNER-STALE")
    # Its own next life has it back without a word.
    again = scratch.host("a")
    shared(again, path)
    check(state(again)["owned"] and state(again)["owner"]["epoch"] == epoch + 1, state(again))
    os.kill(again.daemon.pid, signal.SIGKILL)
    again.daemon.popen.wait()
    b.ferry("namespace", "claim", "disk0", "--epoch", epoch + 1)
    check("pattern verification failed" not in pattern(b, at_b, "read", 7).stdout, "b reads what a wrote")
    late = scratch.host("a")
    shared(late, path)
    check(not state(late)["owned"], state(late))


def test_alone_or_shared(scratch):
    """Who wants a file alone and who shares it keep each other out."""
    path = os.path.join(scratch.dir, "disk")
    a, b = scratch.host("a"), scratch.host("b")
    shared(a, path)
    refused(b.ferry("-j", "namespace", "create", "x", "--backing", f"file:{path}", ok=False), "E-NS-IN-USE")
    a.ferry("namespace", "delete", "disk0")
    b.ferry("namespace", "create", "x", "--backing", f"file:{path}")
    refused(a.ferry("-j", "namespace", "create", "disk0", "--backing", f"file:{path}", "--shared", ok=False),
            "E-NS-IN-USE")


def test_refusals(scratch):
    a = scratch.host("a")
    refused(a.ferry("-j", "namespace", "create", "m", "--backing", "memory", "--size", "1M", "--shared", ok=False),
            "E-NS-SHARED")
    refused(a.ferry("-j", "namespace", "create", "d", "--backing", "block:/dev/loop0", "--shared", ok=False),
            "E-NS-OWNER-FILE")


def test_torn_record(scratch):
    """Nobody is owner until a person says so, and nothing is made or grown."""
    a, path = scratch.host("a"), os.path.join(scratch.dir, "disk")
    with open(path + ".ferry-owner", "wb") as f:
        f.write(b"not a record")
    a.ferry("namespace", "create", "disk0", "--backing", "file:disk", "--size", "64M", "--shared", ok=False)
    check(not os.path.exists(path), "a file was made")
    with open(path, "wb") as f:
        f.truncate(1 << 20)
    shared(a, path)
    address = a.nvme()
    check(state(a)["owner"]["state"] == "TORN" and not state(a)["owned"], state(a))
    check("wrote 65536" not in pattern(a, address, "write", 9, ok=None).stdout, "it wrote")
    refused(a.ferry("-j", "namespace", "claim", "disk0", ok=False), "E-OWNER-TORN")
    a.ferry("namespace", "claim", "disk0", "--epoch", "41")
    check(state(a)["owned"] and state(a)["owner"]["epoch"] == 42, state(a))
    check(os.path.getsize(path) == 1 << 20, "the file has grown")
    pattern(a, address, "write", 9)


main()
