# SPDX-License-Identifier: BSD-3-Clause
"""Adds up JUnit files: `N passed, N failed, N skipped`, and the names of what failed or was skipped.

usage: count.py RUNS_THAT_FAILED FILE...

A file that is missing, or without a test, is a failure: a test run that never began must not pass.
"""
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def outcomes(path):
    """Yields (outcome, name, reason) for each test case of a file."""
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            name = f"{path.parents[1].name}/{suite.get('name')}/{case.get('name')}"
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                yield "failed", name, ""
            elif skipped is not None:
                yield "skipped", name, skipped.get("message") or skipped.text or ""
            else:
                yield "passed", name, ""


def main():
    failed_runs, files = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for path in files:
        try:
            cases = list(outcomes(path))
        except (OSError, ElementTree.ParseError) as error:
            print(f"failed: {path}: {error}")
            cases = []
        if not cases:
            count["failed"] += 1
        for outcome, name, reason in cases:
            count[outcome] += 1
            if outcome != "passed":
                print(f"{outcome}: {name} {reason}".rstrip())
    # A test program that dies may leave no failed case behind, but its run says so.
    if failed_runs > 0 and count["failed"] == 0:
        count["failed"] = failed_runs
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] > 0 else 0


sys.exit(main())
