#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""ferry migration start with two stock QEMUs and no function of ferry's: who runs in the end, whatever goes wrong."""

import json
import os
import signal
import time

from ferrytest import Failure, Process, Qmp, check, main, wait_until

MACHINE = "pc-q35-10.0"
SLOW = "100000"     # bytes a second: some seconds for a VM of this size


class Vm(Process):
    def __init__(self, scratch, *args, machine=MACHINE, size=128):
        self.monitor = os.path.join(scratch.dir, f"qmp{scratch.next_number()}")
        option = ["-machine", machine] if machine else []
        super().__init__(["qemu-system-x86_64", "-nodefaults", "-display", "none", *option, "-accel", "tcg",
                          "-m", size, "-qmp", f"unix:{self.monitor},server=on,wait=off", *args],
                         scratch.env, scratch.dir, scratch.log_path("qemu"))
        wait_until(lambda: os.path.exists(self.monitor) or not self.running(), "QEMU's monitor")

    def state(self):
        """Opened and closed each time: a monitor has one client."""
        qmp = Qmp(self.monitor)
        try:
            return qmp.call("query-status")["status"]
        finally:
            qmp.socket.close()
            qmp.lines.close()

    def wait_state(self, state):
        wait_until(lambda: self.state() == state, f"QEMU {state}")


def waiting(scratch, **options):
    return Vm(scratch, "-incoming", "defer", **options)


def start(scratch, source, *args):
    return scratch.spawn([scratch.ferry, "migration", "start", "--qmp", source.monitor, "--no-progress", *args], "move")


def move(scratch, source, *args, code=0):
    process = start(scratch, source, *args)
    got = process.wait(60)
    check(got == code, f"exit {got}, not {code}\n{process.text()}")
    return process.text()


def record(scratch, ident="last"):
    return json.loads(scratch.run([scratch.ferry, "migration", "show", ident, "-j"]).stdout)


def codes(scratch):
    return [reason["code"] for reason in record(scratch).get("reasons", [])]


def test_moves(scratch):
    """There and back: the target runs, the source has ended, the record says so, the report can be drawn."""
    source = Vm(scratch)
    source.wait_state("running")
    for _ in range(3):
        target = waiting(scratch)
        text = move(scratch, source, "--to-qmp", target.monitor)
        check("completed" in text, text)
        target.wait_state("running")
        check(source.wait(20) == 0, "the source did not end")
        source = target
    last = record(scratch)
    check(last["result"] == "completed" and last["vm"]["machine"] == MACHINE, last)
    check(last["totals"]["total_ms"] > 0 and last["totals"]["ram_bytes"] > 0 and last["totals"]["rounds"] > 0, last)
    names = [phase["name"] for phase in last["phases"]]
    check(names[0] == "setup" and "stopped" in names and names[-1] == "finish", names)
    check(all(a["end_ns"] <= b["start_ns"] for a, b in zip(last["phases"], last["phases"][1:])), last["phases"])
    page = os.path.join(scratch.dir, "page.html")
    drawing = os.path.join(scratch.dir, "page.svg")
    scratch.run([scratch.ferry, "migration", "report", "--html", page, "--svg", drawing])
    with open(page) as f:
        text = f.read()
    check(last["id"] in text and "<svg" in text and 'class="down"' in text, text)
    check("src=" not in text and "href=" not in text, "the page needs others")
    listed = scratch.run([scratch.ferry, "migration", "list", "--no-header"]).stdout.splitlines()
    check(len(listed) == 3 and all(" completed " in line for line in listed), listed)
    source.kill()


def test_paused_stays_paused(scratch):
    source, target = Vm(scratch, "-S"), waiting(scratch)
    Qmp(source.monitor).call("cont")
    Qmp(source.monitor).call("stop")
    move(scratch, source, "--to-qmp", target.monitor)
    check(target.state() == "paused", target.state())
    target.kill()


def test_started_target(scratch):
    source = Vm(scratch)
    command = (f"exec qemu-system-x86_64 -nodefaults -display none -machine {MACHINE} -accel tcg -m 128 "
               "-incoming defer -qmp unix:$FERRY_QMP,server=on,wait=off -qmp unix:second,server=on,wait=off")
    move(scratch, source, "--to-exec", command)
    qmp = Qmp(os.path.join(scratch.dir, "second"))
    check(qmp.call("query-status")["status"] == "running", "the target does not run")
    qmp.call("quit")


def test_started_target_fails(scratch):
    source = Vm(scratch)
    move(scratch, source, "--to-exec", "echo no such thing; exit 3", code=5)
    check(codes(scratch) == ["E-QMP-OPEN"], codes(scratch))
    with open(record(scratch)["target"]["log"]) as f:
        check(f.read() == "no such thing\n", "the log is missing")
    check(source.state() == "running", source.state())
    source.kill()


def refused(scratch, code, source, target):
    move(scratch, source, "--to-qmp", target.monitor, code=5)
    check(codes(scratch) == [code], f"{codes(scratch)}, not {code}")
    check(record(scratch)["result"] == "refused", record(scratch))
    check(source.state() == "running", source.state())
    source.kill()
    target.kill()


def test_refused_alias(scratch):
    refused(scratch, "E-MACHINE-ALIAS", Vm(scratch, machine="q35"), waiting(scratch))
    refused(scratch, "E-MACHINE-ALIAS", Vm(scratch), waiting(scratch, machine="q35"))
    refused(scratch, "E-MACHINE-ALIAS", Vm(scratch, machine=None), waiting(scratch, machine=None))


def test_refused_machines(scratch):
    refused(scratch, "E-MACHINE-DIFFERS", Vm(scratch), waiting(scratch, machine="pc-q35-9.2"))
    refused(scratch, "E-MACHINE-VERSION", Vm(scratch, machine="microvm"), waiting(scratch, machine="microvm"))


def test_refused_target_runs(scratch):
    refused(scratch, "E-VM-STATE", Vm(scratch), Vm(scratch))


def begun(scratch, **options):
    """A move so slow that there is time for mischief."""
    source, target = Vm(scratch, **options), waiting(scratch, **options)
    process = start(scratch, source, "--to-qmp", target.monitor, "--bandwidth", SLOW)

    def under_way():
        check(process.running(), process.text())
        text = scratch.run([scratch.ferry, "migration", "show", "-j"], ok=None).stdout
        return text and json.loads(text).get("progress", {}).get("status") == "active"
    wait_until(under_way, "the move is under way")
    return source, target, process


def goes_on_at_source(scratch, source, target, process, result, code):
    got = process.wait(60)
    check(got == code, f"exit {got}, not {code}\n{process.text()}")
    check(record(scratch)["result"] == result, record(scratch))
    check(source.state() == "running", source.state())
    check(target.wait(20) is not None, "the target is still there")
    # And it can still be moved.
    target = waiting(scratch)
    move(scratch, source, "--to-qmp", target.monitor, "--bandwidth", "1000000000")
    check(target.state() == "running", target.state())
    target.kill()


def test_interrupted(scratch):
    source, target, process = begun(scratch)
    os.kill(process.pid, signal.SIGINT)
    goes_on_at_source(scratch, source, target, process, "aborted", 130)


def test_abort(scratch):
    source, target, process = begun(scratch)
    out = scratch.run([scratch.ferry, "migration", "abort"]).stdout
    check("aborted" in out, out)
    goes_on_at_source(scratch, source, target, process, "aborted", 130)


def test_timeout(scratch):
    source, target = Vm(scratch), waiting(scratch)
    process = start(scratch, source, "--to-qmp", target.monitor, "--bandwidth", SLOW, "--timeout", "1")
    goes_on_at_source(scratch, source, target, process, "aborted", 130)


def test_target_killed(scratch):
    source, target, process = begun(scratch)
    os.kill(target.pid, signal.SIGKILL)
    goes_on_at_source(scratch, source, target, process, "failed", 1)


def test_source_killed(scratch):
    source, target, process = begun(scratch)
    os.kill(source.pid, signal.SIGKILL)
    check(process.wait(60) == 1, process.text())
    check(record(scratch)["result"] == "failed", record(scratch))
    check(target.wait(20) is not None, "the target is still there")


def test_driver_killed(scratch):
    """The ferry that drives it dies: QEMU goes on, and the move can still be ended."""
    source, target, process = begun(scratch)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(20)
    listed = scratch.run([scratch.ferry, "migration", "list"]).stdout
    check("abandoned" in listed, listed)
    scratch.run([scratch.ferry, "migration", "abort"])
    def cancelled():
        qmp = Qmp(source.monitor)
        status = qmp.call("query-migrate").get("status")
        qmp.socket.close()
        qmp.lines.close()
        return status == "cancelled"
    wait_until(cancelled, "the move is cancelled")
    check(source.state() == "running", source.state())
    source.kill()
    target.kill()


main()
