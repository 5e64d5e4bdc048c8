# SPDX-License-Identifier: BSD-3-Clause
"""A hongbaod that serves HTTP, and what is asked of it."""
import contextlib
import os
import socket
import subprocess
import time
import urllib.request

from programs import CAMPAIGN

REQUESTS = 20000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url, accept=None):
    """(content type, text) of a page."""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    # Whatever proxy the environment names has nothing to do with it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def until(what, seconds=60):
    """Calls until it returns something true, which is returned. What it raises counts as not yet."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            last = what()
            if last:
                return last
        except (OSError, AssertionError, KeyError, IndexError, ValueError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{what.__name__}: {last!r}")


def ended(process, seconds=60):
    """Ends a process of ours; returns what it said."""
    process.terminate()
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


@contextlib.contextmanager
def serving(p, campaigns=None, **keys):
    """One that plays a capture and goes on running, with a control socket at `s`. Gives its URL and process;
    ends it."""
    port = free_port()
    p.keys()
    p.trace("gala-2015", REQUESTS, 6000, 1, "requests.pcap", "--forged", "0.1")
    p.config(**{"metrics": f"127.0.0.1:{port}", "campaigns": campaigns or [CAMPAIGN],
                "control": {"socket": str(p.path("s"))}, **keys})
    process = subprocess.Popen(
        [p.build / "app/hongbaod/hongbaod", "-c", "c.yaml", "--report", "report.json", "--",
         "--no-huge", "-m", "256"],
        cwd=p.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "RUNTIME_DIRECTORY": str(p.directory)})
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        _, said = ended(process)
    assert process.returncode == 0, said.decode()
