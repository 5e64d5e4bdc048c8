# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of settlement share: a database of its own for each test in one PostgreSQL, journals with
all kinds of records, and hongbao-settle as a program that runs or ends."""
import json
import os
import re
import shutil
import tempfile
import time

import postgres
import programs
from programs import CAMPAIGN

MANY = {**CAMPAIGN, "odds": 1, "least_interval": 0, "wins_per_user": 1000,
        "envelopes": {"count": 60000, "total": 6000000, "split": "lucky"}}
BUNDLES = {**MANY, "id": 9, "bundle": {"shares": 4, "split": "lucky", "hours": 24}}
TIERS = {**CAMPAIGN, "id": 11, "envelopes": {"split": "tiers", "tiers": [
    {"count": 10, "amount": 8888}, {"count": 1000, "amount": 66}]}}


class Settle(programs.Running):
    """A hongbao-settle that runs until it is ended."""

    def __init__(self, p, *arguments, **environment):
        super().__init__()
        self.launch([p.build / "app/hongbao-settle/hongbao-settle", *arguments], **environment)

    def memory(self):
        """Bytes that it takes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096


class Bed:
    """Of one test: its programs, its database, its journal."""

    server = None     # the PostgreSQL of all tests
    made = None       # a journal to copy, and its audit
    number = 0

    def __init__(self, p, own=None, journal=True, migrate=True):
        """own: a PostgreSQL of the test's own."""
        self.p = p
        if own:
            self.server, self.database = own, "hongbao"
        else:
            Bed.number += 1
            self.database = f"test{Bed.number}"
            self.server.query(f"create database {self.database} owner settle", database="postgres")
        self.p.keys()
        if journal:
            shutil.copytree(self.ready(p), p.path("journal"))
        if migrate:
            self.migrate()

    @classmethod
    def ready(cls, p):
        """A journal with wins, bundles, tiers, packets, shares and refunds in three segments, made once."""
        if cls.made:
            return cls.made
        cls.made = tempfile.mkdtemp(prefix="hongbao-test-") + "/journal"
        p.trace("gala-2015", 20000, 15000)
        p.trace("groups", 20000, 3000, 1, "groups.pcap")
        p.trace("sponsors", 5000, 3000, 1, "sponsors.pcap", "--campaign", 9)
        for captures in (["requests.pcap"], ["groups.pcap"], ["sponsors.pcap"]):
            p.config(campaigns=[MANY, BUNDLES, TIERS], captures=captures, users=200000)
            p.play(fresh=captures == ["requests.pcap"])
        shutil.move(p.path("journal"), cls.made)
        return cls.made

    def conninfo(self, user="settle"):
        return self.server.conninfo(user, self.database)

    def query(self, *statements):
        return self.server.query(*statements, database=self.database)

    def one(self, statement):
        return self.server.one(statement, database=self.database)

    def run(self, *arguments, **environment):
        """hongbao-settle to its end."""
        return self.p.run("hongbao-settle", *arguments, **environment)

    def usual(self, *more):
        return ("-j", self.p.path("journal"), "-d", self.conninfo(), *more)

    def migrate(self):
        done = self.run("-d", self.conninfo(), "--migrate")
        assert done.returncode == 0, done

    def once(self, *more, code=0):
        done = self.run(*self.usual("--once", "--rate", 0, *more))
        assert done.returncode == code, done
        return done.stderr

    def follow(self, *more, **environment):
        return Settle(self.p, *self.usual(*more), **environment)

    def audit(self, code=0):
        """The journal against the database: the report, and what was said."""
        done = self.p.run("hongbao-audit", "--json", "--database", self.conninfo(), "journal")
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[:2000])
        return json.loads(done.stdout), done.stderr

    def equal(self, whole=True):
        """The audit must find every record settled and equal."""
        report, _ = self.audit()
        found = report["database"]
        assert found["equal"] and found["journal_fen"] == found["database_fen"] > 0, found
        assert not whole or found["unsettled"] == 0, found
        assert found["set_aside"] == 0, found
        return report

    def position(self):
        return int(self.one("select next_record from hongbao.journals"))

    def wait_for(self, statement, value, seconds=180):
        end = time.monotonic() + seconds
        while (got := self.query(statement)) != [[value]]:
            assert time.monotonic() < end, (statement, got, value)
            time.sleep(0.2)


def metric(text, name):
    """The value of a metric in an exposition."""
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def main(tests, arguments):
    """Runs tests with one PostgreSQL for all of them; as programs.main()."""
    Bed.server = postgres.Postgres()
    try:
        Bed.server.make()
        chosen = [test for test in tests if not arguments[1:] or test.__name__ in arguments[1:]]
        return programs.run_tests(arguments[0], chosen)
    finally:
        Bed.server.remove()
        if Bed.made:
            shutil.rmtree(os.path.dirname(Bed.made), ignore_errors=True)
