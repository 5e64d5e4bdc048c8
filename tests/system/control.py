# SPDX-License-Identifier: BSD-3-Clause
"""An independent client of hongbaod's control socket: JSON lines, written from its description in the README."""
import json
import os
import socket
import time


class Refused(Exception):
    """The daemon answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['text']}")
        self.code = error["code"]
        self.text = error["text"]


class Control:
    """A connection to a control socket."""

    def __init__(self, path, seconds=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.lines = None
        end = time.monotonic() + seconds
        while True:
            try:
                self.connect(path)
                break
            except OSError:
                assert time.monotonic() < end, f"{path}: nobody answers"
                time.sleep(0.01)
        self.lines = self.socket.makefile("rb")

    def connect(self, path):
        """A path of more than 107 bytes goes by its directory."""
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)

    def send(self, command, args=None, number=1):
        line = {"hongbao": 1, "id": number, "command": command}
        if args:
            line["args"] = args
        self.socket.sendall(json.dumps(line).encode() + b"\n")

    def read(self):
        """The next answer's result."""
        line = self.lines.readline()
        assert line.endswith(b"\n"), line
        answer = json.loads(line)
        assert answer["hongbao"] == 1, answer
        if not answer["ok"]:
            raise Refused(answer["error"])
        return answer["result"]

    def call(self, command, **args):
        self.send(command, args)
        return self.read()

    def close(self):
        self.lines.close()
        self.socket.close()
