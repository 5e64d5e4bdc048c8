# SPDX-License-Identifier: BSD-3-Clause
"""What one would use instead, in the same rounds: the kernel's UDP with the same engine, and Redis."""
import csv
import io
import json
import os
import signal
import subprocess
import time

from bench import HERE, Failed

ABOUT = "hongbaod beside the kernel's UDP with the same engine, and Redis with a Lua script"
PACKAGES = ("dpdk-dev", "iproute2", "redis-server", "redis-tools")

USERS = 1_000_000
UDP_SOCKETS, UDP_WINDOW = 8, 128
REDIS_CLIENTS = 32
ATTEMPTS = 3
FILL_REDIS = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('SET', string.format('user:%012d', i), '0')
end
"""
FILL_ENVELOPES = "for i = ARGV[1], ARGV[2] do redis.call('RPUSH', 'envelopes', i) end"


def hugepages(_bench):
    # testpmd and hongbaod, one after the other, beside udp_server's table.
    return 640


def run(bench):
    if len(bench.cpus) < 2:
        raise Failed("needs 2 cores: one for the server, one for its clients")
    rounds = 3 if bench.quick else bench.rounds
    udp, redis = KernelUdp(bench), Redis(bench)
    rates = {"port": [], "udp": [], "udp core": [], "redis": []}
    try:
        udp.start()
        redis.start()
        udp.choose()
        redis.choose()
        for i in range(rounds):
            bench.progress(f"round {i + 1} of {rounds}")
            rate, core = udp.measure()
            rates["udp"].append(rate)
            rates["udp core"].append(core)
            rates["redis"].append(redis.measure())
            port, command = hongbaod(bench)
            rates["port"].append(port)
    finally:
        udp.stop()
        redis.stop()
    ours = bench.add("hongbaod through net_pcap, one core", "requests/s", rates["port"], command,
                     short="hongbaod")
    for name, key, at in (
            ("kernel UDP: the same engine, between two processes", "udp", udp.command),
            ("kernel UDP: the server's core, were its clients free", "udp core", udp.command),
            ("Redis with a Lua script", "redis", redis.command)):
        bench.add(name, "requests/s", rates[key], at, ours, foreign=key == "redis")
        bench.add(f"hongbaod / {name}", "times",
                  [a / b for a, b in zip(rates["port"], rates[key])], command)
    bench.note(f"kernel UDP: over loopback, in a network namespace without a firewall; batches of "
               f"{udp.batch}, the best of {udp.tried}; part of the kernel's work for a request is done on "
               f"the client's core. One side's core is the server's, the other's its client's and journal's")
    bench.note(f"Redis: on a UNIX socket, nothing persistent, no tag checked and a MISS not remembered, "
               f"all in its favour; pipelines of {redis.pipeline}, the best of {redis.tried}")
    bench.note("hongbaod's is the clock divided by its cycles a request, without a sender on the other side; "
               "between two processes: section replay")


def hongbaod(bench):
    """Requests a second of one core through net_pcap, as port.py measures it."""
    requests = 500_000 if bench.quick else 2_000_000
    table = 2 * requests
    out = bench.work / "port.json"
    command = ["python3", HERE / "port.py", "--build", bench.build, "--requests", requests, "--table",
               table, "--runs", 1, "--json", out]
    for attempt in range(ATTEMPTS):
        try:
            bench.run(command, quiet=True)
            break
        except Failed as error:
            # Its testpmd gets a fixed time, which on a busy host is too short.
            if attempt + 1 == ATTEMPTS:
                raise
            bench.note(f"port.py was run again: {error}")
    found = json.loads(out.read_text())
    return found["mhz"] * 1e6 / found["cycles"]["hongbaod"][0], command


class KernelUdp:
    """udp_server on the first core, udp_client on the last, in a network namespace of their own."""

    def __init__(self, bench):
        self.bench = bench
        self.namespace = f"hongbao-bench-{os.getpid()}"
        self.made = False
        self.server = None
        self.batch, self.tried = 64, []
        self.command = None

    def start(self):
        self.bench.run(["ip", "netns", "add", self.namespace])
        self.made = True
        self.bench.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"])

    def inside(self, *command):
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def measure(self):
        """(requests a second between the two, requests a second of the server's core)."""
        for _ in range(ATTEMPTS):
            told, did = self.play()
            # Where others have the server's core for themselves, nothing comes back in time.
            if told["replies"] and did["server_ns"]:
                return told["replies"] / told["seconds"], did["requests"] * 1e9 / did["server_ns"]
            self.bench.note("kernel UDP: a run without a reply was repeated: is this host busy?")
        raise Failed(f"udp_server got no reply through in {ATTEMPTS} runs; is this host busy?")

    def play(self):
        """One run: what the client was told, and what the server did."""
        bench = self.bench
        # The control core shares the clients' core, as there is no third.
        server = [bench.program("udp_server"), bench.work / "udp-journal", "--sockets", UDP_SOCKETS,
                  "--batch", self.batch, "--users", USERS, "--cpu", bench.cpus[0]]
        client = [bench.program("udp_client"), "--ports", UDP_SOCKETS, "--sockets", UDP_SOCKETS,
                  "--batch", self.batch, "--window", UDP_WINDOW, "--users", USERS,
                  "--seconds", 1 if bench.quick else 3, "--cpu", bench.cpus[-1]]
        self.command = [*server, "&", *client]
        self.server = subprocess.Popen(
            self.inside("taskset", "-c", bench.cpus[-1], *server), stdout=subprocess.PIPE, text=True)
        if "ready" not in self.server.stdout.readline():
            raise Failed("udp_server did not start; its lines above say why")
        told = json.loads(bench.run(self.inside(*client)))
        self.server.send_signal(signal.SIGTERM)
        out, _ = self.server.communicate(timeout=60)
        if self.server.returncode != 0:
            raise Failed(f"udp_server ended with {self.server.returncode}")
        did = json.loads(out)
        if told["wrong"]:
            raise Failed(f"udp_server answered wrongly: {told}, {did}")
        return told, did

    def choose(self):
        """The best batch."""
        self.tried = [64] if self.bench.quick else [16, 64, 256]
        best = 0
        for batch in self.tried:
            self.bench.progress(f"kernel UDP, batches of {batch}")
            previous, self.batch = self.batch, batch
            rate, _ = self.measure()
            if rate < best:
                self.batch = previous
            best = max(rate, best)

    def stop(self):
        if self.server is not None and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        if self.made:
            subprocess.run(["ip", "netns", "del", self.namespace], check=False)


class Redis:
    """A redis-server of our own on the first core, redis-benchmark on the last."""

    def __init__(self, bench):
        self.bench = bench
        self.socket = bench.work / "redis.sock"
        self.server = None
        self.pipeline, self.tried = 64, []
        self.sha = None
        self.command = None

    def cli(self, *arguments):
        return self.bench.run(["redis-cli", "-s", self.socket, *arguments]).strip()

    def start(self):
        self.server = subprocess.Popen(
            ["taskset", "-c", str(self.bench.cpus[0]), "redis-server", "--port", "0", "--unixsocket",
             str(self.socket), "--save", "", "--appendonly", "no", "--dir", str(self.bench.work)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(600):
            if self.socket.exists() or self.server.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise Failed("redis-server did not open its socket within 30 s; is this host busy?")
        self.sha = self.cli("SCRIPT", "LOAD", (HERE / "redis.lua").read_text())
        for first in range(0, USERS, 50_000):
            self.bench.progress(f"filling Redis: {first:,} users")
            self.cli("EVAL", FILL_REDIS, 0, first, first + 49_999)
        self.cli("EVAL", FILL_ENVELOPES, 0, 1, USERS // 4)

    def measure(self):
        requests = 300_000 if self.bench.quick else 1_000_000
        self.command = ["taskset", "-c", self.bench.cpus[-1], "redis-benchmark", "-s", self.socket, "-c",
                        REDIS_CLIENTS, "-P", self.pipeline, "-n", requests, "-r", USERS, "--csv",
                        "EVALSHA", self.sha, 1, "user:__rand_int__", "__rand_int__"]
        rows = list(csv.DictReader(io.StringIO(self.bench.run(self.command))))
        if len(rows) != 1 or self.cli("LLEN", "envelopes") == "0":
            raise Failed("redis-benchmark measured nothing, or the envelopes ran out")
        return float(rows[0]["rps"])

    def choose(self):
        """The best pipeline."""
        self.tried = [64] if self.bench.quick else [16, 64, 256]
        best = 0
        for pipeline in self.tried:
            self.bench.progress(f"Redis, pipelines of {pipeline}")
            previous, self.pipeline = self.pipeline, pipeline
            rate = self.measure()
            if rate < best:
                self.pipeline = previous
            best = max(rate, best)

    def stop(self):
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
