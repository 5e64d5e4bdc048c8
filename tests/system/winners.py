# SPDX-License-Identifier: BSD-3-Clause
"""A client of a live hongbaod that remembers every answer with money that it was told, for tests that kill."""
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
ISSUER_KEY = bytes(range(16, 32))
CONFIG = {
    "workers": 1, "clock": "wall", "seed": 0, "users": 1500000,
    "ports": [{"profile": "tap", "device": "net_tap0,iface=hb0"}],
}
WINDOW = 32  # requests that are on their way at the same time


class Client:
    """Users who shake once each, until they are answered, packets that are funded and grabbed; and the
    memory of what they were told.

    What is asked is known by a tuple: ("shake", user), ("bundle", user), ("pack", packet) or ("grab",
    packet, user). All of it is answered with money, so that the seal says whose reply it is.
    """

    WANTED = {"shake": hbclient.Status.WIN, "bundle": hbclient.Status.BUNDLE,
              "pack": hbclient.Status.PACKED, "grab": hbclient.Status.WIN}
    SHARES = 3

    def __init__(self):
        self.socket = None
        self.open = {}    # what -> (datagram, port, key) not yet answered
        self.told = {}    # what -> the reply's bytes
        self.next = 1

    def connect(self):
        """A socket on the link as it is now: the interface is a new one after each kill."""
        if self.socket:
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CLIENT, 4000))
        self.socket.setblocking(False)

    @classmethod
    def request(cls, what):
        """The datagram, the port that it goes to and the key of its seal."""
        kind, first = what[:2]
        user = what[-1]
        key = hbclient.user_key(EPOCH_KEY, user)
        if kind in ("shake", "bundle"):
            campaign = CAMPAIGN["id"] + (kind == "bundle")
            data = hbclient.shake(key, user, campaign, 1)
        elif kind == "grab":
            data = hbclient.grab(key, user, 1, first)
        else:
            key = ISSUER_KEY
            # Each second one is over at once, and goes back.
            data = hbclient.pack(key, 9, 1, first, 100, cls.SHARES, 2, 24 if first % 2 else 0)
        return data, 8192 + hbclient.shard(first), key

    def send(self, what):
        self.open[what] = self.request(what)
        datagram, port, _ = self.open[what]
        self.socket.sendto(datagram, (SERVER, port))

    def ask_on(self):
        """Keeps the window full: of four, two shakes, a shake for a bundle, and a packet."""
        while len(self.open) < WINDOW:
            kind = ("shake", "shake", "bundle", "pack")[self.next % 4]
            self.send((kind, self.next // 4 + 1 if kind == "pack" else self.next))
            self.next += 1

    def repeat(self):
        """What wasn't answered is sent again, as a client does."""
        for datagram, port, _ in self.open.values():
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
        """One reply. What it answers is told by the port that was sent to and the seal."""
        assert len(data) == 24, data
        status, = struct.unpack_from("B", data, 1)
        if status == hbclient.Status.BUSY:
            return 0
        named, = struct.unpack_from(">Q", data, 8)
        for what, (_, sent_to, key) in self.open.items():
            # One user grabs from several packets, and one key seals every PACKED.
            if what[0] in ("grab", "pack") and what[1] != named:
                continue
            if sent_to == port and hbclient.seal(key, data[:20]) == data[20:24]:
                assert status == self.WANTED[what[0]], (what, data.hex())
                del self.open[what]
                self.remember(what, data)
                return 1
        # A second reply to somebody who asked twice: it must be what that user was told.
        assert data in self.told.values(), data.hex()
        return 0

    def remember(self, what, data):
        """What was told is told again in the same bytes. A packet is grabbed as soon as it is known."""
        new = what not in self.told
        assert self.told.setdefault(what, data) == data, (what, self.told[what].hex(), data.hex())
        packet, = struct.unpack_from(">Q", data, 8)
        if new and (what[0] == "bundle" or (what[0] == "pack" and packet % 2)):
            for user in range(self.SHARES if what[0] == "pack" else 1):
                self.send(("grab", packet, 1000000 + user))


UP = ("ip addr add %s/24 dev hb0 && ip link set hb0 up && "
      "ip neigh replace %s lladdr 02:00:00:00:00:99 dev hb0" % (CLIENT, SERVER))


def load_for(client, seconds):
    """Shakes for so long. A kill may come at any point of it: the caller decides."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.ask_on()
        if client.receive(0.02) == 0:
            client.repeat()


def ask_again(client, told):
    """Each of these is asked once more and must be answered with the very same."""
    waiting = set(told)
    for _ in range(200):
        for what in list(waiting)[:WINDOW]:
            client.send(what)
        client.receive(0.05)
        waiting -= waiting - client.open.keys()
        if not waiting:
            return
    raise AssertionError(f"{len(waiting)} of what was told is not told again")


def main(doc, kills, test, missing=None):
    """The program of a test that takes a Programs, how many kills, and a seed."""
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    why = live.own_namespace("a kill under load") or missing
    if why:
        print(f"1..1\nok 1 - {test.__name__} # SKIP {why}")
        return 0

    def seeded(p):
        test(p, args.kills, args.seed)

    seeded.__name__ = test.__name__
    print(f"# python3 {sys.argv[0]} {args.build} --kills {args.kills} --seed {args.seed}")
    return run_tests(args.build, [seeded])
