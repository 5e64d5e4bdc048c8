# SPDX-License-Identifier: BSD-3-Clause
"""PostgreSQL is away while a show goes on, and comes back: nothing lost, memory flat, the backlog worked off at
the cap. Time is compressed: hongbaod answers ten minutes' worth of wins (600,000: a thousand a second) from a
capture as fast as it can, while the database is away, and hongbao-settle tries in real time.

usage: test_settle_away.py BUILD-DIRECTORY [--wins N] [--away SECONDS]
"""
import argparse
import sys
import time

import postgres
from programs import CAMPAIGN, run_tests
from settling import Bed

CAP = 45000


def away(p, wins, seconds):
    p.keys()
    p.trace("gala-2015", wins, wins, 1, "requests.pcap", "--retries", 0)
    p.config(campaigns=[{**CAMPAIGN, "odds": 1, "wins_per_user": 8000, "envelopes": {
        "count": 2 * wins, "total": 200 * wins, "split": "lucky"}}], users=2 * wins)
    own = postgres.Postgres(shared_buffers="128MB").make()
    settle = None
    try:
        bed = Bed(p, own, journal=False)
        p.trace("gala-2015", 1000, 1000, 2, "first.pcap", "--retries", 0)
        p.config("first.yaml", campaigns=[{**CAMPAIGN, "odds": 1, "wins_per_user": 8000, "envelopes": {
            "count": 2 * wins, "total": 200 * wins, "split": "lucky"}}], users=2 * wins, captures=["first.pcap"])
        p.play("first.yaml")
        settle = bed.follow()
        bed.wait_for("select count(*) from hongbao.wins", "1000")
        own.stop()
        before, began = settle.memory(), time.monotonic()
        report = p.play(fresh=False)
        # The first run's users repeat what they asked.
        assert report["wins"] >= wins - 1000, report["wins"]
        time.sleep(max(0, seconds - (time.monotonic() - began)))
        gone, grown = time.monotonic() - began, settle.memory() - before
        tries = settle.read().count("it is tried again")
        own.start()
        position = bed.position()
        bed.wait_for(f"select next_record > {position} from hongbao.journals", "t")
        start, position = time.monotonic(), bed.position()
        bed.wait_for("select count(*) from hongbao.wins", str(report["wins"] + 1000), 600)
        rate = (bed.position() - position) / (time.monotonic() - start)
        most = settle.memory() - before
        assert settle.end() == 0, settle.said
        bed.equal()
        print(f"# away {gone:.0f} s in which {report['wins']:,} were won ({report['requests_per_second']:,.0f} requests a second); "
              f"{tries} lines said; memory {grown:+,} bytes while away, {most:+,} in all; worked off at {rate:,.0f} a second",
              flush=True)
        assert grown < 1 << 20 and most < 16 << 20, (grown, most)
        # Less only where the database is slower than the cap.
        assert rate < 1.05 * CAP, rate
    finally:
        if settle:
            settle.kill()
        own.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--wins", type=int, default=600000)
    parser.add_argument("--away", type=float, default=60, help="seconds at least")
    args = parser.parse_args()
    if postgres.missing():
        print("1..1\nok 1 - away # SKIP " + postgres.missing())
        return 0

    def a_database_that_was_away_gets_all_of_it(p):
        away(p, args.wins, args.away)

    return run_tests(args.build, [a_database_that_was_away_gets_all_of_it])


sys.exit(main())
