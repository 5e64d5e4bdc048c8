# SPDX-License-Identifier: BSD-3-Clause
"""The same requests through any number of workers, steered to the worker that owns them or not: the same
books. A capture for each worker plays the NIC's queues: which frame comes to which worker is this file's
choice, by a computation of its own.

usage: test_workers.py BUILD-DIRECTORY [TEST ...]
"""
import copy
import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time

from programs import CAMPAIGN, main, wins_in
from queues import deal, lane, owner

def campaign(**changes):
    return {**copy.deepcopy(CAMPAIGN), **changes}


def handed(report):
    """Requests handed over, which must all have been taken in, in every direction."""
    workers = report["workers"]
    over = sum(w["handed_over"] for w in workers)
    assert over == sum(w["taken_in"] for w in workers), workers
    for number, w in enumerate(workers):
        assert w["handed_over"] == sum(w["handed_to"]) and w["handed_to"][number] == 0, workers
        assert w["taken_in"] == sum(other["handed_to"][number] for other in workers), workers
    return over


def play(p, captures, workers, campaigns):
    """Plays captures with so many workers; everything must be given, and nobody have too much. Returns
    the report."""
    # With the capture's clock a worker waits for the journal and for envelopes of others, where it would
    # say BUSY to clients who can ask again.
    p.config(captures=captures, workers=workers, campaigns=campaigns, clock="packet")
    report = p.play()
    for audit, funded in zip(p.audit()["campaigns"], campaigns):
        assert audit["given"] == funded["envelopes"]["count"], audit
        assert audit["given_fen"] == funded["envelopes"]["total"], audit
        assert audit["largest_user_wins"] == 1, audit
    won = [wins_in(p.path(f"replies{i}.pcap")) for i in range(len(captures))]
    for one, other in itertools.combinations(won, 2):
        assert not one.keys() & other.keys()
    assert sum(map(len, won)) == sum(c["envelopes"]["count"] for c in campaigns)
    return report


ALL_GIVEN = campaign(odds=0.5, envelopes={"count": 9000, "total": 900000, "split": "lucky"})


def workers_give_the_same_books_steered_or_not(p):
    """A trace through 1, 2 and 4 workers: each frame to its owner, each to a worker by chance, and all to
    the first one, by a single queue."""
    p.keys()
    p.trace("gala-2015", 200000, 60000)
    for workers in (1, 2, 4):
        files, count = deal(p.path("requests.pcap"), workers, lambda f, _, n=workers: owner(f, n))
        report = play(p, files, workers, [ALL_GIVEN])
        assert report["requests"] == count and handed(report) == 0, report["workers"]
        chance = random.Random(workers)
        files, count = deal(p.path("requests.pcap"), workers,
                            lambda f, _, n=workers, c=chance: c.randrange(n))
        report = play(p, files, workers, [ALL_GIVEN])
        expected = count * (workers - 1) / workers
        assert abs(handed(report) - expected) <= 0.02 * count, report["workers"]
        report = play(p, ["requests.pcap"], workers, [ALL_GIVEN])
        assert abs(handed(report) - expected) <= 0.1 * count, report["workers"]
        assert [w["received"] > 0 for w in report["workers"]] == [True] + [False] * (workers - 1)


def the_order_of_a_users_requests_is_kept(p):
    """One flow comes by one queue: nothing that is handed over overtakes, so that no seq is ever behind
    one that was answered."""
    p.keys()
    p.trace("gala-2015", 200000, 500, 1, "requests.pcap", "--retries", 0)
    hard = campaign(odds=0.0001, envelopes={"count": 1000, "total": 1000, "split": "equal"})
    for workers in (2, 4):
        by_user, _ = deal(p.path("requests.pcap"), workers,
                          lambda f, _, n=workers: (lane(f) * 7 + 3) % n)
        p.config(captures=by_user, workers=workers, campaigns=[hard], clock="wall")
        report = p.play()
        assert handed(report) > 50000 and "STALE" not in report["replies"], report
        assert report["dropped"] == {}, report


def sixty_percent_on_one_core_cost_no_envelope(p):
    """A core that owns 60% of the users gets what the others don't need: all of it is given."""
    p.keys()
    p.trace("gala-2015", 400000, 120000)
    for workers in (2, 4):
        # The others are thinned out until the first core's share is 60%.
        keep = (0.4 / 0.6) * (1 / workers) / (1 - 1 / workers)
        chance = random.Random(workers)

        def choose(frame, _, n=workers, keep=keep, chance=chance):
            to = owner(frame, n)
            return to if to == 0 or chance.random() < keep else None
        files, _ = deal(p.path("requests.pcap"), workers, choose)
        skewed = campaign(odds=1, envelopes={"count": 60000, "total": 60000, "split": "equal"})
        report = play(p, files, workers, [skewed])
        received = [w["received"] for w in report["workers"]]
        assert 0.55 < received[0] / sum(received) < 0.65, received
        # Of four, the others have too few users for what the first one's share leaves.
        users = sum(w["users"] for w in report["workers"][1:])
        assert users < 60000 * (workers - 1) / workers or workers == 2, users
        assert report["workers"][0]["winners"] >= 60000 - users, report["workers"]


def the_last_envelope_is_given_where_it_is_asked_for(p):
    """Only one core gets requests: it gives every envelope of all, the last one too, and says EMPTY only
    then."""
    p.keys()
    p.trace("gala-2015", 400000, 60000)
    for workers, asked in ((2, 0), (2, 1), (4, 2)):
        files, _ = deal(p.path("requests.pcap"), workers,
                        lambda f, _, n=workers, a=asked: a if owner(f, n) == a else None)
        only = campaign(odds=1, envelopes={"count": 9999, "total": 999900, "split": "lucky"})
        report = play(p, files, workers, [only])
        assert [w["winners"] for w in report["workers"]] == [
            9999 if i == asked else 0 for i in range(workers)], report["workers"]
        assert report["replies"].get("EMPTY", 0) > 0, report["replies"]


def replay_on_a_bad_disk(p, **disk):
    """A capture that two workers share, on a disk like that; returns (exit code, report)."""
    environment = p.bad_disk(**disk)
    p.config(captures=["requests.pcap"], workers=2, clock="packet", campaigns=[
        campaign(odds=1, envelopes={"count": 20000, "total": 20000, "split": "equal"})])
    shutil.rmtree(p.path("journal"), ignore_errors=True)
    done = p.run("hongbaod", "-c", "c.yaml", "--report", "report.json", "--exit-when-idle", 300,
                 timeout=100, **environment)
    report = json.loads(p.path("report.json").read_text())
    assert report["balanced"] or done.returncode == 1, (report, done.stderr)
    answered = sum(report["replies"].values())
    assert report["requests"] == answered + report["dropped"].get("handover", 0), report
    return done.returncode, report


def a_slow_disk_is_not_idleness(p):
    """Writes of 0.4 s: workers wait for the journal and for each other, and the replay goes on to its
    end all the same, though it may stand still for longer than --exit-when-idle says."""
    p.keys()
    p.trace("gala-2015", 400000, 60000)
    code, report = replay_on_a_bad_disk(p, after=4, us=400000)
    assert code == 0 and report["requests"] == 400000 and not report["dropped"], report
    assert report["wins"] == 20000, report


def a_disk_that_fails_ends_a_replay(p):
    """A disk that is full, or fails, while two workers wait for it: the program ends by itself, and says
    what is wrong."""
    p.keys()
    p.trace("gala-2015", 400000, 60000)
    for error in (errno.ENOSPC, errno.EIO):
        code, report = replay_on_a_bad_disk(p, after=6, errno=error)
        assert code == 1 and 0 < report["requests"] < 400000, report
        audit = p.audit()["campaigns"][0]
        assert len(wins_in(p.path("replies0.pcap"))) == audit["given"], audit


def sigterm_ends_workers_that_wait(p):
    """SIGTERM while two workers wait for a slow journal and for each other's envelopes, which nobody moves
    any more: the program ends by itself, and the books balance."""
    p.keys()
    p.trace("gala-2015", 400000, 60000)
    p.config(captures=["requests.pcap"], workers=2, clock="packet", campaigns=[
        campaign(odds=1, envelopes={"count": 20000, "total": 20000, "split": "equal"})])
    for attempt in range(3):
        shutil.rmtree(p.path("journal"), ignore_errors=True)
        process = subprocess.Popen(
            [p.build / "app/hongbaod/hongbaod", "-c", p.path("c.yaml"), "--report",
             p.path("report.json")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **p.bad_disk(after=4, us=300000)})
        try:
            # By now the first batches are written, and later ones take their time.
            time.sleep(1.5 + attempt * 0.4)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=40)
        finally:
            process.kill()
        report = json.loads(p.path("report.json").read_text())
        assert process.returncode == 0 and report["balanced"], (err, report)
        assert report["requests"] == sum(report["replies"].values()) and not report["dropped"], report
        assert p.audit()["campaigns"][0]["given"] == report["wins"], report


main([
    workers_give_the_same_books_steered_or_not,
    the_order_of_a_users_requests_is_kept,
    sixty_percent_on_one_core_cost_no_envelope,
    the_last_envelope_is_given_where_it_is_asked_for,
    a_slow_disk_is_not_idleness,
    a_disk_that_fails_ends_a_replay,
    sigterm_ends_workers_that_wait,
])
