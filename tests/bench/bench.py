#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark suite: one table of figures, each the median of interleaved runs beside its reference, with
spread and command.

usage: sh tests/bench/run.sh [--quick] [--json FILE] [--memory GIB] [--list] [SECTION ...]

--quick    fewer runs and smaller sizes, under 2 minutes in all: for every day, not to be quoted
--json     where the figures go as JSON (build-bench/figures.json); compare.py compares two of these
--memory   what the tables may take together (two thirds of what the host has free)
--list     names the sections; without a name, all but those marked run

Exit codes: 0 every section ran, 1 one failed or found something worse (the lines say which), 2 the command
line is wrong, 3 a program is missing, 4 the host lacks something.
"""
import argparse
import importlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from figures import Figures

# In the order in which they run; each is a file in sections/ with ABOUT, hugepages(bench) and run(bench).
SECTIONS = ("verify", "engine", "groups", "storm", "overload", "latency", "growth", "journal", "port",
            "instead", "instructions", "tuning", "warroom", "settle", "replay", "events")
# Left out unless they are named.
BY_NAME_ONLY = ("settle", "replay", "events")

HERE = Path(__file__).resolve().parent
GIB = 1 << 30
BUSY_LOAD = 0.7


class Failed(Exception):
    """A section could not measure, or found something worse; the line is for people."""


class Bench:
    """What sections share: how to run programs, how much there is of everything, where figures go."""

    def __init__(self, args, figures):
        self.build, self.portable = args.build, args.portable
        self.quick = args.quick
        self.memory = args.memory * GIB
        self.rounds = 5 if args.quick else 10
        self.figures = figures
        self.section = None
        self.work = None  # a directory of this run's own, on a disk
        self.cpus = sorted(os.sched_getaffinity(0))
        self.before = 0  # sections done
        self.sections = 1

    # ---- programs ------------------------------------------------------------------------------

    def program(self, name):
        """The path of a program of the build: `bench_x`, `hongbaod`."""
        for path in (self.build / "tests/bench" / name, self.build / "app" / name / name):
            if path.exists():
                return path
        raise Failed(f"no program {name} in {self.build}; ninja -C {self.build}")

    def shown(self, command):
        """A command as the table has it: BUILD for the build directory, DIR for this run's own."""
        text = " ".join(part if part == "&" else shlex.quote(str(part)) for part in command)
        # The work directory stands in the build directory, and both names may begin alike.
        for path, name in ((self.work, "DIR"), (self.portable, "PORTABLE"), (self.build, "BUILD")):
            text = re.sub(rf"{re.escape(str(path))}(?=/|\s|$)", name, text)
        return text.replace(f"{HERE.parent.parent}/", "")

    def run(self, command, timeout=1800, quiet=False):
        """Runs a command to its end; returns its output. stderr is shown, since it has the progress; but
        for a quiet one, of which it is shown when it fails."""
        command = [str(part) for part in command]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE if quiet else None, timeout=timeout, check=False)
        if done.returncode != 0:
            said = ((done.stderr or "") + done.stdout).strip()[-600:]
            raise Failed(f"`{self.shown(command)}` ended with {done.returncode}: "
                         f"{said or 'its lines above say why'}")
        return done.stdout

    def pinned(self, name, *arguments):
        """A program's command line on the last core."""
        return ["taskset", "-c", self.cpus[-1], self.program(name), *arguments]

    def measure(self, command):
        """Runs a program that prints a figure a line as JSON. Returns {name: (unit, values)}."""
        found = {}
        for line in self.run([*command, "--json"]).splitlines():
            item = json.loads(line)
            if "note" in item:
                self.note(item["note"])
            else:
                found[item["name"]] = (item["unit"], item["values"])
        return found

    # ---- figures -------------------------------------------------------------------------------

    def add(self, name, unit, values, command, beside=None, **more):
        """short: what it is called where it is a reference; foreign: it isn't hongbao's."""
        return self.figures.add(self.section, name, unit, values, self.shown(command), beside, **more)

    def note(self, text):
        self.figures.note(f"{self.section}: " + "; ".join(text.splitlines()))

    def progress(self, text):
        """What is going on, on a terminal."""
        if sys.stderr.isatty():
            print(f"\r\033[K[{self.before + 1}/{self.sections}] {self.section}: {text}", end="",
                  file=sys.stderr, flush=True)

    def progress_end(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def meminfo(key):
    return int(re.search(rf"^{key}:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M).group(1))


def free_bytes():
    """Free memory, with hugepages that wait for somebody."""
    return (meminfo("MemAvailable") + meminfo("HugePages_Free") * meminfo("Hugepagesize")) * 1024


def about(args):
    """Where and when, and of what."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    version = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return {"form": "quick" if args.quick else "full", "version": version.strip() or "unknown",
            "processor": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(),
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")}


def arguments():
    parser = argparse.ArgumentParser(
        prog="run.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", type=Path, default=HERE.parent.parent / "build-bench",
                        help=argparse.SUPPRESS)
    parser.add_argument("--portable", type=Path, default=HERE.parent.parent / "build-portable",
                        help=argparse.SUPPRESS)
    # For run.sh: what it has to prepare before.
    parser.add_argument("--hugepages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("section", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name in args.section:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}; there are: {', '.join(SECTIONS)}")
    args.build, args.portable = args.build.resolve(), args.portable.resolve()
    args.section = args.section or [name for name in SECTIONS if name not in BY_NAME_ONLY]
    args.memory = args.memory or free_bytes() * 2 / 3 / GIB
    return args


def run_section(bench, name, module):
    """Runs one. Returns whether it came to a good end."""
    started = time.monotonic()
    bench.section = name
    bench.progress(module.ABOUT)
    with tempfile.TemporaryDirectory(prefix="hongbao-bench-", dir=bench.build) as work:
        bench.work = Path(work)
        try:
            module.run(bench)
        except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            bench.progress_end()
            print(f"run.sh: {name} FAILED: {error!s}", file=sys.stderr, flush=True)
            return False
        finally:
            bench.before += 1
    bench.progress_end()
    print(f"run.sh: {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return True


def main():
    args = arguments()
    modules = {name: importlib.import_module(f"sections.{name}") for name in SECTIONS}
    if args.list:
        for name, module in modules.items():
            only = "  (only by its name)" if name in BY_NAME_ONLY else ""
            print(f"{name:14} {module.ABOUT}{only}")
        return 0
    figures = Figures(about(args))
    bench = Bench(args, figures)
    if args.hugepages:
        print(max(modules[name].hugepages(bench) for name in args.section))
        return 0
    if args.packages:
        print(" ".join(sorted({package for name in args.section
                               for package in getattr(modules[name], "PACKAGES", ())})))
        return 0
    if not shutil.which("taskset"):
        print("run.sh: no taskset; apt-get install util-linux", file=sys.stderr)
        return 4
    if not args.build.is_dir():
        print(f"run.sh: no build directory {args.build}; run sh tests/bench/run.sh", file=sys.stderr)
        return 3
    if os.getloadavg()[0] > BUSY_LOAD:
        figures.note(f"this host was busy when the run began (load {os.getloadavg()[0]:.1f}): the figures say "
                     f"what it had to spare")
    bench.sections = len(args.section)
    good = [run_section(bench, name, modules[name]) for name in args.section]
    if args.quick:
        print("QUICK: fewer runs and smaller sizes; for comparing from day to day, not to be quoted")
    print(figures.heading())
    print(figures.table())
    for note in figures.notes:
        print(f"- {note}")
    path = args.json or args.build / "figures.json"
    figures.write(path)
    print(f"as JSON: {path}", file=sys.stderr)
    return 0 if all(good) else 1


def on_sigterm(*_):
    sys.exit(143)


if __name__ == "__main__":
    # Sections import what they need of this file by its name.
    sys.modules["bench"] = sys.modules["__main__"]
    # So that a section's servers and namespaces go with it.
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
