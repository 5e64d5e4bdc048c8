#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares the figures of two runs of tests/bench/run.sh: what changed, and by how much beyond the spread.

A figure has changed when the spreads of the two runs (lowest to highest) do not touch; "beyond" is the gap
between them, in per cent of the old median. Where only the middle halves do not touch, it may have: such
lines end in a question mark, and don't count. (Two runs of one version differ by mood as well: the machine's
noise is in the spread as far as it lasted shorter than a run.)

usage: python3 tests/bench/compare.py OLD.json NEW.json [--all]
--all      shows the figures that didn't change, too

Exit codes: 0 nothing is worse, 1 something is, 2 the command line is wrong, 3 a file is missing or wrong, or
the two have no figure in common.
"""
import json
import statistics
import sys
from collections import Counter
from pathlib import Path

from figures import number

NOTEWORTHY = 0.03  # a smaller change than that isn't worth a question mark


def load(name):
    try:
        data = json.loads(Path(name).read_text())
        return data["about"], {(f["section"], f["name"], f["unit"]): f for f in data["figures"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"compare.py: {name}: {error!r}; name a file that run.sh --json wrote", file=sys.stderr)
        sys.exit(3)


def apart(old, new):
    """The gap between two ranges; 0 where they touch."""
    return max(new[0] - old[1], old[0] - new[1], 0)


def middle(values):
    """The middle half of the values: from the first quartile to the third."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def compare(old, new):
    """Returns (verdict, change of the median, gap between the spreads), the latter two as parts of 1."""
    change = new["median"] / old["median"] - 1
    gap = apart((old["min"], old["max"]), (new["min"], new["max"])) / old["median"]
    direction = "better" if (change > 0) == (new["better"] == "more") else "worse"
    if gap > 0:
        return direction, change, gap
    if abs(change) > NOTEWORTHY and apart(middle(old["values"]), middle(new["values"])) > 0:
        return direction + "?", change, gap
    return "same", change, gap


def note_mood(pairs):
    """What isn't hongbao's moves only with the machine."""
    moods = [(new["median"] / old["median"]) ** (1 if new["better"] == "more" else -1) - 1
             for old, new in pairs if new["unit"] != "bytes"]
    if moods and abs(statistics.median(moods)) > NOTEWORTHY:
        print(f"note: the references that aren't hongbao's are {statistics.median(moods):+.0%} faster at the "
              f"median ({min(moods):+.0%} to {max(moods):+.0%}): the machine was in another mood")


def main():
    names = [arg for arg in sys.argv[1:] if arg != "--all"]
    if len(names) != 2 or any(name.startswith("-") for name in names):
        print(__doc__.split("\n\n")[2], file=sys.stderr)
        return 2
    (old_about, old), (new_about, new) = load(names[0]), load(names[1])
    common = [key for key in new if key in old]
    if not common:
        print("compare.py: the two have no figure in common", file=sys.stderr)
        return 3
    for what in ("form", "processor", "kernel"):
        if old_about.get(what) != new_about.get(what):
            print(f"note: {what} differs: {old_about.get(what)} and {new_about.get(what)}")
    note_mood([(old[key], new[key]) for key in common if new[key].get("foreign")])
    count = Counter()
    for key in common:
        verdict, change, gap = compare(old[key], new[key])
        # References are there to compare with.
        count[verdict] += not new[key].get("foreign")
        if verdict != "same" or "--all" in sys.argv:
            beyond = f"{gap:.1%} beyond the spread" if gap > 0 else "within the spread"
            print(f"{verdict:7}  {key[0]}: {key[1]}: {number(old[key]['median'])} -> "
                  f"{number(new[key]['median'])} {key[2]} ({change:+.1%}; {beyond})")
    same = sum(count.values()) - count["worse"] - count["better"]
    print(f"{old_about.get('version')} -> {new_about.get('version')}: {count['worse']} worse, "
          f"{count['better']} better, {same} within the spread; {len(old) - len(common)} only in the old, "
          f"{len(new) - len(common)} only in the new")
    return 1 if count["worse"] else 0


if __name__ == "__main__":
    sys.exit(main())
