# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod as a service: its unit, what the service manager is told, and its life inside what the unit
forbids."""
import contextlib
import ctypes
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import live
import programs
import sandbox

# Of `systemd-analyze security`, in tenths: what the unit has, and no more.
EXPOSURE = 15

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207

# How EAL calls the threads of its lcores: DPDK 22.11, and before and after it.
WORKER = ("rte-worker-", "lcore-worker-", "dpdk-worker")


# ---- the unit ----------------------------------------------------------------------------

def unit(p, *changes):
    """The unit as built, with the program where it was built; changes: (from, to) in its text."""
    path = p.path("hongbaod.service")
    text = (p.build / "app/hongbaod/hongbaod.service").read_text()
    text, count = re.subn(r"(?m)(?<==)(-?)\S*/hongbaod(?= )", rf"\1{p.build}/app/hongbaod/hongbaod", text)
    assert count == 2, text
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
    return path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL)


def systemd_takes_the_unit(p):
    """Without a word; and it has words for one that is wrong."""
    done = analyze("verify", unit(p))
    assert done.returncode == 0 and not done.stderr, done
    for change in (("Restart=on-failure", "Restart=sometimes"), ("WatchdogSec=", "WatchdogSecs="),
                   ("ExecStart=/", "ExecStart=/none/"), ("@chown", "@chown @nobody"),
                   ("User=", "Usr=")):
        done = analyze("verify", unit(p, change))
        assert done.returncode != 0 or done.stderr, change


def systemd_finds_little_exposed(p):
    """No more than README says; one thing given up is one too many."""
    def security(path):
        return analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", path)

    done = security(unit(p))
    assert done.returncode == 0, done.stdout
    level, = re.findall(r"Overall exposure level for hongbaod.service: ([0-9.]+)", done.stdout)
    assert float(level) * 10 == EXPOSURE, level
    for change in (("\nCapabilityBoundingSet=\n", "\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"),
                   ("NoNewPrivileges=yes", "NoNewPrivileges=no"),
                   ("ProtectSystem=strict", "ProtectSystem=no"),
                   ("SystemCallFilter=~@privileged @keyring", "SystemCallFilter=@mount")):
        done = security(unit(p, change))
        assert done.returncode != 0, (change, done.stdout)


def the_unit_keeps_its_promises(p):
    """What README and the programs' own texts say of it."""
    found = sandbox.settings(unit(p))
    assert found["Type"] == ["notify"] and found["User"] == found["Group"] == ["hongbao"], found
    assert found["RestartPreventExitStatus"] == ["2 3"], found
    assert [line for line in found["ExecStartPre"] if " --check -c " in line], found
    assert found["LimitMEMLOCK"] == ["infinity"] and found["LimitCORE"] == ["0"], found
    assert "char-vfio rw" in found["DeviceAllow"], found


def the_user_can_be_made(p):
    """By systemd-sysusers, into a system of its own: in the group that its NICs are given to."""
    source = Path(__file__).resolve().parents[2] / "app/hongbaod"
    (p.path("root/etc")).mkdir(parents=True)
    done = subprocess.run(
        ["systemd-sysusers", f"--root={p.path('root')}", source / "hongbao.sysusers"],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nhongbao:" in "\n" + p.path("root/etc/passwd").read_text()
    assert re.search(r"(?m)^vfio:.*:hongbao$", p.path("root/etc/group").read_text())
    assert 'GROUP="vfio"' in (source / "hongbao.rules").read_text()


# ---- what the manager is told ------------------------------------------------------------

class Service:
    """hongbaod on c.yaml, and a socket that stands for the service manager."""

    def __init__(self, p, watchdog_us=None, enter=None, **environment):
        self.directory = tempfile.TemporaryDirectory(prefix="hongbao-unit-")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = self.directory.name + "/notify"
        self.socket.bind(name)
        self.stderr = p.path("stderr")
        self.heard = []  # (time, {name: value}), as far as anybody listened
        self.begun = time.monotonic()
        environment["NOTIFY_SOCKET"] = name
        if watchdog_us:
            environment["WATCHDOG_USEC"] = str(watchdog_us)
        with open(self.stderr, "wb") as stderr:
            self.process = subprocess.Popen(
                [p.build / "app/hongbaod/hongbaod", "-c", "c.yaml", "--", "--no-huge", "-m", "256"],
                cwd=p.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env={**os.environ, **environment}, preexec_fn=enter)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.socket.close()
        self.directory.cleanup()

    def said(self):
        return self.stderr.read_text()

    def listen(self, seconds):
        """The next message, None when none comes in time."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            text = self.socket.recv(4096).decode()
        except socket.timeout:
            return None
        message = dict(line.split("=", 1) for line in text.split("\n"))
        self.heard.append((time.monotonic(), message))
        return message

    def wait_for(self, name, pattern=".", seconds=60):
        """Until it has told something."""
        end = time.monotonic() + seconds
        while True:
            message = self.listen(0.1)
            if message and re.search(pattern, message.get(name, "")):
                return message
            assert time.monotonic() < end, (name, pattern, self.heard[-20:], self.said())
            if message is None:
                assert self.process.poll() is None, (self.process.returncode, self.said())

    def drain(self):
        while self.listen(0):
            pass

    def times(self, name):
        return [when for when, message in self.heard if name in message]

    def end(self):
        """SIGTERM; returns the exit code, everything that it told before heard."""
        self.process.terminate()
        self.wait_for("STOPPING")
        code = self.process.wait(60)
        self.drain()
        return code


def idle(p, **keys):
    """A configuration on which nothing comes but frames that are none."""
    p.keys()
    settings = {"workers": 1, "ports": [{"profile": "null", "device": "net_null0,size=66,copy=0"}]}
    p.config(captures=(), clock="wall", users=1000, **{**settings, **keys})


def it_is_ready_when_it_serves(p):
    """Not before its journal is there: on a disk that takes a second for each write. Then its status,
    and at the end that it stops."""
    idle(p)
    with Service(p, **p.bad_disk(us=1000000)) as service:
        assert service.wait_for("STATUS") == {"STATUS": "starting"}
        message = service.wait_for("READY")
        took = time.monotonic() - service.begun
        assert message == {"READY": "1", "STATUS": "serving"}, message
        assert took > 1 and "hongbaod: 1 worker, " in service.said(), (took, service.said())
        assert worker_thread(service.process.pid)
        service.wait_for(
            "STATUS", r"^serving: [1-9][0-9,]* requests/s, 0 wins/s, 0 wins since the start$")
        assert service.end() == 0, service.said()
    told = [set(message) for _, message in service.heard]
    assert {"STOPPING", "STATUS"} == told[-1], told
    assert len(service.times("READY")) == len(service.times("STOPPING")) == 1, told
    assert not service.times("WATCHDOG"), told


def it_is_not_ready_when_it_cannot_start(p):
    """A configuration that is wrong, a device that isn't there."""
    for keys, code in (({"workers": 0}, 3),
                       ({"ports": [{"profile": "null", "device": "net_null0,size=x"}]}, 4)):
        idle(p, **keys)
        with Service(p) as service:
            assert service.process.wait(60) == code, service.said()
            service.drain()
            assert not service.times("READY"), service.heard
            assert service.said().splitlines()[-1].startswith("hongbaod: "), service.said()


def its_status_tells_what_it_gives(p):
    """The wins of a capture; told once, as nothing changes afterwards."""
    p.keys()
    p.trace("gala-2015", 20000, 5000)
    p.config()
    with Service(p) as service:
        message = service.wait_for("STATUS", r"^serving: 0 requests/s, 0 wins/s, [1-9][0-9,]* wins")
        assert not service.listen(2.5), service.heard
        assert service.end() == 0, service.said()
    wins, = (campaign["given"] for campaign in p.audit()["campaigns"])
    assert message["STATUS"].endswith(f" {wins:,} wins since the start"), (message, wins)


def it_tells_of_a_disk_that_fails(p):
    p.keys()
    p.trace("gala-2015", 20000, 5000)
    p.config()
    with Service(p, **p.bad_disk(after=4, errno=5)) as service:
        service.wait_for("STATUS", r"the journal's disk takes no wins: Input/output error$")
        service.process.terminate()
        service.wait_for("STOPPING")
        assert service.process.wait(60) == 1, service.said()


@contextlib.contextmanager
def stopped(thread):
    """Keeps one thread of a process from running, as a debugger does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    assert libc.ptrace(PTRACE_SEIZE, thread, None, None) == 0, ctypes.get_errno()
    assert libc.ptrace(PTRACE_INTERRUPT, thread, None, None) == 0
    os.waitpid(thread, 0x40000000)  # __WALL
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, thread, None, None)


def worker_thread(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(WORKER):
            return int(task.name)
    raise AssertionError([path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")])


def it_lives_while_its_workers_turn(p):
    """Signs of life come twice in the watchdog's time; none while a worker stands still, which is said;
    and again when it goes on."""
    idle(p)
    with Service(p, watchdog_us=600000) as service:
        service.wait_for("READY")
        for _ in range(12):
            service.wait_for("WATCHDOG")
        at = service.times("WATCHDOG")
        gap = statistics.median(b - a for a, b in zip(at, at[1:]))
        assert 0.29 < gap < 0.45, gap
        with stopped(worker_thread(service.process.pid)):
            service.drain()
            before = len(service.times("WATCHDOG"))
            end = time.monotonic() + 20
            while "stands still" not in service.said():
                assert time.monotonic() < end, service.said()
                service.listen(0.1)
            for _ in range(10):
                service.listen(0.2)
            # One may have been due already: it turned since the one before.
            assert len(service.times("WATCHDOG")) <= before + 1, service.heard
            assert service.said().count("hongbaod: worker 0 stands still for ") == 1, service.said()
        service.wait_for("WATCHDOG", seconds=10)
        assert service.end() == 0, service.said()


def the_journal_of_systemd_gets_priorities(p):
    """Where stderr is the stream that systemd made."""
    idle(p, workers=0)
    read, write = os.pipe()
    at = os.fstat(write)
    done = subprocess.run(
        [p.build / "app/hongbaod/hongbaod", "-c", p.path("c.yaml")], stderr=write, check=False,
        env={**os.environ, "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"})
    os.close(write)
    with os.fdopen(read) as f:
        said = f.read()
    assert done.returncode == 3 and said.startswith("<3>/") and "workers" in said, said


# ---- inside what the unit forbids --------------------------------------------------------

FORBIDDEN = """
import ctypes, errno, mmap, os, socket
def refused(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
libc = ctypes.CDLL(None, use_errno=True)
def raw(*call):
    if libc.syscall(*call) < 0:
        raise OSError(ctypes.get_errno(), "")
print(refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
      refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
      refused(lambda: raw(321, 0, 0, 0)),  # bpf
      refused(lambda: os.setuid(os.getuid() + 1)),
      refused(lambda: mmap.mmap(-1, 4096)), refused(lambda: socket.socket(socket.AF_UNIX)))
"""


def without_leaks():
    """A sanitizer looks for leaks as a debugger, which is forbidden too."""
    return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def it_serves_inside_its_sandbox(p):
    """A capture, with the journal on and a vhost socket beside it, under the unit's filters and without
    any capability."""
    box = sandbox.Sandbox(unit(p))
    done = subprocess.run([sys.executable, "-c", FORBIDDEN], preexec_fn=box.enter, check=True, text=True,
                          capture_output=True)
    assert done.stdout.split() == ["EPERM", "EAFNOSUPPORT", "EPERM", "EPERM", "None", "None"], done
    p.keys()
    p.trace("gala-2015", 20000, 5000)
    p.config(clock="wall", ports=[
        {"profile": "pcap", "device": "net_pcap0,rx_pcap=requests.pcap,tx_pcap=replies.pcap"},
        {"profile": "vhost", "device": f"net_vhost0,iface={p.path('vhost')},queues=1"}],
        campaigns=[live.always()])
    with Service(p, enter=box.enter, **without_leaks()) as service:
        service.wait_for("READY")
        service.wait_for("STATUS", r" [1-9][0-9,]* wins since the start$")
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(str(p.path("vhost")))
        assert service.end() == 0, service.said()
    assert programs.wins_in(p.path("replies.pcap"))
    assert p.audit()


programs.main([
    systemd_takes_the_unit,
    systemd_finds_little_exposed,
    the_unit_keeps_its_promises,
    the_user_can_be_made,
    it_is_ready_when_it_serves,
    it_is_not_ready_when_it_cannot_start,
    its_status_tells_what_it_gives,
    it_tells_of_a_disk_that_fails,
    it_lives_while_its_workers_turn,
    the_journal_of_systemd_gets_priorities,
    it_serves_inside_its_sandbox,
])
