#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What hand-over costs: two workers on net_pcap, each with a capture of its own, in which 0%, 50% or 100%
of the requests are the other's. Interleaved runs; cycles a request are those of all turns of both workers
that had work, so that a request's cycles on both cores are in it.

usage: python3 tests/bench/handover.py --build BUILD [--requests N] [--users N] [--runs N] [--json FILE]
"""
import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))
# pylint: disable=wrong-import-position
from programs import CAMPAIGN, Programs
from queues import deal, owner

SHARES = (0, 50, 100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cycles = {share: [] for share in SHARES}
    directory = Path(tempfile.mkdtemp(prefix="hongbao-bench-"))
    try:
        measure(Programs(args.build, directory), args, cycles)
    finally:
        shutil.rmtree(directory)
    base = statistics.median(cycles[0])
    print(f"{args.requests:,} requests, 2 workers, {args.runs} interleaved runs")
    print(f"{'misdirected':>12} {'cycles a request':>18} {'(spread)':>18} {'more a hand-over':>18}")
    for share, values in cycles.items():
        median = statistics.median(values)
        more = f"{(median - base) / (share / 100):,.0f}" if share else ""
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{share:>11}% {median:>18,.0f} {spread:>18} {more:>18}")
    if args.json:
        args.json.write_text(json.dumps({"requests": args.requests, "cycles": cycles}, indent=2) + "\n")


def measure(p, args, cycles):
    p.keys()
    p.trace("gala-2015", args.requests, args.users, 1, "requests.pcap", "--retries", 0)
    captures = {}
    for share in SHARES:
        captures[share], count = deal(
            p.path("requests.pcap"), 2,
            lambda f, n, s=share: owner(f, 2) ^ (n % 100 < s), f"queue{share}_")
        assert count == args.requests
    for run in range(args.runs):
        print(f"run {run + 1} of {args.runs}", end="\r", file=sys.stderr, flush=True)
        for share, files in captures.items():
            cycles[share].append(play(p, args, share, files))


def play(p, args, share, files):
    p.config(ports=[{"profile": "pcap", "device": "net_pcap0," + ",".join(
        f"rx_pcap={file}" for file in files)}], workers=2, clock="wall", users=args.users,
        campaigns=[{**CAMPAIGN, "wins_per_user": 8191, "envelopes": {
            "count": args.requests // 20, "total": args.requests, "split": "lucky"}}])
    report = p.play()
    handed = sum(w["handed_over"] for w in report["workers"])
    if abs(handed - args.requests * share / 100) > args.requests * 0.01 or report["dropped"]:
        sys.exit(f"handover.py: {handed} were handed over at {share}%: {report['dropped']}")
    return report["cycles_per_request"]


try:
    main()
except (OSError, AssertionError, subprocess.SubprocessError) as error:
    sys.exit(f"handover.py: {error}")
