# SPDX-License-Identifier: BSD-3-Clause
"""A hongbaod on interfaces of the kernel's, in a network namespace of the test's own, and sockets as
its clients."""
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from programs import CAMPAIGN, Running


def own_namespace(what):
    """Runs this program again in a network namespace of its own; once there, returns None. Returns the
    reason where that cannot be."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return f"{what} needs root and /dev/net/tun"
    if "HONGBAO_NAMESPACE" not in os.environ:
        os.environ["HONGBAO_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    return None


def sh(commands):
    """Runs a line of the shell, which must succeed; returns what it printed."""
    done = subprocess.run(commands, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (commands, done.stdout, done.stderr)
    return done.stdout


def where(pid):
    """What each thread of a process is waiting for in the kernel."""
    threads = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            threads[(task / "comm").read_text().strip() + " " + task.name] = (
                (task / "wchan").read_text(), (task / "syscall").read_text().split()[0],
                (task / "stack").read_text().split("\n")[:6])
        except OSError as error:
            threads[task.name] = str(error)
    return threads


class Server(Running):
    """hongbaod on a configuration of Programs."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def start(self, up="", eal=("--no-huge", "-m", "256"), **environment):
        """Starts it, and once its interfaces are there runs `up`, a line of the shell."""
        self.launch([self.p.build / "app/hongbaod/hongbaod", "-c", self.p.path("c.yaml"), "--report",
                     self.p.path("report.json"), "--", *eal], **environment)
        self.wait_for("steer")
        if up:
            sh(up)
        return self.said

    def state(self):
        return where(self.process.pid)

    def stop(self):
        """Ends it as an operator does; returns the report."""
        assert self.end() == 0, self.said
        return json.loads(self.p.path("report.json").read_text())


def ask(address, datagram, port, tries=50, bind=None):
    """An ordinary client: sends a datagram from a socket of its own until it is answered; returns the
    reply."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        if bind:
            s.bind((bind, 0))
        s.settimeout(0.2)
        for _ in range(tries):
            try:
                s.sendto(datagram, (address, port))
                data, sender = s.recvfrom(2048)
            except (socket.timeout, OSError):
                time.sleep(0.02)
                continue
            assert sender[:2] == (address, port), (sender, address, port)
            return data
    raise AssertionError(f"{address} doesn't answer")


def always(**more):
    """A campaign in which everybody wins."""
    return {**CAMPAIGN, "odds": 1, "envelopes": {
        "count": 1000000, "total": 2000000, "split": "lucky"}, **more}
