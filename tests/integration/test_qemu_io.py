#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""qemu-io's own NVMe driver on a function: what is written is read back, and ends up in the file."""

from ferrytest import check, main

SIZE = 64 << 20


def io(host, address, *commands, ok=True, options=()):
    args = [word for command in commands for word in ("-c", command)]
    done = host.run("qemu-io", "-f", "raw", *options, *args, f"nvme://{address}/1", ok=ok)
    if ok:
        check("Pattern verification failed" not in done.stdout, done.stdout)
    return done


def test_write_read(scratch):
    host = scratch.host()
    address, path = host.disk()
    io(host, address, "write -P 0xa5 0 1M", "read -P 0xa5 0 1M", "write -P 0x3c 33M 12M", "read -P 0x3c 33M 12M",
       "read -P 0xa5 0 1M")
    io(host, address, "read -P 0xa5 0 1M", "read -P 0x3c 33M 12M", "read -P 0 2M 1M")
    host.stop()
    with open(path, "rb") as f:
        check(f.read(1 << 20) == b"\xa5" * (1 << 20), "the file does not hold what was written")
        f.seek(33 << 20)
        check(f.read(12 << 20) == b"\x3c" * (12 << 20), "the file does not hold what was written at 33M")


def test_pattern_differs(scratch):
    host = scratch.host()
    address, _ = host.disk()
    done = host.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4k", "-c", "read -P 2 0 4k", f"nvme://{address}/1",
                    ok=None)
    check("Pattern verification failed" in done.stdout, "a wrong pattern was not noticed")


def test_zeroes_discard_flush(scratch):
    host = scratch.host()
    address, _ = host.disk()
    io(host, address, "write -P 0x11 0 4M", "write -z 1M 1M", "read -P 0x11 0 1M", "read -P 0 1M 1M",
       "read -P 0x11 2M 2M", "flush")
    io(host, address, "discard 2M 1M", "flush", "read -P 0x11 3M 1M", options=("-d", "unmap"))


def test_unaligned(scratch):
    host = scratch.host()
    address, _ = host.disk()
    io(host, address, "write -P 1 0 64k", "write -P 3 1000 5000", "read -P 3 1000 5000", "read -P 1 0 1000",
       "read -P 1 6000 59536", "write -P 4 513 1", "read -P 4 513 1", "read -P 1 0 513")


def test_vectors(scratch):
    host = scratch.host()
    address, _ = host.disk()
    io(host, address, "writev -P 9 512 512 4096 65536 1024", "readv -P 9 512 71168",
       *(f"aio_write -P {n} {n}M 1M" for n in range(1, 33)), "aio_flush",
       *(f"read -P {n} {n}M 1M" for n in range(1, 33)))


def test_past_the_end(scratch):
    host = scratch.host()
    address, _ = host.disk()
    io(host, address, f"write -P 7 {SIZE - 4096} 4k", f"read -P 7 {SIZE - 4096} 4k")
    io(host, address, f"read {SIZE} 4k", ok=False)
    io(host, address, f"write {SIZE - 4096} 8k", ok=False)
    io(host, address, f"read -P 7 {SIZE - 4096} 4k")


def test_no_such_namespace(scratch):
    host = scratch.host()
    address, _ = host.disk()
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/9", ok=False)
    io(host, address, "read 0 4k")


main()
