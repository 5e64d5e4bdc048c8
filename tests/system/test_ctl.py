# SPDX-License-Identifier: BSD-3-Clause
"""hongbaoctl against a model of the daemon: what it shows, what it sends, its exit codes, terminals, top,
completion and the manual page.

usage: test_ctl.py BUILD-DIRECTORY [TEST ...]
"""
import json
import os
import re
import shutil
import signal
import subprocess
import termios
import threading
import time
import unicodedata

from ctl_server import Error, Model, Terminal, frames, line, plain, send, send_in_pieces
from programs import main

GOOD, REFUSED, USAGE, NO_ANSWER, DENIED = range(5)

STATUS = {
    "state": "running", "version": "0.1.0", "pid": 4711, "host": 1, "time_us": 1424269800000000,
    "uptime_s": 11520, "config_version": 5, "config_saved": False, "workers": 2, "workers_current": 2,
    "ports": 1, "links_down": 0, "disk": "good", "received": 1234567,
    "received_per_second": 123456.7, "wins": 11000, "given_fen": 5500012, "load_percent": 54.25,
}


def row(kind, name, count, rate):
    return {kind: name, "count": count, "last_1s_per_second": rate, "last_10s_per_second": rate}


def worker(number, load):
    return {"worker": number, "received": 600000, "received_per_second": 61728.3, "load_percent": load,
            "cycles_per_request": 1588.4, "overloaded": load > 95, "admission_percent": 100.0, "parked": 3}


STATS = {
    "time_us": 1424269800000000,
    "counters": [row("counter", "received", 1234567, 123456.7), row("counter", "sent", 1234000, 123400),
                 row("counter", "wins", 11000, 1100), row("counter", "given_fen", 5500012, 550001)],
    "replies": [row("status", "WIN", 11552, 1155), row("status", "MISS", 958116, 95811)],
    "dropped": [row("reason", "tag", 567, 56)], "shed": [],
    "workers": [worker(0, 54.2), worker(1, 97.5)],
}
CAMPAIGNS = {"campaigns": [
    {"id": 7, "name": "gala", "state": "open", "odds": 0.017, "funded": 120000, "funded_fen": 60000000,
     "given": 11000, "given_fen": 5500012, "left": 109000, "left_fen": 54499988, "given_percent": 9.17,
     "given_per_second": 1100.5, "empty_in_s": 99.05},
    {"id": 12, "name": "encore", "state": "paused", "odds": 1, "funded": 10, "funded_fen": 100, "given": 0,
     "given_fen": 0, "left": 10, "left_fen": 100, "given_percent": 0, "given_per_second": 0},
]}
CHANGES = [{"key": "campaign 7 odds", "before": "0.02", "after": "0.01"},
           {"key": "campaign 8", "before": "", "after": "added: encore"}]
DIFF = {"version": 5, "applied": False, "changes": CHANGES}
APPLIED = {"version": 6, "applied": True, "changes": CHANGES, "workers": 2, "seen_by_all": True,
           "in_force_ns": 812345, "took_ns": 998877, "saved": False}
SHOWN = {"status": STATUS, "stats": STATS, "campaign list": CAMPAIGNS}


def binary(p):
    return p.build / "app/hongbaoctl/hongbaoctl"


def ctl(p, *words, stdin=None, socket=None, **environment):
    """Runs it with pipes, as a script does."""
    return subprocess.run(
        [binary(p), "-s", str(socket or p.path("s")), *map(str, words)], capture_output=True, timeout=60,
        input=b"" if stdin is None else stdin, check=False, env={**os.environ, **environment})


def shown(p, result, *words, command="status", **environment):
    """What it prints of a result."""
    with Model(p.path("s"), {command: result}):
        done = ctl(p, *(words or command.split()), **environment)
    assert done.returncode == GOOD and not done.stderr, done
    return done.stdout.decode()


# ---- results ---------------------------------------------------------------------------------


def values_are_shown_by_what_their_keys_say(p):
    """Money, times, durations, rates, shares, bytes, numbers that name something."""
    text = shown(p, {
        "state": "running", "pid": 1234567, "given": 1234567, "given_fen": 123456789, "owed_fen": -5,
        "started_us": 1424269800000000, "never_us": 0, "uptime_s": 11520, "wait_ms": 1500, "took_ns": 812345,
        "short_ns": 17, "empty_in_s": 200000, "received_per_second": 123456.7, "slow_per_second": 0.25,
        "paid_fen_per_second": 150.0, "load_percent": 54.25, "segment_bytes": 67108864, "odds": 0.017,
        "saved": False, "user": "18446744073709551615", "nothing": None, "list": [1, 22, 3333], "empty": [],
        "users": 200000000, "negative": -1234, "cycles_per_request": 1588.4}, TZ="Asia/Shanghai")
    lines = dict(re.split(r" {2,}", one, maxsplit=1) for one in text.splitlines())
    assert lines == {
        "state": "running", "pid": "1234567", "given": "1,234,567  1,234,567.89 yuan", "owed": "-0.05 yuan",
        "started": "2015-02-18T22:30:00+08:00", "never": "-", "uptime": "3h 12m", "wait": "1.5 s",
        "took": "812 us", "short": "17 ns", "empty in": "2d 07h", "received": "123,457 /s",
        "slow": "0.25 /s", "load": "54.2%", "segment": "64.0 MiB", "odds": "0.017", "saved": "no",
        "user": "18446744073709551615", "nothing": "-", "list": "1, 22, 3,333", "empty": "none",
        "users": "200,000,000", "negative": "-1,234", "cycles per request": "1,588",
        "paid": "1.50 yuan/s"}, lines
    # In line: every value begins at the same column.
    assert len({re.match(r"\S+( \S+)* {2,}", one).end() for one in text.splitlines()}) == 1, text


def tables_are_aligned(p):
    """Columns under their heads, numbers at the right, wide characters counted as wide."""
    rows = [{"id": 7, "name": "gala", "left": 109000, "left_fen": 54499988, "state": "open"},
            {"id": 65535, "name": "春节红包", "left": 1, "left_fen": 1, "state": "closed"},
            {"id": 8, "name": "x", "left": 20, "left_fen": 100, "state": "open", "empty_in_s": 5}]
    text = shown(p, {"campaigns": rows}, command="campaign list")
    assert text.splitlines() == [
        "     id  name         left   left yuan  state   empty in",
        "      7  gala      109,000  544,999.88  open",
        "  65535  春节红包        1        0.01  closed",
        "      8  x              20        1.00  open         5 s",
    ], text
    # A row of counters may be of money.
    text = shown(p, STATS, command="stats")
    assert re.search(r"^  given +55,000.12 yuan +5,500.01 yuan +5,500.01 yuan$", text, re.M), text
    # Beside other values a table has a title; deeper ones are blocks.
    text = shown(p, {"time_us": 0, "workers": [{"worker": 0, "load_percent": 5}],
                     "versions": [{"version": 3, "changes": [{"key": "a", "n": 1}]}], "none": [],
                     "inner": {"a_b": 1}})
    assert text == ("time  -\nnone  none\n\nworkers\n  worker  load\n       0  5.0%\n\nversions 1\n"
                    "  version  3\n\nchanges\n  key  n\n  a    1\n\ninner\n  a b  1\n"), text


def differences_are_readable(p):
    text = shown(p, DIFF, "config", "diff", "odds=1", command="config diff")
    assert text == "campaign 7 odds: 0.02 -> 0.01\ncampaign 8: added: encore\n", text
    text = shown(p, APPLIED, "config", "apply", "odds=1", command="config apply")
    assert text.splitlines()[2:] == [
        "version 6 is in force on all 2 workers, after 812 us",
        "not saved: hongbaoctl config save keeps it over a restart"], text
    text = shown(p, {**APPLIED, "durable_ns": 700000}, "config", "undo", command="config undo")
    assert text.splitlines()[2] == (
        "version 6 is in force on all 2 workers, after 812 us; in the journal after 700 us"), text
    text = shown(p, {**APPLIED, "seen_by_all": False, "saved": True}, "config", "undo", command="config undo")
    assert text.splitlines()[2:] == [
        "version 6 is in force", "not every worker has seen it yet; look at: hongbaoctl stats"], text
    assert shown(p, {**DIFF, "changes": []}, "config", "diff", "a=1", command="config diff") == (
        "nothing changes\n")


def config_show_is_a_file(p):
    """What comes out can be read again, byte for byte."""
    yaml = "host: 1\nname: \"a\tb\"\n# 春\n"
    assert shown(p, {"path": "/x", "version": 5, "text": yaml}, command="config show") == yaml


def what_others_wrote_is_harmless(p):
    """No escape sequence, no turned text gets to a terminal, be it in names, keys, errors or JSON."""
    evil = "a\x1b]0;x\x07\x1b[2J\r\n\x9b31m\u202eb\x7f"
    result = {"name": evil, "k\x1b[2J": 1, "list": [evil], "rows": [{"n": evil}]}
    harmless = ("a\\x1b]0;x\\x07\\x1b[2J\\x0d\\x0a\\u{009b}31m\\u{202e}b\\x7f",)
    forbidden = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
    answers = {"status": result, "stats": Error("failed", evil, evil), "config show": {"text": evil},
               "config diff": {"version": 1, "applied": False,
                               "changes": [{"key": evil, "before": evil, "after": evil}]},
               "watch": [{"a\x1b": evil}, {}]}
    with Model(p.path("s"), answers):
        for words in (("status",), ("stats",), ("config", "show"), ("config", "diff", "a=1"), ("watch",),
                      ("--json", "status"), ("--json", "stats"), (evil,), ("help", evil)):
            t = Terminal([binary(p), "--color=never", "-s", p.path("s"), *words])
            _, text = t.end()
            t.close()
            assert not forbidden.search(text.replace("\r\n", "\n")), (words, text)
            if words == ("status",):
                assert text.count(harmless[0]) == 3, text
        # A script gets what there is.
        done = ctl(p, "--json", "status")
        assert json.loads(done.stdout) == result


def json_is_one_line(p):
    with Model(p.path("s"), {"status": STATUS, "stats": Error("refused", "no", "yes"),
                             "watch": [{"a": 1}, {"a": 2}, {}]}) as m:
        done = ctl(p, "--json", "status")
        assert done.stdout.count(b"\n") == 1 and json.loads(done.stdout) == STATUS, done
        assert list(json.loads(done.stdout)) == list(STATUS)
        done = ctl(p, "stats", "--json")
        assert json.loads(done.stdout) == {"error": {"code": "refused", "text": "no", "try": "yes"}}
        assert done.stderr == b"hongbaoctl: no\ntry: yes\n" and done.returncode == REFUSED, done
        done = ctl(p, "--json", "watch")
        assert [json.loads(one) for one in done.stdout.splitlines()] == [{"a": 1}, {"a": 2}], done
        assert m.asked_for("watch") is None
    for words, code, status in ((("status",), "no_answer", NO_ANSWER), (("nonsense",), "usage", USAGE)):
        done = ctl(p, "--json", *words)
        assert json.loads(done.stdout)["error"]["code"] == code and done.returncode == status, done


def watch_has_a_head(p):
    """Once where it goes to a file, on each screen of a terminal."""
    answers = [{"time_us": 1424269800000000 + i * 1000000, "received_per_second": 10.0 ** i,
              "load_percent": 5.0} for i in range(10)]
    text = shown(p, answers + [{}], "watch", "5", command="watch", TZ="Asia/Shanghai").splitlines()
    assert len(text) == 11 and text[0].split() == ["time", "received", "/s", "load"], text
    assert text[1].split() == ["22:30:00", "1", "5.0%"], text
    assert text[8].split() == ["22:30:07", "10,000,000", "5.0%"], text
    assert len(set(map(len, text[:8]))) == 1, text
    with Model(p.path("s"), {"watch": answers}) as m:
        t = Terminal([binary(p), "-s", p.path("s"), "watch"], rows=6)
        assert plain(t.end()[1]).count("received /s") == 3, t.output
        t.close()
        t = Terminal([binary(p), "-s", p.path("s"), "watch"], columns=24)
        lines = plain(t.end()[1]).replace("\r\n", "\n").splitlines()
        assert len(lines) == 11 and max(map(len, lines)) <= 24 and "load" not in lines[0], lines
        t.close()
        ctl(p, "watch", 5)
        assert m.asked_for("watch") == {"seconds": 5}


# ---- what is sent ------------------------------------------------------------------------------


def requests_are_what_was_typed(p):
    file = p.path("new.yaml")
    file.write_text("host: 1\nname: \"春\"\n")
    with Model(p.path("s"), {"config apply": APPLIED, "config check": DIFF, "campaign top-up": APPLIED,
                             "deny add": APPLIED, "user": {}, "status": {}, "drain": {}}) as m:
        for words, args in (
                (("config", "apply", file), {"text": file.read_text()}),
                (("config", "apply", "campaign", 7, "odds=0.01", "wait=5"),
                 {"campaign": 7, "keys": {"odds": "0.01", "wait": "5"}}),
                (("top-up", 7, "count=10", "total=100"),
                 {"campaign": 7, "keys": {"count": "10", "total": "100"}}),
                (("deny", "add", 1, 2**64 - 1), {"users": [1, str(2**64 - 1)]}),
                (("user", 7), {"user": 7}), (("drain", 5), {"seconds": 5}), (("status",), None)):
            done = ctl(p, *words)
            assert done.returncode == GOOD and not done.stderr, (words, done)
            assert m.asked[-1].get("args") == args and m.asked[-1]["hongbao"] == 1, m.asked[-1]
        assert [r["command"] for r in m.asked][2] == "campaign top-up"
        ctl(p, "config", "check", "-", stdin=b"host: 2\n")
        assert m.asked_for("config check") == {"text": "host: 2\n"}


def wrong_lines_ask_nothing(p):
    """Exit code 2 and one line, without a daemon to be asked."""
    p.path("latin").write_bytes(b"\xe9")
    p.path("large").write_bytes(b"\n" * (1 << 20))
    with Model(p.path("s")) as m:
        for words in ((), ("nonsense",), ("campaign",), ("campaign", "show"), ("campaign", "show", "x"),
                      ("status", "x"), ("config", "apply"), ("config", "apply", p.path("none")),
                      ("config", "apply", p.path("latin")), ("config", "apply", p.path("large")),
                      ("--nonsense", "status"), ("--timeout", "x", "status"), ("--timeout", "0", "status"),
                      ("--wait=-1", "status"), ("--color", "red", "status"), ("status", "--timeout"),
                      ("--json=1", "status"), ("help", "nonsense"), ("top",), ("--print-completion", "x")):
            done = ctl(p, *words)
            assert done.returncode == USAGE and not done.stdout, (words, done)
            assert done.stderr.startswith(b"hongbaoctl: ") and done.stderr.count(b"\n") <= 2, done
        assert not m.asked


def help_needs_no_daemon(p):
    """Everything that is in the list explains itself."""
    text = ctl(p, "help").stdout.decode()
    names = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?) {2}", text, re.M)
    assert len(names) > 30 and {"status", "campaign top-up", "top", "help"} <= set(names), names
    for name in names:
        done = ctl(p, "help", *name.split())
        assert done.returncode == GOOD and f"usage: hongbaoctl {name}" in done.stdout.decode(), done
    done = ctl(p, "--help")
    assert done.returncode == GOOD and b"exit codes" in done.stdout and b"print-" not in done.stdout
    assert ctl(p, "--version").stdout.startswith(b"hongbaoctl ")


# ---- what goes wrong -----------------------------------------------------------------------------


def exit_codes_are_honest(p):
    for code, status in (("usage", USAGE), ("unknown", REFUSED), ("denied", DENIED), ("refused", REFUSED),
                         ("busy", REFUSED), ("failed", REFUSED), ("too_long", REFUSED),
                         ("timeout", NO_ANSWER), ("what?", REFUSED)):
        with Model(p.path("s"), {"status": Error(code, "it is so", "that")}):
            done = ctl(p, "status")
        assert done.returncode == status and done.stderr == b"hongbaoctl: it is so\ntry: that\n", done
        assert not done.stdout
    # Nobody there, a dead one's socket, something else, no right to.
    for make in (lambda: None, lambda: p.path("s").write_text(""), p.path("s").mkdir):
        make()
        done = ctl(p, "status")
        assert done.returncode == NO_ANSWER and b"hongbaod" in done.stderr, done
        if p.path("s").is_file():
            p.path("s").unlink()
    assert ctl(p, "status", socket=p.path("no/such/place")).returncode == NO_ANSWER
    p.path("s").rmdir()
    # A result that cannot be written is no success.
    with Model(p.path("s"), {"status": STATUS}), open("/dev/full", "wb") as full:
        done = subprocess.run([binary(p), "-s", p.path("s"), "status"], stdout=full, stderr=subprocess.PIPE,
                              check=False, timeout=60)
    assert done.returncode == REFUSED and b"cannot write" in done.stderr, done


def who_may_not_connect_is_told(p):
    if os.geteuid() != 0:
        return "needs root, to become somebody else"
    os.chmod(p.directory, 0o755)
    shutil.copy(binary(p), p.path("ctl"))
    with Model(p.path("s"), {"status": STATUS}):
        os.chmod(p.path("s"), 0o600)
        for words in (("status",), ("--wait=60", "status")):
            done = subprocess.run(
                ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", p.path("ctl"), "-s",
                 p.path("s"), *words], capture_output=True, check=False, timeout=30)
            assert done.returncode == DENIED and b"may not connect" in done.stderr, done
    return None


def hang_up(head):
    """A daemon that dies when it has sent so much."""
    def answer(model, c, request):
        del model
        c.sendall(line(request, STATUS)[:head])
        c.shutdown(2)
    return answer


def raw(data):
    def answer(model, c, request):
        del model, request
        c.sendall(data)
        c.shutdown(2)
    return answer


def daemons_that_fail_are_told(p):
    """A death in the middle of an answer, garbage, other versions, silence."""
    for what, words in (
            (hang_up(0), b"without an answer"), (hang_up(1), b"in the middle"),
            (hang_up(-1), b"in the middle"), (raw(b"hello\n"), b"no hongbaod"),
            (raw(b"\n"), b"no hongbaod"), (raw(b"\xff\xfe\n"), b"no hongbaod"), (raw(b"7\n"), b"no hongbaod"),
            (raw(b'{"hongbao":2,"ok":true,"result":{}}\n'), b"another version"),
            (raw(b'{"hongbao":1,"ok":true}\n'), b"no result"),
            (raw(b'{"hongbao":1,"ok":false,"error":7}\n'), b"no code"),
            (raw(b"[" * 100000 + b"\n"), b"no hongbaod")):
        with Model(p.path("s"), {"status": what}):
            done = ctl(p, "status")
        assert done.returncode == NO_ANSWER and words in done.stderr and not done.stdout, done
        assert b"carried out" not in done.stderr
    # Of a change nobody knows whether it was made.
    with Model(p.path("s"), {"config undo": hang_up(5)}):
        done = ctl(p, "config", "undo")
        assert done.returncode == NO_ANSWER and b"may have been carried out" in done.stderr, done
    # A stream shows what came before its end.
    with Model(p.path("s"), {"watch": lambda m, c, r: (send(c, r, {"a": 1}, True), c.shutdown(2))}):
        done = ctl(p, "watch")
        assert done.returncode == NO_ANSWER and done.stdout.split() == [b"a", b"1"], done


def silence_ends_in_time(p):
    with Model(p.path("s"), {"status": lambda *_: None}):
        begun = time.monotonic()
        done = ctl(p, "--timeout", "0.3", "status")
        assert done.returncode == NO_ANSWER and b"in time" in done.stderr, done
        assert 0.3 <= time.monotonic() - begun < 20
    # One who listens and takes nobody in.
    m = Model(p.path("s"))
    m.accept = lambda listener: None
    with m:
        p.path("f").write_bytes(b"\n" * 500000)
        for words in (("status",), ("config", "check", p.path("f"))):
            assert ctl(p, "--timeout", "0.2", *words).returncode == NO_ANSWER


def answers_may_come_in_pieces(p):
    def crumbs(model, c, request):
        del model
        send_in_pieces(c, line(request, STATUS), 1)

    # A piece ends in the middle of a line and begins with the rest of one, be they short or long.
    def across(model, c, request):
        del model
        lines = [line(request, {"n": i, "text": "x" * (i * 7 % 50)}, more=i < 99) for i in range(100)]
        send_in_pieces(c, b"".join(lines), 201)
    large = {"rows": [{"n": i, "text": "x" * 1000} for i in range(5000)]}
    with Model(p.path("s"), {"status": crumbs, "stats": large, "watch": [{"n": i} for i in range(3000)]}) as m:
        assert json.loads(ctl(p, "--json", "status").stdout) == STATUS
        assert json.loads(ctl(p, "--json", "stats").stdout) == large
        assert len(ctl(p, "--json", "watch").stdout.splitlines()) == 3000
        m.answers["watch"] = across
        numbers = [json.loads(one)["n"] for one in ctl(p, "--json", "watch").stdout.splitlines()]
        assert numbers == list(range(100)), numbers


def it_waits_for_a_daemon(p):
    m = Model(p.path("s"), {"status": STATUS})
    starter = threading.Timer(0.3, m.start)
    starter.start()
    done = ctl(p, "status", "--wait")
    assert done.returncode == GOOD and [r["command"] for r in m.asked] == ["ping", "status"], done
    starter.join()
    m.stop()
    begun = time.monotonic()
    done = ctl(p, "--wait=0.3", "ping")
    assert done.returncode == NO_ANSWER and 0.2 < time.monotonic() - begun < 20, done
    # One that is there and says that it is busy isn't one that answers.
    seen = []

    def busy(model, c, request):
        del model
        seen.append(1)
        send(c, request, Error("busy", "later") if len(seen) < 3 else {})
    with Model(p.path("s"), {"ping": busy, "status": STATUS}):
        assert ctl(p, "--wait", "status").returncode == GOOD and len(seen) == 3


def paths_may_be_long(p):
    deep = p.path("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with Model(deep / "control.sock", {"status": STATUS}):
        assert ctl(p, "status", socket=deep / "control.sock").returncode == GOOD
        done = subprocess.run([binary(p), "status"], check=False, capture_output=True,
                              env={**os.environ, "HONGBAO_SOCKET": str(deep / "control.sock")}, timeout=60)
        assert done.returncode == GOOD, done
    assert ctl(p, "status", socket=deep / ("s" * 200)).returncode == NO_ANSWER


# ---- terminals ---------------------------------------------------------------------------------


def colour_is_for_terminals(p):
    with Model(p.path("s"), {"status": STATUS, "campaign list": CAMPAIGNS}):
        def on_terminal(*words, **environment):
            t = Terminal([binary(p), "-s", p.path("s"), *words], **environment)
            status, text = t.end()
            t.close()
            assert status == GOOD, text
            return text
        assert b"\x1b" not in ctl(p, "status").stdout
        assert b"\x1b[32mrunning" in ctl(p, "--color=always", "status").stdout
        text = on_terminal("status")
        assert "\x1b[32mrunning\x1b[0m" in text and "\x1b[32mgood" in text, text
        assert "\x1b[33mpaused" in on_terminal("campaign", "list")
        assert "\x1b" not in on_terminal("--color=never", "status")
        assert "\x1b" not in on_terminal("status", NO_COLOR="1")
        assert "\x1b" not in on_terminal("status", TERM="dumb")
        assert "\x1b" in on_terminal("status", "--color=always", NO_COLOR="1")


def wide_tables_turn_on_narrow_terminals(p):
    with Model(p.path("s"), {"campaign list": CAMPAIGNS}):
        t = Terminal([binary(p), "-s", p.path("s"), "campaign", "list"], columns=60)
        lines = plain(t.end()[1]).replace("\r\n", "\n").splitlines()
        t.close()
    assert lines[0].split() == ["id", "7", "12"] and max(map(len, lines)) <= 60, lines


def people_are_asked(p):
    """On a terminal config apply shows the difference first; a no changes nothing. Money and the end are asked
    about too; scripts are not asked."""
    with Model(p.path("s"), {"config apply": APPLIED, "config diff": DIFF, "campaign top-up": APPLIED,
                             "drain": {"draining": True}, "config undo": APPLIED}) as m:
        def talk(*words, say=None, expect):
            m.asked.clear()
            t = Terminal([binary(p), "-s", p.path("s"), *words])
            if say is not None:
                t.until("[y/N]")
                t.type(say)
            status, text = t.end()
            t.close()
            assert status == (REFUSED if "said no" in text else GOOD), text
            assert [r["command"] for r in m.asked] == expect, m.asked
            return plain(text)
        apply = ("config", "apply", "campaign", "7", "odds=0.01")
        text = talk(*apply, say="y\n", expect=["config diff", "config apply"])
        assert text.count("campaign 7 odds: 0.02 -> 0.01") == 2 and "version 6" in text, text
        assert "nothing was changed" in talk(*apply, say="n\n", expect=["config diff"])
        talk(*apply, say="\n", expect=["config diff"])
        talk(*apply, say="\x04", expect=["config diff"])
        talk("--yes", *apply, expect=["config apply"])
        text = talk("top-up", "7", "count=100000", "total=50000000", say="y\n", expect=["campaign top-up"])
        assert "campaign 7: +100,000 envelopes, 500,000.00 yuan in all" in text, text
        text = talk("campaign", "add", "id=8", "opens=now", "closes=+1h", "tiers=[{ count: 1, amount: 2 }]",
                    say="n\n", expect=[])
        assert "campaign 8, new: tiers [{ count: 1, amount: 2 }]" in text, text
        talk("drain", say="n\n", expect=[])
        talk("config", "undo", expect=["config undo"])
        assert ctl(p, *apply).returncode == GOOD
        m.answers["config diff"] = {**DIFF, "changes": []}
        assert "nothing changes" in talk(*apply, expect=["config diff"])


# ---- top ----------------------------------------------------------------------------------------


def top(p, **more):
    return Terminal([binary(p), "-s", p.path("s"), "top"], **more)


def last_frame(t):
    return frames(t.output)[-1]


def width(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fits(output, rows, columns, full=False):
    """Whether the last frame neither wraps nor scrolls, and fills the screen if it should."""
    frame = (frames(output) or [None])[-1]
    return frame is not None and len(frame) <= rows and max(map(width, frame)) <= columns and (
        not full or len(frame) == rows)


def top_draws_and_gives_the_terminal_back(p):
    with Model(p.path("s"), SHOWN) as m:
        for leave in ("q", "\x03", signal.SIGTERM, signal.SIGHUP):
            t = top(p)
            t.until("gala")
            t.until(lambda output: frames(output))
            text = "\n".join(last_frame(t))
            for part in ("hongbao 0.1.0", "running", "up 3h 12m", "config version 5 (not saved)",
                         "123,457 /s", "1,234,567", "5,500.01 yuan/s", "MISS 95,811/s", "tag 56/s", "54.2%",
                         "OVERLOADED", "1,588", "544,999.88", "1m 39s", "paused"):
                assert part in text, (part, text)
            assert not t.restored()
            assert fits(t.output, 24, 100), text
            if isinstance(leave, str):
                t.type(leave)
            else:
                t.process.send_signal(leave)
            status, _ = t.end()
            assert status == GOOD and t.restored(), (leave, status)
            t.close()
        assert {r["command"] for r in m.asked} == set(SHOWN)


def top_fits_any_terminal(p):
    campaigns = [{**CAMPAIGNS["campaigns"][0], "id": i + 1, "name": "春节" * 10} for i in range(100)]
    with Model(p.path("s"), {**SHOWN, "campaign list": {"campaigns": campaigns}}):
        t = top(p, rows=40, columns=120)
        at = t.until(" more")
        for rows, columns in ((10, 40), (60, 200), (24, 80), (40, 19), (3, 20), (1, 1), (24, 80)):
            at = len(t.output)
            t.resize(rows, columns)
            t.until(lambda output, r=rows, c=columns: fits(output, r, c, full=True), at)
        t.type("q")
        assert t.end()[0] == GOOD and t.restored()
        t.close()


def top_survives_the_daemon(p):
    """It says that the data is old, and why, and comes back with the daemon."""
    m = Model(p.path("s"), SHOWN)
    t = top(p)
    t.until("NO ANSWER")
    m.start()
    t.until("gala")
    m.stop()
    at = t.until("NO ANSWER: what you see is")
    assert "gala" in "\n".join(last_frame(t))
    m.start()
    t.until(lambda output: frames(output) and "NO ANSWER" not in "\n".join(frames(output)[-1]), at)
    # One that hangs is told too.
    m.answers = {}
    m.answer = lambda *_: None
    t.until("doesn't answer", len(t.output))
    t.type("q")
    assert t.end()[0] == GOOD and t.restored()
    t.close()
    m.stop()


def top_stops_and_goes_on(p):
    """Ctrl-Z gives the terminal back, fg takes it again; a crash gives it back too."""
    with Model(p.path("s"), SHOWN):
        t = top(p)
        t.until("gala")
        t.type("\x1a")
        end = time.monotonic() + 30
        while (pid := os.waitpid(t.process.pid, os.WUNTRACED | os.WNOHANG)) == (0, 0):
            t.read()
            assert time.monotonic() < end
        assert os.WIFSTOPPED(pid[1]), pid
        t.until("\x1b[?1049l")
        assert t.restored()
        at = len(t.output)
        t.process.send_signal(signal.SIGCONT)
        t.until("gala", at)
        assert termios.tcgetattr(t.slave) != t.before
        t.process.send_signal(signal.SIGSEGV)
        assert t.end()[0] == -signal.SIGSEGV and t.restored()
        t.close()


def top_shows_what_is_wrong(p):
    bad = {**STATUS, "disk": "full", "links_down": 1, "workers_current": 1, "state": "draining",
           "warnings": ["the moon \x1b[2Jis full"]}
    with Model(p.path("s"), {**SHOWN, "status": bad}):
        t = top(p)
        t.until("gala")
        t.until(lambda output: frames(output))
        text = "\n".join(last_frame(t))
        t.type("q")
        t.end()
        t.close()
    for part in ("disk is full", "1 of 1 ports: link down", "1 workers have not seen", "draining",
                 "the moon \\x1b[2Jis full"):
        assert part in text, (part, text)
    # An answer of nothing is no crash.
    with Model(p.path("s"), {"status": {}, "stats": {}, "campaign list": {}}):
        t = top(p)
        t.until("campaign")
        t.type("q")
        assert t.end()[0] == GOOD
        t.close()


def top_needs_a_terminal(p):
    done = ctl(p, "top")
    assert done.returncode == USAGE and b"terminal" in done.stderr and b"--json watch" in done.stderr, done


# ---- what is made of the table -----------------------------------------------------------------


def complete(p, *words):
    """What bash would offer for the last word."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hongbaoctl; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", p.build / "app/hongbaoctl/hongbaoctl.bash", binary(p), *words],
        capture_output=True, text=True, check=True, cwd=p.directory, timeout=60,
        env={**os.environ, "HONGBAO_SOCKET": str(p.path("s"))})
    assert not done.stderr, done.stderr
    return done.stdout.split()


def bash_completes(p):
    p.path("new.yaml").write_text("")
    with Model(p.path("s"), SHOWN):
        assert complete(p, "sta") == ["status", "stats"]
        assert set(complete(p, "campaign", "")) == {
            "list", "show", "add", "pause", "resume", "close", "top-up"}
        assert complete(p, "campaign", "sh") == ["show"]
        assert complete(p, "campaign", "show", "") == ["7", "12"]
        assert complete(p, "campaign", "show", "7", "") == []
        assert complete(p, "log", "level", "") == ["error", "warning", "info", "debug"]
        assert complete(p, "config", "apply", "n") == ["new.yaml"]
        assert complete(p, "config", "diff", "log") == ["log.level="]
        assert complete(p, "config", "apply", "idle", "=") == ["poll", "sleep"]
        assert complete(p, "config", "apply", "idle=poll", "ov") == ["overload.shed=", "overload.wait="]
        assert complete(p, "config", "apply", "campaign", "7", "idl") == []
        assert complete(p, "config", "apply", "cam") == ["campaign"]
        assert complete(p, "config", "apply", "campaign", "1") == ["12"]
        assert complete(p, "config", "apply", "campaign", "7", "od") == ["odds="]
        assert complete(p, "config", "apply", "campaign", "7", "odds", "=", "1", "pau") == ["paused="]
        assert complete(p, "top-up", "7", "") == ["count=", "total=", "split=", "token="]
        assert complete(p, "top-up", "7", "split", "=") == ["equal", "lucky"]
        assert complete(p, "top-up", "7", "split", "=", "e") == ["equal"]
        assert complete(p, "campaign", "add", "sp") == ["split="]
        assert complete(p, "help", "config", "un") == ["undo"]
        assert complete(p, "--js") == ["--json"]
        assert complete(p, "--color", "=", "a") == ["auto", "always"]
        assert complete(p, "--timeout", "5", "--json", "pin") == ["ping"]
        assert complete(p, "-s", "new") == ["new.yaml"]
        assert complete(p, "nonsense", "") == []
        assert "top" in complete(p, "")
    assert complete(p, "campaign", "show", "") == []
    registered = subprocess.run(
        ["bash", "--norc", "-c", 'source "$1"; complete -p hongbaoctl', "bash",
         p.build / "app/hongbaoctl/hongbaoctl.bash"], capture_output=True, text=True, check=True, timeout=60)
    assert registered.stdout == "complete -F _hongbaoctl hongbaoctl\n", registered


def bash_completes_at_its_prompt(p):
    """With a person's keys, in a shell on a terminal."""
    with Model(p.path("s"), SHOWN):
        t = Terminal(["bash", "--norc", "--noprofile", "-i"], PS1="> ", HONGBAO_SOCKET=str(p.path("s")),
                     PATH=f"{binary(p).parent}:{os.environ['PATH']}", HISTFILE="/dev/null")
        t.type(f"source {p.build}/app/hongbaoctl/hongbaoctl.bash; echo rea''dy\n")
        t.until("ready")
        t.type("hongbaoctl config ap\tcamp\t7 od\t")
        t.until("hongbaoctl config apply campaign 7 odds=")
        t.type("1 paused=tr\t")
        t.until("odds=1 paused=true ")
        t.type("\x15exit\n")
        t.end()
        t.close()


def zsh_completes(p):
    if shutil.which("zsh") is None:
        return "needs zsh"
    functions = p.path("functions")
    functions.mkdir()
    shutil.copy(p.build / "app/hongbaoctl/_hongbaoctl", functions)
    with Model(p.path("s"), SHOWN):
        t = Terminal(["zsh", "-f", "-i"], HONGBAO_SOCKET=str(p.path("s")), columns=160,
                     PATH=f"{binary(p).parent}:{os.environ['PATH']}", TERM="xterm")
        t.type(f"fpath=({functions} $fpath); autoload -U compinit; compinit -D; PS1='> '; "
               "unsetopt zle_bracketed_paste; echo rea''dy\n")
        t.until("ready")
        for keys, wanted in (("hongbaoctl camp\tsh\t12", "campaign show 12"),
                             ("hongbaoctl config ap\tcamp\t7 od\t1", "config apply campaign 7 odds=1"),
                             ("hongbaoctl log level deb\tx", "log level debug x")):
            at = len(t.output)
            t.type(keys)
            t.until(lambda output, w=wanted: w in re.sub(r".\x08|\x07", "", plain(output.decode())), at)
            t.type("\x15")
        t.type("exit\n")
        t.end()
        t.close()
    return None


def the_manual_page_is_right(p):
    page = p.build / "app/hongbaoctl/hongbaoctl.1"
    if shutil.which("mandoc") is None:
        return "needs mandoc"
    lint = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True, check=False, timeout=60)
    assert lint.returncode == 0 and not lint.stdout, lint.stdout
    # What is typed stands there with minus signs, not hyphens.
    assert "--" not in page.read_text() and "\\-\\-json" in page.read_text()
    text = subprocess.run(["mandoc", "-Tutf8", "-O", "width=200", page], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    text = re.sub(r".\x08", "", text)
    for name in re.findall(r"^  ([a-z-]+(?: [a-z-]+)?) {2}", ctl(p, "help").stdout.decode(), re.M):
        assert re.search(rf"^ +{name}\b", text, re.M), name
    for option in re.findall(r"--[a-z]+", ctl(p, "--help").stdout.decode()):
        assert option in text, option
    return None


if __name__ == "__main__":
    main([
        values_are_shown_by_what_their_keys_say,
        tables_are_aligned,
        differences_are_readable,
        config_show_is_a_file,
        what_others_wrote_is_harmless,
        json_is_one_line,
        watch_has_a_head,
        requests_are_what_was_typed,
        wrong_lines_ask_nothing,
        help_needs_no_daemon,
        exit_codes_are_honest,
        who_may_not_connect_is_told,
        daemons_that_fail_are_told,
        silence_ends_in_time,
        answers_may_come_in_pieces,
        it_waits_for_a_daemon,
        paths_may_be_long,
        colour_is_for_terminals,
        wide_tables_turn_on_narrow_terminals,
        people_are_asked,
        top_draws_and_gives_the_terminal_back,
        top_fits_any_terminal,
        top_survives_the_daemon,
        top_stops_and_goes_on,
        top_shows_what_is_wrong,
        top_needs_a_terminal,
        bash_completes,
        bash_completes_at_its_prompt,
        zsh_completes,
        the_manual_page_is_right,
    ])
