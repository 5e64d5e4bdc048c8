# SPDX-License-Identifier: BSD-3-Clause
"""Which queue a NIC puts a packet on: the Toeplitz hash, bit by bit as RSS defines it, a key and a RETA.

Written from the definition of RSS and the wire protocol's shards, and shares nothing with hongbao.
"""
import struct

KEY_BYTES = 40
RETA_ENTRIES = 128
LANES = 128

# All zero but for bit 120, counted from the most significant bit of the first byte.
KEY = (1 << (8 * KEY_BYTES - 1 - 120)).to_bytes(KEY_BYTES, "big")


def toeplitz(key, data):
    """The 32-bit hash: for each bit of the data that is set, the 32 bits of the key from there on."""
    bits, whole, found = 8 * len(key), int.from_bytes(key, "big"), 0
    for at in range(8 * len(data)):
        if data[at // 8] >> (7 - at % 8) & 1:
            found ^= whole >> (bits - 32 - at) & 0xFFFFFFFF
    return found


def tuple_of(path):
    """What is hashed of a UDP packet: both addresses, both ports."""
    return path.src_ip + path.dst_ip + struct.pack("!HH", path.src_port, path.dst_port)


def owner(lane, workers):
    """The worker that a lane belongs to: the lanes in as many equal parts."""
    return lane * workers // LANES


def reta(workers):
    """The table that brings each lane to its owner's queue under KEY."""
    table = [None] * RETA_ENTRIES
    for lane in range(LANES):
        table[int(f"{lane:07b}"[::-1], 2)] = owner(lane, workers)
    return table


def queue(path, workers):
    return reta(workers)[toeplitz(KEY, tuple_of(path)) % RETA_ENTRIES]
