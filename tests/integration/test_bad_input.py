#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""What cannot be done is refused: the message says what failed, and nothing is left half-made."""

import os

from ferrytest import check, main


def refused(done, *words, code=None):
    """An error is one line on stderr that begins with the program's name and holds these words."""
    text = done.stderr
    check(done.returncode != 0, f"not refused: {done.args}")
    check(code is None or done.returncode == code, f"exit {done.returncode}, not {code}: {done.args}\n{text}")
    check(text.startswith(("ferry: ", "ferryd: ")), f"{done.args}\n{text!r}")
    check(all(word.lower() in text.lower() for word in words), f"{words} not in {text!r}")


def namespace(host, name, path, *options):
    return host.ferry("namespace", "create", name, "--backing", f"file:{path}", *options, ok=None)


def unchanged(host, before):
    check(host.ferry("ls", "-o", "json").stdout == before, "ferry ls has changed")


def test_namespace_file(scratch):
    host = scratch.host()
    before = host.ferry("ls", "-o", "json").stdout
    base = host.counts()
    missing = f"{scratch.dir}/no/such/file.raw"
    refused(namespace(host, "disk0", missing, "--size", "64M"), missing, "No such file")
    small = f"{scratch.dir}/small.raw"
    with open(small, "wb") as f:
        f.truncate(100)
    refused(namespace(host, "disk0", small), small)
    check(os.path.getsize(small) == 100, "a refused file was changed")
    refused(namespace(host, "disk0", scratch.dir), scratch.dir)
    refused(namespace(host, "disk0", f"{scratch.dir}/x.raw", "--size", "12parsecs"), "12parsecs")
    check(not os.path.exists(f"{scratch.dir}/x.raw"), "a refused namespace left a file")
    if os.getuid() != 0:
        readonly = f"{scratch.dir}/readonly.raw"
        with open(readonly, "wb") as f:
            f.truncate(1 << 20)
        os.chmod(readonly, 0o444)
        refused(namespace(host, "disk0", readonly), readonly, "denied")
    unchanged(host, before)
    host.wait_counts(base)
    host.disk()


def test_namespace_in_use(scratch):
    a, b = scratch.host("a"), scratch.host("b")
    _, path = a.disk()
    refused(namespace(b, "disk0", path), path)
    refused(namespace(a, "disk1", path), path)
    refused(namespace(a, "disk0", f"{scratch.dir}/other.raw", "--size", "64M"), "disk0")
    check(not os.path.exists(f"{scratch.dir}/other.raw"), "a refused namespace left a file")
    a.stop()
    check(namespace(b, "disk0", path).returncode == 0, "the file is still in use after its host has ended")


def test_function(scratch):
    host = scratch.host()
    address, _ = host.disk()
    before = host.ferry("ls", "-o", "json").stdout
    add = ["function", "add", "--type", "nvme", "--serial", "F0002"]
    refused(host.ferry(*add, "--ns", "nothing", "--driver", "vfio-pci", ok=None), "nothing")
    refused(host.ferry("function", "add", "--type", "toaster", ok=None), "toaster")
    refused(host.ferry(*add, "--driver", "no-such-driver", ok=None), "no-such-driver")
    refused(host.ferry("function", "add", "--type", "nvme", "--serial", "S" * 21, ok=None), "serial")
    refused(host.ferry("function", "delete", "0000:44:00.0", ok=None), "0000:44:00.0")
    unchanged(host, before)
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1")


def test_usage(scratch):
    refused(scratch.run([scratch.ferry, "no-such-object"], ok=None), "no-such-object", code=2)
    refused(scratch.run([scratch.ferry, "ls", "--no-such-option"], ok=None), "no-such-option", code=2)
    refused(scratch.run([scratch.ferry, "run"], ok=None), code=2)
    refused(scratch.run([scratch.ferryd, "--no-such-option"], ok=None), "no-such-option", code=2)
    refused(scratch.run([scratch.ferryd, "--host", "../a"], ok=None), "../a")


def test_no_daemon(scratch):
    name = "nobody" + scratch.suffix
    refused(scratch.run([scratch.ferry, "-H", name, "ls"], ok=None), name, code=3)
    done = scratch.run([scratch.ferry, "-H", name, "run", "--", "true"], ok=None)
    refused(done, name)
    check(done.returncode in (3, 125), f"exit {done.returncode}")


def test_two_daemons(scratch):
    host = scratch.host()
    address, _ = host.disk()
    refused(scratch.run([scratch.ferryd, "--host", host.name], ok=None), host.name)
    host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"nvme://{address}/1")


def test_daemon_killed(scratch):
    """What a killed daemon leaves does not stop the next one of that name."""
    host = scratch.host()
    host.disk()
    host.daemon.kill()
    host = scratch.host()
    path = f"{scratch.dir}/{host.name}-disk0.raw"
    check(namespace(host, "disk0", path).returncode == 0, "the killed daemon's file is still in use")


def test_program(scratch):
    host = scratch.host()
    base = host.counts()
    refused(host.run("no-such-program", ok=None), "no-such-program", code=127)
    refused(host.run("/etc/passwd", ok=None), "/etc/passwd", code=126)
    host.wait_counts(base)


def test_address(scratch):
    host = scratch.host()
    host.disk()
    done = host.run("qemu-io", "-f", "raw", "-c", "read 0 4k", "nvme://0000:44:00.0/1", ok=False)
    check("0000:44:00.0" in done.stderr + done.stdout, done.stderr)


main()
