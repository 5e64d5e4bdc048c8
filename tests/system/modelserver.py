# SPDX-License-Identifier: BSD-3-Clause
"""A small model of the server, with faults that can be switched on.

A test that cannot fail is worth nothing. This model stands in for the server when the contract
test itself is tested: without a fault every scenario has to pass, and with each fault at least
one has to fail. It reads frames in its own way and not by the client's parser.
"""

import json
import os
import random
import struct
from collections import Counter

import hbclient as hb
from hbclient import Op, Status

ISSUER_KEY = bytes(range(16, 32))
MS = 1000000
SECOND = 1000 * MS


class Drop(Exception):
    """A frame that gets no reply; the argument is the reason."""


class Row:
    """What the model remembers of one user in one campaign."""

    def __init__(self):
        self.seq = 0
        self.final = None  # (status, id, value)
        self.wins = 0
        self.last = None


class Model:
    """Answers captures as the contract wants it, or with one fault."""

    def __init__(self, fault=None):
        self.fault = fault
        self.runs = 0
        self.config = None
        self.rng = None
        self.rows = {}
        self.pools = {}
        self.buckets = {}
        self.packets = {}
        self.serial = 0
        self.totals = Counter()

    # The runner's side.

    def serve(self, directory, config):
        """Answer requests.pcap into replies.pcap, as the server does."""
        self.runs += 1
        self.config = config
        seed = config.seed + (self.runs if self.fault == "seed_ignored" else 0)
        self.rng = random.Random(seed)
        self.rows = {}
        self.totals = Counter()
        self.serial = 0
        self.packets = {}
        self.pools = {c.id: self._fill(c) for c in config.campaigns}
        self.buckets = {c.id: [float(c.release), None] for c in config.campaigns}
        replies, answered, dropped = [], Counter(), Counter()
        records = hb.read_pcap(os.path.join(directory, "requests.pcap"))
        for when, data in records:
            try:
                out, status = self._frame(when, data)
            except Drop as drop:
                dropped[drop.args[0]] += 1
                continue
            answered[status.name] += 1
            replies.append((when, out))
            if self.fault == "double_reply" and len(replies) % 50 == 0:
                replies.append((when, out))
        if self.fault == "reply_lost" and replies:
            replies.pop(len(replies) // 2)
        if self.fault == "order" and len(replies) > 10:
            replies[4], replies[5] = replies[5], replies[4]
        if self.fault == "capture_times":
            replies = [(when + self.runs, data) for when, data in replies]
        hb.write_pcap(os.path.join(directory, "replies.pcap"), replies)
        if self.fault == "report_reasons" and dropped["tag"]:
            dropped["op"] += dropped.pop("tag")
        count = len(records) + (1 if self.fault == "report_sum" else 0)
        with open(os.path.join(directory, "report.json"), "w", encoding="utf-8") as file:
            json.dump({"requests": count, "replies": answered, "dropped": dropped,
                       "wins": self.totals["wins"], "fen": self.totals["fen"], "seconds": 1.0,
                       "requests_per_second": count, "cycles_per_request": 1}, file)
        return (3 if self.fault == "exit_code" else 0), ""

    def audit(self, _directory):
        """The audit has no journal to look into here."""
        return (1, "books do not balance") if self.fault == "audit" else (0, "")

    def _fill(self, campaign):
        if campaign.tiers:
            amounts = [fen for count, fen in campaign.tiers for _ in range(count)]
            if self.fault == "tier_swapped" and len(amounts) > 2:
                amounts[0] += 1
                amounts[-1] -= 1 if amounts[-1] > 1 else 0
        elif campaign.split == "equal":
            amounts = [campaign.total // campaign.count] * campaign.count
            if self.fault == "equal_uneven" and amounts[0] > 1:
                amounts[0] += 1
                amounts[1] -= 1
        else:
            cuts = sorted(self.rng.sample(range(1, campaign.total), campaign.count - 1))
            edges = [0] + cuts + [campaign.total]
            amounts = [b - a for a, b in zip(edges, edges[1:])]
            if self.fault == "fen_missing" and amounts[0] > 1:
                amounts[0] -= 1
            if self.fault == "fen_extra":
                amounts[0] += 1
        self.rng.shuffle(amounts)
        if self.fault == "envelope_extra":
            amounts.append(1)
        if self.fault == "envelope_held":
            amounts.pop()
        return amounts

    # Frames.

    def _frame(self, when, data):
        fault = self.fault
        if len(data) < 14:
            raise Drop("truncated")
        offset = 12
        while data[offset:offset + 2] in (b"\x81\x00", b"\x88\xa8"):
            offset += 4
            if len(data) < offset + 2 or offset > 20:
                raise Drop("not_ip" if offset > 20 else "truncated")
        kind = data[offset:offset + 2]
        tags = data[12:offset]
        ip = offset + 2
        if kind == b"\x08\x00":
            start, end = self._ipv4(data, ip)
        elif kind == b"\x86\xdd":
            start, end = self._ipv6(data, ip)
        else:
            raise Drop("not_ip")
        if end - start < 8:
            raise Drop("udp_length")
        src, dst = ((data[ip + 12:ip + 16], data[ip + 16:ip + 20]) if kind == b"\x08\x00"
                    else (data[ip + 8:ip + 24], data[ip + 24:ip + 40]))
        src_port, dst_port, length, check = struct.unpack_from("!HHHH", data, start)
        if length != end - start:
            if not (fault == "udp_length_loose" and 8 <= length < end - start):
                raise Drop("udp_length")
            end = start + length
        base = hb.BASE_PORT
        if not base <= dst_port < base + hb.SHARDS + (1 if fault == "port_range" else 0):
            raise Drop("port")
        if check == 0 and len(src) == 16 and fault != "ipv6_no_checksum":
            raise Drop("udp_checksum")
        if fault == "zero_checksum_refused" and check == 0:
            raise Drop("udp_checksum")
        if check and fault != "udp_checksum_ignored":
            total = sum(struct.unpack("!%dH" % (len(src)), src + dst)) + 17 + length
            body = data[start:end] + b"\0" * (length & 1)
            total += sum(struct.unpack("!%dH" % (len(body) // 2), body))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            if total != 0xFFFF:
                raise Drop("udp_checksum")
        payload = data[start + 8:end]
        body, status = self._payload(when, payload)
        if fault == "port_of_shard":
            dst_port = base + hb.shard(int.from_bytes(payload[8:16], "big"))
        if fault == "ports_kept":
            src_port, dst_port = dst_port, src_port
        macs = data[0:12] if fault == "macs_kept" else data[6:12] + data[0:6]
        if fault == "tag_lost":
            tags = b""
        if fault == "tag_priority_lost" and tags:
            tags = tags[:2] + bytes([tags[2] & 0x0F]) + tags[3:]
        if fault == "reply_too_long":
            body += b"\0"
        udp = struct.pack("!HHHH", dst_port, src_port, 8 + len(body), 0) + body
        pseudo = dst + src + struct.pack("!HH", 17, len(udp))
        check = hb.checksum(pseudo + udp + b"\0" * (len(udp) & 1)) or 0xFFFF
        if fault == "checksum_zero_sent" and check == 0xFFFF:
            check = 0
        if fault == "bad_udp_checksum":
            check ^= 0x0100
        if fault == "no_udp_checksum":
            check = 0
        udp = udp[:6] + struct.pack("!H", check) + udp[8:]
        if len(src) == 4:
            options = data[ip + 20:start] if fault == "options_kept" else b""
            header = struct.pack("!BBHIBBH", 0x45 + len(options) // 4, 0,
                                 20 + len(options) + len(udp), 0x4000, 64, 17, 0)
            header += dst + src + options
            check = hb.checksum(header) ^ (1 if fault == "bad_ip_checksum" else 0)
            header = header[:10] + struct.pack("!H", check) + header[12:]
        else:
            header = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + dst + src
        out = macs + tags + kind + header + udp
        if fault == "padding_kept":
            out += data[end:]
        return out, status

    def _ipv4(self, data, ip):
        if len(data) < ip + 20:
            raise Drop("truncated")
        header = 4 * (data[ip] & 15)
        if data[ip] >> 4 != 4 or header < 20:
            raise Drop("ip_header")
        total, _, fragment = struct.unpack_from("!HHH", data, ip + 2)
        if total < header + 8 and data[ip + 9] == 17 or total > len(data) - ip:
            raise Drop("ip_length")
        if self.fault == "padding_refused" and total != len(data) - ip:
            raise Drop("ip_length")
        if self.fault == "options_refused" and header > 20:
            raise Drop("ip_header")
        if self.fault != "ip_checksum_ignored":
            words = struct.unpack_from("!%dH" % (header // 2), data, ip)
            total_sum = sum(words)
            while total_sum >> 16:
                total_sum = (total_sum & 0xFFFF) + (total_sum >> 16)
            if total_sum != 0xFFFF:
                raise Drop("ip_checksum")
        mask = {"fragments_first": 0x1FFF, "fragments_served": 0}.get(self.fault, 0x3FFF)
        if fragment & mask:
            raise Drop("fragment")
        if data[ip + 16:ip + 20] != b"\x0a\0\0\1" and self.fault != "address_ignored":
            raise Drop("not_ours")
        if data[ip + 9] != 17:
            raise Drop("not_udp")
        return ip + header, ip + total

    def _ipv6(self, data, ip):
        if not self.config.ipv6:
            raise Drop("not_ours")
        if len(data) < ip + 40:
            raise Drop("truncated")
        length, following = struct.unpack_from("!HB", data, ip + 4)
        if data[ip] >> 4 != 6:
            raise Drop("ip_header")
        if length > len(data) - ip - 40:
            raise Drop("ip_length")
        if data[ip + 24:ip + 40] != b"\xfd" + bytes(14) + b"\1":
            raise Drop("not_ours")
        start, end = ip + 40, ip + 40 + length
        while following in (0, 60, 44):
            if self.fault == "extensions_refused":
                raise Drop("not_udp")
            if end - start < 8:
                raise Drop("ip_length")
            if following == 44:
                if self.fault != "ipv6_fragments_served":
                    raise Drop("fragment")
                size = 8
            else:
                size = 8 + 8 * data[start + 1]
            following = data[start]
            start += size
            if start > end:
                raise Drop("ip_length")
        if following != 17:
            raise Drop("not_udp")
        return start, end

    # Requests.

    def _payload(self, when, payload):
        fault = self.fault
        if not payload:
            raise Drop("length")
        version, code = payload[0] >> 4, payload[0] & 15
        if version != 1 and fault != "version_ignored":
            raise Drop("version")
        if not 1 <= code <= 4:
            raise Drop("op")
        op = Op(code)
        if len(payload) != hb.OP_BYTES[op] and not (
                fault == "length_loose" and len(payload) > hb.OP_BYTES[op]):
            raise Drop("length")
        epoch, campaign, seq, user = struct.unpack_from("!BHIQ", payload, 1)
        if seq == 0 and fault != "seq_zero_served":
            raise Drop("seq")
        if user == 0 and fault != "user_zero_served":
            raise Drop("user")
        packet = 0
        if op in (Op.GRAB, Op.PACK):
            packet = struct.unpack_from("!Q", payload, 16)[0]
            if campaign:
                raise Drop("campaign")
            if not packet and fault != "packet_zero_served":
                raise Drop("packet")
        if epoch not in self.config.epochs:
            if fault != "epoch_ignored":
                raise Drop("epoch")
            epoch = next(iter(self.config.epochs))
        if fault == "second_epoch_refused" and epoch != next(iter(self.config.epochs)):
            raise Drop("epoch")
        key = ISSUER_KEY if op == Op.PACK else hb.user_key(self.config.epochs[epoch], user)
        tag = hb.siphash24(key, payload[:-8])
        size = {"forged_served": 0, "tag_short": 4}.get(fault, 8)
        if tag[:size] != payload[-8:][:size]:
            raise Drop("tag")
        status, ident, value = self._serve(when, op, campaign, seq, user, packet, payload)
        head = struct.pack("!BBHIQI", payload[0], status, campaign, seq, ident, value)
        if fault == "seq_not_echoed":
            head = head[:4] + struct.pack("!I", seq ^ 1) + head[8:]
        mark = bytes(4)
        if status in hb.MONEY:
            mark = hb.siphash24(key, head)[:4]
            if fault == "bad_seal":
                mark = mark[:3] + bytes([mark[3] ^ 1])
            if fault == "seal_of_first_epoch":
                first = next(iter(self.config.epochs.values()))
                mark = hb.siphash24(hb.user_key(first, user), head)[:4]
        elif fault == "seal_always":
            mark = hb.siphash24(key, head)[:4]
        return head + mark, status

    def _serve(self, when, op, campaign, seq, user, packet, payload):
        fault = self.fault
        config = self.config
        owner = packet or user
        if not config.owns(owner) and fault != "moved_missing":
            return Status.MOVED, 0, 0
        if op == Op.PACK:
            return self._pack(when, user, packet, payload)
        if op == Op.GRAB:
            return self._grab(when, user, packet)
        if user in config.deny and fault != "deny_ignored":
            return Status.DENIED, 0, 0
        terms = config.campaign(campaign)
        if terms is None or (op == Op.ANSWER) != bool(terms.password):
            if fault == "unknown_uses_seq" and terms:
                self._use(campaign, user, seq)
            return Status.UNKNOWN, 0, 0
        if terms.paused and fault != "pause_ignored":
            return Status.BUSY, 0, terms.wait
        if when < terms.opens:
            if fault == "early_uses_seq":
                self._use(campaign, user, seq)
            left = -(-(terms.opens - when) // MS)
            if fault == "early_seconds":
                left //= 1000
            return Status.EARLY, 0, left & 0xFFFFFFFF
        row = self._row(campaign, user)
        if row.final is not None and seq == row.seq and fault != "retry_draws":
            if fault == "closed_before_retry" and when >= terms.closes:
                return Status.CLOSED, 0, 0
            if fault == "retry_value" and row.final[0] == Status.WIN:
                return Status.WIN, row.final[1], row.final[2] + 1
            return row.final
        if when >= terms.closes and fault != "close_ignored":
            return Status.CLOSED, 0, 0
        if seq < row.seq and fault != "stale_served":
            return Status.STALE, 0, 7 if fault == "stale_value" else 0
        if row.last is not None and when - row.last < terms.interval * MS \
                and fault != "throttle_missing":
            if fault == "throttle_uses_seq":
                self._use(campaign, user, seq)
            left = -(-(row.last + terms.interval * MS - when) // MS)
            return Status.THROTTLED, 0, terms.interval if fault == "throttle_value" else left
        result = self._draw(when, terms, row, payload)
        if result[0] != Status.BUSY:
            row.seq, row.final = seq, result
            row.last = when
        return result

    def _pack(self, when, user, packet, payload):
        fault = self.fault
        terms = (user,) + struct.unpack_from("!IHBB", payload, 24)
        _, total, shares, split, hours = terms
        known = self.packets.get(packet)
        if known is not None:
            kept = (known["terms"][1:] == terms[1:] if fault == "sender_ignored"
                    else fault == "terms_ignored" or known["terms"] == terms)
            return (Status.PACKED, packet, total) if kept else (Status.CONFLICT, 0, 0)
        sense = shares > 0 and total >= shares and split in (1, 2)
        if not sense and not (fault == "nonsense_packed" and shares > 0):
            return Status.CONFLICT, 0, 0
        self.packets[packet] = {"terms": terms, "left": total, "taken": {},
                                "over": when + hours * 3600 * SECOND}
        return Status.PACKED, packet, total - (1 if fault == "packed_value" else 0)

    def _grab(self, when, user, packet):
        fault = self.fault
        known = self.packets.get(packet)
        if known is not None and user in known["taken"] and fault != "second_share":
            more = 1 if fault == "share_changes" else 0
            return Status.WIN, packet, known["taken"][user] + more
        if user in self.config.deny and fault != "deny_ignored":
            return Status.DENIED, 0, 0
        if known is None:
            return Status.UNKNOWN, 0, 0
        _, total, shares, split, _ = known["terms"]
        number, left = len(known["taken"]), known["left"]
        if number >= shares - (1 if fault == "share_held" and shares > 1 else 0):
            return Status.EMPTY, 0, 0
        if when >= known["over"] and fault != "never_expires":
            return Status.EXPIRED, 0, 0
        still = shares - number
        if still == 1:
            fen = left - (1 if fault == "share_fen_lost" and left > 1 else 0)
        elif split == 1:
            fen = total // shares + (number < total % shares)
            if fault == "equal_share_last":
                fen = total // shares
        else:
            fen = self.rng.randint(1, max(1, 2 * left // still - 1))
            if fault == "share_greedy":
                fen = max(1, left - still + 1)
            if fault == "share_overflows":
                fen = min(left, fen + 3)
        # With a fault there may be nothing left.
        fen = max(1, fen)
        known["taken"][user] = fen
        known["left"] = max(0, left - fen)
        return Status.WIN, packet, fen

    def _use(self, campaign, user, seq):
        """Count a seq as answered finally; for the faults that do so wrongly."""
        row = self._row(campaign, user)
        row.seq = max(row.seq, seq)

    def _row(self, campaign, user):
        key = campaign, user
        if key not in self.rows:
            losers = None
            if len(self.rows) >= self.config.users:
                # A table that is full forgets somebody; the fault forgets winners too.
                losers = next((k for k, row in self.rows.items()
                               if not row.wins or self.fault == "winner_forgotten"), None)
            if losers is not None:
                del self.rows[losers]
            self.rows[key] = Row()
        return self.rows[key]

    def _draw(self, when, terms, row, payload):
        fault = self.fault
        pool = self.pools[terms.id]
        if row.wins >= terms.quota + (1 if fault == "over_quota" else 0):
            return Status.QUOTA, 0, 0
        if terms.password and payload[16:24] != hb.digest(terms.id, terms.password):
            if not (fault == "wrong_wins" and self.rng.random() < 0.05):
                return Status.WRONG, 0, 0
        spare = 3 if fault == "empty_early" and len(pool) < terms.count else 0
        if len(pool) <= spare:
            return Status.EMPTY, 0, 0
        if self.rng.random() >= terms.odds * (0.6 if fault == "odds_low" else 1):
            return (Status.MISS, 5 if fault == "miss_id" else 0,
                    0 if fault == "miss_no_wait" else terms.wait)
        if terms.release and fault != "release_ignored":
            bucket = self.buckets[terms.id]
            rate = terms.release * (0.5 if fault == "release_slow" else 1)
            if bucket[1] is not None:
                bucket[0] = min(rate, bucket[0] + rate * (when - bucket[1]) / SECOND)
            bucket[1] = when
            if bucket[0] < 1:
                if fault == "release_empty":
                    return Status.EMPTY, 0, 0
                return Status.MISS, 0, terms.wait
            bucket[0] -= 1
        row.wins += 1
        self.serial += 1
        value = pool[-1] if fault == "given_twice" and self.serial % 40 == 0 else pool.pop()
        ident = self.serial - (1 if fault == "same_id" and self.serial % 40 == 0 else 0)
        self.totals["wins"] += 1
        self.totals["fen"] += value
        return Status.WIN, ident, value
