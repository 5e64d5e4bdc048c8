# SPDX-License-Identifier: BSD-3-Clause
"""A virtual machine with virtio NICs on TAPs of this network namespace, and a shell in it.

QEMU emulates the processor (no KVM needed) and computes RSS itself, as a NIC would: by the key, the hash
types and the RETA that the driver in the guest gave it.
"""
import os
import platform
import select
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

QEMU = "qemu-system-x86_64"
MEMORY_MB = 1024
HUGEPAGES = 232  # of 2 MiB: frames for four workers, and something to spare
BOOT_SECONDS = 60
COMMAND_SECONDS = 30


@dataclass(frozen=True)
class Nic:
    """A virtio NIC and the TAP behind it."""

    tap: str
    slot: int  # of the PCI bus
    mac: str
    queues: int
    rss: bool

    @property
    def address(self):
        return f"0000:00:{self.slot:02x}.0"

    def arguments(self):
        multi = self.queues > 1
        netdev = f"tap,id={self.tap},ifname={self.tap},script=no,downscript=no,vhost=off"
        device = (f"virtio-net-pci,netdev={self.tap},addr=0x{self.slot:x},mac={self.mac},"
                  f"disable-legacy=on,rss={'on' if self.rss else 'off'}")
        if multi:
            netdev += f",queues={self.queues}"
            # An interrupt for each queue of either direction, one for the control queue, one for
            # changes of the configuration.
            device += f",mq=on,vectors={2 * self.queues + 2}"
        return ["-netdev", netdev, "-device", device]

    def make_tap(self):
        kind = ["multi_queue"] if self.queues > 1 else []
        for command in (["ip", "tuntap", "add", self.tap, "mode", "tap", *kind],
                        ["ip", "link", "set", self.tap, "up"]):
            subprocess.run(command, check=True, capture_output=True, text=True)


class Guest:
    """Boots in __init__; ends with end()."""

    def __init__(self, kernel, initramfs, directory, nics, cpus):
        self.directory = Path(directory)
        self.input = b""
        self.console = self.directory / "console"
        ours, theirs = socket.socketpair()
        # It goes when this program goes, whatever the reason.
        command = [
            "setpriv", "--pdeathsig", "KILL", QEMU,
            "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(cpus),
            "-m", str(MEMORY_MB), "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr hugepages={HUGEPAGES} "
                       "random.trust_cpu=on audit=0",
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=shell,fd={theirs.fileno()}", "-serial", "chardev:shell",
        ]
        for nic in nics:
            command += nic.arguments()
        begun = time.monotonic()
        with theirs, open(self.directory / "qemu", "wb") as said:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                pass_fds=[theirs.fileno()])
        self.shell = ours
        try:
            self.wait_for("=ready", BOOT_SECONDS)
        except BaseException:
            self.end()
            raise
        self.boot_seconds = time.monotonic() - begun

    def complain(self, what):
        """What to raise: with what the guest's kernel and QEMU said."""
        said = "".join(f"\n--- {name}\n{(self.directory / name).read_text(errors='replace')[-3000:]}"
                       for name in ("qemu", "console"))
        return AssertionError(f"{what}; so far: {self.input.decode(errors='replace')[-3000:]}{said}")

    def wait_for(self, mark, seconds):
        """The lines that come before one that starts with mark, and that one."""
        deadline, lines = time.monotonic() + seconds, []
        while True:
            line, newline, rest = self.input.partition(b"\n")
            if newline:
                self.input = rest
                lines.append(line.decode(errors="replace").rstrip("\r"))
                if lines[-1].startswith(mark):
                    return lines[:-1], lines[-1]
                continue
            if not select.select([self.shell], [], [], max(0, deadline - time.monotonic()))[0]:
                raise self.complain(f"the guest gave no {mark} in {seconds} s, but {lines}")
            data = self.shell.recv(65536)
            if not data:
                raise self.complain(f"the guest ended before {mark}, after {lines}")
            self.input += data

    def run(self, command, seconds=COMMAND_SECONDS):
        """Runs a line of shell in the guest; returns (exit code, its output's lines)."""
        self.shell.sendall(command.encode() + b"\n")
        lines, mark = self.wait_for("=done", seconds)
        return int(mark.split()[1]), [line for line in lines if line]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.shell.close()


def own_namespace():
    """The command line in front of one that is to run in a network namespace of its own, as root of it:
    root already, or root of a user namespace."""
    return ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])


def what_is_missing():
    """Why no guest can run here, or None."""
    if platform.machine() != "x86_64":
        return f"the guest is made of this host's programs, for x86_64, and this is {platform.machine()}"
    for program, package in ((QEMU, "qemu-system-x86"), ("ip", "iproute2"), ("unshare", "util-linux"),
                             ("setpriv", "util-linux")):
        if not shutil.which(program):
            return f"no {program}; as root: apt-get install --no-install-recommends {package}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun isn't there, or isn't this user's; as root: modprobe tun"
    tried = subprocess.run([*own_namespace(), "sh", "-c", "ip tuntap add hb0 mode tap multi_queue"],
                           capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no TAP in a network namespace of its own: {tried.stderr.strip()}"
    return None
