#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""A guest under verified I/O on an NVMe VF moves between two hosts, with stock QEMU.

    host a: ferryd, VF 01:00.1 --- shared.raw --- VF 01:00.1, ferryd: host b
       QEMU, guest, fio  ---- UNIX socket, QMP ---->  QEMU -incoming defer
"""

from ferrymigrate import Guest, Pair, device_ms, verified
from ferrytest import check, main

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


main()
