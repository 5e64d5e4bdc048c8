# SPDX-License-Identifier: BSD-3-Clause
ABOUT = "the tag check by each instruction set, beside libsodium"


def hugepages(_bench):
    return 0


def run(bench):
    command = bench.pinned("bench_verify")
    found = bench.measure(command)
    reference = bench.add("libsodium", *found.pop("libsodium"), command, foreign=True)
    for name, figure in found.items():
        bench.add(name, *figure, command, reference)
