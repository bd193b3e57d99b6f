"""Sends opening segments, each of another client, as fast as it can: a flood.

Usage: syns.py ADDRESS PORT COUNT   from 100.64.0.0 on, over IPv4
"""

from __future__ import annotations

import socket
import struct
import sys

from nat_lb.testing import packets

FIRST_CLIENT = 0x64400000


def main(address: str, port: int, count: int) -> None:
    template = bytearray(packets.tcp("100.64.0.0:1024", f"{address}:{port}", packets.SYN))
    sum_before = 0x6440 + 1024  # of the words that change
    check = struct.unpack_from("!H", template, 36)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for number in range(count):
            client, source = FIRST_CLIENT + number, 1024 + number % 60_000
            change = (~check & 0xFFFF) + (~sum_before & 0xFFFF) + (client >> 16) + (client & 0xFFFF) + source
            change = (change & 0xFFFF) + (change >> 16)
            change = (change & 0xFFFF) + (change >> 16)
            struct.pack_into("!L", template, 12, client)
            struct.pack_into("!H", template, 20, source)
            struct.pack_into("!H", template, 36, ~change & 0xFFFF)
            raw.sendto(template, (address, 0))  # the kernel fills in the header's checksum


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
