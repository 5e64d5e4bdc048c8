# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the programs share: running them, their files, and TAP."""
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

KEYS = "epochs: { 0: %s }\nissuer: %s\n" % (bytes(range(16)).hex(), bytes(range(16, 32)).hex())

CAMPAIGN = {
    "id": 7, "name": "test", "opens": 0, "closes": 4102444800000,
    "envelopes": {"count": 1000, "total": 500000, "split": "lucky"},
    "odds": 0.02, "wins_per_user": 1,
}


WIN = 1


def records(path):
    """Yields (time in ns, frame) of a pcap, of nanoseconds as replies are, or microseconds."""
    data = path.read_bytes()
    unit = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[struct.unpack_from("<I", data)[0]]
    at = 24
    while at < len(data):
        seconds, fraction, length, _ = struct.unpack_from("<IIII", data, at)
        yield seconds * 10**9 + fraction * unit, data[at + 16:at + 16 + length]
        at += 16 + length


def wins_in(path):
    """Envelope -> (fen, the user's address and port) of a capture of replies; a repeat must say the
    same to the same."""
    found = {}
    for _, frame in records(path):
        assert len(frame) == 66, len(frame)
        payload = frame[42:]
        if payload[1] != WIN:
            continue
        envelope, fen = struct.unpack_from(">QI", payload, 8)
        said = (fen, frame[30:34] + frame[36:38])
        assert found.setdefault(envelope, said) == said, envelope
    return found


class Programs:
    """The binaries under test and a directory of a test's own."""

    def __init__(self, build, directory):
        self.build = Path(build).resolve()
        self.directory = Path(directory)

    def path(self, name):
        return self.directory / name

    def run(self, program, *arguments, timeout=120, **environment):
        """Runs a program in the test's directory; returns the completed process."""
        return subprocess.run(
            [self.build / "app" / program / program, *map(str, arguments)], cwd=self.directory,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
            env={**os.environ, **environment})

    def bad_disk(self, **settings):
        """The environment that gives a program the disk of bad_disk.c. A sanitizer's run-time wants to be
        loaded before anything else."""
        module = next(self.build.glob("tests/system/*bad_disk.so"))
        linked = subprocess.run(["ldd", self.build / "app/hongbaod/hongbaod"], check=True,
                                capture_output=True, text=True).stdout
        first = [line.split()[2] for line in linked.splitlines() if "libasan.so" in line]
        return {"LD_PRELOAD": " ".join(first + [str(module)]),
                **{f"BAD_DISK_{key.upper()}": str(value) for key, value in settings.items()}}

    def keys(self, mode=0o600):
        self.path("keys.yaml").write_text(KEYS)
        self.path("keys.yaml").chmod(mode)

    def trace(self, scenario, requests, users, seed=1, out="requests.pcap", *more):
        done = self.run("hongbao-trace", scenario, "--requests", requests, "--users", users,
                        "--seed", seed, "--keys", "keys.yaml", "-o", out, *more)
        assert done.returncode == 0, done.stderr

    def config(self, name="c.yaml", campaigns=None, captures=("requests.pcap",), **keys):
        """Writes a configuration (JSON is YAML); None takes a key out."""
        device = "net_pcap0" + "".join(f",rx_pcap={file}" for file in captures)
        device += "".join(f",tx_pcap=replies{i}.pcap" for i in range(len(captures)))
        settings = {
            "host": 1, "listen": {"ipv4": "10.0.0.1", "base_port": 8192},
            "ports": [{"profile": "pcap", "device": device}], "workers": len(captures),
            "users": 1000000, "journal": "journal", "keys": "keys.yaml", "clock": "packet",
            "seed": 1, "metrics": "off", "campaigns": campaigns or [CAMPAIGN],
        }
        settings.update(keys)
        settings = {key: value for key, value in settings.items() if value is not None}
        self.path(name).write_text(json.dumps(settings, indent=1))
        return name

    def play(self, name="c.yaml", idle=300, fresh=True):
        """Plays a configuration's captures, into a fresh journal or the one that is there; returns the
        report."""
        if fresh:
            shutil.rmtree(self.path("journal"), ignore_errors=True)
        done = self.run("hongbaod", "-c", name, "--report", "report.json", "--exit-when-idle", idle)
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert "books: balanced" in done.stdout, done.stdout
        report = json.loads(self.path("report.json").read_text())
        answered, dropped = sum(report["replies"].values()), sum(report["dropped"].values())
        assert report["requests"] == answered + dropped, report
        return report

    def audit(self, journal="journal"):
        done = self.run("hongbao-audit", "--json", journal)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return json.loads(done.stdout)


class Running:
    """A program that runs until it is ended, and what it says on stderr."""

    def __init__(self):
        self.process = None
        self.said = ""

    def launch(self, command, **environment):
        """Starts it; more words are the environment."""
        self.said = ""
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={**os.environ, **environment})
        os.set_blocking(self.process.stderr.fileno(), False)

    def read(self, wait=0):
        """What it has said by now, waiting for more a little."""
        select.select([self.process.stderr], [], [], wait)
        data = self.process.stderr.read()
        assert data != b"" or self.process.poll() is None, self.said
        self.said += (data or b"").decode()
        return self.said

    def state(self):
        """What else there is to know of it when it doesn't say what it should."""
        return ""

    def wait_for(self, words, seconds=180):
        """Until it has said these words."""
        end = time.monotonic() + seconds
        while words not in self.read(0.05):
            assert self.process.poll() is None, (words, self.said, self.process.returncode)
            assert time.monotonic() < end, (words, self.said, self.state())

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()

    def end(self):
        """Ends it as an operator does; returns its exit code."""
        self.process.terminate()
        _, rest = self.process.communicate(timeout=180)
        self.said += rest.decode()
        return self.process.returncode


def run_tests(build, tests):
    """Runs functions that take a Programs, each in a new directory, as TAP; returns an exit code."""
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        directory = tempfile.mkdtemp(prefix="hongbao-test-")
        name = test.__name__
        try:
            skipped = test(Programs(build, directory))
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print(f"# files: {directory}", flush=True)
            continue
        print(f"ok {number} - {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        shutil.rmtree(directory)
    return 1 if failed else 0


def main(tests):
    """For `test_x.py BUILD [NAME ...]`: the tests of those names, or all."""
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(f"usage: {sys.argv[0]} BUILD-DIRECTORY [TEST ...]")
    chosen = [test for test in tests if not sys.argv[2:] or test.__name__ in sys.argv[2:]]
    sys.exit(run_tests(sys.argv[1], chosen))
