# SPDX-License-Identifier: BSD-3-Clause
import json
import subprocess

from bench import HERE, Failed

ABOUT = "instructions a request by outcome, counted by callgrind, held against instructions.json"
PACKAGES = ("valgrind",)


def hugepages(_bench):
    return 0


def run(bench):
    counted = bench.work / "instructions.json"
    command = ["python3", HERE / "instructions.py", "--build", bench.portable]
    done = subprocess.run([*map(str, command), "--json", str(counted)], text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if counted.exists():
        for name, value in json.loads(counted.read_text())["instructions"].items():
            bench.add(name, "instructions", [value], command)
    lines = done.stdout.strip()
    if done.returncode == 77:
        bench.note(lines)
    elif done.returncode != 0:
        raise Failed("\n" + lines)
