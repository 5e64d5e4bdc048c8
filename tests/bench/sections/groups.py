# SPDX-License-Identifier: BSD-3-Clause
from bench import HERE
from plot import Series, write_plot

ABOUT = "group packets: the fairness of shares, packets a second, one hot packet"

POSITIONS = range(1, 11)
AIM = "packets with ten grabs each"


def hugepages(_bench):
    # Packets, their shares, and something for the rest.
    return 256


def run(bench):
    command = bench.pinned("bench_groups", "--rounds", bench.rounds)
    found = bench.measure(command)
    alone = bench.add("a request of packets with ten grabs each", *found["a request of them"], command)
    bench.add("the same beside a packet that 100,000 grab",
              *found["a request beside the hottest packet"], command, alone, short="without it")
    for name in ("a grab of the hottest packet, alone", AIM, "a turn of the wheel while packets end, p50",
                 "a turn of the wheel while packets end, p99.9"):
        bench.add(name, *found[name], command)
    command = bench.pinned("bench_shares", "--packets", 10**5 if bench.quick else 10**7)
    found = bench.measure(command)
    for place in POSITIONS:
        theory = bench.add(f"deviation of share {place}, theory", *found[f"theory at {place}"], command)
        bench.add(f"deviation of share {place}", *found[f"deviation at {place}"], command, theory,
                  short="theory")
        bench.add(f"mean of share {place}", *found[f"mean at {place}"], command)
    if not bench.quick:
        draw(found)


def draw(found):
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    write_plot(plots / "shares.svg", "Ten lucky shares of 100 yuan, by position", "share",
               "fen", [line(found, "mean at", "mean"),
                       line(found, "deviation at", "standard deviation"),
                       line(found, "theory at", "standard deviation, theory")])


def line(found, key, name):
    values = [found[f"{key} {place}"][1][0] for place in POSITIONS]
    return Series(name, list(POSITIONS), values, values, values)
