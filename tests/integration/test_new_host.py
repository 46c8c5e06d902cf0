#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""ferry run --new-host: one line, no daemon before, nothing left behind."""

import os

from ferrytest import check, children, main, wait_until

SPEC = "nvme,ns=64M"


def new_host(scratch, *program, **options):
    return scratch.run([scratch.ferry, "run", "--new-host", SPEC, "--", *program], **options)


def nothing_left(scratch, before):
    wait_until(lambda: not children(os.getpid()), "the end of every process", 10)
    check(scratch.runtime_files() == [], f"left behind: {scratch.runtime_files()}")
    left = set(os.listdir("/dev/shm")) - before
    check(not [name for name in left if "ferry" in name], f"left in /dev/shm: {left}")


def test_qemu_io(scratch):
    before = set(os.listdir("/dev/shm"))
    new_host(scratch, "qemu-io", "-f", "raw", "-c", "write -P 7 0 64k", "-c", "read -P 7 0 64k",
             "nvme://0000:01:00.0/1")
    nothing_left(scratch, before)


def test_exit_status(scratch):
    before = set(os.listdir("/dev/shm"))
    for code in (0, 1, 7, 255):
        done = new_host(scratch, "sh", "-c", f"exit {code}", ok=None)
        check(done.returncode == code, f"{done.returncode} instead of {code}")
    done = new_host(scratch, "sh", "-c", "kill -TERM $$", ok=None)
    check(done.returncode == 128 + 15, f"{done.returncode} for a program ended by SIGTERM")
    check(new_host(scratch, "no-such-program", ok=None).returncode == 127, "not 127 for a program that is not there")
    check(new_host(scratch, "/etc/passwd", ok=None).returncode == 126, "not 126 for a file that cannot run")
    nothing_left(scratch, before)


def test_standard_streams(scratch):
    done = new_host(scratch, "sh", "-c", "cat; echo oops >&2", input="hello\n")
    check(done.stdout == "hello\n", f"stdout: {done.stdout!r}")
    check("oops\n" in done.stderr, f"stderr: {done.stderr!r}")


def test_many_at_once(scratch):
    """Hosts made at the same moment do not meet."""
    clients = [scratch.spawn([scratch.ferry, "run", "--new-host", SPEC, "--", "qemu-io", "-f", "raw",
                              "-c", f"write -P {n} 0 4M", "-c", f"read -P {n} 0 4M", "nvme://0000:01:00.0/1"])
               for n in range(1, 5)]
    for client in clients:
        check(client.wait() == 0, client.text())
        check("Pattern verification failed" not in client.text(), client.text())
    nothing_left(scratch, set(os.listdir("/dev/shm")))


def test_killed(scratch):
    client = scratch.spawn([scratch.ferry, "run", "--new-host", SPEC, "--", "sleep", "600"])
    wait_until(lambda: "sleep" in names(client.pid), "the program runs")
    client.kill()
    wait_until(lambda: not children(os.getpid()), "the end of the host after its launcher's", 10)


def names(pid):
    found = []
    for child in children(pid):
        try:
            with open(f"/proc/{child}/comm") as f:
                found.append(f.read().strip())
        except OSError:
            pass
    return found


main()
