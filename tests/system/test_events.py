# SPDX-License-Identifier: BSD-3-Clause
"""The events of 2015 through the programs, scaled; and what must hold of any of them.

usage: test_events.py BUILD-DIRECTORY [TEST ...]
"""
import copy
import json
import shutil
import signal
import subprocess
import time

from programs import CAMPAIGN, main, records, wins_in

def campaign(**changes):
    changed = copy.deepcopy(CAMPAIGN)
    changed.update(changes)
    return changed


def check_books(p, report, envelopes, fen):
    """Everything was given: in the report, in the audit, and no envelope twice."""
    audit = p.audit()["campaigns"][0]
    assert (report["wins"], report["fen"]) == (envelopes, fen), report
    assert (audit["given"], audit["given_fen"]) == (envelopes, fen), audit
    assert (audit["users"], audit["largest_user_wins"]) == (envelopes, 1), audit
    assert 0 < audit["first_us"] < audit["last_us"], audit


def password_2015_at_1_100_gives_all_9999_envelopes(p):
    """1 million answers from 299,800 users, 15% right, 9,999 envelopes, one for each user."""
    p.keys()
    p.trace("password-2015", 1000000, 299800)
    p.config(campaigns=[campaign(
        envelopes={"count": 9999, "total": 9999 * 100, "split": "lucky"}, odds=1, password="我")])
    report = p.play()
    assert report["requests"] == 1000000 and not report["dropped"], report
    check_books(p, report, 9999, 999900)
    won = wins_in(p.path("replies0.pcap"))
    assert len(won) == 9999 and sum(fen for fen, _ in won.values()) == 999900
    assert len({user for _, user in won.values()}) == 9999
    assert report["replies"]["WRONG"] > 800000, report


def gala_2015_repeats_exactly(p):
    """The same capture, seed and clock twice: the same bytes, times of requests, order of requests."""
    p.keys()
    p.trace("gala-2015", 200000, 60000)
    p.config(campaigns=[campaign(envelopes={"count": 2200, "total": 1100000, "split": "lucky"})])
    first = p.play()
    p.path("replies0.pcap").rename(p.path("first.pcap"))
    second = p.play()
    assert first["replies"] == second["replies"]
    assert p.path("first.pcap").read_bytes() == p.path("replies0.pcap").read_bytes()
    times = [when for when, _ in records(p.path("first.pcap"))]
    assert len(times) == 200000 and times == sorted(times)
    # Another seed draws otherwise.
    p.config(seed=2, campaigns=[campaign(
        envelopes={"count": 2200, "total": 1100000, "split": "lucky"})])
    p.play()
    assert p.path("first.pcap").read_bytes() != p.path("replies0.pcap").read_bytes()


def a_capture_goes_round_until_enough_came(p):
    """Out of memory, round and round: from the second round on each request repeats the first round's, so
    nobody wins twice; the run ends soon after the frames that --exit-after asks for."""
    p.keys()
    p.trace("gala-2015", 1000, 900, 1, "requests.pcap", "--retries", 0)
    ports = [{"profile": "pcap_loop", "device": "net_pcap0,rx_pcap=requests.pcap,infinite_rx=1"}]
    p.config(clock="wall", ports=ports, campaigns=[campaign(odds=1, wins_per_user=8191, envelopes={
        "count": 5000, "total": 5000, "split": "equal"})])
    done = p.run("hongbaod", "-c", "c.yaml", "--report", "report.json", "--exit-after", 100000)
    assert done.returncode == 0, done
    report = json.loads(p.path("report.json").read_text())
    # Requests of one user come in the order of their seq: the second round begins with old ones.
    assert report["requests"] >= 100000 and report["replies"]["STALE"] > 0, report
    assert p.audit()["campaigns"][0]["given"] == 1000
    done = p.run("hongbaod", "-c", "c.yaml", "--exit-after", 0)
    assert done.returncode == 2 and "--exit-after" in done.stderr, done


def a_full_disk_stops_wins_and_nothing_else(p):
    """A journal on a file system that holds one segment: wins stop with BUSY, the rest goes on, the
    books balance."""
    where = p.path("small")
    where.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=68m", "tmpfs", where], check=False,
                           capture_output=True, text=True)
    if mount.returncode != 0:
        return "a file system cannot be mounted here: " + mount.stderr.strip()
    try:
        p.keys()
        p.trace("gala-2015", 2000000, 1900000, 1, "requests.pcap", "--retries", 0)
        p.config(journal="small/journal", clock="wall", users=2000000, campaigns=[campaign(
            odds=1, envelopes={"count": 1900000, "total": 1900000, "split": "equal"})])
        done = p.run("hongbaod", "-c", "c.yaml", "--report", "r.json", "--exit-when-idle", 500)
        audit = p.audit("small/journal")["campaigns"][0]
        told = wins_in(p.path("replies0.pcap"))
        assert done.returncode == 1 and "the disk is full" in done.stderr, done
        assert "BUSY" in done.stdout, done.stdout
        # A segment's worth of wins was told, and each of them is in the journal.
        assert 1500000 < len(told) == audit["given"] < 1900000, (audit, len(told))
    finally:
        subprocess.run(["umount", where], check=True)


def sigterm_answers_what_was_taken_in(p):
    """SIGTERM with wins in every stage: exit 0, every request that was taken in has its reply, every win
    that was told is in the journal, and the books balance; with one worker and with three."""
    p.keys()
    for i in range(3):
        p.trace("gala-2015", 1000000, 900000, i + 1, f"requests{i}.pcap", "--retries", 0,
                "--campaign", 7 + i)
    campaigns = [campaign(id=7 + i, odds=1, envelopes={
        "count": 800000, "total": 800000, "split": "equal"}) for i in range(3)]
    for workers, tries in ((1, 3), (3, 3)):
        p.config(captures=[f"requests{i}.pcap" for i in range(workers)], clock="wall", users=3000000,
                 campaigns=campaigns)
        for attempt in range(tries):
            interrupt(p, [p.path(f"replies{i}.pcap") for i in range(workers)], attempt * 1000000)


def interrupt(p, replies, size):
    """Ends a run with SIGTERM once that many bytes of replies are there; checks what is left."""
    shutil.rmtree(p.path("journal"), ignore_errors=True)
    for file in replies:
        file.unlink(missing_ok=True)
    process = subprocess.Popen(
        [p.build / "app/hongbaod/hongbaod", "-c", p.path("c.yaml"), "--report",
         p.path("report.json")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (replies[0].exists() and replies[0].stat().st_size > size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.0005)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "books: balanced" in out, (out, err)
    report = json.loads(p.path("report.json").read_text())
    frames = sum(1 for file in replies for _ in records(file))
    assert frames == report["sent"] == sum(report["replies"].values()), report
    assert report["requests"] == frames + sum(report["dropped"].values()), report
    assert set(report["dropped"]) <= {"handover"}, report
    told = set().union(*(wins_in(file) for file in replies))
    assert len(told) == report["wins"] == sum(c["given"] for c in p.audit()["campaigns"])


main([
    password_2015_at_1_100_gives_all_9999_envelopes,
    gala_2015_repeats_exactly,
    a_capture_goes_round_until_enough_came,
    a_full_disk_stops_wins_and_nothing_else,
    sigterm_answers_what_was_taken_in,
])
