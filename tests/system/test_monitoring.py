# SPDX-License-Identifier: BSD-3-Clause
"""What app/hongbaod/monitoring gives to Prometheus and Grafana: promtool's own checks, each alert made to fire
and made not to, and every expression against a hongbaod that a real Prometheus scrapes.

usage: test_monitoring.py BUILD-DIRECTORY [TEST ...]
"""
import json
import re
import subprocess
from pathlib import Path

from programs import main
from served import get, until
from test_metrics import hongbaod, played, prometheus, series, with_tools

MONITORING = Path(__file__).resolve().parents[2] / "app/hongbaod/monitoring"
RULES = MONITORING / "alerts.yaml"
DASHBOARD = MONITORING / "grafana.json"


# ---- the rules, without a hongbaod ---------------------------------------------------------------

# Names of series as promtool's unit tests take them, all of one host.
HOST = 'job="hongbao", instance="a:9180"'


def one(name, labels=""):
    return f"{name}{{{HOST}{', ' if labels else ''}{labels}}}"


def both(firing, quiet):
    """Series in one notation: values at each 5 s, for when it must fire and when it must not."""
    return firing, quiet


def alike(name, labels, firing, quiet):
    return both({one(name, labels): firing}, {one(name, labels): quiet})


def with_received(name, labels, firing, quiet):
    """Beside 1,000 frames a second."""
    received = {one("hongbao_received_frames_total", 'worker="0"'): "0+5000x60"}
    return both({one(name, labels): firing, **received}, {one(name, labels): quiet, **received})


def loads(*each):
    """Busy seconds of workers, by how much they grow in 5 s."""
    return {one("hongbao_busy_seconds_total", f'worker="{w}"'): f"0+{x}x60" for w, x in enumerate(each)}


def versions(worker):
    return {one("hongbao_config_version"): "3x60", one("hongbao_worker_config_version", 'worker="0"'): worker}


def campaign(left, given="0x60", funded="100000x60"):
    return {one("hongbao_campaign_left_envelopes", 'campaign="7"'): left,
            one("hongbao_campaign_given_envelopes_total", 'campaign="7"'): given,
            one("hongbao_campaign_funded_envelopes", 'campaign="7"'): funded}


def wins(slow, fast):
    """The histogram of wins: up to 10 ms, up to 250 ms, all; by how much they grow."""
    counts = {"0.01": fast, "0.25": fast + slow, "+Inf": fast + slow}
    return {one("hongbao_win_durable_seconds_bucket", f'le="{le}"'): f"0+{n}x60"
            for le, n in counts.items()}


def silence(received, is_open):
    return {one("hongbao_received_frames_total", 'worker="0"'): received,
            one("hongbao_campaign_open", 'campaign="7"'): is_open}


def records(written):
    return {one("hongbao_journal_waiting_records"): "500x60", one("hongbao_journal_records_total"): written}


# Each alert's name -> series with which it fires, and with which it doesn't.
CASES = {
    "HongbaoDown": alike("up", "", "1x5 0x60", "1x60"),
    "HongbaoRestarted": alike("hongbao_start_time_seconds", "", "1000x20 2000x40", "1000x60"),
    "HongbaoDraining": alike("hongbao_draining", "", "0x10 1x60", "0x60"),
    "HongbaoWorkerStandsStill": alike("hongbao_polls_total", 'worker="1"', "0+100x10 1000x60", "0+1x60"),
    "HongbaoConfigNotSeen": both(versions("2x60"), versions("3x60")),
    "HongbaoGaveTooMuch": both(campaign("0x60", "100001x60"), campaign("0x60", "100000x60")),
    "HongbaoDiskFailed": alike("hongbao_journal_disk", 'state="failed"', "0x10 1x60", "0x60"),
    "HongbaoDiskFull": alike("hongbao_journal_disk", 'state="full"', "0x10 1x60", "0x60"),
    "HongbaoJournalStands": both(records("0+10x10 100x60"), records("0+10x60")),
    "HongbaoWinsSlow": both(wins(2, 98), wins(0, 100)),
    "HongbaoSheds": alike("hongbao_admission_ratio", 'worker="0"', "1x10 0.95x60", "1x30 0.95x1 1x40"),
    "HongbaoWorkerBusy": both(loads(4.5), loads(4)),
    "HongbaoUneven": both(loads(4, 0.5, 0.5), loads(4, 3, 3)),
    "HongbaoMisdirected": with_received("hongbao_misdirected_requests_total", 'worker="0"', "0+60x60", "0+40x60"),
    "HongbaoDropsRequests": both({one("hongbao_dropped_frames_total", 'worker="0", reason="tx"'): "0+1x60"},
                                 {one("hongbao_dropped_frames_total", 'worker="0", reason="tag"'): "0+1x60",
                                  one("hongbao_dropped_frames_total", 'worker="0", reason="tx"'): "7x60"}),
    "HongbaoNicLoses": alike("hongbao_port_lost_frames_total", 'port="p", reason="missed"', "0+1x60", "9x60"),
    "HongbaoForged": with_received("hongbao_dropped_frames_total", 'worker="0", reason="tag"', "0+600x60", "0+400x60"),
    "HongbaoKeyMissing": with_received("hongbao_dropped_frames_total", 'worker="0", reason="epoch"', "0+6x60", "0+4x60"),
    "HongbaoPortDown": alike("hongbao_port_up", 'port="p"', "1x10 0x60", "1x60"),
    "HongbaoSilence": both(silence("100x60", "1x60"), silence("0+1x60", "1x60")),
    "HongbaoCampaignEmptySoon": both(campaign("20000x60", "0+500x60"), campaign("40000x60", "0+500x60")),
    "HongbaoCampaignEmpty": both(campaign("5x10 0x60"), campaign("1x60")),
    "HongbaoUsersFull": both({one("hongbao_users", 'worker="0"'): "91x60", one("hongbao_users_limit", 'worker="0"'): "100x60"},
                             {one("hongbao_users", 'worker="0"'): "89x60", one("hongbao_users_limit", 'worker="0"'): "100x60"}),
    "HongbaoUsersRefused": alike("hongbao_refused_users_total", 'worker="0"', "0+1x60", "5x60"),
    "HongbaoPacketsRefused": alike("hongbao_packets_refused_total", "", "0+1x60", "5x60"),
}

# Of cases that must not fire, what is between the two: another's condition holds for another reason.
ALSO_QUIET = [
    ("HongbaoSilence", silence("100x60", "0x60")),
    ("HongbaoUneven", loads(2, 0.1, 0.1)),
    ("HongbaoJournalStands", {one("hongbao_journal_waiting_records"): "0x60",
                              one("hongbao_journal_records_total"): "100x60"}),
    ("HongbaoCampaignEmptySoon", campaign("0x60", "0+500x60")),
    ("HongbaoCampaignEmpty", campaign("0x60", funded="0x60")),
]


def alerts_in_rules():
    return re.findall(r"^ *- alert: (\w+)$", RULES.read_text(), re.MULTILINE)


def case(name, inputs, fires):
    """A unit test of promtool's: after 4 minutes the alert fires, or does not."""
    query = f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else []
    return {"interval": "5s", "name": f"{name} {'fires' if fires else 'is quiet'}",
            "input_series": [{"series": key, "values": value} for key, value in inputs.items()],
            "promql_expr_test": [{"expr": query, "eval_time": "4m", "exp_samples": samples}]}


@with_tools
def promtool_finds_nothing_in_the_rules(_, tools):
    done = subprocess.run([tools.promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    names = alerts_in_rules()
    assert done.returncode == 0 and f"{len(names)} rules found" in done.stdout, done
    # Each one says what is wrong and where, and what to do.
    text = RULES.read_text()
    for block in text.split("- alert: ")[1:]:
        assert "severity: " in block and "remedy: " in block and "{{ $labels.instance }}: " in block, block


@with_tools
def each_alert_fires_and_does_not(p, tools):
    assert sorted(alerts_in_rules()) == sorted(CASES), set(alerts_in_rules()) ^ set(CASES)
    tests = [case(name, inputs[not fires], fires) for name, inputs in CASES.items() for fires in (True, False)]
    tests += [case(name, inputs, False) for name, inputs in ALSO_QUIET]
    p.path("tests.yaml").write_text(json.dumps({
        "rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": tests}))
    done = subprocess.run([tools.promtool, "test", "rules", p.path("tests.yaml")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


# ---- against a hongbaod --------------------------------------------------------------------------


def names_in(expression):
    """Metrics of hongbao's in an expression, as they stand there."""
    return set(re.findall(r"\bhongbao_\w+", re.sub(r'"[^"]*"', '""', expression)))


def names_of(found):
    return {re.split(r"[{ ]", key)[0] for key in found}


@with_tools
def rules_and_dashboard_fit_a_live_one(p, tools):
    """Prometheus loads the rules without an error, and each query of the dashboard gives something; neither
    names a metric that isn't there."""
    with hongbaod(p) as (url, _), prometheus(p, tools, url, rules=[RULES]) as ask:
        played(url)
        there = names_of(series(get(url)[1]))

        def evaluated():
            group, = ask("rules")["groups"]
            states = {rule["name"]: rule for rule in group["rules"]}
            assert all(rule["health"] in ("ok", "unknown") for rule in states.values()), states
            return all(rule["health"] == "ok" for rule in states.values()) and states

        def scraped():
            return ask("query", query="rate(hongbao_received_frames_total[1m])")["result"]
        until(scraped)
        for name, rule in until(evaluated).items():
            missing = names_in(rule["query"]) - there
            assert not missing, (name, missing)
        check_dashboard(ask, there)


def dashboard_queries(dashboard):
    """(where, expression) of every query, its variables filled in."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for mark in dashboard["annotations"]["list"]:
        yield mark["name"], mark["expr"]


def filled_in(expression):
    # The steps of a subquery, for a hongbaod that has been there for a second.
    for name, value in (("$__rate_interval", "1m"), ("$__range:15s", "1m:1s"), ("$job", ".*"), ("$instance", ".*")):
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def check_dashboard(ask, there):
    dashboard = json.loads(DASHBOARD.read_text())
    queries = list(dashboard_queries(dashboard))
    assert len(queries) > 30, queries
    # What filters by a comparison may have nothing to show.
    for where, expression in queries:
        missing = names_in(expression) - there
        assert not missing, (where, missing)
        def answered(expression=expression):
            result = ask("query", query=filled_in(expression))["result"]
            assert result or re.search(r"\) > 0", expression), (where, expression)
            return True
        until(answered, 10)
    for variable in dashboard["templating"]["list"]:
        missing = names_in(variable.get("definition", "")) - there
        assert not missing, (variable["name"], missing)
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers), numbers
    check_layout(dashboard["panels"])


def check_layout(panels):
    """No panel stands on another."""
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, (panel["title"], taken[cell])
            taken[cell] = panel["title"]


if __name__ == "__main__":
    main([
        promtool_finds_nothing_in_the_rules,
        each_alert_fires_and_does_not,
        rules_and_dashboard_fit_a_live_one,
    ])
