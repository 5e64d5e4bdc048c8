# SPDX-License-Identifier: BSD-3-Clause
"""Bad input to the programs: one line that names the file or key, the value and the remedy; the right
exit code; nothing left behind.

usage: test_bad_input.py BUILD-DIRECTORY [TEST ...]
"""
import os
import shutil
import subprocess

from programs import CAMPAIGN, main

USAGE, CONFIG, HOST = 2, 3, 4


def refused(p, code, words, *arguments, program="hongbaod"):
    """Runs a program that must refuse: exit code, one line on stderr with the words, no new file."""
    before = sorted(os.listdir(p.directory))
    done = p.run(program, *arguments)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, (done.returncode, done.stderr)
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])
    assert done.stdout == "", done.stdout
    assert sorted(os.listdir(p.directory)) == before, os.listdir(p.directory)


def prepared(p):
    p.keys()
    p.trace("gala-2015", 1000, 300)
    return p


def started(p, code, words, **config):
    """A configuration that hongbaod must refuse."""
    p.config(**config)
    refused(p, code, words, "-c", "c.yaml", "--exit-when-idle", 100)


def files_that_are_not_there(p):
    refused(p, CONFIG, ["nosuch.yaml"], "-c", "nosuch.yaml")
    prepared(p)
    started(p, CONFIG, ["rx_pcap", "nosuch.pcap"], captures=["nosuch.pcap"])
    started(p, CONFIG, ["keys", "nosuch.yaml"], keys="nosuch.yaml")
    started(p, CONFIG, ["/nosuch/journal", "mkdir"], journal="/nosuch/journal")
    p.config()
    refused(p, CONFIG, ["--report", "/nosuch"], "-c", "c.yaml", "--report", "/nosuch/r.json")
    refused(p, CONFIG, ["nosuch"], "nosuch", program="hongbao-audit")
    refused(p, CONFIG, ["*.hbj"], ".", program="hongbao-audit")


def captures_that_are_none(p):
    prepared(p)
    p.path("text.pcap").write_text("garbage")
    p.path("empty.pcap").write_text("")
    for name in ("text.pcap", "empty.pcap"):
        started(p, CONFIG, ["rx_pcap", name, "pcap"], captures=[name])
    raw = bytearray(p.path("requests.pcap").read_bytes())
    raw[20] = 101
    p.path("raw.pcap").write_bytes(raw)
    started(p, CONFIG, ["raw.pcap", "Ethernet"], captures=["raw.pcap"])


def keys_that_others_can_read(p):
    prepared(p)
    p.keys(0o644)
    started(p, CONFIG, ["keys.yaml", "0644", "chmod 600"])


def devices_that_are_none(p):
    prepared(p)
    started(p, CONFIG, ["net_nosuch0", "pcap"],
            ports=[{"profile": "pcap", "device": "net_nosuch0"}])
    started(p, CONFIG, ["nosuch", "pcap", "virtio"],
            ports=[{"profile": "nosuch", "device": "net_pcap0"}])
    started(p, CONFIG, ["workers: 2", "rx_pcap"],
            ports=[{"profile": "pcap", "device": "net_pcap0,rx_pcap=requests.pcap,"
                    "rx_pcap=requests.pcap"}])
    started(p, CONFIG, ["clock", "wall"], ports=[{"profile": "null", "device": "net_null0"}])
    started(p, CONFIG, ["clock", "wall", "infinite_rx"],
            ports=[{"profile": "pcap_loop", "device": "net_pcap0,rx_pcap=requests.pcap,infinite_rx=1"}])


def settings_that_make_no_sense(p):
    prepared(p)
    campaign = dict(CAMPAIGN)
    started(p, CONFIG, ["c.yaml:", "id", "7"], campaigns=[campaign, campaign])
    for key, value, words in (
            ("closes", 0, ["closes", "opens"]),
            ("odds", 1.5, ["odds", "1.5", "0 to 1"]),
            ("odds", -0.1, ["odds", "-0.1"]),
            ("envelopes", {"count": 1000, "total": 999}, ["total", "999", "1000"]),
            ("envelopes", {"count": 0, "total": 10}, ["count", "0"]),
            ("wins_per_user", 0, ["wins_per_user"]),
            ("nosuch", 1, ["nosuch"]),
    ):
        started(p, CONFIG, ["c.yaml:", "campaigns[0]", *words], campaigns=[{**campaign, key: value}])
    started(p, CONFIG, ["workrs", "workers"], workrs=1)
    started(p, CONFIG, ["base_port", "8191"], listen={"ipv4": "10.0.0.1", "base_port": 8191})


def more_rows_than_memory(p):
    prepared(p)
    started(p, HOST, ["users", "100000000000", "MiB"], users=100000000000)
    refused(p, HOST, ["users", "100000000000", "MiB"], "--check", "-c", "c.yaml")


def wrong_command_lines(p):
    for program in ("hongbaod", "hongbao-audit", "hongbao-trace"):
        refused(p, USAGE, ["--nosuch", "--help"], "--nosuch", program=program)
        refused(p, USAGE, [f"{program} --"], program=program)
        for option in ("--help", "--version"):
            done = p.run(program, option)
            assert done.returncode == 0 and program in done.stdout and not done.stderr, done
    refused(p, USAGE, ["--exit-when-idle", "soon"], "-c", "x", "--exit-when-idle", "soon")


def a_journal_has_one_writer(p):
    prepared(p)
    p.config()
    first = subprocess.Popen([p.build / "app/hongbaod/hongbaod", "-c", p.path("c.yaml")],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "worker" not in first.stderr.readline():
        assert first.poll() is None
    refused(p, HOST, ["journal", "another process"], "-c", "c.yaml", "--exit-when-idle", 100)
    first.terminate()
    out, _ = first.communicate(timeout=30)
    assert first.returncode == 0 and "books: balanced" in out, out


def damage_is_found(p):
    """A flipped bit before the last batch is damage, and the audit names file and offset."""
    prepared(p)
    p.config(campaigns=[{**CAMPAIGN, "odds": 1}])
    p.play()
    segment = p.path("journal") / "00000001.hbj"
    good = segment.read_bytes()
    for at in (0, 9, 4096, 4096 + 70):
        bad = bytearray(good)
        bad[at] ^= 1
        segment.write_bytes(bad)
        done = p.run("hongbao-audit", "journal")
        assert done.returncode == 1 and "00000001.hbj" in done.stderr, (at, done)
        assert "offset" in done.stderr, done.stderr
    segment.write_bytes(good)
    p.audit()
    shutil.copy(segment, p.path("journal") / "00000003.hbj")
    done = p.run("hongbao-audit", "journal")
    assert done.returncode == 1 and "missing" in done.stderr, done


main([
    files_that_are_not_there,
    captures_that_are_none,
    keys_that_others_can_read,
    devices_that_are_none,
    settings_that_make_no_sense,
    more_rows_than_memory,
    wrong_command_lines,
    a_journal_has_one_writer,
    damage_is_found,
])
