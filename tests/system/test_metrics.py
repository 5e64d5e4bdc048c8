# SPDX-License-Identifier: BSD-3-Clause
"""What a running hongbaod shows of itself to others' tools: promtool, a real Prometheus, and DPDK's
telemetry, as dpdk-telemetry.py asks for it.

Prometheus isn't installed, since its package would start a service: the package is fetched and
unpacked into the build directory, and the tests that need it are skipped where it can't be had.

usage: test_metrics.py BUILD-DIRECTORY [TEST ...]
"""
import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from programs import CAMPAIGN, main
from served import REQUESTS, ended, free_port, get, serving, until

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"


# ---- tools -------------------------------------------------------------------------------------


def fetch(package, into):
    """Unpacks a package of Debian's into a directory; returns why it can't be had, or None."""
    partial = into.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for command in (["apt-get", "download", package], ["sh", "-c", "dpkg-deb -x *.deb . && rm *.deb"]):
        try:
            done = subprocess.run(command, cwd=partial, stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, check=False)
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        if done.returncode != 0:
            return f"{package} can't be fetched: {done.stderr.strip()[-200:]}".replace("\n", " ")
    partial.rename(into)
    return None


class Tools:
    """promtool and prometheus: the host's, else those of the package."""

    def __init__(self, build):
        self.missing = None
        self.promtool, self.prometheus = shutil.which("promtool"), shutil.which("prometheus")
        if self.promtool and self.prometheus:
            return
        unpacked = build / "prometheus"
        if not unpacked.exists():
            self.missing = fetch("prometheus", unpacked)
        self.promtool = unpacked / "usr/bin/promtool"
        self.prometheus = unpacked / "usr/bin/prometheus"


def with_tools(test):
    """A test that takes the tools too; skipped where they can't be had."""
    def run(p):
        tools = Tools(p.build)
        return tools.missing or test(p, tools)
    run.__name__ = test.__name__
    return run


# ---- what is scraped ----------------------------------------------------------------------------


@contextlib.contextmanager
def hongbaod(p, campaigns=None):
    """One that plays a capture. Gives its page's URL and the process."""
    with serving(p, campaigns) as (url, process):
        yield url + "/metrics", process


def series(text):
    """Of a page: series -> value. Names and labels as they stand there."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert len(found) == len(lines)
    return found


def total(found, name, label=None):
    """The sum over all series of a name; or by the value of a label."""
    of = {key: value for key, value in found.items() if re.split(r"[{ ]", key)[0] == name}
    assert of, (name, sorted(found)[:20])
    if label is None:
        return sum(of.values())
    sums = {}
    for key, value in of.items():
        which = re.search(rf'[{{,]{label}="([^"]*)"', key).group(1)
        sums[which] = sums.get(which, 0) + value
    return {which: value for which, value in sums.items() if value}


def played(url):
    """The page once everything has been played and is durable."""
    def all_there():
        found = series(get(url)[1])
        return (total(found, "hongbao_received_frames_total") >= REQUESTS
                and total(found, "hongbao_campaign_given_envelopes_total")
                == total(found, "hongbao_wins_total") and found)
    return until(all_there)


def metrics_are_the_reports(p):
    """What is scraped at last is what the report says in the end."""
    with hongbaod(p) as (url, _):
        found = played(url)
    report = json.loads(p.path("report.json").read_text())
    assert report["dropped"]["tag"] > 0 and report["wins"] > 0, report
    assert total(found, "hongbao_received_frames_total") == report["requests"]
    assert total(found, "hongbao_replies_total", "status") == report["replies"]
    assert total(found, "hongbao_dropped_frames_total", "reason") == report["dropped"]
    assert total(found, "hongbao_wins_total") == report["wins"]
    assert total(found, "hongbao_given_fen_total") == report["fen"]
    campaign, = report["campaigns"]
    assert found['hongbao_campaign_given_fen_total{campaign="7"}'] == campaign["given_fen"]
    assert found['hongbao_campaign_funded_envelopes{campaign="7"}'] == campaign["funded"]
    assert found['hongbao_campaign_open{campaign="7"}'] == (campaign["given"] < campaign["funded"])
    # Every win waited for the journal, and every request was served.
    assert total(found, "hongbao_journal_records_total") >= report["wins"]
    assert total(found, "hongbao_journal_flush_seconds_count") > 0
    assert total(found, "hongbao_service_seconds_count") > 0


@with_tools
def promtool_finds_nothing(p, tools):
    """Both formats are served as what they are, and promtool has nothing to say of the classic one."""
    names = [{**CAMPAIGN, "name": 'odd "name" \\ 红包'}, {**CAMPAIGN, "id": 8, "paused": True}]
    with hongbaod(p, names) as (url, _):
        played(url)
        for accept, kind in ((None, CLASSIC), ("*/*", CLASSIC), ("text/plain", CLASSIC),
                             ("application/openmetrics-text", OPEN)):
            content, text = get(url, accept)
            assert content == kind, (accept, content)
            assert text.endswith("\n# EOF\n") == (kind == OPEN), text[-200:]
            assert "红包" in text
            if kind == OPEN:
                continue
            done = subprocess.run([tools.promtool, "check", "metrics"], input=text, text=True,
                                  capture_output=True, check=False)
            assert done.returncode == 0 and not done.stdout + done.stderr, done
        try:
            get(url + "s")
            raise AssertionError("a page that isn't there")
        except urllib.error.HTTPError as error:
            assert error.code == 404, error.code


@contextlib.contextmanager
def prometheus(p, tools, url, rules=()):
    """A Prometheus that scrapes a page, its data in the test's directory. Gives its API. rules: files of
    rules that it evaluates."""
    target = urllib.parse.urlparse(url)
    port = free_port()
    p.path("prometheus.yaml").write_text(json.dumps({
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [{"job_name": "hongbao", "metrics_path": target.path,
                            "static_configs": [{"targets": [target.netloc]}]}]}))
    done = subprocess.run([tools.promtool, "check", "config", p.path("prometheus.yaml")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    process = subprocess.Popen(
        [tools.prometheus, f"--config.file={p.path('prometheus.yaml')}",
         f"--storage.tsdb.path={p.path('tsdb')}", f"--web.listen-address=127.0.0.1:{port}",
         "--log.level=warn"],
        cwd=p.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def ask(what, **query):
        data = json.loads(get(f"http://127.0.0.1:{port}/api/v1/{what}?"
                              + urllib.parse.urlencode(query))[1])
        assert data["status"] == "success", data
        return data["data"]
    try:
        yield ask
    finally:
        _, said = ended(process)
    assert b"level=error" not in said and b"hongbao" not in said, said.decode()


@with_tools
def prometheus_scrapes_it(p, tools):
    """A real Prometheus takes every series in, knows their types, and computes with them."""
    with hongbaod(p) as (url, _), prometheus(p, tools, url) as ask:
        found = played(url)

        def healthy():
            target, = ask("targets")["activeTargets"]
            return target["health"] == "up" and not target["lastError"]

        def value(query):
            (result,) = ask("query", query=query)["result"]
            return float(result["value"][1])

        def all_taken_in():
            return value("sum(hongbao_received_frames_total)") == REQUESTS
        until(healthy)
        until(all_taken_in)
        for name in ("hongbao_wins_total", "hongbao_given_fen_total", "hongbao_dropped_frames_total",
                     "hongbao_campaign_given_envelopes_total"):
            assert value(f"sum({name})") == total(found, name), name
        assert value('hongbao_dropped_frames_total{reason="tag"}') > 0
        # No series was lost or renamed on the way.
        assert value('count({job="hongbao", __name__=~"hongbao_.*"})') == len(found)
        median = value("histogram_quantile(0.5, hongbao_service_seconds_bucket)")
        assert 0 < median < 1, median
        types = ask("metadata")
        for name, kind in (("hongbao_wins", "counter"), ("hongbao_admission_ratio", "gauge"),
                           ("hongbao_service_seconds", "histogram")):
            assert types[name][0]["type"] == kind and types[name][0]["help"], types[name]
        assert types["hongbao_busy_seconds"][0]["unit"] == "seconds", types["hongbao_busy_seconds"]


# ---- DPDK's telemetry --------------------------------------------------------------------------


@contextlib.contextmanager
def telemetry(directory):
    """Asks as dpdk-telemetry.py does: a SEQPACKET socket, a first packet that says how long answers get,
    then a command and an answer in a packet each."""
    path, = until(lambda: list(directory.glob("dpdk/*/dpdk_telemetry.v2*")))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(10)
        s.connect(str(path))
        room = json.loads(s.recv(1024))["max_output_len"]

        def ask(command):
            s.send(command.encode())
            data = json.loads(s.recv(room))
            assert list(data) == [command.split(",")[0]], data
            return data[command.split(",")[0]]
        yield ask


def telemetry_tells_the_same(p):
    """dpdk-telemetry.py's protocol gives the figures of the report."""
    campaigns = [{**CAMPAIGN, "id": 7 + i} for i in range(300)]
    with hongbaod(p, campaigns) as (url, process), telemetry(p.directory) as ask:
        found = played(url)
        assert {f"/hongbao/{name}" for name in ("status", "stats", "campaigns", "latency")} < set(ask("/"))
        stats, status = ask("/hongbao/stats"), ask("/hongbao/status")
        assert stats["received"] == status["received"] == REQUESTS, (stats, status)
        assert stats["dropped_tag"] == total(found, "hongbao_dropped_frames_total", "reason")["tag"]
        assert stats["replies_WIN"] == total(found, "hongbao_replies_total", "status")["WIN"]
        assert stats["given_fen"] == status["given_fen"] == total(found, "hongbao_given_fen_total")
        assert status["disk"] == "good" and status["workers"] == 1, status
        assert ask("/hongbao/stats,0")["wins"] == stats["wins"]
        one, many = ask("/hongbao/campaigns,7"), ask("/hongbao/campaigns")
        assert one["given"] == stats["wins"] and one["funded"] == 1000, one
        assert one["left"] == one["stock"] + one["elsewhere"] == 1000 - stats["wins"], one
        assert many["campaigns"] == 300 and many["id"] == list(range(7, 207)), many
        assert many["given"][0] == stats["wins"] and sum(many["given"]) == stats["wins"], many
        latency = ask("/hongbao/latency")
        assert latency["service_count"] > 0 and latency["service_max_ns"] >= latency["service_p50_ns"]
        for wrong in ("/hongbao/stats,1", "/hongbao/stats,x", "/hongbao/campaigns,0",
                      "/hongbao/campaigns,307", "/hongbao/campaigns,65536"):
            assert not ask(wrong), wrong
        assert process.poll() is None


if __name__ == "__main__":
    main([
        metrics_are_the_reports,
        promtool_finds_nothing,
        prometheus_scrapes_it,
        telemetry_tells_the_same,
    ])
