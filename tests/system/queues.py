# SPDX-License-Identifier: BSD-3-Clause
"""Which worker owns a request, by a computation apart from the server's, and captures dealt out to the
queues of a NIC."""
import struct

from programs import records

LANES = 128
USER_AT = 42 + 8  # behind Ethernet, IPv4 and UDP


def lane(frame):
    """The lane of a request, from the user (wire-protocol.md)."""
    user, = struct.unpack_from(">Q", frame, USER_AT)
    return ((user * 0x9E3779B97F4A7C15 % 2**64) >> 52) % LANES


def owner(frame, workers):
    """Whose lane it is: those of a worker stand side by side."""
    return lane(frame) * workers // LANES


def deal(source, queues, choose, name="queue"):
    """Deals the frames of a capture out to so many captures beside it: choose(frame, number) says to
    which, None to none. Returns their names and how many frames they have."""
    files = [f"{name}{i}.pcap" for i in range(queues)]
    out = [open(source.parent / file, "wb") for file in files]
    count = 0
    for f in out:
        f.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for time, frame in records(source):
        where = choose(frame, count)
        if where is None:
            continue
        out[where].write(struct.pack(
            "<IIII", time // 10**9, time % 10**9 // 1000, len(frame), len(frame)))
        out[where].write(frame)
        count += 1
    for f in out:
        f.close()
    return files, count
