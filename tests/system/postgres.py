# SPDX-License-Identifier: BSD-3-Clause
"""A PostgreSQL of a test's own: made in the test's directory, on a UNIX socket there, run by a user without
rights, stopped and removed with it. It touches no cluster of the host's."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))


def missing():
    """Why no PostgreSQL can be had, or None."""
    return None if BINARIES else "needs the package postgresql"


def unprivileged():
    """Who runs the server: it refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no user without rights")


class Postgres:
    """A server. Users: `settle` owns the database `hongbao` and needs no password; `locked` needs one."""

    def __init__(self, directory=None, **settings):
        """directory: where its own goes; else it is in memory, where there is such a place. A process that is
        killed loses nothing by that, and the server flushes hundreds of files at each start."""
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        if directory:
            os.chmod(directory, 0o711)
            self.directory = Path(directory) / "postgres"
            self.directory.mkdir(mode=0o755)
        else:
            self.directory = Path(tempfile.mkdtemp(prefix="hongbao-postgres-", dir=memory))
        self.data = self.directory / "data"
        self.settings = {
            "listen_addresses": "''", "unix_socket_directories": f"'{self.directory}'",
            "shared_buffers": "32MB", "max_connections": "20", "log_min_messages": "warning",
            "autovacuum_naptime": "5s", **settings}
        self.process = None
        self.user = unprivileged()

    def _as_user(self):
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def make(self):
        """Makes the cluster and starts it."""
        if os.geteuid() == 0:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        done = subprocess.run(
            [BINARIES[-1] / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--no-locale", "--no-sync", "--no-instructions"],
            capture_output=True, text=True, check=False, preexec_fn=self._as_user, cwd="/")
        assert done.returncode == 0, (done.stdout, done.stderr)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self.settings.items())
        hba = self.data / "pg_hba.conf"
        hba.write_text("local all locked scram-sha-256\n" + hba.read_text())
        self.start()
        self.query("create role settle login; create role locked login password 'right'; grant settle to locked",
                   "create database hongbao owner settle", database="postgres")
        return self

    def start(self):
        """Starts it, and returns once it takes connections. After a kill its memory is still in use for
        a moment."""
        end = time.monotonic() + 300
        while True:
            with open(self.directory / "log", "ab") as log:
                self.process = subprocess.Popen(
                    [BINARIES[-1] / "postgres", "-D", self.data], stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL, preexec_fn=self._as_user, cwd="/")
            while self.process.poll() is None:
                if self.ready():
                    return
                assert time.monotonic() < end, self.log()
                time.sleep(0.02)
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def ready(self):
        done = subprocess.run(
            [BINARIES[-1] / "pg_isready", "-q", "-h", self.directory, "-U", "postgres", "-d", "postgres"],
            check=False)
        return done.returncode == 0

    def log(self):
        return (self.directory / "log").read_text(errors="replace")[-3000:]

    def stop(self, how=signal.SIGINT):
        """Ends it; SIGINT is a fast and clean stop."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(300)

    def kill(self):
        self.stop(signal.SIGKILL)

    def remove(self):
        """Ends it and takes its files away."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def conninfo(self, user="settle", database="hongbao"):
        return f"host={self.directory} user={user} dbname={database}"

    def query(self, *statements, user="postgres", database="hongbao"):
        """Runs statements; returns the rows of the last as lists of texts."""
        command = [BINARIES[-1] / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
                   "-d", self.conninfo(user, database)]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, (statements, done.stderr)
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def one(self, statement, **how):
        """The one value of a statement."""
        (value,), = self.query(statement, **how)
        return value
