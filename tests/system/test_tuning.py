# SPDX-License-Identifier: BSD-3-Clause
"""A hongbaod that is tuned while it runs, with users at its port: what is about time and load.

Runs in a network namespace of its own, and needs root and /dev/net/tun.

usage: test_tuning.py BUILD-DIRECTORY [TEST ...]
"""
import ctypes
import filecmp
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from control import Control, Refused
from hbclient import Status
from programs import CAMPAIGN
from tuned import EPOCH_KEYS, FEW, TWO_KEYS, Crowd, Daemon, User, main

SOON_NS = 10_000_000  # within which a change is to be in force on every worker


class Changes:
    """Changes of a daemon, and how long each took from when the daemon had read it until the last worker worked with
    it; of money from when it was on the disk, which is as fast as the disk. Beside that, for how long the daemon's
    threads waited for a CPU meanwhile (the one that waited most), as the kernel counts it: what others had isn't the daemon's."""

    def __init__(self, d):
        self.d = d
        self.took = {}    # kind -> [(in force, waited for a CPU)], ns
        self.told = []    # from then until it was answered, without that wait

    def waited(self):
        return [int((task / "schedstat").read_text().split()[1])
                for task in sorted(Path(f"/proc/{self.d.process.pid}/task").iterdir())
                if (task / "comm").read_text().startswith(("rte-worker", "hb-service", "hongbaod"))]

    def make(self, kind, *words):
        before = self.waited()
        result = self.d.change(*words)
        waited = max(after - b for after, b in zip(self.waited(), before))
        assert 0 < result.get("durable_ns", 1) <= result["in_force_ns"] <= result["took_ns"], result
        self.took.setdefault(kind, []).append((result["in_force_ns"] - result.get("durable_ns", 0), waited))
        self.told.append(result["took_ns"] - result["in_force_ns"] - waited)
        return result

    def were_soon(self):
        """Each was in force within 10 ms, but for the time in which others had the CPU, and but for one in ten: a
        virtual machine stands still now and then, which its kernel doesn't know of. What the clock says is printed:
        with a core for each thread that polls it is the same."""
        for kind, took in self.took.items():
            print(f"# {kind}: in force after " + " ".join(f"{t / 1e6:.2f}" for t, _ in took) +
                  " ms; waited for a CPU " + " ".join(f"{w / 1e6:.1f}" for _, w in took), flush=True)
        for kind, took in self.took.items():
            assert sorted(t - w for t, w in took)[len(took) // 2] < SOON_NS, (kind, took)
        everything = [t for took in self.took.values() for t in took]
        late = [(t, w) for t, w in everything if t >= SOON_NS + w]
        assert len(late) <= len(everything) // 10 and all(t < 1e9 for t, _ in late), late
        assert sorted(self.told)[len(self.told) // 2] < SOON_NS / 5, self.told


def tune_over_and_over(changes, rounds=6):
    """Each kind of change again, there and back."""
    for i in range(rounds):
        for kind, words in {
                "odds": ("config", "apply", "campaign", 7, f"odds={(0.5, 1)[i % 2]}"),
                "pause": ("campaign", "pause", 7), "resume": ("campaign", "resume", 7),
                "top-up": ("campaign", "top-up", 8, "count=1", "total=100"),
                "bar": ("deny", "add", 900002), "let in": ("deny", "remove", 900002),
                "key": ("key", ("add", "retire")[i % 2], 0)}.items():
            changes.make(kind, *words)


def the_show_is_tuned_while_it_runs(p):
    """Halves odds, pauses, resumes, tops up, bars and rotates a key, each in force on every worker within 10 ms
    of CPU time, with users at the port all the while; and the books balance."""
    d = Daemon(p)
    d.start()
    crowd, user, changes = Crowd(), User(), Changes(d)
    crowd.start()
    assert user.ask(7) == Status.WIN

    changes.make("odds", "config", "apply", "campaign", 7, "odds=0.5")
    wins = [user.ask(7) for _ in range(200)].count(Status.WIN)
    assert 60 <= wins <= 140, wins
    changes.make("pause", "campaign", "pause", 7)
    assert {user.ask(7) for _ in range(20)} == {Status.BUSY}
    changes.make("resume", "campaign", "resume", 7)
    assert {user.ask(7) for _ in range(60)} == {Status.WIN, Status.MISS}

    # Five envelopes, then none, then three more.
    given = 0
    while given < 5:
        status = user.ask(8)
        assert status in (Status.WIN, Status.BUSY), (status, given)
        given += status == Status.WIN
    while (status := user.ask(8)) == Status.BUSY:
        pass
    assert status == Status.EMPTY
    changes.make("top-up", "campaign", "top-up", 8, "count=3", "total=600")
    while given < 8:
        status = user.ask(8)
        assert status in (Status.WIN, Status.BUSY), (status, given)
        given += status == Status.WIN
    while (status := user.ask(8)) == Status.BUSY:
        pass
    assert status == Status.EMPTY
    shown = d.ctl("campaign", "show", 8)
    assert shown["funded"] == 8 and shown["funded_fen"] == 1100 and shown["given"] == 8, shown

    changes.make("bar", "deny", "add", 900001)
    assert user.ask(7, 900001) == Status.DENIED
    assert d.ctl("user", 900001)["barred"] is True
    changes.make("let in", "deny", "remove", 900001)
    assert user.ask(7, 900001) in (Status.WIN, Status.MISS)
    known = d.ctl("user", 900001)
    assert known["barred"] is False and known["campaigns"][0]["seq"] == 1, known

    p.path("keys.yaml").write_text(TWO_KEYS)
    later = User(1)
    assert later.ask(7, tries=2) is None
    changes.make("key", "key", "add", 1)
    assert later.ask(7) is not None and user.ask(7) is not None
    changes.make("key", "key", "retire", 0)
    assert user.ask(7, tries=2) is None and later.ask(7) is not None
    # What is undone doesn't bring back a key that was let go of.
    d.change("config", "undo", 1)
    assert [k["epoch"] for k in d.ctl("key", "list")["epochs"]] == [1]
    log = [json.loads(line) for line in p.path("journal/changes.jsonl").read_text().splitlines()]
    tune_over_and_over(changes)
    answers = crowd.end()
    changes.were_soon()
    assert answers[Status.WIN] > 100 and answers[Status.BUSY] > 0, answers

    report = d.stop()
    assert report["balanced"], report
    books = p.audit()["campaigns"]
    assert [c["funded"] for c in books] == [1000000, 14], books
    assert [line["command"] for line in log] == [
        "config apply", "campaign pause", "campaign resume", "campaign top-up", "deny add",
        "deny remove", "key add", "key retire", "config undo"], log
    assert log[0]["changes"][0]["key"] == "campaign 7 odds", log[0]
    assert "uid 0" in log[0]["who"] and abs(log[0]["time_us"] / 1e6 - time.time()) < 600, log[0]
    for secret in (EPOCH_KEYS[0].hex(), EPOCH_KEYS[1].hex()):
        assert secret not in json.dumps(log)


def reloads_change_no_answer(p):
    """Thousands of changes of another campaign while a capture is played with the capture's clock: the replies
    are the same, byte for byte."""
    p.keys()
    p.trace("gala-2015", 400000, 100000)
    campaigns = [{**CAMPAIGN, "odds": 0.1}, {**FEW, "id": 9}]
    p.config(campaigns=campaigns)
    p.play()
    shutil.copy(p.path("replies0.pcap"), p.path("before.pcap"))
    shutil.rmtree(p.path("journal"))
    process = subprocess.Popen(
        [p.build / "app/hongbaod/hongbaod", "-c", "c.yaml", "--exit-when-idle", "1500", "--report",
         "report.json"], cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    control = Control(str(p.path("journal/control.sock")))
    changes = 0
    try:
        while changes < 20000:
            lines = b"".join(json.dumps({"hongbao": 1, "command": "config apply", "args": {
                "campaign": 9, "keys": {"wait": str(changes + i + 1)}}}).encode() + b"\n"
                for i in range(50))
            control.socket.sendall(lines)
            for _ in range(50):
                assert control.read()["applied"]
                changes += 1
    except (AssertionError, OSError, Refused):
        pass  # it is over
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert changes > 1000, (changes, said)
    assert filecmp.cmp(p.path("before.pcap"), p.path("replies0.pcap"), shallow=False)


def only_money_waits_for_the_disk(p):
    """On a disk that takes half a second for each write, and with wins on their way to it all the while, settings and
    bars are in force as soon as ever."""
    d = Daemon(p)
    d.start(**p.bad_disk(after=8, us=500000))
    crowd, changes = Crowd(), Changes(d)
    crowd.start()
    time.sleep(0.2)
    for i in range(6):
        for kind, words in {"odds": ("config", "apply", "campaign", 7, f"odds={(0.9, 1)[i % 2]}"),
                            "bar": ("deny", "add", 900001), "let in": ("deny", "remove", 900001)}.items():
            changes.make(kind, *words)
    assert "durable_ns" not in d.change("deny", "add", 900001)
    topped_up = d.change("campaign", "top-up", 8, "count=3", "total=600")
    crowd.end()
    changes.were_soon()
    assert topped_up["durable_ns"] > 400_000_000, topped_up
    assert d.stop()["balanced"]


class Stopped:
    """A thread of a process that stands still, as one does whose CPU another has taken for good."""
    SEIZE, INTERRUPT, DETACH, ALL_THREADS = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name):
        self.tid = next(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
                        if (task / "comm").read_text().strip() == name)
        self.ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        for what in (self.SEIZE, self.INTERRUPT):
            assert self.ptrace(what, self.tid, None, None) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(self.tid, self.ALL_THREADS)

    def __exit__(self, *_):
        assert self.ptrace(self.DETACH, self.tid, None, None) == 0, os.strerror(ctypes.get_errno())


def a_worker_that_stands_still_is_told_of(p):
    """A change that a worker doesn't take up within 5 s is answered as what it is, done but not seen by all; and it is
    in force as soon as the worker turns again. What doesn't fit the worker's ring is done in part, and says so."""
    d = Daemon(p)
    d.start()
    control = Control(d.path)
    many = [str(1000000 + i) for i in range(3000)]
    with Stopped(d.process.pid, "rte-worker-1"):
        control.send("deny add", {"users": many})
        try:
            raise AssertionError(control.read())
        except Refused as error:
            assert error.code == "busy" and "done in part only" in error.text, error
        begun = time.monotonic()
        late = d.ctl("config", "apply", "campaign", 7, "odds=0.25")
        assert 4 < time.monotonic() - begun < 20
        assert late["applied"] and not late["seen_by_all"] and "in_force_ns" not in late, late
    end = time.monotonic() + 10
    while d.ctl("status")["workers_current"] != 2:
        assert time.monotonic() < end
    barred = len(d.ctl("deny", "list")["users"])
    assert 1000 < barred < 3000, barred
    d.change("deny", "add", *many)
    user = User()
    assert {user.ask(7, int(u)) for u in many[::300]} == {Status.DENIED}
    assert d.stop()["balanced"]


if __name__ == "__main__":
    main([
        the_show_is_tuned_while_it_runs,
        reloads_change_no_answer,
        only_money_waits_for_the_disk,
        a_worker_that_stands_still_is_told_of,
    ])
