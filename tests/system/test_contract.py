#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds a server against the wire protocol's contract.

    test_contract.py HONGBAOD HONGBAO_AUDIT [SCENARIO ...]

Every scenario writes a capture of requests, lets the server answer it into another capture, and
judges each reply by an oracle that knows only the contract. Where the contract leaves open
which of two statuses goes first, the oracle takes either. The output is TAP; the scenarios'
files are kept when one of them fails.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import hbclient as hb
from hbclient import Op, Status

MS = 1000000
SECOND = 1000 * MS
CHINA = timezone(timedelta(hours=8))
OPENS = int(datetime(2015, 2, 18, 22, 30, tzinfo=CHINA).timestamp()) * SECOND
HOUR = 3600 * SECOND

EPOCH_KEY = bytes(range(16))
ISSUER_KEY = bytes(range(16, 32))
SERVER_MAC = bytes.fromhex("020000000001")
SERVER_V4 = hb.address("10.0.0.1")
SERVER_V6 = hb.address("fd00::1")

DROP_REASONS = frozenset(
    "truncated not_ip ip_header ip_length ip_checksum fragment not_ours source not_udp "
    "udp_length port udp_checksum length version op seq user campaign packet epoch tag".split())

# Fits for faults that a server may come upon in more than one place.
CUT = frozenset({"truncated", "not_ip", "ip_header", "ip_length", "udp_length", "not_udp"})
BAD_IP_LENGTH = frozenset({"ip_length", "ip_header", "truncated", "udp_length"})
BAD_UDP_LENGTH = frozenset({"udp_length", "ip_length", "truncated"})

# --------------------------------------------------------------------------------------------
# Configuration
# --------------------------------------------------------------------------------------------


@dataclass
class Campaign:
    """One campaign of the server's configuration."""

    id: int
    count: int = 1000
    total: int = 100000
    split: str = "lucky"
    tiers: tuple = ()  # ((count, amount), ...) in place of the three above
    opens: int = OPENS
    closes: int = OPENS + HOUR
    odds: float = 1
    release: int = 0
    quota: int = 1
    interval: int = 0
    wait: int = 1000
    password: str = ""
    paused: bool = False

    def envelopes(self):
        """How many envelopes there are."""
        return sum(n for n, _ in self.tiers) if self.tiers else self.count

    def money(self):
        """How many fen there are."""
        return sum(n * amount for n, amount in self.tiers) if self.tiers else self.total

    def yaml(self):
        """The campaign as an item of the configuration's list."""
        if self.tiers:
            items = ", ".join("{ count: %d, amount: %d }" % tier for tier in self.tiers)
            envelopes = "{ tiers: [%s] }" % items
        else:
            envelopes = "{ count: %d, total: %d, split: %s }" % (
                self.count, self.total, self.split)
        lines = [
            "  - id: %d" % self.id,
            "    name: campaign%d" % self.id,
            '    opens: "%s"' % iso_time(self.opens),
            '    closes: "%s"' % iso_time(self.closes),
            "    envelopes: " + envelopes,
            "    odds: %g" % self.odds,
            "    release_per_second: %d" % self.release,
            "    wins_per_user: %d" % self.quota,
            "    least_interval: %d" % self.interval,
            "    wait: %d" % self.wait,
            '    password: "%s"' % self.password,
            "    paused: %s" % ("true" if self.paused else "false"),
        ]
        return "\n".join(lines) + "\n"


def iso_time(when):
    """A time in ns, which has to be a whole second, as the configuration writes it."""
    return datetime.fromtimestamp(when // SECOND, CHINA).isoformat()


@dataclass
class Config:
    """The server's configuration, and the oracle's."""

    campaigns: list
    users: int = 1000000
    deny: tuple = ()
    slices: tuple = ()
    ipv6: bool = False
    epochs: dict = field(default_factory=lambda: {0: EPOCH_KEY})
    seed: int = 12345

    def campaign(self, ident):
        """The campaign of that number, or None."""
        return next((c for c in self.campaigns if c.id == ident), None)

    def owns(self, key):
        """Whether this host owns the slice of a user or packet."""
        return not self.slices or hb.slice_of(key) in self.slices

    def write(self, directory):
        """Write hongbaod.yaml and keys.yaml."""
        listen = "ipv4: 10.0.0.1, base_port: %d" % hb.BASE_PORT
        if self.ipv6:
            listen += ", ipv6: fd00::1"
        text = ("host: 1\n"
                "listen: { %s }\n"
                "ports:\n"
                "  - profile: pcap\n"
                '    device: "net_pcap0,rx_pcap=requests.pcap,tx_pcap=replies.pcap"\n'
                "workers: 1\n"
                "users: %d\n"
                "journal: journal\n"
                "keys: keys.yaml\n"
                "clock: packet\n"
                "seed: %d\n" % (listen, self.users, self.seed))
        if self.deny:
            text += "deny: [%s]\n" % ", ".join(map(str, self.deny))
        if self.slices:
            text += "slices: [%s]\n" % ", ".join(map(str, self.slices))
        text += "campaigns:\n" + "".join(c.yaml() for c in self.campaigns)
        with open(os.path.join(directory, "hongbaod.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        keys = os.path.join(directory, "keys.yaml")
        epochs = ", ".join("%d: %s" % (n, key.hex()) for n, key in self.epochs.items())
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write("epochs: { %s }\nissuer: %s\n" % (epochs, ISSUER_KEY.hex()))
        os.chmod(keys, 0o600)


# --------------------------------------------------------------------------------------------
# Requests
# --------------------------------------------------------------------------------------------


class Traffic:
    """A capture in the making.

    Each user has an address of its own, and each new request a source port of its own, so that
    replies can be told apart whatever their order.
    """

    def __init__(self, config, start=OPENS + SECOND, step=100000):
        self.config = config
        self.now = start
        self.step = step
        self.requests = []
        self._places = {}
        self._ports = Counter()

    def path(self, user, dst_port, *, v6=False, vlans=(), src_port=None):
        """The way of a new request from a user."""
        place = self._places.setdefault(user, len(self._places))
        if src_port is None:
            src_port = 1024 + self._ports[user] % 60000
            self._ports[user] += 1
        source = (hb.address("fd00::1:0:0") if v6 else hb.address("172.16.0.2"))
        source = (int.from_bytes(source, "big") + place).to_bytes(len(source), "big")
        return hb.Path(b"\x02\x01" + struct.pack("!I", place), SERVER_MAC, source,
                       SERVER_V6 if v6 else SERVER_V4, src_port, dst_port, tuple(vlans))

    def key(self, user, epoch=None):
        """A user's key, of the configuration's first epoch unless told."""
        epoch = self.first_epoch() if epoch is None else epoch
        return hb.user_key(self.config.epochs[epoch], user)

    def first_epoch(self):
        """The epoch that requests use unless told."""
        return next(iter(self.config.epochs))

    def send(self, payload, *, user, key, shard_key=None, dst_port=None, expect="answer",
             reasons=(), label="", want=None, v6=False, vlans=(), src_port=None, path=None,
             udp=None, ip=None, pad=b""):
        """Put a payload into a frame and the frame into the capture."""
        if dst_port is None:
            dst_port = hb.BASE_PORT + hb.shard(user if shard_key is None else shard_key)
        if path is None:
            path = self.path(user, dst_port, v6=v6, vlans=vlans, src_port=src_port)
        data = hb.frame(path, payload, udp=udp, ip=ip, pad=pad)
        op, campaign, seq = 0, 0, 0
        if len(payload) >= 8:
            op, campaign, seq = payload[0] & 15, *struct.unpack_from("!HI", payload, 2)
        if isinstance(want, Status):
            want = {want}
        request = hb.Request(self.now, data, path, payload, key, expect, frozenset(reasons),
                             label, frozenset(want) if want else None, op, campaign, seq, user)
        return self._add(request)

    def _add(self, request):
        self.requests.append(request)
        self.now += self.step
        return request

    def shake(self, user, campaign, seq, *, epoch=None, **rest):
        """A SHAKE by a user."""
        epoch = self.first_epoch() if epoch is None else epoch
        key = self.key(user, epoch)
        return self.send(hb.shake(key, user, campaign, seq, epoch), user=user, key=key, **rest)

    def answer(self, user, campaign, seq, text, *, epoch=None, **rest):
        """An ANSWER by a user."""
        epoch = self.first_epoch() if epoch is None else epoch
        key = self.key(user, epoch)
        payload = hb.answer(key, user, campaign, seq, hb.digest(campaign, text), epoch)
        return self.send(payload, user=user, key=key, **rest)

    def grab(self, user, seq, packet, *, epoch=None, **rest):
        """A GRAB by a user."""
        epoch = self.first_epoch() if epoch is None else epoch
        key = self.key(user, epoch)
        return self.send(hb.grab(key, user, seq, packet, epoch), user=user, key=key,
                         shard_key=packet, **rest)

    def pack(self, user, seq, packet, *, total=10000, shares=10, split=2, hours=24, **rest):
        """A PACK for a user."""
        payload = hb.pack(ISSUER_KEY, user, seq, packet, total, shares, split, hours,
                          self.first_epoch())
        return self.send(payload, user=user, key=ISSUER_KEY, shard_key=packet, **rest)

    def again(self, request, want=None):
        """The very same frame once more."""
        if isinstance(want, Status):
            want = {want}
        return self._add(replace(request, time=self.now, want=frozenset(want) if want else None))

    def raw(self, data, reasons, label):
        """A frame that must not be answered and that nothing could be told from."""
        return self._add(hb.Request(self.now, data, expect="silence",
                                    reasons=frozenset(reasons), label=label))

    def at(self, when):
        """Let time go on to a moment, never back."""
        self.now = max(self.now, when)


# --------------------------------------------------------------------------------------------
# The oracle
# --------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What the oracle knows of one user in one campaign."""

    seq: int = 0  # of the last final answer
    final: hb.Reply = None
    wins: list = field(default_factory=list)
    last_request: int = None  # by the widest reading of "the user's last request"
    last_draw: int = None  # by the narrowest: one that was drawn for


class Packet:
    """A group packet, as its PACK says and its GRABs have left it."""

    def __init__(self, terms, when):
        self.terms = terms  # sender, total, shares, split, hours
        self.when = when
        self.taken = {}  # user: the reply that gave the share

    def shares(self):
        """How many there are."""
        return self.terms[2]

    def over(self):
        """From when on nobody gets a share any more."""
        return self.when + self.terms[4] * HOUR

    def complaints(self, fen):
        """What is wrong with the share that was taken last."""
        _, total, shares, split, _ = self.terms
        number = len(self.taken)
        left = total - sum(r.value for r in self.taken.values()) + fen
        still = shares - number + 1
        if fen < 1 or left - fen < still - 1 or (still == 1 and fen != left):
            yield "share %d of %d has %d of %d fen" % (number, shares, fen, left)
        if split == 1 and fen != total // shares + (number <= total % shares):
            yield "equal share %d of %d fen has %d" % (number, total, fen)
        if split == 2 and still > 1 and fen * still > 2 * left:
            yield "a lucky share of %d fen, over twice the mean of %d in %d" % (fen, left, still)


class Oracle:
    """Judges replies in the order of the capture, by nothing but the contract.

    It never predicts a draw. It knows which statuses the contract allows at each moment, which
    answers have to be repeated, and what the pools may give. With one worker and the clock of
    the packets, requests are served in the order of the capture; that is what lets it ask that
    no EMPTY comes before the last envelope is gone.

    forgetful is for a table that is too small: only users who have won must be remembered then,
    and BUSY is a fair answer to those for whom there is no row.
    """

    def __init__(self, config, forgetful=False):
        self.config = config
        self.forgetful = forgetful
        self.accounts = defaultdict(Account)
        self.given = defaultdict(dict)  # campaign: {envelope: (user, fen)}
        self.money = Counter()
        self.packets = {}
        self.complaints = []

    def judge(self, requests, replies):
        """All complaints about the replies to the requests."""
        for index, (request, reply) in enumerate(zip(requests, replies)):
            if reply is None:
                if request.expect != "silence" and request.op in (Op.SHAKE, Op.ANSWER):
                    account = self.accounts[request.campaign, request.user]
                    account.last_request = request.time
                continue
            for text in self._one(request, reply):
                self.complaints.append("frame %d, %s, got %s: %s"
                                       % (index, request, reply.status.name, text))
        self._pools()
        return self.complaints

    def _one(self, request, reply):
        if request.want and reply.status not in request.want:
            yield "wanted " + names(request.want)
        if request.op == Op.GRAB or request.op == Op.PACK:
            yield from self._packet(request, reply)
            return
        gates = self._gates(request)
        if gates - {Status.CLOSED}:
            # Not for this host, this user, this op or this moment. The contract says nothing
            # of which of these goes first, so any that is true may be said.
            if reply.status not in gates:
                yield "allowed are " + names(gates)
            if self.config.campaign(request.campaign):
                self.accounts[request.campaign, request.user].last_request = request.time
        else:
            yield from self._play(request, reply, Status.CLOSED in gates)
        yield from self._wait(request, reply)

    def _packet(self, request, reply):
        """GRAB and PACK: which of them goes first when several are true isn't said for DENIED."""
        ident, = struct.unpack_from("!Q", request.payload, 16)
        if not self.config.owns(ident):
            allowed = {Status.MOVED}
            if request.op == Op.GRAB and request.user in self.config.deny:
                allowed.add(Status.DENIED)
            if reply.status not in allowed:
                yield "allowed are " + names(allowed)
        elif request.op == Op.PACK:
            yield from self._pack(request, reply, ident)
        else:
            yield from self._grab(request, reply, self.packets.get(ident))

    def _pack(self, request, reply, ident):
        terms = (request.user,) + struct.unpack_from("!IHBB", request.payload, 24)
        _, total, shares, split, _ = terms
        packet = self.packets.get(ident)
        sense = shares > 0 and total >= shares and split in (1, 2)
        good = sense if packet is None else packet.terms == terms
        wanted = Status.PACKED if good else Status.CONFLICT
        if reply.status != wanted:
            yield "wanted " + names({wanted})
        elif good and (reply.ident != ident or reply.value != total):
            yield "of packet %d with %d fen" % (ident, total)
        if packet is None and reply.status == Status.PACKED:
            self.packets[ident] = Packet(terms, request.time)

    def _grab(self, request, reply, packet):
        user = request.user
        if packet is not None and user in packet.taken:
            if not same_answer(packet.taken[user], reply, seq=False):
                yield "a share told again, first %s" % packet.taken[user].raw.hex()
            return
        allowed = set()
        if user in self.config.deny:
            allowed.add(Status.DENIED)
        if packet is None:
            allowed.add(Status.UNKNOWN)
        elif len(packet.taken) == packet.shares():
            allowed.add(Status.EMPTY)
        elif request.time >= packet.over():
            allowed.add(Status.EXPIRED)
        elif not allowed:
            allowed.add(Status.WIN)
        if reply.status not in allowed:
            yield "allowed are " + names(allowed)
        elif reply.status == Status.WIN:
            packet.taken[user] = reply
            yield from packet.complaints(reply.value)

    def _gates(self, request):
        """The statuses that hold a request back before any draw."""
        gates = set()
        campaign = self.config.campaign(request.campaign)
        if not self.config.owns(request.user):
            gates.add(Status.MOVED)
        if request.user in self.config.deny:
            gates.add(Status.DENIED)
        if campaign is None or (request.op == Op.ANSWER) != bool(campaign.password):
            gates.add(Status.UNKNOWN)
        if campaign is not None:
            if campaign.paused:
                gates.add(Status.BUSY)
            if request.time < campaign.opens:
                gates.add(Status.EARLY)
            elif request.time >= campaign.closes:
                gates.add(Status.CLOSED)
        return gates

    def _play(self, request, reply, closed):
        """A request that nothing but the campaign's end can hold back."""
        campaign = self.config.campaign(request.campaign)
        account = self.accounts[request.campaign, request.user]
        free = self.forgetful and not account.wins
        fresh = request.seq > account.seq
        repeat = account.final is not None and request.seq == account.seq
        same = repeat and same_answer(account.final, reply)
        if repeat and not same and not free:
            yield "a retry of %s %s" % (account.final.status.name, account.final.raw.hex())
        elif not same:
            allowed = self._allowed(request, campaign, account, closed, fresh or free)
            if free:
                allowed.add(Status.BUSY)
                if account.final is not None and not fresh:
                    allowed.add(Status.STALE)
            if reply.status not in allowed:
                yield "allowed are " + names(allowed)
            if reply.status in hb.FINAL and (fresh or free):
                account.seq, account.final = request.seq, reply
                if reply.status in (Status.WIN, Status.MISS, Status.WRONG):
                    account.last_draw = request.time
                if reply.status == Status.WIN:
                    yield from self._win(request, reply, campaign, account)
            if reply.status == Status.EMPTY:
                given = len(self.given[campaign.id])
                if given < campaign.envelopes():
                    yield "only %d of %d envelopes are given" % (given, campaign.envelopes())
        account.last_request = request.time

    def _allowed(self, request, campaign, account, closed, fresh):
        """The statuses for a request that is not a retry."""
        since = None
        if account.last_request is not None:
            since = request.time - account.last_request
        interval = campaign.interval * MS
        # "The user's last request" may or may not count those that were not drawn for.
        maybe_throttled = since is not None and since < interval
        surely_throttled = (account.last_draw is not None
                            and request.time - account.last_draw < interval)
        throttled = {Status.THROTTLED} if maybe_throttled else set()
        if not fresh:
            return {Status.STALE} | throttled | ({Status.CLOSED} if closed else set())
        over = set()
        if len(account.wins) >= campaign.quota:
            over.add(Status.QUOTA)
        empty = len(self.given[campaign.id]) >= campaign.envelopes()
        if empty:
            over.add(Status.EMPTY)
        wrong = (campaign.password and request.payload[16:24]
                 != hb.digest(campaign.id, campaign.password))
        if wrong:
            over.add(Status.WRONG)
        if closed:
            return {Status.CLOSED} | over | throttled
        if over:
            # QUOTA, EMPTY, WRONG and THROTTLED may all be true at once: any of them will do.
            # A draw without envelopes gives nothing, which makes MISS true beside EMPTY where
            # draws can miss at all.
            if over == {Status.EMPTY} and (campaign.odds < 1 or campaign.release):
                over.add(Status.MISS)
            return over | throttled
        if surely_throttled:
            return throttled
        draw = set(throttled)
        if campaign.odds > 0:
            draw.add(Status.WIN)
        if campaign.odds < 1:
            draw.add(Status.MISS)
        if campaign.release:
            # What is left but not yet released: a miss, or a load that is shed.
            draw |= {Status.MISS, Status.BUSY}
        return draw

    def _win(self, request, reply, campaign, account):
        """A new win: no envelope twice, nobody above the quota, no fen too many."""
        given = self.given[campaign.id]
        if reply.ident in given:
            yield "envelope %d went to user %d already" % (reply.ident, given[reply.ident][0])
        given[reply.ident] = request.user, reply.value
        account.wins.append(reply)
        if len(account.wins) > campaign.quota:
            yield "win %d of a user who may have %d" % (len(account.wins), campaign.quota)
        self.money[campaign.id] += reply.value

    def _wait(self, request, reply):
        """The milliseconds in MISS, EARLY and THROTTLED; BUSY may name any."""
        campaign = self.config.campaign(request.campaign)
        if reply.status == Status.MISS and reply.value != campaign.wait:
            yield "value %d for a wait of %d ms" % (reply.value, campaign.wait)
        if reply.status == Status.EARLY:
            left = campaign.opens - request.time
            if left > 0xFFFFFFFF * MS:
                # It does not fit the field. A cap is fine; a wrapped number is not.
                if reply.value < 1000:
                    yield "value %d, although years are left" % reply.value
            elif not left - MS < reply.value * MS < left + MS:
                yield "value %d with %g ms to go" % (reply.value, left / MS)
        if reply.status == Status.THROTTLED and reply.value > campaign.interval:
            yield "value %d for an interval of %d" % (reply.value, campaign.interval)

    def _pools(self):
        """What has been given in all."""
        for campaign in self.config.campaigns:
            given = self.given[campaign.id]
            amounts = Counter(fen for _, fen in given.values())
            where = "campaign %d" % campaign.id
            if len(given) > campaign.envelopes():
                self.complaints.append("%s gave %d of its %d envelopes"
                                       % (where, len(given), campaign.envelopes()))
            money = self.money[campaign.id]
            if money > campaign.money():
                self.complaints.append("%s gave %d of its %d fen"
                                       % (where, money, campaign.money()))
            if len(given) == campaign.envelopes() and money != campaign.money():
                self.complaints.append("%s gave all envelopes, but %d of its %d fen"
                                       % (where, money, campaign.money()))
            if campaign.tiers:
                stock = Counter()
                for count, amount in campaign.tiers:
                    stock[amount] += count
            elif campaign.split == "equal":
                stock = Counter({campaign.total // campaign.count: campaign.count})
            else:
                continue
            if amounts - stock:
                self.complaints.append("%s gave amounts it does not have: %s"
                                       % (where, dict(amounts - stock)))


def same_answer(first, second, seq=True):
    """Whether a retry got its answer again; seq: the same seq, too.

    The bytes of money have to be the same. A seal is made under the key of its own request, so
    after a change of epoch it is another one; that it verifies has been checked before.
    """
    if first.status != second.status:
        return False
    if not seq:
        return (first.ident, first.value) == (second.ident, second.value)
    return first.status not in hb.MONEY or first.raw[1:20] == second.raw[1:20]


def names(statuses):
    """Statuses for a diagnostic line."""
    return " or ".join(sorted(Status(s).name for s in statuses)) or "none"


def check_report(report, requests, matched, distinct):
    """Complaints about the report: its sums, and that each drop has a fitting reason."""
    complaints = []
    for name in ("requests", "replies", "dropped", "wins", "fen", "seconds",
                 "requests_per_second", "cycles_per_request"):
        if name not in report:
            complaints.append("report: no " + name)
    if complaints:
        return complaints
    replies = {name.upper(): n for name, n in report["replies"].items() if n}
    dropped = {name: n for name, n in report["dropped"].items() if n}
    if report["requests"] != len(requests):
        complaints.append("report: %s requests for %d frames"
                          % (report["requests"], len(requests)))
    if report["requests"] != sum(replies.values()) + sum(dropped.values()):
        complaints.append("report: %s requests, %d replies, %d dropped"
                          % (report["requests"], sum(replies.values()), sum(dropped.values())))
    seen = Counter(r.status.name for r in matched.replies if r is not None)
    for name in sorted(set(seen) | set(replies)):
        if seen[name] != replies.get(name, 0):
            complaints.append("report: %d of %s, %d seen"
                              % (replies.get(name, 0), name, seen[name]))
    # A frame that was not answered counts under one of the reasons that fit it, so each counter
    # lies between the frames that fit nothing else and those that fit it at all.
    least, most = Counter(), Counter()
    for request, reply in zip(requests, matched.replies):
        if reply is None and request.expect != "answer":
            if len(request.reasons) == 1:
                least.update(request.reasons)
            most.update(request.reasons)
    for name in sorted(DROP_REASONS | set(dropped)):
        count = dropped.get(name, 0)
        if name not in DROP_REASONS:
            complaints.append("report: dropped for unheard-of reason " + name)
        elif not least[name] <= count <= most[name]:
            complaints.append("report: %d dropped for %s, which fits %d to %d"
                              % (count, name, least[name], most[name]))
    # Whether a repeated WIN counts again is nowhere said; both are taken.
    again = (seen["WIN"], sum(r.value for r in matched.replies
                              if r is not None and r.status == Status.WIN))
    if (report["wins"], report["fen"]) not in (distinct, again):
        complaints.append("report: %s wins of %s fen, seen %d of %d"
                          % (report["wins"], report["fen"], *distinct))
    return complaints


# --------------------------------------------------------------------------------------------
# Running
# --------------------------------------------------------------------------------------------


class BinaryRunner:
    """Runs the real server and the real audit."""

    def __init__(self, server, audit):
        self.server = os.path.abspath(server)
        self.auditor = os.path.abspath(audit)

    def serve(self, directory, _config):
        """Answer requests.pcap into replies.pcap; returns the exit code and the output."""
        return self._call([self.server, "-c", "hongbaod.yaml", "--report", "report.json",
                           "--exit-when-idle", "500"], directory)

    def audit(self, directory):
        """Check the books."""
        return self._call([self.auditor, "journal"], directory)

    @staticmethod
    def _call(command, directory):
        try:
            done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=180, check=False)
        except subprocess.TimeoutExpired as expired:
            return -1, "no end after 180 s\n" + (expired.output or b"").decode(
                "utf-8", "replace")
        return done.returncode, done.stdout.decode("utf-8", "replace")


@dataclass
class Result:
    """What one run gave."""

    matched: hb.Matched
    oracle: Oracle
    report: dict
    directory: str

    def wins(self, campaign):
        """{envelope: (user, fen)} of a campaign."""
        return self.oracle.given[campaign]


class NoReplies(Exception):
    """The server left nothing to judge; each missing reply by itself would tell no more."""


class Case:
    """One scenario under way: runs the server, gathers complaints."""

    def __init__(self, runner, directory):
        self.runner = runner
        self.directory = directory
        self.complaints = []
        self.runs = 0

    def complain(self, text):
        """Fail the scenario."""
        self.complaints.append(text)

    def check(self, holds, text):
        """Fail the scenario unless something holds."""
        if not holds:
            self.complain(text)

    def run(self, traffic, *, nano=True, order="<", forgetful=False):
        """One run of the server over a capture, judged by everything that always holds."""
        self.runs += 1
        directory = os.path.join(self.directory, "run%d" % self.runs)
        os.makedirs(directory)
        config, requests = traffic.config, traffic.requests
        config.write(directory)
        hb.write_pcap(os.path.join(directory, "requests.pcap"),
                      [(r.time, r.frame) for r in requests], nano, order)
        code, text = self.runner.serve(directory, config)
        with open(os.path.join(directory, "output.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        if code:
            self.complain("the server ended with %d" % code)
            for line in text.splitlines()[-8:]:
                self.complain("  " + line)
        try:
            records = hb.read_pcap(os.path.join(directory, "replies.pcap"))
        except (OSError, hb.PcapError) as error:
            raise NoReplies("no replies: %s" % error) from error
        matched = hb.match(requests, records)
        self.complaints += matched.complaints
        oracle = Oracle(config, forgetful)
        self.complaints += oracle.judge(requests, matched.replies)
        report = {}
        try:
            with open(os.path.join(directory, "report.json"), encoding="utf-8") as file:
                report = json.load(file)
        except (OSError, ValueError) as error:
            self.complain("no report: %s" % error)
        else:
            distinct = (sum(len(a.wins) for a in oracle.accounts.values()),
                        sum(oracle.money.values()))
            self.complaints += check_report(report, requests, matched, distinct)
        code, text = self.runner.audit(directory)
        if code:
            self.complain("the audit ended with %d" % code)
            for line in text.splitlines()[-8:]:
                self.complain("  " + line)
        return Result(matched, oracle, report, directory)


# --------------------------------------------------------------------------------------------
# Scenarios
# --------------------------------------------------------------------------------------------

SCENARIOS = []


def scenario(name):
    """Enter a function into the list of scenarios, under a name for the TAP line."""
    def enter(function):
        SCENARIOS.append((function.__name__, name, function))
        return function
    return enter


@scenario("the contract's test vectors hold for the client")
def vectors(case):
    """If these fail, the client is wrong and nothing below means anything."""
    user = 0x0123456789ABCDEF
    key = hb.user_key(EPOCH_KEY, user)
    packet = 0xFEEDFACE12345678
    lucky_word = hb.digest(7, "我")
    request = hb.shake(key, user, 7, 1)
    made = {
        "user key": (key, "5e3f6f453c565a76ec0f6c67b8ef0a39"),
        "digest": (lucky_word, "012d4dc82fb21015"),
        "digest of blanks around": (hb.digest(7, " 我\t "), "012d4dc82fb21015"),
        "SHAKE": (request, "11000007000000010123456789abcdefa8c05eeaecdb7bd7"),
        "ANSWER": (hb.answer(key, user, 7, 2, lucky_word),
                   "12000007000000020123456789abcdef012d4dc82fb21015d88e36b98be030dc"),
        "GRAB": (hb.grab(key, user, 3, packet),
                 "13000000000000030123456789abcdeffeedface12345678323d26e798e8d782"),
        "PACK": (hb.pack(ISSUER_KEY, user, 4, packet, 10000, 10, 2, 24),
                 "14000000000000040123456789abcdeffeedface12345678"
                 "00002710000a02185767ff95b4de41fe"),
        "WIN": (hb.reply_payload(Op.SHAKE, Status.WIN, 7, 1, key, 42, 888),
                "1101000700000001000000000000002a000003783c3e87ad"),
    }
    for name, (got, wanted) in made.items():
        case.check(got.hex() == wanted, "%s is %s, not %s" % (name, got.hex(), wanted))
    for number, wanted in ((user, 201), (1, 2531), (2, 966), (12345, 2578)):
        case.check(hb.shard(number) == wanted, "shard of %d is %d" % (number, hb.shard(number)))
    size = len(hb.frame(hb.Path(bytes(6), bytes(6), bytes(4), bytes(4), 1, 2), request))
    case.check(size == 66, "a SHAKE is %d bytes of frame" % size)


@scenario("each status of SHAKE and ANSWER comes when it should, with its value")
def statuses(case):
    """One campaign for each condition; not-final answers leave the seq for another try."""
    config = Config([
        Campaign(7, count=5000, total=500000),
        Campaign(8, count=5000, total=500000, odds=0.5, wait=1234, quota=2),
        Campaign(9, opens=OPENS + 60 * SECOND),
        Campaign(10, closes=OPENS + 60 * SECOND, quota=2),
        Campaign(11, password="我", wait=777),
        Campaign(12, paused=True),
        Campaign(13, password="我", paused=True),
        Campaign(14, interval=500, quota=10),
        Campaign(15, count=3, total=300),
        Campaign(16, password=" 恭喜发财 "),
        Campaign(17, opens=OPENS - 2 * HOUR, closes=OPENS - HOUR),
        Campaign(18, opens=OPENS + 100 * 24 * HOUR, closes=OPENS + 101 * 24 * HOUR),
        Campaign(65535, count=10, total=1000),
    ], deny=(77, 78))
    t = Traffic(config)

    # WIN, then QUOTA; a retry of what is below is STALE, and STALE uses nothing up.
    t.shake(1000, 7, 5, want=Status.WIN)
    t.shake(1000, 7, 5, want=Status.WIN)
    t.shake(1000, 7, 4, want=Status.STALE)
    t.shake(1000, 7, 6, want=Status.QUOTA)
    t.shake(1000, 7, 6, want=Status.QUOTA)
    t.shake(1000, 7, 5, want=Status.STALE)
    t.shake(1000, 7, 1, want=Status.STALE)
    t.shake(1000, 7, 0xFFFFFFFF, want=Status.QUOTA)
    t.shake(1000, 7, 0xFFFFFFFF, want=Status.QUOTA)
    t.shake(1000, 65535, 1, want=Status.WIN)
    t.shake(0xFFFFFFFFFFFFFFFF, 7, 1, want=Status.WIN)
    t.shake(0xFFFFFFFFFFFFFFFF, 7, 1, want=Status.WIN)

    # MISS is final: the same seq gets it again, and only the next one draws.
    draws = []
    for user in range(2000, 3000):
        draws.append(t.shake(user, 8, 1, want={Status.WIN, Status.MISS}))
        t.shake(user, 8, 1)
        draws.append(t.shake(user, 8, 2, want={Status.WIN, Status.MISS}))

    # EARLY, and the same seq when it is open. A high seq that was EARLY does not count.
    t.shake(1001, 9, 1, want=Status.EARLY)
    t.shake(1001, 9, 9, want=Status.EARLY)
    t.shake(1003, 18, 1, want=Status.EARLY)
    t.at(OPENS + 30 * SECOND + 300000)
    t.shake(1001, 9, 1, want=Status.EARLY)
    t.shake(1004, 10, 1, want=Status.WIN)
    t.shake(1004, 10, 2, want=Status.WIN)
    t.shake(1005, 10, 3, want=Status.WIN)
    t.shake(1006, 17, 1, want=Status.CLOSED)
    t.shake(1006, 17, 1, want=Status.CLOSED)
    t.at(OPENS + 60 * SECOND - MS)
    t.shake(1001, 9, 1, want=Status.EARLY)
    t.at(OPENS + 60 * SECOND - 400000)
    t.shake(1002, 9, 1, want=Status.EARLY)
    t.at(OPENS + 60 * SECOND + MS)
    t.shake(1001, 9, 1, want=Status.WIN)
    t.shake(1002, 9, 1, want=Status.WIN)

    # CLOSED for what is new, the old answer for a retry, even now.
    t.shake(1004, 10, 2, want=Status.WIN)
    t.shake(1004, 10, 1, want={Status.STALE, Status.CLOSED})
    t.shake(1005, 10, 4, want=Status.CLOSED)
    t.shake(1005, 10, 3, want=Status.WIN)
    t.shake(1007, 10, 1, want=Status.CLOSED)

    # WRONG is final as well; the user asks again with the next seq.
    t.answer(1008, 11, 1, "你", want=Status.WRONG)
    t.answer(1008, 11, 1, "你", want=Status.WRONG)
    t.answer(1008, 11, 2, "", want=Status.WRONG)
    t.answer(1008, 11, 3, " 我 ", want=Status.WIN)
    t.answer(1008, 11, 3, "我", want=Status.WIN)
    t.answer(1008, 11, 2, "我", want=Status.STALE)
    t.answer(1008, 11, 4, "我", want=Status.QUOTA)
    # The same seq with another answer is the same request to promise 1: WRONG stays.
    t.answer(1009, 11, 1, "你", want=Status.WRONG)
    t.answer(1009, 11, 1, "我", want=Status.WRONG)
    # The digest is salted with the campaign: that of another campaign is wrong here.
    key = t.key(1010)
    t.send(hb.answer(key, 1010, 11, 1, hb.digest(16, "我")), user=1010, key=key,
           want=Status.WRONG)
    # Blanks around the configured password cannot be part of any digest.
    t.answer(1011, 16, 1, "恭喜发财", want=Status.WIN)

    # UNKNOWN leaves the seq unused, also a high one.
    t.shake(1012, 99, 1, want=Status.UNKNOWN)
    t.shake(1012, 99, 1, want=Status.UNKNOWN)
    t.answer(1012, 99, 1, "我", want=Status.UNKNOWN)
    t.shake(1012, 0, 1, want=Status.UNKNOWN)
    t.answer(1012, 0, 1, "我", want=Status.UNKNOWN)
    t.shake(1012, 11, 8, want=Status.UNKNOWN)
    t.answer(1012, 11, 1, "我", want=Status.WIN)
    t.answer(1012, 7, 8, "我", want=Status.UNKNOWN)
    t.shake(1012, 7, 1, want=Status.WIN)
    t.grab(1012, 1, 0xABCDEF, want=Status.UNKNOWN)
    t.pack(1012, 1, 0xABCDEF, want=Status.PACKED)
    t.grab(1012, 2, 0xABCDEF, want=Status.WIN)

    # BUSY while paused, DENIED to the barred.
    for seq in (1, 1, 2):
        t.shake(1013, 12, seq, want=Status.BUSY)
        t.answer(1013, 13, seq, "我", want=Status.BUSY)
    for user in config.deny:
        t.shake(user, 7, 1, want=Status.DENIED)
        t.shake(user, 7, 1, want=Status.DENIED)
        t.answer(user, 11, 1, "我", want=Status.DENIED)
        t.grab(user, 1, 0xABCDEF)
    t.shake(76, 7, 1, want=Status.WIN)
    t.shake(79, 7, 1, want=Status.WIN)

    # EMPTY, final and kept.
    for user in range(3001, 3004):
        t.shake(user, 15, 1, want=Status.WIN)
    for user in range(3004, 3010):
        t.shake(user, 15, 1, want=Status.EMPTY)
        t.shake(user, 15, 1, want=Status.EMPTY)
        t.shake(user, 15, 2, want=Status.EMPTY)
    t.shake(3001, 15, 1, want=Status.WIN)

    # THROTTLED: what is left of the interval, the seq unused, retries not held back.
    t.at(OPENS + 100 * SECOND)
    first = t.now
    t.shake(1014, 14, 1, want=Status.WIN)
    t.at(first + 50 * MS)
    t.shake(1014, 14, 1, want=Status.WIN)
    t.at(first + 100 * MS)
    throttled = t.shake(1014, 14, 2, want=Status.THROTTLED)
    t.shake(1014, 14, 9, want=Status.THROTTLED)
    # Whether the throttled tries start the interval again is not said, so wait it out.
    t.at(first + 700 * MS)
    t.shake(1014, 14, 2, want=Status.WIN)
    plain_first = t.now
    t.shake(1015, 14, 1, want=Status.WIN)
    t.at(plain_first + 200 * MS)
    plain = t.shake(1015, 14, 2, want=Status.THROTTLED)
    t.at(plain_first + 800 * MS)
    t.shake(1015, 14, 2, want=Status.WIN)
    t.shake(1015, 15, 1, want=Status.EMPTY)  # the interval is the campaign's own

    result = case.run(t)
    reply = dict(zip(map(id, t.requests), result.matched.replies))

    got = reply[id(plain)]
    case.check(got is None or 299 <= got.value <= 301,
               "THROTTLED 200 of 500 ms after the last request says %s ms"
               % (got and got.value))
    # After a retry at 50 ms, the last request is either 50 or 100 ms ago.
    got = reply[id(throttled)]
    case.check(got is None or 399 <= got.value <= 451,
               "THROTTLED 100 ms after the draw says %s ms" % (got and got.value))
    wins = sum(1 for r in draws if reply[id(r)] and reply[id(r)].status == Status.WIN)
    # 2000 draws at odds 0.5 have a standard deviation of 22: 6 of them on either side.
    case.check(866 <= wins <= 1134, "%d wins in 2000 draws at odds 0.5" % wins)


@scenario("a host answers MOVED for the slices that it does not own, whatever the port")
def moved(case):
    """Ownership goes by the key and not by the port that the request came to."""
    config = Config([Campaign(7, count=5000, total=500000), Campaign(11, password="我")],
                    slices=(0, 1, 2))
    t = Traffic(config)
    ours = [u for u in range(1, 3000) if hb.slice_of(u) in config.slices][:60]
    theirs = [u for u in range(1, 1000) if hb.slice_of(u) not in config.slices][:200]
    for user in theirs:
        t.shake(user, 7, 1, want=Status.MOVED)
        t.answer(user, 11, 1, "我", want=Status.MOVED)
    for user in ours:
        t.shake(user, 7, 1, want=Status.WIN)
        t.answer(user, 11, 1, "我", want=Status.WIN)
    for user, packet in zip(ours, theirs):
        # For GRAB and PACK the key is the packet: MOVED although the user is at home here.
        t.grab(user, 1, packet, want=Status.MOVED)
        t.pack(user, 1, packet, want=Status.MOVED)
        t.grab(packet, 1, user, want=Status.UNKNOWN)
        t.pack(packet, 1, user, want=Status.PACKED)
    for mine, other in zip(ours, theirs):
        t.shake(mine, 7, 1, dst_port=hb.BASE_PORT + hb.shard(other), want=Status.WIN)
        t.shake(other, 7, 1, dst_port=hb.BASE_PORT + hb.shard(mine), want=Status.MOVED)
    case.run(t)


def drain(case, t, users, campaigns):
    """Let users shake campaigns dry, and ask that they end up exactly empty."""
    rng = random.Random(7)
    turns = [(user, campaign) for user in users for campaign in campaigns]
    rng.shuffle(turns)
    for user, campaign in turns:
        t.shake(user, campaign, 1)
    result = case.run(t)
    for ident in campaigns:
        campaign = t.config.campaign(ident)
        given = result.wins(ident)
        case.check(len(given) == campaign.envelopes(),
                   "campaign %d gave %d of %d envelopes, with odds 1 and users enough"
                   % (ident, len(given), campaign.envelopes()))
        money = sum(fen for _, fen in given.values())
        case.check(money == campaign.money(), "campaign %d gave %d of %d fen"
                   % (ident, money, campaign.money()))
    return result


@scenario("a lucky pool gives every envelope once and every fen")
def pool_lucky(case):
    """Also at its edges: one envelope, and exactly 1 fen for each."""
    config = Config([Campaign(7, count=120, total=60000), Campaign(8, count=1, total=1),
                     Campaign(9, count=100, total=100), Campaign(10, count=3, total=1000003),
                     Campaign(11, count=257, total=1000)])
    drain(case, Traffic(config), range(1, 401), (7, 8, 9, 10, 11))


@scenario("an equal pool gives equal envelopes")
def pool_equal(case):
    """Only totals that divide: what becomes of a rest is not in the contract."""
    config = Config([Campaign(7, count=120, total=60000, split="equal"),
                     Campaign(8, count=50, total=50, split="equal")])
    drain(case, Traffic(config), range(1, 301), (7, 8))


@scenario("a tiered pool gives exactly its amounts")
def pool_tiers(case):
    """The oracle compares the amounts with the tiers one by one."""
    config = Config([Campaign(7, tiers=((3, 500), (20, 88), (1, 100000), (100, 1))),
                     Campaign(8, tiers=((1, 1),))])
    drain(case, Traffic(config), range(1, 301), (7, 8))


@scenario("nobody gets more than wins_per_user, and everybody up to that")
def pool_quota(case):
    """Three wins each for as long as there are envelopes."""
    config = Config([Campaign(7, count=300, total=9000, quota=3),
                     Campaign(8, count=10000, total=100000, quota=3)])
    t = Traffic(config)
    result = None
    rng = random.Random(3)
    users = list(range(1, 151))
    for seq in range(1, 6):
        rng.shuffle(users)
        for user in users:
            t.shake(user, 7, seq)
            t.shake(user, 8, seq, want=Status.WIN if seq <= 3 else Status.QUOTA)
    result = case.run(t)
    case.check(len(result.wins(7)) == 300, "%d of 300 envelopes" % len(result.wins(7)))
    each = Counter(user for user, _ in result.wins(8).values())
    case.check(all(each[user] == 3 for user in users), "wins of a user are not always 3")


@scenario("retries get their answers again: at once, later, from elsewhere, after the end")
def retries(case):
    """The oracle holds each retry against the answer that it repeats."""
    config = Config([Campaign(7, count=400, total=40000, odds=0.4, quota=2),
                     Campaign(8, count=100, total=9000),
                     Campaign(9, count=200, total=9000, password="我", quota=2)], ipv6=True)
    t = Traffic(config)
    rng = random.Random(4)
    users = list(range(1, 301))
    last = {}

    def ask(user, campaign, seq):
        if campaign == 9:
            request = t.answer(user, 9, seq, "我" if rng.random() < 0.5 else "你")
        else:
            request = t.shake(user, campaign, seq)
        last[user, campaign] = request
        return request

    def retry(user, campaign):
        request = last[user, campaign]
        if rng.random() < 0.5:
            t.again(request)
        else:
            # The same payload from another port, address family, VLAN or to another shard.
            t.send(request.payload, user=user, key=request.key, v6=rng.random() < 0.3,
                   vlans=rng.choice([(), ((0x8100, 5),)]),
                   dst_port=rng.choice([None, hb.BASE_PORT + rng.randrange(4096)]))

    for seq in range(1, 6):
        rng.shuffle(users)
        for user in users:
            for campaign in (7, 8, 9):
                ask(user, campaign, seq)
                for _ in range(rng.choice((0, 0, 1, 2))):
                    retry(user, campaign)
                if rng.random() < 0.3:
                    other = rng.choice(users)
                    if (other, campaign) in last:
                        retry(other, campaign)
                if campaign == 7 and seq > 1 and rng.random() < 0.2:
                    t.shake(user, 7, seq - 1, want=Status.STALE)
        t.at(t.now + SECOND)
    packet = 0xFEEDFACE12345678
    for user in users[:50]:
        request = t.grab(user, 3, packet, want=Status.UNKNOWN)
        t.again(request, want=Status.UNKNOWN)
        t.grab(user, 1, packet, want=Status.UNKNOWN)
    t.at(OPENS + HOUR + SECOND)
    rng.shuffle(users)
    for _ in range(2):
        for user in users:
            for campaign in (7, 8, 9):
                retry(user, campaign)
    for user in users[:100]:
        t.shake(user, 7, 4, want={Status.STALE, Status.CLOSED})
        t.shake(user, 7, 6)
        retry(user, 7)
    case.run(t)


def good_config(**rest):
    """A configuration in which any good request of any user is answered."""
    return Config([Campaign(7, count=100000, total=10000000, quota=10),
                   Campaign(11, count=100000, total=10000000, quota=10, password="我")], **rest)


class Mixed(Traffic):
    """Traffic with good requests between the bad ones, all of which must be answered."""

    def __init__(self, config, **rest):
        super().__init__(config, **rest)
        self.turn = 0
        self.seqs = Counter()
        self.fresh = 1000000

    def user(self):
        """A user that no request has come from."""
        self.fresh += 1
        return self.fresh

    def good(self, **rest):
        """One good request: each op in its turn."""
        self.turn += 1
        user = 5000 + self.turn % 211
        served = {Status.WIN, Status.QUOTA}  # the oracle knows which
        self.seqs[user] += 1
        seq = self.seqs[user]
        kind = self.turn % 4
        if kind == 0:
            return self.answer(user, 11, seq, "我", want=served, **rest)
        if kind == 1:
            return self.grab(user, seq, 1 + self.turn, want=Status.UNKNOWN, **rest)
        if kind == 2 and self.turn % 8 == 2:
            return self.pack(user, seq, 1 + self.turn, want=Status.PACKED, **rest)
        return self.shake(user, 7, seq, want=served, **rest)

    def bad(self, payload, reasons, label, key=b"", user=None, **rest):
        """A request that must get no answer, and now and then a good one after it."""
        if isinstance(reasons, str):
            reasons = reasons.split()
        request = self.send(payload, user=self.user() if user is None else user, key=key,
                            expect="silence", reasons=reasons, label=label, **rest)
        self._between()
        return request

    def junk(self, data, reasons, label):
        """A frame that must get no answer."""
        if isinstance(reasons, str):
            reasons = reasons.split()
        self.raw(data, reasons, label)
        self._between()

    def either(self, payload, reasons, label, user, key, **rest):
        """A good request in wrapping on which the contract is silent: served or counted."""
        return self.send(payload, user=user, key=key, expect="either", reasons=reasons.split(),
                         label=label, **rest)

    def _between(self):
        if len(self.requests) % 8 == 0:
            self.good()


def good_payload(op, key, user, seq=1, campaign=7, packet=99, issuer=ISSUER_KEY, epoch=0):
    """A good payload of any op."""
    if op == Op.SHAKE:
        return hb.shake(key, user, campaign, seq, epoch)
    if op == Op.ANSWER:
        return hb.answer(key, user, 11, seq, hb.digest(11, "我"), epoch)
    if op == Op.GRAB:
        return hb.grab(key, user, seq, packet, epoch)
    return hb.pack(issuer, user, seq, packet, 10000, 10, 2, 24, epoch)


def signer(t, op, user):
    """The key that the tag of an op by a user is made with."""
    return ISSUER_KEY if op == Op.PACK else t.key(user)


@scenario("malformed payloads get no reply: lengths, versions, ops, zero fields")
def malformed_payload(case):
    """Every fault is alone and the tag is right, so that the one reason is the only one."""
    t = Mixed(good_config())
    for op in Op:
        for length in range(61):
            if length == hb.OP_BYTES[op]:
                continue
            user = t.user()
            key = signer(t, op, user)
            whole = good_payload(op, key, user)[:-8] + bytes(64)
            body = whole[:max(length - 8, 0)]
            payload = hb.sign(key, body) if length >= 16 else whole[:length]
            # Without a first byte, or with an op that cannot be told, it is a length all the
            # same.
            t.bad(payload, "length truncated" if length == 0 else "length",
                  "%s of %d bytes" % (op.name, length), key, user)
    for first in range(256):
        version, op = first >> 4, first & 15
        if version == hb.VERSION and 1 <= op <= 4:
            continue
        base = Op(op) if 1 <= op <= 4 else Op.SHAKE
        user = t.user()
        key = signer(t, base, user)
        payload = hb.sign(key, bytes([first]) + good_payload(base, key, user)[1:-8])
        if version == hb.VERSION:
            reasons = "op length"  # an unknown op has no length that could be right
        elif 1 <= op <= 4:
            reasons = "version"
        else:
            reasons = "version op length"
        t.bad(payload, reasons, "version %d op %d" % (version, op), key, user)
    for op in (0, 5, 9, 15):
        for length in (32, 40):
            user = t.user()
            key = t.key(user)
            body = bytes([16 | op]) + good_payload(Op.SHAKE, key, user)[1:16]
            t.bad(hb.sign(key, body + bytes(length - 24)), "op length",
                  "op %d of %d bytes" % (op, length), key, user)
    for op in Op:
        for _ in range(3):
            user = t.user()
            key = signer(t, op, user)
            t.bad(good_payload(op, key, user, seq=0), "seq", op.name + " with seq 0", key, user)
            zero_key = signer(t, op, 0)
            t.bad(good_payload(op, zero_key, 0), "user", op.name + " of user 0", zero_key, 0)
    for op in (Op.GRAB, Op.PACK):
        for campaign in (1, 7, 11, 256, 65535):
            user = t.user()
            key = signer(t, op, user)
            body = bytearray(good_payload(op, key, user)[:-8])
            struct.pack_into("!H", body, 2, campaign)
            t.bad(hb.sign(key, bytes(body)), "campaign",
                  "%s with campaign %d" % (op.name, campaign), key, user)
        user = t.user()
        key = signer(t, op, user)
        t.bad(good_payload(op, key, user, packet=0), "packet", op.name + " of packet 0", key,
              user)
    case.run(t)


@scenario("malformed IPv4 and UDP headers get no reply")
def malformed_ipv4(case):
    """Every fault is alone; checksums are made right over it, unless they are the fault."""
    t = Mixed(good_config())

    def each(reasons, label, ops=(Op.SHAKE, Op.PACK), **rest):
        for op in ops:
            user = t.user()
            key = signer(t, op, user)
            t.bad(good_payload(op, key, user), reasons, "%s, %s" % (op.name, label), key, user,
                  shard_key=99 if op in (Op.GRAB, Op.PACK) else user, **rest)

    size = {Op.SHAKE: 52, Op.PACK: 68}
    for op, right in size.items():
        for total in list(range(0, right)) + [right + 1, right + 2, right + 100, 1500, 65535]:
            each(BAD_IP_LENGTH, "IP length %d" % total, (op,), ip={"total": total})
    # Padding makes room in the frame, but the IP length still does not fit the UDP length.
    for more in (1, 2, 4, 8):
        each(BAD_UDP_LENGTH, "%d bytes in the packet after the datagram" % more, (Op.SHAKE,),
             ip={"total": 52 + more}, pad=bytes(more))
    for ihl in range(16):
        if ihl != 5:
            # Too great an IHL takes some of the datagram for options: the checksum is off.
            each("ip_checksum ip_header ip_length truncated udp_length"
                 if ihl > 5 else "ip_header ip_length truncated", "IHL %d" % ihl,
                 ip={"ihl": ihl})
    for version in range(16):
        if version != 4:
            each("ip_header not_ip", "IP version %d" % version, (Op.SHAKE,),
                 ip={"version": version})
    for bit in range(16):
        each("ip_checksum", "IPv4 checksum bit %d" % bit, ip={"check_xor": 1 << bit})
    for label, word in (("MF", 0x2000), ("offset 1", 1), ("offset 185", 185),
                        ("offset 8191", 8191), ("MF and offset", 0x2001), ("DF and MF", 0x6000),
                        ("DF and offset", 0x4002)):
        each("fragment", "fragment with " + label, ip={"fragment": word})
    for op in (Op.SHAKE, Op.PACK):
        right = 8 + hb.OP_BYTES[op]
        for length in list(range(0, right)) + [right + 1, right + 8, 1000, 65535]:
            each(BAD_UDP_LENGTH, "UDP length %d" % length, (op,), udp={"length": length})
            # The same without a checksum, which could not catch it.
            each(BAD_UDP_LENGTH, "UDP length %d without a checksum" % length, (op,),
                 udp={"length": length, "check": 0})
        # Payload enough behind it for a whole other request.
        each(BAD_UDP_LENGTH, "UDP length 8 too great, padded", (op,),
             udp={"length": right + 8}, pad=bytes(32))
    for bit in range(16):
        user = t.user()
        key = t.key(user)
        payload = hb.shake(key, user, 7, 1)
        path = t.path(user, hb.BASE_PORT + hb.shard(user))
        right = struct.unpack_from("!H", hb.udp_datagram(path, payload), 6)[0]
        if right ^ 1 << bit:  # 0 would be no checksum at all
            t.bad(payload, "udp_checksum", "UDP checksum bit %d" % bit, key, user, path=path,
                  udp={"check": right ^ 1 << bit})
    user = t.user()
    key = t.key(user)
    payload = hb.shake(key, user, 7, 1)
    for position in range(len(payload)):
        # One byte of the payload changed on the way: the checksum is what tells.
        path = t.path(user, hb.BASE_PORT + hb.shard(user))
        check = struct.unpack_from("!H", hb.udp_datagram(path, payload), 6)[0]
        broken = bytearray(payload)
        broken[position] ^= 0x55
        t.bad(bytes(broken), "udp_checksum", "payload byte %d damaged" % position, key, user,
              path=path, udp={"check": check})

    for text in ("10.0.0.2", "10.0.1.1", "11.0.0.1", "255.255.255.255", "10.0.0.255",
                 "224.0.0.1", "0.0.0.0", "127.0.0.1"):
        user = t.user()
        path = replace(t.path(user, hb.BASE_PORT + hb.shard(user)), dst_ip=hb.address(text))
        key = t.key(user)
        t.bad(hb.shake(key, user, 7, 1), "not_ours", "sent to " + text, key, user, path=path)
    for port in (0, 1, 53, 8191, 12288, 12289, 16384, 65535, 8192 + 32768):
        each("port", "to port %d" % port, dst_port=port)
    user = t.user()
    key = t.key(user)
    t.bad(hb.shake(key, user, 7, 1), "not_ours not_ip", "IPv6 although there is none", key, user,
          v6=True)

    # Requests whose wrapping is unusual but right.
    for _ in range(8):
        t.good(udp={"check": 0})
    for pad in (1, 2, 3, 4, 8, 18, 46, 400):
        for _ in range(4):
            t.good(pad=bytes(pad))
            t.good(pad=b"\xff" * pad)
    t.good(ip={"fragment": 0x4000})
    t.good(ip={"ttl": 1})
    t.good(ip={"tos": 0xB9, "ident": 0xFFFF, "ttl": 255})
    for port in (hb.BASE_PORT, hb.BASE_PORT + 4095):
        for _ in range(4):
            t.good(dst_port=port)

    # The contract does not say whether such sources are answered; a server may well refuse to
    # send there. It does not call the reserved bit a fragment either.
    for text in ("0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.0.1"):
        user = t.user()
        key = t.key(user)
        path = replace(t.path(user, hb.BASE_PORT + hb.shard(user)), src_ip=hb.address(text))
        t.either(hb.shake(key, user, 7, 1), "source", "from " + text, user, key, path=path)
    user = t.user()
    key = t.key(user)
    t.either(hb.shake(key, user, 7, 1), "source port", "from port 0", user, key, src_port=0)
    user = t.user()
    key = t.key(user)
    t.either(hb.shake(key, user, 7, 1), "fragment ip_header", "the reserved bit", user, key,
             ip={"fragment": 0x8000})
    t.good()
    case.run(t)


@scenario("malformed IPv6 gets no reply")
def malformed_ipv6(case):
    """What IPv6 has of its own: the payload length, fragments, and no UDP without checksum."""
    t = Mixed(good_config(ipv6=True))

    def each(reasons, label, ops=(Op.SHAKE, Op.PACK), **rest):
        for op in ops:
            user = t.user()
            key = signer(t, op, user)
            t.bad(good_payload(op, key, user), reasons, "%s, %s" % (op.name, label), key, user,
                  shard_key=99 if op in (Op.GRAB, Op.PACK) else user, v6=True, **rest)

    for op in (Op.SHAKE, Op.PACK):
        right = 8 + hb.OP_BYTES[op]
        for length in list(range(0, right)) + [right + 1, right + 8, 1400, 65535]:
            each(BAD_IP_LENGTH, "IPv6 length %d" % length, (op,), ip={"length": length})
        for length in list(range(0, right)) + [right + 1, right + 8, 65535]:
            each(BAD_UDP_LENGTH, "UDP length %d" % length, (op,), udp={"length": length})
    for more in (1, 2, 8):
        each(BAD_UDP_LENGTH, "%d bytes in the packet after the datagram" % more, (Op.SHAKE,),
             ip={"length": 32 + more}, pad=bytes(more))
    for version in range(16):
        if version != 6:
            each("ip_header not_ip", "IP version %d" % version, (Op.SHAKE,),
                 ip={"version": version})
    for op in Op:
        each("udp_checksum", "no UDP checksum", (op,), udp={"check": 0})
    for bit in range(16):
        user = t.user()
        key = t.key(user)
        payload = hb.shake(key, user, 7, 1)
        path = t.path(user, hb.BASE_PORT + hb.shard(user), v6=True)
        right = struct.unpack_from("!H", hb.udp_datagram(path, payload), 6)[0]
        t.bad(payload, "udp_checksum", "UDP checksum bit %d" % bit, key, user, path=path,
              udp={"check": right ^ 1 << bit})
    options = b"\0\1\4\0\0\0\0"
    for label, word in (("M", 1), ("offset 1", 8), ("offset 100", 800), ("M, offset", 9)):
        part = (44, b"\0" + struct.pack("!HI", word, 77))
        for before in ((), ((0, options),), ((60, options),), ((0, options), (60, options))):
            each("fragment", "fragment with " + label, ip={"extensions": before + (part,)})
            each("fragment", "fragment with " + label + ", then options",
                 ip={"extensions": before + (part, (60, options))})
    # Extension headers that run out of the packet, or lead to something that is not UDP.
    each(CUT | {"ip_header"}, "options that are longer than the packet",
         ip={"extensions": ((0, b"\xff\1\4\0\0\0\0"),)})
    each(CUT | {"ip_header"}, "destination options longer than the packet",
         ip={"extensions": ((60, b"\x08\1\4\0\0\0\0"),)})
    for protocol in (1, 6, 58, 59, 132, 136, 255):
        each("not_udp", "protocol %d" % protocol, (Op.SHAKE,), ip={"protocol": protocol})
        each("not_udp", "options, protocol %d" % protocol, (Op.SHAKE,),
             ip={"protocol": protocol, "extensions": ((0, options),)})
    for text in ("fd00::2", "fd00::1:1", "fe80::1", "ff02::1", "::", "::ffff:10.0.0.1"):
        user = t.user()
        path = replace(t.path(user, hb.BASE_PORT + hb.shard(user), v6=True),
                       dst_ip=hb.address(text))
        key = t.key(user)
        t.bad(hb.shake(key, user, 7, 1), "not_ours", "sent to " + text, key, user, path=path)
    for port in (0, 8191, 12288, 65535):
        each("port", "to port %d" % port, dst_port=port)
    for pad in (1, 4, 18):
        for _ in range(4):
            t.good(v6=True, pad=b"\xff" * pad)
    for _ in range(8):
        t.good(v6=True)
    # "Any IP fragment": whether a whole packet with a fragment header in it is a fragment can be
    # read either way. A routing header with no hops left is harmless, but not promised.
    user = t.user()
    key = t.key(user)
    t.either(hb.shake(key, user, 7, 1), "fragment", "an atomic fragment", user, key, v6=True,
             ip={"extensions": ((44, struct.pack("!BHI", 0, 0, 9)),)})
    user = t.user()
    key = t.key(user)
    t.either(hb.shake(key, user, 7, 1), "not_udp ip_header", "a routing header", user, key,
             v6=True, ip={"extensions": ((43, bytes(7)),)})
    for text in ("::", "ff02::1", "::1", "fd00::1"):
        user = t.user()
        key = t.key(user)
        path = replace(t.path(user, hb.BASE_PORT + hb.shard(user), v6=True),
                       src_ip=hb.address(text))
        t.either(hb.shake(key, user, 7, 1), "source", "from " + text, user, key, path=path)
    t.good()
    case.run(t)


@scenario("other protocols, cut frames and garbage get no reply")
def garbage(case):
    """Cut frames are cut in the capture's lengths too: they are short frames, as from a wire."""
    t = Mixed(good_config(ipv6=True))
    rng = random.Random(6)
    user = t.user()
    path4 = t.path(user, hb.BASE_PORT + hb.shard(user))
    path6 = t.path(user, hb.BASE_PORT + hb.shard(user), v6=True)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + path4.src_mac + path4.src_ip + bytes(6)
    for vlans in ((), ((0x8100, 5),)):
        path = replace(path4, vlans=vlans)
        t.junk(hb.ether_header(path, 0x0806) + arp + SERVER_V4 + bytes(18), "not_ip", "ARP")
        for ethertype in (0x88CC, 0x8847, 0x8808, 0x0000, 0x002E, 0x05DC, 0xFFFF):
            t.junk(hb.ether_header(path, ethertype) + bytes(46), "not_ip truncated",
                   "EtherType %04x" % ethertype)
        key = t.key(user)
        datagram = hb.udp_datagram(path, hb.shake(key, user, 7, 1))
        for protocol in (0, 1, 2, 6, 41, 47, 50, 58, 132, 136, 255):
            t.junk(hb.ether_header(path, 0x0800)
                   + hb.ipv4_packet(path, datagram, protocol=protocol), "not_udp",
                   "protocol %d" % protocol)
        # The IP header says one family, the EtherType the other.
        t.junk(hb.ether_header(path, 0x86DD) + hb.ipv4_packet(path, datagram),
               "ip_header not_ip ip_length truncated", "IPv4 as IPv6")
        t.junk(hb.ether_header(path, 0x0800) + hb.ipv6_packet(path6, datagram),
               "ip_header not_ip", "IPv6 as IPv4")
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(32)
    echo = echo[:2] + struct.pack("!H", hb.checksum(echo)) + echo[4:]
    t.junk(hb.ether_header(path4, 0x0800) + hb.ipv4_packet(path4, echo, protocol=1), "not_udp",
           "ICMP echo")
    syn = struct.pack("!HHIIBBHHH", path4.src_port, path4.dst_port, 1, 0, 0x50, 2, 1024, 0, 0)
    t.junk(hb.ether_header(path4, 0x0800) + hb.ipv4_packet(path4, syn, protocol=6), "not_udp",
           "TCP SYN")
    t.junk(hb.ether_header(path6, 0x86DD) + hb.ipv6_packet(path6, echo, protocol=58), "not_udp",
           "ICMPv6")

    # No record of 0 bytes: no wire brings such a frame.
    for op in (Op.SHAKE, Op.PACK):
        for path in (path4, path6, replace(path4, vlans=((0x8100, 5),)),
                     replace(path6, vlans=((0x88A8, 6), (0x8100, 7))),):
            whole = hb.frame(path, good_payload(op, signer(t, op, user), user))
            for length in range(1, len(whole)):
                t.junk(whole[:length], CUT, "%s cut to %d bytes" % (op.name, length))
    options = {"options": b"\x01" * 36}
    whole = hb.frame(path4, hb.shake(t.key(user), user, 7, 1), ip=options)
    for length in range(14, len(whole)):
        t.junk(whole[:length], CUT, "with options, cut to %d bytes" % length)
    extensions = {"extensions": ((0, b"\0\1\4\0\0\0\0"), (60, b"\0\1\4\0\0\0\0"))}
    whole = hb.frame(path6, hb.shake(t.key(user), user, 7, 1), ip=extensions)
    for length in range(14, len(whole)):
        t.junk(whole[:length], CUT, "with extension headers, cut to %d bytes" % length)
    # IP options whose lengths are wrong, in a header that is otherwise right, are not on the
    # contract's list; a server has no need to look into them.

    for length in list(range(1, 140)) + [500, 1000, 1514]:
        t.junk(rng.randbytes(length), DROP_REASONS, "garbage of %d bytes" % length)
    for ethertype in (0x0800, 0x86DD, 0x8100, 0x88A8):
        for _ in range(100):
            t.junk(hb.ether_header(path4, ethertype) + rng.randbytes(rng.randrange(1, 100)),
                   DROP_REASONS, "garbage after EtherType %04x" % ethertype)
    for _ in range(300):
        path = replace(rng.choice((path4, path6)),
                       dst_port=hb.BASE_PORT + rng.randrange(4096))
        t.junk(hb.frame(path, rng.randbytes(rng.choice((24, 32, 40, rng.randrange(1400))))),
               DROP_REASONS, "garbage in a datagram")
    for _ in range(1500):
        # Good frames with some bytes of their headers, or of everything, overwritten; only
        # where no byte changed could there be an answer.
        path = rng.choice((path4, path6))
        whole = bytearray(hb.frame(path, hb.shake(t.key(user), user, 7, 1)))
        first = 34 if path is path4 else 54
        places = rng.sample(range(first + 4, len(whole)), rng.choice((1, 1, 2, 5)))
        before = bytes(whole)
        for place in places:
            whole[place] ^= rng.randrange(1, 256)
        if bytes(whole[first + 6:first + 8]) == b"\0\0" and path is path4:
            continue  # no checksum: the tag decides, and the payload may be untouched
        if (int.from_bytes(whole[first:], "big") - int.from_bytes(before[first:], "big")) \
                % 0xFFFF == 0:
            continue  # the change cancels out in the checksum
        t.junk(bytes(whole), DROP_REASONS, "a damaged datagram")
    for _ in range(20):
        t.good()
    case.run(t)


def payload_faults(payload, epochs):
    """Every reason for which a payload could be dropped whose tag is wrong."""
    faults = {"tag"}
    version, op = payload[0] >> 4, payload[0] & 15
    if version != hb.VERSION:
        faults.add("version")
    if op not in hb.OP_BYTES:
        faults.add("op")
    if hb.OP_BYTES.get(op) != len(payload):
        faults.add("length")
    if len(payload) >= 24:
        campaign, seq, user = struct.unpack_from("!HIQ", payload, 2)
        if payload[1] not in epochs:
            faults.add("epoch")
        if op in (Op.GRAB, Op.PACK):
            if campaign:
                faults.add("campaign")
            if payload[16:24] == bytes(8):
                faults.add("packet")
        if seq == 0:
            faults.add("seq")
        if user == 0:
            faults.add("user")
    return faults


@scenario("forged requests get no reply: every bit of the payload, every kind of key")
def forged(case):
    """UDP checksums are right throughout, so that only the tag stands in the way."""
    t = Mixed(good_config(ipv6=True))
    epochs = t.config.epochs
    for op in Op:
        user = t.user()
        key = signer(t, op, user)
        payload = good_payload(op, key, user, seq=6)
        for bit in range(8 * len(payload)):
            flipped = bytearray(payload)
            flipped[bit >> 3] ^= 0x80 >> (bit & 7)
            flipped = bytes(flipped)
            t.bad(flipped, payload_faults(flipped, epochs), "%s with bit %d flipped"
                  % (op.name, bit), key, user, v6=bit % 5 == 0,
                  udp={"check": 0} if bit % 5 == 1 else None)
        # The request itself is good, and was never used up by the forgeries.
        t.send(payload, user=user, key=key)
        # Two bits, also in the tag only.
        rng = random.Random(op)
        for _ in range(200):
            flipped = bytearray(payload)
            for bit in rng.sample(range(8 * (len(payload) - 8 if rng.random() < 0.5 else 0),
                                        8 * len(payload)), 2):
                flipped[bit >> 3] ^= 0x80 >> (bit & 7)
            t.bad(bytes(flipped), payload_faults(flipped, epochs), op.name + ", two bits", key,
                  user)
        for epoch in (1, 2, 127, 128, 255):
            other = t.user()
            other_key = signer(t, op, other)
            wrong = good_payload(op, other_key, other, epoch=epoch)
            label = "%s of epoch %d" % (op.name, epoch)
            if op == Op.PACK:
                # The issuer key belongs to no epoch, so its tag verifies all the same; whether
                # the epoch counts there is not said.
                t.either(wrong, "tag epoch", label, other, other_key, shard_key=99)
            else:
                t.bad(wrong, "tag epoch", label, other_key, other)
        for wrong, label in ((t.key(user + 1000000), "another user's key"),
                             (EPOCH_KEY, "the epoch key itself"),
                             (hb.user_key(bytes(16), user), "another epoch's key"),
                             (bytes(16), "a key of zeros"),
                             (t.key(user) if op == Op.PACK else ISSUER_KEY,
                              "the key of the other side")):
            t.bad(good_payload(op, wrong, user, issuer=wrong), "tag",
                  "%s under %s" % (op.name, label), wrong, user)
        others = [good_payload(op, key, user, seq=seq) for seq in range(10, 30)]
        for one, two in zip(others, others[1:]):
            t.bad(one[:-8] + two[-8:], "tag", op.name + " with the tag of another", key, user)
        t.bad(payload[:-8] + bytes(8), "tag", op.name + " with a tag of zeros", key, user)
        t.bad(payload[:-8] + payload[:-9:-1], "tag", op.name + " with the tag turned round",
              key, user)
    # A SHAKE's tag on another user's request for the same campaign and seq.
    one, two = t.user(), t.user()
    t.bad(hb.shake(t.key(one), two, 7, 1), "tag", "user two under the key of one",
          t.key(one), two)
    t.good()
    case.run(t)


@scenario("two epochs hold at a time, and a user is the same user in both")
def epochs(case):
    """A retry under the other epoch's key is sealed under that key; the money is the same."""
    config = good_config(epochs={3: bytes(range(32, 48)), 200: bytes(range(48, 64))})
    config.campaigns.append(Campaign(8, count=1000, total=100000, quota=1))
    t = Mixed(config)
    for user in range(1, 201):
        first, second = (3, 200) if user % 2 else (200, 3)
        t.shake(user, 8, 1, epoch=first, want=Status.WIN)
        t.shake(user, 8, 1, epoch=second, want=Status.WIN)
        t.shake(user, 8, 2, epoch=second, want=Status.QUOTA)
        t.shake(user, 8, 1, epoch=first, want=Status.STALE)
        t.answer(user, 11, 1, "我", epoch=second, want=Status.WIN)
        t.grab(user, 1, 500 + user, epoch=first, want=Status.UNKNOWN)
    for user in range(301, 331):
        for op in (Op.SHAKE, Op.ANSWER, Op.GRAB):
            for epoch, key_epoch in ((3, 200), (200, 3)):
                key = t.key(user, key_epoch)
                t.bad(good_payload(op, key, user, epoch=epoch), "tag",
                      "%s of epoch %d under the key of %d" % (op.name, epoch, key_epoch), key,
                      user)
            for epoch in (0, 1, 2, 4, 199, 201, 255):
                key = t.key(user, 3)
                t.bad(good_payload(op, key, user, epoch=epoch), "tag epoch",
                      "%s of epoch %d" % (op.name, epoch), key, user)
    # PACK is signed by the issuer; its epoch still has to be one that is held.
    t.pack(1, 1, 77, want=Status.PACKED)
    case.run(t)


@scenario("IPv6, VLAN, QinQ, IPv4 options and IPv6 extension headers are all served")
def wrappings(case):
    """The capture is in microseconds and big-endian here, to have tried that as well."""
    t = Mixed(good_config(ipv6=True))
    tags = ((), ((0x8100, 5),), ((0x8100, 0),), ((0x8100, 0xEFFF),), ((0x8100, 0xB123),),
            ((0x88A8, 100), (0x8100, 200)), ((0x8100, 100), (0x8100, 4094)),
            ((0x88A8, 0xF064), (0x8100, 0x2001)))
    options = (b"", b"\x01" * 4, b"\x94\x04\0\0", b"\x01" * 40, b"\x44\x0c\x05\0" + bytes(8),
               b"\x00" * 8, b"\x94\x04\0\0" * 5)
    short = b"\0\1\4\0\0\0\0"
    longer = b"\1\1\x0c" + bytes(12)
    chains = ((), ((0, short),), ((60, short),), ((0, longer),), ((60, longer),),
              ((0, short), (60, short)), ((0, longer), (60, longer)),
              ((0, b"\0\5\2\0\0\1\0"),))
    for vlans in tags:
        for block in options:
            for _ in range(4):
                t.good(vlans=vlans, ip={"options": block})
                t.good(vlans=vlans, ip={"options": block}, pad=bytes(7))
                t.good(vlans=vlans, ip={"options": block}, udp={"check": 0})
        for chain in chains:
            for _ in range(4):
                t.good(v6=True, vlans=vlans, ip={"extensions": chain})
                t.good(v6=True, vlans=vlans, ip={"extensions": chain, "flow": 0xABCDE,
                                                 "traffic_class": 0x2E, "hops": 1})
    # Bad inner checksums are found behind tags and options too.
    for vlans in tags:
        user = t.user()
        key = t.key(user)
        t.bad(hb.shake(key, user, 7, 1), "ip_checksum", "bad IPv4 checksum behind tags", key,
              user, vlans=vlans, ip={"check_xor": 0x10})
        t.bad(hb.shake(key, user, 7, 1), "ip_checksum", "bad IPv4 checksum over options", key,
              user, vlans=vlans, ip={"check_xor": 0x10, "options": b"\x01" * 12})
        t.bad(hb.shake(key, user, 7, 1), "udp_checksum", "no checksum behind tags", key, user,
              vlans=vlans, v6=True, udp={"check": 0})
    # Three tags and an unknown tag type are more than anybody was promised.
    user = t.user()
    t.either(hb.shake(t.key(user), user, 7, 1), "not_ip", "three tags", user, t.key(user),
             vlans=((0x88A8, 1), (0x8100, 2), (0x8100, 3)))
    user = t.user()
    t.either(hb.shake(t.key(user), user, 7, 1), "not_ip", "tag type 9100", user, t.key(user),
             vlans=((0x9100, 1), (0x8100, 2)))

    # Checksums that come out as 0 go over the wire as ffff: first the request's, then that of
    # an UNKNOWN, the bytes of which are known beforehand.
    for v6 in (False, True):
        for number in range(20):
            user = t.user()
            key = t.key(user)
            payload = hb.shake(key, user, 999, 1)
            way = t.path(user, hb.BASE_PORT + hb.shard(user), v6=v6, src_port=0)
            port = _port_for_zero(way, payload, False)
            if port:
                request = t.send(payload, user=user, key=key, path=replace(way, src_port=port),
                                 want=Status.UNKNOWN)
                at = len(request.frame) - 24 - 2
                case.check(request.frame[at:at + 2] == b"\xff\xff", "a checksum that is not 0")
            reply = hb.reply_payload(Op.SHAKE, Status.UNKNOWN, 999, 2, key)
            port = _port_for_zero(way, reply, True)
            if port:
                t.send(hb.shake(key, user, 999, 2), user=user, key=key,
                       path=replace(way, src_port=port), want=Status.UNKNOWN,
                       label="UNKNOWN with checksum 0, %d" % number)
    case.run(t, nano=False, order=">")


def _port_for_zero(path, payload, reply):
    """The client's port that brings the UDP checksum of a payload to 0, or 0 for none."""
    if reply:
        path = hb.Path(path.dst_mac, path.src_mac, path.dst_ip, path.src_ip, path.dst_port, 0)
    else:
        path = replace(path, src_port=0)
    datagram = hb.udp_datagram(path, payload)
    return struct.unpack_from("!H", datagram, 6)[0] % 0xFFFF


@scenario("a request on another port of the range is served all the same, from that port")
def wrong_ports(case):
    """State is the user's wherever the request comes in; hb.check_reply holds the port."""
    t = Mixed(good_config(ipv6=True))
    t.config.campaigns.append(Campaign(8, count=1000, total=100000))
    for _ in range(4):
        for port in (hb.BASE_PORT, hb.BASE_PORT + 1, hb.BASE_PORT + 127, hb.BASE_PORT + 128,
                     hb.BASE_PORT + 2048, hb.BASE_PORT + 4094, hb.BASE_PORT + 4095):
            for _ in range(8):
                t.good(dst_port=port)
    rng = random.Random(8)
    for user in range(1, 101):
        right = hb.BASE_PORT + hb.shard(user)
        t.shake(user, 8, 1, dst_port=hb.BASE_PORT + rng.randrange(4096), want=Status.WIN)
        t.shake(user, 8, 1, want=Status.WIN)
        t.shake(user, 8, 2, dst_port=hb.BASE_PORT + rng.randrange(4096), want=Status.QUOTA)
        t.shake(user, 8, 1, dst_port=(right ^ 1), v6=True, want=Status.STALE)
        t.answer(user, 11, 1, "我", dst_port=(right ^ 128), want=Status.WIN)
        t.grab(user, 1, 7000 + user, dst_port=right, want=Status.UNKNOWN)
        t.pack(user, 1, 7000 + user, dst_port=right, want=Status.PACKED)
    case.run(t, nano=True, order=">")


@scenario("each status of GRAB and PACK comes when it should; shares are fair and told again")
def packets(case):
    """Terms, shares, time, and what is told again."""
    config = Config([Campaign(7)], deny=(777,))
    t = Traffic(config)
    # PACK: once, whatever the seq; other terms or another sender are a conflict.
    t.grab(1, 1, 50, want=Status.UNKNOWN)
    for seq in (1, 1, 9):
        t.pack(1000, seq, 50, total=1003, shares=10, split=1, want=Status.PACKED)
    for other in ({"total": 1004}, {"shares": 9}, {"split": 2}, {"hours": 23}):
        t.pack(1000, 1, 50, **{"total": 1003, "shares": 10, "split": 1, **other},
               want=Status.CONFLICT)
    t.pack(1001, 1, 50, total=1003, shares=10, split=1, want=Status.CONFLICT)
    for senseless in ({"shares": 0}, {"total": 9}, {"total": 0}, {"split": 0}, {"split": 3}):
        t.pack(1000, 1, 51, **senseless, want=Status.CONFLICT)
    t.grab(1, 1, 51, want=Status.UNKNOWN)
    t.pack(777, 1, 52, total=0xFFFFFFFF, shares=65535, want=Status.PACKED)
    # GRAB: the sender too, nobody twice, the barred never; the last one empties it.
    for user in [1000] + list(range(1, 10)):
        t.grab(777, 1, 50)
        t.grab(user, 1, 50, want=Status.WIN)
        t.grab(user, 1, 50, want=Status.WIN)
        t.grab(user, 7, 50, want=Status.WIN)
    for user in (20, 20, 21):
        t.grab(user, 1, 50, want=Status.EMPTY)
    t.grab(3, 99, 50, want=Status.WIN)
    t.pack(1000, 5, 50, total=1003, shares=10, split=1, want=Status.PACKED)
    # Lucky ones of all sizes, down to a fen a share.
    rng = random.Random(20)
    for packet in range(100, 220):
        shares = rng.choice((1, 2, 3, 10, 100))
        t.pack(5, 1, packet, total=shares * rng.choice((1, 2, 100, 10000)), shares=shares,
               want=Status.PACKED)
        for user in range(1, shares + 3):
            t.grab(user, 1, packet, want=Status.WIN if user <= shares else Status.EMPTY)
    for user in range(1, 500):
        t.grab(user, 1, 52, want=Status.WIN)
    # Time: none at all, an hour, and what is told again afterwards.
    t.pack(1000, 1, 60, hours=0, want=Status.PACKED)
    t.grab(1, 1, 60, want=Status.EXPIRED)
    t.pack(1000, 1, 60, hours=0, want=Status.PACKED)
    start = t.now
    t.pack(1000, 1, 61, hours=1, want=Status.PACKED)
    t.grab(1, 1, 61, want=Status.WIN)
    t.at(start + HOUR - SECOND)
    t.grab(2, 1, 61, want=Status.WIN)
    t.at(start + HOUR + SECOND)
    t.grab(3, 1, 61, want=Status.EXPIRED)
    t.at(start + 2 * HOUR)
    t.grab(3, 1, 61, want=Status.EXPIRED)
    t.grab(1, 2, 61, want=Status.WIN)
    t.pack(1000, 2, 61, hours=1, want=Status.PACKED)
    t.pack(1000, 2, 61, hours=2, want=Status.CONFLICT)
    t.grab(1, 1, 50, want=Status.WIN)
    t.grab(30, 1, 50, want=Status.EMPTY)
    result = case.run(t)
    lucky = [p for p in result.oracle.packets.values() if p.terms[3] == 2 and p.shares() == 10]
    first = [next(iter(p.taken.values())).value / p.terms[1] for p in lucky if p.taken]
    case.check(len(set(first)) > 5, "lucky shares are all alike")


@scenario("the same capture, seed and configuration give the same replies, in order")
def determinism(case):
    """The one scenario that asks for the order of the replies: one worker, packet clock."""
    config = Config([Campaign(7, count=500, total=50000, odds=0.3, quota=2, interval=20),
                     Campaign(8, count=200, total=20000, odds=0.9, release=50),
                     Campaign(11, count=100, total=10000, password="我", odds=0.5)], ipv6=True,
                    deny=(7,))
    t = Mixed(config, step=MS)
    rng = random.Random(10)
    seqs = Counter()
    for _ in range(4000):
        user = rng.randrange(1, 600)
        campaign = rng.choice((7, 7, 8, 11, 99))
        seqs[user, campaign] += rng.choice((0, 1, 1, 1))
        seq = max(1, seqs[user, campaign])
        way = {"v6": rng.random() < 0.2, "vlans": rng.choice(((), (), ((0x8100, 9),)))}
        if campaign == 11:
            # The text hangs on the seq, so that a retry is one.
            t.answer(user, 11, seq, "我" if (user + seq) % 3 else "你", **way)
        else:
            t.shake(user, campaign, seq, **way)
        if rng.random() < 0.1:
            t.raw(rng.randbytes(80), DROP_REASONS, "garbage")
    files = []
    results = []
    for _ in range(2):
        result = case.run(t)
        results.append(result)
        with open(os.path.join(result.directory, "replies.pcap"), "rb") as file:
            files.append(file.read())
        order = result.matched.order
        wrong = next((i for i in range(1, len(order)) if order[i - 1] > order[i]), None)
        if wrong is not None:
            case.complain("reply %d is to frame %d, the one before to frame %d"
                          % (wrong, order[wrong], order[wrong - 1]))
    if files[0] != files[1]:
        one, two = map(hb.parse_pcap, files)
        if [data for _, data in one] == [data for _, data in two]:
            case.complain("the frames are the same, but the capture files are not"
                          " (the times in them differ)")
        else:
            place = next((i for i, (a, b) in enumerate(zip(one, two)) if a[1] != b[1]),
                         min(len(one), len(two)))
            case.complain("two runs differ from reply %d on" % place)
    numbers = [{k: r.report.get(k) for k in ("requests", "replies", "dropped", "wins", "fen")}
               for r in results]
    case.check(numbers[0] == numbers[1], "two runs give two reports")


@scenario("release_per_second lets out that much and not more")
def release(case):
    """100 a second for 10 s under a demand of 400 a second, against a token bucket."""
    rate = 100
    config = Config([Campaign(7, count=2000, total=200000, release=rate)])
    t = Traffic(config, start=OPENS + SECOND, step=SECOND // 400)
    for user in range(1, 4001):
        t.shake(user, 7, 1)
    result = case.run(t)
    times = [request.time for request, reply in zip(t.requests, result.matched.replies)
             if reply is not None and reply.status == Status.WIN]
    # In no stretch of time may there be more than its tokens, and a full bucket of one second.
    lowest = float("inf")
    worst = 0
    for number, when in enumerate(times):
        level = number - rate * (when - t.requests[0].time) / SECOND
        lowest = min(lowest, level)
        worst = max(worst, level - lowest + 1)
    case.check(worst <= rate + 1, "%.0f wins more than %d a second allow" % (worst, rate))
    case.check(len(times) >= 900, "%d wins in 10 s at %d a second" % (len(times), rate))
    case.check(len(times) <= 1101, "%d wins in 10 s at %d a second" % (len(times), rate))


@scenario("a password campaign: 20,000 answers of 6,000 users for 999 envelopes")
def password(case):
    """All envelopes go, each once, and only to those who know the word."""
    config = Config([Campaign(11, count=999, total=88888, password="恭喜发财")])
    t = Traffic(config, step=150000)
    rng = random.Random(15)
    seqs = Counter()
    knew = set()
    guesses = ["恭喜", "发财", "恭喜發財", "新年快乐", "恭 喜发财", "gongxi facai", "我"]
    for _ in range(20000):
        user = rng.randrange(1, 6001)
        seqs[user] += 1
        right = rng.random() < 0.15
        if right:
            knew.add(user)
        t.answer(user, 11, seqs[user], "恭喜发财" if right else rng.choice(guesses))
    case.check(len(knew) > 999, "the test is wrong: only %d users know" % len(knew))
    result = case.run(t)
    given = result.wins(11)
    case.check(len(given) == 999, "%d of 999 envelopes given" % len(given))
    case.check(len({user for user, _ in given.values()}) == len(given), "a user has two")
    case.check({user for user, _ in given.values()} <= knew, "a user won who never knew")


@scenario("a full user table forgets no winner")
def full_table(case):
    """More users than rows: those who never won may be forgotten, nobody else."""
    config = Config([Campaign(7, count=3000, total=30000, odds=0.1)], users=1024)
    t = Traffic(config)
    rng = random.Random(11)
    users = list(range(1, 5001))
    for _ in range(2):
        rng.shuffle(users)
        for user in users:
            t.shake(user, 7, 1)
    case.run(t, forgetful=True)


# --------------------------------------------------------------------------------------------


def run_scenario(function, runner, directory):
    """One scenario's complaints; an exception is one of them."""
    os.makedirs(directory)
    case = Case(runner, directory)
    try:
        function(case)
    except NoReplies as error:
        case.complain(str(error))
    except Exception:  # pylint: disable=broad-except
        case.complaints += traceback.format_exc().splitlines()
    return case.complaints


def main(arguments):
    """Run all scenarios, or those named, and print TAP."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    for program in arguments[:2]:
        if not os.access(program, os.X_OK):
            print("%s is not a program" % program, file=sys.stderr)
            return 2
    runner = BinaryRunner(*arguments[:2])
    chosen = [s for s in SCENARIOS if not arguments[2:] or s[0] in arguments[2:]]
    if not chosen:
        print("no such scenario; there are " + " ".join(s[0] for s in SCENARIOS),
              file=sys.stderr)
        return 2
    print("1..%d" % len(chosen), flush=True)
    top = tempfile.mkdtemp(prefix="hongbao-contract-")
    failed = 0
    for number, (short, name, function) in enumerate(chosen, 1):
        directory = os.path.join(top, short)
        complaints = run_scenario(function, runner, directory)
        if complaints:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for line in complaints[:20]:
                print("# " + line)
            if len(complaints) > 20:
                print("# and %d more" % (len(complaints) - 20))
            print("# files: " + directory, flush=True)
        else:
            print("ok %d - %s" % (number, name), flush=True)
            shutil.rmtree(directory)
    if not failed:
        shutil.rmtree(top)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
