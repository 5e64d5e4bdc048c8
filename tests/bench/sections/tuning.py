# SPDX-License-Identifier: BSD-3-Clause
"""What tuning costs the data path: one worker that is never short of requests, with 10,000 changes of the
configuration a second, with `stats` asked 100 times a second, and with neither, in turns of one run."""
import contextlib
import json
import subprocess
import sys
import time

from bench import HERE, Failed

sys.path.append(str(HERE.parent / "system"))
from control import Control  # noqa: E402  pylint: disable=wrong-import-position,import-error

ABOUT = "one worker's throughput with 10,000 reloads a second, with stats asked 100 times a second, with neither"

RELOADS_PER_SECOND, STATS_PER_SECOND, BATCH = 10_000, 100, 100
FRAME_BYTES, ROW_BYTES = 640, 24


def size(bench):
    return 200_000 if bench.quick else 2_000_000


def hugepages(bench):
    return (size(bench) * (FRAME_BYTES + 3 * ROW_BYTES)) // (2 << 20) + 256


def configure(bench, metrics="off"):
    """A worker that plays a capture for ever."""
    keys = bench.work / "keys.yaml"
    keys.touch(mode=0o600)
    keys.write_text("epochs: { 0: %s }\nissuer: %s\n" % ("a1" * 16, "b2" * 16))
    bench.run([bench.program("hongbao-trace"), "gala-2015", "--retries", "0", "--requests", size(bench),
               "--users", 8 * size(bench), "--keys", keys, "-o", bench.work / "requests.pcap"], quiet=True)
    campaign = {"opens": 0, "closes": "2100-01-01T00:00:00Z", "odds": 0.02}
    (bench.work / "c.yaml").write_text(json.dumps({
        "host": 1, "listen": {"ipv4": "10.0.0.1", "base_port": 8192}, "workers": 1,
        "ports": [{"profile": "pcap_loop", "device": "net_pcap0,rx_pcap=requests.pcap,infinite_rx=1"}],
        "users": 2 * size(bench), "journal": "journal", "keys": "keys.yaml", "clock": "wall", "seed": 1,
        "metrics": metrics, "campaigns": [
            {**campaign, "id": 7, "envelopes": {"count": size(bench) // 20, "total": size(bench) * 25,
                                                "split": "lucky"}},
            {**campaign, "id": 8, "envelopes": {"count": 1, "total": 1, "split": "equal"}}]}))


class Load:
    """What is asked of the control socket while the worker works."""

    def __init__(self, path):
        self.control = Control(path)
        self.changes = 0

    def counters(self):
        return {row["counter"]: row["count"] for row in self.control.call("stats")["counters"]}

    def nothing(self, seconds):
        time.sleep(seconds)
        return 0

    def reloads(self, seconds):
        """Changes in batches, each batch at its time. Returns how many a second there were."""
        began, done = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            if done > now * RELOADS_PER_SECOND:
                time.sleep(0.001)
                continue
            lines = []
            for _ in range(BATCH):
                self.changes += 1
                lines.append('{"hongbao":1,"command":"config apply","args":{"campaign":8,"keys":'
                             '{"wait":"%d"}}}\n' % (1 + self.changes % 1_000_000))
            self.control.socket.sendall("".join(lines).encode())
            for _ in range(BATCH):
                answer = self.control.lines.readline()
                if b'"ok":true' not in answer.replace(b" ", b""):
                    raise Failed(f"a change was refused: {answer!r}")
            done += BATCH
        return done / (time.monotonic() - began)

    def stats(self, seconds):
        began, done = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            if done > now * STATS_PER_SECOND:
                time.sleep(0.001)
                continue
            self.control.call("stats")
            done += 1
        return done / (time.monotonic() - began)


def measure(load, what, seconds):
    """Requests a second, and how much was asked a second."""
    before, began = load.counters(), time.monotonic()
    asked = getattr(load, what)(seconds)
    after, took = load.counters(), time.monotonic() - began
    requests = after["received"] - before["received"]
    return requests / took, asked


@contextlib.contextmanager
def running(bench):
    """hongbaod on that configuration, warm. Gives its process and a Load."""
    command = [bench.program("hongbaod"), "-c", bench.work / "c.yaml"]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    try:
        load = Load(str(bench.work / "journal/control.sock"))
        measure(load, "nothing", 1.0)
        yield process, load
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[1]
    if process.returncode != 0:
        raise Failed(f"hongbaod ended with {process.returncode}: {said[-500:]}")


def run(bench):
    configure(bench)
    found = {what: [] for what in ("nothing", "reloads", "stats")}
    with running(bench) as (_, load):
        for turn in range(bench.rounds):
            bench.progress(f"turn {turn + 1} of {bench.rounds}")
            for what, values in found.items():
                values.append(measure(load, what, 0.5 if bench.quick else 2.0))
    again = ["sh", "tests/bench/run.sh", "tuning"]
    names = {"nothing": "nothing asked", "stats": "stats asked {:,.0f} times a second",
             "reloads": "{:,.0f} changes a second"}
    beside = None
    for what, values in found.items():
        asked = sum(value[1] for value in values) / len(values)
        figure = bench.add(names[what].format(asked), "requests/s", [value[0] for value in values], again,
                           beside, short="nothing asked")
        beside = beside or figure
        if what == "reloads" and asked < 0.9 * RELOADS_PER_SECOND:
            bench.note(f"only {asked:,.0f} changes a second were made")
