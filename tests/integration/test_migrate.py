#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""A guest under verified I/O on an NVMe VF moves between two hosts, with stock QEMU.

    host a: ferryd, VF 01:00.1 --- shared.raw --- VF 01:00.1, ferryd: host b
       QEMU, guest, fio  ---- UNIX socket, QMP ---->  QEMU -incoming defer
"""

import json
import os
import signal

from ferrymigrate import Guest, Pair, VF, device_ms, verified
from ferrytest import Qmp, check, children, main, wait_until

MOVES = 3


def moves(scratch, **options):
    pair = Pair(scratch)
    guest = Guest(pair.hosts[0], **options)
    guest.qemu.wait_for("FERRY-GUEST-STEP migrating", 120)
    for _ in range(MOVES):
        target = pair.waiting(guest, **options)
        record = pair.move(guest, target)
        check(record["totals"]["device_bytes"] > 0, record["totals"])
        check(device_ms(record) is not None, record.get("device_events"))
        check(pair.owned(target.host) and not pair.owned(guest.host), "who owns the namespace")
        check(guest.qemu.wait(30) == 0, guest.qemu.text())
        guest = target
        # It works here, too, before it goes on.
        guest.qemu.wait_for("FERRY-GUEST-STEP round", 120)
    verified(guest.stop())
    for host in pair.hosts:
        host.stop()


def test_iommufd(scratch):
    moves(scratch)


def test_iommufd_private(scratch):
    moves(scratch, memory="private")


def test_group(scratch):
    moves(scratch, iommufd=False)


def under_way(pair, guest, target):
    """A move so slow that it can be disturbed."""
    process = pair.start_move(guest, target, "--bandwidth", "1000000")

    def active():
        check(process.running(), process.text())
        out = scratch_show(pair)
        return out.get("progress", {}).get("status") == "active"
    wait_until(active, "the move is under way")
    return process


def scratch_show(pair):
    done = pair.scratch.run([pair.scratch.ferry, "migration", "show", "-j"], ok=None)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def stays(pair, guest, process, codes):
    """The guest goes on where it was, undisturbed, and can still be moved."""
    code = process.wait(120)
    check(code in codes, f"exit {code}\n{process.text()}")
    check(pair.owned(guest.host), "the source does not own the namespace")
    check(Qmp(guest.qemu.monitor).call("query-status")["status"] == "running", "the source does not run")
    guest.qemu.wait_for(r"(?s)(FERRY-GUEST-STEP round.*){2}", 180)
    target = pair.waiting(guest)
    pair.move(guest, target)
    verified(target.stop())


def test_cancel(scratch):
    pair = Pair(scratch)
    guest = Guest(pair.hosts[0])
    guest.qemu.wait_for("FERRY-GUEST-STEP migrating", 120)
    process = under_way(pair, guest, pair.waiting(guest))
    os.kill(process.pid, signal.SIGINT)
    stays(pair, guest, process, [130])


def test_target_killed(scratch):
    pair = Pair(scratch)
    guest = Guest(pair.hosts[0])
    guest.qemu.wait_for("FERRY-GUEST-STEP migrating", 120)
    target = pair.waiting(guest)
    process = under_way(pair, guest, target)
    target.qemu.kill()
    wait_until(lambda: not children(target.qemu.pid), "the target's end")
    stays(pair, guest, process, [1])


def test_check(scratch):
    pair = Pair(scratch)
    a, b = pair.hosts
    pair.provision(b)
    out = a.ferry("migration", "check", VF, "--to", pair.control(b)).stdout
    check("result: migratable" in out, out)
    b.ferry("function", "set", VF, "--vq", "2", "--vi", "3")
    done = a.ferry("migration", "check", VF, "--to", pair.control(b), ok=False)
    check(done.returncode == 5 and "E-LM-IDENTITY" in done.stdout, done.stdout + done.stderr)


main()
