#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod beside dpdk-testpmd's 5tswap, on one capture, one core each, in interleaved runs.

Both play the same capture through net_pcap, which holds it in memory and drops what is sent: 5tswap
swaps addresses and ports of every frame and sends it back, hongbaod checks tags, decides, journals 2% wins,
and sends replies. Every request is another user's, and hongbaod is stopped before the capture comes round
again. Cycles a request are those of turns of the loop that had work, by each program's own count; requests a
second are the core's clock divided by them.

usage: sh tests/bench/port.sh [--requests N] [--table ROWS] [--runs N] [--json FILE]
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cpus import place_cpus

DEVICE = "net_pcap0,rx_pcap={},infinite_rx=1"
CONFIG = """\
host: 1
listen: {{ ipv4: 10.0.0.1, base_port: 8192 }}
ports:
  - profile: pcap_loop
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

# Of the capture, how much hongbaod takes before it is told to stop: it does so within a millisecond.
FIRST_PASS = 0.97

# How long testpmd runs: about one pass. To 5tswap it doesn't matter who the users are.
TESTPMD_SECONDS = 0.5


def place_lcores():
    """EAL's --lcores, the same for both programs: the main lcore is hongbaod's control core."""
    main, worker = place_cpus()
    return f"0@{main},1@{worker}"


def make_capture(args, work):
    """The capture and the configuration, in `work`."""
    (work / "keys.yaml").touch(mode=0o600)
    (work / "keys.yaml").write_text("epochs: { 0: %s }\nissuer: %s\n" % ("a1" * 16, "b2" * 16))
    subprocess.run(
        [args.build / "app/hongbao-trace/hongbao-trace", "gala-2015", "--retries", "0",
         "--requests", str(args.requests), "--users", str(8 * args.requests), "--keys",
         work / "keys.yaml", "-o", work / "requests.pcap"], check=True, stdout=subprocess.DEVNULL)
    envelopes = args.requests // 20
    (work / "bench.yaml").write_text(CONFIG.format(
        device=DEVICE.format("requests.pcap"), users=args.table, envelopes=envelopes,
        fen=envelopes * 500))


def run_hongbaod(args, work):
    """One run; returns cycles a request."""
    shutil.rmtree(work / "journal", ignore_errors=True)
    want = int(args.requests * FIRST_PASS)
    done = subprocess.run(
        [args.build / "app/hongbaod/hongbaod", "-c", work / "bench.yaml", "--exit-after", str(want),
         "--report", work / "report.json", "--", "--lcores", args.lcores], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 or "with hugepages" not in done.stderr:
        sys.exit("port.py: hongbaod did not run as it should: " + done.stderr)
    report = json.loads((work / "report.json").read_text())
    answered = sum(report["replies"].values())
    if not want <= answered <= args.requests or not report["balanced"]:
        sys.exit(f"port.py: hongbaod answered {answered}, not {want} to {args.requests}")
    subprocess.run([args.build / "app/hongbao-audit/hongbao-audit", work / "journal"], check=True,
                   stdout=subprocess.DEVNULL)
    return report["cycles_per_request"]


def await_prompt(process):
    """Until testpmd has read the capture and takes commands."""
    out = b""
    while b"testpmd> " not in out:
        got = os.read(process.stdout.fileno(), 65536)
        if not got:
            sys.exit("port.py: testpmd did not start: " + out.decode()[-2000:])
        out += got


def run_testpmd(args, work, mode):
    """One run of a forwarding mode; returns (cycles a packet, clock in MHz)."""
    process = subprocess.Popen(
        ["dpdk-testpmd", "--in-memory", "--no-pci", "--lcores=" + args.lcores,
         "--log-level=lib.eal:error", "--vdev=" + DEVICE.format(work / "requests.pcap"), "--",
         "-i", "--no-mlockall", f"--forward-mode={mode}", "--record-core-cycles", "--burst=64",
         "--rxd=512", "--txd=512", "--nb-cores=1", "--no-flush-rx", "--mbuf-size=256",
         f"--total-num-mbufs={args.requests + 20000}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    await_prompt(process)
    process.stdin.write(b"start\n")
    time.sleep(TESTPMD_SECONDS)
    out, _ = process.communicate(b"stop\nquit\n", timeout=60)
    packets = re.findall(r"CPU cycles/packet=([\d.]+) \(total cycles=\d+ / total \w+ packets=(\d+)\)"
                         r" at (\d+) MHz", out.decode())
    if not packets or int(packets[-1][1]) < args.requests // 10:
        sys.exit(f"port.py: testpmd {mode} forwarded too little: {packets[-1:]}")
    return float(packets[-1][0]), int(packets[-1][2])


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def report(args, cycles, mhz):
    """The table. A ratio is of two runs side by side, since the machine changes from minute to minute."""
    print(f"{args.requests:,} requests, each of another user, a table for {args.table:,}, {args.runs} "
          f"interleaved runs, {mhz} MHz")
    print(f"{'':10} {'cycles a request':>18} {'(spread)':>18} {'requests a second':>20} "
          f"{'of 5tswap':>10} {'(spread)':>14}")
    for key, values in cycles.items():
        ratio = [a / b for a, b in zip(cycles["5tswap"], values)]
        median = statistics.median(values)
        print(f"{key:10} {median:18,.0f} {spread(values):>18} {mhz * 1e6 / median:20,.0f} "
              f"{statistics.median(ratio):10.2f} {f'{min(ratio):.2f} to {max(ratio):.2f}':>14}")
    if args.json:
        args.json.write_text(json.dumps(
            {"requests": args.requests, "table": args.table, "mhz": mhz, "cycles": cycles}, indent=2)
            + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    parser.add_argument("--requests", type=int, default=8_400_000, help="each of another user")
    parser.add_argument("--table", type=int, default=200_000_000, help="rows of the user table")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.lcores = place_lcores()
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
    report(args, cycles, mhz)


main()
