#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""A QEMU is killed in the middle of I/O; the function serves the next one as if nothing had been."""

import os
import signal

from ferrytest import check, children, kernel, machine, main, vfio, wait_until


def qemu_pid(launcher):
    for pid in children(launcher):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("qemu-system"):
                return pid
        except OSError:
            pass
    return 0


def killed(scratch, memory, iommufd, kill):
    host = scratch.host()
    address, _ = host.disk("128M")
    base = host.counts()
    for _ in range(3):
        qemu = host.qemu("-no-reboot", *machine(memory), *kernel("churn"), *vfio(address, iommufd))
        qemu.wait_for("FERRY-GUEST-STEP churning")
        kill(qemu)
        wait_until(lambda: not children(qemu.pid), "the end of QEMU")
        host.wait_counts(base)
    host.qemu("-no-reboot", *machine(memory), *kernel("fio", 16), *vfio(address, iommufd)).finish()
    host.stop()


def kill_qemu(qemu):
    pid = qemu_pid(qemu.pid)
    check(pid, "no QEMU under ferry run")
    os.kill(pid, signal.SIGKILL)
    check(qemu.wait() == 128 + signal.SIGKILL, f"ferry run ended with {qemu.popen.returncode}")


def test_qemu_private(scratch):
    killed(scratch, "private", True, kill_qemu)


def test_qemu_memfd_group(scratch):
    killed(scratch, "memfd", False, kill_qemu)


def test_all_at_once(scratch):
    killed(scratch, "memfd", True, lambda qemu: qemu.kill())


def test_launcher(scratch):
    """The launcher alone is killed: the host goes on serving the program, and lets go of it at its end."""
    def kill_launcher(qemu):
        pid = qemu_pid(qemu.pid)
        qmp = qemu.qmp()
        os.kill(qemu.pid, signal.SIGKILL)
        qemu.wait()
        check(qmp.call("query-status")["running"], "QEMU does not run on")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in children(os.getpid()), "the end of QEMU")
    killed(scratch, "private", True, kill_launcher)


main()
