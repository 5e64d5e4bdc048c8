# SPDX-License-Identifier: BSD-3-Clause
"""A hongbaod that is tuned while it runs, and users at its port: what its tests share."""
import functools
import json
import socket
import struct
import subprocess
import sys
import threading
import time

import hbclient
import live
import programs
from hbclient import Status
from programs import CAMPAIGN, KEYS

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
EPOCH_KEYS = {0: bytes(range(16)), 1: bytes([0xB1] * 16)}
TWO_KEYS = KEYS.replace(" }", ", 1: %s }" % EPOCH_KEYS[1].hex())
UP = ("ip addr add %s/24 dev hb0 && ip link set hb0 up && "
      "ip neigh replace %s lladdr 02:00:00:00:00:99 dev hb0" % (CLIENT, SERVER))

MANY = {**CAMPAIGN, "odds": 1, "wins_per_user": 1000,
        "envelopes": {"count": 1000000, "total": 50000000, "split": "lucky"}}
FEW = {**CAMPAIGN, "id": 8, "name": "few", "odds": 1, "wins_per_user": 1000,
       "envelopes": {"count": 5, "total": 500, "split": "equal"}}


class Daemon(live.Server):
    """hongbaod on a link of the kernel's, with two workers, tuned through hongbaoctl."""
    made = []

    def __init__(self, p, campaigns=None, **keys):
        super().__init__(p)
        p.keys()
        p.config(campaigns=campaigns or [MANY, FEW], **{
            "workers": 2, "clock": "wall", "seed": 0, "users": 300000,
            "ports": [{"profile": "tap", "device": "net_tap0,iface=hb0"}], **keys})
        self.path = str(p.path("journal") / "control.sock")
        Daemon.made.append(self)

    def start(self, *arguments, **more):  # pylint: disable=arguments-differ
        said = super().start(UP, *arguments, **more)
        self.ctl("ping", "--wait")
        return said

    def run(self, *words):
        """hongbaoctl, as a person or a script has it."""
        return subprocess.run(
            [self.p.build / "app/hongbaoctl/hongbaoctl", "-s", self.path, *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def ctl(self, *words):
        """A command that must succeed; returns its result."""
        done = self.run("--json", *words)
        assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr, self.read(0))
        return json.loads(done.stdout)

    def change(self, *words):
        """A change that must be in force on every worker, soon."""
        result = self.ctl(*words)
        assert result["seen_by_all"] and result["workers"] == 2, result
        return result


class User:
    """Somebody at the port."""
    last = 0

    def __init__(self, epoch=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CLIENT, 0))
        self.epoch = epoch

    def ask(self, campaign, user=None, seq=1, seconds=0.2, tries=25):
        """A new user's first shake, or the user's: the status, and where it is WIN the envelope too; None
        where there is no answer."""
        if user is None:
            User.last += 1
            user = User.last
        key = hbclient.user_key(EPOCH_KEYS[self.epoch], user)
        datagram = hbclient.shake(key, user, campaign, seq, epoch=self.epoch)
        self.socket.settimeout(seconds)
        for _ in range(tries):
            self.socket.sendto(datagram, (SERVER, 8192 + hbclient.shard(user)))
            try:
                data = self.socket.recv(2048)
                while struct.unpack_from(">I", data, 4)[0] != seq:
                    data = self.socket.recv(2048)
            except (socket.timeout, ConnectionError):
                continue
            return Status(data[1])
        return None


class Crowd(threading.Thread):
    """Users who shake campaign 7 all the while, in the background: so many at once, then a rest, so that the
    CPU is left to those who are looked at."""

    def __init__(self, window=32, rest=0.002):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CLIENT, 0))
        self.socket.settimeout(0.05)
        self.window = window
        self.rest = rest
        self.over = False
        self.answers = {}
        self.user = 1 << 40

    def run(self):
        while not self.over:
            for _ in range(self.window):
                self.user += 1
                key = hbclient.user_key(EPOCH_KEYS[0], self.user)
                self.socket.sendto(hbclient.shake(key, self.user, 7, 1),
                                   (SERVER, 8192 + hbclient.shard(self.user)))
            try:
                for _ in range(self.window):
                    status = Status(self.socket.recv(2048)[1])
                    self.answers[status] = self.answers.get(status, 0) + 1
            except socket.timeout:
                pass
            time.sleep(self.rest)

    def end(self):
        self.over = True
        self.join()
        return self.answers


def ended(test):
    """A test after which no daemon of its own runs, however it went."""
    @functools.wraps(test)
    def run(p):
        try:
            return test(p)
        finally:
            while Daemon.made:
                Daemon.made.pop().kill()
    return run


def main(tests):
    """Runs tests in a network namespace of their own."""
    if reason := live.own_namespace("tuning"):
        print(f"1..0 # SKIP {reason}")
        sys.exit(0)
    programs.main([ended(test) for test in tests])
