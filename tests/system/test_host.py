# SPDX-License-Identifier: BSD-3-Clause
"""hongbaod as a host on its link: the kernel's own network is its neighbour, and ordinary sockets are
its clients. In a network namespace of its own; needs root and /dev/net/tun."""
import socket
import struct
import sys
import time

import hbclient
import live
import programs

SERVER, SERVER6 = "10.0.0.1", "fd00::1"
EPOCH_KEY = bytes(range(16))
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 3, 263, 8, 1 << 4
UP = ("ip link set lo up && ip link set hb0 up && ip addr add 10.0.0.2/24 dev hb0 && "
      "ip addr add fd00::2/64 dev hb0 nodad")


def configured(p, workers=1, ports=None, **keys):
    p.keys()
    p.config(captures=(), workers=workers, clock="wall", users=100000,
             listen={"ipv4": SERVER, "ipv6": SERVER6},
             ports=ports or [{"profile": "tap", "device": "net_tap0,iface=hb0"}],
             campaigns=[live.always()], **keys)
    return live.Server(p)


def wins(address, user, bind=None):
    """A user shakes and must win; returns the envelope."""
    key = hbclient.user_key(EPOCH_KEY, user)
    data = live.ask(address, hbclient.shake(key, user, 7, 1), 8192 + hbclient.shard(user), bind=bind)
    assert len(data) == 24 and data[1] == hbclient.Status.WIN, data.hex()
    assert data[20:] == hbclient.seal(key, data[:20]), data.hex()
    return struct.unpack_from(">Q", data, 8)[0]


def on_the_link(test):
    """A test with a server that is gone afterwards, whatever happens."""
    def run(p):
        server = configured(p, **test.__kwdefaults__ or {})
        try:
            return test(p, server)
        finally:
            server.kill()
    run.__name__ = test.__name__
    return run


@on_the_link
def neighbours_find_it_and_ping_it(p, server):
    """The kernel resolves both addresses by ARP and neighbour discovery, which nobody told it, and
    pings of every size come back as they were."""
    server.start(UP)
    for address in (SERVER, SERVER6):
        for size in (0, 1, 56, 57, 1000, 1452):
            said = live.sh(f"ping -n -c 2 -i 0.05 -W 5 -s {size} {address}")
            assert " 0% packet loss" in said, said
    known = live.sh("ip neigh show dev hb0")
    for address in (SERVER, SERVER6):
        assert any(line.startswith(address + " lladdr ") for line in known.splitlines()), known
    report = server.stop()
    # Two resolutions and 24 pings at least, none in vain.
    assert report["host"]["answered"] >= 26, report["host"]
    assert report["host"]["passed_on"] == sum(
        report["host"][key] for key in ("answered", "ignored", "crowded")), report["host"]
    assert not report["replies"], report


@on_the_link
def an_ordinary_socket_wins(p, server, *, workers=2):
    """Clients of the kernel's network, IPv4 and IPv6, whichever worker their packets come to."""
    server.start(UP)
    won = [wins(address, user) for user, address in enumerate((SERVER, SERVER6) * 20, 1)]
    assert len(set(won)) == 40
    # A repeat by the other family is told the same.
    assert [wins(address, user) for user, address in enumerate((SERVER6, SERVER) * 20, 1)] == won
    report = server.stop()
    assert report["wins"] == 40 and report["replies"]["WIN"] >= 80, report
    assert report["ports"][0]["steering"] == "software" and report["ports"][0]["why"], report


def packet_socket(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, ETH_P_ALL))
    return s


def mac_of(interface):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        return s.getsockname()[4]


def receive_tagged(s):
    """A frame as it was on the link: the kernel keeps the outer VLAN tag aside (packet(7))."""
    data, control, _, _ = s.recvmsg(2048, 256)
    for level, kind, value in control:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, tci, tpid = struct.unpack_from("=I12xHH", value)
            if status & TP_STATUS_VLAN_VALID:
                return data[:12] + struct.pack(">HH", tpid or 0x8100, tci) + data[12:]
    return data


def exchange(s, frame, want, seconds=10):
    """Sends a frame until one comes back for which want(frame) is true; returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        s.send(frame)
        try:
            for _ in range(50):
                data = receive_tagged(s)
                if want(data):
                    return data
        except (socket.timeout, BlockingIOError):
            pass
    raise AssertionError("no answer to " + frame.hex())


def arp_request(tags, mac):
    return (b"\xff" * 6 + mac + tags + bytes.fromhex("08060001080006040001") + mac +
            bytes([10, 0, 0, 2]) + bytes(6) + bytes([10, 0, 0, 1]))


@on_the_link
def answers_keep_their_vlan_tags(p, server):
    """ARP and requests under one and two VLAN tags are answered under the same."""
    server.start(UP)
    ours = mac_of("hb0")
    with packet_socket("hb0") as s:
        s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        s.settimeout(0.2)
        for user, vlans in enumerate(
                ((), ((0x8100, 5),), ((0x8100, 0xE00F),), ((0x88A8, 7), (0x8100, 9))), 1):
            tags = b"".join(struct.pack(">HH", *tag) for tag in vlans)
            data = exchange(
                s, arp_request(tags, ours),
                lambda d, t=tags: d[:6] == ours and d[12:14 + len(t)] == t + b"\x08\x06")
            theirs = data[6:12]
            key = hbclient.user_key(EPOCH_KEY, user)
            shake = hbclient.shake(key, user, 7, 1)
            for family, (src, dst) in enumerate((("10.0.0.2", SERVER), ("fd00::2", SERVER6))):
                path = hbclient.Path(ours, theirs, hbclient.address(src), hbclient.address(dst),
                                     4000 + family, 8192 + hbclient.shard(user), vlans)
                request = hbclient.Request(time=0, frame=b"", path=path, payload=shake, key=key, op=1, user=user)
                data = exchange(s, hbclient.frame(path, shake),
                                lambda d: d[:6] == ours and d.find(shake[:1] + b"\x01") > 0)
                reply = hbclient.check_reply(request, *hbclient.parse_frame(data))
                assert reply.status == hbclient.Status.WIN, reply
    server.stop()


@on_the_link
def a_port_has_its_own_addresses(
        p, server, *, ports=(
            {"profile": "tap", "device": "net_tap0,iface=hb0"},
            {"profile": "tap", "device": "net_tap1,iface=hb1", "ipv4": "10.0.1.1", "ipv6": "fd01::1"})):
    """Two ports, the second with addresses of its own: each answers to its own only."""
    server.start(UP + " && ip link set hb1 up && ip addr add 10.0.1.2/24 dev hb1 && "
                 "ip addr add fd01::2/64 dev hb1 nodad")
    for user, address in enumerate((SERVER, "10.0.1.1", SERVER6, "fd01::1"), 1):
        assert " 0% packet loss" in live.sh(f"ping -n -c 1 -W 5 {address}")
        wins(address, user)
    # The other port's address, on this link.
    live.sh("ip addr del 10.0.1.2/24 dev hb1 && ip route add 10.0.1.0/24 dev hb0")
    try:
        live.ask("10.0.1.1", bytes(24), 8192, tries=3)
    except AssertionError:
        pass
    else:
        raise AssertionError("a port answers to the other's address")
    assert "10.0.1.1 dev hb0 lladdr" not in live.sh("ip neigh")
    report = server.stop()
    assert [port["name"] for port in report["ports"]] == ["net_tap0", "net_tap1"], report


@on_the_link
def a_link_may_go_and_come_back(p, server):
    """Down and up again: said in a line each, and afterwards clients are answered as before."""
    server.start(UP)
    first = wins(SERVER, 1)
    for turn in range(2):
        live.sh("ip link set hb0 down")
        server.wait_for("the link is down")
        server.said = ""
        time.sleep(0.1)
        live.sh("ip link set hb0 up && ip addr replace fd00::2/64 dev hb0 nodad")
        server.wait_for("the link is up")
        server.said = ""
        assert wins(SERVER, 1) == first
        wins(SERVER6, 10 + turn)
    assert server.stop()["wins"] == 3


@on_the_link
def the_neighbours_are_told_unasked(p, server, *, workers=2):
    """At the start: a gratuitous ARP, an unsolicited advertisement, and a report of the group that
    solicitations go to."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as s:
        server.start(UP)
        s.settimeout(0.2)
        seen, end = set(), time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < end:
            try:
                frame = s.recv(2048)
            except socket.timeout:
                continue
            if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42] == bytes([10, 0, 0, 1]):
                seen.add("arp")
            elif frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x88":
                assert frame[62:78] == socket.inet_pton(socket.AF_INET6, SERVER6), frame.hex()
                seen.add("neighbour")
            elif frame[12:14] == b"\x86\xdd" and frame[62:63] == b"\x8f":
                group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:1")
                if frame[74:90] == group or group in frame:
                    seen.add("group")
        assert seen == {"arp", "neighbour", "group"}, seen
    server.stop()


@on_the_link
def runts_jumbos_and_floods_change_nothing(p, server):
    """Frames too short and too long are counted; 20,000 ARP requests and as many pings are bounded, and a
    client in the midst of them wins."""
    server.start(UP + " && ip link set hb0 mtu 9000")
    assert " 0% packet loss" in live.sh(f"ping -n -c 1 -W 5 {SERVER}")
    ours = mac_of("hb0")
    theirs = bytes.fromhex(
        live.sh(f"ip neigh show {SERVER}").split("lladdr ")[1].split()[0].replace(":", ""))
    arp = arp_request(b"", ours)
    with packet_socket("hb0") as s:
        for size in (14, 20, 33):
            s.send(theirs + ours + b"\x08\x00" + bytes(size - 14))
        for size in (1523, 2000, 4000, 9000):
            s.send(theirs + ours + b"\x08\x00" + b"\x45" + bytes(size - 15))
        won = []
        for i in range(20000):
            try:
                s.send(arp)
            except BlockingIOError:
                time.sleep(0.001)
            if i % 2000 == 0:
                won.append(wins(SERVER, 1 + i // 2000))
    wins(SERVER6, 99)
    report = server.stop()
    assert len(set(won)) == 10 and report["wins"] == 11, report
    assert report["dropped"]["truncated"] >= 3, report
    # What the device refuses itself it counts itself.
    assert report["dropped"].get("jumbo", 0) + report["lost"] >= 4, report
    assert report["dropped"].get("jumbo", 0) >= 1, report
    assert report["host"]["answered"] > 100, report
    assert report["host"]["passed_on"] + report["dropped"].get("control", 0) >= 10000, report


def main():
    missing = live.own_namespace("a link")
    if missing:
        print("1..1\nok 1 - host # SKIP " + missing)
        return 0
    return programs.main([
        neighbours_find_it_and_ping_it,
        an_ordinary_socket_wins,
        answers_keep_their_vlan_tags,
        a_port_has_its_own_addresses,
        a_link_may_go_and_come_back,
        the_neighbours_are_told_unasked,
        runts_jumbos_and_floods_change_nothing,
    ])


sys.exit(main())
