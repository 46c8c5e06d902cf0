# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
"""What the integration tests share: hosts, clients and guests in a scratch folder, and TAP.

A test program defines functions test_*(scratch) and calls main(). Everything a test starts is a
descendant of the test program, which is their subreaper, and is killed by pid when the test ends.

FERRY_TEST_BUILD   the build folder, instead of build/ in this checkout
FERRY_TEST_NO_XDG  run without XDG_* variables, as a container does
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FERRY_TEST_BUILD", os.path.join(TOP, "build"))
GUEST = os.path.join(TOP, "build", "guest")
QEMU11 = os.path.join(TOP, "build", "qemu11")
BDF = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b")
PR_SET_CHILD_SUBREAPER = 36


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_until(condition, what, timeout=20.0):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {timeout:g} s in vain: {what}")
        time.sleep(0.01)


def children(pid):
    """Live descendants of a process, zombies left out."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                parents[int(entry)] = int(fields[1])
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        for child, of in parents.items():
            if of == parent:
                found.append(child)
                queue.append(child)
    return found


def remove_tree(path):
    """Removes a folder; those of a shadow tree are read-only."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


class Process:
    """A program in its own process group, with its output in a file."""

    def __init__(self, args, env, cwd, log):
        self.args = [str(a) for a in args]
        self.log = log
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(self.args, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.popen.pid

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=60.0):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {timeout:g} s: {' '.join(self.args)}\n{self.text()}")

    def wait_for(self, pattern, timeout=60.0):
        """Waits until the output matches; a program that ends before that fails the test."""
        def found():
            over = not self.running()
            match = re.search(pattern, self.text())
            if not match and over:
                raise Failure(f"ended with {self.popen.returncode} before {pattern!r}: "
                              f"{' '.join(self.args)}\n{self.text()}")
            return match
        try:
            return wait_until(found, pattern, timeout)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.text()}") from None

    def kill(self):
        """Kills the whole group, and waits until the last of it is gone."""
        if self.running():
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait()
            try:
                while True:
                    os.waitpid(-self.pid, 0)
            except ChildProcessError:
                pass


class Qmp:
    """A client of QEMU's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rw")
        json.loads(self.lines.readline())
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise Failure(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


class Qemu(Process):
    """A QEMU under ferry run; its output and the guest's serial line share one file."""

    def __init__(self, scratch, prefix, args, program):
        self.monitor = os.path.join(scratch.dir, f"qmp{scratch.next_number()}")
        super().__init__([*prefix, program, "-nodefaults", "-display", "none", "-serial", "stdio",
                          "-qmp", f"unix:{self.monitor},server=on,wait=off", *args],
                         scratch.env, scratch.dir, scratch.log_path("qemu"))

    def qmp(self):
        wait_until(lambda: os.path.exists(self.monitor) or not self.running(), "QEMU's monitor")
        return Qmp(self.monitor)

    def finish(self, timeout=180.0):
        """Waits for the guest's verdict and for QEMU's end; returns what was on the serial line."""
        code = int(self.wait_for(r"FERRY-GUEST-EXIT (\d+)", timeout).group(1))
        check(code == 0, f"the guest's script failed\n{self.text()}")
        check(self.wait() == 0, f"QEMU ended with {self.popen.returncode}\n{self.text()}")
        return self.text()


class Host:
    """A running ferryd."""

    def __init__(self, scratch, name):
        self.scratch = scratch
        self.name = name
        self.daemon = scratch.spawn([scratch.ferryd, "--host", name], "ferryd")
        def reachable():
            check(self.daemon.running(), f"ferryd ended with {self.daemon.popen.returncode}\n{self.daemon.text()}")
            return self.ferry("ls", ok=None).returncode == 0
        wait_until(reachable, "ferryd answers")

    def ferry(self, *args, **options):
        return self.scratch.run([self.scratch.ferry, "-H", self.name, *args], **options)

    @property
    def prefix(self):
        """What to put before a program that is to run on this host."""
        return [self.scratch.ferry, "-H", self.name, "run", "--"]

    def run(self, *args, **options):
        return self.scratch.run([*self.prefix, *args], **options)

    def spawn(self, *args):
        return self.scratch.spawn([*self.prefix, *args], "client")

    def namespace(self, name="disk0", size="64M"):
        """Creates a namespace on a file of its own; returns the file's path."""
        path = os.path.join(self.scratch.dir, f"{self.name}-{name}.raw")
        self.ferry("namespace", "create", name, "--backing", f"file:{path}", "--size", size)
        return path

    def nvme(self, serial="F0001", ns="disk0", driver="vfio-pci"):
        """Adds an NVMe function; returns its address."""
        out = self.ferry("function", "add", "--type", "nvme", "--serial", serial, "--ns", ns,
                         "--driver", driver).stdout
        match = BDF.search(out)
        check(match, f"function add printed no address: {out!r}")
        return match.group(0)

    def disk(self, size="64M", serial="F0001", ns="disk0"):
        """A namespace and a function that has it; returns address and file."""
        path = self.namespace(ns, size)
        return self.nvme(serial, ns), path

    def qemu(self, *args, program="qemu-system-x86_64"):
        return Qemu(self.scratch, self.prefix, args, program)

    def counts(self):
        """What the daemon holds: numbers of fds, threads and mapped files.

        Anonymous mappings don't count: the C library keeps some of an ended thread's for the next."""
        proc = f"/proc/{self.daemon.pid}"
        with open(f"{proc}/maps") as f:
            maps = sum(1 for line in f if line.split()[4] != "0")
        return {"fd": len(os.listdir(f"{proc}/fd")), "task": len(os.listdir(f"{proc}/task")), "maps": maps}

    def wait_counts(self, base):
        """Waits until the daemon holds no more than before."""
        def settled():
            now = self.counts()
            return all(now[what] <= base[what] for what in base)
        try:
            wait_until(settled, "the daemon lets go")
        except Failure:
            fds = subprocess.run(["ls", "-l", f"/proc/{self.daemon.pid}/fd"], capture_output=True, text=True).stdout
            raise Failure(f"left behind: before {base}, now {self.counts()}\n{fds}") from None

    def stop(self):
        self.daemon.popen.send_signal(signal.SIGTERM)
        check(self.daemon.wait(20) == 0, f"ferryd ended with {self.daemon.popen.returncode}\n{self.daemon.text()}")


class Scratch:
    """A folder, an environment, and everything that one test started."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="ft-", dir="/tmp")
        self.ferry = os.path.join(BUILD, "ferry")
        self.ferryd = os.path.join(BUILD, "ferryd")
        self.hosts = set()
        self.number = 0
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "FERRY_"))}
        self.env["HOME"] = self.dir
        self.env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        # Without a private runtime folder, names keep concurrent tests apart.
        self.suffix = str(os.getpid()) if "FERRY_TEST_NO_XDG" in os.environ else ""
        if not self.suffix:
            for kind in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME"):
                path = os.path.join(self.dir, kind[:3].lower())
                os.mkdir(path, 0o700)
                self.env[f"XDG_{kind}"] = path

    def next_number(self):
        self.number += 1
        return self.number

    def log_path(self, name):
        return os.path.join(self.dir, f"{name}{self.next_number()}.log")

    def spawn(self, args, name="program"):
        return Process(args, self.env, self.dir, self.log_path(name))

    def run(self, args, ok=True, timeout=60.0, input=None):
        """Runs to the end. ok=True: must succeed, False: must fail, None: either."""
        args = [str(a) for a in args]
        popen = subprocess.Popen(args, env=self.env, cwd=self.dir, text=True, errors="replace", start_new_session=True,
                                 stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = popen.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            out, err = popen.communicate()
            raise Failure(f"still running after {timeout:g} s: {' '.join(args)}\n{out}{err}")
        done = subprocess.CompletedProcess(args, popen.returncode, out, err)
        if ok is not None and (done.returncode == 0) != ok:
            raise Failure(f"exit {done.returncode}: {' '.join(args)}\n{out}{err}")
        return done

    def host(self, name="a"):
        self.hosts.add(name + self.suffix)
        return Host(self, name + self.suffix)

    def qemu_img(self, *args):
        return self.run(["qemu-img", *args])

    def runtime_files(self):
        """What hosts have left in the runtime folder."""
        root = self.env.get("XDG_RUNTIME_DIR")
        return sorted(os.path.join(d, f) for d, _, names in os.walk(root) for f in names) if root else []

    def logs(self):
        text = ""
        for name in sorted(os.listdir(self.dir)):
            if name.startswith("ferryd") and name.endswith(".log"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    text += f"--- {name}\n" + f.read()[-4000:]
        return text

    def close(self):
        while True:
            for pid in children(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.01)
        base = "/run/ferry" if os.getuid() == 0 else f"/tmp/ferry-{os.getuid()}"
        for name in self.hosts if self.suffix else ():
            remove_tree(os.path.join(base, name))
        remove_tree(self.dir)


def guest_image():
    """Makes the guest's kernel and initrd where that is possible, and says where they are."""
    if os.access(os.path.dirname(GUEST), os.W_OK):
        subprocess.run([os.path.join(TOP, "tests/integration/guest/build")], check=True, stdout=subprocess.DEVNULL)
    if not os.path.exists(os.path.join(GUEST, "stamp")):
        raise Skip("build/guest is missing and cannot be made here")
    return GUEST


def machine(memory="private", size=512):
    """Options of a guest whose RAM is private to QEMU, or a shared memfd."""
    args = ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "4", "-m", str(size)]
    if memory == "memfd":
        return ["-M", "q35,memory-backend=ram", "-object",
                f"memory-backend-memfd,id=ram,size={size}M,share=on", *args]
    return ["-M", "q35", *args]


def kernel(script, *words):
    """Options that boot the guest's kernel and run one of its scripts."""
    image = guest_image()
    args = ",".join(str(w) for w in words)
    return ["-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd.img", "-append",
            f"console=ttyS0 quiet loglevel=3 panic=-1 ferry.run={script} ferry.args={args}"]


def vfio(address, iommufd=True, **options):
    """Options that give a function to the guest, by iommufd or by group and container."""
    extra = "".join(f",{k}={v}" for k, v in options.items())
    if iommufd:
        return ["-object", "iommufd,id=iommufd0", "-device", f"vfio-pci,host={address},iommufd=iommufd0{extra}"]
    return ["-device", f"vfio-pci,host={address}{extra}"]


def qemu11():
    """The newer QEMU that scripts/setup --qemu11 makes."""
    program = os.path.join(QEMU11, "qemu-system-x86_64")
    if not os.path.exists(program):
        raise Skip("build/qemu11 is missing: scripts/setup --qemu11")
    return program


def main():
    """Runs the test_* functions of the calling program, or those named on the command line."""
    tests = {n: f for n, f in vars(sys.modules["__main__"]).items() if n.startswith("test_")}
    names = [n for n in tests if len(sys.argv) == 1 or any(a in n for a in sys.argv[1:])]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"1..{len(names)}")
    failed = skipped = 0
    for number, name in enumerate(names, 1):
        scratch = Scratch()
        try:
            tests[name](scratch)
            print(f"ok {number} - {name}")
        except Skip as reason:
            skipped += 1
            print(f"ok {number} - {name} # SKIP {reason}")
        except Exception as error:
            failed += 1
            print(f"not ok {number} - {name}")
            text = str(error) if isinstance(error, Failure) else traceback.format_exc()
            at = traceback.extract_tb(error.__traceback__)
            where = next((f for f in reversed(at) if f.filename != __file__), at[-1])
            for line in f"{os.path.basename(where.filename)}:{where.lineno}: {text}\n{scratch.logs()}".splitlines():
                print(f"# {line}")
        finally:
            scratch.close()
    sys.exit(1 if failed else 77 if names and skipped == len(names) else 0)
