# SPDX-License-Identifier: BSD-3-Clause
from bench import GIB

ABOUT = "the engine's cycles a request by op and outcome, beside rte_hash"

USER_BYTES = 24
HASH_BYTES = 52  # of rte_hash, at these sizes
MIB = 1 << 20


def tables(bench):
    """(name, users, whether rte_hash fits in beside it) of each size."""
    sizes = [16 * MIB, 256 * MIB] if bench.quick else [16 * MIB, GIB, 4 * GIB]
    for size in sizes:
        users = size // USER_BYTES
        name = f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"
        yield name, users, users * (USER_BYTES + HASH_BYTES) * 1.1 <= bench.memory


def hugepages(bench):
    return max(int(users * (USER_BYTES + HASH_BYTES * fits) * 1.15) // (2 * MIB) + 64
               for _, users, fits in tables(bench))


def run(bench):
    for name, users, fits in tables(bench):
        bench.progress(f"a table of {name}, {users:,} users")
        if users * USER_BYTES * 1.2 > bench.memory:
            bench.note(f"{name}: left out: --memory allows {bench.memory / GIB:.1f} GiB")
            continue
        command = bench.pinned("bench_outcomes", "--users", users, "--rounds", bench.rounds,
                               "--reference", int(fits))
        if not fits:
            bench.note(f"{name}: rte_hash left out: with as many keys it takes "
                       f"{users * HASH_BYTES / GIB:.1f} GiB; --memory allows {bench.memory / GIB:.1f} GiB")
        add_figures(bench, name, command)


def add_figures(bench, table, command):
    found = bench.measure(command)
    added = {}
    # References first, so that what stands beside them finds them.
    for name in sorted(found, key=lambda name: not name.startswith("rte_hash")):
        unit, values = found[name]
        reference = added.get(name.replace("user table", "rte_hash"))
        added[name] = bench.add(f"{table}: {name}", unit, values, command, reference, short="rte_hash",
                                foreign=name.startswith("rte_hash"))
