#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""Reboots of the guest and resets of the function, with I/O in flight."""

from ferrytest import check, kernel, machine, main, vfio


def test_reboot(scratch):
    host = scratch.host()
    address, _ = host.disk()
    text = host.qemu(*machine("memfd"), *kernel("reboot", 3), *vfio(address)).finish(300)
    check(text.count("FERRY-GUEST-READY") == 4, text)


def test_reboot_group(scratch):
    host = scratch.host()
    address, _ = host.disk()
    text = host.qemu(*machine(), *kernel("reboot", 1), *vfio(address, iommufd=False)).finish()
    check(text.count("FERRY-GUEST-READY") == 2, text)


def test_reset(scratch):
    host = scratch.host()
    address, _ = host.disk("128M")
    host.qemu("-no-reboot", *machine(), *kernel("reset", 6), *vfio(address)).finish(300)


def test_system_reset(scratch):
    """The machine is reset from outside in the middle of I/O, again and again."""
    host = scratch.host()
    address, _ = host.disk()
    qemu = host.qemu(*machine(), *kernel("churn"), *vfio(address))
    qmp = qemu.qmp()
    for boots in range(1, 4):
        qemu.wait_for(r"(?s)(FERRY-GUEST-STEP churning.*){%d}" % boots)
        qmp.call("system_reset")
    qemu.wait_for(r"(?s)(FERRY-GUEST-STEP churning.*){4}")
    qmp.call("quit")
    check(qemu.wait() == 0, qemu.text())
    host.run("qemu-io", "-f", "raw", "-c", "write -P 7 0 64k", "-c", "read -P 7 0 64k", f"nvme://{address}/1")


main()
