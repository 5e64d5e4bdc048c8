# SPDX-License-Identifier: BSD-3-Clause
"""hongbao-replay at a live hongbaod, over vhost and virtio_user: two processes, a core each."""
import json
import os
import shutil
import signal
import subprocess
import time

from bench import Failed

ABOUT = "between two processes: throughput without loss, latency under load"

USERS = 1_000_000
LOADS = (0.1, 0.5, 0.9)
LIMITS = (0.0, 0.005)
PRECISION = 0.03  # of the rate that is looked for
KEPT_UP = 0.98  # less than that of the wished rate: the sender was the limit
PERCENTILES = ("p50", "p99", "p99_9")

CONFIG = {
    "host": 1, "listen": {"ipv4": "10.0.0.1", "base_port": 8192}, "workers": 1, "journal": "journal",
    "keys": "keys.yaml", "clock": "wall", "seed": 1,
}


def hugepages(_bench):
    # hongbaod's and the sender's frames, the user table, and the tables of what is outstanding.
    return 1024


def run(bench):
    if len(bench.cpus) < 2:
        raise Failed("needs 2 cores: one for hongbaod's worker, one for the sender")
    link = Link(bench)
    rounds = 2 if bench.quick else bench.rounds
    top, rates, latencies = [], {limit: [] for limit in LIMITS}, {load: [] for load in LOADS}
    for i in range(rounds):
        bench.progress(f"round {i + 1} of {rounds}: how much it can be")
        top.append(link.flat_out())
        for limit in LIMITS:
            bench.progress(f"round {i + 1} of {rounds}: {limit:.1%} lost")
            rates[limit].append(link.search(limit, top[-1]))
        for load in LOADS:
            bench.progress(f"round {i + 1} of {rounds}: {load:.0%} load")
            latencies[load].append(link.play(load * rates[0.0][-1], load)["latency_us"])
    flat = bench.add("answered, window of 4,096", "requests/s", top, link.commands["flat out"],
                     short="flat out")
    for limit in LIMITS:
        bench.add(f"sent with at most {limit:.1%} lost", "requests/s", rates[limit],
                  link.commands["search"], flat)
    for load in LOADS:
        for status in ("MISS", "WIN"):
            found = [of[status] for of in latencies[load] if status in of]
            for percentile in PERCENTILES if found else ():
                bench.add(f"{status} at {load:.0%} load, {percentile.replace('_', '.')}", "us",
                          [of[percentile] for of in found], link.commands[load])
    bench.note("over vhost and virtio_user; load is in parts of the rate without loss; latency counts from "
               "when a request was due, however late it was sent")
    bench.note("with 2 cores the sender shares one with hongbaod's control core, which journals: that "
               "one runs under SCHED_FIFO where latency is measured, so that it comes at once. The command of a search is its last trial's")


class Link:
    """A new hongbaod for each run, and hongbao-replay at the other end."""

    def __init__(self, bench):
        self.bench = bench
        self.seconds = 1 if bench.quick else 3
        self.socket = bench.work / "vhost.sock"
        self.commands = {}  # the last one of each kind
        (bench.work / "keys.yaml").touch(mode=0o600)
        (bench.work / "keys.yaml").write_text(f"epochs: {{ 0: {'a1' * 16} }}\nissuer: {'b2' * 16}\n")
        config = {**CONFIG, "users": 2 * USERS, "ports": [
            {"profile": "vhost", "device": f"net_vhost0,iface={self.socket},queues=1"}],
            "campaigns": [{"id": 7, "name": "bench", "opens": 0, "closes": "2100-01-01T00:00:00Z",
                           "envelopes": {"count": 4_000_000, "total": 10**9, "split": "lucky"},
                           "odds": 0.02, "wins_per_user": 8191}]}
        (bench.work / "replay.yaml").write_text(json.dumps(config))

    def start(self, prompt=False):
        bench = self.bench
        shutil.rmtree(bench.work / "journal", ignore_errors=True)
        self.socket.unlink(missing_ok=True)
        server = subprocess.Popen(
            [bench.program("hongbaod"), "-c", bench.work / "replay.yaml", "--", "--lcores",
             f"0@{bench.cpus[-1]},1@{bench.cpus[0]}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(300):
            if self.socket.exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        # Its main thread, the control core, sleeps between looks. Where latency counts it must not wait for
        # the sender's time slice to be over when it wakes; flat out it would leave the sender too little.
        if prompt:
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(1))
        return server

    def stop(self, server):
        server.send_signal(signal.SIGTERM)
        try:
            out, err = server.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()
            raise Failed("hongbaod did not end within a minute of SIGTERM") from None
        if server.returncode != 0 or "books: balanced" not in out:
            raise Failed(f"hongbaod ended with {server.returncode}: {(err or out).strip()[-300:]}")

    def send(self, kind, pace, requests, prompt=False):
        """One run at a fresh hongbaod. Returns the sender's report."""
        bench, report = self.bench, self.bench.work / "replay.json"
        command = self.commands[kind] = [
            bench.program("hongbao-replay"), "gala-2015", "--device",
            f"net_virtio_user0,path={self.socket},queues=1,packed_vq=1", "--keys",
            bench.work / "keys.yaml", *pace, "--requests", int(requests), "--users", USERS, "--preload",
            "--retries", 0, "--warm-up", 0.3, "--report", report, "--", "--lcores",
            f"0@{bench.cpus[-1]}"]
        server = self.start(prompt)
        try:
            bench.run(command, quiet=True, timeout=300)
        finally:
            self.stop(server)
        found = json.loads(report.read_text())
        if any(found["violations"].values()):
            raise Failed(f"a reply broke the contract: {found['first_violation']}")
        return found

    def flat_out(self):
        """Answered requests a second with so many unanswered at the most."""
        found = self.send("flat out", ["--flat-out", "--window", 4096], 2_000_000 * self.seconds)
        return found["answered"] / found["seconds"]

    def play(self, rate, kind):
        return self.send(kind, ["--rate", int(rate)], rate * self.seconds, prompt=kind != "search")

    def good(self, rate, limit):
        found = self.play(rate, "search")
        return (found["loss"] <= limit and
                found["sender"]["offered_per_second"] >= KEPT_UP * rate)

    def search(self, limit, top):
        """The highest rate at which no more than `limit` is lost, by bisection."""
        low, high = 0.0, 1.5 * top
        while high - low > PRECISION * top and high > PRECISION * top:
            middle = (low + high) / 2
            if self.good(middle, limit):
                low = middle
            else:
                high = middle
        if low == 0:
            raise Failed(f"more than {limit:.1%} is lost at {high:,.0f} requests a second, and above")
        return low
