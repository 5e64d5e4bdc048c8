#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the checker: the client's own parts, and that the contract test can fail.

    test_hbclient.py [-q]

The client is held against published and independent values. Then every scenario of the contract
test runs against a model of the server: all must pass while the model is sound, and for each
fault that is built into the model, the scenarios named for it must complain. -q leaves the
faults out.
"""

import ctypes
import ctypes.util
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from dataclasses import replace

import hbclient as hb
import test_contract as contract
from hbclient import Op, Status
from modelserver import Model

# Which scenarios have to notice which fault. Others may notice it as well.
FAULTS = {
    "bad_seal": "statuses pool_lucky",
    "seal_always": "statuses",
    "terms_ignored": "packets",
    "sender_ignored": "packets",
    "nonsense_packed": "packets",
    "packed_value": "packets",
    "second_share": "packets",
    "share_changes": "packets",
    "share_held": "packets",
    "never_expires": "packets",
    "share_fen_lost": "packets",
    "equal_share_last": "packets",
    "share_greedy": "packets",
    "share_overflows": "packets",
    "seal_of_first_epoch": "epochs",
    "bad_ip_checksum": "statuses",
    "bad_udp_checksum": "statuses wrappings",
    "no_udp_checksum": "statuses",
    "checksum_zero_sent": "wrappings",
    "macs_kept": "statuses",
    "ports_kept": "statuses",
    "port_of_shard": "wrong_ports",
    "tag_lost": "wrappings",
    "tag_priority_lost": "wrappings",
    "options_kept": "wrappings",
    "options_refused": "wrappings",
    "extensions_refused": "wrappings",
    "padding_kept": "wrappings malformed_ipv4",
    "padding_refused": "malformed_ipv4",
    "zero_checksum_refused": "malformed_ipv4",
    "reply_too_long": "statuses",
    "reply_lost": "statuses",
    "double_reply": "statuses",
    "seq_not_echoed": "statuses",
    "order": "determinism",
    "seed_ignored": "determinism",
    "capture_times": "determinism",
    "report_sum": "statuses",
    "report_reasons": "forged",
    "exit_code": "statuses",
    "audit": "statuses",
    "same_id": "pool_lucky pool_quota password",
    "given_twice": "pool_lucky",
    "over_quota": "statuses pool_quota",
    "envelope_extra": "pool_lucky pool_tiers",
    "envelope_held": "pool_lucky pool_equal pool_tiers password",
    "empty_early": "pool_lucky",
    "fen_missing": "pool_lucky",
    "fen_extra": "pool_lucky",
    "equal_uneven": "pool_equal",
    "tier_swapped": "pool_tiers",
    "retry_draws": "retries statuses",
    "retry_value": "retries statuses",
    "closed_before_retry": "retries statuses",
    "close_ignored": "statuses",
    "stale_served": "statuses retries",
    "stale_value": "statuses",
    "unknown_uses_seq": "statuses",
    "early_uses_seq": "statuses",
    "early_seconds": "statuses",
    "throttle_missing": "statuses",
    "throttle_uses_seq": "statuses",
    "throttle_value": "statuses",
    "miss_id": "statuses",
    "miss_no_wait": "statuses",
    "odds_low": "statuses",
    "pause_ignored": "statuses",
    "deny_ignored": "statuses",
    "moved_missing": "moved",
    "wrong_wins": "password",
    "release_ignored": "release",
    "release_slow": "release",
    "release_empty": "release",
    "winner_forgotten": "full_table",
    "forged_served": "forged",
    "tag_short": "forged",
    "epoch_ignored": "epochs",
    "second_epoch_refused": "epochs",
    "version_ignored": "malformed_payload",
    "length_loose": "malformed_payload",
    "seq_zero_served": "malformed_payload",
    "user_zero_served": "malformed_payload",
    "packet_zero_served": "malformed_payload",
    "port_range": "malformed_ipv4",
    "address_ignored": "malformed_ipv4",
    "udp_length_loose": "malformed_ipv4 malformed_ipv6",
    "udp_checksum_ignored": "malformed_ipv4 malformed_ipv6",
    "ip_checksum_ignored": "malformed_ipv4 wrappings",
    "fragments_first": "malformed_ipv4",
    "fragments_served": "malformed_ipv4",
    "ipv6_fragments_served": "malformed_ipv6",
    "ipv6_no_checksum": "malformed_ipv6",
}


class Failure(Exception):
    """A check that did not hold."""


def need(holds, text):
    """An assert that stays when Python optimises."""
    if not holds:
        raise Failure(text)


def check_hashes():
    """The authors' published values, and libsodium where there is one."""
    key = bytes(range(16))
    for size, wanted in ((0, "310e0edd47db6f72"), (1, "fd67dc93c539f874"),
                         (8, "62 24 93 9a 79 f5 f5 93"), (15, "e545be4961ca29a1")):
        got = hb.siphash24(key, bytes(range(size))).hex()
        need(got == wanted.replace(" ", ""), "SipHash-2-4 of %d bytes: %s" % (size, got))
    got = hb.siphashx24(key, b"").hex()
    need(got == "a3817f04ba25a8e66df67214c7550293", "SipHash-2-4-128 of nothing: " + got)
    name = ctypes.util.find_library("sodium")
    if not name:
        return "no libsodium here to compare with"
    sodium = ctypes.CDLL(name)
    rng = random.Random(1)
    for size in range(200):
        key, data = rng.randbytes(16), rng.randbytes(size)
        for function, ours, width in (
                (sodium.crypto_shorthash_siphash24, hb.siphash24, 8),
                (sodium.crypto_shorthash_siphashx24, hb.siphashx24, 16)):
            out = ctypes.create_string_buffer(width)
            function(out, data, ctypes.c_ulonglong(size), key)
            need(out.raw == ours(key, data), "unlike libsodium for %d bytes" % size)
    return "the same as libsodium for 200 messages"


def check_vectors():
    """The contract's vectors."""
    case = contract.Case(None, None)
    contract.vectors(case)
    need(not case.complaints, "; ".join(case.complaints))


def check_pcap():
    """Both precisions, both byte orders; and files that are cut are noticed."""
    directory = tempfile.mkdtemp(prefix="hongbao-pcap-")
    try:
        path = os.path.join(directory, "a.pcap")
        records = [(1424269800123456789 + i * 1001, bytes([i]) * (20 + i)) for i in range(50)]
        magics = set()
        for nano in (True, False):
            for order in "<>":
                hb.write_pcap(path, records, nano, order)
                unit = 1 if nano else 1000
                need(hb.read_pcap(path) == [(t // unit * unit, d) for t, d in records],
                     "a pcap file does not come back")
                with open(path, "rb") as file:
                    data = file.read()
                magics.add(data[:4].hex())
                for size in (0, 3, 23, 30, len(data) - 1):
                    try:
                        hb.parse_pcap(data[:size])
                    except hb.PcapError:
                        continue
                    raise Failure("a pcap file of %d bytes is taken" % size)
        need(magics == {"a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1"}, "magics " + str(magics))
    finally:
        shutil.rmtree(directory)


def slow_sum(data):
    """RFC 1071 as it is written, to hold the fast way against."""
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def check_frames():
    """Checksums by the book, and the layers where they belong."""
    rng = random.Random(2)
    for size in range(1, 300):
        data = rng.choice((rng.randbytes(size), b"\xff" * size, b"\0" * size + b"\1"))
        need(hb.checksum(data) == 0xFFFF ^ slow_sum(data), "a checksum of %d bytes" % size)
    # The example that has long stood in textbooks.
    header = bytes.fromhex("45000073000040004011" "0000" "c0a80001c0a800c7")
    need(hb.checksum(header) == 0xB861, "the textbook's header")
    for client, server in (("172.16.0.9", "10.0.0.1"), ("fd00::9", "fd00::1")):
        for vlans in ((), ((0x8100, 5),), ((0x88A8, 6), (0x8100, 7))):
            path = hb.Path(b"\2" * 6, b"\4" * 6, hb.address(client), hb.address(server), 1234,
                           8200, vlans)
            whole = hb.frame(path, bytes(range(24)))
            need(hb.parse_frame(whole) == (path, bytes(range(24))), "a frame does not come back")
            l3 = 40 if ":" in client else 20
            need(len(whole) == 14 + 4 * len(vlans) + l3 + 8 + 24, "a frame's length")
            udp = whole[-32:]
            need(slow_sum(path.src_ip + path.dst_ip + b"\0\x11\0\x20" + udp) == 0xFFFF,
                 "a frame's UDP checksum")


def _exchange(status=Status.WIN, ident=42, value=888, seal_key=None):
    """A request and the reply frame that a server would send."""
    key = hb.user_key(contract.EPOCH_KEY, 5)
    payload = hb.shake(key, 5, 7, 1)
    path = hb.Path(b"\2" * 6, b"\4" * 6, hb.address("172.16.0.9"), hb.address("10.0.0.1"),
                   1234, 8200, ((0x8100, 0x2005),))
    back = hb.Path(path.dst_mac, path.src_mac, path.dst_ip, path.src_ip, path.dst_port,
                   path.src_port, path.vlans)
    request = hb.Request(0, hb.frame(path, payload), path, payload, key, op=1, campaign=7,
                         seq=1, user=5)
    reply = hb.reply_payload(Op.SHAKE, status, 7, 1, seal_key or key, ident, value)
    return request, back, reply


def check_strictness():
    """Replies that are broken one by one; the client has to refuse each of them."""
    request, back, reply = _exchange()
    good = hb.frame(back, reply)

    def complaints(data, wanted=request):
        return hb.match([wanted], [(0, data)]).complaints

    need(not complaints(good), "a good reply is refused")
    need(complaints(b""), "an empty frame is taken")
    for bit in range(8 * len(good)):
        broken = bytearray(good)
        broken[bit >> 3] ^= 0x80 >> (bit & 7)
        # The IPv4 checksum does not cover the layer below, but the MAC and tag comparison does;
        # every single bit of a reply is checked by something.
        need(complaints(bytes(broken)), "bit %d of a reply can be flipped" % bit)
    for length in range(len(good)):
        need(complaints(good[:length]), "a reply cut to %d bytes is taken" % length)
    need(complaints(good + b"\0"), "padding is taken")
    bad = {
        "IPv4 options": hb.frame(back, reply, ip={"options": b"\1" * 4}),
        "a fragment": hb.frame(back, reply, ip={"fragment": 0x2000}),
        "TTL 0": hb.frame(back, reply, ip={"ttl": 0}),
        "no checksum": hb.frame(back, reply, udp={"check": 0}),
        "bad IPv4 checksum": hb.frame(back, reply, ip={"check_xor": 1}),
        "25 bytes": hb.frame(back, reply + b"\0"),
        "no tag": hb.frame(replace(back, vlans=()), reply),
        "another tag": hb.frame(replace(back, vlans=((0x8100, 5),)), reply),
        "the tag's other type": hb.frame(replace(back, vlans=((0x88A8, 0x2005),)), reply),
        "MACs as they were": hb.frame(replace(back, src_mac=back.dst_mac, dst_mac=back.src_mac),
                                      reply),
        "another port": hb.frame(replace(back, src_port=8201), reply),
        "another seq": hb.frame(back, reply[:4] + b"\0\0\0\2" + reply[8:]),
        "the request sent back": request.frame,
    }
    for label, data in bad.items():
        need(complaints(data), label + " is taken")
    variants = {
        "another user's seal": dict(seal_key=bytes(16)),
        "WIN of nothing": dict(value=0),
        "MISS with an id": dict(status=Status.MISS, value=1000),
        "EMPTY with a value": dict(status=Status.EMPTY, ident=0, value=1),
        "QUOTA with an id": dict(status=Status.QUOTA, ident=1, value=0),
        "EARLY without a time": dict(status=Status.EARLY, ident=0, value=0),
        "THROTTLED without a time": dict(status=Status.THROTTLED, ident=0, value=0),
        "WRONG to a SHAKE": dict(status=Status.WRONG, ident=0, value=0),
        "PACKED to a SHAKE": dict(status=Status.PACKED),
        "EXPIRED to a SHAKE": dict(status=Status.EXPIRED, ident=0, value=0),
    }
    for label, change in variants.items():
        one, way, payload = _exchange(**change)
        need(complaints(hb.frame(way, payload), one), label + " is taken")
    for code in list(range(18, 256)) + [0]:
        payload = reply[:1] + bytes([code]) + reply[2:8] + bytes(16)
        need(complaints(hb.frame(back, payload)), "status %d is taken" % code)
    need(hb.match([request], []).complaints, "a missing reply is not missed")
    need(hb.match([request], [(0, good), (0, good)]).complaints, "two replies are taken")
    need(hb.match([replace(request, expect="silence", label="forged")], [(0, good)]).complaints,
         "a reply to a forged frame is taken")
    six = hb.Path(back.src_mac, back.dst_mac, hb.address("fd00::1"), hb.address("fd00::9"),
                  8200, 1234)
    for label, data in (
            ("an extension header", hb.frame(six, reply, ip={"extensions": ((0, b"\0\1\4" +
                                                                             bytes(4)),)})),
            ("IPv6 without a checksum", hb.frame(six, reply, udp={"check": 0}))):
        try:
            hb.parse_frame(data)
        except hb.ReplyError:
            continue
        raise Failure(label + " is taken")


def check_speed():
    """100,000 requests have to be built, and as many replies checked, in about 30 s."""
    count = 20000
    config = contract.Config([contract.Campaign(7, count=count, total=10 * count)])
    start = time.monotonic()
    traffic = contract.Traffic(config, step=1000)
    for user in range(1, count + 1):
        traffic.shake(user, 7, 1)
    built = time.monotonic()
    replies = []
    for number, request in enumerate(traffic.requests):
        path = request.path
        back = hb.Path(path.dst_mac, path.src_mac, path.dst_ip, path.src_ip, path.dst_port,
                       path.src_port)
        replies.append((0, hb.frame(back, hb.reply_payload(Op.SHAKE, Status.WIN, 7, 1,
                                                           request.key, number, 10))))
    begun = time.monotonic()
    matched = hb.match(traffic.requests, replies)
    complaints = contract.Oracle(config).judge(traffic.requests, matched.replies)
    ended = time.monotonic()
    need(not matched.complaints and not complaints, "good replies are refused")
    return "100,000 take %.1f s to build and %.1f s to check" % (
        (built - start) * 100000 / count, (ended - begun) * 100000 / count)


def run(short, model):
    """The complaints of one scenario against a model."""
    function = next(f for name, _, f in contract.SCENARIOS if name == short)
    top = tempfile.mkdtemp(prefix="hongbao-model-")
    try:
        return contract.run_scenario(function, model, os.path.join(top, short))
    finally:
        shutil.rmtree(top)


def main(arguments):
    """Run everything and print TAP."""
    checks = [("hashes", check_hashes), ("vectors of the contract", check_vectors),
              ("pcap files", check_pcap), ("frames", check_frames),
              ("broken replies are refused", check_strictness), ("speed", check_speed)]
    steps = [(name, function) for name, function in checks]

    def sound(short):
        def step():
            complaints = run(short, Model())
            need(not complaints, "\n".join(complaints[:10]))
        return step

    def faulty(fault, short):
        def step():
            complaints = run(short, Model(fault))
            need(complaints, "nothing noticed")
            need(not any(c.startswith("Traceback") for c in complaints),
                 "\n".join(complaints[-5:]))
            return complaints[0]
        return step

    for short, _, _ in contract.SCENARIOS:
        steps.append(("a sound server passes " + short, sound(short)))
    if "-q" not in arguments:
        for fault, noticed in FAULTS.items():
            for short in noticed.split():
                steps.append(("%s fails %s" % (fault, short), faulty(fault, short)))
    print("1..%d" % len(steps), flush=True)
    failed = 0
    for number, (name, function) in enumerate(steps, 1):
        try:
            remark = function()
        except Failure as failure:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for line in str(failure).splitlines():
                print("# " + line)
        else:
            print("ok %d - %s" % (number, name))
            if remark:
                print("# " + remark)
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
