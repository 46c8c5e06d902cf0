# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""Two hosts, a namespace on a file that both reach, a VF on each, and a guest that moves between them."""

import json
import os
import re
import socket

from ferrytest import Failure, check, kernel, machine, vfio, wait_until

MACHINE = "pc-q35-10.0"
VF = "0000:01:00.1"


def versioned(args, name=MACHINE):
    """Options of a guest, with a machine that means the same everywhere."""
    return [re.sub(r"^q35\b", name, word) if before == "-M" else word for before, word in zip([""] + args, args)]


class Guest:
    """One QEMU of the guest's: where it runs, or waits to be moved to."""

    def __init__(self, host, incoming=False, memory="memfd", iommufd=True, megabytes=8, program="qemu-system-x86_64",
                 name=MACHINE):
        self.host = host
        self.line = os.path.join(host.scratch.dir, f"line{host.scratch.next_number()}")
        args = [*versioned(machine(memory, 256), name), *kernel("migrate", megabytes),
                "-serial", f"unix:{self.line},server=on,wait=off"]
        # Without device dirty tracking in a container, QEMU asks for consent.
        device = vfio(VF, iommufd, id="hd0", **{"migration-events": "on", "enable-migration": "on"})
        if incoming:
            args += ["-incoming", "defer"]
        self.qemu = host.qemu("-no-reboot", *args, *device, program=program)
        wait_until(lambda: os.path.exists(self.qemu.monitor) or not self.qemu.running(), "QEMU's monitor")
        check(self.qemu.running(), self.qemu.text())

    def stop(self):
        """Tells the guest's script to finish; returns what it counted."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.line)
            s.sendall(b"stop\n")
            text = self.qemu.finish(300)
        match = re.search(r"FERRY-GUEST-MIGRATED (.*)", text)
        check(match, text)
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", match.group(1))}


class Pair:
    """Hosts a and b."""

    def __init__(self, scratch, size="64M", vq=4):
        self.scratch = scratch
        self.vq = vq
        self.file = os.path.join(scratch.dir, "shared.raw")
        self.size = size
        self.hosts = [self.make(name) for name in "ab"]
        self.provision(self.hosts[0])

    def make(self, name):
        host = self.scratch.host(name)
        host.ferry("namespace", "create", "disk0", "--backing", f"file:{self.file}", "--size", self.size, "--shared")
        host.ferry("function", "add", "--type", "nvme", "--serial", "MOVE0001", "--address", "0000:01:00.0",
                   "--vfs-max", "8", "--driver", "nvme")
        host.ferry("function", "set", "0000:01:00.0", "--vfs", "2")
        return host

    def provision(self, host):
        host.ferry("function", "set", VF, "--vq", self.vq, "--vi", self.vq + 1, "--ns", "disk0:1", "--migratable",
                   "--driver", "nvme-vfio-pci", "--activate")

    def control(self, host):
        path = json.loads(host.ferry("host", "show", "-j").stdout)["run_dir"]
        return f"unix:{path}/ctl.sock"

    def owned(self, host):
        listed = json.loads(host.ferry("namespace", "list", "-j").stdout)["namespaces"]
        return next(ns["owned"] for ns in listed if ns["name"] == "disk0")

    def start_move(self, guest, to, *args):
        return self.scratch.spawn([self.scratch.ferry, "-H", guest.host.name, "migration", "start", VF, "--qmp",
                                   guest.qemu.monitor, "--to", self.control(to.host), "--to-qmp", to.qemu.monitor,
                                   "--no-progress", *args], "move")

    def move(self, guest, to, *args):
        """Moves the guest to a waiting QEMU; returns the record."""
        process = self.start_move(guest, to, *args)
        code = process.wait(180)
        check(code == 0, f"exit {code}\n{process.text()}\nsource:\n{guest.qemu.text()[-2000:]}\ntarget:\n{to.qemu.text()}")
        return self.record()

    def record(self):
        return json.loads(self.scratch.run([self.scratch.ferry, "migration", "show", "-j"]).stdout)

    def other(self, guest):
        return self.hosts[1 - self.hosts.index(guest.host)]

    def waiting(self, guest, **options):
        """A QEMU on the other host that waits for the guest."""
        host = self.other(guest)
        self.provision(host)
        return Guest(host, incoming=True, **options)


def device_ms(record):
    """How long the source's devices took from STOP_COPY to the end of their state."""
    events = [e for e in record.get("device_events", []) if e["side"] == "source"]
    for event, after in zip(events, events[1:]):
        if event["to"] == "stop-copy":
            return (after["t_ns"] - event["t_ns"]) / 1e6
    return None


def verified(counts):
    """The guest found every block as it had written it, and its driver nothing to complain about."""
    if counts["written"] <= 0 or counts["errors"] or counts["lost"] or counts["repeated"]:
        raise Failure(f"the guest's verdict: {counts}")
    return counts
