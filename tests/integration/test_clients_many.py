#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""Many clients at once, and clients that are killed at any point: the daemon keeps nothing of them."""

import os
import signal
import time

from ferrytest import check, children, main

FUNCTIONS = 4


def disks(host, count=FUNCTIONS):
    return [host.disk("64M", f"F{n:04}", f"disk{n}")[0] for n in range(count)]


def io(host, address, pattern):
    return host.spawn("qemu-io", "-f", "raw", "-c", f"write -P {pattern} 0 16M", "-c", f"read -P {pattern} 0 16M",
                      f"nvme://{address}/1")


def test_at_once(scratch):
    host = scratch.host()
    addresses = disks(host)
    io(host, addresses[0], 1).wait()
    base = host.counts()
    for turn in range(5):
        clients = [io(host, address, turn * FUNCTIONS + n) for n, address in enumerate(addresses)]
        for client in clients:
            check(client.wait() == 0, client.text())
            check("Pattern verification failed" not in client.text(), client.text())
    host.wait_counts(base)


def test_one_function_two_clients(scratch):
    """A function has one user; the second is told so, and the first does not notice."""
    host = scratch.host()
    address, = disks(host, 1)
    first = host.spawn("sh", "-c", f"(echo write -P 5 0 1M; sleep 600) | stdbuf -oL qemu-io -f raw nvme://{address}/1")
    first.wait_for("wrote 1048576/1048576")
    second = host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1", ok=False)
    check("busy" in second.stderr.lower(), second.stderr)
    first.kill()
    host.run("qemu-io", "-f", "raw", "-c", "read -P 5 0 1M", f"nvme://{address}/1")


def test_killed_anywhere(scratch):
    host = scratch.host()
    address, = disks(host, 1)
    start = time.monotonic()
    check(io(host, address, 1).wait() == 0, "first client")
    whole = time.monotonic() - start
    base = host.counts()
    turns = 40
    for turn in range(turns):
        client = io(host, address, 2)
        # The moment is the subject here: from before the first call to after the last.
        time.sleep(whole * 1.1 * turn / turns)
        client.kill()
    host.wait_counts(base)
    done = host.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 16M", "-c", "read -P 9 0 16M", f"nvme://{address}/1")
    check("Pattern verification failed" not in done.stdout, done.stdout)
    host.wait_counts(base)


def test_stopped_client(scratch):
    """A client that is stopped holds up nobody else."""
    host = scratch.host()
    addresses = disks(host, 2)
    stopped = bench(host, addresses[0])
    os.killpg(stopped.pid, signal.SIGSTOP)
    check(io(host, addresses[1], 3).wait() == 0, "the other client")
    host.ferry("ls")
    stopped.kill()


def bench(host, address):
    """A client that would run for hours."""
    client = host.spawn("stdbuf", "-oL", "qemu-img", "bench", "-f", "raw", "-t", "none", "-c", "100000000",
                        "-d", "32", "-s", "4096", f"nvme://{address}/1")
    client.wait_for("Sending")
    return client


def test_daemon_stopped(scratch):
    """A daemon that is asked to end takes its clients along."""
    host = scratch.host()
    clients = [bench(host, address) for address in disks(host, 2)]
    host.stop()
    for client in clients:
        check(client.wait(30) != 0, "a client went on without its host")
        check(not children(client.pid), "a client's program is left")
    check(scratch.runtime_files() == [], f"left behind: {scratch.runtime_files()}")


def test_daemon_killed(scratch):
    """A program never hangs on a daemon that is gone: it is ended, and ferry run says why."""
    host = scratch.host()
    client = bench(host, disks(host, 1)[0])
    host.daemon.kill()
    check(client.wait(90) == 125, f"ferry run ended with {client.popen.returncode}\n{client.text()}")
    check("ferry: " in client.text(), client.text())
    check(not children(client.pid), "the program is left")


main()
