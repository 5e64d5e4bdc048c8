# SPDX-License-Identifier: BSD-3-Clause
import statistics

from bench import HERE
from plot import Series, write_plot

ABOUT = "one worker at up to 10 times its capacity: what is answered, by class"

LOADS = (0.5, 0.8, 1, 1.5, 2, 3, 5, 10)
OPS = ("SHAKE", "ANSWER", "GRAB", "PACK")
WITHOUT = "goodput without admission control"
WAYS = {"goodput": "as it is", WITHOUT: "without admission control",
        "goodput without a budget": "without a budget for BUSY"}
USER_BYTES = 24


def users(bench):
    return 10**5 if bench.quick else 10**6


def hugepages(bench):
    # The table, the set of told wins, the envelopes.
    return int(users(bench) * 2 * USER_BYTES * 1.3) // (2 << 20) + 512


def run(bench):
    command = bench.pinned("bench_overload", "--users", users(bench), "--rounds", 41 if bench.quick else 61)
    found = bench.measure(command)
    bench.add("one request, no overload control at work", *found["capacity"], command)
    for load in LOADS:
        reference = bench.add(f"{WITHOUT} at {load:g}", *found[f"{WITHOUT} at {load:g}"], command,
                              short="without it")
        bench.add(f"goodput at {load:g}", *found[f"goodput at {load:g}"], command, reference)
    for name in ("goodput without a budget at 10", "wait p50 at 0.5", "wait p99 at 0.5", "wait p50 at 10",
                 "wait p99 at 10", "a BUSY costs, of an answer"):
        bench.add(name, *found[name], command)
    for op in OPS:
        bench.add(f"{op} answered at 2", *found[f"{op} answered at 2"], command)
        bench.add(f"{op} shed at 2", *found[f"{op} shed at 2"], command)
    if not bench.quick:
        draw(found)


def draw(found):
    """Bars are from the lower to the upper quartile: single rounds on a shared machine go anywhere."""
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    times = "offered, times the capacity"
    write_plot(plots / "overload.svg", "Goodput of one worker under overload", times,
               "answered, % of capacity", [line(found, key, name) for key, name in WAYS.items()],
               log_x=True)
    write_plot(plots / "overload-classes.svg", "What is answered, by class", times,
               "answered, % of those offered", [line(found, f"{op} answered", op) for op in OPS],
               log_x=True)
    write_plot(plots / "overload-shed.svg", "What is shed (BUSY), by class", times,
               "shed, % of those offered", [line(found, f"{op} shed", op) for op in OPS], log_x=True)


def line(found, key, name):
    quartiles = [statistics.quantiles(found[f"{key} at {load:g}"][1], n=4) for load in LOADS]
    low, middle, high = zip(*quartiles)
    return Series(name, LOADS, middle, low, high)
