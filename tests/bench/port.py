#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod beside dpdk-testpmd's 5tswap, on one capture, one core each, in interleaved runs.

Both play the same capture once through net_pcap, which drops what is sent: 5tswap swaps addresses and
ports of every frame and sends it back, hongbaod checks tags, decides, journals 2% wins, and sends
replies. Cycles a request are those of turns of the loop that had work, by each program's own count;
requests a second are the core's clock divided by them.

usage: sh tests/bench/port.sh [--requests N] [--users N] [--runs N] [--json FILE]
"""
import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEVICE = "net_pcap0,rx_pcap={}"
CONFIG = """\
host: 1
listen: {{ ipv4: 10.0.0.1, base_port: 8192 }}
ports:
  - profile: pcap
    device: "{device}"
workers: 1
users: {users}
journal: journal
keys: keys.yaml
clock: wall
seed: 1
campaigns:
  - id: 7
    name: bench
    opens: 0
    closes: "2100-01-01T00:00:00Z"
    envelopes: {{ count: {envelopes}, total: {fen}, split: lucky }}
    odds: 0.02
    wins_per_user: 8191
"""


def make_capture(args, work):
    """The capture and the configuration, in `work`."""
    (work / "keys.yaml").touch(mode=0o600)
    (work / "keys.yaml").write_text("epochs: { 0: %s }\nissuer: %s\n" % ("a1" * 16, "b2" * 16))
    subprocess.run(
        [args.build / "app/hongbao-trace/hongbao-trace", "gala-2015", "--retries", "0",
         "--requests", str(args.requests), "--users", str(args.users), "--keys",
         work / "keys.yaml", "-o", work / "requests.pcap"], check=True, stdout=subprocess.DEVNULL)
    envelopes = args.requests // 20
    (work / "bench.yaml").write_text(CONFIG.format(
        device=DEVICE.format("requests.pcap"), users=args.users, envelopes=envelopes,
        fen=envelopes * 500))


def run_hongbaod(args, work):
    """One run; returns (cycles a request, clock in Hz implied by nothing: None)."""
    shutil.rmtree(work / "journal", ignore_errors=True)
    subprocess.run(
        [args.build / "app/hongbaod/hongbaod", "-c", work / "bench.yaml", "--exit-when-idle", "300",
         "--report", work / "report.json"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = json.loads((work / "report.json").read_text())
    answered = sum(report["replies"].values())
    if answered != args.requests or not report["balanced"]:
        sys.exit(f"port.py: hongbaod answered {answered} of {args.requests}")
    subprocess.run([args.build / "app/hongbao-audit/hongbao-audit", work / "journal"], check=True,
                   stdout=subprocess.DEVNULL)
    return report["cycles_per_request"]


def run_testpmd(args, work, mode):
    """One run of a forwarding mode; returns (cycles a packet, clock in MHz)."""
    process = subprocess.Popen(
        ["dpdk-testpmd", "--in-memory", "--no-pci", "--lcores=0@0,1@1",
         "--log-level=lib.eal:error", "--vdev=" + DEVICE.format(work / "requests.pcap"), "--",
         "-i", "--no-mlockall", f"--forward-mode={mode}", "--record-core-cycles", "--burst=64",
         "--rxd=512", "--txd=512", "--nb-cores=1", "--no-flush-rx"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process.stdin.write("start\n")
    for _ in range(args.requests // 250000 + 8):
        time.sleep(0.25)
        process.stdin.write("show fwd stats all\n")
        process.stdin.flush()
    out, _ = process.communicate("stop\nquit\n", timeout=60)
    packets = re.findall(r"CPU cycles/packet=([\d.]+) \(total cycles=\d+ / total \w+ packets=(\d+)\)"
                         r" at (\d+) MHz", out)
    if not packets or int(packets[-1][1]) != args.requests:
        sys.exit(f"port.py: testpmd {mode} did not see all {args.requests} frames: {packets[-1:]}")
    return float(packets[-1][0]), int(packets[-1][2])


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.build = args.build.resolve()
    cycles = {"hongbaod": [], "5tswap": [], "macswap": []}
    with tempfile.TemporaryDirectory(prefix="hongbao-bench-") as name:
        work = Path(name)
        make_capture(args, work)
        for run in range(args.runs):
            print(f"run {run + 1} of {args.runs}", end="\r", file=sys.stderr, flush=True)
            cycles["hongbaod"].append(run_hongbaod(args, work))
            for mode in ("5tswap", "macswap"):
                value, mhz = run_testpmd(args, work, mode)
                cycles[mode].append(value)
    median = {key: statistics.median(values) for key, values in cycles.items()}
    print(f"{args.requests:,} requests of {args.users:,} users, {args.runs} interleaved runs, "
          f"{mhz} MHz")
    print(f"{'':10} {'cycles a request':>18} {'(spread)':>18} {'requests a second':>20} "
          f"{'of 5tswap':>10}")
    for key, values in cycles.items():
        print(f"{key:10} {median[key]:18,.0f} {spread(values):>18} "
              f"{mhz * 1e6 / median[key]:20,.0f} {median['5tswap'] / median[key]:10.2f}")
    if args.json:
        args.json.write_text(json.dumps({"requests": args.requests, "users": args.users, "mhz": mhz,
                                         "cycles": cycles}, indent=2) + "\n")


main()
