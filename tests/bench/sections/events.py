# SPDX-License-Identifier: BSD-3-Clause
"""The events at their full size. The password event is played between two processes: hongbao-replay makes
every request on the fly, hongbaod decides and journals. The night would take them hours: bench_night plays it
through a worker, its port and its control core within one. hongbao-audit has the last word on both."""
import json
import shutil
import subprocess
import time

from bench import Failed
from cpus import place_cpus
from sections.replay import CONFIG, Link

ABOUT = "the password event of 2015, and the night as a soak; both end with the audit"

# Of the real events: answers, users who sent them, envelopes; shakes of the night, users and envelopes.
PASSWORD = (99_900_000, 29_980_000, 999_999)
NIGHT = (11_000_000_000, 100_000_000, 120_000_000)
# The night takes the better part of an hour at 4 million a second, and more beside other work.
QUICK = 100
LOOK_SECONDS = 10
# The night's memory is all there before it begins.
GROWTH_KIB = 1024
WINDOW = 1000


def hugepages(bench):
    return 700 if bench.quick else 2500


def run(bench):
    event = Event(bench)
    scale = QUICK if bench.quick else 1
    answers, users, envelopes = (number // scale for number in PASSWORD)
    event.play("password-2015", answers, users, envelopes,
               {"password": "我", "odds": 1, "wins_per_user": 1})
    night(bench, *(number // scale for number in NIGHT))


def night(bench, shakes, users, envelopes):
    journal = bench.work / "night"
    shutil.rmtree(journal, ignore_errors=True)
    control, worker = place_cpus()
    command = [bench.program("bench_night"), journal, "--requests", shakes, "--users", users, "--envelopes",
               envelopes, "--worker-cpu", worker, "--cpu", control]
    found = bench.measure(command)
    campaign = audit(bench, journal)
    told, grew = (found[key][1][0] for key in ("envelopes told", "memory grew by"))
    if not campaign["balanced"] or told != campaign["given"] or grew > GROWTH_KIB:
        raise Failed(f"the night: {told:,.0f} envelopes told, {campaign['given']:,} given by the audit, "
                     f"balanced: {campaign['balanced']}; memory grew by {grew:,.0f} KiB")
    for key in ("requests", "it took", "answered", "envelopes told", "memory grew by"):
        bench.add(f"the night: {key}", *found[key], command)
    shutil.rmtree(journal)


def audit(bench, journal):
    said = bench.run([bench.program("hongbao-audit"), "--json", journal], quiet=True)
    return json.loads(said)["campaigns"][0]


class Event(Link):
    """One event at a time, at a new hongbaod."""

    def write(self, users, envelopes, terms):
        config = {**CONFIG, "users": users, "ports": [
            {"profile": "vhost", "device": f"net_vhost0,iface={self.socket},queues=1"}],
            "campaigns": [{"id": 7, "name": "event", "opens": 0, "closes": "2100-01-01T00:00:00Z",
                           "envelopes": {"count": envelopes, "total": 500 * envelopes, "split": "lucky"},
                           **terms}]}
        (self.bench.work / "replay.yaml").write_text(json.dumps(config))

    def play(self, scenario, requests, users, envelopes, terms):
        self.write(users, envelopes, terms)
        report = self.bench.work / "event.json"
        command = [
            self.bench.program("hongbao-replay"), scenario, "--device",
            f"net_virtio_user0,path={self.socket},queues=1,packed_vq=1", "--keys",
            self.bench.work / "keys.yaml", "--flat-out", "--window", WINDOW, "--requests", requests,
            "--users", users, "--report", report, "--", "--lcores", f"0@{self.bench.cpus[-1]}"]
        server = self.start()
        try:
            memory = self.watch(scenario, command, server.pid)
        finally:
            self.stop(server)
        self.judge(scenario, requests, envelopes, memory, json.loads(report.read_text()), command)

    def watch(self, scenario, command, pid):
        """Lets the sender run, and looks at hongbaod's memory now and then. Returns what was seen."""
        sender = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        started, memory = time.monotonic(), []
        while sender.poll() is None:
            try:
                sender.wait(LOOK_SECONDS if memory else 2)
            except subprocess.TimeoutExpired:
                memory.append(resident(pid))
                self.bench.progress(f"{scenario}: {time.monotonic() - started:,.0f} s, hongbaod has "
                                    f"{memory[-1]:,} KiB")
        if sender.returncode != 0:
            raise Failed(f"{scenario}: hongbao-replay ended with {sender.returncode}: "
                         f"{sender.stderr.read().strip()[-300:]}")
        return memory

    def judge(self, scenario, requests, envelopes, memory, found, command):
        bench = self.bench
        if any(found["violations"].values()):
            raise Failed(f"{scenario}: a reply broke the contract: {found['first_violation']}")
        campaign = audit(bench, bench.work / "journal")
        if not campaign["balanced"] or (scenario == "password-2015" and campaign["given"] != envelopes):
            raise Failed(f"{scenario}: {campaign['given']:,} of {envelopes:,} envelopes given, balanced: "
                         f"{campaign['balanced']}")
        bench.add(f"{scenario}: requests sent", "requests", [requests], command)
        bench.add(f"{scenario}: envelopes given, by the audit", "envelopes", [campaign["given"]], command)
        bench.add(f"{scenario}: from the first win to the last", "s",
                  [(campaign["last_us"] - campaign["first_us"]) / 1e6], command)
        bench.add(f"{scenario}: from the first request to the last reply", "s", [found["seconds"]], command)
        bench.add(f"{scenario}: answered", "requests/s", [found["answered"] / found["seconds"]], command)
        bench.add(f"{scenario}: not answered", "requests", [found["lost"]], command)
        if len(memory) > 1:
            bench.add(f"{scenario}: hongbaod's memory grew by", "KiB", [memory[-1] - memory[0]], command)


def resident(pid):
    """KiB of a process that are in memory, hugepages left out: those are all taken at the start."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        raise Failed("hongbaod ended before the event did") from None
