#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""qemu-img copies images into and out of a namespace, and drives it at depth 32."""

import os
import random

from ferrytest import main

SIZE = 64 << 20


def image(scratch):
    """A raw image of data, zeroes and holes."""
    path = os.path.join(scratch.dir, "image.raw")
    data = random.Random(4).randbytes(8 << 20)
    with open(path, "wb") as f:
        f.truncate(SIZE)
        for at in (0, 13 << 20, (40 << 20) + 512, SIZE - len(data)):
            f.seek(at)
            f.write(data)
    return path


def test_convert(scratch):
    host = scratch.host()
    address, path = host.disk()
    source = image(scratch)
    back = os.path.join(scratch.dir, "back.qcow2")
    disk = f"nvme://{address}/1"
    host.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-t", "none", source, disk)
    host.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, disk)
    host.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, back)
    scratch.qemu_img("compare", "-f", "raw", "-F", "qcow2", source, back)
    host.stop()
    scratch.qemu_img("compare", "-f", "raw", "-F", "raw", source, path)


def test_bench(scratch):
    host = scratch.host()
    address, _ = host.disk()
    for write in ((), ("-w", "--flush-interval=1000")):
        host.run("qemu-img", "bench", "-f", "raw", "-t", "none", "-c", "20000", "-d", "32", "-s", "4096", *write,
                 f"nvme://{address}/1", timeout=120)


main()
