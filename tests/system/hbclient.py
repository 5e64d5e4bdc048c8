# SPDX-License-Identifier: BSD-3-Clause
"""An independent client of the hongbao wire protocol, version 1.

It is written from the contract alone and shares nothing with the server, so that a mistake in
the server's reading of the contract cannot hide in code used by both sides. It has the hashes,
the request builders, a builder of whole Ethernet frames, pcap files, and a parser of replies
that accepts only what the contract allows.
"""

import functools
import ipaddress
import struct
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

# --------------------------------------------------------------------------------------------
# Hashes
# --------------------------------------------------------------------------------------------

_MASK = 0xFFFFFFFFFFFFFFFF


def _rounds(v0, v1, v2, v3, count):
    """Run SipRounds; a function of its own because every hash needs it three times."""
    for _ in range(count):
        v0 = (v0 + v1) & _MASK
        v1 = ((v1 << 13) & _MASK | v1 >> 51) ^ v0
        v0 = (v0 << 32) & _MASK | v0 >> 32
        v2 = (v2 + v3) & _MASK
        v3 = ((v3 << 16) & _MASK | v3 >> 48) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = ((v3 << 21) & _MASK | v3 >> 43) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = ((v1 << 17) & _MASK | v1 >> 47) ^ v2
        v2 = (v2 << 32) & _MASK | v2 >> 32
    return v0, v1, v2, v3


def _absorb(key, data, tweak):
    """Take the key and the whole message in, up to where the two output sizes part."""
    k0, k1 = struct.unpack("<QQ", key)
    v0 = k0 ^ 0x736F6D6570736575
    v1 = k1 ^ 0x646F72616E646F6D ^ tweak
    v2 = k0 ^ 0x6C7967656E657261
    v3 = k1 ^ 0x7465646279746573
    length = len(data)
    whole = length & ~7
    for word in struct.unpack_from("<%dQ" % (whole >> 3), data):
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ word, 2)
        v0 ^= word
    last = int.from_bytes(data[whole:], "little") | (length & 0xFF) << 56
    v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ last, 2)
    return v0 ^ last, v1, v2, v3


def siphash24(key, data):
    """SipHash-2-4 with 8 bytes of output, in the order that libsodium writes them."""
    v0, v1, v2, v3 = _absorb(key, data, 0)
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, 4)
    return struct.pack("<Q", v0 ^ v1 ^ v2 ^ v3)


def siphashx24(key, data):
    """SipHash-2-4-128: 16 bytes of output, in the order that libsodium writes them."""
    v0, v1, v2, v3 = _absorb(key, data, 0xEE)
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xEE, v3, 4)
    first = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = _rounds(v0, v1 ^ 0xDD, v2, v3, 4)
    return struct.pack("<QQ", first, v0 ^ v1 ^ v2 ^ v3)


# --------------------------------------------------------------------------------------------
# The protocol
# --------------------------------------------------------------------------------------------

VERSION = 1
BASE_PORT = 8192
SHARDS = 4096
REPLY_BYTES = 24


class Op(IntEnum):
    """The operations of version 1."""

    SHAKE = 1
    ANSWER = 2
    GRAB = 3
    PACK = 4


OP_BYTES = {Op.SHAKE: 24, Op.ANSWER: 32, Op.GRAB: 32, Op.PACK: 40}


class Status(IntEnum):
    """The statuses of version 1."""

    WIN = 1
    MISS = 2
    THROTTLED = 3
    QUOTA = 4
    EMPTY = 5
    EARLY = 6
    CLOSED = 7
    WRONG = 8
    UNKNOWN = 9
    EXPIRED = 10
    STALE = 11
    BUSY = 12
    DENIED = 13
    BUNDLE = 14
    PACKED = 15
    CONFLICT = 16
    MOVED = 17


MONEY = frozenset({Status.WIN, Status.BUNDLE, Status.PACKED})
WAITS = frozenset({Status.MISS, Status.THROTTLED, Status.EARLY, Status.BUSY})
FINAL = frozenset({Status.WIN, Status.MISS, Status.QUOTA, Status.EMPTY, Status.WRONG,
                   Status.BUNDLE, Status.PACKED})

_PLAY = frozenset({Op.SHAKE, Op.ANSWER})
_TAKE = frozenset({Op.SHAKE, Op.ANSWER, Op.GRAB})
_ALL = frozenset(Op)

# Which ops a status may answer: the "answers" column of the contract.
ANSWERS = {
    Status.WIN: _TAKE, Status.MISS: _PLAY, Status.THROTTLED: _PLAY, Status.QUOTA: _PLAY,
    Status.EMPTY: _TAKE, Status.EARLY: _PLAY, Status.CLOSED: _PLAY,
    Status.WRONG: frozenset({Op.ANSWER}), Status.UNKNOWN: _TAKE,
    Status.EXPIRED: frozenset({Op.GRAB}), Status.STALE: _PLAY, Status.BUSY: _ALL,
    Status.DENIED: _TAKE, Status.BUNDLE: _PLAY, Status.PACKED: frozenset({Op.PACK}),
    Status.CONFLICT: frozenset({Op.PACK}), Status.MOVED: _ALL,
}

_NAMES = {int(status): status for status in Status}


@functools.lru_cache(maxsize=1 << 18)
def user_key(epoch_key, user):
    """The 16 bytes that the login service hands to a user."""
    return siphashx24(epoch_key, struct.pack("!Q", user))


def sign(key, body):
    """Append the tag that makes a body a request."""
    return body + siphash24(key, body)


def seal(key, head):
    """The seal of a reply's first 20 bytes."""
    return siphash24(key, head)[:4]


def shard(key):
    """The 12 bits that choose the destination port."""
    return ((key * 0x9E3779B97F4A7C15) & _MASK) >> 52


def slice_of(key):
    """The high 5 bits of the shard: which host of a cluster owns the key."""
    return shard(key) >> 7


def digest(campaign, answer):
    """An answer's digest, as the 8 bytes that go into the request.

    The contract says "blanks" and no more; spaces and tabs are taken off, which is the least
    that the word can mean.
    """
    key = struct.pack("!H14x", campaign)
    return siphash24(key, answer.strip(" \t").encode("utf-8"))


def _head(op, epoch, campaign, seq, user):
    return struct.pack("!BBHIQ", VERSION << 4 | op, epoch, campaign, seq, user)


def shake(key, user, campaign, seq, epoch=0):
    """A SHAKE request."""
    return sign(key, _head(Op.SHAKE, epoch, campaign, seq, user))


def answer(key, user, campaign, seq, answer_digest, epoch=0):
    """An ANSWER request; the digest is the 8 bytes from digest()."""
    return sign(key, _head(Op.ANSWER, epoch, campaign, seq, user) + answer_digest)


def grab(key, user, seq, packet, epoch=0):
    """A GRAB request."""
    return sign(key, _head(Op.GRAB, epoch, 0, seq, user) + struct.pack("!Q", packet))


def pack(issuer_key, user, seq, packet, total, shares, split, hours, epoch=0):
    """A PACK request, which the payment side signs with the issuer key."""
    return sign(issuer_key, _head(Op.PACK, epoch, 0, seq, user)
                + struct.pack("!QIHBB", packet, total, shares, split, hours))


def reply_payload(op, status, campaign, seq, key, ident=0, value=0):
    """A reply's 24 bytes; here for the vectors and for the checks of the checker."""
    head = struct.pack("!BBHIQI", VERSION << 4 | op, status, campaign, seq, ident, value)
    return head + (seal(key, head) if status in MONEY else bytes(4))


# --------------------------------------------------------------------------------------------
# Frames
# --------------------------------------------------------------------------------------------

ETHER_IPV4 = 0x0800
ETHER_IPV6 = 0x86DD
VLAN_TYPES = (0x8100, 0x88A8, 0x9100)
PROTO_UDP = 17


def checksum(data):
    """The Internet checksum of data that is not all zero bytes.

    A sum with end-around carry is the number modulo 0xffff, which Python's long integers do
    far faster than a loop over 16-bit words.
    """
    if len(data) & 1:
        data += b"\0"
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)


def address(text):
    """An address's bytes: 4 or 16."""
    return ipaddress.ip_address(text).packed


@dataclass(frozen=True)
class Path:
    """Everything below the payload that a reply must turn round or keep."""

    src_mac: bytes
    dst_mac: bytes
    src_ip: bytes
    dst_ip: bytes
    src_port: int
    dst_port: int
    vlans: tuple = ()  # ((tpid, tci), ...), the outer one first


def ether_header(path, ethertype):
    """MAC addresses, VLAN tags and the EtherType."""
    tags = b"".join(struct.pack("!HH", *tag) for tag in path.vlans)
    return path.dst_mac + path.src_mac + tags + struct.pack("!H", ethertype)


def udp_datagram(path, payload, *, length=None, check=None):
    """A UDP datagram; a given length or checksum is put in as it is, right or wrong."""
    size = 8 + len(payload)
    stated = size if length is None else length
    head = struct.pack("!HHH", path.src_port, path.dst_port, stated)
    if check is None:
        pseudo = path.src_ip + path.dst_ip + struct.pack("!HH", PROTO_UDP, stated)
        check = checksum(pseudo + head + payload) or 0xFFFF
    return head + struct.pack("!H", check) + payload


def ipv4_packet(path, body, *, protocol=PROTO_UDP, options=b"", total=None, ihl=None,
                version=4, fragment=0, ttl=64, ident=0, check=None, check_xor=0, tos=0):
    """An IPv4 packet; the checksum is made right over whatever else was asked for."""
    header_bytes = 20 + len(options)
    ihl = header_bytes // 4 if ihl is None else ihl
    total = header_bytes + len(body) if total is None else total
    front = struct.pack("!BBHHHBB", version << 4 | ihl, tos, total, ident, fragment, ttl,
                        protocol)
    back = path.src_ip + path.dst_ip + options
    if check is None:
        check = checksum(front + back) ^ check_xor
    return front + struct.pack("!H", check) + back + body


def ipv6_packet(path, body, *, extensions=(), protocol=PROTO_UDP, length=None, version=6,
                hops=64, traffic_class=0, flow=0):
    """An IPv6 packet; extensions are (header type, bytes after the next-header byte)."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b"".join(bytes([kinds[i + 1]]) + rest for i, (_, rest) in enumerate(extensions))
    length = len(chain) + len(body) if length is None else length
    word = version << 28 | traffic_class << 20 | flow
    return (struct.pack("!IHBB", word, length, kinds[0], hops) + path.src_ip + path.dst_ip
            + chain + body)


def frame(path, payload, *, udp=None, ip=None, pad=b""):
    """A whole frame around a payload; udp and ip hold keyword arguments of the layers."""
    datagram = udp_datagram(path, payload, **(udp or {}))
    if len(path.src_ip) == 4:
        return (ether_header(path, ETHER_IPV4) + ipv4_packet(path, datagram, **(ip or {}))
                + pad)
    return ether_header(path, ETHER_IPV6) + ipv6_packet(path, datagram, **(ip or {})) + pad


# --------------------------------------------------------------------------------------------
# pcap files
# --------------------------------------------------------------------------------------------

PCAP_MICRO = 0xA1B2C3D4
PCAP_NANO = 0xA1B23C4D
LINKTYPE_ETHERNET = 1


class PcapError(Exception):
    """A pcap file that is not what it should be."""


def write_pcap(path, records, nano=True, order="<"):
    """Write (time in ns, frame) records; order is "<" or ">"."""
    unit = 1 if nano else 1000
    head = struct.Struct(order + "IIII")
    out = [struct.pack(order + "IHHiIII", PCAP_NANO if nano else PCAP_MICRO, 2, 4, 0, 0, 65535,
                       LINKTYPE_ETHERNET)]
    for when, data in records:
        seconds, rest = divmod(when, 1000000000)
        out.append(head.pack(seconds, rest // unit, len(data), len(data)))
        out.append(data)
    with open(path, "wb") as file:
        file.write(b"".join(out))


def parse_pcap(data):
    """The (time in ns, frame) records of a pcap file's bytes."""
    if len(data) < 24:
        raise PcapError("no pcap header in %d bytes" % len(data))
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in (PCAP_MICRO, PCAP_NANO):
            break
    else:
        raise PcapError("not a pcap file: " + data[:4].hex())
    unit = 1 if magic == PCAP_NANO else 1000
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    if link != LINKTYPE_ETHERNET:
        raise PcapError("link type %d is not Ethernet" % link)
    head = struct.Struct(order + "IIII")
    records = []
    offset = 24
    while offset < len(data):
        if offset + 16 > len(data):
            raise PcapError("a record header is cut off at byte %d" % offset)
        seconds, rest, kept, length = head.unpack_from(data, offset)
        offset += 16
        if kept != length or offset + kept > len(data):
            raise PcapError("a record is cut off at byte %d" % offset)
        records.append((seconds * 1000000000 + rest * unit, data[offset:offset + kept]))
        offset += kept
    return records


def read_pcap(path):
    """The (time in ns, frame) records of a pcap file, of either precision and byte order."""
    with open(path, "rb") as file:
        return parse_pcap(file.read())


# --------------------------------------------------------------------------------------------
# Replies
# --------------------------------------------------------------------------------------------


class ReplyError(Exception):
    """A reply that breaks the contract."""


@dataclass(frozen=True)
class Reply:
    """A reply that has been held against its request."""

    op: int
    status: Status
    campaign: int
    seq: int
    ident: int
    value: int
    raw: bytes


@dataclass
class Request:
    """A frame that was sent, with what the checker has to know about it.

    expect is "answer", "silence" or "either"; reasons are the drop counters that fit when there
    is no answer. key is the one that a seal has to verify under.
    """

    time: int
    frame: bytes
    path: Path = None
    payload: bytes = b""
    key: bytes = b""
    expect: str = "answer"
    reasons: frozenset = frozenset()
    label: str = ""
    want: frozenset = None
    op: int = 0
    campaign: int = 0
    seq: int = 0
    user: int = 0
    notes: dict = field(default_factory=dict)

    def flow(self):
        """What the reply is recognised by: addresses, ports, op, campaign and seq."""
        path, payload = self.path, self.payload
        return (path.src_ip + path.dst_ip + struct.pack("!HH", path.src_port, path.dst_port)
                + payload[0:1] + payload[2:8])

    def __str__(self):
        if self.label:
            return self.label
        return "%s user %d campaign %d seq %d" % (
            Op(self.op).name, self.user, self.campaign, self.seq)


def parse_frame(data):
    """Take a reply's frame apart as (path, payload); anything unusual is an error.

    Replies need no IPv4 options, no IPv6 extension headers, no fragments and no padding, so
    none of these is let through, although a receiver's stack would take some of them.
    """
    if len(data) < 14:
        raise ReplyError("a frame of %d bytes" % len(data))
    offset = 12
    vlans = []
    ethertype = data[12] << 8 | data[13]
    while ethertype in VLAN_TYPES:
        if len(data) < offset + 6:
            raise ReplyError("the frame ends in a VLAN tag")
        tci, following = struct.unpack_from("!HH", data, offset + 2)
        vlans.append((ethertype, tci))
        ethertype = following
        offset += 4
    offset += 2
    if ethertype == ETHER_IPV4:
        if len(data) < offset + 28:
            raise ReplyError("too short for IPv4 and UDP")
        first, _, total, _, fragment, ttl, protocol = struct.unpack_from("!BBHHHBB", data,
                                                                         offset)
        if first != 0x45:
            raise ReplyError("IPv4 version and header length 0x%02x" % first)
        if total != len(data) - offset:
            raise ReplyError("IPv4 length %d in %d bytes" % (total, len(data) - offset))
        if fragment & 0xBFFF:
            raise ReplyError("IPv4 fragment word 0x%04x" % fragment)
        if int.from_bytes(data[offset:offset + 20], "big") % 0xFFFF:
            raise ReplyError("bad IPv4 header checksum")
        src_ip, dst_ip = data[offset + 12:offset + 16], data[offset + 16:offset + 20]
        offset += 20
    elif ethertype == ETHER_IPV6:
        if len(data) < offset + 48:
            raise ReplyError("too short for IPv6 and UDP")
        first, length, protocol, ttl = struct.unpack_from("!IHBB", data, offset)
        if first >> 28 != 6:
            raise ReplyError("IPv6 version %d" % (first >> 28))
        if length != len(data) - offset - 40:
            raise ReplyError("IPv6 length %d in %d bytes" % (length, len(data) - offset - 40))
        src_ip, dst_ip = data[offset + 8:offset + 24], data[offset + 24:offset + 40]
        offset += 40
    else:
        raise ReplyError("EtherType 0x%04x" % ethertype)
    if ttl == 0:
        raise ReplyError("a TTL or hop limit of 0")
    if protocol != PROTO_UDP:
        raise ReplyError("IP protocol %d where UDP has to follow" % protocol)
    src_port, dst_port, length, check = struct.unpack_from("!HHHH", data, offset)
    if length != len(data) - offset:
        raise ReplyError("UDP length %d in %d bytes" % (length, len(data) - offset))
    if check == 0:
        raise ReplyError("no UDP checksum")
    pseudo = src_ip + dst_ip + struct.pack("!HH", PROTO_UDP, length)
    if int.from_bytes(pseudo + data[offset:] + b"\0" * (length & 1), "big") % 0xFFFF:
        raise ReplyError("bad UDP checksum")
    payload = data[offset + 8:]
    if len(payload) != REPLY_BYTES:
        raise ReplyError("a payload of %d bytes" % len(payload))
    return Path(data[6:12], data[0:6], src_ip, dst_ip, src_port, dst_port,
                tuple(vlans)), payload


def reply_flow(path, payload):
    """The flow() of the request that a reply claims to answer."""
    return (path.dst_ip + path.src_ip + struct.pack("!HH", path.dst_port, path.src_port)
            + payload[0:1] + payload[2:8])


def check_reply(request, path, payload):
    """Hold a parsed reply against its request; returns a Reply or raises ReplyError."""
    sent = request.path
    if path.src_mac != sent.dst_mac or path.dst_mac != sent.src_mac:
        raise ReplyError("MAC addresses are not swapped")
    if path.vlans != sent.vlans:
        raise ReplyError("VLAN tags %r for a request with %r" % (path.vlans, sent.vlans))
    if path.src_ip != sent.dst_ip or path.dst_ip != sent.src_ip:
        raise ReplyError("IP addresses are not swapped")
    if path.src_port != sent.dst_port or path.dst_port != sent.src_port:
        raise ReplyError("ports are not swapped")
    first, code, campaign, seq, ident, value = struct.unpack_from("!BBHIQI", payload)
    asked = request.payload
    if first != asked[0]:
        raise ReplyError("version and op 0x%02x for 0x%02x" % (first, asked[0]))
    if payload[2:8] != asked[2:8]:
        raise ReplyError("campaign and seq are not the request's")
    status = _NAMES.get(code)
    if status is None:
        raise ReplyError("status %d" % code)
    op = first & 15
    if op not in ANSWERS[status]:
        raise ReplyError("%s answers %s" % (status.name, Op(op).name))
    if status in MONEY:
        if payload[20:24] != seal(request.key, payload[:20]):
            raise ReplyError("the seal of a %s does not verify" % status.name)
        if value == 0:
            raise ReplyError("%s of 0 fen" % status.name)
        if op == Op.GRAB and payload[8:16] != asked[16:24]:
            raise ReplyError("%s names another packet" % status.name)
    else:
        if ident:
            raise ReplyError("%s with id %d" % (status.name, ident))
        if value and status not in WAITS:
            raise ReplyError("%s with value %d" % (status.name, value))
        if payload[20:24] != bytes(4):
            raise ReplyError("%s with a seal" % status.name)
        if not value and status in (Status.THROTTLED, Status.EARLY):
            raise ReplyError("%s that names no time to wait" % status.name)
    return Reply(op, status, campaign, seq, ident, value, payload)


@dataclass
class Matched:
    """What came back: a reply or None for each request, and what was wrong."""

    replies: list
    order: list  # indexes of the requests, in the order of their replies
    complaints: list


def match(requests, records):
    """Find the request of every reply, without relying on the order of the replies.

    Requests with the same flow can only be repeats of one another; they are paired with their
    replies first come, first served.
    """
    waiting = {}
    silent = {}
    for index, request in enumerate(requests):
        if request.path is None or len(request.payload) < 8:
            continue
        if request.expect == "silence":
            silent.setdefault(request.flow(), request)
        else:
            waiting.setdefault(request.flow(), deque()).append(index)
    replies = [None] * len(requests)
    order = []
    complaints = []
    for number, (_, data) in enumerate(records):
        try:
            path, payload = parse_frame(data)
        except ReplyError as error:
            complaints.append("reply %d: %s" % (number, error))
            continue
        flow = reply_flow(path, payload)
        queue = waiting.get(flow)
        if not queue:
            culprit = silent.get(flow)
            if culprit is not None:
                complaints.append("reply %d answers what must get no answer: %s"
                                  % (number, culprit))
            else:
                complaints.append("reply %d has no request that it could answer: %s"
                                  % (number, payload.hex()))
            continue
        index = queue.popleft()
        order.append(index)
        try:
            replies[index] = check_reply(requests[index], path, payload)
        except ReplyError as error:
            complaints.append("reply %d to %s: %s" % (number, requests[index], error))
    answered = set(order)
    for index, request in enumerate(requests):
        if request.expect == "answer" and index not in answered:
            complaints.append("no reply to %s (frame %d)" % (request, index))
    return Matched(replies, order, complaints)
