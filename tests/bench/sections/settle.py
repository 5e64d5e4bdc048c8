# SPDX-License-Identifier: BSD-3-Clause
"""Wins into PostgreSQL, at full speed and at the cap, held against the journal by the audit; and hongbaod's
own speed beside it."""
import json
import shutil
import subprocess
import sys
import time

from bench import HERE, Failed

sys.path.insert(0, str(HERE.parent / "system"))
import postgres  # noqa: E402  pylint: disable=wrong-import-position

ABOUT = "wins settled into PostgreSQL a second, at full speed and at the cap; hongbaod beside it"
PACKAGES = ("postgresql",)

CAP = 45000
# Of the reference: the rows of the wins by one COPY into a table with the same keys, nothing else.
PREPARE = "create table reference (like hongbao.wins including all)"


def hugepages(_bench):
    return 256


def wins(bench):
    return 100_000 if bench.quick else 1_000_000


def run(bench):
    journal = Journal(bench)
    journal.make()
    # Its files are another user's, and on the disk.
    server = postgres.Postgres(bench.work, shared_buffers="128MB", max_wal_size="4GB")
    try:
        server.make()
        database = Database(bench, server)
        database.measure()
        journal.beside(database)
    finally:
        server.remove()


class Database:
    def __init__(self, bench, server):
        self.bench, self.server = bench, server
        self.settle = [bench.program("hongbao-settle"), "-j", bench.work / "journal", "-d", server.conninfo()]

    def fresh(self):
        self.server.query("set client_min_messages = warning; drop schema if exists hongbao cascade",
                          "drop table if exists reference", "checkpoint")
        self.bench.run([*self.settle, "--migrate"], quiet=True)

    def once(self, rate):
        """Settles all of it; returns wins a second, after the audit has found count and sum equal."""
        self.fresh()
        start = time.monotonic()
        self.bench.run([*self.settle, "--once", "--rate", rate], quiet=True)
        seconds = time.monotonic() - start
        found = json.loads(self.bench.run(
            [self.bench.program("hongbao-audit"), "--json", "--database", self.server.conninfo(),
             self.bench.work / "journal"], quiet=True))["database"]
        count = int(self.server.one("select count(*) from hongbao.wins"))
        if not found["equal"] or found["unsettled"] or count != wins(self.bench):
            raise Failed(f"{count:,} wins settled, and the audit says {found}")
        return count / seconds

    def reference(self):
        """The same rows by COPY, once they are there."""
        file = self.server.directory / "wins"
        self.server.query(f"copy hongbao.wins to '{file}' (format binary)", PREPARE, "checkpoint")
        start = time.monotonic()
        self.server.query(f"copy reference from '{file}' (format binary)")
        return wins(self.bench) / (time.monotonic() - start)

    def measure(self):
        bench, full, copied, capped = self.bench, [], [], []
        for i in range(2 if bench.quick else 3):
            bench.progress(f"{wins(bench):,} wins, run {i + 1}")
            full.append(self.once(0))
            copied.append(self.reference())
        for _ in range(1 if bench.quick else 3):
            bench.progress(f"{wins(bench):,} wins at {CAP:,} a second")
            capped.append(self.once(CAP))
        command = [*self.settle, "--once", "--rate"]
        beside = bench.add("the same rows by one COPY into a table with the same keys", "wins/s", copied,
                           ["psql", "-c", "copy reference from 'wins' (format binary)"], short="one COPY",
                           foreign=True)
        bench.add("wins settled, at full speed", "wins/s", full, [*command, 0], beside)
        bench.add(f"wins settled, at the cap of {CAP:,}", "wins/s", capped, [*command, CAP])


class Journal:
    """What there is to settle: a capture in which every request wins, and hongbaod that plays it."""

    def __init__(self, bench):
        self.bench = bench
        self.command = [bench.program("hongbaod"), "-c", bench.work / "c.yaml", "--report",
                        bench.work / "report.json", "--exit-when-idle", "300"]

    def make(self):
        bench, n = self.bench, wins(self.bench)
        (bench.work / "keys.yaml").touch(mode=0o600)
        (bench.work / "keys.yaml").write_text(f"epochs: {{ 0: {'a1' * 16} }}\nissuer: {'b2' * 16}\n")
        bench.progress(f"a capture of {n:,} requests")
        bench.run([bench.program("hongbao-trace"), "gala-2015", "--requests", n, "--users", n, "--retries", 0,
                   "--keys", bench.work / "keys.yaml", "-o", bench.work / "requests.pcap"], quiet=True)
        (bench.work / "c.yaml").write_text(json.dumps({
            "host": 1, "listen": {"ipv4": "10.0.0.1", "base_port": 8192}, "workers": 1, "users": 2 * n,
            "journal": "journal", "keys": "keys.yaml", "clock": "packet", "seed": 1, "metrics": "off",
            "ports": [{"profile": "pcap", "device": f"net_pcap0,rx_pcap={bench.work}/requests.pcap"}],
            "campaigns": [{"id": 7, "name": "bench", "opens": 0, "closes": "2100-01-01T00:00:00Z", "odds": 1,
                           "wins_per_user": 8191, "envelopes": {
                               "count": n, "total": 500 * n, "split": "lucky"}}]}))
        self.play()

    def play(self):
        """Answers all of it into a new journal; returns requests a second."""
        shutil.rmtree(self.bench.work / "journal", ignore_errors=True)
        self.bench.run(self.command, quiet=True)
        report = json.loads((self.bench.work / "report.json").read_text())
        if report["wins"] != wins(self.bench):
            raise Failed(f"{report['wins']:,} wins, not {wins(self.bench):,}")
        return report["requests"] / report["seconds"]

    def beside(self, database):
        """hongbaod's speed with a hongbao-settle that cannot reach its database, and with one that settles
        at the cap, beside none."""
        alone, away, capped = [], [], []
        for i in range(self.bench.rounds):
            self.bench.progress(f"hongbaod beside hongbao-settle, run {i + 1}")
            alone.append(self.play())
            away.append(self.with_settle("host=/nowhere dbname=none"))
            database.fresh()
            capped.append(self.with_settle(database.server.conninfo()))
        none = self.bench.add("hongbaod, every request a win, nobody settles", "requests/s", alone, self.command,
                              short="nobody settles")
        self.bench.add("hongbaod, beside a hongbao-settle whose database is away", "requests/s", away, self.command,
                       none)
        self.bench.add(f"hongbaod, beside one that settles at {CAP:,} a second", "requests/s", capped,
                       self.command, none)
        self.bench.note("hongbaod has a worker and a control core, which is all of 2 cores: beside it "
                        "hongbao-settle and PostgreSQL take their time from them")

    def with_settle(self, conninfo):
        """hongbaod plays, and hongbao-settle has a whole earlier journal of as many wins to settle meanwhile:
        at the cap that takes longer."""
        earlier = self.bench.work / "earlier"
        if not earlier.exists():
            shutil.copytree(self.bench.work / "journal", earlier)
        settle = subprocess.Popen([self.bench.program("hongbao-settle"), "-j", earlier, "-d", conninfo], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            return self.play()
        finally:
            settle.terminate()
            settle.wait()
