# SPDX-License-Identifier: BSD-3-Clause
"""A model of the daemon's control socket for tests of hongbaoctl, and a terminal to run it on."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

SECONDS = 30  # within which everything must have happened


class Model:
    """Listens at a path and answers each request by what `answers` has for its command: a result (dict), an
    Error, a list of results (a stream), or a function of (model, connection, request)."""

    def __init__(self, path, answers=None):
        self.path = str(path)
        self.answers = {"ping": {"hongbao": "model"}, **(answers or {})}
        self.asked = []
        self.connections = []
        self.listener = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(os.path.dirname(self.path), os.O_PATH)
        self.listener.bind(f"/proc/self/fd/{directory}/{os.path.basename(self.path)}")
        os.close(directory)
        self.listener.listen(16)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """Goes as a process that dies: nobody listens, every connection is closed."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections = []

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            self.connections.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            with c.makefile("rb") as lines:
                for line in lines:
                    request = json.loads(line)
                    self.asked.append(request)
                    self.answer(c, request)
        except OSError:
            pass
        finally:
            c.close()

    def answer(self, c, request):
        what = self.answers.get(request["command"], Error("unknown", "no such command"))
        if callable(what):
            what(self, c, request)
        elif isinstance(what, list):
            for i, one in enumerate(what):
                send(c, request, one, more=i + 1 < len(what))
        else:
            send(c, request, what)

    def asked_for(self, command):
        """The arguments of the last request of a command."""
        return [r.get("args") for r in self.asked if r["command"] == command][-1]


class Error:
    """An answer that is none."""

    def __init__(self, code, text, remedy=None):
        self.error = {"code": code, "text": text, **({"try": remedy} if remedy else {})}


def line(request, what, more=False):
    head = {"hongbao": 1, "id": request["id"]}
    if isinstance(what, Error):
        return json.dumps({**head, "ok": False, "error": what.error}).encode() + b"\n"
    return json.dumps({**head, "ok": True, "result": what,
                       **({"more": True} if more else {})}).encode() + b"\n"


def send(c, request, what, more=False):
    c.sendall(line(request, what, more))


def send_in_pieces(c, data, size):
    """Each piece once the one before was read."""
    for at in range(0, len(data), size):
        c.sendall(data[at:at + size])
        while struct.unpack("i", fcntl.ioctl(c, termios.TIOCOUTQ, b"\0" * 4))[0] > 0:
            os.sched_yield()


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments, rows=24, columns=100, **environment):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        self.process = subprocess.Popen(
            [str(a) for a in arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment})

    def resize(self, rows, columns, tell=True):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds=0.05):
        if select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65536)

    def until(self, what, since=0):
        """Reads until a text stands there, or a function of the output is true; returns where."""
        end = time.monotonic() + SECONDS
        while True:
            if callable(what):
                if what(self.output[since:]):
                    return len(self.output)
            elif (at := self.output.find(what.encode(), since)) >= 0:
                return at + len(what)
            assert time.monotonic() < end, (what, self.output[since:][-4000:])
            self.read()

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """Waits for the end; returns the exit code and all that was written."""
        end = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, self.output[-4000:]
            self.read()
        while select.select([self.master], [], [], 0)[0]:
            self.output += os.read(self.master, 65536)
        return self.process.returncode, self.output.decode()

    def restored(self):
        """Whether the terminal is as it was, with its cursor and its own screen."""
        shown, hidden = self.output.rfind(b"\x1b[?25h"), self.output.rfind(b"\x1b[?25l")
        back, away = self.output.rfind(b"\x1b[?1049l"), self.output.rfind(b"\x1b[?1049h")
        return termios.tcgetattr(self.slave) == self.before and shown >= hidden and back >= away

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def plain(text):
    """Without colours and the like."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def frames(output):
    """The whole frames of top, each as its lines."""
    found = re.findall(rb"\x1b\[\?2026h(.*?)\x1b\[\?2026l", output, re.S)
    return [plain(f.decode()).split("\r\n") for f in found]
