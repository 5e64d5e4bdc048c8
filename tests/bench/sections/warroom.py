# SPDX-License-Identifier: BSD-3-Clause
"""What the war room costs: one worker that is never short of requests, with 200 pages open that are told something
each second and with none, in turns of one run; and how much of a core the service thread takes."""
import contextlib
import select
import socket
import time
from pathlib import Path

from bench import Failed
from sections import tuning

ABOUT = "one worker's throughput with 200 open pages of the war room, with none; the service thread's share of a core"

PAGES = 200
hugepages = tuning.hugepages


class Pages:
    """Open pages, each a reader of the stream."""

    def __init__(self, address, number):
        self.epoll = select.epoll()
        self.sockets, self.bytes = {}, 0
        for _ in range(number):
            s = socket.create_connection(address)
            s.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.sockets[s.fileno()] = s
            self.epoll.register(s.fileno(), select.EPOLLIN)

    def read(self, seconds):
        """Reads what comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for number, _ in self.epoll.poll(left):
                data = self.sockets[number].recv(65536)
                if not data:
                    raise Failed("a page was closed")
                self.bytes += len(data)

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.epoll.close()


def service_ns(process):
    """For how long the service thread has run."""
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "hb-service":
            return int((task / "schedstat").read_text().split()[0])
    raise Failed("there is no service thread")


def measure(address, process, load, number, seconds):
    """(requests a second, the service thread's percent of a core, bytes that each page was sent a second)"""
    with contextlib.closing(Pages(address, number)) as pages:
        pages.read(1.2)
        pages.bytes = 0
        before, ran, began = load.counters(), service_ns(process), time.monotonic()
        pages.read(seconds)
        after, ran = load.counters(), service_ns(process) - ran
        took = time.monotonic() - began
        return ((after["received"] - before["received"]) / took, 100 * ran / 1e9 / took,
                pages.bytes / took / max(number, 1))


def run(bench):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = s.getsockname()
    tuning.configure(bench, f"127.0.0.1:{address[1]}")
    found = {0: [], PAGES: []}
    with tuning.running(bench) as (process, load):
        for turn in range(bench.rounds):
            bench.progress(f"turn {turn + 1} of {bench.rounds}")
            for number, values in found.items():
                values.append(measure(address, process, load, number, 1.0 if bench.quick else 2.0))
    again = ["sh", "tests/bench/run.sh", "warroom"]
    none = bench.add("no page open", "requests/s", [value[0] for value in found[0]], again)
    bench.add(f"{PAGES} pages open", "requests/s", [value[0] for value in found[PAGES]], again, none,
              short="no page open")
    idle = bench.add("service thread, no page open", "% of a core", [value[1] for value in found[0]], again)
    bench.add(f"service thread, {PAGES} pages open", "% of a core", [value[1] for value in found[PAGES]], again,
              idle, short="no page open")
    sent = sorted(value[2] for value in found[PAGES])[len(found[PAGES]) // 2]
    bench.note(f"each page was sent {sent:,.0f} bytes a second")
