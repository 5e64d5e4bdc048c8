# SPDX-License-Identifier: BSD-3-Clause
"""Many hosts keep one budget: three hongbaod on three interfaces of the kernel's, each with its hongbao-settle
--lease, one real PostgreSQL, and users at all of them.

usage: test_fleet.py BUILD-DIRECTORY [TEST ...]
"""
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hbclient
import live
import postgres
import programs
from hbclient import Status
from programs import CAMPAIGN

EPOCH_KEY = bytes(range(16))
SLICES = {1: range(0, 11), 2: range(11, 22), 3: range(22, 32)}
TERM = 2
LEASED = {**CAMPAIGN, "odds": 1, "envelopes": {"leased": True}, "wait": 20}


class Host:
    """One host of the fleet: hongbaod on its TAP, and hongbao-settle beside it."""

    def __init__(self, p, number, conninfo, campaign, slices, **keys):
        directory = p.path(f"host{number}")
        directory.mkdir()
        self.p = programs.Programs(p.build, directory)
        self.p.keys()
        self.number = number
        self.conninfo = conninfo
        self.address, self.client = f"10.0.{number}.1", f"10.0.{number}.2"
        self.p.config(campaigns=[campaign], **{
            "host": number, "listen": {"ipv4": self.address, "base_port": 8192}, "workers": 1,
            "ports": [{"profile": "tap", "device": f"net_tap0,iface=hb{number}"}], "clock": "wall", "seed": 0,
            "users": 100000, "idle": "sleep", "slices": list(slices),
            "control": {"socket": str(directory / "control.sock")}, **keys})
        self.daemon = live.Server(self.p)
        self.settle = None

    def start(self):
        up = (f"ip addr add {self.client}/24 dev hb{self.number} && ip link set hb{self.number} up && ip neigh "
              f"replace {self.address} lladdr 02:00:00:00:00:9{self.number} dev hb{self.number}")
        self.daemon.start(up, ("--no-huge", "-m", "128", f"--file-prefix=fleet{self.number}"))
        self.ctl("ping", "--wait")
        return self

    def start_settle(self):
        with open(self.p.path("settle.log"), "ab") as log:
            self.settle = subprocess.Popen(
                [self.p.build / "app/hongbao-settle/hongbao-settle", "-j", "journal", "-d", self.conninfo,
                 "--lease", "--socket", "control.sock", "--term", str(TERM), "--ahead", "1"],
                cwd=self.p.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def once(self, *arguments, code=0):
        """hongbao-settle to its end."""
        done = self.p.run("hongbao-settle", "-d", self.conninfo, *arguments)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr, self.log())
        return done.stdout + done.stderr

    def ctl(self, *words, code=0):
        done = self.p.run("hongbaoctl", "-s", "control.sock", "--json", *words)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr, self.daemon.read(0))
        return json.loads(done.stdout) if code == 0 else done.stderr

    def lease(self):
        """What this host has of the one campaign, and its term."""
        told = self.ctl("lease", "list")
        return {**told["campaigns"][0], "term_left_ms": told["term_left_ms"]}

    def log(self):
        return self.p.path("settle.log").read_text(errors="replace")[-3000:]

    def kill_settle(self):
        if self.settle and self.settle.poll() is None:
            self.settle.send_signal(signal.SIGKILL)
            self.settle.wait()

    def kill(self):
        """The host dies."""
        self.daemon.kill()
        self.kill_settle()

    def stop_settle(self):
        self.settle.terminate()
        assert self.settle.wait(30) == 0, self.log()


class Fleet:
    """Hosts with one database and one budget."""

    def __init__(self, p, budget, campaign, slices=None, **keys):
        self.p = p
        self.db = postgres.Postgres(p.directory).make()
        self.host = {}
        self.conninfo = self.db.conninfo()
        self.settle("--migrate")
        # What nobody has budgeted yet isn't given either.
        assert self.db.one("select hongbao.budget_done(7)") == "f"
        self.settle("--budget", budget)
        self.slices = slices or SLICES
        self.host = {n: Host(p, n, self.conninfo, campaign, mine, **keys) for n, mine in self.slices.items()}

    def settle(self, *arguments):
        done = self.p.run("hongbao-settle", "-d", self.conninfo, *arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def start(self):
        for host in self.host.values():
            host.start().start_settle()
        return self

    def books(self):
        """The budget's books, which must be balanced at any time."""
        (row,) = self.db.query("select balanced, free, leased, lost from hongbao.budget_books")
        assert row[0] == "t", self.db.query("select * from hongbao.budget_books")
        return dict(zip(("free", "leased", "lost"), map(int, row[1:])))

    def end(self):
        for host in self.host.values():
            host.kill()
        self.db.remove()


class Crowd:
    """Users who shake until each has `wins`, or is told EMPTY: each seq is one user's alone, so that a reply
    says whose it is."""

    def __init__(self, fleet, users, wins, first=1):
        self.fleet = fleet
        self.route = {s: n for n, slices in fleet.slices.items() for s in slices}
        self.socket = {}
        self.users = range(first, first + users)
        self.key = {u: hbclient.user_key(EPOCH_KEY, u) for u in self.users}
        self.told = {u: {} for u in self.users}  # seq: (envelope, fen)
        self.seq = {u: u * 1000 + 1 for u in self.users}
        self.over = set()
        self.later = {u: 0 for u in self.users}  # until when one who was told BUSY waits
        self.wins = wins
        self.statuses = {}
        self.last = {}
        for n in fleet.host:
            self.socket[n] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket[n].bind((f"10.0.{n}.2", 0))
            self.socket[n].setblocking(False)

    def send(self, user, seq):
        host = self.route[hbclient.slice_of(user)]
        datagram = hbclient.shake(self.key[user], user, 7, seq)
        try:
            self.socket[host].sendto(datagram, (f"10.0.{host}.1", 8192 + hbclient.shard(user)))
        except OSError:
            pass  # the interface is gone: its host died

    def receive(self, wait):
        ready, _, _ = select.select(list(self.socket.values()), [], [], wait)
        for s in ready:
            try:
                for _ in range(512):
                    self.take(s.recv(64))
            except OSError:
                continue

    def quiet(self):
        """Until nothing comes any more."""
        came = -1
        while came != sum(self.statuses.values()):
            came = sum(self.statuses.values())
            self.receive(0.5)

    def take(self, data):
        seq = int.from_bytes(data[4:8], "big")
        user, status = seq // 1000, Status(data[1])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last[user] = (seq, status)
        if status == Status.WIN:
            win = (int.from_bytes(data[8:16], "big"), int.from_bytes(data[16:20], "big"))
            assert self.told[user].setdefault(seq, win) == win, (user, seq, win, self.told[user])
        if status == Status.BUSY:
            self.later[user] = time.monotonic() + 0.1
        if status in (Status.QUOTA, Status.EMPTY):
            self.over.add(user)
        if status in (Status.WIN, Status.MISS) and seq == self.seq[user]:
            self.seq[user] += 1

    def given(self, host=None):
        """Wins that were told, to the users of a host or to all."""
        return sum(len(told) for user, told in self.told.items()
                   if host in (None, self.route[hbclient.slice_of(user)]))

    def round(self, rest=0.01):
        """Everybody who isn't done asks once."""
        now = time.monotonic()
        asking = [u for u in self.users
                  if u not in self.over and len(self.told[u]) < self.wins and self.later[u] <= now]
        for i, user in enumerate(asking):
            self.send(user, self.seq[user])
            if i % 64 == 63:
                self.receive(0)
        end = time.monotonic() + rest
        while (left := end - time.monotonic()) > 0:
            self.receive(left)

    def go_on(self, enough, seconds=60):
        """Rounds until it is enough."""
        end = time.monotonic() + seconds
        while not enough():
            self.round()
            assert time.monotonic() < end, (self.given(), self.statuses, [
                (host.lease(), host.log()) for host in self.fleet.host.values()
                if host.daemon.process.poll() is None])

    def repeat(self, user):
        """The user's last told win again: the very same."""
        seq = max(self.told[user])
        for _ in range(100):
            self.last.pop(user, None)
            self.send(user, seq)
            self.receive(0.1)
            if self.last.get(user) == (seq, Status.WIN):
                return
        raise AssertionError((user, seq, self.last.get(user)))


def until(condition, seconds=30, step=0.05):
    """Waits until it holds; returns what it was then."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(step)
    return value


def settled(fleet, host):
    """That everything of a host's journal is in the database."""
    host.once("-j", "journal", "--once")
    assert fleet.db.query("select count(*) from hongbao.refused") == [["0"]], fleet.db.query(
        "select * from hongbao.refused")


def one_budget_to_exhaustion(p):
    """Three hosts share 100,000 envelopes; one is killed in the middle and declared lost, its slices move. All
    are given, none twice, nobody gets more than the campaign gives one user."""
    total, wins = 100000, 20
    fleet = Fleet(p, f"campaign=7 count={total} total=5000000 split=lucky block=2000",
                  {**LEASED, "wins_per_user": wins})
    try:
        fleet.start()
        crowd = Crowd(fleet, 6000, wins)
        crowd.go_on(lambda: crowd.given() >= 40000)
        lost = fleet.host[3]
        lost.kill()
        fleet.books()
        said = fleet.host[1].once("--declare-lost", 3, "-j", lost.p.path("journal"), "--term", TERM)
        assert "host 3 is lost" in said and "envelopes go back" in said, said
        books = fleet.books()
        assert fleet.db.query("select coalesce(sum(envelopes), 0) from hongbao.not_known") == [["0"]]
        assert books["lost"] == int(fleet.db.one(
            "select count(*) from hongbao.wins w join hongbao.journals j using (journal) where j.host = 3"))
        # Another's slices aren't to be had while it lives, and who lives needs no way back.
        assert "not lost" in fleet.db.one("select hongbao.rejoin(1, journal) from hongbao.hosts where host = 1")
        assert "not lost" in fleet.host[1].once("--take-slices", "11", "--socket", "control.sock", code=1)
        said = fleet.host[1].once("--take-slices", "22-31", "--socket", "control.sock")
        assert "winners of them" in said, said
        moved = [u for u in crowd.users if crowd.route[hbclient.slice_of(u)] == 3]
        for s in SLICES[3]:
            crowd.route[s] = 1
        # A win that was told is told again by the other host, where no later one was on its way.
        last = {int(u): int(s) for u, s in fleet.db.query("select usr, max(seq) from hongbao.wins group by usr")}
        told = [u for u in moved if crowd.told[u] and max(crowd.told[u]) == last[u]]
        assert len(told) > 100, (len(moved), len(told))
        for user in told[:50]:
            crowd.repeat(user)
        # What was decided and not told, since its host died, is in its journal.
        crowd.go_on(lambda: Status.EMPTY in crowd.statuses)
        until(lambda: all(fleet.host[n].lease()["done"] for n in (1, 2)))
        assert {fleet.host[n].lease()["left"] for n in (1, 2)} == {0}
        for n in (1, 2):
            fleet.host[n].stop_settle()
            fleet.host[n].daemon.stop()
            settled(fleet, fleet.host[n])
        check_end(fleet, crowd, total, wins)
    finally:
        fleet.end()


def check_end(fleet, crowd, total, wins):
    """What the database, the journals and the users say, to the fen."""
    assert fleet.db.query("select count(*), sum(fen), count(distinct envelope) from hongbao.wins") == [
        [str(total), "5000000", str(total)]]
    books = fleet.books()
    assert books["free"] == 0 and books["leased"] + books["lost"] == total, books
    most = int(fleet.db.one("select max(n) from (select count(*) n from hongbao.wins group by usr) x"))
    assert most <= wins, most
    known = {(int(u), int(s)): (int(e), int(f)) for u, s, e, f in fleet.db.query(
        "select usr, seq, envelope, fen from hongbao.wins")}
    for user, told in crowd.told.items():
        for seq, win in told.items():
            assert known[user, seq] == win, (user, seq, win)
    given = 0
    for n, host in fleet.host.items():
        done = host.p.run("hongbao-audit", "--json", "journal")
        assert done.returncode == 0, (n, done.stdout, done.stderr)
        (campaign,) = json.loads(done.stdout)["campaigns"]
        assert campaign["funded"] == campaign["given"] + campaign["returned"], campaign
        given += campaign["given"]
        done = host.p.run("hongbao-audit", "--database", fleet.conninfo, "journal")
        assert done.returncode == 0, (n, done.stdout, done.stderr)
    assert given == total, given


def a_host_that_is_cut_off(p):
    """Without the database a host stops giving by itself; declared lost without its journal its blocks stay
    counted as given, and are given by nobody; when it comes back it gives nothing of them, but back."""
    fleet = Fleet(p, "campaign=7 tiers=3900*50,100*900 block=1000", {**LEASED, "wins_per_user": 20},
                  {1: range(0, 16), 2: range(16, 32)})
    try:
        fleet.start()
        crowd = Crowd(fleet, 300, 20)
        crowd.go_on(lambda: min(crowd.given(1), crowd.given(2)) >= 200)
        # A slice that is another's ends the term, until it is left to that.
        one = fleet.host[1]
        one.ctl("config", "apply", "slices=[%s]" % ",".join(map(str, range(0, 17))))
        until(lambda: "slice 16 is host 2's" in one.log() and one.lease()["term_left_ms"] == 0)
        one.ctl("config", "undo")
        until(lambda: one.lease()["term_left_ms"] > 0)
        cut = fleet.host[2]
        until(lambda: cut.lease()["left"] > 0)
        # Its term can't be renewed any more.
        cut.kill_settle()
        assert "runs until" in fleet.db.one("select hongbao.declare_lost(2)")
        until(lambda: cut.lease()["term_left_ms"] == 0)
        crowd.quiet()
        crowd.statuses.clear()
        users = [u for u in crowd.users if crowd.route[hbclient.slice_of(u)] == 2 and len(crowd.told[u]) < 19]
        for user in users[:20]:
            crowd.send(user, crowd.seq[user])
        crowd.quiet()
        assert set(crowd.statuses) == {Status.BUSY}, crowd.statuses
        # Who won is told so still.
        crowd.repeat(next(u for u in users if crowd.told[u]))
        had = cut.lease()
        said = fleet.host[1].once("--declare-lost", 2, "--term", TERM)
        assert "stay counted as given" in said, said
        lost = fleet.books()["lost"]
        assert lost == had["funded"] - had["returned"] and lost > had["given"]
        # It comes back, and gives back: then all of the rest is known.
        cut.start_settle()
        until(lambda: fleet.db.query("select coalesce(sum(envelopes), 0) from hongbao.not_known") == [["0"]])
        assert cut.lease()["left"] == 0 and cut.lease()["term_left_ms"] == 0
        assert fleet.books()["lost"] == had["given"]
        assert "declared lost" in cut.log()
        assert "is back" in cut.once("--rejoin", "--socket", "control.sock")
        until(lambda: cut.lease()["term_left_ms"] > 0)
        crowd.go_on(lambda: crowd.given() >= 4000)
        for host in fleet.host.values():
            host.stop_settle()
            host.daemon.stop()
            settled(fleet, host)
        assert fleet.db.query("select count(*), sum(fen), count(*) filter (where fen = 900) from hongbao.wins") \
            == [["4000", str(3900 * 50 + 100 * 900), "100"]]
        assert fleet.books() == {"free": 0, "leased": 4000, "lost": 0}
    finally:
        fleet.end()


def main():
    if reason := postgres.missing() or live.own_namespace("a fleet"):
        print(f"1..0 # SKIP {reason}")
        return 0
    tests = [one_budget_to_exhaustion, a_host_that_is_cut_off]
    return programs.run_tests(sys.argv[1], [t for t in tests if t.__name__ in sys.argv[2:] or len(sys.argv) < 3])


sys.exit(main())
