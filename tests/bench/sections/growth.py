# SPDX-License-Identifier: BSD-3-Clause
from bench import GIB, HERE
from plot import Series, write_plot

ABOUT = "how cost grows with users, campaigns and workers"

USER_BYTES = 24


def user_counts(bench):
    counts = [10**6, 10**7] if bench.quick else [10**6, 10**7, 10**8, 2 * 10**8]
    return [n for n in counts if n * USER_BYTES * 1.3 <= bench.memory]


def campaign_counts(_bench):
    return [1, 100, 10000]


def campaign_users(bench):
    return 10**6 if bench.quick else 10**7


def hugepages(bench):
    most = max(user_counts(bench) + [campaign_users(bench)])
    return int((most + 10**6) * USER_BYTES * 1.15) // (2 << 20) + 128


def run(bench):
    by_users = [measure(bench, f"{n:,} users", n, 1) for n in user_counts(bench)]
    left = 0 if bench.quick else 4 - len(by_users)
    if left:
        bench.note(f"the {left} largest numbers of users left out: --memory allows "
                   f"{bench.memory / GIB:.1f} GiB")
    users = campaign_users(bench)
    by_campaigns = [measure(bench, f"{n:,} campaign{'s' * (n > 1)}, {users:,} users", users, n)
                    for n in campaign_counts(bench)]
    bench.note("a configuration has at most 65,535 campaigns: their ids are 16 bits")
    workers = measure_workers(bench)
    if bench.quick:
        return
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    cycles = "cycles a request (2% wins)"
    write_plot(plots / "growth-users.svg", "Cost with users in the table", "users", cycles,
               both(user_counts(bench), by_users), log_x=True)
    write_plot(plots / "growth-campaigns.svg", f"Cost with campaigns, {users:,} users", "campaigns",
               cycles, both(campaign_counts(bench), by_campaigns), log_x=True)
    if workers:
        write_plot(plots / "growth-workers.svg", "Requests with workers, journal on", "workers",
                   "million requests a second", [series("engine", [1, 2], workers, 1e-6)])


def series(name, xs, figures, scale=1):
    return Series(name, xs, [f.median * scale for f in figures],
                  [min(f.values) * scale for f in figures], [max(f.values) * scale for f in figures])


def both(xs, figures):
    """The figures, and beside them what was measured of the small one in the same rounds."""
    return [series("this size", xs, figures),
            series("1 M users in 1 campaign, in the same rounds", xs, [f.beside for f in figures])]


def measure(bench, name, users, campaigns):
    """A size beside one of a million users in one campaign, in the same rounds."""
    bench.progress(name)
    command = bench.pinned("bench_growth", "--users", users, "--campaigns", campaigns, "--rounds",
                           bench.rounds)
    found = bench.measure(command)
    base = bench.add(f"{name}: beside it 1,000,000 users, 1 campaign", *found["base"], command,
                     short="1,000,000 users, 1 campaign")
    return bench.add(name, *found["grown"], command, base)


def measure_workers(bench):
    bench.progress("1 and 2 workers")
    if len(bench.cpus) < 2:
        bench.note("2 workers left out: this host lets us have 1 core")
        return []
    users, ms = (10**6, 400) if bench.quick else (8 * 10**6, 1500)
    command = [bench.program("bench_engine"), bench.work / "journal", users, ms, bench.rounds]
    found = bench.measure(command)
    one = bench.add("1 worker, journal on", *found["1 worker"], command, short="1 worker")
    return [one, bench.add("2 workers, journal on", *found["2 workers"], command, one)]
