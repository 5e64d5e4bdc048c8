#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions a request by outcome, counted by callgrind and held against instructions.json.

Doesn't depend on the machine's mood: the same build counts the same each time. Fails when an outcome takes
over 3% more than written down; --update writes down what it takes now. A build by another compiler, or
otherwise, counts differently: without figures of its own in the file it is skipped (exit code 77).

usage: python3 tests/bench/instructions.py --build BUILD [--update] [--json FILE]
(BUILD: meson setup BUILD -Disa=portable, since valgrind knows no AVX-512)
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = Path(__file__).resolve().parent / "instructions.json"
TOLERANCE = 0.03
REQUESTS = 128 * 64  # of each outcome, as bench_instructions.c has it
SKIPPED = 77


def skip(why):
    print(f"instructions.py: SKIPPED: {why}", file=sys.stderr)
    sys.exit(SKIPPED)


def count(program):
    """Runs the program under callgrind. Returns (what build it is, instructions a request by outcome)."""
    with tempfile.TemporaryDirectory(prefix="hongbao-bench-") as directory:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             f"--callgrind-out-file={directory}/out", program],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"instructions.py: {program} failed under valgrind:\n{done.stderr[-2000:]}")
        counted = {}
        for path in Path(directory).iterdir():
            text = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
            if name:
                total = int(re.search(r"^totals: (\d+)$", text, re.M).group(1))
                counted[name.group(1)] = round(total / REQUESTS, 2)
    return done.stdout.splitlines()[0], dict(sorted(counted.items()))


def compare(counted, baseline):
    """Prints what differs. Returns the lines that make the check fail."""
    failures = []
    for name, now in counted.items():
        before = baseline.get(name)
        if before is None:
            failures.append(f"{name}: {now:.1f} a request, and no figure to hold it against")
            continue
        change = now / before - 1
        line = f"{name}: {before:.1f} -> {now:.1f} instructions a request ({change:+.1%})"
        if change > TOLERANCE:
            failures.append(line)
        elif change < -TOLERANCE:
            print(f"better: {line}")
    failures += [f"{name}: not counted any more" for name in baseline if name not in counted]
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    parser.add_argument("--update", action="store_true", help="write down what was counted")
    parser.add_argument("--json", type=Path, help="write what was counted here as well")
    args = parser.parse_args()
    program = args.build / "tests/bench/bench_instructions"
    if shutil.which("valgrind") is None:
        skip("no valgrind; apt-get install valgrind")
    if not program.exists():
        skip(f"no {program}; apt-get install valgrind, then meson setup --reconfigure {args.build}")
    build, counted = count(program)
    written = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if args.json:
        args.json.write_text(json.dumps({"build": build, "instructions": counted}, indent=2) + "\n")
    if args.update:
        written[build] = counted
        BASELINE.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
        print(f"{BASELINE}: {len(counted)} outcomes written for {build}")
        return 0
    if build not in written:
        skip(f"this build is {build!r}, the figures are for {', '.join(written) or 'none'}; "
             f"--update adds it")
    failures = compare(counted, written[build])
    for line in failures:
        print(f"worse: {line}")
    if failures:
        print(f"{len(failures)} of {len(counted)} outcomes take over {TOLERANCE:.0%} more than written in "
              f"{BASELINE.name}; if that is meant: python3 {Path(__file__).name} --build {args.build} "
              f"--update")
        return 1
    print(f"{len(counted)} outcomes within {TOLERANCE:.0%} of {BASELINE.name} ({build})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
