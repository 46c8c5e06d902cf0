#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""A Linux guest drives a function: administration, then verified I/O on four queues."""

from ferrytest import check, kernel, machine, main, vfio

SIZE = 128 << 20


def drive(scratch, iommufd, memory, program="qemu-system-x86_64"):
    host = scratch.host()
    address, _ = host.disk("128M")
    base = host.counts()
    qemu = host.qemu("-no-reboot", *machine(memory), *kernel("all", "F0001", SIZE // 512, 16),
                     *vfio(address, iommufd), program=program)
    text = qemu.finish()
    check("FERRY-GUEST-STEP vectors 5" in text, f"the guest did not get five vectors\n{text}")
    check("vfio" not in text.lower(), f"QEMU complains\n{text}")
    host.wait_counts(base)
    host.stop()


def test_iommufd_private(scratch):
    drive(scratch, True, "private")


def test_iommufd_memfd(scratch):
    drive(scratch, True, "memfd")


def test_group_private(scratch):
    drive(scratch, False, "private")


def test_group_memfd(scratch):
    drive(scratch, False, "memfd")


if __name__ == "__main__":
    main()
