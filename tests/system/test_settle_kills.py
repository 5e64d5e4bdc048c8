# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod, hongbao-settle and PostgreSQL, each killed at random under load: in the end every win that was
told is in the database, every record is there once, and the sums are equal to the fen.

Runs in a network namespace of its own, and needs root, /dev/net/tun and PostgreSQL.

usage: test_settle_kills.py BUILD-DIRECTORY [--kills N] [--seed N]
"""
import random
import struct
import sys
import time

import control
import live
import postgres
import winners
from programs import CAMPAIGN
from settling import Bed

VICTIMS = ("hongbaod", "hongbao-settle", "PostgreSQL")


class Three:
    """What is killed and started again."""

    def __init__(self, p):
        p.keys()
        p.config(captures=(), campaigns=[live.always(), live.always(
            id=CAMPAIGN["id"] + 1, bundle={"shares": 2, "split": "lucky", "hours": 24})], **winners.CONFIG)
        self.p = p
        self.client, self.server, self.settle = winners.Client(), live.Server(p), None
        self.postgres = postgres.Postgres().make()
        self.bed = Bed(p, self.postgres, journal=False)
        self.start_daemon()
        self.start_settle()

    def start_daemon(self):
        self.server.start(winners.UP)
        self.client.connect()

    def start_settle(self):
        self.settle = self.bed.follow("--rate", 0, "--batch", 500, "--archive", self.p.path("archive"))

    def kill(self, victims):
        """Kills at once, and starts again one after the other."""
        for victim, it in zip(VICTIMS, (self.server, self.settle, self.postgres)):
            if victim in victims:
                it.kill()
        for victim, start in zip(VICTIMS, (self.start_daemon, self.start_settle, self.postgres.start)):
            if victim in victims:
                start()

    def end(self):
        self.server.kill()
        if self.settle:
            self.settle.kill()
        self.postgres.remove()


def each_record_once_through_kills(p, count, seed):
    rng = random.Random(seed)
    three = Three(p)
    killed = dict.fromkeys(VICTIMS, 0)
    try:
        for kill in range(count):
            winners.load_for(three.client, rng.uniform(0.02, 0.3))
            # Each in its turn, and now and then one more with it.
            victims = {VICTIMS[kill % 3], *rng.sample(VICTIMS, rng.random() < 0.3)}
            three.kill(victims)
            for victim in victims:
                killed[victim] += 1
            assert three.settle.process.poll() is None, three.settle.read()
            if "hongbaod" in victims and three.client.told:
                winners.ask_again(three.client, rng.sample(
                    sorted(three.client.told), min(50, len(three.client.told))))
            if sys.stderr.isatty():
                print(f"\r{kill + 1} rounds, {len(three.client.told)} wins told", end="", file=sys.stderr)
        shown_by_the_daemon(three)
        three.server.stop()
        # What it hasn't brought over by now, a last run does.
        assert three.settle.end() == 0, three.settle.said
        three.bed.once()
        check(three)
        left = len(list(p.path("journal").glob("*.hbj")))
        moved = len(list(p.path("archive").glob("*.hbj")))
        print(f"# {count} rounds with seed {seed}: {killed}; {len(three.client.told)} answers with money told; "
              f"{left} segments left, {moved} in the archive", flush=True)
        assert moved > 0
    finally:
        three.end()


def shown_by_the_daemon(three):
    """hongbaod says how far it is settled, soon after the last win."""
    link = control.Control(str(three.p.path("journal/control.sock")))
    end = time.monotonic() + 180
    while (shown := link.call("journal")).get("unsettled") != 0:
        assert time.monotonic() < end, shown
        time.sleep(0.1)
    link.close()
    assert shown["settled"] == shown["all_records"] > 0, shown
    assert shown["used_bytes"] > 0 < shown["free_bytes"], shown


def check(three):
    """Every record once and equal; everything that was told, as it was told."""
    report = three.bed.equal()
    assert report["balanced"], report
    told = {"wins": set(), "shares": set()}
    for what, data in three.client.told.items():
        number, fen = struct.unpack_from(">QI", data, 8)
        if what[0] == "shake":
            told["wins"].add((str(number), str(what[1]), str(fen)))
        elif what[0] == "grab":
            told["shares"].add((str(number), str(what[2]), str(fen)))
    for table, key in (("wins", "envelope"), ("shares", "packet")):
        rows = [tuple(row) for row in three.bed.query(
            f"select hongbao.u64({key}), hongbao.u64(usr), fen from hongbao.{table}")]
        assert len(set(rows)) == len(rows), table
        missing = told[table] - set(rows)
        assert told[table] and not missing, (table, len(missing), sorted(missing)[:3])


sys.exit(winners.main(__doc__, 10, each_record_once_through_kills, postgres.missing()))
