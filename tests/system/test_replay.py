# SPDX-License-Identifier: BSD-3-Clause
"""hongbao-replay against a live hongbaod, two processes with a virtio link between them and no hugepages:
whether it counts right, keeps its pace, and notices what is wrong.

usage: test_replay.py BUILD-DIRECTORY [TEST ...]
"""
import json
import re
import signal
import struct
import subprocess
import time

from programs import CAMPAIGN, KEYS, main, records
from vhost import NO_HUGE, alone, arguments, device, vhost

def replay(p, what, *more, queues=1, code=0):
    """Plays to the end; returns the report and what it printed."""
    p.path("replay.json").unlink(missing_ok=True)
    done = p.run("hongbao-replay", *arguments(p, what, *more, queues=queues))
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(p.path("replay.json").read_text()), done.stdout + done.stderr


def check(report, requests, forged=0):
    """Everything was answered as the contract says."""
    assert report["violations"] == {} and "first_violation" not in report, report
    assert report["requests"] == requests - forged and report["forged"] == forged, report
    assert report["answered"] == report["requests"] and report["lost"] == 0, report
    assert report["drawn_anew"] == report["told_to_wait"] == report["forgotten"] == 0, report
    assert report["latency_us"]["all"]["values"] == sum(report["replies"].values()), report


def same_books(p, server, report):
    """The server's counters, its journal and the replies tell the same. Ends the server."""
    said = server.stop()
    assert said["replies"] == report["replies"], (said["replies"], report["replies"])
    assert said["wins"] == report["wins"] == sum(c["given"] for c in p.audit()["campaigns"]), report
    assert said["fen"] == report["fen"], (said, report)
    assert said["dropped"].get("tag", 0) == report["forged"], (said, report)
    return said


OFTEN = {**CAMPAIGN, "odds": 0.1}


def a_scenario_at_a_fixed_rate(p):
    """Every reply finds its request, repeats get what they got, forged requests get nothing."""
    p.keys()
    server = vhost(p, campaigns=[OFTEN])
    report, said = replay(p, "gala-2015", "--requests", 30000, "--users", 6000, "--rate", 20000,
                          "--forged", 0.1, "--retries", 0.1)
    check(report, 30000, 3000)
    assert report["repeated"] == 3000, report
    assert report["wins"] == 1000 and report["replies"]["EMPTY"] > 0, report
    assert abs(report["sender"]["last_due_s"] - 29999 / 20000) < 1e-6, report["sender"]
    assert report["seconds"] < 1.5 + 1, report
    assert "contract: kept by 27,000 replies" in said, said
    assert "\r" not in said, said
    same_books(p, server, report)


def groups_are_funded_and_grabbed(p):
    """Group packets: what the replies say, the journal has, to the fen."""
    p.keys()
    server = vhost(p, campaigns=[OFTEN])
    report, _ = replay(p, "groups", "--requests", 30000, "--users", 6000, "--flat-out", "--window", 256,
                       "--forged", 0.05)
    check(report, 30000, 1500)
    replies = report["replies"]
    assert report["repeated"] > 0 and replies["EMPTY"] > 0 and "CONFLICT" not in replies, report
    said = server.stop()
    assert said["replies"] == replies, (said["replies"], replies)
    packets = p.audit()["packets"]
    assert said["packets"] == {"funded": packets["packets"], "funded_fen": packets["fen"],
                               **{k: packets[k] for k in said["packets"] if not k.startswith("funded")}}
    # Repeats are told again.
    assert 0 < packets["packets"] <= replies["PACKED"] and packets["taken"] <= replies["WIN"], packets
    assert packets["packets"] + packets["taken"] + report["repeated"] >= replies["PACKED"] + replies["WIN"]


def winners_pass_their_bundles_on(p):
    """Sponsors: each bundle is grabbed by its winner and by friends, as soon as the winner knows it."""
    p.keys()
    server = vhost(p, campaigns=[{**OFTEN, "bundle": {"shares": 3, "split": "lucky", "hours": 1}}])
    report, _ = replay(p, "sponsors", "--requests", 10000, "--users", 3000, "--rate", 10000,
                       "--retries", 0)
    replies = report["replies"]
    passed = report["passed_on"]
    assert report["violations"] == {} and report["lost"] == 0, report
    assert passed > 100 and replies["BUNDLE"] >= passed, report
    # Five grab each, three of them in time; but for the bundles that were told when all was sent.
    assert 4 * passed <= report["requests"] - 10000 <= 5 * passed, report
    assert 2.4 * passed <= replies["WIN"] <= 3 * passed, report
    assert set(replies) <= {"BUNDLE", "MISS", "QUOTA", "WIN", "EMPTY"}, replies
    server.stop()
    audit = p.audit()
    assert audit["campaigns"][0]["bundles"] == replies["BUNDLE"], audit
    assert audit["packets"]["packets"] == replies["BUNDLE"], audit
    assert audit["packets"]["taken"] >= replies["WIN"] - 5, audit


def a_capture_by_its_own_times(p):
    """By a capture's times 60 times as fast: the last request isn't later than the first."""
    p.keys()
    p.trace("password-2015", 20000, 6000, 3, "requests.pcap", "--forged", 0.05)
    times = [at for at, _ in records(p.path("requests.pcap"))]
    span = (times[-1] - times[0]) / 1e9 / 60
    server = vhost(p, campaigns=[{**OFTEN, "password": "我"}])
    began = time.monotonic()
    report, _ = replay(p, "requests.pcap", "--speed", 60)
    took = time.monotonic() - began
    check(report, 20000, 1000)
    sender = report["sender"]
    assert abs(sender["last_due_s"] - span) < 1e-6, (sender, span)
    # The machine may be busy; what drifts would be off by much more than a time slice.
    assert sender["last_due_s"] <= sender["last_sent_s"] < sender["last_due_s"] + 0.05, sender
    assert span < took, (span, took)
    assert report["repeated"] == 1000 and report["replies"]["WRONG"] > 0, report
    same_books(p, server, report)


def made_read_and_preloaded_give_the_same(p):
    """The same requests made on the way, read from a capture, and from memory: the same replies."""
    p.keys()
    p.trace("gala-2015", 20000, 6000, 5)
    played = []
    for what in (["gala-2015", "--requests", 20000, "--users", 6000, "--seed", 5],
                 ["requests.pcap"],
                 ["requests.pcap", "--preload"],
                 ["gala-2015", "--requests", 20000, "--users", 6000, "--seed", 5, "--preload"]):
        server = vhost(p, campaigns=[{**OFTEN, "envelopes": {
            "count": 5000, "total": 500000, "split": "lucky"}}], journal=f"journal{len(played)}")
        report, _ = replay(p, *what, "--flat-out", "--window", 256)
        check(report, 20000)
        server.stop()
        played.append((report["replies"], report["wins"], report["fen"], report["repeated"]))
    assert all(one == played[0] for one in played), played


def a_client_repeats_as_it_is_told(p):
    """THROTTLED requests are sent again after their wait, and get an answer in the end."""
    p.keys()
    server = vhost(p, campaigns=[{**OFTEN, "least_interval": 40}])
    report, _ = replay(p, "gala-2015", "--requests", 4000, "--users", 1500, "--rate", 4000,
                       "--retry", 20, "--retries", 0)
    assert report["violations"] == {}, report
    assert report["requests"] == report["answered"] == 4000 and report["lost"] == 0, report
    throttled = report["replies"]["THROTTLED"]
    assert throttled > 100 and report["retries"] == throttled, report
    assert sum(report["replies"].values()) == 4000 + throttled, report
    same_books(p, server, report)


def a_wrong_key_is_noticed(p):
    """Played with another key than the capture was made with: what wins has a wrong seal."""
    p.keys()
    p.trace("gala-2015", 3000, 1000)
    server = vhost(p, campaigns=[{**OFTEN, "odds": 1}])
    p.path("keys.yaml").write_text(KEYS.replace("000102", "ff0102"))
    report, said = replay(p, "requests.pcap", "--rate", 10000, code=1)
    assert report["violations"]["seal"] >= 1000 and report["violations"]["forged"] >= 2850, report
    assert "contract: BROKEN" in said and "was broken" in said, said
    # The other way: tags that the server refuses. Nothing is answered, and that is a loss.
    report, said = replay(p, "gala-2015", "--requests", 500, "--users", 100, "--rate", 10000,
                          "--timeout", 200, "--max-loss", 0.01, code=1)
    assert report["violations"] == {} and report["lost"] == 500 and report["loss"] == 1, report
    assert "100.0000% of the requests were lost" in said, said
    server.stop()


def two_queues_play_the_nic(p):
    """With a queue for each worker, each request comes to the worker that owns it."""
    p.keys()
    server = vhost(p, workers=2, campaigns=[OFTEN])
    report, _ = replay(p, "gala-2015", "--requests", 10000, "--users", 3000, "--rate", 10000,
                       queues=2)
    check(report, 10000)
    done = p.run("hongbao-replay", "gala-2015", "--requests", 10, "--keys", "keys.yaml", "--device", device(p),
                 "--queues", 2, "--", *NO_HUGE)
    assert done.returncode == 3 and "give the device more (queues=2)" in done.stderr, done
    said = same_books(p, server, report)
    assert [w["handed_over"] for w in said["workers"]] == [0, 0], said
    assert all(w["received"] > 4000 for w in said["workers"]), said


def an_interrupt_ends_with_a_report(p):
    """SIGINT: what was sent is waited for and reported, and the books hold."""
    p.keys()
    server = vhost(p, campaigns=[OFTEN])
    with subprocess.Popen(
            [p.build / "app/hongbao-replay/hongbao-replay",
             *map(str, arguments(p, "gala-2015", "--requests", 10**9, "--users", 10**6, "--rate", 5000))],
            cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        server.wait_for("the link is up")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 0, (process.returncode, said, errors)
    report = json.loads(p.path("replay.json").read_text())
    assert report["interrupted"] and ", interrupted" in said, said
    assert 100 < report["requests"] < 10**6 and report["lost"] == 0, report
    same_books(p, server, report)


def time_and_warm_up_end_where_they_say(p):
    """--seconds ends the sending, --warm-up leaves out what came before."""
    p.keys()
    server = vhost(p, campaigns=[OFTEN])
    report, _ = replay(p, "gala-2015", "--requests", 10**6, "--users", 10**5, "--rate", 4000,
                       "--seconds", 1, "--warm-up", 0.5)
    assert report["violations"] == {} and report["requests"] == 4000, report
    assert report["measured"] == 2000 == report["latency_us"]["all"]["values"], report
    same_books(p, server, report)


def what_nobody_answers(p):
    """At a device that swallows all: the time that a single turn takes, and nothing measured is no success."""
    p.keys()
    line = ["gala-2015", "--device", "net_null0", "--keys", "keys.yaml", "--report", "replay.json",
            "--requests", 10, "--flat-out", "--timeout", 50]
    done = p.run("hongbao-replay", *line, "--", *NO_HUGE)
    assert done.returncode == 0, done
    report = json.loads(p.path("replay.json").read_text())
    assert report["requests"] == report["lost"] == 10 and 0 <= report["seconds"] < 10, report
    done = p.run("hongbao-replay", *line, "--warm-up", 60, "--max-loss", 0, "--", *NO_HUGE)
    assert done.returncode == 1 and "no request was measured" in done.stderr, done


def a_capture_that_breaks_off_is_told(p):
    """A record that lies about its length: what came before is played, then one line and exit code 3."""
    p.keys()
    p.trace("gala-2015", 300, 100)
    with open(p.path("requests.pcap"), "ab") as f:
        f.write(struct.pack("<IIII", 2000000000, 0, 60000, 60) + bytes(60000))
    server = vhost(p, campaigns=[OFTEN])
    report, said = replay(p, "requests.pcap", "--rate", 10000, code=3)
    assert report["requests"] == 300 and "a frame of 60 bytes, of which 60000" in report["fault"], report
    assert report["violations"] == {} and report["fault"] in said, said
    server.stop()


def an_interrupt_while_it_waits(p):
    """SIGINT while what was told to wait is waited for doesn't make that any longer; nor is it lost."""
    p.keys()
    server = vhost(p, campaigns=[{**OFTEN, "least_interval": 60000}])
    with subprocess.Popen(
            [p.build / "app/hongbao-replay/hongbao-replay",
             *map(str, arguments(p, "gala-2015", "--requests", 400, "--users", 100, "--rate", 4000,
                                 "--retries", 0, "--timeout", 2000, "--retry", 1))],
            cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        server.wait_for("the link is up")
        began = time.monotonic()
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    took = time.monotonic() - began
    # Two timeouts, 5 s for what a server says, and a little; anew it would be 5 s more.
    assert process.returncode == 0 and took < 12, (process.returncode, took, said, errors)
    report = json.loads(p.path("replay.json").read_text())
    assert report["interrupted"] and report["told_to_wait"] > 100 and report["lost"] == 0, report
    assert report["answered"] == report["requests"] == 400, report
    server.stop()


def a_server_that_goes_away_is_told(p):
    """The other side ends, or never was there: one line, exit code 4, and the report of what was."""
    p.keys()
    server = vhost(p, campaigns=[OFTEN])
    with subprocess.Popen(
            [p.build / "app/hongbao-replay/hongbao-replay",
             *map(str, arguments(p, "gala-2015", "--requests", 10**9, "--users", 10**5, "--rate", 2000))],
            cwd=p.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        server.wait_for("the link is up")
        time.sleep(0.3)
        server.kill()
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 4, (process.returncode, said, errors)
    line = [line for line in errors.splitlines() if line.startswith("hongbao-replay: device")]
    assert len(line) == 1 and "did the other side end" in line[0], errors
    assert json.loads(p.path("replay.json").read_text())["requests"] > 0
    p.path("vhost.sock").unlink(missing_ok=True)
    done = p.run("hongbao-replay", *arguments(p, "gala-2015", "--requests", 10))
    assert done.returncode == 4 and "hongbao-replay: device net_virtio_user0" in done.stderr, done


def bad_command_lines_get_one_line(p):
    """Each with what is wrong and what would be right."""
    p.keys()
    p.path("empty.pcap").write_bytes(b"")
    good = ["--requests", 10, "--device", "net_null0", "--keys", "keys.yaml"]
    for code, words, *line in (
            (2, "nothing to play"),
            (2, "there is no scenario 'gala-1999'", "gala-1999", *good),
            (2, "one argument too many", "gala-2015", "more", *good),
            (2, "--device is missing", "gala-2015", "--requests", 10, "--keys", "keys.yaml"),
            (2, "--keys is missing", "gala-2015", "--requests", 10, "--device", "net_null0"),
            (2, "--requests is missing", "gala-2015", "--device", "net_null0", "--keys", "keys.yaml"),
            (2, "exclude each other", "gala-2015", *good, "--rate", 5, "--flat-out"),
            (2, "exclude each other", "gala-2015", *good, "--rate", 5, "--speed", 2),
            (2, "give it with --flat-out", "gala-2015", *good, "--window", 5),
            (2, "is no number above 0", "gala-2015", *good, "--speed", 0),
            (2, "is no number above 0", "gala-2015", *good, "--speed", "fast"),
            (2, "--rate: '0' is no whole number", "gala-2015", *good, "--rate", 0),
            (2, "--max-loss: cannot use '2'", "gala-2015", *good, "--max-loss", 2),
            (2, "nothing is left to measure", "gala-2015", *good, "--seconds", 1, "--warm-up", 1),
            (2, "unknown option '--fast'", "gala-2015", *good, "--fast"),
            (2, "--rate: the value is missing", "gala-2015", *good, "--rate"),
            (2, "is a capture, which has its own", "x.pcap", *good, "--users", 5),
            (2, "--destination: the frames", "x.pcap", *good, "--destination", "10.0.0.3"),
            (2, "no multiple of 4096", "x.pcap", *good, "--base-port", 9000),
            (3, "x.pcap: no capture that can be read", "x.pcap", *good),
            (3, "empty.pcap: no capture that can be read", "empty.pcap", *good),
            (3, "holds no key of epoch 9", "gala-2015", *good, "--epoch", 9),
            (3, "none.yaml", "gala-2015", *good[:-1], "none.yaml"),
            (3, "nonesuch", "gala-2015", *good, "--profile", "nonesuch")):
        done = p.run("hongbao-replay", *line)
        assert done.returncode == code, (line, done.returncode, done.stderr)
        assert re.fullmatch(r"hongbao-replay: .+\n", done.stderr) and words in done.stderr, (line, done)
        assert done.stdout == "", done.stdout
    done = p.run("hongbao-replay", "--help")
    assert done.returncode == 0 and "--flat-out" in done.stdout and "--users" in done.stdout, done


main([alone(test) for test in (
    a_scenario_at_a_fixed_rate,
    groups_are_funded_and_grabbed,
    winners_pass_their_bundles_on,
    a_capture_by_its_own_times,
    made_read_and_preloaded_give_the_same,
    a_client_repeats_as_it_is_told,
    a_wrong_key_is_noticed,
    two_queues_play_the_nic,
    an_interrupt_ends_with_a_report,
    time_and_warm_up_end_where_they_say,
    what_nobody_answers,
    a_capture_that_breaks_off_is_told,
    an_interrupt_while_it_waits,
    a_server_that_goes_away_is_told,
    bad_command_lines_get_one_line,
)])
