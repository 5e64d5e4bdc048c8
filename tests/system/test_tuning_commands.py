# SPDX-License-Identifier: BSD-3-Clause
"""The commands that change a running hongbaod: what they do, refuse, keep and undo.

Runs in a network namespace of its own, and needs root and /dev/net/tun.

usage: test_tuning_commands.py BUILD-DIRECTORY [TEST ...]
"""
import json
import os
import shutil
import signal
import subprocess
import time

from control import Control
from hbclient import Status
from tuned import FEW, MANY, Daemon, User, main


def what_is_refused_changes_nothing(p):
    """Keys that can't change, values that cannot be, campaigns that aren't there, files that are wrong."""
    d = Daemon(p)
    d.start()
    before = d.ctl("config", "show")
    file = p.path("c.yaml").read_text()
    settings = json.loads(file)

    def changed(**keys):
        p.path("new.yaml").write_text(json.dumps({**settings, **keys}))
        return p.path("new.yaml")

    p.path("broken.yaml").write_text("host: [1\n")
    refused = [
        ("config", "apply", "workers=1"), ("config", "apply", "users=7"), ("config", "apply", "nonsense=1"),
        ("config", "apply", "campaign", 7, "odds=2"), ("config", "apply", "campaign", 7, "odds="),
        ("config", "apply", "campaign", 7, "envelopes=3"), ("config", "apply", "campaign", 77, "odds=1"),
        ("config", "apply", changed(host=2)), ("config", "apply", changed(campaigns=[MANY])),
        ("config", "apply", changed(campaigns=[{**MANY, "envelopes": FEW["envelopes"]}, FEW])),
        ("config", "apply", changed(campaigns=[{**MANY, "odds": 0.1}, {**FEW, "password": "我"}])),
        ("config", "apply", p.path("broken.yaml")), ("config", "undo", 99),
        ("campaign", "add", "id=7", "opens=now", "closes=+1h", "count=1", "total=1"),
        ("campaign", "add", "id=9", "opens=now", "closes=+1h", "count=10", "total=1"),
        ("campaign", "top-up", 8, "count=0", "total=1"), ("campaign", "top-up", 8, "count=10", "total=1"),
        ("campaign", "top-up", 77, "count=1", "total=1"), ("campaign", "pause", 77),
        ("deny", "add", 0), ("key", "add", 9), ("key", "add", 0), ("key", "retire", 0),
        ("key", "retire", 77), ("log", "level", "loud"), ("stats", 9), ("campaign", "show", 77),
    ]
    for words in refused:
        done = d.run(*words)
        assert done.returncode in (1, 2) and done.stderr.strip() and not done.stdout.strip(), (
            words, done.returncode, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) <= 2, done.stderr
    assert d.ctl("config", "show") == before
    assert User().ask(7) == Status.WIN
    assert d.ctl("log", "level", "debug")["changes"][0]["after"] == "debug"
    assert d.ctl("log", "level")["level"] == "debug"
    d.change("config", "undo")
    assert d.ctl("log", "level")["level"] == "info"
    before = d.ctl("config", "show")
    # A difference is only told.
    told = d.ctl("config", "diff", "campaign", 7, "odds=0.25", "wait=5")
    assert [c["key"] for c in told["changes"]] == ["campaign 7 odds", "campaign 7 wait"], told
    assert d.ctl("config", "show") == before and not told["applied"]
    assert d.stop()["balanced"]
    assert {c["funded"] for c in p.audit()["campaigns"]} == {1000000, 5}
    assert p.path("c.yaml").read_text() == file


def changes_are_undone_and_saved(p):
    """Versions, undo by number, save, and what a restart and SIGHUP make of it."""
    d = Daemon(p)
    d.start()
    for odds in (0.5, 0.25, 0.125):
        d.change("config", "apply", "campaign", 7, f"odds={odds}")
    versions = d.ctl("config", "versions")["versions"]
    assert [v["version"] for v in versions] == [1, 2, 3, 4], versions

    def odds():
        return d.ctl("campaign", "show", 7)["odds"]
    d.change("config", "undo", 2)
    assert odds() == 0.5
    d.change("config", "undo")
    assert odds() == 0.125
    for i in range(20):
        d.change("config", "apply", "campaign", 7, f"wait={2000 + i}")
    assert len(d.ctl("config", "versions")["versions"]) == 16
    assert d.run("config", "undo", 2).returncode == 1
    # A campaign that was added stays when what was before it is undone.
    d.change("campaign", "add", "id=9", "name=late", "opens=now", "closes=+1h", "count=10", "total=100",
             "odds=1")
    user = User()
    while (status := user.ask(9)) == Status.BUSY:
        pass
    assert status == Status.WIN
    d.change("config", "undo")
    assert user.ask(9) in (Status.WIN, Status.BUSY)
    d.ctl("config", "save")
    d.change("config", "apply", "campaign", 7, "odds=1")
    assert p.path("c.yaml.before").exists()
    assert (p.path("c.yaml").stat().st_mode & 0o777) == (p.path("c.yaml.before").stat().st_mode & 0o777)
    given = {c["id"]: c["given"] for c in d.ctl("campaign", "list")["campaigns"]}
    assert d.stop()["balanced"]
    # What was saved is there after a restart, what wasn't is not; the money that was given stays so.
    d.start()
    assert odds() == 0.125
    late = d.ctl("campaign", "show", 9)
    assert late["funded"] == 10 and late["given"] == given[9], late
    text = p.path("c.yaml").read_text()
    assert "odds: 0.125" in text, text
    p.path("c.yaml").write_text(text.replace("odds: 0.125", "odds: 0.75"))
    d.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while odds() != 0.75:
        assert time.monotonic() < end
    # A file that is wrong leaves everything as it is, and says so.
    p.path("c.yaml").write_text("host: [")
    d.process.send_signal(signal.SIGHUP)
    d.wait_for("nothing was changed")
    assert odds() == 0.75
    assert d.stop()["balanced"]


def a_new_campaign_is_there_after_a_restart(p):
    """It stands in the file from when it is funded, whatever else is not saved; where the file can't be had, the
    answer says so, and it is served all the same."""
    d = Daemon(p)
    d.start()
    new = ("campaign", "add", "opens=now", "closes=+1h", "count=10", "total=100", "odds=1", "wins_per_user=3")
    assert d.change(*new, "id=9", "name=late")["saved"] is True
    d.change("config", "apply", "campaign", 7, "odds=0.5")
    assert d.change(*new, "id=10")["saved"] is False
    user = User()
    while user.ask(9) == Status.BUSY:
        pass
    given = {c["id"]: c["given"] for c in d.ctl("campaign", "list")["campaigns"]}
    assert given[9] == 1, given
    d.kill()
    d.start()
    shown = {c["id"]: c for c in d.ctl("campaign", "list")["campaigns"]}
    assert {i: shown[i]["given"] for i in (9, 10)} == {9: 1, 10: 0} and shown[9]["name"] == "late", shown
    assert shown[7]["odds"] == 1 and shown[10]["funded"] == 10, shown
    p.path("c.yaml").write_text("host: [")
    done = d.change(*new, "id=11")
    assert "config save" in done["warning"] and done["saved"] is False, done
    assert d.ctl("campaign", "show", 11)["funded"] == 10 and p.path("c.yaml").read_text() == "host: ["
    d.ctl("config", "save")
    assert d.stop()["balanced"]
    d.start()
    assert d.ctl("campaign", "show", 11)["funded"] == 10
    assert d.stop()["balanced"]


def it_drains(p):
    """drain: BUSY to everybody, except to who won, then the end, with exit code 0; SIGTERM does the same."""
    d = Daemon(p)
    d.start()
    user = User()
    assert user.ask(7, 900005) == Status.WIN
    d.ctl("drain", 3)
    assert {user.ask(7) for _ in range(8)} == {Status.BUSY}
    assert user.ask(7, 900005) == Status.WIN
    assert d.run("campaign", "pause", 7).returncode == 1
    d.process.wait(30)
    assert d.process.returncode == 0
    assert json.loads(p.path("report.json").read_text())["balanced"]
    assert not os.path.exists(d.path)
    assert d.run("ping").returncode == 3


def who_is_barred_twice_is_let_in_at_once(p):
    """A list that names a user twice bars once."""
    d = Daemon(p, deny=[77, 77, 78])
    d.start()
    user = User()
    assert user.ask(7, 77) == Status.DENIED
    d.change("config", "apply", "deny=77,79")
    assert [user.ask(7, u) for u in (77, 78, 79)] == [Status.DENIED, Status.WIN, Status.DENIED]
    d.change("deny", "remove", 77)
    assert user.ask(7, 77) == Status.WIN
    assert [u["user"] for u in d.ctl("deny", "list")["users"]] == ["79"]
    d.change("deny", "add", 80, 79, 80)
    assert [u["user"] for u in d.ctl("deny", "list")["users"]] == ["79", "80"]
    assert d.stop()["balanced"]


def money_is_in_whole_or_not_at_all(p):
    """A change whose second campaign can't be funded does nothing; a top-up that takes long is answered as what
    it is, and nobody else waits for it."""
    d = Daemon(p)
    d.start()
    file = p.path("c.yaml").read_text()
    d.change("campaign", "add", "id=12", "opens=now", "closes=+1h", "count=10", "total=100")
    assert d.stop()["balanced"]
    # Somebody takes it out of the file.
    p.path("c.yaml").write_text(file)
    d.start()
    settings = json.loads(file)
    more = [{**FEW, "id": 11, "name": "eleven"}, {**FEW, "id": 12, "name": "twelve"}]
    p.path("new.yaml").write_text(json.dumps({
        **settings, "deny": [4444], "campaigns": [{**MANY, "odds": 0}, FEW, *more]}))
    done = d.run("config", "apply", p.path("new.yaml"))
    assert done.returncode == 1 and "earlier run" in done.stderr, done.stderr
    assert {c["id"] for c in d.ctl("campaign", "list")["campaigns"]} == {7, 8}
    assert User().ask(7, 4444) == Status.WIN
    # Some seconds of making envelopes.
    control = Control(d.path)
    control.send("campaign top-up", {"campaign": 7, "keys": {"count": "20000000", "total": "20000000"}})
    began = time.monotonic()
    waits = []
    while d.ctl("campaign", "show", 7)["funded"] == 1000000:
        asked = time.monotonic()
        d.ctl("ping")
        waits.append(time.monotonic() - asked)
        assert asked - began < 60
    assert sorted(waits)[len(waits) // 2] < 0.5, waits
    assert control.read()["applied"]
    assert d.stop()["balanced"]
    assert p.audit()["campaigns"][0]["funded"] == 21000000
    # What can't be set up at the start ends it as an error, not under the workers' feet.
    shutil.rmtree(p.path("journal"))
    p.path("journal").mkdir()
    p.path("journal/changes.jsonl").mkdir()
    done = p.run("hongbaod", "-c", "c.yaml", "--", "--no-huge", "-m", "256")
    assert done.returncode in (3, 4) and "changes.jsonl" in done.stderr, (done.returncode, done.stderr)


def a_top_up_with_a_token_is_made_once(p):
    """However often it is asked for, also after the daemon was killed: who doesn't know may ask again."""
    d = Daemon(p)
    d.start()
    words = ("campaign", "top-up", 8, "count=3", "total=600", "token=monday")
    assert "repeated" not in d.change(*words)
    again = d.change(*words)
    assert again["repeated"] and again["applied"], again
    assert "nothing more" in d.run(*words).stdout
    other = d.run("campaign", "top-up", 8, "count=4", "total=600", "token=monday")
    assert other.returncode == 1 and "another token" in other.stderr, other
    # A word is one campaign's.
    assert "repeated" not in d.change("campaign", "top-up", 7, *words[3:])
    d.kill()
    d.start()
    assert d.ctl("campaign", "show", 8)["funded"] == 8
    assert d.change(*words)["repeated"]
    assert "repeated" not in d.change(*words[:-1], "token=tuesday")
    assert "repeated" not in d.change(*words[:-1]) and "repeated" not in d.change(*words[:-1])
    assert d.stop()["balanced"]
    assert [c["funded"] for c in p.audit()["campaigns"]] == [1000003, 17]
    log = [json.loads(line) for line in p.path("journal/changes.jsonl").read_text().splitlines()]
    assert [line["command"] for line in log] == ["campaign top-up"] * 5, log


def a_drain_lets_money_in_first(p):
    """A top-up that is under way when a drain begins, by command or by a signal, is done and told, and the daemon ends
    only then; a second signal doesn't wait, but what got into the journal stands in the log of changes too."""
    for number, end in enumerate((lambda d: d.ctl("drain", 0), lambda d: d.process.terminate(), None)):
        shutil.rmtree(p.path("journal"), ignore_errors=True)
        d = Daemon(p)
        d.start(**p.bad_disk(after=4, us=700000))
        control = Control(d.path)
        control.send("campaign top-up", {"campaign": 8, "keys": {"count": "3", "total": "600"}})
        time.sleep(0.25)
        if end:
            end(d)
            assert control.read()["applied"], number
        else:
            for _ in range(2):
                d.process.terminate()
                time.sleep(0.1)
        _, said = d.process.communicate(timeout=60)
        assert d.process.returncode == 0, said
        funded = p.audit()["campaigns"][1]["funded"]
        log = [json.loads(line) for line in p.path("journal/changes.jsonl").read_text().splitlines()]
        assert funded == (8 if end else funded)
        assert [line["changes"][0]["key"] for line in log if line["command"] == "campaign top-up"] == (
            ["campaign 8 envelopes"] if funded == 8 else []), (funded, log)


def strangers_at_the_socket_disturb_nobody(p):
    """A thousand clients, half lines, 10 MB without a newline, garbage, nobody who reads: errors or a closed
    connection, and a user at the port notices nothing."""
    d = Daemon(p)
    d.start()
    user = User()
    clients = []
    for i in range(1000):
        client = Control(d.path)
        client.socket.sendall((b'{"hongbao":1,"comm', b"\x00\xff\xfe\n", b"[" * 5000 + b"\n",
                               b'{"hongbao":1,"command":"stats"}\n' * 200, b"")[i % 5])
        clients.append(client)
    long = Control(d.path)
    try:
        for _ in range(10):
            long.socket.sendall(b"x" * (1 << 20))
    except OSError:
        pass
    assert all(user.ask(7) == Status.WIN for _ in range(100))
    assert d.ctl("ping")
    answer = json.loads(clients[1].lines.readline())
    assert answer["ok"] is False and answer["error"]["code"] == "usage", answer
    for client in clients:
        client.close()
    assert d.ctl("status")["state"] == "running"
    assert d.stop()["balanced"]


def a_socket_belongs_to_one_daemon(p):
    """A second daemon isn't started on a socket in use; one that a dead one left is replaced."""
    d = Daemon(p, control={"socket": "c.sock"})
    d.path = str(p.path("c.sock"))
    d.start()
    p.config(name="other.yaml", campaigns=[MANY], workers=1, clock="wall", journal="other",
             control={"socket": "c.sock"}, ports=[{"profile": "null", "device": "net_null0"}])
    done = p.run("hongbaod", "-c", "other.yaml", "--exit-when-idle", "100", "--", "--no-huge", "-m", "256")
    assert done.returncode == 4 and "c.sock" in done.stderr, (done.returncode, done.stderr)
    assert not p.path("other").exists()
    assert d.ctl("ping")
    d.kill()
    assert p.path("c.sock").exists()
    d.start()
    assert d.ctl("ping")
    assert d.stop()["balanced"] and not p.path("c.sock").exists()


def rights_are_by_who_asks(p):
    """Whoever may connect may read; only who is named may change."""
    d = Daemon(p, control={"socket": "c.sock", "change": ["daemon"]})
    d.path = str(p.path("c.sock"))
    d.start()
    os.chmod(p.directory, 0o755)
    assert (os.stat(d.path).st_mode & 0o777) == 0o660
    os.chmod(d.path, 0o666)

    def as_user(user, *words):
        return subprocess.run(
            ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups",
             shutil.copy(p.build / "app/hongbaoctl/hongbaoctl", p.path("ctl")), "-s", d.path, *words],
            capture_output=True, text=True, timeout=60, check=False)
    assert as_user("nobody", "status").returncode == 0
    assert as_user("nobody", "log", "level").returncode == 0
    # A file that it names would be read with the daemon's rights.
    p.path("new.yaml").write_text(p.path("c.yaml").read_text())
    assert d.run("config", "diff", p.path("new.yaml")).returncode == 0
    assert as_user("nobody", "config", "diff", str(p.path("new.yaml"))).returncode == 4
    assert as_user("nobody", "config", "diff", "campaign", "7", "odds=0.5").returncode == 0
    done = as_user("nobody", "campaign", "pause", "7")
    assert done.returncode == 4 and "nobody" in done.stderr, (done.returncode, done.stderr)
    assert as_user("daemon", "campaign", "pause", "7").returncode == 0
    assert User().ask(7) == Status.BUSY
    assert d.stop()["balanced"]


if __name__ == "__main__":
    main([
        what_is_refused_changes_nothing,
        changes_are_undone_and_saved,
        a_new_campaign_is_there_after_a_restart,
        it_drains,
        who_is_barred_twice_is_let_in_at_once,
        money_is_in_whole_or_not_at_all,
        a_top_up_with_a_token_is_made_once,
        a_drain_lets_money_in_first,
        strangers_at_the_socket_disturb_nobody,
        a_socket_belongs_to_one_daemon,
        rights_are_by_who_asks,
    ])
