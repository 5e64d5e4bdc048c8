# SPDX-License-Identifier: BSD-3-Clause
"""Real kills: hongbaod on a live port of the kernel's, under load from a client that remembers every win
that it was told. SIGKILL at a random moment, start again, compare; over and over.

Runs in a network namespace of its own, and needs root and /dev/net/tun.

usage: test_kills.py BUILD-DIRECTORY [--kills N] [--seed N]
"""
import argparse
import random
import select
import socket
import struct
import sys
import time

import hbclient
import live
from programs import CAMPAIGN, run_tests

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
EPOCH_KEY = bytes(range(16))
CONFIG = {
    "workers": 1, "clock": "wall", "seed": 0, "users": 1500000,
    "ports": [{"profile": "tap", "device": "net_tap0,iface=hb0"}],
}
WINDOW = 32  # requests that are on their way at the same time


class Client:
    """Users who shake once each, until they are answered; and the memory of what they were told."""

    def __init__(self):
        self.socket = None
        self.open = {}    # user -> (datagram, port) not yet answered
        self.told = {}    # user -> (envelope, fen, the reply's bytes)
        self.next_user = 1

    def connect(self):
        """A socket on the link as it is now: the interface is a new one after each kill."""
        if self.socket:
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CLIENT, 4000))
        self.socket.setblocking(False)

    def send(self, user):
        key = hbclient.user_key(EPOCH_KEY, user)
        datagram = hbclient.shake(key, user, CAMPAIGN["id"], 1)
        self.open[user] = (datagram, 8192 + hbclient.shard(user))
        self.socket.sendto(datagram, (SERVER, self.open[user][1]))

    def shake_on(self):
        """Keeps the window full with new users."""
        while len(self.open) < WINDOW:
            self.send(self.next_user)
            self.next_user += 1

    def repeat(self):
        """What wasn't answered is sent again, as a client does."""
        for datagram, port in self.open.values():
            self.socket.sendto(datagram, (SERVER, port))

    def receive(self, wait):
        """Takes the replies that are there; returns how many answered something finally."""
        if not select.select([self.socket], [], [], wait)[0]:
            return 0
        done = 0
        while True:
            try:
                data, (_, port) = self.socket.recvfrom(2048)
            except BlockingIOError:
                return done
            done += self.take(data, port)

    def take(self, data, port):
        """One reply. Users are told apart by the port that they sent to and the seal."""
        assert len(data) == 24, data
        status, = struct.unpack_from("B", data, 1)
        if status == hbclient.Status.BUSY:
            return 0
        assert status == hbclient.Status.WIN, status
        envelope, fen = struct.unpack_from(">QI", data, 8)
        for user, (_, sent_to) in self.open.items():
            key = hbclient.user_key(EPOCH_KEY, user)
            if sent_to == port and hbclient.seal(key, data[:20]) == data[20:24]:
                self.remember(user, envelope, fen, data)
                del self.open[user]
                return 1
        # A second reply to somebody who asked twice: it must be what that user was told.
        assert any(said[2] == data for said in self.told.values()), data.hex()
        return 0

    def remember(self, user, envelope, fen, data):
        said = self.told.setdefault(user, (envelope, fen, data))
        assert said == (envelope, fen, data), (user, said, envelope, fen)


UP = ("ip addr add %s/24 dev hb0 && ip link set hb0 up && "
      "ip neigh replace %s lladdr 02:00:00:00:00:99 dev hb0" % (CLIENT, SERVER))


def load_for(client, seconds):
    """Shakes for so long. A kill may come at any point of it: the caller decides."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.shake_on()
        if client.receive(0.02) == 0:
            client.repeat()


def ask_again(client, users):
    """Each of these users asks once more and must be told the very same."""
    waiting = set(users)
    for _ in range(200):
        for user in list(waiting)[:WINDOW]:
            client.send(user)
        client.receive(0.05)
        waiting -= waiting - client.open.keys()
        if not waiting:
            return
    raise AssertionError(f"{len(waiting)} told wins are not told again")


def kills(p, count, seed):
    """Kills and starts again `count` times."""
    rng = random.Random(seed)
    p.keys()
    p.config(captures=(), campaigns=[live.always()], **CONFIG)
    client, server = Client(), live.Server(p)
    try:
        kill_over_and_over(p, client, server, rng, count, seed)
    finally:
        # A test that fails leaves nothing running.
        server.kill()


def kill_over_and_over(p, client, server, rng, count, seed):
    torn = 0
    for kill in range(count):
        torn += "torn end" in server.start(UP)
        client.connect()
        if client.told:
            ask_again(client, rng.sample(sorted(client.told), min(50, len(client.told))))
        before = len(client.told)
        # At first at any moment, then as soon as something was told.
        load_for(client, rng.uniform(0.005, 0.1))
        while len(client.told) == before:
            load_for(client, 0.01)
        server.kill()
        if sys.stderr.isatty():
            print(f"\r{kill + 1} kills, {len(client.told)} wins told", end="", file=sys.stderr)
    server.start(UP)
    client.connect()
    for start in range(0, len(client.told), 1000):
        ask_again(client, sorted(client.told)[start:start + 1000])
    server.stop()
    audit = p.audit()["campaigns"][0]
    envelopes = {envelope for envelope, _, _ in client.told.values()}
    assert len(envelopes) == len(client.told), "an envelope was told to two"
    assert audit["given"] >= len(client.told) and audit["largest_user_wins"] == 1, audit
    print(f"# {count} kills with seed {seed}: {len(client.told)} wins told and told again, "
          f"{audit['given']} journalled, {torn} torn ends cut", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    missing = live.own_namespace("a kill under load")
    if missing:
        print("1..1\nok 1 - kills # SKIP " + missing)
        return 0

    def killed_and_started_again(p):
        kills(p, args.kills, args.seed)

    print(f"# python3 tests/system/test_kills.py {args.build} --kills {args.kills} --seed {args.seed}")
    return run_tests(args.build, [killed_and_started_again])


sys.exit(main())
