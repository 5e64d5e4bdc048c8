# SPDX-License-Identifier: BSD-3-Clause
"""The war room's server: routes, what is refused, the stream, many pages, a restart, the report.

usage: test_warroom.py BUILD-DIRECTORY [TEST ...]
"""
import contextlib
import html.parser
import http.client
import json
import os
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import time
import urllib.parse

from control import Control
from programs import CAMPAIGN, main
from served import REQUESTS, ended, get, serving, until

NOW = {"format", "id", "time_us", "started_us", "uptime_s", "version", "host", "state", "clock", "config_version",
       "rates", "peak", "totals", "money", "campaigns", "campaigns_not_shown", "settlement", "workers", "load",
       "handover", "drops", "shed", "replies", "admission", "latency", "changes", "alerts", "alerts_not_shown",
       "incidents", "pages"}
COLUMNS = {"shakes_per_second", "received_per_second", "wins_per_second", "given_fen_per_second",
           "dropped_per_second", "shed_per_second", "handed_over_per_second", "load_percent", "busiest_percent",
           "admission_percent", "undurable", "undurable_age_s", "durable_p50_ms", "durable_p99_ms",
           "service_p50_ns", "service_p99_ns"}
POLICY = ("default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'")


def place(url):
    found = urllib.parse.urlparse(url)
    return found.hostname, found.port


def now(url):
    return json.loads(get(url + "/api/now")[1])


def played(url):
    """The present once everything has been played and is durable, and a second has seen it."""
    def all_there():
        found = now(url)
        assert (found["totals"]["received"] == REQUESTS and found["settlement"]["undurable"] == 0
                and found["rates"]["received_per_second"] == 0), {
                    name: found[name] for name in ("id", "uptime_s", "totals", "settlement", "rates", "alerts")}
        return found
    return until(all_there)


def alert(found, name):
    return next((a for a in found["alerts"] if a["id"] == name), None)


# ---- routes ------------------------------------------------------------------------------------


def fetch(url, path, method="GET", **headers):
    """(status, headers, body)."""
    connection = http.client.HTTPConnection(*place(url), timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def check_routes(url):
    kinds = {"/": "text/html; charset=utf-8", "/warroom.js": "text/javascript; charset=utf-8",
             "/warroom.css": "text/css; charset=utf-8", "/warroom.svg": "image/svg+xml",
             "/dygraph.js": "text/javascript; charset=utf-8", "/dygraph.css": "text/css; charset=utf-8",
             "/api/now": "application/json", "/api/history?step=1": "application/json",
             "/api/history?step=60": "application/json"}
    for path, kind in kinds.items():
        status, headers, body = fetch(url, path)
        assert status == 200 and headers["Content-Type"] == kind and body, (path, status, kind)
        assert headers["Content-Security-Policy"] == POLICY, headers
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Access-Control-Allow-Origin"] is None
        status, head, nothing = fetch(url, path, "HEAD")
        assert status == 200 and nothing == b"" and head["Content-Type"] == kind, (path, status)
    assert b"Dygraph" in fetch(url, "/dygraph.js")[2]
    found = now(url)
    assert set(found) == NOW, set(found) ^ NOW
    assert found["totals"]["received"] == REQUESTS and found["clock"] == "packet", found
    for step in (1, 60):
        history = json.loads(get(f"{url}/api/history?step={step}")[1])
        assert COLUMNS <= set(history), COLUMNS - set(history)
        assert history["rows"] >= 1 and history["step_s"] == step, history
        for name in COLUMNS:
            assert len(history[name]) == history["rows"], name
        last = history["first_us"] + history["rows"] * step * 1000000
        assert abs(last - history["time_us"]) <= step * 1000000 + 1000000, history
        campaign, = history["campaigns"]
        assert campaign["id"] == 7 and campaign["left"][-1] == 1000 - found["totals"]["wins"], campaign
    # The second in which it was played is there.
    history = json.loads(get(f"{url}/api/history?step=1")[1])
    assert max(x or 0 for x in history["received_per_second"]) > 0, history["received_per_second"]


def check_refusals(url):
    wrong = {"/index.html": 404, "/api": 404, "/api/": 404, "/api/nows": 404, "/../etc/passwd": 404,
             "/..%2f..%2fetc/passwd": 404, "/%2e%2e/api/now": 404, "/warroom.js/../api/now": 404,
             "//api/now": 421, "/api/now%00": 404, "/page/index.html": 404, "/api/history": 400,
             "/api/history?step=2": 400, "/api/history?step=1&step=60": 400, "/api/history?step=": 400,
             "/api/history?step=" + "9" * 4000: 400, "/api/now?x": 400, "/api/live?id=1": 400}
    for path, status in wrong.items():
        got, headers, body = fetch(url, path)
        assert got == status, (path, got, status)
        assert headers["Content-Type"] == "text/plain; charset=utf-8", (path, headers)
        assert b"root:" not in body and len(body) < 300, (path, body)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        got, headers, _ = fetch(url, "/api/now", method)
        assert got == 405 and headers["Allow"] == "GET, HEAD", (method, got)
    for host in ("evil.example", "evil.example:9180", "127.0.0.1.evil.example", "10.9.8.7", ""):
        for path in ("/", "/api/now", "/api/live"):
            assert fetch(url, path, Host=host)[0] == 421, (host, path)
    assert fetch(url, "/api/now", Host="localhost:1")[0] == 200
    assert now(url)["state"] == "running"


def routes_are_served_and_others_refused(p):
    with serving(p) as (url, _):
        played(url)
        check_routes(url)
        check_refusals(url)


# ---- bad HTTP ----------------------------------------------------------------------------------


def closed_within(sockets, seconds):
    """Waits until the other side has closed all of them; returns what each had sent."""
    said, end = {s: b"" for s in sockets}, time.monotonic() + seconds
    waiting = set(sockets)
    while waiting:
        left = end - time.monotonic()
        assert left > 0, (len(waiting), "connections stay open", [said[s][:200] for s in waiting])
        for s in select.select(list(waiting), [], [], left)[0]:
            try:
                data = s.recv(65536)
            except ConnectionError:
                data = b""
            said[s] += data
            if not data:
                waiting.discard(s)
    return [said[s] for s in sockets]


def bad_http_is_cut_off(p):
    """Malformed, huge and slow ones at once; and meanwhile others are served."""
    whole = b"GET /api/now HTTP/1.1\r\nHost: localhost\r\n"
    at_once = [b"nonsense\r\n\r\n", b"GET /api/now HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
               b"GET\r\n\r\n", whole + b"X: " + b"y" * 20000 + b"\r\n\r\n", b"GET /" + b"a" * 20000,
               whole + b"Content-Length: 99999999999\r\n\r\n", whole + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n",
               whole + b"x: y\r\n" * 5000 + b"\r\n"]
    slow = [b"", b"G", b"GET /api/now HTTP/1.1\r\n", whole, b"GET /api/live HTTP/1.1\r\nHost: localhost\r\nA: "]
    with serving(p) as (url, process), contextlib.ExitStack() as stack:
        played(url)

        def send(data):
            s = stack.enter_context(socket.create_connection(place(url)))
            try:
                s.sendall(data)
            except ConnectionError:
                pass
            return s
        begun = time.monotonic()
        dripping = [send(data) for data in slow]
        refused = closed_within([send(data) for data in at_once], 20)
        for data, answer in zip(at_once, refused):
            assert not answer.startswith(b"HTTP/1.1 200"), (data[:60], answer[:200])
        # A byte now and then wins no time.
        while time.monotonic() - begun < 3:
            for s in dripping[1:]:
                with contextlib.suppress(OSError):
                    s.send(b"x")
            assert now(url)["state"] == "running"
            time.sleep(0.2)
        closed_within(dripping, 20)
        assert time.monotonic() - begun < 15
        assert process.poll() is None
        found = now(url)
        assert found["alerts"] == [] or all(a["severity"] != "critical" for a in found["alerts"]), found


# ---- the stream --------------------------------------------------------------------------------


class Events:
    """A reader of Server-Sent Events, as the standard has them, on a socket of its own."""

    def __init__(self, url, read=True):
        self.socket = socket.create_connection(place(url), timeout=20)
        self.socket.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        self.retry, self.last, self.answer = None, None, None
        if read:
            self.begin()

    def begin(self):
        self.answer = http.client.HTTPResponse(self.socket)
        self.answer.begin()
        self.status = self.answer.status

    def next(self):
        """(event, data) of the next one; None: the stream is over."""
        event, data = "message", []
        while True:
            line = self.answer.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line == "" and data:
                return event, json.loads("\n".join(data))
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last = int(value)
            elif name == "retry":
                self.retry = int(value)
            else:
                assert line == "" or line.startswith(":"), line

    def close(self):
        if self.answer:
            self.answer.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def the_stream_goes_on_and_a_restart_is_seen(p):
    with serving(p) as (url, process):
        played(url)
        with Events(url) as events:
            assert events.status == 200 and events.retry is None
            assert events.answer.headers["Content-Type"] == "text/event-stream"
            assert events.answer.headers["Content-Security-Policy"] == POLICY
            kind, first = events.next()
            begun = time.monotonic()
            assert kind == "message" and events.retry == 2000 and set(first) == NOW, (kind, first)
            assert first["id"] == events.last
            for i in range(1, 4):
                kind, data = events.next()
                assert kind == "message" and data["id"] == events.last == first["id"] + i, data["id"]
                assert data["pages"]["open"] == 1
            assert 1.5 < time.monotonic() - begun < 6
            # It is the object of /api/now.
            assert json.loads(get(url + "/api/now")[1])["id"] in (data["id"], data["id"] + 1)
            control = Control(str(p.path("s")))
            control.call("campaign pause", campaign=7)
            control.close()
            process.terminate()
            kind, data = until_end(events)
            assert (kind, data) == ("end", {"reason": "stopping"}), (kind, data)
            assert events.next() is None
            last = events.last
        _, said = ended(process)
        assert process.returncode == 0, said.decode()
        # Whoever asks again finds another run, whose events go on.
        again = subprocess.Popen(process.args, cwd=p.directory, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            def back():
                with Events(url) as events:
                    return events.next()[1]
            found = until(back)
            assert found["started_us"] > first["started_us"] and found["id"] >= last - 1, found
            # What was changed before is known again.
            assert found["changes"][-1]["command"] == "campaign pause", found["changes"]
        finally:
            ended(again)


def until_end(events):
    """The first event that is no message."""
    while True:
        found = events.next()
        assert found is not None, "the stream broke off"
        if found[0] != "message":
            return found


def many_pages_at_once(p):
    """200 pages are told the same in the same second; more than may be are told so; who goes is gone."""
    with serving(p) as (url, _), contextlib.ExitStack() as stack:
        played(url)
        pages = [stack.enter_context(Events(url)) for _ in range(200)]
        firsts = [page.next() for page in pages]
        assert all(page.status == 200 for page in pages) and all(kind == "message" for kind, _ in firsts)
        start = max(page.last for page in pages) + 2
        told = {}
        for page in pages:
            while page.last < start:
                data = page.next()[1]
            told.setdefault(json.dumps(data), []).append(page)
        assert len(told) == 1, [len(t) for t in told.values()]
        found = json.loads(next(iter(told)))
        assert found["pages"]["open"] == 200, found["pages"]
        most = found["pages"]["most"]
        rest = [stack.enter_context(Events(url, read=False)) for _ in range(most - 200 + 3)]
        for page in rest:
            page.begin()
        statuses = [page.status for page in rest]
        assert statuses.count(503) == 3 and statuses.count(200) == most - 200, statuses
        assert alert(until(lambda: (n := now(url)) and alert(n, "pages_full") and n), "pages_full")
        # Metrics are served all the same.
        assert "hongbao_wins_total" in get(url + "/metrics")[1]
        stack.close()
        until(lambda: now(url)["pages"]["open"] == 0)


# ---- alerts ------------------------------------------------------------------------------------


def check_alert(url, control):
    """One that appears and clears."""
    assert alert(now(url), "campaign_paused.7") is None
    control.call("campaign pause", campaign=7)
    found = until(lambda: (n := now(url)) and alert(n, "campaign_paused.7") and n)
    told = alert(found, "campaign_paused.7")
    assert told["severity"] == "notice" and told["try"] == "hongbaoctl campaign resume 7", told
    assert abs(told["since_us"] - found["time_us"]) < 5000000
    change = found["changes"][-1]
    assert change["command"] == "campaign pause" and change["what"] == "campaign 7 paused: false -> true", change
    assert re.fullmatch(r".+ \(uid \d+, pid \d+\)", change["who"]), change
    control.call("campaign resume", campaign=7)
    found = until(lambda: (n := now(url)) and not alert(n, "campaign_paused.7") and n)
    assert found["incidents"] >= 1 and found["changes"][-1]["command"] == "campaign resume", found
    report = control.call("report")
    over = [i for i in report["incidents"] if i["id"] == "campaign_paused.7"]
    assert len(over) == 1 and over[0]["until_us"] > over[0]["since_us"] == told["since_us"], over


# ---- the report --------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """What of a page asks for something else, and its text."""

    def __init__(self, text):
        super().__init__()
        self.asks, self.tags, self.text, self.skip = [], [], "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.skip = tag == "style"
        self.asks += [(tag, name, value) for name, value in attrs
                      if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "style")
                      or name.startswith("on")]

    def handle_data(self, data):
        if not self.skip:
            self.text += data


def ctl(p, *words, **how):
    return subprocess.run([p.build / "app/hongbaoctl/hongbaoctl", "-s", p.path("s"), *map(str, words)],
                          cwd=p.directory, capture_output=True, text=True, timeout=60, check=False, **how)


def small_files():
    """In a child: no file may get longer than 1,000 bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def an_alert_clears_and_the_report_says_what_was(p):
    nasty = {**CAMPAIGN, "id": 8, "name": "<script>alert('x')</script> & 红包", "paused": True}
    with serving(p, [CAMPAIGN, nasty]) as (url, _):
        found = played(url)
        control = Control(str(p.path("s")))
        check_alert(url, control)
        control.call("config apply", campaign=7, keys={"odds": "0.5"})
        until(lambda: now(url)["changes"][-1]["command"] == "config apply")
        for words in (["report", "night.html"], ["--json", "report", "night.json"]):
            done = ctl(p, *words)
            assert done.returncode == 0 and not done.stdout + done.stderr, done
        stats = {row["counter"]: row["count"] for row in control.call("stats")["counters"]}
        campaigns = control.call("campaign list")["campaigns"]
        control.close()

        report = json.loads(p.path("night.json").read_text())
        assert set(report) == {"format", "now", "seconds", "minutes", "incidents", "changes"}, report.keys()
        totals, money = report["now"]["totals"], report["now"]["money"]
        for name in ("received", "sent", "wins", "given_fen", "handed_over", "misdirected"):
            assert totals[name] == stats[name], name
        for name in ("funded", "funded_fen", "given", "given_fen", "left", "left_fen"):
            assert money[name] == sum(c[name] for c in campaigns), name
        for told, said in zip(sorted(report["now"]["campaigns"], key=lambda c: c["id"]), campaigns):
            assert all(told[name] == said[name] for name in ("id", "name", "state", "given", "left")), told
        peak = report["now"]["peak"]
        assert peak["shakes_per_minute"] == totals["shakes"] == REQUESTS - totals["dropped"], peak
        assert report["changes"][-1]["what"] == "campaign 7 odds: 0.02 -> 0.5", report["changes"]

        text = p.path("night.html").read_text()
        page = Page(text)
        assert not page.asks, page.asks
        assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
        assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
        assert "<script>alert('x')</script> & 红包" in page.text
        for figure in (f"{peak['shakes_per_minute']:,} shakes in a minute", f"{totals['wins']:,}",
                       f"{money['given_fen'] / 100:,.2f}", "campaign 7 odds: 0.02 -> 0.5",
                       "campaign_paused.8", "hongbaoctl campaign resume 8"):
            assert figure in page.text, figure
        assert page.tags.count("figure") >= 5 and "path" in page.tags, page.tags
        assert found["totals"]["wins"] == totals["wins"]


def the_report_goes_where_it_is_told(p):
    with serving(p, metrics="off"):
        assert ctl(p, "--wait", "ping").returncode == 0
        done = ctl(p, "report")
        assert done.returncode == 0 and done.stdout.startswith("<!DOCTYPE html>"), done
        done = ctl(p, "--json", "report", "-")
        assert done.returncode == 0 and json.loads(done.stdout)["now"]["format"] == 1, done
        done = ctl(p, "report", "nowhere/night.html")
        assert done.returncode == 2 and "nowhere/night.html: cannot write it" in done.stderr, done
        p.path("night.html").write_text("before")
        p.path("link.html").symlink_to("night.html")
        assert ctl(p, "report", "night.html").returncode == 0
        assert p.path("night.html").read_text().endswith("</html>\n")
        # What is no file stays what it is: a device's name could stand there. (One of the test's own, lest a
        # fault hit a real one.)
        os.mkfifo(p.path("pipe"))
        with subprocess.Popen(["cat", "pipe"], cwd=p.directory, stdout=subprocess.PIPE) as reader:
            assert ctl(p, "report", "pipe").returncode == 0
            try:
                assert reader.communicate(timeout=20)[0].endswith(b"</html>\n")
            finally:
                reader.kill()
        assert stat.S_ISFIFO(p.path("pipe").stat().st_mode)
        done = ctl(p, "report", ".")
        assert done.returncode == 2 and "Is a directory" in done.stderr, done
        # A disk that takes no more leaves what was there, and no half.
        done = ctl(p, "report", "night.html", preexec_fn=small_files)
        assert done.returncode == 2 and "File too large" in done.stderr, done
        assert p.path("night.html").read_text().endswith("</html>\n")
        assert [f.name for f in p.directory.glob("night*")] == ["night.html"]
    done = ctl(p, "report", "later.html")
    assert done.returncode == 3 and not p.path("later.html").exists(), done


if __name__ == "__main__":
    main([
        routes_are_served_and_others_refused,
        bad_http_is_cut_off,
        the_stream_goes_on_and_a_restart_is_seen,
        many_pages_at_once,
        an_alert_clears_and_the_report_says_what_was,
        the_report_goes_where_it_is_told,
    ])
