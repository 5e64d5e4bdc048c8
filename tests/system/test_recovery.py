# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod started again on its journal: what was told is told again, what is left is given, and a
journal that isn't right is refused and left alone.

usage: test_recovery.py BUILD-DIRECTORY [TEST ...]
"""
import signal
import subprocess
import time

from programs import CAMPAIGN, main, wins_in

ENVELOPES = {"count": 3000, "total": 300000, "split": "lucky"}
GALA = {**CAMPAIGN, "odds": 0.05, "envelopes": ENVELOPES}


def contents(p):
    return {f.name: f.read_bytes() for f in sorted(p.path("journal").iterdir())}


def prepared(p, **config):
    p.keys()
    p.trace("gala-2015", 50000, 20000)
    p.config(campaigns=[GALA], **config)
    return p


def refused(p, words, name="c.yaml"):
    """The daemon must refuse the journal, in one line, and change nothing."""
    before, replies = contents(p), p.path("replies0.pcap").read_bytes()
    done = p.run("hongbaod", "-c", name, "--exit-when-idle", 100)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 3 and len(lines) == 1, (done.returncode, done.stderr)
    for word in words:
        assert word in lines[0], (word, lines[0])
    assert contents(p) == before
    assert p.path("replies0.pcap").read_bytes() == replies


def what_was_told_is_told_again(p):
    prepared(p)
    p.play()
    first = wins_in(p.path("replies0.pcap"))
    report = p.play(fresh=False)
    assert report["wins"] == 0 and wins_in(p.path("replies0.pcap")) == first
    audit = p.audit()
    assert audit["segments"] == 2 and audit["campaigns"][0]["given"] == len(first), audit


def other_numbers_of_workers_give_the_rest(p):
    """Three runs with 1, 3 and 2 workers, each of other users: all envelopes, each once."""
    p.keys()
    everything = {}
    for run, workers in enumerate((1, 3, 2)):
        captures = [f"requests{i}.pcap" for i in range(workers)]
        for i, name in enumerate(captures):
            p.trace("gala-2015", 30000, 10000 * (run + 1), 10 * run + i, name)
        p.config(captures=captures, clock="wall", campaigns=[
            {**GALA, "odds": 0.02 if run < 2 else 1, "wins_per_user": 1}])
        p.play(fresh=run == 0)
        for i in range(workers):
            for envelope, said in wins_in(p.path(f"replies{i}.pcap")).items():
                assert everything.setdefault(envelope, said) == said, envelope
    audit = p.audit()["campaigns"][0]
    assert audit["given"] == 3000 == len(everything), (audit, len(everything))
    assert audit["given_fen"] == sum(fen for fen, _ in everything.values()) == 300000
    assert audit["largest_user_wins"] == 1, audit


def new_campaigns_are_funded_and_old_ones_kept(p):
    prepared(p)
    p.play()
    p.config(name="two.yaml", campaigns=[{**GALA, "id": 8}, GALA])
    p.play("two.yaml", fresh=False)
    given = {c["campaign"]: c for c in p.audit()["campaigns"]}
    assert given[7]["given"] > 0 and given[8]["given"] == 0 and given[8]["funded"] == 3000, given
    # Without its campaign in the configuration, a win stays in the journal all the same.
    p.config(name="eight.yaml", campaigns=[{**GALA, "id": 8}])
    p.play("eight.yaml", fresh=False)
    assert {c["campaign"]: c for c in p.audit()["campaigns"]} == given


def a_torn_end_is_cut_off_and_said(p):
    prepared(p)
    p.play()
    told = wins_in(p.path("replies0.pcap"))
    segment = p.path("journal") / "00000001.hbj"
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-1])
    done = p.run("hongbaod", "-c", "c.yaml", "--exit-when-idle", 300)
    assert done.returncode == 0, done.stderr
    assert "torn end of" in done.stderr and "00000001" not in done.stdout, done.stderr
    assert len(segment.read_bytes()) <= len(whole) - 512
    # What was in the torn batch was never told, as far as the journal can know, so it is given again:
    # to whom the same requests drew it for.
    assert len(wins_in(p.path("replies0.pcap"))) == len(told)
    assert p.audit()["campaigns"][0]["given"] == len(told)


def damage_is_refused_and_left_alone(p):
    prepared(p)
    p.play()
    segment = p.path("journal") / "00000001.hbj"
    good = segment.read_bytes()
    for at in (0, 20, 4096 + 8, 4096 + 100, len(good) // 2):
        bad = bytearray(good)
        bad[at] ^= 0x10
        segment.write_bytes(bad)
        refused(p, ["00000001.hbj", "offset"])
    segment.write_bytes(good)
    segment.rename(p.path("journal") / "00000002.hbj")
    refused(p, ["missing"])


def other_money_is_refused(p):
    prepared(p)
    p.play()
    for change in ({"count": 3001}, {"total": 300001}, {"split": "equal"}):
        p.config(name="other.yaml", campaigns=[{**GALA, "envelopes": {**ENVELOPES, **change}}])
        refused(p, ["campaign 7", "3000 envelopes, 300000 fen, lucky",
                    str(list(change.values())[0])], "other.yaml")
    p.config(name="host.yaml", campaigns=[GALA], host=2)
    refused(p, ["host: 2", "host 1"], "host.yaml")
    p.config(name="few.yaml", campaigns=[GALA], users=100)
    refused(p, ["users", "winners"], "few.yaml")


def killed_and_started_again(p):
    """SIGKILL in the middle, ten times over: every told win is told again, none is given twice."""
    p.keys()
    p.trace("gala-2015", 400000, 300000)
    p.config(clock="wall", campaigns=[{**GALA, "odds": 1, "envelopes": {
        "count": 200000, "total": 400000, "split": "lucky"}}])
    replies, told = p.path("replies0.pcap"), {}
    for run in range(10):
        replies.unlink(missing_ok=True)
        process = subprocess.Popen([p.build / "app/hongbaod/hongbaod", "-c", p.path("c.yaml")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not (replies.exists() and replies.stat().st_size > 40000 * run):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        p.audit()
        # The file may end in the middle of a frame.
        data = replies.read_bytes()
        replies.write_bytes(data[:24 + (len(data) - 24) // 82 * 82])
        for envelope, said in wins_in(replies).items():
            assert told.setdefault(envelope, said) == said, (run, envelope)
    p.play(fresh=False, idle=1000)
    last = wins_in(replies)
    for envelope, said in told.items():
        assert last.get(envelope, said) == said, envelope
    assert p.audit()["campaigns"][0]["given"] >= len(told) > 0


main([
    what_was_told_is_told_again,
    other_numbers_of_workers_give_the_rest,
    new_campaigns_are_funded_and_old_ones_kept,
    a_torn_end_is_cut_off_and_said,
    damage_is_refused_and_left_alone,
    other_money_is_refused,
    killed_and_started_again,
])
