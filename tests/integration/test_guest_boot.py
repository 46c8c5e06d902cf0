#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""SeaBIOS boots a system from the namespace, by its own NVMe driver."""

from ferrytest import check, guest_image, machine, main, vfio


def boot(scratch, iommufd):
    host = scratch.host()
    address, _ = host.disk("48M")
    host.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", f"{guest_image()}/boot.raw", f"nvme://{address}/1")
    qemu = host.qemu("-no-reboot", *machine(), *vfio(address, iommufd, bootindex=0))
    text = qemu.finish()
    check("FERRY-GUEST-STEP booted" in text, text)


def test_iommufd(scratch):
    boot(scratch, True)


def test_group(scratch):
    boot(scratch, False)


main()
