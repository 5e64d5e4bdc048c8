# SPDX-License-Identifier: BSD-3-Clause
import re
import shutil

from bench import Failed

ABOUT = "durable wins a second, and a journal read back, beside the disk alone"

PATTERNS = {
    "wins": r"wins durable in [\d.]+ s: (\d+) a second, (\d+) a batch",
    "batch": r"a batch, written and flushed +p50 +([\d.]+) ms +p99 +([\d.]+) ms",
    "flush": r"the disk alone, +\d+ bytes: +p50 +([\d.]+) ms +p99 +([\d.]+) ms",
    "read": r"wins read back in ([\d.]+) s: (\d+) MB/s",
    "disk": r"the disk alone: (\d+) MB/s before, (\d+) MB/s after",
}


def hugepages(bench):
    return wins(bench) * (24 + 12) // (2 << 20) + 64


def wins(bench):
    return 2_000_000 if bench.quick else 120_000_000


def run(bench):
    directory = bench.work / "journal"
    command = [bench.program("bench_journal"), directory, wins(bench)]
    runs = []
    for i in range(3 if bench.quick else bench.rounds):
        bench.progress(f"{wins(bench):,} wins, run {i + 1}")
        text = bench.run(command)
        shutil.rmtree(directory)
        found = {name: re.search(pattern, text) for name, pattern in PATTERNS.items()}
        if not all(found.values()):
            raise Failed(f"bench_journal printed no line for {[n for n in found if not found[n]]}")
        runs.append({name: [float(value) for value in match.groups()] for name, match in found.items()})

    def column(name, index):
        return [run[name][index] for run in runs]

    bench.add("durable wins", "wins/s", column("wins", 0), command)
    for index, percentile in enumerate(("p50", "p99")):
        disk = bench.add(f"the disk alone, as many bytes, {percentile}", "ms", column("flush", index),
                         command, short="the disk alone", foreign=True)
        bench.add(f"a batch, written and flushed, {percentile}", "ms", column("batch", index), command,
                  disk)
    disk = bench.add("the disk alone, reading", "MB/s", [max(run["disk"]) for run in runs],
                     command, short="the disk alone", foreign=True)
    bench.add("a journal read back", "MB/s", column("read", 1), command, disk)
