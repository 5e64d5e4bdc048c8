# SPDX-License-Identifier: BSD-3-Clause
from bench import GIB

ABOUT = "storms: all wins, forged ones, retries, one hot user; from payload to reply"

USER_BYTES = 24


def users(bench):
    return (GIB // 4 if bench.quick else GIB) // USER_BYTES


def hugepages(bench):
    return int(users(bench) * USER_BYTES * 1.3) // (2 << 20) + 64


def run(bench):
    command = bench.pinned("bench_storm", "--users", users(bench), "--rounds", bench.rounds)
    found = bench.measure(command)
    reference = {}
    for name, (unit, values) in found.items():
        figure = bench.add(name, unit, values, command, reference.get(unit), short="2% wins")
        # The ordinary night is the first.
        reference.setdefault(unit, figure)
