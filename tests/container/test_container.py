#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""Clients, guests and hosts inside what a default container profile leaves them."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

from ferrytest import BUILD, Failure, Skip, check, main  # noqa: E402

CONFINE = os.path.join(HERE, "confine")
PROBE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in (425, 438, 323, 165, 435):
    print(libc.syscall(number, 0, 0, 0, 0, 0), ctypes.get_errno())
"""


def inside(scratch, test, *names):
    scratch.env.update(FERRY_TEST_NO_XDG="1", FERRY_TEST_BUILD=BUILD)
    done = scratch.run([CONFINE, sys.executable, "-B", os.path.join(HERE, "..", "integration", test), *names],
                       ok=None, timeout=600)
    if done.returncode == 77:
        raise Skip(test)
    if done.returncode:
        raise Failure(done.stdout + done.stderr)


def test_profile(scratch):
    """io_uring_setup, pidfd_getfd, userfaultfd and mount end with EPERM, clone3 with ENOSYS."""
    out = scratch.run([CONFINE, sys.executable, "-c", PROBE]).stdout.split("\n")
    check(out[:5] == ["-1 1"] * 4 + ["-1 38"], str(out))


def test_qemu_io(scratch):
    inside(scratch, "test_qemu_io.py")


def test_qemu_img(scratch):
    inside(scratch, "test_qemu_img.py")


def test_new_host(scratch):
    inside(scratch, "test_new_host.py")


def test_clients(scratch):
    inside(scratch, "test_clients_many.py")


def test_shell(scratch):
    inside(scratch, "test_shell.py")


def test_guest(scratch):
    inside(scratch, "test_guest.py", "memfd")


def test_guest_killed(scratch):
    inside(scratch, "test_qemu_killed.py", "private")


main()
