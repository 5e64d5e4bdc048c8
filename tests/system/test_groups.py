# SPDX-License-Identifier: BSD-3-Clause
"""Group packets at a live port of the kernel's, with two workers: funded, grabbed, refunded; a bundle's
winner passes the id on at once, from another core; what the operator sees; and all of it after a restart.

Runs in a network namespace of its own, and needs root and /dev/net/tun.

usage: test_groups.py BUILD-DIRECTORY [TEST ...]
"""
import json
import struct
import subprocess
import sys
import time

import hbclient
import live
from hbclient import Status
from programs import CAMPAIGN, main

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
EPOCH_KEY, ISSUER_KEY = bytes(range(16)), bytes(range(16, 32))
UP = ("ip addr add %s/24 dev hb0 && ip link set hb0 up && "
      "ip neigh replace %s lladdr 02:00:00:00:00:99 dev hb0" % (CLIENT, SERVER))
BUNDLES = live.always(id=8, bundle={"shares": 3, "split": "lucky", "hours": 24})


def owner(key):
    """Which of the two workers owns a user or packet."""
    return hbclient.shard(key) % 128 * 2 // 128


def ask(datagram, key):
    """Sends to the port of the key's shard: the status, the id and the value of the reply."""
    data = live.ask(SERVER, datagram, 8192 + hbclient.shard(key))
    return Status(data[1]), *struct.unpack_from(">QI", data, 8)


def shake(user, campaign=8):
    key = hbclient.user_key(EPOCH_KEY, user)
    return ask(hbclient.shake(key, user, campaign, 1), user)


def grab(packet, user, seq=1):
    key = hbclient.user_key(EPOCH_KEY, user)
    return ask(hbclient.grab(key, user, seq, packet), packet)


def pack(packet, user=900, total=1000, shares=3, split=2, hours=24):
    return ask(hbclient.pack(ISSUER_KEY, user, 1, packet, total, shares, split, hours), packet)


class Daemon(live.Server):
    """hongbaod with two workers, and hongbaoctl."""

    def __init__(self, p, **keys):
        super().__init__(p)
        p.keys()
        p.config(captures=(), campaigns=[CAMPAIGN, BUNDLES], **{
            "workers": 2, "clock": "wall", "seed": 0, "users": 300000,
            "ports": [{"profile": "tap", "device": "net_tap0,iface=hb0"}], **keys})

    def run(self, *words):
        return subprocess.run(
            [self.p.build / "app/hongbaoctl/hongbaoctl", "-s", self.p.path("journal") / "control.sock",
             "--json", *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def ctl(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def up(self):
        self.start(UP)
        self.ctl("ping", "--wait")


def a_bundle_is_passed_on_at_once_from_another_core(p):
    """The winner's packet is on the winner's core. The friends are users of the other core, and their
    GRABs find it by the id alone, as soon as the winner knows it."""
    d = Daemon(p)
    try:
        d.up()
        won = {}
        for user in range(1, 41):
            status, packet, fen = won[user] = shake(user)
            assert status == Status.BUNDLE and fen > 0, (user, status)
            assert owner(packet) == owner(user), (user, packet)
            friend = next(u for u in range(1000 * user, 1000 * user + 99) if owner(u) != owner(user))
            status, told, share = grab(packet, friend)
            assert (status, told) == (Status.WIN, packet) and 1 <= share <= fen, (status, told, share)
            assert grab(packet, friend, 2) == (Status.WIN, packet, share)
        assert {owner(user) for user in won} == {0, 1}
        assert len({packet for _, packet, _ in won.values()}) == 40
        # Again, by whatever number of workers, after a kill.
        d.kill()
        p.config(captures=(), campaigns=[CAMPAIGN, BUNDLES], workers=1, clock="wall", seed=0,
                 users=300000, ports=[{"profile": "tap", "device": "net_tap0,iface=hb0"}])
        d.up()
        for user, told in won.items():
            assert shake(user) == told, user
        d.stop()
        audit = p.audit()
        assert audit["campaigns"][1]["bundles"] == 40 and audit["packets"]["taken"] == 40, audit
    finally:
        d.kill()


def the_operator_sees_packets(p):
    """packet show and packet list, a refund within seconds of its time, and BUSY where memory ends."""
    d = Daemon(p, packets={"open": 8, "shares": 64, "keep": 3600})
    try:
        d.up()
        assert pack(500) == (Status.PACKED, 500, 1000)
        shares = {user: grab(500, user)[2] for user in (1, 2)}
        shown = d.ctl("packet", "show", 500)
        assert shown["state"] == "open" and shown["sender"] == "900" and shown["durable"], shown
        assert {int(h["user"]): h["fen"] for h in shown["holders"]} == shares, shown
        assert shown["left_fen"] == 1000 - sum(shares.values()), shown
        assert grab(500, 3)[2] == shown["left_fen"]
        assert grab(500, 4)[0] == Status.EMPTY
        assert d.ctl("packet", "show", 500)["state"] == "empty"
        assert d.run("packet", "show", 501).returncode != 0
        # No hours: over at once, and given back within seconds.
        assert pack(600, hours=0)[0] == Status.PACKED
        assert grab(600, 1)[0] == Status.EXPIRED
        end = time.monotonic() + 20
        while d.ctl("packet", "list")["refunded"] == 0:
            assert time.monotonic() < end, d.ctl("packet", "list")
            time.sleep(0.1)
        assert d.ctl("packet", "show", 600)["refunded_fen"] == 1000
        assert grab(600, 1)[0] == Status.EXPIRED
        listed = d.ctl("packet", "list")
        assert (listed["funded"], listed["taken"], listed["open"]) == (2, 3, 0), listed
        assert listed["funded_fen"] == listed["taken_fen"] + listed["refunded_fen"], listed
        # Memory: some are BUSY, and what is there goes on.
        said = [pack(packet)[0] for packet in range(700, 740)]
        assert set(said) == {Status.PACKED, Status.BUSY}, said
        assert grab(700 + said.index(Status.PACKED), 1)[0] == Status.WIN
        assert d.ctl("packet", "list")["refused"] > 0
        d.stop()
        packets = p.audit()["packets"]
        assert packets["refunded"] == 1 and packets["balanced"], packets
    finally:
        d.kill()


TESTS = [a_bundle_is_passed_on_at_once_from_another_core, the_operator_sees_packets]
missing = live.own_namespace("a live port")
if missing:
    print("1..1\nok 1 - groups # SKIP " + missing)
    sys.exit(0)
sys.exit(main(TESTS))
