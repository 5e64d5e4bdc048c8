# SPDX-License-Identifier: BSD-3-Clause
"""Real kills: hongbaod on a live port of the kernel's, under load from a client that remembers every win
that it was told. SIGKILL at a random moment, start again, compare; over and over.

Runs in a network namespace of its own, and needs root and /dev/net/tun.

usage: test_kills.py BUILD-DIRECTORY [--kills N] [--seed N]
"""
import random
import sys

import live
import winners
from programs import CAMPAIGN


def killed_and_started_again(p, count, seed):
    """Kills and starts again `count` times."""
    rng = random.Random(seed)
    p.keys()
    p.config(captures=(), campaigns=[live.always(), live.always(
        id=CAMPAIGN["id"] + 1, bundle={"shares": 2, "split": "lucky", "hours": 24})], **winners.CONFIG)
    client, server = winners.Client(), live.Server(p)
    try:
        kill_over_and_over(p, client, server, rng, count, seed)
    finally:
        # A test that fails leaves nothing running.
        server.kill()


def kill_over_and_over(p, client, server, rng, count, seed):
    torn = 0
    for kill in range(count):
        torn += "torn end" in server.start(winners.UP)
        client.connect()
        if client.told:
            winners.ask_again(client, rng.sample(sorted(client.told), min(50, len(client.told))))
        before = len(client.told)
        # At first at any moment, then as soon as something was told.
        winners.load_for(client, rng.uniform(0.005, 0.1))
        while len(client.told) == before:
            winners.load_for(client, 0.01)
        server.kill()
        if sys.stderr.isatty():
            print(f"\r{kill + 1} kills, {len(client.told)} wins told", end="", file=sys.stderr)
    server.start(winners.UP)
    client.connect()
    for start in range(0, len(client.told), 1000):
        winners.ask_again(client, sorted(client.told)[start:start + 1000])
    server.stop()
    check_books(p.audit(), client.told)
    print(f"# {count} kills with seed {seed}: {len(client.told)} answers with money, and again after "
          f"them, {torn} torn ends cut", flush=True)


def check_books(audit, told):
    """The journal has all that was told, and gave nothing twice."""
    def of(kind):
        return {what: data for what, data in told.items() if what[0] == kind}

    plain, bundles = audit["campaigns"]
    ids = {data[8:16] for data in of("shake").values()}
    assert len(ids) == len(of("shake")), "an envelope was told to two"
    assert len({data[8:16] for data in of("bundle").values()}) == len(of("bundle"))
    assert plain["given"] >= len(ids) and plain["largest_user_wins"] == 1, plain
    assert bundles["bundles"] >= len(of("bundle")), bundles
    packets = audit["packets"]
    packed = len(of("pack"))
    assert packets["packets"] >= packed + len(of("bundle")), (packets, packed)
    assert packets["taken"] >= len(of("grab")) > 0, (packets, len(of("grab")))
    # Those that were over at once went back: all that had their second, and none twice.
    over = sum(packet % 2 == 0 for _, packet in of("pack"))
    assert over / 2 <= packets["refunded"] <= packets["packets"], (packets, over)
    assert packets["refunded_fen"] == 100 * packets["refunded"], packets


sys.exit(winners.main(__doc__, 20, killed_and_started_again))
