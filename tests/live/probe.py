"""Sends the IP packets on standard input (hexadecimal, one a line) and prints those that come in.

Usage: probe.py DEVICE COUNT SECONDS < PACKETS   ends when COUNT packets have come in, or after SECONDS.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Iterator

from nat_lb.io.inject import Injector

IPV4, IPV6, ALL = 0x0800, 0x86DD, 3
PACKET_OUTGOING = 4
ICMPV6, NEIGHBOURS = 58, range(130, 144)


def is_neighbour_discovery(packet: bytes) -> bool:
    return packet[0] >> 4 == 6 and (packet[6] == 0 or (packet[6] == ICMPV6 and packet[40] in NEIGHBOURS))


def incoming(listener: socket.socket, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([listener], [], [], left)[0]:
            packet, (_, protocol, kind, *_) = listener.recvfrom(65535)
            if kind != PACKET_OUTGOING and protocol in (IPV4, IPV6) and not is_neighbour_discovery(packet):
                yield packet


def main(device: str, count: int, seconds: float) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)) as listener:
        listener.bind((device, ALL))
        sender = Injector(mark=0)
        for line in sys.stdin:
            sender.send(bytes.fromhex(line))
        assert not sender.failed, sender.failed
        for number, packet in enumerate(incoming(listener, seconds), 1):
            print(packet.hex(), flush=True)
            if number == count:
                return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
