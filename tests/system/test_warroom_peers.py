# SPDX-License-Identifier: BSD-3-Clause
"""Several hosts as one: hongbao-warroom follows two hongbaod, and what it serves is their sum; one goes away and
comes back.

usage: test_warroom_peers.py BUILD-DIRECTORY [TEST ...]
"""
import contextlib
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import time

from control import Control
from programs import CAMPAIGN, Programs, main
from served import ended, free_port, get, serving, until
from test_metrics import played

SHARED = {**CAMPAIGN, "name": "gala", "odds": 0.05}
OWN = {**CAMPAIGN, "id": 8, "name": "of host 2"}


@contextlib.contextmanager
def host(p, number, campaigns, **keys):
    """A hongbaod in a directory of its own that has played a capture. Gives its URL, directory and process."""
    directory = tempfile.mkdtemp(prefix=f"hongbao-host{number}-")
    try:
        of = Programs(p.build, directory)
        with serving(of, campaigns, host=number, **keys) as (url, process):
            played(url + "/metrics")
            yield url, of, process
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def warroom(p, *urls):
    """A hongbao-warroom over these. Gives its URL; it ends in good order."""
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [p.build / "app/hongbao-warroom/hongbao-warroom", "--listen", url.removeprefix("http://"), "--peers",
         ",".join(u.removeprefix("http://") for u in urls)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: get(url + "/api/now"))
        yield url
    finally:
        _, said = ended(process)
    assert process.returncode == 0 and said.count(b"\n") == 1, said.decode()


@contextlib.contextmanager
def impostor(answer):
    """What says that it is a host: `answer` makes a page of a path, an object or its text, and may take its time.
    Gives its URL."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            page = answer(self.path)
            text = (page if isinstance(page, str) else json.dumps(page)).encode()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def claim(**keys):
    """The present of an impostor."""
    us = time.time_ns() // 1000
    return {"format": 1, "id": us // 1000000, "time_us": us, "started_us": 1000000, "uptime_s": 1, "host": 5,
            "version": "1", "state": "running", "clock": "wall", **keys}


def now(url):
    return json.loads(get(url + "/api/now")[1])


def alerts(url):
    return {a["id"]: a for a in now(url)["alerts"]}


def campaign(state, number):
    return next(c for c in state["campaigns"] if c["id"] == number)


def both_are_there(url):
    state = now(url)
    return [h["away"] for h in state["hosts"]] == [False, False] and state


def counts(table, by):
    return {row[by]: row["count"] for row in table}


def several_hosts_are_one(p):
    """What adds up is the sum, to the fen; what doesn't is the worst, or is listed by host."""
    with host(p, 1, [SHARED]) as (one, _, _), host(p, 2, [SHARED, OWN], workers=1) as (two, _, _), \
            warroom(p, one, two) as url:
        until(lambda: both_are_there(url))
        # Both at rest, so that the three are of the same moment.
        for state, parts in ((now(url), (now(one), now(two))),):
            for what in ("totals", "money"):
                for key, value in state[what].items():
                    assert value == sum(part[what].get(key, 0) for part in parts), (what, key, state, parts)
            assert state["totals"]["wins"] > 0 and state["money"]["given_fen"] > 0, state
            for what, by in (("drops", "reason"), ("replies", "status")):
                sums = {}
                for part in parts:
                    for name, n in counts(part[what], by).items():
                        sums[name] = sums.get(name, 0) + n
                assert counts(state[what], by) == sums, (what, state[what])
            for key in ("funded", "funded_fen", "given", "given_fen", "left", "left_fen"):
                assert campaign(state, 7)[key] == sum(campaign(part, 7)[key] for part in parts), key
                assert campaign(state, 8)[key] == campaign(parts[1], 8)[key], key
            assert state["settlement"]["slowest_flush_ms"] == max(
                part["settlement"]["slowest_flush_ms"] for part in parts)
            assert [(w["host"], w["worker"]) for w in state["workers"]] == [(1, 0), (2, 0)], state["workers"]
            assert [h["host"] for h in state["hosts"]] == [1, 2], state["hosts"]
        the_past_is_there(url, one, two)


def the_past_is_there(url, *urls):
    """The history of before it was started is the sum of the hosts'."""
    def shakes(of):
        h = json.loads(get(of + "/api/history?step=1")[1])
        return sum(x or 0 for x in h["shakes_per_second"]), {c["id"] for c in h["campaigns"]}
    def same():
        parts = [shakes(of)[0] for of in urls]
        total, campaigns = shakes(url)
        assert campaigns == {7, 8} and 0 < sum(parts), (campaigns, parts)
        assert abs(total - sum(parts)) < 0.02 * sum(parts), (total, parts)
        return True
    until(same, 10)
    peak = now(url)["peak"]
    assert peak["shakes_per_second"] >= max(now(of)["peak"]["shakes_per_second"] for of in urls), peak
    minutes = json.loads(get(url + "/api/history?step=60")[1])
    assert minutes["rows"] >= 1 and any(minutes["busiest_shakes_per_second"]), minutes
    text = get(url + "/")[1]
    assert text == get(urls[0] + "/")[1] and "warroom.js" in text


def a_host_goes_away_and_comes_back(p):
    """Its alerts have its name; when it is away that is an alert, and its figures are left out."""
    with host(p, 1, [SHARED]) as (one, _, _), contextlib.ExitStack() as stack:
        two, of, process = stack.enter_context(host(p, 2, [SHARED, OWN]))
        with warroom(p, one, two) as url:
            whole = until(lambda: both_are_there(url))
            control = Control(str(of.path("s")))
            control.call("campaign pause", campaign=8)
            name = two.removeprefix("http://")
            alert = until(lambda: alerts(url).get(f"{name}/campaign_paused.8"), 5)
            assert alert["text"].startswith(f"host 2 ({name}): campaign 8"), alert
            change = until(lambda: now(url)["changes"], 5)[-1]
            assert change["host"] == 2 and "paused" in change["what"], change
            control.close()

            process.kill()
            process.wait()
            away = until(lambda: alerts(url).get("peer_away.1"), 8)
            assert away["severity"] == "critical" and f"host 2 ({name}) is away" in away["text"], away
            assert "figures are left out" in away["text"] and "systemctl status hongbaod" in away["try"], away
            state = now(url)
            assert [h["away"] for h in state["hosts"]] == [False, True], state["hosts"]
            assert state["alerts"][0]["id"] == "peer_away.1", state["alerts"]
            assert state["totals"] == {**state["totals"], **now(one)["totals"]}, state["totals"]
            assert state["money"]["funded"] == 1000 < whole["money"]["funded"], state["money"]
            assert {c["id"] for c in state["campaigns"]} == {7}, state["campaigns"]
            assert all(w["host"] == 1 for w in state["workers"]), state["workers"]

            again = subprocess.Popen([p.build / "app/hongbaod/hongbaod", "-c", "c.yaml", "--", "--no-huge", "-m", "256"],
                                     cwd=of.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                back = until(lambda: both_are_there(url), 20)
                assert back["money"]["funded"] == whole["money"]["funded"], back["money"]
                until(lambda: "peer_away.1" not in alerts(url), 10)
                assert "was started again" in alerts(url)["peer_started.1"]["text"], alerts(url)
            finally:
                ended(again)
            # The manager of the first one finds it ended, as it wants it.
            process.returncode = 0


def what_a_host_claims_is_bounded(p):
    """A history since 1970 and a table of many rows cost no time; a present without end is no answer."""
    def vast(path):
        if "history" in path:
            return {"format": 1, "step_s": 60 if "60" in path else 1, "started_us": 1, "time_us": 2 ** 62, "first_us": 1,
                    "rows": 2 ** 62, "shakes_per_second": [1], "campaigns": [{"id": i, "left": []} for i in range(9000)]}
        return claim(drops=[{"reason": str(i), "count": i} for i in range(20000)])

    with impostor(vast) as one, impostor(lambda _: claim(text="x" * (1 << 20))) as two, warroom(p, one, two) as url:
        state = until(lambda: now(url)["drops"] and now(url), 6)
        assert len(state["drops"]) == 256 and [h["away"] for h in state["hosts"]] == [False, True], state["hosts"]
        for step, most in ((1, 3600), (60, 1441)):
            history = json.loads(get(f"{url}/api/history?step={step}")[1])
            assert 0 < history["rows"] <= most, history["rows"]
        until(lambda: now(url)["id"] > state["id"] + 1, 4)


def what_is_no_figure_is_left_out(p):
    """What the page couldn't show doesn't come to it from a host, and what a host doesn't say is 0."""
    odd = {"rates": {"shakes_per_second": "many", "wins_per_second": 7}, "money": 5, "settlement": {"disk": 1, "parked": {}},
           "campaigns": [3, None, {"id": 7, "name": ["x"], "left": 5}], "drops": ["tag"], "workers": [[]], "alerts": [1],
           "changes": ["x"], "latency": {"durable": 3}}

    with impostor(lambda _: claim(**odd)) as one, warroom(p, one) as url:
        state = until(lambda: now(url)["rates"]["wins_per_second"] == 7 and now(url), 6)
        assert state["rates"]["shakes_per_second"] == 0 and state["money"]["given_fen"] == 0, state
        assert state["settlement"]["disk"] == "good" and state["settlement"]["parked"] == 0, state
        assert [c["left"] for c in state["campaigns"]] == [5] and "name" not in state["campaigns"][0], state
        assert state["drops"] == state["workers"] == state["changes"] == [], state


def a_host_that_stands_still_is_away(p):
    """One that answers with the same second again and again has no figures of now."""
    with impostor(lambda _, same=claim(): same) as one, warroom(p, one) as url:
        until(lambda: [h["away"] for h in now(url)["hosts"]] == [False], 6)
        away = until(lambda: alerts(url).get("peer_away.0"), 8)
        assert "its last answer is old" in away["text"], away


def minutes_of_the_past_stay_where_they_were(p):
    """A minute of a host's is the same minute of the sum, its latencies too; a peak has the time of its end."""
    first = (time.time_ns() // 60000000000 - 10) * 60000000
    figures = [30, 10, 20, 90, 20, 10, 5, 4, 3, 2]

    def past(path):
        if "history" not in path:
            return claim(rates={"shakes_per_minute": 0})
        minutes = {"rows": 10, "shakes_per_second": figures, "busiest_shakes_per_second": figures, "durable_p99_ms": figures}
        return {"format": 1, "step_s": 60, "time_us": 0, "first_us": first, **(minutes if "60" in path else {"rows": 0})}

    with impostor(past) as one, warroom(p, one) as url:
        peak = until(lambda: now(url)["peak"], 6)
        assert peak["minute_us"] == peak["second_us"] == first + 4 * 60000000, (first, peak)
        history = json.loads(get(url + "/api/history?step=60")[1])
        assert history["first_us"] == first, (first, history)
        for column in ("shakes_per_second", "durable_p99_ms"):
            # (But for the last one, which may be that of the second in which it was started.)
            assert history[column][:9] == figures[:9], history


def bad_command_lines_get_one_line(p):
    for line, words in ((("--peers", "10.0.0.1"), "is no HOST:PORT"), (("--peers", ""), "not empty"), ((), "no --peers"),
                        (("--peers", "a:0"), "is no HOST:PORT"), (("--peers", "::1:9180"), "is no HOST:PORT"),
                        (("--peers", ",".join(["a:1"] * 33)), "more than 32"), (("--peers", "a:1", "b"), "is not an option"),
                        (("--peers", "a:1", "--listen", "off"), "is no ADDRESS:PORT")):
        done = p.run("hongbao-warroom", *line)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr, (line, done)
    with warroom(p, "http://127.0.0.1:1") as url:
        away = until(lambda: alerts(url).get("peer_away.0"), 8)
        assert "doesn't answer" in away["text"], away
        done = p.run("hongbao-warroom", "--peers", "127.0.0.1:1", "--listen", url.removeprefix("http://"))
        assert done.returncode == 4 and done.stderr.count("\n") == 1, done


if __name__ == "__main__":
    main([
        several_hosts_are_one,
        a_host_goes_away_and_comes_back,
        what_a_host_claims_is_bounded,
        a_host_that_stands_still_is_away,
        what_is_no_figure_is_left_out,
        minutes_of_the_past_stay_where_they_were,
        bad_command_lines_get_one_line,
    ])
