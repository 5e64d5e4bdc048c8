# SPDX-License-Identifier: BSD-3-Clause
"""hongbao-settle with a real PostgreSQL: every record once, to the fen, whatever either side does; and each
thing that can be wrong told in a line, without loss and without haste.

usage: test_settle.py BUILD-DIRECTORY [TEST ...]
"""
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import hbclient
import postgres
from settling import MANY, Bed, Settle, main, metric


EPOCH_KEY, ISSUER_KEY = bytes(range(16)), bytes(range(16, 32))


def write_requests(p, requests):
    """A pcap of (second, key of the shard, datagram)."""
    def path(key):
        return hbclient.Path(bytes.fromhex("020000000002"), bytes.fromhex("020000000001"),
                             hbclient.address("10.1.0.1"), hbclient.address("10.0.0.1"), 4000,
                             8192 + hbclient.shard(key))
    hbclient.write_pcap(p.path("requests.pcap"), [
        (at * 10**9 + i, hbclient.frame(path(key), data)) for i, (at, key, data) in enumerate(requests)])


# ---- the good case -----------------------------------------------------------------------------


def every_record_arrives_once(p):
    """What the database adds up to is what the audit adds up from the journal; and a second run finds
    nothing to do."""
    bed = Bed(p)
    assert "records settled in" in bed.once()
    report = bed.equal()
    given = {c["campaign"]: c for c in report["campaigns"]}
    for campaign, envelopes, fen, wins, wins_fen, bundles in bed.query(
            "select campaign, envelopes, fen, given, given_fen, bundles from hongbao.by_campaign"):
        c = given[int(campaign)]
        assert (c["funded"], c["funded_fen"], c["given"], c["given_fen"], c["bundles"]) == tuple(
            map(int, (envelopes, fen, wins, wins_fen, bundles))), (campaign, c)
    packets = report["packets"]
    assert [packets["packets"], packets["fen"], packets["taken"], packets["taken_fen"]] == list(map(int, bed.query(
        "select count(*), sum(fen), sum(taken), sum(taken_fen) from hongbao.packets")[0]))
    assert packets["taken"] == int(bed.one("select count(*) from hongbao.shares")) > 1000
    plain = sum(c["given_fen"] - c["bundles_fen"] for c in report["campaigns"])
    due = plain + packets["taken_fen"] + packets["refunded_fen"]
    for view in ("to_pay", "by_minute", "payable"):
        assert int(bed.one(f"select sum(fen) from hongbao.{view}")) == due, view
    assert int(bed.one("select sum(fen) from hongbao.by_user")) + sum(
        c["refunded_fen"] for c in report["campaigns"]) == due
    bed.query("insert into hongbao.payments select journal, record, 'test', now() from hongbao.to_pay limit 10")
    assert int(bed.one("select sum(fen) from hongbao.to_pay")) < due
    assert bed.query("select waiting, refused from hongbao.backlog") == [["0", "0"]]
    assert "0 records settled in 0 transactions" in bed.once()
    bed.equal()


def refunds_and_an_id_used_again(p):
    """A packet's time is over, its rest goes back, its id serves another: in small transactions and in
    one, the database tells them apart."""
    bed = Bed(p, None, journal=False)
    frames = []
    for again in range(4):
        at = 1000 + again * 7200
        for packet in range(1, 40):
            frames.append((at, packet, hbclient.pack(ISSUER_KEY, 9, 1 + again, packet, 100, 3, 2, 1)))
            for user in range(1, 1 + packet % 4):
                key = hbclient.user_key(EPOCH_KEY, user)
                frames.append((at + 1, packet, hbclient.grab(key, user, 1 + again, packet)))
    write_requests(p, sorted(frames))
    p.config(packets={"open": 100, "shares": 1000, "keep": 1}, campaigns=[MANY])
    p.play()
    bed.once("--batch", 7)
    report = bed.equal()
    assert report["packets"]["used_again"] > 0 < report["packets"]["refunded"], report["packets"]
    small = bed.query("select * from hongbao.shares order by record"), bed.query(
        "select * from hongbao.packets order by record"), bed.query("select * from hongbao.refunds order by record")
    whole = Bed(p, None, journal=False)
    whole.once()
    whole.equal()
    assert small == (whole.query("select * from hongbao.shares order by record"), whole.query(
        "select * from hongbao.packets order by record"), whole.query("select * from hongbao.refunds order by record"))
    due = whole.query("select usr, sum(fen) from hongbao.refunds_due group by 1")
    assert due == [["9", str(report["packets"]["refunded_fen"])]], due


def each_difference_is_listed(p):
    """The audit says of each record what is missing, surplus and different, and fails."""
    bed = Bed(p)
    bed.once()
    wins = [int(r) for (r,) in bed.query("select record from hongbao.wins order by record limit 9")]
    share = bed.one("select min(record) from hongbao.shares")
    bed.query(
        f"delete from hongbao.wins where record in ({wins[0]}, {wins[1]}, {wins[4]})",
        f"update hongbao.wins set fen = fen + 1 where record = {wins[6]}",
        f"update hongbao.wins set happened = happened + interval '1 microsecond' where record = {wins[7]}",
        "insert into hongbao.quotas select journal, next_record + 5, 7, 1, now() from hongbao.journals",
        f"delete from hongbao.shares where record = {share}")
    report, said = bed.audit(code=1)
    found = report["database"]
    assert (found["missing"], found["extra"], found["different"], found["packets_miscounted"]) == (4, 1, 2, 1), found
    first = f"{wins[0]} to {wins[1]}" if wins[1] == wins[0] + 1 else f"{wins[0]},"
    for words in (f"missing in the database: record{'s' if 'to' in first else ''} {first}",
                  f"missing in the database: record {wins[4]}", f"missing in the database: record {share}",
                  f"different: record {wins[6]}: fen ", f"different: record {wins[7]}: time_us ",
                  "in the database, not in the journal: record", "to be paid out:", " shares of "):
        assert words in said, (words, said)
    assert not found["equal"] and report["balanced"]


def a_journal_is_followed_while_it_grows(p):
    """From an empty journal over several runs of hongbaod, which it holds up in nothing; and the daemon
    is told how far it is."""
    bed = Bed(p, None, journal=False)
    p.trace("gala-2015", 20000, 15000)
    p.config(campaigns=[{**MANY, "envelopes": {"count": 200000, "total": 20000000, "split": "lucky"}}], users=200000)
    p.play()
    settle = bed.follow("--rate", 0)
    try:
        settle.wait_for("settled to record 0")
        for start in (1, 2):
            p.trace("gala-2015", 20000, 15000, 1, "requests.pcap", "--seed", 10 + start)
            p.play(fresh=False)
        records = sum(c["given"] for c in p.audit()["campaigns"])
        bed.wait_for("select count(*) from hongbao.wins", str(records))
        end = time.monotonic() + 10
        while f"record={bed.position()} " not in p.path("journal/settled").read_text():
            assert time.monotonic() < end, p.path("journal/settled").read_text()
            time.sleep(0.05)
        assert settle.end() == 0, settle.said
    finally:
        settle.kill()
    bed.equal()
    assert len(list(p.path("journal").glob("*.hbj"))) == 3


# ---- the pace ----------------------------------------------------------------------------------


def the_rate_is_kept_and_can_be_changed(p):
    """A cap from the file holds; SIGHUP changes it while it runs; a file that is wrong changes nothing."""
    bed = Bed(p)

    def write(rate):
        p.path("settle.yaml").write_text(
            f"journal: journal\ndatabase: {bed.conninfo()}\nrate: {rate}\nmetrics: 127.0.0.1:{port}\n")

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    write(4000)
    settle = Settle(p, "-c", p.path("settle.yaml"))
    try:
        bed.wait_for("select count(*) > 0 from hongbao.wins", "t")
        begun, before = time.monotonic(), bed.position()
        time.sleep(2)
        rate = (bed.position() - before) / (time.monotonic() - begun)
        # How little less it is, test_settle.c has on a clock of its own: here the machine may be slow.
        assert 0 < rate < 4900, rate
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert metric(text, "hongbao_settle_rate_limit") == 4000
        assert metric(text, "hongbao_settle_database_up") == 1
        assert metric(text, "hongbao_settle_backlog_records") > 1000, text
        check_metrics(p, text)
        write("quick")
        settle.process.send_signal(signal.SIGHUP)
        settle.wait_for("it goes on as before")
        write(0)
        settle.process.send_signal(signal.SIGHUP)
        settle.wait_for("rate 0 a second")
        bed.wait_for("select waiting from hongbao.backlog", "0")
        assert settle.end() == 0, settle.said
    finally:
        settle.kill()
    bed.equal()


def a_terminal_shows_what_is_left(p):
    """Rate, backlog and the time until it is empty, in one line."""
    bed = Bed(p)
    master, slave = pty.openpty()
    process = subprocess.Popen([p.build / "app/hongbao-settle/hongbao-settle", *bed.usual("--rate", "4000")],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    said, end = b"", time.monotonic() + 60
    try:
        while not re.search(rb"\r\x1b\[Khongbao-settle: [\d,]+ settled, [\d,]+/s, backlog [\d,]+, empty in 0:00:\d\d",
                            said):
            assert time.monotonic() < end and process.poll() is None, said
            said += os.read(master, 4096)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        os.close(master)


def check_metrics(p, text):
    """Each family is in the README, and promtool finds nothing, where there is one."""
    readme = os.environ.get("HONGBAO_README")
    for name in re.findall(r"^# TYPE (\S+)", text, re.M):
        base = name.removesuffix("_total")
        assert not readme or f"| {base}" in open(readme, encoding="utf-8").read(), name
    tool = shutil.which("promtool") or str(p.build / "prometheus/usr/bin/promtool")
    if os.path.exists(tool):
        done = subprocess.run([tool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)


# ---- who may -----------------------------------------------------------------------------------


def passwords(p):
    """A wrong one is told and ends it; the right one comes from where libpq looks, never the command
    line, nor a file that others can read."""
    bed = Bed(p)
    p.path("right").write_text("*:*:*:locked:right\n")
    p.path("wrong").write_text("*:*:*:locked:wrong\n")
    for name in ("right", "wrong"):
        p.path(name).chmod(0o600)
    locked = ("-j", "journal", "-d", bed.conninfo("locked"), "--once", "--rate", 0)
    for name in ("wrong", "none at all"):
        done = bed.run(*locked, PGPASSFILE=str(p.path(name)))
        assert done.returncode == 3 and "password" in done.stderr and "pgpass" in done.stderr, done
        assert done.stderr.count("\n") == 1, done.stderr
    done = bed.run("-j", "journal", "-d", bed.conninfo("locked") + " password=right", "--once")
    assert done.returncode == 2 and "right" not in done.stderr, done
    p.path("s.yaml").write_text(f"journal: journal\ndatabase: {bed.conninfo('locked')} password=right\nrate: 0\n")
    p.path("s.yaml").chmod(0o644)
    done = bed.run("-c", "s.yaml", "--once")
    assert done.returncode == 3 and "chmod 600" in done.stderr and "right" not in done.stderr, done
    p.path("s.yaml").chmod(0o600)
    assert bed.run("-c", "s.yaml", "--once").returncode == 0
    assert bed.run(*locked, PGPASSFILE=str(p.path("right"))).returncode == 0
    bed.equal()
    done = bed.run("-j", "journal", "-d", bed.server.conninfo(database="nowhere"), "--once")
    assert done.returncode == 3 and '"nowhere" does not exist' in done.stderr, done


def the_schema_must_be_the_programs(p):
    """None, a newer one, another one: refused with the remedy, and nothing is written."""
    bed = Bed(p, None, migrate=False)
    assert "--migrate" in bed.once(code=3)
    bed.migrate()
    bed.migrate()
    bed.query("insert into hongbao.migrations values (99, 1, 'later')")
    assert "newer" in bed.once(code=3)
    bed.query("delete from hongbao.migrations where number = 99", "update hongbao.migrations set mark = mark + 1")
    assert "is not this program's" in bed.once(code=3)
    done = p.run("hongbao-audit", "--database", bed.conninfo(), "journal")
    assert done.returncode == 3 and "is not this program's" in done.stderr, done
    assert bed.one("select count(*) from hongbao.journals") == "0"
    bed.query("update hongbao.migrations set mark = mark - 1")
    bed.once()
    bed.equal()


def one_at_a_time_settles_a_journal(p):
    """The second waits and takes over when the first is killed; a second --once fails at once."""
    bed = Bed(p)
    first, second = bed.follow("--rate", 3000), None
    try:
        bed.wait_for("select count(*) > 0 from hongbao.wins", "t")
        assert "is being settled by hongbao-settle" in bed.once(code=1)
        second = bed.follow("--rate", 0)
        second.wait_for("this one waits to take over")
        first.kill()
        bed.wait_for("select waiting from hongbao.backlog", "0")
        assert second.end() == 0, second.said
    finally:
        first.kill()
        if second:
            second.kill()
    bed.equal()


def another_journal_is_refused(p):
    """A new journal of the same host, and the same journal from an older copy that went on."""
    bed = Bed(p)
    shutil.copytree(p.path("journal"), p.path("old"))
    p.trace("gala-2015", 3000, 2000, 7)
    p.config(campaigns=[MANY], users=200000)
    p.play(fresh=False)
    bed.once()
    bed.equal()
    # The copy lacks the last run's records, and others take their numbers.
    shutil.rmtree(p.path("journal"))
    shutil.move(p.path("old"), p.path("journal"))
    said = bed.once(code=1)
    assert "older copy" in said and "00000004.hbj" in said, said
    p.trace("gala-2015", 3000, 2000, 8)
    p.play(fresh=False)
    said = bed.once(code=1)
    assert "is another one now" in said or "isn't there any more" in said, said
    before = bed.position()
    p.play()
    said = bed.once(code=3)
    assert "--adopt" in said, said
    assert bed.position() == before and bed.one("select count(*) from hongbao.journals") == "1"


# ---- what databases do -------------------------------------------------------------------------


def errors(bed, settle_port, kind):
    with urllib.request.urlopen(f"http://127.0.0.1:{settle_port}/metrics", timeout=10) as answer:
        return metric(answer.read().decode(), f'hongbao_settle_errors_total{{kind="{kind}"}}')


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def a_database_that_is_read_only_is_waited_for(p):
    """In a line, and without haste: some tries in seconds, none lost."""
    bed = Bed(p)
    bed.query(f"alter database {bed.database} set default_transaction_read_only = on")
    port = free_port()
    settle = bed.follow("--rate", 0, "--metrics", f"127.0.0.1:{port}")
    try:
        settle.wait_for("read-only")
        time.sleep(1.5)
        assert 1 <= errors(bed, port, "read_only") <= 8
        bed.server.query(
            f"alter database {bed.database} set default_transaction_read_only = off", database="postgres")
        bed.wait_for("select waiting from hongbao.backlog where settled > 0", "0")
        assert settle.end() == 0, settle.said
    finally:
        settle.kill()
    bed.equal()


def a_disk_that_is_full_is_waited_for(p):
    """The database's files on a file system of a few MiB: told, waited for, and all there once there is
    room."""
    small = p.path("small")
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", small], check=False)
    if done.returncode != 0:
        return "needs the right to mount"
    own = postgres.Postgres()
    try:
        user = postgres.unprivileged()
        os.chmod(p.directory, 0o711)
        os.chown(small, user.pw_uid, user.pw_gid)
        own.make()
        own.query(f"create tablespace small location '{small}'", database="postgres")
        own.query("alter database hongbao set tablespace small", database="postgres")
        bed = Bed(p, own)
        left = os.statvfs(small)
        (small / "ballast").write_bytes(bytes(left.f_bavail * left.f_frsize - 300000))
        full(bed, small)
    finally:
        own.remove()
        subprocess.run(["umount", "-l", small], check=False)
    return None


def full(bed, small):
    settle = bed.follow("--rate", 0)
    try:
        settle.wait_for("make room on the database's disk")
        assert "SQLSTATE 53100" in settle.said, settle.said
        assert bed.position() == 0
        (small / "ballast").unlink()
        bed.wait_for("select waiting from hongbao.backlog where settled > 0", "0")
        assert settle.end() == 0, settle.said
    finally:
        settle.kill()
    bed.equal()


def a_row_that_the_database_refuses(p):
    """It is set aside with the reason, alone, and all the others arrive; or, where none may be, it stops
    in front of it, and goes on when a person has seen to it."""
    bed = Bed(p)
    bed.once()
    some = [row for row in bed.query(
        "select record, campaign, envelope, usr from hongbao.wins order by record") if int(row[1]) == 7]
    picked = [some[3], some[len(some) // 2], some[-1]]
    bed.query("truncate hongbao.journals, hongbao.fundings, hongbao.tiers, hongbao.wins, hongbao.packets, "
              "hongbao.shares, hongbao.refunds, hongbao.quotas",
              *(f"insert into hongbao.wins values (1, {record}, {campaign}, {envelope}, {user}, 4000000000, 1, 1, "
                "false, now())" for record, campaign, envelope, user in picked))
    # Not one may be set aside: it stops at the first of them.
    said = bed.once("--set-aside", 0, code=1)
    assert f"record {picked[0][0]} " in said and "envelope_given_once" in said, said
    assert bed.position() == int(picked[0][0])
    # Two may: it stops at the third.
    said = bed.once("--set-aside", 2, code=1)
    assert bed.position() == int(picked[2][0]), said
    bed.once("--set-aside", 3)
    refused = bed.query("select record, fen, reason from hongbao.refused order by record")
    assert [r[0] for r in refused] == [r[0] for r in picked], refused
    assert all("envelope_given_once" in r[2] for r in refused), refused
    report, said = bed.audit(code=1)
    found = report["database"]
    assert (found["set_aside"], found["missing"], found["unsettled"]) == (3, 0, 0), found
    assert found["journal_fen"] - found["database_fen"] == sum(int(r[1]) for r in refused), found
    assert said.count("set aside, because the database refused it") == 3, said


def a_database_that_is_away_is_waited_for(p):
    """Gone in the middle and back: nothing is lost, memory stays as it is, the backlog goes at the cap."""
    own = postgres.Postgres().make()
    try:
        away(p, Bed(p, own), own)
    finally:
        own.remove()


def away(p, bed, own):
    port = free_port()
    p.trace("gala-2015", 20000, 15000, 9)
    p.config(campaigns=[MANY], users=200000)
    settle = bed.follow("--rate", 8000, "--metrics", f"127.0.0.1:{port}")
    try:
        bed.wait_for("select count(*) > 2000 from hongbao.wins", "t")
        own.kill()
        settle.wait_for("it is tried again")
        before = settle.memory()
        p.play(fresh=False)
        time.sleep(0.5)
        assert errors(bed, port, "away") <= 10
        assert settle.memory() <= before + (1 << 20), (before, settle.memory())
        own.start()
        bed.wait_for(f"select next_record > {bed.position()} from hongbao.journals", "t")
        begun, position = time.monotonic(), bed.position()
        time.sleep(1.5)
        rate = (bed.position() - position) / (time.monotonic() - begun)
        assert 0 < rate < 9500, rate
        bed.wait_for("select waiting from hongbao.backlog", "0")
        # The window and what is pending were there before; nothing grows with the backlog.
        assert settle.memory() <= before + (8 << 20), (before, settle.memory())
        assert settle.end() == 0, settle.said
    finally:
        settle.kill()
    bed.equal()


def without_a_database_once_fails(p):
    """Nobody there: exit code 4, in half a minute of patience, or at once when it is told to end."""
    bed = Bed(p, None, migrate=False)
    settle = Settle(p, "-j", p.path("journal"), "-d", f"host={p.directory} dbname=x", "--once")
    settle.wait_for("it is tried again")
    assert settle.end() == 0, settle.said
    done = bed.run("-d", f"host={p.directory} dbname=x", "--migrate")
    assert done.returncode == 4 and "pg_isready" in done.stderr, done
    done = p.run("hongbao-audit", "--database", f"host={p.directory}", "journal")
    assert done.returncode == 4, done


# ---- the journal -------------------------------------------------------------------------------


def damage_is_told_and_what_is_before_it_settled(p):
    bed = Bed(p)
    segment = p.path("journal/00000002.hbj")
    data = bytearray(segment.read_bytes())
    at = len(data) // 2
    data[at] ^= 0x10
    segment.write_bytes(data)
    said = bed.once(code=1)
    assert re.search(r"00000002\.hbj: offset \d+: the batch there is damaged", said), said
    settled = bed.position()
    assert settled > 15000 and bed.one("select max(record) from hongbao.records") == str(settled - 1)
    data[at] ^= 0x10
    segment.write_bytes(data)
    bed.once()
    bed.equal()
    for journal, words in (("none", "No such file"), (".", "no segment")):
        done = bed.run("-j", journal, "-d", bed.conninfo(), "--once")
        assert done.returncode == 3 and words in done.stderr, done


def settled_segments_go_into_the_archive(p):
    """On another file system; the journal is one with it for the audit, for hongbaod's start and for
    settling from the beginning; without it, nothing starts."""
    bed = Bed(p)
    archive = f"/dev/shm/hongbao-archive-{os.getpid()}"
    try:
        bed.once("--archive", archive)
        assert sorted(os.listdir(archive)) == ["00000001.hbj", "00000002.hbj"]
        assert sorted(path.name for path in p.path("journal").glob("*.hbj")) == ["00000003.hbj"]
        before = bed.equal()
        p.trace("gala-2015", 5000, 4000, 5)
        p.config(campaigns=[MANY], users=200000)
        p.play(fresh=False)
        after = p.audit()
        assert after["segments"] == 4
        assert after["campaigns"][0]["given"] > before["campaigns"][0]["given"]
        bed.once()
        bed.equal()
        again = Bed(p, None, journal=False)
        again.once("--archive", archive)
        again.equal()
        assert len(os.listdir(archive)) == 3
        os.rename(archive, archive + ".away")
        done = p.run("hongbaod", "-c", "c.yaml", "--exit-when-idle", 100)
        assert done.returncode != 0 and "archive" in done.stderr, done
        done = p.run("hongbao-audit", "journal")
        assert done.returncode != 0 and "archive" in done.stderr, done
        done = bed.run(*bed.usual("--once"))
        assert done.returncode != 0 and "archive" in done.stderr, done
        os.rename(archive + ".away", archive)
        bed.equal()
        done = bed.run(*bed.usual("--once", "--archive", str(p.path("other"))))
        assert done.returncode == 3 and "archived elsewhere" in done.stderr, done
    finally:
        shutil.rmtree(archive, ignore_errors=True)
        shutil.rmtree(archive + ".away", ignore_errors=True)


def the_command_line(p):
    bed = Bed(p, None, migrate=False)
    assert bed.run("--help").returncode == 0
    assert bed.run("--version").returncode == 0
    for words in ([], ["-d", "dbname=x"], ["-j", "journal"], ["--rate", "fast"], ["-c"], ["--speed", "5"], ["x", "y"],
                  ["-j", "journal", "-d", "what=ever"]):
        done = bed.run(*words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, (words, done)
    done = bed.run("-c", "nowhere.yaml")
    assert done.returncode == 3 and "nowhere.yaml" in done.stderr, done


TESTS = [
    every_record_arrives_once,
    refunds_and_an_id_used_again,
    each_difference_is_listed,
    a_journal_is_followed_while_it_grows,
    the_rate_is_kept_and_can_be_changed,
    a_terminal_shows_what_is_left,
    passwords,
    the_schema_must_be_the_programs,
    one_at_a_time_settles_a_journal,
    another_journal_is_refused,
    a_database_that_is_read_only_is_waited_for,
    a_disk_that_is_full_is_waited_for,
    a_row_that_the_database_refuses,
    a_database_that_is_away_is_waited_for,
    without_a_database_once_fails,
    damage_is_told_and_what_is_before_it_settled,
    settled_segments_go_into_the_archive,
    the_command_line,
]

if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(f"usage: {sys.argv[0]} BUILD-DIRECTORY [TEST ...]")
    if postgres.missing():
        print("1..1\nok 1 - settle # SKIP " + postgres.missing())
        sys.exit(0)
    # Mounts of a test's own, where that can be.
    if os.geteuid() == 0 and "HONGBAO_MOUNTS" not in os.environ:
        os.environ["HONGBAO_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    sys.exit(main(TESTS, sys.argv[1:]))
