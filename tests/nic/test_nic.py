# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod in a guest on virtio NICs, driven from this side of their TAPs: with RSS every request
arrives on the core that owns its lane; without, the cores hand over, and the replies are the same.

The guest, the TAPs and this program live in a network namespace of their own. Needs /dev/net/tun, QEMU
and Debian's kernel package, which is fetched once into BUILD/nic; no KVM, no hugepages, and not root,
where users may make namespaces. hongbaod must be built with -Disa=portable. What the guest's kernel and
QEMU said is in BUILD/nic/console and BUILD/nic/qemu.

usage: test_nic.py BUILD-DIRECTORY [TEST ...]
"""
import atexit
import collections
import ipaddress
import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

# pylint: disable=wrong-import-position
import hbclient
import rss
from guest import Guest, Nic, own_namespace, what_is_missing
from image import Missing, initramfs, kernel
from programs import CAMPAIGN, KEYS, run_tests

EPOCH_KEY = bytes(range(16))
SERVER4, SERVER6 = "10.0.0.1", "fd00::1"
CLIENT4, CLIENT6 = "10.0.0.2", "fd00::2"
CLIENT_MAC = bytes.fromhex("0200000000fe")
ETH_P_ALL = 3
WINDOW = 64      # requests that are on their way at the same time
STALL_SECONDS = 10
SEED = 20150218  # of addresses, ports and the order of requests

RSS4 = Nic("hb0", 4, "02:00:00:00:00:04", 4, True)
NO_RSS = Nic("hb1", 5, "02:00:00:00:00:05", 4, False)
ONE_QUEUE = Nic("hb2", 6, "02:00:00:00:00:06", 1, False)
NICS = (RSS4, NO_RSS, ONE_QUEUE)
CPUS = 5  # a control core and four workers


@dataclass(frozen=True)
class Case:
    """A run of hongbaod in the guest."""

    name: str
    nic: Nic
    workers: int

    def config(self):
        return json.dumps({
            "host": 1, "listen": {"ipv4": SERVER4, "ipv6": SERVER6, "base_port": hbclient.BASE_PORT},
            "ports": [{"profile": "virtio", "device": self.nic.address}], "workers": self.workers,
            "users": 50000, "journal": "/tmp/journal", "keys": "keys.yaml", "clock": "wall", "seed": 1,
            "campaigns": [CAMPAIGN],
        }, indent=1).encode()


RSS_4_WORKERS = Case("rss4", RSS4, 4)
RSS_2_WORKERS = Case("rss2", RSS4, 2)
WITHOUT_RSS = Case("software4", NO_RSS, 4)
ONE_QUEUE_4_WORKERS = Case("queue1", ONE_QUEUE, 4)
CASES = (RSS_4_WORKERS, RSS_2_WORKERS, WITHOUT_RSS, ONE_QUEUE_4_WORKERS)


# ---- the guest ---------------------------------------------------------------------------------


class Rig:
    """The guest that the tests share. One that a failed test leaves behind is not used again."""

    def __init__(self, build):
        self.cache = Path(build).resolve() / "nic"
        self.build = Path(build).resolve()
        self.booted = None
        self.boots = True

    def prepare(self):
        """What needs the network, so it comes before the namespace. Raises Missing."""
        _, modules = kernel(self.cache)
        files = {f"etc/hongbao/{case.name}.yaml": (case.config(), 0o644) for case in CASES}
        files["etc/hongbao/keys.yaml"] = (KEYS.encode(), 0o600)
        archive = initramfs(self.build / "app/hongbaod/hongbaod", modules, files)
        (self.cache / "initramfs").write_bytes(archive)

    def make_taps(self):
        # The kernel of this side speaks first on a new link, unless it has no IPv6.
        for which in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
        for nic in NICS:
            nic.make_tap()

    def guest(self):
        assert self.boots, "the guest doesn't boot; the first test that needed it says more"
        if self.booted is None:
            self.boots = False
            self.booted = Guest(kernel(self.cache)[0], self.cache / "initramfs", self.cache, NICS, CPUS)
            self.boots = True
        return self.booted

    def end(self):
        if self.booted is not None:
            self.booted.end()
        self.booted = None


RIG = None


class Running:
    """hongbaod in the guest while a test drives it; then its report, and what it said."""

    def __init__(self, case):
        self.case = case
        self.report = None
        self.said = []

    def __enter__(self):
        self.guest = RIG.guest()
        try:
            code, lines = self.guest.run(f"start {self.case.name}")
            assert code == 0, (self.case.name, lines)
        except BaseException:
            RIG.end()
            raise
        return self

    def __exit__(self, kind, error, where):
        if kind is not None:
            self.tell()
            RIG.end()
            return
        try:
            code, lines = self.guest.run("stop")
            self.said = self.guest.run("cat /tmp/err")[1]
            assert code == 0, (code, lines, self.said, self.guest.run("cat /tmp/out"))
            self.report = json.loads("\n".join(self.guest.run("cat /tmp/report.json")[1]))
        except BaseException:
            RIG.end()
            raise

    def tell(self):
        """What hongbaod has to say about a test that failed, as far as the guest still answers."""
        try:
            lines = self.guest.run("stop; cat /tmp/err /tmp/out /tmp/report.json", 10)[1]
        except (AssertionError, OSError) as silence:
            lines = str(silence).splitlines()
        print("".join(f"# {self.case.name}: {line}\n" for line in lines), end="", flush=True)


# ---- requests ----------------------------------------------------------------------------------


def users():
    """Users of all 4096 shards: one of each shard of the first 32 lanes, two of the next, then three
    and four, so that any two workers get different numbers of requests."""
    missing = {shard: 1 + shard % rss.LANES // 32 for shard in range(hbclient.SHARDS)}
    chosen, user, left = [], 0, sum(missing.values())
    while left:
        user += 1
        shard = hbclient.shard(user)
        if missing[shard]:
            missing[shard] -= 1
            left -= 1
            chosen.append(user)
    return chosen


USERS = users()


def requests_for(nic, server):
    """A SHAKE of every user to the port of its shard, from an address and a port of its own, in an order
    that has nothing to do with lanes."""
    rng = random.Random(SEED)
    to, found = hbclient.address(server), []
    for user in rng.sample(USERS, len(USERS)):
        if len(to) == 4:
            source = ipaddress.ip_address(rng.randrange(0x0B000000, 0x7F000000)).packed
        else:
            source = b"\x20\x01" + rng.randbytes(14)
        path = hbclient.Path(CLIENT_MAC, bytes.fromhex(nic.mac.replace(":", "")), source, to,
                             rng.randrange(1024, 65536), hbclient.BASE_PORT + hbclient.shard(user))
        key = hbclient.user_key(EPOCH_KEY, user)
        payload = hbclient.shake(key, user, CAMPAIGN["id"], 1)
        found.append(hbclient.Request(
            0, hbclient.frame(path, payload), path, payload, key, op=hbclient.Op.SHAKE,
            campaign=CAMPAIGN["id"], seq=1, user=user))
    return found


def is_datagram(frame):
    """Whether a frame is UDP: all else that comes is the server speaking as a host, which announces its
    addresses when a link comes up."""
    at = {0x0800: 23, 0x86DD: 20}.get(int.from_bytes(frame[12:14], "big"))
    return at is not None and frame[at] == hbclient.PROTO_UDP


def exchange(tap, requests):
    """Sends the frames over a TAP, each once, WINDOW of them unanswered at a time; returns the
    replies."""
    back, sent = [], 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        link.bind((tap, ETH_P_ALL))
        link.setblocking(False)
        while len(back) < len(requests):
            while sent < len(requests) and sent - len(back) < WINDOW:
                link.send(requests[sent].frame)
                sent += 1
            if not select.select([link], [], [], STALL_SECONDS)[0]:
                break
            try:
                while True:
                    frame, (_, _, kind, _, _) = link.recvfrom(4096)
                    if kind != socket.PACKET_OUTGOING and is_datagram(frame):
                        back.append(frame)
            except BlockingIOError:
                pass
    return back


def shake_all(case, server):
    """Every user shakes, and every reply is held against its request; returns the run, the requests and
    a status for each user."""
    requests = requests_for(case.nic, server)
    assert len(requests) >= 10000 and len({r.path.dst_port for r in requests}) == hbclient.SHARDS
    with Running(case) as run:
        begun = time.monotonic()
        frames = exchange(case.nic.tap, requests)
        seconds = time.monotonic() - begun
        matched = hbclient.match(requests, [(0, frame) for frame in frames])
        assert not matched.complaints, (len(matched.complaints), matched.complaints[:5])
    report = run.report
    print(f"# {case.name}: {len(frames)} requests in {seconds:.1f} s; received "
          f"{column(report, 'received')}, handed over {column(report, 'handed_over')}; "
          f"{report['ports'][0]['why']}", flush=True)
    statuses = {r.user: reply.status for r, reply in zip(requests, matched.replies)}
    counted = collections.Counter(status.name for status in statuses.values())
    assert report["replies"] == dict(counted) and report["requests"] == len(requests), report
    assert report["balanced"] and report["wins"] == counted["WIN"] > 0, report
    assert not report["dropped"] and report["lost"] == 0, report
    return run, requests, statuses


def check_said(run, steering):
    """How the port is steered, and why, stands in the report and in one line on standard error."""
    port, = run.report["ports"]
    assert port["steering"] == steering and port["why"], port
    said, = [line for line in run.said if run.case.nic.address in line and "steering" in line]
    assert steering in said.lower() and port["why"] in said, said


def column(report, name):
    return [worker[name] for worker in report["workers"]]


def owned(requests, workers):
    """How many requests each worker owns, by the contract's shards."""
    found = collections.Counter(
        rss.owner((r.path.dst_port - hbclient.BASE_PORT) % rss.LANES, workers) for r in requests)
    return [found[worker] for worker in range(workers)]


# ---- what must hold ----------------------------------------------------------------------------

# Each user's status in the first case: every other must give the same.
REFERENCE = {}


def check_same(statuses):
    """The seed is the same, so steering must be all that differs."""
    if not REFERENCE:
        REFERENCE.update(statuses)
    assert statuses == REFERENCE, [
        (user, statuses[user].name, REFERENCE[user].name)
        for user in statuses if statuses[user] != REFERENCE[user]][:5]


def check_steered(case):
    """By the program's counters no request was handed over; by the hash and the RETA computed here each
    queue got the requests that it had to get."""
    run, requests, statuses = shake_all(case, SERVER4)
    report = run.report
    queues = collections.Counter(rss.queue(r.path, case.workers) for r in requests)
    predicted = [queues[worker] for worker in range(case.workers)]
    assert predicted == owned(requests, case.workers), predicted
    assert column(report, "received") == predicted, (report["workers"], predicted)
    assert column(report, "handed_over") == column(report, "taken_in") == [0] * case.workers, report
    assert column(report, "misdirected") == [0] * case.workers, report["workers"]
    check_said(run, "rss")
    check_same(statuses)


def check_handed_over(case, server):
    """Requests arrive on whatever queue, and each is decided by its owner all the same."""
    run, requests, statuses = shake_all(case, server)
    report = run.report
    received, over, taken = (column(report, name) for name in ("received", "handed_over", "taken_in"))
    assert sum(received) == len(requests) and sum(over) == sum(taken) > 0, report["workers"]
    decided = [r - o + t for r, o, t in zip(received, over, taken)]
    assert decided == owned(requests, case.workers), (report["workers"], decided)
    check_same(statuses)
    return run


def toeplitz_as_published(_):
    """The hash against the verification suite that Microsoft publishes with RSS."""
    key = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c"
                        "6a42b73bbeac01fa")
    for source, source_port, to, to_port, expected in (
            ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178),
            ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA),
            ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207D3D)):
        path = hbclient.Path(b"", b"", hbclient.address(source), hbclient.address(to), source_port,
                             to_port)
        assert rss.toeplitz(key, rss.tuple_of(path)) == expected, (source, hex(expected))


def a_guest_boots(_):
    guest = RIG.guest()
    code, lines = guest.run("ls -1 /sys/bus/pci/drivers/uio_pci_generic")
    print(f"# booted in {guest.boot_seconds:.1f} s", flush=True)
    assert code == 0 and {nic.address for nic in NICS} <= set(lines), lines


def rss_brings_each_request_to_its_owner_of_4(_):
    check_steered(RSS_4_WORKERS)


def rss_brings_each_request_to_its_owner_of_2(_):
    check_steered(RSS_2_WORKERS)


def without_rss_by_handover(_):
    check_said(check_handed_over(WITHOUT_RSS, SERVER4), "software")


def one_queue_for_4_workers_by_handover(_):
    run = check_handed_over(ONE_QUEUE_4_WORKERS, SERVER4)
    check_said(run, "software")
    assert column(run.report, "received")[1:] == [0, 0, 0], run.report["workers"]


def ipv6_by_handover(_):
    check_handed_over(RSS_4_WORKERS, SERVER6)


def ask(link, user, server):
    """One SHAKE through a socket of the kernel's; returns the reply's status."""
    port = hbclient.BASE_PORT + hbclient.shard(user)
    here, there = link.getsockname(), (server, port)
    path = hbclient.Path(b"", b"", hbclient.address(here[0]), hbclient.address(server), here[1], port)
    key = hbclient.user_key(EPOCH_KEY, user)
    payload = hbclient.shake(key, user, CAMPAIGN["id"], 1)
    request = hbclient.Request(0, b"", path, payload, key)
    link.sendto(payload, there)
    data, sender = link.recvfrom(2048)
    assert sender[:2] == there, (sender, there)
    back = hbclient.Path(b"", b"", path.dst_ip, path.src_ip, sender[1], here[1])
    return hbclient.check_reply(request, back, data).status


def a_client_needs_nothing_but_the_address(_):
    """Ordinary sockets of this side's kernel, which asks for the server's MAC address by ARP and by
    neighbour discovery, and leaves UDP checksums to the NIC that it thinks it has."""
    nic = RSS_4_WORKERS.nic
    with Running(RSS_4_WORKERS) as run:
        Path(f"/proc/sys/net/ipv6/conf/{nic.tap}/disable_ipv6").write_text("0")
        for command in (f"ip addr add {CLIENT4}/24 dev {nic.tap}",
                        f"ip -6 addr add {CLIENT6}/64 dev {nic.tap} nodad"):
            subprocess.run(command.split(), check=True)
        for family, client, server in ((socket.AF_INET, CLIENT4, SERVER4),
                                       (socket.AF_INET6, CLIENT6, SERVER6)):
            with socket.socket(family, socket.SOCK_DGRAM) as link:
                link.bind((client, 0))
                link.settimeout(STALL_SECONDS)
                for user in USERS[:100]:
                    status = ask(link, user, server)
                    assert REFERENCE.get(user, status) == status, (user, status)
            known = subprocess.run(["ip", "neigh", "show", server, "dev", nic.tap], check=True,
                                   capture_output=True, text=True).stdout
            assert nic.mac in known, known
    assert sum(run.report["replies"].values()) == 200 and run.report["balanced"], run.report


TESTS = [
    toeplitz_as_published,
    a_guest_boots,
    rss_brings_each_request_to_its_owner_of_4,
    rss_brings_each_request_to_its_owner_of_2,
    without_rss_by_handover,
    one_queue_for_4_workers_by_handover,
    ipv6_by_handover,
    a_client_needs_nothing_but_the_address,
]


# ---- the program -------------------------------------------------------------------------------


def skip(why):
    """Says so where a person looks, and where tests are counted."""
    why = " ".join(why.split()).replace("#", "")
    print(f"{sys.argv[0]}: SKIPPED, nothing of RSS is tested: {why}", file=sys.stderr)
    # The reason is in the name as well, which is what the count at the end shows.
    print(f"1..1\nok 1 - RSS on a NIC is not tested: {why} # SKIP {why}")
    return 0


def main():
    global RIG  # pylint: disable=global-statement
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(f"usage: {sys.argv[0]} BUILD-DIRECTORY [TEST ...]")
    RIG = Rig(sys.argv[1])
    if "HONGBAO_NAMESPACE" not in os.environ:
        try:
            why = what_is_missing()
            if why is None:
                RIG.prepare()
        except Missing as missing:
            why = str(missing)
        if why is not None:
            return skip(why)
        os.environ["HONGBAO_NAMESPACE"] = "1"
        os.execvp("unshare", [*own_namespace(), sys.executable, *sys.argv])
    RIG.make_taps()
    atexit.register(RIG.end)
    return run_tests(RIG.build, [t for t in TESTS if not sys.argv[2:] or t.__name__ in sys.argv[2:]])


sys.exit(main())
