#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""The guest test on a newer QEMU."""

from ferrytest import main, qemu11
from test_guest import drive


def test_iommufd_private(scratch):
    drive(scratch, True, "private", qemu11())


def test_iommufd_memfd(scratch):
    drive(scratch, True, "memfd", qemu11())


def test_group_private(scratch):
    drive(scratch, False, "private", qemu11())


def test_group_memfd(scratch):
    drive(scratch, False, "memfd", qemu11())


main()
