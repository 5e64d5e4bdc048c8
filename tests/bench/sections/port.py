# SPDX-License-Identifier: BSD-3-Clause
"""One worker through net_pcap beside testpmd, as port.py measures it."""
import json

from bench import HERE

ABOUT = "one worker through a port, beside testpmd's 5tswap and macswap on the same capture"
PACKAGES = ("dpdk-dev",)

FRAME_BYTES, ROW_BYTES = 640, 24


def size(bench):
    """Requests, each of another user, and rows of the table."""
    return (1_000_000, 25_000_000) if bench.quick else (8_400_000, 200_000_000)


def hugepages(bench):
    requests, rows = size(bench)
    return (requests * FRAME_BYTES + int(rows * ROW_BYTES * 1.02)) // (2 << 20) + 128


def run(bench):
    requests, rows = size(bench)
    out = bench.work / "port.json"
    command = ["python3", HERE / "port.py", "--build", bench.build, "--requests", requests, "--table", rows,
               "--runs", 3 if bench.quick else bench.rounds, "--json", out]
    bench.run(command, quiet=True)
    found = json.loads(out.read_text())
    swap = bench.add("testpmd 5tswap", "cycles/packet", found["cycles"]["5tswap"], command, short="5tswap",
                     foreign=True)
    bench.add("testpmd macswap", "cycles/packet", found["cycles"]["macswap"], command, swap, foreign=True)
    bench.add(f"hongbaod, {requests:,} users, {rows:,} rows", "cycles/packet", found["cycles"]["hongbaod"],
              command, swap)
