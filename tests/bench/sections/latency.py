# SPDX-License-Identifier: BSD-3-Clause
"""How long one worker's replies take, from when a request is due in its queue, with the control core and the
disk on the other core; and what becomes of the good ones among forged ones."""
import shutil

from bench import Failed
from cpus import place_cpus

ABOUT = "one worker's replies: how long they take at 10%, 50% and 90% load, a win's; and among forged requests"

USERS = 1_000_000
FORGED = 10  # for each good one


def hugepages(bench):
    # The table, the set of told wins, the envelopes.
    return 512


def run(bench):
    if len(bench.cpus) < 2:
        raise Failed("needs 2 cores: one for the worker, one for the control core")
    measure(bench)
    measure(bench, "--forged", FORGED)


def measure(bench, *more):
    journal = bench.work / "latency"
    shutil.rmtree(journal, ignore_errors=True)
    control, worker = place_cpus()
    command = [bench.program("bench_latency"), journal, "--rounds", 3 if bench.quick else 11, "--ms",
               200 if bench.quick else 400, "--users", USERS, "--worker-cpu", worker, "--cpu", control, *more]
    for name, (unit, values) in bench.measure(command).items():
        bench.add(name + (" (among forged ones)" if more and "stalls" in name else ""), unit, values, command)
    shutil.rmtree(journal)
